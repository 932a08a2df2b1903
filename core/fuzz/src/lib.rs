//! The functions behind the fuzz targets: each interprets bytes as one kind of outside input. Nothing may panic, abort,
//! hang or exceed its memory limits; the results of a success must satisfy their contracts.
#![forbid(unsafe_code)]

use silhouette::files::{Photo, PhotoOptions, y4m};
use silhouette::{
    Effect, Foreground, Frame, FrameBuffer, Model, Options, OutputSize, PixelFormat, Plane, Region, Rotation,
    Segmentation, Segmenter, Smoothing, VideoSegmenter, YuvColor, YuvMatrix, YuvRange,
};
use silhouette_imaging::picture::Picture;
use silhouette_import::{ImportOptions, import_bytes};
use silhouette_network::cost::Cost;
use silhouette_network::network::Network;
use silhouette_network::spec::Spec;
use silhouette_weights::npy;
use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

static SEGMENTER: LazyLock<Segmenter> = LazyLock::new(|| {
    let model = Model::fixture().expect("the fixture is a model");
    Segmenter::new(&model, &Options::new().threads(1).size(33).concurrency(1)).expect("it can be run")
});

/// Numbers from the bytes, zeros past their end.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// Mostly small, sometimes anything.
    fn size(&mut self) -> usize {
        match self.byte() {
            255 => usize::from_le_bytes(self.array()),
            254 => u32::from_le_bytes(self.array()) as usize,
            253 => usize::from(u16::from_le_bytes(self.array())),
            small => usize::from(small),
        }
    }

    fn float(&mut self) -> f32 {
        match self.byte() {
            0 => f32::NAN,
            1 => f32::INFINITY,
            2 => f32::from_le_bytes(self.array()),
            share => f32::from(share) / 200.0,
        }
    }

    fn time(&mut self) -> Duration {
        match self.byte() {
            255 => Duration::MAX,
            254 => Duration::from_nanos(u64::from_le_bytes(self.array())),
            milliseconds => Duration::from_millis(milliseconds.into()),
        }
    }
}

fn import(bytes: &[u8]) {
    for spec in [None, Spec::preset("fixture").ok()] {
        let options = ImportOptions { spec, ..ImportOptions::default() };
        if let Ok(imported) = import_bytes(bytes, "fuzz", &options) {
            imported.into_model().expect("what was imported is a model");
        }
    }
}

/// A TensorFlow Lite file.
pub fn tflite(bytes: &[u8]) {
    if bytes.get(4..8) == Some(b"TFL3") {
        import(bytes);
    }
}

/// An ONNX file: a model, or bytes used as the graph in one.
pub fn onnx(bytes: &[u8]) {
    if bytes.starts_with(b"\x08") {
        import(bytes);
    } else {
        import(&[&b"\x08\x08\x12\x01x"[..], &field(7, bytes), b"\x42\x02\x10\x11"].concat());
    }
}

/// A frozen graph: whole, in an archive (gzip), or bytes used as a node after the image's.
pub fn frozen_graph(bytes: &[u8]) {
    if bytes.starts_with(b"\x0a") || bytes.starts_with(b"\x1f\x8b") {
        import(bytes);
    } else {
        let image = b"\x0a\x05image\x12\x0bPlaceholder";
        import(&[field(1, image), field(1, bytes)].concat());
    }
}

/// A field of a protocol buffer.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(bytes);
    field
}

/// A PyTorch file: the whole archive, a whole file of before PyTorch 1.6, and an archive around bytes used as the pickle.
pub fn pytorch(bytes: &[u8]) {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\x80\x02\x8a\x0a\x6c\xfc") {
        import(bytes);
    } else {
        import(&archive(bytes));
    }
}

/// An archive as PyTorch writes it, around a pickle and one storage.
pub fn archive(pickle: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in [("x/data.pkl", pickle), ("x/byteorder", b"little"), ("x/data/0", &[0; 256])] {
        zip.start_file(name, stored).expect("writing to memory succeeds");
        zip.write_all(content).expect("writing to memory succeeds");
    }
    zip.finish().expect("writing to memory succeeds").into_inner()
}

