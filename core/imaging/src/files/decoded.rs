//! Photos by decoders that hold the whole image: WebP, and with the feature `formats` GIF, BMP and TIFF. What they may allocate is bounded
//! first, by the image's size and the file's length.

use std::io::{BufRead, ErrorKind, Seek, SeekFrom};

use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError};
use silhouette_kernels::memory;

use super::pixels::Pixels;
use super::problem::Problem;
use super::profile::{MOST_PROFILE, ToSrgb};
use super::several::Several;

/// What a decoder may allocate besides pixels and file.
const MOST_BYTES: u64 = 1 << 24;

/// An image as decoded.
pub(super) struct Decoded {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) pixels: Pixels,
    pub(super) orientation: Orientation,
    pub(super) several: Option<Several>,
}

/// Bytes from where the reader is to the end.
fn length(reader: &mut impl Seek) -> Result<u64, Problem> {
    let start = reader.stream_position().map_err(Problem::Read)?;
    let length = reader.seek(SeekFrom::End(0)).map_err(Problem::Read)?.saturating_sub(start);
    reader.seek(SeekFrom::Start(start)).map_err(Problem::Read)?;
    Ok(length)
}

fn failed(error: ImageError) -> Problem {
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Problem::Cut("it ends before its image data".into())
        }
        ImageError::IoError(error) => Problem::Read(error),
        error => Problem::Damaged(error.to_string()),
    }
}

/// The image's size, if it is not over the limit.
fn size(decoder: &impl ImageDecoder, max_pixels: u64) -> Result<(u32, u32), Problem> {
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(Problem::Damaged(format!("it has {width}x{height} pixels")));
    }
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(Problem::TooLarge { width, height });
    }
    Ok((width, height))
}

/// Decodes the whole image; the decoder may allocate `most` bytes in all.
fn whole(mut decoder: impl ImageDecoder, most: u64, several: Option<Several>) -> Result<Decoded, Problem> {
    let (width, height) = decoder.dimensions();
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(most);
    decoder.set_limits(limits).map_err(failed)?;
    // A broken EXIF block is no reason to reject the image.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    // Nor is a broken profile.
    let profile = decoder.icc_profile().unwrap_or_default().filter(|profile| profile.len() <= MOST_PROFILE);
    let alpha = decoder.color_type().has_alpha();
    let grey = !decoder.color_type().has_color();
    // The decoder allocates without checking.
    memory::enough(most, "an image")?;
    let image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    let (mut bytes, channels) =
        if alpha { (image.into_rgba8().into_raw(), 4) } else { (image.into_rgb8().into_raw(), 3) };
    if let Some(to_srgb) = profile.and_then(|profile| ToSrgb::icc(&profile, grey, alpha)) {
        to_srgb.eight(&mut bytes);
    }
    Ok(Decoded { width, height, pixels: Pixels::of(bytes, channels), orientation, several })
}

/// A WebP; of an animated one the first frame.
pub(super) fn webp(mut reader: impl BufRead + Seek, max_pixels: u64) -> Result<Decoded, Problem> {
    let length = length(&mut reader)?;
    let decoder = WebPDecoder::new(reader).map_err(failed)?;
    let (width, height) = size(&decoder, max_pixels)?;
    let pixels = u64::from(width) * u64::from(height);
    // Chunks are kept whole. An animation's file is explained by its frames, but no more of it than the first is read.
    let animated = decoder.has_animation();
    let most = pixels * 4 + MOST_BYTES;
    if length > most && !animated {
        let text = format!("it is {length} bytes long, more than {width}x{height} pixels explain");
        return Err(Problem::Damaged(text));
    }
    whole(decoder, pixels * 8 + MOST_BYTES + length.min(most), animated.then_some(Several::Frames))
}

#[cfg(feature = "formats")]
pub(super) use formats::{bmp, gif, tiff};

