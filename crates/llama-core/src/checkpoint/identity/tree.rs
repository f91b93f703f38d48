//! BLAKE3 of byte ranges of mapped files, by all cores, whichever is free next.
//!
//! BLAKE3 is a tree: the left part of a node is the largest power of two of chunks that leaves something for the right
//! one. Subtrees of [`LEAF`] bytes are therefore whole nodes of every longer input's tree; they are hashed in any order and
//! merged afterwards. (blake3's own way of using several cores needs a pool of threads, which panics where none can be
//! started, and waits at the end of every tensor.)

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use blake3::hazmat::{ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};
use blake3::{Hash, Hasher};

use super::super::container::mapped::{self, Mapped};
use crate::error::{Error, Result};

/// Bytes of a subtree that one thread hashes: a power of two, at least BLAKE3's chunk of 1,024.
const LEAF: usize = 4 << 20;

/// Hashes of ranges, in their order. `progress` is told the bytes that are done and those there are.
///
/// # Errors
/// A thread that died.
pub(super) fn hash(
    ranges: &[(&Mapped, Range<usize>)],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Hash>> {
    let total = ranges.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    // Where each range's leaves begin among all; one without bytes has one leaf, too.
    let leaves: Vec<Leaf> =
        ranges.iter().enumerate().flat_map(|(i, (_, bytes))| Leaf::of(i, bytes)).collect();
    let values: Vec<Mutex<Option<Node>>> = leaves.iter().map(|_| Mutex::new(None)).collect();
    let done = AtomicU64::new(0);
    let work = |number: usize| {
        let Leaf { range, bytes, alone } = &leaves[number];
        let (map, whole) = &ranges[*range];
        mapped::read_ahead(map, bytes, bytes.start == whole.start);
        let mut hasher = Hasher::new();
        hasher.set_input_offset((bytes.start - whole.start) as u64);
        hasher.update(&map[bytes.clone()]);
        mapped::release(map, bytes);
        let node =
            if *alone { Node::Root(hasher.finalize()) } else { Node::Inner(hasher.finalize_non_root()) };
        if let Ok(mut value) = values[number].lock() {
            *value = Some(node);
        }
        done.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    };
    host::threads::share(leaves.len(), &work, &mut || progress(done.load(Ordering::Relaxed), total))
        .map_err(|_| Error::WeightsThread)?;
    if !ranges.is_empty() {
        progress(total, total);
    }
    let nodes: Option<Vec<Node>> = values.into_iter().map(|value| value.into_inner().ok()?).collect();
    let nodes = nodes.ok_or(Error::WeightsThread)?;
    let own = leaves.chunk_by(|a, b| a.range == b.range).scan(0, |from, own| {
        *from += own.len();
        Some(root(&nodes[*from - own.len()..*from]))
    });
    own.collect::<Option<_>>().ok_or(Error::WeightsThread)
}

/// A stretch of a range.
struct Leaf {
    /// Of which range.
    range: usize,
    bytes: Range<usize>,
    /// Whether it is all of it.
    alone: bool,
}

impl Leaf {
    fn of(range: usize, bytes: &Range<usize>) -> Vec<Self> {
        let alone = bytes.len() <= LEAF;
        let count = bytes.len().div_ceil(LEAF).max(1);
        let starts = (0..count).map(|i| bytes.start + i * LEAF);
        starts.map(|from| Self { range, bytes: from..bytes.end.min(from + LEAF), alone }).collect()
    }
}

/// What a subtree is for the one above it.
#[derive(Clone, Copy)]
enum Node {
    /// A tree of its own.
    Root(Hash),
    /// A part of one.
    Inner(ChainingValue),
}

/// The hash of an input from its leaves.
fn root(leaves: &[Node]) -> Option<Hash> {
    match leaves {
        [Node::Root(hash)] => Some(*hash),
        [_, _, ..] => {
            let (left, right) = leaves.split_at(left(leaves.len()));
            Some(merge_subtrees_root(&inner(left)?, &inner(right)?, Mode::Hash))
        }
        _ => None,
    }
}

/// What the subtree over some leaves is for the one above it.
fn inner(leaves: &[Node]) -> Option<ChainingValue> {
    match leaves {
        [Node::Inner(value)] => Some(*value),
        [_, _, ..] => {
            let (left, right) = leaves.split_at(left(leaves.len()));
            Some(merge_subtrees_non_root(&inner(left)?, &inner(right)?, Mode::Hash))
        }
        _ => None,
    }
}

/// How many of at least two leaves are on the left: the largest power of two that leaves one for the right.
fn left(leaves: usize) -> usize {
    leaves.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_blake3s_whatever_the_length() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let bytes: Vec<u8> = (0..9 * LEAF as u64 + 5).map(|i| (i * i % 251) as u8).collect();
        fs_err::write(file.path(), &bytes).expect("written");
        let map = mapped::map(file.path()).expect("mapped");
        let lengths = [
            0,
            1,
            1024,
            1025,
            LEAF - 1,
            LEAF,
            LEAF + 1,
            2 * LEAF,
            3 * LEAF,
            5 * LEAF + 77,
            8 * LEAF,
            9 * LEAF,
        ];
        let ranges: Vec<_> = lengths.iter().map(|length| (&map, 5..5 + length)).collect();
        let mut told = Vec::new();
        let found = hash(&ranges, &mut |done, total| told.push((done, total))).expect("hashes");
        for ((_, range), found) in ranges.iter().zip(&found) {
            assert_eq!(*found, blake3::hash(&bytes[range.clone()]), "{} bytes", range.len());
        }
        let total = lengths.iter().sum::<usize>() as u64;
        assert_eq!(told.last(), Some(&(total, total)));
        assert!(told.is_sorted());
    }
}
