//! A model's configuration from a GGUF file's metadata.

use std::collections::BTreeSet;

use super::file::{Header, Value};
use super::keys;
use crate::config::{Biases, Config, Layers, Multipliers, RopeScaling, SoftCaps};
use crate::family::{Family, Windows, families};

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

/// The family of a file's model.
///
/// # Errors
/// A file that is no model, or of an architecture that is not computed.
pub(super) fn family(meta: &Metadata<'_>) -> Result<&'static Family, String> {
    let architecture = meta.text("general.architecture")?.ok_or("it has no `general.architecture`")?;
    let family = Family::of_architecture(architecture).ok_or_else(|| {
        let known: BTreeSet<&str> = families().iter().map(|family| family.architecture).collect();
        let known = known.into_iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
        format!("`general.architecture` is `{architecture}`, and only {known} are computed")
    })?;
    // An adapter, a vision tower or an importance matrix calls itself llama as well.
    match meta.text("general.type")?.filter(|kind| *kind != "model") {
        Some(other) => Err(format!("`general.type` is `{other}`, and a model is needed")),
        None => Ok(family),
    }
}

/// Keys of an architecture's own.
struct Own<'m, 'a> {
    meta: &'m Metadata<'a>,
    family: &'static Family,
}

impl Own<'_, '_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.family.architecture)
    }

    fn int(&self, key: &str) -> Result<Option<i64>, String> {
        self.meta.int(&self.key(key))
    }

    fn needed(&self, key: &str) -> Result<i64, String> {
        required(&self.key(key), self.int(key)?)
    }

    /// A number; 0 is llama.cpp's way to say that there is none.
    fn decimal(&self, key: &str) -> Result<Option<f64>, String> {
        Ok(self.meta.decimal(&self.key(key))?.filter(|&number| number != 0.0))
    }
}

/// Reads the configuration; `factors` are those of the family's table of them, and the vocabulary is what the embedding has
/// rows for.
pub(super) fn read(
    header: &Header,
    family: &'static Family,
    factors: Option<Vec<f32>>,
    tied: bool,
) -> Result<Config, String> {
    let meta = Metadata(header);
    let own = Own { meta: &meta, family };
    if let Some(otherwise) = keys::otherwise(&meta, family) {
        return Err(otherwise);
    }
    let causal = own.key("attention.causal");
    if meta.bool(&causal)? == Some(false) {
        return Err(format!("`{causal}` is false, and attention is computed causally"));
    }
    let dim = own.needed("embedding_length")?;
    let n_heads = own.needed("attention.head_count")?;
    if n_heads < 1 {
        return Err(format!("`{}` is {n_heads}", own.key("attention.head_count")));
    }
    let head_dim = own.int("attention.key_length")?.unwrap_or(dim / n_heads);
    let rotated = own.int("rope.dimension_count")?.unwrap_or(head_dim);
    for (key, value) in [
        ("attention.value_length", own.int("attention.value_length")?),
        ("rope.dimension_count", Some(rotated)),
    ] {
        let partial = key == "rope.dimension_count" && family.ways.partial_rotation;
        if let Some(other) = value.filter(|&n| n != head_dim && !partial) {
            return Err(format!("`{}` is {other}, and heads are of {head_dim}", own.key(key)));
        }
    }
    let rows = header.tensors.get("token_embd.weight").and_then(|embed| embed.shape.first().copied());
    let vocab_size = rows.ok_or("it has no tensor `token_embd.weight`")?;
    if let Some(other) = own.int("vocab_size")?.filter(|&n| n != vocab_size) {
        let key = own.key("vocab_size");
        return Err(format!("`{key}` is {other}, and the embedding has {vocab_size} rows"));
    }
    let epsilon = own.key("attention.layer_norm_rms_epsilon");
    let n_layers = usize::try_from(own.needed("block_count")?).map_err(|e| e.to_string())?;
    let numbers = Config {
        dim,
        n_layers,
        n_heads,
        n_kv_heads: own.int("attention.head_count_kv")?.unwrap_or(n_heads),
        head_dim,
        hidden_dim: own.needed("feed_forward_length")?,
        vocab_size,
        norm_eps: required(&epsilon, meta.decimal(&epsilon)?)?,
        rope_theta: own.decimal("rope.freq_base")?.unwrap_or(10_000.0),
        rope_scaling: own.rope_scaling(factors)?,
        rotary_dim: Some(rotated).filter(|&rotated| rotated != head_dim),
        tied_embeddings: tied,
        ..Config::default()
    };
    let config = own.options(header, family.always(numbers))?;
    match config.problem() {
        None => Ok(config),
        Some(problem) => Err(problem),
    }
}

