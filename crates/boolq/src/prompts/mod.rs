//! `prompts.csv`: contrast pairs, or single statements, as a table, written and read with polars.
//!
//! The columns are llama-ccs' four, `idx,plus_prompt,minus_prompt,label`, then `question_id,group,template,dataset`, and
//! `plus_answer,minus_answer`, where the answer stands in each prompt: `START:END` in Unicode code points, so that
//! Python's `prompt[START:END]` is the answer. Labels are `True` and `False`, which pandas reads as booleans. Prompts hold
//! newlines inside quotes. Further columns of the data follow, as `data.NAME` ([`DATA`]). Files with llama-ccs' four columns
//! alone are read too. Where a chat template rendered the prompts, `chat` ([`CHAT`]) names it by its hash: such text is
//! tokenized as it stands, because BOS and the other control tokens are written in it.
//!
//! Single statements have one prompt a row and no answer: `idx,prompt,label,question_id,group,template,dataset`
//! ([`STATEMENT_COLUMNS`]), and `data.NAME`. [`read_any`] tells the two apart by their columns.

mod further;
mod spans;
mod statements;

pub use statements::{STATEMENT_COLUMNS, read_statements, write_statements};

pub use further::DATA;

use crate::answer::AnswerSpans;
use crate::dataset::{Column, Table, stem};
use crate::error::{Error, Result, quoted};
use crate::example::{Example, both_labels, group_warnings};
use crate::groups::{self, About, Groups};
use crate::pair::{ContrastPair, Pairs, around_answer};
use crate::statement::Statements;
use polars::prelude::{Column as Series, CsvWriter, DataFrame, PolarsError, SerWriter};
use std::collections::HashSet;
use std::path::Path;

/// The columns of a prompts file, in order. The first four are llama-ccs'.
pub const COLUMNS: [&str; 10] = [
    "idx",
    "plus_prompt",
    "minus_prompt",
    "label",
    "question_id",
    "group",
    "template",
    "dataset",
    spans::PLUS,
    spans::MINUS,
];

/// What the two answers stand for: columns of a file whose pairs are all of classes with names.
pub const CLASSES: [&str; 2] = ["plus_class", "minus_class"];

/// Which chat template rendered the prompts: a column of a file whose prompts are chats.
pub const CHAT: &str = "chat";

/// The template of pairs from a file that does not name it.
pub const UNKNOWN_TEMPLATE: &str = "unknown";

/// Writes pairs to a CSV file, replacing what is there. The file is never there in part.
///
/// # Errors
/// Empty text in any column (pandas would read it as missing), answers that are not where a pair says
/// ([`Error::AnswerSpan`]), and what the file system refuses.
pub fn write<'a>(path: impl AsRef<Path>, pairs: impl IntoIterator<Item = &'a ContrastPair>) -> Result<()> {
    let path = path.as_ref();
    let pairs: Vec<&ContrastPair> = pairs.into_iter().collect();
    for pair in &pairs {
        let texts = [
            ("plus_prompt", &pair.plus_prompt),
            ("minus_prompt", &pair.minus_prompt),
            ("question_id", &pair.question_id),
            ("group", &pair.group),
            ("template", &pair.template),
            ("dataset", &pair.dataset),
        ];
        if let Some((column, _)) = texts.into_iter().find(|(_, text)| text.trim().is_empty()) {
            return Err(Error::EmptyField { idx: pair.idx, column });
        }
        if pair.chat.is_some() != pairs.first().is_some_and(|first| first.chat.is_some()) {
            return Err(Error::EmptyField { idx: pair.idx, column: CHAT });
        }
        let checked = pair.answers.check(&pair.plus_prompt, &pair.minus_prompt);
        checked.map_err(|fault| Error::AnswerSpan { idx: pair.idx, fault })?;
    }
    let csv = to_csv(&pairs).map_err(|e| Error::Table {
        path: path.to_owned(),
        format: "CSV",
        reason: e.to_string(),
        hint: "this is a defect: the pairs themselves are fine",
    })?;
    Ok(host::files::replace(path, &csv)?)
}

