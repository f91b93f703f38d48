//! Contrast pairs: the two prompts of one question, and the group that must stay on one side of a split.

use crate::answer::AnswerSpans;
use crate::columns::DataColumns;
use crate::dataset::{Dataset, Question};
use crate::error::{Error, Result};
use crate::example::{self, Example, Made, Origin, Rendered};
use crate::select::DropReason;
use crate::template::{Compiled, Sides, Template};
use crate::tokenize::{TokenizedPair, Tokenizer};
use crate::warning::Warning;
use serde::Serialize;

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
    /// Which chat template rendered the prompts ([`ChatTemplate::identity`](crate::ChatTemplate::identity)), if one did.
    /// Their text is whole then: nothing is put in front of it.
    pub chat: Option<String>,
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
    let (pairs, warnings) = example::of_rows(dataset, templates)?;
    Ok(Pairs { pairs, warnings })
}

impl Example for ContrastPair {
    fn origin(&self) -> Origin<'_> {
        Origin {
            idx: self.idx,
            label: self.label,
            question_id: &self.question_id,
            group: &self.group,
            template: &self.template,
            dataset: &self.dataset,
            chat: self.chat.as_deref(),
            columns: &self.columns,
        }
    }
}

impl Rendered for ContrastPair {
    type Tokenized = TokenizedPair;

    #[expect(private_interfaces, reason = "nobody else can call it")]
    fn render(
        dataset: &Dataset,
        template: &Compiled,
        question: &Question,
        around: Option<&mut Option<String>>,
    ) -> Result<Option<Made<Self>>> {
        made(dataset, template, question, around)
    }

    fn set_group(&mut self, group: &str) {
        group.clone_into(&mut self.group);
    }

    fn set_columns(&mut self, columns: DataColumns) {
        self.columns = columns;
    }

    fn texts(&self) -> [&str; 2] {
        [&self.plus_prompt, &self.minus_prompt]
    }

    fn tokenized<T: Tokenizer + ?Sized>(
        self,
        tokenizer: &T,
        max_seq_len: Option<usize>,
    ) -> Result<Result<TokenizedPair, DropReason>> {
        Ok(Err(match TokenizedPair::new(self, tokenizer) {
            Ok(tokenized) => match max_seq_len {
                Some(max_seq_len) if tokenized.longer_side() > max_seq_len => DropReason::TooLong {
                    plus_tokens: tokenized.plus.ids.len(),
                    minus_tokens: tokenized.minus.ids.len(),
                    max_seq_len,
                },
                _ => return Ok(Ok(tokenized)),
            },
            Err(Error::NoAnswerText { .. }) => DropReason::NoAnswerText,
            Err(Error::NoAnswerToken { side, .. }) => DropReason::NoAnswerToken { side },
            Err(fatal) => return Err(fatal),
        }))
    }

    fn of_tokenized(tokenized: &TokenizedPair) -> &Self {
        &tokenized.pair
    }

    fn warnings_of(tokenized: &[TokenizedPair]) -> Vec<Warning> {
        let seams = tokenized.iter().filter(|pair| pair.seam).count();
        let joined = tokenized.iter().filter(|pair| pair.plus.joined || pair.minus.joined).count();
        let seams = (seams > 0).then_some(Warning::Seams { pairs: seams });
        seams.into_iter().chain((joined > 0).then_some(Warning::AnswerJoined { pairs: joined })).collect()
    }
}

/// A row's pair under one template, still without a group; `around` becomes the prompt without its answer, if it is asked
/// for and no template told it before.
fn made(
    dataset: &Dataset,
    template: &Compiled,
    question: &Question,
    around: Option<&mut Option<String>>,
) -> Result<Option<Made<ContrastPair>>> {
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
        example: ContrastPair {
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
            chat: None,
            columns: DataColumns::default(),
        },
    }))
}

/// What stands for the text of a row of which only a prompt is known: what is before the answer, else what follows it.
pub(crate) fn around_answer<'a>(before: &'a str, after: &'a str) -> &'a str {
    if before.trim().is_empty() { after } else { before }
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
