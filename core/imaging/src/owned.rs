//! An owned copy of a frame, for callers that must return the camera's buffer before using it.

use silhouette_kernels::memory::{self, OutOfMemory};

use crate::frame::{Frame, PixelFormat, Pixels, Plane, Region, Rotation, Transparency, YuvColor};

/// The copied bytes of a frame, and all of its metadata. Copying again reuses the memory.
///
/// ```
/// # use silhouette_imaging::{frame::{Frame, FrameError}, owned::FrameBuffer};
/// let mut copy = FrameBuffer::default();
/// {
///     let camera = vec![7; 64 * 48 * 3];
///     copy.copy_from(&Frame::rgb(&camera, 64, 48)?)?;
/// } // The camera has its buffer back.
/// assert_eq!(copy.frame().map(|frame| frame.width()), Some(64));
/// # Ok::<(), FrameError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct FrameBuffer {
    planes: [Vec<u8>; 3],
    shape: Option<Shape>,
}

/// A frame without its bytes.
#[derive(Clone, Copy, Debug)]
struct Shape {
    layout: Layout,
    width: usize,
    height: usize,
    rotation: Rotation,
    mirror: bool,
    region: Region,
    transparency: Transparency,
}

#[derive(Clone, Copy, Debug)]
enum Layout {
    Packed {
        format: PixelFormat,
        row_stride: usize,
    },
    /// Row and pixel strides of Y, U and V.
    Yuv420 {
        strides: [(usize, usize); 3],
        color: YuvColor,
    },
}

impl FrameBuffer {
    /// Copies a frame's planes unchanged, including strides, up to the last sample.
    ///
    /// # Errors
    /// [`OutOfMemory`]; it then holds no frame.
    pub fn copy_from(&mut self, frame: &Frame<'_>) -> Result<(), OutOfMemory> {
        self.shape = None;
        let width = frame.width();
        let height = frame.height();
        let layout = match frame.pixels {
            Pixels::Packed(format, plane) => {
                copy(&mut self.planes[0], plane, height, width, format.bytes_per_pixel())?;
                Layout::Packed { format, row_stride: plane.row_stride }
            }
            Pixels::Yuv420 { y, u, v, color } => {
                copy(&mut self.planes[0], y, height, width, 1)?;
                let [_, to_u, to_v] = &mut self.planes;
                for (to, plane) in [(to_u, u), (to_v, v)] {
                    copy(to, plane, height.div_ceil(2), width.div_ceil(2), 1)?;
                }
                Layout::Yuv420 { strides: [y, u, v].map(|plane| (plane.row_stride, plane.pixel_stride)), color }
            }
        };
        let rotation = frame.rotation();
        let mirror = frame.is_mirrored();
        let region = frame.region();
        let transparency = frame.transparency();
        self.shape = Some(Shape { layout, width, height, rotation, mirror, region, transparency });
        Ok(())
    }

    /// The frame; `None` before the first copy.
    pub fn frame(&self) -> Option<Frame<'_>> {
        let Shape { layout, width, height, rotation, mirror, region, transparency } = self.shape?;
        let [first, second, third] = &self.planes;
        let frame = match layout {
            Layout::Packed { format, row_stride } => Frame::packed(format, first, width, height, row_stride),
            Layout::Yuv420 { strides, color } => {
                let plane = |data, (row_stride, pixel_stride)| Plane { data, row_stride, pixel_stride };
                let [y, u, v] = strides;
                Frame::yuv420(plane(first, y), plane(second, u), plane(third, v), width, height, color)
            }
        };
        // A copy of a checked frame passes the same checks.
        frame.ok()?.transparent(transparency).rotated(rotation).mirrored(mirror).cropped(region).ok()
    }
}

fn copy(to: &mut Vec<u8>, plane: Plane<'_>, rows: usize, columns: usize, sample: usize) -> Result<(), OutOfMemory> {
    let used = (rows - 1) * plane.row_stride + (columns - 1) * plane.pixel_stride + sample;
    to.clear();
    memory::reserve(to, used, "a frame's copy")?;
    to.extend_from_slice(&plane.data[..used]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &Frame<'_>, b: &Frame<'_>) {
        assert_eq!((a.width(), a.height(), a.rotation()), (b.width(), b.height(), b.rotation()));
        assert_eq!((a.is_mirrored(), a.region()), (b.is_mirrored(), b.region()));
    }

    #[test]
    fn a_copy_is_the_frame_and_reuses_its_memory() {
        let bytes: Vec<u8> = (0..=255).collect();
        let region = Region { x: 1, y: 0, width: 2, height: 4 };
        let frame = Frame::packed(PixelFormat::Rgb, &bytes, 5, 4, 20).unwrap();
        let frame = frame.rotated(Rotation::Clockwise90).mirrored(true).cropped(region).unwrap();
        let mut buffer = FrameBuffer::default();
        assert!(buffer.frame().is_none());
        buffer.copy_from(&frame).unwrap();
        same(&buffer.frame().unwrap(), &frame);
        assert_eq!(buffer.planes[0], bytes[..75]);
        let before = buffer.planes[0].as_ptr();
        buffer.copy_from(&frame).unwrap();
        assert_eq!(buffer.planes[0].as_ptr(), before);
    }

    #[test]
    fn a_copy_keeps_what_alpha_says() {
        let bytes = [7; 4 * 6];
        let frame = Frame::rgba(&bytes, 3, 2).unwrap().transparent(Transparency::Premultiplied);
        let mut buffer = FrameBuffer::default();
        buffer.copy_from(&frame).unwrap();
        assert_eq!(buffer.frame().unwrap().transparency(), Transparency::Premultiplied);
        // Formats without alpha have no transparency.
        let grey = Frame::packed(PixelFormat::Gray, &bytes, 3, 2, 3).unwrap().transparent(Transparency::Straight);
        assert_eq!(grey.transparency(), Transparency::Ignored);
    }

    #[test]
    fn overlapping_chroma_with_a_short_last_row_is_copied() {
        let bytes: Vec<u8> = (0..200).collect();
        let color = YuvColor::default();
        // 5x3 NV21: chroma is 3x2 pairs in rows of 8 bytes.
        let frame = Frame::nv21([&bytes[..30], &bytes[100..114]], [10, 8], 5, 3, color).unwrap();
        let mut buffer = FrameBuffer::default();
        buffer.copy_from(&frame).unwrap();
        let copy = buffer.frame().unwrap();
        same(&copy, &frame);
        let Pixels::Yuv420 { u, v, .. } = copy.pixels else { panic!("another layout") };
        assert_eq!((u.data[0], u.data[12], v.data[0], v.data[12]), (101, 113, 100, 112));
    }
}
