//! Meta's `tokenizer.model` of LLaMA 3: lines of a token's bytes in base64 and its rank, tiktoken's format.
//!
//! tiktoken joins, of all neighbors whose joined bytes are a token, the two with the lowest rank. As merges that is:
//! every way to cut a token into two tokens, in the order of the whole's rank. The special tokens follow the ranks
//! in the order of LLaMA 3's published list; LLaMA 3.1 and later give names to some of the reserved ones, not other ids.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokenizers::AddedToken;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::bpe::{Added, Bpe, Built, Parts};
use super::sidecars::{Context, Sidecars};
use super::{Engine, MOST_TOKENS, Refusal, Tokenizer, alphabet, identity, split};

/// The longest token of LLaMA 3 is 128 spaces; work per token grows with the square of its length.
const LONGEST: usize = 1024;

/// Special tokens after the ranks.
const SPECIAL: usize = 256;

/// Whether a file begins with a line of base64 and a number.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    std::str::from_utf8(first).is_ok_and(|line| parse(line).is_ok())
}

/// Reads ranks. Sidecars decide as in transformers (`TikTokenConverter`), with one difference: where
/// `added_tokens_decoder` names no tokens after the ranks, they are LLaMA 3's 256, which transformers does not know.
pub(super) fn read(bytes: &[u8], sidecars: &Sidecars) -> Result<Tokenizer, Refusal> {
    sidecars.check(false)?;
    let tokens = tokens(bytes)?;
    let after: BTreeMap<_, _> =
        sidecars.renames()?.into_iter().filter(|(id, _)| *id as usize >= tokens.len()).collect();
    let specials = match after.last_key_value() {
        None => specials(),
        Some((last, _)) if *last as usize >= MOST_TOKENS => {
            return Err(format!("added_tokens_decoder: id {last} is more than any vocabulary has").into());
        }
        Some((last, _)) => (tokens.len() as u32..=*last)
            .map(|id| {
                after
                    .get(&id)
                    .map_or_else(|| format!("<|reserved_token_{id}|>"), |token| token.content.clone())
            })
            .collect(),
    };
    let characters = alphabet::characters();
    let written = |token: &[u8]| token.iter().map(|b| characters[usize::from(*b)]).collect::<String>();
    let merges = merges(&tokens).into_iter().map(|(left, right)| (written(left), written(right))).collect();
    let added = |(id, name): (usize, &String)| Added {
        id: Some(id as u32),
        token: AddedToken::from(name.as_str(), true),
    };
    let own = (tokens.len()..).zip(&specials).map(added).collect();
    let parts = Parts {
        vocab: (0u32..).zip(&tokens).map(|(rank, token)| (written(token), rank)).collect(),
        merges,
        ignore_merges: true,
        cuts: split::llama_3()?,
        decoder: Some(ByteLevel::default().into()),
        added: sidecars.added(&Context { own, ..Context::default() })?,
        split_special: sidecars.flag("split_special_tokens")?.unwrap_or(false),
        byte_level: true,
        ..Parts::default()
    };
    let Built { engine, pieces, ordinary } = Bpe::build(parts)?;
    let ids: HashMap<&str, u32> = pieces.iter().map(String::as_str).zip(0..).collect();
    let find = |name: &str| ids.get(name).copied();
    let bos = if sidecars.any() { sidecars.bos(None, false)? } else { Some("<|begin_of_text|>".to_owned()) };
    let prefix =
        bos.map(|bos| find(&bos).ok_or_else(|| format!("bos_token {bos:?} is not in the vocabulary")));
    let own_eos = || ["<|end_of_text|>", "<|eot_id|>"].iter().filter_map(|name| find(name)).collect();
    let prefix = prefix.transpose()?.into_iter().collect();
    let mut eos = sidecars.eos(&find).unwrap_or_else(own_eos);
    eos.retain(|id| pieces.get(*id as usize).is_some_and(|piece| !piece.is_empty()));
    let identity = identity(&sidecars.parts(bytes));
    Ok(Tokenizer::new(Engine::Bpe(Box::new(engine)), pieces, prefix, eos, identity, ordinary))
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
        1..=LONGEST => Ok((token, rank)),
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
