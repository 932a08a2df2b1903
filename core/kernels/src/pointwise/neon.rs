//! Whole tiles of the pointwise kernel in NEON assembly: sums, clamp, shortcut and stores. Compilers need more
//! instructions: they load one or two vectors at a time and copy the bias once per pixel, and the code outside the loop
//! matters when a product has few input channels.
//!
//! One instruction loads or stores up to four consecutive registers, so the sums of a vector of output channels are in
//! consecutive registers, pixel after pixel, as in memory. v0, v1, .. hold the pixels of a group of input channels (four
//! f32 or eight f16); four registers hold weights, starting anywhere in the panel's rows.

use core::arch::asm;

use half::f16;

use super::tiles::{MicroTiles, PointwiseTiles};
use crate::simd::Neon;
use crate::simd::half::NeonF16;

// SAFETY: a token exists only where the CPU has NEON.
unsafe impl PointwiseTiles for Neon {
    const VECTORS: usize = 4;
    // Seven pixels by three vectors load less per multiply-add than five by four.
    const PREFERRED: usize = 3;
    const PIXELS: [usize; 5] = [0, 8, 8, 7, 5];
    const MICRO_KERNEL: bool = true;
    const UNROLL: usize = 4;
    #[inline(always)]
    unsafe fn micro_kernel<const M: usize, const V: usize>(self, tiles: &MicroTiles<f32>) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            match (M, V) {
                (8, 2) => f32x4::eight_by_two(tiles),
                (7, 2) => f32x4::seven_by_two(tiles),
                (7, 3) => f32x4::seven_by_three(tiles),
                (6, 3) => f32x4::six_by_three(tiles),
                (5, 3) => f32x4::five_by_three(tiles),
                (5, 4) => f32x4::five_by_four(tiles),
                (4, 4) => f32x4::four_by_four(tiles),
                _ => return false,
            }
        }
        true
    }
}

// SAFETY: a token exists only where the CPU has f16 arithmetic.
unsafe impl PointwiseTiles for NeonF16 {
    const VECTORS: usize = 4;
    // Seven pixels by three vectors load less per multiply-add than five by four.
    const PREFERRED: usize = 3;
    const PIXELS: [usize; 5] = [0, 8, 8, 7, 5];
    const COMPILED: usize = 4;
    const MICRO_KERNEL: bool = true;
    const UNROLL: usize = 2;
    #[inline(always)]
    unsafe fn micro_kernel<const M: usize, const V: usize>(self, tiles: &MicroTiles<f16>) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            match (M, V) {
                (8, 1) => f16x8::eight_by_one(tiles),
                (7, 1) => f16x8::seven_by_one(tiles),
                (6, 1) => f16x8::six_by_one(tiles),
                (5, 1) => f16x8::five_by_one(tiles),
                (8, 2) => f16x8::eight_by_two(tiles),
                (7, 2) => f16x8::seven_by_two(tiles),
                (6, 2) => f16x8::six_by_two(tiles),
                (5, 2) => f16x8::five_by_two(tiles),
                (7, 3) => f16x8::seven_by_three(tiles),
                (6, 3) => f16x8::six_by_three(tiles),
                (5, 3) => f16x8::five_by_three(tiles),
                (5, 4) => f16x8::five_by_four(tiles),
                (4, 4) => f16x8::four_by_four(tiles),
                _ => return false,
            }
        }
        true
    }
}

// Macros that write instructions take the arrangement of a register and that of one of its lanes: `("4s" "s")` for f32,
// `("8h" "h")` for f16.

/// Moves up to eight registers: the first four at `$p`, the others at `$q`; both advance by `$step`. (The second
/// element of a register pair does not matter here.)
macro_rules! move_all {
    (($vector:literal $lane:literal) $op:literal $p:literal $q:literal $step:literal
        $a:literal $_a:tt $b:literal $_b:tt $c:literal $_c:tt $d:literal $_d:tt $($e:literal $_e:tt $($f:literal $_f:tt)*)?) => {
        concat!(
            $op, " {{", $a, ".", $vector, ", ", $b, ".", $vector, ", ", $c, ".", $vector, ", ", $d, ".",
            $vector, "}}, [{", $p, "}], {", $step, "}\n",
            $($op, " {{", $e, ".", $vector, $(", ", $f, ".", $vector,)* "}}, [{", $q, "}], {", $step, "}\n",)?
        )
    };
}

