//! Writes small generated seed files for each target, into `corpus/TARGET`.

use silhouette_fuzz::field;
use silhouette_network::network::Network;
use silhouette_network::spec::{Bottleneck, Extractor, Head, Spec};
use silhouette_weights::npy::{self, Array};
use silhouette_weights::{Dtype, ModelFile, seeded, to_bytes};
use std::error::Error;
use std::io::Cursor;
use std::path::{Path, PathBuf};

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| -> Done {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::write(folder.join(name), bytes)?)
    };
    for (name, _) in Spec::presets() {
        write("spec", name, Spec::preset(name)?.to_json().as_bytes())?;
    }
    let spec = tiny()?;
    write("spec", "tiny", spec.to_json().as_bytes())?;
    let weights = seeded(&Network::native(&spec)?, 1);
    let model = ModelFile::new(spec.clone(), weights)?;
    for (name, dtype) in [("f32", Dtype::F32), ("f16", Dtype::F16)] {
        let bytes = to_bytes(&spec, model.weights(), dtype)?;
        write("model", name, &bytes)?;
        write("safetensors", name, &bytes)?;
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.npy");
    npy::write(&path, &Array { shape: [1, 3, 2, 2], data: (0..12).map(|i| i as f32).collect() })?;
    write("npy", "f32", &std::fs::read(&path)?)?;
    let pickle = state_dict();
    write("pytorch", "pickle", &pickle)?;
    write("pytorch", "archive", &silhouette_fuzz::archive(&pickle))?;
    write("pytorch", "legacy", &legacy(&pickle))?;
    let config = r#"{"model_type":"mobilenet_v2","output_stride":16,"tf_padding":true,"layer_norm_eps":0.001,"image_size":65,"id2label":{"0":"a","1":"b"}}"#;
    write("config", "config", config.as_bytes())?;
    let processor = r#"{"image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5],"crop_size":{"height":65,"width":65},"size":{"shortest_edge":74}}"#;
    write("config", "processor", processor.as_bytes())?;
    for (name, bytes) in onnx_files() {
        write("onnx", name, &bytes)?;
    }
    for (name, bytes) in frozen_graphs() {
        write("frozen_graph", name, &bytes)?;
    }
    write("tflite", "head", b"\x1c\0\0\0TFL3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")?;
    pictures(&write)?;
    for (tag, bytes) in [("420jpeg", 27), ("422", 33), ("444", 45), ("mono", 15)] {
        let header = format!("YUV4MPEG2 W5 H3 F30:1 Ip A1:1 C{tag} XCOLORRANGE=FULL\n");
        let frame = [&b"FRAME\n"[..], &(0..bytes).map(|i| i * 5).collect::<Vec<u8>>()].concat();
        write("y4m", tag, &[header.as_bytes(), &frame, &frame].concat())?;
    }
    for target in ["frame", "effects", "smoothing", "weight_cache"] {
        for (name, step) in [("ones", 0), ("up", 1), ("sevens", 7), ("wide", 53)] {
            let bytes: Vec<u8> = (0..64).map(|i: u8| 1 + i.wrapping_mul(step)).collect();
            write(target, name, &bytes)?;
        }
    }
    Ok(())
}

/// A network of a few kilobytes.
fn tiny() -> Result<Spec, Box<dyn Error>> {
    let mut spec = Spec::preset("fixture")?;
    spec.input.size = 33;
    spec.labels.truncate(3);
    spec.colors.truncate(3);
    if let Extractor::MobilenetV2(v2) = &mut spec.extractor {
        (v2.width, v2.stem_channels, v2.last_channels) = (1.0, 8, 8);
        v2.bottlenecks = [(1, 1), (2, 2), (2, 2), (2, 2)].map(|(t, s)| Bottleneck { t, c: 8, n: 1, s }).into();
    }
    if let Head::DeeplabV3(head) = &mut spec.head {
        (head.classes, head.channels) = (3, 8);
    }
    spec.validate()?;
    Ok(spec)
}

