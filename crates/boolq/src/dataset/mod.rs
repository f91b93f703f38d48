//! Labeled data: yes/no questions, true/false statements, and any other rows with a label of two classes, read from
//! JSON, CSV or Parquet, packed by gzip or zstd or not.
//!
//! **Questions** have a column `question`, and often `passage` and `title`: BoolQ as published (JSON lines) and as on
//! Hugging Face. **Statements** have `statement`: the geometry-of-truth files. The label is in `answer` or `label`. A
//! column `question_id`, `qid`, `id` or `idx` is the rows' own id. [`DatasetOptions`] names other columns, and the
//! class that counts as positive. All other columns are there for templates.

mod agreement;
mod cells;
mod choices;
mod classes;
mod csv;
mod encoding;
mod fields;
mod folder;
mod format;
mod json;
mod kept;
mod label;
mod limits;
mod options;
mod parquet;
mod rows;
mod source;
mod table;
mod texts;

pub(crate) use agreement::warnings as agreement;
pub(crate) use fields::Fields;
pub(crate) use format::stem;
pub(crate) use kept::plain;
pub use options::DatasetOptions;
pub(crate) use table::{Column, Table};
pub use texts::texts;

use crate::columns::{DataColumns, KeepColumns};
use crate::error::Result;
use crate::groups::{self, About};
use crate::warning::Warning;
use classes::Sides;
use label::existing;
use minijinja::Value;
use minijinja::value::ValueKind;
use options::Answers;
use rows::{Rows, repeats, subjects_by_position};
use std::path::Path;
use std::sync::Arc;

/// A column that names what a row is about, in the order in which they are looked for.
const SUBJECTS: [&str; 4] = ["subject", "city", "entity", "n1"];
const IDS: [&str; 4] = ["question_id", "qid", "id", "idx"];
/// The names that templates may not take for the label.
pub(crate) const LABELS: [&str; 2] = ["answer", "label"];

/// What the rows of a data set are.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Yes/no questions, with or without a passage.
    Questions,
    /// Statements that are true or false.
    Statements,
    /// Labeled rows with neither: only templates that use their own columns fit.
    Rows,
}

/// One labeled row.
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
    /// The label: yes, or true; of classes with names, whether it is the positive one ([`Dataset::classes`]).
    pub answer: bool,
}

impl Question {
    /// What decides the row's group, where no column of groups does.
    pub(crate) fn about(&self) -> About<'_> {
        let text = self.passage.as_deref().or(self.subject.as_deref());
        About { title: self.title.as_deref(), text, prompt: None }
    }
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
    /// The rows that have a label, in the file's order.
    pub questions: Vec<Question>,
    /// What the reader had to assume.
    pub warnings: Vec<Warning>,
    /// What the plus and the minus answer stand for, where the label's classes have names.
    pub classes: Option<[String; 2]>,
    /// Rows of the file without a usable label, which were left out ([`DatasetOptions::skip_unlabeled`]).
    pub unlabeled: usize,
    /// The label's column, which no template sees.
    pub(crate) label: String,
    /// What the two prompts of a pair stand for, by the rows of the file.
    sides: Vec<Option<Sides>>,
    /// Whether rows have choices of their own, which are the answers of plain templates.
    by_choices: bool,
    /// The columns for templates.
    pub(crate) fields: Fields,
    /// The texts that rows share which must stay together, by the rows of the file, where a column of them was named.
    groups: Option<Vec<Option<String>>>,
    /// The columns that stay with the rows' pairs.
    kept: Arc<[String]>,
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
            classes: None,
            unlabeled: 0,
            label: "label".to_owned(),
            sides: Vec::new(),
            by_choices: false,
            fields: Fields::default(),
            groups: None,
            kept: Arc::default(),
        }
    }

    /// Reads a data file with all its columns. The format comes from the contents and the extension (`.jsonl`,
    /// `.ndjson`, `.json`; `.csv`, `.tsv`; `.parquet`), and what gzip or zstd packed is unpacked.
    ///
    /// The subject is the column `subject`, `city`, `entity` or `n1`, whichever is found first. Without these, a
    /// table that begins with `statement,label` has its subject in the third column, as geometry-of-truth files do,
    /// if every statement contains it; [`Warning::SubjectByPosition`] then says so. Numbers of `larger_than` are
    /// spelled out in the statements, which is why `n1` is looked for by name.
    ///
    /// [`DatasetOptions`] reads files whose columns are called otherwise, or whose classes are.
    ///
    /// # Errors
    /// Bad lines, missing columns, two columns that could be the label, classes of which none is known to be the
    /// positive one, rows without a label, and empty or missing questions and passages, each with its place; a file
    /// without rows; a file or a table larger than is believable.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        read(path.as_ref(), &DatasetOptions::new())
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

    /// The row's group, where a column of groups was named.
    pub(crate) fn own_group(&self, question: &Question) -> Option<String> {
        let group = self.groups.as_ref()?.get(usize::try_from(question.row).ok()?)?;
        group.as_deref().map(groups::of_column)
    }

    /// The names of the columns that stay with the rows' pairs.
    pub fn kept_columns(&self) -> &[String] {
        &self.kept
    }

    /// The row's values in these columns.
    pub(crate) fn columns(&self, question: &Question) -> DataColumns {
        let value = |name: &String| kept::plain(self.fields.any(name, question.row)).ok().flatten();
        DataColumns::of(Arc::clone(&self.kept), self.kept.iter().map(value).collect())
    }

    /// What the plus and the minus prompt of a row stand for: label 1 and 0, or the two classes.
    pub(crate) fn sides(&self, question: &Question) -> Sides {
        let row = usize::try_from(question.row).unwrap_or(usize::MAX);
        self.sides.get(row).cloned().flatten().unwrap_or_default()
    }

    /// The plus and the minus answer of a row with choices of its own.
    pub(crate) fn choices(&self, question: &Question) -> Option<[String; 2]> {
        self.by_choices.then(|| self.sides(question).names).flatten()
    }

    /// The share of rows whose label is true; `None` without rows.
    pub fn true_share(&self) -> Option<f64> {
        let rows = self.questions.len();
        let trues = self.questions.iter().filter(|q| q.answer).count();
        (rows > 0).then(|| trues as f64 / rows as f64)
    }
}

