//! Writing Meta's layout, so that a model trained here is read back by the same way as LLaMA 7B.

use std::io::Write;
use std::path::Path;

use tch::{Device, Kind, Tensor};
use zip::write::SimpleFileOptions;

use super::meta::{Params, interleave};
use super::weight::{BlockWeight, Weight};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::Llama;

/// Writes `params.json` and `consolidated.00.pth` into `folder`: what `torch.save` writes for the model's
/// state dict, with weights as `kind` (f16 is Meta's choice).
///
/// # Errors
/// Files that cannot be written; a weight type other than f16, bf16 and f32.
pub fn save_meta(model: &Llama, folder: impl AsRef<Path>, kind: Kind) -> Result<()> {
    let folder = folder.as_ref();
    fs_err::create_dir_all(folder)?;
    let config = model.config();
    let path = folder.join("consolidated.00.pth");
    let archive = |e: zip::result::ZipError| Error::Archive {
        path: path.clone(),
        reason: e.to_string(),
        hint: "is the disk full?".to_owned(),
    };
    let mut zip = zip::ZipWriter::new(std::io::BufWriter::new(fs_err::File::create(&path)?));
    // Stored, dated 1980, aligned: the same weights give the same bytes, and a reader can map them.
    let options = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .with_alignment(64)
        .large_file(true);
    zip.start_file("consolidated.00/data.pkl", options).map_err(archive)?;
    zip.write_all(&pickle(config, kind, &path)?)?;
    zip.start_file("consolidated.00/byteorder", options).map_err(archive)?;
    zip.write_all(b"little")?;
    for (number, weight) in Weight::all(config.n_layers).enumerate() {
        zip.start_file(format!("consolidated.00/data/{number}"), options).map_err(archive)?;
        zip.write_all(&bytes(&meta_order(model, weight)?, kind)?)?;
    }
    zip.start_file("consolidated.00/version", options).map_err(archive)?;
    zip.write_all(b"3\n")?;
    zip.finish().map_err(archive)?.flush()?;
    let params = serde_json::to_string_pretty(&Params::of(config)).map_err(std::io::Error::from)?;
    fs_err::write(folder.join("params.json"), params + "\n")?;
    Ok(())
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
fn pickle(config: &Config, kind: Kind, path: &Path) -> Result<Vec<u8>> {
    let storage = match kind {
        Kind::Half => "HalfStorage",
        Kind::BFloat16 => "BFloat16Storage",
        Kind::Float => "FloatStorage",
        other => {
            return Err(Error::Archive {
                path: path.to_owned(),
                reason: format!("weights cannot be stored as {other:?}"),
                hint: "choose f16, bf16 or f32".to_owned(),
            });
        }
    };
    let mut p = Vec::from(*b"\x80\x02}("); // PROTO 2, EMPTY_DICT, MARK
    for (number, weight) in Weight::all(config.n_layers).enumerate() {
        let shape = weight.shape(config);
        text(&mut p, &weight.meta_name());
        p.extend(b"ctorch._utils\n_rebuild_tensor_v2\n(("); // GLOBAL, MARK, MARK
        text(&mut p, "storage");
        p.extend(format!("ctorch\n{storage}\n").bytes());
        text(&mut p, &number.to_string());
        text(&mut p, "cpu");
        int(&mut p, shape.iter().product());
        p.extend(b"tQ"); // TUPLE, BINPERSID
        int(&mut p, 0); // offset
        tuple(&mut p, &shape);
        tuple(&mut p, &contiguous(&shape));
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
