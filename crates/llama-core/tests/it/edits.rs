//! Edits: what each does, to which tokens, in which order; on disk and back; refused where they have no meaning.

use crate::with_hint;
use std::fs;

use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{
    Batch, Capture, Change, Edit, Edits, Error, Forward, HookPoint, Llama, Padding, Precision, Site, Tokens,
};
use serde_json::json;

use crate::support::{config, prompts, random, relative};

/// What an edit should make of the activation at the tokens it names.
type Expected<'a> = Box<dyn Fn(&Tensor) -> Tensor + 'a>;

const POINT: HookPoint = HookPoint::Block(1, Site::ResidPost);

fn at(site: Site) -> HookPoint {
    HookPoint::Block(1, site)
}

fn numbers(shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 0.7).sin().view(shape)
}

/// Some tokens of the prompts: none of one, two of another.
fn some() -> Tokens {
    Tokens::At(vec![vec![0, 4], vec![], vec![8], vec![0]])
}

/// An activation at all tokens before and after edits, and the final logits, in a batch padded on the left.
fn carried_out(llama: &Llama, edits: &Edits, point: HookPoint) -> (Tensor, Tensor, Tensor) {
    let batch = Batch::padded(&prompts(), Padding::Left).expect("batch");
    let mut hook = edits.hook(llama.config(), llama.device()).expect("edits fit");
    let (mut before, mut after) = (Capture::new(point, Tokens::All), Capture::new(point, Tokens::All));
    let run = Forward::new().hook(&mut before).hook(&mut hook).hook(&mut after).logits(Tokens::Last);
    let logits = llama.forward(&batch, run).expect("run").logits.expect("logits");
    let one = |capture: Capture| capture.finish().take(point).expect("captured");
    (one(before), one(after), logits)
}

/// Rows of "all tokens" that `tokens` names.
fn rows(tokens: &Tokens) -> Vec<i64> {
    let mut from = 0;
    let mut rows = Vec::new();
    for (prompt, own) in prompts().iter().enumerate() {
        let positions: Vec<usize> = match tokens {
            Tokens::All => (0..own.len()).collect(),
            Tokens::Last => vec![own.len() - 1],
            Tokens::First => vec![0],
            Tokens::At(wanted) => wanted[prompt].clone(),
            other => panic!("{other}"),
        };
        rows.extend(positions.into_iter().map(|p| from + p as i64));
        from += own.len() as i64;
    }
    rows
}

#[test]
fn each_change_does_what_it_says_at_the_tokens_it_names_and_nowhere_else() {
    let llama = random(Precision::F64);
    let [mean, direction] = [numbers(&[24]), numbers(&[24]) + 0.3].map(|t| t.to_kind(Kind::Double));
    let unit = &direction / direction.square().sum(Kind::Double).sqrt();
    for tokens in [Tokens::All, Tokens::Last, Tokens::First, some()] {
        let count = rows(&tokens).len() as i64;
        let values = numbers(&[count, 24]);
        let cases: Vec<(Change, Expected<'_>)> = vec![
            (Change::add(&direction, -2.5).expect("add"), Box::new(|x| x + &direction * -2.5)),
            (Change::Zero, Box::new(Tensor::zeros_like)),
            (Change::Scale(0.25), Box::new(|x| x * 0.25)),
            (
                Change::project_out(&direction).expect("project"),
                Box::new(|x| x - x.matmul(&unit).unsqueeze(1) * &unit),
            ),
            (Change::patch(&values).expect("patch"), Box::new(|_| values.to_kind(Kind::Double))),
            (Change::mean_ablate(&mean).expect("mean"), Box::new(|x| &mean + x.zeros_like())),
        ];
        for (change, expected) in cases {
            let name = change.name();
            let edits = Edits::from(Edit::new(POINT, tokens.clone(), change));
            let (before, after, _) = carried_out(&llama, &edits, POINT);
            let index = Tensor::from_slice(&rows(&tokens));
            let want = before.index_copy(0, &index, &expected(&before.index_select(0, &index)));
            // f64: a projection is a sum of 24 products of numbers below 10, 24 · 2⁻⁵³ of that, in whatever order.
            assert!(after.allclose(&want, 1e-13, 1e-13, false), "{name} at {tokens}");
            if tokens == Tokens::All && name == "project_out" {
                assert!(after.matmul(&unit).abs().max().double_value(&[]) < 1e-12, "nothing is left of it");
            }
        }
    }
}

