//! Meta's layout: `params.json` and one `consolidated.NN.pth` per model-parallel rank.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::pth::Pth;
use super::weight::{BlockWeight, Weight};
use crate::config::Config;
use crate::error::{Error, Result};

/// `params.json` as Meta ships it. A key that is not here may change the mathematics, so it is refused.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    pub(super) dim: i64,
    pub(super) n_layers: usize,
    pub(super) n_heads: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) n_kv_heads: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) vocab_size: Option<i64>,
    #[serde(default = "multiple_of")]
    pub(super) multiple_of: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ffn_dim_multiplier: Option<f64>,
    pub(super) norm_eps: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rope_theta: Option<f64>,
    /// Sizes of Meta's own cache; they change nothing.
    #[serde(default, skip_serializing)]
    #[allow(dead_code)] // read so that files that state them are accepted
    max_seq_len: Option<i64>,
    #[serde(default, skip_serializing)]
    #[allow(dead_code)] // as above
    max_batch_size: Option<i64>,
}

impl Params {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            dim: config.dim,
            n_layers: config.n_layers,
            n_heads: config.n_heads,
            n_kv_heads: (config.n_kv_heads != config.n_heads).then_some(config.n_kv_heads),
            vocab_size: Some(config.vocab_size),
            // With this, the rule for the MLP's width gives hidden_dim itself.
            multiple_of: config.hidden_dim,
            ffn_dim_multiplier: Some(config.hidden_dim as f64 / (8 * config.dim / 3) as f64),
            norm_eps: config.norm_eps,
            rope_theta: (config.rope_theta.to_bits() != 10_000f64.to_bits()).then_some(config.rope_theta),
            max_seq_len: None,
            max_batch_size: None,
        }
    }
}

const fn multiple_of() -> i64 {
    256
}

/// A checkpoint in Meta's layout, opened and checked, no weight read yet.
#[derive(Debug)]
pub(super) struct Meta {
    folder: PathBuf,
    pub(super) params: String,
    pub(super) config: Config,
    shards: Vec<Pth>,
}

/// How a weight is spread over model-parallel ranks.
#[derive(Clone, Copy)]
pub(super) enum Split {
    /// Every rank holds all of it.
    Replicated,
    /// Each rank holds a part along this axis.
    Axis(usize),
}

/// Column-parallel weights are split along their outputs, row-parallel ones along their inputs, LLaMA 1 and 2's
/// embedding along D.
pub(super) fn split(weight: Weight) -> Split {
    match weight {
        Weight::FinalNorm | Weight::Block(_, BlockWeight::Ln1 | BlockWeight::Ln2) => Split::Replicated,
        Weight::Embed | Weight::Block(_, BlockWeight::O | BlockWeight::Down) => Split::Axis(1),
        Weight::Block(..) | Weight::Unembed => Split::Axis(0),
    }
}

/// One shard's part of a weight, checked.
fn finite(shard: &Pth, name: &str) -> Result<Tensor> {
    let part = shard.tensor(name)?;
    let path = || shard.path().to_owned();
    if !matches!(part.kind(), Kind::Half | Kind::BFloat16 | Kind::Float | Kind::Double) {
        let reason =
            format!("tensor `{name}` holds {:?}, and weights are floating-point numbers", part.kind());
        let hint = "the file belongs to another kind of model".to_owned();
        return Err(Error::Archive { path: path(), reason, hint });
    }
    if part.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        return Err(Error::NonFiniteWeight { path: path(), name: name.to_owned() });
    }
    Ok(part)
}

