//! Groups against a comparison of all pairs, at the bar's edge, and where boilerplate is everywhere.

use super::*;
use proptest::prelude::*;

fn texts(texts: &[impl AsRef<str>]) -> Vec<String> {
    let rows: Vec<About<'_>> =
        texts.iter().map(|text| About { text: Some(text.as_ref()), ..About::default() }).collect();
    of(&rows).expect("threads").names
}

fn titled(rows: &[(&str, &str)]) -> Vec<String> {
    let about = |(title, text): &(&'static str, &'static str)| About {
        title: Some(*title),
        text: Some(*text),
        prompt: None,
    };
    let rows: Vec<(&'static str, &'static str)> = rows
        .iter()
        .map(|(a, b)| {
            (&*Box::leak((*a).to_owned().into_boxed_str()), &*Box::leak((*b).to_owned().into_boxed_str()))
        })
        .collect();
    of(&rows.iter().map(about).collect::<Vec<_>>()).expect("threads").names
}

/// Each row's first row of its group.
fn partition(names: &[String]) -> Vec<usize> {
    names.iter().map(|name| names.iter().position(|other| other == name).expect("itself")).collect()
}

/// `count` words that no other text has, from `from` on.
fn words(from: usize, count: usize) -> String {
    (from..from + count).map(|word| format!("w{word}")).collect::<Vec<_>>().join(" ")
}

/// All pairs, by sets of words.
fn brute_force(texts: &[String]) -> Vec<usize> {
    let sets: Vec<BTreeSet<Vec<String>>> = texts
        .iter()
        .map(|text| {
            let words: Vec<String> = text::normalized(text).split(' ').map(str::to_owned).collect();
            words.windows(8).map(<[String]>::to_vec).collect()
        })
        .collect();
    let near = |a: usize, b: usize| {
        let (shared, least) = (sets[a].intersection(&sets[b]).count(), sets[a].len().min(sets[b].len()));
        text::normalized(&texts[a]) == text::normalized(&texts[b]) || (least > 0 && shared * 5 >= least * 4)
    };
    let mut group: Vec<usize> = (0..texts.len()).collect();
    loop {
        let before = group.clone();
        for a in 0..texts.len() {
            for b in 0..texts.len() {
                if near(a, b) {
                    let least = group[a].min(group[b]);
                    (group[a], group[b]) = (least, least);
                }
            }
        }
        if group == before {
            return group;
        }
    }
}

#[test]
fn the_share_counts_to_the_last_8_gram() {
    // 17 words have ten 8-grams. With the last two words changed eight are shared, with three seven.
    let whole = words(0, 17);
    let changed = |words_kept: usize| format!("{} {}", words(0, words_kept), words(100, 17 - words_kept));
    assert_eq!(partition(&texts(&[whole.clone(), changed(15)])), [0, 0]);
    assert_eq!(partition(&texts(&[whole, changed(14)])), [0, 1]);
    // Eight words are one 8-gram, which a longer text has or has not; seven are none.
    let long = words(0, 40);
    assert_eq!(partition(&texts(&[long.clone(), words(16, 8), words(36, 8)])), [0, 0, 2]);
    assert_eq!(partition(&texts(&[long, words(16, 7), words(16, 7)])), [0, 1, 1]);
}

#[test]
fn a_truncated_passage_joins_the_whole_one_and_chains_join() {
    let (whole, cut) = (words(0, 120), words(0, 30));
    let other = format!("{} {}", words(0, 10), words(500, 110));
    assert_eq!(partition(&texts(&[other, cut, whole])), [0, 1, 1], "a tenth is not enough");
    // The second is near the first and the third, which share little.
    let chain = [words(0, 40), words(20, 40), words(19, 24)];
    assert_eq!(partition(&texts(&chain[..2])), [0, 1]);
    assert_eq!(partition(&texts(&chain)), [0, 0, 0]);
}

#[test]
fn a_group_has_the_name_of_its_smallest_text() {
    let [whole, cut] = [words(0, 40), words(0, 30)];
    let expected = group_of(&cut);
    assert_eq!(texts(&[whole.clone(), cut.clone()]), [expected.clone(), expected.clone()]);
    assert_eq!(texts(&[cut.to_uppercase(), whole]), [expected.clone(), expected]);
    assert_eq!(texts(&["Oslo"]), [group_of("oslo")]);
    assert_eq!(titled(&[("B", "x"), ("a", "y"), ("A ", "x")]), [(); 3].map(|()| group_of("a")));
}

#[test]
fn case_unicode_form_and_white_space_separate_neither_titles_nor_texts() {
    assert_eq!(
        partition(&texts(&["A Café\nin Köln", "A CAFE\u{301} IN  KÖLN", "A Cafe in Köln"])),
        [0, 0, 2]
    );
    let rows = [("Cafe\u{301}s", "a"), ("CAFÉS ", "b"), ("\u{fb01}ns", "c"), ("Fins", "d"), ("Cafes", "e")];
    assert_eq!(partition(&titled(&rows)), [0, 0, 2, 2, 4]);
}

