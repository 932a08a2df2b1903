//! Input that is truncated, damaged, hostile or merely unusual: an error that names the problem and its place (or the
//! right result, if the input is valid), never a crash, memory bounded, and the other photos of the same call
//! processed.

mod common;

use common::{fixture, photo, silhouette, silhouette_within};
use silhouette_testkit::{Folder, shared_folder};
use std::path::Path;

/// Address space that is ample for every run here, and far from what the hostile sizes would need.
const MIB: u32 = 1500;

#[test]
fn cut_off_models_are_refused() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let photo = photo(&place, "photo.png", 40, 30);
    let whole = std::fs::read(&model).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for length in [0, 1, 7, 8, 9, header / 2, header - 1, header, header + 1, whole.len() / 2, whole.len() - 1] {
        let cut = place.write("cut.safetensors", &whole[..length]);
        silhouette_within(MIB, args!["info", cut]).fails(&["cut.safetensors"]);
        silhouette_within(MIB, args!["segment", photo, "--model", cut, "-o", place.path("out")])
            .fails(&["cut.safetensors"]);
    }
}

#[test]
fn photos_that_are_cut_off_are_errors_unless_they_are_asked_for() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let whole = std::fs::read(photo(&place, "photo.jpg", 320, 240)).unwrap();
    let half = place.write("half.jpg", &whole[..whole.len() / 2]);
    let out = place.path("out");
    let segment = args!["segment", half, "--model", model, "-o", out];
    silhouette_within(MIB, &segment).fails(&["half.jpg", "truncated", "of 240 rows are there"]);
    assert!(!out.join("half.overlay.png").exists());
    silhouette_within(MIB, segment.iter().chain(&args!["--lenient"])).ok();
    assert!(out.join("half.overlay.png").exists());
    let marker = place.write("marker.jpg", &whole[..whole.len() - 2]);
    silhouette_within(MIB, args!["segment", marker, "--model", model, "-o", out]).ok();
}

#[test]
fn flipped_bits_in_a_model_never_crash() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let photo = photo(&place, "photo.png", 40, 30);
    let whole = std::fs::read(&model).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    // Each bit of the length, a spread over the header, and some weights (exponent bits: infinities, NaN).
    let in_length = (0..64).map(|bit| (bit / 8, bit % 8));
    let in_header = (8..header).step_by(header / 60 + 1).map(|byte| (byte, byte % 7));
    let in_weights = (header..whole.len()).step_by(whole.len() / 12).map(|byte| (byte | 3, 6));
    let mut refused = 0;
    for (byte, bit) in in_length.chain(in_header).chain(in_weights) {
        let mut flipped = whole.clone();
        let Some(target) = flipped.get_mut(byte) else { continue };
        *target ^= 1 << bit;
        let flipped = place.write("flipped.safetensors", &flipped);
        let ran = silhouette_within(MIB, args!["segment", photo, "--model", flipped, "-o", place.path("out")]);
        if ran.code != 0 {
            ran.fails(&["flipped.safetensors"]);
            refused += 1;
        }
    }
    assert!(refused >= 64, "every flip in the length is seen: {refused}");
}

#[test]
fn oversized_models_are_refused_without_reading_them() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    // A hole after the model: the length does not match the header. As large as the file system allows, and more than may be read.
    let grow = |path: &Path| {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        let grown = [64_u64 << 30, 8 << 30, 2 << 30].into_iter().find(|&size| file.set_len(size).is_ok());
        assert!(grown.is_some_and(|size| size > u64::from(MIB) << 20), "no file of 2 GiB in {}", path.display());
    };
    grow(&model);
    silhouette_within(MIB, args!["info", model]).fails(&["model.safetensors"]);
    // A header that claims all of it.
    let claims = place.write("claims.safetensors", (u64::MAX / 2).to_le_bytes());
    silhouette_within(MIB, args!["info", claims]).fails(&["claims.safetensors"]);
    let source = place.write("huge.tflite", b"\x1c\0\0\0TFL3");
    grow(&source);
    silhouette_within(MIB, args!["import", source, "-o", place.path("m.safetensors")]).fails(&["huge.tflite"]);
    assert!(!place.path("m.safetensors").exists());
}

#[test]
fn models_of_other_kinds_say_what_they_are() {
    let place = Folder::new();
    let photo = photo(&place, "photo.png", 40, 30);
    let tensors = br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let mut plain = (tensors.len() as u64).to_le_bytes().to_vec();
    plain.extend(tensors);
    plain.extend([0; 4]);
    let plain = place.write("plain.safetensors", &plain);
    silhouette(args!["segment", photo, "--model", plain]).fails(&["plain.safetensors"]);
    let text = place.write("text.safetensors", b"not a model at all");
    silhouette(args!["segment", photo, "--model", text]).fails(&["text.safetensors"]);
    silhouette(args!["segment", photo, "--model", place.path("absent")]).fails(&["absent"]);
    silhouette(args!["import", text, "-o", place.path("m.safetensors")]).fails(&["text.safetensors"]);
    silhouette(args!["import", place.path("absent"), "-o", place.path("m")]).fails(&["absent"]);
}

