//! Commands as a user types them: what is on stdout, what on stderr, what in the files.

use llama_ccs::boolq;
use predicates::prelude::*;

use crate::support::{commands, extract, llama_ccs, prompts, quiz};

#[test]
fn prompts_to_store_with_json_on_stdout() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 12);
    let header = std::fs::read_to_string(&prompts).expect("csv").lines().next().map(str::to_owned);
    assert_eq!(header.as_deref(), Some(boolq::prompts::COLUMNS.join(",").as_str()));

    let store = folder.path().join("store");
    let output = extract(&prompts, &store).arg("--json").assert().success().get_output().clone();
    let result: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else");
    assert_eq!((&result["rows"], &result["finished"]), (&12.into(), &true.into()));
    assert_eq!(
        result["columns"].as_array().map(Vec::len),
        Some(7),
        "embedding, four blocks, log-probability as a sum and as a mean"
    );

    let output =
        llama_ccs().args(["store", "info", "--json"]).arg(&store).assert().success().get_output().clone();
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).expect("json");
    assert_eq!(info["done"], 12);
    // Stored in f16, and too small for the difference between types to matter.
    let extraction = &info["settings"]["extraction"];
    assert_eq!(extraction["precision"], "f32");
    assert_eq!(
        (&extraction["kernels"]["products"], &extraction["kernels"]["attention"]),
        (&"plain".into(), &"fused".into())
    );

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

/// The same small model is told apart by what the path holds, and described alike.
#[test]
fn what_kind_of_model_a_path_is() {
    let info = |path: &std::path::Path| {
        let output = llama_ccs().args(["model", "info"]).arg(path).assert().success().get_output().clone();
        String::from_utf8(output.stdout).expect("text")
    };
    let quiz = info(&quiz().join("model"));
    for line in
        ["layout       Meta, 1 part", "weights      f16, ", "SentencePiece, 78 tokens, `<s>` in front"]
    {
        assert!(quiz.contains(line), "{line:?} is not in\n{quiz}");
    }
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/llama-core/tests/fixtures");
    let llama3 = info(&fixtures.join("llama3_meta"));
    for line in [
        "Meta, 2 parts",
        "2 for keys and values (groups of 2)",
        "base 500000, scaled as in LLaMA 3 by 8",
        "BPE, 556",
    ] {
        assert!(llama3.contains(line), "{line:?} is not in\n{llama3}");
    }
    let hugging_face = info(&fixtures.join("llama3"));
    for line in ["Hugging Face, 1 file", "weights      bf16", "tokenizer    none in or beside it"] {
        assert!(hugging_face.contains(line), "{line:?} is not in\n{hugging_face}");
    }
    let refused =
        llama_ccs().args(["model", "info"]).arg(fixtures.join("llama3/model.safetensors")).assert().failure();
    refused.stderr(predicate::str::contains("one file of a model in Hugging Face's layout; give its folder"));
}

/// The templates' texts go from `prompts` through the file beside it into the store; another file's are not taken.
#[test]
fn templates_reach_the_store() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    let template = dir.join("own.jinja");
    std::fs::write(&template, "{{ passage }}\n\nis it so {{ question }}? {{ answer }}").expect("template");
    let csv = dir.join("prompts.csv");
    let mut command = llama_ccs();
    command
        .arg("prompts")
        .arg("--data")
        .arg(quiz().join("questions.jsonl"))
        .arg("--model")
        .arg(quiz().join("model"));
    command.args(["--limit", "3"]).arg("--template").arg(&template).arg("--out").arg(&csv).assert().success();
    let recorded = |store: &std::path::Path| {
        extract(&csv, store).assert().success();
        llama_ccs::activations::Manifest::read(store).expect("manifest").settings.get("templates").cloned()
    };
    let own = recorded(&dir.join("store")).expect("recorded");
    assert_eq!(own["own"]["text"]["source"], "{{ passage }}\n\nis it so {{ question }}? {{ answer }}");
    let text = std::fs::read_to_string(&csv).expect("csv");
    std::fs::write(&csv, text.replace("is it so", "is it no")).expect("csv");
    assert_eq!(recorded(&dir.join("other")), None);
}