fn to_csv(pairs: &[&ContrastPair]) -> Result<Vec<u8>, PolarsError> {
    // In the order of COLUMNS.
    let text = |name: &str, of: fn(&ContrastPair) -> &str| {
        Series::new(name.into(), pairs.iter().map(|pair| of(pair)).collect::<Vec<&str>>())
    };
    let made = |name: &str, of: fn(&ContrastPair) -> String| {
        Series::new(name.into(), pairs.iter().map(|pair| of(pair)).collect::<Vec<String>>())
    };
    let mut frame = DataFrame::new(
        pairs.len(),
        vec![
            Series::new("idx".into(), pairs.iter().map(|pair| pair.idx).collect::<Vec<u64>>()),
            text("plus_prompt", |pair| &pair.plus_prompt),
            text("minus_prompt", |pair| &pair.minus_prompt),
            text("label", |pair| if pair.label { "True" } else { "False" }),
            text("question_id", |pair| &pair.question_id),
            text("group", |pair| &pair.group),
            text("template", |pair| &pair.template),
            text("dataset", |pair| &pair.dataset),
            made(spans::PLUS, |pair| spans::to_text(&pair.plus_prompt, &pair.answers.plus)),
            made(spans::MINUS, |pair| spans::to_text(&pair.minus_prompt, &pair.answers.minus)),
        ],
    )?;
    for (name, side) in CLASSES.into_iter().zip([0, 1]) {
        let of = |pair: &&ContrastPair| Some(pair.classes.as_ref()?.get(side)?.clone());
        if let Some(classes) = pairs.iter().map(of).collect::<Option<Vec<String>>>() {
            frame.with_column(Series::new(name.into(), classes))?;
        }
    }
    if let Some(chats) = pairs.iter().map(|pair| pair.chat.as_deref()).collect::<Option<Vec<&str>>>() {
        frame.with_column(Series::new(CHAT.into(), chats))?;
    }
    for column in further::to_series(pairs.iter().map(|pair| &pair.columns)) {
        frame.with_column(column)?;
    }
    let mut csv = Vec::new();
    CsvWriter::new(&mut csv).finish(&mut frame)?;
    Ok(csv)
}

/// What a prompts file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompts {
    /// Contrast pairs.
    Pairs(Pairs),
    /// Single statements.
    Statements(Statements),
}

/// Reads a prompts file: of pairs where it has `plus_prompt` and `minus_prompt`, else of single statements where it has
/// `prompt`.
///
/// # Errors
/// A file of statements with a column of pairs; as [`read`] and [`read_statements`].
pub fn read_any(path: impl AsRef<Path>) -> Result<Prompts> {
    let path = path.as_ref();
    let table = Table::open(path)?;
    if statements::are_in(path, &table)? {
        statements::of_table(path, &table).map(Prompts::Statements)
    } else {
        pairs_of(path, &table).map(Prompts::Pairs)
    }
}

/// Reads a prompts file of pairs: this crate's, or one with llama-ccs' four columns.
///
/// Columns that are missing after those four are filled in: `question_id` is `idx`, `dataset` the file's name,
/// `template` [`UNKNOWN_TEMPLATE`], and `group` that of the text before the answer and its near duplicates, with
/// [`Warning::GroupFromPrompt`](crate::Warning::GroupFromPrompt). Without `plus_answer` and `minus_answer` the answers
/// are the words in which the two prompts differ, with [`Warning::AnswersUnknown`](crate::Warning::AnswersUnknown)
/// where they may be more. Columns called `data.NAME` are the pairs' further columns; others are ignored.
///
/// # Errors
/// The file, row and column at fault: missing columns, empty cells, an `idx` that is no whole number, a label that
/// is no boolean, a pair that stands twice in the file, prompts without an answer, and answers that are not where the
/// file says.
pub fn read(path: impl AsRef<Path>) -> Result<Pairs> {
    let path = path.as_ref();
    let table = Table::open(path)?;
    if statements::are_in(path, &table)? {
        return Err(Error::SingleStatements { path: path.to_owned() });
    }
    pairs_of(path, &table)
}

