//! How far a probe's direction is from a planted one, where the probe lives.
//!
//! A probe's weight is a direction in normalized states, so the planted direction has to be taken there too: a step e
//! along it in the states becomes Pe, with P the linear part of the normalization, the same for every row of a template.
//! Scaling by dimension leaves an axis an axis. LEACE does not: it takes as many dimensions away as templates and sides
//! differ in, obliquely, and with the sample means' chance share of truth in them some of e turns. What a weight
//! has outside of P's range, no state has a part along: it changes no score, descent leaves it as it started, and it
//! is left out here.

use ccs::{Contrast, Probe};
use tch::{Device, Kind, Tensor};

/// |cos| of the probe's weight with what its normalization makes of an axis.
pub(crate) fn cosine(probe: &Probe, pairs: &Contrast, axis: i64) -> f64 {
    let p = image_of_axes(probe, pairs);
    let weight = probe.weight().to_kind(Kind::Double);
    let (u, s, _) = p.tr().svd(true, true); // u: [D, D]
    let rank = s.gt(1e-6 * s.max().double_value(&[])).sum(Kind::Int64).int64_value(&[]);
    let range = u.narrow(1, 0, rank);
    let inside = range.mv(&range.tr().mv(&weight));
    let target = p.get(axis);
    (inside.dot(&target) / (inside.norm() * target.norm())).abs().double_value(&[])
}

/// What the normalization of the first row's template makes of a step along each axis. \[D, D\]
fn image_of_axes(probe: &Probe, pairs: &Contrast) -> Tensor {
    let dim = pairs.dim();
    let text: Vec<String> = (0..dim).map(|i| i.to_string()).collect();
    let template = pairs.template_names().get(pairs.templates()[0]).cloned();
    let normalized = |states: Tensor| {
        let rows = Contrast::new(states.copy(), states, vec![true; dim], text.clone()).unwrap();
        let rows = match &template {
            Some(name) => rows.with_variants(text.clone(), vec![name.clone(); dim]).unwrap(),
            None => rows,
        };
        probe.normalizer().apply(&rows, Kind::Double).unwrap().0
    };
    let options = (Kind::Double, Device::Cpu);
    let dim = dim as i64;
    normalized(Tensor::eye(dim, options)) - normalized(Tensor::zeros([dim, dim], options))
}
