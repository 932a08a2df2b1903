//! The pointwise (1x1) convolution: `c[p][o] = act(sum_i a[p][i] * w[o][i] + bias[o]) (+ residual[p][o])` for the pixels `p`
//! of blocked rows. Nearly all of MobileNetV2's multiply-accumulates are here.
//!
//! One tile is `PIXELS` pixels by up to `VECTORS` vectors of output channels, with all its sums in registers; the loop
//! over input channels reads one packed vector per output vector and one value per pixel. Panels of output channels are
//! the outer loop, so a panel's weights stay in L1 while the pixels stream. A row is cut into tiles as evenly as
//! possible: a single leftover pixel would stall on its own sums.
//!
//! The first layer is a product too: its inputs come in three runs of nine values (three pixels of three channels each)
//! from the image's rows ([`Source::Runs`]).
#![allow(
    clippy::inline_always,
    clippy::needless_range_loop,
    reason = "bodies must be inlined into their #[target_feature] entries; tiles are indexed by pixel and vector"
)]

#[cfg(target_arch = "aarch64")]
mod neon;
mod tiles;

use std::mem::MaybeUninit;

use half::f16;

use crate::element::{Element, Real};
use crate::isa::{Isa, isa_entry, isa_entry_f16};
use crate::memory::OutOfMemory;
use crate::pack::{Matrix, Packed, PackedReader, Panel, Panels};
use crate::pointer::Pointer;
use tiles::{MicroTiles, PointwiseTiles};

/// What the sums start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// The bias.
    Bias,
    /// The existing values of `c`: the product continues an earlier one.
    Accumulate,
}

/// Layout of a pixel's inputs.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a, I = f32> {
    /// A blocked row: pixel `p`, channel `i` at `first + i / LANES * group + p * LANES + i % LANES`.
    Groups {
        /// The first pixel of the first group.
        first: Pointer<I>,
        /// Distance from one group to the next.
        group: usize,
    },
    /// Several runs of `len` values each; those of pixel `p` begin at `run + p * pixel`.
    Runs {
        /// Beginning of each run of the first pixel.
        runs: &'a [Pointer<I>],
        /// Values in a run.
        len: usize,
        /// Distance from one pixel's run to the next one's.
        pixel: usize,
    },
}

/// A pointwise product of inputs `Self` and weights `W` with outputs `O`: how its weights are packed, and how it runs.
///
/// Another precision is another implementation of this trait: code that packs weights or runs a [`Job`] names element
/// types and no kernel.
pub trait Kernel<W: Element, O: Element>: Element {
    /// The type of the accumulated sums, including the bias.
    type Sum: Element;
    /// The type of weights before packing.
    type Weight: Element;
    /// The type of the bias before packing.
    type Bias: Element;

    /// How the tiles of an instruction set need their weights.
    fn panels(isa: Isa) -> Panels;

    /// Packs `bias.len()` outputs of `k` inputs.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    ///
    /// # Panics
    /// If the matrix holds fewer values.
    fn pack(
        isa: Isa,
        k: usize,
        matrix: &Matrix<'_, Self::Weight>,
        bias: &[Self::Bias],
    ) -> Result<Packed<W, Self::Sum>, OutOfMemory>;

    /// The same, from weights packed earlier: `outputs` outputs of `k` inputs. `None` if too few values are left.
    fn from_packed(isa: Isa, reader: &mut PackedReader, k: usize, outputs: usize) -> Option<Packed<W, Self::Sum>>;

    /// Runs the product.
    ///
    /// # Safety
    /// All pointers of `job` are valid for the pixels, rows and channels that it names (channels of maps rounded up to
    /// vectors); `c` does not overlap the inputs or the weights, and overlaps the residual only element by element. The
    /// weights were packed for this instruction set.
    unsafe fn run(isa: Isa, job: &Job<'_, Self, W, O>);
}

/// f32 throughout.
impl Kernel<f32, f32> for f32 {
    type Sum = f32;
    type Weight = f32;
    type Bias = f32;

    fn panels(isa: Isa) -> Panels {
        tiles::panels(isa)
    }

    fn pack(isa: Isa, k: usize, matrix: &Matrix<'_>, bias: &[f32]) -> Result<Packed, OutOfMemory> {
        Packed::new(k, tiles::panels(isa), matrix, bias)
    }

