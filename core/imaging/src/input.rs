//! Frame to network input in one pass: crop, rotate, mirror, resize, colour and normalisation, one row at a time.
//!
//! A row of the input is computed from a few rows of the buffer (or columns, if the frame is rotated by 90 or 270
//! degrees), which are combined into one f32 line, which is filtered into pixels. Mirroring and half turns are in the
//! order of the filter taps. The full-size image is never stored, and the taps are reused until the geometry changes.

use silhouette_kernels::isa::Isa;
use silhouette_kernels::memory::OutOfMemory;
use silhouette_kernels::resize::{Affine, Taps, combine_columns, combine_rows, filter_line};
use silhouette_kernels::rows::RowSource;
use silhouette_kernels::yuv::{Yuv420, YuvToRgb, combine_yuv_columns, combine_yuv_rows};

pub use silhouette_kernels::resize::Fit;

use crate::frame::{Axes, Frame, PixelFormat, Pixels, Size, Transparency, YuvMatrix, YuvRange};

/// The input that the network expects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputSpec {
    /// The input's size.
    pub size: Size,
    /// Subtracted from red, green and blue (0 to 255).
    pub mean: [f32; 3],
    /// Red, green and blue are then divided by it.
    pub std: [f32; 3],
    /// How an image of another shape is fitted.
    pub fit: Fit,
}

/// The position of the image in the network's input: at the top left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The input's size.
    pub input: Size,
    /// The size of the part of it that the image covers; all of it unless letterboxed.
    pub valid: Size,
}

impl Placement {
    /// The placement of an image of the size `picture` in an input of the size `input`. The short side of a letterboxed
    /// image is rounded to the nearest pixel, at least 1.
    pub fn new(fit: Fit, input: Size, picture: Size) -> Self {
        let valid = match fit {
            Fit::Stretch => input,
            Fit::Letterbox { .. } => {
                let scale = |input: usize, picture: usize| input as f64 / picture.max(1) as f64;
                let scale = scale(input.width, picture.width).min(scale(input.height, picture.height));
                let side = |n: usize, most: usize| ((n as f64 * scale).round() as usize).clamp(1, most);
                Size { height: side(picture.height, input.height), width: side(picture.width, input.width) }
            }
        };
        Self { input, valid }
    }
}

/// The filter taps from frames to one network's input, computed when a frame's geometry is new and reused for the next
/// ones.
#[derive(Clone, Debug)]
pub struct Resampler {
    isa: Isa,
    spec: InputSpec,
    axes: Option<Axes>,
    placement: Placement,
    x: Taps,
    y: Taps,
}

impl Resampler {
    /// For one input, with the fastest kernels of this CPU.
    ///
    /// # Panics
    /// If the input is empty or a side over 65,535.
    pub fn new(spec: InputSpec) -> Self {
        Self::with_isa(spec, Isa::best())
    }

