//! A batch's states between two ranks: the lengths of its parts, then all numbers.

use activations::{BatchStates, ColumnStates, RowKind};
use llama_core::tch::{Device, Kind, Tensor};
use torch_runtime::dist::Group;

use crate::error::{Error, Result, unfit};
use crate::extract::batch::torch;

/// What a rank says of a batch that it has computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    pub(super) rank: usize,
    pub(super) batch: usize,
}

impl Announcement {
    /// As the store of the ranks has it.
    pub(super) fn write(&self) -> Vec<u8> {
        let Self { rank, batch } = self;
        format!("{rank} {batch}").into_bytes()
    }

    pub(super) fn read(said: &[u8]) -> Result<Self> {
        let said = String::from_utf8_lossy(said);
        let mut numbers = said.split(' ').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(rank)), Some(Ok(batch))) => Ok(Self { rank, batch }),
            _ => Err(unfit(format!("a rank announced `{said}`"))),
        }
    }
}

/// The only kind of message between ranks here.
const TAG: i32 = 1;

/// Bytes of a batch's states.
pub(super) fn bytes(states: &BatchStates) -> u64 {
    let sides = states.columns.iter().flat_map(ColumnStates::sides);
    sides.map(|(_, numbers)| size_of_val(numbers) as u64).sum()
}

/// Sends a batch's states to a rank that receives them.
pub(super) fn send(group: &Group, states: &BatchStates, to: usize) -> Result<()> {
    let sides: Vec<&[f32]> =
        states.columns.iter().flat_map(ColumnStates::sides).map(|(_, side)| side).collect();
    let lengths: Vec<i64> = sides.iter().map(|side| side.len() as i64).collect();
    let numbers = sides.concat();
    group.send(&torch(Tensor::f_from_slice(&lengths))?, to, TAG)?;
    Ok(group.send(&torch(Tensor::f_from_slice(&numbers))?, to, TAG)?)
}

/// Receives the states of a batch of rows of a kind.
pub(super) fn receive(group: &Group, from: usize, kind: RowKind) -> Result<BatchStates> {
    let lengths = group.receive(from, TAG)?;
    let lengths: Vec<i64> = torch(Vec::try_from(&lengths))?;
    let numbers = group.receive(from, TAG)?;
    let unfit = || unfit(format!("rank {from} sent states that are not of its batch"));
    let total: i64 = lengths.iter().sum();
    if numbers.kind() != Kind::Float || numbers.numel() as i64 != total || lengths.iter().any(|n| *n < 0) {
        return Err(unfit());
    }
    let mut all = vec![0f32; numbers.numel()];
    let whole = torch(numbers.f_to_device(Device::Cpu))?;
    torch(whole.f_copy_data(&mut all, numbers.numel()))?;
    let mut rest = all.as_slice();
    let mut lengths = lengths.into_iter();
    let mut columns = Vec::new();
    while lengths.len() > 0 {
        columns.push(ColumnStates::try_each(kind, |_| {
            let (side, others) = rest.split_at(lengths.next().ok_or_else(unfit)? as usize);
            rest = others;
            Ok::<_, Error>(side.to_vec())
        })?);
    }
    Ok(BatchStates { columns })
}
