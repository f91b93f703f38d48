//! How two manifests, or the rows of two stores, differ: by place, with both values.

use std::fmt;

/// One place where two manifests (or the rows of two stores) differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The place, for example `settings.model.hash`.
    pub path: String,
    /// The stored value as JSON, if there is one.
    pub stored: Option<String>,
    /// The value asked for, if there is one.
    pub asked: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<String>| match value {
            None => "(none)".to_owned(),
            Some(text) if text.chars().count() > 80 => text.chars().take(77).collect::<String>() + "…",
            Some(text) => text.clone(),
        };
        write!(f, "{}: {} → {}", self.path, show(&self.stored), show(&self.asked))
    }
}

/// The places where two manifests differ; prints the first eight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    pub(crate) found: Vec<Difference>,
}

impl Differences {
    /// The differences, settings first.
    pub fn as_slice(&self) -> &[Difference] {
        &self.found
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (i, difference) in self.found.iter().take(SHOWN).enumerate() {
            write!(f, "{}  {difference}", if i == 0 { "" } else { "\n" })?;
        }
        match self.found.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}
