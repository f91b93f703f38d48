//! What a label's values stand for: which of them is the class for which the plus answer is right.

use super::label::{boolean, is_unlabeled, text_of};
use super::options::{Answers, DatasetOptions};
use super::table::Table;
use crate::error::{Error, Result};
use minijinja::Value;
use std::fmt::Write as _;

/// The values of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Classes {
    /// Booleans by themselves.
    Booleans,
    /// One class is positive, every other is not.
    Two { positive: Class, negative: Vec<Class> },
    /// A pair is the row's own class and another, drawn with the seed, as is which of them is the plus side.
    Many { all: Vec<Class>, seed: u64 },
}

/// What the plus and the minus side of a row's pair stand for, and whether plus is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sides {
    pub(crate) answer: bool,
    /// What a template of promptsource's gets as label of the plus and the minus prompt.
    pub(crate) values: [Value; 2],
    /// The classes' names, if they have any.
    pub(crate) names: Option<[String; 2]>,
}

impl Default for Sides {
    fn default() -> Self {
        Self { answer: true, values: [Value::from(1), Value::from(0)], names: None }
    }
}

impl Classes {
    /// What a row's label makes of its pair; `None` if it means nothing.
    pub(super) fn sides(&self, text: &str, row: usize) -> Option<Sides> {
        match self {
            Self::Booleans => Some(Sides { answer: boolean(text)?, ..Sides::default() }),
            Self::Two { positive, negative } => {
                let answer = positive.is(text);
                if !answer && !negative.iter().any(|class| class.is(text)) {
                    return None;
                }
                Some(Sides { answer, ..self.two_sides().unwrap_or_default() })
            }
            Self::Many { all, seed } => {
                let own = all.iter().position(|class| class.is(text))?;
                let (other, plus_is_right) = drawn(*seed, row, own, all.len());
                let (own, other) = (all.get(own)?, all.get(other)?);
                let [plus, minus] = if plus_is_right { [own, other] } else { [other, own] };
                Some(Sides {
                    answer: plus_is_right,
                    values: [plus.number(), minus.number()],
                    names: Some([plus.name.clone(), minus.name.clone()]),
                })
            }
        }
    }

    /// The two sides of every pair, where they are the same in all.
    fn two_sides(&self) -> Option<Sides> {
        let Self::Two { positive, negative } = self else { return None };
        let minus = match negative.as_slice() {
            [only] => only.name.clone(),
            _ => format!("not {}", positive.name),
        };
        Some(Sides {
            answer: true,
            values: [positive.number(), negative.first().map_or_else(Value::default, Class::number)],
            names: Some([positive.name.clone(), minus]),
        })
    }

    /// How the two classes are called, where every pair is of the same two.
    pub(super) fn names(&self) -> Option<[String; 2]> {
        self.two_sides()?.names
    }

    fn two(positive: &Class, negative: &[&Class]) -> Self {
        let negative = negative.iter().map(|class| (*class).clone()).collect();
        Self::Two { positive: positive.clone(), negative }
    }
}

/// Another class than a row's own, each as likely, and whether the own is the plus side.
fn drawn(seed: u64, row: usize, own: usize, classes: usize) -> (usize, bool) {
    let (other, plus_is_right) = drawn_of(seed, row, classes.saturating_sub(1));
    (if other >= own { other + 1 } else { other }, plus_is_right)
}

/// One of a row's wrong answers, each as likely, and whether the right one is the plus side: from blake3(seed, row), so that
/// they depend on nothing else.
pub(super) fn drawn_of(seed: u64, row: usize, others: usize) -> (usize, bool) {
    let mut hasher = blake3::Hasher::new_derive_key("boolq classes");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&(row as u64).to_le_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    let number = u64::from_le_bytes(bytes);
    let other = usize::try_from((number >> 1) % (others as u64).max(1)).unwrap_or_default();
    (other, number & 1 == 1)
}

/// A value of the label with its name; without one, it is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Class {
    value: String,
    name: String,
}

impl Class {
    /// The value as templates count with it.
    fn number(&self) -> Value {
        self.value.parse::<i64>().map_or_else(|_| Value::from(&self.value), Value::from)
    }

    /// Whether a label's text means this class.
    fn is(&self, text: &str) -> bool {
        text == self.value || text.eq_ignore_ascii_case(&self.name)
    }
}

/// The classes of a label's column.
///
/// # Errors
/// [`Error::Classes`] where it is open which is positive; [`Error::Positive`] where the answer to that does not fit.
pub(super) fn of(
    table: &Table,
    column: &str,
    values: &[Option<String>],
    options: &DatasetOptions,
) -> Result<Classes> {
    let named = table.classes(column);
    let all = all(named, values, options);
    let refuse =
        |reason: String, hint: String| Error::Positive { path: table.path().to_owned(), reason, hint };
    if let Some(wanted) = &options.positive {
        let positive = find(&all, wanted).ok_or_else(|| {
            refuse(
                format!("no row of `{column}` can be `{wanted}`; there are: {}", listed(&all)),
                "give one of these as the positive class".into(),
            )
        })?;
        if !values.iter().flatten().any(|text| positive.is(text)) {
            return Err(refuse(
                format!("no row of `{column}` is {}; there are: {}", shown(positive), listed(&all)),
                "give a class that occurs as the positive one".into(),
            ));
        }
        let negative: Vec<&Class> = all.iter().filter(|class| *class != positive).collect();
        let classes = Classes::two(positive, &negative);
        return match against(&classes, &options.templates) {
            Some(reason) => {
                Err(refuse(reason, "give the other class as positive, or swap the template's answers".into()))
            }
            None if negative.len() > 1 && options.templates.contains(&Answers::ByNumber) => Err(refuse(
                format!(
                    "`{column}` has {} classes, and a promptsource template needs to know which one the minus prompt names",
                    all.len()
                ),
                "give a plain template with two answers".into(),
            )),
            None => Ok(classes),
        };
    }
    if named.is_none() && all.iter().all(|class| boolean(&class.value).is_some()) {
        return Ok(Classes::Booleans);
    }
    match decided(&all, named.is_some(), &options.templates) {
        Some((positive, negative)) => Ok(Classes::two(positive, &[negative])),
        // A slip among booleans is named by its row.
        None if named.is_none() && is_slip(&all) => Ok(Classes::Booleans),
        None if all.len() > 2 && numbers(&all) && options.by_number() => {
            Ok(Classes::Many { all, seed: options.seed })
        }
        None => Err(Error::Classes {
            path: table.path().to_owned(),
            column: column.to_owned(),
            classes: all.iter().map(shown).collect(),
            names: all.iter().map(|class| class.name.clone()).collect(),
        }),
    }
}

