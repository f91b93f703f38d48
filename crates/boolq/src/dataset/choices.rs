//! Rows that bring choices of their own: a list of answers, and a label that says which is right.
//!
//! A pair is the right choice and a wrong one, drawn with the seed, either of them first: the rule of Burns et al. 2022 for more
//! than two classes, and elk's.

use super::classes::{Sides, drawn_of};
use super::label::{existing, is_unlabeled};
use super::options::DatasetOptions;
use super::table::{Column, Table};
use crate::error::{Error, Result, quoted};
use minijinja::Value;
use minijinja::value::ValueKind;

/// The column that is looked for unless another is named.
const NAME: &str = "choices";

/// The choices of each row.
#[derive(Debug)]
pub(super) struct Choices {
    column: Column,
    rows: Vec<Option<Own>>,
    by: By,
}

/// The choices of one row, and what they are called, where the file says so.
#[derive(Debug, PartialEq, Eq)]
struct Own {
    texts: Vec<String>,
    names: Option<Vec<String>>,
}

/// How a label names a choice, in all rows alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// Counted from 0.
    Number,
    /// By the names that stand beside the choices, as in ARC.
    Name,
    /// A is the first.
    Letter,
    /// By the choice itself.
    Text,
}

const WAYS: [By; 4] = [By::Name, By::Number, By::Letter, By::Text];

impl Own {
    /// The choice that a label names.
    fn right(&self, by: By, label: &str) -> Option<usize> {
        let at = match by {
            By::Number => label.parse().ok(),
            By::Name => self.names.as_ref()?.iter().position(|name| name == label),
            By::Letter => match label.as_bytes() {
                [letter @ b'A'..=b'Z'] => Some(usize::from(letter - b'A')),
                _ => None,
            },
            By::Text => self.texts.iter().position(|text| text == label),
        };
        at.filter(|at| *at < self.texts.len())
    }
}

/// The choices of a table's rows, if they have any and no class is named as the positive one.
///
/// # Errors
/// A column that was named and is not there or holds no lists; labels that do not name a choice in every row.
pub(super) fn of(
    table: &Table,
    label: &str,
    labels: &[Option<String>],
    options: &DatasetOptions,
) -> Result<Option<Choices>> {
    let column = match &options.choices {
        Some(named) => existing(table, named, "choices")?,
        // promptsource's templates say themselves what the choices are.
        None if options.positive.is_none() && table.has(NAME) && label != NAME && !options.by_number() => {
            Column(NAME.to_owned())
        }
        None => return Ok(None),
    };
    let mut rows = Vec::with_capacity(table.height());
    for row in 0..table.height() {
        let value = table.get(&column.0, row).filter(|value| !value.is_none() && !value.is_undefined());
        let own = value.map(|value| (own(value), value));
        match own {
            Some((None, _)) if options.choices.is_none() => return Ok(None), // a text, for templates
            Some((None, value)) => {
                let hint = "name a column of lists of texts, or of objects with the lists `text` and `label`";
                return Err(table.cell_error(
                    row,
                    &column,
                    quoted(&value.to_string()),
                    "a list of choices",
                    hint,
                ));
            }
            Some((own, _)) => rows.push(own),
            None => rows.push(None),
        }
    }
    let names_all = |by: &By| {
        let mut named = rows.iter().zip(labels).filter_map(|(own, label)| {
            let label = label.as_deref().filter(|label| !is_unlabeled(label))?;
            Some(own.as_ref()?.right(*by, label).is_some())
        });
        let first = named.next();
        first == Some(true) && named.all(|is| is)
    };
    let Some(by) = WAYS.into_iter().find(names_all) else {
        return Err(no_choice(table, label, labels, &rows));
    };
    Ok(Some(Choices { column, rows, by }))
}

