//! What a run is asked to do. All of it is in the report.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use ccs_report::{AnswerScore, MethodInfo, RecordedSettings, Report, RowKind};

use crate::engine::polarity::Negated;
use crate::error::write_error;
use crate::method::{self, Ask};
use crate::source::Layer;
use crate::{Error, Result};
use ccs::methods::ccs::{Ccs, Init};
use ccs::methods::logistic::{self, LrOptions};
use ccs::normalize::Normalization;
use ccs_report::Method;

/// The settings of a run; the defaults are those of the command line, which asks for five directions of recursive CCS too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The methods asked for; `None` is those of [`method::ALL`] that the data allows (zero-shot needs
    /// log-probabilities).
    pub methods: Option<Vec<Method>>,
    /// The layers.
    pub layers: LayerSelection,
    /// Everything random follows from it.
    pub seed: u64,
    /// The share of rows kept for testing.
    pub test_fraction: f64,
    /// Folds of the cross-validation that chooses layers inside the training rows.
    pub folds: usize,
    /// CCS.
    pub ccs: Ccs,
    /// Logistic regression.
    pub lr: LrOptions,
    /// Random directions in the band.
    pub directions: usize,
    /// How states are normalized for every method but CCS and logistic regression, whose options say it for them;
    /// [`Settings::normalized`] says it for all.
    #[serde(default)]
    pub normalization: Normalization,
    /// Whether cross-validation inside the training rows chooses the penalty of logistic regression on differences too;
    /// otherwise it is that of its options. On statements and on concatenated pairs it always does.
    #[serde(default)]
    pub lr_cross_validated: bool,
    /// Heads of attention and multi-max probes; `None` is the methods' default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_heads: Option<usize>,
    /// Random starts of their fits; `None` is the methods' default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_starts: Option<usize>,
    /// How many layers are put together beside the one chosen: those that cross-validation ranks highest; 0 for none.
    #[serde(default)]
    pub ensemble_layers: usize,
    /// Directions of recursive CCS at CCS's chosen layer; 0 for none.
    #[serde(default)]
    pub recursive: usize,
    /// Other seeds under which CCS, BSS and K-means are fitted again at their chosen layers.
    #[serde(default)]
    pub seeds: usize,
    /// How often labels are shuffled at every method's chosen layer: those that training goes by and those that it is
    /// judged by.
    #[serde(default)]
    pub shuffles: usize,
    /// The share of rows that calibrated zero-shot takes to be true; labels are not asked.
    #[serde(default = "half")]
    pub true_share: f64,
    /// What of an answer's log-probability zero-shot goes by.
    pub zero_shot: AnswerScore,
    /// Columns of the data by which rows are divided, to see whether a probe follows one of them instead of truth; columns
    /// with at most 12 values are tried without being named.
    #[serde(default)]
    pub strata: Vec<String>,
    /// Which rows are negated; `None` goes by a column whose name and values say it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negated: Option<Negated>,
    /// The columns that a row and its negation share; empty looks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub negated_by: Vec<String>,
}

fn half() -> f64 {
    0.5
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            methods: None,
            layers: LayerSelection::All,
            seed: 0,
            test_fraction: 0.4,
            folds: 5,
            ccs: Ccs::default(),
            lr: LrOptions::default(),
            directions: 1000,
            normalization: Normalization::default(),
            lr_cross_validated: false,
            token_heads: None,
            token_starts: None,
            ensemble_layers: 3,
            recursive: 0,
            seeds: 10,
            shuffles: 10,
            true_share: half(),
            zero_shot: AnswerScore::default(),
            strata: Vec::new(),
            negated: None,
            negated_by: Vec::new(),
        }
    }
}

impl Settings {
    /// The same settings with states normalized in one way for every method.
    #[must_use]
    pub fn normalized(mut self, normalization: Normalization) -> Self {
        self.normalization = normalization;
        self.ccs.normalization = normalization;
        self.lr.normalization = normalization;
        self
    }

    /// The methods to run on such rows, each once and in the order of reports.
    pub(crate) fn methods(&self, rows: RowKind, all_tokens: bool, with_logprob: bool) -> Vec<Method> {
        let default: Vec<Method> =
            method::default(rows, all_tokens).filter(|m| with_logprob || !m.needs_answers()).collect();
        let wanted = |method: &Method| self.methods.as_ref().unwrap_or(&default).contains(method);
        method::all(rows, all_tokens).filter(wanted).collect()
    }

