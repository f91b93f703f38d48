//! Every row's question and template.

use std::collections::HashMap;
use std::sync::Arc;

use super::pick;
use crate::{Error, Result};

#[derive(Debug, Clone)]
pub(super) struct Variants {
    pub(super) questions: Names,
    pub(super) templates: Names,
}

/// Names by number, and every row's number. Parts of the rows keep the numbers.
#[derive(Debug, Clone)]
pub(super) struct Names {
    names: Arc<[String]>,
    numbers: Vec<usize>, // N
}

impl Names {
    /// Numbers names in the order of their first appearance.
    fn of(rows: Vec<String>) -> Self {
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut names = Vec::new();
        let mut numbers = Vec::with_capacity(rows.len());
        for row in rows {
            let next = names.len();
            let number = *known.entry(row.clone()).or_insert(next);
            if number == next {
                names.push(row);
            }
            numbers.push(number);
        }
        Self { names: names.into(), numbers }
    }

    fn select(&self, rows: &[usize]) -> Result<Self> {
        Ok(Self { names: Arc::clone(&self.names), numbers: pick(&self.numbers, rows)? })
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Every row's number. N
    pub(super) fn numbers(&self) -> &[usize] {
        &self.numbers
    }

    fn name(&self, number: usize) -> &str {
        self.names.get(number).map_or("", String::as_str)
    }
}

impl Variants {
    /// Of rows in these groups.
    pub(super) fn new(questions: Vec<String>, templates: Vec<String>, groups: &[String]) -> Result<Self> {
        let variants = Self { questions: Names::of(questions), templates: Names::of(templates) };
        let mut first: HashMap<usize, usize> = HashMap::new();
        let mut seen: HashMap<(usize, usize), usize> = HashMap::new();
        for (row, key) in variants.questions.numbers.iter().zip(&variants.templates.numbers).enumerate() {
            let question = || variants.questions.name(*key.0);
            if let Some(other) = seen.insert((*key.0, *key.1), row) {
                let template = variants.templates.name(*key.1);
                let problem =
                    format!("question `{}` has template `{template}` in row {other} too", question());
                return Err(Error::Variant { row, problem });
            }
            let other = *first.entry(*key.0).or_insert(row);
            if groups.get(other) != groups.get(row) {
                let problem = format!("question `{}` is in another group in row {other}", question());
                return Err(Error::Variant { row, problem });
            }
        }
        Ok(variants)
    }

    pub(super) fn select(&self, rows: &[usize]) -> Result<Self> {
        Ok(Self { questions: self.questions.select(rows)?, templates: self.templates.select(rows)? })
    }
}
