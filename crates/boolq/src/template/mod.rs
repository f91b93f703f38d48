//! Templates: how a row becomes text. Two are built in, any other is in a file: a Jinja file, or promptsource's YAML.
//!
//! # Variables
//! Every column of the data that holds text, numbers or booleans, by its name, except the label: `passage`, `title`,
//! `city`… A column that the data do not have is an error, with four exceptions that may be absent (`passage`,
//! `question`, `title`, `statement`); so is printing an empty cell. `{% if title %}` and `{% if title is defined %}`
//! ask first. Names with spaces are out of Jinja's reach: rename the column.
//!
//! # Plain Jinja
//! Rendered for each row, with each answer in `answer`. What it prints of the answer is the answer's span
//! ([`AnswerSpans`]); a template that prints none of it and chooses its own words by it (`{% if answer == "True" %}yes
//! it is{% else %}…`) leaves the words that differ, with a warning. `question` comes without question marks at its
//! end: BoolQ's questions have none, and templates write `{{ question }}?`. The answers are True (plus) and False
//! (minus), unless the first line of the file says otherwise:
//!
//! ```jinja
//! {# answers: Yes | No #}
//! {{ passage }}
//! Question: {{ question }}?
//! Answer: {{ answer }}
//! ```
//!
//! The plus answer stands first, which is the other way round than promptsource's `No ||| Yes`.
//!
//! # promptsource
//! A YAML file of many templates; see [`Template::from_promptsource`] for what one needs. It is rendered with the row
//! as it is in the file (`question` with its marks, if it has any), `answer_choices` and `label`: 1 for the plus
//! prompt, 0 for the minus prompt. What would make the two inputs differ (a `label` before the `|||`) or the two
//! targets equal is an error. How input and target become a prompt is told on the crate's front page.

mod jinja;
mod plain;
mod prefix;
mod promptsource;
mod resolve;
mod span;
mod text;

pub(crate) use resolve::refuse_namesakes;
pub use text::TemplateText;

use crate::answer::AnswerSpans;
use crate::dataset::{Dataset, Kind, LABELS, Question, without_question_mark};
use crate::error::{Error, Result};
use crate::suggest::nearest;
use minijinja::{Environment, ErrorKind, Value};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Variables that data may lack without the template being wrong.
const OPTIONAL: [&str; 4] = ["passage", "question", "title", "statement"];
/// The template's own name in its environment, as Jinja's messages show it.
const MAIN: &str = "template";

/// A prompt template with its two answers.
#[derive(Debug, Clone)]
pub struct Template {
    name: String,
    source: String,
    style: Style,
    /// What [`Template::with_prefix`] put before the source.
    prefix: String,
    /// The data's variables that the source uses.
    used: BTreeSet<String>,
    environment: Environment<'static>,
}

#[derive(Debug, Clone)]
enum Style {
    /// `answer` is one of the two.
    Plain { plus: String, minus: String },
    /// `input ||| target`, with `label` and `answer_choices`.
    PromptSource { choices: String },
}

/// A row's two prompts, plus first, and where their answers stand.
pub(crate) struct Sides {
    pub(crate) prompts: [String; 2],
    pub(crate) answers: AnswerSpans,
    /// Whether the template says where; otherwise these are the words in which the prompts differ.
    pub(crate) exact: bool,
}

impl Template {
    /// A plain template from its Jinja source. One newline at its end is left out, as Jinja does.
    ///
    /// # Errors
    /// Jinja errors with their line, a template that does not use `answer`, and an answers line that does not hold
    /// two different answers.
    pub fn from_source(name: &str, source: &str) -> Result<Self> {
        let source = jinja::newlines(source.strip_prefix('\u{feff}').unwrap_or(source));
        let ((plus, minus), body) = plain::split_answers(name, &source)?;
        let style = Style::Plain { plus: plus.to_owned(), minus: minus.to_owned() };
        let mut template = Self::compile(name, body, style)?;
        if let Some((reason, hint)) = plain::objection(|variable| template.uses(variable)) {
            return Err(refused(name, reason.to_owned(), hint));
        }
        template.used.remove("answer");
        Ok(template)
    }

    fn compile(name: &str, source: &str, style: Style) -> Result<Self> {
        let mut environment = jinja::environment();
        environment
            .add_template_owned(MAIN, source.to_owned())
            .map_err(|e| refused(name, e.to_string(), "it must be a Jinja template"))?;
        let mut template = Self {
            name: name.to_owned(),
            source: source.to_owned(),
            style,
            prefix: String::new(),
            used: BTreeSet::new(),
            environment,
        };
        template.used = template.variables_of(MAIN);
        Ok(template)
    }

