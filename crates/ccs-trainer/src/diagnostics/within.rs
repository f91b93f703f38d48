//! CCS's sign and start at its layer: what choosing them by the test rows would have given.

use ccs::methods::ccs::{CcsFit, ccs};
use ccs::probe::{HiddenLayers, Probe, Sign};
use ccs_report::{Method, OracleRestart, OracleSign, WithinLayer};

use crate::control::{Halt, RunControl, Work};
use crate::engine::data::LayerData;
use crate::engine::evaluate::predict;
use crate::engine::plan::Plan;
use crate::engine::recipe::possible;
use crate::{Result, convert};

/// What choosing CCS's sign and start by the test rows would have given at this layer. `fit` is the run's own with
/// every start, of which a layer keeps the best; it is made again where it is not at hand.
pub(crate) fn chosen_by_test_rows(
    plan: &Plan<'_>,
    data: &LayerData<'_>,
    probe: &Probe,
    fit: Option<CcsFit>,
    control: RunControl<'_>,
) -> Work<WithinLayer> {
    let (predictions, labels) = (predict(probe, &data.test)?, data.test.labels());
    let accuracy = predictions.against(labels)?.accuracy();
    let other = predictions.turned().against(labels)?.accuracy();
    let best = accuracy.max(other);
    let sign = match probe.sign() {
        kept if other <= accuracy => kept,
        Sign::Plus => Sign::Minus,
        Sign::Minus => Sign::Plus,
    };
    let oracle_restart =
        if matches!(probe.hidden_layers(), HiddenLayers::Linear) && plan.settings.ccs.n_init > 1 {
            let again = || {
                control.begin(Method::CCS, data.layer.layer, "every start")?;
                Ok::<_, Halt>(possible(ccs(
                    &data.train,
                    &plan.settings.ccs,
                    &plan.stream_of(Method::CCS, data.layer),
                ))?)
            };
            let fit = if fit.is_some() { fit } else { again()?.ok() };
            fit.map(|fit| best_restart(&fit, data, accuracy)).transpose()?.flatten()
        } else {
            None
        };
    Ok(WithinLayer {
        layer: data.layer.layer,
        accuracy,
        sign_rule: "at least half of the training rows are classified correctly".to_owned(),
        sign: convert::sign(probe.sign()),
        oracle_sign: OracleSign { sign: convert::sign(sign), accuracy: best, gap: best - accuracy },
        restart_rule: "lowest final training loss".to_owned(),
        oracle_restart,
    })
}

/// The start with the best test accuracy, each with its sign from the training rows; `kept` is that of the start kept.
fn best_restart(fit: &CcsFit, data: &LayerData<'_>, kept: f64) -> Result<Option<OracleRestart>> {
    let mut best = OracleRestart { kept: fit.restart, restart: fit.restart, accuracy: kept, gap: 0.0 };
    for (restart, value) in fit.objectives.iter().enumerate() {
        if restart == fit.restart || !value.is_finite() {
            continue;
        }
        let Some(probe) = fit.probe_of_start(restart, &data.train)? else { return Ok(None) };
        let accuracy = probe.accuracy(&data.test)?;
        if accuracy > best.accuracy {
            best = OracleRestart { restart, accuracy, gap: accuracy - kept, ..best };
        }
    }
    Ok(Some(best))
}
