//! The flags that say how a run is fitted.

use ccs::loss::CcsLoss;
use ccs::methods::Precision;
use ccs::methods::ccs::{Init, Optimizer};
use ccs::normalize::Normalization;
use ccs_report::AnswerScore;
use ccs_report::{Method, RowKind};
use ccs_trainer::{Error, method};
use ccs_trainer::{LayerSelection, Negated, Settings};
use clap::Args;

/// Directions of recursive CCS where nothing is said: few fits beside those of all layers and folds.
const RECURSIVE: usize = 5;

#[derive(Debug, Args)]
#[allow(clippy::doc_markdown, reason = "this is the help as it is shown, without backticks")]
pub(crate) struct SettingsArgs {
    #[arg(long, value_delimiter = ',', help = methods_help())]
    methods: Option<Vec<String>>,
    /// Layers, such as 0,5-12; 0 is the embedding.
    #[arg(long, default_value = "all")]
    layers: String,
    /// Seed of the split, the random starts, and the random directions.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Share of rows kept for testing; rows of one group (passage) stay together.
    #[arg(long, default_value_t = 0.4)]
    test_fraction: f64,
    /// Folds of the cross-validation within the training rows, which chooses layers and penalties.
    #[arg(long, default_value_t = 5)]
    folds: usize,
    /// How states are normalized, for every method: mean_only, element_wise, burns, leace, or cluster. With several
    /// templates, each has statistics of its own.
    #[arg(long, value_name = "HOW", default_value_t = Normalization::default())]
    normalize: Normalization,
    /// Random starts of CCS; the one with the lowest final training loss is kept [default: 10; 1 with --init zero]
    #[arg(long, value_name = "N", help_heading = "CCS")]
    restarts: Option<usize>,
    /// Steps of AdamW, or the most iterations of L-BFGS.
    #[arg(long, default_value_t = 1000, help_heading = "CCS")]
    epochs: usize,
    /// What CCS minimizes, such as `ccs+0.5*js`. The terms are consistency, confidence, symmetric_confidence, js,
    /// js_confidence, and prompt_var; ccs and ccs_prompt_var are sums of them.
    #[arg(long, value_name = "MIX", default_value_t = CcsLoss::default(), help_heading = "CCS")]
    loss: CcsLoss,
    /// How it is minimized: adamw, or lbfgs with a line search.
    #[arg(long, default_value = "adamw", help_heading = "CCS")]
    optimizer: Optimizer,
    /// AdamW's step size [default: 0.01]
    #[arg(long, value_name = "SIZE", help_heading = "CCS")]
    learning_rate: Option<f64>,
    /// AdamW's decoupled weight decay [default: 0.01]
    #[arg(long, value_name = "DECAY", help_heading = "CCS")]
    weight_decay: Option<f64>,
    /// How starts are chosen: unit_sphere, uniform, pca, or zero [default: unit_sphere; uniform with --hidden]
    #[arg(long, help_heading = "CCS")]
    init: Option<Init>,
    /// Fit probes without a bias.
    #[arg(long, help_heading = "CCS")]
    no_bias: bool,
    /// λ of a penalty ½λ‖w‖² on the weights.
    #[arg(long, value_name = "LAMBDA", default_value_t = 0.0, help_heading = "CCS")]
    l2: f64,
    /// Widths of hidden layers, separated by commas, such as 100 [default: none, a linear probe]
    #[arg(long, value_name = "WIDTHS", value_delimiter = ',', help_heading = "CCS")]
    hidden: Vec<usize>,
    /// Fit in the span of the first K principal directions of the training rows' differences.
    #[arg(long, value_name = "K", help_heading = "CCS")]
    project: Option<usize>,
    /// Take the difference of the training rows' means by label out of the states before ccs and recursive CCS are fitted:
    /// what they find then is not what labels would have found at once. Uses labels.
    #[arg(long, help_heading = "CCS")]
    remove_mean_difference: bool,
    /// The precision of the fit: f32 or f64.
    #[arg(long, default_value = "f32", help_heading = "CCS")]
    precision: Precision,
    /// C of logistic regression on differences and of INLP, as in scikit-learn: the inverse of the penalty's strength
    /// [default: 0.1]
    #[arg(long, value_name = "C", help_heading = "Supervised methods")]
    lr_c: Option<f64>,
    /// Choose the penalty of `lr` by cross-validation, too, instead of taking C.
    #[arg(long, help_heading = "Supervised methods")]
    lr_cross_validated: bool,
    /// With --tokens all, heads of attention and multi_max [default: 4]
    #[arg(long, value_name = "N", help_heading = "Supervised methods")]
    token_heads: Option<usize>,
    /// With --tokens all, random starts of attention and multi_max, of which the best on the training rows is kept
    /// [default: 3]
    #[arg(long, value_name = "N", help_heading = "Supervised methods")]
    token_starts: Option<usize>,
    /// Random directions to compare with.
    #[arg(long, value_name = "N", default_value_t = 1000, help_heading = "Controls")]
    directions: usize,
    /// The share of true rows that calibrated_zero_shot assumes [default: 0.5]
    #[arg(long, value_name = "SHARE", help_heading = "Controls")]
    true_share: Option<f64>,
    /// Which log-probability of an answer zero-shot compares: sum (of the whole answer) or mean (over its tokens, so
    /// that its length does not count) [default: sum]
    #[arg(long, value_name = "SCORE", help_heading = "Controls")]
    zero_shot: Option<AnswerScore>,
    /// Columns of the data, separated by commas: does a probe follow one of them instead of truth? Columns with at most
    /// 12 values are always checked; numbers are divided into quarters.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', help_heading = "Controls")]
    strata: Vec<String>,
    /// Layers to put together beside the chosen one: those that cross-validation ranks highest; 0 for none. Each method by
    /// the mean of the layers' calibrated probabilities; ccs and lr also fitted on their states side by side.
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Controls")]
    ensemble_layers: usize,
    /// Which rows are negated ("is not"): data sets by name, separated by commas, or COLUMN=VALUE [default: a column
    /// called polarity, negated or affirmative whose two values say it]
    #[arg(long, value_name = "[COLUMN=]VALUE", help_heading = "Controls")]
    negated: Option<Negated>,
    /// Columns, separated by commas, that a statement and its negation have in common, such as city,country [default: as
    /// far as columns, questions, or groups tell]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', help_heading = "Controls")]
    negated_by: Vec<String>,
    /// Directions of recursive CCS at the chosen layer, each orthogonal to those before it; 0 for none [default: 5 if
    /// ccs is fitted without --hidden]
    #[arg(long, value_name = "N", help_heading = "Controls")]
    recursive: Option<usize>,
    /// Other seeds with which methods that draw random numbers are fitted again at their chosen layers.
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "Controls")]
    seeds: usize,
    /// How often labels are shuffled, on both sides of the split, at every method's chosen layer.
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "Controls")]
    shuffles: usize,
}

