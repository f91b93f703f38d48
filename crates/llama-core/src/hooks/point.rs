//! The places of the forward pass that a hook can visit, under TransformerLens' names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::names;
use crate::config::Config;
use crate::error::Error;

/// One place of the forward pass.
///
/// Declared in execution order, so that `Ord` is execution order. [`fmt::Display`] gives TransformerLens' name and
/// [`FromStr`] reads it back; nothing else is a name. Serialized as that name.
///
/// ```
/// use llama_core::HookPoint;
///
/// let point: HookPoint = "blocks.3.hook_resid_post".parse()?;
/// assert_eq!(point, HookPoint::resid_post(3));
/// assert!("blocks.3.hook_resid_pots".parse::<HookPoint>().unwrap_err().to_string().contains("did you mean"));
/// # Ok::<(), llama_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum HookPoint {
    /// `hook_embed`: the token embedding, after its multiplier (Gemma, Granite), "layer 0" of stores and reports. \[B, T, D\]
    Embed,
    /// A place inside block `i`.
    Block(u16, Site),
    /// `ln_final.hook_scale`: the root mean square that the final norm divides by. \[B, T, 1\]
    FinalScale,
    /// `ln_final.hook_normalized`: after that division, **before** the gain. \[B, T, D\]
    FinalNormalized,
    /// `ln_final.hook_out`: after the gain. This is Hugging Face's last hidden state. \[B, T, D\]
    FinalOut,
    /// `unembed.hook_out`: the logits of the tokens they were asked for. \[S, V\]
    Logits,
}

/// A place inside a block, in execution order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Site {
    /// `hook_resid_pre`: the residual stream entering the block. \[B, T, D\]
    ResidPre,
    /// `ln1.hook_scale`: the root mean square that the norm before attention divides by. \[B, T, 1\]
    Ln1Scale,
    /// `ln1.hook_normalized`: after that division, before the gain. \[B, T, D\]
    Ln1Normalized,
    /// `attn.hook_q`: queries, before their norm, where there is one, and rotation. \[B, T, H, K\]
    Q,
    /// `attn.hook_k`: keys, before their norm, where there is one, and rotation. \[B, T, G, K\]
    K,
    /// `attn.hook_v`: values. \[B, T, G, K\]
    V,
    /// `attn.hook_rot_q`: queries after rotary embedding. \[B, T, H, K\]
    RotQ,
    /// `attn.hook_rot_k`: keys after rotary embedding. \[B, T, G, K\]
    RotK,
    /// `attn.hook_attn_scores`: before the softmax, after a soft cap, −inf where masked. \[B, H, T, T\]
    AttnScores,
    /// `attn.hook_pattern`: after the softmax. \[B, H, T, T\]
    Pattern,
    /// `attn.hook_z`: each head's mix of values. \[B, T, H, K\]
    Z,
    /// `attn.hook_result`: what each head writes into the residual stream, before a bias, a norm after attention, and a
    /// multiplier. \[B, T, H, D\]
    Result,
    /// `hook_attn_out`: what attention writes into the residual stream, after a norm after attention. \[B, T, D\]
    AttnOut,
    /// `hook_resid_mid`: the residual stream between attention and MLP. \[B, T, D\]
    ResidMid,
    /// `ln2.hook_scale`: the root mean square that the norm before the MLP divides by. \[B, T, 1\]
    Ln2Scale,
    /// `ln2.hook_normalized`: after that division, before the gain. \[B, T, D\]
    Ln2Normalized,
    /// `mlp.hook_pre`: the gate before its activation. \[B, T, F\]
    MlpPre,
    /// `mlp.hook_pre_linear`: the up projection that the gate multiplies. \[B, T, F\]
    MlpPreLinear,
    /// `mlp.hook_post`: `silu(pre) · pre_linear`, with GELU for silu in Gemma. \[B, T, F\]
    MlpPost,
    /// `hook_mlp_out`: what the MLP writes into the residual stream, after a norm after the MLP. \[B, T, D\]
    MlpOut,
    /// `hook_resid_post`: the residual stream leaving block `i`, "layer i + 1" of stores and reports. \[B, T, D\]
    ResidPost,
}

/// What an axis of an activation counts. The letters are those of ARCHITECTURE.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Axis {
    /// B: rows of the batch.
    Batch,
    /// T: tokens of a row.
    Token,
    /// T again: the tokens attended to.
    Key,
    /// S: selected tokens, over all prompts.
    Selected,
    /// D: the residual stream.
    Dim,
    /// H: query heads.
    Head,
    /// G: key and value heads.
    KvHead,
    /// K: inside a head.
    HeadDim,
    /// F: inside the MLP.
    Hidden,
    /// V: the vocabulary.
    Vocab,
    /// A single number kept as an axis.
    One,
}