    fn from_packed(isa: Isa, reader: &mut PackedReader, k: usize, outputs: usize) -> Option<Packed> {
        Packed::from_packed(reader, k, tiles::panels(isa), outputs)
    }

    unsafe fn run(isa: Isa, job: &Job<'_>) {
        // SAFETY: the caller's promise.
        unsafe { entry(isa, job) }
    }
}

/// f16 in memory, and in the sums where the CPU multiplies f16 (elsewhere sums are f32 until they are stored). Weights
/// and bias are rounded to f16 when packed.
impl Kernel<f16, f16> for f16 {
    type Sum = f16;
    type Weight = f32;
    type Bias = f32;

    fn panels(isa: Isa) -> Panels {
        tiles::panels_f16(isa)
    }

    fn pack(isa: Isa, k: usize, matrix: &Matrix<'_>, bias: &[f32]) -> Result<Packed<f16, f16>, OutOfMemory> {
        Packed::new(k, tiles::panels_f16(isa), matrix, bias)
    }

    fn from_packed(isa: Isa, reader: &mut PackedReader, k: usize, outputs: usize) -> Option<Packed<f16, f16>> {
        Packed::from_packed(reader, k, tiles::panels_f16(isa), outputs)
    }

    unsafe fn run(isa: Isa, job: &Job<'_, f16, f16, f16>) {
        // SAFETY: the caller's promise.
        unsafe { entry_f16(isa, job) }
    }
}

/// Runs a product, by the kernel of its element types.
///
/// # Safety
/// As [`Kernel::run`].
pub unsafe fn run<I: Kernel<W, O>, W: Element, O: Element>(isa: Isa, job: &Job<'_, I, W, O>) {
    // SAFETY: the caller's promise.
    unsafe { I::run(isa, job) }
}

/// One product over `rows` x `width` pixels. Distances are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a, I: Kernel<W, O> = f32, W: Element = f32, O: Element = f32> {
    /// The inputs of the first row.
    pub source: Source<'a, I>,
    /// Distance from one row of inputs to the next.
    pub a_row: usize,
    /// The matrix, packed.
    pub weights: &'a Packed<W, I::Sum>,
    /// Output channels, rounded up to a vector.
    pub bias: Pointer<I::Sum>,
    /// The first pixel of the first group of output channels.
    pub c: Pointer<O>,
    /// Distance from one group of output channels to the next.
    pub c_group: usize,
    /// Distance from one row of outputs to the next.
    pub c_row: usize,
    /// Added after the clamp: its first pixel, the distance between its groups, and between its rows.
    pub residual: Option<(Pointer<O>, usize, usize)>,
    /// Pixels in a row, at least 1.
    pub width: usize,
    /// Rows.
    pub rows: usize,
    /// What the sums start from.
    pub init: Init,
    /// Sums are clamped to `[lo, hi]` before the store.
    pub clamp: Option<(f32, f32)>,
}

