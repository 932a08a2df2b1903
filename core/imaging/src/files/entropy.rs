//! Finds how far a JPEG's data reach: reads its Huffman codes without decoding pixels (ITU T.81, annexes F and G).

use silhouette_kernels::memory::{OutOfMemory, filled};

/// A component of the image, and its number of samples in a unit (MCU).
#[derive(Clone, Copy, Debug)]
pub(super) struct Component {
    pub(super) id: u8,
    pub(super) across: u8,
    pub(super) down: u8,
}

impl Component {
    /// Blocks of 8x8 samples, across and down, of this component alone in an image with maximum sampling factors
    /// `most`.
    pub(super) fn blocks(self, width: u32, height: u32, most: (u8, u8)) -> (usize, usize) {
        let blocks = |pixels: u32, samples: u8, most: u8| {
            (pixels as usize * usize::from(samples)).div_ceil(usize::from(most)).div_ceil(8)
        };
        (blocks(width, self.across, most.0), blocks(height, self.down, most.1))
    }

    /// The largest sampling factors of any component, across and down.
    pub(super) fn most(all: &[Self]) -> (u8, u8) {
        let most = |samples: fn(&Self) -> u8| all.iter().map(samples).max().unwrap_or(1);
        (most(|component| component.across), most(|component| component.down))
    }
}

/// A Huffman code: for each length, the first code past it, and the offset from a code to its symbol.
#[derive(Clone, Debug)]
pub(super) struct Code {
    past: [u32; 16],
    offset: [i32; 16],
    symbols: Vec<u8>,
}

impl Code {
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Self {
        let mut past = [0; 16];
        let mut offset = [0; 16];
        let mut code = 0_u32;
        let mut index = 0_i32;
        for (length, &count) in counts.iter().enumerate() {
            offset[length] = index - code as i32;
            code += u32::from(count);
            index += i32::from(count);
            past[length] = code;
            code <<= 1;
        }
        Self { past, offset, symbols: symbols.to_vec() }
    }

    /// The code of each symbol, and its length; 0 for those without one.
    pub(super) fn codes(&self) -> [(u16, u8); 256] {
        let mut codes = [(0, 0); 256];
        let mut next = 0;
        for (length, &past) in self.past.iter().enumerate() {
            for code in next..past {
                let at = usize::try_from(code as i32 + self.offset[length]).ok();
                if let Some(&symbol) = at.and_then(|at| self.symbols.get(at)) {
                    codes[usize::from(symbol)] = (code as u16, length as u8 + 1);
                }
            }
            next = past << 1;
        }
        codes
    }

    pub(super) fn read(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let mut code = 0;
        for length in 0..16 {
            code = code << 1 | bits.take(1)?;
            if code < self.past[length] {
                return self.symbols.get(usize::try_from(code as i32 + self.offset[length]).ok()?).copied();
            }
        }
        None
    }
}

/// The current codes, by class (0: DC, 1: AC) and number, and the restart interval.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) codes: [[Option<Code>; 4]; 2],
    pub(super) restart: usize,
}

impl Tables {
    /// Parses the complete segments in `bytes`.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some((&[0xFF, marker, high, low], rest)) = bytes.split_first_chunk::<4>() {
            let content = usize::from(u16::from_be_bytes([high, low])).saturating_sub(2).min(rest.len());
            let (content, after) = rest.split_at(content);
            bytes = after;
            match (marker, content) {
                (0xC4, _) => self.huffman(content),
                (0xDD, &[high, low]) => self.restart = usize::from(u16::from_be_bytes([high, low])),
                _ => {}
            }
        }
    }

    fn huffman(&mut self, mut content: &[u8]) {
        while let Some((&[place, ref counts @ ..], rest)) = content.split_first_chunk::<17>() {
            let symbols: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let Some((symbols, after)) = rest.split_at_checked(symbols) else { return };
            content = after;
            if let Some(slot) =
                self.codes.get_mut(usize::from(place >> 4)).and_then(|c| c.get_mut(usize::from(place & 15)))
            {
                *slot = Some(Code::new(counts, symbols));
            }
        }
    }
}

