//! What all layers of a run share, and one layer's data.

use std::collections::BTreeMap;

use serde_json::Value;
use tch::Device;

use crate::Result;
use crate::engine::resume::Kept;
use crate::settings::Settings;
use crate::source::Layer;
use crate::source::Source;
use crate::source::origin::placed;
use ccs::Contrast;
use ccs::bootstrap::Resamples;
use ccs::normalize::FEWEST_FOR_MEAN;
use ccs::rng::Stream;
use ccs::split::Split;
use ccs_report::Method;

/// What all layers of a run share.
pub(crate) struct Context<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) settings: &'a Settings,
    pub(crate) methods: Vec<Method>,
    /// How many layers are looked at.
    pub(crate) layers: usize,
    pub(crate) device: Device,
    pub(crate) split: &'a Split,
    /// A hash of the training rows' side of `split.json`.
    pub(crate) train_id: String,
    /// Folds of the training rows, numbered within them.
    pub(crate) folds: &'a [Split],
    pub(crate) resamples: &'a Resamples,
    pub(crate) test_labels: &'a [bool],
    pub(crate) stream: Stream,
    pub(crate) kept: &'a Kept<'a>,
}

/// One layer's data.
pub(crate) struct Data<'a> {
    pub(crate) layer: &'a Layer,
    pub(crate) train: Contrast,
    pub(crate) test: Contrast,
    /// The training states are the same in every row, or in every row of a template.
    pub(crate) degenerate: bool,
}

/// Whether no template's states vary over its rows: normalisation leaves nothing of them.
fn is_constant(train: &Contrast) -> Result<bool> {
    let parts = train.rows_by_template().into_iter().map(|(_, rows)| rows);
    let (own, single): (Vec<_>, Vec<_>) = parts.partition(|rows| rows.len() >= FEWEST_FOR_MEAN);
    let single: Vec<usize> = single.into_iter().flatten().collect(); // these are centred together
    for rows in own.into_iter().chain((!single.is_empty()).then_some(single)) {
        if !train.select(&rows)?.is_constant()? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Context<'_> {
    pub(crate) fn load<'l>(&self, layer: &'l Layer) -> Result<Data<'l>> {
        let rows = self.source.rows();
        let (plus, minus) = self.source.load(layer)?;
        let (plus, minus) = (plus.f_to_device(self.device)?, minus.f_to_device(self.device)?);
        let mut all = Contrast::new(plus, minus, rows.labels.clone(), rows.groups.clone())
            .map_err(|error| placed(self.source, error))?;
        if let Some((questions, templates)) = rows.variants() {
            all = all.with_variants(questions, templates)?;
        }
        let train = all.select(&self.split.train)?;
        let test = all.select(&self.split.test)?;
        drop(all); // half of the layer's memory, not needed while it is fitted
        let degenerate = is_constant(&train)?;
        Ok(Data { layer, train, test, degenerate })
    }

    /// The stream of one method at one layer.
    pub(crate) fn stream(&self, method: Method, layer: &Layer) -> Stream {
        self.stream.child(method.name()).indexed("layer", layer.layer)
    }

    /// Where a probe comes from. Nothing of the test rows: a probe must not change with them.
    pub(crate) fn provenance(&self, method: Method, data: &Data<'_>, fit: Value) -> BTreeMap<String, Value> {
        let tokens = self.source.tokens().map(|rule| ("tokens".to_owned(), rule.into()));
        let known = BTreeMap::from([
            ("program".to_owned(), concat!("ccs ", env!("CARGO_PKG_VERSION")).into()),
            ("method".to_owned(), method.name().into()),
            ("layer".to_owned(), data.layer.layer.into()),
            ("hook".to_owned(), data.layer.hook.as_str().into()),
            ("seed".to_owned(), self.settings.seed.into()),
            ("train_rows".to_owned(), data.train.rows().into()),
            ("train_split".to_owned(), self.train_id.as_str().into()),
            ("fit".to_owned(), fit),
            ("states".to_owned(), self.source.made_by()),
        ]);
        known.into_iter().chain(tokens).collect()
    }
}
