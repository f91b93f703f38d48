//! How the directions of linear probes lie to each other that were fitted on different data sets.
//!
//! Probes are compared as functions of the states themselves: a weight in normalized states is in units of its own data
//! set's spread, and a cosine of two such weights would compare different coordinates.

use ccs::Contrast;
use ccs::probe::Probe;
use ccs_report::DirectionCosines;
use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use crate::Result;

/// The gradient of a linear probe's logit with respect to a statement's state, the mean of both sides' and of all its
/// templates'. \[D\], f64. None for a probe with hidden layers, and for a weight of 0.
pub(crate) fn gradient(probe: &Probe) -> Result<Option<Tensor>> {
    let templates = probe.normalizer().templates();
    let names: Vec<Option<&str>> = match templates {
        [] => vec![None],
        names => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        let Some(found) = probe.affine(name)? else { return Ok(None) };
        all.push(found.plus.f_sub(&found.minus)?.f_mul_scalar(0.5)?);
    }
    let mean = Tensor::f_stack(&all, 0)?.f_mean_dim(0, false, Kind::Double)?;
    Ok((mean.f_norm()?.f_double_value(&[])? > 0.0).then_some(mean))
}

/// Cosines between named directions \[D\] of f64, with the covariance of `train`'s states about the mean of each of its
/// templates and sides. None where fewer than two remain that are not constant on these states.
pub(crate) fn cosines(
    layer: usize,
    mut named: Vec<(String, Tensor)>,
    train: &Contrast,
) -> Result<Option<DirectionCosines>> {
    if named.len() < 2 {
        return Ok(None);
    }
    let stack =
        |named: &[(String, Tensor)]| Tensor::f_stack(&named.iter().map(|n| &n.1).collect::<Vec<_>>(), 0);
    let variances = numbers(&scatter(&stack(&named)?, train)?)?;
    let varies: Vec<bool> =
        variances.iter().enumerate().map(|(at, row)| row.get(at).is_some_and(|v| *v > 0.0)).collect();
    let mut kept = varies.iter();
    named.retain(|_| *kept.next().unwrap_or(&false));
    if named.len() < 2 {
        return Ok(None);
    }
    let directions = stack(&named)?; // [K, D]
    Ok(Some(DirectionCosines {
        layer,
        datasets: named.iter().map(|n| n.0.clone()).collect(),
        cosine: scaled(&directions.f_mm(&directions.f_tr()?)?)?,
        mahalanobis: scaled(&scatter(&directions, train)?)?,
    }))
}

/// Products of the directions by way of the scatter of the states about the mean of their template and side: that is their
/// covariance but for a factor, which no cosine sees. Never D by D. `directions`: \[K, D\]; the result: \[K, K\].
fn scatter(directions: &Tensor, train: &Contrast) -> Result<Tensor> {
    let (count, _) = directions.dims2("directions")?;
    let mut sum = Tensor::f_zeros([count, count], (Kind::Double, directions.device()))?;
    for (_, rows) in train.rows_by_template() {
        let part = train.select(&rows)?;
        for side in [part.plus(), part.minus()] {
            let states = side.f_to_device(directions.device())?.f_to_kind(Kind::Double)?; // [n, D]
            let centered = states.f_sub(&states.f_mean_dim(0, true, Kind::Double)?)?;
            let scores = centered.f_mm(&directions.f_tr()?)?; // [n, K]
            sum = sum.f_add(&scores.f_tr()?.f_mm(&scores)?)?;
        }
    }
    Ok(sum)
}

/// Products of vectors as cosines: each over the root of both vectors' own. \[K, K\]
fn scaled(products: &Tensor) -> Result<Vec<Vec<f64>>> {
    let lengths = products.f_diagonal(0, 0, 1)?.f_sqrt()?; // [K]
    let cosines = products.f_div(&lengths.f_outer(&lengths)?)?;
    numbers(&cosines.f_clamp(-1.0, 1.0)?)
}

fn numbers(matrix: &Tensor) -> Result<Vec<Vec<f64>>> {
    let (side, _) = matrix.dims2("cosines")?;
    let all = Vec::<f64>::try_from(matrix.f_reshape([-1])?)?;
    Ok(all.chunks(side.max(1) as usize).map(<[f64]>::to_vec).collect())
}

#[cfg(test)]
#[allow(clippy::unreadable_literal, reason = "as the script prints them")]
mod tests {
    use tch::Device;

    use super::*;

    // From tests/fixtures/directions.py.
    const COSINE: [[f64; 3]; 3] = [
        [1.00000000, 0.44721360, -0.24077171],
        [0.44721360, 1.00000000, 0.00000000],
        [-0.24077171, 0.00000000, 1.00000000],
    ];
    const MAHALANOBIS: [[f64; 3]; 3] = [
        [1.00000000, 0.47578436, -0.01372136],
        [0.47578436, 1.00000000, 0.87291594],
        [-0.01372136, 0.87291594, 1.00000000],
    ];

    /// Against numpy, on the same numbers: two templates with means far apart, which must not count.
    #[test]
    fn cosines_are_those_of_the_covariance_within_templates_and_sides() {
        let wave = |rows: i64, step: f64| {
            (Tensor::arange(rows * 3, (Kind::Double, Device::Cpu)) * step).sin().reshape([rows, 3])
        };
        let scales = Tensor::from_slice(&[1.0, 5.0, 0.2]);
        let shift = Tensor::from_slice(&[0.0, 100.0, 0.0, 100.0, 0.0, 100.0]).reshape([6, 1]);
        let (plus, minus) = (wave(6, 1.3) * &scales + &shift, wave(6, 2.1) * &scales - &shift);
        let text =
            |of: &dyn Fn(usize) -> usize| (0..6).map(|row| of(row).to_string()).collect::<Vec<String>>();
        let train = Contrast::new(plus, minus, vec![true; 6], text(&|row| row))
            .and_then(|pairs| pairs.with_variants(text(&|row| row), text(&|row| row % 2)))
            .unwrap();
        let named = |name: &str, of: [f64; 3]| (name.to_owned(), Tensor::from_slice(&of));
        let directions =
            vec![named("a", [1.0, 0.0, 0.0]), named("b", [1.0, 2.0, 0.0]), named("c", [-0.5, 0.25, 2.0])];
        let found = cosines(7, directions, &train).unwrap().unwrap();
        assert_eq!((found.layer, found.datasets.len()), (7, 3));
        for (found, expected) in [(&found.cosine, COSINE), (&found.mahalanobis, MAHALANOBIS)] {
            for (row, expected) in found.iter().zip(expected) {
                // Eight digits are written down.
                assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-7), "{row:?} {expected:?}");
            }
        }
        // A direction in which no state differs has no correlation with anything.
        let flat = Contrast::new(
            Tensor::from_slice(&[1.0, 0.0, 2.0, 0.0]).reshape([2, 2]),
            Tensor::from_slice(&[3.0, 0.0, 5.0, 0.0]).reshape([2, 2]),
            vec![true, false],
            vec![String::new(); 2],
        )
        .unwrap();
        let of = |x: f64, y: f64| ("x".to_owned(), Tensor::from_slice(&[x, y]));
        assert!(cosines(0, vec![of(1.0, 0.0), of(0.0, 1.0)], &flat).unwrap().is_none());
        let opposite = cosines(0, vec![of(1.0, 0.0), of(-2.0, 0.0)], &flat).unwrap().unwrap();
        assert!((opposite.mahalanobis[0][1] + 1.0).abs() < 1e-12);
    }
}
