//! Rows in groups: what intervals take for independent is the group (a passage), not the row.

use std::collections::HashMap;

use crate::{Error, Result};

/// With fewer groups of either label than this, nothing is called better or worse than chance.
///
/// An AUROC compares rows of one label with rows of the other, so it rests on the rarer of the two: of 200 rows with two
/// true ones among them, the two decide.
pub const FEWEST_GROUPS: usize = 10;

/// Which group each row is of, and of which labels the groups are.
#[derive(Debug, Clone)]
pub struct Clusters {
    group_of_row: Vec<usize>,
    sizes: Vec<usize>,
    /// Groups with at least one row labeled false, and with at least one labeled true.
    with_label: [usize; 2],
}

impl Clusters {
    /// The groups of rows with these labels.
    ///
    /// # Shapes
    /// `labels`, `groups`: N, at least 1.
    ///
    /// # Errors
    /// Different lengths, or no rows.
    pub fn new(labels: &[bool], groups: &[String]) -> Result<Self> {
        if labels.len() != groups.len() {
            return Err(Error::Length { what: "groups", expected: labels.len(), found: groups.len() });
        }
        if labels.is_empty() {
            return Err(Error::TooFewRows { purpose: "an interval".to_owned(), needed: 1, found: 0 });
        }
        let mut ids: HashMap<&str, usize> = HashMap::new();
        let mut has: Vec<[bool; 2]> = Vec::new();
        let mut sizes: Vec<usize> = Vec::new();
        let mut group_of_row = Vec::with_capacity(groups.len());
        for (group, &label) in groups.iter().zip(labels) {
            let id = *ids.entry(group).or_insert(sizes.len());
            if id == sizes.len() {
                sizes.push(0);
                has.push([false; 2]);
            }
            if let (Some(size), Some(has)) = (sizes.get_mut(id), has.get_mut(id)) {
                *size += 1;
                has[usize::from(label)] = true;
            }
            group_of_row.push(id);
        }
        let with_label = [0, 1].map(|label| has.iter().filter(|has| has[label]).count());
        Ok(Self { group_of_row, sizes, with_label })
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        self.sizes.len()
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.group_of_row.len()
    }

    /// The number of groups with at least one row of the rarer label: the label that fewer groups have.
    pub fn groups_of_rarer_label(&self) -> usize {
        let [without, with] = self.with_label;
        without.min(with)
    }

    /// The size of the group that a row is in, averaged over rows: Σm²/N for groups of m rows. It is what a sample loses at
    /// most by its groups (Kish 1965, §5.4, with rows of a group that all agree).
    pub(crate) fn size_seen_by_a_row(&self) -> f64 {
        self.sizes.iter().map(|&size| (size * size) as f64).sum::<f64>() / self.rows() as f64
    }

    /// Whether every row is a group of its own.
    pub(crate) fn are_single_rows(&self) -> bool {
        self.groups() == self.rows()
    }

    /// The sum of each group's values. \[G\]
    ///
    /// # Shapes
    /// `values`: N.
    pub(crate) fn sums(&self, values: impl IntoIterator<Item = f64>) -> Vec<f64> {
        let mut sums = vec![0.0; self.groups()];
        for (&group, value) in self.group_of_row.iter().zip(values) {
            if let Some(sum) = sums.get_mut(group) {
                *sum += value;
            }
        }
        sums
    }

    /// The variance of a sum of values whose mean is zero, as the groups show it: G/(G − 1) · Σ (sum of a group)².
    pub(crate) fn variance_of_sum(&self, values: impl IntoIterator<Item = f64>) -> f64 {
        let groups = self.groups() as f64;
        groups / (groups - 1.0) * self.sums(values).iter().map(|sum| sum * sum).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ids: &[usize]) -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn groups_are_counted_by_the_labels_they_hold() {
        let labels = [true, false, false, false, true];
        let clusters = Clusters::new(&labels, &names(&[0, 0, 1, 2, 2])).unwrap();
        assert_eq!((clusters.groups(), clusters.rows()), (3, 5));
        assert_eq!(clusters.groups_of_rarer_label(), 2, "two groups hold a true row, three a false one");
        assert_eq!(Clusters::new(&[true; 3], &names(&[0, 1, 2])).unwrap().groups_of_rarer_label(), 0);
        assert!(Clusters::new(&[true], &[]).is_err() && Clusters::new(&[], &[]).is_err());
    }

    #[test]
    fn the_variance_of_a_sum_is_by_groups() {
        let clusters = Clusters::new(&[true; 4], &names(&[0, 0, 1, 1])).unwrap();
        // Groups that agree within: twice the variance of four rows of their own.
        assert!((clusters.variance_of_sum([1.0, 1.0, -1.0, -1.0]) - 16.0).abs() < 1e-12);
        let single = Clusters::new(&[true; 4], &names(&[0, 1, 2, 3])).unwrap();
        assert!((single.variance_of_sum([1.0, 1.0, -1.0, -1.0]) - 16.0 / 3.0).abs() < 1e-12);
        assert!((clusters.size_seen_by_a_row() - 2.0).abs() < 1e-12 && !clusters.are_single_rows());
    }
}
