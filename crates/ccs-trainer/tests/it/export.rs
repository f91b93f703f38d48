//! `ccs export`: what is written is read by something that is not ours.

use std::path::Path;
use std::process::Command;

use ccs_report::Method;
use ccs_trainer::{Error, ExportFormat, Fitted, Source as _, StoreSource, export};

use crate::data::Planted;
use crate::store::{Stored, ccs, quick, refused, succeeds, text};

/// A run of a store with a layer 2, which llama.cpp can change.
fn fitted(dir: &Path) {
    let planted = Planted::new(80, 6, 1.0, 1);
    // Dimensions of other scales and places, so that a weight on normalized states is none on states.
    let place = |states: Vec<f32>, shift: f32| -> Vec<f32> {
        let scale = [1.0, 20.0, 0.05, 3.0, 100.0, 1.0];
        states.iter().enumerate().map(|(at, x)| (x + shift) * scale[at % 6]).collect()
    };
    let truth = (place(planted.plus, 0.5), place(planted.minus, -2.0));
    let store = Stored { further: 1, ..Stored::default() };
    store.write_states(&dir.join("store"), &planted.labels, &truth, &truth);
    quick(dir, &["fit", "store", "--out", "run"]);
}

/// Runs a script with the folder as its argument, where Python has the module.
fn python(dir: &Path, module: &str, script: &str) -> Option<String> {
    let python = test_material::python(module)?;
    let done = Command::new(python).args(["-c", script]).current_dir(dir).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(text(&done.stdout))
}

/// The probe's scores and whether each is judged true, in the layer's states.
fn judged(dir: &Path, method: Method, layer: usize) -> Vec<(f64, bool)> {
    let fitted = Fitted::open(dir.join("run"), method, Some(layer)).unwrap();
    let source = StoreSource::open(dir.join("store")).unwrap();
    let [plus, minus] = source.load(&source.layers()[layer]).unwrap().sides().unwrap();
    let threshold = fitted.probe.input().threshold();
    fitted.probe.scores(&plus, &minus).unwrap().into_iter().map(|s| (s, s > threshold)).collect()
}

/// The file in the parts that GGUF's specification names, read without our writer.
#[test]
fn a_control_vector_is_the_tensor_that_llama_cpp_adds_after_the_probes_block() {
    let dir = tempfile::tempdir().unwrap();
    fitted(dir.path());
    let arguments =
        ["export", "run", "--method", "lr", "--layer", "2", "--format", "gguf", "--out", "truth.gguf"];
    assert_eq!(text(&succeeds(ccs(dir.path(), &arguments)).stdout), "truth.gguf\n");
    let bytes = std::fs::read(dir.path().join("truth.gguf")).unwrap();

    let mut at = 0;
    let mut take = |n: usize| {
        at += n;
        bytes[at - n..at].to_vec()
    };
    assert_eq!(take(4), b"GGUF");
    let u32_of = |b: Vec<u8>| u32::from_le_bytes(b.try_into().unwrap());
    let u64_of = |b: Vec<u8>| u64::from_le_bytes(b.try_into().unwrap()) as usize;
    assert_eq!((u32_of(take(4)), u64_of(take(8)), u64_of(take(8))), (3, 1, 3));
    let string = |take: &mut dyn FnMut(usize) -> Vec<u8>| {
        let length = u64_of(take(8));
        String::from_utf8(take(length)).unwrap()
    };
    for (key, value) in [("general.architecture", "controlvector"), ("controlvector.model_hint", "llama")] {
        assert_eq!((string(&mut take), u32_of(take(4)), string(&mut take)), (key.into(), 8, value.into()));
    }
    assert_eq!(
        (string(&mut take), u32_of(take(4)), u32_of(take(4))),
        ("controlvector.layer_count".into(), 4, 1)
    );
    // Layer 2 is the stream after block 1, counted from 0.
    assert_eq!((string(&mut take), u32_of(take(4)), u64_of(take(8))), ("direction.1".into(), 1, 6));
    assert_eq!((u32_of(take(4)), u64_of(take(8))), (0, 0));
    let data = at.next_multiple_of(32);
    assert_eq!(bytes.len(), (data + 4 * 6).next_multiple_of(32));
    let found: Vec<f32> =
        bytes[data..data + 24].chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();

    // Moving both states apart by it moves the score by 2|w| (less f32's rounding): it is σ·w/|w|, not w/σ.
    let probe = Fitted::open(dir.path().join("run"), Method::LR, Some(2)).unwrap().probe;
    let w = Vec::<f64>::try_from(probe.weight().to_kind(ccs::tch::Kind::Double)).unwrap();
    let norm = w.iter().map(|w| w * w).sum::<f64>().sqrt();
    let sign = f64::from(i8::from(probe.sign()));
    let std = |side: &ccs::tch::Tensor| Vec::<f64>::try_from(side).unwrap();
    let (plus, minus) = (std(&probe.normalizer().plus.std), std(&probe.normalizer().minus.std));
    for (i, found) in found.iter().enumerate() {
        let expected = sign * w[i] / norm * f64::midpoint(plus[i], minus[i]);
        assert!((f64::from(*found) - expected).abs() <= 1e-6 * expected.abs(), "{i}: {found} {expected}");
    }
    // Some dimensions have 2000 times the spread of others.
    let reads = probe.affine(None).unwrap().unwrap().plus;
    let reads = Vec::<f64>::try_from(reads).unwrap();
    assert!(reads[4].abs() < reads[2].abs() && found[4].abs() > found[2].abs());

    let gguf = "
import gguf
file = gguf.GGUFReader('truth.gguf')
text = lambda key: str(bytes(file.fields[key].parts[-1]), 'utf-8')
tensor, = file.tensors
print(text('general.architecture'), text('controlvector.model_hint'), tensor.name, tensor.tensor_type.name, tensor.shape.tolist())
print(*tensor.data.tolist())";
    if let Some(said) = python(dir.path(), "gguf", gguf) {
        let (head, data) = said.trim().split_once('\n').unwrap();
        assert_eq!(head, "controlvector llama direction.1 F32 [6]");
        let read: Vec<f32> = data.split(' ').map(|x| x.parse::<f64>().unwrap() as f32).collect();
        assert_eq!(read, found);
    }
}