    /// What a report says of a method; none of one that is not ours.
    pub(crate) fn info(&self, method: Method) -> Option<MethodInfo> {
        let info = method::known(method)?.info();
        Some(if self.removes_mean_difference(method) {
            MethodInfo { uses_labels: true, ..info }
        } else {
            info
        })
    }

    /// Whether labels have a say in a method's directions only because of what is taken out before.
    pub(crate) fn removes_mean_difference(&self, method: Method) -> bool {
        method == Method::CCS && self.ccs.remove_mean_difference
    }

    /// Refuses what cannot be done on such rows.
    ///
    /// # Errors
    /// [`Error::MethodKind`]: a method asked for by name that is for the other kind of rows. [`Error::Setting`]: a setting of
    /// CCS alone on statements.
    pub(crate) fn check_for(&self, rows: RowKind, all_tokens: bool) -> Result<()> {
        let of_tokens = |method: Method| method::known(method).map(|known| known.tokens);
        for &method in self.methods.iter().flatten() {
            match of_tokens(method) {
                Some(false) if all_tokens => return Err(Error::OneState { method }),
                Some(true) if !all_tokens && method.is_probe() => return Err(Error::AllTokens { method }),
                _ => {}
            }
        }
        let is_for =
            |method: &Method| method::known(*method).is_some_and(|known| known.is_for(rows, all_tokens));
        if let Some(method) = self.methods.iter().flatten().find(|method| !is_for(method)) {
            return Err(Error::MethodKind { method: *method, rows });
        }
        if rows == RowKind::Statements && self.recursive > 0 {
            return Err(Error::Setting {
                name: "recursive",
                value: self.recursive.to_string(),
                reason: "it is of CCS, which is for contrast pairs, and these are single statements",
                hint: "leave it out",
            });
        }
        let learned = [Method::ATTENTION, Method::MULTI_MAX];
        let learns = all_tokens && self.methods(rows, true, false).iter().any(|m| learned.contains(m));
        let counts = [("token_heads", self.token_heads), ("token_starts", self.token_starts)];
        match counts.into_iter().find_map(|(name, value)| Some((name, value.filter(|_| !learns)?))) {
            Some((name, value)) => Err(Error::Setting {
                name,
                value: value.to_string(),
                reason: "it is of attention and multi_max, and neither is fitted",
                hint: "leave it out, or fit them on the states of all tokens",
            }),
            None => Ok(()),
        }
    }

    /// Whether a method was asked for by name that needs the model's answers.
    pub(crate) fn requires_answers(&self) -> bool {
        self.methods.iter().flatten().any(Ask::needs_answers)
    }

    /// As a report records them.
    ///
    /// # Errors
    /// None that settings of this crate give.
    pub fn recorded(&self) -> Result<RecordedSettings> {
        let recorded = serde_json::to_value(self).and_then(serde_json::from_value);
        recorded.map_err(|e| write_error("report.json", &e))
    }

    /// The settings that a report records.
    ///
    /// # Errors
    /// [`Error::ReportFile`]: what is recorded is not of this version.
    pub fn of(report: &Report) -> Result<Self> {
        let settings = serde_json::to_value(&report.settings).and_then(serde_json::from_value);
        settings.map_err(|e| Error::ReportFile { path: "report.json".into(), reason: e.to_string() })
    }

