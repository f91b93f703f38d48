//! The same weights, read in the other ways that converters confuse.

use std::fmt;

use tch::Tensor;

use super::super::Llama;
use super::super::blocks::Blocks;
use crate::checkpoint::{BlockWeight, Weight};
use crate::config::{Config, RopeScaling};
use crate::error::{Error, Result};

/// Bases of rotary embeddings that published models have.
const BASES: [f64; 4] = [1e4, 1e5, 5e5, 1e6];

/// Another way of reading a model's weights.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reading {
    /// Dimension 2i of a head of queries and keys turns with 2i + 1, as in Meta's files, where it is read as i with i + K/2.
    Interleaved,
    /// The reverse.
    Halves,
    /// Gate and up projection change places.
    GateIsUp,
    /// Gains of norms have one added, as Gemma's are stored without it.
    GainPlusOne,
    /// Gains of norms have one subtracted.
    GainMinusOne,
    /// Another base of the rotary embedding.
    RopeTheta(f64),
    /// Rotary embedding without its scaling.
    RopeUnscaled,
    /// Queries and keys change places.
    QueryIsKey,
    /// Blocks in the order of their numbers, where they were sorted as text: 0, 1, 10, 11, 2.
    BlocksAsText,
    /// The unembedding is the embedding.
    Tied,
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interleaved => f.write_str("queries and keys are in the interleaved rotary order"),
            Self::Halves => f.write_str(
                "queries and keys are put into the other order once more, from interleaved to halves",
            ),
            Self::GateIsUp => f.write_str("the gate and the up projection change places"),
            Self::GainPlusOne => f.write_str("one is added to the gains of norms"),
            Self::GainMinusOne => f.write_str("one is subtracted from the gains of norms"),
            Self::RopeTheta(base) => write!(f, "the rotary embedding has the base {base}"),
            Self::RopeUnscaled => f.write_str("the rotary embedding is not scaled"),
            Self::QueryIsKey => f.write_str("queries and keys change places"),
            Self::BlocksAsText => {
                f.write_str("blocks are put into the order of their numbers, from one sorted as text")
            }
            Self::Tied => f.write_str("the unembedding is the embedding"),
        }
    }
}

/// What puts a model back as it was.
enum Undo {
    /// Rows were put into another order, by these parts of each block.
    Rows(Reading),
    /// These tensors were changed, and were this before.
    Tensors(Vec<(Tensor, Tensor)>),
    Rope(Tensor, RopeScaling),
    Blocks(Vec<usize>),
    Unembed(Option<Tensor>),
}

impl Llama {
    /// The mean log-probability of a text by every other reading that the model can have.
    pub(super) fn other_readings(&mut self, ids: &[u32]) -> Result<Vec<(Reading, f64)>> {
        let mut found = Vec::new();
        for reading in readings(&self.config) {
            let undo = self.read_as(reading)?;
            let likelihood = self.likelihood(ids);
            self.undo(undo)?;
            match likelihood {
                Err(Error::NonFiniteLogits { .. }) => {}
                other => found.push((reading, other?)),
            }
        }
        Ok(found)
    }

    fn read_as(&mut self, reading: Reading) -> Result<Undo> {
        Ok(match reading {
            Reading::Interleaved | Reading::Halves | Reading::GateIsUp | Reading::QueryIsKey => {
                self.reorder(reading)?;
                Undo::Rows(reading)
            }
            Reading::GainPlusOne => self.add_to_gains(1.0)?,
            Reading::GainMinusOne => self.add_to_gains(-1.0)?,
            Reading::RopeTheta(base) => self.turn_by(Config { rope_theta: base, ..self.config.clone() })?,
            Reading::RopeUnscaled => {
                self.turn_by(Config { rope_scaling: RopeScaling::None, ..self.config.clone() })?
            }
            Reading::BlocksAsText => {
                let order = as_text(self.config.n_layers);
                self.order_blocks(&order);
                Undo::Blocks(order)
            }
            Reading::Tied => {
                let embed = self.embed.f_to_kind(self.precision.product())?;
                Undo::Unembed(self.unembed.replace(embed))
            }
        })
    }

    fn undo(&mut self, undo: Undo) -> Result<()> {
        match undo {
            Undo::Rows(Reading::Interleaved) => self.reorder(Reading::Halves)?,
            Undo::Rows(Reading::Halves) => self.reorder(Reading::Interleaved)?,
            Undo::Rows(own_inverse) => self.reorder(own_inverse)?,
            Undo::Tensors(changed) => {
                for (mut now, before) in changed {
                    now.f_copy_(&before)?;
                }
            }
            Undo::Rope(rope, scaling) => (self.rope, self.config.rope_scaling) = (rope, scaling),
            Undo::Blocks(order) => {
                let mut back = vec![0; order.len()];
                order.iter().enumerate().for_each(|(at, &number)| back[number] = at);
                self.order_blocks(&back);
            }
            Undo::Unembed(unembed) => self.unembed = unembed,
        }
        Ok(())
    }

