//! The methods of a run: those that fit probes, and the controls beside them.

use ccs_report::{Method, MethodInfo};
use indexmap::IndexMap;

use crate::{Error, Result};

/// A method, and what reports say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Known {
    /// The name in reports and on the command line.
    pub name: &'static str,
    /// The name in sentences.
    pub title: &'static str,
    /// Whether it fits one probe per layer, or is a control.
    pub fits_probes: bool,
    /// Whether a fit sees labels for more than the probe's sign.
    pub uses_labels: bool,
    /// Whether it reads the model's log-probabilities of its answers.
    pub needs_answers: bool,
    /// Whether a run that asks for none by name has it.
    pub by_default: bool,
}

/// A method that fits probes without labels but for the sign.
const fn unsupervised(name: &'static str, title: &'static str, by_default: bool) -> Known {
    Known { name, title, fits_probes: true, uses_labels: false, needs_answers: false, by_default }
}

/// A method whose fits see labels.
const fn supervised(name: &'static str, title: &'static str, by_default: bool) -> Known {
    Known { uses_labels: true, ..unsupervised(name, title, by_default) }
}

/// A control.
const fn control(name: &'static str, title: &'static str, needs_answers: bool) -> Known {
    Known { fits_probes: false, needs_answers, ..unsupervised(name, title, true) }
}

/// All methods, in the order of reports.
pub const ALL: [Known; 18] = [
    unsupervised("ccs", "CCS", true),
    unsupervised("tpc", "TPC", true),
    unsupervised("bss", "BSS", false),
    unsupervised("kmeans", "K-means", false),
    unsupervised("drc", "DRC", false),
    unsupervised("rrc", "RRC", false),
    unsupervised("vinc", "VINC", false),
    supervised("vinc_s", "VINC-S", false),
    supervised("lr", "Logistic regression", true),
    supervised("lr_statements", "Logistic regression on statements", false),
    supervised("lr_pairs", "Logistic regression on concatenated pairs", false),
    supervised("mean_difference", "Mean difference", true),
    supervised("lda", "LDA", false),
    supervised("inlp", "INLP", false),
    control("random", "Random directions", false),
    control("zero_shot", "Zero-shot", true),
    control("calibrated_zero_shot", "Calibrated zero-shot", true),
    control("majority", "Majority class", false),
];

impl Known {
    /// Its name as reports list results under.
    pub fn method(&self) -> Method {
        // Every name in the table is one (`every_name_is_a_methods`).
        self.name.parse().unwrap_or(Method::MAJORITY)
    }

    /// What a report says of it.
    pub fn info(&self) -> MethodInfo {
        MethodInfo {
            title: self.title.to_owned(),
            fits_probes: self.fits_probes,
            uses_labels: self.uses_labels,
            needs_answers: self.needs_answers,
        }
    }
}

/// All methods, in the order of reports.
pub fn all() -> impl Iterator<Item = Method> {
    ALL.iter().map(Known::method)
}

/// Those of a run that asks for none by name: the quick ones that others are measured by.
pub fn default() -> impl Iterator<Item = Method> {
    ALL.iter().filter(|known| known.by_default).map(Known::method)
}

/// What a method is, if it is one of ours.
pub fn known(method: Method) -> Option<&'static Known> {
    ALL.iter().find(|known| known.name == method.name())
}

/// The method of a name, as a person writes it: `lr`, `Zero-Shot`.
///
/// # Errors
/// [`Error::UnknownMethod`], with the nearest name.
pub fn parse(name: &str) -> Result<Method> {
    let plain = name.trim().to_lowercase().replace('-', "_");
    if let Some(known) = ALL.iter().find(|known| known.name == plain) {
        return Ok(known.method());
    }
    let near = |known: &Known| strsim::jaro_winkler(known.name, &plain);
    let suggestion = ALL
        .iter()
        .min_by(|a, b| near(b).total_cmp(&near(a)))
        .filter(|known| near(known) > 0.6)
        .map(|known| known.name.to_owned());
    Err(Error::UnknownMethod { name: name.to_owned(), suggestion })
}

/// Results by method, in the order of reports.
pub(crate) fn in_order<T>(mut results: IndexMap<Method, T>) -> IndexMap<Method, T> {
    results.sort_by_key(|method, _| method.place());
    results
}

/// What a run asks of a method; one that is not ours is none of these.
pub(crate) trait Ask {
    /// The name in sentences.
    fn title(&self) -> &'static str;
    /// Whether it fits one probe per layer.
    fn is_probe(&self) -> bool;
    /// Whether a fit sees labels for more than the probe's sign.
    fn is_supervised(&self) -> bool;
    /// Whether it reads the model's answers.
    fn needs_answers(&self) -> bool;
    /// Its place in reports.
    fn place(&self) -> usize;
}

impl Ask for Method {
    fn title(&self) -> &'static str {
        known(*self).map_or("an unknown method", |known| known.title)
    }

    fn is_probe(&self) -> bool {
        known(*self).is_some_and(|known| known.fits_probes)
    }

    fn is_supervised(&self) -> bool {
        known(*self).is_some_and(|known| known.uses_labels)
    }

    fn needs_answers(&self) -> bool {
        known(*self).is_some_and(|known| known.needs_answers)
    }

    fn place(&self) -> usize {
        ALL.iter().position(|known| known.name == self.name()).unwrap_or(ALL.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_methods() {
        for (place, known) in ALL.iter().enumerate() {
            let method = known.method();
            assert_eq!((method.name(), method.place()), (known.name, place));
            assert_eq!(parse(known.name).unwrap(), method);
        }
    }

    #[test]
    fn misspellings_get_a_suggestion() {
        assert_eq!(parse("zero-shot").unwrap(), Method::ZERO_SHOT);
        let error = parse("cs").unwrap_err().to_string();
        assert!(error.contains("`cs`") && error.contains("did you mean `ccs`?"), "{error}");
        let error = parse("xyz").unwrap_err().to_string();
        assert!(error.contains("the methods are ccs, tpc, bss, kmeans"), "{error}");
        assert!(error.ends_with("calibrated_zero_shot, majority"), "{error}");
    }

    #[test]
    fn fourteen_fit_probes_and_only_those_see_labels() {
        assert_eq!(ALL.iter().filter(|m| m.fits_probes).count(), 14);
        assert!(ALL.iter().filter(|m| m.uses_labels).all(|m| m.fits_probes));
    }
}
