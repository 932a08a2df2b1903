//! SSE2 has the bits of plain Rust in the image kernels too: neither fuses a multiply-add.
#![cfg(target_arch = "x86_64")]

use silhouette_kernels::isa::Isa;
use silhouette_kernels::resize::{Affine, Taps, combine_columns, combine_rows, filter_line};
use silhouette_kernels::upsample::{Axis, Resize, Upsample, categories, confidence};
use silhouette_kernels::yuv::{Yuv420, YuvToRgb, combine_yuv_columns, combine_yuv_rows};
use silhouette_testkit::Noise;

/// What `kernel` writes into `len` values, with SSE2 and without.
fn compare(what: &str, len: usize, kernel: impl Fn(Isa, &mut [f32])) {
    let run = |name: &str| {
        let isa = Isa::all().into_iter().find(|isa| isa.name() == name).expect("every x86-64 has it");
        let mut out = vec![f32::NAN; len];
        kernel(isa, &mut out);
        out.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(run("sse2"), run("scalar"), "{what}");
}

#[test]
fn resizing_gives_the_same_bits() {
    for len in [1, 7, 16, 17, 33, 64, 131] {
        for taps in [1, 2, 3, 5, 7] {
            let weights: Vec<f32> = (0..taps).map(|t| 0.37 - 0.04 * t as f32).collect();
            let src = Noise::new(5).bytes(taps * (len + 3) + len);
            compare("rows", len, |isa, out| combine_rows(isa, &src, len + 3, &weights, out));
            for channels in [1, 3, 4] {
                let row = taps * channels + 5;
                let src = Noise::new(6).bytes(len * row);
                compare("columns", len * channels, |isa, out| combine_columns(isa, &src, row, channels, &weights, out));
                let line: Vec<f32> =
                    Noise::new(7).bytes(len * channels + 1).into_iter().map(|v| f32::from(v) * 1.03).collect();
                let x = Taps::triangle(0, len, taps % 2 == 0, len * 2 / taps + 1).unwrap();
                let affine = Affine { bgr: taps > 2, scale: [0.1, 0.2, 0.3], offset: [1.1, 2.2, 3.3] };
                compare("line", x.len() * 3, |isa, out| filter_line(isa, &line, 0, channels, &x, &affine, out));
            }
        }
    }
}

#[test]
fn conversion_gives_the_same_bits() {
    for (width, height) in [(2usize, 2usize), (17, 6), (64, 5), (133, 6)] {
        for chroma in [1, 2, 3] {
            let row = width.div_ceil(2) * chroma + 1;
            let planes = [
                Noise::new(1).bytes(width * height),
                Noise::new(2).bytes(row * height.div_ceil(2)),
                Noise::new(3).bytes(row * height.div_ceil(2)),
            ];
            let picture = Yuv420 {
                planes: planes.each_ref().map(Vec::as_slice),
                row_strides: [width, row, row],
                pixel_strides: [1, chroma, chroma],
                width,
                height,
            };
            let color = YuvToRgb::new(0.2126, 0.0722, chroma == 1);
            let weights = [0.61, 0.39];
            compare("rows", width * 4, |isa, out| combine_yuv_rows(isa, &picture, &color, 0, 0, &weights, out));
            compare("columns", height * 4, |isa, out| combine_yuv_columns(isa, &picture, &color, 0, 0, &weights, out));
        }
    }
}

#[test]
fn masks_are_the_same() {
    let classes = 21;
    let up = Upsample {
        rows: Axis::new(5, 33, 33, 40, Resize::AlignCorners).unwrap(),
        columns: Axis::new(9, 65, 50, 77, Resize::HalfPixel).unwrap(),
    };
    let logits: Vec<f32> =
        Noise::new(9).bytes(5 * 9 * classes).into_iter().map(|v| f32::from(v) / 17.0 - 8.0).collect();
    let chosen: Vec<bool> = (0..classes).map(|c| c % 5 == 0).collect();
    compare("probabilities", 40 * 77, |isa, out| {
        confidence(isa, &logits, &chosen, &up, 0..40, &mut vec![0.0; up.scratch(classes)], out);
    });
    compare("categories", 40 * 77, |isa, out| {
        let mut mask = vec![0; out.len()];
        categories(isa, &logits, classes, &up, 0..40, &mut vec![0.0; up.scratch(classes)], &mut mask);
        out.iter_mut().zip(mask).for_each(|(o, m)| *o = f32::from(m));
    });
}
