//! Photos from files: the same pixels as from the decoders alone; truncated, padded and oversized files are rejected
//! with the right error, or decoded as far as they go if the caller allows it.
#![cfg(feature = "files")]

use std::io::Cursor;
use std::path::Path;

use image::ImageEncoder as _;
use silhouette_imaging::files::{FileError, MAX_PIXELS, Photo, PhotoOptions};
use silhouette_imaging::frame::{Frame, Size, Transparency};
use silhouette_imaging::input::{Fit, InputSpec, Resampler};
use silhouette_imaging::picture::Picture;
use silhouette_kernels::rows::RowSource as _;

const JPEGS: [(&str, &[u8]); 7] = [
    ("baseline 4:2:2", include_bytes!("pictures/baseline422.jpg")),
    ("CMYK", include_bytes!("pictures/cmyk.jpg")),
    ("progressive 4:2:0", include_bytes!("pictures/progressive.jpg")),
    ("progressive 4:4:4", include_bytes!("pictures/progressive444.jpg")),
    ("progressive grey", include_bytes!("pictures/progressive_grey.jpg")),
    ("progressive with restarts", include_bytes!("pictures/progressive_restarts.jpg")),
    ("restarts", include_bytes!("pictures/restarts.jpg")),
];

fn photo(bytes: &[u8]) -> Result<Photo, FileError> {
    Photo::decode(bytes, "test", MAX_PIXELS)
}

fn lenient(bytes: &[u8]) -> Result<Photo, FileError> {
    Photo::read(Cursor::new(bytes), Path::new("test"), &PhotoOptions::new().lenient(true))
}

fn rgb(photo: &Photo) -> Vec<u8> {
    rgba(photo).chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
}

fn rgba(photo: &Photo) -> Vec<u8> {
    Picture::from_frame(&photo.frame().unwrap()).unwrap().rgba
}

#[test]
fn large_jpegs_are_reduced_strip_by_strip() {
    // The mean of squares of the whole image is what the strips give, seams included.
    let mean = |rgb: &[u8], (width, height): (usize, usize), step: usize| -> Vec<u8> {
        let mut made = Vec::new();
        for y in (0..height).step_by(step) {
            for x in (0..width).step_by(step) {
                for channel in 0..3 {
                    let rows = y..(y + step).min(height);
                    let columns = x..(x + step).min(width);
                    let count = rows.len() * columns.len();
                    let at = |y: usize, x: usize| usize::from(rgb[3 * (y * width + x) + channel]);
                    let sum: usize =
                        rows.flat_map(|y| columns.clone().map(move |x| (y, x))).map(|(y, x)| at(y, x)).sum();
                    made.push(((sum + count / 2) / count) as u8);
                }
            }
        }
        made
    };
    let made = |width: u32, height: u32, color: image::ExtendedColorType| {
        let mut bytes = Vec::new();
        let pixels = silhouette_testkit::waves(width as usize, height as usize, 3);
        let pixels =
            if color == image::ExtendedColorType::L8 { &pixels[..(width * height) as usize] } else { &pixels[..] };
        image::codecs::jpeg::JpegEncoder::new(&mut bytes).encode(pixels, width, height, color).unwrap();
        bytes
    };
    let long = made(61, 300, image::ExtendedColorType::Rgb8);
    let grey = made(120, 200, image::ExtendedColorType::L8);
    let mut files = vec![("4:4:4", &long[..], true), ("grey", &grey, true)];
    files.extend(JPEGS.iter().map(|(name, file)| (*name, *file, !name.contains("progressive"))));
    for (name, file, sequential) in files {
        let whole = photo(file).unwrap();
        let size = whole.frame().unwrap().upright_size();
        let pixels = (size.width * size.height) as u64;
        for step in [2u64, 3] {
            let options = PhotoOptions::new().max_pixels(pixels / step).reduce(true);
            let reduced = Photo::read(Cursor::new(file), Path::new("large"), &options);
            if !sequential {
                assert!(matches!(reduced, Err(FileError::TooLarge { .. })), "{name}");
                continue;
            }
            let reduced = reduced.unwrap();
            assert_eq!(reduced.reduced_from(), Some(size), "{name}");
            let small = reduced.frame().unwrap().upright_size();
            let step = size.width.div_ceil(small.width);
            let expected = mean(&rgb(&whole), (size.width, size.height), step);
            let found = rgb(&reduced);
            assert_eq!(found.len(), expected.len(), "{name}");
            let most = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(most <= Some(1), "{name}: {most:?}");
        }
        // What is damaged is no panic.
        for at in (0..file.len()).step_by(file.len() / 60 + 1) {
            let mut flipped = file.to_vec();
            flipped[at] ^= 0x55;
            let options = PhotoOptions::new().max_pixels(100).reduce(true);
            let _ = Photo::read(Cursor::new(flipped), Path::new("flipped"), &options);
        }
    }
}

