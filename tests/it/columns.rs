//! What the data say of their rows, from the data file to the trainer: further columns, and how groups were found.

use std::fs;
use std::path::{Path, PathBuf};

use llama_ccs::activations::Store;
use llama_ccs::ccs_trainer::{Fit, Source as _, StoreSource};
use predicates::prelude::predicate;

use crate::support::{contents, extract, llama_ccs, quiz};

const COLORS: [&str; 4] = ["yellow", "black", "grey", "red"];

/// Statements without a subject, with a column of numbers, one of texts, and one of long texts.
fn statements(folder: &Path) -> PathBuf {
    let mut lines = vec!["statement,label,level,color,essay".to_owned()];
    for (row, thing) in
        ["kite", "sock", "bell", "lamp", "spoon", "key"].into_iter().cycle().take(48).enumerate()
    {
        let color = COLORS[row / 12];
        let shown = if row == 1 { "" } else { color };
        let essay = "long ".repeat(50);
        lines.push(format!("The {thing} is {color}.,{},{row},{shown},{essay}", usize::from(row % 2 == 0)));
    }
    let path = folder.join("data.csv");
    fs::write(&path, lines.join("\n") + "\n").expect("data");
    path
}

fn prompts(folder: &Path, arguments: &[&str]) -> assert_cmd::assert::Assert {
    let template = folder.join("t.jinja");
    fs::write(&template, "{{ statement }} True or False: {{ answer }}").expect("template");
    let mut command = llama_ccs();
    command.arg("prompts").arg("--data").arg(statements(folder)).arg("--model").arg(quiz().join("model"));
    command.arg("--template").arg(template).arg("--out").arg(folder.join("prompts.csv")).args(arguments);
    command.assert()
}

fn header(folder: &Path) -> String {
    let csv = fs::read_to_string(folder.join("prompts.csv")).expect("prompts");
    csv.lines().next().expect("a header").to_owned()
}

#[test]
fn columns_and_warnings_of_groups_reach_the_report() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    let made = prompts(dir, &["--limit", "40"]).success();
    let said = String::from_utf8(made.get_output().stderr.clone()).expect("text");
    assert!(said.contains("48 rows have no title, passage, subject, or group of their own"), "{said}");
    assert!(said.contains("not kept with the pairs: \"essay\" (longer than 200 characters)"), "{said}");
    assert!(header(dir).ends_with(",minus_answer,data.level,data.color"), "{}", header(dir));

    let (csv, store) = (dir.join("prompts.csv"), dir.join("store"));
    extract(&csv, &store).assert().success();
    let before = contents(&store);
    extract(&csv, &store).assert().success();
    assert_eq!(contents(&store), before, "the same prompts continue the store that they began");

    let rows = Store::open(&store).expect("store").rows().expect("rows");
    assert_eq!((rows[0].columns["level"].as_str(), rows[0].columns["color"].as_str()), ("0", "yellow"));
    assert!(rows[1].columns.get("color").is_none(), "an empty cell is no value");
    let source = StoreSource::open(&store).expect("source");
    let columns = &source.rows().columns;
    assert_eq!(columns.keys().collect::<Vec<_>>(), ["level", "color"]);
    assert_eq!(columns["level"][39].as_deref(), Some("39"));
    assert_eq!(columns["color"][..2], [Some("yellow".to_owned()), None]);

    let report = Fit::new(&source).run().expect("fit").finished().expect("the whole run").report;
    let note = "40 rows have no title, passage, subject, or group of their own: their groups are guessed from the text \
                of the prompt, without an answer, so rows about one thing may fall on both sides of a split";
    assert_eq!(report.data_notes, [note]);

    // Prompts of unknown origin say so too, and leave out what they are made of.
    let text = fs::read_to_string(&csv).expect("prompts").replacen(",group,", ",family,", 1);
    fs::write(dir.join("foreign.csv"), text).expect("prompts");
    let foreign = dir.join("foreign");
    extract(&dir.join("foreign.csv"), &foreign).assert().success();
    assert_eq!(StoreSource::open(&foreign).expect("source").notes(), [note]);
    // Another note is another store.
    extract(&dir.join("foreign.csv"), &store).assert().failure();
}

#[test]
fn columns_are_chosen_by_name() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    prompts(dir, &["--keep-columns", "none"]).success();
    assert!(header(dir).ends_with(",minus_answer"), "{}", header(dir));
    prompts(dir, &["--keep-columns", "color,statement"]).success();
    assert!(header(dir).ends_with(",minus_answer,data.color,data.statement"), "{}", header(dir));
    prompts(dir, &["--keep-columns", "colors"])
        .failure()
        .code(1)
        .stderr(predicate::str::contains("no column `colors` for the columns to keep"))
        .stderr(predicate::str::contains("did you mean `color`?"));
}
