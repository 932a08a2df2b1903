//! `silhouette segment`: photos to masks and images.

use crate::args::{Effect, Segment, Switch};
use crate::failure::Failure;
use crate::photos::{self, Report};
use crate::{load, output};
use serde_json::{Value, json};
use silhouette::files::{self, Photo, PhotoOptions};
use silhouette::{Effect as Render, Foreground, Frame, Model, OVERLAY_OPACITY, Segmentation, Segmenter, Timings};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The label of people.
const PERSON: &str = "person";

/// Share of a photo's pixels above which a class is in it, rather than a false alarm.
const PRESENT: f64 = 0.005;

/// Share of the people that the model of classes finds which the model of people must find too; otherwise it missed
/// them, and the model of classes is used.
const AGREES: f64 = 0.25;

/// One output image per photo, with everything that does not depend on the photo already looked up.
struct Image {
    suffix: String,
    content: Content,
    subject: Subject,
}

/// What an image shows.
enum Content {
    Mask,
    Overlay,
    Cutout,
    Blur,
    Replace(Photo),
    Confidence,
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
    let stems = output::stems(&args.photos);
    refuse_inputs(args, &stems).map_err(|failure| vec![failure])?;
    let prepared = prepare(args).map_err(|failure| vec![failure])?;
    let mut work = Work::default();
    photos::each(&args.photos, args.json, |number, photo| {
        prepared.one(photo, &stems[number], &args.output, &mut work).map_err(|failure| vec![failure])
    })
}

/// The effects of the command line, or the default one.
fn effects(args: &Segment) -> &[Effect] {
    if args.effects.is_empty() { &[Effect::Overlay] } else { &args.effects }
}

/// Checks, before anything is read, that no output image is one of the photos, the background or the model.
fn refuse_inputs(args: &Segment, stems: &[String]) -> Result<(), Failure> {
    let effects = effects(args);
    let outputs: Vec<PathBuf> = stems
        .iter()
        .flat_map(|stem| effects.iter().map(|effect| place(&args.output, stem, &safe(&effect.suffix()))))
        .collect();
    let backgrounds = effects.iter().filter_map(|effect| match effect {
        Effect::Replace(path) => Some(path),
        _ => None,
    });
    output::refuse_inputs(&outputs, args.photos.iter().chain(backgrounds).chain(&args.engine.model))
}

/// The path of an output image.
fn place(folder: &Path, stem: &str, suffix: &str) -> PathBuf {
    folder.join(format!("{stem}.{suffix}.png"))
}

/// The models and images of a call.
struct Prepared {
    /// The model that was passed, or the built-in one of 21 classes; the one of people if all images are of people.
    main: Ready,
    /// The built-in model of people as a second model, if an image may need it.
    people: Option<Ready>,
    images: Vec<Image>,
    reading: PhotoOptions,
}

