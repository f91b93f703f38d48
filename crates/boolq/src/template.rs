//! Templates: how a row becomes text. Two are built in, any other is a Jinja file.
//!
//! A template is rendered twice for each row, once with each answer. Its variables are `passage`, `question`,
//! `title`, `statement` and `answer`. A variable that the row lacks is undefined, and using it is an error
//! (`{% if title is defined %}` asks first). `question` comes without question marks at its end: BoolQ's questions
//! have none, and templates write `{{ question }}?`.
//!
//! The answers are True (plus) and False (minus), unless the first line of the file says otherwise:
//!
//! ```jinja
//! {# answers: Yes | No #}
//! {{ passage }}
//! Question: {{ question }}?
//! Answer: {{ answer }}
//! ```
//!
//! The plus answer stands first, which is the other way round than promptsource's `No ||| Yes`.

use crate::dataset::{Dataset, Kind, Question, stem, without_question_mark};
use crate::error::{Error, Result};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use std::collections::BTreeSet;
use std::path::Path;

/// llama-ccs' one template, which it hard-codes.
const LLAMA_CCS: &str = "{{ passage }}\n\nAfter reading this passage, I have a question: {{ question }}?\n\n\
                         True or False: {{ answer }}";
const STATEMENT: &str = "{{ statement }} Is this statement true or false? {{ answer }}";
const BUILT_IN: [(&str, &str); 2] = [("llama-ccs", LLAMA_CCS), ("statement", STATEMENT)];
const VARIABLES: [&str; 5] = ["passage", "question", "title", "statement", "answer"];

/// A prompt template with its two answers.
#[derive(Debug, Clone)]
pub struct Template {
    name: String,
    source: String,
    plus: String,
    minus: String,
    /// The variables the source uses, `answer` included.
    used: BTreeSet<String>,
    environment: Environment<'static>,
}

impl Template {
    /// The names of the built-in templates; the first is the default.
    pub fn built_in() -> Vec<&'static str> {
        BUILT_IN.iter().map(|(name, _)| *name).collect()
    }

    /// A built-in template.
    ///
    /// # Errors
    /// An unknown name, with the nearest known one.
    pub fn named(name: &str) -> Result<Self> {
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, source)) => Self::from_source(name, source),
            None => Err(unknown(name)),
        }
    }

    /// What `--template NAME|FILE` means: a built-in name, else a Jinja file.
    ///
    /// # Errors
    /// Text that is neither; with a `/` or a `.` in it, it is taken for a file.
    pub fn resolve(name_or_path: &str) -> Result<Self> {
        let path = Path::new(name_or_path);
        let built_in = BUILT_IN.iter().any(|(known, _)| *known == name_or_path);
        if !built_in && (path.is_file() || name_or_path.contains(['/', '\\', '.'])) {
            Self::from_file(path)
        } else {
            Self::named(name_or_path)
        }
    }

    /// A Jinja file; the template's name is the file's, without the extension.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_source(&stem(path), &fs_err::read_to_string(path)?)
    }

    /// A template from its Jinja source. One newline at its end is left out, as Jinja does.
    ///
    /// # Errors
    /// Jinja errors with their line, unknown variables, a template that does not use `answer`, and an answers line
    /// that does not hold two different answers.
    pub fn from_source(name: &str, source: &str) -> Result<Self> {
        let source = source.strip_prefix('\u{feff}').unwrap_or(source).replace("\r\n", "\n");
        let (answers, body) = split_answers(&source);
        let (plus, minus) = match answers {
            None => ("True", "False"),
            Some(line) => two_answers(line).ok_or_else(|| Error::Template {
                template: name.to_owned(),
                reason: format!("`{}` does not hold two different answers", line.trim()),
                hint: "write {# answers: Yes | No #}, the plus answer first".to_owned(),
            })?,
        };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // Prompts are no HTML, whatever the file is called.
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.add_template_owned(name.to_owned(), body.to_owned()).map_err(|e| Error::Template {
            template: name.to_owned(),
            reason: e.to_string(),
            hint: "the file must be a Jinja template".to_owned(),
        })?;
        let used = used_variables(&environment, name)?;
        Ok(Self {
            name: name.to_owned(),
            source: body.to_owned(),
            plus: plus.to_owned(),
            minus: minus.to_owned(),
            used,
            environment,
        })
    }

    /// The template's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Jinja source, without the line that names the answers.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The plus and the minus answer.
    pub fn answers(&self) -> (&str, &str) {
        (&self.plus, &self.minus)
    }

    /// blake3 of the source and the answers, in hex. The name is not part of it.
    pub fn identity(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in [&self.source, &self.plus, &self.minus] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The plus and the minus prompt of one row of `dataset`.
    ///
    /// # Errors
    /// A variable that the row lacks, or anything else Jinja refuses, with the row.
    pub fn render(&self, dataset: &Dataset, question: &Question) -> Result<(String, String)> {
        Ok((
            self.render_side(dataset, question, &self.plus)?,
            self.render_side(dataset, question, &self.minus)?,
        ))
    }

    fn render_side(&self, dataset: &Dataset, question: &Question, answer: &str) -> Result<String> {
        let text = question.question.as_str();
        let (ask, statement) = match dataset.kind {
            Kind::Questions => (Some(without_question_mark(text)), None),
            Kind::Statements => (None, Some(text)),
        };
        let variables = [
            ("passage", question.passage.as_deref()),
            ("question", ask),
            ("title", question.title.as_deref()),
            ("statement", statement),
            ("answer", Some(answer)),
        ];
        // What is left out is undefined.
        let defined = variables.into_iter().filter_map(|(name, value)| Some((name, value?)));
        self.environment
            .get_template(&self.name)
            .and_then(|template| template.render(Value::from_pairs(defined)))
            .map_err(|e| self.render_error(dataset, question, &e))
    }

    fn render_error(&self, dataset: &Dataset, question: &Question, error: &minijinja::Error) -> Error {
        let has = |variable: &str| match variable {
            "passage" => question.passage.is_some(),
            "title" => question.title.is_some(),
            "question" => dataset.kind == Kind::Questions,
            "statement" => dataset.kind == Kind::Statements,
            _ => true,
        };
        let lacking: Vec<_> = self.used.iter().filter(|v| !has(v)).map(|v| format!("`{v}`")).collect();
        let (reason, hint) = if error.kind() == ErrorKind::UndefinedError && !lacking.is_empty() {
            let hint = match dataset.kind {
                Kind::Statements => "statement data goes with the template `statement` or one that uses it",
                Kind::Questions => "write `{% if … is defined %}`, or choose a template without it",
            };
            (format!("the data has no {}", lacking.join(", ")), hint)
        } else {
            (error.to_string(), "the template must render for every row")
        };
        Error::Render { template: self.name.clone(), row: question.row, reason, hint: hint.to_owned() }
    }
}

