//! Image files: reads photos (PNG, JPEG, WebP, and with the feature `formats` GIF, BMP and TIFF; EXIF orientation is applied), writes masks
//! and images (PNG).
//!
//! Files are hostile: a photo's size is checked before memory is allocated for its pixels, and rejected above a limit
//! set by the caller; no more of a file is read than its size explains, no profile is decompressed beyond a plausible
//! length, and a truncated photo is an error unless the caller accepts partial ones. Colours are converted to sRGB,
//! transparency is preserved.

mod decoded;
mod encode;
mod entropy;
#[cfg(feature = "formats")]
mod formats;
#[cfg(feature = "formats")]
mod headers;
mod jpeg;
mod kind;
mod pixels;
mod png_rows;
mod problem;
mod profile;
mod reduce;
mod several;
mod strips;
pub mod y4m;

use std::io::{BufRead, Cursor, ErrorKind, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use image::metadata::Orientation;
use silhouette_files::open_regular;
use silhouette_kernels::memory::{self, OutOfMemory};
use thiserror::Error;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use decoded::Decoded;
use jpeg::Jpeg;
use kind::Format;
use pixels::Pixels;
use png_rows::Rows;
use problem::Problem;
use profile::ToSrgb;
use reduce::Reducer;
use strips::Strips;

pub use encode::{Image, ImageFormat};
pub use kind::Kind;
pub use several::Several;

use crate::frame::{Frame, FrameError, Rotation, Size, Transparency};
use crate::mask::{Confidence, Mask};
use crate::palette::Palette;
use crate::picture::Picture;

/// The default limit on pixels of [`Photo::open`]: a photo then needs at most 384 MB while it is open, 512 MB with
/// alpha, and temporarily up to three times that if it is a progressive JPEG, a WebP, or a PNG of sixteen bits of which
/// fewer are significant.
pub const MAX_PIXELS: u64 = 128_000_000;

/// The largest image file that is opened.
const MAX_FILE: u64 = 1 << 30;

/// The formats that are read, in words.
const FORMATS: &str =
    if cfg!(feature = "formats") { "a PNG, JPEG, WebP, GIF, BMP or TIFF" } else { "a PNG, JPEG or WebP" };

/// Why an image file was not read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Its first bytes belong to no known format.
    #[error("{} is not {FORMATS} image", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// It is of a known format that is not read.
    #[error("{} is {kind}, which is not read; convert it first: {command}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
        /// A command that makes an image of it that is read.
        command: String,
    },
    /// It has no bytes.
    #[error("{} is empty: it has no bytes", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// More pixels than the limit.
    #[error("{} has {width}x{height} pixels, over the limit of {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// The limit.
        limit: u64,
    },
    /// It ends before its image does; [`PhotoOptions::lenient`] accepts what is there.
    #[error("{} is truncated: {there}; get the whole file, or accept a partial image (lenient)", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Which part of it is there.
        there: String,
    },
    /// The system has too little memory for its pixels.
    #[error("cannot decode {}: {source}", path.display())]
    OutOfMemory {
        /// The file.
        path: PathBuf,
        /// The size of the failed allocation.
        source: OutOfMemory,
    },
    /// Damaged, or of an unknown kind.
    #[error("cannot decode {}: {reason}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The decoder's error.
        reason: String,
    },
    /// An image whose pixels do not match its size, or one too large for PNG.
    #[error("cannot encode {}: {reason}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The encoder's error.
        reason: String,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// A decoded photo: sRGB colours, alpha if any pixel is transparent, and its orientation.
///
/// ```no_run
/// # use silhouette_imaging::files::{Photo, PhotoOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let photo = Photo::open_with("photo.jpg", &PhotoOptions::new().lenient(true))?;
/// let frame = photo.frame()?; // Upright, by the photo's orientation.
/// println!("{} x {}", frame.upright_size().width, frame.upright_size().height);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Photo {
    width: usize,
    height: usize,
    pixels: Pixels,
    rotation: Rotation,
    mirror: bool,
    several: Option<Several>,
    /// Columns and rows of the file's image, before it was reduced.
    whole: Option<(u32, u32)>,
}

