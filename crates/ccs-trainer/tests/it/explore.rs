//! `ccs explore`: the page, and what it does in a browser.

use std::path::Path;
use std::process::Command;

use ccs_report::Method;
use ccs_trainer::{Compute, Memory, MethodPredictions, Overwrite, RunDir, Settings};
use serde_json::Value;

use crate::data::{Planted, run};
use crate::store::{Stored, ccs, quick, refused, succeeds, text};

const HOSTILE: &str = "</script><!--<script>window.hacked = 1</script><img src=x onerror=\"window.hacked = 2\">\u{202e}\nIs &lt;it&gt; so?";

fn explored(dir: &Path) -> String {
    Stored { prompt: HOSTILE, ..Stored::default() }.write(&dir.join("store"));
    quick(dir, &["fit", "store", "--out", "run"]);
    let done = succeeds(ccs(dir, &["explore", "run"]));
    assert_eq!(text(&done.stdout).trim(), "run/explore.html");
    std::fs::read_to_string(dir.join("run/explore.html")).unwrap()
}

#[test]
fn what_a_run_says_of_its_rows_is_read_back_to_the_last_digit() {
    let mut settings = Settings { directions: 20, folds: 3, seeds: 0, shuffles: 0, ..Settings::default() };
    (settings.ccs.max_iter, settings.ccs.n_init) = (50, 2);
    let dir = tempfile::tempdir().unwrap();
    let planted = Planted::new(80, 4, 2.0, 1);
    let mut about = planted.rows();
    let subject = (0..80).map(|row| (row % 3 > 0).then(|| format!("s{}", row % 3)));
    about.columns.insert("subject".to_owned(), subject.collect());
    let source = Memory::new(about).with_layer("hook_embed", planted.plus, planted.minus);
    let done = run(&source, &settings, Compute::default()).unwrap();
    assert_eq!(done.rows.columns["subject"][..2], [None, Some("s1".to_owned())]);
    done.write(dir.path().join("run"), Overwrite::No).unwrap();
    let read = RunDir::open(dir.path().join("run")).unwrap();
    assert_eq!(read.rows().unwrap(), done.rows);
    assert_eq!(read.predictions().unwrap(), done.predictions);
    let page = dir.path().join("rows.html");
    read.explore(&page).unwrap();
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("\"columns\":{\"subject\":[null,\"s1\",\"s2\",null,"));
}

#[test]
fn the_page_is_one_file_that_loads_nothing_and_holds_hostile_text_as_data() {
    let dir = tempfile::tempdir().unwrap();
    let page = explored(dir.path());
    assert_eq!(page.matches("</script>").count(), 2, "the data's end, and the script's");
    let (before, rest) = page.split_once("id=\"data\">").unwrap();
    let (data, after) = rest.split_once("</script>").unwrap();
    for foreign in ["http:", "https:", "src=", "url(", "@import", "<link", "<img"] {
        assert!(!before.contains(foreign) && !after.contains(foreign), "{foreign}");
    }
    assert!(!data.contains(['<', '>', '&', '\u{202e}']));
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["rows"]["text"][0], HOSTILE.replace('\u{202e}', "\\u{202e}"));
    assert_eq!(data["rows"]["number"].as_array().unwrap().len(), 80);

    succeeds(ccs(dir.path(), &["explore", "run", "--out", "elsewhere/rows.html"]));
    assert_eq!(std::fs::read_to_string(dir.path().join("elsewhere/rows.html")).unwrap(), page);
    // It is no part of the run, and goes when the run is replaced.
    succeeds(ccs(dir.path(), &["inspect", "run"]));
    quick(dir.path(), &["fit", "store", "--out", "run", "--overwrite"]);
    assert!(!dir.path().join("run/explore.html").exists());
    refused(dir.path(), &["explore", "store"], &["no run in store"]);
    std::fs::remove_file(dir.path().join("run/rows.parquet")).unwrap();
    refused(dir.path(), &["explore", "run"], &["run/rows.parquet", "it is missing"]);
}

/// What a reader does, and what the page then shows.
const READER: &str = r#"<script>
const say = {};
const change = (id, value) => { find(id).value = value; find(id).dispatchEvent(new Event("input", { bubbles: true })); };
const key = (at, key) => at.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const numbers = () => [...find("rows").children].map((line) => Number(line.dataset.row));
const chosen = () => Number(find("rows").querySelector("[aria-selected=true]").dataset.row);
say.begin = { count: find("count").textContent, rows: numbers(), chosen: chosen(), hash: location.hash };
change("method", String(data.methods.findIndex((of) => of.name === "lr")));
change("split", "all");
change("sort", "sure");
say.sure = { count: find("count").textContent, rows: numbers() };
find("rows").children[0].click();
key(document.activeElement, "ArrowDown");
key(document.activeElement, "ArrowDown");
key(document.activeElement, "ArrowUp");
say.keys = { chosen: chosen(), focused: Number(document.activeElement.dataset.row), detail: find("detail").textContent };
change("correct", "wrong");
say.wrong = { rows: numbers(), marked: find("rows").querySelectorAll("td.wrong").length };
change("correct", "all");
change("search", "IS &LT;IT 7");
say.search = numbers();
change("search", "");
// The point under the pointer is the row that is shown.
const canvas = find("scatter");
const point = state.points[5];
const box = canvas.getBoundingClientRect();
const [x, y] = onCanvas(canvas, point);
canvas.dispatchEvent(new MouseEvent("click", { clientX: box.left + x, clientY: box.top + y, bubbles: true }));
// Of events made by a script, the browser drops the fractions of pixels.
const close = (p) => onCanvas(canvas, p).every((at, axis) => Math.abs(at - [x, y][axis]) < 3);
say.click = { wanted: state.points.filter(close).map((p) => p.row), chosen: chosen() };
key(canvas, "Home");
say.home = { wanted: state.points[0].row, chosen: chosen(), shown: find("detail").querySelector("h2").textContent };
say.hacked = window.hacked ?? null;
say.images = document.images.length;
say.wide = document.documentElement.scrollWidth <= innerWidth;
say.ready = document.documentElement.dataset.ready;
document.body.replaceChildren(Object.assign(document.createElement("pre"), { textContent: JSON.stringify(say) }));
</script></body>"#;

