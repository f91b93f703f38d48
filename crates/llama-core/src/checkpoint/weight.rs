//! The weights of a LLaMA and its relatives, named once, whatever a file calls them.

use tch::Tensor;
use torch_runtime::TensorExt as _;

use super::part::Part;
use crate::config::{Biases, BlockNorms, Config, QueryKeyNorm};
use crate::error::Result;

/// One weight of a model; [`crate::Llama::weight`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weight {
    /// Token embedding \[V, D\].
    Embed,
    /// A weight of block `i`.
    Block(usize, BlockWeight),
    /// Gain of the final norm \[D\].
    FinalNorm,
    /// Unembedding \[V, D\].
    Unembed,
}

/// One weight of a block. Matrices are `[out, in]`: what they give for `x` is `x Wᵀ`, in tch `x.f_linear(&w, None)`.
///
/// Rows of Q, K and V, and columns of O, are head after head: `w_q.f_view([H, K, D])`, `w_o.f_view([D, H, K])`. Inside a
/// head of queries and keys, dimension i turns with i + K/2.
///
/// Those from [`BlockWeight::QBias`] on are weights of LLaMA's relatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlockWeight {
    /// Gain of the norm before attention \[D\].
    Ln1,
    /// Queries \[H·K, D\].
    Q,
    /// Keys \[G·K, D\].
    K,
    /// Values \[G·K, D\].
    V,
    /// Output of attention \[D, H·K\].
    O,
    /// Gain of the norm before the MLP \[D\].
    Ln2,
    /// Gate \[F, D\].
    Gate,
    /// Up projection \[F, D\].
    Up,
    /// Down projection \[D, F\].
    Down,
    /// Bias of queries \[H·K\].
    QBias,
    /// Bias of keys \[G·K\].
    KBias,
    /// Bias of values \[G·K\].
    VBias,
    /// Bias of attention's output \[D\].
    OBias,
    /// Gain of queries \[K\], or \[H·K\] where heads are normalized together.
    QNorm,
    /// Gain of keys \[K\], or \[G·K\] where heads are normalized together.
    KNorm,
    /// Gain of the norm after attention \[D\].
    Ln1Post,
    /// Gain of the norm after the MLP \[D\].
    Ln2Post,
}

impl BlockWeight {
    /// All weights that a block can have.
    const ALL: [Self; 17] = [
        Self::Ln1,
        Self::Q,
        Self::K,
        Self::V,
        Self::O,
        Self::Ln2,
        Self::Gate,
        Self::Up,
        Self::Down,
        Self::QBias,
        Self::KBias,
        Self::VBias,
        Self::OBias,
        Self::QNorm,
        Self::KNorm,
        Self::Ln1Post,
        Self::Ln2Post,
    ];

    /// Whether blocks of a model have it.
    pub(crate) fn is_of(self, config: &Config) -> bool {
        match self {
            Self::Ln1 | Self::Ln2 => config.norms != BlockNorms::After,
            Self::Ln1Post | Self::Ln2Post => config.norms != BlockNorms::Before,
            Self::QBias | Self::KBias | Self::VBias => config.biases != Biases::None,
            Self::OBias => config.biases == Biases::Attention,
            Self::QNorm | Self::KNorm => config.query_key_norm != QueryKeyNorm::None,
            _ => true,
        }
    }

    /// Whether it is the gain of a norm.
    pub(crate) fn is_gain(self) -> bool {
        matches!(self, Self::Ln1 | Self::Ln2 | Self::Ln1Post | Self::Ln2Post | Self::QNorm | Self::KNorm)
    }
}

impl Weight {
    /// Every weight of a model, in the order of the forward pass. A tied unembedding is not listed again, and a model
    /// without an unembedding has none.
    pub(crate) fn all(config: &Config) -> impl Iterator<Item = Self> + use<> {
        let own: Vec<_> = BlockWeight::ALL.into_iter().filter(|part| part.is_of(config)).collect();
        let blocks =
            (0..config.n_layers).flat_map(move |i| own.clone().into_iter().map(move |w| Self::Block(i, w)));
        let unembed = (!config.tied_embeddings && !config.headless).then_some(Self::Unembed);
        std::iter::once(Self::Embed).chain(blocks).chain([Self::FinalNorm]).chain(unembed)
    }

