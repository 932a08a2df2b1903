//! A PNG's pixels as 8-bit RGB or RGBA, row by row: nothing is stored at sixteen bits, unless only the whole image
//! shows how to interpret its samples.

use std::io::{BufRead, ErrorKind, Read as _, Seek, SeekFrom};

use image::metadata::Orientation;
use png::{BitDepth, ColorType, Decoder, DecodingError, Info, InterlaceInfo, Limits, Transformations};
use silhouette_kernels::memory::{self, OutOfMemory};

use super::pixels::Pixels;
use super::problem::Problem;
use super::profile::{MOST_PROFILE, ToSrgb, to_eight};
use super::reduce::Reducer;

/// Limit for a decoder's memory besides its output: two rows of the widest image, palette, orientation.
const MOST_BYTES: usize = 1 << 25;

/// Chunks that may precede an image's data.
const MOST_CHUNKS: usize = 1 << 10;

/// Pixels, and their orientation.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Missing pixels are black.
    pub(super) pixels: Pixels,
    pub(super) orientation: Orientation,
    /// Which part of it is there, unless it is complete.
    pub(super) cut: Option<String>,
    /// Whether it is the first frame of an animation.
    pub(super) animated: bool,
    /// The size before it was reduced.
    pub(super) whole: Option<(u32, u32)>,
}

impl Rows {
    /// Reads a PNG of at most `max_pixels`; a larger one is reduced to so many row by row, if `reduce`.
    ///
    /// # Errors
    /// [`Problem`].
    pub(super) fn read(mut reader: impl BufRead + Seek, max_pixels: u64, reduce: bool) -> Result<Self, Problem> {
        let start = reader.stream_position().map_err(Problem::Read)?;
        let profile = profile(&mut reader);
        reader.seek(SeekFrom::Start(start)).map_err(Problem::Read)?;
        let mut decoder = Decoder::new_with_limits(reader, Limits { bytes: MOST_BYTES });
        decoder.set_transformations(Transformations::EXPAND);
        // When decompressed, a few bytes of these chunks may become gigabytes.
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        let header = decoder.read_header_info().map_err(|error| problem(error, "it ends before its image data"))?;
        let width = header.width;
        let height = header.height;
        let step = Reducer::step((width, height), max_pixels);
        // The passes of an interlaced one each cover all of it.
        if step > 1 && (!reduce || header.interlaced) {
            return Err(Problem::TooLarge { width, height });
        }
        let mut reader = decoder.read_info().map_err(|error| problem(error, "it ends before its image data"))?;
        let exif = reader.info().exif_metadata.as_ref();
        // A broken EXIF block is no reason to reject the image.
        let orientation = exif.and_then(|exif| Orientation::from_exif_chunk(exif)).unwrap_or(Orientation::NoTransforms);
        let animated = reader.info().animation_control().is_some_and(|control| control.num_frames > 1);
        let (color, depth) = reader.output_color_type();
        let samples = Samples::new(reader.info(), color, depth, &profile);
        let stride = width as usize * samples.bytes();
        let bytes = stride.saturating_mul(height as usize);
        let mut held = Vec::new();
        let mut line = memory::filled(stride, 0, "a row of a PNG")?;
        let mut reducer = if step > 1 {
            // Only the whole image shows what its samples mean.
            if samples.significant.is_some() {
                return Err(Problem::TooLarge { width, height });
            }
            Some(Reducer::new(width, height, samples.channels, step)?)
        } else {
            memory::reserve(&mut held, bytes, "an image")?;
            None
        };
        // The decoder aborts if it cannot allocate its buffers: one of four rows or 128 KiB, and one for the next row,
        // which doubles as it grows.
        let longest = 8 * u64::from(width) + 1;
        memory::enough(2 * ((4 * longest).max(128 << 10) + longest + (16 << 10)), "an image")?;
        let mut rows = 0;
        let mut cut = None;
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
                    samples.row(row.data(), &mut line);
                    match &mut reducer {
                        Some(reducer) => reducer.push(&line),
                        None => held.extend_from_slice(&line),
                    }
                }
                InterlaceInfo::Adam7(pass) => {
                    samples.fill(&mut held, bytes);
                    let taken = samples.row(row.data(), &mut line);
                    png::expand_interlaced_row(&mut held, stride, &line[..taken], pass, samples.bytes() as u8 * 8);
                }
            }
            rows += 1;
        }
        if cut.is_none() && !reader.info().interlaced && rows < height {
            cut = Some(format!("{rows} of {height} rows are there"));
        }
        let channels = samples.channels;
        if let Some(mut reducer) = reducer {
            let mut black = vec![0; stride];
            if channels == 4 {
                black.chunks_exact_mut(4).for_each(|pixel| pixel[3] = 255);
            }
            (rows..height).for_each(|_| reducer.push(&black));
            let whole = Some((width, height));
            let (width, height, bytes) = reducer.finish();
            return Ok(Self { width, height, pixels: Pixels::of(bytes, channels), orientation, cut, animated, whole });
        }
        samples.fill(&mut held, bytes);
        let bytes = samples.finished(held)?;
        Ok(Self { width, height, pixels: Pixels::of(bytes, channels), orientation, cut, animated, whole: None })
    }
}

