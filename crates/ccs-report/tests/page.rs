//! The page and the figures of small runs, of runs made hostile, and of runs of every size.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sample;

use ccs_report::figures::{accuracy_svg, auroc_svg};
use ccs_report::page::html;
use ccs_report::{LayerReport, Method, RecursiveIteration, Report, RowText};
use sample::full;

/// A run's, on a constant layer, two of noise and one of truth (`crates/ccs-trainer/tests/it/report_fixture.rs`).
fn report() -> Report {
    Report::from_json(include_bytes!("fixtures/report.json")).unwrap()
}

/// The report with these of its layers, numbered anew.
fn with_layers(report: &Report, layers: impl Iterator<Item = usize>) -> Report {
    let renumber = |(layer, from): (usize, usize)| LayerReport { layer, ..report.layers[from].clone() };
    Report { layers: layers.enumerate().map(renumber).collect(), ..report.clone() }
}

/// Every tag that opens closes, in order; attributes are quoted.
fn assert_well_formed(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, after) = after.split_once('>').unwrap();
        rest = after;
        assert!(!tag.contains('<') && tag.matches('"').count().is_multiple_of(2), "<{tag}>");
        let name = tag.split(|c: char| c.is_whitespace() || c == '/').next().unwrap();
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !tag.ends_with('/') && !["!doctype", "meta"].contains(&name) {
            open.push(name);
        }
        if name == "style" || name == "script" {
            rest = &rest[rest.find(&format!("</{name}>")).unwrap()..];
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn svgs(report: &Report) -> [String; 2] {
    [accuracy_svg(report), auroc_svg(report)]
}

/// Markers in the color of CCS and of logistic regression, hollow ones included; those of the legend and the rings are left
/// out.
fn markers(svg: &str, at: usize) -> usize {
    // The legend comes before the axes, whose last text is the x axis's title.
    let (_, chart) = svg.split_once("Layer (0 is the embedding)").unwrap();
    let ring = |line: &str| line.contains("fill=\"none\"");
    let circle = |line: &&str| line.starts_with("<circle") && line.contains("#0072b2") && !ring(line);
    let square = |line: &&str| line.starts_with("<rect") && line.contains("#d55e00");
    [chart.lines().filter(circle).count(), chart.lines().filter(square).count()][at]
}

/// Everything that a reader may want to look at, as files below the build folder.
fn write_to_look_at(name: &str, report: &Report) {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&dir).unwrap();
    let write = |suffix: &str, text: &str| std::fs::write(dir.join(format!("{name}{suffix}")), text).unwrap();
    let [accuracy, auroc] = svgs(report);
    write(".html", &html(report).unwrap());
    write("-accuracy.svg", &accuracy);
    write("-auroc.svg", &auroc);
    write(".txt", &report.summary());
}

