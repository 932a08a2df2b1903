//! Extracts a JPEG's bytes from a reader: no more of them than its size explains, without segments that do not affect
//! the image, and with a description of what is missing if it is truncated.
//!
//! The decoder silently produces grey for missing data. So this file parses the markers while reading; if there is no
//! end marker, the Huffman codes are counted (`entropy`).

use std::collections::BTreeMap;
use std::io::{BufRead, ErrorKind, Read};

use silhouette_kernels::memory::OutOfMemory;

use super::entropy::{Component, Scan, Tables, Walker};
use super::problem::Problem;
use super::profile::MOST_PROFILE;
use super::strips::{Layout, Strips};

/// Limit for the useful bytes before and between an image's scans.
const MOST_HEADERS: usize = 1 << 20;
/// Limit for the skipped bytes: profiles, thumbnails, comments.
const MOST_PASSED: u64 = 1 << 26;
/// Even noise takes less than sixteen bits per sample.
const BYTES_PER_PIXEL: u64 = 4;
/// Each scan of a progressive image covers all of it; encoders write about ten.
const MOST_SCANS: u64 = 256;
/// Limit for scans times pixels: sixteen scans of the largest images.
const MOST_SCANNED: u64 = 1 << 31;

/// If the data cannot hold the pixels, lenient reading needs at least this share of them.
const LEAST_SHARE: u64 = 16;

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const DHT: u8 = 0xC4;
const APP0: u8 = 0xE0;
const APP1: u8 = 0xE1;
const APP2: u8 = 0xE2;
const APP14: u8 = 0xEE;
const APP15: u8 = 0xEF;
const COMMENT: u8 = 0xFE;

/// A JPEG that was read up to its end marker, or to where it is truncated.
#[derive(Debug)]
pub(super) struct Jpeg {
    pub(super) bytes: Vec<u8>,
    /// Bytes that its decoder needs while it works: for a progressive image, all coefficients.
    pub(super) decoding: u64,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Which part of it is there, unless it is complete.
    pub(super) cut: Option<String>,
    /// Its colour profile if all of its parts are there; otherwise empty.
    pub(super) profile: Vec<u8>,
    components: Vec<Component>,
    /// Its scan, if it is sequential and has one.
    scan: Option<Place>,
}

/// The size and components in a frame header.
#[derive(Clone, Debug)]
struct Frame {
    progressive: bool,
    width: u32,
    height: u32,
    components: Vec<Component>,
}

impl Frame {
    fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl Jpeg {
    /// Reads a JPEG of at most `max_pixels`.
    ///
    /// # Errors
    /// [`Problem`].
    pub(super) fn read(mut reader: impl BufRead, max_pixels: u64) -> Result<Self, Problem> {
        let mut reading = Reading {
            bytes: Vec::new(),
            frame: None,
            scans: Vec::new(),
            headers: 0,
            passed: 0,
            entropy: 0,
            parts: Parts::default(),
        };
        let complete = match reading.markers(&mut reader, max_pixels) {
            Ok(()) => true,
            Err(Problem::Cut(_)) if reading.frame.is_some() && !reading.scans.is_empty() => false,
            Err(problem) => return Err(problem),
        };
        let Reading { bytes, frame, scans, entropy, parts, .. } = reading;
        let profile = parts.whole();
        let sequential = frame.as_ref().is_some_and(|frame| !frame.progressive);
        let scan = if let [scan] = scans[..] { Some(scan).filter(|_| sequential) } else { None };
        let frame = frame.ok_or_else(|| Problem::Damaged("it has no image data".into()))?;
        let width = frame.width;
        let height = frame.height;
        // Each block's first coefficient takes at least one bit.
        let most = Component::most(&frame.components);
        let blocks = frame.components.iter().map(|component| component.blocks(width, height, most));
        let blocks: u64 = blocks.map(|(across, down)| (across * down) as u64).sum();
        // (Of 64 coefficients of two bytes.)
        let decoding = if frame.progressive { blocks * 128 } else { 1 << 20 };
        if entropy.saturating_mul(8) < blocks {
            let there = format!("{entropy} bytes of data cannot hold {width}x{height} pixels");
            if complete {
                return Err(Problem::Damaged(there));
            }
            // Almost nothing: filling the rest with grey would take as long as decoding a whole image.
            if entropy.saturating_mul(8 * LEAST_SHARE) < blocks {
                return Err(Problem::Cut(there));
            }
            let components = frame.components;
            return Ok(Self { bytes, decoding, width, height, cut: Some(there), profile, components, scan });
        }
        let cut = if complete { None } else { missing(&bytes, &frame, &scans)? };
        Ok(Self { bytes, decoding, width, height, cut, profile, components: frame.components, scan })
    }

    /// The image in strips; `None` if it cannot be taken apart.
    pub(super) fn strips(&self) -> Option<Strips<'_>> {
        let Place { header, data, end } = self.scan?;
        Strips::new(Layout {
            bytes: &self.bytes,
            width: self.width,
            height: self.height,
            components: &self.components,
            scan: (header, data, end),
        })
    }
}

