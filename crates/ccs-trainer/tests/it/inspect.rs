//! `ccs inspect` and `ccs report`.

use ccs_trainer::RunDir;
use serde_json::json;

use crate::store::{Stored, ccs, json_of, quick, refused, succeeds, text};

#[test]
fn a_run_and_its_probes_say_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    Stored::default().write(&dir.path().join("store"));
    quick(dir.path(), &["fit", "store", "--out", "run", "--seed", "3"]);

    let run = json_of(ccs(dir.path(), &["inspect", "run", "--json"]));
    assert_eq!(run["data"]["made_by"]["model"]["identity"], "0123456789abcdef");
    assert_eq!((&run["layers"], &run["settings"]["seed"]), (&json!([0, 1]), &json!(3)));
    assert_eq!(run["chosen"]["ccs"]["layer"], 1);
    assert!(run["chosen"]["ccs"]["accuracy"].as_f64().unwrap() > 0.9);
    // Both found the planted axis, and the same end of it; a direction is one with itself.
    let cosines = &run["cosines"][0];
    assert_eq!((&cosines["layer"], &cosines["methods"]), (&json!(1), &json!(["ccs", "lr"])));
    let cosine = |a: usize, b: usize| cosines["matrix"][a][b].as_f64().unwrap();
    assert!((cosine(0, 0) - 1.0).abs() < 1e-9 && (cosine(0, 1) - cosine(1, 0)).abs() < 1e-12);
    assert!(cosine(0, 1) > 0.9, "{}", cosine(0, 1));
    let shown = text(&succeeds(ccs(dir.path(), &["inspect", "run"])).stdout);
    for part in
        ["planted, 0123456789abcdef", "cosines between directions at layer 1", "element_wise", "+1.000"]
    {
        assert!(shown.contains(part), "without `{part}`: {shown}");
    }

    let file = "run/probes/ccs/layer_01.safetensors";
    let probe = json_of(ccs(dir.path(), &["inspect", file, "--json"]));
    assert_eq!(probe, run["chosen"]["ccs"]["probe"]);
    assert_eq!((&probe["dim"], &probe["hook"]), (&json!(6), &json!("blocks.0.hook_resid_post")));
    assert!(probe["norm"].as_f64().unwrap() > 0.0 && probe["sign"].as_i64().unwrap().abs() == 1);
    let shown = text(&succeeds(ccs(dir.path(), &["inspect", file])).stdout);
    for part in ["6 (linear)", "pair", "norm of w", "·score + ", "0123456789abcdef", "seed", "high means"] {
        assert!(shown.contains(part), "without `{part}`: {shown}");
    }
    refused(dir.path(), &["inspect", "store"], &["no run in store"]);
    refused(dir.path(), &["inspect", "run/report.json"], &["not a probe file"]);
    refused(dir.path(), &["inspect", "nowhere"], &["nowhere"]);
}

#[test]
fn a_page_is_drawn_anew_from_the_report_alone() {
    let dir = tempfile::tempdir().unwrap();
    Stored::default().write(&dir.path().join("store"));
    quick(dir.path(), &["fit", "store", "--out", "run"]);
    std::fs::remove_dir_all(dir.path().join("store")).unwrap();
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let (page, plot) = (read("run/report.html"), read("run/plots/auroc.svg"));

    let done = succeeds(ccs(dir.path(), &["report", "run", "--out", "public/page"]));
    assert_eq!(text(&done.stdout).trim(), "public/page/report.html");
    assert!(read("public/page/report.html") == page && read("public/page/plots/auroc.svg") == plot);
    std::fs::write(dir.path().join("run/report.html"), "lost").unwrap();
    succeeds(ccs(dir.path(), &["report", "run"]));
    assert!(read("run/report.html") == page);
    assert!(!dir.path().join("run/report.html.new").exists());

    // What is drawn is what the run wrote, and no other hand.
    let mut report = RunDir::open(dir.path().join("run")).and_then(|run| run.report()).unwrap();
    report.notes.push("a note of another hand".to_owned());
    std::fs::write(dir.path().join("run/report.json"), report.to_json().unwrap()).unwrap();
    refused(dir.path(), &["report", "run"], &["run/report.json", "changed after it was written", "hint: "]);
    assert!(read("run/report.html") == page);
    refused(dir.path(), &["report", "public"], &["no run in public"]);
}

#[test]
fn help_shows_examples() {
    for (command, example) in [
        ("eval", "ccs eval boolq/run imdb/store --reestimate"),
        ("sweep", "ccs sweep boolq/store imdb/store --out sweep"),
        ("inspect", "ccs inspect run --json | jq .cosines"),
        ("explore", "ccs explore run --out rows.html"),
        ("report", "ccs report run --out public/boolq"),
    ] {
        let dir = std::env::temp_dir();
        let help = text(&succeeds(ccs(&dir, &[command, "--help"])).stdout);
        assert!(help.contains(example), "{command}: {help}");
    }
}