fn prepare(args: &Segment) -> Result<Prepared, Failure> {
    let effects = effects(args);
    let is_person = |label: &str| label.trim().eq_ignore_ascii_case(PERSON);
    let built_in = args.engine.model.is_none();
    let only_people = built_in && matches!(&args.classes[..], [label] if is_person(label));
    let by_people = |effect: &Effect| {
        only_people
            || built_in && args.classes.is_empty() && matches!(effect, Effect::Confidence(label) if is_person(label))
    };
    let model = if effects.iter().all(by_people) {
        Model::people().map_err(Failure::general)?
    } else {
        load::named_or_builtin(&args.engine)?
    };
    let class = |label: &str| model.class_index(label).map_err(Failure::general);
    let classes = args.classes.iter().map(|label| class(label)).collect::<Result<Vec<_>, _>>()?;
    options_have_an_effect(args, effects, &classes, class)?;
    let reading = PhotoOptions::new().lenient(args.lenient);
    let mut images: Vec<Image> = Vec::new();
    for (number, effect) in effects.iter().enumerate() {
        if effects[..number].contains(effect) {
            continue;
        }
        let suffix = safe(&effect.suffix());
        if images.iter().any(|other| other.suffix == suffix) {
            return Err(Failure::general(format!(
                "two effects would both write PHOTO.{suffix}.png; use two calls with two folders"
            )));
        }
        let subject = match effect {
            _ if by_people(effect) => Subject::People,
            Effect::Confidence(label) => Subject::Classes(Foreground::Classes(vec![class(label)?])),
            _ if !classes.is_empty() => Subject::Classes(Foreground::Classes(classes.clone())),
            Effect::Mask | Effect::Overlay => Subject::Classes(Foreground::All),
            Effect::Cutout | Effect::Blur | Effect::Replace(_) => Subject::Found,
        };
        let content = match effect {
            Effect::Mask => Content::Mask,
            Effect::Overlay => Content::Overlay,
            Effect::Cutout => Content::Cutout,
            Effect::Blur => Content::Blur,
            Effect::Replace(path) => {
                Content::Replace(Photo::open_with(path, &reading).map_err(|error| Failure::new(path, error))?)
            }
            Effect::Confidence(_) => Content::Confidence,
        };
        images.push(Image { suffix, content, subject });
    }
    let options = load::options(&args.engine).refine(args.refine != Some(Switch::Off));
    let ready = |model: Model| {
        let segmenter = Segmenter::new(&model, &options).map_err(|error| load::about(&args.engine, &error))?;
        Ok::<_, Failure>(Ready { model, segmenter })
    };
    let all_people = images.iter().all(|image| matches!(image.subject, Subject::People));
    let may_be_people = |image: &Image| match image.subject {
        Subject::People => true,
        Subject::Found => built_in,
        Subject::Classes(_) => false,
    };
    let people = if !all_people && images.iter().any(may_be_people) {
        Some(ready(Model::people().map_err(Failure::general)?)?)
    } else {
        None
    };
    Ok(Prepared { main: ready(model)?, people, images, reading })
}

