//! Which files of a repository a model needs.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

/// What is read beside the weights of a model in Hugging Face's layout.
const BESIDE: [&str; 9] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
];
/// The folder of chat templates with names.
const CHATS: &str = "additional_chat_templates/";

/// Weights of Hugging Face's layout, in one file or by an index; the first that is there counts.
const WEIGHTS: [(&str, &str); 2] = [
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
];

/// The files that a model needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// A folder: what is beside the weights, and the weights.
    Folder { beside: Vec<String>, weights: Weights },
    /// One file.
    File(String),
}

/// Files of weights.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    Are(Vec<String>),
    /// Those that this index names.
    By(String),
}

/// Why no files can be chosen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The file that was named is not there.
    NoFile(String),
    /// One of these has to be named.
    Several(Vec<String>),
    /// There are no weights that are read here; what there is instead.
    NoModel(String),
}

/// Chooses among the files of a repository: the one that was named, else a model in Hugging Face's layout, in Meta's, or
/// in the one GGUF file that there is.
pub(crate) fn of_model(files: &BTreeSet<&str>, named: Option<&str>) -> Result<Choice, Unfit> {
    if let Some(file) = named {
        let there = files.contains(file);
        return if there { Ok(Choice::File(file.to_owned())) } else { Err(Unfit::NoFile(file.to_owned())) };
    }
    if let Some(weights) = files.contains("config.json").then(|| hugging_face(files)).flatten() {
        let mut beside = those(files, &BESIDE);
        let is_template = |file: &str| Path::new(file).extension().is_some_and(|end| end == "jinja");
        let chats = files.iter().filter(|file| file.starts_with(CHATS) && is_template(file));
        beside.extend(chats.map(|file| (*file).to_owned()));
        return Ok(Choice::Folder { beside, weights });
    }
    if let Some(weights) = files.contains("params.json").then(|| meta(files)).flatten() {
        return Ok(Choice::Folder { beside: those(files, &["params.json", "tokenizer.model"]), weights });
    }
    let gguf: Vec<String> =
        files.iter().filter(|file| is_gguf(file)).map(|file| (*file).to_owned()).collect();
    match gguf.as_slice() {
        [one] => Ok(Choice::File(one.clone())),
        [] => Err(Unfit::NoModel(instead(files))),
        _ => Err(Unfit::Several(gguf)),
    }
}

fn hugging_face(files: &BTreeSet<&str>) -> Option<Weights> {
    WEIGHTS.iter().find_map(|(single, index)| {
        let single = files.contains(single).then(|| Weights::Are(vec![(*single).to_owned()]));
        single.or_else(|| files.contains(index).then(|| Weights::By((*index).to_owned())))
    })
}

fn meta(files: &BTreeSet<&str>) -> Option<Weights> {
    let parts = |ending: &str| -> Vec<String> {
        let fits =
            |file: &&&str| !file.contains('/') && file.starts_with("consolidated") && file.ends_with(ending);
        files.iter().filter(fits).map(|file| (*file).to_owned()).collect()
    };
    [parts(".pth"), parts(".safetensors")].into_iter().find(|parts| !parts.is_empty()).map(Weights::Are)
}

/// Weights, not what a file of GGUF holds for pictures beside a model of language.
pub(crate) fn is_gguf(file: &str) -> bool {
    std::path::Path::new(file).extension().is_some_and(|e| e == "gguf")
        && !file.rsplit('/').next().unwrap_or(file).starts_with("mmproj")
}

fn those(files: &BTreeSet<&str>, names: &[&str]) -> Vec<String> {
    names.iter().filter(|name| files.contains(*name)).map(|name| (*name).to_owned()).collect()
}

/// What a repository without a model holds.
fn instead(files: &BTreeSet<&str>) -> String {
    if files.contains("adapter_config.json") {
        return "it holds an adapter, which has to be merged into its model first".to_owned();
    }
    let endings: BTreeSet<&str> = files.iter().filter_map(|file| Some(file.rsplit_once('.')?.1)).collect();
    match files.len() {
        0 => "it is empty".to_owned(),
        1 => format!("its one file is `{}`", files.iter().next().unwrap_or(&"")),
        n => {
            let endings: Vec<&str> = endings.into_iter().take(8).collect();
            format!("its {n} files are of the kinds {}", endings.join(", "))
        }
    }
}

