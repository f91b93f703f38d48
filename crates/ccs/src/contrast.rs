//! Contrast pairs as tensors: the one input of everything that is fitted or evaluated.

mod derived;
mod tokens;
mod variants;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use tch::Tensor;
use torch_runtime::TensorExt as _;

use crate::floats::{all_finite, is_float};
use crate::{Error, Result};
use tokens::Tokens;
use variants::Variants;

/// The states of N contrast pairs at one hook point, with their labels and groups. Checked once, on construction.
#[derive(Debug)]
pub struct Contrast {
    plus: Tensor,
    minus: Tensor,
    labels: Vec<bool>,
    groups: Arc<[String]>,
    /// Every row's question and template, where they were given.
    variants: Option<Variants>,
    /// Whether every row is affirmative, where that was given.
    polarity: Option<Vec<bool>>,
    /// Whether rows are single statements, the minus side being the plus side once more.
    single: bool,
    /// The states of all tokens, where prompts have more than one.
    tokens: Option<Tokens>,
}

/// What there is of every row besides its states.
struct Columns {
    labels: Vec<bool>,
    groups: Arc<[String]>,
    variants: Option<Variants>,
    polarity: Option<Vec<bool>>,
}

impl Contrast {
    /// Puts pairs together.
    ///
    /// `labels` says whether the plus side is the true one. Rows with equal `groups` (one passage) stay on one side of
    /// every split, and intervals take groups, not rows, for independent.
    ///
    /// # Shapes
    /// `plus`, `minus`: \[N, D\], any floating-point kind; `labels`, `groups`: N.
    ///
    /// # Errors
    /// Shapes or lengths that do not fit, no rows, or a value that is not finite (with its row).
    pub fn new(plus: Tensor, minus: Tensor, labels: Vec<bool>, groups: Vec<String>) -> Result<Self> {
        let size = plus.size();
        if size.len() != 2 || size.contains(&0) || !is_float(plus.kind()) {
            return Err(shape(
                "the plus states",
                "[N, D] of a floating-point kind, N and D at least 1",
                &plus,
            ));
        }
        if minus.size() != size || !is_float(minus.kind()) {
            return Err(shape("the minus states", &format!("{size:?}, as the plus states"), &minus));
        }
        let rows = plus.dims2("plus")?.0 as usize;
        for (what, found) in [("labels", labels.len()), ("groups", groups.len())] {
            if found != rows {
                return Err(Error::Length { what, expected: rows, found });
            }
        }
        all_finite("the plus state", &plus)?;
        all_finite("the minus state", &minus)?;
        let (groups, variants, polarity, tokens) = (groups.into(), None, None, None);
        Ok(Self { plus, minus, labels, groups, variants, polarity, single: false, tokens })
    }

    /// Rows of one side.
    pub(crate) fn single(states: Tensor, labels: Vec<bool>, groups: Vec<String>) -> Result<Self> {
        let other = states.f_alias()?;
        Ok(Self { single: true, ..Self::new(states, other, labels, groups)? })
    }

    /// Pairs whose labels nobody asks for.
    pub(crate) fn unlabeled(plus: &Tensor, minus: &Tensor) -> Result<Self> {
        let rows = plus.dims2("plus")?.0 as usize;
        Self::new(plus.f_alias()?, minus.f_alias()?, vec![false; rows], vec![String::new(); rows])
    }

    /// Says which question every row asks and which template it is asked with; without it every row is a question of
    /// its own. A question may be there under some templates only.
    ///
    /// ```
    /// use ccs::Contrast;
    /// use tch::{Device, Kind, Tensor};
    ///
    /// let states = || Tensor::zeros([3, 2], (Kind::Float, Device::Cpu));
    /// let text = |names: [&str; 3]| names.map(str::to_owned).to_vec();
    /// let pairs = Contrast::new(states(), states(), vec![true, true, false], text(["p1", "p1", "p2"]))?
    ///     .with_variants(text(["q1", "q1", "q2"]), text(["exam", "yes_no", "yes_no"]))?;
    /// assert_eq!(pairs.questions().as_ref(), [0, 0, 1]);
    /// assert_eq!(pairs.templates().as_ref(), [0, 1, 1]);
    /// assert_eq!(pairs.template_names(), ["exam", "yes_no"]);
    /// # Ok::<(), ccs::Error>(())
    /// ```
    ///
    /// # Shapes
    /// `questions`, `templates`: N names.
    ///
    /// # Errors
    /// Other lengths, a question that has one template twice, or a question in two groups.
    pub fn with_variants(self, questions: Vec<String>, templates: Vec<String>) -> Result<Self> {
        for (what, found) in [("questions", questions.len()), ("templates", templates.len())] {
            if found != self.rows() {
                return Err(Error::Length { what, expected: self.rows(), found });
            }
        }
        let variants = Variants::new(questions, templates, &self.groups)?;
        Ok(Self { variants: Some(variants), ..self })
    }

