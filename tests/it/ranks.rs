//! Several processes.

#![cfg(feature = "distributed")]

use predicates::prelude::*;

use crate::support::llama_ccs;

#[test]
fn two_processes_can_talk() {
    let output = llama_ccs().args(["doctor", "--ranks", "2", "--json"]).assert().success();
    let found: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).expect("json");
    let talked = &found["ranks"]["talked"];
    assert_eq!((&talked["ranks"], talked["hosts"].as_array().map(Vec::len)), (&2.into(), Some(1)));
    assert!(talked["bytes_per_second"].as_f64().is_some_and(|rate| rate > 0.0));
    let shown = llama_ccs().args(["doctor", "--ranks", "3"]).assert().success();
    shown.stdout(predicate::str::contains("add up right"));
}

#[test]
fn what_a_launcher_left_out_is_said() {
    let mut alone = llama_ccs();
    alone.arg("doctor").env("WORLD_SIZE", "2").env("RANK", "0");
    alone.assert().code(1).stdout("").stderr(
        predicate::str::contains("MASTER_ADDR is not set")
            .and(predicate::str::contains("hint: start under torchrun")),
    );
}
