//! A row under a template: its variables, its two prompts, and what is said when something is not there.

use super::{SINGLE, Sides, Style, Template, message, promptsource, span};
use crate::answer::AnswerSpans;
use crate::dataset::{Dataset, Kind, LABELS, Question, without_question_mark};
use crate::error::{Error, Result};
use jinja::{Empty, Engine, expression};
use minijinja::value::ValueKind;
use minijinja::{ErrorKind, Value};
use std::borrow::Cow;

/// Texts that data may lack without a template that asks for them being wrong.
const OPTIONAL: [&str; 4] = ["passage", "question", "title", "statement"];

/// A template ready to render rows.
pub(crate) struct Compiled<'template> {
    pub(crate) template: &'template Template,
    pub(super) main: Engine<'template>,
    pub(super) choices: Option<Engine<'template>>,
}

impl Compiled<'_> {
    /// The row's two prompts; `None` if the template does not apply to the row.
    pub(crate) fn sides(&self, dataset: &Dataset, question: &Question) -> Result<Option<Sides>> {
        let row = self.row(dataset, question);
        match (&self.template.style, &self.choices) {
            (Style::PromptSource { .. }, Some(choices)) => self.labels(choices, &row),
            (Style::Plain { plus, minus }, _) => match dataset.choices(question) {
                Some([plus, minus]) => self.answers(&plus, &minus, &row),
                None => self.answers(plus, minus, &row),
            },
            (Style::PromptSource { .. }, None) => Ok(None),
        }
    }

    /// The row's only prompt, of a template without an answer; `None` if it does not apply to the row.
    pub(crate) fn single(&self, dataset: &Dataset, question: &Question) -> Result<Option<String>> {
        let mut row = self.row(dataset, question);
        // A column of that name would be taken for the answer.
        row.variables.retain(|(name, _)| name.as_str() != Some("answer"));
        let rendered = self.main.render(row.with(&[]));
        let prompt = rendered.map_err(|error| match expression(&error) {
            Some("answer") => {
                let reason = "it uses `answer`, and a single statement has none".to_owned();
                self.template.row_error(question, reason, SINGLE)
            }
            _ => self.failure(&row, &error),
        })?;
        Ok((!jinja::strip(&prompt).is_empty()).then_some(prompt))
    }

    fn answers(&self, plus: &str, minus: &str, row: &Row) -> Result<Option<Sides>> {
        let side = |answer: &str| self.rendered(&self.main, row, &[("answer", Value::from(answer))]);
        let prompts = [side(plus)?, side(minus)?];
        if prompts.iter().all(|prompt| jinja::strip(prompt).is_empty()) {
            return Ok(None);
        }
        if prompts[0] == prompts[1] {
            let reason = "both prompts are the same: it does not print `answer`".to_owned();
            let hint = "end the template with {{ answer }}; without an answer a row is a single statement, not a pair";
            return Err(self.template.row_error(row.question, reason, hint));
        }
        let printed = self.printed_answers(row, [plus, minus], &prompts);
        let exact = printed.is_some();
        let answers = printed.or_else(|| AnswerSpans::of_differing_words(&prompts[0], &prompts[1]));
        let answers = answers.ok_or(Error::NoAnswerText { idx: row.question.row })?;
        Ok(Some(Sides { prompts, answers, exact }))
    }

    fn labels(&self, choices: &Engine, row: &Row) -> Result<Option<Sides>> {
        let refuse = |reason: String, hint: &str| Err(self.template.row_error(row.question, reason, hint));
        let [plus, minus] = row.dataset.sides(row.question).values;
        let (plus, minus) = match [self.labeled(choices, row, &plus)?, self.labeled(choices, row, &minus)?] {
            [None, None] => return Ok(None),
            [Some(plus), Some(minus)] => (plus, minus),
            _ => {
                let hint = "the two prompts of a pair may differ in the answer alone";
                return refuse("it renders nothing for one of the two labels".to_owned(), hint);
            }
        };
        if plus.0 != minus.0 {
            let hint = "the two prompts of a pair may differ in the answer alone";
            return refuse("its input, before the |||, depends on the label".to_owned(), hint);
        }
        let (input, plus, minus) = (plus.0, plus.1, minus.1);
        if plus == minus {
            let hint = "the two labels need different answers after the |||: {{ answer_choices[label] }}";
            return refuse(format!("the target of both labels is {plus:?}"), hint);
        }
        let prompts = [format!("{input} {plus}"), format!("{input} {minus}")];
        Ok(Some(Sides { prompts, answers: span::targets(&input, &plus, &minus), exact: true }))
    }

    /// Input and target of a promptsource template for one label; `None` if it renders nothing.
    fn labeled(&self, choices: &Engine, row: &Row, label: &Value) -> Result<Option<(String, String)>> {
        let refuse = |reason: String, hint: &str| self.template.row_error(row.question, reason, hint);
        // A label of another name is known by that name too.
        let own = ["label", row.dataset.label.as_str()].map(|name| (name, label.clone()));
        let choices = self.rendered(choices, row, &own)?;
        let list: Value = promptsource::choices(&choices).into_iter().collect();
        let counted = promptsource::all_choices(&choices).map(drop).map_err(|reason| {
            refuse(reason, "a contrast pair needs two different answers, for label 0 and label 1")
        });
        let [label, named] = own;
        let rendered = match self.rendered(&self.main, row, &[label, named, ("answer_choices", list)]) {
            Ok(rendered) => rendered,
            // A choice that is not there is named by their number.
            Err(error) => return Err(counted.err().unwrap_or(error)),
        };
        if jinja::strip(&rendered).is_empty() {
            return Ok(None);
        }
        counted?;
        let hint = "the rendered text must be an input, |||, and the target for that label";
        promptsource::input_and_target(&rendered).map(Some).map_err(|reason| refuse(reason, hint))
    }

    pub(super) fn rendered(&self, engine: &Engine, row: &Row, own: &[(&str, Value)]) -> Result<String> {
        engine.render(row.with(own)).map_err(|error| self.failure(row, &error))
    }

    /// The variables of a row: what is left out is undefined.
    fn row<'a>(&self, dataset: &'a Dataset, question: &'a Question) -> Row<'a> {
        let plain = matches!(self.template.style, Style::Plain { .. });
        let text = |text: &str| {
            let text = if plain { Cow::Borrowed(text) } else { promptsource::guarded(text) };
            Value::from(text.as_ref())
        };
        let own = |name: &str| match (name, dataset.kind) {
            ("passage", _) => question.passage.as_deref(),
            ("title", _) => question.title.as_deref(),
            ("question", Kind::Questions) if plain => Some(without_question_mark(&question.question)),
            ("question", Kind::Questions) | ("statement", Kind::Statements) => {
                Some(question.question.as_str())
            }
            _ => None,
        };
        let empty = |name: &str| Value::from_object(Empty(name.to_owned()));
        let mut variables: Vec<(Value, Value)> = OPTIONAL
            .into_iter()
            .filter(|name| !dataset.fields.names().iter().any(|column| column == name))
            .map(|name| (Value::from(name), own(name).map_or_else(|| empty(name), text)))
            .collect();
        for name in dataset.fields.names() {
            let value = match dataset.fields.get(name, question.row) {
                None => empty(name),
                Some(value) if plain => value.clone(),
                Some(value) => guarded(value),
            };
            variables.push((Value::from(name.as_str()), value));
        }
        Row { dataset, question, variables }
    }

    fn failure(&self, row: &Row, error: &minijinja::Error) -> Error {
        if error.kind() == ErrorKind::OutOfFuel {
            return self.template.row_error(
                row.question,
                format!(
                    "it asks for more than the {} steps of work, or prints more than the {} MiB, that one prompt may take",
                    jinja::WORK,
                    jinja::LONGEST >> 20
                ),
                "shorten its loops and repetitions; a step is an operation, or 64 bytes of text",
            );
        }
        if let Some(expression) = expression(error) {
            return self.undefined(row, expression);
        }
        if error.kind() == ErrorKind::UndefinedError {
            let hint = "ask first: `is defined`, or |default(…)";
            return self.template.row_error(row.question, message(error), hint);
        }
        self.template.row_error(row.question, message(error), &jinja::hint(error))
    }

    /// What is said of an expression that is undefined.
    fn undefined(&self, row: &Row, expression: &str) -> Error {
        let end = expression.find(['.', '[', '(']).unwrap_or(expression.len());
        let name = expression.get(..end).unwrap_or(expression);
        let columns = row.dataset.fields.names();
        let own: &[&str] = match self.template.style {
            Style::Plain { .. } => &["answer"],
            Style::PromptSource { .. } => &["label", "answer_choices"],
        };
        let texts = OPTIONAL.into_iter().filter(|name| row.dataset.has(name));
        let known: Vec<String> = own
            .iter()
            .copied()
            .chain(texts)
            .chain(columns.iter().map(String::as_str))
            .map(str::to_owned)
            .collect();
        let is_known = known.iter().any(|known| known == name);
        if is_known && end == expression.len() {
            let reason = format!("`{name}` has no value in this row");
            let hint = "write `{% if … %}`, or choose rows or a template without it";
            return self.template.row_error(row.question, reason, hint);
        }
        if is_known {
            let hint = "ask first: `is defined`, or |default(…)";
            return self.template.row_error(row.question, format!("`{expression}` is undefined"), hint);
        }
        if OPTIONAL.contains(&name) {
            let hint = match row.dataset.kind {
                Kind::Statements => {
                    "statement data goes with the template `statement` or one that uses it".to_owned()
                }
                Kind::Questions => "write `{% if … %}`, or choose a template without it".to_owned(),
                Kind::Rows => {
                    format!("give a template that uses the data's own columns: {}", columns.join(", "))
                }
            };
            return self.template.row_error(row.question, format!("the data has no `{name}`"), &hint);
        }
        let plain = matches!(self.template.style, Style::Plain { .. });
        let hint = match host::nearest(name, known.iter().map(String::as_str)) {
            _ if LABELS.contains(&name) && plain => {
                "the label stays out of the prompt; {{ answer }} is each of the two answers in turn"
                    .to_owned()
            }
            _ if LABELS.contains(&name) => {
                "the label stays out of the prompt; after the ||| write {{ answer_choices[label] }}"
                    .to_owned()
            }
            _ if name == "answer_choices" => {
                "promptsource's templates are read from their YAML files; a plain template uses {{ answer }}"
                    .to_owned()
            }
            Some(near) => format!("did you mean `{near}`?"),
            None => "use the columns of the data, whose names Jinja can read".to_owned(),
        };
        let (template, variable) = (self.template.name.clone(), name.to_owned());
        Error::UnknownVariable { template, variable, known, hint }
    }
}

