//! `schema/report.schema.json` is made from the types, and reports are as it says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod sample;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use ccs_report::Report;
use sample::full;

const SCHEMA: &str = include_str!("../schema/report.schema.json");

fn report() -> Report {
    Report::from_json(include_bytes!("fixtures/report.json")).unwrap()
}

#[test]
fn the_schema_is_that_of_the_types() {
    let Some(python) = test_material::python("json") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/make_schema.py");
    let made = Command::new(python).arg(script).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let same = String::from_utf8(made.stdout).unwrap() == SCHEMA;
    assert!(same, "write it anew: python3 schema/make_schema.py > schema/report.schema.json");
}

/// Prints what is wrong with each report, a line each.
const VALIDATE: &str = r#"
import json, sys
from jsonschema import Draft202012Validator as Validator
schema = json.load(open(sys.argv[1]))
Validator.check_schema(schema)
for line in sys.stdin:
    errors = [f"{list(e.path)}: {e.message[:200]}" for e in Validator(schema).iter_errors(json.loads(line))]
    print("; ".join(errors))
"#;

#[test]
fn reports_are_as_the_schema_says() {
    let Some(python) = test_material::python("jsonschema") else { return };
    let names = |of: &[&str]| of.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let all = full(report(), &names(&["plain", "exam"]), &names(&["boolq", "imdb"]));
    let json = |report: &Report| serde_json::to_value(report).unwrap();
    let (mut without, mut wrong) = (json(&report()), json(&all));
    without.as_object_mut().unwrap().remove("layers");
    wrong["layers"][1]["methods"]["lr"]["test"]["accuracy"] = "high".into();
    let lines = [json(&report()), json(&all), without, wrong].map(|report| format!("{report}\n"));

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/report.schema.json");
    let mut command = Command::new(python);
    command.args(["-c", VALIDATE]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut started = command.spawn().unwrap();
    started.stdin.take().unwrap().write_all(lines.concat().as_bytes()).unwrap();
    let said = String::from_utf8(started.wait_with_output().unwrap().stdout).unwrap();
    let [fixture, full, without, wrong] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert_eq!((fixture, full), ("", ""));
    assert!(without.contains("'layers' is a required property"), "{without}");
    assert!(wrong.contains("'lr', 'test', 'accuracy'") && wrong.contains("'high'"), "{wrong}");
}
