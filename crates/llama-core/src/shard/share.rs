//! How a model is divided: which heads, columns, and rows a rank has.

use std::ops::Range;

use tch::Tensor;

use crate::checkpoint::{BlockWeight, Part, Wanted, Weight};
use crate::config::Config;
use crate::error::{Error, Result};

/// What is divided among ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Divided {
    /// H: query heads.
    Heads,
    /// G: key and value heads. Where there are fewer than ranks, each is on every rank that needs it.
    KvHeads,
    /// F: inside the MLP.
    Hidden,
    /// V: the vocabulary.
    Vocab,
    /// D: of the embedding, where files have it so.
    Dim,
}

/// One rank's share of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    rank: usize,
    size: usize,
    n_heads: i64,
    n_kv_heads: i64,
    head_dim: i64,
    hidden: i64,
    vocab: i64,
    dim: i64,
    embedding: Divided,
}

impl Share {
    /// All of a model.
    pub(crate) fn whole(config: &Config) -> Self {
        Self {
            rank: 0,
            size: 1,
            n_heads: config.n_heads,
            n_kv_heads: config.n_kv_heads,
            head_dim: config.head_dim,
            hidden: config.hidden_dim,
            vocab: config.vocab_size,
            dim: config.dim,
            embedding: Divided::Vocab,
        }
    }

    /// The share of one of so many ranks; the embedding is divided by rows (axis 0) or columns.
    ///
    /// # Errors
    /// [`Error::Shard`] if a rank would have nothing.
    pub(crate) fn new(config: &Config, rank: usize, size: usize, embedding_axis: usize) -> Result<Self> {
        if rank >= size {
            return Err(Error::Shard { reason: format!("there is no rank {rank} of {size}") });
        }
        let embedding = if embedding_axis == 0 { Divided::Vocab } else { Divided::Dim };
        let share = Self { rank, size, embedding, ..Self::whole(config) };
        let whole = [
            (share.n_heads, "heads"),
            (share.hidden, "columns of the MLP"),
            (share.vocab, "rows of the embedding"),
            (share.dim, "columns of the embedding"),
        ];
        match whole.into_iter().find(|(count, _)| (*count as u64) < size as u64) {
            None => Ok(share),
            Some((count, what)) => {
                let reason = format!("the model's {count} {what} cannot be divided among {size} ranks");
                Err(Error::Shard { reason })
            }
        }
    }

    /// The rank's number.
    pub(crate) fn rank(self) -> usize {
        self.rank
    }

    /// How many ranks there are.
    pub(crate) fn size(self) -> usize {
        self.size
    }

    /// How many query heads it has.
    pub(crate) fn heads(self) -> i64 {
        length(&self.own(Divided::Heads))
    }

    /// How many key and value heads it has.
    pub(crate) fn kv_heads(self) -> i64 {
        length(&self.own(Divided::KvHeads))
    }

    /// How many columns of the MLP it has.
    pub(crate) fn hidden(self) -> i64 {
        length(&self.own(Divided::Hidden))
    }

    /// What is divided of the embedding.
    pub(crate) fn embedding(self) -> Divided {
        self.embedding
    }

    /// What this rank has.
    pub(crate) fn own(self, of: Divided) -> Range<i64> {
        self.of(of, self.rank)
    }

    /// What a rank has, as even as it goes; the first ranks have one more.
    fn of(self, of: Divided, rank: usize) -> Range<i64> {
        let even = |count: i64| {
            let start = |rank: usize| (count * rank as i64 + self.size as i64 - 1) / self.size as i64;
            start(rank)..start(rank + 1)
        };
        let group = self.n_heads / self.n_kv_heads; // query heads of a key and value head
        let by_groups = self.size as i64 <= self.n_kv_heads;
        match of {
            Divided::Heads if by_groups => {
                let groups = even(self.n_kv_heads);
                groups.start * group..groups.end * group
            }
            Divided::Heads => even(self.n_heads),
            Divided::KvHeads if by_groups => even(self.n_kv_heads),
            Divided::KvHeads => {
                let heads = even(self.n_heads);
                heads.start / group..(heads.end - 1) / group + 1
            }
            Divided::Hidden => even(self.hidden),
            Divided::Vocab => even(self.vocab),
            Divided::Dim => even(self.dim),
        }
    }

    /// The most that any rank has.
    pub(super) fn largest(self, of: Divided) -> i64 {
        (0..self.size).map(|rank| length(&self.of(of, rank))).max().unwrap_or(0)
    }

    /// What a rank is the first to have, counted in what it has: from which, how many.
    pub(super) fn first_held(self, of: Divided, rank: usize) -> (i64, i64) {
        let own = self.of(of, rank);
        let before = rank.checked_sub(1).map_or(own.start, |before| self.of(of, before).end);
        let start = own.start.max(before.min(own.end));
        (start - own.start, own.end - start)
    }

