//! Meta's layout: `params.json` and one `consolidated.NN.pth` per model-parallel rank; Mistral's own files are the same with
//! a few more keys, and may be one `consolidated.safetensors`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tch::Tensor;
use torch_runtime::TensorExt as _;

use super::container::TensorFile;
use super::identity::Hashed;
use super::part::{Part, Wanted};
use super::weight::{BlockWeight, Order, Weight};
use super::{Layout, files};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::family::Family;
use crate::tokenizer::Tokenizer;

mod params;
mod save;

use params::Params;
pub use save::{save_meta, save_random_meta};

/// A checkpoint in Meta's layout, opened and checked, no weight read yet.
#[derive(Debug)]
pub(super) struct Meta {
    folder: PathBuf,
    config: Config,
    warnings: Vec<String>,
    shards: Vec<TensorFile>,
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

impl Meta {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("params.json");
        let mut warnings = Vec::new();
        let params = Params::read(&path, &files::text(&path, files::CONFIG)?, &mut warnings)?;
        let shards = shard_paths(folder)?.iter().map(|p| TensorFile::open(p)).collect::<Result<Vec<_>>>()?;
        let config = params.config(&path, &shards, &mut warnings)?;
        let meta = Self { folder: folder.to_owned(), config, warnings, shards };
        meta.check_shapes()?;
        Ok(meta)
    }

    /// LLaMA 1 and 2 split the embedding along D, LLaMA 3 along V: its part's shape tells.
    fn split(&self, weight: Weight) -> Result<Split> {
        if weight == Weight::Embed {
            let columns = self.shards[0].stored(&weight.meta_name())?.shape.get(1).copied();
            return Ok(Split::Axis(usize::from(columns != Some(self.config.dim))));
        }
        Ok(split(weight))
    }

    /// Every weight is in every shard, with the shape that the configuration and the number of shards imply.
    fn check_shapes(&self) -> Result<()> {
        let ranks = self.shards.len() as i64;
        for weight in Weight::all(&self.config) {
            let name = weight.meta_name();
            let mut expected = weight.shape(&self.config);
            if let Split::Axis(axis) = self.split(weight)? {
                if expected[axis] % ranks != 0 {
                    return Err(Error::ModelConfig {
                        path: self.folder.join("params.json"),
                        reason: format!("`{name}` of shape {expected:?} cannot be in {ranks} equal parts"),
                        hint: "are there consolidated.NN.pth files of another model in the folder?"
                            .to_owned(),
                    });
                }
                expected[axis] /= ranks;
                let order = Order::interleaved(weight, &self.config);
                if order != Order::AsStored && expected[0] % self.config.head_dim != 0 {
                    return Err(Error::ModelConfig {
                        path: self.folder.join("params.json"),
                        reason: format!("{ranks} parts would divide the heads of `{name}`"),
                        hint: "are there consolidated.NN.pth files of another model in the folder?"
                            .to_owned(),
                    });
                }
            }
            for shard in &self.shards {
                let found = shard.stored(&name)?.shape;
                if *found != expected {
                    let (path, found) = (shard.path().to_owned(), found.to_vec());
                    return Err(Error::TensorShape { path, name, expected, found });
                }
                shard.kind(&name)?;
            }
        }
        // Tables that LLaMA 1 and 2 carry along and their code computes anew.
        let computed = |name: &str| name == "rope.freqs";
        let known: BTreeSet<String> = Weight::all(&self.config).map(Weight::meta_name).collect();
        let names = self.shards.iter().flat_map(TensorFile::names);
        match names.filter(|name| !known.contains(*name) && !computed(name)).min() {
            None => Ok(()),
            Some(name) => Err(super::foreign(&self.folder.join("params.json"), name)),
        }
    }
}

impl Layout for Meta {
    fn config(&self) -> &Config {
        &self.config
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn family(&self) -> &'static Family {
        Family::llama()
    }

    fn describe(&self) -> String {
        let parts = self.shards.len();
        format!("Meta, {parts} part{}", if parts == 1 { "" } else { "s" })
    }

