//! Where the answer stands in the prompts that a template rendered.
//!
//! Of promptsource's templates it is the target. A plain template prints `{{ answer }}`, possibly through filters and
//! with text around it, and is asked by rendering it again, in two ways:
//!
//! 1. with the answer between two characters that occur nowhere else. If the text is otherwise the same, what stands
//!    between them is the answer: `({{ answer|lower }})`, `{{ answer }}</s>`, `{{ question ~ answer }}`. (Then once more
//!    with the first of them after the answer's first letter, for what changes that: `{{ question ~ answer|capitalize }}`.)
//! 2. with every printed value between such characters. The printed value in which the prompts first differ is the
//!    answer: `{% if answer == "True" %}{{ choice1 }}{% else %}{{ choice2 }}{% endif %}`.
//!
//! What neither finds (a template that chooses its own words by the answer) is left to the words in which the prompts
//! differ. Of an answer printed several times, the first that differs counts: the text before it is the same in both
//! prompts, so their probabilities are of one question.

use super::render::{Compiled, Row};
use crate::answer::{AnswerSpans, common_start};
use minijinja::Value;
use std::ops::Range;

/// Where the two targets stand after an input and one space.
pub(super) fn targets(input: &str, plus: &str, minus: &str) -> AnswerSpans {
    let start = input.len() + 1;
    AnswerSpans { plus: start..start + plus.len(), minus: start..start + minus.len() }
}

impl Compiled<'_> {
    /// Where a plain template printed its two answers in a row's prompts; `None` if it did not.
    pub(super) fn printed_answers(
        &self,
        row: &Row,
        answers: [&str; 2],
        prompts: &[String; 2],
    ) -> Option<AnswerSpans> {
        let source = self.template.source.as_str();
        let marks = Marks::absent_from([source, &prompts[0], &prompts[1], answers[0], answers[1]])?;
        let own = |answer: &str| [("answer", Value::from(answer))];
        let marked = |letters: usize| {
            let side = |at: usize| {
                let rendered =
                    self.rendered(&self.main, row, &own(&marks.around(answers[at], letters))).ok()?;
                Some(Marks::widened(marks.read(&rendered, &prompts[at])?, &prompts[at], letters))
            };
            first_answers(&side(0)?, &side(1)?, prompts)
        };
        let watched = || {
            let side = |at: usize| {
                let rendered = self.main.render_marked(row.with(&own(answers[at])), marks.open, marks.close);
                marks.read(&rendered.ok()?, &prompts[at])
            };
            innermost_of(&side(0)?, &side(1)?, prompts)
        };
        marked(0).or_else(|| marked(1)).or_else(watched)
    }
}

/// Two characters that stand for the beginning and the end of something.
#[derive(Clone, Copy)]
pub(crate) struct Marks {
    open: char,
    close: char,
}

impl Marks {
    /// Two characters of private use that none of the texts holds.
    pub(crate) fn absent_from(texts: [&str; 5]) -> Option<Self> {
        let mut free = ('\u{f0000}'..='\u{ffffd}').filter(|c| texts.iter().all(|text| !text.contains(*c)));
        Some(Self { open: free.next()?, close: free.next()? })
    }

    /// The text between the marks, but for its first `letters`.
    pub(crate) fn around(self, text: &str, letters: usize) -> String {
        let at = text.char_indices().nth(letters).map_or(text.len(), |(at, _)| at);
        let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
        format!("{before}{}{after}{}", self.open, self.close)
    }

    /// What stands between marks, in the order of its ends, if `marked` is `text` but for them.
    pub(crate) fn read(self, marked: &str, text: &str) -> Option<Vec<Range<usize>>> {
        let (mut length, mut rest, mut open, mut found) = (0, text, Vec::new(), Vec::new());
        for c in marked.chars() {
            if c == self.open {
                open.push(length);
            } else if c == self.close {
                found.push(open.pop()?..length);
            } else {
                rest = rest.strip_prefix(c)?;
                length += c.len_utf8();
            }
        }
        (rest.is_empty() && open.is_empty()).then_some(found)
    }

