//! What a row has of prompts: the two sides of a contrast pair, or one statement.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One of a row's prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SideOf {
    /// That of a pair with the positive answer.
    Plus,
    /// That of a pair with the negative answer.
    Minus,
    /// The only one of a statement.
    Statement,
}

impl SideOf {
    /// Plus, then minus: the order of a pair's files.
    pub const PAIR: [Self; 2] = [Self::Plus, Self::Minus];

    /// `plus`, `minus` or `statement`, as in file and column names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plus => "plus",
            Self::Minus => "minus",
            Self::Statement => "statement",
        }
    }
}

impl fmt::Display for SideOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the rows of a store are, all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum RowKind {
    /// Contrast pairs: two prompts that differ in the answer.
    #[default]
    Pairs,
    /// Single statements: one prompt, true or false by its label.
    Statements,
}

impl RowKind {
    /// The sides of a row, in the order of every list of files.
    pub fn sides(self) -> &'static [SideOf] {
        match self {
            Self::Pairs => &SideOf::PAIR,
            Self::Statements => &[SideOf::Statement],
        }
    }

    /// `pairs` or `statements`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pairs => "pairs",
            Self::Statements => "statements",
        }
    }

    /// Where a side stands among [`RowKind::sides`], if rows of this kind have it.
    pub(crate) fn position(self, side: SideOf) -> Option<usize> {
        self.sides().iter().position(|&own| own == side)
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(crate) fn is_pairs(&self) -> bool {
        *self == Self::Pairs
    }
}

impl fmt::Display for RowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// As `manifest.json` has it: the names of the sides.
impl Serialize for RowKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.sides().iter().map(|side| side.name()))
    }
}

impl<'de> Deserialize<'de> for RowKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        // Pairs have no such key: there is one way to write each manifest.
        if names == [SideOf::Statement.name()] {
            return Ok(Self::Statements);
        }
        Err(de::Error::custom(format!("sides is {names:?}; it is [\"statement\"], or absent for pairs")))
    }
}
