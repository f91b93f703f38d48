//! promptsource's templates: YAML files of many, each with its Jinja, `input ||| target`, and its answer choices.
//!
//! A template is rendered with the row's columns as they are in the file, with `label` 1 (plus) and 0 (minus), and
//! with `answer_choices`, whose Jinja is rendered first, cut at `|||` and stripped. What comes out is cut at its one
//! `|||` and both parts are stripped, as Python strips: the input and the target. `|||` inside the data cuts nothing.
//!
//! The prompt is **input, one space, target**; the crate's front page says why.
//!
//! Unlike promptsource's `apply`, which by default cuts every printed value after 2,048 characters, nothing is cut: a
//! question that is too long is dropped for its tokens, and said so.

use super::{Style, Template};
use crate::error::{Error, Result};
use crate::warning::Warning;
use jinja::{newlines, strip};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::path::Path;

pub(super) const SEPARATOR: &str = "|||";
/// Stands for `|` in data while a template is rendered: one character too, which is never text.
const GUARD: &str = "\u{fdd0}";
const FORM: &str =
    "a promptsource file is `templates:` with an entry of name, jinja and answer_choices for each";

#[derive(Deserialize)]
struct File {
    templates: Entries,
}

/// The entries in the file's order, by their ids.
struct Entries(Vec<(String, Entry)>);

#[derive(Deserialize)]
struct Entry {
    name: Option<String>,
    jinja: Option<String>,
    answer_choices: Option<String>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Templates;
        impl<'de> Visitor<'de> for Templates {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("templates by their ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Templates)
    }
}

/// An entry of a YAML file: its id, its name, and its template or what is wrong with it.
pub(super) struct Listed {
    id: String,
    name: String,
    template: Result<Template>,
}

/// The entries of a YAML file's text, in its order.
///
/// # Errors
/// What is no such file, with the line.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Listed>> {
    let refuse =
        |reason: String| Error::TemplateFile { path: path.to_owned(), reason, hint: FORM.to_owned() };
    let file: File = serde_saphyr::from_str(text).map_err(|e| refuse(yaml_message(&e)))?;
    if file.templates.0.is_empty() {
        return Err(refuse("no templates".to_owned()));
    }
    let listed = |(id, entry): (String, Entry)| {
        let name = entry.name.clone().filter(|name| !name.trim().is_empty()).unwrap_or_else(|| id.clone());
        Listed { template: template(&name, entry), id, name }
    };
    Ok(file.templates.0.into_iter().map(listed).collect())
}

/// Those of the entries that can make pairs, as far as shows without data, and warnings of the others.
///
/// # Errors
/// The first entry's, if there is none that can.
pub(super) fn usable(listed: Vec<Listed>) -> Result<(Vec<Template>, Vec<Warning>)> {
    let (mut templates, mut warnings, mut first) = (Vec::new(), Vec::new(), None);
    let alone = listed.len() == 1;
    for Listed { name, template, .. } in listed {
        match template {
            Ok(template) => templates.push(Template { optional: !alone, ..template }),
            Err(error) => {
                warnings.push(Warning::TemplateLeftOut { template: name, reason: reason(&error) });
                first.get_or_insert(error);
            }
        }
    }
    match first {
        Some(error) if templates.is_empty() => Err(error),
        _ => Ok((templates, warnings)),
    }
}

