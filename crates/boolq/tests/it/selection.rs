//! Tokenizing, the length filter, offset, limit and balance, with toy tokenizers.

use crate::toy::{BOS, Words, id_of, pair, with_words};
use boolq::{
    AnswerSpans, BoxError, ContrastPair, DropReason, Dropped, Error, Selection, Token, TokenizedPair,
    Tokenizer, Warning, preview, select,
};
use proptest::prelude::*;

fn all() -> Selection {
    Selection { max_seq_len: None, ..Selection::default() }
}

fn idxs(selected: &boolq::Selected) -> Vec<u64> {
    selected.examples.iter().map(|tokenized| tokenized.pair.idx).collect()
}

#[test]
fn the_answer_is_found_and_bos_counted() {
    let tokenized = TokenizedPair::new(pair(0, 4, 0, true), &Words).expect("tokenizes");
    assert_eq!(tokenized.plus.ids, [BOS, id_of("word"), id_of("word"), id_of("word"), id_of("True")]);
    assert_eq!((tokenized.plus.answer.clone(), tokenized.minus.answer.clone()), (4..5, 4..5));
    assert_eq!(tokenized.longer_side(), 5);
    assert!(!tokenized.seam);
}

#[test]
fn exactly_the_longest_length_is_kept_and_either_side_counts() {
    // Lengths with BOS: 6 and 6; 6 and 7; 7 and 7.
    let pairs = [pair(0, 5, 0, true), pair(1, 5, 1, false), pair(2, 6, 0, true)];
    let selected = |max_seq_len| {
        select(&pairs, &Words, &Selection { max_seq_len: Some(max_seq_len), ..Selection::default() })
            .expect("selects")
    };
    assert_eq!(idxs(&selected(7)), [0, 1, 2]);
    assert_eq!(idxs(&selected(6)), [0], "a longer minus prompt drops the pair too");
    let reason = DropReason::TooLong { plus_tokens: 6, minus_tokens: 7, max_seq_len: 6 };
    assert_eq!(selected(6).dropped[0], Dropped { idx: 1, template: Some("toy".into()), reason });
    assert_eq!(selected(6).considered, 3);
    assert_eq!(selected(5).warnings, [Warning::NothingKept { considered: 3 }]);
}

#[test]
fn limit_counts_kept_pairs_and_offset_counts_rows() {
    let long = |idx: u64| idx.is_multiple_of(3);
    let pairs: Vec<_> =
        (0..1000).map(|idx| pair(idx, if long(idx) { 60 } else { 4 }, 0, idx % 2 == 0)).collect();
    let selection = Selection { offset: 4, limit: Some(400), max_seq_len: Some(50), ..Selection::default() };
    let selected = select(&pairs, &Words, &selection).expect("selects");
    let expected: Vec<u64> = (4..).filter(|idx| !long(*idx)).take(400).collect();
    assert_eq!(idxs(&selected), expected);
    // Nothing beyond the last kept pair is reported, though its chunk was tokenized.
    assert_eq!(selected.considered as u64, expected.last().expect("400 pairs") - 4 + 1);
    assert!(selected.dropped.iter().all(|dropped| long(dropped.idx) && dropped.idx < 604));
    assert!(selected.warnings.is_empty());

    let few = select(&pairs[..10], &Words, &selection).expect("selects");
    assert_eq!(few.warnings, [Warning::LimitNotReached { limit: 400, kept: 4 }]);
    let none = select(&pairs, &Words, &Selection { offset: 5000, ..all() }).expect("selects");
    assert_eq!((none.examples.len(), none.considered), (0, 0));
}

#[test]
fn a_limit_stops_the_work() {
    // The toy fails on pair 900, which a limit of 10 must never reach.
    let mut pairs: Vec<_> = (0..1000).map(|idx| pair(idx, 4, 0, true)).collect();
    pairs[900].plus_prompt.insert_str(0, "unspeakable ");
    pairs[900].minus_prompt.insert_str(0, "unspeakable ");
    pairs[900] = with_words(pairs[900].clone());
    let ten = select(&pairs, &Words, &Selection { limit: Some(10), ..all() }).expect("stops before pair 900");
    assert_eq!(ten.examples.len(), 10);
    assert_eq!(ten.warnings, [Warning::OneClass { label: true, pairs: 10 }]);
    let error = select(&pairs, &Words, &all()).expect_err("reaches pair 900");
    assert!(matches!(error, Error::Tokenizer { idx: 900, side: "plus", .. }), "{error}");
}

