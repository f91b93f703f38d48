//! Some columns of a matrix, row by row out of rows that may be quantized in blocks.

use tch::Kind;

use super::format::{Format, Room};

/// Some numbers of every row.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// Bytes of a row: the blocks that hold the numbers.
    bytes: std::ops::Range<usize>,
    /// Numbers in those blocks before the wanted ones, and all of them.
    before: usize,
    there: usize,
    wanted: usize,
}

impl Columns {
    /// `count` numbers of rows of whole blocks, from one on.
    pub(super) fn new(format: Format, from: usize, count: usize) -> Self {
        let (numbers, bytes) = format.block();
        let (first, end) = (from / numbers, (from + count).div_ceil(numbers));
        Self {
            bytes: first * bytes..end * bytes,
            before: from - first * numbers,
            there: (end - first) * numbers,
            wanted: count,
        }
    }

    /// Converts a row's wanted numbers; says whether every number of their blocks is finite.
    pub(super) fn convert(
        &self,
        format: Format,
        row: &[u8],
        kind: Kind,
        into: &mut [u8],
        room: &mut Room,
    ) -> bool {
        let Some(source) = row.get(self.bytes.clone()) else { return false };
        if self.there == self.wanted {
            return format.convert(source, kind, into, room);
        }
        // Blocks that are cut: all of their numbers, and then the wanted ones.
        let width = kind.elt_size_in_bytes();
        let mut all = vec![0; self.there * width];
        let finite = format.convert(source, kind, &mut all, room);
        into.copy_from_slice(&all[self.before * width..(self.before + self.wanted) * width]);
        finite
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::elements::format::ROOM;

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
    }

    #[test]
    fn columns_are_those_of_the_row() {
        let row: Vec<u8> = (0..7u8).flat_map(|n| f32::from(n).to_le_bytes()).collect();
        let format = Format::Plain(Kind::Float);
        let mut into = [0; 12];
        assert!(Columns::new(format, 2, 3).convert(format, &row, Kind::Float, &mut into, &mut ROOM.clone()));
        assert_eq!(floats(&into), [2.0, 3.0, 4.0]);
        assert!(!Columns::new(format, 5, 3).convert(format, &row, Kind::Float, &mut into, &mut ROOM.clone()));
    }

    #[cfg(feature = "gguf")]
    #[test]
    fn blocks_may_be_cut() {
        use crate::checkpoint::elements::Blocks;
        // Blocks of four numbers, each a byte.
        let read = |source: &[u8], numbers: &mut [f32]| {
            numbers.iter_mut().zip(source).for_each(|(number, byte)| *number = f32::from(*byte));
        };
        let format = Format::Blocks(Blocks { numbers: 4, bytes: 4, read });
        let row: Vec<u8> = (0..12).collect();
        for (from, count) in [(0, 12), (4, 4), (3, 2), (5, 6), (7, 1), (0, 3)] {
            let mut into = vec![0; 4 * count];
            let columns = Columns::new(format, from, count);
            assert!(columns.convert(format, &row, Kind::Float, &mut into, &mut ROOM.clone()));
            let expected: Vec<f32> = (from..from + count).map(|n| n as f32).collect();
            assert_eq!(floats(&into), expected, "{count} from {from}");
        }
    }
}
