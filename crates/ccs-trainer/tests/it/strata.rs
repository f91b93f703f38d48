//! Columns of the data that a probe follows instead of truth are named, and others are not.

use std::collections::BTreeSet;

use ccs::SeedTree;
use ccs_report::{ColumnReport, Finding, Method, Report, Verdict};
use ccs_trainer::{Compute, Memory, Rows, Settings};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use crate::data::run;

const DIM: usize = 8;

/// Rows whose states carry the label along the first axis and a bit of a column along the second.
#[derive(Default)]
struct Set {
    labels: Vec<bool>,
    bits: Vec<bool>,
    columns: Vec<(String, Vec<Option<String>>)>,
    truth: f32,
    distractor: f32,
    rows_per_group: usize,
}

impl Set {
    fn source(&self, rng: &mut impl Rng) -> Memory {
        let (mut plus, mut minus) = (Vec::new(), Vec::new());
        for (&label, &bit) in self.labels.iter().zip(&self.bits) {
            for (side, states) in [(1.0, &mut plus), (-1.0, &mut minus)] {
                for axis in 0..DIM {
                    let noise: f32 = rng.sample(StandardNormal);
                    let toward = |yes: bool| if yes { side } else { -side };
                    let signal = match axis {
                        0 => self.truth * toward(label),
                        1 => self.distractor * toward(bit),
                        _ => 0.0,
                    };
                    states.push(noise + signal);
                }
            }
        }
        let rows = self.labels.len();
        let about = Rows {
            ids: (0..rows).map(|row| row.to_string()).collect(),
            groups: (0..rows).map(|row| format!("passage {}", row / self.rows_per_group.max(1))).collect(),
            labels: self.labels.clone(),
            columns: self.columns.iter().cloned().collect(),
            ..Rows::default()
        };
        Memory::new(about).with_layer("hook_embed", plus, minus)
    }

    fn report(&self, rng: &mut impl Rng) -> Report {
        let names = ["ccs", "lr"].map(crate::data::method);
        let mut settings = Settings {
            methods: Some(names.to_vec()),
            directions: 5,
            folds: 2,
            recursive: 0,
            seeds: 0,
            shuffles: 0,
            ..Settings::default()
        };
        (settings.ccs.max_iter, settings.ccs.n_init) = (40, 2);
        run(&self.source(rng), &settings, Compute { threads: 1, ..Compute::default() }).unwrap().report
    }
}

/// The columns that a method is warned of.
fn warned(report: &Report, method: Method) -> BTreeSet<&str> {
    report.diagnostics[&method].columns.iter().filter(|c| c.explains).map(|c| c.column.as_str()).collect()
}

fn column<'a>(report: &'a Report, method: Method, name: &str) -> &'a ColumnReport {
    report.diagnostics[&method].columns.iter().find(|c| c.column == name).unwrap()
}

fn warnings(report: &Report, method: Method) -> Vec<&Verdict> {
    let is = |v: &&Verdict| v.method == method && v.finding == Finding::ExplainedByColumn;
    report.verdicts.iter().filter(is).collect()
}

/// A column of words, each of which stands for one answer; both answers have words.
fn words(rng: &mut impl Rng, answers: &[bool], words: usize) -> Vec<Option<String>> {
    let value = |answer: bool, at: usize| {
        format!("{} {}", ["kind", "Länge", "関係", "7"][at % 4], 2 * at + usize::from(answer))
    };
    let of_answer = |answer: bool| if answer { words.div_ceil(2) } else { words / 2 };
    answers.iter().map(|&answer| Some(value(answer, rng.random_range(0..of_answer(answer))))).collect()
}

/// The same answers, each kept with this probability and else drawn anew.
fn like(rng: &mut impl Rng, answers: &[bool], kept: f64) -> Vec<bool> {
    answers.iter().map(|&answer| if rng.random_bool(kept) { answer } else { rng.random_bool(0.5) }).collect()
}

const NAMES: [&str; 9] =
    ["relation", "Thema", "関係", "label", "a`b", "<b>", "length, in words", "1", "\u{202e}turned \u{7}"];

