//! Order as Python has it, and the filters that need one: text with text, numbers with numbers, lists with lists, and
//! nothing else. jinja2's filters compare text in lower case unless told not to.

use minijinja::value::{Enumerator, Object, ObjectRepr, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use std::cmp::Ordering;
use std::sync::Arc;

use super::arguments::{named, text as text_of};
use super::collections::{attribute, items};
use super::{limits, undefined};

/// Whether two values are equal: lists item by item, and each comparison is paid for.
pub(super) fn equal(state: &State, a: &Value, b: &Value) -> Result<bool, Error> {
    limits::charge(state, 64 + a.as_str().map_or(0, str::len))?;
    if undefined::is(a) || undefined::is(b) {
        return Ok(undefined::is(a) && undefined::is(b));
    }
    if undefined::is_none(a) || undefined::is_none(b) {
        return Ok(undefined::is_none(a) && undefined::is_none(b));
    }
    let is_list = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    if is_list(a) && is_list(b) {
        if a.is_tuple() != b.is_tuple() || a.len() != b.len() {
            return Ok(false);
        }
        for (a, b) in a.try_iter()?.zip(b.try_iter()?) {
            if !equal(state, &a, &b)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if a.kind() == ValueKind::Map && b.kind() == ValueKind::Map {
        if a.len() != b.len() {
            return Ok(false);
        }
        for key in a.try_iter()? {
            if !equal(state, &a.get_item(&key)?, &b.get_item(&key)?)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    Ok(a == b)
}

/// How two values are ordered.
///
/// # Errors
/// Values that Python cannot order, such as a number and a text.
pub(super) fn compare(state: &State, a: &Value, b: &Value) -> Result<Ordering, Error> {
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        return Ok(a.cmp(b));
    }
    let is_number = |value: &Value| value.is_number() || value.kind() == ValueKind::Bool;
    if is_number(a) && is_number(b) {
        return Ok(a.cmp(b));
    }
    if a.kind() == ValueKind::Seq && b.kind() == ValueKind::Seq && a.is_tuple() == b.is_tuple() {
        for (a, b) in a.try_iter()?.zip(b.try_iter()?) {
            if !equal(state, &a, &b)? {
                return compare(state, &a, &b);
            }
        }
        return Ok(a.len().cmp(&b.len()));
    }
    let message = format!("{} and {} cannot be ordered: write value|int or value|string", a.kind(), b.kind());
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// What an item is ordered by.
struct By {
    attributes: Vec<String>,
    case_sensitive: bool,
}

impl By {
    fn of(attribute: Option<&Value>, case_sensitive: Option<&Value>) -> Self {
        let attributes = match attribute {
            None => Vec::new(),
            Some(path) => path.to_string().split(',').map(str::to_owned).collect(),
        };
        Self { attributes, case_sensitive: case_sensitive.is_some_and(Value::is_true) }
    }

    fn key(&self, item: &Value) -> Result<Value, Error> {
        let folded = |value: Value| match value.as_str() {
            Some(text) if !self.case_sensitive => Value::from(text.to_lowercase()),
            _ => value,
        };
        match self.attributes.as_slice() {
            [] => Ok(folded(item.clone())),
            [one] => Ok(folded(attribute(item, one)?)),
            several => several.iter().map(|one| Ok(folded(attribute(item, one)?))).collect(),
        }
    }

    /// The items with their keys, in order.
    fn sorted(&self, state: &State, value: &Value, reverse: bool) -> Result<Vec<(Value, Value)>, Error> {
        let mut keyed = Vec::new();
        for item in items(state, value)? {
            keyed.push((self.key(&item)?, item));
        }
        limits::charge(state, 128 * keyed.len() * keyed.len().max(2).ilog2() as usize)?;
        let mut failure = None;
        keyed.sort_by(|(a, _), (b, _)| {
            let order = compare(state, a, b).unwrap_or_else(|error| {
                failure.get_or_insert(error);
                Ordering::Equal
            });
            if reverse { order.reverse() } else { order }
        });
        failure.map_or(Ok(keyed), Err)
    }
}

fn is_true(flag: Option<Value>) -> bool {
    flag.is_some_and(|flag| flag.is_true())
}

pub(super) fn sort(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [reverse, case, attribute] = named(args, ["reverse", "case_sensitive", "attribute"])?;
    let sorted = By::of(attribute.as_ref(), case.as_ref()).sorted(state, value, is_true(reverse))?;
    Ok(sorted.into_iter().map(|(_, item)| item).collect())
}

pub(super) fn min(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    extreme(state, value, args, Ordering::Less)
}

pub(super) fn max(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    extreme(state, value, args, Ordering::Greater)
}

/// The first of the items that are furthest in that direction.
fn extreme(state: &State, value: &Value, args: &[Value], wanted: Ordering) -> Result<Value, Error> {
    let [case, attribute] = named(args, ["case_sensitive", "attribute"])?;
    let by = By::of(attribute.as_ref(), case.as_ref());
    let mut best: Option<(Value, Value)> = None;
    for item in items(state, value)? {
        let key = by.key(&item)?;
        let better = match &best {
            None => true,
            Some((best, _)) => compare(state, &key, best)? == wanted,
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or(Value::UNDEFINED, |(_, item)| item))
}

pub(super) fn unique(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [case, attribute] = named(args, ["case_sensitive", "attribute"])?;
    let by = By::of(attribute.as_ref(), case.as_ref());
    let mut seen = std::collections::HashSet::new();
    let mut kept = Vec::new();
    for item in items(state, value)? {
        let key = by.key(&item)?;
        if key.as_object().is_some() {
            return Err(Error::new(ErrorKind::InvalidOperation, "unique takes texts and numbers alone"));
        }
        if seen.insert(key) {
            kept.push(item);
        }
    }
    Ok(Value::from(kept))
}

pub(super) fn dictsort(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [case, by, reverse] = named(args, ["case_sensitive", "by", "reverse"])?;
    let index = match text_of(by.as_ref(), "key")? {
        "key" => "0",
        "value" => "1",
        _ => return Err(Error::new(ErrorKind::InvalidOperation, "dictsort sorts by 'key' or 'value'")),
    };
    if value.kind() != ValueKind::Map {
        return Err(Error::new(ErrorKind::InvalidOperation, "dictsort takes dictionaries alone"));
    }
    let pair = |key: Value| Ok(Value::from(Tuple::from([key.clone(), value.get_item(&key)?])));
    let pairs: Value = value.try_iter()?.map(pair).collect::<Result<Vec<_>, Error>>()?.into_iter().collect();
    let sorted = By::of(Some(&Value::from(index)), case.as_ref()).sorted(state, &pairs, is_true(reverse))?;
    Ok(sorted.into_iter().map(|(_, item)| item).collect())
}

pub(super) fn groupby(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [wanted, default, case] = named(args, ["attribute", "default", "case_sensitive"])?;
    let wanted = wanted.ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    if default.is_some() {
        return Err(Error::new(ErrorKind::InvalidOperation, "groupby takes no default here"));
    }
    let by = By::of(Some(&wanted), case.as_ref());
    let mut groups: Vec<(Value, Group)> = Vec::new();
    for (key, item) in by.sorted(state, value, false)? {
        match groups.last_mut() {
            Some((last, group)) if *last == key => group.list.push(item),
            _ => {
                let grouper = By { attributes: by.attributes.clone(), case_sensitive: true }.key(&item)?;
                groups.push((key, Group { grouper, list: vec![item] }));
            }
        }
    }
    Ok(groups.into_iter().map(|(_, group)| Value::from_object(group)).collect())
}

/// A pair of a key and its items, which have names too.
#[derive(Debug)]
pub(super) struct Group {
    grouper: Value,
    list: Vec<Value>,
}

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (key.as_str(), key.as_usize()) {
            (Some("grouper"), _) | (_, Some(0)) => Some(self.grouper.clone()),
            (Some("list"), _) | (_, Some(1)) => Some(Value::from(self.list.clone())),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(2)
    }
}
