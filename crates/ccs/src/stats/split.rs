//! Train/test splits and folds that keep a group (a passage) on one side.

use std::collections::{BTreeSet, HashMap};

use rand::seq::SliceRandom;

use crate::SeedTree;
use crate::contrast::{both_labels, pick};
use crate::{Error, Result};

/// Row numbers of a train/test split, both ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Rows that everything is fitted on.
    pub train: Vec<usize>,
    /// Rows that only evaluation sees.
    pub test: Vec<usize>,
}

impl Split {
    /// Splits rows so that whole groups are on one side, with the test side as near to `test_fraction` as a
    /// seeded order of the groups allows (off by at most half the largest group).
    ///
    /// # Shapes
    /// `labels`, `groups`: N.
    ///
    /// # Errors
    /// A fraction outside (0, 1), different lengths, fewer than two groups, an empty side, or training rows
    /// that all have one label.
    pub fn grouped(
        labels: &[bool],
        groups: &[String],
        test_fraction: f64,
        stream: &SeedTree,
    ) -> Result<Self> {
        let tested = test_groups(&[groups], test_fraction, stream)?;
        Self::of_groups(labels, groups, &tested)
    }

    /// The split in which the groups of `tested` test and all others train.
    ///
    /// # Shapes
    /// `labels`, `groups`: N.
    ///
    /// # Errors
    /// Different lengths, fewer than two groups, an empty side, or training rows that all have one label.
    pub fn of_groups(labels: &[bool], groups: &[String], tested: &BTreeSet<String>) -> Result<Self> {
        if labels.len() != groups.len() {
            return Err(Error::Length { what: "groups", expected: labels.len(), found: groups.len() });
        }
        let found = BTreeSet::from_iter(groups).len();
        if found < 2 {
            return Err(Error::TooFewGroups { purpose: "a train/test split".to_owned(), needed: 2, found });
        }
        let is_test = |row: &usize| groups.get(*row).is_some_and(|group| tested.contains(group));
        let (test, train): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(is_test);
        for (side, rows, needed) in [("training", &train, 2), ("testing", &test, 1)] {
            if rows.len() < needed {
                let purpose = format!("{side}, on its side of the split");
                return Err(Error::TooFewRows { purpose, needed, found: rows.len() });
            }
        }
        both_labels(&pick(labels, &train)?, "the training rows")?;
        Ok(Self { train, test })
    }
}

/// The groups that test, in several data sets at once: a group is on one side in all of them, and each data set's test
/// side is as near to `test_fraction` as a seeded order of the groups allows.
///
/// # Shapes
/// `parts`: the groups of each data set's rows.
///
/// # Errors
/// A fraction outside (0, 1).
pub fn test_groups(parts: &[&[String]], test_fraction: f64, stream: &SeedTree) -> Result<BTreeSet<String>> {
    if !(test_fraction > 0.0 && test_fraction < 1.0) {
        return Err(Error::Setting {
            name: "test_fraction",
            value: test_fraction.to_string(),
            reason: "it is the share of rows kept for testing",
            hint: "give a number between 0 and 1, such as 0.4",
        });
    }
    // Groups in order of first appearance, with the rows that each has in every part.
    let mut order: Vec<(&String, Vec<usize>)> = Vec::new();
    let mut place: HashMap<&str, usize> = HashMap::new();
    for (part, groups) in parts.iter().enumerate() {
        for group in *groups {
            let at = *place.entry(group).or_insert(order.len());
            if at == order.len() {
                order.push((group, vec![0; parts.len()]));
            }
            if let Some(rows) = order.get_mut(at).and_then(|(_, rows)| rows.get_mut(part)) {
                *rows += 1;
            }
        }
    }
    order.shuffle(&mut stream.rng());
    let wanted: Vec<f64> = parts.iter().map(|groups| test_fraction * groups.len() as f64).collect();
    let (mut tested, mut counts) = (BTreeSet::new(), vec![0usize; parts.len()]);
    for (group, rows) in order {
        // How far all data sets are from what is wanted: without this group, and with it.
        let off = |more: usize| -> f64 {
            let parts = counts.iter().zip(&rows).zip(&wanted);
            parts.map(|((count, rows), wanted)| ((count + more * rows) as f64 - wanted).abs()).sum()
        };
        if off(1) < off(0) {
            counts.iter_mut().zip(&rows).for_each(|(count, rows)| *count += rows);
            tested.insert(group.clone());
        }
    }
    Ok(tested)
}

