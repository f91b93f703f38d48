//! A store of hidden states as a data source.

use std::path::Path;

use activations::{SideOf, Store};
use tch::Tensor;

use crate::Result;
use crate::run::{Layer, Rows, Source, matrix};

/// The column of the model's log-probabilities.
const ANSWER_LOGPROB: &str = "answer_logprob";

/// A finished [`activations::Store`]; layers are read when they are worked on.
#[derive(Debug)]
pub struct StoreSource {
    store: Store,
    rows: Rows,
    layers: Vec<Layer>,
}

impl StoreSource {
    /// Opens a store and reads its rows.
    ///
    /// # Errors
    /// What the store reports: not a store, not finished, damaged.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let store = Store::open(dir).map_err(Box::new)?;
        let mut rows = Rows::default();
        for row in store.rows().map_err(Box::new)? {
            rows.ids.push(row.idx.to_string());
            rows.labels.push(row.label);
            // A store without groups has each pair for itself.
            rows.groups.push(if row.group.is_empty() { format!("row {}", row.idx) } else { row.group });
        }
        if store.manifest().columns.iter().any(|column| column.name() == ANSWER_LOGPROB) {
            let reader = store.column(ANSWER_LOGPROB).map_err(Box::new)?;
            let side = |side| -> Result<Vec<f64>> {
                Ok(reader.read(side).map_err(Box::new)?.into_iter().map(f64::from).collect())
            };
            rows.answer_logprob = Some((side(SideOf::Plus)?, side(SideOf::Minus)?));
        }
        // The last token's state where a layer is kept at several tokens: its column has the hook point's bare name.
        let layers = store.layers().into_iter().filter(|(_, column)| column.name() == column.hook);
        let layers = layers.map(|(layer, column)| Layer { layer, hook: column.hook.clone() }).collect();
        Ok(Self { store, rows, layers })
    }
}

impl Source for StoreSource {
    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn load(&self, layer: &Layer) -> Result<(Tensor, Tensor)> {
        let reader = self.store.column(&layer.hook).map_err(Box::new)?;
        let side = |what, side| matrix(what, &reader.read(side).map_err(Box::new)?, self.rows.labels.len());
        Ok((side("the plus states", SideOf::Plus)?, side("the minus states", SideOf::Minus)?))
    }

    fn dim(&self, layer: &Layer) -> Option<usize> {
        let columns = &self.store.manifest().columns;
        columns.iter().find(|c| c.name() == layer.hook).map(|c| c.shape.iter().product())
    }

    fn identity(&self) -> serde_json::Value {
        let manifest = self.store.manifest();
        serde_json::json!({
            "kind": "store",
            "fingerprint": self.store.fingerprint(),
            "rows": manifest.rows,
            "dtype": manifest.dtype,
            "made_by": manifest.settings,
        })
    }

    fn made_by(&self) -> serde_json::Value {
        self.store.manifest().settings.clone().into()
    }

    fn describe(&self) -> String {
        "the store".to_owned()
    }
}
