//! `predictions.csv`, `predictions.parquet` and `rows.parquet`: what they say is what the report says.

use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use ccs::stats::metrics::Scored;
use ccs_report::Method;
use ccs_trainer::{Compute, Overwrite, Run, Settings, StoreSource};
use polars::prelude::{DataFrame, ParquetReader, SerReader as _};

use crate::data::{method, run, three_layers};
use crate::store::{Stored, ccs, json_of, quick, refused};

fn settings() -> Settings {
    let mut settings = Settings { directions: 20, folds: 3, seeds: 0, shuffles: 0, ..Settings::default() };
    settings.methods = Some(
        [
            "ccs",
            "lr",
            "lr_statements",
            "lr_pairs",
            "mean_difference",
            "random",
            "zero_shot",
            "calibrated_zero_shot",
            "majority",
        ]
        .map(method)
        .into(),
    );
    (settings.ccs.max_iter, settings.ccs.n_init) = (100, 2);
    settings
}

fn written(dir: &Path) -> (Run, DataFrame) {
    let done = run(&three_layers(120, 6), &settings(), Compute::default()).unwrap();
    done.write(dir.join("run"), Overwrite::No).unwrap();
    let table = table(&dir.join("run/predictions.parquet"));
    (done, table)
}

fn table(path: &Path) -> DataFrame {
    ParquetReader::new(Cursor::new(std::fs::read(path).unwrap())).finish().unwrap()
}

/// Numbers of a column; none where there is no value.
fn numbers(table: &DataFrame, name: &str) -> Vec<Option<f64>> {
    table.column(name).unwrap().f64().unwrap().iter().collect()
}

fn texts(table: &DataFrame, name: &str) -> Vec<String> {
    table.column(name).unwrap().str().unwrap().iter().map(|text| text.unwrap().to_owned()).collect()
}

fn flags(table: &DataFrame, name: &str) -> Vec<bool> {
    table.column(name).unwrap().bool().unwrap().iter().map(Option::unwrap).collect()
}

#[test]
fn the_report_s_accuracy_and_auroc_follow_from_the_predictions_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let (done, table) = written(dir.path());
    let (methods, splits) = (texts(&table, "method"), texts(&table, "split"));
    let (labels, predictions) = (flags(&table, "label"), flags(&table, "prediction"));
    let scores = numbers(&table, "score");
    let mut checked = 0;
    for name in done.report.methods.keys().filter(|m| **m != Method::RANDOM) {
        let layer = done.report.chosen_layer(*name).unwrap_or(2);
        let found = &done.report.layers[layer].methods[name];
        for (split, evaluation) in [("train", &found.train), ("test", &found.test)] {
            let of: Vec<usize> =
                (0..methods.len()).filter(|&i| methods[i] == name.name() && splits[i] == split).collect();
            let label: Vec<bool> = of.iter().map(|&i| labels[i]).collect();
            let score: Vec<f64> = of.iter().map(|&i| scores[i].unwrap()).collect();
            let right = of.iter().filter(|&&i| predictions[i] == labels[i]).count();
            assert_eq!(right as f64 / of.len() as f64, evaluation.accuracy, "{name} {split}");
            assert_eq!(Scored::new(&score, &label, 0.0).unwrap().auroc(), evaluation.auroc, "{name} {split}");
            checked += of.len();
        }
    }
    // Eight methods, every row once each; random directions are many and have none.
    assert_eq!((checked, table.height()), (8 * 120, 8 * 120));
}

