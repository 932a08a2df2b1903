//! `silhouette video`: a video's frames with an effect, one at a time: Y4M or a folder of images in and out.

mod sink;
mod source;

use crate::args::{Switch, Video};
use crate::effect::Effect;
use crate::failure::Failure;
use crate::inputs::{Reading, is_pipe};
use crate::render::{Chosen, Content, Made, Shape, make};
use crate::{load, output};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use silhouette::{Foreground, Model, Picture, Segmentation, Segmenter, Smoothing, VideoSegmenter};
use sink::{Sink, To};
use source::{Next, Source};
use std::io::{IsTerminal as _, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// The label of people.
const PERSON: &str = "person";

/// Frames per second if nothing says how many.
const RATE: (u32, u32) = (30, 1);

/// Runs the command.
///
/// # Errors
/// What stopped it, and how many frames were written before.
pub(crate) fn video(args: &Video) -> Result<(), Vec<Failure>> {
    run(args).map_err(|failure| vec![failure])
}

fn run(args: &Video) -> Result<(), Failure> {
    let to = To::of(&args.output);
    check(args, &to)?;
    let mut source = Source::open(&args.source, args.rate)?;
    if let To::File(path) = &to {
        output::refuse_inputs([path], [&args.source].into_iter().chain(&args.engine.model))?;
    }
    if let To::Folder(folder) = &to {
        refuse_folder(folder, &args.source)?;
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::new(folder, format!("the folder cannot be created: {error}")))?;
    }
    let mut work = Work::prepare(args)?;
    let started = Instant::now();
    let done = match &to {
        To::Pipe => {
            output::say_aside();
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            work.frames(&mut source, Sink::stream(&mut out, Path::new("standard output")))?
        }
        To::File(path) => {
            let cannot = |error| Failure::new(path, format!("cannot be written: {error}"));
            let mut done = None;
            silhouette_files::write_whole(path, cannot, |out: &mut dyn Write| {
                done = Some(work.frames(&mut source, Sink::stream(out, path))?);
                Ok(())
            })?;
            done.unwrap_or_default()
        }
        To::Folder(folder) => work.frames(&mut source, Sink::folder(folder))?,
    };
    let Done { frames, size, rate, problem } = done;
    let name = if to == To::Pipe { "-".to_owned() } else { args.output.display().to_string() };
    let seconds = started.elapsed().as_secs_f64();
    let (width, height) = size;
    let each = 1e3 * seconds / frames.max(1) as f64;
    if args.json {
        let line = json!({
            "video": args.source.display().to_string(),
            "file": name,
            "frames": frames,
            "width": width,
            "height": height,
            "rate": format!("{}:{}", rate.0, rate.1),
            "ms_per_frame": each,
        });
        output::say(&line.to_string());
    } else {
        let per_second = f64::from(rate.0) / f64::from(rate.1);
        output::say(&output::one_line(&format!(
            "{}: {} of {width}x{height}, {per_second:.3} a second -> {name} ({each:.0} ms a frame)",
            args.source.display(),
            output::counted(frames, "frame")
        )));
    }
    problem.map_or(Ok(()), Err)
}

/// Options that cannot hold are refused before anything is read.
fn check(args: &Video, to: &To) -> Result<(), Failure> {
    let wrong = |text: &str| Err(Failure::general(text));
    match &args.effect {
        Effect::GeoJson | Effect::Coco => {
            return wrong(
                "--effect geojson and coco are for photos: silhouette segment FOLDER takes a folder of frames",
            );
        }
        Effect::Cutout if !matches!(to, To::Folder(_)) => {
            return wrong(
                "--effect cutout is transparent, and Y4M has no transparency: use --effect replace=#00ff00, or -o FOLDER for PNGs",
            );
        }
        effect if args.refine == Some(Switch::On) && !effect.is_soft() => {
            return wrong(
                "--refine changes the borders of cutout, blur and replace: give --effect one of them, or leave --refine out",
            );
        }
        _ => {}
    }
    if args.rate.is_some() && !args.source.is_dir() {
        return wrong("--rate is for a folder of frames: a Y4M video says its own");
    }
    if *to == To::Pipe && std::io::stdout().is_terminal() {
        return wrong("standard output is a terminal: pipe it into a program, or pass -o NAME.y4m or -o FOLDER");
    }
    if is_pipe(&args.source) && std::io::stdin().is_terminal() {
        return wrong(
            "-: standard input is a terminal; pipe a Y4M video into it, such as ffmpeg -i a.mp4 -f yuv4mpegpipe -",
        );
    }
    Ok(())
}