/// Adds a vector of weights times a channel (lane `$channel`) of the pixel to each sum.
macro_rules! multiply_add {
    (($vector:literal $element:literal) $weight:literal $channel:literal $($sum:literal $pixel:literal)+) => {
        concat!($("fmla ", $sum, ".", $vector, ", ", $weight, ".", $vector, ", ", $pixel, ".", $element, "[", $channel, "]\n",)+)
    };
}

/// Each register with its pair: `$op $sum, $sum, $pixel`.
macro_rules! with_pairs {
    (($vector:literal $lane:literal) $op:literal $($sum:literal $pixel:literal)+) => {
        concat!($($op, " ", $sum, ".", $vector, ", ", $sum, ".", $vector, ", ", $pixel, ".", $vector, "\n",)+)
    };
}

/// Each register with one other: `$op $sum, $sum, $other`.
macro_rules! with_one {
    (($vector:literal $lane:literal) $op:literal $other:literal $($sum:literal $_pixel:literal)+) => {
        concat!($($op, " ", $sum, ".", $vector, ", ", $sum, ".", $vector, ", ", $other, ".", $vector, "\n",)+)
    };
}

/// The multiply-adds of four input channels of a tile. Arguments of a step: vector of output channels, register of its
/// weights, channel.
macro_rules! steps {
    (($vector:literal $element:literal) $tile:ident, $a:literal $b:literal $c:literal $d:literal, $($($v:tt $weight:literal $lane:literal),+;)+) => {
        concat!($(
            "ld1 {{", $a, ".", $vector, ", ", $b, ".", $vector, ", ", $c, ".", $vector, ", ", $d, ".",
            $vector, "}}, [{w}], #64\n",
            $($tile!($v, multiply_add ($vector $element) $weight $lane),)+
        )+)
    };
}
macro_rules! one_vector {
    ($set:tt $tile:ident $i:literal $j:literal $k:literal $l:literal) => {
        steps!($set $tile, "v8" "v9" "v10" "v11",
            0 "v8" $i, 0 "v9" $j, 0 "v10" $k, 0 "v11" $l;)
    };
}
macro_rules! two_vectors {
    ($set:tt $tile:ident $i:literal $j:literal $k:literal $l:literal) => {
        steps!($set $tile, "v8" "v9" "v10" "v11",
            0 "v8" $i, 1 "v9" $i, 0 "v10" $j, 1 "v11" $j;
            0 "v8" $k, 1 "v9" $k, 0 "v10" $l, 1 "v11" $l;)
    };
}
macro_rules! three_vectors {
    ($set:tt $tile:ident $i:literal $j:literal $k:literal $l:literal) => {
        steps!($set $tile, "v7" "v8" "v9" "v10",
            0 "v7" $i, 1 "v8" $i, 2 "v9" $i, 0 "v10" $j;
            1 "v7" $j, 2 "v8" $j, 0 "v9" $k, 1 "v10" $k;
            2 "v7" $k, 0 "v8" $l, 1 "v9" $l, 2 "v10" $l;)
    };
}
macro_rules! four_vectors {
    ($set:tt $tile:ident $i:literal $j:literal $k:literal $l:literal) => {
        steps!($set $tile, "v8" "v9" "v10" "v11",
            0 "v8" $i, 1 "v9" $i, 2 "v10" $i, 3 "v11" $i;
            0 "v8" $j, 1 "v9" $j, 2 "v10" $j, 3 "v11" $j;
            0 "v8" $k, 1 "v9" $k, 2 "v10" $k, 3 "v11" $k;
            0 "v8" $l, 1 "v9" $l, 2 "v10" $l, 3 "v11" $l;)
    };
}

/// A group of input channels: its pixels, then its channels four at a time.
macro_rules! group {
    (four $set:tt $tile:ident $vectors:ident) => {
        concat!(
            $tile!(pixels, move_all $set "ld1" "a" "a4" "a_group"),
            $vectors!($set $tile "0" "1" "2" "3"),
        )
    };
    (eight $set:tt $tile:ident $vectors:ident) => {
        concat!(
            $tile!(pixels, move_all $set "ld1" "a" "a4" "a_group"),
            $vectors!($set $tile "0" "1" "2" "3"),
            $vectors!($set $tile "4" "5" "6" "7"),
        )
    };
}

