//! The stack machine that a pickle is a program for, with the instructions that a state dict needs.

use std::sync::Arc;

use tch::Kind;

use super::{Callable, MAX_AXES, MAX_DEPTH, MAX_VALUES, TensorInfo, Value};

/// The stack machine at some point of its program.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: Vec<Option<Value>>,
    /// Values pushed so far.
    made: usize,
}

type Step<T = ()> = Result<T, String>;

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: Vec::new(), made: 0 }
    }

    /// The byte of the program that comes next.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// Carries out the program up to its end: what is then at the top of the stack.
    pub(super) fn run(&mut self) -> Step<Value> {
        loop {
            let op = self.byte()?;
            match op {
                b'.' => return self.pop(),
                0x80 => self.protocol()?,
                0x95 => drop(self.take(8)?), // FRAME: a length that only matters to streams
                b'(' => self.marks.push(self.stack.len()),
                b'}' => self.push(Value::Dict(Vec::new()))?,
                b']' => self.push(Value::List(Vec::new()))?,
                b')' => self.push(Value::Tuple(Arc::new([]), 0))?,
                b't' | 0x85..=0x87 => {
                    let items =
                        if op == b't' { self.since_mark()? } else { self.top(usize::from(op - 0x84))? };
                    self.push_tuple(items)?;
                }
                b'N' => self.push(Value::None)?,
                0x88 | 0x89 => self.push(Value::Bool)?,
                b'J' | b'K' | b'M' | 0x8a => {
                    let value = self.integer(op)?;
                    self.push(Value::Int(value))?;
                }
                b'G' => {
                    self.take(8)?;
                    self.push(Value::Float)?;
                }
                b'X' | 0x8c => {
                    let length = if op == b'X' { self.u32()? } else { usize::from(self.byte()?) };
                    let text = self.text(length)?;
                    self.push(Value::Str(text))?;
                }
                b'q' | b'r' | 0x94 => self.memoize(op)?,
                b'h' | b'j' => self.recall(op)?,
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    let callable = callable(&module, &name)?;
                    self.push(Value::Callable(callable))?;
                }
                0x93 => self.stack_global()?,
                b'Q' => self.persistent()?,
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                b's' | b'u' => {
                    let items = if op == b's' { self.top(2)? } else { self.since_mark()? };
                    self.set_items(items)?;
                }
                b'a' | b'e' => {
                    let items = if op == b'a' { self.top(1)? } else { self.since_mark()? };
                    self.append(items)?;
                }
                other => return Err(format!("instruction 0x{other:02x} is not one a state dict needs")),
            }
        }
    }

    fn protocol(&mut self) -> Step {
        let version = self.byte()?;
        if (2..=5).contains(&version) { Ok(()) } else { Err(format!("protocol {version} is unknown")) }
    }

    fn integer(&mut self, op: u8) -> Step<i64> {
        Ok(match op {
            b'J' => i64::from(self.u32()? as u32 as i32),
            b'K' => i64::from(self.byte()?),
            b'M' => i64::from(u16::from_le_bytes([self.byte()?, self.byte()?])),
            _ => {
                // LONG1: little-endian two's complement of stated length.
                let length = usize::from(self.byte()?);
                let bytes = self.take(length)?;
                if length > 8 {
                    return Err("an integer of more than 64 bits".to_owned());
                }
                let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
                let mut wide = [fill; 8];
                wide[..length].copy_from_slice(bytes);
                i64::from_le_bytes(wide)
            }
        })
    }

    fn memoize(&mut self, op: u8) -> Step {
        let slot = match op {
            b'q' => usize::from(self.byte()?),
            b'r' => self.u32()?,
            _ => self.memo.len(),
        };
        // Picklers number their slots one after the other.
        if slot > self.made {
            return Err(format!("memo slot {slot} after {} values", self.made));
        }
        // A container is filled after it is memoized, so a copy would go stale: it is not kept, and asking for it fails.
        let value = match self.stack.last().ok_or("the stack is empty")? {
            Value::Dict(items) if !items.is_empty() => None,
            Value::List(items) if !items.is_empty() => None,
            value => Some(value.clone()),
        };
        if self.memo.len() <= slot {
            self.memo.resize(slot + 1, None);
        }
        self.memo[slot] = value;
        Ok(())
    }

    fn recall(&mut self, op: u8) -> Step {
        let slot = if op == b'h' { usize::from(self.byte()?) } else { self.u32()? };
        let value =
            self.memo.get(slot).cloned().flatten().ok_or_else(|| format!("memo slot {slot} is empty"))?;
        if matches!(value, Value::Dict(_) | Value::List(_)) {
            return Err("a container is used twice".to_owned());
        }
        self.push(value)
    }

    fn stack_global(&mut self) -> Step {
        let names = self.top(2)?;
        let [Value::Str(module), Value::Str(name)] = names.as_slice() else {
            return Err("a callable without a name".to_owned());
        };
        let callable = callable(module, name)?;
        self.push(Value::Callable(callable))
    }

    /// `("storage", StorageType, key, location, numel)`: the elements are in the archive's entry `data/{key}`.
    fn persistent(&mut self) -> Step {
        let id = self.pop()?;
        let Value::Tuple(parts, _) = &id else { return Err("a storage without its description".to_owned()) };
        match &**parts {
            [
                Value::Str(tag),
                Value::Callable(Callable::StorageKind(kind)),
                Value::Str(key),
                _,
                Value::Int(_),
            ] if &**tag == "storage" => {
                let value = Value::Storage { key: key.clone(), kind: *kind };
                self.push(value)
            }
            _ => Err("a storage of a kind this reader does not know".to_owned()),
        }
    }

    fn reduce(&mut self) -> Step {
        let call = self.top(2)?;
        let [Value::Callable(callable), Value::Tuple(args, _)] = call.as_slice() else {
            return Err("a call of something that is no known callable".to_owned());
        };
        let value = match (callable, &**args) {
            (Callable::OrderedDict, []) => Value::Dict(Vec::new()),
            (Callable::RebuildParameter, [Value::Tensor(info), ..]) => Value::Tensor(info.clone()),
            (
                Callable::RebuildTensor,
                [
                    Value::Storage { key, kind },
                    Value::Int(offset),
                    Value::Tuple(shape, _),
                    Value::Tuple(stride, _),
                    ..,
                ],
            ) => Value::Tensor(Arc::new(TensorInfo {
                storage: key.clone(),
                kind: *kind,
                offset: *offset,
                shape: sizes(shape)?,
                stride: sizes(stride)?,
            })),
            (other, _) => return Err(format!("{other:?} is called with arguments it does not take")),
        };
        self.push(value)
    }

    /// Attributes such as a state dict's `_metadata`, which are not needed.
    fn build(&mut self) -> Step {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_) | Value::Tensor(_)) => Ok(()),
            _ => Err("attributes set on something that is no dict and no tensor".to_owned()),
        }
    }

    fn set_items(&mut self, items: Vec<Value>) -> Step {
        let Some(Value::Dict(dict)) = self.stack.last_mut() else {
            return Err("items set on no dict".to_owned());
        };
        if !items.len().is_multiple_of(2) {
            return Err("a key without a value".to_owned());
        }
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            dict.push((flat(key), flat(value)));
        }
        Ok(())
    }

    fn append(&mut self, items: Vec<Value>) -> Step {
        let Some(Value::List(list)) = self.stack.last_mut() else {
            return Err("items added to no list".to_owned());
        };
        list.extend(items.into_iter().map(flat));
        Ok(())
    }

    fn push_tuple(&mut self, items: Vec<Value>) -> Step {
        let depth = |v: &Value| match v {
            Value::Tuple(_, depth) => *depth,
            // `_rebuild_tensor_v2`'s last argument is an empty OrderedDict of hooks; nothing else is in a tuple.
            Value::Dict(hooks) if hooks.is_empty() => 0,
            Value::List(_) | Value::Dict(_) => MAX_DEPTH,
            _ => 0,
        };
        let nested = items.iter().map(depth).max().unwrap_or(0);
        if nested >= MAX_DEPTH {
            return Err("tuples nested too deeply".to_owned());
        }
        self.push(Value::Tuple(items.into(), nested + 1))
    }

    fn push(&mut self, value: Value) -> Step {
        self.made += 1;
        if self.made > MAX_VALUES {
            return Err(format!("more than {MAX_VALUES} values"));
        }
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Step<Value> {
        self.stack.pop().ok_or_else(|| "the stack is empty".to_owned())
    }

    fn top(&mut self, count: usize) -> Step<Vec<Value>> {
        let from = self.stack.len().checked_sub(count).ok_or("the stack is too short")?;
        if self.marks.last().is_some_and(|&m| m > from) {
            return Err("an instruction reaches across a mark".to_owned());
        }
        Ok(self.stack.split_off(from))
    }

    fn since_mark(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        if mark > self.stack.len() {
            return Err("a mark lies beyond the stack".to_owned());
        }
        Ok(self.stack.split_off(mark))
    }

    fn byte(&mut self) -> Step<u8> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Step<usize> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    }

    fn take(&mut self, count: usize) -> Step<&[u8]> {
        let end =
            self.at.checked_add(count).filter(|&e| e <= self.bytes.len()).ok_or("it ends in the middle")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn text(&mut self, length: usize) -> Step<Arc<str>> {
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map(Arc::from).map_err(|_| "text that is not UTF-8".to_owned())
    }

    fn line(&mut self) -> Step<String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().take(256).position(|&b| b == b'\n').ok_or("a name without an end")?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length + 1;
        Ok(line)
    }
}

