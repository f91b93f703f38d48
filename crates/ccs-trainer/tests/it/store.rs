//! Small stores with a known truth in them, written as an extraction writes them.

use std::collections::BTreeMap;
use std::path::Path;

use activations::{BatchStates, Column, ColumnStates, Manifest, Row, Side, Sides, StoreDtype, StoreWriter};
use assert_cmd::Command;
use serde_json::{Value, json};

use crate::data::Planted;

/// What a store holds: noise at `hook_embed`, truth at the layer above it.
pub(crate) struct Stored {
    pub(crate) rows: usize,
    pub(crate) dim: usize,
    /// Of the truth; 0 is noise.
    pub(crate) strength: f32,
    pub(crate) seed: u64,
    pub(crate) dataset: &'static str,
    /// The number of the first passage; there are two rows to a passage.
    pub(crate) passages_from: usize,
    pub(crate) template: &'static str,
    pub(crate) tokens: &'static str,
    /// The hook point of layer 1.
    pub(crate) hook: &'static str,
    /// Layers above it, with the same states.
    pub(crate) further: usize,
    /// What stands before the answer in every prompt.
    pub(crate) prompt: &'static str,
    pub(crate) settings: Value,
    /// `answer_logprob` of a row with this label, plus and minus.
    pub(crate) answers: fn(bool) -> [f32; 2],
    /// `answer_logprob_mean`, if there is such a column.
    pub(crate) answer_means: Option<fn(bool) -> [f32; 2]>,
    /// How many tokens the answers have, plus and minus.
    pub(crate) answer_tokens: [u32; 2],
    /// A row's further columns.
    pub(crate) columns: fn(usize) -> Vec<(&'static str, &'static str)>,
}

impl Default for Stored {
    fn default() -> Self {
        Self {
            rows: 80,
            dim: 6,
            strength: 3.0,
            seed: 1,
            dataset: "planted",
            passages_from: 0,
            template: "t",
            tokens: "last",
            hook: "blocks.0.hook_resid_post",
            further: 0,
            prompt: "passage, question",
            settings: json!({
                "model": { "name": "planted", "identity": "0123456789abcdef" },
                "tokenizer": { "identity": "00ff" },
                "extraction": { "precision": "bf16" },
            }),
            answers: |_| [-1.0, -2.0],
            answer_means: None,
            answer_tokens: [1, 1],
            columns: |_| Vec::new(),
        }
    }
}

impl Stored {
    pub(crate) fn write(&self, dir: &Path) {
        let (planted, noise) = (
            Planted::new(self.rows, self.dim, self.strength, self.seed),
            Planted::new(self.rows, self.dim, 0.0, self.seed + 100),
        );
        self.write_states(dir, &planted.labels, &(planted.plus, planted.minus), &(noise.plus, noise.minus));
    }

    /// Plus and minus states of layer 1 and of the embedding.
    pub(crate) fn write_states(
        &self,
        dir: &Path,
        labels: &[bool],
        truth: &(Vec<f32>, Vec<f32>),
        embedding: &(Vec<f32>, Vec<f32>),
    ) {
        let side = |answer: &str, tokens: u32| Side {
            prompt: format!("{} {answer}", self.prompt),
            tokens: 1 + tokens,
            answer_start: 1,
            answer_end: 1 + tokens,
            captured_id: 1,
            captured_text: answer.to_owned(),
        };
        let row = |(idx, &label): (usize, &bool)| Row {
            idx: idx as u64,
            label,
            question_id: format!("q{idx}"),
            group: format!("passage {}", self.passages_from + idx / 2),
            template: self.template.to_owned(),
            dataset: self.dataset.to_owned(),
            sides: Sides::Pair {
                plus: side("True", self.answer_tokens[0]),
                minus: side("False", self.answer_tokens[1]),
            },
            columns: (self.columns)(idx)
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        };
        let rows: Vec<Row> = labels.iter().enumerate().map(row).collect();
        let at = |hook: &str| Column::new(hook, &["d_model"], &[self.dim]).at(self.tokens);
        let further = (1..=self.further).map(|block| at(&format!("blocks.{block}.hook_resid_post")));
        let mut columns = vec![at("hook_embed"), at(self.hook)];
        columns.extend(further.chain([Column::scalar("answer_logprob")]));
        columns.extend(self.answer_means.map(|_| Column::scalar("answer_logprob_mean")));
        let mut settings = self.settings.clone();
        settings["dataset"] = self.dataset.into();
        settings["template"] = self.template.into();
        let settings = serde_json::from_value(settings).unwrap();
        let manifest = Manifest::new(StoreDtype::F32, columns, vec![(0..labels.len()).collect()], settings);
        let mut writer = StoreWriter::open(dir, manifest, &rows).unwrap();
        let states = |(plus, minus): &(Vec<f32>, Vec<f32>)| ColumnStates::Pair {
            plus: plus.clone(),
            minus: minus.clone(),
        };
        let answers = |of: fn(bool) -> [f32; 2]| {
            let side = |at: usize| labels.iter().map(|label| of(*label)[at]).collect();
            ColumnStates::Pair { plus: side(0), minus: side(1) }
        };
        let mut columns = vec![states(embedding)];
        columns.extend((0..=self.further).map(|_| states(truth)));
        columns.extend([self.answers].into_iter().chain(self.answer_means).map(answers));
        writer.commit(0, BatchStates { columns }).unwrap();
        writer.finish().unwrap();
    }
}

/// Every file of a folder, but for the log.
pub(crate) fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = every_file(dir);
    found.retain(|name, _| Path::new(name).file_name().is_none_or(|name| name != "log.jsonl"));
    found
}

/// Every file of a folder, by its path within it.
pub(crate) fn every_file(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Runs `ccs` in a folder.
pub(crate) fn ccs(dir: &Path, arguments: &[&str]) -> std::process::Output {
    Command::cargo_bin("ccs").unwrap().current_dir(dir).args(arguments).output().unwrap()
}

/// What makes a fit quick.
pub(crate) const QUICK: [&str; 6] = ["--epochs", "60", "--restarts", "2", "--folds", "3"];

/// A fit or sweep that is quick, of CCS and logistic regression.
pub(crate) fn quick(dir: &Path, arguments: &[&str]) -> std::process::Output {
    let methods = ["--methods", "ccs,lr,zero_shot,majority"];
    succeeds(ccs(dir, &[arguments, &methods, &QUICK].concat()))
}

pub(crate) fn succeeds(done: std::process::Output) -> std::process::Output {
    assert!(done.status.success(), "{}", text(&done.stderr));
    done
}

/// The standard output as JSON.
pub(crate) fn json_of(done: std::process::Output) -> Value {
    serde_json::from_slice(&succeeds(done).stdout).unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A command that fails with one error and a hint, which hold these parts.
pub(crate) fn refused(dir: &Path, arguments: &[&str], parts: &[&str]) {
    let done = ccs(dir, arguments);
    let error = text(&done.stderr);
    assert!(!done.status.success() && done.stdout.is_empty(), "{arguments:?}: {error}");
    assert!(error.starts_with("error: ") && error.contains("\nhint: "), "{arguments:?}: {error}");
    for part in parts {
        assert!(error.contains(part), "{arguments:?} without `{part}`: {error}");
    }
}
