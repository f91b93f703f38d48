//! What other libraries call our hook points: TransformerLens, Hugging Face's `LlamaForCausalLM`, llama.cpp's graph,
//! llama-ccs' arrays.
//!
//! Modules of Hugging Face are written with `.input` or `.output`, since one module has both; a bare module means its
//! output. `-{i}` is how llama.cpp appends the layer to a node's name.
//!
//! | ours and TransformerLens' | Hugging Face | llama.cpp | llama-ccs |
//! |---|---|---|---|
//! | `hook_embed` | `model.embed_tokens.output`, `hidden_states[0]` | `inp_embd` | `[0]` |
//! | `blocks.{i}.hook_resid_pre` | `model.layers.{i}.input`, `hidden_states[i]` | `l_out-{i-1}`, first `inp_embd` | `[i]` |
//! | `blocks.{i}.ln1.hook_scale` | | | |
//! | `blocks.{i}.ln1.hook_normalized` | | `norm-{i}`, the first | |
//! | `blocks.{i}.attn.hook_q` | `….self_attn.q_proj.output` ᵃ | `Qcur-{i}`, the first ᵇ | |
//! | `blocks.{i}.attn.hook_k` | `….self_attn.k_proj.output` ᵃ | `Kcur-{i}`, the first ᵇ | |
//! | `blocks.{i}.attn.hook_v` | `….self_attn.v_proj.output` ᵃ | `Vcur-{i}` ᵃ | |
//! | `blocks.{i}.attn.hook_rot_q` | | `Qcur-{i}`, the last ᵇ | |
//! | `blocks.{i}.attn.hook_rot_k` | | `Kcur-{i}`, the last ᵇ | |
//! | `blocks.{i}.attn.hook_attn_scores` | | `kq-{i}` ᶜ | |
//! | `blocks.{i}.attn.hook_pattern` | `attentions[i]` | `kq_soft_max-{i}` ᵈ | |
//! | `blocks.{i}.attn.hook_z` | `….self_attn.o_proj.input` ᵃ | `kqv_out-{i}` ᵃ | |
//! | `blocks.{i}.attn.hook_result` | | | |
//! | `blocks.{i}.hook_attn_out` | `….self_attn.o_proj.output` | `attn_out-{i}` | |
//! | `blocks.{i}.hook_resid_mid` | `….post_attention_layernorm.input` | `ffn_inp-{i}` ᵉ | |
//! | `blocks.{i}.ln2.hook_scale` | | | |
//! | `blocks.{i}.ln2.hook_normalized` | | `norm-{i}`, the second ᵉ | |
//! | `blocks.{i}.mlp.hook_pre` | `….mlp.gate_proj.output` | `ffn_gate-{i}` ᵉ | |
//! | `blocks.{i}.mlp.hook_pre_linear` | `….mlp.up_proj.output` | `ffn_up-{i}` ᵉ | |
//! | `blocks.{i}.mlp.hook_post` | `….mlp.down_proj.input` | `ffn_swiglu-{i}` ᵉ | |
//! | `blocks.{i}.hook_mlp_out` | `….mlp.down_proj.output` | `ffn_out-{i}` ᵉ | |
//! | `blocks.{i}.hook_resid_post` | `model.layers.{i}.output`, `hidden_states[i + 1]` ᶠ | `l_out-{i}` ᵉ | `[i + 1]` |
//! | `ln_final.hook_scale` | | | |
//! | `ln_final.hook_normalized` ᶠ | | `norm` | |
//! | `ln_final.hook_out` ᵍ | `model.norm.output`, `hidden_states[L]` ᶠ | `result_norm` | |
//! | `unembed.hook_out` ᵍ | `lm_head.output` | `result_output` | |
//!
//! Hugging Face's and llama.cpp's names are those of a LLaMA. With norms after attention and MLP (Gemma 2 and 3, `OLMo` 2),
//! `hook_attn_out` is `post_attention_layernorm.output`, `hook_mlp_out` `post_feedforward_layernorm.output`, and
//! `hook_resid_mid` `pre_feedforward_layernorm.input`; with a multiplier (Granite), they are the modules' outputs times it.
//!
//! - ᵃ The same numbers with heads side by side: `[…, H·K]` for `[…, H, K]`.
//! - ᵇ As ᵃ, and inside a head the two numbers of a rotated pair are neighbors, as in Meta's files; ours stand half a
//!   head apart, as Hugging Face's do. One name is given before and after rotation.
//! - ᶜ Neither scaled nor masked, and only without flash attention. ᵈ Only without flash attention; keys are the cache's.
//! - ᵉ In the last block only tokens whose logits are asked for.
//! - ᶠ **The trap at the end.** `hidden_states` has L + 1 entries, and the last is not what leaves the last block: it is
//!   that after the final norm *and* its gain, our `ln_final.hook_out`. What leaves the last block,
//!   `blocks.{L-1}.hook_resid_post`, is not among them; `ln_final.hook_normalized` is after the division and before the
//!   gain. llama-ccs' `[L]` is before the norm.
//! - ᵍ `TransformerBridge`'s names; the older `HookedTransformer` has no such hook. That one also folds the norms' gains
//!   into the weights that follow and centers the unembedding unless told otherwise (`from_pretrained_no_processing`):
//!   activations agree, what follows a gain and logits do not.
//!
//! ```
//! use llama_core::{HookPoint, names};
//!
//! let names = names::of(HookPoint::resid_post(3), 32);
//! assert_eq!(names.hugging_face.unwrap().name, "model.layers.3.output");
//! assert_eq!((names.hidden_state, names.llama_ccs), (Some(4), Some(4)));
//! assert_eq!(names::of(HookPoint::resid_post(31), 32).hidden_state, None); // Hugging Face's last is after the norm
//!
//! let found = names::find("model.layers.3.mlp.down_proj").unwrap();
//! assert_eq!(found.point.to_string(), "blocks.3.hook_mlp_out");
//! assert_eq!(names::find("ffn_inp-7").unwrap().point.to_string(), "blocks.7.hook_resid_mid");
//! ```

