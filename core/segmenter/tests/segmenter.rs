//! The public API as a whole: results, sizes, orientation, concurrent calls, closing, errors.

mod common;

use common::{model, preset};
use silhouette::{
    Backend, ClassShare, Classifier, Effect, Error, Foreground, Frame, InputShape, LiveSegmenter, Model,
    OVERLAY_OPACITY, Options, OutputSize, Region, Rotation, Segmentation, Segmenter, Smoothing, VideoSegmenter,
};
use silhouette_kernels::rows::Planes;
use silhouette_network::network::{Network, Size};
use silhouette_plan::{Plan, PlanOptions};
use silhouette_testkit::waves;
use silhouette_weights::{ModelFile, seeded};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const SECONDS: Duration = Duration::from_secs(20);

fn segmenter(options: &Options) -> Segmenter {
    Segmenter::new(&model(), options).unwrap()
}

#[test]
fn a_mask_has_the_size_asked_for() {
    let bytes = waves(120, 60, 0);
    let frame = Frame::rgb(&bytes, 120, 60).unwrap();
    let size = |output| {
        let segmentation = segmenter(&Options::new().output(output)).segment(&frame).unwrap();
        assert_eq!(segmentation.mask().classes.len(), segmentation.width() * segmentation.height());
        (segmentation.width(), segmentation.height())
    };
    assert_eq!(size(OutputSize::Frame), (120, 60));
    // Letterboxed: half of the 65 rows, rounded.
    assert_eq!(size(OutputSize::Model), (65, 33));
    assert_eq!(size(OutputSize::Given { width: 7, height: 300 }), (7, 300));
    let segmenter = segmenter(&Options::new());
    let mut segmentation = segmenter.segment(&frame).unwrap();
    let full = segmentation.mask().clone();
    segmentation.resize(OutputSize::Model).unwrap();
    assert_eq!((segmentation.width(), segmentation.height()), (65, 33));
    segmentation.resize(OutputSize::Frame).unwrap();
    assert_eq!(*segmentation.mask(), full);
    for (width, height) in [(0, 5), (5, 0), (1 << 20, 1 << 20), (usize::MAX, usize::MAX)] {
        let resized = segmentation.resize(OutputSize::Given { width, height });
        assert!(matches!(resized, Err(Error::Unsupported(_))), "{width}x{height}");
    }
}

#[test]
fn an_input_of_the_frames_shape_computes_what_the_network_makes_of_it_alone() {
    let model = model();
    let options = Options::new().threads(1).input_shape(InputShape::Frame);
    let segmenter = segmenter(&options.clone().size(129));
    for (width, height, columns, rows) in [
        (160, 120, 129, 97),
        (120, 160, 97, 129),
        (160, 90, 129, 81),
        (100, 100, 129, 129),
        (129, 65, 129, 65),
        (65, 129, 65, 129),
        (300, 1, 129, 33),
        (1, 300, 33, 129),
    ] {
        let bytes = waves(width, height, 2);
        let frame = Frame::rgb(&bytes, width, height).unwrap();
        assert_eq!(segmenter.input_size(&frame), Size { height: rows, width: columns }, "{width}x{height}");
        let segmentation = segmenter.segment(&frame).unwrap();
        assert_eq!((segmentation.width(), segmentation.height()), (width, height));
        let (logits, (map, _)) = segmentation.logits();
        let expected = Size { height: rows.div_ceil(16), width: columns.div_ceil(16) };
        assert_eq!(map, expected, "the map of {width}x{height}");
        assert!(logits.iter().all(|value| value.is_finite()));
    }
    // If the image fills the input pixel by pixel, the logits are those of the network on its normalised pixels.
    let bytes = waves(129, 65, 2);
    let spec = model.spec();
    let mean_std = (0..3).map(|c| (spec.input.mean[c], spec.input.std[c]));
    let pixels: Vec<f32> = mean_std
        .enumerate()
        .flat_map(|(c, (mean, std))| bytes[c..].iter().step_by(3).map(move |&byte| (f32::from(byte) - mean) / std))
        .collect();
    let weights = seeded(&Network::native(spec).unwrap(), 7);
    let file = ModelFile::new(spec.clone(), weights).unwrap();
    let size = Size { height: 65, width: 129 };
    let plan = Plan::of(&file, size, &PlanOptions::default()).unwrap();
    let (map, classes) = plan.logits();
    let mut expected = vec![0.0; map.height * map.width * classes];
    plan.new_state().unwrap().run(&Planes::new(&pixels, 129, 65), &mut expected).unwrap();
    let segmentation = segmenter.segment(&Frame::rgb(&bytes, 129, 65).unwrap()).unwrap();
    let most = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    for (found, expected) in segmentation.logits().0.iter().zip(&expected) {
        assert!((found - expected).abs() <= 1e-3 * most, "{found} is not {expected}");
    }
    // A square frame has the same result as in a square.
    let bytes = waves(77, 77, 3);
    let frame = Frame::rgb(&bytes, 77, 77).unwrap();
    let square = self::segmenter(&Options::new().threads(1)).segment(&frame).unwrap();
    let own = self::segmenter(&options).segment(&frame).unwrap();
    assert_eq!(own.mask(), square.mask());
    assert_eq!(own.logits(), square.logits());
}

