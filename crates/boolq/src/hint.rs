//! What to do about each error.

use crate::error::Error;

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io(error) => Some(host::hint::hint(error).to_owned()),
            Self::Line { hint, .. }
            | Self::TooLarge { hint, .. }
            | Self::Table { hint, .. }
            | Self::MissingColumns { hint, .. }
            | Self::ChatTurn { hint, .. }
            | Self::Cell { hint, .. } => Some((*hint).to_owned()),
            Self::NoData { hint, .. }
            | Self::Positive { hint, .. }
            | Self::TemplateFile { hint, .. }
            | Self::UnknownVariable { hint, .. }
            | Self::Template { hint, .. }
            | Self::Render { hint, .. } => Some(hint.clone()),
            other => other.of_names().or_else(|| other.of_content().map(str::to_owned)),
        }
    }

    /// Where a name is missing or means nothing.
    fn of_names(&self) -> Option<String> {
        Some(match self {
            Self::NoColumn { suggestion, .. } => meant(suggestion.as_deref(), "give one of these"),
            Self::UnknownTemplate { suggestion: Some(near), .. } => {
                format!("did you mean `{near}`? Or give the path of a Jinja file")
            }
            Self::UnknownTemplate { .. } => {
                "give one of these names, a Jinja file, or promptsource's as FILE.yaml or FILE.yaml:NAME"
                    .to_owned()
            }
            Self::TemplateNotInFile { suggestion, .. } => {
                meant(suggestion.as_deref(), "give one of these names, or the file alone for all of them")
            }
            Self::LabelNotNamed { column, .. } => {
                format!("`{column}` could be the label: say so, if it is")
            }
            Self::Classes { classes, .. } => {
                let others = if classes.len() > 2 { " (all others then are negative)" } else { "" };
                format!(
                    "say which class is positive{others}, write a template whose answers are called like the classes, or name \
                     the column of the rows' own choices"
                )
            }
            _ => return None,
        })
    }

    /// Where a file, a pair, or a tokenizer holds what it may not.
    fn of_content(&self) -> Option<&'static str> {
        Some(match self {
            Self::UnknownFormat { .. } => "name the file .jsonl, .csv, or .parquet if it is one of these",
            Self::ColumnTwice { .. } => "rename one of them",
            Self::SeveralLabels { .. } => "say which of them is the label",
            Self::Unlabeled { .. } => {
                "fill it in, or leave out the rows without one; if this value is a class, say which class is positive"
            }
            Self::NoRows { .. } => "was the file written completely?",
            Self::DuplicatePair { .. } => {
                "every pair is one row; a file joined from several data sets needs distinct idx or dataset values"
            }
            Self::SingleStatements { .. } => {
                "give prompts with `plus_prompt` and `minus_prompt`; single statements have no answer to compare"
            }
            Self::MixedPrompts { .. } => {
                "all rows of a prompts file are pairs, or all are statements; remove or rename one"
            }
            Self::NoAnswerText { .. } => "the two prompts must differ in the answer, and in nothing else",
            Self::AnswerSpan { .. } => {
                "spans are byte ranges of the two prompts, and the text before them is the same"
            }
            Self::NoAnswerToken { .. } => {
                "the tokenizer must cover all text; check the byte spans it returns"
            }
            Self::Chat { .. } => {
                "these are the chat template's words: some take no system message, or want the user to speak first"
            }
            Self::Tokenizer { .. } => "is this the model's own tokenizer?",
            Self::TokenSpan { .. } => "spans are byte ranges of the text given to `encode`",
            Self::EmptyField { .. } => "pandas reads empty text as missing; every column needs text",
            Self::NoPassage { .. } => {
                "this control is for questions about a `passage` that the template prints, such as BoolQ's"
            }
            Self::OneClass { .. } => "choose other rows with offset and limit, or look at the file's labels",
            _ => return None,
        })
    }
}

fn meant(suggestion: Option<&str>, otherwise: &str) -> String {
    suggestion.map_or_else(|| otherwise.to_owned(), |near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
impl Error {
    /// The message and the hint, for tests of either.
    pub(crate) fn with_hint(&self) -> String {
        format!("{self}; {}", self.hint().unwrap_or_default())
    }
}
