//! What a row of the data becomes, whichever it is: a contrast pair, or a single statement. Here is what both share: rows
//! are rendered with templates, grouped, and looked at for what a user should know.

use crate::columns::DataColumns;
use crate::dataset::{Dataset, Question, agreement};
use crate::error::{Error, Result};
use crate::groups::{self, About, Groups};
use crate::select::DropReason;
use crate::template::{self, Compiled, Template, deeply, refuse_namesakes};
use crate::tokenize::Tokenizer;
use crate::warning::Warning;
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where an example comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The row in the data file, counted from 0.
    pub idx: u64,
    /// Of a pair, whether the plus prompt's answer is the right one; of a statement, whether it is true.
    pub label: bool,
    /// The data's own id of the question, else `idx` as text.
    pub question_id: &'a str,
    /// Examples of one group are never split.
    pub group: &'a str,
    /// The name of the template.
    pub template: &'a str,
    /// The name of the data set.
    pub dataset: &'a str,
    /// Which chat template rendered it, if one did.
    pub chat: Option<&'a str>,
    /// Further columns of the data.
    pub columns: &'a DataColumns,
}

/// A [`ContrastPair`](crate::ContrastPair) or a [`Statement`](crate::Statement): what [`select()`](crate::select()) takes.
/// `Tokenized` is a [`TokenizedPair`](crate::TokenizedPair) or a [`TokenizedStatement`](crate::TokenizedStatement).
/// Nothing else can be an example.
pub trait Example: Rendered + Clone + Send + Sync {
    /// Where it comes from.
    fn origin(&self) -> Origin<'_>;
}

/// How an example is made of a row and tokenized; nobody else can name this trait.
pub trait Rendered: Sized {
    /// The example with its tokens.
    type Tokenized: std::fmt::Debug + Clone + PartialEq + Eq + Send;

    /// A row's example under one template, still without a group; `around` becomes the text that tells what the row is
    /// about, if it is asked for and no template told it before.
    #[expect(private_interfaces, reason = "nobody else can call it")]
    fn render(
        dataset: &Dataset,
        template: &Compiled,
        question: &Question,
        around: Option<&mut Option<String>>,
    ) -> Result<Option<Made<Self>>>;

    fn set_group(&mut self, group: &str);

    fn set_columns(&mut self, columns: DataColumns);

    /// All that tells it from others: its prompts, the only one twice.
    fn texts(&self) -> [&str; 2];

    /// The example tokenized, or why it cannot be used.
    fn tokenized<T: Tokenizer + ?Sized>(
        self,
        tokenizer: &T,
        max_seq_len: Option<usize>,
    ) -> Result<Result<Self::Tokenized, DropReason>>;

    fn of_tokenized(tokenized: &Self::Tokenized) -> &Self;

    /// What there is to know about their tokens.
    fn warnings_of(tokenized: &[Self::Tokenized]) -> Vec<Warning>;
}

/// An example of a row under one template.
pub(crate) struct Made<E> {
    pub(crate) example: E,
    /// Whether the template does not print the answer.
    pub(crate) inexact: bool,
    /// Whether the template's question mark follows the question's own.
    pub(crate) marks: bool,
}

/// Every row under each of the templates, and what there is to say.
pub(crate) fn of_rows<E: Example>(
    dataset: &Dataset,
    templates: &[Template],
) -> Result<(Vec<E>, Vec<Warning>)> {
    refuse_namesakes(templates)?;
    let mut rows = Vec::with_capacity(dataset.questions.len());
    // Templates left out, with their first failure.
    let mut left_out: Vec<Option<Error>> = templates.iter().map(|_| None).collect();
    let bad = AtomicUsize::new(usize::MAX);
    let rendered = || -> Vec<Result<Vec<Row<E>>>> {
        let chunk = |(chunk, questions): (usize, &[Question])| {
            // Chunks after one that failed are not asked for.
            if bad.load(Ordering::Relaxed) < chunk {
                return Ok(Vec::new());
            }
            let made = deeply(|| rows_of(dataset, templates, questions))?;
            if made.is_err() {
                bad.fetch_min(chunk, Ordering::Relaxed);
            }
            made
        };
        dataset.questions.par_chunks(TOGETHER).enumerate().map(chunk).collect()
    };
    let chunks = host::threads::pool()?.install(rendered);
    // One after the other, so that the error is the first row's.
    for chunk in chunks {
        rows.extend(chunk?);
    }
    for row in &mut rows {
        for (left, failed) in left_out.iter_mut().zip(&mut row.failed) {
            if left.is_none() {
                *left = failed.take();
            }
        }
    }
    let large = grouped(dataset, &mut rows)?;
    let (examples, mut warnings) = gathered(rows, templates, left_out, large)?;
    if !dataset.warnings.iter().any(|warning| matches!(warning, Warning::BothLabels { .. })) {
        warnings.extend(both_labels(&examples));
    }
    Ok((examples, warnings))
}