/// A row with its variables.
pub(super) struct Row<'a> {
    dataset: &'a Dataset,
    question: &'a Question,
    variables: Vec<(Value, Value)>,
}

impl Row<'_> {
    /// The row's variables and these.
    pub(super) fn with(&self, own: &[(&str, Value)]) -> Value {
        let own = own.iter().map(|(name, value)| (Value::from(*name), value.clone()));
        Value::from_pairs(self.variables.iter().cloned().chain(own))
    }
}

/// A value whose texts, in whatever lists they are, hide their bars.
fn guarded(value: &Value) -> Value {
    if let Some(text) = value.as_str() {
        return match promptsource::guarded(text) {
            Cow::Borrowed(_) => value.clone(),
            Cow::Owned(text) => Value::from(text),
        };
    }
    match value.kind() {
        ValueKind::Seq => value
            .try_iter()
            .map_or_else(|_| value.clone(), |items| items.map(|item| guarded(&item)).collect()),
        ValueKind::Map => value.try_iter().map_or_else(
            |_| value.clone(),
            |keys| {
                let pair = |key: Value| {
                    let item = value.get_item(&key).unwrap_or_default();
                    (key, guarded(&item))
                };
                Value::from_pairs(keys.map(pair))
            },
        ),
        _ => value.clone(),
    }
}