/// Frames must not overwrite those that are read.
fn refuse_folder(folder: &Path, video: &Path) -> Result<(), Failure> {
    match (folder.canonicalize(), video.canonicalize()) {
        (Ok(to), Ok(from)) if to == from => {
            Err(Failure::new(folder, "the frames would be written over those that are read; choose another folder"))
        }
        _ => Ok(()),
    }
}

/// What was done.
#[derive(Default)]
struct Done {
    frames: u64,
    size: (usize, usize),
    rate: (u32, u32),
    /// Why the video ends here, if it should not.
    problem: Option<Failure>,
}

/// The model, the effect, and the state between frames.
struct Work {
    model: Model,
    segmenter: VideoSegmenter,
    content: Content,
    foreground: Foreground,
    segmentation: Segmentation,
}

impl Work {
    fn prepare(args: &Video) -> Result<Self, Failure> {
        let is_person = |label: &str| label.trim().eq_ignore_ascii_case(PERSON);
        let people = match &args.effect {
            Effect::Confidence(label) if args.classes.is_empty() => is_person(label),
            effect if args.classes.is_empty() => effect.is_soft(),
            _ => matches!(&args.classes[..], [label] if is_person(label)),
        };
        let model = if people && args.engine.model.is_none() {
            Model::people().map_err(Failure::general)?
        } else {
            load::named_or_builtin(&args.engine)?
        };
        let class = |label: &str| model.class_index(label).map_err(Failure::general);
        let chosen = args.classes.iter().map(|label| class(label)).collect::<Result<Vec<_>, _>>()?;
        let foreground = match &args.effect {
            Effect::Confidence(label) => {
                let shown = class(label)?;
                if !chosen.is_empty() && !chosen.contains(&shown) {
                    return Err(Failure::general(format!(
                        "--effect confidence={label} shows a class that --classes leaves out; name it there too, or leave \
                         --classes out"
                    )));
                }
                Foreground::Classes(vec![shown])
            }
            _ if !chosen.is_empty() => Foreground::Classes(chosen),
            // A model of many classes: people, if it knows them.
            effect if effect.is_soft() => {
                class(PERSON).map_or(Foreground::All, |person| Foreground::Classes(vec![person]))
            }
            _ => Foreground::All,
        };
        if args.effect == Effect::Mask && foreground == Foreground::Classes(vec![0]) {
            return Err(Failure::general("--classes: a mask of the background alone is black; pass --effect binary"));
        }
        let content = Content::of(&args.effect, &Reading::new(false, None))?;
        let options = load::options(&args.engine).refine(args.refine != Some(Switch::Off));
        let segmenter = Segmenter::new(&model, &options).map_err(|error| load::about(&args.engine, &error))?;
        let smoothing = Smoothing::with_half_life(Duration::from_millis(args.smoothing));
        let segmenter = VideoSegmenter::new(&segmenter, smoothing);
        Ok(Self { model, segmenter, content, foreground, segmentation: Segmentation::default() })
    }