#[test]
fn a_prompts_edited_numbers_do_not_depend_on_its_neighbors_or_the_padding() {
    let llama = random(Precision::F64);
    let edits: Edits = [
        Edit::new(POINT, Tokens::Last, Change::add(&numbers(&[24]), 3.0).expect("add")),
        Edit::new(at(Site::Pattern), Tokens::All, Change::knock_out([1])),
        Edit::new(at(Site::AttnScores), Tokens::All, Change::Scale(0.5)),
        Edit::new("blocks.2.attn.hook_z", Tokens::First, Change::Zero),
    ]
    .into_iter()
    .collect();
    let logits = |prompts: &[Vec<u32>], padding| {
        let batch = Batch::padded(prompts, padding).expect("batch");
        let mut hook = edits.hook(llama.config(), Device::Cpu).expect("fit");
        llama
            .forward(&batch, Forward::new().hook(&mut hook).logits(Tokens::All))
            .expect("run")
            .logits
            .expect("logits")
    };
    let alone: Vec<_> = prompts().iter().map(|p| logits(std::slice::from_ref(p), Padding::Right)).collect();
    for padding in [Padding::Right, Padding::Left] {
        let error = relative(&logits(&prompts(), padding), &Tensor::cat(&alone, 0));
        assert!(error < 1e-12, "{padding:?}: {error}");
    }
}

#[test]
fn heads_are_knocked_out() {
    let llama = random(Precision::F64);
    let silent = [Site::Z, Site::Result, Site::Pattern];
    let logits = silent.map(|site| {
        let edits = Edits::from(Edit::new(at(site), Tokens::All, Change::knock_out([0, 3])));
        let (before, after, logits) = carried_out(&llama, &edits, at(site));
        for head in 0..4 {
            let (before, after) = (before.select(1, head), after.select(1, head));
            let zero = after.abs().max().double_value(&[]) == 0.0;
            assert_eq!(zero, head == 0 || head == 3, "{site:?}, head {head}");
            assert!(zero || after.equal(&before), "{site:?}, head {head} is left alone");
        }
        logits
    });
    // The head writes nothing, wherever on its way it is silenced.
    assert!(relative(&logits[1], &logits[0]) < 1e-12 && relative(&logits[2], &logits[0]) < 1e-12);

    // Two key and value heads, each shared by two query heads: values of head 1 are those of query heads 2 and 3.
    let one = |point, heads: &[usize]| {
        let edits = Edits::from(Edit::new(point, Tokens::All, Change::knock_out(heads)));
        carried_out(&llama, &edits, point).2
    };
    assert!(relative(&one(at(Site::V), &[1]), &one(at(Site::Z), &[2, 3])) < 1e-12);
    // Without a query a head attends evenly, with or without its key.
    assert!(relative(&one(at(Site::RotQ), &[2, 3]), &one(at(Site::K), &[1])) < 1e-12);
}

#[test]
fn edits_of_scores_leave_masked_what_is_masked() {
    let llama = random(Precision::F64);
    let scores = |change| {
        let edits = Edits::from(Edit::new(at(Site::AttnScores), Tokens::All, change));
        carried_out(&llama, &edits, at(Site::AttnScores))
    };
    for change in [Change::Zero, Change::Scale(-1.0), Change::Scale(0.0)] {
        let (before, after, logits) = scores(change.clone());
        assert!(after.isinf().equal(&before.isinf()), "{change:?}");
        assert!((after.isnan().any().int64_value(&[]), logits.isfinite().all().int64_value(&[])) == (0, 1));
    }
    let (before, after, _) =
        scores(Change::patch(&Tensor::ones([18, 4, 9], (Kind::Float, Device::Cpu))).expect("patch"));
    assert!(after.isinf().equal(&before.isinf()), "a patch opens no future");
}

