//! `silhouette segment`: photos to masks and images.

mod target;

use crate::args::{Margin, Segment, Switch};
use crate::effect::{Behind, Effect};
use crate::failure::Failure;
use crate::inputs::{Input, Inputs, Reading};
use crate::photos::{self, Report};
use crate::render::{Chosen, Content, Pieces, Shape, make};
use crate::{load, output};
use serde_json::{Value, json};
use silhouette::files::ImageFormat;
use silhouette::{Foreground, Frame, Model, Region, Segmentation, Segmenter, Timings};
use std::path::PathBuf;
use std::time::Duration;
use target::{Place, Target, safe};

/// The label of people.
const PERSON: &str = "person";

/// Share of a photo's pixels above which a class is in it, rather than a false alarm.
const PRESENT: f64 = 0.005;

/// Share of the people that the model of classes finds which the model of people must find too; otherwise it missed
/// them, and the model of classes is used.
const AGREES: f64 = 0.25;

/// One output image per photo, with everything that does not depend on the photo already looked up.
struct Image {
    effect: Effect,
    content: Content,
    format: ImageFormat,
    subject: Subject,
}

/// What an image shows it of.
enum Subject {
    /// Classes of the main model.
    Classes(Foreground),
    /// People, by the model of people.
    People,
    /// People if there are any, otherwise every class but the background.
    Found,
}

/// A model, ready to run.
struct Ready {
    model: Model,
    segmenter: Segmenter,
}

/// The segmentations of one photo, reused for the next.
#[derive(Default)]
struct Work {
    main: Segmentation,
    people: Segmentation,
    /// Whether `people` is this photo's.
    people_ran: bool,
}

/// Runs the command.
///
/// # Errors
/// A failure that stops all photos; otherwise an empty list if any photo failed.
pub(crate) fn segment(args: &Segment) -> Result<(), Vec<Failure>> {
    let alone = |failure| vec![failure];
    let place = Place::of(&args.output);
    let effects = effects(args);
    let inputs = Inputs::of(&args.photos, place.folder()).map_err(alone)?;
    let target = Target::new(args, place, &effects, &inputs).map_err(alone)?;
    if target.place == Place::Pipe {
        output::say_aside();
    }
    refuse_inputs(args, &effects, &inputs, &target).map_err(alone)?;
    let prepared = prepare(args, effects, target).map_err(alone)?;
    let mut work = Work::default();
    photos::each(&inputs, args.json, |number, _| prepared.one(&inputs.list[number], &mut work).map_err(alone))
}

/// The effects of the command line, each once, or the default one.
fn effects(args: &Segment) -> Vec<Effect> {
    let mut effects: Vec<Effect> = Vec::new();
    for effect in &args.effects {
        if !effects.contains(effect) {
            effects.push(effect.clone());
        }
    }
    if effects.is_empty() { vec![Effect::Overlay] } else { effects }
}

/// Checks, before anything is read, that no output image is one of the photos, the background or the model.
fn refuse_inputs(args: &Segment, effects: &[Effect], inputs: &Inputs, target: &Target) -> Result<(), Failure> {
    let outputs: Vec<PathBuf> =
        inputs.list.iter().flat_map(|input| effects.iter().filter_map(|effect| target.path(input, effect))).collect();
    let backgrounds = effects.iter().filter_map(|effect| match effect {
        Effect::Replace(Behind::Image(path)) => Some(path),
        _ => None,
    });
    let photos = inputs.list.iter().map(|input| &input.path);
    output::refuse_inputs(&outputs, photos.chain(backgrounds).chain(&args.engine.model))
}

/// The models and images of a call.
struct Prepared {
    /// The model that was passed, or the built-in one of 21 classes; the one of people if all images are of people.
    main: Ready,
    /// The built-in model of people as a second model, if an image may need it.
    people: Option<Ready>,
    images: Vec<Image>,
    reading: Reading,
    target: Target,
    largest: bool,
    /// What to crop to, and how much more.
    crop: Option<(Subject, Margin)>,
}

