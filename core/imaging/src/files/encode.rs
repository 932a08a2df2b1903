//! Images to files: PNG row by row; with the feature `formats` JPEG and WebP too, whose encoders want the whole image.

use std::io::Write;
use std::path::Path;

use silhouette_files::write_whole;

use super::FileError;
use crate::mask::{Confidence, Mask};
use crate::palette::Palette;
use crate::picture::Picture;

/// What an image is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageFormat {
    /// Without loss, optimised for speed rather than size: a photo of twelve megapixels is written in a tenth of the time with a third more
    /// bytes.
    #[default]
    Png,
    /// With loss: `quality` is 1 to 100. It has no transparency.
    #[cfg(feature = "formats")]
    Jpeg {
        /// 1 to 100.
        quality: u8,
    },
    /// Without loss: there is no encoder in pure Rust for the other kind.
    #[cfg(feature = "formats")]
    WebP,
}

/// An image to write.
///
/// ```
/// # use silhouette_imaging::{files::{Image, ImageFormat}, picture::Picture};
/// let picture = Picture { width: 1, height: 1, rgba: vec![1, 2, 3, 255] };
/// let mut bytes = Vec::new();
/// Image::Picture(&picture).encode(&mut bytes, "a pixel".as_ref(), ImageFormat::Png)?;
/// assert_eq!(bytes[1..4], *b"PNG");
/// # Ok::<(), silhouette_imaging::files::FileError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Image<'a> {
    /// Colours, with their alpha if any pixel is not opaque.
    Picture(&'a Picture),
    /// Classes with a palette: only PNG keeps them.
    Mask(&'a Mask, &'a Palette),
    /// A grey level for each pixel.
    Grey(&'a Confidence),
}

impl Image<'_> {
    /// Writes it to a file, atomically; a pipe or a device is written through.
    ///
    /// # Errors
    /// [`FileError::Encode`] for an image whose bytes do not match its size, or that the format cannot hold; [`FileError::Write`] if the file
    /// cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, format: ImageFormat) -> Result<(), FileError> {
        let path = path.as_ref();
        self.check(path, format)?;
        let unwritten = |source| FileError::Write { path: path.to_path_buf(), source };
        write_whole(path, unwritten, |to| self.encoded(to, path, format))
    }

    /// Writes its bytes; `name` is used in errors.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn encode(&self, to: &mut dyn Write, name: &Path, format: ImageFormat) -> Result<(), FileError> {
        self.check(name, format)?;
        self.encoded(to, name, format)
    }

    fn size(&self) -> (usize, usize) {
        match self {
            Self::Picture(picture) => (picture.width, picture.height),
            Self::Mask(mask, _) => (mask.width, mask.height),
            Self::Grey(grey) => (grey.width, grey.height),
        }
    }

    /// What can be known before anything is written.
    fn check(&self, path: &Path, format: ImageFormat) -> Result<(), FileError> {
        let refused = |reason: String| Err(FileError::Encode { path: path.to_path_buf(), reason });
        let (width, height) = self.size();
        let (bytes, of_pixel) = match self {
            Self::Picture(picture) => (picture.rgba.len(), 4),
            Self::Mask(mask, _) => (mask.classes.len(), 1),
            Self::Grey(grey) => (grey.values.len(), 1),
        };
        if width.checked_mul(height).and_then(|pixels| pixels.checked_mul(of_pixel)) != Some(bytes) {
            return refused(format!("{bytes} bytes are not {width}x{height} pixels of {of_pixel}"));
        }
        // JPEG's sides have 16 bits, WebP's 14.
        let (name, most) = match format {
            ImageFormat::Png => ("PNG", u32::MAX as usize >> 1),
            #[cfg(feature = "formats")]
            ImageFormat::Jpeg { .. } => ("JPEG", 65_535),
            #[cfg(feature = "formats")]
            ImageFormat::WebP => ("WebP", 16_383),
        };
        if !(1..=most).contains(&width) || !(1..=most).contains(&height) {
            return refused(format!("{width}x{height} pixels: {name} holds 1 to {most} a side"));
        }
        #[cfg(feature = "formats")]
        match (self, format) {
            (Self::Mask(..), ImageFormat::Jpeg { .. } | ImageFormat::WebP) => {
                return refused("only PNG keeps the classes of a mask".into());
            }
            (Self::Picture(picture), ImageFormat::Jpeg { .. }) if !is_opaque(picture) => {
                return refused("it is transparent, and JPEG has no transparency; write PNG or WebP".into());
            }
            _ => {}
        }
        Ok(())
    }

    fn encoded(&self, to: &mut dyn Write, path: &Path, format: ImageFormat) -> Result<(), FileError> {
        match format {
            ImageFormat::Png => self.png(to, path),
            #[cfg(feature = "formats")]
            other => self.other(to, path, other),
        }
    }

    /// A PNG, one row in memory at a time; compressed bytes are written at once.
    fn png(&self, to: &mut dyn Write, path: &Path) -> Result<(), FileError> {
        let (width, height) = self.size();
        match self {
            Self::Picture(picture) => {
                let opaque = is_opaque(picture);
                let (color, channels) = if opaque { (png::ColorType::Rgb, 3) } else { (png::ColorType::Rgba, 4) };
                let rows = picture.rgba.chunks_exact(width * 4).map(|row| {
                    let mut bytes = Vec::with_capacity(width * channels);
                    row.as_chunks::<4>().0.iter().for_each(|pixel| bytes.extend_from_slice(&pixel[..channels]));
                    bytes
                });
                png_rows(to, path, (width, height), color, None, rows)
            }
            Self::Mask(mask, palette) => {
                let colors = palette.colors().concat();
                let rows = mask.classes.chunks_exact(width);
                png_rows(to, path, (width, height), png::ColorType::Indexed, Some(colors), rows)
            }
            Self::Grey(grey) => {
                let rows = grey.values.chunks_exact(width);
                png_rows(to, path, (width, height), png::ColorType::Grayscale, None, rows)
            }
        }
    }

    #[cfg(feature = "formats")]
    fn other(&self, to: &mut dyn Write, path: &Path, format: ImageFormat) -> Result<(), FileError> {
        use image::codecs::{jpeg::JpegEncoder, webp::WebPEncoder};
        use image::{ExtendedColorType, ImageEncoder as _, ImageError};
        use silhouette_kernels::memory;
        let full = |source| FileError::OutOfMemory { path: path.to_path_buf(), source };
        let (width, height) = self.size();
        let mut rgb = Vec::new();
        let (bytes, color) = match self {
            Self::Picture(picture) if is_opaque(picture) => {
                memory::reserve(&mut rgb, width * height * 3, "an image").map_err(full)?;
                picture.rgba.as_chunks::<4>().0.iter().for_each(|pixel| rgb.extend_from_slice(&pixel[..3]));
                (&rgb, ExtendedColorType::Rgb8)
            }
            Self::Picture(picture) => (&picture.rgba, ExtendedColorType::Rgba8),
            Self::Mask(mask, _) => (&mask.classes, ExtendedColorType::L8),
            Self::Grey(grey) => (&grey.values, ExtendedColorType::L8),
        };
        // The encoders allocate without checking: WebP's has all pixels twice.
        memory::enough((width * height * 8) as u64, "an image").map_err(full)?;
        let (w, h) = (width as u32, height as u32);
        let done = match format {
            ImageFormat::Jpeg { quality } => {
                JpegEncoder::new_with_quality(to, quality.clamp(1, 100)).write_image(bytes, w, h, color)
            }
            _ => WebPEncoder::new_lossless(to).write_image(bytes, w, h, color),
        };
        done.map_err(|error| match error {
            ImageError::IoError(source) => FileError::Write { path: path.to_path_buf(), source },
            error => FileError::Encode { path: path.to_path_buf(), reason: error.to_string() },
        })
    }
}

