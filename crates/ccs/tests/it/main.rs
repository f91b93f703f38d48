//! The crate from outside: against PyTorch and scikit-learn, on planted data, over whole runs, and as a program.

mod bad_input;
mod cli;
mod data;
mod golden;
mod oracle;
mod planted;
mod runs;
