//! A template as text, to be kept beside what was made with it and to be read back.

use serde::{Deserialize, Serialize};

use super::{Style, Template};
use crate::error::Result;

/// All that makes a template what it is, but its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum TemplateText {
    /// Jinja, rendered once with each answer.
    Plain {
        /// The Jinja source, without a line that names the answers.
        source: String,
        /// The plus and the minus answer.
        answers: [String; 2],
    },
    /// promptsource's Jinja, `input ||| target`.
    PromptSource {
        /// The Jinja source.
        jinja: String,
        /// The answers for label 0 and label 1, as `No ||| Yes`.
        answer_choices: String,
    },
}

impl Template {
    /// The template as text.
    pub fn text(&self) -> TemplateText {
        let source = self.source.clone();
        match &self.style {
            Style::Plain { plus, minus } => {
                TemplateText::Plain { source, answers: [plus.clone(), minus.clone()] }
            }
            Style::PromptSource { choices } => {
                TemplateText::PromptSource { jinja: source, answer_choices: choices.clone() }
            }
        }
    }

    /// A template from its text.
    ///
    /// # Errors
    /// As [`Template::from_source`] and [`Template::from_promptsource`].
    pub fn from_text(name: &str, text: &TemplateText) -> Result<Self> {
        match text {
            TemplateText::Plain { source, answers: [plus, minus] } => {
                Self::from_source(name, &format!("{{# answers: {plus} | {minus} #}}\n{source}"))
            }
            TemplateText::PromptSource { jinja, answer_choices } => {
                Self::from_promptsource(name, jinja, answer_choices)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_comes_back_from_its_text_as_it_was() {
        let plain = "{# answers: Yes | No #}\n{{ question }}? {{ answer }}\n";
        let templates = [
            Template::named("llama-ccs"),
            Template::from_source("own", plain),
            Template::from_promptsource(
                "theirs",
                "{{ question }}? ||| {{ answer_choices[label] }}",
                "No ||| Yes",
            ),
        ];
        for template in templates {
            let template = template.expect("a template");
            let json = serde_json::to_string(&template.text()).expect("json");
            let text: TemplateText = serde_json::from_str(&json).expect("text");
            let back = Template::from_text(template.name(), &text).expect("back");
            assert_eq!((back.name(), back.identity()), (template.name(), template.identity()));
        }
    }
}
