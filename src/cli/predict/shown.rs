//! What was predicted, as a table and as JSON.

use llama_ccs::Predicted;
use llama_ccs::boolq::TokenizedPair;
use llama_ccs::ccs_report::Evaluation;
use llama_ccs::ccs_report::sentences::FEWEST_GROUPS;
use llama_ccs::ccs_trainer::Fitted;
use serde_json::json;

use super::{Accuracy, Asked, SHOWN};
use crate::cli::output;
use crate::cli::values::AnyError;

/// What p(true) is.
fn certainty(fitted: &Fitted) -> &'static str {
    let calibration = fitted.probe.calibration();
    match (calibration.platt, calibration.own) {
        (Some(_), _) => "p(true) is calibrated on held-out training rows",
        (None, true) => "p(true) is not calibrated: no Platt scaling is saved with the probe",
        (None, false) => {
            "the scores are no probabilities, and no Platt scaling is saved with the probe: fit it again"
        }
    }
}

pub(super) fn as_json(
    fitted: &Fitted,
    asked: &Asked,
    found: &Predicted,
    accuracy: Option<&Accuracy>,
) -> serde_json::Value {
    let rows = asked.pairs.iter().zip(&asked.texts).zip(&found.rows).map(|((pair, text), row)| {
        let label = asked.labeled.then_some(pair.pair.label);
        json!({
            "idx": pair.pair.idx, "question_id": pair.pair.question_id, "question": text,
            "p_true": row.p_true, "score": row.score, "judged_true": row.score > found.threshold,
            "zero_shot": row.zero_shot, "label": label, "trained_on": row.trained_on,
        })
    });
    json!({
        "probe": {
            "method": fitted.method, "layer": fitted.layer, "hook": fitted.hook, "tokens": fitted.tokens,
        },
        "calibrated": fitted.probe.calibration().platt.is_some(),
        "platt": fitted.probe.calibration().platt,
        "threshold": found.threshold,
        "zero_shot_score": found.zero_shot_score,
        "warnings": found.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "trained_on": asked.labeled.then_some(found.trained_on()),
        "evaluation": accuracy.map(|a| json!({ "rows": a.counted(), "probe": a.probe, "zero_shot": a.zero_shot })),
        "predictions": rows.collect::<Vec<_>>(),
    })
}

pub(super) fn table(
    fitted: &Fitted,
    asked: &Asked,
    found: &Predicted,
    accuracy: Option<&Accuracy>,
) -> Result<(), AnyError> {
    let label =
        |pair: &TokenizedPair| if asked.labeled { format!("{:<7}", pair.pair.label) } else { String::new() };
    output::page(&format!(
        "p(true)     score  zero-shot  {}question",
        if asked.labeled { "label  " } else { "" }
    ))?;
    for ((pair, text), row) in asked.pairs.iter().zip(&asked.texts).zip(&found.rows) {
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut shown: String = text.chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        let p_true = row.p_true.map_or_else(|| "-".to_owned(), |p| format!("{p:.3}"));
        let (score, zero_shot) = (row.score, row.zero_shot);
        output::page(&format!("{p_true:>7}  {score:>8.3}  {zero_shot:>9.3}  {}{shown}", label(pair)))?;
    }
    output::page(&format!("\n{}; a score above {} counts as true", certainty(fitted), found.threshold))?;
    let Some(accuracy) = accuracy else { return Ok(()) };
    let line = |evaluation: &Evaluation| {
        let percent = |x: f64| format!("{:.1}%", 100.0 * x);
        let interval =
            evaluation.accuracy_ci.map(|[low, high]| format!(" [{:.1}, {:.1}]", 100.0 * low, 100.0 * high));
        format!("accuracy {}{}", percent(evaluation.accuracy), interval.unwrap_or_default())
    };
    let Fitted { method, layer, hook, tokens, .. } = fitted;
    output::page(&format!(
        "{} at layer {layer} ({hook}, tokens {tokens}): {} of {} rows; zero-shot by the {}: {}",
        fitted.report.title(*method),
        line(&accuracy.probe),
        accuracy.counted(),
        found.zero_shot_score,
        line(&accuracy.zero_shot)
    ))?;
    let counted = asked.pairs.iter().zip(&accuracy.rows).filter(|(_, counted)| **counted);
    let groups: std::collections::BTreeSet<&str> = counted.map(|(p, _)| p.pair.group.as_str()).collect();
    if groups.len() < FEWEST_GROUPS {
        output::warn(&format!("{} passages are too few for an interval to be relied on", groups.len()));
    }
    Ok(())
}
