//! Writing Meta's layout, so that a model trained here is read back by the same way as LLaMA 7B.

use std::io::Write;
use std::path::{Path, PathBuf};

use host::files::Beside;
use tch::{Device, Kind, Tensor};
use zip::write::SimpleFileOptions;

use super::params::Params;
use super::{Split, interleave, split};
use crate::checkpoint::weight::{Order, Weight};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::{Llama, random_weight};

/// Writes `params.json` and `consolidated.NN.pth` into `folder`, in `parts` model-parallel files split as Meta splits
/// them: what `torch.save` writes for each rank's state dict, with weights as `kind` (f16 is Meta's choice).
///
/// Files are written beside their places and moved there, so a model that is read meanwhile stays whole.
///
/// # Errors
/// Files that cannot be written; a weight type other than f16, bf16 and f32; a model that Meta's `params.json` cannot
/// describe, whose weights `parts` does not divide, or that is streamed.
pub fn save_meta(model: &Llama, folder: impl AsRef<Path>, kind: Kind, parts: usize) -> Result<()> {
    if model.is_streamed() {
        return Err(Error::Streamed { what: "it is on disk already" });
    }
    write(model.config(), folder.as_ref(), kind, parts, |weight| Ok(model.weight(weight)?.f_detach()?))
}

/// Writes a model of random weights, those of [`Llama::random`], without ever having all of it in memory: a checkpoint of
/// any size to try things with. The rest is as in [`save_meta`].
///
/// ```
/// use llama_core::{Checkpoint, Config, Llama, Precision, save_random_meta, tch::{Device, Kind}};
///
/// let folder = std::env::temp_dir().join(format!("random-llama-{}", std::process::id()));
/// let config = Config { dim: 8, n_layers: 2, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
///     vocab_size: 10, ..Config::default() };
/// save_random_meta(&config, 7, &folder, Kind::Half, 2)?;
/// Llama::load(&Checkpoint::open(&folder)?, Precision::F32, Device::Cpu)?;
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), llama_core::Error>(())
/// ```
///
/// # Errors
/// As [`save_meta`], and a configuration that makes no model.
pub fn save_random_meta(
    config: &Config,
    seed: u64,
    folder: impl AsRef<Path>,
    kind: Kind,
    parts: usize,
) -> Result<()> {
    if let Some(reason) = config.problem() {
        return Err(Error::Config { reason });
    }
    write(config, folder.as_ref(), kind, parts, |weight| random_weight(config, seed, weight))
}

/// Writes a model whose weights, in half-split order, `weights` gives; each is asked for once and dropped.
fn write(
    config: &Config,
    folder: &Path,
    kind: Kind,
    parts: usize,
    weights: impl Fn(Weight) -> Result<Tensor>,
) -> Result<()> {
    let parts = parts.max(1) as i64;
    check(config, folder, parts)?;
    fs_err::create_dir_all(folder)?;
    // Meta's files hold the unembedding even where it is the embedding.
    let untied = Config { tied_embeddings: false, ..config.clone() };
    let mut files = (0..parts)
        .map(|part| PartFile::begin(folder, part, parts, kind, &untied))
        .collect::<Result<Vec<_>>>()?;
    for (number, weight) in Weight::all(&untied).enumerate() {
        let given = match weight {
            Weight::Unembed if config.tied_embeddings => Weight::Embed,
            own => own,
        };
        let whole = weights(given)?;
        let whole = match Order::interleaved(weight, config) {
            Order::AsStored => whole,
            Order::Interleaved { head_dim } => interleave(&whole, head_dim)?,
        };
        for (part, file) in (0..).zip(&mut files) {
            file.add(number, &bytes(&own_part(&whole, split(weight), part, parts)?, kind)?)?;
        }
    }
    files.into_iter().try_for_each(PartFile::finish)?;
    let refuse = "params.json has no words for it".to_owned();
    let params = Params::of(config).ok_or(Error::Config { reason: refuse })?;
    let params = serde_json::to_string_pretty(&params).map_err(std::io::Error::from)?;
    host::files::replace(folder.join("params.json"), (params + "\n").as_bytes())?;
    Ok(())
}

/// Refuses a model that Meta's layout cannot describe or divide.
fn check(config: &Config, folder: &Path, parts: i64) -> Result<()> {
    let refuse = |reason: String, hint: &str| {
        Err(Error::ModelConfig { path: folder.join("params.json"), reason, hint: hint.to_owned() })
    };
    if config.head_dim * config.n_heads != config.dim {
        let reason =
            format!("heads of {} × {} are not `dim` {}", config.n_heads, config.head_dim, config.dim);
        return refuse(reason, "Meta's layout has no head_dim of its own");
    }
    if [config.n_heads, config.n_kv_heads, config.hidden_dim, config.vocab_size]
        .iter()
        .any(|n| n % parts != 0)
    {
        let hint = "n_heads, n_kv_heads, the MLP's width and the vocabulary must be multiples of the parts";
        return refuse(format!("{parts} parts do not divide the model"), hint);
    }
    if Params::of(config).is_none() {
        return refuse(
            format!("params.json has no words for {:?}", config.rope_scaling),
            "Meta's layout knows LLaMA 3.1's rope scaling alone",
        );
    }
    if config.headless {
        return refuse("the model has no unembedding".to_owned(), "Meta's layout holds one");
    }
    if let Some(option) = config.unlike_llama() {
        return refuse(format!("params.json has no word for `{option}`"), "keep the model in its own layout");
    }
    Ok(())
}

