//! What a misspelled name may have meant.

/// Names less similar than this are not suggested. A typing error leaves at least half of a short name's letters in
/// place; a name with less in common is another word.
const ALIKE: f64 = 0.5;

/// The name among `known` that is most similar to `name`, if any is similar enough. Case does not matter.
///
/// ```
/// assert_eq!(host::nearest("block.1", ["hook_embed", "blocks.1"]), Some("blocks.1"));
/// assert_eq!(host::nearest("xyz", ["hook_embed", "blocks.1"]), None);
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for known in known {
        // Edits with swaps, as a share of the longer name: 1 for the same name, 0 for nothing in common.
        let likeness = strsim::normalized_damerau_levenshtein(&known.to_lowercase(), &name);
        // Of equals the first, so that the order of `known` decides.
        if likeness > ALIKE && best.is_none_or(|(other, _)| likeness > other) {
            best = Some((likeness, known));
        }
    }
    best.map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_forgiven_and_other_words_are_not() {
        let known = ["ccs", "label", "llama-ccs", "lr"];
        for (name, meant) in
            [("cs", "ccs"), ("lable", "label"), ("LLaMA-CCS", "llama-ccs"), ("llamaccs", "llama-ccs")]
        {
            assert_eq!(nearest(name, known), Some(meant), "{name}");
        }
        for other in ["", "xyz", "question"] {
            assert_eq!(nearest(other, known), None, "{other}");
        }
        assert_eq!(nearest("ac", ["ab", "ad", "ac1"]), Some("ac1"));
        assert_eq!(nearest("abx", ["aby", "abz"]), Some("aby"), "of equals the first");
    }
}
