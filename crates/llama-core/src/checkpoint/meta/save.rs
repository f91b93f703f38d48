//! Writing Meta's layout, so that a model trained here is read back by the same way as LLaMA 7B.

use std::io::Write;
use std::path::Path;

use tch::{Device, Kind, Tensor};
use zip::write::SimpleFileOptions;

use super::params::Params;
use super::{Split, interleave, split};
use crate::checkpoint::weight::{BlockWeight, Weight};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::Llama;

/// Writes `params.json` and `consolidated.NN.pth` into `folder`, in `parts` model-parallel files split as Meta splits
/// them: what `torch.save` writes for each rank's state dict, with weights as `kind` (f16 is Meta's choice).
///
/// Files are written beside their places and moved there, so a model that is read meanwhile stays whole.
///
/// # Errors
/// Files that cannot be written; a weight type other than f16, bf16 and f32; a model that Meta's `params.json` cannot
/// describe, or whose weights `parts` does not divide.
pub fn save_meta(model: &Llama, folder: impl AsRef<Path>, kind: Kind, parts: usize) -> Result<()> {
    let folder = folder.as_ref();
    let config = model.config();
    let parts = parts.max(1) as i64;
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
    let Some(params) = Params::of(config) else {
        return refuse(
            format!("params.json has no words for {:?}", config.rope_scaling),
            "Meta's layout knows LLaMA 3.1's rope scaling alone",
        );
    };
    if config.sliding_window.is_some() {
        return refuse(
            "params.json has no word for a sliding window".to_owned(),
            "keep the model in its own layout",
        );
    }
    fs_err::create_dir_all(folder)?;
    for part in 0..parts {
        let name = format!("consolidated.{part:02}");
        write_part(model, kind, &folder.join(format!("{name}.pth")), &name, part, parts)?;
    }
    let params = serde_json::to_string_pretty(&params).map_err(std::io::Error::from)?;
    fs_err::write(folder.join("params.json"), params + "\n")?;
    Ok(())
}

/// One rank's file.
fn write_part(model: &Llama, kind: Kind, path: &Path, name: &str, part: i64, parts: i64) -> Result<()> {
    let archive = |e: zip::result::ZipError| Error::WeightFile {
        path: path.to_owned(),
        reason: e.to_string(),
        hint: "is the disk full?".to_owned(),
    };
    // Meta's files hold the unembedding even where it is the embedding.
    let untied = Config { tied_embeddings: false, ..model.config().clone() };
    let weights: Vec<Weight> = Weight::all(&untied).collect();
    let tensors = |weight| own_part(&meta_order(model, weight)?, split(weight), part, parts);
    let beside = path.with_extension("pth.partial");
    let mut zip = zip::ZipWriter::new(std::io::BufWriter::new(fs_err::File::create(&beside)?));
    // Stored, dated 1980, aligned: the same weights give the same bytes, and a reader can map them.
    let options = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .with_alignment(64)
        .large_file(true);
    let shapes =
        weights.iter().map(|&w| Ok((w.meta_name(), tensors(w)?.size()))).collect::<Result<Vec<_>>>()?;
    zip.start_file(format!("{name}/data.pkl"), options).map_err(archive)?;
    zip.write_all(&pickle(&shapes, kind, path)?)?;
    zip.start_file(format!("{name}/byteorder"), options).map_err(archive)?;
    zip.write_all(b"little")?;
    for (number, &weight) in weights.iter().enumerate() {
        zip.start_file(format!("{name}/data/{number}"), options).map_err(archive)?;
        zip.write_all(&bytes(&tensors(weight)?, kind)?)?;
    }
    zip.start_file(format!("{name}/version"), options).map_err(archive)?;
    zip.write_all(b"3\n")?;
    let file = zip.finish().map_err(archive)?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(fs_err::rename(&beside, path)?)
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

fn meta_order(model: &Llama, weight: Weight) -> Result<Tensor> {
    let tensor = model.weight(weight)?.f_detach()?;
    match weight {
        Weight::Block(_, BlockWeight::Q | BlockWeight::K) => interleave(&tensor, model.config().head_dim),
        _ => Ok(tensor),
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
