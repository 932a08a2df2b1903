//! What `segment` takes: folders, pipes, many formats, photos that are too large or of the wrong kind.

mod common;

use common::{Ran, fixture, photo, silhouette};
use image::{ImageEncoder as _, RgbaImage};
use silhouette_testkit::{Folder, waves};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn segment(place: &Folder, photos: &[&Path], more: &[&str]) -> Ran {
    let model = place.path("model.safetensors");
    let mut all = args!["segment", "--model", model, "--threads", "1"].to_vec();
    all.extend(photos.iter().map(OsString::from));
    all.extend(more.iter().map(OsString::from));
    silhouette(all)
}

fn piped(bytes: &[u8], args: &[OsString]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silhouette"));
    let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = to.write_all(&bytes);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Names below a folder, sorted.
fn below(folder: &Path) -> Vec<String> {
    let walk = silhouette_files::walk(folder, &[]).unwrap();
    let mut names: Vec<String> = walk.files.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn tree() -> Folder {
    let place = Folder::new();
    fixture(&place, "model.safetensors");
    std::fs::create_dir_all(place.path("in/a/deep")).unwrap();
    std::fs::create_dir_all(place.path("in/b")).unwrap();
    photo(&place, "in/top.png", 30, 20);
    photo(&place, "in/a/x.jpg", 30, 20);
    photo(&place, "in/a/deep/x.png", 30, 20);
    photo(&place, "in/b/x.png", 30, 20);
    // Known by its content, not its name.
    std::fs::copy(place.path("in/top.png"), place.path("in/b/nameless")).unwrap();
    place.write("in/notes.txt", "text");
    place.write("in/.hidden.png", "x");
    place.write("in/b/phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    place.write("in/b/clip.mp4", b"\0\0\0\x1cftypisom\0\0\x02\0isomiso2avc1mp41");
    place
}

#[test]
fn folders_keep_their_shape_and_say_what_was_skipped() {
    let place = tree();
    #[cfg(unix)]
    std::os::unix::fs::symlink("..", place.path("in/a/up")).unwrap();
    let ran =
        segment(&place, &[&place.path("in")], &["--effect", "mask", "-o", place.path("out").to_str().unwrap()]).ok();
    let expected =
        ["a/deep/x.mask.png", "a/x.mask.png", "b/nameless.mask.png", "b/x.mask.png", "top.mask.png"].map(str::to_owned);
    assert_eq!(below(&place.path("out")), expected);
    assert_eq!(ran.out.lines().count(), 5);
    let note = ran.err.trim();
    assert!(note.starts_with("note: ") && note.lines().count() == 1, "{ran:?}");
    for words in
        ["4 files skipped", "1 HEIC (convert first: magick ", "1 MP4 (convert first: ffmpeg ", "1 hidden", "1 other"]
    {
        assert!(note.contains(words), "{words}: {note}");
    }
    let ran = segment(&place, &[&place.path("in")], &["--json", "-o", place.path("out2").to_str().unwrap()]).ok();
    let last: serde_json::Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["pictures"], &last["skipped"]["HEIC"]), (&5.into(), &1.into()));
}

#[test]
fn outputs_are_never_inputs_of_the_next_run() {
    let place = tree();
    let photos = place.path("in");
    let out = photos.join("out");
    for _ in 0..3 {
        // In the folder itself, and below it.
        for to in [&photos, &out] {
            let ran =
                segment(&place, &[&photos], &["--effect", "overlay", "--effect", "binary", "-o", to.to_str().unwrap()]);
            assert_eq!(ran.ok().out.lines().count(), 5);
        }
    }
    assert_eq!(below(&out).len(), 10);
    let ran = segment(&place, &[&photos], &["-o", place.path("elsewhere").to_str().unwrap()]).ok();
    assert!(ran.out.lines().count() == 5 && ran.err.contains("20 from an earlier run"), "{ran:?}");
}

#[test]
fn folders_without_pictures_are_errors_and_bad_pictures_fail_alone() {
    let place = tree();
    std::fs::create_dir(place.path("empty")).unwrap();
    segment(&place, &[&place.path("empty")], &[]).fails(&["there are no pictures in this folder"]);
    place.write("empty/a.txt", "text");
    segment(&place, &[&place.path("empty")], &[]).fails(&["no pictures", "1 file skipped: 1 other"]);
    place.write("in/bad.jpg", "no picture");
    let ran = segment(&place, &[&place.path("in")], &["-o", place.path("out").to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.lines().count()), (1, 5), "{ran:?}");
    assert!(ran.err.contains("bad.jpg is not a PNG, JPEG, WebP, GIF, BMP or TIFF image"), "{ran:?}");
    // Two folders, and files with the names of others.
    let ran = segment(
        &place,
        &[&place.path("in/a"), &place.path("in/b"), &place.path("in/b/x.png")],
        &["--effect", "mask", "-o", place.path("two").to_str().unwrap()],
    );
    ran.ok();
    let names = below(&place.path("two"));
    assert_eq!(names, ["deep/x.mask.png", "nameless.mask.png", "x-2.mask.png", "x-3.mask.png", "x.mask.png"]);
}

#[test]
fn classify_takes_folders_too() {
    let place = tree();
    let model = common::seeded(&place, "classifier.safetensors", "mobilenet_v2_0.35");
    let ran = silhouette(args!["classify", place.path("in"), "--model", model, "--size", "32"]).ok();
    assert!(ran.out.lines().count() == 5 && ran.err.contains("skipped"), "{ran:?}");
}

#[test]
fn a_pipe_in_and_out() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let file = std::fs::read(photo(&place, "photo.jpg", 50, 40)).unwrap();
    let out = place.path("out");
    silhouette(args!["segment", place.path("photo.jpg"), "--model", model, "--effect", "cutout", "-o", out]).ok();
    let expected = std::fs::read(place.path("out/photo.cutout.png")).unwrap();
    let args = args!["segment", "-", "--model", model, "--effect", "cutout", "-o", "-"];
    let output = piped(&file, &args);
    assert!(output.status.success() && output.stdout == expected, "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("-: ") && said.contains(" -> - (") && said.lines().count() == 1, "{said}");
    let output = piped(&file, &args!["segment", "-", "--model", model, "--effect", "geojson", "-o", "-", "--json"]);
    let shapes: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shapes["type"], "FeatureCollection");
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(report["files"][0], "-");
    // To a folder it has a name.
    assert!(piped(&file, &args!["segment", "-", "--model", model, "-o", place.path("named")]).status.success());
    assert_eq!(below(&place.path("named")), ["stdin.overlay.png"]);
    for (bytes, words) in [
        (&file[..file.len() / 3], "standard input is truncated"),
        (b"", "standard input is empty"),
        (b"text", "standard input is not a PNG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "standard input is a HEIC image, which is not read"),
    ] {
        let output = piped(bytes, &args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && output.stdout.is_empty() && said.contains(words), "{said}");
    }
    let output = piped(&file, &args!["segment", "-", "-", "--model", model]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("only once"));
}

#[test]
fn other_formats_and_their_first_frames() {
    let place = Folder::new();
    fixture(&place, "model.safetensors");
    let pixels = waves(40, 30, 0);
    for extension in ["bmp", "tif", "png", "webp"] {
        let path = place.path(&format!("photo.{extension}"));
        if extension == "webp" {
            let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
            let encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut file);
            encoder.write_image(&pixels, 40, 30, image::ExtendedColorType::Rgb8).unwrap();
        } else {
            image::save_buffer(&path, &pixels, 40, 30, image::ColorType::Rgb8).unwrap();
        }
        let out = place.path(extension);
        segment(&place, &[&path], &["--effect", "mask", "-o", out.to_str().unwrap()]).ok();
        assert_eq!(
            std::fs::read(out.join("photo.mask.png")).unwrap(),
            std::fs::read(place.path("bmp/photo.mask.png")).unwrap()
        );
    }
    let mut file = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut file);
    for level in [10, 200] {
        let image = RgbaImage::from_pixel(40, 30, image::Rgba([level, level, level, 255]));
        encoder.encode_frame(image::Frame::new(image)).unwrap();
    }
    drop(encoder);
    let gif = place.write("two.gif", &file);
    let ran = segment(&place, &[&gif], &["--json", "-o", place.path("gif").to_str().unwrap()]).ok();
    assert_eq!(ran.json()["first_of"], "frames");
    let ran = segment(&place, &[&gif], &["-o", place.path("gif").to_str().unwrap()]).ok();
    assert!(ran.out.contains("animated: only its first frame was taken"), "{ran:?}");
}

