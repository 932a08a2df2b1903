//! The input frame: borrowed planes of a camera or a file, checked once, never copied.
//!
//! The order of operations is fixed: the buffer is rotated clockwise by [`Rotation`], then mirrored horizontally, then
//! cropped to the region. The region is in pixels of the rotated and mirrored image (the *upright* image), because that
//! is the one a user sees and taps. [`Transform`] maps from there back to the buffer.

use silhouette_kernels::memory::OutOfMemory;
use thiserror::Error;

pub use silhouette_kernels::size::Size;

/// The maximum length of a side, in pixels: positions stay exact in f32 and sizes far from overflow.
pub const MAX_SIDE: usize = 1 << 24;

/// Why a frame is rejected: what was wrong, what was needed and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame without pixels.
    #[error("frame is empty: {width}x{height} pixels")]
    Empty {
        /// Columns passed.
        width: usize,
        /// Rows passed.
        height: usize,
    },
    /// A side above [`MAX_SIDE`].
    #[error("frame is too large: {width}x{height} pixels, no side may be over {MAX_SIDE}")]
    TooLarge {
        /// Columns passed.
        width: usize,
        /// Rows passed.
        height: usize,
    },
    /// Neighbouring samples of a row would overlap.
    #[error("pixel stride of plane {plane} is {found} bytes, at least {expected} are needed")]
    PixelStride {
        /// Which plane.
        plane: PlaneName,
        /// Least possible bytes from one sample to the next.
        expected: usize,
        /// Bytes passed.
        found: usize,
    },
    /// Rows would overlap.
    #[error("row stride of plane {plane} is {found} bytes, a row needs {expected}")]
    RowStride {
        /// Which plane.
        plane: PlaneName,
        /// Bytes of one row without padding.
        expected: usize,
        /// Bytes passed.
        found: usize,
    },
    /// The plane ends before its last sample.
    #[error("plane {plane} has {found} bytes, its size and strides need {expected}")]
    PlaneTooShort {
        /// Which plane.
        plane: PlaneName,
        /// Bytes up to and including the last sample.
        expected: usize,
        /// Bytes passed.
        found: usize,
    },
    /// The product of rows and strides overflows an address.
    #[error(
        "size of plane {plane} overflows: {rows} rows of stride {row_stride}, {columns} columns of stride {pixel_stride}"
    )]
    Overflow {
        /// Which plane.
        plane: PlaneName,
        /// Rows of the plane.
        rows: usize,
        /// Samples per row.
        columns: usize,
        /// Bytes from row to row.
        row_stride: usize,
        /// Bytes from sample to sample.
        pixel_stride: usize,
    },
    /// A rotation that is not a quarter turn.
    #[error("rotation is {degrees} degrees, only multiples of 90 are supported")]
    Rotation {
        /// Degrees passed.
        degrees: i32,
    },
    /// The system has too little memory for the result.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// The region is empty or extends beyond the upright image's edge.
    #[error(
        "region {}x{} at ({}, {}) is not inside the upright image of {width}x{height}",
        region.width, region.height, region.x, region.y
    )]
    Region {
        /// The region passed.
        region: Region,
        /// Columns of the upright image.
        width: usize,
        /// Rows of the upright image.
        height: usize,
    },
}

/// The plane of a frame that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlaneName {
    /// The only plane of a packed format.
    Pixels,
    /// Luma.
    Y,
    /// Blue difference.
    U,
    /// Red difference.
    V,
    /// Both differences, interleaved.
    Uv,
}

impl std::fmt::Display for PlaneName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pixels => "pixels",
            Self::Y => "Y",
            Self::U => "U",
            Self::V => "V",
            Self::Uv => "UV",
        })
    }
}

/// Bytes of one plane and how they are laid out.
///
/// ```
/// # use silhouette_imaging::frame::{Frame, FrameError, Plane, YuvColor};
/// // Rows of luma padded to 672 bytes, chroma interleaved: every second byte is a U, or a V.
/// let y = vec![16; 672 * 480];
/// let chroma = vec![128; 672 * 240];
/// let u = Plane { data: &chroma, row_stride: 672, pixel_stride: 2 };
/// let v = Plane { data: &chroma[1..], ..u };
/// let y = Plane { data: &y, row_stride: 672, pixel_stride: 1 };
/// let frame = Frame::yuv420(y, u, v, 640, 480, YuvColor::default())?;
/// # let _ = frame;
/// # Ok::<(), FrameError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// The bytes, starting with the first sample. They may end right after the last sample: the last row needs no
    /// padding.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub row_stride: usize,
    /// Bytes from one sample to the next in a row.
    pub pixel_stride: usize,
}

