//! SentencePiece's compiled normalisation rules, checked before the C++ library walks through them without looking.
//!
//! The rules are: the trie's size in bytes, the trie as a double array (Darts-clone) of 32-bit units, and the
//! replacement texts, each ended by a zero byte. A unit holds a label in its low byte; bit 31 marks a value; otherwise
//! bits 10 to 30 are an offset, shifted by a further 8 where bit 9 is set. From unit `i`, the byte `b` leads to unit
//! `i ^ offset ^ b`.

/// Whether every step from every unit stays inside the trie, and every value inside the texts.
pub(super) fn check(rules: &[u8]) -> Result<(), &'static str> {
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
    let units: Vec<u32> = trie.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
    for (i, unit) in units.iter().enumerate() {
        let inside = if unit >> 31 == 1 {
            (unit & 0x7fff_ffff) < texts.len() as u32
        } else {
            let offset = ((unit >> 10) as usize) << ((unit & (1 << 9)) >> 6);
            (i ^ offset) | 0xff < units.len()
        };
        if !inside {
            return Err("the trie leads out of itself");
        }
    }
    Ok(())
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
    }
}
