//! BoolQ and other labeled data as contrast pairs: every yes/no question, or true/false statement, becomes two
//! prompts that differ in their answer and nothing else. The crate reads the data ([`Dataset`]), renders it with a
//! [`Template`], keeps what fits a model ([`select()`]) through any [`Tokenizer`], and writes and reads
//! `prompts.csv` ([`prompts`]). It needs no LibTorch, prints nothing, and names the row of whatever it refuses.
//!
//! ```
//! use boolq::{Dataset, Template, pairs};
//!
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("tiny.jsonl");
//! std::fs::write(&file, r#"{"question": "is water wet", "answer": true, "passage": "Water is wet."}"#)?;
//!
//! let data = Dataset::load(&file)?;
//! let made = pairs(&data, &Template::named("llama-ccs")?)?;
//! let pair = &made.pairs[0];
//! println!("{}", pair.plus_prompt);
//! assert!(pair.plus_prompt.ends_with("is water wet?\n\nTrue or False: True"));
//! assert!(pair.minus_prompt.ends_with("is water wet?\n\nTrue or False: False"));
//! assert!(pair.label, "the plus prompt's answer is the right one");
//! boolq::prompts::write(folder.path().join("prompts.csv"), &made.pairs)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Data
//!
//! JSON (an object a line, an array, an object of columns), CSV (also with semicolons, tabs or bars) or Parquet, packed
//! by gzip or zstd or not, in UTF-8 or UTF-16, one file, a folder of them, or standard input (`-`), with a label in `answer` or `label`: true/false, yes/no or 1/0.
//! `question` (with `passage` and `title`, as in BoolQ) and `statement` have a meaning of their own, and the built-in
//! templates; templates of your own may use any column, lists and objects included. CSV is what pandas reads in it
//! (`dtype=str, na_filter=False`), or an error.
//!
//! [`DatasetOptions`] names columns that are called otherwise. A label is chosen, not guessed:
//!
//! | the file has | the label is |
//! |---|---|
//! | `answer` or `label` with booleans | that column |
//! | both, or one and a column called like a label (`target`, `gold`, `is_true`, …) with booleans too | either, if they say the same in every row, else an error |
//! | a text in `answer`, booleans in `label` | `label` |
//! | classes with names (Parquet that `datasets` wrote) or two other values | true where the class is the positive one: the one named with [`DatasetOptions::positive`], else the one that the plus answer of a plain template is called, else the one called true or yes; under promptsource's templates alone class 1 of a file that names its classes; else an error |
//! | a column of lists that [`DatasetOptions::choices`] names | true where the plus side has the choice that the label names; the other side has a wrong one, drawn with the seed |
//! | nothing, `-1`, `?` or the like in a row | an error, unless such rows are left out |
//!
//! # Templates
//!
//! What [`Template::resolve`] takes:
//!
//! | name or file | what it is | variables | plus, minus |
//! |---|---|---|---|
//! | `llama-ccs` | llama-ccs' own, built in | `passage`, `question` | True, False |
//! | `statement` | statements, built in | `statement` | True, False |
//! | `FILE.jinja` (any other extension) | [one Jinja template](Template::from_source) | all columns; `answer` | True, False, or the first line's `{# answers: Yes \| No #}` |
//! | `FILE.yaml` | [promptsource's](Template::from_promptsource), those of the file that make pairs | all columns; `label`, `answer_choices` | the choice for label 1 (or the positive class), for label 0 |
//! | `FILE.yaml:NAME` | the one of that name or id (`...` will do for `…`) | as above | as above |
//!
//! In a Jinja file `question` comes without its question mark, because templates write `{{ question }}?`;
//! promptsource's templates get the row as it is, and [`Warning::TwoQuestionMarks`] tells if that is one too many.
//!
//! Of promptsource's `input ||| target`, both parts are stripped as promptsource strips them, and the prompt is
//! `input`, **one space**, `target`. (promptsource itself joins nothing: it feeds models with an encoder and a
//! decoder. Both parts are stripped, so something must part the answer from the question mark before it; after a
//! space it begins a token of its own, `▁Yes` or `ĠYes`, in both prompts.) Nothing is cut, where promptsource cuts
//! every printed value after 2,048 characters unless told not to: questions that are too long are dropped whole.
//! A template whose input depends on the label, or that draws at random (`choice`), makes no contrast pair: it is
//! refused where it was asked for by name, and left out with a warning where the whole file was. A template that
//! renders nothing for a row is for other rows; the warning counts them.
//!
//! Templates render as Python's jinja2 renders them, or fail: what is not there, or is done otherwise, is an error that
//! names it. They may come from anywhere: the work, the text and the source of one are bounded.
//!
//! Several templates at once ([`pairs_with`]) give all pairs of the first row, then all of the second. The pairs of a
//! row share their `idx`, `question_id` and `group`, and [`select()`] keeps or drops them together:
//!
//! ```
//! use boolq::{Dataset, Kind, Question, Template, pairs_with};
//!
//! let gpt3 = Template::from_promptsource(
//!     "GPT-3 Style",
//!     "{{ passage }}\nQuestion: {{ question }}?\nAnswer: ||| {{ answer_choices[label] }}",
//!     "No ||| Yes",
//! )?;
//! let question = Question {
//!     row: 0,
//!     question_id: "0".into(),
//!     passage: Some("Water is wet.".into()),
//!     question: "is water wet".into(),
//!     title: None,
//!     subject: None,
//!     answer: true,
//! };
//! let data = Dataset::new("tiny", Kind::Questions, vec![question]);
//! let made = pairs_with(&data, &[gpt3, Template::named("llama-ccs")?])?;
//! assert_eq!(made.pairs[0].plus_prompt, "Water is wet.\nQuestion: is water wet?\nAnswer: Yes");
//! assert_eq!(made.pairs[0].group, made.pairs[1].group);
//! # Ok::<(), boolq::Error>(())
//! ```
//!
//! # Single statements
//!
//! Instead of a pair, a row may become one prompt, true or false by its label, without an answer: [`statements()`], with
//! the template [`Template::as_is`] or a Jinja template that does not use `answer`. [`select()`] and `prompts.csv`
//! take them as they take pairs.
//!
//! # Groups
//!
//! Rows that must stay on one side of a split have one [`ContrastPair::group`]: the rows of one title, where the data have
//! titles; else those whose passages (or subjects) are near duplicates, which share at least 80% of the smaller one's
//! 8-grams of words; or those of one value of [`DatasetOptions::group`]. Letter case, Unicode form, and white space
//! separate nothing. All rows of a file that have a label are compared before any are selected. Rows without a text
//! of their own are compared by the text before the answer, with [`Warning::GroupFromPrompt`]; a group of more than a
//! tenth of the rows comes with [`Warning::LargeGroup`].
//!
//! # Further columns
//!
//! Short columns of the data stay with their pairs ([`ContrastPair::columns`]): a country, a relation, a difficulty, by
//! which reports can tell rows apart. [`DatasetOptions::keep_columns`] chooses them.
//!
//! # Where the answer is
//!
//! Every pair says where its two answers stand ([`ContrastPair::answers`]): the target of promptsource's templates, and
//! in a Jinja file what it prints of `{{ answer }}`, whole: `He had insulted her.` and `He had thanked her.`, not the
//! words in which they differ. The spans stand in `prompts.csv` too (`plus_answer`, `minus_answer`), and
//! [`TokenizedPrompt::answer`] are their tokens. Of a file that does not say, the words that differ are taken
//! ([`answer_ranges`]), with [`Warning::AnswersUnknown`] where that may be too few.
//!
//! # Chats
//!
//! [`chats()`] turns pairs into chats, the question the user's turn and the answer the assistant's, by a model's own
//! [`ChatTemplate`]. Such prompts hold their control tokens, BOS among them, and say which template made them
//! ([`ContrastPair::chat`]).
//!
//! # Controls
//!
//! [`blank()`] asks the same questions with the passage left blank; [`Template::with_prefix`] puts a text, misleading
//! or not, before every prompt.

mod answer;
mod blank;
mod chat;
mod columns;
mod dataset;
mod error;
mod example;
mod groups;
mod hint;
mod pair;
mod preview;
pub mod prompts;
mod select;
mod statement;
mod template;
mod tokenize;
mod warning;

pub use answer::{AnswerSpans, SpanFault, answer_ranges};
pub use blank::{blank, check_blank};
pub use chat::{ChatTemplate, Turn, chat_statements, chats};
pub use columns::{DataColumns, KeepColumns};
pub use dataset::{Dataset, DatasetOptions, Kind, Question, texts};
pub use error::{BoxError, Error, Result};
pub use example::{Example, Origin};
pub use groups::group_of;
pub use pair::{ContrastPair, Pairs, pairs, pairs_with, require_both_classes};
pub use preview::{preview, preview_statement};
pub use select::{DropReason, Dropped, Selected, Selection, select};
pub use statement::{Statement, Statements, TokenizedStatement, statements, statements_with};
pub use template::{Template, TemplateText};
pub use tokenize::{Token, TokenizedPair, TokenizedPrompt, Tokenizer};
pub use warning::Warning;