/// The files that an index names, each once; `None` of what is no index.
pub(crate) fn by_index(json: &[u8]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(json).ok()?;
    let files: BTreeSet<String> = index.weight_map.into_values().collect();
    (!files.is_empty()).then(|| files.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(files: &[&str], named: Option<&str>) -> Result<Choice, Unfit> {
        of_model(&files.iter().copied().collect(), named)
    }

    fn folder(beside: &[&str], weights: Weights) -> Choice {
        Choice::Folder { beside: beside.iter().map(|f| (*f).to_owned()).collect(), weights }
    }

    #[test]
    fn only_what_a_model_needs() {
        let smol = [
            ".gitattributes",
            "README.md",
            "config.json",
            "merges.txt",
            "model.safetensors",
            "onnx/model.onnx",
            "pytorch_model.bin",
            "tf_model.h5",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.json",
        ];
        let one = Weights::Are(vec!["model.safetensors".to_owned()]);
        assert_eq!(
            choose(&smol, None),
            Ok(folder(&["config.json", "tokenizer.json", "tokenizer_config.json"], one))
        );

        let llama = [
            "config.json",
            "consolidated.safetensors",
            "generation_config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "original/consolidated.00.pth",
            "original/params.json",
            "params.json",
            "tokenizer.model",
        ];
        let index = Weights::By("model.safetensors.index.json".to_owned());
        assert_eq!(
            choose(&llama, None),
            Ok(folder(&["config.json", "generation_config.json", "tokenizer.model"], index))
        );

        let old = ["config.json", "pytorch_model.bin", "tokenizer.model"];
        let bin = Weights::Are(vec!["pytorch_model.bin".to_owned()]);
        assert_eq!(choose(&old, None), Ok(folder(&["config.json", "tokenizer.model"], bin)));

        let meta =
            ["checklist.chk", "consolidated.00.pth", "consolidated.01.pth", "params.json", "tokenizer.model"];
        let parts = Weights::Are(vec!["consolidated.00.pth".to_owned(), "consolidated.01.pth".to_owned()]);
        assert_eq!(choose(&meta, None), Ok(folder(&["params.json", "tokenizer.model"], parts)));
    }

    #[test]
    fn one_gguf_file_or_the_one_that_was_named() {
        let several = ["README.md", "config.json", "m.Q4_K_M.gguf", "m.Q8_0.gguf", "mmproj-f16.gguf"];
        let both = vec!["m.Q4_K_M.gguf".to_owned(), "m.Q8_0.gguf".to_owned()];
        assert_eq!(choose(&several, None), Err(Unfit::Several(both)));
        assert_eq!(choose(&several, Some("m.Q8_0.gguf")), Ok(Choice::File("m.Q8_0.gguf".to_owned())));
        assert_eq!(choose(&several, Some("m.gguf")), Err(Unfit::NoFile("m.gguf".to_owned())));
        assert_eq!(choose(&["q/a.gguf"], None), Ok(Choice::File("q/a.gguf".to_owned())));
    }

    #[test]
    fn what_is_no_model_says_what_it_is() {
        let Err(Unfit::NoModel(found)) = choose(&["adapter_config.json", "adapter_model.safetensors"], None)
        else {
            panic!("an adapter")
        };
        assert!(found.contains("adapter"), "{found}");
        let Err(Unfit::NoModel(found)) = choose(&["config.json", "a.onnx"], None) else {
            panic!("no weights")
        };
        assert!(found.contains("json, onnx"), "{found}");
    }

    #[test]
    fn an_index_names_each_file_once() {
        let index = br#"{"metadata":{},"weight_map":{"a":"x-2","b":"x-1","c":"x-2"}}"#;
        assert_eq!(by_index(index), Some(vec!["x-1".to_owned(), "x-2".to_owned()]));
        for bad in [&b"{}"[..], b"[]", b"<html>", br#"{"weight_map":{}}"#, br#"{"weight_map":{"a":1}}"#] {
            assert_eq!(by_index(bad), None);
        }
    }
}
