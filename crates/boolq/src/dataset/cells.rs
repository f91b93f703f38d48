//! Arrow's values as templates see them.

use minijinja::{Error, ErrorKind, Value};
use polars_arrow::array::{
    Array, BooleanArray, FixedSizeListArray, ListArray, PrimitiveArray, StructArray, Utf8ViewArray,
};
use polars_arrow::datatypes::{ArrowDataType, Field, TimeUnit};
use polars_arrow::types::NativeType;

/// The most bytes of text in a column.
const MOST_TEXT: usize = 1 << 30;

/// Why values are not appended.
#[derive(Debug)]
pub(super) enum AppendError {
    /// The bound that they exceed.
    TooMuch(&'static str),
    /// They are not of the type that their column states.
    OtherType,
}

/// What a column may still hold.
#[derive(Default)]
pub(super) struct Budget {
    values: usize,
    text: usize,
}

impl Budget {
    fn values(&mut self, more: usize) -> Result<(), AppendError> {
        self.values = self.values.saturating_add(more);
        if self.values <= super::limits::MOST_VALUES {
            Ok(())
        } else {
            Err(AppendError::TooMuch("50000000 values"))
        }
    }

    fn text(&mut self, text: &str) -> Result<Value, AppendError> {
        self.text = self.text.saturating_add(text.len());
        if self.text > MOST_TEXT {
            return Err(AppendError::TooMuch("1073741824 bytes of text in a column"));
        }
        if text.len() > super::limits::LONGEST_CELL {
            return Err(AppendError::TooMuch("16777216 bytes in a cell"));
        }
        Ok(Value::from(text))
    }
}

/// What a type is called if its values are not read.
pub(super) fn unreadable(dtype: &ArrowDataType) -> Option<&'static str> {
    use ArrowDataType as T;
    match dtype {
        T::Null
        | T::Boolean
        | T::Int8
        | T::Int16
        | T::Int32
        | T::Int64
        | T::Int128
        | T::UInt8
        | T::UInt16
        | T::UInt32
        | T::UInt64
        | T::UInt128
        | T::Float16
        | T::Float32
        | T::Float64
        | T::Utf8View
        | T::Decimal(..)
        | T::Date32
        | T::Timestamp(..) => None,
        T::LargeList(field) | T::FixedSizeList(field, _) => unreadable(&field.dtype),
        T::Struct(fields) => fields.iter().find_map(|field| unreadable(&field.dtype)),
        T::Time32(_) | T::Time64(_) => Some("times of day"),
        T::Duration(_) => Some("durations"),
        T::Interval(_) => Some("intervals"),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => Some("bytes"),
        T::Decimal256(..) | T::Decimal32(..) | T::Decimal64(..) => Some("decimals of another width"),
        T::Date64 => Some("dates in milliseconds"),
        T::Map(..) => Some("maps"),
        T::Extension(_) => Some("values of an extension type"),
        _ => Some("values of another type"),
    }
}

/// A value that fails where a template uses it.
pub(super) fn refused(column: &str, what: &str) -> Value {
    let message =
        format!("the column `{column}` holds {what}, which are not read: write it as text or numbers");
    Value::from(Error::new(ErrorKind::InvalidOperation, message))
}

/// Appends the values of `array`; null is none.
///
/// # Errors
/// More than the budget allows, or values that are not of the array's stated type.
pub(super) fn append(array: &dyn Array, to: &mut Vec<Value>, budget: &mut Budget) -> Result<(), AppendError> {
    use ArrowDataType as T;
    budget.values(array.len())?;
    match array.dtype() {
        T::Null => to.extend((0..array.len()).map(|_| none())),
        T::Boolean => plain(of_type::<BooleanArray>(array)?.iter(), to, Value::from),
        T::Decimal(_, scale) => numbers::<i128>(array, to, |v| decimal(v, *scale))?,
        T::Date32 => numbers::<i32>(array, to, |days| Value::from(date(i64::from(days))))?,
        T::Timestamp(unit, zone) => {
            let (unit, utc) = (*unit, zone.is_some());
            numbers::<i64>(array, to, |time| Value::from(timestamp(time, unit, utc)))?;
        }
        T::Utf8View => {
            for text in of_type::<Utf8ViewArray>(array)? {
                to.push(text.map_or(Ok(none()), |text| budget.text(text))?);
            }
        }
        T::LargeList(_) => {
            for list in of_type::<ListArray<i64>>(array)? {
                to.push(list.map_or(Ok(none()), |list| sequence(list.as_ref(), budget))?);
            }
        }
        T::FixedSizeList(..) => {
            for list in of_type::<FixedSizeListArray>(array)? {
                to.push(list.map_or(Ok(none()), |list| sequence(list.as_ref(), budget))?);
            }
        }
        T::Struct(fields) => append_structs(of_type::<StructArray>(array)?, fields, to, budget)?,
        _ => append_numbers(array, to)?,
    }
    Ok(())
}