    /// Puts rows of each block's matrices into another order.
    fn reorder(&self, reading: Reading) -> Result<()> {
        use BlockWeight::{Gate, K, KBias, KNorm, Q, QBias, QNorm, Up};
        for block in 0..self.config.n_layers {
            let weight = |part| self.weight(Weight::Block(block, part));
            match reading {
                Reading::GateIsUp => swap(&weight(Gate)?, &weight(Up)?)?,
                Reading::QueryIsKey => swap(&weight(Q)?, &weight(K)?)?,
                _ => {
                    for part in
                        [Q, K, QBias, KBias, QNorm, KNorm].into_iter().filter(|part| part.is_of(&self.config))
                    {
                        let mut rows = weight(part)?;
                        let shape = Weight::Block(block, part).shape(&self.config);
                        let order = rotary_order(&self.config, shape[0], reading == Reading::Interleaved);
                        let order = Tensor::f_from_slice(&order)?.f_to_device(self.device)?;
                        rows.f_copy_(&rows.f_index_select(0, &order)?)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds to all gains.
    fn add_to_gains(&self, number: f64) -> Result<Undo> {
        let mut changed = Vec::new();
        for weight in Weight::all(&self.config).filter(|weight| weight.is_gain()) {
            let mut gain = self.weight(weight)?;
            let before = gain.f_alias_copy()?;
            let _ = gain.f_add_scalar_(number)?;
            changed.push((gain, before));
        }
        Ok(Undo::Tensors(changed))
    }

    /// Takes the rotary embedding of another configuration.
    fn turn_by(&mut self, other: Config) -> Result<Undo> {
        let rope = Tensor::f_from_slice(&other.rope_frequencies())?.f_to_device(self.device)?;
        let before = std::mem::replace(&mut self.rope, rope);
        Ok(Undo::Rope(before, std::mem::replace(&mut self.config.rope_scaling, other.rope_scaling)))
    }

    /// Block `order[at]` becomes the one that stands `at`.
    fn order_blocks(&mut self, order: &[usize]) {
        if let Blocks::Resident(blocks) = &mut self.blocks {
            let mut numbered: Vec<_> = std::mem::take(blocks).into_iter().zip(order).collect();
            numbered.sort_by_key(|(_, number)| **number);
            *blocks = numbered.into_iter().map(|(block, _)| block).collect();
        }
    }
}

/// The other readings that a configuration allows.
fn readings(config: &Config) -> Vec<Reading> {
    let mut all = vec![
        Reading::Interleaved,
        Reading::Halves,
        Reading::GateIsUp,
        Reading::GainPlusOne,
        Reading::GainMinusOne,
    ];
    let others = BASES.into_iter().filter(|base| (base - config.rope_theta).abs() > 1e-6 * base);
    all.extend(others.map(Reading::RopeTheta));
    let possible = [
        (Reading::RopeUnscaled, config.rope_scaling != RopeScaling::None),
        (Reading::QueryIsKey, config.n_heads == config.n_kv_heads),
        (Reading::BlocksAsText, config.n_layers > 10),
        (Reading::Tied, !config.tied_embeddings),
    ];
    all.extend(possible.into_iter().filter_map(|(reading, is)| is.then_some(reading)));
    all
}

/// The rows of heads in the order of halves where they are interleaved, or the reverse.
fn rotary_order(config: &Config, rows: i64, from_interleaved: bool) -> Vec<i64> {
    let (width, turned) = (config.head_dim, config.rotary_dim.unwrap_or(config.head_dim));
    let own = |row: i64| {
        let (head, at) = (row / width * width, row % width);
        let from = match (at < turned, from_interleaved) {
            (false, _) => at,
            (true, true) => 2 * (at % (turned / 2)) + at / (turned / 2),
            (true, false) => at / 2 + at % 2 * (turned / 2),
        };
        head + from
    };
    (0..rows).map(own).collect()
}

/// The numbers of blocks sorted as text.
fn as_text(blocks: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..blocks).collect();
    numbers.sort_by_key(usize::to_string);
    numbers
}

fn swap(one: &Tensor, other: &Tensor) -> Result<()> {
    let (mut one, mut other) = (one.f_alias()?, other.f_alias()?);
    let before = one.f_alias_copy()?;
    one.f_copy_(&other)?;
    other.f_copy_(&before)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_of_rows_are_each_others_inverse() {
        let config = Config { head_dim: 8, rotary_dim: Some(6), ..Config::default() };
        let halves = rotary_order(&config, 16, true);
        assert_eq!(halves[..8], [0, 2, 4, 1, 3, 5, 6, 7]);
        let back = rotary_order(&config, 16, false);
        assert!((0..16).all(|row| halves[back[row] as usize] == row as i64));
        assert_eq!(as_text(12), [0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
