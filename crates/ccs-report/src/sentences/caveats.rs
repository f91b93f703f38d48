//! Caveats about the whole run.

/// With fewer test groups, intervals are unreliable, and no conclusion is drawn from them.
pub const FEWEST_GROUPS: usize = 10;

/// Caveats about a run with so many test groups and layers.
pub fn notes(test_groups: usize, layers: usize) -> Vec<String> {
    let few = (test_groups < FEWEST_GROUPS).then(|| {
        format!("the test rows come from {}: intervals are rough, and no conclusion is drawn from them", too_few(test_groups))
    });
    let many = (layers > 1).then(|| {
        format!(
            "{layers} layers were evaluated, and each method's layer was chosen on the training rows: to pick another \
             layer by its test results, use the wider intervals, which are corrected for all {layers} layers"
        )
    });
    few.into_iter().chain(many).collect()
}

/// `only 8 groups (fewer than 10)`
pub(super) fn too_few(test_groups: usize) -> String {
    let groups = if test_groups == 1 { "group" } else { "groups" };
    format!("only {test_groups} {groups} (fewer than {FEWEST_GROUPS})")
}
