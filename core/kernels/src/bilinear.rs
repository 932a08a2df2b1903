//! Rows of blocked maps, resized bilinearly. (`resize` turns an image into the network's input; this kernel runs inside
//! the network, for any number of channels.)
#![allow(clippy::inline_always, reason = "bodies must be inlined into their #[target_feature] entries")]

use half::f16;

use crate::element::Element;
use crate::isa::{Isa, isa_entry, isa_entry_f16};
use crate::memory::{OutOfMemory, reserve};
use crate::pointer::Pointer;
use crate::simd::Vector;
use crate::upsample::Resize;

/// The two inputs on either side of an output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Between {
    /// The lower one.
    pub low: usize,
    /// The upper one; the lower one again at the end.
    pub high: usize,
    /// Distance from the lower to the upper one, 0 to 1.
    pub far: f32,
}

/// Position of each of `out` outputs among `len` inputs (both at least 1).
///
/// # Errors
/// [`OutOfMemory`].
pub fn axis(len: usize, out: usize, rule: Resize) -> Result<Vec<Between>, OutOfMemory> {
    let last = (len - 1) as f64;
    let place = |o: usize| match rule {
        Resize::AlignCorners => o as f64 * last / (out.max(2) - 1) as f64,
        Resize::HalfPixel => (o as f64 + 0.5) * len as f64 / out as f64 - 0.5,
    };
    let between = |o: usize| {
        let at = place(o).clamp(0.0, last);
        let low = at as usize;
        Between { low, high: (low + 1).min(len - 1), far: (at - low as f64) as f32 }
    };
    let mut places = Vec::new();
    reserve(&mut places, out, "the weights of a resized map")?;
    places.extend((0..out).map(between));
    Ok(places)
}

/// One output row and the two input rows that surround it. Groups of channels are `group` elements apart in the input and
/// `out_group` elements apart in the output; in both, the pixels of a group are contiguous.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a, E: Element = f32> {
    /// The upper input row.
    pub top: Pointer<E>,
    /// The lower input row.
    pub bottom: Pointer<E>,
    /// Distance of the output from the upper row, 0 to 1 (1: the lower row).
    pub far: f32,
    /// Elements between groups of the input.
    pub group: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Positions of the output's columns among the input's.
    pub columns: &'a [Between],
    /// The output row.
    pub out: Pointer<E>,
    /// Elements between groups of the output.
    pub out_group: usize,
}

