//! Whole tiles of the pointwise product of bytes in assembly, for NEON: initial sums, products, scaling and stores. Compilers
//! move the sums to memory and back, and need twice as many instructions.

/// Scales the four sums of a pixel, narrows them to bytes, adds the zero point, clamps, and stores. Arguments: sums; mantissas;
/// negative shifts; a register to use; zero point, least and greatest output.
macro_rules! finish {
    ($a:tt $b:tt $c:tt $d:tt, $ma:tt $mb:tt $mc:tt $md:tt, $ra:tt $rb:tt $rc:tt $rd:tt, $x:tt, $zero:tt $low:tt $high:tt) => {
        concat!(
            finish!(three "sqrdmulh" $a $ma $b $mb $c $mc $d $md),
            // Ties of negative sums are rounded down, away from zero.
            "cbz {ties}, 9f\n",
            finish!(nudge $x $a $ra $b $rb $c $rc $d $rd),
            "9:\n",
            finish!(three "srshl" $a $ra $b $rb $c $rc $d $rd),
            "sqxtn ", $a, ".4h, ", $a, ".4s\n",
            "sqxtn2 ", $a, ".8h, ", $b, ".4s\n",
            "sqxtn ", $c, ".4h, ", $c, ".4s\n",
            "sqxtn2 ", $c, ".8h, ", $d, ".4s\n",
            "sqadd ", $a, ".8h, ", $a, ".8h, ", $zero, ".8h\n",
            "sqadd ", $c, ".8h, ", $c, ".8h, ", $zero, ".8h\n",
            "sqxtn ", $a, ".8b, ", $a, ".8h\n",
            "sqxtn2 ", $a, ".16b, ", $c, ".8h\n",
            "smax ", $a, ".16b, ", $a, ".16b, ", $low, ".16b\n",
            "smin ", $a, ".16b, ", $a, ".16b, ", $high, ".16b\n",
            "st1 {{", $a, ".16b}}, [{c}], #16\n",
        )
    };
    (three $op:literal $($a:tt $b:tt)+) => {
        concat!($($op, " ", $a, ".4s, ", $a, ".4s, ", $b, ".4s\n",)+)
    };
    (nudge $x:tt $($a:tt $r:tt)+) => {
        concat!($(
            "and ", $x, ".16b, ", $a, ".16b, ", $r, ".16b\n",
            "sshr ", $x, ".4s, ", $x, ".4s, #31\n",
            "sqadd ", $a, ".4s, ", $a, ".4s, ", $x, ".4s\n",
        )+)
    };
}

/// By `sdot`: v0 to v4 hold sixteen inputs of a pixel each, v8 to v11 four weights of each of sixteen outputs, v12 to v31 the
/// sums, v5 to v7 zero point and bounds.
pub(super) mod dots {
    use core::arch::asm;

    use crate::int8::vector::Tiles;

    /// Four inputs of every pixel: the `$l`th four of a block. Arguments: a pixel's register, its sums'.
    macro_rules! lane {
        ($l:literal $(, $p:tt $a:tt $b:tt $c:tt $d:tt)+) => {
            concat!(
                "ld1 {{v8.16b, v9.16b, v10.16b, v11.16b}}, [{w}], #64\n",
                $("sdot ", $a, ".4s, v8.16b, ", $p, ".4b[", $l, "]\n",)+
                $("sdot ", $b, ".4s, v9.16b, ", $p, ".4b[", $l, "]\n",)+
                $("sdot ", $c, ".4s, v10.16b, ", $p, ".4b[", $l, "]\n",)+
                $("sdot ", $d, ".4s, v11.16b, ", $p, ".4b[", $l, "]\n",)+
            )
        };
    }

