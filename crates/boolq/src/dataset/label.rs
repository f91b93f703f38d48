//! Which column holds the label, and which of its values count as true.
//!
//! A label is chosen, not guessed: where two columns could be it and differ, or nothing says which class is the
//! positive one, that is an error.

use super::choices::{Choices, Fault, Named};
use super::classes::{self, Sides};
use super::options::DatasetOptions;
use super::table::{Column, Table};
use crate::error::{Error, Result, quoted};
use minijinja::Value;
use minijinja::value::ValueKind;

/// Columns that are the label by their names alone.
const LABELS: [&str; 2] = ["answer", "label"];
/// Columns that are called like a label: with values of a boolean they stand against one of [`LABELS`].
const LIKE_LABELS: [&str; 20] = [
    "labels",
    "target",
    "gold",
    "gold_label",
    "class",
    "y",
    "truth",
    "true",
    "is_true",
    "truth_value",
    "ground_truth",
    "groundtruth",
    "correct",
    "is_correct",
    "correctness",
    "verdict",
    "veracity",
    "answer_label",
    "bool_answer",
    "is_right",
];

/// The labels of a table.
#[derive(Debug)]
pub(super) struct Labels {
    /// The column that they are from.
    pub(super) column: String,
    /// Columns that say the same: no template may see them.
    pub(super) hidden: Vec<String>,
    /// For each row of the file; `None` where there is no usable label and such rows are left out.
    pub(super) sides: Vec<Option<Sides>>,
    /// The names of the two classes, where they have any and are the same in all rows.
    pub(super) names: Option<[String; 2]>,
    /// Whether rows have choices of their own, which are the answers.
    pub(super) by_choices: bool,
}

impl Labels {
    /// The rows that have a label, with it.
    pub(super) fn answers(&self) -> Vec<(usize, bool)> {
        self.sides.iter().enumerate().filter_map(|(row, sides)| Some((row, sides.as_ref()?.answer))).collect()
    }
}

/// `1.0` and `0.0` are what pandas makes of 1 and 0 in a column that once held a missing value.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" | "1.0" => Some(true),
        "false" | "no" | "0" | "0.0" => Some(false),
        _ => None,
    }
}

/// A label as text: whole numbers without a fraction, other text without white space around it. `None` is no label.
///
/// # Errors
/// What is neither text, number nor boolean.
pub(super) fn text_of(value: Option<&Value>) -> Result<Option<String>, String> {
    let Some(value) = value else { return Ok(None) };
    let text = match value.kind() {
        ValueKind::None | ValueKind::Undefined => return Ok(None),
        ValueKind::Bool => return Ok(Some(value.is_true().to_string())),
        ValueKind::String | ValueKind::Number => {
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        }
        _ => return Err(quoted(&value.to_string())),
    };
    let text = text.trim();
    let whole = text.parse::<f64>().ok().filter(|number| number.fract() == 0.0 && number.abs() < 1e15);
    Ok(match whole {
        Some(0.0) => Some("0".to_owned()),
        Some(number) => Some(format!("{number:.0}")),
        None if text.is_empty() => None,
        None => Some(text.to_owned()),
    })
}

