//! Templates: how a row becomes text. Two are built in, any other is in a file: a Jinja file, or promptsource's YAML.
//!
//! # Variables
//! Every column of the data by its name, except the label: `passage`, `title`, `city`, lists and dictionaries too. What
//! is not there is found by rendering, never by reading the source: printing, testing, cutting, filtering, comparing or
//! looping over it is an error that names it; `is defined`, `is undefined` and `default` ask. Two things may be tested
//! besides (`{% if title %}`), and only tested: an empty cell of a column that there is, and the four texts that data
//! may lack (`passage`, `question`, `title`, `statement`). Names with spaces are out of Jinja's reach: rename the column.
//!
//! Text comes out as Python's jinja2 renders it, or with an error. `tests/python/` of the crate `jinja` holds two thousand constructs and
//! what jinja2 makes of them. Values cannot be changed in place (`list.append`), nothing is drawn at random, and no
//! other file is read (`include`, `extends`). A rendering may do so much work, and print so much, and no more.
//!
//! A template that renders nothing but white space for a row does not apply to it, as in promptsource: the row has no
//! pair under this template, which [`Warning::NotApplicable`](crate::Warning::NotApplicable) counts.
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

mod plain;
mod prefix;
mod promptsource;
mod render;
mod resolve;
mod span;
mod text;

pub(crate) use jinja::deeply;
pub(crate) use promptsource::reason;
pub(crate) use render::Compiled;
pub(crate) use resolve::refuse_namesakes;
pub(crate) use span::{Marks, first_answers};
pub use text::TemplateText;

use crate::answer::AnswerSpans;
use crate::dataset::{Dataset, Question};
use crate::error::{Error, Result};
use jinja::{Dialect, Engine};

/// A prompt template with its two answers.
#[derive(Debug, Clone)]
pub struct Template {
    name: String,
    source: String,
    style: Style,
    /// What [`Template::with_prefix`] put before the source.
    prefix: String,
    /// Whether it is one of a file's that were not asked for by name: left out, with a warning, where it fails.
    optional: bool,
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
    /// Jinja errors with their line, and an answers line that does not hold two different answers.
    pub fn from_source(name: &str, source: &str) -> Result<Self> {
        let source = jinja::newlines(source.strip_prefix('\u{feff}').unwrap_or(source));
        let ((plus, minus), body) = plain::split_answers(name, &source)?;
        let style = Style::Plain { plus: plus.to_owned(), minus: minus.to_owned() };
        Self::compile(name, body, style)
    }

    /// The built-in template `as-is`: the statement as it stands in the data, without an answer. For
    /// [`statements`](crate::statements()).
    pub fn as_is() -> Self {
        resolve::as_is()
    }

    /// Whether the template can be one of single statements, as far as that can be told without a row.
    pub(crate) fn check_single(&self) -> Result<()> {
        let reason = match &self.style {
            Style::PromptSource { .. } => "promptsource's templates end in a target, which is an answer",
            Style::Plain { plus, minus } if (plus.as_str(), minus.as_str()) != plain::TRUE_FALSE => {
                "its first line names two answers"
            }
            Style::Plain { .. } => return Ok(()),
        };
        Err(refused(&self.name, format!("{reason}, and a single statement has none"), SINGLE))
    }

    fn compile(name: &str, source: &str, style: Style) -> Result<Self> {
        compiles(name, source, "write a Jinja template, of at most 256 KiB, with at most 8 KiB a tag")?;
        Ok(Self {
            name: name.to_owned(),
            source: source.to_owned(),
            style,
            prefix: String::new(),
            optional: false,
        })
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

    /// Whether the template may be left out where it fails; see [`Template::in_file`].
    pub(crate) fn is_optional(&self) -> bool {
        self.optional
    }

    /// The error of a template that renders nothing for each of the rows.
    pub(crate) fn applies_to_none(&self, rows: usize) -> Error {
        let reason = format!("it applies to none of the {rows} rows: it renders nothing for them");
        refused(
            &self.name,
            reason,
            "is it for other data? Look at its conditions, and at the columns they ask for",
        )
    }

    /// The plus and the minus prompt of one row of `dataset`.
    ///
    /// # Errors
    /// What the row lacks, anything else Jinja refuses, prompts or (promptsource) targets that do not differ, inputs that
    /// do, and a template that does not apply to the row, with the row.
    pub fn render(&self, dataset: &Dataset, question: &Question) -> Result<(String, String)> {
        let Sides { prompts: [plus, minus], .. } = self.sides(dataset, question)?;
        Ok((plus, minus))
    }

    /// The row's two prompts with their answers.
    pub(crate) fn sides(&self, dataset: &Dataset, question: &Question) -> Result<Sides> {
        let sides = jinja::deeply(|| self.compiled()?.sides(dataset, question))??;
        sides.ok_or_else(|| {
            let reason = "the template does not apply to the row: it renders nothing".to_owned();
            self.row_error(question, reason, "choose the rows that it is for, or another template")
        })
    }

    /// The template ready to render many rows. Only on a [deep](jinja::deeply) stack.
    pub(crate) fn compiled(&self) -> Result<Compiled<'_>> {
        let hint = "write a Jinja template, of at most 256 KiB, with at most 8 KiB a tag";
        let engine = |source| {
            Engine::compile(source, Dialect::Data).map_err(|e| refused(&self.name, message(&e), hint))
        };
        let choices = match &self.style {
            Style::Plain { .. } => None,
            Style::PromptSource { choices } => Some(engine(choices)?),
        };
        Ok(Compiled { template: self, main: engine(&self.source)?, choices })
    }

    fn row_error(&self, question: &Question, reason: String, hint: &str) -> Error {
        Error::Render { template: self.name.clone(), row: question.row, reason, hint: hint.to_owned() }
    }
}

/// What to do about an answer where there is none.
const SINGLE: &str =
    "give the template `as-is`, or a Jinja template without `answer`; or make contrast pairs of the rows";

/// Fails if a source is no template.
fn compiles(name: &str, source: &str, hint: &str) -> Result<()> {
    let compiled =
        jinja::deeply(|| Engine::compile(source, Dialect::Data).map(drop).map_err(|e| message(&e)))?;
    compiled.map_err(|reason| refused(name, reason, hint))
}

/// An error of the engine's on one line, without the name that all templates have there.
fn message(error: &minijinja::Error) -> String {
    error.to_string().replace(" (in template:", " (line ")
}

fn refused(name: &str, reason: String, hint: &str) -> Error {
    Error::Template { template: name.to_owned(), reason, hint: hint.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Kind;

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
            .with_hint();
        assert!(error.contains("no `passage`") && error.contains("template `statement`"), "{error}");
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
        let reason = |source: &str| Template::from_source("t", source).expect_err(source).with_hint();
        let on_rows = |source: &str| {
            let template = Template::from_source("t", source).expect("data may have it");
            render(&template, Kind::Questions).expect_err(source).with_hint()
        };
        assert!(on_rows("{{ passage }}").contains("does not print `answer`"));
        assert!(on_rows("{{ label }} {{ answer }}").contains("no variable `label`"));
        let stranger = on_rows("{{ passge }} {{ answer }}");
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
                .hint()
                .is_some_and(|hint| hint.starts_with("give one"))
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
