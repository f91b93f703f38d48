//! What was chosen, and on which rows.

use serde::Serialize;

use crate::figures::palette::class;
use crate::method::Method;
use crate::numbers::percent;
use crate::report::{Chosen, Report, WithinLayer};

/// A method's chosen layer, and the oracle's.
#[derive(Debug, Serialize)]
pub(super) struct Choice {
    method: String,
    /// In addition to the method's own choice.
    without_labels: bool,
    class: &'static str,
    layer: Option<usize>,
    uses_labels: bool,
    cross_validation: Option<String>,
    test: Option<String>,
    oracle: Option<OracleView>,
}

#[derive(Debug, Serialize)]
struct OracleView {
    layer: usize,
    accuracy: String,
    gap: String,
}

/// Chosen layers, and the rules behind them with the methods that follow each.
#[derive(Debug, Serialize)]
pub(super) struct Choices {
    rows: Vec<Choice>,
    rules: Vec<(String, Vec<String>)>,
    /// Penalties chosen by cross-validation within the training rows.
    penalties: Vec<(String, String)>,
    /// CCS's sign and start, and the oracle's.
    within_layer: Option<String>,
    /// What Platt scaling was fitted on.
    calibrated: Option<String>,
}

impl Choices {
    pub(super) fn new(report: &Report) -> Self {
        let all = || {
            let without = report.chosen_without_labels.iter().map(|(&m, c)| (m, c, true));
            report.chosen.iter().map(|(&m, c)| (m, c, false)).chain(without)
        };
        let mut rules: Vec<(String, Vec<String>)> = Vec::new();
        for (method, chosen, without_labels) in all() {
            let name = report.title(method) + if without_labels { " without labels" } else { "" };
            match rules.iter_mut().find(|(rule, _)| *rule == chosen.rule) {
                Some((_, methods)) => methods.push(name),
                None => rules.push((chosen.rule.clone(), vec![name])),
            }
        }
        let penalty = |&method: &Method| {
            let found = report.layer(report.chosen_layer(method)?)?.methods.get(&method)?;
            Some((report.title(method), significant(found.l2?)))
        };
        Self {
            rows: all().map(|(m, c, without)| choice(report, m, c, without)).collect(),
            rules,
            penalties: report.chosen.keys().filter_map(penalty).collect(),
            within_layer: report.within_layer.as_ref().map(WithinLayer::sentence),
            calibrated: report
                .diagnostics
                .values()
                .find_map(|d| Some(d.calibration.as_ref()?.fitted_on.clone())),
        }
    }
}

/// Three digits of a positive number.
fn significant(value: f64) -> String {
    let place = value.abs().log10().floor();
    if (-5.0..3.0).contains(&place) {
        format!("{value:.0$}", (2.0 - place) as usize)
    } else {
        format!("{value:.2e}")
    }
}

fn choice(report: &Report, method: Method, chosen: &Chosen, without_labels: bool) -> Choice {
    let found = chosen.layer.and_then(|l| report.layer(l)?.methods.get(&method));
    Choice {
        method: report.title(method),
        without_labels,
        class: class(method),
        layer: chosen.layer,
        uses_labels: chosen.uses_labels,
        cross_validation: found.and_then(|f| f.cross_validation).map(|cv| percent(cv.accuracy)),
        test: found.map(|f| percent(f.test.accuracy)),
        oracle: chosen.oracle.map(|o| OracleView {
            layer: o.layer,
            accuracy: percent(o.accuracy),
            gap: format!("{:.1}", 100.0 * o.gap),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::significant;

    #[test]
    fn penalties_have_three_digits() {
        let shown = [0.005_994_8, 100.0, 1e-9, 0.0, 2.5].map(significant);
        assert_eq!(shown, ["0.00599", "100", "1.00e-9", "0.00e0", "2.50"]);
    }
}