/// The ICC profile before the image data; empty if there is none, or if its length is implausible.
fn profile(reader: &mut (impl BufRead + Seek)) -> Vec<u8> {
    find_profile(reader).unwrap_or_default()
}

fn find_profile(reader: &mut (impl BufRead + Seek)) -> Option<Vec<u8>> {
    // The signature.
    reader.seek_relative(8).ok()?;
    for _ in 0..MOST_CHUNKS {
        let mut head = [0; 8];
        reader.read_exact(&mut head).ok()?;
        let [l3, l2, l1, l0, kind @ ..] = head;
        let length = u32::from_be_bytes([l3, l2, l1, l0]);
        match &kind {
            b"IDAT" | b"IEND" => return None,
            b"iCCP" => {
                let length = usize::try_from(length).ok().filter(|&length| length <= MOST_PROFILE)?;
                let mut chunk = Vec::new();
                reader.by_ref().take(length as u64).read_to_end(&mut chunk).ok()?;
                // A name, a zero, the compression method (0: deflate), and the profile.
                let end = chunk.iter().position(|&byte| byte == 0)?;
                let compressed = chunk.get(end + 1..)?.strip_prefix(&[0])?;
                return fdeflate::decompress_to_vec_bounded(compressed, MOST_PROFILE).ok();
            }
            // And its checksum.
            _ => reader.seek_relative(i64::from(length) + 4).ok()?,
        }
    }
    None
}

/// `there` describes which part exists, if truncation is the only problem.
fn problem(error: DecodingError, there: &str) -> Problem {
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Problem::Cut(there.into()),
        DecodingError::IoError(error) => Problem::Read(error),
        other => Problem::Damaged(other.to_string()),
    }
}

/// Converts a PNG's samples to eight bits of sRGB.
struct Samples {
    color: ColorType,
    deep: bool,
    /// 3, or 4 with an alpha.
    channels: usize,
    /// If fewer than sixteen bits are significant according to the file: how many, for colours and for alpha. Only the
    /// whole image shows whether they are the upper bits, as PNG requires, or the lower ones, as some cameras write
    /// them.
    significant: Option<[u32; 2]>,
    to_srgb: Option<ToSrgb>,
}

impl Samples {
    fn new(info: &Info<'_>, color: ColorType, depth: BitDepth, profile: &[u8]) -> Self {
        let (grey, alpha) = match color {
            ColorType::Grayscale => (true, false),
            ColorType::GrayscaleAlpha => (true, true),
            ColorType::Rgb | ColorType::Indexed => (false, false),
            ColorType::Rgba => (false, true),
        };
        let deep = depth == BitDepth::Sixteen;
        let significant = info.sbit.as_ref().filter(|_| deep).and_then(|said| {
            let colours = said.iter().take(if grey { 1 } else { 3 }).copied().max()?;
            // An alpha from tRNS has no significant-bits entry of its own.
            let alpha = said.get(if grey { 1 } else { 3 }).copied().unwrap_or(16);
            let bits = [colours, alpha].map(u32::from);
            let possible = bits.iter().all(|bits| (1..=16).contains(bits)) && bits != [16, 16];
            possible.then_some(bits)
        });
        // Code points take precedence over a profile.
        let points = info
            .coding_independent_code_points
            .filter(|points| !grey && points.is_video_full_range_image && points.matrix_coefficients == 0);
        let to_srgb = match points {
            Some(points) => ToSrgb::code_points(points.color_primaries, points.transfer_function, alpha),
            None if profile.is_empty() => None,
            None => ToSrgb::icc(profile, grey, alpha),
        };
        Self { color, deep, channels: if alpha { 4 } else { 3 }, significant, to_srgb }
    }