#[test]
fn balance_is_seeded_ordered_and_nested() {
    let pairs: Vec<_> = (0..90).map(|idx| pair(idx, 4, 0, idx % 3 != 0)).collect();
    let balanced = |seed, limit| {
        select(&pairs, &Words, &Selection { balance: Some(seed), limit, ..all() }).expect("selects")
    };
    let whole = balanced(1, None);
    let trues = whole.examples.iter().filter(|tokenized| tokenized.pair.label).count();
    assert_eq!((trues, whole.examples.len()), (30, 60));
    assert!(idxs(&whole).is_sorted(), "the data's order is kept");
    assert_eq!(whole.dropped.len(), 30);
    assert!(whole.dropped.iter().all(|dropped| dropped.reason == DropReason::Balance));
    assert_eq!(whole, balanced(1, None));
    assert_ne!(idxs(&whole), idxs(&balanced(2, None)));

    let (small, large) = (idxs(&balanced(1, Some(10))), idxs(&balanced(1, Some(20))));
    assert_eq!((small.len(), large.len()), (10, 20));
    assert!(small.iter().all(|idx| large.contains(idx)));
    assert_eq!(balanced(1, Some(5)).warnings, [Warning::LimitNotReached { limit: 5, kept: 4 }]);
    assert_ne!(large, (0..20).collect::<Vec<_>>(), "chosen, not cut off");

    let one_class = select(&pairs[1..3], &Words, &Selection { balance: Some(1), ..all() }).expect("selects");
    assert!(one_class.examples.is_empty());
}

#[test]
fn pairs_without_an_answer_are_dropped_with_the_reason() {
    let mut equal = pair(0, 4, 0, true);
    equal.minus_prompt.clone_from(&equal.plus_prompt);
    let selected = select(&[equal, pair(1, 4, 0, true)], &Words, &all()).expect("selects");
    assert_eq!(idxs(&selected), [1]);
    assert_eq!((selected.dropped.len(), &selected.dropped[0].reason), (1, &DropReason::NoAnswerText));

    let cut = ContrastPair { answers: AnswerSpans { plus: 0..99, minus: 0..99 }, ..pair(3, 4, 0, true) };
    let error = select(&[cut], &Words, &all()).expect_err("no such span");
    assert!(matches!(error, Error::AnswerSpan { idx: 3, .. }), "{error}");

    let uncovered = select(&[pair(0, 4, 0, true)], &Lying::Nothing, &all()).expect("selects");
    assert_eq!(uncovered.dropped[0].reason, DropReason::NoAnswerToken { side: "plus" });
    let outside = select(&[pair(0, 4, 0, true)], &Lying::Outside, &all());
    assert!(matches!(outside, Err(Error::TokenSpan { token: 1, .. })), "{outside:?}");
}

#[test]
fn a_seam_is_flagged() {
    // One token a byte, except that `: T` is one token.
    let tokenized = TokenizedPair::new(colon_pair(), &Lying::Joins).expect("tokenizes");
    assert!(tokenized.seam);
    assert_eq!(tokenized.plus.answer, 2..6, "the joined token covers the answer's first letter");
    assert!(tokenized.plus.joined && !tokenized.minus.joined);
    let selected = select(&[colon_pair()], &Lying::Joins, &all()).expect("selects");
    assert!(selected.warnings.contains(&Warning::Seams { pairs: 1 }));
    assert!(selected.warnings.contains(&Warning::AnswerJoined { pairs: 1 }));
    assert!(preview(&tokenized, &Lying::Joins).contains("\nseam: "));
}

fn colon_pair() -> ContrastPair {
    let (plus_prompt, minus_prompt) = ("Q: True".into(), "Q: False".into());
    with_words(ContrastPair { plus_prompt, minus_prompt, ..pair(0, 2, 0, true) })
}

/// Tokenizers with one property each that a real one may have.
#[derive(Debug, Clone, Copy)]
enum Lying {
    /// No token stands for text.
    Nothing,
    /// A span beyond the end of the text.
    Outside,
    /// `: T` is one token, every other byte one of its own.
    Joins,
}