    /// Defines the function for tiles of `$pixels` pixels: how those are loaded, then pixel and sums of each.
    macro_rules! tile {
        ($name:ident, $pixels:literal, $load:literal $(, $p:tt $a:tt $b:tt $c:tt $d:tt)+) => {
            /// # Safety
            /// The CPU has `sdot`; see [`Tiles`].
            #[inline]
            #[target_feature(enable = "neon,dotprod")]
            pub(crate) unsafe fn $name(t: &Tiles) {
                // SAFETY: reads and writes only what the caller guarantees; all vector registers are named.
                unsafe {
                    asm!(
                        "/* {q}: not all tiles have more than four pixels */",
                        "ld1r {{v5.8h}}, [{zero}]",
                        "ld1r {{v6.16b}}, [{low}]",
                        "ld1r {{v7.16b}}, [{high}]",
                        "2:",
                        "cbz {less}, 3f",
                        "ld1 {{v8.4s, v9.4s, v10.4s, v11.4s}}, [{bias}]",
                        $(concat!(
                            "ld1r {{v0.4s}}, [{less}], #4\n",
                            "add ", $a, ".4s, v8.4s, v0.4s\n",
                            "add ", $b, ".4s, v9.4s, v0.4s\n",
                            "add ", $c, ".4s, v10.4s, v0.4s\n",
                            "add ", $d, ".4s, v11.4s, v0.4s\n",
                        ),)+
                        "b 4f",
                        "3:",
                        $(concat!("ld1 {{", $a, ".4s, ", $b, ".4s, ", $c, ".4s, ", $d, ".4s}}, [{bias}]\n"),)+
                        "4:",
                        "mov {p}, {first}",
                        "add {q}, {first}, #64",
                        "mov {w}, {weights}",
                        "mov {n}, {blocks}",
                        "cbz {n}, 6f",
                        "5:",
                        $load,
                        lane!("0" $(, $p $a $b $c $d)+),
                        lane!("1" $(, $p $a $b $c $d)+),
                        lane!("2" $(, $p $a $b $c $d)+),
                        lane!("3" $(, $p $a $b $c $d)+),
                        "subs {n}, {n}, #1",
                        "b.ne 5b",
                        "6:",
                        "cbz {rest}, 7f",
                        $load,
                        lane!("0" $(, $p $a $b $c $d)+),
                        "cmp {rest}, #2",
                        "b.lo 7f",
                        lane!("1" $(, $p $a $b $c $d)+),
                        "cmp {rest}, #2",
                        "b.eq 7f",
                        lane!("2" $(, $p $a $b $c $d)+),
                        "7:",
                        "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{mantissa}]",
                        "ld1 {{v8.4s, v9.4s, v10.4s, v11.4s}}, [{shift}]",
                        $(finish!($a $b $c $d, "v0" "v1" "v2" "v3", "v8" "v9" "v10" "v11", "v4", "v5" "v6" "v7"),)+
                        "add {first}, {first}, #{tile}",
                        "subs {tiles}, {tiles}, #1",
                        "b.ne 2b",
                        first = inout(reg) t.first => _,
                        group = in(reg) t.block,
                        blocks = in(reg) t.blocks,
                        rest = in(reg) t.rest,
                        weights = in(reg) t.w,
                        bias = in(reg) t.bias,
                        less = inout(reg) t.less => _,
                        mantissa = in(reg) t.mantissa,
                        shift = in(reg) t.shift,
                        zero = in(reg) &raw const t.zero,
                        low = in(reg) &raw const t.low,
                        high = in(reg) &raw const t.high,
                        ties = in(reg) t.ties,
                        c = inout(reg) t.c => _,
                        tiles = inout(reg) t.count => _,
                        tile = const $pixels * 16,
                        p = out(reg) _,
                        q = out(reg) _,
                        w = out(reg) _,
                        n = out(reg) _,
                        out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
                        out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _,
                        out("v14") _, out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _,
                        out("v21") _, out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                        out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                        options(nostack),
                    );
                }
            }
        };
    }

