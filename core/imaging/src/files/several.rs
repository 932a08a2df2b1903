//! What a file holds besides the image that was read.

/// What a file has several of, of which a photo is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Several {
    /// Frames of an animation (GIF, APNG, WebP).
    Frames,
    /// Pages (TIFF).
    Pages,
}