impl Axis {
    /// The name under which manifests write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Token => "token",
            Self::Key => "key",
            Self::Selected => "selected",
            Self::Dim => "dim",
            Self::Head => "head",
            Self::KvHead => "kv_head",
            Self::HeadDim => "head_dim",
            Self::Hidden => "hidden",
            Self::Vocab => "vocab",
            Self::One => "one",
        }
    }
}

/// Sites with their names inside a block, in execution order: the one table names are made and read from.
const SITES: [(Site, &str); 21] = [
    (Site::ResidPre, "hook_resid_pre"),
    (Site::Ln1Scale, "ln1.hook_scale"),
    (Site::Ln1Normalized, "ln1.hook_normalized"),
    (Site::Q, "attn.hook_q"),
    (Site::K, "attn.hook_k"),
    (Site::V, "attn.hook_v"),
    (Site::RotQ, "attn.hook_rot_q"),
    (Site::RotK, "attn.hook_rot_k"),
    (Site::AttnScores, "attn.hook_attn_scores"),
    (Site::Pattern, "attn.hook_pattern"),
    (Site::Z, "attn.hook_z"),
    (Site::Result, "attn.hook_result"),
    (Site::AttnOut, "hook_attn_out"),
    (Site::ResidMid, "hook_resid_mid"),
    (Site::Ln2Scale, "ln2.hook_scale"),
    (Site::Ln2Normalized, "ln2.hook_normalized"),
    (Site::MlpPre, "mlp.hook_pre"),
    (Site::MlpPreLinear, "mlp.hook_pre_linear"),
    (Site::MlpPost, "mlp.hook_post"),
    (Site::MlpOut, "hook_mlp_out"),
    (Site::ResidPost, "hook_resid_post"),
];

/// Points outside the blocks with their names.
const GLOBAL: [(HookPoint, &str); 5] = [
    (HookPoint::Embed, "hook_embed"),
    (HookPoint::FinalScale, "ln_final.hook_scale"),
    (HookPoint::FinalNormalized, "ln_final.hook_normalized"),
    (HookPoint::FinalOut, "ln_final.hook_out"),
    (HookPoint::Logits, "unembed.hook_out"),
];

impl Site {
    /// Every site, in execution order.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        SITES.into_iter().map(|(site, _)| site)
    }

    fn name(self) -> &'static str {
        // SITES is in declaration order: `names_are_in_execution_order` tests it.
        SITES[self as usize].1
    }
}

impl HookPoint {
    /// `blocks.{block}.hook_resid_post`, the residual stream leaving a block.
    pub fn resid_post(block: usize) -> Self {
        Self::Block(u16::try_from(block).unwrap_or(u16::MAX), Site::ResidPost) // u16::MAX blocks are refused
    }

    /// The point that stores and reports call `layer`: the embedding for 0, else the stream leaving block `layer − 1`.
    pub fn of_layer(layer: usize) -> Self {
        layer.checked_sub(1).map_or(Self::Embed, Self::resid_post)
    }

    /// The layer that stores and reports give this point, if it is one of those.
    pub fn layer(self) -> Option<usize> {
        match self {
            Self::Embed => Some(0),
            Self::Block(block, Site::ResidPost) => Some(usize::from(block) + 1),
            _ => None,
        }
    }

    /// Whether it is inside the norm before attention or before the MLP, which not every model has ([`crate::BlockNorms`]).
    pub(crate) fn is_in_a_block_norm(self) -> bool {
        let norms = [Site::Ln1Scale, Site::Ln1Normalized, Site::Ln2Scale, Site::Ln2Normalized];
        matches!(self, Self::Block(_, site) if norms.contains(&site))
    }

    /// Every point of a model, in execution order.
    pub fn all(n_layers: usize) -> impl Iterator<Item = Self> {
        let blocks = (0..n_layers).flat_map(|i| Site::all().map(move |s| Self::Block(i as u16, s)));
        let end = [Self::FinalScale, Self::FinalNormalized, Self::FinalOut, Self::Logits];
        std::iter::once(Self::Embed).chain(blocks).chain(end)
    }

