//! Small stores with known values, and folders compared byte for byte.

use std::collections::BTreeMap;
use std::path::Path;

use activations::{
    BatchStates, Column, ColumnStates, Manifest, Pace, Prompt, Row, RowKind, Side, SideOf, Sides, StoreDtype,
    StoreWriter, TokenIds, serde_json,
};

/// What a store is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) rows: RowKind,
    /// Whether it has columns of all tokens, too.
    pub(crate) ragged: bool,
}

impl Kind {
    const fn new(rows: RowKind, ragged: bool) -> Self {
        Self { rows, ragged }
    }

    pub(crate) fn sides(self) -> &'static [SideOf] {
        self.rows.sides()
    }
}

impl From<RowKind> for Kind {
    fn from(rows: RowKind) -> Self {
        Self::new(rows, false)
    }
}

/// Every kind of store.
pub(crate) const KINDS: [Kind; 4] = [
    Kind::new(RowKind::Pairs, false),
    Kind::new(RowKind::Statements, false),
    Kind::new(RowKind::Pairs, true),
    Kind::new(RowKind::Statements, true),
];

/// A store to write: what `StoreWriter::open` takes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) manifest: Manifest,
    pub(crate) rows: Vec<Row>,
    pub(crate) ids: Option<TokenIds>,
}

/// Seven pairs of three layers of five numbers and a scalar, in batches that are not in row order.
pub(crate) fn plan(dtype: StoreDtype) -> Plan {
    plan_of(RowKind::Pairs, dtype)
}

/// As [`plan`], of rows of a kind.
pub(crate) fn plan_of(kind: impl Into<Kind>, dtype: StoreDtype) -> Plan {
    planned(kind, dtype, vec![vec![6, 2, 3], vec![0], vec![5, 4], vec![1]])
}

/// As [`plan_of`], with a plan of any rows.
pub(crate) fn planned(kind: impl Into<Kind>, dtype: StoreDtype, batches: Vec<Vec<usize>>) -> Plan {
    let Kind { rows: kind, ragged } = kind.into();
    let scalar = match kind {
        RowKind::Pairs => "answer_logprob",
        RowKind::Statements => "surprise",
    };
    let mut columns = vec![
        Column::new("hook_embed", &["d_model"], &[5]),
        Column::new("blocks.1.hook_resid_post", &["d_model"], &[5]),
        Column::scalar(scalar),
        Column::new("blocks.0.hook_resid_post", &["d_model"], &[5]),
        Column::new("blocks.0.attn.hook_z", &["head", "d_head"], &[2, 3]).at("first"),
    ];
    if ragged {
        columns.push(Column::new("blocks.1.hook_resid_post", &["d_model"], &[3]).at("all"));
        columns.push(Column::scalar("surprise").at("all"));
    }
    let settings = serde_json::json!({
        "model": {"hash": "aaaa", "layers": 2}, "seed": 7, "extraction": {"rope": 1e-5},
    });
    let mut manifest = Manifest::new(dtype, columns, batches, settings.as_object().unwrap().clone()).of(kind);
    let rows: Vec<Row> = (0..manifest.rows).map(|number| row(kind, number)).collect();
    let ids = ragged.then(|| token_ids(&rows, kind));
    if let Some(ids) = &ids {
        manifest = manifest.with_tokens(ids).unwrap();
    }
    Plan { manifest, rows, ids }
}

fn row(kind: RowKind, row: usize) -> Row {
    let side = |answer: &str| Side {
        prompt: format!("Question {row}?\n{answer}"),
        tokens: 9 + row as u32,
        answer_start: 8,
        answer_end: 9,
        captured_id: 3869,
        captured_text: format!("▁{answer}"),
    };
    let statement = || Prompt {
        prompt: format!("{row} is a number."),
        tokens: 3 + row as u32,
        captured_id: 29889,
        captured_text: ".".to_owned(),
    };
    Row {
        idx: 100 + row as u64,
        label: row.is_multiple_of(3),
        question_id: format!("q{row}"),
        group: format!("g{}", row / 2),
        template: "plain".to_owned(),
        dataset: "boolq".to_owned(),
        sides: match kind {
            RowKind::Pairs => Sides::Pair { plus: side("Yes"), minus: side("No") },
            RowKind::Statements => Sides::Single { statement: statement() },
        },
        columns: [].into(),
    }
}

/// Ids that tell rows, sides, and places apart.
pub(crate) fn token_ids(rows: &[Row], kind: RowKind) -> TokenIds {
    let mut all = TokenIds::new(kind);
    for (number, row) in rows.iter().enumerate() {
        let sides = kind.sides().iter().enumerate();
        let ids = sides.map(|(side, &of)| {
            (0..row.tokens(of).unwrap()).map(|at| number as u32 * 1000 + side as u32 * 100 + at).collect()
        });
        let ids: Vec<Vec<u32>> = ids.collect();
        all.push(&ids.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    }
    all.with_texts(text_of)
}

/// Texts that JSON has to escape, and others.
pub(crate) fn text_of(id: u32) -> &'static str {
    ["▁the", "\n", "\"", "<0xE2>", "é\u{202e}", ""][id as usize % 6]
}

