//! A pickle reader that can build dicts, lists, tuples, scalars and descriptions of tensors, and nothing else.
//!
//! Python's pickle is a program for a stack machine, and `GLOBAL` + `REDUCE` let it call anything. Here the only
//! callables are the handful below that `torch.save` writes for a state dict, and calling one makes a plain value.
//! Reference for the instructions: Python's `pickletools`.

use std::collections::HashMap;
use std::sync::Arc;

use tch::Kind;

mod machine;

use machine::Machine;

/// Where a tensor's elements lie: a strided window into one storage of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TensorInfo {
    /// The storage's name: the archive's entry `data/{storage}`.
    pub(super) storage: Arc<str>,
    pub(super) kind: Kind,
    /// First element, counted in elements from the storage's start.
    pub(super) offset: i64,
    pub(super) shape: Vec<i64>,
    pub(super) stride: Vec<i64>,
}

/// What the stack machine handles.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Str(Arc<str>),
    Tuple(Arc<[Value]>, u8),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Callable(Callable),
    Storage { key: Arc<str>, kind: Kind },
    Tensor(Arc<TensorInfo>),
}

/// The callables a state dict needs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Callable {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    StorageKind(Kind),
}

/// Why a pickle is refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) offset: usize,
    pub(super) reason: String,
}

/// Tuples deeper than any checkpoint's: dropping a nested value recurses.
const MAX_DEPTH: u8 = 32;
/// A 65B state dict's description is under one megabyte. Bounds what a hostile one can make of few bytes.
const MAX_BYTES: usize = 16 << 20;
/// Values made on the way, and memo slots: a 65B state dict needs about thirty thousand.
const MAX_VALUES: usize = 2_000_000;
/// Axes of a tensor; a LLaMA's have two at most. (Every tensor keeps its shape, and one shape can serve many.)
const MAX_AXES: usize = 16;

/// The named tensors of a pickled state dict.
pub(super) fn state_dict(pickle: &[u8]) -> Result<HashMap<String, Arc<TensorInfo>>, Refused> {
    if pickle.len() > MAX_BYTES {
        let reason =
            format!("{} bytes to describe tensors; up to {} MiB are read", pickle.len(), MAX_BYTES >> 20);
        return Err(Refused { offset: 0, reason });
    }
    let mut machine = Machine::new(pickle);
    let top = machine.run();
    let refuse = |reason: String| Refused { offset: machine.offset(), reason };
    let top = top.map_err(refuse)?;
    let Value::Dict(entries) = top else {
        return Err(refuse("it holds no dict of tensors at its top".to_owned()));
    };
    let (mut tensors, mut others) = (HashMap::new(), Vec::new());
    for (key, value) in entries {
        let Value::Str(name) = key else { continue };
        let twice = match value {
            Value::Tensor(info) => tensors.insert(name.to_string(), info).is_some() || others.contains(&name),
            _ if tensors.contains_key(&*name) => true,
            _ => {
                if others.len() < 8 {
                    others.push(name.clone());
                }
                false
            }
        };
        if twice {
            return Err(refuse(format!("tensor `{name}` is there twice")));
        }
    }
    if tensors.is_empty() && !others.is_empty() {
        let others: Vec<String> = others.iter().map(|name| format!("`{name}`")).collect();
        let reason = format!(
            "it holds no tensors at its top, but {}: a dict around the state dict",
            others.join(", ")
        );
        return Err(refuse(reason));
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests;