    /// Refuses what cannot be meant: numbers that cannot be used, and settings that would have no effect.
    ///
    /// # Errors
    /// [`Error::Setting`] with the field's name.
    pub fn check(&self) -> Result<()> {
        let refuse = |name, value: String, reason, hint| Err(Error::Setting { name, value, reason, hint });
        let counts = [
            ("n_init", Some(self.ccs.n_init)),
            ("directions", Some(self.directions)),
            ("token_heads", self.token_heads),
            ("token_starts", self.token_starts),
        ];
        for (name, value) in counts {
            if value == Some(0) {
                let hint = "leave it out for the default";
                return refuse(name, "0".to_owned(), "at least one is needed", hint);
            }
        }
        if self.ensemble_layers == 1 {
            let (reason, hint) = ("a single layer is the chosen one", "give 0 for none, or at least 2");
            return refuse("ensemble_layers", "1".to_owned(), reason, hint);
        }
        self.ccs.check()?;
        logistic::check(&self.lr)?;
        if !(0.0..=1.0).contains(&self.true_share) {
            let hint = "give a number from 0 to 1; 0.5 for balanced data";
            return refuse("true_share", self.true_share.to_string(), "it is a share of rows", hint);
        }
        if self.recursive > 0 && !self.ccs.hidden.is_empty() {
            let reason = "probes with hidden layers have no direction to take out";
            let hint = "leave out `hidden` or `recursive`";
            return refuse("recursive", self.recursive.to_string(), reason, hint);
        }
        let fits = |method| self.methods(RowKind::Pairs, false, true).contains(&method);
        if self.recursive > 0 && !fits(Method::CCS) {
            let (reason, hint) = ("ccs is not among the methods", "add ccs to `methods`, or leave it out");
            return refuse("recursive", self.recursive.to_string(), reason, hint);
        }
        let of_tokens = self.methods.iter().flatten().any(|m| [Method::LAST, Method::MEAN].contains(m));
        if self.lr_cross_validated && !fits(Method::LR) && !of_tokens {
            let reason =
                "lr is not among the methods; every other logistic regression chooses its penalty so anyway";
            return refuse(
                "lr_cross_validated",
                "given".to_owned(),
                reason,
                "add lr to `methods`, or leave it out",
            );
        }
        if !self.ccs.hidden.is_empty() && matches!(self.ccs.init, Init::Pca | Init::Zero) {
            let init = if self.ccs.init == Init::Pca { "pca" } else { "zero" };
            let reason = "hidden layers start at random, uniformly";
            return refuse("init", init.to_owned(), reason, "leave out `init` or `hidden`");
        }
        if self.ccs.init == Init::Zero && self.ccs.n_init > 1 {
            let reason = "all starts at zero are the same";
            return refuse("n_init", self.ccs.n_init.to_string(), reason, "give `n_init = 1`");
        }
        Ok(())
    }
}

/// Which layers to work on; written `all` or `0,5-12`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum LayerSelection {
    /// Every layer of the data.
    All,
    /// Ranges, ends included.
    Ranges(Vec<(usize, usize)>),
}

impl LayerSelection {
    /// The layers selected from those available, ascending, each once. `data` is what to call what has them, in errors.
    ///
    /// # Errors
    /// A layer that is not available.
    pub fn of(&self, available: &[Layer], data: &str) -> Result<Vec<Layer>> {
        if available.is_empty() {
            return Err(Error::UnknownLayer {
                layer: 0,
                data: data.to_owned(),
                available: "none".to_owned(),
            });
        }
        let Self::Ranges(ranges) = self else { return Ok(available.to_vec()) };
        for &(first, last) in ranges {
            if let Some(layer) = (first..=last).find(|l| available.iter().all(|a| a.layer != *l)) {
                let available = named(available);
                return Err(Error::UnknownLayer { layer, data: data.to_owned(), available });
            }
        }
        let within = |layer: usize| ranges.iter().any(|&(first, last)| (first..=last).contains(&layer));
        Ok(available.iter().filter(|a| within(a.layer)).cloned().collect())
    }
}

/// `0-12, 15`, for layers in ascending order.
fn named(layers: &[Layer]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for layer in layers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == layer.layer => *last = layer.layer,
            _ => runs.push((layer.layer, layer.layer)),
        }
    }
    LayerSelection::Ranges(runs).to_string().replace(',', ", ")
}

impl fmt::Display for LayerSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Ranges(ranges) = self else { return f.write_str("all") };
        for (i, (first, last)) in ranges.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        Ok(())
    }
}

impl FromStr for LayerSelection {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.trim() == "all" {
            return Ok(Self::All);
        }
        let wrong = || Error::Setting {
            name: "layers",
            value: format!("`{text}`"),
            reason: "it is a list of layers and ranges",
            hint: "write for example `layers = 0,5-12`, or `layers = all`",
        };
        let range = |part: &str| -> Result<(usize, usize)> {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |s: &str| s.trim().parse::<usize>().map_err(|_| wrong());
            let (first, last) = (number(first)?, number(last)?);
            if first <= last { Ok((first, last)) } else { Err(wrong()) }
        };
        Ok(Self::Ranges(text.split(',').map(range).collect::<Result<_>>()?))
    }
}

impl From<LayerSelection> for String {
    fn from(selection: LayerSelection) -> String {
        selection.to_string()
    }
}

impl TryFrom<String> for LayerSelection {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(numbers: &[usize]) -> Vec<Layer> {
        numbers.iter().map(|&layer| Layer { layer, hook: format!("h{layer}") }).collect()
    }

