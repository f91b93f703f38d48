//! What a probe was fitted on, as far as its run recorded it, and what differs from it now.

use std::fmt;

use activations::provenance::{self, Provenance, short};
use boolq::{Template, TemplateText, TokenizedPair};
use ccs_trainer::Fitted;
use llama_core::{Kernels, Precision, Tokenizer};

use crate::error::{Error, Result};
use crate::extract::computing;

/// What made the states that a probe was fitted on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// The model's name, such as `LLaMA, 6.7 billion parameters`.
    pub model_name: Option<String>,
    /// [`llama_core::Checkpoint::identity`].
    pub model: Option<String>,
    /// The tokenizer's identity.
    pub tokenizer: Option<String>,
    /// Edits of the model on the way, where there were some.
    pub edits: Option<String>,
    /// What the model computed in.
    pub precision: Option<Precision>,
    /// The kernels that computed it.
    pub kernels: Option<Kernels>,
    /// The names of the templates.
    pub templates: Vec<String>,
    /// How its prompts were made chats, if they were.
    pub chat: Option<provenance::Chat>,
    /// Name, identity and text of those templates that were recorded in full ([`crate::Extraction::template`]).
    recorded: Vec<(String, String, TemplateText)>,
}

impl Origin {
    /// What the probe says of itself. What it does not say stays empty, and is then not compared.
    pub fn of(fitted: &Fitted) -> Self {
        Self::of_provenance(&fitted.made_by())
    }

    fn of_provenance(provenance: &Provenance) -> Self {
        let template = |(name, template): (&String, &provenance::Template)| {
            let text = serde_json::from_value(template.text.clone()?).ok()?;
            Some((name.clone(), template.identity.clone()?, text))
        };
        Self {
            model_name: provenance.model_name().map(str::to_owned),
            model: provenance.model_identity().map(str::to_owned),
            tokenizer: provenance.tokenizer_identity().map(str::to_owned),
            edits: provenance.edits.as_ref().map(ToString::to_string),
            precision: computing::recorded_precision(provenance),
            kernels: computing::recorded_kernels(provenance),
            templates: provenance.template_names().into_iter().map(str::to_owned).collect(),
            chat: provenance.chat.clone(),
            recorded: provenance.templates.iter().flatten().filter_map(template).collect(),
        }
    }

    /// The template to write new questions with: the run's of this name, or its only one; from what it recorded, else
    /// the built-in one of that name.
    ///
    /// # Errors
    /// [`Error::NoTemplate`] where the run has no template of this name, or had several or none and no name is given,
    /// or the template is neither recorded nor built in.
    pub fn template(&self, name: Option<&str>) -> Result<Template> {
        let name = match (name, self.templates.as_slice()) {
            (None, [only]) => only,
            (Some(name), templates) if templates.iter().any(|own| own == name) => name,
            (name, templates) => {
                let why = match (name, templates.join(", ")) {
                    (_, none) if none.is_empty() => "the run names no template".to_owned(),
                    (Some(name), own) => format!("the run has no template `{name}`; it has {own}"),
                    (None, several) => format!("the run has several templates: {several}"),
                };
                return Err(Error::NoTemplate { why });
            }
        };
        if let Some((_, _, text)) = self.recorded.iter().find(|(known, ..)| known == name) {
            return Ok(Template::from_text(name, text)?);
        }
        if Template::built_in().contains(&name) {
            return Ok(Template::named(name)?);
        }
        let why = format!("the run's template `{name}` is not built in, and its text is not recorded");
        Err(Error::NoTemplate { why })
    }

    /// Whether a template of the run's name has another text than the run recorded. (Other names are among
    /// [`Origin::mismatches`]; by name alone, pairs cannot show this.)
    pub fn other_text(&self, template: &Template) -> Option<Mismatch> {
        let (name, identity, ..) = self.recorded.iter().find(|(name, ..)| name == template.name())?;
        (*identity != template.identity()).then(|| Mismatch::Template {
            fitted: name.clone(),
            found: format!("another text of that name ({}…)", short(&template.identity())),
        })
    }

