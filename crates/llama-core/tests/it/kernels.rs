//! Every choice of kernels computes the same model.

use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{
    Attention, Batch, BlockWeight, Capture, Checkpoint, Config, Error, Forward, HookSet, Kernels, Llama,
    Precision, Products, Sampling, Tokens, Weight,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn config() -> Config {
    Config {
        dim: 48,
        n_layers: 3,
        n_heads: 6,
        n_kv_heads: 2,
        head_dim: 8,
        hidden_dim: 80,
        vocab_size: 50,
        ..Config::default()
    }
}

fn all() -> Vec<Kernels> {
    let texts = ["products=packed", "attention=products", "products=packed,attention=products"];
    texts.map(|text| text.parse().expect("kernels")).to_vec()
}

fn prompt(seed: u64, length: usize) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| rng.random_range(0..50)).collect()
}

/// Trees with long trunks, lines of several lengths, both longer than the queries of one call.
fn batches() -> Vec<Batch> {
    let pair = |seed, length| {
        let trunk = prompt(seed, length);
        [[trunk.clone(), vec![1, 2, 3]].concat(), [trunk, vec![4, 5]].concat()]
    };
    let (a, b) = (pair(1, 150), pair(2, 70));
    vec![
        Batch::shared(&[&a[..], &b[..]]).expect("trees"),
        Batch::new(&[prompt(3, 130), prompt(4, 64), prompt(5, 1)]).expect("lines"),
        Batch::padded(&[prompt(6, 90), prompt(7, 33)], llama_core::Padding::Left).expect("padded in front"),
    ]
}

/// All layers' states, and logits, of all tokens.
fn states(llama: &Llama, batch: &Batch, reads: Option<Tokens>) -> Vec<Tensor> {
    let tokens = reads.clone().unwrap_or(Tokens::All);
    let mut capture = Capture::new(HookSet::residual_stream(3), tokens.clone());
    let mut forward = Forward::new().hook(&mut capture).logits(tokens.clone());
    if let Some(reads) = reads {
        forward = forward.reads(reads);
    }
    let logits = llama.forward(batch, forward).expect("run").logits.expect("logits");
    let states = capture.finish().into_iter().map(|(_, states)| states);
    states.chain([logits]).map(|x| x.to_kind(Kind::Double)).collect()
}

fn largest_difference(a: &[Tensor], b: &[Tensor]) -> f64 {
    a.iter().zip(b).map(|(a, b)| ((a - b).abs().max() / b.abs().max()).double_value(&[])).fold(0.0, f64::max)
}

