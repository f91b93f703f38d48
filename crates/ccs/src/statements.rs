//! Single statements as tensors: rows with one side.

use std::borrow::Cow;

use tch::Tensor;

use crate::{Contrast, Error, Result, TokenStates};

/// The states of N single statements at one hook point, each true or false, with their groups. Checked once, on
/// construction.
///
/// Every method that says so ([`crate::Fit::fits_statements`]) is fitted on them by [`crate::Fit::fit_statements`];
/// `ccs::methods::STATEMENT_METHODS` lists them. The probe is one like any other: it is saved and loaded, its scores are
/// [`crate::Probe::score_statements`], and of a contrast pair it says how much truer the plus side is.
///
/// ```
/// use ccs::{Fit, MeanDifference, SeedTree, Statements};
/// use tch::Tensor;
///
/// let states = Tensor::from_slice(&[2.0, 0.1, 1.5, 0.2, -1.0, 0.1, -2.0, 0.3]).reshape([4, 2]);
/// let cities = ["Oslo", "Lima", "Bonn", "Rome"].map(str::to_owned).to_vec();
/// let train = Statements::new(states, vec![true, true, false, false], cities)?;
/// let probe = MeanDifference::default().fit_statements(&train, &SeedTree::new(0))?.probe;
/// let scores = probe.score_statements(&train)?;
/// assert!(scores[0] > 0.0 && scores[3] < 0.0);
/// # Ok::<(), ccs::Error>(())
/// ```
#[derive(Debug)]
pub struct Statements(Contrast);

impl Statements {
    /// Puts statements together. `labels` says which are true. Rows with equal `groups` (one subject) stay on one side of
    /// every split, and intervals take groups, not rows, for independent.
    ///
    /// # Shapes
    /// `states`: \[N, D\], any floating-point kind; `labels`, `groups`: N.
    ///
    /// # Errors
    /// Shapes or lengths that do not fit, no rows, or a value that is not finite (with its row).
    pub fn new(states: Tensor, labels: Vec<bool>, groups: Vec<String>) -> Result<Self> {
        Contrast::single(states, labels, groups).map(Self)
    }

    /// Puts statements of many tokens together, as [`Contrast::of_tokens`] does pairs.
    ///
    /// # Shapes
    /// `states`: N prompts of D; `labels`, `groups`: N.
    ///
    /// # Errors
    /// As [`Statements::new`].
    pub fn of_tokens(states: TokenStates, labels: Vec<bool>, groups: Vec<String>) -> Result<Self> {
        Contrast::single_of_tokens(states, labels, groups).map(Self)
    }

    /// Says what every row is about and which data set or template it is of: statistics are taken by template.
    ///
    /// # Errors
    /// As [`Contrast::with_variants`].
    pub fn with_variants(self, questions: Vec<String>, templates: Vec<String>) -> Result<Self> {
        self.0.with_variants(questions, templates).map(Self)
    }

    /// Says which statements are affirmative and which are negated.
    ///
    /// # Errors
    /// Another length.
    pub fn with_polarity(self, affirmative: Vec<bool>) -> Result<Self> {
        self.0.with_polarity(affirmative).map(Self)
    }

    /// The statements of rows that were put together as such.
    ///
    /// # Errors
    /// Rows with two sides.
    pub fn of(rows: Contrast) -> Result<Self> {
        if rows.is_single() {
            return Ok(Self(rows));
        }
        Err(Error::Setting {
            name: "rows",
            value: "pairs".to_owned(),
            reason: "each has two sides",
            hint: "take the plus or the minus side's states with `Statements::new`",
        })
    }

    /// The same rows as what splits, normalizers and methods take; both sides are the statements' states.
    pub fn as_contrast(&self) -> &Contrast {
        &self.0
    }

    /// The same rows as what splits, normalizers and methods take.
    pub fn into_contrast(self) -> Contrast {
        self.0
    }

    /// \[N, D\]
    pub fn states(&self) -> &Tensor {
        self.0.plus()
    }

    /// Which statements are true. N
    pub fn labels(&self) -> &[bool] {
        self.0.labels()
    }

    /// What stays on one side of every split, and what intervals take for independent. N
    pub fn groups(&self) -> &[String] {
        self.0.groups()
    }

    /// Every row's data set or template by number. N
    pub fn templates(&self) -> Cow<'_, [usize]> {
        self.0.templates()
    }

    /// Which statements are affirmative, where that is known. N
    pub fn polarity(&self) -> Option<&[bool]> {
        self.0.polarity()
    }

    /// N.
    pub fn rows(&self) -> usize {
        self.0.rows()
    }

    /// D.
    pub fn dim(&self) -> usize {
        self.0.dim()
    }

    /// The statements at `rows`, in that order.
    ///
    /// # Errors
    /// As [`Contrast::select`].
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        self.0.select(rows).map(Self)
    }
}
