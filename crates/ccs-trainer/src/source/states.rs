//! The states of a layer, of pairs or of statements.

use ccs::{Contrast, Statements};
use ccs_report::RowKind;
use tch::{Device, Tensor};

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
}

impl States {
    /// Whether they are of pairs or of statements.
    pub fn kind(&self) -> RowKind {
        match self {
            Self::Pairs { .. } => RowKind::Pairs,
            Self::Statements(_) => RowKind::Statements,
        }
    }

    /// Those of the plus and of the minus side.
    ///
    /// # Errors
    /// [`Error::Kind`]: single statements.
    pub fn sides(self) -> Result<[Tensor; 2]> {
        match self {
            Self::Pairs { plus, minus } => Ok([plus, minus]),
            Self::Statements(_) => {
                Err(Error::Kind { data: "the data".to_owned(), found: RowKind::Statements })
            }
        }
    }

    /// D; 0 of what is no matrix.
    pub(crate) fn dim(&self) -> i64 {
        let (Self::Pairs { plus: states, .. } | Self::Statements(states)) = self;
        states.size().get(1).copied().unwrap_or_default()
    }

    /// The same of these rows.
    pub(crate) fn select(&self, rows: &[usize]) -> Result<Self> {
        let index: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let index = Tensor::f_from_slice(&index)?;
        self.each(|states| states.f_index_select(0, &index))
    }

    pub(crate) fn to_device(&self, device: Device) -> Result<Self> {
        self.each(|states| states.f_to_device(device))
    }

    /// The same tensors once more.
    pub(crate) fn alias(&self) -> Result<Self> {
        self.each(Tensor::f_alias)
    }

    /// The rows of several parts, all of one kind; none for no parts.
    pub(crate) fn join(parts: &[Self]) -> Result<Option<Self>> {
        let (mut plus, mut minus, mut single) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            match part {
                Self::Pairs { plus: p, minus: m } => {
                    plus.push(p);
                    minus.push(m);
                }
                Self::Statements(states) => single.push(states),
            }
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
        }
    }

    fn each(&self, of: impl Fn(&Tensor) -> std::result::Result<Tensor, tch::TchError>) -> Result<Self> {
        Ok(match self {
            Self::Pairs { plus, minus } => Self::Pairs { plus: of(plus)?, minus: of(minus)? },
            Self::Statements(states) => Self::Statements(of(states)?),
        })
    }
}