fn read(path: &Path, options: &DatasetOptions) -> Result<Dataset> {
    let table = Table::open(path)?;
    let named = |column: &Option<String>, role| {
        column.as_deref().map(|column| existing(&table, column, role)).transpose()
    };
    let (own_id, group) = (named(&options.id, "id")?, named(&options.group, "group")?);
    let (kind, text) = text_column(&table, named(&options.text, "text")?);
    let labels = label::read(&table, options)?;
    let rows = Rows {
        kind,
        text: text.clone(),
        id: own_id.or_else(|| scalars(&table, &IDS).filter(|column| column.0 != labels.column)),
        passage: scalars(&table, &["passage"]),
        title: scalars(&table, &["title"]),
        subject: scalars(&table, &SUBJECTS),
        table: &table,
    };
    let kept = labels.answers();
    let mut questions =
        kept.iter().map(|(row, answer)| rows.question(*row, *answer)).collect::<Result<Vec<_>>>()?;
    let mut warnings = Vec::new();
    if rows.subject.is_none() && rows.passage.is_none() {
        warnings.extend(subjects_by_position(&table, &mut questions));
    }
    let groups = group.map(|column| groups_in(&table, &column, &labels.sides)).transpose()?;
    warnings.extend(repeats(&table, &questions, kind, &rows, &labels));
    warnings.extend(of_templates(&table, &labels, &options.templates));
    let own =
        [&rows.text, &rows.id, &rows.passage, &rows.title].into_iter().flatten().map(|column| &column.0);
    let used: Vec<&str> = own.chain([&labels.column]).chain(&labels.hidden).map(String::as_str).collect();
    let (columns, left_out) = kept_columns(&table, &kept, &used, &options.keep)?;
    warnings.extend(left_out);
    let text = text.map_or_else(|| "statement".to_owned(), |column| column.0);
    let held = [&rows.passage, &rows.title].into_iter().flatten().map(|column| column.0.clone());
    // Columns that templates get by other ways.
    let mut taken: Vec<String> = held.chain([labels.column.clone()]).chain(labels.hidden.clone()).collect();
    if ["question", "statement"].contains(&text.as_str()) {
        taken.push(text.clone());
    }
    let taken: Vec<&str> = taken.iter().map(String::as_str).collect();
    let other = if kind == Kind::Questions { "statement" } else { "question" };
    let alias = (options.text.is_some()).then_some((other, text.as_str()));
    Ok(Dataset {
        identity: table.identity().to_owned(),
        warnings,
        classes: labels.names.clone(),
        unlabeled: labels.sides.len() - kept.len(),
        groups,
        kept: columns.into(),
        fields: Fields::of(table, &taken, alias),
        label: labels.column,
        by_choices: labels.by_choices,
        sides: labels.sides,
        ..Dataset::new(stem(path), kind, questions)
    })
}