use serde::Serialize;

use super::{HookPoint, Site};

/// How another library's activation relates to ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Relation {
    /// The same numbers in the same shape, up to rounding.
    Same,
    /// The same numbers in another shape or order.
    Reshaped,
    /// Different numbers; this is the nearest activation there is.
    Differs,
}

/// An activation's name in another library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Name {
    /// The name as that library writes it.
    pub name: String,
    /// How it relates to ours.
    pub relation: Relation,
    /// Where the two differ, if they do; otherwise empty.
    pub note: &'static str,
}

/// What one hook point is called elsewhere; `None` where a library has no such activation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Names {
    /// Ours.
    pub point: HookPoint,
    /// TransformerLens' hook.
    pub transformer_lens: Name,
    /// Hugging Face's module and which end of it.
    pub hugging_face: Option<Name>,
    /// The index in Hugging Face's `hidden_states`.
    pub hidden_state: Option<usize>,
    /// llama.cpp's graph node.
    pub llama_cpp: Option<Name>,
    /// The index in llama-ccs' `[L + 1, D]` arrays.
    pub llama_ccs: Option<usize>,
}

/// What a name of another library means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Our point, or with [`Relation::Differs`] the nearest.
    pub point: HookPoint,
    /// How the two relate.
    pub relation: Relation,
    /// Where they differ, if they do; otherwise empty.
    pub note: &'static str,
}

/// A name of another library inside a block, what it relates to and how.
type Row = (Site, &'static str, Relation, &'static str);

const HEADS: &str = "heads side by side, [.., heads * head_dim]";
const GAIN: &str = "that is after the gain, ours before it";
const GATE: &str = "that is the gate alone, ours multiplied by pre_linear";

/// Hugging Face: paths below `model.layers.{i}`.
const HUGGING_FACE: [Row; 13] = [
    (Site::ResidPre, "input", Relation::Same, ""),
    (Site::Q, "self_attn.q_proj.output", Relation::Reshaped, HEADS),
    (Site::K, "self_attn.k_proj.output", Relation::Reshaped, HEADS),
    (Site::V, "self_attn.v_proj.output", Relation::Reshaped, HEADS),
    (Site::Pattern, ATTENTIONS, Relation::Same, "with attn_implementation=\"eager\""),
    (Site::Z, "self_attn.o_proj.input", Relation::Reshaped, HEADS),
    (Site::AttnOut, "self_attn.o_proj.output", Relation::Same, ""),
    (Site::ResidMid, "post_attention_layernorm.input", Relation::Same, ""),
    (Site::MlpPre, "mlp.gate_proj.output", Relation::Same, ""),
    (Site::MlpPreLinear, "mlp.up_proj.output", Relation::Same, ""),
    (Site::MlpPost, "mlp.down_proj.input", Relation::Same, ""),
    (Site::MlpOut, "mlp.down_proj.output", Relation::Same, ""),
    (Site::ResidPost, "output", Relation::Same, ""),
];

