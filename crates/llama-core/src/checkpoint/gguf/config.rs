//! A LLaMA's configuration from a GGUF file's metadata.

use super::file::{Header, Value};
use super::keys;
use crate::config::{Config, RopeScaling};

/// Metadata with the errors people need: a key's name, and what is wrong with it.
pub(super) struct Metadata<'a>(pub(super) &'a Header);

impl<'a> Metadata<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.metadata.get(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.metadata.keys().map(String::as_str)
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
        let number = one(value).ok_or_else(|| format!("`{key}` is {value}, and a whole number is needed"))?;
        Ok(Some(number))
    }

    /// A number that was kept in f32, as the decimal that it was rounded from: 1e-5 and not 9.99999974738e-6.
    pub(super) fn decimal(&self, key: &str) -> Result<Option<f64>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::F32(value)) => Ok(value.to_string().parse().ok()),
            Some(Value::F64(value)) => Ok(Some(*value)),
            Some(other) => Err(format!("`{key}` is {other}, and a number is needed")),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(format!("`{key}` is {other}, and text is needed")),
        }
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(format!("`{key}` is {other}, and true or false is needed")),
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

/// Reads the configuration; `factors` are those of the tensor `rope_freqs.weight`, and the vocabulary is what the
/// embedding has rows for.
pub(super) fn read(header: &Header, factors: Option<Vec<f32>>, tied: bool) -> Result<Config, String> {
    let meta = Metadata(header);
    check_kind(&meta)?;
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
    // 0 is llama.cpp's way to say that there is none.
    let window = meta.int("llama.attention.sliding_window")?.filter(|&w| w != 0);
    let window =
        window.map(|w| usize::try_from(w).map_err(|_| format!("`llama.attention.sliding_window` is {w}")));
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
        headless: false,
        sliding_window: window.transpose()?,
    };
    match config.problem() {
        None => Ok(config),
        Some(problem) => Err(problem),
    }
}

/// Refuses a file that is no model, or one that computes something else.
fn check_kind(meta: &Metadata<'_>) -> Result<(), String> {
    match meta.text("general.architecture")? {
        Some("llama") => {}
        Some(other) => {
            return Err(format!("`general.architecture` is `{other}`, and only `llama` is computed"));
        }
        None => return Err("it has no `general.architecture`".to_owned()),
    }
    // An adapter, a vision tower or an importance matrix calls itself llama as well.
    if let Some(other) = meta.text("general.type")?.filter(|kind| *kind != "model") {
        return Err(format!("`general.type` is `{other}`, and a model is needed"));
    }
    if let Some(otherwise) = keys::otherwise(meta) {
        return Err(otherwise);
    }
    if meta.bool("llama.attention.causal")? == Some(false) {
        return Err("`llama.attention.causal` is false, and attention is computed causally".to_owned());
    }
    Ok(())
}

