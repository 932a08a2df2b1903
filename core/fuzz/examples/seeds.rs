//! Writes small generated seed files for each target, into `corpus/TARGET`.

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