/// Why a template cannot be used, without its name and the hint.
pub(crate) fn reason(error: &Error) -> String {
    match error {
        Error::Template { reason, .. } => reason.clone(),
        Error::Render { row, reason, .. } => format!("row {row}: {reason}"),
        Error::UnknownVariable { variable, .. } => format!("no variable `{variable}`"),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

/// The error on one line, without the lines of the file that the reader shows.
fn yaml_message(error: &serde_saphyr::Error) -> String {
    error.render_with_options(serde_saphyr::render_options! {
        formatter: &serde_saphyr::UserMessageFormatter,
        snippets: serde_saphyr::SnippetMode::Off,
    })
}

fn template(name: &str, entry: Entry) -> Result<Template> {
    let refuse = |reason: &str, hint: &str| Error::Template {
        template: name.to_owned(),
        reason: reason.to_owned(),
        hint: hint.to_owned(),
    };
    let Some(jinja) = entry.jinja else {
        return Err(refuse("it has no `jinja`", FORM));
    };
    if !jinja.contains(SEPARATOR) {
        return Err(refuse("its `jinja` has no |||", "write the input, then |||, then the answer"));
    }
    let choices = entry.answer_choices.filter(|choices| !strip(choices).is_empty()).ok_or_else(|| {
        refuse(
            "it has no `answer_choices`",
            "write the answers for label 0 and 1 as `answer_choices: No ||| Yes`; templates without are for free text",
        )
    })?;
    Template::from_promptsource(name, &jinja, &choices)
}

impl Template {
    /// One of promptsource's templates, from its `jinja` and its `answer_choices`, of which the first is the answer
    /// for label 0 (minus) and the second for label 1 (plus).
    ///
    /// # Errors
    /// Jinja errors with their line; fewer than two answer choices, or the same twice, where that shows without data.
    pub fn from_promptsource(name: &str, jinja: &str, answer_choices: &str) -> Result<Self> {
        let (jinja, choices) = (newlines(jinja), newlines(answer_choices));
        let template = Self::compile(name, &jinja, Style::PromptSource { choices: choices.clone() })?;
        let refuse = |reason: String, hint: &str| super::refused(name, reason, hint);
        super::compiles(name, &choices, "answer_choices is Jinja too: No ||| Yes").map_err(|error| {
            refuse(
                format!("its answer_choices: {}", reason(&error)),
                "answer_choices is Jinja too: No ||| Yes",
            )
        })?;
        if !choices.contains('{') {
            all_choices(&choices).map_err(|reason| {
                refuse(reason, "a contrast pair needs two different answers, for label 0 and label 1")
            })?;
        }
        Ok(template)
    }
}

/// The answers in rendered `answer_choices`.
pub(super) fn choices(rendered: &str) -> Vec<&str> {
    rendered.split(SEPARATOR).map(strip).collect()
}

/// The answers in rendered `answer_choices`, one for each class; the error says what is there instead.
pub(super) fn all_choices(rendered: &str) -> Result<Vec<&str>, String> {
    let choices = choices(rendered);
    let twice = choices
        .iter()
        .enumerate()
        .find(|(at, choice)| choices.iter().take(*at).any(|other| other == *choice));
    if choices.len() < 2 {
        Err(format!("it has {} answer choice(s): {}", choices.len(), choices.join(", ")))
    } else if choices.iter().any(|choice| choice.is_empty()) {
        Err("one of its answer choices is empty".to_owned())
    } else if let Some((_, choice)) = twice {
        Err(format!("two of its answer choices are {choice:?}"))
    } else {
        Ok(choices)
    }
}

/// Input and target of a rendered template; the error says what is there instead.
pub(super) fn input_and_target(rendered: &str) -> Result<(String, String), String> {
    let parts: Vec<&str> = rendered.split(SEPARATOR).map(strip).collect();
    match parts.as_slice() {
        [input, target] if input.is_empty() || target.is_empty() => {
            let side = if input.is_empty() { "before" } else { "after" };
            Err(format!("nothing {side} the |||"))
        }
        [input, target] => Ok((unguarded(input), unguarded(target))),
        others => Err(format!("{} times ||| where once is needed", others.len() - 1)),
    }
}

/// `text` with its bars hidden, if they are a separator, or could become part of one beside the template's.
pub(super) fn guarded(text: &str) -> Cow<'_, str> {
    let cuts = text.contains(SEPARATOR) || text.starts_with('|') || text.ends_with('|');
    if cuts { Cow::Owned(text.replace('|', GUARD)) } else { Cow::Borrowed(text) }
}

fn unguarded(text: &str) -> String {
    text.replace(GUARD, "|")
}

/// The template of that name, or id, or name with three dots for `…`.
pub(super) fn chosen(path: &Path, listed: Vec<Listed>, wanted: &str) -> Result<Template> {
    let known: Vec<String> = listed.iter().map(|listed| listed.name.clone()).collect();
    let dots = wanted.replace("...", "…");
    let is_it = |listed: &Listed| [wanted, &dots].contains(&listed.name.as_str()) || listed.id == wanted;
    listed.into_iter().find(is_it).map_or_else(
        || {
            Err(Error::TemplateNotInFile {
                path: path.to_owned(),
                name: wanted.to_owned(),
                suggestion: host::nearest(wanted, known.iter().map(String::as_str)).map(str::to_owned),
                known: known.clone(),
            })
        },
        |listed| listed.template,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_are_stripped_as_python_strips() {
        let parts = input_and_target(" \u{a0}\n a b \u{1c}|||\r\n c\u{3000}\n").expect("two parts");
        assert_eq!(parts, ("a b".to_owned(), "c".to_owned()));
        // Python leaves zero-width spaces, and U+001B.
        let kept = input_and_target("\u{200b}a|||b\u{1b}").expect("two parts");
        assert_eq!(kept, ("\u{200b}a".to_owned(), "b\u{1b}".to_owned()));
        assert_eq!(all_choices(" No|||Yes\n"), Ok(vec!["No", "Yes"]));
    }

    /// Text without separators at its ends or inside, but with pieces of them.
    fn part() -> impl Strategy<Value = String> {
        "[a-zé |\n\t]{0,12}[a-z]".prop_map(|text| text.replace(SEPARATOR, "||").trim_matches('|').to_owned())
    }

    proptest! {
        #[test]
        fn cut_once_and_put_together_again(
            input in part(), target in part(), a in "[ \n\t]{0,3}", b in "[ \n\t]{0,3}",
        ) {
            prop_assume!(!input.contains(SEPARATOR) && !target.contains(SEPARATOR));
            let cut = input_and_target(&format!("{a}{input}{b}|||{b}{target}{a}"));
            prop_assert_eq!(cut, Ok((strip(&input).to_owned(), strip(&target).to_owned())));
        }

        #[test]
        fn separators_in_data_cut_nothing(data in "[a|é ]{0,12}", bars in "[|]{0,2}") {
            let rendered = format!("x{bars}{}x|||{}", guarded(&data), guarded("|y"));
            prop_assert_eq!(input_and_target(&rendered), Ok((format!("x{bars}{data}x"), "|y".to_owned())));
        }

        #[test]
        fn no_text_makes_it_panic(text in "(\\PC|[|{}%\n\t:!'\"-]){0,60}") {
            let _ = input_and_target(&text);
            let _ = all_choices(&text);
            let _ = parse(Path::new("t.yaml"), &text);
            let _ = Template::from_promptsource("t", &text, "No ||| Yes");
        }
    }
}