impl Plane<'_> {
    /// Checks that `rows` by `columns` samples of `sample` bytes each are inside: (rows - 1) * `row_stride` +
    /// (columns - 1) * `pixel_stride` + sample bytes, no more.
    pub(crate) fn check(&self, plane: PlaneName, rows: usize, columns: usize, sample: usize) -> Result<(), FrameError> {
        let overflow =
            FrameError::Overflow { plane, rows, columns, row_stride: self.row_stride, pixel_stride: self.pixel_stride };
        if columns > 1 && self.pixel_stride < sample {
            return Err(FrameError::PixelStride { plane, expected: sample, found: self.pixel_stride });
        }
        let row =
            (columns - 1).checked_mul(self.pixel_stride).and_then(|n| n.checked_add(sample)).ok_or(overflow.clone())?;
        if rows > 1 && self.row_stride < row {
            return Err(FrameError::RowStride { plane, expected: row, found: self.row_stride });
        }
        let expected = (rows - 1).checked_mul(self.row_stride).and_then(|n| n.checked_add(row)).ok_or(overflow)?;
        if self.data.len() < expected {
            return Err(FrameError::PlaneTooShort { plane, expected, found: self.data.len() });
        }
        Ok(())
    }
}

/// Formats with the channels of a pixel interleaved, 8 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue, alpha; alpha is ignored unless [`Frame::transparent`] defines it.
    Rgba,
    /// Blue, green, red, alpha (iOS's 32BGRA); alpha is ignored unless [`Frame::transparent`] defines it.
    Bgra,
    /// One grey level.
    Gray,
}

impl PixelFormat {
    /// Bytes of a pixel.
    pub fn bytes_per_pixel(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Rgba | Self::Bgra => 4,
            Self::Gray => 1,
        }
    }
}

/// The meaning of the alpha of RGBA and BGRA pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transparency {
    /// None: cameras leave arbitrary values in that byte.
    #[default]
    Ignored,
    /// Straight alpha (PNG, WebP, [`Picture`](crate::picture::Picture)): the pixel's opacity, with unmultiplied
    /// colours. Rows are premultiplied as they are read, which allocates: for photos, not for camera frames.
    Straight,
    /// Premultiplied alpha: colours are already multiplied by it (Android's bitmaps, Core Graphics).
    Premultiplied,
}

/// The weights of red, green and blue in luma.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum YuvMatrix {
    /// ITU-R BT.601: Kr = 0.299, Kb = 0.114. Used by Android's cameras and JPEG.
    #[default]
    Bt601,
    /// ITU-R BT.709: Kr = 0.2126, Kb = 0.0722. High-definition video, iOS's cameras.
    Bt709,
}

/// The levels of black and white.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum YuvRange {
    /// Luma 16 to 235, chroma 16 to 240.
    Video,
    /// All of 0 to 255. Used by Android's cameras and JPEG.
    #[default]
    Full,
}

/// The conversion from YUV to RGB.
///
/// ```
/// # use silhouette_imaging::frame::{YuvColor, YuvMatrix, YuvRange};
/// assert_eq!(YuvColor::default(), YuvColor { matrix: YuvMatrix::Bt601, range: YuvRange::Full });
/// let television = YuvColor { matrix: YuvMatrix::Bt709, range: YuvRange::Video };
/// # let _ = television;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct YuvColor {
    /// The matrix.
    pub matrix: YuvMatrix,
    /// The range.
    pub range: YuvRange,
}

/// Clockwise quarter turns that make the buffer upright (Android's `rotationDegrees`).
///
/// ```
/// # use silhouette_imaging::frame::Rotation;
/// assert_eq!(Rotation::from_degrees(-90), Ok(Rotation::Clockwise270));
/// assert!(Rotation::from_degrees(45).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// The buffer is upright.
    #[default]
    None,
    /// 90 degrees clockwise.
    Clockwise90,
    /// 180 degrees.
    Half,
    /// 90 degrees counter-clockwise.
    Clockwise270,
}

