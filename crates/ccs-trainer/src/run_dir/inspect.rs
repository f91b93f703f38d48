//! What a probe is, in a few numbers, and how the directions of a run's methods lie to each other: `ccs inspect`.

use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use tch::Kind;

use crate::Result;
use crate::run_dir::reader::RunDir;
use crate::settings::Settings;
use ccs::normalize::Normalization;
use ccs::probe::{Probe, ProbeInput, Sign};
use ccs::stats::calibrate::Platt;
use ccs_report::Method;
use ccs_report::Report;

/// A probe without its numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeCard {
    /// How it was fitted, where it says so.
    pub method: Option<String>,
    /// Its layer, where it says so.
    pub layer: Option<u64>,
    /// The hook point it reads, where it says so.
    pub hook: Option<String>,
    /// The token rule of the states it reads, where it says so.
    pub tokens: Option<String>,
    /// D.
    pub dim: usize,
    /// Outputs of its hidden layers, from the states up; none for a linear probe.
    pub hidden: Vec<i64>,
    /// How its weight is read.
    pub readout: ProbeInput,
    /// Whether a high score means true.
    pub sign: Sign,
    /// |w|, in the coordinates of the normalized states.
    pub norm: f64,
    /// b.
    pub bias: f64,
    /// Whether its scores are probabilities or logits as they are; otherwise they are of no fixed scale.
    pub own_probabilities: bool,
    /// p(true) = σ(a·score + b), where it was calibrated.
    pub platt: Option<Platt>,
    /// How states are normalized.
    pub normalization: Normalization,
    /// The templates it was fitted on, where it says them.
    pub templates: Vec<String>,
    /// Those of them that had too few rows for statistics of their own.
    pub templates_with_few_rows: Vec<String>,
    /// Whether the statistics are of the rows the probe was applied to.
    pub reestimated: bool,
    /// Where it comes from, in full.
    pub meta: BTreeMap<String, Value>,
}

impl ProbeCard {
    /// What a probe is, in a few numbers.
    ///
    /// # Errors
    /// LibTorch's.
    pub fn of(probe: &Probe) -> Result<Self> {
        let text = |key: &str| probe.meta().get(key).and_then(Value::as_str).map(str::to_owned);
        let hidden =
            probe.hidden_layers().layers().iter().map(|l| l.bias.size().first().copied().unwrap_or_default());
        Ok(Self {
            method: text("method"),
            layer: probe.meta().get("layer").and_then(Value::as_u64),
            hook: text("hook"),
            tokens: text("tokens"),
            dim: probe.dim(),
            hidden: hidden.collect(),
            readout: probe.input(),
            sign: probe.sign(),
            norm: probe.weight().f_to_kind(Kind::Double)?.f_norm()?.f_double_value(&[])?,
            bias: probe.bias(),
            own_probabilities: probe.calibration().own,
            platt: probe.calibration().platt,
            normalization: probe.normalizer().kind(),
            templates: probe.normalizer().templates().to_vec(),
            templates_with_few_rows: probe.normalizer().templates_with_few_rows().to_vec(),
            reestimated: probe.normalizer().is_reestimated(),
            meta: probe.meta().clone(),
        })
    }
}

/// The unit direction in normalized states along which a statement becomes true, of a linear probe; of concatenated
/// pairs that of the difference. None where there is no such direction.
fn direction(probe: &Probe) -> Result<Option<Vec<f64>>> {
    if !probe.hidden_layers().is_linear() {
        return Ok(None);
    }
    let weight = Vec::<f64>::try_from(probe.weight().f_to_kind(Kind::Double)?.f_reshape([-1])?)?;
    let weight = match probe.input() {
        ProbeInput::Concatenated => {
            let (plus, minus) = weight.split_at(weight.len() / 2);
            plus.iter().zip(minus).map(|(p, m)| p - m).collect()
        }
        ProbeInput::Pair | ProbeInput::Difference | ProbeInput::Statements | ProbeInput::Single => weight,
    };
    let norm = weight.iter().map(|w| w * w).sum::<f64>().sqrt();
    let sign = f64::from(i8::from(probe.sign()));
    Ok((norm > 0.0).then(|| weight.into_iter().map(|w| sign * w / norm).collect()))
}

