//! Compares frames to input rows with a naive f64 version that does one step after the other on whole images: convert,
//! rotate, mirror, crop, resize, normalise. And for hostile geometry: an error or the right result.

#[path = "common/frames.rs"]
mod frames;

use frames::{COLORS, FORMATS, Owned};
use proptest::prelude::*;
use silhouette_imaging::frame::{Frame, FrameError, PixelFormat, Plane, Region, Rotation, Size, YuvMatrix, YuvRange};
use silhouette_imaging::input::{Fit, InputSpec, Placement, Resampler};
use silhouette_kernels::isa::Isa;
use silhouette_kernels::rows::RowSource;
use silhouette_testkit::Noise;

/// An image as rows of RGB.
type Rgb = Vec<Vec<[f64; 3]>>;

/// The whole buffer as RGB, straight from the definitions of the formats and of BT.601 and BT.709.
fn rgb(owned: &Owned) -> Rgb {
    let at = |plane: usize, y: usize, x: usize| f64::from(owned.planes[plane][y * owned.row_strides[plane] + x]);
    let pixel = |x: usize, y: usize| {
        let (luma, u, v) = match owned.format {
            "rgb" => return [0, 1, 2].map(|c| at(0, y, x * 3 + c)),
            "rgba" => return [0, 1, 2].map(|c| at(0, y, x * 4 + c)),
            "bgra" => return [2, 1, 0].map(|c| at(0, y, x * 4 + c)),
            "gray" => return [at(0, y, x); 3],
            "i420" => (at(0, y, x), at(1, y / 2, x / 2), at(2, y / 2, x / 2)),
            "nv12" => (at(0, y, x), at(1, y / 2, x / 2 * 2), at(1, y / 2, x / 2 * 2 + 1)),
            "nv21" => (at(0, y, x), at(1, y / 2, x / 2 * 2 + 1), at(1, y / 2, x / 2 * 2)),
            _ => (at(0, y, x), at(1, y / 2, x / 2 * 2), at(2, y / 2, x / 2 * 2)),
        };
        let (luma, u, v) = match owned.color.range {
            YuvRange::Full => (luma / 255.0, (u - 128.0) / 255.0, (v - 128.0) / 255.0),
            YuvRange::Video => ((luma - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0),
        };
        let (kr, kb) = match owned.color.matrix {
            YuvMatrix::Bt601 => (0.299, 0.114),
            YuvMatrix::Bt709 => (0.2126, 0.0722),
        };
        // Pb = (B - Y) / (2 (1 - Kb)), Pr = (R - Y) / (2 (1 - Kr)), Y = Kr R + Kg G + Kb B.
        let r = luma + 2.0 * (1.0 - kr) * v;
        let b = luma + 2.0 * (1.0 - kb) * u;
        let g = (luma - kr * r - kb * b) / (1.0 - kr - kb);
        // A converter to 8 bits rounds and clamps.
        [r, g, b].map(|c| (c * 255.0).round().clamp(0.0, 255.0))
    };
    (0..owned.height).map(|y| (0..owned.width).map(|x| pixel(x, y)).collect()).collect()
}

fn turn(picture: &Rgb) -> Rgb {
    let rows = picture.len();
    let columns = picture[0].len();
    (0..columns).map(|y| (0..rows).map(|x| picture[rows - 1 - x][y]).collect()).collect()
}

/// One axis of Pillow's BILINEAR in f64.
fn resize_line(line: &[[f64; 3]], out: usize) -> Vec<[f64; 3]> {
    let scale = line.len() as f64 / out as f64;
    let support = scale.max(1.0);
    (0..out)
        .map(|i| {
            let center = (i as f64 + 0.5) * scale;
            let mut sum = [0.0; 3];
            let mut total = 0.0;
            for (j, p) in line.iter().enumerate() {
                let w = (1.0 - ((j as f64 + 0.5 - center) / support).abs()).max(0.0);
                total += w;
                (0..3).for_each(|c| sum[c] += w * p[c]);
            }
            sum.map(|s| s / total)
        })
        .collect()
}

fn resize(picture: &Rgb, width: usize, height: usize) -> Rgb {
    let rows: Rgb = picture.iter().map(|row| resize_line(row, width)).collect();
    let columns: Vec<Vec<[f64; 3]>> =
        (0..width).map(|x| resize_line(&rows.iter().map(|r| r[x]).collect::<Vec<_>>(), height)).collect();
    (0..height).map(|y| (0..width).map(|x| columns[x][y]).collect()).collect()
}

/// The expected result of the single pass, in 0 to 255.
fn pull(frame: &Frame<'_>, width: usize, height: usize, isa: Isa) -> Rgb {
    let spec = InputSpec {
        size: Size { height, width },
        mean: [127.5, 100.0, 0.0],
        std: [127.5, 50.0, 1.0],
        fit: Fit::Stretch,
    };
    let mut resampler = Resampler::with_isa(spec, isa);
    let rows = resampler.rows(frame).unwrap();
    let mut scratch = vec![f32::NAN; rows.scratch_len()];
    let mut out = vec![f32::NAN; width * 3];
    (0..height)
        .map(|y| {
            rows.row(y, &mut scratch, &mut out);
            out.chunks_exact(3).map(|p| [0, 1, 2].map(|c| f64::from(p[c] * spec.std[c] + spec.mean[c]))).collect()
        })
        .collect()
}

fn worst(a: &Rgb, b: &Rgb) -> f64 {
    assert_eq!((a.len(), a[0].len()), (b.len(), b[0].len()));
    let pairs = a.iter().flatten().flatten().zip(b.iter().flatten().flatten());
    pairs.map(|(a, b)| if (a - b).is_nan() { f64::INFINITY } else { (a - b).abs() }).fold(0.0, f64::max)
}

fn expected(owned: &Owned, degrees: i32, mirror: bool, region: Option<Region>, width: usize, height: usize) -> Rgb {
    let mut picture = rgb(owned);
    for _ in 0..degrees / 90 {
        picture = turn(&picture);
    }
    if mirror {
        for row in &mut picture {
            row.reverse();
        }
    }
    if let Some(r) = region {
        picture = picture[r.y..r.y + r.height].iter().map(|row| row[r.x..r.x + r.width].to_vec()).collect();
    }
    resize(&picture, width, height)
}

/// Packed pixels are exact except for f32's rounding; a converter's rounding to 8 bits counts as half a level.
fn allowed(format: &str) -> f64 {
    if matches!(format, "rgb" | "rgba" | "bgra" | "gray") { 0.01 } else { 0.51 }
}

#[test]
fn all_formats_orientations_and_colours() {
    for (f, format) in FORMATS.into_iter().enumerate() {
        for color in COLORS {
            let packed = matches!(format, "rgb" | "rgba" | "bgra" | "gray");
            if packed && color != COLORS[0] {
                continue;
            }
            for (width, height) in [(37, 21), (8, 6), (1, 1), (2, 3), (75, 5)] {
                let owned = Owned::new(format, width, height, f, color, 3);
                for degrees in [0, 90, 180, 270] {
                    for mirror in [false, true] {
                        let frame =
                            owned.frame().unwrap().rotated(Rotation::from_degrees(degrees).unwrap()).mirrored(mirror);
                        // Smaller, larger, the same size.
                        let Size { height: uh, width: uw } = frame.upright_size();
                        for (w, h) in [(9, 7), (41, 50), (uw, uh)] {
                            let want = expected(&owned, degrees, mirror, None, w, h);
                            for isa in Isa::all() {
                                let diff = worst(&pull(&frame, w, h, isa), &want);
                                assert!(
                                    diff <= allowed(format),
                                    "{format} {width}x{height} {color:?} {degrees} {mirror} to {w}x{h} with {}: {diff}",
                                    isa.name()
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn very_long_pictures() {
    for (width, height) in [(20_000, 1), (1, 20_000)] {
        for format in ["rgb", "nv12"] {
            let owned = Owned::new(format, width, height, 0, COLORS[0], 5);
            let want = expected(&owned, 0, false, None, 17, 13);
            assert!(worst(&pull(&owned.frame().unwrap(), 17, 13, Isa::best()), &want) <= allowed(format).max(0.02));
        }
    }
}

#[test]
fn the_same_numbers_as_pillow() {
    // Image.fromarray(a).resize((ow, oh), Image.BILINEAR) of Pillow 12, which rounds to 8 bits after each axis.
    let cases: [(usize, usize, usize, usize, &[u8]); 3] = [
        (7, 5, 3, 2, &[110, 142, 122, 141, 142, 142, 141, 140, 104, 122, 154, 139, 145, 127, 146, 137, 114, 95]),
        (
            9,
            1,
            4,
            3,
            &[
                31, 88, 159, 106, 163, 171, 172, 160, 69, 61, 66, 137, 31, 88, 159, 106, 163, 171, 172, 160, 69, 61,
                66, 137, 31, 88, 159, 106, 163, 171, 172, 160, 69, 61, 66, 137,
            ],
        ),
        (
            16,
            9,
            5,
            4,
            &[
                117, 141, 130, 136, 147, 121, 123, 123, 127, 133, 154, 117, 110, 103, 131, 132, 144, 138, 140, 122,
                122, 132, 129, 128, 127, 137, 126, 134, 126, 121, 123, 127, 127, 146, 124, 144, 145, 133, 118, 133,
                140, 112, 162, 133, 131, 158, 114, 168, 147, 121, 164, 152, 130, 152, 157, 111, 157, 145, 118, 149,
            ],
        ),
    ];
    for (width, height, w, h, want) in cases {
        let data: Vec<u8> = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .flat_map(|(x, y)| (0..3).map(move |c| (x * 37 + y * 91 + x * y * 13 + 7 * c * c + c * 50) as u8))
            .collect();
        let got = pull(&Frame::rgb(&data, width, height).unwrap(), w, h, Isa::best());
        for (g, &want) in got.iter().flatten().flatten().zip(want) {
            assert!((g - f64::from(want)).abs() <= 1.01, "{width}x{height}: {g} for {want}");
        }
    }
}

#[test]
fn letterboxed_pictures_are_the_stretched_ones_of_the_valid_size() {
    let owned = Owned::new("nv21", 53, 31, 2, COLORS[1], 9);
    let frame = owned.frame().unwrap().rotated(Rotation::Clockwise270);
    let fit = Fit::Letterbox { fill: 7 };
    let spec = InputSpec { size: Size::square(40), mean: [0.0; 3], std: [1.0; 3], fit };
    let mut resampler = Resampler::new(spec);
    let rows = resampler.rows(&frame).unwrap();
    assert_eq!(rows.placement(), Placement { input: Size::square(40), valid: Size { height: 40, width: 23 } });
    let want = pull(&frame, 23, 40, Isa::best());
    let mut scratch = vec![0.0; rows.scratch_len()];
    let mut out = vec![0.0; 120];
    for (y, want) in want.iter().enumerate() {
        rows.row(y, &mut scratch, &mut out);
        for (x, p) in out.chunks_exact(3).enumerate() {
            for c in 0..3 {
                let w = if x < 23 { want[x][c] } else { 7.0 };
                assert!((f64::from(p[c]) - w).abs() < 1e-3);
            }
        }
    }
}

#[test]
fn taps_are_kept_while_the_geometry_stays() {
    // The same resampler over changing frames produces what a fresh one does.
    let spec = InputSpec { size: Size { height: 9, width: 11 }, mean: [0.0; 3], std: [1.0; 3], fit: Fit::Stretch };
    let mut kept = Resampler::new(spec);
    let a = Owned::new("rgb", 30, 20, 0, COLORS[0], 1);
    let b = Owned::new("i420", 31, 19, 1, COLORS[2], 2);
    for owned in [&a, &a, &b, &a] {
        for degrees in [0, 90, 90] {
            let frame = owned.frame().unwrap().rotated(Rotation::from_degrees(degrees).unwrap());
            let rows = kept.rows(&frame).unwrap();
            let mut scratch = vec![0.0; rows.scratch_len()];
            let mut out = vec![0.0; 33];
            rows.row(4, &mut scratch, &mut out);
            let mut fresh = Resampler::new(spec);
            let rows = fresh.rows(&frame).unwrap();
            let mut again = vec![0.0; 33];
            rows.row(4, &mut scratch, &mut again);
            assert_eq!(out, again);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any size, orientation, region, padding and target: the right result.
    #[test]
    fn right_geometry_gives_the_right_result(
        format in 0usize..8,
        color in 0usize..4,
        (width, height) in (1usize..70, 1usize..40),
        padding in 0usize..9,
        turns in 0i32..4,
        mirror: bool,
        (w, h) in (1usize..50, 1usize..50),
        region in (0.0f64..1.0, 0.0f64..1.0, 0.0f64..1.0, 0.0f64..1.0),
    ) {
        let owned = Owned::new(FORMATS[format], width, height, padding, COLORS[color], 7);
        let frame = owned.frame().unwrap().rotated(Rotation::from_degrees(turns * 90).unwrap()).mirrored(mirror);
        let Size { height: uh, width: uw } = frame.upright_size();
        let x = (region.0 * uw as f64) as usize;
        let y = (region.1 * uh as f64) as usize;
        let region = Region {
            x,
            y,
            width: 1 + (region.2 * (uw - x - 1) as f64) as usize,
            height: 1 + (region.3 * (uh - y - 1) as f64) as usize,
        };
        let frame = frame.cropped(region).unwrap();
        let diff = worst(
            &pull(&frame, w, h, Isa::best()),
            &expected(&owned, turns * 90, mirror, Some(region), w, h),
        );
        prop_assert!(diff <= allowed(FORMATS[format]), "{}", diff);
    }

    /// One byte less than a plane needs is an error that names it; every byte is needed.
    #[test]
    fn one_byte_less_is_an_error(
        format in 0usize..8,
        (width, height) in (1usize..30, 1usize..30),
        padding in 0usize..5,
        plane in 0usize..3,
    ) {
        let mut owned = Owned::new(FORMATS[format], width, height, padding, COLORS[0], 7);
        let plane = plane % owned.planes.len();
        let expected = owned.planes[plane].len();
        owned.planes[plane].pop();
        match owned.frame() {
            Err(FrameError::PlaneTooShort { expected: w, found, .. }) => prop_assert_eq!((w, found), (expected, expected - 1)),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// Arbitrary numbers: an error, or a frame that can be read without a panic.
    #[test]
    fn hostile_geometry_never_panics(
        kind in 0usize..4,
        len in 0usize..4000,
        (width, height) in (hostile(), hostile()),
        strides in (hostile(), hostile(), hostile()),
        steps in (hostile(), hostile(), hostile()),
        region in (hostile(), hostile(), hostile(), hostile()),
        turns in 0i32..4,
    ) {
        let data = Noise::new(1).bytes(len);
        let plane = |row_stride, pixel_stride| Plane { data: &data, row_stride, pixel_stride };
        let frame = match kind {
            0 => Frame::packed(PixelFormat::Rgb, &data, width, height, strides.0),
            1 => Frame::packed(PixelFormat::Rgba, &data, width, height, strides.0),
            2 => Frame::nv21([&data, &data], [strides.0, strides.1], width, height, COLORS[0]),
            _ => Frame::yuv420(
                plane(strides.0, steps.0),
                plane(strides.1, steps.1),
                plane(strides.2, steps.2),
                width,
                height,
                COLORS[3],
            ),
        };
        let Ok(frame) = frame else { return Ok(()) };
        let frame = frame.rotated(Rotation::from_degrees(turns * 90).unwrap());
        let region = Region { x: region.0, y: region.1, width: region.2, height: region.3 };
        for frame in [Some(frame), frame.cropped(region).ok()].into_iter().flatten() {
            let out = pull(&frame, 5, 4, Isa::best());
            prop_assert!(out.iter().flatten().flatten().all(|v| (-0.01..=255.01).contains(v)));
        }
    }
}

/// Small numbers, which result in valid frames, and extreme values of the address space.
fn hostile() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => 0usize..12,
        3 => 12usize..200,
        1 => Just(usize::MAX),
        1 => Just(usize::MAX / 2 + 1),
        1 => Just(1usize << 32),
        1 => Just((1usize << 24) + 1),
    ]
}