#[test]
fn directions_of_heads_are_projected_out_head_by_head() {
    let llama = random(Precision::F64);
    let mut direction = numbers(&[4, 6]);
    let _ = direction.select(0, 2).zero_();
    direction = direction.to_kind(Kind::Double);
    let point = at(Site::Z);
    let edits = Edits::from(Edit::new(point, Tokens::All, Change::project_out(&direction).expect("project")));
    let (before, after, _) = carried_out(&llama, &edits, point); // [S, H, K]
    let along = (&after * &direction).sum_dim_intlist([-1i64].as_slice(), false, None);
    assert!(along.abs().max().double_value(&[]) < 1e-12);
    assert!(after.select(1, 2).equal(&before.select(1, 2)), "no direction, no change");
    assert!(!after.select(1, 1).equal(&before.select(1, 1)));
}

#[test]
fn edits_of_one_point_follow_each_other() {
    let llama = random(Precision::F64);
    let [add, scale] = [Change::add(&numbers(&[24]), 1.0).expect("add"), Change::Scale(3.0)]
        .map(|change| Edit::new("blocks.1.hook_resid_post", Tokens::All, change));
    let (before, after, _) = carried_out(&llama, &[add.clone(), scale.clone()].into_iter().collect(), POINT);
    assert!(relative(&after, &((&before + numbers(&[24])) * 3.0)) < 1e-14);
    let (before, after, _) = carried_out(&llama, &[scale, add].into_iter().collect(), POINT);
    assert!(relative(&after, &(&before * 3.0 + numbers(&[24]))) < 1e-14);
}

#[test]
fn a_captured_activation_patched_back_as_an_edit_changes_no_bit_at_any_point() {
    for precision in [Precision::F32, Precision::Bf16, Precision::Mixed] {
        let llama = random(precision);
        let batch = Batch::padded(&prompts(), Padding::Left).expect("batch");
        let plain =
            llama.forward(&batch, Forward::new().logits(Tokens::Last)).expect("run").logits.expect("logits");
        for point in HookPoint::all(3).filter(|p| *p != HookPoint::Logits) {
            let mut capture = Capture::new(point, Tokens::All);
            llama.forward(&batch, Forward::new().hook(&mut capture)).expect("run");
            let kept = capture.finish().take(point).expect("captured");
            let edits = Edits::from(Edit::new(point, Tokens::All, Change::patch(&kept).expect("patch")));
            let mut hook = edits.hook(llama.config(), Device::Cpu).expect("fits");
            let run = Forward::new().hook(&mut hook).logits(Tokens::Last);
            let patched = llama.forward(&batch, run).expect("run").logits.expect("logits");
            assert!(patched.equal(&plain), "{point}, {precision}");
        }
    }
}