/// A scan's header.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// Identifier, and the numbers of the two codes.
    pub(super) components: Vec<(u8, usize, usize)>,
    first: usize,
    last: usize,
    /// Whether it refines bits of earlier scans.
    refines: bool,
    /// Bits still missing after it.
    low: u8,
}

impl Scan {
    /// `None` for a damaged header.
    pub(super) fn read(content: &[u8]) -> Option<Self> {
        let (&count, rest) = content.split_first()?;
        let (pairs, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let &[first, last, bits] = rest else { return None };
        let components = pairs
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&[id, codes]| (id, usize::from(codes >> 4), usize::from(codes & 15)))
            .collect();
        let first = usize::from(first);
        let last = usize::from(last);
        (first <= last && last < 64).then_some(Self { components, first, last, refines: bits >> 4 > 0, low: bits & 15 })
    }
}

/// Bits of a scan, most significant first; ends at the data's end and before a marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    held: u32,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, held: 0, count: 0 }
    }

    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        while self.count < count {
            let byte = match *self.bytes {
                [0xFF, 0, ..] => {
                    self.bytes = &self.bytes[2..];
                    0xFF
                }
                [0xFF, ..] | [] => return None,
                [byte, ..] => {
                    self.bytes = &self.bytes[1..];
                    byte
                }
            };
            self.held = self.held << 8 | u32::from(byte);
            self.count += 8;
        }
        self.count -= count;
        Some(self.held >> self.count & ((1 << count) - 1))
    }

    /// Skips a restart marker; the rest of the byte before it is padding.
    pub(super) fn restart(&mut self) -> Option<()> {
        self.count = 0;
        match *self.bytes {
            [0xFF, 0xD0..=0xD7, ..] => {
                self.bytes = &self.bytes[2..];
                Some(())
            }
            _ => None,
        }
    }
}

/// The state after the scans so far.
pub(super) struct Walker<'a> {
    progressive: bool,
    width: u32,
    height: u32,
    components: &'a [Component],
    /// For each component, the number of missing bits of each coefficient; 255: all.
    missing: Vec<[u8; 64]>,
    /// For each component, a flag per coefficient of each block that is set if it is not zero: progressive scans depend
    /// on it.
    seen: Vec<Vec<u64>>,
}

/// Blocks per row of a component, and its blocks in a scan of its own, across and down.
struct Grid {
    stride: usize,
    across: usize,
    down: usize,
}

impl<'a> Walker<'a> {
    /// The state before the first scan.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(super) fn new(
        progressive: bool,
        width: u32,
        height: u32,
        components: &'a [Component],
    ) -> Result<Self, OutOfMemory> {
        let mut walker = Self {
            progressive,
            width,
            height,
            components,
            missing: vec![[255; 64]; components.len()],
            seen: Vec::new(),
        };
        if progressive {
            let (_, down) = walker.units();
            for component in components {
                let blocks = walker.grid(*component).stride * down * usize::from(component.down);
                walker.seen.push(filled(blocks, 0, "a JPEG's blocks")?);
            }
        }
        Ok(walker)
    }

    /// Units of all components, across and down.
    fn units(&self) -> (usize, usize) {
        let (across, down) = Component::most(self.components);
        let units = |pixels: u32, samples: u8| pixels.div_ceil(8 * u32::from(samples)) as usize;
        (units(self.width, across), units(self.height, down))
    }

    fn grid(&self, component: Component) -> Grid {
        let (across, down) = component.blocks(self.width, self.height, Component::most(self.components));
        Grid { stride: self.units().0 * usize::from(component.across), across, down }
    }

    /// Reads a scan's data; returns how many rows of the image it covers: all if it is complete.
    pub(super) fn walk(&mut self, tables: &Tables, scan: &Scan, data: &[u8]) -> u32 {
        let found = |id: u8| self.components.iter().position(|component| component.id == id);
        let indices: Option<Vec<usize>> = scan.components.iter().map(|&(id, ..)| found(id)).collect();
        let Some(indices) = indices.filter(|indices| !indices.is_empty()) else { return 0 };
        let alone = if let [index] = indices[..] { Some(index) } else { None };
        let (across, down) = match alone {
            Some(index) => {
                let grid = self.grid(self.components[index]);
                (grid.across, grid.down)
            }
            None => self.units(),
        };
        let mut bits = Bits::new(data);
        let mut run = 0;
        for unit in 0..across * down {
            if tables.restart > 0 && unit > 0 && unit % tables.restart == 0 {
                run = 0;
                if bits.restart().is_none() {
                    return self.rows(unit / across, down);
                }
            }
            for (&index, &(_, dc, ac)) in indices.iter().zip(&scan.components) {
                let component = self.components[index];
                let stride = self.grid(component).stride;
                let (wide, high) = match alone {
                    Some(_) => (1, 1),
                    None => (usize::from(component.across), usize::from(component.down)),
                };
                for block in 0..wide * high {
                    let x = unit % across * wide + block % wide;
                    let y = unit / across * high + block / wide;
                    let seen = self.seen.get_mut(index).map(|seen| &mut seen[y * stride + x]);
                    let code = |class: usize, number: usize| tables.codes[class].get(number)?.as_ref();
                    let codes = (code(0, dc), code(1, ac));
                    let done = match seen {
                        Some(seen) => progressive(&mut bits, codes, scan, seen, &mut run),
                        None => sequential(&mut bits, codes),
                    };
                    if done.is_none() {
                        return self.rows(unit / across, down);
                    }
                }
            }
        }
        for index in indices {
            let (range, low) = if self.progressive { (scan.first..=scan.last, scan.low) } else { (0..=63, 0) };
            self.missing[index][range].fill(low);
        }
        self.height
    }

    /// Rows of the image in `units` rows of units out of `all`; always fewer than the image has.
    fn rows(&self, units: usize, all: usize) -> u32 {
        (units as u32 * self.height.div_ceil(all.max(1) as u32)).min(self.height - 1)
    }

    /// Whether the image is complete.
    pub(super) fn complete(&self) -> bool {
        self.missing.iter().flatten().all(|&bits| bits == 0)
    }
}