/// Other names of Hugging Face's, for the same and for what has no point of ours.
const ALSO_HUGGING_FACE: [Row; 9] = [
    (Site::ResidPre, "input_layernorm.input", Relation::Same, ""),
    (Site::Ln1Normalized, "input_layernorm.output", Relation::Differs, GAIN),
    (Site::Ln1Normalized, "self_attn.input", Relation::Differs, GAIN),
    (Site::AttnOut, "self_attn.output", Relation::Same, ""),
    (Site::Ln2Normalized, "post_attention_layernorm.output", Relation::Differs, GAIN),
    (Site::Ln2Normalized, "mlp.input", Relation::Differs, GAIN),
    (Site::MlpPre, "mlp.act_fn.input", Relation::Same, ""),
    (Site::MlpPost, "mlp.act_fn.output", Relation::Differs, GATE),
    (Site::MlpOut, "mlp.output", Relation::Same, ""),
];

/// Stands for `attentions[{i}]`, the one name whose block is at its end.
const ATTENTIONS: &str = "attentions";

const FIRST: &str = "the first node of this name; the two numbers of a rotated pair are neighbors";
const ROTATED: &str = "the last node of this name; the two numbers of a rotated pair are neighbors";
const OUTPUTS: &str = "in the last block only tokens whose logits are asked for";
const KEYS: &str = "only without flash attention; keys are the cache's";

/// llama.cpp: nodes `NAME-{i}`.
const LLAMA_CPP: [Row; 17] = [
    (Site::Ln1Normalized, "norm", Relation::Same, "the first of two nodes of this name"),
    (Site::Q, "Qcur", Relation::Reshaped, FIRST),
    (Site::K, "Kcur", Relation::Reshaped, FIRST),
    (Site::V, "Vcur", Relation::Reshaped, HEADS),
    (Site::RotQ, "Qcur", Relation::Reshaped, ROTATED),
    (Site::RotK, "Kcur", Relation::Reshaped, ROTATED),
    (Site::AttnScores, "kq", Relation::Differs, "neither scaled nor masked; only without flash attention"),
    (Site::Pattern, "kq_soft_max", Relation::Same, KEYS),
    (Site::Z, "kqv_out", Relation::Reshaped, "heads side by side; before 2025 this was attention's output"),
    (Site::AttnOut, "attn_out", Relation::Same, ""),
    (Site::ResidMid, "ffn_inp", Relation::Same, OUTPUTS),
    (Site::Ln2Normalized, "norm", Relation::Same, "the second of two nodes of this name"),
    (Site::MlpPre, "ffn_gate", Relation::Same, OUTPUTS),
    (Site::MlpPreLinear, "ffn_up", Relation::Same, OUTPUTS),
    (Site::MlpPost, "ffn_swiglu", Relation::Same, OUTPUTS),
    (Site::MlpOut, "ffn_out", Relation::Same, OUTPUTS),
    (
        Site::ResidPost,
        "l_out",
        Relation::Same,
        "control vectors included; in the last block only output tokens",
    ),
];

/// Other names of llama.cpp's, older ones and those of what has no point of ours.
const ALSO_LLAMA_CPP: [Row; 6] = [
    (Site::Ln1Normalized, "attn_norm", Relation::Differs, GAIN),
    (Site::Pattern, "kq_soft_max_ext", Relation::Same, KEYS),
    (Site::Z, "kqv_merged_cont", Relation::Reshaped, HEADS),
    (Site::Ln2Normalized, "ffn_norm", Relation::Differs, GAIN),
    (Site::MlpPost, "ffn_gate_par", Relation::Same, OUTPUTS),
    (Site::MlpPost, "ffn_silu", Relation::Differs, GATE),
];

/// Outside blocks: ours, Hugging Face's module without `model.`, llama.cpp's node.
const OUTSIDE: [(HookPoint, Option<&str>, Option<&str>); 5] = [
    (HookPoint::Embed, Some("embed_tokens.output"), Some("inp_embd")),
    (HookPoint::FinalScale, None, None),
    (HookPoint::FinalNormalized, None, Some("norm")),
    (HookPoint::FinalOut, Some("norm.output"), Some("result_norm")),
    (HookPoint::Logits, Some("lm_head.output"), Some("result_output")),
];

