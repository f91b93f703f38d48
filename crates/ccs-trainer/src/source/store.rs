//! A store of hidden states as a data source.

use std::collections::HashMap;
use std::path::Path;

pub use activations::ALL_TOKENS;
use activations::provenance::{DataRecord, Provenance};
use activations::{Column, Row, SideOf, Store, column_names};
use ccs::TokenStates;
use ccs_report::{RowKind, RowText};
use indexmap::IndexMap;
use tch::Tensor;

use crate::source::memory::matrix;
use crate::source::states::States;
use crate::source::{Layer, Rows, Source};
use crate::{Error, Result};

/// The token rule of a store's states unless another is asked for.
pub const LAST: &str = "last";

/// The columns of the model's log-probabilities of the answers: the sum over their tokens, and the mean.
const ANSWER_LOGPROB: &str = "answer_logprob";
const ANSWER_LOGPROB_MEAN: &str = "answer_logprob_mean";
/// What the column of the rows' data sets is called.
pub(crate) const DATASET: &str = "dataset";

/// A finished [`activations::Store`] at one token rule; layers are read when they are worked on.
#[derive(Debug)]
pub struct StoreSource {
    store: Store,
    tokens: String,
    rows: Rows,
    layers: Vec<Layer>,
}

impl StoreSource {
    /// Opens a store, whose states are those of the last token, and reads its rows.
    ///
    /// # Errors
    /// As [`StoreSource::open_at`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::open_at(dir, LAST)
    }

    /// Opens a store at one of its token rules (`last`, `mean`, …) and reads its rows.
    ///
    /// # Errors
    /// What the store reports: not a store, not finished, damaged. [`Error::TokenRule`] where it holds no states under
    /// that rule, with the rules it has.
    pub fn open_at(dir: impl AsRef<Path>, tokens: &str) -> Result<Self> {
        let store = Store::open(dir).map_err(Box::new)?;
        let known = store.manifest().token_rules();
        if !known.contains(&tokens) {
            let (rule, known) = (tokens.to_owned(), known.into_iter().map(str::to_owned).collect());
            return Err(Error::TokenRule { rule, known });
        }
        let mut rows = Rows::default();
        let stored = store.rows().map_err(Box::new)?;
        rows.both_labels = both_labels(&stored);
        rows.columns = columns(&stored);
        for row in stored {
            rows.ids.push(row.idx.to_string());
            rows.labels.push(row.label);
            rows.prompt_lengths.push(prompts(&row).iter().map(|prompt| prompt.len()).sum());
            let question = format!("{}/{}/{}", row.dataset, row.question_id, row.idx);
            rows.templates.push(row.template);
            // A store without groups has each question for itself, which no question of another store is part of.
            rows.groups.push(if row.group.is_empty() { format!("row {question}") } else { row.group });
            rows.questions.push(question);
        }
        rows.answer_logprob = numbers(&store, ANSWER_LOGPROB)?;
        rows.answer_logprob_mean = numbers(&store, ANSWER_LOGPROB_MEAN)?;
        let layers = store.layers(tokens).into_iter();
        let layers = layers.map(|(layer, column)| Layer { layer, hook: column.hook.clone() }).collect();
        Ok(Self { store, tokens: tokens.to_owned(), rows, layers })
    }

    /// The names of the data sets that the rows are of, as whoever made the store gave them.
    pub fn dataset(&self) -> Option<String> {
        self.store.provenance().dataset.filter(|name| !name.is_empty())
    }

    /// The states of all tokens of one side.
    fn side(&self, column: &str, side: SideOf) -> Result<TokenStates> {
        let found = self.store.token_column(column).and_then(|reader| reader.read(side)).map_err(Box::new)?;
        let tokens = found.ids.len() as i64;
        let states = Tensor::f_from_slice(&found.states)?.f_reshape([tokens, -1])?;
        Ok(TokenStates::new(states, found.offsets)?)
    }

    /// The column that a layer is read from.
    fn column(&self, layer: &Layer) -> Option<&Column> {
        self.store.manifest().columns.iter().find(|c| c.hook == layer.hook && c.tokens == self.tokens)
    }
}

/// A column of one number a row, on both sides, if the store has it.
fn numbers(store: &Store, name: &str) -> Result<Option<(Vec<f64>, Vec<f64>)>> {
    if !store.manifest().columns.iter().any(|column| column.name() == name) {
        return Ok(None);
    }
    let reader = store.column(name).map_err(Box::new)?;
    let side = |side| -> Result<Vec<f64>> {
        Ok(reader.read(side).map_err(Box::new)?.into_iter().map(f64::from).collect())
    };
    Ok(Some((side(SideOf::Plus)?, side(SideOf::Minus)?)))
}