/// Whether a text stands for a label that is not known: test sets on Hugging Face have -1.
pub(super) fn is_unlabeled(text: &str) -> bool {
    const WORDS: [&str; 13] = [
        "-1",
        "?",
        "-",
        "--",
        "na",
        "n/a",
        "<na>",
        "nan",
        "none",
        "null",
        "unlabeled",
        "unlabelled",
        "unknown",
    ];
    WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// Reads the labels of `table`.
///
/// # Errors
/// No label, two that differ, values that are not two classes, and rows without a label unless they are left out.
pub(super) fn read(table: &Table, options: &DatasetOptions) -> Result<Labels> {
    let (column, hidden) = match &options.label {
        Some(column) => (existing(table, column, "label")?.0, Vec::new()),
        None => choose(table)?,
    };
    if let Some(what) = table.unread(&column) {
        let hint = "write the label as text, numbers or booleans";
        return Err(table.cell_error(0, &Column(column), what.to_owned(), "a label", hint));
    }
    let values: Vec<Option<String>> = texts(table, &column)?;
    let choices = choices_of(table, &column, &values, options)?;
    let classes = match choices {
        Some(_) => None,
        None => Some(classes::of(table, &column, &values, options)?),
    };
    let mut sides = Vec::with_capacity(values.len());
    for (row, text) in values.iter().enumerate() {
        let of_row = match (text.as_deref(), &choices, &classes) {
            (None, ..) => None,
            (Some(text), Some(_), _) if is_unlabeled(text) => None,
            (Some(text), Some(choices), _) => Some(of_choices(table, choices, text, row, options.seed)?),
            (Some(text), None, classes) => classes.as_ref().and_then(|classes| classes.sides(text, row)),
        };
        if of_row.is_none() && !(options.skip_unlabeled && text.as_deref().is_none_or(is_unlabeled)) {
            let found = text.as_deref().map_or_else(|| "nothing".to_owned(), quoted);
            return Err(no_label(table, row, column, found, text.as_deref()));
        }
        sides.push(of_row);
    }
    if sides.iter().all(Option::is_none) {
        return Err(Error::NoData {
            path: table.path().to_owned(),
            what: format!("a table without a usable label in any row of `{column}`"),
            hint: "test sets are often published without labels: take the training or the validation rows"
                .to_owned(),
        });
    }
    let names = classes.and_then(|classes| classes.names());
    Ok(Labels { column, hidden, sides, names, by_choices: choices.is_some() })
}

/// The choices of a table's rows and their column, if one is named.
///
/// # Errors
/// A column that is not there or holds no lists; labels that do not name a choice in every row.
fn choices_of(
    table: &Table,
    label: &str,
    labels: &[Option<String>],
    options: &DatasetOptions,
) -> Result<Option<(Column, Choices)>> {
    let Some(named) = &options.choices else { return Ok(None) };
    let column = existing(table, named, "choices")?;
    let cells: Vec<Option<&Value>> = (0..table.height()).map(|row| table.get(&column.0, row)).collect();
    let known: Vec<Option<&str>> =
        labels.iter().map(|label| label.as_deref().filter(|label| !is_unlabeled(label))).collect();
    match Choices::read(&cells, &known) {
        Ok(choices) => Ok(Some((column, choices))),
        Err(Fault::NoList(row)) => {
            let hint = "name a column of lists of texts, or of objects with the lists `text` and `label`";
            let found =
                quoted(&cells.get(row).copied().flatten().map(ToString::to_string).unwrap_or_default());
            Err(table.cell_error(row, &column, found, "a list of choices", hint))
        }
        Err(Fault::NoChoice(row)) => {
            let found = known.get(row).copied().flatten().map_or_else(|| "nothing".to_owned(), quoted);
            let hint = "in all rows alike: its number, counted from 0, its letter, its text, or its name in `label` beside \
                        `text`; for two classes, name the positive one";
            Err(table.cell_error(row, &Column(label.to_owned()), found, "one of the row's choices", hint))
        }
    }
}

/// The pair of a row with choices: the right one and a wrong one, either of them first.
///
/// # Errors
/// No choices in the row, or no wrong one.
fn of_choices(
    table: &Table,
    (column, choices): &(Column, Choices),
    label: &str,
    row: usize,
    seed: u64,
) -> Result<Sides> {
    let refuse = |found: String, expected| {
        Err(table.cell_error(row, column, found, expected, "fill the cell or remove the row"))
    };
    let Some(Named { right, wrong }) = choices.of(row, label) else {
        return refuse("nothing".to_owned(), "a list of choices");
    };
    let (other, plus_is_right) = classes::drawn_of(seed, row, wrong.len());
    let Some(&other) = wrong.get(other) else {
        let found = format!("only {}", quoted(&choices.text(row, right)));
        return refuse(found, "a wrong choice beside the right one");
    };
    let sides = if plus_is_right { [right, other] } else { [other, right] };
    Ok(Sides {
        answer: plus_is_right,
        values: sides.map(|at| Value::from(at as i64)),
        names: Some(sides.map(|at| choices.text(row, at))),
    })
}

fn no_label(table: &Table, row: usize, column: String, found: String, text: Option<&str>) -> Error {
    if text.is_none_or(is_unlabeled) {
        let (path, row) = table.place(row);
        return Error::Unlabeled { path: path.to_owned(), row, column, found };
    }
    table.cell_error(row, &Column(column), found, "a boolean", "write true/false, yes/no or 1/0")
}

fn texts(table: &Table, column: &str) -> Result<Vec<Option<String>>> {
    let text = |row| {
        text_of(table.get(column, row)).map_err(|found| {
            let hint = "a label is one text, number or boolean";
            table.cell_error(row, &Column(column.to_owned()), found, "a label", hint)
        })
    };
    (0..table.height()).map(text).collect()
}

/// A column that a caller named, in the role that they gave it.
///
/// # Errors
/// There is none of that name.
pub(super) fn existing(table: &Table, column: &str, role: &'static str) -> Result<Column> {
    if table.has(column) {
        return Ok(Column(column.to_owned()));
    }
    Err(Error::NoColumn {
        path: table.path().to_owned(),
        column: column.to_owned(),
        role,
        suggestion: host::nearest(column, table.names().iter().map(String::as_str)).map(str::to_owned),
        found: table.names().to_vec(),
    })
}

/// The label's column, and the columns that say the same.
fn choose(table: &Table) -> Result<(String, Vec<String>)> {
    let usable = |column: &&str| booleans(table, column).is_some();
    let by_name: Vec<&str> = LABELS.into_iter().filter(|name| table.has(name)).collect();
    let rivals = table.names().iter().map(String::as_str);
    let rivals: Vec<&str> = rivals
        .filter(|name| LIKE_LABELS.contains(&name.to_ascii_lowercase().as_str()) || is_case_of_label(name))
        .filter(usable)
        .collect();
    let candidates: Vec<&str> =
        by_name.iter().copied().filter(usable).chain(rivals.iter().copied()).collect();
    // Without a boolean among the two names, `label` is what data sets call the class, `answer` more often free text.
    let Some(chosen) = by_name.iter().copied().find(|name| usable(name)).or(by_name.last().copied()) else {
        return Err(missing(table, &rivals));
    };
    let others: Vec<&str> = candidates.into_iter().filter(|name| *name != chosen).collect();
    for other in &others {
        if let Some(row) = first_difference(table, chosen, other) {
            let shown = |column: &str| {
                let text = table.cell(&Column(column.to_owned()), row).ok().flatten();
                format!("`{column}` {}", text.as_deref().map_or_else(|| "nothing".to_owned(), quoted))
            };
            let (path, number) = table.place(row);
            return Err(Error::SeveralLabels {
                path: path.to_owned(),
                columns: [chosen.to_owned(), (*other).to_owned()],
                row: number,
                found: format!("{} and {}", shown(chosen), shown(other)),
            });
        }
    }
    Ok((chosen.to_owned(), others.into_iter().map(str::to_owned).collect()))
}

/// `Label`, `ANSWER` and the like.
fn is_case_of_label(name: &str) -> bool {
    !LABELS.contains(&name) && LABELS.contains(&name.trim().to_ascii_lowercase().as_str())
}

fn missing(table: &Table, rivals: &[&str]) -> Error {
    let path = table.path().to_owned();
    match rivals {
        [] => Error::MissingColumns {
            path,
            missing: vec!["`answer` or `label`".to_owned()],
            found: table.names().to_vec(),
            hint: "every row needs its truth, as true/false, yes/no or 1/0, in a column of that name or in one that you \
                   name as the label",
        },
        [rival, ..] => {
            Error::LabelNotNamed { path, column: (*rival).to_owned(), found: table.names().to_vec() }
        }
    }
}

/// The values of a column as booleans, unlabeled rows apart; `None` if they are not all booleans, or none is.
fn booleans(table: &Table, column: &str) -> Option<Vec<Option<bool>>> {
    let value = |row| match text_of(table.get(column, row)) {
        Ok(Some(text)) if !is_unlabeled(&text) => boolean(&text).map(Some),
        Ok(_) => Some(None),
        Err(_) => None,
    };
    let values: Option<Vec<Option<bool>>> = (0..table.height()).map(value).collect();
    values.filter(|values| values.iter().any(Option::is_some))
}

/// The first row in which two columns do not say the same.
fn first_difference(table: &Table, one: &str, other: &str) -> Option<usize> {
    match (booleans(table, one), booleans(table, other)) {
        (Some(one), Some(other)) => one.iter().zip(&other).position(|(one, other)| one != other),
        _ => Some(0),
    }
}
