//! Contrast-Consistent Search (Burns et al. 2022) and its relatives: from the hidden states of contrast pairs to a probe for
//! truth, and to how accurate it is on rows that nothing was fitted on. Tensors in, probe and accuracy out: the crate knows
//! no model, no store and no report.
//!
//! ```
//! use ccs::fit::ccs::{CcsOptions, ccs};
//! use ccs::{Contrast, rng::Stream, split::Split};
//! use tch::{Device, Kind, Tensor};
//!
//! // 200 pairs in 8 dimensions; the last one carries the truth, with opposite signs on the two sides.
//! let labels: Vec<bool> = (0..200).map(|i| i % 3 != 0).collect();
//! let truth = Tensor::from_slice(&labels.iter().map(|&l| if l { 1f32 } else { -1.0 }).collect::<Vec<_>>());
//! let noise = |step: f64| (Tensor::arange(1600, (Kind::Float, Device::Cpu)) * step).sin().reshape([200, 8]);
//! let (mut plus, mut minus) = (noise(1.7), noise(2.3));
//! plus.select(1, 7).copy_(&truth);
//! minus.select(1, 7).copy_(&-truth);
//!
//! // Each pair is its own group here; pairs about one passage would share one.
//! let groups: Vec<String> = (0..200).map(|i| format!("passage {i}")).collect();
//! let pairs = Contrast::new(plus, minus, labels, groups)?;
//! let stream = Stream::new(0);
//! let split = Split::grouped(pairs.labels(), pairs.groups(), 0.4, &stream)?;
//! let fit = ccs(&pairs.select(&split.train)?, &CcsOptions::default(), &stream)?;
//! assert!(fit.probe.accuracy(&pairs.select(&split.test)?)? > 0.95);
//! # Ok::<(), ccs::Error>(())
//! ```
//!
//! The crate `ccs-trainer` does all of it for every layer of a store.

pub mod baselines;
pub mod bootstrap;
pub mod calibrate;
mod contrast;
pub mod ensemble;
pub mod erase;
mod error;
pub mod fit;
pub mod head;
pub mod loss;
pub mod metrics;
pub mod normalize;
pub mod probe;
pub mod rng;
pub mod select;
pub mod split;

pub use contrast::Contrast;
#[doc(hidden)]
pub use contrast::{both_labels, pick};
pub use error::{Error, Result};
pub use probe::Probe;
pub use tch;
