//! The integer kernels against naive loops over the formula, in every instruction set: tile edges, zero points at both ends,
//! extreme values.

use super::scales::SCALES;
use super::*;
use crate::element::Quantization;
use crate::isa::Isa;
use crate::pointer::Pointer;

/// Repeatable noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as u32) % below
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next(256) as u8).collect()
    }

    /// Every value, and often the extreme ones.
    fn weights(&mut self, n: usize) -> Vec<i8> {
        let one = |this: &mut Self| match this.next(8) {
            0 => -128,
            1 => 127,
            _ => this.next(256) as u8 as i8,
        };
        (0..n).map(|_| one(self)).collect()
    }
}

/// An unsigned byte as an instruction set stores it.
fn stored(isa: Isa, byte: u8) -> u8 {
    if signed(isa) { byte ^ 0x80 } else { byte }
}

/// The zero point of stored bytes.
fn zero_of(isa: Isa, zero: i32) -> i32 {
    if signed(isa) { zero - 128 } else { zero }
}

fn bounds(isa: Isa, zero: i32, low: i32, high: i32) -> Bounds {
    Bounds { zero: zero_of(isa, zero), low: zero_of(isa, low), high: zero_of(isa, high) }
}

fn output(sum: i64, multiplier: Multiplier, [zero, low, high]: [i32; 3]) -> u8 {
    let sum = i32::try_from(sum).expect("sums fit");
    multiplier.apply(sum).clamp(-(1 << 30), 1 << 30).saturating_add(zero).clamp(low, high) as u8
}

/// Blocked rows of unsigned pixels (`[pixel][channel]`), with noise after the last channel.
fn blocked(isa: Isa, noise: &mut Noise, pixels: &[u8], channels: usize) -> Vec<u8> {
    let width = pixels.len() / channels;
    let mut row = noise.bytes(channels.div_ceil(GROUP) * width * GROUP);
    for (x, pixel) in pixels.chunks_exact(channels).enumerate() {
        for (c, &value) in pixel.iter().enumerate() {
            row[c / GROUP * width * GROUP + x * GROUP + c % GROUP] = stored(isa, value);
        }
    }
    row
}

fn multipliers(n: usize, largest: f64) -> Vec<Multiplier> {
    (0..n).map(|o| Multiplier::new(largest * (1.0 - 0.9 * o as f64 / n as f64)).unwrap()).collect()
}

