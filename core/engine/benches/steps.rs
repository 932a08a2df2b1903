//! Each kind of step on the shapes of the paper's network at 513x513, for every instruction set: the median and the
//! best time of one second of rounds, and for the best its GFLOP/s (a multiply-add is two operations) and share of the
//! core's measured peak. The engine times its steps itself, so a loop around it is all that is needed.
//!
//! `cargo bench -p silhouette-engine -- [PART OF A NAME]`

use std::time::{Duration, Instant};

use silhouette_engine::caches::Caches;
use silhouette_engine::program::{Block, Builder, Filter, Map, Stem, Window};
use silhouette_kernels::isa::Isa;
use silhouette_kernels::peak;
use silhouette_kernels::rows::RowSource;
use silhouette_kernels::size::Size;

/// A grey image: the first chain of every program needs one.
struct Grey(usize);

impl RowSource for Grey {
    fn width(&self) -> usize {
        self.0
    }
    fn height(&self) -> usize {
        self.0
    }
    fn scratch_len(&self) -> usize {
        0
    }
    fn row(&self, y: usize, _: &mut [f32], out: &mut [f32]) {
        out.fill(y as f32 / 256.0 - 1.0);
    }
}

fn window(input: usize, stride: usize, rate: usize) -> Window {
    let output = input.div_ceil(stride);
    let [input, output, pad] = [input, output, rate].map(Size::square);
    Window { input, output, stride, rate, pad }
}

const RELU6: Option<(f32, f32)> = Some((0.0, 6.0));

/// Weights, all small and different.
fn weights(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 31) % 97) as f32 / 970.0 - 0.05).collect()
}

/// A program whose step after the stem is measured: the stem makes a map of `side` x `side` x `c`.
fn measure(only: &str, name: &str, side: usize, channels: usize, step: &dyn Fn(&mut Builder<f32>, Map) -> Map) {
    for isa in Isa::all() {
        let name = format!("{name}, {}", isa.name());
        if !name.contains(only) {
            continue;
        }
        let mut builder = Builder::<f32>::new(isa, 1, Caches::detect());
        let w = weights(channels * 27);
        let b = weights(channels);
        let stem = Stem {
            name: "stem",
            window: window(2 * side - 1, 2, 1),
            filter: Filter { weight: &w, bias: &b, clamp: RELU6 },
        };
        let map = builder.chain(None, Some(&stem), &[]).expect("a stem");
        let map = step(&mut builder, map);
        let program = builder.finish(&[map], 1 << 30).expect("a program");
        let mut execution = program.execution().unwrap();
        let mut out = vec![0.0; program.outputs()[0].values()];
        // After it comes the step that writes the output.
        let measured = program.steps().count() - 2;
        let operations = 2.0 * program.steps().nth(measured).expect("a step").macs as f64;
        let mut run = || {
            execution.run(&Grey(2 * side - 1), &mut [&mut out], &|work| work(0)).expect("a run");
            // Only the last step's own time: the stem runs to feed it.
            execution.step_nanoseconds().nth(measured).expect("a step")
        };
        run();
        let begun = Instant::now();
        let mut times = Vec::new();
        while times.len() < 3 || begun.elapsed() < Duration::from_secs(1) {
            times.push(run());
        }
        times.sort_unstable();
        let [median, best] = [times[times.len() / 2], times[0]].map(|ns| ns as f64);
        let rate = operations / best;
        let peak = peak_gflops(isa);
        println!(
            "{name}: median {:.1} us, best {:.1} us of {}, {rate:.1} GFLOP/s, {:.0} % of the peak of {peak:.1}",
            median / 1e3,
            best / 1e3,
            times.len(),
            100.0 * rate / peak
        );
    }
}

/// The core's peak in this instruction set, the best of several short runs.
fn peak_gflops(isa: Isa) -> f64 {
    let rate = |_| {
        let begun = Instant::now();
        let operations = peak::spin(isa, 200_000);
        operations as f64 / begun.elapsed().as_secs_f64() / 1e9
    };
    (0..5).map(rate).fold(0.0, f64::max)
}

fn main() {
    // Cargo passes --bench on.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for (k, n, side) in [(32, 192, 65), (64, 384, 33), (160, 960, 33), (960, 320, 33), (320, 256, 33)] {
        let w = weights(k * n);
        let b = weights(n);
        measure(&only, &format!("pointwise {k} to {n} at {side}x{side}"), side, k, &|builder, map| {
            let filter = Filter { weight: &w, bias: &b, clamp: RELU6 };
            builder.convolution("pointwise", &[map], 1, 1, &filter, None).expect("fits")
        });
    }
    for (c_in, t, c_out, side, stride, rate) in [
        (16, 6, 24, 257, 2, 1),
        (24, 6, 24, 129, 1, 1),
        (32, 6, 32, 65, 1, 1),
        (96, 6, 96, 33, 1, 1),
        (160, 6, 160, 33, 1, 2),
    ] {
        let wide = c_in * t;
        let e = weights(c_in * wide);
        let d = weights(9 * wide);
        let p = weights(wide * c_out);
        let be = weights(wide);
        let bd = weights(wide);
        let bp = weights(c_out);
        let block = Block {
            name: "block",
            c_in,
            window: window(side, stride, rate),
            expand: Some(Filter { weight: &e, bias: &be, clamp: RELU6 }),
            depthwise: Filter { weight: &d, bias: &bd, clamp: RELU6 },
            project: Filter { weight: &p, bias: &bp, clamp: None },
            residual: stride == 1 && c_in == c_out,
            expansion_shortcut: false,
            pads_input: false,
        };
        let shape = format!("{c_in} x {t} to {c_out} at {side}x{side}, stride {stride}, rate {rate}");
        measure(&only, &format!("inverted residual in rows, {shape}"), side, c_in, &|builder, map| {
            builder.chain(Some(map), None, &[block]).expect("fits")
        });
        measure(&only, &format!("inverted residual in slices, {shape}"), side, c_in, &|builder, map| {
            builder.sliced(map, &block).expect("fits")
        });
    }
}