    /// With the kernels of one instruction set, for tests and benches.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn with_isa(spec: InputSpec, isa: Isa) -> Self {
        let side = 1..=usize::from(u16::MAX);
        assert!(side.contains(&spec.size.width) && side.contains(&spec.size.height), "impossible input size");
        Self::make(spec, isa)
    }

    /// For an image of any size.
    pub(crate) fn unbounded(spec: InputSpec) -> Self {
        Self::make(spec, Isa::best())
    }

    fn make(spec: InputSpec, isa: Isa) -> Self {
        let placement = Placement { input: spec.size, valid: spec.size };
        Self { isa, spec, axes: None, placement, x: Taps::default(), y: Taps::default() }
    }

    /// The input that it produces.
    pub fn spec(&self) -> &InputSpec {
        &self.spec
    }

    /// The network's input rows of `frame`. Allocates only if the frame's size, region or orientation differs from the
    /// previous call's.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn rows<'r>(&'r mut self, frame: &Frame<'r>) -> Result<FrameRows<'r>, OutOfMemory> {
        let axes = frame.axes();
        if self.axes != Some(axes) {
            self.axes = None;
            self.placement = Placement::new(self.spec.fit, self.spec.size, frame.region().size());
            let Size { height, width } = self.placement.valid;
            self.x = Taps::triangle(axes.x.start, axes.x.len, axes.x.flip, width)?;
            self.y = Taps::triangle(axes.y.start, axes.y.len, axes.y.flip, height)?;
            self.axes = Some(axes);
        }
        let fill = match self.spec.fit {
            Fit::Letterbox { fill } => f32::from(fill),
            Fit::Stretch => 0.0,
        };
        let mean = self.spec.mean;
        let std = self.spec.std;
        let source = match frame.pixels {
            Pixels::Packed(format, plane) => Source::Packed {
                data: plane.data,
                row_stride: plane.row_stride,
                format,
                straight: frame.transparency() == Transparency::Straight,
            },
            Pixels::Yuv420 { y, u, v, color } => {
                let (kr, kb) = match color.matrix {
                    YuvMatrix::Bt601 => (0.299, 0.114),
                    YuvMatrix::Bt709 => (0.2126, 0.0722),
                };
                Source::Yuv {
                    picture: Yuv420 {
                        planes: [y.data, u.data, v.data],
                        row_strides: [y.row_stride, u.row_stride, v.row_stride],
                        pixel_strides: [y.pixel_stride, u.pixel_stride, v.pixel_stride],
                        width: frame.width(),
                        height: frame.height(),
                    },
                    color: YuvToRgb::new(kr, kb, color.range == YuvRange::Full),
                }
            }
        };
        let bgr = matches!(source, Source::Packed { format: PixelFormat::Bgra, .. });
        Ok(FrameRows {
            isa: self.isa,
            source,
            axes,
            placement: self.placement,
            x: &self.x,
            y: &self.y,
            affine: Affine {
                bgr,
                scale: std.map(|s| 1.0 / s),
                offset: [-mean[0] / std[0], -mean[1] / std[1], -mean[2] / std[2]],
            },
            fill: [(fill - mean[0]) / std[0], (fill - mean[1]) / std[1], (fill - mean[2]) / std[2]],
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    /// `straight`: colours must first be multiplied by alpha.
    Packed {
        data: &'a [u8],
        row_stride: usize,
        format: PixelFormat,
        straight: bool,
    },
    Yuv {
        picture: Yuv420<'a>,
        color: YuvToRgb,
    },
}

impl Source<'_> {
    /// f32 per pixel of the line between the two passes.
    fn channels(&self) -> usize {
        match self {
            Self::Packed { format, .. } => format.bytes_per_pixel(),
            Self::Yuv { .. } => 4,
        }
    }
}

/// A frame as rows of a network's input, (H, W, RGB), normalised.
#[derive(Clone, Copy, Debug)]
pub struct FrameRows<'r> {
    isa: Isa,
    source: Source<'r>,
    axes: Axes,
    placement: Placement,
    x: &'r Taps,
    y: &'r Taps,
    affine: Affine,
    fill: [f32; 3],
}

impl FrameRows<'_> {
    /// The placement of the image in the input.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// First buffer index of the line: chroma pairs begin at even indices.
    fn origin(&self) -> usize {
        match self.source {
            Source::Packed { .. } => self.axes.x.start,
            Source::Yuv { .. } => self.axes.x.start & !1,
        }
    }
}

