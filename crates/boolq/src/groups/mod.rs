//! Which rows belong together: those of one page, or about nearly the same text.
//!
//! Two questions about one article are not independent, whatever paragraph of it they quote, and a passage that was cut
//! off, or that lost a sentence, is still the same passage. So a group is, of rows that say so, a page's title; of all
//! others, what is connected by near-duplicate texts ([`near`]). Rows of the very same text are together in any case.
//! Letter case, Unicode form, and white space separate neither titles nor texts ([`text`]).
//!
//! A group's name does not depend on the order of rows. It is a hash of the smallest of its titles, else of its texts, so
//! a group that has the same texts in two files has the same name in both. If one file has a text more, the names may
//! differ; where that matters, the data should have titles, or a column of groups.

mod near;
mod text;
mod union;

use crate::error::Result;
use crate::warning::Warning;
use near::Texts;
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap};
use union::Union;

/// What a row says of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct About<'a> {
    /// The title of the page that it is of.
    pub(crate) title: Option<&'a str>,
    /// The passage, or the subject.
    pub(crate) text: Option<&'a str>,
    /// The prompt without the answer, which stands for the text of a row that has neither of these.
    pub(crate) prompt: Option<&'a str>,
}

/// The groups of rows.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// Each row's group.
    pub(crate) names: Vec<String>,
    /// For each row whether only its prompt is known.
    pub(crate) guessed: Vec<bool>,
    /// A warning of the largest group.
    pub(crate) warning: Option<Warning>,
}

/// The name of a group of one text: the first 16 hex digits of the blake3 hash of the text, without what letter case,
/// Unicode form, and white space make of it. A group of several texts has the name of the smallest; one of rows with
/// titles, that of the smallest title.
pub fn group_of(text: &str) -> String {
    name(&text::normalized(text))
}

