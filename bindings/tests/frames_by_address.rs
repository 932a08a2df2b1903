//! The C entries, called as Swift calls them: valid frames, hostile ones, closed objects, a live stream.

use proptest::prelude::*;
use silhouette_ffi::SilhouetteError;
use silhouette_ffi::c::{
    Failure, silhouette_confidence, silhouette_effect, silhouette_mask, silhouette_segment, silhouette_segment_video,
    silhouette_submit,
};
use silhouette_ffi::frame::{RawEffect, RawFrame, RawPlane};
use silhouette_ffi::live::{LiveListener, LiveSegmenter};
use silhouette_ffi::model::Model;
use silhouette_ffi::segmentation::Segmentation;
use silhouette_ffi::segmenter::{Segmenter, VideoSegmenter};
use silhouette_ffi::values::{Backend, InputShape, Options, OutputSize, Precision, Size, Smoothing};
use std::ffi::CStr;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const INVALID_FRAME: i32 = 1;
const UNSUPPORTED: i32 = 3;
const CLOSED: i32 = 4;

/// Created once: the tests below can share it.
static SEGMENTER: LazyLock<Arc<Segmenter>> = LazyLock::new(segmenter);

fn segmenter() -> Arc<Segmenter> {
    Segmenter::new(&Model::from(silhouette::Model::fixture().unwrap()), options()).unwrap()
}

fn options() -> Options {
    Options {
        threads: Some(1),
        backend: Backend::Auto,
        precision: Precision::Auto,
        size: None,
        input_shape: InputShape::Square,
        concurrency: None,
        output: OutputSize::Frame,
        refine: false,
        weight_cache: None,
    }
}

#[test]
fn numbers_out_of_their_bounds_are_refused_before_memory_is_taken_for_them() {
    let good = options();
    let model = Model::from(silhouette::Model::fixture().unwrap());
    for number in [0, i32::MAX as u32, i32::MAX as u32 + 1, u32::MAX] {
        for (what, options) in [
            ("threads", Options { threads: Some(number), ..good.clone() }),
            ("size", Options { size: Some(number), ..good.clone() }),
            ("concurrency", Options { concurrency: Some(number), ..good.clone() }),
            ("width", Options { output: OutputSize::Given { width: number, height: 1 }, ..good.clone() }),
            ("height", Options { output: OutputSize::Given { width: 1, height: number }, ..good.clone() }),
        ] {
            let error = Segmenter::new(&model, options).unwrap_err();
            assert_eq!(error.kind(), UNSUPPORTED, "{what} {number}: {error}");
        }
    }
    let picture = pixels(6, 5);
    let frame = rgba(&picture, 6, 5);
    for (half_life, longest_pause) in [(u64::MAX, 1), (1, u64::MAX)] {
        let video = VideoSegmenter::new(&SEGMENTER, Smoothing { half_life, longest_pause });
        // SAFETY: the objects live, and the frame describes its bytes correctly.
        let answer = failure_of(|failure| unsafe {
            silhouette_segment_video(video.raw(), &raw const frame, 0, Segmentation::new().raw(), failure)
        });
        assert_eq!(answer.0, UNSUPPORTED, "{answer:?}");
    }
    let out = Segmentation::new();
    assert_eq!(segment(&frame, &out).0, 0);
    let mut bytes = [0; 6 * 5 * 4];
    for strength in [1.5, f32::MAX, f32::INFINITY] {
        for kind in [1, 3] {
            let effect = RawEffect { strength, ..effect(kind) };
            // SAFETY: as above, and the bytes are this function's.
            let answer = failure_of(|failure| unsafe {
                let to = bytes.as_mut_ptr();
                let length = bytes.len();
                silhouette_effect(out.raw(), &raw const frame, &raw const effect, to, length, 24, failure)
            });
            assert_eq!(answer.0, UNSUPPORTED, "{kind} {strength}: {answer:?}");
        }
    }
    for tolerance in [f64::NAN, f64::INFINITY, -1.0] {
        assert_eq!(out.polygons(0, tolerance, u32::MAX).unwrap_err().kind(), UNSUPPORTED);
    }
}

