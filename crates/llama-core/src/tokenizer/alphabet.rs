//! The byte-level alphabet: GPT-2's 256 printable characters, one for each byte, in which byte-level vocabularies are
//! written. Printable Latin-1 bytes stand for themselves, the others follow from U+0100 on in their order.

use std::collections::HashMap;
use std::fmt::Write as _;

/// The character of every byte.
pub(super) fn characters() -> [char; 256] {
    let mut others = '\u{100}'..;
    std::array::from_fn(|byte| match byte as u8 {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte as u8),
        _ => others.next().unwrap_or('\u{100}'),
    })
}

/// The byte of every character.
pub(super) fn bytes() -> HashMap<char, u8> {
    characters().into_iter().zip(0..=255).collect()
}

/// A token's bytes; `None` if it is not written in the alphabet.
pub(super) fn decode(token: &str, bytes: &HashMap<char, u8>) -> Option<Vec<u8>> {
    token.chars().map(|c| bytes.get(&c).copied()).collect()
}

/// Bytes for people to read, as SentencePiece writes them: `▁` for a space, `<0xE2>` for what is no character.
pub(super) fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace(' ', "▁"));
        for byte in chunk.invalid() {
            let _ = write!(text, "<0x{byte:02X}>"); // a String takes everything
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_gpt_2s() {
        let characters = characters();
        assert_eq!(characters[usize::from(b' ')], 'Ġ');
        assert_eq!(characters[usize::from(b'\n')], 'Ċ');
        assert_eq!(characters[0xAD], 'Ń');
        assert_eq!(characters[usize::from(b'a')], 'a');
        assert_eq!(bytes().len(), 256, "no character twice");
    }

    #[test]
    fn pieces_are_readable() {
        let bytes = bytes();
        let piece = |token: &str| readable(&decode(token, &bytes).expect("in the alphabet"));
        assert_eq!(piece("ĠTrue"), "▁True");
        assert_eq!(piece("âĢ"), "<0xE2><0x80>");
        assert_eq!(piece("Ã©"), "é");
        assert_eq!(decode("▁True", &bytes), None);
    }
}