/// A pickle of a state dict of one tensor, as PyTorch writes it.
fn state_dict() -> Vec<u8> {
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    [
        b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(".to_vec(),
        text("features.0.0.weight"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        b"K\x40tQK\x00(K\x02K\x03K\x03K\x03t(K\x1bK\x09K\x03K\x01t\x89h\x00)RtRu.".to_vec(),
    ]
    .concat()
}

/// A file of before PyTorch 1.6 around the same pickle and its storage.
fn legacy(pickle: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let keys = b"\x80\x02]X\x01\0\0\x000a.";
    [magic, &b"\x80\x02M\xe9\x03."[..], b"\x80\x02}.", pickle, keys, &64u64.to_le_bytes(), &[0; 256]].concat()
}

/// An image, its stem, a ReLU6 and a resize.
fn onnx_files() -> Vec<(&'static str, Vec<u8>)> {
    let join = |parts: &[Vec<u8>]| parts.concat();
    let text = |number: u8, text: &str| field(number, text.as_bytes());
    let integers = |name: &str, values: &[u8]| {
        let values: Vec<u8> = values.iter().flat_map(|&value| [8 << 3, value]).collect();
        field(5, &join(&[text(1, name), values]))
    };
    let image = {
        let dims = [1, 3, 33, 33].map(|n| field(1, &[8, n])).concat();
        let kind = field(1, &join(&[vec![8, 1], field(2, &dims)]));
        field(11, &join(&[text(1, "x"), field(2, &kind)]))
    };
    let weight = field(5, &join(&[vec![8, 8, 8, 3, 8, 3, 8, 3, 16, 1], text(8, "w"), field(9, &[0; 864])]));
    let conv = join(&[text(1, "x"), text(1, "w"), text(2, "a"), text(4, "Conv"), integers("strides", &[2, 2]), integers("pads", &[1; 4])]);
    let bound = |name: &str, value: f32| {
        let bytes = value.to_le_bytes();
        field(5, &join(&[vec![16, 1], text(8, name), field(4, &bytes)]))
    };
    let clip = join(&[text(1, "a"), text(1, "low"), text(1, "high"), text(2, "b"), text(4, "Clip")]);
    let output = field(12, &text(1, "b"));
    let nodes = [conv, clip].map(|node| field(1, &node)).concat();
    let graph = join(&[nodes, weight, bound("low", 0.0), bound("high", 6.0), image, output]);
    let whole = join(&[vec![8, 8], text(2, "x"), field(7, &graph), field(8, &[16, 17])]);
    vec![("graph", graph), ("model", whole)]
}

/// The same as a frozen graph, and one of its nodes.
fn frozen_graphs() -> Vec<(&'static str, Vec<u8>)> {
    let join = |parts: &[Vec<u8>]| parts.concat();
    let text = |number: u8, text: &str| field(number, text.as_bytes());
    let attribute = |key: &str, value: Vec<u8>| field(5, &join(&[text(1, key), field(2, &value)]));
    let dims = |sizes: &[u8]| sizes.iter().map(|&n| field(2, &[8, n])).collect::<Vec<_>>().concat();
    let shape = attribute("shape", field(7, &dims(&[1, 33, 33, 3])));
    let image = join(&[text(1, "image"), text(2, "Placeholder"), shape]);
    let tensor = join(&[vec![8, 1], field(2, &dims(&[3, 3, 3, 8])), field(4, &[0; 864])]);
    let weight = join(&[text(1, "w"), text(2, "Const"), attribute("value", field(8, &tensor))]);
    let strides = attribute("strides", field(1, &field(3, &[1, 2, 2, 1])));
    let padding = attribute("padding", text(2, "SAME"));
    let conv = join(&[text(1, "conv"), text(2, "Conv2D"), text(3, "image"), text(3, "w"), strides, padding]);
    let relu = join(&[text(1, "relu"), text(2, "Relu6"), text(3, "conv")]);
    let whole = [&image, &weight, &conv, &relu].map(|node| field(1, node)).concat();
    vec![("node", conv), ("graph", whole)]
}

fn pictures(write: &dyn Fn(&str, &str, &[u8]) -> Done) -> Done {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../imaging/tests/pictures");
    for entry in std::fs::read_dir(tests)? {
        let path: PathBuf = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        write("photo", &name, &std::fs::read(&path)?)?;
    }
    let pixels: Vec<u8> = (0..16 * 12 * 4).map(|i| (i * 7) as u8).collect();
    for format in [
        image::ImageFormat::WebP,
        image::ImageFormat::Jpeg,
        image::ImageFormat::Gif,
        image::ImageFormat::Bmp,
        image::ImageFormat::Tiff,
    ] {
        let mut bytes = Cursor::new(Vec::new());
        let (pixels, color) = match format {
            image::ImageFormat::Jpeg => (&pixels[..16 * 12 * 3], image::ExtendedColorType::Rgb8),
            _ => (&pixels[..], image::ExtendedColorType::Rgba8),
        };
        image::write_buffer_with_format(&mut bytes, pixels, 16, 12, color, format)?;
        write("photo", &format!("{format:?}"), &bytes.into_inner())?;
    }
    for (name, color, depth) in [
        ("palette", png::ColorType::Indexed, png::BitDepth::Four),
        ("grey", png::ColorType::Grayscale, png::BitDepth::One),
        ("wide", png::ColorType::Rgba, png::BitDepth::Sixteen),
    ] {
        let row = (16 * color.samples() * depth as usize).div_ceil(8);
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 16, 3);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == png::ColorType::Indexed {
            encoder.set_palette(vec![9; 48]);
        }
        encoder.write_header()?.write_image_data(&pixels[..row * 3])?;
        write("photo", name, &bytes)?;
    }
    Ok(())
}