fn rope_scaling(meta: &Metadata<'_>, factors: Option<Vec<f32>>) -> Result<RopeScaling, String> {
    let kind = meta.text("llama.rope.scaling.type")?;
    // Files from before there was a type.
    let linear = meta.decimal("llama.rope.scaling.factor")?.or(meta.decimal("llama.rope.scale_linear")?);
    // 0 and 1 say that nothing is stretched.
    #[allow(clippy::float_cmp)] // exactly these
    let stretched = linear.filter(|&factor| factor != 0.0 && factor != 1.0);
    match (kind, factors) {
        (None, Some(_)) if stretched.is_some() => {
            Err("it has a linear rope scaling and `rope_freqs.weight` as well".to_owned())
        }
        (None | Some("none" | "llama3"), Some(factors)) => Ok(RopeScaling::Factors(factors)),
        (Some("linear"), None) => match linear {
            Some(factor) => Ok(RopeScaling::Linear { factor }),
            None => Err("`llama.rope.scaling.factor` is missing".to_owned()),
        },
        (None, None) => Ok(stretched.map_or(RopeScaling::None, |factor| RopeScaling::Linear { factor })),
        (Some("none"), None) => Ok(RopeScaling::None),
        (Some(other), None) => {
            Err(format!("`llama.rope.scaling.type` is `{other}`, and none and linear are computed"))
        }
        (Some(other), Some(_)) => Err(format!(
            "`llama.rope.scaling.type` is `{other}`, and the file has `rope_freqs.weight` as well"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::quantized::GgmlDType;

    use super::super::file::TensorEntry;
    use super::*;

    /// A small model's metadata, and what is given.
    fn with(change: &[(&str, Value)], factors: Option<Vec<f32>>) -> Result<Config, String> {
        let int = Value::Unsigned;
        let own = [
            ("general.architecture", Value::Text("llama".to_owned())),
            ("llama.block_count", int(2)),
            ("llama.embedding_length", int(64)),
            ("llama.feed_forward_length", int(96)),
            ("llama.attention.head_count", int(4)),
            ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ];
        let mut metadata: HashMap<String, Value> = own.map(|(key, value)| (key.to_owned(), value)).into();
        metadata.extend(change.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let embed = TensorEntry { dtype: GgmlDType::F32, shape: vec![50, 64], bytes: 0..0 };
        let tensors = [("token_embd.weight".to_owned(), embed)].into();
        read(&Header { version: 3, metadata, tensors }, factors, true)
    }

    fn one(key: &str, value: Value) -> Result<Config, String> {
        with(&[(key, value)], None)
    }

    #[test]
    fn numbers_kept_in_f32_are_the_decimals_they_were() {
        let config = one("llama.rope.freq_base", Value::F32(500_000.0)).expect("sound");
        assert_eq!((config.norm_eps, config.rope_theta), (1e-5, 5e5));
        assert_eq!((config.head_dim, config.n_kv_heads, config.vocab_size), (16, 4, 50));
        let array = Value::Array(vec![Value::Unsigned(2); 2]);
        assert_eq!(one("llama.attention.head_count_kv", array).expect("the same for all").n_kv_heads, 2);
        assert_eq!(
            one("llama.attention.sliding_window", Value::Unsigned(0)).expect("none").sliding_window,
            None
        );
        assert_eq!(
            one("llama.attention.sliding_window", Value::Unsigned(9)).expect("nine").sliding_window,
            Some(9)
        );
    }

    #[test]
    fn rope_scaling_is_read_in_its_three_ways() {
        let linear = |key| one(key, Value::F32(4.0)).expect("linear").rope_scaling;
        assert_eq!(linear("llama.rope.scale_linear"), RopeScaling::Linear { factor: 4.0 });
        assert_eq!(linear("llama.rope.scaling.factor"), RopeScaling::Linear { factor: 4.0 });
        assert_eq!(
            one("llama.rope.scale_linear", Value::F32(1.0)).expect("none").rope_scaling,
            RopeScaling::None
        );
        let factors = vec![1.0, 1.0, 1.0, 2.0, 3.0, 8.0, 8.0, 8.0];
        let table = with(&[], Some(factors.clone())).expect("a table");
        assert_eq!(table.rope_scaling, RopeScaling::Factors(factors.clone()));
        let both = with(&[("llama.rope.scaling.factor", Value::F32(2.0))], Some(factors)).expect_err("both");
        assert!(both.contains("rope_freqs.weight"), "{both}");
    }

    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        for (key, value) in [
            ("general.architecture", Value::Text("qwen2".to_owned())),
            ("llama.expert_count", Value::Unsigned(8)),
            ("llama.attention.scale", Value::F32(0.1)),
            ("llama.logit_scale", Value::F32(f32::NAN)),
            ("llama.attn_logit_softcapping", Value::F32(50.0)),
            ("llama.attention.clamp_kqv", Value::F32(8.0)),
            ("llama.attention.sliding_window_pattern", Value::Array(vec![Value::Bool(true)])),
            ("llama.rope.scaling.attn_factor", Value::F32(1.2)),
            ("llama.attention.causal", Value::Bool(false)),
            ("llama.attention.head_count", Value::Unsigned(0)),
            ("llama.attention.head_count", Value::Array(vec![Value::Unsigned(4), Value::Unsigned(2)])),
            ("llama.attention.value_length", Value::Unsigned(8)),
            ("llama.rope.dimension_count", Value::Unsigned(8)),
            ("llama.vocab_size", Value::Unsigned(51)),
            ("llama.attention.sliding_window", Value::Signed(-1)),
            ("llama.embedding_length", Value::Text("64".to_owned())),
        ] {
            let error = one(key, value).expect_err(key);
            assert!(error.contains(key), "{key}: {error}");
        }
        for (key, value, says) in [
            ("llama.rope.scaling.type", Value::Text("yarn".to_owned()), "yarn"),
            ("general.type", Value::Text("adapter".to_owned()), "adapter"),
            ("llama.rope.scaling.factor", Value::F32(-2.0), "Linear"),
        ] {
            let error = one(key, value).expect_err(key);
            assert!(error.contains(says), "{key}: {error}");
        }
    }

    #[test]
    fn unknown_keys_are_found() {
        let metadata = ["llama.block_count", "llama.brand_new", "general.name", "llama.logit_scale"];
        let metadata = metadata.map(|key| (key.to_owned(), Value::Unsigned(1))).into();
        let header = Header { version: 3, metadata, tensors: HashMap::new() };
        assert_eq!(keys::unknown(&Metadata(&header)), ["llama.brand_new"]);
    }
}