/// A PNG that claims a size and has hardly any pixels.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        png.extend((data.len() as u32).to_be_bytes());
        let from = png.len();
        png.extend(kind);
        png.extend(data);
        let crc = crc32(&png[from..]);
        png.extend(crc.to_be_bytes());
    };
    let mut header = width.to_be_bytes().to_vec();
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    chunk(b"IHDR", &header);
    chunk(b"IDAT", &[0x78, 0x9c, 0x63, 0x60, 0x60, 0x60, 0x00, 0x00]);
    chunk(b"IEND", &[]);
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn bad_photos_fail_alone_and_the_others_are_done() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let good = photo(&place, "good.png", 64, 48);
    let last = photo(&place, "last.jpg", 31, 57);
    let huge = place.write("huge.png", png_header(60_000, 60_000));
    let text = place.write("text.jpg", b"this is no picture, whatever its name says\n");
    let empty = place.write("empty.png", b"");
    let whole = std::fs::read(&good).unwrap();
    let cut = place.write("cut.png", &whole[..whole.len() / 2]);
    let bad = [&huge, &text, &empty, &cut, &place.path("absent.jpg")].map(Clone::clone);
    let mut command = args!["segment", "--model", model, "--effect", "mask", "-o", place.path("out"), good].to_vec();
    command.extend(bad.iter().map(std::ffi::OsString::from));
    command.push(last.into());
    let ran = silhouette_within(MIB, command);
    assert_eq!(ran.code, 1);
    let errors: Vec<_> = ran.err.lines().collect();
    assert_eq!(errors.len(), bad.len(), "{ran:?}");
    for (error, photo) in errors.iter().zip(&bad) {
        assert!(error.starts_with("error: ") && error.contains(photo.to_str().unwrap()), "{error}");
    }
    assert!(place.path("out/good.mask.png").is_file() && place.path("out/last.mask.png").is_file());
    assert_eq!(std::fs::read_dir(place.path("out")).unwrap().count(), 2);
}

#[test]
fn odd_photos_are_segmented_at_their_own_size() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    for (name, width, height) in [("dot", 1, 1), ("line", 20_000, 1), ("column", 1, 20_000), ("odd", 7, 5)] {
        let photo = photo(&place, &format!("{name}.png"), width, height);
        let all = "mask overlay cutout blur confidence=cat".split(' ').flat_map(|effect| ["--effect", effect]);
        let mut command = args!["segment", photo, "--model", model, "-o", place.path("out")].to_vec();
        command.extend(all.map(std::ffi::OsString::from));
        silhouette_within(MIB, command).ok();
        for effect in ["mask", "overlay", "cutout", "blur", "confidence-cat"] {
            let path = place.path(&format!("out/{name}.{effect}.png"));
            assert_eq!(image::image_dimensions(&path).unwrap(), (width, height), "{}", path.display());
        }
    }
}

#[test]
#[cfg(unix)]
fn an_output_folder_that_cannot_be_written_is_an_error_per_photo() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let one = photo(&place, "one.png", 20, 20);
    let two = photo(&place, "two.png", 20, 20);
    // A file instead of a folder: no one, root included, can write into it.
    let file = place.write("taken", b"");
    for folder in [file.clone(), file.join("below"), "/proc/silhouette".into()] {
        let ran = silhouette(args!["segment", one, two, "--model", model, "-o", folder]);
        assert_eq!((ran.code, ran.err.lines().count()), (1, 2), "{ran:?}");
        assert!(ran.err.lines().all(|line| line.contains(folder.to_str().unwrap())), "{ran:?}");
    }
    silhouette(args!["run", model, "--input", place.path("x.npy"), "-o", file.join("y.npy")]).fails(&["x.npy"]);
}

#[test]
fn requests_that_cannot_be_met_are_said_before_any_work() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let photo = photo(&place, "photo.png", 20, 20);
    let segment = |more: &[&str]| {
        let mut command = args!["segment", photo, "--model", model, "-o", place.path("out")].to_vec();
        command.extend(more.iter().map(std::ffi::OsString::from));
        silhouette_within(MIB, command)
    };
    segment(&["--classes", "unicorn"]).fails(&["unicorn", "cat"]);
    segment(&["--effect", "confidence=unicorn"]).fails(&["unicorn", "cat"]);
    segment(&["--effect", "replace=absent.png"]).fails(&["absent.png"]);
    segment(&["--size", "0"]).fails(&["size"]);
    segment(&["--size", "4000000000"]).fails(&["size"]);
    segment(&["--size", "18446744073709551615"]).fails(&["size"]);
    segment(&["--threads", "0"]).fails(&["threads"]);
    segment(&["--threads", "1000000"]).fails(&["threads"]);
    silhouette(args!["classify", photo, "--model", model]).fails(&["model.safetensors"]);
    assert!(!place.path("out").exists());
    // Usage errors are clap's: exit code 2, several lines.
    assert_eq!(silhouette(args!["segment"]).code, 2);
    assert_eq!(silhouette(args!["segment", "x.png", "--effect", "sparkle"]).code, 2);
}

fn damaged_reference_models_are_refused() {
    let shared = shared_folder();
    let place = Folder::new();
    let whole = std::fs::read(shared.join("models/deeplabv3_257_mv_gpu.tflite")).unwrap();
    let output = place.path("m.safetensors");
    let step = whole.len() / 9;
    for length in (0..whole.len()).step_by(step).chain([4, 8, 9, whole.len() - 1]) {
        let cut = place.write("cut.tflite", &whole[..length]);
        let ran = silhouette_within(MIB, args!["import", cut, "-o", output]);
        assert!(ran.code == 1 && ran.err.lines().count() == 1, "{length}: {ran:?}");
    }
    for byte in (0..whole.len()).step_by(whole.len() / 40) {
        let mut flipped = whole.clone();
        flipped[byte] ^= 0x55;
        let flipped = place.write("flipped.tflite", &flipped);
        let ran = silhouette_within(MIB, args!["import", flipped, "-o", output]);
        assert!(ran.code == 0 || ran.err.lines().count() == 1, "{byte}: {ran:?}");
    }
}

silhouette_testkit::tests_with_shared!(damaged_reference_models_are_refused);