    #[test]
    fn layer_lists_are_read_and_written() {
        let parsed: LayerSelection = "0,5-7".parse().unwrap();
        assert_eq!(parsed.to_string(), "0,5-7");
        let found = parsed.of(&layers(&[0, 1, 5, 6, 7, 8]), "it").unwrap();
        assert_eq!(found.iter().map(|l| l.layer).collect::<Vec<_>>(), [0, 5, 6, 7]);
        assert_eq!("all".parse::<LayerSelection>().unwrap(), LayerSelection::All);
        for bad in ["", "x", "1-", "5-2", "1,,2", "-1"] {
            assert!(bad.parse::<LayerSelection>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_layer_that_is_not_there_is_named_with_those_that_are() {
        let error =
            "3-40".parse::<LayerSelection>().unwrap().of(&layers(&[0, 1, 2, 3, 6]), "the store").unwrap_err();
        assert_eq!(error.to_string(), "layer 4 is not in the store");
        assert!(error.hint().unwrap().contains("0-3, 6"));
        // A huge range is refused at its first missing layer, not walked through.
        assert!("0-18446744073709551615".parse::<LayerSelection>().unwrap().of(&layers(&[0]), "it").is_err());
    }

    #[test]
    fn zero_shot_runs_by_default_only_where_there_are_log_probabilities() {
        let mut settings = Settings::default();
        let without =
            ["ccs", "tpc", "lr", "mean_difference", "random"].map(|name| method::parse(name).unwrap());
        let pairs = RowKind::Pairs;
        assert_eq!(settings.methods(pairs, false, false), [&without[..], &[Method::MAJORITY]].concat());
        assert_eq!(settings.methods(pairs, false, true), method::default(pairs, false).collect::<Vec<_>>());
        settings.methods = Some(vec![Method::LR, Method::CCS, Method::LR]);
        assert_eq!(settings.methods(pairs, false, true), [Method::CCS, Method::LR]);
        assert!(settings.check_for(pairs, false).is_ok());
        let error = settings.check_for(RowKind::Statements, false).unwrap_err();
        assert!(error.to_string().starts_with("`ccs` is not for single statements"), "{error}");
        assert!(error.hint().unwrap().contains("ttpd"));
        settings.methods = Some(vec![Method::TTPD]);
        assert!(
            settings.check_for(RowKind::Statements, false).is_ok()
                && settings.check_for(pairs, false).is_err()
        );
        assert!(!settings.requires_answers());
    }

    #[test]
    fn what_would_have_no_effect_is_refused_by_its_field() {
        let refused = |change: &dyn Fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            match settings.check() {
                Err(Error::Setting { name, .. } | Error::Probe(ccs::Error::Setting { name, .. })) => name,
                other => panic!("{other:?}"),
            }
        };
        assert!(Settings::default().check().is_ok());
        let only = |method| Some(vec![method]);
        assert_eq!(refused(&|s| (s.recursive, s.methods) = (5, only(Method::LR))), "recursive");
        assert_eq!(refused(&|s| (s.recursive, s.ccs.hidden) = (5, vec![3])), "recursive");
        assert_eq!(
            refused(&|s| (s.lr_cross_validated, s.methods) = (true, only(Method::CCS))),
            "lr_cross_validated"
        );
        assert_eq!(refused(&|s| (s.ccs.init, s.ccs.hidden) = (Init::Pca, vec![3])), "init");
        assert_eq!(refused(&|s| s.ccs.init = Init::Zero), "n_init");
        assert_eq!(refused(&|s| s.ccs.learning_rate = f64::NAN), "learning_rate");
        assert_eq!(refused(&|s| s.lr.c = 0.0), "c");
        assert_eq!(refused(&|s| s.true_share = 1.5), "true_share");
        let mut zero = Settings::default();
        (zero.ccs.init, zero.ccs.n_init) = (Init::Zero, 1);
        assert!(zero.check().is_ok());
    }

    #[test]
    fn settings_are_read_back_from_a_report() {
        let leace = Settings::default().normalized(Normalization::Leace);
        assert_eq!([leace.ccs.normalization, leace.lr.normalization], [leace.normalization; 2]);
        let recorded = leace.recorded().unwrap();
        assert_eq!((recorded.folds, recorded.directions), (leace.folds, leace.directions));
        let read: Settings = serde_json::from_value(serde_json::to_value(recorded).unwrap()).unwrap();
        assert_eq!(read, leace);
    }
}
