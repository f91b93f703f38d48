//! How much room a text needs.

/// An upper estimate of a text's width in the common sans-serif fonts. The viewer picks the font, so this cannot be exact.
pub(super) fn text_width(text: &str, size: i32) -> i32 {
    let hundredths = |c: char| match c {
        'i' | 'j' | 'l' | 'f' | 'r' | 't' | ' ' | ',' | '.' | ':' => 36,
        'm' | 'w' | '%' => 95,
        c if c.is_uppercase() => 70,
        _ => 62,
    };
    (text.chars().map(hundredths).sum::<i32>() * size + 99) / 100
}

/// The text, cut with an ellipsis where it is wider than `width` pixels.
pub(super) fn fitting(text: &str, size: i32, width: i32) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for c in text.chars() {
        cut.push(c);
        if text_width(&cut, size) > width - size {
            cut.pop();
            break;
        }
    }
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_end_in_an_ellipsis() {
        assert_eq!(fitting("short", 12, 100), "short");
        let cut = fitting(&"long ".repeat(40), 12, 100);
        assert!(cut.ends_with('…') && text_width(&cut, 12) <= 110, "{cut}");
    }
}