type Codes<'a> = (Option<&'a Code>, Option<&'a Code>);

fn sequential(bits: &mut Bits<'_>, (dc, ac): Codes<'_>) -> Option<()> {
    let size = dc?.read(bits)?;
    bits.take(u32::from(size.min(16)))?;
    let mut k = 1;
    while k < 64 {
        let symbol = ac?.read(bits)?;
        let zeros = usize::from(symbol >> 4);
        let size = u32::from(symbol & 15);
        match (zeros, size) {
            (15, 0) => k += 16,
            (_, 0) => break,
            _ => {
                bits.take(size)?;
                k += zeros + 1;
            }
        }
    }
    Some(())
}

/// A block of one progressive scan; `run` counts the following blocks that have no more data.
fn progressive(bits: &mut Bits<'_>, (dc, ac): Codes<'_>, scan: &Scan, seen: &mut u64, run: &mut u32) -> Option<()> {
    if scan.first == 0 {
        let size = if scan.refines { 1 } else { u32::from(dc?.read(bits)?.min(16)) };
        bits.take(size)?;
        return Some(());
    }
    let mut k = scan.first;
    if *run == 0 {
        while k <= scan.last {
            let symbol = ac?.read(bits)?;
            let mut zeros = usize::from(symbol >> 4);
            let size = u32::from(symbol & 15);
            if size == 0 && zeros < 15 {
                *run = (1 << zeros) + bits.take(zeros as u32)?;
                break;
            }
            if !scan.refines {
                if size > 0 {
                    bits.take(size)?;
                    k += zeros;
                    *seen |= 1_u64.checked_shl(k as u32).unwrap_or(0);
                    k += 1;
                } else {
                    k += 16;
                }
                continue;
            }
            // The sign of a new coefficient; before it, one more bit for each existing one.
            bits.take(u32::from(size > 0))?;
            while k <= scan.last {
                if *seen >> k & 1 == 1 {
                    bits.take(1)?;
                } else if zeros == 0 {
                    break;
                } else {
                    zeros -= 1;
                }
                k += 1;
            }
            if size > 0 && k <= scan.last {
                *seen |= 1 << k;
            }
            k += 1;
        }
    }
    if *run > 0 {
        if scan.refines {
            for place in k..=scan.last {
                bits.take(u32::from(*seen >> place & 1 == 1))?;
            }
        }
        *run -= 1;
    }
    Some(())
}
