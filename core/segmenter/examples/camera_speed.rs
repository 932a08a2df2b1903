//! Milliseconds from a 1280x720 YUV frame to its mask, the median of many: the Rust side of `scripts/bench/bindings`.
//!
//! `cargo run --release -p silhouette --example camera_speed -- MODEL [FRAMES]`
#![forbid(unsafe_code)]

use silhouette::{Frame, Model, Options, Plane, Segmentation, Segmenter, YuvColor};
use std::error::Error;
use std::time::Instant;

const WIDTH: usize = 1280;
const HEIGHT: usize = 720;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = Model::open(arguments.next().ok_or("usage: camera_speed MODEL [FRAMES]")?)?;
    let frames: usize = arguments.next().map_or(Ok(100), |frames| frames.parse())?;
    let segmenter = Segmenter::new(&model, &Options::new().threads(1).size(257))?;
    // As cameras deliver it: interleaved chroma in one buffer, seen as two planes.
    let luma: Vec<u8> = (0..WIDTH * HEIGHT).map(|i| ((i % WIDTH) / 5 + (i / WIDTH) / 3) as u8).collect();
    let chroma: Vec<u8> = (0..WIDTH * HEIGHT / 2).map(|i| (i / 640) as u8).collect();
    let color = YuvColor::default();
    let plane = |data, pixel_stride| Plane { data, row_stride: WIDTH, pixel_stride };
    let frame = Frame::yuv420(plane(&luma, 1), plane(&chroma, 2), plane(&chroma[1..], 2), WIDTH, HEIGHT, color)?;
    let mut segmentation = Segmentation::default();
    let mut once = || {
        let start = Instant::now();
        segmenter.segment_into(&frame, &mut segmentation)?;
        silhouette::Result::Ok(start.elapsed())
    };
    for _ in 0..frames / 5 {
        once()?;
    }
    let mut times = (0..frames).map(|_| once()).collect::<silhouette::Result<Vec<_>>>()?;
    times.sort();
    println!("{:.4}", times[frames / 2].as_secs_f64() * 1e3);
    Ok(())
}
