//! Whether a model that loads computes what it was trained to compute, by what its own numbers allow.
//!
//! A file that was converted wrongly loads like any other: shapes are right, numbers are finite. What tells is a text that
//! every language model finds likely. `readings.rs` reads the same weights in the other ways that converters confuse, and a
//! reading that makes the text likelier names the mistake; `sizes.rs` looks at weights and states.

use std::fmt;

use super::Llama;
use super::blocks::Blocks;
use crate::checkpoint::Weight;
use crate::error::{Error, Result};
use crate::score::Continuation;

mod readings;
mod sizes;

pub use readings::Reading;

/// What [`Llama::check`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCheck {
    /// Tokens of the text that were scored.
    pub tokens: usize,
    /// The mean of their log-probabilities, natural logarithm.
    pub mean_log_prob: f64,
    /// What guessing would give: −ln V.
    pub chance: f64,
    /// The root mean square of the residual stream at each layer, over the text's tokens but the first (which many models
    /// make very large).
    pub stream: Vec<f64>,
    /// The same weights read otherwise, and the mean log-probability that the text then has.
    pub readings: Vec<(Reading, f64)>,
    /// What looks wrong; empty if nothing does.
    pub problems: Vec<Problem>,
}

/// Something about a model that looks wrong.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Problem {
    /// States or logits are not finite.
    NotFinite {
        /// The first layer whose residual stream is not; `None` where only the logits are not.
        layer: Option<usize>,
    },
    /// The text is hardly likelier than by guessing.
    NearChance,
    /// The text is likelier if the weights are read in another way.
    Reading {
        /// In which.
        reading: Reading,
        /// By how much, in nats a token.
        gain: f64,
    },
    /// A gain of a norm has the same number everywhere, as no trained one has.
    ConstantGain(Weight),
    /// A weight is zero everywhere.
    Zero(Weight),
    /// A weight of a block is much larger or smaller than the same weight of the other blocks.
    Size {
        /// Which.
        weight: Weight,
        /// How many times as large as the median of all blocks.
        ratio: f64,
    },
    /// Two blocks have the same weights.
    SameBlocks([usize; 2]),
    /// A block makes the residual stream very much larger.
    Growth {
        /// The block.
        block: usize,
        /// How many times as large.
        ratio: f64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite { layer: Some(layer) } => {
                write!(f, "the residual stream at layer {layer} is not finite")
            }
            Self::NotFinite { layer: None } => f.write_str("the logits are not finite"),
            Self::NearChance => f.write_str("the text is hardly likelier than by guessing"),
            Self::Reading { reading, gain } => {
                write!(f, "the text is likelier by {gain:.2} nats a token if {reading}")
            }
            Self::ConstantGain(weight) => write!(f, "{} is the same number everywhere", called(*weight)),
            Self::Zero(weight) => write!(f, "{} is zero everywhere", called(*weight)),
            Self::Size { weight, ratio } => {
                write!(f, "{} is {ratio:.2e} times as large as in the other blocks", called(*weight))
            }
            Self::SameBlocks([one, other]) => write!(f, "blocks {one} and {other} have the same weights"),
            Self::Growth { block, ratio } => {
                write!(f, "block {block} makes the residual stream {ratio:.0} times as large")
            }
        }
    }
}

/// A weight for people: `W_Q of block 3`.
fn called(weight: Weight) -> String {
    match weight {
        Weight::Block(block, part) => format!("{part:?} of block {block}"),
        Weight::FinalNorm => "the gain of the final norm".to_owned(),
        Weight::Embed => "the embedding".to_owned(),
        Weight::Unembed => "the unembedding".to_owned(),
    }
}

/// Text that a model of English finds likely: facts, sequences, and repetitions. For [`Llama::check`].
pub const CHECK_TEXT: &str = "The sun rises in the east and sets in the west. There are seven days in a week: Monday, \
Tuesday, Wednesday, Thursday, Friday, Saturday, and Sunday. One, two, three, four, five, six, seven, eight, nine, ten. The \
capital of France is Paris, the capital of Germany is Berlin, and the capital of Italy is Rome. Once upon a time there was a \
king who had three daughters. The eldest daughter was clever, the second daughter was brave, and the youngest daughter was \
kind. Every morning the king asked the eldest daughter, the second daughter, and the youngest daughter what they wanted to do.";

/// A text less likely than this part of guessing is hardly understood: a vocabulary of 50,000 has 10.8 nats, words by their
/// frequency alone take 7 to 8 of them, and a model that works 1 to 3.
const NEAR_CHANCE: f64 = 0.55;

/// Nats a token by which another reading has to be better. No other reading of a right file gains anything; what rounding
/// changes is far below.
const BETTER: f64 = 0.05;

impl Llama {
    /// Checks a model by a text of its language, the tokens of which are `ids` ([`CHECK_TEXT`] for English): whether weights,
    /// states, and logits are finite and of plausible size, whether the text is likelier than by guessing, and whether it
    /// would be likelier if the weights were read otherwise ([`Reading`]), which names what went wrong in a conversion.
    ///
    /// The model is changed on the way and is the same afterwards.
    ///
    /// # Errors
    /// Fewer than two tokens ([`Error::NoContinuation`]); a model that is streamed, a stage, packed, or headless; what
    /// [`Llama::forward`] refuses.
    pub fn check(&mut self, ids: &[u32]) -> Result<ModelCheck> {
        let Blocks::Resident(_) = &self.blocks else {
            return Err(Error::Streamed { what: "it is not checked" });
        };
        self.check_changeable()?;
        let _no_gradients = tch::no_grad_guard();
        let tokens = ids.len().saturating_sub(1);
        let mut problems = self.check_weights()?;
        let stream = self.stream_sizes(ids)?;
        problems.extend(sizes::of_stream(&stream));
        let chance = -(self.config.vocab_size as f64).ln();
        let mean_log_prob = match self.likelihood(ids) {
            Err(Error::NonFiniteLogits { .. }) => f64::NAN,
            other => other?,
        };
        let mut found = ModelCheck { tokens, mean_log_prob, chance, stream, readings: Vec::new(), problems };
        if mean_log_prob.is_nan() {
            if !found.problems.iter().any(|problem| matches!(problem, Problem::NotFinite { .. })) {
                found.problems.push(Problem::NotFinite { layer: None });
            }
            return Ok(found);
        }
        if mean_log_prob < NEAR_CHANCE * chance {
            found.problems.push(Problem::NearChance);
        }
        found.readings = self.other_readings(ids)?;
        // The best alone: what is wrong once makes several readings better.
        let best = found.readings.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some(&(reading, other)) = best
            && other > mean_log_prob + BETTER
        {
            found.problems.push(Problem::Reading { reading, gain: other - mean_log_prob });
        }
        Ok(found)
    }

    /// Whether the model's weights can be changed where they are.
    fn check_changeable(&self) -> Result<()> {
        if !(self.is_first_stage() && self.is_last_stage()) {
            return Err(Error::Stage { reason: "it is not checked".to_owned() });
        }
        if let Blocks::Resident(blocks) = &self.blocks {
            blocks.iter().try_for_each(|block| block.w_qkv.trainable().map(drop))?;
        }
        self.unembedding().map(drop)
    }

    /// The mean log-probability of a text's tokens but the first.
    fn likelihood(&self, ids: &[u32]) -> Result<f64> {
        let (context, rest) = ids.split_at(1.min(ids.len()));
        let text = Continuation { context: context.to_vec(), ids: rest.to_vec() };
        let scores = self.score(&[text], ids.len())?;
        Ok(scores.first().map_or(f64::NAN, crate::score::Score::mean))
    }
}
