//! The commands in normal use: results on disk and on stdout, for humans and for machines.

mod common;

use common::{fixture, indices, photo, seeded, silhouette};
use silhouette_testkit::{Folder, shared_folder};
use silhouette_weights::npy::{self, Array};
use std::path::Path;
use std::process::{Command, Stdio};

/// A palette PNG's classes and colours.
fn palette_png(path: &Path) -> (u32, u32, Vec<u8>, Vec<u8>) {
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    assert_eq!(reader.info().color_type, png::ColorType::Indexed);
    assert_eq!(reader.info().bit_depth, png::BitDepth::Eight);
    let palette = reader.info().palette.clone().unwrap().into_owned();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut bytes).unwrap();
    (frame.width, frame.height, bytes, palette)
}

#[test]
fn a_mask_is_a_palette_png_of_class_ids_at_the_photos_size() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let photo = photo(&place, "photo.png", 101, 67);
    let ran =
        silhouette(args!["segment", photo, "--model", model, "--effect", "mask", "-o", place.path("out"), "--json"])
            .ok();
    let (width, height, classes, palette) = palette_png(&place.path("out/photo.mask.png"));
    assert_eq!((width, height), (101, 67));
    assert_eq!(palette[3 * 15..3 * 16], [192, 128, 128], "VOC's colour of a person");
    // The output matches the files, and both match the library.
    let json = ran.json();
    assert_eq!((json["width"].as_u64(), json["height"].as_u64()), (Some(101), Some(67)));
    let said = json["classes"].as_array().unwrap();
    assert!(said.len() > 1, "the fixture sees several classes");
    for class in said {
        let id = class["class"].as_u64().unwrap() as u8;
        let share = classes.iter().map(|&c| usize::from(c == id)).sum::<usize>() as f64 / classes.len() as f64;
        assert!((class["share"].as_f64().unwrap() - share).abs() < 1e-9);
    }
    let segmenter =
        silhouette::Segmenter::new(&silhouette::Model::open(&model).unwrap(), &silhouette::Options::new()).unwrap();
    let photo = silhouette::files::Photo::open(&photo).unwrap();
    let segmentation = segmenter.segment(&photo.frame().unwrap()).unwrap();
    assert_eq!(segmentation.mask().classes, classes);
}

#[test]
fn overlay_is_what_is_written_unless_told() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let photo = photo(&place, "a.b.png", 30, 20);
    let ran = silhouette(args!["segment", photo, "--model", model, "-o", place.path("out")]).ok();
    assert!(place.path("out/a.b.overlay.png").is_file());
    assert!(ran.out.lines().count() == 1 && ran.out.contains("a.b.overlay.png") && ran.err.is_empty(), "{ran:?}");
}

#[test]
fn photos_of_one_name_do_not_overwrite_each_other_nor_an_input() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    std::fs::create_dir(place.path("other")).unwrap();
    let one = photo(&place, "x.png", 30, 20);
    let two = photo(&place, "other/x.png", 20, 30);
    silhouette(args!["segment", one, two, "--model", model, "-o", place.path("out")]).ok();
    let size = |name: &str| image::image_dimensions(place.path(name)).unwrap();
    assert_eq!((size("out/x.overlay.png"), size("out/x-2.overlay.png")), ((30, 20), (20, 30)));
    let input = photo(&place, "x.overlay.png", 10, 10);
    let before = std::fs::read(&input).unwrap();
    let ran = silhouette(args!["segment", one, input, "--model", model, "-o", place.path(".")]);
    assert!(ran.code == 1 && ran.err.contains("the same file"), "{ran:?}");
    assert_eq!(std::fs::read(&input).unwrap(), before);
    assert!(!place.path("x.overlay.overlay.png").exists(), "nothing is done");
}

#[test]
fn exif_orientation_is_obeyed() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let plain = std::fs::read(photo(&place, "plain.jpg", 40, 24)).unwrap();
    // An APP1 segment with one tag: orientation 6, rotated 90 degrees clockwise.
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    let mut turned = plain[..2].to_vec();
    turned.extend([0xff, 0xe1]);
    turned.extend((exif.len() as u16 + 2).to_be_bytes());
    turned.append(&mut exif);
    turned.extend(&plain[2..]);
    let turned = place.write("turned.jpg", &turned);
    silhouette(args!["segment", turned, "--model", model, "--effect", "mask", "-o", place.path("out")]).ok();
    assert_eq!(image::image_dimensions(place.path("out/turned.mask.png")).unwrap(), (24, 40));
}

