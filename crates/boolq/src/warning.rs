//! What a caller should know about data that is usable all the same. Returned beside the data, never printed.

use crate::error::quoted;
use serde::Serialize;
use std::fmt;

/// Something noteworthy about a data set, its pairs, or a selection of them.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Warning {
    /// The subject of statements was taken from the column after the label, by its place and not by its name.
    SubjectByPosition {
        /// The column taken.
        column: String,
    },
    /// The same text has both labels.
    BothLabels {
        /// How many texts.
        texts: usize,
        /// The first of them.
        text: String,
        /// Its first two rows with different labels, counted from 0.
        rows: [u64; 2],
    },
    /// Columns of the data that do not travel with the pairs, as they hold no short texts or are too many.
    ColumnsLeftOut {
        /// Their names, and why each is left out.
        columns: Vec<(String, String)>,
    },
    /// Many rows repeat an earlier one, label and all.
    Repeated {
        /// How many rows.
        rows: usize,
        /// Of how many.
        of: usize,
    },
    /// The data have a column `answer` that is not the label, and `{{ answer }}` in a plain template is not it.
    AnswerColumn {
        /// The column that is the label.
        label: String,
    },
    /// A template's plus answer is no or false, and the label's values are booleans.
    AnswersReversed {
        /// The plus answer.
        plus: String,
        /// The minus answer.
        minus: String,
    },
    /// Groups are guessed from the text before the answer: rows that share a passage or subject may be told apart.
    GroupFromPrompt {
        /// How many pairs have such a group.
        pairs: usize,
    },
    /// More than a tenth of the rows, with texts that are not all the same, are one group.
    LargeGroup {
        /// How many rows.
        rows: usize,
        /// Of how many.
        of: usize,
        /// How many different texts they have.
        texts: usize,
        /// The title that they share, if that is what joins them.
        title: Option<String>,
        /// The text of the first row.
        text: String,
    },
    /// All pairs are in one group, so no split can keep groups whole.
    SingleGroup {
        /// How many pairs there are.
        pairs: usize,
    },
    /// The template prints no answer and chooses its own words by it: the words in which the prompts differ are taken for
    /// the answers. See [`answer_ranges`](crate::answer_ranges).
    AnswerNotExact {
        /// How many pairs.
        pairs: usize,
    },
    /// A prompts file does not say where its answers are, and they may be more than the words in which the two prompts
    /// differ, which are taken for them.
    AnswersUnknown {
        /// How many pairs.
        pairs: usize,
    },
    /// In a prompts file that says where its answers are, some begin or end inside a word, or the text after them
    /// differs between the two prompts: the spans may be of other prompts.
    SpansDoubtful {
        /// How many pairs.
        pairs: usize,
        /// The `idx` of the first.
        first: u64,
    },
    /// The questions end in a question mark and the template, one of promptsource's, adds another.
    TwoQuestionMarks {
        /// How many pairs.
        pairs: usize,
    },
    /// A template of a promptsource file that was not asked for by name makes no pairs, and was left out.
    TemplateLeftOut {
        /// Its name.
        template: String,
        /// Why it makes none.
        reason: String,
    },
    /// A template renders nothing for some rows: it is for others, and those have no pair under it.
    NotApplicable {
        /// The template's name.
        template: String,
        /// How many rows have no pair under it.
        rows: usize,
    },
    /// All pairs have the same label.
    OneClass {
        /// That label.
        label: bool,
        /// How many pairs there are.
        pairs: usize,
    },
    /// Fewer questions were kept than asked for.
    LimitNotReached {
        /// How many were asked for.
        limit: usize,
        /// How many were kept.
        kept: usize,
    },
    /// No pair was kept.
    NothingKept {
        /// How many pairs were looked at.
        considered: usize,
    },
    /// The tokens before the answer differ between the two prompts of some pairs; see
    /// [`TokenizedPair::seam`](crate::TokenizedPair::seam).
    Seams {
        /// How many pairs.
        pairs: usize,
    },
    /// A token covers the answer and other text beside it; see
    /// [`TokenizedPrompt::joined`](crate::TokenizedPrompt::joined).
    AnswerJoined {
        /// How many pairs.
        pairs: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubjectByPosition { column } => {
                write!(f, "the column `{column}` after the label is taken as the statements' subject")
            }
            Self::BothLabels { texts, text, rows } => both_labels(f, *texts, text, *rows),
            Self::ColumnsLeftOut { columns } => columns_left_out(f, columns),
            Self::Repeated { rows, of } => {
                write!(
                    f,
                    "{rows} of {of} rows repeat an earlier row, label and all: accuracies count them again"
                )
            }
            Self::AnswerColumn { label } => answer_column(f, label),
            Self::AnswersReversed { plus, minus } => answers_reversed(f, plus, minus),
            Self::GroupFromPrompt { pairs } => write!(
                f,
                "{pairs} rows have no title, passage, subject, or group of their own: their groups are guessed from the text \
                 of the prompt, without an answer, so rows about one thing may fall on both sides of a split"
            ),
            Self::LargeGroup { .. } => large_group(f, self),
            Self::SingleGroup { pairs } => {
                write!(f, "all {pairs} rows are in one group: no split can keep groups whole")
            }
            Self::AnswerNotExact { pairs } => answer_not_exact(f, *pairs),
            Self::AnswersUnknown { pairs } => answers_unknown(f, *pairs),
            Self::SpansDoubtful { pairs, first } => spans_doubtful(f, *pairs, *first),
            Self::TwoQuestionMarks { pairs } => write!(
                f,
                "{pairs} pairs ask with two question marks: promptsource's templates take questions as they are and \
                 add their own; remove the marks from the data, or write a plain template, which does so itself"
            ),
            Self::TemplateLeftOut { template, reason } => {
                write!(f, "the template `{template}` is left out: {reason}")
            }
            Self::NotApplicable { template, rows } => {
                write!(
                    f,
                    "the template `{template}` renders nothing for {rows} rows, which have no prompt under it"
                )
            }
            Self::OneClass { label, pairs } => {
                write!(f, "all {pairs} rows have the label {label}: probes cannot be scored on them")
            }
            Self::LimitNotReached { limit, kept } => write!(f, "{kept} questions kept, {limit} asked for"),
            Self::NothingKept { considered } => write!(f, "none of {considered} rows kept"),
            Self::Seams { pairs } => write!(
                f,
                "{pairs} pairs have different tokens before the answer on their two sides: the answer merges \
                 with the text before it"
            ),
            Self::AnswerJoined { pairs } => write!(
                f,
                "in {pairs} pairs the tokenizer joins the answer with the text that touches it, so the answer's tokens \
                 are of more than the answer: put a space or newline between them"
            ),
        }
    }
}

