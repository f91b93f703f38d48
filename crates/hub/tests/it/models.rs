//! What is downloaded of a model, and where it is put.

use std::path::Path;

use test_material::hub::Repository;

use crate::support::{Place, Watcher, bytes, contents, inside, llama, name, said};

/// What a model in Hugging Face's layout needs of [`llama`].
const NEEDED: [&str; 6] = [
    "config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

#[test]
fn only_what_is_needed_is_downloaded_and_only_once() {
    let place = Place::with_llama();
    let mut watcher = Watcher::default();
    let folder = place.hub().model(&name("org/llama"), &mut watcher).unwrap();
    let files = contents(&folder);
    assert_eq!(files.keys().collect::<Vec<_>>(), NEEDED);
    assert!(files.iter().all(|(path, bytes)| llama().files[path] == *bytes));
    let size: usize = files.values().map(Vec::len).sum();
    assert_eq!(watcher.last, (size as u64, size as u64));
    assert!(watcher.notices.is_empty(), "{:?}", watcher.notices);
    let asked = place.asked();
    assert!(
        asked.iter().all(|path| !path.contains("onnx") && !path.contains(".bin") && !path.contains("vocab")),
        "{asked:?}"
    );
    assert_eq!(asked.iter().filter(|path| path.starts_with("/elsewhere/")).count(), 3, "{asked:?}");

    assert_eq!(place.llama().unwrap(), folder);
    assert_eq!(place.offline().model(&name("org/llama"), &mut ()).unwrap(), folder);
    assert!(place.asked().is_empty(), "it was there");
}

/// `fixtures/cache.py` made the same cache with `huggingface_hub`.
#[test]
fn the_cache_is_huggingface_hubs() {
    let place = Place::with_llama();
    place.server.put(
        "datasets/org/data",
        Repository::at("refs/convert/parquet", [("default/train/0000.parquet", bytes(1500, 6))]),
    );
    let hub = place.hub();
    hub.model(&name("org/llama"), &mut ()).unwrap();
    hub.data(&"org/data".parse().unwrap(), &mut ()).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cache.txt");
    let shown = |(path, bytes): (String, Vec<u8>)| match path.as_str() {
        // Whose words these are is all one.
        "CACHEDIR.TAG" => format!("{path} {}\n", String::from_utf8_lossy(&bytes).lines().next().unwrap()),
        _ if bytes.starts_with(b"-> ") => format!("{path} {}\n", String::from_utf8_lossy(&bytes)),
        _ => format!("{path} {}\n", test_material::hub::sha256(&bytes)),
    };
    let ours: String = inside(&place.cache()).into_iter().map(shown).collect();
    assert_eq!(ours, fs_err::read_to_string(fixture).unwrap());
}

#[test]
fn a_tokenizer_needs_no_weights() {
    let place = Place::with_llama();
    let folder = place.hub().tokenizer(&name("org/llama"), &mut ()).unwrap();
    assert_eq!(
        contents(&folder).keys().collect::<Vec<_>>(),
        ["config.json", "tokenizer.json", "tokenizer_config.json"]
    );
    place.asked();
    place.hub().tokenizer(&name("org/llama"), &mut ()).unwrap();
    assert!(place.asked().is_empty());
    // A model is not there yet, and what it shares with its tokenizer is not downloaded again.
    assert_eq!(place.llama().unwrap(), folder);
    let asked = place.asked();
    assert!(!asked.contains(&"tokenizer_config.json".to_owned()) && asked.len() > 3, "{asked:?}");
}

#[test]
fn one_gguf_file_is_a_model() {
    let place = Place::new();
    let (small, large) = (bytes(2000, 1), bytes(3000, 2));
    place
        .server
        .put("models/org/one-GGUF", Repository::new([("README.md", vec![]), ("m.gguf", small.clone())]));
    let several =
        [("config.json", b"{}".to_vec()), ("m.Q4.gguf", small.clone()), ("q8/m.Q8.gguf", large.clone())];
    place.server.put("models/org/two-GGUF", Repository::new(several));

    let one = place.hub().model(&name("org/one-GGUF"), &mut ()).unwrap();
    assert!(one.ends_with("m.gguf") && fs_err::read(&one).unwrap() == small);

    let unnamed = || place.hub().model(&name("org/two-GGUF"), &mut ());
    let all = said(unnamed());
    assert!(all.contains("m.Q4.gguf, q8/m.Q8.gguf") && all.contains("ORG/NAME:FILE"), "{all}");
    let q8 = place.hub().model(&name("org/two-GGUF:q8/m.Q8.gguf"), &mut ()).unwrap();
    assert_eq!(fs_err::read(&q8).unwrap(), large);
    assert!(!q8.with_file_name("m.Q4.gguf").exists());
    // That one of them is in the cache does not make it the one that is meant.
    assert_eq!(said(unnamed()), all);
    assert_eq!(said(place.offline().model(&name("org/two-GGUF"), &mut ())), all);
    let wrong = said(place.hub().model(&name("org/two-GGUF:m.Q5.gguf"), &mut ()));
    assert!(wrong.contains("no file `m.Q5.gguf`") && wrong.contains("did you mean `m.Q4.gguf`"), "{wrong}");
}

#[test]
fn metas_files_are_a_model() {
    let place = Place::new();
    let files =
        ["checklist.chk", "consolidated.00.pth", "consolidated.01.pth", "params.json", "tokenizer.model"];
    place
        .server
        .put("models/org/llama", Repository::new(files.map(|path| (path, bytes(1200, path.len() as u32)))));
    assert_eq!(
        contents(&place.llama().unwrap()).keys().collect::<Vec<_>>(),
        files[1..].iter().collect::<Vec<_>>()
    );
}

#[test]
fn revisions_are_kept_apart() {
    let place = Place::new();
    let mut repository = llama();
    let commit = repository.commit();
    repository.revisions.insert("refs/pr/3".to_owned(), commit.clone());
    place.server.put("models/org/llama", repository);
    let hub = place.hub();
    let folder = hub.model(&name("org/llama@refs/pr/3"), &mut ()).unwrap();
    assert_eq!(fs_err::read_to_string(place.root().join("refs/refs/pr/3")).unwrap(), commit);
    assert!(!place.root().join("refs/main").exists());
    place.asked();
    assert_eq!(hub.model(&name(&format!("org/llama@{commit}")), &mut ()).unwrap(), folder);
    assert!(place.asked().is_empty(), "a commit is what it is");
    assert!(!place.root().join("refs").join(&commit).exists());
    let none = said(hub.model(&name("org/llama@v9"), &mut ()));
    assert!(none.starts_with("the model org/llama has no revision `v9`"), "{none}");
}

/// Whoever gets a token that is the hub's may use it.
#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let place = Place::with_llama();
    place.as_user("hf_secret").model(&name("org/llama"), &mut ()).unwrap();
    let requests = place.server.requests();
    let (elsewhere, hub): (Vec<_>, Vec<_>) = requests.iter().partition(|r| r.path.starts_with("/elsewhere/"));
    assert_eq!(elsewhere.len(), 3);
    assert!(elsewhere.iter().all(|request| !request.headers.contains_key("authorization")));
    assert!(hub.iter().all(|request| request.headers["authorization"] == "Bearer hf_secret"));
    assert!(requests.iter().all(|request| request.headers["accept-encoding"] == "identity"));
}

#[test]
fn a_mirror_without_hashes_in_its_lists_is_asked_for_each_file() {
    let place = Place::with_llama();
    place.server.plain_lists();
    let folder = place.llama().unwrap();
    assert_eq!(contents(&folder).keys().collect::<Vec<_>>(), NEEDED);
    let requests = place.server.requests();
    assert_eq!(requests.iter().filter(|request| request.method == "HEAD").count(), NEEDED.len());
    assert!(!place.root().join("trees").exists(), "what is not known is not kept");
    assert_eq!(place.offline().model(&name("org/llama"), &mut ()).unwrap(), folder);
}