    /// What this rank holds of a weight.
    pub(crate) fn wanted(self, weight: Weight) -> Wanted {
        let rows = |of: Divided, width: i64| (0, of, width);
        let (axis, of, width) = match weight {
            _ if self.size == 1 => return Wanted::ALL,
            Weight::Embed => (usize::from(self.embedding == Divided::Dim), self.embedding, 1),
            Weight::Unembed => rows(Divided::Vocab, 1),
            Weight::Block(_, BlockWeight::Q | BlockWeight::QBias) => rows(Divided::Heads, self.head_dim),
            Weight::Block(_, BlockWeight::K | BlockWeight::V | BlockWeight::KBias | BlockWeight::VBias) => {
                rows(Divided::KvHeads, self.head_dim)
            }
            Weight::Block(_, BlockWeight::Gate | BlockWeight::Up) => rows(Divided::Hidden, 1),
            Weight::Block(_, BlockWeight::O) => (1, Divided::Heads, self.head_dim),
            Weight::Block(_, BlockWeight::Down) => (1, Divided::Hidden, 1),
            // Norms, and a bias that is added to the sum.
            _ => return Wanted { part: None, copy: self.rank },
        };
        let own = self.own(of);
        let part = Part { axis, from: own.start * width, count: length(&own) * width };
        Wanted { part: Some(part), copy: self.rank }
    }

    /// Keys or values of this rank, one head for each of its query heads where these do not share them evenly.
    ///
    /// # Shapes
    /// `x` \[B, G, S, K\] → the same, or \[B, H, S, K\]
    pub(crate) fn for_queries(self, x: Tensor) -> Result<Tensor> {
        let (heads, own) = (self.own(Divided::Heads), self.own(Divided::KvHeads));
        let group = self.n_heads / self.n_kv_heads;
        let of_each: Vec<i64> = heads.map(|head| head / group - own.start).collect();
        let each = of_each.len() as i64 / length(&own);
        let evenly = each * length(&own) == of_each.len() as i64;
        if evenly && of_each.iter().zip(0..).all(|(&of, head)| of == head / each) {
            return Ok(x);
        }
        Ok(x.f_index_select(1, &Tensor::f_from_slice(&of_each)?.f_to_device(x.device())?)?)
    }
}

fn length(range: &Range<i64>) -> i64 {
    range.end - range.start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(n_heads: i64, n_kv_heads: i64) -> Config {
        let (dim, head_dim, hidden_dim, vocab_size) = (24, 4, 250, 50);
        Config { dim, n_heads, n_kv_heads, head_dim, hidden_dim, vocab_size, ..Config::default() }
    }

    #[test]
    fn every_number_is_on_one_rank_and_keys_are_where_queries_need_them() {
        for (h, g) in [(8, 8), (8, 2), (8, 1), (9, 3), (6, 3), (32, 8), (12, 4), (4, 2)] {
            for size in (1..=9).filter(|size| *size <= h as usize) {
                let share = |rank| Share::new(&config(h, g), rank, size, 0).expect("a share");
                for (of, count) in [(Divided::Heads, h), (Divided::Hidden, 250), (Divided::Vocab, 50)] {
                    let all: Vec<i64> = (0..size).flat_map(|rank| share(rank).own(of)).collect();
                    assert_eq!(all, (0..count).collect::<Vec<_>>(), "{of:?} of {h}, {g} on {size}");
                    let sizes = (0..size).map(|rank| length(&share(rank).own(of)));
                    assert!(sizes.clone().min() > Some(0));
                    let uneven = if of == Divided::Heads && size as i64 <= g { h / g } else { 1 };
                    assert!(sizes.clone().max().expect("some") - sizes.min().expect("some") <= uneven);
                }
                // Key and value heads: each counted once, where it is first.
                let first = |rank| {
                    let ((from, count), own) =
                        (share(0).first_held(Divided::KvHeads, rank), share(rank).own(Divided::KvHeads));
                    own.start + from..own.start + from + count
                };
                assert_eq!((0..size).flat_map(first).collect::<Vec<_>>(), (0..g).collect::<Vec<_>>());
                for rank in 0..size {
                    let own = share(rank).own(Divided::KvHeads);
                    assert!(share(rank).own(Divided::Heads).all(|head| own.contains(&(head / (h / g)))));
                    let x = Tensor::arange_start(own.start, own.end, (tch::Kind::Int64, tch::Device::Cpu));
                    let spread = share(rank).for_queries(x.view([1, -1, 1, 1])).expect("keys");
                    let each = share(rank).heads() / spread.size()[1];
                    let found: Vec<i64> = Vec::try_from(spread.flatten(0, -1)).expect("numbers");
                    for (at, head) in share(rank).own(Divided::Heads).enumerate() {
                        assert_eq!(found[at / each as usize], head / (h / g), "{h}, {g}: {rank} of {size}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_divided_is_refused() {
        assert_eq!(Share::new(&config(9, 3), 0, 2, 0).expect("a share").own(Divided::Heads), 0..6);
        for (rank, size) in [(0, 10), (2, 2), (0, 0)] {
            let error = Share::new(&config(9, 3), rank, size, 0).expect_err("refused");
            assert!(matches!(error, Error::Shard { .. }) && error.hint().is_some(), "{error}");
        }
        let narrow = Config { hidden_dim: 2, ..config(9, 3) };
        assert!(
            Share::new(&narrow, 0, 3, 0).expect_err("refused").to_string().contains("2 columns of the MLP")
        );
    }
}
