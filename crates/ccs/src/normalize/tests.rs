//! What normalization takes out, for every kind.

use tch::Device;

use super::*;

fn contrast(plus: &[f32], minus: &[f32]) -> Contrast {
    let rows = plus.len() as i64;
    let column = |v: &[f32]| Tensor::from_slice(v).reshape([rows, 1]);
    let labels = (0..rows).map(|i| i % 2 == 0).collect();
    let groups = (0..rows).map(|i| i.to_string()).collect();
    Contrast::new(column(plus), column(minus), labels, groups).unwrap()
}

#[test]
fn population_statistics_per_side() {
    let train = contrast(&[1.0, 3.0], &[5.0, 5.0]);
    let normalizer = Normalizer::fit(&train).unwrap();
    let (plus, minus) = normalizer.apply(&contrast(&[1.0, 4.0], &[5.0, 5.5]), Kind::Double).unwrap();
    assert_eq!(Vec::<f64>::try_from(plus.reshape(-1)).unwrap(), [-1.0, 2.0]); // ddof 0: std is 1, not √2
    assert_eq!(Vec::<f64>::try_from(minus.reshape(-1)).unwrap(), [0.0, 0.5]); // constant: only centered
}

#[test]
fn a_constant_dimension_that_drifts_does_not_drown_the_others() {
    let pair = |values: &[f32]| Tensor::from_slice(values).reshape([2, 2]);
    let make = |values: &[f32]| {
        let groups = vec!["a".to_owned(), "b".to_owned()];
        Contrast::new(pair(values), pair(values), vec![true, false], groups).unwrap()
    };
    let normalizer = Normalizer::fit(&make(&[1.0, 7.0, 3.0, 7.0])).unwrap();
    let (plus, _) = normalizer.apply(&make(&[3.0, 7.25, 1.0, 6.5]), Kind::Double).unwrap();
    assert_eq!(Vec::<f64>::try_from(plus.reshape(-1)).unwrap(), [1.0, 0.25, -1.0, -0.5]);
}

#[test]
fn a_large_offset_does_not_cancel() {
    let train = contrast(&[1e4, 1e4 + 0.01], &[0.0, 1.0]);
    let (plus, _) = Normalizer::fit(&train).unwrap().apply(&train, Kind::Double).unwrap();
    let values = Vec::<f64>::try_from(plus.reshape(-1)).unwrap();
    assert!((values[0] + 1.0).abs() < 1e-9 && (values[1] - 1.0).abs() < 1e-9, "{values:?}");
}

#[test]
fn another_dimension_is_refused() {
    let normalizer = Normalizer::fit(&contrast(&[1.0, 3.0], &[5.0, 5.0])).unwrap();
    let wide = Contrast::new(
        Tensor::zeros([1, 2], (Kind::Float, tch::Device::Cpu)),
        Tensor::zeros([1, 2], (Kind::Float, tch::Device::Cpu)),
        vec![true],
        vec![String::new()],
    )
    .unwrap();
    assert!(matches!(normalizer.apply(&wide, Kind::Float), Err(crate::Error::Shape { .. })));
}

/// Two templates of eight questions; everything in the second is ten times larger and shifted.
fn templated() -> Contrast {
    let text = |prefix: &str, of: fn(usize) -> usize| (0..16).map(|i| format!("{prefix}{}", of(i))).collect();
    let column = |a: [f32; 2], b: [f32; 2]| {
        let values: Vec<f32> = [a; 4].into_iter().chain([b; 4]).flatten().collect();
        Tensor::from_slice(&values).reshape([16, 1])
    };
    let (plus, minus) = (column([1.0, 3.0], [110.0, 130.0]), column([5.0, 7.0], [-50.0, -10.0]));
    let labels = (0..16).map(|i| i % 2 == 0).collect();
    let pairs = Contrast::new(plus, minus, labels, text("g", |i| i % 8)).unwrap();
    let templates = (0..16).map(|i| if i < 8 { "a".to_owned() } else { "b".to_owned() }).collect();
    pairs.with_variants(text("q", |i| i % 8), templates).unwrap()
}

fn values(t: &Tensor) -> Vec<f64> {
    Vec::try_from(t.reshape([-1])).unwrap()
}

#[test]
fn every_template_has_its_own_statistics_and_unknown_ones_the_pooled() {
    let train = templated();
    let normalizer = Normalizer::fit(&train).unwrap();
    assert_eq!(normalizer.templates(), ["a", "b"]);
    let (plus, minus) = normalizer.apply(&train, Kind::Double).unwrap();
    assert_eq!(values(&plus), [-1.0, 1.0].repeat(8));
    assert_eq!(values(&minus), [-1.0, 1.0].repeat(8));
    // By name, not by number: here b is the first template.
    let b = train.select(&[8, 0]).unwrap();
    let text = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    let renamed =
        Contrast::new(b.plus().copy(), b.minus().copy(), vec![true, true], text(["g", "h"])).unwrap();
    let renamed = renamed.with_variants(text(["q0", "q1"]), text(["b", "c"])).unwrap();
    let plus = values(&normalizer.apply(&renamed, Kind::Double).unwrap().0);
    let pooled = (1.0 - normalizer.plus.mean.double_value(&[0])) / normalizer.plus.std.double_value(&[0]);
    assert_eq!(plus, [-1.0, pooled]);
    // One template among the training rows is no reason for a table, but its name is kept.
    for kind in Normalization::ALL {
        let one = Normalizer::fit_as(kind, &train.select(&[0, 1]).unwrap()).unwrap();
        assert!(one.templates.is_none() && one.templates() == ["a"], "{kind}");
        assert!(
            one.templates_with_few_rows().is_empty(),
            "{kind}: there are no others to take a spread from"
        );
    }
}