#[test]
fn probabilities_are_there_for_methods_that_have_them() {
    let dir = tempfile::tempdir().unwrap();
    let (_, table) = written(dir.path());
    let methods = texts(&table, "method");
    let of = |name: &str, column: &str| -> Vec<Option<f64>> {
        let values = numbers(&table, column).into_iter().zip(&methods);
        values.filter(|(_, method)| *method == name).map(|(value, _)| value).collect()
    };
    for (name, sides, calibrated) in [
        ("ccs", true, true),
        ("lr_statements", true, true),
        ("lr", false, true),
        ("lr_pairs", false, true),
        ("mean_difference", false, true),
        ("zero_shot", false, false),
        ("majority", false, false),
    ] {
        for (column, there) in [("p_plus", sides), ("p_minus", sides), ("p", calibrated)] {
            let values = of(name, column);
            let all = values.iter().all(|v| v.is_some_and(|p| (0.0..=1.0).contains(&p)) == there);
            assert!(all, "{name} {column}: {values:?}");
        }
    }
    // Of CCS the score is the mean of p⁺ and 1 − p⁻, which also holds the sign: three operations of rounding.
    for ((score, plus), minus) in
        of("ccs", "score").into_iter().zip(of("ccs", "p_plus")).zip(of("ccs", "p_minus"))
    {
        let mean = 0.5 * (plus.unwrap() + 1.0 - minus.unwrap());
        assert!((score.unwrap() - mean).abs() < 8.0 * f64::EPSILON, "{score:?} {mean}");
    }
}

#[test]
fn rows_carry_their_texts_where_the_source_has_them() {
    let dir = tempfile::tempdir().unwrap();
    Stored { prompt: "A passage <b>.\nA question?", ..Stored::default() }.write(&dir.path().join("store"));
    quick(dir.path(), &["fit", "store", "--out", "run"]);
    let rows = table(&dir.path().join("run/rows.parquet"));
    assert_eq!(rows.height(), 80);
    assert!(texts(&rows, "text").iter().all(|text| text == "A passage <b>.\nA question?"));
    assert!(texts(&rows, "plus").iter().all(|text| text == "True"));
    assert_eq!(texts(&rows, "question")[3], "planted/q3/3");
    // What rows are is the same in both tables.
    let predictions = table(&dir.path().join("run/predictions.parquet"));
    for name in ["id", "question", "template", "split"] {
        assert_eq!(texts(&rows, name), texts(&predictions, name)[..80], "{name}");
    }
    // Data in memory has no texts.
    let source = StoreSource::open(dir.path().join("store")).unwrap();
    assert!(ccs_trainer::Source::texts(&source).unwrap().iter().all(Option::is_some));
    let memory = three_layers(20, 3);
    assert!(ccs_trainer::Source::texts(&memory).unwrap().iter().all(Option::is_none));

    // They are parts of the run, whose sums they are in.
    json_of(ccs(dir.path(), &["inspect", "run", "--json"]));
    for name in ["run/predictions.csv", "run/predictions.parquet", "run/rows.parquet"] {
        let path = dir.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        std::fs::write(&path, changed).unwrap();
        refused(dir.path(), &["inspect", "run"], &[name, "changed after it was written"]);
        std::fs::write(&path, whole).unwrap();
    }
}

/// Accuracy by method and split, of both files, as pandas reads them.
const PANDAS: &str = r#"
import json, sys, pandas
csv = pandas.read_csv("predictions.csv", keep_default_na=False, na_values=[""])
assert list(csv.columns) == ["row", "id", "question", "template", "split", "label", "method", "layer", "score",
                             "threshold", "p_plus", "p_minus", "p", "prediction"], list(csv.columns)
assert csv.label.dtype == bool and csv.prediction.dtype == bool and csv.score.dtype == float
right = (csv.label == csv.prediction).groupby([csv.method, csv.split]).mean()
print(json.dumps({f"{m} {s}": v for (m, s), v in right.items()}))
"#;

#[test]
fn pandas_reads_them() {
    let Some(python) = test_material::python("pandas") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (done, _) = written(dir.path());
    let read =
        Command::new(python).args(["-c", PANDAS]).current_dir(dir.path().join("run")).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let found: serde_json::Value = serde_json::from_slice(&read.stdout).unwrap();
    for name in ["ccs", "lr", "calibrated_zero_shot"] {
        let test = &done.report.layers[2].methods[&method(name)].test;
        let accuracy = found[format!("{name} test")].as_f64().unwrap();
        // A mean of 48 zeros and ones, summed in another order: exact but for the division.
        assert!((accuracy - test.accuracy).abs() < 4.0 * f64::EPSILON, "{name}: {accuracy}");
    }
}
