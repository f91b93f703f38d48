//! The report of a run from what its layers and diagnostics found.

use ccs::baselines::majority_share;
use ccs::probe::Probe;
use ccs_report::sentences::TestRows;
use ccs_report::{Chosen, LayerReport, Method, MethodInfo, PolarityReport, Projections, Report, sentences};
use indexmap::IndexMap;

use crate::Result;
use crate::diagnostics::found::Diagnostics;
use crate::diagnostics::polarity;
use crate::diagnostics::shuffled;
use crate::engine::bar::Bar;
use crate::engine::outcome::LayerOutcome;
use crate::engine::plan::Plan;
use crate::engine::split::Counts;
use crate::engine::{choose_layer, compare};
use crate::method;
use crate::per_row::about::RunRows;
use crate::per_row::examples::examples;
use crate::per_row::predictions::{MethodPredictions, of_controls};
use crate::run::Run;

/// Compares the choices, and puts the report together.
pub(crate) fn assemble(
    plan: &Plan<'_>,
    mut chosen: IndexMap<Method, Chosen>,
    outcomes: Vec<LayerOutcome>,
    mut diagnostics: Diagnostics,
    projections: Option<Projections>,
) -> Result<Run> {
    let layers: Vec<&LayerReport> = outcomes.iter().map(|o| &o.report).collect();
    let without_labels =
        choose_layer::without_labels(&layers).filter(|_| !plan.settings.ccs.remove_mean_difference);
    let mut bar = Bar::new(plan)?;
    let choices = compare::between_choices(plan, &mut chosen, &outcomes, bar.as_mut())?;
    let counts = plan.split.counts(plan.source.rows())?;
    let (probes, reports) = parts(outcomes);
    let rows = RunRows::of(plan)?;
    let predictions = predictions(plan, std::mem::take(&mut diagnostics.predictions))?;
    let (source, split) = (plan.source, &plan.split);
    let polarity = of_polarity(plan, &mut diagnostics)?;
    let mut report = Report {
        schema: Report::SCHEMA,
        program: concat!("ccs ", env!("CARGO_PKG_VERSION")).to_owned(),
        methods: infos(plan),
        row_kind: plan.source.kind(),
        verdicts: Vec::new(),
        notes: notes(plan, &counts, &mut diagnostics),
        majority: majority_share(&split.test_labels),
        rows: counts.rows,
        groups: counts.groups,
        positives: counts.positives,
        groups_of_rarer_label: split.clusters.groups_of_rarer_label(),
        chosen,
        chosen_without_labels: without_labels.map(|choice| (Method::CCS, choice)).into_iter().collect(),
        zero_shot: bar.map(|bar| bar.report),
        chosen_difference: choices.leading_and_lr,
        comparisons: choices.comparisons,
        diagnostics: method::in_order(diagnostics.by_method),
        seeds: method::in_order(diagnostics.seeds),
        shuffled: method::in_order(diagnostics.shuffled),
        token_places: method::in_order(diagnostics.token_places),
        polarity,
        directions: diagnostics.directions,
        recursive: diagnostics.recursive,
        within_layer: diagnostics.within,
        several_layers: method::in_order(diagnostics.several_layers),
        blank: None,
        projections,
        examples: examples(&rows, &predictions),
        transfer: IndexMap::new(),
        transfer_answers: IndexMap::new(),
        layers: reports,
        settings: plan.settings.recorded()?,
        split: split.report.id.clone(),
        states: source.states(),
        about: source.about(),
        data_notes: source.notes(),
        data: serde_json::Value::Object(source.identity().into()),
    };
    report.verdicts = sentences::verdicts(&report);
    Ok(Run { report, split: split.report.clone(), rows, predictions, probes })
}

/// What the report says of every method of the run.
fn infos(plan: &Plan<'_>) -> IndexMap<Method, MethodInfo> {
    plan.methods.iter().filter_map(|&method| Some((method, plan.settings.info(method)?))).collect()
}

/// Affirmative and negated rows apart, where rows say which they are.
fn of_polarity(plan: &Plan<'_>, diagnostics: &mut Diagnostics) -> Result<Option<PolarityReport>> {
    let Some(polarity) = &plan.polarity else { return Ok(None) };
    let by_method = method::in_order(std::mem::take(&mut diagnostics.polarity));
    polarity::report(plan, polarity, by_method, diagnostics.truth_plane.take())
}

/// The probes of all layers, and the layers' reports.
fn parts(outcomes: Vec<LayerOutcome>) -> (Vec<(Method, usize, Probe)>, Vec<LayerReport>) {
    let (mut probes, mut reports) = (Vec::new(), Vec::with_capacity(outcomes.len()));
    for outcome in outcomes {
        let layer = outcome.report.layer;
        probes.extend(outcome.probes.into_iter().map(|(method, probe)| (method, layer, probe)));
        reports.push(outcome.report);
    }
    (probes, reports)
}

/// Those of probes and of controls, in the order of reports.
fn predictions(plan: &Plan<'_>, mut of_probes: Vec<MethodPredictions>) -> Result<Vec<MethodPredictions>> {
    of_probes.extend(of_controls(plan)?);
    of_probes.sort_by_key(|of| plan.methods.iter().position(|method| *method == of.method));
    Ok(of_probes)
}

/// Said where CCS was kept from what labels find at once.
const WITHOUT_MEAN_DIFFERENCE: &str = "before CCS, and recursive CCS, were fitted, the difference of the training rows' \
                                       means by label was taken out of the states: both use labels in this run";

/// What a reader should know, each sentence once.
fn notes(plan: &Plan<'_>, counts: &Counts, diagnostics: &mut Diagnostics) -> Vec<String> {
    let mut notes = sentences::notes(
        TestRows {
            groups: plan.split.clusters.groups(),
            groups_of_rarer_label: plan.split.clusters.groups_of_rarer_label(),
        },
        plan.layers.len(),
    );
    notes.extend(one_label(counts));
    notes.extend(plan.source.rows().both_labels.clone());
    if plan.source.all_tokens().is_some() {
        notes.push(ONE_STATE.to_owned());
    }
    notes.extend(shuffled::note(&diagnostics.shuffled));
    if plan.settings.ccs.remove_mean_difference && plan.methods.contains(&Method::CCS) {
        notes.push(WITHOUT_MEAN_DIFFERENCE.to_owned());
    }
    for note in std::mem::take(&mut diagnostics.notes) {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

/// What is not of all tokens in a run that is.
const ONE_STATE: &str = "Random directions, also under shuffled labels, are directions of the last token's states; probes of all \
                         tokens can do more than such a direction.";

/// A sentence on test rows that have one label.
fn one_label(counts: &Counts) -> Option<String> {
    let (rows, positives) = (counts.rows.test, counts.positives.test);
    let label = positives > 0;
    (positives == 0 || positives == rows).then(|| {
        format!("all {rows} test rows are labeled {label}: there is no AUROC, and accuracy says little")
    })
}