#[test]
fn a_template_of_pooled_data_sets_is_known_by_its_own_name_where_only_one_of_them_has_it() {
    // The first eight rows are of one template, the others of another.
    let named = |names: [&str; 2]| {
        let questions = (0..16).map(|i| format!("q{}", i % 8)).collect();
        let templates = (0..16).map(|i| names[i / 8].to_owned()).collect();
        templated().with_variants(questions, templates).unwrap()
    };
    let pool = |names: [&str; 2]| Normalizer::fit(&named(names)).unwrap();
    let two = pool(["boolq/exam", "imdb/review"]);
    assert_eq!(two.template("exam"), Some("boolq/exam"));
    assert_eq!(two.template("imdb/review"), Some("imdb/review"));
    assert_eq!((two.template("am"), two.template("claim"), two.template("")), (None, None, None));
    let plus = values(&two.apply(&named(["exam", "review"]), Kind::Double).unwrap().0);
    assert!(plus.chunks(2).all(|pair| pair == [-1.0, 1.0]), "{plus:?}");
    // Both data sets have it, so its name alone does not say whose statistics are meant.
    let same = pool(["boolq/exam", "imdb/exam"]);
    assert_eq!((same.template("exam"), same.template("imdb/exam")), (None, Some("imdb/exam")));
}

#[test]
fn burns_scales_both_sides_by_one_number() {
    let train = contrast(&[1.0, 3.0], &[5.0, 11.0]);
    let normalizer = Normalizer::fit_as(Normalization::Burns, &train).unwrap();
    let (plus, minus) = normalizer.apply(&train, Kind::Double).unwrap();
    // Centered pairs (∓1, ∓3) have length √10, which becomes √2.
    let want = 2f64.sqrt() / 10f64.sqrt();
    for (got, want) in
        values(&plus).into_iter().chain(values(&minus)).zip([-want, want, -3.0 * want, 3.0 * want])
    {
        assert!((got - want).abs() < 1e-12);
    }
    let flat = Normalizer::fit_as(Normalization::Burns, &contrast(&[1.0, 1.0], &[2.0, 2.0])).unwrap();
    assert_eq!(values(&flat.plus.std), [1.0], "nothing to scale by");
}

#[test]
fn leace_leaves_sides_and_templates_with_equal_means() {
    let train = templated();
    let normalizer = Normalizer::fit_as(Normalization::Leace, &train).unwrap();
    let (plus, minus) = normalizer.apply(&train, Kind::Double).unwrap();
    for rows in [0, 8] {
        for side in [&plus, &minus] {
            assert!(side.narrow(0, rows, 8).mean(Kind::Double).double_value(&[]).abs() < 1e-5);
        }
    }
}

#[test]
fn statistics_taken_anew_are_marked() {
    let normalizer =
        Normalizer::fit_as(Normalization::MeanOnly, &contrast(&[1.0, 3.0], &[5.0, 5.0])).unwrap();
    let target = contrast(&[11.0, 13.0], &[6.0, 8.0]);
    let anew = normalizer.reestimated(&target).unwrap();
    assert!(anew.is_reestimated() && !normalizer.is_reestimated());
    assert_eq!((anew.kind(), values(&anew.plus.mean)), (Normalization::MeanOnly, vec![12.0]));
}

#[test]
fn names_are_read_back() {
    for kind in Normalization::ALL {
        assert_eq!(kind.name().parse::<Normalization>().unwrap(), kind);
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    assert!("elementwise2".parse::<Normalization>().is_err());
}

/// Rows so long that a part holds three of them: eight rows are three parts, the last of them short.
#[test]
fn parts_of_the_rows_are_normalized_as_all_of_them() {
    let (rows, dim) = (8, PART / 3);
    let states = |step: f64| {
        let values = (Tensor::arange(rows * dim, (Kind::Double, Device::Cpu)) * step).sin();
        values.reshape([rows, dim]).to_kind(Kind::Float)
    };
    let text = |of: &dyn Fn(i64) -> i64| (0..rows).map(|row| of(row).to_string()).collect::<Vec<_>>();
    let labels = || (0..rows).map(|row| row % 2 == 0).collect::<Vec<_>>();
    let plain = Contrast::new(states(0.7), states(1.3), labels(), text(&|row| row)).unwrap();
    let several = Contrast::new(states(0.7), states(1.3), labels(), text(&|row| row)).unwrap();
    // Template 2 has one row, which gets what all rows have together.
    let several =
        several.with_variants(text(&|row| row), text(&|row| if row == 6 { 2 } else { row % 2 })).unwrap();
    for pairs in [plain, several] {
        let normalizer = Normalizer::fit(&pairs).unwrap();
        let (plus, minus) = normalizer.apply(&pairs, Kind::Double).unwrap();
        for row in 0..rows {
            let alone = pairs.select(&[row as usize]).unwrap();
            let (own_plus, own_minus) = normalizer.apply(&alone, Kind::Double).unwrap();
            assert!(plus.narrow(0, row, 1).equal(&own_plus) && minus.narrow(0, row, 1).equal(&own_minus));
        }
        let differences = normalizer.differences(&pairs, Kind::Float).unwrap();
        assert!(differences.equal(&(&plus - &minus).to_kind(Kind::Float)), "subtracted in f64");
        assert!(plus.abs().max().double_value(&[]) > 1.0 && !plus.equal(&minus));
    }
}
