//! Labelled data: yes/no questions, true/false statements, and any other rows with a boolean label, read from JSONL,
//! CSV or Parquet.
//!
//! **Questions** have a column `question`, and often `passage` and `title`: BoolQ as published (JSONL) and as on
//! Hugging Face. **Statements** have `statement`: the geometry-of-truth files. The label is in `answer` or `label`.
//! A column `question_id`, `qid`, `id` or `idx` is the rows' own id. All other columns that hold text, numbers or
//! booleans are there for templates.

mod fields;
mod table;

pub(crate) use fields::Fields;
use table::Plain;
pub(crate) use table::{Column, Format, Table};

use crate::error::{Error, Result, quoted};
use crate::template::Template;
use crate::warning::Warning;
use std::path::Path;

/// A column that names what a row is about, in the order in which they are looked for.
const SUBJECTS: [&str; 4] = ["subject", "city", "entity", "n1"];
const IDS: [&str; 4] = ["question_id", "qid", "id", "idx"];
pub(crate) const LABELS: [&str; 2] = ["answer", "label"];

/// What the rows of a data set are.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Yes/no questions, with or without a passage.
    Questions,
    /// Statements that are true or false.
    Statements,
    /// Labelled rows with neither: only templates that use their own columns fit.
    Rows,
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
    /// The question; the statement in a data set of [`Kind::Statements`]; empty in one of [`Kind::Rows`].
    pub question: String,
    /// The title of the passage's page.
    pub title: Option<String>,
    /// What a row without a passage is about: rows with the same subject stay together in splits.
    pub subject: Option<String>,
    /// The label: yes, or true.
    pub answer: bool,
}

/// A data file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// The file's name without its extension.
    pub name: String,
    /// blake3 of the file's bytes, in hex; empty for rows that come from no file.
    pub identity: String,
    /// Questions, statements or other rows.
    pub kind: Kind,
    /// The rows, in the file's order.
    pub questions: Vec<Question>,
    /// What the reader had to assume.
    pub warnings: Vec<Warning>,
    /// The columns for templates.
    pub(crate) fields: Fields,
}

impl Dataset {
    /// Rows made in memory, with no columns for templates besides `passage`, `title` and `question` or `statement`.
    pub fn new(name: impl Into<String>, kind: Kind, questions: Vec<Question>) -> Self {
        Self {
            name: name.into(),
            identity: String::new(),
            kind,
            questions,
            warnings: Vec::new(),
            fields: Fields::default(),
        }
    }