fn prepare(args: &Segment, effects: Vec<Effect>, target: Target) -> Result<Prepared, Failure> {
    let is_person = |label: &str| label.trim().eq_ignore_ascii_case(PERSON);
    let built_in = args.engine.model.is_none();
    let only_people = built_in && matches!(&args.classes[..], [label] if is_person(label));
    let by_people = |effect: &Effect| {
        only_people
            || built_in && args.classes.is_empty() && matches!(effect, Effect::Confidence(label) if is_person(label))
    };
    let all_people = effects.iter().all(by_people);
    let model =
        if all_people { Model::people().map_err(Failure::general)? } else { load::named_or_builtin(&args.engine)? };
    let class = |label: &str| model.class_index(label).map_err(Failure::general);
    let classes = args.classes.iter().map(|label| class(label)).collect::<Result<Vec<_>, _>>()?;
    options_have_an_effect(args, &effects, &classes, class)?;
    let reading = Reading::new(args.lenient, args.max_pixels);
    let mut images: Vec<Image> = Vec::new();
    let found = || {
        if only_people {
            Subject::People
        } else if classes.is_empty() {
            Subject::Found
        } else {
            Subject::Classes(Foreground::Classes(classes.clone()))
        }
    };
    for effect in effects {
        let suffix = safe(&effect.suffix());
        if images.iter().any(|other| safe(&other.effect.suffix()) == suffix) {
            return Err(Failure::general(format!(
                "two effects would both write PHOTO.{suffix}; use two calls with two folders"
            )));
        }
        let subject = match &effect {
            effect if by_people(effect) => Subject::People,
            Effect::Confidence(label) => Subject::Classes(Foreground::Classes(vec![class(label)?])),
            Effect::Cutout | Effect::Blur | Effect::Replace(_) => found(),
            _ if !classes.is_empty() => Subject::Classes(Foreground::Classes(classes.clone())),
            _ => Subject::Classes(Foreground::All),
        };
        let content = Content::of(&effect, &reading)?;
        images.push(Image { content, format: target.format(&effect), subject, effect });
    }
    let crop = args.crop.map(|_| (found(), args.margin.unwrap_or(MARGIN)));
    let options = load::options(&args.engine).refine(args.refine != Some(Switch::Off));
    let ready = |model: Model| {
        let segmenter = Segmenter::new(&model, &options).map_err(|error| load::about(&args.engine, &error))?;
        Ok::<_, Failure>(Ready { model, segmenter })
    };
    let may_be_people = |subject: &Subject| match subject {
        Subject::People => true,
        Subject::Found => built_in,
        Subject::Classes(_) => false,
    };
    let mut subjects = images.iter().map(|image| &image.subject).chain(crop.as_ref().map(|(subject, _)| subject));
    let people = if !all_people && subjects.any(may_be_people) {
        Some(ready(Model::people().map_err(Failure::general)?)?)
    } else {
        None
    };
    Ok(Prepared { main: ready(model)?, people, images, reading, target, largest: args.largest, crop })
}

/// No option is ignored silently: `--classes` and `--refine` affect every image that they apply to, or are rejected.
fn options_have_an_effect(
    args: &Segment,
    effects: &[Effect],
    classes: &[usize],
    class: impl Fn(&str) -> Result<usize, Failure>,
) -> Result<(), Failure> {
    if !classes.is_empty() {
        let of_classes = |effect: &Effect| matches!(effect, Effect::Mask | Effect::GeoJson | Effect::Coco);
        if effects.iter().any(of_classes) && classes.iter().all(|&class| class == 0) {
            return Err(Failure::general(
                "--classes: a mask of the background alone holds nothing but 0; name the other classes, or write \
                 --effect binary, or confidence=CLASS, of the background",
            ));
        }
        for effect in effects {
            if let Effect::Confidence(label) = effect
                && !classes.contains(&class(label)?)
            {
                return Err(Failure::general(format!(
                    "--effect confidence={label} shows a class that --classes leaves out; name it there too, or leave \
                     --classes out"
                )));
            }
        }
    }
    if args.refine == Some(Switch::On) && !effects.iter().any(Effect::is_soft) {
        return Err(Failure::general(
            "--refine changes the borders of cutout, blur and replace, and none of them is written: give --effect one of them, or \
             leave --refine out",
        ));
    }
    Ok(())
}

impl Prepared {
    fn one(&self, input: &Input, work: &mut Work) -> Result<Report, Failure> {
        let path = &input.path;
        let photo = self.reading.open(path)?;
        let frame = photo.frame().map_err(|error| Failure::new(path, error))?;
        self.run(&frame, work).map_err(|error| Failure::new(path, error))?;
        let crop = self.region(work).map_err(|text| Failure::new(path, text))?;
        let shape = Shape { largest: self.largest, crop };
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let mut written = Vec::new();
        for image in &self.images {
            let to = self.target.path(input, &image.effect);
            let chosen = self.choose(&image.subject, work);
            let (made, pieces) =
                make(&image.content, &frame, &chosen, shape, &name).map_err(|error| Failure::new(path, error))?;
            if let Some(folder) = to.as_deref().and_then(std::path::Path::parent) {
                std::fs::create_dir_all(folder).map_err(|error| {
                    Failure::new(path, format!("the folder {} cannot be created: {error}", folder.display()))
                })?;
            }
            made.write(to.as_deref(), image.format).map_err(|error| Failure::new(path, error))?;
            let file = to.map_or_else(|| "-".to_owned(), |path| path.display().to_string());
            written.push(Written { shown: shown(&chosen, &image.subject), model: chosen.model, file, pieces });
        }
        Ok(self.report(work, &written, crop).of(&photo))
    }

