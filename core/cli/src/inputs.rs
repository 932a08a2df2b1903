//! The photos of a call: files, what is below folders, and standard input.

use crate::failure::Failure;
use crate::output;
use serde_json::{Value, json};
use silhouette::files::{FileError, Kind, MAX_PIXELS, Photo, PhotoOptions, Several};
use silhouette_files::{read_start, walk};
use std::collections::BTreeMap;
use std::io::{Cursor, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

/// The name of standard input and output.
pub(crate) const PIPE: &str = "-";

/// The largest file that is read from standard input, as from a path.
const MOST_BYTES: u64 = 1 << 30;

/// The ends of names that belong to pictures, whatever is in them.
const PICTURES: [&str; 12] = ["jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff"];

/// What this command puts between a photo's name and the end of its outputs' names.
const EFFECTS: [&str; 6] = ["mask", "binary", "overlay", "cutout", "blur", "replace"];

/// A photo to read.
#[derive(Debug)]
pub(crate) struct Input {
    /// The path, `-` for standard input.
    pub(crate) path: PathBuf,
    /// Where its outputs go below the output folder, without effect and extension: the name, below the folders that it was found in.
    pub(crate) place: PathBuf,
}

/// All photos of a call.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) list: Vec<Input>,
    notes: Vec<Skipped>,
}

/// What was left out below a folder.
#[derive(Debug)]
struct Skipped {
    folder: PathBuf,
    pictures: usize,
    /// How many files of each kind, and the command that converts the first one, if there is one.
    kinds: BTreeMap<&'static str, (usize, Option<String>)>,
}

impl Inputs {
    /// From paths of the command line; nothing below a folder that is in, or below, `output`.
    ///
    /// # Errors
    /// A folder that cannot be read or has no pictures, standard input twice or from a terminal.
    pub(crate) fn of(paths: &[PathBuf], output: Option<&Path>) -> Result<Self, Failure> {
        let mut inputs = Self::default();
        let mut places = Vec::new();
        for path in paths {
            if is_pipe(path) {
                if inputs.list.iter().any(|input| is_pipe(&input.path)) {
                    return Err(Failure::general("standard input can be read only once: pass - once"));
                }
                if std::io::stdin().is_terminal() {
                    return Err(Failure::general("-: standard input is a terminal; pipe a photo into it"));
                }
                inputs.list.push(Input { path: path.clone(), place: PathBuf::new() });
                places.push(PathBuf::from("stdin"));
            } else if path.is_dir() {
                inputs.folder(path, output, &mut places)?;
            } else {
                inputs.list.push(Input { path: path.clone(), place: PathBuf::new() });
                let stem = path.file_stem().map_or_else(|| "photo".into(), PathBuf::from);
                places.push(stem);
            }
        }
        for (input, place) in inputs.list.iter_mut().zip(output::distinct(&places)) {
            input.place = place;
        }
        Ok(inputs)
    }

    fn folder(&mut self, folder: &Path, output: Option<&Path>, places: &mut Vec<PathBuf>) -> Result<(), Failure> {
        // An output folder below this one is left out; if it is this one itself, outputs are known by their names.
        let same = |output: &Path| match (output.canonicalize(), folder.canonicalize()) {
            (Ok(output), Ok(folder)) => output == folder,
            _ => false,
        };
        let without: Vec<&Path> = output.into_iter().filter(|output| !same(output)).collect();
        let found = walk(folder, &without).map_err(|error| Failure::new(folder, format!("cannot be read: {error}")))?;
        let mut skipped = Skipped { folder: folder.to_owned(), pictures: 0, kinds: BTreeMap::new() };
        for relative in found.files {
            let path = folder.join(&relative);
            match Verdict::of(&path) {
                Verdict::Picture => {
                    skipped.pictures += 1;
                    places.push(relative.with_extension(""));
                    self.list.push(Input { path, place: PathBuf::new() });
                }
                Verdict::Not(kind, command) => {
                    let entry = skipped.kinds.entry(kind).or_default();
                    entry.0 += 1;
                    entry.1 = entry.1.take().or(command);
                }
            }
        }
        for (relative, error) in found.unread {
            Failure::new(&folder.join(relative), format!("cannot be read: {error}")).print();
            skipped.kinds.entry(UNREADABLE).or_default().0 += 1;
        }
        if found.others > 0 {
            skipped.kinds.entry(OTHER).or_default().0 += found.others;
        }
        if skipped.pictures == 0 {
            let left = skipped.text().map_or_else(String::new, |text| format!(" ({text})"));
            return Err(Failure::new(folder, format!("there are no pictures in this folder or below it{left}")));
        }
        if !skipped.kinds.is_empty() {
            self.notes.push(skipped);
        }
        Ok(())
    }

