//! Rows that bring choices of their own: a list of answers, and a label that says which is right.
//!
//! A pair is the right choice and a wrong one, drawn with the seed, either of them first: the rule of Burns et al. 2022 for more
//! than two classes, and elk's.

use minijinja::Value;
use minijinja::value::ValueKind;

/// The choices of each row.
#[derive(Debug)]
pub(super) struct Choices {
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

/// Why a column holds no choices, by the row at fault.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its cell is no list.
    NoList(usize),
    /// Its label is none of its choices, however it is read.
    NoChoice(usize),
}

/// The choices of a row, counted from 0, by its label.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) right: usize,
    /// Those of other texts.
    pub(super) wrong: Vec<usize>,
}

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

impl Choices {
    /// The choices in a column's cells, with the labels of rows that have one.
    pub(super) fn read(cells: &[Option<&Value>], labels: &[Option<&str>]) -> Result<Self, Fault> {
        let mut rows = Vec::with_capacity(cells.len());
        for (row, cell) in cells.iter().enumerate() {
            let value = cell.filter(|value| !value.is_none() && !value.is_undefined());
            rows.push(value.map(|value| own(value).ok_or(Fault::NoList(row))).transpose()?);
        }
        let named = |by: By| {
            rows.iter()
                .zip(labels)
                .map(move |(own, label)| Some(own.as_ref()?.right(by, (*label)?).is_some()))
        };
        let names_all = |by: &By| named(*by).flatten().all(|is| is);
        match WAYS.into_iter().find(names_all) {
            Some(by) => Ok(Self { rows, by }),
            None => {
                Err(Fault::NoChoice(named(By::Number).position(|is| is == Some(false)).unwrap_or_default()))
            }
        }
    }

    /// The choices that a row's label tells apart; `None` where the row has none.
    pub(super) fn of(&self, row: usize, label: &str) -> Option<Named> {
        let own = self.rows.get(row)?.as_ref()?;
        let right = own.right(self.by, label)?;
        let wrong = (0..own.texts.len()).filter(|at| own.texts.get(*at) != own.texts.get(right)).collect();
        Some(Named { right, wrong })
    }

    /// The text of a row's choice.
    pub(super) fn text(&self, row: usize, choice: usize) -> String {
        let own = self.rows.get(row).and_then(Option::as_ref);
        own.and_then(|own| own.texts.get(choice)).cloned().unwrap_or_default()
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
    use crate::error::Result;
    use crate::{Dataset, DatasetOptions, Template, pairs};

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
            let data = load(text, &DatasetOptions::new().choices("choices").seed(seed)).expect("readable");
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
        let plain = || DatasetOptions::new().choices("choices");
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
        let beyond = error(&row("[\"a\",\"b\"]", "2"), DatasetOptions::new().choices("choices"));
        assert!(beyond.contains("row 0") && beyond.contains("counted from 0"), "{beyond}");
        let same = error(&row("[\"a\",\" a\"]", "0"), DatasetOptions::new().choices("choices"));
        assert!(same.contains("a wrong choice beside the right one"), "{same}");
        let text = error(&row("\"a, b\"", "0"), DatasetOptions::new().choices("choices"));
        assert!(text.contains("a list of choices"), "{text}");
        let absent = error(&row("[\"a\",\"b\"]", "0"), DatasetOptions::new().choices("choice"));
        assert!(absent.contains("did you mean `choices`"), "{absent}");
        // Without choices in a row that has a label; a row without a label is left out if that is wanted.
        let two = format!("{}\n{{\"question\":\"r\",\"answer\":0}}", row("[\"a\",\"b\"]", "0"));
        assert!(error(&two, DatasetOptions::new().choices("choices")).contains("row 1"));
        let two = format!("{}\n{}", row("[\"a\",\"b\"]", "0"), row("[\"a\",\"b\"]", "-1"));
        assert_eq!(
            load(&two, &DatasetOptions::new().choices("choices").skip_unlabeled(true))
                .expect("readable")
                .unlabeled,
            1
        );
        // Where nobody names them, they are for templates.
        assert_eq!(
            load(&row("\"a, b\"", "true"), &DatasetOptions::new()).expect("readable").questions.len(),
            1
        );
    }
}
