//! Labelled data: yes/no questions and true/false statements, read from JSONL, CSV or Parquet.
//!
//! Two shapes are known. **Questions** have the columns `question`, and `answer` or `label`, and often `passage` and
//! `title`: BoolQ as published (JSONL) and as on Hugging Face. **Statements** have `statement` and `label` (or
//! `answer`): the geometry-of-truth files. A column `question_id`, `qid`, `id` or `idx` is the rows' own id.

mod table;

pub(crate) use table::{Column, Format, Table};

use crate::error::{Error, Result, quoted};
use crate::warning::Warning;
use std::path::Path;

/// A column that names what a statement is about, in the order in which they are looked for.
const SUBJECTS: [&str; 4] = ["subject", "city", "entity", "n1"];
const IDS: [&str; 4] = ["question_id", "qid", "id", "idx"];
const LABELS: [&str; 2] = ["answer", "label"];

/// What the rows of a data set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Yes/no questions, with or without a passage.
    Questions,
    /// Statements that are true or false.
    Statements,
}

/// One labelled row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The row in the file, counted from 0; the pair's `idx`.
    pub row: u64,
    /// The data's own id if it has one, else the row as text.
    pub question_id: String,
    /// The text that the question is about.
    pub passage: Option<String>,
    /// The question, or the statement in a data set of [`Kind::Statements`].
    pub question: String,
    /// The title of the passage's page.
    pub title: Option<String>,
    /// What a statement is about: rows with the same subject stay together in splits.
    pub subject: Option<String>,
    /// The label: yes, or true.
    pub answer: bool,
}

/// A data file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// The file's name without its extension.
    pub name: String,
    /// blake3 of the file's bytes, in hex.
    pub identity: String,
    /// Questions or statements.
    pub kind: Kind,
    /// The rows, in the file's order.
    pub questions: Vec<Question>,
    /// What the reader had to assume.
    pub warnings: Vec<Warning>,
}

impl Dataset {
    /// Reads a data file. The format comes from the extension (`.jsonl`, `.ndjson`, `.json` with one object a line;
    /// `.csv`; `.parquet`), else from the contents.
    ///
    /// The subject of statements is the column `subject`, `city`, `entity` or `n1`, whichever is found first. Without
    /// these, a table that begins with `statement,label` has its subject in the third column, as geometry-of-truth
    /// files do, if every statement contains it; [`Warning::SubjectByPosition`] then says so. Numbers of
    /// `larger_than` are spelled out in the statements, which is why `n1` is looked for by name.
    ///
    /// # Errors
    /// Bad lines, missing columns, labels that are not boolean, and empty or missing questions and passages, each
    /// with its place; a file without rows.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = fs_err::read(path)?;
        let table = Table::parse(path, &bytes, Format::of(path, &bytes)?)?;
        let mut dataset = if table.has("question") { questions(&table)? } else { statements(&table)? };
        dataset.name = stem(path);
        dataset.identity = blake3::hash(&bytes).to_hex().to_string();
        Ok(dataset)
    }

    /// The share of rows whose label is true; `None` without rows.
    pub fn true_share(&self) -> Option<f64> {
        let rows = self.questions.len();
        let trues = self.questions.iter().filter(|q| q.answer).count();
        (rows > 0).then(|| trues as f64 / rows as f64)
    }
}

/// The file's name without its extension.
pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "data".to_owned(), |s| s.to_string_lossy().into_owned())
}

fn questions(table: &Table) -> Result<Dataset> {
    let question = Column("question".to_owned());
    let label =
        label_column(table, "questions need `question` and `answer`, and may have `passage` and `title`")?;
    let questions = table.texts(&question)?;
    for (row, text) in questions.iter().enumerate() {
        if without_question_mark(text).is_empty() {
            return Err(table.cell_error(row, &question, quoted(text), "a question", "remove the row"));
        }
    }
    let passages = match table.first_of(&["passage"]) {
        Some(column) => table.texts(&column)?.into_iter().map(Some).collect(),
        None => vec![None; table.height()],
    };
    let titles = optional(table, &["title"])?;
    let rows = RowParts { texts: questions, labels: table.booleans(&label)?, ids: ids(table)? };
    let questions = rows.zip(passages, titles, vec![None; table.height()]);
    Ok(dataset(Kind::Questions, questions, Vec::new()))
}

