//! What GIF and TIFF files say about themselves that their decoders do not tell: whether there is more than one image, and what kind.

use std::io::{BufRead, ErrorKind, Read, Seek, SeekFrom};

use super::problem::Problem;

/// What a GIF holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gif {
    /// Pixels that the data of its first frame yield, counted no further than it has.
    pub(super) pixels: u64,
    /// Pixels of its first frame.
    pub(super) of: u64,
    /// Whether another frame follows.
    pub(super) more: bool,
}

impl Gif {
    /// Goes over the blocks up to the second frame.
    ///
    /// # Errors
    /// [`Problem`]: there is no frame.
    pub(super) fn read(reader: &mut (impl BufRead + Seek)) -> Result<Self, Problem> {
        let mut first = None;
        let more = match Self::blocks(reader, &mut first) {
            Ok(more) => more,
            // Another frame is cut, or only the end marker is missing; whether this one is, its pixels show.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(Problem::Read(error)),
        };
        match first {
            Some(Frame { pixels, of }) => Ok(Self { pixels, of, more }),
            None => Err(Problem::Cut("it ends before its first frame".into())),
        }
    }

    /// Whether a second frame begins.
    fn blocks(reader: &mut (impl BufRead + Seek), first: &mut Option<Frame>) -> std::io::Result<bool> {
        let mut head = [0; 13];
        reader.read_exact(&mut head)?;
        colours(reader, head[10])?;
        loop {
            match byte(reader)? {
                0x2C if first.is_some() => return Ok(true),
                0x2C => {
                    let mut about = [0; 9];
                    reader.read_exact(&mut about)?;
                    let side = |at: usize| u64::from(u16::from_le_bytes([about[at], about[at + 1]]));
                    colours(reader, about[8])?;
                    let bits = byte(reader)?;
                    let frame = first.insert(Frame { pixels: 0, of: side(4) * side(6) });
                    frame.data(reader, bits)?;
                }
                0x21 => {
                    byte(reader)?;
                    sub_blocks(reader)?;
                }
                // The end, or what decoders do not read either.
                _ => return Ok(false),
            }
        }
    }
}

/// A frame of a GIF.
#[derive(Debug)]
struct Frame {
    pixels: u64,
    of: u64,
}

/// The longest code.
const LONGEST: u32 = 12;

impl Frame {
    /// Counts the pixels of the frame's data: the codes are followed, but nothing is kept but the length of what each stands for.
    fn data(&mut self, reader: &mut (impl BufRead + Seek), bits: u8) -> std::io::Result<()> {
        let bits = u32::from(bits);
        if !(1..LONGEST).contains(&bits) {
            return sub_blocks(reader);
        }
        let clear = 1 << bits;
        let mut lengths = [1u16; 1 << LONGEST];
        let mut next = clear + 2;
        let mut width = bits + 1;
        let mut last: Option<u16> = None;
        let mut held = 0u32;
        let mut count = 0;
        let mut block = [0; 255];
        loop {
            let length = usize::from(byte(reader)?);
            if length == 0 {
                return Ok(());
            }
            reader.read_exact(&mut block[..length])?;
            for &byte in &block[..length] {
                held |= u32::from(byte) << count;
                count += 8;
                while count >= width {
                    let code = (held & ((1 << width) - 1)) as usize;
                    held >>= width;
                    count -= width;
                    if code == clear {
                        (next, width, last) = (clear + 2, bits + 1, None);
                        continue;
                    }
                    let known = code < clear || (clear + 2..next).contains(&code);
                    let string = match last {
                        _ if known => lengths[code],
                        Some(last) if code == next => last + 1,
                        // The end, or damage.
                        _ => return sub_blocks(reader),
                    };
                    if let (Some(last), true) = (last, next < 1 << LONGEST) {
                        lengths[next] = last + 1;
                        next += 1;
                        if next == 1 << width && width < LONGEST {
                            width += 1;
                        }
                    }
                    last = Some(string);
                    self.pixels += u64::from(string);
                    if self.pixels >= self.of {
                        self.pixels = self.of;
                        return sub_blocks(reader);
                    }
                }
            }
        }
    }
}

/// Skips a table of colours, if the flags say that there is one.
fn colours(reader: &mut (impl BufRead + Seek), flags: u8) -> std::io::Result<()> {
    if flags & 0x80 == 0 { Ok(()) } else { reader.seek_relative(3 << ((flags & 7) + 1)) }
}

/// Skips blocks up to an empty one.
fn sub_blocks(reader: &mut (impl BufRead + Seek)) -> std::io::Result<()> {
    loop {
        let length = byte(reader)?;
        if length == 0 {
            return Ok(());
        }
        reader.seek_relative(i64::from(length))?;
    }
}

fn byte(reader: &mut impl Read) -> std::io::Result<u8> {
    let mut byte = [0];
    reader.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// What a TIFF's first directory says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tiff {
    /// Whether it is a camera's raw file: its first image is then a thumbnail.
    pub(super) raw: bool,
    /// Whether colours are multiplied by their alpha.
    pub(super) premultiplied: bool,
    /// Whether another page follows.
    pub(super) more: bool,
}

impl Tiff {
    /// Reads what is there; the decoder reports what is wrong.
    pub(super) fn read(reader: &mut (impl BufRead + Seek)) -> Self {
        let mut about = Self::default();
        let _ = about.directory(reader);
        about
    }

    fn directory(&mut self, reader: &mut (impl BufRead + Seek)) -> std::io::Result<()> {
        let start = reader.stream_position()?;
        let mut head = [0; 8];
        reader.read_exact(&mut head)?;
        let order = Order { little: head[0] == b'I' };
        let big = head.contains(&43);
        let at = if big {
            let mut at = [0; 8];
            reader.read_exact(&mut at)?;
            order.number(&at)
        } else {
            order.number(&head[4..])
        };
        reader.seek(SeekFrom::Start(start.saturating_add(at)))?;
        let (of_count, of_entry, of_value) = if big { (8, 20, 12) } else { (2, 12, 8) };
        let mut count = [0; 8];
        reader.read_exact(&mut count[..of_count])?;
        let count = order.number(&count[..of_count]).min(1 << 16);
        for _ in 0..count {
            let mut entry = [0; 20];
            let entry = &mut entry[..of_entry];
            reader.read_exact(entry)?;
            let short = order.number(&entry[of_value..of_value + 2]);
            match order.number(&entry[..2]) {
                // NewSubfileType: a reduced version of another image in the file.
                254 => self.raw |= order.number(&entry[of_value..of_value + 4]) & 1 == 1,
                // DNG's version, which only its files have.
                50_706 => self.raw = true,
                // ExtraSamples: associated alpha.
                338 => self.premultiplied = short == 1,
                _ => {}
            }
        }
        let mut next = [0; 8];
        let next = &mut next[..if big { 8 } else { 4 }];
        reader.read_exact(next)?;
        self.more = order.number(next) != 0;
        Ok(())
    }
}

/// The order of a number's bytes.
struct Order {
    little: bool,
}

impl Order {
    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }
}
