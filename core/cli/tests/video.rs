//! `silhouette video`: Y4M through a pipe, a file or a folder of frames; what an effect leaves alone is the same to the bit.

mod common;

use common::{Ran, fixture, photo, silhouette};
use silhouette::files::y4m::{Planes, Reader};
use silhouette_testkit::{Folder, waves};
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const WIDTH: usize = 64;
const HEIGHT: usize = 48;

/// A video of moving shapes, grey with some chroma.
fn y4m(tag: &str, chroma: (usize, usize), frames: usize) -> Vec<u8> {
    let mut file = format!("YUV4MPEG2 W{WIDTH} H{HEIGHT} F30000:1001 Ip A1:1 C{tag} XCOLORRANGE=FULL\n").into_bytes();
    for frame in 0..frames {
        let rgb = waves(WIDTH, HEIGHT, 5 * frame);
        file.extend(b"FRAME\n");
        file.extend(rgb.chunks_exact(3).map(|pixel| pixel[1]));
        if chroma.0 > 0 {
            let samples = WIDTH.div_ceil(chroma.0) * HEIGHT.div_ceil(chroma.1);
            file.extend((0..2 * samples).map(|i| 110 + (i % 37) as u8));
        }
    }
    file
}

fn args(place: &Folder, more: &[&str]) -> Vec<OsString> {
    let mut all = args!["video", "--model", place.path("model.safetensors"), "--threads", "1"].to_vec();
    all.extend(more.iter().map(OsString::from));
    all
}

fn video(place: &Folder, more: &[&str]) -> Ran {
    silhouette(args(place, more))
}

