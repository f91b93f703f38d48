//! What a run does at every layer, and with which rows.

use std::collections::BTreeSet;

use ccs::SeedTree;
use ccs_report::Method;
use tch::Device;

use crate::engine::columns::{DataColumn, columns};
use crate::engine::evaluate::Multiplicity;
use crate::engine::negations::Negations;
use crate::engine::polarity::Polarity;
use crate::engine::split::DataSplit;
use crate::method::Ask;
use crate::settings::Settings;
use crate::source::origin::locate;
use crate::source::{Layer, Rows, Source};
use crate::{Error, Result};

/// What all layers of a run share.
pub(crate) struct Plan<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) settings: Settings,
    /// In the order of reports.
    pub(crate) methods: Vec<Method>,
    /// Ascending.
    pub(crate) layers: Vec<Layer>,
    pub(crate) split: DataSplit,
    /// Columns of the data that may explain what a probe finds.
    pub(crate) columns: Vec<DataColumn>,
    /// Which rows are negated, where that is known.
    pub(crate) polarity: Option<Polarity>,
    /// Which rows are each other's negation, where some are.
    pub(crate) negations: Option<Negations>,
    /// The root of all that is random.
    pub(crate) stream: SeedTree,
    pub(crate) device: Device,
}

impl<'a> Plan<'a> {
    /// Checks the settings against the data, and splits the rows; `tested` are the groups that test, where another than
    /// this run decides it.
    pub(crate) fn new(
        source: &'a dyn Source,
        settings: &Settings,
        device: Device,
        tested: Option<&BTreeSet<String>>,
    ) -> Result<Self> {
        settings.check()?;
        let rows = source.rows();
        rows.check()?;
        let layers = settings.layers.of(source.layers(), &source.describe())?;
        let settings = settings.clone();
        let all_tokens = source.all_tokens().is_some();
        settings.check_for(source.kind(), all_tokens)?;
        let with_logprob = rows.answer_logprob.is_some();
        if !with_logprob && settings.requires_answers() {
            return Err(Error::NoAnswerLogprob);
        }
        let methods = settings.methods(source.kind(), all_tokens, with_logprob);
        if methods.iter().any(Ask::needs_answers) {
            rows.check_answers(settings.zero_shot).map_err(|error| locate(source, error))?;
        }
        let stream = SeedTree::new(settings.seed);
        let split = DataSplit::new(rows, &settings, tested, &stream)?;
        let columns = columns(rows, &settings.strata, &split.rows.train)?;
        let polarity = Polarity::of(rows, settings.negated.as_ref(), tested.is_some())?;
        let negations = negations(rows, polarity.as_ref(), &settings, tested.is_some())?;
        Ok(Self { source, settings, methods, layers, split, columns, polarity, negations, stream, device })
    }

    /// How many layers and methods a run's intervals are to hold for at once.
    pub(crate) fn multiplicity(&self) -> Multiplicity {
        let methods = self.methods.iter().filter(|method| method.is_probe()).count();
        Multiplicity { layers: self.layers.len(), methods }
    }

    /// The randomness of one method at one layer.
    pub(crate) fn stream_of(&self, method: Method, layer: &Layer) -> SeedTree {
        self.stream.child(method.name()).indexed("layer", layer.layer)
    }
}

/// Which rows are each other's negation, as far as settings and columns tell; `lenient` as for [`Negations::of`].
fn negations(
    rows: &Rows,
    polarity: Option<&Polarity>,
    settings: &Settings,
    lenient: bool,
) -> Result<Option<Negations>> {
    match polarity.filter(|polarity| polarity.is_mixed()) {
        Some(polarity) => Negations::of(rows, polarity, &settings.negated_by, lenient),
        None if settings.negated_by.is_empty() || lenient => Ok(None),
        None => Err(Error::Setting {
            name: "negated_by",
            value: settings.negated_by.join(","),
            reason: "it is not known that some rows are negated and others are not",
            hint: "say which are negated: `negated = polarity=negated`",
        }),
    }
}
