//! Chats: a model that was trained on them gets the question as the user's turn and the answer as its own.
//!
//! Pairs are made as always, by a [`Template`](crate::Template). Then the text before the answer becomes the user's turn,
//! and what begins with the answer the assistant's, and the model's chat template renders both. Groups stay as they were.
//! The answer's span is found in the rendered text by rendering it again with the answer between two characters that occur
//! nowhere else. What the chat template writes around it (`<|im_end|>`) is not part of it.

use crate::answer::AnswerSpans;
use crate::error::{BoxError, Error, Result};
use crate::pair::ContrastPair;
use crate::statement::Statement;
use crate::template::{Marks, first_answers};
use serde::Serialize;

/// One turn of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Turn<'a> {
    /// Who speaks: `system`, `user`, or `assistant`.
    pub role: &'static str,
    /// What is said.
    pub content: &'a str,
}

/// What this crate needs of a chat template. `llama-core` has the templates of its tokenizers.
pub trait ChatTemplate: Sync {
    /// A hash of all that decides what the template renders.
    fn identity(&self) -> String;

    /// A chat's text, BOS included where the model wants one.
    ///
    /// # Errors
    /// Whatever the template fails with; it is passed on inside [`Error::Chat`].
    fn render(&self, turns: &[Turn<'_>]) -> Result<String, BoxError>;
}

/// The pairs as chats: `system`'s turn if there is one, the text before the answer as the user's, the answer and what
/// follows it as the assistant's, each without white space at its end.
///
/// ```
/// use boolq::{BoxError, ChatTemplate, Dataset, Template, Turn, chats, pairs};
///
/// struct Own;
/// impl ChatTemplate for Own {
///     fn identity(&self) -> String {
///         "own".to_owned()
///     }
///     fn render(&self, turns: &[Turn<'_>]) -> Result<String, BoxError> {
///         Ok(turns.iter().map(|turn| format!("<{}>{}</>", turn.role, turn.content)).collect())
///     }
/// }
///
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("tiny.jsonl");
/// std::fs::write(&file, r#"{"question": "is it wet", "answer": true, "passage": "It is water."}"#)?;
/// let made = pairs(&Dataset::load(&file)?, &Template::from_source("own", "{{ question }}? {{ answer }}")?)?;
/// let chats = chats(&made.pairs, &Own, Some("Be brief."))?;
/// assert_eq!(chats[0].plus_prompt, "<system>Be brief.</><user>is it wet?</><assistant>True</>");
/// assert_eq!(&chats[0].plus_prompt[chats[0].answers.plus.clone()], "True");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The first pair without a text before its answer; what the chat template refuses; a rendering without the answer, or in
/// which the text before the answers differs.
pub fn chats<T: ChatTemplate>(
    pairs: &[ContrastPair],
    template: &T,
    system: Option<&str>,
) -> Result<Vec<ContrastPair>> {
    let chat = Chat { template, identity: template.identity(), system };
    jinja::deeply(|| pairs.iter().map(|pair| chat.of_pair(pair)).collect())?
}

/// Single statements as chats: each is the user's turn, and the text ends where the template ends such a turn.
///
/// # Errors
/// What the chat template refuses.
pub fn chat_statements<T: ChatTemplate>(
    statements: &[Statement],
    template: &T,
    system: Option<&str>,
) -> Result<Vec<Statement>> {
    let chat = Chat { template, identity: template.identity(), system };
    let one = |statement: &Statement| {
        let prompt = chat.rendered(statement.idx, &statement.prompt, None)?;
        Ok(Statement { prompt, chat: Some(chat.identity.clone()), ..statement.clone() })
    };
    jinja::deeply(|| statements.iter().map(one).collect())?
}

struct Chat<'a, T> {
    template: &'a T,
    identity: String,
    system: Option<&'a str>,
}

impl<T: ChatTemplate> Chat<'_, T> {
    fn of_pair(&self, pair: &ContrastPair) -> Result<ContrastPair> {
        let idx = pair.idx;
        let fault = |fault| Error::AnswerSpan { idx, fault };
        pair.answers.check(&pair.plus_prompt, &pair.minus_prompt).map_err(fault)?;
        let sides = [(&pair.plus_prompt, &pair.answers.plus), (&pair.minus_prompt, &pair.answers.minus)];
        let [plus, minus] = sides.map(|(prompt, span)| {
            let (question, answer) = prompt.split_at_checked(span.start).unwrap_or_default();
            (question.trim_end(), answer.trim_end(), span.len())
        });
        if plus.0.is_empty() {
            return Err(Error::ChatTurn {
                idx,
                reason: "nothing stands before the answer, so the user's turn would be empty",
                hint: "a chat asks first: put the answer at the end of the template",
            });
        }
        let side = |(question, answer, _): (&str, &str, usize)| self.rendered(idx, question, Some(answer));
        let prompts = [side(plus)?, side(minus)?];
        if prompts[0] == prompts[1] {
            return Err(Error::ChatTurn {
                idx,
                reason: "the chat template writes the same text for both answers: it leaves out the assistant's turn, \
                         or what tells the answers apart",
                hint: "its source says what it does with a last turn of the assistant's",
            });
        }
        let marks = Marks::absent_from([&prompts[0], &prompts[1], &pair.plus_prompt, &pair.minus_prompt, ""]);
        let answers = marks.and_then(|marks| self.answers(idx, [plus, minus], &prompts, marks));
        let answers = answers.ok_or(Error::ChatTurn {
            idx,
            reason: "the answer is not found in what the chat template makes of the assistant's turn",
            hint: "the template may cut or rewrite that turn: look at its source",
        })?;
        let [plus_prompt, minus_prompt] = prompts;
        Ok(ContrastPair {
            plus_prompt,
            minus_prompt,
            answers,
            chat: Some(self.identity.clone()),
            ..pair.clone()
        })
    }

    /// Where the answers stand: between the marks, in a rendering that is otherwise the same; if the template changes an
    /// answer's first letter, with the first mark behind it.
    fn answers(
        &self,
        idx: u64,
        sides: [(&str, &str, usize); 2],
        prompts: &[String; 2],
        marks: Marks,
    ) -> Option<AnswerSpans> {
        let found = |letters: usize| {
            let side = |at: usize| {
                let (question, answer, length) = *sides.get(at)?;
                let (own, after) = answer.split_at_checked(length)?;
                let marked = marks.around(own, letters) + after;
                let marked = self.rendered(idx, question, Some(&marked)).ok()?;
                let prompt = prompts.get(at)?;
                Some(Marks::widened(marks.read(&marked, prompt)?, prompt, letters))
            };
            first_answers(&side(0)?, &side(1)?, prompts)
        };
        found(0).or_else(|| found(1))
    }

    fn rendered(&self, idx: u64, question: &str, answer: Option<&str>) -> Result<String> {
        let system = self.system.map(|content| Turn { role: "system", content });
        let user = Turn { role: "user", content: question };
        let answer = answer.map(|content| Turn { role: "assistant", content });
        let turns: Vec<Turn> = system.into_iter().chain([user]).chain(answer).collect();
        self.template.render(&turns).map_err(|source| Error::Chat { idx, source })
    }
}
