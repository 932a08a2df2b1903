//! Y4M (YUV4MPEG2): video as text headers and raw planes, which `ffmpeg -f yuv4mpegpipe` writes and reads. Read and written frame by frame:
//! memory is one frame's, and no more of it is allocated than bytes have come.

use std::fmt::Write as _;
use std::io::{BufRead, ErrorKind, Read, Write};

use silhouette_kernels::memory::{self, OutOfMemory};
use thiserror::Error;

use crate::frame::{Frame, FrameError, YuvColor, YuvMatrix, YuvRange};
use crate::picture::Picture;

/// The longest header, of a video or a frame.
const MOST_HEADER: usize = 1 << 10;

/// The longest side.
const MOST_SIDE: usize = 1 << 14;

/// The most pixels of a frame.
const MOST_PIXELS: usize = 1 << 27;

/// Bytes that are reserved at once before a frame has come.
const STEP: u64 = 1 << 20;

/// Rows from which a video is high-definition, whose matrix is another one.
const HIGH_DEFINITION: usize = 720;

/// Why a video was not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Y4mError {
    /// It does not begin like one.
    #[error("it is not a Y4M video: it does not begin with YUV4MPEG2")]
    NotY4m,
    /// Its header cannot be used.
    #[error("its header {0}")]
    Header(String),
    /// A frame is not where it should be.
    #[error("frame {number} does not begin with FRAME")]
    Marker {
        /// From 1.
        number: u64,
    },
    /// A frame is not all there.
    #[error("frame {number} is cut off: {there} of its {needed} bytes are there")]
    Cut {
        /// From 1.
        number: u64,
        /// Bytes of its planes that are there.
        there: u64,
        /// Bytes of its planes.
        needed: u64,
    },
    /// The reader failed.
    #[error("cannot be read: {0}")]
    Read(std::io::Error),
    /// There is too little memory for a frame.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
}

/// How chroma is stored: its samples, each for so many pixels across and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chroma {
    /// One for two by two pixels.
    C420,
    /// One for two by one.
    C422,
    /// One for each.
    C444,
    /// None: grey.
    Mono,
}

impl Chroma {
    /// Columns and rows of pixels that a sample covers; `None` without chroma.
    fn covers(self) -> Option<(usize, usize)> {
        match self {
            Self::C420 => Some((2, 2)),
            Self::C422 => Some((2, 1)),
            Self::C444 => Some((1, 1)),
            Self::Mono => None,
        }
    }
}

/// What a video says of itself.
///
/// ```
/// # use silhouette_imaging::files::y4m::{Chroma, Header};
/// let header = Header::new(640, 480, (30, 1), Chroma::C420);
/// assert_eq!(header.line(), "YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\n");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Frames per second, as a fraction; `None` if it is unknown.
    pub rate: Option<(u32, u32)>,
    /// How chroma is stored.
    pub chroma: Chroma,
    /// The levels of black and white.
    pub range: YuvRange,
    /// The parameter of the chroma, with its position: `420mpeg2`.
    tag: String,
    /// All other parameters, as they came.
    others: Vec<String>,
}

impl Header {
    /// Of a new video, progressive with square pixels.
    pub fn new(width: usize, height: usize, rate: (u32, u32), chroma: Chroma) -> Self {
        let tag = match chroma {
            Chroma::C420 => "420jpeg",
            Chroma::C422 => "422",
            Chroma::C444 => "444",
            Chroma::Mono => "mono",
        };
        let others = ["Ip", "A1:1"].map(str::to_owned).to_vec();
        Self { width, height, rate: Some(rate), chroma, range: YuvRange::Video, tag: tag.to_owned(), others }
    }

    /// The same video with chroma, if it has none.
    #[must_use]
    pub fn with_chroma(&self) -> Self {
        let mut header = self.clone();
        if header.chroma == Chroma::Mono {
            header.chroma = Chroma::C420;
            "420jpeg".clone_into(&mut header.tag);
        }
        header
    }

