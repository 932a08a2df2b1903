//! Post-training quantisation: a float model to 8-bit integers, with calibration pictures and without training.
//!
//! [`quantise()`] folds batch norm, equalises channels, chooses the range of every edge, rounds weights and corrects
//! biases, each by what it does to the outputs of layers or of the network, and reports what became of every layer.
//! [`Reference`] runs float and quantised models in readable arithmetic.
#![forbid(unsafe_code)]

mod compare;
mod correct;
mod equalise;
mod error;
mod grid;
mod histogram;
mod integers;
mod layers;
mod moments;
mod pictures;
mod program;
mod quantise;
mod ranges;
mod reference;
mod report;
mod rounding;
mod run;
mod statistics;
mod threads;

pub use error::QuantiseError;
pub use pictures::{MAX_VALUES, Picture};
pub use quantise::{Options, Progress, Quantised, quantise};
pub use ranges::Choice;
pub use reference::Reference;
pub use report::{ARITHMETIC, LayerReport, OutputReport, Report};
pub use rounding::How;
