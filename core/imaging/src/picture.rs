//! Output images: overlay, cut-out, blurred and replaced background. All operate on upright images and masks; if the mask or
//! confidence has another size than the image, the nearest pixel is used or values are interpolated.
//!
//! Blurs are three box blurs with running sums (close to a Gaussian, in time independent of the radius) of a reduced image.

use silhouette_kernels::memory::{self, OutOfMemory};
use silhouette_kernels::rows::RowSource;

use crate::background::{Blurred, Rim, Rows};
use crate::blend::{AlphaRows, blend_row, scale};
use crate::crop::part;
use crate::frame::{Frame, FrameError, PixelFormat, Pixels, Plane, PlaneName, Region, Rotation, Size, Transparency};
use crate::input::{Fit, InputSpec, Resampler};
use crate::mask::{Confidence, Mask};
use crate::palette::Palette;

/// An upright RGBA image, 8 bits per channel, rows from top to bottom, no padding.
///
/// ```
/// # use silhouette_imaging::{frame::{Frame, FrameError, Rotation}, picture::{ChannelOrder, Picture}};
/// let pixels = [1, 2, 3, 4, 5, 6];
/// let picture = Picture::from_frame(&Frame::rgb(&pixels, 2, 1)?.rotated(Rotation::Half))?;
/// assert_eq!(picture.rgba, [4, 5, 6, 255, 1, 2, 3, 255]);
/// let mut bgra = [0; 8];
/// picture.copy_into(&mut bgra, 8, ChannelOrder::Bgra, false)?;
/// assert_eq!(bgra, [6, 5, 4, 255, 3, 2, 1, 255]);
/// # Ok::<(), FrameError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// R, G, B, A of each pixel: `width * height * 4` bytes.
    pub rgba: Vec<u8>,
}

/// The order of a pixel's four bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChannelOrder {
    /// Red, green, blue, alpha.
    #[default]
    Rgba,
    /// Blue, green, red, alpha.
    Bgra,
}

impl Picture {
    /// Copies the pixels into `out`, `row_stride` bytes from row to row, in the format of another library's images:
    /// with another channel order, and `premultiplied` by alpha (as in Android's bitmaps and Core Graphics). Bytes
    /// between the rows are not written.
    ///
    /// # Errors
    /// A stride below a row's bytes; fewer bytes than (height - 1) * `row_stride` + 4 * width.
    pub fn copy_into(
        &self,
        out: &mut [u8],
        row_stride: usize,
        order: ChannelOrder,
        premultiplied: bool,
    ) -> Result<(), FrameError> {
        if self.rgba.is_empty() {
            return Ok(());
        }
        let row_bytes = self.width * 4;
        Plane { data: out, row_stride, pixel_stride: 4 }.check(PlaneName::Pixels, self.height, self.width, 4)?;
        // A single row may have any stride, even 0.
        for (row, to) in self.rgba.chunks_exact(row_bytes).zip(out.chunks_mut(row_stride.max(row_bytes))) {
            let to = &mut to[..row_bytes];
            to.copy_from_slice(row);
            if !premultiplied && order == ChannelOrder::Rgba {
                continue;
            }
            for pixel in to.chunks_exact_mut(4) {
                if premultiplied && pixel[3] < 255 {
                    let alpha = pixel[3];
                    pixel[..3].iter_mut().for_each(|channel| *channel = scale(*channel, alpha));
                }
                if order == ChannelOrder::Bgra {
                    pixel.swap(0, 2);
                }
            }
        }
        Ok(())
    }

