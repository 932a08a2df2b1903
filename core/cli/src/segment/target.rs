//! Where `segment` writes, and as what: into a folder, to one file, or into a pipe; PNG, JPEG or WebP.

use crate::args::{Format, Segment};
use crate::effect::{Content, Effect};
use crate::failure::Failure;
use crate::inputs::{Input, Inputs, has_extension, is_pipe};
use crate::output::counted;
use silhouette::files::ImageFormat;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// The quality of JPEGs unless it is passed.
const QUALITY: u8 = 90;

/// Names with these ends are files, not folders.
const FILES: [&str; 6] = ["png", "jpg", "jpeg", "webp", "geojson", "json"];

/// Where outputs go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Folder(PathBuf),
    File(PathBuf),
    Pipe,
}

impl Place {
    /// What `--output` names.
    pub(super) fn of(output: &Path) -> Self {
        let text = output.to_string_lossy();
        if is_pipe(output) {
            Self::Pipe
        } else if !text.ends_with(['/', '\\']) && has_extension(output, &FILES) && !output.is_dir() {
            Self::File(output.to_owned())
        } else {
            Self::Folder(output.to_owned())
        }
    }

    /// The folder, if it is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::File(_) | Self::Pipe => None,
        }
    }
}

/// The destination of every output of a call.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) place: Place,
    format: Format,
    quality: u8,
}

impl Target {
    /// Checks that the effects can be written there and so.
    pub(super) fn new(args: &Segment, place: Place, effects: &[Effect], inputs: &Inputs) -> Result<Self, Failure> {
        let wrong = |text: String| Err(Failure::general(text));
        let by_name = match &place {
            Place::File(path) => Format::of(path),
            Place::Folder(_) | Place::Pipe => None,
        };
        if let (Place::File(path), Some(asked)) = (&place, args.format)
            && by_name != Some(asked)
        {
            let asked = asked.extension();
            return wrong(format!("--format {asked} and -o {} contradict each other: leave one out", path.display()));
        }
        let format = args.format.or(by_name).unwrap_or(Format::Png);
        let target = Self { place, format, quality: args.quality.unwrap_or(QUALITY) };
        target.holds_one(effects, inputs)?;
        let pictures = effects.iter().any(|effect| effect.content() == Content::Picture);
        if let Some(asked) = args.format.filter(|format| *format != Format::Png && !pictures) {
            return wrong(format!(
                "--format {}: masks, binaries and confidences are always PNG, because another format would change their values, \
                 and polygons are JSON; leave --format out",
                asked.extension()
            ));
        }
        if args.quality.is_some() && !(format == Format::Jpg && pictures) {
            return wrong(match format {
                Format::Webp => "--quality applies to JPEG only: WebP is written without loss; leave it out, or pass --format jpg",
                _ => "--quality applies to JPEG only: PNG is without loss; leave it out, or pass --format jpg",
            }
            .into());
        }
        for effect in effects {
            target.takes(effect)?;
        }
        Ok(target)
    }

    /// A file or a pipe holds one output.
    fn holds_one(&self, effects: &[Effect], inputs: &Inputs) -> Result<(), Failure> {
        let name = match &self.place {
            Place::Folder(_) => return Ok(()),
            Place::File(path) => path.display().to_string(),
            Place::Pipe => "-".into(),
        };
        let photos = inputs.list.len();
        if photos > 1 || effects.len() > 1 {
            let text = format!(
                "-o {name} holds one image, and {} with {} make {}; name a folder",
                counted(photos as u64, "photo"),
                counted(effects.len() as u64, "effect"),
                photos * effects.len()
            );
            return Err(Failure::general(text));
        }
        if self.place == Place::Pipe && std::io::stdout().is_terminal() {
            return Err(Failure::general("-o -: standard output is a terminal; pipe it into a file or a program"));
        }
        Ok(())
    }

    fn takes(&self, effect: &Effect) -> Result<(), Failure> {
        let named = match &self.place {
            Place::File(path) => path.extension().map(|extension| extension.to_string_lossy().to_lowercase()),
            Place::Folder(_) | Place::Pipe => None,
        };
        let named = named.as_deref();
        let wrong = |text: String| Err(Failure::general(text));
        match effect.content() {
            Content::Picture if self.format == Format::Jpg && *effect == Effect::Cutout => wrong(
                "cutout is transparent, and JPEG has no transparency: use png or webp, or --effect replace=#ffffff"
                    .into(),
            ),
            Content::Picture if matches!(named, Some("json" | "geojson")) => wrong(format!(
                "--effect {} is an image: give -o a name that ends in .png, .jpg or .webp",
                effect.suffix()
            )),
            Content::Values if named.is_some_and(|named| named != "png") => {
                wrong(format!("--effect {} is written as PNG: give -o a name that ends in .png", effect.suffix()))
            }
            Content::Text if named.is_some_and(|named| !matches!(named, "json" | "geojson")) => {
                wrong("polygons are written as JSON: give -o a name that ends in .json or .geojson".into())
            }
            _ => Ok(()),
        }
    }

    /// What an effect's images are written as.
    pub(super) fn format(&self, effect: &Effect) -> ImageFormat {
        match (effect.content(), self.format) {
            (Content::Picture, Format::Jpg) => ImageFormat::Jpeg { quality: self.quality },
            (Content::Picture, Format::Webp) => ImageFormat::WebP,
            _ => ImageFormat::Png,
        }
    }

    /// The path of an effect's output, `None` for the pipe.
    pub(super) fn path(&self, input: &Input, effect: &Effect) -> Option<PathBuf> {
        let extension = match effect.content() {
            Content::Picture => self.format.extension(),
            Content::Values => "png",
            Content::Text => "",
        };
        match &self.place {
            Place::Pipe => None,
            Place::File(path) => Some(path.clone()),
            Place::Folder(folder) => {
                let mut name: OsString = input.place.file_name().unwrap_or_default().to_owned();
                name.push(format!(".{}", safe(&effect.suffix())));
                if !extension.is_empty() {
                    name.push(format!(".{extension}"));
                }
                Some(folder.join(input.place.with_file_name(name)))
            }
        }
    }
}

/// A label comes from the model file: in a file name it must not lead to another folder.
pub(super) fn safe(name: &str) -> String {
    name.chars().map(|c| if c.is_control() || "/\\:*?\"<>|".contains(c) { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_lead_to_another_folder() {
        assert_eq!(safe("confidence-../../x\n"), "confidence-.._.._x_");
    }

    #[test]
    fn a_name_with_a_pictures_end_is_a_file() {
        for (name, place) in [
            ("-", Place::Pipe),
            ("a/b.PNG", Place::File("a/b.PNG".into())),
            ("x.geojson", Place::File("x.geojson".into())),
            ("a.png/", Place::Folder("a.png/".into())),
            ("out.d", Place::Folder("out.d".into())),
            (".", Place::Folder(".".into())),
        ] {
            assert_eq!(Place::of(Path::new(name)), place, "{name}");
        }
    }
}
