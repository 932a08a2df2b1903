//! GIF, BMP and TIFF: the pixels that were written, what is said of files with several images, and files that are cut or claim too much.
#![cfg(feature = "formats")]

use image::{ExtendedColorType, Frame, ImageEncoder as _, RgbaImage};
use silhouette_imaging::files::{FileError, MAX_PIXELS, Photo, Several};
use silhouette_imaging::picture::Picture;
use silhouette_testkit::waves;
use std::io::Cursor;

const WIDTH: u32 = 40;
const HEIGHT: u32 = 30;

fn photo(bytes: &[u8]) -> Result<Photo, FileError> {
    Photo::decode(bytes, "my photo.x", MAX_PIXELS)
}

fn rgba(photo: &Photo) -> Vec<u8> {
    Picture::from_frame(&photo.frame().unwrap()).unwrap().rgba
}

fn pixels() -> Vec<u8> {
    waves(WIDTH as usize, HEIGHT as usize, 0)
}

fn opaque(rgb: &[u8]) -> Vec<u8> {
    rgb.chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect()
}

fn bmp() -> Vec<u8> {
    let mut file = Vec::new();
    let encoder = image::codecs::bmp::BmpEncoder::new(&mut file);
    encoder.write_image(&pixels(), WIDTH, HEIGHT, ExtendedColorType::Rgb8).unwrap();
    file
}

fn tiff() -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let encoder = image::codecs::tiff::TiffEncoder::new(&mut file);
    encoder.write_image(&pixels(), WIDTH, HEIGHT, ExtendedColorType::Rgb8).unwrap();
    file.into_inner()
}

/// Frames of one colour each: their pixels are the same after the palette.
fn gif(levels: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut file);
    for &level in levels {
        let image = RgbaImage::from_fn(WIDTH, HEIGHT, |x, _| {
            if x < 5 { image::Rgba([0; 4]) } else { image::Rgba([level, 0, 255 - level, 255]) }
        });
        encoder.encode_frame(Frame::new(image)).unwrap();
    }
    drop(encoder);
    file
}

#[test]
fn they_are_read_as_they_were_written() {
    for file in [bmp(), tiff()] {
        let photo = photo(&file).unwrap();
        assert_eq!(rgba(&photo), opaque(&pixels()));
        assert_eq!(photo.first_of(), None);
    }
    for levels in [&[200][..], &[200, 30, 100]] {
        let photo = photo(&gif(levels)).unwrap();
        assert_eq!(photo.first_of(), (levels.len() > 1).then_some(Several::Frames));
        for (i, pixel) in rgba(&photo).chunks_exact(4).enumerate() {
            let expected = if i % 40 < 5 { [0; 4] } else { [200, 0, 55, 255] };
            assert_eq!(pixel, expected, "{i}");
        }
    }
}

#[test]
fn sixteen_bits_grey_and_a_turn() {
    let mut file = Cursor::new(Vec::new());
    let deep: Vec<u8> = [0u16, 257 * 9, 257 * 200, 65535, 257, 514].into_iter().flat_map(u16::to_ne_bytes).collect();
    image::codecs::tiff::TiffEncoder::new(&mut file).write_image(&deep, 3, 2, ExtendedColorType::L16).unwrap();
    let file = file.into_inner();
    let greys = |bytes: &[u8]| rgba(&photo(bytes).unwrap()).chunks_exact(4).map(|pixel| pixel[0]).collect::<Vec<_>>();
    assert_eq!(greys(&file), [0, 9, 200, 255, 1, 2]);
    // The same with an orientation (upside down) in place of a tag that does not matter here (XResolution).
    let turned = with_entry(&file, 282, [18, 1, 3, 0, 1, 0, 0, 0, 3, 0, 0, 0]);
    assert_eq!(greys(&turned), [2, 1, 255, 200, 9, 0]);
}

/// Replaces the entry of a tag in the first directory (least significant byte first).
fn with_entry(file: &[u8], tag: u16, entry: [u8; 12]) -> Vec<u8> {
    assert_eq!(file[..4], *b"II*\0");
    let mut file = file.to_vec();
    let at = u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize;
    let count = usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
    let mut entries: Vec<[u8; 12]> =
        file[at + 2..at + 2 + 12 * count].chunks_exact(12).map(|entry| entry.try_into().unwrap()).collect();
    let found = entries.iter_mut().find(|entry| entry[..2] == tag.to_le_bytes()).expect("the tag is there");
    *found = entry;
    entries.sort_by_key(|entry| u16::from_le_bytes([entry[0], entry[1]]));
    for (number, entry) in entries.iter().enumerate() {
        file[at + 2 + 12 * number..][..12].copy_from_slice(entry);
    }
    file
}

