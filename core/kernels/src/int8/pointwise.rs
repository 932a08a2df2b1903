//! The pointwise (1x1) convolution of bytes. A tile is some pixels by one to three groups of output channels, with all its
//! sums in registers; a panel's weights stay in L1 while the pixels stream.

use crate::pointer::Pointer;

use super::dispatch::isa_entry_int8;
use super::pack::{PackedPointwise, Panel};
use super::scales::{Bounds, GROUP, SCALES};
use super::vector::{Inputs, Integers, Order, SLACK, Tiles, block, bounded, shift_left};

/// Layout of a pixel's inputs.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A blocked row: pixel `p`, channel `i` at `first + i / 16 * group + p * 16 + i % 16`.
    Groups {
        /// The first pixel of the first group.
        first: Pointer<u8>,
        /// Distance from one group to the next.
        group: usize,
    },
    /// Three runs of nine values each; those of pixel `p` begin at `run + p * pixel`.
    Runs {
        /// Beginning of each run of the first pixel.
        runs: &'a [Pointer<u8>; 3],
        /// Distance from one pixel's run to the next one's.
        pixel: usize,
    },
}

/// One product over `rows` x `width` pixels. Distances are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The inputs of the first row.
    pub source: Source<'a>,
    /// Distance from one row of inputs to the next.
    pub a_row: usize,
    /// The matrix, packed.
    pub weights: &'a PackedPointwise,
    /// The first pixel of the first group of output channels.
    pub c: Pointer<u8>,
    /// Distance from one group of output channels to the next.
    pub c_group: usize,
    /// Distance from one row of outputs to the next.
    pub c_row: usize,
    /// Pixels in a row, at least 1.
    pub width: usize,
    /// Rows.
    pub rows: usize,
    /// What the outputs are.
    pub bounds: Bounds,
    /// Whether ties below the zero point must be rounded exactly; not if nothing below it is stored.
    pub ties: bool,
    /// [`PackedPointwise::sums_len`] values, which the product overwrites.
    pub sums: Pointer<i32>,
}

isa_entry_int8! {
    /// # Safety
    /// As [`super::pointwise()`].
    pub(super) fn entry(job: &Job<'_>) = body;
}

/// # Safety
/// As [`super::pointwise()`]; the contract of [`Integers`] holds for `s`.
#[inline(always)]
unsafe fn body<S: Integers>(s: S, job: &Job<'_>) {
    for row in 0..job.rows {
        // A copy, so that the compiler knows that a tile's writes do not change it.
        let mut job = *job;
        // SAFETY: the caller's promise; after the sums there is room for a row of gathered inputs.
        unsafe {
            if S::MICRO_KERNEL
                && let Source::Runs { runs, pixel } = job.source
            {
                let gathered = job.sums.to(9 * job.width).add(job.width).cast::<u8>();
                gather(*runs, row * job.a_row, pixel, job.width, gathered);
                let first = Pointer::new(gathered, 2 * GROUP * job.width);
                job.source = Source::Groups { first, group: GROUP * job.width };
                job.a_row = 0;
            }
            if job.weights.zero != 0 {
                sum_inputs(s, &job, row);
            }
            for panel in &job.weights.panels {
                match panel.groups {
                    1 => columns::<S, 1>(s, &job, panel, row),
                    2 if S::GROUPS > 1 => columns::<S, 2>(s, &job, panel, row),
                    _ if S::GROUPS > 2 => columns::<S, 3>(s, &job, panel, row),
                    _ => unreachable!("no panel is that wide"),
                }
            }
        }
    }
}

/// Each pixel's three runs of nine bytes as the 27 channels of two groups; the last five bytes are unspecified.
///
/// # Safety
/// As [`body`]; `to` holds `2 * width` times sixteen bytes.
#[inline(always)]
unsafe fn gather(runs: [Pointer<u8>; 3], at: usize, pixel: usize, width: usize, to: *mut u8) {
    let mut inputs = [0u8; 9 + 9 + SLACK];
    for x in 0..width {
        // SAFETY: the caller's promise: sixteen bytes of each run, of which later ones are overwritten.
        unsafe {
            for (i, run) in runs.iter().enumerate() {
                let from = run.add(at + x * pixel).to(SLACK);
                std::ptr::copy_nonoverlapping(from, inputs.as_mut_ptr().add(9 * i), SLACK);
            }
            for group in 0..2 {
                let to = to.add((group * width + x) * GROUP);
                std::ptr::copy_nonoverlapping(inputs.as_ptr().add(group * GROUP), to, GROUP);
            }
        }
    }
}

/// A panel of `V` groups, for all pixels of a row.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn columns<S: Integers, const V: usize>(s: S, job: &Job<'_>, panel: &Panel, row: usize) {
    // As evenly as possible.
    let tiles = job.width.div_ceil(S::PIXELS[V]);
    let least = job.width / tiles;
    let more = job.width % tiles;
    let mut copies = [0; 3 * GROUP];
    // SAFETY: the caller's promise.
    let whole = unsafe { whole::<S>(job, panel, row, &mut copies) };
    let mut x = 0;
    for (n, count) in [(least + 1, more), (least, tiles - more)] {
        macro_rules! of {
            ($m:literal) => {
                if $m <= S::PIXELS[V] {
                    // SAFETY: the caller's promise, for pixels x..x + n * count of this row.
                    unsafe {
                        match &whole {
                            Some(whole) if count > 0 => s.micro_kernel::<$m>(&whole.at(x, count)),
                            Some(_) => {}
                            // (A closure would not be inlined, and so not have the instruction set's features.)
                            // What assembly leaves is rare: one pixel at a time, to save code.
                            None if S::MICRO_KERNEL => {
                                for t in 0..n * count {
                                    tile::<S, 1, V>(s, job, panel, row, x + t);
                                }
                            }
                            None => {
                                for t in 0..count {
                                    tile::<S, $m, V>(s, job, panel, row, x + t * n);
                                }
                            }
                        }
                    }
                }
            };
        }
        match n {
            1 => of!(1),
            2 => of!(2),
            3 => of!(3),
            4 => of!(4),
            5 => of!(5),
            6 => of!(6),
            7 => of!(7),
            8 => of!(8),
            _ if count == 0 => {}
            _ => unreachable!("no tile is that wide"),
        }
        x += n * count;
    }
}

