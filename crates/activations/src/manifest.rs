//! What a store holds: `manifest.json`, its rules, and how two manifests differ.
//!
//! Long because a manifest's fields, their rules and their comparison are read together.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::differences::Differences;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::json;
use crate::provenance::Provenance;
use crate::side::{RowKind, SideOf};
use crate::tokens::{self, ALL_TOKENS, TokenIds, TokenRecord};

/// The version of the format this build writes and reads.
pub const SCHEMA: u32 = 2;

/// The column with the log-probability of the whole answer: the sum over its tokens.
pub const ANSWER_LOGPROB: &str = "answer_logprob";
/// The column with the mean of the log-probabilities of the answer's tokens.
pub const ANSWER_LOGPROB_MEAN: &str = "answer_logprob_mean";

/// The token rule whose states are means over the answer's tokens.
const ANSWER_MEAN: &str = "answer_mean";

/// Names become folder names; file systems end at 255 bytes.
const MAX_NAME: usize = 120;
/// The store's own files, which no column's folder may be called.
const RESERVED: [&str; 6] =
    ["journal", "log.jsonl", "manifest.json", "manifest.json.tmp", "rows.parquet", "rows.parquet.tmp"];
/// More axes than any hook point has, few enough for every reader.
const MAX_AXES: usize = 8;

/// The type in which numbers are stored. It need not be the type in which they were computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreDtype {
    /// 32-bit floats: bf16 and f16 widen to it without loss.
    F32,
    /// 16-bit floats: half the space; values of 65520 and above are refused.
    F16,
}

impl StoreDtype {
    /// Bytes per number.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// `f32` or `f16`, as in `manifest.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// The type in a `.npy` header.
    pub(crate) fn descr(self) -> &'static str {
        match self {
            Self::F32 => "<f4",
            Self::F16 => "<f2",
        }
    }

    /// The smallest magnitude that does not fit: rounding to nearest takes 65520 to infinity in half precision.
    pub(crate) fn limit(self) -> f32 {
        match self {
            Self::F32 => f32::INFINITY,
            Self::F16 => 65520.0,
        }
    }
}

/// One hook point (or one number per row) and the token it was read at; on disk a folder with an array for each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// `TransformerLens`' name of the hook point, or a name such as [`ANSWER_LOGPROB`].
    pub hook: String,
    /// The token rule: `last`, or another rule's name.
    pub tokens: String,
    /// 0 for `hook_embed`, l ≥ 1 for `blocks.{l-1}.hook_resid_post`, none for everything else.
    pub layer: Option<usize>,
    /// What each axis of a row means, for example `["d_model"]`.
    pub axes: Vec<String>,
    /// The length of each axis of a row; empty for one number per row.
    pub shape: Vec<usize>,
}

impl Column {
    /// A column of the last token; the layer follows from the name of the hook point.
    pub fn new(hook: &str, axes: &[&str], shape: &[usize]) -> Self {
        Self {
            hook: hook.to_owned(),
            tokens: "last".to_owned(),
            layer: layer_of(hook),
            axes: axes.iter().map(|&axis| axis.to_owned()).collect(),
            shape: shape.to_vec(),
        }
    }

    /// A column with one number per row, such as the answer's log-probability; always kept in f32.
    pub fn scalar(name: &str) -> Self {
        Self::new(name, &[], &[])
    }

    /// The same hook point under another token rule.
    #[must_use]
    pub fn at(mut self, tokens: &str) -> Self {
        tokens.clone_into(&mut self.tokens);
        self
    }

    /// The column's folder and name in the store: the hook for the token rule `last`, else `{hook}@{tokens}`.
    pub fn name(&self) -> String {
        if self.tokens == "last" { self.hook.clone() } else { format!("{}@{}", self.hook, self.tokens) }
    }

    /// Whether the column has a state for every token of every prompt: the rule is [`ALL_TOKENS`], and its arrays are
    /// ragged.
    pub fn is_ragged(&self) -> bool {
        self.tokens == ALL_TOKENS
    }

    /// Numbers per row; per token in a [ragged](Column::is_ragged) column.
    pub fn row_len(&self) -> usize {
        self.shape.iter().fold(1, |len, &n| len.saturating_mul(n))
    }

    /// The type in which the column is stored: scalars are f32 in every store.
    pub fn dtype(&self, store: StoreDtype) -> StoreDtype {
        if self.shape.is_empty() { StoreDtype::F32 } else { store }
    }

