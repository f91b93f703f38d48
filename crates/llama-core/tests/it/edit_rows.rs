//! Edits of certain rows of a batch: a pass for many edits is what a pass for each gives.

use crate::with_hint;
use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{
    Batch, Change, Edit, Edits, Error, Forward, HookPoint, Llama, Padding, Precision, Site, Tokens,
};

use crate::support::{prompts, random, relative};

/// Logits of the last tokens under these edits. \[prompts, V\]
fn logits(llama: &Llama, batch: &Batch, edits: &Edits) -> Result<Tensor, Error> {
    let mut hook = edits.hook(llama.config(), Device::Cpu).expect("edits that fit");
    Ok(llama.forward(batch, Forward::new().hook(&mut hook).logits(Tokens::Last))?.logits.expect("logits"))
}

#[test]
fn every_head_of_every_block_is_ablated_in_one_pass() {
    let llama = random(Precision::F64);
    let prompt = &prompts()[0];
    let heads: Vec<(u16, usize)> = (0..3).flat_map(|block| (0..4).map(move |head| (block, head))).collect();
    let ablated = |(block, head): (u16, usize), site| {
        Edit::new(HookPoint::Block(block, site), Tokens::All, Change::knock_out([head]))
    };
    let alone =
        |edits: &Edits| logits(&llama, &Batch::new(std::slice::from_ref(prompt)).unwrap(), edits).unwrap();
    // A prompt for each head, and one that stays as it is.
    let batch = Batch::new(&vec![prompt; heads.len() + 1]).expect("batch");
    for site in [Site::Z, Site::Pattern] {
        let edits: Edits =
            heads.iter().enumerate().map(|(row, head)| ablated(*head, site).rows([row])).collect();
        let together = logits(&llama, &batch, &edits).expect("run");
        for (row, head) in heads.iter().enumerate() {
            let expected = alone(&ablated(*head, site).into());
            let error = relative(&together.narrow(0, row as i64, 1), &expected);
            assert!(error < 1e-12, "{site:?}, {head:?}: {error}");
        }
        let untouched = together.narrow(0, heads.len() as i64, 1);
        assert!(relative(&untouched, &alone(&Edits::default())) < 1e-12);
    }
}

#[test]
fn rows_are_prompts_whatever_the_padding_and_the_tokens() {
    let llama = random(Precision::F64);
    let direction = Tensor::arange(24, (Kind::Double, Device::Cpu)).sin();
    for padding in [Padding::Left, Padding::Right] {
        let batch = Batch::padded(&prompts(), padding).expect("batch");
        let positions = Tokens::At(vec![vec![0, 4], vec![1], vec![], vec![0]]);
        for tokens in [Tokens::All, Tokens::Last, Tokens::First, positions] {
            let add = Change::add(&direction, 2.0).expect("add");
            let edit = Edit::new(HookPoint::resid_post(0), tokens, add);
            let plain = logits(&llama, &batch, &Edits::default()).expect("run");
            let whole = logits(&llama, &batch, &edit.clone().into()).expect("run");
            let some = logits(&llama, &batch, &edit.rows([0, 3]).into()).expect("run");
            for (row, expected) in [&whole, &plain, &plain, &whole].into_iter().enumerate() {
                let row = row as i64;
                assert!(relative(&some.get(row), &expected.get(row)) < 1e-12, "{padding:?}, row {row}");
            }
        }
    }
}

#[test]
fn rows_are_written_to_files_and_a_row_that_is_not_there_is_refused() {
    let edit = Edit::new(HookPoint::resid_post(0), Tokens::All, Change::Zero);
    assert_eq!(
        serde_json::to_value(&edit).expect("json"),
        serde_json::json!({"points": ["blocks.0.hook_resid_post"], "tokens": "all", "change": "zero"})
    );
    let by_row = edit.rows([0, 4]);
    let json = serde_json::json!(
        {"points": ["blocks.0.hook_resid_post"], "tokens": "all", "rows": [0, 4], "change": "zero"}
    );
    assert_eq!(serde_json::to_value(&by_row).expect("json"), json);
    assert_eq!(serde_json::from_value::<Edit>(json).expect("an edit"), by_row);
    let edits = Edits::from(by_row);
    let recorded = with_hint(&edits.to_json().expect_err("of one batch"));
    assert!(recorded.contains("edit 0 is for certain rows"), "{recorded}");
    let llama = random(Precision::F32);
    let error = logits(&llama, &Batch::new(&prompts()).expect("batch"), &edits).expect_err("four prompts");
    assert!(matches!(error, Error::Edit { edit: 0, .. }), "{error}");
    assert!(error.to_string().contains("no row 4: the batch has 4 prompts"), "{error}");
}
