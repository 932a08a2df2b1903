//! What `segment` writes: formats, colours behind the foreground, crops, binary masks, the largest piece, polygons.

mod common;

use common::{Ran, fixture, indices, photo, silhouette};
use image::GenericImageView as _;
use silhouette_testkit::Folder;
use std::path::{Path, PathBuf};

/// A photo of which the fixture sees several classes, with the model beside it.
fn place() -> (Folder, PathBuf) {
    let place = Folder::new();
    fixture(&place, "model.safetensors");
    let path = photo(&place, "photo.png", 120, 80);
    (place, path)
}

fn segment(place: &Folder, photo: &Path, more: &[&str]) -> Ran {
    let model = place.path("model.safetensors");
    let mut all = args!["segment", photo, "--model", model].to_vec();
    all.extend(more.iter().map(std::ffi::OsString::from));
    silhouette(all)
}

/// The label of a class with several pieces in the mask, its index, and the mask.
fn scattered(place: &Folder, photo: &Path) -> (String, u8, Vec<u8>) {
    let out = place.path("whole");
    segment(place, photo, &["--effect", "mask", "-o", out.to_str().unwrap()]).ok();
    let (width, height, classes) = indices(&out.join("photo.mask.png"));
    let mask = silhouette::Mask { width: width as usize, height: height as usize, classes };
    let labels = silhouette::Model::open(place.path("model.safetensors")).unwrap().labels().to_vec();
    let class = (1..21).max_by_key(|&class| mask.outlines(class, 0.0, 0).unwrap().len()).unwrap();
    assert!(mask.outlines(class, 0.0, 0).unwrap().len() > 1, "the fixture scatters classes");
    (labels[usize::from(class)].clone(), class, mask.classes)
}

#[test]
fn the_format_is_by_option_or_by_name() {
    let (place, path) = place();
    let out = place.path("out");
    let to = out.to_str().unwrap();
    segment(&place, &path, &["--effect", "overlay", "--effect", "mask", "--format", "jpg", "-o", to]).ok();
    let file = |name: &str| std::fs::read(out.join(name)).unwrap();
    assert!(file("photo.overlay.jpg").starts_with(&[0xFF, 0xD8]) && file("photo.mask.png").starts_with(b"\x89PNG"));
    segment(&place, &path, &["--format", "webp", "-o", to]).ok();
    segment(&place, &path, &["-o", to]).ok();
    let open = |name: &str| image::open(out.join(name)).unwrap().to_rgba8();
    assert_eq!(open("photo.overlay.webp"), open("photo.overlay.png"), "WebP is without loss");
    for (name, start) in
        [("a.jpg", &[0xFF, 0xD8][..]), ("b.JPEG", &[0xFF, 0xD8]), ("c.webp", b"RIFF"), ("d.png", b"\x89PNG")]
    {
        let one = out.join(name);
        let ran = segment(&place, &path, &["--effect", "blur", "-o", one.to_str().unwrap()]).ok();
        assert!(file(name).starts_with(start) && ran.out.contains(name), "{ran:?}");
    }
    let size = |quality: &str| {
        let one = out.join("q.jpg");
        segment(&place, &path, &["--quality", quality, "-o", one.to_str().unwrap()]).ok();
        file("q.jpg").len()
    };
    assert!(size("20") < size("95"));
}

#[test]
fn options_that_cannot_hold_are_refused_by_name() {
    let (place, path) = place();
    let jpg = place.path("x.jpg");
    let jpg = jpg.to_str().unwrap();
    for (options, words) in [
        (&["--effect", "cutout", "--format", "jpg"][..], &["JPEG has no transparency", "replace=#ffffff"][..]),
        (&["--effect", "cutout", "-o", jpg], &["JPEG has no transparency"]),
        (&["--effect", "mask", "-o", jpg], &["written as PNG"]),
        (&["--effect", "coco", "-o", jpg], &["written as JSON", ".geojson"]),
        (&["-o", "x.json"], &["--effect overlay is an image"]),
        (&["--format", "png", "-o", jpg], &["--format png", "contradict"]),
        (&["--effect", "mask", "--format", "webp"], &["--format webp", "always PNG"]),
        (&["--format", "webp", "--quality", "80"], &["WebP is written without loss"]),
        (&["--quality", "80"], &["--quality applies to JPEG only"]),
        (&["--effect", "mask", "--effect", "blur", "-o", jpg], &["holds one image, and 1 photo with 2 effects make 2"]),
        (&["--refine", "on", "--effect", "binary"], &["--refine"]),
    ] {
        segment(&place, &path, options).fails(words);
    }
    // By the parser: exit code 2.
    for options in [&["--margin", "5%"][..], &["--quality", "0"], &["--effect", "replace=#12"], &["--max-pixels", "0"]]
    {
        assert_eq!(segment(&place, &path, options).code, 2, "{options:?}");
    }
    assert!(!Path::new(jpg).exists());
}

