//! What a writer refuses: other settings, other folders, a second writer, wrong batches, wrong numbers.

use activations::{
    Column, ColumnStates, Error, Manifest, Pace, RowKind, SideOf, Sides, StoreDtype, StoreWriter, TokenIds,
    verify,
};

use crate::support::{KINDS, assert_same, message, plan, plan_of, snapshot};

#[test]
fn other_settings_are_refused_with_the_difference() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.write_some(dir.path(), 1).unwrap();
    let before = snapshot(dir.path());

    let mut other = plan.clone();
    other.manifest.settings["model"]["hash"] = "bbbb".into();
    other.manifest.columns.pop();
    let Sides::Pair { plus, .. } = &mut other.rows[4].sides else { unreachable!("a pair") };
    plus.prompt.push('!');
    let text = message(other.open(dir.path()));
    assert!(text.contains(r#"settings.model.hash: "aaaa" → "bbbb""#), "{text}");
    assert!(text.contains("columns[4]: {"), "{text}");
    assert!(text.contains(r#"rows[4].plus.prompt: "Question 4?\nYes" → "Question 4?\nYes!""#), "{text}");

    let mut other = plan.clone();
    for n in 0..20 {
        other.manifest.settings.insert(format!("new{n}"), n.into());
    }
    assert!(message(other.open(dir.path())).contains("and 12 more"));
    assert_same(&before, &snapshot(dir.path()));
    // The same settings, given in another order, are the same.
    let mut same = plan.clone();
    same.manifest.settings = plan.manifest.settings.into_iter().rev().collect();
    same.manifest.rows_hash = "whatever".to_owned();
    assert_eq!(same.open(dir.path()).unwrap().remaining(), [1, 2, 3]);
}

#[test]
fn every_row_says_where_its_answer_is() {
    let (dir, mut plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    let Sides::Pair { minus, .. } = &mut plan.rows[3].sides else { unreachable!("a pair") };
    minus.answer_end = minus.answer_start;
    let text = message(plan.open(dir.path()));
    assert!(text.contains("row 3 (idx 103), minus: the answer's tokens 8..8 are none of the 12"), "{text}");
    assert!(snapshot(dir.path()).is_empty(), "nothing has been written");
}

#[test]
fn folders_with_other_files_are_left_alone() {
    let plan = plan(StoreDtype::F32);
    let cases: [(&str, &str); 7] = [
        ("notes.txt", "mine"),
        ("hook_embed/plus.npy", "mine"),
        ("rows.parquet", "mine"),
        ("journal", "line\nline\n"),
        ("journal", "dear diary\n"),
        ("journal", "dear diary"),
        ("journal", "{\"journal\":\"mine\"}\n"),
    ];
    for (name, content) in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, content).unwrap();
        let before = snapshot(dir.path());
        let text = message(plan.open(dir.path()));
        assert!(text.contains("is not empty and holds no store"), "{name}: {text}");
        assert_same(&before, &snapshot(dir.path()));
    }
    // An empty folder that no column is called like, beside what an interrupted creation leaves.
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join("journal"), "").unwrap();
    fs_err::create_dir(dir.path().join("hook_embed")).unwrap();
    fs_err::create_dir(dir.path().join("photos")).unwrap();
    assert!(message(plan.open(dir.path())).contains("it contains \"photos\""));
    assert!(dir.path().join("photos").is_dir() && dir.path().join("hook_embed").is_dir());
    fs_err::remove_dir(dir.path().join("photos")).unwrap();
    plan.complete(dir.path()).unwrap();

    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(plan.open(file.path()).is_err());
}

#[test]
fn a_lost_manifest_does_not_cost_the_rows() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.write_some(dir.path(), 1).unwrap();
    fs_err::remove_file(dir.path().join("manifest.json")).unwrap();
    let before = snapshot(dir.path());
    assert!(matches!(plan.open(dir.path()), Err(Error::ForeignFiles { .. })));
    assert_same(&before, &snapshot(dir.path()));
}

#[test]
fn a_second_writer_is_refused() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    let first = plan.open(dir.path()).unwrap();
    assert!(message(plan.open(dir.path())).contains("is being written by another process"));
    drop(first);
    plan.complete(dir.path()).unwrap();
    // Also where nothing remains to be written.
    let _finished = plan.open(dir.path()).unwrap();
    assert!(matches!(plan.open(dir.path()), Err(Error::Locked { .. })));
}