    /// The frame's region, upright, at its own size; opaque unless the frame has alpha ([`Frame::transparent`]): then
    /// with that alpha, with fully hidden pixels black.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn from_frame(frame: &Frame<'_>) -> Result<Self, OutOfMemory> {
        let Region { width, height, .. } = frame.region();
        Self::from_frame_at(frame, width, height)
    }

    /// The same stretched to `width` by `height` (shrinking is antialiased).
    ///
    /// # Errors
    /// [`OutOfMemory`].
    ///
    /// # Panics
    /// If `width` or `height` is 0.
    pub fn from_frame_at(frame: &Frame<'_>, width: usize, height: usize) -> Result<Self, OutOfMemory> {
        let colours = frame.transparent(Transparency::Ignored);
        let Some(alpha) = alpha(frame, width, height)? else { return Self::opaque(&colours, width, height) };
        // At its own size a frame's colours are copied; when they are mixed, each is weighted by its alpha.
        let whole = frame.region().size() == Size { height, width };
        let straight = whole && frame.transparency() == Transparency::Straight;
        let mut picture = Self::opaque(if straight { &colours } else { frame }, width, height)?;
        for (pixel, alpha) in picture.rgba.chunks_exact_mut(4).zip(alpha) {
            pixel[3] = alpha;
            for colour in &mut pixel[..3] {
                *colour = match alpha {
                    0 => 0,
                    _ if straight => *colour,
                    _ => ((u32::from(*colour) * 255 + u32::from(alpha / 2)) / u32::from(alpha)).min(255) as u8,
                };
            }
        }
        Ok(picture)
    }

    /// The frame's colours as the network sees them, at another size.
    fn opaque(frame: &Frame<'_>, width: usize, height: usize) -> Result<Self, OutOfMemory> {
        if let Some(picture) = Self::copied(frame, width, height)? {
            return Ok(picture);
        }
        let spec = InputSpec { size: Size { height, width }, mean: [0.0; 3], std: [1.0; 3], fit: Fit::Stretch };
        let mut resampler = Resampler::unbounded(spec);
        let rows = resampler.rows(frame)?;
        let mut scratch = memory::filled(rows.scratch_len(), 0.0, "a row of the image")?;
        let mut line = memory::filled(width.saturating_mul(3), 0.0, "a row of the image")?;
        let mut rgba = memory::filled(width.saturating_mul(height).saturating_mul(4), 255, "an image")?;
        for (y, row) in rgba.chunks_exact_mut(width * 4).enumerate() {
            rows.row(y, &mut scratch, &mut line);
            for (pixel, rgb) in row.chunks_exact_mut(4).zip(line.chunks_exact(3)) {
                for c in 0..3 {
                    pixel[c] = (rgb[c] + 0.5) as u8;
                }
            }
        }
        Ok(Self { width, height, rgba })
    }

    /// The same if the pixels only have to be copied: upright, at their own size, in a packed format.
    fn copied(frame: &Frame<'_>, width: usize, height: usize) -> Result<Option<Self>, OutOfMemory> {
        let region = frame.region();
        let upright = frame.rotation() == Rotation::None && !frame.is_mirrored();
        let straight = frame.transparency() == Transparency::Straight;
        let (Pixels::Packed(format, plane), true) = (frame.pixels, upright && !straight) else { return Ok(None) };
        if (region.width, region.height) != (width, height) {
            return Ok(None);
        }
        let mut rgba = memory::filled(width.saturating_mul(height).saturating_mul(4), 255, "an image")?;
        for (y, row) in rgba.chunks_exact_mut(width * 4).enumerate() {
            let start = (region.y + y) * plane.row_stride + region.x * format.bytes_per_pixel();
            let from = &plane.data[start..][..width * format.bytes_per_pixel()];
            let to = row.as_chunks_mut::<4>().0.iter_mut();
            match format {
                PixelFormat::Rgb => to.zip(from.as_chunks::<3>().0).for_each(|(to, &[r, g, b])| *to = [r, g, b, 255]),
                PixelFormat::Rgba => {
                    to.zip(from.as_chunks::<4>().0).for_each(|(to, &[r, g, b, _])| *to = [r, g, b, 255]);
                }
                PixelFormat::Bgra => {
                    to.zip(from.as_chunks::<4>().0).for_each(|(to, &[b, g, r, _])| *to = [r, g, b, 255]);
                }
                PixelFormat::Gray => to.zip(from).for_each(|(to, &grey)| *to = [grey, grey, grey, 255]),
            }
        }
        Ok(Some(Self { width, height, rgba }))
    }

    /// The image as a frame, upright, with its alpha if any pixel is transparent.
    ///
    /// # Errors
    /// An empty image, or one with fewer bytes than its size needs.
    pub fn frame(&self) -> Result<Frame<'_>, FrameError> {
        let frame = Frame::rgba(&self.rgba, self.width, self.height)?;
        let opaque = self.rgba.chunks_exact(4).all(|pixel| pixel[3] == 255);
        Ok(if opaque { frame } else { frame.transparent(Transparency::Straight) })
    }

    /// The part inside a region.
    ///
    /// # Errors
    /// [`FrameError::Region`] if it is empty or not inside the image; [`FrameError::OutOfMemory`].
    pub fn cropped(&self, region: Region) -> Result<Self, FrameError> {
        let rgba = part(&self.rgba, 4, (self.width, self.height), region)?;
        Ok(Self { width: region.width, height: region.height, rgba })
    }

    /// An image of the mask in its classes' colours.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn from_mask(mask: &Mask, palette: &Palette) -> Result<Self, OutOfMemory> {
        let mut rgba = Vec::new();
        memory::reserve(&mut rgba, mask.classes.len().saturating_mul(4), "an image")?;
        rgba.extend(mask.classes.iter().flat_map(|&class| {
            let [r, g, b] = palette.color(class);
            [r, g, b, 255]
        }));
        Ok(Self { width: mask.width, height: mask.height, rgba })
    }

    /// Blends the classes' colours over the image: `opacity` 0 (invisible) to 1 (only the colour). Class 0, the
    /// background, is unchanged.
    pub fn overlay(&mut self, mask: &Mask, palette: &Palette, opacity: f32) {
        let mut shown = [true; 256];
        shown[0] = false;
        self.overlay_classes(mask, palette, opacity, &shown);
    }

    /// The same for some classes only: those whose flag in `shown` is set.
    pub fn overlay_classes(&mut self, mask: &Mask, palette: &Palette, opacity: f32, shown: &[bool; 256]) {
        let weight = (opacity.clamp(0.0, 1.0) * 256.0) as u32;
        let columns = nearest(mask.width, self.width);
        let rows = nearest(mask.height, self.height);
        for (row, &my) in self.rgba.chunks_exact_mut(self.width.max(1) * 4).zip(&rows) {
            let classes = &mask.classes[my * mask.width..(my + 1) * mask.width];
            for (pixel, &mx) in row.chunks_exact_mut(4).zip(&columns) {
                let class = classes[mx];
                if !shown[usize::from(class)] {
                    continue;
                }
                for (p, c) in pixel.iter_mut().zip(palette.color(class)) {
                    *p = ((u32::from(*p) * (256 - weight) + u32::from(c) * weight + 128) >> 8) as u8;
                }
            }
        }
    }

    /// Multiplies the image's alpha by the confidence: the background becomes transparent. Along a soft border the colours are the foreground's,
    /// without what shines through from the background, so that a cut-out carries no halo.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn cut_out(&mut self, alpha: &Confidence) -> Result<(), OutOfMemory> {
        if self.rgba.is_empty() || alpha.values.is_empty() {
            return Ok(());
        }
        let mut rim = Rim::new(&self.rgba, Size { height: self.height, width: self.width }, alpha)?;
        self.for_each_row(alpha, |row, alphas, y| {
            rim.clear(row, alphas, y);
            for (pixel, &alpha) in row.as_chunks_mut::<4>().0.iter_mut().zip(alphas) {
                pixel[3] = scale(pixel[3], alpha);
            }
        })
    }

    /// Puts another image behind the foreground, and behind transparent pixels; it is scaled to cover this one,
    /// centred.
    ///
    /// # Errors
    /// If `background` is empty; [`FrameError::OutOfMemory`].
    pub fn replace_background(&mut self, alpha: &Confidence, background: &Frame<'_>) -> Result<(), FrameError> {
        let behind = cover(background, self.width, self.height)?;
        let row_bytes = self.width * 4;
        if self.rgba.is_empty() || alpha.values.is_empty() {
            return Ok(());
        }
        let mut rim = Rim::new(&self.rgba, Size { height: self.height, width: self.width }, alpha)?;
        self.for_each_row(alpha, |row, alphas, y| {
            rim.clear(row, alphas, y);
            let under = &behind.rgba[y * row_bytes..][..row_bytes];
            if is_opaque(row) && is_opaque(under) {
                blend_row(row, under, alphas);
                return;
            }
            let pixels = row.as_chunks_mut::<4>().0.iter_mut().zip(under.as_chunks::<4>().0).zip(alphas);
            for ((pixel, under), &alpha) in pixels {
                pixel[3] = scale(pixel[3], alpha);
                over(pixel, *under);
            }
        })?;
        Ok(())
    }

    /// Blurs the background, with a standard deviation of about `radius` pixels. The foreground does not bleed into the
    /// blur: its weight there is zero, and so is that of transparent pixels. Alpha is unchanged.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the image is then unchanged.
    pub fn blur_background(&mut self, alpha: &Confidence, radius: f32) -> Result<(), OutOfMemory> {
        if self.rgba.is_empty() || alpha.values.is_empty() || radius.is_nan() || radius <= 0.0 {
            return Ok(());
        }
        let mut blurred = Blurred::new(
            &self.rgba,
            Size { height: self.height, width: self.width },
            alpha,
            radius,
            |alpha| 255 - alpha,
            Rows::All,
        )?;
        self.for_each_row(alpha, |row, alphas, y| blurred.put_behind(row, alphas, y))
    }

    /// Calls `f(row, alphas, y)` for each row, the confidence interpolated to the image's size.
    fn for_each_row(
        &mut self,
        alpha: &Confidence,
        mut f: impl FnMut(&mut [u8], &[u8], usize),
    ) -> Result<(), OutOfMemory> {
        if self.rgba.is_empty() || alpha.values.is_empty() {
            return Ok(());
        }
        let mut alphas = AlphaRows::new(alpha, self.width, self.height)?;
        for (y, row) in self.rgba.chunks_exact_mut(self.width * 4).enumerate() {
            f(row, alphas.row(y), y);
        }
        Ok(())
    }
}

