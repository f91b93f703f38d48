//! The families of models that are computed: a row of a table for each, which says what its files mean where they do not say
//! it themselves.
//!
//! Defaults are those of transformers' configuration classes; what GGUF files leave unsaid is what llama.cpp takes.

use crate::config::{BlockNorms, Config, Gate, Layers, QueryKeyNorm};

/// One family of models.
#[derive(Debug)]
#[non_exhaustive]
pub struct Family {
    /// Its name, for people.
    pub name: &'static str,
    /// `model_type` in its config.json.
    pub model_type: &'static str,
    /// `general.architecture` in its GGUF files.
    pub architecture: &'static str,
    /// What it does otherwise than LLaMA, for people.
    pub differs: &'static str,
    pub(crate) ways: Ways,
    pub(crate) defaults: Defaults,
    /// Keys of config.json that it reads, and that ask for something else in a LLaMA's.
    pub(crate) keys: &'static [&'static str],
    /// The same of GGUF metadata, without the architecture in front.
    pub(crate) metadata: &'static [&'static str],
}

/// What a family always does.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)] // each is an answer of its own
pub(crate) struct Ways {
    pub(crate) biases: Stated,
    pub(crate) query_key_norm: QueryKeyNorm,
    pub(crate) norms: BlockNorms,
    pub(crate) gate: Gate,
    pub(crate) windows: Windows,
    /// Files hold gains less one. (GGUF files hold gains.)
    pub(crate) gains_from_one: bool,
    /// The embedding is multiplied by √D.
    pub(crate) scaled_embedding: bool,
    /// Queries, keys, and values are one tensor, gate and up another.
    pub(crate) fused: bool,
    /// Not every layer is rotated.
    pub(crate) unrotated_layers: bool,
    /// Windowed layers have a base of their own.
    pub(crate) local_rope: bool,
    /// Only part of a head may be rotated.
    pub(crate) partial_rotation: bool,
    /// GGUF files have rotated pairs next to each other.
    pub(crate) pairs_are_neighbors: bool,
}

/// Whether queries, keys, and values have biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stated {
    Never,
    Always,
    /// If `attention_bias` says so, and then attention's output has one too.
    ByKey,
}

/// Which layers have the attention window that a file states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Windows {
    /// None, whatever it states.
    None,
    All,
    /// With `use_sliding_window`, those from `max_window_layers` on.
    FromLayer,
    /// All but each n-th.
    ButEach(usize),
    /// With `use_sliding_window`, those that are not rotated.
    Unrotated,
}

/// What transformers takes for keys that a config.json does not have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    pub(crate) sizes: Sizes,
    pub(crate) longest: f64,
    pub(crate) norm_eps: f64,
    pub(crate) rope_theta: f64,
    pub(crate) tied: bool,
    pub(crate) window: Option<i64>,
}

/// Numbers of a [`Defaults`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) hidden: i64,
    pub(crate) intermediate: i64,
    pub(crate) layers: i64,
    pub(crate) heads: i64,
    /// `None`: as many as `heads`.
    pub(crate) kv_heads: Option<i64>,
    /// `None`: the hidden size over `heads`.
    pub(crate) head_dim: Option<i64>,
    pub(crate) vocab: i64,
}

/// LLaMA's ways.
const PLAIN: Ways = Ways {
    biases: Stated::ByKey,
    query_key_norm: QueryKeyNorm::None,
    norms: BlockNorms::Before,
    gate: Gate::Silu,
    windows: Windows::None,
    gains_from_one: false,
    scaled_embedding: false,
    fused: false,
    unrotated_layers: false,
    local_rope: false,
    partial_rotation: false,
    pairs_are_neighbors: false,
};

/// Gemma's.
const GEMMA: Ways = Ways { gate: Gate::GeluTanh, gains_from_one: true, scaled_embedding: true, ..PLAIN };

/// LLaMA 7B's numbers.
const LLAMA_7B: Sizes = Sizes {
    hidden: 4096,
    intermediate: 11008,
    layers: 32,
    heads: 32,
    kv_heads: None,
    head_dim: None,
    vocab: 32_000,
};

/// LLaMA's.
const LLAMA: Defaults = Defaults {
    sizes: LLAMA_7B,
    longest: 2048.0,
    norm_eps: 1e-6,
    rope_theta: 10_000.0,
    tied: false,
    window: None,
};

