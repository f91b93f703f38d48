//! The numbers that make one LLaMA, or one of its relatives, differ from another.

use serde::{Deserialize, Serialize};

mod options;
mod rope;

use options::is_default;
pub use options::{Biases, BlockNorms, Gate, Layers, Multipliers, QueryKeyNorm, SoftCaps};
pub use rope::RopeScaling;

/// A model's hyper-parameters, whatever layout they were read from. Those that only relatives of LLaMA have
/// ([`crate::families`]) are LLaMA's by default.
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
    /// The attention window (Mistral): how many tokens each token attends to, itself included.
    #[serde(default)]
    pub sliding_window: Option<usize>,
    /// The layers that have the window.
    #[serde(default, skip_serializing_if = "is_default")]
    pub window_layers: Layers,
    /// The layers whose queries and keys are rotated.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rotated_layers: Layers,
    /// How many of a head's dimensions are rotated, the first ones; `None` is all of them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rotary_dim: Option<i64>,
    /// The base of the wavelengths in layers that have the window, which are then not stretched (Gemma 3).
    #[serde(default, skip_serializing_if = "is_default")]
    pub local_rope_theta: Option<f64>,
    /// Which products have a bias.
    #[serde(default, skip_serializing_if = "is_default")]
    pub biases: Biases,
    /// How queries and keys are normalized.
    #[serde(default, skip_serializing_if = "is_default")]
    pub query_key_norm: QueryKeyNorm,
    /// Where a block's norms are.
    #[serde(default, skip_serializing_if = "is_default")]
    pub norms: BlockNorms,
    /// What the MLP's gate passes through.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gate: Gate,
    /// Soft caps of scores and logits.
    #[serde(default, skip_serializing_if = "is_default")]
    pub soft_caps: SoftCaps,
    /// Factors of the embedding, the residual stream, scores, and logits.
    #[serde(default, skip_serializing_if = "is_default")]
    pub multipliers: Multipliers,
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
            window_layers: Layers::All,
            rotated_layers: Layers::All,
            rotary_dim: None,
            local_rope_theta: None,
            biases: Biases::None,
            query_key_norm: QueryKeyNorm::None,
            norms: BlockNorms::Before,
            gate: Gate::Silu,
            soft_caps: SoftCaps::default(),
            multipliers: Multipliers::default(),
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
        let (q, kv) = (self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim);
        let norms = if self.norms == BlockNorms::Around { 4 } else { 2 };
        let biases = match self.biases {
            Biases::None => 0,
            Biases::QueriesKeysValues => q + 2 * kv,
            Biases::Attention => q + 2 * kv + self.dim,
        };
        let query_key_gains = match self.query_key_norm {
            QueryKeyNorm::None => 0,
            QueryKeyNorm::Heads => 2 * self.head_dim,
            QueryKeyNorm::Projections => q + kv,
        };
        let products = self.dim * (2 * q + 2 * kv) + 3 * self.dim * self.hidden_dim;
        let block = products + biases + query_key_gains + norms * self.dim;
        let ends = if self.tied_embeddings || self.headless { 1 } else { 2 };
        ends * self.vocab_size * self.dim + self.n_layers as i64 * block + self.dim
    }

    /// The window of a layer, where it has one.
    pub(crate) fn window_of(&self, layer: usize) -> Option<usize> {
        self.sliding_window.filter(|_| self.window_layers.contains(layer))
    }

    /// The first option that is another than LLaMA's, by its field's name.
    pub(crate) fn unlike_llama(&self) -> Option<&'static str> {
        [
            ("sliding_window", self.sliding_window.is_none()),
            ("rotated_layers", is_default(&self.rotated_layers)),
            ("rotary_dim", self.rotary_dim.is_none()),
            ("local_rope_theta", self.local_rope_theta.is_none()),
            ("biases", is_default(&self.biases)),
            ("query_key_norm", is_default(&self.query_key_norm)),
            ("norms", is_default(&self.norms)),
            ("gate", is_default(&self.gate)),
            ("soft_caps", is_default(&self.soft_caps)),
            ("multipliers", is_default(&self.multipliers)),
        ]
        .into_iter()
        .find_map(|(name, same)| (!same).then_some(name))
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
        let positive = |v: f64| v.is_finite() && v > 0.0;
        if !positive(self.norm_eps) || !positive(self.rope_theta) {
            return Some(format!("`norm_eps` is {}, `rope_theta` {}", self.norm_eps, self.rope_theta));
        }
        if let Some(problem) = self.rope_problem() {
            return Some(problem);
        }
        if self.tied_embeddings && self.headless {
            return Some("`headless` and `tied_embeddings` are both true".to_owned());
        }
        if self.sliding_window == Some(0) {
            return Some("`sliding_window` is 0".to_owned());
        }
        let SoftCaps { scores, logits } = self.soft_caps;
        if [scores, logits].into_iter().flatten().any(|cap| !positive(cap)) {
            return Some(format!("the soft caps are {:?}", self.soft_caps));
        }
        let Multipliers { embedding, residual, scores, logit_divisor } = self.multipliers;
        let factors = [Some(embedding), Some(residual), scores, Some(logit_divisor)];
        if factors.into_iter().flatten().any(|factor| !positive(factor)) {
            return Some(format!("the multipliers are {:?}", self.multipliers));
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
}
