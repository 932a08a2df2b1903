//! Photos out of files: the same pixels as the decoders give by themselves, and what is cut off, padded, or larger than it can be
//! refused by what it is, or taken as far as it goes where the caller says so.
#![cfg(feature = "files")]

use std::io::Cursor;
use std::path::Path;

use silhouette_imaging::files::{FileError, MAX_PIXELS, Photo, PhotoOptions};
use silhouette_imaging::picture::Picture;

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
    let picture = Picture::from_frame(&photo.frame().unwrap()).unwrap();
    picture.rgba.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
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
        let expected = image::load_from_memory(&bytes).unwrap().into_rgb8().into_raw();
        assert!(rgb(&photo(&bytes).unwrap()) == expected, "{name}");
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
            assert!(rgb(&photo(&bytes[..end]).unwrap()) == whole, "{name}: only the end marker is gone");
        }
        let mut taken = 0;
        for end in 12..bytes.len() - 2 {
            let error = photo(&bytes[..end]).map(drop).unwrap_err();
            let FileError::Truncated { there, .. } = &error else { panic!("{name} to {end}: {error}") };
            assert!(!there.is_empty() && error.to_string().contains("cut off"), "{name} to {end}: {error}");
            taken += usize::from(lenient(&bytes[..end]).is_ok());
        }
        // From the first scan on there is something to take.
        assert!(taken * 3 > bytes.len(), "{name}: {taken} of {}", bytes.len());
    }
    let half = photo(&plain[..plain.len() / 2]).map(drop).unwrap_err().to_string();
    assert!(half.contains("of 50 rows are there"), "{half}");
}

#[test]
fn a_png_that_is_cut_off_says_how_much_is_there_and_can_be_taken_so_far() {
    let (width, height) = (300, 200);
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

/// The first scan of a picture of this size, and `data` bytes of it.
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

/// A JPEG's head, and then zeros without end.
struct Endless(Cursor<Vec<u8>>, u64);

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        if read > 0 {
            return Ok(read);
        }
        self.1 += buffer.len() as u64;
        assert!(self.1 < 1 << 28, "{} bytes were read of a picture of a few pixels", self.1);
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
fn profiles_are_not_unpacked() {
    // An iCCP chunk whose profile is broken would be an error (or, if it were whole, gigabytes) to whoever looked at it.
    let mut bytes = png(png::ColorType::Rgb, png::BitDepth::Eight, 1);
    let mut chunk = b"iCCPx\0\0".to_vec();
    chunk.extend([0x78, 0x9c, 1, 2, 3]);
    let crc = !chunk.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 })
    });
    let mut with = (chunk.len() as u32 - 4).to_be_bytes().to_vec();
    with.extend(&chunk);
    with.extend(crc.to_be_bytes());
    let whole = rgb(&photo(&bytes).unwrap());
    bytes.splice(33..33, with);
    assert!(rgb(&photo(&bytes).unwrap()) == whole);
}