isa_entry! {
    /// # Safety
    /// As [`body`], except for the token.
    fn entry(job: &Job<'_>) = body;
}
isa_entry_f16! {
    /// # Safety
    /// As [`body`], except for the token.
    fn entry_f16(job: &Job<'_, f16, f16, f16>) = body;
}

/// A float kernel: inputs, weights, sums and outputs of one type.
trait Float: Real + Kernel<Self, Self, Sum = Self> {}

impl<E: Real + Kernel<E, E, Sum = E>> Float for E {}

/// # Safety
/// The contract of [`Vector`](crate::simd::Vector) holds for `s`. All pointers of `job` are valid for the pixels, rows and
/// channels that it names (channels of maps rounded up to vectors); `c` does not overlap the inputs or the weights, and
/// overlaps the residual only element by element.
#[inline(always)]
unsafe fn body<S: PointwiseTiles>(s: S, job: &Job<'_, S::E, S::E, S::E>)
where
    S::E: Float,
{
    // A copy, so that the compiler knows that a tile's writes do not change it.
    let job = &{ *job };
    for panel in &job.weights.panels {
        // SAFETY: the caller's promise.
        unsafe {
            match panel.vectors {
                1 => columns::<S, 1>(s, job, panel),
                2 => columns::<S, 2>(s, job, panel),
                3 => columns::<S, 3>(s, job, panel),
                _ => columns::<S, 4>(s, job, panel),
            }
        }
    }
}

/// The output channels of a panel of `V` vectors, for all pixels.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn columns<S: PointwiseTiles, const V: usize>(s: S, job: &Job<'_, S::E, S::E, S::E>, panel: &Panel)
where
    S::E: Float,
{
    if V > S::VECTORS {
        return; // no panel is that wide
    }
    let (mut bias, clamp) =
        (Copies::UNINIT, job.clamp.map(|(lo, hi)| [lo, hi].map(|v| S::E::from_f32(S::E::finite(v)))));
    // SAFETY: the caller's promise.
    let start = unsafe { start::<S, V>(s, job, panel, &mut bias, clamp.as_ref()) };
    let most = if start.is_some() { S::PIXELS[V] } else { S::PIXELS[V].min(S::COMPILED) };
    let tiles = job.width.div_ceil(most);
    let least = job.width / tiles;
    let more = job.width % tiles;
    for row in 0..job.rows {
        let mut x = 0;
        for (n, count) in [(least + 1, more), (least, tiles - more)] {
            // SAFETY: the caller's promise, for pixels x..x + n * count of this row.
            unsafe {
                match job.source {
                    Source::Groups { .. } if count == 0 => {}
                    Source::Groups { first, group } => {
                        pixels::<S, V>(s, job, panel, start.as_ref(), row, x, n, count, first, group);
                    }
                    Source::Runs { runs, len, pixel } => {
                        for tile in 0..count {
                            pixels_of_runs::<S, V>(s, job, panel, row, x + tile * n, n, runs, len, pixel);
                        }
                    }
                }
            }
            x += n * count;
        }
    }
}

/// The bias of a panel of up to four vectors, four times each: it is read four vectors at a time instead of being
/// copied in registers.
struct Copies([[MaybeUninit<[u64; 2]>; 4]; 4]);

impl Copies {
    const UNINIT: Self = Self([[MaybeUninit::uninit(); 4]; 4]);
}

/// What all tiles of a panel share, at the first pixel of the first row; `None` if they are not computed in assembly.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn start<S: PointwiseTiles, const V: usize>(
    s: S,
    job: &Job<'_, S::E, S::E, S::E>,
    panel: &Panel,
    copies: &mut Copies,
    clamp: Option<&[S::E; 2]>,
) -> Option<MicroTiles<S::E>>
where
    S::E: Float,
{
    let k = job.weights.k;
    let lanes = S::LANES;
    let first = panel.first / S::LANES;
    let Source::Groups { first: a, group } = job.source else { return None };
    if !S::MICRO_KERNEL || !k.is_multiple_of(lanes) {
        return None;
    }
    let c = job.c.add(first * job.c_group);
    let (init, init_group, init_more) = match job.init {
        Init::Bias => {
            let bias = job.bias.add(panel.first).to(V * lanes);
            for v in 0..V {
                // SAFETY: the caller's promise; `MICRO_KERNEL` means that a vector is sixteen bytes.
                unsafe {
                    let value = s.load(bias.add(v * lanes));
                    for copy in &mut copies.0[v] {
                        s.store(copy.as_mut_ptr().cast(), value);
                    }
                }
            }
            (copies.0.as_ptr().cast(), 4 * lanes, 0)
        }
        Init::Accumulate => (c.to(0).cast_const(), job.c_group, 4 * lanes),
    };
    Some(MicroTiles {
        a: a.to(0),
        a_group: group,
        turns: k / lanes / S::UNROLL,
        rest: k / lanes % S::UNROLL,
        w: Pointer::read(&job.weights.weights).add(panel.offset).to(k * V * lanes),
        init,
        init_group,
        init_more,
        init_tile: 0,
        clamp: clamp.map_or(std::ptr::null(), std::ptr::from_ref),
        residual: job.residual.map_or(std::ptr::null(), |(r, r_group, _)| r.add(first * r_group).to(0).cast_const()),
        residual_group: job.residual.map_or(0, |(_, r_group, _)| r_group),
        c: c.to(0),
        c_group: job.c_group,
        tiles: 0,
    })
}

/// Picks the tile for `count` times `n` pixels of blocked rows.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn pixels<S: PointwiseTiles, const V: usize>(
    s: S,
    job: &Job<'_, S::E, S::E, S::E>,
    panel: &Panel,
    start: Option<&MicroTiles<S::E>>,
    row: usize,
    x: usize,
    n: usize,
    count: usize,
    first: Pointer<S::E>,
    group: usize,
) where
    S::E: Float,
{
    let a = first.add(row * job.a_row + x * S::LANES);
    // SAFETY: the caller's promise. Arms above S::PIXELS are never taken and not compiled.
    unsafe {
        match n {
            1 => tiles::<S, 1, V>(s, job, panel, start, row, x, count, a, group),
            2 if S::PIXELS[V] >= 2 => tiles::<S, 2, V>(s, job, panel, start, row, x, count, a, group),
            3 if S::PIXELS[V] >= 3 => tiles::<S, 3, V>(s, job, panel, start, row, x, count, a, group),
            4 if S::PIXELS[V] >= 4 => tiles::<S, 4, V>(s, job, panel, start, row, x, count, a, group),
            5 if S::PIXELS[V] >= 5 => tiles::<S, 5, V>(s, job, panel, start, row, x, count, a, group),
            6 if S::PIXELS[V] >= 6 => tiles::<S, 6, V>(s, job, panel, start, row, x, count, a, group),
            7 if S::PIXELS[V] >= 7 => tiles::<S, 7, V>(s, job, panel, start, row, x, count, a, group),
            _ if S::PIXELS[V] >= 8 => tiles::<S, 8, V>(s, job, panel, start, row, x, count, a, group),
            _ => {}
        }
    }
}

/// `n` pixels of the first layer: a full tile, or pixel by pixel.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn pixels_of_runs<S: PointwiseTiles, const V: usize>(
    s: S,
    job: &Job<'_, S::E, S::E, S::E>,
    panel: &Panel,
    row: usize,
    x: usize,
    n: usize,
    runs: &[Pointer<S::E>],
    len: usize,
    pixel: usize,
) where
    S::E: Float,
{
    // SAFETY: the caller's promise.
    unsafe {
        if n == 8 && S::PIXELS[V] >= 8 {
            tile_of_runs::<S, 8, V>(s, job, panel, row, x, runs, len, pixel);
        } else if n == 5 && S::PIXELS[V] == 5 {
            tile_of_runs::<S, 5, V>(s, job, panel, row, x, runs, len, pixel);
        } else {
            let mut at = x;
            while at + 3 <= x + n {
                tile_of_runs::<S, 3, V>(s, job, panel, row, at, runs, len, pixel);
                at += 3;
            }
            while at < x + n {
                tile_of_runs::<S, 1, V>(s, job, panel, row, at, runs, len, pixel);
                at += 1;
            }
        }
    }
}