impl Rotation {
    /// From clockwise degrees, modulo 360: -90 is 270.
    ///
    /// # Errors
    /// [`FrameError::Rotation`] for anything but multiples of 90.
    pub fn from_degrees(degrees: i32) -> Result<Self, FrameError> {
        match degrees.rem_euclid(360) {
            0 => Ok(Self::None),
            90 => Ok(Self::Clockwise90),
            180 => Ok(Self::Half),
            270 => Ok(Self::Clockwise270),
            _ => Err(FrameError::Rotation { degrees }),
        }
    }

    /// This rotation, and then another one.
    fn then(self, next: Self) -> Self {
        const TURNS: [Rotation; 4] = [Rotation::None, Rotation::Clockwise90, Rotation::Half, Rotation::Clockwise270];
        TURNS[((self.degrees() + next.degrees()) / 90 % 4) as usize]
    }

    /// The rotation that undoes this one.
    fn inverse(self) -> Self {
        match self {
            Self::Clockwise90 => Self::Clockwise270,
            Self::Clockwise270 => Self::Clockwise90,
            other => other,
        }
    }

    /// Clockwise degrees.
    pub fn degrees(self) -> i32 {
        match self {
            Self::None => 0,
            Self::Clockwise90 => 90,
            Self::Half => 180,
            Self::Clockwise270 => 270,
        }
    }

    /// Whether rows and columns are swapped.
    pub fn transposes(self) -> bool {
        matches!(self, Self::Clockwise90 | Self::Clockwise270)
    }
}

/// A rectangle of the upright image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Region {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Region {
    /// All of an image.
    pub(crate) fn whole(Size { height, width }: Size) -> Self {
        Self { x: 0, y: 0, width, height }
    }

    /// How large it is.
    pub fn size(&self) -> Size {
        Size { height: self.height, width: self.width }
    }
}

/// The samples of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pixels<'a> {
    /// One plane with interleaved channels.
    Packed(PixelFormat, Plane<'a>),
    /// Luma at full size, the differences at half size in both directions, rounded up.
    Yuv420 { y: Plane<'a>, u: Plane<'a>, v: Plane<'a>, color: YuvColor },
}

/// A borrowed image in memory: planes, format, strides, and orientation.
///
/// A value of this type has been checked: every sample is inside its plane and the region is inside the image.
///
/// ```
/// # use silhouette_imaging::frame::{Frame, FrameError, Region, Rotation, Size};
/// let pixels = vec![0; 640 * 480 * 4];
/// let frame = Frame::rgba(&pixels, 640, 480)?.rotated(Rotation::Clockwise90).mirrored(true);
/// assert_eq!(frame.upright_size(), Size { height: 640, width: 480 });
/// let top = frame.cropped(Region { x: 0, y: 0, width: 480, height: 320 })?;
/// assert_eq!(top.region().size(), Size { height: 320, width: 480 });
/// // Calls compose: this undoes both.
/// let as_it_was = top.mirrored(true).rotated(Rotation::Clockwise270);
/// assert_eq!((as_it_was.rotation(), as_it_was.is_mirrored()), (Rotation::None, false));
/// # Ok::<(), FrameError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub(crate) pixels: Pixels<'a>,
    width: usize,
    height: usize,
    rotation: Rotation,
    mirror: bool,
    region: Region,
    transparency: Transparency,
}

impl<'a> Frame<'a> {
    fn new(pixels: Pixels<'a>, width: usize, height: usize) -> Self {
        let region = Region::whole(Size { height, width });
        let rotation = Rotation::None;
        let mirror = false;
        let transparency = Transparency::Ignored;
        Self { pixels, width, height, rotation, mirror, region, transparency }
    }

    /// `width` by `height` pixels of a packed format, `row_stride` bytes from row to row.
    ///
    /// # Errors
    /// An empty or too large size, a row stride below a row's bytes, fewer bytes than (height - 1) * `row_stride` + a
    /// row's bytes.
    pub fn packed(
        format: PixelFormat,
        data: &'a [u8],
        width: usize,
        height: usize,
        row_stride: usize,
    ) -> Result<Self, FrameError> {
        check_size(width, height)?;
        let plane = Plane { data, row_stride, pixel_stride: format.bytes_per_pixel() };
        plane.check(PlaneName::Pixels, height, width, format.bytes_per_pixel())?;
        Ok(Self::new(Pixels::Packed(format, plane), width, height))
    }

