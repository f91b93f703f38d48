//! Meta's `tokenizer.model` of LLaMA 3: lines of a token's bytes in base64 and its rank, tiktoken's format.
//!
//! tiktoken joins, of all neighbours whose joined bytes are a token, the two with the lowest rank. As merges that is:
//! every way to cut a token into two tokens, in the order of the whole's rank. The special tokens follow the ranks
//! in the order of LLaMA 3's published list; LLaMA 3.1 and later give names to some of the reserved ones, not other ids.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokenizers::AddedToken;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::bpe::{Bpe, Parts};
use super::{Engine, MOST_TOKENS, Refusal, Tokenizer, alphabet, identity, split};

/// The longest token of LLaMA 3 is 128 spaces; work per token grows with the square of its length.
const LONGEST_TOKEN: usize = 1024;

/// Special tokens after the ranks.
const SPECIAL: usize = 256;

/// Whether a file begins with a line of base64 and a number.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    std::str::from_utf8(first).is_ok_and(|line| parse(line).is_ok())
}

/// Reads ranks.
pub(super) fn read(bytes: &[u8]) -> Result<Tokenizer, Refusal> {
    let tokens = tokens(bytes)?;
    let specials = specials();
    let special = |name: &str| specials.iter().position(|s| s == name).map(|i| (tokens.len() + i) as u32);
    let (bos, eos) = (special("<|begin_of_text|>"), ["<|end_of_text|>", "<|eot_id|>"].map(special));
    let characters = alphabet::characters();
    let written = |token: &[u8]| token.iter().map(|b| characters[usize::from(*b)]).collect::<String>();
    let merges = merges(&tokens).into_iter().map(|(left, right)| (written(left), written(right))).collect();
    let added = |(id, name): (usize, &String)| (id as u32, AddedToken::from(name.as_str(), true));
    let parts = Parts {
        vocab: (0u32..).zip(&tokens).map(|(rank, token)| (written(token), rank)).collect(),
        merges,
        ignore_merges: true,
        pre_tokenizer: Some(split::llama_3()?),
        decoder: Some(ByteLevel::default().into()),
        added: (tokens.len()..).zip(&specials).map(added).collect(),
        byte_level: true,
        ..Parts::default()
    };
    let (engine, pieces) = Bpe::new(parts)?;
    Ok(Tokenizer {
        engine: Engine::Bpe(Box::new(engine)),
        pieces,
        prefix: bos.into_iter().collect(),
        eos: eos.into_iter().flatten().collect(),
        identity: identity(&[bytes]),
        padded: false,
    })
}

/// LLaMA 3's 256 special tokens in their order.
fn specials() -> Vec<String> {
    let first = ["<|begin_of_text|>", "<|end_of_text|>"].map(str::to_owned);
    let header = ["<|start_header_id|>", "<|end_header_id|>"].map(str::to_owned);
    let reserved = |i| format!("<|reserved_special_token_{i}|>");
    let mut all: Vec<_> = first.into_iter().chain((0..4).map(reserved)).chain(header).collect();
    all.extend([reserved(4), "<|eot_id|>".to_owned()]);
    let named = all.len();
    all.extend((5..).map(reserved).take(SPECIAL - named));
    all
}

/// The tokens' bytes by rank.
fn tokens(file: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
    let text = std::str::from_utf8(file).map_err(|_| "a line is not text".to_owned())?;
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let at = |reason: String| Refusal::from(format!("line {}: {reason}", number + 1));
        let (token, rank) = parse(line).map_err(|reason| at(reason.to_owned()))?;
        if rank != tokens.len() {
            return Err(at(format!("rank {rank} where {} follows; ranks are 0, 1, 2, …", tokens.len())));
        }
        if rank >= MOST_TOKENS {
            return Err(at(format!("rank {rank} is more than any vocabulary has")));
        }
        tokens.push(token);
    }
    let mut known = [false; 256];
    for token in &tokens {
        if let [byte] = token[..] {
            known[usize::from(byte)] = true;
        }
    }
    match known.iter().position(|known| !known) {
        Some(byte) => Err(format!("the byte {byte:#04x} is no token, so not every text can be cut").into()),
        None => Ok(tokens),
    }
}

fn parse(line: &str) -> Result<(Vec<u8>, usize), &'static str> {
    let (token, rank) = line.split_once(' ').ok_or("not a token in base64, a space and a rank")?;
    let token = STANDARD.decode(token).map_err(|_| "the token is not base64")?;
    let rank = rank.parse().map_err(|_| "the rank is no number")?;
    match token.len() {
        0 => Err("the token is empty"),
        1..=LONGEST_TOKEN => Ok((token, rank)),
        _ => Err("the token is longer than 1024 bytes"),
    }
}

/// Every way to cut a token into two tokens: by the whole's rank, then by the parts'.
fn merges(tokens: &[Vec<u8>]) -> Vec<(&[u8], &[u8])> {
    let ranks: HashMap<&[u8], usize> = tokens.iter().map(Vec::as_slice).zip(0..).collect();
    let mut merges = Vec::new();
    for token in tokens {
        let cuts = (1..token.len()).map(|at| token.split_at(at));
        let mut cuts: Vec<_> = cuts
            .filter_map(|(left, right)| Some(((*ranks.get(left)?, *ranks.get(right)?), (left, right))))
            .collect();
        cuts.sort_unstable_by_key(|(ranks, _)| *ranks);
        merges.extend(cuts.into_iter().map(|(_, cut)| cut));
    }
    merges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_tokens_stand_where_llama_3_has_them() {
        let specials = specials();
        assert_eq!(specials.len(), 256);
        // LLaMA 3's ids, of 128,000 ranks.
        for (id, name) in [
            (128_000, "<|begin_of_text|>"),
            (128_001, "<|end_of_text|>"),
            (128_002, "<|reserved_special_token_0|>"),
            (128_005, "<|reserved_special_token_3|>"),
            (128_006, "<|start_header_id|>"),
            (128_007, "<|end_header_id|>"),
            (128_008, "<|reserved_special_token_4|>"),
            (128_009, "<|eot_id|>"),
            (128_010, "<|reserved_special_token_5|>"),
            (128_255, "<|reserved_special_token_250|>"),
        ] {
            assert_eq!(specials[id - 128_000], name);
        }
    }

    #[test]
    fn merges_are_every_cut_in_the_order_of_ranks() {
        let tokens = ["a", "b", "ab", "ba", "aba"].map(|t| t.as_bytes().to_vec());
        let text =
            |(l, r): (&[u8], &[u8])| format!("{}+{}", String::from_utf8_lossy(l), String::from_utf8_lossy(r));
        let merges: Vec<_> = merges(&tokens).into_iter().map(text).collect();
        assert_eq!(merges, ["a+b", "b+a", "a+ba", "ab+a"]);
    }
}