    /// A number of its own: LLaMA's weights in the order of [`Weight::all`], then those of its relatives.
    pub(crate) fn number(self, config: &Config) -> usize {
        let (llamas, others) = (BlockWeight::QBias as usize, BlockWeight::ALL.len());
        match self {
            Self::Embed => 0,
            Self::Block(index, part) if (part as usize) < llamas => 1 + llamas * index + part as usize,
            Self::FinalNorm => 1 + llamas * config.n_layers,
            Self::Unembed => 2 + llamas * config.n_layers,
            Self::Block(index, part) => {
                3 + llamas * config.n_layers + (others - llamas) * index + part as usize - llamas
            }
        }
    }

    /// Whether it is the gain of a norm.
    pub(crate) fn is_gain(self) -> bool {
        match self {
            Self::FinalNorm => true,
            Self::Block(_, part) => part.is_gain(),
            Self::Embed | Self::Unembed => false,
        }
    }

    /// The shape that the configuration implies.
    pub fn shape(self, c: &Config) -> Vec<i64> {
        let (q, kv) = (c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim);
        match self {
            Self::Embed | Self::Unembed => vec![c.vocab_size, c.dim],
            Self::FinalNorm => vec![c.dim],
            Self::Block(_, part) => match part {
                BlockWeight::Ln1
                | BlockWeight::Ln2
                | BlockWeight::Ln1Post
                | BlockWeight::Ln2Post
                | BlockWeight::OBias => vec![c.dim],
                BlockWeight::Q => vec![q, c.dim],
                BlockWeight::K | BlockWeight::V => vec![kv, c.dim],
                BlockWeight::O => vec![c.dim, q],
                BlockWeight::Gate | BlockWeight::Up => vec![c.hidden_dim, c.dim],
                BlockWeight::Down => vec![c.dim, c.hidden_dim],
                BlockWeight::QNorm | BlockWeight::KNorm if c.query_key_norm != QueryKeyNorm::Projections => {
                    vec![c.head_dim]
                }
                BlockWeight::QBias | BlockWeight::QNorm => vec![q],
                BlockWeight::KBias | BlockWeight::VBias | BlockWeight::KNorm => vec![kv],
            },
        }
    }

    /// The name in Meta's files, which hold LLaMA's weights; others have names like theirs.
    pub(crate) fn meta_name(self) -> String {
        match self {
            Self::Embed => "tok_embeddings.weight".to_owned(),
            Self::FinalNorm => "norm.weight".to_owned(),
            Self::Unembed => "output.weight".to_owned(),
            Self::Block(i, w) => {
                let part = match w {
                    BlockWeight::Ln1 => "attention_norm",
                    BlockWeight::Q => "attention.wq",
                    BlockWeight::K => "attention.wk",
                    BlockWeight::V => "attention.wv",
                    BlockWeight::O => "attention.wo",
                    BlockWeight::Ln2 => "ffn_norm",
                    BlockWeight::Gate => "feed_forward.w1",
                    BlockWeight::Up => "feed_forward.w3",
                    BlockWeight::Down => "feed_forward.w2",
                    BlockWeight::QBias => return format!("layers.{i}.attention.wq.bias"),
                    BlockWeight::KBias => return format!("layers.{i}.attention.wk.bias"),
                    BlockWeight::VBias => return format!("layers.{i}.attention.wv.bias"),
                    BlockWeight::OBias => return format!("layers.{i}.attention.wo.bias"),
                    BlockWeight::QNorm => "attention.q_norm",
                    BlockWeight::KNorm => "attention.k_norm",
                    BlockWeight::Ln1Post => "attention_post_norm",
                    BlockWeight::Ln2Post => "ffn_post_norm",
                };
                format!("layers.{i}.{part}.weight")
            }
        }
    }

