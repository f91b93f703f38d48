//! What finding a direction says, through runs on data that say how many directions there are.

use ccs::SeedTree;
use ccs_report::sentences::Finding;
use ccs_report::{DirectionsReport, Method, Report};
use ccs_trainer::{Compute, Memory, Rows, Settings};
use rand::RngExt;
use rand_distr::StandardNormal;

use crate::data::{method, run};

const DIM: usize = 64;

/// 900 rows of a group each. Along the first `truths` of 64 axes the sides are opposite, by the label and more so by chance
/// of each axis' own; noise of spread 1 is along all.
fn planted(truths: usize, seed: u64) -> Memory {
    let mut rng = SeedTree::new(seed).child("planted directions").rng();
    let mut normal = || -> f32 { rng.sample(StandardNormal) };
    let labels: Vec<bool> = (0..900).map(|row| row % 2 == 0).collect();
    let (mut plus, mut minus) = (Vec::new(), Vec::new());
    for label in &labels {
        for axis in 0..DIM {
            let sign = if *label { 1.0 } else { -1.0 };
            let truth = if axis < truths { sign + 2.5 * normal() } else { 0.0 };
            plus.push(normal() + truth);
            minus.push(normal() - truth);
        }
    }
    let names = || (0..900).map(|row: usize| row.to_string()).collect::<Vec<_>>();
    let rows = Rows { ids: names(), groups: names(), labels, ..Rows::default() };
    Memory::new(rows).with_layer("hook_embed", plus, minus)
}

fn settings() -> Settings {
    let methods = Some(vec![method("mean_difference")]);
    Settings {
        methods,
        directions: 400,
        recursive: 0,
        seeds: 0,
        shuffles: 0,
        folds: 2,
        ..Settings::default()
    }
}

fn report(truths: usize, seed: u64) -> Report {
    run(&planted(truths, seed), &settings(), Compute { threads: 1, ..Compute::default() }).unwrap().report
}

/// What is found, and said in the run's one sentence about it.
fn found(report: &Report) -> (&DirectionsReport, Finding, &str) {
    let said: Vec<_> = report.verdicts.iter().filter(|v| v.finding.is_about_directions()).collect();
    assert_eq!(said.len(), 1, "{:?}", report.verdicts);
    assert_eq!(said[0].method, Method::RANDOM);
    (report.directions.as_ref().unwrap(), said[0].finding, &said[0].text)
}

#[test]
fn planted_directions_are_counted_and_many_are_called_many() {
    for (truths, expected, shares, stands) in [
        (1, Finding::FewDirections, 0.0..0.4, "1 direction stands out."),
        (3, Finding::FewDirections, 0.1..0.5, "3 directions stand out."),
        (30, Finding::ManyDirections, 0.55..0.95, "30 directions stand out."),
        (DIM, Finding::ManyDirections, 0.6..0.98, "64 directions stand out."),
    ] {
        let report = report(truths, 3);
        let (found, finding, text) = found(&report);
        assert_eq!(finding, expected, "{text}");
        assert!(shares.contains(&found.share), "{text}");
        assert!(text.ends_with(stands) && text.contains("of 400 random directions"), "{text}");
        assert_eq!(text.contains("finding one says little"), finding == Finding::ManyDirections, "{text}");
        assert_eq!(found.above, (400.0 * found.share).round() as usize);
        for of in &found.spectra {
            // All that is left of 64 equally large eigenvalues is what the smallest of them are.
            assert_eq!(of.standing_out, truths, "{} {of:?}", of.title);
            assert_eq!((of.eigenvalues.len(), of.dimensions), (20, DIM));
            let above = of.eigenvalues.iter().filter(|&&v| v > of.null_high).count();
            assert_eq!(above, truths.min(20), "{}", of.title);
        }
        assert_eq!(
            found.spectra.iter().map(|of| of.title.as_str()).collect::<Vec<_>>(),
            ["DRC", "RRC", "VINC"]
        );
    }
}

/// Of 12 runs 0.6 are expected to say either of share and RRC's spectrum; more than four of one are as rare as 1 in 1000.
#[test]
fn where_there_is_nothing_nothing_is_said_to_stand_out() {
    let (mut shares, mut spectra) = (0, 0);
    for seed in 0..12 {
        let report = report(0, seed);
        let (found, finding, text) = found(&report);
        let standing_out = found.spectra[1].standing_out;
        shares += usize::from(found.more_than_chance);
        spectra += usize::from(standing_out > 0);
        if !found.more_than_chance && standing_out == 0 {
            assert_eq!(finding, Finding::NoDirectionsShown, "{text}");
            assert!(
                text.contains("not shown to be more than chance")
                    && text.ends_with("RRC none is shown to stand out."),
                "{text}"
            );
        }
    }
    assert!(shares <= 4 && spectra <= 4, "{shares} and {spectra}");
}

#[test]
fn few_groups_have_numbers_and_no_sentence() {
    let few = crate::data::Planted::new(40, 4, 5.0, 3);
    let data = Memory::new(few.rows()).with_layer("hook_embed", few.plus, few.minus);
    let report = run(&data, &settings(), Compute::default()).unwrap().report;
    assert!(report.groups_of_rarer_label < 10 && report.directions.is_some());
    assert!(report.verdicts.iter().all(|v| !v.finding.is_about_directions()), "{:?}", report.verdicts);
}