/// The folder does not exist yet: one of many creates the store, the others are told so.
#[test]
fn of_many_creators_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let store = dir.path().join(round.to_string());
        let barrier = std::sync::Barrier::new(4);
        let opened: Vec<_> = std::thread::scope(|scope| {
            let open = || {
                barrier.wait();
                plan(StoreDtype::F32).open(&store)
            };
            [(); 4].map(|()| scope.spawn(open)).into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for result in &opened {
            assert!(matches!(result, Ok(_) | Err(Error::Locked { .. })), "{result:?}");
        }
        assert_eq!(opened.iter().filter(|result| result.is_ok()).count(), 1);
    }
}

/// One side of a pair's states.
fn side_of(states: &mut ColumnStates, side: SideOf) -> &mut Vec<f32> {
    match (states, side) {
        (ColumnStates::Pair { plus, .. }, SideOf::Plus) => plus,
        (ColumnStates::Pair { minus, .. }, SideOf::Minus) => minus,
        (ColumnStates::Single { statement }, SideOf::Statement) => statement,
        (states, side) => panic!("{side} of {states:?}"),
    }
}

#[test]
fn numbers_that_must_not_be_kept_are_located() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F16));
    let mut writer = plan.open(dir.path()).unwrap();
    let mut refused = |column: usize, side: SideOf, at: usize, value: f32| {
        let mut states = plan.states(0);
        side_of(&mut states.columns[column], side)[at] = value;
        message(writer.commit(0, states))
    };
    // Batch 0 has the rows 6, 2, 3.
    let text = refused(1, SideOf::Minus, 5 + 3, f32::NAN);
    let place = "row 2 (idx 102), blocks.1.hook_resid_post, minus: the model gave NaN at position 3";
    assert!(text.contains(place), "{text}");
    let text = refused(4, SideOf::Plus, 12, f32::NEG_INFINITY);
    assert!(
        text.contains("row 3 (idx 103), blocks.0.attn.hook_z@first, plus: the model gave -inf"),
        "{text}"
    );
    let text = refused(0, SideOf::Plus, 0, -70000.0);
    assert!(text.contains("row 6 (idx 106), hook_embed, plus: -70000 at position 0"), "{text}");
    assert!(text.contains("keep the states in f32"), "{text}");
    assert!(refused(2, SideOf::Plus, 1, f32::INFINITY).contains("row 2 (idx 102), answer_logprob, plus"));

    // Scalars are f32 in every store, and a refused batch costs nothing.
    let mut states = plan.states(0);
    side_of(&mut states.columns[2], SideOf::Plus)[1] = -70000.0;
    side_of(&mut states.columns[0], SideOf::Plus)[0] = 65519.0;
    writer.commit(0, states).unwrap();
    for batch in [1, 2, 3] {
        writer.commit(batch, plan.states(batch)).unwrap();
    }
    let store = writer.finish().unwrap();
    let first =
        |name: &str, row| store.column(name).unwrap().read_rows(SideOf::Plus, row..row + 1).unwrap()[0];
    assert_eq!(first("answer_logprob", 2).to_string(), "-70000");
    assert_eq!(first("hook_embed", 6).to_string(), "65504");
    assert!(verify(dir.path()).unwrap().is_sound());
}

#[test]
fn batches_that_do_not_fit_the_plan_are_refused() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    let mut writer = plan.open(dir.path()).unwrap();
    assert!(
        message(writer.commit(1, plan.states(1))).contains("batch 1 was committed where batch 0 is next")
    );
    let mut states = plan.states(0);
    side_of(&mut states.columns[3], SideOf::Minus).pop();
    let text = message(writer.commit(0, states));
    assert!(text.contains("batch 0, blocks.0.hook_resid_post, minus: 14 values instead of 15"), "{text}");
    let mut states = plan.states(0);
    states.columns.pop();
    assert!(message(writer.commit(0, states)).contains("states for 4 columns, the manifest has 5"));
    writer.commit(0, plan.states(0)).unwrap();
}

#[test]
fn manifests_against_the_rules_make_no_store() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    let store = dir.path().join("store");
    let mut twice = plan.clone();
    twice.manifest.columns.push(Column::scalar("answer_logprob"));
    assert!(message(twice.open(&store)).contains("column answer_logprob is there twice"));
    let mut fewer = plan.clone();
    fewer.rows.pop();
    assert!(message(fewer.open(&store)).contains("6 rows were given, the manifest plans 7"));
    let empty = Manifest::new(StoreDtype::F32, plan.manifest.columns, vec![], plan.manifest.settings);
    assert!(message(activations::StoreWriter::open(&store, empty, &[])).contains("plan has 0 rows"));
    assert!(!fs_err::exists(&store).unwrap());
}