#[test]
fn scikit_learn_predicts_as_the_probe_does() {
    let dir = tempfile::tempdir().unwrap();
    fitted(dir.path());
    for method in ["ccs", "lr"] {
        let out = format!("{method}.json");
        let arguments =
            ["export", "run", "--method", method, "--layer", "2", "--format", "json", "--out", &out];
        succeeds(ccs(dir.path(), &arguments));
        let script = format!(
            "
import json, numpy as np
from sklearn.linear_model import LogisticRegression
p = json.load(open('{out}'))
clf = LogisticRegression()
clf.coef_, clf.intercept_, clf.classes_ = np.array(p['coef']), np.array(p['intercept']), np.array(p['classes'])
plus, minus = [np.load('store/' + p['hook'] + '/' + side + '.npy') for side in ('plus', 'minus')]
x = np.hstack([plus, minus])
print(*clf.predict(x).astype(int))
print(*clf.decision_function(x))"
        );
        let Some(said) = python(dir.path(), "sklearn", &script) else { return };
        let (predicted, logits) = said.trim().split_once('\n').unwrap();
        let judged = judged(dir.path(), method.parse().unwrap(), 2);
        let expected: Vec<&str> = judged.iter().map(|(_, is)| if *is { "1" } else { "0" }).collect();
        assert_eq!(predicted.split(' ').collect::<Vec<_>>(), expected, "{method}");
        assert!(expected.contains(&"0") && expected.contains(&"1"));
        if method == "lr" {
            // A sum of 12 products of up to 10² times the logit, in f64.
            for (logit, (score, _)) in logits.split(' ').zip(&judged) {
                assert!((logit.parse::<f64>().unwrap() - score).abs() < 1e-9, "{logit} {score}");
            }
        }
    }
}

#[test]
fn numpy_scores_as_the_probe_does() {
    let dir = tempfile::tempdir().unwrap();
    fitted(dir.path());
    let done = succeeds(ccs(
        dir.path(),
        &["export", "run", "--method", "lr", "--layer", "1", "--format", "npy", "--out", "truth.npy"],
    ));
    assert_eq!(text(&done.stdout), "truth.npy\ntruth.bias.npy\n");
    let read = |name: &str| {
        let bytes = std::fs::read(dir.path().join(name)).unwrap();
        let array = npyz::NpyFile::new(&bytes[..]).unwrap();
        (array.shape().to_vec(), array.into_vec::<f64>().unwrap())
    };
    let ((shape, w), (of_bias, bias)) = (read("truth.npy"), read("truth.bias.npy"));
    assert_eq!((shape, of_bias), (vec![2, 6], vec![1]));
    let source = StoreSource::open(dir.path().join("store")).unwrap();
    let [plus, minus] = source.load(&source.layers()[1]).unwrap().sides().unwrap();
    let rows = |t: ccs::tch::Tensor| Vec::<f32>::try_from(t.reshape(-1)).unwrap();
    let (plus, minus) = (rows(plus), rows(minus));
    for (row, (score, _)) in judged(dir.path(), Method::LR, 1).into_iter().enumerate() {
        let dot = |w: &[f64], x: &[f32]| w.iter().zip(x).map(|(w, x)| w * f64::from(*x)).sum::<f64>();
        let at = 6 * row..6 * row + 6;
        let found = dot(&w[..6], &plus[at.clone()]) + dot(&w[6..], &minus[at]) + bias[0];
        assert!((found - score).abs() < 1e-9, "{row}: {found} {score}");
    }
    let numpy = "import numpy as np; print(np.load('truth.npy').shape, np.load('truth.bias.npy')[0])";
    if let Some(said) = python(dir.path(), "numpy", numpy) {
        let value = said.trim().strip_prefix("(2, 6) ").unwrap();
        assert!((value.parse::<f64>().unwrap() - bias[0]).abs() < 1e-12);
    }
}

#[test]
fn what_has_no_direction_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fitted(dir.path());
    let gguf =
        |layer| ["export", "run", "--method", "lr", "--layer", layer, "--format", "gguf", "--out", "x.gguf"];
    refused(dir.path(), &gguf("0"), &["lr at layer 0 has no direction", "after a block"]);
    refused(dir.path(), &gguf("1"), &["every block but the first"]);
    refused(dir.path(), &gguf("9"), &["layer 9 was not fitted"]);
    let onnx = ["export", "run", "--format", "onnx", "--out", "x"];
    refused(dir.path(), &onnx, &["gguf, npy, json, edits"]);
    assert!(!dir.path().join("x.gguf").exists());

    quick(dir.path(), &["fit", "store", "--out", "deep", "--hidden", "3", "--layers", "2"]);
    let deep = Fitted::open(dir.path().join("deep"), Method::CCS, None).unwrap();
    for format in ExportFormat::ALL {
        let error = export(&deep, format, dir.path().join("x")).unwrap_err();
        assert!(matches!(error, Error::NoDirection { .. }), "{error}");
    }
}
