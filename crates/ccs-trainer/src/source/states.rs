//! The states of a layer, of pairs or of statements.

use ccs::{Contrast, Statements, TokenStates};
use ccs_report::RowKind;
use tch::{Device, Tensor};
use torch_runtime::TensorExt as _;

use crate::{Error, Result};

/// The states of one layer.
#[derive(Debug)]
pub enum States {
    /// Of both sides of contrast pairs. \[N, D\] each
    Pairs {
        /// The side whose answer is affirmative.
        plus: Tensor,
        /// The other side.
        minus: Tensor,
    },
    /// Of single statements. \[N, D\]
    Statements(Tensor),
    /// Of all tokens of both sides of contrast pairs.
    TokenPairs {
        /// The side whose answer is affirmative.
        plus: TokenStates,
        /// The other side.
        minus: TokenStates,
    },
    /// Of all tokens of single statements.
    TokenStatements(TokenStates),
}

impl States {
    /// Whether they are of pairs or of statements.
    pub fn kind(&self) -> RowKind {
        match self {
            Self::Pairs { .. } | Self::TokenPairs { .. } => RowKind::Pairs,
            Self::Statements(_) | Self::TokenStatements(_) => RowKind::Statements,
        }
    }

    /// Those of the plus and of the minus side; where there are those of all tokens, the last one's.
    ///
    /// # Errors
    /// [`Error::Kind`]: single statements.
    pub fn sides(self) -> Result<[Tensor; 2]> {
        match self {
            Self::Pairs { plus, minus } => Ok([plus, minus]),
            Self::TokenPairs { plus, minus } => Ok([plus.last()?, minus.last()?]),
            Self::Statements(_) | Self::TokenStatements(_) => {
                Err(Error::Kind { data: "the data".to_owned(), found: RowKind::Statements })
            }
        }
    }

    /// D.
    pub(crate) fn dim(&self) -> Result<i64> {
        Ok(match self {
            Self::Pairs { plus: states, .. } | Self::Statements(states) => states.dims2("the states")?.1,
            Self::TokenPairs { plus: states, .. } | Self::TokenStatements(states) => states.dim() as i64,
        })
    }

    /// The same of these rows.
    pub(crate) fn select(&self, rows: &[usize]) -> Result<Self> {
        let index: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let index = Tensor::f_from_slice(&index)?;
        self.each(|states| states.f_index_select(0, &index), |tokens| tokens.select(rows))
    }

    pub(crate) fn moved_to(&self, device: Device) -> Result<Self> {
        self.each(|states| states.f_to_device(device), |tokens| tokens.moved_to(device))
    }

    /// The same tensors once more.
    pub(crate) fn alias(&self) -> Result<Self> {
        self.each(Tensor::f_alias, TokenStates::alias)
    }

    /// The rows of several parts, all of one kind; none for no parts.
    pub(crate) fn join(parts: &[Self]) -> Result<Option<Self>> {
        let (mut plus, mut minus, mut single) = (Vec::new(), Vec::new(), Vec::new());
        let (mut plus_tokens, mut minus_tokens) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Self::Pairs { plus: p, minus: m } => {
                    plus.push(p);
                    minus.push(m);
                }
                Self::Statements(states) => single.push(states),
                Self::TokenPairs { plus: p, minus: m } => {
                    plus_tokens.push(p);
                    minus_tokens.push(m);
                }
                Self::TokenStatements(states) => plus_tokens.push(states),
            }
        }
        if let Some(plus) = TokenStates::concatenate(&plus_tokens)? {
            return Ok(Some(match TokenStates::concatenate(&minus_tokens)? {
                Some(minus) => Self::TokenPairs { plus, minus },
                None => Self::TokenStatements(plus),
            }));
        }
        Ok(match (plus.is_empty(), single.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Statements(Tensor::f_cat(&single, 0)?)),
            (false, _) => {
                Some(Self::Pairs { plus: Tensor::f_cat(&plus, 0)?, minus: Tensor::f_cat(&minus, 0)? })
            }
        })
    }

    /// With labels and groups: what splits, methods and probes take.
    pub(crate) fn labeled(self, labels: Vec<bool>, groups: Vec<String>) -> ccs::Result<Contrast> {
        match self {
            Self::Pairs { plus, minus } => Contrast::new(plus, minus, labels, groups),
            Self::Statements(states) => Ok(Statements::new(states, labels, groups)?.into_contrast()),
            Self::TokenPairs { plus, minus } => Contrast::of_tokens(plus, minus, labels, groups),
            Self::TokenStatements(states) => {
                Ok(Statements::of_tokens(states, labels, groups)?.into_contrast())
            }
        }
    }

    fn each(
        &self,
        of: impl Fn(&Tensor) -> std::result::Result<Tensor, tch::TchError>,
        of_tokens: impl Fn(&TokenStates) -> ccs::Result<TokenStates>,
    ) -> Result<Self> {
        Ok(match self {
            Self::Pairs { plus, minus } => Self::Pairs { plus: of(plus)?, minus: of(minus)? },
            Self::Statements(states) => Self::Statements(of(states)?),
            Self::TokenPairs { plus, minus } => {
                Self::TokenPairs { plus: of_tokens(plus)?, minus: of_tokens(minus)? }
            }
            Self::TokenStatements(states) => Self::TokenStatements(of_tokens(states)?),
        })
    }
}