/// As many groups as one iteration of the loop takes (`UNROLL`): sixteen channels.
macro_rules! groups {
    (four $set:tt $tile:ident $vectors:ident) => {
        concat!(
            group!(four $set $tile $vectors),
            group!(four $set $tile $vectors),
            group!(four $set $tile $vectors),
            group!(four $set $tile $vectors),
        )
    };
    (eight $set:tt $tile:ident $vectors:ident) => {
        concat!(group!(eight $set $tile $vectors), group!(eight $set $tile $vectors))
    };
}

/// Defines the function for tiles of `$pixels` pixels. `$tile` describes their registers: `$tile!(v, then)` passes
/// those of vector `v` to `then`.
macro_rules! micro_kernel {
    ($channels:ident $set:tt $vector:literal, $element:ty, $features:meta, $tile:ident, $pixels:literal, $vectors:ident, $($v:tt)+) => {
        /// # Safety
        /// See [`MicroTiles`].
        #[$features]
        pub(super) unsafe fn $tile(t: &MicroTiles<$element>) {
            let bytes = size_of::<$element>();
            // SAFETY: reads and writes only what the caller guarantees; all vector registers are named.
            unsafe {
                asm!(
                    "/* {a4}: not all tiles have more than four pixels */",
                    "2:",
                    "mov {begin}, {init}",
                    "add {other}, {init}, {init_more}",
                    $($tile!($v, move_all $set "ld1" "begin" "other" "init_group"),)+
                    "mov {a}, {first}",
                    "add {a4}, {first}, #64",
                    "mov {w}, {weights}",
                    // Several groups of input channels per iteration, then the remainder.
                    "mov {n}, {turns}",
                    "cbz {n}, 4f",
                    "3:",
                    groups!($channels $set $tile $vectors),
                    "subs {n}, {n}, #1",
                    "b.ne 3b",
                    "4:",
                    "cbz {rest}, 6f",
                    "mov {n}, {rest}",
                    "5:",
                    group!($channels $set $tile $vectors),
                    "subs {n}, {n}, #1",
                    "b.ne 5b",
                    "6:",
                    "cbz {clamp}, 7f",
                    concat!("ld2r {{v0.", $vector, ", v1.", $vector, "}}, [{clamp}]"),
                    $($tile!($v, with_one $set "fmax" "v0"),)+
                    $($tile!($v, with_one $set "fmin" "v1"),)+
                    "7:",
                    "cbz {residual}, 8f",
                    "mov {begin}, {residual}",
                    "add {other}, {residual}, #64",
                    $($tile!(pixels, move_all $set "ld1" "begin" "other" "residual_group"), $tile!($v, with_pairs $set "fadd"),)+
                    "add {residual}, {residual}, #{tile}",
                    "8:",
                    "mov {begin}, {c}",
                    "add {other}, {c}, #64",
                    $($tile!($v, move_all $set "st1" "begin" "other" "c_group"),)+
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
    (pixels, $then:ident $($with:tt)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _ "v5" _ "v6" _ "v7" _) };
    (0, $then:ident $($with:tt)*) => { $then!($($with)* "v16" "v0" "v17" "v1" "v18" "v2" "v19" "v3" "v20" "v4" "v21" "v5" "v22" "v6" "v23" "v7") };
    (1, $then:ident $($with:tt)*) => { $then!($($with)* "v24" "v0" "v25" "v1" "v26" "v2" "v27" "v3" "v28" "v4" "v29" "v5" "v30" "v6" "v31" "v7") };
}

macro_rules! seven_by_two {
    (pixels, $then:ident $($with:tt)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _ "v5" _ "v6" _) };
    (0, $then:ident $($with:tt)*) => { $then!($($with)* "v16" "v0" "v17" "v1" "v18" "v2" "v19" "v3" "v20" "v4" "v21" "v5" "v22" "v6") };
    (1, $then:ident $($with:tt)*) => { $then!($($with)* "v24" "v0" "v25" "v1" "v26" "v2" "v27" "v3" "v28" "v4" "v29" "v5" "v30" "v6") };
}

macro_rules! seven_by_three {
    (pixels, $then:ident $($with:tt)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _ "v5" _ "v6" _) };
    (0, $then:ident $($with:tt)*) => { $then!($($with)* "v11" "v0" "v12" "v1" "v13" "v2" "v14" "v3" "v15" "v4" "v16" "v5" "v17" "v6") };
    (1, $then:ident $($with:tt)*) => { $then!($($with)* "v18" "v0" "v19" "v1" "v20" "v2" "v21" "v3" "v22" "v4" "v23" "v5" "v24" "v6") };
    (2, $then:ident $($with:tt)*) => { $then!($($with)* "v25" "v0" "v26" "v1" "v27" "v2" "v28" "v3" "v29" "v4" "v30" "v5" "v31" "v6") };
}

macro_rules! six_by_three {
    (pixels, $then:ident $($with:tt)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _ "v5" _) };
    (0, $then:ident $($with:tt)*) => { $then!($($with)* "v11" "v0" "v12" "v1" "v13" "v2" "v14" "v3" "v15" "v4" "v16" "v5") };
    (1, $then:ident $($with:tt)*) => { $then!($($with)* "v18" "v0" "v19" "v1" "v20" "v2" "v21" "v3" "v22" "v4" "v23" "v5") };
    (2, $then:ident $($with:tt)*) => { $then!($($with)* "v25" "v0" "v26" "v1" "v27" "v2" "v28" "v3" "v29" "v4" "v30" "v5") };
}

