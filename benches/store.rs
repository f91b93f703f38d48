//! Writing a store and reading a layer of it back, in bytes per second of states: as the file system gives it, and
//! compared with the journal's checksums, as every reader does.
//!
//! `cargo bench --bench store`

#![allow(clippy::expect_used, missing_docs)] // a benchmark that cannot be set up has nothing better to do than stop

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use llama_ccs::activations::{
    BatchStates, Column, ColumnStates, Manifest, Row, Side, SideOf, Sides, Store, StoreDtype, StoreWriter,
};

/// LLaMA 7B's columns, 33 layers of dim 4096 and both sides: half a gigabyte, so that opening and closing weigh little.
const ROWS: usize = 480;
const BATCH: usize = 24;
const LAYERS: usize = 33;
const DIM: usize = 4096;

fn rows() -> Vec<Row> {
    let side = |answer: &str| Side {
        prompt: format!("Is water wet? {answer}"),
        tokens: 6,
        answer_start: 5,
        answer_end: 6,
        captured_id: 7,
        captured_text: answer.to_owned(),
    };
    let row = |idx: usize| Row {
        idx: idx as u64,
        label: idx.is_multiple_of(2),
        question_id: idx.to_string(),
        group: idx.to_string(),
        template: "llama-ccs".to_owned(),
        dataset: "bench".to_owned(),
        sides: Sides::Pair { plus: side("True"), minus: side("False") },
        columns: [].into(),
    };
    (0..ROWS).map(row).collect()
}

fn manifest() -> Manifest {
    let hook = |layer: usize| match layer {
        0 => "hook_embed".to_owned(),
        l => format!("blocks.{}.hook_resid_post", l - 1),
    };
    let columns = (0..LAYERS).map(|layer| Column::new(&hook(layer), &["dim"], &[DIM])).collect();
    let plan = (0..ROWS).collect::<Vec<_>>().chunks(BATCH).map(<[usize]>::to_vec).collect();
    Manifest::new(StoreDtype::F32, columns, plan, serde_json::Map::new())
}

fn write(folder: &std::path::Path) {
    let mut writer = StoreWriter::open(folder, manifest(), &rows()).expect("open");
    let states = ColumnStates::Pair { plus: vec![0.5; BATCH * DIM], minus: vec![-0.5; BATCH * DIM] };
    for batch in writer.remaining().to_vec() {
        writer.commit(batch, BatchStates { columns: vec![states.clone(); LAYERS] }).expect("commit");
    }
    writer.finish().expect("finish");
}

fn store(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    group.sample_size(10).throughput(Throughput::Bytes(manifest().bytes()));
    group.bench_function("write, durable", |bencher| {
        bencher.iter_with_large_drop(|| {
            let folder = tempfile::tempdir().expect("folder");
            write(&folder.path().join("store"));
            folder
        });
    });
    let folder = tempfile::tempdir().expect("folder");
    write(folder.path().join("store").as_path());
    let store = Store::open(folder.path().join("store")).expect("store");
    group.throughput(Throughput::Bytes((ROWS * DIM * 4) as u64));
    let column = store.column("blocks.15.hook_resid_post").expect("column");
    group.bench_function("read one layer, one side", |bencher| {
        bencher.iter(|| std::fs::read(column.path(SideOf::Plus).expect("path")).expect("read"));
    });
    group.bench_function("read and check one layer, one side", |bencher| {
        bencher.iter(|| column.read(SideOf::Plus).expect("read"));
    });
    group.finish();
}

criterion_group!(benches, store);
criterion_main!(benches);
