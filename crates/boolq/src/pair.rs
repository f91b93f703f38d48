//! Contrast pairs: the two prompts of one question, and the group that must stay on one side of a split.

use crate::answer::AnswerSpans;
use crate::columns::DataColumns;
use crate::dataset::{Dataset, Question, agreement};
use crate::error::{Error, Result};
use crate::groups::{self, About, Groups};
use crate::template::{self, Compiled, Sides, Template, deeply, refuse_namesakes};
use crate::warning::Warning;
use rayon::prelude::*;
use serde::Serialize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One question as two prompts that differ in the answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ContrastPair {
    /// The row in the data file, counted from 0.
    pub idx: u64,
    /// The prompt that ends in the plus answer (True, Yes).
    pub plus_prompt: String,
    /// The prompt that ends in the minus answer (False, No).
    pub minus_prompt: String,
    /// Where the answer stands in each of them.
    pub answers: AnswerSpans,
    /// Whether the plus prompt's answer is the right one.
    pub label: bool,
    /// The data's own id of the question, else `idx` as text.
    pub question_id: String,
    /// A hash of what the question is about; see [`group_of`](crate::group_of). Pairs of one group are never split.
    pub group: String,
    /// The name of the template.
    pub template: String,
    /// The name of the data set.
    pub dataset: String,
    /// What the plus and the minus answer stand for, where the data's classes have names.
    pub classes: Option<[String; 2]>,
    /// Further columns of the data.
    pub columns: DataColumns,
}

/// Contrast pairs, and what there is to know about them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs {
    /// The pairs, in the order of their file.
    pub pairs: Vec<ContrastPair>,
    /// What the rendering, and the grouping, had to assume. The data's own warnings stay with the [`Dataset`].
    pub warnings: Vec<Warning>,
}

/// Renders every row of `dataset` with `template`.
///
/// # Errors
/// The first row whose template fails, or whose two prompts do not differ in an answer; a variable that the data do
/// not have.
pub fn pairs(dataset: &Dataset, template: &Template) -> Result<Pairs> {
    pairs_with(dataset, std::slice::from_ref(template))
}