    tile!(one, 1, "ld1 {{v0.16b}}, [{p}], {group}", "v0" "v12" "v13" "v14" "v15");
    tile!(
        two, 2, "ld1 {{v0.16b, v1.16b}}, [{p}], {group}",
        "v0" "v12" "v13" "v14" "v15", "v1" "v16" "v17" "v18" "v19"
    );
    tile!(
        three, 3, "ld1 {{v0.16b, v1.16b, v2.16b}}, [{p}], {group}",
        "v0" "v12" "v13" "v14" "v15", "v1" "v16" "v17" "v18" "v19", "v2" "v20" "v21" "v22" "v23"
    );
    tile!(
        four, 4, "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{p}], {group}",
        "v0" "v12" "v13" "v14" "v15", "v1" "v16" "v17" "v18" "v19", "v2" "v20" "v21" "v22" "v23",
        "v3" "v24" "v25" "v26" "v27"
    );
    tile!(
        five, 5, "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{p}], {group}\nld1 {{v4.16b}}, [{q}], {group}",
        "v0" "v12" "v13" "v14" "v15", "v1" "v16" "v17" "v18" "v19", "v2" "v20" "v21" "v22" "v23",
        "v3" "v24" "v25" "v26" "v27", "v4" "v28" "v29" "v30" "v31"
    );
}

/// By `smmla`, which multiplies two pixels by two outputs: v0 to v3 hold the first and last eight inputs of two pairs of pixels, v4
/// to v7 weights, v16 to v31 the sums of a pair and two outputs each, v8 to v15 mantissas and shifts.
pub(super) mod matrix {
    use core::arch::asm;

    use crate::int8::vector::Tiles;

    /// Eight inputs of every pair. Arguments: a pair's inputs, its sums.
    macro_rules! eight {
        ($($p:tt $a:tt $b:tt $c:tt $d:tt $e:tt $f:tt $g:tt $h:tt),+) => {
            concat!(
                "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{w}], #64\n",
                $("smmla ", $a, ".4s, ", $p, ".16b, v4.16b\n",)+
                $("smmla ", $b, ".4s, ", $p, ".16b, v5.16b\n",)+
                $("smmla ", $c, ".4s, ", $p, ".16b, v6.16b\n",)+
                $("smmla ", $d, ".4s, ", $p, ".16b, v7.16b\n",)+
                "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{w}], #64\n",
                $("smmla ", $e, ".4s, ", $p, ".16b, v4.16b\n",)+
                $("smmla ", $f, ".4s, ", $p, ".16b, v5.16b\n",)+
                $("smmla ", $g, ".4s, ", $p, ".16b, v6.16b\n",)+
                $("smmla ", $h, ".4s, ", $p, ".16b, v7.16b\n",)+
            )
        };
    }

    /// A pixel of a pair (`zip1` or `zip2`): its sums, scaled and stored.
    macro_rules! pixel {
        ($zip:literal, $a:tt $b:tt $c:tt $d:tt $e:tt $f:tt $g:tt $h:tt) => {
            concat!(
                $zip, " v0.2d, ", $a, ".2d, ", $b, ".2d\n",
                $zip, " v1.2d, ", $c, ".2d, ", $d, ".2d\n",
                $zip, " v2.2d, ", $e, ".2d, ", $f, ".2d\n",
                $zip, " v3.2d, ", $g, ".2d, ", $h, ".2d\n",
                finish!("v0" "v1" "v2" "v3", "v8" "v9" "v10" "v11", "v12" "v13" "v14" "v15", "v7", "v4" "v5" "v6"),
            )
        };
    }