/// A Hugging Face `config.json`, and the same bytes as `preprocessor_config.json`, beside a file of two tensors.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let header = "{\"mobilenet_v2.conv_stem.first_conv.convolution.weight\":{\"dtype\":\"F32\",\"shape\":[1,3,1,1],\"data_offsets\":[0,12]},\
                  \"classifier.weight\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[12,20]}}";
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 20]].concat();
    for (config, preprocessor) in [(Some(text), None), (Some("{}"), Some(text))] {
        let [config, preprocessor] = [config, preprocessor].map(|text| text.map(str::to_owned));
        let options = ImportOptions { config, preprocessor, ..ImportOptions::default() };
        assert!(import_bytes(&file, "fuzz", &options).is_err(), "a network of two tensors");
    }
}

/// A foreign `.safetensors` file.
pub fn safetensors(bytes: &[u8]) {
    import(bytes);
}

/// A model file: opened, and run if it is valid.
pub fn model(bytes: &[u8]) {
    let Ok(model) = Model::from_bytes(bytes.to_vec()) else { return };
    let Ok(segmenter) = Segmenter::new(&model, &Options::new().threads(1).size(17)) else { return };
    let pixels = [128; 8 * 6 * 3];
    let frame = Frame::rgb(&pixels, 8, 6).expect("a frame");
    if let Ok(segmentation) = segmenter.segment(&frame) {
        assert_eq!(segmentation.mask().classes.len(), 8 * 6);
    }
}

/// A spec as JSON, unrolled and counted.
pub fn spec(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(spec) = Spec::from_json(text) else { return };
    if let Ok(network) = Network::native(&spec) {
        let _ = Cost::of(&network);
        assert_eq!(Spec::from_json(&spec.to_json()).expect("a valid spec stays valid"), spec);
    }
}

/// A file in a weight cache's folder, under the name that the model's own would have.
pub fn weight_cache(bytes: &[u8]) {
    struct Cached {
        folder: tempfile::TempDir,
        model: Model,
        frame: Vec<u8>,
        mask: Vec<u8>,
        whole: Vec<(std::path::PathBuf, Vec<u8>)>,
    }
    fn options(folder: &Path) -> Options {
        Options::new().threads(1).size(33).weight_cache(folder.join("cache"))
    }
    fn mask(cached: &Model, folder: &Path, pixels: &[u8]) -> Vec<u8> {
        let segmenter = Segmenter::new(cached, &options(folder)).expect("a cache has no effect on results");
        let frame = Frame::rgb(pixels, 20, 15).expect("a frame");
        segmenter.segment(&frame).expect("it runs").mask().classes.clone()
    }
    static CACHED: LazyLock<Cached> = LazyLock::new(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.safetensors");
        let file = Model::fixture().expect("the fixture is a model");
        file.file().save(&path, silhouette_weights::Dtype::F32).expect("the folder is writable");
        let model = Model::open(&path).expect("it was just saved");
        let frame: Vec<u8> = (0..20 * 15 * 3).map(|i| (i * 7) as u8).collect();
        let mask = mask(&model, folder.path(), &frame);
        let files = std::fs::read_dir(folder.path().join("cache")).expect("a cache");
        let whole = files.map(|entry| entry.expect("a file").path()).filter(|path| path.is_file());
        let whole = whole.map(|path| (path.clone(), std::fs::read(path).expect("a file"))).collect();
        Cached { folder, model, frame, mask, whole }
    });
    let cached = &*CACHED;
    for (path, whole) in &cached.whole {
        // Where to change it and how, or all of it.
        let mut numbers = Numbers(bytes);
        let mut changed = whole.clone();
        if numbers.byte() % 4 == 0 {
            changed = numbers.0.to_vec();
        } else {
            let at = u32::from_le_bytes(numbers.array()) as usize % changed.len();
            let rest = numbers.0;
            let end = (at + rest.len()).min(changed.len());
            changed[at..end].copy_from_slice(&rest[..end - at]);
            if rest.first().is_some_and(|&byte| byte == 0) {
                changed.truncate(at);
            }
        }
        std::fs::write(path, changed).expect("the folder is writable");
    }
    // Anyone with write access may change the weights; but a mask of the right size must result.
    assert_eq!(mask(&cached.model, cached.folder.path(), &cached.frame).len(), cached.mask.len());
}

/// A `.npy` file.
pub fn npy(bytes: &[u8]) {
    if let Ok(array) = npy::from_bytes(bytes, "fuzz.npy") {
        assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
        assert!(array.data.len() <= bytes.len());
    }
}