/// `folds` splits of the rows, each row tested once and groups kept whole, folds of nearly equal size.
///
/// Row numbers count within the slices given, so that folds of a training part index that part.
///
/// # Shapes
/// `labels`, `groups`: N.
///
/// # Errors
/// Fewer than two folds, fewer groups than folds, or a fold whose training part has one label only.
pub fn grouped_folds(
    labels: &[bool],
    groups: &[String],
    folds: usize,
    stream: &SeedTree,
) -> Result<Vec<Split>> {
    if folds < 2 {
        return Err(Error::Setting {
            name: "folds",
            value: folds.to_string(),
            reason: "cross-validation needs a part to fit on and a part to test on",
            hint: "give 2 or more, such as 5",
        });
    }
    if labels.len() != groups.len() {
        return Err(Error::Length { what: "groups", expected: labels.len(), found: groups.len() });
    }
    let mut members = group_rows(groups);
    if members.len() < folds {
        let purpose = format!("cross-validation in {folds} folds inside the training rows");
        return Err(Error::TooFewGroups { purpose, needed: folds, found: members.len() });
    }
    members.shuffle(&mut stream.rng());
    // The largest groups first, each to the smallest fold: sizes stay close however unequal the groups are.
    members.sort_by_key(|rows| std::cmp::Reverse(rows.len()));
    let mut parts: Vec<Vec<usize>> = vec![Vec::new(); folds];
    for rows in members {
        if let Some(part) = parts.iter_mut().min_by_key(|part| part.len()) {
            part.extend(rows);
        }
    }
    parts
        .into_iter()
        .enumerate()
        .map(|(fold, mut test)| {
            test.sort_unstable();
            let train: Vec<usize> =
                (0..labels.len()).filter(|row| test.binary_search(row).is_err()).collect();
            both_labels(&pick(labels, &train)?, &format!("the training part of fold {}", fold + 1))?;
            Ok(Split { train, test })
        })
        .collect()
}