impl Warning {
    /// Whether it tells how groups were found, on which a split, and so every number of a report, rests: readers of reports
    /// should know it.
    pub fn is_about_groups(&self) -> bool {
        matches!(self, Self::GroupFromPrompt { .. } | Self::LargeGroup { .. })
    }
}

fn columns_left_out(f: &mut fmt::Formatter<'_>, columns: &[(String, String)]) -> fmt::Result {
    /// Columns that are named one by one.
    const NAMED: usize = 5;
    f.write_str(if columns.len() == 1 { "a column of the data is" } else { "columns of the data are" })?;
    f.write_str(" not kept with the pairs:")?;
    for (at, (name, reason)) in columns.iter().take(NAMED).enumerate() {
        let comma = if at > 0 { "," } else { "" };
        write!(f, "{comma} {} ({reason})", quoted(name))?;
    }
    match columns.len().checked_sub(NAMED).filter(|more| *more > 0) {
        Some(more) => write!(f, ", and {more} more"),
        None => Ok(()),
    }
}

fn large_group(f: &mut fmt::Formatter<'_>, warning: &Warning) -> fmt::Result {
    let Warning::LargeGroup { rows, of, texts, title, text } = warning else { return Ok(()) };
    let share = 100.0 * *rows as f64 / (*of).max(1) as f64;
    write!(f, "{rows} of {of} rows ({share:.0}%) are one group, of {texts} different texts, ")?;
    match title {
        Some(title) => write!(f, "because they share the title {}", quoted(title))?,
        None => write!(f, "because these are near duplicates of each other; the first is {}", quoted(text))?,
    }
    write!(f, ": all of them are on one side of a split")
}

fn both_labels(f: &mut fmt::Formatter<'_>, texts: usize, text: &str, rows: [u64; 2]) -> fmt::Result {
    let (what, is) = if texts == 1 { ("text is", "it is") } else { ("texts are", "the first is") };
    let [one, other] = rows;
    write!(
        f,
        "{texts} {what} labeled both true and false, and one of the labels must be wrong: {is} {}, in rows {one} and \
         {other} (counted from 0)",
        quoted(text)
    )
}

fn answer_column(f: &mut fmt::Formatter<'_>, label: &str) -> fmt::Result {
    write!(
        f,
        "the data have a column `answer` beside the label `{label}`: {{{{ answer }}}} in a template is the \
                 template's own answer, never that column; rename the column to print it"
    )
}

fn answers_reversed(f: &mut fmt::Formatter<'_>, plus: &str, minus: &str) -> fmt::Result {
    write!(
        f,
        "the plus answer {plus:?} counts as right where the label is true, and {minus:?} where it is false: \
                 unless the template asks whether something is not so, write its answers the other way round"
    )
}

fn answer_not_exact(f: &mut fmt::Formatter<'_>, pairs: usize) -> fmt::Result {
    write!(
        f,
        "in {pairs} pairs the template chooses its own words by `answer`, so the words in which the two \
                 prompts differ are taken for the answers, without those that they share: print {{{{ answer }}}}, or \
                 the text that depends on it as one value, {{{{ 'yes it is' if answer == 'True' else 'no it is' }}}}"
    )
}

fn answers_unknown(f: &mut fmt::Formatter<'_>, pairs: usize) -> fmt::Result {
    write!(
        f,
        "the prompts file has no columns `plus_answer` and `minus_answer`: in {pairs} pairs the words in which \
                 the two prompts differ are taken for the answers, which may be longer; the log-probability of the \
                 answer, zero-shot and the token rule answer_mean are then of a part of them (make the prompts anew, \
                 or add the columns as START:END, counted in characters)"
    )
}

fn spans_doubtful(f: &mut fmt::Formatter<'_>, pairs: usize, first: u64) -> fmt::Result {
    write!(
        f,
        "in {pairs} pairs (the first: idx {first}) the answer's span begins or ends inside a word, or the text \
                 after it differs between the two prompts: were prompts changed without `plus_answer` and \
                 `minus_answer`?"
    )
}
