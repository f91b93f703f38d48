//! What of a text tells it from another: neither letter case nor Unicode form nor white space does.

use unicode_normalization::UnicodeNormalization as _;

/// The text in NFKC, its letters small, its words separated by one space.
///
/// Letters are first made capital, then small: `ß` and `SS`, `ς` and `σ`, `ſ` and `s` are one letter in two cases. Each
/// is taken by itself, since Rust's `to_lowercase` looks at a capital sigma's neighbors. NFKC comes first, so that
/// letters of compatibility forms have their case, and again at the end, since changes of case may take forms apart.
pub(super) fn normalized(text: &str) -> String {
    let folded: String =
        text.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect();
    let mut words = folded.split_whitespace();
    let mut normalized = String::with_capacity(folded.len());
    normalized.extend(words.next());
    for word in words {
        normalized.push(' ');
        normalized.push_str(word);
    }
    normalized
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn case_form_and_white_space_go() {
        // Left and right of each line are one text; e + U+0301 is é, U+FB01 the ligature fi, U+00A0 a space.
        for (one, other) in [
            ("Straße", "STRASSE"),
            ("ΟΔΟΣ Σ", "οδος ς"),
            ("cafe\u{301}", "CAFÉ"),
            ("\u{fb01}n", "Fin"),
            ("Ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
            ("a\u{a0}b\r\n\tc ", "A B C"),
            ("İstanbul", "i\u{307}stanbul"),
            ("x²", "X2"),
        ] {
            assert_eq!(normalized(one), normalized(other), "{one} {other}");
        }
        assert_ne!(normalized("ab"), normalized("a b"));
        assert_ne!(normalized("resume"), normalized("résumé"), "marks are letters' own");
        assert_eq!(normalized(" \n"), "");
        assert_eq!(normalized("a b"), "a b");
    }

    proptest! {
        #[test]
        fn normalizing_again_changes_nothing(text in "[a-zA-ZßçéÀ-ÿΑ-ωЀ-ӿ０-ｚﬀ-ﬆ²½ \u{301}\u{308}\n]{0,40}") {
            let once = normalized(&text);
            prop_assert_eq!(normalized(&once), once.clone());
            prop_assert_eq!(normalized(&text.to_uppercase()), once.clone());
            prop_assert_eq!(normalized(&text.to_lowercase()), once.clone());
            prop_assert_eq!(normalized(&text.nfd().collect::<String>()), once.clone());
            prop_assert_eq!(normalized(&text.nfkc().collect::<String>()), once);
        }
    }
}
