//! `prompts.csv` comes back as it was written, in this crate and in pandas.

use crate::toy::{pair, with_words};
use boolq::{ContrastPair, prompts};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::process::Command;

/// Text with what CSV finds hard: quotes, separators, line ends of all kinds, white space at both ends.
fn hard_text() -> impl Strategy<Value = String> {
    prop_oneof!["[ \t]{0,2}[\"',\n\r a-zé✓#\\\\-]{0,20}x[\"\n\r ,]{0,3}", "\\PC{0,30}x"]
}

fn hard_pair() -> impl Strategy<Value = ContrastPair> {
    (hard_text(), "[0-9a-f]{16}", hard_text(), hard_text(), any::<bool>()).prop_map(
        |(stem, group, question_id, dataset, label)| {
            with_words(ContrastPair {
                plus_prompt: format!("{stem} True"),
                minus_prompt: format!("{stem} False "),
                label,
                question_id,
                group,
                template: "t,\"1\"".into(),
                dataset,
                ..pair(0, 2, 0, true)
            })
        },
    )
}

fn round_trip(pairs: &[ContrastPair]) -> Vec<ContrastPair> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("prompts.csv");
    prompts::write(&path, pairs).expect("writes");
    prompts::read(&path).expect("reads").pairs
}

proptest! {
    #[test]
    fn round_trips_exactly(pairs in prop::collection::vec(hard_pair(), 1..6)) {
        let pairs: Vec<_> = pairs.into_iter().zip(0..).map(|(pair, idx)| ContrastPair { idx, ..pair }).collect();
        prop_assert_eq!(round_trip(&pairs), pairs);
    }
}

#[test]
fn a_large_file_of_multi_line_prompts_comes_back() {
    // Large enough for polars to read it in several pieces, whose borders must not fall into quoted newlines.
    let pairs: Vec<_> = (0..20_000_u64)
        .map(|idx| {
            let stem = format!("line {idx}\n\n\"quoted\", {}\n1,2,3,4\n", "text ".repeat(idx as usize % 50));
            with_words(ContrastPair {
                plus_prompt: format!("{stem}True"),
                minus_prompt: format!("{stem}False"),
                ..pair(idx, 2, 0, idx % 2 == 0)
            })
        })
        .collect();
    assert!(round_trip(&pairs) == pairs);
}

#[test]
fn the_header_is_llama_ccs_then_ours() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("prompts.csv");
    prompts::write(&path, &[pair(3, 2, 0, false)]).expect("writes");
    assert_eq!(
        fs_err::read_to_string(&path).expect("readable"),
        "idx,plus_prompt,minus_prompt,label,question_id,group,template,dataset,plus_answer,minus_answer\n\
         3,word True,word False,False,3,0000000000000001,toy,toy,5:9,5:10\n"
    );
}

/// Prints a prompts file as pandas sees it: the label's type, then every prompt as hex of its UTF-8.
const PANDAS: &str = "\
import sys, pandas
frame = pandas.read_csv(sys.argv[1])
print(frame['label'].dtype)
def answer(prompt, span):
    start, end = map(int, span.split(':'))
    return prompt[start:end]
for row in frame.itertuples():
    print(row.idx, row.plus_prompt.encode().hex(), row.minus_prompt.encode().hex(), bool(row.label),
        answer(row.plus_prompt, row.plus_answer), answer(row.minus_prompt, row.minus_answer))
";

#[test]
fn pandas_reads_the_same_text() {
    let Some(python) = test_material::python("pandas") else { return };
    let stems =
        ["a \"b\", c\n\nd", " \tspaces ", "Δ ✓\r\ncarriage\rreturn", "'single', #hash \\ back", "plain"];
    let pairs: Vec<_> = stems
        .iter()
        .zip(0..)
        .map(|(stem, idx)| {
            with_words(ContrastPair {
                plus_prompt: format!("{stem}\n True"),
                minus_prompt: format!("{stem}\n False "),
                ..pair(idx, 2, 0, idx % 2 == 0)
            })
        })
        .collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("prompts.csv");
    prompts::write(&path, &pairs).expect("writes");
    let output = Command::new(&python).args(["-c", PANDAS]).arg(&path).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut expected = String::from("bool\n");
    for pair in &pairs {
        let label = if pair.label { "True" } else { "False" };
        let (plus, minus) = (hex(&pair.plus_prompt), hex(&pair.minus_prompt));
        writeln!(expected, "{} {plus} {minus} {label} True False", pair.idx).expect("a String takes all");
    }
    assert_eq!(String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n"), expected);
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes all");
        hex
    })
}