    /// What a pair does that has two pixels, or an odd one that stands for both.
    macro_rules! pair {
        (load, two, $low:literal $high:literal) => { concat!("ld2 {{", $low, ".2d, ", $high, ".2d}}, [{p}], #32\n") };
        (load, odd, $low:literal $high:literal) => {
            concat!(
                "ld1 {{", $high, ".16b}}, [{p}], #16\n",
                "dup ", $low, ".2d, ", $high, ".d[0]\n",
                "dup ", $high, ".2d, ", $high, ".d[1]\n",
            )
        };
        (less, two) => { "ld1r {{v0.4s}}, [{less}], #4\nld1r {{v1.4s}}, [{less}], #4\nzip1 v0.2d, v0.2d, v1.2d\n" };
        (less, odd) => { "ld1r {{v0.4s}}, [{less}], #4\n" };
        (finish, two, $($sums:tt)+) => { concat!(pixel!("zip1", $($sums)+), pixel!("zip2", $($sums)+)) };
        (finish, odd, $($sums:tt)+) => { pixel!("zip1", $($sums)+) };
    }

    /// Defines the function for tiles of `$pixels` pixels: of each pair whether it has two, its inputs, its sums.
    macro_rules! tile {
        ($name:ident, $pixels:literal $(, $kind:ident $low:tt $high:tt $a:tt $b:tt $c:tt $d:tt $e:tt $f:tt $g:tt $h:tt)+) => {
            /// # Safety
            /// The CPU has `smmla`; see [`Tiles`].
            #[inline]
            #[target_feature(enable = "neon,i8mm")]
            pub(crate) unsafe fn $name(t: &Tiles) {
                // SAFETY: reads and writes only what the caller guarantees; all vector registers are named.
                unsafe {
                    asm!(
                        "ld1 {{v8.4s, v9.4s, v10.4s, v11.4s}}, [{mantissa}]",
                        "ld1 {{v12.4s, v13.4s, v14.4s, v15.4s}}, [{shift}]",
                        "2:",
                        "add {n}, {bias}, #64",
                        $(concat!(
                            "ld1 {{", $a, ".4s, ", $b, ".4s, ", $c, ".4s, ", $d, ".4s}}, [{bias}]\n",
                            "ld1 {{", $e, ".4s, ", $f, ".4s, ", $g, ".4s, ", $h, ".4s}}, [{n}]\n",
                        ),)+
                        "cbz {less}, 4f",
                        $(concat!(
                            pair!(less, $kind),
                            "add ", $a, ".4s, ", $a, ".4s, v0.4s\n", "add ", $b, ".4s, ", $b, ".4s, v0.4s\n",
                            "add ", $c, ".4s, ", $c, ".4s, v0.4s\n", "add ", $d, ".4s, ", $d, ".4s, v0.4s\n",
                            "add ", $e, ".4s, ", $e, ".4s, v0.4s\n", "add ", $f, ".4s, ", $f, ".4s, v0.4s\n",
                            "add ", $g, ".4s, ", $g, ".4s, v0.4s\n", "add ", $h, ".4s, ", $h, ".4s, v0.4s\n",
                        ),)+
                        "4:",
                        "mov {p}, {first}",
                        "mov {w}, {weights}",
                        "mov {n}, {blocks}",
                        "cbz {n}, 6f",
                        "5:",
                        $(pair!(load, $kind, $low $high),)+
                        "add {p}, {p}, {step}",
                        eight!($($low $a $b $c $d $e $f $g $h),+),
                        eight!($($high $a $b $c $d $e $f $g $h),+),
                        "subs {n}, {n}, #1",
                        "b.ne 5b",
                        "6:",
                        "cbz {rest}, 7f",
                        $(pair!(load, $kind, $low $high),)+
                        eight!($($low $a $b $c $d $e $f $g $h),+),
                        "cmp {rest}, #3",
                        "b.lo 7f",
                        eight!($($high $a $b $c $d $e $f $g $h),+),
                        "7:",
                        "ld1r {{v4.8h}}, [{zero}]",
                        "ld1r {{v5.16b}}, [{low}]",
                        "ld1r {{v6.16b}}, [{high}]",
                        $(pair!(finish, $kind, $a $b $c $d $e $f $g $h),)+
                        "add {first}, {first}, #{tile}",
                        "subs {tiles}, {tiles}, #1",
                        "b.ne 2b",
                        first = inout(reg) t.first => _,
                        step = in(reg) t.block.wrapping_sub($pixels * 16),
                        blocks = in(reg) t.blocks,
                        rest = in(reg) t.rest,
                        weights = in(reg) t.w,
                        bias = in(reg) t.bias,
                        less = inout(reg) t.less => _,
                        mantissa = in(reg) t.mantissa,
                        shift = in(reg) t.shift,
                        zero = in(reg) &raw const t.zero,
                        low = in(reg) &raw const t.low,
                        high = in(reg) &raw const t.high,
                        ties = in(reg) t.ties,
                        c = inout(reg) t.c => _,
                        tiles = inout(reg) t.count => _,
                        tile = const $pixels * 16,
                        p = out(reg) _,
                        w = out(reg) _,
                        n = out(reg) _,
                        out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
                        out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _,
                        out("v14") _, out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _,
                        out("v21") _, out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                        out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                        options(nostack),
                    );
                }
            }
        };
    }