/// One rank's file while it is written, beside its place.
struct PartFile {
    zip: zip::ZipWriter<std::io::BufWriter<Beside>>,
    name: String,
    path: PathBuf,
}

impl PartFile {
    /// Begins the file with its description: the tensors are known by the configuration.
    fn begin(folder: &Path, part: i64, parts: i64, kind: Kind, untied: &Config) -> Result<Self> {
        let name = format!("consolidated.{part:02}");
        let path = folder.join(format!("{name}.pth"));
        let shapes: Vec<_> = Weight::all(untied)
            .map(|weight| {
                let mut shape = weight.shape(untied);
                if let Split::Axis(axis) = split(weight) {
                    shape[axis] /= parts;
                }
                (weight.meta_name(), shape)
            })
            .collect();
        let pickle = pickle(&shapes, kind, &path)?;
        let zip = zip::ZipWriter::new(std::io::BufWriter::new(Beside::of(&path)?));
        let mut file = Self { zip, name, path };
        file.entry("data.pkl", &pickle)?;
        file.entry("byteorder", b"little")?;
        Ok(file)
    }

    fn add(&mut self, number: usize, elements: &[u8]) -> Result<()> {
        self.entry(&format!("data/{number}"), elements)
    }

    fn entry(&mut self, name: &str, content: &[u8]) -> Result<()> {
        // Stored, dated 1980, aligned: the same weights give the same bytes, and a reader can map them.
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .with_alignment(64)
            .large_file(true);
        let name = format!("{}/{name}", self.name);
        self.zip.start_file(name, options).map_err(|e| archive(&self.path, &e))?;
        Ok(self.zip.write_all(content)?)
    }

    fn finish(mut self) -> Result<()> {
        self.entry("version", b"3\n")?;
        let file = self.zip.finish().map_err(|e| archive(&self.path, &e))?;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        Ok(file.finish()?)
    }
}

fn archive(path: &Path, error: &zip::result::ZipError) -> Error {
    Error::WeightFile {
        path: path.to_owned(),
        reason: error.to_string(),
        hint: "is the disk full?".to_owned(),
    }
}

/// A rank's part of a weight.
fn own_part(whole: &Tensor, split: Split, part: i64, parts: i64) -> Result<Tensor> {
    match split {
        Split::Replicated => Ok(whole.f_alias()?),
        Split::Axis(axis) => {
            let length = whole.size()[axis] / parts;
            Ok(whole.f_narrow(axis as i64, part * length, length)?.f_contiguous()?)
        }
    }
}

fn bytes(tensor: &Tensor, kind: Kind) -> Result<Vec<u8>> {
    let tensor = tensor.f_to_kind(kind)?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut bytes = vec![0u8; tensor.numel() * kind.elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

/// The pickle of a dict from name to tensor, protocol 2, as `torch.save` would write it (without memo entries).
fn pickle(shapes: &[(String, Vec<i64>)], kind: Kind, path: &Path) -> Result<Vec<u8>> {
    let storage = match kind {
        Kind::Half => "HalfStorage",
        Kind::BFloat16 => "BFloat16Storage",
        Kind::Float => "FloatStorage",
        other => {
            return Err(Error::WeightFile {
                path: path.to_owned(),
                reason: format!("weights cannot be stored as {other:?}"),
                hint: "choose f16, bf16 or f32".to_owned(),
            });
        }
    };
    let mut p = Vec::from(*b"\x80\x02}("); // PROTO 2, EMPTY_DICT, MARK
    for (number, (name, shape)) in shapes.iter().enumerate() {
        text(&mut p, name);
        p.extend(b"ctorch._utils\n_rebuild_tensor_v2\n(("); // GLOBAL, MARK, MARK
        text(&mut p, "storage");
        p.extend(format!("ctorch\n{storage}\n").bytes());
        text(&mut p, &number.to_string());
        text(&mut p, "cpu");
        int(&mut p, shape.iter().product());
        p.extend(b"tQ"); // TUPLE, BINPERSID
        int(&mut p, 0); // offset
        tuple(&mut p, shape);
        tuple(&mut p, &contiguous(shape));
        p.extend(b"\x89ccollections\nOrderedDict\n)RtR"); // NEWFALSE, an empty OrderedDict, TUPLE, REDUCE
    }
    p.extend(b"u."); // SETITEMS, STOP
    Ok(p)
}

fn text(p: &mut Vec<u8>, text: &str) {
    p.push(b'X');
    p.extend((text.len() as u32).to_le_bytes());
    p.extend(text.bytes());
}

/// `LONG1`: sizes of the largest models' embeddings still fit 32 bits, their element counts need not.
fn int(p: &mut Vec<u8>, value: i64) {
    p.extend([0x8a, 8]);
    p.extend(value.to_le_bytes());
}

fn tuple(p: &mut Vec<u8>, values: &[i64]) {
    p.push(b'(');
    for &value in values {
        int(p, value);
    }
    p.push(b't');
}

fn contiguous(shape: &[i64]) -> Vec<i64> {
    let mut stride = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        stride[axis - 1] = stride[axis] * shape[axis];
    }
    stride
}