#[test]
fn a_colour_is_what_an_image_of_it_is() {
    let (place, path) = place();
    let (label, ..) = scattered(&place, &path);
    let plain = place.path("plain.png");
    image::RgbImage::from_pixel(9, 9, image::Rgb([0, 255, 127])).save(&plain).unwrap();
    let out = |name: &str, behind: String| {
        let to = place.path(name);
        segment(&place, &path, &["--effect", &behind, "--classes", &label, "-o", to.to_str().unwrap()]).ok();
        image::open(to).unwrap().to_rgb8()
    };
    let by_color = out("color.png", "replace=#00ff7f".into());
    assert_eq!(by_color, out("image.png", format!("replace={}", plain.display())));
    assert!(by_color.pixels().any(|pixel| pixel.0 == [0, 255, 127]));
}

#[test]
fn a_binary_mask_is_white_where_the_classes_are() {
    let (place, path) = place();
    let (label, class, classes) = scattered(&place, &path);
    let to = place.path("b.png");
    let binary = |more: &[&str]| {
        segment(&place, &path, &[&["--effect", "binary", "-o", to.to_str().unwrap()], more].concat()).ok();
        let image = image::open(&to).unwrap();
        assert_eq!(image.color(), image::ColorType::L8);
        image.to_luma8().into_raw()
    };
    let expected = |is: &dyn Fn(u8) -> bool| classes.iter().map(|&c| if is(c) { 255 } else { 0 }).collect::<Vec<u8>>();
    assert_eq!(binary(&["--classes", &label]), expected(&|c| c == class));
    assert_eq!(binary(&[]), expected(&|c| c != 0));
    assert_eq!(binary(&["--classes", "background"]), expected(&|c| c == 0));
}

#[test]
fn crops_hold_the_foreground_and_its_margin() {
    let (place, path) = place();
    let (label, class, classes) = scattered(&place, &path);
    let mask = silhouette::Mask { width: 120, height: 80, classes };
    let kept: [bool; 256] = std::array::from_fn(|c| c == usize::from(class));
    let found = mask.only(&kept).unwrap().bounds().unwrap();
    let out = place.path("out");
    let to = out.to_str().unwrap();
    let options =
        ["--effect", "mask", "--effect", "overlay", "--effect", "cutout", "--classes", &label, "-o", to, "--json"];
    let ran = segment(&place, &path, &[&options[..], &["--crop", "subject", "--margin", "0"]].concat()).ok();
    let crop = &ran.json()["crop"];
    let number = |name: &str| crop[name].as_u64().unwrap() as usize;
    assert_eq!(
        [number("x"), number("y"), number("width"), number("height")],
        [found.x, found.y, found.width, found.height]
    );
    let (width, height, cropped) = indices(&out.join("photo.mask.png"));
    assert_eq!((width as usize, height as usize), (found.width, found.height));
    assert_eq!(cropped, mask.only(&kept).unwrap().cropped(found).unwrap().classes);
    for effect in ["overlay", "cutout"] {
        let name = format!("photo.{effect}.png");
        let part = image::open(out.join(&name)).unwrap().to_rgba8();
        segment(&place, &path, &["--effect", effect, "--classes", &label, "-o", place.path("all").to_str().unwrap()])
            .ok();
        let whole = image::open(place.path(&format!("all/{name}"))).unwrap();
        let view = whole.view(found.x as u32, found.y as u32, width, height).to_image();
        assert_eq!(part, image::DynamicImage::from(view).to_rgba8(), "{effect}");
    }
    let ran = segment(&place, &path, &[&options[..], &["--crop", "subject", "--margin", "4"]].concat()).ok();
    assert_eq!(ran.json()["crop"]["x"].as_u64().unwrap() as usize, found.x.saturating_sub(4));
    // Nothing found is an error, not the whole photo.
    let labels = silhouette::Model::open(place.path("model.safetensors")).unwrap().labels().to_vec();
    let absent = (1..21).find(|&class| !mask.classes.contains(&class)).unwrap();
    segment(&place, &path, &["--crop", "subject", "--classes", &labels[usize::from(absent)]])
        .fails(&["nothing to crop to", &labels[usize::from(absent)]]);
}

