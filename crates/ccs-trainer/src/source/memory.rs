//! States that are in memory already.

use activations::provenance::{DataRecord, Provenance};
use ccs_report::RowKind;
use tch::Tensor;

use crate::source::states::States;
use crate::source::{Layer, Rows, Source};
use crate::{Error, Result};

/// Contrast pairs that are in memory already.
#[derive(Debug, Clone, Default)]
pub struct Memory(Held<[Vec<f32>; 2]>);

/// Single statements that are in memory already.
///
/// ```
/// use ccs_report::Method;
/// use ccs_trainer::{Fit, MemoryStatements, Rows, Settings};
///
/// // 60 statements, two about each city; the second of three dimensions knows the truth.
/// let labels: Vec<bool> = (0..60).map(|row| row % 5 < 3).collect();
/// let truth = |row: usize| if labels[row] { 3.0 } else { -3.0 };
/// let states = (0..60).flat_map(|row| [(row as f32).sin(), truth(row), (7.0 * row as f32).cos()]).collect();
/// let rows = Rows {
///     ids: (0..60).map(|row| row.to_string()).collect(),
///     groups: (0..60).map(|row| format!("city {}", row / 2)).collect(),
///     labels: labels.clone(),
///     ..Rows::default()
/// };
/// let source = MemoryStatements::new(rows).with_layer("hook_embed", states);
/// let settings = Settings { shuffles: 0, directions: 50, ..Settings::default() };
/// let run = Fit::new(&source).settings(settings).run()?.finished().expect("nobody stops it");
/// assert_eq!(run.report.chosen_layer(Method::MASS_MEAN), Some(0));
/// # Ok::<(), ccs_trainer::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryStatements(Held<Vec<f32>>);

/// Rows, and the values of each layer, row after row.
#[derive(Debug, Clone)]
struct Held<V> {
    rows: Rows,
    layers: Vec<Layer>,
    states: Vec<V>,
    /// Of all states so far.
    hasher: blake3::Hasher,
}

impl<V> Default for Held<V> {
    fn default() -> Self {
        Self { rows: Rows::default(), layers: Vec::new(), states: Vec::new(), hasher: blake3::Hasher::new() }
    }
}

impl<V> Held<V> {
    fn new(rows: Rows) -> Self {
        Self { rows, ..Self::default() }
    }

    fn add(&mut self, hook: &str, states: V, values: impl Fn(&V) -> Vec<&[f32]>) {
        for side in values(&states) {
            self.hasher.update(&(side.len() as u64).to_le_bytes());
            for part in side.chunks(1 << 14) {
                let bytes: Vec<u8> = part.iter().flat_map(|x| x.to_le_bytes()).collect();
                self.hasher.update(&bytes);
            }
        }
        self.layers.push(Layer { layer: self.layers.len(), hook: hook.to_owned() });
        self.states.push(states);
    }

    fn of(&self, layer: &Layer) -> Result<&V> {
        self.states.get(layer.layer).ok_or_else(|| Error::UnknownLayer {
            layer: layer.layer,
            data: "the data".to_owned(),
            available: format!("0 to {}", self.states.len().saturating_sub(1)),
        })
    }

    fn dim(&self, values: &[f32]) -> Option<usize> {
        values.len().checked_div(self.rows.labels.len())
    }

    fn matrix(&self, what: &str, values: &[f32]) -> Result<Tensor> {
        matrix(what, values, self.rows.labels.len())
    }

    fn identity(&self, kind: activations::RowKind) -> DataRecord {
        let states = self.hasher.finalize().to_hex().as_str().into();
        DataRecord {
            kind: Some("memory".to_owned()),
            rows: Some(self.rows.labels.len() as u64),
            sides: DataRecord::unless_pairs(kind),
            other: [("states".to_owned(), states)].into_iter().collect(),
            ..DataRecord::default()
        }
    }
}

impl Memory {
    /// Pairs without any layer yet.
    pub fn new(rows: Rows) -> Self {
        Self(Held::new(rows))
    }

    /// Adds the next layer.
    ///
    /// # Shapes
    /// `plus`, `minus`: \[N, D\], row after row, for N rows and any D.
    #[must_use]
    pub fn with_layer(mut self, hook: &str, plus: Vec<f32>, minus: Vec<f32>) -> Self {
        self.0.add(hook, [plus, minus], |sides| sides.iter().map(Vec::as_slice).collect());
        self
    }
}

impl MemoryStatements {
    /// Statements without any layer yet.
    pub fn new(rows: Rows) -> Self {
        Self(Held::new(rows))
    }

    /// Adds the next layer.
    ///
    /// # Shapes
    /// `states`: \[N, D\], row after row, for N rows and any D.
    #[must_use]
    pub fn with_layer(mut self, hook: &str, states: Vec<f32>) -> Self {
        self.0.add(hook, states, |states| vec![states.as_slice()]);
        self
    }
}

impl Source for Memory {
    fn rows(&self) -> &Rows {
        &self.0.rows
    }

    fn layers(&self) -> &[Layer] {
        &self.0.layers
    }

    fn kind(&self) -> RowKind {
        RowKind::Pairs
    }

    fn load(&self, layer: &Layer) -> Result<States> {
        let [plus, minus] = self.0.of(layer)?;
        let plus = self.0.matrix("the plus states", plus)?;
        Ok(States::Pairs { plus, minus: self.0.matrix("the minus states", minus)? })
    }

    fn dim(&self, layer: &Layer) -> Option<usize> {
        let [plus, _] = self.0.of(layer).ok()?;
        self.0.dim(plus)
    }

    fn identity(&self) -> DataRecord {
        self.0.identity(activations::RowKind::Pairs)
    }

    fn made_by(&self) -> Option<Provenance> {
        None
    }
}

impl Source for MemoryStatements {
    fn rows(&self) -> &Rows {
        &self.0.rows
    }

    fn layers(&self) -> &[Layer] {
        &self.0.layers
    }

    fn kind(&self) -> RowKind {
        RowKind::Statements
    }

    fn load(&self, layer: &Layer) -> Result<States> {
        Ok(States::Statements(self.0.matrix("the states", self.0.of(layer)?)?))
    }

    fn dim(&self, layer: &Layer) -> Option<usize> {
        self.0.dim(self.0.of(layer).ok()?)
    }

    fn identity(&self) -> DataRecord {
        self.0.identity(activations::RowKind::Statements)
    }

    fn made_by(&self) -> Option<Provenance> {
        None
    }
}

/// A matrix of `rows` rows from its values. \[N, D\]
pub(crate) fn matrix(what: &str, values: &[f32], rows: usize) -> Result<Tensor> {
    if rows == 0 || values.is_empty() || !values.len().is_multiple_of(rows) {
        return Err(ccs::Error::Shape {
            what: what.to_owned(),
            expected: format!("a multiple of {rows} values, one row each"),
            found: vec![values.len() as i64],
            hint: "every row has a state of the same length",
        }
        .into());
    }
    Ok(Tensor::f_from_slice(values)?.f_reshape([rows as i64, -1])?)
}
