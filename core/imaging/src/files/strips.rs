//! A JPEG in strips, for pictures that would not fit in memory as a whole: its Huffman codes are read once, and every strip becomes a small
//! JPEG of its own for the decoder, whose first coefficients no longer depend on what precedes it (ITU T.81, annex F). Only sequential
//! images of one scan can be taken apart like this, which is what cameras write.

use silhouette_kernels::memory::{self, OutOfMemory};

use super::entropy::{Bits, Code, Component, Scan, Tables};
use super::problem::Problem;

/// What the memory is for, in errors.
const WHAT: &str = "a strip of a JPEG";

/// Rows of units in a strip, besides one above and one below, from which the decoder interpolates chroma.
const UNITS: usize = 8;

/// Bits of the code for the length of a first coefficient: all sixteen lengths have one of five bits.
const FIRST_BITS: u32 = 5;

/// The parts of a JPEG that it is taken apart by.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) components: &'a [Component],
    /// Where the scan's header begins, without marker and length; where its data begin, and end.
    pub(super) scan: (usize, usize, usize),
}

/// A strip as a JPEG of its own.
#[derive(Debug)]
pub(super) struct Strip {
    pub(super) bytes: Vec<u8>,
    /// Rows of pixels in it.
    pub(super) height: u32,
    /// Rows at its beginning that belong to the strip before.
    pub(super) skip: u32,
    /// Rows after them that are its own.
    pub(super) take: u32,
}

/// One component's place in a unit, and its codes.
struct Part {
    blocks: usize,
    first: usize,
    dc: Code,
    ac: Code,
    /// The code of each symbol of `ac`, and its length.
    codes: [(u16, u8); 256],
}

/// Reads strips from the top.
pub(super) struct Strips<'a> {
    layout: Layout<'a>,
    parts: Vec<Part>,
    bits: Bits<'a>,
    restart: usize,
    /// Units in a row, rows of them, and rows of pixels in one.
    across: usize,
    down: usize,
    unit_height: usize,
    /// The last first coefficient of each component.
    last: Vec<i32>,
    unit: usize,
    /// Coefficients of rows of units that were read: the number of the first, and each row.
    first_row: usize,
    rows: std::collections::VecDeque<Vec<u32>>,
    /// The next row of units to put into a strip.
    next: usize,
}

impl<'a> Strips<'a> {
    /// `None` if it cannot be taken apart.
    pub(super) fn new(layout: Layout<'a>) -> Option<Self> {
        let (header, data, end) = layout.scan;
        let scan = Scan::read(&layout.bytes[header..data])?;
        let alone = layout.components.len() == 1;
        let most = Component::most(layout.components);
        if scan.components.len() != layout.components.len() || alone && most != (1, 1) {
            return None;
        }
        let mut tables = Tables::default();
        tables.read(&layout.bytes[2..header - 4]);
        let mut parts = Vec::new();
        for &(id, dc, ac) in &scan.components {
            let component = layout.components.iter().find(|component| component.id == id)?;
            let code = |class: usize, number: usize| tables.codes[class].get(number)?.clone();
            let ac = code(1, ac)?;
            let blocks = usize::from(component.across) * usize::from(component.down);
            parts.push(Part { blocks, first: dc, dc: code(0, dc)?, codes: ac.codes(), ac });
        }
        let units = |pixels: u32, samples: u8| pixels.div_ceil(8 * u32::from(samples)) as usize;
        Some(Self {
            across: units(layout.width, most.0),
            down: units(layout.height, most.1),
            unit_height: 8 * usize::from(most.1),
            bits: Bits::new(&layout.bytes[data..end]),
            restart: tables.restart,
            last: vec![0; parts.len()],
            parts,
            unit: 0,
            first_row: 0,
            rows: std::collections::VecDeque::new(),
            next: 0,
            layout,
        })
    }

    /// The next strip; `None` at the end.
    ///
    /// # Errors
    /// [`Problem`]: its data are damaged.
    pub(super) fn next(&mut self) -> Result<Option<Strip>, Problem> {
        if self.next == self.down {
            return Ok(None);
        }
        let from = self.next.saturating_sub(1);
        let end = (self.next + UNITS).min(self.down);
        let to = (end + 1).min(self.down);
        while self.first_row + self.rows.len() < to {
            let row = self.read_row()?;
            self.rows.push_back(row);
        }
        while self.first_row < from {
            self.rows.pop_front();
            self.first_row += 1;
        }
        let pixels = |units: usize| (units * self.unit_height).min(self.layout.height as usize) as u32;
        let height = pixels(to) - pixels(from);
        let strip = Strip {
            bytes: self.written(to - from, height)?,
            height,
            skip: pixels(self.next) - pixels(from),
            take: pixels(end) - pixels(self.next),
        };
        self.next = end;
        Ok(Some(strip))
    }

