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
fn hooks_are_listed_under_other_libraries_names() {
    let model = quiz().join("model");
    let line =
        "blocks.3.hook_resid_post              model.layers.3.output                  l_out-3    [4]\n";
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let output =
        llama_ccs().arg("hooks").arg(&model).args(["--names", "blocks.3.*", "ln_final.hook_out"]).output();
    let text = String::from_utf8(output.expect("run").stdout).expect("text");
    let lines: Vec<_> = text.lines().map(squeezed).collect();
    assert_eq!(lines.len(), 1 + 21 + 1);
    assert!(lines.contains(&squeezed(line)), "{text}");
    assert!(lines.contains(&"ln_final.hook_out model.norm.output [4] result_norm".to_owned()), "{text}");
    assert!(lines.contains(&"blocks.3.attn.hook_attn_scores kq-3 !".to_owned()), "{text}");
    let output = llama_ccs().arg("hooks").arg(&model).args(["--json", "blocks.0.attn.hook_z"]).output();
    let json: serde_json::Value = serde_json::from_slice(&output.expect("run").stdout).expect("json");
    let theirs = &json[0]["names"]["hugging_face"];
    assert_eq!(
        (&theirs["name"], &theirs["relation"]),
        (&"model.layers.0.self_attn.o_proj.input".into(), &"reshaped".into())
    );
    llama_ccs()
        .arg("hooks")
        .arg(&model)
        .arg("model.layers.2.mlp")
        .assert()
        .failure()
        .stderr(predicate::str::contains("did you mean `blocks.2.hook_mlp_out`?"));
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