#[test]
fn titles_group_rows_and_their_texts_are_not_compared() {
    let (whole, cut) = (words(0, 40), words(0, 30));
    let rows = [("a", whole.as_str()), ("b", &cut), ("a", "other"), ("c", &whole)];
    assert_eq!(
        partition(&titled(&rows)),
        [0, 1, 0, 0],
        "near duplicates under two titles; the same text under two"
    );
    // Rows without a title are compared with all.
    let untitled = ("", cut.as_str());
    assert_eq!(partition(&titled(&[("a", &whole), ("b", "other"), untitled])), [0, 1, 0]);
    // A title that every row has tells nothing: then it is the texts.
    assert_eq!(
        partition(&titled(&[("Quiz", "x"), ("quiz", "y"), ("Quiz", &cut), ("Quiz", &whole)])),
        [0, 1, 2, 2]
    );
}

#[test]
fn a_large_group_of_several_texts_is_told_of() {
    let warned = |rows: &[About<'_>]| of(rows).expect("threads").warning;
    let near: Vec<String> = (0..3).map(|end| format!("{} w{end}", words(0, 30))).collect();
    let mut all = near.clone();
    all.extend((0..27).map(|at| words(1_000 * (at + 1), 30)));
    let rows = |texts: &[String]| -> Vec<String> { texts.to_vec() };
    let about = |texts: &'static [String]| -> Vec<About<'static>> {
        texts.iter().map(|text| About { text: Some(text), ..About::default() }).collect()
    };
    let leaked: &'static [String] = Box::leak(rows(&all).into_boxed_slice());
    assert_eq!(warned(&about(leaked)), None, "three of thirty are a tenth, no more");
    let warning = warned(&about(&leaked[..29])).expect("a warning");
    let Warning::LargeGroup { rows: 3, of: 29, texts: 3, title: None, text } = &warning else {
        panic!("{warning:?}")
    };
    assert_eq!(text, &near[0]);
    assert!(
        warning.to_string().starts_with("3 of 29 rows (10%) are one group, of 3 different texts"),
        "{warning}"
    );
    let same = [About { text: Some("Oslo"), ..About::default() }; 9];
    assert_eq!(warned(&same), None, "one text");
    let title = |title, text| About { title: Some(title), text: Some(text), prompt: None };
    let warning =
        warned(&[title("a", "x"), title("A", "y"), title("b", "z")]).expect("a warning").to_string();
    assert!(warning.contains("they share the title \"a\""), "{warning}");
}

#[test]
fn a_templates_own_words_do_not_join_prompts() {
    let instruction = words(500_000, 60);
    let prompts: Vec<String> =
        (0..30).map(|at| format!("{} {instruction}", words(100 * (at / 2), 5))).collect();
    let guess = |prompts: &[String]| {
        let rows: Vec<About<'_>> =
            prompts.iter().map(|prompt| About { prompt: Some(prompt), ..About::default() }).collect();
        let groups = of(&rows).expect("threads");
        assert!(groups.guessed.iter().all(|guessed| *guessed));
        partition(&groups.names)
    };
    assert_eq!(guess(&prompts), (0..30).map(|at| at / 2 * 2).collect::<Vec<_>>());
    // A passage that two questions share still joins them.
    let asked: Vec<String> = (0..30)
        .map(|at| format!("{} {} {instruction}", words(1_000 * (at / 2), 80), words(90_000 + 10 * at, 8)))
        .collect();
    assert_eq!(guess(&asked), (0..30).map(|at| at / 2 * 2).collect::<Vec<_>>());
}

/// Comparing all with all would be 200 million comparisons, for each of the kinds of boilerplate.
#[test]
fn boilerplate_in_every_text_is_no_quadratic_work() {
    let boilerplate = words(0, 60);
    let all = |own: usize| -> Vec<String> {
        (0..20_000).map(|at| format!("{boilerplate} {}", words(1_000 + 50 * at, own))).collect()
    };
    // Of 60 - 7 = 53 8-grams more than 80% are shared by all with 13 more, and not with 14 more.
    let distinct = |names: Vec<String>| BTreeSet::from_iter(names).len();
    assert_eq!(distinct(texts(&all(13))), 1);
    assert_eq!(distinct(texts(&all(14))), 20_000);
}

fn text() -> impl Strategy<Value = String> {
    // Words of few kinds, in runs that texts share.
    let run =
        (0usize..6, 0usize..12, 1usize..14).prop_map(|(block, from, count)| words(100 * block + from, count));
    prop::collection::vec(run, 1..4).prop_map(|runs| runs.join(" "))
}

proptest! {
    #[test]
    fn groups_are_those_of_comparing_all_pairs(all in prop::collection::vec(text(), 1..25)) {
        prop_assert_eq!(partition(&texts(&all)), brute_force(&all));
    }

    #[test]
    fn the_order_of_rows_changes_neither_groups_nor_names(
        all in prop::collection::vec(text(), 1..20).prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
    ) {
        let (one, other) = all;
        let named = |rows: &[String]| -> HashMap<String, String> { rows.iter().cloned().zip(texts(rows)).collect() };
        prop_assert_eq!(named(&one), named(&other));
    }

    #[test]
    fn case_and_white_space_join(all in prop::collection::vec(text(), 1..10)) {
        let twice: Vec<String> =
            all.iter().cloned().chain(all.iter().map(|text| text.to_uppercase().replace(' ', " \n"))).collect();
        let names = texts(&twice);
        prop_assert_eq!(&names[..all.len()], &names[all.len()..]);
        let alone = texts(&all);
        prop_assert_eq!(&names[..all.len()], alone.as_slice());
    }
}