fn in_browser(dir: &Path, page: &str, address: &str) -> Option<Value> {
    let chromium = test_material::chromium()?;
    std::fs::write(dir.join("driven.html"), page.replace("</body>", READER)).unwrap();
    let done = Command::new(chromium)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,1000"])
        .arg(format!("--user-data-dir={}", dir.join("profile").display()))
        .args(["--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("file://{}{address}", dir.join("driven.html").display()))
        .output()
        .unwrap();
    let shown = text(&done.stdout);
    let said = shown.split_once("<pre>").and_then(|(_, rest)| rest.split_once("</pre>"));
    let said = said.unwrap_or_else(|| panic!("{shown}\n{}", text(&done.stderr))).0;
    let plain = said.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    Some(serde_json::from_str(&plain).unwrap())
}

#[test]
fn a_reader_filters_sorts_searches_and_points() {
    let dir = tempfile::tempdir().unwrap();
    let page = explored(dir.path());
    let Some(said) = in_browser(dir.path(), &page, "") else { return };
    let read = RunDir::open(dir.path().join("run")).unwrap();
    let (rows, report) = (read.rows().unwrap(), read.report().unwrap());
    let predictions = read.predictions().unwrap();
    let of = |method| predictions.iter().find(|of| of.method == method).unwrap();
    let numbers = |value: &Value| -> Vec<usize> {
        value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
    };

    // It begins with the test rows under the first method, in their order.
    let tested: Vec<usize> = (0..80).filter(|&row| rows.train[row] == Some(false)).collect();
    assert_eq!(numbers(&said["begin"]["rows"]), tested);
    let accuracy = report.chosen[&Method::CCS].test.as_ref().unwrap().accuracy;
    let right = (accuracy * tested.len() as f64).round();
    let count =
        format!("{} of 80 rows, {right} of them predicted rightly ({:.1}%)", tested.len(), 100.0 * accuracy);
    assert_eq!(said["begin"]["count"], count);
    assert!(said["begin"]["hash"].as_str().unwrap().starts_with("#method=ccs&correct=all&split=test"));

    // All rows by how sure logistic regression is of them, with the six digits that the page has.
    let lr = of(Method::LR);
    let short = |row: usize| -> f64 { format!("{:.5e}", lr.scores[row]).parse().unwrap() };
    let mut sure: Vec<usize> = (0..80).collect();
    sure.sort_by(|&a, &b| (short(b).abs()).total_cmp(&short(a).abs()).then(a.cmp(&b)));
    assert_eq!(numbers(&said["sure"]["rows"]), sure);
    assert_eq!((&said["keys"]["chosen"], &said["keys"]["focused"]), (&sure[1].into(), &sure[1].into()));
    let detail = said["keys"]["detail"].as_str().unwrap();
    assert!(detail.contains("<img src=x") && detail.contains("Is &lt;it&gt; so?"), "{detail}");
    let wrong = |of: &MethodPredictions| -> Vec<usize> {
        sure.iter().copied().filter(|&row| of.predicts_true(row) != Some(rows.labels[row])).collect()
    };
    assert_eq!(numbers(&said["wrong"]["rows"]), wrong(lr));
    assert_eq!(said["wrong"]["marked"], wrong(lr).len());
    // Every word must be there: all rows have the text, and few a 7 in their names.
    let named: Vec<usize> = sure.iter().copied().filter(|row| row.to_string().contains('7')).collect();
    assert_eq!(numbers(&said["search"]), named);

    assert!(
        said["click"]["wanted"].as_array().unwrap().contains(&said["click"]["chosen"]),
        "{}",
        said["click"]
    );
    assert_eq!(said["home"]["wanted"], said["home"]["chosen"]);
    assert_eq!(said["home"]["shown"], format!("Row {}", said["home"]["wanted"]));
    assert_eq!((&said["hacked"], &said["images"]), (&Value::Null, &0.into()));
    assert_eq!((&said["wide"], &said["ready"]), (&true.into(), &"true".into()));
}

#[test]
fn an_address_keeps_what_was_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let page = explored(dir.path());
    let said =
        in_browser(dir.path(), &page, "#method=lr&split=train&sort=row&template=nowhere&x=nothing&more=1");
    let Some(said) = said else { return };
    let rows = RunDir::open(dir.path().join("run")).unwrap().rows().unwrap();
    let trained: Vec<Value> = (0..80).filter(|&row| rows.train[row] == Some(true)).map(Value::from).collect();
    assert_eq!(said["begin"]["rows"], Value::from(trained));
    assert!(said["begin"]["hash"].as_str().unwrap().contains("method=lr"), "{}", said["begin"]["hash"]);
}
