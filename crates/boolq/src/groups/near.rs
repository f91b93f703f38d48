//! Near-duplicate texts: those that share at least four fifths of their 8-grams of words.
//!
//! The share is that of the text with fewer 8-grams (containment), not that of both texts' union (Jaccard): a passage
//! that was cut off after a third of its length shares all it has with the whole one, and a question about either can
//! often be answered from the other. By Jaccard's measure they would share a third, and fall on two sides of a split.
//! A text of fewer than eight words has no 8-gram and is a duplicate of the very same text alone.
//!
//! Every pair that shares enough is found; nothing is sampled. All pairs would be too many, so a text looks for others
//! through its rarest 8-grams alone: if two texts share four fifths of the smaller one's 8-grams, then at least one of
//! any fifth of them, and one more, is shared ("prefix filtering"; Chaudhuri, Ganti, and Kaushik 2006). Most texts have
//! so many 8-grams that no other text has that nothing is left to look for. A frequent 8-gram, of boilerplate, is looked
//! up by texts that hold little else; those join each other, and a list whose texts are all together is not read again.

use super::union::Union;
use rayon::prelude::*;

/// The words of an n-gram.
const WORDS: usize = 8;

/// How many of its `grams` a text has to share with one that has no fewer: four fifths.
fn needed(grams: usize) -> usize {
    (4 * grams).div_ceil(5)
}

/// In prompts, an 8-gram is the template's if more than one in so many texts has it,
const BOILERPLATE: usize = 2;
/// and no fewer texts than these.
const MANY: usize = 10;

/// The 8-grams of different texts.
pub(super) struct Texts {
    /// How many different ones each text has.
    grams: Vec<usize>,
    /// Those of each text that other texts have too, as numbers of `lists`, ascending.
    shared: Vec<Vec<u32>>,
    /// The texts that have an 8-gram, for each one that several texts have.
    lists: Vec<Vec<u32>>,
}

impl Texts {
    /// Takes normalized texts apart, all of them different.
    pub(super) fn of(texts: &[String]) -> Self {
        let hashes: Vec<Vec<u64>> = texts.par_iter().map(|text| hashed(text)).collect();
        let grams: Vec<usize> = hashes.iter().map(Vec::len).collect();
        let mut all: Vec<(u64, u32)> = Vec::with_capacity(grams.iter().sum());
        for (hashes, text) in hashes.into_iter().zip(0..) {
            all.extend(hashes.into_iter().map(|hash| (hash, text)));
        }
        all.par_sort_unstable();
        let mut shared = vec![Vec::new(); texts.len()];
        let mut lists = Vec::new();
        for list in all.chunk_by(|a, b| a.0 == b.0).filter(|list| list.len() > 1) {
            let number = u32::try_from(lists.len()).unwrap_or(u32::MAX);
            let list: Vec<u32> = list.iter().map(|(_, text)| *text).collect();
            for text in &list {
                if let Some(shared) = shared.get_mut(*text as usize) {
                    shared.push(number);
                }
            }
            lists.push(list);
        }
        Self { grams, shared, lists }
    }

    /// Leaves out 8-grams that more than half of the texts have: in prompts these are the template's words. What is
    /// compared then is the rest.
    pub(super) fn without_boilerplate(mut self) -> Self {
        let texts = self.grams.len();
        let frequent = |list: &Vec<u32>| list.len() >= MANY && list.len() * BOILERPLATE > texts;
        let dropped: Vec<bool> = self.lists.iter().map(frequent).collect();
        for (grams, shared) in self.grams.iter_mut().zip(&mut self.shared) {
            let before = shared.len();
            shared.retain(|list| dropped.get(*list as usize) != Some(&true));
            *grams -= before - shared.len();
        }
        self
    }

    /// Joins the near duplicates of which at least one is `open`. Text i is the node `first + i`.
    pub(super) fn join(&self, open: impl Fn(usize) -> bool, first: usize, sets: &mut Union) {
        // The smallest first: they are contained in others, and join most.
        let mut order: Vec<usize> = (0..self.grams.len()).collect();
        order.sort_by_key(|&text| self.grams(text));
        // Lists whose texts are all in one set.
        let mut together = vec![false; self.lists.len()];
        let mut compared = vec![usize::MAX; self.grams.len()];
        for text in order {
            let mut root = sets.root(first + text);
            for list in self.rarest(text) {
                if together.get(list) == Some(&true) {
                    continue;
                }
                let mut all = true;
                for other in self.lists.get(list).into_iter().flatten().map(|&other| other as usize) {
                    if sets.root(first + other) == root {
                        continue;
                    }
                    let once =
                        compared.get_mut(other).is_some_and(|last| std::mem::replace(last, text) != text);
                    if once && (open(text) || open(other)) && self.are_near(text, other) {
                        sets.join(first + text, first + other);
                        root = sets.root(first + text);
                    } else {
                        all = false;
                    }
                }
                if let Some(together) = together.get_mut(list) {
                    *together = all;
                }
            }
        }
    }

    fn grams(&self, text: usize) -> usize {
        self.grams.get(text).copied().unwrap_or_default()
    }

    /// The lists of 8-grams one of which any text has that `text` is a near duplicate of, `text` being the smaller one.
    fn rarest(&self, text: usize) -> Vec<usize> {
        let grams = self.grams(text);
        let Some(shared) = self.shared.get(text).filter(|_| grams > 0) else { return Vec::new() };
        let alone = grams - shared.len();
        let looked_up = (grams - needed(grams) + 1).saturating_sub(alone);
        let mut lists: Vec<usize> = shared.iter().map(|&list| list as usize).collect();
        lists.sort_by_key(|&list| (self.lists.get(list).map_or(0, Vec::len), list));
        lists.truncate(looked_up);
        lists
    }

    /// Whether `text`, which has no more 8-grams than `other`, shares enough of them with it.
    fn are_near(&self, text: usize, other: usize) -> bool {
        let (grams, others) = (self.grams(text), self.grams(other));
        let (Some(a), Some(b)) = (self.shared.get(text), self.shared.get(other)) else { return false };
        if grams > others || a.len() < needed(grams) {
            return false; // the smaller one looks for the larger
        }
        let mut missing = a.len() - needed(grams);
        let mut rest = b.as_slice();
        for gram in a {
            rest = rest.get(rest.partition_point(|other| other < gram)..).unwrap_or_default();
            if rest.first() != Some(gram) {
                let Some(fewer) = missing.checked_sub(1) else { return false };
                missing = fewer;
            }
        }
        true
    }
}

/// The different 8-grams of a normalized text, hashed, sorted.
fn hashed(text: &str) -> Vec<u64> {
    let words: Vec<u64> = text.split(' ').map(hash).collect();
    let mut grams: Vec<u64> = words
        .windows(WORDS)
        .map(|window| {
            window.iter().fold(0, |gram: u64, word| gram.wrapping_mul(MULTIPLIER).wrapping_add(*word))
        })
        .collect();
    grams.sort_unstable();
    grams.dedup();
    grams
}

/// Odd, so that no bit of a word's hash is lost (from Knuth's linear congruential generator MMIX).
const MULTIPLIER: u64 = 6_364_136_223_846_793_005;

fn hash(word: &str) -> u64 {
    blake3::hash(word.as_bytes()).as_bytes().iter().take(8).fold(0, |all, byte| (all << 8) | u64::from(*byte))
}
