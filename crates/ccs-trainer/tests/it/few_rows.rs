//! Templates with few training rows, and templates that a probe was not fitted on, through runs and their folders.

use crate::data::method;
use crate::data::run;
use ccs_report::Method;
use ccs_trainer::{EvalOptions, Fitted, Memory, Overwrite, Rows, Settings, eval};

use crate::data::Planted;
use crate::methods::settings;

/// One layer whose row i is of template `template(i)`, each template with its own large offset on either side.
fn under(rows: usize, seed: u64, template: impl Fn(usize) -> (&'static str, f32)) -> Memory {
    let mut planted = Planted::new(rows, 6, 3.0, seed);
    for row in 0..rows {
        let offset = template(row).1;
        planted.plus[row * 6..(row + 1) * 6].iter_mut().for_each(|x| *x += offset);
        planted.minus[row * 6..(row + 1) * 6].iter_mut().for_each(|x| *x -= 0.5 * offset);
    }
    let about = Rows {
        groups: (0..rows).map(|row| format!("passage {seed} {row}")).collect(),
        templates: (0..rows).map(|row| template(row).0.to_owned()).collect(),
        ..planted.rows()
    };
    Memory::new(about).with_layer("hook_embed", planted.plus, planted.minus)
}

fn fitted(data: &Memory) -> ccs_trainer::Run {
    let methods = Some(vec![Method::CCS, Method::LR, method("tpc")]);
    let settings = Settings { methods, recursive: 0, seeds: 0, shuffles: 0, ..settings() };
    run(data, &settings, ccs_trainer::Compute::default()).unwrap()
}

#[test]
fn a_report_and_its_probes_say_which_templates_had_few_rows_and_still_read_them() {
    // Three rows in forty, of which two or so train.
    let data = under(240, 1, |row| if row % 40 == 7 { ("rare", 30.0) } else { ("usual", -5.0) });
    let done = fitted(&data);
    let rare = |side: &[usize]| side.iter().filter(|row| *row % 40 == 7).count();
    let (train, test) = (rare(&done.split.train.row), rare(&done.split.test.row));
    assert!((2..8).contains(&train) && test > 0, "{train} and {test}");
    let notes = &done.report.layers[0].notes;
    let said = format!("templates with few training rows: `rare` ({train})");
    assert!(notes.iter().any(|note| note.starts_with(&said)), "{notes:?}");
    assert_eq!(done.probes.len(), done.report.chosen.len());
    for (method, _, probe) in &done.probes {
        let mut names = probe.normalizer().templates().to_vec();
        names.sort();
        assert_eq!(names, ["rare", "usual"], "{method}");
        assert_eq!(probe.normalizer().templates_with_few_rows(), ["rare"], "{method}");
        assert!(done.report.layers[0].methods[method].test.accuracy > 0.95, "{method}");
        // Unseen rows of it stand where others stand, not many spreads off.
        let (plus, _) = probe.normalizer().apply(&pairs(&data, &done), tch::Kind::Double).unwrap();
        assert!(plus.abs().max().double_value(&[]) < 6.0, "{method}");
    }
    let dir = tempfile::tempdir().unwrap();
    done.write(dir.path().join("run"), Overwrite::No).unwrap();
    let probe = Fitted::open(dir.path().join("run"), Method::CCS, None).unwrap().probe;
    assert_eq!(ccs_trainer::ProbeCard::of(&probe).unwrap().templates_with_few_rows, ["rare"]);
}

/// The test rows of a run.
fn pairs(data: &Memory, done: &ccs_trainer::Run) -> ccs::Contrast {
    use ccs_trainer::Source;
    let [plus, minus] = data.load(&data.layers()[0]).unwrap().sides().unwrap();
    let rows = data.rows();
    let all = ccs::Contrast::new(plus, minus, rows.labels.clone(), rows.groups.clone()).unwrap();
    let all = all.with_variants(rows.ids.clone(), rows.templates.clone()).unwrap();
    all.select(&done.split.test.row).unwrap()
}

#[test]
fn a_probe_of_one_template_says_so_when_it_is_applied_to_another() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    fitted(&under(80, 1, |_| ("exam", 3.0))).write(&out, Overwrite::No).unwrap();
    assert_eq!(Fitted::open(&out, Method::LR, None).unwrap().probe.normalizer().templates(), ["exam"]);
    let notes = |name: &'static str| {
        eval(&out, &under(40, 2, move |_| (name, 3.0)), &EvalOptions::default()).unwrap().notes
    };
    let about = "40 rows are of templates that the probes were not fitted on (exam)";
    assert!(notes("yes_no").iter().any(|note| note.starts_with(about)), "{:?}", notes("yes_no"));
    assert!(!notes("exam").iter().any(|note| note.contains("not fitted on")), "{:?}", notes("exam"));
}