    /// Whether the numbers are of the tokens of an answer.
    fn is_of_answers(&self) -> bool {
        self.tokens == ANSWER_MEAN || self.hook == ANSWER_LOGPROB || self.hook == ANSWER_LOGPROB_MEAN
    }

    fn check(&self) -> std::result::Result<(), String> {
        for (what, name) in [("hook", &self.hook), ("token rule", &self.tokens)] {
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
            if name.is_empty() || name.len() > MAX_NAME || name.starts_with('.') || !plain {
                return Err(format!(
                    "the {what} {name:?} is not a name: 1 to {MAX_NAME} of A-Z a-z 0-9 . _ -, not starting with a dot"
                ));
            }
        }
        let name = self.name();
        if RESERVED.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            return Err(format!("column {name} is called like a file of the store itself"));
        }
        if self.axes.len() != self.shape.len() || self.shape.len() > MAX_AXES {
            return Err(format!(
                "column {name} names {} axes and has {} (at most {MAX_AXES})",
                self.axes.len(),
                self.shape.len()
            ));
        }
        if self.shape.contains(&0) {
            return Err(format!("column {name} has an axis of length 0"));
        }
        if self.layer != layer_of(&self.hook) {
            return Err(format!(
                "column {name} is given as layer {:?}, but layer 0 is hook_embed and layer l is blocks.{{l-1}}.hook_resid_post",
                self.layer
            ));
        }
        Ok(())
    }
}

/// The layer a hook point stands for.
fn layer_of(hook: &str) -> Option<usize> {
    if hook == "hook_embed" {
        return Some(0);
    }
    let block: usize = hook.strip_prefix("blocks.")?.strip_suffix(".hook_resid_post")?.parse().ok()?;
    // The name in full, so that `blocks.+1.` and `blocks.01.` are not layers.
    (hook == format!("blocks.{block}.hook_resid_post")).then(|| block.checked_add(1))?
}

/// What a store holds and which settings made it; the content of `manifest.json`.
///
/// No clock time and no absolute path belongs here: the same extraction gives the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the format, [`SCHEMA`].
    pub schema: u32,
    /// The type in which hidden states are stored.
    pub dtype: StoreDtype,
    /// What a row is, and so which arrays a column has. In the file it is the key `sides`, which pairs do not have.
    #[serde(rename = "sides", default, skip_serializing_if = "RowKind::is_pairs")]
    pub kind: RowKind,
    /// Rows (contrast pairs, or statements).
    pub rows: usize,
    /// BLAKE3 of `rows.parquet`; filled in by the writer.
    pub rows_hash: String,
    /// The tokens of each side, where columns have the rule [`ALL_TOKENS`]; see [`Manifest::with_tokens`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Vec<TokenRecord>>,
    /// BLAKE3 of the file with the texts of these tokens, where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_texts: Option<String>,
    /// What else made the numbers, as JSON: whatever the caller records. [`Manifest::provenance`] reads it. A store is
    /// continued only with equal settings.
    pub settings: Map<String, Value>,
    /// The columns, in the order of [`BatchStates`](crate::BatchStates).
    pub columns: Vec<Column>,
    /// The plan: the rows of each batch. A batch is the unit of commit; together they hold every row once.
    pub batches: Vec<Vec<usize>>,
}

impl Manifest {
    /// The manifest of the store in `dir`, finished or not.
    ///
    /// # Errors
    /// [`Error::NotAStore`] where there is none, and what a damaged one gives.
    pub fn read(dir: impl AsRef<Path>) -> Result<Self> {
        Ok(Files::new(dir.as_ref()).read_manifest()?.0)
    }

    /// What made the states: the settings, as typed fields.
    pub fn provenance(&self) -> Provenance {
        Provenance::from(self.settings.clone())
    }

    /// A manifest of this build's schema, for pairs ([`Manifest::of`] others). The number of rows follows from the plan; `settings` come from a
    /// [`Provenance`] or are whatever the caller records.
    pub fn new(
        dtype: StoreDtype,
        columns: Vec<Column>,
        batches: Vec<Vec<usize>>,
        settings: Map<String, Value>,
    ) -> Self {
        let rows = batches.iter().map(Vec::len).sum();
        let kind = RowKind::Pairs;
        let rows_hash = String::new();
        let (tokens, token_texts) = (None, None);
        Self { schema: SCHEMA, dtype, kind, rows, rows_hash, tokens, token_texts, settings, columns, batches }
    }

