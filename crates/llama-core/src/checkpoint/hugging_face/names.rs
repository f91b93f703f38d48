//! What a folder's files call the weights: Hugging Face's names, with whatever wrappers a model was saved in.
//!
//! `LlamaForCausalLM` calls its blocks `model.layers.…`, `LlamaModel` alone `layers.…`; a LLaMA that was part of a larger
//! model has `language_model.` somewhere in front, one that was trained in parallel or compiled `module.` or `_orig_mod.`.
//! transformers adds and takes away such prefixes as well (`base_model_prefix`).

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::weight::{BlockWeight, Weight};
use crate::config::{BlockNorms, Config};
use crate::family::Family;

/// What wrappers put in front.
const WRAPPERS: [&str; 8] =
    ["model", "language_model", "module", "_orig_mod", "transformer", "text_model", "llm", "base_model"];

/// What comes in front of the blocks' names, and the unembedding's whole name.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
    norms: BlockNorms,
    /// Whether queries, keys, and values have one name, gate and up another.
    fused: bool,
    embed: Option<String>,
    unembed: Option<String>,
}

impl Names {
    /// Finds out from the names that are there.
    ///
    /// # Errors
    /// Two models in one folder, in words.
    pub(super) fn find(
        names: &BTreeMap<String, usize>,
        config: &Config,
        family: &Family,
    ) -> Result<Self, String> {
        let tied = config.tied_embeddings;
        let wrapped = |name: &str, own: &str| {
            let prefix = name.strip_suffix(own)?;
            is_wrapper(prefix).then(|| prefix.to_owned())
        };
        let first_block = |name: &String| {
            let (prefix, _) = name.split_once("layers.0.")?;
            is_wrapper(prefix).then(|| prefix.to_owned())
        };
        let prefixes: BTreeSet<String> = names.keys().filter_map(first_block).collect();
        let prefix = match prefixes.iter().collect::<Vec<_>>().as_slice() {
            [] => "model.".to_owned(),
            [only] => (*only).clone(),
            [one, other, ..] => {
                return Err(format!("it holds two models: `{one}layers.0.…` and `{other}layers.0.…`"));
            }
        };
        let heads: Vec<&String> =
            names.keys().filter(|name| wrapped(name, "lm_head.weight").is_some()).collect();
        if let [one, other, ..] = heads.as_slice() {
            return Err(format!("it holds two unembeddings: `{one}` and `{other}`"));
        }
        let unembed = heads.first().map(|name| (*name).clone());
        // transformers ties in whichever direction the file asks for.
        let embed = format!("{prefix}embed_tokens.weight");
        let embed = if tied && !names.contains_key(&embed) { unembed.clone() } else { Some(embed) };
        Ok(Self { prefix, norms: config.norms, fused: family.ways.fused, embed, unembed })
    }

    /// A weight's name in the files.
    pub(super) fn of(&self, weight: Weight) -> String {
        let plain = weight.hugging_face_name(self.norms);
        let together = |block: usize, name: &str| format!("{}layers.{block}.{name}.weight", self.prefix);
        match weight {
            Weight::Block(i, BlockWeight::Q | BlockWeight::K | BlockWeight::V) if self.fused => {
                together(i, "self_attn.qkv_proj")
            }
            Weight::Block(i, BlockWeight::Gate | BlockWeight::Up) if self.fused => {
                together(i, "mlp.gate_up_proj")
            }
            Weight::Unembed => self.unembed.clone().unwrap_or(plain),
            Weight::Embed => self.embed.clone().unwrap_or(plain),
            _ => plain.replacen("model.", &self.prefix, 1),
        }
    }

    /// The unembedding's name, if there is one.
    pub(super) fn unembed(&self) -> Option<&str> {
        self.unembed.as_deref()
    }
}

/// Whether a prefix is made of wrappers alone.
fn is_wrapper(prefix: &str) -> bool {
    prefix.is_empty()
        || prefix.strip_suffix('.').is_some_and(|inner| inner.split('.').all(|part| WRAPPERS.contains(&part)))
}

/// Tables that older versions of transformers saved and newer ones compute.
pub(super) fn computed(name: &str) -> bool {
    name.ends_with("rotary_emb.inv_freq") || name == "rope.freqs"
}

/// Whether an index may list this tensor though no file holds it: it is computed, or another tensor stands for it.
pub(super) fn dispensable(name: &str, tied: bool) -> bool {
    computed(name) || (tied && (name.ends_with("lm_head.weight") || name.ends_with("embed_tokens.weight")))
}

/// What a tensor's name says of how weights were changed before they were saved, and what to do about it.
pub(super) fn changed(name: &str) -> Option<(&'static str, &'static str)> {
    const PLAIN: &str = "take the model's own bf16 or f16 files, or a GGUF file";
    const ADAPTER: &str =
        "merge the adapter into its model first (peft: merge_and_unload, then save_pretrained)";
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
    if name.contains(".lora_") || name.contains(".modules_to_save.") {
        Some(("a LoRA adapter's", ADAPTER))
    } else if ends(&[".qweight", ".qzeros", ".g_idx", ".scales"]) {
        Some(("quantized by GPTQ or AWQ", PLAIN))
    } else if ends(&[".absmax", ".quant_map", ".SCB", ".weight_format", ".nested_absmax"])
        || name.contains(".quant_state.")
    {
        Some(("quantized by bitsandbytes", PLAIN))
    } else if ends(&[".weight_packed", ".weight_shape", ".weight_zero_point", ".weight_global_scale"]) {
        Some(("quantized by compressed-tensors", PLAIN))
    } else if ends(&[".weight_scale", ".weight_scale_inv", ".input_scale", ".k_scale", ".v_scale"]) {
        Some(("quantized to FP8", PLAIN))
    } else if ends(&[".codes", ".codebooks", ".Qidxs"]) {
        Some(("quantized by AQLM or QuIP#", PLAIN))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str], tied: bool) -> Result<Names, String> {
        let config = Config { tied_embeddings: tied, ..Config::default() };
        Names::find(&names.iter().map(|name| ((*name).to_owned(), 0)).collect(), &config, Family::llama())
    }

    #[test]
    fn wrappers_are_seen_through() {
        let query = Weight::Block(0, BlockWeight::Q);
        for prefix in [
            "",
            "model.",
            "language_model.model.",
            "model.language_model.",
            "module.model.",
            "language_model.",
        ] {
            let own = |name: &str| format!("{prefix}{name}");
            let (q, embed) = (own("layers.0.self_attn.q_proj.weight"), own("embed_tokens.weight"));
            let names = named(&[&q, &embed, "lm_head.weight"], false).expect(prefix);
            assert_eq!((names.of(query), names.of(Weight::Embed)), (q, embed));
            assert_eq!(names.of(Weight::FinalNorm), own("norm.weight"));
            assert_eq!(names.of(Weight::Unembed), "lm_head.weight");
        }
        let tied =
            named(&["layers.0.mlp.up_proj.weight", "language_model.lm_head.weight"], true).expect("tied");
        assert_eq!(tied.of(Weight::Embed), "language_model.lm_head.weight");
        let eyes = named(&["vision.encoder.layers.0.norm", "model.layers.0.mlp.up_proj.weight"], false);
        assert_eq!(eyes.expect("one").of(Weight::FinalNorm), "model.norm.weight");
        assert!(named(&["model.layers.0.a", "layers.0.a"], false).expect_err("two").contains("two models"));
        assert!(named(&["lm_head.weight", "model.lm_head.weight"], false).is_err());
    }
}