/// A PNG with an extra chunk after its header.
fn with_chunk(png: &[u8], kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let mut chunk = kind.to_vec();
    chunk.extend(content);
    let crc = !chunk.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 })
    });
    let mut bytes = png[..33].to_vec();
    bytes.extend((content.len() as u32).to_be_bytes());
    bytes.extend(chunk);
    bytes.extend(crc.to_be_bytes());
    bytes.extend(&png[33..]);
    bytes
}

/// A PNG with an ICC profile.
fn with_profile(png: &[u8], profile: &[u8]) -> Vec<u8> {
    let mut content = b"x\0\0".to_vec();
    content.extend(fdeflate::compress_to_vec(profile));
    with_chunk(png, *b"iCCP", &content)
}

/// A PNG of the given samples.
fn encoded(color: png::ColorType, depth: png::BitDepth, width: u32, data: &[u8]) -> Vec<u8> {
    let row = width as usize * color.samples() * depth as usize / 8;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, (data.len() / row) as u32);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

/// A PNG of 19x11 pixels of every colour type and depth, in one pass or in seven.
fn png(color: png::ColorType, depth: png::BitDepth, seed: usize) -> Vec<u8> {
    let channels = color.samples();
    let row = (19 * channels * depth as usize).div_ceil(8);
    let data: Vec<u8> = (0..row * 11).map(|i| (i * 37 + i / 5 * seed) as u8).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 19, 11);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == png::ColorType::Indexed {
        encoder.set_palette((0..=255).flat_map(|i: u8| [i, 255 - i, i.wrapping_mul(7)]).collect::<Vec<_>>());
        encoder.set_trns(vec![9, 0, 200]);
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&data).unwrap();
    writer.finish().unwrap();
    bytes
}

#[test]
fn pixels_are_those_of_the_decoders() {
    use png::{BitDepth, ColorType};
    let mut files: Vec<(String, Vec<u8>)> =
        JPEGS.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    for (color, depths) in [
        (ColorType::Grayscale, &[BitDepth::One, BitDepth::Two, BitDepth::Four, BitDepth::Eight, BitDepth::Sixteen][..]),
        (ColorType::Indexed, &[BitDepth::One, BitDepth::Two, BitDepth::Four, BitDepth::Eight]),
        (ColorType::Rgb, &[BitDepth::Eight, BitDepth::Sixteen]),
        (ColorType::Rgba, &[BitDepth::Eight, BitDepth::Sixteen]),
        (ColorType::GrayscaleAlpha, &[BitDepth::Eight, BitDepth::Sixteen]),
    ] {
        files.extend(depths.iter().map(|&depth| (format!("{color:?} {depth:?}"), png(color, depth, 3))));
    }
    files.push(("seven passes".into(), include_bytes!("pictures/interlaced.png").to_vec()));
    files.push(("seven passes, sixteen bits".into(), include_bytes!("pictures/interlaced16.png").to_vec()));
    for (name, bytes) in files {
        let mut expected = image::load_from_memory(&bytes).unwrap().into_rgba8().into_raw();
        // Fully hidden pixels are black.
        expected.chunks_exact_mut(4).filter(|pixel| pixel[3] == 0).for_each(|pixel| pixel.fill(0));
        assert!(rgba(&photo(&bytes).unwrap()) == expected, "{name}");
    }
}

