//! Camera frames to the network's input rows, logits to masks, masks to images. No candle here.
//!
//! The path of a frame: [`frame::Frame`] (checked, borrowed planes) -> [`input::Resampler`] (crop, rotate, mirror,
//! resize, colour and normalisation in one pass, row by row) -> the network -> [`mask::Upsampler`] (a class or a
//! confidence per pixel, at any size, never all planes) -> [`mask::Mask`] -> [`picture::Picture`] (overlay, cut-out,
//! blur, replace).

#![forbid(unsafe_code)]

mod background;
mod blend;
mod blur;
mod crop;
#[cfg(feature = "files")]
pub mod files;
pub mod frame;
pub mod input;
pub mod mask;
pub mod owned;
pub mod palette;
pub mod picture;
mod pieces;
pub mod polygons;
pub mod refine;
