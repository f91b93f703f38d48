//! The reading of a run: what was asked, what was found, how sure that is, and what to be careful about, in at most five
//! sentences.

use crate::method::Method;
use crate::report::{Finding, Report, RowKind, Verdict};

/// Sentences of a reading, at most.
const MOST: usize = 5;

/// The reading of a run. Every sentence but the first is one of its verdicts.
pub fn reading(report: &Report) -> Vec<String> {
    let [leading, _] = report.main();
    let main = [leading].into_iter().chain(report.chosen.keys().copied());
    let Some(main) = main.into_iter().find(|method| report.chosen.contains_key(method)) else {
        return vec![asked(report)];
    };
    let first = |wanted: &dyn Fn(&Verdict) -> bool| report.verdicts.iter().find(|v| wanted(v));
    let about = |method: Method| first(&|v| v.method == method && is_about_chance(v.finding));
    let compared = first(&|v| {
        matches!(v.finding, Finding::BelowSupervised | Finding::NearSupervised | Finding::AboveSupervised)
    });
    let supervised = compared.or_else(|| about(Method::LR).filter(|_| main != Method::LR));
    let of = |finding: Finding| first(&|v| v.finding == finding);
    let learned = of(Finding::PlaceLearned).or_else(|| of(Finding::PlaceNotShown));
    let turned = first(&|v| v.finding == Finding::TurnsWithNegation && v.method == main);
    let turned = turned.or_else(|| first(&|v| v.finding == Finding::TurnsWithNegation && v.method.is_main()));
    let crossed = first(&|v| v.finding.is_about_transfer() && v.method == main);
    let careful = of(Finding::ExplainedByColumn);
    let passages = of(Finding::ReadsPassages).or_else(|| of(Finding::PassagesNotShown));
    let directions = first(&|v| v.finding.is_about_directions());
    let found = [
        about(main),
        learned,
        supervised,
        turned,
        careful,
        passages,
        crossed,
        directions,
        of(Finding::Underdetermined),
    ];
    let found = found.into_iter().flatten().map(|v| v.text.clone());
    std::iter::once(asked(report)).chain(found).take(MOST).collect()
}

/// Whether a verdict says if a method predicts the labels.
fn is_about_chance(finding: Finding) -> bool {
    let undecided = [Finding::NotShown, Finding::BelowChance, Finding::TooFewGroups, Finding::NothingToFit];
    finding.is_above_chance() || undecided.contains(&finding)
}

fn asked(report: &Report) -> String {
    let count = |number: usize, one: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    };
    let methods = report.chosen.len();
    let rows = report.rows.train + report.rows.test;
    let question = match report.row_kind {
        RowKind::Pairs => "Can the labels of contrast pairs be read from hidden states?".to_owned(),
        RowKind::Statements => {
            format!(
                "Which of {} are true, and can that be read from hidden states?",
                count(rows, "statement")
            )
        }
    };
    format!(
        "{question} {} fitted on {} at {}, and evaluated on {} of {}.",
        if methods == 1 { "One method was".to_owned() } else { format!("{methods} methods were") },
        count(report.rows.train, "training row"),
        count(report.layers.len(), "layer"),
        count(report.rows.test, "test row"),
        count(report.groups.test, "group"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/report.json");

    #[test]
    fn a_reading_says_what_was_asked_and_found_in_five_sentences_at_most() {
        let mut report = Report::from_json(FIXTURE).unwrap();
        let verdict =
            |method, finding, text: &str| Verdict { method, layer: Some(1), finding, text: text.to_owned() };
        report.groups_of_rarer_label = 10;
        report.verdicts = vec![
            verdict(Method::CCS, Finding::BetterThanRandom, "CCS predicts."),
            verdict(Method::CCS, Finding::ExplainedByColumn, "CCS follows a column."),
            verdict(Method::LR, Finding::NotShown, "LR does not."),
            verdict(Method::CCS, Finding::ReadsPassages, "It reads passages."),
        ];
        let found = reading(&report);
        assert!(
            found[0].starts_with("Can the labels of contrast pairs be read from hidden states?"),
            "{}",
            found[0]
        );
        assert_eq!(
            found[1..],
            ["CCS predicts.", "LR does not.", "CCS follows a column.", "It reads passages."]
        );
        report.verdicts.truncate(1);
        report.verdicts.push(verdict(Method::RANDOM, Finding::ManyDirections, "Most directions do."));
        assert_eq!(reading(&report)[1..], ["CCS predicts.", "Most directions do."]);
        report.chosen.clear();
        assert_eq!(reading(&report).len(), 1);
    }
}
