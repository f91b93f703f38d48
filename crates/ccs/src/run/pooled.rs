//! Several data sources as one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};
use tch::Tensor;

use super::origin::{Origin, differ, same_model};
use super::{Layer, LayerSelection, Rows, Source};
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
/// (`NAME/TEMPLATE`), so that normalisation has statistics for each (Burns et al. 2022).
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
            return Err(Error::TooFewRows { purpose: "a pool of data sets".to_owned(), needed: 1, found: 0 });
        };
        let mut names = BTreeSet::new();
        if let Some(twice) = parts.iter().find(|part| !names.insert(part.name)) {
            return Err(Error::Setting {
                name: "STORE",
                value: format!("two data sets called `{}`", twice.name),
                reason: "results are told apart by their names",
                hint: "name them: `NAME=STORE`",
            });
        }
        let mut notes = BTreeSet::new();
        let selected = layers.of(first.source.layers(), first.name)?;
        for part in parts {
            part.source.rows().check()?;
            notes.extend(compatible(part, first, layers, &selected)?);
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
    pub(super) fn range(&self, part: usize) -> std::ops::Range<usize> {
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
    let (made_by, reference) = (part.source.made_by(), first.source.made_by());
    let of = |name, made_by| Origin { name, made_by };
    let notes = same_model(of(part.name, &made_by), of(first.name, &reference))?;
    let refuse =
        |what, found: String, expected: String| differ(part.name, what, found, first.name, &expected);
    let rule = |source: &dyn Source| source.tokens().unwrap_or("not said").to_owned();
    if rule(part.source) != rule(first.source) {
        return Err(refuse("the token rule", rule(part.source), rule(first.source)));
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

fn rows(parts: &[Dataset<'_>]) -> Rows {
    let own_questions = contradicting(parts);
    let mut all = Rows::default();
    let mut logprob = Some((Vec::new(), Vec::new()));
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
        logprob = logprob.zip(rows.answer_logprob.as_ref()).map(|((mut plus, mut minus), (p, m))| {
            plus.extend(p);
            minus.extend(m);
            (plus, minus)
        });
    }
    all.answer_logprob = logprob;
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

    fn load(&self, layer: &Layer) -> Result<(Tensor, Tensor)> {
        let (mut plus, mut minus) = (Vec::new(), Vec::new());
        for part in &self.parts {
            let (p, m) = part.source.load(layer)?;
            let width = |t: &Tensor| t.size().get(1).copied();
            if let Some(first) = plus.first().filter(|first| width(first) != width(&p)) {
                let text = |t: &Tensor| width(t).unwrap_or_default().to_string();
                let reference = self.parts.first().map_or("", |part| part.name);
                return Err(differ(part.name, "the length of a state", text(&p), reference, &text(first)));
            }
            plus.push(p);
            minus.push(m);
        }
        Ok((Tensor::f_cat(&plus, 0)?, Tensor::f_cat(&minus, 0)?))
    }

    fn dim(&self, layer: &Layer) -> Option<usize> {
        self.parts.first()?.source.dim(layer)
    }

    fn identity(&self) -> Value {
        let one = |part: &Dataset<'_>| json!({ "name": part.name, "data": part.source.identity() });
        let mut identity = json!({
            "kind": "pooled",
            "rows": self.rows.labels.len(),
            "datasets": self.parts.iter().map(one).collect::<Vec<_>>(),
            "made_by": self.made_by(),
        });
        let first = self.parts.first().map(|part| part.source.identity()).unwrap_or_default();
        for key in ["tokens", "dtype"] {
            if let Some(value) = first.get(key) {
                identity[key] = value.clone();
            }
        }
        identity
    }

    /// The first part's settings, with the data sets and templates of all.
    fn made_by(&self) -> Value {
        let settings: Vec<Value> = self.parts.iter().map(|part| part.source.made_by()).collect();
        let Some(Value::Object(mut merged)) = settings.first().cloned() else { return Value::Null };
        for key in ["dataset", "template"] {
            let text = settings.iter().filter_map(|s| s.get(key)?.as_str());
            let names: BTreeSet<&str> = text.flat_map(|names| names.split(", ")).collect();
            if !names.is_empty() {
                merged.insert(key.to_owned(), names.into_iter().collect::<Vec<_>>().join(", ").into());
            }
        }
        let recorded = settings.iter().filter_map(|s| s.get("templates")?.as_object());
        let recorded: BTreeMap<&String, &Value> = recorded.flatten().collect();
        if !recorded.is_empty() {
            let recorded: Map<String, Value> =
                recorded.into_iter().map(|(name, text)| (name.clone(), text.clone())).collect();
            merged.insert("templates".to_owned(), recorded.into());
        }
        merged.into()
    }

    fn tokens(&self) -> Option<&str> {
        self.parts.first()?.source.tokens()
    }

    fn describe(&self) -> String {
        "the stores".to_owned()
    }
}
