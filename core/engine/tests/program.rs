//! Compiled programs against a naive network in f64: every kernel set, every kind of step, odd sizes, tile edges, strides,
//! rates, paddings, shortcuts, and the same bits for any number of threads.

use silhouette_engine::caches::Caches;
use silhouette_engine::program::{
    Block, Builder, Clamp, DecoderStage, Filter, Part, Precision, Program, RunError, Shape, Stem, Window,
};
use silhouette_kernels::element::{DataType, f16};
use silhouette_kernels::isa::Isa;
use silhouette_kernels::pack::{ALIGN, Buffer, PackedReader, WeightOwner};
use silhouette_kernels::rows::RowSource;
use silhouette_kernels::size::Size;
use silhouette_kernels::upsample::Resize;
use silhouette_testkit::{Noise, is_emulated};
use std::sync::Arc;

#[derive(Clone)]
struct Map {
    h: usize,
    w: usize,
    c: usize,
    v: Vec<f64>,
}

impl Map {
    fn at(&self, y: isize, x: isize, c: usize) -> f64 {
        if y < 0 || x < 0 || y >= self.h as isize || x >= self.w as isize {
            0.0
        } else {
            self.v[(y as usize * self.w + x as usize) * self.c + c]
        }
    }
}

impl RowSource for Map {
    fn width(&self) -> usize {
        self.w
    }
    fn height(&self) -> usize {
        self.h
    }
    fn scratch_len(&self) -> usize {
        7
    }
    fn row(&self, y: usize, scratch: &mut [f32], out: &mut [f32]) {
        assert!(scratch.len() >= 7);
        for (o, v) in out.iter_mut().zip(&self.v[y * self.w * 3..]) {
            *o = *v as f32;
        }
    }
}

#[derive(Clone)]
struct Weights {
    w: Vec<f32>,
    b: Vec<f32>,
    clamp: Clamp,
}

impl Weights {
    fn filter(&self) -> Filter<'_> {
        Filter { weight: &self.w, bias: &self.b, clamp: self.clamp }
    }
}

const RELU6: Clamp = Some((0.0, 6.0));

/// Values that f16 holds too, so that the naive network reads what a program of either type reads.
fn halves(values: Vec<f32>) -> Vec<f32> {
    values.into_iter().map(|v| f16::from_f32(v).to_f32()).collect()
}

fn weights(noise: &mut Noise, c_out: usize, k: usize, clamp: Clamp) -> Weights {
    Weights { w: halves(noise.floats(c_out * k, (3.0 / k as f32).sqrt())), b: halves(noise.floats(c_out, 0.5)), clamp }
}

fn act(x: f64, clamp: Clamp) -> f64 {
    clamp.map_or(x, |(lo, hi)| x.max(f64::from(lo)).min(f64::from(hi)))
}

/// Any convolution with `k` x `k` kernels; `depthwise`: one kernel per channel.
fn convolve(map: &Map, f: &Weights, k: usize, w: &Window, depthwise: bool) -> Map {
    let c_out = f.b.len();
    let groups_in = if depthwise { 1 } else { map.c };
    let mut v = Vec::with_capacity(w.output.height * w.output.width * c_out);
    for y in 0..w.output.height {
        for x in 0..w.output.width {
            for o in 0..c_out {
                let mut sum = f64::from(f.b[o]);
                for i in 0..groups_in {
                    for r in 0..k {
                        for c in 0..k {
                            let yy = (y * w.stride + r * w.rate) as isize - w.pad.height as isize;
                            let xx = (x * w.stride + c * w.rate) as isize - w.pad.width as isize;
                            let weight = f.w[((o * groups_in + i) * k + r) * k + c];
                            sum += f64::from(weight) * map.at(yy, xx, if depthwise { o } else { i });
                        }
                    }
                }
                v.push(act(sum, f.clamp));
            }
        }
    }
    Map { h: w.output.height, w: w.output.width, c: c_out, v }
}

fn pointwise(map: &Map, f: &Weights) -> Map {
    let size = Size { height: map.h, width: map.w };
    convolve(map, f, 1, &Window { input: size, output: size, stride: 1, rate: 1, pad: Size::square(0) }, false)
}

struct TestBlock {
    window: Window,
    c_in: usize,
    expand: Option<Weights>,
    depthwise: Weights,
    project: Weights,
    residual: bool,
    expansion: bool,
    pads_input: bool,
}

impl TestBlock {
    fn new(noise: &mut Noise, window: Window, c_in: usize, t: usize, c_out: usize) -> Self {
        let wide = c_in * t;
        Self {
            window,
            c_in,
            expand: (t > 1).then(|| weights(noise, wide, c_in, RELU6)),
            depthwise: weights(noise, wide, 9, RELU6),
            project: weights(noise, c_out, wide, None),
            residual: window.stride == 1 && c_in == c_out,
            expansion: false,
            pads_input: false,
        }
    }

