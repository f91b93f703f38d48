//! The flags that say how a run is fitted.

use ccs::Method;
use ccs::fit::ccs::{Init, Optimizer};
use ccs::loss::Mix;
use ccs::normalize::Normalization;
use ccs::run::{LayerSelection, Settings};
use clap::Args;

#[derive(Debug, Args)]
#[allow(clippy::doc_markdown, reason = "this is the help as it is shown, without backticks")]
pub(super) struct SettingsArgs {
    /// Methods, separated by commas, or `all`. Without it the quick ones: ccs, tpc, lr, mean_difference, random, zero_shot,
    /// calibrated_zero_shot, majority. Further: bss, kmeans, drc, rrc, vinc, vinc_s, lr_statements, lr_pairs, lda, inlp.
    #[arg(long, value_delimiter = ',')]
    methods: Option<Vec<String>>,
    /// Layers, such as 0,5-12; 0 is the embedding.
    #[arg(long, default_value = "all")]
    layers: String,
    /// The split, the starts, the random directions and the resamples follow from it.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Share of rows kept for testing; rows of one group (passage) stay together.
    #[arg(long, default_value_t = 0.4)]
    test_fraction: f64,
    /// Folds of the cross-validation inside the training rows that chooses layers and penalties.
    #[arg(long, default_value_t = 5)]
    folds: usize,
    /// How states are normalised, for every method: mean_only, element_wise, burns, leace or cluster; by template where
    /// there are several.
    #[arg(long, value_name = "HOW", default_value_t = Normalization::default())]
    normalize: Normalization,
    /// Random starts of CCS; the one with the lowest final training loss is kept.
    #[arg(long, default_value_t = 10, help_heading = "CCS")]
    restarts: usize,
    /// Steps of CCS; of L-BFGS at most so many.
    #[arg(long, default_value_t = 1000, help_heading = "CCS")]
    epochs: usize,
    /// What CCS minimises, such as `ccs+0.5*js`: consistency, confidence, symmetric_confidence, js, js_confidence,
    /// prompt_var, and their sums ccs and ccs_prompt_var.
    #[arg(long, value_name = "MIX", default_value_t = Mix::default(), help_heading = "CCS")]
    loss: Mix,
    /// adamw, or lbfgs with a line search.
    #[arg(long, default_value = "adamw", help_heading = "CCS")]
    optimizer: Optimizer,
    /// Where the starts are: unit_sphere, uniform, pca or zero.
    #[arg(long, default_value = "unit_sphere", help_heading = "CCS")]
    init: Init,
    /// Probes without a bias.
    #[arg(long, help_heading = "CCS")]
    no_bias: bool,
    /// λ of a penalty ½λ‖w‖² on the weights.
    #[arg(long, value_name = "LAMBDA", default_value_t = 0.0, help_heading = "CCS")]
    l2: f64,
    /// Widths of hidden layers, separated by commas, such as 100; without it the probe is linear.
    #[arg(long, value_name = "WIDTHS", value_delimiter = ',', help_heading = "CCS")]
    hidden: Vec<usize>,
    /// Fit in the span of the first K principal directions of the training rows' differences.
    #[arg(long, value_name = "K", help_heading = "CCS")]
    project: Option<usize>,
    /// Choose the penalty of `lr` by cross-validation too, instead of C = 0.1.
    #[arg(long, help_heading = "Controls")]
    lr_cross_validated: bool,
    /// Directions of recursive CCS at the chosen layer, each orthogonal to those before it; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Controls")]
    recursive: usize,
    /// Other seeds under which what is random is fitted again at its chosen layer.
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "Controls")]
    seeds: usize,
    /// Fits at the chosen layer with shuffled training labels.
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "Controls")]
    shuffles: usize,
}

impl SettingsArgs {
    /// The settings, where `with_answers` says whether the data has the model's answers, which `all` depends on.
    pub(super) fn settings(&self, with_answers: bool) -> Result<Settings, ccs::Error> {
        let mut settings = Settings::default().normalized(self.normalize);
        settings.methods = match self.methods.as_deref() {
            None => None,
            Some([all]) if all.trim() == "all" => {
                let usable = |m: &Method| with_answers || !m.needs_answers();
                Some(Method::ALL.into_iter().filter(usable).collect())
            }
            Some(names) => Some(names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?),
        };
        settings.layers = self.layers.parse::<LayerSelection>()?;
        settings.seed = self.seed;
        settings.test_fraction = self.test_fraction;
        settings.folds = self.folds;
        settings.ccs.restarts = self.restarts;
        settings.ccs.epochs = self.epochs;
        settings.ccs.loss = self.loss.clone();
        settings.ccs.optimizer = self.optimizer;
        settings.ccs.init = self.init;
        settings.ccs.bias = !self.no_bias;
        settings.ccs.l2 = self.l2;
        settings.ccs.hidden.clone_from(&self.hidden);
        settings.ccs.project = self.project;
        settings.lr_cross_validated = self.lr_cross_validated;
        settings.recursive = self.recursive;
        settings.seeds = self.seeds;
        settings.shuffles = self.shuffles;
        Ok(settings)
    }
}
