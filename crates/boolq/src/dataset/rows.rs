//! Rows of a table as questions and statements, and what they say together.

use super::table::{Column, Table};
use super::{IDS, Kind, Question, agreement, label, without_question_mark};
use crate::error::{Error, Result, quoted};
use crate::warning::Warning;

/// The table's rows as questions, and the columns that these are made of.
pub(super) struct Rows<'a> {
    pub(super) table: &'a Table,
    pub(super) kind: Kind,
    pub(super) text: Option<Column>,
    pub(super) id: Option<Column>,
    pub(super) passage: Option<Column>,
    pub(super) title: Option<Column>,
    pub(super) subject: Option<Column>,
}

impl Rows<'_> {
    /// A row of the file as a question.
    ///
    /// # Errors
    /// Texts that are missing.
    pub(super) fn question(&self, row: usize, answer: bool) -> Result<Question> {
        let must = |column: &Option<Column>| column.as_ref().map(|c| self.table.text(c, row)).transpose();
        let may = |column: &Option<Column>| {
            let text = column.as_ref().map(|c| self.table.cell(c, row)).transpose()?;
            Ok::<_, Error>(text.flatten().filter(|text| !text.is_empty()))
        };
        let question = must(&self.text)?.unwrap_or_default();
        if let (Kind::Questions, Some(column)) = (self.kind, &self.text)
            && without_question_mark(&question).is_empty()
        {
            return Err(self.table.cell_error(
                row,
                column,
                quoted(&question),
                "a question",
                "remove the row",
            ));
        }
        let passage = must(&self.passage)?;
        let subject = match (self.kind, &passage) {
            (_, Some(_)) => None,
            (Kind::Statements, None) => must(&self.subject)?,
            _ => may(&self.subject)?,
        };
        Ok(Question {
            row: row as u64,
            question_id: must(&self.id)?.unwrap_or_else(|| row.to_string()),
            passage,
            question,
            title: may(&self.title)?,
            subject,
            answer,
        })
    }
}

/// The third column of a table `statement,label,…` as the statements' subject, if each contains it.
pub(super) fn subjects_by_position(table: &Table, questions: &mut [Question]) -> Option<Warning> {
    let [statement, label, third, ..] = table.names() else { return None };
    if statement != "statement" || label != "label" {
        return None;
    }
    let column = Column(third.clone());
    let mut subjects = Vec::with_capacity(questions.len());
    for question in questions.iter() {
        let subject =
            usize::try_from(question.row).ok().and_then(|row| table.cell(&column, row).ok().flatten());
        match subject {
            Some(subject) if !subject.trim().is_empty() && question.question.contains(subject.trim()) => {
                subjects.push(subject);
            }
            _ => return None,
        }
    }
    for (question, subject) in questions.iter_mut().zip(subjects) {
        question.subject = Some(subject);
    }
    Some(Warning::SubjectByPosition { column: third.clone() })
}

/// The same statement with both labels. Of questions and other rows all columns but the label and the id must be the
/// same: candidates and choices stand in columns of their own.
pub(super) fn repeats(
    table: &Table,
    questions: &[Question],
    kind: Kind,
    rows: &Rows<'_>,
    labels: &label::Labels,
) -> Vec<Warning> {
    let apart = |name: &str| {
        name == labels.column
            || labels.hidden.iter().any(|hidden| hidden == name)
            || IDS.contains(&name)
            || rows.id.as_ref().is_some_and(|id| id.0 == name)
            || name.starts_with("Unnamed: ")
    };
    let columns: Vec<&str> = table.names().iter().map(String::as_str).filter(|name| !apart(name)).collect();
    agreement(questions.iter().map(|question| {
        let mut hasher = blake3::Hasher::new();
        let mut part = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        if kind == Kind::Statements {
            part(question.question.trim());
            part(question.passage.as_deref().unwrap_or_default().trim());
        } else {
            let row = usize::try_from(question.row).unwrap_or(usize::MAX);
            for value in columns.iter().map(|name| table.get(name, row)) {
                part(value.map(ToString::to_string).unwrap_or_default().trim());
            }
        }
        (question.row, hasher.finalize(), question.answer, question.question.as_str())
    }))
}
