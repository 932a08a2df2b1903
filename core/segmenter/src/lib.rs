//! On-device segmentation: classifies every pixel of a camera frame or photo with MobileNetV2 and DeepLabV3.
//!
//! From the dependency (`silhouette = "0.1"`) to a mask in ten lines:
//!
//! ```no_run
//! use silhouette::{Model, Options, Segmenter, files::Photo};
//!
//! fn main() -> silhouette::Result<()> {
//!     let model = Model::people()?;
//!     let segmenter = Segmenter::new(&model, &Options::new())?;
//!     let photo = Photo::open("photo.jpg")?;
//!     let segmentation = segmenter.segment(&photo.frame()?)?;
//!     let pixels = segmentation.mask().classes.iter().filter(|&&class| class == 1).count();
//!     println!("{pixels} pixels of people in {:?}", segmentation.timings().total());
//!     Ok(())
//! }
//! ```
//!
//! | to | use |
//! | --- | --- |
//! | segment images, from any number of threads | [`Segmenter`] |
//! | segment a video's frames, temporally smoothed | [`VideoSegmenter`] |
//! | segment a camera's stream, dropping frames that arrive too fast | [`LiveSegmenter`] |
//! | overlay colours, cut out, blur or replace the background | [`Segmentation`]'s methods |
//! | classify a whole image | [`Classifier`] |
//!
//! Frames are borrowed planes ([`Frame`]): RGB, RGBA, BGRA, and YUV as cameras produce it, with strides, rotation,
//! mirroring and a region. Errors are [`Error`], in five kinds that a caller can act on. Nothing is logged per frame.
#![forbid(unsafe_code)]

mod backend;
mod bounds;
#[cfg(any(feature = "people", feature = "voc21"))]
mod builtin;
mod camera;
mod classifier;
mod effects;
mod error;
pub mod eval;
#[cfg(feature = "fixture")]
mod fixture;
mod latest;
mod live;
mod model;
mod options;
mod pool;
mod precision;
mod runner;
mod segmentation;
mod segmenter;
mod smooth;
mod softmax;
mod sync;
mod video;

pub use backend::Reason;
pub use bounds::{MAX_BLUR_RADIUS, MAX_CONCURRENCY, MAX_PAUSE, MAX_PIXELS, MAX_SIZE, MAX_TOLERANCE};
pub use classifier::{Class, Classifier};
pub use effects::{BLUR_RADIUS, Effect, Foreground, OVERLAY_OPACITY};
pub use error::{Error, Problem, Result};
pub use live::{LiveResult, LiveSegmenter};
pub use model::{Model, Task};
pub use options::{Backend, DEFAULT_CONCURRENCY, InputShape, Options, OutputSize, Precision, SHAPES};
pub use segmentation::{ClassShare, Segmentation, Timings};
pub use segmenter::Segmenter;
pub use smooth::Smoothing;
pub use video::VideoSegmenter;

pub use silhouette_engine::engine::Step;
#[cfg(feature = "files")]
pub use silhouette_imaging::files;
pub use silhouette_imaging::frame::{
    Frame, FrameError, PixelFormat, Plane, PlaneName, Region, Rotation, Size, Transform, Transparency, YuvColor,
    YuvMatrix, YuvRange,
};
pub use silhouette_imaging::mask::{Confidence, Mask};
pub use silhouette_imaging::owned::FrameBuffer;
pub use silhouette_imaging::palette::Palette;
pub use silhouette_imaging::picture::{ChannelOrder, Picture};
pub use silhouette_imaging::polygons::{Polygon, fill as filled};

/// This library's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The guide's samples, compiled by the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/rust.md")]
struct Guide;
