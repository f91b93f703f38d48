//! Rows in the order of their scores.

/// A row's place in the order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Placed {
    /// Greater for greater scores, equal for equal ones, −0 and +0 among them.
    pub(crate) key: u64,
    pub(crate) row: u32,
}

/// Bits that rows are sorted by at once.
const DIGIT: u32 = 11;
/// Fewer rows than this are compared with each other.
const FEW: usize = 512;

/// The rows of scores that are numbers, by rising score; equal ones in any order.
pub(crate) fn ascending(scores: &[f64]) -> Vec<Placed> {
    let mut placed: Vec<Placed> =
        scores.iter().zip(0..).map(|(&score, row)| Placed { key: key(score), row }).collect();
    if placed.len() < FEW {
        placed.sort_unstable_by_key(|at| at.key);
    } else {
        by_digits(&mut placed);
    }
    placed
}

/// Integers in the order of the numbers: of negative ones all bits are turned round, of others the first.
fn key(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits(); // −0 + 0 is +0
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// By the lowest digit, then by the next, each time leaving equals in their order. Digits that all keys share, such as the
/// last ones of scores that were f32, are passed over.
fn by_digits(placed: &mut Vec<Placed>) {
    let differing =
        placed.first().map_or(0, |first| placed.iter().fold(0, |bits, at| bits | (at.key ^ first.key)));
    let mut other = vec![Placed::default(); placed.len()];
    for shift in (0..u64::BITS).step_by(DIGIT as usize) {
        let mask = (1usize << DIGIT) - 1;
        let digit = |key: u64| (key >> shift) as usize & mask;
        if digit(differing) == 0 {
            continue;
        }
        let mut starts = [0u32; 1 << DIGIT];
        for at in placed.iter() {
            starts[digit(at.key)] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            (*start, sum) = (sum, sum + *start);
        }
        for at in placed.iter() {
            let to = &mut starts[digit(at.key)];
            if let Some(place) = other.get_mut(*to as usize) {
                *place = *at;
            }
            *to += 1;
        }
        std::mem::swap(placed, &mut other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_are_in_the_order_of_their_scores(
            some in prop::collection::vec(prop_oneof![any::<f64>().prop_filter("a number", |x| !x.is_nan()), Just(0.0), Just(-0.0), Just(1.5)], 1..700),
            singly in any::<bool>(),
        ) {
            // Both ways of sorting.
            let mut scores: Vec<f64> = some.iter().cycle().take(some.len().max(if some.len() > 300 { 2 * FEW } else { 1 })).copied().collect();
            if singly {
                for score in &mut scores {
                    *score = f64::from(*score as f32);
                }
            }
            let order = ascending(&scores);
            let mut rows: Vec<u32> = order.iter().map(|at| at.row).collect();
            for pair in order.windows(2) {
                let [a, b] = [pair[0], pair[1]].map(|at| scores[at.row as usize]);
                prop_assert!(a <= b && (a >= b) == (pair[0].key == pair[1].key));
            }
            rows.sort_unstable();
            prop_assert!(rows.into_iter().eq(0..scores.len() as u32));
        }
    }
}
