//! What is written comes back, through every way of reading.

use std::time::Duration;

use activations::{Error, Pace, SideOf, Sides, Status, Store, StoreDtype, verify};
use proptest::prelude::*;

use crate::support::{KINDS, Kind, mapped, message, plan, plan_of, planned, read_rows, token_ids};

#[test]
fn every_value_comes_back() {
    for (kind, dtype) in
        KINDS.into_iter().flat_map(|kind| [StoreDtype::F32, StoreDtype::F16].map(|d| (kind, d)))
    {
        let (dir, plan) = (tempfile::tempdir().unwrap(), plan_of(kind, dtype));
        let store = plan.complete(dir.path()).unwrap();
        for (number, column) in plan.manifest.columns.iter().enumerate() {
            for &side in kind.sides() {
                let of = |rows: std::ops::Range<usize>| -> Vec<f32> {
                    rows.flat_map(|row| plan.of_row(number, side, row)).collect()
                };
                let read = |rows| read_rows(&store, column, side, rows).unwrap();
                assert_eq!(read(0..7), of(0..7), "{} {side}", column.name());
                assert_eq!(read(2..4), of(2..4));
                assert!(read(7..7).is_empty());
                let (path, mapped) = mapped(&store, column, side).unwrap();
                let dtype = column.dtype(dtype);
                match dtype {
                    StoreDtype::F32 => assert_eq!(mapped.as_f32().unwrap(), of(0..7)),
                    StoreDtype::F16 => {
                        let wide: Vec<f32> = mapped.as_f16().unwrap().iter().map(|v| v.to_f32()).collect();
                        assert_eq!(wide, of(0..7));
                    }
                }
                let header = fs_err::read(path).unwrap().len() - of(0..7).len() * dtype.size();
                assert_eq!(header % 64, 0, "data is aligned");
            }
        }
        for layer in 0..3 {
            let reader = store.layer(layer, "last").unwrap();
            for row in 0..7 {
                let states = reader.row(row).unwrap();
                assert_eq!(states.kind(), kind.rows);
                for (side, states) in states.sides() {
                    assert_eq!(states, reader.read_rows(side, row..row + 1).unwrap());
                }
            }
            assert!(matches!(reader.row(7), Err(Error::RowRange { .. })));
            assert!(matches!(reader.row(usize::MAX), Err(Error::RowRange { .. })));
        }
        let scalar = plan.manifest.columns[2].name();
        assert_eq!(store.column(&scalar).unwrap().dtype(), StoreDtype::F32, "scalars stay f32");
        assert_eq!(store.rows().unwrap(), plan.rows);
        assert_eq!(store.manifest().settings, plan.manifest.settings);
        assert!(verify(dir.path()).unwrap().is_sound());
        assert_eq!(
            verify(dir.path()).unwrap().bytes,
            store.manifest().bytes(),
            "every byte of every array is under a checksum"
        );
    }
}

#[test]
fn layers_are_in_order_whatever_the_columns_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = plan(StoreDtype::F32).complete(dir.path()).unwrap();
    let layers: Vec<_> =
        store.layers("last").into_iter().map(|(layer, column)| (layer, column.name())).collect();
    let names = ["hook_embed", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"];
    assert_eq!(layers, names.into_iter().map(str::to_owned).enumerate().collect::<Vec<_>>());
}

#[test]
fn wrong_names_and_rows_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = plan(StoreDtype::F32).complete(dir.path()).unwrap();
    let text = message(store.column("blocks.1.hook_resid_pots"));
    assert!(text.contains(r#"the nearest is "blocks.1.hook_resid_post""#), "{text}");
    assert!(!message(store.column("zzz")).contains("nearest"));
    // The token rule is part of the name.
    assert!(store.column("blocks.0.attn.hook_z").is_err());
    assert!(store.column("blocks.0.attn.hook_z@first").is_ok());
    assert!(message(store.layer(3, "last")).contains("it has the layers 0, 1, 2"));
    assert!(message(store.layer(0, "mean")).contains("states under the token rules last, first"));
    let reader = store.column("hook_embed").unwrap();
    assert!(
        message(reader.read_rows(SideOf::Plus, 3..8)).contains("rows 3..8 were asked for, the store has 7")
    );
    #[expect(clippy::reversed_empty_ranges, reason = "the range a caller may compute")]
    let reversed = reader.read_rows(SideOf::Plus, 5..3);
    assert!(matches!(reversed, Err(Error::RowRange { .. })));
}

#[test]
fn an_unfinished_store_says_how_far_it_is() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.write_some(dir.path(), 2).unwrap();
    assert!(message(Store::open(dir.path())).contains("4 of 7 rows are there"));
    let status = Status::of(dir.path()).unwrap();
    assert_eq!((status.rows_done, status.rows, status.batches_done, status.finished), (4, 7, 2, false));
    assert!(fs_err::exists(dir.path().join("hook_embed/plus.npy.partial")).unwrap());
    assert!(!fs_err::exists(dir.path().join("hook_embed/plus.npy")).unwrap());
    assert!(message(Store::open(dir.path().join("nowhere"))).contains("no store in"));
}