#[test]
fn pages_to_look_at_are_written() {
    let (report, names) = (report(), |of: &[&str]| of.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
    write_to_look_at("fixture", &report);
    write_to_look_at("many", &with_layers(&report, (0..81).map(|l| l % 4)));
    write_to_look_at("one", &with_layers(&report, [3].into_iter()));
    let all = full(report, &names(&["plain", "exam"]), &names(&["boolq", "imdb", "rte"]));
    write_to_look_at("full", &all);
}

#[test]
fn the_page_holds_the_report_s_numbers_and_loads_nothing() {
    let report = report();
    let page = html(&report).unwrap();
    assert_eq!(page, html(&report).unwrap(), "the same report, the same bytes");
    assert_well_formed(&page);
    for layer in &report.layers {
        for method in [Method::CCS, Method::LR, Method::RANDOM] {
            let test = &layer.methods[&method].test;
            let ([low, high], auroc) = (test.accuracy_ci.unwrap(), test.auroc.unwrap());
            let accuracy = format!(
                "{:.1}%</span> <span class=\"ci\">[{:.1}, {:.1}]",
                100.0 * test.accuracy,
                100.0 * low,
                100.0 * high
            );
            assert!(page.contains(&accuracy), "{method} {}: {accuracy}", layer.layer);
            assert!(page.contains(&format!(">{auroc:.3}</span>")), "{method} {}", layer.layer);
        }
    }
    let chosen = &report.chosen[&Method::CCS];
    let confusion = chosen.test.as_ref().unwrap().confusion.unwrap();
    assert!(page.contains(&format!(
        ">{}</span></td><td class=\"n\">{}<",
        confusion.true_positive, confusion.false_negative
    )));
    let loss = report.layers[chosen.layer.unwrap()].methods[&Method::CCS].loss.as_ref().unwrap();
    assert!(page.contains(&format!("{:.3}", loss.test.total())));
    let plain = page.replace("&#x27;", "'");
    assert!(report.verdicts.iter().all(|verdict| plain.contains(&verdict.text)), "{plain}");
    assert!(
        page.contains(">no fit</span>")
            && page.contains("The oracle is not a result")
            && page.contains(&report.split)
    );
    for foreign in ["http:", "https:", "src=", "url(", "@import", "<link"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert_eq!(page.matches("<script").count(), 1, "its own");
    assert_links(&page);
}

/// Links lead to places on the page, each of which is there once.
fn assert_links(page: &str) {
    for link in page.split("href=\"").skip(1) {
        let (target, _) = link.split_once('"').unwrap();
        let id = format!(" id=\"{}\"", target.strip_prefix('#').unwrap());
        assert_eq!(page.matches(&id).count(), 1, "{target}");
    }
}

fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).into()
}

const SECTIONS: [&str; 11] = [
    "calibration",
    "templates",
    "strata",
    "polarity",
    "seeds",
    "shuffled",
    "random-directions",
    "recursive",
    "blank",
    "transfer",
    "confusion",
];

#[test]
fn each_section_is_there_where_the_report_has_it() {
    let mut bare = report();
    bare.diagnostics.clear();
    bare.seeds.clear();
    bare.shuffled.clear();
    bare.directions = None;
    bare.comparisons.clear();
    let all = full(bare.clone(), &names(["plain", "exam"]), &names(["boolq", "imdb", "rte"]));
    let (without, with) = (html(&bare).unwrap(), html(&all).unwrap());
    assert_well_formed(&with);
    assert_links(&with);
    assert_eq!(with, html(&all).unwrap(), "the same report, the same bytes");
    for section in SECTIONS {
        let heading = format!("<h2 id=\"{section}\">");
        assert!(with.contains(&heading), "{section}");
        assert_eq!(without.contains(&heading), section == "confusion", "{section}");
    }
    assert!(!with.contains("NaN") && with.matches("<script").count() == 1);
}