/// Whether nothing of a row is transparent.
fn is_opaque(row: &[u8]) -> bool {
    row.as_chunks::<4>().0.iter().all(|pixel| pixel[3] == 255)
}

/// `upper` laid over `lower`, each with its alpha.
fn over(upper: &mut [u8; 4], lower: [u8; 4]) {
    let [above, below] = [upper[3], lower[3]].map(|alpha| f32::from(alpha) / 255.0);
    let below = below * (1.0 - above);
    let alpha = above + below;
    for (u, l) in upper.iter_mut().zip(lower).take(3) {
        // Black if neither is visible.
        *u = if alpha > 0.0 { ((f32::from(*u) * above + f32::from(l) * below) / alpha + 0.5) as u8 } else { 0 };
    }
    upper[3] = (alpha * 255.0 + 0.5) as u8;
}

/// The alpha of a frame at another size; `None` if it has none or is opaque everywhere.
fn alpha(frame: &Frame<'_>, width: usize, height: usize) -> Result<Option<Vec<u8>>, OutOfMemory> {
    let (Pixels::Packed(_, plane), Transparency::Straight | Transparency::Premultiplied) =
        (frame.pixels, frame.transparency())
    else {
        return Ok(None);
    };
    let columns = frame.width();
    let rows = frame.height();
    let mut levels = Vec::new();
    memory::reserve(&mut levels, columns.saturating_mul(rows), "a frame's alpha")?;
    for row in 0..rows {
        levels.extend(plane.data[row * plane.row_stride..][..columns * 4].chunks_exact(4).map(|pixel| pixel[3]));
    }
    if levels.iter().all(|&level| level == 255) {
        return Ok(None);
    }
    // As a grey image it is rotated, mirrored and cropped like the colours.
    let grey = Frame::packed(PixelFormat::Gray, &levels, columns, rows, columns);
    let grey =
        grey.and_then(|grey| grey.rotated(frame.rotation()).mirrored(frame.is_mirrored()).cropped(frame.region()));
    // The frame was checked, so this one is valid too.
    let Ok(grey) = grey else { return Ok(None) };
    let picture = Picture::opaque(&grey, width, height)?;
    levels.clear();
    memory::reserve(&mut levels, width.saturating_mul(height), "a frame's alpha")?;
    levels.extend(picture.rgba.chunks_exact(4).map(|pixel| pixel[0]));
    Ok(Some(levels))
}

