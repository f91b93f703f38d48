//! Which crate may know which: the layering of ARCHITECTURE.md.

use crate::metadata::Workspace;

/// LibTorch's bindings.
const LIBTORCH: [&str; 3] = ["torch-runtime", "tch", "torch-sys"];

/// Crates, and what none of them may depend on, neither directly nor through others. A crate that is not there yet depends
/// on nothing.
const FORBIDDEN: [(&str, &[&str], &str); 6] = [
    (
        "ccs-report",
        &["ccs", "ccs-trainer", "activations", "boolq", "llama-core"],
        "a report is data, sentences and figures",
    ),
    ("ccs-report", &LIBTORCH, "a report is drawn without LibTorch"),
    (
        "ccs",
        &[
            "ccs-report",
            "ccs-trainer",
            "activations",
            "boolq",
            "llama-core",
            "polars",
            "minijinja",
            "plotters",
        ],
        "a probe is fitted from tensors alone",
    ),
    ("ccs-trainer", &["boolq", "llama-core"], "the trainer knows states, not models or prompts"),
    ("boolq", &LIBTORCH, "prompts are made without LibTorch"),
    ("activations", &LIBTORCH, "stores are read without LibTorch"),
];

/// Every forbidden arrow, with the way it takes.
pub fn check(workspace: &Workspace) -> Vec<String> {
    let pairs = FORBIDDEN.iter().flat_map(|(from, to, why)| to.iter().map(move |to| (from, to, why)));
    let found = pairs.filter_map(|(from, to, why)| {
        let way = workspace.way(from, to)?;
        Some(format!("`{from}` must not depend on `{to}`, and does: {} ({why})", way.join(" -> ")))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::workspace;

    #[test]
    fn forbidden_arrows_are_found_at_any_distance() {
        let arrows = [
            ("ccs-report", "host", ""),
            ("host", "tch", ""),
            ("ccs", "activations", "dev"),
            ("ccs-trainer", "ccs", ""),
            ("ccs", "polars", ""),
            ("boolq", "polars", ""),
        ];
        let found = check(&workspace(&["ccs-report", "ccs", "ccs-trainer", "boolq", "activations"], &arrows));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("ccs-report -> host -> tch"), "{found:?}");
        assert!(found[1].contains("ccs -> polars"), "{found:?}");
        assert!(check(&workspace(&["llama-ccs"], &[("llama-ccs", "tch", "")])).is_empty());
    }
}