    fn describe(&self) -> Block<'_> {
        Block {
            name: "block",
            c_in: self.c_in,
            window: self.window,
            expand: self.expand.as_ref().map(Weights::filter),
            depthwise: self.depthwise.filter(),
            project: self.project.filter(),
            residual: self.residual,
            expansion_shortcut: self.expansion,
            pads_input: self.pads_input,
        }
    }

    fn naive(&self, map: &Map) -> Map {
        let e = self.expand.as_ref().map_or_else(|| map.clone(), |f| pointwise(map, f));
        let mut d = match &self.expand {
            // The input is padded, then expanded: the same convolution, over a larger map.
            Some(f) if self.pads_input => {
                let Window { input, pad, .. } = self.window;
                let around = Size { height: input.height + 2 * pad.height, width: input.width + 2 * pad.width };
                let mut padded = Map { h: around.height, w: around.width, c: map.c, v: Vec::new() };
                for y in 0..around.height as isize {
                    for x in 0..around.width as isize {
                        let at = |c| map.at(y - pad.height as isize, x - pad.width as isize, c);
                        padded.v.extend((0..map.c).map(at));
                    }
                }
                let window = Window { input: around, pad: Size::square(0), ..self.window };
                convolve(&pointwise(&padded, f), &self.depthwise, 3, &window, true)
            }
            _ => convolve(&e, &self.depthwise, 3, &self.window, true),
        };
        if self.expansion {
            d.v.iter_mut().zip(&e.v).for_each(|(d, e)| *d += e);
        }
        let mut p = pointwise(&d, &self.project);
        if self.residual {
            p.v.iter_mut().zip(&map.v).for_each(|(p, m)| *p += m);
        }
        p
    }
}

fn window(input: Size, stride: usize, rate: usize, same: bool) -> Window {
    let output = Size { height: input.height.div_ceil(stride), width: input.width.div_ceil(stride) };
    let pad = |i: usize, o: usize| {
        if same { ((o - 1) * stride + 2 * rate + 1).saturating_sub(i) / 2 } else { rate }
    };
    let pad = Size { height: pad(input.height, output.height), width: pad(input.width, output.width) };
    Window { input, output, stride, rate, pad }
}

/// The only output of a program.
fn run(p: &Arc<Program>, source: &dyn RowSource) -> Vec<f32> {
    run_all(p, source).remove(0)
}

fn run_all(p: &Arc<Program>, source: &dyn RowSource) -> Vec<Vec<f32>> {
    let mut execution = p.execution().unwrap();
    let mut once = |source: &dyn RowSource| {
        let mut out: Vec<Vec<f32>> = p.outputs().iter().map(|shape| vec![f32::NAN; shape.values()]).collect();
        let mut slices: Vec<&mut [f32]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        execution
            .run(source, &mut slices, &|work| {
                std::thread::scope(|s| {
                    for i in 1..p.threads() {
                        s.spawn(move || work(i));
                    }
                    work(0);
                });
            })
            .unwrap();
        out
    };
    let first = once(source);
    // The next run finds the arena as the previous one left it; fill it with NaN.
    if !is_emulated() && !cfg!(miri) {
        once(&NoNumbers { width: source.width(), height: source.height() });
    }
    assert!(first == once(source), "a second run differs");
    first
}

/// An image whose values are all NaN.
struct NoNumbers {
    width: usize,
    height: usize,
}

impl RowSource for NoNumbers {
    fn width(&self) -> usize {
        self.width
    }
    fn height(&self) -> usize {
        self.height
    }
    fn scratch_len(&self) -> usize {
        0
    }
    fn row(&self, _: usize, _: &mut [f32], out: &mut [f32]) {
        out.fill(f32::NAN);
    }
}

/// Memory of the tests' own that holds packed weights.
#[derive(Debug)]
struct Memory(Buffer<u8>);