/// The two controls are of the questions of the prompts they control, and every row finds its counterpart.
#[test]
fn blank_passages_and_prefixes_keep_the_questions() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    let text = "In this quiz, {{ nothing }} is \"true\".\n\n";
    std::fs::write(dir.join("prefix.txt"), text).expect("prefix");
    let template = dir.join("two.yaml");
    let yaml = "templates:\n  a:\n    name: one\n    jinja: '{{ passage }} Q: {{ question }}? ||| {{ answer_choices[label] }}'\n    answer_choices: No ||| Yes\n  b:\n    name: two\n    jinja: 'Q: {{ question }}? {{ passage }} A: ||| {{ answer_choices[label] }}'\n    answer_choices: No ||| Yes\n";
    std::fs::write(&template, yaml).expect("template");
    let make = |name: &str, arguments: &[&str]| {
        let out = dir.join(format!("{name}.csv"));
        let mut command = llama_ccs();
        command.arg("prompts").arg("--data").arg(quiz().join("questions.jsonl"));
        command
            .arg("--model")
            .arg(quiz().join("model"))
            .arg("--template")
            .arg(&template)
            .arg("--out")
            .arg(&out);
        command.args(["--limit", "6", "--balance"]).args(arguments);
        let said = command.arg("--json").assert().success().get_output().stdout.clone();
        let said: serde_json::Value = serde_json::from_slice(&said).expect("json");
        (said, llama_ccs::boolq::prompts::read(out).expect("prompts").pairs)
    };
    let (plain_said, plain) = make("plain", &[]);
    let (said, blank) = make("blank", &["--blank-passage"]);
    assert_eq!((&said["kept"], &said["dropped"]), (&plain_said["kept"], &plain_said["dropped"]));
    assert_eq!((said["blank_passage"].as_bool(), plain.len()), (Some(true), 12));
    assert_eq!(blank.len(), 12);
    for (blank, pair) in blank.iter().zip(&plain) {
        assert_eq!((&blank.group, &blank.question_id, blank.idx), (&pair.group, &pair.question_id, pair.idx));
        assert_eq!((&blank.template, blank.label), (&pair.template, pair.label));
        assert!(blank.plus_prompt.starts_with("Q: ") && blank.plus_prompt.len() < pair.plus_prompt.len());
    }
    let prefix = format!("@{}", dir.join("prefix.txt").display());
    let (said, misled) = make("misled", &["--prefix", &prefix]);
    assert_eq!(misled.len(), 12);
    assert!(misled.iter().all(|pair| pair.plus_prompt.starts_with(text)));
    assert_ne!(said["templates"][0]["identity"], plain_said["templates"][0]["identity"]);

    let source = |name: &str| {
        let store = dir.join(name);
        extract(&dir.join(format!("{name}.csv")), &store).assert().success();
        ccs_trainer::StoreSource::open(store).expect("a store")
    };
    let (plain, blank) = (source("plain"), source("blank"));
    let all = ccs_trainer::LayerSelection::All;
    ccs_trainer::check_blank(&plain, &blank, &all).expect("a blank store");
    assert!(ccs_trainer::check_blank(&plain, &plain, &all).is_err());
    let manifest = llama_ccs::activations::Manifest::read({
        source("misled");
        dir.join("misled")
    });
    let recorded = manifest.expect("manifest").settings["templates"]["one"]["text"]["jinja"].clone();
    let expected = r#"{{ "In this quiz, {{ nothing }} is \"true\".\n\n" }}{{ passage }} Q: {{ question }}? ||| {{ answer_choices[label] }}"#;
    assert_eq!(recorded, expected);

    let refused = |arguments: &[&str], why: &'static str| {
        let mut command = llama_ccs();
        command.arg("prompts").arg("--data").arg(quiz().join("questions.jsonl")).arg("--model");
        command.arg(quiz().join("model")).arg("--out").arg(dir.join("x.csv")).args(arguments);
        command.assert().failure().stderr(predicate::str::contains(why));
    };
    std::fs::write(dir.join("own.jinja"), "{{ question }}? {{ answer }}").expect("template");
    let own = dir.join("own.jinja").display().to_string();
    refused(&["--blank-passage", "--template", &own], "the template `own` prints no `passage`");
    refused(&["--prefix", " "], "the prefix is empty");
    let long = "The kite is yellow. ".repeat(40);
    refused(&["--prefix", &long, "--max-seq-len", "100"], "there are no prompts");
    refused(&["--prefix", "@missing.txt"], "missing.txt");
}

