//! The 3x3 depthwise convolution along a row in NEON assembly, eleven outputs at a time: compilers load two columns per
//! instruction where up to four are possible, and copy the bias once per output.
//!
//! v0 to v8 hold the weights, v9 to v19 the sums, v20 to v31 twelve columns of one of the three rows. Each weight
//! updates every sum before the next weight's turn, so no multiply-add waits for the previous one.

use core::arch::asm;

use half::f16;

use super::tiles::{DepthwiseTiles, WholeLine};
use crate::simd::Neon;
use crate::simd::half::NeonF16;

// SAFETY: a token exists only where the CPU has NEON.
unsafe impl DepthwiseTiles for Neon {
    const LINE_TILE: usize = OUTPUTS;
    #[inline(always)]
    unsafe fn whole_line<const STRIDE: usize, const RATE: usize>(self, line: &WholeLine<f32>) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            match (STRIDE, RATE) {
                (1, 1) => f32x4::rate_1(line),
                (1, 2) => f32x4::rate_2(line),
                (1, 4) => f32x4::rate_4(line),
                (2, 1) => f32x4::stride_2(line),
                _ => return false,
            }
        }
        true
    }
}

// SAFETY: a token exists only where the CPU has f16 arithmetic.
unsafe impl DepthwiseTiles for NeonF16 {
    const LINE_TILE: usize = OUTPUTS;
    #[inline(always)]
    unsafe fn whole_line<const STRIDE: usize, const RATE: usize>(self, line: &WholeLine<f16>) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            match (STRIDE, RATE) {
                (1, 1) => f16x8::rate_1(line),
                (1, 2) => f16x8::rate_2(line),
                (1, 4) => f16x8::rate_4(line),
                (2, 1) => f16x8::stride_2(line),
                _ => return false,
            }
        }
        true
    }
}

// Macros that write instructions take the arrangement of a register: "4s" for f32, "8h" for f16.

/// Outputs of a tile.
const OUTPUTS: usize = 11;

/// Adds a weight times a column to each of the named sums.
macro_rules! tap {
    ($set:literal $weight:literal: $($sum:literal $column:literal),+) => {
        concat!($("fmla ", $sum, ".", $set, ", ", $column, ".", $set, ", ", $weight, ".", $set, "\n",)+)
    };
}

/// Loads or stores consecutive registers at `$p`.
macro_rules! registers {
    ($set:literal $op:literal $p:literal $then:literal: $first:literal $($more:literal)*) => {
        concat!($op, " {{", $first, ".", $set, $(", ", $more, ".", $set,)* "}}, [{", $p, "}]", $then, "\n")
    };
}

/// The next twelve columns of row `$p`.
macro_rules! twelve_columns {
    ($set:literal $p:literal) => {
        concat!(
            registers!($set "ld1" $p ", #64": "v20" "v21" "v22" "v23"),
            registers!($set "ld1" $p ", #64": "v24" "v25" "v26" "v27"),
            registers!($set "ld1" $p ", #64": "v28" "v29" "v30" "v31"),
        )
    };
}

/// Each sum with one other register: `$op $sum, $sum, $other`.
macro_rules! with_one {
    ($set:literal $op:literal $other:literal: $($sum:literal)+) => {
        concat!($($op, " ", $sum, ".", $set, ", ", $sum, ".", $set, ", ", $other, ".", $set, "\n",)+)
    };
}