/// Containers inside containers (a state dict's `_metadata`) hold nothing this reader wants, and dropping a
/// value nested a million times would overflow the stack: they are forgotten at once.
fn flat(value: Value) -> Value {
    if matches!(value, Value::List(_) | Value::Dict(_)) { Value::None } else { value }
}

/// The callables that are read. Everything else is refused by name.
fn callable(module: &str, name: &str) -> Step<Callable> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Callable::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2") => Callable::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Callable::RebuildParameter,
        ("torch", "HalfStorage") => Callable::StorageKind(Kind::Half),
        ("torch", "BFloat16Storage") => Callable::StorageKind(Kind::BFloat16),
        ("torch", "FloatStorage") => Callable::StorageKind(Kind::Float),
        ("torch", "DoubleStorage") => Callable::StorageKind(Kind::Double),
        ("torch", "LongStorage") => Callable::StorageKind(Kind::Int64),
        ("torch", "IntStorage") => Callable::StorageKind(Kind::Int),
        ("torch", "ShortStorage") => Callable::StorageKind(Kind::Int16),
        ("torch", "CharStorage") => Callable::StorageKind(Kind::Int8),
        ("torch", "ByteStorage") => Callable::StorageKind(Kind::Uint8),
        ("torch", "BoolStorage") => Callable::StorageKind(Kind::Bool),
        _ => return Err(format!("it calls `{module}.{name}`")),
    })
}

fn sizes(values: &[Value]) -> Step<Vec<i64>> {
    if values.len() > MAX_AXES {
        return Err(format!("a tensor of {} axes; up to {MAX_AXES} are read", values.len()));
    }
    values
        .iter()
        .map(|v| match v {
            Value::Int(n) if *n >= 0 => Ok(*n),
            _ => Err("a size that is no number".to_owned()),
        })
        .collect()
}