/// The values of an array of numbers. Of types that are not read nothing is appended: [`unreadable`] names them before.
fn append_numbers(array: &dyn Array, to: &mut Vec<Value>) -> Result<(), AppendError> {
    use ArrowDataType as T;
    match array.dtype() {
        T::Int8 => numbers::<i8>(array, to, |v| Value::from(i64::from(v))),
        T::Int16 => numbers::<i16>(array, to, |v| Value::from(i64::from(v))),
        T::Int32 => numbers::<i32>(array, to, |v| Value::from(i64::from(v))),
        T::Int64 => numbers::<i64>(array, to, Value::from),
        T::Int128 => numbers::<i128>(array, to, whole),
        T::UInt8 => numbers::<u8>(array, to, |v| Value::from(i64::from(v))),
        T::UInt16 => numbers::<u16>(array, to, |v| Value::from(i64::from(v))),
        T::UInt32 => numbers::<u32>(array, to, |v| Value::from(i64::from(v))),
        T::UInt64 => numbers::<u64>(array, to, |v| whole(i128::from(v))),
        T::UInt128 => numbers::<u128>(array, to, Value::from),
        T::Float16 => {
            numbers::<polars_utils::float16::pf16>(array, to, |v| Value::from(f64::from(f32::from(v))))
        }
        T::Float32 => numbers::<f32>(array, to, |v| Value::from(f64::from(v))),
        T::Float64 => numbers::<f64>(array, to, Value::from),
        _ => Ok(()),
    }
}

/// The array as the type that its `dtype` stands for.
fn of_type<A: Array>(array: &dyn Array) -> Result<&A, AppendError> {
    array.as_any().downcast_ref().ok_or(AppendError::OtherType)
}

fn none() -> Value {
    Value::from(())
}

fn sequence(array: &dyn Array, budget: &mut Budget) -> Result<Value, AppendError> {
    let mut values = Vec::new();
    append(array, &mut values, budget)?;
    Ok(Value::from(values))
}

fn append_structs(
    structs: &StructArray,
    fields: &[Field],
    to: &mut Vec<Value>,
    budget: &mut Budget,
) -> Result<(), AppendError> {
    let mut columns = Vec::new();
    for values in structs.values() {
        let mut column = Vec::new();
        append(values.as_ref(), &mut column, budget)?;
        columns.push(column.into_iter());
    }
    for row in 0..structs.len() {
        let members = fields.iter().zip(&mut columns);
        let members: Option<Vec<(String, Value)>> =
            members.map(|(field, column)| Some((field.name.to_string(), column.next()?))).collect();
        let members = members.ok_or(AppendError::OtherType)?;
        to.push(if structs.is_null(row) { none() } else { Value::from_pairs(members) });
    }
    Ok(())
}

fn plain<T>(values: impl Iterator<Item = Option<T>>, to: &mut Vec<Value>, value: impl Fn(T) -> Value) {
    to.extend(values.map(|cell| cell.map_or_else(none, &value)));
}

fn numbers<T: NativeType>(
    array: &dyn Array,
    to: &mut Vec<Value>,
    value: impl Fn(T) -> Value,
) -> Result<(), AppendError> {
    plain(of_type::<PrimitiveArray<T>>(array)?.iter().map(Option::<&T>::copied), to, value);
    Ok(())
}

/// A whole number, in 64 bits if it fits.
fn whole(value: i128) -> Value {
    i64::try_from(value).map_or_else(|_| Value::from(value), Value::from)
}

/// A decimal as it is written: a number if it is whole, else text, which no float would be.
fn decimal(value: i128, scale: usize) -> Value {
    if scale == 0 {
        return whole(value);
    }
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (before, after) = digits.split_at(digits.len() - scale);
    Value::from(format!("{}{before}.{after}", if value < 0 { "-" } else { "" }))
}

/// `2024-02-29`, from days since 1970-01-01, by Howard Hinnant's `civil_from_days`.
fn date(days: i64) -> String {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2024-02-29 01:02:03`, as Python prints it.
fn timestamp(time: i64, unit: TimeUnit, utc: bool) -> String {
    let (per_second, digits) = match unit {
        TimeUnit::Second => (1, 0),
        TimeUnit::Millisecond => (1_000, 3),
        TimeUnit::Microsecond => (1_000_000, 6),
        TimeUnit::Nanosecond => (1_000_000_000, 9),
    };
    let (seconds, part) = (time.div_euclid(per_second), time.rem_euclid(per_second));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let part = match part {
        0 => String::new(),
        // Python's datetime has microseconds; a finer part is kept.
        part if digits <= 6 => format!(".{:06}", part * 10_i64.pow(6 - digits)),
        part => format!(".{part:09}"),
    };
    let zone = if utc { "+00:00" } else { "" };
    format!("{} {:02}:{:02}:{:02}{part}{zone}", date(days), second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_decimals_as_python_prints_them() {
        // str(datetime.date.fromordinal(719163 + days))
        for (days, expected) in
            [(0, "1970-01-01"), (-1, "1969-12-31"), (19_782, "2024-02-29"), (-719_162, "0001-01-01")]
        {
            assert_eq!(date(days), expected);
        }
        assert_eq!(timestamp(-500_000, TimeUnit::Microsecond, false), "1969-12-31 23:59:59.500000");
        assert_eq!(timestamp(1_709_168_523, TimeUnit::Second, true), "2024-02-29 01:02:03+00:00");
        assert_eq!(timestamp(1, TimeUnit::Millisecond, false), "1970-01-01 00:00:00.001000");
        assert_eq!(decimal(-5, 2).as_str(), Some("-0.05"));
        assert_eq!(decimal(150, 2).as_str(), Some("1.50"));
        assert_eq!(decimal(1, 0), Value::from(1));
    }
}
