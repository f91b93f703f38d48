//! Values of flags that both programs have.

use std::time::Duration;

/// A count that is not 0.
///
/// # Errors
/// What is wrong with it.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(e) => Err(format!("{e}")),
    }
}

/// `30s`, `500ms`, `2min`
///
/// # Errors
/// No such time, or none from 200 ms to a day.
pub fn time(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 3] = [("ms", 1e-3), ("min", 60.0), ("s", 1.0)];
    let found = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)));
    let (number, unit) = found.unwrap_or((text, 1.0));
    let seconds = number.trim().parse::<f64>().ok().map(|number| number * unit);
    let fitting = seconds.filter(|seconds| (0.2..=86_400.0).contains(seconds));
    fitting
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("`{text}` is no time from 200ms to a day, such as 30s"))
}