fn statements(table: &Table) -> Result<Dataset> {
    let hint = "questions need `question` and `answer`, statements need `statement` and `label`";
    if !table.has("statement") {
        return Err(missing(table, "`question` or `statement`", hint));
    }
    let label = label_column(table, hint)?;
    let mut warnings = Vec::new();
    let texts = table.texts(&Column("statement".to_owned()))?;
    let subjects = match table.first_of(&SUBJECTS) {
        Some(column) => table.texts(&column)?.into_iter().map(Some).collect(),
        None => subjects_by_place(table, &texts, &mut warnings)?,
    };
    let rows = RowParts { texts, labels: table.booleans(&label)?, ids: ids(table)? };
    let none = vec![None; table.height()];
    Ok(dataset(Kind::Statements, rows.zip(none.clone(), none, subjects), warnings))
}

/// `load` fills in the name and the identity, which belong to the file.
fn dataset(kind: Kind, questions: Vec<Question>, warnings: Vec<Warning>) -> Dataset {
    Dataset { name: String::new(), identity: String::new(), kind, questions, warnings }
}

/// The question without white space and question marks at its end: templates write the one `?` themselves.
pub(crate) fn without_question_mark(question: &str) -> &str {
    question.trim_start().trim_end_matches(|c: char| c == '?' || c.is_whitespace())
}

/// The columns every kind of data has.
struct RowParts {
    texts: Vec<String>,
    labels: Vec<bool>,
    ids: Option<Vec<String>>,
}

impl RowParts {
    fn zip(
        self,
        passages: Vec<Option<String>>,
        titles: Vec<Option<String>>,
        subjects: Vec<Option<String>>,
    ) -> Vec<Question> {
        let ids = self.ids.unwrap_or_else(|| (0..self.texts.len()).map(|row| row.to_string()).collect());
        let labelled = self.texts.into_iter().zip(self.labels).zip(ids);
        let context = passages.into_iter().zip(titles).zip(subjects);
        labelled
            .zip(context)
            .enumerate()
            .map(|(row, (((question, answer), question_id), ((passage, title), subject)))| Question {
                row: row as u64,
                question_id,
                passage,
                question,
                title,
                subject,
                answer,
            })
            .collect()
    }
}

fn label_column(table: &Table, hint: &'static str) -> Result<Column> {
    table.first_of(&LABELS).ok_or_else(|| missing(table, "`answer` or `label`", hint))
}

fn missing(table: &Table, column: &str, hint: &'static str) -> Error {
    Error::MissingColumns {
        path: table.path().to_owned(),
        missing: vec![column.to_owned()],
        found: table.names().to_vec(),
        hint,
    }
}

fn ids(table: &Table) -> Result<Option<Vec<String>>> {
    table.first_of(&IDS).map(|column| table.texts(&column)).transpose()
}

fn optional(table: &Table, names: &[&str]) -> Result<Vec<Option<String>>> {
    match table.first_of(names) {
        Some(column) => {
            let cells = table.cells(&column)?;
            Ok(cells.into_iter().map(|cell| cell.filter(|text| !text.is_empty())).collect())
        }
        None => Ok(vec![None; table.height()]),
    }
}