    /// Says which rows are affirmative and which are negated ("is not").
    ///
    /// # Shapes
    /// `affirmative`: N.
    ///
    /// # Errors
    /// Another length.
    pub fn with_polarity(self, affirmative: Vec<bool>) -> Result<Self> {
        if affirmative.len() != self.rows() {
            return Err(Error::Length { what: "polarity", expected: self.rows(), found: affirmative.len() });
        }
        Ok(Self { polarity: Some(affirmative), ..self })
    }

    /// The same pairs under other labels.
    pub fn relabeled(&self, labels: Vec<bool>) -> Result<Self> {
        if labels.len() != self.rows() {
            return Err(Error::Length { what: "labels", expected: self.rows(), found: labels.len() });
        }
        self.again(Columns { labels, ..self.all_columns() })
    }

    /// The same rows once more, to be given away: to another thread, which can have rows but not share them.
    ///
    /// # Errors
    /// LibTorch's.
    pub fn alias(&self) -> Result<Self> {
        self.again(self.all_columns())
    }

    /// The same rows as of no known question or template.
    pub(crate) fn without_variants(&self) -> Result<Self> {
        self.again(Columns { variants: None, ..self.all_columns() })
    }

    /// Every column at these rows.
    fn columns(&self, rows: &[usize]) -> Result<Columns> {
        Ok(Columns {
            labels: pick(&self.labels, rows)?,
            groups: pick(&self.groups, rows)?.into(),
            variants: self.variants.as_ref().map(|variants| variants.select(rows)).transpose()?,
            polarity: self.polarity.as_ref().map(|polarity| pick(polarity, rows)).transpose()?,
        })
    }

    /// Every column of all rows.
    fn all_columns(&self) -> Columns {
        Columns {
            labels: self.labels.clone(),
            groups: Arc::clone(&self.groups),
            variants: self.variants.clone(),
            polarity: self.polarity.clone(),
        }
    }

    /// The same states with other columns.
    fn again(&self, columns: Columns) -> Result<Self> {
        let tokens = self.tokens.as_ref().map(Tokens::alias).transpose()?;
        Ok(Self { tokens, ..self.with(self.plus.f_alias()?, self.minus.f_alias()?, columns) })
    }

    /// States with their columns, single statements if these rows are.
    fn with(&self, plus: Tensor, minus: Tensor, columns: Columns) -> Self {
        let Columns { labels, groups, variants, polarity } = columns;
        Self { plus, minus, labels, groups, variants, polarity, single: self.single, tokens: None }
    }

    /// The states of the side whose answer is affirmative. \[N, D\]
    pub fn plus(&self) -> &Tensor {
        &self.plus
    }

    /// The states of the other side. \[N, D\]
    pub fn minus(&self) -> &Tensor {
        &self.minus
    }

    /// Whether the plus side is the true one. N
    pub fn labels(&self) -> &[bool] {
        &self.labels
    }

