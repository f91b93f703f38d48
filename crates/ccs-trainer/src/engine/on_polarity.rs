//! Predictions of affirmative and of negated rows, and of rows beside their negations.

use ccs::baselines::Predictions;
use ccs::negation::{Negation, consistency};
use ccs::pick;
use ccs::stats::clusters::Clusters;
use ccs::stats::intervals::MISS;
use ccs_report::{Estimate, NegationConsistency, OnPolarity};

use crate::Result;
use crate::engine::evaluate::{Predicted, evaluate};

/// Rows with labels and groups. N each
#[derive(Debug, Clone, Copy)]
pub(crate) struct LabeledRows<'a> {
    pub(crate) labels: &'a [bool],
    pub(crate) groups: &'a [String],
}

impl LabeledRows<'_> {
    /// Predictions of some of the rows, with a joint interval that holds for so many results at once.
    pub(crate) fn on(self, all: &Predictions, rows: &[usize], results: usize) -> Result<OnPolarity> {
        let labels = pick(self.labels, rows)?;
        let clusters = Clusters::new(&labels, &pick(self.groups, rows)?)?;
        let predictions = Predictions { scores: pick(&all.scores, rows)?, threshold: all.threshold };
        let test = evaluate(&predictions, &labels, Some(&clusters))?;
        let joint = Predicted::of(&predictions, &labels)?.intervals(&clusters, MISS / results.max(1) as f64);
        Ok(OnPolarity { test, auroc_joint: joint.auroc_ci })
    }

    /// Among some of the rows, groups with a row of the rarer label.
    pub(crate) fn groups_of_rarer_label(self, rows: &[usize]) -> Result<usize> {
        let clusters = Clusters::new(&pick(self.labels, rows)?, &pick(self.groups, rows)?)?;
        Ok(clusters.groups_of_rarer_label())
    }

    /// Decisions on rows and on their negations, which have the same key; none where no row's negation is among them.
    ///
    /// # Shapes
    /// `affirmative`, `keys`: N.
    pub(crate) fn beside_negations(
        self,
        predictions: &Predictions,
        affirmative: &[bool],
        keys: &[usize],
    ) -> Result<Option<NegationConsistency>> {
        let Predictions { scores, threshold } = predictions;
        let found = consistency(scores, *threshold, self.labels, affirmative, keys)?;
        let of_pairs: Vec<usize> = found.pairs.iter().map(|pair| pair.affirmative).collect();
        if of_pairs.is_empty() {
            return Ok(None);
        }
        let clusters = Clusters::new(&pick(self.labels, &of_pairs)?, &pick(self.groups, &of_pairs)?)?;
        let share = |value: Option<f64>, holds: fn(&Negation) -> bool| {
            let each: Vec<bool> = found.pairs.iter().map(holds).collect();
            Estimate { value: value.unwrap_or_default(), ci: clusters.accuracy_interval(&each, MISS) }
        };
        Ok(Some(NegationConsistency {
            pairs: of_pairs.len(),
            turned: share(found.share(), |pair| pair.consistent),
            right: share(found.right(), |pair| pair.right),
        }))
    }
}