    /// The same manifest for rows of a kind.
    #[must_use]
    pub fn of(mut self, kind: RowKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same manifest with the tokens that its ragged columns are of, which
    /// [`StoreWriter::open_with`](crate::StoreWriter::open_with) takes too.
    ///
    /// # Errors
    /// Lengths that no `.npy` header can have.
    pub fn with_tokens(mut self, ids: &TokenIds) -> Result<Self> {
        self.tokens = Some(ids.records()?);
        self.token_texts = ids.texts_hash()?;
        Ok(self)
    }

    /// Whether a column has a state for every token.
    pub(crate) fn is_ragged(&self) -> bool {
        self.columns.iter().any(Column::is_ragged)
    }

    /// Items of the first axis of one side's array: rows, or tokens.
    fn items(&self, column: &Column, side: SideOf) -> u64 {
        let record = self.tokens.iter().flatten().find(|record| record.side == side);
        match record {
            Some(record) if column.is_ragged() => record.count,
            _ => self.rows as u64,
        }
    }

    /// How many arrays there are: each side of each column.
    pub(crate) fn arrays(&self) -> usize {
        self.kind.sides().len() * self.columns.len()
    }

    /// The token rules of the stored states, in the order of the columns. Columns with one number per row have none,
    /// because their token is not a choice.
    pub fn token_rules(&self) -> Vec<&str> {
        let mut rules = Vec::new();
        for column in self.columns.iter().filter(|column| !column.shape.is_empty()) {
            if !rules.contains(&column.tokens.as_str()) {
                rules.push(&column.tokens);
            }
        }
        rules
    }

    /// Bytes of all arrays together, headers not counted.
    pub fn bytes(&self) -> u64 {
        self.columns.iter().fold(0, |sum: u64, column| {
            let item = (column.row_len() as u64).saturating_mul(column.dtype(self.dtype).size() as u64);
            let items = self.kind.sides().iter().map(|&side| self.items(column, side)).sum();
            sum.saturating_add(item.saturating_mul(items))
        })
    }

    /// What differs between a stored manifest (`self`) and the one asked for, settings first.
    ///
    /// `rows_hash` is left out: it hashes an encoding, and the writer compares the rows themselves.
    ///
    /// # Errors
    /// [`Error::Manifest`] where a manifest cannot be written as JSON.
    pub fn differences(&self, asked: &Self) -> Result<Differences> {
        let to_json = |manifest: &Self| {
            serde_json::to_value(manifest)
                .map_err(|e| Error::Manifest { path: "manifest.json".into(), what: e.to_string() })
        };
        let (stored, asked) = (to_json(self)?, to_json(asked)?);
        let mut found = Vec::new();
        for key in
            ["settings", "schema", "dtype", "sides", "rows", "tokens", "token_texts", "columns", "batches"]
        {
            json::differences(key, stored.get(key), asked.get(key), &mut found);
        }
        Ok(Differences { found })
    }

    /// The bytes of `manifest.json`: keys of the settings sorted, one column and one batch a line.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        json::to_lines(&Self { settings: json::sorted(self.settings.clone()), ..self.clone() })
            .map_err(|e| Error::Manifest { path: "manifest.json".into(), what: e.to_string() })
    }

    /// Reads a manifest; every rule of the format holds afterwards.
    pub(crate) fn from_json(path: &Path, bytes: &[u8]) -> Result<Self> {
        let bad = |what: String| Error::Manifest { path: path.to_owned(), what };
        let value: Value = serde_json::from_slice(bytes).map_err(|e| bad(format!("not JSON: {e}")))?;
        // Before the fields: another schema may have others.
        match value.get("schema") {
            Some(schema) if schema == SCHEMA => {}
            Some(schema) => {
                return Err(Error::Schema {
                    path: path.to_owned(),
                    found: schema.to_string(),
                    supported: SCHEMA,
                });
            }
            None => return Err(bad("it names no schema".to_owned())),
        }
        let manifest: Self = serde_json::from_value(value).map_err(|e| bad(e.to_string()))?;
        manifest.check(path)?;
        Ok(manifest)
    }

    /// Refuses whatever the format does not allow.
    pub(crate) fn check(&self, path: &Path) -> Result<()> {
        self.rule().map_err(|what| Error::Manifest { path: path.to_owned(), what })
    }