/// The columns that go along with the rows `kept`; those `used` otherwise only where they are named.
fn kept_columns(
    table: &Table,
    kept: &[(usize, bool)],
    used: &[&str],
    keep: &KeepColumns,
) -> Result<(Vec<String>, Option<Warning>)> {
    let names = match keep {
        KeepColumns::Nothing => return Ok((Vec::new(), None)),
        KeepColumns::Named(names) => {
            names.iter().map(|name| Ok(existing(table, name, "columns to keep")?.0)).collect::<Result<_>>()?
        }
        KeepColumns::Short => {
            let free = |name: &&String| !used.contains(&name.as_str()) && !kept::is_index(name);
            table.names().iter().filter(free).cloned().collect()
        }
    };
    let asked = *keep != KeepColumns::Short;
    Ok(kept::choose(names, asked, |name| kept.iter().map(|(row, _)| table.get(name, *row)).collect()))
}

/// The group of each row that has a label.
fn groups_in(table: &Table, column: &Column, sides: &[Option<Sides>]) -> Result<Vec<Option<String>>> {
    let text =
        |(row, sides): (usize, &Option<Sides>)| sides.as_ref().map(|_| table.text(column, row)).transpose();
    sides.iter().enumerate().map(text).collect()
}

/// What the rows are, and the column of the questions or statements.
fn text_column(table: &Table, named: Option<Column>) -> (Kind, Option<Column>) {
    if let Some(column) = named {
        let asks =
            |row| table.cell(&column, row).ok().flatten().is_some_and(|text| text.trim_end().ends_with('?'));
        let questions = match column.0.as_str() {
            "question" => true,
            "statement" => false,
            _ => table.has("passage") || (0..table.height()).any(asks),
        };
        return (if questions { Kind::Questions } else { Kind::Statements }, Some(column));
    }
    match (scalars(table, &["question"]), scalars(table, &["statement"])) {
        (Some(question), _) => (Kind::Questions, Some(question)),
        (None, Some(statement)) => (Kind::Statements, Some(statement)),
        (None, None) => (Kind::Rows, None),
    }
}

/// The first of `names` that is a column of texts, numbers or booleans: lists and objects are for templates alone.
fn scalars(table: &Table, names: &[&str]) -> Option<Column> {
    let nested =
        |value: &Value| !matches!(value.kind(), ValueKind::String | ValueKind::Number | ValueKind::Bool);
    let is_scalar = |name: &&&str| {
        let mut values =
            (0..table.height()).filter_map(|row| table.get(name, row)).filter(|value| !value.is_none());
        !values.any(nested)
    };
    names.iter().filter(|name| table.has(name)).find(is_scalar).map(|name| Column((*name).to_owned()))
}

/// The question without white space and question marks at its end: templates write the one `?` themselves.
pub(crate) fn without_question_mark(question: &str) -> &str {
    question.trim_start().trim_end_matches(|c: char| c == '?' || c.is_whitespace())
}

/// What the templates and the label's column make of each other.
fn of_templates(table: &Table, labels: &label::Labels, templates: &[Answers]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for answers in templates {
        let Answers::Are(plus, minus) = answers else { continue };
        if table.has("answer")
            && labels.column != "answer"
            && !labels.hidden.iter().any(|name| name == "answer")
        {
            warnings.push(Warning::AnswerColumn { label: labels.column.clone() });
        }
        if labels.names.is_none()
            && label::boolean(plus) == Some(false)
            && label::boolean(minus) == Some(true)
        {
            warnings.push(Warning::AnswersReversed { plus: plus.clone(), minus: minus.clone() });
        }
    }
    warnings.dedup();
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

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
        assert!(error.contains("row 1") && error.contains("\"-1\""), "{error}");
        assert!(matches!(load("a.csv", "question,answer\nq,\n"), Err(Error::Unlabeled { row: 0, .. })));
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
    fn subjects_by_name_then_by_position() {
        let subject = |text: &str| {
            let data = load("s.csv", text).expect("readable");
            (data.questions[0].subject.clone(), data.warnings)
        };
        assert_eq!(subject("statement,label,city\ns,1,Oslo\n"), (Some("Oslo".into()), vec![]));
        assert_eq!(subject("statement,label,relation,subject\ns,1,r,Ada\n"), (Some("Ada".into()), vec![]));
        let by_position = Warning::SubjectByPosition { column: "company".into() };
        let companies = "statement,label,company\nAcme is in Oslo.,1,Acme\n";
        assert_eq!(subject(companies), (Some("Acme".into()), vec![by_position]));
        assert_eq!(subject("statement,label,agreement\nAcme is in Oslo.,1,high\n"), (None, vec![]));
        assert_eq!(subject("statement,label\ns,1\n"), (None, vec![]));
    }
}