#[test]
fn pages_are_told_and_thumbnails_of_raw_files_are_not_taken() {
    let one = tiff();
    let at = u32::from_le_bytes(one[4..8].try_into().unwrap()) as usize;
    let count = usize::from(u16::from_le_bytes([one[at], one[at + 1]]));
    let mut pages = one.clone();
    pages[at + 2 + 12 * count] = 8;
    assert_eq!(photo(&pages).unwrap().first_of(), Some(Several::Pages));
    // NewSubfileType, as cameras' files begin: a reduced image.
    let raw = with_entry(&one, 282, [254, 0, 4, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    let error = photo(&raw).unwrap_err();
    assert!(matches!(error, FileError::Foreign { kind: "a camera's raw file", .. }), "{error}");
}

#[test]
fn an_apng_is_its_first_frame() {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 2, 1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[1, 2, 3, 4, 5, 6]).unwrap();
    writer.write_image_data(&[9; 6]).unwrap();
    writer.finish().unwrap();
    let photo = photo(&file).unwrap();
    assert_eq!((rgba(&photo), photo.first_of()), (vec![1, 2, 3, 255, 4, 5, 6, 255], Some(Several::Frames)));
}

#[test]
fn cut_files_are_errors_at_every_length() {
    for (name, file) in [("BMP", bmp()), ("TIFF", tiff()), ("GIF", gif(&[200]))] {
        let pixels = rgba(&photo(&file).unwrap());
        for cut in (0..file.len()).step_by(file.len() / 61 + 1).chain(file.len() - 4..file.len()) {
            // A GIF may lack its end: nothing of its image is missing then.
            match photo(&file[..cut]) {
                Ok(read) => assert!(name == "GIF" && rgba(&read) == pixels, "{name} of {cut} of {} bytes", file.len()),
                Err(_) => assert!(cut + 1 < file.len() || name != "GIF", "{name}"),
            }
        }
        for at in 0..file.len().min(400) {
            for bit in [1, 16, 128] {
                let mut flipped = file.clone();
                flipped[at] ^= bit;
                let _ = Photo::decode(&flipped, "flipped", 1 << 20);
            }
        }
    }
    let error = photo(&gif(&[200])[..100]).unwrap_err();
    assert!(matches!(error, FileError::Truncated { .. }), "{error}");
}

#[test]
fn large_frames_of_gif_are_read() {
    // More than the 50 MB that its decoder allows unless told otherwise.
    let mut file = Vec::new();
    let image = RgbaImage::from_pixel(4200, 3500, image::Rgba([9, 9, 9, 255]));
    image::codecs::gif::GifEncoder::new_with_speed(&mut file, 30).encode_frame(Frame::new(image)).unwrap();
    let photo = photo(&file).unwrap();
    assert_eq!(photo.frame().unwrap().upright_size().width, 4200);
}

#[test]
fn what_a_file_claims_is_checked_before_memory_is_asked_for() {
    let mut large = bmp();
    large[18..26].copy_from_slice(&[0, 0x80, 0, 0, 0, 0x80, 0, 0]);
    assert!(matches!(photo(&large), Err(FileError::TooLarge { width: 0x8000, height: 0x8000, .. })));
    large[18..26].copy_from_slice(&[0, 0x20, 0, 0, 0, 0x30, 0, 0]);
    let error = photo(&large).unwrap_err();
    assert!(matches!(error, FileError::Decode { .. }) && error.to_string().contains("cannot hold"), "{error}");
    let mut large = gif(&[200]);
    large[6..10].copy_from_slice(&[0xFF; 4]);
    assert!(matches!(photo(&large), Err(FileError::TooLarge { width: 65535, .. })));
    // Its frame claims more too, but its data yield what they did.
    large[6..10].copy_from_slice(&[0, 0x28, 0, 0x2F]);
    let at = large.windows(10).position(|ten| ten[..9] == [0x2C, 0, 0, 0, 0, 40, 0, 30, 0]);
    let at = at.unwrap();
    large[at + 5..at + 9].copy_from_slice(&[0, 0x28, 0, 0x2F]);
    let error = photo(&large).unwrap_err();
    assert!(
        matches!(&error, FileError::Truncated { there, .. } if there.starts_with("1200 of the 123207680 pixels")),
        "{error}"
    );
    let width = with_entry(&tiff(), 256, [0, 1, 4, 0, 1, 0, 0, 0, 0, 0x28, 0, 0]);
    let large = with_entry(&width, 257, [1, 1, 4, 0, 1, 0, 0, 0, 0, 0x28, 0, 0]);
    let error = photo(&large).unwrap_err();
    // (The decoder finds first that its strips do not fit.)
    assert!(matches!(error, FileError::Decode { .. }), "{error}");
}

#[test]
fn large_pngs_are_reduced_row_by_row() {
    use silhouette_imaging::files::PhotoOptions;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 101, 67);
    encoder.set_color(png::ColorType::Rgb);
    let large = waves(101, 67, 0);
    encoder.write_header().unwrap().write_image_data(&large).unwrap();
    let read = |options: &PhotoOptions, bytes: &[u8]| Photo::read(Cursor::new(bytes), "large".as_ref(), options);
    let options = PhotoOptions::new().max_pixels(1000);
    assert!(matches!(read(&options, &file), Err(FileError::TooLarge { width: 101, height: 67, limit: 1000, .. })));
    let photo = read(&options.reduce(true), &file).unwrap();
    let size = photo.frame().unwrap().upright_size();
    assert_eq!((size.width, size.height), (34, 23));
    let from = photo.reduced_from().unwrap();
    assert_eq!((from.width, from.height), (101, 67));
    let made = rgba(&photo);
    for (x, y) in [(0, 0), (20, 11), (33, 22)] {
        let inside = |from: usize, most: usize| (3 * from..(3 * from + 3).min(most)).collect::<Vec<_>>();
        let (columns, rows) = (inside(x, 101), inside(y, 67));
        let places = rows.iter().flat_map(|y| columns.iter().map(move |x| 3 * (101 * y + x)));
        let sum: usize = places.map(|at| usize::from(large[at])).sum();
        let count = columns.len() * rows.len();
        assert_eq!(usize::from(made[4 * (34 * y + x)]), (sum + count / 2) / count, "{x} {y}");
    }
    // What fits is not touched; what is cut is still an error.
    assert_eq!(read(&PhotoOptions::new().max_pixels(6767).reduce(true), &file).unwrap().reduced_from(), None);
    assert!(matches!(read(&options.reduce(true), &file[..file.len() / 2]), Err(FileError::Truncated { .. })));
    assert!(read(&options.reduce(true).lenient(true), &file[..file.len() / 2]).is_ok());
}