/// Rate 1: 13 columns a tile.
macro_rules! rate_1_row {
    ($set:literal $p:literal, $w0:literal, $w1:literal, $w2:literal) => {
        concat!(
            twelve_columns!($set $p),
            tap!($set $w0: "v9" "v20", "v10" "v21", "v11" "v22", "v12" "v23", "v13" "v24", "v14" "v25", "v15" "v26", "v16" "v27", "v17" "v28", "v18" "v29", "v19" "v30"),
            tap!($set $w1: "v9" "v21", "v10" "v22", "v11" "v23", "v12" "v24", "v13" "v25", "v14" "v26", "v15" "v27", "v16" "v28", "v17" "v29", "v18" "v30", "v19" "v31"),
            tap!($set $w2: "v9" "v22", "v10" "v23", "v11" "v24", "v12" "v25", "v13" "v26", "v14" "v27", "v15" "v28", "v16" "v29", "v17" "v30", "v18" "v31"),
            registers!($set "ld1" $p ", {back}": "v20"),
            tap!($set $w2: "v19" "v20"),
        )
    };
}
/// Rate 2: 15 columns a tile.
macro_rules! rate_2_row {
    ($set:literal $p:literal, $w0:literal, $w1:literal, $w2:literal) => {
        concat!(
            twelve_columns!($set $p),
            tap!($set $w0: "v9" "v20", "v10" "v21", "v11" "v22", "v12" "v23", "v13" "v24", "v14" "v25", "v15" "v26", "v16" "v27", "v17" "v28", "v18" "v29", "v19" "v30"),
            tap!($set $w1: "v9" "v22", "v10" "v23", "v11" "v24", "v12" "v25", "v13" "v26", "v14" "v27", "v15" "v28", "v16" "v29", "v17" "v30", "v18" "v31"),
            tap!($set $w2: "v9" "v24", "v10" "v25", "v11" "v26", "v12" "v27", "v13" "v28", "v14" "v29", "v15" "v30", "v16" "v31"),
            registers!($set "ld1" $p ", {back}": "v20" "v21" "v22"),
            tap!($set $w1: "v19" "v20"),
            tap!($set $w2: "v17" "v20", "v18" "v21", "v19" "v22"),
        )
    };
}
/// Rate 4: 19 columns a tile.
macro_rules! rate_4_row {
    ($set:literal $p:literal, $w0:literal, $w1:literal, $w2:literal) => {
        concat!(
            twelve_columns!($set $p),
            tap!($set $w0: "v9" "v20", "v10" "v21", "v11" "v22", "v12" "v23", "v13" "v24", "v14" "v25", "v15" "v26", "v16" "v27", "v17" "v28", "v18" "v29", "v19" "v30"),
            tap!($set $w1: "v9" "v24", "v10" "v25", "v11" "v26", "v12" "v27", "v13" "v28", "v14" "v29", "v15" "v30", "v16" "v31"),
            tap!($set $w2: "v9" "v28", "v10" "v29", "v11" "v30", "v12" "v31"),
            registers!($set "ld1" $p ", #64": "v20" "v21" "v22" "v23"),
            registers!($set "ld1" $p ", {back}": "v24" "v25" "v26"),
            tap!($set $w1: "v17" "v20", "v18" "v21", "v19" "v22"),
            tap!($set $w2: "v13" "v20", "v14" "v21", "v15" "v22", "v16" "v23", "v17" "v24", "v18" "v25", "v19" "v26"),
        )
    };
}
/// Stride 2: 23 columns a tile.
macro_rules! stride_2_row {
    ($set:literal $p:literal, $w0:literal, $w1:literal, $w2:literal) => {
        concat!(
            twelve_columns!($set $p),
            tap!($set $w0: "v9" "v20", "v10" "v22", "v11" "v24", "v12" "v26", "v13" "v28", "v14" "v30"),
            tap!($set $w1: "v9" "v21", "v10" "v23", "v11" "v25", "v12" "v27", "v13" "v29", "v14" "v31"),
            tap!($set $w2: "v9" "v22", "v10" "v24", "v11" "v26", "v12" "v28", "v13" "v30"),
            registers!($set "ld1" $p ", #64": "v20" "v21" "v22" "v23"),
            registers!($set "ld1" $p ", #64": "v24" "v25" "v26" "v27"),
            registers!($set "ld1" $p ", {back}": "v28" "v29" "v30"),
            tap!($set $w0: "v15" "v20", "v16" "v22", "v17" "v24", "v18" "v26", "v19" "v28"),
            tap!($set $w1: "v15" "v21", "v16" "v23", "v17" "v25", "v18" "v27", "v19" "v29"),
            tap!($set $w2: "v14" "v20", "v15" "v22", "v16" "v24", "v17" "v26", "v18" "v28", "v19" "v30"),
        )
    };
}
/// Defines the function for a stride and rate: `$row!(row, weights)` expands to a row's instructions, which advance the
/// row's pointer by `$columns` pixels.
macro_rules! whole_line {
    ($set:literal, $element:ty, $features:meta, $name:ident, $row:ident, $stride:literal, $columns:literal) => {
        /// # Safety
        /// See [`WholeLine`].
        #[$features]
        pub(super) unsafe fn $name(line: &WholeLine<$element>) {
            // A vector of channels.
            let pixel = 16;
            // SAFETY: reads and writes only what the caller guarantees; all vector registers are named.
            unsafe {
                asm!(
                    registers!($set "ld1" "w" ", #64": "v0" "v1" "v2" "v3"),
                    registers!($set "ld1" "w" ", #64": "v4" "v5" "v6" "v7"),
                    registers!($set "ld1" "w" "": "v8"),
                    "2:",
                    registers!($set "ld1" "bias" "": "v9" "v10" "v11" "v12"),
                    registers!($set "ld1" "bias" "": "v13" "v14" "v15" "v16"),
                    registers!($set "ld1" "bias" "": "v17" "v18" "v19"),
                    $row!($set "p", "v0", "v1", "v2"),
                    $row!($set "q", "v3", "v4", "v5"),
                    $row!($set "r", "v6", "v7", "v8"),
                    "cbz {clamp}, 3f",
                    registers!($set "ld2r" "clamp" "": "v20" "v21"),
                    with_one!($set "fmax" "v20": "v9" "v10" "v11" "v12" "v13" "v14" "v15" "v16" "v17" "v18" "v19"),
                    with_one!($set "fmin" "v21": "v9" "v10" "v11" "v12" "v13" "v14" "v15" "v16" "v17" "v18" "v19"),
                    "3:",
                    "subs {tiles}, {tiles}, #1",
                    registers!($set "st1" "d" ", #64": "v9" "v10" "v11" "v12"),
                    registers!($set "st1" "d" ", #64": "v13" "v14" "v15" "v16"),
                    registers!($set "st1" "d" ", #48": "v17" "v18" "v19"),
                    "b.ne 2b",
                    p = inout(reg) line.rows[0] => _,
                    q = inout(reg) line.rows[1] => _,
                    r = inout(reg) line.rows[2] => _,
                    // Back to where the next tile starts.
                    back = in(reg) (OUTPUTS as isize * $stride - $columns) * pixel,
                    w = inout(reg) line.weights => _,
                    bias = in(reg) line.bias,
                    clamp = in(reg) line.clamp,
                    d = inout(reg) line.d => _,
                    tiles = inout(reg) line.tiles => _,
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                    out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
                    out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
                    out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _,
                    out("v29") _, out("v30") _, out("v31") _,
                    options(nostack),
                );
            }
        }
    };
}

mod f32x4 {
    use super::*;

    whole_line!("4s", f32, inline(always), rate_1, rate_1_row, 1, 12);
    whole_line!("4s", f32, inline(always), rate_2, rate_2_row, 1, 12);
    whole_line!("4s", f32, inline(always), rate_4, rate_4_row, 1, 16);
    whole_line!("4s", f32, inline(always), stride_2, stride_2_row, 2, 20);
}

mod f16x8 {
    use super::*;

    whole_line!("8h", f16, target_feature(enable = "neon,fp16"), rate_1, rate_1_row, 1, 12);
    whole_line!("8h", f16, target_feature(enable = "neon,fp16"), rate_2, rate_2_row, 1, 12);
    whole_line!("8h", f16, target_feature(enable = "neon,fp16"), rate_4, rate_4_row, 1, 16);
    whole_line!("8h", f16, target_feature(enable = "neon,fp16"), stride_2, stride_2_row, 2, 20);
}
