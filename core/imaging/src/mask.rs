//! Logits to masks: a class per pixel, or the network's confidence in chosen classes, at any size.

use silhouette_kernels::isa::Isa;
use silhouette_kernels::memory::{self, OutOfMemory};
use silhouette_kernels::upsample::{self, Axis, Upsample};

pub use silhouette_kernels::upsample::Resize;

use crate::frame::{FrameError, Plane, PlaneName, Size};
use crate::input::Placement;

/// One class per pixel, rows from top to bottom, no padding.
///
/// ```
/// # use silhouette_imaging::mask::Mask;
/// let mask = Mask { width: 3, height: 1, classes: vec![0, 15, 15] };
/// assert_eq!(mask.histogram()[15], 2);
/// let mut rows = [9; 4];
/// mask.copy_into(&mut rows, 4)?;
/// assert_eq!(rows, [0, 15, 15, 9]);
/// # Ok::<(), silhouette_imaging::frame::FrameError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Class of each pixel, `width * height` bytes.
    pub classes: Vec<u8>,
}

impl Mask {
    /// A mask of class 0.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, classes: vec![0; width * height] }
    }

    /// Changes the size, reusing the memory. The contents are then unspecified.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the mask is then unchanged.
    pub fn reshape(&mut self, width: usize, height: usize) -> Result<(), OutOfMemory> {
        memory::resize(&mut self.classes, width.saturating_mul(height), 0, "a mask")?;
        (self.width, self.height) = (width, height);
        Ok(())
    }

    /// Copies the classes into `out`, `row_stride` bytes from row to row; bytes between the rows are not written.
    ///
    /// # Errors
    /// A stride below a row's bytes; fewer bytes than (height - 1) * `row_stride` + width.
    pub fn copy_into(&self, out: &mut [u8], row_stride: usize) -> Result<(), FrameError> {
        copy_rows(&self.classes, self.width, self.height, out, row_stride)
    }

    /// The pixels of the classes whose flag in `kept` is set; the others become class 0.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn only(&self, kept: &[bool; 256]) -> Result<Self, OutOfMemory> {
        let mut classes = Vec::new();
        memory::reserve(&mut classes, self.classes.len(), "a mask")?;
        classes.extend(self.classes.iter().map(|&class| if kept[usize::from(class)] { class } else { 0 }));
        Ok(Self { width: self.width, height: self.height, classes })
    }

    /// 1 for each pixel of a class whose flag in `chosen` is set, 0 for the others.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn binary(&self, chosen: &[bool; 256]) -> Result<Self, OutOfMemory> {
        let mut classes = Vec::new();
        memory::reserve(&mut classes, self.classes.len(), "a mask")?;
        classes.extend(self.classes.iter().map(|&class| u8::from(chosen[usize::from(class)])));
        Ok(Self { width: self.width, height: self.height, classes })
    }

    /// Number of pixels of each of the 256 possible classes.
    pub fn histogram(&self) -> [usize; 256] {
        let mut counts = [0; 256];
        for &class in &self.classes {
            counts[usize::from(class)] += 1;
        }
        counts
    }
}

/// How much each pixel belongs to the chosen classes: 0 (not at all) to 255 (fully). Used as alpha by the effects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confidence {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` values.
    pub values: Vec<u8>,
}

impl Confidence {
    /// Changes the size, reusing the memory. The contents are then unspecified.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the confidence is then unchanged.
    pub fn reshape(&mut self, width: usize, height: usize) -> Result<(), OutOfMemory> {
        memory::resize(&mut self.values, width.saturating_mul(height), 0, "a confidence")?;
        (self.width, self.height) = (width, height);
        Ok(())
    }

    /// Copies the values into `out`, as [`Mask::copy_into`] does.
    ///
    /// # Errors
    /// As [`Mask::copy_into`].
    pub fn copy_into(&self, out: &mut [u8], row_stride: usize) -> Result<(), FrameError> {
        copy_rows(&self.values, self.width, self.height, out, row_stride)
    }
}

fn copy_rows(bytes: &[u8], width: usize, height: usize, out: &mut [u8], row_stride: usize) -> Result<(), FrameError> {
    if bytes.is_empty() {
        return Ok(());
    }
    Plane { data: out, row_stride, pixel_stride: 1 }.check(PlaneName::Pixels, height, width, 1)?;
    // A single row may have any stride, even 0.
    for (row, to) in bytes.chunks_exact(width).zip(out.chunks_mut(row_stride.max(width))) {
        to[..width].copy_from_slice(row);
    }
    Ok(())
}

/// The network's output: `height * width * classes` f32, channels last.
#[derive(Clone, Copy, Debug)]
pub struct Logits<'a> {
    /// `[height][width][classes]`.
    pub values: &'a [f32],
    /// Of the map.
    pub size: Size,
    /// Classes, 1 to 256.
    pub classes: usize,
}

/// The mask to compute from the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskSpec {
    /// How the grid of logits is laid over the network's input.
    pub resize: Resize,
    /// The placement of the image in the network's input; the rest is cropped.
    pub placement: Placement,
    /// The mask's size: the placement's valid part for the model's own size, the frame's region for the frame's size.
    pub size: Size,
}

/// Computes masks from logits; holds interpolation weights and scratch memory, recomputed only when the geometry
/// changes.
#[derive(Clone, Debug)]
pub struct Upsampler {
    isa: Isa,
    made_for: Option<(Size, MaskSpec)>,
    up: Upsample,
    scratch: Vec<f32>,
}

impl Default for Upsampler {
    fn default() -> Self {
        Self::new()
    }
}

