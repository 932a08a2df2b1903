//! The masks that Rust, Kotlin and Swift must all compute from the same frames with the same model
//! (`examples/fixture.rs`).
//!
//! `tests/golden/cases.tsv` has one case per line; its first line names the columns. A frame's planes are in one `.bin`
//! file, each as `offset:length:row_stride:pixel_stride`; `region` is `x:y:width:height` in the upright image, `output`
//! the mask's size; a mask has one byte per pixel, rows from top to bottom. Instruction sets round differently, which
//! may decide a tie: one pixel in a thousand may differ.
//!
//! `SILHOUETTE_BLESS=1 cargo test -p silhouette --test golden` regenerates them.

mod common;

use common::model;
use silhouette::{
    Frame, InputShape, Options, OutputSize, PixelFormat, Plane, Region, Rotation, Segmenter, Size, YuvColor, YuvMatrix,
    YuvRange,
};
use std::fmt::Write as _;
use std::path::PathBuf;

const COLUMNS: &str =
    "name\tformat\twidth\theight\tplanes\tfile\tmatrix\trange\trotation\tmirror\tregion\toutput\tmask";

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// One line of `cases.tsv`.
#[derive(Clone, Debug)]
struct Case {
    name: String,
    format: String,
    size: Size,
    /// Offset, length, row stride, pixel stride.
    planes: Vec<[usize; 4]>,
    file: String,
    matrix: u32,
    range: String,
    rotation: i32,
    mirror: bool,
    region: Option<[usize; 4]>,
    output: Size,
}

fn numbers<const N: usize>(text: &str) -> [usize; N] {
    let numbers: Vec<usize> = text.split(':').map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

impl Case {
    fn parse(line: &str) -> Self {
        let cells: Vec<&str> = line.split('\t').collect();
        assert_eq!(cells.len(), COLUMNS.split('\t').count(), "{line}");
        Self {
            name: cells[0].to_owned(),
            format: cells[1].to_owned(),
            size: Size { height: cells[3].parse().unwrap(), width: cells[2].parse().unwrap() },
            planes: cells[4].split(',').map(numbers).collect(),
            file: cells[5].to_owned(),
            matrix: cells[6].parse().unwrap(),
            range: cells[7].to_owned(),
            rotation: cells[8].parse().unwrap(),
            mirror: cells[9] == "1",
            region: (cells[10] != "-").then(|| numbers(cells[10])),
            output: {
                let [width, height] = numbers(cells[11]);
                Size { height, width }
            },
        }
    }

    fn line(&self) -> String {
        let join = |numbers: &[usize]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(":");
        let planes: Vec<String> = self.planes.iter().map(|plane| join(plane)).collect();
        let region = self.region.map_or_else(|| "-".to_owned(), |region| join(&region));
        let Self { name, format, size: Size { height, width }, file, matrix, range, rotation, .. } = self;
        let (planes, mirror, output) =
            (planes.join(","), u8::from(self.mirror), join(&[self.output.width, self.output.height]));
        format!(
            "{name}\t{format}\t{width}\t{height}\t{planes}\t{file}\t{matrix}\t{range}\t{rotation}\t{mirror}\t{region}\t{output}\t{name}.mask"
        )
    }

    fn frame<'a>(&self, bytes: &'a [u8]) -> Frame<'a> {
        let plane = |i: usize| {
            let [offset, length, row_stride, pixel_stride] = self.planes[i];
            Plane { data: &bytes[offset..offset + length], row_stride, pixel_stride }
        };
        let Size { height, width } = self.size;
        let matrix = if self.matrix == 709 { YuvMatrix::Bt709 } else { YuvMatrix::Bt601 };
        let range = if self.range == "video" { YuvRange::Video } else { YuvRange::Full };
        let color = YuvColor { matrix, range };
        let packed = |format| Frame::packed(format, plane(0).data, width, height, plane(0).row_stride);
        let pairs = |i: usize| (plane(i).data, plane(i).row_stride);
        let frame = match self.format.as_str() {
            "rgb" => packed(PixelFormat::Rgb),
            "rgba" => packed(PixelFormat::Rgba),
            "bgra" => packed(PixelFormat::Bgra),
            "gray" => packed(PixelFormat::Gray),
            "yuv420" => Frame::yuv420(plane(0), plane(1), plane(2), width, height, color),
            "nv12" => Frame::nv12([pairs(0).0, pairs(1).0], [pairs(0).1, pairs(1).1], width, height, color),
            "nv21" => Frame::nv21([pairs(0).0, pairs(1).0], [pairs(0).1, pairs(1).1], width, height, color),
            other => panic!("format {other}"),
        };
        let frame = frame.unwrap().rotated(Rotation::from_degrees(self.rotation).unwrap()).mirrored(self.mirror);
        match self.region {
            None => frame,
            Some([x, y, width, height]) => frame.cropped(Region { x, y, width, height }).unwrap(),
        }
    }

    fn mask(&self, bytes: &[u8]) -> Vec<u8> {
        let Size { height, width } = self.output;
        let options =
            Options::new().threads(1).input_shape(InputShape::Square).output(OutputSize::Given { width, height });
        Segmenter::new(&model(), &options).unwrap().segment(&self.frame(bytes)).unwrap().mask().classes.clone()
    }
}