#[test]
fn edits_that_mean_nothing_are_refused_with_the_point() {
    let vector = |n: i64| numbers(&[n]);
    let nan = Tensor::from_slice(&[f32::NAN; 24]);
    let heads = |h: &[usize]| Change::knock_out(h);
    let (add, patch) =
        (|t: &Tensor| Change::add(t, 1.0).expect("add"), |t: &Tensor| Change::patch(t).expect("patch"));
    let all = Tokens::All;
    for (point, tokens, change, says) in [
        ("blocks.1.hook_resid_post", all.clone(), add(&vector(25)), "the point takes [dim 24]"),
        ("blocks.1.attn.hook_z", all.clone(), add(&vector(24)), "the point takes [head 4, head_dim 6]"),
        ("blocks.1.attn.hook_v", all.clone(), add(&numbers(&[4, 6])), "[kv_head 2, head_dim 6]"),
        ("blocks.*.hook_*", all.clone(), patch(&vector(24)), "[tokens, dim 24]"),
        (
            "blocks.1.*",
            all.clone(),
            Change::mean_ablate(&vector(24)).expect("mean"),
            "blocks.1.ln1.hook_scale",
        ),
        ("blocks.1.hook_mlp_out", all.clone(), add(&nan), "not finite"),
        ("blocks.1.hook_mlp_out", all.clone(), Change::Scale(f64::NAN), "not finite"),
        (
            "blocks.1.hook_mlp_out",
            all.clone(),
            Change::project_out(&(vector(24) * 0.0)).expect("zero"),
            "is zero",
        ),
        ("blocks.1.hook_mlp_out", Tokens::Mean, Change::Zero, "no place to edit"),
        ("unembed.hook_out", all.clone(), Change::Zero, "logits are not edited"),
        ("blocks.1.attn.hook_pattern", Tokens::Last, Change::Zero, "attends or the one attended to"),
        ("blocks.1.attn.hook_attn_scores", all.clone(), add(&vector(9)), "as long as the prompt"),
        ("blocks.1.attn.hook_attn_scores", all.clone(), heads(&[0]), "make a head write nothing"),
        ("blocks.1.hook_attn_out", all.clone(), heads(&[0]), "has no heads"),
        ("blocks.1.attn.hook_z", all.clone(), heads(&[4]), "no head 4: the model has 4 heads"),
        (
            "blocks.1.attn.hook_k",
            all.clone(),
            heads(&[1, 2]),
            "no head 2: the model has 2 key and value heads",
        ),
        ("blocks.1.attn.hook_z", all.clone(), heads(&[]), "names no heads"),
    ] {
        let fine = Edit::new("hook_embed", Tokens::All, Change::Zero);
        let edits: Edits = [fine, Edit::new(point, tokens, change)].into_iter().collect();
        let error = edits.hook(&config(), Device::Cpu).expect_err(says);
        let text = with_hint(&error);
        assert!(matches!(error, Error::Edit { edit: 1, .. }), "{text}");
        assert!(text.contains(says), "{says}: {text}");
        assert!(text.contains(point) || point.contains('*'), "{text}");
    }
    let refused = |edit: Edit| Edits::from(edit).hook(&config(), Device::Cpu).expect_err("refused");
    let mut none = Edit::new("", Tokens::All, Change::Zero);
    none.points.clear();
    assert!(matches!(refused(none), Error::NoPoints { .. }));
    let error = refused(Edit::new("model.layers.1.mlp", Tokens::All, Change::Zero)).to_string();
    assert!(error.contains("blocks.1.hook_mlp_out"), "{error}");
    assert!(matches!(
        refused(Edit::new("blocks.3.hook_mlp_out", Tokens::All, Change::Zero)),
        Error::NoSuchBlock { n_layers: 3, .. }
    ));
    assert!(matches!(
        Change::patch(&Tensor::from_slice(&[1i64])),
        Err(Error::EditKind { kind: Kind::Int64 })
    ));
}

#[test]
fn a_patch_for_another_batch_is_refused_when_the_batch_is_seen() {
    let llama = random(Precision::F32);
    let edits =
        Edits::from(Edit::new(POINT, Tokens::Last, Change::patch(&numbers(&[3, 24])).expect("patch")));
    let mut hook = edits.hook(&config(), Device::Cpu).expect("its axes fit");
    let batch = Batch::new(&prompts()).expect("batch");
    let error =
        with_hint(&llama.forward(&batch, Forward::new().hook(&mut hook)).expect_err("3 values, 4 prompts"));
    assert!(
        error.contains("[3, 24]") && error.contains("[4, 24]") && error.contains("blocks.1.hook_resid_post"),
        "{error}"
    );
}

fn every_change() -> Edits {
    let bf16 = numbers(&[18, 24]).to_kind(Kind::BFloat16);
    let mut several = Edit::new("blocks.{0,2}.hook_mlp_out", some(), Change::Zero);
    several.points.push("hook_embed".to_owned());
    [
        Edit::new(POINT, Tokens::Last, Change::add(&numbers(&[24]), -4.5).expect("add")),
        several,
        Edit::new(POINT, Tokens::First, Change::Scale(0.1)),
        Edit::new(at(Site::Z), Tokens::All, Change::project_out(&numbers(&[4, 6])).expect("project")),
        Edit::new(POINT, Tokens::All, Change::patch(&bf16).expect("patch")),
        Edit::new(
            POINT,
            Tokens::All,
            Change::mean_ablate(&numbers(&[24]).to_kind(Kind::Double)).expect("mean"),
        ),
        Edit::new("blocks.*.attn.hook_z", Tokens::All, Change::knock_out([0, 2])),
    ]
    .into_iter()
    .collect()
}

