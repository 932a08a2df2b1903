//! The MobileNetV2 paper's experiments (arXiv 1801.04381), as functions that give numbers and figures: what `silhouette
//! experiment` runs.
//!
//! | module | what the paper says | where |
//! | --- | --- | --- |
//! | [`manifold`] | ReLU in few dimensions destroys what a manifold holds, in many it does not | section 3.2, figure 1, lemma 2 |
//! | [`blocks`] | a residual block is the identity and something added to it, so that one can be left out | sections 3.3, 3.4 |
//! | [`split`] | the expanded tensor never has to exist: t slices of it, one at a time | section 5.1 |
//!
//! Experiments that need training are in `scripts/train/ablation.py`. [`chart`] draws.
#![forbid(unsafe_code)]

pub mod blocks;
pub mod chart;
pub mod manifold;
mod random;
pub mod split;
