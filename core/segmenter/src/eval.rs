//! Scoring: masks made by a stated protocol, and the confusion matrix against true labels with what is read from it.

mod average;
mod boundary;
mod confusion;
mod evaluator;

pub use boundary::Boundary;
pub use confusion::{Confusion, Mismatch, VOID};
pub use evaluator::{Back, Borders, Evaluator, Protocol};