/// A set by its seed, and whether a probe of either method is to follow its column, `NAMES[seed % 9]`.
fn drawn(seed: usize) -> (Set, bool, impl Rng) {
    let mut rng = SeedTree::new(17).indexed("set", seed).rng();
    let rows = 2 * rng.random_range(120..200);
    let share = rng.random_range(0.35..0.65);
    let labels: Vec<bool> = (0..rows).map(|_| rng.random_bool(share)).collect();
    let follows = seed.is_multiple_of(2);
    // What a probe is to follow has something to do with the labels, else a method with labels would not follow it.
    let bits = if follows {
        let kept = rng.random_range(0.3..0.7);
        like(&mut rng, &labels, kept)
    } else {
        like(&mut rng, &labels, 0.0)
    };
    let mut set = Set { labels, bits, rows_per_group: 1 + seed / 2 % 2, ..Set::default() };
    let name = |at: usize| NAMES[(seed + at) % NAMES.len()].to_owned();
    if follows {
        set.distractor = rng.random_range(1.5..4.0);
        let count = rng.random_range(2..=12);
        set.columns.push((name(0), words(&mut rng, &set.bits, count)));
    } else {
        set.truth = if seed % 6 == 1 { 0.0 } else { rng.random_range(0.2..3.0) };
    }
    for other in 1..=rng.random_range(1..=4) {
        // Without a distractor a column may share much with the labels, up to all but a few rows.
        let kept = if follows || other > 1 { 0.0 } else { [0.0, 0.4, 0.7, 0.9, 0.97][seed / 2 % 5] };
        let answers = like(&mut rng, &set.labels, kept);
        let count = rng.random_range(2..=12);
        let mut values = words(&mut rng, &answers, count);
        if seed.is_multiple_of(3) {
            values.iter_mut().step_by(5).for_each(|value| *value = None);
        }
        set.columns.push((name(other), values));
    }
    (set, follows, rng)
}

/// The most events that are to be expected of so many trials with this probability; more happen once in a thousand times.
fn at_most(trials: usize, probability: f64) -> usize {
    let mut term = (1.0 - probability).powi(trials as i32);
    let (mut sum, mut count) = (term, 0);
    while sum < 0.999 {
        term *= (trials - count) as f64 / (count + 1) as f64 * probability / (1.0 - probability);
        sum += term;
        count += 1;
    }
    count
}

