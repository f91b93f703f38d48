//! Chats as a model's own template writes them: what `apply_chat_template` of transformers 5.24 renders.
//!
//! A template is Jinja, and belongs to the tokenizer: [`Tokenizer::chat_template`](crate::Tokenizer::chat_template). Its text holds BOS, if the model wants
//! one, and control tokens (`<|im_start|>`), so [`Tokenizer::encode_chat`](crate::Tokenizer::encode_chat) puts nothing in front of it.
//!
//! ```
//! use llama_core::chat::{ChatOptions, ChatTemplate, Message};
//!
//! let source = "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{{ m.content | trim }}</s>\n{% endfor %}\
//!     {% if add_generation_prompt %}<|assistant|>\n{% endif %}";
//! let template = ChatTemplate::from_source("own", source)?.with_token("bos_token", "<s>");
//! let messages = [Message::user("Is water wet? ")];
//! let options = ChatOptions::new().add_generation_prompt(true);
//! assert_eq!(template.render(&messages, &options)?, "<s><|user|>\nIs water wet?</s>\n<|assistant|>\n");
//! # Ok::<(), llama_core::Error>(())
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jinja::{Dialect, Engine, Moment};
use minijinja::Value;
use serde_json::Value as Json;

use crate::error::{Error, Result};

mod source;
mod value;

pub(crate) use source::ChatSource;

/// The template that is taken where none is named.
pub const DEFAULT: &str = "default";

/// One turn of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Message<'a> {
    /// Who speaks: `system`, `user`, or `assistant`.
    pub role: &'a str,
    /// What is said.
    pub content: &'a str,
}

impl<'a> Message<'a> {
    /// What the model is told before a chat.
    pub fn system(content: &'a str) -> Self {
        Self { role: "system", content }
    }

    /// What the user says.
    pub fn user(content: &'a str) -> Self {
        Self { role: "user", content }
    }

    /// What the model says.
    pub fn assistant(content: &'a str) -> Self {
        Self { role: "assistant", content }
    }
}

/// What a rendering depends on besides the template and the messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatOptions {
    add_generation_prompt: bool,
    now: Option<Moment>,
    variables: BTreeMap<String, Json>,
}

impl ChatOptions {
    /// No generation prompt, the clock's date, and no variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the text ends with the beginning of the assistant's turn, for a model that is to continue it.
    #[must_use]
    pub fn add_generation_prompt(mut self, add: bool) -> Self {
        self.add_generation_prompt = add;
        self
    }

    /// What `strftime_now` takes for the date and time; without this, the clock's in UTC when a text is rendered. Some templates
    /// write today's date into every prompt.
    ///
    /// # Errors
    /// A text that is neither a date (`2024-07-26`) nor a date and time (`2024-07-26T12:00:00`).
    pub fn now(mut self, now: &str) -> Result<Self> {
        let refused = |reason| Error::ChatDate { reason };
        self.now = Some(now.parse().map_err(refused)?);
        Ok(self)
    }

    /// The variables.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A variable that the template may ask for, such as `enable_thinking` or `date_string`.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<Json>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }
}

/// A chat template with the special tokens that it may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTemplate {
    name: String,
    /// Where it came from, for people.
    origin: String,
    source: String,
    tokens: BTreeMap<String, String>,
}

impl ChatTemplate {
    /// A template from its Jinja source.
    ///
    /// # Errors
    /// What is no Jinja, with its line.
    pub fn from_source(name: &str, source: &str) -> Result<Self> {
        Self::new(name, name.to_owned(), source, BTreeMap::new())
    }

    pub(crate) fn new(
        name: &str,
        origin: String,
        source: &str,
        tokens: BTreeMap<String, String>,
    ) -> Result<Self> {
        let source = jinja::prepared(source, Dialect::Chat);
        let template = Self { name: name.to_owned(), origin, source, tokens };
        jinja::deeply(|| template.compile().map(drop))??;
        Ok(template)
    }

