//! Logits and log-probabilities of given states, apart from a run.

use std::ops::Range;

use tch::{Kind, Tensor};
use torch_runtime::{TensorChain as _, TensorExt as _};

use super::{Llama, is_one};
use crate::error::{Error, Result};
use crate::shard::Divided;

/// Most bytes of logits at once. An answer of sentences has many tokens, and a vocabulary 128,000 entries: a batch's logits
/// all together would be larger than the model.
const LOGITS: i64 = 128 << 20;

/// Bytes of a logit on its way to a log-probability: as the product gives it, in f32, and in f64 before and after the
/// soft maximum.
const BYTES: i64 = 4 + 4 + 8 + 8;

impl Llama {
    /// The final norm and the unembedding of a residual stream from any layer: the logits that the model would give if
    /// its remaining blocks added nothing. For the last layer, these are the run's own logits.
    ///
    /// The logit lens (nostalgebraist 2020), what each layer would say next:
    ///
    /// ```
    /// use llama_core::{Batch, Capture, Config, HookSet, Llama, Precision, Forward, Tokens, tch};
    ///
    /// # let config = Config { dim: 8, n_layers: 3, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    /// #     vocab_size: 10, ..Config::default() };
    /// # let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
    /// let batch = Batch::new(&[vec![1, 2, 3], vec![4, 5]])?;
    /// let mut states = Capture::new(HookSet::residual_stream(3), Tokens::Last);
    /// llama.forward(&batch, Forward::new().hook(&mut states))?;
    /// for (point, state) in states.finish() {
    ///     let logits = llama.unembed(&state)?; // [2, V]
    ///     let likeliest: Vec<i64> = Vec::try_from(&logits.f_argmax(-1, false)?)?;
    ///     println!("{point}: {likeliest:?}");
    /// }
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    ///
    /// # Shapes
    /// `residual` \[S, D\] → \[S, V\] in f32 (f64 with [`crate::Precision::F64`])
    ///
    /// # Errors
    /// [`Error::Width`] for states of another width, [`Error::Headless`], what LibTorch refuses.
    pub fn unembed(&self, residual: &Tensor) -> Result<Tensor> {
        self.check_states("residual", residual)?;
        let x = residual.f_to_device(self.device)?.f_to_kind(self.precision.stream())?;
        self.logits(&self.norm(&x, &self.final_gain)?)
    }

    /// Logits of the final norm's outputs.
    ///
    /// # Shapes
    /// `normed` \[S, D\] → \[S, V\] in f32 at least
    pub(super) fn logits(&self, normed: &Tensor) -> Result<Tensor> {
        let logits = normed.f_linear(self.unembedding()?, None::<Tensor>)?; // [S, V], or this rank's part
        let logits = self.shard.gathered(&logits, 1, Divided::Vocab)?; // [S, V]
        let wide = if logits.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let mut logits = logits.f_to_kind(wide)?;
        if !is_one(self.config.multipliers.logit_divisor) {
            logits = logits.f_div_scalar(self.config.multipliers.logit_divisor)?;
        }
        match self.config.soft_caps.logits {
            None => Ok(logits),
            Some(cap) => Ok(logits.f_div_scalar(cap).tanh().mul(cap)?),
        }
    }

    /// How many states there are, if they are as wide as the model.
    fn check_states(&self, what: &'static str, states: &Tensor) -> Result<i64> {
        let (rows, found) = states.dims2(what)?; // [S, D]
        if found != self.config.dim {
            return Err(Error::Width { what, expected: self.config.dim, found });
        }
        Ok(rows)
    }

    /// log P(token | everything before it), natural logarithm, for tokens whose predecessors' outputs of the final norm are
    /// known ([`crate::HookPoint::FinalOut`]). Logits are those of a run; the soft maximum is taken in f64. Memory does not
    /// grow with the number of tokens.
    ///
    /// # Shapes
    /// `normed` \[S, D\], `next` S token ids → \[S\] in f64
    ///
    /// # Errors
    /// States of another width, another number of ids than of states, an id outside the vocabulary, [`Error::Headless`],
    /// what LibTorch refuses.
    pub fn log_probs(&self, normed: &Tensor, next: &[u32]) -> Result<Tensor> {
        self.log_probs_in(normed, next, LOGITS)
    }