    /// RGB without padding between rows.
    ///
    /// # Errors
    /// As [`packed`](Self::packed).
    pub fn rgb(data: &'a [u8], width: usize, height: usize) -> Result<Self, FrameError> {
        Self::packed(PixelFormat::Rgb, data, width, height, width.saturating_mul(3))
    }

    /// RGBA without padding between rows.
    ///
    /// # Errors
    /// As [`packed`](Self::packed).
    pub fn rgba(data: &'a [u8], width: usize, height: usize) -> Result<Self, FrameError> {
        Self::packed(PixelFormat::Rgba, data, width, height, width.saturating_mul(4))
    }

    /// BGRA without padding between rows.
    ///
    /// # Errors
    /// As [`packed`](Self::packed).
    pub fn bgra(data: &'a [u8], width: usize, height: usize) -> Result<Self, FrameError> {
        Self::packed(PixelFormat::Bgra, data, width, height, width.saturating_mul(4))
    }

    /// One grey level per pixel, without padding between rows.
    ///
    /// # Errors
    /// As [`packed`](Self::packed).
    pub fn gray(data: &'a [u8], width: usize, height: usize) -> Result<Self, FrameError> {
        Self::packed(PixelFormat::Gray, data, width, height, width)
    }

    /// Three planes as in Android's `YUV_420_888`: chroma is (width + 1) / 2 by (height + 1) / 2 samples with a pixel
    /// stride of 1 or 2 (any stride is accepted). I420 is the same with pixel strides of 1. The two chroma planes may
    /// overlap, as they do on Android.
    ///
    /// # Errors
    /// An empty or too large size, strides below what a row needs, fewer bytes in a plane than (rows - 1) *
    /// `row_stride` + (columns - 1) * `pixel_stride` + 1.
    pub fn yuv420(
        y: Plane<'a>,
        u: Plane<'a>,
        v: Plane<'a>,
        width: usize,
        height: usize,
        color: YuvColor,
    ) -> Result<Self, FrameError> {
        check_size(width, height)?;
        let columns = width.div_ceil(2);
        let rows = height.div_ceil(2);
        y.check(PlaneName::Y, height, width, 1)?;
        u.check(PlaneName::U, rows, columns, 1)?;
        v.check(PlaneName::V, rows, columns, 1)?;
        Ok(Self::new(Pixels::Yuv420 { y, u, v, color }, width, height))
    }