#[test]
fn a_jpeg_that_lacks_more_than_its_end_marker_is_cut_off() {
    let mut plain = Vec::new();
    let pixels: Vec<u8> = (0..75 * 50 * 3).map(|i| (i * 7 % 251) as u8).collect();
    image::codecs::jpeg::JpegEncoder::new(&mut plain).encode(&pixels, 75, 50, image::ExtendedColorType::Rgb8).unwrap();
    for (name, bytes) in JPEGS.into_iter().chain([("baseline 4:4:4", &plain[..])]) {
        let whole = rgb(&photo(bytes).unwrap());
        for end in [bytes.len() - 2, bytes.len() - 1] {
            assert!(rgb(&photo(&bytes[..end]).unwrap()) == whole, "{name}: only the end marker is missing");
        }
        let mut taken = 0;
        for end in 12..bytes.len() - 2 {
            let error = photo(&bytes[..end]).map(drop).unwrap_err();
            let FileError::Truncated { there, .. } = &error else { panic!("{name} to {end}: {error}") };
            assert!(!there.is_empty() && error.to_string().contains("truncated"), "{name} to {end}: {error}");
            taken += usize::from(lenient(&bytes[..end]).is_ok());
        }
        // From the first scan on, part of the image exists.
        assert!(taken * 3 > bytes.len(), "{name}: {taken} of {}", bytes.len());
    }
    let half = photo(&plain[..plain.len() / 2]).map(drop).unwrap_err().to_string();
    assert!(half.contains("of 50 rows are there"), "{half}");
}

#[test]
fn a_png_that_is_cut_off_says_how_much_is_there_and_can_be_taken_so_far() {
    let width = 300;
    let height = 200;
    let mut noise = silhouette_testkit::Noise::new(3);
    let pixels: Vec<u8> = (0..width * height * 3).map(|_| (noise.fraction() * 256.0) as u8).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    assert!(rgb(&photo(&bytes).unwrap()) == pixels);
    let half = &bytes[..bytes.len() / 2];
    let error = photo(half).map(drop).unwrap_err();
    let FileError::Truncated { there, .. } = &error else { panic!("{error}") };
    let rows: usize = there.split(' ').next().unwrap().parse().unwrap();
    assert!((60..=100).contains(&rows) && there.ends_with("of 200 rows are there"), "{there}");
    let part = rgb(&lenient(half).unwrap());
    assert!(part[..rows * width * 3] == pixels[..rows * width * 3] && part[rows * width * 3..].iter().all(|&v| v == 0));
    assert!(matches!(lenient(&bytes[..20]), Err(FileError::Truncated { .. })));
}

/// The first scan of an image of this size, with `data` bytes of data.
fn claims(width: u16, height: u16, progressive: bool, data: usize) -> Vec<u8> {
    let source: &[u8] = if progressive { JPEGS[2].1 } else { JPEGS[0].1 };
    let mut bytes = source.to_vec();
    let frame = bytes.windows(2).position(|two| matches!(two, [0xFF, 0xC0 | 0xC2])).unwrap();
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    let scan = bytes.windows(2).position(|two| two == [0xFF, 0xDA]).unwrap();
    let length = usize::from(u16::from_be_bytes([bytes[scan + 2], bytes[scan + 3]]));
    bytes.truncate(scan + 2 + length);
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn data_that_cannot_hold_the_pixels_are_refused_before_there_are_pixels() {
    for progressive in [false, true] {
        let mut bytes = claims(11_300, 11_300, progressive, 16_000);
        assert!(matches!(photo(&bytes), Err(FileError::Truncated { .. })), "{progressive}");
        assert!(matches!(lenient(&bytes), Err(FileError::Truncated { .. })), "{progressive}");
        bytes.extend([0xFF, 0xD9]);
        assert!(matches!(photo(&bytes), Err(FileError::Decode { .. })), "{progressive}");
        assert!(matches!(lenient(&bytes), Err(FileError::Decode { .. })), "{progressive}");
        let large = claims(60_000, 60_000, progressive, 16);
        assert!(matches!(photo(&large), Err(FileError::TooLarge { .. })), "{progressive}");
    }
}

/// A JPEG's head, followed by endless zeros.
struct Endless(Cursor<Vec<u8>>, u64);

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        if read > 0 {
            return Ok(read);
        }
        self.1 += buffer.len() as u64;
        assert!(self.1 < 1 << 28, "{} bytes were read of an image of a few pixels", self.1);
        buffer.fill(0);
        Ok(buffer.len())
    }
}