    tile!(one, 1, odd "v0" "v1" "v16" "v17" "v18" "v19" "v20" "v21" "v22" "v23");
    tile!(two, 2, two "v0" "v1" "v16" "v17" "v18" "v19" "v20" "v21" "v22" "v23");
    tile!(
        three, 3, two "v0" "v1" "v16" "v17" "v18" "v19" "v20" "v21" "v22" "v23",
        odd "v2" "v3" "v24" "v25" "v26" "v27" "v28" "v29" "v30" "v31"
    );
    tile!(
        four, 4, two "v0" "v1" "v16" "v17" "v18" "v19" "v20" "v21" "v22" "v23",
        two "v2" "v3" "v24" "v25" "v26" "v27" "v28" "v29" "v30" "v31"
    );
}

/// Rows of the depthwise convolution by `sdot`: v20 to v31 hold the weights of three columns, v0 to v3 a column, three bytes of each
/// of sixteen channels, and v8 to v19 the sums of the outputs that columns still contribute to. Each column is read once.
pub(super) mod columns {
    use core::arch::asm;

    use crate::int8::vector::Line;

    /// Reads the next column.
    macro_rules! column {
        () => {
            concat!(
                "ld1 {{v0.16b}}, [{a}], {step}\n",
                "ld1 {{v1.16b}}, [{b}], {step}\n",
                "ld1 {{v2.16b}}, [{c}], {step}\n",
                "zip1 v4.16b, v0.16b, v1.16b\n",
                "zip2 v5.16b, v0.16b, v1.16b\n",
                // The fourth weight is 0, whatever the fourth byte is.
                "zip1 v6.16b, v2.16b, v2.16b\n",
                "zip2 v7.16b, v2.16b, v2.16b\n",
                "zip1 v0.8h, v4.8h, v6.8h\n",
                "zip2 v1.8h, v4.8h, v6.8h\n",
                "zip1 v2.8h, v5.8h, v7.8h\n",
                "zip2 v3.8h, v5.8h, v7.8h\n",
            )
        };
    }

    /// The bias as an output's first sums.
    macro_rules! begin {
        ($a:tt $b:tt $c:tt $d:tt) => {
            concat!("ld1 {{", $a, ".4s, ", $b, ".4s, ", $c, ".4s, ", $d, ".4s}}, [{bias}]\n")
        };
    }

