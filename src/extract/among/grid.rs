//! How ranks divide a model: replicas of it, each of as many processes, one behind the other, as it has stages.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Replicas times stages. Rank r is stage `r mod stages` of replica `r / stages`, so that the stages of a replica are
/// neighbors, on one host where they can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grid {
    ranks: usize,
    stages: usize,
    n_layers: usize,
}

impl Grid {
    /// As many stages as somebody wants; otherwise the fewest whose blocks fit, by `fits`, or the most there can be.
    pub(super) fn new(
        ranks: usize,
        n_layers: usize,
        wanted: Option<usize>,
        fits: impl Fn(&Range<usize>) -> bool,
    ) -> Result<Self> {
        let grid = |stages| Self { ranks, stages, n_layers };
        if let Some(stages) = wanted {
            if stages > n_layers || !ranks.is_multiple_of(stages.max(1)) || stages == 0 {
                return Err(Error::Grid { ranks, stages, n_layers });
            }
            return Ok(grid(stages));
        }
        let possible = (1..=ranks.min(n_layers)).filter(|stages| ranks.is_multiple_of(*stages));
        let all_fit = |stages: &usize| (0..*stages).all(|stage| fits(&grid(*stages).blocks(stage)));
        let most = possible.clone().max().unwrap_or(1);
        Ok(grid(possible.clone().find(all_fit).unwrap_or(most)))
    }

    pub(super) fn stages(self) -> usize {
        self.stages
    }

    pub(super) fn stage(self, rank: usize) -> usize {
        rank % self.stages
    }

    pub(super) fn is_last(self, stage: usize) -> bool {
        stage + 1 == self.stages
    }

    /// The blocks of a stage: as even as it goes, the first stages one more. (The last one has the unembedding, too.)
    pub(super) fn blocks(self, stage: usize) -> Range<usize> {
        let (each, more) = (self.n_layers / self.stages, self.n_layers % self.stages);
        let start = |stage: usize| stage * each + stage.min(more);
        start(stage)..start(stage + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_contiguous_and_hold_every_block_once() {
        for (n_layers, stages) in [(32, 2), (60, 8), (5, 3), (4, 4), (7, 1)] {
            let grid = Grid::new(stages * 3, n_layers, Some(stages), |_| true).expect("a grid");
            let blocks: Vec<usize> = (0..stages).flat_map(|stage| grid.blocks(stage)).collect();
            assert_eq!(blocks, (0..n_layers).collect::<Vec<_>>());
            let sizes: Vec<usize> = (0..stages).map(|stage| grid.blocks(stage).len()).collect();
            assert!(sizes.iter().max().expect("some") - sizes.iter().min().expect("some") <= 1);
            assert_eq!((grid.stage(stages), grid.is_last(stages - 1)), (0, true));
        }
    }

    #[test]
    fn the_fewest_stages_that_fit_are_taken_or_the_most_there_can_be() {
        let grid =
            |ranks, room| Grid::new(ranks, 12, None, move |blocks| blocks.len() <= room).expect("a grid");
        assert_eq!(grid(8, 12).stages(), 1);
        assert_eq!(grid(8, 6).stages(), 2);
        assert_eq!(grid(6, 4).stages(), 3);
        assert_eq!(grid(8, 1).stages(), 8); // what does not fit is read from disk
        assert_eq!(Grid::new(16, 4, None, |_| false).expect("a grid").stages(), 4);
        for (ranks, wanted) in [(4, 3), (24, 13), (4, 0)] {
            assert!(Grid::new(ranks, 12, Some(wanted), |_| true).is_err());
        }
    }
}