    /// I420: three planes, each with contiguous samples. Strides are bytes from row to row.
    ///
    /// # Errors
    /// As [`yuv420`](Self::yuv420).
    pub fn i420(
        [y, u, v]: [&'a [u8]; 3],
        [y_stride, u_stride, v_stride]: [usize; 3],
        width: usize,
        height: usize,
        color: YuvColor,
    ) -> Result<Self, FrameError> {
        let plane = |data, row_stride| Plane { data, row_stride, pixel_stride: 1 };
        Self::yuv420(plane(y, y_stride), plane(u, u_stride), plane(v, v_stride), width, height, color)
    }

    /// NV12 (iOS's 420YpCbCr8BiPlanar): luma, and one plane of interleaved U and V. `uv_stride` is bytes from row to
    /// row; the plane needs (rows - 1) * `uv_stride` + 2 * columns bytes.
    ///
    /// # Errors
    /// As [`yuv420`](Self::yuv420); errors call the chroma plane UV.
    pub fn nv12(
        [y, uv]: [&'a [u8]; 2],
        [y_stride, uv_stride]: [usize; 2],
        width: usize,
        height: usize,
        color: YuvColor,
    ) -> Result<Self, FrameError> {
        Self::biplanar([y, uv], [y_stride, uv_stride], width, height, color, false)
    }

    /// NV21: like [`nv12`](Self::nv12) with V before U.
    ///
    /// # Errors
    /// As [`nv12`](Self::nv12).
    pub fn nv21(
        [y, vu]: [&'a [u8]; 2],
        [y_stride, vu_stride]: [usize; 2],
        width: usize,
        height: usize,
        color: YuvColor,
    ) -> Result<Self, FrameError> {
        Self::biplanar([y, vu], [y_stride, vu_stride], width, height, color, true)
    }

    fn biplanar(
        [luma, pairs]: [&'a [u8]; 2],
        [y_stride, uv_stride]: [usize; 2],
        width: usize,
        height: usize,
        color: YuvColor,
        v_first: bool,
    ) -> Result<Self, FrameError> {
        check_size(width, height)?;
        let plane = Plane { data: pairs, row_stride: uv_stride, pixel_stride: 2 };
        plane.check(PlaneName::Uv, height.div_ceil(2), width.div_ceil(2), 2)?;
        let second = Plane { data: &pairs[1..], ..plane };
        let (u, v) = if v_first { (second, plane) } else { (plane, second) };
        Self::yuv420(Plane { data: luma, row_stride: y_stride, pixel_stride: 1 }, u, v, width, height, color)
    }

    /// Rotates the upright image clockwise, and its region with it. Calls compose: a quarter turn twice is half a
    /// turn, and what was mirrored before is rotated as it is seen.
    #[must_use]
    pub fn rotated(mut self, rotation: Rotation) -> Self {
        let Size { height, width } = self.upright_size();
        let Region { x, y, width: w, height: h } = self.region;
        self.region = match rotation {
            Rotation::None => self.region,
            Rotation::Clockwise90 => Region { x: height - y - h, y: x, width: h, height: w },
            Rotation::Half => Region { x: width - x - w, y: height - y - h, width: w, height: h },
            Rotation::Clockwise270 => Region { x: y, y: width - x - w, width: h, height: w },
        };
        // Rotating clockwise after mirroring is mirroring after rotating counter-clockwise.
        self.rotation = self.rotation.then(if self.mirror { rotation.inverse() } else { rotation });
        self
    }

    /// Mirrors the upright image horizontally if `mirrored` is true (front cameras), and its region with it. Calls
    /// compose: mirroring twice changes nothing.
    #[must_use]
    pub fn mirrored(mut self, mirrored: bool) -> Self {
        if mirrored {
            self.mirror = !self.mirror;
            self.region.x = self.upright_size().width - self.region.x - self.region.width;
        }
        self
    }

    /// Sets the meaning of the alpha of RGBA and BGRA pixels; the other formats have none. The network then sees the
    /// image over black, so hidden colours have no influence, and results made from the frame keep its alpha, with
    /// hidden pixels black.
    #[must_use]
    pub fn transparent(mut self, transparency: Transparency) -> Self {
        if matches!(self.pixels, Pixels::Packed(PixelFormat::Rgba | PixelFormat::Bgra, _)) {
            self.transparency = transparency;
        }
        self
    }

    /// Sets the part to use, in pixels of the whole upright image (after rotation and mirroring), whatever the region
    /// was before.
    ///
    /// # Errors
    /// [`FrameError::Region`] if it is empty or extends beyond an edge.
    pub fn cropped(mut self, region: Region) -> Result<Self, FrameError> {
        let Size { height, width } = self.upright_size();
        let inside = |start: usize, len: usize, side: usize| len > 0 && start < side && len <= side - start;
        if !(inside(region.x, region.width, width) && inside(region.y, region.height, height)) {
            return Err(FrameError::Region { region, width, height });
        }
        self.region = region;
        Ok(self)
    }

    /// Columns of the buffer.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows of the buffer.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The rotation that makes the buffer upright.
    pub fn rotation(&self) -> Rotation {
        self.rotation
    }

    /// Whether the image is mirrored horizontally after rotation.
    pub fn is_mirrored(&self) -> bool {
        self.mirror
    }

    /// The meaning of its alpha; [`Transparency::Ignored`] if it has none.
    pub fn transparency(&self) -> Transparency {
        self.transparency
    }

    /// The part of the upright image that is used.
    pub fn region(&self) -> Region {
        self.region
    }

    /// The size of the whole image after rotation.
    pub fn upright_size(&self) -> Size {
        let height = self.height;
        let width = self.width;
        if self.rotation.transposes() { Size { height: width, width: height } } else { Size { height, width } }
    }

    /// The directions of the upright region's axes in the buffer.
    pub(crate) fn axes(&self) -> Axes {
        let flip_x = matches!(self.rotation, Rotation::Clockwise90 | Rotation::Half) != self.mirror;
        let flip_y = matches!(self.rotation, Rotation::Half | Rotation::Clockwise270);
        let Size { height, width } = self.upright_size();
        let axis = |start: usize, len: usize, side: usize, flip: bool| Axis {
            start: if flip { side - start - len } else { start },
            len,
            flip,
        };
        Axes {
            transposed: self.rotation.transposes(),
            x: axis(self.region.x, self.region.width, width, flip_x),
            y: axis(self.region.y, self.region.height, height, flip_y),
        }
    }

    /// The transform from a mask of `width` by `height` over this frame's region back to the buffer.
    ///
    /// Both coordinate systems are in pixels with edges at integers: (0, 0) is the first pixel's outer corner, (0.5,
    /// 0.5) its centre.
    pub fn transform(&self, width: usize, height: usize) -> Transform {
        let axes = self.axes();
        let line = |axis: Axis, size: usize| {
            let step = axis.len as f64 / size as f64;
            if axis.flip { (-step, (axis.start + axis.len) as f64) } else { (step, axis.start as f64) }
        };
        let (sx, ox) = line(axes.x, width.max(1));
        let (sy, oy) = line(axes.y, height.max(1));
        if axes.transposed {
            Transform { xx: 0.0, xy: sy, x0: oy, yx: sx, yy: 0.0, y0: ox }
        } else {
            Transform { xx: sx, xy: 0.0, x0: ox, yx: 0.0, yy: sy, y0: oy }
        }
    }
}

fn check_size(width: usize, height: usize) -> Result<(), FrameError> {
    if width == 0 || height == 0 {
        return Err(FrameError::Empty { width, height });
    }
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(FrameError::TooLarge { width, height });
    }
    Ok(())
}

/// One upright axis as a range of a buffer axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    /// First buffer index of the range.
    pub(crate) start: usize,
    /// Its length.
    pub(crate) len: usize,
    /// Upright order runs from the end to the start.
    pub(crate) flip: bool,
}

/// Both upright axes in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axes {
    /// Upright x runs along buffer y.
    pub(crate) transposed: bool,
    /// Upright x.
    pub(crate) x: Axis,
    /// Upright y.
    pub(crate) y: Axis,
}

/// An affine map from mask to buffer coordinates: `x' = xx x + xy y + x0`, `y' = yx x + yy y + y0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    /// Buffer x per mask x.
    pub xx: f64,
    /// Buffer x per mask y.
    pub xy: f64,
    /// Buffer x of the mask's corner.
    pub x0: f64,
    /// Buffer y per mask x.
    pub yx: f64,
    /// Buffer y per mask y.
    pub yy: f64,
    /// Buffer y of the mask's corner.
    pub y0: f64,
}