#[test]
fn the_largest_piece_alone() {
    let (place, path) = place();
    let (label, class, classes) = scattered(&place, &path);
    let kept: [bool; 256] = std::array::from_fn(|c| c == usize::from(class));
    let whole = silhouette::Mask { width: 120, height: 80, classes }.only(&kept).unwrap();
    let largest = whole.largest_piece().unwrap();
    assert_ne!(whole, largest);
    let out = place.path("out");
    let mut options = vec!["--largest", "--classes", &label, "-o", out.to_str().unwrap(), "--json"];
    for effect in ["mask", "binary", "overlay", "cutout", "blur", "replace=#ff0000", "geojson"] {
        options.extend(["--effect", effect]);
    }
    let ran = segment(&place, &path, &options).ok();
    assert_eq!(indices(&out.join("photo.mask.png")).2, largest.classes);
    let binary = image::open(out.join("photo.binary.png")).unwrap().to_luma8().into_raw();
    assert!(binary.iter().zip(&largest.classes).all(|(a, b)| (*a == 255) == (*b != 0)));
    let original = image::open(&path).unwrap().to_rgba8();
    let overlay = image::open(out.join("photo.overlay.png")).unwrap().to_rgba8();
    for ((before, after), kept) in original.pixels().zip(overlay.pixels()).zip(&largest.classes) {
        assert!(*kept != 0 || before == after);
    }
    assert_eq!(ran.json()["images"][6]["pieces"][&label], 1);
    // A cut-out has one solid piece.
    let cutout = image::open(out.join("photo.cutout.png")).unwrap().to_rgba8();
    let solid = cutout.pixels().map(|pixel| u8::from(pixel[3] >= 128)).collect();
    let solid = silhouette::Mask { width: 120, height: 80, classes: solid };
    assert_eq!(solid.outlines(1, 0.0, 0).unwrap().len(), 1);
}

#[test]
fn polygons_refilled_are_the_mask() {
    let (place, path) = place();
    let (_, _, classes) = scattered(&place, &path);
    let out = place.path("out");
    let ran =
        segment(&place, &path, &["--effect", "geojson", "--effect", "coco", "-o", out.to_str().unwrap(), "--json"])
            .ok();
    let read =
        |name: &str| -> serde_json::Value { serde_json::from_slice(&std::fs::read(out.join(name)).unwrap()).unwrap() };
    let geo = read("photo.geojson");
    let features = geo["features"].as_array().unwrap();
    let mut overlap = [0usize; 2];
    for class in 1..21u8 {
        let of_class = || features.iter().filter(|feature| feature["properties"]["class"] == class);
        let ring = |ring: &serde_json::Value| -> Vec<[u32; 2]> {
            let mut ring: Vec<[u32; 2]> = serde_json::from_value(ring.clone()).unwrap();
            assert_eq!(ring.pop().as_ref(), ring.first(), "rings are closed");
            ring
        };
        let polygons: Vec<silhouette::Polygon> = of_class()
            .map(|feature| {
                let mut rings = feature["geometry"]["coordinates"].as_array().unwrap().iter().map(ring);
                silhouette::Polygon { outer: rings.next().unwrap(), holes: rings.collect() }
            })
            .collect();
        let flags = silhouette::filled(&polygons, 120, 80).unwrap();
        for (flag, is) in flags.iter().zip(&classes) {
            overlap[0] += usize::from(*flag && *is == class);
            overlap[1] += usize::from(*flag || *is == class);
        }
        assert_eq!(
            of_class().next().map_or(0, |feature| feature["properties"]["pieces"].as_u64().unwrap() as usize),
            polygons.len()
        );
    }
    assert!(overlap[0] as f64 / overlap[1] as f64 > 0.98, "{overlap:?}");
    let pieces: u64 =
        ran.json()["images"][0]["pieces"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(pieces as usize, features.len());
    let coco = read("photo.coco.json");
    assert_eq!(coco["annotations"].as_array().unwrap().len(), features.len());
    for annotation in coco["annotations"].as_array().unwrap() {
        if let Some(counts) = annotation["segmentation"]["counts"].as_array() {
            let total: u64 = counts.iter().map(|count| count.as_u64().unwrap()).sum();
            let inside: u64 = counts.iter().skip(1).step_by(2).map(|count| count.as_u64().unwrap()).sum();
            assert_eq!(total, 120 * 80);
            let area = annotation["area"].as_f64().unwrap();
            assert!((inside as f64 - area).abs() <= 0.1 * area + 8.0, "{inside} {area}");
        }
    }
}