fn pairs_of(path: &Path, table: &Table) -> Result<Pairs> {
    refuse_missing(path, table, &COLUMNS[..4])?;
    let optional = |name: &str| optional(table, name);
    let plus = table.texts(&column("plus_prompt"))?;
    let minus = table.texts(&column("minus_prompt"))?;
    let labels = table.booleans(&column("label"))?;
    let idxs = whole_numbers(table, "idx")?;
    let Named { ids, templates, datasets } = named(path, table, &idxs)?;
    let said = table.has(spans::PLUS) || table.has(spans::MINUS);
    let answers = if said {
        refuse_missing(path, table, &[spans::PLUS, spans::MINUS])?;
        spans::read(table, &plus, &minus)?
    } else {
        spans::differing(table, &plus, &minus)?
    };
    let (groups, guessed, large) = if let Some(groups) = optional("group")? {
        (groups, 0, None)
    } else {
        let guessed = guessed(&plus, &answers)?;
        (guessed.names, table.height(), guessed.warning)
    };

    let classes = classes(optional(CLASSES[0])?, optional(CLASSES[1])?, table.height());
    let classes = classes.into_iter().zip(chats(table)?).zip(further::read(table)?);
    let prompts = idxs.into_iter().zip(plus.into_iter().zip(minus)).zip(labels.into_iter().zip(answers));
    let names = ids.into_iter().zip(groups).zip(templates.into_iter().zip(datasets)).zip(classes);
    let pair = |(
        (prompts, (label, answers)),
        (((question_id, group), (template, dataset)), ((classes, chat), columns)),
    )| {
        let (idx, (plus_prompt, minus_prompt)) = prompts;
        let (label, question_id): (bool, String) = (label, question_id);
        ContrastPair {
            idx,
            plus_prompt,
            minus_prompt,
            answers,
            label,
            question_id,
            group,
            template,
            dataset,
            classes,
            chat,
            columns,
        }
    };
    let pairs: Vec<_> = prompts.zip(names).map(pair).collect();
    refuse_duplicates(path, &pairs)?;
    let mut warnings = group_warnings(&pairs, guessed, large);
    warnings.extend(if said { spans::doubtful(&pairs) } else { spans::unknown(&pairs) });
    warnings.extend(both_labels(&pairs));
    Ok(Pairs { pairs, warnings })
}

/// Which chat template rendered each row.
fn chats(table: &Table) -> Result<Vec<Option<String>>> {
    let said = optional(table, CHAT)?;
    Ok(said.map_or_else(|| vec![None; table.height()], |chats| chats.into_iter().map(Some).collect()))
}

/// The cells of a column, if there is one.
fn optional(table: &Table, name: &str) -> Result<Option<Vec<String>>> {
    table.first_of(&[name]).map(|column| table.texts(&column)).transpose()
}

/// Columns that are filled in where a file lacks them.
struct Named {
    ids: Vec<String>,
    templates: Vec<String>,
    datasets: Vec<String>,
}

fn named(path: &Path, table: &Table, idxs: &[u64]) -> Result<Named> {
    let filled = |name: &str, default: &dyn Fn() -> Vec<String>| {
        Ok::<_, Error>(optional(table, name)?.unwrap_or_else(default))
    };
    let all = |text: String| vec![text; table.height()];
    Ok(Named {
        ids: filled("question_id", &|| idxs.iter().map(u64::to_string).collect())?,
        templates: filled("template", &|| all(UNKNOWN_TEMPLATE.to_owned()))?,
        datasets: filled("dataset", &|| all(stem(path)))?,
    })
}

/// The groups of prompts, by what is around their answers.
fn guessed(plus: &[String], answers: &[AnswerSpans]) -> Result<Groups> {
    let about = plus.iter().zip(answers).map(|(prompt, answers)| {
        let before = prompt.get(..answers.plus.start).unwrap_or_default();
        let after = prompt.get(answers.plus.end..).unwrap_or_default();
        About { prompt: Some(around_answer(before, after)), ..About::default() }
    });
    groups::of(&about.collect::<Vec<_>>())
}

/// What the answers of each pair stand for, if the file says it of both.
fn classes(plus: Option<Vec<String>>, minus: Option<Vec<String>>, rows: usize) -> Vec<Option<[String; 2]>> {
    match (plus, minus) {
        (Some(plus), Some(minus)) => {
            plus.into_iter().zip(minus).map(|(plus, minus)| Some([plus, minus])).collect()
        }
        _ => vec![None; rows],
    }
}

fn refuse_missing(path: &Path, table: &Table, needed: &[&str]) -> Result<()> {
    let missing: Vec<String> = needed.iter().filter(|n| !table.has(n)).map(|n| format!("`{n}`")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::MissingColumns {
        path: path.to_owned(),
        missing,
        found: table.names().to_vec(),
        hint: if needed.contains(&spans::PLUS) {
            "the answers of both prompts are needed, or of none: then the words that differ are taken for them"
        } else {
            "a prompts file is what `llama-ccs prompts` writes; data files are read by that command"
        },
    })
}

fn column(name: &str) -> Column {
    Column(name.to_owned())
}

fn whole_numbers(table: &Table, name: &str) -> Result<Vec<u64>> {
    let texts = table.texts(&column(name))?;
    texts
        .iter()
        .enumerate()
        .map(|(row, text)| {
            text.trim().parse().map_err(|_| {
                let hint = "idx is the row in the data file, counted from 0";
                table.cell_error(row, &column(name), quoted(text), "a whole number", hint)
            })
        })
        .collect()
}