#[test]
fn what_is_read_is_not_written_over_and_flags_are_not_ignored() {
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("questions.jsonl");
    std::fs::copy(quiz().join("questions.jsonl"), &data).expect("copy");
    let before = std::fs::read(&data).expect("data");
    let mut command = llama_ccs();
    command
        .arg("prompts")
        .arg("--data")
        .arg(&data)
        .arg("--model")
        .arg(quiz().join("model"))
        .arg("--out")
        .arg(&data);
    command.assert().failure().code(1).stderr(predicate::str::contains("is a file that is read"));
    assert_eq!(std::fs::read(&data).expect("data"), before);
    for flags in [
        ["--prompts", "p.csv", "--limit", "2"],
        ["--prompts", "p.csv", "--offset", "2"],
        ["--prompts", "p.csv", "--passage", "text"],
        ["--data", "d.csv", "--passage", "text"],
        ["A statement.", "--limit", "2", "--json"],
    ] {
        let mut command = llama_ccs();
        command.args(["predict", "--run", "run", "--model", "model"]).args(flags).assert().failure().code(2);
    }
    // A tokenizer that is given beside a model has to be one for it.
    let other =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/llama-core/tests/fixtures/llama3_meta");
    let mut command = llama_ccs();
    command.arg("prompts").arg("--data").arg(&data).arg("--model").arg(quiz().join("model"));
    command
        .arg("--tokenizer")
        .arg(other.join("tokenizer.model"))
        .arg("--out")
        .arg(folder.path().join("p.csv"));
    command.assert().failure().code(1).stderr(predicate::str::contains("the model has 78 embeddings"));
    let zero = ["extract", "--model", "m", "--prompts", "p", "--out", "o", "--batch-tokens", "0"];
    llama_ccs().args(zero).assert().failure().code(2).stderr(predicate::str::contains("at least 1"));
}