/// A Y4M video: every frame that is read becomes an image, is drawn again, and what is written is read as the same.
pub fn y4m(bytes: &[u8]) {
    let Ok(mut reader) = y4m::Reader::new(bytes) else { return };
    let header = reader.header().clone();
    let again = header.line();
    let parsed = y4m::Reader::new(again.as_bytes()).expect("a header that was written is read");
    assert_eq!(parsed.header(), &header);
    let mut planes = y4m::Planes::default();
    let mut drawn = y4m::Planes::default();
    while let Ok(true) = reader.read(&mut planes) {
        let picture = {
            let frame = planes.frame(&header).expect("a whole frame");
            Picture::from_frame(&frame).expect("a small image")
        };
        assert_eq!((picture.width, picture.height), (header.width, header.height));
        drawn.draw(&header, &picture, Some((&planes, &picture))).expect("a small image");
        let write = |planes: &y4m::Planes| {
            let mut out = Vec::new();
            y4m::Writer::new(&mut out, &header).and_then(|mut writer| writer.write(planes)).expect("memory is written");
            out
        };
        assert!(write(&planes) == write(&drawn), "what is not changed stays");
    }
}

/// An image file: a complete file decodes to the same result when truncated ones are accepted.
pub fn photo(bytes: &[u8]) {
    let read = |lenient| {
        let options = PhotoOptions::new().max_pixels(1 << 16).lenient(lenient);
        Photo::read(Cursor::new(bytes), Path::new("fuzz"), &options)
    };
    let strict = read(false);
    let lenient = read(true);
    if let Ok(strict) = strict {
        let lenient = lenient.expect("a complete file is accepted");
        let frames = (strict.frame().expect("pixels"), lenient.frame().expect("pixels"));
        let pictures = (Picture::from_frame(&frames.0), Picture::from_frame(&frames.1));
        assert!(pictures.0.expect("memory") == pictures.1.expect("memory"));
    }
}

/// A frame of any format, geometry and region over `pixels`, repeated as necessary.
fn frame_of<'a>(numbers: &mut Numbers<'_>, pixels: &'a [u8]) -> Option<Frame<'a>> {
    let format = numbers.byte() % 8;
    let width = numbers.size();
    let height = numbers.size();
    let plane = |numbers: &mut Numbers<'_>| {
        let start = numbers.size().min(pixels.len());
        let length = numbers.size();
        let data = &pixels[start..start.saturating_add(length.saturating_mul(64)).min(pixels.len())];
        Plane { data, row_stride: numbers.size(), pixel_stride: numbers.size() }
    };
    let color = YuvColor {
        matrix: if numbers.byte() % 2 == 0 { YuvMatrix::Bt601 } else { YuvMatrix::Bt709 },
        range: if numbers.byte() % 2 == 0 { YuvRange::Full } else { YuvRange::Video },
    };
    let first = plane(numbers);
    let packed = |format| Frame::packed(format, first.data, width, height, first.row_stride);
    let frame = match format {
        0 => packed(PixelFormat::Rgb),
        1 => packed(PixelFormat::Rgba),
        2 => packed(PixelFormat::Bgra),
        3 => packed(PixelFormat::Gray),
        4 => Frame::yuv420(first, plane(numbers), plane(numbers), width, height, color),
        other => {
            let second = plane(numbers);
            let data = [first.data, second.data];
            let strides = [first.row_stride, second.row_stride];
            match other {
                5 => Frame::nv12(data, strides, width, height, color),
                6 => Frame::nv21(data, strides, width, height, color),
                _ => Frame::i420(
                    [first.data, second.data, second.data],
                    [first.row_stride, second.row_stride, second.row_stride],
                    width,
                    height,
                    color,
                ),
            }
        }
    };
    let turned = frame.ok()?.rotated(Rotation::from_degrees(i32::from(numbers.byte() % 5) * 90).ok()?);
    let frame = turned.mirrored(numbers.byte() % 2 == 1);
    if numbers.byte() % 2 == 0 {
        return Some(frame);
    }
    let [x, y, width, height] = std::array::from_fn(|_| numbers.size());
    frame.cropped(Region { x, y, width, height }).ok()
}

/// Maximum size of a fuzzer's image: its pixels cost time and find nothing.
const PIXELS: usize = 1 << 16;

fn small(frame: &Frame<'_>) -> bool {
    let region = frame.region();
    region.width.saturating_mul(region.height) <= PIXELS
}

