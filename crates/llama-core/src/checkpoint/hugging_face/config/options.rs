//! What config.json says of the ways in which families differ from LLaMA, and from each other.

use super::Keys;
use crate::config::{Biases, Config, Layers, Multipliers, SoftCaps};
use crate::family::{Stated, Windows};

/// Names of layers that attend to everything before them.
const FULL: [&str; 2] = ["full_attention", "attention"];
/// And of those that have the window.
const WINDOWED: &str = "sliding_attention";

impl Keys {
    /// An activation that the family's MLP does not compute, in words.
    pub(super) fn other_gate(&self) -> Option<String> {
        use crate::config::Gate;
        // Gemma's `hidden_act` means what `hidden_activation` says, and has never been anything else.
        let (key, value, words): (_, _, &[&str]) = match self.family.ways.gate {
            Gate::Silu => ("hidden_act", &self.hidden_act, &["silu", "swish"]),
            Gate::GeluTanh => ("hidden_activation", &self.hidden_activation, &["gelu_pytorch_tanh"]),
        };
        let other = value.as_deref().filter(|word| !words.contains(word))?;
        Some(format!("`{key}` is `{other}`, and the MLP is computed with {}", words[0]))
    }

    /// A kind of layer that the family does not have, in words.
    pub(super) fn other_layers(&self) -> Option<String> {
        let windows = self.family.ways.windows != Windows::None;
        let computed =
            |kind: &&String| FULL.contains(&kind.as_str()) || (windows && kind.as_str() == WINDOWED);
        let other = self.layer_types.iter().flatten().find(|kind| !computed(kind))?;
        Some(format!("`layer_types` names `{other}`, which is not computed"))
    }

    /// The configuration with everything that the keys say of these ways.
    pub(super) fn options(&self, config: Config) -> Result<Config, String> {
        let rotated_layers = self.rotated_layers(config.n_layers)?;
        let (sliding_window, window_layers) = self.windows(config.n_layers, &rotated_layers)?;
        let reads = |key: &str| self.family.keys.contains(&key);
        // Absent is the family's default, and null none: Gemma 2's alone has caps.
        let cap = |key: &str, stated: Option<Option<f64>>, default: f64| {
            if reads(key) {
                stated.unwrap_or(Some(default).filter(|_| reads("attn_logit_softcapping")))
            } else {
                None
            }
        };
        let soft_caps = SoftCaps {
            scores: cap("attn_logit_softcapping", self.attn_logit_softcapping, 50.0),
            logits: cap("final_logit_softcapping", self.final_logit_softcapping, 30.0),
        };
        Ok(Config {
            sliding_window,
            window_layers,
            rotated_layers,
            biases: match self.family.ways.biases {
                Stated::Always => Biases::QueriesKeysValues,
                Stated::ByKey if self.attention_bias == Some(true) => Biases::Attention,
                Stated::ByKey | Stated::Never => Biases::None,
            },
            soft_caps,
            multipliers: self.multipliers(&config),
            ..config
        })
    }

    fn multipliers(&self, config: &Config) -> Multipliers {
        let reads = |key: &str| self.family.keys.contains(&key);
        let always = config.multipliers;
        if reads("attention_multiplier") {
            return Multipliers {
                embedding: self.embedding_multiplier.unwrap_or(1.0),
                residual: self.residual_multiplier.unwrap_or(1.0),
                scores: Some(self.attention_multiplier.unwrap_or(1.0)),
                logit_divisor: self.logits_scaling.unwrap_or(1.0),
            };
        }
        let scores = reads("query_pre_attn_scalar")
            .then(|| self.query_pre_attn_scalar.unwrap_or(256.0).sqrt().recip());
        Multipliers { scores, ..always }
    }

    /// The layers that are rotated.
    fn rotated_layers(&self, n_layers: usize) -> Result<Layers, String> {
        if !self.family.ways.unrotated_layers {
            return Ok(Layers::All);
        }
        match &self.no_rope_layers {
            Some(stated) if stated.len() < n_layers => {
                Err(format!("`no_rope_layers` has {} entries for {n_layers} layers", stated.len()))
            }
            Some(stated) => Ok(Layers::chosen(n_layers, |layer| stated[layer] != 0)),
            None => match self.no_rope_layer_interval.unwrap_or(4) {
                0 => Err("`no_rope_layer_interval` is 0".to_owned()),
                interval => Ok(Layers::chosen(n_layers, |layer| (layer + 1) % interval != 0)),
            },
        }
    }

    /// The window, and the layers that have it; no window where none has it.
    fn windows(&self, n_layers: usize, rotated: &Layers) -> Result<(Option<usize>, Layers), String> {
        let Some(window) = self.sliding_window.unwrap_or(self.family.defaults.window) else {
            return Ok((None, Layers::All));
        };
        let tokens = usize::try_from(window).ok().filter(|&tokens| tokens > 0);
        let tokens = tokens.ok_or_else(|| format!("`sliding_window` is {window}"))?;
        let asked = self.use_sliding_window == Some(true);
        let windows = self.family.ways.windows;
        let layers = match (&self.layer_types, windows) {
            (_, Windows::None) => return Ok((None, Layers::All)),
            // transformers' Qwen has no window then, whatever its layers are called.
            (_, Windows::FromLayer | Windows::Unrotated) if !asked => return Ok((None, Layers::All)),
            (Some(kinds), _) => Layers::chosen(n_layers, |layer| kinds[layer] == WINDOWED),
            (None, Windows::FromLayer) => {
                let first = self.max_window_layers.unwrap_or(28);
                Layers::chosen(n_layers, |layer| layer >= first)
            }
            (None, Windows::Unrotated) => Layers::chosen(n_layers, |layer| !rotated.contains(layer)),
            (None, Windows::ButEach(_)) if self.sliding_window_pattern == Some(0) => {
                return Err("`sliding_window_pattern` is 0".to_owned());
            }
            (None, Windows::ButEach(usual)) => {
                let nth =
                    self.sliding_window_pattern.filter(|_| self.family.ways.local_rope).unwrap_or(usual);
                Layers::chosen(n_layers, |layer| (layer + 1) % nth != 0)
            }
            (None, Windows::All) => Layers::All,
        };
        if layers == Layers::Only(Vec::new()) { Ok((None, Layers::All)) } else { Ok((Some(tokens), layers)) }
    }
}
