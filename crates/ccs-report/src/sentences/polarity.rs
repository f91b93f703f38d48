//! Negations that turn a probe's ranking round.

use super::caveats::FEWEST_GROUPS;
use crate::method::Method;
use crate::numbers::{decimal, from_to};
use crate::report::{Finding, OnPolarity, Report, Verdict};

/// A warning where a method ranks the rows of one polarity the wrong way round, by intervals that hold for both polarities
/// and all methods at once. Of polarities with few groups nothing is said.
pub(super) fn turned_round(report: &Report, method: Method, layer: usize) -> Option<Verdict> {
    let polarity = report.polarity.as_ref()?;
    let of = polarity.methods.get(&method)?;
    let [affirmative, negated] = polarity.groups_of_rarer_label;
    let is_wrong = |on: &OnPolarity, groups: usize| {
        groups >= FEWEST_GROUPS && on.auroc_joint.is_some_and(|[_, high]| high < 0.5)
    };
    let wrong = match (is_wrong(&of.affirmative, affirmative), is_wrong(&of.negated, negated)) {
        (true, false) => "affirmative",
        (false, true) => "negated",
        // The wrong sign throughout is no matter of negation.
        (true, true) | (false, false) => return None,
    };
    let auroc = |on: &OnPolarity| {
        let ci = on.auroc_joint.map(|ci| format!(" ({})", from_to(ci, decimal))).unwrap_or_default();
        on.test.auroc.map_or_else(|| "none".to_owned(), |auroc| decimal(auroc) + &ci)
    };
    let text = format!(
        "{} at layer {layer} ranks true below false among {wrong} rows: its AUROC is {} among affirmative rows and {} among \
         negated ones (95% intervals for both polarities and all methods at once). What it follows turns round with a \
         negation, and is not truth.",
        report.title(method),
        auroc(&of.affirmative),
        auroc(&of.negated),
    );
    Some(Verdict { method, layer: Some(layer), finding: Finding::TurnsWithNegation, text })
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;
    use crate::report::{Evaluation, MethodPolarity, PolarityReport};

    const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/report.json");

    #[test]
    fn only_an_interval_below_chance_in_one_polarity_says_so() {
        let on = |auroc: f64| OnPolarity {
            test: Evaluation { auroc: Some(auroc), ..Evaluation::default() },
            auroc_joint: Some([auroc - 0.1, auroc + 0.1]),
        };
        let said = |affirmative: f64, negated: f64, groups| {
            let of = MethodPolarity {
                layer: 7,
                affirmative: on(affirmative),
                negated: on(negated),
                of_affirmative: None,
                of_negated: None,
                consistency: None,
                within_polarity: None,
            };
            let mut report = Report::from_json(FIXTURE).unwrap();
            report.polarity = Some(PolarityReport {
                column: "polarity".to_owned(),
                values: vec!["negated".to_owned()],
                by_name: true,
                train: [9, 9],
                test: [9, 9],
                groups_of_rarer_label: groups,
                matched_by: Vec::new(),
                results: 4,
                methods: IndexMap::from([(Method::CCS, of)]),
                plane: None,
            });
            turned_round(&report, Method::CCS, 7).map(|verdict| verdict.text)
        };
        let text = said(0.9, 0.2, [40, 40]).unwrap();
        assert!(text.starts_with("CCS at layer 7 ranks true below false among negated rows"), "{text}");
        assert!(
            text.contains("0.900 (0.800 to 1.000) among affirmative rows and 0.200 (0.100 to 0.300)"),
            "{text}"
        );
        assert!(said(0.2, 0.55, [40, 40]).unwrap().contains("among affirmative rows"));
        for (affirmative, negated, groups) in
            [(0.9, 0.45, [40, 40]), (0.9, 0.8, [40, 40]), (0.2, 0.2, [40, 40]), (0.9, 0.2, [40, 9])]
        {
            assert_eq!(said(affirmative, negated, groups), None, "{affirmative} {negated} {groups:?}");
        }
    }
}
