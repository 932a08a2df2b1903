//! Scoring: masks and alphas computed by a defined protocol, and their metrics against ground truth.

mod alpha;
mod average;
mod border;
mod boundary;
mod confusion;
mod evaluator;
mod flicker;

pub use crate::camera::{Grey, Shift, camera_shift};
pub use alpha::{AlphaScore, AlphaSummary, AlphaTruth, FOREGROUND_SIZES, TruthValue};
pub use boundary::Boundary;
pub use confusion::{Confusion, Mismatch, VOID};
pub use evaluator::{Alphas, Back, Border, Borders, Evaluator, Protocol};
pub use flicker::{Flicker, Still};
