//! Columns of the data travel with the pairs, through `prompts.csv`.

use boolq::{
    ContrastPair, DataColumns, Dataset, DatasetOptions, Error, KeepColumns, Template, Warning, pairs, prompts,
};
use proptest::prelude::*;
use std::path::PathBuf;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        fs_err::write(self.path(name), text).expect("writable");
        self.path(name)
    }
}

fn kept(name: &str, contents: &str, keep: KeepColumns) -> (Vec<ContrastPair>, Vec<Warning>) {
    let folder = Folder::new();
    let data = DatasetOptions::new().keep_columns(keep).load(folder.file(name, contents)).expect("loads");
    let made = pairs(&data, &Template::named("statement").expect("built in")).expect("renders");
    assert_eq!(made.pairs[0].columns.names(), data.kept_columns());
    (made.pairs, data.warnings)
}

fn columns(pair: &ContrastPair) -> Vec<(&str, &str)> {
    pair.columns.iter().collect()
}

fn left_out(warnings: &[Warning]) -> Vec<(&str, &str)> {
    let of = |warning: &'_ Warning| match warning {
        Warning::ColumnsLeftOut { columns } => columns.clone(),
        _ => Vec::new(),
    };
    let all: Vec<(String, String)> = warnings.iter().flat_map(of).collect();
    all.into_iter().map(|(a, b)| (&*a.leak(), &*b.leak())).collect()
}

fn named(names: &[&str]) -> KeepColumns {
    KeepColumns::Named(names.iter().map(|name| (*name).to_owned()).collect())
}

const CITIES: &str = "statement,label,city,country,id,\n\
                      Oslo is in Norway.,1,Oslo,Norway,a,0\nLima is in Chad.,0,Lima,,b,1\n";

#[test]
fn what_is_not_used_otherwise_is_kept() {
    let (pairs, warnings) = kept("a.csv", CITIES, KeepColumns::Short);
    assert_eq!(columns(&pairs[0]), [("city", "Oslo"), ("country", "Norway")]);
    assert_eq!(columns(&pairs[1]), [("city", "Lima")], "an empty cell is no value");
    assert_eq!(pairs[1].columns.names(), ["city", "country"]);
    assert!(left_out(&warnings).is_empty(), "{warnings:?}");
    // What holds the question's texts, the label, or what says the same, is kept only where it is named.
    let boolq = "question,passage,title,answer,label,level\nis it,P.,T,true,1,3\n";
    let folder = Folder::new();
    let load = |keep| {
        let options = DatasetOptions::new().keep_columns(keep);
        options.load(folder.file("b.csv", boolq)).expect("loads").kept_columns().to_vec()
    };
    assert_eq!(load(KeepColumns::Short), ["level"]);
    assert_eq!(load(named(&["level", "title", "level"])), ["level", "title"]);
    assert!(load(KeepColumns::Nothing).is_empty());
}

#[test]
fn an_unknown_name_is_an_error_with_the_nearest() {
    let folder = Folder::new();
    let options = DatasetOptions::new().keep_columns(named(&["country_"]));
    let error = options.load(folder.file("a.csv", CITIES)).expect_err("no such column");
    assert!(
        matches!(&error, Error::NoColumn { column, suggestion: Some(near), .. } if column == "country_" && near == "country"),
        "{error}"
    );
    assert!(error.to_string().contains("no column `country_` for the columns to keep"), "{error}");
}

#[test]
fn values_of_other_types_become_text() {
    let row = r#"{"statement":"a b","label":true,"s":"007","i":-3,"f":1.0,"g":0.1,"h":1e300,"b":false,"n":null,"w":" "}"#;
    let (pairs, warnings) = kept("a.jsonl", row, KeepColumns::Short);
    let expected = [("s", "007"), ("i", "-3"), ("f", "1.0"), ("g", "0.1"), ("h", "1e300"), ("b", "False")];
    assert_eq!(columns(&pairs[0]), expected, "columns without any value are not kept");
    assert!(left_out(&warnings).is_empty(), "{warnings:?}");
    let types =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/parquet/types.parquet");
    let options = DatasetOptions::new();
    if let Ok(data) = options.load(types) {
        assert!(data.kept_columns().len() > 5, "{:?}", data.kept_columns());
    }
}

#[test]
fn columns_of_long_texts_and_lists_are_left_out_as_a_whole_and_said_once() {
    let long = "é".repeat(201);
    let rows = format!(
        "{{\"statement\":\"a\",\"label\":1,\"ok\":\"{}\",\"long\":\"x\",\"list\":[1],\"a\\nb\":1}}\n\
         {{\"statement\":\"b\",\"label\":0,\"ok\":\"y\",\"long\":\"{long}\",\"list\":null}}\n",
        "é".repeat(200)
    );
    for keep in [KeepColumns::Short, named(&["ok", "long", "list", "a\nb"])] {
        let (pairs, warnings) = kept("a.jsonl", &rows, keep);
        assert_eq!(pairs[0].columns.names(), ["ok"]);
        assert_eq!(
            left_out(&warnings),
            [
                ("long", "longer than 200 characters"),
                ("list", "lists, objects, or a type that is not read"),
                ("a\nb", "a name that is empty, or holds a line break")
            ]
        );
        let said =
            warnings.iter().map(ToString::to_string).find(|said| said.contains("not kept")).expect("said");
        assert!(said.contains("\"long\" (longer than 200 characters), \"list\" (lists"), "{said}");
    }
    // A row without a label does not count.
    let folder = Folder::new();
    let csv = format!("statement,label,x\na,1,y\nb,0,z\nc,,{long}\n");
    let options = DatasetOptions::new().skip_unlabeled(true);
    assert_eq!(options.load(folder.file("a.csv", &csv)).expect("loads").kept_columns(), ["x"]);
}

