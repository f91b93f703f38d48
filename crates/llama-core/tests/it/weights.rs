//! What a model gives besides runs: its weights, its unembedding, a cache of everything.

use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{
    Batch, BlockWeight, Capture, Checkpoint, Config, Error, Forward, HookPoint, HookSet, Llama, Precision,
    Site, Tokens, Weight,
};

use crate::layouts::{config, weights, write_hugging_face};
use crate::support::{prompts, random, relative};

/// The names in Hugging Face's files, whose matrices are `[out, in]` and whose rotary pairs are (i, i + K/2).
fn name(weight: Weight) -> String {
    let Weight::Block(i, part) = weight else {
        return match weight {
            Weight::Embed => "model.embed_tokens.weight",
            Weight::FinalNorm => "model.norm.weight",
            _ => "lm_head.weight",
        }
        .to_owned();
    };
    let part = match part {
        BlockWeight::Ln1 => "input_layernorm",
        BlockWeight::Q => "self_attn.q_proj",
        BlockWeight::K => "self_attn.k_proj",
        BlockWeight::V => "self_attn.v_proj",
        BlockWeight::O => "self_attn.o_proj",
        BlockWeight::Ln2 => "post_attention_layernorm",
        BlockWeight::Gate => "mlp.gate_proj",
        BlockWeight::Up => "mlp.up_proj",
        BlockWeight::Down => "mlp.down_proj",
        other => panic!("no weight of a LLaMA: {other:?}"),
    };
    format!("model.layers.{i}.{part}.weight")
}

pub(crate) fn every_weight(n_layers: usize) -> Vec<Weight> {
    use BlockWeight::{Down, Gate, K, Ln1, Ln2, O, Q, Up, V};
    let blocks =
        (0..n_layers).flat_map(|i| [Ln1, Q, K, V, O, Ln2, Gate, Up, Down].map(|w| Weight::Block(i, w)));
    [Weight::Embed, Weight::FinalNorm, Weight::Unembed].into_iter().chain(blocks).collect()
}

#[test]
fn weights_drawn_on_the_device_have_the_distributions_of_random_ones() {
    let config = Config { dim: 64, n_heads: 4, n_kv_heads: 4, head_dim: 16, hidden_dim: 160, ..config() };
    let draw = || Llama::random_on(&config, Precision::F32, Device::Cpu).expect("a model");
    let (drawn, other) = (draw(), draw());
    let random = Llama::random(&config, 1, Precision::F32, Device::Cpu).expect("a model");
    for weight in every_weight(config.n_layers) {
        let of = |llama: &Llama| llama.weight(weight).expect("a weight");
        let found = of(&drawn);
        if weight.shape(&config).len() == 1 {
            assert!(found.equal(&of(&random)), "{weight:?}: gains are one");
            continue;
        }
        assert!(!found.equal(&of(&other)), "{weight:?}");
        let (n, spread) = (found.numel() as f64, of(&random).std(false).double_value(&[]));
        // Means and standard deviations of n normal numbers, within five of their own standard errors.
        assert!(found.mean(Kind::Double).double_value(&[]).abs() < 5.0 * spread / n.sqrt(), "{weight:?}");
        let ratio = found.std(false).double_value(&[]) / spread;
        assert!((ratio - 1.0).abs() < 5.0 / n.sqrt(), "{weight:?}: {ratio}");
    }
}

#[test]
fn weights_are_those_of_the_file_in_memory_and_on_disk() {
    let config = config();
    let (folder, written) = (tempfile::tempdir().expect("folder"), weights(&config, 4));
    write_hugging_face(folder.path(), &config, &written, 1);
    let checkpoint = Checkpoint::open(folder.path()).expect("open");
    for precision in [Precision::F32, Precision::Mixed] {
        let resident = Llama::load(&checkpoint, precision, Device::Cpu).expect("load");
        let streamed = Llama::streamed(&checkpoint, precision, Device::Cpu).expect("streamed");
        for weight in every_weight(config.n_layers) {
            let (_, shape, values) = written.iter().find(|(n, ..)| *n == name(weight)).expect("written");
            let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
            assert_eq!(weight.shape(&config), shape);
            let found = resident.weight(weight).expect("a weight");
            let expected = Tensor::from_slice(values).view(shape.as_slice()).to_kind(found.kind());
            assert!(found.equal(&expected), "{weight:?} in {precision}");
            let found = streamed.weight(weight).expect("read from disk");
            assert!(found.kind() == expected.kind() && found.equal(&expected), "{weight:?}, streamed");
        }
        let outside = resident.weight(Weight::Block(2, BlockWeight::Q)).expect_err("blocks 0 and 1");
        assert!(matches!(outside, Error::NoSuchBlock { n_layers: 2, .. }), "{outside}");
    }
    let tied = Config { tied_embeddings: true, ..config };
    let llama = Llama::random(&tied, 0, Precision::F32, Device::Cpu).expect("model");
    let [embed, unembed] = [Weight::Embed, Weight::Unembed].map(|w| llama.weight(w).expect("a weight"));
    assert!(embed.equal(&unembed));
}

