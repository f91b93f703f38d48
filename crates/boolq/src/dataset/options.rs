//! What a caller decides about a data file that the file itself does not tell.

use super::Dataset;
use crate::columns::KeepColumns;
use crate::error::Result;
use crate::template::Template;
use std::path::Path;

/// Which columns hold what, which class is the positive one, and what becomes of rows without a label.
///
/// ```
/// use boolq::{Dataset, DatasetOptions};
///
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("claims.csv");
/// std::fs::write(&file, "claim,verdict\nOslo is in Norway.,SUPPORTS\nOslo is in Chad.,REFUTES\n")?;
/// let data = DatasetOptions::new().text("claim").label("verdict").positive("SUPPORTS").load(&file)?;
/// assert_eq!(data.questions.iter().map(|q| q.answer).collect::<Vec<_>>(), [true, false]);
/// assert_eq!(data.classes, Some(["SUPPORTS".to_owned(), "REFUTES".to_owned()]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatasetOptions {
    pub(super) label: Option<String>,
    pub(super) id: Option<String>,
    pub(super) group: Option<String>,
    pub(super) text: Option<String>,
    pub(super) positive: Option<String>,
    pub(super) choices: Option<String>,
    pub(super) skip_unlabeled: bool,
    pub(super) seed: u64,
    pub(super) templates: Vec<Answers>,
    pub(super) keep: KeepColumns,
}

/// What a template's answers say about classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answers {
    /// A plain template's plus and minus answer.
    Are(String, String),
    /// promptsource's: the choice for label 1 is plus, that for label 0 minus.
    ByNumber,
}

impl DatasetOptions {
    /// Nothing decided: the columns are those that are called so, and what is left open is an error.
    pub fn new() -> Self {
        Self::default()
    }

    /// The column that holds the label.
    #[must_use]
    pub fn label(mut self, column: impl Into<String>) -> Self {
        self.label = Some(column.into());
        self
    }

    /// The column that holds the rows' own id.
    #[must_use]
    pub fn id(mut self, column: impl Into<String>) -> Self {
        self.id = Some(column.into());
        self
    }

    /// The column whose value rows share that must stay together in a split.
    #[must_use]
    pub fn group(mut self, column: impl Into<String>) -> Self {
        self.group = Some(column.into());
        self
    }

    /// The column that holds the statement or question. Templates get it as `statement` and as `question`.
    #[must_use]
    pub fn text(mut self, column: impl Into<String>) -> Self {
        self.text = Some(column.into());
        self
    }

    /// The class for which the plus answer is right: a class name of the file, or a value of the label's column. Rows
    /// of other classes are negative.
    #[must_use]
    pub fn positive(mut self, class: impl Into<String>) -> Self {
        self.positive = Some(class.into());
        self
    }

    /// The column that holds each row's own choices: lists of answers, or objects with the lists `text` and `label`, as ARC has
    /// them. The label then says which is right, by its number counted from 0, its letter, its name, or its text, in all rows alike. A pair is the right choice and
    /// a wrong one, drawn with the [seed](DatasetOptions::seed) (Burns et al. 2022), which are the answers of plain templates.
    #[must_use]
    pub fn choices(mut self, column: impl Into<String>) -> Self {
        self.choices = Some(column.into());
        self
    }

    /// Leaves out rows without a usable label (nothing, `?`, -1 and the like); [`Dataset::unlabeled`] counts them.
    #[must_use]
    pub fn skip_unlabeled(mut self, skip: bool) -> Self {
        self.skip_unlabeled = skip;
        self
    }

    /// The seed of what is drawn where the label has more than two classes, none is positive and all templates are
    /// promptsource's: a pair then is the row's own class and another, and either may be the plus side.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The templates that the data are read for: answers that are called like the classes decide which is positive,
    /// and promptsource's templates name their choices by the classes' numbers.
    #[must_use]
    pub fn for_templates(mut self, templates: &[Template]) -> Self {
        let answers = |template: &Template| match template.answers() {
            Some((plus, minus)) => Answers::Are(plus.to_owned(), minus.to_owned()),
            None => Answers::ByNumber,
        };
        self.templates = templates.iter().map(answers).collect();
        self
    }

    /// Whether there are templates, and all name their choices by the classes' numbers, so that any two classes make a pair.
    pub(super) fn by_number(&self) -> bool {
        !self.templates.is_empty() && self.templates.iter().all(|answers| *answers == Answers::ByNumber)
    }

    /// The columns that stay with the pairs made of the rows.
    #[must_use]
    pub fn keep_columns(mut self, keep: KeepColumns) -> Self {
        self.keep = keep;
        self
    }

    /// Reads a data file with these decisions.
    ///
    /// # Errors
    /// As [`Dataset::load`]; a column that is not there; a positive class that does not occur, or that the templates'
    /// answers contradict.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Dataset> {
        super::read(path.as_ref(), self)
    }
}
