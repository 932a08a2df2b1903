//! `silhouette segment`: photos to masks and images.

use crate::args::{Effect, Segment, Switch};
use crate::failure::Failure;
use crate::photos::{self, Report};
use crate::{load, output};
use serde_json::{Value, json};
use silhouette::files::{self, Photo, PhotoOptions};
use silhouette::{Effect as Render, Foreground, Frame, Model, OVERLAY_OPACITY, Segmentation, Segmenter};
use std::path::{Path, PathBuf};

/// One output image per photo, with everything that does not depend on the photo already looked up.
enum Picture {
    Mask,
    Overlay,
    Cutout,
    Blur,
    Replace(Photo),
    Confidence(usize),
}

/// Runs the command.
///
/// # Errors
/// A failure that stops all photos; otherwise an empty list if any photo failed.
pub(crate) fn segment(args: &Segment) -> Result<(), Vec<Failure>> {
    let stems = output::stems(&args.photos);
    refuse_inputs(args, &stems).map_err(|failure| vec![failure])?;
    let prepared = prepare(args).map_err(|failure| vec![failure])?;
    let mut segmentation = Segmentation::default();
    photos::each(&args.photos, args.json, |number, photo| {
        prepared.one(photo, &stems[number], &args.output, &mut segmentation).map_err(|failure| vec![failure])
    })
}

/// Checks, before anything is read, that no output image is one of the photos, the background or the model.
fn refuse_inputs(args: &Segment, stems: &[String]) -> Result<(), Failure> {
    let effects = if args.effects.is_empty() { &[Effect::Overlay][..] } else { &args.effects };
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

struct Prepared {
    model: Model,
    segmenter: Segmenter,
    pictures: Vec<(String, Picture)>,
    foreground: Foreground,
    reading: PhotoOptions,
}

fn prepare(args: &Segment) -> Result<Prepared, Failure> {
    let model = load::named_or_builtin(&args.engine)?;
    let class = |label: &str| model.class(label).map_err(Failure::general);
    let foreground = if args.classes.is_empty() {
        Foreground::default()
    } else {
        Foreground::Classes(args.classes.iter().map(|label| class(label)).collect::<Result<_, _>>()?)
    };
    let wanted = if args.effects.is_empty() { vec![Effect::Overlay] } else { args.effects.clone() };
    options_have_an_effect(args, &wanted, &foreground, class)?;
    let reading = PhotoOptions::new().lenient(args.lenient);
    let mut pictures: Vec<(String, Picture)> = Vec::new();
    for (number, effect) in wanted.iter().enumerate() {
        if wanted[..number].contains(effect) {
            continue;
        }
        let suffix = safe(&effect.suffix());
        if pictures.iter().any(|(other, _)| *other == suffix) {
            return Err(Failure::general(format!(
                "two effects would both write PHOTO.{suffix}.png; use two calls with two folders"
            )));
        }
        let picture = match effect {
            Effect::Mask => Picture::Mask,
            Effect::Overlay => Picture::Overlay,
            Effect::Cutout => Picture::Cutout,
            Effect::Blur => Picture::Blur,
            Effect::Replace(path) => {
                Picture::Replace(Photo::open_with(path, &reading).map_err(|error| Failure::new(path, error))?)
            }
            Effect::Confidence(label) => Picture::Confidence(class(label)?),
        };
        pictures.push((suffix, picture));
    }
    let options = load::options(&args.engine).refine(args.refine == Switch::On);
    let segmenter = Segmenter::new(&model, &options).map_err(|error| load::about(&args.engine, &error))?;
    Ok(Prepared { model, segmenter, pictures, foreground, reading })
}

/// No option is ignored silently: `--classes` and `--refine` affect every image that they apply to, or are rejected.
fn options_have_an_effect(
    args: &Segment,
    wanted: &[Effect],
    foreground: &Foreground,
    class: impl Fn(&str) -> Result<usize, Failure>,
) -> Result<(), Failure> {
    if let Foreground::Classes(classes) = foreground {
        if wanted.contains(&Effect::Mask) && classes.iter().all(|&class| class == 0) {
            return Err(Failure::general(
                "--classes: a mask of the background alone holds nothing but 0; name the other classes, or write \
                 --effect confidence=CLASS of the background",
            ));
        }
        for effect in wanted {
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
    if args.refine == Switch::On && !wanted.iter().any(follows) {
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
    fn one(&self, path: &Path, stem: &str, folder: &Path, segmentation: &mut Segmentation) -> Result<Report, Failure> {
        let photo = Photo::open_with(path, &self.reading).map_err(|error| Failure::new(path, error))?;
        let frame = photo.frame().map_err(|error| Failure::new(path, error))?;
        self.segmenter.segment_into(&frame, segmentation).map_err(|error| Failure::new(path, error))?;
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::new(path, format!("the folder {} cannot be created: {error}", folder.display()))
        })?;
        let mut written = Vec::new();
        for (suffix, picture) in &self.pictures {
            let to = place(folder, stem, suffix);
            self.write(picture, &frame, segmentation, &to).map_err(|error| Failure::new(path, error))?;
            written.push(to);
        }
        Ok(self.report(segmentation, &written))
    }

    fn write(
        &self,
        picture: &Picture,
        frame: &Frame<'_>,
        segmentation: &Segmentation,
        to: &Path,
    ) -> silhouette::Result<()> {
        let made = match picture {
            Picture::Mask => {
                let palette = segmentation.palette();
                return Ok(match &self.foreground {
                    Foreground::All => files::write_mask(to, segmentation.mask(), palette),
                    chosen @ Foreground::Classes(_) => files::write_mask(to, &segmentation.mask_of(chosen)?, palette),
                }?);
            }
            Picture::Confidence(class) => {
                return Ok(files::write_confidence(to, &segmentation.confidence(&[*class])?)?);
            }
            Picture::Overlay => {
                segmentation.render(frame, Render::Overlay { opacity: OVERLAY_OPACITY }, &self.foreground)
            }
            Picture::Cutout => segmentation.cutout(frame, &self.foreground),
            Picture::Blur => segmentation.blur(frame, &self.foreground),
            Picture::Replace(background) => segmentation.replace(frame, &self.foreground, &background.frame()?),
        }?;
        Ok(files::write_picture(to, &made)?)
    }

    fn report(&self, segmentation: &Segmentation, written: &[PathBuf]) -> Report {
        let labels = self.model.labels();
        let shares = segmentation.shares();
        let seen: Vec<String> =
            shares.iter().map(|&(class, share)| format!("{} {:.1} %", labels[class], share * 100.0)).collect();
        let names: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        let timings = segmentation.timings();
        let milliseconds = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        let classes: Vec<Value> = shares
            .iter()
            .map(|&(class, share)| json!({ "class": class, "label": labels[class], "share": share }))
            .collect();
        Report {
            text: format!("{} -> {} ({:.0} ms)", seen.join(", "), names.join(", "), milliseconds(timings.total())),
            json: json!({
                "width": segmentation.width(),
                "height": segmentation.height(),
                "classes": classes,
                "files": names,
                "timings_ms": {
                    "input": milliseconds(timings.input),
                    "network": milliseconds(timings.network),
                    "mask": milliseconds(timings.mask),
                },
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_lead_to_another_folder() {
        assert_eq!(safe("confidence-../../x\n"), "confidence-.._.._x_");
    }
}