/// The error of labels that name choices in no way that holds for all rows; of the first row that has no choice by number.
fn no_choice(table: &Table, label: &str, labels: &[Option<String>], rows: &[Option<Own>]) -> Error {
    let fails = |(own, label): (&Option<Own>, &Option<String>)| match (own, label.as_deref()) {
        (Some(own), Some(label)) if !is_unlabeled(label) => own.right(By::Number, label).is_none(),
        _ => false,
    };
    let row = rows.iter().zip(labels).position(fails).unwrap_or_default();
    let found =
        labels.get(row).cloned().flatten().map_or_else(|| "nothing".to_owned(), |label| quoted(&label));
    let hint = "in all rows alike: its number, counted from 0, its letter, its text, or its name in `label` beside `text`; \
                for two classes, name the positive one";
    table.cell_error(row, &Column(label.to_owned()), found, "one of the row's choices", hint)
}

impl Choices {
    /// A row's pair; `None` without a label.
    ///
    /// # Errors
    /// No choices in the row, or no wrong one.
    pub(super) fn sides(&self, table: &Table, label: &str, row: usize, seed: u64) -> Result<Option<Sides>> {
        let Some(own) = self.rows.get(row).and_then(Option::as_ref) else {
            let hint = "fill the cell or remove the row";
            return Err(table.cell_error(row, &self.column, "nothing".to_owned(), "a list of choices", hint));
        };
        let Some(right) = own.right(self.by, label) else { return Ok(None) };
        let text = |at: usize| own.texts.get(at).cloned().unwrap_or_default();
        let wrong: Vec<usize> = (0..own.texts.len()).filter(|at| text(*at) != text(right)).collect();
        if wrong.is_empty() {
            let found = format!("only {}", quoted(&text(right)));
            return Err(table.cell_error(
                row,
                &self.column,
                found,
                "a wrong choice beside the right one",
                "remove the row",
            ));
        }
        let (other, plus_is_right) = drawn_of(seed, row, wrong.len());
        let other = wrong.get(other).copied().unwrap_or_default();
        let [plus, minus] = if plus_is_right { [right, other] } else { [other, right] };
        Ok(Some(Sides {
            answer: plus_is_right,
            values: [plus, minus].map(|at| Value::from(at as i64)),
            names: Some([text(plus), text(minus)]),
        }))
    }
}

/// A cell's choices: a list, or an object with lists `text` and `label`.
fn own(value: &Value) -> Option<Own> {
    if value.kind() == ValueKind::Map {
        let part = |name| value.get_attr(name).ok().and_then(|list| texts(&list));
        let (texts, names) = (part("text")?, part("label")?);
        return (texts.len() == names.len()).then_some(Own { texts, names: Some(names) });
    }
    Some(Own { texts: texts(value)?, names: None })
}

