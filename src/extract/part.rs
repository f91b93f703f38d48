//! One part of a plan, for machines that do not see each other.

use std::fmt;
use std::str::FromStr;

use activations::Manifest;
use activations::provenance::{self, Provenance};

use super::examples::Example;
use crate::error::{Error, Result};

/// Which part of how many: `2/4` is the second of four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartOf {
    number: usize,
    of: usize,
}

impl PartOf {
    /// The `number`-th, from 1, of so many parts; `None` where there is no such part.
    pub fn new(number: usize, of: usize) -> Option<Self> {
        (1..=of).contains(&number).then_some(Self { number, of })
    }

    /// The part of a plan, and its examples. Every `of`-th batch belongs to it, so that parts take about the same time:
    /// batches are sorted by length.
    pub(super) fn take<'e>(
        self,
        whole: Manifest,
        examples: &[Example<'e>],
    ) -> Result<(Manifest, Vec<Example<'e>>)> {
        let batches: Vec<usize> = (self.number - 1..whole.batches.len()).step_by(self.of).collect();
        if batches.is_empty() {
            return Err(Error::EmptyPart { part: self, batches: whole.batches.len() });
        }
        let mut rows: Vec<usize> =
            batches.iter().flat_map(|&batch| whole.batches[batch].iter().copied()).collect();
        rows.sort_unstable();
        let mut position = vec![0; examples.len()];
        rows.iter().enumerate().for_each(|(own, &row)| position[row] = own);
        let own = |&batch: &usize| whole.batches[batch].iter().map(|&row| position[row]).collect();
        let own_batches: Vec<Vec<usize>> = batches.iter().map(own).collect();
        let own_examples = rows.iter().map(|&row| examples[row].clone()).collect();
        let part = provenance::Part { number: self.number, of: self.of, rows, batches };
        let settings = Provenance { part: Some(part), ..whole.provenance() }.into();
        let manifest = Manifest::new(whole.dtype, whole.columns, own_batches, settings).of(whole.kind);
        Ok((manifest, own_examples))
    }
}

impl fmt::Display for PartOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for PartOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers =
            text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        let part = numbers.and_then(|(number, of)| Self::new(number, of));
        part.ok_or_else(|| format!("`{text}` is no part; the second of four is 2/4"))
    }
}