macro_rules! five_by_three {
    (pixels, $then:ident $($with:tt)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _) };
    (0, $then:ident $($with:tt)*) => { $then!($($with)* "v11" "v0" "v12" "v1" "v13" "v2" "v14" "v3" "v15" "v4") };
    (1, $then:ident $($with:tt)*) => { $then!($($with)* "v18" "v0" "v19" "v1" "v20" "v2" "v21" "v3" "v22" "v4") };
    (2, $then:ident $($with:tt)*) => { $then!($($with)* "v25" "v0" "v26" "v1" "v27" "v2" "v28" "v3" "v29" "v4") };
}

macro_rules! five_by_four {
    (pixels, $then:ident $($with:tt)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _) };
    (0, $then:ident $($with:tt)*) => { $then!($($with)* "v12" "v0" "v13" "v1" "v14" "v2" "v15" "v3" "v16" "v4") };
    (1, $then:ident $($with:tt)*) => { $then!($($with)* "v17" "v0" "v18" "v1" "v19" "v2" "v20" "v3" "v21" "v4") };
    (2, $then:ident $($with:tt)*) => { $then!($($with)* "v22" "v0" "v23" "v1" "v24" "v2" "v25" "v3" "v26" "v4") };
    (3, $then:ident $($with:tt)*) => { $then!($($with)* "v27" "v0" "v28" "v1" "v29" "v2" "v30" "v3" "v31" "v4") };
}

macro_rules! four_by_four {
    (pixels, $then:ident $($with:tt)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _) };
    (0, $then:ident $($with:tt)*) => { $then!($($with)* "v12" "v0" "v13" "v1" "v14" "v2" "v15" "v3") };
    (1, $then:ident $($with:tt)*) => { $then!($($with)* "v17" "v0" "v18" "v1" "v19" "v2" "v20" "v3") };
    (2, $then:ident $($with:tt)*) => { $then!($($with)* "v22" "v0" "v23" "v1" "v24" "v2" "v25" "v3") };
    (3, $then:ident $($with:tt)*) => { $then!($($with)* "v27" "v0" "v28" "v1" "v29" "v2" "v30" "v3") };
}

macro_rules! eight_by_one {
    (pixels, $then:ident $($with:tt)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _ "v5" _ "v6" _ "v7" _) };
    (0, $then:ident $($with:tt)*) => { $then!($($with)* "v16" "v0" "v17" "v1" "v18" "v2" "v19" "v3" "v20" "v4" "v21" "v5" "v22" "v6" "v23" "v7") };
}

macro_rules! seven_by_one {
    (pixels, $then:ident $($with:tt)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _ "v5" _ "v6" _) };
    (0, $then:ident $($with:tt)*) => { $then!($($with)* "v16" "v0" "v17" "v1" "v18" "v2" "v19" "v3" "v20" "v4" "v21" "v5" "v22" "v6") };
}

macro_rules! six_by_one {
    (pixels, $then:ident $($with:tt)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _ "v5" _) };
    (0, $then:ident $($with:tt)*) => { $then!($($with)* "v16" "v0" "v17" "v1" "v18" "v2" "v19" "v3" "v20" "v4" "v21" "v5") };
}

