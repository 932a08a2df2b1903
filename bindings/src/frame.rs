//! Frames and effects in C's layout (`include/silhouette_frame.h`), checked and converted to ours.

use crate::error::{Result, SilhouetteError};
use silhouette::{
    BLUR_RADIUS, ChannelOrder, Effect, Foreground, Frame, OVERLAY_OPACITY, PixelFormat, Plane, Region, Rotation,
    Transparency, YuvColor, YuvMatrix, YuvRange,
};

/// `SilhouettePlane`: bytes borrowed for a call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RawPlane {
    /// The first sample; null: an absent plane.
    pub data: *const u8,
    /// Number of readable bytes.
    pub length: usize,
    /// Bytes from row to row.
    pub row_stride: usize,
    /// Bytes from sample to sample; used only for YUV 4:2:0 in three planes.
    pub pixel_stride: usize,
}

/// `SilhouetteFrame`: planes, format, and orientation. All numbers are checked.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RawFrame {
    /// Unused ones are absent.
    pub planes: [RawPlane; 3],
    /// 0 RGB, 1 RGBA, 2 BGRA, 3 grey, 4 YUV 4:2:0 in three planes, 5 NV12, 6 NV21; with alpha: 7 RGBA and 8 BGRA
    /// straight, 9 RGBA and 10 BGRA premultiplied.
    pub format: u32,
    /// Columns of the buffer.
    pub width: u32,
    /// Rows of the buffer.
    pub height: u32,
    /// 0 BT.601, 1 BT.709.
    pub matrix: u32,
    /// 0 video, 1 full.
    pub range: u32,
    /// Clockwise degrees that make the buffer upright: 0, 90, 180, 270.
    pub rotation: u32,
    /// Whether the image is mirrored horizontally after rotation; 0: no.
    pub mirror: u32,
    /// First column of the region in the upright image.
    pub region_x: u32,
    /// Its first row.
    pub region_y: u32,
    /// Its columns; if rows are 0 too: the whole image.
    pub region_width: u32,
    /// Its rows.
    pub region_height: u32,
}

/// `SilhouetteEffect`: the effect on a frame, and the output format.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RawEffect {
    /// 0 the frame itself, 1 overlay, 2 cut-out, 3 blur, 4 replace.
    pub kind: u32,
    /// Whether the foreground is every class but the background; otherwise it is `classes`.
    pub all_classes: u32,
    /// The classes of the foreground; null: none.
    pub classes: *const u32,
    /// Number of classes.
    pub class_count: usize,
    /// The other image of `replace`.
    pub background: *const RawFrame,
    /// Overlay: opacity, 0 to 1. Blur: deviation as a share of the longer side, 0 to 0.5. NaN or negative: the default.
    pub strength: f32,
    /// Whether to write B, G, R, A instead of R, G, B, A.
    pub bgra: u32,
    /// Whether colours are multiplied by alpha.
    pub premultiplied: u32,
}

// `include/silhouette_frame.h` asserts the same for C.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<RawPlane>() == 32 && size_of::<RawFrame>() == 144 && size_of::<RawEffect>() == 48);

const STRIDES: &str = "pass planes, strides and sizes as the camera or decoder reports them";

impl RawPlane {
    /// An absent plane.
    pub const ABSENT: Self = Self { data: std::ptr::null(), length: 0, row_stride: 0, pixel_stride: 0 };

    /// # Safety
    /// `length` bytes starting at `data` can be read, and nothing writes to them, during `'a`; or `data` is null.
    unsafe fn plane<'a>(&self) -> Result<Plane<'a>> {
        let Self { data, length, row_stride, pixel_stride } = *self;
        if data.is_null() {
            return Err(SilhouetteError::frame("a plane is missing", STRIDES));
        }
        if isize::try_from(length).is_err() {
            return Err(SilhouetteError::frame(format!("a plane of {length} bytes"), STRIDES));
        }
        // SAFETY: not null, at most isize::MAX bytes, and the caller guarantees that they can be read during 'a.
        let data = unsafe { std::slice::from_raw_parts(data, length) };
        Ok(Plane { data, row_stride, pixel_stride })
    }
}