    /// The part of the photo that every image shows, if it is to be cropped.
    fn region(&self, work: &Work) -> Result<Option<Region>, String> {
        let Some((subject, margin)) = &self.crop else { return Ok(None) };
        let Chosen { segmentation, foreground, model } = self.choose(subject, work);
        let mask = segmentation.binary(&foreground).map_err(|error| error.to_string())?;
        let mask = if self.largest { mask.largest_piece().map_err(|error| error.to_string())? } else { mask };
        let Some(found) = mask.bounds() else {
            let labels: Vec<&str> = match &foreground {
                Foreground::Classes(classes) => classes.iter().map(|&class| model.labels()[class].as_str()).collect(),
                Foreground::All if model.labels().len() == 2 => vec![model.labels()[1].as_str()],
                Foreground::All => vec!["nothing but background"],
            };
            let labels = labels.join(", ");
            return Err(if labels.starts_with("nothing") {
                format!("there is nothing to crop to: it shows {labels}; leave --crop out")
            } else {
                format!("there is nothing to crop to: no {labels} was found; leave --crop out")
            });
        };
        Ok(Some(widened(found, *margin, (mask.width, mask.height))))
    }

    /// Runs the models that the images of this photo need.
    fn run(&self, frame: &Frame<'_>, work: &mut Work) -> silhouette::Result<()> {
        self.main.segmenter.segment_into(frame, &mut work.main)?;
        let needs_people = |subject: &Subject| match subject {
            Subject::People => true,
            Subject::Found => person(&self.main.model, &work.main).is_some(),
            Subject::Classes(_) => false,
        };
        work.people_ran = false;
        let crop = self.crop.as_ref().map(|(subject, _)| subject);
        let mut subjects = self.images.iter().map(|image| &image.subject).chain(crop);
        if let Some(people) = &self.people
            && subjects.any(needs_people)
        {
            people.segmenter.segment_into(frame, &mut work.people)?;
            work.people_ran = true;
        }
        Ok(())
    }

    /// What to make an image from.
    fn choose<'a>(&'a self, subject: &Subject, work: &'a Work) -> Chosen<'a> {
        let of_main = |foreground| Chosen { model: &self.main.model, segmentation: &work.main, foreground };
        let people = self.people.as_ref().filter(|_| work.people_ran);
        let of_people = people.map(|people| {
            let foreground = Foreground::All;
            Chosen { model: &people.model, segmentation: &work.people, foreground }
        });
        match subject {
            Subject::Classes(foreground) => of_main(foreground.clone()),
            Subject::People => of_people.unwrap_or_else(|| of_main(Foreground::All)),
            Subject::Found => match person(&self.main.model, &work.main) {
                None => of_main(Foreground::All),
                Some((class, share)) => of_people
                    .filter(|people| foreground_share(people.segmentation) >= AGREES * share)
                    .unwrap_or_else(|| of_main(Foreground::Classes(vec![class]))),
            },
        }
    }