    /// Adds the column times weights to an output's sums.
    macro_rules! add {
        ($a:tt $b:tt $c:tt $d:tt, $wa:literal $wb:literal $wc:literal $wd:literal) => {
            concat!(
                "sdot ", $a, ".4s, ", $wa, ".16b, v0.16b\n",
                "sdot ", $b, ".4s, ", $wb, ".16b, v1.16b\n",
                "sdot ", $c, ".4s, ", $wc, ".16b, v2.16b\n",
                "sdot ", $d, ".4s, ", $wd, ".16b, v3.16b\n",
            )
        };
        (first $($sums:tt)+) => { add!($($sums)+, "v20" "v21" "v22" "v23") };
        (second $($sums:tt)+) => { add!($($sums)+, "v24" "v25" "v26" "v27") };
        (third $($sums:tt)+) => { add!($($sums)+, "v28" "v29" "v30" "v31") };
        // The same with the second parts of weights, which are read for each column.
        (more $which:literal $($sums:tt)+) => {
            concat!(
                "add {w}, {second}, #", $which, "\n",
                "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{w}]\n",
                add!($($sums)+, "v4" "v5" "v6" "v7"),
            )
        };
    }

    /// Scales an output's sums and stores it.
    macro_rules! store {
        ($a:tt $b:tt $c:tt $d:tt) => {
            concat!(
                "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{mantissa}]\n",
                "ld1 {{v4.4s, v5.4s, v6.4s, v7.4s}}, [{shift}]\n",
                finish!(three "sqrdmulh" $a "v0" $b "v1" $c "v2" $d "v3"),
                "cbz {ties}, 9f\n",
                finish!(nudge "v0" $a "v4" $b "v5" $c "v6" $d "v7"),
                "9:\n",
                finish!(three "srshl" $a "v4" $b "v5" $c "v6" $d "v7"),
                "ld1r {{v0.8h}}, [{zero}]\n",
                "sqxtn ", $a, ".4h, ", $a, ".4s\n",
                "sqxtn2 ", $a, ".8h, ", $b, ".4s\n",
                "sqxtn ", $c, ".4h, ", $c, ".4s\n",
                "sqxtn2 ", $c, ".8h, ", $d, ".4s\n",
                "sqadd ", $a, ".8h, ", $a, ".8h, v0.8h\n",
                "sqadd ", $c, ".8h, ", $c, ".8h, v0.8h\n",
                "sqxtn ", $a, ".8b, ", $a, ".8h\n",
                "sqxtn2 ", $a, ".16b, ", $c, ".8h\n",
                "cbz {clamp}, 8f\n",
                "ld1r {{v1.16b}}, [{low}]\n",
                "ld1r {{v2.16b}}, [{high}]\n",
                "smax ", $a, ".16b, ", $a, ".16b, v1.16b\n",
                "smin ", $a, ".16b, ", $a, ".16b, v2.16b\n",
                "8:\n",
                "st1 {{", $a, ".16b}}, [{d}], {d_step}\n",
            )
        };
    }

    /// Stride 1: a column is the third of the oldest output, the second of the next, and the first of a new one.
    macro_rules! slide {
        ($a:tt $b:tt $c:tt $d:tt, $e:tt $f:tt $g:tt $h:tt, $i:tt $j:tt $k:tt $l:tt) => {
            concat!(
                column!(),
                begin!($i $j $k $l),
                add!(third $a $b $c $d),
                add!(second $e $f $g $h),
                add!(first $i $j $k $l),
                "cbz {second}, 6f\n",
                add!(more 128 $a $b $c $d),
                add!(more 64 $e $f $g $h),
                add!(more 0 $i $j $k $l),
                "6:\n",
                store!($a $b $c $d),
                "subs {n}, {n}, #1\n",
                "b.eq 7f\n",
            )
        };
    }

    /// Stride 2: a column is the second of an output, the next one its third and the first of a new one.
    macro_rules! stride {
        ($a:tt $b:tt $c:tt $d:tt, $e:tt $f:tt $g:tt $h:tt) => {
            concat!(
                column!(),
                add!(second $a $b $c $d),
                "cbz {second}, 6f\n",
                add!(more 64 $a $b $c $d),
                "6:\n",
                column!(),
                begin!($e $f $g $h),
                add!(third $a $b $c $d),
                add!(first $e $f $g $h),
                "cbz {second}, 6f\n",
                add!(more 128 $a $b $c $d),
                add!(more 0 $e $f $g $h),
                "6:\n",
                store!($a $b $c $d),
                "subs {n}, {n}, #1\n",
                "b.eq 7f\n",
            )
        };
    }