impl Upsampler {
    /// With the fastest kernels of this CPU.
    pub fn new() -> Self {
        Self::with_isa(Isa::best())
    }

    /// With the kernels of one instruction set, for tests and benches.
    pub fn with_isa(isa: Isa) -> Self {
        Self { isa, made_for: None, up: Upsample::default(), scratch: Vec::new() }
    }

    /// Computes the weights for logits of this size, if they differ from the previous call's.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    ///
    /// # Panics
    /// If a size is 0 or over 2^24, or the valid part is larger than the input.
    pub fn prepare(&mut self, logits: Size, spec: &MaskSpec) -> Result<(), OutOfMemory> {
        if self.made_for == Some((logits, *spec)) {
            return Ok(());
        }
        let Placement { input, valid } = spec.placement;
        self.up = Upsample {
            rows: Axis::new(logits.height, input.height, valid.height, spec.size.height, spec.resize)?,
            columns: Axis::new(logits.width, input.width, valid.width, spec.size.width, spec.resize)?,
        };
        self.made_for = Some((logits, *spec));
        Ok(())
    }

    /// The most likely class of each pixel; ties go to the lowest.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the mask is then unchanged.
    ///
    /// # Panics
    /// As [`prepare`](Self::prepare), or if the length of `logits` does not match its sizes or the number of classes is
    /// not 1 to 256.
    pub fn categories(&mut self, logits: &Logits<'_>, spec: &MaskSpec, mask: &mut Mask) -> Result<(), OutOfMemory> {
        self.prepare(logits.size, spec)?;
        self.grow(self.up.scratch(logits.classes))?;
        mask.reshape(spec.size.width, spec.size.height)?;
        let Self { isa, up, scratch, .. } = self;
        upsample::categories(*isa, logits.values, logits.classes, up, 0..spec.size.height, scratch, &mut mask.classes);
        Ok(())
    }

    /// The softmax probability that a pixel belongs to one of the classes `chosen` (one flag per class), 0 to 255.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the confidence is then unchanged.
    ///
    /// # Panics
    /// As [`categories`](Self::categories), or if the number of flags is not the number of classes.
    pub fn confidence(
        &mut self,
        logits: &Logits<'_>,
        chosen: &[bool],
        spec: &MaskSpec,
        out: &mut Confidence,
    ) -> Result<(), OutOfMemory> {
        assert_eq!(chosen.len(), logits.classes, "one flag per class");
        self.prepare(logits.size, spec)?;
        self.grow(self.up.scratch(logits.classes))?;
        out.reshape(spec.size.width, spec.size.height)?;
        let Self { isa, up, scratch, .. } = self;
        upsample::confidence_u8(*isa, logits.values, chosen, up, 0..spec.size.height, scratch, &mut out.values);
        Ok(())
    }

    fn grow(&mut self, len: usize) -> Result<(), OutOfMemory> {
        if self.scratch.len() < len {
            memory::resize(&mut self.scratch, len, 0.0, "rows of logits")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letterboxed_masks_hold_only_the_picture() {
        // 4x4 logits of two classes: class 1 in the upper half. The image is the upper half of the input.
        let mut values = vec![0.0; 4 * 4 * 2];
        for (i, pixel) in values.chunks_exact_mut(2).enumerate() {
            pixel[usize::from(i < 8)] = 1.0;
        }
        let logits = Logits { values: &values, size: Size::square(4), classes: 2 };
        let spec = MaskSpec {
            resize: Resize::HalfPixel,
            placement: Placement { input: Size::square(64), valid: Size { height: 32, width: 64 } },
            size: Size { height: 25, width: 50 },
        };
        let mut up = Upsampler::new();
        let mut mask = Mask::default();
        up.categories(&logits, &spec, &mut mask).unwrap();
        assert_eq!((mask.width, mask.height, mask.classes.len()), (50, 25, 50 * 25));
        assert!(mask.classes.iter().all(|&c| c == 1));
        let whole = MaskSpec { placement: Placement { input: Size::square(64), valid: Size::square(64) }, ..spec };
        up.categories(&logits, &whole, &mut mask).unwrap();
        // The middle row is a tie, resolved as class 0.
        assert_eq!(mask.histogram()[..3], [13 * 50, 12 * 50, 0]);
        let mut c = Confidence::default();
        up.confidence(&logits, &[false, true], &spec, &mut c).unwrap();
        let sure = 1.0 / (1.0 + (-1.0f32).exp()) * 255.0;
        assert_eq!(c.values[0], sure.round() as u8);
    }

    #[test]
    fn rows_are_copied_with_any_stride_and_nothing_between_them() {
        let mask = Mask { width: 3, height: 2, classes: vec![1, 2, 3, 4, 5, 6] };
        let mut out = [9; 8];
        mask.copy_into(&mut out, 5).unwrap();
        assert_eq!(out, [1, 2, 3, 9, 9, 4, 5, 6]);
        assert!(matches!(mask.copy_into(&mut out, 2), Err(FrameError::RowStride { expected: 3, found: 2, .. })));
        assert!(matches!(mask.copy_into(&mut out, 6), Err(FrameError::PlaneTooShort { expected: 9, found: 8, .. })));
        assert!(matches!(mask.copy_into(&mut out, usize::MAX), Err(FrameError::Overflow { .. })));
        let confidence = Confidence { width: 3, height: 1, values: vec![7, 8, 9] };
        confidence.copy_into(&mut out[..3], 0).unwrap();
        assert_eq!(out[..3], [7, 8, 9]);
    }
}
