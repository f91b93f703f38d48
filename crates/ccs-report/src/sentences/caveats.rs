//! Caveats about the whole run.

/// With fewer test groups of the rarer label, no conclusion is drawn.
pub const FEWEST_GROUPS: usize = 10;

/// What the test rows of a run are.
#[derive(Debug, Clone, Copy)]
pub struct TestRows {
    /// Groups.
    pub groups: usize,
    /// Groups with a row of the rarer label.
    pub groups_of_rarer_label: usize,
}

/// Caveats about a run with such test rows and so many layers.
pub fn notes(test: TestRows, layers: usize) -> Vec<String> {
    let few = too_few(test).map(|few| format!("{few}: no conclusion is drawn from the intervals"));
    let many = (layers > 1).then(|| {
        format!(
            "{layers} layers were evaluated, and each method's layer was chosen on the training rows: to pick another \
             layer by its test results, use the wider intervals, which are corrected for all {layers} layers"
        )
    });
    few.into_iter().chain(many).collect()
}

/// `only 8 test groups have a row of the rarer label (fewer than 10)`, if so.
pub(super) fn too_few(test: TestRows) -> Option<String> {
    let rarer = test.groups_of_rarer_label;
    let text = match rarer {
        _ if rarer >= FEWEST_GROUPS => return None,
        0 => "no test group has a row of the rarer label".to_owned(),
        1 => "only one test group has a row of the rarer label".to_owned(),
        rarer if rarer == test.groups => format!("the test rows come from only {rarer} groups"),
        rarer => format!("only {rarer} of {} test groups have a row of the rarer label", test.groups),
    };
    Some(format!("{text} (fewer than {FEWEST_GROUPS})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_the_rarer_label_count() {
        let few = |groups, groups_of_rarer_label| too_few(TestRows { groups, groups_of_rarer_label });
        assert_eq!(few(80, 10), None);
        let text = few(80, 3).unwrap();
        assert_eq!(text, "only 3 of 80 test groups have a row of the rarer label (fewer than 10)");
        assert_eq!(few(8, 8).unwrap(), "the test rows come from only 8 groups (fewer than 10)");
        assert!(
            few(80, 0).unwrap().starts_with("no test group") && few(80, 1).unwrap().starts_with("only one")
        );
        let test = TestRows { groups: 80, groups_of_rarer_label: 3 };
        assert_eq!(notes(test, 1).len(), 1);
        assert_eq!(notes(test, 2).len(), 2);
    }
}