impl Tiles {
    /// `count` of them from pixel `x` on.
    #[inline(always)]
    fn at(&self, x: usize, count: usize) -> Self {
        let less = if self.less.is_null() { self.less } else { self.less.wrapping_add(x) };
        let first = self.first.wrapping_add(x * GROUP);
        let c = self.c.wrapping_add(x * GROUP);
        Self { first, less, c, count, ..*self }
    }
}

/// What all tiles of a panel's row share; `None` if they are not computed in assembly. `copies` holds the values that assembly reads
/// in another form.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn whole<S: Integers>(job: &Job<'_>, panel: &Panel, row: usize, copies: &mut [i32; 3 * GROUP]) -> Option<Tiles> {
    let Source::Groups { first, group } = job.source else { return None };
    if !S::MICRO_KERNEL || job.weights.scales.left {
        return None;
    }
    let fours = job.weights.k.div_ceil(4);
    let first = first.add(row * job.a_row);
    let c = job.c.add(row * job.c_row + panel.first * job.c_group);
    let scales = &job.weights.scales.values()[panel.first * SCALES..][..SCALES];
    let bias = &job.weights.bias[panel.first * GROUP..][..GROUP];
    let paired = S::ORDER == Order::Eights;
    for (to, right) in copies[2 * GROUP..].iter_mut().zip(&scales[GROUP..2 * GROUP]) {
        *to = -right;
    }
    if paired {
        for (i, to) in copies[..2 * GROUP].iter_mut().enumerate() {
            *to = bias[i / 4 * 2 + i % 2];
        }
    }
    if cfg!(debug_assertions) {
        for g in 0..job.weights.k.div_ceil(GROUP) {
            first.add(g * group).to(job.width * GROUP);
        }
        c.to(job.width * GROUP);
    }
    let sums = job.weights.zero != 0;
    Some(Tiles {
        first: first.to(0),
        block: group,
        blocks: fours / 4,
        rest: fours % 4,
        w: Pointer::read(&job.weights.weights).add(panel.offset).to(0),
        bias: if paired { copies.as_ptr() } else { bias.as_ptr() },
        less: if sums { job.sums.to(job.width) } else { std::ptr::null() },
        mantissa: scales.as_ptr(),
        shift: copies[2 * GROUP..].as_ptr(),
        zero: job.bounds.zero as i16,
        low: job.bounds.low as i8,
        high: job.bounds.high as i8,
        ties: usize::from(job.ties),
        c: c.to(0),
        count: 0,
    })
}

