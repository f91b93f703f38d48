//! SentencePiece's compiled normalization rules, checked before the C++ library walks through them without looking.
//!
//! The rules are: the trie's size in bytes, the trie as a double array (Darts-clone) of 32-bit units, and the
//! replacement texts, each ended by a zero byte. A unit holds a label in its low byte; bit 31 marks a value; otherwise
//! bits 10 to 30 are an offset, shifted by a further 8 where bit 9 is set. From unit `i`, the byte `b` leads to unit
//! `i ^ offset ^ b`.

/// The longest replacement of NFKC has 33 bytes; what is longer multiplies a text.
const LONGEST: usize = 256;

/// Whether every step from every unit stays inside the trie, every value inside the texts, and no text is long.
pub(super) fn check(rules: &[u8]) -> Result<(), &'static str> {
    let (trie, texts) = parts(rules)?;
    if texts.split(|byte| *byte == 0).any(|text| text.len() > LONGEST) {
        return Err("a replacement has more than 256 bytes");
    }
    let units: Vec<u32> = trie.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
    for (i, unit) in units.iter().enumerate() {
        let inside = if unit >> 31 == 1 {
            (unit & 0x7fff_ffff) < texts.len() as u32
        } else {
            step(i, *unit) | 0xff < units.len()
        };
        if !inside {
            return Err("the trie leads out of itself");
        }
    }
    Ok(())
}

/// Whether the `tokenizers` crate can walk through rules that [`check`] has passed: it takes the texts for UTF-8 and every
/// value for the beginning of a character, and trusts the marks of leaves.
pub(super) fn check_for_crate(rules: &[u8]) -> Result<(), &'static str> {
    let (trie, texts) = parts(rules)?;
    let texts = std::str::from_utf8(texts).map_err(|_| "a replacement is no text")?;
    let units: Vec<u32> = trie.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
    let is_value = |unit: u32| unit >> 31 == 1;
    if units.first().is_none_or(|root| is_value(*root)) {
        return Err("the trie has no root");
    }
    for (i, unit) in units.iter().enumerate() {
        if is_value(*unit) {
            if !texts.is_char_boundary((unit & 0x7fff_ffff) as usize) {
                return Err("a replacement begins inside a character");
            }
        } else if unit >> 8 & 1 == 1 && !units.get(step(i, *unit)).is_some_and(|leaf| is_value(*leaf)) {
            return Err("a leaf of the trie has no value");
        }
    }
    Ok(())
}

/// The trie and the texts.
fn parts(rules: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let (size, rest) = rules.split_first_chunk::<4>().ok_or("they are too short")?;
    let (trie, texts) = rest
        .split_at_checked(u32::from_le_bytes(*size) as usize)
        .ok_or("the trie is longer than they are")?;
    if trie.is_empty() || !trie.len().is_multiple_of(1024) {
        return Err("the trie is no multiple of 256 units");
    }
    if texts.last() != Some(&0) {
        return Err("the last text has no end");
    }
    Ok((trie, texts))
}

/// The unit that unit `i` leads to, before the byte counts.
fn step(i: usize, unit: u32) -> usize {
    i ^ (((unit >> 10) as usize) << ((unit & (1 << 9)) >> 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(units: &[(usize, u32)], texts: &[u8]) -> Vec<u8> {
        let mut trie = [0u32; 256];
        for &(i, unit) in units {
            trie[i] = unit;
        }
        let trie = trie.into_iter().flat_map(u32::to_le_bytes);
        1024u32.to_le_bytes().into_iter().chain(trie).chain(texts.iter().copied()).collect()
    }

    #[test]
    fn steps_stay_inside() {
        assert_eq!(check(&rules(&[(0, 1 << 10), (1, 1 << 31)], b"a\0")), Ok(()));
        assert!(check(&rules(&[(0, 256 << 10)], b"a\0")).is_err(), "offset past the end");
        assert!(check(&rules(&[(0, (1 << 10) | (1 << 9))], b"a\0")).is_err(), "shifted offset past the end");
        assert!(check(&rules(&[(7, (1 << 31) | 2)], b"a\0")).is_err(), "value past the texts");
        assert!(check(&rules(&[], b"a")).is_err(), "text without end");
        assert!(check(b"abc").is_err() && check(&[0; 8]).is_err());
        assert!(check(&rules(&[], &[[b'a'; 257].as_slice(), b"\0"].concat())).is_err(), "a long text");
    }

    #[test]
    fn the_crates_steps_stay_inside() {
        // From the root with offset 256 the byte 1 leads to unit 257, which says that it has a leaf at 256.
        let two = |leaf: u32| {
            let mut rules = rules(&[], "é\0".as_bytes());
            rules.splice(..4, 2048u32.to_le_bytes());
            let more = rules.len() - 3;
            rules.splice(more..more, [0; 1024]);
            for (i, unit) in [(0usize, 256u32 << 10), (257, 1 << 8 | 1 << 10 | 1), (256, leaf)] {
                rules[4 + 4 * i..8 + 4 * i].copy_from_slice(&unit.to_le_bytes());
            }
            check(&rules).expect("inside");
            check_for_crate(&rules)
        };
        assert_eq!(two(1 << 31), Ok(()));
        assert!(two(0).is_err_and(|e| e.contains("leaf")));
        assert!(two(1 << 31 | 1).is_err_and(|e| e.contains("inside a character")));
    }
}