/// Whether nothing of an image is transparent.
fn is_opaque(picture: &Picture) -> bool {
    picture.rgba.as_chunks::<4>().0.iter().all(|pixel| pixel[3] == 255)
}

/// Packs rows as a PNG of so many columns and rows.
fn png_rows(
    to: &mut dyn Write,
    path: &Path,
    (width, height): (usize, usize),
    color: png::ColorType,
    palette: Option<Vec<u8>>,
    rows: impl Iterator<Item = impl AsRef<[u8]>>,
) -> Result<(), FileError> {
    let failed = |error: png::EncodingError| match error {
        png::EncodingError::IoError(source) => FileError::Write { path: path.to_path_buf(), source },
        error => FileError::Encode { path: path.to_path_buf(), reason: error.to_string() },
    };
    let mut encoder = png::Encoder::new(to, width as u32, height as u32);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    match palette {
        Some(palette) => encoder.set_palette(palette),
        // Masks compress well quickly; camera images do not.
        None => encoder.set_compression(png::Compression::Fast),
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    let mut stream = writer.stream_writer().map_err(failed)?;
    for row in rows {
        stream.write_all(row.as_ref()).map_err(|error| failed(error.into()))?;
    }
    stream.finish().map_err(failed)?;
    writer.finish().map_err(failed)
}