macro_rules! five_by_one {
    (pixels, $then:ident $($with:tt)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _) };
    (0, $then:ident $($with:tt)*) => { $then!($($with)* "v16" "v0" "v17" "v1" "v18" "v2" "v19" "v3" "v20" "v4") };
}

macro_rules! six_by_two {
    (pixels, $then:ident $($with:tt)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _ "v5" _) };
    (0, $then:ident $($with:tt)*) => { $then!($($with)* "v16" "v0" "v17" "v1" "v18" "v2" "v19" "v3" "v20" "v4" "v21" "v5") };
    (1, $then:ident $($with:tt)*) => { $then!($($with)* "v24" "v0" "v25" "v1" "v26" "v2" "v27" "v3" "v28" "v4" "v29" "v5") };
}

macro_rules! five_by_two {
    (pixels, $then:ident $($with:tt)*) => { $then!($($with)* "v0" _ "v1" _ "v2" _ "v3" _ "v4" _) };
    (0, $then:ident $($with:tt)*) => { $then!($($with)* "v16" "v0" "v17" "v1" "v18" "v2" "v19" "v3" "v20" "v4") };
    (1, $then:ident $($with:tt)*) => { $then!($($with)* "v24" "v0" "v25" "v1" "v26" "v2" "v27" "v3" "v28" "v4") };
}

mod f32x4 {
    use super::*;

    micro_kernel!(four ("4s" "s") "4s", f32, inline(always), eight_by_two, 8, two_vectors, 0 1);
    micro_kernel!(four ("4s" "s") "4s", f32, inline(always), seven_by_two, 7, two_vectors, 0 1);
    micro_kernel!(four ("4s" "s") "4s", f32, inline(always), seven_by_three, 7, three_vectors, 0 1 2);
    micro_kernel!(four ("4s" "s") "4s", f32, inline(always), six_by_three, 6, three_vectors, 0 1 2);
    micro_kernel!(four ("4s" "s") "4s", f32, inline(always), five_by_three, 5, three_vectors, 0 1 2);
    micro_kernel!(four ("4s" "s") "4s", f32, inline(always), five_by_four, 5, four_vectors, 0 1 2 3);
    micro_kernel!(four ("4s" "s") "4s", f32, inline(always), four_by_four, 4, four_vectors, 0 1 2 3);
}

mod f16x8 {
    use super::*;

    micro_kernel!(eight ("8h" "h") "8h", f16, target_feature(enable = "neon,fp16"), eight_by_one, 8, one_vector, 0);
    micro_kernel!(eight ("8h" "h") "8h", f16, target_feature(enable = "neon,fp16"), seven_by_one, 7, one_vector, 0);
    micro_kernel!(eight ("8h" "h") "8h", f16, target_feature(enable = "neon,fp16"), six_by_one, 6, one_vector, 0);
    micro_kernel!(eight ("8h" "h") "8h", f16, target_feature(enable = "neon,fp16"), five_by_one, 5, one_vector, 0);
    micro_kernel!(eight ("8h" "h") "8h", f16, target_feature(enable = "neon,fp16"), six_by_two, 6, two_vectors, 0 1);
    micro_kernel!(eight ("8h" "h") "8h", f16, target_feature(enable = "neon,fp16"), five_by_two, 5, two_vectors, 0 1);
    micro_kernel!(eight ("8h" "h") "8h", f16, target_feature(enable = "neon,fp16"), eight_by_two, 8, two_vectors, 0 1);
    micro_kernel!(eight ("8h" "h") "8h", f16, target_feature(enable = "neon,fp16"), seven_by_two, 7, two_vectors, 0 1);
    micro_kernel!(eight ("8h" "h") "8h", f16, target_feature(enable = "neon,fp16"), seven_by_three, 7, three_vectors, 0 1 2);
    micro_kernel!(eight ("8h" "h") "8h", f16, target_feature(enable = "neon,fp16"), six_by_three, 6, three_vectors, 0 1 2);
    micro_kernel!(eight ("8h" "h") "8h", f16, target_feature(enable = "neon,fp16"), five_by_three, 5, three_vectors, 0 1 2);
    micro_kernel!(eight ("8h" "h") "8h", f16, target_feature(enable = "neon,fp16"), five_by_four, 5, four_vectors, 0 1 2 3);
    micro_kernel!(eight ("8h" "h") "8h", f16, target_feature(enable = "neon,fp16"), four_by_four, 4, four_vectors, 0 1 2 3);
}
