//! Where a weight belongs: rows of a tensor in the computer's memory, written by several threads.

use std::marker::PhantomData;

use tch::{Device, Kind, Tensor};

/// A tensor's rows; those of a narrower tensor in a wider one lie apart.
pub(super) struct Place<'t> {
    start: *mut u8,
    rows: usize,
    columns: usize,
    kind: Kind,
    /// Bytes from one row's beginning to the next one's.
    step: usize,
    /// The memory is the tensor's.
    tensor: PhantomData<&'t Tensor>,
}

#[allow(unsafe_code)]
// SAFETY: rows are written through `Place::row`, whose caller keeps every row to one thread at a time.
unsafe impl Sync for Place<'_> {}

impl<'t> Place<'t> {
    /// A tensor of rows, or of one; `None` if it is on another device, or if a row's elements do not lie one after the other.
    pub(super) fn of(tensor: &'t Tensor) -> Option<Self> {
        let (shape, stride) = (tensor.size(), tensor.stride());
        let kind = tensor.f_kind().ok()?;
        let width = kind.elt_size_in_bytes();
        let (rows, columns, step, apart) = match (&*shape, &*stride) {
            ([columns], [apart]) => (1, *columns, *columns, *apart),
            ([rows, columns], [step, apart]) => (*rows, *columns, *step, *apart),
            _ => return None,
        };
        let number = |n: i64| usize::try_from(n).ok();
        let (rows, columns, step) = (number(rows)?, number(columns)?, number(step)?);
        // Rows that share memory, as those of an expanded tensor do, are not written to.
        let whole = (apart == 1 || columns <= 1) && (step >= columns || rows <= 1);
        if tensor.device() != Device::Cpu || rows * columns == 0 || !whole {
            return None;
        }
        let start = tensor.data_ptr().cast();
        Some(Self { start, rows, columns, kind, step: step * width, tensor: PhantomData })
    }

    /// Rows and columns.
    pub(super) fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// The elements' type.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes of one row, if there is one of this number.
    ///
    /// # Safety
    /// Nobody else reads or writes this row of the tensor as long as the bytes are borrowed.
    #[allow(unsafe_code, clippy::mut_from_ref)]
    pub(super) unsafe fn row(&self, row: usize) -> Option<&mut [u8]> {
        if row >= self.rows {
            return None;
        }
        let length = self.columns * self.kind.elt_size_in_bytes();
        // SAFETY: the tensor's memory reaches from its first row to its last one's end, and it lives as long as this; its
        // rows do not share any (`Place::of`), and nobody else uses this one, as the caller promises.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.step), length) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code)]
    fn rows_are_those_of_the_tensor() {
        let whole = Tensor::zeros([4, 6], (Kind::Float, Device::Cpu));
        let part = whole.narrow(1, 2, 3).narrow(0, 1, 2); // rows 1 and 2, columns 2 to 4
        let place = Place::of(&part).expect("a place");
        assert_eq!(place.shape(), (2, 3));
        for row in 0..2 {
            // SAFETY: one after the other, by this thread alone.
            let bytes = unsafe { place.row(row) }.expect("a row");
            bytes.as_chunks_mut::<4>().0.fill((row as f32 + 1.0).to_ne_bytes());
        }
        assert!(unsafe { place.row(2) }.is_none());
        assert_eq!(part, Tensor::from_slice(&[1f32, 1.0, 1.0, 2.0, 2.0, 2.0]).view([2, 3]));
        assert!((whole.sum(Kind::Double).double_value(&[]) - 9.0).abs() < 1e-12);

        let vector = Tensor::zeros([3], (Kind::BFloat16, Device::Cpu));
        assert_eq!(Place::of(&vector).expect("a place").shape(), (1, 3));
        assert!(Place::of(&whole.transpose(0, 1)).is_none(), "columns lie apart");
        assert!(Place::of(&vector.unsqueeze(0).expand([2, 3], false)).is_none(), "rows share memory");
        assert!(Place::of(&whole.view([2, 2, 6])).is_none(), "three axes");
        assert!(Place::of(&whole.narrow(0, 0, 0)).is_none(), "nothing to write");
    }
}
