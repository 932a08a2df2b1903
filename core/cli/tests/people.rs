//! `silhouette eval --people` and `--flicker` on generated data: the expected figures come from the library, or are known.

mod common;

use common::{Ran, fixture, photo, seeded, silhouette};
use serde_json::Value;
use silhouette::eval::{AlphaScore, AlphaSummary, AlphaTruth, Evaluator, Protocol, TruthValue};
use silhouette::files::Photo;
use silhouette::{Foreground, InputShape, Model, Segmentation, Size};
use silhouette_network::network::Network;
use silhouette_network::spec::{Head, Spec, Task};
use silhouette_testkit::{Folder, waves};
use silhouette_weights::{Dtype, ModelFile};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The seeded fixture with an alpha of people, which are in about half of each image.
fn people_model(place: &Folder) -> PathBuf {
    let mut spec = Spec::preset("fixture").unwrap();
    let Head::DeeplabV3(head) = &mut spec.head else { unreachable!() };
    head.classes = 1;
    spec.task = Some(Task::Alpha);
    spec.labels = vec!["background".into(), "person".into()];
    spec.colors = Vec::new();
    let mut tensors = silhouette_weights::seeded(&Network::native(&spec).unwrap(), 7);
    let path = place.path("people.safetensors");
    // The middle of the logits, so that there are people and ground.
    ModelFile::new(spec.clone(), tensors.clone()).unwrap().save(&path, Dtype::F32).unwrap();
    let image = Photo::open(photo(place, "middle.png", 90, 70)).unwrap();
    let segmenter = silhouette::Segmenter::new(&Model::open(&path).unwrap(), &silhouette::Options::new()).unwrap();
    let segmentation = segmenter.segment(&image.frame().unwrap()).unwrap();
    let mut logits: Vec<f32> = segmentation.logits().0.chunks_exact(2).map(|pair| pair[1] - pair[0]).collect();
    logits.sort_by(f32::total_cmp);
    let middle = logits[logits.len() / 2];
    for (name, less) in [("head.classifier.weight", 0.0), ("head.classifier.bias", middle)] {
        tensors.get_mut(name).unwrap().data.iter_mut().for_each(|v| *v = 6.0 * (*v - less));
    }
    ModelFile::new(spec, tensors).unwrap().save(&path, Dtype::F32).unwrap();
    path
}

/// The seeded fixture of 21 classes, whose most frequent class in an image is called `person`; and that class.
fn classes_model(place: &Folder, image: &Path) -> (PathBuf, usize) {
    let path = fixture(place, "classes.safetensors");
    let photo = Photo::open(image).unwrap();
    let segmenter = silhouette::Segmenter::new(&Model::open(&path).unwrap(), &silhouette::Options::new()).unwrap();
    let shares = segmenter.segment(&photo.frame().unwrap()).unwrap().shares();
    let person = shares.into_iter().find(|share| share.class_index > 0).unwrap().class_index;
    let mut spec = Spec::preset("fixture").unwrap();
    let other = spec.labels.iter().position(|label| label == "person").unwrap();
    spec.labels.swap(person, other);
    let tensors = silhouette_weights::seeded(&Network::native(&spec).unwrap(), 7);
    ModelFile::new(spec, tensors).unwrap().save(&path, Dtype::F32).unwrap();
    (path, person)
}

/// Images in a folder of their own.
fn images(place: &Folder, count: u32) -> PathBuf {
    let folder = place.path("images");
    std::fs::create_dir_all(&folder).unwrap();
    for i in 0..count {
        let name = format!("images/p{i}.png");
        photo(place, &name, 90 + 13 * i, 70 - 5 * i);
    }
    folder
}