impl Transform {
    /// The position of a mask point in the buffer.
    pub fn map(&self, x: f64, y: f64) -> (f64, f64) {
        (self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0)
    }

    /// The inverse: from the buffer to the mask.
    ///
    /// The matrix of a frame's transform always has an inverse: it is diagonal or anti-diagonal with non-zero entries.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let det = self.xx * self.yy - self.xy * self.yx;
        let xx = self.yy / det;
        let xy = -self.xy / det;
        let yx = -self.yx / det;
        let yy = self.xx / det;
        Self { xx, xy, x0: -(xx * self.x0 + xy * self.y0), yx, yy, y0: -(yx * self.x0 + yy * self.y0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOR: YuvColor = YuvColor { matrix: YuvMatrix::Bt601, range: YuvRange::Full };

    #[test]
    fn planes_need_no_byte_past_the_last_sample() {
        let data = [0u8; 100];
        // 3 rows of stride 20, 5 pixels of 3 bytes: 2 * 20 + 15.
        assert!(Frame::packed(PixelFormat::Rgb, &data[..55], 5, 3, 20).is_ok());
        assert_eq!(
            Frame::packed(PixelFormat::Rgb, &data[..54], 5, 3, 20).unwrap_err(),
            FrameError::PlaneTooShort { plane: PlaneName::Pixels, expected: 55, found: 54 }
        );
        assert_eq!(
            Frame::packed(PixelFormat::Rgb, &data, 5, 3, 14).unwrap_err(),
            FrameError::RowStride { plane: PlaneName::Pixels, expected: 15, found: 14 }
        );
        // One row: the stride is never used.
        assert!(Frame::packed(PixelFormat::Rgb, &data[..15], 5, 1, 0).is_ok());
    }

    #[test]
    fn odd_sizes_round_chroma_up_and_its_last_row_is_short() {
        let data = [0u8; 100];
        let y = Plane { data: &data[..5 * 8 + 7], row_stride: 8, pixel_stride: 1 };
        // 7x6: chroma is 4x3; the last row ends at 3 * 2 + 1 bytes.
        let chroma = |n| Plane { data: &data[..n], row_stride: 9, pixel_stride: 2 };
        assert!(Frame::yuv420(y, chroma(25), chroma(25), 7, 6, COLOR).is_ok());
        assert_eq!(
            Frame::yuv420(y, chroma(25), chroma(24), 7, 6, COLOR).unwrap_err(),
            FrameError::PlaneTooShort { plane: PlaneName::V, expected: 25, found: 24 }
        );
        assert_eq!(
            Frame::nv12([&data[..47], &data[..25]], [8, 9], 7, 6, COLOR).unwrap_err(),
            FrameError::PlaneTooShort { plane: PlaneName::Uv, expected: 26, found: 25 }
        );
        assert!(Frame::nv12([&data[..47], &data[..26]], [8, 9], 7, 6, COLOR).is_ok());
    }

    #[test]
    fn products_that_overflow_are_errors() {
        let data = [0u8; 16];
        assert!(matches!(
            Frame::packed(PixelFormat::Rgba, &data, 4, 3, usize::MAX),
            Err(FrameError::Overflow { plane: PlaneName::Pixels, .. })
        ));
        let bad = Plane { data: &data, row_stride: 1, pixel_stride: usize::MAX };
        let y = Plane { data: &data, row_stride: 6, pixel_stride: 1 };
        assert!(matches!(Frame::yuv420(y, bad, y, 6, 2, COLOR), Err(FrameError::Overflow { plane: PlaneName::U, .. })));
        assert!(matches!(Frame::rgb(&data, usize::MAX, 1), Err(FrameError::TooLarge { .. })));
        assert!(matches!(Frame::rgb(&data, 0, 1), Err(FrameError::Empty { .. })));
    }

    #[test]
    fn regions_lie_inside_the_upright_picture() {
        let data = [0u8; 5 * 3 * 3];
        let frame = Frame::rgb(&data, 5, 3).unwrap().rotated(Rotation::Clockwise90);
        assert_eq!(frame.upright_size(), Size { height: 5, width: 3 });
        assert!(frame.cropped(Region { x: 2, y: 4, width: 1, height: 1 }).is_ok());
        for region in [
            Region { x: 2, y: 0, width: 2, height: 1 },
            Region { x: 0, y: 0, width: 0, height: 1 },
            Region { x: 3, y: 0, width: 1, height: 1 },
            Region { x: 1, y: 1, width: usize::MAX, height: usize::MAX },
        ] {
            assert!(matches!(frame.cropped(region), Err(FrameError::Region { .. })), "{region:?}");
        }
    }

    #[test]
    fn transform_leads_back_to_the_buffer_in_all_orientations() {
        // Each buffer pixel holds its own position; the expected upright image is made by rotating a grid.
        let w = 4usize;
        let h = 3usize;
        let data = vec![0u8; w * h * 3];
        for degrees in [0, 90, 180, 270] {
            for mirror in [false, true] {
                let mut grid: Vec<Vec<(usize, usize)>> = (0..h).map(|y| (0..w).map(|x| (x, y)).collect()).collect();
                for _ in 0..degrees / 90 {
                    let rows = grid.len();
                    let cols = grid[0].len();
                    grid = (0..cols).map(|y| (0..rows).map(|x| grid[rows - 1 - x][y]).collect()).collect();
                }
                if mirror {
                    for row in &mut grid {
                        row.reverse();
                    }
                }
                let region = Region { x: 1, y: 1, width: 2, height: grid.len() - 1 };
                let frame = Frame::rgb(&data, w, h)
                    .unwrap()
                    .rotated(Rotation::from_degrees(degrees).unwrap())
                    .mirrored(mirror)
                    .cropped(region)
                    .unwrap();
                let t = frame.transform(2, region.height);
                for y in 0..region.height {
                    for x in 0..2 {
                        let want = grid[y + 1][x + 1];
                        let (bx, by) = t.map(x as f64 + 0.5, y as f64 + 0.5);
                        assert_eq!((bx, by), (want.0 as f64 + 0.5, want.1 as f64 + 0.5), "{degrees} {mirror}");
                        let (mx, my) = t.inverse().map(bx, by);
                        assert!((mx - x as f64 - 0.5).abs() < 1e-12 && (my - y as f64 - 0.5).abs() < 1e-12);
                    }
                }
            }
        }
    }
}