#[test]
fn shapes_come_and_go_under_calls_from_many_threads() {
    let options = Options::new().threads(1).concurrency(2).input_shape(InputShape::Frame);
    let segmenter = segmenter(&options);
    let shapes = [(64, 48), (48, 64), (64, 36), (50, 50), (36, 64)];
    let pictures = shapes.map(|(width, height)| waves(width, height, 4));
    let expected: Vec<_> = shapes
        .iter()
        .zip(&pictures)
        .map(|(&(width, height), bytes)| {
            let alone = self::segmenter(&options);
            alone.segment(&Frame::rgb(bytes, width, height).unwrap()).unwrap().mask().clone()
        })
        .collect();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let segmenter = &segmenter;
            let pictures = &pictures;
            let expected = &expected;
            scope.spawn(move || {
                for round in 0..12 {
                    let at = (thread + round) % shapes.len();
                    let (width, height) = shapes[at];
                    let found = segmenter.segment(&Frame::rgb(&pictures[at], width, height).unwrap()).unwrap();
                    assert_eq!(*found.mask(), expected[at], "{width}x{height}");
                }
            });
        }
    });
    segmenter.close();
    let closed = segmenter.segment(&Frame::rgb(&pictures[0], 64, 48).unwrap());
    assert!(matches!(closed, Err(Error::Closed(_))));
}

#[test]
fn masks_agree_with_their_confidences_and_shares() {
    let bytes = waves(90, 70, 1);
    let segmentation = segmenter(&Options::new()).segment(&Frame::rgb(&bytes, 90, 70).unwrap()).unwrap();
    let planes: Vec<_> = (0..21).map(|class| segmentation.confidence(&[class]).unwrap().values).collect();
    let mut seen = [false; 21];
    for (i, &class) in segmentation.mask().classes.iter().enumerate() {
        let best = planes.iter().map(|plane| plane[i]).max().unwrap();
        seen[usize::from(class)] = true;
        // Two classes may round to the same of 256 levels.
        assert!(planes[usize::from(class)][i] + 1 >= best, "pixel {i}, class {class}");
        let sum: i32 = planes.iter().map(|plane| i32::from(plane[i])).sum();
        assert!((sum - 255).abs() <= 11, "pixel {i}: probabilities sum to {sum} of 255");
    }
    assert!(seen.iter().filter(|&&seen| seen).count() > 1, "the fixture sees more than one class");
    let shares = segmentation.shares();
    assert!((shares.iter().map(|share| share.share).sum::<f64>() - 1.0).abs() < 1e-9);
    assert!(
        shares.iter().all(|share| seen[share.class_index]) && shares.windows(2).all(|two| two[0].share >= two[1].share)
    );
    assert!(matches!(segmentation.confidence(&[21]), Err(Error::Unsupported(_))));
    assert!(matches!(Segmentation::default().confidence(&[0]), Err(Error::InvalidFrame(_))));
}

