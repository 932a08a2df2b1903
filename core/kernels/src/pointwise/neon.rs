//! Whole tiles of the pointwise kernel in NEON assembly: sums, clamp, shortcut and stores. Compilers need more
//! instructions: they load one or two vectors at a time and copy the bias once per pixel, and the code outside the loop
//! matters when a product has few input channels.
//!
//! One instruction loads or stores up to four consecutive registers, so the sums of a vector of output channels are in
//! consecutive registers, pixel after pixel, as in memory. v0, v1, .. hold the pixels of four input channels; four
//! registers hold weights, starting anywhere in the panel's rows.

use core::arch::asm;

use super::tiles::{MicroTiles, PointwiseTiles};
use crate::simd::Neon;

// SAFETY: a token exists only where the CPU has NEON.
unsafe impl PointwiseTiles for Neon {
    const VECTORS: usize = 4;
    // Seven pixels by three vectors load less per multiply-add than five by four.
    const PREFERRED: usize = 3;
    const PIXELS: [usize; 5] = [0, 8, 8, 7, 5];
    const MICRO_KERNEL: bool = true;
    #[inline(always)]
    unsafe fn micro_kernel<const M: usize, const V: usize>(self, tiles: &MicroTiles) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            match (M, V) {
                (8, 2) => eight_by_two(tiles),
                (7, 2) => seven_by_two(tiles),
                (7, 3) => seven_by_three(tiles),
                (6, 3) => six_by_three(tiles),
                (5, 3) => five_by_three(tiles),
                (5, 4) => five_by_four(tiles),
                (4, 4) => four_by_four(tiles),
                _ => return false,
            }
        }
        true
    }
}

/// Moves up to eight registers: the first four at `$p`, the others at `$q`; both advance by `$step`. (The second
/// element of a register pair does not matter here.)
macro_rules! move_all {
    ($op:literal $p:literal $q:literal $step:literal
        $a:literal $_a:tt $b:literal $_b:tt $c:literal $_c:tt $d:literal $_d:tt $($e:literal $_e:tt $($f:literal $_f:tt)*)?) => {
        concat!(
            $op, " {{", $a, ".4s, ", $b, ".4s, ", $c, ".4s, ", $d, ".4s}}, [{", $p, "}], {", $step, "}\n",
            $($op, " {{", $e, ".4s", $(", ", $f, ".4s",)* "}}, [{", $q, "}], {", $step, "}\n",)?
        )
    };
}

/// Adds a vector of weights times a channel (lane `$lane`) of the pixel to each sum.
macro_rules! multiply_add {
    ($weight:literal $lane:literal $($sum:literal $pixel:literal)+) => {
        concat!($("fmla ", $sum, ".4s, ", $weight, ".4s, ", $pixel, ".s[", $lane, "]\n",)+)
    };
}

/// Each register with its pair: `$op $sum, $sum, $pixel`.
macro_rules! with_pairs {
    ($op:literal $($sum:literal $pixel:literal)+) => {
        concat!($($op, " ", $sum, ".4s, ", $sum, ".4s, ", $pixel, ".4s\n",)+)
    };
}

/// Each register with one other: `$op $sum, $sum, $other`.
macro_rules! with_one {
    ($op:literal $other:literal $($sum:literal $_pixel:literal)+) => {
        concat!($($op, " ", $sum, ".4s, ", $sum, ".4s, ", $other, ".4s\n",)+)
    };
}

/// Four input channels of a tile. Arguments of a step: vector of output channels, register of its weights, channel.
macro_rules! steps {
    ($tile:ident, $weights:literal, $($($v:tt $weight:literal $lane:literal),+;)+) => {
        concat!(
            $tile!(pixels, move_all "ld1" "a" "a4" "a_group"),
            $("ld1 {{", $weights, "}}, [{w}], #64\n", $($tile!($v, multiply_add $weight $lane),)+)+
        )
    };
}
macro_rules! two_vectors {
    ($tile:ident) => {
        steps!($tile, "v8.4s, v9.4s, v10.4s, v11.4s",
            0 "v8" "0", 1 "v9" "0", 0 "v10" "1", 1 "v11" "1";
            0 "v8" "2", 1 "v9" "2", 0 "v10" "3", 1 "v11" "3";)
    };
}
macro_rules! three_vectors {
    ($tile:ident) => {
        steps!($tile, "v7.4s, v8.4s, v9.4s, v10.4s",
            0 "v7" "0", 1 "v8" "0", 2 "v9" "0", 0 "v10" "1";
            1 "v7" "1", 2 "v8" "1", 0 "v9" "2", 1 "v10" "2";
            2 "v7" "2", 0 "v8" "3", 1 "v9" "3", 2 "v10" "3";)
    };
}
macro_rules! four_vectors {
    ($tile:ident) => {
        steps!($tile, "v8.4s, v9.4s, v10.4s, v11.4s",
            0 "v8" "0", 1 "v9" "0", 2 "v10" "0", 3 "v11" "0";
            0 "v8" "1", 1 "v9" "1", 2 "v10" "1", 3 "v11" "1";
            0 "v8" "2", 1 "v9" "2", 2 "v10" "2", 3 "v11" "2";
            0 "v8" "3", 1 "v9" "3", 2 "v10" "3", 3 "v11" "3";)
    };
}