    /// The same template with a special token by its name in `tokenizer_config.json`, such as `bos_token`.
    #[must_use]
    pub fn with_token(mut self, name: &str, token: &str) -> Self {
        self.tokens.insert(name.to_owned(), token.to_owned());
        self
    }

    /// Its name among the tokenizer's templates: [`DEFAULT`] where there is only one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file or the key that it was read from, for people.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its Jinja source, as it is rendered: with `\n` for every end of a line, and without `{% generation %}`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The special tokens that it mentions, by their names.
    pub fn tokens(&self) -> BTreeMap<&str, &str> {
        let mentioned = self.tokens.iter().filter(|(name, _)| self.source.contains(name.as_str()));
        mentioned.map(|(name, token)| (name.as_str(), token.as_str())).collect()
    }

    /// blake3, in hex, of the source and the special tokens that it mentions: what decides a chat's text.
    pub fn identity(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut part = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        part(&self.source);
        for (name, token) in self.tokens() {
            part(name);
            part(token);
        }
        hasher.finalize().to_hex().to_string()
    }

    /// A chat's text.
    ///
    /// # Errors
    /// [`Error::ChatRefused`] with the template's own words, where it refuses the messages; [`Error::ChatTemplate`] for
    /// whatever else fails.
    pub fn render(&self, messages: &[Message<'_>], options: &ChatOptions) -> Result<String> {
        jinja::deeply(|| self.renderer(options)?.render(messages))?
    }

    /// The template ready to render many chats.
    ///
    /// # Errors
    /// None that [`ChatTemplate::from_source`] did not find.
    pub fn renderer(&self, options: &ChatOptions) -> Result<ChatRenderer<'_>> {
        let now = options.now.unwrap_or_else(Moment::now);
        let dated = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&dated);
        let mut variables: BTreeMap<String, Value> =
            self.tokens.iter().map(|(name, token)| (name.clone(), Value::from(token.as_str()))).collect();
        let strftime_now = now.strftime_now(move || asked.store(true, Ordering::Relaxed));
        variables.insert("strftime_now".to_owned(), strftime_now);
        for (name, value) in &options.variables {
            variables.insert(name.clone(), value::of_json(value));
        }
        for (name, value) in [
            ("tools", jinja::absent()),
            ("documents", jinja::absent()),
            ("add_generation_prompt", Value::from(options.add_generation_prompt)),
        ] {
            variables.entry(name.to_owned()).or_insert(value);
        }
        Ok(ChatRenderer { template: self, engine: self.compile()?, variables, now, dated })
    }

    fn compile(&self) -> Result<Engine<'_>> {
        Engine::compile(&self.source, Dialect::Chat).map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &minijinja::Error) -> Error {
        let template = self.origin.clone();
        if let Some(message) = jinja::raised(error) {
            return Error::ChatRefused { template, message: message.to_owned() };
        }
        let reason = error.to_string().replace(" (in template:", " (line ");
        Error::ChatTemplate { template, reason }
    }
}

/// A template with all that a rendering depends on but the messages.
#[derive(Debug)]
pub struct ChatRenderer<'a> {
    template: &'a ChatTemplate,
    engine: Engine<'a>,
    variables: BTreeMap<String, Value>,
    now: Moment,
    dated: Arc<AtomicBool>,
}

impl ChatRenderer<'_> {
    /// A chat's text.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn render(&self, messages: &[Message<'_>]) -> Result<String> {
        let message =
            |message: &Message| Value::from_pairs([("role", message.role), ("content", message.content)]);
        let messages: Value = messages.iter().map(message).collect();
        let own = self.variables.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let variables = Value::from_pairs(own.chain([("messages", messages)]));
        jinja::deeply(|| self.engine.render(variables).map_err(|error| self.template.failure(&error)))?
    }

    /// The template.
    pub fn template(&self) -> &ChatTemplate {
        self.template
    }

    /// The date and time that the template has written into a text so far, if it has.
    pub fn dated(&self) -> Option<String> {
        self.dated.load(Ordering::Relaxed).then(|| self.now.to_string())
    }
}
