//! One layer's states, split into training and test rows.

use ccs::Contrast;
use ccs::normalize::FEWEST_FOR_MEAN;

use crate::Result;
use crate::engine::plan::Plan;
use crate::source::Layer;
use crate::source::origin::locate;

/// One layer's data.
pub(crate) struct LayerData<'a> {
    pub(crate) layer: &'a Layer,
    pub(crate) train: Contrast,
    pub(crate) test: Contrast,
    /// The training states are the same in every row, or in every row of a template.
    pub(crate) degenerate: bool,
}

impl LayerData<'_> {
    /// The same once more, to be given to another thread.
    pub(crate) fn alias(&self) -> Result<Self> {
        let (train, test) = (self.train.alias()?, self.test.alias()?);
        Ok(Self { layer: self.layer, train, test, degenerate: self.degenerate })
    }
}

/// Loads a layer.
pub(crate) fn load<'l>(plan: &Plan<'_>, layer: &'l Layer) -> Result<LayerData<'l>> {
    let rows = plan.source.rows();
    let states = plan.source.load(layer)?.moved_to(plan.device)?;
    let mut all = states
        .labeled(rows.labels.clone(), rows.groups.clone())
        .map_err(|error| locate(plan.source, error))?;
    if let Some((questions, templates)) = rows.variants() {
        all = all.with_variants(questions, templates)?;
    }
    if let Some(polarity) = &plan.polarity {
        all = all.with_polarity(polarity.affirmative.clone())?;
    }
    let train = all.select(&plan.split.rows.train)?;
    let test = all.select(&plan.split.rows.test)?;
    drop(all); // half of the layer's memory, not needed while it is fitted
    let degenerate = is_constant(&train)?;
    Ok(LayerData { layer, train, test, degenerate })
}

/// Whether no template's states vary over its rows: normalization leaves nothing of them.
fn is_constant(train: &Contrast) -> Result<bool> {
    let parts = train.rows_by_template().into_iter().map(|(_, rows)| rows);
    let (own, single): (Vec<_>, Vec<_>) = parts.partition(|rows| rows.len() >= FEWEST_FOR_MEAN);
    let single: Vec<usize> = single.into_iter().flatten().collect(); // these are centered together
    for rows in own.into_iter().chain((!single.is_empty()).then_some(single)) {
        if !train.select(&rows)?.is_constant()? {
            return Ok(false);
        }
    }
    Ok(true)
}