// SAFETY: nothing can write to it, and it does not move.
unsafe impl WeightOwner for Memory {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A program's packed weights as they are cached.
fn packed_memory(p: &Program) -> Memory {
    let parts = p.packed();
    let mut all = Buffer::zeroed(parts.iter().map(|part| part.len().next_multiple_of(ALIGN)).sum());
    let mut at = 0;
    for part in parts {
        all[at..at + part.len()].copy_from_slice(part);
        at += part.len().next_multiple_of(ALIGN);
    }
    Memory(all)
}

/// Largest difference from the naive network's values `w` is this times `1 + |w|`.
fn tolerance<E: Precision>() -> f64 {
    // Maps and, on some CPUs, sums are rounded to eleven bits.
    if E::TYPE == DataType::F16 { 1e-2 } else { 1e-4 }
}

/// Builds for every kernel set and 1 to 3 threads, and compares; then once more from the prepacked weights.
fn check<E: Precision>(input: &Map, expected: &Map, what: &str, build: &dyn Fn(Builder<E>) -> Arc<Program>) {
    let what = &format!("{what}, {}", E::TYPE);
    let small = Caches { l1: 4 << 10, l2: 16 << 10 };
    // (Miri takes minutes for what otherwise takes a millisecond.)
    let large = Caches { l1: 32 << 10, l2: 1 << 20 };
    for caches in if cfg!(miri) { vec![small] } else { vec![small, large] } {
        let mut unfused: Vec<Vec<f32>> = Vec::new();
        for isa in Isa::all() {
            let mut one = Vec::new();
            for threads in 1..=if cfg!(miri) { 2 } else { 3 } {
                let p = build(Builder::new(isa, threads, caches));
                let size = Size { height: expected.h, width: expected.w };
                assert_eq!(p.outputs(), [Shape { size, channels: expected.c }], "{what}");
                let found = run(&p, input);
                for (i, (f, w)) in found.iter().zip(&expected.v).enumerate() {
                    let close = (f64::from(*f) - w).abs() <= tolerance::<E>() * (1.0 + w.abs());
                    assert!(close, "{what}, {isa:?}, {threads} threads, element {i}: {f} instead of {w}");
                }
                assert!(one.is_empty() || one == found, "{what}, {isa:?}: {threads} threads produce other bits");
                one = found;
                if threads == 1 {
                    let reader = PackedReader::new(Arc::new(packed_memory(&p))).expect("a buffer is aligned");
                    let again = build(Builder::new(isa, threads, caches).with_packed(reader));
                    assert_eq!(again.weight_bytes(), p.weight_bytes());
                    assert!(run(&again, input) == one, "{what}, {isa:?}: cached weights produce other bits");
                }
            }
            if matches!(isa.name(), "scalar" | "sse2") {
                unfused.push(one);
            }
        }
        // Neither fuses a multiply-add, and the order of a sum is the same in every instruction set.
        assert!(unfused.windows(2).all(|w| w[0] == w[1]), "{what}: SSE2 produces other bits than plain Rust");
    }
}

/// [`check`] for every element type.
macro_rules! check {
    ($input:expr, $expected:expr, $what:expr, $build:expr $(,)?) => {{
        check::<f32>($input, $expected, $what, $build);
        check::<f16>($input, $expected, $what, $build);
    }};
}

fn picture(noise: &mut Noise, h: usize, w: usize) -> Map {
    Map { h, w, c: 3, v: halves(noise.floats(h * w * 3, 1.0)).into_iter().map(f64::from).collect() }
}

const LIMIT: usize = 1 << 30;

#[test]
fn stem_alone_at_tile_edges() {
    let mut noise = Noise::new(1);
    for (h, w) in [(1, 1), (2, 3), (5, 4), (7, 15), (9, 17), (16, 33), (3, 64)] {
        for c_out in [1, 7, 8, 16, 24, 33, 48, 49] {
            for same in [true, false] {
                let input = picture(&mut noise, h, w);
                let f = weights(&mut noise, c_out, 27, RELU6);
                let wd = window(Size { height: h, width: w }, 2, 1, same);
                let expected = convolve(&input, &f, 3, &wd, false);
                check!(&input, &expected, &format!("stem {h}x{w} to {c_out}, same {same}"), &|mut b| {
                    let stem = Stem { name: "stem", window: wd, filter: f.filter() };
                    let m = b.chain(None, Some(&stem), &[]).unwrap();
                    b.finish(&[m], LIMIT).unwrap()
                });
            }
        }
    }
}

/// Stem, then the blocks, each chained or sliced according to `sliced`.
fn blocks_case(seed: u64, size: Size, stem_c: usize, plan: &[(usize, usize, usize, usize)], same: bool) {
    padded_blocks_case(seed, size, stem_c, plan, same, false);
}

/// The same; `pads_input`: the blocks' inputs are padded, not what the depthwise convolutions read.
fn padded_blocks_case(
    seed: u64,
    size: Size,
    stem_c: usize,
    plan: &[(usize, usize, usize, usize)],
    same: bool,
    pads_input: bool,
) {
    let mut noise = Noise::new(seed);
    let input = picture(&mut noise, size.height, size.width);
    let f = weights(&mut noise, stem_c, 27, RELU6);
    let wd = window(size, 2, 1, same);
    let mut blocks = Vec::new();
    let mut at = wd.output;
    let mut c = stem_c;
    for (i, &(t, c_out, stride, rate)) in plan.iter().enumerate() {
        let wb = window(at, stride, rate, same);
        let mut b = TestBlock::new(&mut noise, wb, c, t, c_out);
        if i % 3 == 2 && stride == 1 {
            b.expansion = true;
        }
        b.pads_input = pads_input;
        if i % 4 == 3 {
            b.project.clamp = RELU6;
        }
        (at, c) = (wb.output, c_out);
        blocks.push(b);
    }
    let mut map = convolve(&input, &f, 3, &wd, false);
    for b in &blocks {
        map = b.naive(&map);
    }
    for chained in (0..=blocks.len()).rev() {
        check!(&input, &map, &format!("{plan:?} at {size}, {chained} chained, same {same}"), &|mut b| {
            let stem = Stem { name: "stem", window: wd, filter: f.filter() };
            let all: Vec<Block<'_>> = blocks.iter().map(TestBlock::describe).collect();
            let mut m = b.chain(None, Some(&stem), &all[..chained]).unwrap();
            for (i, block) in all[chained..].iter().enumerate() {
                // Every second block as a chain of its own, where it can begin one.
                m = if i % 2 == 1 && block.expand.is_some() {
                    b.chain(Some(m), None, &[*block]).unwrap()
                } else {
                    b.sliced(m, block).unwrap()
                };
            }
            b.finish(&[m], LIMIT).unwrap()
        });
    }
}

#[test]
fn blocks_chained_and_sliced_agree_with_the_naive_network() {
    // (expansion, channels, stride, rate)
    blocks_case(2, Size { height: 33, width: 35 }, 8, &[(1, 4, 1, 1), (6, 8, 2, 1), (6, 8, 1, 1), (6, 16, 1, 2)], true);
    blocks_case(3, Size { height: 34, width: 31 }, 16, &[(1, 16, 1, 1), (6, 24, 2, 1), (6, 24, 1, 1)], false);
    blocks_case(
        4,
        Size { height: 17, width: 65 },
        24,
        &[(6, 24, 1, 1), (3, 7, 2, 1), (6, 7, 1, 4), (2, 9, 1, 2)],
        true,
    );
    blocks_case(5, Size { height: 40, width: 3 }, 5, &[(6, 5, 1, 1), (6, 5, 1, 1), (6, 5, 2, 1), (1, 11, 1, 1)], true);
    blocks_case(6, Size { height: 1, width: 1 }, 8, &[(6, 8, 1, 1), (6, 8, 2, 1), (6, 8, 1, 2)], true);
    blocks_case(7, Size { height: 9, width: 12 }, 8, &[(1, 20, 2, 1), (1, 33, 1, 6)], false);
}

#[test]
fn blocks_whose_inputs_are_padded() {
    let plans: &[&[(usize, usize, usize, usize)]] = &[
        &[(1, 4, 1, 1), (6, 8, 2, 1), (6, 8, 1, 1), (6, 16, 1, 2)],
        &[(1, 7, 1, 1), (3, 7, 1, 4), (6, 24, 2, 1), (2, 24, 1, 1)],
    ];
    for (seed, (height, width)) in [(33, 35), (34, 31), (9, 70), (1, 2)].into_iter().enumerate() {
        for plan in plans {
            padded_blocks_case(20 + seed as u64, Size { height, width }, 8, plan, false, true);
        }
    }
}

#[test]
fn wide_blocks_are_sliced_at_panel_edges() {
    let mut noise = Noise::new(8);
    for (c, t) in [(20, 6), (40, 5), (33, 3)] {
        let input = picture(&mut noise, 19, 23);
        let f = weights(&mut noise, c, 27, RELU6);
        let wd = window(Size { height: 19, width: 23 }, 2, 1, true);
        let block = TestBlock::new(&mut noise, window(wd.output, 1, 2, true), c, t, c);
        let expected = block.naive(&convolve(&input, &f, 3, &wd, false));
        check!(&input, &expected, &format!("{c} x {t}"), &|mut b| {
            let m = b.chain(None, Some(&Stem { name: "stem", window: wd, filter: f.filter() }), &[]).unwrap();
            let m = b.sliced(m, &block.describe()).unwrap();
            b.finish(&[m], LIMIT).unwrap()
        });
    }
}

/// Rows as wide as each tile, slightly wider and slightly narrower; channels that need panels of every width, and
/// numbers of groups of input channels that an unrolled loop does not divide.
#[test]
fn every_width_of_row_and_panel() {
    let mut noise = Noise::new(11);
    for width in [4, 5, 6, 7, 8, 10, 11, 12, 16, 21, 22, 23, 33] {
        for (c, t, stride, rate) in [(8, 1, 1, 1), (8, 2, 1, 2), (4, 3, 1, 4), (20, 2, 2, 1), (12, 7, 1, 1)] {
            let size = Size { height: 6, width: 2 * width };
            let input = picture(&mut noise, size.height, size.width);
            let f = weights(&mut noise, c, 27, RELU6);
            let wd = window(size, 2, 1, true);
            let block = TestBlock::new(&mut noise, window(wd.output, stride, rate, true), c, t, c);
            let expected = block.naive(&convolve(&input, &f, 3, &wd, false));
            check!(&input, &expected, &format!("width {width}, {c} x {t}, stride {stride}, rate {rate}"), &|mut b| {
                let stem = Stem { name: "stem", window: wd, filter: f.filter() };
                let m = b.chain(None, Some(&stem), &[]).unwrap();
                let m = b.sliced(m, &block.describe()).unwrap();
                b.finish(&[m], LIMIT).unwrap()
            });
        }
    }
}

#[test]
fn head_with_pooling_concatenation_and_atrous_convolutions() {
    let mut noise = Noise::new(9);
    for (h, w, c) in [(9, 11, 20), (26, 15, 8)] {
        let input = picture(&mut noise, h, w);
        let stem = weights(&mut noise, c, 27, RELU6);
        let wd = window(Size { height: h, width: w }, 2, 1, true);
        let feature = convolve(&input, &stem, 3, &wd, false);
        let size = wd.output;
        let relu: Clamp = Some((0.0, f32::INFINITY));
        let branch = weights(&mut noise, 16, c, relu);
        let atrous: Vec<(usize, Weights)> =
            [1, 3, 18].iter().map(|&r| (r, weights(&mut noise, 16, 9 * c, relu))).collect();
        let pool = weights(&mut noise, 16, c, relu);
        let project = weights(&mut noise, 12, 16 * 4, relu);
        let project_pool = weights(&mut noise, 12, 16, None);
        let classifier = weights(&mut noise, 21, 12, None);

        let mean = (0..c).map(|i| {
            (0..size.height * size.width).map(|p| feature.v[p * c + i]).sum::<f64>() / (size.height * size.width) as f64
        });
        let pooled = pointwise(&Map { h: 1, w: 1, c, v: mean.collect() }, &pool);
        let bias = pointwise(&pooled, &project_pool);
        let mut parts = vec![pointwise(&feature, &branch)];
        for (rate, f) in &atrous {
            parts.push(convolve(&feature, f, 3, &window(size, 1, *rate, false), false));
        }
        let v = (0..size.height * size.width)
            .flat_map(|p| parts.iter().flat_map(move |m| m.v[p * 16..(p + 1) * 16].to_vec()))
            .collect();
        let concatenated = Map { h: size.height, w: size.width, c: 64, v };
        let with_bias = Weights { b: bias.v.iter().map(|&b| b as f32).collect(), ..project.clone() };
        let expected = pointwise(&pointwise(&concatenated, &with_bias), &classifier);
        check!(&input, &expected, "head", &|mut b| {
            let m = b.chain(None, Some(&Stem { name: "stem", window: wd, filter: stem.filter() }), &[]).unwrap();
            let mean = b.average("mean", m).unwrap();
            let pooled = b.convolution("pool", &[mean], 1, 1, &pool.filter(), None).unwrap();
            let bias = b.convolution("bias", &[pooled], 1, 1, &project_pool.filter(), None).unwrap();
            let mut maps = vec![b.convolution("branch", &[m], 1, 1, &branch.filter(), None).unwrap()];
            for (rate, f) in &atrous {
                maps.push(b.convolution("atrous", &[m], 3, *rate, &f.filter(), None).unwrap());
            }
            let m = b.convolution("project", &maps, 1, 1, &project.filter(), Some(bias)).unwrap();
            let m = b.convolution("classifier", &[m], 1, 1, &classifier.filter(), None).unwrap();
            b.finish(&[m], LIMIT).unwrap()
        });
    }
}

/// Small enough for Miri, yet complete: an image's rows, a chain with and without expansion, slices, pooling, an atrous
/// convolution, more than one thread.
#[test]
fn a_small_network_of_every_step() {
    let mut noise = Noise::new(10);
    let size = Size { height: 9, width: 7 };
    let input = picture(&mut noise, size.height, size.width);
    let stem = weights(&mut noise, 5, 27, RELU6);
    let wd = window(size, 2, 1, true);
    let half = wd.output;
    let first = TestBlock::new(&mut noise, window(half, 1, 1, true), 5, 1, 3);
    let second = TestBlock::new(&mut noise, window(half, 2, 1, true), 3, 2, 4);
    let quarter = second.window.output;
    let third = TestBlock::new(&mut noise, window(quarter, 1, 2, true), 4, 3, 4);
    let atrous = weights(&mut noise, 3, 9 * 4, RELU6);
    let bias = weights(&mut noise, 3, 4, None);

    let feature = third.naive(&second.naive(&first.naive(&convolve(&input, &stem, 3, &wd, false))));
    let mean =
        (0..4).map(|i| feature.v.iter().skip(i).step_by(4).sum::<f64>() / (quarter.height * quarter.width) as f64);
    let pooled = pointwise(&Map { h: 1, w: 1, c: 4, v: mean.collect() }, &bias);
    let with_bias = Weights { b: pooled.v.iter().map(|&b| b as f32).collect(), ..atrous.clone() };
    let deep = convolve(&feature, &with_bias, 3, &window(quarter, 1, 1, false), false);
    // A decoder's stage over the map between the first two blocks.
    let skip = weights(&mut noise, 2, 3, RELU6);
    let own = window(half, 1, 1, true);
    let depthwise = weights(&mut noise, 5, 9, RELU6);
    let last = weights(&mut noise, 1, 5, None);
    let low = first.naive(&convolve(&input, &stem, 3, &wd, false));
    let both = joined(&[&resized(&deep, half, Resize::AlignCorners), &pointwise(&low, &skip)]);
    let expected = pointwise(&convolve(&both, &depthwise, 3, &own, true), &last);
    check!(&input, &expected, "small", &|mut b| {
        let stem = Stem { name: "stem", window: wd, filter: stem.filter() };
        let chain = [first.describe(), second.describe()];
        let (m, tapped) = b.tapped_chain(None, Some(&stem), &chain, &[1]).unwrap();
        let m = b.sliced(m, &third.describe()).unwrap();
        let mean = b.average("mean", m).unwrap();
        let pooled = b.convolution("bias", &[mean], 1, 1, &bias.filter(), None).unwrap();
        let m = b.convolution("atrous", &[m], 3, 1, &atrous.filter(), Some(pooled)).unwrap();
        let parts = vec![Part::Below(Resize::AlignCorners), Part::Pointwise(tapped[0], skip.filter())];
        let depthwise = depthwise.filter();
        let pointwise = last.filter();
        let stage = DecoderStage { name: "stage", window: own, parts, depthwise, pointwise };
        let m = b.decoder("decoder", m, &[stage], None).unwrap();
        b.finish(&[m], LIMIT).unwrap()
    });
}

/// Cached weights are used instead of the filters', all of them and no more than exist.
#[test]
fn cached_weights_of_another_network_are_refused() {
    let mut noise = Noise::new(11);
    let f = weights(&mut noise, 5, 27, None);
    let wd = window(Size::square(5), 2, 1, true);
    let empty = Filter { weight: &[], bias: &[0.0; 5], clamp: None };
    let build = |mut b: Builder<f32>, filter: Filter<'_>| {
        let map = b.chain(None, Some(&Stem { name: "stem", window: wd, filter }), &[])?;
        b.finish(&[map], LIMIT)
    };
    let caches = Caches { l1: 32 << 10, l2: 1 << 20 };
    for isa in Isa::all() {
        let fresh = || Builder::<f32>::new(isa, 1, caches);
        let p = build(fresh(), f.filter()).unwrap();
        assert!(build(fresh(), empty).is_err(), "weights are missing");
        let input = picture(&mut noise, 5, 5);
        let all = packed_memory(&p).0.len();
        for (len, fits) in [(ALIGN, false), (all - ALIGN, false), (all, true), (all + ALIGN, false)] {
            let mut memory = Buffer::zeroed(len);
            let n = len.min(all);
            memory[..n].copy_from_slice(&packed_memory(&p).0[..n]);
            let reader = PackedReader::new(Arc::new(Memory(memory))).expect("a buffer is aligned");
            match build(fresh().with_packed(reader), empty) {
                Ok(again) => assert!(fits && run(&again, &input) == run(&p, &input), "{len} of {all}"),
                Err(error) => assert!(!fits && error.to_string().contains("packed earlier"), "{len} of {all}: {error}"),
            }
        }
    }
}