/// Grey images of these values beside images, as large as these.
fn masks(place: &Folder, folder: &str, images: &Path, value: impl Fn(u32, u32, u32) -> u8) -> PathBuf {
    let masks = place.path(folder);
    std::fs::create_dir_all(&masks).unwrap();
    for i in 0.. {
        let name = format!("p{i}.png");
        let Ok(image) = image::open(images.join(&name)) else { break };
        let mask = image::GrayImage::from_fn(image.width(), image.height(), |x, y| image::Luma([value(i, x, y)]));
        mask.save(masks.join(name)).unwrap();
    }
    masks
}

/// Runs `eval --people` into a report.
fn people(place: &Folder, args: &[OsString]) -> (Ran, Value) {
    let out = place.path("people.json");
    let mut all: Vec<OsString> = args!["eval", "--people", "--input-shape", "frame", "--json", out].to_vec();
    all.extend_from_slice(args);
    let ran = silhouette(all).ok();
    let report = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    std::fs::remove_file(&out).unwrap();
    (ran, report)
}

/// The measures of each image by the library, plain and refined.
fn by_library(
    model: &Path,
    images: &Path,
    masks: &Path,
    foreground: &Foreground,
    fill_void: bool,
    meaning: &[TruthValue; 256],
) -> [Vec<AlphaScore>; 2] {
    let protocol = Protocol { input_shape: InputShape::Frame, ..Protocol::default() };
    let evaluator = Evaluator::new(&Model::open(model).unwrap(), &protocol, 1).unwrap();
    let mut scores = [Vec::new(), Vec::new()];
    for i in 0.. {
        let name = format!("p{i}.png");
        let image = [images.join(&name), images.join(format!("p{i}.jpg"))].into_iter().find(|image| image.exists());
        let Some(image) = image else { break };
        let photo = Photo::open(image).unwrap();
        let frame = photo.frame().unwrap();
        let mask = image::open(masks.join(name)).unwrap().into_luma8();
        let size = Size { height: mask.height() as usize, width: mask.width() as usize };
        let mut truth = AlphaTruth::new(size, mask.as_raw(), meaning, fill_void).unwrap();
        let mut work = Segmentation::default();
        evaluator.segment(&frame, &mut work).unwrap();
        let alphas = evaluator.alphas(&frame, foreground, &mut work).unwrap();
        for (scores, alpha) in scores.iter_mut().zip([&alphas.plain, &alphas.refined]) {
            scores.push(truth.score(&alpha.values).unwrap());
        }
    }
    scores
}

#[track_caller]
fn same(row: &Value, scores: &[AlphaScore]) {
    let summary = AlphaSummary::of(scores);
    assert_eq!(row["images"], scores.len());
    for (key, value) in [
        ("pooled_iou", Some(summary.pooled_iou)),
        ("iou", summary.iou),
        ("border_f_2px", summary.border_f_2px),
        ("border_f", summary.border_f),
        ("alpha_error", summary.error),
        ("under_half", summary.missed),
    ] {
        match (row[key].as_f64(), value) {
            (Some(ours), Some(value)) => assert!((ours - 100.0 * value).abs() < 1e-9, "{key}: {ours}, not {value}"),
            (ours, value) => assert_eq!(ours, value, "{key}"),
        }
    }
}