impl Own<'_, '_> {
    /// The configuration with what metadata and tensors say of a family's ways, and llama.cpp where they do not.
    fn options(&self, header: &Header, config: Config) -> Result<Config, String> {
        let ways = &self.family.ways;
        let window = self.int("attention.sliding_window")?.filter(|&w| w != 0);
        let window = window.map(|w| {
            usize::try_from(w).map_err(|_| format!("`{}` is {w}", self.key("attention.sliding_window")))
        });
        // LLaMA's files are Mistral's as well.
        let windowed =
            matches!(ways.windows, Windows::All | Windows::ButEach(_)) || self.family.architecture == "llama";
        let sliding_window = match window.transpose()? {
            Some(window) if !windowed => {
                let key = self.key("attention.sliding_window");
                return Err(format!("`{key}` is {window}, and llama.cpp computes no window for such models"));
            }
            window => window,
        };
        // As large as Gemma 2 27B and 3 27B are, scores are scaled by the stream's width over the heads.
        let (gemma, width) = (ways.scaled_embedding, config.dim as f64 / config.n_heads as f64);
        let largest = gemma && [46, 62].contains(&config.n_layers);
        let scores = match self.decimal("attention.scale")? {
            None if gemma => Some(if largest { width } else { config.head_dim as f64 }.sqrt().recip()),
            stated => stated,
        };
        let has = |tensor: &str| header.tensors.contains_key(tensor);
        Ok(Config {
            sliding_window,
            window_layers: if sliding_window.is_some() {
                self.window_layers(config.n_layers)?
            } else {
                Layers::All
            },
            rotated_layers: if ways.unrotated_layers {
                Layers::chosen(config.n_layers, |layer| (layer + 1) % 4 != 0)
            } else {
                Layers::All
            },
            local_rope_theta: if ways.local_rope {
                Some(self.decimal("rope.freq_base_swa")?.unwrap_or(10_000.0))
            } else {
                None
            },
            biases: match (has("blk.0.attn_q.bias"), has("blk.0.attn_output.bias")) {
                (_, true) => Biases::Attention,
                (true, false) => Biases::QueriesKeysValues,
                (false, false) => Biases::None,
            },
            soft_caps: SoftCaps {
                scores: self.decimal("attn_logit_softcapping")?,
                logits: self.decimal("final_logit_softcapping")?,
            },
            multipliers: Multipliers {
                embedding: self.decimal("embedding_scale")?.unwrap_or(config.multipliers.embedding),
                residual: self.decimal("residual_scale")?.unwrap_or(1.0),
                scores,
                logit_divisor: self.decimal("logit_scale")?.unwrap_or(1.0),
            },
            ..config
        })
    }

    /// The layers that have the window: those that the file names, all but each n-th, or the family's.
    fn window_layers(&self, n_layers: usize) -> Result<Layers, String> {
        let key = self.key("attention.sliding_window_pattern");
        if !self.family.metadata.contains(&"attention.sliding_window_pattern") {
            return Ok(self.family.window_layers(n_layers));
        }
        match self.meta.get(&key) {
            None => Ok(self.family.window_layers(n_layers)),
            Some(Value::Array(_)) => {
                let windowed =
                    |value: &Value| if let Value::Bool(windowed) = value { Some(*windowed) } else { None };
                let each = self.meta.list(&key, windowed)?.filter(|each| each.len() == n_layers);
                let each = each.ok_or_else(|| format!("`{key}` is not of {n_layers} layers"))?;
                Ok(Layers::chosen(n_layers, |layer| each[layer]))
            }
            Some(_) => match self.meta.int(&key)? {
                Some(nth @ 1..) => Ok(Layers::chosen(n_layers, |layer| (layer as i64 + 1) % nth != 0)),
                other => Err(format!("`{key}` is {other:?}")),
            },
        }
    }

    fn rope_scaling(&self, factors: Option<Vec<f32>>) -> Result<RopeScaling, String> {
        let key = self.key("rope.scaling.type");
        let kind = self.meta.text(&key)?;
        let original = self.int("rope.scaling.original_context_length")?.map(|tokens| tokens as f64);
        if let (Some(short), true) = (&factors, self.family.ways.fused) {
            let original = required(&self.key("rope.scaling.original_context_length"), original)?;
            let magnitude = self.decimal("rope.scaling.attn_factor")?.unwrap_or(1.0);
            return Ok(RopeScaling::Long { short: short.clone(), magnitude, most: original as usize });
        }
        // Files from before there was a type.
        let linear = self.decimal("rope.scaling.factor")?.or(self.decimal("rope.scale_linear")?);
        // 1 says that nothing is stretched.
        #[allow(clippy::float_cmp)] // exactly this
        let stretched = linear.filter(|&factor| factor != 1.0);
        match (kind, factors) {
            (None, Some(_)) if stretched.is_some() => {
                Err("it has a linear rope scaling and `rope_freqs.weight` as well".to_owned())
            }
            (None | Some("none" | "llama3"), Some(factors)) => Ok(RopeScaling::Factors(factors)),
            (Some("linear"), None) => match linear {
                Some(factor) => Ok(RopeScaling::Linear { factor }),
                None => Err(format!("`{}` is missing", self.key("rope.scaling.factor"))),
            },
            (Some("yarn"), None) => self.yarn(linear, original),
            (None, None) => Ok(stretched.map_or(RopeScaling::None, |factor| RopeScaling::Linear { factor })),
            (Some("none"), None) => Ok(RopeScaling::None),
            (Some(other), None) => {
                Err(format!("`{key}` is `{other}`, and none, linear and yarn are computed"))
            }
            (Some(other), Some(_)) => {
                Err(format!("`{key}` is `{other}`, and the file has `rope_freqs.weight` as well"))
            }
        }
    }

    /// `YaRN`, as llama.cpp computes it.
    fn yarn(&self, factor: Option<f64>, original: Option<f64>) -> Result<RopeScaling, String> {
        let factor = required(&self.key("rope.scaling.factor"), factor)?;
        let original_context = required(&self.key("rope.scaling.original_context_length"), original)?;
        if self.decimal("rope.scaling.yarn_log_multiplier")?.is_some() {
            return Err(format!(
                "`{}` is stated, which is not computed",
                self.key("rope.scaling.yarn_log_multiplier")
            ));
        }
        let magnitude = if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 };
        Ok(RopeScaling::Yarn {
            factor,
            original_context,
            beta_fast: self.decimal("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
            beta_slow: self.decimal("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
            magnitude,
            truncate: true,
        })
    }
}

#[cfg(test)]
mod tests;