#[test]
fn the_foreground_is_what_classes_says() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let photo = photo(&place, "photo.png", 50, 50);
    let labels: Vec<String> = silhouette::Model::open(&model).unwrap().labels().to_vec();
    let cut = |classes: &str, folder: &str| {
        let out = place.path(folder);
        silhouette(args!["segment", photo, "--model", model, "--effect", "cutout", "--classes", classes, "-o", out])
            .ok();
        image::open(place.path(&format!("{folder}/photo.cutout.png"))).unwrap().to_rgba8()
    };
    // All classes together are certain everywhere: the photo itself.
    let whole = cut(&labels.join(","), "all");
    let original = image::open(&photo).unwrap().to_rgba8();
    assert_eq!(whole, original);
    assert_ne!(cut("Person", "one"), original);
}

#[test]
fn classes_hold_for_masks_and_overlays_too_or_are_refused() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let photo = photo(&place, "photo.png", 50, 50);
    let segment = |folder: &str, more: &[&str]| {
        let out = place.path(folder);
        let mut all = args!["segment", photo, "--model", model, "-o", out].to_vec();
        all.extend(more.iter().map(std::ffi::OsString::from));
        silhouette(all)
    };
    let both = ["--effect", "mask", "--effect", "overlay"];
    segment("all", &both).ok();
    let (.., whole) = indices(&place.path("all/photo.mask.png"));
    let labels = silhouette::Model::open(&model).unwrap().labels().to_vec();
    // The class with the most pixels, and one more.
    let mut count = [0; 256];
    for &class in &whole {
        count[usize::from(class)] += usize::from(class > 0);
    }
    let class = (0..=255).max_by_key(|&class: &u8| count[usize::from(class)]).unwrap();
    let other = (1..=255).find(|&other| other != class && count[usize::from(other)] > 0).unwrap();
    for kept in [&[class][..], &[class, other]] {
        let names: Vec<_> = kept.iter().map(|&class| labels[usize::from(class)].as_str()).collect();
        segment("some", &[&both[..], &["--classes", &names.join(",")]].concat()).ok();
        let expected: Vec<u8> = whole.iter().map(|&class| if kept.contains(&class) { class } else { 0 }).collect();
        assert!(expected != whole && indices(&place.path("some/photo.mask.png")).2 == expected, "{names:?}");
        let [all, some, plain] =
            [place.path("all/photo.overlay.png"), place.path("some/photo.overlay.png"), photo.clone()]
                .map(|path| image::open(path).unwrap().to_rgb8());
        for (at, class) in whole.iter().enumerate() {
            let pixel = |image: &image::RgbImage| image.as_raw()[3 * at..3 * at + 3].to_vec();
            let expected = if kept.contains(class) { pixel(&all) } else { pixel(&plain) };
            assert_eq!(pixel(&some), expected, "pixel {at} of class {class}");
        }
    }
    let name = &labels[usize::from(class)];
    let unseen = format!("confidence={}", labels[usize::from(other)]);
    segment("none", &["--effect", &unseen, "--classes", name]).fails(&["--classes", &labels[usize::from(other)]]);
    segment("none", &["--effect", &format!("confidence={name}"), "--classes", name]).ok();
    segment("none", &["--effect", "mask", "--classes", &labels[0]]).fails(&["--classes", "background"]);
    segment("none", &["--effect", "mask", "--refine", "on"]).fails(&["--refine", "cutout"]);
}

/// The report on a photo of `docs/images`, segmented without `--model`.
fn built_in(place: &Folder, photo: &str, more: &[&str]) -> serde_json::Value {
    let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images").join(photo);
    let mut all = args!["segment", photo, "-o", place.path("out"), "--json"].to_vec();
    all.extend(more.iter().map(std::ffi::OsString::from));
    silhouette(all).ok().json()
}

#[test]
fn without_classes_an_effect_shows_people_or_else_whatever_is_there() {
    let place = Folder::new();
    let cutout = ["--effect", "cutout"];
    let people = built_in(&place, "astronaut.png", &cutout)["images"][0].clone();
    assert_eq!((people["model"].as_str(), people["shows"].as_str()), (Some("silhouette-person"), Some("person")));
    let cat = built_in(&place, "chelsea.png", &cutout)["images"][0].clone();
    assert_eq!((cat["model"].as_str(), cat["shows"].as_str()), (Some("silhouette-voc21"), Some("cat")));
    // A given model is the only one: its own class of people.
    let voc21 = Path::new(env!("CARGO_MANIFEST_DIR")).join("../segmenter/models/silhouette-voc21.safetensors");
    let own = built_in(&place, "astronaut.png", &["--model", voc21.to_str().unwrap(), "--effect", "cutout"]);
    assert_eq!(own["images"][0]["model"], "silhouette-voc21");
    assert_eq!(own["images"][0]["shows"], "person");
    assert!(own["classes"].as_array().unwrap().len() > 2, "more than people is found, and left out");
}