#[test]
fn an_array_under_both_names_is_left_alone() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.write_some(dir.path(), 1).unwrap();
    let path = dir.path().join("hook_embed/plus.npy");
    fs_err::write(&path, "mine").unwrap();
    let before = snapshot(dir.path());
    assert!(message(plan.open(dir.path())).contains("plus.npy.partial are both there"));
    assert_same(&before, &snapshot(dir.path()));
    let problems = verify(dir.path()).unwrap().problems;
    assert!(problems.iter().any(|problem| problem.what.contains("with and without")), "{problems:?}");
}

/// Pairs and statements do not mix: not in the rows, not in a batch, not when a store is continued, not when it is read.
#[test]
fn pairs_and_statements_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let of = |kind| plan_of(kind, StoreDtype::F32);
    let (pairs, statements) = (of(RowKind::Pairs), of(RowKind::Statements));
    let mut mixed = statements.clone();
    mixed.rows[3] = pairs.rows[3].clone();
    let text = message(mixed.open(dir.path()));
    assert!(text.contains("row 3 (idx 103) is one of pairs, and the manifest is of statements"), "{text}");
    assert!(snapshot(dir.path()).is_empty(), "nothing has been written");

    let mut writer = statements.open(dir.path()).unwrap();
    let mut states = statements.states(0);
    states.columns[1] = pairs.states(0).columns[1].clone();
    let text = message(writer.commit(0, states));
    assert!(
        text.contains("blocks.1.hook_resid_post: the states are of pairs, the store is of statements"),
        "{text}"
    );
    drop(writer);
    let mut other = pairs.clone();
    other.manifest.columns[2] = statements.manifest.columns[2].clone();
    let text = message(other.open(dir.path()));
    assert!(text.contains(r#"sides: ["statement"] → (none)"#), "{text}");

    let store = statements.complete(dir.path()).unwrap();
    let reader = store.column("hook_embed").unwrap();
    let text = message(reader.read(SideOf::Minus));
    assert!(text.contains("hook_embed has no minus side: the store is of statements"), "{text}");
    assert!(reader.map(SideOf::Plus).is_err() && reader.path(SideOf::Plus).is_err());
    let text = message(activations::export_llama_ccs(&store, "last", dir.path().join("out")));
    assert!(text.contains("the store is of single statements"), "{text}");
}

#[test]
fn statements_have_no_columns_of_answers() {
    let dir = tempfile::tempdir().unwrap();
    for column in
        [Column::scalar("answer_logprob"), Column::new("hook_embed", &["d_model"], &[5]).at("answer_mean")]
    {
        let mut plan = plan_of(RowKind::Statements, StoreDtype::F32);
        plan.manifest.columns[2] = column.clone();
        let text = message(plan.open(dir.path()));
        assert!(text.contains(&format!("{}, and statements have no answers", column.name())), "{text}");
    }
    // One way to write each manifest.
    let plan = plan_of(RowKind::Statements, StoreDtype::F32);
    plan.complete(dir.path()).unwrap();
    let path = dir.path().join("manifest.json");
    let text = fs_err::read_to_string(&path).unwrap();
    for sides in [r#"["plus", "minus"]"#, "[]", r#"["statement", "plus"]"#, r#""statement""#, "null"] {
        fs_err::write(&path, replaced(&text, sides)).unwrap();
        assert!(message(Manifest::read(dir.path())).contains("manifest.json: "), "{sides}");
    }
}

/// The manifest with other sides.
fn replaced(manifest: &str, sides: &str) -> String {
    let own = "[\n    \"statement\"\n  ]";
    assert!(manifest.contains(own), "{manifest}");
    manifest.replace(own, sides)
}

/// Columns of all tokens: wrong lengths, wrong ids, and readers of the other kind of column.
#[test]
fn ragged_columns_are_refused_where_they_do_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let ragged = KINDS[2];
    let plan = plan_of(ragged, StoreDtype::F32);
    let opened = |manifest: &Manifest, ids: Option<&TokenIds>| {
        message(StoreWriter::open_with(dir.path(), manifest.clone(), &plan.rows, ids, Pace::default()))
    };
    assert!(opened(&plan.manifest, None).contains("without the tokens' ids"));
    let mut without = plan.manifest.clone();
    (without.tokens, without.token_texts) = (None, None);
    assert!(
        opened(&without, plan.ids.as_ref()).contains("hook_resid_post@all and does not say how many tokens")
    );
    without.columns.truncate(5);
    assert!(opened(&without, plan.ids.as_ref()).contains("no column is of all tokens"));
    without.tokens.clone_from(&plan.manifest.tokens);
    without.token_texts.clone_from(&plan.manifest.token_texts);
    assert!(opened(&without, plan.ids.as_ref()).contains("it has tokens, and no column of the rule all"));
    let mut other = TokenIds::new(RowKind::Pairs);
    (0..7).for_each(|_| other.push(&[&[1, 2], &[3]]).unwrap());
    assert!(other.push(&[&[1]]).is_err());
    assert!(opened(&plan.manifest, Some(&other)).contains("the ids are not those that the manifest is of"));
    let of_other = plan.manifest.clone().with_tokens(&other).unwrap();
    let text = opened(&of_other, Some(&other));
    assert!(text.contains("row 0 (idx 100), plus: 2 ids were given, and its prompt has 9 tokens"), "{text}");
    assert!(snapshot(dir.path()).is_empty(), "nothing has been written");

    let mut writer = plan.open(dir.path()).unwrap();
    let mut states = plan.states(0);
    side_of(&mut states.columns[5], SideOf::Minus).pop();
    // Rows 6, 2, and 3 have 15, 11, and 12 tokens.
    let text = message(writer.commit(0, states));
    assert!(text.contains("blocks.1.hook_resid_post@all, minus: 113 values instead of 114"), "{text}");
    let mut states = plan.states(0);
    side_of(&mut states.columns[5], SideOf::Plus)[3 * (15 + 11) + 4] = f32::NAN;
    let text = message(writer.commit(0, states));
    let place = "row 3 (idx 103), blocks.1.hook_resid_post@all, plus: the model gave NaN at position 4";
    assert!(text.contains(place), "{text}");
    drop(writer);

    let store = plan.complete(dir.path()).unwrap();
    let text = message(store.column("blocks.1.hook_resid_post@all"));
    assert!(text.contains("has a state for every token, not one for each row"), "{text}");
    assert!(matches!(store.layer(2, "all"), Err(Error::Ragged { .. })));
    assert!(matches!(store.token_column("hook_embed"), Err(Error::NotRagged { .. })));
    assert!(message(store.token_column("hook_embed@all")).contains("no column"));
    let reader = store.token_column("blocks.1.hook_resid_post@all").unwrap();
    assert!(matches!(reader.read_rows(SideOf::Plus, 3..8), Err(Error::RowRange { .. })));
    assert!(matches!(reader.ids(SideOf::Statement), Err(Error::NoSide { .. })));
    let text = message(activations::export_llama_ccs(&store, "all", dir.path().join("out")));
    assert!(text.contains("the states are of all tokens"), "{text}");
    assert_eq!(store.manifest().token_rules(), ["last", "first", "all"]);
}

/// Offsets that are not those of the rows are not believed, whatever the manifest says of their file.
#[test]
fn offsets_of_other_lengths_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan_of(KINDS[3], StoreDtype::F32);
    plan.complete(dir.path()).unwrap();
    let path = dir.path().join("tokens/statement_offsets.npy");
    let mut bytes = fs_err::read(&path).unwrap();
    let at = bytes.len() - 2 * 8; // the last row begins one token later
    bytes[at] += 1;
    fs_err::write(&path, &bytes).unwrap();
    let text = message(activations::Store::open(dir.path()));
    assert!(
        text.contains("statement_offsets.npy: its BLAKE3 is not the one that the manifest names"),
        "{text}"
    );
    let problems = verify(dir.path()).unwrap().problems;
    assert_eq!(problems.len(), 1, "the arrays are checked by the lengths of the rows: {problems:?}");
    assert_eq!(problems[0].file, "tokens/statement_offsets.npy");
    let writer = plan.open(dir.path()).unwrap();
    assert!(writer.remaining().is_empty() && writer.repairs()[0].contains("it is written again"));
    drop(writer);
    assert!(verify(dir.path()).unwrap().is_sound());
}
