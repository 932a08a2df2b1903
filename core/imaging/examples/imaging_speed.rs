//! Prints the time from frames to input rows and from logits to masks on one thread, for every instruction set of this
//! CPU: `cargo run --release -p silhouette-imaging --example imaging_speed -- [WORD...]`. Medians, in milliseconds.
//! Runs only the cases with all of the words in their names.

use std::time::Instant;

use silhouette_imaging::frame::{Frame, PixelFormat, Rotation, Size, YuvColor};
use silhouette_imaging::input::{Fit, InputSpec, Placement, Resampler};
use silhouette_imaging::mask::{Confidence, Logits, Mask, MaskSpec, Resize, Upsampler};
use silhouette_imaging::palette::Palette;
use silhouette_imaging::picture::Picture;
use silhouette_imaging::polygons::outlines;
use silhouette_imaging::refine::{Guide, refine};
use silhouette_kernels::isa::Isa;
use silhouette_kernels::rows::RowSource;

/// Runs and prints `f`, if its name was selected.
fn measure(name: &str, rounds: usize, mut f: impl FnMut()) {
    if !std::env::args().skip(1).all(|word| name.contains(&word)) {
        return;
    }
    f();
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{name}: {:.3}", times[rounds / 2]);
}

fn noise(n: usize) -> Vec<u8> {
    silhouette_testkit::Noise::new(1).bytes(n)
}

/// Pulls every row of the input, as the network does.
fn pull(resampler: &mut Resampler, frame: &Frame<'_>, scratch: &mut Vec<f32>, row: &mut Vec<f32>) {
    let rows = resampler.rows(frame).unwrap();
    scratch.resize(rows.scratch_len(), 0.0);
    row.resize(rows.width() * 3, 0.0);
    for y in 0..rows.height() {
        rows.row(y, scratch, row);
    }
}

/// Logits with a few blobs, like a network's, or plain noise.
fn logits(side: usize, classes: usize, blobs: bool) -> Vec<f32> {
    let noise = noise(side * side * classes);
    let mut out: Vec<f32> = noise.iter().map(|&v| f32::from(v) / 64.0).collect();
    if blobs {
        for (i, pixel) in out.chunks_exact_mut(classes).enumerate() {
            let x = (i % side) as f32 / side as f32;
            let y = (i / side) as f32 / side as f32;
            pixel[0] += 10.0;
            pixel[classes - 1] += 22.0 - 60.0 * ((x - 0.4).powi(2) + (y - 0.5).powi(2)).sqrt();
            pixel[classes / 2] += 20.0 - 60.0 * ((x - 0.8).powi(2) + (y - 0.7).powi(2)).sqrt();
        }
    }
    out
}

