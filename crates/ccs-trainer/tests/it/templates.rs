//! Runs on questions under several templates, not all of them under each.

use ccs::Probe;
use ccs::SeedTree;
use ccs_report::Ensembling;
use ccs_report::Method;
use ccs_report::Report;
use ccs_trainer::{Memory, Rows, Settings};
use rand::RngExt;
use rand_distr::StandardNormal;

use crate::methods::{fit, settings};

const DIM: usize = 8;
const TEMPLATES: [&str; 3] = ["exam", "yes_no", "claim"];

/// Question q has its template 0 always, template 1 but for every fifth, template 2 for every second. Each template moves
/// the states of either side far, and only the truth along the first axis tells anything.
fn ragged(questions: usize) -> Memory {
    let mut rng = SeedTree::new(5).child("ragged").rng();
    let mut rows = Rows::default();
    let (mut plus, mut minus) = (Vec::new(), Vec::new());
    for question in 0..questions {
        let label = rng.random_bool(0.5);
        for (template, name) in TEMPLATES.iter().enumerate() {
            if (template == 1 && question % 5 == 0) || (template == 2 && question % 2 == 0) {
                continue;
            }
            rows.ids.push(question.to_string());
            rows.labels.push(label);
            rows.questions.push(format!("q{question}"));
            rows.templates.push((*name).to_owned());
            rows.groups.push(format!("passage {}", question / 2));
            for (side, states) in [(1f32, &mut plus), (-1.0, &mut minus)] {
                for axis in 0..DIM {
                    let noise: f32 = rng.sample(StandardNormal);
                    let moved = side * 6.0 * (template as f32 - 1.0) * if axis == 0 { 1.0 } else { 0.5 };
                    let truth = if axis == 0 { side * if label { 1.5 } else { -1.5 } } else { 0.0 };
                    states.push(noise + moved + truth);
                }
            }
        }
    }
    Memory::new(rows).with_layer("hook_embed", plus, minus)
}

fn quick() -> Settings {
    let probes = ccs_trainer::method::ALL
        .iter()
        .filter(|m| m.fits_probes && m.pairs)
        .map(ccs_trainer::method::Known::method)
        .chain([Method::RANDOM])
        .collect();
    Settings { methods: Some(probes), ..settings() }
}

#[test]
fn every_template_has_its_statistics_and_all_methods_read_through_them() {
    let done = fit(&ragged(150), &quick(), 1);
    assert_eq!(
        done.probes.len(),
        ccs_trainer::method::ALL.iter().filter(|m| m.fits_probes && m.pairs).count()
    );
    for (method, _, probe) in &done.probes {
        let mut names = probe.normalizer().templates().to_vec();
        names.sort();
        assert_eq!(names, ["claim", "exam", "yes_no"], "{method}");
        let accuracy = done.report.chosen[method].test.as_ref().unwrap().accuracy;
        assert!(accuracy > 0.9, "{method}: {accuracy}");
        let back = Probe::load(saved(probe).path()).unwrap();
        assert_eq!(back.normalizer().templates(), probe.normalizer().templates());
    }
}

fn saved(probe: &Probe) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    probe.save(file.path()).unwrap();
    file
}

#[test]
fn templates_are_reported_one_by_one_and_together() {
    let report: Report = fit(&ragged(150), &quick(), 1).report;
    assert_eq!(report.groups.train + report.groups.test, 75);
    assert_eq!(
        report.diagnostics.len(),
        ccs_trainer::method::ALL.iter().filter(|m| m.fits_probes && m.pairs).count()
    );
    for (method, close) in &report.diagnostics {
        let names: Vec<&str> = close.templates.iter().map(|t| t.template.as_str()).collect();
        assert_eq!(names.len(), 3, "{method}: {names:?}");
        assert_eq!(close.templates.iter().map(|t| t.rows).sum::<usize>(), report.rows.test);
        for template in &close.templates {
            let own = template.own.as_ref().unwrap();
            assert!(own.accuracy > 0.75 && template.pooled.accuracy > 0.8, "{method} {template:?}");
            assert!(template.pooled.accuracy_ci.is_some() && own.auroc_ci.is_some());
        }
        let weighted: f64 = close.templates.iter().map(|t| t.pooled.accuracy * t.rows as f64).sum();
        let test = &report.layers[0].methods[method].test;
        assert!((weighted / report.rows.test as f64 - test.accuracy).abs() < 1e-9, "{method}");

        let of = |mode| &close.ensembles.iter().find(|e| e.ensembling == mode).unwrap().test;
        let count = |mode| {
            let c = of(mode).confusion.unwrap();
            c.true_positive + c.false_positive + c.true_negative + c.false_negative
        };
        assert_eq!(count(Ensembling::None), 2 * report.rows.test);
        assert_eq!(count(Ensembling::Partial), report.rows.test);
        assert_eq!(of(Ensembling::Partial).accuracy, test.accuracy, "{method}: the same rows and decisions");
        assert!(count(Ensembling::Full) < report.rows.test && of(Ensembling::Full).auroc_ci.is_some());
        let [full, none] = [Ensembling::Full, Ensembling::None].map(|mode| of(mode).auroc.unwrap());
        assert!(full >= none, "{method}: {full} and {none}");
    }
}

