//! How large weights and states are, and what stands out among them.

use tch::{Kind, Tensor};

use super::super::{Forward, Llama};
use super::Problem;
use crate::batch::Batch;
use crate::checkpoint::{BlockWeight, Weight};
use crate::error::Result;
use crate::hooks::{Action, Activation, FnHook, HookSet, Tokens};

/// Among the blocks of published models, a matrix's root mean square is within a factor of ten of the median.
const LARGER: f64 = 100.0;

/// The first blocks of some models make the stream tens of times as large.
const GROWTH: f64 = 1000.0;

impl Llama {
    /// What stands out among the weights.
    pub(super) fn check_weights(&self) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        let mut sizes: Vec<(Weight, f64)> = Vec::new();
        for weight in Weight::all(&self.config) {
            let tensor = self.weight(weight)?;
            let size = size(&tensor)?;
            if size == 0.0 && !is_bias(weight) {
                problems.push(Problem::Zero(weight));
            } else if weight.is_gain() && tensor.numel() > 1 && tensor.f_max()?.f_equal(&tensor.f_min()?)? {
                problems.push(Problem::ConstantGain(weight));
            }
            sizes.push((weight, size));
        }
        problems.extend(standing_out(&sizes));
        problems.extend(self.same_blocks(&sizes)?);
        Ok(problems)
    }

    /// Blocks with the same queries.
    fn same_blocks(&self, sizes: &[(Weight, f64)]) -> Result<Option<Problem>> {
        let of = |weight: &Weight| match weight {
            Weight::Block(block, BlockWeight::Q) => Some(*block),
            _ => None,
        };
        let queries: Vec<(usize, f64)> =
            sizes.iter().filter_map(|(weight, size)| Some((of(weight)?, *size))).collect();
        for (at, (one, size)) in queries.iter().enumerate() {
            for (other, _) in queries[..at].iter().filter(|(_, other)| other.to_bits() == size.to_bits()) {
                let q = |block| self.weight(Weight::Block(block, BlockWeight::Q));
                if q(*one)?.f_equal(&q(*other)?)? {
                    return Ok(Some(Problem::SameBlocks([*other, *one])));
                }
            }
        }
        Ok(None)
    }

    /// The root mean square of the residual stream at each layer, over a text's tokens but the first.
    pub(super) fn stream_sizes(&self, ids: &[u32]) -> Result<Vec<f64>> {
        let layers = self.config.n_layers;
        let mut sizes = Vec::with_capacity(layers + 1);
        let from = 1.min(ids.len().saturating_sub(1));
        let all = Tokens::At(vec![(from..ids.len()).collect()]);
        let visit = |activation: &Activation<'_>| {
            sizes.push(size(&activation.select(&all)?)?);
            Ok(Action::Keep)
        };
        let mut hook = FnHook::new(HookSet::residual_stream(layers), visit);
        self.forward(&Batch::new(&[ids])?, Forward::new().hook(&mut hook))?;
        Ok(sizes)
    }
}

/// What is wrong with the sizes of a residual stream, if anything is.
pub(super) fn of_stream(sizes: &[f64]) -> Option<Problem> {
    if let Some(layer) = sizes.iter().position(|size| !size.is_finite()) {
        return Some(Problem::NotFinite { layer: Some(layer) });
    }
    let grown = sizes.windows(2).map(|pair| pair[1] / pair[0]).enumerate();
    let (block, ratio) = grown.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (ratio > GROWTH).then_some(Problem::Growth { block, ratio })
}

/// Matrices that are much larger or smaller than those of the other blocks.
fn standing_out(sizes: &[(Weight, f64)]) -> Vec<Problem> {
    let part_of = |weight: &Weight| match weight {
        Weight::Block(_, part) if !weight.is_gain() && !is_bias(*weight) => Some(*part),
        _ => None,
    };
    let mut problems = Vec::new();
    for (weight, size) in sizes.iter().filter(|(_, size)| *size > 0.0) {
        let Some(part) = part_of(weight) else { continue };
        let mut all: Vec<f64> =
            sizes.iter().filter(|(other, _)| part_of(other) == Some(part)).map(|(_, size)| *size).collect();
        all.sort_by(f64::total_cmp);
        let ratio = size / all[all.len() / 2];
        if all.len() > 2 && !(1.0 / LARGER..=LARGER).contains(&ratio) {
            problems.push(Problem::Size { weight: *weight, ratio });
        }
    }
    problems
}

/// Biases may be anything, zero included.
fn is_bias(weight: Weight) -> bool {
    use BlockWeight::{KBias, OBias, QBias, VBias};
    matches!(weight, Weight::Block(_, QBias | KBias | VBias | OBias))
}

/// The root mean square.
fn size(tensor: &Tensor) -> Result<f64> {
    let count = tensor.numel().max(1) as f64;
    let norm = tensor
        .f_norm_scalaropt_dtype(2.0, if tensor.kind() == Kind::Double { Kind::Double } else { Kind::Float });
    Ok(norm?.f_double_value(&[])? / count.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_out_is_named() {
        let of = |block, size| (Weight::Block(block, BlockWeight::Q), size);
        assert!(standing_out(&[of(0, 1.0), of(1, 90.0), of(2, 1.1)]).is_empty());
        let found = standing_out(&[of(0, 1.0), of(1, 200.0), of(2, 1.0), (Weight::Embed, 1e6)]);
        assert_eq!(found, [Problem::Size { weight: Weight::Block(1, BlockWeight::Q), ratio: 200.0 }]);
        assert_eq!(of_stream(&[1.0, f64::NAN, 2.0]), Some(Problem::NotFinite { layer: Some(1) }));
        assert_eq!(of_stream(&[1.0, 2.0, 5000.0]), Some(Problem::Growth { block: 1, ratio: 2500.0 }));
        assert_eq!(of_stream(&[1.0, 40.0]), None);
    }
}
