//! Hooks that want nothing cost nothing: a run allocates no more for them, however many points it passes.
//!
//! A binary of its own, because the allocator that counts is the whole program's.

#![allow(clippy::expect_used)] // a test that cannot go on fails
#![allow(unsafe_code)] // an allocator is unsafe by its trait

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use llama_core::tch::Device;
use llama_core::{Batch, Capture, Config, Forward, HookPoint, HookSet, Llama, Precision, Tokens};

/// The system's allocator, counting what the thread at hand asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

// SAFETY: passes every call on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (calls, bytes) = ASKED.get();
        ASKED.set((calls + 1, bytes + layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls and bytes that one forward pass asks the allocator for.
fn asked(n_layers: usize, set: Option<HookSet>) -> (usize, usize) {
    let config = Config {
        dim: 8,
        n_layers,
        n_heads: 2,
        n_kv_heads: 1,
        head_dim: 4,
        hidden_dim: 16,
        vocab_size: 20,
        norm_eps: 1e-5,
        ..Config::default()
    };
    let llama = Llama::random(&config, 0, Precision::F32, Device::Cpu).expect("model");
    let batch = Batch::new(&[vec![1u32, 2, 3], vec![4]]).expect("batch");
    let mut capture = set.map(|set| Capture::new(set, Tokens::Last));
    let mut run = Forward::new().logits(Tokens::Last);
    if let Some(capture) = &mut capture {
        run = run.hook(capture);
    }
    let before = ASKED.get();
    let output = llama.forward(&batch, run).expect("forward");
    let after = ASKED.get();
    assert!(output.logits.is_some());
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn points_that_nobody_wants_allocate_nothing() {
    let more = |n_layers, set: HookSet| {
        let (plain, hooked) = (asked(n_layers, None), asked(n_layers, Some(set)));
        (hooked.0 - plain.0, hooked.1 - plain.1)
    };
    // What a hook costs does not depend on how many points it does not want: 21 a block.
    assert_eq!(more(2, HookSet::new()), more(20, HookSet::new()));
    assert_eq!(more(2, HookPoint::Embed.into()), more(20, HookPoint::Embed.into()));
    // The count counts: a wanted point does allocate.
    assert!(more(2, HookSet::residual_stream(2)) > more(2, HookPoint::Embed.into()));
}
