//! A LLaMA's configuration from a GGUF file's metadata.

use super::file::{Header, Value};
use crate::config::{Config, RopeScaling};

/// Metadata with the errors people need: a key's name, and what is wrong with it.
pub(super) struct Metadata<'a>(pub(super) &'a Header);

impl<'a> Metadata<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.metadata.get(key)
    }

    pub(super) fn int(&self, key: &str) -> Result<Option<i64>, String> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let one = |value: &Value| match value {
            Value::Unsigned(n) => i64::try_from(*n).ok(),
            Value::Signed(n) => Some(*n),
            _ => None,
        };
        // One number for each layer: a LLaMA has the same for all.
        if let Value::Array(each) = value
            && let [first, rest @ ..] = each.as_slice()
        {
            return match one(first).filter(|_| rest.iter().all(|other| other == first)) {
                None => Err(format!("`{key}` differs from layer to layer")),
                same => Ok(same),
            };
        }
        let number =
            one(value).ok_or_else(|| format!("`{key}` is {value:?}, and a whole number is needed"))?;
        Ok(Some(number))
    }

    /// A number that was kept in f32, as the decimal that it was rounded from: 1e-5 and not 9.99999974738e-6.
    pub(super) fn decimal(&self, key: &str) -> Result<Option<f64>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::F32(value)) => Ok(value.to_string().parse().ok()),
            Some(Value::F64(value)) => Ok(Some(*value)),
            Some(other) => Err(format!("`{key}` is {other:?}, and a number is needed")),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(format!("`{key}` is {other:?}, and text is needed")),
        }
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(format!("`{key}` is {other:?}, and true or false is needed")),
        }
    }

    /// An array whose elements `of` reads.
    pub(super) fn list<T>(
        &self,
        key: &str,
        of: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(values)) => {
                let read = values.iter().map(of).collect::<Option<Vec<T>>>();
                Ok(Some(read.ok_or_else(|| format!("`{key}` holds elements of another type"))?))
            }
            Some(_) => Err(format!("`{key}` is no array")),
        }
    }
}

fn required<T>(key: &str, found: Option<T>) -> Result<T, String> {
    found.ok_or_else(|| format!("it has no `{key}`"))
}

/// Keys of models that are computed in another way; each with the value that changes nothing.
const UNCOMPUTED: [(&str, f64); 5] = [
    ("llama.expert_count", 0.0),
    ("llama.attention.scale", 0.0),
    ("llama.logit_scale", 1.0),
    ("llama.residual_scale", 1.0),
    ("llama.embedding_scale", 1.0),
];

/// Reads the configuration; `factors` are those of the tensor `rope_freqs.weight`, and the vocabulary is what the
/// embedding has rows for.
pub(super) fn read(header: &Header, factors: Option<Vec<f32>>, tied: bool) -> Result<Config, String> {
    let meta = Metadata(header);
    match meta.text("general.architecture")? {
        Some("llama") => {}
        Some(other) => {
            return Err(format!("`general.architecture` is `{other}`, and only `llama` is computed"));
        }
        None => return Err("it has no `general.architecture`".to_owned()),
    }
    for (key, neutral) in UNCOMPUTED {
        let value = meta.int(key).map(|n| n.map(|n| n as f64)).or_else(|_| meta.decimal(key))?;
        if value.is_some_and(|v| (v - neutral).abs() > 0.0) {
            return Err(format!(
                "`{key}` is {}, and such models are not computed",
                value.unwrap_or_default()
            ));
        }
    }
    if meta.bool("llama.attention.causal")? == Some(false) {
        return Err("`llama.attention.causal` is false, and attention is computed causally".to_owned());
    }
    let int = |key: &str| required(key, meta.int(key)?);
    let dim = int("llama.embedding_length")?;
    let n_heads = int("llama.attention.head_count")?;
    if n_heads < 1 {
        return Err(format!("`llama.attention.head_count` is {n_heads}"));
    }
    let head_dim = meta.int("llama.attention.key_length")?.unwrap_or(dim / n_heads);
    for key in ["llama.attention.value_length", "llama.rope.dimension_count"] {
        if let Some(other) = meta.int(key)?.filter(|&n| n != head_dim) {
            return Err(format!("`{key}` is {other}, and heads are of {head_dim}"));
        }
    }
    let rows = header.tensors.get("token_embd.weight").and_then(|embed| embed.shape.first().copied());
    let vocab_size = rows.ok_or("it has no tensor `token_embd.weight`")?;
    if let Some(other) = meta.int("llama.vocab_size")?.filter(|&n| n != vocab_size) {
        return Err(format!("`llama.vocab_size` is {other}, and the embedding has {vocab_size} rows"));
    }
    let window = meta.int("llama.attention.sliding_window")?;
    let config = Config {
        dim,
        n_layers: usize::try_from(int("llama.block_count")?).map_err(|e| e.to_string())?,
        n_heads,
        n_kv_heads: meta.int("llama.attention.head_count_kv")?.unwrap_or(n_heads),
        head_dim,
        hidden_dim: int("llama.feed_forward_length")?,
        vocab_size,
        norm_eps: {
            let key = "llama.attention.layer_norm_rms_epsilon";
            required(key, meta.decimal(key)?)?
        },
        rope_theta: meta.decimal("llama.rope.freq_base")?.unwrap_or(10_000.0),
        rope_scaling: rope_scaling(&meta, factors)?,
        tied_embeddings: tied,
        sliding_window: window.and_then(|w| usize::try_from(w).ok()),
    };
    match config.problem() {
        None => Ok(config),
        Some(problem) => Err(problem),
    }
}

fn rope_scaling(meta: &Metadata<'_>, factors: Option<Vec<f32>>) -> Result<RopeScaling, String> {
    let kind = meta.text("llama.rope.scaling.type")?;
    // Files from before there was a type.
    let linear = meta.decimal("llama.rope.scaling.factor")?.or(meta.decimal("llama.rope.scale_linear")?);
    match (kind, factors) {
        (None | Some("none" | "llama3"), Some(factors)) => Ok(RopeScaling::Factors(factors)),
        (Some("linear"), None) => match linear {
            Some(factor) => Ok(RopeScaling::Linear { factor }),
            None => Err("`llama.rope.scaling.factor` is missing".to_owned()),
        },
        (None, None) => Ok(match linear {
            Some(factor) if factor > 0.0 && (factor - 1.0).abs() > 0.0 => RopeScaling::Linear { factor },
            _ => RopeScaling::None,
        }),
        (Some("none"), None) => Ok(RopeScaling::None),
        (Some(other), None) => {
            Err(format!("`llama.rope.scaling.type` is `{other}`, and none and linear are computed"))
        }
        (Some(other), Some(_)) => Err(format!(
            "`llama.rope.scaling.type` is `{other}`, and the file has `rope_freqs.weight` as well"
        )),
    }
}
