//! Contrast-Consistent Search (Burns et al. 2022) and its relatives: from the hidden states of contrast pairs to a probe for
//! truth, and to how accurate it is on rows that nothing was fitted on. Tensors in, probe and accuracy out: the crate knows
//! no model, no store and no report.
//!
//! ```
//! use ccs::tch::{Device, Kind, Tensor};
//! use ccs::{Ccs, Contrast, Fit, SeedTree, Split};
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
//! let seeds = SeedTree::new(0);
//! let split = Split::grouped(pairs.labels(), pairs.groups(), 0.4, &seeds)?;
//! let probe = Ccs::default().fit(&pairs.select(&split.train)?, &seeds)?.probe;
//! let found = probe.evaluate(&pairs.select(&split.test)?)?;
//! assert!(found.accuracy > 0.95 && found.accuracy_interval.is_some());
//! # Ok::<(), ccs::Error>(())
//! ```
//!
//! A method is a value with its hyper-parameters, and every method is fitted by [`Fit::fit`]; [`REGISTRY`] has all of them.
//! [`Probe::scores`] scores states without labels. The crate `ccs-trainer` does all of it for every layer of a store.
//!
//! Names that are re-exported here are what the crate offers. Its modules hold what else `ccs-trainer` needs; they are hidden
//! in the documentation, and may change in any release.

#[doc(hidden)]
pub mod baselines;
#[doc(hidden)]
pub mod chance;
mod contrast;
#[doc(hidden)]
pub mod directions;
#[doc(hidden)]
pub mod ensemble;
mod error;
mod floats;
#[doc(hidden)]
pub mod loss;
#[doc(hidden)]
pub mod methods;
#[doc(hidden)]
pub mod negation;
#[doc(hidden)]
pub mod normalize;
#[doc(hidden)]
pub mod probe;
mod seeds;
mod shuffle;
#[doc(hidden)]
pub mod spectrum;
mod statements;
#[doc(hidden)]
pub mod stats;
mod tokens;

pub use contrast::Contrast;
#[doc(hidden)]
pub use contrast::{both_labels, pick};
pub use error::{Error, Result};
pub use loss::CcsLoss;
pub use methods::bss::Bss;
pub use methods::ccs::{Ccs, Init, Optimizer};
pub use methods::inlp::Inlp;
pub use methods::kmeans::KMeans;
pub use methods::logistic::{LrInput, LrOptions};
pub use methods::logistic_regression::{LogisticRegression, PenaltyRule};
pub use methods::means::{Lda, MeanDifference, Shrinkage};
pub use methods::quadratic::{Objective, Quadratic};
pub use methods::{Convergence, Entry, Fit, Fitted, Precision, REGISTRY, Starts};
pub use normalize::{Normalization, Normalizer};
pub use probe::{Affine, Calibration, HiddenLayers, Probe, ProbeInput, Sign, TokenReader, TokenShares};
pub use seeds::SeedTree;
pub use statements::Statements;
pub use stats::calibrate::Platt;
pub use stats::evaluation::Evaluation;
pub use stats::intervals::Interval;
pub use stats::split::Split;
pub use tch;
pub use tokens::TokenStates;
