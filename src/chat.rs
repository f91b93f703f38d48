//! Prompts as chats: where `boolq`, which knows no chat template, meets a tokenizer's own.

use std::collections::BTreeMap;

use activations::provenance;
use boolq::{BoxError, ContrastPair, Statement, Turn};
use llama_core::chat::{ChatOptions, ChatRenderer, ChatTemplate, Message};
use serde_json::Value;

use crate::error::{Error, Result};

/// How prompts become chats: a tokenizer's template, and what it is rendered with.
///
/// ```
/// use llama_ccs::{Chat, boolq, llama_core::chat::ChatTemplate};
///
/// let source = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}";
/// let mut chat = Chat::new(ChatTemplate::from_source("own", source)?).system("Be brief.");
/// let question = boolq::Question { row: 0, question_id: "0".into(), passage: None, question: "Oslo is in Chad.".into(),
///     title: None, subject: None, answer: false };
/// let data = boolq::Dataset::new("tiny", boolq::Kind::Statements, vec![question]);
/// let pairs = boolq::pairs(&data, &boolq::Template::named("statement")?)?.pairs;
/// let pair = &chat.pairs(&pairs)?[0];
/// assert!(pair.minus_prompt.ends_with("true or false?<|end|><|assistant|>False<|end|>"));
/// # Ok::<(), llama_ccs::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Chat {
    template: ChatTemplate,
    system: Option<String>,
    options: ChatOptions,
    /// The date and time that the template wrote, once it has.
    dated: Option<String>,
}

impl Chat {
    /// Chats without a system message.
    pub fn new(template: ChatTemplate) -> Self {
        Self { template, system: None, options: ChatOptions::new(), dated: None }
    }

    /// What the model is told before each question.
    #[must_use]
    pub fn system(mut self, text: impl Into<String>) -> Self {
        self.system = Some(text.into());
        self
    }

    /// The date, and the variables that the template may ask for.
    #[must_use]
    pub fn options(mut self, options: ChatOptions) -> Self {
        self.options = options;
        self
    }

    /// The template.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// The pairs as chats ([`boolq::chats()`]).
    ///
    /// # Errors
    /// The first pair that the template refuses, or that makes no chat.
    pub fn pairs(&mut self, pairs: &[ContrastPair]) -> Result<Vec<ContrastPair>> {
        self.with_renderer(|renderer, system| Ok(boolq::chats(pairs, renderer, system)?))
    }

    /// Single statements as chats ([`boolq::chat_statements()`]).
    ///
    /// # Errors
    /// The first statement that the template refuses.
    pub fn statements(&mut self, statements: &[Statement]) -> Result<Vec<Statement>> {
        self.with_renderer(|renderer, system| Ok(boolq::chat_statements(statements, renderer, system)?))
    }

    /// A question as the user's turn, and the beginning of the assistant's: for a model that is to answer.
    ///
    /// # Errors
    /// What the template refuses.
    pub fn question(&mut self, question: &str) -> Result<String> {
        let system = self.system.as_deref().map(Message::system);
        let messages: Vec<Message> = system.into_iter().chain([Message::user(question)]).collect();
        let options = self.options.clone().add_generation_prompt(true);
        Ok(self.template.render(&messages, &options)?)
    }

    fn with_renderer<T>(&mut self, make: impl FnOnce(&Renderer<'_>, Option<&str>) -> Result<T>) -> Result<T> {
        let renderer = Renderer(self.template.renderer(&self.options)?);
        let made = make(&renderer, self.system.as_deref())?;
        if let Some(dated) = renderer.0.dated() {
            self.dated = Some(dated);
        }
        Ok(made)
    }

    /// The date and time that the template wrote into prompts, if it did.
    pub fn dated(&self) -> Option<&str> {
        self.dated.as_deref()
    }

    /// All that decides the prompts, for a manifest.
    pub fn record(&self) -> provenance::Chat {
        let variables: serde_json::Map<String, Value> =
            self.options.variables().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        let tokens: BTreeMap<String, String> = self
            .template
            .tokens()
            .into_iter()
            .map(|(name, token)| (name.to_owned(), token.to_owned()))
            .collect();
        provenance::Chat {
            name: Some(self.template.name().to_owned()),
            identity: Some(self.template.identity()),
            source: Some(self.template.source().to_owned()),
            tokens: Some(tokens),
            system: self.system.clone(),
            date: self.dated.clone(),
            variables: (!variables.is_empty()).then_some(variables),
            ..provenance::Chat::default()
        }
    }

    /// The chats of prompts whose manifest recorded them, for other questions.
    ///
    /// # Errors
    /// A record without the template's source, or with one that is damaged.
    pub fn from_record(record: &provenance::Chat) -> Result<Self> {
        let no_text = || Error::NoTemplate {
            why: "the run's prompts are chats, and its chat template is not recorded".to_owned(),
        };
        let source = record.source.as_deref().ok_or_else(no_text)?;
        let name = record.name.as_deref().unwrap_or(llama_core::chat::DEFAULT);
        let mut template = ChatTemplate::from_source(name, source)?;
        for (name, token) in record.tokens.iter().flatten() {
            template = template.with_token(name, token);
        }
        if record.identity.as_ref().is_some_and(|identity| *identity != template.identity()) {
            let why = "the run's chat template is not the text that its hash is of".to_owned();
            return Err(Error::NoTemplate { why });
        }
        let mut options = ChatOptions::new();
        if let Some(date) = &record.date {
            options = options.now(date)?;
        }
        for (name, value) in record.variables.iter().flatten() {
            options = options.variable(name, value.clone());
        }
        Ok(Self { template, system: record.system.clone(), options, dated: None })
    }
}

/// A template as `boolq` wants one.
struct Renderer<'a>(ChatRenderer<'a>);

impl boolq::ChatTemplate for Renderer<'_> {
    fn identity(&self) -> String {
        self.0.template().identity()
    }

    fn render(&self, turns: &[Turn<'_>]) -> std::result::Result<String, BoxError> {
        let messages = turns.iter().map(|turn| Message { role: turn.role, content: turn.content });
        Ok(self.0.render(&messages.collect::<Vec<_>>())?)
    }
}
