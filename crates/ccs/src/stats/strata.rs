//! How well scores rank rows within strata: rows that have the same value of some column.
//!
//! A probe that has found the relation of a statement, and not its truth, may still rank true above false where some relations
//! are true more often. Within a relation it cannot.

use std::collections::BTreeMap;

use super::metrics::{Pairs, Placements, Scored};
use crate::{Error, Result};

impl Scored<'_> {
    /// How each row stands among the rows of the other label *in its own stratum*; their AUROC is the share of pairs of a true
    /// and a false row of one stratum that are ranked rightly, all strata together. `None` where no stratum has both labels.
    /// Rows of stratum `None` count nowhere.
    ///
    /// # Shapes
    /// `strata`: N.
    ///
    /// # Errors
    /// Another number of strata.
    pub fn placements_within(&self, strata: &[Option<usize>]) -> Result<Option<Placements>> {
        let (scores, labels, threshold) = (self.scores(), self.labels(), self.threshold());
        if strata.len() != labels.len() {
            return Err(Error::Length { what: "strata", expected: labels.len(), found: strata.len() });
        }
        let mut rows_of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (row, stratum) in strata.iter().enumerate() {
            if let Some(stratum) = stratum {
                rows_of.entry(*stratum).or_default().push(row);
            }
        }
        let mut within = Vec::new();
        for rows in rows_of.into_values() {
            let of = |row: &usize| Some((*scores.get(*row)?, *labels.get(*row)?));
            let (scores, labels): (Vec<f64>, Vec<bool>) = rows.iter().filter_map(of).unzip();
            within.extend(Scored::new(&scores, &labels, threshold)?.placements().map(|found| (rows, found)));
        }
        if within.is_empty() {
            return Ok(None);
        }
        Ok(Some(pooled(within, labels.len())))
    }
}

/// The placements of rows in their strata as those of all rows.
fn pooled(within: Vec<(Vec<usize>, Placements)>, rows: usize) -> Placements {
    let pairs = |of: &Placements| of.trues as f64 * of.falses as f64;
    let all: f64 = within.iter().map(|(_, found)| pairs(found)).sum();
    let several = within.len() > 1;
    let mut pooled = Placements {
        auroc: 0.0,
        influence: vec![0.0; rows],
        trues: 0,
        falses: 0,
        tied: true,
        strata: Vec::new(),
    };
    for (rows, found) in within {
        let share = pairs(&found) / all;
        pooled.auroc += share * found.auroc;
        pooled.trues += found.trues;
        pooled.falses += found.falses;
        pooled.tied &= found.tied;
        if several {
            pooled.strata.push(Pairs { share, trues: found.trues as f64, falses: found.falses as f64 });
        }
        for (row, influence) in rows.into_iter().zip(found.influence) {
            if let Some(of_row) = pooled.influence.get_mut(row) {
                *of_row = share * influence;
            }
        }
    }
    pooled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeedTree;
    use crate::stats::clusters::Clusters;
    use crate::stats::intervals::MISS;
    use rand::RngExt;

    #[test]
    fn a_probe_that_found_the_stratum_is_at_chance_within() {
        // Stratum 0 is mostly true and scores high; within it and within stratum 1 the score says nothing.
        let labels: Vec<bool> =
            (0..80).map(|row| if row < 40 { row % 4 != 0 } else { row % 4 == 0 }).collect();
        let strata: Vec<Option<usize>> = (0..80).map(|row| Some(usize::from(row >= 40))).collect();
        let scores: Vec<f64> =
            (0..80).map(|row| if row < 40 { 10.0 } else { 0.0 } + f64::from((row * 7 % 5) as u8)).collect();
        let scored = Scored::new(&scores, &labels, 5.0).unwrap();
        assert!(scored.auroc().unwrap() > 0.7);
        let within = scored.placements_within(&strata).unwrap().unwrap();
        assert!((within.auroc - 0.5).abs() < 0.06, "{}", within.auroc);
        assert_eq!((within.trues, within.falses), (40, 40));
        assert!(within.influence.iter().sum::<f64>().abs() < 1e-12);
    }

    #[test]
    fn one_stratum_is_all_rows_and_rows_of_none_count_nowhere() {
        let labels: Vec<bool> = (0..30).map(|row| row % 3 == 0).collect();
        let scores: Vec<f64> = (0..30).map(|row| f64::from(row * 11 % 17)).collect();
        let scored = Scored::new(&scores, &labels, 0.0).unwrap();
        let all = scored.placements_within(&[Some(3); 30]).unwrap().unwrap();
        assert_eq!(Some(all), scored.placements());
        let mut strata = [Some(0); 30];
        strata[20..].fill(None);
        let part = scored.placements_within(&strata).unwrap().unwrap();
        let first = Scored::new(&scores[..20], &labels[..20], 0.0).unwrap();
        assert_eq!(Some(part.auroc), first.auroc());
        assert!(part.influence[20..].iter().all(|&i| i == 0.0));
        assert_eq!(scored.placements_within(&[None; 30]).unwrap(), None);
        assert!(scored.placements_within(&[None; 29]).is_err());
    }

    #[test]
    fn the_interval_holds_however_small_the_strata_are() {
        // Rows in strata of one or a few of each label, single or in groups of two that are of two strata: the true AUROC is
        // one half, whatever the stratum's own level.
        for (of_each, in_pairs) in [([1, 1], false), ([2, 3], false), ([1, 12], false), ([2, 2], true)] {
            let (draws, strata) = (300, 40);
            let mut rng = SeedTree::new(5).indexed("strata", of_each[1]).rng();
            let missed = (0..draws).filter(|_| {
                let (mut labels, mut of_row, mut scores) = (Vec::new(), Vec::new(), Vec::new());
                for stratum in 0..strata {
                    let level = rng.random_range(0.0..5.0);
                    for (label, rows) in [(true, of_each[0]), (false, of_each[1])] {
                        for _ in 0..rows {
                            labels.push(label);
                            of_row.push(Some(stratum));
                            scores.push(level + rng.random_range(0.0..1.0));
                        }
                    }
                }
                let groups: Vec<String> = (0..labels.len())
                    .map(|row| if in_pairs { row % (labels.len() / 2) } else { row }.to_string())
                    .collect();
                let scored = Scored::new(&scores, &labels, 0.0).unwrap();
                let within = scored.placements_within(&of_row).unwrap().unwrap();
                let clusters = Clusters::new(&labels, &groups).unwrap();
                let [low, high] = clusters.auroc_interval(&within, MISS).unwrap();
                0.5 < low || high < 0.5
            });
            // Of 300 intervals that miss with 5%, more than 27 miss with probability 0.1%.
            let missed = missed.count();
            assert!(missed <= 27, "{of_each:?}: {missed} of {draws}");
        }
    }
}