/// Positions of a scan's header and its data.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The first byte of the header's content.
    header: usize,
    data: usize,
    end: usize,
}

struct Reading {
    bytes: Vec<u8>,
    frame: Option<Frame>,
    scans: Vec<Place>,
    headers: usize,
    passed: u64,
    entropy: u64,
    parts: Parts,
}

/// The parts of a colour profile, each in a segment of its own: a number from 1, the number of parts, and bytes.
#[derive(Default)]
struct Parts {
    by_number: BTreeMap<u8, Vec<u8>>,
    count: u8,
    bytes: usize,
}

impl Parts {
    fn add(&mut self, content: &[u8]) {
        let Some(&[number, count, ref part @ ..]) = content.strip_prefix(b"ICC_PROFILE\0") else { return };
        self.bytes += part.len();
        if self.bytes <= MOST_PROFILE {
            self.count = count;
            self.by_number.entry(number).or_insert_with(|| part.to_vec());
        }
    }

    /// Empty if a part is missing.
    fn whole(self) -> Vec<u8> {
        if self.bytes > MOST_PROFILE || !self.by_number.keys().copied().eq(1..=self.count) {
            return Vec::new();
        }
        self.by_number.into_values().flatten().collect()
    }
}

impl Reading {
    /// Reads up to the end marker.
    fn markers(&mut self, reader: &mut impl BufRead, max_pixels: u64) -> Result<(), Problem> {
        let mut start = [0; 2];
        fill(reader, &mut start)?;
        if start != [0xFF, SOI] {
            return Err(Problem::Damaged("it does not begin like a JPEG".into()));
        }
        self.bytes.extend(start);
        let mut next = None;
        loop {
            let marker = match next.take() {
                Some(marker) => marker,
                None => self.marker(reader)?,
            };
            if marker == EOI {
                self.bytes.extend([0xFF, EOI]);
                return Ok(());
            }
            // Restarts, the start marker, and standalone markers have no content.
            if matches!(marker, 0x01 | 0xD0..=SOI) {
                continue;
            }
            let mut length = [0; 2];
            fill(reader, &mut length)?;
            let Some(content) = usize::from(u16::from_be_bytes(length)).checked_sub(2) else {
                return Err(Problem::Damaged("a segment is shorter than its length".into()));
            };
            self.segment(reader, marker, length, content, max_pixels)?;
            if marker == SOS {
                let data = self.bytes.len();
                let after = self.scan(reader);
                self.scans.push(Place { header: data - content, data, end: self.bytes.len() });
                next = Some(after?);
            }
        }
    }

    /// Finds the next marker; bytes before it are skipped.
    fn marker(&mut self, reader: &mut impl BufRead) -> Result<u8, Problem> {
        loop {
            let byte = one(reader)?;
            if byte == 0xFF {
                loop {
                    match one(reader)? {
                        0xFF => self.pass(1)?,
                        0 => break,
                        marker => return Ok(marker),
                    }
                }
            }
            self.pass(1)?;
        }
    }

    fn pass(&mut self, bytes: u64) -> Result<(), Problem> {
        self.passed += bytes;
        if self.passed <= MOST_PASSED {
            return Ok(());
        }
        Err(Problem::Damaged(format!("more than {MOST_PASSED} bytes of it are not image data")))
    }

    fn segment(
        &mut self,
        reader: &mut impl BufRead,
        marker: u8,
        length: [u8; 2],
        content: usize,
        max_pixels: u64,
    ) -> Result<(), Problem> {
        // Two bytes of marker, two of length.
        let begins = self.bytes.len() + 4;
        // Thumbnails and comments do not affect the pixels; the orientation and Adobe's colour transform do. The
        // decoder does not use the profile.
        let of_use = !matches!(marker, APP0..=APP15 | COMMENT) || matches!(marker, APP0 | APP1 | APP14);
        if !of_use {
            self.pass(content as u64)?;
            if marker == APP2 {
                let mut segment = vec![0; content];
                fill(reader, &mut segment)?;
                self.parts.add(&segment);
                return Ok(());
            }
            let passed =
                std::io::copy(&mut reader.take(content as u64), &mut std::io::sink()).map_err(Problem::Read)?;
            return if passed == content as u64 { Ok(()) } else { Err(cut()) };
        }
        let [high, low] = length;
        self.bytes.try_reserve(content + 4).map_err(|_| OutOfMemory { what: "a JPEG", bytes: begins + content })?;
        self.bytes.extend([0xFF, marker, high, low]);
        self.bytes.resize(begins + content, 0);
        if let Err(problem) = fill(reader, &mut self.bytes[begins..]) {
            // An incomplete segment is ignored.
            self.bytes.truncate(begins - 4);
            return Err(problem);
        }
        if marker == APP1 && !self.bytes[begins..].starts_with(b"Exif\0\0") {
            self.bytes.truncate(begins - 4);
            return self.pass(content as u64);
        }
        self.headers += content;
        if self.headers > MOST_HEADERS {
            return Err(Problem::Damaged(format!("its headers are longer than {MOST_HEADERS} bytes")));
        }
        if matches!(marker, 0xC0..=0xCF) && !matches!(marker, DHT | 0xC8 | 0xCC) {
            let frame = frame(marker, &self.bytes[begins..])?;
            if self.frame.is_some() {
                return Err(Problem::Damaged("it has two frames".into()));
            }
            if frame.pixels() > max_pixels {
                return Err(Problem::TooLarge { width: frame.width, height: frame.height });
            }
            self.frame = Some(frame);
        }
        Ok(())
    }

