//! Test rows along the directions of TTPD (Bürger et al. 2024, figure 1).

use ccs::Statements;
use ccs::methods::ttpd::{Ttpd, ttpd};
use ccs::pick;
use ccs_report::TruthPlane;

use crate::Result;
use crate::diagnostics::projection::{rounded, some};
use crate::engine::data::LayerData;
use crate::engine::plan::Plan;

/// Rows of the picture.
const ROWS: usize = 400;

/// The plane of `t_G` and `t_P` of a layer's training statements; none where only one polarity is known.
pub(crate) fn truth_plane(plan: &Plan<'_>, data: &LayerData<'_>) -> Result<Option<TruthPlane>> {
    let all: Vec<usize> = (0..data.train.rows()).collect();
    let train = Statements::of(data.train.select(&all)?)?;
    let options = Ttpd { normalization: plan.settings.normalization, ..Ttpd::default() };
    let fit = ttpd(&train, &options)?;
    let Some(t_p) = &fit.t_p else { return Ok(None) };
    let product = fit.t_g.f_dot(t_p)?.f_double_value(&[])?;
    let lengths = fit.t_g.f_norm()?.f_double_value(&[])? * t_p.f_norm()?.f_double_value(&[])?;
    let stream = plan.stream.child("truth plane");
    let mut shown = some(data.test.rows(), ROWS, &stream);
    shown.sort_unstable();
    let test = Statements::of(data.test.select(&shown)?)?;
    let points = fit.plane(&test)?;
    let [general, sensitive] =
        rounded([0, 1].map(|axis: usize| points.iter().map(|point| point[axis]).collect()));
    Ok(Some(TruthPlane {
        layer: data.layer.layer,
        rows: pick(&plan.split.rows.test, &shown)?,
        labels: test.labels().to_vec(),
        affirmative: test.polarity().unwrap_or_default().to_vec(),
        general,
        sensitive,
        cosine: if lengths > 0.0 { product / lengths } else { 0.0 },
    }))
}