/// The position of an upright pixel in the buffer; the second pair is the image's last column and row.
type Place = fn((usize, usize), (usize, usize)) -> (usize, usize);

#[test]
fn a_buffer_in_any_of_eight_orientations_gives_the_upright_mask_and_the_way_back() {
    let width = 60;
    let height = 40;
    let upright = waves(width, height, 2);
    let segmenter = segmenter(&Options::new());
    let expected = segmenter.segment(&Frame::rgb(&upright, width, height).unwrap()).unwrap();
    let w = width - 1;
    let h = height - 1;
    // The buffer that becomes the upright image when rotated clockwise, then mirrored: for each of the eight
    // orientations, by hand.
    let orientations: [(Rotation, bool, Place); 8] = [
        (Rotation::None, false, |(x, y), _| (x, y)),
        (Rotation::None, true, |(x, y), (w, _)| (w - x, y)),
        (Rotation::Clockwise90, false, |(x, y), (w, _)| (y, w - x)),
        (Rotation::Clockwise90, true, |(x, y), _| (y, x)),
        (Rotation::Half, false, |(x, y), (w, h)| (w - x, h - y)),
        (Rotation::Half, true, |(x, y), (_, h)| (x, h - y)),
        (Rotation::Clockwise270, false, |(x, y), (_, h)| (h - y, x)),
        (Rotation::Clockwise270, true, |(x, y), (w, h)| (h - y, w - x)),
    ];
    for (rotation, mirror, place) in orientations {
        let (columns, rows) = if rotation.transposes() { (height, width) } else { (width, height) };
        let mut turned = vec![0; upright.len()];
        for y in 0..height {
            for x in 0..width {
                let (bx, by) = place((x, y), (w, h));
                turned[(by * columns + bx) * 3..][..3].copy_from_slice(&upright[(y * width + x) * 3..][..3]);
            }
        }
        let frame = Frame::rgb(&turned, columns, rows).unwrap().rotated(rotation).mirrored(mirror);
        let segmentation = segmenter.segment(&frame).unwrap();
        assert_eq!(segmentation.mask(), expected.mask(), "{rotation:?}, mirrored {mirror}");
        for (x, y) in [(0, 0), (w, 0), (0, h), (w, h), (13, 7)] {
            let (bx, by) = segmentation.transform().unwrap().map(x as f64 + 0.5, y as f64 + 0.5);
            assert_eq!((bx as usize, by as usize), place((x, y), (w, h)), "{rotation:?}, mirrored {mirror}: {x}, {y}");
        }
    }
    // A region: the mask covers it, and the transform begins at its corner.
    let region = Region { x: 10, y: 5, width: 30, height: 20 };
    let part = Frame::rgb(&upright, width, height).unwrap().cropped(region).unwrap();
    let segmentation = segmenter.segment(&part).unwrap();
    assert_eq!((segmentation.width(), segmentation.height()), (30, 20));
    assert_eq!(segmentation.transform().unwrap().map(0.0, 0.0), (10.0, 5.0));
}