/// `count` times `M` pixels by `V` vectors, from blocked rows; `a`: the first of these pixels.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn tiles<S: PointwiseTiles, const M: usize, const V: usize>(
    s: S,
    job: &Job<'_, S::E, S::E, S::E>,
    panel: &Panel,
    start: Option<&MicroTiles<S::E>>,
    row: usize,
    x: usize,
    count: usize,
    a: Pointer<S::E>,
    group: usize,
) where
    S::E: Float,
{
    // SAFETY: the caller's promise.
    unsafe {
        if !whole::<S, M, V>(s, job, panel, start, row, x, count, a, group) {
            if M > S::COMPILED {
                unreachable!("tiles of {M} pixels are in assembly");
            }
            for i in 0..count {
                tile::<S, M, V>(s, job, panel, row, x + i * M, a.add(i * M * S::LANES), group);
            }
        }
    }
}

/// `M` pixels by `V` vectors, from blocked rows; `a`: the first of these pixels.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn tile<S: PointwiseTiles, const M: usize, const V: usize>(
    s: S,
    job: &Job<'_, S::E, S::E, S::E>,
    panel: &Panel,
    row: usize,
    x: usize,
    a: Pointer<S::E>,
    group: usize,
) where
    S::E: Float,
{
    // SAFETY: the caller's promise; the packed weights hold k * V vectors from the panel's offset on.
    unsafe {
        let mut acc = begin::<S, M, V>(s, job, panel, row, x);
        let mut w = Pointer::read(&job.weights.weights).add(panel.offset);
        let mut a = a;
        let mut left = job.weights.k;
        while left >= S::LANES {
            w = sums::<S, M, V>(s, a, S::LANES, S::LANES, w, &mut acc);
            a = a.add(group);
            left -= S::LANES;
        }
        if left > 0 {
            sums::<S, M, V>(s, a, S::LANES, left, w, &mut acc);
        }
        end::<S, M, V>(s, job, panel, row, x, acc);
    }
}

