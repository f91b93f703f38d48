//! Log-probabilities of given continuations, as lm-evaluation-harness asks for them (`loglikelihood`).
//!
//! `mod.rs` runs the model, `plan.rs` decides which texts are laid out together.

use tch::{Kind, Tensor};

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::hooks::{Capture, HookPoint, Tokens};
use crate::model::{Forward, Llama};
use crate::tokenizer::Tokenizer;

mod plan;

/// Batches that a model on disk takes through each block before it reads the next one.
const TOGETHER: usize = 16;

/// A text whose end is scored: the tokens of a context, and those that may follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continuation {
    /// The context, BOS included where there is one; at least one token.
    pub context: Vec<u32>,
    /// What is scored; at least one token.
    pub ids: Vec<u32>,
}

/// How probable a continuation is after its context.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// log P(token | everything before it) of each of its tokens, natural logarithm.
    pub log_probs: Vec<f64>,
    /// Whether each of them is the token that greedy decoding takes.
    pub is_greedy: bool,
}

impl Score {
    /// log P(continuation | context): the sum over its tokens.
    pub fn sum(&self) -> f64 {
        self.log_probs.iter().sum()
    }

    /// The mean over its tokens, which continuations of different lengths are compared by.
    pub fn mean(&self) -> f64 {
        self.sum() / self.log_probs.len() as f64
    }
}

impl Continuation {
    /// What the model reads: all tokens but the last, which nothing comes after.
    fn read(&self) -> Vec<u32> {
        [&self.context[..], &self.ids[..self.ids.len() - 1]].concat()
    }

    /// Positions of the tokens whose logits say how probable those of the continuation are.
    fn before(&self) -> std::ops::Range<usize> {
        self.context.len() - 1..self.context.len() - 1 + self.ids.len()
    }
}

