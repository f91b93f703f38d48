//! What checking costs, in seconds: `cargo test -p activations --test it cost -- --ignored --nocapture`.
//!
//! The residual stream of a model of 135 million parameters for BoolQ's training questions that fit: 3,000 rows of 31 layers of 576 f32, both sides, in
//! batches of eight rows that lie anywhere.

use std::time::{Duration, Instant};

use activations::{
    BatchStates, Column, ColumnStates, Manifest, SideOf, Store, StoreDtype, StoreWriter, verify,
};

use crate::support::{Plan, planned};

const ROWS: usize = 3000;
const LAYERS: usize = 31;
const DIM: usize = 576;

/// The shortest of three.
fn best<T>(mut work: impl FnMut() -> T) -> Duration {
    let time = |_| {
        let started = Instant::now();
        std::hint::black_box(work());
        started.elapsed()
    };
    (0..3).map(time).min().unwrap()
}

fn plan() -> Plan {
    // 1,741 is prime to 3,000: a batch's rows are nowhere beside each other, as in a plan that goes by length.
    let order: Vec<usize> = (0..ROWS).map(|i| i * 1741 % ROWS).collect();
    let batches: Vec<Vec<usize>> = order.chunks(8).map(<[usize]>::to_vec).collect();
    let mut plan = planned(activations::RowKind::Pairs, StoreDtype::F32, batches.clone());
    let hook = |layer: usize| match layer {
        0 => "hook_embed".to_owned(),
        l => format!("blocks.{}.hook_resid_post", l - 1),
    };
    let columns = (0..LAYERS).map(|layer| Column::new(&hook(layer), &["d_model"], &[DIM])).collect();
    plan.manifest = Manifest::new(StoreDtype::F32, columns, batches, plan.manifest.settings);
    plan
}

#[test]
#[ignore = "it measures, and tests nothing"]
fn checking() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let plan = plan();
    let mut state = 1u32;
    let mut values = |n: usize| -> Vec<f32> {
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state as f32 / 1e9 - 2.0
            })
            .collect()
    };
    let mut writer = StoreWriter::open(&dir, plan.manifest.clone(), &plan.rows).unwrap();
    for batch in writer.remaining().to_vec() {
        let n = plan.manifest.batches[batch].len() * DIM;
        let columns = (0..LAYERS).map(|_| ColumnStates::Pair { plus: values(n), minus: values(n) }).collect();
        writer.commit(batch, BatchStates { columns }).unwrap();
    }
    let store = writer.finish().unwrap();
    let columns: Vec<_> =
        plan.manifest.columns.iter().map(|column| store.column(&column.name()).unwrap()).collect();
    let all = || columns.iter().flat_map(|column| SideOf::PAIR.map(|side| (column, side)));
    println!("{:.0} MB", plan.manifest.bytes() as f64 / 1e6);
    println!(
        "read, nothing checked  {:?}",
        best(|| all().for_each(|(c, side)| drop(fs_err::read(c.path(side).unwrap()).unwrap())))
    );
    println!("read and checked       {:?}", best(|| all().for_each(|(c, side)| drop(c.read(side).unwrap()))));
    println!(
        "100 rows of each       {:?}",
        best(|| all().for_each(|(c, side)| drop(c.read_rows(side, 0..100).unwrap())))
    );
    println!("Store::open            {:?}", best(|| Store::open(&dir).unwrap()));
    println!("verify                 {:?}", best(|| verify(&dir).unwrap()));
    println!("opened by a writer     {:?}", best(|| plan.open(&dir).unwrap()));
}
