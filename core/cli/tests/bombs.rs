//! Files that would cost more than their size, through the command: the peak of its memory, as `--verbose` reports it. What is refused
//! costs at most 64 MB and twice the file, what is taken at most 64 MB and three times the array or the model. (Images and models that are
//! opened: `core/segmenter/tests/bombs.rs`.)
#![cfg(target_os = "linux")]

mod common;

use common::{fixture, within};
use silhouette_network::network::Network;
use silhouette_network::spec::{Extractor, Spec};
use silhouette_testkit::{Folder, shared_folder};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What may be spent on anything.
const ALWAYS: u64 = 64 << 20;

/// Runs the command, which must not crash; whether it succeeded, and its peak memory in bytes.
fn peak(args: &[OsString]) -> (bool, u64) {
    let output = Command::new(env!("CARGO_BIN_EXE_silhouette")).args(args).arg("--verbose").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)) && !text.contains("panicked"), "{args:?}: {text}");
    let peak = text.lines().find_map(|line| line.strip_prefix("debug: peak memory: ")?.strip_suffix(" KiB"));
    let peak = peak.unwrap_or_else(|| panic!("{args:?}: {text}")).parse::<u64>().unwrap() << 10;
    println!("{args:?}: {} MB {}", peak >> 20, text.lines().last().unwrap_or_default());
    (output.status.success(), peak)
}

fn bytes_of(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

#[track_caller]
fn refused(file: &Path, args: &[OsString]) {
    let (done, peak) = peak(args);
    assert!(!done && peak <= ALWAYS + 2 * bytes_of(file), "{args:?}: {done} {peak}");
}

#[track_caller]
fn taken(decoded: u64, args: &[OsString]) {
    let (done, peak) = peak(args);
    assert!(done && peak <= ALWAYS + 3 * decoded, "{args:?}: {done} {peak}");
}

/// Makes a file longer, of zeros that no disk holds.
fn lengthen(path: &Path, length: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

/// A zip archive of entries that are stored as they are.
fn zip(entries: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in entries {
        let mut about = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        about.extend([0; 4]);
        about.extend((content.len() as u32).to_le_bytes());
        about.extend((content.len() as u32).to_le_bytes());
        about.extend((name.len() as u16).to_le_bytes());
        about.extend([0; 2]);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&about);
        directory.extend([0; 10]);
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend(*name);
        file.extend(b"PK\x03\x04");
        file.extend(&about);
        file.extend(*name);
        file.extend(*content);
    }
    let begins = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend((entries.len() as u16).to_le_bytes());
    file.extend((entries.len() as u16).to_le_bytes());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(begins.to_le_bytes());
    file.extend([0; 2]);
    file
}

/// A `.safetensors` file of tensors that are all zeros; its length.
fn safetensors(path: &Path, dtype: &str, width: u64, tensors: impl Iterator<Item = (String, Vec<usize>)>) {
    let mut header = String::from("{");
    let mut at = 0;
    for (name, shape) in tensors {
        let end = at + width * shape.iter().product::<usize>() as u64;
        let comma = if at == 0 { "" } else { "," };
        write!(header, "{comma}\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{at},{end}]}}")
            .unwrap();
        at = end;
    }
    header.push('}');
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    std::fs::write(path, &bytes).unwrap();
    lengthen(path, bytes.len() as u64 + at);
}

/// The beginning of a `.npy` file.
fn npy(kind: &str, shape: &str) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat()
}

fn import(source: &Path, place: &Folder, more: &[&str]) -> Vec<OsString> {
    let mut args = args!["import", source, "-o", place.path("out.safetensors")].to_vec();
    args.extend(more.iter().map(OsString::from));
    args
}

