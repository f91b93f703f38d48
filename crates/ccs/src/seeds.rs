//! Random streams that depend on names, not on the order of work: a fit of layer 5 alone draws the same numbers
//! as the same layer in a full run.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

/// A node in a tree of random seeds; its name is the path of [`SeedTree::child`] calls from the seed.
///
/// ```
/// use ccs::SeedTree;
/// use rand::RngExt;
///
/// let draw = |layer: usize| -> u64 { SeedTree::new(7).child("ccs").child(&format!("layer {layer}")).rng().random() };
/// assert_eq!(draw(5), draw(5));
/// assert_ne!(draw(5), draw(6));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedTree {
    key: [u8; 32],
}

impl SeedTree {
    /// The root of all streams of one seed.
    pub fn new(seed: u64) -> Self {
        Self { key: blake3::derive_key("llama-ccs ccs random streams, version 1", &seed.to_le_bytes()) }
    }

    /// The stream called `name` below this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self { key: *blake3::keyed_hash(&self.key, name.as_bytes()).as_bytes() }
    }

    /// The `index`-th stream called `name` below this one (a layer, a restart, a fold).
    #[must_use]
    pub fn indexed(&self, name: &str, index: usize) -> Self {
        self.child(&format!("{name} {index}"))
    }

    /// A generator at the start of this stream.
    pub fn rng(&self) -> ChaCha12Rng {
        ChaCha12Rng::from_seed(self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn streams_differ_by_seed_and_by_every_part_of_the_path() {
        let first = |s: SeedTree| s.rng().random::<u64>();
        let root = SeedTree::new(0);
        let draws = [
            first(root),
            first(SeedTree::new(1)),
            first(root.child("ccs")),
            first(root.child("ccs").indexed("layer", 1)),
            first(root.child("ccs").indexed("layer", 11)),
            first(root.child("ccs").indexed("layer", 1).indexed("restart", 1)),
            first(root.child("lr").indexed("layer", 1)),
        ];
        for (i, a) in draws.iter().enumerate() {
            assert!(draws[i + 1..].iter().all(|b| b != a));
        }
    }

    #[test]
    fn the_first_draw_of_seed_zero_stays_the_same_across_releases() {
        // Reports promise the same numbers for the same seed; this fails if a dependency changes them.
        assert_eq!(SeedTree::new(0).child("split").rng().random::<u64>(), 13_304_850_980_494_559_773);
    }
}
