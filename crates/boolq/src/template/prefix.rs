//! Text before every prompt of a template: misleading prefixes, instructions, examples.

use super::{Style, Template, TemplateText, promptsource, refused};
use crate::error::Result;

impl Template {
    /// The template with a text before every prompt, such as the misleading prefixes of Burns et al. (2022). The name
    /// stays; the text becomes part of the source, and so of the [identity](Template::identity). It is never read as
    /// Jinja: braces are braces.
    ///
    /// The prompt follows the text directly; end it with a space or newline. promptsource's inputs are stripped,
    /// so white space at the beginning of a text before one goes too. Groups do not change: where they come from the
    /// prompt, the prefix is not part of them.
    ///
    /// ```
    /// use boolq::Template;
    ///
    /// let plain = Template::named("statement")?;
    /// let misled = plain.with_prefix("In this quiz {everything} is false.\n")?;
    /// assert_eq!(misled.name(), "statement");
    /// assert_ne!(misled.identity(), plain.identity());
    /// # Ok::<(), boolq::Error>(())
    /// ```
    ///
    /// # Errors
    /// A prefix of nothing but white space.
    pub fn with_prefix(&self, prefix: &str) -> Result<Self> {
        if prefix.trim().is_empty() {
            let hint = "give the text that every prompt begins with, or no prefix at all";
            return Err(refused(&self.name, "the prefix is empty".to_owned(), hint));
        }
        let prefix = jinja::newlines(prefix);
        let text = match &self.style {
            Style::Plain { plus, minus } => TemplateText::Plain {
                source: literal(&prefix) + &self.source,
                answers: [plus.clone(), minus.clone()],
            },
            Style::PromptSource { choices } => TemplateText::PromptSource {
                jinja: literal(&promptsource::guarded(&prefix)) + jinja::strip_start(&self.source),
                answer_choices: choices.clone(),
            },
        };
        let template = Self::from_text(&self.name, &text)?;
        Ok(Self { prefix: prefix + &self.prefix, optional: self.optional, ..template })
    }

    /// A prompt of this template without the prefix.
    pub(crate) fn after_prefix<'a>(&self, prompt: &'a str) -> &'a str {
        let stripped = jinja::strip_start(&self.prefix);
        prompt.strip_prefix(&self.prefix).or_else(|| prompt.strip_prefix(stripped)).unwrap_or(prompt)
    }
}

/// A Jinja expression that prints `text`. Text as such could hold Jinja, and a source that begins with `{%-` would
/// strip its end.
fn literal(text: &str) -> String {
    let mut source = String::from("{{ \"");
    for c in text.chars() {
        match c {
            '"' | '\\' => source.extend(['\\', c]),
            '\n' => source.push_str("\\n"),
            c => source.push(c),
        }
    }
    source + "\" }}"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Dataset, Kind, Question};
    use crate::pair::pairs;
    use proptest::prelude::*;

    fn data(passage: Option<&str>) -> Dataset {
        let question = Question {
            row: 0,
            question_id: "0".into(),
            passage: passage.map(str::to_owned),
            question: "is it so".into(),
            title: None,
            subject: None,
            answer: true,
        };
        Dataset::new("t", Kind::Questions, vec![question])
    }

    fn templates() -> [Template; 3] {
        let promptsource =
            "  {%- if passage %}{{ passage }} {% endif %}\n{{ question }}?|||{{ answer_choices[label] }}";
        [
            Template::from_source("plain", "{# answers: Yes | No #}\n{{ question }}? {{ answer }}"),
            Template::from_source(
                "strips",
                "{%- if passage %}{{ passage }}{% endif %} {{ question }}: {{ answer }}",
            ),
            Template::from_promptsource("theirs", promptsource, "No ||| Yes"),
        ]
        .map(|template| template.expect("compiles"))
    }

    /// Checks that the pair is the one without the prefix with `before` before it.
    fn check(template: &Template, data: &Dataset, prefix: &str, before: &str) {
        let misled = template.with_prefix(prefix).expect("a prefix");
        assert_ne!(misled.identity(), template.identity());
        let again = Template::from_text(misled.name(), &misled.text()).expect("from its text");
        let [plain, with, again] =
            [template, &misled, &again].map(|t| pairs(data, t).expect("renders").pairs);
        let (plain, with, again) = (&plain[0], &with[0], &again[0]);
        assert_eq!(with.plus_prompt, format!("{before}{}", plain.plus_prompt));
        assert_eq!(with.minus_prompt, format!("{before}{}", plain.minus_prompt));
        assert_eq!((&with.template, &with.group), (&plain.template, &plain.group));
        let moved = |span: &std::ops::Range<usize>| span.start + before.len()..span.end + before.len();
        assert_eq!(with.answers.plus, moved(&plain.answers.plus));
        assert_eq!(with.answers.minus, moved(&plain.answers.minus));
        assert_eq!((&again.plus_prompt, &again.minus_prompt), (&with.plus_prompt, &with.minus_prompt));
    }

    #[test]
    fn a_prefix_is_text_and_not_jinja() {
        for prefix in [
            "{# answers: a | b #}\n",
            "{{ label }} {% raw %} }} \"quoted\" \\n 'single' ",
            "x|||y ",
            "{{ '",
            "a\tb\\",
            "ends in a bar |",
        ] {
            for template in templates() {
                check(&template, &data(Some("P.")), prefix, prefix);
            }
        }
        let [plain, _, theirs] = templates();
        check(&plain, &data(None), "a\r\nb\r", "a\nb\n");
        let twice = plain.with_prefix("second. ").and_then(|t| t.with_prefix("first. ")).expect("two");
        check(&twice, &data(None), "zeroth. ", "zeroth. ");
        // promptsource strips its inputs.
        let misled = theirs.with_prefix(" \n So: ").expect("a prefix");
        assert!(pairs(&data(None), &misled).expect("renders").pairs[0].plus_prompt.starts_with("So: "));
        let groups =
            [&theirs, &misled].map(|t| pairs(&data(None), t).expect("renders").pairs[0].group.clone());
        assert_eq!(groups[0], groups[1]);
        assert!(plain.with_prefix(" \n").expect_err("nothing").to_string().contains("the prefix is empty"));
    }

    proptest! {
        #[test]
        fn any_text_comes_out_as_it_is(prefix in "([a-z ]|\\PC|[|{}%#\n\t:!'\"\\\\-]){0,40}[a-z]") {
            for template in templates() {
                let before = match template.answers() {
                    Some(_) => prefix.as_str(),
                    None => jinja::strip_start(&prefix),
                };
                check(&template, &data(Some("P.")), &prefix, before);
            }
        }
    }
}