/// `M` pixels by `V` groups.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn tile<S: Integers, const M: usize, const V: usize>(s: S, job: &Job<'_>, panel: &Panel, row: usize, x: usize) {
    let k = job.weights.k;
    let fours = k.div_ceil(4);
    // SAFETY: the caller's promise; the packed weights and scales hold the panel's outputs.
    unsafe {
        let bias = Pointer::read(&job.weights.bias).add(panel.first * GROUP).to(V * GROUP);
        let mut sums = [[s.load(bias); V]; M];
        for v in 1..V {
            let b = s.load(bias.add(v * GROUP));
            for m in 0..M {
                sums[m][v] = b;
            }
        }
        if job.weights.zero != 0 {
            let inputs = job.sums.add(x).to(M);
            for m in 0..M {
                let less = s.splat(*inputs.add(m));
                for v in 0..V {
                    sums[m][v] = s.add(sums[m][v], less);
                }
            }
        }
        let weights = Pointer::read(&job.weights.weights).add(panel.offset);
        match job.source {
            Source::Groups { first, group } => {
                let at = first.add(row * job.a_row + x * GROUP);
                if cfg!(debug_assertions) {
                    weights.to(k.next_multiple_of(4) * V * GROUP);
                    for g in 0..k.div_ceil(GROUP) {
                        at.add(g * group).to(M * GROUP);
                    }
                }
                let inputs =
                    Inputs { first: at.to(M * GROUP), pixel: GROUP, block: group, blocks: fours / 4, rest: fours % 4 };
                s.products::<M, V>(&inputs, weights.to(0), &mut sums);
            }
            Source::Runs { runs, pixel } => {
                let mut w = weights.to(36 * V * GROUP).cast_const();
                for run in runs {
                    let at = run.add(row * job.a_row + x * pixel).to((M - 1) * pixel + SLACK);
                    w = block::<S, M, V>(s, at, pixel, 3, w, &mut sums);
                }
            }
        }
        let scales = job.weights.scales.values().as_ptr().add(panel.first * SCALES);
        let zero = s.splat(job.bounds.zero);
        let low = s.splat(job.bounds.low);
        let high = s.splat(job.bounds.high);
        for v in 0..V {
            let c = job.c.add(row * job.c_row + (panel.first + v) * job.c_group + x * GROUP).to(M * GROUP);
            let scales = scales.add(v * SCALES);
            let mantissa = s.load(scales);
            let right = s.load(scales.add(GROUP));
            for m in 0..M {
                let mut sum = sums[m][v];
                if job.weights.scales.left {
                    sum = shift_left(s, sum, scales.add(2 * GROUP));
                }
                let scaled = s.scale(sum, mantissa, right, job.ties);
                s.store(c.add(m * GROUP), bounded(s, scaled, job.weights.scales.left), zero, low, high);
            }
        }
    }
}

/// What the weights' zero point takes from the sums of each pixel in a row: it times the sum of the pixel's inputs.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn sum_inputs<S: Integers>(s: S, job: &Job<'_>, row: usize) {
    let k = job.weights.k;
    // SAFETY: the caller's promise. What follows a map's last channel is unspecified and not summed.
    unsafe {
        let sums = job.sums.to(job.width);
        let factor = -job.weights.zero;
        match job.source {
            Source::Groups { first, group } => {
                let at = first.add(row * job.a_row);
                let mut x = 0;
                while x + 4 <= job.width {
                    s.sums_of_four(at.add(x * GROUP).to(4 * GROUP), group, k / GROUP, k % GROUP, factor, sums.add(x));
                    x += 4;
                }
                for x in x..job.width {
                    let sum = s.sum_bytes(at.add(x * GROUP).to(GROUP), group, k / GROUP, k % GROUP);
                    *sums.add(x) = sum.wrapping_mul(factor);
                }
            }
            Source::Runs { runs, pixel } => {
                for x in 0..job.width {
                    let run = |run: &Pointer<u8>| s.sum_bytes(run.add(row * job.a_row + x * pixel).to(SLACK), 0, 0, 9);
                    let sum: i32 = runs.iter().map(run).sum();
                    *sums.add(x) = sum.wrapping_mul(factor);
                }
            }
        }
    }
}