    /// The name in Hugging Face's files. Where there are norms after attention, theirs is the name that the norm before the
    /// MLP has in a LLaMA.
    pub(crate) fn hugging_face_name(self, norms: BlockNorms) -> String {
        match self {
            Self::Embed => "model.embed_tokens.weight".to_owned(),
            Self::FinalNorm => "model.norm.weight".to_owned(),
            Self::Unembed => "lm_head.weight".to_owned(),
            Self::Block(i, w) => {
                let part = match w {
                    BlockWeight::Ln1 => "input_layernorm",
                    BlockWeight::Q => "self_attn.q_proj",
                    BlockWeight::K => "self_attn.k_proj",
                    BlockWeight::V => "self_attn.v_proj",
                    BlockWeight::O => "self_attn.o_proj",
                    BlockWeight::Ln2 if norms == BlockNorms::Before => "post_attention_layernorm",
                    BlockWeight::Ln2 => "pre_feedforward_layernorm",
                    BlockWeight::Gate => "mlp.gate_proj",
                    BlockWeight::Up => "mlp.up_proj",
                    BlockWeight::Down => "mlp.down_proj",
                    BlockWeight::QBias => return format!("model.layers.{i}.self_attn.q_proj.bias"),
                    BlockWeight::KBias => return format!("model.layers.{i}.self_attn.k_proj.bias"),
                    BlockWeight::VBias => return format!("model.layers.{i}.self_attn.v_proj.bias"),
                    BlockWeight::OBias => return format!("model.layers.{i}.self_attn.o_proj.bias"),
                    BlockWeight::QNorm => "self_attn.q_norm",
                    BlockWeight::KNorm => "self_attn.k_norm",
                    BlockWeight::Ln1Post => "post_attention_layernorm",
                    BlockWeight::Ln2Post => "post_feedforward_layernorm",
                };
                format!("model.layers.{i}.{part}.weight")
            }
        }
    }

    /// The name in GGUF files.
    #[cfg(feature = "gguf")]
    pub(crate) fn gguf_name(self) -> String {
        match self {
            Self::Embed => "token_embd.weight".to_owned(),
            Self::FinalNorm => "output_norm.weight".to_owned(),
            Self::Unembed => "output.weight".to_owned(),
            Self::Block(i, w) => {
                let part = match w {
                    BlockWeight::Ln1 => "attn_norm",
                    BlockWeight::Q => "attn_q",
                    BlockWeight::K => "attn_k",
                    BlockWeight::V => "attn_v",
                    BlockWeight::O => "attn_output",
                    BlockWeight::Ln2 => "ffn_norm",
                    BlockWeight::Gate => "ffn_gate",
                    BlockWeight::Up => "ffn_up",
                    BlockWeight::Down => "ffn_down",
                    BlockWeight::QBias => return format!("blk.{i}.attn_q.bias"),
                    BlockWeight::KBias => return format!("blk.{i}.attn_k.bias"),
                    BlockWeight::VBias => return format!("blk.{i}.attn_v.bias"),
                    BlockWeight::OBias => return format!("blk.{i}.attn_output.bias"),
                    BlockWeight::QNorm => "attn_q_norm",
                    BlockWeight::KNorm => "attn_k_norm",
                    BlockWeight::Ln1Post => "post_attention_norm",
                    BlockWeight::Ln2Post => "post_ffw_norm",
                };
                format!("blk.{i}.{part}.weight")
            }
        }
    }
}

/// Rows of a tensor that holds several weights, one below the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub(crate) from: i64,
    pub(crate) count: i64,
    /// All of the tensor's.
    pub(crate) of: i64,
}

impl Rows {
    /// Those of a weight in Phi-3's tensors: queries, keys, and values are one, gate and up another.
    pub(crate) fn of(weight: Weight, config: &Config) -> Option<Self> {
        let (q, kv, hidden) =
            (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim, config.hidden_dim);
        let Weight::Block(_, part) = weight else { return None };
        let (from, count, of) = match part {
            BlockWeight::Q => (0, q, q + 2 * kv),
            BlockWeight::K => (q, kv, q + 2 * kv),
            BlockWeight::V => (q + kv, kv, q + 2 * kv),
            BlockWeight::Gate => (0, hidden, 2 * hidden),
            BlockWeight::Up => (hidden, hidden, 2 * hidden),
            _ => return None,
        };
        Some(Self { from, count, of })
    }