    fn rule(&self) -> std::result::Result<(), String> {
        if self.schema != SCHEMA {
            return Err(format!("schema {} cannot be written, only {SCHEMA}", self.schema));
        }
        if self.columns.is_empty() {
            return Err("it has no columns".to_owned());
        }
        let mut names = HashSet::new();
        for column in &self.columns {
            column.check()?;
            // Some file systems take `A` and `a` for one name.
            if !names.insert(column.name().to_ascii_lowercase()) {
                return Err(format!("column {} is there twice", column.name()));
            }
            self.array_bytes(column).ok_or_else(|| format!("column {} is too large", column.name()))?;
        }
        let [sum, mean] = [ANSWER_LOGPROB, ANSWER_LOGPROB_MEAN].map(|name| names.contains(name));
        if mean && !sum {
            return Err(format!("it has the column {ANSWER_LOGPROB_MEAN} without {ANSWER_LOGPROB}"));
        }
        if self.kind == RowKind::Statements
            && let Some(column) = self.columns.iter().find(|column| column.is_of_answers())
        {
            return Err(format!("it has the column {}, and statements have no answers", column.name()));
        }
        self.tokens_rule()?;
        self.plan_rule()
    }

    /// Tokens of every side where there are ragged columns, and only there.
    fn tokens_rule(&self) -> std::result::Result<(), String> {
        let Some(records) = &self.tokens else {
            if self.token_texts.is_some() {
                return Err("it has texts of tokens, and no tokens".to_owned());
            }
            return match self.columns.iter().find(|column| column.is_ragged()) {
                Some(column) => Err(format!(
                    "it has the column {} and does not say how many tokens there are",
                    column.name()
                )),
                None => Ok(()),
            };
        };
        if !self.is_ragged() {
            return Err(format!("it has tokens, and no column of the rule {ALL_TOKENS}"));
        }
        if !records.iter().map(|record| &record.side).eq(self.kind.sides()) {
            return Err(format!("its tokens are not those of {}, side after side", self.kind));
        }
        if let Some(few) = records.iter().find(|record| record.count < self.rows as u64) {
            return Err(format!("{} rows have {} tokens on the {} side", self.rows, few.count, few.side));
        }
        if let Some(column) = self.columns.iter().find(|c| c.name().eq_ignore_ascii_case(tokens::FOLDER)) {
            return Err(format!("column {} is called like the folder of the tokens", column.name()));
        }
        Ok(())
    }

    /// Every row in exactly one batch.
    fn plan_rule(&self) -> std::result::Result<(), String> {
        let planned: usize = self.batches.iter().map(Vec::len).sum();
        if planned == 0 || planned != self.rows {
            return Err(format!(
                "the plan has {planned} rows, the store {}; there must be as many, and some",
                self.rows
            ));
        }
        let mut seen = vec![false; planned];
        for (batch, rows) in self.batches.iter().enumerate() {
            if rows.is_empty() {
                return Err(format!("batch {batch} has no rows"));
            }
            for &row in rows {
                match seen.get_mut(row) {
                    None => return Err(format!("batch {batch} has row {row} of {planned}")),
                    Some(seen) if *seen => return Err(format!("row {row} is planned twice")),
                    Some(seen) => *seen = true,
                }
            }
        }
        Ok(())
    }

    /// Bytes of one array, with room for the header, if file offsets can hold it.
    fn array_bytes(&self, column: &Column) -> Option<usize> {
        let items = self.kind.sides().iter().map(|&side| self.items(column, side)).max()?;
        let start = column.dtype(self.dtype).size().checked_mul(usize::try_from(items).ok()?)?;
        let bytes = column.shape.iter().try_fold(start, |bytes, &n| bytes.checked_mul(n))?;
        bytes.checked_add(1 << 16).filter(|&bytes| i64::try_from(bytes).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let columns = vec![
            Column::new("hook_embed", &["d_model"], &[3]),
            Column::new("blocks.0.hook_resid_post", &["d_model"], &[3]),
            Column::scalar("answer_logprob"),
        ];
        let settings = serde_json::json!({"model": {"name": "tiny", "hash": "a"}, "lr": 0.1});
        let Value::Object(settings) = settings else { unreachable!() };
        Manifest::new(StoreDtype::F16, columns, vec![vec![2, 0], vec![1]], settings)
    }

    #[test]
    fn the_file_is_readable_and_sorted() {
        let text = String::from_utf8(manifest().to_json().unwrap()).unwrap();
        let expected = r#"{
  "schema": 2,
  "dtype": "f16",
  "rows": 3,
  "rows_hash": "",
  "settings": {
    "lr": 0.1,
    "model": {
      "hash": "a",
      "name": "tiny"
    }
  },
  "columns": [
    {"hook": "hook_embed", "tokens": "last", "layer": 0, "axes": ["d_model"], "shape": [3]},
    {"hook": "blocks.0.hook_resid_post", "tokens": "last", "layer": 1, "axes": ["d_model"], "shape": [3]},
    {"hook": "answer_logprob", "tokens": "last", "layer": null, "axes": [], "shape": []}
  ],
  "batches": [
    [2, 0],
    [1]
  ]
}
"#;
        assert_eq!(text, expected);
        assert_eq!(Manifest::from_json(Path::new("m"), text.as_bytes()).unwrap().columns, manifest().columns);
    }

