//! A run's probe on new questions: the model runs over them as it did for the run's store, the probe reads its states.

use activations::{BatchStates, ColumnStates, RowKind};
use boolq::TokenizedPair;
use ccs::Contrast;
use ccs::baselines::Predictions;
use ccs_report::{AnswerScore, Evaluation};
use ccs_trainer::{Fitted, Settings, evaluation};
use llama_core::tch::{Device, Tensor};
use llama_core::{Checkpoint, HookPoint, HookSet, IdentityCache, Kernels, Llama, Precision, Tokenizer};

use crate::error::{Error, Result};
use crate::extract::{Examples, Extraction, TokenRule, batch, plan, residency};

mod origin;

pub use origin::{Mismatch, Origin};

/// How [`predict()`] computes.
#[derive(Clone, Debug)]
pub struct PredictOptions {
    /// What the model computes in; `None` is what the states were computed in that the probe was fitted on.
    pub precision: Option<Precision>,
    /// The kernels that compute it; `None` are those of the states, where they compute on this device.
    pub kernels: Option<Kernels>,
    /// Where the model computes; a device from [`torch_runtime::open`].
    pub device: Device,
    /// Most tokens of a batch, padding included; a batch has at least one pair.
    pub batch_tokens: usize,
    /// What of an answer's log-probability [`Prediction::zero_shot`] goes by; `None` is what the run went by.
    pub zero_shot: Option<AnswerScore>,
    /// Goes on where the model or its tokenizer is not the one that the probe was fitted on, and says so among the
    /// warnings.
    pub any_model: bool,
    /// Where models' identities are remembered; by default nowhere, and all weights are read for it.
    pub identities: IdentityCache,
}

impl Default for PredictOptions {
    fn default() -> Self {
        Self {
            precision: None,
            kernels: None,
            device: Device::Cpu,
            batch_tokens: Extraction::BATCH_TOKENS,
            zero_shot: None,
            any_model: false,
            identities: IdentityCache::none(),
        }
    }
}

/// What the probe, and the model itself, say of a pair: how probable its plus side is, as the true one of the two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The probe's score: true above [`ccs::probe::ProbeInput::threshold`]. CCS's p̃, a logit, or a number of
    /// no fixed scale, by the probe's method.
    pub score: f64,
    /// The probability by the probe's Platt scaling, fitted on held-out training rows; of a probe without one, as its fit
    /// gives it, not calibrated; `None` where scores are of no fixed scale and not calibrated.
    pub p_true: Option<f64>,
    /// By the model's own answer: its probability for the plus answer, of the two answers together. An answer's
    /// probability is that of all its tokens, or their geometric mean ([`Predicted::zero_shot_score`]). Not calibrated.
    pub zero_shot: f64,
    /// The pair is of a group (passage) that the probe was trained on: being right about it says little.
    pub trained_on: bool,
}

/// What [`predict()`] found.
#[derive(Debug)]
pub struct Predicted {
    /// One for each pair, in their order.
    pub rows: Vec<Prediction>,
    /// What differs from what the probe was fitted on, and so may make it wrong.
    pub warnings: Vec<Mismatch>,
    /// The score above which the probe takes a pair for true.
    pub threshold: f64,
    /// What of an answer's log-probability zero-shot goes by.
    pub zero_shot_score: AnswerScore,
}

impl Predicted {
    /// Pairs of groups (passages) that the probe was trained on.
    pub fn trained_on(&self) -> usize {
        self.rows.iter().filter(|row| row.trained_on).count()
    }

    /// How often the probe, by its scores, and the model's own answer are right, with intervals that take groups for independent; for
    /// pairs whose labels mean something. As in `ccs eval`, pairs that the probe was trained on are left out unless
    /// `keep_trained`; `None` where no pair is left.
    ///
    /// # Errors
    /// Other pairs than those predicted.
    pub fn evaluate(
        &self,
        pairs: &[TokenizedPair],
        keep_trained: bool,
    ) -> Result<Option<(Evaluation, Evaluation)>> {
        if pairs.len() != self.rows.len() {
            let (expected, found) = (self.rows.len(), pairs.len());
            return Err(ccs::Error::Length { what: "pairs", expected, found }.into());
        }
        let evaluated = || pairs.iter().zip(&self.rows).filter(|(_, row)| keep_trained || !row.trained_on);
        let labels: Vec<bool> = evaluated().map(|(pair, _)| pair.pair.label).collect();
        if labels.is_empty() {
            return Ok(None);
        }
        let groups: Vec<String> = evaluated().map(|(pair, _)| pair.pair.group.clone()).collect();
        let of = |score: fn(&Prediction) -> f64, threshold: f64| {
            let predictions =
                Predictions { scores: evaluated().map(|(_, row)| score(row)).collect(), threshold };
            evaluation(&predictions, &labels, &groups)
        };
        Ok(Some((of(|row| row.score, self.threshold)?, of(|row| row.zero_shot, 0.5)?)))
    }
}