    fn report(&self, work: &Work, written: &[Written<'_>], crop: Option<Region>) -> Report {
        let segmentation = &work.main;
        let labels = self.main.model.labels();
        let shares = segmentation.shares();
        let seen: Vec<String> =
            shares.iter().map(|seen| format!("{} {:.1} %", labels[seen.class_index], seen.share * 100.0)).collect();
        let names: Vec<&str> = written.iter().map(|image| image.file.as_str()).collect();
        let described: Vec<String> = written.iter().map(Written::described).collect();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let timings = [Some(work.main.timings()), work.people_ran.then(|| work.people.timings())];
        let sum = |stage: fn(&Timings) -> Duration| timings.iter().flatten().map(stage).sum::<Duration>();
        let classes: Vec<Value> = shares
            .iter()
            .map(|seen| json!({ "class": seen.class_index, "label": labels[seen.class_index], "share": seen.share }))
            .collect();
        let images: Vec<Value> = written
            .iter()
            .map(|image| {
                let mut about = json!({ "file": image.file, "model": image.model.name(), "shows": image.shown });
                if let (Value::Object(about), Some(pieces)) = (&mut about, &image.pieces) {
                    about.insert("pieces".to_owned(), json!(pieces));
                }
                about
            })
            .collect();
        let mut report = Report {
            text: format!(
                "{} -> {} ({:.0} ms)",
                seen.join(", "),
                described.join(", "),
                milliseconds(sum(Timings::total))
            ),
            json: json!({
                "width": segmentation.width(),
                "height": segmentation.height(),
                "classes": classes,
                "files": names,
                "images": images,
                "timings_ms": {
                    "input": milliseconds(sum(|timings| timings.input)),
                    "network": milliseconds(sum(|timings| timings.network)),
                    "mask": milliseconds(sum(|timings| timings.mask)),
                },
            }),
        };
        if let (Some(Region { x, y, width, height }), Value::Object(fields)) = (crop, &mut report.json) {
            report.text = format!("{}; cropped to {width}x{height} at ({x}, {y})", report.text);
            fields.insert("crop".to_owned(), json!({ "x": x, "y": y, "width": width, "height": height }));
        }
        report
    }
}

/// The foreground in words, where it was found rather than passed.
fn shown(chosen: &Chosen<'_>, subject: &Subject) -> Option<String> {
    if !matches!(subject, Subject::Found) {
        return None;
    }
    let labels = chosen.model.labels();
    let is_chosen = |class: usize| match &chosen.foreground {
        Foreground::All => class != 0,
        Foreground::Classes(classes) => classes.contains(&class),
    };
    let shares = chosen.segmentation.shares();
    let names: Vec<_> = shares
        .iter()
        .filter(|seen| is_chosen(seen.class_index) && seen.share >= PRESENT)
        .map(|seen| labels[seen.class_index].as_str())
        .collect();
    Some(if names.is_empty() { "nothing found".to_owned() } else { names.join(", ") })
}

/// A written image.
struct Written<'a> {
    file: String,
    model: &'a Model,
    shown: Option<String>,
    pieces: Pieces,
}

impl Written<'_> {
    /// Its name, and what it shows.
    fn described(&self) -> String {
        let pieces = self.pieces.as_ref().map(|pieces| {
            let total: u64 = pieces.values().filter_map(Value::as_u64).sum();
            let counts: Vec<String> = pieces.iter().map(|(label, count)| format!("{label} {count}")).collect();
            match total {
                0 => "no pieces".to_owned(),
                1 => format!("1 piece: {}", counts.join(", ")),
                _ => format!("{total} pieces: {}", counts.join(", ")),
            }
        });
        match self.shown.as_ref().or(pieces.as_ref()) {
            Some(about) => format!("{} ({about})", self.file),
            None => self.file.clone(),
        }
    }
}

/// Space around a cropped subject, unless it is passed.
const MARGIN: Margin = Margin::Percent(5.0);

/// A box with space around it, inside an image.
fn widened(found: Region, margin: Margin, (width, height): (usize, usize)) -> Region {
    let space = match margin {
        Margin::Pixels(pixels) => pixels,
        Margin::Percent(percent) => (found.width.max(found.height) as f64 * percent / 100.0).ceil() as usize,
    };
    let widened = |start: usize, length: usize, all: usize| {
        let first = start.saturating_sub(space);
        (first, (start + length).saturating_add(space).min(all) - first)
    };
    let (x, width) = widened(found.x, found.width, width);
    let (y, height) = widened(found.y, found.height, height);
    Region { x, y, width, height }
}

/// The class of people and its share, if the model has one and the photo shows some.
fn person(model: &Model, segmentation: &Segmentation) -> Option<(usize, f64)> {
    let class = model.labels().iter().position(|label| label.eq_ignore_ascii_case(PERSON))?;
    let found = segmentation.shares().into_iter().find(|seen| seen.class_index == class)?;
    (found.share >= PRESENT).then_some((class, found.share))
}

/// The share of every class but the background.
fn foreground_share(segmentation: &Segmentation) -> f64 {
    segmentation.shares().iter().filter(|seen| seen.class_index != 0).map(|seen| seen.share).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_around_a_box_ends_at_the_image() {
        let found = Region { x: 10, y: 20, width: 40, height: 30 };
        let all = (60, 100);
        assert_eq!(widened(found, Margin::Pixels(0), all), found);
        assert_eq!(widened(found, Margin::Percent(10.0), all), Region { x: 6, y: 16, width: 48, height: 38 });
        let whole = Region { x: 0, y: 0, width: 60, height: 100 };
        assert_eq!(widened(found, Margin::Pixels(usize::MAX), all), whole);
    }
}