/// A map resized bilinearly, by the formula.
fn resized(map: &Map, size: Size, rule: Resize) -> Map {
    let place = |o: usize, len: usize, out: usize| {
        let at = match rule {
            Resize::AlignCorners if out == 1 => 0.0,
            Resize::AlignCorners => (o * (len - 1)) as f64 / (out - 1) as f64,
            Resize::HalfPixel => (o as f64 + 0.5) * len as f64 / out as f64 - 0.5,
        };
        at.clamp(0.0, (len - 1) as f64)
    };
    let mut v = Vec::new();
    for y in 0..size.height {
        for x in 0..size.width {
            let py = place(y, map.h, size.height);
            let px = place(x, map.w, size.width);
            for c in 0..map.c {
                let at = |y: f64, x: f64| {
                    map.v[((y as usize).min(map.h - 1) * map.w + (x as usize).min(map.w - 1)) * map.c + c]
                };
                let fy = py.fract();
                let fx = px.fract();
                let row = |y: f64| at(y, px) * (1.0 - fx) + at(y, px + 1.0) * fx;
                v.push(row(py) * (1.0 - fy) + row(py + 1.0) * fy);
            }
        }
    }
    Map { h: size.height, w: size.width, c: map.c, v }
}

/// The concatenated channels of maps.
fn joined(maps: &[&Map]) -> Map {
    let h = maps[0].h;
    let w = maps[0].w;
    let v = (0..h * w).flat_map(|p| maps.iter().flat_map(move |m| m.v[p * m.c..][..m.c].iter().copied())).collect();
    Map { h, w, c: maps.iter().map(|m| m.c).sum(), v }
}

