//! The crate's error type. Every message names the file, row, column, or template at fault.
//!
//! Long because all errors of the crate are one enum, so that a caller finds them in one place.

use crate::answer::SpanFault;
use std::path::PathBuf;

/// What the tokenizer of a caller may fail with; see [`crate::Tokenizer`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong between a data file and tokenized contrast pairs.
///
/// [`Error::hint`] says what to do about it. Rows are counted from 0 (a row's number is the pair's `idx`), lines from 1.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing a file failed; the message carries the path.
    #[error("{0}")]
    Io(#[from] std::io::Error),

    /// Neither the file's extension nor its contents say what it is.
    #[error("{}: not recognized as JSON, CSV or Parquet", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },

    /// A line that is not what the format asks for: not UTF-8, not a JSON object, or blank.
    #[error("{}: line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: &'static str,
    },

    /// A file that holds no data, or nothing that can be read as such.
    #[error("{}: this is {what}", path.display())]
    NoData {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
        /// What to do.
        hint: String,
    },

    /// A file or a table larger than is believed.
    #[error("{}: {found}; at most {limit} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large.
        found: String,
        /// The bound, with its unit.
        limit: String,
        /// What to do.
        hint: &'static str,
    },

    /// Two columns of one name.
    #[error("{}: two columns are called `{column}`", path.display())]
    ColumnTwice {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
    },

    /// A column that a caller named is not there.
    #[error("{}: no column `{column}` for the {role}; found: {}", path.display(), listed(found))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What it should hold: `"label"`, `"id"`, `"group"` or `"text"`.
        role: &'static str,
        /// The nearest column that is there, if one is near.
        suggestion: Option<String>,
        /// The columns that are there.
        found: Vec<String>,
    },

    /// Two columns could be the label, and they differ.
    #[error("{}: `{}` and `{}` could each be the label, and they differ: in row {row} (counted from 0) {found}", path.display(), columns[0], columns[1])]
    SeveralLabels {
        /// The file.
        path: PathBuf,
        /// The two columns.
        columns: [String; 2],
        /// The first row in which they differ, counted from 0.
        row: u64,
        /// What they hold there.
        found: String,
    },

    /// No column is called like a label, but one could be it.
    #[error("{}: no column `answer` or `label`; found: {}", path.display(), listed(found))]
    LabelNotNamed {
        /// The file.
        path: PathBuf,
        /// The column that could be it.
        column: String,
        /// The columns that are there.
        found: Vec<String>,
    },

    /// Nothing says which of the label's classes is the positive one.
    #[error("{}: the label `{column}` has the classes {}, and nothing says for which of them the plus answer is right", path.display(), listed(classes))]
    Classes {
        /// The file.
        path: PathBuf,
        /// The label's column.
        column: String,
        /// The classes, with their values where these are not their names.
        classes: Vec<String>,
        /// Their names alone.
        names: Vec<String>,
    },

    /// A positive class that does not fit.
    #[error("{}: {reason}", path.display())]
    Positive {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// A row without a label.
    #[error("{}: row {row} (counted from 0), column `{column}`: {found} where a label is needed", path.display())]
    Unlabeled {
        /// The file.
        path: PathBuf,
        /// The row, counted from 0.
        row: u64,
        /// The column.
        column: String,
        /// What is there instead.
        found: String,
    },

    /// The table reader or writer refused the whole file.
    #[error("{}: not a readable {format} file: {reason}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// `"CSV"` or `"Parquet"`.
        format: &'static str,
        /// The reader's own message.
        reason: String,
        /// What to do.
        hint: &'static str,
    },

    /// The file lacks columns that are needed.
    #[error("{}: no column {}; found: {}", path.display(), missing.join(" and no column "), listed(found))]
    MissingColumns {
        /// The file.
        path: PathBuf,
        /// The columns that are missing; alternatives are in one entry.
        missing: Vec<String>,
        /// The columns that are there.
        found: Vec<String>,
        /// Which columns the file should have.
        hint: &'static str,
    },

    /// The file has a header or nothing at all, but no rows.
    #[error("{}: no rows", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
    },

    /// A cell that is not what its column must hold.
    #[error("{}: row {row} (counted from 0), column `{column}`: {found} where {expected} is needed", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// The row, counted from 0.
        row: u64,
        /// The column.
        column: String,
        /// The value, quoted and shortened, or what is there instead.
        found: String,
        /// What the column holds.
        expected: &'static str,
        /// What to do.
        hint: &'static str,
    },

    /// Two rows of a prompts file are the same pair.
    #[error("{}: row {row} (counted from 0): idx {idx} of template `{template}` stands in the file already", path.display())]
    DuplicatePair {
        /// The file.
        path: PathBuf,
        /// The second of the two rows, counted from 0.
        row: u64,
        /// The pair's `idx`.
        idx: u64,
        /// The pair's template.
        template: String,
    },

    /// A prompts file of single statements where pairs are needed.
    #[error("{}: these are single statements, and contrast pairs are needed", path.display())]
    SingleStatements {
        /// The file.
        path: PathBuf,
    },

    /// A prompts file with columns of single statements and of pairs.
    #[error("{}: the column `prompt` is of single statements, and `{column}` is of pairs", path.display())]
    MixedPrompts {
        /// The file.
        path: PathBuf,
        /// The first column of pairs.
        column: &'static str,
    },

    /// A name that is neither a built-in template nor a file.
    #[error("no template `{name}`: built in are {}", known.join(", "))]
    UnknownTemplate {
        /// The name asked for.
        name: String,
        /// The nearest built-in name, if one is near.
        suggestion: Option<String>,
        /// The built-in names.
        known: Vec<String>,
    },

    /// A template file that is not what its extension says.
    #[error("{}: {reason}", path.display())]
    TemplateFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with the line where that is known.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// A template file that holds no template of that name.
    #[error("{}: no template `{name}`; found: {}", path.display(), known.join(", "))]
    TemplateNotInFile {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// The nearest name in the file, if one is near.
        suggestion: Option<String>,
        /// The names in the file.
        known: Vec<String>,
    },

    /// A template uses a variable that neither it nor the data has.
    #[error("template `{template}`: no variable `{variable}`; there are: {}", known.join(", "))]
    UnknownVariable {
        /// The template's name.
        template: String,
        /// The variable.
        variable: String,
        /// The variables that there are for this data.
        known: Vec<String>,
        /// What to do.
        hint: String,
    },

    /// A template that cannot make a contrast pair out of any data.
    #[error("template `{template}`: {reason}")]
    Template {
        /// The template's name.
        template: String,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// A template failed on one row.
    #[error("template `{template}`, row {row} (counted from 0): {reason}")]
    Render {
        /// The template's name.
        template: String,
        /// The row, counted from 0.
        row: u64,
        /// What went wrong.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// The two prompts of a pair are the same text, or differ in white space only on one side.
    #[error("pair {idx}: the plus and the minus prompt do not hold two different answers")]
    NoAnswerText {
        /// The pair's `idx`.
        idx: u64,
    },

    /// The answers are not where the pair says.
    #[error("pair {idx}: {fault}")]
    AnswerSpan {
        /// The pair's `idx`.
        idx: u64,
        /// What is wrong with the spans.
        fault: SpanFault,
    },

    /// A chat template failed, or refused the turns.
    #[error("row {idx}: {source}")]
    Chat {
        /// The row's `idx`.
        idx: u64,
        /// What the template said.
        source: BoxError,
    },

    /// A pair that does not become a chat.
    #[error("row {idx}: {reason}")]
    ChatTurn {
        /// The row's `idx`.
        idx: u64,
        /// Why not.
        reason: &'static str,
        /// What to do.
        hint: &'static str,
    },

    /// No token of a prompt covers its answer.
    #[error("pair {idx}: no token of the {side} prompt covers its answer {answer:?}")]
    NoAnswerToken {
        /// The pair's `idx`.
        idx: u64,
        /// `"plus"` or `"minus"`.
        side: &'static str,
        /// The answer's text in that prompt.
        answer: String,
    },

    /// The tokenizer failed on a prompt.
    #[error("idx {idx}: the tokenizer refused the {side} prompt: {source}")]
    Tokenizer {
        /// The pair's `idx`.
        idx: u64,
        /// `"plus"`, `"minus"` or `"statement"`.
        side: &'static str,
        /// The tokenizer's own error.
        source: BoxError,
    },

    /// The tokenizer returned a token whose span lies outside the text.
    #[error(
        "pair {idx}: token {token} of the {side} prompt claims bytes {start}..{end} of a text of {len} bytes"
    )]
    TokenSpan {
        /// The pair's `idx`.
        idx: u64,
        /// `"plus"` or `"minus"`.
        side: &'static str,
        /// The token's position in the prompt.
        token: usize,
        /// The span's start, in bytes.
        start: usize,
        /// The span's end, in bytes.
        end: usize,
        /// The text's length, in bytes.
        len: usize,
    },

    /// A prompt, or a name beside it, is empty where a prompts file must hold text.
    #[error("idx {idx}: `{column}` is empty")]
    EmptyField {
        /// The pair's `idx`.
        idx: u64,
        /// The column.
        column: &'static str,
    },

    /// There is no passage to leave blank.
    #[error("{what} {reason}, so it cannot be asked with the passage left blank")]
    NoPassage {
        /// The data, the template or the row.
        what: String,
        /// Why there is none.
        reason: String,
    },

    /// Probes need true and false pairs.
    #[error("{true_pairs} true and {false_pairs} false pairs: both classes are needed")]
    OneClass {
        /// Pairs whose plus prompt holds the right answer.
        true_pairs: usize,
        /// Pairs whose minus prompt holds the right answer.
        false_pairs: usize,
    },
}

/// Names for a message, the first of many.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 24;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}, and {more} more"),
    }
}

/// `text` quoted for a message, cut after 60 characters.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or(text)),
    }
}