#[test]
fn a_residual_stream_is_unembedded_as_the_formula_says() {
    for precision in [Precision::F64, Precision::F32, Precision::Mixed] {
        let llama = random(precision);
        let batch = Batch::new(&prompts()).expect("batch");
        let (logits, cache) = llama.run_with_cache(&batch, HookSet::residual_stream(3)).expect("run");
        for (point, residual) in &cache {
            let x = residual.to_kind(Kind::Double); // [S, D]
            let mean_square = x.square().mean_dim([1i64].as_slice(), true, Kind::Double);
            let normalized = &x / (mean_square + llama.config().norm_eps).sqrt();
            let double = |weight| llama.weight(weight).expect("a weight").to_kind(Kind::Double);
            let expected = (normalized * double(Weight::FinalNorm)).matmul(&double(Weight::Unembed).tr());
            // f64 and f32: sums of 24 terms. bf16 rounds a state before the product and the logit after it.
            let tolerance = match precision {
                Precision::F64 => 1e-14,
                Precision::F32 => 24.0 * f64::from(f32::EPSILON),
                _ => 2.0 / 256.0,
            };
            let found = llama.unembed(residual).expect("unembedded");
            assert!(relative(&found, &expected) < tolerance, "{point} in {precision}");
            if point == HookPoint::of_layer(3) {
                assert!(found.equal(&logits), "the last layer's are the run's, bit for bit");
            }
        }
    }
    let llama = random(Precision::F32);
    let wrong =
        |shape: &[i64]| llama.unembed(&Tensor::zeros(shape, (Kind::Float, Device::Cpu))).expect_err("shape");
    let width = wrong(&[3, 25]);
    assert!(matches!(width, Error::Width { what: "residual", expected: 24, found: 25 }), "{width}");
    assert!(wrong(&[24]).to_string().contains("`residual` has shape [24], and 2 axes are needed"));
    let headless = Config { headless: true, ..crate::support::config() };
    let headless = Llama::random(&headless, 0, Precision::F32, Device::Cpu).expect("model");
    let states = Tensor::zeros([1, 24], (Kind::Float, Device::Cpu));
    assert!(matches!(headless.unembed(&states), Err(Error::Headless)));
    let batch = Batch::new(&prompts()).expect("batch");
    assert!(matches!(headless.run_with_cache(&batch, HookPoint::Embed), Err(Error::Headless)));
}

#[test]
fn a_cache_holds_every_token_at_every_point_asked_for() {
    let llama = random(Precision::F64);
    let batch = Batch::new(&prompts()).expect("batch");
    let points = HookSet::parse(["blocks.*.attn.hook_z", "blocks.*.hook_attn_out"], 3).expect("points");
    let (logits, cache) = llama.run_with_cache(&batch, points.clone()).expect("run");
    assert_eq!(cache.iter().map(|(point, _)| point).collect::<HookSet>(), points);
    let mut capture = Capture::new(points, Tokens::All);
    let run = Forward::new().hook(&mut capture).logits(Tokens::All);
    assert!(llama.forward(&batch, run).expect("run").logits.expect("logits").equal(&logits));
    for (point, taken) in capture.finish() {
        assert!(cache.get(point).expect("there").equal(&taken), "{point}");
    }
    // With the weights it is attention's output once more.
    for i in 0..3u16 {
        let at = |site| cache.get(HookPoint::Block(i, site)).expect("there");
        let w_o = llama.weight(Weight::Block(usize::from(i), BlockWeight::O)).expect("a weight"); // [D, H·K]
        let written = at(Site::Z).flatten(1, 2).matmul(&w_o.tr()); // [S, D]
        assert!(relative(&written, at(Site::AttnOut)) < 1e-14, "block {i}");
    }
    let missing = llama.run_with_cache(&batch, HookPoint::resid_post(3)).expect_err("blocks 0 to 2");
    assert!(matches!(missing, Error::NoSuchBlock { n_layers: 3, .. }), "{missing}");
}

#[test]
fn a_pass_with_hooks_that_are_send_runs_on_another_thread() {
    let llama = random(Precision::F32);
    let (expected, _) =
        llama.run_with_cache(&Batch::new(&prompts()).expect("batch"), HookSet::new()).expect("run");
    let mut capture = Capture::new(HookPoint::of_layer(3), Tokens::All);
    let forward = Forward::sendable().hook(&mut capture).logits(Tokens::All);
    let found = std::thread::scope(|scope| {
        let run = move || {
            let batch = Batch::new(&prompts()).expect("batch");
            let logits = llama.forward(&batch, forward).expect("run").logits.expect("logits");
            (logits, llama)
        };
        scope.spawn(run).join().expect("no panic")
    });
    let (logits, llama) = found;
    assert!(logits.equal(&expected));
    let states = capture.finish().take(HookPoint::of_layer(3)).expect("captured");
    assert!(llama.unembed(&states).expect("unembedded").equal(&logits));
}
