//! Pairs and statements as chats, by chat templates written in Rust.

use crate::toy::{BOS, Words};
use boolq::{
    BoxError, ChatTemplate, Dataset, Error, Kind, Question, Template, TokenizedPair, Turn, chat_statements,
    chats, pairs, prompts, statements,
};

/// A chat template from a closure.
struct Chat<F>(F);

impl<F: Fn(&[Turn]) -> Result<String, BoxError> + Sync> ChatTemplate for Chat<F> {
    fn identity(&self) -> String {
        "template-hash".to_owned()
    }

    fn render(&self, turns: &[Turn<'_>]) -> Result<String, BoxError> {
        (self.0)(turns)
    }
}

fn plain(turn: impl Fn(&Turn) -> String + Sync) -> Chat<impl Fn(&[Turn]) -> Result<String, BoxError> + Sync> {
    Chat(move |turns: &[Turn]| Ok("<s>".to_owned() + &turns.iter().map(&turn).collect::<String>()))
}

fn data(question: &str) -> Dataset {
    let question = Question {
        row: 7,
        question_id: "q7".into(),
        passage: Some("Öl war 🦙 flüssig.".into()),
        question: question.into(),
        title: None,
        subject: None,
        answer: true,
    };
    Dataset::new("d", Kind::Questions, vec![question])
}

fn pair(source: &str) -> boolq::ContrastPair {
    let template = Template::from_source("t", source).expect("compiles");
    pairs(&data("is oil wet"), &template).expect("renders").pairs.remove(0)
}

const OWN: &str = "{# answers: Yes, it is | No, it is not #}\n{{ passage }}\n{{ question }}? {{ answer }}";

#[test]
fn the_question_is_the_users_turn_and_the_answer_the_assistants() {
    let template = plain(|turn| format!("[{}]{}[end]\n", turn.role, turn.content));
    let made = chats(&[pair(OWN)], &template, Some("Sei ehrlich.")).expect("renders").remove(0);
    let before = "<s>[system]Sei ehrlich.[end]\n[user]Öl war 🦙 flüssig.\nis oil wet?[end]\n[assistant]";
    assert_eq!(made.plus_prompt, format!("{before}Yes, it is[end]\n"));
    assert_eq!(made.minus_prompt, format!("{before}No, it is not[end]\n"));
    assert_eq!(&made.plus_prompt[made.answers.plus.clone()], "Yes, it is");
    assert_eq!(&made.minus_prompt[made.answers.minus.clone()], "No, it is not");
    assert_eq!(made.chat.as_deref(), Some("template-hash"));
    // All else stays, the group among it.
    let own = pair(OWN);
    assert_eq!(
        (made.group, made.question_id, made.template, made.label),
        (own.group, own.question_id, own.template, own.label)
    );

    // What follows the answer is in the assistant's turn, and not in the span.
    let more = pair("{{ question }}? {{ answer }}, I think.\n");
    let made = chats(&[more], &template, None).expect("renders").remove(0);
    assert!(made.plus_prompt.ends_with("[assistant]True, I think.[end]\n"), "{}", made.plus_prompt);
    assert_eq!(&made.plus_prompt[made.answers.plus], "True");
}

#[test]
fn a_span_is_found_whatever_a_template_does_to_the_turn() {
    type Make = fn(&Turn) -> String;
    let cases: [(Make, &str, &str); 5] = [
        (|turn| format!("{}: {}\n", turn.role, turn.content.trim()), "Yes, it is", "No, it is not"),
        (|turn| format!("{}: {}\n", turn.role, turn.content.to_uppercase()), "YES, IT IS", "NO, IT IS NOT"),
        // An empty block of thoughts, as some models' templates write it.
        (
            |turn| format!("{}: <think>\n\n</think>\n\n{}\n", turn.role, turn.content),
            "Yes, it is",
            "No, it is not",
        ),
        // The turn is said twice: the first counts.
        (
            |turn| format!("{}: {} ({})\n", turn.role, turn.content, turn.content),
            "Yes, it is",
            "No, it is not",
        ),
        // A template that begins what it prints with a small letter.
        (
            |turn| {
                let mut letters = turn.content.chars();
                let first = letters.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
                format!("{}: {first}{}\n", turn.role, letters.as_str())
            },
            "yes, it is",
            "no, it is not",
        ),
    ];
    for (at, (make, plus, minus)) in cases.into_iter().enumerate() {
        let made = chats(&[pair(OWN)], &plain(make), None).expect("renders").remove(0);
        assert_eq!(&made.plus_prompt[made.answers.plus.clone()], plus, "{at}: {}", made.plus_prompt);
        assert_eq!(&made.minus_prompt[made.answers.minus.clone()], minus, "{at}: {}", made.minus_prompt);
        assert_eq!(made.answers.check(&made.plus_prompt, &made.minus_prompt), Ok(()), "{at}");
    }
}

#[test]
fn what_makes_no_chat_is_named_with_its_row() {
    let text = said(OWN, |_| Err("Roles must alternate".into()));
    assert!(text.starts_with("row 7: Roles must alternate"), "{text}");
    let text = said(OWN, |turns| Ok(turns[0].content.to_owned()));
    assert!(text.contains("row 7: the chat template writes the same text for both answers"), "{text}");
    let text = said(OWN, |turns| Ok(format!("{}|{}", turns[0].content, turns[1].content.len())));
    assert!(text.contains("row 7: the answer is not found"), "{text}");
    let text = said("{{ answer }} is what I say to: {{ question }}?", |_| Ok(String::new()));
    assert!(text.contains("row 7: nothing stands before the answer"), "{text}");
    assert!(text.contains("put the answer at the end"), "{text}");
}

/// The error of a chat, with its hint if it has one.
fn said(source: &str, template: impl Fn(&[Turn]) -> Result<String, BoxError> + Sync) -> String {
    let error = chats(&[pair(source)], &Chat(template), None).expect_err("no chat");
    format!("{error}; {}", error.hint().unwrap_or_default())
}

#[test]
fn chats_are_tokenized_as_they_stand_and_come_back_from_their_file() {
    let template = plain(|turn| format!(" {} {} ", turn.role, turn.content));
    let made = chats(&[pair(OWN)], &template, None).expect("renders");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("p.csv");
    prompts::write(&path, &made).expect("writes");
    let text = std::fs::read_to_string(&path).expect("readable");
    assert!(text.starts_with("idx,plus_prompt,minus_prompt,label,question_id,group,template,dataset,plus_answer,minus_answer,chat\n"), "{text}");
    let read = prompts::read(&path).expect("reads").pairs;
    assert_eq!(read, made);
    let tokenized = TokenizedPair::new(read[0].clone(), &Words).expect("tokenizes");
    assert_ne!(tokenized.plus.ids[0], BOS, "a chat's text holds BOS itself");
    let plain_pair = TokenizedPair::new(pair(OWN), &Words).expect("tokenizes");
    assert_eq!(plain_pair.plus.ids[0], BOS);

    // Some chats and some not are no file.
    let mixed = [made[0].clone(), pair(OWN)];
    assert!(matches!(prompts::write(&path, &mixed), Err(Error::EmptyField { column: "chat", .. })));
}

#[test]
fn a_statement_is_the_users_turn() {
    let template = plain(|turn| format!("[{}]{}[end]", turn.role, turn.content));
    let source = Template::from_source("t", "{{ passage }}").expect("compiles");
    let made = statements(&data("?"), &source).expect("renders").statements;
    let made = chat_statements(&made, &template, Some("Hm.")).expect("renders");
    assert_eq!(made[0].prompt, "<s>[system]Hm.[end][user]Öl war 🦙 flüssig.[end]");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("s.csv");
    prompts::write_statements(&path, &made).expect("writes");
    assert_eq!(prompts::read_statements(&path).expect("reads").statements, made);
}