#[test]
fn effects_keep_the_frames_size_and_the_foregrounds_pixels() {
    let width = 80;
    let height = 50;
    let bytes = waves(width, height, 3);
    let behind = waves(33, 44, 9);
    let frame = Frame::rgb(&bytes, width, height).unwrap();
    let behind = Frame::rgb(&behind, 33, 44).unwrap();
    let segmentation = segmenter(&Options::new()).segment(&frame).unwrap();
    let everything = Foreground::Classes((0..21).collect());
    let nothing = Foreground::Classes(Vec::new());
    let rgba: Vec<u8> = bytes.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    assert_eq!(segmentation.cutout(&frame, &everything).unwrap().rgba, rgba);
    assert_eq!(segmentation.blur(&frame, &everything).unwrap().rgba, rgba);
    assert_eq!(segmentation.replace(&frame, &everything, &behind).unwrap().rgba, rgba);
    let gone = segmentation.cutout(&frame, &nothing).unwrap();
    assert!(gone.rgba.chunks_exact(4).all(|pixel| pixel[3] == 0));
    assert_ne!(segmentation.blur(&frame, &nothing).unwrap().rgba, rgba);
    assert_ne!(segmentation.replace(&frame, &nothing, &behind).unwrap().rgba, rgba);
    let overlay = segmentation.overlay(&frame, &Foreground::All).unwrap();
    for (i, &class) in segmentation.mask().classes.iter().enumerate() {
        let same = overlay.rgba[4 * i..][..4] == rgba[4 * i..][..4];
        assert!(same || class > 0, "the background keeps its colour");
    }
    let class = segmentation.shares()[0].class_index;
    let some = Foreground::Classes(vec![class]);
    let overlay = segmentation.render(&frame, Effect::Overlay { opacity: 1.0 }, &some).unwrap();
    let color = model().palette().color(class as u8);
    for (i, &found) in segmentation.mask().classes.iter().enumerate() {
        let expected = if usize::from(found) == class { &color[..] } else { &rgba[4 * i..][..3] };
        assert_eq!(&overlay.rgba[4 * i..][..3], expected, "pixel {i}");
    }
    let unknown = Foreground::Classes(vec![21]);
    assert!(matches!(segmentation.render(&frame, Effect::Cutout, &unknown), Err(Error::Unsupported(_))));
    assert!(matches!(
        segmentation.render(&frame, Effect::Overlay { opacity: OVERLAY_OPACITY }, &unknown),
        Err(Error::Unsupported(_))
    ));
    assert_eq!(segmentation.render(&frame, Effect::Picture, &unknown).unwrap().rgba, rgba);
    // A frame of another size is not the one that was segmented.
    assert!(matches!(segmentation.overlay(&behind, &Foreground::All), Err(Error::InvalidFrame(_))));
}

#[test]
fn refined_borders_leave_the_mask_alone_and_certain_pixels_as_they_are() {
    let bytes = waves(80, 50, 3);
    let frame = Frame::rgb(&bytes, 80, 50).unwrap();
    let plain = segmenter(&Options::new().output(OutputSize::Model)).segment(&frame).unwrap();
    let refined = segmenter(&Options::new().output(OutputSize::Model).refine(true)).segment(&frame).unwrap();
    assert_eq!(plain.mask(), refined.mask());
    let alpha = refined.alpha(&frame, &Foreground::default()).unwrap();
    assert_eq!((alpha.width, alpha.height), (80, 50), "the frame's size, not the mask's");
    let everything = Foreground::Classes((0..21).collect());
    assert!(refined.alpha(&frame, &everything).unwrap().values.iter().all(|&value| value == 255));
    assert!(refined.alpha(&frame, &Foreground::Classes(Vec::new())).unwrap().values.iter().all(|&value| value == 0));
}

#[test]
fn polygons_cover_as_many_pixels_as_their_class() {
    let bytes = waves(80, 50, 3);
    let segmentation = segmenter(&Options::new()).segment(&Frame::rgb(&bytes, 80, 50).unwrap()).unwrap();
    let area = |ring: &[[u32; 2]]| {
        let next = ring.iter().cycle().skip(1);
        let cross =
            |(a, b): (&[u32; 2], &[u32; 2])| f64::from(a[0]) * f64::from(b[1]) - f64::from(b[0]) * f64::from(a[1]);
        (ring.iter().zip(next).map(cross).sum::<f64>() / 2.0).abs()
    };
    for ClassShare { class_index: class, share } in segmentation.shares() {
        let polygons = segmentation.polygons(class, 0.0, 0).unwrap();
        let outer: f64 = polygons.iter().map(|polygon| area(&polygon.outer)).sum();
        let holes: f64 = polygons.iter().flat_map(|polygon| &polygon.holes).map(|ring| area(ring)).sum();
        assert!((outer - holes - share * 80.0 * 50.0).abs() < 1e-6, "class {class}");
    }
    assert!(matches!(segmentation.polygons(21, 0.0, 0), Err(Error::Unsupported(_))));
    assert!(matches!(segmentation.polygons(300, 0.0, 0), Err(Error::Unsupported(_))));
}