#[test]
fn jpeg_and_webp_are_written() {
    use silhouette_imaging::files::{Image, ImageFormat};
    use silhouette_imaging::mask::{Confidence, Mask};
    let picture = Picture { width: 40, height: 30, rgba: opaque(&pixels()) };
    let encoded = |image: Image<'_>, format| {
        let mut bytes = Vec::new();
        image.encode(&mut bytes, "out".as_ref(), format).map(|()| bytes)
    };
    let webp = encoded(Image::Picture(&picture), ImageFormat::WebP).unwrap();
    assert_eq!(rgba(&photo(&webp).unwrap()), picture.rgba);
    let [rough, fine] = [20, 95].map(|quality| {
        let bytes = encoded(Image::Picture(&picture), ImageFormat::Jpeg { quality }).unwrap();
        let read = rgba(&photo(&bytes).unwrap());
        let off = read.iter().zip(&picture.rgba).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>();
        (bytes.len(), off)
    });
    assert!(rough.0 < fine.0 && rough.1 > fine.1 && fine.1 < 40 * 30 * 3 * 4, "{rough:?} {fine:?}");
    let mut clear = picture.clone();
    clear.rgba[3] = 100;
    assert_eq!(rgba(&photo(&encoded(Image::Picture(&clear), ImageFormat::WebP).unwrap()).unwrap()), clear.rgba);
    let grey = Confidence { width: 2, height: 1, values: vec![7, 255] };
    let webp = encoded(Image::Grey(&grey), ImageFormat::WebP).unwrap();
    assert_eq!(rgba(&photo(&webp).unwrap()), [7, 7, 7, 255, 255, 255, 255, 255]);
    // What a format cannot hold is said before a byte is written.
    let mask = Mask::new(3, 2);
    let palette = silhouette_imaging::palette::Palette::voc();
    let long = Confidence { width: 70_000, height: 1, values: vec![0; 70_000] };
    for (image, format, words) in [
        (Image::Picture(&clear), ImageFormat::Jpeg { quality: 90 }, "no transparency"),
        (Image::Mask(&mask, &palette), ImageFormat::WebP, "only PNG"),
        (Image::Grey(&long), ImageFormat::WebP, "1 to 16383 a side"),
        (Image::Grey(&long), ImageFormat::Jpeg { quality: 90 }, "1 to 65535 a side"),
    ] {
        let error = encoded(image, format).unwrap_err();
        assert!(matches!(error, FileError::Encode { .. }) && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn other_formats_are_named_with_the_way_out() {
    for (head, words) in [
        (
            &b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..],
            "a HEIC image, which is not read; convert it first: magick 'my photo.x' 'my photo.jpg'",
        ),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "an AVIF image, which is not read; convert it first: avifdec"),
        (
            b"\0\0\0\x20ftypisom\0\0\0\0",
            "an MP4 video, which is not read; convert it first: ffmpeg -i 'my photo.x' -frames:v 1",
        ),
        (b"plain text", "is not a PNG, JPEG, WebP, GIF, BMP or TIFF image"),
    ] {
        let error = photo(head).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
