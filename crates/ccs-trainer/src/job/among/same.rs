//! Whether all ranks are about to do the same.

use std::collections::BTreeMap;

use serde_json::Value;
use tch::Device;
use torch_runtime::dist::Ranks;

use crate::engine::plan::Plan;
use crate::resume::key::about;
use crate::{Error, Result};

/// The longest value that is shown.
const SHOWN: usize = 100;

/// Refuses, on all ranks, what differs on one of them: other data, other settings, another version, another kind of CPU.
pub(super) fn check(plan: &Plan<'_>, ranks: &Ranks) -> Result<()> {
    let own = parts(plan);
    let first: BTreeMap<String, String> = ranks.decided("run", || Ok::<_, Error>(own.clone()))?;
    Ok(ranks.agreed("run", objection(&first, &own))?)
}

/// All that results depend on, by name; what is long by its hash.
fn parts(plan: &Plan<'_>) -> BTreeMap<String, String> {
    // Every rank has a GPU of its own.
    let device = if plan.device == Device::Cpu { Device::Cpu } else { Device::Cuda(0) };
    let about = about(plan.source, &plan.settings, device, &plan.split.report.id);
    let mut parts = BTreeMap::new();
    take("", &about, &mut parts);
    parts
}

fn take(name: &str, value: &Value, parts: &mut BTreeMap<String, String>) {
    if let Value::Object(fields) = value {
        for (field, value) in fields {
            let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
            take(&name, value, parts);
        }
        return;
    }
    let text = value.to_string();
    let shown =
        if text.len() > SHOWN { blake3::hash(text.as_bytes()).to_hex()[..16].to_owned() } else { text };
    parts.insert(name.to_owned(), shown);
}

/// What a rank has to say against rank 0's run.
fn objection(first: &BTreeMap<String, String>, own: &BTreeMap<String, String>) -> Option<String> {
    let names: std::collections::BTreeSet<&String> = first.keys().chain(own.keys()).collect();
    let of = |parts: &BTreeMap<String, String>, name: &String| {
        parts.get(name).cloned().unwrap_or_else(|| "nothing".to_owned())
    };
    let differs = names.into_iter().filter(|name| first.get(*name) != own.get(*name));
    let lines: Vec<String> =
        differs.map(|name| format!("  {name}: {} → {}", of(first, name), of(own, name))).collect();
    (!lines.is_empty()).then(|| format!("differs from rank 0 (rank 0 → its own):\n{}", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &Value) -> BTreeMap<String, String> {
        let mut parts = BTreeMap::new();
        take("", value, &mut parts);
        parts
    }

    #[test]
    fn what_differs_is_named() {
        let long: Vec<usize> = (0..100).collect();
        let one = of(&serde_json::json!({ "settings": { "seed": 0, "ccs": { "l2": 0.0 } }, "rows": long }));
        assert_eq!(objection(&one, &one), None);
        let other =
            serde_json::json!({ "settings": { "seed": 7, "ccs": { "l2": 0.0 } }, "rows": [1], "x": 1 });
        let said = objection(&one, &of(&other)).unwrap();
        assert!(said.contains("  settings.seed: 0 → 7") && said.contains("  x: nothing → 1"), "{said}");
        assert!(said.contains("  rows: ") && said.ends_with("nothing → 1") && !said.contains("l2"), "{said}");
    }
}