#[test]
fn edits_are_the_same_after_a_file() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("edits.json");
    let edits = every_change();
    edits.save(&path).expect("save");
    let back = Edits::load(&path).expect("load");
    assert_eq!(back, edits);
    let llama = random(Precision::F32);
    assert!(carried_out(&llama, &back, POINT).2.equal(&carried_out(&llama, &edits, POINT).2));
    // Canonical: the same from memory and from a file, and after that file has moved.
    let canonical = edits.to_json().expect("json");
    assert_eq!(back.to_json().expect("json"), canonical);
    assert!(!canonical.to_string().contains("safetensors"), "{canonical}");
    assert_eq!(
        canonical[6],
        json!({"points": ["blocks.*.attn.hook_z"], "tokens": "all", "change": {"knock_out": {"heads": [0, 2]}}})
    );
    let hash = blake3::hash(
        &numbers(&[24])
            .iter::<f64>()
            .expect("f64")
            .flat_map(|x| (x as f32).to_le_bytes())
            .collect::<Vec<_>>(),
    );
    assert_eq!(
        canonical[0]["change"]["add"]["direction"],
        json!({"dtype": "F32", "shape": [24], "blake3": hash.to_hex().as_str()})
    );
    // References alone are data too, but cannot be carried out.
    let mut bare: Edits = serde_json::from_value(canonical).expect("data");
    assert_eq!(bare, edits);
    assert!(bare.hook(&config(), Device::Cpu).expect_err("not read").to_string().contains("not read"));
    assert!(bare.to_json().is_err() && bare.save(folder.path().join("x.json")).is_err());
    assert!(bare.resolve(folder.path()).is_err());
}

#[test]
fn files_written_by_hand_are_read_and_wrong_ones_refused_by_what_is_wrong() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("edits.json");
    every_change().save(&path).expect("save"); // for its safetensors
    let written = fs::read_to_string(&path).expect("read");
    let read = |text: &str| {
        fs::write(&path, text).expect("write");
        Edits::load(&path)
    };
    let reference = json!({"file": "edits.edits.safetensors", "tensor": "edit_0"});
    let with = |change: serde_json::Value| {
        json!({"schema": 1, "edits": [{"points": ["blocks.1.hook_resid_post"], "change": change}]})
            .to_string()
    };
    let by_hand = read(&with(json!({"add": {"scale": 2, "direction": reference}}))).expect("by hand");
    let expected = Edit::new(POINT, Tokens::All, Change::add(&numbers(&[24]), 2.0).expect("add"));
    assert_eq!(by_hand, Edits::from(expected), "without tokens it is all of them, without a hash any");
    for (text, says) in [
        (with(json!("zeroo")), "unknown variant `zeroo`"),
        (with(json!({"add": {"scale": 2, "direction": reference, "x": 1}})), "unknown field `x`"),
        (
            with(json!({"project_out": {"file": "edits.edits.safetensors", "tensor": "none"}})),
            "there are: edit_0",
        ),
        (with(json!({"project_out": {"file": "gone.safetensors", "tensor": "none"}})), "gone.safetensors"),
        (with(json!({"project_out": {"file": "edits.json", "tensor": "x"}})), "not a safetensors file"),
        (with(json!({"project_out": {"tensor": "x"}})), "without `file`"),
        (with(json!("zero")).replace("\"schema\":1", "\"schema\":2"), "its schema is 2"),
        (written.replace("\"F64\"", "\"F32\""), "another dtype"),
        ("{".to_owned(), "EOF"),
    ] {
        let error = with_hint(&read(&text).expect_err(says));
        assert!(error.contains(says), "{says}: {error}");
    }
    // One byte of the tensors is another.
    let tensors = folder.path().join("edits.edits.safetensors");
    let mut bytes = fs::read(&tensors).expect("read");
    *bytes.last_mut().expect("bytes") ^= 1;
    fs::write(&tensors, bytes).expect("write");
    let error = with_hint(&read(&written).expect_err("damaged"));
    assert!(error.contains("another blake3") && error.contains("edits.edits.safetensors"), "{error}");
}