impl Meta {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("params.json");
        let text = fs_err::read_to_string(&path)?;
        let params: Params = serde_json::from_str(&text).map_err(|e| Error::Params {
            path: path.clone(),
            reason: e.to_string(),
            hint: "LLaMA 1 and 2's keys are dim, n_layers, n_heads, n_kv_heads, multiple_of, ffn_dim_multiplier, \
                   norm_eps, vocab_size, rope_theta; another key may mean another architecture"
                .to_owned(),
        })?;
        let shards = shard_paths(folder)?.iter().map(|p| Pth::open(p)).collect::<Result<Vec<_>>>()?;
        let config = config(&path, &params, &shards)?;
        let meta = Self { folder: folder.to_owned(), params: text, config, shards };
        meta.check_shapes()?;
        Ok(meta)
    }

    pub(super) fn shards(&self) -> &[Pth] {
        &self.shards
    }

    /// The type most weights are stored in.
    pub(super) fn kind(&self) -> Result<Kind> {
        self.shards[0].kind(&Weight::Embed.meta_name())
    }

    /// A weight, whole, `[out, in]`, in the type it is stored in; queries and keys in half-split rotary order.
    pub(super) fn tensor(&self, weight: Weight) -> Result<Tensor> {
        let name = weight.meta_name();
        let whole = match self.split(weight)? {
            Split::Axis(axis) if self.shards.len() > 1 => self.merge(weight, &name, axis)?,
            _ => finite(&self.shards[0], &name)?,
        };
        match weight {
            Weight::Block(_, BlockWeight::Q | BlockWeight::K) => half_split(&whole, self.config.head_dim),
            _ => Ok(whole),
        }
    }

    /// The ranks' parts, copied one at a time into their places of the whole.
    fn merge(&self, weight: Weight, name: &str, axis: usize) -> Result<Tensor> {
        let whole =
            Tensor::f_empty(weight.shape(&self.config), (self.shards[0].kind(name)?, tch::Device::Cpu))?;
        let mut from = 0;
        for shard in &self.shards {
            let part = finite(shard, name)?;
            let length = part.size()[axis];
            whole.f_narrow(axis as i64, from, length)?.f_copy_(&part)?;
            from += length;
        }
        Ok(whole)
    }

    /// LLaMA 1 and 2 split the embedding along D, LLaMA 3 along V: its part's shape tells.
    fn split(&self, weight: Weight) -> Result<Split> {
        if weight == Weight::Embed {
            let columns = self.shards[0].shape(&weight.meta_name())?.get(1).copied();
            return Ok(Split::Axis(usize::from(columns != Some(self.config.dim))));
        }
        Ok(split(weight))
    }

    /// Every weight is in every shard, with the shape that the configuration and the number of shards imply.
    fn check_shapes(&self) -> Result<()> {
        let ranks = self.shards.len() as i64;
        for weight in Weight::all(self.config.n_layers) {
            let name = weight.meta_name();
            let mut expected = weight.shape(&self.config);
            if let Split::Axis(axis) = self.split(weight)? {
                if expected[axis] % ranks != 0 {
                    return Err(Error::Params {
                        path: self.folder.join("params.json"),
                        reason: format!("`{name}` of shape {expected:?} cannot be in {ranks} equal parts"),
                        hint: "are there consolidated.NN.pth files of another model in the folder?"
                            .to_owned(),
                    });
                }
                expected[axis] /= ranks;
            }
            for shard in &self.shards {
                let found = shard.shape(&name)?;
                if found != expected {
                    let (path, found) = (shard.path().to_owned(), found.to_vec());
                    return Err(Error::TensorShape { path, name, expected, found });
                }
            }
        }
        let extra = Weight::Block(self.config.n_layers, BlockWeight::Q).meta_name();
        if self.shards[0].names().any(|n| n == extra) {
            return Err(Error::Params {
                path: self.folder.join("params.json"),
                reason: format!("`n_layers` is {}, and the weights go on (`{extra}`)", self.config.n_layers),
                hint: "params.json belongs to another model".to_owned(),
            });
        }
        Ok(())
    }
}

/// `consolidated.00.pth`, `consolidated.01.pth`, … without a gap.
fn shard_paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let paths: Vec<_> = (0..100)
        .map(|rank| folder.join(format!("consolidated.{rank:02}.pth")))
        .take_while(|path| path.exists())
        .collect();
    if paths.is_empty() {
        return Err(Error::NotAModel {
            path: folder.to_owned(),
            found: "params.json is there, consolidated.00.pth is not".to_owned(),
        });
    }
    let after_gap =
        (paths.len()..100).find(|rank| folder.join(format!("consolidated.{rank:02}.pth")).exists());
    match after_gap {
        None => Ok(paths),
        Some(rank) => Err(Error::Shards {
            path: folder.to_owned(),
            expected: rank as i64 + 1,
            found: paths.len() as i64,
        }),
    }
}