impl std::io::Seek for Endless {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn scans_without_end_and_data_without_end_are_refused() {
    let whole = JPEGS[2].1;
    let last = (0..whole.len() - 1).rev().find(|&at| whole[at..at + 2] == [0xFF, 0xDA]).unwrap();
    let scan = &whole[last..whole.len() - 2];
    let mut bytes = whole[..whole.len() - 2].to_vec();
    for _ in 0..300 {
        bytes.extend(scan);
    }
    bytes.extend([0xFF, 0xD9]);
    let error = photo(&bytes).map(drop).unwrap_err().to_string();
    assert!(error.contains("scans or more"), "{error}");

    for head in
        [claims(75, 50, false, 0), claims(75, 50, true, 0), whole[..2].to_vec(), vec![0xFF, 0xD8, 0xFF, 0xE2, 9, 9]]
    {
        let reader = std::io::BufReader::new(Endless(Cursor::new(head), 0));
        let error = Photo::read(reader, Path::new("endless"), &PhotoOptions::new()).map(drop).unwrap_err();
        assert!(matches!(error, FileError::Decode { .. } | FileError::Format { .. }), "{error}");
    }
}

#[test]
fn what_is_transparent_stays_so_and_hides_what_it_hides() {
    use png::{BitDepth, ColorType};
    let noise: Vec<u8> = (0..8 * 8 * 4).map(|i: usize| (i * 73 % 251) as u8).collect();
    let alpha = |i: usize| [0, 255, 100, 0][i % 4];
    let sticker: Vec<u8> = noise.chunks_exact(4).enumerate().flat_map(|(i, p)| [p[0], p[1], p[2], alpha(i)]).collect();
    let mut expected = sticker.clone();
    expected.chunks_exact_mut(4).filter(|pixel| pixel[3] == 0).for_each(|pixel| pixel.fill(0));
    let deep: Vec<u8> = sticker.iter().flat_map(|&value| [value, value]).collect();
    let mut webp = Vec::new();
    let webp_encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut webp);
    webp_encoder.encode(&sticker, 8, 8, image::ExtendedColorType::Rgba8).unwrap();
    for (name, bytes) in [
        ("PNG", encoded(ColorType::Rgba, BitDepth::Eight, 8, &sticker)),
        ("PNG of sixteen bits", encoded(ColorType::Rgba, BitDepth::Sixteen, 8, &deep)),
        ("WebP", webp),
    ] {
        let photo = photo(&bytes).unwrap();
        assert_eq!(rgba(&photo), expected, "{name}");
        // The network does not see hidden pixels: whatever they contain, its input is the same.
        let other: Vec<u8> = expected
            .chunks_exact(4)
            .flat_map(|p| if p[3] == 0 { [9, 8, 7, 0] } else { [p[0], p[1], p[2], p[3]] })
            .collect();
        let other = Frame::rgba(&other, 8, 8).unwrap().transparent(Transparency::Straight);
        let [one, two] = [photo.frame().unwrap(), other].map(|frame| {
            let spec = InputSpec { size: Size::square(5), mean: [0.0; 3], std: [1.0; 3], fit: Fit::Stretch };
            let mut resampler = Resampler::new(spec);
            let rows = resampler.rows(&frame).unwrap();
            let mut scratch = vec![0.0; rows.scratch_len()];
            let mut row = vec![0.0; 15];
            let mut all = Vec::new();
            for y in 0..5 {
                rows.row(y, &mut scratch, &mut row);
                all.extend_from_slice(&row);
            }
            all
        });
        assert_eq!(one, two, "{name}");
    }
    // An opaque alpha channel is dropped.
    let opaque: Vec<u8> = sticker.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    let whole = photo(&encoded(ColorType::Rgba, BitDepth::Eight, 8, &opaque)).unwrap();
    assert_eq!((rgba(&whole), whole.frame().unwrap().transparency()), (opaque.clone(), Transparency::Ignored));
    // The missing part of a truncated file is opaque black.
    let tall: Vec<u8> = (0..200).flat_map(|_| sticker.clone()).collect();
    let bytes = encoded(ColorType::Rgba, BitDepth::Eight, 8, &tall);
    let part = rgba(&lenient(&bytes[..bytes.len() - 40]).unwrap());
    assert_eq!(part[part.len() - 4..], [0, 0, 0, 255]);
}

