//! The numbers that make one LLaMA differ from another.

use serde::{Deserialize, Serialize};

/// A LLaMA's hyper-parameters, whatever layout they were read from.
///
/// Field names are TransformerLens' and Hugging Face's where the two agree. Axis letters (ARCHITECTURE.md):
/// D = `dim`, H = `n_heads`, G = `n_kv_heads`, K = `head_dim`, F = `hidden_dim`, V = `vocab_size`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Width of the residual stream (D).
    pub dim: i64,
    /// Number of blocks (L).
    pub n_layers: usize,
    /// Query heads (H).
    pub n_heads: i64,
    /// Key and value heads (G); fewer than `n_heads` with grouped-query attention.
    pub n_kv_heads: i64,
    /// Width of one head (K).
    pub head_dim: i64,
    /// Width inside the MLP (F).
    pub hidden_dim: i64,
    /// Rows of the embedding (V).
    pub vocab_size: i64,
    /// Added to the mean square in every `RMSNorm`.
    pub norm_eps: f64,
    /// Base of the rotary embedding's wavelengths.
    pub rope_theta: f64,
}

impl Config {
    /// The MLP width of LLaMA 1 and 2: two thirds of 4·dim, times `multiplier`, rounded up to `multiple_of`.
    pub fn meta_hidden_dim(dim: i64, multiplier: Option<f64>, multiple_of: i64) -> i64 {
        let two_thirds = 8 * dim / 3;
        let scaled = multiplier.map_or(two_thirds, |m| (m * two_thirds as f64) as i64);
        multiple_of * ((scaled + multiple_of - 1) / multiple_of)
    }

    /// Parameters of the model, counted over all its weights.
    pub fn n_params(&self) -> i64 {
        let attention = self.dim * self.head_dim * (2 * self.n_heads + 2 * self.n_kv_heads);
        let block = attention + 3 * self.dim * self.hidden_dim + 2 * self.dim;
        2 * self.vocab_size * self.dim + self.n_layers as i64 * block + self.dim
    }

    /// The first rule that the numbers break, in words; `None` for a model that can be computed.
    pub fn problem(&self) -> Option<String> {
        let sizes = [
            ("dim", self.dim),
            ("n_layers", self.n_layers as i64),
            ("n_heads", self.n_heads),
            ("n_kv_heads", self.n_kv_heads),
            ("head_dim", self.head_dim),
            ("hidden_dim", self.hidden_dim),
            ("vocab_size", self.vocab_size),
        ];
        if let Some((name, value)) = sizes.into_iter().find(|(_, v)| !(1..=1 << 24).contains(v)) {
            return Some(format!("`{name}` is {value}"));
        }
        if self.n_layers > usize::from(u16::MAX) {
            return Some(format!("`n_layers` is {}", self.n_layers));
        }
        if self.n_heads % self.n_kv_heads != 0 {
            return Some(format!(
                "`n_heads` {} is no multiple of `n_kv_heads` {}",
                self.n_heads, self.n_kv_heads
            ));
        }
        if self.head_dim % 2 != 0 {
            return Some(format!("`head_dim` {} is odd, and rotary embedding turns pairs", self.head_dim));
        }
        let positive = |v: f64| v.is_finite() && v > 0.0;
        if !positive(self.norm_eps) || !positive(self.rope_theta) {
            return Some(format!("`norm_eps` is {}, `rope_theta` {}", self.norm_eps, self.rope_theta));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_dim_of_the_published_models() {
        // LLaMA 7B, 13B, 33B, 65B: multiple_of 256, no multiplier.
        for (dim, hidden) in [(4096, 11008), (5120, 13824), (6656, 17920), (8192, 22016)] {
            assert_eq!(Config::meta_hidden_dim(dim, None, 256), hidden);
        }
        // LLaMA 2 70B: multiplier 1.3, multiple_of 4096.
        assert_eq!(Config::meta_hidden_dim(8192, Some(1.3), 4096), 28672);
    }

    #[test]
    fn parameters_of_llama_7b() {
        let config = Config {
            dim: 4096,
            n_layers: 32,
            n_heads: 32,
            n_kv_heads: 32,
            head_dim: 128,
            hidden_dim: 11008,
            vocab_size: 32000,
            norm_eps: 1e-6,
            rope_theta: 10_000.0,
        };
        assert_eq!(config.n_params(), 6_738_415_616);
        assert_eq!(config.problem(), None);
        assert!(Config { n_kv_heads: 5, ..config }.problem().is_some());
    }
}