fn pixels(width: usize, height: usize) -> Vec<u8> {
    (0..width * height * 4).map(|i| (i * 31 / 7 + i / width) as u8).collect()
}

fn plane(data: &[u8], row_stride: usize, pixel_stride: usize) -> RawPlane {
    RawPlane { data: data.as_ptr(), length: data.len(), row_stride, pixel_stride }
}

/// An RGBA frame; everything else is changed by the tests.
fn rgba(data: &[u8], width: u32, height: u32) -> RawFrame {
    RawFrame {
        planes: [plane(data, width as usize * 4, 4), RawPlane::ABSENT, RawPlane::ABSENT],
        format: 1,
        width,
        height,
        matrix: 0,
        range: 1,
        rotation: 0,
        mirror: 0,
        region_x: 0,
        region_y: 0,
        region_width: 0,
        region_height: 0,
    }
}

fn effect(kind: u32) -> RawEffect {
    RawEffect {
        kind,
        all_classes: 1,
        classes: std::ptr::null(),
        class_count: 0,
        background: std::ptr::null(),
        strength: -1.0,
        bgra: 0,
        premultiplied: 0,
    }
}

/// Calls `work` with memory for the failure; its kind must match the return value of `work`, and its texts must not be
/// empty.
fn failure_of(work: impl FnOnce(*mut Failure) -> i32) -> (i32, String) {
    let mut failure = Failure { kind: 0, reason: [0; 512], advice: [0; 256] };
    let returned = work(&raw mut failure);
    assert_eq!(failure.kind, returned);
    // SAFETY: the texts end in 0, which `c.rs` tests.
    let [reason, advice] =
        [failure.reason.as_ptr(), failure.advice.as_ptr()].map(|text| unsafe { CStr::from_ptr(text) });
    let reason = reason.to_str().unwrap();
    let advice = advice.to_str().unwrap();
    if returned != 0 {
        assert!(!reason.is_empty() && !advice.is_empty(), "{returned}: '{reason}' '{advice}'");
    }
    (returned, reason.to_owned())
}

fn segment(frame: &RawFrame, out: &Segmentation) -> (i32, String) {
    // SAFETY: the objects live, and each frame here describes its bytes correctly.
    failure_of(|failure| unsafe { silhouette_segment(SEGMENTER.raw(), frame, out.raw(), failure) })
}

fn mask_of(segmentation: &Segmentation) -> Vec<u8> {
    let Size { width, height } = segmentation.size();
    let mut mask = vec![0; (width * height) as usize];
    let length = mask.len();
    // SAFETY: the object lives and the memory is this function's.
    let answer = failure_of(|failure| unsafe {
        silhouette_mask(segmentation.raw(), mask.as_mut_ptr(), length, width as usize, failure)
    });
    assert_eq!(answer, (0, String::new()));
    mask
}

#[test]
fn masks_are_those_of_the_rust_api() {
    let bytes = pixels(50, 30);
    let out = Segmentation::new();
    let model = silhouette::Model::fixture().unwrap();
    let options = silhouette::Options::new().threads(1).input_shape(InputShape::Square).refine(false);
    let rust = silhouette::Segmenter::new(&model, &options).unwrap();
    for (degrees, rotation) in [(0, silhouette::Rotation::None), (90, silhouette::Rotation::Clockwise90)] {
        for mirror in [false, true] {
            let raw = RawFrame { rotation: degrees, mirror: u32::from(mirror), ..rgba(&bytes, 50, 30) };
            assert_eq!(segment(&raw, &out).0, 0);
            let frame = silhouette::Frame::rgba(&bytes, 50, 30).unwrap().rotated(rotation).mirrored(mirror);
            let expected = rust.segment(&frame).unwrap();
            assert_eq!(mask_of(&out), expected.mask().classes);
            assert_eq!(out.transform(), expected.transform().map(Into::into));
            let mut confidence = vec![0; expected.mask().classes.len()];
            let classes = [3_u32, 15];
            // SAFETY: the object lives, the memory is this test's.
            let answer = unsafe {
                silhouette_confidence(
                    out.raw(),
                    classes.as_ptr(),
                    2,
                    confidence.as_mut_ptr(),
                    confidence.len(),
                    expected.width(),
                    std::ptr::null_mut(),
                )
            };
            assert_eq!((answer, confidence), (0, expected.confidence(&[3, 15]).unwrap().values));
        }
    }
}