/// Qwen's.
const QWEN: Defaults = Defaults {
    sizes: Sizes { intermediate: 22016, kv_heads: Some(32), vocab: 151_936, ..LLAMA_7B },
    longest: 32_768.0,
    window: Some(4096),
    ..LLAMA
};

/// Gemma 2's.
const GEMMA_2: Defaults = Defaults {
    sizes: Sizes {
        hidden: 2304,
        intermediate: 9216,
        layers: 26,
        heads: 8,
        kv_heads: Some(4),
        head_dim: Some(256),
        vocab: 256_000,
    },
    longest: 8192.0,
    tied: true,
    window: Some(4096),
    ..LLAMA
};

/// The table.
static FAMILIES: [Family; 10] = [
    Family {
        name: "LLaMA 1, 2, 3, SmolLM 1, 2, and others",
        model_type: "llama",
        architecture: "llama",
        differs: "biases where `attention_bias` says so",
        ways: Ways { pairs_are_neighbors: true, ..PLAIN },
        defaults: LLAMA,
        keys: &[],
        metadata: &[],
    },
    Family {
        name: "Mistral",
        model_type: "mistral",
        architecture: "llama",
        differs: "an attention window",
        ways: Ways { biases: Stated::Never, windows: Windows::All, pairs_are_neighbors: true, ..PLAIN },
        defaults: Defaults {
            sizes: Sizes { intermediate: 14336, kv_heads: Some(8), ..LLAMA_7B },
            longest: 131_072.0,
            window: Some(4096),
            ..LLAMA
        },
        keys: &[],
        metadata: &[],
    },
    Family {
        name: "Qwen 2, 2.5",
        model_type: "qwen2",
        architecture: "qwen2",
        differs: "biases of queries, keys, and values; a window in some layers, if `use_sliding_window` says so",
        ways: Ways { biases: Stated::Always, windows: Windows::FromLayer, ..PLAIN },
        defaults: QWEN,
        keys: &[],
        metadata: &[],
    },
    Family {
        name: "Qwen 3",
        model_type: "qwen3",
        architecture: "qwen3",
        differs: "norms of each head's queries and keys; a window in some layers, if `use_sliding_window` says so",
        ways: Ways { query_key_norm: QueryKeyNorm::Heads, windows: Windows::FromLayer, ..PLAIN },
        defaults: Defaults { sizes: Sizes { head_dim: Some(128), ..QWEN.sizes }, ..QWEN },
        keys: &[],
        metadata: &[],
    },
    Family {
        name: "Gemma 2",
        model_type: "gemma2",
        architecture: "gemma2",
        differs: "norms before and after attention and MLP, gains from 1, GELU, embeddings times √D, soft caps of scores \
                  and logits, a scale of scores, a window in every other layer",
        ways: Ways { norms: BlockNorms::Around, windows: Windows::ButEach(2), ..GEMMA },
        defaults: GEMMA_2,
        keys: &[
            "attn_logit_softcapping",
            "final_logit_softcapping",
            "query_pre_attn_scalar",
            "hidden_activation",
        ],
        metadata: &["attn_logit_softcapping", "final_logit_softcapping", "attention.sliding_window_pattern"],
    },
    Family {
        name: "Gemma 3 (text)",
        model_type: "gemma3_text",
        architecture: "gemma3",
        differs: "as Gemma 2 without soft caps; norms of each head's queries and keys, a window in five layers of six, \
                  which have a rotary base of their own",
        ways: Ways {
            norms: BlockNorms::Around,
            query_key_norm: QueryKeyNorm::Heads,
            windows: Windows::ButEach(6),
            local_rope: true,
            ..GEMMA
        },
        defaults: Defaults {
            sizes: Sizes { vocab: 262_208, ..GEMMA_2.sizes },
            longest: 131_072.0,
            rope_theta: 1e6,
            ..GEMMA_2
        },
        keys: &[
            "final_logit_softcapping",
            "query_pre_attn_scalar",
            "hidden_activation",
            "rope_local_base_freq",
            "sliding_window_pattern",
            "_sliding_window_pattern",
        ],
        metadata: &["final_logit_softcapping", "attention.sliding_window_pattern", "rope.freq_base_swa"],
    },
    Family {
        name: "OLMo 2",
        model_type: "olmo2",
        architecture: "olmo2",
        differs: "norms after attention and MLP, none before; norms of all heads' queries and keys together",
        ways: Ways { norms: BlockNorms::After, query_key_norm: QueryKeyNorm::Projections, ..PLAIN },
        defaults: Defaults { sizes: Sizes { vocab: 50_304, ..LLAMA_7B }, norm_eps: 1e-5, ..LLAMA },
        keys: &[],
        metadata: &[],
    },
    Family {
        name: "Phi-3, Phi-3.5, Phi-4-mini",
        model_type: "phi3",
        architecture: "phi3",
        differs: "one tensor for queries, keys, and values, one for gate and up; a window; `longrope` for prompts within \
                  the original context; partial rotation",
        ways: Ways {
            biases: Stated::Never,
            windows: Windows::All,
            fused: true,
            partial_rotation: true,
            ..PLAIN
        },
        defaults: Defaults {
            sizes: Sizes { hidden: 3072, intermediate: 8192, vocab: 32_064, ..LLAMA_7B },
            longest: 4096.0,
            norm_eps: 1e-5,
            ..LLAMA
        },
        keys: &[],
        metadata: &["rope.scaling.attn_factor"],
    },
    Family {
        name: "SmolLM 3",
        model_type: "smollm3",
        architecture: "smollm3",
        differs: "every fourth layer is not rotated",
        ways: Ways {
            windows: Windows::Unrotated,
            unrotated_layers: true,
            pairs_are_neighbors: true,
            ..PLAIN
        },
        defaults: Defaults {
            sizes: Sizes {
                hidden: 2048,
                layers: 36,
                heads: 16,
                kv_heads: Some(4),
                vocab: 128_256,
                ..LLAMA_7B
            },
            longest: 32_768.0,
            rope_theta: 2e6,
            tied: true,
            ..LLAMA
        },
        keys: &["no_rope_layers", "no_rope_layer_interval"],
        metadata: &[],
    },
    Family {
        name: "Granite 3",
        model_type: "granite",
        architecture: "granite",
        differs: "multipliers of the embedding, the residual stream, scores, and logits",
        ways: Ways { pairs_are_neighbors: true, ..PLAIN },
        defaults: LLAMA,
        keys: &["attention_multiplier", "embedding_multiplier", "logits_scaling", "residual_multiplier"],
        metadata: &["attention.scale", "embedding_scale", "logit_scale", "residual_scale"],
    },
];