/// Which photos are accepted.
///
/// ```
/// # use silhouette_imaging::files::PhotoOptions;
/// let small = PhotoOptions::new().max_pixels(12_000_000);
/// assert_ne!(small, PhotoOptions::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhotoOptions {
    max_pixels: u64,
    reduce: bool,
    lenient: bool,
}

impl Default for PhotoOptions {
    fn default() -> Self {
        Self { max_pixels: MAX_PIXELS, reduce: false, lenient: false }
    }
}

impl PhotoOptions {
    /// Whole photos of at most [`MAX_PIXELS`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Photos of at most this many pixels.
    #[must_use]
    pub fn max_pixels(mut self, pixels: u64) -> Self {
        self.max_pixels = pixels;
        self
    }

    /// Whether a photo of more pixels is reduced as it is read, by an integer factor, instead of refused. Only what can be read
    /// part by part is (PNG, unless it is interlaced; JPEG, unless it is progressive or truncated): the memory for it then depends on [`max_pixels`](Self::max_pixels), not on its size.
    #[must_use]
    pub fn reduce(mut self, reduce: bool) -> Self {
        self.reduce = reduce;
        self
    }

    /// Whether a truncated JPEG or PNG is decoded as far as it goes; the rest is one colour.
    #[must_use]
    pub fn lenient(mut self, lenient: bool) -> Self {
        self.lenient = lenient;
        self
    }
}

/// A decoded JPEG.
struct Rgb {
    bytes: Vec<u8>,
    grey: bool,
    orientation: Orientation,
}

impl Rgb {
    /// Decodes a JPEG of this size, whose decoder needs so many bytes.
    fn decode(bytes: &[u8], (width, height): (u32, u32), decoding: u64) -> Result<Self, Problem> {
        let wrong = |error: zune_jpeg::errors::DecodeErrors| Problem::Damaged(error.to_string());
        // Missing data were handled already; otherwise the decoder should do its best.
        let sides =
            DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), sides);
        decoder.decode_headers().map_err(wrong)?;
        let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
        decoder.set_options(sides.jpeg_set_out_colorspace(if grey { ColorSpace::Luma } else { ColorSpace::RGB }));
        let exif = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
        let pixels = width as usize * height as usize;
        let mut decoded = memory::filled(pixels * if grey { 1 } else { 3 }, 0, "an image")?;
        // The decoder allocates without checking.
        memory::enough(decoding, "an image")?;
        decoder.decode_into(&mut decoded).map_err(wrong)?;
        drop(decoder);
        let rgb = if grey {
            let mut rgb = memory::filled(pixels * 3, 0, "an image")?;
            rgb.chunks_exact_mut(3).zip(decoded).for_each(|(pixel, level)| pixel.fill(level));
            rgb
        } else {
            decoded
        };
        Ok(Self { bytes: rgb, grey, orientation: exif.unwrap_or(Orientation::NoTransforms) })
    }
}