#[test]
fn the_column_that_a_probe_was_made_to_follow_is_named_and_no_other() {
    let (sets, methods) = (120, [Method::CCS, Method::LR]);
    let (mut without, mut false_warnings, mut missed) = (0, Vec::new(), Vec::new());
    for seed in 0..sets {
        let (set, follows, mut rng) = drawn(seed);
        let report = set.report(&mut rng);
        let expected: BTreeSet<&str> = follows.then_some(NAMES[seed % NAMES.len()]).into_iter().collect();
        without += usize::from(!follows);
        for method in methods {
            let found = warned(&report, method);
            assert_eq!(found.len(), warnings(&report, method).len(), "each has its sentence");
            if !found.is_superset(&expected) {
                missed.push((seed, method, column(&report, method, NAMES[seed % NAMES.len()]).clone()));
            }
            let wrong: Vec<_> = found.difference(&expected).map(|name| (*name).to_owned()).collect();
            if !wrong.is_empty() {
                false_warnings.push((
                    seed,
                    method,
                    wrong.clone(),
                    column(&report, method, &wrong[0]).clone(),
                ));
            }
            for verdict in warnings(&report, method) {
                assert!(
                    found.iter().any(|name| verdict.text.contains(&format!("the column `{name}`"))),
                    "{}",
                    verdict.text
                );
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    let of_none = false_warnings.iter().filter(|(seed, ..)| seed % 2 == 1).map(|found| found.0);
    let of_none = of_none.collect::<BTreeSet<_>>().len();
    let all = false_warnings.iter().map(|found| found.0).collect::<BTreeSet<_>>().len();
    println!("false warnings: {of_none} of {without}, {all} of {sets}: {false_warnings:#?}");
    assert!(of_none <= at_most(without, 0.05) && all <= at_most(sets, 0.05), "{false_warnings:#?}");
}

#[test]
fn a_truthful_probe_is_not_called_a_follower_of_what_goes_with_the_labels() {
    // A column that gives the label in 60% to 99% of rows, and probes that find truth, well or barely.
    let mut warned_of = Vec::new();
    let mut sets = 0;
    for (at, truth) in [0.3f32, 0.6, 1.0, 2.0].into_iter().enumerate() {
        for (nth, kept) in [0.2, 0.6, 0.9, 0.98].into_iter().enumerate() {
            let mut rng = SeedTree::new(3).indexed("truthful", 4 * at + nth).rng();
            let labels: Vec<bool> = (0..500).map(|_| rng.random_bool(0.5)).collect();
            let bits = like(&mut rng, &labels, kept);
            let values = words(&mut rng, &bits, 4);
            let set =
                Set { labels, bits, truth, columns: vec![("topic".to_owned(), values)], ..Set::default() };
            let report = set.report(&mut rng);
            sets += 1;
            for method in [Method::CCS, Method::LR] {
                let found = column(&report, method, "topic");
                assert!(found.label_accuracy > 0.5 + kept / 2.0 - 0.1, "{}", found.label_accuracy);
                if found.explains {
                    warned_of.push((truth, kept, method, found.clone()));
                }
            }
        }
    }
    assert!(warned_of.len() <= at_most(2 * sets, 0.05), "{warned_of:#?}");
}

#[test]
fn companies_of_a_probe_that_found_the_headquarters() {
    // Half of the statements are of headquarters, and true more often; the states say which, and nothing of truth.
    let mut rng = SeedTree::new(9).child("companies").rng();
    let rows = 2000;
    let bits: Vec<bool> = (0..rows).map(|_| rng.random_bool(0.5)).collect();
    let labels: Vec<bool> = bits.iter().map(|&bit| rng.random_bool(if bit { 0.62 } else { 0.38 })).collect();
    let other = ["founded", "industry", "products"];
    let relation = bits
        .iter()
        .map(|&bit| Some(if bit { "headquarters" } else { other[rng.random_range(0..3)] }.to_owned()));
    let columns = vec![("relation".to_owned(), relation.collect())];
    let set = Set { labels, bits, columns, distractor: 1.0, rows_per_group: 2, ..Set::default() };
    let report = set.report(&mut rng);
    for method in [Method::CCS, Method::LR] {
        let found = column(&report, method, "relation");
        let auroc = report.chosen[&method].test.as_ref().unwrap().auroc.unwrap();
        assert!((0.55..0.66).contains(&auroc), "{auroc}");
        assert!((0.85..0.97).contains(&found.agreement.value), "{:?}", found.agreement);
        let within = found.within.unwrap();
        let [low, high] = within.ci.unwrap();
        assert!((within.value - 0.5).abs() < 0.06 && low < 0.5 && 0.5 < high, "{within:?}");
        assert!(found.beyond_labels.unwrap().value > 0.9 && found.results == 2);
        let headquarters = found.strata.iter().find(|stratum| stratum.value == "headquarters").unwrap();
        assert!(headquarters.predicted as f64 > 0.85 * headquarters.rows as f64, "{headquarters:?}");
        assert_eq!(found.strata.iter().map(|stratum| stratum.rows).sum::<usize>(), report.rows.test);
        let [warning] = warnings(&report, method)[..] else { panic!("{:#?}", report.verdicts) };
        let text = &warning.text;
        assert!(text.contains("follows the column `relation` more closely than truth"), "{text}");
        assert!(
            text.contains(&format!(
                "within values of `relation` its AUROC is {:.3} (95% interval",
                within.value
            )),
            "{text}"
        );
    }
}

#[test]
fn the_label_and_its_inverse_explain_nothing_even_where_they_are_named() {
    let mut rng = SeedTree::new(4).child("inverse").rng();
    let labels: Vec<bool> = (0..300).map(|_| rng.random_bool(0.5)).collect();
    let of = |yes: &str, no: &str| {
        labels.iter().map(|&label| Some(if label { yes } else { no }.to_owned())).collect::<Vec<_>>()
    };
    let columns = vec![
        ("is false".to_owned(), of("0", "1")),
        ("one value".to_owned(), of("x", "x")),
        ("nothing".to_owned(), vec![None; 300]),
    ];
    let set = Set { bits: labels.clone(), labels, truth: 1.0, columns, ..Set::default() };
    let settings = Settings {
        methods: Some(vec![Method::LR]),
        strata: ["is false", "one value", "nothing"].map(str::to_owned).to_vec(),
        ..Settings::default()
    };
    let report =
        run(&set.source(&mut rng), &settings, Compute { threads: 1, ..Compute::default() }).unwrap().report;
    let found = &report.diagnostics[&Method::LR].columns;
    assert_eq!(
        found.iter().map(|c| c.column.as_str()).collect::<Vec<_>>(),
        ["is false", "one value", "nothing"]
    );
    assert!(found.iter().all(|column| !column.explains));
    assert!((found[0].label_accuracy, found[0].within) == (1.0, None), "every value has one label");
    let overall = report.chosen[&Method::LR].test.as_ref().unwrap().auroc;
    assert_eq!((found[1].within.map(|within| within.value), found[2].within), (overall, None));
    assert_eq!((found[1].strata.len(), found[2].strata.len()), (1, 0));
}
