//! Threads as ranks: what they exchange goes through channels, one for each two of them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use llama_core::Together;
use llama_core::tch::Tensor;

type Problem = Box<dyn std::error::Error + Send + Sync>;
type Message = (&'static str, Tensor);

/// One thread.
struct Thread {
    rank: usize,
    to: Vec<Sender<Message>>,
    from: Vec<Receiver<Message>>,
}

impl Thread {
    /// Every thread's tensor. One that has ended, or does something else, is an error and not a wait for ever.
    fn exchange(&self, what: &'static str, tensor: &Tensor) -> Result<Vec<Tensor>, Problem> {
        assert!(tensor.is_contiguous(), "what is exchanged lies one number after the other");
        for to in &self.to {
            to.send((what, tensor.copy())).map_err(|_| "a rank has ended")?;
        }
        let receive = |from: &Receiver<Message>| -> Result<Tensor, Problem> {
            let (theirs, other) = from.recv_timeout(Duration::from_mins(1))?;
            if (theirs, other.size(), other.kind()) != (what, tensor.size(), tensor.kind()) {
                return Err(format!("{what} of {tensor:?} met {theirs} of {other:?}").into());
            }
            Ok(other)
        };
        self.from.iter().map(receive).collect()
    }
}

impl Together for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn sum(&self, tensor: &Tensor) -> Result<(), Problem> {
        let all = self.exchange("sum", tensor)?;
        let mut sum = all[0].copy();
        for other in &all[1..] {
            sum += other;
        }
        tensor.shallow_clone().copy_(&sum);
        Ok(())
    }

    fn all_gather(&self, tensor: &Tensor) -> Result<Tensor, Problem> {
        Ok(Tensor::stack(&self.exchange("gather", tensor)?, 0))
    }
}

/// What each of so many ranks makes of its place among them.
pub(crate) fn on_ranks<T: Send>(size: usize, work: impl Fn(Box<dyn Together>) -> T + Sync) -> Vec<T> {
    // The channel from each rank to each.
    let (mut to, mut from): (Vec<Vec<_>>, Vec<Vec<_>>) = (0..size).map(|_| (Vec::new(), Vec::new())).unzip();
    for sender in &mut to {
        for receiver in &mut from {
            let (send, receive) = channel();
            sender.push(send);
            receiver.push(receive);
        }
    }
    let ends = to.into_iter().zip(from).enumerate();
    let threads: Vec<Thread> = ends.map(|(rank, (to, from))| Thread { rank, to, from }).collect();
    std::thread::scope(|threads_of| {
        let work = &work;
        let running: Vec<_> =
            threads.into_iter().map(|thread| threads_of.spawn(move || work(Box::new(thread)))).collect();
        running.into_iter().map(|thread| thread.join().expect("a rank")).collect()
    })
}
