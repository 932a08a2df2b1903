//! The cases of api.tsv, which Kotlin's and Swift's tests run too: rotation, mirroring, regions, sizes, options, defaults,
//! errors. A case is a line of words that each language translates to its own calls.

mod common;

use common::model;
use silhouette::{
    BLUR_RADIUS, Backend, Effect, Error, Foreground, Frame, InputShape, Model, OVERLAY_OPACITY, Options, OutputSize,
    Precision, Problem, Region, Result, Rotation, Segmentation, Segmenter, Smoothing, VideoSegmenter,
};
use silhouette_testkit::waves;
use std::fmt::Debug;
use std::str::FromStr;
use std::time::Duration;

#[test]
fn every_case_of_the_table_holds() {
    let mut cases = 0;
    for line in include_str!("api.tsv").lines().skip(1).filter(|line| !line.contains("rust:")) {
        let mut cells = line.split('\t');
        let case = cells.next().unwrap();
        let expected = cells.next().unwrap();
        let found = run(case, expected).unwrap_or_else(|error| kind(&error).to_owned());
        assert_eq!(found, expected, "{case}");
        cases += 1;
    }
    assert!(cases > 70, "only {cases} cases were read");
}

/// What the case results in, in the table's words; `expected` is only read for the default options.
fn run(case: &str, expected: &str) -> Result<String> {
    let mut words = case.split(' ');
    let first = words.next().unwrap();
    let words: Vec<&str> = words.collect();
    match first {
        "frame" => frame(&words),
        "options" => segmented(&words),
        "default" => default(words[0], expected),
        "message" => Ok(error(words[0]).to_string()),
        "class_index" => Ok(model().class_index(words[0])?.to_string()),
        "output_stride" => model().with_output_stride(number(words[0])).map(|_| "ok".into()),
        "bad_model" => Model::from_bytes(vec![1; 1000]).map(|_| "ok".into()),
        "smoothing" => smoothing(words[0]),
        _ => request(first, &words),
    }
}

/// A frame whose red values count its pixels, with the operations of `words`, and the image that is made from it.
fn frame(words: &[&str]) -> Result<String> {
    let (width, height) = pair(words[0]);
    let pixels: Vec<u8> = (0..width * height).flat_map(|i| [i as u8, 0, 0, 255]).collect();
    let mut frame = Frame::rgba(&pixels, width, height)?;
    for word in &words[1..] {
        frame = match word.split_once(':').unwrap() {
            ("rotated", degrees) => frame.rotated(Rotation::from_degrees(number(degrees))?),
            ("mirrored", flag) => frame.mirrored(flag == "1"),
            ("cropped", numbers) => {
                let numbers: Vec<usize> = numbers.split(',').map(number).collect();
                frame.cropped(Region { x: numbers[0], y: numbers[1], width: numbers[2], height: numbers[3] })?
            }
            other => panic!("{other:?}"),
        };
    }
    let picture = segmenter(&Options::new()).segment(&frame)?.picture(&frame)?;
    let reds: Vec<String> = picture.rgba.iter().step_by(4).map(ToString::to_string).collect();
    let upright = frame.upright_size();
    let Region { x, y, width, height } = frame.region();
    Ok(format!(
        "rotation:{} mirrored:{} upright:{}x{} region:{x},{y},{width},{height} pixels:{}",
        frame.rotation().degrees(),
        u8::from(frame.is_mirrored()),
        upright.width,
        upright.height,
        reds.join(",")
    ))
}

fn options(words: &[&str]) -> Options {
    words.iter().fold(Options::new().threads(1), |options, word| match word.split_once(':').unwrap() {
        ("threads", count) => options.threads(number(count)),
        ("size", side) => options.size(number(side)),
        ("concurrency", calls) => options.concurrency(number(calls)),
        ("backend", "auto") => options.backend(Backend::Auto),
        ("backend", "cpu") => options.backend(Backend::Cpu),
        ("precision", "auto") => options.precision(Precision::Auto),
        ("precision", "f32") => options.precision(Precision::F32),
        ("precision", "f16") => options.precision(Precision::F16),
        ("precision", "int8") => options.precision(Precision::Int8),
        ("input_shape", "square") => options.input_shape(InputShape::Square),
        ("input_shape", "frame") => options.input_shape(InputShape::Frame),
        ("output", size) => options.output(output(size)),
        ("refine", flag) => options.refine(flag == "1"),
        other => panic!("{other:?}"),
    })
}

fn output(word: &str) -> OutputSize {
    match word {
        "frame" => OutputSize::Frame,
        "model" => OutputSize::Model,
        size => {
            let (width, height) = pair(size);
            OutputSize::Given { width, height }
        }
    }
}

/// Its precision, if the case sets one.
fn computed(words: &[&str], segmenter: &Segmenter) -> String {
    let all = ["f32", "f16"];
    let found = all.into_iter().find(|element| segmenter.description().contains(&format!(", {element},")));
    let asked = words.iter().any(|word| word.starts_with("precision:"));
    if asked { format!(" in:{}", found.unwrap_or("none")) } else { String::new() }
}

fn segmented(words: &[&str]) -> Result<String> {
    let segmenter = Segmenter::new(&model(), &options(words))?;
    let segmentation = segmenter.segment(&Frame::rgb(&waves(60, 40, 0), 60, 40)?)?;
    Ok(format!("size:{} mask:{}x{}", segmenter.size(), segmentation.width(), segmentation.height())
        + &computed(words, &segmenter))
}

