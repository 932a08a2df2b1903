//! `silhouette eval` on generated data: the ground truth is masks that the command itself wrote, so that every score is
//! known.

mod common;

use common::{fixture, indices, photo, silhouette};
use serde_json::Value;
use silhouette_testkit::{Folder, shared_folder};
use std::path::{Path, PathBuf};

/// A folder in VOC's layout whose ground truth is the model's own masks, and the model.
fn voc(place: &Folder, pictures: u32) -> (PathBuf, PathBuf) {
    let model = fixture(place, "model.safetensors");
    let root = place.path("voc");
    for folder in ["JPEGImages", "SegmentationClass"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    let mut list = String::new();
    for i in 0..pictures {
        let name = format!("p{i}");
        list += &name;
        list += "\n";
        // A PNG with the name of a JPEG: only the content matters, and a PNG is decoded alike everywhere.
        let photo = photo(place, &format!("{name}.png"), 60 + 11 * i, 80 - 7 * i);
        std::fs::copy(&photo, root.join(format!("JPEGImages/{name}.jpg"))).unwrap();
        let masks = root.join("SegmentationClass");
        silhouette(args!["segment", photo, "--model", model, "--effect", "mask", "-o", masks, "--threads", "1"]).ok();
        std::fs::rename(masks.join(format!("{name}.mask.png")), masks.join(format!("{name}.png"))).unwrap();
    }
    std::fs::write(root.join("val.txt"), list).unwrap();
    (root, model)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn its_own_masks_score_full_marks_and_others_do_not() {
    let place = Folder::new();
    let (root, model) = voc(&place, 4);
    let out = place.path("scores.json");
    silhouette(args!["eval", "--voc", root, "--model", model, "--back", "logits", "--json", out]).ok();
    let report = json(&out);
    assert_eq!(report["miou"], 100.0, "{report}");
    assert_eq!(report["pixel_accuracy"], 100.0);
    assert_eq!((&report["images"], &report["skipped"]), (&4.into(), &0.into()));
    assert!(report["macs"].as_u64().unwrap() > 0 && report["median_ms"].as_f64().unwrap() > 0.0);
    let pixels: u64 = (0..4).map(|i| (60 + 11 * i) * (80 - 7 * i)).sum();
    let counted: u64 = report["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(counted, pixels);
    assert!(!place.path("scores.json.partial").exists());

    // Nearest neighbour at the network's size is coarser: close, but not the same.
    silhouette(args!["eval", "--voc", root, "--model", model, "--json", out]).ok();
    let coarse = json(&out)["miou"].as_f64().unwrap();
    assert!((30.0..100.0).contains(&coarse), "{coarse}");

    // Labels of another image.
    std::fs::copy(root.join("SegmentationClass/p0.png"), root.join("SegmentationClass/other.png")).unwrap();
    std::fs::write(root.join("one.txt"), "p0").unwrap();
    let inverted = root.join("SegmentationClass/p0.png");
    let image = image::ImageReader::open(&inverted).unwrap().decode().unwrap();
    image::GrayImage::from_pixel(image.width(), image.height(), image::Luma([20])).save(&inverted).unwrap();
    silhouette(args!["eval", "--voc", root, "--list", "one.txt", "--model", model, "--back", "logits", "--json", out])
        .ok();
    assert!(json(&out)["miou"].as_f64().unwrap() < 50.0);
}

#[test]
fn the_same_whatever_the_threads_and_after_a_stop() {
    let place = Folder::new();
    let (root, model) = voc(&place, 5);
    let run = |threads: &str, out: &str| {
        let out = place.path(out);
        silhouette(args!["eval", "--voc", root, "--model", model, "--threads", threads, "--json", out]).ok();
        let mut report = json(&out);
        for timed in ["median_ms", "min_ms", "protocol"] {
            report.as_object_mut().unwrap().remove(timed);
        }
        report
    };
    let one = run("1", "one.json");
    assert_eq!(run("3", "three.json"), one);
    // A run that ended after two images: its state is the first lines of the file, and a truncated one.
    let list = std::fs::read_to_string(root.join("val.txt")).unwrap();
    std::fs::remove_file(root.join("SegmentationClass/p3.png")).unwrap_or_default();
    let partial = place.path("stopped.json.partial");
    let out = place.path("stopped.json");
    // Writing the report fails if its folder does not allow it: the state stays behind.
    std::fs::create_dir(&out).unwrap();
    let failed = silhouette(args!["eval", "--voc", root, "--model", model, "--threads", "1", "--json", out]);
    assert_eq!(failed.code, 1);
    let state = std::fs::read_to_string(&partial).unwrap();
    assert_eq!(state.lines().count(), 5, "what it is, and four pictures: {state}");
    std::fs::write(&partial, &state[..state.len() - 5]).unwrap();
    std::fs::remove_dir(&out).unwrap();
    assert_eq!(list.lines().count(), 5);
    let ran = silhouette(args!["eval", "--voc", root, "--model", model, "--threads", "2", "--json", out]).ok();
    assert!(ran.err.contains("p3.png"));
    let report = json(&out);
    assert_eq!((&report["images"], &report["skipped"]), (&4.into(), &1.into()));
    assert!(!partial.exists());
}

#[test]
fn a_state_of_another_run_is_refused() {
    let place = Folder::new();
    let (root, model) = voc(&place, 1);
    let out = place.path("scores.json");
    place.write("scores.json.partial", b"{\"size\":1}\n");
    silhouette(args!["eval", "--voc", root, "--model", model, "--json", out])
        .fails(&["scores.json.partial", "another run"]);
}

#[test]
fn missing_and_mismatched_masks_are_named_and_counted() {
    let place = Folder::new();
    let (root, model) = voc(&place, 4);
    std::fs::remove_file(root.join("SegmentationClass/p1.png")).unwrap();
    std::fs::copy(root.join("SegmentationClass/p0.png"), root.join("SegmentationClass/p2.png")).unwrap();
    std::fs::write(root.join("JPEGImages/p3.jpg"), b"no picture").unwrap();
    let out = place.path("scores.json");
    let ran = silhouette(args!["eval", "--voc", root, "--model", model, "--back", "logits", "--json", out]).ok();
    let report = json(&out);
    assert_eq!((&report["images"], &report["skipped"], &report["miou"]), (&1.into(), &3.into(), &100.0.into()));
    for named in ["p1.png", "p2.png", "82x66", "p3.jpg"] {
        assert!(ran.err.contains(named), "{named}: {}", ran.err);
    }
}

#[test]
fn black_and_white_masks_are_told_about_and_read_as_a_foreground() {
    let place = Folder::new();
    let (root, model) = voc(&place, 3);
    let spec = silhouette_network::spec::Spec::preset("fixture").unwrap();
    let images = root.join("JPEGImages");
    let masks = place.path("white");
    let out = place.path("scores.json");
    std::fs::create_dir(&masks).unwrap();
    // White where the model predicts one class.
    let names: Vec<String> = (0..3).map(|i| format!("p{i}.png")).collect();
    let own: Vec<_> = names.iter().map(|name| indices(&root.join("SegmentationClass").join(name))).collect();
    let class = (1..=20).max_by_key(|class| own.iter().filter(|own| own.2.contains(class)).count()).unwrap();
    let label = &spec.labels[usize::from(class)];
    for (name, (width, height, classes)) in names.iter().zip(&own) {
        let white = classes.iter().map(|&found| if found == class { 255 } else { 0 }).collect();
        image::GrayImage::from_raw(*width, *height, white).unwrap().save(masks.join(name)).unwrap();
    }
    let list = place.write("two.txt", format!("background\n{label}\n").as_bytes());
    let eval = |masks: &Path, more: &[&str]| {
        let mut all = args![
            "eval", "--images", images, "--masks", masks, "--labels", list, "--model", model, "--back", "logits",
            "--json", out
        ]
        .to_vec();
        all.extend(more.iter().map(std::ffi::OsString::from));
        silhouette(all)
    };
    eval(&masks, &[]).fails(&["p0.png", "0 and 255", "--foreground 255"]);
    assert!(!out.exists());
    eval(&masks, &["--foreground", "255"]).ok();
    let report = json(&out);
    assert_eq!((&report["miou"], &report["iou"][label]), (&100.0.into(), &100.0.into()), "{report}");
    assert_eq!(report["protocol"]["foreground"], 255);
    // In RGB: white by the same flag, the class's colour without.
    let rgb = |name: &str, colour: [u8; 3]| {
        let folder = place.path(name);
        std::fs::create_dir(&folder).unwrap();
        for (name, (width, height, classes)) in names.iter().zip(&own) {
            let pixels = classes.iter().flat_map(|&found| if found == class { colour } else { [0; 3] }).collect();
            image::RgbImage::from_raw(*width, *height, pixels).unwrap().save(folder.join(name)).unwrap();
        }
        folder
    };
    eval(&rgb("white-rgb", [255; 3]), &["--foreground", "255"]).ok();
    assert_eq!(json(&out)["iou"][label], 100.0);
    eval(&rgb("coloured", silhouette::Palette::voc().color(class)), &[]).ok();
    assert_eq!(json(&out)["iou"][label], 100.0);
    let other = eval(&rgb("other", [1, 2, 3]), &[]);
    assert!(
        other.code == 1 && other.err.contains("(1, 2, 3)") && other.err.contains("none of the 3 images"),
        "{other:?}"
    );
}

#[test]
fn where_nothing_is_scored_the_exit_code_says_so() {
    let place = Folder::new();
    let (root, model) = voc(&place, 2);
    let images = root.join("JPEGImages");
    let out = place.path("scores.json");
    let absent = place.path("absent");
    silhouette(args!["eval", "--images", images, "--masks", absent, "--model", model])
        .fails(&["absent", "no such folder"]);
    let empty = place.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let ran = silhouette(args!["eval", "--images", images, "--masks", empty, "--model", model, "--json", out]);
    assert!(ran.code == 1 && ran.out.is_empty() && ran.err.contains("none of the 2 images"), "{ran:?}");
    assert!(!out.exists() && !place.path("scores.json.partial").exists());
    std::fs::write(empty.join("p0.jpg"), "").unwrap();
    let ran = silhouette(args!["eval", "--images", images, "--masks", empty, "--model", model]);
    assert!(ran.code == 1 && ran.err.contains("only p0.jpg"), "{ran:?}");
    std::fs::remove_dir_all(root.join("SegmentationClass")).unwrap();
    silhouette(args!["eval", "--voc", root, "--model", model]).fails(&["SegmentationClass", "no such folder"]);
}

#[test]
fn plain_folders_with_a_class_list() {
    let place = Folder::new();
    let (root, model) = voc(&place, 2);
    let spec = silhouette_network::spec::Spec::preset("fixture").unwrap();
    let out = place.path("scores.json");
    let images = root.join("JPEGImages");
    let masks = root.join("SegmentationClass");
    // All classes in another order: the masks' numbers now have other meanings.
    let mut labels = spec.labels.clone();
    let list = place.write("labels.txt", labels.join("\n").as_bytes());
    silhouette(args![
        "eval", "--images", images, "--masks", masks, "--labels", list, "--model", model, "--back", "logits", "--json",
        out
    ])
    .ok();
    assert_eq!(json(&out)["miou"], 100.0);
    labels[1..].rotate_left(1);
    let list = place.write("labels.txt", labels.join("\n").as_bytes());
    silhouette(args![
        "eval", "--images", images, "--masks", masks, "--labels", list, "--model", model, "--back", "logits", "--json",
        out
    ])
    .ok();
    assert!(json(&out)["miou"].as_f64().unwrap() < 100.0);
    let list = place.write("labels.txt", b"background\nunicorn\n");
    silhouette(args!["eval", "--images", images, "--masks", masks, "--labels", list, "--model", model])
        .fails(&["labels.txt", "unicorn"]);
}

#[test]
fn inputs_of_the_pictures_shapes_make_other_masks_of_less_arithmetic() {
    let place = Folder::new();
    let (root, model) = voc(&place, 3);
    let out = place.path("scores.json");
    let eval = |more: &[&str]| {
        let mut args = args!["eval", "--voc", root, "--model", model, "--back", "logits", "--json", out].to_vec();
        args.extend(more.iter().map(std::ffi::OsString::from));
        silhouette(args).ok();
        json(&out)
    };
    let own = eval(&[]);
    let square = eval(&["--input-shape", "square"]);
    assert_eq!(
        (&square["protocol"]["input_shape"], &own["protocol"]["input_shape"]),
        (&"square".into(), &"frame".into())
    );
    // The true masks were computed in the images' shapes.
    assert_eq!(own["miou"], 100.0);
    assert!(square["miou"].as_f64() < own["miou"].as_f64());
    assert!(own["macs"].as_u64() < square["macs"].as_u64());
    assert!(eval(&["--scales", "1,1"])["miou"].as_f64().unwrap() > 99.0);
}

#[test]
fn scales_and_mirrors_run_more_and_the_worst_are_drawn() {
    let place = Folder::new();
    let (root, model) = voc(&place, 3);
    let out = place.path("scores.json");
    let drawn = place.path("worst");
    let once = {
        silhouette(args!["eval", "--voc", root, "--model", model, "--json", out]).ok();
        json(&out)["macs"].as_u64().unwrap()
    };
    silhouette(args![
        "eval", "--voc", root, "--model", model, "--scales", "1,1", "--flip", "--json", out, "--errors", drawn,
        "--worst", "2"
    ])
    .ok();
    let report = json(&out);
    assert_eq!(report["macs"].as_u64().unwrap(), 4 * once);
    assert!(report["miou"].as_f64().unwrap() > 20.0, "{report}");
    let mut files: Vec<_> =
        std::fs::read_dir(&drawn).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert!(files.len() == 2 && files[0].starts_with("001-") && files[1].starts_with("002-"), "{files:?}");
    let picture = image::ImageReader::open(drawn.join(&files[0])).unwrap().decode().unwrap();
    assert_eq!(picture.width() % 3, 0);
}

#[test]
fn borders_are_scored_plain_and_refined_and_survive_a_stop() {
    let place = Folder::new();
    let (root, model) = voc(&place, 3);
    let out = place.path("scores.json");
    let call = |more: &[&str]| {
        let mut all = args!["eval", "--voc", root, "--model", model, "--boundary", "--json", out].to_vec();
        all.extend(more.iter().map(std::ffi::OsString::from));
        silhouette(all)
    };
    let ran = call(&[]).ok();
    assert!(ran.out.contains("boundary IoU of the foreground") && ran.out.contains("border F"), "{}", ran.out);
    let report = json(&out);
    // The labels are the model's own classes, none of them background: the border is the image's own, on both sides.
    assert_eq!(report["boundary_iou"], serde_json::json!({ "plain": 100.0, "refined": 100.0 }));
    // For border F, the image's edge is none.
    assert_eq!(report["border_f_2px"], serde_json::json!({ "plain": null, "refined": null }));
    assert!(report["alpha_ms"]["refined"].as_f64().unwrap() > 0.0);
    // A state in which everything is done leads to the same result.
    std::fs::remove_file(&out).unwrap();
    std::fs::create_dir(&out).unwrap();
    assert_eq!(call(&[]).code, 1);
    std::fs::remove_dir(&out).unwrap();
    call(&[]).ok();
    assert_eq!(json(&out)["boundary_iou"], report["boundary_iou"]);
    // Half of an image is background now, which the model predicts nowhere.
    let mask = root.join("SegmentationClass/p0.png");
    image::GrayImage::from_fn(60, 80, |x, _| image::Luma([u8::from(x >= 30)])).save(mask).unwrap();
    std::fs::remove_file(&out).unwrap();
    call(&[]).ok();
    let half = json(&out);
    let [plain, refined] = ["plain", "refined"].map(|way| half["boundary_iou"][way].as_f64().unwrap());
    assert!((20.0..95.0).contains(&plain) && (20.0..95.0).contains(&refined), "{half}");
    for border in ["border_f_2px", "border_f"] {
        assert_eq!(half[border], serde_json::json!({ "plain": 0.0, "refined": 0.0 }));
    }
    call(&["--scales", "0.5,1"]).fails(&["--boundary"]);
}

/// The public reference model in our engine: the score of its float version in ONNX Runtime.
fn the_public_model_scores_what_its_float_version_scores() {
    const FLOAT_MIOU: f64 = 73.68;
    let shared = shared_folder();
    let place = Folder::new();
    let model = place.path("public.safetensors");
    let out = place.path("scores.json");
    let models = shared.join("models");
    let source = models.join("deeplabv3_mnv2_pascal_quant.tflite");
    let labels = models.join("pascal_voc_labels.txt");
    silhouette(args!["import", source, "-o", model, "--labels", labels]).ok();
    silhouette(args![
        "eval",
        "--voc",
        shared.join("data/voc-val"),
        "--model",
        model,
        "--size",
        "513",
        "--input-shape",
        "square",
        "--json",
        out
    ])
    .ok();
    let miou = json(&out)["miou"].as_f64().unwrap();
    assert!((miou - FLOAT_MIOU).abs() <= 0.2, "{miou} against {FLOAT_MIOU}");
}

silhouette_testkit::long_tests_with_shared!(the_public_model_scores_what_its_float_version_scores);