/// Renders every row of `dataset` with each of `templates`: all pairs of the first row, then all of the second.
///
/// The pairs of a row share their `idx`, `question_id` and `group`. Where the group comes from the text before the
/// answer, that is the first template's. All rows are compared: groups do not change when some pairs are selected later.
///
/// A row to which a template does not apply (it renders nothing) has no pair under it: [`Warning::NotApplicable`] counts
/// such rows. A template of a promptsource file that was not asked for by name and fails is left out:
/// [`Warning::TemplateLeftOut`].
///
/// # Errors
/// As [`pairs`]; two templates of one name; a template that applies to no row; no template left.
pub fn pairs_with(dataset: &Dataset, templates: &[Template]) -> Result<Pairs> {
    refuse_namesakes(templates)?;
    let mut rows = Vec::with_capacity(dataset.questions.len());
    // Templates left out, with their first failure.
    let mut left_out: Vec<Option<Error>> = templates.iter().map(|_| None).collect();
    let bad = AtomicUsize::new(usize::MAX);
    let rendered = || -> Vec<Result<Vec<Row>>> {
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
    let mut made = gathered(rows, templates, left_out, large)?;
    if !dataset.warnings.iter().any(|warning| matches!(warning, Warning::BothLabels { .. })) {
        made.warnings.extend(both_labels(&made.pairs));
    }
    Ok(made)
}

/// Gives all pairs the groups of their rows; returns a warning of the largest.
fn grouped(dataset: &Dataset, rows: &mut [Row]) -> Result<Option<Warning>> {
    let questions = &dataset.questions;
    let groups = match questions.iter().map(|question| dataset.own_group(question)).collect() {
        // A column of groups is taken at its word.
        Some(names) => Groups { names, ..Groups::default() },
        None => {
            let about = questions.iter().zip(&*rows);
            let about = about.map(|(q, row)| About { prompt: row.around.as_deref(), ..dataset.about(q) });
            groups::of(&about.collect::<Vec<_>>())?
        }
    };
    for (at, row) in rows.iter_mut().enumerate() {
        row.guessed = groups.guessed.get(at).copied().unwrap_or_default();
        let name = groups.names.get(at).map(String::as_str).unwrap_or_default();
        row.made.iter_mut().flatten().for_each(|made| name.clone_into(&mut made.pair.group));
    }
    Ok(groups.warning)
}

/// Rows rendered one after the other.
const TOGETHER: usize = 64;

fn rows_of(dataset: &Dataset, templates: &[Template], questions: &[Question]) -> Result<Vec<Row>> {
    let compiled: Vec<Compiled> = templates.iter().map(Template::compiled).collect::<Result<_>>()?;
    questions.iter().map(|question| row(dataset, &compiled, question)).collect()
}

/// The rows' pairs without those of templates that are left out, and what there is to say.
fn gathered(
    rows: Vec<Row>,
    templates: &[Template],
    left_out: Vec<Option<Error>>,
    large_group: Option<Warning>,
) -> Result<Pairs> {
    if !templates.is_empty() && left_out.iter().all(Option::is_some) {
        return left_out.into_iter().flatten().next().map_or(Ok(Pairs::default()), Err);
    }
    let mut warnings = Vec::new();
    let mut pairs = Vec::with_capacity(rows.len() * templates.len());
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
                    pairs.push(made.pair);
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
    if let ([], [first, ..], 1..) = (pairs.as_slice(), templates, total) {
        return Err(first.applies_to_none(total));
    }
    warnings.extend(group_warnings(&pairs, guessed, large_group));
    if inexact > 0 {
        warnings.push(Warning::AnswerNotExact { pairs: inexact });
    }
    if marks > 0 {
        warnings.push(Warning::TwoQuestionMarks { pairs: marks });
    }
    Ok(Pairs { pairs, warnings })
}

/// A row under all templates.
struct Row {
    /// A pair for each template, none where it does not apply or failed.
    made: Vec<Option<Made>>,
    /// What failed, for each template that may be left out.
    failed: Vec<Option<Error>>,
    /// The first prompt without its answer: what is known of a row that has no text of its own.
    around: Option<String>,
    /// Whether the group comes from it.
    guessed: bool,
}

struct Made {
    pair: ContrastPair,
    /// Whether the template does not print the answer.
    inexact: bool,
    /// Whether the template's question mark follows the question's own.
    marks: bool,
}

fn row(dataset: &Dataset, templates: &[Compiled], question: &Question) -> Result<Row> {
    let mut row = Row { made: Vec::new(), failed: Vec::new(), around: None, guessed: false };
    let has_text = dataset.own_group(question).is_some() || dataset.about(question).text.is_some();
    for template in templates {
        let around = (!has_text).then_some(&mut row.around);
        let (made, failed) = match made(dataset, template, question, around) {
            Ok(made) => (made, None),
            Err(error) if template.template.is_optional() => (None, Some(error)),
            Err(error) => return Err(error),
        };
        row.made.push(made);
        row.failed.push(failed);
    }
    let columns = dataset.columns(question);
    row.made.iter_mut().flatten().for_each(|made| made.pair.columns = columns.clone());
    Ok(row)
}

/// A row's pair under one template, still without a group; `around` becomes the prompt without its answer, if it is asked
/// for and no template told it before.
fn made(
    dataset: &Dataset,
    template: &Compiled,
    question: &Question,
    around: Option<&mut Option<String>>,
) -> Result<Option<Made>> {
    let Some(sides) = template.sides(dataset, question)? else { return Ok(None) };
    let Sides { prompts: [plus_prompt, minus_prompt], answers, exact } = sides;
    let template = template.template;
    let before = template.after_prefix(plus_prompt.get(..answers.plus.start).unwrap_or_default());
    if let Some(around) = around.filter(|around| around.is_none()) {
        let after = plus_prompt.get(answers.plus.end..).unwrap_or_default();
        *around = Some(around_answer(before, after).to_owned());
    }
    let asked = question.question.ends_with('?').then(|| format!("{}?", question.question));
    Ok(Some(Made {
        inexact: !exact,
        marks: asked.is_some_and(|asked| plus_prompt.contains(&asked)),
        pair: ContrastPair {
            idx: question.row,
            plus_prompt,
            minus_prompt,
            answers,
            label: question.answer,
            question_id: question.question_id.clone(),
            group: String::new(),
            template: template.name().to_owned(),
            dataset: dataset.name.clone(),
            classes: dataset.sides(question).names,
            columns: DataColumns::default(),
        },
    }))
}

/// What stands for the text of a row of which only a prompt is known: what is before the answer, else what follows it.
pub(crate) fn around_answer<'a>(before: &'a str, after: &'a str) -> &'a str {
    if before.trim().is_empty() { after } else { before }
}

/// Pairs of the same two prompts with different labels.
pub(crate) fn both_labels(pairs: &[ContrastPair]) -> Option<Warning> {
    let rows = pairs.iter().map(|pair| {
        let prompts = (pair.plus_prompt.trim(), pair.minus_prompt.trim());
        (
            pair.idx,
            (prompts, pair.template.as_str(), pair.dataset.as_str()),
            pair.label,
            pair.plus_prompt.as_str(),
        )
    });
    agreement(rows).into_iter().find(|warning| matches!(warning, Warning::BothLabels { .. }))
}

/// What there is to say of groups, `guessed` of them from prompts; `large` is told of unless all is one group.
pub(crate) fn group_warnings(pairs: &[ContrastPair], guessed: usize, large: Option<Warning>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if guessed > 0 {
        warnings.push(Warning::GroupFromPrompt { pairs: guessed });
    }
    if let [first, rest @ ..] = pairs
        && !rest.is_empty()
        && rest.iter().all(|pair| pair.group == first.group)
    {
        warnings.push(Warning::SingleGroup { pairs: pairs.len() });
    } else {
        warnings.extend(large);
    }
    warnings
}

/// Fails unless there are pairs of both labels: fitting and scoring probes needs them.
///
/// For callers of this crate that go on to fit a probe; nothing in the crate calls it, as pairs of one class can
/// still be written and run through a model ([`Warning::OneClass`]).
///
/// # Errors
/// [`Error::OneClass`] with both counts.
pub fn require_both_classes<'a>(pairs: impl IntoIterator<Item = &'a ContrastPair>) -> Result<()> {
    let (mut true_pairs, mut false_pairs) = (0, 0);
    for pair in pairs {
        if pair.label {
            true_pairs += 1;
        } else {
            false_pairs += 1;
        }
    }
    if true_pairs == 0 || false_pairs == 0 {
        Err(Error::OneClass { true_pairs, false_pairs })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Kind;
    use crate::group_of;

    fn statements(rows: &[(&str, Option<&str>, bool)]) -> Dataset {
        let questions = rows.iter().zip(0..).map(|((text, subject, answer), row)| Question {
            row,
            question_id: format!("q{row}"),
            passage: None,
            question: (*text).to_owned(),
            title: None,
            subject: subject.map(str::to_owned),
            answer: *answer,
        });
        Dataset::new("s", Kind::Statements, questions.collect())
    }

    #[test]
    fn groups_follow_the_passage_or_subject() {
        assert_eq!(group_of("a b"), group_of("  a\n\tb "));
        assert_ne!(group_of("a b"), group_of("ab"));
        assert_eq!(group_of("a b").len(), 16);
        // printf 'a b' | b3sum
        assert_eq!(group_of("a b"), blake3::hash(b"a b").to_hex().as_str()[..16]);

        let template = Template::named("statement").expect("built in");
        let data = statements(&[
            ("Oslo is in Norway.", Some("Oslo"), true),
            ("Oslo is in Chad.", Some("Oslo"), false),
            ("Lima is in Peru.", Some("Lima"), true),
        ]);
        let made = pairs(&data, &template).expect("renders");
        assert!(made.warnings.is_empty());
        let [a, b, c] = made.pairs.as_slice() else { panic!("three pairs") };
        assert_eq!(a.group, b.group);
        assert_ne!(a.group, c.group);
        assert_eq!((a.idx, a.question_id.as_str(), a.label, b.label), (0, "q0", true, false));
        assert!(a.plus_prompt.ends_with(" True") && a.minus_prompt.ends_with(" False"));
    }

    #[test]
    fn groups_from_the_prompt_come_with_a_warning() {
        let template = Template::named("statement").expect("built in");
        let data = statements(&[("A is.", None, true), ("B is.", None, false), ("A is.", None, true)]);
        let made = pairs(&data, &template).expect("renders");
        assert_eq!(made.warnings, [Warning::GroupFromPrompt { pairs: 3 }]);
        assert_eq!(made.pairs[0].group, group_of("A is. Is this statement true or false?"));
        assert_eq!(made.pairs[0].group, made.pairs[2].group);

        let answer_first =
            Template::from_source("t", "{{ answer }} is what I say to: {{ statement }}").expect("compiles");
        let made = pairs(&data, &answer_first).expect("renders");
        assert_ne!(made.pairs[0].group, made.pairs[1].group, "the text before the answer is empty");

        let constant = Template::from_source("t", "Statement: {{ answer }}").expect("compiles");
        let made = pairs(&data, &constant).expect("renders");
        assert!(made.warnings.contains(&Warning::SingleGroup { pairs: 3 }));
    }

    #[test]
    fn a_template_that_does_not_print_its_answer_comes_with_a_warning() {
        let data = statements(&[("A.", Some("a"), true), ("B.", Some("b"), false)]);
        let warnings = |source: &str| {
            let template = Template::from_source("t", source).expect("compiles");
            pairs(&data, &template).expect("renders").warnings
        };
        assert_eq!(warnings("{{ statement }} Answer:{{ answer }}"), []);
        assert_eq!(warnings("{# answers: 对 | 错 #}\n{{ statement }}这句话对吗?{{ answer }}"), []);
        assert_eq!(warnings("{# answers: yes it is | no it is #}\n{{ statement }} {{ answer }}"), []);
        let inexact = [Warning::AnswerNotExact { pairs: 2 }];
        let own_words = "{{ statement }} {% if answer == 'True' %}yes it is{% else %}no it is{% endif %}";
        assert_eq!(warnings(own_words), inexact);
        assert!(inexact[0].to_string().contains("print {{ answer }}"), "{}", inexact[0]);
    }

    #[test]
    fn a_group_from_the_prompt_is_of_the_text_before_the_whole_answer() {
        let source = "{# answers: he ran | he slept #}\n{{ statement }} {{ answer }}";
        let template = Template::from_source("t", source).expect("compiles");
        let data = statements(&[("A is.", None, true)]);
        let made = pairs(&data, &template).expect("renders");
        assert_eq!(made.pairs[0].group, group_of("A is."));
        let before = pairs(&data, &template.with_prefix("It said: ").expect("a prefix")).expect("renders");
        assert_eq!(before.pairs[0].group, made.pairs[0].group);
        assert_eq!(&before.pairs[0].plus_prompt[before.pairs[0].answers.plus.clone()], "he ran");
    }

    #[test]
    fn warnings_of_the_data_are_not_repeated() {
        let mut data = statements(&[("A.", Some("a"), true), ("B.", Some("b"), false)]);
        data.warnings.push(Warning::SubjectByPosition { column: "x".into() });
        let made = pairs(&data, &Template::named("statement").expect("built in")).expect("renders");
        assert_eq!(made.warnings, []);
    }

    #[test]
    fn prompts_that_do_not_differ_are_refused() {
        let unused = "{% if statement == 'B is.' %}{{ answer }}{% else %}no{% endif %}";
        let template = Template::from_source("t", unused).expect("compiles");
        let data = statements(&[("B is.", None, true), ("A is.", None, true)]);
        assert!(matches!(pairs(&data, &template), Err(Error::Render { row: 1, .. })));
    }

    #[test]
    fn both_classes() {
        let template = Template::named("statement").expect("built in");
        let one = pairs(&statements(&[("A.", None, true)]), &template).expect("renders");
        assert!(matches!(
            require_both_classes(&one.pairs),
            Err(Error::OneClass { true_pairs: 1, false_pairs: 0 })
        ));
        let both =
            pairs(&statements(&[("A.", None, true), ("B.", None, false)]), &template).expect("renders");
        assert!(require_both_classes(&both.pairs).is_ok());
    }
}