    /// Reads, segments and writes every frame.
    ///
    /// # Errors
    /// What stopped it before there was a frame, or where nothing more can be written.
    fn frames(&mut self, source: &mut Source, mut sink: Sink<'_>) -> Result<Done, Failure> {
        let bar = ProgressBar::new_spinner();
        bar.set_style(
            ProgressStyle::with_template("{spinner} {pos} frames {per_sec}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let rate = source.rate().unwrap_or(RATE);
        let mut done = Done { rate, ..Done::default() };
        sink.begin(source.header(), rate, self.shows_colour());
        loop {
            let time = Duration::from_secs_f64(done.frames as f64 * f64::from(rate.1) / f64::from(rate.0));
            let step = match source.next() {
                Ok(Next::End) => Ok(false),
                Ok(Next::Frame) => self.frame(source, &mut sink, time, &mut done),
                Err(failure) => Err(failure),
            };
            match step {
                Ok(true) => {
                    done.frames += 1;
                    bar.inc(1);
                }
                Ok(false) => break,
                Err(failure) if done.frames == 0 || sink.is_closed() => {
                    bar.finish_and_clear();
                    return Err(written(done.frames, failure));
                }
                Err(failure) => {
                    done.problem = Some(written(done.frames, failure));
                    break;
                }
            }
        }
        bar.finish_and_clear();
        if done.frames == 0 {
            return Err(Failure::general(format!("{}: it has no frames", source.name())));
        }
        Ok(done)
    }

    /// Whether frames have colours even if the video has none.
    fn shows_colour(&self) -> bool {
        !matches!(self.content, Content::Blur | Content::Binary | Content::Confidence)
    }

    fn frame(
        &mut self,
        source: &mut Source,
        sink: &mut Sink<'_>,
        time: Duration,
        done: &mut Done,
    ) -> Result<bool, Failure> {
        let name = source.frame_name();
        let failed = |error: silhouette::Error| Failure::general(format!("{name}: {error}"));
        let frame = source.frame().map_err(failed)?;
        let size = frame.region().size();
        if done.frames == 0 {
            done.size = (size.width, size.height);
        } else if done.size != (size.width, size.height) && sink.is_stream() {
            let (width, height) = done.size;
            return Err(Failure::general(format!(
                "{name} is {}x{}, and the frames before it {width}x{height}: the frames of a Y4M have one size",
                size.width, size.height
            )));
        }
        self.segmenter.segment_into(&frame, time, &mut self.segmentation).map_err(failed)?;
        let foreground = self.foreground.clone();
        let chosen = Chosen { model: &self.model, segmentation: &self.segmentation, foreground };
        let shape = Shape { largest: false, crop: None };
        let (made, _) = make(&self.content, &frame, &chosen, shape, &name).map_err(failed)?;
        if sink.is_stream() {
            let picture = pictured(made).map_err(failed)?;
            if picture.rgba.as_chunks::<4>().0.iter().any(|pixel| pixel[3] < 255) {
                return Err(Failure::general(format!(
                    "{name} is transparent, and Y4M has no transparency: use --effect replace=#00ff00, or -o FOLDER for PNGs"
                )));
            }
            let before = Picture::from_frame(&frame).map_err(|error| failed(error.into()))?;
            sink.picture(&picture, source.planes().map(|planes| (planes, &before)))?;
        } else {
            sink.image(&made, &source.stem(done.frames + 1))?;
        }
        Ok(true)
    }
}

/// An image of what was made.
fn pictured(made: Made) -> silhouette::Result<Picture> {
    Ok(match made {
        Made::Picture(picture) => picture,
        Made::Mask(mask, palette) => Picture::from_mask(&mask, &palette)?,
        Made::Grey(grey) => {
            let rgba = grey.values.iter().flat_map(|&level| [level, level, level, 255]).collect();
            Picture { width: grey.width, height: grey.height, rgba }
        }
        Made::Text(_) => Picture::default(),
    })
}

/// A failure, and how far it came.
fn written(frames: u64, failure: Failure) -> Failure {
    let count = match frames {
        0 => "no frames were written".to_owned(),
        1 => "1 frame was written".to_owned(),
        frames => format!("{frames} frames were written"),
    };
    Failure { place: failure.place, text: format!("{}; {count}", failure.text) }
}