#[test]
fn archives_that_are_refused() {
    let place = Folder::new();
    let refused = |name: &str, bytes: Vec<u8>| {
        let path = place.write(name, bytes);
        refused(&path, &import(&path, &place, &[]));
    };
    // A pickle that takes things from a stack again and again.
    let tuples = [b"\x80\x02".to_vec(), b")".repeat(90 << 20)].concat();
    refused("tuples.pth", zip(&[(b"x/data.pkl", &tuples)]));
    // The same without an archive, from before PyTorch 1.6; and lists of one list, again and again.
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    refused("tuples.before.pth", [magic.clone(), tuples].concat());
    let lists = [magic, b"\x80\x02]q\0(".to_vec(), b"h\0".repeat(45 << 20), b"e.".to_vec()].concat();
    refused("lists.before.pth", lists);
    // Names, of which the archive's reader has several copies.
    let names: Vec<Vec<u8>> = (0..1000).map(|i| format!("{i:060000}").into_bytes()).collect();
    let entries: Vec<(&[u8], &[u8])> = names.iter().map(|name| (&name[..], &b""[..])).collect();
    refused("names.pth", zip(&entries));
    let names: Vec<Vec<u8>> = (0..40_000).map(|i| format!("{i}").into_bytes()).collect();
    let entries: Vec<(&[u8], &[u8])> = names.iter().map(|name| (&name[..], &b""[..])).collect();
    refused("entries.pth", zip(&entries));
}

#[test]
fn configurations_that_are_refused() {
    let place = Folder::new();
    let stem = "mobilenet_v2.conv_stem.first_conv.convolution.weight";
    let tensors = [stem, "classifier.weight"].map(|name| (name.to_owned(), vec![1, 1, 1, 1]));
    safetensors(&place.path("model.safetensors"), "F32", 4, tensors.into_iter());
    let labels: Vec<String> = (0..60_000).map(|i| format!("\"{i}\":\"\"")).collect();
    for config in [
        "[".repeat(1 << 20),
        format!("{{\"id2label\":{{{}}}}}", labels.join(",")),
        "{\"image_size\": 18446744073709551615}".into(),
        " ".repeat(64 << 20),
    ] {
        place.write("config.json", config);
        refused(&place.path(""), &import(&place.path(""), &place, &[]));
    }
}

#[test]
fn tensors_that_are_refused() {
    let place = Folder::new();
    let path = place.path("many.safetensors");
    safetensors(&path, "U8", 1, (0..14_000).map(|i| (format!("t{i}"), vec![1])));
    refused(&path, &import(&path, &place, &[]));
    safetensors(&path, "U8", 1, (0..200_000).map(|i| (format!("t{i}"), vec![1])));
    refused(&path, &import(&path, &place, &[]));
    // Of another shape than the network's: as floats they would be twice the file.
    let path = place.path("half.safetensors");
    safetensors(&path, "F16", 2, [("stem.weight".to_owned(), vec![1 << 14, 1 << 13])].into_iter());
    refused(&path, &import(&path, &place, &["--spec", "mobilenet_v2"]));
}

#[test]
fn arrays_that_are_refused() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let out = place.path("out.npy");
    let refused = |name: &str, bytes: Vec<u8>, length: u64| {
        let path = place.write(name, &bytes);
        lengthen(&path, bytes.len() as u64 + length);
        refused(&path, &args!["run", model, "--input", path, "-o", out, "--engine", "plan"]);
    };
    // Another shape than an image's: as floats it would be four times the file.
    refused("bytes.npy", npy("|u1", "1, 1, 16384, 8192"), 1 << 27);
    refused("short.npy", npy("<f4", "1, 3, 4096, 4096"), 100);
    refused("more.npy", npy("<f4", "1, 3, 16384, 16384"), 3 << 30);
    refused("twice.npy", npy("<f4", "1, 1, 1, 1), 'shape': (1, 3, 100000, 1000000"), 1 << 20);
}

#[test]
fn arrays_that_are_taken() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let out = place.path("out.npy");
    for (kind, width) in [("|u1", 1), ("<f4", 4), ("<f8", 8)] {
        let values: u64 = 3 * 1025 * 1025;
        let bytes = npy(kind, "1, 3, 1025, 1025");
        let path = place.write("taken.npy", &bytes);
        lengthen(&path, bytes.len() as u64 + width * values);
        taken(4 * values, &args!["run", model, "--input", path, "-o", out, "--engine", "plan"]);
    }
}