    /// The ranges with so many letters before each.
    pub(crate) fn widened(ranges: Vec<Range<usize>>, text: &str, letters: usize) -> Vec<Range<usize>> {
        let widened = |range: Range<usize>| {
            let before = text.get(..range.start).unwrap_or_default();
            let more: usize = before.chars().rev().take(letters).map(char::len_utf8).sum();
            range.start - more..range.end
        };
        ranges.into_iter().map(widened).collect()
    }
}

/// The first of the ranges, in order, that can be the two answers.
pub(crate) fn first_answers(
    plus: &[Range<usize>],
    minus: &[Range<usize>],
    prompts: &[String; 2],
) -> Option<AnswerSpans> {
    plus.iter().zip(minus).find_map(|(plus, minus)| answers(plus, minus, prompts))
}

/// Of the ranges that hold the place where the prompts first differ, or end there, the two that begin last, together.
fn innermost_of(plus: &[Range<usize>], minus: &[Range<usize>], prompts: &[String; 2]) -> Option<AnswerSpans> {
    let differs = common_start(&prompts[0], &prompts[1]);
    let there = |range: &&Range<usize>| range.start <= differs && differs <= range.end;
    let mut found: Vec<AnswerSpans> = Vec::new();
    for plus in plus.iter().filter(there) {
        let together = minus.iter().filter(there).filter(|minus| minus.start == plus.start);
        found.extend(together.filter_map(|minus| answers(plus, minus, prompts)));
    }
    let size = |spans: &AnswerSpans| spans.plus.len() + spans.minus.len();
    found.into_iter().min_by_key(|spans| (std::cmp::Reverse(spans.plus.start), size(spans)))
}

/// Two ranges as answers, without white space at their ends, if they can be that.
fn answers(plus: &Range<usize>, minus: &Range<usize>, prompts: &[String; 2]) -> Option<AnswerSpans> {
    let [plus_prompt, minus_prompt] = prompts;
    let spans =
        AnswerSpans { plus: plus.clone(), minus: minus.clone() }.trimmed(plus_prompt, minus_prompt)?;
    spans.check(plus_prompt, minus_prompt).is_ok().then_some(spans)
}

#[cfg(test)]
mod tests {
    use crate::dataset::{Dataset, Kind, Question};
    use crate::template::Template;
    use proptest::prelude::*;

    fn data(statement: &str) -> Dataset {
        let question = Question {
            row: 0,
            question_id: "0".into(),
            passage: Some("He had thanked her.".into()),
            question: statement.into(),
            title: Some("He had insulted her.\n".into()),
            subject: None,
            answer: true,
        };
        Dataset::new("t", Kind::Statements, vec![question])
    }

    /// The two answers that a template's rendering is found to hold, and whether it prints them.
    fn found(source: &str) -> ([String; 2], bool) {
        let template = Template::from_source("t", source).expect("compiles");
        let data = data("True or not: it is True.");
        let sides = template.sides(&data, &data.questions[0]).expect("renders");
        let [plus, minus] = sides.prompts;
        assert_eq!(sides.answers.check(&plus, &minus), Ok(()), "{source}");
        ([plus[sides.answers.plus].to_owned(), minus[sides.answers.minus].to_owned()], sides.exact)
    }