#[test]
fn threads_get_the_same_masks_from_a_pool_of_arenas() {
    let segmenter = segmenter(&Options::new().threads(1).concurrency(2));
    let pictures: Vec<_> = (0..4).map(|phase| waves(64, 64, phase)).collect();
    let frames: Vec<_> = pictures.iter().map(|bytes| Frame::rgb(bytes, 64, 64).unwrap()).collect();
    let expected: Vec<_> = frames.iter().map(|frame| segmenter.segment(frame).unwrap().mask().clone()).collect();
    assert!(expected.windows(2).any(|two| two[0] != two[1]), "the pictures differ");
    std::thread::scope(|scope| {
        for first in 0..8 {
            let segmenter = segmenter.clone();
            let frames = &frames;
            let expected = &expected;
            scope.spawn(move || {
                let mut segmentation = Segmentation::default();
                for i in (first..first + 12).map(|i| i % frames.len()) {
                    segmenter.segment_into(&frames[i], &mut segmentation).unwrap();
                    assert_eq!(*segmentation.mask(), expected[i]);
                }
            });
        }
    });
}

#[test]
fn thread_counts_do_not_change_a_bit() {
    let bytes = waves(100, 80, 5);
    let frame = Frame::rgb(&bytes, 100, 80).unwrap();
    let logits = |threads| segmenter(&Options::new().threads(threads)).segment(&frame).unwrap().logits().0.to_vec();
    let one = logits(1);
    assert!(logits(2) == one && logits(3) == one);
}

#[test]
fn closing_ends_waiting_and_later_calls_and_keeps_results() {
    let bytes = waves(64, 64, 0);
    let frame = Frame::rgb(&bytes, 64, 64).unwrap();
    let segmenter = segmenter(&Options::new().concurrency(1));
    let segmentation = segmenter.segment(&frame).unwrap();
    let done = AtomicUsize::new(0);
    let closed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    match segmenter.segment(&frame) {
                        Ok(again) => {
                            assert_eq!(again.mask(), segmentation.mask());
                            done.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) => {
                            assert!(matches!(error, Error::Closed(_)), "{error}");
                            closed.fetch_add(1, Ordering::SeqCst);
                            return;
                        }
                    }
                }
            });
        }
        while done.load(Ordering::SeqCst) < 10 {
            std::thread::yield_now();
        }
        segmenter.close();
    });
    assert_eq!(closed.into_inner(), 6);
    let error = segmenter.clone().segment(&frame).unwrap_err();
    assert!(!error.reason().is_empty() && !error.advice().is_empty());
    assert!(segmentation.confidence(&[0]).is_ok());
}

#[test]
fn impossible_options_are_unsupported_and_say_what_is_possible() {
    let model = model();
    for options in [
        Options::new().size(0),
        Options::new().size(usize::MAX),
        Options::new().threads(0),
        Options::new().threads(1 << 40),
        Options::new().concurrency(0),
        Options::new().concurrency(i32::MAX as usize),
        Options::new().concurrency(usize::MAX),
        Options::new().output(OutputSize::Given { width: 1 << 20, height: 1 << 20 }),
    ] {
        let error = Segmenter::new(&model, &options).unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)) && !error.reason().is_empty(), "{options:?}: {error}");
    }
    if !cfg!(feature = "metal") {
        let error = Segmenter::new(&model, &Options::new().backend(Backend::Metal)).unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)) && error.to_string().contains("metal"), "{error}");
    }
    assert!(matches!(Classifier::new(&model, &Options::new()), Err(Error::InvalidModel(_))));
    assert!(matches!(Model::from_bytes(vec![0; 100]), Err(Error::InvalidModel(_))));
    assert!(matches!(Model::open("no such file"), Err(Error::InvalidModel(_))));
    assert!(matches!(model.class_index("unicorn"), Err(Error::Unsupported(_))));
    assert_eq!(model.class_index("Person"), Ok(15));
}