    /// As text, with its line break.
    pub fn line(&self) -> String {
        let (number, of) = self.rate.unwrap_or((0, 0));
        let mut line = format!("YUV4MPEG2 W{} H{} F{number}:{of}", self.width, self.height);
        // Extensions come last.
        let (extensions, plain): (Vec<&String>, Vec<&String>) =
            self.others.iter().partition(|one| one.starts_with('X'));
        for one in plain {
            let _ = write!(line, " {one}");
        }
        let _ = write!(line, " C{}", self.tag);
        for one in extensions {
            let _ = write!(line, " {one}");
        }
        let range = match self.range {
            YuvRange::Full => "FULL",
            YuvRange::Video => "LIMITED",
        };
        let _ = writeln!(line, " XCOLORRANGE={range}");
        line
    }

    /// Parses a header without its line break.
    fn parse(line: &[u8]) -> Result<Self, Y4mError> {
        let wrong = |text: String| Y4mError::Header(text);
        let rest = line.strip_prefix(b"YUV4MPEG2").ok_or(Y4mError::NotY4m)?;
        let text = std::str::from_utf8(rest).map_err(|_| wrong("is not text".into()))?;
        if text.chars().any(char::is_control) {
            return Err(wrong("has control characters".into()));
        }
        let mut header = Self::new(0, 0, (0, 0), Chroma::C420);
        header.others.clear();
        header.rate = None;
        let mut given = None;
        for one in text.split(' ').filter(|one| !one.is_empty()) {
            let mut letters = one.chars();
            let first = letters.next().unwrap_or_default();
            let value = letters.as_str();
            match first {
                'W' | 'H' => {
                    let side = value.parse().ok().filter(|side| (1..=MOST_SIDE).contains(side));
                    let side = side.ok_or_else(|| wrong(format!("says {one}: sides are 1 to {MOST_SIDE} pixels")))?;
                    *(if first == 'W' { &mut header.width } else { &mut header.height }) = side;
                }
                'F' => {
                    let rate = value.split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
                    let rate = rate.ok_or_else(|| wrong(format!("says {one}: a frame rate is such as F30:1")))?;
                    header.rate = (rate.0 > 0 && rate.1 > 0).then_some(rate);
                }
                'C' => given = Some(value.to_owned()),
                'X' if value == "COLORRANGE=FULL" => header.range = YuvRange::Full,
                'X' if value == "COLORRANGE=LIMITED" => header.range = YuvRange::Video,
                _ => header.others.push(one.to_owned()),
            }
        }
        if header.width == 0 || header.height == 0 {
            return Err(wrong("has no width (W) or no height (H)".into()));
        }
        if header.width * header.height > MOST_PIXELS {
            let text = format!("says {}x{} pixels: at most {MOST_PIXELS} are read", header.width, header.height);
            return Err(wrong(text));
        }
        if let Some(tag) = given {
            header.chroma = match tag.as_str() {
                "420" | "420jpeg" | "420mpeg2" | "420paldv" => Chroma::C420,
                "422" => Chroma::C422,
                "444" => Chroma::C444,
                "mono" => Chroma::Mono,
                other => {
                    let advice = "8 bits as 420, 422, 444 or mono are read: pass ffmpeg -pix_fmt yuv420p";
                    return Err(wrong(format!("says C{other}; {advice}")));
                }
            };
            header.tag = tag;
        }
        Ok(header)
    }

    /// Bytes of each plane.
    fn planes(&self) -> [usize; 3] {
        let chroma =
            self.chroma.covers().map_or(0, |(across, down)| self.width.div_ceil(across) * self.height.div_ceil(down));
        [self.width * self.height, chroma, chroma]
    }

    /// The conversion to RGB: the format has no parameter for the matrix, which goes by the size, as in players.
    pub fn color(&self) -> YuvColor {
        let matrix = if self.height >= HIGH_DEFINITION { YuvMatrix::Bt709 } else { YuvMatrix::Bt601 };
        YuvColor { matrix, range: self.range }
    }
}

/// The planes of one frame.
#[derive(Clone, Debug, Default)]
pub struct Planes {
    planes: [Vec<u8>; 3],
    /// The frame's colours, if they have to be converted before they are a [`Frame`].
    converted: Vec<u8>,
}

