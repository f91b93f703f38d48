//! `params.json`, and the configuration that it and the weights imply.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::pth::Pth;
use crate::checkpoint::weight::{BlockWeight, Weight};
use crate::config::{Config, RopeScaling};
use crate::error::{Error, Result};

/// `params.json` as Meta ships it. A key that is not here may change the mathematics, so it is refused.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    pub(super) dim: i64,
    pub(super) n_layers: usize,
    pub(super) n_heads: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) n_kv_heads: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) vocab_size: Option<i64>,
    #[serde(default = "multiple_of")]
    pub(super) multiple_of: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ffn_dim_multiplier: Option<f64>,
    pub(super) norm_eps: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rope_theta: Option<f64>,
    /// LLaMA 3.1's stretching of the rotary wavelengths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) use_scaled_rope: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rope_scaling_factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rope_high_freq_factor: Option<f64>,
    /// Sizes of Meta's own cache; they change nothing.
    #[serde(default, skip_serializing)]
    #[allow(dead_code)] // read so that files that state them are accepted
    max_seq_len: Option<i64>,
    #[serde(default, skip_serializing)]
    #[allow(dead_code)] // as above
    max_batch_size: Option<i64>,
}

impl Params {
    /// Reads `params.json`.
    pub(super) fn read(path: &Path, text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Error::ModelConfig {
            path: path.to_owned(),
            reason: e.to_string(),
            hint: "LLaMA's keys are dim, n_layers, n_heads, n_kv_heads, multiple_of, ffn_dim_multiplier, norm_eps, \
                   vocab_size, rope_theta, use_scaled_rope; another key may mean another architecture"
                .to_owned(),
        })
    }

    /// What describes a model in Meta's words; `None` if they have none for how its rotary wavelengths are stretched.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let scaled = match &config.rope_scaling {
            RopeScaling::None => None,
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context }
                if [*low_freq_factor, *original_context] == [LOW_FREQ_FACTOR, ORIGINAL_CONTEXT] =>
            {
                Some((*factor, *high_freq_factor))
            }
            _ => return None,
        };
        Some(Self {
            dim: config.dim,
            n_layers: config.n_layers,
            n_heads: config.n_heads,
            n_kv_heads: (config.n_kv_heads != config.n_heads).then_some(config.n_kv_heads),
            vocab_size: Some(config.vocab_size),
            // With this, the rule for the MLP's width gives hidden_dim itself.
            multiple_of: config.hidden_dim,
            ffn_dim_multiplier: Some(config.hidden_dim as f64 / (8 * config.dim / 3) as f64),
            norm_eps: config.norm_eps,
            rope_theta: (config.rope_theta.to_bits() != 10_000f64.to_bits()).then_some(config.rope_theta),
            use_scaled_rope: scaled.map(|_| true),
            rope_scaling_factor: scaled.map(|(factor, _)| factor),
            rope_high_freq_factor: scaled.map(|(_, high)| high),
            max_seq_len: None,
            max_batch_size: None,
        })
    }

    /// LLaMA 3.1's, with the numbers of Meta's own code where the file does not state them. (Hugging Face's copies of
    /// LLaMA 3.2 say 32 for a factor that Meta's code leaves at 8.)
    fn rope_scaling(&self) -> RopeScaling {
        if self.use_scaled_rope != Some(true) {
            return RopeScaling::None;
        }
        if self.rope_scaling_factor.is_none() {
            tracing::warn!(
                "params.json does not say by how much rotary wavelengths are stretched: 8, as in LLaMA 3.1 and in Meta's \
                 code; Hugging Face's copies of LLaMA 3.2 say 32 (Checkpoint::with_rope_scaling)"
            );
        }
        RopeScaling::Llama3 {
            factor: self.rope_scaling_factor.unwrap_or(8.0),
            low_freq_factor: LOW_FREQ_FACTOR,
            high_freq_factor: self.rope_high_freq_factor.unwrap_or(4.0),
            original_context: ORIGINAL_CONTEXT,
        }
    }

    /// The configuration: from `params.json`, the vocabulary and the number of ranks from the tensors themselves.
    pub(super) fn config(&self, path: &Path, shards: &[Pth]) -> Result<Config> {
        let refuse = |reason: String| Error::ModelConfig {
            path: path.to_owned(),
            reason,
            hint: "use the params.json that came with the weights".to_owned(),
        };
        let bounds = [("dim", self.dim), ("n_heads", self.n_heads), ("multiple_of", self.multiple_of)];
        if let Some((name, value)) = bounds.into_iter().find(|(_, v)| !(1..=1 << 24).contains(v)) {
            return Err(refuse(format!("`{name}` is {value}")));
        }
        if let Some(multiplier) = self.ffn_dim_multiplier.filter(|m| !(0.0..=1024.0).contains(m)) {
            return Err(refuse(format!("`ffn_dim_multiplier` is {multiplier}")));
        }
        if self.dim % self.n_heads != 0 {
            return Err(refuse(format!("`dim` {} is no multiple of `n_heads` {}", self.dim, self.n_heads)));
        }
        let ranks = shards.len() as i64;
        // Queries are [H·K / ranks, D]: how many ranks there must be.
        let wq = shards[0].shape(&Weight::Block(0, BlockWeight::Q).meta_name())?;
        if let [rows, _] = *wq
            && rows > 0
            && rows.checked_mul(ranks) != Some(self.dim)
            && self.dim % rows == 0
        {
            let folder = path.parent().unwrap_or(path).to_owned();
            return Err(Error::Shards { path: folder, expected: self.dim / rows, found: ranks });
        }
        // `vocab_size: -1` means: as many as the tokenizer has. The unembedding is split along V.
        let rows = shards.iter().try_fold(0i64, |sum, shard| {
            let rows = shard.shape(&Weight::Unembed.meta_name())?.first().copied().unwrap_or(0);
            Ok::<_, Error>(i64::saturating_add(sum, rows))
        })?;
        let vocab_size = self.vocab_size.filter(|&v| v > 0).unwrap_or(rows);
        let config = Config {
            dim: self.dim,
            n_layers: self.n_layers,
            n_heads: self.n_heads,
            n_kv_heads: self.n_kv_heads.unwrap_or(self.n_heads),
            head_dim: self.dim / self.n_heads,
            hidden_dim: Config::meta_hidden_dim(self.dim, self.ffn_dim_multiplier, self.multiple_of),
            vocab_size,
            norm_eps: self.norm_eps,
            rope_theta: self.rope_theta.unwrap_or(10_000.0),
            rope_scaling: self.rope_scaling(),
            tied_embeddings: false,
            sliding_window: None,
        };
        match config.problem() {
            None => Ok(config),
            Some(problem) => Err(refuse(problem)),
        }
    }
}

/// Numbers that `params.json` does not hold.
const LOW_FREQ_FACTOR: f64 = 1.0;
const ORIGINAL_CONTEXT: f64 = 8192.0;

const fn multiple_of() -> i64 {
    256
}