const BRIDGE: &str = "TransformerBridge's name; HookedTransformer has no such hook";
const TRAP: &str = "but the last of hidden_states is `ln_final.hook_out`, after the final norm";

/// What a point of a model of `n_layers` blocks is called elsewhere.
pub fn of(point: HookPoint, n_layers: usize) -> Names {
    let same = |name: String| Name { name, relation: Relation::Same, note: "" };
    let (hugging_face, llama_cpp) = if let HookPoint::Block(block, site) = point {
        (hugging_face(block, site), llama_cpp(block, site))
    } else {
        let row = OUTSIDE.iter().find(|(p, ..)| *p == point);
        let module = row.and_then(|(_, module, _)| *module).map(|m| same(outside_module(m)));
        (module, row.and_then(|(_, _, node)| *node).map(|n| same(n.to_owned())))
    };
    let hidden_state = match point {
        HookPoint::Block(block, Site::ResidPre) => Some(usize::from(block)),
        HookPoint::FinalOut => Some(n_layers),
        _ => point.layer().filter(|layer| *layer < n_layers),
    };
    let llama_ccs = match point {
        HookPoint::Block(block, Site::ResidPre) => Some(usize::from(block)),
        _ => point.layer(),
    };
    let bridge = matches!(point, HookPoint::FinalOut | HookPoint::Logits);
    let transformer_lens = Name { note: if bridge { BRIDGE } else { "" }, ..same(point.to_string()) };
    Names { point, transformer_lens, hugging_face, hidden_state, llama_cpp, llama_ccs }
}

fn outside_module(module: &str) -> String {
    let prefix = if module.starts_with("lm_head") { "" } else { "model." };
    format!("{prefix}{module}")
}

fn hugging_face(block: u16, site: Site) -> Option<Name> {
    let (_, path, relation, note) = HUGGING_FACE.into_iter().find(|row| row.0 == site)?;
    let name = if path == ATTENTIONS {
        format!("{ATTENTIONS}[{block}]")
    } else {
        format!("model.layers.{block}.{path}")
    };
    Some(Name { name, relation, note })
}

fn llama_cpp(block: u16, site: Site) -> Option<Name> {
    if site == Site::ResidPre {
        let name = block.checked_sub(1).map_or("inp_embd".to_owned(), |before| format!("l_out-{before}"));
        return Some(Name { name, relation: Relation::Same, note: "" });
    }
    let (_, node, relation, note) = LLAMA_CPP.into_iter().find(|row| row.0 == site)?;
    Some(Name { name: format!("{node}-{block}"), relation, note })
}

/// Our point for a name of Hugging Face's or llama.cpp's; `None` for any other text, ours included.
pub fn find(name: &str) -> Option<Found> {
    let (ours, relation, note) = translate(name)?;
    Some(Found { point: ours.parse().ok()?, relation, note })
}

/// As [`find`], for patterns too: a `*` for the block is kept.
pub(super) fn translate(name: &str) -> Option<(String, Relation, &'static str)> {
    in_llama_cpp(name).or_else(|| in_hugging_face(name)) // a bare `norm` is llama.cpp's, `model.norm` the other
}

/// Our name for a row of a table; `block` is a number, or has a `*` in it.
fn ours(block: &str, (site, _, relation, note): Row) -> Option<(String, Relation, &'static str)> {
    let number = |c: char| c.is_ascii_digit() || c == '*';
    let point = HookPoint::Block(0, site).to_string();
    let name = point.replacen(".0.", &format!(".{block}."), 1);
    (!block.is_empty() && block.chars().all(number)).then_some((name, relation, note))
}

