//! Files that would cost more than their size: measures the peak memory of a process that opens one, whatever the
//! outcome. A rejected file may cost at most 64 MB and twice the file, an accepted one at most 64 MB and three times
//! the pixels. Each is opened in a process of its own.
#![cfg(all(feature = "files", target_os = "linux"))]

use silhouette::files::{Photo, PhotoOptions};
use silhouette::{Frame, Model, Options, OutputSize, Segmenter};
use silhouette_network::network::Network;
use silhouette_network::spec::{Extractor, Spec};
use silhouette_testkit::Folder;
use silhouette_weights::{Dtype, ModelFile, seeded};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Environment variable that names the file for the process that opens it.
const FILE: &str = "SILHOUETTE_TEST_BOMB";

/// Allowance for any file.
const ALWAYS: u64 = 64 << 20;

/// How a file was opened.
#[derive(Debug)]
struct Opened {
    taken: bool,
    /// Peak resident bytes.
    peak: u64,
}

/// Opens a file in another process.
fn open(path: &Path) -> Opened {
    opened_by(Command::new(std::env::current_exe().unwrap()), path)
}

/// The same with a limited address space.
fn open_within(mib: u32, path: &Path) -> Opened {
    let mut shell = Command::new("sh");
    let script = format!("ulimit -v {}; exec \"$0\" \"$@\"", mib * 1024);
    shell.args(["-c", &script]).arg(std::env::current_exe().unwrap());
    opened_by(shell, path)
}

fn opened_by(mut child: Command, path: &Path) -> Opened {
    child
        .args(["--ignored", "--exact", "opens_what_it_is_told_to", "--nocapture", "--test-threads", "1"])
        .env(FILE, path);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}: {output:?}", path.display());
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split_once("opened: ")).unwrap_or_else(|| panic!("{text}")).1;
    let (taken, peak) = line.split_once(' ').unwrap();
    Opened { taken: taken == "true", peak: peak.trim().parse().unwrap() }
}

/// The other process.
#[test]
#[ignore = "no test by itself: the others start it, and tell it what to open"]
fn opens_what_it_is_told_to() {
    let path = PathBuf::from(std::env::var_os(FILE).expect("the others say what to open"));
    let mut options = PhotoOptions::new().lenient(path.to_string_lossy().contains("lenient"));
    if path.to_string_lossy().contains("reduced") {
        options = options.max_pixels(1_000_000).reduce(true);
    }
    let taken = if path.ends_with("mask.safetensors") {
        let output = OutputSize::Given { width: 1 << 14, height: 1 << 14 };
        let options = Options::new().threads(1).output(output);
        let run = |model: Model| Segmenter::new(&model, &options)?.segment(&Frame::rgb(&[0; 8 * 6 * 3], 8, 6)?);
        Model::open(&path).and_then(run).map_err(|error| println!("\n{error}")).is_ok()
    } else if path.extension().is_some_and(|kind| kind == "safetensors") {
        let run = |model: Model| {
            let segmenter = Segmenter::new(&model, &Options::new().threads(1))?;
            segmenter.segment(&Frame::rgb(&[0; 8 * 6 * 3], 8, 6)?)
        };
        Model::open(&path).and_then(run).is_ok()
    } else {
        Photo::open_with(&path, &options).map_err(|error| println!("\n{error}")).is_ok()
    };
    // (The test harness has started a line.)
    println!("\nopened: {taken} {}", silhouette_testkit::peak_memory());
}

#[track_caller]
fn refused(path: &Path, counted: u64) {
    let opened = open(path);
    println!("{}: {} MB", path.display(), opened.peak >> 20);
    assert!(!opened.taken, "{} was taken", path.display());
    assert!(opened.peak <= ALWAYS + 2 * counted, "{}: {opened:?}", path.display());
}

#[track_caller]
fn taken(path: &Path, width: u64, height: u64) {
    let opened = open(path);
    println!("{}: {} MB", path.display(), opened.peak >> 20);
    assert!(opened.taken, "{} was refused", path.display());
    assert!(opened.peak <= ALWAYS + 3 * 3 * width * height, "{}: {opened:?}", path.display());
}

