//! Log-probabilities of tokens without all logits in memory at once.

use tch::{Kind, Tensor};

use super::Llama;
use super::pass::linear;
use crate::error::{Error, Result};

/// Most bytes of logits at once. An answer of sentences has many tokens, and a vocabulary 128,000 entries: a batch's logits
/// all together would be larger than the model.
const LOGITS: i64 = 128 << 20;

/// Bytes of a logit on its way to a log-probability: as the product gives it, in f32, and in f64 before and after the
/// soft maximum.
const BYTES: i64 = 4 + 4 + 8 + 8;

impl Llama {
    /// log P(token | everything before it), natural logarithm, for tokens whose predecessors' outputs of the final norm are
    /// known ([`crate::HookPoint::FinalOut`]). Logits are those of a run; the soft maximum is taken in f64. Memory does not
    /// grow with the number of tokens.
    ///
    /// # Shapes
    /// `normed` \[S, D\], `next` S token ids → \[S\] in f64
    ///
    /// # Errors
    /// Another number of ids than of rows, an id outside the vocabulary, what LibTorch refuses.
    pub fn log_probs(&self, normed: &Tensor, next: &[u32]) -> Result<Tensor> {
        self.log_probs_in(normed, next, LOGITS)
    }

    fn log_probs_in(&self, normed: &Tensor, next: &[u32], most: i64) -> Result<Tensor> {
        let rows = normed.size().first().copied().unwrap_or(0);
        if rows != next.len() as i64 {
            let (found, expected) = (format!("{} next tokens", next.len()), rows.to_string());
            return Err(Error::NextTokens { found, expected });
        }
        let vocab = self.config.vocab_size;
        if let Some(id) = next.iter().find(|id| i64::from(**id) >= vocab) {
            let expected = format!("an id of the model's vocabulary of {vocab}");
            return Err(Error::NextTokens { found: format!("id {id}"), expected });
        }
        let _no_gradients = tch::no_grad_guard();
        let unembed = self.unembed.as_ref().unwrap_or(&self.embed);
        let ids: Vec<i64> = next.iter().map(|&id| i64::from(id)).collect();
        let ids = Tensor::f_from_slice(&ids)?.f_to_device(self.device)?.f_unsqueeze(1)?; // [S, 1]
        let piece = (most / (vocab * BYTES)).max(1);
        let mut found = Vec::new();
        for start in (0..rows).step_by(piece as usize) {
            let length = piece.min(rows - start);
            let logits = linear(&normed.f_narrow(0, start, length)?, unembed)?; // [s, V]
            let wide = if logits.kind() == Kind::Double { Kind::Double } else { Kind::Float };
            let logits = logits.f_to_kind(wide)?;
            let log_p = logits.f_log_softmax(-1, Kind::Double)?;
            found.push(log_p.f_gather(1, &ids.f_narrow(0, start, length)?, false)?); // [s, 1]
        }
        if found.is_empty() {
            return Ok(Tensor::f_zeros([0], (Kind::Double, self.device))?);
        }
        Ok(Tensor::f_cat(&found, 0)?.f_flatten(0, -1)?)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{Batch, Capture, Config, HookPoint, Precision, Run, Tokens};

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
        let logits = llama.forward(&batch, Run::new().hook(&mut normed).logits(before)).expect("run").logits;
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
