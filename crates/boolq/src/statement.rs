//! Single statements: every row of the data as one prompt, which is true or false by its label. No answer is appended.

use crate::columns::DataColumns;
use crate::dataset::{Dataset, Question};
use crate::error::{Error, Result};
use crate::example::{self, Example, Made, Origin, Rendered};
use crate::select::DropReason;
use crate::template::{Compiled, Template};
use crate::tokenize::Tokenizer;
use crate::warning::Warning;
use serde::Serialize;

/// One statement as a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Statement {
    /// The row in the data file, counted from 0.
    pub idx: u64,
    /// The text that a model gets, whole.
    pub prompt: String,
    /// Whether it is true.
    pub label: bool,
    /// The data's own id of the statement, else `idx` as text.
    pub question_id: String,
    /// A hash of what the statement is about; see [`group_of`](crate::group_of). Statements of one group are never split.
    pub group: String,
    /// The name of the template.
    pub template: String,
    /// The name of the data set.
    pub dataset: String,
    /// Which chat template rendered the prompt ([`ChatTemplate::identity`](crate::ChatTemplate::identity)), if one did.
    /// Its text is whole then: nothing is put in front of it.
    pub chat: Option<String>,
    /// Further columns of the data.
    pub columns: DataColumns,
}

/// Statements, and what there is to know about them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statements {
    /// The statements, in the order of their file.
    pub statements: Vec<Statement>,
    /// What the rendering, and the grouping, had to assume. The data's own warnings stay with the [`Dataset`].
    pub warnings: Vec<Warning>,
}

/// A statement with its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizedStatement {
    /// The statement.
    pub statement: Statement,
    /// The token ids, at least one.
    ///
    /// # Shapes
    /// `[T]`, BOS included.
    pub ids: Vec<u32>,
}

/// Renders every row of `dataset` with `template`, which prints no answer: [`Template::as_is`], or a Jinja template
/// without `answer`.
///
/// ```
/// use boolq::{Dataset, Template, statements};
///
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("cities.csv");
/// std::fs::write(&file, "statement,label\nThe city of Oslo is in Norway.,1\nThe city of Oslo is in Chad.,0\n")?;
///
/// let data = Dataset::load(&file)?;
/// let made = statements(&data, &Template::as_is())?;
/// assert_eq!(made.statements[1].prompt, "The city of Oslo is in Chad.");
/// assert!(!made.statements[1].label);
/// boolq::prompts::write_statements(folder.path().join("statements.csv"), &made.statements)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The first row whose template fails; a template with an answer, and promptsource's, whose target is one; a variable
/// that the data do not have.
pub fn statements(dataset: &Dataset, template: &Template) -> Result<Statements> {
    statements_with(dataset, std::slice::from_ref(template))
}

/// Renders every row of `dataset` with each of `templates`: all statements of the first row, then all of the second, as
/// [`pairs_with`](crate::pairs_with) does for pairs.
///
/// # Errors
/// As [`statements`]; two templates of one name; a template that applies to no row.
pub fn statements_with(dataset: &Dataset, templates: &[Template]) -> Result<Statements> {
    templates.iter().try_for_each(Template::check_single)?;
    let (statements, warnings) = example::of_rows(dataset, templates)?;
    Ok(Statements { statements, warnings })
}

impl TokenizedStatement {
    /// Tokenizes the statement.
    ///
    /// # Errors
    /// A tokenizer that fails, or gives no token.
    pub fn new<T: Tokenizer + ?Sized>(statement: Statement, tokenizer: &T) -> Result<Self> {
        let (idx, side) = (statement.idx, "statement");
        let tokens = tokenizer.encode_prompt(&statement.prompt, statement.chat.is_some());
        let tokens = tokens.map_err(|source| Error::Tokenizer { idx, side, source })?;
        if tokens.is_empty() {
            return Err(Error::Tokenizer { idx, side, source: "it has no tokens".into() });
        }
        Ok(Self { statement, ids: tokens.into_iter().map(|token| token.id).collect() })
    }
}

impl Example for Statement {
    fn origin(&self) -> Origin<'_> {
        Origin {
            idx: self.idx,
            label: self.label,
            question_id: &self.question_id,
            group: &self.group,
            template: &self.template,
            dataset: &self.dataset,
            chat: self.chat.as_deref(),
            columns: &self.columns,
        }
    }
}

impl Rendered for Statement {
    type Tokenized = TokenizedStatement;

    #[expect(private_interfaces, reason = "nobody else can call it")]
    fn render(
        dataset: &Dataset,
        template: &Compiled,
        question: &Question,
        around: Option<&mut Option<String>>,
    ) -> Result<Option<Made<Self>>> {
        let Some(prompt) = template.single(dataset, question)? else { return Ok(None) };
        let template = template.template;
        if let Some(around) = around.filter(|around| around.is_none()) {
            *around = Some(template.after_prefix(&prompt).to_owned());
        }
        let statement = Self {
            idx: question.row,
            prompt,
            label: question.answer,
            question_id: question.question_id.clone(),
            group: String::new(),
            template: template.name().to_owned(),
            dataset: dataset.name.clone(),
            chat: None,
            columns: DataColumns::default(),
        };
        Ok(Some(Made { example: statement, inexact: false, marks: false }))
    }

    fn set_group(&mut self, group: &str) {
        group.clone_into(&mut self.group);
    }

    fn set_columns(&mut self, columns: DataColumns) {
        self.columns = columns;
    }

    fn texts(&self) -> [&str; 2] {
        [&self.prompt; 2]
    }

    fn tokenized<T: Tokenizer + ?Sized>(
        self,
        tokenizer: &T,
        max_seq_len: Option<usize>,
    ) -> Result<Result<TokenizedStatement, DropReason>> {
        let tokenized = TokenizedStatement::new(self, tokenizer)?;
        let tokens = tokenized.ids.len();
        Ok(match max_seq_len {
            Some(max_seq_len) if tokens > max_seq_len => {
                Err(DropReason::StatementTooLong { tokens, max_seq_len })
            }
            _ => Ok(tokenized),
        })
    }

    fn of_tokenized(tokenized: &TokenizedStatement) -> &Self {
        &tokenized.statement
    }

    fn warnings_of(_: &[TokenizedStatement]) -> Vec<Warning> {
        Vec::new()
    }
}