#[test]
fn a_template_that_is_among_the_test_rows_only_has_no_fit_of_its_own() {
    let data = ragged(60);
    let mut rows = ccs_trainer::Source::rows(&data).clone();
    let first = fit(&data, &quick(), 1);
    // One test row's template is found nowhere else.
    let row = first.split.test.row[0];
    rows.templates[row] = "rare".to_owned();
    let [plus, minus] =
        ccs_trainer::Source::load(&data, &ccs_trainer::Source::layers(&data)[0]).unwrap().sides().unwrap();
    let values = |t: &tch::Tensor| Vec::<f32>::try_from(t.reshape([-1])).unwrap();
    let data = Memory::new(rows).with_layer("hook_embed", values(&plus), values(&minus));
    let report = fit(&data, &quick(), 1).report;
    let close = &report.diagnostics[&Method::CCS];
    let rare = close.templates.iter().find(|t| t.template == "rare").unwrap();
    assert!(rare.rows == 1 && rare.own.is_none() && rare.pooled.auroc.is_none(), "{rare:?}");
}

#[test]
fn a_question_twice_under_one_template_is_refused() {
    let data = ragged(60);
    let mut rows = ccs_trainer::Source::rows(&data).clone();
    rows.templates[1] = rows.templates[0].clone();
    rows.questions[1] = rows.questions[0].clone();
    let [plus, minus] =
        ccs_trainer::Source::load(&data, &ccs_trainer::Source::layers(&data)[0]).unwrap().sides().unwrap();
    let values = |t: &tch::Tensor| Vec::<f32>::try_from(t.reshape([-1])).unwrap();
    let data = Memory::new(rows).with_layer("hook_embed", values(&plus), values(&minus));
    let error = crate::data::run(&data, &quick(), ccs_trainer::Compute::default()).unwrap_err();
    let ccs_trainer::Error::InLayer { source, .. } = error else { panic!("{error}") };
    assert!(matches!(*source, ccs_trainer::Error::Probe(ccs::Error::Variant { row: 1, .. })), "{source}");
}

#[test]
fn states_that_differ_between_templates_alone_are_nothing_to_fit() {
    let rows = ccs_trainer::Source::rows(&ragged(60)).clone();
    let of = |side: f32| -> Vec<f32> {
        let place = |t: &String| TEMPLATES.iter().position(|name| name == t).unwrap() as f32;
        rows.templates.iter().flat_map(|t| vec![side * place(t); DIM]).collect()
    };
    let data = Memory::new(rows.clone()).with_layer("hook_embed", of(1.0), of(-1.0));
    let report = fit(&data, &quick(), 1).report;
    assert!(report.layers[0].degenerate, "{:?}", report.layers[0].notes);
    assert!(report.layers[0].notes[0].contains("every training row of a template"));
    assert!(report.diagnostics.is_empty() && report.seeds.is_empty() && report.comparisons.is_empty());
}

#[test]
fn calibration_takes_out_each_template_s_liking_for_one_answer() {
    let data = ragged(150);
    let mut rows = ccs_trainer::Source::rows(&data).clone();
    let [plus, minus] =
        ccs_trainer::Source::load(&data, &ccs_trainer::Source::layers(&data)[0]).unwrap().sides().unwrap();
    let values = |t: &tch::Tensor| Vec::<f32>::try_from(t.reshape([-1])).unwrap();
    // The first template always prefers the plus side, the others the minus side.
    let about = |row: usize| {
        let liking = if rows.templates[row] == TEMPLATES[0] { 10.0 } else { -10.0 };
        liking + if rows.labels[row] { 1.0 } else { -1.0 } + 0.3 * (row as f64).sin()
    };
    let logprob: Vec<f64> = (0..rows.labels.len()).map(about).collect();
    rows.answer_logprob = Some((logprob, vec![0.0; rows.labels.len()]));
    let data = Memory::new(rows).with_layer("hook_embed", values(&plus), values(&minus));
    let methods = Some(vec![Method::ZERO_SHOT, Method::CALIBRATED_ZERO_SHOT]);
    let report = fit(&data, &Settings { methods, ..settings() }, 1).report;
    let of = |method| report.layers[0].methods[&method].test.clone();
    let (plain, calibrated) = (of(Method::ZERO_SHOT), of(Method::CALIBRATED_ZERO_SHOT));
    assert!(plain.accuracy < 0.65 && plain.auroc.unwrap() < 0.8, "{plain:?}");
    assert!(calibrated.accuracy > 0.85 && calibrated.auroc.unwrap() > 0.9, "{calibrated:?}");
}
