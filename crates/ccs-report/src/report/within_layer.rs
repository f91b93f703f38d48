//! What the test rows would have chosen within CCS's layer.

use serde::{Deserialize, Serialize};

use super::evaluation::Sign;

/// CCS at its chosen layer: the selected sign and random start, and those that the test rows would have selected. The
/// latter are oracles, not results: they use the test labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WithinLayer {
    /// The layer.
    pub layer: usize,
    /// Test accuracy with the selected sign and start.
    pub accuracy: f64,
    /// How the sign was chosen.
    pub sign_rule: String,
    /// The selected sign.
    pub sign: Sign,
    /// The better sign on the test rows.
    pub oracle_sign: OracleSign,
    /// How the start was chosen.
    pub restart_rule: String,
    /// The best start on the test rows, each with its sign from the training rows; none for probes with hidden layers.
    pub oracle_restart: Option<OracleRestart>,
}

/// The sign with the better test accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OracleSign {
    /// The sign.
    pub sign: Sign,
    /// Its test accuracy.
    pub accuracy: f64,
    /// How much higher it is than with the selected sign.
    pub gap: f64,
}

/// The start with the best test accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OracleRestart {
    /// The selected start, counted from 0.
    pub kept: usize,
    /// The one with the best test accuracy; the selected one in a tie.
    pub restart: usize,
    /// Its test accuracy.
    pub accuracy: f64,
    /// How much higher it is than with the selected start.
    pub gap: f64,
}