#[cfg(feature = "formats")]
mod formats {
    use super::{Decoded, MOST_BYTES, Several, failed, length, size, whole};
    use crate::files::headers::{Gif, Tiff};
    use crate::files::problem::Problem;
    use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, tiff::TiffDecoder};
    use image::{ImageDecoder, ImageError};
    use std::io::{BufRead, Seek, SeekFrom};

    /// The most pixels that a byte of a compressed BMP stands for: a run of 255 takes two, and a row may end early.
    const BMP_PIXELS_PER_BYTE: u64 = 1 << 10;

    /// The most that a byte of a GIF's data stands for: the longest string of its dictionary, by the shortest code.
    const GIF_PIXELS_PER_BYTE: u64 = 4096 * 8 / 3;

    /// The first frame of a GIF, at its place on the image's whole area.
    pub(in crate::files) fn gif(mut reader: impl BufRead + Seek, max_pixels: u64) -> Result<Decoded, Problem> {
        let start = reader.stream_position().map_err(Problem::Read)?;
        let Gif { data, more } = Gif::read(&mut reader)?;
        reader.seek(SeekFrom::Start(start)).map_err(Problem::Read)?;
        let decoder = GifDecoder::new(reader).map_err(failed)?;
        let (width, height) = size(&decoder, max_pixels)?;
        let pixels = u64::from(width) * u64::from(height);
        if pixels > data.saturating_mul(GIF_PIXELS_PER_BYTE) {
            let text = format!("{data} bytes of data cannot hold {width}x{height} pixels");
            return Err(Problem::Damaged(text));
        }
        let short = |problem| match problem {
            // The decoder has no kind of error of its own for data that end early.
            Problem::Damaged(text) if text.contains("end of file") || text.contains("EOF") => {
                Problem::Cut("its first frame lacks pixels".into())
            }
            other => other,
        };
        whole(decoder, pixels * 8 + MOST_BYTES, more.then_some(Several::Frames)).map_err(short)
    }

    /// A BMP.
    pub(in crate::files) fn bmp(mut reader: impl BufRead + Seek, max_pixels: u64) -> Result<Decoded, Problem> {
        let length = length(&mut reader)?;
        let decoder = BmpDecoder::new(reader).map_err(failed)?;
        let (width, height) = size(&decoder, max_pixels)?;
        let pixels = u64::from(width) * u64::from(height);
        if pixels > length.saturating_mul(BMP_PIXELS_PER_BYTE) {
            return Err(Problem::Damaged(format!("{length} bytes cannot hold {width}x{height} pixels")));
        }
        whole(decoder, pixels * 8 + MOST_BYTES, None)
    }

    /// The first page of a TIFF.
    pub(in crate::files) fn tiff(mut reader: impl BufRead + Seek, max_pixels: u64) -> Result<Decoded, Problem> {
        let start = reader.stream_position().map_err(Problem::Read)?;
        let length = length(&mut reader)?;
        let about = Tiff::read(&mut reader);
        reader.seek(SeekFrom::Start(start)).map_err(Problem::Read)?;
        if about.raw {
            // Its first image is a thumbnail.
            return Err(Problem::Foreign(crate::files::kind::raw()));
        }
        let decoder = TiffDecoder::new(reader).map_err(|error| match error {
            ImageError::Unsupported(error) => {
                Problem::Damaged(format!("{error} (save it as RGB or grey with 8 or 16 bits a channel)"))
            }
            error => failed(error),
        })?;
        let (width, height) = size(&decoder, max_pixels)?;
        let bytes = u64::from(width) * u64::from(height) * u64::from(decoder.color_type().bytes_per_pixel());
        // Packed a thousand times at the most, as deflate can.
        if bytes / 1100 > length {
            return Err(Problem::Damaged(format!("{length} bytes cannot hold {width}x{height} pixels")));
        }
        // The decoder's own image, of four samples for three where it is CMYK, its copy, and the file's strips.
        let most = bytes * 2 + bytes / 3 + MOST_BYTES + length.min(bytes + MOST_BYTES);
        let mut decoded = whole(decoder, most, about.more.then_some(Several::Pages))?;
        if about.premultiplied && decoded.pixels.channels == 4 {
            for [colours @ .., alpha] in decoded.pixels.bytes.as_chunks_mut::<4>().0 {
                let alpha = u32::from(*alpha);
                for colour in colours.iter_mut().filter(|_| alpha > 0) {
                    *colour = ((u32::from(*colour) * 255 + alpha / 2) / alpha).min(255) as u8;
                }
            }
        }
        Ok(decoded)
    }
}
