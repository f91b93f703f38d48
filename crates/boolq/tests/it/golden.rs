//! Against prompts whose hidden states were computed by other programs; and, where the shared material is, BoolQ's
//! development set and the geometry-of-truth statements.

use boolq::{Dataset, Kind, Pairs, Template, Warning, pairs, prompts};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;
use test_material::shared;

fn boolq() -> Option<(Dataset, Pairs)> {
    let data = Dataset::load(shared("data/boolq/dev.jsonl")?).expect("readable");
    let made = pairs(&data, &Template::named("llama-ccs").expect("built in")).expect("renders");
    Some((data, made))
}

#[test]
fn boolq_development_set() {
    let Some((data, made)) = boolq() else { return };
    assert_eq!((data.name.as_str(), data.kind, data.questions.len()), ("dev", Kind::Questions, 3270));
    assert!((data.true_share().expect("rows") - 0.6217).abs() < 5e-5);
    assert!(made.warnings.is_empty());
    let groups: HashSet<_> = made.pairs.iter().map(|pair| &pair.group).collect();
    assert_eq!(groups.len(), 2650, "a group for each of the 2651 titles, two of which have one passage");
}

/// The pairs are those of a reference's `prompts.json`, which a Python of its own wrote.
fn same_prompts(made: &Pairs, golden: &Path) {
    let text = fs_err::read_to_string(golden).expect("readable");
    let golden: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    assert!(!golden.is_empty());
    for expected in golden {
        let idx = expected["index"].as_u64().expect("an index");
        let pair = &made.pairs[idx as usize];
        assert_eq!(Some(pair.plus_prompt.as_str()), expected["plus_prompt"].as_str(), "{idx}");
        assert_eq!(Some(pair.minus_prompt.as_str()), expected["minus_prompt"].as_str(), "{idx}");
        assert_eq!(Some(pair.label), expected["answer"].as_bool(), "{idx}");
    }
}

#[test]
fn prompts_are_those_the_reference_states_were_computed_from() {
    let template = Template::named("llama-ccs").expect("built in");
    let own = Dataset::load(test_material::golden("questions.jsonl")).expect("readable");
    same_prompts(&pairs(&own, &template).expect("renders"), &test_material::golden("llama/prompts.json"));
    let Some((_, made)) = boolq() else { return };
    for folder in ["meta-tiny", "hf-llama3-tiny"] {
        let Some(path) = shared(&format!("golden/{folder}/prompts.json")) else { return };
        same_prompts(&made, &path);
    }
}

#[test]
fn boolq_goes_through_prompts_csv() {
    let Some((_, made)) = boolq() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("prompts.csv");
    prompts::write(&path, &made.pairs).expect("writes");
    assert!(prompts::read(&path).expect("reads") == made);
}

#[test]
fn statements_of_geometry_of_truth() {
    let template = Template::named("statement").expect("built in");
    // The file, its rows, and how many different subjects pandas finds in its third column.
    for (file, rows, subjects) in
        [("cities", 1496, 748), ("neg_cities", 1496, 748), ("larger_than", 1980, 45)]
    {
        let Some(path) = shared(&format!("data/statements/{file}.csv")) else { return };
        let data = Dataset::load(path).expect("readable");
        let made = pairs(&data, &template).expect("renders");
        assert_eq!((data.kind, data.questions.len()), (Kind::Statements, rows), "{file}");
        let groups: HashSet<_> = made.pairs.iter().map(|pair| &pair.group).collect();
        assert_eq!(groups.len(), subjects, "{file}");
        assert!(made.warnings.is_empty(), "{file}");
    }
    let Some(path) = shared("data/statements/sp_en_trans.csv") else { return };
    let made = pairs(&Dataset::load(path).expect("readable"), &template).expect("renders");
    assert_eq!(made.warnings, [Warning::GroupFromPrompt { pairs: made.pairs.len() }]);
}