#[test]
fn resizes_up_and_down_by_both_rules_at_odd_sizes() {
    let mut noise = Noise::new(21);
    let size = |height, width| Size { height, width };
    let cases = [
        (size(1, 1), size(3, 7)),
        (size(2, 3), size(33, 7)),
        (size(7, 3), size(2, 33)),
        (size(33, 7), size(1, 1)),
        (size(3, 33), size(7, 2)),
        (size(7, 7), size(7, 7)),
    ];
    for (from, to) in cases {
        for c in [1, 5, 16, 17] {
            let source = Size { height: 2 * from.height, width: 2 * from.width };
            let input = picture(&mut noise, source.height, source.width);
            let wd = window(source, 2, 1, true);
            let stem = weights(&mut noise, c, 27, None);
            let map = convolve(&input, &stem, 3, &wd, false);
            for rule in [Resize::AlignCorners, Resize::HalfPixel] {
                let expected = resized(&map, to, rule);
                check!(&input, &expected, &format!("{from} to {to}, {c} channels, {rule:?}"), &|mut b| {
                    let m =
                        b.chain(None, Some(&Stem { name: "stem", window: wd, filter: stem.filter() }), &[]).unwrap();
                    let m = b.resize("resize", m, to, rule).unwrap();
                    b.finish(&[m], LIMIT).unwrap()
                });
            }
        }
    }
}