/// bf16 keeps 8 bits, f32 is itself, and mixed is nearer to it than bf16.
#[test]
fn drift_from_f32_is_shown_by_layer() {
    let folder = tempfile::tempdir().expect("folder");
    let csv = prompts(folder.path(), 6);
    let drift = |dtype: &str| -> Vec<f64> {
        let mut command = extract(&csv, &folder.path().join(dtype));
        let output = command.args(["--dtype", dtype, "--compare-f32", "4", "--json"]).assert().success();
        let json: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).expect("json");
        json["drift"]
            .as_array()
            .expect("layers")
            .iter()
            .map(|l| l["relative"].as_f64().expect("number"))
            .collect()
    };
    assert_eq!(drift("f32"), [0.0; 5]);
    let (mixed, bf16) = (drift("mixed"), drift("bf16"));
    assert!(mixed[0].abs() < 1e-9 && (1e-4..4e-3).contains(&bf16[0]), "the embedding: {mixed:?} {bf16:?}");
    // A rounding is up to 2⁻⁸, a block has about twenty on a number's way, and this model does not amplify them.
    assert!(bf16[1..].iter().all(|drift| (1e-4..5e-2).contains(drift)), "{bf16:?}");
    // One layer of one machine may have it the other way round; all together may not.
    let sum_of_squares = |drift: &[f64]| drift.iter().map(|d| d * d).sum::<f64>();
    assert!(sum_of_squares(&mixed) < sum_of_squares(&bf16), "{mixed:?} {bf16:?}");
    let mut command = extract(&csv, &folder.path().join("text"));
    let output = command.args(["--dtype", "bf16", "--compare-f32", "100"]).assert().success();
    let text = String::from_utf8(output.get_output().stdout.clone()).expect("text");
    assert_eq!(text.lines().count(), 6, "{text}");
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
fn what_a_store_holds_is_told_to_a_person() {
    let folder = tempfile::tempdir().expect("folder");
    let (prompts, store) = (prompts(folder.path(), 4), folder.path().join("store"));
    extract(&prompts, &store).args(["--tokens", "mean,last", "--dtype", "bf16"]).assert().success();
    let info = llama_ccs().args(["store", "info"]).arg(&store).assert().success().get_output().clone();
    let info = String::from_utf8(info.stdout).expect("text");
    for line in [
        "4 of 4 rows (pairs), kept in f32,",
        "model       LLaMA, 0.8 million parameters, Meta, 1 part, weights in f16, identity ",
        "computed    in bf16, on cpu, threads 1, at most 2048 tokens a batch",
        "tokens      last, mean",
        "dataset     questions",
        "template    llama-ccs",
        "blocks.3.hook_resid_post@mean",
    ] {
        assert!(info.contains(line), "{line:?} is not in\n{info}");
    }

    let out = folder.path().join("exported");
    let export = |rule: &str| {
        let mut command = llama_ccs();
        command.args(["store", "export"]).arg(&store).args(["--tokens", rule, "--out"]).arg(&out);
        command.assert()
    };
    export("first").failure().code(1).stderr(predicate::str::contains("the token rules last, mean\nhint:"));
    export("mean").success();
    let bytes = std::fs::read(out.join("minus/3.npy")).expect("exported");
    let exported: Vec<f32> = npyz::NpyFile::new(&bytes[..]).expect("npy").into_vec().expect("f32");
    let store = llama_ccs::activations::Store::open(&store).expect("store");
    let embedding = store.column("hook_embed@mean").expect("column");
    let row = embedding.read_rows(llama_ccs::activations::SideOf::Minus, 3..4).expect("row");
    assert_eq!(exported[..128], row);
}

/// With `--json` every command prints exactly one JSON value on stdout, also where its exit code is 1.
/// The guide's table is what the command prints.
#[test]
fn the_families_are_those_of_the_guide() {
    let output = llama_ccs().args(["model", "families"]).assert().success().get_output().clone();
    let table = String::from_utf8(output.stdout).expect("text");
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide/extract.md");
    assert!(
        std::fs::read_to_string(guide).expect("the guide").contains(&table),
        "copy this into it:\n{table}"
    );
}