/// A JPEG that claims a size, up to the data of its first scan.
fn claims(progressive: bool, side: u16) -> Vec<u8> {
    let baseline: &[u8] = include_bytes!("../../imaging/tests/pictures/baseline422.jpg");
    let scans: &[u8] = include_bytes!("../../imaging/tests/pictures/progressive.jpg");
    let mut bytes = if progressive { scans } else { baseline }.to_vec();
    let frame = bytes.windows(2).position(|two| matches!(two, [0xFF, 0xC0 | 0xC2])).unwrap();
    bytes[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());
    let scan = bytes.windows(2).position(|two| two == [0xFF, 0xDA]).unwrap();
    bytes.truncate(scan + 2 + usize::from(u16::from_be_bytes([bytes[scan + 2], bytes[scan + 3]])));
    bytes
}

/// A whole JPEG of one grey, no colour at half the size: every code is of one bit, 0, for a first coefficient that does not differ and,
/// where it is not progressive, the end of a block.
fn flat(progressive: bool, side: u16) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0xD8];
    let mut segment = |marker: u8, content: &[u8]| {
        bytes.extend([0xFF, marker]);
        bytes.extend((content.len() as u16 + 2).to_be_bytes());
        bytes.extend(content);
    };
    segment(0xDB, &[&[0], &[1; 64][..]].concat());
    let [high, low] = side.to_be_bytes();
    let frame = [8, high, low, high, low, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0];
    segment(if progressive { 0xC2 } else { 0xC0 }, &frame);
    for table in [0x00, 0x10] {
        segment(0xC4, &[&[table, 1], &[0; 16][..]].concat());
    }
    segment(0xDA, &[3, 1, 0, 2, 0, 3, 0, 0, if progressive { 0 } else { 63 }, 0]);
    let blocks = 3 * usize::from(side).div_ceil(8).pow(2);
    let bits = if progressive { blocks } else { 2 * blocks };
    bytes.resize(bytes.len() + bits.div_ceil(8), 0);
    bytes.extend([0xFF, 0xD9]);
    bytes
}

/// A lossless WebP of one colour: no pixel of it takes a bit.
fn webp(width: u64, height: u64) -> Vec<u8> {
    // Sides less one; no alpha, version 0; no transform, no cache, one set of codes; five codes of one symbol, which is 0.
    let codes = (0..5).fold(0u64, |codes, _| codes << 4 | 1);
    let bits = (width - 1) | (height - 1) << 14 | codes << 35;
    let data = [&[0x2F], &bits.to_le_bytes()[..], &[0; 9]].concat();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((data.len() as u32 + 12).to_le_bytes());
    bytes.extend(b"WEBPVP8L");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

/// A PNG of one colour.
fn png(color: png::ColorType, depth: png::BitDepth, width: u32, height: u32) -> Vec<u8> {
    use std::io::Write as _;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    let row = vec![7; width as usize * color.samples() * depth as usize / 8];
    (0..height).for_each(|_| stream.write_all(&row).unwrap());
    stream.finish().unwrap();
    writer.finish().unwrap();
    bytes
}

/// A chunk of a PNG.
fn chunk(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let body = [&kind, content].concat();
    let crc = !body.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 })
    });
    [&(content.len() as u32).to_be_bytes(), &body[..], &crc.to_be_bytes()].concat()
}

#[test]
fn what_is_refused_costs_little() {
    let place = Folder::new();
    for progressive in [false, true] {
        let mut small = claims(progressive, 11_300);
        small.resize(small.len() + 16_000, 0);
        refused(&place.write("cut.jpg", &small), 0);
        small.extend([0xFF, 0xD9]);
        refused(&place.write("whole.lenient.jpg", &small), 0);
        // Three gigabytes that begin like an image, of which only the beginning is on disk.
        let path = place.write("long.jpg", claims(progressive, 64));
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(3 << 30).unwrap();
        refused(&path, 0);
    }
    let path = place.write(
        "long.webp",
        [&b"RIFF\xf0\xff\xff\xffWEBPVP8 \xe8\xff\xff\xff\x10\0\0\x9d\x01\x2a\x10\0\x10\0"[..], &[0; 64]].concat(),
    );
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(3 << 30).unwrap();
    refused(&path, 0);
    if cfg!(feature = "formats") {
        // A BMP's header, and a GIF with the shortest data that are whole.
        let mut bmp = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        bmp.extend([11_000u32, 11_000].iter().flat_map(|side| side.to_le_bytes()));
        bmp.extend([1, 0, 24, 0]);
        bmp.resize(54 + 16_000, 0);
        refused(&place.write("header.bmp", &bmp), 0);
        let [low, high] = 11_000u16.to_le_bytes();
        let mut gif = [&b"GIF89a"[..], &[low, high, low, high, 0x80, 0, 0, 0, 0, 0, 9, 9, 9]].concat();
        gif.extend([0x2C, 0, 0, 0, 0, low, high, low, high, 0, 2]);
        (0..200).for_each(|_| gif.extend([&[255][..], &[0x44; 255]].concat()));
        gif.extend([0, 0x3B]);
        refused(&place.write("short.gif", &gif), 0);
    }
    let path = place.write("header.png", &png(png::ColorType::Rgba, png::BitDepth::Eight, 11_000, 4)[..60]);
    refused(&path, 0);
    let mut spec = Spec::preset("fixture").unwrap();
    spec.input.size = 2049;
    if let Extractor::MobilenetV2(v2) = &mut spec.extractor {
        v2.output_stride = 8;
    }
    let weights = seeded(&Network::native(&spec).unwrap(), 1);
    let path = place.path("large.safetensors");
    ModelFile::new(spec, weights).unwrap().save(&path, Dtype::F32).unwrap();
    refused(&path, std::fs::metadata(&path).unwrap().len());
}