const WIDTH: usize = 63;
const HEIGHT: usize = 47;
const SIZE: Size = Size { height: HEIGHT, width: WIDTH };

/// Integers only, the same on every machine: a few soft shapes.
fn channel(x: usize, y: usize, c: usize) -> u8 {
    let x = x as i64;
    let y = y as i64;
    let hill = |cx: i64, cy: i64, size: i64| {
        let distance = (x - cx) * (x - cx) + (y - cy) * (y - cy);
        (255 - 255 * distance / (size * size)).max(0)
    };
    let parts = [hill(18, 14, 17), hill(45, 30, 20), hill(30, 40, 13)];
    let stripes = if (x + 2 * y) / 6 % 2 == 0 { 40 } else { 0 };
    (parts[c] + parts[(c + 1) % 3] / 3 + stripes).min(255) as u8
}

/// The files of frames, and the cases: every format, all eight orientations, a region, both matrices and ranges.
fn make() -> (Vec<(String, Vec<u8>)>, Vec<Case>) {
    let pixels = || (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| [0, 1, 2].map(|c| channel(x, y, c))));
    let packed = |order: &[Option<usize>], stride: usize| {
        let samples = order.len();
        let mut bytes = vec![0xEE; (HEIGHT - 1) * stride + WIDTH * samples];
        for (i, rgb) in pixels().enumerate() {
            let at = i / WIDTH * stride + i % WIDTH * samples;
            for (byte, channel) in bytes[at..].iter_mut().zip(order) {
                *byte = channel.map_or(255, |channel| rgb[channel]);
            }
        }
        bytes
    };
    // Luma and differences of BT.601 in full range, in integers.
    let columns = WIDTH.div_ceil(2);
    let rows = HEIGHT.div_ceil(2);
    let [mut luma, mut u, mut v] = [Vec::new(), vec![0; columns * rows], vec![0; columns * rows]];
    for (i, [r, g, b]) in pixels().map(|rgb| rgb.map(i64::from)).enumerate() {
        let y = (299 * r + 587 * g + 114 * b + 500) / 1000;
        luma.push(y as u8);
        let x = i % WIDTH;
        let y_index = i / WIDTH;
        if x.is_multiple_of(2) && y_index.is_multiple_of(2) {
            let at = y_index / 2 * columns + x / 2;
            u[at] = (128 + (b - y) * 1000 / 1772).clamp(0, 255) as u8;
            v[at] = (128 + (r - y) * 1000 / 1402).clamp(0, 255) as u8;
        }
    }
    // Luma with padded rows, then interleaved U and V with padded rows, without padding after the last sample.
    let luma_stride = WIDTH + 5;
    let pair_stride = 2 * columns + 6;
    let camera = |first: &[u8], second: &[u8]| {
        let mut bytes = Vec::new();
        for row in luma.chunks(WIDTH) {
            bytes.extend_from_slice(row);
            bytes.extend([0xEE; 5]);
        }
        for y in 0..rows {
            for x in 0..columns {
                bytes.extend([first[y * columns + x], second[y * columns + x]]);
            }
            bytes.extend([0xEE; 6]);
        }
        bytes.truncate(bytes.len() - 6);
        bytes
    };
    let files = vec![
        ("rgb.bin".to_owned(), packed(&[Some(0), Some(1), Some(2)], 3 * WIDTH)),
        ("bgra.bin".to_owned(), packed(&[Some(2), Some(1), Some(0), None], 4 * WIDTH + 12)),
        ("rgba.bin".to_owned(), packed(&[Some(0), Some(1), Some(2), None], 4 * WIDTH)),
        ("nv12.bin".to_owned(), camera(&u, &v)),
        ("nv21.bin".to_owned(), camera(&v, &u)),
    ];
    let length = |name: &str| files.iter().find(|file| file.0 == name).unwrap().1.len();
    let pairs_at = luma_stride * HEIGHT;
    let pairs = length("nv12.bin") - pairs_at;
    let base = Case {
        name: String::new(),
        format: String::new(),
        size: SIZE,
        planes: Vec::new(),
        file: String::new(),
        matrix: 601,
        range: "full".to_owned(),
        rotation: 0,
        mirror: false,
        region: None,
        output: SIZE,
    };
    let case = |name: &str, format: &str, file: &str, planes: &[[usize; 4]]| Case {
        name: name.to_owned(),
        format: format.to_owned(),
        file: file.to_owned(),
        planes: planes.to_vec(),
        ..base.clone()
    };
    let luma_plane = [0, pairs_at - 5, luma_stride, 1];
    let camera_planes = [luma_plane, [pairs_at, pairs - 1, pair_stride, 2], [pairs_at + 1, pairs - 1, pair_stride, 2]];
    let mut cases = vec![
        case("rgb", "rgb", "rgb.bin", &[[0, length("rgb.bin"), 3 * WIDTH, 3]]),
        case("rgba", "rgba", "rgba.bin", &[[0, length("rgba.bin"), 4 * WIDTH, 4]]),
        case("bgra", "bgra", "bgra.bin", &[[0, length("bgra.bin"), 4 * WIDTH + 12, 4]]),
        case("gray", "gray", "nv12.bin", &[luma_plane]),
        case("nv12", "nv12", "nv12.bin", &[luma_plane, [pairs_at, pairs, pair_stride, 2]]),
        case("nv21", "nv21", "nv21.bin", &[luma_plane, [pairs_at, pairs, pair_stride, 2]]),
        Case { matrix: 709, ..case("yuv420-709", "yuv420", "nv12.bin", &camera_planes) },
        Case { range: "video".to_owned(), ..case("yuv420-video", "yuv420", "nv12.bin", &camera_planes) },
        Case { output: Size { height: 70, width: 30 }, ..case("output", "yuv420", "nv12.bin", &camera_planes) },
        Case {
            rotation: 90,
            mirror: true,
            region: Some([7, 5, 33, 50]),
            output: Size { height: 50, width: 33 },
            ..case("region", "yuv420", "nv12.bin", &camera_planes)
        },
    ];
    for rotation in [0, 90, 180, 270] {
        for mirror in [false, true] {
            let name = format!("turn-{rotation}{}", if mirror { "-mirror" } else { "" });
            let output = if rotation % 180 == 0 { SIZE } else { Size { height: WIDTH, width: HEIGHT } };
            cases.push(Case { rotation, mirror, output, ..case(&name, "yuv420", "nv12.bin", &camera_planes) });
        }
    }
    (files, cases)
}

