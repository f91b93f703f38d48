//! Negations that turn a probe's ranking round, and what a probe of one polarity makes of the other.

use super::caveats::FEWEST_GROUPS;
use crate::method::Method;
use crate::numbers::{decimal, from_to};
use crate::report::{Finding, OnPolarity, Report, Verdict};

/// Affirmative and negated.
const NAMES: [&str; 2] = ["affirmative", "negated"];

/// A warning where a method ranks the rows of one polarity the wrong way round, by intervals that hold for both polarities
/// and all methods at once. Of polarities with few groups nothing is said.
pub(super) fn turned_round(report: &Report, method: Method, layer: usize) -> Option<Verdict> {
    let polarity = report.polarity.as_ref()?;
    let of = polarity.methods.get(&method)?;
    let probe = format!("{} at layer {layer}", report.title(method));
    let text = turns_with_negation(&probe, [&of.affirmative, &of.negated], polarity.groups_of_rarer_label)?;
    Some(Verdict { method, layer: Some(layer), finding: Finding::TurnsWithNegation, text })
}

/// The warning of a probe on affirmative and on negated rows, which have so many groups of the rarer label; none where neither
/// ranking is shown to be the wrong way round, or both are.
pub fn turns_with_negation(probe: &str, on: [&OnPolarity; 2], groups: [usize; 2]) -> Option<String> {
    let is_wrong =
        |at: usize| groups[at] >= FEWEST_GROUPS && on[at].auroc_joint.is_some_and(|[_, high]| high < 0.5);
    let wrong = match [is_wrong(0), is_wrong(1)] {
        [true, false] => "affirmative",
        [false, true] => "negated",
        // The wrong sign throughout is no matter of negation.
        [true, true] | [false, false] => return None,
    };
    let [affirmative, negated] = on.map(auroc);
    Some(format!(
        "{probe} ranks true below false among {wrong} rows: its AUROC is {affirmative} among affirmative rows and {negated} \
         among negated ones (95% intervals for both polarities and all methods at once). What it follows turns round with a \
         negation, and is not truth."
    ))
}

/// An AUROC with the interval that holds for everything of its kind at once.
fn auroc(on: &OnPolarity) -> String {
    let ci = on.auroc_joint.map(|ci| format!(" ({})", from_to(ci, decimal))).unwrap_or_default();
    on.test.auroc.map_or_else(|| "none".to_owned(), |auroc| decimal(auroc) + &ci)
}

/// What probes of a method that were fitted on one polarity alone make of the other. Nothing is said of one that is not shown to
/// predict the labels of its own polarity, nor of a polarity with few groups.
pub(super) fn crosses_negation(report: &Report, method: Method, layer: usize) -> Option<Verdict> {
    let polarity = report.polarity.as_ref()?;
    let of = polarity.methods.get(&method)?;
    let directions = [(of.of_affirmative.as_ref(), 0), (of.of_negated.as_ref(), 1)];
    let said = directions.into_iter().filter_map(|(fitted, own)| {
        let (on, other) = (fitted?, 1 - own);
        if on[own].auroc_joint?[0] <= 0.5 || polarity.groups_of_rarer_label[other] < FEWEST_GROUPS {
            return None;
        }
        let (crosses, relation) = match on[other].auroc_joint? {
            [low, _] if low > 0.5 => (true, "ranks true above false"),
            [_, high] if high < 0.5 => (false, "ranks true below false"),
            _ => (false, "is not shown to rank true above false"),
        };
        let [from, to] = [own, other].map(|at| NAMES[at]);
        Some((
            crosses,
            format!(
                "fitted on {from} rows alone, it {relation} among {to} rows, AUROC {}",
                auroc(&on[other])
            ),
        ))
    });
    let (crosses, said): (Vec<bool>, Vec<String>) = said.unzip();
    if said.is_empty() {
        return None;
    }
    let finding =
        if crosses.into_iter().all(|it| it) { Finding::CrossesNegation } else { Finding::CrossingNotShown };
    let text = format!(
        "{} at layer {layer} (95% intervals for both directions and all methods at once): {}.",
        report.title(method),
        said.join("; ")
    );
    Some(Verdict { method, layer: Some(layer), finding, text })
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;
    use crate::report::{Evaluation, MethodPolarity, PolarityReport};

    const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/report.json");

    fn on(auroc: f64) -> OnPolarity {
        OnPolarity {
            test: Evaluation { auroc: Some(auroc), ..Evaluation::default() },
            auroc_joint: Some([auroc - 0.1, auroc + 0.1]),
        }
    }

    fn report(groups: [usize; 2], of: MethodPolarity) -> Report {
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
        report
    }

    fn of(affirmative: f64, negated: f64) -> MethodPolarity {
        MethodPolarity {
            layer: 7,
            affirmative: on(affirmative),
            negated: on(negated),
            of_affirmative: None,
            of_negated: None,
            consistency: None,
            within_polarity: None,
        }
    }

    #[test]
    fn only_an_interval_below_chance_in_one_polarity_says_so() {
        let said = |affirmative: f64, negated: f64, groups| {
            turned_round(&report(groups, of(affirmative, negated)), Method::CCS, 7)
                .map(|verdict| verdict.text)
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

    #[test]
    fn a_transfer_is_spoken_of_where_the_probe_predicts_its_own_polarity() {
        let said = |of_affirmative: [f64; 2], of_negated: Option<[f64; 2]>, groups| {
            let found = MethodPolarity {
                of_affirmative: Some(of_affirmative.map(on)),
                of_negated: of_negated.map(|both| both.map(on)),
                ..of(0.9, 0.9)
            };
            crosses_negation(&report(groups, found), Method::CCS, 7).map(|v| (v.finding, v.text))
        };
        let many = [40, 40];
        assert_eq!(
            said([0.9, 0.8], Some([0.7, 0.8]), many).unwrap(),
            (
                Finding::CrossesNegation,
                "CCS at layer 7 (95% intervals for both directions and all methods at once): fitted on affirmative rows alone, it ranks true above false among negated rows, AUROC 0.800 \
                 (0.700 to 0.900); fitted on negated rows alone, it ranks true above false among affirmative rows, AUROC 0.700 \
                 (0.600 to 0.800)."
                    .to_owned()
            )
        );
        // One of two directions is not shown, or is turned round.
        let (finding, text) = said([0.9, 0.55], Some([0.3, 0.8]), many).unwrap();
        assert_eq!(finding, Finding::CrossingNotShown);
        assert!(
            text.contains("it is not shown to rank true above false among negated rows, AUROC 0.550"),
            "{text}"
        );
        assert!(text.contains("it ranks true below false among affirmative rows, AUROC 0.300"), "{text}");
        // Neither a probe that does not predict its own polarity is spoken of, nor a polarity of few groups, nor one that is
        // not there.
        for (of_negated, groups) in [(Some([0.8, 0.55]), many), (Some([0.8, 0.9]), [9, 40]), (None, many)] {
            let (finding, text) = said([0.9, 0.8], of_negated, groups).unwrap();
            assert!(
                finding == Finding::CrossesNegation && !text.contains("among affirmative rows"),
                "{text}"
            );
        }
        assert_eq!(said([0.55, 0.9], Some([0.9, 0.55]), many), None);
    }
}