/// The name of the group that a column of groups names, which is taken as it stands, but for white space.
pub(crate) fn of_column(value: &str) -> String {
    name(&value.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn name(normalized: &str) -> String {
    blake3::hash(normalized.as_bytes()).to_hex().chars().take(16).collect()
}

/// The groups of all rows of a file.
///
/// # Errors
/// Threads that cannot be started.
pub(crate) fn of(rows: &[About<'_>]) -> Result<Groups> {
    host::threads::pool()?.install(|| Ok(Known::of(rows).groups(rows)))
}

/// The different titles and texts, and which of them each row has.
struct Known {
    /// Titles, texts, and prompts, normalized, one behind the other.
    all: Vec<String>,
    titles: usize,
    texts: usize,
    /// By row.
    title: Vec<Option<usize>>,
    text: Vec<Option<usize>>,
    prompt: Vec<Option<usize>>,
}

impl Known {
    fn of(rows: &[About<'_>]) -> Self {
        let mut all = Vec::new();
        let mut title = distinct(rows, |row| row.title, &mut all);
        if all.len() == 1 {
            // A title that all rows share, the data set's perhaps, tells none of them apart.
            all.clear();
            title.fill(None);
        }
        let titles = all.len();
        let text = distinct(rows, |row| row.text, &mut all);
        let texts = all.len() - titles;
        let unknown =
            |at: usize| title.get(at).copied().flatten().or(text.get(at).copied().flatten()).is_none();
        let prompts: Vec<About<'_>> = rows
            .iter()
            .enumerate()
            .map(|(at, row)| About { prompt: row.prompt.filter(|_| unknown(at)), ..*row })
            .collect();
        let prompt = distinct(&prompts, |row| row.prompt, &mut all);
        Self { all, titles, texts, title, text, prompt }
    }

    fn groups(&self, rows: &[About<'_>]) -> Groups {
        let mut sets = Union::new(self.all.len());
        // A page's rows are told apart by its title alone: only texts of rows without one are compared.
        let mut open = vec![false; self.all.len()];
        for (title, text) in self.title.iter().zip(&self.text) {
            match (title, text) {
                (Some(title), Some(text)) => sets.join(*title, *text),
                (None, Some(text)) => open.iter_mut().skip(*text).take(1).for_each(|open| *open = true),
                _ => {}
            }
        }
        let (known, prompts) = self.all.split_at(self.titles + self.texts);
        let texts = known.get(self.titles..).unwrap_or_default();
        let open = open.get(self.titles..).unwrap_or_default();
        if open.contains(&true) {
            Texts::of(texts).join(|text| open.get(text) == Some(&true), self.titles, &mut sets);
        }
        Texts::of(prompts).without_boilerplate().join(|_| true, known.len(), &mut sets);

        let roots: Vec<usize> = (0..self.all.len()).map(|node| sets.root(node)).collect();
        let mut smallest: HashMap<usize, (bool, &str)> = HashMap::new();
        for (node, (root, text)) in roots.iter().zip(&self.all).enumerate() {
            let key = (node >= self.titles, text.as_str());
            smallest.entry(*root).and_modify(|least| *least = (*least).min(key)).or_insert(key);
        }
        let names: HashMap<usize, String> =
            smallest.into_iter().map(|(root, (_, text))| (root, name(text))).collect();
        let first = |row: usize| {
            [&self.title, &self.text, &self.prompt].into_iter().find_map(|of| of.get(row).copied().flatten())
        };
        let root = |row: usize| roots.get(first(row)?).copied();
        Groups {
            names: (0..rows.len())
                .map(|row| root(row).and_then(|root| names.get(&root).cloned()).unwrap_or_default())
                .collect(),
            guessed: self.prompt.iter().map(Option::is_some).collect(),
            warning: self.largest(rows, &(0..rows.len()).map(root).collect::<Vec<_>>()),
        }
    }

    /// A warning of a group of several texts with more than a tenth of the rows.
    fn largest(&self, rows: &[About<'_>], roots: &[Option<usize>]) -> Option<Warning> {
        /// Rows, the different texts, and the first row.
        type Found = (usize, BTreeSet<usize>, usize);
        let mut groups: HashMap<usize, Found> = HashMap::new();
        for (row, root) in roots.iter().enumerate().filter_map(|(row, root)| Some((row, (*root)?))) {
            let (size, texts, _) = groups.entry(root).or_insert((0, BTreeSet::new(), row));
            *size += 1;
            texts
                .extend([&self.text, &self.prompt].into_iter().find_map(|of| of.get(row).copied().flatten()));
        }
        let large = groups.into_values().filter(|(size, texts, _)| size * 10 > rows.len() && texts.len() > 1);
        let (size, texts, first) = large.max_by_key(|(size, _, first)| (*size, std::cmp::Reverse(*first)))?;
        let about = rows.get(first)?;
        let title = about.title.filter(|_| self.title.get(first).copied().flatten().is_some());
        Some(Warning::LargeGroup {
            rows: size,
            of: rows.len(),
            texts: texts.len(),
            title: title.map(str::to_owned),
            text: about.text.or(about.prompt).unwrap_or_default().trim().to_owned(),
        })
    }
}

/// Appends the different texts of rows, normalized, to `all`; gives each row's place there. Text without a word is none.
fn distinct<'a>(
    rows: &[About<'a>],
    of: fn(&About<'a>) -> Option<&'a str>,
    all: &mut Vec<String>,
) -> Vec<Option<usize>> {
    let texts = rows.par_iter().map(|row| of(row).map(text::normalized).filter(|text| !text.is_empty()));
    let texts: Vec<Option<String>> = texts.collect();
    let mut known: HashMap<&str, usize> = HashMap::new();
    let places: Vec<Option<usize>> = texts
        .iter()
        .map(|text| {
            let text = text.as_deref()?;
            let next = all.len();
            Some(*known.entry(text).or_insert_with(|| {
                all.push(text.to_owned());
                next
            }))
        })
        .collect();
    places
}

#[cfg(test)]
mod tests;