    #[test]
    fn a_printed_answer_is_found_whatever_stands_around_it() {
        let sentences = "{# answers: He had insulted her. | He had thanked her. #}\n";
        let both = ["He had insulted her.", "He had thanked her."];
        for (source, expected) in [
            ("{{ statement }} {{ answer }}", ["True", "False"]),
            ("{{ statement }} {{ answer }}</s>", ["True", "False"]),
            ("Answer:{{ answer }}.", ["True", "False"]),
            ("{{ statement }} ({{ answer|lower }})", ["true", "false"]),
            ("{{ statement }} {{ answer|upper|replace('E', 'e') }} it is", ["TRUe", "FALSe"]),
            ("{{ statement ~ ' ' ~ answer ~ '!' }}", ["True", "False"]),
            ("{% set said %}I say {{ answer }}.{% endset %}{{ said|trim }}", ["True", "False"]),
            ("{% macro say(x) %}<{{ x }}>{% endmacro %}{{ say(answer) }}", ["True", "False"]),
            ("{{ statement }}\n{{ answer }}\nYes, {{ answer }} it is.", ["True", "False"]),
            ("{{ statement ~ ' ' ~ answer|lower|capitalize }}.", ["True", "False"]),
            // The second way: the printed value depends on the answer.
            ("{{ statement }} {{ answer|capitalize }}", ["True", "False"]),
            ("{{ statement }} {{ answer|title }}.", ["True", "False"]),
            ("{{ 'A' if answer == 'True' else 'B' }}) {{ statement }}", ["A", "B"]),
            ("{{ {'True': 'yes it is', 'False': 'no it is'}[answer] }}", ["yes it is", "no it is"]),
            ("So: {% if answer == 'True' %}{{ title }}{% else %}{{ passage }}{% endif %}", both),
            ("{{ passage }}{{ title if answer == 'True' else passage }}", both),
        ] {
            assert_eq!(found(source), (expected.map(str::to_owned), true), "{source}");
        }
        let whole = |source: &str| found(&format!("{sentences}{source}"));
        assert_eq!(whole("{{ passage }} Why? {{ answer }}"), (both.map(str::to_owned), true));
        assert_eq!(
            found("{# answers: Yes | Yes, maybe #}\n{{ statement }} {{ answer }}."),
            (["Yes".to_owned(), "Yes, maybe".to_owned()], true),
            "one answer begins with the other"
        );
        assert_eq!(
            found("{# answers: No | Not no #}\n{{ statement }} {{ 'x' if answer == 'y' else answer }}"),
            (["No".to_owned(), "Not no".to_owned()], true)
        );
    }

    #[test]
    fn words_of_the_template_itself_are_found_by_their_difference() {
        let source = "{{ statement }} {% if answer == 'True' %}yes it is{% else %}no it is{% endif %}";
        assert_eq!(found(source), (["yes".to_owned(), "no".to_owned()], false));
        // Text before the answer that depends on it: nothing that is printed begins together.
        for source in [
            "{% if answer == 'True' %}Surely {% endif %}{{ answer }}",
            "{% if answer == 'True' %}Yes{% else %}No{% endif %}: {{ answer }}",
        ] {
            assert!(!found(source).1, "{source}");
        }
    }

    #[test]
    fn characters_of_private_use_in_the_data_are_text() {
        let text = "\u{f0000}\u{f0002}True";
        let template = Template::from_source("t", "{{ statement }} {{ answer }}\u{f0001}").expect("compiles");
        let data = data(text);
        let sides = template.sides(&data, &data.questions[0]).expect("renders");
        assert_eq!(&sides.prompts[0][sides.answers.plus.clone()], "True");
        assert!(sides.exact && sides.prompts[0] == format!("{text} True\u{f0001}"));
    }

    proptest! {
        #[test]
        fn any_two_answers_are_found_whole(
            plus in "[a-z]{1,3}( [a-z.]{1,3}){0,3}", minus in "[a-z]{1,3}( [a-z.]{1,3}){0,3}",
            before in "[a-z ]{0,6}", after in "[a-z .]{0,6}", statement in "[a-z]{1,3}( [a-z.]{1,3}){0,3}",
        ) {
            prop_assume!(plus != minus);
            let source = format!("{{# answers: {plus} | {minus} #}}\n{{{{ statement }}}}{before}{{{{ answer }}}}{after}");
            let template = Template::from_source("t", &source).expect("compiles");
            let data = data(&statement);
            let sides = template.sides(&data, &data.questions[0]).expect("renders");
            let [p, m] = &sides.prompts;
            let start = statement.len() + before.len();
            prop_assert!(sides.exact);
            prop_assert_eq!(&sides.answers.plus, &(start..start + plus.len()));
            prop_assert_eq!(&m[sides.answers.minus.clone()], &minus);
            prop_assert_eq!(sides.answers.check(p, m), Ok(()));
        }
    }
}
