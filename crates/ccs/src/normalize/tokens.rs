//! Normalization of all tokens: statistics over every token of the training rows.
//!
//! As elsewhere each side, and each template where there are several, has statistics of its own; here a token counts as a
//! row does there, so that long prompts count more than short ones, and √D is the mean length of a side's states under
//! [`Normalization::Burns`].

use tch::{Kind, Tensor};

use super::{Moments, Normalization, Normalizer};
use crate::tokens::TokenStates;
use crate::{Contrast, Error, Result};

impl Normalizer {
    /// Takes the statistics of all tokens of the training rows. Labels are not used.
    ///
    /// # Errors
    /// Rows with one state each, and normalizations that look for structure among whole rows: LEACE and by cluster.
    pub(crate) fn fit_tokens(kind: Normalization, train: &Contrast) -> Result<Self> {
        if matches!(kind, Normalization::Leace | Normalization::Cluster) {
            return Err(Error::Setting {
                name: "normalization",
                value: kind.to_string(),
                reason: "probes that read all tokens know none that compares whole rows",
                hint: "the default is element-wise",
            });
        }
        let (plus, minus) = train.all_tokens()?;
        let mut both = of_side(kind, plus, train)?;
        if train.is_single() {
            return Ok(both);
        }
        let other = of_side(kind, minus, train)?;
        both.minus = other.minus;
        if let (Some(both), Some(other)) = (&mut both.templates, other.templates) {
            both.minus = other.minus;
        }
        Ok(both)
    }

    /// The normalized states of all tokens of both sides.
    ///
    /// # Shapes
    /// The result: two tensors of `kind`, \[M, D\] of either side's M.
    ///
    /// # Errors
    /// Rows with one state each, or another D.
    pub(crate) fn apply_tokens(&self, pairs: &Contrast, kind: Kind) -> Result<(Tensor, Tensor)> {
        self.check(pairs)?;
        let (plus, minus) = pairs.all_tokens()?;
        let side = |of: &TokenStates, one: &Moments, table: Option<&Moments>| -> Result<Tensor> {
            let Some((table, templates)) = table.zip(self.templates.as_ref()) else {
                return Ok(one.apply(of.states())?.f_to_kind(kind)?);
            };
            let places = templates.places(pairs)?.f_to_device(of.states().device())?;
            let index = of.segments()?.expand(&places)?; // [M]
            Ok(table.rows(one, &index)?.apply(of.states())?.f_to_kind(kind)?)
        };
        let tables = self.templates.as_ref();
        let plus = side(plus, &self.plus, tables.map(|t| &t.plus))?;
        if pairs.is_single() {
            return Ok((plus.f_alias()?, plus));
        }
        Ok((plus, side(minus, &self.minus, tables.map(|t| &t.minus))?))
    }
}

/// The statistics of one side's tokens, as if each were a statement.
fn of_side(kind: Normalization, side: &TokenStates, train: &Contrast) -> Result<Normalizer> {
    let tokens = side.tokens();
    let rows = Contrast::single(side.states().f_alias()?, vec![false; tokens], vec![String::new(); tokens])?;
    let names = train.template_names();
    if names.is_empty() {
        return Normalizer::fit_moments(kind, &rows);
    }
    let template = |number: &usize| names.get(*number).cloned().unwrap_or_default();
    let of_rows: Vec<String> = train.templates().iter().map(template).collect();
    let of_tokens = side.lengths().zip(&of_rows).flat_map(|(length, name)| vec![name.clone(); length]);
    // Every token is a question of its own.
    let questions = (0..tokens).map(|token| token.to_string()).collect();
    Normalizer::fit_moments(kind, &rows.with_variants(questions, of_tokens.collect())?)
}