#[test]
fn grey_alphas_are_scored_by_size_plain_and_refined() {
    let place = Folder::new();
    let model = people_model(&place);
    let images = images(&place, 4);
    // A soft disc in each image, of another size; none in the last.
    let masks = masks(&place, "masks", &images, |i, x, y| {
        let distance = (x as f32 - 40.0).hypot(y as f32 - 30.0) - [8.0, 20.0, 28.0, -99.0][i as usize];
        (128.0 - 40.0 * distance).clamp(0.0, 255.0) as u8
    });
    let meaning = std::array::from_fn(|value| TruthValue::Alpha(value as u8));
    let [plain, refined] = by_library(&model, &images, &masks, &Foreground::All, false, &meaning);
    let args = args!["--images", images, "--masks", masks, "--foreground", "255", "--model", model];
    let (ran, report) = people(&place, &args);
    same(&report["people"]["all"]["plain"], &plain);
    same(&report["people"]["all"]["refined"], &refined);
    assert_ne!(report["people"]["all"]["plain"], report["people"]["all"]["refined"]);
    for (i, size) in ["below 5 %", "5 to 20 %", "above 20 %"].into_iter().enumerate() {
        same(&report["people"][size]["plain"], &plain[i..=i]);
        same(&report["people"][size]["refined"], &refined[i..=i]);
        assert!(ran.out.contains(size), "{}", ran.out);
    }
    assert_eq!((&report["images"], &report["skipped"]), (&4.into(), &0.into()));
    assert!(report["macs"].as_u64().unwrap() > 0 && report["alpha_ms"]["refined"].as_f64().unwrap() > 0.0);
    let row = ran.out.lines().find(|line| line.starts_with("all, plain")).unwrap();
    let numbers: Vec<&str> = row["all, plain".len()..].split_whitespace().collect();
    assert_eq!(numbers[0], "4");
    assert_eq!(numbers[1], format!("{:.2}", report["people"]["all"]["plain"]["pooled_iou"].as_f64().unwrap()));

    // The model's own alpha, as an image, is no error.
    let own = place.path("own");
    for i in 0..4 {
        let image = images.join(format!("p{i}.png"));
        let effect = "confidence=person";
        silhouette(args!["segment", image, "--model", model, "--effect", effect, "-o", own, "--input-shape", "frame"])
            .ok();
        std::fs::rename(own.join(format!("p{i}.confidence-person.png")), own.join(format!("p{i}.png"))).unwrap();
    }
    let args = args!["--images", images, "--masks", own, "--foreground", "255", "--model", model];
    let plain = &people(&place, &args).1["people"]["all"]["plain"];
    for (key, value) in [("pooled_iou", 100.0), ("iou", 100.0), ("border_f_2px", 100.0), ("alpha_error", 0.0)] {
        assert_eq!(plain[key], value, "{plain}");
    }
}

/// Makes of a folder of images one in VOC's layout, with persons, another class, void and unlabelled pixels.
fn voc(place: &Folder, count: u32) -> PathBuf {
    let images = images(place, count);
    let root = place.path("voc");
    std::fs::create_dir_all(root.join("JPEGImages")).unwrap();
    masks(place, "voc/SegmentationClass", &images, |i, x, y| {
        let distance = (x as f32 - 45.0).hypot(y as f32 - 25.0) - 14.0 - i as f32;
        match distance {
            _ if x < 6 && y < 9 => 254,
            _ if distance < -2.0 => 15,
            _ if distance < 2.0 && x < 50 => 255,
            _ if distance < 0.0 => 15,
            _ if y > 50 => 9,
            _ => 0,
        }
    });
    for i in 0..count {
        std::fs::copy(images.join(format!("p{i}.png")), root.join(format!("JPEGImages/p{i}.jpg"))).unwrap();
    }
    let names: Vec<String> = (0..count).map(|i| format!("p{i}")).collect();
    std::fs::write(root.join("val.txt"), names.join("\n")).unwrap();
    root
}

fn of_voc() -> [TruthValue; 256] {
    std::array::from_fn(|value| match value {
        15 => TruthValue::Alpha(255),
        254 => TruthValue::Unlabelled,
        255 => TruthValue::Void,
        _ => TruthValue::Alpha(0),
    })
}