/// For each of `to` pixels the nearest of `from`.
fn nearest(from: usize, to: usize) -> Vec<usize> {
    (0..to).map(|i| ((i as f64 + 0.5) * from as f64 / to as f64) as usize).map(|i| i.min(from.max(1) - 1)).collect()
}

/// The centre of `frame`'s region with the aspect ratio of `width` by `height`, scaled to it.
fn cover(frame: &Frame<'_>, width: usize, height: usize) -> Result<Picture, FrameError> {
    if width == 0 || height == 0 {
        return Err(FrameError::Empty { width, height });
    }
    let region = frame.region();
    let scale = (region.width as f64 / width as f64).min(region.height as f64 / height as f64);
    let side = |n: usize, most: usize| ((n as f64 * scale).round() as usize).clamp(1, most);
    let w = side(width, region.width);
    let h = side(height, region.height);
    let part =
        Region { x: region.x + (region.width - w) / 2, y: region.y + (region.height - h) / 2, width: w, height: h };
    Ok(Picture::from_frame_at(&frame.cropped(part)?, width, height)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, f: impl Fn(usize, usize) -> [u8; 4]) -> Picture {
        let rgba = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| f(x, y)).collect();
        Picture { width, height, rgba }
    }

    fn left_half(width: usize, height: usize) -> Confidence {
        let values = (0..width * height).map(|i| if i % width < width / 2 { 255 } else { 0 }).collect();
        Confidence { width, height, values }
    }

    #[test]
    fn pixels_are_copied_in_the_order_and_alpha_asked_for() {
        let picture = Picture { width: 1, height: 2, rgba: vec![200, 100, 50, 128, 10, 20, 30, 255] };
        let copy = |order, premultiplied| {
            let mut out = [7; 9];
            picture.copy_into(&mut out, 5, order, premultiplied).unwrap();
            out
        };
        assert_eq!(copy(ChannelOrder::Rgba, false), [200, 100, 50, 128, 7, 10, 20, 30, 255]);
        assert_eq!(copy(ChannelOrder::Bgra, false), [50, 100, 200, 128, 7, 30, 20, 10, 255]);
        assert_eq!(copy(ChannelOrder::Rgba, true), [100, 50, 25, 128, 7, 10, 20, 30, 255]);
        assert_eq!(copy(ChannelOrder::Bgra, true), [25, 50, 100, 128, 7, 30, 20, 10, 255]);
        let short = picture.copy_into(&mut [0; 8], 5, ChannelOrder::Rgba, false);
        assert!(matches!(short, Err(FrameError::PlaneTooShort { expected: 9, found: 8, .. })), "{short:?}");
        let narrow = picture.copy_into(&mut [0; 9], 3, ChannelOrder::Rgba, false);
        assert!(matches!(narrow, Err(FrameError::RowStride { expected: 4, found: 3, .. })), "{narrow:?}");
    }

    #[test]
    fn frames_become_upright_pictures_unchanged() {
        let data: Vec<u8> = (0..5 * 3 * 3).map(|i| (i * 5) as u8).collect();
        let frame = Frame::rgb(&data, 5, 3).unwrap();
        let p = Picture::from_frame(&frame).unwrap();
        for (pixel, want) in p.rgba.chunks_exact(4).zip(data.chunks_exact(3)) {
            assert_eq!(pixel, [want[0], want[1], want[2], 255]);
        }
    }

    #[test]
    fn copied_pixels_are_those_that_are_resampled() {
        let bytes: Vec<u8> = (0..9 * 40).map(|i| (i * 37 % 251) as u8).collect();
        for format in [PixelFormat::Rgb, PixelFormat::Rgba, PixelFormat::Bgra, PixelFormat::Gray] {
            let frame = Frame::packed(format, &bytes, 7, 8, 40).unwrap();
            for region in [frame.region(), Region { x: 2, y: 3, width: 4, height: 5 }] {
                let part = frame.cropped(region).unwrap();
                let copied = Picture::copied(&part, region.width, region.height).unwrap().unwrap();
                // Mirrored twice: through the resampler, which all other frames use.
                let there = Region { x: 7 - region.x - region.width, ..region };
                let mirrored = Picture::from_frame(&frame.mirrored(true).cropped(there).unwrap()).unwrap();
                for (row, back) in copied.rgba.chunks(region.width * 4).zip(mirrored.rgba.chunks(region.width * 4)) {
                    assert!(row.chunks(4).eq(back.chunks(4).rev()), "{format:?} {region:?}");
                }
            }
        }
    }

    /// Half of the pixels hidden with noise in them, some half transparent; every orientation, both kinds of alpha.
    #[test]
    fn alpha_stays_and_what_it_hides_does_not_come_back() {
        let width = 7;
        let height = 5;
        let sticker = picture(width, height, |x, y| {
            let alpha = [0, 255, 128, 255][(x + 3 * y) % 4];
            [(x * 40) as u8, (y * 60) as u8, 200, alpha]
        });
        let mut expected = sticker.clone();
        expected.rgba.chunks_exact_mut(4).filter(|pixel| pixel[3] == 0).for_each(|pixel| pixel.fill(0));
        let straight = sticker.frame().unwrap();
        assert_eq!(straight.transparency(), Transparency::Straight);
        assert_eq!(Picture::from_frame(&straight).unwrap(), expected);
        let mut bytes = vec![0; sticker.rgba.len()];
        sticker.copy_into(&mut bytes, width * 4, ChannelOrder::Rgba, true).unwrap();
        let premultiplied = Frame::rgba(&bytes, width, height).unwrap().transparent(Transparency::Premultiplied);
        let back = Picture::from_frame(&premultiplied).unwrap();
        assert!(back.rgba.iter().zip(&expected.rgba).all(|(a, b)| a.abs_diff(*b) <= 1), "{back:?}");
        for degrees in [0, 90, 180, 270] {
            for mirror in [false, true] {
                let turn = |frame: Frame<'_>, side: bool| {
                    let rotation = crate::frame::Rotation::from_degrees(degrees).unwrap();
                    let frame = frame.rotated(rotation).mirrored(mirror);
                    let Size { height, width } = frame.upright_size();
                    let part = Region { x: 1, y: 1, width: width - 1, height: height - 2 };
                    let frame = frame.cropped(part).unwrap();
                    // The network sees the same for both, namely the image over black.
                    let size = if side { part.size() } else { Size { height: 3, width: 4 } };
                    Picture::opaque(&frame, size.width, size.height).unwrap()
                };
                let black = Frame::rgba(&bytes, width, height).unwrap();
                for side in [false, true] {
                    let seen = turn(black, side);
                    assert_eq!(turn(straight, side), seen, "{degrees} {mirror}");
                    assert_eq!(turn(premultiplied, side), seen, "{degrees} {mirror}");
                }
            }
        }
        // When shrunk, colours are weighted by their alpha: nothing hidden mixes in.
        let two = picture(2, 1, |x, _| if x == 0 { [200, 100, 50, 255] } else { [9, 255, 9, 0] });
        let one = Picture::from_frame_at(&two.frame().unwrap(), 1, 1).unwrap();
        assert!(one.rgba.iter().zip([200, 100, 50, 128]).all(|(a, b)| a.abs_diff(b) <= 1), "{one:?}");
    }

    #[test]
    fn effects_keep_alpha_and_take_nothing_from_what_it_hides() {
        // The left half is foreground; every second column is hidden, with white in it.
        let sticker = || picture(16, 8, |x, _| if x % 2 == 0 { [60, 60, 60, 255] } else { [255, 255, 255, 0] });
        let hidden = |picture: &Picture| picture.rgba.chunks_exact(4).map(|pixel| pixel[3]).collect::<Vec<_>>();
        let alpha = left_half(16, 8);
        let mut blurred = sticker();
        blurred.blur_background(&alpha, 3.0).unwrap();
        assert_eq!(hidden(&blurred), hidden(&sticker()));
        assert!(blurred.rgba.chunks_exact(4).filter(|pixel| pixel[3] > 0).all(|pixel| pixel[0].abs_diff(60) <= 1));
        let mut cut = sticker();
        cut.cut_out(&alpha).unwrap();
        assert_eq!(hidden(&cut)[..16], [255, 0, 255, 0, 255, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut mask = Mask::new(16, 8);
        mask.classes.fill(1);
        let mut tinted = sticker();
        tinted.overlay(&mask, &Palette::voc(), 0.5);
        assert_eq!(hidden(&tinted), hidden(&sticker()));
        let mut replaced = sticker();
        let behind = picture(16, 8, |_, _| [0, 0, 255, 255]);
        replaced.replace_background(&alpha, &behind.frame().unwrap()).unwrap();
        let expected = |x: usize| if x < 8 && x.is_multiple_of(2) { [60, 60, 60, 255] } else { [0, 0, 255, 255] };
        assert_eq!(replaced, picture(16, 8, |x, _| expected(x)));
        // Behind it, a transparent image, and an opaque one.
        let mut nothing = sticker();
        let clear = picture(16, 8, |_, _| [0, 0, 255, 0]);
        nothing.replace_background(&alpha, &clear.frame().unwrap()).unwrap();
        assert_eq!(hidden(&nothing), hidden(&cut));
    }

    #[test]
    fn overlay_leaves_the_background_and_mixes_the_rest() {
        let mut p = picture(4, 2, |_, _| [100, 100, 100, 255]);
        let mask = Mask { width: 2, height: 1, classes: vec![0, 1] };
        p.overlay(&mask, &Palette::voc(), 0.5);
        assert_eq!(p.rgba[..4], [100, 100, 100, 255]);
        assert_eq!(p.rgba[12..16], [114, 50, 50, 255]);
    }

    #[test]
    fn a_cut_out_carries_no_halo() {
        // A red disc with texture on green, the border soft over 4 pixels.
        let distance = |x: usize, y: usize| 40.0 - (x as f32 - 80.0).hypot(y as f32 - 60.0);
        let alpha_at = |x, y| (distance(x, y) / 4.0 + 0.5).clamp(0.0, 1.0);
        let foreground = |x: usize, y: usize| [200.0 + ((x / 4 + y / 4) % 2) as f32 * 30.0, 40.0, 40.0];
        let mixed = |x, y| -> [u8; 4] {
            let alpha: f32 = alpha_at(x, y);
            let [r, g, b] = [0, 1, 2].map(|c| alpha * foreground(x, y)[c] + (1.0 - alpha) * [20.0, 180.0, 60.0][c]);
            [r as u8, g as u8, b as u8, 255]
        };
        let mut cut = picture(160, 120, mixed);
        let values = (0..160 * 120).map(|i| (alpha_at(i % 160, i / 160) * 255.0 + 0.5) as u8).collect();
        let alpha = Confidence { width: 160, height: 120, values };
        // Mean difference from the foreground's colours, weighted by alpha, along the rim.
        let error = |picture: &Picture| {
            let mut sum = 0.0;
            let mut count = 0.0;
            for (i, pixel) in picture.rgba.chunks_exact(4).enumerate() {
                let x = i % 160;
                let y = i / 160;
                let share = alpha_at(x, y);
                if share > 0.0 && share < 1.0 {
                    let off: f32 = (0..3).map(|c| (f32::from(pixel[c]) - foreground(x, y)[c]).abs()).sum();
                    (sum, count) = (sum + share * off / 3.0, count + share);
                }
            }
            sum / count
        };
        let before = error(&cut);
        cut.cut_out(&alpha).unwrap();
        let after = error(&cut);
        assert!(after < 0.5 * before, "the rim's colours were off by {before}, now by {after}");
        // What is wholly foreground stays as it was.
        let middle = (60 * 160 + 80) * 4;
        assert_eq!(cut.rgba[middle..middle + 4], mixed(80, 60));
    }

    #[test]
    fn cut_out_scales_alpha() {
        let mut p = picture(4, 1, |x, _| [x as u8, 0, 0, 200]);
        let alpha = Confidence { width: 4, height: 1, values: vec![0, 255, 128, 51] };
        p.cut_out(&alpha).unwrap();
        assert_eq!(p.rgba.iter().skip(3).step_by(4).copied().collect::<Vec<_>>(), [0, 200, 100, 40]);
    }

    #[test]
    fn replaced_background_covers_the_picture() {
        let mut p = picture(6, 4, |_, _| [10, 20, 30, 255]);
        let behind = picture(2, 9, |_, y| if (3..6).contains(&y) { [0, 0, 255, 255] } else { [255, 0, 0, 255] });
        p.replace_background(&left_half(6, 4), &behind.frame().unwrap()).unwrap();
        assert_eq!(p.rgba[..4], [10, 20, 30, 255]);
        // Only the middle of the tall background shows: its blue.
        assert_eq!(p.rgba[20..24], [0, 0, 255, 255]);
    }

    #[test]
    fn blurred_background_takes_nothing_from_the_foreground() {
        for radius in [2.0, 20.0] {
            let mut p = picture(64, 32, |x, _| if x < 32 { [255, 0, 0, 255] } else { [0, 100, 0, 255] });
            p.blur_background(&left_half(64, 32), radius).unwrap();
            assert_eq!(p.rgba[..4], [255, 0, 0, 255]);
            for x in 32..64 {
                let pixel = &p.rgba[x * 4..x * 4 + 4];
                assert!(pixel[0] <= 1 && (99..=100).contains(&pixel[1]), "{radius} {x} {pixel:?}");
            }
        }
    }

    #[test]
    fn blur_spreads_as_far_as_its_radius_says() {
        // The standard deviation of a blurred line, of both kinds of step.
        for radius in [3.0f32, 24.0] {
            let mut p = picture(301, 301, |x, _| if x == 150 { [255; 4] } else { [0, 0, 0, 255] });
            for y in 0..301 {
                for x in 145..156 {
                    p.rgba[(y * 301 + x) * 4] = 255;
                }
            }
            let none = Confidence { width: 301, height: 301, values: vec![0; 301 * 301] };
            p.blur_background(&none, radius).unwrap();
            let row = &p.rgba[150 * 301 * 4..151 * 301 * 4];
            let weights: Vec<f64> = row.iter().step_by(4).map(|&v| f64::from(v)).collect();
            let total: f64 = weights.iter().sum();
            let mean = weights.iter().enumerate().map(|(i, w)| i as f64 * w).sum::<f64>() / total;
            let var = weights.iter().enumerate().map(|(i, w)| (i as f64 - mean).powi(2) * w).sum::<f64>() / total;
            let sigma = (var - (121.0 - 1.0) / 12.0).sqrt();
            assert!((mean - 150.0).abs() < 0.5, "{mean}");
            assert!((sigma / f64::from(radius) - 1.0).abs() < 0.25, "{radius}: {sigma}");
        }
    }

    #[test]
    fn empty_and_tiny_pictures_are_left_alone() {
        let alpha = left_half(8, 8);
        for (w, h) in [(0, 0), (1, 1), (1, 20)] {
            let mut p = picture(w, h, |_, _| [1, 2, 3, 255]);
            let mask = Mask::new(3, 3);
            p.overlay(&mask, &Palette::voc(), 0.3);
            p.blur_background(&alpha, 1e9).unwrap();
            p.cut_out(&alpha).unwrap();
            assert_eq!(p.rgba.len(), w * h * 4);
        }
    }
}
