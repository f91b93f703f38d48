//! Memory that one tensor gave back is there for the next.
//!
//! A program of its own, because how memory is taken is the whole program's, and of its main thread: glibc gives other
//! threads heaps of 64 MiB.

#![allow(clippy::expect_used)] // a test that cannot go on fails

use torch_runtime::tch::{Device, Kind, Tensor};

/// Pages that this thread has got from the system so far.
fn faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("stat");
    let behind_name = stat.rsplit_once(')').expect("a name").1;
    behind_name.split_whitespace().nth(7).and_then(|n| n.parse().ok()).expect("minor faults")
}

/// Pages that a tensor of 64 MiB, filled and dropped, costs after the first.
fn of_the_next() -> u64 {
    let take = || {
        // In stretches that LibTorch fills on this thread.
        let tensor = Tensor::empty([4096, 4096], (Kind::Float, Device::Cpu));
        (0..4096).for_each(|row| drop(tensor.get(row).fill_(1.0)));
    };
    take();
    let before = faults();
    take();
    faults() - before
}

fn main() {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return;
    }
    let pages = (64 << 20) / 4096;
    let before = of_the_next();
    if !torch_runtime::memory::keep_freed() {
        return; // the user has chosen otherwise
    }
    let kept = of_the_next();
    assert!(kept < pages / 16 && kept < before, "{before} pages before, {kept} after");
}
