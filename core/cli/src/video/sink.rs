//! Where a video's frames go: a Y4M stream, or PNGs in a folder.

use crate::failure::Failure;
use crate::inputs::{has_extension, is_pipe};
use crate::render::Made;
use silhouette::Picture;
use silhouette::files::ImageFormat;
use silhouette::files::y4m::{Chroma, Header, Planes, Writer};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// What `--output` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum To {
    Pipe,
    File(PathBuf),
    Folder(PathBuf),
}

impl To {
    pub(super) fn of(output: &Path) -> Self {
        if is_pipe(output) {
            Self::Pipe
        } else if has_extension(output, &["y4m"]) && !output.is_dir() {
            Self::File(output.to_owned())
        } else {
            Self::Folder(output.to_owned())
        }
    }
}

/// Takes a video's frames.
pub(super) struct Sink<'a> {
    to: Into<'a>,
    closed: bool,
}

enum Into<'a> {
    Stream(Box<Stream<'a>>),
    Folder(&'a Path),
}

/// A Y4M that is written.
struct Stream<'a> {
    /// Until the first frame.
    out: Option<&'a mut dyn Write>,
    writer: Option<Writer<&'a mut dyn Write>>,
    name: &'a Path,
    read: Option<Header>,
    header: Option<Header>,
    rate: (u32, u32),
    colour: bool,
    planes: Planes,
}

impl<'a> Sink<'a> {
    /// A Y4M, with its name in messages.
    pub(super) fn stream(out: &'a mut dyn Write, name: &'a Path) -> Self {
        let stream = Stream {
            out: Some(out),
            writer: None,
            name,
            read: None,
            header: None,
            rate: (1, 1),
            colour: false,
            planes: Planes::default(),
        };
        Self { to: Into::Stream(Box::new(stream)), closed: false }
    }

    /// PNGs in a folder.
    pub(super) fn folder(folder: &'a Path) -> Self {
        Self { to: Into::Folder(folder), closed: false }
    }

    pub(super) fn is_stream(&self) -> bool {
        matches!(self.to, Into::Stream(_))
    }

    /// Whether nothing more can be written.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes what is known before the first frame.
    pub(super) fn begin(&mut self, read: Option<&Header>, rate: (u32, u32), colour: bool) {
        if let Into::Stream(stream) = &mut self.to {
            stream.read = read.cloned();
            stream.rate = rate;
            stream.colour = colour;
        }
    }

    /// Writes a frame to the stream; `source` are the planes that were read, and the image that they are.
    pub(super) fn picture(&mut self, picture: &Picture, source: Option<(&Planes, &Picture)>) -> Result<(), Failure> {
        let Into::Stream(stream) = &mut self.to else { return Ok(()) };
        let size = (picture.width, picture.height);
        let Stream { out, writer, name, read, header, rate, colour, planes } = &mut **stream;
        let header = header.get_or_insert_with(|| header_for(read.as_ref(), *colour, size, *rate));
        // Planes of another layout are of no use.
        let source = source.filter(|_| read.as_ref().is_some_and(|read| read.chroma == header.chroma));
        planes.draw(header, picture, source).map_err(|error| Failure::new(name, error))?;
        let written = match (writer.as_mut(), out.take()) {
            (Some(writer), _) => writer.write(planes),
            (None, Some(out)) => Writer::new(out, header).and_then(|new| writer.insert(new).write(planes)),
            (None, None) => Ok(()),
        };
        written.map_err(|error| {
            self.closed = true;
            match error.kind() {
                ErrorKind::BrokenPipe => Failure::new(name, "its reader has closed it"),
                _ => Failure::new(name, format!("cannot be written: {error}")),
            }
        })
    }

    /// Writes a frame into the folder.
    pub(super) fn image(&mut self, made: &Made, stem: &str) -> Result<(), Failure> {
        let Into::Folder(folder) = &self.to else { return Ok(()) };
        let path = folder.join(format!("{stem}.png"));
        made.write(Some(&path), ImageFormat::Png).map_err(|error| {
            self.closed = true;
            Failure::new(&path, error)
        })
    }
}

/// The header of the video to write, for one that is read or for frames of this size.
fn header_for(read: Option<&Header>, colour: bool, size: (usize, usize), rate: (u32, u32)) -> Header {
    match read {
        Some(header) if colour => header.with_chroma(),
        Some(header) => header.clone(),
        None => Header::new(size.0, size.1, rate, Chroma::C420),
    }
}