#[test]
fn diagnostics_and_controls_have_their_numbers() {
    let all = full(report(), &names(["plain", "exam"]), &names(["boolq", "imdb"]));
    let page = html(&all).unwrap();
    let ccs = &all.diagnostics[&Method::CCS];
    let ece = ccs.calibration.as_ref().unwrap().reliability.ece;
    assert!(page.contains(&format!("0.123 before Platt scaling, {ece:.3} after")));
    let mut sorted = all.seeds[&Method::CCS].accuracies.clone();
    sorted.sort_by(f64::total_cmp);
    let median = f64::midpoint(sorted[4], sorted[5]);
    let cell = |v: f64| format!("<td class=\"n\">{:.1}%</td>", 100.0 * v);
    assert!(page.contains(&[sorted[0], median, sorted[9]].map(cell).concat()));
    for found in &ccs.ensembles {
        assert!(page.contains(&format!(">{:.1}%</span>", 100.0 * found.test.accuracy)));
    }
    assert!(page.contains("831 of 1000 random directions (83.1%), each with its sign"));
    assert!(page.contains("so 83.1% is more than chance."));
    assert!(page.contains("<li>DRC: none is shown to stand out in 64 dimensions.</li>"));
    assert!(page.contains("<li>VINC: 3 directions stand out in 64 dimensions.</li>"));
    assert!(page.contains("\u{2212}0.297"), "the last of RRC");
    let recursive = all.recursive.as_ref().unwrap();
    let low = |i: &RecursiveIteration| i.test.accuracy_ci.unwrap()[0];
    let above = recursive.iterations.iter().filter(|i| low(i) > 0.66).count();
    assert!(above > 0 && page.contains(&format!("{above} of 20 directions lie above")));
    assert!(page.contains("the mean |cos| is 0.873"));
    assert!(page.contains(
        "pairs of 11 seeds, |cos| between directions ranges from 0.321 to 0.876, with a median of 0.543"
    ));
    assert!(page.contains("a test loss of 0.261 ± 0.021 and an accuracy of 54.1% ± 5.1%"));
    assert!(page.contains("5%/140") && page.contains("1 of 10 <span class=\"ci\">[0.387, 0.612]</span>"));
    for (from, row) in all.transfer[&Method::LR].cells.iter().enumerate() {
        for (to, cell) in row.iter().enumerate() {
            let class = if from == to { " class=\"marked\"" } else { "" };
            let start = format!("<td{class} style=\"background: color-mix(in srgb, var(--");
            let accuracy = cell.as_ref().unwrap().accuracy;
            let value = format!("<span class=\"value\">{:.1}%</span>", 100.0 * accuracy);
            assert!(
                page.split(&start)
                    .skip(1)
                    .any(|rest| rest.get(..120).is_some_and(|cell| cell.contains(&value))),
                "{from} {to}"
            );
        }
    }
}

#[test]
fn columns_have_their_numbers_and_those_followed_are_marked() {
    let mut all = full(report(), &names(["plain", "exam"]), &names(["boolq", "imdb"]));
    let ccs = &mut all.diagnostics.get_mut(&Method::CCS).unwrap().columns;
    ccs[1].column = "</table><script>\u{202e}".to_owned();
    (ccs[1].within, ccs[1].strata[0].value) = (None, "<b>".repeat(40));
    let ccs = ccs.clone();
    let page = html(&all).unwrap();
    assert_well_formed(&page);
    assert_links(&page);
    let (_, section) = page.split_once("<h2 id=\"strata\">").unwrap();
    let section = section.split("<h2").next().unwrap();
    let (own, _) = section.split_once("Logistic regression").unwrap();
    assert!(
        own.contains("relation <span class=\"mark\">followed</span>")
            && own.matches("followed</span>").count() == 1
    );
    assert!(own.contains("&lt;&#x2f;table&gt;&lt;script&gt;") && !own.contains('\u{202e}'));
    for column in &ccs {
        assert!(own.contains(&format!(">{:.1}%</span>", 100.0 * column.agreement.value)));
        assert!(own.contains(&format!(">{:.3}</span>", column.beyond_labels.unwrap().value)));
        for stratum in &column.strata {
            let counts = [stratum.rows, stratum.positives, stratum.predicted];
            assert!(
                own.contains(&counts.map(|n| format!("<td class=\"n\">{n}</td>")).concat()),
                "{stratum:?}"
            );
        }
    }
    assert!(own.contains("0.503") && own.contains("<span class=\"none\">–</span>"));
    assert!(
        section.contains("<summary>The other methods</summary>") && section.contains("hold for 28 results")
    );
}