    /// Whether a folder held something that could not be read.
    pub(crate) fn incomplete(&self) -> bool {
        self.notes.iter().any(|skipped| skipped.kinds.contains_key(UNREADABLE))
    }

    /// Says on stderr, and with `json` on stdout too, what was skipped.
    pub(crate) fn tell_skipped(&self, json: bool) {
        for skipped in &self.notes {
            if let Some(text) = skipped.text() {
                output::note(&format!("{}: {text}", skipped.folder.display()));
            }
            if json {
                let kinds: serde_json::Map<String, Value> =
                    skipped.kinds.iter().map(|(kind, (count, _))| ((*kind).to_owned(), json!(count))).collect();
                let folder = skipped.folder.display().to_string();
                output::say(&json!({ "folder": folder, "pictures": skipped.pictures, "skipped": kinds }).to_string());
            }
        }
    }
}

/// No picture, nor anything that could be made one.
const OTHER: &str = "other";
const HIDDEN: &str = "hidden";
/// By its name an output of this command.
const OWN: &str = "from an earlier run";
const UNREADABLE: &str = "unreadable";

impl Skipped {
    /// `None` if nothing was.
    fn text(&self) -> Option<String> {
        let total: usize = self.kinds.values().map(|(count, _)| count).sum();
        if total == 0 {
            return None;
        }
        let kinds: Vec<String> = self
            .kinds
            .iter()
            .map(|(kind, (count, command))| match command {
                Some(command) => format!("{count} {kind} (convert first: {command})"),
                None => format!("{count} {kind}"),
            })
            .collect();
        let files = if total == 1 { "file" } else { "files" };
        Some(format!("{total} {files} skipped: {}", kinds.join(", ")))
    }
}

/// Whether a file in a folder of pictures is one.
pub(crate) fn is_picture(path: &Path) -> bool {
    matches!(Verdict::of(path), Verdict::Picture)
}

/// What becomes of a file below a folder.
enum Verdict {
    Picture,
    Not(&'static str, Option<String>),
}

impl Verdict {
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            return Self::Not(HIDDEN, None);
        }
        if is_own_output(&name) {
            return Self::Not(OWN, None);
        }
        let kind = read_start(path, Kind::HEAD).ok().and_then(|head| Kind::of(&head));
        match kind {
            Some(kind) if kind.is_read() => Self::Picture,
            Some(kind) => Self::Not(kind.name(), Some(kind.command(path))),
            // Named like a picture, but not one: an error of its own when it is read.
            None if has_extension(path, &PICTURES) => Self::Picture,
            None => Self::Not(OTHER, None),
        }
    }
}

/// Whether a path ends in one of these, in any case.
pub(crate) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| extensions.contains(&extension.as_str()))
}

/// Whether a name is one that this command gives its outputs: `NAME.EFFECT.png`.
fn is_own_output(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let Some((_, effect)) = stem.rsplit_once('.') else { return false };
    matches!(extension, "png" | "jpg" | "webp") && (EFFECTS.contains(&effect) || effect.starts_with("confidence-"))
}

/// Whether a path stands for standard input or output.
pub(crate) fn is_pipe(path: &Path) -> bool {
    path.as_os_str() == PIPE
}

/// How photos are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    options: PhotoOptions,
    most: u64,
    reduces: bool,
}

impl Reading {
    /// With `most` pixels, larger photos are reduced to it where that is possible.
    pub(crate) fn new(lenient: bool, most: Option<u64>) -> Self {
        let options = PhotoOptions::new().lenient(lenient);
        match most {
            Some(most) => Self { options: options.max_pixels(most).reduce(true), most, reduces: true },
            None => Self { options, most: MAX_PIXELS, reduces: false },
        }
    }

    /// Reads a photo.
    pub(crate) fn open(&self, path: &Path) -> Result<Photo, Failure> {
        let photo = if is_pipe(path) { self.standard_input(path) } else { Photo::open_with(path, &self.options) };
        photo.map_err(|error| self.failure(path, error))
    }