/// The further columns of the rows. The data set is one, where there are several.
fn columns(rows: &[Row]) -> IndexMap<String, Vec<Option<String>>> {
    let values = |name: &str| rows.iter().map(|row| row.columns.get(name).cloned()).collect();
    let mut all: IndexMap<String, Vec<Option<String>>> =
        column_names(rows).into_iter().map(|name| (name.to_owned(), values(name))).collect();
    if rows.iter().any(|row| Some(&row.dataset) != rows.first().map(|first| &first.dataset)) {
        let datasets = || rows.iter().map(|row| Some(row.dataset.clone())).collect();
        all.entry(DATASET.to_owned()).or_insert_with(datasets);
    }
    all
}

/// A row's prompts: two of a pair, one of a statement.
fn prompts(row: &Row) -> Vec<&str> {
    row.kind().sides().iter().filter_map(|&side| row.prompt(side)).collect()
}

/// A sentence on prompts that have both labels, if there are such.
fn both_labels(rows: &[Row]) -> Option<String> {
    let mut first: HashMap<Vec<&str>, (&Row, bool)> = HashMap::new();
    let (mut both, mut shown) = (0, None);
    for row in rows {
        let key = prompts(row).into_iter().map(str::trim).collect();
        let (earlier, counted) = first.entry(key).or_insert((row, false));
        if earlier.label != row.label && !*counted {
            *counted = true;
            both += 1;
            shown.get_or_insert((earlier.idx, row.idx));
        }
    }
    let (one, other) = shown?;
    Some(format!(
        "{both} of the prompts stand in the store with both labels, the first with idx {one} and {other}: at most one \
         of the two labels can be right."
    ))
}

impl Source for StoreSource {
    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn kind(&self) -> RowKind {
        match self.store.kind() {
            activations::RowKind::Pairs => RowKind::Pairs,
            activations::RowKind::Statements => RowKind::Statements,
        }
    }

    fn load(&self, layer: &Layer) -> Result<States> {
        let name = self.column(layer).map_or_else(|| layer.hook.clone(), Column::name);
        if self.tokens == ALL_TOKENS {
            return Ok(match self.kind() {
                RowKind::Statements => States::TokenStatements(self.side(&name, SideOf::Statement)?),
                RowKind::Pairs => States::TokenPairs {
                    plus: self.side(&name, SideOf::Plus)?,
                    minus: self.side(&name, SideOf::Minus)?,
                },
            });
        }
        let reader = self.store.column(&name).map_err(Box::new)?;
        let side = |what, side| matrix(what, &reader.read(side).map_err(Box::new)?, self.rows.labels.len());
        Ok(match self.kind() {
            RowKind::Statements => States::Statements(side("the states", SideOf::Statement)?),
            RowKind::Pairs => States::Pairs {
                plus: side("the plus states", SideOf::Plus)?,
                minus: side("the minus states", SideOf::Minus)?,
            },
        })
    }

    fn all_tokens(&self) -> Option<usize> {
        if self.tokens != ALL_TOKENS {
            return None;
        }
        let sides = self.store.manifest().tokens.iter().flatten();
        sides.map(|side| usize::try_from(side.count).unwrap_or(usize::MAX)).max()
    }

    fn dim(&self, layer: &Layer) -> Option<usize> {
        self.column(layer).map(Column::row_len)
    }

    fn identity(&self) -> DataRecord {
        DataRecord::of_store(&self.store, &self.tokens)
    }

    fn made_by(&self) -> Option<Provenance> {
        Some(self.store.provenance())
    }

    fn tokens(&self) -> Option<&str> {
        Some(&self.tokens)
    }

    /// Stores that were begun before texts were kept have none.
    fn token_texts(&self) -> Result<Option<[Vec<String>; 2]>> {
        let (Some(first), true) = (self.layers.first(), self.all_tokens().is_some()) else { return Ok(None) };
        let name = self.column(first).map_or_else(|| first.hook.clone(), Column::name);
        let reader = self.store.token_column(&name).map_err(Box::new)?;
        let Some(texts) = self.store.token_texts().map_err(Box::new)? else { return Ok(None) };
        let text = |id: &u32| texts.get(id).cloned().unwrap_or_else(|| format!("id {id}"));
        let side = |side| -> Result<Vec<String>> {
            Ok(reader.ids(side).map_err(Box::new)?.iter().map(text).collect())
        };
        Ok(Some(match self.kind() {
            RowKind::Statements => [side(SideOf::Statement)?, Vec::new()],
            RowKind::Pairs => [side(SideOf::Plus)?, side(SideOf::Minus)?],
        }))
    }

    fn texts(&self) -> Result<Vec<Option<RowText>>> {
        // Read again rather than kept: whole prompts would be held as long as the source.
        let rows = self.store.rows().map_err(Box::new)?;
        let text = |row: &Row| match prompts(row)[..] {
            [plus, minus] => Some(RowText::of(plus, minus)),
            [statement] => Some(RowText::of_statement(statement)),
            _ => None,
        };
        Ok(rows.iter().map(text).collect())
    }

    fn describe(&self) -> String {
        "the store".to_owned()
    }
}
