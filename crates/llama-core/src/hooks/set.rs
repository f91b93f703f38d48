//! Sets of hook points, written as names with globs.

use std::collections::BTreeSet;
use std::ops::BitOr;

use super::point::{HookPoint, nearest};
use crate::error::{Error, Result};

/// A set of hook points; what a hook says it wants to visit.
///
/// ```
/// use llama_core::HookSet;
///
/// let set = HookSet::parse(["hook_embed", "blocks.{0,2}.hook_resid_post"], 3)?;
/// assert_eq!(set.names(), ["hook_embed", "blocks.0.hook_resid_post", "blocks.2.hook_resid_post"]);
/// # Ok::<(), llama_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookSet {
    points: BTreeSet<HookPoint>,
}

impl HookSet {
    /// No point at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// The residual stream at every layer: the embedding and what leaves each block. The default of an extraction.
    pub fn residual_stream(n_layers: usize) -> Self {
        (0..=n_layers).map(HookPoint::of_layer).collect()
    }

    /// Reads names and globs against a model of `n_layers` blocks: `blocks.*.hook_resid_post`,
    /// `blocks.{8,16}.attn.hook_z`, `blocks.*.hook_*`, or `*` for everything. `*` matches within any part of a name.
    ///
    /// # Errors
    /// A pattern that matches nothing, with the nearest name; a block that the model does not have.
    pub fn parse<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>, n_layers: usize) -> Result<Self> {
        let mut points = BTreeSet::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            for alternative in braces(pattern) {
                let matching = HookPoint::all(n_layers).filter(|p| glob(&alternative, &p.to_string()));
                let matching: Vec<_> = matching.collect();
                if matching.is_empty() {
                    return Err(no_match(pattern, &alternative, n_layers));
                }
                points.extend(matching);
            }
        }
        Ok(Self { points })
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

    /// Whether `point` is in the set.
    pub fn contains(&self, point: HookPoint) -> bool {
        self.points.contains(&point)
    }

    /// The point that the forward pass reaches last.
    pub fn last(&self) -> Option<HookPoint> {
        self.points.last().copied()
    }

    /// The points in execution order.
    pub fn iter(&self) -> impl Iterator<Item = HookPoint> + '_ {
        self.points.iter().copied()
    }

    /// The points' names in execution order.
    pub fn names(&self) -> Vec<String> {
        self.iter().map(|p| p.to_string()).collect()
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

impl FromIterator<HookPoint> for HookSet {
    fn from_iter<I: IntoIterator<Item = HookPoint>>(points: I) -> Self {
        Self { points: points.into_iter().collect() }
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
        self.points.extend(other.points);
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
    Error::UnknownHookPoint { name: pattern.to_owned(), suggestion: nearest(alternative) }
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
        let error = HookSet::parse(["blocks.*.hook_resid_pos"], 4).expect_err("misspelt").to_string();
        assert!(error.contains("blocks.*.hook_resid_post"), "{error}");
        let error = HookSet::parse(["blocks.4.hook_resid_post"], 4).expect_err("block 4 of 4").to_string();
        assert!(error.contains("0 to 3"), "{error}");
        assert!(HookSet::parse(["blocks.{0,9}.hook_resid_post"], 4).is_err());
    }
}