/// Defines the function for tiles of `$pixels` pixels. `$tile` describes their registers: `$tile!(v, then)` passes
/// those of vector `v` to `then`.
macro_rules! micro_kernel {
    ($name:ident, $tile:ident, $pixels:literal, $four_channels:ident, $($v:tt)+) => {
        /// # Safety
        /// See [`MicroTiles`].
        #[inline(always)]
        unsafe fn $name(t: &MicroTiles) {
            let bytes = size_of::<f32>();
            // SAFETY: reads and writes only what the caller guarantees; all vector registers are named.
            unsafe {
                asm!(
                    "/* {a4}: not all tiles have more than four pixels */",
                    "2:",
                    "mov {begin}, {init}",
                    "add {other}, {init}, {init_more}",
                    $($tile!($v, move_all "ld1" "begin" "other" "init_group"),)+
                    "mov {a}, {first}",
                    "add {a4}, {first}, #64",
                    "mov {w}, {weights}",
                    // Four groups of input channels per iteration, then the remainder.
                    "mov {n}, {turns}",
                    "cbz {n}, 4f",
                    "3:",
                    $four_channels!($tile), $four_channels!($tile), $four_channels!($tile), $four_channels!($tile),
                    "subs {n}, {n}, #1",
                    "b.ne 3b",
                    "4:",
                    "cbz {rest}, 6f",
                    "mov {n}, {rest}",
                    "5:",
                    $four_channels!($tile),
                    "subs {n}, {n}, #1",
                    "b.ne 5b",
                    "6:",
                    "cbz {clamp}, 7f",
                    "ld2r {{v0.4s, v1.4s}}, [{clamp}]",
                    $($tile!($v, with_one "fmax" "v0"),)+
                    $($tile!($v, with_one "fmin" "v1"),)+
                    "7:",
                    "cbz {residual}, 8f",
                    "mov {begin}, {residual}",
                    "add {other}, {residual}, #64",
                    $($tile!(pixels, move_all "ld1" "begin" "other" "residual_group"), $tile!($v, with_pairs "fadd"),)+
                    "add {residual}, {residual}, #{tile}",
                    "8:",
                    "mov {begin}, {c}",
                    "add {other}, {c}, #64",
                    $($tile!($v, move_all "st1" "begin" "other" "c_group"),)+
                    // The next tile's pixels follow this one's.
                    "add {first}, {first}, #{tile}",
                    "add {init}, {init}, {init_tile}",
                    "add {c}, {c}, #{tile}",
                    "subs {tiles}, {tiles}, #1",
                    "b.ne 2b",
                    first = inout(reg) t.a => _,
                    a_group = in(reg) t.a_group * bytes,
                    turns = in(reg) t.turns,
                    rest = in(reg) t.rest,
                    weights = in(reg) t.w,
                    init = inout(reg) t.init => _,
                    init_group = in(reg) t.init_group * bytes,
                    init_more = in(reg) t.init_more * bytes,
                    init_tile = in(reg) t.init_tile * bytes,
                    clamp = in(reg) t.clamp,
                    residual = inout(reg) t.residual => _,
                    residual_group = in(reg) t.residual_group * bytes,
                    c = inout(reg) t.c => _,
                    c_group = in(reg) t.c_group * bytes,
                    tiles = inout(reg) t.tiles => _,
                    tile = const $pixels * 16,
                    a = out(reg) _,
                    a4 = out(reg) _,
                    w = out(reg) _,
                    n = out(reg) _,
                    begin = out(reg) _,
                    other = out(reg) _,
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

macro_rules! eight_by_two {
    (pixels, $then:ident $($with:literal)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _ "v5" _ "v6" _ "v7" _) };
    (0, $then:ident $($with:literal)*) => { $then!($($with)* "v16" "v0" "v17" "v1" "v18" "v2" "v19" "v3" "v20" "v4" "v21" "v5" "v22" "v6" "v23" "v7") };
    (1, $then:ident $($with:literal)*) => { $then!($($with)* "v24" "v0" "v25" "v1" "v26" "v2" "v27" "v3" "v28" "v4" "v29" "v5" "v30" "v6" "v31" "v7") };
}
micro_kernel!(eight_by_two, eight_by_two, 8, two_vectors, 0 1);

macro_rules! seven_by_two {
    (pixels, $then:ident $($with:literal)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _ "v5" _ "v6" _) };
    (0, $then:ident $($with:literal)*) => { $then!($($with)* "v16" "v0" "v17" "v1" "v18" "v2" "v19" "v3" "v20" "v4" "v21" "v5" "v22" "v6") };
    (1, $then:ident $($with:literal)*) => { $then!($($with)* "v24" "v0" "v25" "v1" "v26" "v2" "v27" "v3" "v28" "v4" "v29" "v5" "v30" "v6") };
}
micro_kernel!(seven_by_two, seven_by_two, 7, two_vectors, 0 1);

macro_rules! seven_by_three {
    (pixels, $then:ident $($with:literal)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _ "v5" _ "v6" _) };
    (0, $then:ident $($with:literal)*) => { $then!($($with)* "v11" "v0" "v12" "v1" "v13" "v2" "v14" "v3" "v15" "v4" "v16" "v5" "v17" "v6") };
    (1, $then:ident $($with:literal)*) => { $then!($($with)* "v18" "v0" "v19" "v1" "v20" "v2" "v21" "v3" "v22" "v4" "v23" "v5" "v24" "v6") };
    (2, $then:ident $($with:literal)*) => { $then!($($with)* "v25" "v0" "v26" "v1" "v27" "v2" "v28" "v3" "v29" "v4" "v30" "v5" "v31" "v6") };
}
micro_kernel!(seven_by_three, seven_by_three, 7, three_vectors, 0 1 2);

macro_rules! six_by_three {
    (pixels, $then:ident $($with:literal)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _ "v5" _) };
    (0, $then:ident $($with:literal)*) => { $then!($($with)* "v11" "v0" "v12" "v1" "v13" "v2" "v14" "v3" "v15" "v4" "v16" "v5") };
    (1, $then:ident $($with:literal)*) => { $then!($($with)* "v18" "v0" "v19" "v1" "v20" "v2" "v21" "v3" "v22" "v4" "v23" "v5") };
    (2, $then:ident $($with:literal)*) => { $then!($($with)* "v25" "v0" "v26" "v1" "v27" "v2" "v28" "v3" "v29" "v4" "v30" "v5") };
}
micro_kernel!(six_by_three, six_by_three, 6, three_vectors, 0 1 2);

macro_rules! five_by_three {
    (pixels, $then:ident $($with:literal)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _) };
    (0, $then:ident $($with:literal)*) => { $then!($($with)* "v11" "v0" "v12" "v1" "v13" "v2" "v14" "v3" "v15" "v4") };
    (1, $then:ident $($with:literal)*) => { $then!($($with)* "v18" "v0" "v19" "v1" "v20" "v2" "v21" "v3" "v22" "v4") };
    (2, $then:ident $($with:literal)*) => { $then!($($with)* "v25" "v0" "v26" "v1" "v27" "v2" "v28" "v3" "v29" "v4") };
}
micro_kernel!(five_by_three, five_by_three, 5, three_vectors, 0 1 2);