/// The families of models that are computed, each with what it does otherwise than LLaMA.
///
/// ```
/// let families = llama_core::families();
/// assert!(families.iter().any(|family| family.model_type == "qwen2" && family.architecture == "qwen2"));
/// ```
pub fn families() -> &'static [Family] {
    &FAMILIES
}

impl Family {
    /// LLaMA.
    pub(crate) fn llama() -> &'static Self {
        &FAMILIES[0]
    }

    /// The family of a `model_type`.
    pub(crate) fn of_model_type(model_type: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.model_type == model_type)
    }

    /// The family of a GGUF file's architecture; Mistral's is LLaMA's.
    #[cfg(feature = "gguf")]
    pub(crate) fn of_architecture(architecture: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.architecture == architecture)
    }

    /// The layers that have the window, where a file does not name them.
    pub(crate) fn window_layers(&self, n_layers: usize) -> Layers {
        match self.ways.windows {
            Windows::ButEach(nth) => Layers::chosen(n_layers, |layer| (layer + 1) % nth != 0),
            _ => Layers::All,
        }
    }

    /// A configuration of LLaMA's numbers with what the family always does.
    pub(crate) fn always(&self, numbers: Config) -> Config {
        let Ways { query_key_norm, norms, gate, .. } = self.ways;
        let mut config = Config { query_key_norm, norms, gate, ..numbers };
        if self.ways.scaled_embedding {
            config.multipliers.embedding = (config.dim as f64).sqrt();
        }
        config
    }
}

/// `model_type`s, as a sentence lists them.
pub(crate) fn model_types() -> String {
    FAMILIES.iter().map(|family| family.model_type).collect::<Vec<_>>().join(", ")
}