#[test]
fn effects_are_written_with_any_stride_order_and_alpha() {
    let bytes = pixels(20, 10);
    let out = Segmentation::new();
    let frame = rgba(&bytes, 20, 10);
    assert_eq!(segment(&frame, &out).0, 0);
    let render = |effect: &RawEffect, frame: *const RawFrame, stride: usize, length: usize| {
        let mut picture = vec![7; length];
        // SAFETY: the object lives, the frame is correct, the memory is this test's.
        let answer = failure_of(|failure| unsafe {
            silhouette_effect(out.raw(), frame, effect, picture.as_mut_ptr(), length, stride, failure)
        });
        (answer.0, picture)
    };
    let opaque: Vec<u8> = bytes.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    assert_eq!(render(&effect(0), &raw const frame, 80, 800), (0, opaque.clone()));
    let (answer, padded) = render(&RawEffect { bgra: 1, ..effect(0) }, &raw const frame, 90, 890);
    assert_eq!((answer, padded[0], padded[2], padded[80]), (0, opaque[2], opaque[0], 7));
    assert_eq!(padded[90..94], [opaque[82], opaque[81], opaque[80], 255]);
    // Nothing is foreground: everything becomes transparent, and premultiplied colours become zero.
    let nothing = RawEffect { all_classes: 0, premultiplied: 1, ..effect(2) };
    assert_eq!(render(&nothing, &raw const frame, 80, 800), (0, vec![0; 800]));
    let replaced = RawEffect { background: &raw const frame, all_classes: 0, ..effect(4) };
    assert_eq!(render(&replaced, &raw const frame, 80, 800), (0, opaque));
    for (effect, stride, length, expected) in [
        (effect(0), 80, 799, INVALID_FRAME),
        (effect(0), 79, 800, INVALID_FRAME),
        (effect(0), usize::MAX, 800, INVALID_FRAME),
        (effect(4), 80, 800, INVALID_FRAME),
        (effect(5), 80, 800, UNSUPPORTED),
        (RawEffect { all_classes: 0, classes: [21].as_ptr(), class_count: 1, ..effect(2) }, 80, 800, UNSUPPORTED),
        (RawEffect { all_classes: 0, classes: [0].as_ptr(), class_count: 1 << 20, ..effect(2) }, 80, 800, UNSUPPORTED),
    ] {
        assert_eq!(render(&effect, &raw const frame, stride, length).0, expected, "{effect:?} {stride} {length}");
    }
    // Only a live result keeps its frame; a different size is a different frame.
    assert_eq!(render(&effect(1), std::ptr::null(), 80, 800).0, INVALID_FRAME);
    let other = rgba(&bytes, 10, 10);
    assert_eq!(render(&effect(1), &raw const other, 80, 800).0, INVALID_FRAME);
}

#[test]
fn an_alpha_that_counts_stays_and_hides_what_it_hides() {
    let mut bytes = pixels(10, 10);
    let mut made = vec![0; 400];
    // Every third pixel is hidden, the others are opaque.
    bytes.chunks_exact_mut(4).enumerate().for_each(|(i, pixel)| pixel[3] = if i % 3 == 0 { 0 } else { 255 });
    let expected = |counts: bool| {
        let mut picture = bytes.clone();
        for pixel in picture.chunks_exact_mut(4) {
            match pixel[3] {
                0 if counts => pixel.fill(0),
                _ => pixel[3] = 255,
            }
        }
        picture
    };
    let mut bgra = bytes.clone();
    bgra.chunks_exact_mut(4).for_each(|pixel| pixel.swap(0, 2));
    let out = Segmentation::new();
    for (format, pixels, counts) in
        [(1, &bytes, false), (7, &bytes, true), (8, &bgra, true), (9, &bytes, true), (10, &bgra, true)]
    {
        let frame = RawFrame { format, ..rgba(pixels, 10, 10) };
        assert_eq!(segment(&frame, &out).0, 0);
        let picture = effect(0);
        // SAFETY: the object lives, the frame is correct, the memory is this test's.
        let answer = failure_of(|failure| unsafe {
            silhouette_effect(out.raw(), &raw const frame, &raw const picture, made.as_mut_ptr(), 400, 40, failure)
        });
        assert_eq!((answer.0, &made), (0, &expected(counts)), "format {format}");
    }
}

