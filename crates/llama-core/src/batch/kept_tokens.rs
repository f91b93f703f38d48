//! The tokens that the rest of a pass goes on with, where nobody reads the others.

use tch::{Device, Tensor};

use crate::error::Result;

/// Some tokens of each row of a batch, equally many of each: a layout of fewer columns.
#[derive(Debug)]
pub(crate) struct KeptTokens {
    /// Slots in the batch's layout, row after row, ascending in each; shorter rows repeat their last.
    slots: Vec<i64>,
    rows: usize,
}

impl KeptTokens {
    /// Keeps these slots of a layout of `rows` × `width`; `None` if that would leave nothing out.
    pub(super) fn new(mut wanted: Vec<i64>, rows: usize, width: usize) -> Option<Self> {
        wanted.sort_unstable();
        wanted.dedup();
        let row_of = |slot: &i64| *slot as usize / width.max(1);
        let mut own: Vec<Vec<i64>> = vec![Vec::new(); rows];
        for slot in wanted {
            own[row_of(&slot)].push(slot);
        }
        let most = own.iter().map(Vec::len).max().unwrap_or(0);
        if most == 0 || most >= width {
            return None;
        }
        for (row, own) in own.iter_mut().enumerate() {
            let fill = own.last().copied().unwrap_or((row * width) as i64);
            own.resize(most, fill);
        }
        Some(Self { slots: own.concat(), rows })
    }

    /// Columns of the layout: M.
    pub(crate) fn width(&self) -> i64 {
        (self.slots.len() / self.rows.max(1)) as i64
    }

    /// Slots in the batch's layout. \[B·M\]
    pub(crate) fn index(&self, device: Device) -> Result<Tensor> {
        Ok(Tensor::f_from_slice(&self.slots)?.f_to_device(device)?)
    }

    /// # Shapes
    /// `x` \[B, T, …\] → \[B, M, …\]
    pub(crate) fn select(&self, x: &Tensor) -> Result<Tensor> {
        let mut shape = x.size();
        shape[1] = self.width();
        Ok(x.f_flatten(0, 1)?.f_index_select(0, &self.index(x.device())?)?.f_view(shape.as_slice())?)
    }

    /// The index of a slot among those that are kept.
    pub(crate) fn index_of(&self, slot: i64) -> Option<i64> {
        // Ascending except for repetitions at a row's end, which are not below what comes before them.
        let at = self.slots.partition_point(|&kept| kept < slot);
        (self.slots.get(at) == Some(&slot)).then_some(at as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_filled_up_and_places_found_again() {
        // Two rows of ten: slots 9 and 3 of the first, 4 of the second.
        let kept = KeptTokens::new(vec![9, 14, 3, 9], 2, 10).expect("fewer");
        assert_eq!((kept.slots.as_slice(), kept.width()), ([3, 9, 14, 14].as_slice(), 2));
        assert_eq!([3, 9, 14, 4].map(|slot| kept.index_of(slot)), [Some(0), Some(1), Some(2), None]);
        // A row of which nothing is wanted keeps something, which nobody reads.
        let kept = KeptTokens::new(vec![12], 3, 10).expect("fewer");
        assert_eq!((kept.slots.as_slice(), kept.index_of(12)), ([0, 12, 20].as_slice(), Some(1)));
        assert!(
            KeptTokens::new((0..10).collect(), 2, 10).is_none() && KeptTokens::new(vec![], 2, 10).is_none()
        );
    }
}
