//! What the figures by layer show: each method's points, and the ranges that hold them.

use super::axes::{percent, share_range};
use super::legend::Swatch;
use crate::method::Method;
use crate::numbers;
use crate::report::{Evaluation, Interval, LayerReport, Report};

/// What is drawn by layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    Accuracy,
    Auroc,
}

impl Quantity {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Accuracy => "Test accuracy by layer",
            Self::Auroc => "Test AUROC by layer",
        }
    }

    fn of(self, test: &Evaluation) -> Option<(f64, Option<Interval>)> {
        let (value, ci) = match self {
            Self::Accuracy => (test.accuracy, test.accuracy_ci),
            Self::Auroc => (test.auroc?, test.auroc_ci),
        };
        value.is_finite().then(|| (value, ci.filter(|ci| ci.iter().all(|v| v.is_finite()))))
    }

    pub(super) fn tick(self, value: f64) -> String {
        match self {
            Self::Accuracy => percent(value),
            Self::Auroc => format!("{value:.2}"),
        }
    }

    /// What needs no probe, and its name.
    fn reference(self, report: &Report) -> (f64, String) {
        match self {
            Self::Accuracy => {
                (report.majority, format!("Majority class, {}", numbers::percent(report.majority)))
            }
            Self::Auroc => (0.5, "Chance, 0.5".to_owned()),
        }
    }
}

/// One method at one layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    /// The layer.
    pub(super) x: f64,
    /// Half-way to the layers on either side.
    pub(super) reach: Interval,
    pub(super) value: f64,
    pub(super) ci: Option<Interval>,
    /// A constant guess, not a fit.
    pub(super) constant: bool,
    pub(super) chosen: bool,
}

/// A method's points, ascending by layer.
fn points(report: &Report, method: Method, quantity: Quantity) -> Vec<Point> {
    let x = |at: usize| report.layers.get(at).map(|l| l.layer as f64);
    let chosen = report.chosen_layer(method);
    let point = |(at, layer): (usize, &LayerReport)| {
        let (value, ci) = quantity.of(&layer.methods.get(&method)?.test)?;
        let own = layer.layer as f64;
        let before = at.checked_sub(1).and_then(x).unwrap_or(own - 1.0);
        let after = x(at + 1).unwrap_or(own + 1.0);
        Some(Point {
            x: own,
            reach: [f64::midpoint(before, own), f64::midpoint(own, after)],
            value,
            ci,
            constant: (layer.degenerate && method != Method::ZERO_SHOT) || report.lacks_fit(layer, method),
            chosen: chosen == Some(layer.layer),
        })
    };
    report.layers.iter().enumerate().filter_map(point).collect()
}

/// Everything in a figure by layer.
#[derive(Debug)]
pub(super) struct Series {
    /// CCS, or of statements mass mean.
    leading: Method,
    /// Logistic regression, or of all tokens that on their mean.
    second: Method,
    pub(super) first: Vec<Point>,
    pub(super) lr: Vec<Point>,
    pub(super) zero_shot: Vec<Point>,
    pub(super) random: Vec<Point>,
    pub(super) reference: (f64, String),
    pub(super) x: Interval,
    pub(super) y: Interval,
    /// The least distance between two layers.
    pub(super) step: f64,
}

impl Series {
    pub(super) fn new(report: &Report, quantity: Quantity) -> Self {
        let of = |method| points(report, method, quantity);
        let mut random = of(Method::RANDOM);
        random.iter_mut().filter(|p| p.constant).for_each(|p| p.ci = None);
        let reference = quantity.reference(report);
        let [leading, second] = report.main();
        let (first, lr, zero_shot) = (of(leading), of(second), of(Method::ZERO_SHOT));
        let layers: Vec<f64> = report.layers.iter().map(|l| l.layer as f64).collect();
        // A report without layers has empty axes from 0 on.
        let (lowest, last) = layers.first().copied().zip(layers.last().copied()).unwrap_or((0.0, 0.0));
        let pad = (0.015 * (last - lowest)).max(0.6);
        let step = layers.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
        let shown = [&first, &lr, &zero_shot, &random].into_iter().flatten();
        let values = shown.flat_map(|p| std::iter::once(p.value).chain(p.ci.into_iter().flatten()));
        let y = share_range(values.chain([reference.0]));
        let step = if step.is_finite() { step } else { 1.0 };
        Self {
            leading,
            second,
            first,
            lr,
            zero_shot,
            random,
            reference,
            x: [lowest - pad, last + pad],
            y,
            step,
        }
    }

    pub(super) fn legend(&self, report: &Report) -> Vec<(Swatch, String)> {
        let of =
            |points: &[Point], swatch, method| (!points.is_empty()).then(|| (swatch, report.title(method)));
        let band = self.random.iter().any(|p| p.ci.is_some());
        let chosen: Vec<String> =
            [(self.leading, report.title(self.leading)), (self.second, short(report, self.second))]
                .into_iter()
                .filter_map(|(m, name)| Some(format!("{name} layer {}", report.chosen_layer(m)?)))
                .collect();
        let constant = self.first.iter().chain(&self.lr).any(|p| p.constant);
        [
            of(&self.first, Swatch::Circles, self.leading),
            of(&self.lr, Swatch::Squares, self.second),
            of(&self.zero_shot, Swatch::ZeroShot, Method::ZERO_SHOT),
            band.then(|| (Swatch::Band, "Random directions, central 95%".to_owned())),
            Some((Swatch::Dashes, self.reference.1.clone())),
            (!chosen.is_empty()).then(|| (Swatch::Ring, format!("Chosen: {}", chosen.join(", ")))),
            constant.then(|| (Swatch::Hollow, "No fit".to_owned())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// What the second method is called where there is little room.
fn short(report: &Report, method: Method) -> String {
    if method == Method::LR { "LR".to_owned() } else { report.title(method) }
}