#[test]
fn wrong_frames_are_refused_and_say_why() {
    let bytes = pixels(8, 6);
    let out = Segmentation::new();
    let good = rgba(&bytes, 8, 6);
    let short = |length| RawPlane { length, ..good.planes[0] };
    let stride = |row_stride| RawPlane { row_stride, ..good.planes[0] };
    let with = |first| RawFrame { planes: [first, RawPlane::ABSENT, RawPlane::ABSENT], ..good };
    let yuv = |format, planes: [RawPlane; 3]| RawFrame { format, planes, ..good };
    let [luma, chroma] = [plane(&bytes[..48], 8, 1), plane(&bytes[..12], 4, 1)];
    let pairs = |length| plane(&bytes[..length], 8, 2);
    for (frame, reason) in [
        (with(RawPlane::ABSENT), "missing"),
        (with(short(8 * 6 * 4 - 1)), "191 bytes"),
        (with(short(usize::MAX)), "18446744073709551615 bytes"),
        (with(stride(31)), "row stride"),
        (with(stride(usize::MAX)), "overflow"),
        (RawFrame { width: 0, ..good }, "empty"),
        (RawFrame { height: 0, ..good }, "empty"),
        (RawFrame { width: u32::MAX, ..good }, "too large"),
        (RawFrame { height: u32::MAX, ..good }, "too large"),
        (RawFrame { format: 11, ..good }, "11 is not a pixel format"),
        (RawFrame { format: u32::MAX, ..good }, "pixel format"),
        (RawFrame { rotation: 45, ..good }, "45 degrees"),
        (RawFrame { rotation: u32::MAX, ..good }, "degrees"),
        (RawFrame { region_x: 1, region_width: 8, region_height: 6, ..good }, "region"),
        (RawFrame { region_x: u32::MAX, region_width: u32::MAX, region_height: 1, ..good }, "region"),
        (RawFrame { region_width: 3, ..good }, "region"),
        (yuv(4, [luma, chroma, RawPlane::ABSENT]), "missing"),
        (yuv(4, [luma, chroma, RawPlane { length: 11, ..chroma }]), "plane V has 11 bytes"),
        (yuv(4, [luma, RawPlane { pixel_stride: 0, ..chroma }, chroma]), "pixel stride of plane U"),
        (yuv(4, [luma, RawPlane { pixel_stride: usize::MAX, ..chroma }, chroma]), "overflow"),
        (yuv(5, [luma, pairs(23), RawPlane::ABSENT]), "plane UV has 23 bytes"),
        (RawFrame { matrix: 2, ..yuv(5, [luma, pairs(24), RawPlane::ABSENT]) }, "matrix"),
        (RawFrame { range: 2, ..yuv(6, [luma, pairs(24), RawPlane::ABSENT]) }, "range"),
    ] {
        let (kind, said) = segment(&frame, &out);
        assert_eq!(kind, INVALID_FRAME, "{frame:?}: {said}");
        assert!(said.contains(reason), "{said} does not contain {reason}");
    }
    // The same planes, valid: the last chroma row is short, as Android's is.
    for frame in [yuv(4, [luma, chroma, chroma]), yuv(5, [luma, pairs(24), RawPlane::ABSENT]), good] {
        assert_eq!(segment(&frame, &out).0, 0);
    }
    // SAFETY: null is handled.
    let none = failure_of(|f| unsafe { silhouette_segment(SEGMENTER.raw(), std::ptr::null(), out.raw(), f) });
    assert_eq!(none.0, INVALID_FRAME);
    // SAFETY: null is handled, here for the output memory.
    let nowhere = failure_of(|f| unsafe { silhouette_mask(out.raw(), std::ptr::null_mut(), 100, 8, f) });
    assert_eq!(nowhere.0, INVALID_FRAME);
}

