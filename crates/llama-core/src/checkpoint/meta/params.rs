//! `params.json`, and the configuration that it and the weights imply.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::checkpoint::container::TensorFile;
use crate::checkpoint::json;
use crate::checkpoint::weight::{BlockWeight, Weight};
use crate::config::{Config, Layers, RopeScaling};
use crate::error::{Error, Result};

/// `params.json` as Meta and Mistral ship it. A key that is not here may change the mathematics, so it is refused.
#[derive(Debug, Default, Serialize, Deserialize)]
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
    /// The same in Hugging Face's words, as converters write it.
    #[serde(default, skip_serializing)]
    rope_scaling: Option<Scaling>,
    /// Mistral's: widths of heads and MLP by themselves.
    #[serde(default, skip_serializing)]
    head_dim: Option<i64>,
    #[serde(default, skip_serializing)]
    hidden_dim: Option<i64>,
    /// Mistral's: tokens that attention sees, for all layers or layer by layer.
    #[serde(default, skip_serializing)]
    sliding_window: Option<Windows>,
    #[serde(default, skip_serializing)]
    tied_embeddings: Option<bool>,
    /// What asks for nothing when it is true, false, null or this word, and for another model otherwise.
    #[serde(default, skip_serializing)]
    causal: Option<bool>,
    #[serde(default, skip_serializing)]
    model_type: Option<String>,
    #[serde(default, skip_serializing)]
    use_biases: Option<bool>,
    #[serde(default, skip_serializing)]
    qkv_bias: Option<bool>,
    #[serde(default, skip_serializing)]
    use_qk_norm: Option<bool>,
    #[serde(default, skip_serializing)]
    moe: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    moe_args: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    quantization: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    quantization_args: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    lora: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    lora_args: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    yarn: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    vision_encoder: Option<serde::de::IgnoredAny>,
    /// Sizes of caches and the longest text; they change nothing.
    #[serde(default, skip_serializing)]
    #[allow(dead_code)] // read so that files that state them are accepted
    max_seq_len: Option<i64>,
    #[serde(default, skip_serializing)]
    #[allow(dead_code)] // as above
    max_batch_size: Option<i64>,
    #[serde(default, skip_serializing)]
    #[allow(dead_code)] // as above
    max_position_embeddings: Option<i64>,
    #[serde(default, skip_serializing)]
    #[allow(dead_code)] // as above
    max_seqlen: Option<i64>,
}

/// `rope_scaling` in Hugging Face's words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scaling {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

/// Windows of attention.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Windows {
    All(i64),
    Each(Vec<Option<i64>>),
}

impl Params {
    /// Reads `params.json`.
    pub(super) fn read(path: &Path, text: &str, warnings: &mut Vec<String>) -> Result<Self> {
        let refuse = |reason: String| {
            Error::ModelConfig {
            path: path.to_owned(),
            reason,
            hint: "LLaMA's keys are dim, n_layers, n_heads, n_kv_heads, multiple_of, ffn_dim_multiplier, norm_eps, \
                   vocab_size, rope_theta, use_scaled_rope, rope_scaling_factor, rope_high_freq_factor; Mistral's head_dim, \
                   hidden_dim, sliding_window as well; another key may mean another architecture"
                .to_owned(),
        }
        };
        let params: Self = json::parse(text)
            .and_then(|json| serde_json::from_value(json).map_err(|e| e.to_string()))
            .map_err(refuse)?;
        if let Some(key) = params.uncomputed() {
            return Err(refuse(format!("`{key}` asks for something that a LLaMA does not compute")));
        }
        if params.use_scaled_rope != Some(true) && params.rope_scaling_factor.is_some() {
            warnings.push(
                "params.json has a `rope_scaling_factor`, which counts with `use_scaled_rope` alone"
                    .to_owned(),
            );
        }
        Ok(params)
    }