    /// The variables that a template of the environment uses and does not set itself, Jinja's own functions apart.
    fn variables_of(&self, template: &str) -> BTreeSet<String> {
        let globals: BTreeSet<&str> = self.environment.globals().map(|(global, _)| global).collect();
        let used = self.environment.get_template(template).map(|t| t.undeclared_variables(false));
        used.unwrap_or_default().into_iter().filter(|name| !globals.contains(name.as_str())).collect()
    }

    /// The template's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Jinja source, without the line that names a plain template's answers.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The plus and the minus answer; `None` if they depend on the row, or stand in a longer target.
    pub fn answers(&self) -> Option<(&str, &str)> {
        match &self.style {
            Style::Plain { plus, minus } => Some((plus, minus)),
            Style::PromptSource { .. } => None,
        }
    }

    /// blake3 of all that decides what the template renders, in hex: the source, and the answers or answer choices.
    /// The name is not part of it.
    pub fn identity(&self) -> String {
        let parts = match &self.style {
            Style::Plain { plus, minus } => [self.source.as_str(), plus, minus],
            Style::PromptSource { choices } => [self.source.as_str(), promptsource::SEPARATOR, choices],
        };
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Whether the template uses the data's variable of that name.
    pub(crate) fn uses(&self, variable: &str) -> bool {
        self.used.contains(variable)
    }

    /// Fails if the template uses a variable that the data cannot have.
    pub(crate) fn check(&self, dataset: &Dataset) -> Result<()> {
        let columns = dataset.fields.names();
        let is_known = |name: &str| OPTIONAL.contains(&name) || columns.iter().any(|column| column == name);
        let Some(stranger) = self.used.iter().find(|name| !is_known(name)) else { return Ok(()) };
        let own: &[&str] = match self.style {
            Style::Plain { .. } => &["answer"],
            Style::PromptSource { .. } => &["label", "answer_choices"],
        };
        let known: Vec<String> = own
            .iter()
            .copied()
            .chain(OPTIONAL.into_iter().filter(|name| dataset.has(name)))
            .chain(columns.iter().map(String::as_str))
            .map(str::to_owned)
            .collect();
        let hint = match nearest(stranger, known.iter().map(String::as_str)) {
            _ if LABELS.contains(&stranger.as_str()) => {
                "the label stays out of the prompt; after the ||| write {{ answer_choices[label] }}"
                    .to_owned()
            }
            Some(near) => format!("did you mean `{near}`?"),
            None => "use columns of text, numbers or booleans, whose names Jinja can read".to_owned(),
        };
        let (template, variable) = (self.name.clone(), stranger.clone());
        Err(Error::UnknownVariable { template, variable, known, hint })
    }

    /// The plus and the minus prompt of one row of `dataset`.
    ///
    /// # Errors
    /// A variable that the row lacks, anything else Jinja refuses, prompts that do not differ, and (promptsource) inputs
    /// that differ or targets that do not, with the row.
    pub fn render(&self, dataset: &Dataset, question: &Question) -> Result<(String, String)> {
        let Sides { prompts: [plus, minus], .. } = self.sides(dataset, question)?;
        Ok((plus, minus))
    }

    pub(crate) fn sides(&self, dataset: &Dataset, question: &Question) -> Result<Sides> {
        match &self.style {
            Style::Plain { plus, minus } => {
                let side = |answer: &str| {
                    self.render_one(MAIN, dataset, question, vec![("answer", Value::from(answer))])
                };
                let prompts = [side(plus)?, side(minus)?];
                let printed = self.printed_answers(dataset, question, [plus, minus], &prompts);
                let exact = printed.is_some();
                let answers = printed.or_else(|| AnswerSpans::of_differing_words(&prompts[0], &prompts[1]));
                let answers = answers.ok_or(Error::NoAnswerText { idx: question.row })?;
                Ok(Sides { prompts, answers, exact })
            }
            Style::PromptSource { .. } => {
                let [plus_label, minus_label] = dataset.sides(question).values;
                let (input, plus) = self.labelled(dataset, question, &plus_label)?;
                let (minus_input, minus) = self.labelled(dataset, question, &minus_label)?;
                if input != minus_input {
                    let hint = "the two prompts of a pair may differ in the answer alone";
                    let reason = "its input, before the |||, depends on the label";
                    return Err(self.row_error(question, reason.to_owned(), hint));
                }
                if plus == minus {
                    let hint = "the two labels need different answers after the |||";
                    return Err(self.row_error(
                        question,
                        format!("the target of both labels is {plus:?}"),
                        hint,
                    ));
                }
                let prompts = [format!("{input} {plus}"), format!("{input} {minus}")];
                Ok(Sides { prompts, answers: span::targets(&input, &plus, &minus), exact: true })
            }
        }
    }

    /// Input and target of a promptsource template for one label.
    fn labelled(&self, dataset: &Dataset, question: &Question, label: &Value) -> Result<(String, String)> {
        // A label of another name is known by that name too.
        let own: Vec<(&str, Value)> =
            ["label", dataset.label.as_str()].into_iter().map(|name| (name, label.clone())).collect();
        let choices = self.render_one(promptsource::CHOICES, dataset, question, own.clone())?;
        let choices = promptsource::all_choices(&choices).map_err(|reason| {
            let hint = "a contrast pair needs two different answers, for label 0 and label 1";
            self.row_error(question, reason, hint)
        })?;
        let choices = Value::from_iter(choices);
        let own = own.into_iter().chain([("answer_choices", choices)]).collect();
        let rendered = self.render_one(MAIN, dataset, question, own)?;
        promptsource::input_and_target(&rendered).map_err(|reason| {
            let hint = "the rendered text must be an input, |||, and the target for that label";
            self.row_error(question, reason, hint)
        })
    }

    fn row_error(&self, question: &Question, reason: String, hint: &str) -> Error {
        Error::Render { template: self.name.clone(), row: question.row, reason, hint: hint.to_owned() }
    }

    /// Renders one of the environment's templates with the template's `own` variables and the row's.
    fn render_one(
        &self,
        template: &str,
        dataset: &Dataset,
        question: &Question,
        own: Vec<(&str, Value)>,
    ) -> Result<String> {
        // What is left out is undefined.
        let row =
            self.used.iter().filter_map(|name| Some((name.as_str(), self.value(dataset, question, name)?)));
        let variables = Value::from_pairs(row.chain(own));
        self.environment
            .get_template(template)
            .and_then(|template| template.render(variables))
            .map_err(|e| self.render_error(dataset, question, &e))
    }

    /// A variable of the row.
    fn value(&self, dataset: &Dataset, question: &Question, name: &str) -> Option<Value> {
        let plain = matches!(self.style, Style::Plain { .. });
        let text = match (name, dataset.kind) {
            ("passage", _) => question.passage.as_deref(),
            ("title", _) => question.title.as_deref(),
            ("question", Kind::Questions) if plain => Some(without_question_mark(&question.question)),
            ("question", Kind::Questions) | ("statement", Kind::Statements) => {
                Some(question.question.as_str())
            }
            _ => {
                let value = dataset.fields.get(name, question.row)?;
                match value.as_str() {
                    Some(text) => Some(text),
                    None => return Some(value.clone()),
                }
            }
        }?;
        let text = if plain { Cow::Borrowed(text) } else { promptsource::guarded(text) };
        Some(Value::from(text.as_ref()))
    }

    fn render_error(&self, dataset: &Dataset, question: &Question, error: &minijinja::Error) -> Error {
        let lacks = |name: &&String| self.value(dataset, question, name).is_none();
        let lacking: Vec<_> = self.used.iter().filter(lacks).map(|name| format!("`{name}`")).collect();
        let (reason, hint) = if error.kind() == ErrorKind::UndefinedError && !lacking.is_empty() {
            let hint = match dataset.kind {
                Kind::Statements => {
                    "statement data goes with the template `statement` or one that uses it".to_owned()
                }
                Kind::Questions => "write `{% if … %}`, or choose a template without it".to_owned(),
                Kind::Rows => {
                    let columns = dataset.fields.names().join(", ");
                    format!("give a template that uses the data's own columns: {columns}")
                }
            };
            (format!("the data has no {}", lacking.join(", ")), hint)
        } else {
            (error.to_string(), jinja::hint(error))
        };
        self.row_error(question, reason, &hint)
    }
}

fn refused(name: &str, reason: String, hint: &str) -> Error {
    Error::Template { template: name.to_owned(), reason, hint: hint.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: Kind) -> Dataset {
        let question = Question {
            row: 0,
            question_id: "0".into(),
            passage: (kind == Kind::Questions).then(|| "Pigs <can> fly.\n".into()),
            question: if kind == Kind::Questions { " can pigs fly ??".into() } else { "Pigs fly.".into() },
            title: None,
            subject: None,
            answer: true,
        };
        Dataset::new("t", kind, vec![question])
    }

    fn render(template: &Template, kind: Kind) -> Result<(String, String)> {
        let data = row(kind);
        template.render(&data, &data.questions[0])
    }

    #[test]
    fn built_in_templates() {
        let llama_ccs = Template::named("llama-ccs").expect("built in");
        let (plus, minus) = render(&llama_ccs, Kind::Questions).expect("renders");
        let stub = "Pigs <can> fly.\n\n\nAfter reading this passage, I have a question: can pigs fly?\n\nTrue or False: ";
        assert_eq!(plus, format!("{stub}True"));
        assert_eq!(minus, format!("{stub}False"));
        let statement = Template::named("statement").expect("built in");
        let (plus, _) = render(&statement, Kind::Statements).expect("renders");
        assert_eq!(plus, "Pigs fly. Is this statement true or false? True");
    }

    #[test]
    fn the_wrong_data_is_named() {
        let error = render(&Template::named("llama-ccs").expect("built in"), Kind::Statements)
            .expect_err("no passage")
            .to_string();
        assert!(error.contains("`passage`, `question`") && error.contains("template `statement`"), "{error}");
        let titled = Template::from_source("t", "{{ title }} {{ answer }}").expect("compiles");
        assert!(matches!(render(&titled, Kind::Questions), Err(Error::Render { row: 0, .. })));
        let asks = "{% if title is defined %}{{ title }} {% endif %}{{ answer }}";
        let asks = Template::from_source("t", asks).expect("compiles");
        assert_eq!(render(&asks, Kind::Questions).expect("renders").0, "True");
    }

    #[test]
    fn answers_on_the_first_line() {
        let yes_no = Template::from_source(
            "a.html",
            "{# answers: Yes | No way #}\r\n{{ passage }}\nA: {{ answer }}\n",
        );
        let yes_no = yes_no.expect("compiles");
        assert_eq!(yes_no.answers(), Some(("Yes", "No way")));
        let (_, minus) = render(&yes_no, Kind::Questions).expect("renders");
        assert_eq!(minus, "Pigs <can> fly.\n\nA: No way", "no HTML escapes, no newline at the end");
        for bad in ["Yes", "Yes | Yes", "Yes |", "a | b | c"] {
            let bad = Template::from_source("t", &format!("{{# answers: {bad} #}}\n{{{{ answer }}}}"));
            assert!(matches!(bad, Err(Error::Template { .. })), "{bad:?}");
        }
    }

    #[test]
    fn templates_that_cannot_work_are_refused() {
        let reason = |source: &str| Template::from_source("t", source).expect_err(source).to_string();
        assert!(reason("{{ passage }}").contains("`answer`"));
        assert!(reason("{{ label }} {{ answer }}").contains("`label`"));
        let stranger = Template::from_source("t", "{{ passge }} {{ answer }}").expect("data may have it");
        let stranger = stranger.check(&row(Kind::Questions)).expect_err("these have not").to_string();
        assert!(stranger.contains("`passge`") && stranger.contains("did you mean `passage`?"), "{stranger}");
        assert!(reason("line\n{{ answer ").contains('2'), "{}", reason("line\n{{ answer "));
        // Jinja's own functions are no unknown variables.
        assert!(
            Template::from_source("t", "{% for i in range(2) %}{{ i }}{% endfor %} {{ answer }}").is_ok()
        );
    }

    #[test]
    fn names_and_files() {
        let Err(Error::UnknownTemplate { suggestion, known, .. }) = Template::resolve("llamaccs") else {
            panic!("no such template")
        };
        assert_eq!(suggestion.as_deref(), Some("llama-ccs"));
        assert_eq!(known, Template::built_in());
        assert!(matches!(Template::resolve("absent.jinja"), Err(Error::Io(_))));
        assert_eq!(Template::resolve("statement").expect("built in").len(), 1);
        assert!(
            Template::named("qqqqqqqqqq")
                .expect_err("no such template")
                .to_string()
                .contains("hint: give one")
        );
    }

    #[test]
    fn identity_is_source_and_answers() {
        let identity =
            |name: &str, source: &str| Template::from_source(name, source).expect("compiles").identity();
        assert_eq!(identity("a", "{{ answer }}"), identity("b", "{{ answer }}"));
        assert_eq!(identity("a", "{{ answer }}"), identity("a", "{# answers: True | False #}\n{{ answer }}"));
        assert_ne!(identity("a", "{{ answer }}"), identity("a", "{# answers: Yes | No #}\n{{ answer }}"));
        assert_ne!(identity("a", "{{ answer }}"), identity("a", " {{ answer }}"));
    }
}
