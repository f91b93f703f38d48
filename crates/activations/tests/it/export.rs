//! llama-ccs' layout.

use activations::{Column, SideOf, StoreDtype, export_llama_ccs};

use crate::support::{message, plan, value};

#[test]
fn every_row_becomes_two_files_of_all_layers() {
    let dir = tempfile::tempdir().unwrap();
    let store = plan(StoreDtype::F16).complete(&dir.path().join("store")).unwrap();
    let out = dir.path().join("llama-ccs");
    // What lies beside the output under a name like ours is somebody's.
    for name in ["partial".to_owned(), format!("partial-{}-0", std::process::id())] {
        let neighbor = out.with_added_extension(name);
        fs_err::create_dir(&neighbor).unwrap();
        fs_err::write(neighbor.join("notes"), "mine").unwrap();
    }
    assert_eq!(export_llama_ccs(&store, "last", &out).unwrap(), 7);
    // Layers 0, 1, 2 are the columns 0, 3, 1 of the plan.
    for side in SideOf::PAIR {
        assert_eq!(fs_err::read_dir(out.join(side.name())).unwrap().count(), 7);
        for row in 0..7 {
            let bytes = fs_err::read(out.join(format!("{side}/{}.npy", 100 + row))).unwrap();
            let npy = npyz::NpyFile::new(&bytes[..]).unwrap();
            assert_eq!(npy.shape(), [3, 5]);
            let expected: Vec<f32> =
                [0, 3, 1].into_iter().flat_map(|c| (0..5).map(move |i| value(c, side, row, i))).collect();
            assert_eq!(npy.into_vec::<f32>().unwrap(), expected);
        }
    }
    assert!(message(export_llama_ccs(&store, "last", &out)).contains("it exists"));
    assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 4, "the store, the export and two neighbors");
    for neighbor in fs_err::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
        assert!(neighbor.extension().is_none() || neighbor.join("notes").is_file());
    }
}

#[test]
fn a_token_rule_is_exported_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut two = plan(StoreDtype::F32);
    for hook in ["hook_embed", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"] {
        two.manifest.columns.push(Column::new(hook, &["d_model"], &[5]).at("mean"));
    }
    let store = two.complete(&dir.path().join("store")).unwrap();
    let out = dir.path().join("out");
    let said = message(export_llama_ccs(&store, "middle", &out));
    assert!(said.contains("`middle`; it has states under the token rules last, first, mean"), "{said}");
    assert!(message(export_llama_ccs(&store, "first", &out)).contains("no residual stream"));

    assert_eq!(export_llama_ccs(&store, "mean", &out).unwrap(), 7);
    let bytes = fs_err::read(out.join("minus/103.npy")).unwrap();
    let expected: Vec<f32> =
        (5..8).flat_map(|column| (0..5).map(move |i| value(column, SideOf::Minus, 3, i))).collect();
    assert_eq!(npyz::NpyFile::new(&bytes[..]).unwrap().into_vec::<f32>().unwrap(), expected);
}

#[test]
fn what_does_not_fit_the_layout_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let mut gap = plan(StoreDtype::F32);
    gap.manifest.columns.remove(3);
    let store = gap.complete(&dir.path().join("gap")).unwrap();
    assert!(message(export_llama_ccs(&store, "last", &out)).contains("layer 1 is not in the store"));

    let mut twice = plan(StoreDtype::F32);
    twice.rows[5].idx = 100;
    let store = twice.complete(&dir.path().join("twice")).unwrap();
    assert!(message(export_llama_ccs(&store, "last", &out)).contains("idx 100 is there twice"));

    let mut none = plan(StoreDtype::F32);
    none.manifest.columns = vec![Column::scalar("answer_logprob")];
    let store = none.complete(&dir.path().join("none")).unwrap();
    assert!(message(export_llama_ccs(&store, "last", &out)).contains("no residual stream"));
    assert!(!fs_err::exists(&out).unwrap());
}