/// `count` such tiles in assembly; returns false if the instruction set has none.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn whole<S: PointwiseTiles, const M: usize, const V: usize>(
    s: S,
    job: &Job<'_, S::E, S::E, S::E>,
    panel: &Panel,
    start: Option<&MicroTiles<S::E>>,
    row: usize,
    x: usize,
    count: usize,
    a: Pointer<S::E>,
    group: usize,
) -> bool
where
    S::E: Float,
{
    let Some(start) = start else { return false };
    let lanes = S::LANES;
    let first = panel.first / S::LANES;
    let at_c = row * job.c_row + x * lanes;
    let at_r = job.residual.map_or(0, |(_, _, r_row)| row * r_row) + x * lanes;
    if cfg!(debug_assertions) {
        for g in 0..job.weights.k / lanes {
            a.add(g * group).to(count * M * lanes);
        }
        for v in first..first + V {
            job.c.add(v * job.c_group + at_c).to(count * M * lanes);
            if let Some((r, r_group, _)) = job.residual {
                r.add(v * r_group + at_r).to(count * M * lanes);
            }
        }
    }
    let mut whole = MicroTiles { a: a.to(0), c: start.c.wrapping_add(at_c), tiles: count, ..*start };
    if !start.residual.is_null() {
        whole.residual = start.residual.wrapping_add(at_r);
    }
    if job.init == Init::Accumulate {
        (whole.init, whole.init_tile) = (whole.c.cast_const(), M * lanes);
    }
    // SAFETY: the caller's promise; the bias was copied.
    unsafe { s.micro_kernel::<M, V>(&whole) }
}

/// `M` pixels by `V` vectors, from the image's rows.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn tile_of_runs<S: PointwiseTiles, const M: usize, const V: usize>(
    s: S,
    job: &Job<'_, S::E, S::E, S::E>,
    panel: &Panel,
    row: usize,
    x: usize,
    runs: &[Pointer<S::E>],
    len: usize,
    pixel: usize,
) where
    S::E: Float,
{
    // SAFETY: as in `tile`.
    unsafe {
        let mut acc = begin::<S, M, V>(s, job, panel, row, x);
        let mut w = Pointer::read(&job.weights.weights).add(panel.offset);
        for run in runs {
            let a = run.add(row * job.a_row + x * pixel);
            // Always three pixels of three channels: with the length known, no loop is left.
            w = if S::BY_LANE > 0 && len == 9 {
                sums::<S, M, V>(s, a, pixel, 9, w, &mut acc)
            } else {
                sums::<S, M, V>(s, a, pixel, len, w, &mut acc)
            };
        }
        end::<S, M, V>(s, job, panel, row, x, acc);
    }
}

/// The initial sums.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn begin<S: PointwiseTiles, const M: usize, const V: usize>(
    s: S,
    job: &Job<'_, S::E, S::E, S::E>,
    panel: &Panel,
    row: usize,
    x: usize,
) -> [[S::F; V]; M]
where
    S::E: Float,
{
    // SAFETY: the caller's promise.
    unsafe {
        let mut acc = [[s.splat(0.0); V]; M];
        match job.init {
            Init::Accumulate => {
                let c = job.c.add(row * job.c_row + panel.first / S::LANES * job.c_group + x * S::LANES);
                for v in 0..V {
                    let c = c.add(v * job.c_group).to(M * S::LANES);
                    for m in 0..M {
                        acc[m][v] = s.load(c.add(m * S::LANES));
                    }
                }
            }
            Init::Bias => {
                let bias = job.bias.add(panel.first).to(V * S::LANES);
                for v in 0..V {
                    let b = s.load(bias.add(v * S::LANES));
                    for a in &mut acc {
                        a[v] = b;
                    }
                }
            }
        }
        acc
    }
}