#[test]
fn a_profile_is_followed_in_every_format() {
    use png::{BitDepth, ColorType};
    let p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    // Display P3's green and a skin colour, and their sRGB values (by the definition of both).
    let colours = [[0, 255, 0], [200, 150, 120], [128, 128, 128], [250, 10, 10]];
    let expected = [[0, 255, 0], [209, 147, 115], [128, 128, 128], [255, 0, 0]];
    let near = |found: &[u8], what: &str, most: u8| {
        for (at, (found, expected)) in found.chunks_exact(3).zip(expected.iter().cycle()).enumerate() {
            let far = found.iter().zip(expected).any(|(a, b)| a.abs_diff(*b) > most);
            assert!(!far, "{what}, pixel {at}: {found:?} and {expected:?}");
        }
    };
    let pixels: Vec<u8> = (0..4).flat_map(|_| colours).flatten().collect();
    let deep: Vec<u8> = pixels.iter().flat_map(|&value| [value, value]).collect();
    let alpha: Vec<u8> = pixels.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 128]).collect();
    let plain = encoded(ColorType::Rgb, BitDepth::Eight, 4, &pixels);
    near(&rgb(&photo(&with_profile(&plain, &p3)).unwrap()), "PNG", 1);
    near(&rgb(&photo(&with_chunk(&plain, *b"cICP", &[12, 13, 0, 1])).unwrap()), "PNG's code points", 1);
    let deep = encoded(ColorType::Rgb, BitDepth::Sixteen, 4, &deep);
    near(&rgb(&photo(&with_profile(&deep, &p3)).unwrap()), "PNG of sixteen bits", 1);
    let sticker = photo(&with_profile(&encoded(ColorType::Rgba, BitDepth::Eight, 4, &alpha), &p3)).unwrap();
    near(&rgb(&sticker), "PNG with an alpha", 1);
    assert!(rgba(&sticker).iter().skip(3).step_by(4).all(|&alpha| alpha == 128));
    let mut webp = Vec::new();
    let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut webp);
    encoder.set_icc_profile(p3.clone()).unwrap();
    encoder.encode(&pixels, 4, 4, image::ExtendedColorType::Rgb8).unwrap();
    near(&rgb(&photo(&webp).unwrap()), "WebP", 1);
    // A JPEG's profile is stored in parts, here in the wrong order; blocks of one colour survive its compression.
    let blocks: Vec<u8> = (0..64 * 16).flat_map(|i| colours[i % 64 / 16]).collect();
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 100)
        .encode(&blocks, 64, 16, image::ExtendedColorType::Rgb8)
        .unwrap();
    let with_parts = |parts: &[(u8, &[u8])]| {
        let mut bytes = jpeg[..2].to_vec();
        for (number, part) in parts {
            bytes.extend([0xFF, 0xE2]);
            bytes.extend((part.len() as u16 + 16).to_be_bytes());
            bytes.extend(b"ICC_PROFILE\0");
            bytes.extend([*number, 2]);
            bytes.extend(*part);
        }
        bytes.extend(&jpeg[2..]);
        let all = rgb(&photo(&bytes).unwrap());
        (0..4).flat_map(|block| all[3 * (64 * 8 + 16 * block + 8)..][..3].to_vec()).collect::<Vec<_>>()
    };
    near(&with_parts(&[(2, &p3[200..]), (1, &p3[..200])]), "JPEG", 3);
    // A part is missing: no profile.
    let unconverted = with_parts(&[(1, &p3[..200])]);
    assert!(unconverted[3].abs_diff(200) <= 3, "{unconverted:?}");
    // sRGB's own profile changes no value.
    let srgb = moxcms::ColorProfile::new_srgb().encode().unwrap();
    assert_eq!(rgb(&photo(&with_profile(&plain, &srgb)).unwrap()), pixels);
}