fn default(what: &str, expected: &str) -> Result<String> {
    Ok(match what {
        // Rust's options cannot be read: those that are listed must do what unset ones do.
        "options" => {
            let words: Vec<&str> = expected.split(' ').filter(|word| !word.ends_with(":none")).collect();
            assert_eq!(expected.split(' ').count(), 9, "a default is missing");
            assert_eq!(all_of(&options(&words))?, all_of(&Options::new().threads(1))?);
            expected.to_owned()
        }
        "smoothing" => {
            let Smoothing { half_life, longest_pause, .. } = Smoothing::default();
            format!("half_life:{} longest_pause:{}", half_life.as_millis(), longest_pause.as_millis())
        }
        "overlay" => format!("opacity:{OVERLAY_OPACITY}"),
        "blur" => format!("radius:{BLUR_RADIUS}"),
        other => panic!("{other}"),
    })
}

/// Everything that options may change: size, mask, an image.
fn all_of(options: &Options) -> Result<(String, Vec<u8>, Vec<u8>)> {
    let segmenter = Segmenter::new(&model(), options)?;
    let pixels = waves(60, 40, 0);
    let frame = Frame::rgb(&pixels, 60, 40)?;
    let segmentation = segmenter.segment(&frame)?;
    let some = Foreground::Classes(vec![1, 2, 3, 4, 5, 6, 7]);
    let cutout = segmentation.cutout(&frame, &some)?;
    Ok((segmenter.description().to_owned(), segmentation.mask().classes.clone(), cutout.rgba))
}

fn smoothing(word: &str) -> Result<String> {
    let (name, milliseconds) = word.split_once(':').unwrap();
    let time = Duration::from_millis(number(milliseconds));
    let mut smoothing = Smoothing::default();
    match name {
        "half_life" => smoothing.half_life = time,
        "longest_pause" => smoothing.longest_pause = time,
        other => panic!("{other}"),
    }
    let pixels = waves(60, 40, 0);
    let mut video = VideoSegmenter::new(&segmenter(&Options::new()), smoothing);
    video.segment(&Frame::rgb(&pixels, 60, 40)?, Duration::ZERO)?;
    Ok("ok".into())
}

/// A request to a segmenter, or to the segmentation of a frame of 60x40.
fn request(what: &str, words: &[&str]) -> Result<String> {
    let pixels = waves(60, 40, 0);
    let frame = Frame::rgb(&pixels, 60, 40)?;
    let segmenter = segmenter(&Options::new());
    let mut segmentation = segmenter.segment(&frame)?;
    let argument = words.first().map(|word| word.split_once(':').unwrap_or(("", *word)));
    match (what, argument) {
        ("resize", Some((_, size))) => {
            segmentation.resize(output(size))?;
            return Ok(format!("mask:{}x{}", segmentation.width(), segmentation.height()));
        }
        ("confidence", Some((_, class))) => segmentation.confidence(&[number(class)]).map(drop)?,
        ("polygons", Some(("class", class))) => segmentation.polygons(number(class), 0.0, 0).map(drop)?,
        ("polygons", Some(("tolerance", tolerance))) => segmentation.polygons(15, number(tolerance), 0).map(drop)?,
        ("overlay", Some(("opacity", opacity))) => {
            render(&segmentation, &frame, Effect::Overlay { opacity: number(opacity) })?;
        }
        ("blur", Some(("radius", radius))) => render(&segmentation, &frame, Effect::Blur { radius: number(radius) })?,
        ("another_frame", Some((_, size))) => {
            let (width, height) = pair(size);
            segmentation.picture(&Frame::rgb(&waves(width, height, 0), width, height)?).map(drop)?;
        }
        ("segment_after_close", None) => {
            segmenter.close();
            segmenter.segment(&frame).map(drop)?;
        }
        other => panic!("{other:?}"),
    }
    Ok("ok".into())
}

fn render(segmentation: &Segmentation, frame: &Frame<'_>, effect: Effect<'_>) -> Result<()> {
    segmentation.render(frame, effect, &Foreground::All).map(drop)
}

fn segmenter(options: &Options) -> Segmenter {
    Segmenter::new(&model(), &options.clone().threads(1)).unwrap()
}

fn number<N: FromStr<Err: Debug>>(word: &str) -> N {
    word.parse().unwrap()
}

/// Width and height of `60x40`.
fn pair(word: &str) -> (usize, usize) {
    let (width, height) = word.split_once('x').unwrap();
    (number(width), number(height))
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::InvalidFrame(_) => "InvalidFrame",
        Error::InvalidModel(_) => "InvalidModel",
        Error::Unsupported(_) => "Unsupported",
        Error::Closed(_) => "Closed",
        Error::Internal(_) => "Internal",
        other => panic!("{other}"),
    }
}

fn error(kind: &str) -> Error {
    let problem = Problem { reason: "why".into(), advice: "what to do".into() };
    match kind {
        "InvalidFrame" => Error::InvalidFrame(problem),
        "InvalidModel" => Error::InvalidModel(problem),
        "Unsupported" => Error::Unsupported(problem),
        "Closed" => Error::Closed(problem),
        "Internal" => Error::Internal(problem),
        other => panic!("{other}"),
    }
}