#[test]
fn people_alone_come_from_the_model_of_people() {
    let place = Folder::new();
    let model = |more: &[&str]| {
        let report = built_in(&place, "astronaut.png", more);
        let images = report["images"].as_array().unwrap().clone();
        images.iter().map(|image| image["model"].as_str().unwrap().replace("silhouette-", "")).collect::<Vec<_>>()
    };
    assert_eq!(model(&["--effect", "mask", "--classes", "Person"]), ["person"]);
    assert_eq!(model(&["--effect", "confidence=person"]), ["person"]);
    assert_eq!(model(&["--effect", "mask", "--effect", "confidence=person"]), ["voc21", "person"]);
    assert_eq!(model(&["--effect", "cutout", "--classes", "person,dog"]), ["voc21"]);
    assert_eq!(model(&["--effect", "overlay", "--effect", "blur"]), ["voc21", "person"]);
    // One class, in both files' sense of it.
    let (.., classes) = indices(&place.path("out/astronaut.mask.png"));
    assert!(classes.contains(&15), "the mask of the last call that wrote one has VOC's classes");
}

#[test]
fn tensors_go_through_graph_and_plan_alike() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let x = place.path("x.npy");
    let graph = place.path("graph.npy");
    let plan = place.path("plan.npy");
    let data = (0..3 * 33 * 49).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    npy::write(&x, &Array { shape: [1, 3, 33, 49], data }).unwrap();
    silhouette(args!["run", model, "--input", x, "-o", graph]).ok();
    silhouette(args!["run", model, "--input", x, "-o", plan, "--engine", "plan"]).ok();
    let graph = npy::read(&graph).unwrap();
    let plan = npy::read(&plan).unwrap();
    assert_eq!((graph.shape, plan.shape), ([1, 21, 3, 4], [1, 21, 3, 4]));
    let largest = graph.data.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
    for (a, b) in graph.data.iter().zip(&plan.data) {
        assert!((a - b).abs() <= 1e-4 * largest, "{a} and {b}");
    }
    let stem = place.path("stem.npy");
    silhouette(args!["run", model, "--input", x, "-o", stem, "--tensor", "stem"]).ok();
    assert_eq!(npy::read(&stem).unwrap().shape[2..], [17, 25]);
    silhouette(args!["run", model, "--input", x, "-o", stem, "--tensor", "nothing"]).fails(&["nothing", "blocks.3"]);
    silhouette(args!["run", model, "--input", x, "-o", stem, "--tensor", "stem", "--engine", "plan"])
        .fails(&["--tensor"]);
    let grey = place.path("grey.npy");
    npy::write(&grey, &Array { shape: [1, 1, 4, 4], data: vec![0.0; 16] }).unwrap();
    silhouette(args!["run", model, "--input", grey, "-o", stem]).fails(&["grey.npy", "(1, 3, H, W)"]);
}

#[test]
fn a_classifier_classifies() {
    let place = Folder::new();
    let model = seeded(&place, "model.safetensors", "mobilenet_v2_0.35");
    let photo = photo(&place, "photo.png", 50, 40);
    let ran = silhouette(args!["classify", photo, "--model", model, "--top", "3", "--size", "64", "--json"]).ok();
    let classes = ran.json()["classes"].as_array().unwrap().clone();
    assert_eq!(classes.len(), 3);
    assert!(classes[0]["probability"].as_f64() >= classes[1]["probability"].as_f64());
    silhouette(args!["segment", photo, "--model", model]).fails(&["model.safetensors", "classif"]);
}

