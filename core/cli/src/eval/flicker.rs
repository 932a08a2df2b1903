//! `silhouette eval --flicker`: how much the alpha of people changes from frame to frame where nothing moves.

use super::dataset::{self, Item};
use super::jitter::{Jitter, reduced};
use super::people;
use super::state::Finished;
use super::work::{self, Task};
use crate::args;
use crate::failure::Failure;
use crate::load;
use crate::output;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use silhouette::eval::{Alphas, Evaluator, Flicker, Grey, Protocol, Shift, Still, camera_shift};
use silhouette::files::Photo;
use silhouette::{Foreground, Frame, Picture, Segmentation, Smoothing, VideoSegmenter};
use std::path::Path;
use std::time::Duration;

/// The time from one frame to the next.
const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 30);

/// A sequence's result.
#[derive(Debug, Serialize, Deserialize)]
struct Scored {
    name: String,
    /// Mean change from frame to frame, in percent.
    raw: Change,
    smoothed: Change,
    /// Share of the frames' pixels that was compared, in percent.
    compared: f64,
}

/// The values for the alpha as the network outputs it, and for the refined alpha.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Change {
    plain: f64,
    refined: f64,
}

impl Finished for Scored {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Measures the flicker.
///
/// # Errors
/// The error that stopped it, or that nothing could be measured.
pub(super) fn measure(args: &args::Eval, protocol: &Protocol) -> Result<(), Failure> {
    // The frames of a sequence come one after the other.
    let workers = if args.sequence.is_some() { 1 } else { work::workers(&args.engine) };
    work::refuse_inputs(args, &args.engine.model)?;
    let model = load::named_or_people(&args.engine)?;
    let people = people::people(&model)?;
    let evaluator = Evaluator::new(&model, protocol, workers).map_err(|error| load::about(&args.engine, &error))?;
    let mut protocol = work::protocol(args, &model, &evaluator, workers);
    protocol["flicker"] = if args.sequence.is_some() { "recorded" } else { "made" }.into();
    match (&args.images, &args.sequence) {
        (_, Some(folder)) => {
            let frames = dataset::unlabelled(folder)?;
            work::refuse_inputs(args, frames.iter().map(|item| &item.image))?;
            let scored = recorded(&evaluator, &people, folder, &frames)?;
            protocol["frames"] = frames.len().into();
            let report = report(&[scored], 0, &protocol);
            args.json.as_ref().map_or(Ok(()), |path| output::write(path, format!("{report:#}\n").as_bytes()))
        }
        (Some(folder), None) => {
            let items = dataset::unlabelled(folder)?;
            protocol["frames"] = args.frames.into();
            let task = Task { args, model: &model, items: &items, labels: &[], protocol: &protocol, workers };
            work::run(
                &task,
                |item, _| made(&evaluator, &people, item, args.frames),
                |results, skipped| Ok(report(results, skipped, &protocol)),
            )
        }
        (None, None) => Err(Failure::general("pass --images DIR, or --sequence DIR with the frames of a video")),
    }
}

/// Prints the mean of all sequences and returns it as JSON.
fn report(results: &[Scored], skipped: usize, protocol: &Value) -> Value {
    let mean = |of: fn(&Scored) -> f64| results.iter().map(of).sum::<f64>() / results.len().max(1) as f64;
    let change = |of: fn(&Scored) -> Change| {
        let all = results.iter().map(of);
        let sum = all.fold(Change { plain: 0.0, refined: 0.0 }, |sum, one| Change {
            plain: sum.plain + one.plain,
            refined: sum.refined + one.refined,
        });
        let count = results.len().max(1) as f64;
        Change { plain: sum.plain / count, refined: sum.refined / count }
    };
    let raw = change(|scored| scored.raw);
    let smoothed = change(|scored| scored.smoothed);
    let compared = mean(|scored| scored.compared);
    output::say("change of the alpha from frame to frame, in percent");
    output::say(&format!("{:<10} {:>8} {:>8}", "", "plain", "refined"));
    for (name, change) in [("raw", raw), ("smoothed", smoothed)] {
        output::say(&format!("{name:<10} {:>8.3} {:>8.3}", change.plain, change.refined));
    }
    output::say(&format!("{} sequences, {skipped} skipped; {compared:.1} % of the pixels compared", results.len()));
    json!({
        "flicker": { "raw": raw, "smoothed": smoothed },
        "compared": compared,
        "sequences": results,
        "images": results.len(),
        "skipped": skipped,
        "protocol": protocol,
    })
}

/// The flicker in a sequence made from an image.
fn made(evaluator: &Evaluator, people: &Foreground, item: &Item, frames: usize) -> Result<Scored, Failure> {
    let photo = Photo::open(&item.image).map_err(|error| Failure::new(&item.image, error))?;
    let frame = photo.frame().map_err(|error| Failure::new(&item.image, error))?;
    let mut jitter = Jitter::new(&frame, &item.name).map_err(|text| Failure::new(&item.image, text))?;
    drop(photo);
    let mut meter = Meter::new(evaluator, people).map_err(Failure::general)?;
    let mut last = Shift::default();
    for _ in 0..frames {
        let (picture, place) = jitter.next();
        let shift = Shift { x: place.x - last.x, y: place.y - last.y };
        meter.add(&picture, shift, None).map_err(|error| Failure::new(&item.image, error))?;
        last = place;
    }
    meter.finish(&item.name).ok_or_else(|| Failure::new(&item.image, "no two frames to compare"))
}

/// The flicker in a recorded sequence, away from what moved.
fn recorded(evaluator: &Evaluator, people: &Foreground, folder: &Path, frames: &[Item]) -> Result<Scored, Failure> {
    let mut meter = Meter::new(evaluator, people).map_err(Failure::general)?;
    let mut last: Option<Grey> = None;
    for item in frames {
        let wrong = |error: silhouette::Error| Failure::new(&item.image, error);
        let photo = Photo::open(&item.image).map_err(|error| Failure::new(&item.image, error))?;
        let frame = photo.frame().map_err(|error| Failure::new(&item.image, error))?;
        let size = reduced(frame.upright_size());
        let picture = Picture::from_frame_at(&frame, size.width, size.height);
        let picture = picture.map_err(|error| Failure::new(&item.image, error))?;
        let grey = Grey::new(&picture).map_err(wrong)?;
        let mut shift = Shift::default();
        let mut still = None;
        if let Some(last) = &last {
            shift = camera_shift(last, &grey).map_err(wrong)?;
            still = Some(Still::between(last, &grey, shift).map_err(wrong)?);
        }
        meter.add(&picture, shift, still.as_ref()).map_err(wrong)?;
        last = Some(grey);
    }
    let text = "no two frames have a part in which nothing moves; pass at least two frames of one scene";
    meter.finish(&folder.display().to_string()).ok_or_else(|| Failure::new(folder, text))
}

/// The alphas of a sequence, raw and with temporal smoothing, each plain and refined.
struct Meter<'a> {
    evaluator: &'a Evaluator,
    people: &'a Foreground,
    video: VideoSegmenter,
    work: [Segmentation; 2],
    time: Duration,
    /// Of the frame before.
    before: Option<[Alphas; 2]>,
    raw: [Flicker; 2],
    smoothed: [Flicker; 2],
    /// Pixels of all frames but the first.
    pixels: u64,
}