    /// The first key that asks for another model.
    fn uncomputed(&self) -> Option<&'static str> {
        let yes = |value: Option<bool>| value == Some(true);
        [
            ("causal", self.causal == Some(false)),
            ("model_type", self.model_type.as_deref().is_some_and(|kind| kind != "transformer")),
            ("use_biases", yes(self.use_biases)),
            ("qkv_bias", yes(self.qkv_bias)),
            ("use_qk_norm", yes(self.use_qk_norm)),
            ("moe", self.moe.is_some()),
            ("moe_args", self.moe_args.is_some()),
            ("quantization", self.quantization.is_some()),
            ("quantization_args", self.quantization_args.is_some()),
            ("lora", self.lora.is_some()),
            ("lora_args", self.lora_args.is_some()),
            ("yarn", self.yarn.is_some()),
            ("vision_encoder", self.vision_encoder.is_some()),
        ]
        .into_iter()
        .find_map(|(key, asked)| asked.then_some(key))
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
            ..Self::default()
        })
    }

    /// LLaMA 3.1's, with the numbers of Meta's own code where the file does not state them. (Hugging Face's copies of
    /// LLaMA 3.2 say 32 for a factor that Meta's code leaves at 8.)
    fn rope_scaling(&self, warnings: &mut Vec<String>) -> Result<RopeScaling, String> {
        let own = self.own_rope_scaling(warnings);
        let Some(stated) = &self.rope_scaling else { return Ok(own) };
        let required =
            |key: &str, value: Option<f64>| value.ok_or_else(|| format!("`rope_scaling` has no `{key}`"));
        let stated = match stated.rope_type.as_deref() {
            Some("default") => RopeScaling::None,
            Some("linear") => RopeScaling::Linear { factor: required("factor", stated.factor)? },
            // Four numbers are LLaMA 3's, whether or not the file says so.
            Some("llama3") | None => RopeScaling::Llama3 {
                factor: required("factor", stated.factor)?,
                low_freq_factor: required("low_freq_factor", stated.low_freq_factor)?,
                high_freq_factor: required("high_freq_factor", stated.high_freq_factor)?,
                original_context: required(
                    "original_max_position_embeddings",
                    stated.original_max_position_embeddings,
                )?,
            },
            Some(other) => return Err(format!("`rope_scaling` is of type `{other}`")),
        };
        if own != RopeScaling::None && own != stated {
            return Err(format!("`use_scaled_rope` means {own:?} and `rope_scaling` {stated:?}"));
        }
        Ok(stated)
    }

    fn own_rope_scaling(&self, warnings: &mut Vec<String>) -> RopeScaling {
        if self.use_scaled_rope != Some(true) {
            return RopeScaling::None;
        }
        if self.rope_scaling_factor.is_none() && self.rope_scaling.is_none() {
            warnings.push(
                "params.json does not say by how much rotary wavelengths are stretched: 8, as in LLaMA 3.1 and in Meta's \
                 code; Hugging Face's copies of LLaMA 3.2 say 32 (Checkpoint::with_rope_scaling)"
                    .to_owned(),
            );
        }
        let other = self.rope_scaling.as_ref();
        RopeScaling::Llama3 {
            factor: self.rope_scaling_factor.or(other.and_then(|other| other.factor)).unwrap_or(8.0),
            low_freq_factor: other.and_then(|other| other.low_freq_factor).unwrap_or(LOW_FREQ_FACTOR),
            high_freq_factor: self
                .rope_high_freq_factor
                .or(other.and_then(|other| other.high_freq_factor))
                .unwrap_or(4.0),
            original_context: other
                .and_then(|other| other.original_max_position_embeddings)
                .unwrap_or(ORIGINAL_CONTEXT),
        }
    }

    /// The base of the rotary wavelengths. Meta's code takes 10,000 where the file does not say; Mistral's has taken 10,000
    /// for models with a window and 1,000,000 for others, and transformers' converter 10,000 for all.
    fn rope_theta(&self, warnings: &mut Vec<String>) -> Result<f64, String> {
        let mistral = self.head_dim.is_some() && self.hidden_dim.is_some();
        match (self.rope_theta, &self.sliding_window) {
            (Some(stated), _) => Ok(stated),
            (None, Some(_)) => {
                warnings.push("params.json has no `rope_theta`: 10000, as in Mistral 7B v0.1".to_owned());
                Ok(10_000.0)
            }
            (None, None) if mistral => {
                Err("it has no `rope_theta`, and programs that read Mistral's files differ in \
                what they take then (1000000, Mistral's; 10000, transformers')"
                    .to_owned())
            }
            (None, None) => Ok(10_000.0),
        }
    }

    /// The window, and the layers that have it. A list that is shorter than the layers is repeated, as in Mistral's programs.
    fn window(&self) -> Result<(Option<usize>, Layers), String> {
        let (window, layers) = match &self.sliding_window {
            None => return Ok((None, Layers::All)),
            Some(Windows::All(window)) => (Some(*window), Layers::All),
            Some(Windows::Each(windows)) => {
                let stated: Vec<i64> = windows.iter().flatten().copied().collect();
                if stated.windows(2).any(|pair| pair[0] != pair[1]) {
                    return Err("`sliding_window` has several widths, and one is computed".to_owned());
                }
                if windows.is_empty() || !self.n_layers.is_multiple_of(windows.len()) {
                    return Err(format!(
                        "`sliding_window` has {} entries for {} layers",
                        windows.len(),
                        self.n_layers
                    ));
                }
                let each = |layer: usize| windows.get(layer % windows.len()).copied().flatten().is_some();
                (stated.first().copied(), Layers::chosen(self.n_layers, each))
            }
        };
        let Some(window) = window else { return Ok((None, Layers::All)) };
        match usize::try_from(window) {
            Ok(tokens) if tokens > 0 => Ok((Some(tokens), layers)),
            _ => Err(format!("`sliding_window` is {window}")),
        }
    }

    /// The configuration: from `params.json`, the vocabulary and the number of ranks from the tensors themselves.
    pub(super) fn config(
        &self,
        path: &Path,
        shards: &[TensorFile],
        warnings: &mut Vec<String>,
    ) -> Result<Config> {
        let refuse = |reason: String| Error::ModelConfig {
            path: path.to_owned(),
            reason,
            hint: "use the params.json that came with the weights, and state in it what it does not say"
                .to_owned(),
        };
        self.check_numbers().map_err(refuse)?;
        let head_dim = self.head_dim.unwrap_or(self.dim / self.n_heads);
        let queries = self.n_heads.saturating_mul(head_dim);
        let ranks = shards.len() as i64;
        // Queries are [H·K / ranks, D]: how many ranks there must be.
        let wq = shards[0].stored(&Weight::Block(0, BlockWeight::Q).meta_name())?.shape;
        if let [rows, _] = *wq
            && rows > 0
            && rows.checked_mul(ranks) != Some(queries)
            && queries % rows == 0
        {
            let folder = path.parent().unwrap_or(path).to_owned();
            return Err(Error::Shards { path: folder, expected: queries / rows, found: ranks });
        }
        // `vocab_size: -1` means: as many as the tokenizer has. The unembedding is split along V.
        let tied = self.tied_embeddings == Some(true);
        let by_rows = if tied { Weight::Embed } else { Weight::Unembed };
        let rows =
            shards.iter().try_fold(0i64, |sum, shard| match *shard.stored(&by_rows.meta_name())?.shape {
                [rows, ..] => Ok(i64::saturating_add(sum, rows)),
                [] => Err(refuse(format!("`{}` has no rows", by_rows.meta_name()))),
            })?;
        let vocab_size = self.vocab_size.filter(|&v| v > 0).unwrap_or(rows);
        let (sliding_window, window_layers) = self.window().map_err(refuse)?;
        let config = Config {
            dim: self.dim,
            n_layers: self.n_layers,
            n_heads: self.n_heads,
            n_kv_heads: self.n_kv_heads.unwrap_or(self.n_heads),
            head_dim,
            hidden_dim: self.hidden_dim.unwrap_or_else(|| {
                Config::meta_hidden_dim(self.dim, self.ffn_dim_multiplier, self.multiple_of)
            }),
            vocab_size,
            norm_eps: self.norm_eps,
            rope_theta: self.rope_theta(warnings).map_err(refuse)?,
            rope_scaling: self.rope_scaling(warnings).map_err(refuse)?,
            tied_embeddings: tied,
            headless: false,
            sliding_window,
            window_layers,
            ..Config::default()
        };
        match config.problem() {
            None => Ok(config),
            Some(problem) => Err(refuse(problem)),
        }
    }

    /// Refuses numbers that nothing could be computed with.
    fn check_numbers(&self) -> Result<(), String> {
        let bounds = [("dim", self.dim), ("n_heads", self.n_heads), ("multiple_of", self.multiple_of)];
        if let Some((name, value)) = bounds.into_iter().find(|(_, v)| !(1..=1 << 24).contains(v)) {
            return Err(format!("`{name}` is {value}"));
        }
        if let Some(multiplier) = self.ffn_dim_multiplier.filter(|m| !(0.0..=1024.0).contains(m)) {
            return Err(format!("`ffn_dim_multiplier` is {multiplier}"));
        }
        if self.head_dim.is_none() && self.dim % self.n_heads != 0 {
            return Err(format!("`dim` {} is no multiple of `n_heads` {}", self.dim, self.n_heads));
        }
        Ok(())
    }
}

/// Numbers that `params.json` does not hold.
const LOW_FREQ_FACTOR: f64 = 1.0;
const ORIGINAL_CONTEXT: f64 = 8192.0;

const fn multiple_of() -> i64 {
    256
}