#[test]
fn kernels_differ_by_rounding_alone() {
    for kernels in all() {
        assert!(kernels.compute(Precision::F32, Device::Cpu), "f32 is everywhere");
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx512bw") && std::env::var_os("ONEDNN_MAX_CPU_ISA").is_none() {
            assert!(kernels.compute(Precision::Mixed, Device::Cpu), "bf16 is where AVX-512 is");
        }
    }
    for (precision, floor) in [(Precision::F32, 1e-6), (Precision::Mixed, 8e-3), (Precision::Bf16, 8e-3)] {
        for batch in batches() {
            for reads in [None, Some(Tokens::Last)] {
                let model = || Llama::random(&config(), 7, precision, Device::Cpu).expect("model");
                let exact = Llama::random(&config(), 7, Precision::F64, Device::Cpu).expect("model");
                let exact = states(&exact, &batch, reads.clone());
                // What rounding does to the kernels that are everywhere, which other tests hold against references.
                let plain = largest_difference(&states(&model(), &batch, reads.clone()), &exact);
                for kernels in all().into_iter().filter(|kernels| kernels.compute(precision, Device::Cpu)) {
                    let other =
                        states(&model().with_kernels(kernels).expect("kernels"), &batch, reads.clone());
                    let found = largest_difference(&other, &exact);
                    assert!(
                        found <= 4.0 * plain + floor,
                        "{precision} {kernels} {reads:?}: {found:e}, plain {plain:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn attention_by_products_is_exact_in_f64() {
    for batch in batches() {
        let model = || Llama::random(&config(), 9, Precision::F64, Device::Cpu).expect("model");
        let kernels: Kernels = "attention=products".parse().expect("kernels");
        let (plain, other) = (
            states(&model(), &batch, None),
            states(&model().with_kernels(kernels).expect("kernels"), &batch, None),
        );
        assert!(largest_difference(&other, &plain) < 1e-12);
    }
}

#[test]
fn packed_weights_come_back_and_are_packed_from_disk_as_well() {
    let folder = tempfile::tempdir().expect("folder");
    llama_core::save_random_meta(&config(), 3, folder.path(), Kind::Float, 2).expect("written");
    let checkpoint = Checkpoint::open(folder.path()).expect("checkpoint");
    let kernels: Kernels = "products=packed,attention=products".parse().expect("kernels");
    let plain = Llama::load(&checkpoint, Precision::F32, Device::Cpu).expect("loaded");
    let packed = Llama::load(&checkpoint, Precision::F32, Device::Cpu).expect("loaded").with_kernels(kernels);
    let packed = packed.expect("packed");
    let streamed =
        Llama::streamed(&checkpoint, Precision::F32, Device::Cpu).expect("opened").with_kernels(kernels);
    let streamed = streamed.expect("packed");
    assert_eq!((packed.kernels(), streamed.kernels()), (kernels, kernels));
    for part in
        [BlockWeight::Q, BlockWeight::K, BlockWeight::V, BlockWeight::O, BlockWeight::Gate, BlockWeight::Down]
    {
        let weight = Weight::Block(1, part);
        assert!(packed.weight(weight).expect("copy").equal(&plain.weight(weight).expect("view")), "{part:?}");
    }
    for batch in batches() {
        let (resident, streamed) = (states(&packed, &batch, None), states(&streamed, &batch, None));
        assert!(resident.iter().zip(&streamed).all(|(a, b)| a.equal(b)), "the same bits");
    }
    // And back.
    let again = packed.with_kernels(Kernels::default()).expect("plain again");
    let batch = &batches()[0];
    assert!(states(&again, batch, None).iter().zip(&states(&plain, batch, None)).all(|(a, b)| a.equal(b)));
    assert!(again.trainable().is_ok());
}

#[test]
fn gradients_go_through_packed_models() {
    let batch = Batch::new(&[prompt(1, 20)]).expect("batch");
    let gradient = |llama: &Llama| {
        let point = llama_core::HookPoint::resid_post(0);
        let mut capture = Capture::new(point, Tokens::All);
        let logits =
            llama.forward(&batch, Forward::new().hook(&mut capture).logits(Tokens::Last).gradients());
        let logit = logits.expect("run").logits.expect("logits").get(0).get(7);
        let state = capture.finish().take(point).expect("captured");
        Tensor::f_run_backward(&[logit], &[&state], false, false).expect("gradient").remove(0)
    };
    let model = || Llama::random(&config(), 5, Precision::F32, Device::Cpu).expect("model");
    let plain = gradient(&model());
    for kernels in all() {
        let found = gradient(&model().with_kernels(kernels).expect("kernels"));
        assert!(found.allclose(&plain, 1e-4, 1e-6, false), "{kernels}");
    }
}

#[test]
fn generation_takes_the_same_tokens() {
    let prompts = [prompt(1, 80), prompt(2, 5)];
    let greedy = Sampling { temperature: 0.0, top_p: 1.0, max_new_tokens: 6, stop: Vec::new(), seed: 0 };
    let model = || Llama::random(&config(), 5, Precision::F32, Device::Cpu).expect("model");
    let plain = model().generate(&prompts, &greedy).expect("generated");
    for kernels in all() {
        let llama = model().with_kernels(kernels).expect("kernels");
        assert_eq!(llama.generate(&prompts, &greedy).expect("generated"), plain, "{kernels}");
    }
}

#[test]
fn what_kernels_cannot_do_is_refused() {
    let packed: Kernels = "products=packed".parse().expect("kernels");
    assert_eq!((packed.products, packed.attention), (Products::Packed, Attention::Fused));
    let wide = Llama::random(&config(), 0, Precision::F64, Device::Cpu).expect("model");
    let error = wide.with_kernels(packed).expect_err("no such product");
    assert!(matches!(error, Error::Kernels { .. }) && error.hint().is_some(), "{error}");
    let llama = Llama::random(&config(), 0, Precision::F32, Device::Cpu).expect("model").with_kernels(packed);
    let error = llama.expect("packed").trainable().expect_err("packed weights have no gradients");
    assert!(matches!(error, Error::Packed { .. }), "{error}");
}
