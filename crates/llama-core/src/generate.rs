//! Text from a prompt: greedy, by temperature, by nucleus.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};
use torch_runtime::{TensorChain as _, TensorExt as _};

use crate::error::{Error, Result};
use crate::hooks::{Hook, Tokens};
use crate::model::{Forward, KvCache, Llama};

mod text;

pub use text::{Ended, Generated};

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
        self.continue_all(prompts, sampling, None, &mut |_, _| Ok(false))
    }

    /// Continues all prompts while a hook visits the model: steering, ablation ([`crate::Edits`]), or a look at what is
    /// generated.
    ///
    /// The hook sees every token once: those of the prompts in the first pass, and then in a pass of its own each token that
    /// was generated. What it changes stays in the keys and values that later tokens read. [`Tokens`] mean:
    ///
    /// | | tokens |
    /// |---|---|
    /// | [`Tokens::All`] | every token, the prompt's and those generated |
    /// | [`Tokens::Last`] | the prompt's last token and every one generated: those after which a token is chosen |
    /// | [`Tokens::First`] | the prompt's first |
    /// | [`Tokens::At`] | these positions of the text, counted from the prompt's first token; one that lies beyond the prompt is that of a generated token, if the text gets that long |
    ///
    /// So an edit gives what it would give if the whole text were run again for each token, with the same edit at the same
    /// positions ([`Tokens::Last`]: at each position that was the last one before), up to rounding. `rows` and `strengths` of
    /// an [`crate::Edit`] count the prompts. A [`crate::Change::Patch`] brings values for as many tokens as a pass has, so give it
    /// positions of the prompts.
    ///
    /// ```
    /// # use llama_core::{Change, Config, Edit, Edits, HookPoint, Llama, Precision, Sampling, Tokens, tch};
    /// # let config = Config { dim: 8, n_layers: 2, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    /// #     vocab_size: 10, ..Config::default() };
    /// # let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
    /// let direction = tch::Tensor::f_ones([8], (tch::Kind::Float, tch::Device::Cpu))?; // [D]
    /// let steer: Edits = Edit::new(HookPoint::resid_post(0), Tokens::Last, Change::add(&direction, 4.0)?).into();
    /// let mut hook = steer.hook(llama.config(), llama.device())?;
    /// let greedy = Sampling { temperature: 0.0, max_new_tokens: 5, ..Sampling::default() };
    /// let texts = llama.generate_with(&[vec![1, 2, 3], vec![4]], &greedy, &mut hook)?;
    /// assert_eq!(texts[1].len(), 5);
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Llama::generate`]; the hook's.
    pub fn generate_with<P: AsRef<[u32]>>(
        &self,
        prompts: &[P],
        sampling: &Sampling,
        hook: &mut dyn Hook,
    ) -> Result<Vec<Vec<u32>>> {
        self.continue_all(prompts, sampling, Some(hook), &mut |_, _| Ok(false))
    }

    /// The loop of all generation. `ended` is asked after each new token of a prompt whether its text ends with it.
    fn continue_all<P: AsRef<[u32]>>(
        &self,
        prompts: &[P],
        sampling: &Sampling,
        mut hook: Option<&mut dyn Hook>,
        ended: &mut dyn FnMut(usize, &[u32]) -> Result<bool>,
    ) -> Result<Vec<Vec<u32>>> {
        sampling.check()?;
        let mut texts: Vec<Vec<u32>> = vec![Vec::new(); prompts.len()];
        let (mut cache, mut step) = KvCache::begin(self, prompts, sampling.max_new_tokens)?;
        if prompts.is_empty() || sampling.max_new_tokens == 0 {
            return Ok(texts);
        }
        let mut done = vec![false; prompts.len()];
        // One stream a prompt, so that a prompt's text does not depend on its neighbors.
        let mut rngs: Vec<_> = (0..prompts.len() as u64)
            .map(|row| {
                let mut rng = ChaCha8Rng::seed_from_u64(sampling.seed);
                rng.set_stream(row);
                rng
            })
            .collect();
        loop {
            let mut run = Forward::new().cache(&mut cache).logits(Tokens::Last);
            if let Some(hook) = hook.as_deref_mut() {
                run = run.hook(hook);
            }
            let Some(logits) = self.forward(&step, run)?.logits else { return Ok(texts) };
            let next = self.chosen_by_first(sampling.choose(&logits, &mut rngs)?)?;
            for (row, &id) in next.iter().enumerate() {
                done[row] |= sampling.stop.contains(&id);
                if !done[row] {
                    texts[row].push(id);
                    done[row] = texts[row].len() == sampling.max_new_tokens || ended(row, &texts[row])?;
                }
            }
            if done.iter().all(|&e| e) {
                return Ok(texts);
            }
            step = cache.next(&next)?;
        }
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
