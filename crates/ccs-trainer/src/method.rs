//! The methods of a run: those that fit probes, and the controls beside them.

use std::sync::LazyLock;

use ccs::methods::{Entry, REGISTRY, STATEMENT_METHODS, TOKEN_METHODS};
use ccs_report::{Method, MethodInfo, RowKind};
use indexmap::IndexMap;

use crate::{Error, Result};

/// A method, and what reports say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::struct_excessive_bools, reason = "each says a thing of its own, and they are read by name")]
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
    /// Whether it is for contrast pairs.
    pub pairs: bool,
    /// Whether it is for single statements.
    pub statements: bool,
    /// Whether it is for rows with the states of all tokens, pairs or statements.
    pub tokens: bool,
    /// Whether a run on pairs that asks for none by name has it; one on statements, or on all tokens, has all that are for
    /// those.
    pub by_default: bool,
}

/// The methods that fit probes in a run on pairs that asks for none by name: the quick ones that others are measured by.
const QUICK: [&str; 4] = ["ccs", "tpc", "lr", "mean_difference"];

/// A method of a registry of [`ccs::methods`]. One of both is the same idea on states in the place of differences.
fn fitted(entry: &Entry) -> Known {
    let Entry { name, title, uses_labels, .. } = *entry;
    let is_in = |registry: &[Entry]| registry.iter().any(|other| other.name == name);
    let (pairs, statements, tokens) = (is_in(&REGISTRY), is_in(&STATEMENT_METHODS), is_in(&TOKEN_METHODS));
    let (fits_probes, needs_answers, by_default) = (true, false, QUICK.contains(&name));
    Known { name, title, fits_probes, uses_labels, needs_answers, pairs, statements, tokens, by_default }
}

/// A control; the model's own answers are those to pairs.
fn control(name: &'static str, title: &'static str, needs_answers: bool) -> Known {
    let (pairs, statements) = (true, !needs_answers);
    Known {
        name,
        title,
        fits_probes: false,
        uses_labels: false,
        needs_answers,
        pairs,
        statements,
        tokens: true,
        by_default: true,
    }
}

/// All methods, in the order of reports: those of the registries, which fit probes, and four controls.
pub static ALL: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let controls = [
        control("random", "Random directions", false),
        control("zero_shot", "Zero-shot", true),
        control("calibrated_zero_shot", "Calibrated zero-shot", true),
        control("majority", "Majority class", false),
    ];
    in_both_orders().into_iter().chain(&TOKEN_METHODS).map(fitted).chain(controls).collect()
});

/// The methods of both registries, each once, in an order that is that of either: what only statements have stands before
/// the next that both have.
fn in_both_orders() -> Vec<&'static Entry> {
    let is_of_pairs = |entry: &&Entry| REGISTRY.iter().any(|other| other.name == entry.name);
    let mut of_statements = STATEMENT_METHODS.iter().peekable();
    let mut all = Vec::new();
    for entry in &REGISTRY {
        if STATEMENT_METHODS.iter().any(|other| other.name == entry.name) {
            while let Some(own) = of_statements.next_if(|own| !is_of_pairs(own)) {
                all.push(own);
            }
            of_statements.next();
        }
        all.push(entry);
    }
    all.extend(of_statements);
    all
}

impl Known {
    /// Whether it is for such rows, with the states of all tokens or with one each.
    pub fn is_for(&self, rows: RowKind, all_tokens: bool) -> bool {
        match rows {
            _ if all_tokens => self.tokens && (rows.is_pairs() || !self.needs_answers),
            RowKind::Pairs => self.pairs,
            RowKind::Statements => self.statements,
        }
    }

    /// Whether a run on such rows that asks for none by name has it.
    pub fn is_default_for(&self, rows: RowKind, all_tokens: bool) -> bool {
        self.is_for(rows, all_tokens) && (self.by_default || all_tokens || rows == RowKind::Statements)
    }

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

/// All methods for such rows, in the order of reports.
pub fn all(rows: RowKind, all_tokens: bool) -> impl Iterator<Item = Method> {
    ALL.iter().filter(move |known| known.is_for(rows, all_tokens)).map(Known::method)
}

/// Those of a run on such rows that asks for none by name.
pub fn default(rows: RowKind, all_tokens: bool) -> impl Iterator<Item = Method> {
    ALL.iter().filter(move |known| known.is_default_for(rows, all_tokens)).map(Known::method)
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
    let suggestion = host::nearest(&plain, ALL.iter().map(|known| known.name)).map(str::to_owned);
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
    fn methods_stand_in_the_order_of_either_registry() {
        let probes = |rows, all_tokens| all(rows, all_tokens).filter(Ask::is_probe).collect::<Vec<_>>();
        let names = |registry: &[Entry]| registry.iter().map(|m| parse(m.name).unwrap()).collect::<Vec<_>>();
        assert_eq!(probes(RowKind::Pairs, false), names(&REGISTRY));
        assert_eq!(probes(RowKind::Statements, false), names(&STATEMENT_METHODS));
        assert_eq!(probes(RowKind::Pairs, true), names(&TOKEN_METHODS));
        assert_eq!(probes(RowKind::Statements, true), names(&TOKEN_METHODS));
        let of_statements: Vec<Method> = default(RowKind::Statements, false).collect();
        assert_eq!(
            of_statements,
            [&names(&STATEMENT_METHODS)[..], &[Method::RANDOM, Method::MAJORITY]].concat()
        );
    }

    #[test]
    fn misspellings_get_a_suggestion() {
        assert_eq!(parse("zero-shot").unwrap(), Method::ZERO_SHOT);
        let error = parse("cs").unwrap_err();
        assert_eq!(error.to_string(), "unknown method `cs`");
        assert!(error.hint().unwrap().starts_with("did you mean `ccs`?"));
        let hint = parse("xyz").unwrap_err().hint().unwrap();
        assert!(hint.starts_with("the methods are ccs, tpc, bss, kmeans"), "{hint}");
        assert!(hint.ends_with("calibrated_zero_shot, majority"), "{hint}");
    }

    #[test]
    fn only_what_fits_probes_sees_labels() {
        let only_statements =
            STATEMENT_METHODS.iter().filter(|m| ccs::methods::find(m.name).is_none()).count();
        let fits = REGISTRY.len() + only_statements + TOKEN_METHODS.len();
        assert_eq!(ALL.iter().filter(|m| m.fits_probes).count(), fits);
        assert_eq!(ALL.iter().filter(|m| m.fits_probes && m.by_default).count(), QUICK.len());
        assert!(ALL.iter().filter(|m| m.uses_labels).all(|m| m.fits_probes));
    }
}
