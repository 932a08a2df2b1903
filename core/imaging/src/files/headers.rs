//! What GIF and TIFF files say about themselves that their decoders do not tell: whether there is more than one image, and what kind.

use std::io::{BufRead, ErrorKind, Read, Seek, SeekFrom};

use super::problem::Problem;

/// What a GIF holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gif {
    /// Bytes of its first frame's data.
    pub(super) data: u64,
    /// Whether another frame follows.
    pub(super) more: bool,
}

impl Gif {
    /// Goes over the blocks up to the second frame.
    ///
    /// # Errors
    /// [`Problem`]: the first frame is not all there.
    pub(super) fn read(reader: &mut (impl BufRead + Seek)) -> Result<Self, Problem> {
        let mut data = None;
        match Self::blocks(reader, &mut data) {
            Ok(more) => match data {
                Some(data) => Ok(Self { data, more }),
                None => Err(Problem::Damaged("it has no frame".into())),
            },
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(Problem::Read(error)),
            // What is cut is another frame, or only the end marker is missing.
            Err(_) => match data {
                Some(data) => Ok(Self { data, more: false }),
                None => Err(Problem::Cut("it ends within its first frame".into())),
            },
        }
    }

    /// Whether a second frame begins; `data` becomes the length of the first one's data once that is complete.
    fn blocks(reader: &mut (impl BufRead + Seek), data: &mut Option<u64>) -> std::io::Result<bool> {
        let mut head = [0; 13];
        reader.read_exact(&mut head)?;
        colours(reader, head[10])?;
        loop {
            match byte(reader)? {
                0x2C if data.is_some() => return Ok(true),
                0x2C => {
                    let mut about = [0; 9];
                    reader.read_exact(&mut about)?;
                    colours(reader, about[8])?;
                    byte(reader)?;
                    *data = Some(sub_blocks(reader)?);
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

/// Skips a table of colours, if the flags say that there is one.
fn colours(reader: &mut (impl BufRead + Seek), flags: u8) -> std::io::Result<()> {
    if flags & 0x80 == 0 { Ok(()) } else { reader.seek_relative(3 << ((flags & 7) + 1)) }
}

/// Skips blocks up to an empty one; their bytes together.
fn sub_blocks(reader: &mut (impl BufRead + Seek)) -> std::io::Result<u64> {
    let mut bytes = 0;
    loop {
        let length = byte(reader)?;
        if length == 0 {
            return Ok(bytes);
        }
        reader.seek_relative(i64::from(length))?;
        bytes += u64::from(length);
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