impl<'a> Meter<'a> {
    fn new(evaluator: &'a Evaluator, people: &'a Foreground) -> silhouette::Result<Self> {
        Ok(Self {
            evaluator,
            people,
            video: evaluator.video(Smoothing::default())?,
            work: Default::default(),
            time: Duration::ZERO,
            before: None,
            raw: Default::default(),
            smoothed: Default::default(),
            pixels: 0,
        })
    }

    /// Adds the next frame; `shift` is the camera's since the last.
    fn add(&mut self, picture: &Picture, shift: Shift, still: Option<&Still>) -> silhouette::Result<()> {
        let frame = Frame::rgba(&picture.rgba, picture.width, picture.height)?;
        let [raw, smoothed] = &mut self.work;
        self.evaluator.segment(&frame, raw)?;
        self.video.segment_into(&frame, self.time, smoothed)?;
        self.time += FRAME;
        let raw = self.evaluator.alphas(&frame, self.people, raw)?;
        let now = [raw, self.evaluator.alphas(&frame, self.people, smoothed)?];
        if let Some(before) = &self.before {
            for ((before, now), flicker) in before.iter().zip(&now).zip([&mut self.raw, &mut self.smoothed]) {
                flicker[0].add(&before.plain, &now.plain, shift, still)?;
                flicker[1].add(&before.refined, &now.refined, shift, still)?;
            }
            self.pixels += (picture.width * picture.height) as u64;
        }
        self.before = Some(now);
        Ok(())
    }

    /// `None` if nothing was compared.
    fn finish(&self, name: &str) -> Option<Scored> {
        let percent = |[plain, refined]: [Flicker; 2]| {
            Some(Change { plain: 100.0 * plain.mean()?, refined: 100.0 * refined.mean()? })
        };
        let compared = 100.0 * self.raw[0].pixels() as f64 / self.pixels.max(1) as f64;
        Some(Scored { name: name.to_owned(), raw: percent(self.raw)?, smoothed: percent(self.smoothed)?, compared })
    }
}
