//! JSON's values as they are parsed: rows of cells, bounded on the way.

use super::Row;
use crate::dataset::limits::{LONGEST_CELL, MOST_COLUMNS, MOST_VALUES};
use minijinja::Value;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::collections::HashMap;
use std::fmt;

pub(super) const NOT_AN_OBJECT: &str = "a JSON value that is not an object";

/// The columns so far, and why reading stopped where that was for a bound.
#[derive(Default)]
pub(super) struct Names {
    pub(super) in_order: Vec<String>,
    by_name: HashMap<String, usize>,
    values: usize,
    pub(super) refused: Option<Refused>,
}

pub(super) enum Refused {
    Columns,
    Values,
    Cell(usize),
}

impl Names {
    fn refuse<E: serde::de::Error>(&mut self, why: Refused) -> E {
        self.refused = Some(why);
        E::custom("too large")
    }

    pub(super) fn column<E: serde::de::Error>(&mut self, name: String) -> Result<usize, E> {
        if let Some(at) = self.by_name.get(&name) {
            return Ok(*at);
        }
        let at = self.in_order.len();
        if at >= MOST_COLUMNS {
            return Err(self.refuse(Refused::Columns));
        }
        self.in_order.push(name.clone());
        self.by_name.insert(name, at);
        Ok(at)
    }

    fn value<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.values += 1;
        if self.values > MOST_VALUES { Err(self.refuse(Refused::Values)) } else { Ok(()) }
    }

    fn text<E: serde::de::Error>(&mut self, text: &str) -> Result<Value, E> {
        if text.len() > LONGEST_CELL {
            Err(self.refuse(Refused::Cell(text.len())))
        } else {
            Ok(Value::from(text))
        }
    }
}

/// An array of rows.
pub(super) struct ArraySeed<'a>(pub(super) &'a mut Names);

impl<'de> DeserializeSeed<'de> for ArraySeed<'_> {
    type Value = Vec<Row>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Row>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ArraySeed<'_> {
    type Value = Vec<Row>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Row>, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = items.next_element_seed(RowSeed(self.0))? {
            rows.push(row);
        }
        Ok(rows)
    }
}

/// One row.
pub(super) struct RowSeed<'a>(pub(super) &'a mut Names);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = Row;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Row, A::Error> {
        let mut row = Row::new();
        while let Some(name) = members.next_key::<String>()? {
            let at = self.0.column(name)?;
            row.push((at, members.next_value_seed(ValueSeed(self.0))?));
        }
        // Of a name that stands twice the last counts, as in Python.
        row.reverse();
        row.sort_by_key(|(at, _)| *at);
        row.dedup_by_key(|(at, _)| *at);
        Ok(row)
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Row, E> {
        Err(E::custom(NOT_AN_OBJECT))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Row, E> {
        Err(E::custom(NOT_AN_OBJECT))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Row, E> {
        Err(E::custom(NOT_AN_OBJECT))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Row, E> {
        Err(E::custom(NOT_AN_OBJECT))
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Row, E> {
        Err(E::custom(NOT_AN_OBJECT))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Row, E> {
        Err(E::custom(NOT_AN_OBJECT))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Row, A::Error> {
        Err(A::Error::custom(NOT_AN_OBJECT))
    }
}

/// Any value, as templates see it: null is none, lists and objects stay what they are.
struct ValueSeed<'a>(&'a mut Names);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.value()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        self.0.text(text)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::from(()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(ValueSeed(self.0))? {
            list.push(item);
        }
        Ok(Value::from(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            pairs.push((name, members.next_value_seed(ValueSeed(self.0))?));
        }
        Ok(Value::from_pairs(pairs))
    }
}