impl Planes {
    /// The frame, of a video with this header.
    ///
    /// # Errors
    /// Planes of another size; [`FrameError::OutOfMemory`].
    pub fn frame(&mut self, header: &Header) -> Result<Frame<'_>, FrameError> {
        let Header { width, height, .. } = *header;
        let color = header.color();
        if header.chroma == Chroma::C420 {
            let [y, u, v] = &self.planes;
            let half = width.div_ceil(2);
            return Frame::i420([y, u, v], [width, half, half], width, height, color);
        }
        let levels = Levels::new(color);
        let [y, u, v] = &self.planes;
        memory::resize(&mut self.converted, width * height * 3, 0, "a frame")?;
        let across = header.chroma.covers().map(|(across, _)| across);
        let columns = across.map_or(0, |across| width.div_ceil(across));
        for (row, line) in
            self.converted.chunks_exact_mut(width * 3).zip(y.chunks_exact(width)).map(|(a, b)| (b, a)).enumerate()
        {
            let (luma, rgb) = line;
            let [us, vs] = [u, v].map(|plane| plane.get(row * columns..(row + 1) * columns).unwrap_or_default());
            for (x, (pixel, &level)) in rgb.chunks_exact_mut(3).zip(luma).enumerate() {
                let chroma = |samples: &[u8]| match across {
                    None => 128.0,
                    Some(1) => f32::from(samples[x]),
                    // Samples are where even pixels are.
                    Some(_) => {
                        let next = samples[(x / 2 + x % 2).min(columns - 1)];
                        f32::midpoint(f32::from(samples[x / 2]), f32::from(next))
                    }
                };
                pixel.copy_from_slice(&levels.rgb(f32::from(level), chroma(us), chroma(vs)));
            }
        }
        Frame::rgb(&self.converted, width, height)
    }

    /// Sets the planes to those of an image, for a video with this header, of the image's size.
    ///
    /// Where `source`, the planes of the same header, and the image that they are (`before`) are passed, samples of pixels that `image` leaves
    /// as they are stay what they were, to the bit.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn draw(
        &mut self,
        header: &Header,
        image: &Picture,
        source: Option<(&Self, &Picture)>,
    ) -> Result<(), OutOfMemory> {
        let width = header.width;
        let levels = Levels::new(header.color());
        let pixels = image.rgba.as_chunks::<4>().0;
        let before = source.map(|(_, before)| before.rgba.as_chunks::<4>().0);
        let same = |at: usize| before.is_some_and(|before| before[at] == pixels[at]);
        for (plane, length) in self.planes.iter_mut().zip(header.planes()) {
            plane.clear();
            memory::reserve(plane, length, "a frame")?;
        }
        let [to_y, to_u, to_v] = &mut self.planes;
        to_y.extend(pixels.iter().enumerate().map(|(at, &[r, g, b, _])| match source {
            Some((source, _)) if same(at) => source.planes[0][at],
            _ => levels.luma([r, g, b].map(f32::from)),
        }));
        let Some((across, down)) = header.chroma.covers() else { return Ok(()) };
        let columns = width.div_ceil(across);
        for row in 0..header.height.div_ceil(down) {
            for column in 0..columns {
                let rows = row * down..((row + 1) * down).min(header.height);
                let covered = rows.flat_map(|y| {
                    let end = ((column + 1) * across).min(width);
                    (column * across..end).map(move |x| y * width + x)
                });
                let at = row * columns + column;
                if let Some((source, _)) = source
                    && covered.clone().all(same)
                {
                    to_u.push(source.planes[1][at]);
                    to_v.push(source.planes[2][at]);
                    continue;
                }
                let mut sum = [0.0; 3];
                let mut count = 0.0;
                for at in covered {
                    let [r, g, b, _] = pixels[at];
                    sum.iter_mut().zip([r, g, b]).for_each(|(sum, value)| *sum += f32::from(value));
                    count += 1.0;
                }
                let [u, v] = levels.chroma(sum.map(|sum| sum / count));
                to_u.push(u);
                to_v.push(v);
            }
        }
        Ok(())
    }
}