/// The value the tests put at a place: exact in f16, and different almost everywhere.
pub(crate) fn value(column: usize, side: SideOf, row: usize, position: usize) -> f32 {
    let sign = match side {
        SideOf::Plus => 0.5,
        SideOf::Minus => -0.5,
        SideOf::Statement => 0.25,
    };
    let n = column * 97 + row * 13 + position;
    sign * (n % 1009) as f32
}

impl Plan {
    pub(crate) fn open(&self, dir: &Path) -> activations::Result<StoreWriter> {
        self.open_paced(dir, Pace::default())
    }

    /// As [`Plan::open`], where another test may just be starting a process, which holds the lock of this one's last writer
    /// until it runs.
    pub(crate) fn open_again(&self, dir: &Path) -> activations::Result<StoreWriter> {
        let begun = std::time::Instant::now();
        loop {
            match self.open(dir) {
                Err(activations::Error::Locked { .. }) if begun.elapsed().as_secs() < 10 => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                other => return other,
            }
        }
    }

    pub(crate) fn open_paced(&self, dir: &Path, pace: Pace) -> activations::Result<StoreWriter> {
        StoreWriter::open_with(dir, self.manifest.clone(), &self.rows, self.ids.as_ref(), pace)
    }

    /// The numbers of one row in a column.
    pub(crate) fn of_row(&self, number: usize, side: SideOf, row: usize) -> Vec<f32> {
        let column = &self.manifest.columns[number];
        let tokens = if column.is_ragged() { self.rows[row].tokens(side).unwrap() } else { 1 };
        (0..column.row_len() * tokens as usize).map(|i| value(number, side, row, i)).collect()
    }

    pub(crate) fn states(&self, batch: usize) -> BatchStates {
        let columns = (0..self.manifest.columns.len()).map(|number| {
            let side = |side| -> Result<Vec<f32>, std::convert::Infallible> {
                let rows = self.manifest.batches[batch].iter();
                Ok(rows.flat_map(|&row| self.of_row(number, side, row)).collect())
            };
            let Ok(states) = ColumnStates::try_each(self.manifest.kind, side);
            states
        });
        BatchStates { columns: columns.collect() }
    }

    /// Commits up to `limit` more batches, then drops the writer.
    pub(crate) fn write_some(&self, dir: &Path, limit: usize) -> activations::Result<()> {
        let mut writer = self.open_again(dir)?;
        for batch in writer.remaining().iter().copied().take(limit).collect::<Vec<_>>() {
            writer.commit(batch, self.states(batch))?;
        }
        Ok(())
    }

    /// Writes what remains and finishes.
    pub(crate) fn complete(&self, dir: &Path) -> activations::Result<activations::Store> {
        let mut writer = self.open_again(dir)?;
        for batch in writer.remaining().to_vec() {
            writer.commit(batch, self.states(batch))?;
        }
        writer.finish()
    }
}

/// Every file of a folder with its bytes.
pub(crate) fn snapshot(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fn visit(base: &Path, dir: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs_err::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(base, &path, found);
            } else {
                let name = path.strip_prefix(base).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs_err::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    visit(dir, dir, &mut found);
    found
}

/// Asserts that two folders are equal, naming the first file that is not.
pub(crate) fn assert_same(expected: &BTreeMap<String, Vec<u8>>, found: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    for (name, bytes) in expected {
        assert!(bytes == &found[name], "{name} differs");
    }
}

/// An error's message, and its hint on a line of its own.
pub(crate) fn message<T>(result: activations::Result<T>) -> String {
    let error = result.err().expect("an error");
    let message = error.to_string();
    assert!(!message.contains("hint:"), "{message}");
    format!("{message}\nhint: {}", error.hint().expect("a hint"))
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for (name, bytes) in snapshot(from) {
        let path = to.join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    }
}

/// Some rows of a column on a side, whether or not it is of all tokens.
pub(crate) fn read_rows(
    store: &activations::Store,
    column: &Column,
    side: SideOf,
    rows: std::ops::Range<usize>,
) -> activations::Result<Vec<f32>> {
    if column.is_ragged() {
        Ok(store.token_column(&column.name())?.read_rows(side, rows)?.states)
    } else {
        store.column(&column.name())?.read_rows(side, rows)
    }
}

/// The path of an array and the array in memory, whether or not it is of all tokens.
pub(crate) fn mapped(
    store: &activations::Store,
    column: &Column,
    side: SideOf,
) -> activations::Result<(std::path::PathBuf, activations::Mapped)> {
    if column.is_ragged() {
        let reader = store.token_column(&column.name())?;
        Ok((reader.path(side)?, reader.map(side)?))
    } else {
        let reader = store.column(&column.name())?;
        Ok((reader.path(side)?, reader.map(side)?))
    }
}