    /// Reads a scan's data up to the next marker that is not a restart, and returns that marker.
    fn scan(&mut self, reader: &mut impl BufRead) -> Result<u8, Problem> {
        let frame = self.frame.as_ref().ok_or_else(|| Problem::Damaged("a scan precedes its frame".into()))?;
        let width = frame.width;
        let height = frame.height;
        let pixels = frame.pixels();
        let scans = self.scans.len() as u64 + 1;
        if scans > MOST_SCANS || scans * pixels > MOST_SCANNED {
            return Err(Problem::Damaged(format!("it has {scans} scans or more of {width}x{height} pixels")));
        }
        let most = pixels * BYTES_PER_PIXEL + (1 << 16);
        loop {
            let next = match reader.fill_buf() {
                Ok(next) => next,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Problem::Read(error)),
            };
            if next.is_empty() {
                return Err(cut());
            }
            let plain = next.iter().position(|&byte| byte == 0xFF).unwrap_or(next.len());
            self.entropy += plain as u64;
            if self.entropy > most {
                let text = format!("its data are longer than {most} bytes, more than {width}x{height} pixels explain");
                return Err(Problem::Damaged(text));
            }
            let bytes = self.bytes.len() + plain + 2;
            self.bytes.try_reserve(plain + 2).map_err(|_| OutOfMemory { what: "a JPEG", bytes })?;
            self.bytes.extend(&next[..plain]);
            let marked = plain < next.len();
            reader.consume(plain);
            if !marked {
                continue;
            }
            one(reader)?;
            let mut marker = one(reader)?;
            while marker == 0xFF {
                self.pass(1)?;
                marker = one(reader)?;
            }
            if !matches!(marker, 0 | 0xD0..=0xD7) {
                return Ok(marker);
            }
            self.bytes.extend([0xFF, marker]);
            self.entropy += 2;
        }
    }
}

/// The size and components in a frame header with this marker.
fn frame(marker: u8, content: &[u8]) -> Result<Frame, Problem> {
    let damaged = || Problem::Damaged("its frame header is damaged".into());
    let &[_, h1, h0, w1, w0, count, ref components @ ..] = content else { return Err(damaged()) };
    let width = u16::from_be_bytes([w1, w0]);
    let height = u16::from_be_bytes([h1, h0]);
    let (triples, rest) = components.as_chunks::<3>();
    let components: Vec<Component> =
        triples.iter().map(|&[id, sampling, _]| Component { id, across: sampling >> 4, down: sampling & 15 }).collect();
    let sampled = |component: &Component| (1..=4).contains(&component.across) && (1..=4).contains(&component.down);
    let whole = rest.is_empty() && components.len() == usize::from(count) && components.iter().all(sampled);
    if width == 0 || height == 0 || !(1..=4).contains(&count) || !whole {
        return Err(damaged());
    }
    let frame = Frame { progressive: marker == 0xC2, width: width.into(), height: height.into(), components };
    Ok(frame)
}

/// Describes which part of an image without an end marker is there; `None` if only the marker is missing.
fn missing(bytes: &[u8], frame: &Frame, scans: &[Place]) -> Result<Option<String>, OutOfMemory> {
    let mut walker = Walker::new(frame.progressive, frame.width, frame.height, &frame.components)?;
    let mut tables = Tables::default();
    let mut from = 2;
    for (number, place) in scans.iter().enumerate() {
        // The header's marker and length precede it.
        tables.read(&bytes[from..place.header - 4]);
        from = place.end;
        let Some(scan) = Scan::read(&bytes[place.header..place.data]) else {
            return Ok(Some(format!("its scan {} is damaged", number + 1)));
        };
        let rows = walker.walk(&tables, &scan, &bytes[place.data..place.end]);
        if rows < frame.height {
            let of = if frame.progressive { format!(" of its scan {}", number + 1) } else { String::new() };
            return Ok(Some(format!("{rows} of {} rows{of} are there", frame.height)));
        }
    }
    Ok(if walker.complete() { None } else { Some(format!("{} scans are there, but not all", scans.len())) })
}

fn cut() -> Problem {
    Problem::Cut("it ends before its image data".into())
}

fn fill(reader: &mut impl BufRead, bytes: &mut [u8]) -> Result<(), Problem> {
    reader
        .read_exact(bytes)
        .map_err(|error| if error.kind() == ErrorKind::UnexpectedEof { cut() } else { Problem::Read(error) })
}

fn one(reader: &mut impl BufRead) -> Result<u8, Problem> {
    let mut byte = [0];
    fill(reader, &mut byte)?;
    Ok(byte[0])
}