/// Lists whose length is limited are allocated without a check: an allocation of fewer bytes may end the process.
const SMALL: u64 = 32 << 10;

/// A little more memory each time, until it is enough: wherever it ends before that, there is an error and no abort.
#[test]
fn where_memory_ends_there_is_an_error() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let bytes = npy("<f4", "1, 3, 513, 513");
    let array = place.write("x.npy", &bytes);
    lengthen(&array, bytes.len() as u64 + 4 * 3 * 513 * 513);
    let picture = common::photo(&place, "photo.png", 900, 700);
    let enough = |kib: &u64| within(*kib, args!["info", model]).status.success();
    let start = (4 << 10..1 << 20).step_by(1 << 10).find(enough).unwrap();
    let step = if std::env::var_os("SILHOUETTE_LONG").is_some() { 64 } else { 256 };
    for args in [
        &args!["run", model, "--input", array, "-o", place.path("out.npy"), "--engine", "plan"][..],
        &args!["segment", picture, "--model", model, "--effect", "blur", "--threads", "1", "-o", place.path("out")],
    ] {
        let mut refused = 0;
        for kib in (start..).step_by(step) {
            let output = within(kib, args);
            if output.status.success() {
                break;
            }
            let text = String::from_utf8_lossy(&output.stderr);
            if output.status.code() == Some(1) && text.starts_with("error: ") {
                refused += 1;
            } else {
                let bytes = text.lines().find_map(|line| line.strip_prefix("memory allocation of ")?.split(' ').next());
                let small = bytes.and_then(|bytes| bytes.parse().ok()).is_some_and(|bytes: u64| bytes <= SMALL);
                assert!(small, "{kib} KiB, {args:?}: {text}");
            }
            assert!(kib < 1 << 20, "{args:?}: {text}");
        }
        assert!(refused > 4, "{args:?}: {refused}");
    }
}

/// The tensors of a MobileNetV2 four times as wide as the paper's, batch norm folded, by our names: 47 million values.
fn wide() -> (Spec, impl Iterator<Item = (String, Vec<usize>)>) {
    let mut spec = Spec::preset("mobilenet_v2").unwrap();
    if let Extractor::MobilenetV2(v2) = &mut spec.extractor {
        v2.width = 4.0;
    }
    let network = Network::native(&spec).unwrap();
    let shapes: Vec<_> = network.convs().flat_map(|conv| [conv.weight(), conv.bias()]).collect();
    (spec, shapes.into_iter().map(|tensor| (tensor.name, tensor.shape)))
}

#[test]
fn models_that_are_taken() {
    let place = Folder::new();
    let json = place.path("spec.json");
    for (dtype, width) in [("F16", 2), ("F32", 4)] {
        let (spec, tensors) = wide();
        std::fs::write(&json, spec.to_json()).unwrap();
        let path = place.path("wide.safetensors");
        safetensors(&path, dtype, width, tensors);
        let values = bytes_of(&path) / width;
        taken(4 * values, &import(&path, &place, &["--spec", json.to_str().unwrap()]));
        assert!(bytes_of(&place.path("out.safetensors")) >= 4 * (values - 300_000));
    }
}

fn the_reference_models_are_taken() {
    let place = Folder::new();
    let models: Vec<PathBuf> =
        std::fs::read_dir(shared_folder().join("models")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let models: Vec<_> =
        models.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "tflite")).collect();
    assert!(!models.is_empty());
    for model in models {
        let (done, peak) = peak(&import(&model, &place, &["--mean", "127.5", "--std", "127.5"]));
        let decoded =
            if done { bytes_of(&place.path("out.safetensors")).max(bytes_of(&model)) } else { bytes_of(&model) };
        assert!(peak <= ALWAYS + if done { 3 } else { 2 } * decoded, "{}: {done} {peak}", model.display());
    }
}

silhouette_testkit::tests_with_shared!(the_reference_models_are_taken);