/// The texts of a list of texts, numbers or booleans, stripped.
fn texts(value: &Value) -> Option<Vec<String>> {
    if value.kind() != ValueKind::Seq {
        return None;
    }
    let text = |item: Value| match item.kind() {
        ValueKind::String | ValueKind::Number | ValueKind::Bool => {
            Some(item.as_str().map_or_else(|| item.to_string(), str::to_owned).trim().to_owned())
        }
        _ => None,
    };
    value.try_iter().ok()?.map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, Template, pairs};

    fn load(text: &str, options: &DatasetOptions) -> Result<Dataset> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data.jsonl");
        fs_err::write(&path, text).expect("writable");
        options.load(path)
    }

    const ASK: &str = "{{ question }} {{ answer }}";

    /// One prompt has the right choice, the other a wrong one, and the label says which; over seeds every wrong choice comes
    /// equally often, and the right one first half of the time.
    #[test]
    fn pairs_are_the_right_choice_and_a_wrong_one() {
        let text = "{\"question\":\"q?\",\"choices\":[\"a\",\"b\",\"c\",\"b\"],\"answer\":1}\n\
                    {\"question\":\"r?\",\"choices\":[\"x\",\"y\"],\"answer\":0}\n";
        let template = Template::from_source("ask", ASK).expect("compiles");
        let (mut wrong, mut first) = ([0; 2], 0);
        for seed in 0..400 {
            let data = load(text, &DatasetOptions::new().seed(seed)).expect("readable");
            let made = pairs(&data, &template).expect("renders").pairs;
            let answers = |pair: &crate::ContrastPair| {
                let answer = |prompt: &str| prompt.rsplit(' ').next().expect("an answer").to_owned();
                let both = [answer(&pair.plus_prompt), answer(&pair.minus_prompt)];
                if pair.label { both } else { [both[1].clone(), both[0].clone()] }
            };
            let [right, other] = answers(&made[0]);
            assert!(right == "b" && ["a", "c"].contains(&other.as_str()), "{right} {other}");
            wrong[usize::from(other == "c")] += 1;
            first += usize::from(made[0].label);
            assert_eq!(answers(&made[1]), ["x", "y"]);
        }
        // Of 400 half are expected; five standard deviations are 50.
        assert!((150..=250).contains(&wrong[0]) && (150..=250).contains(&first), "{wrong:?} {first}");
    }

    #[test]
    fn labels_name_choices_by_number_letter_name_or_text() {
        let answers = |rows: &str, options: DatasetOptions| {
            let data = load(rows, &options.label("l")).expect("readable");
            let of = |question| {
                let sides = data.sides(question);
                let [plus, minus] = sides.names.expect("choices");
                if sides.answer { plus } else { minus }
            };
            data.questions.iter().map(of).collect::<Vec<_>>()
        };
        let rows = |labels: [&str; 2]| {
            let row =
                |label| format!("{{\"question\":\"q\",\"choices\":[\"B\",\"1\",\"A\"],\"l\":{label}}}\n");
            row(labels[0]) + &row(labels[1])
        };
        let plain = DatasetOptions::new;
        assert_eq!(answers(&rows(["0", "2"]), plain()), ["B", "A"]);
        assert_eq!(answers(&rows(["\"0\"", "\"1\""]), plain()), ["B", "1"]);
        assert_eq!(answers(&rows(["\"A\"", "\"C\""]), plain()), ["B", "A"]);
        assert_eq!(answers(&rows(["\"1\"", "\"B\""]), plain()), ["1", "B"], "in all rows alike: by the text");
        let arc =
            "{\"question\":\"q\",\"endings\":{\"text\":[\"x\",\"y\"],\"label\":[\"1\",\"2\"]},\"l\":\"2\"}";
        assert_eq!(answers(arc, plain().choices("endings")), ["y"]);
    }

    #[test]
    fn what_names_no_choice_is_an_error() {
        let error = |row: &str, options: DatasetOptions| load(row, &options).expect_err(row).with_hint();
        let row = |choices: &str, label: &str| {
            format!("{{\"question\":\"q\",\"choices\":{choices},\"answer\":{label}}}")
        };
        let beyond = error(&row("[\"a\",\"b\"]", "2"), DatasetOptions::new());
        assert!(beyond.contains("row 0") && beyond.contains("counted from 0"), "{beyond}");
        let same = error(&row("[\"a\",\" a\"]", "0"), DatasetOptions::new());
        assert!(same.contains("a wrong choice beside the right one"), "{same}");
        let text = error(&row("\"a, b\"", "0"), DatasetOptions::new().choices("choices"));
        assert!(text.contains("a list of choices"), "{text}");
        let absent = error(&row("[\"a\",\"b\"]", "0"), DatasetOptions::new().choices("choice"));
        assert!(absent.contains("did you mean `choices`"), "{absent}");
        // Without choices in a row that has a label; a row without a label is left out if that is wanted.
        let two = format!("{}\n{{\"question\":\"r\",\"answer\":0}}", row("[\"a\",\"b\"]", "0"));
        assert!(error(&two, DatasetOptions::new()).contains("row 1"));
        let two = format!("{}\n{}", row("[\"a\",\"b\"]", "0"), row("[\"a\",\"b\"]", "-1"));
        assert_eq!(load(&two, &DatasetOptions::new().skip_unlabeled(true)).expect("readable").unlabeled, 1);
        // A column of texts is one for templates, and a positive class makes two classes.
        assert_eq!(
            load(&row("\"a, b\"", "true"), &DatasetOptions::new()).expect("readable").questions.len(),
            1
        );
    }
}
