//! What is read of a weight: all of it, or what one of several processes holds.

/// Some rows or columns of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// 0 for rows, 1 for columns.
    pub(crate) axis: usize,
    pub(crate) from: i64,
    pub(crate) count: i64,
}

impl Part {
    /// The part's shape, of a weight of this shape.
    pub(crate) fn shape(self, whole: &[i64]) -> Vec<i64> {
        let mut shape = whole.to_vec();
        shape[self.axis] = self.count;
        shape
    }

    /// What it shares with `count` rows (or columns) from `from` on, counted from there.
    pub(super) fn within(self, from: i64, count: i64) -> Option<Self> {
        let (start, end) = (self.from.max(from), (self.from + self.count).min(from + count));
        (start < end).then_some(Self { axis: self.axis, from: start - from, count: end - start })
    }
}

/// What is wanted of a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// `None` is all of it.
    pub(crate) part: Option<Part>,
    /// Of equal copies, as model-parallel files have them, this one.
    pub(crate) copy: usize,
}

impl Wanted {
    /// All of a weight.
    pub(crate) const ALL: Self = Self { part: None, copy: 0 };

    /// The shape of what is wanted, of a weight of this shape.
    pub(crate) fn shape(self, whole: Vec<i64>) -> Vec<i64> {
        match self.part {
            Some(part) => part.shape(&whole),
            None => whole,
        }
    }
}
