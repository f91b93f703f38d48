//! Results on standard output.

use std::error::Error;

use ccs_report::{Difference, Estimate, Evaluation};

/// Writes a result for people to standard output.
pub(crate) fn print(text: &str) -> Result<(), Box<dyn Error>> {
    Ok(host::program::page(text.strip_suffix('\n').unwrap_or(text))?)
}

/// What is said of something kept of an earlier run that is damaged, and is done again.
pub(crate) fn damaged(path: &std::path::Path) -> String {
    format!("{} was changed after it was written, and is made again", path.display())
}

/// Writes a result as JSON, indented.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Box<dyn Error>> {
    Ok(host::program::json(value)?)
}

/// `0.812 [0.770, 0.851]` for accuracy and for AUROC.
pub(crate) fn numbers(test: &Evaluation) -> (String, String) {
    let auroc = test.auroc.map(|value| estimate(&Estimate { value, ci: test.auroc_ci }));
    let accuracy = Estimate { value: test.accuracy, ci: test.accuracy_ci };
    (estimate(&accuracy), auroc.unwrap_or_else(|| "–".to_owned()))
}

/// `0.812 [0.770, 0.851]`
pub(crate) fn estimate(of: &Estimate) -> String {
    let interval = of.ci.map(|[low, high]| format!(" [{low:.3}, {high:.3}]")).unwrap_or_default();
    format!("{:.3}{interval}", of.value)
}

/// Cells of a table, each two spaces further and aligned to the right.
pub(crate) fn cells(width: usize, texts: impl Iterator<Item = String>) -> String {
    texts.fold(String::new(), |mut line, text| {
        line.push_str("  ");
        line.extend(std::iter::repeat_n(' ', width.saturating_sub(text.chars().count())));
        line + &text
    })
}

/// A difference of AUROCs: `-0.031 [-0.050, -0.012]`; nothing where there is none.
pub(crate) fn in_auroc(difference: &Difference) -> String {
    let Some(auroc) = &difference.auroc else { return String::new() };
    let ci = auroc.ci.map(|[low, high]| format!(" [{low:+.3}, {high:+.3}]"));
    format!("{:+.3}{}", auroc.value, ci.unwrap_or_default())
}
