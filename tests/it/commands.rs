//! Commands as a user types them: what is on stdout, what on stderr, what in the files.

use predicates::prelude::*;

use crate::support::{extract, llama_ccs, prompts, quiz};

#[test]
fn prompts_to_store_with_json_on_stdout() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 12);
    let header = std::fs::read_to_string(&prompts).expect("csv").lines().next().map(str::to_owned);
    assert_eq!(
        header.as_deref(),
        Some("idx,plus_prompt,minus_prompt,label,question_id,group,template,dataset")
    );

    let store = folder.path().join("store");
    let output = extract(&prompts, &store).arg("--json").assert().success().get_output().clone();
    let result: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else");
    assert_eq!((&result["rows"], &result["finished"]), (&12.into(), &true.into()));
    assert_eq!(
        result["columns"].as_array().map(Vec::len),
        Some(6),
        "embedding, four blocks, log-probability"
    );

    let output =
        llama_ccs().args(["store", "info", "--json"]).arg(&store).assert().success().get_output().clone();
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).expect("json");
    assert_eq!(info["done"], 12);
    assert_eq!(info["settings"]["extraction"]["precision"], "f32");

    let out = folder.path().join("exported");
    llama_ccs().args(["store", "export"]).arg(&store).arg("--out").arg(&out).assert().success();
    let bytes = std::fs::read(out.join("plus/0.npy")).expect("exported");
    assert_eq!(npyz::NpyFile::new(&bytes[..]).expect("npy").shape(), [5, 128]);
}

#[test]
fn in_a_pipe_there_is_data_or_silence() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 4);
    let done = extract(&prompts, &folder.path().join("store")).assert().success();
    done.stdout(predicate::str::is_empty()).stderr(predicate::str::is_empty());
}

#[test]
fn hooks_are_listed_with_shapes_and_globs() {
    let model = quiz().join("model");
    llama_ccs().arg("hooks").arg(&model).arg("blocks.2.attn.hook_z").assert().success().stdout(
        predicate::str::contains("blocks.2.attn.hook_z")
            .and(predicate::str::contains("[batch, token, head 4, head_dim 32]")),
    );
    llama_ccs().arg("hooks").arg(&model).arg("blocks.*.hook_resid_pots").assert().failure().stderr(
        predicate::str::contains("did you mean `blocks.*.hook_resid_post`?")
            .and(predicate::str::contains("hint:")),
    );
}

#[test]
fn other_hook_points_and_types_are_stored() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 4);
    let store = folder.path().join("store");
    let hooks = [
        "--hooks",
        "blocks.1.attn.hook_z",
        "blocks.{0,2}.hook_mlp_out",
        "--dtype",
        "bf16",
        "--store-dtype",
        "f16",
    ];
    extract(&prompts, &store).args(hooks).assert().success();
    let store = llama_ccs::activations::Store::open(&store).expect("store");
    assert_eq!(store.column("blocks.1.attn.hook_z").expect("z").column().shape, [4, 32]);
    let mut pattern = extract(&prompts, &folder.path().join("other"));
    let refused = pattern.args(["--hooks", "blocks.0.attn.hook_pattern"]).assert().failure();
    refused.stderr(predicate::str::contains("its size differs from prompt to prompt"));
}

#[test]
fn text_is_generated() {
    let mut command = llama_ccs();
    command.arg("generate").arg("--model").arg(quiz().join("model"));
    let prompt = "The cup is red.\n\nAfter reading this passage, I have a question: is the cup red?\n\nTrue or False: True";
    command.args(["--temperature", "0", "--max-new-tokens", "1", prompt]);
    command.assert().success().stdout(format!("{prompt} right\n"));
}

#[test]
fn help_has_examples() {
    for command in ["prompts", "extract", "generate", "store", "hooks"] {
        llama_ccs()
            .args([command, "--help"])
            .assert()
            .success()
            .stdout(predicate::str::contains("Examples:"));
    }
    llama_ccs().arg("doctor").assert().success().stdout(predicate::str::contains("LibTorch"));
}