#[test]
fn people_of_voc_for_models_of_people_and_of_21_classes() {
    let place = Folder::new();
    let root = voc(&place, 3);
    let images = root.join("JPEGImages");
    let masks = root.join("SegmentationClass");
    let (classes, person) = classes_model(&place, &images.join("p0.jpg"));
    for (model, foreground) in [(people_model(&place), Foreground::All), (classes, Foreground::Classes(vec![person]))] {
        let filled = by_library(&model, &images, &masks, &foreground, true, &of_voc());
        let report = people(&place, &args!["--voc", root, "--model", model]).1;
        same(&report["people"]["all"]["plain"], &filled[0]);
        same(&report["people"]["all"]["refined"], &filled[1]);
        // In plain folders, borders near void do not count.
        let unfilled = by_library(&model, &images, &masks, &foreground, false, &of_voc());
        assert_ne!(filled[0], unfilled[0]);
        let args = args!["--images", images, "--masks", masks, "--labels", "voc", "--model", model];
        same(&people(&place, &args).1["people"]["all"]["plain"], &unfilled[0]);
    }
    // In RGB by VOC's colours.
    let coloured = place.path("coloured");
    std::fs::create_dir(&coloured).unwrap();
    for i in 0..3 {
        let mask = image::open(masks.join(format!("p{i}.png"))).unwrap().into_luma8();
        let colour = |x, y| match mask.get_pixel(x, y).0[0] {
            254 => image::Rgb([0, 0, 0]),
            class => image::Rgb(silhouette::Palette::voc().color(class)),
        };
        image::RgbImage::from_fn(mask.width(), mask.height(), colour).save(coloured.join(format!("p{i}.png"))).unwrap();
    }
    let args = args!["--images", images, "--masks", coloured, "--labels", "voc", "--model", people_model(&place)];
    assert!(people(&place, &args).1["people"]["all"]["plain"]["iou"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_stopped_run_goes_on_to_the_same_figures() {
    let place = Folder::new();
    let root = voc(&place, 4);
    let model = people_model(&place);
    let rest = |mut report: Value| {
        for timed in ["median_ms", "alpha_ms", "scores", "protocol"] {
            report.as_object_mut().unwrap().remove(timed);
        }
        report
    };
    let whole = rest(people(&place, &args!["--voc", root, "--model", model, "--threads", "3"]).1);
    // The report cannot be written: the state stays behind.
    let out = place.path("stopped.json");
    std::fs::create_dir(&out).unwrap();
    let call = args![
        "eval",
        "--people",
        "--voc",
        root,
        "--model",
        model,
        "--threads",
        "1",
        "--input-shape",
        "frame",
        "--json",
        out
    ];
    assert_eq!(silhouette(&call).code, 1);
    let partial = place.path("stopped.json.partial");
    let state = std::fs::read_to_string(&partial).unwrap();
    assert_eq!(state.lines().count(), 5);
    std::fs::write(&partial, &state[..state.len() - 5]).unwrap();
    std::fs::remove_dir(&out).unwrap();
    // Neither another kind of run nor one of other weights goes on from it.
    silhouette(args!["eval", "--voc", root, "--model", model, "--json", out]).fails(&["another run"]);
    silhouette(args!["eval", "--people", "--voc", root, "--json", out]).fails(&["another run"]);
    // What is done is not done again: the first image is gone.
    std::fs::remove_file(root.join("JPEGImages/p0.jpg")).unwrap();
    silhouette(call).ok();
    let report = rest(serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap());
    for key in ["images", "skipped", "macs"] {
        assert_eq!(report[key], whole[key], "{key}");
    }
    for (key, value) in report["people"]["all"]["refined"].as_object().unwrap() {
        let ours = value.as_f64();
        let expected = whole["people"]["all"]["refined"][key].as_f64();
        // JSON keeps 16 digits.
        assert!((ours.unwrap() - expected.unwrap()).abs() < 1e-9, "{key}: {ours:?}, not {expected:?}");
    }
    assert!(!partial.exists());
}

#[test]
fn what_is_no_mask_is_named_and_what_knows_no_people_refused() {
    let place = Folder::new();
    let model = people_model(&place);
    let images = images(&place, 4);
    let white = masks(&place, "white", &images, |_, x, _| if x < 20 { 255 } else { 0 });
    // Without --foreground, black-and-white masks have no meaning.
    silhouette(args!["eval", "--people", "--images", images, "--masks", white, "--model", model])
        .fails(&["p0.png", "--foreground 255"]);
    // One of another size, one that is no image, one that is missing.
    std::fs::copy(white.join("p0.png"), white.join("p1.png")).unwrap();
    std::fs::write(white.join("p2.png"), b"no picture").unwrap();
    std::fs::remove_file(white.join("p3.png")).unwrap();
    let args = args!["--images", images, "--masks", white, "--foreground", "255", "--model", model];
    let (ran, report) = people(&place, &args);
    assert_eq!((&report["images"], &report["skipped"]), (&1.into(), &3.into()));
    for named in ["p1.png", "90x70", "103x65", "p2.png", "p3.png"] {
        assert!(ran.err.contains(named), "{named}: {}", ran.err);
    }
    // Values above the foreground's are nothing that a mask has.
    let bright = masks(&place, "bright", &images, |_, x, _| if x == 5 { 130 } else { 0 });
    let of_bright = |foreground, model: &Path| {
        let args = args!["--images", images, "--masks", bright, "--foreground", foreground, "--model", model];
        silhouette([&args!["eval", "--people"][..], &args].concat())
    };
    let ran = of_bright("128", &model);
    assert!(ran.code == 1 && ran.err.contains("130") && ran.err.contains("none of the 4 images"), "{ran:?}");
    // Soft values are no classes.
    let soft = silhouette(args!["eval", "--people", "--images", images, "--masks", bright, "--model", model]);
    assert!(soft.code == 1 && soft.err.contains("--foreground"), "{soft:?}");
    // Models and masks without people.
    let cats = place.write("cats.txt", b"background\ncat\n");
    silhouette(args!["eval", "--people", "--images", images, "--masks", bright, "--labels", cats, "--model", model])
        .fails(&["'person'", "cat", "--labels"]);
    let mut spec = Spec::preset("fixture").unwrap();
    for label in &mut spec.labels {
        *label = label.replace("person", "unicorn");
    }
    let other = place.path("unicorn.safetensors");
    let weights = silhouette_weights::seeded(&Network::native(&spec).unwrap(), 7);
    ModelFile::new(spec, weights).unwrap().save(&other, Dtype::F32).unwrap();
    of_bright("255", &other).fails(&["no class 'person'"]);
    // The report in the place of an input.
    silhouette(args![
        "eval",
        "--people",
        "--images",
        images,
        "--masks",
        white,
        "--foreground",
        "255",
        "--model",
        model,
        "--json",
        white.join("p0.png")
    ])
    .fails(&["p0.png"]);
    for wrong in [["--scales", "1,2"], ["--back", "logits"]] {
        let ran = silhouette(args!["eval", "--people", "--voc", images, wrong[0], wrong[1]]);
        assert!(ran.code == 2 && ran.err.contains(wrong[0]), "{ran:?}");
    }
}

/// The report of `eval --flicker`.
fn flicker(place: &Folder, args: &[OsString]) -> Value {
    let out = place.path("flicker.json");
    let mut all: Vec<OsString> = args!["eval", "--flicker", "--json", out].to_vec();
    all.extend_from_slice(args);
    silhouette(all).ok();
    let report = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    std::fs::remove_file(&out).unwrap();
    report
}

#[test]
fn flicker_of_made_sequences_is_less_when_smoothed_and_the_same_again() {
    let place = Folder::new();
    let model = people_model(&place);
    let images = images(&place, 2);
    let args = args!["--images", images, "--model", model, "--frames", "9"];
    let report = flicker(&place, &args);
    assert_eq!(
        (&report["images"], &report["skipped"], &report["protocol"]["frames"]),
        (&2.into(), &0.into(), &9.into())
    );
    for which in ["plain", "refined"] {
        let [raw, smoothed] = ["raw", "smoothed"].map(|time| report["flicker"][time][which].as_f64().unwrap());
        assert!(0.0 < smoothed && smoothed < raw && raw < 20.0, "{report}");
    }
    let mean =
        report["sequences"].as_array().unwrap().iter().map(|one| one["raw"]["plain"].as_f64().unwrap()).sum::<f64>()
            / 2.0;
    assert!((mean - report["flicker"]["raw"]["plain"].as_f64().unwrap()).abs() < 1e-9);
    assert!(report["compared"].as_f64().unwrap() > 90.0);
    let args = args!["--images", images, "--model", model, "--frames", "9", "--threads", "1"];
    assert_eq!(flicker(&place, &args)["flicker"], report["flicker"]);
    // An image too small for it, and none at all.
    image::RgbImage::new(2, 2).save(images.join("tiny.png")).unwrap();
    let out = silhouette(args!["eval", "--flicker", "--images", images, "--model", model, "--frames", "2"]).ok();
    assert!(out.err.contains("tiny.png") && out.err.contains("too small") && out.out.contains("1 skipped"), "{out:?}");
    silhouette(args!["eval", "--flicker", "--model", model]).fails(&["--images", "--sequence"]);
    let wrong = silhouette(args!["eval", "--flicker", "--images", images, "--masks", images]);
    assert!(wrong.code == 2, "{wrong:?}");
}

#[test]
fn a_recorded_sequence_is_aligned_and_a_still_one_does_not_flicker() {
    let place = Folder::new();
    let model = people_model(&place);
    let frames = |name: &str, offsets: &[(u32, u32)]| {
        let folder = place.path(name);
        std::fs::create_dir(&folder).unwrap();
        let scene = image::RgbImage::from_raw(400, 300, waves(400, 300, 0)).unwrap();
        for (i, &(x, y)) in offsets.iter().enumerate() {
            image::imageops::crop_imm(&scene, x, y, 330, 250)
                .to_image()
                .save(folder.join(format!("f{i}.png")))
                .unwrap();
        }
        folder
    };
    let still = frames("still", &[(10, 10); 4]);
    let report = flicker(&place, &args!["--sequence", still, "--model", model]);
    assert_eq!(report["flicker"]["raw"]["plain"], 0.0, "{report}");
    assert_eq!((&report["compared"], &report["protocol"]["frames"]), (&100.0.into(), &4.into()));
    // Twelve frames, so that their order is that of the numbers; the camera moves on by (2, 1).
    let offsets: Vec<_> = (0..12).map(|i| (10 + 2 * i, 10 + i)).collect();
    let moved = flicker(&place, &args!["--sequence", frames("moved", &offsets), "--model", model]);
    assert!(moved["compared"].as_f64().unwrap() > 98.0, "{moved}");
    let cut = frames("cut", &[(10, 10)]);
    let other = image::RgbImage::from_pixel(330, 250, image::Rgb([250, 240, 10]));
    other.save(cut.join("f1.png")).unwrap();
    silhouette(args!["eval", "--flicker", "--sequence", cut, "--model", model]).fails(&["no two frames"]);
    other.save(cut.join("f2.png")).unwrap();
    image::imageops::crop_imm(&other, 0, 0, 100, 100).to_image().save(cut.join("f3.png")).unwrap();
    silhouette(args!["eval", "--flicker", "--sequence", cut, "--model", model]).fails(&["f3.png", "100x100"]);
    silhouette(args!["eval", "--flicker", "--sequence", place.path("absent"), "--model", model]).fails(&["absent"]);
}

#[test]
fn the_preset_of_people_is_scored_too() {
    let place = Folder::new();
    let model = seeded(&place, "preset.safetensors", "person");
    let images = images(&place, 1);
    let masks = masks(&place, "masks", &images, |_, x, _| u8::from(x > 30));
    // A model of people knows what 0 and 1 are.
    let report = people(&place, &args!["--images", images, "--masks", masks, "--model", model]).1;
    assert_eq!(report["people"]["above 20 %"]["plain"]["images"], 1);
}
