//! What a source says of itself, in words for a report.

use serde_json::Value;

/// Which states were read: `at the last token, computed in bf16 and kept in f32`.
pub(crate) fn states(data: &Value) -> Option<String> {
    let text = |pointer: &str| data.pointer(pointer).and_then(Value::as_str);
    let tokens = text("/tokens").map(|rule| match rule {
        "last" => "at the last token".to_owned(),
        "first" => "at the first token".to_owned(),
        "mean" => "at the mean of all tokens".to_owned(),
        "answer_mean" => "at the mean of the answer's tokens".to_owned(),
        other => format!("at the tokens `{other}`"),
    });
    let computed = text("/made_by/extraction/precision").map(|precision| format!("computed in {precision}"));
    let kept = text("/dtype").map(|dtype| format!("kept in {dtype}"));
    let types: Vec<String> = [computed, kept].into_iter().flatten().collect();
    let types = Some(types.join(" and ")).filter(|text| !text.is_empty());
    let edited = data.pointer("/made_by/edits").is_some_and(|edits| !edits.is_null());
    let edited = edited.then(|| "of a model that was edited on the way".to_owned());
    let parts: Vec<String> = [tokens, types, edited].into_iter().flatten().collect();
    Some(parts.join(", ")).filter(|text| !text.is_empty())
}

/// What the data is, in a few words each; sources say it in their own way, so all of it is optional.
pub(crate) fn about(data: &Value, states: Option<String>) -> Vec<String> {
    let text = |pointer: &str| data.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let number = |pointer: &str| data.pointer(pointer).and_then(Value::as_u64);
    let either = |pointers: [&str; 2]| pointers.into_iter().find_map(text);
    let short = |hash: String| hash.chars().take(12).collect::<String>();
    let size = number("/made_by/model/config/n_layers")
        .zip(number("/made_by/model/config/dim"))
        .map(|(layers, dim)| format!("{layers} blocks of width {dim}"));
    let model = either(["/made_by/model/name", "/model"])
        .map(|name| format!("model {name}"))
        .or_else(|| text("/made_by/model/layout").map(|layout| format!("checkpoint {layout}")));
    [
        either(["/dataset", "/made_by/dataset"]).map(|name| format!("dataset {name}")),
        model,
        size,
        states.map(|states| format!("states {states}")),
        text("/made_by/model/identity").map(|hash| format!("model hash {}", short(hash))),
        text("/fingerprint").map(|hash| format!("store {}", short(hash))),
        number("/rows").map(|rows| format!("{rows} pairs")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Every text called `note` or `notes` in what the data says of itself.
pub(crate) fn notes(data: &Value) -> Vec<String> {
    fn walk(name: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(name, value)| walk(name, value, found)),
            Value::Array(items) => items.iter().for_each(|value| walk(name, value, found)),
            Value::String(text) if name == "note" || name == "notes" => found.push(text.clone()),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk("", data, &mut found);
    found
}
