//! Token rules: which token of a prompt the stored state is that of. Each is a column of its own in the store.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use llama_core::Tokens;
use serde::{Deserialize, Serialize};

use super::examples::Prompt;

/// Which token's state is stored for a prompt. Padding is never a token, BOS is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenRule {
    /// The last token, in most templates the end of the answer: the default.
    Last,
    /// The first token. Where that is BOS its state is the same for every prompt.
    First,
    /// The mean over all tokens of the prompt, taken in the type the model computes in.
    Mean,
    /// The mean over all tokens of the whole answer, taken in f64.
    AnswerMean,
    /// The last token of the answer, whatever follows it: in a chat, the one before the template ends the turn.
    AnswerLast,
    /// Every token: a state for each of them, BOS included.
    All,
}

impl TokenRule {
    /// All rules, in the order of a store's columns.
    pub const ALL: [Self; 6] =
        [Self::Last, Self::First, Self::Mean, Self::AnswerMean, Self::AnswerLast, Self::All];

    /// Whether the states are of the tokens of an answer, which single statements do not have.
    pub fn is_of_answers(self) -> bool {
        matches!(self, Self::AnswerMean | Self::AnswerLast)
    }

    /// The name in stores and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::First => "first",
            Self::Mean => "mean",
            Self::AnswerMean => "answer_mean",
            Self::AnswerLast => "answer_last",
            Self::All => activations::ALL_TOKENS,
        }
    }

    /// What the model is asked to show of each prompt.
    pub(super) fn tokens(self, prompts: &[&Prompt<'_>]) -> Tokens {
        match self {
            Self::Last => Tokens::Last,
            Self::First => Tokens::First,
            Self::Mean => Tokens::Mean,
            Self::All => Tokens::All,
            Self::AnswerMean => Tokens::At(prompts.iter().map(|prompt| answer(prompt).collect()).collect()),
            Self::AnswerLast => Tokens::At(
                prompts.iter().map(|prompt| answer(prompt).next_back().into_iter().collect()).collect(),
            ),
        }
    }

    /// How many states are stored for a prompt.
    pub(super) fn states_of(self, prompt: &Prompt<'_>) -> usize {
        if self == Self::All { prompt.ids.len() } else { 1 }
    }

    /// What is stored, from what the model showed.
    ///
    /// # Shapes
    /// `shown`: \[S, …\], flat, S tokens prompt after prompt → \[prompts, …\], flat; \[S, …\] for all tokens
    pub(super) fn reduce(self, shown: Vec<f32>, prompts: &[&Prompt<'_>]) -> Vec<f32> {
        if self != Self::AnswerMean {
            return shown;
        }
        let tokens: usize = prompts.iter().map(|prompt| answer(prompt).len()).sum();
        let width = shown.len() / tokens.max(1);
        let mut means = Vec::with_capacity(prompts.len() * width);
        let mut rest = shown.as_slice();
        for prompt in prompts {
            let length = answer(prompt).len();
            let (own, others) = rest.split_at(length * width);
            rest = others;
            let sum = |at: usize| own.iter().skip(at).step_by(width).map(|&v| f64::from(v)).sum::<f64>();
            means.extend((0..width).map(|at| (sum(at) / length as f64) as f32));
        }
        means
    }
}

/// The answer's tokens. None of a prompt without one, over which no rule that asks for them is run.
fn answer(prompt: &Prompt<'_>) -> Range<usize> {
    prompt.answer.clone().unwrap_or(0..0)
}

impl fmt::Display for TokenRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TokenRule {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|rule| rule.name() == name)
            .ok_or_else(|| format!("`{name}` is none of {}", known()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_are_the_serialized_ones() {
        for rule in TokenRule::ALL {
            assert_eq!(rule.name().parse::<TokenRule>(), Ok(rule));
            assert_eq!(serde_json::to_value(rule).expect("text"), rule.name());
        }
        assert_eq!(
            "answer".parse::<TokenRule>(),
            Err("`answer` is none of last, first, mean, answer_mean, answer_last, all".to_owned())
        );
    }

    #[test]
    fn a_mean_over_the_answer_is_of_each_prompts_own_tokens() {
        let prompt = |answer| Prompt { text: "", ids: &[0; 6], answer: Some(answer) };
        let prompts = [prompt(2..4), prompt(5..6)];
        let rule = TokenRule::AnswerMean;
        assert_eq!(rule.tokens(&prompts.each_ref()), Tokens::At(vec![vec![2, 3], vec![5]]));
        let means = rule.reduce(vec![1.0, 2.0, 3.0, 6.0, 5.0, 7.0], &prompts.each_ref());
        assert_eq!(means, [2.0, 4.0, 5.0, 7.0]);
    }
}
