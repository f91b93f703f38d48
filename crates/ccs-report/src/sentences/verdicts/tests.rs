//! Which intervals allow which claims.

use super::*;
use crate::report::{Interval, Intervals};

const FIXTURE: &[u8] = include_bytes!("../../../tests/fixtures/report.json");

fn report() -> Report {
    let mut report = Report::from_json(FIXTURE).unwrap();
    report.groups_of_rarer_label = 10;
    report
}

/// CCS's finding where its intervals for all methods at once are these.
fn finding(
    auroc_ci: Option<Interval>,
    accuracy_ci: Interval,
    over_random: Option<Interval>,
) -> (Finding, String) {
    let mut report = report();
    report.majority = 0.6;
    let choice = report.chosen.get_mut(&Method::CCS).unwrap();
    choice.of_methods = Some(Intervals { accuracy_ci: Some(accuracy_ci), auroc_ci });
    choice.test.as_mut().unwrap().auroc_ci = auroc_ci;
    let is_random =
        |c: &Comparison| (c.difference.first, c.difference.second) == (Method::CCS, Method::RANDOM);
    report.comparisons.retain(|c| !is_random(c) || over_random.is_some());
    for comparison in report.comparisons.iter_mut().filter(|c| is_random(c)) {
        comparison.of_methods.auroc_ci = over_random;
    }
    let choice = &report.chosen[&Method::CCS];
    against_chance(&report, Method::CCS, 3, choice, choice.test.as_ref().unwrap())
}

#[test]
fn claims_go_by_the_intervals_of_all_methods() {
    let above = Some([0.6, 0.8]);
    assert_eq!(finding(above, [0.65, 0.8], Some([0.1, 0.3])).0, Finding::BetterThanRandom);
    assert_eq!(finding(above, [0.65, 0.8], Some([-0.1, 0.3])).0, Finding::NoBetterThanRandom);
    assert_eq!(finding(above, [0.65, 0.8], None).0, Finding::AboveChance);
    assert_eq!(finding(Some([0.49, 0.8]), [0.65, 0.8], Some([0.1, 0.3])).0, Finding::NotShown);
    assert_eq!(finding(Some([0.3, 0.49]), [0.3, 0.4], None).0, Finding::BelowChance);
    assert_eq!(finding(None, [0.65, 0.8], None).0, Finding::NotShown, "accuracy alone claims nothing");
    let text = finding(above, [0.55, 0.8], None).1;
    assert!(text.contains("not shown to exceed the majority class's 60.0%"), "{text}");
}

#[test]
fn what_is_not_above_chance_is_compared_with_nothing_else() {
    let mut report = report();
    for choice in report.chosen.values_mut() {
        choice.of_methods = Some(Intervals { auroc_ci: Some([0.4, 0.6]), accuracy_ci: Some([0.4, 0.6]) });
    }
    let findings: Vec<Finding> = verdicts(&report).into_iter().map(|v| v.finding).collect();
    let compared = [Finding::BetterThanZeroShot, Finding::NoBetterThanZeroShot, Finding::NearSupervised];
    assert!(findings.iter().all(|finding| !compared.contains(finding)), "{findings:?}");
    assert!(findings.contains(&Finding::NotShown));
}

#[test]
fn few_groups_of_the_rarer_label_allow_no_conclusion() {
    let mut report = report();
    report.groups_of_rarer_label = 9;
    let found = verdicts(&report);
    let concludes = |finding: Finding| {
        !matches!(finding, Finding::TooFewGroups | Finding::Underdetermined | Finding::NothingToFit)
    };
    assert!(found.iter().all(|v| !concludes(v.finding)), "{found:?}");
    assert!(
        found[0].text.contains("test groups have a row of the rarer label (fewer than 10)"),
        "{}",
        found[0].text
    );
}
