//! Data and settings that cannot be used: each gives one error that names what is wrong.

use crate::data::run;
use ccs::Contrast;
use ccs::SeedTree;
use ccs::methods::ccs::{Ccs, ccs};
use ccs::methods::logistic::{LrOptions, logistic};
use ccs_report::Method;
use ccs_trainer::Error;
use ccs_trainer::{Compute, Memory, Rows, Settings, Source};

use crate::data::{Planted, three_layers};

fn quick() -> Settings {
    let mut settings = Settings { directions: 20, folds: 3, ..Settings::default() };
    settings.ccs.max_iter = 20;
    settings.ccs.n_init = 2;
    settings
}

fn error_of(source: &dyn Source, settings: &Settings) -> Error {
    run(source, settings, Compute::default()).unwrap_err()
}

#[test]
fn a_state_that_is_not_a_number_is_located_by_layer_side_row_and_column() {
    let planted = Planted::new(40, 4, 1.0, 0);
    let mut minus = planted.minus.clone();
    minus[17 * 4 + 2] = f32::NAN;
    let data = Memory::new(planted.rows())
        .with_layer("hook_embed", planted.plus.clone(), planted.minus.clone())
        .with_layer("blocks.0.hook_resid_post", planted.plus.clone(), minus);
    let error = error_of(&data, &quick());
    let Error::InLayer { layer: 1, hook, source } = &error else { panic!("{error}") };
    assert_eq!(hook, "blocks.0.hook_resid_post");
    assert!(
        matches!(**source, Error::Probe(ccs::Error::NotFinite { row: 17, column: Some(2), .. })),
        "{source}"
    );
    assert!(source.to_string().contains("minus state of row 17"), "{source}");
}

#[test]
fn a_log_probability_that_is_not_a_number_is_located() {
    let planted = Planted::new(40, 4, 1.0, 0);
    let mut rows = planted.rows();
    let mut logprob = vec![-1.0; 40];
    logprob[7] = f64::NEG_INFINITY;
    rows.answer_logprob = Some((vec![-1.0; 40], logprob));
    let data = Memory::new(rows).with_layer("hook_embed", planted.plus.clone(), planted.minus.clone());
    assert!(matches!(error_of(&data, &quick()), Error::Probe(ccs::Error::NotFinite { row: 7, .. })));
    let without = Settings { methods: Some(vec![Method::CCS, Method::LR]), ..quick() };
    assert!(run(&data, &without, Compute::default()).is_ok(), "nobody reads them");
    let with = Settings { methods: Some(vec![Method::LR, Method::CALIBRATED_ZERO_SHOT]), ..quick() };
    assert!(matches!(error_of(&data, &with), Error::Probe(ccs::Error::NotFinite { row: 7, .. })));
}

#[test]
fn one_class_few_rows_few_groups() {
    let planted = Planted::new(40, 4, 1.0, 0);
    let with = |change: &dyn Fn(&mut Rows)| {
        let mut rows = planted.rows();
        change(&mut rows);
        error_of(
            &Memory::new(rows).with_layer("hook_embed", planted.plus.clone(), planted.minus.clone()),
            &quick(),
        )
    };
    assert!(matches!(
        with(&|r| r.labels = vec![true; 40]),
        Error::Probe(ccs::Error::OneClass { label: true, .. })
    ));
    assert!(matches!(
        with(&|r| r.groups = vec!["one".into(); 40]),
        Error::Probe(ccs::Error::TooFewGroups { found: 1, .. })
    ));
    let three = |r: &mut Rows| r.groups = (0..40).map(|i| (i % 3).to_string()).collect();
    assert!(
        matches!(with(&three), Error::Probe(ccs::Error::TooFewGroups { needed: 3, .. })),
        "two groups left to train on for 3 folds"
    );
    assert!(matches!(with(&|r| r.labels.truncate(39)), Error::Probe(ccs::Error::Length { .. })));
    let none = Memory::new(Rows::default()).with_layer("hook_embed", vec![], vec![]);
    assert!(matches!(error_of(&none, &quick()), Error::Probe(ccs::Error::TooFewGroups { found: 0, .. })));
}

#[test]
fn one_class_given_to_a_fit_directly() {
    let planted = Planted::new(10, 2, 1.0, 0);
    let pairs = planted.contrast();
    let one =
        Contrast::new(pairs.plus().copy(), pairs.minus().copy(), vec![false; 10], planted.groups()).unwrap();
    let options = Ccs { max_iter: 1, ..Ccs::default() };
    assert!(matches!(ccs(&one, &options, &SeedTree::new(0)), Err(ccs::Error::OneClass { label: false, .. })));
    assert!(matches!(logistic(&one, &LrOptions::default()), Err(ccs::Error::OneClass { .. })));
    let none = Ccs { n_init: 0, ..options };
    assert!(matches!(ccs(&pairs, &none, &SeedTree::new(0)), Err(ccs::Error::Shape { .. })));
}

#[test]
fn settings_that_cannot_be_meant() {
    let data = three_layers(40, 4);
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = quick();
        change(&mut settings);
        error_of(&data, &settings)
    };
    assert!(matches!(with(&|s| s.layers = "1-9".parse().unwrap()), Error::UnknownLayer { layer: 3, .. }));
    let setting = |error: Error| match error {
        Error::Setting { name, .. } | Error::Probe(ccs::Error::Setting { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(setting(with(&|s| s.test_fraction = 0.0)), "test_fraction");
    assert_eq!(setting(with(&|s| s.folds = 1)), "folds");
    assert_eq!(setting(with(&|s| s.ccs.n_init = 0)), "n_init");
    assert!(matches!(with(&|s| s.directions = 0), Error::Setting { .. }));
    // Before any layer is loaded.
    assert_eq!(setting(with(&|s| s.ccs.learning_rate = f64::NAN)), "learning_rate");
    let alone = with(&|s| (s.recursive, s.methods) = (3, Some(vec![Method::LR])));
    assert_eq!(setting(alone), "recursive");
}

#[test]
fn zero_shot_without_log_probabilities_is_refused_only_when_asked_for() {
    let planted = Planted::new(40, 4, 1.0, 0);
    let data =
        Memory::new(planted.rows()).with_layer("hook_embed", planted.plus.clone(), planted.minus.clone());
    let mut settings = quick();
    let done = run(&data, &settings, Compute::default()).unwrap();
    assert!(!done.report.layers[0].methods.contains_key(&Method::ZERO_SHOT));
    settings.methods = Some(vec![Method::ZERO_SHOT]);
    assert!(matches!(error_of(&data, &settings), Error::NoAnswerLogprob));
}