/// The classes there are: those that the file names, else the values that occur.
fn all(named: Option<&[String]>, values: &[Option<String>], options: &DatasetOptions) -> Vec<Class> {
    if let Some(names) = named {
        let class = |(at, name): (usize, &String)| Class { value: at.to_string(), name: name.clone() };
        return names.iter().enumerate().map(class).collect();
    }
    // `Yes` and `yes` are one class.
    let mut seen = std::collections::HashSet::new();
    let distinct = values.iter().flatten().filter(|text| seen.insert(text.to_ascii_lowercase()));
    let (known, unknown): (Vec<_>, Vec<_>) = distinct.partition(|text| !is_unlabeled(text));
    // Beside one other value, -1 is a class if somebody says that the other is positive.
    let unknown = unknown
        .into_iter()
        .filter(|_| known.len() == 1 && options.positive.is_some() && !options.skip_unlabeled);
    let texts = known.iter().copied().chain(unknown);
    let mut all: Vec<Class> = texts.map(|text| Class { value: text.clone(), name: text.clone() }).collect();
    // Numbered classes in their order, whatever the order of the rows.
    all.sort_by_key(|class| class.value.parse::<i64>().ok());
    all
}

/// The class that `wanted` names: by its name, else in another case, else by its value.
fn find<'a>(all: &'a [Class], wanted: &str) -> Option<&'a Class> {
    let wanted = text_of(Some(&Value::from(wanted))).ok().flatten()?;
    let by = |is_it: &dyn Fn(&Class) -> bool| {
        let mut found = all.iter().filter(|class| is_it(class));
        found.next().filter(|_| found.next().is_none())
    };
    by(&|class| class.name == wanted)
        .or_else(|| by(&|class| class.name.eq_ignore_ascii_case(&wanted)))
        .or_else(|| by(&|class| class.value == wanted))
}

/// Which of two classes is positive, if the templates or the names themselves decide it.
fn decided<'a>(all: &'a [Class], named: bool, templates: &[Answers]) -> Option<(&'a Class, &'a Class)> {
    let [zero, one] = all else { return None };
    let is = |class: &Class, answer: &str| class.name.trim().eq_ignore_ascii_case(answer.trim());
    let plain = templates.iter().filter_map(|answers| match answers {
        Answers::Are(plus, minus) => Some((plus, minus)),
        Answers::ByNumber => None,
    });
    let mut by_answers = plain.map(|(plus, minus)| {
        match (is(one, plus) && is(zero, minus), is(zero, plus) && is(one, minus)) {
            (true, false) => Some((one, zero)),
            (false, true) => Some((zero, one)),
            _ => None,
        }
    });
    let first = by_answers.next();
    if let Some(Some(first)) = first {
        return by_answers.all(|other| other == Some(first)).then_some(first);
    }
    if by_answers.any(|other| other.is_some()) {
        return None;
    }
    // promptsource's choices are numbered as the classes are.
    if first.is_none() && named && !templates.is_empty() {
        return Some((one, zero));
    }
    match (boolean(&zero.name), boolean(&one.name)) {
        (Some(false), Some(true)) => Some((one, zero)),
        (Some(true), Some(false)) => Some((zero, one)),
        _ => None,
    }
}

/// What a template's answers say against the classes chosen.
fn against(classes: &Classes, templates: &[Answers]) -> Option<String> {
    let [positive, negative] = &classes.names()?;
    let is = |class: &str, answer: &str| class.trim().eq_ignore_ascii_case(answer.trim());
    templates.iter().find_map(|answers| match answers {
        Answers::Are(plus, minus) if is(negative, plus) || is(positive, minus) => Some(format!(
            "the positive class is `{positive}`, and a template's plus answer is {plus:?}, its minus answer {minus:?}"
        )),
        _ => None,
    })
}

/// Whether the values are booleans but for a few others that are no numbers.
fn is_slip(all: &[Class]) -> bool {
    let booleans = all.iter().filter(|class| boolean(&class.value).is_some()).count();
    booleans > 0 && !numbers(all)
}

fn numbers(all: &[Class]) -> bool {
    all.iter().all(|class| class.value.parse::<i64>().is_ok())
}

fn shown(class: &Class) -> String {
    if class.name == class.value {
        format!("`{}`", class.name)
    } else {
        format!("`{}` ({})", class.name, class.value)
    }
}

fn listed(all: &[Class]) -> String {
    const SHOWN: usize = 12;
    let mut text = all.iter().take(SHOWN).map(shown).collect::<Vec<_>>().join(", ");
    // Writing to a String cannot fail.
    if all.len() > SHOWN {
        let _ = write!(text, ", and {} more", all.len() - SHOWN);
    }
    text
}
