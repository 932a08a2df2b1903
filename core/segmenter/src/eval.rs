//! Scoring: masks computed by a defined protocol, and the confusion matrix with the ground truth and its metrics.

mod average;
mod boundary;
mod confusion;
mod evaluator;

pub use boundary::Boundary;
pub use confusion::{Confusion, Mismatch, VOID};
pub use evaluator::{Back, Borders, Evaluator, Protocol};