impl Photo {
    /// Reads a whole photo of at most [`MAX_PIXELS`].
    ///
    /// # Errors
    /// [`FileError`]: unreadable, not an image, too large, truncated, damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        Self::open_with(path, &PhotoOptions::new())
    }

    /// Reads a whole photo of at most `max_pixels`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_limit(path: impl AsRef<Path>, max_pixels: u64) -> Result<Self, FileError> {
        Self::open_with(path, &PhotoOptions::new().max_pixels(max_pixels))
    }

    /// Reads a photo.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: &PhotoOptions) -> Result<Self, FileError> {
        let path = path.as_ref();
        let opened = open_regular(path, MAX_FILE);
        let opened = opened.map_err(|error| FileError::Read { path: path.to_path_buf(), source: error.into() })?;
        Self::read(std::io::BufReader::new(opened.file), path, options)
    }

    /// Reads a whole photo from memory; `name` replaces the path in errors.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn decode(bytes: &[u8], name: &str, max_pixels: u64) -> Result<Self, FileError> {
        Self::read(Cursor::new(bytes), Path::new(name), &PhotoOptions::new().max_pixels(max_pixels))
    }

    /// Reads a photo; `path` is used in errors.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(reader: impl BufRead + Seek, path: &Path, options: &PhotoOptions) -> Result<Self, FileError> {
        let path = || path.to_path_buf();
        Self::of(reader, options).map_err(|problem| match problem {
            Some(Problem::Read(source)) => FileError::Read { path: path(), source },
            Some(Problem::TooLarge { width, height }) => {
                FileError::TooLarge { path: path(), width, height, limit: options.max_pixels }
            }
            Some(Problem::Cut(there)) => FileError::Truncated { path: path(), there },
            Some(Problem::Damaged(reason)) => FileError::Decode { path: path(), reason },
            Some(Problem::OutOfMemory(source)) => FileError::OutOfMemory { path: path(), source },
            Some(Problem::Foreign(kind)) => {
                FileError::Foreign { kind: kind.said(), command: kind.command(&path()), path: path() }
            }
            Some(Problem::Empty) => FileError::Empty { path: path() },
            None => FileError::Format { path: path() },
        })
    }

    /// Reads the format recognised from the first bytes; an empty message for an unknown one.
    fn of(mut reader: impl BufRead + Seek, options: &PhotoOptions) -> Result<Self, Option<Problem>> {
        let mut head = [0; Kind::HEAD];
        let start = reader.stream_position().map_err(Problem::Read)?;
        let mut length = 0;
        while length < head.len() {
            match reader.read(&mut head[length..]) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Some(Problem::Read(error))),
            }
        }
        reader.seek(SeekFrom::Start(start)).map_err(Problem::Read)?;
        if length == 0 {
            return Err(Some(Problem::Empty));
        }
        let kind = Kind::of(&head[..length]).ok_or(None)?;
        let decoded = match kind.format().ok_or(Problem::Foreign(kind))? {
            Format::Jpeg => return Ok(Self::jpeg(reader, options)?),
            Format::Png => return Ok(Self::png(reader, options)?),
            Format::WebP => decoded::webp(reader, options.max_pixels)?,
            #[cfg(feature = "formats")]
            Format::Gif => formats::gif(reader, options.max_pixels)?,
            #[cfg(feature = "formats")]
            Format::Bmp => formats::bmp(reader, options.max_pixels)?,
            #[cfg(feature = "formats")]
            Format::Tiff => formats::tiff(reader, options.max_pixels)?,
            #[cfg(not(feature = "formats"))]
            Format::Gif | Format::Bmp | Format::Tiff => return Err(Some(Problem::Foreign(kind))),
        };
        let Decoded { width, height, pixels, orientation, several } = decoded;
        Ok(Self { several, ..Self::turned(width, height, pixels, orientation) })
    }

    fn jpeg(reader: impl BufRead, options: &PhotoOptions) -> Result<Self, Problem> {
        let most = if options.reduce { u64::MAX } else { options.max_pixels };
        let jpeg = Jpeg::read(reader, most)?;
        let Jpeg { width, height, .. } = jpeg;
        let step = Reducer::step((width, height), options.max_pixels);
        if step > 1 {
            let strips = if jpeg.cut.is_none() { jpeg.strips() } else { None };
            return Self::reduced(&jpeg, strips.ok_or(Problem::TooLarge { width, height })?, step);
        }
        if let Some(there) = jpeg.cut.filter(|_| !options.lenient) {
            return Err(Problem::Cut(there));
        }
        let mut decoded = Rgb::decode(&jpeg.bytes, (width, height), jpeg.decoding)?;
        drop(jpeg.bytes);
        if let Some(to_srgb) = ToSrgb::of_jpeg(&jpeg.profile, decoded.grey) {
            to_srgb.eight(&mut decoded.bytes);
        }
        Ok(Self::turned(width, height, Pixels::of(decoded.bytes, 3), decoded.orientation))
    }

    /// Decodes a JPEG strip by strip, each `step` by `step` pixels becoming one.
    fn reduced(jpeg: &Jpeg, mut strips: Strips<'_>, step: u32) -> Result<Self, Problem> {
        let Jpeg { width, height, .. } = *jpeg;
        let mut reducer = Reducer::new(width, height, 3, step)?;
        let mut orientation = Orientation::NoTransforms;
        let mut to_srgb = None;
        while let Some(strip) = strips.next()? {
            let mut decoded = Rgb::decode(&strip.bytes, (width, strip.height), jpeg.decoding)?;
            if to_srgb.is_none() {
                to_srgb = Some(ToSrgb::of_jpeg(&jpeg.profile, decoded.grey));
            }
            if let Some(Some(to_srgb)) = &to_srgb {
                to_srgb.eight(&mut decoded.bytes);
            }
            orientation = decoded.orientation;
            let rows = decoded.bytes.chunks_exact(width as usize * 3).skip(strip.skip as usize);
            rows.take(strip.take as usize).for_each(|row| reducer.push(row));
        }
        let (small_width, small_height, pixels) = reducer.finish();
        let turned = Self::turned(small_width, small_height, Pixels::of(pixels, 3), orientation);
        Ok(Self { whole: Some((width, height)), ..turned })
    }

    fn png(reader: impl BufRead + Seek, options: &PhotoOptions) -> Result<Self, Problem> {
        let Rows { width, height, pixels, orientation, cut, animated, whole } =
            Rows::read(reader, options.max_pixels, options.reduce)?;
        match cut {
            Some(there) if !options.lenient => Err(Problem::Cut(there)),
            _ => {
                let several = animated.then_some(Several::Frames);
                Ok(Self { several, whole, ..Self::turned(width, height, pixels, orientation) })
            }
        }
    }

    fn turned(width: u32, height: u32, pixels: Pixels, orientation: Orientation) -> Self {
        let (rotation, mirror) = match orientation {
            Orientation::NoTransforms => (Rotation::None, false),
            Orientation::Rotate90 => (Rotation::Clockwise90, false),
            Orientation::Rotate180 => (Rotation::Half, false),
            Orientation::Rotate270 => (Rotation::Clockwise270, false),
            Orientation::FlipHorizontal => (Rotation::None, true),
            // Flipping vertically is a half turn plus a horizontal flip.
            Orientation::FlipVertical => (Rotation::Half, true),
            Orientation::Rotate90FlipH => (Rotation::Clockwise90, true),
            Orientation::Rotate270FlipH => (Rotation::Clockwise270, true),
        };
        Self { width: width as usize, height: height as usize, pixels, rotation, mirror, several: None, whole: None }
    }

    /// The size of the file's image, upright, if the photo was reduced from it ([`PhotoOptions::reduce`]).
    pub fn reduced_from(&self) -> Option<Size> {
        let (width, height) = self.whole?;
        let (width, height) = if self.rotation.transposes() { (height, width) } else { (width, height) };
        Some(Size { height: height as usize, width: width as usize })
    }

    /// What the file holds several of, if the photo is only the first of them.
    pub fn first_of(&self) -> Option<Several> {
        self.several
    }

    /// The photo as a frame with the file's rotation, mirroring and transparency.
    ///
    /// # Errors
    /// A photo with a side over [`MAX_SIDE`](crate::frame::MAX_SIDE), or without pixels.
    pub fn frame(&self) -> Result<Frame<'_>, FrameError> {
        let Pixels { bytes, channels } = &self.pixels;
        let frame = if *channels == 4 {
            Frame::rgba(bytes, self.width, self.height)?.transparent(Transparency::Straight)
        } else {
            Frame::rgb(bytes, self.width, self.height)?
        };
        Ok(frame.rotated(self.rotation).mirrored(self.mirror))
    }
}

