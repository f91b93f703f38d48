//! `strftime_now`, with which a chat template writes today's date.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use minijinja::{Error, ErrorKind, Value};

/// What a clock shows: a date and time without a zone, to the second. Its text is ISO 8601, `2024-07-26T12:00:00`, or the date
/// alone, which stands for midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Moment(NaiveDateTime);

impl Moment {
    /// The time in UTC.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
        Self(DateTime::from_timestamp(seconds, 0).unwrap_or_default().naive_utc())
    }

    /// Python's `datetime.strftime` in the C locale, of a time without a zone.
    ///
    /// # Errors
    /// A directive that is not known.
    pub fn strftime(self, format: &str) -> Result<String, Error> {
        // Python writes nothing for the zone of a time without one.
        let format = format.replace("%Z", "").replace("%z", "");
        let items: Vec<Item> = StrftimeItems::new(&format).collect();
        let mut out = String::new();
        if items.contains(&Item::Error) || write!(out, "{}", self.0.format_with_items(items.iter())).is_err()
        {
            let message = format!("strftime_now does not know all of the format {format:?}");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        Ok(out)
    }

    /// The function `strftime_now` of a clock that stands still; `asked` is called when a template uses it.
    pub fn strftime_now(self, asked: impl Fn() + Send + Sync + 'static) -> Value {
        Value::from_function(move |format: &str| {
            asked();
            self.strftime(format)
        })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%dT%H:%M:%S"))
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").ok();
        let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
        let parsed = whole().or_else(date).map(Self);
        parsed.ok_or_else(|| format!("`{text}` is no date like 2024-07-26 or 2024-07-26T12:00:00"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts are Python's: `datetime(2024, 7, 6, 15, 4, 5).strftime(…)`.
    #[test]
    fn dates_are_written_as_python_writes_them() {
        let moment: Moment = "2024-07-06T15:04:05".parse().expect("a time");
        for (format, expected) in [
            ("%d %b %Y", "06 Jul 2024"),
            ("%A, %B %-d, %Y", "Saturday, July 6, 2024"),
            ("%Y-%m-%d %H:%M:%S", "2024-07-06 15:04:05"),
            ("%I:%M %p, day %j, %y%%", "03:04 PM, day 188, 24%"),
            ("%F %T %a %w%Z", "2024-07-06 15:04:05 Sat 6"),
        ] {
            assert_eq!(moment.strftime(format).expect("known"), expected);
        }
        assert!(moment.strftime("%Q").is_err());
        assert_eq!(moment.to_string(), "2024-07-06T15:04:05");
        assert_eq!("2024-07-06".parse::<Moment>().expect("a date").to_string(), "2024-07-06T00:00:00");
        assert!("6.7.2024".parse::<Moment>().is_err());
    }
}