#[test]
fn numbers_out_of_their_bounds_are_refused_before_anything_is_made_of_them() {
    let bytes = waves(60, 40, 0);
    let frame = Frame::rgb(&bytes, 60, 40).unwrap();
    let segmenter = segmenter(&Options::new().threads(1));
    let segmentation = segmenter.segment(&frame).unwrap();
    for number in [-0.1, 1.1, f32::MAX, f32::INFINITY, f32::NEG_INFINITY] {
        for effect in [Effect::Overlay { opacity: number }, Effect::Blur { radius: number }] {
            let error = segmentation.render(&frame, effect, &Foreground::All).unwrap_err();
            assert!(matches!(error, Error::Unsupported(_)), "{effect:?}: {error}");
        }
    }
    for tolerance in [-1.0, f64::NAN, f64::INFINITY, f64::MAX] {
        assert!(matches!(segmentation.polygons(0, tolerance, 0), Err(Error::Unsupported(_))), "{tolerance}");
    }
    let mut endless = Smoothing::default();
    endless.longest_pause = Duration::MAX;
    for smoothing in [Smoothing::with_half_life(Duration::MAX), endless] {
        let mut video = VideoSegmenter::new(&segmenter, smoothing);
        assert!(matches!(video.segment(&frame, Duration::ZERO), Err(Error::Unsupported(_))));
        let live = LiveSegmenter::new(&segmenter, Some(smoothing), |_| {});
        assert!(matches!(live.map(drop), Err(Error::Unsupported(_))));
    }
}

#[test]
fn a_small_model_cannot_ask_for_large_maps() {
    // A valid network of half a megabyte whose own size needs hundreds of megabytes of maps.
    let mut spec = silhouette_network::spec::Spec::preset("fixture").unwrap();
    spec.input.size = 2049;
    if let silhouette_network::spec::Extractor::MobilenetV2(v2) = &mut spec.extractor {
        v2.output_stride = 8;
    }
    let weights = seeded(&Network::native(&spec).unwrap(), 1);
    let model = Model::from_file(ModelFile::new(spec, weights).unwrap()).unwrap();
    let error = Segmenter::new(&model, &Options::new().threads(1)).unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)), "{error}");
    assert!(Segmenter::new(&model, &Options::new().threads(1).size(65)).is_ok());
}

#[test]
fn other_sizes_of_input_are_possible() {
    let bytes = waves(64, 48, 0);
    let frame = Frame::rgb(&bytes, 64, 48).unwrap();
    for size in [1, 17, 33, 64, 97] {
        let segmenter = segmenter(&Options::new().size(size));
        let segmentation = segmenter.segment(&frame).unwrap();
        assert_eq!((segmentation.width(), segmentation.height(), segmenter.size()), (64, 48, size));
    }
}

#[test]
fn a_classifier_names_classes_in_order() {
    let model = preset("mobilenet_v2_0.35");
    assert!(matches!(Segmenter::new(&model, &Options::new()), Err(Error::InvalidModel(_))));
    let classifier = Classifier::new(&model, &Options::new().size(64)).unwrap();
    let bytes = waves(64, 48, 0);
    let frame = Frame::rgb(&bytes, 64, 48).unwrap();
    let classes = classifier.classify(&frame, usize::MAX).unwrap();
    assert_eq!(classes.len(), 1000);
    assert!(classes.windows(2).all(|two| two[0].probability >= two[1].probability));
    assert!((classes.iter().map(|class| class.probability).sum::<f32>() - 1.0).abs() < 1e-4);
    assert_eq!(classifier.classify(&frame, 3).unwrap(), classes[..3]);
    assert_eq!(classes[0].label, format!("class {}", classes[0].class));
    classifier.close();
    assert!(matches!(classifier.classify(&frame, 1), Err(Error::Closed(_))));
}