/// The conversion between YUV and RGB.
struct Levels {
    black: f32,
    luma: f32,
    chroma: f32,
    red: f32,
    blue: f32,
}

impl Levels {
    fn new(YuvColor { matrix, range }: YuvColor) -> Self {
        let (red, blue) = match matrix {
            YuvMatrix::Bt601 => (0.299, 0.114),
            YuvMatrix::Bt709 => (0.2126, 0.0722),
        };
        let (black, luma, chroma) = match range {
            YuvRange::Video => (16.0, 219.0, 224.0),
            YuvRange::Full => (0.0, 255.0, 255.0),
        };
        Self { black, luma, chroma, red, blue }
    }

    fn rgb(&self, y: f32, u: f32, v: f32) -> [u8; 3] {
        let y = (y - self.black) * 255.0 / self.luma;
        let [u, v] = [u, v].map(|chroma| (chroma - 128.0) * 255.0 / self.chroma);
        let r = y + 2.0 * (1.0 - self.red) * v;
        let b = y + 2.0 * (1.0 - self.blue) * u;
        let g = (y - self.red * r - self.blue * b) / (1.0 - self.red - self.blue);
        [r, g, b].map(|value| (value + 0.5) as u8)
    }

    /// Between black and white.
    fn grey(&self, [r, g, b]: [f32; 3]) -> f32 {
        self.red * r + (1.0 - self.red - self.blue) * g + self.blue * b
    }

    fn luma(&self, rgb: [f32; 3]) -> u8 {
        (self.black + self.grey(rgb) * self.luma / 255.0 + 0.5) as u8
    }

    fn chroma(&self, rgb: [f32; 3]) -> [u8; 2] {
        let grey = self.grey(rgb);
        let of = |value: f32, weight: f32| {
            let chroma = (value - grey) / (2.0 * (1.0 - weight));
            (128.0 + chroma * self.chroma / 255.0 + 0.5) as u8
        };
        [of(rgb[2], self.blue), of(rgb[0], self.red)]
    }
}