fn in_hugging_face(name: &str) -> Option<(String, Relation, &'static str)> {
    if let Some((list, index)) = name.strip_suffix(']').and_then(|n| n.split_once('[')) {
        let same = |point: String| Some((point, Relation::Same, ""));
        return match (list.strip_prefix("output_").unwrap_or(list), index) {
            ("hidden_states", "0") => same(HookPoint::Embed.to_string()),
            ("hidden_states", "-1") => same(HookPoint::FinalOut.to_string()),
            ("hidden_states", "*") => Some(("blocks.*.hook_resid_post".to_owned(), Relation::Same, TRAP)),
            ("hidden_states", layer) => {
                let block = layer.parse::<u16>().ok()?.checked_sub(1)?;
                Some((HookPoint::resid_post(block.into()).to_string(), Relation::Same, TRAP))
            }
            (ATTENTIONS, block) => {
                let row = HUGGING_FACE.into_iter().find(|row| row.1 == ATTENTIONS)?;
                ours(block, row)
            }
            _ => None,
        };
    }
    if name == "last_hidden_state" {
        return Some((HookPoint::FinalOut.to_string(), Relation::Same, ""));
    }
    let path = name.strip_prefix("model.").unwrap_or(name);
    let ended = matches!(path.rsplit('.').next(), Some("input" | "output"));
    let path = if ended { path.to_owned() } else { format!("{path}.output") };
    if let Some((block, path)) = path.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
        let mut rows = HUGGING_FACE.into_iter().chain(ALSO_HUGGING_FACE);
        return rows.find(|row| row.1 == path).and_then(|row| ours(block, row));
    }
    let point = match path.as_str() {
        "lm_head.input" => HookPoint::FinalOut,
        _ => OUTSIDE.iter().find(|(_, module, _)| *module == Some(&path))?.0,
    };
    Some((point.to_string(), Relation::Same, ""))
}

fn in_llama_cpp(name: &str) -> Option<(String, Relation, &'static str)> {
    if let Some((point, ..)) = OUTSIDE.iter().find(|(.., node)| *node == Some(name)) {
        return Some((point.to_string(), Relation::Same, ""));
    }
    let (node, block) = name.split_once('-')?;
    let mut rows = LLAMA_CPP.into_iter().chain(ALSO_LLAMA_CPP);
    rows.find(|row| row.1 == node).and_then(|row| ours(block, row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_foreign_name_leads_back_to_its_point() {
        for point in HookPoint::all(3) {
            let names = of(point, 3);
            assert_eq!(names.transformer_lens.name, point.to_string());
            // Two points have one name: what enters a block left the one before, and `Qcur`, `Kcur`, `norm` are used twice.
            let twice = matches!(
                point,
                HookPoint::Block(_, Site::ResidPre | Site::RotQ | Site::RotK | Site::Ln2Normalized)
            );
            if let Some(name) = names.hugging_face {
                let found = find(&name.name).expect(&name.name);
                assert_eq!((found.point, found.relation), (point, name.relation));
                assert_ne!(name.relation, Relation::Differs);
            }
            if let Some(name) = names.llama_cpp.filter(|_| !twice) {
                assert_eq!(find(&name.name).expect(&name.name).point, point);
            }
            if let Some(i) = names.hidden_state.filter(|i| *i < 3) {
                let found = find(&format!("hidden_states[{i}]")).expect("index").point;
                assert_eq!(found, HookPoint::of_layer(i), "{point}");
            }
            assert_eq!(find(&point.to_string()), None, "ours is not foreign");
        }
    }

    #[test]
    fn the_last_hidden_state_is_after_the_norm() {
        let indices: Vec<_> =
            HookPoint::all(3).filter_map(|p| of(p, 3).hidden_state.map(|i| (i, p.to_string()))).collect();
        assert!(indices.contains(&(3, "ln_final.hook_out".to_owned())));
        assert!(!indices.contains(&(3, "blocks.2.hook_resid_post".to_owned())));
        assert_eq!(of(HookPoint::resid_post(2), 3).llama_ccs, Some(3));
        assert_eq!(find("hidden_states[-1]").expect("last").point, HookPoint::FinalOut);
        assert!(find("hidden_states[3]").expect("third").note.contains("ln_final.hook_out"));
    }

    #[test]
    fn names_that_mean_something_else_say_so() {
        for name in ["model.layers.1.input_layernorm", "attn_norm-1"] {
            let found = find(name).expect(name);
            assert_eq!(found.point, HookPoint::Block(1, Site::Ln1Normalized));
            assert!(found.relation == Relation::Differs && found.note.contains("gain"), "{found:?}");
        }
        for text in [
            "",
            "-",
            "model",
            "model.layers.1",
            "layers",
            "hidden_states[x]",
            "l_out",
            "l_out-x",
            "[",
            "a[0]",
        ] {
            let found = find(text);
            assert!(found.is_none() || text == "model.layers.1", "{text}: {found:?}");
        }
    }
}