#[test]
fn every_command_speaks_json() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    let (csv, store, run) = (prompts(dir, 60), dir.join("store"), dir.join("run"));
    let model = quiz().join("model");
    extract(&csv, &store).assert().success();
    fit(&store, &run);
    let text = |path: &std::path::Path| path.display().to_string();
    let (model, csv, store, run) = (text(&model), text(&csv), text(&store), text(&run));
    let (data, out) = (text(&quiz().join("questions.jsonl")), |name: &str| text(&dir.join(name)));
    let (made, extracted, exported) = (out("made.csv"), out("extracted"), out("exported"));
    let (part, merged) = (out("part"), out("merged"));
    extract(std::path::Path::new(&csv), std::path::Path::new(&part))
        .args(["--part", "1/1"])
        .assert()
        .success();
    let pairs = out("pairs.csv");
    std::fs::write(&pairs, "context,continuation\nThe cup is, red\n").expect("pairs");
    let likely = "The cup is red.\n\nAfter reading this passage, I have a question: is the cup red?\n\nTrue or False: True right";
    let cases: [(&str, Vec<&str>); 14] = [
        (
            "prompts",
            vec!["--data", &data, "--model", &model, "--limit", "3", "--preview", "2", "--out", &made],
        ),
        ("extract", vec!["--model", &model, "--prompts", &csv, "--out", &extracted]),
        ("predict", vec!["--run", &run, "--model", &model, "--prompts", &csv]),
        ("generate", vec!["--model", &model, "--max-new-tokens", "1", "The cup", "is red"]),
        ("score", vec!["--model", &model, &pairs]),
        ("store info", vec![&store]),
        ("store verify", vec![&store]),
        ("store export", vec![&store, "--out", &exported]),
        ("store merge", vec![&part, "--out", &merged]),
        ("hooks", vec![&model]),
        ("model info", vec![&model]),
        ("model check", vec![&model, "--text", likely]),
        ("model families", vec![]),
        ("doctor", vec![]),
    ];
    let covered: Vec<&str> = cases.iter().map(|(name, _)| *name).chain(["store", "model"]).collect();
    for command in commands() {
        assert!(covered.contains(&command.join(" ").as_str()), "{command:?} is not tried here");
    }
    for (name, arguments) in &cases {
        let mut command = llama_ccs();
        let output = command.args(name.split(' ')).args(arguments).arg("--json").assert().success();
        let stdout = &output.get_output().stdout;
        let value: Result<serde_json::Value, _> = serde_json::from_slice(stdout);
        let value = value.unwrap_or_else(|e| panic!("{name}: {e}: {}", String::from_utf8_lossy(stdout)));
        assert!(value.is_object() || value.is_array(), "{name}: {value}");
    }

    // Damage: still one JSON value, and exit code 1.
    let array = dir.join("store/hook_embed/plus.npy");
    let mut bytes = std::fs::read(&array).expect("read");
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::write(&array, bytes).expect("write");
    let verify = llama_ccs().args(["store", "verify", &store, "--json"]).assert().code(1);
    let found: serde_json::Value = serde_json::from_slice(&verify.get_output().stdout).expect("json");
    assert_eq!((&found["sound"], found["problems"].as_array().map(Vec::len)), (&false.into(), Some(1)));
}

/// A run of the last layer, quickly.
pub(crate) fn fit(store: &std::path::Path, out: &std::path::Path) {
    use llama_ccs::ccs_trainer::{Fit, LayerSelection, NewRunDir, Overwrite, Settings};
    let source = llama_ccs::ccs_trainer::StoreSource::open(store).expect("store");
    let mut settings = Settings { layers: LayerSelection::Ranges(vec![(4, 4)]), ..Settings::default() };
    (settings.ccs.max_iter, settings.directions) = (100, 10);
    let out = NewRunDir::reserve(out, Overwrite::No).expect("a free folder");
    Fit::new(&source).settings(settings).run_to(out).expect("fit");
}

#[test]
fn exit_codes_are_those_of_the_help() {
    llama_ccs().arg("doctor").assert().code(0).stdout(predicate::str::contains("LibTorch"));
    llama_ccs().args(["store", "info", "nowhere", "--json"]).assert().code(1).stdout("");
    for wrong in [
        &["extract", "--modell", "x"][..],
        &["extract", "--model", "m", "--prompts", "p", "--out", "o", "--tokens", "answer"],
        &["predict", "--run", "r", "--model", "m"],
        &["no-such-command"],
        &[],
    ] {
        llama_ccs()
            .args(wrong)
            .assert()
            .code(2)
            .stdout("")
            .stderr(predicate::str::contains("--help").or(predicate::str::contains("Usage:")));
    }
    // 130 is tried in `resume`.
}