fn refuse_duplicates<E: Example>(path: &Path, examples: &[E]) -> Result<()> {
    let mut seen = HashSet::new();
    for (origin, row) in examples.iter().map(Example::origin).zip(0..) {
        if !seen.insert((origin.idx, origin.template, origin.dataset)) {
            let (idx, template) = (origin.idx, origin.template.to_owned());
            return Err(Error::DuplicatePair { path: path.to_owned(), row, idx, template });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warning::Warning;

    fn read_text(text: &str) -> Result<Pairs> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("seed.csv");
        fs_err::write(&path, text).expect("writable");
        read(path)
    }

    const FOUR: &str = "idx,plus_prompt,minus_prompt,label\n";

    #[test]
    fn four_columns_are_filled_up() {
        let text =
            format!(",{FOUR}0,0,\"P \n\nQ? True\",\"P \n\nQ? False\",True\n1,1,P Q? True,P Q? False,False\n");
        let read = read_text(&text).expect("readable");
        let [first, second] = read.pairs.as_slice() else { panic!("two pairs") };
        assert_eq!((first.plus_prompt.as_str(), first.label), ("P \n\nQ? True", true));
        assert_eq!((first.question_id.as_str(), first.template.as_str()), ("0", UNKNOWN_TEMPLATE));
        assert_eq!(first.dataset, "seed");
        assert_eq!(first.group, second.group);
        assert!(!second.label);
        assert_eq!(read.warnings, [Warning::GroupFromPrompt { pairs: 2 }, Warning::SingleGroup { pairs: 2 }]);
    }

    #[test]
    fn errors_name_row_and_column() {
        let cell = |rows: &str| match read_text(&format!("{FOUR}0,a True,a False,True\n{rows}")) {
            Err(Error::Cell { path, row, column, .. }) => {
                assert!(path.ends_with("seed.csv"));
                (row, column)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(cell("x,b True,b False,True\n"), (1, "idx".into()));
        assert_eq!(cell("-1,b True,b False,True\n"), (1, "idx".into()));
        assert_eq!(cell("1,,b False,True\n"), (1, "plus_prompt".into()));
        assert_eq!(cell("1,b True,\" \",True\n"), (1, "minus_prompt".into()));
        assert_eq!(cell("1,b True,b True,True\n"), (1, "minus_prompt".into()));
        assert_eq!(cell("1,b True,b False,maybe\n"), (1, "label".into()));
        assert_eq!(cell("1,b True,b False\n"), (1, "label".into()), "a short row");
        let long = read_text(&format!("{FOUR}0,a True,a False,True,more\n"));
        assert!(matches!(long, Err(Error::Line { line: 2, .. })), "{long:?}");
        let twice = read_text(&format!("{FOUR}7,a True,a False,True\n7,b True,b False,True\n"));
        assert!(matches!(twice, Err(Error::DuplicatePair { row: 1, idx: 7, .. })), "{twice:?}");
        let Err(Error::MissingColumns { missing, .. }) = read_text("idx,text,label\n0,a,1\n") else {
            panic!("columns are missing")
        };
        assert_eq!(missing, ["`plus_prompt`", "`minus_prompt`"]);
    }

    #[test]
    fn empty_text_is_not_written() {
        let pair = ContrastPair {
            idx: 3,
            plus_prompt: "a True".into(),
            minus_prompt: "a False".into(),
            answers: AnswerSpans { plus: 2..6, minus: 2..7 },
            label: true,
            question_id: "3".into(),
            group: String::new(),
            template: "t".into(),
            dataset: "d".into(),
            classes: None,
            chat: None,
            columns: crate::DataColumns::default(),
        };
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("p.csv");
        assert!(matches!(write(&path, [&pair]), Err(Error::EmptyField { idx: 3, column: "group" })));
        assert!(!path.exists());

        // What is there is replaced as a whole or not at all, and no temporary file stays.
        let whole = ContrastPair { group: "g".into(), ..pair.clone() };
        fs_err::write(&path, "old").expect("writable");
        assert!(write(&path, [&pair]).is_err());
        assert_eq!(fs_err::read_to_string(&path).expect("readable"), "old");
        write(&path, [&whole]).expect("writes");
        assert_eq!(read(&path).expect("readable").pairs, std::slice::from_ref(&whole));
        fs_err::create_dir(dir.path().join("folder")).expect("writable");
        assert!(write(dir.path().join("folder"), [&whole]).is_err());
        assert_eq!(fs_err::read_dir(dir.path()).expect("readable").count(), 2);
    }
}