impl Tokenizer for Lying {
    fn encode(&self, text: &str) -> Result<Vec<Token>, BoxError> {
        let bos = Token { id: BOS, span: 0..0 };
        let bytes = |range: std::ops::Range<usize>| range.map(|i| Token { id: 5 + i as u32, span: i..i + 1 });
        Ok(match self {
            Self::Nothing => vec![bos],
            Self::Outside => vec![bos, Token { id: 2, span: 0..text.len() + 1 }],
            Self::Joins => match text.find(": T") {
                Some(at) => [bos]
                    .into_iter()
                    .chain(bytes(0..at))
                    .chain([Token { id: 4, span: at..at + 3 }])
                    .chain(bytes(at + 3..text.len()))
                    .collect(),
                None => [bos].into_iter().chain(bytes(0..text.len())).collect(),
            },
        })
    }

    fn encode_chat(&self, text: &str) -> Result<Vec<Token>, BoxError> {
        self.encode(text)
    }

    fn token_text(&self, id: u32) -> String {
        id.to_string()
    }
}

#[test]
fn the_preview_marks_answer_and_captured_token() {
    let mut long = pair(7, 400, 0, false);
    long.plus_prompt.push_str(" .");
    long.minus_prompt.push_str(" .");
    let whole = with_words(ContrastPair {
        plus_prompt: "Why? It is so".into(),
        minus_prompt: "Why? It was so".into(),
        ..long.clone()
    });
    let whole = ContrastPair { answers: AnswerSpans { plus: 5..13, minus: 5..14 }, ..whole };
    let text = preview(&TokenizedPair::new(whole, &Words).expect("tokenizes"), &Words);
    assert!(text.contains("  Why? ⟦It was so⟧\n") && text.contains("  answer: positions 2-4: "), "{text}");
    let text = preview(&TokenizedPair::new(long, &Words).expect("tokenizes"), &Words);
    assert!(
        text.starts_with("idx 7 (question 7 of toy, template toy, group 0000000000000003): the minus"),
        "{text}"
    );
    assert!(text.contains("plus: 402 tokens\n  word word"), "{text}");
    assert!(text.contains("characters…]") && text.contains("⟦True⟧ ."), "{text}");
    let line = format!("  answer: position 400: {} \"w{}\"\n", id_of("False"), id_of("False"));
    assert!(text.contains(&line), "{text}");
    let line = format!("  captured: position 401: {} \"w{}\"\n", id_of("."), id_of("."));
    assert_eq!(text.matches(&line).count(), 2, "the last token, not the answer's: {text}");
}

proptest! {
    #[test]
    fn the_answer_span_covers_exactly_the_answer(
        before in "[a-zé?:]{1,6}( [a-zé?:]{1,6}){0,5}", after in "( [a-z]{1,4}){0,2}",
        plus in "[AB]{1,3}( [AB]{1,3}){0,2}", minus in "[AB]{1,3}( [AB]{1,3}){0,2}",
    ) {
        prop_assume!(plus != minus);
        let words = |text: &str| text.split_whitespace().count();
        // Answers may share words at both ends, and one may begin with the other.
        let span = |answer: &str| before.len() + 1..before.len() + 1 + answer.len();
        let tokenized = TokenizedPair::new(
            ContrastPair {
                plus_prompt: format!("{before}\n{plus}{after}"),
                minus_prompt: format!("{before}\n{minus}{after}"),
                answers: AnswerSpans { plus: span(&plus), minus: span(&minus) },
                ..pair(0, 2, 0, true)
            },
            &Words,
        );
        let tokenized = tokenized.expect("tokenizes");
        prop_assert!(!tokenized.plus.joined && !tokenized.minus.joined);
        let start = 1 + words(&before);
        prop_assert_eq!(tokenized.plus.answer, start..start + words(&plus));
        prop_assert_eq!(tokenized.minus.answer, start..start + words(&minus));
        prop_assert!(!tokenized.seam);
    }

    #[test]
    fn kept_are_the_pairs_whose_longer_side_fits(
        lengths in prop::collection::vec((2_usize..12, 0_usize..4), 1..30), max in 3_usize..14,
    ) {
        let pairs: Vec<_> =
            lengths.iter().zip(0..).map(|((words, more), idx)| pair(idx, *words, *more, true)).collect();
        let selected = select(&pairs, &Words, &Selection { max_seq_len: Some(max), ..Selection::default() });
        let selected = selected.expect("selects");
        let fits = |(words, more): &(usize, usize)| 1 + words + more <= max;
        let expected: Vec<u64> = lengths.iter().zip(0..).filter(|(l, _)| fits(l)).map(|(_, idx)| idx).collect();
        prop_assert_eq!(idxs(&selected), expected);
        prop_assert_eq!(selected.considered, pairs.len());
    }
}