/// Two to four maps with numbers of channels around the width of vectors, concatenated for a reader that needs one map;
/// sums, with and without an activation; a standalone depthwise convolution.
#[test]
fn maps_are_joined_summed_and_convolved_each_channel_by_itself() {
    let mut noise = Noise::new(22);
    let source = Size { height: 10, width: 13 };
    let input = picture(&mut noise, 10, 13);
    let wd = window(source, 2, 1, true);
    let stem = weights(&mut noise, 4, 27, RELU6);
    let map = convolve(&input, &stem, 3, &wd, false);
    for channels in [vec![3, 5], vec![16, 1, 8], vec![7, 9, 15, 17], vec![8, 8]] {
        let filters: Vec<Weights> = channels.iter().map(|&c| weights(&mut noise, c, 4, None)).collect();
        let parts: Vec<Map> = filters.iter().map(|f| pointwise(&map, f)).collect();
        let whole = joined(&parts.iter().collect::<Vec<_>>());
        for (stride, rate) in [(1, 1), (2, 1), (1, 3)] {
            let own = window(wd.output, stride, rate, true);
            let clamp = if rate == 1 { None } else { RELU6 };
            let deep = weights(&mut noise, whole.c, 9, RELU6);
            let convolved = convolve(&whole, &deep, 3, &own, true);
            let v = convolved.v.iter().map(|&v| act(v + v + v, clamp)).collect();
            let expected = Map { v, ..convolved };
            check!(&input, &expected, &format!("{channels:?}, stride {stride}, rate {rate}"), &|mut b| {
                let m = b.chain(None, Some(&Stem { name: "stem", window: wd, filter: stem.filter() }), &[]).unwrap();
                let maps: Vec<_> =
                    filters.iter().map(|f| b.convolution("part", &[m], 1, 1, &f.filter(), None).unwrap()).collect();
                let m = b.concat("concat", &maps).unwrap();
                let m = b.depthwise("depthwise", m, own, &deep.filter()).unwrap();
                let m = b.sum("sum", &[m, m, m], clamp).unwrap();
                b.finish(&[m], LIMIT).unwrap()
            });
        }
    }
}