#[test]
fn rows_are_shown_with_their_texts_as_text() {
    let mut report = report();
    let examples = report.examples.as_mut().unwrap();
    let hostile = "<img src=x onerror=alert(1)> \u{202e}two";
    for row in &mut examples.rows {
        row.text = Some(RowText {
            shared: format!("{hostile}\nIs it {}?", row.row),
            plus: "</p>".to_owned(),
            minus: "no".to_owned(),
        });
    }
    let (shown, ccs) = (examples.rows.clone(), examples.methods[&Method::CCS].clone());
    let page = html(&report).unwrap();
    assert_well_formed(&page);
    assert_links(&page);
    assert!(!page.contains("<img") && page.contains("Is it") && page.contains("<b>&lt;&#x2f;p&gt;</b>"));
    for judged in ccs.wrong.iter().chain(&ccs.right).chain(&ccs.unsure) {
        let row = shown.iter().find(|row| row.row == judged.row).unwrap();
        let text = format!("labeled {}, <span", row.label);
        assert!(page.contains(&format!("Is it {}?", row.row)) && page.contains(&text), "{}", row.row);
        assert!(page.contains(&format!("predicted {}, p = {:.3}", judged.prediction, judged.p.unwrap())));
    }
    report.examples.as_mut().unwrap().rows.clear();
    assert_well_formed(&html(&report).unwrap());
}

#[test]
fn choices_are_compared_with_every_layer_in_mind() {
    let mut report = report();
    let lr = report.layers[3].methods.get_mut(&Method::LR).unwrap();
    (lr.directions, lr.l2) = (vec![lr.test.clone(); 3], Some(0.012_345));
    report.chosen.get_mut(&Method::LR).unwrap().layer = Some(3);
    let page = html(&report).unwrap();
    let signed = |v: f64| format!("{:+.1}", 100.0 * v).replace('-', "\u{2212}").replace("+0.0", "0.0");
    assert!(!report.comparisons.is_empty() && !report.chosen_without_labels.is_empty());
    for comparison in &report.comparisons {
        let Some(accuracy_ci) = comparison.accuracy_ci else { continue };
        let [low, high] = accuracy_ci.map(signed);
        assert!(page.contains(&format!(">[{low}, {high}]<")), "[{low}, {high}]");
    }
    assert!(page.contains("without labels</span>") && page.contains("λ = 0.0123,"));
    assert!(page.contains("<summary>3 directions</summary>"));
}

#[test]
fn hostile_names_and_odd_numbers_stay_inside() {
    let hostile = "</svg></style><script>alert(\"1\")</script>";
    let long = "a name without a single space in it that goes on".replace(' ', "_").repeat(8);
    let mut all = full(report(), &names([hostile, &long]), &names([hostile, &long]));
    let recursive = all.recursive.as_mut().unwrap();
    recursive.stop = hostile.to_owned();
    recursive.iterations.truncate(1);
    recursive.iterations[0].test_loss.confidence = f64::NAN;
    (recursive.random_accuracy, recursive.seeds_cosine) = (None, None);
    let ccs = all.diagnostics.get_mut(&Method::CCS).unwrap();
    ccs.histogram.as_mut().unwrap().positives.clear();
    ccs.calibration.as_mut().unwrap().reliability.bins.clear();
    ccs.templates[0].pooled.accuracy_ci = Some([f64::NAN, f64::INFINITY]);
    let transfer = all.transfer.get_mut(&Method::CCS).unwrap();
    transfer.cells[0][1].as_mut().unwrap().accuracy = f64::NAN;
    transfer.cells[0][0] = None;
    (transfer.layers, transfer.cells[1]) = (Vec::new(), Vec::new());
    all.seeds.get_mut(&Method::CCS).unwrap().accuracies.clear();
    all.shuffled.get_mut(&Method::LR).unwrap().layer = 99;
    let page = html(&all).unwrap();
    assert_well_formed(&page);
    assert_links(&page);
    assert!(page.matches("<script").count() == 1 && page.contains("&lt;script&gt;"));
}