    /// Bytes per pixel while the image is read.
    fn bytes(&self) -> usize {
        self.channels * if self.significant.is_some() { 2 } else { 1 }
    }

    /// Converts a row for storage; returns how many bytes of `line` it fills.
    fn row(&self, row: &[u8], line: &mut [u8]) -> usize {
        if !self.deep {
            let pixels = row.len() / self.color.samples();
            let line = &mut line[..pixels * self.channels];
            self.spread(|at| row[at], line);
            if let Some(to_srgb) = &self.to_srgb {
                to_srgb.eight(line);
            }
            return line.len();
        }
        let pixels = row.len() / (2 * self.color.samples());
        let mut deep = vec![0; pixels * self.channels];
        self.spread(|at| u16::from_be_bytes([row[2 * at], row[2 * at + 1]]), &mut deep);
        let line = &mut line[..pixels * self.bytes()];
        if self.significant.is_some() {
            line.copy_from_slice(deep.iter().copied().flat_map(u16::to_be_bytes).collect::<Vec<_>>().as_slice());
        } else {
            self.shallow(&mut deep, line);
        }
        line.len()
    }

    /// The samples of a row as pixels with all channels.
    fn spread<T>(&self, sample: impl Fn(usize) -> T, pixels: &mut [T]) {
        let of_pixel = self.color.samples();
        for (number, pixel) in pixels.chunks_exact_mut(self.channels).enumerate() {
            for (channel, value) in pixel.iter_mut().enumerate() {
                // A grey level becomes all three colours; alpha is last.
                let at = if channel == 3 {
                    of_pixel - 1
                } else if of_pixel < 3 {
                    0
                } else {
                    channel
                };
                *value = sample(number * of_pixel + at);
            }
        }
    }

    /// Converts sixteen bits to eight of sRGB.
    fn shallow(&self, deep: &mut [u16], line: &mut [u8]) {
        if let Some(to_srgb) = &self.to_srgb {
            to_srgb.sixteen(deep);
        }
        line.iter_mut().zip(deep).for_each(|(to, from)| *to = to_eight(*from));
    }

    /// Fills missing pixels with opaque black.
    fn fill(&self, held: &mut Vec<u8>, bytes: usize) {
        let begin = held.len();
        if begin == bytes {
            return;
        }
        held.resize(bytes, 0);
        if self.channels == 4 {
            let alpha = self.bytes() / 4;
            held[begin..].chunks_exact_mut(4 * alpha).for_each(|pixel| pixel[3 * alpha..].fill(255));
        }
    }

    /// The whole image, eight bits per channel.
    fn finished(&self, held: Vec<u8>) -> Result<Vec<u8>, OutOfMemory> {
        let Some(bits) = self.significant else { return Ok(held) };
        let sample = |pair: &[u8]| u16::from_be_bytes([pair[0], pair[1]]);
        let mut most = [0, 0];
        for pixel in held.chunks_exact(2 * self.channels) {
            for (channel, pair) in pixel.chunks_exact(2).enumerate() {
                let most = &mut most[usize::from(channel == 3)];
                *most = sample(pair).max(*most);
            }
        }
        let full = |value: u16, kind: usize| {
            let white = (1u32 << bits[kind]) - 1;
            let value = u32::from(value);
            // If no bit above them is set, the lower bits are the significant ones.
            let value = if u32::from(most[kind]) <= white { value } else { value >> (16 - bits[kind]) };
            ((value * 65_535 + white / 2) / white) as u16
        };
        let mut bytes = memory::filled(held.len() / 2, 0, "an image")?;
        let row = 1 << 12;
        for (from, to) in held.chunks(2 * self.channels * row).zip(bytes.chunks_mut(self.channels * row)) {
            let mut deep: Vec<u16> = from
                .chunks_exact(2)
                .enumerate()
                .map(|(at, pair)| full(sample(pair), usize::from(at % self.channels == 3)))
                .collect();
            self.shallow(&mut deep, to);
        }
        Ok(bytes)
    }
}