fn bless() {
    let (files, cases) = make();
    std::fs::create_dir_all(golden("")).unwrap();
    let mut table = format!("{COLUMNS}\n");
    for (name, bytes) in &files {
        std::fs::write(golden(name), bytes).unwrap();
    }
    for case in &cases {
        let bytes = &files.iter().find(|file| file.0 == case.file).unwrap().1;
        std::fs::write(golden(&format!("{}.mask", case.name)), case.mask(bytes)).unwrap();
        writeln!(table, "{}", case.line()).unwrap();
    }
    std::fs::write(golden("cases.tsv"), table).unwrap();
}

#[test]
fn masks_are_the_golden_ones() {
    if std::env::var_os("SILHOUETTE_BLESS").is_some() {
        bless();
    }
    let table = std::fs::read_to_string(golden("cases.tsv")).unwrap();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some(COLUMNS));
    let cases: Vec<Case> = lines.map(Case::parse).collect();
    assert!(cases.len() >= 18, "{} cases", cases.len());
    for case in cases {
        let bytes = std::fs::read(golden(&case.file)).unwrap();
        let expected = std::fs::read(golden(&format!("{}.mask", case.name))).unwrap();
        let mask = case.mask(&bytes);
        assert_eq!(mask.len(), expected.len(), "{}", case.name);
        let classes: std::collections::BTreeSet<u8> = expected.iter().copied().collect();
        assert!(classes.len() > 1, "{}: one class alone proves little", case.name);
        let different = mask.iter().zip(&expected).filter(|(a, b)| a != b).count();
        assert!(different * 1000 <= expected.len(), "{}: {different} of {} pixels differ", case.name, expected.len());
    }
}