#[test]
fn pointwise_products_of_every_shape() {
    let mut noise = Noise(1);
    let shapes = [
        (8, 5, 1),
        (16, 16, 3),
        (24, 24, 7),
        (4, 33, 13),
        (20, 49, 6),
        (12, 21, 9),
        (96, 70, 17),
        (160, 48, 2),
        (3, 1, 5),
    ];
    for (k, c_out, width) in shapes {
        // Zero points at both ends, of inputs and of weights (as signed bytes); multipliers around 1.
        for (input_zero, weight_zero, largest) in
            [(0, 0, 0.004), (255, 0, 0.02), (128, 3, 0.004), (7, -128, 0.003), (77, 127, 1.7)]
        {
            let pixels = noise.bytes(k * width);
            let weight = noise.weights(k * c_out);
            let bias: Vec<i32> = (0..c_out).map(|_| noise.next(40_000) as i32 - 20_000).collect();
            let multipliers = multipliers(c_out, largest);
            for (zero, low, high) in [(0, 0, 255), (120, 3, 250), (255, 0, 255)] {
                for isa in Isa::all() {
                    let filter = Filter {
                        weight: &weight,
                        bias: &bias,
                        multipliers: &multipliers,
                        weight_zero,
                        input_zero: zero_of(isa, input_zero),
                    };
                    let packed = PackedPointwise::new(isa, Inputs::Channels(k), &filter).unwrap();
                    let sums_len = packed.sums_len(isa, Inputs::Channels(k), width);
                    assert_eq!(sums_len, if weight_zero == 0 { 0 } else { width });
                    let row = blocked(isa, &mut noise, &pixels, k);
                    let groups = c_out.div_ceil(GROUP);
                    let mut out = vec![0; groups * width * GROUP];
                    let mut sums = vec![0; sums_len];
                    let job = Job {
                        source: Source::Groups { first: Pointer::read(&row), group: width * GROUP },
                        a_row: 0,
                        weights: &packed,
                        c: Pointer::new(out.as_mut_ptr(), out.len()),
                        c_group: width * GROUP,
                        c_row: 0,
                        width,
                        rows: 1,
                        bounds: bounds(isa, zero, low, high),
                        ties: true,
                        sums: Pointer::new(sums.as_mut_ptr(), sums_len),
                    };
                    // SAFETY: a whole row of inputs and outputs.
                    unsafe { pointwise(isa, &job) }
                    for x in 0..width {
                        for o in 0..c_out {
                            let sum: i64 = (0..k)
                                .map(|i| {
                                    (i64::from(pixels[x * k + i]) - i64::from(input_zero))
                                        * (i64::from(weight[o * k + i]) - i64::from(weight_zero))
                                })
                                .sum();
                            let expected = output(sum + i64::from(bias[o]), multipliers[o], [zero, low, high]);
                            let found = stored(isa, out[o / GROUP * width * GROUP + x * GROUP + o % GROUP]);
                            assert_eq!(
                                found, expected,
                                "{isa:?} {k} to {c_out}, {width} pixels, zeros {input_zero} {weight_zero}: {x} {o}"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// Where nothing below the zero point is stored, ties below it may be rounded either way.
#[test]
fn ties_do_not_matter_above_the_zero_point() {
    let (k, c_out, width) = (4, 16, 64);
    let mut noise = Noise(2);
    let pixels = noise.bytes(k * width);
    let weight = noise.weights(k * c_out);
    let bias = vec![0; c_out];
    // Halves and quarters: many ties.
    let multipliers: Vec<_> = (0..c_out).map(|o| Multiplier::new(0.5f64.powi(1 + o as i32 % 12)).unwrap()).collect();
    for isa in Isa::all() {
        let input_zero = zero_of(isa, 128);
        let filter = Filter { weight: &weight, bias: &bias, multipliers: &multipliers, weight_zero: 0, input_zero };
        let packed = PackedPointwise::new(isa, Inputs::Channels(k), &filter).unwrap();
        let row = blocked(isa, &mut noise, &pixels, k);
        let run = |ties, zero, low| {
            let mut out = vec![0; width * GROUP];
            let job = Job {
                source: Source::Groups { first: Pointer::read(&row), group: width * GROUP },
                a_row: 0,
                weights: &packed,
                c: Pointer::new(out.as_mut_ptr(), out.len()),
                c_group: width * GROUP,
                c_row: 0,
                width,
                rows: 1,
                bounds: bounds(isa, zero, low, 255),
                ties,
                sums: Pointer::new(std::ptr::null_mut(), 0),
            };
            // SAFETY: a whole row of inputs and outputs.
            unsafe { pointwise(isa, &job) }
            out
        };
        assert_eq!(run(true, 9, 9), run(false, 9, 9), "{isa:?}");
        let exact = run(true, 128, 0);
        for x in 0..width {
            for o in 0..c_out {
                let products = (0..k).map(|i| (i64::from(pixels[x * k + i]) - 128) * i64::from(weight[o * k + i]));
                let expected = output(products.sum(), multipliers[o], [128, 0, 255]);
                assert_eq!(stored(isa, exact[x * GROUP + o]), expected, "{isa:?} {x} {o}");
            }
        }
    }
}

#[test]
fn the_first_layer_reads_three_rows_of_an_image() {
    let mut noise = Noise(3);
    for (c_out, width, stride, weight_zero) in [(32, 9, 2, 0), (16, 1, 1, 5), (24, 7, 2, -20), (8, 5, 1, 0)] {
        let columns = (width - 1) * stride + 3;
        let image: Vec<Vec<u8>> = (0..3).map(|_| noise.bytes(3 * columns)).collect();
        let weight = noise.weights(27 * c_out);
        let bias: Vec<i32> = (0..c_out as i32).map(|o| o * 100 - 900).collect();
        let multipliers = multipliers(c_out, 0.002);
        for isa in Isa::all() {
            let filter = Filter {
                weight: &weight,
                bias: &bias,
                multipliers: &multipliers,
                weight_zero,
                input_zero: zero_of(isa, 128),
            };
            let packed = PackedPointwise::new(isa, Inputs::Image, &filter).unwrap();
            let rows: Vec<Vec<u8>> = image
                .iter()
                .map(|row| {
                    let mut row: Vec<u8> = row.iter().map(|&v| stored(isa, v)).collect();
                    row.extend(noise.bytes(SLACK));
                    row
                })
                .collect();
            let runs = [0, 1, 2].map(|r| Pointer::read(&rows[r]));
            let groups = c_out.div_ceil(GROUP);
            let mut out = vec![0; groups * width * GROUP];
            let mut sums = vec![0; packed.sums_len(isa, Inputs::Image, width)];
            let job = Job {
                source: Source::Runs { runs: &runs, pixel: 3 * stride },
                a_row: 0,
                weights: &packed,
                c: Pointer::new(out.as_mut_ptr(), out.len()),
                c_group: width * GROUP,
                c_row: 0,
                width,
                rows: 1,
                bounds: bounds(isa, 0, 0, 255),
                ties: false,
                sums: Pointer::new(sums.as_mut_ptr(), sums.len()),
            };
            // SAFETY: three rows with slack, and a row of outputs.
            unsafe { pointwise(isa, &job) }
            for x in 0..width {
                for o in 0..c_out {
                    let mut sum = i64::from(bias[o]);
                    for i in 0..27 {
                        let value = i64::from(image[i / 9][x * stride * 3 + i % 9]) - 128;
                        sum += value * (i64::from(weight[o * 27 + i]) - i64::from(weight_zero));
                    }
                    let found = stored(isa, out[o / GROUP * width * GROUP + x * GROUP + o % GROUP]);
                    assert_eq!(found, output(sum, multipliers[o], [0, 0, 255]), "{isa:?} {c_out} {width}: {x} {o}");
                }
            }
        }
    }
}

#[test]
fn depthwise_rows_of_every_stride_and_rate() {
    let mut noise = Noise(4);
    for (stride, rate) in [(1, 1), (2, 1), (1, 2), (1, 4), (2, 2), (3, 1)] {
        for width in [1, 2, 3, 4, 5, 6, 7, 8, 13, 17] {
            for (channels, weight_zero, largest) in [(16, 0, 0.01), (24, 20, 0.01), (40, -128, 2.5), (7, 127, 0.003)] {
                let columns = (width - 1) * stride + 2 * rate + 1;
                let pixels: Vec<Vec<u8>> = (0..3).map(|_| noise.bytes(columns * channels)).collect();
                let weight = noise.weights(9 * channels);
                let bias: Vec<i32> = (0..channels).map(|_| noise.next(4000) as i32 - 2000).collect();
                let multipliers = multipliers(channels, largest);
                let input_zero = 31;
                for isa in Isa::all() {
                    let filter = Filter {
                        weight: &weight,
                        bias: &bias,
                        multipliers: &multipliers,
                        weight_zero,
                        input_zero: zero_of(isa, input_zero),
                    };
                    let packed = PackedDepthwise::new(&filter).unwrap();
                    let rows: Vec<Vec<u8>> = pixels.iter().map(|row| blocked(isa, &mut noise, row, channels)).collect();
                    let mut out = vec![0; channels.div_ceil(GROUP) * width * GROUP];
                    let row = Row {
                        rows: [0, 1, 2].map(|r| Pointer::read(&rows[r])),
                        e_group: columns * GROUP,
                        weights: &packed,
                        d: Pointer::new(out.as_mut_ptr(), out.len()),
                        d_group: width * GROUP,
                        width,
                        stride,
                        rate,
                        bounds: bounds(isa, 100, 20, 230),
                        ties: true,
                    };
                    // SAFETY: whole rows.
                    unsafe { depthwise(isa, &row) }
                    for x in 0..width {
                        for c in 0..channels {
                            let mut sum = i64::from(bias[c]);
                            for t in 0..9 {
                                let at = (x * stride + t % 3 * rate) * channels + c;
                                sum += (i64::from(pixels[t / 3][at]) - i64::from(input_zero))
                                    * (i64::from(weight[9 * c + t]) - i64::from(weight_zero));
                            }
                            let found = stored(isa, out[c / GROUP * width * GROUP + x * GROUP + c % GROUP]);
                            let expected = output(sum, multipliers[c], [100, 20, 230]);
                            assert_eq!(found, expected, "{isa:?} stride {stride} rate {rate} {width}: {x} {c}");
                        }
                    }
                }
            }
        }
    }
}

/// Products as large as they can be, as many as a kernel takes: one more would be refused.
#[test]
fn sums_near_overflow_are_exact_and_larger_ones_refused() {
    let (k, width) = (16384, 2);
    for (byte, weight) in [(255u8, 127i8), (255, -128), (0, -128), (0, 127)] {
        let pixels = vec![byte; k * width];
        let weights = vec![weight; k];
        let input_zero = if byte == 0 { 255 } else { 0 };
        let multipliers = [Multiplier::new(2f64.powi(-23)).unwrap()];
        for isa in Isa::all() {
            let of = |bias: &[i32], weights: &[i8]| {
                let filter = Filter {
                    weight: weights,
                    bias,
                    multipliers: &multipliers,
                    weight_zero: 0,
                    input_zero: zero_of(isa, input_zero),
                };
                PackedPointwise::new(isa, Inputs::Channels(weights.len()), &filter)
            };
            let packed = of(&[1], &weights).unwrap();
            let row = blocked(isa, &mut Noise(5), &pixels, k);
            let mut out = vec![0; width * GROUP];
            let job = Job {
                source: Source::Groups { first: Pointer::read(&row), group: width * GROUP },
                a_row: 0,
                weights: &packed,
                c: Pointer::new(out.as_mut_ptr(), out.len()),
                c_group: width * GROUP,
                c_row: 0,
                width,
                rows: 1,
                bounds: bounds(isa, 128, 0, 255),
                ties: true,
                sums: Pointer::new(std::ptr::null_mut(), 0),
            };
            // SAFETY: a whole row.
            unsafe { pointwise(isa, &job) }
            let sum = 1 + k as i64 * (i64::from(byte) - i64::from(input_zero)) * i64::from(weight);
            assert_eq!(stored(isa, out[GROUP]), output(sum, multipliers[0], [128, 0, 255]), "{isa:?} {byte} {weight}");
            assert_eq!(of(&[i32::MAX], &weights).unwrap_err(), TooLarge::Sum { channel: 0 });
            assert_eq!(of(&[0], &vec![weight; 40_000]).unwrap_err(), TooLarge::Sum { channel: 0 });
        }
    }
}

/// TensorFlow Lite's quantised ADD, written out.
#[test]
fn maps_of_different_scales_are_added() {
    let mut noise = Noise(6);
    let [a, b] = [noise.bytes(GROUP * 40), noise.bytes(GROUP * 40)];
    for (scales, zeros, out_scale, zero) in
        [([0.1, 0.05], [128, 100], 0.12, 120), ([0.003, 2.0], [0, 255], 2.5, 0), ([0.5, 0.5], [7, 9], 0.5, 255)]
    {
        for isa in Isa::all() {
            let bounds = bounds(isa, zero, 0, 255);
            let stored_zeros = zeros.map(|zero| zero_of(isa, zero));
            let sum = AddScales::new(scales, stored_zeros, out_scale, bounds).unwrap();
            let [x, y] = [&a, &b].map(|v| v.iter().map(|&v| stored(isa, v)).collect::<Vec<_>>());
            let mut out = vec![0; a.len()];
            // SAFETY: forty vectors each.
            unsafe {
                let to = Pointer::new(out.as_mut_ptr(), out.len());
                add(isa, &sum, Pointer::read(&x), Pointer::read(&y), 40, to);
            }
            let twice = 2.0 * f64::from(scales[0].max(scales[1]));
            let factor = |scale: f32| Multiplier::new(f64::from(scale) / twice).unwrap();
            let last = Multiplier::new(twice / (f64::from(1 << 20) * f64::from(out_scale))).unwrap();
            for i in 0..a.len() {
                let one = |v: u8, k: usize| factor(scales[k]).apply((i32::from(v) - zeros[k]) << 20);
                let expected = (last.apply(one(a[i], 0) + one(b[i], 1)) + zero).clamp(0, 255);
                assert_eq!(i32::from(stored(isa, out[i])), expected, "{isa:?} {i}");
                let real =
                    scales[0] * (f32::from(a[i]) - zeros[0] as f32) + scales[1] * (f32::from(b[i]) - zeros[1] as f32);
                let ideal = (real / out_scale + zero as f32).clamp(0.0, 255.0);
                assert!((ideal - expected as f32).abs() < 0.51, "{ideal} {expected}");
            }
        }
    }
    assert_eq!(AddScales::new([1.0, 1.0], [0, 0], 1e-7, Bounds { zero: 0, low: 0, high: 255 }), None);
}

#[test]
fn values_become_bytes_and_back() {
    let q = Quantization { scale: 1.0 / 64.0, zero_point: 40 };
    let mut values: Vec<f32> = (0..70).map(|i| i as f32 / 50.0 - 0.6).collect();
    values.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 3.0, -3.0, 0.5 / 64.0, 1.5 / 64.0]);
    for isa in Isa::all() {
        let stored_q = Quantization { zero_point: zero_of(isa, q.zero_point), ..q };
        let mut bytes = vec![0; values.len()];
        quantise(isa, stored_q, &values, &mut bytes);
        for (&byte, &v) in bytes.iter().zip(&values) {
            assert_eq!(i32::from(stored(isa, byte)), q.nearest(v, 0, 255), "{isa:?} {v}");
        }
        // Two pixels of twenty channels, and back.
        let row: Vec<u8> = (0..2 * 2 * GROUP).map(|i| stored(isa, i as u8 * 3)).collect();
        let mut out = [0.0f32; 40];
        // SAFETY: two pixels in each of two groups.
        unsafe {
            let to = Pointer::new(out.as_mut_ptr(), out.len());
            dequantise(isa, stored_q, Pointer::read(&row), 2 * GROUP, 2, 20, to);
        }
        for x in 0..2 {
            for c in 0..20 {
                let byte = (c / GROUP * 2 * GROUP + x * GROUP + c % GROUP) as u8 * 3;
                assert_eq!(out[x * 20 + c].to_bits(), q.value(i32::from(byte)).to_bits(), "{isa:?}");
            }
        }
        let mut sums = vec![5; 2 * GROUP];
        // SAFETY: as above.
        unsafe { sum_pixels(isa, Pointer::read(&row), 2 * GROUP, 2, 2, Pointer::new(sums.as_mut_ptr(), sums.len())) }
        for (c, &sum) in sums.iter().enumerate() {
            let at = |x: usize| i32::from(row[c / GROUP * 2 * GROUP + x * GROUP + c % GROUP]);
            let value = |byte: i32| if signed(isa) { i32::from(byte as u8 as i8) } else { byte };
            assert_eq!(sum, 5 + value(at(0)) + value(at(1)), "{isa:?} {c}");
        }
    }
    let table: [u8; 256] = std::array::from_fn(|i| 255 - i as u8);
    let mut out = [0; 3];
    // SAFETY: three bytes.
    unsafe { rescale(&table, Pointer::read(&[0, 1, 255]), Pointer::new(out.as_mut_ptr(), 3), 3) }
    assert_eq!(out, [255, 254, 0]);
}

#[test]
fn scales_hold_three_values_a_channel() {
    assert_eq!(SCALES, 3 * GROUP);
    let all = Isa::all();
    assert!(!multiplies(all[all.len() - 1]), "plain Rust has no dot product");
}