#[test]
fn what_is_taken_costs_its_pixels() {
    let place = Folder::new();
    // A profile of 100 MB in a hundred kilobytes, compressed like pixels.
    let bomb = png(png::ColorType::Grayscale, png::BitDepth::Eight, 10_000, 10_000);
    let mut data = Vec::new();
    let mut at = 8;
    while at + 8 < bomb.len() {
        let length = u32::from_be_bytes([bomb[at], bomb[at + 1], bomb[at + 2], bomb[at + 3]]) as usize;
        if &bomb[at + 4..at + 8] == b"IDAT" {
            data.extend(&bomb[at + 8..at + 8 + length]);
        }
        at += 12 + length;
    }
    let mut small = png(png::ColorType::Rgb, png::BitDepth::Eight, 8, 8);
    let text = [b"comment\0\0".to_vec(), data.clone()].concat();
    let profile = [b"profile\0\0".to_vec(), data].concat();
    small.splice(33..33, [chunk(*b"iCCP", &profile), chunk(*b"zTXt", &text)].concat());
    taken(&place.write("profile.png", &small), 8, 8);
    let deep = png(png::ColorType::Rgba, png::BitDepth::Sixteen, 3000, 3000);
    taken(&place.write("deep.png", &deep), 3000, 3000);
    for progressive in [false, true] {
        taken(&place.write("flat.jpg", flat(progressive, 2000)), 2000, 2000);
    }
    taken(&place.write("flat.webp", webp(2000, 2000)), 2000, 2000);
    // What is reduced costs what is left of it.
    let large = png(png::ColorType::Rgba, png::BitDepth::Sixteen, 9000, 9000);
    taken(&place.write("reduced.png", &large), 1000, 1000);
    taken(&place.write("reduced.jpg", flat(false, 11_300)), 1000, 1000);
}

/// An abort would end the process before it reports anything.
#[test]
fn where_there_is_no_memory_there_is_an_error() {
    let place = Folder::new();
    let picture = place.write("large.png", png(png::ColorType::Grayscale, png::BitDepth::Eight, 11_300, 11_300));
    assert!(!open_within(300, &picture).taken);
    assert!(!open_within(300, &place.write("large.jpg", flat(false, 11_300))).taken);
    // Room for the pixels, but not for the coefficients.
    assert!(!open_within(700, &place.write("large.jpg", flat(true, 11_300))).taken);
    assert!(!open_within(300, &place.write("large.webp", webp(16_000, 8000))).taken);
    let spec = Spec::preset("fixture").unwrap();
    let weights = seeded(&Network::native(&spec).unwrap(), 1);
    let path = place.path("mask.safetensors");
    ModelFile::new(spec, weights).unwrap().save(&path, Dtype::F32).unwrap();
    assert!(!open_within(200, &path).taken);
    assert!(open_within(900, &path).taken);
}

fn the_largest_pictures_cost_their_pixels() {
    let place = Folder::new();
    let deep = png(png::ColorType::Rgba, png::BitDepth::Sixteen, 11_300, 11_300);
    taken(&place.write("deep.png", &deep), 11_300, 11_300);
    let plain = png(png::ColorType::Rgb, png::BitDepth::Eight, 11_300, 11_300);
    taken(&place.write("plain.png", &plain), 11_300, 11_300);
    for progressive in [false, true] {
        taken(&place.write("flat.jpg", flat(progressive, 11_300)), 11_300, 11_300);
    }
    taken(&place.write("flat.webp", webp(16_000, 8000)), 16_000, 8000);
}

silhouette_testkit::long_tests!(the_largest_pictures_cost_their_pixels);