#[test]
fn a_still_video_stays_as_it_is_and_another_region_starts_afresh() {
    let segmenter = segmenter(&Options::new());
    let bytes = waves(64, 64, 0);
    let frame = Frame::rgb(&bytes, 64, 64).unwrap();
    let mut video = VideoSegmenter::new(&segmenter, Smoothing::default());
    let single = segmenter.segment(&frame).unwrap();
    for i in 0..4 {
        let segmentation = video.segment(&frame, Duration::from_millis(33 * i)).unwrap();
        assert_eq!(segmentation.mask(), single.mask(), "frame {i}");
    }
    let part = frame.cropped(Region { x: 20, y: 0, width: 30, height: 30 }).unwrap();
    let segmentation = video.segment(&part, Duration::from_millis(133)).unwrap();
    assert_eq!(segmentation.mask(), segmenter.segment(&part).unwrap().mask());
}

#[test]
fn a_live_stream_hands_out_results_in_order_and_counts_what_it_drops() {
    let segmenter = segmenter(&Options::new());
    let (send, results) = channel();
    let live = LiveSegmenter::new(&segmenter, None, move |result| {
        let mask = result.segmentation.as_ref().unwrap().mask().clone();
        let frame = result.frame.frame().unwrap();
        assert_eq!((frame.width(), frame.height()), (64, 48));
        let _ = send.send((result.timestamp, mask, result.dropped));
    })
    .unwrap();
    let pictures: Vec<_> = (0..40).map(|phase| waves(64, 48, phase)).collect();
    let mut replaced = 0;
    for (i, bytes) in pictures.iter().enumerate() {
        let frame = Frame::rgb(bytes, 64, 48).unwrap();
        replaced += u64::from(live.submit(&frame, Duration::from_millis(i as u64)).unwrap());
    }
    let mut last = None;
    let mut count = 0;
    while last != Some(Duration::from_millis(39)) {
        let (time, mask, _) = results.recv_timeout(SECONDS).unwrap();
        assert!(last < Some(time), "in order");
        let frame = Frame::rgb(&pictures[time.as_millis() as usize], 64, 48).unwrap();
        assert_eq!(mask, *segmenter.segment(&frame).unwrap().mask());
        (last, count) = (Some(time), count + 1);
    }
    assert_eq!(live.dropped(), replaced);
    assert_eq!(count + replaced, 40, "each frame is handed out or counted");
    live.close();
    let frame = Frame::rgb(&pictures[0], 64, 48).unwrap();
    assert!(matches!(live.submit(&frame, Duration::ZERO), Err(Error::Closed(_))));
}

#[test]
fn a_live_stream_can_be_closed_by_its_listener_and_outlives_errors() {
    let segmenter = segmenter(&Options::new());
    let place: Arc<OnceLock<LiveSegmenter>> = Arc::new(OnceLock::new());
    let (send, results) = channel();
    let theirs = Arc::clone(&place);
    let live = LiveSegmenter::new(&segmenter, Some(Smoothing::default()), move |result| {
        let _ = send.send(result.segmentation.map(|_| ()));
        theirs.wait().close();
    })
    .unwrap();
    assert!(place.set(live).is_ok());
    let bytes = waves(32, 32, 0);
    let frame = Frame::rgb(&bytes, 32, 32).unwrap();
    place.get().unwrap().submit(&frame, Duration::ZERO).unwrap();
    assert_eq!(results.recv_timeout(SECONDS).unwrap(), Ok(()));
    while place.get().unwrap().submit(&frame, Duration::ZERO).is_ok() {
        std::thread::yield_now();
    }
    // A closed segmenter: the stream continues and reports it for each frame.
    let (send, results) = channel();
    let live = LiveSegmenter::new(&segmenter, None, move |result| {
        let _ = send.send(matches!(result.segmentation, Err(Error::Closed(_))));
    })
    .unwrap();
    segmenter.close();
    for _ in 0..2 {
        live.submit(&frame, Duration::ZERO).unwrap();
        assert!(results.recv_timeout(SECONDS).unwrap());
    }
}

#[test]
fn everything_public_may_cross_threads() {
    fn check<T: Send + Sync>() {}
    check::<Segmenter>();
    check::<Classifier>();
    check::<Model>();
    check::<Segmentation>();
    check::<VideoSegmenter>();
    check::<LiveSegmenter>();
    check::<Error>();
}