    fn log_probs_in(&self, normed: &Tensor, next: &[u32], most: i64) -> Result<Tensor> {
        let rows = self.check_states("normed", normed)?;
        if rows != next.len() as i64 {
            let (found, expected) = (format!("{} next tokens", next.len()), rows.to_string());
            return Err(Error::NextTokens { found, expected });
        }
        let vocab = self.config.vocab_size;
        if let Some(id) = next.iter().find(|id| i64::from(**id) >= vocab) {
            let expected = format!("an id of the model's vocabulary of {vocab}");
            return Err(Error::NextTokens { found: format!("id {id}"), expected });
        }
        let ids: Vec<i64> = next.iter().map(|&id| i64::from(id)).collect();
        let ids = Tensor::f_from_slice(&ids)?.f_to_device(self.device)?.f_unsqueeze(1)?; // [S, 1]
        let mut found = Vec::new();
        self.each_piece(normed, most, &mut |rows, log_p| {
            let ids = ids.f_narrow(0, rows.start, rows.end - rows.start)?;
            found.push(log_p.f_gather(1, &ids, false)?); // [s, 1]
            Ok(())
        })?;
        if found.is_empty() {
            return Ok(Tensor::f_zeros([0], (Kind::Double, self.device))?);
        }
        Ok(Tensor::f_cat(&found, 0)?.f_flatten(0, -1)?)
    }

    /// The log-probabilities of all tokens after each state, so many states at a time that memory does not grow with their
    /// number.
    ///
    /// # Shapes
    /// `normed` \[S, D\] → \[s, V\] in f64, with the states they are of
    pub(crate) fn by_pieces(
        &self,
        normed: &Tensor,
        take: &mut dyn FnMut(Range<i64>, &Tensor) -> Result<()>,
    ) -> Result<()> {
        self.each_piece(normed, LOGITS, take)
    }

    fn each_piece(
        &self,
        normed: &Tensor,
        most: i64,
        take: &mut dyn FnMut(Range<i64>, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let rows = self.check_states("normed", normed)?;
        let _no_gradients = tch::no_grad_guard();
        let piece = (most / (self.config.vocab_size * BYTES)).max(1);
        for start in (0..rows).step_by(piece as usize) {
            let length = piece.min(rows - start);
            let log_p = self.logits(&normed.f_narrow(0, start, length)?)?.f_log_softmax(-1, Kind::Double)?;
            take(start..start + length, &log_p)?; // [s, V]
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{Batch, Capture, Config, Forward, HookPoint, Precision, Tokens};

    #[test]
    fn piece_by_piece_they_are_those_of_all_logits() {
        let config = Config {
            dim: 8,
            n_layers: 2,
            n_heads: 2,
            n_kv_heads: 2,
            head_dim: 4,
            hidden_dim: 16,
            vocab_size: 10,
            ..Config::default()
        };
        let llama = Llama::random(&config, 3, Precision::F64, Device::Cpu).expect("model");
        let batch = Batch::new(&[vec![1, 2, 3, 4, 5], vec![6, 7, 8]]).expect("batch");
        let before = Tokens::At(vec![vec![1, 2, 3], vec![0, 1]]);
        let next = [3, 4, 5, 7, 8];
        let mut normed = Capture::new(HookPoint::FinalOut, before.clone());
        let logits =
            llama.forward(&batch, Forward::new().hook(&mut normed).logits(before)).expect("run").logits;
        let normed = normed.finish().take(HookPoint::FinalOut).expect("captured");
        let all = logits.expect("logits").log_softmax(-1, Kind::Double); // [5, 10]
        let expected: Vec<f64> =
            next.iter().zip(0..).map(|(&id, row)| all.double_value(&[row, i64::from(id)])).collect();
        for most in [1, 2 * 10 * BYTES, LOGITS] {
            let found = llama.log_probs_in(&normed, &next, most).expect("log-probabilities");
            let found: Vec<f64> = Vec::try_from(found).expect("values");
            assert_eq!(found.len(), expected.len());
            assert!(
                found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12),
                "{found:?} {expected:?}"
            );
        }
        assert!(llama.log_probs(&normed, &next[..4]).is_err());
        assert!(llama.log_probs(&normed, &[3, 4, 5, 7, 10]).is_err(), "outside the vocabulary");
        let none = llama.log_probs(&normed.narrow(0, 0, 0), &[]).expect("nothing");
        assert_eq!(none.size(), [0]);
    }
}
