//! What a caller should know about data that is usable all the same. Returned beside the data, never printed.

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
    /// Groups are hashes of the text before the answer: rows that share a passage or subject may be told apart.
    GroupFromPrompt {
        /// How many pairs have such a group.
        pairs: usize,
    },
    /// All pairs are in one group, so no split can keep groups whole.
    SingleGroup {
        /// How many pairs there are.
        pairs: usize,
    },
    /// The answer found in the texts is not exactly the template's: other text touches it, or the two answers share
    /// a word at an end. See [`answer_ranges`](crate::answer_ranges).
    AnswerNotExact {
        /// How many pairs.
        pairs: usize,
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
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubjectByPosition { column } => {
                write!(f, "the column `{column}` after the label is taken as the statements' subject")
            }
            Self::GroupFromPrompt { pairs } => write!(
                f,
                "{pairs} pairs have no passage or subject: their group is a hash of the text before the answer, \
                 so near duplicates may fall on both sides of a split"
            ),
            Self::SingleGroup { pairs } => {
                write!(f, "all {pairs} pairs are in one group: no split can keep groups whole")
            }
            Self::AnswerNotExact { pairs } => write!(
                f,
                "in {pairs} pairs the answer found in the text is not exactly the template's, so token rules that \
                 count from the answer may read elsewhere: put a space or newline before the answer (and after it, \
                 where text follows), and choose answers that share no words at their ends"
            ),
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
                    "the template `{template}` renders nothing for {rows} rows, which have no pair under it"
                )
            }
            Self::OneClass { label, pairs } => {
                write!(f, "all {pairs} pairs have the label {label}: probes cannot be scored on them")
            }
            Self::LimitNotReached { limit, kept } => write!(f, "{kept} questions kept, {limit} asked for"),
            Self::NothingKept { considered } => write!(f, "none of {considered} pairs kept"),
            Self::Seams { pairs } => write!(
                f,
                "{pairs} pairs have different tokens before the answer on their two sides: the answer merges \
                 with the text before it"
            ),
        }
    }
}