/// Reads a video.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    header: Header,
    frames: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Y4mError`].
    pub fn new(mut from: R) -> Result<Self, Y4mError> {
        let line = line(&mut from)?;
        if !line.starts_with(b"YUV4MPEG2") {
            return Err(Y4mError::NotY4m);
        }
        if line.len() > MOST_HEADER {
            return Err(Y4mError::Header(format!("is longer than {MOST_HEADER} bytes")));
        }
        let line = line.strip_suffix(b"\n").ok_or_else(|| Y4mError::Header("is cut off".into()))?;
        Ok(Self { from, header: Header::parse(line)?, frames: 0 })
    }

    /// What the video says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads the next frame; `false` at the end.
    ///
    /// # Errors
    /// [`Y4mError`].
    pub fn read(&mut self, planes: &mut Planes) -> Result<bool, Y4mError> {
        let number = self.frames + 1;
        let needed = self.header.planes().iter().sum::<usize>() as u64;
        let start = line(&mut self.from)?;
        if start.is_empty() {
            return Ok(false);
        }
        let parameters = start.strip_suffix(b"\n").and_then(|start| start.strip_prefix(b"FRAME"));
        if parameters.is_none_or(|parameters| !(parameters.is_empty() || parameters[0] == b' ')) {
            return Err(if !start.ends_with(b"\n") && b"FRAME\n".starts_with(&start) {
                Y4mError::Cut { number, there: 0, needed }
            } else {
                Y4mError::Marker { number }
            });
        }
        let mut there = 0;
        for (plane, length) in planes.planes.iter_mut().zip(self.header.planes()) {
            plane.clear();
            while plane.len() < length {
                let wanted = ((length - plane.len()) as u64).min(STEP.max(plane.len() as u64));
                memory::reserve(plane, plane.len() + wanted as usize, "a frame")?;
                let got = self.from.by_ref().take(wanted).read_to_end(plane).map_err(Y4mError::Read)? as u64;
                there += got;
                if got < wanted {
                    return Err(Y4mError::Cut { number, there, needed });
                }
            }
        }
        self.frames = number;
        Ok(true)
    }
}

/// A line with its break; without one at the end of what is there, or when it is too long.
fn line(from: &mut impl BufRead) -> Result<Vec<u8>, Y4mError> {
    let mut line = Vec::new();
    loop {
        match from.by_ref().take((MOST_HEADER + 1 - line.len()) as u64).read_until(b'\n', &mut line) {
            Ok(_) => return Ok(line),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Y4mError::Read(error)),
        }
    }
}

/// Writes a video.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// The writer's.
    pub fn new(mut to: W, header: &Header) -> std::io::Result<Self> {
        to.write_all(header.line().as_bytes())?;
        Ok(Self { to })
    }

    /// Writes a frame, and flushes it: a reader gets it at once.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&mut self, planes: &Planes) -> std::io::Result<()> {
        self.to.write_all(b"FRAME\n")?;
        for plane in &planes.planes {
            self.to.write_all(plane)?;
        }
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Noise;

    fn video(header: &str, frames: usize, bytes: usize) -> Vec<u8> {
        let mut noise = Noise::new(4);
        let mut file = header.as_bytes().to_vec();
        for _ in 0..frames {
            file.extend(b"FRAME\n");
            file.extend(noise.bytes(bytes));
        }
        file
    }

    #[test]
    fn what_is_read_is_written_again() {
        for (tag, bytes) in
            [("420jpeg", 5 * 3 + 2 * 6), ("420mpeg2", 27), ("420", 27), ("422", 15 + 18), ("444", 45), ("mono", 15)]
        {
            for range in ["FULL", "LIMITED"] {
                let header = format!("YUV4MPEG2 W5 H3 F30000:1001 Ip A1:1 C{tag} XYSCSS=X XCOLORRANGE={range}\n");
                let file = video(&header, 3, bytes);
                let mut reader = Reader::new(&file[..]).unwrap();
                assert_eq!(reader.header().rate, Some((30_000, 1001)));
                let header = reader.header().clone();
                let mut made = Vec::new();
                let mut writer = Writer::new(&mut made, &header).unwrap();
                let mut planes = Planes::default();
                let mut drawn = Planes::default();
                while reader.read(&mut planes).unwrap() {
                    // An image that nothing has changed gives the same samples, whatever their rounding.
                    let picture = Picture::from_frame(&planes.frame(&header).unwrap()).unwrap();
                    drawn.draw(&header, &picture, Some((&planes, &picture))).unwrap();
                    writer.write(&drawn).unwrap();
                }
                assert!(made == file, "{header:?}");
            }
        }
    }

    #[test]
    fn colours_survive() {
        let colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 120, 200], [255, 255, 255], [0, 0, 0]];
        let survive = |colours: &[[u8; 3]], chroma, range| {
            // Odd sides: the last samples of chroma cover fewer pixels.
            let (width, height) = (7, 5);
            let rgba = (0..width * height)
                .flat_map(|at| {
                    let [r, g, b] = colours[at % colours.len()];
                    [r, g, b, 255]
                })
                .collect();
            let picture = Picture { width, height, rgba };
            let header = Header { range, ..Header::new(width, height, (25, 1), chroma) };
            let mut planes = Planes::default();
            planes.draw(&header, &picture, None).unwrap();
            let back = Picture::from_frame(&planes.frame(&header).unwrap()).unwrap();
            let off = picture.rgba.iter().zip(&back.rgba).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(off <= 4, "{chroma:?} {range:?} {colours:?}: {off}");
        };
        for range in [YuvRange::Full, YuvRange::Video] {
            survive(&colours, Chroma::C444, range);
            for chroma in [Chroma::C420, Chroma::C422, Chroma::C444] {
                for colour in colours {
                    survive(&[colour], chroma, range);
                }
            }
        }
        let white = Levels::new(YuvColor { matrix: YuvMatrix::Bt709, range: YuvRange::Video });
        assert_eq!((white.luma([255.0; 3]), white.chroma([255.0; 3])), (235, [128, 128]));
        assert_eq!((white.luma([0.0; 3]), white.rgb(235.0, 128.0, 128.0)), (16, [255; 3]));
        // By ITU-R BT.601: pure red.
        let red = Levels::new(YuvColor { matrix: YuvMatrix::Bt601, range: YuvRange::Video });
        assert_eq!((red.luma([255.0, 0.0, 0.0]), red.chroma([255.0, 0.0, 0.0])), (81, [90, 240]));
        assert_eq!(red.rgb(81.0, 90.0, 240.0), [254, 0, 0]);
    }

    #[test]
    fn headers_that_cannot_be_used_are_named() {
        let error = |file: &[u8]| Reader::new(file).unwrap_err().to_string();
        assert!(error(b"").contains("not a Y4M video") && error(b"RIFF").contains("not a Y4M video"));
        for (header, words) in [
            ("YUV4MPEG2", "cut off"),
            ("YUV4MPEG2 W2 H2", "cut off"),
            ("YUV4MPEG2\n", "no width (W) or no height (H)"),
            ("YUV4MPEG2 W2\n", "no width (W) or no height (H)"),
            ("YUV4MPEG2 W0 H2\n", "W0"),
            ("YUV4MPEG2 W-1 H2\n", "W-1"),
            ("YUV4MPEG2 W99999999999999999999 H2\n", "sides are 1 to"),
            ("YUV4MPEG2 W16384 H16384\n", "at most"),
            ("YUV4MPEG2 W2 H2 F30\n", "F30"),
            ("YUV4MPEG2 W2 H2 C420p10\n", "C420p10; 8 bits"),
            ("YUV4MPEG2 W2 H2 C444alpha\n", "C444alpha"),
            ("YUV4MPEG2 W2 H2 \u{1}\n", "control characters"),
        ] {
            let error = error(header.as_bytes());
            assert!(error.contains(words), "{header:?}: {error}");
        }
        let long = format!("YUV4MPEG2 W2 H2 X{}\n", "x".repeat(MOST_HEADER));
        assert!(error(long.as_bytes()).contains("longer than"));
        assert!(error(b"YUV4MPEG2 W2 H2 X\xFF\n").contains("is not text"));
        assert_eq!(Reader::new(&b"YUV4MPEG2 W2 H2 F0:0\n"[..]).unwrap().header().rate, None);
    }

    #[test]
    fn frames_that_are_cut_or_misplaced_are_counted() {
        let file = video("YUV4MPEG2 W4 H4 F1:1\n", 3, 24);
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes).unwrap();
            let mut planes = Planes::default();
            let mut frames = 0;
            loop {
                match reader.read(&mut planes) {
                    Ok(true) => frames += 1,
                    Ok(false) => return (frames, String::new()),
                    Err(error) => return (frames, error.to_string()),
                }
            }
        };
        assert_eq!(read(&file), (3, String::new()));
        for cut in 22..file.len() {
            let (frames, error) = read(&file[..cut]);
            let whole = (cut - 21) / 30;
            assert_eq!(frames, whole);
            assert_eq!(error.is_empty(), (cut - 21) % 30 == 0, "{cut}: {error}");
        }
        assert_eq!(read(&file[..21 + 30 + 16]), (1, "frame 2 is cut off: 10 of its 24 bytes are there".into()));
        let mut other = file.clone();
        other[21 + 30] = b'f';
        assert_eq!(read(&other), (1, "frame 2 does not begin with FRAME".into()));
        let mut with_parameters = file[..21].to_vec();
        with_parameters.extend(b"FRAME Ixyz\n");
        with_parameters.extend(&file[27..]);
        assert_eq!(read(&with_parameters).0, 3);
        // A large claim costs what has come.
        let mut reader = Reader::new(&b"YUV4MPEG2 W16384 H8192\nFRAME\nabc"[..]).unwrap();
        let mut planes = Planes::default();
        assert!(matches!(reader.read(&mut planes), Err(Y4mError::Cut { number: 1, there: 3, .. })));
        assert!(planes.planes[0].capacity() <= 1 << 20);
    }
}
