//! The MobileNetV2 paper's experiments (arXiv 1801.04381), as functions that return numbers and figures, for
//! `silhouette experiment`.
//!
//! | module | the paper's claim | where |
//! | --- | --- | --- |
//! | [`manifold`] | ReLU in few dimensions destroys the information of a manifold, in many it does not | section 3.2, figure 1, lemma 2 |
//! | [`blocks`] | a residual block is the identity plus something, so one can be left out | sections 3.3, 3.4 |
//! | [`split`] | the expanded tensor need never exist whole: it is computed in t slices, one at a time | section 5.1 |
//!
//! Experiments that need training are in `scripts/train/ablation.py`. [`chart`] draws.
#![forbid(unsafe_code)]

pub mod blocks;
pub mod chart;
pub mod manifold;
mod random;
pub mod split;
