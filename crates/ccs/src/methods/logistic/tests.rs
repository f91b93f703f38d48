//! Every penalty from one set of rows, against Newton's method in its plainest form, one problem at a time.

use proptest::prelude::*;
use tch::{Kind, Tensor};

use super::*;
use crate::seeds::SeedTree;
use rand_distr::StandardNormal;

/// Rows of some shape and their labels as 0 and 1.
#[derive(Debug, Clone, Copy)]
struct Shape {
    rows: usize,
    dim: usize,
    /// Directions that rows differ along.
    rank: usize,
    /// How far labels lie apart.
    truth: f64,
    /// Columns that are the same in every row.
    constant: usize,
}

fn draw(shape: Shape, seed: u64) -> (Tensor, Tensor) {
    let mut rng = SeedTree::new(seed).rng();
    let mut normal = |shape: [usize; 2]| {
        let values: Vec<f64> = (0..shape[0] * shape[1]).map(|_| rng.sample(StandardNormal)).collect();
        Tensor::from_slice(&values).reshape(shape.map(|n| n as i64))
    };
    let wide = normal([shape.rank, shape.dim]) / (shape.rank as f64).sqrt();
    let coordinates = normal([shape.rows, shape.rank]);
    let noise = normal([shape.rows, 1]).reshape(-1);
    let truth = coordinates.select(1, 0) * shape.truth + noise;
    let targets = truth.gt(0.0).to_kind(Kind::Double);
    // Both labels occur.
    targets.narrow(0, 0, 2).copy_(&Tensor::from_slice(&[0.0, 1.0]));
    let x = coordinates.mm(&wide);
    let _ = x.narrow(1, 0, shape.constant as i64).fill_(1.5);
    (x, targets)
}

/// Newton's method with the whole Hessian of the whole problem: weights, then the bias.
fn plain(x: &Tensor, targets: &Tensor, penalized: f64, c: f64) -> Tensor {
    let (rows, dim) = x.size2().unwrap();
    let x = Tensor::cat(&[x, &Tensor::ones([rows, 1], (Kind::Double, x.device()))], 1);
    let penalty = Tensor::full([dim + 1], penalized, (Kind::Double, x.device()));
    let _ = penalty.narrow(0, dim, 1).zero_();
    let value = |theta: &Tensor| {
        let z = x.mv(theta);
        let loss = (z.clamp_min(0.0) + z.abs().neg().exp().log1p() - targets * &z).sum(Kind::Double);
        (loss * c + (theta.square() * &penalty).sum(Kind::Double) * 0.5).double_value(&[])
    };
    let mut theta = penalty.zeros_like();
    for _ in 0..60 {
        let p = x.mv(&theta).sigmoid();
        let gradient = x.tr().mv(&((&p - targets) * c)) + &theta * &penalty;
        let curvature: Tensor = (&p - p.square()) * c;
        let hessian = x.tr().mm(&(&x * curvature.unsqueeze(1)));
        let hessian = hessian + (&penalty + 1e-13).diag(0);
        let step = Tensor::linalg_solve(&hessian, &gradient.unsqueeze(1), true).squeeze_dim(1);
        let mut length = 1.0;
        while value(&(&theta - &step * length)) > value(&theta) + 1e-13 && length > 1e-8 {
            length /= 2.0;
        }
        theta = &theta - step * length;
    }
    theta
}

fn shape() -> impl Strategy<Value = Shape> {
    let truth = prop_oneof![Just(0.0), Just(1.0), Just(30.0)];
    (4usize..70, 1usize..50, 1usize..60, truth, 0usize..3).prop_map(|(rows, dim, rank, truth, constant)| {
        Shape { rows, dim, rank: rank.min(dim), truth, constant: constant.min(dim - 1) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Penalties from large to small, as cross-validation takes them, each from the last one's minimum and curvature: wide
    /// and tall rows, of few directions, with constant columns, with labels that are separable or say nothing.
    #[test]
    fn every_penalty_of_shared_rows_is_the_plain_minimum(shape in shape(), seed in 0u64..1000) {
        let (x, targets) = draw(shape, seed);
        let (rows, options) = (shape.rows as f64, LrOptions::default());
        let mut shared = Rows::new(&x, targets.copy()).unwrap();
        for l2 in GRID.iter().rev().filter(|l2| **l2 > 0.0) {
            let newton = shared.fit(l2 * rows, 1.0, &options).unwrap();
            let (weight, bias) = shared.weights(&newton).unwrap();
            let want = plain(&x, &targets, l2 * rows, 1.0);
            let found = Tensor::cat(&[weight, Tensor::from_slice(&[bias])], 0);
            prop_assert!(newton.gradient <= options.tolerance);
            // A gradient of g moves a minimum of curvature κ by g/κ at most along weights. The bias has the curvature of its
            // rows, which is small where all are told apart; logits say what it changes.
            let weights = |t: &Tensor| t.narrow(0, 0, shape.dim as i64);
            let off = (weights(&found) - weights(&want)).abs().max().double_value(&[]);
            let size = want.abs().max().double_value(&[]).max(1.0);
            prop_assert!(off <= 1e-8 * size, "λ = {l2:e}: off by {off:e} of {size:e}, gradient {:e}", newton.gradient);
        }
    }

    /// One problem alone, sought from zero, is the same minimum as at the end of a path.
    #[test]
    fn a_path_changes_nothing(shape in shape(), seed in 0u64..1000, at in 1usize..GRID.len()) {
        let (x, targets) = draw(shape, seed);
        let (rows, options, l2) = (shape.rows as f64, LrOptions::default(), GRID[at]);
        let mut along = Rows::new(&x, targets.copy()).unwrap();
        for larger in GRID.iter().rev().filter(|larger| **larger > l2) {
            along.fit(larger * rows, 1.0, &options).unwrap();
        }
        let mut alone = Rows::new(&x, targets).unwrap();
        let [a, b] = [&mut along, &mut alone].map(|of| {
            let newton = of.fit(l2 * rows, 1.0, &options).unwrap();
            of.weights(&newton).unwrap().0
        });
        let size = a.abs().max().double_value(&[]).max(1.0);
        prop_assert!((a - b).abs().max().double_value(&[]) <= 1e-8 * size);
    }

    /// Without a penalty, rows that some direction tells apart have no minimum; others have the plain one.
    #[test]
    fn without_a_penalty_separable_rows_are_refused(seed in 0u64..200, rows in 60usize..90) {
        let of = |truth, dim| draw(Shape { rows, dim, rank: dim, truth, constant: 0 }, seed);
        let (x, targets) = of(0.0, 3);
        let mut few = Rows::new(&x, targets.copy()).unwrap();
        let newton = few.fit(0.0, 1.0, &LrOptions::default()).unwrap();
        let (weight, bias) = few.weights(&newton).unwrap();
        let want = plain(&x, &targets, 0.0, 1.0);
        let off = (Tensor::cat(&[weight, Tensor::from_slice(&[bias])], 0) - &want).abs().max().double_value(&[]);
        prop_assert!(off < 1e-7 * want.abs().max().double_value(&[]).max(1.0), "{off:e}");
        let (x, targets) = of(0.0, rows + 5);
        let mut many = Rows::new(&x, targets).unwrap();
        prop_assert!(matches!(many.fit(0.0, 1.0, &LrOptions::default()), Err(Error::Separable)));
    }
}
