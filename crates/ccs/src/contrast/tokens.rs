//! Pairs and statements whose prompts have the states of all their tokens.

use super::Contrast;
use crate::tokens::TokenStates;
use crate::{Error, Result};

/// The tokens of both sides; of single statements the plus side alone has them.
#[derive(Debug)]
pub(super) struct Tokens {
    plus: TokenStates,
    minus: Option<TokenStates>,
}

impl Tokens {
    pub(super) fn select(&self, rows: &[usize]) -> Result<Self> {
        self.each(|side| side.select(rows))
    }

    pub(super) fn alias(&self) -> Result<Self> {
        self.each(TokenStates::alias)
    }

    fn each(&self, of: impl Fn(&TokenStates) -> Result<TokenStates>) -> Result<Self> {
        Ok(Self { plus: of(&self.plus)?, minus: self.minus.as_ref().map(of).transpose()? })
    }
}

impl Contrast {
    /// Puts pairs of prompts of many tokens together. Methods that read one state a prompt read its last token's, and those
    /// of `ccs::methods::TOKEN_METHODS` all of them.
    ///
    /// # Shapes
    /// `plus`, `minus`: N prompts of D, of any lengths; `labels`, `groups`: N.
    ///
    /// # Errors
    /// As [`Contrast::new`].
    pub fn of_tokens(
        plus: TokenStates,
        minus: TokenStates,
        labels: Vec<bool>,
        groups: Vec<String>,
    ) -> Result<Self> {
        let pairs = Self::new(plus.last()?, minus.last()?, labels, groups)?;
        Ok(Self { tokens: Some(Tokens { plus, minus: Some(minus) }), ..pairs })
    }

    /// Single statements of many tokens.
    pub(crate) fn single_of_tokens(
        states: TokenStates,
        labels: Vec<bool>,
        groups: Vec<String>,
    ) -> Result<Self> {
        let rows = Self::single(states.last()?, labels, groups)?;
        Ok(Self { tokens: Some(Tokens { plus: states, minus: None }), ..rows })
    }

    /// The states of all tokens of the plus and of the minus side, where rows have them; of single statements both are
    /// the same.
    pub fn tokens(&self) -> Option<(&TokenStates, &TokenStates)> {
        let Tokens { plus, minus } = self.tokens.as_ref()?;
        Some((plus, minus.as_ref().unwrap_or(plus)))
    }

    /// The same, for what cannot do without.
    ///
    /// # Errors
    /// Rows with one state each.
    pub fn all_tokens(&self) -> Result<(&TokenStates, &TokenStates)> {
        self.tokens().ok_or(Error::Setting {
            name: "rows",
            value: "one state each".to_owned(),
            reason: "the probe reads the states of all tokens",
            hint: "put the rows together with `Contrast::of_tokens` or `Statements::of_tokens`",
        })
    }

    /// The same rows with one state each, the last token's.
    ///
    /// # Errors
    /// LibTorch's.
    pub fn of_last_tokens(&self) -> Result<Self> {
        Ok(self.with(self.plus.f_alias()?, self.minus.f_alias()?, self.all_columns()))
    }

    /// The same rows with one state each, the mean of its prompt's tokens.
    ///
    /// # Errors
    /// Rows with one state each already.
    pub fn of_mean_tokens(&self) -> Result<Self> {
        let (plus, minus) = self.all_tokens()?;
        let plus = plus.mean()?;
        let minus = if self.single { plus.f_alias()? } else { minus.mean()? };
        Ok(self.with(plus, minus, self.all_columns()))
    }
}