/// Elements whose maps can be resized.
pub trait Kernel: Element {
    /// Computes an output row.
    ///
    /// # Safety
    /// Input rows hold every column named in `columns`; the output row holds one pixel for each; in each group. They do
    /// not overlap.
    unsafe fn run(isa: Isa, line: &Line<'_, Self>);
}

impl Kernel for f32 {
    unsafe fn run(isa: Isa, line: &Line<'_>) {
        // SAFETY: the caller's promise.
        unsafe { run_f32(isa, line) }
    }
}

impl Kernel for f16 {
    unsafe fn run(isa: Isa, line: &Line<'_, f16>) {
        // SAFETY: the caller's promise.
        unsafe { run_f16(isa, line) }
    }
}

/// Computes an output row, by the kernel of its element type.
///
/// # Safety
/// As [`Kernel::run`].
pub unsafe fn run<E: Kernel>(isa: Isa, line: &Line<'_, E>) {
    // SAFETY: the caller's promise.
    unsafe { E::run(isa, line) }
}

isa_entry! {
    /// # Safety
    /// As [`body`], except for the token.
    fn run_f32(line: &Line<'_>) = body;
}
isa_entry_f16! {
    /// # Safety
    /// As [`body`], except for the token.
    fn run_f16(line: &Line<'_, f16>) = body;
}

/// # Safety
/// The contract of [`Vector`] holds for `s`; input rows hold every column named in `columns`, and the output row holds
/// one pixel for each, in each group; they do not overlap.
#[inline(always)]
unsafe fn body<S: Vector>(s: S, line: &Line<'_, S::E>) {
    let lanes = S::LANES;
    let width = line.columns.len();
    for group in 0..line.groups {
        let top = line.top.add(group * line.group);
        let bottom = line.bottom.add(group * line.group);
        let out = line.out.add(group * line.out_group).to(width * lanes);
        // SAFETY: the caller's promise, for this group.
        unsafe {
            let far_y = s.splat(line.far);
            for (x, column) in line.columns.iter().enumerate() {
                let far_x = s.splat(column.far);
                let low = column.low * lanes;
                let high = column.high * lanes;
                // Written as `a + (b - a) * share`, so a value that is the same at both ends comes out unchanged.
                let mix = |row: Pointer<S::E>| {
                    let a = s.load(row.add(low).to(lanes));
                    let b = s.load(row.add(high).to(lanes));
                    s.mul_add(far_x, s.sub(b, a), a)
                };
                let a = mix(top);
                let b = mix(bottom);
                s.store(out.add(x * lanes), s.mul_add(far_y, s.sub(b, a), a));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Real;

    #[test]
    fn weights_that_no_memory_holds_are_an_error() {
        assert!(axis(5, usize::MAX, Resize::HalfPixel).is_err());
    }

    #[test]
    fn both_rules_by_hand() {
        let at =
            |len, out, rule| axis(len, out, rule).unwrap().iter().map(|b| b.low as f32 + b.far).collect::<Vec<_>>();
        assert_eq!(at(3, 5, Resize::AlignCorners), [0.0, 0.5, 1.0, 1.5, 2.0]);
        assert_eq!(at(2, 4, Resize::HalfPixel), [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(at(4, 2, Resize::HalfPixel), [0.5, 2.5]);
        assert_eq!(at(7, 1, Resize::AlignCorners), [0.0]);
        for rule in [Resize::AlignCorners, Resize::HalfPixel] {
            assert_eq!(at(1, 3, rule), [0.0; 3]);
            for n in [1, 2, 7, 33] {
                assert_eq!(at(n, n, rule), (0..n).map(|i| i as f32).collect::<Vec<_>>(), "{n} to itself");
            }
        }
    }

    /// Rounding of inputs, outputs and, on some CPUs, of what is between is within `error`.
    fn check<E: Kernel + Real>(isa: Isa, lanes: usize, error: f64) {
        for (width, out, groups) in [(1, 5, 1), (2, 7, 3), (7, 3, 2), (33, 34, 1)] {
            for rule in [Resize::AlignCorners, Resize::HalfPixel] {
                let columns = axis(width, out, rule).unwrap();
                let n = groups * width * lanes;
                let values = |seed: usize| (0..n).map(|i| ((i * 31 + seed) % 97) as f32 - 48.0).collect::<Vec<_>>();
                let rounded = |values: &[f32]| values.iter().map(|&v| E::from_f32(v)).collect::<Vec<_>>();
                let top = values(1);
                let bottom = values(50);
                let [upper, lower] = [rounded(&top), rounded(&bottom)];
                let mut found = vec![E::from_f32(f32::NAN); groups * out * lanes];
                let line = Line {
                    top: Pointer::read(&upper),
                    bottom: Pointer::read(&lower),
                    far: 0.3,
                    group: width * lanes,
                    groups,
                    columns: &columns,
                    out: Pointer::new(found.as_mut_ptr(), found.len()),
                    out_group: out * lanes,
                };
                // SAFETY: the rows have the sizes given in the line.
                unsafe { run(isa, &line) }
                for (i, f) in found.iter().map(|f| f.to_f32()).enumerate() {
                    let group = i / (out * lanes);
                    let x = i / lanes % out;
                    let lane = i % lanes;
                    let c = columns[x];
                    let mix = |row: &[f32]| {
                        let at = |x: usize| f64::from(row[(group * width + x) * lanes + lane]);
                        at(c.low) + f64::from(c.far) * (at(c.high) - at(c.low))
                    };
                    let expected = mix(&top) + f64::from(0.3f32) * (mix(&bottom) - mix(&top));
                    let close = (f64::from(f) - expected).abs() < error;
                    assert!(close, "{isa:?} {:?} {width} to {out}: {f}, {expected}", E::TYPE);
                }
            }
        }
    }

    #[test]
    fn rows_are_the_formula_in_every_instruction_set() {
        for isa in Isa::all() {
            check::<f32>(isa, isa.lanes(), 1e-4);
            check::<f16>(isa, isa.lanes_f16(), 0.1);
        }
    }
}