    #[test]
    fn differences_name_the_place() {
        let mut asked = manifest();
        asked.settings["model"]["hash"] = "b".into();
        asked.settings.insert("seed".to_owned(), 7.into());
        asked.batches = vec![vec![0, 1, 2]];
        asked.rows_hash = "not compared".to_owned();
        let differences = manifest().differences(&asked).unwrap();
        assert_eq!(
            differences.to_string(),
            "  settings.model.hash: \"a\" → \"b\"\n  settings.seed: (none) → 7\n  \
             batches[0]: [2,0] → [0,1,2]\n  batches[1]: [1] → (none)"
        );
        assert!(manifest().differences(&manifest()).unwrap().is_empty());
    }

    #[test]
    fn floats_and_key_order_do_not_make_a_difference() {
        let mut stored = manifest();
        // Not all of them survive serde_json's fast float parser bit by bit.
        let floats = (1..20_000u64).map(|i| f64::from_bits(i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 2));
        stored.settings.insert("floats".to_owned(), floats.collect::<Vec<_>>().into());
        let read = Manifest::from_json(Path::new("m"), &stored.to_json().unwrap()).unwrap();
        stored.settings = stored.settings.into_iter().rev().collect();
        assert!(read.differences(&stored).unwrap().is_empty());
    }

    #[test]
    fn layers_follow_from_names() {
        let layer = |hook| Column::new(hook, &[], &[]).layer;
        assert_eq!(layer("hook_embed"), Some(0));
        assert_eq!(layer("blocks.31.hook_resid_post"), Some(32));
        for other in ["blocks.1.hook_resid_pre", "blocks.01.hook_resid_post", "blocks.+1.hook_resid_post"] {
            assert_eq!(layer(other), None, "{other}");
        }
        assert_eq!(layer(&format!("blocks.{}.hook_resid_post", usize::MAX)), None);
    }

    #[test]
    fn token_rules_are_those_of_states() {
        let mut several = manifest();
        several.columns[1] = several.columns[1].clone().at("mean");
        several.columns.push(Column::new("blocks.0.hook_mlp_out", &["d_model"], &[3]));
        assert_eq!(several.token_rules(), ["last", "mean"]);
        several.columns.retain(|column| column.tokens == "mean" || column.shape.is_empty());
        assert_eq!(several.token_rules(), ["mean"], "one number per row is at no token");
    }

    #[test]
    fn the_rules() {
        let broken = |change: fn(&mut Manifest)| {
            let mut manifest = manifest();
            change(&mut manifest);
            manifest.check(Path::new("m")).unwrap_err().to_string()
        };
        assert!(broken(|m| m.rows = 4).contains("plan has 3 rows"));
        assert!(broken(|m| m.batches[1][0] = 0).contains("row 0 is planned twice"));
        assert!(broken(|m| m.batches[1][0] = 3).contains("row 3 of 3"));
        assert!(broken(|m| m.batches.push(vec![])).contains("batch 2 has no rows"));
        assert!(broken(|m| m.batches.clear()).contains("plan has 0 rows"));
        assert!(broken(|m| m.columns.clear()).contains("no columns"));
        assert!(broken(|m| m.columns[0].hook = "../x".to_owned()).contains("not a name"));
        for own in RESERVED.iter().flat_map(|own| [(*own).to_owned(), own.to_uppercase()]) {
            let column = Column::scalar(&own);
            assert!(column.check().unwrap_err().contains("a file of the store itself"), "{own}");
        }
        assert!(broken(|m| m.columns[2].hook = "HOOK_embed".to_owned()).contains("there twice"));
        assert!(broken(|m| m.columns[1].layer = Some(7)).contains("layer l is blocks"));
        assert!(broken(|m| m.columns[1].shape = vec![usize::MAX]).contains("too large"));
        assert!(broken(|m| m.columns[1].shape = vec![0]).contains("length 0"));
        assert!(broken(|m| m.columns[1].axes.clear()).contains("0 axes"));
        assert!(
            broken(|m| m.columns[2].hook = ANSWER_LOGPROB_MEAN.to_owned()).contains("without answer_logprob")
        );
    }
}