impl RawFrame {
    /// The frame, checked.
    ///
    /// # Errors
    /// [`SilhouetteError::InvalidFrame`] for a missing plane, an unknown number, or as [`Frame`]'s constructors.
    ///
    /// # Safety
    /// The planes' bytes can be read, and nothing writes to them, during `'a`.
    pub unsafe fn frame<'a>(&self) -> Result<Frame<'a>> {
        let width = self.width as usize;
        let height = self.height as usize;
        // SAFETY: guaranteed by this function's caller.
        let plane = |i: usize| unsafe { self.planes[i].plane() };
        let packed = |format| {
            let Plane { data, row_stride, .. } = plane(0)?;
            Ok::<_, SilhouetteError>(Frame::packed(format, data, width, height, row_stride)?)
        };
        let frame = match self.format {
            0 => packed(PixelFormat::Rgb)?,
            1 => packed(PixelFormat::Rgba)?,
            2 => packed(PixelFormat::Bgra)?,
            3 => packed(PixelFormat::Gray)?,
            4 => Frame::yuv420(plane(0)?, plane(1)?, plane(2)?, width, height, self.color()?)?,
            5 | 6 => {
                let y = plane(0)?;
                let pairs = plane(1)?;
                let data = [y.data, pairs.data];
                let strides = [y.row_stride, pairs.row_stride];
                let make = if self.format == 5 { Frame::nv12 } else { Frame::nv21 };
                make(data, strides, width, height, self.color()?)?
            }
            7 => packed(PixelFormat::Rgba)?.transparent(Transparency::Straight),
            8 => packed(PixelFormat::Bgra)?.transparent(Transparency::Straight),
            9 => packed(PixelFormat::Rgba)?.transparent(Transparency::Premultiplied),
            10 => packed(PixelFormat::Bgra)?.transparent(Transparency::Premultiplied),
            other => return Err(unknown("pixel format", other)),
        };
        let degrees = i32::try_from(self.rotation).unwrap_or(i32::MAX);
        let frame = frame.rotated(Rotation::from_degrees(degrees)?).mirrored(self.mirror != 0);
        if (self.region_width, self.region_height) == (0, 0) {
            return Ok(frame);
        }
        let [x, y, width, height] =
            [self.region_x, self.region_y, self.region_width, self.region_height].map(|side| side as usize);
        Ok(frame.cropped(Region { x, y, width, height })?)
    }

    fn color(&self) -> Result<YuvColor> {
        let matrix = match self.matrix {
            0 => YuvMatrix::Bt601,
            1 => YuvMatrix::Bt709,
            other => return Err(unknown("YUV matrix", other)),
        };
        let range = match self.range {
            0 => YuvRange::Video,
            1 => YuvRange::Full,
            other => return Err(unknown("YUV range", other)),
        };
        Ok(YuvColor { matrix, range })
    }
}

impl RawEffect {
    /// Runs `work` with the effect and its foreground.
    ///
    /// # Errors
    /// The error of `work`; [`SilhouetteError::Unsupported`] for an unknown effect; as [`RawFrame::frame`] for the
    /// background.
    ///
    /// # Safety
    /// `classes` points to `class_count` numbers or is null; `background` points to a frame as required by
    /// [`RawFrame::frame`], or is null. Both are used only during the call.
    pub unsafe fn with<T>(&self, work: impl FnOnce(Effect<'_>, &Foreground) -> Result<T>) -> Result<T> {
        // SAFETY: guaranteed by this function's caller.
        let foreground = match unsafe { numbers(self.classes, self.class_count) }? {
            _ if self.all_classes != 0 => Foreground::All,
            classes => Foreground::Classes(classes.iter().map(|&class| class as usize).collect()),
        };
        let strength = |default| if self.strength.is_nan() || self.strength < 0.0 { default } else { self.strength };
        let background;
        let effect = match self.kind {
            0 => Effect::Picture,
            1 => Effect::Overlay { opacity: strength(OVERLAY_OPACITY) },
            2 => Effect::Cutout,
            3 => Effect::Blur { radius: strength(BLUR_RADIUS) },
            4 => {
                // SAFETY: a frame during the call, or null, which is handled.
                let raw = unsafe { self.background.as_ref() };
                let raw = raw.ok_or_else(|| SilhouetteError::frame("no background", "pass the background image"))?;
                // SAFETY: the caller guarantees its planes during the call.
                background = unsafe { raw.frame() }?;
                Effect::Replace { background: &background }
            }
            other => return Err(SilhouetteError::unsupported(format!("effect {other}"), "0 to 4 are known")),
        };
        work(effect, &foreground)
    }

    /// The order of the written bytes.
    pub fn order(&self) -> ChannelOrder {
        if self.bgra != 0 { ChannelOrder::Bgra } else { ChannelOrder::Rgba }
    }
}

/// Numbers at an address.
///
/// # Errors
/// [`SilhouetteError::Unsupported`] for more classes than possible.
///
/// # Safety
/// `data` points to `count` numbers that nothing writes to during `'a`, or is null: none.
pub(crate) unsafe fn numbers<'a>(data: *const u32, count: usize) -> Result<&'a [u32]> {
    if data.is_null() {
        return Ok(&[]);
    }
    if count > 1 << 16 {
        return Err(SilhouetteError::unsupported(format!("{count} classes"), "name each class once"));
    }
    // SAFETY: not null, few, and the caller guarantees that they can be read during 'a.
    Ok(unsafe { std::slice::from_raw_parts(data, count) })
}

/// Bytes at an address, to be written.
///
/// # Errors
/// [`SilhouetteError::InvalidFrame`] for a missing or impossibly large buffer.
///
/// # Safety
/// `length` bytes starting at `data` belong to the caller alone during `'a`, or `data` is null.
pub(crate) unsafe fn bytes_mut<'a>(data: *mut u8, length: usize) -> Result<&'a mut [u8]> {
    if data.is_null() || isize::try_from(length).is_err() {
        return Err(SilhouetteError::frame(format!("no memory to write to, or {length} bytes of it"), "pass a buffer"));
    }
    // SAFETY: not null, at most isize::MAX bytes, and the caller guarantees exclusive access during 'a.
    Ok(unsafe { std::slice::from_raw_parts_mut(data, length) })
}

fn unknown(what: &str, number: u32) -> SilhouetteError {
    SilhouetteError::frame(format!("{number} is not a {what}"), "use the numbers of silhouette_frame.h")
}
