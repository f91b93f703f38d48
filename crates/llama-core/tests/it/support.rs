//! Small models and comparisons.

use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{Config, Llama, Precision};

/// Grouped-query attention, a head width of its own, sizes that differ from each other.
pub(crate) fn config() -> Config {
    Config {
        dim: 24,
        n_layers: 3,
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 6,
        hidden_dim: 40,
        vocab_size: 50,
        norm_eps: 1e-5,
        ..Config::default()
    }
}

pub(crate) fn random(precision: Precision) -> Llama {
    Llama::random(&config(), 7, precision, Device::Cpu).expect("a random model")
}

/// Prompts of different lengths, ids below 50.
pub(crate) fn prompts() -> Vec<Vec<u32>> {
    vec![vec![1, 5, 9, 13, 17, 21], vec![1, 6], vec![1, 7, 7, 30, 49, 2, 0, 8, 44], vec![3]]
}

/// Largest absolute difference over the reference's largest absolute value.
pub(crate) fn relative(found: &Tensor, reference: &Tensor) -> f64 {
    assert_eq!(found.size(), reference.size());
    let (found, reference) = (found.to_kind(Kind::Double), reference.to_kind(Kind::Double));
    (&found - &reference).abs().max().double_value(&[]) / reference.abs().max().double_value(&[])
}

/// Largest relative L2 error of a row (the last axis).
pub(crate) fn relative_l2(found: &Tensor, reference: &Tensor) -> f64 {
    let (found, reference) = (found.to_kind(Kind::Double), reference.to_kind(Kind::Double));
    let norm = |x: &Tensor| x.square().sum_dim_intlist([-1i64].as_slice(), false, Kind::Double).sqrt();
    (norm(&(&found - &reference)) / norm(&reference)).max().double_value(&[])
}
