//! What a method predicts for every row, those that it was fitted on included.

use ccs::baselines::{Predictions, majority_label};
use ccs::pick;
use ccs::probe::{HiddenLayers, Probe, ProbeInput};
use ccs::{Contrast, TokenReader};
use ccs_report::Method;
use serde::{Deserialize, Serialize};
use tch::Kind;

use crate::Result;
use crate::engine::answers::Reading;
use crate::engine::data::LayerData;
use crate::engine::evaluate::predict;
use crate::engine::plan::Plan;
use crate::engine::token_texts::{TokenTexts, in_context};
use crate::method::Ask as _;

/// What one method at its chosen layer predicts for every row of a run. Lists have an entry a row, in the order of
/// `rows`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodPredictions {
    /// The method.
    pub method: Method,
    /// The layer chosen for it; none for what is the same at every layer.
    pub layer: Option<usize>,
    /// Row numbers in the data, ascending: training rows and test rows.
    pub rows: Vec<usize>,
    /// What rows are ranked by: the higher, the rather true. What AUROC is computed from.
    pub scores: Vec<f64>,
    /// A score above it predicts true.
    pub threshold: f64,
    /// p⁺ and p⁻, the probabilities that the plus and the minus statement are true, of probes that judge statements one by
    /// one and give probabilities.
    pub sides: Option<[Vec<f64>; 2]>,
    /// The probability that the plus statement is true after Platt scaling on the training rows, for probes that have it.
    pub p: Option<Vec<f64>>,
    /// Of probes that learn which tokens to read, the token of the plus side that the heads read most on average; none where
    /// tokens' texts are not known.
    pub reads: Option<Vec<ReadToken>>,
}

/// A token of a row, and how much of what a probe reads is from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadToken {
    /// The text before it, the token, and the text behind it.
    pub text: [String; 3],
    /// Its share, from 0 to 1.
    pub share: f64,
}

impl MethodPredictions {
    /// Whether the row at a place of the lists is predicted true.
    pub fn predicts_true(&self, place: usize) -> Option<bool> {
        self.scores.get(place).map(|score| *score > self.threshold)
    }
}

/// Predictions of training and of test rows, which the split keeps apart, in the order of the data.
fn in_order<T>(plan: &Plan<'_>, train: Vec<T>, test: Vec<T>) -> (Vec<usize>, Vec<T>) {
    let split = &plan.split.rows;
    let rows = split.train.iter().chain(&split.test).copied();
    let mut all: Vec<(usize, T)> = rows.zip(train.into_iter().chain(test)).collect();
    all.sort_by_key(|(row, _)| *row);
    all.into_iter().unzip()
}

/// Those of a probe at its layer.
pub(crate) fn of_probe(
    plan: &Plan<'_>,
    method: Method,
    probe: &Probe,
    data: &LayerData<'_>,
) -> Result<MethodPredictions> {
    let (train, test) = (predict(probe, &data.train)?, predict(probe, &data.test)?);
    let threshold = test.threshold;
    let (rows, scores) = in_order(plan, train.scores, test.scores);
    let each = matches!(probe.input(), ProbeInput::Pair | ProbeInput::Statements) && probe.calibration().own;
    let sides = if each {
        let (train, test) = (probe.statement_logits(&data.train)?, probe.statement_logits(&data.test)?);
        let side = |train, test| in_order(plan, train, test).1.into_iter().map(sigmoid).collect();
        Some([side(train.0, test.0), side(train.1, test.1)])
    } else {
        None
    };
    let p = probe.calibration().platt.map(|platt| platt.probabilities(&scores));
    let reads = reads(plan, probe, data)?;
    Ok(MethodPredictions { method, layer: Some(data.layer.layer), rows, scores, threshold, sides, p, reads })
}

/// What a probe reads most of every row.
fn reads(plan: &Plan<'_>, probe: &Probe, data: &LayerData<'_>) -> Result<Option<Vec<ReadToken>>> {
    let HiddenLayers::Tokens(TokenReader::Attention { .. } | TokenReader::MultiMax { .. }) =
        probe.hidden_layers()
    else {
        return Ok(None);
    };
    let Some(texts) = TokenTexts::of(plan, data)? else { return Ok(None) };
    let of = |rows: &Contrast, numbers: &[usize]| -> Result<Option<Vec<ReadToken>>> {
        let Some((shares, (plus, _))) = probe.token_shares(rows)?.zip(rows.tokens()) else { return Ok(None) };
        let mean = shares.plus.f_mean_dim([1].as_slice(), false, Kind::Double)?;
        let mean: Vec<f64> = Vec::try_from(mean)?; // M
        let mut rest = mean.as_slice();
        let read = |(length, &row): (usize, &usize)| {
            let (own, others) = rest.split_at_checked(length)?;
            rest = others;
            let (at, share) = own.iter().copied().enumerate().reduce(|a, b| if b.1 > a.1 { b } else { a })?;
            Some(ReadToken { text: in_context(texts.row(0, row)?, at)?, share })
        };
        Ok(plus.lengths().zip(numbers).map(read).collect())
    };
    let split = &plan.split.rows;
    let (train, test) = (of(&data.train, &split.train)?, of(&data.test, &split.test)?);
    Ok(train.zip(test).map(|(train, test)| in_order(plan, train, test).1))
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// Those of the controls that judge every row and are the same at every layer: the model's own answers, and the constant
/// guess.
pub(crate) fn of_controls(plan: &Plan<'_>) -> Result<Vec<MethodPredictions>> {
    let controls = plan.methods.iter().filter(|m| !m.is_probe() && **m != Method::RANDOM);
    controls.map(|&method| of_control(plan, method)).collect()
}

fn of_control(plan: &Plan<'_>, method: Method) -> Result<MethodPredictions> {
    let (data, split, settings) = (plan.source.rows(), &plan.split.rows, &plan.settings);
    let sides = [&split.train, &split.test];
    let [train, test] = if method == Method::MAJORITY {
        let answer = majority_label(&pick(&data.labels, &split.train)?);
        sides.map(|rows| Predictions::constant(answer, rows.len()))
    } else {
        Reading::of(method, settings).predictions(data, settings.true_share, split)?
    };
    let threshold = test.threshold;
    let (rows, scores) = in_order(plan, train.scores, test.scores);
    Ok(MethodPredictions { method, layer: None, rows, scores, threshold, sides: None, p: None, reads: None })
}