    /// Everything known to differ from what the probe was fitted on; `model` is the identity of the model given.
    pub fn mismatches(
        &self,
        model: &str,
        tokenizer: &Tokenizer,
        precision: Precision,
        pairs: &[TokenizedPair],
    ) -> Vec<Mismatch> {
        let (found_model, found_tokenizer) = (model.to_owned(), tokenizer.identity().to_owned());
        let differs =
            |fitted: &Option<String>, found: &String| fitted.clone().filter(|fitted| fitted != found);
        let model = differs(&self.model, &found_model);
        let tokenizer = differs(&self.tokenizer, &found_tokenizer);
        let fitted_in = self.precision.filter(|fitted| *fitted != precision);
        let stranger = pairs.iter().map(|p| &p.pair.template).find(|name| !self.templates.contains(name));
        let template = stranger.filter(|_| !self.templates.is_empty()).cloned();
        let chat = pairs.first().and_then(|p| p.pair.chat.clone());
        let fitted_chat = self.chat.as_ref().map(|chat| chat.identity.clone().unwrap_or_default());
        let other_chat = (chat != fitted_chat && !pairs.is_empty() && self.model.is_some())
            .then_some(Mismatch::Chat { fitted: fitted_chat, found: chat });
        [
            model.map(|fitted| Mismatch::Model { fitted, found: found_model }),
            tokenizer.map(|fitted| Mismatch::Tokenizer { fitted, found: found_tokenizer }),
            self.edits.clone().map(|fitted| Mismatch::Edits { fitted }),
            fitted_in.map(|fitted| Mismatch::Precision { fitted, found: precision }),
            template.map(|found| Mismatch::Template { fitted: self.templates.join(", "), found }),
            other_chat,
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Something that differs between the states a probe was fitted on and those it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// The model's weights or configuration.
    Model {
        /// Identity of the model that the probe was fitted on.
        fitted: String,
        /// Identity of the model given.
        found: String,
    },
    /// The tokenizer.
    Tokenizer {
        /// Identity of the tokenizer that the probe was fitted on.
        fitted: String,
        /// Identity of the tokenizer given.
        found: String,
    },
    /// The model was edited on the way when the store was made, and is not now.
    Edits {
        /// The edits, as the store's settings have them.
        fitted: String,
    },
    /// What the model computes in.
    Precision {
        /// What the probe's states were computed in.
        fitted: Precision,
        /// What these are computed in.
        found: Precision,
    },
    /// How questions are written.
    Template {
        /// The templates that the probe was fitted on.
        fitted: String,
        /// The one given.
        found: String,
    },
    /// Whether questions are chats, and by which chat template.
    Chat {
        /// The hash of the chat template that the probe was fitted on; `None` for prompts that were no chats.
        fitted: Option<String>,
        /// That of the prompts given.
        found: Option<String>,
    },
    /// Rows are of templates of whose states a probe of several templates knows no means and scales: they get those of
    /// all its templates together.
    Statistics {
        /// The templates that it has statistics of.
        known: Vec<String>,
        /// How many rows are of others.
        rows: usize,
    },
}

impl Mismatch {
    /// Whether a probe means nothing at all then: it is another model whose states it is given.
    pub fn is_of_the_model(&self) -> bool {
        matches!(self, Self::Model { .. } | Self::Tokenizer { .. } | Self::Edits { .. })
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let other = |what: &str, fitted: &str, found: &str| {
            format!("the probe was fitted on another {what}: {}…, this is {}…", short(fitted), short(found))
        };
        match self {
            Self::Model { fitted, found } => f.write_str(&other("model", fitted, found)),
            Self::Tokenizer { fitted, found } => f.write_str(&other("tokenizer", fitted, found)),
            Self::Edits { fitted } => {
                write!(f, "the probe was fitted on an edited model ({fitted}), and `predict` edits none")
            }
            Self::Precision { fitted, found } => write!(
                f,
                "the probe was fitted on states computed in {fitted}, these are computed in {found}"
            ),
            Self::Template { fitted, found } => {
                write!(f, "the probe was fitted on the template {fitted}, these prompts are of {found}")
            }
            Self::Chat { fitted, found } => {
                let named = |chat: &Option<String>| match chat.as_deref() {
                    Some(identity) => format!("chats of the template {}…", short(identity)),
                    None => "prompts that are no chats".to_owned(),
                };
                write!(f, "the probe was fitted on {}, these are {}", named(fitted), named(found))
            }
            Self::Statistics { known, rows } => {
                let like = if known.len() > 1 { "all templates together are" } else { "that one is" };
                write!(
                    f,
                    "{rows} rows are of templates that the probe was not fitted on ({}), or of one that several of its data sets have: they are normalized as {like}",
                    known.join(", ")
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn origin(settings: &Value) -> Origin {
        Origin::of_provenance(&Provenance::from_json(settings))
    }

    #[test]
    fn a_recorded_template_comes_back_as_it_was() {
        let own = Template::from_source("own", "{# answers: Yes | No #}\n{{ question }}? {{ answer }}\n")
            .expect("compiles");
        let recorded = json!({ "identity": own.identity(), "text": own.text() });
        let settings = json!({ "template": "own", "templates": { "own": recorded.clone() } });
        let back = origin(&settings).template(None).expect("recorded");
        assert_eq!(origin(&settings).template(Some("own")).expect("by name").identity(), own.identity());
        assert!(origin(&settings).template(Some("other")).is_err());
        assert_eq!((back.identity(), back.name()), (own.identity(), "own"));
        assert_eq!(origin(&settings).other_text(&own), None);
        let settings_of = |name: &str| json!({ "template": name, "templates": { name: recorded.clone() } });
        assert_eq!(origin(&settings_of("a, b")).templates, ["a, b"], "a name with what stands between names");
        let changed = Template::from_source("own", "{{ question }}: {{ answer }}").expect("compiles");
        let said = origin(&settings).other_text(&changed).map(|m| m.to_string()).unwrap_or_default();
        assert!(said.contains("the template own, these prompts are of another text of that name"), "{said}");
    }

    #[test]
    fn without_a_record_a_built_in_name_will_do_and_no_other() {
        let of = |name: &str| origin(&json!({ "template": name })).template(None);
        assert_eq!(of("statement").expect("built in").name(), "statement");
        for (name, why) in [("mine", "`mine` is not built in"), ("a, b", "several templates: a, b")] {
            let error = of(name).expect_err(name);
            assert!(error.to_string().contains(why), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.starts_with("name the template")));
        }
        assert!(
            origin(&Value::Null).template(None).expect_err("none").to_string().contains("names no template")
        );
    }

    #[test]
    fn what_is_not_recorded_is_not_compared() {
        assert_eq!(
            origin(&json!({ "model": { "name": "planted" } })),
            Origin { model_name: Some("planted".to_owned()), ..Origin::default() }
        );
        let edited = origin(&json!({ "edits": ["blocks.0.attn.hook_z: zero"] }));
        assert!(edited.edits.is_some_and(|edits| edits.contains("hook_z")));
        assert_eq!(origin(&json!({ "edits": null })), Origin::default());
    }
}
