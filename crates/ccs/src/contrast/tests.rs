//! Pairs: what is refused, and what selecting keeps.

use tch::Kind;

use super::*;

fn groups(n: usize) -> Vec<String> {
    (0..n).map(|i| i.to_string()).collect()
}

fn states(values: &[f32], rows: i64) -> Tensor {
    Tensor::from_slice(values).reshape([rows, -1])
}

#[test]
fn a_value_that_is_not_finite_is_located() {
    let good = states(&[0.0; 6], 3);
    for bad in [f32::NAN, f32::INFINITY] {
        let minus = states(&[0.0, 0.0, 0.0, 0.0, 0.0, bad], 3);
        let error = Contrast::new(good.copy(), minus, vec![true, false, true], groups(3)).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 2, column: Some(1), .. }), "{error}");
        assert!(error.to_string().contains("minus state of row 2"), "{error}");
    }
}

#[test]
fn shapes_and_lengths_must_agree() {
    let one = || states(&[0.0; 6], 3);
    let labels = || vec![true, false, true];
    assert!(matches!(
        Contrast::new(one(), states(&[0.0; 6], 2), labels(), groups(3)),
        Err(Error::Shape { .. })
    ));
    assert!(matches!(
        Contrast::new(Tensor::from_slice(&[0.0f32; 3]), one(), labels(), groups(3)),
        Err(Error::Shape { .. })
    ));
    assert!(matches!(
        Contrast::new(one().to_kind(Kind::Int), one(), labels(), groups(3)),
        Err(Error::Shape { .. })
    ));
    assert!(matches!(
        Contrast::new(one(), one(), vec![true], groups(3)),
        Err(Error::Length { what: "labels", .. })
    ));
    assert!(matches!(
        Contrast::new(one(), one(), labels(), groups(2)),
        Err(Error::Length { what: "groups", .. })
    ));
}

#[test]
fn selecting_keeps_both_sides_labels_and_groups_together() {
    let plus = states(&[0.0, 1.0, 2.0], 3);
    let minus = states(&[0.0, -1.0, -2.0], 3);
    let contrast = Contrast::new(plus, minus, vec![true, false, true], groups(3)).unwrap();
    let part = contrast.select(&[2, 1]).unwrap();
    assert_eq!(Vec::<f32>::try_from(part.plus().reshape(-1)).unwrap(), [2.0, 1.0]);
    assert_eq!(Vec::<f32>::try_from(part.minus().reshape(-1)).unwrap(), [-2.0, -1.0]);
    assert_eq!(part.labels(), [true, false]);
    assert_eq!(part.groups(), ["2", "1"]);
    assert!(matches!(contrast.select(&[1, 3]), Err(Error::TooFewRows { needed: 4, found: 3, .. })));
    assert!(matches!(contrast.select(&[]), Err(Error::TooFewRows { found: 0, .. })));
}

#[test]
fn constant_means_both_sides_over_all_rows() {
    let flat = || states(&[3.0, 4.0, 3.0, 4.0], 2);
    let make = |plus, minus| Contrast::new(plus, minus, vec![true, false], groups(2)).unwrap();
    assert!(make(flat(), flat()).is_constant().unwrap());
    assert!(!make(flat(), states(&[3.0, 4.0, 3.0, 4.5], 2)).is_constant().unwrap());
}

fn with(questions: [&str; 3], templates: [&str; 3], groups: [&str; 3]) -> Result<Contrast> {
    let text = |names: [&str; 3]| names.map(str::to_owned).to_vec();
    let states = || states(&[0.0, 1.0, 2.0], 3);
    Contrast::new(states(), states(), vec![true, true, false], text(groups))?
        .with_variants(text(questions), text(templates))
}

#[test]
fn parts_keep_the_numbers_of_questions_and_templates() {
    let pairs = with(["a", "a", "b"], ["x", "y", "y"], ["g", "g", "h"]).unwrap();
    let part = pairs.select(&[2, 1]).unwrap();
    assert_eq!((part.questions().as_ref(), part.templates().as_ref()), (&[1, 0][..], &[1, 1][..]));
    assert_eq!(
        (part.question_names(), part.template_names()),
        (pairs.question_names(), pairs.template_names())
    );
    assert_eq!(part.rows_by_template(), [(1, vec![0, 1])]);
    assert_eq!(part.rows_by_question(), [(1, vec![0]), (0, vec![1])], "by their first rows here");
}

#[test]
fn rows_that_are_not_selected_have_no_say_in_the_order() {
    let order = |first: [&str; 3]| {
        let part = with(["c", "a", "b"], first, ["g", "g", "h"]).unwrap().select(&[1, 2]).unwrap();
        let rows: Vec<Vec<usize>> = part.rows_by_template().into_iter().map(|(_, rows)| rows).collect();
        rows
    };
    assert_eq!(order(["y", "x", "y"]), order(["z", "x", "y"]));
}

#[test]
fn without_variants_every_row_is_a_question_of_its_own() {
    let one = || states(&[0.0, 1.0, 2.0], 3);
    let pairs = Contrast::new(one(), one(), vec![true, false, true], groups(3)).unwrap();
    assert_eq!((pairs.questions().as_ref(), pairs.templates().as_ref()), (&[0, 1, 2][..], &[0, 0, 0][..]));
    assert!(pairs.template_names().is_empty());
}

#[test]
fn a_template_twice_and_a_question_in_two_groups_are_refused() {
    let error = with(["a", "b", "a"], ["x", "x", "x"], ["g", "g", "g"]).unwrap_err();
    assert!(matches!(error, Error::Variant { row: 2, .. }), "{error}");
    assert!(error.to_string().contains("question `a` has template `x` in row 0 too"), "{error}");
    let error = with(["a", "b", "a"], ["x", "x", "y"], ["g", "g", "h"]).unwrap_err();
    assert!(error.to_string().contains("question `a` is in another group in row 0"), "{error}");
    let one = || states(&[0.0], 1);
    let pairs = Contrast::new(one(), one(), vec![true], groups(1)).unwrap();
    assert!(matches!(
        pairs.with_variants(groups(2), groups(1)),
        Err(Error::Length { what: "questions", .. })
    ));
}
