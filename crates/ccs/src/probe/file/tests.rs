//! Probe files: the same bytes for the same probe, and nothing read from another file.

use super::super::tests::{pairs, probe};
use super::*;
use crate::Contrast;

#[test]
fn a_file_gives_the_same_probe_and_the_same_bytes() {
    let probe = probe(ProbeInput::Pair, Sign::Minus);
    let bytes = probe.to_bytes().unwrap();
    assert_eq!(bytes, probe.to_bytes().unwrap());
    let back = Probe::parse(&bytes).unwrap();
    assert_eq!(bytes, back.to_bytes().unwrap());
    assert_eq!((back.sign, back.input, back.bias, back.dim()), (Sign::Minus, ProbeInput::Pair, 0.5, 1));
    assert_eq!((back.meta, back.calibration), (probe.meta, Calibration::OWN));
}

#[test]
fn what_makes_probabilities_comes_back() {
    let mut probe = probe(ProbeInput::Difference, Sign::Minus);
    let platt = Some(Platt { a: 1.0 / 3.0, b: -0.1 });
    for calibration in [Calibration::NONE, Calibration::OWN, Calibration { own: false, platt }] {
        probe.calibration = calibration;
        let bytes = probe.to_bytes().unwrap();
        assert_eq!(Probe::parse(&bytes).unwrap().calibration, calibration);
        let names = SafeTensors::deserialize(&bytes).unwrap().names().len();
        assert_eq!(names, 6 + usize::from(calibration.platt.is_some()));
    }
}

#[test]
fn files_that_do_not_say_whether_scores_are_probabilities_are_asked_for_their_method() {
    let of = |method: &str| BTreeMap::from([("method".to_owned(), method.into())]);
    for (method, expected) in [("lr", true), ("lda", true), ("tpc", false), ("mean_difference", false)] {
        assert_eq!(own(ProbeInput::Difference, &of(method)), expected, "{method}");
    }
    assert!(own(ProbeInput::Pair, &of("ccs")) && own(ProbeInput::Statements, &of("lr_statements")));
    assert!(!own(ProbeInput::Difference, &BTreeMap::new()));
}

#[test]
fn every_normalization_comes_back_and_scores_the_same() {
    let wave = |step: f64| (Tensor::arange(24, (Kind::Double, Device::Cpu)) * step).sin().reshape([8, 3]);
    let text = |prefix: &str, of: fn(usize) -> usize| (0..8).map(|i| format!("{prefix}{}", of(i))).collect();
    let labels = (0..8).map(|i| i % 3 == 0).collect();
    let data = Contrast::new(wave(1.7), wave(0.9) * 2.0, labels, text("g", |i| i / 2)).unwrap();
    let data = data.with_variants(text("q", |i| i / 2), text("t", |i| i % 2)).unwrap();
    for kind in normalize::Normalization::ALL {
        let mut probe = probe(ProbeInput::Pair, Sign::Plus);
        probe.weight = Tensor::from_slice(&[1.0f32, -2.0, 0.5]);
        probe.normalizer = Normalizer::fit_as(kind, &data).unwrap();
        let bytes = probe.to_bytes().unwrap();
        let back = Probe::parse(&bytes).unwrap();
        assert_eq!(back.normalizer.kind(), kind);
        assert_eq!(back.normalizer.templates(), probe.normalizer.templates());
        assert_eq!(back.score_pairs(&data).unwrap(), probe.score_pairs(&data).unwrap());
        assert_eq!(back.to_bytes().unwrap(), bytes);
        let mut anew = back;
        anew.normalizer = anew.normalizer.reestimated(&data).unwrap();
        assert!(Probe::parse(&anew.to_bytes().unwrap()).unwrap().normalizer.is_reestimated());
    }
}

#[test]
fn the_name_of_a_single_template_comes_back_and_files_without_it_open() {
    let text = |name: &str| vec![name.to_owned(), format!("{name}2")];
    let data = pairs([1.0, -1.0], [-1.0, 1.0]).with_variants(text("q"), vec!["exam".to_owned(); 2]).unwrap();
    let mut probe = probe(ProbeInput::Pair, Sign::Plus);
    probe.normalizer = Normalizer::fit(&data).unwrap();
    let bytes = probe.to_bytes().unwrap();
    let back = Probe::parse(&bytes).unwrap();
    assert_eq!(back.normalizer.templates(), ["exam"]);
    assert_eq!(back.to_bytes().unwrap(), bytes);
    // As version 0.1 wrote it: another key, which is not read, and nothing that it is checked by.
    let old = with_header(&bytes, |text| {
        let text = checked(text).unwrap().0.replace("\"schema\":3", "\"schema\":2");
        text.replace("\"seen\"", "\"none\"") + "}"
    });
    let old = Probe::parse(&old).unwrap();
    assert!(old.normalizer.templates().is_empty());
    assert_eq!(old.score_pairs(&data).unwrap(), probe.score_pairs(&data).unwrap());
}