/// The configuration: from `params.json`, the vocabulary and the number of ranks from the tensors themselves.
fn config(path: &Path, params: &Params, shards: &[Pth]) -> Result<Config> {
    let refuse = |reason: String| Error::Params {
        path: path.to_owned(),
        reason,
        hint: "use the params.json that came with the weights".to_owned(),
    };
    let bounds = [("dim", params.dim), ("n_heads", params.n_heads), ("multiple_of", params.multiple_of)];
    if let Some((name, value)) = bounds.into_iter().find(|(_, v)| !(1..=1 << 24).contains(v)) {
        return Err(refuse(format!("`{name}` is {value}")));
    }
    if let Some(multiplier) = params.ffn_dim_multiplier.filter(|m| !(0.0..=1024.0).contains(m)) {
        return Err(refuse(format!("`ffn_dim_multiplier` is {multiplier}")));
    }
    if params.dim % params.n_heads != 0 {
        return Err(refuse(format!("`dim` {} is no multiple of `n_heads` {}", params.dim, params.n_heads)));
    }
    let ranks = shards.len() as i64;
    // Queries are [H·K / ranks, D]: how many ranks there must be.
    let wq = shards[0].shape(&Weight::Block(0, BlockWeight::Q).meta_name())?;
    if let [rows, _] = *wq
        && rows > 0
        && rows.checked_mul(ranks) != Some(params.dim)
        && params.dim % rows == 0
    {
        let folder = path.parent().unwrap_or(path).to_owned();
        return Err(Error::Shards { path: folder, expected: params.dim / rows, found: ranks });
    }
    // `vocab_size: -1` means: as many as the tokenizer has. The unembedding is split along V.
    let rows = shards.iter().try_fold(0i64, |sum, shard| {
        let rows = shard.shape(&Weight::Unembed.meta_name())?.first().copied().unwrap_or(0);
        Ok::<_, Error>(i64::saturating_add(sum, rows))
    })?;
    let vocab_size = params.vocab_size.filter(|&v| v > 0).unwrap_or(rows);
    let config = Config {
        dim: params.dim,
        n_layers: params.n_layers,
        n_heads: params.n_heads,
        n_kv_heads: params.n_kv_heads.unwrap_or(params.n_heads),
        head_dim: params.dim / params.n_heads,
        hidden_dim: Config::meta_hidden_dim(params.dim, params.ffn_dim_multiplier, params.multiple_of),
        vocab_size,
        norm_eps: params.norm_eps,
        rope_theta: params.rope_theta.unwrap_or(10_000.0),
    };
    match config.problem() {
        None => Ok(config),
        Some(problem) => Err(refuse(problem)),
    }
}

/// Meta's rotary embedding turns neighbours (0,1), (2,3), …; TransformerLens and Hugging Face turn (0, K/2), (1, K/2+1), ….
/// The model computes in the second order, so the rows of each head are brought into it on load.
///
/// # Shapes
/// `[heads·K, D]` → the same, rows permuted within each head.
fn half_split(weight: &Tensor, head_dim: i64) -> Result<Tensor> {
    let (rows, dim) = (weight.size()[0], weight.size()[1]);
    Ok(weight
        .f_view([rows / head_dim, head_dim / 2, 2, dim])? // [heads, K/2, 2, D]
        .f_transpose(1, 2)? // [heads, 2, K/2, D]
        .f_reshape([rows, dim])?)
}

/// The way back: half-split order into Meta's.
///
/// # Shapes
/// `[heads·K, D]` → the same, rows permuted within each head.
pub(super) fn interleave(weight: &Tensor, head_dim: i64) -> Result<Tensor> {
    let (rows, dim) = (weight.size()[0], weight.size()[1]);
    Ok(weight.f_view([rows / head_dim, 2, head_dim / 2, dim])?.f_transpose(1, 2)?.f_reshape([rows, dim])?)
}