    /// Reads a row of units: for each block its first coefficient and the others' symbols with their bits.
    fn read_row(&mut self) -> Result<Vec<u32>, Problem> {
        let mut row = Vec::new();
        for _ in 0..self.across {
            if self.restart > 0 && self.unit > 0 && self.unit.is_multiple_of(self.restart) {
                self.bits.restart().ok_or_else(damaged)?;
                self.last.fill(0);
            }
            self.unit += 1;
            for (part, last) in self.parts.iter().zip(&mut self.last) {
                for _ in 0..part.blocks {
                    // A block has at most a token for each coefficient; the room grows by doubling.
                    row.try_reserve(64).map_err(|_| OutOfMemory { what: WHAT, bytes: 4 * row.len() + 256 })?;
                    read_block(&mut self.bits, part, last, &mut row).ok_or_else(damaged)?;
                }
            }
        }
        Ok(row)
    }

    /// The first rows of units as a JPEG of this height.
    fn written(&self, rows: usize, height: u32) -> Result<Vec<u8>, Problem> {
        let (header, data, _) = self.layout.scan;
        // A token takes at most 27 bits, or twice as much where every byte is escaped.
        let tokens: usize = self.rows.iter().take(rows).map(Vec::len).sum();
        memory::enough((data + 8 * tokens) as u64, WHAT)?;
        let mut bytes = self.layout.bytes[..header - 4].to_vec();
        patch(&mut bytes, height as u16);
        for (number, part) in self.parts.iter().enumerate() {
            if self.parts[..number].iter().any(|other| other.first == part.first) {
                continue;
            }
            bytes.extend([0xFF, 0xC4, 0, 35, part.first as u8, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            bytes.extend(0..16);
        }
        bytes.extend_from_slice(&self.layout.bytes[header - 4..data]);
        let mut to = Writer { bytes, held: 0, count: 0 };
        let mut last = vec![0; self.parts.len()];
        for row in self.rows.iter().take(rows) {
            let mut tokens = row.iter();
            for _ in 0..self.across {
                for (part, last) in self.parts.iter().zip(&mut last) {
                    for _ in 0..part.blocks {
                        write_block(&mut to, part, last, &mut tokens).ok_or_else(damaged)?;
                    }
                }
            }
        }
        Ok(to.finish())
    }
}

fn damaged() -> Problem {
    Problem::Damaged("its data are damaged".into())
}

fn read_block(bits: &mut Bits<'_>, part: &Part, last: &mut i32, row: &mut Vec<u32>) -> Option<()> {
    let size = u32::from(part.dc.read(bits)?);
    if size > 15 {
        return None;
    }
    let value = bits.take(size)? as i32;
    // A first bit of 0 means a negative number.
    let difference = if size > 0 && value >> (size - 1) == 0 { value - (1 << size) + 1 } else { value };
    *last += difference;
    if last.unsigned_abs() >= 1 << 15 {
        return None;
    }
    row.push((*last + (1 << 15)) as u32);
    let mut k = 1;
    while k < 64 {
        let symbol = part.ac.read(bits)?;
        row.push(u32::from(symbol) << 16 | bits.take(u32::from(symbol & 15))?);
        k = after(symbol, k);
    }
    Some(())
}

fn write_block<'t>(
    to: &mut Writer,
    part: &Part,
    last: &mut i32,
    tokens: &mut impl Iterator<Item = &'t u32>,
) -> Option<()> {
    let first = *tokens.next()? as i32 - (1 << 15);
    let difference = first - *last;
    *last = first;
    let size = 32 - difference.unsigned_abs().leading_zeros();
    if size > 15 {
        return None;
    }
    to.put(size, FIRST_BITS);
    let value = if difference < 0 { difference + (1 << size) - 1 } else { difference };
    to.put(value as u32, size);
    let mut k = 1;
    while k < 64 {
        let token = *tokens.next()?;
        let symbol = (token >> 16) as u8;
        let (code, length) = part.codes[usize::from(symbol)];
        to.put(code.into(), length.into());
        to.put(token & 0xFFFF, u32::from(symbol & 15));
        k = after(symbol, k);
    }
    Some(())
}

/// The coefficient after a symbol at `k`; 64 after the last one of a block.
fn after(symbol: u8, k: usize) -> usize {
    match (symbol >> 4, symbol & 15) {
        (15, 0) => k + 16,
        (_, 0) => 64,
        (zeros, _) => k + usize::from(zeros) + 1,
    }
}

/// Sets the height in the frame header, and no restarts.
fn patch(bytes: &mut [u8], height: u16) {
    let mut at = 2;
    while let Some(&[0xFF, marker, high, low]) = bytes.get(at..at + 4).and_then(|four| four.first_chunk::<4>()) {
        match marker {
            0xC0 | 0xC1 if at + 7 <= bytes.len() => bytes[at + 5..at + 7].copy_from_slice(&height.to_be_bytes()),
            0xDD if at + 6 <= bytes.len() => bytes[at + 4..at + 6].fill(0),
            _ => {}
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
}

/// Bits of a scan, most significant first.
struct Writer {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl Writer {
    fn put(&mut self, value: u32, bits: u32) {
        self.held = self.held << bits | u64::from(value);
        self.count += bits;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.held >> self.count) as u8;
            self.bytes.push(byte);
            if byte == 0xFF {
                self.bytes.push(0);
            }
        }
        self.held &= (1 << self.count) - 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let rest = (8 - self.count % 8) % 8;
        self.put((1 << rest) - 1, rest);
        self.bytes.extend([0xFF, 0xD9]);
        self.bytes
    }
}
