//! After the first frame, nothing is allocated: by this thread, the engine's threads, or the stream's.

mod common;

use common::model;
use silhouette::{
    Frame, FrameBuffer, InputShape, Options, OutputSize, PixelFormat, Rotation, Segmentation, Segmenter, Smoothing,
};
use silhouette::{VideoSegmenter, YuvColor};
use silhouette_testkit::waves;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations of the whole process while `work` runs: this file contains a single test, so that no other one is
/// counted.
fn allocations(mut work: impl FnMut()) -> usize {
    let region = Region::new(ALLOCATOR);
    work();
    let change = region.change();
    change.allocations + change.reallocations
}

#[test]
fn a_frame_after_the_first_allocates_nothing() {
    assert!(allocations(|| drop(vec![1_u8; 100])) > 0, "allocations are counted");
    let model = model();
    let bytes = waves(320, 240, 0);
    let rgb = Frame::rgb(&bytes, 320, 240).unwrap();
    let strides = [320, 160, 160];
    let planes = [&bytes[..], &bytes[1000..], &bytes[2000..]];
    let yuv = Frame::i420(planes, strides, 320, 240, YuvColor::default()).unwrap().rotated(Rotation::Clockwise90);
    let padded = Frame::packed(PixelFormat::Rgba, &bytes, 100, 100, 600).unwrap().mirrored(true);
    let mut confidence = silhouette::Confidence::default();
    for threads in [1, 2] {
        for output in [OutputSize::Frame, OutputSize::Model, OutputSize::Given { width: 77, height: 50 }] {
            // Both shapes of the three frames are among the kept ones.
            let shape = if threads == 2 { InputShape::Frame } else { InputShape::Square };
            let options = Options::new().threads(threads).output(output).input_shape(shape);
            let segmenter = Segmenter::new(&model, &options).unwrap();
            let mut video = VideoSegmenter::new(&segmenter, Smoothing::default());
            let mut copy = FrameBuffer::default();
            for frame in [&rgb, &yuv, &padded] {
                let mut segmentation = Segmentation::default();
                let mut time = Duration::ZERO;
                let mut once = || {
                    segmenter.segment_into(frame, &mut segmentation).unwrap();
                    segmentation.confidence_into(&[15], &mut confidence).unwrap();
                    video.segment_into(frame, time, &mut segmentation).unwrap();
                    copy.copy_from(frame).unwrap();
                    time += Duration::from_millis(33);
                };
                // Twice: the second frame of a video is the first that is smoothed.
                once();
                once();
                let count = allocations(|| (0..5).for_each(|_| once()));
                assert_eq!(count, 0, "{threads} threads, {output:?}, {}x{}", frame.width(), frame.height());
            }
        }
    }
}