#[test]
fn what_is_closed_says_so_and_what_is_open_goes_on() {
    let bytes = pixels(8, 6);
    let out = Segmentation::new();
    let frame = rgba(&bytes, 8, 6);
    let own = segmenter();
    let video = VideoSegmenter::new(&own, Smoothing { half_life: 1_000_000, longest_pause: 1_000_000_000 });
    // SAFETY: the objects live and the frame is correct; 0 is handled.
    let segment = |own: u64, out: u64| failure_of(|f| unsafe { silhouette_segment(own, &raw const frame, out, f) }).0;
    let film = |time: u64| {
        // SAFETY: likewise.
        failure_of(|f| unsafe { silhouette_segment_video(video.raw(), &raw const frame, time, out.raw(), f) }).0
    };
    assert_eq!((segment(own.raw(), out.raw()), film(0), film(33_000_000)), (0, 0, 0));
    assert_eq!((segment(0, out.raw()), segment(own.raw(), 0)), (CLOSED, CLOSED));
    let mask = mask_of(&out);
    own.shutdown();
    own.shutdown();
    assert_eq!((segment(own.raw(), out.raw()), film(66_000_000)), (CLOSED, CLOSED));
    assert_eq!(segment(SEGMENTER.raw(), out.raw()), 0);
    assert_eq!(mask_of(&out), mask);
    out.discard();
    out.discard();
    assert_eq!(segment(SEGMENTER.raw(), out.raw()), CLOSED);
    assert_eq!(out.size(), Size { width: 0, height: 0 });
    assert!(matches!(out.resize(OutputSize::Model), Err(SilhouetteError::Closed { .. })));
    assert!(matches!(out.polygons(0, 0.0, 0), Err(SilhouetteError::Closed { .. })));
}

#[test]
fn hostile_models_are_refused() {
    for bytes in [&b""[..], b"not a model", &[0; 4096], &[0xFF; 64]] {
        assert!(matches!(Model::from_bytes(bytes), Err(SilhouetteError::InvalidModel { .. })));
    }
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (offset, length) in [(0, 10), (u64::MAX, u64::MAX), (0, u64::MAX), (5, 0)] {
        let error = Model::open_part(manifest.to_owned(), offset, length);
        assert!(matches!(error, Err(SilhouetteError::InvalidModel { .. })), "{offset} {length}");
    }
    let part = Model::open_part(manifest.to_owned(), 3, 1 << 40);
    assert!(matches!(part, Err(SilhouetteError::InvalidModel { reason, .. }) if reason.contains("the part ends at")));
}

/// Forwards its calls.
struct Passes(Sender<(u64, Result<Arc<Segmentation>, SilhouetteError>)>);

impl LiveListener for Passes {
    fn on_result(&self, timestamp: u64, _dropped: u64, _cancelled: u64, segmentation: Arc<Segmentation>) {
        let _ = self.0.send((timestamp, Ok(segmentation)));
    }

    fn on_error(&self, timestamp: u64, _dropped: u64, _cancelled: u64, error: SilhouetteError) {
        let _ = self.0.send((timestamp, Err(error)));
    }
}

