//! The control without passages: the same pairs, asked with the passage left blank.

use std::collections::HashMap;

use crate::dataset::{Dataset, Question};
use crate::error::{Error, Result};
use crate::pair::ContrastPair;
use crate::template::{Sides, Template, deeply};

/// `pairs` as their templates write them with an empty `passage`. All else stays: `idx`, `question_id`, label, template
/// and the group, which is the real passage's. What a probe still finds in their states it does not read from the
/// passage.
///
/// Other columns are left as they are: a title, or a copy of the passage under another name, is printed all the same.
///
/// ```
/// use boolq::{Dataset, Kind, Question, Template, blank, pairs};
///
/// let question = Question {
///     row: 0,
///     question_id: "0".into(),
///     passage: Some("Water is wet.".into()),
///     question: "is water wet".into(),
///     title: None,
///     subject: None,
///     answer: true,
/// };
/// let data = Dataset::new("tiny", Kind::Questions, vec![question]);
/// let template = Template::named("llama-ccs")?;
/// let asked = pairs(&data, &template)?.pairs;
/// let blank = blank(&data, &[template], &asked)?;
/// assert!(blank[0].plus_prompt.starts_with("\n\nAfter reading this passage"));
/// assert_eq!(blank[0].group, asked[0].group);
/// # Ok::<(), boolq::Error>(())
/// ```
///
/// # Errors
/// A chat is one again after [`chats`](crate::chats()).
///
/// [`Error::NoPassage`] for a row without a passage, a template that does not use it, and prompts that stay as they were;
/// a pair whose row or template is not among those given; what the template fails with on an empty passage.
pub fn blank<'a>(
    dataset: &Dataset,
    templates: &[Template],
    pairs: impl IntoIterator<Item = &'a ContrastPair>,
) -> Result<Vec<ContrastPair>> {
    has_passages(dataset)?;
    let rows: HashMap<u64, &Question> = dataset.questions.iter().map(|q| (q.row, q)).collect();
    let one = |pair: &ContrastPair| -> Result<ContrastPair> {
        let refuse = |reason: &str| refused(&format!("row {} under `{}`", pair.idx, pair.template), reason);
        let Some((question, template)) =
            rows.get(&pair.idx).zip(templates.iter().find(|template| template.name() == pair.template))
        else {
            return Err(refuse("is not of this data and these templates"));
        };
        if question.passage.is_none() {
            return Err(refuse("has no passage"));
        }
        let Sides { prompts: [plus_prompt, minus_prompt], answers, .. } =
            template.sides(dataset, &without_passage(question))?;
        if plus_prompt == pair.plus_prompt {
            return Err(refuse("has the same prompt with and without its passage"));
        }
        Ok(ContrastPair { plus_prompt, minus_prompt, answers, chat: None, ..pair.clone() })
    };
    pairs.into_iter().map(one).collect()
}

fn without_passage(question: &Question) -> Question {
    Question { passage: Some(String::new()), ..question.clone() }
}

/// Whether `dataset` and `templates` have a passage to leave blank, to ask before the work is done: there is a row whose
/// prompt is another without its passage.
///
/// # Errors
/// [`Error::NoPassage`].
pub fn check_blank(dataset: &Dataset, templates: &[Template]) -> Result<()> {
    has_passages(dataset)?;
    // What fails with its passage is not for this check to tell.
    let prints = |template: &Template| {
        let rows = dataset.questions.iter().filter(|question| question.passage.is_some());
        let mut rendered = rows.filter_map(|row| Some((row, template.render(dataset, row).ok()?))).peekable();
        let nothing_to_tell = rendered.peek().is_none();
        nothing_to_tell
            || rendered.any(|(row, with)| {
                template.render(dataset, &without_passage(row)).map_or(true, |without| with != without)
            })
    };
    for template in templates {
        if !deeply(|| prints(template))? {
            return Err(refused(&format!("the template `{}`", template.name()), "prints no `passage`"));
        }
    }
    Ok(())
}

fn has_passages(dataset: &Dataset) -> Result<()> {
    if dataset.has("passage") {
        return Ok(());
    }
    Err(refused(&format!("the data `{}`", dataset.name), "has no column `passage`"))
}

fn refused(what: &str, reason: &str) -> Error {
    Error::NoPassage { what: what.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Kind;
    use crate::{group_of, pairs_with};

    fn data(passages: &[Option<&str>]) -> Dataset {
        let questions = passages.iter().zip(0..).map(|(passage, row)| Question {
            row,
            question_id: format!("q{row}"),
            passage: passage.map(str::to_owned),
            question: format!("is {row} even"),
            title: None,
            subject: None,
            answer: row % 2 == 0,
        });
        Dataset::new("d", Kind::Questions, questions.collect())
    }

    #[test]
    fn only_the_passage_goes() {
        let data = data(&[Some("Zero is."), Some("One is not."), Some("Two is.")]);
        let templates = [
            Template::named("llama-ccs").expect("built in"),
            Template::from_promptsource(
                "theirs",
                "{{ passage }} \n{{ question }}?|||{{ answer_choices[label] }}",
                "No ||| Yes",
            )
            .expect("compiles"),
        ];
        let asked = pairs_with(&data, &templates).expect("renders").pairs;
        // A selection, in whatever order.
        let some = [&asked[5], &asked[0], &asked[3]];
        let made = blank(&data, &templates, some).expect("blank");
        for (pair, blank) in some.into_iter().zip(&made) {
            let restored = ContrastPair {
                plus_prompt: pair.plus_prompt.clone(),
                minus_prompt: pair.minus_prompt.clone(),
                answers: pair.answers.clone(),
                ..blank.clone()
            };
            assert_eq!(restored, *pair);
        }
        assert_eq!(made[0].plus_prompt, "is 2 even? Yes", "promptsource strips its input");
        assert_eq!((made[0].answers.plus.clone(), made[0].answers.minus.clone()), (11..14, 11..13));
        assert_eq!(made[1].minus_prompt, asked[0].minus_prompt.replace("Zero is.", ""));
        assert_eq!(made[1].group, group_of("Zero is."));
    }

    #[test]
    fn what_has_no_passage_to_leave_blank_is_refused() {
        let template = |source: &str| [Template::from_source("t", source).expect("compiles")];
        let said = |data: &Dataset, templates: &[Template]| {
            let asked = pairs_with(data, templates).expect("renders").pairs;
            blank(data, templates, &asked).expect_err("refused").to_string()
        };
        let question = "{{ question }}? {{ answer }}";
        let none = said(&data(&[None, None]), &template(question));
        assert!(none.contains("the data `d` has no column `passage`"), "{none}");
        let check = |source: &str| check_blank(&data(&[Some("P."), None]), &template(source));
        assert!(check(question).expect_err("prints none").to_string().contains("the template `t` prints no"));
        let guarded = "{% if passage %}{{ passage }} {% endif %}{{ question }}? {{ answer }}";
        assert!(
            said(&data(&[Some("P."), None]), &template(guarded)).contains("row 1 under `t` has no passage")
        );
        let asks = "{% if passage %}{% endif %}{{ question }}? {{ answer }}";
        assert!(said(&data(&[Some("P.")]), &template(asks)).contains("the same prompt with and without"));
        assert!(check(asks).is_err());
        for prints in [
            "{{ passage[:1] }}",
            "{{ passage|length }}",
            "{% for word in passage.split() %}{{ word }}{% endfor %}",
            "{% if passage[:2] == 'P.' %}It is P. {% endif %}",
        ] {
            check(&format!("{prints}{question}")).expect(prints);
        }
    }
}
