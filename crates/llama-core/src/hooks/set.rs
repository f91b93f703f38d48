//! Sets of hook points, written as names with globs.

use std::ops::BitOr;

use serde::{Deserialize, Serialize};

use super::point::{HookPoint, Site, unknown};
use crate::error::{Error, Result};

/// A set of hook points, such as those that a hook wants to visit.
///
/// ```
/// use llama_core::HookSet;
///
/// let set = HookSet::parse(["hook_embed", "blocks.{0,2}.hook_resid_post"], 3)?;
/// assert_eq!(set.names(), ["hook_embed", "blocks.0.hook_resid_post", "blocks.2.hook_resid_post"]);
/// # Ok::<(), llama_core::Error>(())
/// ```
///
/// Serialized as the list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<HookPoint>", from = "Vec<HookPoint>")]
pub struct HookSet {
    /// One bit a site, for each block up to the last that has any.
    blocks: Vec<u32>,
    /// One bit for each of [`OUTSIDE`].
    outside: u8,
}

/// The points outside blocks, in execution order; only the first comes before the blocks.
const OUTSIDE: [HookPoint; 5] = [
    HookPoint::Embed,
    HookPoint::FinalScale,
    HookPoint::FinalNormalized,
    HookPoint::FinalOut,
    HookPoint::Logits,
];

/// Where a point's bit is: the block, if it is in one, and the bit.
fn bit(point: HookPoint) -> (Option<usize>, u32) {
    match point {
        HookPoint::Embed => (None, 1),
        HookPoint::FinalScale => (None, 1 << 1),
        HookPoint::FinalNormalized => (None, 1 << 2),
        HookPoint::FinalOut => (None, 1 << 3),
        HookPoint::Logits => (None, 1 << 4),
        HookPoint::Block(block, site) => (Some(usize::from(block)), 1 << site as u32),
    }
}

