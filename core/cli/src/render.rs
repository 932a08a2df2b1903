//! What an effect makes of a photo and its segmentation.

use crate::effect::{Behind, Effect};
use crate::failure::Failure;
use crate::inputs::Reading;
use crate::shapes::Shapes;
use serde_json::{Map, Value, json};
use silhouette::files::{FileError, Image, ImageFormat, Photo};
use silhouette::{
    BLUR_RADIUS, Confidence, Effect as Render, Foreground, Frame, Mask, Model, OVERLAY_OPACITY, Palette, Picture,
    Region, Segmentation,
};
use std::io::Write;
use std::path::Path;

/// What an image shows.
pub(crate) enum Content {
    Mask,
    Binary,
    Overlay,
    Cutout,
    Blur,
    Replace(Photo),
    ReplaceByColor([u8; 3]),
    Confidence,
    GeoJson,
    Coco,
}

impl Content {
    /// What an effect shows, with its background read.
    pub(crate) fn of(effect: &Effect, reading: &Reading) -> Result<Self, Failure> {
        Ok(match effect {
            Effect::Mask => Self::Mask,
            Effect::Binary => Self::Binary,
            Effect::Overlay => Self::Overlay,
            Effect::Cutout => Self::Cutout,
            Effect::Blur => Self::Blur,
            Effect::Replace(Behind::Image(path)) => Self::Replace(reading.open(path)?),
            Effect::Replace(Behind::Color(color)) => Self::ReplaceByColor(*color),
            Effect::Confidence(_) => Self::Confidence,
            Effect::GeoJson => Self::GeoJson,
            Effect::Coco => Self::Coco,
        })
    }
}

/// What an image is made from.
pub(crate) struct Chosen<'a> {
    pub(crate) model: &'a Model,
    pub(crate) segmentation: &'a Segmentation,
    pub(crate) foreground: Foreground,
}

/// What applies to every image of a photo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Only the largest piece of the foreground.
    pub(crate) largest: bool,
    /// Only this part of the photo.
    pub(crate) crop: Option<Region>,
}

/// An image, or polygons.
pub(crate) enum Made {
    Picture(Picture),
    Mask(Mask, Box<Palette>),
    Grey(Confidence),
    Text(String),
}

impl Made {
    /// Writes it to a file, or to standard output.
    pub(crate) fn write(&self, path: Option<&Path>, format: ImageFormat) -> Result<(), FileError> {
        let image = match self {
            Self::Picture(picture) => Image::Picture(picture),
            Self::Mask(mask, palette) => Image::Mask(mask, palette),
            Self::Grey(grey) => Image::Grey(grey),
            Self::Text(text) => return write_text(text, path),
        };
        if let Some(path) = path {
            return image.write(path, format);
        }
        let name = Path::new("standard output");
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        image.encode(&mut out, name, format)?;
        out.flush().map_err(|source| FileError::Write { path: name.to_owned(), source })
    }
}

fn write_text(text: &str, path: Option<&Path>) -> Result<(), FileError> {
    let name = path.unwrap_or(Path::new("standard output"));
    let done = if let Some(path) = path {
        silhouette_files::write_bytes(path, text.as_bytes())
    } else {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    };
    done.map_err(|source| FileError::Write { path: name.to_owned(), source })
}

/// The pieces of each class, by label, if they were counted.
pub(crate) type Pieces = Option<Map<String, Value>>;

/// Makes an image of a photo of this name.
pub(crate) fn make(
    content: &Content,
    frame: &Frame<'_>,
    chosen: &Chosen<'_>,
    shape: Shape,
    name: &str,
) -> silhouette::Result<(Made, Pieces)> {
    let Chosen { segmentation, foreground, .. } = chosen;
    let mask = || -> silhouette::Result<Mask> {
        let mask = segmentation.mask_of(foreground)?;
        cropped_mask(if shape.largest { mask.largest_piece()? } else { mask }, shape)
    };
    let made = match content {
        Content::Mask => Made::Mask(mask()?, Box::new(segmentation.palette().clone())),
        Content::Binary => {
            let binary = segmentation.binary(foreground)?;
            let binary = cropped_mask(if shape.largest { binary.largest_piece()? } else { binary }, shape)?;
            let Mask { width, height, mut classes } = binary;
            for class in &mut classes {
                *class *= 255;
            }
            Made::Grey(Confidence { width, height, values: classes })
        }
        Content::Confidence => {
            let classes = match foreground {
                Foreground::All => &[1][..],
                Foreground::Classes(classes) => classes,
            };
            let confidence = segmentation.confidence(classes)?;
            let confidence = if shape.largest { confidence.largest_piece()? } else { confidence };
            Made::Grey(match shape.crop {
                Some(region) => confidence.cropped(region)?,
                None => confidence,
            })
        }
        Content::GeoJson | Content::Coco => {
            let mask = mask()?;
            let shapes = Shapes::of(&mask, segmentation.labels())?;
            let text = if matches!(content, Content::Coco) { shapes.coco(name)? } else { shapes.geojson(name) };
            let pieces = shapes.pieces().into_iter().map(|(label, count)| (label.to_owned(), json!(count)));
            return Ok((Made::Text(text), Some(pieces.collect())));
        }
        Content::Overlay | Content::Cutout | Content::Blur | Content::Replace(_) | Content::ReplaceByColor(_) => {
            let picture = picture(content, frame, chosen, shape.largest)?;
            Made::Picture(match shape.crop {
                Some(region) => picture.cropped(region)?,
                None => picture,
            })
        }
    };
    Ok((made, None))
}

fn cropped_mask(mask: Mask, shape: Shape) -> silhouette::Result<Mask> {
    Ok(match shape.crop {
        Some(region) => mask.cropped(region)?,
        None => mask,
    })
}

fn picture(content: &Content, frame: &Frame<'_>, chosen: &Chosen<'_>, largest: bool) -> silhouette::Result<Picture> {
    let Chosen { segmentation, foreground, .. } = chosen;
    let color;
    let background = match content {
        Content::Replace(photo) => Some(photo.frame()?),
        Content::ReplaceByColor(rgb) => {
            color = *rgb;
            Some(Frame::rgb(&color, 1, 1)?)
        }
        _ => None,
    };
    if !largest {
        let effect = match (content, &background) {
            (_, Some(background)) => Render::Replace { background },
            (Content::Overlay, _) => Render::Overlay { opacity: OVERLAY_OPACITY },
            (Content::Cutout, _) => Render::Cutout,
            _ => Render::Blur { radius: BLUR_RADIUS },
        };
        return segmentation.render(frame, effect, foreground);
    }
    let mut picture = segmentation.picture(frame)?;
    if matches!(content, Content::Overlay) {
        let mask = segmentation.mask_of(foreground)?.largest_piece()?;
        picture.overlay(&mask, segmentation.palette(), OVERLAY_OPACITY);
        return Ok(picture);
    }
    let alpha = segmentation.alpha(frame, foreground)?.largest_piece()?;
    match (content, &background) {
        (_, Some(background)) => picture.replace_background(&alpha, background)?,
        (Content::Cutout, _) => picture.cut_out(&alpha)?,
        _ => {
            let radius = BLUR_RADIUS * picture.width.max(picture.height) as f32;
            picture.blur_background(&alpha, radius)?;
        }
    }
    Ok(picture)
}