    /// What the axes of the activation count.
    pub fn axes(self) -> &'static [Axis] {
        use Axis::{Batch, Dim, Head, HeadDim, Hidden, Key, KvHead, One, Selected, Token, Vocab};
        let Self::Block(_, site) = self else {
            return match self {
                Self::FinalScale => &[Batch, Token, One],
                Self::Logits => &[Selected, Vocab],
                _ => &[Batch, Token, Dim],
            };
        };
        match site {
            Site::Ln1Scale | Site::Ln2Scale => &[Batch, Token, One],
            Site::Q | Site::RotQ | Site::Z => &[Batch, Token, Head, HeadDim],
            Site::K | Site::V | Site::RotK => &[Batch, Token, KvHead, HeadDim],
            Site::AttnScores | Site::Pattern => &[Batch, Head, Token, Key],
            Site::Result => &[Batch, Token, Head, Dim],
            Site::MlpPre | Site::MlpPreLinear | Site::MlpPost => &[Batch, Token, Hidden],
            _ => &[Batch, Token, Dim],
        }
    }

    /// The activation's shape in a batch of `batch` rows of `tokens` tokens each.
    pub fn shape(self, config: &Config, batch: i64, tokens: i64) -> Vec<i64> {
        let size = |axis: &Axis| match axis {
            Axis::Batch => batch,
            Axis::Token | Axis::Key => tokens,
            Axis::Selected => batch * tokens,
            Axis::Dim => config.dim,
            Axis::Head => config.n_heads,
            Axis::KvHead => config.n_kv_heads,
            Axis::HeadDim => config.head_dim,
            Axis::Hidden => config.hidden_dim,
            Axis::Vocab => config.vocab_size,
            Axis::One => 1,
        };
        self.axes().iter().map(size).collect()
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Block(block, site) = self {
            return write!(f, "blocks.{block}.{}", site.name());
        }
        let name = GLOBAL.iter().find(|(point, _)| point == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for HookPoint {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        if let Some((point, _)) = GLOBAL.iter().find(|(_, n)| *n == name) {
            return Ok(*point);
        }
        let block = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
        if let Some((number, site)) = block
            && let Some(block) = canonical_number(number)
            && let Some((site, _)) = SITES.iter().find(|(_, n)| *n == site)
        {
            return Ok(Self::Block(block, *site));
        }
        Err(unknown(name, name))
    }
}

impl From<HookPoint> for String {
    fn from(point: HookPoint) -> Self {
        point.to_string()
    }
}

impl TryFrom<String> for HookPoint {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        name.parse()
    }
}

/// A block number as [`fmt::Display`] writes it: no sign, no leading zero.
fn canonical_number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|n: &u16| n.to_string() == text)
}

/// The error for `name`, with our name for what another library calls `part` of it, or else the name most like it.
pub(crate) fn unknown(name: &str, part: &str) -> Error {
    let name = name.to_owned();
    match names::translate(part) {
        Some((ours, _, note)) => Error::UnknownHookPoint { name, suggestion: Some(ours), note },
        None => Error::UnknownHookPoint { name, suggestion: nearest(part), note: "" },
    }
}

/// The name most like `name`, if any is like it at all. A pattern's block part (`*`, `{1,2}`) is kept.
fn nearest(name: &str) -> Option<String> {
    let block =
        name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')).map_or("0", |(block, _)| block);
    let sites = SITES.iter().map(|(_, site)| format!("blocks.{block}.{site}"));
    let candidates: Vec<String> = sites.chain(GLOBAL.iter().map(|(_, name)| (*name).to_owned())).collect();
    host::nearest(name, candidates.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_execution_order() {
        for (index, (site, _)) in SITES.iter().enumerate() {
            assert_eq!(*site as usize, index);
        }
        let all: Vec<_> = HookPoint::all(3).collect();
        assert!(all.is_sorted());
        assert_eq!(all.len(), 1 + 3 * 21 + 4);
    }

    #[test]
    fn every_name_round_trips() {
        for point in HookPoint::all(12) {
            assert_eq!(point.to_string().parse::<HookPoint>().expect("own name"), point);
        }
    }

    #[test]
    fn every_misspelled_name_is_refused_with_a_suggestion() {
        for point in HookPoint::all(2) {
            let name = point.to_string();
            let misspelled = name.replacen("hook", "hok", 1);
            let error = misspelled.parse::<HookPoint>().expect_err(&misspelled).to_string();
            assert!(error.contains("did you mean"), "{error}");
        }
        for bad in
            ["", "blocks.01.hook_resid_post", "blocks.+1.hook_resid_post", "blocks.-1.hook_z", "resid_post"]
        {
            assert!(bad.parse::<HookPoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn layers() {
        assert_eq!(HookPoint::of_layer(0), HookPoint::Embed);
        assert_eq!(HookPoint::of_layer(5).to_string(), "blocks.4.hook_resid_post");
        for layer in 0..4 {
            assert_eq!(HookPoint::of_layer(layer).layer(), Some(layer));
        }
        assert_eq!(HookPoint::FinalOut.layer(), None);
    }
}
