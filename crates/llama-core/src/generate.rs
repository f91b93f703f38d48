//! Text from a prompt: greedy, by temperature, by nucleus.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};
use torch_runtime::{TensorChain as _, TensorExt as _};

use crate::batch::{Attends, Batch, Padding};
use crate::error::{Error, Result};
use crate::hooks::Tokens;
use crate::model::{Forward, KvCache, Llama};

/// How tokens are chosen and when to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 always takes the most likely token.
    pub temperature: f64,
    /// Samples from the most likely tokens that together have at least this probability (nucleus sampling, Holtzman et
    /// al. 2020).
    pub top_p: f64,
    /// The most new tokens for each prompt.
    pub max_new_tokens: usize,
    /// Tokens that end a text; they are not returned.
    pub stop: Vec<u32>,
    /// Seed of the sampling: the same seed gives the same texts.
    pub seed: u64,
}

impl Default for Sampling {
    /// facebookresearch/llama's defaults: temperature 0.8, top-p 0.95, 256 tokens.
    fn default() -> Self {
        Self { temperature: 0.8, top_p: 0.95, max_new_tokens: 256, stop: Vec::new(), seed: 0 }
    }
}

impl Llama {
    /// Continues all prompts together, one token per step, with cached keys and values.
    ///
    /// Returns the new tokens of each prompt.
    ///
    /// # Errors
    /// An empty prompt, a setting outside its range, a token outside the vocabulary.
    pub fn generate<P: AsRef<[u32]>>(&self, prompts: &[P], sampling: &Sampling) -> Result<Vec<Vec<u32>>> {
        sampling.check()?;
        let batch = Batch::padded(prompts, Padding::Left)?;
        let (rows, width) = batch.shape();
        let mut texts: Vec<Vec<u32>> = vec![Vec::new(); prompts.len()];
        if prompts.is_empty() || sampling.max_new_tokens == 0 {
            return Ok(texts);
        }
        let room = i64::try_from(sampling.max_new_tokens).unwrap_or(i64::MAX);
        let capacity = width.saturating_add(room);
        let mut cache = KvCache::new(self, rows, capacity)?;
        let mut ended = vec![false; prompts.len()];
        // One stream a prompt, so that a prompt's text does not depend on its neighbors.
        let mut rngs: Vec<_> = (0..prompts.len() as u64)
            .map(|row| {
                let mut rng = ChaCha8Rng::seed_from_u64(sampling.seed);
                rng.set_stream(row);
                rng
            })
            .collect();
        let mut positions: Vec<i64> = batch.lengths().iter().map(|&n| n as i64).collect();
        let mut seen = real_columns(&batch)?; // [B, T] bool
        let mut step = batch;
        loop {
            let output = self.forward(&step, Forward::new().cache(&mut cache).logits(Tokens::Last))?;
            let Some(logits) = output.logits else { return Ok(texts) };
            let next = self.chosen_by_first(sampling.choose(&logits, &mut rngs)?)?;
            for (row, &id) in next.iter().enumerate() {
                ended[row] |= sampling.stop.contains(&id);
                if !ended[row] {
                    texts[row].push(id);
                    ended[row] = texts[row].len() == sampling.max_new_tokens;
                }
            }
            if ended.iter().all(|&e| e) {
                return Ok(texts);
            }
            seen = Tensor::f_cat(&[&seen, &Tensor::f_ones([rows, 1], (Kind::Bool, Device::Cpu))?], 1)?;
            step = Batch::step(&next, &positions, &seen)?;
            for position in &mut positions {
                *position += 1;
            }
        }
    }
}

/// Which columns of a left-padded batch hold tokens.
///
/// # Shapes
/// → \[B, T\] bool
fn real_columns(batch: &Batch) -> Result<Tensor> {
    let (rows, width) = batch.shape();
    match &batch.attends {
        Attends::Causal => Ok(Tensor::f_ones([rows, width], (Kind::Bool, Device::Cpu))?),
        // The last column sees exactly the real ones.
        Attends::Mask(mask) => Ok(mask.f_select(1, 0)?.f_select(1, width - 1)?),
    }
}

impl Sampling {
    fn check(&self) -> Result<()> {
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            let hint = "0 takes the likeliest token, 1 samples the model's own distribution";
            return Err(Error::Setting { setting: "temperature", value: self.temperature, hint });
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::Setting { setting: "top_p", value: self.top_p, hint: "above 0, at most 1" });
        }
        Ok(())
    }

    /// # Shapes
    /// `logits` \[B, V\] → one id a row
    fn choose(&self, logits: &Tensor, rngs: &mut [ChaCha8Rng]) -> Result<Vec<u32>> {
        let finite: Vec<bool> =
            Vec::try_from(&logits.f_isfinite()?.f_all_dim(-1, false)?.f_to_device(Device::Cpu)?)?;
        if let Some(prompt) = finite.iter().position(|f| !f) {
            return Err(Error::NonFiniteLogits { prompt });
        }
        let to_ids = |ids: Vec<i64>| ids.into_iter().map(|id| id as u32).collect();
        if self.temperature == 0.0 {
            return Ok(to_ids(Vec::try_from(&logits.f_argmax(-1, false)?.f_to_device(Device::Cpu)?)?));
        }
        // In f64, and from the largest down: a tiny temperature must not overflow.
        let logits = logits.f_to_kind(Kind::Double)?;
        let largest = logits.f_amax([-1i64].as_slice(), true)?;
        let probabilities = logits.f_sub(&largest).div(self.temperature).softmax(-1, Kind::Double)?;
        let (_, vocab) = logits.dims2("logits")?;
        let flat: Vec<f64> = Vec::try_from(&probabilities.f_to_device(Device::Cpu)?.f_flatten(0, -1)?)?;
        Ok(flat.chunks(vocab as usize).zip(rngs).map(|(row, rng)| nucleus(row, self.top_p, rng)).collect())
    }
}

/// Draws from the smallest set of likeliest tokens whose probabilities sum to at least `top_p`.
fn nucleus(probabilities: &[f64], top_p: f64, rng: &mut impl Rng) -> u32 {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]).then(a.cmp(&b)));
    let mut mass = 0.0;
    let mut kept = 0;
    for &id in &order {
        mass += probabilities[id];
        kept += 1;
        if mass >= top_p {
            break;
        }
    }
    let mut left = rng.random::<f64>() * mass;
    for &id in &order[..kept] {
        left -= probabilities[id];
        if left < 0.0 {
            return id as u32;
        }
    }
    order[kept - 1] as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nucleus_is_the_smallest_set_that_reaches_top_p() {
        let probabilities = [0.1, 0.5, 0.05, 0.3, 0.05];
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut counts = [0usize; 5];
        for _ in 0..20_000 {
            counts[nucleus(&probabilities, 0.8, &mut rng) as usize] += 1;
        }
        assert_eq!([counts[0], counts[2], counts[4]], [0, 0, 0]);
        // 5/8 and 3/8 of 20,000, five standard deviations wide.
        assert!((counts[1] as f64 - 12_500.0).abs() < 345.0, "{counts:?}");
        assert_eq!(nucleus(&probabilities, 1e-9, &mut rng), 1);
    }
}
