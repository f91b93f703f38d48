//! Prompts by the tokenizer's chat template: the flags of the commands that write some.

use llama_ccs::Chat;
use llama_ccs::llama_core::Tokenizer;
use llama_ccs::llama_core::chat::{ChatOptions, DEFAULT};
use serde_json::Value;

use super::output;
use super::values::AnyError;

/// Where these flags stand in the help.
const HEADING: &str = "Chat";

#[derive(clap::Args, Debug, Default)]
pub(crate) struct ChatArgs {
    /// Write prompts as chats by the tokenizer's own chat template, as transformers' apply_chat_template does: the question
    /// is the user's turn, the answer the assistant's. NAME is one of several templates [default: default].
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = DEFAULT,
          help_heading = HEADING)]
    chat: Option<String>,
    /// A system message before the question. @FILE reads it from a file.
    #[arg(long, value_name = "TEXT|@FILE", requires = "chat", help_heading = HEADING)]
    system: Option<String>,
    /// The date for templates that write today's, as 2024-07-26 [default: today's in UTC].
    #[arg(long, value_name = "DATE", requires = "chat", help_heading = HEADING)]
    chat_date: Option<String>,
    /// A variable of the template, such as enable_thinking=false. The value is JSON, or else text. Can be given several
    /// times.
    #[arg(long, value_name = "NAME=VALUE", requires = "chat", value_parser = variable, help_heading = HEADING)]
    chat_set: Vec<(String, Value)>,
}

/// The most bytes of a file that `--system` reads.
const LONGEST_SYSTEM: u64 = 1 << 20;

impl ChatArgs {
    /// How prompts become chats, if they are to.
    pub(crate) fn chat(&self, tokenizer: &Tokenizer) -> Result<Option<Chat>, AnyError> {
        let Some(name) = &self.chat else { return Ok(None) };
        // The default is what transformers takes, which may be the only one of another name.
        let name = (name != DEFAULT).then_some(name.as_str());
        let mut options = ChatOptions::new();
        if let Some(date) = &self.chat_date {
            options = options.now(date)?;
        }
        for (name, value) in &self.chat_set {
            options = options.variable(name, value.clone());
        }
        let mut chat = Chat::new(tokenizer.chat_template(name)?).options(options);
        if let Some(system) = &self.system {
            chat = chat.system(match system.strip_prefix('@') {
                Some(file) => host::files::read_text(file, LONGEST_SYSTEM)?,
                None => system.clone(),
            });
        }
        Ok(Some(chat))
    }

    /// Whether chats are asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.chat.is_some()
    }

    /// Says what may surprise about a template that was used.
    pub(crate) fn warn(&self, chat: Option<&Chat>) {
        if let Some(date) = chat.and_then(Chat::dated).filter(|_| self.chat_date.is_none()) {
            output::warn(&format!(
                "the chat template writes the date into every prompt, today {date}: --chat-date makes the same prompts on \
                 another day"
            ));
        }
    }
}

/// `--chat-set`.
fn variable(text: &str) -> Result<(String, Value), String> {
    let wrong = || format!("`{text}` is no variable; write it as enable_thinking=false");
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.trim().is_empty()).ok_or_else(wrong)?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.trim().to_owned(), value))
}

/// Says so where prompts were rendered by another chat template than the tokenizer has.
pub(crate) fn warn_of_another(identity: Option<&str>, name: Option<&str>, tokenizer: &Tokenizer) {
    let Some(identity) = identity else { return };
    let own = tokenizer.chat_template(name.filter(|name| *name != DEFAULT));
    let differs = match own {
        Ok(own) if own.identity() == identity => return,
        Ok(own) => format!("another chat template than the tokenizer's own ({})", own.origin()),
        Err(_) => "a chat template, and the tokenizer has none".to_owned(),
    };
    output::warn(&format!(
        "the prompts were rendered by {differs}: make them with this model's tokenizer, or know why not"
    ));
}
