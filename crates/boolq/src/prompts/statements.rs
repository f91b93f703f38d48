//! Single statements in a prompts file: one prompt a row, and no answer.

use super::{
    CHAT, CLASSES, COLUMNS, Named, chats, column, further, named, optional, refuse_duplicates,
    refuse_missing, spans,
};
use crate::dataset::Table;
use crate::error::{Error, Result};
use crate::example::{both_labels, group_warnings};
use crate::groups::{self, About};
use crate::statement::{Statement, Statements};
use polars::prelude::{Column as Series, CsvWriter, DataFrame, PolarsError, SerWriter};
use std::path::Path;

/// The columns of a file of statements, in order.
pub const STATEMENT_COLUMNS: [&str; 7] =
    ["idx", PROMPT, "label", "question_id", "group", "template", "dataset"];

/// The column that tells such a file from one of pairs.
const PROMPT: &str = "prompt";

/// Writes statements to a CSV file, replacing what is there. The file is never there in part.
///
/// # Errors
/// Empty text in any column (pandas would read it as missing), and what the file system refuses.
pub fn write_statements<'a>(
    path: impl AsRef<Path>,
    statements: impl IntoIterator<Item = &'a Statement>,
) -> Result<()> {
    let path = path.as_ref();
    let statements: Vec<&Statement> = statements.into_iter().collect();
    for statement in &statements {
        let texts = [
            (PROMPT, &statement.prompt),
            ("question_id", &statement.question_id),
            ("group", &statement.group),
            ("template", &statement.template),
            ("dataset", &statement.dataset),
        ];
        if let Some((column, _)) = texts.into_iter().find(|(_, text)| text.trim().is_empty()) {
            return Err(Error::EmptyField { idx: statement.idx, column });
        }
    }
    let csv = to_csv(&statements).map_err(|e| Error::Table {
        path: path.to_owned(),
        format: "CSV",
        reason: e.to_string(),
        hint: "this is a defect: the statements themselves are fine",
    })?;
    Ok(host::files::replace(path, &csv)?)
}

fn to_csv(statements: &[&Statement]) -> Result<Vec<u8>, PolarsError> {
    // In the order of STATEMENT_COLUMNS.
    let text = |name: &str, of: fn(&Statement) -> &str| {
        Series::new(name.into(), statements.iter().map(|one| of(one)).collect::<Vec<&str>>())
    };
    let mut frame = DataFrame::new(
        statements.len(),
        vec![
            Series::new("idx".into(), statements.iter().map(|one| one.idx).collect::<Vec<u64>>()),
            text(PROMPT, |one| &one.prompt),
            text("label", |one| if one.label { "True" } else { "False" }),
            text("question_id", |one| &one.question_id),
            text("group", |one| &one.group),
            text("template", |one| &one.template),
            text("dataset", |one| &one.dataset),
        ],
    )?;
    if let Some(chats) = statements.iter().map(|one| one.chat.as_deref()).collect::<Option<Vec<&str>>>() {
        frame.with_column(Series::new(CHAT.into(), chats))?;
    }
    for column in further::to_series(statements.iter().map(|one| &one.columns)) {
        frame.with_column(column)?;
    }
    let mut csv = Vec::new();
    CsvWriter::new(&mut csv).finish(&mut frame)?;
    Ok(csv)
}

/// Reads a prompts file of single statements.
///
/// Columns that are missing after `idx`, `prompt` and `label` are filled in as [`read`](super::read) does; `group` is that
/// of the prompt and its near duplicates, with [`Warning::GroupFromPrompt`](crate::Warning::GroupFromPrompt).
///
/// # Errors
/// The file, row and column at fault: missing columns, columns of pairs, empty cells, an `idx` that is no whole number, a
/// label that is no boolean, a statement that stands twice in the file.
pub fn read_statements(path: impl AsRef<Path>) -> Result<Statements> {
    let path = path.as_ref();
    let table = Table::open(path)?;
    are_in(path, &table)?;
    of_table(path, &table)
}

/// Whether a table is of statements. One with both prompts of pairs is of pairs: other programs' files may have a column
/// `prompt` of their own beside them, such as the question without its answer.
///
/// # Errors
/// [`Error::MixedPrompts`] for columns of statements and some of pairs in one table.
pub(super) fn are_in(path: &Path, table: &Table) -> Result<bool> {
    if !table.has(PROMPT) || (table.has(COLUMNS[1]) && table.has(COLUMNS[2])) {
        return Ok(false);
    }
    let of_pairs = [COLUMNS[1], COLUMNS[2], spans::PLUS, spans::MINUS].into_iter().chain(CLASSES);
    match of_pairs.into_iter().find(|name| table.has(name)) {
        None => Ok(true),
        Some(column) => Err(Error::MixedPrompts { path: path.to_owned(), column }),
    }
}

pub(super) fn of_table(path: &Path, table: &Table) -> Result<Statements> {
    refuse_missing(path, table, &STATEMENT_COLUMNS[..3])?;
    let prompts = table.texts(&column(PROMPT))?;
    let labels = table.booleans(&column("label"))?;
    let idxs = super::whole_numbers(table, "idx")?;
    let Named { ids, templates, datasets } = named(path, table, &idxs)?;
    let (groups, guessed, large) = if let Some(groups) = optional(table, "group")? {
        (groups, 0, None)
    } else {
        let about = prompts.iter().map(|prompt| About { prompt: Some(prompt), ..About::default() });
        let guessed = groups::of(&about.collect::<Vec<_>>())?;
        (guessed.names, table.height(), guessed.warning)
    };
    let columns = chats(table)?.into_iter().zip(further::read(table)?);
    let texts = idxs.into_iter().zip(prompts).zip(labels.into_iter().zip(ids));
    let names = groups.into_iter().zip(templates.into_iter().zip(datasets)).zip(columns);
    let statement =
        |(((idx, prompt), (label, question_id)), ((group, (template, dataset)), (chat, columns)))| {
            Statement { idx, prompt, label, question_id, group, template, dataset, chat, columns }
        };
    let statements: Vec<Statement> = texts.zip(names).map(statement).collect();
    refuse_duplicates(path, &statements)?;
    let mut warnings = group_warnings(&statements, guessed, large);
    warnings.extend(both_labels(&statements));
    Ok(Statements { statements, warnings })
}