    fn standard_input(&self, path: &Path) -> Result<Photo, FileError> {
        let failed = |source| FileError::Read { path: "standard input".into(), source };
        let mut bytes = Vec::new();
        std::io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MOST_BYTES {
            let text = format!("it is longer than the limit of {MOST_BYTES} bytes");
            return Err(failed(std::io::Error::new(std::io::ErrorKind::FileTooLarge, text)));
        }
        Photo::read(Cursor::new(bytes), path, &self.options)
    }

    fn failure(&self, path: &Path, error: FileError) -> Failure {
        let shown = if is_pipe(path) { "standard input".to_owned() } else { path.display().to_string() };
        match error {
            FileError::TooLarge { width, height, .. } => {
                let pixels = u64::from(width) * u64::from(height);
                let head = read_start(path, Kind::HEAD).ok().and_then(|head| Kind::of(&head));
                let by_parts = matches!(head.map(Kind::name), Some("PNG" | "JPEG"));
                let mut ways = vec!["resize it first".to_owned()];
                if by_parts && !self.reduces {
                    ways.push("pass --max-pixels 12000000 to reduce it as it is read".to_owned());
                }
                if pixels <= silhouette::MAX_PIXELS as u64 {
                    // The photo, an image made from it, and masks.
                    let memory = pixels as f64 * 10.0 / 1e9;
                    ways.push(format!("--max-pixels {pixels} to read it whole, in about {memory:.1} GB of memory"));
                }
                let cannot = if by_parts && self.reduces { ", and cannot be reduced as it is read" } else { "" };
                let limit = self.most;
                Failure::general(format!(
                    "{shown} has {width}x{height} pixels, over the limit of {limit}{cannot}; {}",
                    ways.join(", or ")
                ))
            }
            FileError::Truncated { .. } => {
                let head = read_start(path, Kind::HEAD).ok().and_then(|head| Kind::of(&head));
                // Only these can be read as far as they go.
                let partial = is_pipe(path) || matches!(head.map(Kind::name), Some("PNG" | "JPEG"));
                let way = if partial { ", or accept a partial image (--lenient)" } else { "" };
                let text = error.to_string().replace(", or accept a partial image (lenient)", way);
                Failure::general(if is_pipe(path) { text.replacen(PIPE, &shown, 1) } else { text })
            }
            FileError::Foreign { kind: "a Y4M video", .. } => {
                Failure::general(format!("{shown} is a Y4M video: silhouette video takes it"))
            }
            FileError::Foreign { kind, command, .. } if kind.ends_with(" video") => Failure::general(format!(
                "{shown} is {kind}, which is not read; take a frame of it: {command}; or for all frames pipe ffmpeg's -f \
                 yuv4mpegpipe into: silhouette video"
            )),
            FileError::Foreign { kind, .. } if is_pipe(path) => {
                Failure::general(format!("{shown} is {kind}, which is not read; convert it to PNG or JPEG first"))
            }
            FileError::Format { .. } | FileError::Empty { .. } | FileError::Decode { .. } if is_pipe(path) => {
                Failure::general(error.to_string().replacen(PIPE, &shown, 1))
            }
            error => Failure::new(path, error),
        }
    }
}

/// What a report says of a photo that is not all that its file holds: in words, and as fields.
pub(crate) fn about(photo: &Photo) -> (Vec<String>, Vec<(&'static str, Value)>) {
    let mut words = Vec::new();
    let mut fields = Vec::new();
    if let Some(several) = photo.first_of() {
        let (text, name) = match several {
            Several::Frames => ("animated: only its first frame was taken", "frames"),
            Several::Pages => ("it has several pages: only the first was taken", "pages"),
        };
        words.push(text.to_owned());
        fields.push(("first_of", json!(name)));
    }
    if let Some(size) = photo.reduced_from() {
        words.push(format!("reduced from {}x{} pixels", size.width, size.height));
        fields.push(("reduced_from", json!({ "width": size.width, "height": size.height })));
    }
    (words, fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_known_by_their_names() {
        for name in ["a.mask.png", "a.b.overlay.jpg", "x.confidence-person.png", "a.replace.webp"] {
            assert!(is_own_output(name), "{name}");
        }
        for name in ["mask.png", "a.png", "a.mask.tiff", "a.masks.png", "overlay"] {
            assert!(!is_own_output(name), "{name}");
        }
    }
}
