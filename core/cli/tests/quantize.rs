//! `silhouette quantize` on generated photos and seeded models: what it writes, what it says, and what it refuses.

mod common;

use common::{fixture, photo, seeded, silhouette};
use silhouette_testkit::{Folder, shared_folder, waves};
use silhouette_weights::{Dtype, ModelFile};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A folder of `count` different photos.
fn photos(place: &Folder, name: &str, count: u32) -> PathBuf {
    let folder = place.path(name);
    std::fs::create_dir_all(&folder).unwrap();
    for i in 0..count {
        let (width, height) = (70 + 13 * (i % 3), 64 + 5 * (i % 2));
        let pixels = waves(width as usize, height as usize, 7 * i as usize);
        image::save_buffer(folder.join(format!("p{i:02}.png")), &pixels, width, height, image::ColorType::Rgb8)
            .unwrap();
    }
    folder
}

#[test]
fn a_quantised_model_is_written_and_reported() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let folder = photos(&place, "photos", 10);
    let out = place.path("int8.safetensors");
    let ran = silhouette(args!["quantize", model, "--calibrate", folder, "-o", out, "--json"]).ok();
    let json = ran.json();
    let report = &json["report"];
    assert_eq!((&report["pictures"], &report["held_out"], &json["skipped"]), (&8.into(), &2.into(), &0.into()));
    // Random weights amplify every error from layer to layer.
    assert!(report["output"]["snr_db"].as_f64().unwrap() > 8.0, "{}", report["output"]);
    assert!(report["arithmetic"].as_str().unwrap().contains("rounded"));
    let layers = report["layers"].as_array().unwrap();
    let names: Vec<&str> = layers.iter().map(|layer| layer["name"].as_str().unwrap()).collect();
    assert_eq!(&names[..3], ["input", "stem", "blocks.0.depthwise"]);
    assert!(names.contains(&"head.concat") && names.last() == Some(&"head.classifier"), "{names:?}");
    assert!(layers.iter().filter(|layer| layer["worst"] == true).count() >= 1);
    let written = ModelFile::open(&out).unwrap();
    assert_eq!(written.dtype(), Dtype::I8);
    assert!(written.weights().names().all(|name| !name.contains(".bn.")), "batch norm is folded");
    assert_eq!(written.weights().activations().len(), names.len());
    assert_eq!(place.files(), ["int8.safetensors", "model.safetensors", "photos"]);

    // The same bytes for any number of threads, and other photos for another seed.
    let first = std::fs::read(&out).unwrap();
    for threads in ["1", "3"] {
        silhouette(args!["quantize", model, "--calibrate", folder, "-o", out, "--threads", threads]).ok();
        assert!(std::fs::read(&out).unwrap() == first, "{threads} threads");
    }
    let ran =
        silhouette(args!["quantize", model, "--calibrate", folder, "-o", out, "--limit", "5", "--seed", "3"]).ok();
    assert!(ran.out.contains("with 5 photos") && ran.out.contains("SNR"), "{ran:?}");
    assert!(std::fs::read(&out).unwrap() != first);
    // The file runs wherever a float one does.
    let photo = photo(&place, "photo.png", 80, 60);
    silhouette(args!["segment", photo, "--model", out, "--precision", "f32", "-o", place.path("masks")]).ok();
}

#[test]
fn layers_can_stay_floats() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let folder = photos(&place, "photos", 4);
    let out = place.path("int8.safetensors");
    let keep = "head.classifier,blocks.1";
    let ran = silhouette(args!["quantize", model, "--calibrate", folder, "-o", out, "--keep", keep]).ok();
    assert_eq!(ran.out.matches("kept in floats").count(), 4, "{ran:?}");
    let written = ModelFile::open(&out).unwrap();
    assert_eq!(written.weights().dtype("blocks.1.project.weight"), Some(Dtype::F32));
    assert_eq!(written.weights().dtype("blocks.2.project.weight"), Some(Dtype::I8));
    silhouette(args!["quantize", model, "--calibrate", folder, "-o", out, "--keep", "blocks.77"])
        .fails(&["keeping 'blocks.77'", "blocks.1.expand"]);
}

