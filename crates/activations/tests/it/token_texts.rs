//! The texts of tokens, beside columns of all tokens: what is kept, what damage to it gives, and stores without them.

use std::collections::BTreeMap;

use activations::{Error, Pace, SideOf, Store, StoreDtype, StoreWriter, TokenIds, verify};

use crate::support::{KINDS, Plan, assert_same, message, plan_of, snapshot, text_of};

const FILE: &str = "tokens/texts.json";

fn ragged() -> Plan {
    plan_of(KINDS[2], StoreDtype::F32)
}

/// The same store as it was begun before texts were kept.
fn without_texts(plan: &Plan) -> Plan {
    let mut bare = TokenIds::new(KINDS[2].rows);
    let sides: Vec<_> = plan.ids.as_ref().unwrap().sides().map(|(_, tokens)| tokens.clone()).collect();
    for row in 0..plan.rows.len() {
        let ids = sides.iter().map(|of| &of.ids[of.offsets[row] as usize..of.offsets[row + 1] as usize]);
        bare.push(&ids.collect::<Vec<_>>()).unwrap();
    }
    let manifest = plan.manifest.clone().with_tokens(&bare).unwrap();
    Plan { manifest, ids: Some(bare), ..plan.clone() }
}

#[test]
fn every_id_that_prompts_have_has_its_text_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut ids = TokenIds::new(KINDS[3].rows);
    ids.push(&[&[1, 9, 9, 9, 9, 9]]).unwrap();
    let names = |id: u32| if id == 1 { "<s>" } else { "▁\"a\"\\\u{7}" };
    let mut plan = plan_of(KINDS[3], StoreDtype::F32);
    plan.rows.truncate(1);
    let activations::Sides::Single { statement } = &mut plan.rows[0].sides else { panic!("of statements") };
    statement.tokens = 6;
    plan.manifest.batches = vec![vec![0]];
    plan.manifest.rows = 1;
    plan.ids = Some(ids.with_texts(names));
    plan.manifest = plan.manifest.with_tokens(plan.ids.as_ref().unwrap()).unwrap();
    let store = plan.complete(dir.path()).unwrap();
    // To the byte, as FORMAT.md has it.
    let text = "{\n\"1\": \"<s>\",\n\"9\": \"▁\\\"a\\\"\\\\\\u0007\"\n}\n";
    assert_eq!(fs_err::read_to_string(dir.path().join(FILE)).unwrap(), text);
    let expected: BTreeMap<u32, String> = [1, 9].map(|id| (id, names(id).to_owned())).into();
    assert_eq!(store.token_texts().unwrap(), Some(expected));
    assert_eq!(store.manifest().token_texts.as_deref(), Some(&*blake3::hash(text.as_bytes()).to_hex()));
}

#[test]
fn damaged_texts_are_found_by_readers_and_written_again_by_writers() {
    let dir = tempfile::tempdir().unwrap();
    let plan = ragged();
    let store = plan.complete(dir.path()).unwrap();
    let sound = snapshot(dir.path());
    let ids = plan.ids.as_ref().unwrap().sides().flat_map(|(_, tokens)| tokens.ids.clone());
    let expected: BTreeMap<u32, String> = ids.map(|id| (id, text_of(id).to_owned())).collect();
    assert_eq!(store.token_texts().unwrap(), Some(expected));
    assert!(verify(dir.path()).unwrap().is_sound());

    let path = dir.path().join(FILE);
    let bytes = fs_err::read(&path).unwrap();
    let damages: [&dyn Fn(); 4] = [
        &|| fs_err::remove_file(&path).unwrap(),
        &|| fs_err::write(&path, b"{}\n").unwrap(),
        &|| fs_err::write(&path, &bytes[..bytes.len() - 1]).unwrap(),
        &|| fs_err::write(&path, [&bytes[..], b" "].concat()).unwrap(),
    ];
    for damage in damages {
        damage();
        let problems = verify(dir.path()).unwrap().problems;
        assert_eq!(problems.iter().map(|problem| problem.file.as_str()).collect::<Vec<_>>(), [FILE]);
        // Everything else can be read all the same.
        let store = Store::open(dir.path()).unwrap();
        assert!(message(store.token_texts()).contains("texts.json"));
        store.token_column("blocks.1.hook_resid_post@all").unwrap().read(SideOf::Plus).unwrap();
        let writer = plan.open(dir.path()).unwrap();
        assert_eq!(writer.remaining(), [] as [usize; 0]);
        assert!(writer.repairs()[0].contains("texts.json was missing or damaged"), "{:?}", writer.repairs());
        drop(writer);
        assert_same(&sound, &snapshot(dir.path()));
    }
}

#[test]
fn a_store_begun_without_texts_goes_on_without_them() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, path) = (ragged(), |name: &str| dir.path().join(name));
    let older = without_texts(&plan);
    older.complete(&path("older")).unwrap();
    let expected = snapshot(&path("older"));
    assert!(!expected.contains_key(FILE));
    older.write_some(&path("begun"), 2).unwrap();
    let store = plan.complete(&path("begun")).unwrap();
    assert_eq!(store.token_texts().unwrap(), None);
    assert_same(&expected, &snapshot(&path("begun")));
    assert!(verify(path("begun")).unwrap().is_sound());

    // The other way round the file would be lost.
    plan.write_some(&path("with"), 2).unwrap();
    let refused = older.open(&path("with")).map(drop);
    assert!(matches!(refused, Err(Error::Different { .. })));
    assert!(message(refused).contains("token_texts"));
    // Texts that are not those of the manifest, and texts of no tokens.
    let other = plan.ids.clone().unwrap().with_texts(|_| "");
    let opened =
        StoreWriter::open_with(path("x"), plan.manifest.clone(), &plan.rows, Some(&other), Pace::default());
    assert!(message(opened.map(drop)).contains("not those that the manifest is of"));
    let mut plain = plan_of(KINDS[0], StoreDtype::F32);
    plain.manifest.token_texts = Some("0".repeat(64));
    assert!(message(plain.open(&path("x")).map(drop)).contains("texts of tokens, and no tokens"));
}