/// Runs the model over the pairs and reads its states with a run's probe, at the hook point and token it was fitted
/// on. `progress` is called with the pairs done and their number, before the first batch and after each one.
///
/// ```no_run
/// use llama_ccs::{PredictOptions, boolq, ccs_report, ccs_trainer, llama_core, predict, tokenize_all};
///
/// let fitted = ccs_trainer::Fitted::open("out/run", ccs_report::Method::CCS, None)?;
/// let checkpoint = llama_core::Checkpoint::open("llama-7b")?;
/// let tokenizer = checkpoint.tokenizer()?;
/// let pairs = tokenize_all(boolq::prompts::read("new.csv")?.pairs, &tokenizer)?;
/// let found = predict(&fitted, &checkpoint, &tokenizer, &pairs, &PredictOptions::default(), &mut |_, _| {})?;
/// for (pair, row) in pairs.iter().zip(&found.rows) {
///     println!("{:.3} {}", row.p_true.unwrap_or(f64::NAN), pair.pair.plus_prompt);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A probe of single statements, or of the states of all tokens; another model or tokenizer than the probe was fitted on,
/// unless `any_model` allows it; states that this crate
/// cannot make again; what the model, its tokenizer and the probe refuse.
pub fn predict(
    fitted: &Fitted,
    checkpoint: &Checkpoint,
    tokenizer: &Tokenizer,
    pairs: &[TokenizedPair],
    options: &PredictOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Predicted> {
    let of_all = 0..checkpoint.config().n_layers;
    let mut load = |computing, batch_tokens| {
        let batch = (batch_tokens, 0);
        residency::load(checkpoint, computing, options.device, None, of_all.clone(), batch, &mut ())
    };
    predict_with(&mut load, (fitted, checkpoint, tokenizer), pairs, options, progress)
}

/// Loads a model that computes so, for batches of so many tokens: with the tokens that a pass over its weights is made for.
pub(crate) type Load<'l> = dyn FnMut((Precision, Kernels), usize) -> Result<(Llama, usize)> + 'l;

/// [`predict()`], however the model is loaded.
pub(crate) fn predict_with(
    load: &mut Load<'_>,
    (fitted, checkpoint, tokenizer): (&Fitted, &Checkpoint, &Tokenizer),
    pairs: &[TokenizedPair],
    options: &PredictOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Predicted> {
    if pairs.is_empty() {
        return Err(Error::NoPairs);
    }
    let origin = Origin::of(fitted);
    let (point, rule) = what_it_reads(fitted)?;
    let hooks = HookSet::from(point);
    tokenizer.check_fits(checkpoint.config())?;
    hooks.check_blocks(checkpoint.config().n_layers)?;
    let precision = options.precision.or(origin.precision).unwrap_or(Precision::F32);
    let recorded = origin.kernels.filter(|kernels| kernels.compute(precision, options.device));
    let kernels = options.kernels.or(recorded).unwrap_or_default();
    if checkpoint.config().headless {
        return Err(llama_core::Error::Headless.into());
    }
    // All weights are read for it: not for a run that does not say which model it is of.
    let model = match origin.model {
        Some(_) => checkpoint.identity(&options.identities, &mut |_, _| {})?,
        None => String::new(),
    };
    let mismatches = origin.mismatches(&model, tokenizer, precision, pairs);
    let statistics = without_statistics(fitted, pairs);
    let warnings = tolerated(mismatches.into_iter().chain(statistics), options.any_model)?;

    let batch_tokens = options.batch_tokens.max(1);
    // A model that does not fit is read from disk, once for a group of batches.
    let (llama, group) = load((precision, kernels), batch_tokens)?;
    let score = options.zero_shot.unwrap_or(Settings::of(&fitted.report)?.zero_shot);
    let (hooks, rules) = (&hooks, &[rule]);
    let runner = batch::BatchRunner { llama: &llama, hooks, rules, edits: None, sharing: true, stop: None };
    let unread = Prediction { score: f64::NAN, p_true: None, zero_shot: f64::NAN, trained_on: false };
    let mut rows = vec![unread; pairs.len()];
    let mut done = 0;
    progress(done, pairs.len());
    let examples = Examples::from(pairs).rows();
    let batches = plan::batches(&examples, batch_tokens, plan::Grouping::Questions);
    for group in batches.chunks((group / batch_tokens).max(1)) {
        for (batch, states) in group.iter().zip(runner.states(&examples, RowKind::Pairs, group)?) {
            for (row, prediction) in batch.iter().zip(read(fitted, &states, score, pairs, batch)?) {
                rows[*row] = prediction;
            }
            done += batch.len();
            progress(done, pairs.len());
        }
    }
    let threshold = fitted.probe.input().threshold();
    Ok(Predicted { rows, warnings, threshold, zero_shot_score: score })
}

/// Whether [`predict`] can use a run's probe at all: before prompts are made and a model is loaded.
///
/// # Errors
/// A probe of single statements, or of the states of all tokens; a hook point or token rule that is not known.
pub fn check_predictable(fitted: &Fitted) -> Result<()> {
    what_it_reads(fitted).map(|_| ())
}

/// The hook point and the token rule of the states that the probe was fitted on.
fn what_it_reads(fitted: &Fitted) -> Result<(HookPoint, TokenRule)> {
    let point: HookPoint = fitted.hook.parse()?;
    if !plan::storable(point) {
        return Err(Error::NotStorable { hook: fitted.hook.clone() });
    }
    if fitted.probe.hidden_layers().reads_tokens() {
        return Err(Error::AllTokens { method: fitted.method });
    }
    let rule = fitted.tokens.parse().map_err(|_| Error::UnknownTokenRule { rule: fitted.tokens.clone() })?;
    if rule == TokenRule::All {
        return Err(Error::NotPredicted { what: "the states of all tokens" });
    }
    if fitted.report.row_kind == ccs_report::RowKind::Statements {
        return Err(Error::NotPredicted { what: "single statements" });
    }
    Ok((point, rule))
}

/// What differs from what the probe was fitted on, as warnings, those of the model first. Another model is an error unless
/// `any_model` allows it.
fn tolerated(mismatches: impl Iterator<Item = Mismatch>, any_model: bool) -> Result<Vec<Mismatch>> {
    let (of_the_model, others): (Vec<_>, Vec<_>) = mismatches.partition(Mismatch::is_of_the_model);
    match of_the_model.first() {
        Some(mismatch) if !any_model => Err(Error::OtherModel { mismatch: mismatch.clone() }),
        _ => Ok(of_the_model.into_iter().chain(others).collect()),
    }
}

/// Pairs of templates that a probe of several templates has no statistics of.
fn without_statistics(fitted: &Fitted, pairs: &[TokenizedPair]) -> Option<Mismatch> {
    let normalizer = fitted.probe.normalizer();
    let known = normalizer.templates();
    let unknown = pairs.iter().filter(|p| normalizer.template(&p.pair.template).is_none()).count();
    (!known.is_empty() && unknown > 0).then(|| Mismatch::Statistics { known: known.to_vec(), rows: unknown })
}

/// The predictions for some rows, in their order.
fn read(
    fitted: &Fitted,
    states: &BatchStates,
    score: AnswerScore,
    pairs: &[TokenizedPair],
    rows: &[usize],
) -> Result<Vec<Prediction>> {
    let not_storable = || Error::NotStorable { hook: fitted.hook.clone() };
    let [states, sums, means] = states.columns.as_slice() else { return Err(not_storable()) };
    let logprobs = match score {
        AnswerScore::Sum => sums,
        AnswerScore::Mean => means,
    };
    let (
        ColumnStates::Pair { plus, minus },
        ColumnStates::Pair { plus: plus_logprobs, minus: minus_logprobs },
    ) = (states, logprobs)
    else {
        return Err(not_storable());
    };
    let matrix = |states: &[f32]| {
        let tensor = Tensor::f_from_slice(states).and_then(|t| t.f_reshape([rows.len() as i64, -1]));
        batch::torch(tensor) // [B, D]
    };
    let labels = rows.iter().map(|&row| pairs[row].pair.label).collect();
    let groups = rows.iter().map(|&row| pairs[row].pair.group.clone()).collect();
    // Templates have statistics of their own. Which rows ask one question changes no score, and a batch holds part of
    // them, so each row is a question of its own, and may be there twice.
    let questions = rows.iter().map(ToString::to_string).collect();
    let templates = rows.iter().map(|&row| pairs[row].pair.template.clone()).collect();
    let contrast = Contrast::new(matrix(plus)?, matrix(minus)?, labels, groups)
        .map_err(|e| in_data(e, rows))?
        .with_variants(questions, templates)?;
    let own_answer = plus_logprobs.iter().zip(minus_logprobs).map(|(plus, minus)| {
        let logit = f64::from(*plus) - f64::from(*minus);
        1.0 / (1.0 + (-logit).exp())
    });
    let trained_on = rows.iter().map(|&row| fitted.train_groups.contains(&pairs[row].pair.group));
    let scores = fitted.probe.score_pairs(&contrast)?.into_iter();
    Ok(scores
        .zip(own_answer.zip(trained_on))
        .map(|(score, (zero_shot, trained_on))| Prediction {
            score,
            p_true: fitted.probe.probability(score),
            zero_shot,
            trained_on,
        })
        .collect())
}

/// The error with the row's number among all pairs, not in its batch.
fn in_data(error: ccs::Error, rows: &[usize]) -> ccs::Error {
    match error {
        ccs::Error::NotFinite { what, row, column } => {
            ccs::Error::NotFinite { what, row: rows.get(row).copied().unwrap_or(row), column }
        }
        other => other,
    }
}