#[test]
fn names_are_text_and_notes_are_shown() {
    let mut report = report();
    let hostile = "</style><script>alert(\"1\")</script>\u{1b}[31m\u{9b}1m\u{202e}\u{0}\u{ffff}";
    report.data = serde_json::json!({
        "dataset": hostile,
        "made_by": { "model": { "name": "tiny & \"new\"" } },
    });
    report.data_notes = vec![format!("a teaching model {hostile}")];
    report.layers[1].hook = hostile.to_owned();
    report.layers[1].notes = vec![hostile.to_owned()];
    report.layers[1].underdetermined = true;
    report.verdicts[0].text = hostile.to_owned();
    let page = html(&report).unwrap();
    assert_well_formed(&page);
    assert!(page.matches("<script").count() == 1 && page.contains("&lt;script&gt;"));
    // Nothing that turns text around, or that HTML and XML have no place for.
    assert!(page.contains("&lt;&#x2f;script&gt;\\u{1b}[31m\\u{9b}1m\\u{202e}\\u{0}\\u{ffff}"));
    assert!(
        [page.as_str()]
            .iter()
            .chain(&svgs(&report).each_ref().map(String::as_str))
            .all(|text| !text.contains(host::text::is_unsafe))
    );
    assert!(
        page.contains("Note on the data: a teaching model") && page.contains("tiny &amp; &quot;new&quot;")
    );
}

#[test]
fn plots_have_a_point_for_each_layer_however_many_there_are() {
    let report = report();
    let sizes: [Vec<usize>; 4] = [vec![3], vec![0], vec![0, 1, 2, 3], (0..81).map(|l| l % 4).collect()];
    for layers in sizes {
        let report = with_layers(&report, layers.iter().copied());
        for svg in svgs(&report) {
            assert_well_formed(&svg);
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
            for method in 0..2 {
                assert_eq!(markers(&svg, method), layers.len(), "{layers:?}: {svg}");
            }
        }
        assert_well_formed(&html(&report).unwrap());
    }
}

#[test]
fn choices_are_ringed_and_layers_without_a_fit_stand_alone() {
    let report = report();
    let [svg, _] = svgs(&report);
    let rings = |color: &str| {
        let of = format!("fill=\"none\" stroke=\"{color}\"");
        svg.lines().filter(|line| line.starts_with("<circle") && line.contains(&of)).count()
    };
    assert_eq!([rings("#0072b2"), rings("#d55e00")], [1, 1]);
    let layer = report.chosen[&Method::CCS].layer.unwrap();
    assert!(svg.contains(&format!("Chosen: CCS layer {layer}")) && svg.contains("No fit"));
    let curve = svg
        .lines()
        .rfind(|line| line.starts_with("<polyline") && line.contains("#0072b2\" stroke-width=\"1.6\""));
    let points = curve
        .unwrap()
        .split("points=\"")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .filter(|p| p.contains(','))
        .count();
    assert_eq!(points, 3, "the line begins after the constant layer");
}

#[test]
fn what_is_missing_is_left_out() {
    let mut bare = report();
    for layer in &mut bare.layers {
        layer.methods.retain(|method, _| *method == Method::CCS);
        for found in layer.methods.values_mut() {
            (found.test.auroc, found.test.auroc_ci, found.loss, found.cross_validation) =
                (None, None, None, None);
        }
        layer.differences.clear();
    }
    bare.layers[2].methods.get_mut(&Method::CCS).unwrap().test.accuracy = f64::NAN;
    (bare.chosen_difference, bare.data) = (None, serde_json::Value::Null);
    bare.comparisons.clear();
    bare.chosen_without_labels.clear();
    bare.chosen.clear();
    let [accuracy, auroc] = svgs(&bare);
    assert_eq!((markers(&accuracy, 0), markers(&accuracy, 1), markers(&auroc, 0)), (3, 0, 0));
    assert!(!accuracy.contains("NaN") && !accuracy.contains("Zero-shot") && !accuracy.contains("Chosen"));
    let empty = with_layers(&bare, std::iter::empty());
    for report in [bare, empty] {
        assert_well_formed(&html(&report).unwrap());
        for svg in svgs(&report) {
            assert_well_formed(&svg);
        }
    }
}
