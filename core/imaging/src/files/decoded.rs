//! Photos by decoders that hold the whole image, WebP here. What they may allocate is bounded first, by the image's size and the file's
//! length.

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
pub(super) const MOST_BYTES: u64 = 1 << 24;

/// An image as decoded.
pub(super) struct Decoded {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) pixels: Pixels,
    pub(super) orientation: Orientation,
    pub(super) several: Option<Several>,
}

/// Bytes from where the reader is to the end.
pub(super) fn length(reader: &mut impl Seek) -> Result<u64, Problem> {
    let start = reader.stream_position().map_err(Problem::Read)?;
    let length = reader.seek(SeekFrom::End(0)).map_err(Problem::Read)?.saturating_sub(start);
    reader.seek(SeekFrom::Start(start)).map_err(Problem::Read)?;
    Ok(length)
}

pub(super) fn failed(error: ImageError) -> Problem {
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Problem::Cut("it ends before its image data".into())
        }
        ImageError::IoError(error) => Problem::Read(error),
        error => Problem::Damaged(error.to_string()),
    }
}

/// The image's size, if it is not over the limit.
pub(super) fn size(decoder: &impl ImageDecoder, max_pixels: u64) -> Result<(u32, u32), Problem> {
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
pub(super) fn whole(mut decoder: impl ImageDecoder, most: u64, several: Option<Several>) -> Result<Decoded, Problem> {
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