    /// Reads a data file with all its columns of text, numbers and booleans. The format comes from the extension
    /// (`.jsonl`, `.ndjson`, `.json` with one object a line; `.csv`; `.parquet`), else from the contents.
    ///
    /// The subject is the column `subject`, `city`, `entity` or `n1`, whichever is found first. Without these, a
    /// table that begins with `statement,label` has its subject in the third column, as geometry-of-truth files do,
    /// if every statement contains it; [`Warning::SubjectByPosition`] then says so. Numbers of `larger_than` are
    /// spelled out in the statements, which is why `n1` is looked for by name.
    ///
    /// # Errors
    /// Bad lines, missing columns, labels that are not boolean, and empty or missing questions and passages, each
    /// with its place; a file without rows.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        read(path.as_ref(), &|_| true)
    }

    /// Like [`load`](Self::load): which columns templates use is only known when they are rendered.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_for(path: impl AsRef<Path>, templates: &[Template]) -> Result<Self> {
        let _ = templates;
        Self::load(path)
    }

    /// Whether the rows, or some of them, have one of the four texts that a [`Question`] holds.
    pub(crate) fn has(&self, text: &str) -> bool {
        match text {
            "question" => self.kind == Kind::Questions,
            "statement" => self.kind == Kind::Statements,
            "passage" => self.questions.iter().any(|q| q.passage.is_some()),
            _ => self.questions.iter().any(|q| q.title.is_some()),
        }
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

fn read(path: &Path, keep: &dyn Fn(&str) -> bool) -> Result<Dataset> {
    let bytes = fs_err::read(path)?;
    let wanted = |name: &str, plain: Plain| is_known(name) || plain.0;
    let table = Table::parse(path, &bytes, Format::of(path, &bytes)?, &wanted)?;
    let label = label_column(&table)?;
    let (kind, texts) = texts(&table)?;
    let passages = match table.first_of(&["passage"]) {
        Some(column) => Some(table.texts(&column)?),
        None => None,
    };
    let mut warnings = Vec::new();
    let subjects = match passages {
        Some(_) => vec![None; table.height()],
        None => subjects(&table, kind, &texts, &mut warnings)?,
    };
    let rows = RowParts {
        texts,
        labels: table.booleans(&label)?,
        ids: ids(&table)?,
        passages: passages.map_or_else(|| vec![None; table.height()], |p| p.into_iter().map(Some).collect()),
        titles: optional(&table, &["title"])?,
        subjects,
    };
    let text = match kind {
        Kind::Questions => "question",
        _ => "statement",
    };
    let taken = [&[text, "passage", "title"][..], &LABELS].concat();
    Ok(Dataset {
        identity: blake3::hash(&bytes).to_hex().to_string(),
        warnings,
        fields: Fields::of(&table, &taken, keep)?,
        ..Dataset::new(stem(path), kind, rows.zip())
    })
}

/// What the rows are, and the questions or statements.
fn texts(table: &Table) -> Result<(Kind, Vec<String>)> {
    if let Some(question) = table.first_of(&["question"]) {
        let questions = table.texts(&question)?;
        for (row, text) in questions.iter().enumerate() {
            if without_question_mark(text).is_empty() {
                return Err(table.cell_error(row, &question, quoted(text), "a question", "remove the row"));
            }
        }
        return Ok((Kind::Questions, questions));
    }
    match table.first_of(&["statement"]) {
        Some(statement) => Ok((Kind::Statements, table.texts(&statement)?)),
        None => Ok((Kind::Rows, vec![String::new(); table.height()])),
    }
}

fn subjects(
    table: &Table,
    kind: Kind,
    texts: &[String],
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Option<String>>> {
    match table.first_of(&SUBJECTS) {
        Some(column) if kind == Kind::Statements => Ok(table.texts(&column)?.into_iter().map(Some).collect()),
        Some(_) => optional(table, &SUBJECTS),
        None => subjects_by_place(table, texts, warnings),
    }
}

/// The question without white space and question marks at its end: templates write the one `?` themselves.
pub(crate) fn without_question_mark(question: &str) -> &str {
    question.trim_start().trim_end_matches(|c: char| c == '?' || c.is_whitespace())
}

/// The rows, column by column.
struct RowParts {
    texts: Vec<String>,
    labels: Vec<bool>,
    ids: Option<Vec<String>>,
    passages: Vec<Option<String>>,
    titles: Vec<Option<String>>,
    subjects: Vec<Option<String>>,
}

impl RowParts {
    fn zip(self) -> Vec<Question> {
        let ids = self.ids.unwrap_or_else(|| (0..self.texts.len()).map(|row| row.to_string()).collect());
        let labelled = self.texts.into_iter().zip(self.labels).zip(ids);
        let context = self.passages.into_iter().zip(self.titles).zip(self.subjects);
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

fn label_column(table: &Table) -> Result<Column> {
    table.first_of(&LABELS).ok_or_else(|| Error::MissingColumns {
        path: table.path().to_owned(),
        missing: vec!["`answer` or `label`".to_owned()],
        found: table.names().to_vec(),
        hint: "every row needs its truth, as true/false, yes/no or 1/0; questions are in `question` (and \
               `passage`), statements in `statement`, and templates may use any other column",
    })
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
    let third = after_statement_and_label(table.names());
    if let Some(third) = third.filter(|third| table.is_plain(&Column((*third).to_owned()))) {
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

/// Whether this module asks for a column of that name itself.
fn is_known(name: &str) -> bool {
    let texts = ["question", "statement", "passage", "title"];
    [&texts[..], &LABELS, &IDS, &SUBJECTS].concat().contains(&name)
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
    fn other_rows_and_what_templates_see_of_them() {
        let data = load("a.csv", "text,label,city, \nq,1,Oslo,x\nr,0,,\n").expect("readable");
        assert_eq!(data.kind, Kind::Rows);
        assert_eq!(data.fields.names(), ["text", "city", " "]);
        let city = |row| data.fields.get("city", row).and_then(|value| value.as_str());
        assert_eq!((city(0), city(1), city(2)), (Some("Oslo"), None, None), "an empty cell is no value");
        let subjects: Vec<_> = data.questions.iter().map(|q| q.subject.as_deref()).collect();
        assert_eq!(subjects, [Some("Oslo"), None]);
        assert!(data.fields.get("label", 0).is_none(), "the truth is no variable");

        let statements = load("a.csv", "statement,passage,city,label\ns,P.,Oslo,1\n").expect("readable");
        assert_eq!(
            (statements.kind, statements.questions[0].passage.as_deref()),
            (Kind::Statements, Some("P."))
        );
        let both = load("a.csv", "question,statement,label\nq,s,1\n").expect("readable");
        assert_eq!((both.kind, both.fields.names()), (Kind::Questions, &["statement".to_owned()][..]));
    }

    #[test]
    fn every_column_is_kept_for_templates() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("a.csv");
        fs_err::write(&path, "text,more,label\nq,long,1\n").expect("writable");
        let template = Template::from_source("t", "{{ text }} {{ answer }}").expect("compiles");
        let data = Dataset::load_for(&path, &[template]).expect("readable");
        assert!(data.fields.get("text", 0).is_some() && data.fields.get("more", 0).is_some());
        assert_eq!(data.fields.names(), ["text", "more"], "for messages");
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