    fn stored(&self, weight: Weight) -> Result<(String, u64)> {
        let (name, mut bytes) = (weight.meta_name(), 0);
        let whole = matches!(self.split(weight)?, Split::Replicated);
        for shard in self.shards.iter().take(if whole { 1 } else { self.shards.len() }) {
            let elements = shard.stored(&name)?.shape.iter().product::<i64>() as u64;
            bytes += elements * shard.kind(&name)?.elt_size_in_bytes() as u64;
        }
        Ok((self.shards[0].stored(&name)?.kind_name, bytes))
    }

    /// Each file's part goes to its place in what is wanted; files with nothing of that are not read.
    fn copy(&self, weight: Weight, wanted: Wanted, into: &Tensor) -> Result<()> {
        let (name, order) = (weight.meta_name(), Order::interleaved(weight, &self.config));
        let Split::Axis(axis) = self.split(weight)? else {
            let shard = &self.shards[wanted.copy % self.shards.len()];
            return shard.copy(&name, wanted.part, into, order);
        };
        let (mut from, mut filled) = (0, 0);
        for shard in &self.shards {
            let length = shard.stored(&name)?.shape[axis];
            let (part, count) = match wanted.part {
                Some(part) if part.axis == axis => match part.within(from, length) {
                    Some(Part { count, .. }) if count == length => (None, length),
                    Some(own) => (Some(own), own.count),
                    None => (None, 0),
                },
                across => (across, length),
            };
            if count > 0 {
                shard.copy(&name, part, &into.f_narrow(axis as i64, filled, count)?, order)?;
            }
            (from, filled) = (from + length, filled + count);
        }
        Ok(())
    }

    fn embedding_axis(&self) -> Result<usize> {
        let Split::Axis(axis) = self.split(Weight::Embed)? else { return Ok(0) };
        Ok(if self.shards.len() > 1 { axis } else { 0 })
    }

    fn hashed(&self) -> Result<Vec<Hashed<'_>>> {
        let several = self.shards.len() > 1;
        let mut all = Vec::new();
        for (rank, shard) in self.shards.iter().enumerate() {
            all.extend(shard.hashed(several.then_some(rank))?);
        }
        Ok(all)
    }

    /// `tokenizer.model` in the folder, or beside it, as Meta ships LLaMA 1 and 2.
    fn tokenizer(&self) -> Result<Tokenizer> {
        let parent = fs_err::canonicalize(&self.folder)?.parent().map(Path::to_path_buf);
        let folders = [Some(self.folder.clone()), parent].into_iter().flatten();
        let path = folders.map(|folder| folder.join("tokenizer.model")).find(|path| path.exists());
        Tokenizer::open(path.ok_or_else(|| Error::NoTokenizer { path: self.folder.clone() })?)
    }
}

/// Mistral's one file.
const SINGLE: &str = "consolidated.safetensors";

/// Whether a folder holds weights in this layout.
pub(super) fn has_weights(folder: &Path) -> bool {
    folder.join("consolidated.00.pth").exists() || folder.join(SINGLE).exists()
}

/// `consolidated.00.pth`, `consolidated.01.pth`, … without a gap; or `consolidated.safetensors`.
fn shard_paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let paths: Vec<_> = (0..100)
        .map(|rank| folder.join(format!("consolidated.{rank:02}.pth")))
        .take_while(|path| path.exists())
        .collect();
    let single = folder.join(SINGLE);
    if paths.is_empty() && single.exists() {
        return Ok(vec![single]);
    }
    if paths.is_empty() {
        let part = files::absent(&folder.join("consolidated.00.pth"), "");
        let found =
            "params.json is there, consolidated.00.pth and consolidated.safetensors are not".to_owned();
        let found = if part.is_empty() { found } else { format!("{found}: {part}") };
        return Err(Error::NotAModel { path: folder.to_owned(), found });
    }
    if single.exists() {
        return Err(Error::WeightFile {
            path: single,
            reason: "consolidated.00.pth is there as well, and both cannot be the model".to_owned(),
            hint: "move one of them away".to_owned(),
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

/// The way back: half-split order into Meta's.
///
/// # Shapes
/// `[heads·K, D]` → the same, rows permuted within each head.
pub(super) fn interleave(weight: &Tensor, head_dim: i64) -> Result<Tensor> {
    let (rows, dim) = weight.dims2("weight")?;
    Ok(weight.f_view([rows / head_dim, 2, head_dim / 2, dim])?.f_transpose(1, 2)?.f_reshape([rows, dim])?)
}