impl Tokenizer {
    /// The tokens of a context and of what follows it, as lm-evaluation-harness makes them (`_encode_pair`): white space at
    /// the context's end moves to the continuation, both together are encoded, and the result is split where the context
    /// encoded alone ends. For an empty context that is BOS where the tokenizer puts one in front, else the token that ends
    /// texts.
    ///
    /// ```
    /// # use llama_core::{Tokenizer, word_model};
    /// let words = ["▁The", "▁cat", "▁sat", "."].map(str::to_owned);
    /// let tokenizer = Tokenizer::from_bytes(&word_model(&words), "words")?;
    /// let pair = tokenizer.continuation("The cat ", "sat.")?;
    /// let pieces = |ids: &[u32]| ids.iter().map(|&id| tokenizer.piece(id).to_owned()).collect::<Vec<_>>();
    /// assert_eq!((pieces(&pair.context), pieces(&pair.ids)), (
    ///     ["<s>", "▁The", "▁cat"].map(str::to_owned).to_vec(),
    ///     ["▁sat", "."].map(str::to_owned).to_vec(),
    /// ));
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tokenizer::encode`]; [`Error::NoContinuation`] where no tokens are left to score, or nothing stands before them.
    pub fn continuation(&self, context: &str, text: &str) -> Result<Continuation> {
        // What Python's `str.rstrip` takes: besides Unicode's white space four separators of ASCII.
        let head = context.trim_end_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c));
        let mut before = self.ids(head)?;
        let whole = self.ids(&format!("{context}{text}"))?;
        let ids = whole.get(before.len()..).unwrap_or_default().to_vec();
        if before.is_empty() {
            before.extend(self.eos().first());
        }
        let nothing = |reason| Err(Error::NoContinuation { text: text.to_owned(), reason });
        if before.is_empty() {
            return nothing("its context is empty, and the tokenizer has no token to put in front");
        }
        if ids.is_empty() {
            return nothing("no tokens of it are left after those of its context");
        }
        Ok(Continuation { context: before, ids })
    }
}

impl Llama {
    /// Scores continuations, in their order. Texts that begin alike are laid out as trees, so that a context costs once
    /// however many continuations it has, and a beginning that many contexts share (few-shot examples) costs once a batch.
    /// Only the tokens that are scored are taken through the unembedding; the soft maximum is taken in f64.
    ///
    /// `batch_tokens` is the most tokens of a batch, padding included; a longer text is a batch of its own.
    ///
    /// ```
    /// # use llama_core::{Config, Continuation, Llama, Precision};
    /// # let config = Config { dim: 8, n_layers: 2, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    /// #     vocab_size: 10, ..Config::default() };
    /// # let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
    /// let choices = [vec![4], vec![5, 6]].map(|ids| Continuation { context: vec![1, 2, 3], ids });
    /// let scores = llama.score(&choices, 2048)?;
    /// let likelier = usize::from(scores[1].sum() > scores[0].sum());
    /// # assert!(likelier < 2 && scores[1].log_probs.len() == 2);
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoContinuation`] for a context or a continuation without tokens, a token outside the vocabulary,
    /// [`Error::Headless`], [`Error::NonFiniteLogits`] (prompts are counted as `continuations` are).
    pub fn score(&self, continuations: &[Continuation], batch_tokens: usize) -> Result<Vec<Score>> {
        self.score_with(continuations, batch_tokens, &mut |_| {})
    }

    /// As [`Llama::score`]; `done` is told after each batch how many continuations have been scored so far.
    ///
    /// # Errors
    /// As [`Llama::score`].
    pub fn score_with(
        &self,
        continuations: &[Continuation],
        batch_tokens: usize,
        done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Score>> {
        for own in continuations {
            let reason = match (own.context.is_empty(), own.ids.is_empty()) {
                (true, _) => "its context has no tokens",
                (_, true) => "it has no tokens",
                _ => continue,
            };
            return Err(Error::NoContinuation { text: format!("{:?}", own.ids), reason });
        }
        let texts: Vec<Vec<u32>> = continuations.iter().map(Continuation::read).collect();
        let planned = plan::batches(&texts, batch_tokens);
        let mut scores: Vec<Option<Score>> = vec![None; continuations.len()];
        let mut scored = 0;
        for some in planned.chunks(if self.is_streamed() { TOGETHER } else { 1 }) {
            for (numbers, own) in some.iter().zip(self.score_batches(continuations, &texts, some)?) {
                for (number, score) in numbers.concat().into_iter().zip(own) {
                    scores[number] = Some(score);
                    scored += 1;
                }
            }
            done(scored);
        }
        Ok(scores.into_iter().flatten().collect()) // every one is in the plan
    }

    /// Scores some planned batches; each is the groups of its rows.
    fn score_batches(
        &self,
        continuations: &[Continuation],
        texts: &[Vec<u32>],
        planned: &[Vec<Vec<usize>>],
    ) -> Result<Vec<Vec<Score>>> {
        let lay_out = |groups: &Vec<Vec<usize>>| {
            let own = |group: &Vec<usize>| group.iter().map(|&n| &texts[n]).collect::<Vec<_>>();
            Batch::shared(&groups.iter().map(own).collect::<Vec<_>>())
        };
        let batches = planned.iter().map(lay_out).collect::<Result<Vec<_>>>()?;
        let numbers: Vec<Vec<usize>> = planned.iter().map(|groups| groups.concat()).collect();
        let read = numbers
            .iter()
            .map(|own| Tokens::At(own.iter().map(|&n| continuations[n].before().collect()).collect()));
        let mut captures: Vec<(Tokens, Capture)> =
            read.map(|tokens| (tokens.clone(), Capture::new(HookPoint::FinalOut, tokens))).collect();
        let runs = batches
            .iter()
            .zip(&mut captures)
            .map(|(batch, (tokens, capture))| (batch, Forward::new().reads(tokens.clone()).hook(capture)));
        self.forward_all(runs)?;
        let mut scores = Vec::new();
        for ((own, batch), (tokens, capture)) in numbers.iter().zip(&batches).zip(captures) {
            let normed = capture.finish().take(HookPoint::FinalOut).ok_or(Error::NoLogits)?; // [S, D]
            scores.push(self.score_states(continuations, own, &normed, &tokens.slots(batch)?)?);
        }
        Ok(scores)
    }

    /// Scores of one batch's continuations, from what the final norm gave before each of their tokens.
    ///
    /// # Shapes
    /// `normed` \[S, D\], `slots` S, equal where prompts share a token
    fn score_states(
        &self,
        continuations: &[Continuation],
        numbers: &[usize],
        normed: &Tensor,
        slots: &[i64],
    ) -> Result<Vec<Score>> {
        // The last token of a context stands before each of its continuations: its logits are computed once.
        let mut distinct = slots.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let row_of: Vec<i64> =
            slots.iter().map(|slot| distinct.partition_point(|other| other < slot) as i64).collect();
        let mut first = vec![0i64; distinct.len()];
        for (at, &row) in row_of.iter().enumerate().rev() {
            first[row as usize] = at as i64;
        }
        let first = Tensor::f_from_slice(&first)?.f_to_device(self.device())?;
        let ids: Vec<u32> = numbers.iter().flat_map(|&n| continuations[n].ids.iter().copied()).collect();
        let states = normed.f_index_select(0, &first)?; // [U, D]
        let (log_probs, likeliest) = self.log_probs_of(&states, &row_of, &ids)?;
        let (mut scores, mut from) = (Vec::with_capacity(numbers.len()), 0);
        for &number in numbers {
            let own = from..from + continuations[number].ids.len();
            let log_probs = log_probs[own.clone()].to_vec();
            if log_probs.iter().any(|log_p| log_p.is_nan()) {
                return Err(Error::NonFiniteLogits { prompt: number });
            }
            let is_greedy = likeliest[own.clone()].iter().all(|&is| is);
            scores.push(Score { log_probs, is_greedy });
            from = own.end;
        }
        Ok(scores)
    }

    /// log P of some tokens after some states, and whether each is the likeliest.
    ///
    /// # Shapes
    /// `states` \[U, D\]; `rows` and `ids` S, the state and the token of each → S of both
    fn log_probs_of(&self, states: &Tensor, rows: &[i64], ids: &[u32]) -> Result<(Vec<f64>, Vec<bool>)> {
        let vocab = self.config().vocab_size;
        if let Some(id) = ids.iter().find(|id| i64::from(**id) >= vocab) {
            let expected = format!("an id of the model's vocabulary of {vocab}");
            return Err(Error::NextTokens { found: format!("id {id}"), expected });
        }
        let (mut log_probs, mut likeliest) = (vec![0.0; ids.len()], vec![false; ids.len()]);
        self.by_pieces(states, &mut |range, log_p| {
            let own: Vec<usize> = (0..ids.len()).filter(|&at| range.contains(&rows[at])).collect();
            let index = |of: &dyn Fn(usize) -> i64| -> Result<Tensor> {
                let index: Vec<i64> = own.iter().map(|&at| of(at)).collect();
                Ok(Tensor::f_from_slice(&index)?.f_to_device(self.device())?)
            };
            let row = index(&|at| rows[at] - range.start)?; // [s]
            let id = index(&|at| i64::from(ids[at]))?; // [s]
            let taken = log_p.f_flatten(0, -1)?.f_take(&row.f_mul_scalar(vocab)?.f_add(&id)?)?; // [s]
            let best = log_p.f_argmax(-1, false)?.f_index_select(0, &row)?.f_eq_tensor(&id)?; // [s]
            let taken: Vec<f64> = Vec::try_from(taken.f_to_kind(Kind::Double)?)?;
            let best: Vec<bool> = Vec::try_from(best)?;
            for ((at, log_p), best) in own.into_iter().zip(taken).zip(best) {
                (log_probs[at], likeliest[at]) = (log_p, best);
            }
            Ok(())
        })?;
        Ok((log_probs, likeliest))
    }
}
