//! Where a video's frames come from: a Y4M file, a pipe, or a folder of images in the order of their names.

use crate::failure::Failure;
use crate::inputs::{Reading, is_picture, is_pipe};
use crate::names::with_numbers;
use crate::output;
use silhouette::Frame;
use silhouette::files::y4m::{Header, Planes, Reader, Y4mError};
use silhouette::files::{Kind, Photo};
use silhouette_files::{OpenError, open_regular, read_start};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Bytes of a pipe that are read at once.
const BUFFER: usize = 1 << 18;

/// A video to read.
pub(super) struct Source {
    name: String,
    from: From,
}

enum From {
    Y4m { reader: Reader<Box<dyn BufRead>>, planes: Planes, frames: u64 },
    Folder { frames: std::vec::IntoIter<PathBuf>, rate: Option<(u32, u32)>, path: PathBuf, photo: Option<Photo> },
}

/// Whether there was another frame.
pub(super) enum Next {
    Frame,
    End,
}

impl Source {
    /// Opens a Y4M file, standard input, or a folder, whose frames have this rate.
    pub(super) fn open(path: &Path, rate: Option<(u32, u32)>) -> Result<Self, Failure> {
        let name = if is_pipe(path) { "standard input".to_owned() } else { path.display().to_string() };
        if path.is_dir() {
            let frames = frames(path)?.into_iter();
            return Ok(Self { name, from: From::Folder { frames, rate, path: path.to_owned(), photo: None } });
        }
        let from: Box<dyn BufRead> = if is_pipe(path) {
            Box::new(BufReader::with_capacity(BUFFER, std::io::stdin()))
        } else {
            let opened = open_regular(path, u64::MAX).map_err(|error| match error {
                OpenError::NotRegular(what) => {
                    Failure::new(path, format!("it is {what}: to read a video from a pipe, pass - and pipe it in"))
                }
                error => Failure::new(path, format!("cannot be read: {error}")),
            })?;
            Box::new(BufReader::with_capacity(BUFFER, opened.file))
        };
        let reader = Reader::new(from).map_err(|error| match error {
            Y4mError::NotY4m => not_y4m(path, &name),
            error => Failure::general(format!("{name}: {error}")),
        })?;
        Ok(Self { name, from: From::Y4m { reader, planes: Planes::default(), frames: 0 } })
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What a Y4M says of itself.
    pub(super) fn header(&self) -> Option<&Header> {
        match &self.from {
            From::Y4m { reader, .. } => Some(reader.header()),
            From::Folder { .. } => None,
        }
    }

    /// Frames per second, if they are known.
    pub(super) fn rate(&self) -> Option<(u32, u32)> {
        match &self.from {
            From::Y4m { reader, .. } => reader.header().rate,
            From::Folder { rate, .. } => *rate,
        }
    }

    /// Reads the next frame.
    pub(super) fn next(&mut self) -> Result<Next, Failure> {
        match &mut self.from {
            From::Y4m { reader, planes, frames } => {
                let more = reader.read(planes).map_err(|error| Failure::general(format!("{}: {error}", self.name)))?;
                *frames += u64::from(more);
                Ok(if more { Next::Frame } else { Next::End })
            }
            From::Folder { frames, path, photo, .. } => {
                let Some(next) = frames.next() else { return Ok(Next::End) };
                *photo = Some(Reading::new(false, None).open(&next)?);
                *path = next;
                Ok(Next::Frame)
            }
        }
    }

    /// The frame that was read.
    pub(super) fn frame(&mut self) -> silhouette::Result<Frame<'_>> {
        Ok(match &mut self.from {
            From::Y4m { reader, planes, .. } => planes.frame(reader.header())?,
            From::Folder { photo, .. } => photo.as_ref().map_or_else(|| Frame::rgb(&[], 0, 0), Photo::frame)?,
        })
    }

    /// The planes that it was read as.
    pub(super) fn planes(&self) -> Option<&Planes> {
        match &self.from {
            From::Y4m { planes, .. } => Some(planes),
            From::Folder { .. } => None,
        }
    }

    /// The frame's name in messages.
    pub(super) fn frame_name(&self) -> String {
        match &self.from {
            From::Y4m { frames, .. } => format!("{}: frame {frames}", self.name),
            From::Folder { path, .. } => path.display().to_string(),
        }
    }

    /// The name of the frame's image, without its extension.
    pub(super) fn stem(&self, number: u64) -> String {
        match &self.from {
            From::Y4m { .. } => format!("{number:06}"),
            From::Folder { path, .. } => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }
}

/// The pictures in a folder, in the order of the numbers in their names.
fn frames(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cannot = |error| Failure::new(folder, format!("cannot be read: {error}"));
    let mut frames = Vec::new();
    let mut skipped = 0u64;
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.is_file() && is_picture(&path) {
            frames.push(path);
        } else {
            skipped += 1;
        }
    }
    frames.sort_by_cached_key(|path| with_numbers(&path.file_name().unwrap_or_default().to_string_lossy()));
    if frames.is_empty() {
        return Err(Failure::new(folder, "there are no pictures in this folder"));
    }
    if skipped > 0 {
        let skipped = output::counted(skipped, "file");
        output::note(&format!("{}: {skipped} skipped: only pictures directly in it are frames", folder.display()));
    }
    let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().to_owned();
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = frames.iter().find(|path| !seen.insert(output::alike(&stem(path).to_string_lossy()))) {
        return Err(Failure::new(twice, "two frames have this name with different extensions"));
    }
    Ok(frames)
}

/// Of a file that is something else: what, and how it becomes a Y4M.
fn not_y4m(path: &Path, name: &str) -> Failure {
    let head = if is_pipe(path) { None } else { read_start(path, Kind::HEAD).ok() };
    let kind = head.and_then(|head| Kind::of(&head));
    let way = format!("ffmpeg -i {name} -f yuv4mpegpipe - | silhouette video -");
    Failure::general(match kind {
        Some(kind) if kind.is_read() && kind.name() != "GIF" => {
            format!("{name} is a {} image; silhouette segment takes photos", kind.name())
        }
        Some(kind) => format!("{name} is {} and not a Y4M video; pipe it in: {way}", kind.name()),
        None if is_pipe(path) => {
            format!("{name} is not a Y4M video (it does not begin with YUV4MPEG2): pass ffmpeg -f yuv4mpegpipe")
        }
        None => format!("{name} is not a Y4M video (it does not begin with YUV4MPEG2); pipe it in: {way}"),
    })
}