/// No option is ignored silently: `--classes` and `--refine` affect every image that they apply to, or are rejected.
fn options_have_an_effect(
    args: &Segment,
    effects: &[Effect],
    classes: &[usize],
    class: impl Fn(&str) -> Result<usize, Failure>,
) -> Result<(), Failure> {
    if !classes.is_empty() {
        if effects.contains(&Effect::Mask) && classes.iter().all(|&class| class == 0) {
            return Err(Failure::general(
                "--classes: a mask of the background alone holds nothing but 0; name the other classes, or write \
                 --effect confidence=CLASS of the background",
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
    let follows = |effect: &Effect| matches!(effect, Effect::Cutout | Effect::Blur | Effect::Replace(_));
    if args.refine == Some(Switch::On) && !effects.iter().any(follows) {
        return Err(Failure::general(
            "--refine changes the borders of cutout, blur and replace, and none of them is written: give --effect one of them, or \
             leave --refine out",
        ));
    }
    Ok(())
}

/// A label comes from the model file: in a file name it must not lead to another folder.
fn safe(name: &str) -> String {
    name.chars().map(|c| if c.is_control() || "/\\:*?\"<>|".contains(c) { '_' } else { c }).collect()
}

impl Prepared {
    fn one(&self, path: &Path, stem: &str, folder: &Path, work: &mut Work) -> Result<Report, Failure> {
        let photo = Photo::open_with(path, &self.reading).map_err(|error| Failure::new(path, error))?;
        let frame = photo.frame().map_err(|error| Failure::new(path, error))?;
        self.run(&frame, work).map_err(|error| Failure::new(path, error))?;
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::new(path, format!("the folder {} cannot be created: {error}", folder.display()))
        })?;
        let mut written = Vec::new();
        for image in &self.images {
            let to = place(folder, stem, &image.suffix);
            let chosen = self.choose(&image.subject, work);
            write(&image.content, &frame, &chosen, &to).map_err(|error| Failure::new(path, error))?;
            written.push(Written { shown: chosen.shown(&image.subject), model: chosen.model, path: to });
        }
        Ok(self.report(work, &written))
    }

    /// Runs the models that the images of this photo need.
    fn run(&self, frame: &Frame<'_>, work: &mut Work) -> silhouette::Result<()> {
        self.main.segmenter.segment_into(frame, &mut work.main)?;
        let needs_people = |image: &Image| match image.subject {
            Subject::People => true,
            Subject::Found => person(&self.main.model, &work.main).is_some(),
            Subject::Classes(_) => false,
        };
        work.people_ran = false;
        if let Some(people) = &self.people
            && self.images.iter().any(needs_people)
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

    fn report(&self, work: &Work, written: &[Written<'_>]) -> Report {
        let segmentation = &work.main;
        let labels = self.main.model.labels();
        let shares = segmentation.shares();
        let seen: Vec<String> =
            shares.iter().map(|seen| format!("{} {:.1} %", labels[seen.class_index], seen.share * 100.0)).collect();
        let names: Vec<String> = written.iter().map(|image| image.path.display().to_string()).collect();
        let described: Vec<String> = written
            .iter()
            .zip(&names)
            .map(|(image, name)| image.shown.as_ref().map_or_else(|| name.clone(), |shown| format!("{name} ({shown})")))
            .collect();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let timings = [Some(work.main.timings()), work.people_ran.then(|| work.people.timings())];
        let sum = |stage: fn(&Timings) -> Duration| timings.iter().flatten().map(stage).sum::<Duration>();
        let classes: Vec<Value> = shares
            .iter()
            .map(|seen| json!({ "class": seen.class_index, "label": labels[seen.class_index], "share": seen.share }))
            .collect();
        let images: Vec<Value> = written
            .iter()
            .zip(&names)
            .map(|(image, name)| json!({ "file": name, "model": image.model.name(), "shows": image.shown }))
            .collect();
        Report {
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
        }
    }
}

/// What an image is made from.
struct Chosen<'a> {
    model: &'a Model,
    segmentation: &'a Segmentation,
    foreground: Foreground,
}

impl Chosen<'_> {
    /// The foreground in words, where it was found rather than passed.
    fn shown(&self, subject: &Subject) -> Option<String> {
        if !matches!(subject, Subject::Found) {
            return None;
        }
        let labels = self.model.labels();
        let chosen = |class: usize| match &self.foreground {
            Foreground::All => class != 0,
            Foreground::Classes(classes) => classes.contains(&class),
        };
        let shares = self.segmentation.shares();
        let names: Vec<_> = shares
            .iter()
            .filter(|seen| chosen(seen.class_index) && seen.share >= PRESENT)
            .map(|seen| labels[seen.class_index].as_str())
            .collect();
        Some(if names.is_empty() { "nothing found".to_owned() } else { names.join(", ") })
    }
}

/// A written image.
struct Written<'a> {
    path: PathBuf,
    model: &'a Model,
    shown: Option<String>,
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

fn write(content: &Content, frame: &Frame<'_>, chosen: &Chosen<'_>, to: &Path) -> silhouette::Result<()> {
    let Chosen { segmentation, foreground, .. } = chosen;
    let made = match content {
        Content::Mask => {
            let palette = segmentation.palette();
            return Ok(match foreground {
                Foreground::All => files::write_mask(to, segmentation.mask(), palette),
                chosen @ Foreground::Classes(_) => files::write_mask(to, &segmentation.mask_of(chosen)?, palette),
            }?);
        }
        Content::Confidence => {
            let classes = match foreground {
                Foreground::All => &[1][..],
                Foreground::Classes(classes) => classes,
            };
            return Ok(files::write_confidence(to, &segmentation.confidence(classes)?)?);
        }
        Content::Overlay => segmentation.render(frame, Render::Overlay { opacity: OVERLAY_OPACITY }, foreground),
        Content::Cutout => segmentation.cutout(frame, foreground),
        Content::Blur => segmentation.blur(frame, foreground),
        Content::Replace(background) => segmentation.replace(frame, foreground, &background.frame()?),
    }?;
    Ok(files::write_picture(to, &made)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_lead_to_another_folder() {
        assert_eq!(safe("confidence-../../x\n"), "confidence-.._.._x_");
    }
}
