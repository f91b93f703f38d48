//! The page in a real browser: nothing is cut off, figures can be saved and tables copied.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod sample;

use std::path::Path;
use std::process::Command;

use ccs_report::{Report, page};
use sample::full;
use serde_json::Value;

/// Opens everything, and says what is wider than its place, how a table is copied, and whether saved figures stand alone.
const READER: &str = r##"<script>
for (const details of document.querySelectorAll("details")) details.open = true;
const heading = (of) => { while (of && of.tagName !== "H2") of = of.previousElementSibling ?? of.parentElement; return of?.textContent; };
const cut = [...document.querySelectorAll(".scroll")].filter((at) => at.scrollWidth > at.clientWidth + 1);
const files = [...document.querySelectorAll("figure svg")].map(ccsReport.file);
const parsed = files.map((file) => new DOMParser().parseFromString(file, "image/svg+xml"));
const link = document.querySelector("figure .tools a");
link.addEventListener("click", (event) => event.preventDefault());
link.click();
const say = {
  cut: cut.map((at) => `${heading(at)}: ${at.scrollWidth} > ${at.clientWidth}`),
  wide: document.documentElement.scrollWidth - innerWidth,
  key: ccsReport.cells(document.querySelector("table.key")),
  every: ccsReport.cells(document.querySelector("#every-layer ~ .scroll table")),
  figures: files.length,
  broken: parsed.filter((file) => file.querySelector("parsererror") || file.documentElement.localName !== "svg").length,
  unresolved: files.filter((file) => file.includes("var(")).length,
  link: [link.download, link.href.slice(0, 40)],
  buttons: document.querySelectorAll(".tools button").length,
  tables: document.querySelectorAll(".scroll > table").length,
};
document.body.replaceChildren(Object.assign(document.createElement("pre"), { textContent: JSON.stringify(say) }));
</script></body>"##;

/// What a browser of this width says of a page; none where there is no browser.
fn said(html: &str, width: u32) -> Option<Value> {
    let chromium = test_material::chromium()?;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{width}"));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("page.html"), html.replace("</body>", READER)).unwrap();
    // A window is 500 pixels wide at least; a frame is as narrow as it is asked to be.
    let frame =
        format!("<iframe src=\"page.html\" style=\"border:0;width:{width}px;height:900px\"></iframe>");
    let collect = "<script>addEventListener('load', () => { document.body.replaceChildren(frames[0].document.querySelector('pre')); });</script>";
    std::fs::write(dir.join("frame.html"), frame + collect).unwrap();
    let done = Command::new(chromium)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"])
        .arg(format!("--user-data-dir={}", dir.join("profile").display()))
        .args(["--window-size=1400,1000", "--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("file://{}", dir.join("frame.html").display()))
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&done.stdout).into_owned();
    let pre = shown.split_once("<pre>").and_then(|(_, rest)| rest.split_once("</pre>"));
    let text = pre.unwrap_or_else(|| panic!("{shown}\n{}", String::from_utf8_lossy(&done.stderr))).0;
    Some(serde_json::from_str(&text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")).unwrap())
}

fn everything() -> Report {
    let report = Report::from_json(include_bytes!("fixtures/report.json")).unwrap();
    let names = |of: &[&str]| of.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    full(report, &names(&["plain", "exam"]), &names(&["boolq", "imdb", "rte"]))
}

#[test]
fn nothing_is_cut_off_and_everything_can_be_taken_along() {
    let report = everything();
    let html = page::html(&report).unwrap();
    let Some(wide) = said(&html, 1280) else { return };
    assert_eq!(wide["cut"], Value::Array(Vec::new()), "at a desk's width no table is wider than the page");
    assert!(wide["wide"].as_i64().unwrap() <= 0);
    // Every figure stands alone: well-formed, and without a variable of the page's style.
    assert!(wide["figures"].as_u64().unwrap() > 20);
    assert_eq!((&wide["broken"], &wide["unresolved"]), (&0.into(), &0.into()));
    assert_eq!(wide["link"][0], "test-accuracy-by-layer.svg");
    assert!(wide["link"][1].as_str().unwrap().starts_with("data:image/svg+xml;charset=utf-8,%3Csvg"));
    assert_eq!(wide["buttons"], wide["tables"]);

    // A line a method, with a cell a column.
    let key = wide["key"].as_str().unwrap();
    assert!(key.starts_with("Method\tAccuracy\tAUROC\t"), "{key}");
    let columns = |text: &str| text.lines().map(|line| line.split('\t').count()).collect::<Vec<_>>();
    assert!(columns(key).iter().all(|count| *count == 5) && key.contains("\nCCS layer 3\t"), "{key}");
    // Two lines of heads, whose cells span rows and columns.
    let every = wide["every"].as_str().unwrap();
    let mut heads = every.lines();
    assert!(
        heads.next().unwrap().starts_with("Layer\tHook point\tCCS\t\tLogistic regression\t\t"),
        "{every}"
    );
    assert!(heads.next().unwrap().starts_with("\t\tAccuracy\tAUROC\tAccuracy\t"), "{every}");
    assert!(columns(every).windows(2).all(|pair| pair[0] == pair[1]), "{every}");

    let narrow = said(&html, 390).unwrap();
    assert!(narrow["wide"].as_i64().unwrap() <= 0, "on a phone tables scroll, and the page does not");
}
