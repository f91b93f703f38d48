//! A rank that is lost, and why.

use std::time::Duration;

/// A rank without which the others cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// The rank; `None` where the launcher's store is gone, and with it every other rank.
    pub rank: Option<usize>,
    /// Its host's name.
    pub host: String,
    /// Why it is lost.
    pub cause: Cause,
}

/// Why a rank is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Nothing was heard of it for so long: it was killed or stopped, or its host or the network is gone.
    Silent(Duration),
    /// It failed, and said so ([`Heartbeat::fail`](super::Heartbeat::fail)).
    Failed(String),
    /// The store does not answer any more.
    NoStore,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rank, host, cause } = self;
        let rank = rank.map_or_else(|| "the launcher's store".to_owned(), |rank| format!("rank {rank}"));
        match cause {
            Cause::Silent(time) => {
                write!(f, "{rank} on {host} is gone: nothing heard for {:.0} s", time.as_secs_f64())
            }
            Cause::Failed(problem) => write!(f, "{rank} on {host} failed: {problem}"),
            Cause::NoStore if self.rank.is_some() => {
                write!(f, "{rank} on {host} is gone, and with it the store that it served")
            }
            Cause::NoStore => {
                write!(f, "the launcher's store on {host} is gone, and with it the other ranks")
            }
        }
    }
}