/// The help of `--methods`, from the registries.
fn methods_help() -> String {
    let names = |wanted: &dyn Fn(&method::Known) -> bool| {
        let names = method::ALL.iter().filter(|known| wanted(known)).map(|known| known.name);
        names.collect::<Vec<_>>().join(", ")
    };
    let quick = names(&|known| known.pairs && known.by_default);
    let further = names(&|known| known.pairs && !known.by_default);
    let statements = names(&|known| known.statements);
    let tokens = names(&|known| known.tokens && known.fits_probes);
    format!(
        "Methods, separated by commas, or `all` [default: {quick}]. Further methods: {further}. For a store of single \
         statements: {statements} [default there: all of these]. With --tokens all: {tokens} [default there: these and the \
         controls]"
    )
}

impl SettingsArgs {
    /// Finds mistakes before a store is opened, and so before it is known what its rows are.
    pub(crate) fn check(&self, all_tokens: bool) -> Result<(), Error> {
        self.settings(RowKind::Pairs, all_tokens, true).map(|_| ())
    }

    /// The settings for rows of this kind, with the states of all tokens or of one, where `with_answers` says whether the data has the model's answers, which `all`
    /// depends on.
    pub(crate) fn settings(
        &self,
        rows: RowKind,
        all_tokens: bool,
        with_answers: bool,
    ) -> Result<Settings, Error> {
        let mut settings = Settings::default().normalized(self.normalize);
        settings.methods = match self.methods.as_deref() {
            None => None,
            Some([all]) if all.trim() == "all" => {
                let usable = |m: &Method| with_answers || !needs_answers(m);
                Some(method::all(rows, all_tokens).filter(usable).collect())
            }
            Some(names) => Some(names.iter().map(|name| method::parse(name)).collect::<Result<_, _>>()?),
        };
        settings.layers = self.layers.parse::<LayerSelection>()?;
        settings.seed = self.seed;
        settings.test_fraction = self.test_fraction;
        settings.folds = self.folds;
        self.ccs(&mut settings)?;
        settings.lr_cross_validated = self.lr_cross_validated;
        if let Some(c) = self.lr_c {
            settings.lr.c = c;
        }
        settings.directions = self.directions;
        let asked = settings.methods.as_ref();
        let fits_ccs = asked.map_or(rows.is_pairs() && !all_tokens, |methods| methods.contains(&Method::CCS));
        let linear_ccs = fits_ccs && self.hidden.is_empty();
        settings.recursive = self.recursive.unwrap_or(if linear_ccs { RECURSIVE } else { 0 });
        (settings.token_heads, settings.token_starts) = (self.token_heads, self.token_starts);
        settings.ensemble_layers = self.ensemble_layers;
        settings.seeds = self.seeds;
        settings.shuffles = self.shuffles;
        if let Some(share) = self.true_share {
            settings.true_share = share;
        }
        settings.zero_shot = self.zero_shot.unwrap_or_default();
        settings.strata.clone_from(&self.strata);
        settings.negated.clone_from(&self.negated);
        settings.negated_by.clone_from(&self.negated_by);
        self.check_used(&settings, rows, all_tokens)?;
        settings.check()?;
        Ok(settings)
    }

