//! What those who made data want its readers to know.

use activations::provenance::DataRecord;
use serde_json::Value;

/// Every text called `note` or `notes` in what the data says of itself, each once.
pub(crate) fn of(data: &DataRecord) -> Vec<String> {
    fn walk(name: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(name, value)| walk(name, value, found)),
            Value::Array(items) => items.iter().for_each(|value| walk(name, value, found)),
            Value::String(text) if (name == "note" || name == "notes") && !found.contains(text) => {
                found.push(text.clone());
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk("", &Value::Object(data.clone().into()), &mut found);
    found
}