/// One to three stages from a coarse map to ever finer skips, at odd sizes, by both rules, with channels that do not
/// fill a vector, one or two skips on either side, with and without a 1x1 convolution at the end; and a stage that
/// shrinks its map.
#[test]
fn decoders_row_by_row() {
    let mut noise = Noise::new(24);
    let size = |height, width| Size { height, width };
    let none: &[usize] = &[];
    // Sizes from coarse to fine; channels of the skips before and after the resized part; channels written; whether a
    // 1x1 follows.
    let cases = [
        (vec![size(3, 5), size(5, 9)], [&[][..], &[5]], 7, false),
        (vec![size(1, 1), size(2, 1), size(3, 2)], [&[3], none], 16, true),
        (vec![size(3, 2), size(5, 4), size(9, 7), size(17, 13)], [none, &[8]], 9, true),
        (vec![size(4, 4), size(8, 3), size(15, 17)], [&[17], &[1]], 24, false),
        (vec![size(9, 9), size(4, 5), size(11, 6)], [none, none], 5, true),
    ];
    for (sizes, [before, behind], written, ends) in cases {
        for rule in [Resize::AlignCorners, Resize::HalfPixel] {
            let what = format!("{sizes:?}, skips of {before:?} and {behind:?}, {rule:?}");
            let source = Size { height: 2 * sizes[0].height, width: 2 * sizes[0].width };
            let input = picture(&mut noise, source.height, source.width);
            let stem_window = window(source, 2, 1, true);
            let stem = weights(&mut noise, 6, 27, None);
            let coarse = convolve(&input, &stem, 3, &stem_window, false);
            // A skip's map: the coarse one resized, so that a program can compute it.
            let finer: Vec<Map> = sizes[1..].iter().map(|&to| resized(&coarse, to, Resize::HalfPixel)).collect();
            let mut below = coarse;
            let mut all = Vec::new();
            for skip in &finer {
                let own = window(Size { height: skip.h, width: skip.w }, 1, 1, true);
                let mut reduce = |&c: &usize| weights(&mut noise, c, skip.c, RELU6);
                let [before, behind] = [before, behind].map(|side| side.iter().map(&mut reduce).collect::<Vec<_>>());
                let up = resized(&below, own.input, rule);
                let parts: Vec<Map> = before.iter().map(|f| pointwise(skip, f)).collect();
                let after: Vec<Map> = behind.iter().map(|f| pointwise(skip, f)).collect();
                let whole = joined(&parts.iter().chain([&up]).chain(&after).collect::<Vec<_>>());
                let deep = weights(&mut noise, whole.c, 9, RELU6);
                let last = weights(&mut noise, written, whole.c, RELU6);
                below = pointwise(&convolve(&whole, &deep, 3, &own, true), &last);
                all.push((own, before, behind, deep, last));
            }
            let tail = ends.then(|| weights(&mut noise, 3, written, None));
            let expected = tail.as_ref().map_or(below.clone(), |f| pointwise(&below, f));
            check!(&input, &expected, &what, &|mut b| {
                let stem = Stem { name: "stem", window: stem_window, filter: stem.filter() };
                let coarse = b.chain(None, Some(&stem), &[]).unwrap();
                let to_skip = |b: &mut Builder<_>, to| b.resize("skip", coarse, to, Resize::HalfPixel).unwrap();
                let skips: Vec<_> = sizes[1..].iter().map(|&to| to_skip(&mut b, to)).collect();
                let mut stages = Vec::new();
                for ((own, before, behind, deep, last), &skip) in all.iter().zip(&skips) {
                    let part = |f| Part::Pointwise(skip, Weights::filter(f));
                    let mut parts: Vec<Part<'_>> = before.iter().map(part).collect();
                    parts.push(Part::Below(rule));
                    parts.extend(behind.iter().map(part));
                    let depthwise = deep.filter();
                    let pointwise = last.filter();
                    stages.push(DecoderStage { name: "stage", window: *own, parts, depthwise, pointwise });
                }
                let m = b.decoder("decoder", coarse, &stages, tail.as_ref().map(Weights::filter).as_ref()).unwrap();
                b.finish(&[m], LIMIT).unwrap()
            });
        }
    }
}

