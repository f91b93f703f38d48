//! Parquet files: what other programs write, and damaged ones.

use boolq::{Dataset, Error, Template, pairs};
use polars::prelude::{Column, DataFrame, IntoColumn, NamedFrom, ParquetWriter, Series};
use std::path::Path;

fn boolq_columns(labels: Column) -> Vec<Column> {
    vec![
        Series::new("question".into(), ["is it so", "is it"]).into_column(),
        Series::new("passage".into(), ["P\nP.", "Q."]).into_column(),
        Series::new("scores".into(), [Series::new("".into(), [1_i64, 2]), Series::new("".into(), [3_i64])])
            .into_column(),
        labels,
    ]
}

fn write(path: &Path, columns: Vec<Column>) {
    let mut frame = DataFrame::new_infer_height(columns).expect("columns of one length");
    ParquetWriter::new(fs_err::File::create(path).expect("creatable")).finish(&mut frame).expect("writes");
}

#[test]
fn parquet_with_boolean_or_number_labels() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Without an extension the contents decide.
    for (name, labels) in [
        ("a.parquet", Series::new("answer".into(), [true, false])),
        ("b", Series::new("label".into(), [1_i64, 0])),
        ("c", Series::new("label".into(), [1.0_f64, 0.0])),
    ] {
        let path = folder.path().join(name);
        write(&path, boolq_columns(labels.into_column()));
        let data = Dataset::load(&path).expect(name);
        let rows: Vec<_> = data.questions.iter().map(|q| (q.passage.as_deref(), q.answer)).collect();
        assert_eq!(rows, [(Some("P\nP."), true), (Some("Q."), false)], "{name}");
    }
    let path = folder.path().join("d.parquet");
    write(&path, boolq_columns(Series::new("label".into(), [Some(1_i64), None]).into_column()));
    assert!(matches!(Dataset::load(&path), Err(Error::Unlabeled { row: 1, .. })));
}

#[test]
fn parquet_without_known_columns_or_cut_short() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.parquet");
    write(&path, vec![Series::new("prompt".into(), ["a", "b"]).into_column()]);
    let error = Dataset::load(&path).expect_err("no question");
    assert!(matches!(&error, Error::MissingColumns { found, .. } if found == &["prompt"]), "{error}");

    write(&path, boolq_columns(Series::new("answer".into(), [true, false]).into_column()));
    let whole = fs_err::read(&path).expect("readable");
    for length in (0..whole.len()).step_by(7) {
        fs_err::write(&path, &whole[..length]).expect("writable");
        let error = Dataset::load(&path).expect_err("cut short");
        assert!(matches!(error, Error::Table { format: "Parquet", .. }), "{length} bytes: {error}");
    }
}

#[test]
fn templates_see_parquet_columns_with_their_types() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.parquet");
    let mut columns = boolq_columns(Series::new("label".into(), [1_i64, 0]).into_column());
    columns.push(Series::new("year".into(), [1999_i64, 2001]).into_column());
    columns.push(Series::new("checked".into(), [Some(true), None]).into_column());
    columns.push(Series::new("author".into(), [Some("Ada"), Some("")]).into_column());
    write(&path, columns);
    let data = Dataset::load(&path).expect("loads");
    let render = |source: &str| {
        let made = pairs(&data, &Template::from_source("t", source)?)?;
        Ok::<_, Error>(made.pairs.into_iter().map(|pair| pair.plus_prompt).collect::<Vec<_>>())
    };
    let typed = "{{ year + 1 }} {{ checked|default('?') }} {{ author|default('nobody') }} {{ answer }}";
    assert_eq!(render(typed).expect("renders"), ["2000 True Ada True", "2002 ? nobody True"]);
    assert_eq!(render("{{ scores|last }} {{ answer }}").expect("lists"), ["2 True", "3 True"]);
}
