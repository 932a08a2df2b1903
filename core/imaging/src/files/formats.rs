//! Photos in the formats that the feature `formats` adds: GIF, BMP and TIFF.

use std::io::{BufRead, Seek, SeekFrom};

use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, tiff::TiffDecoder};
use image::{ImageDecoder, ImageError};

use super::decoded::{Decoded, MOST_BYTES, failed, length, size, whole};
use super::headers::{Gif, Tiff};
use super::kind::raw;
use super::problem::Problem;
use super::several::Several;

/// The most pixels that a byte of a compressed BMP stands for: a run of 255 takes two, and a row may end early.
const BMP_PIXELS_PER_BYTE: u64 = 1 << 10;

/// The first frame of a GIF, at its place on the image's whole area.
pub(super) fn gif(mut reader: impl BufRead + Seek, max_pixels: u64) -> Result<Decoded, Problem> {
    let start = reader.stream_position().map_err(Problem::Read)?;
    let Gif { pixels: there, of, more } = Gif::read(&mut reader)?;
    reader.seek(SeekFrom::Start(start)).map_err(Problem::Read)?;
    let decoder = GifDecoder::new(reader).map_err(failed)?;
    let (width, height) = size(&decoder, max_pixels)?;
    if there < of {
        return Err(Problem::Cut(format!("{there} of the {of} pixels of its first frame are there")));
    }
    // The frame, and the area that it is placed on.
    let pixels = u64::from(width) * u64::from(height);
    whole(decoder, (pixels + of) * 4 + MOST_BYTES, more.then_some(Several::Frames))
}

/// A BMP.
pub(super) fn bmp(mut reader: impl BufRead + Seek, max_pixels: u64) -> Result<Decoded, Problem> {
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
pub(super) fn tiff(mut reader: impl BufRead + Seek, max_pixels: u64) -> Result<Decoded, Problem> {
    let start = reader.stream_position().map_err(Problem::Read)?;
    let length = length(&mut reader)?;
    let about = Tiff::read(&mut reader);
    reader.seek(SeekFrom::Start(start)).map_err(Problem::Read)?;
    if about.raw {
        // Its first image is a thumbnail.
        return Err(Problem::Foreign(raw()));
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