/// A frame's geometry, through the copy of a live stream and through the network.
pub fn frame(bytes: &[u8]) {
    let pixels: Vec<u8> = (0..1 << 14).map(|i| (i * 31 / 7) as u8).collect();
    let Some(frame) = frame_of(&mut Numbers(bytes), &pixels).filter(small) else { return };
    let region = frame.region();
    let mut copy = FrameBuffer::default();
    copy.copy_from(&frame).expect("memory for a small frame");
    let copy = copy.frame().expect("a copy of a valid frame is valid");
    let one = Picture::from_frame(&frame);
    let other = Picture::from_frame(&copy);
    assert!(one.expect("memory") == other.expect("memory"), "the copy is a different image");
    let segmentation = SEGMENTER.segment(&frame).expect("the frame is valid");
    assert_eq!((segmentation.width(), segmentation.height()), (region.width, region.height));
    assert!(segmentation.mask().classes.iter().all(|&class| usize::from(class) < segmentation.labels().len()));
    let transform = segmentation.transform().expect("it holds a frame");
    let (x, y) = transform.map(0.5, 0.5);
    assert!(x >= 0.0 && y >= 0.0 && x <= frame.width() as f64 && y <= frame.height() as f64);
}

/// Effects, masks, confidences and polygons with any numbers.
pub fn effects(bytes: &[u8]) {
    let mut numbers = Numbers(bytes);
    let pixels: Vec<u8> = (0..1 << 14).map(|i| (i * 13 / 5) as u8).collect();
    let frame = Frame::rgb(&pixels, 40, 30).expect("a frame");
    static SEGMENTATION: LazyLock<Segmentation> = LazyLock::new(|| {
        let pixels: Vec<u8> = (0..40 * 30 * 3).map(|i| (i * 13 / 5) as u8).collect();
        SEGMENTER.segment(&Frame::rgb(&pixels, 40, 30).expect("a frame")).expect("it runs")
    });
    let mut segmentation = SEGMENTATION.clone();
    let size = OutputSize::Given { width: numbers.size(), height: numbers.size() };
    if let OutputSize::Given { width, height } = size
        && width.saturating_mul(height) <= PIXELS
    {
        let resized = segmentation.resize(size);
        assert!(resized.is_ok() == (width > 0 && height > 0), "{size:?}");
    }
    let classes = (0..numbers.byte() % 4).map(|_| numbers.size()).collect();
    let foreground = if numbers.byte() % 2 == 0 { Foreground::All } else { Foreground::Classes(classes) };
    let kind = numbers.byte() % 5;
    let strength = numbers.float();
    let background = frame_of(&mut numbers, &pixels).unwrap_or(frame);
    let effect = match kind {
        0 => Effect::Picture,
        1 => Effect::Overlay { opacity: strength },
        2 => Effect::Cutout,
        3 => Effect::Blur { radius: strength },
        _ => Effect::Replace { background: &background },
    };
    if let Ok(picture) = segmentation.render(&frame, effect, &foreground) {
        assert_eq!(picture.rgba.len(), 40 * 30 * 4);
    }
    let class = numbers.size();
    let tolerance = f64::from(numbers.float()) * 10.0;
    let least = numbers.size();
    if let Ok(polygons) = segmentation.polygons(class, tolerance, least) {
        let inside = |&[x, y]: &[u32; 2]| x as usize <= segmentation.width() && y as usize <= segmentation.height();
        assert!(polygons.iter().all(|polygon| polygon.outer.iter().all(inside)));
    }
}

/// A video's timestamps and smoothing.
pub fn smoothing(bytes: &[u8]) {
    let mut numbers = Numbers(bytes);
    let mut smoothing = Smoothing::with_half_life(numbers.time());
    smoothing.longest_pause = numbers.time();
    let mut video = VideoSegmenter::new(&SEGMENTER, smoothing);
    let mut segmentation = Segmentation::default();
    for _ in 0..8 {
        let time = numbers.time();
        let shade = numbers.byte();
        let width = usize::from(numbers.byte() % 24) + 1;
        let pixels: Vec<u8> = (0..width * 9 * 3).map(|i| (i as u8).wrapping_mul(shade)).collect();
        let frame = Frame::rgb(&pixels, width, 9).expect("a frame");
        if video.segment_into(&frame, time, &mut segmentation).is_ok() {
            assert!(segmentation.logits().0.iter().all(|logit| logit.is_finite()));
        }
        if numbers.byte() == 0 {
            video.reset();
        }
    }
}