fn piped(place: &Folder, bytes: &[u8], more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silhouette"));
    let command = command.args(args(place, more)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
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

fn place() -> Folder {
    let place = Folder::new();
    fixture(&place, "model.safetensors");
    place
}

/// The header's line, and the number of frames.
fn read(bytes: &[u8]) -> (String, usize) {
    let mut reader = Reader::new(bytes).unwrap();
    let line = reader.header().line();
    let mut planes = Planes::default();
    let mut frames = 0;
    while reader.read(&mut planes).unwrap() {
        frames += 1;
    }
    (line, frames)
}

#[test]
fn a_pipe_keeps_the_header_and_what_is_not_touched() {
    let place = place();
    for (tag, chroma, frame) in [
        ("420jpeg", (2, 2), 6 + WIDTH * HEIGHT * 3 / 2),
        ("420mpeg2", (2, 2), 6 + WIDTH * HEIGHT * 3 / 2),
        ("422", (2, 1), 6 + WIDTH * HEIGHT * 2),
        ("444", (1, 1), 6 + WIDTH * HEIGHT * 3),
        ("mono", (0, 0), 6 + WIDTH * HEIGHT),
    ] {
        let file = y4m(tag, chroma, 4);
        let labels = silhouette::Model::open(place.path("model.safetensors")).unwrap().labels().join(",");
        // Every class is in front: nothing is blurred.
        let output = piped(&place, &file, &["-", "--effect", "blur", "--classes", &labels, "--refine", "off"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(output.stdout == file, "{tag}: changed");
        assert!(said.contains("4 frames of 64x48, 29.970 a second -> -"), "{said}");
        let output = piped(&place, &file, &["-", "--effect", "binary", "--classes", "cat", "-o", "-"]);
        assert!(output.status.success() && output.stdout.len() == file.len() && output.stdout != file, "{tag}");
        let start = file.len() - 4 * frame;
        assert_eq!(output.stdout[..start], file[..start]);
    }
}

#[test]
fn files_and_folders_in_and_out() {
    let place = place();
    let clip = place.write("clip.y4m", y4m("420jpeg", (2, 2), 5));
    let clip = clip.to_str().unwrap();
    let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let out = path("out.y4m");
    let ran = video(&place, &[clip, "--effect", "overlay", "-o", &out, "--json"]).ok();
    let said = ran.json();
    assert_eq!((&said["frames"], &said["rate"]), (&5.into(), &"30000:1001".into()));
    let made = std::fs::read(&out).unwrap();
    assert_eq!(read(&made), (read(&std::fs::read(clip).unwrap()).0, 5));
    // The same through a pipe.
    let piped = piped(&place, &std::fs::read(clip).unwrap(), &["-"]);
    assert!(piped.stdout == made);
    // To images and back.
    let frames = path("frames");
    video(&place, &[clip, "--effect", "cutout", "-o", &frames]).ok();
    let names = ["000001.png", "000002.png", "000003.png", "000004.png", "000005.png"].map(str::to_owned);
    let mut found: Vec<String> =
        std::fs::read_dir(&frames).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, names);
    assert_eq!(image::open(Path::new(&frames).join("000003.png")).unwrap().color(), image::ColorType::Rgba8);
    let again = path("again.y4m");
    video(&place, &[&frames, "--effect", "replace=#00ff00", "--rate", "25", "-o", &again]).ok();
    let (line, count) = read(&std::fs::read(&again).unwrap());
    assert!(count == 5 && line.starts_with("YUV4MPEG2 W64 H48 F25:1 ") && line.contains("C420jpeg"), "{line}");
    // Frames over frames, or over the video.
    video(&place, &[&frames, "-o", &frames]).fails(&["written over those that are read"]);
    video(&place, &[clip, "-o", clip]).fails(&["the same file"]);
}

#[test]
fn numbers_in_names_are_the_order() {
    let place = place();
    std::fs::create_dir(place.path("in")).unwrap();
    for (name, shade) in [("f10.png", 200), ("f2.png", 100), ("f1.png", 0)] {
        image::RgbImage::from_pixel(40, 30, image::Rgb([shade; 3])).save(place.path("in").join(name)).unwrap();
    }
    place.write("in/notes.txt", "text");
    let out = place.path("out.y4m");
    let folder = place.path("in");
    let labels = silhouette::Model::open(place.path("model.safetensors")).unwrap().labels().join(",");
    let all = ["--effect", "blur", "--classes", &labels, "-o", out.to_str().unwrap()];
    let ran = video(&place, &[&[folder.to_str().unwrap()], &all[..]].concat()).ok();
    assert!(ran.err.contains("1 file skipped"), "{ran:?}");
    let file = std::fs::read(&out).unwrap();
    let mut reader = Reader::new(&file[..]).unwrap();
    let header = reader.header().clone();
    let mut planes = Planes::default();
    for shade in [0u8, 100, 200] {
        assert!(reader.read(&mut planes).unwrap());
        let picture = silhouette::Picture::from_frame(&planes.frame(&header).unwrap()).unwrap();
        assert!(picture.rgba[0].abs_diff(shade) <= 2, "{shade}: {}", picture.rgba[0]);
    }
    // Frames with transparency lose none of it without a word.
    std::fs::create_dir(place.path("clear")).unwrap();
    image::RgbaImage::from_pixel(40, 30, image::Rgba([9, 9, 9, 99])).save(place.path("clear/1.png")).unwrap();
    let clear = place.path("clear");
    let clear = clear.to_str().unwrap();
    video(&place, &[&[clear], &all[..]].concat()).fails(&[
        "1.png is transparent",
        "replace=#00ff00",
        "no frames were written",
    ]);
    // A frame of another size cannot follow, and what came before it is kept.
    photo(&place, "in/f3.png", 50, 30);
    let ran = video(&place, &[&[folder.to_str().unwrap()], &all[..]].concat());
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("f3.png is 50x30") && ran.err.contains("2 frames were written"), "{ran:?}");
    assert_eq!(read(&std::fs::read(&out).unwrap()).1, 2);
}

#[test]
fn a_colour_replaces_the_background_exactly() {
    let place = place();
    for (tag, chroma) in [("420jpeg", (2, 2)), ("444", (1, 1)), ("mono", (0, 0))] {
        let file = y4m(tag, chroma, 1);
        let labels = silhouette::Model::open(place.path("model.safetensors")).unwrap().labels().to_vec();
        // A class that is nowhere: all is background.
        let seen = piped(&place, &file, &["-", "--effect", "replace=#00ff00", "--classes", labels.last().unwrap()]);
        assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
        let mut reader = Reader::new(&seen.stdout[..]).unwrap();
        let header = reader.header().clone();
        let mut planes = Planes::default();
        reader.read(&mut planes).unwrap();
        let picture = silhouette::Picture::from_frame(&planes.frame(&header).unwrap()).unwrap();
        let green = picture.rgba.chunks_exact(4).filter(|p| p[0] < 4 && p[1] > 251 && p[2] < 4).count();
        assert!(green > WIDTH * HEIGHT / 2, "{tag}: {green}");
    }
}

#[test]
fn smoothing_is_the_librarys() {
    use silhouette::{Foreground, Model, Options, Segmenter, Smoothing, VideoSegmenter};
    use std::time::Duration;
    let place = place();
    let file = y4m("420jpeg", (2, 2), 6);
    let model = Model::open(place.path("model.safetensors")).unwrap();
    for half_life in [0, 400] {
        let wanted = half_life.to_string();
        let output = piped(&place, &file, &["-", "--effect", "binary", "--classes", "cat,dog", "--smoothing", &wanted]);
        let segmenter = Segmenter::new(&model, &Options::new().threads(1)).unwrap();
        let smoothing = Smoothing::with_half_life(Duration::from_millis(half_life));
        let mut segmenter = VideoSegmenter::new(&segmenter, smoothing);
        let classes = ["cat", "dog"].map(|label| model.class_index(label).unwrap()).to_vec();
        let mut reader = Reader::new(&file[..]).unwrap();
        let header = reader.header().clone();
        let mut planes = Planes::default();
        let mut written = Reader::new(&output.stdout[..]).unwrap();
        let mut made = Planes::default();
        let mut number = 0;
        while reader.read(&mut planes).unwrap() {
            let time = Duration::from_secs_f64(f64::from(number) * 1001.0 / 30_000.0);
            let frame = planes.frame(&header).unwrap();
            let segmentation = segmenter.segment(&frame, time).unwrap();
            let mask = segmentation.binary(&Foreground::Classes(classes.clone())).unwrap();
            assert!(written.read(&mut made).unwrap());
            let header = written.header().clone();
            let picture = silhouette::Picture::from_frame(&made.frame(&header).unwrap()).unwrap();
            assert!(
                picture.rgba.chunks_exact(4).zip(&mask.classes).all(|(p, c)| (p[1] > 128) == (*c == 1)),
                "{number}"
            );
            number += 1;
        }
    }
}

#[test]
fn what_is_cut_says_how_much_was_written() {
    let place = place();
    let file = y4m("420jpeg", (2, 2), 5);
    let cut = place.write("cut.y4m", &file[..file.len() - 100]);
    let out = place.path("out.y4m");
    let ran = video(&place, &[cut.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    let words = ["cut.y4m: frame 5 is cut off: 4508 of its 4608 bytes are there; 4 frames were written"];
    assert!(ran.err.contains(words[0]) && ran.err.lines().count() == 1, "{ran:?}");
    assert_eq!(read(&std::fs::read(&out).unwrap()).1, 4);
    let output = piped(&place, &file[..file.len() - 100], &["-"]);
    assert_eq!((output.status.code(), read(&output.stdout).1), (Some(1), 4));
    // Nothing at all: no file.
    std::fs::remove_file(&out).unwrap();
    let none = place.write("none.y4m", &file[..90]);
    video(&place, &[none.to_str().unwrap(), "-o", out.to_str().unwrap()])
        .fails(&["frame 1 is cut off", "no frames were written"]);
    let none = place.write("none.y4m", b"YUV4MPEG2 W2 H2 F1:1\n");
    video(&place, &[none.to_str().unwrap(), "-o", out.to_str().unwrap()]).fails(&["it has no frames"]);
    assert!(!out.exists());
}

#[test]
fn other_files_and_options_that_cannot_hold_are_refused_by_name() {
    let place = place();
    let clip = place.write("clip.y4m", y4m("420jpeg", (2, 2), 1));
    let clip = clip.to_str().unwrap();
    let mp4 = place.write("a.mp4", b"\0\0\0\x20ftypisom\0\0\0\0");
    let png = photo(&place, "a.png", 20, 20);
    let text = place.write("a.txt", "text");
    let deep = place.write("deep.y4m", b"YUV4MPEG2 W2 H2 F1:1 C420p10\n");
    std::fs::create_dir(place.path("empty")).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    for (args, words) in [
        (&[&path(&mp4)[..]][..], &["a.mp4 is MP4", "ffmpeg -i ", "yuv4mpegpipe - | silhouette video -"][..]),
        (&[&path(&png)], &["a.png is a PNG image", "silhouette segment"]),
        (&[&path(&text)], &["is not a Y4M video"]),
        (&[&path(&deep)], &["C420p10", "-pix_fmt yuv420p"]),
        (&[&path(&place.path("empty"))], &["there are no pictures in this folder"]),
        (&[&path(&place.path("absent.y4m"))], &["absent.y4m", "No such file"]),
        (&[clip, "--effect", "cutout", "-o", "x.y4m"], &["cutout is transparent", "replace=#00ff00"]),
        (&[clip, "--effect", "coco"], &["for photos"]),
        (&[clip, "--rate", "30"], &["--rate is for a folder"]),
        (&[clip, "--refine", "on"], &["--refine"]),
        (&[clip, "--classes", "unicorn"], &["unicorn"]),
    ] {
        video(&place, args).fails(words);
    }
    let output = piped(&place, b"RIFF", &["-"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard input is not a Y4M video"));
    assert_eq!(video(&place, &[clip, "--rate", "0"]).code, 2);
}

/// Frames come out before the last one has gone in, and memory does not grow with their number.
#[test]
fn it_is_a_stream() {
    let place = place();
    let file = y4m("420jpeg", (2, 2), 1);
    let start = file.len() - (6 + WIDTH * HEIGHT * 3 / 2);
    let mut command = Command::new(env!("CARGO_BIN_EXE_silhouette"));
    let command = command.args(args(&place, &["-", "--effect", "blur"]));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let mut from = child.stdout.take().unwrap();
    to.write_all(&file[..start]).unwrap();
    let mut header = vec![0; start];
    let mut frame = vec![0; file.len() - start];
    for number in 0..20 {
        to.write_all(&file[start..]).unwrap();
        to.flush().unwrap();
        if number == 0 {
            from.read_exact(&mut header).unwrap();
        }
        from.read_exact(&mut frame).unwrap();
        assert!(frame.starts_with(b"FRAME\n"));
    }
    drop(to);
    assert!(child.wait().unwrap().success());
    // A reader that goes away ends it with an error.
    let mut child = Command::new(env!("CARGO_BIN_EXE_silhouette"))
        .args(args(&place, &["-"]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    drop(child.stdout.take());
    to.write_all(&file).unwrap();
    drop(to);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && said.contains("its reader has closed it; no frames were written"),
        "{said}"
    );
}