#[test]
fn samples_of_sixteen_bits_are_read_as_their_file_says() {
    use png::{BitDepth, ColorType};
    let levels = [0_u16, 1, 100, 2048, 4000, 4095];
    let expected: Vec<u8> = levels.iter().map(|&level| (f64::from(level) * 255.0 / 4095.0).round() as u8).collect();
    let bytes = |scale: u32| levels.iter().flat_map(|&level| (level << scale).to_be_bytes()).collect::<Vec<u8>>();
    let grey = |data: &[u8]| encoded(ColorType::Grayscale, BitDepth::Sixteen, 6, data);
    let first = |png: &[u8]| rgb(&photo(png).unwrap()).chunks_exact(3).map(|pixel| pixel[0]).collect::<Vec<_>>();
    // In the lower bits, as some cameras write them, and in the upper ones, as PNG requires.
    assert_eq!(first(&with_chunk(&grey(&bytes(0)), *b"sBIT", &[12])), expected);
    assert_eq!(first(&with_chunk(&grey(&bytes(4)), *b"sBIT", &[12])), expected);
    // A file that declares nothing, or all sixteen, means sixteen.
    let dark: Vec<u8> = levels.iter().map(|&level| ((u32::from(level) + 128) / 257) as u8).collect();
    assert_eq!(first(&grey(&bytes(0))), dark);
    assert_eq!(first(&with_chunk(&grey(&bytes(0)), *b"sBIT", &[16])), dark);
    // The same for colours, and for an alpha with its own number of bits.
    let data: Vec<u8> = levels.iter().flat_map(|&l| [l, 0, l, 65_535]).flat_map(u16::to_be_bytes).collect();
    let png = with_chunk(&encoded(ColorType::Rgba, BitDepth::Sixteen, 6, &data), *b"sBIT", &[12, 12, 12, 16]);
    let colours: Vec<u8> = expected.iter().flat_map(|&level| [level, 0, level, 255]).collect();
    assert_eq!(rgba(&photo(&png).unwrap()), colours);
}

#[test]
fn profiles_that_are_broken_or_too_long_are_left_alone() {
    let bytes = png(png::ColorType::Rgb, png::BitDepth::Eight, 1);
    let whole = rgb(&photo(&bytes).unwrap());
    // Decompressed completely, this would be gigabytes.
    let bomb = vec![0; 1 << 26];
    for content in [&b"x\0\0\x78\x9c\x01\x02\x03"[..], b"x\0\x07", b"x", b""] {
        assert!(rgb(&photo(&with_chunk(&bytes, *b"iCCP", content)).unwrap()) == whole);
    }
    assert!(rgb(&photo(&with_profile(&bytes, &bomb)).unwrap()) == whole);
    let mut p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    p3.truncate(p3.len() / 2);
    assert!(rgb(&photo(&with_profile(&bytes, &p3)).unwrap()) == whole);
}
