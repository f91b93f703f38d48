//! How byte-level vocabularies cut text into words before merging: the published regular expressions.

use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

use super::Refusal;
use super::steps::{Cut, Find};

/// LLaMA 3: contractions, words, up to three digits, punctuation, line ends, space.
const LLAMA_3: &[&str] = &[concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)];

/// GPT-2: like LLaMA 3's, with any number of digits and contractions in lower case.
const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// `SmolLM`: every digit alone, then GPT-2.
const SMOLLM: &[&str] = &[r"\p{N}", GPT_2];

/// What llama.cpp calls `default`: runs of punctuation, GPT-2, runs of digits, three digits.
const DEFAULT: &[&str] = &[r"[\p{P}\$\+<=>\^~\|]+", GPT_2, r"\p{N}+", "[0-9][0-9][0-9]"];

/// LLaMA 3's splitting.
pub(super) fn llama_3() -> Result<Vec<Cut>, Refusal> {
    byte_level(LLAMA_3)
}

/// The splitting that GGUF's `tokenizer.ggml.pre` names, and whether it is LLaMA 3's.
pub(super) fn named(pre: &str) -> Result<(Vec<Cut>, bool), Refusal> {
    let (patterns, llama_3): (&[&str], _) = match pre {
        "llama-bpe" | "llama3" | "llama-v3" => (LLAMA_3, true),
        "smollm" => (SMOLLM, false),
        "gpt-2" | "gpt2" => (&[GPT_2], false),
        "default" => (DEFAULT, false),
        _ => {
            return Err(Refusal::new(
                format!("how the vocabulary cuts text is {pre:?} (tokenizer.ggml.pre), which is not known"),
                "known are llama-bpe, llama3, llama-v3, smollm, gpt-2, gpt2 and default; give the model's own \
                 tokenizer.json",
            ));
        }
    };
    Ok((byte_level(patterns)?, llama_3))
}

/// GPT-2's splitting, before the bytes.
pub(super) fn gpt_2() -> Result<Cut, String> {
    isolated(GPT_2)
}

/// The patterns one after the other, each on the pieces the ones before left; then bytes.
fn byte_level(patterns: &[&str]) -> Result<Vec<Cut>, Refusal> {
    let mut steps = patterns.iter().map(|pattern| isolated(pattern)).collect::<Result<Vec<_>, _>>()?;
    steps.push(Cut::Other(PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, false))));
    Ok(steps)
}

fn isolated(pattern: &str) -> Result<Cut, String> {
    let behavior = SplitDelimiterBehavior::Isolated;
    Ok(Cut::Split { find: Find::regex(pattern)?, behavior, invert: false })
}
