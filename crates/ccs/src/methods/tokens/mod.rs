//! Methods that read the states of all tokens of a prompt, and the baselines that they must beat.
//!
//! [`attention`] and [`multi_max`] learn where to look; [`pooled`] is logistic regression on the last token's state and on
//! the mean of all tokens'. A pair's logit is f(x⁺) − f(x⁻) + b, a statement's f(x) + b.
//!
//! Fits minimize the mean log loss and ½λ‖θ‖² of all parameters but b, with λ = 1/(C·N) as in logistic regression, by L-BFGS
//! on all training rows at once, from several starts of which the one with the lowest objective is kept. Normalization takes
//! statistics over all tokens of the training rows, each side for itself.

pub mod attention;
mod fit;
mod loss;
pub mod multi_max;
pub mod pooled;
mod space;

pub use fit::{TokenFit, TokenOptions};