#[test]
fn what_is_not_read_is_named_with_the_way_out() {
    let place = Folder::new();
    fixture(&place, "model.safetensors");
    for (name, head, words) in [
        (
            "my photo.heic",
            &b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..],
            &["a HEIC image", "magick '", "my photo.jpg'"][..],
        ),
        ("a.avif", b"\0\0\0\x1cftypavif\0\0\0\0", &["an AVIF image", "avifdec "]),
        ("a.mp4", b"\0\0\0\x20ftypisom\0\0\0\0", &["an MP4 video", "ffmpeg -i ", "yuv4mpegpipe", "silhouette video"]),
        ("a.y4m", b"YUV4MPEG2 W2 H2 F1:1\n", &["a Y4M video", "silhouette video"]),
        ("a.pdf", b"%PDF-1.4", &["a PDF document", "pdftoppm"]),
    ] {
        let path = place.write(name, head);
        segment(&place, &[&path], &["-o", place.path("out").to_str().unwrap()]).fails(words);
    }
}

#[test]
fn large_photos_are_reduced_or_refused_with_the_number() {
    let place = Folder::new();
    fixture(&place, "model.safetensors");
    let png = photo(&place, "large.png", 300, 200);
    let jpg = photo(&place, "large.jpg", 300, 200);
    let out = place.path("out");
    let out = out.to_str().unwrap();
    for path in [&png, &jpg] {
        let ran = segment(&place, &[path], &["--max-pixels", "20000", "--effect", "mask", "-o", out]).ok();
        assert!(ran.out.contains("reduced from 300x200 pixels"), "{ran:?}");
        assert_eq!(image::image_dimensions(place.path("out/large.mask.png")).unwrap(), (150, 100));
    }
    let bmp = photo(&place, "large.bmp", 300, 200);
    segment(&place, &[&bmp], &["--max-pixels", "20000", "-o", out]).fails(&[
        "large.bmp has 300x200 pixels, over the limit of 20000; resize it first, or --max-pixels 60000 to read",
    ]);
    segment(&place, &[&bmp], &["--max-pixels", "60000", "-o", out]).ok();
    let progressive = place.write("progressive.jpg", include_bytes!("../../imaging/tests/pictures/progressive.jpg"));
    segment(&place, &[&progressive], &["--max-pixels", "100", "-o", out]).fails(&["cannot be reduced as it is read"]);
}