#[test]
fn of_very_many_columns_the_first_are_kept() {
    let names: Vec<String> = (0..70).map(|at| format!("c{at}")).collect();
    let csv =
        format!("statement,label,{}\na,1{}\nb,0{}\n", names.join(","), ",x".repeat(70), ",y".repeat(70));
    let (pairs, warnings) = kept("a.csv", &csv, KeepColumns::Short);
    assert_eq!(pairs[0].columns.names(), &names[..64]);
    assert_eq!(left_out(&warnings).len(), 6);
    assert!(left_out(&warnings).iter().all(|(_, why)| *why == "more than 64 columns"));
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(kept("a.csv", &csv, named(&all)).0[0].columns.names(), names);
}

#[test]
fn prompts_csv_holds_them_whatever_their_names() {
    let folder = Folder::new();
    let csv = "statement,label,a.b,data.a,\"x,y\",\"say \"\"z\"\"\",idx2,größe\na,1,1,2,3,4,5,6\nb,0,,\"l1\nl2\",\" p \",NA,,ü\n";
    let data = Dataset::load(folder.file("d.csv", csv)).expect("loads");
    let made = pairs(&data, &Template::named("statement").expect("built in")).expect("renders");
    let path = folder.path("p.csv");
    prompts::write(&path, &made.pairs).expect("writes");
    let header = fs_err::read_to_string(&path).expect("reads");
    assert!(
        header.contains(",data.a.b,data.data.a,\"data.x,y\",\"data.say \"\"z\"\"\",data.idx2,"),
        "{header}"
    );
    assert_eq!(prompts::read(&path).expect("reads").pairs, made.pairs);
    assert_eq!(
        columns(&made.pairs[1]),
        [("data.a", "l1\nl2"), ("x,y", " p "), ("say \"z\"", "NA"), ("größe", "ü")]
    );
}

/// `pandas.read_csv` and `to_csv` of a prompts file: an index before, empty cells, whole numbers as floats.
#[test]
fn files_that_pandas_wrote_are_read() {
    let folder = Folder::new();
    let csv = ",idx,plus_prompt,minus_prompt,label,data.country,data.level,data.,other,datax\n\
               0,0,a b? True,a b? False,True,Norway,1.0,q,w,e\n1,1,c d? True,c d? False,False,,,q,w,e\n";
    let read = prompts::read(folder.file("p.csv", csv)).expect("reads").pairs;
    assert_eq!(read[0].columns.names(), ["country", "level"]);
    assert_eq!(columns(&read[0]), [("country", "Norway"), ("level", "1.0")]);
    assert!(read[1].columns.is_empty());
    let json = r#"[{"idx":0,"plus_prompt":"a True","minus_prompt":"a False","label":true,"data.n":3,"data.b":true},
                   {"idx":1,"plus_prompt":"b True","minus_prompt":"b False","label":true,"data.b":[1]}]"#;
    let error = prompts::read(folder.file("p.json", json)).expect_err("a list");
    assert!(matches!(&error, Error::Cell { row: 1, column, .. } if column == "data.b"), "{error}");
}

#[test]
fn pairs_of_several_data_sets_have_the_columns_of_all() {
    let folder = Folder::new();
    let pair = |idx: u64, columns: &[(&str, &str)]| {
        let columns = columns.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
        ContrastPair { columns: DataColumns::new(columns), ..crate::toy::pair(idx, 3, 0, idx == 0) }
    };
    let all = [
        pair(0, &[("a", "1"), ("b", " ")]),
        pair(1, &[]),
        pair(2, &[("c", "3"), ("a", "2"), ("a", "9"), ("", "x")]),
    ];
    let path = folder.path("p.csv");
    prompts::write(&path, &all).expect("writes");
    let read = prompts::read(&path).expect("reads").pairs;
    assert_eq!(read[0].columns.names(), ["a", "b", "c"]);
    assert_eq!(columns(&read[0]), [("a", "1")]);
    assert_eq!(columns(&read[2]), [("a", "2"), ("c", "3")]);
}

proptest! {
    #[test]
    fn any_short_values_come_back(
        rows in prop::collection::vec(prop::collection::vec(prop::option::of("[ -~é\n\r\t\"',;]{0,12}"), 3), 1..6),
    ) {
        let folder = Folder::new();
        let pairs: Vec<ContrastPair> = rows.iter().zip(0..).map(|(values, idx)| {
            let columns = ["x", "y z", "data."].into_iter().map(str::to_owned).zip(values.clone());
            ContrastPair { columns: DataColumns::new(columns), ..crate::toy::pair(idx, 3, 0, true) }
        }).collect();
        let path = folder.path("p.csv");
        prompts::write(&path, &pairs).expect("writes");
        prop_assert_eq!(prompts::read(&path).expect("reads").pairs, pairs);
    }
}