#[test]
fn both_models_are_scored() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let folder = photos(&place, "photos", 6);
    let root = place.path("voc");
    for inside in ["JPEGImages", "SegmentationClass"] {
        std::fs::create_dir_all(root.join(inside)).unwrap();
    }
    for name in ["p00", "p01"] {
        let photo = folder.join(format!("{name}.png"));
        std::fs::copy(&photo, root.join(format!("JPEGImages/{name}.jpg"))).unwrap();
        let masks = root.join("SegmentationClass");
        silhouette(args!["segment", photo, "--model", model, "--effect", "mask", "-o", masks, "--precision", "f32"])
            .ok();
        std::fs::rename(masks.join(format!("{name}.mask.png")), masks.join(format!("{name}.png"))).unwrap();
    }
    std::fs::write(root.join("val.txt"), "p00\np01\nabsent\n").unwrap();
    let out = place.path("int8.safetensors");
    let ran = silhouette(args!["quantize", model, "--calibrate", folder, "-o", out, "--voc", root, "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let scores = &ran.json()["voc"];
    // The truth is the float model's own masks.
    assert!(scores["miou_before"].as_f64().unwrap() > 99.0, "{scores}");
    assert!((10.0..100.0).contains(&scores["miou_after"].as_f64().unwrap()), "{scores}");
    assert_eq!((&scores["images"], &scores["skipped"]), (&2.into(), &1.into()));
    assert!(ran.err.contains("absent"), "{ran:?}");
    let classifier = seeded(&place, "classifier.safetensors", "mobilenet_v2_0.35");
    silhouette(args!["quantize", classifier, "--calibrate", folder, "-o", out, "--voc", root]).fails(&["classifies"]);
}

#[test]
fn photos_that_cannot_be_read_are_named_and_counted() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let folder = photos(&place, "photos", 3);
    std::fs::write(folder.join("broken.jpg"), b"no photo").unwrap();
    std::fs::write(folder.join("notes.txt"), b"no photo either").unwrap();
    let out = place.path("int8.safetensors");
    let ran = silhouette(args!["quantize", model, "--calibrate", folder, "-o", out, "--json"]);
    assert_eq!((ran.code, &ran.json()["skipped"]), (0, &1.into()), "{ran:?}");
    assert!(ran.err.contains("broken.jpg") && ran.err.lines().count() == 1, "{ran:?}");
    std::fs::remove_file(&out).unwrap();

    let broken = place.path("broken");
    std::fs::create_dir(&broken).unwrap();
    silhouette(args!["quantize", model, "--calibrate", broken, "-o", out]).fails(&["no JPEG, PNG or WebP"]);
    std::fs::write(broken.join("a.png"), b"").unwrap();
    let ran = silhouette(args!["quantize", model, "--calibrate", broken, "-o", out]);
    assert!(ran.code == 1 && ran.err.contains("none of the 1 photos"), "{ran:?}");
    silhouette(args!["quantize", model, "--calibrate", place.path("absent"), "-o", out]).fails(&["absent"]);
    assert!(!out.exists());
}

#[test]
fn what_is_no_float_model_is_refused_and_no_input_is_overwritten() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let folder = photos(&place, "photos", 2);
    let out = place.path("int8.safetensors");
    silhouette(args!["quantize", model, "--calibrate", folder, "-o", out]).ok();
    let again = place.path("again.safetensors");
    silhouette(args!["quantize", out, "--calibrate", folder, "-o", again]).fails(&["already quantised", "int8"]);
    assert!(!again.exists());
    let before = std::fs::read(&model).unwrap();
    silhouette(args!["quantize", model, "--calibrate", folder, "-o", model]).fails(&["model.safetensors"]);
    silhouette(args!["quantize", model, "--calibrate", folder, "-o", folder.join("p00.png")]).fails(&["p00.png"]);
    assert!(std::fs::read(&model).unwrap() == before);
    silhouette(args!["quantize", folder.join("p00.png"), "--calibrate", folder, "-o", again]).fails(&["p00.png"]);
}

#[test]
fn more_than_fits_into_memory_is_refused_before_it_is_read() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let folder = photos(&place, "photos", 30);
    let out = place.path("int8.safetensors");
    silhouette(args!["quantize", model, "--calibrate", folder, "-o", out, "--size", "1793"]).fails(&["--limit 27"]);
    silhouette(args!["quantize", model, "--calibrate", folder, "-o", out, "--size", "999999"]).fails(&["999999"]);
    assert!(!out.exists());
}

/// Killed while it works: there is no file, or the old one.
#[test]
fn stopped_half_way_it_leaves_no_file_that_looks_whole() {
    let place = Folder::new();
    let model = seeded(&place, "model.safetensors", "deeplabv3_mnv2");
    let folder = photos(&place, "photos", 30);
    let out = place.path("out/int8.safetensors");
    std::fs::create_dir(place.path("out")).unwrap();
    for old in [false, true] {
        if old {
            std::fs::write(&out, b"the old file").unwrap();
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_silhouette"))
            .args(args!["quantize", model, "--calibrate", folder, "-o", out])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // At this size it takes much longer than this.
        let end = Instant::now() + Duration::from_millis(700);
        while Instant::now() < end && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(child.try_wait().unwrap().is_none(), "it was done before it could be stopped");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(std::fs::read(&out).ok(), old.then(|| b"the old file".to_vec()));
        let files: Vec<_> = std::fs::read_dir(place.path("out")).unwrap().collect();
        assert_eq!(files.len(), usize::from(old), "{files:?}");
    }
}

/// A public float model, with public photos.
fn a_real_model_keeps_its_masks() {
    let place = Folder::new();
    let shared = shared_folder();
    let model = place.path("model.safetensors");
    let source = shared.join("models/deeplabv3_257_mv_gpu.tflite");
    silhouette(args!["import", source, "-o", model, "--mean", "127.5", "--std", "127.5", "--labels", "voc"]).ok();
    let out = place.path("int8.safetensors");
    let folder = photos_of(&shared);
    let ran = silhouette(args!["quantize", model, "--calibrate", folder, "-o", out, "--json", "--limit", "12"]).ok();
    let output = &ran.json()["report"]["output"];
    // With seven photos to calibrate on, and one to measure on.
    assert!(output["snr_db"].as_f64().unwrap() > 10.0 && output["agreement"].as_f64().unwrap() > 0.95, "{output}");
}

fn photos_of(shared: &Path) -> PathBuf {
    shared.join("photos")
}

silhouette_testkit::tests_with_shared!(a_real_model_keeps_its_masks);
