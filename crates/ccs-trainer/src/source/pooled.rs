//! Several data sources as one.

use std::collections::{BTreeSet, HashMap};

use activations::provenance::{DataRecord, NamedData, Provenance};
use ccs_report::{RowKind, RowText};
use indexmap::IndexMap;

use crate::settings::LayerSelection;
use crate::source::Layer;
use crate::source::Rows;
use crate::source::Source;
use crate::source::origin::{differ, same_model};
use crate::source::states::States;
use crate::source::store::DATASET;
use crate::{Error, Result};

/// A data set with the name that it has in reports.
#[derive(Clone, Copy)]
pub struct Dataset<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its rows and states.
    pub source: &'a dyn Source,
}

impl std::fmt::Debug for Dataset<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dataset").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Data sets one after the other, as one source: all of one model, at the layers that were asked for.
///
/// Rows of one passage stay together across data sets. A template is another one in every data set
/// (`NAME/TEMPLATE`), so that normalization has statistics for each (Burns et al. 2022).
#[derive(Debug)]
pub struct Pooled<'a> {
    parts: Vec<Dataset<'a>>,
    rows: Rows,
    layers: Vec<Layer>,
    notes: Vec<String>,
}

impl<'a> Pooled<'a> {
    /// Puts data sets together.
    ///
    /// # Errors
    /// [`Error::OtherStates`] where they differ in model, tokenizer, token rule, hook points or state length at the layers
    /// selected; a name that occurs twice; no data set.
    pub fn new(parts: &[Dataset<'a>], layers: &LayerSelection) -> Result<Self> {
        let Some(first) = parts.first() else {
            let purpose = "a pool of data sets".to_owned();
            return Err(ccs::Error::TooFewRows { purpose, needed: 1, found: 0 }.into());
        };
        let mut names = BTreeSet::new();
        if let Some(twice) = parts.iter().find(|part| !names.insert(part.name)) {
            return Err(Error::Setting {
                name: "datasets",
                value: format!("two data sets called `{}`", twice.name),
                reason: "results are told apart by their names",
                hint: "give each a name of its own",
            });
        }
        let mut notes = BTreeSet::new();
        let selected = layers.of(first.source.layers(), first.name)?;
        for (at, part) in parts.iter().enumerate() {
            part.source.rows().check().map_err(|error| of_part(part.name, error))?;
            notes.extend(compatible(part, first, layers, &selected)?);
            // What the first does not say, another may.
            for other in parts.iter().take(at).skip(1) {
                notes.extend(made_alike(part, other)?);
            }
        }
        let rows = rows(parts);
        Ok(Self { parts: parts.to_vec(), rows, layers: selected, notes: notes.into_iter().collect() })
    }

    /// What could not be compared between the data sets, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The data sets.
    pub fn parts(&self) -> &[Dataset<'a>] {
        &self.parts
    }

    /// The rows of one part, by their numbers among all.
    pub(crate) fn range(&self, part: usize) -> std::ops::Range<usize> {
        let length = |part: &Dataset<'_>| part.source.rows().labels.len();
        let start: usize = self.parts.iter().take(part).map(length).sum();
        start..start + self.parts.get(part).map_or(0, length)
    }
}

/// Refuses a data set whose states are not of the kind of the first one's.
fn compatible(
    part: &Dataset<'_>,
    first: &Dataset<'_>,
    asked: &LayerSelection,
    selected: &[Layer],
) -> Result<Vec<String>> {
    let notes = made_alike(part, first)?;
    let refuse =
        |what, found: String, expected: String| differ(part.name, what, found, first.name, &expected);
    if part.source.kind() != first.source.kind() {
        let rows = |part: &Dataset<'_>| part.source.kind().name().to_owned();
        return Err(refuse("the kind of its rows", rows(part), rows(first)));
    }
    let found = asked.of(part.source.layers(), part.name)?;
    let names = |layers: &[Layer]| -> BTreeSet<(usize, String)> {
        layers.iter().map(|l| (l.layer, l.hook.clone())).collect()
    };
    let (here, there) = (names(&found), names(selected));
    if let Some((layer, hook)) = here.symmetric_difference(&there).next() {
        let has = |layers: &BTreeSet<(usize, String)>| {
            let at = layers.iter().find(|(l, _)| l == layer);
            at.map_or_else(
                || format!("without layer {layer} (`{hook}`)"),
                |(l, h)| format!("`{h}` at layer {l}"),
            )
        };
        return Err(refuse("the list of hook points", has(&here), has(&there)));
    }
    for layer in selected {
        let dim = |source: &dyn Source| source.dim(layer);
        if let (Some(a), Some(b)) = (dim(part.source), dim(first.source))
            && a != b
        {
            return Err(refuse("the length of a state", a.to_string(), b.to_string()));
        }
    }
    Ok(notes)
}

/// Refuses a data set of another model, tokenizer, edit or token rule than another's, as far as both say.
fn made_alike(part: &Dataset<'_>, other: &Dataset<'_>) -> Result<Vec<String>> {
    let (made_by, reference) = (part.source.made_by(), other.source.made_by());
    let notes = same_model((part.name, made_by.as_ref()), (other.name, reference.as_ref()))?;
    match (part.source.tokens(), other.source.tokens()) {
        (Some(found), Some(expected)) if found != expected => {
            Err(differ(part.name, "the token rule", found.to_owned(), other.name, expected))
        }
        _ => Ok(notes),
    }
}

/// An error about rows of a data set, with its name.
pub(crate) fn of_part(name: &str, error: impl Into<Error>) -> Error {
    use ccs::Error::{NotFinite, OneClass, TooFewGroups, TooFewRows};
    let error = match error.into() {
        Error::Probe(error) => error,
        Error::InLayer { layer, hook, source } => {
            return Error::InLayer { layer, hook, source: Box::new(of_part(name, *source)) };
        }
        other => return other,
    };
    Error::Probe(match error {
        NotFinite { what, row, column } => NotFinite { what: format!("{name}: {what}"), row, column },
        TooFewRows { purpose, needed, found } => {
            TooFewRows { purpose: format!("{purpose}, of {name}"), needed, found }
        }
        TooFewGroups { purpose, needed, found } => {
            TooFewGroups { purpose: format!("{purpose} of {name}"), needed, found }
        }
        OneClass { part, label, rows } => OneClass { part: format!("{part} of {name}"), label, rows },
        other => other,
    })
}

fn rows(parts: &[Dataset<'_>]) -> Rows {
    let own_questions = contradicting(parts);
    let mut all = Rows::default();
    let (mut logprob, mut mean) = (Some((Vec::new(), Vec::new())), Some((Vec::new(), Vec::new())));
    for Dataset { name, source } in parts {
        let rows = source.rows();
        let within = |text: &String| format!("{name}/{text}");
        all.ids.extend(rows.ids.iter().map(within));
        all.labels.extend(&rows.labels);
        all.groups.extend(rows.groups.iter().cloned());
        match rows.questions.as_slice() {
            [] => all.questions.extend(rows.ids.iter().map(within)),
            questions if own_questions => all.questions.extend(questions.iter().map(within)),
            questions => all.questions.extend(questions.iter().cloned()),
        }
        match rows.templates.as_slice() {
            [] => all.templates.extend(rows.labels.iter().map(|_| (*name).to_owned())),
            templates => all.templates.extend(templates.iter().map(within)),
        }
        for (all, own) in [(&mut logprob, &rows.answer_logprob), (&mut mean, &rows.answer_logprob_mean)] {
            *all = all.take().zip(own.as_ref()).map(|((mut plus, mut minus), (p, m))| {
                plus.extend(p);
                minus.extend(m);
                (plus, minus)
            });
        }
    }
    (all.answer_logprob, all.answer_logprob_mean) = (logprob, mean);
    let named =
        |part: &Dataset<'_>| Some(format!("{}: {}", part.name, part.source.rows().both_labels.as_ref()?));
    let notes: Vec<String> = parts.iter().filter_map(named).collect();
    all.both_labels = (!notes.is_empty()).then(|| notes.join(" "));
    all.columns = columns(parts);
    let names =
        parts.iter().flat_map(|part| part.source.rows().labels.iter().map(|_| Some(part.name.to_owned())));
    all.columns.insert(DATASET.to_owned(), names.collect());
    all
}

/// The columns that any of the data sets has, `None` in rows of those that lack them.
fn columns(parts: &[Dataset<'_>]) -> IndexMap<String, Vec<Option<String>>> {
    let names = parts.iter().flat_map(|part| part.source.rows().columns.keys());
    let mut all: IndexMap<String, Vec<Option<String>>> =
        names.map(|name| (name.clone(), Vec::new())).collect();
    for rows in parts.iter().map(|part| part.source.rows()) {
        for (name, values) in &mut all {
            match rows.columns.get(name) {
                Some(own) => values.extend(own.iter().cloned()),
                None => values.extend(rows.labels.iter().map(|_| None)),
            }
        }
    }
    all
}

/// Whether data sets have questions of one name that differ in group or label, and so are not one question.
fn contradicting(parts: &[Dataset<'_>]) -> bool {
    let mut known: HashMap<&str, (&str, bool)> = HashMap::new();
    parts.iter().any(|part| {
        let rows = part.source.rows();
        let about = rows.groups.iter().map(String::as_str).zip(rows.labels.iter().copied());
        rows.questions
            .iter()
            .zip(about)
            .any(|(question, about)| *known.entry(question).or_insert(about) != about)
    })
}

impl Source for Pooled<'_> {
    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn kind(&self) -> RowKind {
        // All have the first's.
        self.parts.first().map_or(RowKind::Pairs, |part| part.source.kind())
    }

    fn all_tokens(&self) -> Option<usize> {
        // One token rule holds for all.
        self.parts.iter().map(|part| part.source.all_tokens()).sum()
    }

    fn load(&self, layer: &Layer) -> Result<States> {
        let mut all: Vec<States> = Vec::new();
        for part in &self.parts {
            let states = part.source.load(layer)?;
            let (found, expected) = (states.dim()?, all.first().map(States::dim).transpose()?);
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                let (found, expected) = (found.to_string(), expected.to_string());
                let reference = self.parts.first().map_or("", |part| part.name);
                return Err(differ(part.name, "the length of a state", found, reference, &expected));
            }
            all.push(states);
        }
        States::join(&all)?.ok_or_else(|| {
            let purpose = "a pool of data sets".to_owned();
            ccs::Error::TooFewRows { purpose, needed: 1, found: 0 }.into()
        })
    }

    fn dim(&self, layer: &Layer) -> Option<usize> {
        self.parts.first()?.source.dim(layer)
    }

    fn identity(&self) -> DataRecord {
        let parts = self
            .parts
            .iter()
            .map(|part| NamedData { name: part.name.to_owned(), data: part.source.identity() });
        DataRecord::pooled(parts.collect())
    }

    fn notes(&self) -> Vec<String> {
        let own: Vec<(&str, Vec<String>)> =
            self.parts.iter().map(|part| (part.name, part.source.notes())).collect();
        let mut all = Vec::new();
        for (name, notes) in &own {
            for note in notes {
                // What all say is of the model that they share.
                let shared = own.iter().all(|(_, notes)| notes.contains(note));
                let note = if shared { note.clone() } else { format!("{name}: {note}") };
                if !all.contains(&note) {
                    all.push(note);
                }
            }
        }
        all
    }

    fn made_by(&self) -> Option<Provenance> {
        let made_by: Vec<Option<Provenance>> = self.parts.iter().map(|part| part.source.made_by()).collect();
        let names = self.parts.iter().map(|part| part.name);
        let parts: Vec<_> = names.zip(made_by.iter().map(Option::as_ref)).collect();
        Provenance::pooled(&parts)
    }

    fn tokens(&self) -> Option<&str> {
        self.parts.first()?.source.tokens()
    }

    fn locate(&self, row: usize) -> Option<(String, usize)> {
        let part = (0..self.parts.len()).find(|part| self.range(*part).contains(&row))?;
        Some((self.parts.get(part)?.name.to_owned(), row - self.range(part).start))
    }

    fn texts(&self) -> Result<Vec<Option<RowText>>> {
        let mut texts = Vec::with_capacity(self.rows.labels.len());
        for part in &self.parts {
            texts.extend(part.source.texts()?);
        }
        Ok(texts)
    }

    fn describe(&self) -> String {
        "the stores".to_owned()
    }
}