/// The rows of every group, groups in order of first appearance.
fn group_rows(groups: &[String]) -> Vec<Vec<usize>> {
    let mut place: HashMap<&str, usize> = HashMap::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (row, group) in groups.iter().enumerate() {
        let at = *place.entry(group).or_insert(members.len());
        match members.get_mut(at) {
            Some(rows) => rows.push(row),
            None => members.push(vec![row]),
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(ids: &[u8]) -> Vec<String> {
        ids.iter().map(|id| format!("g{id}")).collect()
    }

    fn alternating(n: usize) -> Vec<bool> {
        (0..n).map(|i| i % 2 == 0).collect()
    }

    proptest! {
        #[test]
        fn no_group_on_both_sides(ids in prop::collection::vec(0u8..40, 20..200), seed: u64, fraction in 0.1f64..0.9) {
            let (groups, labels) = (names(&ids), alternating(ids.len()));
            let Ok(split) = Split::grouped(&labels, &groups, fraction, &SeedTree::new(seed)) else { return Ok(()) };
            let train: std::collections::BTreeSet<_> = split.train.iter().map(|&r| &groups[r]).collect();
            prop_assert!(split.test.iter().all(|&r| !train.contains(&groups[r])));
            let mut all = [split.train.clone(), split.test.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..ids.len()).collect::<Vec<_>>());
            let largest = group_rows(&groups).iter().map(Vec::len).max().unwrap();
            let off = (split.test.len() as f64 - fraction * ids.len() as f64).abs();
            prop_assert!(off <= largest as f64 / 2.0 + 1e-9, "{} rows off, largest group {}", off, largest);
        }

        #[test]
        fn data_sets_share_their_sides_and_each_is_near_the_fraction(
            parts in prop::collection::vec(prop::collection::vec(0u8..60, 40..120), 2..4), seed: u64,
        ) {
            let parts: Vec<Vec<String>> = parts.iter().map(|ids| names(ids)).collect();
            let slices: Vec<&[String]> = parts.iter().map(Vec::as_slice).collect();
            let tested = test_groups(&slices, 0.4, &SeedTree::new(seed)).unwrap();
            for groups in &parts {
                let Ok(split) = Split::of_groups(&alternating(groups.len()), groups, &tested) else { continue };
                prop_assert!(split.test.iter().all(|&row| tested.contains(&groups[row])));
                prop_assert!(split.train.iter().all(|&row| !tested.contains(&groups[row])));
                let share = split.test.len() as f64 / groups.len() as f64;
                prop_assert!((share - 0.4).abs() < 0.3, "{}", share);
            }
        }

        #[test]
        fn folds_test_each_row_once_and_keep_groups(ids in prop::collection::vec(0u8..40, 40..200), seed: u64) {
            let (groups, labels) = (names(&ids), alternating(ids.len()));
            let Ok(folds) = grouped_folds(&labels, &groups, 5, &SeedTree::new(seed)) else { return Ok(()) };
            let mut tested: Vec<usize> = folds.iter().flat_map(|f| f.test.clone()).collect();
            tested.sort_unstable();
            prop_assert_eq!(tested, (0..ids.len()).collect::<Vec<_>>());
            for fold in folds {
                prop_assert_eq!(fold.train.len() + fold.test.len(), ids.len());
                prop_assert!(fold.test.iter().all(|&t| fold.train.iter().all(|&r| groups[r] != groups[t])));
            }
        }
    }

    #[test]
    fn a_question_that_one_data_set_lacks_changes_no_side() {
        let all: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let fewer: Vec<String> = all.iter().filter(|group| *group != "3").cloned().collect();
        let alone = test_groups(&[&all], 0.4, &SeedTree::new(0)).unwrap();
        let both = test_groups(&[&all, &fewer], 0.4, &SeedTree::new(0)).unwrap();
        assert!(alone.symmetric_difference(&both).count() <= 1, "{alone:?} {both:?}");
        // Data sets without a common group are divided each for itself.
        let other: Vec<String> = (0..50).map(|i| format!("other {i}")).collect();
        let both = test_groups(&[&all, &other], 0.4, &SeedTree::new(0)).unwrap();
        assert_eq!(both.iter().filter(|group| group.starts_with("other")).count(), 20);
        assert_eq!(both.len(), 60);
    }

    #[test]
    fn groups_of_one_row_give_the_fraction_exactly() {
        let groups: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let split = Split::grouped(&alternating(100), &groups, 0.4, &SeedTree::new(0)).unwrap();
        assert_eq!(split.test.len(), 40);
        let other = Split::grouped(&alternating(100), &groups, 0.4, &SeedTree::new(1)).unwrap();
        assert_ne!(split, other);
        assert_eq!(split, Split::grouped(&alternating(100), &groups, 0.4, &SeedTree::new(0)).unwrap());
    }

    #[test]
    fn data_that_cannot_be_split_is_refused() {
        let stream = SeedTree::new(0);
        let distinct: Vec<String> = (0..10).map(|i| i.to_string()).collect();
        let one_group = vec!["a".to_owned(); 10];
        let labels = alternating(10);
        assert!(matches!(
            Split::grouped(&labels, &one_group, 0.4, &stream),
            Err(Error::TooFewGroups { found: 1, .. })
        ));
        assert!(matches!(Split::grouped(&[true; 10], &distinct, 0.4, &stream), Err(Error::OneClass { .. })));
        assert!(matches!(Split::grouped(&labels, &distinct, 1.5, &stream), Err(Error::Setting { .. })));
        assert!(matches!(Split::grouped(&labels, &distinct, 0.01, &stream), Err(Error::TooFewRows { .. })));
        assert!(matches!(grouped_folds(&labels, &distinct, 11, &stream), Err(Error::TooFewGroups { .. })));
        assert!(matches!(grouped_folds(&labels, &distinct, 1, &stream), Err(Error::Setting { .. })));
    }
}
