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
    /// How those wavelengths are stretched for long texts.
    #[serde(default)]
    pub rope_scaling: RopeScaling,
    /// Whether the unembedding is the embedding (tied weights).
    #[serde(default)]
    pub tied_embeddings: bool,
    /// Whether the model was saved without an unembedding (transformers' `LlamaModel`): its states are computed, logits
    /// are not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub headless: bool,
    /// The attention window (Mistral): how many tokens each token attends to, itself included. Longer prompts are
    /// refused, so no window is ever applied.
    #[serde(default)]
    pub sliding_window: Option<usize>,
}

/// How the wavelengths of the rotary embedding are stretched for long texts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RopeScaling {
    /// Not at all.
    #[default]
    None,
    /// All by the same factor: positions are interpolated (Chen et al. 2023).
    Linear {
        /// The factor.
        factor: f64,
    },
    /// As LLaMA 3.1 does it: wavelengths shorter than `original_context / high_freq_factor` stay, those longer than
    /// `original_context / low_freq_factor` are stretched by `factor`, and those between are interpolated.
    Llama3 {
        /// Stretch of the longest wavelengths.
        factor: f64,
        /// Where full stretching begins.
        low_freq_factor: f64,
        /// Where stretching begins.
        high_freq_factor: f64,
        /// Context length of the original training, in tokens.
        original_context: f64,
    },
    /// Each wavelength by its own factor, as GGUF files keep them. \[K/2\]
    Factors(Vec<f32>),
}

impl Default for Config {
    /// LLaMA 7B.
    fn default() -> Self {
        Self {
            dim: 4096,
            n_layers: 32,
            n_heads: 32,
            n_kv_heads: 32,
            head_dim: 128,
            hidden_dim: 11008,
            vocab_size: 32000,
            norm_eps: 1e-6,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            tied_embeddings: false,
            headless: false,
            sliding_window: None,
        }
    }
}

impl Config {
    /// The MLP width of LLaMA 1 and 2: two thirds of 4·dim, times `multiplier`, rounded up to `multiple_of`.
    pub(crate) fn meta_hidden_dim(dim: i64, multiplier: Option<f64>, multiple_of: i64) -> i64 {
        let two_thirds = 8 * dim / 3;
        let scaled = multiplier.map_or(two_thirds, |m| (m * two_thirds as f64) as i64);
        multiple_of * ((scaled + multiple_of - 1) / multiple_of)
    }

    /// Parameters of the model, counted over all its weights.
    pub fn n_params(&self) -> i64 {
        let attention = self.dim * self.head_dim * (2 * self.n_heads + 2 * self.n_kv_heads);
        let block = attention + 3 * self.dim * self.hidden_dim + 2 * self.dim;
        let ends = if self.tied_embeddings || self.headless { 1 } else { 2 };
        ends * self.vocab_size * self.dim + self.n_layers as i64 * block + self.dim
    }

    /// Angles by which one position turns each pair of a head's dimensions: θ^(−2i/K) over the stretch of its
    /// wavelength. \[K/2\]
    ///
    /// LLaMA 3's stretches are rounded to f32 first, which is how GGUF files keep them. (llama.cpp's converter computes
    /// them from frequencies in f32, so a file it made may differ in the last bit of a stretch or two.)
    pub fn rope_frequencies(&self) -> Vec<f64> {
        let frequency = |i: i64| self.rope_theta.powf(-2.0 * i as f64 / self.head_dim as f64);
        let stretch = |i: i64| match &self.rope_scaling {
            RopeScaling::None => 1.0,
            RopeScaling::Linear { factor } => *factor,
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                // How many waves the original context held; 1 at high_freq_factor, 0 at low_freq_factor.
                let waves = original_context * frequency(i) / std::f64::consts::TAU;
                let kept = ((waves - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                f64::from((1.0 / ((1.0 - kept) / factor + kept)) as f32)
            }
            RopeScaling::Factors(factors) => f64::from(factors.get(i as usize).copied().unwrap_or(1.0)),
        };
        (0..self.head_dim / 2).map(|i| frequency(i) / stretch(i)).collect()
    }

    /// The same, roughly, for numbers of any size.
    fn n_params_f64(&self) -> f64 {
        let [d, h, g, k, f, v] =
            [self.dim, self.n_heads, self.n_kv_heads, self.head_dim, self.hidden_dim, self.vocab_size]
                .map(|n| n as f64);
        2.0 * v * d + self.n_layers as f64 * (d * k * (2.0 * h + 2.0 * g) + 3.0 * d * f + 2.0 * d)
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
        // 2^24 each, but not all of them: parameters are counted in 64 bits.
        if self.n_params_f64() > 2f64.powi(62) {
            return Some(format!("{:.0e} parameters", self.n_params_f64()));
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
        let sound = match &self.rope_scaling {
            RopeScaling::None => true,
            RopeScaling::Linear { factor } => positive(*factor),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                [factor, low_freq_factor, original_context].into_iter().all(|&v| positive(v))
                    && high_freq_factor.is_finite()
                    && high_freq_factor > low_freq_factor
            }
            RopeScaling::Factors(factors) => {
                factors.len() as i64 == self.head_dim / 2 && factors.iter().all(|&f| positive(f64::from(f)))
            }
        };
        if !sound {
            return Some(format!("the rotary embedding's scaling is {:?}", self.rope_scaling));
        }
        if self.tied_embeddings && self.headless {
            return Some("`headless` and `tied_embeddings` are both true".to_owned());
        }
        if self.sliding_window == Some(0) {
            return Some("`sliding_window` is 0".to_owned());
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
        let config = Config::default();
        assert_eq!(config.n_params(), 6_738_415_616);
        assert_eq!(config.problem(), None);
        assert!(Config { n_kv_heads: 5, ..config.clone() }.problem().is_some());
        let tied = Config { tied_embeddings: true, ..config };
        assert_eq!(tied.n_params(), 6_738_415_616 - 32000 * 4096);
    }

    #[test]
    fn llama_3_stretches_long_wavelengths_only() {
        let plain = Config { rope_theta: 500_000.0, ..Config::default() };
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 8192.0,
        };
        let scaled = Config { rope_scaling: scaling, ..plain.clone() };
        for (before, after) in plain.rope_frequencies().into_iter().zip(scaled.rope_frequencies()) {
            let wavelength = std::f64::consts::TAU / before;
            let stretch = before / after;
            if wavelength < 2048.0 {
                assert!((stretch - 1.0).abs() < 1e-12);
            } else if wavelength > 8192.0 {
                assert!((stretch - 8.0).abs() < 1e-12);
            } else {
                assert!(stretch > 1.0 && stretch < 8.0);
            }
        }
        let factors: Vec<f32> = (0..64).map(|i| 1.0 + i as f32).collect();
        let table = Config { rope_scaling: RopeScaling::Factors(factors), ..plain.clone() };
        assert_eq!(table.problem(), None);
        assert!((table.rope_frequencies()[3] - plain.rope_frequencies()[3] / 4.0).abs() < 1e-18);
        let short = Config { rope_scaling: RopeScaling::Factors(vec![1.0]), ..plain };
        assert!(short.problem().is_some());
    }
}