fn subjects_by_place(
    table: &Table,
    statements: &[String],
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Option<String>>> {
    if let Some(third) = after_statement_and_label(table.names()) {
        let cells = table.cells(&Column(third.to_owned()))?;
        let named = |(cell, statement): (&Option<String>, &String)| {
            cell.as_deref()
                .is_some_and(|subject| !subject.trim().is_empty() && statement.contains(subject.trim()))
        };
        if cells.iter().zip(statements).all(named) {
            warnings.push(Warning::SubjectByPosition { column: third.to_owned() });
            return Ok(cells);
        }
    }
    Ok(vec![None; table.height()])
}

fn after_statement_and_label(names: &[String]) -> Option<&str> {
    match names {
        [statement, label, third, ..] if statement == "statement" && label == "label" => Some(third),
        _ => None,
    }
}

/// Those of a file's columns that this module may ask for.
fn wanted_columns(names: &[String]) -> Vec<String> {
    let texts = ["question", "statement", "passage", "title"];
    let known = |name: &str| [&texts[..], &LABELS, &IDS, &SUBJECTS].concat().contains(&name);
    let third = after_statement_and_label(names);
    names.iter().filter(|name| known(name) || Some(name.as_str()) == third).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str, text: &str) -> Result<Dataset> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join(name);
        fs_err::write(&path, text).expect("writable");
        Dataset::load(path)
    }

    #[test]
    fn boolq_as_published_and_as_on_hugging_face() {
        let published = load(
            "dev.jsonl",
            "{\"question\":\"is it so\",\"title\":\"It\",\"answer\":true,\"passage\":\"P.\"}\n\
             {\"question\":\"is it\",\"title\":\"\",\"answer\":false,\"passage\":\"Q.\"}\n",
        )
        .expect("readable");
        assert_eq!((published.name.as_str(), published.kind), ("dev", Kind::Questions));
        let [first, second] = published.questions.as_slice() else { panic!("two rows") };
        assert_eq!((first.row, first.question_id.as_str(), first.answer), (0, "0", true));
        assert_eq!((first.passage.as_deref(), first.title.as_deref()), (Some("P."), Some("It")));
        assert_eq!((second.row, second.title.as_deref(), second.answer), (1, None, false));
        assert_eq!(published.true_share(), Some(0.5));

        let hub =
            load("v.csv", "question,passage,idx,label\nis it so,P.,77,1\nis it,Q.,78,0\n").expect("readable");
        assert_eq!(hub.questions.iter().map(|q| q.answer).collect::<Vec<_>>(), [true, false]);
        assert_eq!(hub.questions[0].question_id, "77");
        assert_eq!(hub.questions[0].row, 0, "idx stays the row, whatever the data calls it");
    }

    #[test]
    fn labels_in_many_spellings() {
        for (text, expected) in
            [("true", true), ("FALSE", false), ("Yes", true), ("no", false), ("1", true), ("0.0", false)]
        {
            let data = load("a.csv", &format!("question,answer\nq,{text}\n")).expect(text);
            assert_eq!(data.questions[0].answer, expected, "{text}");
        }
        let error = load("a.csv", "question,answer\nq,1\nr,-1\n").expect_err("not a boolean").to_string();
        assert!(error.contains("row 1") && error.contains("\"-1\"") && error.contains("hint: "), "{error}");
        assert!(matches!(load("a.csv", "question,answer\nq,\n"), Err(Error::Cell { row: 0, .. })));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = load("a.csv", "prompt,label\nq,1\n").expect_err("no question").to_string();
        assert!(error.contains("`question` or `statement`") && error.contains("prompt, label"), "{error}");
        let error = load("a.csv", "question,truth\nq,1\n").expect_err("no label").to_string();
        assert!(error.contains("`answer` or `label`") && error.contains("question, truth"), "{error}");
        let empty = load("a.jsonl", "{\"question\":\"q\",\"passage\":\" \",\"answer\":true}");
        assert!(
            matches!(empty, Err(Error::Cell { row: 0, ref column, .. }) if column == "passage"),
            "{empty:?}"
        );
        let absent = load("a.jsonl", "{\"question\":\"q\",\"answer\":true}\n{\"answer\":true}");
        assert!(
            matches!(absent, Err(Error::Cell { row: 1, ref column, .. }) if column == "question"),
            "{absent:?}"
        );
        let only_mark = load("a.csv", "question,answer\n\" ? ?\",1\n");
        assert!(matches!(only_mark, Err(Error::Cell { row: 0, .. })), "{only_mark:?}");
    }

    #[test]
    fn subjects_by_name_then_by_place() {
        let subject = |text: &str| {
            let data = load("s.csv", text).expect("readable");
            (data.questions[0].subject.clone(), data.warnings)
        };
        assert_eq!(subject("statement,label,city\ns,1,Oslo\n"), (Some("Oslo".into()), vec![]));
        assert_eq!(subject("statement,label,relation,subject\ns,1,r,Ada\n"), (Some("Ada".into()), vec![]));
        let by_place = Warning::SubjectByPosition { column: "company".into() };
        let companies = "statement,label,company\nAcme is in Oslo.,1,Acme\n";
        assert_eq!(subject(companies), (Some("Acme".into()), vec![by_place]));
        assert_eq!(subject("statement,label,agreement\nAcme is in Oslo.,1,high\n"), (None, vec![]));
        assert_eq!(subject("statement,label\ns,1\n"), (None, vec![]));
    }
}