    /// What is read of a tensor that holds a weight in these rows, or nothing else, where this part of the weight is wanted.
    pub(crate) fn wanted(rows: Option<Self>, part: Option<Part>) -> Option<Part> {
        let Some(Self { from, count, .. }) = rows else { return part };
        // All such weights are divided by rows.
        Some(part.map_or(Part { axis: 0, from, count }, |part| Part { from: from + part.from, ..part }))
    }
}

/// The order of a stored weight's rows, and how to bring them into the model's.
///
/// Meta's and GGUF's rotary embedding turns neighbors (0,1), (2,3), …; TransformerLens and Hugging Face turn
/// (0, K/2), (1, K/2+1), …. The model computes in the second order, so rows of each head of queries and keys are brought
/// into it on load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As it is.
    AsStored,
    /// Neighbors of each head's rows belong together.
    Interleaved {
        /// K
        head_dim: i64,
    },
}

impl Order {
    /// Meta's and GGUF's order of a weight.
    pub(crate) fn interleaved(weight: Weight, config: &Config) -> Self {
        match weight {
            Weight::Block(_, BlockWeight::Q | BlockWeight::K | BlockWeight::QBias | BlockWeight::KBias) => {
                Self::Interleaved { head_dim: config.head_dim }
            }
            _ => Self::AsStored,
        }
    }

    /// Whether a weight of so many rows is in whole heads.
    pub(crate) fn divides(self, rows: usize) -> bool {
        match self {
            Self::AsStored => true,
            Self::Interleaved { head_dim } => {
                head_dim > 0 && head_dim % 2 == 0 && rows as i64 % head_dim == 0
            }
        }
    }

    /// Where the model has a stored row of a weight, or of whole heads of it: each has a place of its own.
    pub(crate) fn row(self, stored: usize) -> usize {
        match self {
            Self::AsStored => stored,
            Self::Interleaved { head_dim } => {
                let head_dim = head_dim as usize;
                let (head, within) = (stored / head_dim, stored % head_dim);
                head * head_dim + within % 2 * (head_dim / 2) + within / 2
            }
        }
    }

    /// Copies a weight, or whole heads of it, into its place in the model, rows in the model's order, in its type.
    ///
    /// # Shapes
    /// `source` and `into` \[rows, D\] or \[rows\]; a view of either is enough.
    pub(crate) fn copy(self, source: &Tensor, into: &Tensor) -> Result<()> {
        let (source, mut into) = match self {
            Self::AsStored => (source.f_alias()?, into.f_alias()?),
            Self::Interleaved { head_dim } => {
                // A bias is a matrix of one column.
                let column = |x: &Tensor| if x.dim() == 1 { x.f_unsqueeze(1) } else { x.f_alias() };
                let (source, into) = (column(source)?, column(into)?);
                let (rows, dim) = source.dims2("weight")?;
                let (heads, half) = (rows / head_dim, head_dim / 2);
                let pairs = source.f_view([heads, half, 2, dim])?; // [heads, K/2, 2, D]
                (pairs.f_transpose(1, 2)?, into.f_view([heads, 2, half, dim])?) // [heads, 2, K/2, D]
            }
        };
        into.f_copy_(&source)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn rows_go_where_the_copy_of_the_whole_puts_them() {
        for order in [Order::AsStored, Order::Interleaved { head_dim: 6 }, Order::Interleaved { head_dim: 2 }]
        {
            let stored = Tensor::arange(18 * 2, (Kind::Float, Device::Cpu)).view([18, 2]);
            let whole = stored.zeros_like();
            order.copy(&stored, &whole).expect("copy");
            for row in 0..18 {
                let place = order.row(row as usize) as i64;
                assert_eq!(whole.get(place), stored.get(row), "{order:?} {row}");
            }
            assert!(order.divides(18));
        }
        assert!(!Order::Interleaved { head_dim: 4 }.divides(18));
        assert!(!Order::Interleaved { head_dim: 9 }.divides(18), "rows of an odd head do not pair");
    }
}