#[test]
fn a_leace_that_has_nothing_to_erase_comes_back() {
    let same = pairs([1.0, -1.0], [1.0, -1.0]);
    let mut probe = probe(ProbeInput::Pair, Sign::Plus);
    probe.normalizer = Normalizer::fit_as(normalize::Normalization::Leace, &same).unwrap();
    let back = Probe::parse(&probe.to_bytes().unwrap()).unwrap();
    assert_eq!(back.score_pairs(&same).unwrap(), probe.score_pairs(&same).unwrap());
}

#[test]
fn files_of_schema_1_are_read() {
    // As version 0.1 wrote them: four statistics and a header that does not name the normalization.
    let f64s = |v: f64| v.to_le_bytes().to_vec();
    let data = [
        ("bias", Dtype::F64, f64s(0.5)),
        ("minus.mean", Dtype::F64, f64s(1.0)),
        ("minus.std", Dtype::F64, f64s(2.0)),
        ("plus.mean", Dtype::F64, f64s(3.0)),
        ("plus.std", Dtype::F64, f64s(4.0)),
        ("weight", Dtype::F32, 2f32.to_le_bytes().to_vec()),
    ];
    let views: Vec<_> =
        data.iter().map(|(name, d, b)| (*name, TensorView::new(*d, vec![1], b).unwrap())).collect();
    let header = r#"{"schema":1,"readout":"difference","sign":-1,"meta":{"layer":3}}"#;
    let metadata = HashMap::from([("ccs_probe".to_owned(), header.to_owned())]);
    let probe = Probe::parse(&safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
    assert_eq!(probe.normalizer.kind(), normalize::Normalization::ElementWise);
    // −(2·((7 − 3)/4 − (5 − 1)/2) + 0.5)
    let data = pairs([7.0, 3.0], [5.0, 1.0]);
    assert_eq!(probe.score_pairs(&data).unwrap(), [1.5, -0.5]);
    assert_eq!(Probe::parse(&probe.to_bytes().unwrap()).unwrap().score_pairs(&data).unwrap(), [1.5, -0.5]);
}

/// A probe's file with another header.
fn with_header(bytes: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let text = change(&metadata.metadata().as_ref().unwrap()["ccs_probe"]);
    let file = SafeTensors::deserialize(bytes).unwrap();
    safetensors::serialize(file.iter(), Some(HashMap::from([("ccs_probe".to_owned(), text)]))).unwrap()
}

/// Whatever bit is changed: an error, or the probe that was written.
#[test]
fn no_changed_bit_makes_another_probe() {
    let original = probe(ProbeInput::Pair, Sign::Plus);
    let bytes = original.to_bytes().unwrap();
    let mut read = 0;
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        if let Ok(back) = Probe::parse(&changed) {
            assert!(back.to_bytes().unwrap() == bytes, "byte {at}");
            read += 1;
        }
    }
    assert!(read < 16, "only what pads the header may change: {read}");
    let unchecked = with_header(&bytes, |text| format!("{}}}", checked(text).unwrap().0));
    assert!(Probe::parse(&unchecked).unwrap_err().contains("it has no `check`"));
    let other = with_header(&bytes, |text| text.replace("\"sign\":1", "\"sign\":-1"));
    assert!(Probe::parse(&other).unwrap_err().contains("it was changed after it was written"));
}

#[test]
fn foreign_and_damaged_files_are_refused() {
    let bytes = probe(ProbeInput::Pair, Sign::Plus).to_bytes().unwrap();
    for end in 0..bytes.len() {
        assert!(Probe::parse(&bytes[..end]).is_err(), "cut at {end}");
    }
    let foreign = safetensors::serialize::<&str, TensorView, _>([], None).unwrap();
    assert!(Probe::parse(&foreign).unwrap_err().contains("ccs_probe"));
    let pattern = b"\\\"sign\\\":1";
    let at = bytes.windows(pattern.len()).position(|w| w == pattern).unwrap() + pattern.len() - 1;
    let mut other = bytes;
    other[at] = b'7';
    assert!(Probe::parse(&other).unwrap_err().contains("a sign is 1 or -1, not 7"));
    let error = Probe::load("/nonexistent/probe.safetensors").unwrap_err().to_string();
    assert!(error.contains("/nonexistent/probe.safetensors"), "{error}");
}