#[test]
fn a_live_result_is_its_holders_and_keeps_its_frame() {
    let bytes = pixels(16, 12);
    let frame = rgba(&bytes, 16, 12);
    let (send, results) = channel();
    let own = segmenter();
    let live = LiveSegmenter::new(&own, None, Arc::new(Passes(send))).unwrap();
    let submit = |time: u64| {
        let mut replaced = true;
        // SAFETY: the object lives and the frame is correct.
        let kind =
            failure_of(|f| unsafe { silhouette_submit(live.raw(), &raw const frame, time, &raw mut replaced, f) });
        (kind.0, replaced)
    };
    let next = || results.recv_timeout(Duration::from_secs(20)).unwrap();
    let mut held = Vec::new();
    let as_it_is = effect(0);
    for time in 0..6 {
        assert_eq!(submit(time), (0, false));
        let (timestamp, result) = next();
        assert_eq!(timestamp, time);
        let segmentation = result.unwrap();
        assert_eq!(segmentation.frame_size(), Size { width: 16, height: 12 });
        let mut picture = vec![0; 16 * 12 * 4];
        // SAFETY: the object lives; a null frame is the kept one; the memory is this test's.
        let answer = failure_of(|f| unsafe {
            silhouette_effect(
                segmentation.raw(),
                std::ptr::null(),
                &raw const as_it_is,
                picture.as_mut_ptr(),
                picture.len(),
                64,
                f,
            )
        });
        assert_eq!(answer.0, 0, "{}", answer.1);
        assert!(picture.chunks_exact(4).zip(bytes.chunks_exact(4)).all(|(a, b)| a[..3] == b[..3]));
        // Held, released, or discarded by its holder: none affects the next.
        match time % 3 {
            0 => held.push(segmentation),
            1 => drop(segmentation),
            _ => segmentation.discard(),
        }
    }
    let masks: Vec<_> = held.iter().map(|segmentation| mask_of(segmentation)).collect();
    assert!(masks.windows(2).all(|two| two[0] == two[1]));
    // A closed segmenter is reported for each frame; a closed stream accepts none.
    own.shutdown();
    assert_eq!(submit(9), (0, false));
    assert!(matches!(next(), (9, Err(SilhouetteError::Closed { .. }))));
    live.shutdown();
    assert_eq!(submit(10).0, CLOSED);
    let idle = LiveSegmenter::idle(&own, None);
    idle.shutdown();
    assert_eq!(idle.dropped(), 0);
}

fn side() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..40, Just(u32::MAX), Just(1 << 24), Just((1 << 24) + 1), any::<u32>()]
}

fn stride() -> impl Strategy<Value = usize> {
    prop_oneof![0_usize..200, Just(usize::MAX), Just(1 << 62), Just(isize::MAX as usize), any::<usize>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Arbitrary numbers over true lengths: an invalid frame, or a mask of the region's size.
    #[test]
    fn hostile_geometry_is_refused_or_segmented(
        format in 0_u32..12,
        (width, height) in (side(), side()),
        lengths in [0_usize..3000, 0_usize..3000, 0_usize..3000],
        strides in [stride(), stride(), stride()],
        steps in [stride(), stride(), stride()],
        rotation in prop_oneof![Just(0_u32), Just(90), Just(180), Just(270), any::<u32>()],
        mirror: bool,
        region in (side(), side(), side(), side()),
        whole: bool,
    ) {
        let bytes = pixels(50, 15);
        let planes = [0, 1, 2].map(|i| plane(&bytes[..lengths[i]], strides[i], steps[i]));
        let mut frame = RawFrame { planes, format, width, height, rotation, mirror: u32::from(mirror), ..rgba(&bytes, 1, 1) };
        if !whole {
            (frame.region_x, frame.region_y, frame.region_width, frame.region_height) = region;
        }
        let out = Segmentation::new();
        let (kind, reason) = segment(&frame, &out);
        if kind == 0 {
            let Size { width: w, height: h } = out.size();
            let upright = if rotation % 180 == 0 { (width, height) } else { (height, width) };
            let expected = if frame.region_width == 0 { upright } else { (frame.region_width, frame.region_height) };
            prop_assert_eq!((w, h), expected);
        } else {
            // A frame of one huge row may be valid, its mask too large.
            prop_assert!(kind == INVALID_FRAME || kind == UNSUPPORTED, "{}: {}", kind, reason);
        }
    }
}
