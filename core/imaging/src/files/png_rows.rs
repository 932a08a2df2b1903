//! A PNG's pixels as RGB, row by row: nothing of it is held at sixteen bits or with an alpha that nobody looks at.

use std::io::{BufRead, ErrorKind, Seek};

use image::metadata::Orientation;
use png::{BitDepth, ColorType, Decoder, DecodingError, InterlaceInfo, Limits, Transformations};
use silhouette_kernels::memory;

use super::problem::Problem;

/// What a decoder may hold besides its output: two rows of the widest picture, palette, orientation.
const MOST_BYTES: usize = 1 << 25;

/// Pixels, and how they become upright.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) width: u32,
    pub(super) height: u32,
    /// What is not there is black.
    pub(super) rgb: Vec<u8>,
    pub(super) orientation: Orientation,
    /// What there is of it, where that is not all.
    pub(super) cut: Option<String>,
}

impl Rows {
    /// Reads a PNG of at most `max_pixels`.
    ///
    /// # Errors
    /// [`Problem`].
    pub(super) fn read(reader: impl BufRead + Seek, max_pixels: u64) -> Result<Self, Problem> {
        let mut decoder = Decoder::new_with_limits(reader, Limits { bytes: MOST_BYTES });
        decoder.set_transformations(Transformations::EXPAND);
        // Compressed as they are, a few bytes of these may be gigabytes.
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        let header = decoder.read_header_info().map_err(|error| problem(error, "it ends before its picture"))?;
        let (width, height) = (header.width, header.height);
        if u64::from(width) * u64::from(height) > max_pixels {
            return Err(Problem::TooLarge { width, height });
        }
        let mut reader = decoder.read_info().map_err(|error| problem(error, "it ends before its picture"))?;
        let exif = reader.info().exif_metadata.as_ref();
        // A broken EXIF block is no reason to refuse the picture.
        let orientation = exif.and_then(|exif| Orientation::from_exif_chunk(exif)).unwrap_or(Orientation::NoTransforms);
        let (color, depth) = reader.output_color_type();
        let stride = width as usize * 3;
        let bytes = stride.saturating_mul(height as usize);
        let (mut rgb, mut line) = (Vec::new(), memory::filled(stride, 0, "a row of a PNG")?);
        memory::reserve(&mut rgb, bytes, "a picture")?;
        let (mut rows, mut cut) = (0, None);
        loop {
            let row = match reader.next_interlaced_row() {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) => {
                    let there = if reader.info().interlaced {
                        format!("{rows} rows of its passes are there")
                    } else {
                        format!("{rows} of {height} rows are there")
                    };
                    match problem(error, &there) {
                        Problem::Cut(there) => cut = Some(there),
                        other => return Err(other),
                    }
                    break;
                }
            };
            match row.interlace() {
                InterlaceInfo::Null(_) => {
                    to_rgb(row.data(), color, depth, &mut line);
                    rgb.extend_from_slice(&line);
                }
                InterlaceInfo::Adam7(pass) => {
                    rgb.resize(bytes, 0);
                    let taken = to_rgb(row.data(), color, depth, &mut line);
                    png::expand_interlaced_row(&mut rgb, stride, &line[..taken], pass, 24);
                }
            }
            rows += 1;
        }
        if cut.is_none() && !reader.info().interlaced && rows < height {
            cut = Some(format!("{rows} of {height} rows are there"));
        }
        rgb.resize(bytes, 0);
        Ok(Self { width, height, rgb, orientation, cut })
    }
}

/// `there` says what there is, where an early end is all that is wrong.
fn problem(error: DecodingError, there: &str) -> Problem {
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Problem::Cut(there.into()),
        DecodingError::IoError(error) => Problem::Read(error),
        other => Problem::Damaged(other.to_string()),
    }
}

/// A row as RGB of eight bits; returns how many bytes of `line` it fills.
fn to_rgb(row: &[u8], color: ColorType, depth: BitDepth, line: &mut [u8]) -> usize {
    let (channels, colors) = match color {
        ColorType::Grayscale | ColorType::Indexed => (1, 1),
        ColorType::GrayscaleAlpha => (2, 1),
        ColorType::Rgb => (3, 3),
        ColorType::Rgba => (4, 3),
    };
    if (color, depth) == (ColorType::Rgb, BitDepth::Eight) {
        line[..row.len()].copy_from_slice(row);
        return row.len();
    }
    let width = if depth == BitDepth::Sixteen { 2 } else { 1 };
    let pixels = row.len() / (channels * width);
    for (to, from) in line.chunks_exact_mut(3).zip(row.chunks_exact(channels * width)) {
        for (channel, value) in to.iter_mut().enumerate() {
            let at = if colors == 1 { 0 } else { channel * width };
            *value = if width == 2 {
                // Rounded to the nearest.
                ((u32::from(u16::from_be_bytes([from[at], from[at + 1]])) + 128) / 257) as u8
            } else {
                from[at]
            };
        }
    }
    pixels * 3
}