impl RowSource for FrameRows<'_> {
    fn width(&self) -> usize {
        self.placement.input.width
    }

    fn height(&self) -> usize {
        self.placement.input.height
    }

    fn scratch_len(&self) -> usize {
        // One extra value: three-channel lines are read four values at a time.
        (self.axes.x.start + self.axes.x.len - self.origin()) * self.source.channels() + 1
    }

    fn row(&self, y: usize, scratch: &mut [f32], out: &mut [f32]) {
        assert!(y < self.height(), "row {y} of {}", self.height());
        assert_eq!(out.len(), self.width() * 3, "a row has three values a pixel");
        let Size { height, width } = self.placement.valid;
        let (valid, rest) = out.split_at_mut(if y < height { width * 3 } else { 0 });
        for pixel in rest.chunks_exact_mut(3) {
            pixel.copy_from_slice(&self.fill);
        }
        if valid.is_empty() {
            return;
        }
        let (start, weights) = self.y.run(y);
        let line = &mut scratch[..self.scratch_len()];
        let pixels = line.len() - 1;
        let origin = self.origin();
        let channels = self.source.channels();
        line[pixels] = 0.0;
        match self.source {
            Source::Packed { data, row_stride, straight: true, .. } if self.axes.transposed => {
                let rows = pixels / channels;
                let row_bytes = weights.len() * channels;
                let block = premultiplied(&data[origin * row_stride + start * channels..], row_stride, rows, row_bytes);
                combine_columns(self.isa, &block, row_bytes, channels, weights, &mut line[..pixels]);
            }
            Source::Packed { data, row_stride, straight: true, .. } => {
                let rows = &data[start * row_stride + origin * channels..];
                let block = premultiplied(rows, row_stride, weights.len(), pixels);
                combine_rows(self.isa, &block, pixels, weights, &mut line[..pixels]);
            }
            Source::Packed { data, row_stride, .. } if self.axes.transposed => {
                let src = &data[origin * row_stride + start * channels..];
                combine_columns(self.isa, src, row_stride, channels, weights, &mut line[..pixels]);
            }
            Source::Packed { data, row_stride, .. } => {
                let src = &data[start * row_stride + origin * channels..];
                combine_rows(self.isa, src, row_stride, weights, &mut line[..pixels]);
            }
            Source::Yuv { picture, color } if self.axes.transposed => {
                combine_yuv_columns(self.isa, &picture, &color, start, origin, weights, &mut line[..pixels]);
            }
            Source::Yuv { picture, color } => {
                combine_yuv_rows(self.isa, &picture, &color, origin, start, weights, &mut line[..pixels]);
            }
        }
        filter_line(self.isa, line, origin, channels, self.x, &self.affine, valid);
    }
}

/// Part of a four-channel image, with colours multiplied by alpha, `row_bytes` from row to row. Used only for photos
/// with transparency.
fn premultiplied(data: &[u8], row_stride: usize, rows: usize, row_bytes: usize) -> Vec<u8> {
    let mut block = Vec::with_capacity(rows * row_bytes);
    for row in 0..rows {
        for pixel in data[row * row_stride..][..row_bytes].chunks_exact(4) {
            let scale = |colour: u8| ((u32::from(colour) * u32::from(pixel[3]) + 127) / 255) as u8;
            block.extend([scale(pixel[0]), scale(pixel[1]), scale(pixel[2]), pixel[3]]);
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letterbox_keeps_the_aspect_and_a_pixel() {
        let fit = Fit::Letterbox { fill: 127 };
        let wide = |width, height| Size { height, width };
        let square = Size::square(513);
        assert_eq!(Placement::new(fit, square, wide(1280, 720)).valid, wide(513, 289));
        assert_eq!(Placement::new(fit, square, wide(720, 1280)).valid, wide(289, 513));
        assert_eq!(Placement::new(fit, square, wide(20_000, 1)).valid, wide(513, 1));
        assert_eq!(Placement::new(fit, wide(100, 50), Size::square(10)).valid, Size::square(50));
        assert_eq!(Placement::new(Fit::Stretch, wide(100, 50), Size::square(10)).valid, wide(100, 50));
    }

    #[test]
    fn letterbox_fills_with_the_normalised_grey() {
        let data = [255u8; 4 * 2 * 3];
        let spec = InputSpec {
            size: Size::square(4),
            mean: [127.5; 3],
            std: [127.5, 2.0, 1.0],
            fit: Fit::Letterbox { fill: 128 },
        };
        let mut resampler = Resampler::new(spec);
        let frame = Frame::rgb(&data, 4, 2).unwrap();
        let rows = resampler.rows(&frame).unwrap();
        let mut scratch = vec![0.0; rows.scratch_len()];
        let mut out = vec![0.0; 12];
        rows.row(1, &mut scratch, &mut out);
        assert!((out[0] - 1.0).abs() < 1e-6 && (out[1] - 63.75).abs() < 1e-4 && (out[11] - 127.5).abs() < 1e-3);
        rows.row(2, &mut scratch, &mut out);
        assert_eq!(out[..3], [0.5 / 127.5, 0.25, 0.5]);
    }
}