macro_rules! five_by_four {
    (pixels, $then:ident $($with:literal)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _) };
    (0, $then:ident $($with:literal)*) => { $then!($($with)* "v12" "v0" "v13" "v1" "v14" "v2" "v15" "v3" "v16" "v4") };
    (1, $then:ident $($with:literal)*) => { $then!($($with)* "v17" "v0" "v18" "v1" "v19" "v2" "v20" "v3" "v21" "v4") };
    (2, $then:ident $($with:literal)*) => { $then!($($with)* "v22" "v0" "v23" "v1" "v24" "v2" "v25" "v3" "v26" "v4") };
    (3, $then:ident $($with:literal)*) => { $then!($($with)* "v27" "v0" "v28" "v1" "v29" "v2" "v30" "v3" "v31" "v4") };
}
micro_kernel!(five_by_four, five_by_four, 5, four_vectors, 0 1 2 3);

macro_rules! four_by_four {
    (pixels, $then:ident $($with:literal)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _) };
    (0, $then:ident $($with:literal)*) => { $then!($($with)* "v12" "v0" "v13" "v1" "v14" "v2" "v15" "v3") };
    (1, $then:ident $($with:literal)*) => { $then!($($with)* "v17" "v0" "v18" "v1" "v19" "v2" "v20" "v3") };
    (2, $then:ident $($with:literal)*) => { $then!($($with)* "v22" "v0" "v23" "v1" "v24" "v2" "v25" "v3") };
    (3, $then:ident $($with:literal)*) => { $then!($($with)* "v27" "v0" "v28" "v1" "v29" "v2" "v30" "v3") };
}
micro_kernel!(four_by_four, four_by_four, 4, four_vectors, 0 1 2 3);