    /// Defines the function of a stride: the columns before the first output is complete, then the loop.
    macro_rules! line {
        ($name:ident, $before:expr, $body:expr) => {
            /// # Safety
            /// The CPU has `sdot`; see [`Line`].
            #[inline]
            #[target_feature(enable = "neon,dotprod")]
            pub(crate) unsafe fn $name(t: &Line) {
                // SAFETY: reads and writes only what the caller guarantees; all vector registers that change are named.
                unsafe {
                    asm!(
                        "ld1 {{v20.16b, v21.16b, v22.16b, v23.16b}}, [{n}], #64",
                        "ld1 {{v24.16b, v25.16b, v26.16b, v27.16b}}, [{n}], #64",
                        "ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{n}]",
                        "mov {n}, {outputs}",
                        $before,
                        "2:",
                        $body,
                        "b 2b",
                        "7:",
                        a = inout(reg) t.rows[0] => _,
                        b = inout(reg) t.rows[1] => _,
                        c = inout(reg) t.rows[2] => _,
                        step = in(reg) t.step,
                        n = inout(reg) t.weights => _,
                        outputs = in(reg) t.outputs,
                        second = in(reg) t.second,
                        w = out(reg) _,
                        bias = in(reg) t.bias,
                        mantissa = in(reg) t.mantissa,
                        shift = in(reg) t.shift,
                        zero = in(reg) &raw const t.zero,
                        low = in(reg) &raw const t.low,
                        high = in(reg) &raw const t.high,
                        ties = in(reg) t.ties,
                        clamp = in(reg) t.clamp,
                        d = inout(reg) t.d => _,
                        d_step = in(reg) t.d_step,
                        out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
                        out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _,
                        out("v14") _, out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _,
                        out("v21") _, out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                        out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                        options(nostack),
                    );
                }
            }
        };
    }

    line!(
        stride_one,
        concat!(
            column!(),
            begin!("v8" "v9" "v10" "v11"),
            add!(first "v8" "v9" "v10" "v11"),
            "cbz {second}, 6f\n",
            add!(more 0 "v8" "v9" "v10" "v11"),
            "6:\n",
            column!(),
            begin!("v12" "v13" "v14" "v15"),
            add!(second "v8" "v9" "v10" "v11"),
            add!(first "v12" "v13" "v14" "v15"),
            "cbz {second}, 6f\n",
            add!(more 64 "v8" "v9" "v10" "v11"),
            add!(more 0 "v12" "v13" "v14" "v15"),
            "6:\n",
        ),
        concat!(
            slide!("v8" "v9" "v10" "v11", "v12" "v13" "v14" "v15", "v16" "v17" "v18" "v19"),
            slide!("v12" "v13" "v14" "v15", "v16" "v17" "v18" "v19", "v8" "v9" "v10" "v11"),
            slide!("v16" "v17" "v18" "v19", "v8" "v9" "v10" "v11", "v12" "v13" "v14" "v15"),
        )
    );
    line!(
        stride_two,
        concat!(
            column!(),
            begin!("v8" "v9" "v10" "v11"),
            add!(first "v8" "v9" "v10" "v11"),
            "cbz {second}, 6f\n",
            add!(more 0 "v8" "v9" "v10" "v11"),
            "6:\n",
        ),
        concat!(
            stride!("v8" "v9" "v10" "v11", "v12" "v13" "v14" "v15"),
            stride!("v12" "v13" "v14" "v15", "v8" "v9" "v10" "v11"),
        )
    );
}
