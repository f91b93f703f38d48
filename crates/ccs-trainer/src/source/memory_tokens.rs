//! States of all tokens that are in memory already.

use activations::provenance::{DataRecord, Provenance};
use ccs::TokenStates;
use ccs_report::RowKind;
use tch::Tensor;

use crate::source::states::States;
use crate::source::store::ALL_TOKENS;
use crate::source::{Layer, Rows, Source};
use crate::{Error, Result};

/// Contrast pairs or single statements with the states of all tokens, in memory.
///
/// ```
/// use ccs_report::Method;
/// use ccs_trainer::{Fit, MemoryTokens, Rows, Settings};
///
/// // 60 statements of three tokens, two about each city; the middle token of some, the first of others knows the truth.
/// let labels: Vec<bool> = (0..60).map(|row| row % 5 < 3).collect();
/// let states = (0..180).flat_map(|token| {
///     let (row, place) = (token / 3, token % 3);
///     let marked = place == row % 2;
///     let truth = if labels[row] { 3.0 } else { -3.0 };
///     [if marked { truth } else { (token as f32).sin() }, if marked { 4.0 } else { 0.0 }]
/// });
/// let rows = Rows {
///     ids: (0..60).map(|row| row.to_string()).collect(),
///     groups: (0..60).map(|row| format!("city {}", row / 2)).collect(),
///     labels: labels.clone(),
///     ..Rows::default()
/// };
/// let source = MemoryTokens::new(rows, vec![vec![3; 60]]).with_layer("hook_embed", vec![states.collect()]);
/// let settings = Settings { shuffles: 0, seeds: 0, directions: 50, ..Settings::default() };
/// let run = Fit::new(&source).settings(settings).run()?.finished().expect("nobody stops it");
/// assert_eq!(run.report.chosen_layer(Method::ATTENTION), Some(0));
/// # Ok::<(), ccs_trainer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryTokens {
    rows: Rows,
    /// Tokens of each row's prompt, side by side.
    lengths: Vec<Vec<usize>>,
    layers: Vec<Layer>,
    /// Each layer's values, side by side.
    states: Vec<Vec<Vec<f32>>>,
    texts: Option<[Vec<String>; 2]>,
    /// Of all lengths and states so far.
    hasher: blake3::Hasher,
}

impl MemoryTokens {
    /// Rows without any layer yet.
    ///
    /// # Shapes
    /// `lengths`: how many tokens each row's prompt has, N; of the plus and of the minus side for pairs, of one for statements.
    pub fn new(rows: Rows, lengths: Vec<Vec<usize>>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for side in &lengths {
            hasher.update(&(side.len() as u64).to_le_bytes());
            for &length in side {
                hasher.update(&(length as u64).to_le_bytes());
            }
        }
        Self { rows, lengths, layers: Vec::new(), states: Vec::new(), texts: None, hasher }
    }

    /// Adds the next layer.
    ///
    /// # Shapes
    /// `sides`: \[M, D\] of each side, token after token, for any D.
    #[must_use]
    pub fn with_layer(mut self, hook: &str, sides: Vec<Vec<f32>>) -> Self {
        for side in &sides {
            self.hasher.update(&(side.len() as u64).to_le_bytes());
            for part in side.chunks(1 << 14) {
                let bytes: Vec<u8> = part.iter().flat_map(|x| x.to_le_bytes()).collect();
                self.hasher.update(&bytes);
            }
        }
        self.layers.push(Layer { layer: self.layers.len(), hook: hook.to_owned() });
        self.states.push(sides);
        self
    }

    /// Says what every token is: of the plus and of the minus side, or of statements and nothing.
    #[must_use]
    pub fn with_texts(mut self, texts: [Vec<String>; 2]) -> Self {
        self.texts = Some(texts);
        self
    }

    fn side(&self, layer: &Layer, side: usize) -> Result<TokenStates> {
        let unknown = || Error::UnknownLayer {
            layer: layer.layer,
            data: self.describe(),
            available: format!("0 to {}", self.states.len().saturating_sub(1)),
        };
        let values = self.states.get(layer.layer).ok_or_else(unknown)?.get(side).ok_or_else(unknown)?;
        let lengths = self.lengths.get(side).ok_or_else(unknown)?;
        let mut offsets = vec![0];
        let mut tokens = 0;
        for length in lengths {
            tokens += length;
            offsets.push(tokens);
        }
        if tokens == 0 || !values.len().is_multiple_of(tokens) {
            return Err(ccs::Error::Shape {
                what: "the states of tokens".to_owned(),
                expected: format!("a multiple of {tokens} values, one token each"),
                found: vec![values.len() as i64],
                hint: "every token has a state of the same length",
            }
            .into());
        }
        Ok(TokenStates::new(Tensor::f_from_slice(values)?.f_reshape([tokens as i64, -1])?, offsets)?)
    }
}

impl Source for MemoryTokens {
    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn kind(&self) -> RowKind {
        if self.lengths.len() == 1 { RowKind::Statements } else { RowKind::Pairs }
    }

    fn all_tokens(&self) -> Option<usize> {
        self.lengths.iter().map(|side| side.iter().sum()).max()
    }

    fn load(&self, layer: &Layer) -> Result<States> {
        let plus = self.side(layer, 0)?;
        Ok(match self.kind() {
            RowKind::Statements => States::TokenStatements(plus),
            RowKind::Pairs => States::TokenPairs { plus, minus: self.side(layer, 1)? },
        })
    }

    fn dim(&self, layer: &Layer) -> Option<usize> {
        let values = self.states.get(layer.layer)?.first()?.len();
        values.checked_div(self.lengths.first()?.iter().sum())
    }

    fn identity(&self) -> DataRecord {
        let states = self.hasher.finalize().to_hex().as_str().into();
        DataRecord {
            kind: Some("memory".to_owned()),
            rows: Some(self.rows.labels.len() as u64),
            other: [("states".to_owned(), states)].into_iter().collect(),
            ..DataRecord::default()
        }
    }

    fn made_by(&self) -> Option<Provenance> {
        None
    }

    fn tokens(&self) -> Option<&str> {
        Some(ALL_TOKENS)
    }

    fn token_texts(&self) -> Result<Option<[Vec<String>; 2]>> {
        Ok(self.texts.clone())
    }
}