fn unknown(name: &str) -> Error {
    let near = BUILT_IN
        .iter()
        .map(|(known, _)| (strsim::normalized_damerau_levenshtein(known, name), known))
        .filter(|(likeness, _)| *likeness > 0.4)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    Error::UnknownTemplate {
        name: name.to_owned(),
        suggestion: near.map(|(_, known)| (*known).to_owned()),
        known: BUILT_IN.iter().map(|(known, _)| (*known).to_owned()).collect(),
    }
}

/// The inside of an answers comment on the first line, and the source after it.
fn split_answers(source: &str) -> (Option<&str>, &str) {
    let (first, rest) = source.split_once('\n').unwrap_or((source, ""));
    let answers = first
        .trim()
        .strip_prefix("{#")
        .and_then(|line| line.strip_suffix("#}"))
        .and_then(|comment| comment.trim_matches('-').trim().strip_prefix("answers:"));
    match answers {
        Some(answers) => (Some(answers), rest),
        None => (None, source),
    }
}

fn two_answers(line: &str) -> Option<(&str, &str)> {
    let (plus, minus) = line.split_once('|')?;
    let (plus, minus) = (plus.trim(), minus.trim());
    let good = !plus.is_empty() && !minus.is_empty() && plus != minus && !minus.contains('|');
    good.then_some((plus, minus))
}

fn used_variables(environment: &Environment<'_>, name: &str) -> Result<BTreeSet<String>> {
    let refuse = |reason: String, hint: String| Error::Template { template: name.to_owned(), reason, hint };
    let template =
        environment.get_template(name).map_err(|e| refuse(e.to_string(), "use another name".to_owned()))?;
    let globals: BTreeSet<&str> = environment.globals().map(|(global, _)| global).collect();
    let used: BTreeSet<String> = template
        .undeclared_variables(false)
        .into_iter()
        .filter(|variable| !globals.contains(variable.as_str()))
        .collect();
    let known = VARIABLES.join(", ");
    if let Some(stranger) = used.iter().find(|variable| !VARIABLES.contains(&variable.as_str())) {
        return Err(refuse(format!("no variable `{stranger}`"), format!("the variables are {known}")));
    }
    if !used.contains("answer") {
        let reason = "it does not use `answer`, so both prompts would be the same";
        return Err(refuse(reason.to_owned(), "end the template with {{ answer }}".to_owned()));
    }
    Ok(used)
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
        Dataset {
            name: "t".into(),
            identity: String::new(),
            kind,
            questions: vec![question],
            warnings: vec![],
        }
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
        assert_eq!(yes_no.answers(), ("Yes", "No way"));
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
        assert!(reason("{{ passge }} {{ answer }}").contains("`passge`"));
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
