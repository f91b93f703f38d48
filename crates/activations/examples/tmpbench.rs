#![allow(clippy::unwrap_used, missing_docs, clippy::print_stdout)]
use activations::*;
use std::time::Instant;
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let (layers, dim, n, b) = (81usize, 8192usize, 256usize, 8usize);
    let mut columns = vec![Column::new("hook_embed", &["d"], &[dim])];
    columns
        .extend((0..layers - 1).map(|l| Column::new(&format!("blocks.{l}.hook_resid_post"), &["d"], &[dim])));
    let side = || Side {
        prompt: "x".repeat(400),
        tokens: 1,
        answer_start: 0,
        answer_end: 1,
        captured_id: 0,
        captured_text: String::new(),
    };
    let rows: Vec<Row> = (0..n)
        .map(|i| Row {
            idx: i as u64,
            label: true,
            question_id: String::new(),
            group: String::new(),
            template: String::new(),
            dataset: String::new(),
            plus: side(),
            minus: side(),
        })
        .collect();
    let m = Manifest::new(
        StoreDtype::F32,
        columns,
        (0..n / b).map(|k| (0..b).map(|j| j * (n / b) + k).collect()).collect(),
        Default::default(),
    );
    println!("bytes {} MiB", m.bytes() >> 20);
    let t = Instant::now();
    let mut w = StoreWriter::open(&dir, m.clone(), &rows).unwrap();
    println!("create {:?}", t.elapsed());
    let one = ColumnStates { plus: vec![1.5; b * dim], minus: vec![2.5; b * dim] };
    let st = BatchStates { columns: vec![one; layers] };
    let t = Instant::now();
    for k in w.remaining().to_vec() {
        let t = Instant::now();
        w.commit(k, st.clone()).unwrap();
        if k % 4 == 0 {
            println!("commit {k} {:?}", t.elapsed());
        }
    }
    let s = w.finish().unwrap();
    println!("write+finish {:?}", t.elapsed());
    let t = Instant::now();
    assert!(verify(&dir).unwrap().is_sound());
    println!("verify {:?}", t.elapsed());
    let t = Instant::now();
    let x = s.column("blocks.40.hook_resid_post").unwrap().read(SideOf::Plus).unwrap();
    println!("read layer {:?} {}", t.elapsed(), x.len());
    let t = Instant::now();
    StoreWriter::open(&dir, m, &rows).unwrap();
    println!("reopen {:?}", t.elapsed());
}