#[test]
fn equal_stores_have_equal_fingerprints() {
    let [a, b, c] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let mut plan = plan(StoreDtype::F32);
    let one = plan.complete(a.path()).unwrap();
    assert_eq!(one.fingerprint(), plan.complete(b.path()).unwrap().fingerprint());
    plan.rows[3].label ^= true;
    assert_ne!(one.fingerprint(), plan.complete(c.path()).unwrap().fingerprint());
}

fn any_kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(&KINDS[..])
}

/// The rows in any order, cut into batches anywhere.
fn any_plan() -> impl Strategy<Value = Vec<Vec<usize>>> {
    (1usize..12).prop_flat_map(|rows| {
        let order = Just((0..rows).collect::<Vec<_>>()).prop_shuffle();
        (order, proptest::collection::vec(any::<bool>(), rows)).prop_map(|(order, cuts)| {
            let mut batches: Vec<Vec<usize>> = Vec::new();
            for (row, cut) in order.into_iter().zip(cuts) {
                match batches.last_mut() {
                    Some(batch) if !cut => batch.push(row),
                    _ => batches.push(vec![row]),
                }
            }
            batches
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_plan_does_not_change_the_arrays(batches in any_plan(), stop in 0usize..12, kind in any_kind()) {
        let [a, b] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let plan = planned(kind, StoreDtype::F16, batches);
        let plain = planned(kind, StoreDtype::F16, vec![(0..plan.rows.len()).collect()]);
        plan.write_some(a.path(), stop).unwrap();
        let (a, b) = (plan.complete(a.path()).unwrap(), plain.complete(b.path()).unwrap());
        for column in &plan.manifest.columns {
            for &side in kind.sides() {
                let path = |store: &Store| mapped(store, column, side).unwrap().0;
                prop_assert_eq!(fs_err::read(path(&a)).unwrap(), fs_err::read(path(&b)).unwrap());
            }
        }
        prop_assert!(verify(a.dir()).unwrap().is_sound());
    }
}

/// Rows of any lengths, in any batches, committed at any pace: a few rows of a ragged column are those rows' tokens.
fn any_lengths(rows: usize) -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(1u32..9, 2 * rows)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tokens_of_any_rows_come_back(
        (batches, lengths) in any_plan().prop_flat_map(|batches| {
            let rows = batches.iter().map(Vec::len).sum();
            (Just(batches), any_lengths(rows))
        }),
        kind in proptest::sample::select(&KINDS[2..]),
        (from, to) in (0usize..12, 0usize..12),
        stop in 0usize..12,
        durable_at_once in any::<bool>(),
    ) {
        let mut plan = planned(kind, StoreDtype::F32, batches);
        for (row, two) in plan.rows.iter_mut().zip(lengths.chunks(2)) {
            match &mut row.sides {
                Sides::Pair { plus, minus } => {
                    (plus.tokens, plus.answer_start, plus.answer_end) = (two[0], two[0] - 1, two[0]);
                    (minus.tokens, minus.answer_start, minus.answer_end) = (two[1], two[1] - 1, two[1]);
                }
                Sides::Single { statement } => statement.tokens = two[0],
            }
        }
        let ids = token_ids(&plan.rows, kind.rows);
        plan.manifest = plan.manifest.clone().with_tokens(&ids).unwrap();
        plan.ids = Some(ids.clone());
        let dir = tempfile::tempdir().unwrap();
        let pace = if durable_at_once { Pace { every: Duration::ZERO, bytes: 1 } } else { Pace::default() };
        let mut writer = plan.open_paced(dir.path(), pace).unwrap();
        for batch in writer.remaining().iter().copied().take(stop).collect::<Vec<_>>() {
            writer.commit(batch, plan.states(batch)).unwrap();
        }
        drop(writer);
        let store = plan.complete(dir.path()).unwrap();
        let rows = plan.rows.len();
        let (from, to) = (from.min(to).min(rows), from.max(to).min(rows));
        for (side, tokens) in ids.sides() {
            for (number, column) in plan.manifest.columns.iter().enumerate().filter(|(_, c)| c.is_ragged()) {
                let reader = store.token_column(&column.name()).unwrap();
                let whole = reader.offsets(side).unwrap();
                prop_assert_eq!(whole.iter().map(|&at| at as u64).collect::<Vec<_>>(), tokens.offsets.clone());
                prop_assert_eq!((reader.ids(side).unwrap(), reader.count(side).unwrap()), (&tokens.ids[..], tokens.ids.len()));
                let some = reader.read_rows(side, from..to).unwrap();
                prop_assert_eq!(&some.ids, &tokens.ids[whole[from]..whole[to]]);
                prop_assert_eq!(some.rows(), to - from);
                for row in from..to {
                    let expected = plan.of_row(number, side, row);
                    prop_assert_eq!(some.row(row - from), Some(&expected[..]));
                }
                prop_assert_eq!(some.row(to - from), None);
            }
        }
        prop_assert!(verify(dir.path()).unwrap().is_sound());
    }
}
