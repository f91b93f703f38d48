//! A probe's direction, written by `ccs export` and read back by the model's side.

use std::fs;
use std::path::Path;

use llama_ccs::activations::{SideOf, Store};
use llama_ccs::ccs_report::Method;
use llama_ccs::ccs_trainer::{ExportFormat, Fit, Fitted, LayerSelection, Settings, StoreSource, export};
use llama_ccs::ccs_trainer::{NewRunDir, Overwrite};
use llama_ccs::llama_core::tch::{Device, Kind};
use llama_ccs::llama_core::{Change, Edits, Tokens};

use crate::support::{F32, extract, prompts};

fn states(store: &Path, hook: &str, side: SideOf) -> Vec<f32> {
    let store = Store::open(store).expect("store");
    store.column(hook).expect("column").read(side).expect("states")
}

/// The edit is a probe's step at its layer and token; `extract` adds it there, and to nothing before it.
#[test]
fn an_exported_direction_is_an_edit_that_extract_adds_at_the_probes_layer() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    let prompts = prompts(folder.path(), 60);
    // In f32, whatever suits this CPU. Edits switch sharing off; without it these are the same batches, so the same kernels.
    let alike = ["--dtype", "f32", "--no-sharing"];
    extract(&prompts, &at("store")).args(alike).assert().success();
    let settings = Settings {
        methods: Some(vec![Method::LR]),
        layers: "2".parse::<LayerSelection>().expect("layers"),
        seeds: 0,
        shuffles: 0,
        folds: 2,
        ..Settings::default()
    };
    let source = StoreSource::open(at("store")).expect("store");
    let place = NewRunDir::reserve(at("run"), Overwrite::No).expect("place");
    Fit::new(&source).settings(settings).run_to(place).expect("fit");
    let fitted = Fitted::open(at("run"), Method::LR, None).expect("probe");
    let written = export(&fitted, ExportFormat::Edits, at("truth.json")).expect("export");
    assert_eq!(written, [at("truth.edits.safetensors"), at("truth.json")]);
    export(&fitted, ExportFormat::Json, at("probe.json")).expect("export");
    let exported: serde_json::Value =
        serde_json::from_slice(&fs::read(at("probe.json")).expect("json")).expect("json");
    let step: Vec<f64> = serde_json::from_value(exported["direction"].clone()).expect("numbers");

    let edits = Edits::load(at("truth.json")).expect("edits");
    let edit = edits.iter().next().expect("an edit");
    assert_eq!(
        (edits.len(), edit.points.as_slice(), &edit.tokens),
        (1, &[fitted.hook.clone()][..], &Tokens::Last)
    );
    let Change::Add { direction, scale } = &edit.change else { panic!("{:?}", edit.change) };
    let read = direction.tensor(Device::Cpu).expect("read").expect("read").to_kind(Kind::Double);
    let read = Vec::<f64>::try_from(read).expect("numbers");
    assert!((*scale - 1.0).abs() < f64::EPSILON);
    assert!(read.iter().zip(&step).all(|(a, b)| (a - b).abs() <= f64::from(f32::EPSILON) * b.abs()));
    assert!(read.len() == 128 && read.iter().any(|x| *x != 0.0));

    extract(&prompts, &at("moved")).args(alike).arg("--edits").arg(at("truth.json")).assert().success();
    for side in [SideOf::Plus, SideOf::Minus] {
        let hook = "blocks.0.hook_resid_post";
        assert_eq!(
            states(&at("store"), hook, side),
            states(&at("moved"), hook, side),
            "before it nothing moves"
        );
        let (was, is) = (states(&at("store"), &fitted.hook, side), states(&at("moved"), &fitted.hook, side));
        let largest = was.iter().chain(&is).fold(0f32, |most, x| most.max(x.abs()));
        for (at, (was, is)) in was.iter().zip(&is).enumerate() {
            let expected = step[at % 128] as f32;
            assert!((is - was - expected).abs() <= F32 * largest, "{at}: {was} {is} {expected}");
        }
    }
}