#[test]
fn info_counts_and_lists() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let json = silhouette(args!["info", model, "--json"]).ok().json();
    let layers = json["cost"]["layers"].as_array().unwrap();
    let sum: u64 = layers.iter().map(|layer| layer["macs"].as_u64().unwrap()).sum();
    assert_eq!(json["cost"]["total"]["macs"].as_u64(), Some(sum));
    assert_eq!(json["spec"]["name"], "fixture");
    let table = silhouette(args!["info", model]).ok();
    assert!(layers.iter().all(|layer| table.out.contains(layer["name"].as_str().unwrap())), "{}", table.out);
    let presets = silhouette(["info"]).ok();
    assert!(presets.out.contains("deeplabv3_mnv2_aspp ") && presets.out.contains("mobilenet_v2_1.4"));
    // The paper: V2* at output stride 16 has 2.75 B multiply-adds and 2.11 M parameters.
    let paper = silhouette(["info", "--spec", "deeplabv3_mnv2", "--json"]).ok().json();
    let total = &paper["cost"]["total"];
    assert!((total["macs"].as_f64().unwrap() / 2.75e9 - 1.0).abs() < 0.01);
    assert!((total["parameters"].as_f64().unwrap() / 2.11e6 - 1.0).abs() < 0.01);
    let half = silhouette(["info", "--spec", "deeplabv3_mnv2", "--size", "257", "--json"]).ok().json();
    assert!(half["cost"]["total"]["macs"].as_u64() < total["macs"].as_u64());
    silhouette(["info", "--spec", "nothing"]).fails(&["nothing", "deeplabv3_mnv2"]);
    let broken = place.write("broken.json", b"{\"format\": 1");
    silhouette(args!["info", "--spec", broken]).fails(&["broken.json"]);
}

#[test]
#[cfg(unix)]
fn a_reader_that_goes_away_is_no_panic() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    for args in [args!["info", model].to_vec(), args!["--help"].to_vec(), args!["info"].to_vec()] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_silhouette"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_ne!(output.status.code(), Some(101), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_info_prints_is_a_spec() {
    let place = Folder::new();
    let printed = silhouette(["info", "--spec", "pytorch_deeplabv3_mnv2", "--json"]).ok();
    let file = place.write("printed.json", &printed.out);
    let again = silhouette(args!["info", "--spec", file, "--json"]).ok();
    assert_eq!(again.json()["spec"], printed.json()["spec"]);
    let alone = place.write("spec.json", printed.json()["spec"].to_string());
    assert_eq!(silhouette(args!["info", "--spec", alone, "--json"]).ok().json()["spec"], printed.json()["spec"]);
}

fn reference_models_are_imported_and_see_what_is_there() {
    let shared = shared_folder();
    let place = Folder::new();
    let models = shared.join("models");
    let labels = models.join("pascal_voc_labels.txt");
    silhouette(args!["import", models.join("deeplabv3_257_mv_gpu.tflite"), "-o", place.path("m.safetensors")])
        .fails(&["deeplabv3_257_mv_gpu.tflite", "--mean"]);
    for (name, size) in
        [("deeplabv3_257_mv_gpu", 257), ("deeplabv3_mnv2_dm05_pascal_quant", 513), ("deeplabv3_mnv2_pascal_quant", 513)]
    {
        let model = place.path(&format!("{name}.safetensors"));
        let source = models.join(format!("{name}.tflite"));
        let command =
            args!["import", source, "-o", model, "--labels", labels, "--mean", "127.5", "--std", "127.5", "--json"];
        let json = silhouette(command).ok().json();
        assert_eq!(json["spec"]["input"]["size"], size);
        let photos =
            ["cat_720p.jpg", "pets.jpg", "motorcycle.png", "bird.png"].map(|name| shared.join("photos").join(name));
        let [cat, dogs, motorbike, bird] = photos;
        let command = args![
            "segment",
            cat,
            dogs,
            motorbike,
            bird,
            "--model",
            model,
            "--effect",
            "mask",
            "--json",
            "-o",
            place.path("out")
        ];
        let ran = silhouette(command).ok();
        for (line, expected) in ran.out.lines().zip(["cat", "dog", "motorbike", "bird"]) {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            let classes = json["classes"].as_array().unwrap();
            let mut others = classes.iter().filter(|class| class["class"] != 0);
            assert_eq!(others.next().unwrap()["label"], expected, "{name}: {line}");
        }
        assert_eq!(image::image_dimensions(place.path("out/cat_720p.mask.png")).unwrap(), (1280, 720));
    }
    let model = place.path("classifier.safetensors");
    let source = models.join("mobilenet_v2_1.0_224_quant.tflite");
    let labels = models.join("imagenet_labels.txt");
    silhouette(args!["import", source, "-o", model, "--labels", labels, "--mean", "127.5", "--std", "127.5"]).ok();
    let photo = shared.join("photos/chelsea.png");
    let ran = silhouette(args!["classify", photo, "--model", model, "--top", "5"]).ok();
    assert!(ran.out.contains("cat"), "{ran:?}");
}

silhouette_testkit::tests_with_shared!(reference_models_are_imported_and_see_what_is_there);