    fn ccs(&self, settings: &mut Settings) -> Result<(), Error> {
        let ccs = &mut settings.ccs;
        ccs.max_iter = self.epochs;
        ccs.loss = self.loss.clone();
        ccs.optimizer = self.optimizer;
        ccs.bias = !self.no_bias;
        ccs.l2 = self.l2;
        ccs.hidden.clone_from(&self.hidden);
        ccs.project = self.project;
        ccs.remove_mean_difference = self.remove_mean_difference;
        ccs.precision = self.precision;
        if let Some(init) = self.init {
            if !self.hidden.is_empty() && init != Init::Uniform {
                let reason = "hidden layers start at random, uniformly";
                let value = "another than uniform".to_owned();
                return Err(refused("--init", value, reason, "leave out `--init` or `--hidden`"));
            }
            ccs.init = init;
        }
        if ccs.init == Init::Zero {
            ccs.n_init = 1;
        }
        ccs.n_init = self.restarts.unwrap_or(ccs.n_init);
        let of_adamw = [("--learning-rate", self.learning_rate), ("--weight-decay", self.weight_decay)];
        for (name, given) in of_adamw {
            if let Some(value) = given.filter(|_| self.optimizer == Optimizer::Lbfgs) {
                let hint = "leave it out; L-BFGS takes `--l2`";
                return Err(refused(name, value.to_string(), "L-BFGS does not use it", hint));
            }
        }
        ccs.learning_rate = self.learning_rate.unwrap_or(ccs.learning_rate);
        ccs.weight_decay = self.weight_decay.unwrap_or(ccs.weight_decay);
        Ok(())
    }

    /// Refuses what was given and would have no effect.
    fn check_used(&self, settings: &Settings, rows: RowKind, all_tokens: bool) -> Result<(), Error> {
        let methods = settings.methods.clone().unwrap_or_else(|| method::default(rows, all_tokens).collect());
        let with_c = (rows.is_pairs() && methods.contains(&Method::LR) && !self.lr_cross_validated)
            || methods.iter().any(|m| m.name() == "inlp")
            || all_tokens;
        if let Some(c) = self.lr_c.filter(|_| !with_c) {
            let reason = "no method takes it: lr with a penalty that is not chosen, or inlp";
            return Err(refused("--lr-c", c.to_string(), reason, "leave it out, or `--lr-cross-validated`"));
        }
        if self.remove_mean_difference && !methods.contains(&Method::CCS) {
            let reason = "ccs is not among the methods";
            let (name, hint) = ("--remove-mean-difference", "add it to `--methods`");
            return Err(refused(name, "given".to_owned(), reason, hint));
        }
        if let Some(share) = self.true_share.filter(|_| !methods.contains(&Method::CALIBRATED_ZERO_SHOT)) {
            let reason = "calibrated_zero_shot is not among the methods";
            return Err(refused("--true-share", share.to_string(), reason, "add it to `--methods`"));
        }
        if let Some(score) = self.zero_shot.filter(|_| !methods.iter().any(needs_answers)) {
            let reason = "neither zero_shot nor calibrated_zero_shot is among the methods";
            return Err(refused("--zero-shot", score.to_string(), reason, "add one to `--methods`"));
        }
        Ok(())
    }
}

fn needs_answers(method: &Method) -> bool {
    method::known(*method).is_some_and(|known| known.needs_answers)
}

fn refused(name: &'static str, value: String, reason: &'static str, hint: &'static str) -> Error {
    Error::Setting { name, value, reason, hint }
}