fn main() {
    let color = YuvColor::default();
    let w = 1280;
    let h = 720;
    let data = noise(w * h * 4);
    let chroma = noise(w * h / 2);
    let large = noise(4000 * 3000 * 3);
    let rgb = Frame::rgb(&data[..w * h * 3], w, h).expect("valid");
    let frames = [
        ("1280x720 RGB", rgb),
        ("1280x720 RGB turned 90", rgb.rotated(Rotation::Clockwise90)),
        ("1280x720 BGRA", Frame::packed(PixelFormat::Bgra, &data, w, h, w * 4).expect("valid")),
        (
            "1280x720 BGRA turned 90",
            Frame::packed(PixelFormat::Bgra, &data, w, h, w * 4).expect("valid").rotated(Rotation::Clockwise90),
        ),
        ("1280x720 NV12", Frame::nv12([&data, &chroma], [w, w], w, h, color).expect("valid")),
        (
            "1280x720 NV12 turned 90",
            Frame::nv12([&data, &chroma], [w, w], w, h, color).expect("valid").rotated(Rotation::Clockwise90),
        ),
        (
            "1280x720 I420",
            Frame::i420([&data, &chroma, &chroma[w * h / 4..]], [w, w / 2, w / 2], w, h, color).expect("valid"),
        ),
        ("4000x3000 RGB", Frame::rgb(&large, 4000, 3000).expect("valid")),
        ("4000x3000 RGB turned 90", Frame::rgb(&large, 4000, 3000).expect("valid").rotated(Rotation::Clockwise90)),
        ("320x240 RGB", Frame::rgb(&data[..320 * 240 * 3], 320, 240).expect("valid")),
    ];
    // Effects and outlines, which do not depend on the instruction set.
    let picture = Picture::from_frame(&rgb).unwrap();
    let mut up = Upsampler::new();
    let mut mask = Mask::default();
    let mut alpha = Confidence::default();
    let values = logits(33, 21, true);
    let blobs = Logits { values: &values, size: Size::square(33), classes: 21 };
    let placement = Placement { input: Size::square(513), valid: Size::square(513) };
    let spec = MaskSpec { resize: Resize::AlignCorners, placement, size: Size { height: h, width: w } };
    let chosen: Vec<bool> = (0..21).map(|class| class == 20).collect();
    up.categories(&blobs, &spec, &mut mask).unwrap();
    up.confidence(&blobs, &chosen, &MaskSpec { size: Size { height: 180, width: 320 }, ..spec }, &mut alpha).unwrap();
    measure("1280x720 RGB to an image", 9, || drop(Picture::from_frame(&rgb)));
    measure("1280x720 overlay", 9, || picture.clone().overlay(&mask, &Palette::voc(), 0.5));
    measure("1280x720 cut-out", 9, || picture.clone().cut_out(&alpha).unwrap());
    measure("1280x720 background blur, radius 20", 9, || picture.clone().blur_background(&alpha, 20.0).unwrap());
    measure("1280x720 outlines, exact", 9, || drop(outlines(&mask, 20, 0.0, 0).unwrap()));
    measure("1280x720 outlines, tolerance 2", 9, || drop(outlines(&mask, 20, 2.0, 0).unwrap()));
    measure("320x180 confidence refined to 1280x720", 9, || drop(refine(&alpha, &picture, Guide::default())));

    for isa in Isa::all() {
        for (name, frame) in &frames {
            for size in [257, 513] {
                let spec = InputSpec { size: Size::square(size), mean: [127.5; 3], std: [127.5; 3], fit: Fit::Stretch };
                let mut resampler = Resampler::with_isa(spec, isa);
                let mut scratch = Vec::new();
                let mut row = Vec::new();
                let name = format!("{:7} {name} to {size}x{size}", isa.name());
                measure(&name, 21, || pull(&mut resampler, frame, &mut scratch, &mut row));
            }
        }
        for (side, classes, size, blobs) in
            [(33, 21, 513, true), (33, 21, 513, false), (17, 21, 257, true), (65, 2, 513, true), (33, 150, 513, true)]
        {
            let values = logits(side, classes, blobs);
            let logits = Logits { values: &values, size: Size::square(side), classes };
            let placement = Placement { input: Size::square(size), valid: Size::square(size) };
            let mut chosen = vec![false; classes];
            chosen[classes - 1] = true;
            for (width, height) in [(size, size), (1280, 720)] {
                let spec = MaskSpec { resize: Resize::AlignCorners, placement, size: Size { height, width } };
                let mut up = Upsampler::with_isa(isa);
                let mut mask = Mask::default();
                let mut sure = Confidence::default();
                let kind = if blobs { "blobs" } else { "noise" };
                let name = format!("{:7} {side}x{side}x{classes} {kind} to a {width}x{height}", isa.name());
                measure(&format!("{name} mask"), 21, || up.categories(&logits, &spec, &mut mask).unwrap());
                measure(&format!("{name} confidence"), 9, || {
                    up.confidence(&logits, &chosen, &spec, &mut sure).unwrap();
                });
            }
        }
    }
}
