//! What config.json says of the rotary embedding.

use serde_json::{Map, Value};

use super::Keys;
use crate::config::RopeScaling;

/// The rotary embedding that a config.json describes.
pub(super) struct Rope {
    pub(super) theta: f64,
    pub(super) scaling: RopeScaling,
    /// The base of layers that have the window, if it is another.
    pub(super) local_theta: Option<f64>,
    /// The part of a head that is rotated.
    pub(super) partial: Option<f64>,
}

/// `rope_scaling` or `rope_parameters`.
type Parameters = Map<String, Value>;

impl Keys {
    /// Base and scaling of the rotary embedding, from the older `rope_theta` and `rope_scaling` or the newer
    /// `rope_parameters`. Where both are there they have to agree: transformers' versions take now this one, now that.
    pub(super) fn rope(&self, warnings: &mut Vec<String>) -> Result<Rope, String> {
        let given = |map: &Option<Parameters>| map.clone().filter(|map| !map.is_empty());
        let (older, newer) = (given(&self.rope_scaling), given(&self.rope_parameters));
        let (newer, local_theta) = if self.family.ways.local_rope {
            let (newer, local) = by_kind_of_layer(newer)?;
            (newer, Some(local.or(self.rope_local_base_freq).unwrap_or(10_000.0)))
        } else {
            (newer, None)
        };
        let of_both = |key: &str, stated: Option<f64>| {
            let inner = |map: &Option<Parameters>| {
                let value = map.as_ref().and_then(|map| map.get(key)).filter(|value| !value.is_null());
                value.map(|value| number(key, value)).transpose()
            };
            let mut stated = [stated, inner(&older)?, inner(&newer)?].into_iter().flatten();
            let first = stated.next();
            match stated.find(|other| Some(other.to_bits()) != first.map(f64::to_bits)) {
                Some(other) => Err(format!("`{key}` is {first:?} in one place and {other} in another")),
                None => Ok(first),
            }
        };
        let theta = of_both("rope_theta", self.rope_theta)?.unwrap_or(self.family.defaults.rope_theta);
        let partial = of_both("partial_rotary_factor", self.partial_rotary_factor)?;
        let mut scaling =
            |map: &Option<Parameters>| map.as_ref().map(|map| self.rope_scaling(map, warnings)).transpose();
        let (older, newer) = (scaling(&older)?, scaling(&newer)?);
        if let (Some(older), Some(newer)) = (&older, &newer)
            && older != newer
        {
            return Err(format!("`rope_scaling` means {older:?} and `rope_parameters` {newer:?}"));
        }
        Ok(Rope { theta, scaling: older.or(newer).unwrap_or_default(), local_theta, partial })
    }