    /// What must stay together in splits, and counts as one in intervals. N
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Every row's question, as a number; rows that stem from one question share it. Parts of the rows
    /// ([`Contrast::select`]) keep the numbers. Without variants, the row's place. N
    pub fn questions(&self) -> Cow<'_, [usize]> {
        match &self.variants {
            Some(variants) => Cow::Borrowed(variants.questions.numbers()),
            None => Cow::Owned((0..self.rows()).collect()),
        }
    }

    /// Every row's template, as a number that [`Contrast::template_names`] names. Without variants, 0. N
    pub fn templates(&self) -> Cow<'_, [usize]> {
        match &self.variants {
            Some(variants) => Cow::Borrowed(variants.templates.numbers()),
            None => Cow::Owned(vec![0; self.rows()]),
        }
    }

    /// Names of questions by number; empty without variants.
    pub fn question_names(&self) -> &[String] {
        self.variants.as_ref().map_or(&[], |variants| variants.questions.names())
    }

    /// Names of templates by number, those of rows that were not selected included; empty without variants.
    pub fn template_names(&self) -> &[String] {
        self.variants.as_ref().map_or(&[], |variants| variants.templates.names())
    }

    /// Whether every row is affirmative, where that is known. N
    pub fn polarity(&self) -> Option<&[bool]> {
        self.polarity.as_deref()
    }

    /// Whether rows are single statements ([`crate::Statements`]): both sides are the same states then.
    pub fn is_single(&self) -> bool {
        self.single
    }

    /// The rows of every template that has any, templates in the order of their first rows here: rows that were not
    /// selected have no say in it.
    pub fn rows_by_template(&self) -> Vec<(usize, Vec<usize>)> {
        by_number(&self.templates())
    }

    /// The rows of every question that has any, questions in the order of their first rows here.
    pub fn rows_by_question(&self) -> Vec<(usize, Vec<usize>)> {
        by_number(&self.questions())
    }

    /// N, the number of pairs.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// D, the length of a state.
    pub fn dim(&self) -> usize {
        self.plus.size().get(1).map_or(0, |&d| d as usize)
    }

    /// The pairs at `rows`, in that order.
    ///
    /// # Shapes
    /// `rows`: M row numbers; the result has M pairs.
    ///
    /// # Errors
    /// No rows, or a row number that is not below N.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::TooFewRows { purpose: "a part of the rows".to_owned(), needed: 1, found: 0 });
        }
        // Before LibTorch sees the numbers: on CUDA a wrong one would end the process's use of the device.
        let columns = self.columns(rows)?;
        let index: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let index = Tensor::f_from_slice(&index)?.f_to_device(self.plus.device())?;
        let plus = self.plus.f_index_select(0, &index)?;
        let minus = if self.single { plus.f_alias()? } else { self.minus.f_index_select(0, &index)? };
        let tokens = self.tokens.as_ref().map(|tokens| tokens.select(rows)).transpose()?;
        Ok(Self { tokens, ..self.with(plus, minus, columns) })
    }

    /// Whether neither side varies over the rows at all, as with the embedding of one and the same answer token; with the
    /// states of all tokens, whether those do not vary.
    ///
    /// # Errors
    /// LibTorch's.
    pub fn is_constant(&self) -> Result<bool> {
        if let Some((plus, minus)) = self.tokens() {
            return Ok(plus.is_constant()? && minus.is_constant()?);
        }
        for side in [&self.plus, &self.minus] {
            let same = side.f_eq_tensor(&side.f_narrow(0, 0, 1)?)?.f_all()?;
            if same.f_int64_value(&[])? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The places of every number, in the order of the numbers' first places. Not by number: rows are numbered before
/// they are divided, so that numbers depend on test rows, and what is summed or saved in their order would too.
fn by_number(numbers: &[usize]) -> Vec<(usize, Vec<usize>)> {
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut rows: Vec<(usize, Vec<usize>)> = Vec::new();
    for (row, &number) in numbers.iter().enumerate() {
        let place = *places.entry(number).or_insert(rows.len());
        match rows.get_mut(place) {
            Some((_, members)) => members.push(row),
            None => rows.push((number, vec![row])),
        }
    }
    rows
}

/// The elements at `rows`.
pub fn pick<T: Clone>(values: &[T], rows: &[usize]) -> Result<Vec<T>> {
    rows.iter().map(|&row| values.get(row).cloned()).collect::<Option<Vec<T>>>().ok_or_else(|| {
        Error::TooFewRows {
            purpose: "the rows asked for".to_owned(),
            needed: rows.iter().max().map_or(0, |m| m + 1),
            found: values.len(),
        }
    })
}

/// Errors if the rows carry only one label.
pub fn both_labels(labels: &[bool], part: &str) -> Result<()> {
    match labels.first() {
        None => Err(Error::TooFewRows { purpose: part.to_owned(), needed: 2, found: 0 }),
        Some(&label) if labels.iter().all(|&l| l == label) => {
            Err(Error::OneClass { part: part.to_owned(), rows: labels.len(), label })
        }
        Some(_) => Ok(()),
    }
}

fn shape(what: &str, expected: &str, found: &Tensor) -> Error {
    Error::Shape {
        what: what.to_owned(),
        expected: expected.to_owned(),
        found: found.size(),
        hint: "plus and minus hold one state per row, in the same order",
    }
}

#[cfg(test)]
mod tests;