/// Writes a mask as an 8-bit palette PNG whose indices are the classes. The file is written atomically; a pipe or a
/// device is written through.
///
/// # Errors
/// As [`Image::write`].
pub fn write_mask(path: impl AsRef<Path>, mask: &Mask, palette: &Palette) -> Result<(), FileError> {
    Image::Mask(mask, palette).write(path, ImageFormat::Png)
}

/// Writes an image as a PNG: RGB if every pixel is opaque, otherwise RGBA.
///
/// # Errors
/// As [`Image::write`].
pub fn write_picture(path: impl AsRef<Path>, picture: &Picture) -> Result<(), FileError> {
    Image::Picture(picture).write(path, ImageFormat::Png)
}

/// Writes a confidence as an 8-bit grey PNG.
///
/// # Errors
/// As [`Image::write`].
pub fn write_confidence(path: impl AsRef<Path>, confidence: &Confidence) -> Result<(), FileError> {
    Image::Grey(confidence).write(path, ImageFormat::Png)
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, &b| {
            (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 })
        })
    }

    /// A PNG that consists only of a header with a size, as a hostile sender would make it.
    fn header(width: u32, height: u32) -> Vec<u8> {
        let mut chunk = b"IHDR".to_vec();
        chunk.extend(width.to_be_bytes());
        chunk.extend(height.to_be_bytes());
        chunk.extend([8, 2, 0, 0, 0]);
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
        png.extend(&chunk);
        png.extend(crc(&chunk).to_be_bytes());
        png.extend(b"\0\0\0\0IDAT");
        png.extend(crc(b"IDAT").to_be_bytes());
        png
    }

    #[test]
    fn masks_keep_their_class_numbers() {
        let dir = Folder::new();
        let mask = Mask { width: 3, height: 2, classes: vec![0, 15, 255, 7, 1, 0] };
        write_mask(dir.path("m.png"), &mask, &Palette::voc()).unwrap();
        let file = std::io::BufReader::new(std::fs::File::open(dir.path("m.png")).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        assert_eq!(reader.info().color_type, png::ColorType::Indexed);
        assert_eq!(reader.info().palette.as_ref().unwrap()[45..48], [192, 128, 128]);
        let mut data = vec![0; 6];
        reader.next_frame(&mut data).unwrap();
        assert_eq!(data, mask.classes);
    }

    #[test]
    fn pictures_come_back() {
        let dir = Folder::new();
        let picture = Picture { width: 2, height: 1, rgba: vec![1, 2, 3, 255, 4, 5, 6, 255] };
        write_picture(dir.path("p.png"), &picture).unwrap();
        let photo = Photo::open(dir.path("p.png")).unwrap();
        assert_eq!(Picture::from_frame(&photo.frame().unwrap()).unwrap(), picture);
        for (alpha, color, bytes) in [
            (255, png::ColorType::Rgb, vec![1, 2, 3, 4, 5, 6]),
            (9, png::ColorType::Rgba, vec![1, 2, 3, 255, 4, 5, 6, 9]),
        ] {
            write_picture(
                dir.path("p.png"),
                &Picture { width: 2, height: 1, rgba: vec![1, 2, 3, 255, 4, 5, 6, alpha] },
            )
            .unwrap();
            let file = std::io::BufReader::new(std::fs::File::open(dir.path("p.png")).unwrap());
            let mut reader = png::Decoder::new(file).read_info().unwrap();
            let mut data = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut data).unwrap();
            assert_eq!((info.color_type, data), (color, bytes));
        }
        let broken = Picture { width: 1, height: 1, rgba: vec![0; 5] };
        assert!(matches!(write_picture(dir.path("b.png"), &broken), Err(FileError::Encode { .. })));
        write_confidence(dir.path("c.png"), &Confidence { width: 2, height: 1, values: vec![0, 200] }).unwrap();
        let photo = Photo::open(dir.path("c.png")).unwrap();
        assert_eq!(photo.pixels.bytes, [0, 0, 0, 200, 200, 200]);
    }

    #[test]
    fn exif_orientation_is_obeyed() {
        // A JPEG of a 16x8 image, left half black, right half white, with each orientation in its EXIF block.
        let mut plain = Vec::new();
        let rgb: Vec<u8> = (0..16 * 8).flat_map(|i| if i % 16 < 8 { [0; 3] } else { [255; 3] }).collect();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut plain, 95)
            .encode(&rgb, 16, 8, image::ExtendedColorType::Rgb8)
            .unwrap();
        for (value, size, white) in [
            (1u8, (16, 8), (12, 4)),
            (2, (16, 8), (4, 4)),
            (3, (16, 8), (4, 4)),
            (4, (16, 8), (12, 4)),
            (5, (8, 16), (4, 12)),
            (6, (8, 16), (4, 12)),
            (7, (8, 16), (4, 4)),
            (8, (8, 16), (4, 4)),
        ] {
            let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
            exif.extend([value, 0, 0, 0, 0, 0, 0]);
            let mut bytes = plain[..2].to_vec();
            bytes.extend([0xFF, 0xE1]);
            bytes.extend((exif.len() as u16 + 2).to_be_bytes());
            bytes.extend(exif);
            bytes.extend(&plain[2..]);
            // Whatever chunk of the file is available when the block begins, with a profile before it.
            for piece in [1, 7, 20, 1 << 13] {
                let mut profiled = bytes[..2].to_vec();
                profiled.extend([0xFF, 0xE2, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
                profiled.extend(&bytes[2..]);
                let reader = std::io::BufReader::with_capacity(piece, Cursor::new(profiled));
                let photo = Photo::read(reader, Path::new("test"), &PhotoOptions::new()).unwrap();
                let found = photo.frame().unwrap().upright_size();
                assert_eq!((found.width, found.height), size, "orientation {value}, {piece} bytes at a time");
            }
            let photo = Photo::decode(&bytes, "test", MAX_PIXELS).unwrap();
            let picture = Picture::from_frame(&photo.frame().unwrap()).unwrap();
            assert_eq!((picture.width, picture.height), size, "orientation {value}");
            let at = |x: usize, y: usize| picture.rgba[(y * picture.width + x) * 4];
            assert!(at(white.0, white.1) > 200, "orientation {value}");
            assert!(at(size.0 - 1 - white.0, size.1 - 1 - white.1) < 50, "orientation {value}");
        }
    }

    #[test]
    fn hostile_files_are_errors() {
        let photo = |bytes: &[u8]| Photo::decode(bytes, "test", MAX_PIXELS);
        assert!(matches!(
            photo(&header(60_000, 60_000)),
            Err(FileError::TooLarge { width: 60_000, height: 60_000, .. })
        ));
        assert!(matches!(photo(&header(100, 100)), Err(FileError::Truncated { .. })));
        assert!(matches!(photo(b"this is a text file"), Err(FileError::Format { .. })));
        assert!(matches!(photo(b""), Err(FileError::Empty { .. })));
        let dir = Folder::new();
        std::fs::write(dir.path("text.jpg"), "this is a text file named .jpg").unwrap();
        assert!(matches!(Photo::open(dir.path("text.jpg")), Err(FileError::Format { .. })));
        assert!(matches!(Photo::open(dir.path("absent.jpg")), Err(FileError::Read { .. })));
        assert!(matches!(Photo::open(dir.root()), Err(FileError::Read { .. })));
        let mask = Mask::new(2, 2);
        assert!(matches!(
            write_mask(dir.path("no/such/folder.png"), &mask, &Palette::voc()),
            Err(FileError::Write { .. })
        ));
        let broken = Mask { width: 5, height: 5, classes: vec![0; 3] };
        assert!(matches!(write_mask(dir.path("m.png"), &broken, &Palette::voc()), Err(FileError::Encode { .. })));
        assert!(!dir.path("m.png").exists());
    }

    #[test]
    fn cut_off_and_flipped_files_never_panic() {
        let mut jpeg = Vec::new();
        let rgb: Vec<u8> = (0..40 * 30 * 3).map(|i| (i * 7 % 251) as u8).collect();
        image::codecs::jpeg::JpegEncoder::new(&mut jpeg).encode(&rgb, 40, 30, image::ExtendedColorType::Rgb8).unwrap();
        let dir = Folder::new();
        let picture = Picture { width: 30, height: 40, rgba: [1, 2, 3, 4].repeat(1200) };
        write_picture(dir.path("p.png"), &picture).unwrap();
        let png = std::fs::read(dir.path("p.png")).unwrap();
        for whole in [jpeg, png] {
            for cut in (0..whole.len()).step_by(whole.len() / 97 + 1) {
                let _ = Photo::decode(&whole[..cut], "cut", 1 << 20);
                let mut flipped = whole.clone();
                flipped[cut] ^= 1 << (cut % 8);
                let _ = Photo::decode(&flipped, "flipped", 1 << 20);
            }
        }
    }
}
