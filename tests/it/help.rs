//! `--help` of every command as it is printed, so that a change of the command line is seen in review.
//!
//! After a change that is meant: `INSTA_UPDATE=always cargo test --test it help`, and look at the difference.

use crate::support::{commands, llama_ccs};

/// `--help` at a width that does not depend on the terminal.
fn help(path: &[String]) -> String {
    let output = llama_ccs().args(path).arg("--help").env("COLUMNS", "100").assert().success();
    String::from_utf8(output.get_output().stdout.clone()).expect("text")
}

#[test]
fn of_every_command() {
    insta::with_settings!({ snapshot_path => "snapshots/help", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("llama-ccs", help(&[]));
        for path in commands() {
            insta::assert_snapshot!(path.join("-"), help(&path));
        }
    });
}

#[test]
fn has_examples_and_exit_codes() {
    assert!(help(&[]).contains(
        "Exit codes: 0 success; 1 an error, printed on stderr; 2 a wrong command line; 130 interrupted"
    ));
    for path in commands().iter().filter(|path| path.len() == 1) {
        assert!(help(path).contains("Examples:\n  llama-ccs "), "{path:?}");
    }
}
