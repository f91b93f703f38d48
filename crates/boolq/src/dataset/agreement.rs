//! Whether rows say the same of the same text.

use crate::warning::Warning;
use std::collections::HashMap;
use std::hash::Hash;

/// What of repeated texts is worth a word: one in twenty.
const MANY: f64 = 0.05;

/// What there is to say about texts that stand in several rows: one that has both labels, many that repeat.
///
/// `rows` are a row's number, its text as it is compared, its label, and its text as it is shown.
pub(crate) fn warnings<'a, K: Hash + Eq>(
    rows: impl IntoIterator<Item = (u64, K, bool, &'a str)>,
) -> Vec<Warning> {
    let mut first: HashMap<K, (u64, bool, bool)> = HashMap::new();
    let (mut count, mut both, mut repeated) = (0_usize, 0_usize, 0_usize);
    let mut shown = None;
    for (row, text, label, show) in rows {
        count += 1;
        let (first_row, first_label, counted) = first.entry(text).or_insert((row, label, false));
        if *first_row == row {
            continue;
        }
        if *first_label == label {
            repeated += 1;
        } else if !*counted {
            *counted = true;
            both += 1;
            shown.get_or_insert_with(|| (show.trim().to_owned(), [*first_row, row]));
        }
    }
    let mut warnings = Vec::new();
    if let Some((text, rows)) = shown {
        warnings.push(Warning::BothLabels { texts: both, text, rows });
    }
    if repeated as f64 > MANY * count as f64 {
        warnings.push(Warning::Repeated { rows: repeated, of: count });
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_labels_and_many_repeats() {
        let of = |rows: &[(&'static str, bool)]| {
            warnings(rows.iter().zip(0..).map(|((text, label), row)| (row, text.trim(), *label, *text)))
        };
        assert_eq!(of(&[("a", true), ("b", false), ("c", true)]), []);
        let both = of(&[("a ", true), ("b", false), (" a", false), ("a", false)]);
        assert_eq!(both, [Warning::BothLabels { texts: 1, text: "a".into(), rows: [0, 2] }]);
        assert!(both[0].to_string().contains("rows 0 and 2"), "{}", both[0]);
        assert_eq!(of(&[("a", true), ("a", true)]), [Warning::Repeated { rows: 1, of: 2 }]);
    }
}