    /// What `rope_scaling` or `rope_parameters` says.
    fn rope_scaling(
        &self,
        parameters: &Parameters,
        warnings: &mut Vec<String>,
    ) -> Result<RopeScaling, String> {
        if let Some((layers, _)) = parameters.iter().find(|(_, v)| v.is_object()) {
            return Err(format!("the rotary embedding differs by layer (`{layers}`)"));
        }
        let partial = parameters.get("partial_rotary_factor").filter(|v| !v.is_null());
        let partial = partial.map(|v| number("partial_rotary_factor", v)).transpose()?;
        if partial.is_some_and(|f| f.to_bits() != 1f64.to_bits()) && !self.family.ways.partial_rotation {
            return Err("`partial_rotary_factor` is not 1, and all of a head is rotated".to_owned());
        }
        let kind = match kinds(parameters)?.as_slice() {
            [] => "default",
            // 4.57 takes `type`, 5.24 `rope_type`.
            [one, other, ..] if one != other => {
                return Err(format!("rope scaling is of `rope_type` `{one}` and of `type` `{other}`"));
            }
            // Phi-3's older name for it.
            ["su", ..] if self.family.ways.fused => "longrope",
            [kind, ..] => *kind,
        };
        let read: &[&str] = match kind {
            "default" => &[],
            "linear" => &["factor"],
            "llama3" => {
                &["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]
            }
            "yarn" if !self.family.ways.fused => &YARN,
            "dynamic" => &["factor", "original_max_position_embeddings"],
            "longrope" if self.family.ways.fused => &LONG,
            other => return Err(format!("rope scaling is of type `{other}`")),
        };
        let always = ["rope_type", "type", "rope_theta", "partial_rotary_factor"];
        let unread = |key: &&String| !always.contains(&key.as_str()) && !read.contains(&key.as_str());
        let unread: Vec<String> = parameters.keys().filter(unread).map(|key| format!("`{key}`")).collect();
        if !unread.is_empty() {
            warnings.push(format!("rope scaling of type `{kind}` does not read {}", unread.join(", ")));
        }
        let of = |key: &str| required(parameters, key);
        match kind {
            "linear" => Ok(RopeScaling::Linear { factor: of("factor")? }),
            "llama3" => Ok(RopeScaling::Llama3 {
                factor: of("factor")?,
                low_freq_factor: of("low_freq_factor")?,
                high_freq_factor: of("high_freq_factor")?,
                original_context: self.original_context(parameters, warnings)?,
            }),
            "yarn" => self.yarn(parameters, warnings),
            "dynamic" => Ok(RopeScaling::Dynamic { most: self.longest() as usize }),
            "longrope" => self.long(parameters, warnings),
            _ => Ok(RopeScaling::None),
        }
    }

    /// `YaRN`, as transformers' `_compute_yarn_parameters` reads it.
    fn yarn(&self, parameters: &Parameters, warnings: &mut Vec<String>) -> Result<RopeScaling, String> {
        let original_context = self.original_context(parameters, warnings)?;
        let factor = optional(parameters, "factor")?.unwrap_or(self.longest() / original_context);
        // A zero is no more than nothing.
        let stated = |key| Ok::<_, String>(optional(parameters, key)?.filter(|&v| v != 0.0));
        let magnitude = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
        let unsaid = match (stated("mscale")?, stated("mscale_all_dim")?) {
            (Some(one), Some(all)) => magnitude(one) / magnitude(all),
            _ => magnitude(1.0),
        };
        let truncate = match parameters.get("truncate") {
            None => true,
            Some(Value::Bool(truncate)) => *truncate,
            Some(other) => return Err(format!("`truncate` is {other}")),
        };
        Ok(RopeScaling::Yarn {
            factor,
            original_context,
            beta_fast: stated("beta_fast")?.unwrap_or(32.0),
            beta_slow: stated("beta_slow")?.unwrap_or(1.0),
            magnitude: optional(parameters, "attention_factor")?.unwrap_or(unsaid),
            truncate,
        })
    }

    /// Phi-3's `longrope`, as transformers' `_compute_longrope_parameters` reads it, for prompts within the original context.
    fn long(&self, parameters: &Parameters, warnings: &mut Vec<String>) -> Result<RopeScaling, String> {
        let original = match self.original_max_position_embeddings {
            None if !parameters.contains_key(ORIGINAL) => 4096.0, // Phi3Config's default
            _ => self.original_context(parameters, warnings)?,
        };
        let factor = optional(parameters, "factor")?.unwrap_or(self.longest() / original);
        let unsaid = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original.ln()).sqrt() };
        let short = parameters.get("short_factor").and_then(Value::as_array);
        let short = short.ok_or("rope scaling has no `short_factor`")?.iter();
        let short = short.map(|value| Ok(number("short_factor", value)? as f32));
        warnings.push(format!(
            "`longrope` is computed for prompts of up to {original} tokens, its original context; longer ones are refused"
        ));
        Ok(RopeScaling::Long {
            short: short.collect::<Result<_, String>>()?,
            magnitude: optional(parameters, "attention_factor")?.unwrap_or(unsaid),
            most: original as usize,
        })
    }

    /// The longest text.
    fn longest(&self) -> f64 {
        self.max_position_embeddings.unwrap_or(self.family.defaults.longest)
    }

    /// Tokens of a text before stretching, as transformers 5.24's `standardize_rope_params` finds them: the configuration's
    /// own key before that of `rope_parameters`, and the longest text where there is neither.
    fn original_context(&self, parameters: &Parameters, warnings: &mut Vec<String>) -> Result<f64, String> {
        match (self.original_max_position_embeddings, optional(parameters, ORIGINAL)?) {
            (Some(outer), Some(inner)) if outer.to_bits() != inner.to_bits() => {
                warnings.push(format!(
                    "`{ORIGINAL}` is {outer} in config.json and {inner} in its rope scaling: {outer} counts, as in \
                     transformers 5 (4 took the other one)"
                ));
                Ok(outer)
            }
            (Some(stated), _) | (None, Some(stated)) => Ok(stated),
            (None, None) => {
                let longest = self.longest();
                warnings.push(format!(
                    "rope scaling has no `{ORIGINAL}`: `max_position_embeddings` is taken for it, {longest}, as in transformers 5"
                ));
                Ok(longest)
            }
        }
    }
}

const ORIGINAL: &str = "original_max_position_embeddings";

const YARN: [&str; 8] = [
    "factor",
    ORIGINAL,
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
    "truncate",
];

const LONG: [&str; 5] = ["factor", ORIGINAL, "attention_factor", "short_factor", "long_factor"];

/// Gemma 3's parameters: those of layers that attend to everything, and the base of those that have the window.
fn by_kind_of_layer(parameters: Option<Parameters>) -> Result<(Option<Parameters>, Option<f64>), String> {
    let Some(parameters) = parameters else { return Ok((None, None)) };
    if !parameters.values().any(Value::is_object) {
        return Ok((Some(parameters), None));
    }
    let of = |kind: &str| match parameters.get(kind) {
        Some(Value::Object(own)) => Ok(Some(own.clone())),
        None | Some(Value::Null) => Ok(None),
        Some(other) => Err(format!("`{kind}` in `rope_parameters` is {other}")),
    };
    if let Some(other) =
        parameters.keys().find(|k| !["full_attention", "sliding_attention"].contains(&k.as_str()))
    {
        return Err(format!("`rope_parameters` names `{other}`"));
    }
    let Some(local) = of("sliding_attention")? else { return Ok((of("full_attention")?, None)) };
    if let Some(kind) = kinds(&local)?.into_iter().find(|kind| *kind != "default") {
        return Err(format!("layers with a window have a rope scaling of type `{kind}`"));
    }
    Ok((of("full_attention")?, optional(&local, "rope_theta")?))
}

/// What `rope_type` and `type` say, as far as they are there.
fn kinds(parameters: &Parameters) -> Result<Vec<&str>, String> {
    let stated = ["rope_type", "type"].into_iter().filter_map(|key| parameters.get(key));
    let word = |kind: &'_ Value| format!("rope scaling is of type {kind}");
    stated.filter(|kind| !kind.is_null()).map(|kind| kind.as_str().ok_or_else(|| word(kind))).collect()
}

fn required(parameters: &Parameters, key: &str) -> Result<f64, String> {
    let value = parameters.get(key).ok_or_else(|| format!("rope scaling has no `{key}`"))?;
    number(key, value)
}

fn optional(parameters: &Parameters, key: &str) -> Result<Option<f64>, String> {
    parameters.get(key).filter(|value| !value.is_null()).map(|value| number(key, value)).transpose()
}

fn number(key: &str, value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("`{key}` is {value}, and a number is needed"))
}