/// Gives all examples the groups of their rows; returns a warning of the largest.
fn grouped<E: Example>(dataset: &Dataset, rows: &mut [Row<E>]) -> Result<Option<Warning>> {
    let questions = &dataset.questions;
    let own: Option<Vec<String>> = questions.iter().map(|question| dataset.own_group(question)).collect();
    let groups = if let Some(names) = own {
        // A column of groups is taken at its word.
        Groups { names, ..Groups::default() }
    } else {
        let about = questions.iter().zip(&*rows);
        let about = about.map(|(q, row)| About { prompt: row.around.as_deref(), ..q.about() });
        groups::of(&about.collect::<Vec<_>>())?
    };
    for (at, row) in rows.iter_mut().enumerate() {
        row.guessed = groups.guessed.get(at).copied().unwrap_or_default();
        let name = groups.names.get(at).map(String::as_str).unwrap_or_default();
        row.made.iter_mut().flatten().for_each(|made| made.example.set_group(name));
    }
    Ok(groups.warning)
}

/// Rows rendered one after the other.
const TOGETHER: usize = 64;

fn rows_of<E: Example>(
    dataset: &Dataset,
    templates: &[Template],
    questions: &[Question],
) -> Result<Vec<Row<E>>> {
    let compiled: Vec<Compiled> = templates.iter().map(Template::compiled).collect::<Result<_>>()?;
    questions.iter().map(|question| row(dataset, &compiled, question)).collect()
}

/// The rows' examples without those of templates that are left out, and what there is to say.
fn gathered<E: Example>(
    rows: Vec<Row<E>>,
    templates: &[Template],
    left_out: Vec<Option<Error>>,
    large_group: Option<Warning>,
) -> Result<(Vec<E>, Vec<Warning>)> {
    if !templates.is_empty() && left_out.iter().all(Option::is_some) {
        return left_out.into_iter().flatten().next().map_or(Ok(Default::default()), Err);
    }
    let mut warnings = Vec::new();
    let mut examples = Vec::with_capacity(rows.len() * templates.len());
    let mut skipped = vec![0; templates.len()];
    let (mut guessed, mut inexact, mut marks) = (0, 0, 0);
    let total = rows.len();
    for row in rows {
        let stays = row.made.into_iter().zip(&left_out).zip(&mut skipped);
        for ((made, _), skipped) in stays.filter(|((_, left_out), _)| left_out.is_none()) {
            match made {
                None => *skipped += 1,
                Some(made) => {
                    guessed += usize::from(row.guessed);
                    inexact += usize::from(made.inexact);
                    marks += usize::from(made.marks);
                    examples.push(made.example);
                }
            }
        }
    }
    for ((template, left_out), rows) in templates.iter().zip(left_out).zip(skipped) {
        match left_out {
            Some(error) => warnings.push(Warning::TemplateLeftOut {
                template: template.name().to_owned(),
                reason: template::reason(&error),
            }),
            None if rows == total && total > 0 && !template.is_optional() => {
                return Err(template.applies_to_none(total));
            }
            None if rows > 0 => {
                warnings.push(Warning::NotApplicable { template: template.name().to_owned(), rows });
            }
            None => {}
        }
    }
    if let ([], [first, ..], 1..) = (examples.as_slice(), templates, total) {
        return Err(first.applies_to_none(total));
    }
    warnings.extend(group_warnings(&examples, guessed, large_group));
    if inexact > 0 {
        warnings.push(Warning::AnswerNotExact { pairs: inexact });
    }
    if marks > 0 {
        warnings.push(Warning::TwoQuestionMarks { pairs: marks });
    }
    Ok((examples, warnings))
}

/// A row under all templates.
struct Row<E> {
    /// An example for each template, none where it does not apply or failed.
    made: Vec<Option<Made<E>>>,
    /// What failed, for each template that may be left out.
    failed: Vec<Option<Error>>,
    /// The first prompt without its answer: what is known of a row that has no text of its own.
    around: Option<String>,
    /// Whether the group comes from it.
    guessed: bool,
}

fn row<E: Example>(dataset: &Dataset, templates: &[Compiled], question: &Question) -> Result<Row<E>> {
    let mut row = Row { made: Vec::new(), failed: Vec::new(), around: None, guessed: false };
    let has_text = dataset.own_group(question).is_some() || question.about().text.is_some();
    for template in templates {
        let around = (!has_text).then_some(&mut row.around);
        let (made, failed) = match E::render(dataset, template, question, around) {
            Ok(made) => (made, None),
            Err(error) if template.template.is_optional() => (None, Some(error)),
            Err(error) => return Err(error),
        };
        row.made.push(made);
        row.failed.push(failed);
    }
    let columns = dataset.columns(question);
    row.made.iter_mut().flatten().for_each(|made| made.example.set_columns(columns.clone()));
    Ok(row)
}

/// Examples of the same prompts with different labels.
pub(crate) fn both_labels<E: Example>(examples: &[E]) -> Option<Warning> {
    let rows = examples.iter().map(|example| {
        let (origin, texts) = (example.origin(), example.texts());
        (origin.idx, (texts.map(str::trim), origin.template, origin.dataset), origin.label, texts[0])
    });
    agreement(rows).into_iter().find(|warning| matches!(warning, Warning::BothLabels { .. }))
}

/// What there is to say of groups, `guessed` of them from prompts; `large` is told of unless all is one group.
pub(crate) fn group_warnings<E: Example>(
    examples: &[E],
    guessed: usize,
    large: Option<Warning>,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if guessed > 0 {
        warnings.push(Warning::GroupFromPrompt { pairs: guessed });
    }
    if let [first, rest @ ..] = examples
        && !rest.is_empty()
        && rest.iter().all(|other| other.origin().group == first.origin().group)
    {
        warnings.push(Warning::SingleGroup { pairs: examples.len() });
    } else {
        warnings.extend(large);
    }
    warnings
}
