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

use super::jinja::{newlines, strip};
use super::{Style, Template};
use crate::error::{Error, Result};
use crate::suggest::nearest;
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

/// The templates of a YAML file's text, in its order, with their ids.
///
/// # Errors
/// What is no such file, with the line; and templates that no contrast pair can be made with, by their names.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<(String, Template)>> {
    let refuse =
        |reason: String| Error::TemplateFile { path: path.to_owned(), reason, hint: FORM.to_owned() };
    let file: File = serde_saphyr::from_str(text).map_err(|e| refuse(yaml_message(&e)))?;
    if file.templates.0.is_empty() {
        return Err(refuse("no templates".to_owned()));
    }
    file.templates.0.into_iter().map(|(id, entry)| Ok((id.clone(), template(id, entry)?))).collect()
}

/// The error on one line, without the lines of the file that the reader shows.
fn yaml_message(error: &serde_saphyr::Error) -> String {
    error.render_with_options(serde_saphyr::render_options! {
        formatter: &serde_saphyr::UserMessageFormatter,
        snippets: serde_saphyr::SnippetMode::Off,
    })
}

fn template(id: String, entry: Entry) -> Result<Template> {
    let named = |name: Option<String>| name.filter(|name| !name.trim().is_empty());
    let name = named(entry.name).unwrap_or(id);
    let refuse = |reason: &str, hint: &str| Error::Template {
        template: name.clone(),
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
    Template::from_promptsource(&name, &jinja, &choices)
}

impl Template {
    /// One of promptsource's templates, from its `jinja` and its `answer_choices`, of which the first is the answer
    /// for label 0 (minus) and the second for label 1 (plus).
    ///
    /// # Errors
    /// Jinja errors with their line; a template that does not use `label`; fewer than two answer choices, or the
    /// same twice, where that shows without data.
    pub fn from_promptsource(name: &str, jinja: &str, answer_choices: &str) -> Result<Self> {
        let (jinja, choices) = (newlines(jinja), newlines(answer_choices));
        let mut template = Self::compile(name, &jinja, Style::PromptSource { choices: choices.clone() })?;
        let refuse = |reason: String, hint: &str| Error::Template {
            template: name.to_owned(),
            reason,
            hint: hint.to_owned(),
        };
        template.environment.add_template_owned(CHOICES, choices.clone()).map_err(|e| {
            refuse(format!("its answer_choices: {e}"), "answer_choices is Jinja too: No ||| Yes")
        })?;
        let variables = template.variables_of(CHOICES);
        if variables.is_empty() {
            let rendered = template
                .environment
                .render_str(&choices, ())
                .map_err(|e| refuse(format!("its answer_choices: {e}"), &super::jinja::hint(&e)))?;
            all_choices(&rendered).map_err(|reason| {
                refuse(reason, "a contrast pair needs two different answers, for label 0 and label 1")
            })?;
        }
        template.used.extend(variables);
        template.used.remove("answer_choices");
        if !template.used.remove("label") {
            let reason = "it does not use `label`, so both prompts would be the same".to_owned();
            return Err(refuse(reason, "write the answer as {{ answer_choices[label] }} after the |||"));
        }
        Ok(template)
    }
}

/// The name of the choices' own template in the environment.
pub(super) const CHOICES: &str = "answer_choices";

/// The answers in rendered `answer_choices`, one for each class; the error says what is there instead.
pub(super) fn all_choices(rendered: &str) -> Result<Vec<&str>, String> {
    let choices: Vec<&str> = rendered.split(SEPARATOR).map(strip).collect();
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
pub(super) fn chosen(path: &Path, templates: Vec<(String, Template)>, wanted: &str) -> Result<Template> {
    let known: Vec<String> = templates.iter().map(|(_, template)| template.name.clone()).collect();
    let dots = wanted.replace("...", "…");
    let is_it = |(id, template): &(String, Template)| {
        [wanted, &dots].contains(&template.name.as_str()) || id == wanted
    };
    templates.into_iter().find(is_it).map(|(_, template)| template).ok_or_else(|| Error::TemplateNotInFile {
        path: path.to_owned(),
        name: wanted.to_owned(),
        suggestion: nearest(wanted, known.iter().map(String::as_str)).map(str::to_owned),
        known,
    })
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