impl HookSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The residual stream at every layer: the embedding and the output of each block. The default of an extraction.
    pub fn residual_stream(n_layers: usize) -> Self {
        (0..=n_layers).map(HookPoint::of_layer).collect()
    }

    /// Reads names and globs against a model of `n_layers` blocks: `blocks.*.hook_resid_post`,
    /// `blocks.{8,16}.attn.hook_z`, `blocks.*.hook_*`, or `*` for everything. `*` matches within any part of a name.
    ///
    /// # Errors
    /// A pattern that matches nothing, with the nearest name; a block that the model does not have.
    pub fn parse<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>, n_layers: usize) -> Result<Self> {
        let mut set = Self::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            for alternative in braces(pattern) {
                let matching = HookPoint::all(n_layers).filter(|p| glob(&alternative, &p.to_string()));
                let matching: Vec<_> = matching.collect();
                if matching.is_empty() {
                    return Err(no_match(pattern, &alternative, n_layers));
                }
                set.extend(matching);
            }
        }
        Ok(set)
    }

    /// Refuses points in blocks that a model of `n_layers` does not have.
    ///
    /// # Errors
    /// [`Error::NoSuchBlock`] naming the first of them.
    pub fn check_blocks(&self, n_layers: usize) -> Result<()> {
        let missing =
            |point: &HookPoint| matches!(point, HookPoint::Block(i, _) if usize::from(*i) >= n_layers);
        match self.iter().find(missing) {
            None => Ok(()),
            Some(point) => Err(Error::NoSuchBlock { pattern: point.to_string(), n_layers }),
        }
    }

    /// Whether `point` is in the set: one load and one mask.
    pub fn contains(&self, point: HookPoint) -> bool {
        let (block, bit) = bit(point);
        match block {
            None => u32::from(self.outside) & bit != 0,
            Some(block) => self.blocks.get(block).is_some_and(|bits| bits & bit != 0),
        }
    }

    /// Adds a point.
    pub fn insert(&mut self, point: HookPoint) {
        let (block, bit) = bit(point);
        let Some(block) = block else {
            self.outside |= bit as u8; // five points, five bits
            return;
        };
        if self.blocks.len() <= block {
            self.blocks.resize(block + 1, 0);
        }
        self.blocks[block] |= bit;
    }

    /// The point that the forward pass reaches first.
    pub fn first(&self) -> Option<HookPoint> {
        self.iter().next()
    }

    /// The point that the forward pass reaches last.
    pub fn last(&self) -> Option<HookPoint> {
        self.iter().next_back()
    }

    /// The points in execution order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = HookPoint> + '_ {
        let outside = |points: &'static [HookPoint]| points.iter().copied().filter(|p| self.contains(*p));
        let sites = |i: usize| Site::all().map(move |site| HookPoint::Block(i as u16, site));
        let blocks = (0..self.blocks.len()).flat_map(sites).filter(|p| self.contains(*p));
        outside(&OUTSIDE[..1]).chain(blocks).chain(outside(&OUTSIDE[1..]))
    }

    /// The points' names in execution order.
    pub fn names(&self) -> Vec<String> {
        self.iter().map(|p| p.to_string()).collect()
    }

    /// The number of points.
    pub fn len(&self) -> usize {
        (self.outside.count_ones() + self.blocks.iter().map(|bits| bits.count_ones()).sum::<u32>()) as usize
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Extend<HookPoint> for HookSet {
    fn extend<I: IntoIterator<Item = HookPoint>>(&mut self, points: I) {
        for point in points {
            self.insert(point);
        }
    }
}

impl FromIterator<HookPoint> for HookSet {
    fn from_iter<I: IntoIterator<Item = HookPoint>>(points: I) -> Self {
        let mut set = Self::new();
        set.extend(points);
        set
    }
}

impl From<Vec<HookPoint>> for HookSet {
    fn from(points: Vec<HookPoint>) -> Self {
        points.into_iter().collect()
    }
}

impl From<HookSet> for Vec<HookPoint> {
    fn from(set: HookSet) -> Self {
        set.iter().collect()
    }
}

impl From<HookPoint> for HookSet {
    fn from(point: HookPoint) -> Self {
        [point].into_iter().collect()
    }
}

impl BitOr for HookSet {
    type Output = Self;

    fn bitor(mut self, other: Self) -> Self {
        self.extend(other.iter());
        self
    }
}

/// `a{b,c}d` → `abd`, `acd`; patterns without braces are themselves.
fn braces(pattern: &str) -> Vec<String> {
    let Some((head, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let Some((inner, tail)) = rest.split_once('}') else { return vec![pattern.to_owned()] };
    let tails = braces(tail);
    inner.split(',').flat_map(|part| tails.iter().map(move |t| format!("{head}{}{t}", part.trim()))).collect()
}

/// Whether `name` matches `pattern`, in which `*` stands for any characters.
fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

fn no_match(pattern: &str, alternative: &str, n_layers: usize) -> Error {
    // `blocks.40.hook_*` in a model of 32: a fine name, no such block.
    let block = alternative.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
    if let Some((number, site)) = block
        && number.parse::<usize>().is_ok_and(|n| n >= n_layers)
        && HookPoint::all(1).any(|point| glob(&format!("blocks.0.{site}"), &point.to_string()))
    {
        return Error::NoSuchBlock { pattern: pattern.to_owned(), n_layers };
    }
    unknown(pattern, alternative)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let count = |pattern: &str| HookSet::parse([pattern], 4).expect(pattern).len();
        assert_eq!(count("blocks.*.hook_resid_post"), 4);
        assert_eq!(count("blocks.{1,3}.hook_*"), 2 * 5);
        assert_eq!(count("*"), 1 + 4 * 21 + 4);
        assert_eq!(count("*hook_scale"), 4 * 2 + 1);
        assert_eq!(HookSet::residual_stream(4).len(), 5);
        assert_eq!(HookSet::residual_stream(4).last(), Some(HookPoint::resid_post(3)));
    }

    #[test]
    fn what_matches_nothing_is_refused() {
        let error = HookSet::parse(["blocks.*.hook_resid_pos"], 4).expect_err("misspelled").to_string();
        assert!(error.contains("blocks.*.hook_resid_post"), "{error}");
        let error = HookSet::parse(["blocks.4.hook_resid_post"], 4).expect_err("block 4 of 4").to_string();
        assert!(error.contains("0 to 3"), "{error}");
        assert!(HookSet::parse(["blocks.{0,9}.hook_resid_post"], 4).is_err());
    }

    #[test]
    fn a_set_is_its_points_in_execution_order_and_serialized_as_their_names() {
        let all: Vec<_> = HookPoint::all(3).collect();
        for (i, point) in all.iter().enumerate() {
            let one = HookSet::from(*point);
            assert_eq!((one.len(), one.first(), one.last()), (1, Some(*point), Some(*point)));
            assert_eq!(all.iter().filter(|p| one.contains(**p)).count(), 1);
            let rest: HookSet = all[i..].iter().rev().copied().collect();
            assert_eq!(rest.iter().collect::<Vec<_>>(), all[i..]);
        }
        let set =
            HookSet::parse(["blocks.{0,2}.hook_mlp_out", "hook_embed", "ln_final.hook_out"], 3).expect("set");
        let json = serde_json::to_value(&set).expect("json");
        let names = ["hook_embed", "blocks.0.hook_mlp_out", "blocks.2.hook_mlp_out", "ln_final.hook_out"];
        assert_eq!(json, serde_json::json!(names));
        assert_eq!(serde_json::from_value::<HookSet>(json).expect("set"), set);
        let error = serde_json::from_str::<HookSet>(r#"["blocks.0.hook_mlp_ou"]"#).expect_err("misspelled");
        assert!(error.to_string().contains("did you mean"), "{error}");
    }
}