/// Taps of every stage of a chain, as outputs of their own: the chain's own bits are those without taps, and a tapped
/// map is the naive network's, whichever thread computes its rows.
#[test]
fn a_tapped_chain_is_the_same_chain() {
    let mut noise = Noise::new(23);
    for (source, same) in [(Size { height: 33, width: 18 }, true), (Size { height: 30, width: 9 }, false)] {
        let input = picture(&mut noise, source.height, source.width);
        let wd = window(source, 2, 1, same);
        let stem = weights(&mut noise, 7, 27, RELU6);
        let mut blocks = vec![TestBlock::new(&mut noise, window(wd.output, 1, 1, same), 7, 1, 5)];
        for (t, c, stride) in [(3, 9, 2), (2, 9, 1), (2, 4, 2), (3, 6, 3)] {
            let before = blocks[blocks.len() - 1].window.output;
            let c_in = blocks[blocks.len() - 1].project.b.len();
            blocks.push(TestBlock::new(&mut noise, window(before, stride, 1, same), c_in, t, c));
        }
        let mut maps = vec![convolve(&input, &stem, 3, &wd, false)];
        for block in &blocks {
            maps.push(block.naive(&maps[maps.len() - 1]));
        }
        let build = |isa, threads, taps: &[usize]| {
            let mut b = Builder::<f32>::new(isa, threads, Caches { l1: 32 << 10, l2: 1 << 20 });
            let all: Vec<Block<'_>> = blocks.iter().map(TestBlock::describe).collect();
            let stem = Stem { name: "stem", window: wd, filter: stem.filter() };
            let (m, tapped) = b.tapped_chain(None, Some(&stem), &all, taps).unwrap();
            let outputs: Vec<_> = [m].into_iter().chain(tapped).collect();
            b.finish(&outputs, LIMIT).unwrap()
        };
        for isa in Isa::all() {
            let plain = run_all(&build(isa, 1, &[]), &input).remove(0);
            for threads in 1..=4 {
                let taps: Vec<usize> = (0..blocks.len()).collect();
                let program = build(isa, threads, &taps);
                let chains = program.steps().filter(|s| !s.name.starts_with("output")).count();
                assert_eq!(chains, 1, "one chain, whatever is tapped");
                let found = run_all(&program, &input);
                assert!(found[0] == plain, "{isa:?}, {threads} threads: a tap changes the chain's bits");
                for (i, (found, expected)) in found[1..].iter().zip(&maps).enumerate() {
                    assert_eq!(found.len(), expected.v.len());
                    for (f, w) in found.iter().zip(&expected.v) {
                        let close = (f64::from(*f) - w).abs() <= 1e-4 * (1.0 + w.abs());
                        assert!(close, "{isa:?}, {threads} threads, stage {i}: {f} instead of {w}");
                    }
                }
            }
        }
        for taps in [&[5][..], &[1, 1], &[9]] {
            let mut b = Builder::<f32>::new(Isa::best(), 1, Caches::SMALL);
            let all: Vec<Block<'_>> = blocks.iter().map(TestBlock::describe).collect();
            let stem = Stem { name: "stem", window: wd, filter: stem.filter() };
            assert!(b.tapped_chain(None, Some(&stem), &all, taps).is_err(), "{taps:?}");
        }
    }
}

/// As many slices as outputs, each of the output's length.
#[test]
fn outputs_that_do_not_fit_are_refused() {
    let mut noise = Noise::new(24);
    let input = picture(&mut noise, 6, 6);
    let wd = window(Size::square(6), 2, 1, true);
    let stem = weights(&mut noise, 4, 27, RELU6);
    let mut b = Builder::<f32>::new(Isa::best(), 1, Caches::SMALL);
    let m = b.chain(None, Some(&Stem { name: "stem", window: wd, filter: stem.filter() }), &[]).unwrap();
    let p = b.finish(&[m, m], LIMIT).unwrap();
    let mut one = vec![0.0; 36];
    let mut two = vec![0.0; 35];
    let run = |outputs: &mut [&mut [f32]]| p.execution().unwrap().run(&input, outputs, &|work| work(0)).unwrap_err();
    assert_eq!(run(&mut [&mut one]), RunError::Outputs { expected: 2, found: 1 });
    assert_eq!(run(&mut [&mut one, &mut two]), RunError::OutputLength { expected: 36, found: 35 });
    for outputs in [vec![], vec![m; 9]] {
        let mut b = Builder::<f32>::new(Isa::best(), 1, Caches::SMALL);
        let again = b.chain(None, Some(&Stem { name: "stem", window: wd, filter: stem.filter() }), &[]).unwrap();
        assert_eq!(again, m);
        assert!(b.finish(&outputs, LIMIT).is_err());
    }
}