/// A run in a few numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunCard {
    /// The program that made it.
    pub program: String,
    /// What the data is.
    pub data: Value,
    /// What was asked for.
    pub settings: Settings,
    /// The layers that were fitted.
    pub layers: Vec<usize>,
    /// The probe of every method at its chosen layer.
    pub chosen: IndexMap<Method, ChosenCard>,
    /// Directions at each layer that a method chose.
    pub cosines: Vec<Cosines>,
}

/// A method's chosen layer and its probe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChosenCard {
    /// None if no layer could be fitted.
    pub layer: Option<usize>,
    /// How it was chosen.
    pub rule: String,
    /// Accuracy on test rows.
    pub accuracy: Option<f64>,
    /// AUROC on test rows.
    pub auroc: Option<f64>,
    /// The probe.
    pub probe: Option<ProbeCard>,
}

/// Cosines between methods' directions at one layer. Directions are compared in the coordinates of the normalized
/// states, so only those of the same normalization; with their signs: 1 is the same direction and the same end of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cosines {
    /// The layer.
    pub layer: usize,
    /// Their normalization.
    pub normalization: Normalization,
    /// The methods, two or more.
    pub methods: Vec<Method>,
    /// `matrix[i][j]` between `methods[i]` and `methods[j]`.
    pub matrix: Vec<Vec<f64>>,
}

impl RunCard {
    /// Reads a run folder, and compares all of it with its sums; shows of its probes those at the chosen layers.
    ///
    /// # Errors
    /// A folder that is no run; [`Error::RunFile`](crate::Error::RunFile) for a file that is missing or not as it was
    /// written.
    pub fn open(run: impl AsRef<Path>) -> Result<Self> {
        let run = RunDir::open(run)?;
        run.check()?;
        let report = run.report()?;
        let mut chosen = IndexMap::new();
        for (&method, choice) in &report.chosen {
            let probe = match choice.layer {
                Some(layer) => Some(ProbeCard::of(&run.probe(method, layer)?)?),
                None => None,
            };
            let card = ChosenCard {
                layer: choice.layer,
                rule: choice.rule.clone(),
                accuracy: choice.test.as_ref().map(|test| test.accuracy),
                auroc: choice.test.as_ref().and_then(|test| test.auroc),
                probe,
            };
            chosen.insert(method, card);
        }
        let layers: BTreeSet<usize> = report.chosen.values().filter_map(|c| c.layer).collect();
        let mut cosines = Vec::new();
        for layer in layers {
            cosines.extend(cosines_at(&run, &report, layer)?);
        }
        let layers = report.layers.iter().map(|l| l.layer).collect();
        let settings = Settings::of(&report)?;
        let Report { program, data, .. } = report;
        Ok(Self { program, data, settings, layers, chosen, cosines })
    }
}

/// A method's direction in states of one normalization.
type Direction = (Method, Normalization, Vec<f64>);

fn cosines_at(run: &RunDir, report: &Report, layer: usize) -> Result<Vec<Cosines>> {
    let Some(fitted) = report.layers.iter().find(|l| l.layer == layer) else { return Ok(Vec::new()) };
    let mut by_kind: BTreeMap<&str, Vec<Direction>> = BTreeMap::new();
    for (&method, found) in &fitted.methods {
        if found.probe.is_none() {
            continue;
        }
        let probe = run.probe(method, layer)?;
        let kind = probe.normalizer().kind();
        if let Some(direction) = direction(&probe)? {
            by_kind.entry(kind.name()).or_default().push((method, kind, direction));
        }
    }
    let cosine = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let several = by_kind.into_values().filter(|directions| directions.len() > 1);
    Ok(several
        .filter_map(|directions| {
            let row = |a: &Vec<f64>| directions.iter().map(|(.., b)| cosine(a, b)).collect();
            Some(Cosines {
                layer,
                normalization: directions.first()?.1,
                methods: directions.iter().map(|d| d.0).collect(),
                matrix: directions.iter().map(|(.., a)| row(a)).collect(),
            })
        })
        .collect())
}
