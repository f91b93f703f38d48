//! Single statements with the states of all their tokens.
//!
//! In half of the sets that carry truth it is in the last token, where learning a place gains nothing; in the others it is
//! in one token anywhere.

use ccs::tch::Tensor;
use ccs::{Contrast, SeedTree, Statements, TokenStates};
use ccs_report::{Finding, Method};
use ccs_trainer::{MemoryTokens, Rows, Run};
use rand::RngExt as _;
use rand_distr::StandardNormal;

use crate::cells::Cell;
use crate::claims::{Claims, PLACE, Truths};

const DIM: usize = 6;
/// Rows of the sample that probes are compared with.
const MANY: usize = 4000;

/// Where statements come from.
pub(crate) struct Population {
    /// How far true and false statements lie apart.
    truth: f64,
    /// Whether at the last token; else at one anywhere, which has a mark.
    at_last: bool,
    seeds: SeedTree,
}

struct Drawn {
    labels: Vec<bool>,
    groups: Vec<String>,
    lengths: Vec<usize>,
    states: Vec<f32>,
}

impl Population {
    pub(crate) fn draw(cell: &Cell, seeds: &SeedTree) -> Self {
        let mut rng = seeds.child("population").rng();
        let truth = if cell.planted { 2.0 * rng.random_range(0.2..1.0) } else { 0.0 };
        Self { truth, at_last: rng.random_bool(0.5), seeds: *seeds }
    }

    /// Statements to fit on.
    pub(crate) fn sample(&self, rows: usize) -> MemoryTokens {
        let Drawn { labels, groups, lengths, states } = self.rows_of(rows, "sample");
        let ids = (0..rows).map(|row| row.to_string()).collect();
        let rows = Rows { ids, labels, groups, ..Rows::default() };
        MemoryTokens::new(rows, vec![lengths]).with_layer("hook_embed", vec![states])
    }

    fn rows_of(&self, rows: usize, stream: &str) -> Drawn {
        let mut rng = self.seeds.child(stream).rng();
        let (mut labels, mut groups, mut lengths, mut states) = (vec![], vec![], vec![], vec![]);
        for row in 0..rows {
            let (label, length) = (rng.random_bool(0.5), rng.random_range(2..6));
            let place = if self.at_last { length - 1 } else { rng.random_range(0..length) };
            for token in 0..length {
                for axis in 0..DIM {
                    let noise: f64 = rng.sample(StandardNormal);
                    let of_axis = match axis {
                        _ if token != place => 0.0,
                        1 => self.truth * if label { 1.0 } else { -1.0 },
                        2 => 2.0,
                        _ => 0.0,
                    };
                    states.push((noise + of_axis) as f32);
                }
            }
            labels.push(label);
            groups.push(format!("subject {row}"));
            lengths.push(length);
        }
        Drawn { labels, groups, lengths, states }
    }
}

impl Drawn {
    fn statements(&self) -> ccs::Result<Contrast> {
        let states = Tensor::f_from_slice(&self.states)?.f_reshape([-1, DIM as i64])?;
        let mut offsets = vec![0];
        let mut end = 0;
        for length in &self.lengths {
            end += length;
            offsets.push(end);
        }
        let states = TokenStates::new(states, offsets)?;
        let rows = Statements::of_tokens(states, self.labels.clone(), self.groups.clone())?;
        rows.as_contrast().select(&(0..self.labels.len()).collect::<Vec<_>>())
    }
}

/// The claims of a run on a sample of a population.
pub(crate) fn judge(run: &Run, population: &Population) -> ccs::Result<Claims> {
    let many = population.rows_of(MANY, "many");
    let truths = Truths::of(run, &|_| many.statements())?;
    let mut found = truths.claims(&run.report, Method::ATTENTION);
    let fixed = [Method::LAST, Method::MEAN].into_iter().filter_map(|method| truths.auroc(method));
    let best = fixed.fold(0.0, f64::max);
    let beats = truths.wrong(&run.report, &|f| f == Finding::PlaceLearned, &|_, auroc| auroc > best);
    found.insert(PLACE.to_owned(), beats);
    Ok(found)
}