/// Adds `n` inputs of each pixel times their rows of the panel; returns the next row of weights.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn sums<S: PointwiseTiles, const M: usize, const V: usize>(
    s: S,
    a: Pointer<S::E>,
    pixel: usize,
    n: usize,
    mut w: Pointer<S::E>,
    acc: &mut [[S::F; V]; M],
) -> Pointer<S::E>
where
    S::E: Float,
{
    // SAFETY: the caller's promise.
    unsafe {
        let mut k = 0;
        if S::BY_LANE > 0 {
            while k + S::BY_LANE <= n {
                let several = if pixel == S::LANES {
                    s.load_many::<M>(a.add(k).to(S::LANES * M))
                } else {
                    let mut several = [s.splat(0.0); M];
                    for m in 0..M {
                        several[m] = s.load(a.add(m * pixel + k).to(S::LANES));
                    }
                    several
                };
                let rows = w.to(S::BY_LANE * V * S::LANES);
                lane_step::<S, M, V, 0>(s, rows, &several, acc);
                lane_step::<S, M, V, 1>(s, rows, &several, acc);
                lane_step::<S, M, V, 2>(s, rows, &several, acc);
                lane_step::<S, M, V, 3>(s, rows, &several, acc);
                if S::BY_LANE == 8 {
                    lane_step::<S, M, V, 4>(s, rows, &several, acc);
                    lane_step::<S, M, V, 5>(s, rows, &several, acc);
                    lane_step::<S, M, V, 6>(s, rows, &several, acc);
                    lane_step::<S, M, V, 7>(s, rows, &several, acc);
                }
                w = w.add(S::BY_LANE * V * S::LANES);
                k += S::BY_LANE;
            }
        }
        while k < n {
            let mut b = [s.splat(0.0); V];
            let rows = w.to(V * S::LANES);
            for v in 0..V {
                b[v] = s.load(rows.add(v * S::LANES));
            }
            for m in 0..M {
                let f = s.load_splat(a.add(m * pixel + k).to(1));
                for v in 0..V {
                    acc[m][v] = s.mul_add(b[v], f, acc[m][v]);
                }
            }
            w = w.add(V * S::LANES);
            k += 1;
        }
        w
    }
}

/// Adds input channel `LANE` of those read of each pixel times its row of the panel.
///
/// # Safety
/// As [`body`]; `rows` holds `BY_LANE * V` vectors.
#[inline(always)]
unsafe fn lane_step<S: PointwiseTiles, const M: usize, const V: usize, const LANE: i32>(
    s: S,
    rows: *const S::E,
    several: &[S::F; M],
    acc: &mut [[S::F; V]; M],
) where
    S::E: Float,
{
    // SAFETY: the caller's promise.
    unsafe {
        let b = s.load_many::<V>(rows.add(LANE as usize * V * S::LANES));
        for v in 0..V {
            for m in 0..M {
                acc[m][v] = s.mul_add_lane::<LANE>(b[v], several[m], acc[m][v]);
            }
        }
    }
}

/// Applies activation and residual, and stores.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn end<S: PointwiseTiles, const M: usize, const V: usize>(
    s: S,
    job: &Job<'_, S::E, S::E, S::E>,
    panel: &Panel,
    row: usize,
    x: usize,
    mut acc: [[S::F; V]; M],
) where
    S::E: Float,
{
    let lanes = S::LANES;
    let group = panel.first / S::LANES;
    // SAFETY: the caller's promise.
    unsafe {
        if let Some((lo, hi)) = job.clamp {
            let lo = s.splat(S::E::finite(lo));
            let hi = s.splat(S::E::finite(hi));
            for a in &mut acc {
                for v in a {
                    *v = s.min(s.max(*v, lo), hi);
                }
            }
        }
        if let Some((residual, r_group, r_row)) = job.residual {
            for v in 0..V {
                let r = residual.add(row * r_row + (group + v) * r_group + x * lanes).to(M * lanes);
                for m in 0..M {
                    acc[m][v] = s.add(acc[m][v], s.load(r.add(m * lanes)));
                }
            }
        }
        for v in 0..V {
            let c = job.c.add(row * job.c_row + (group + v) * job.c_group + x * lanes).to(M * lanes);
            for m in 0..M {
                s.store(c.add(m * lanes), acc[m][v]);
            }
        }
    }
}
