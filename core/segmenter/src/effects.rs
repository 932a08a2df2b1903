//! Images rendered from a frame and its segmentation: overlay, cut-out, blurred or replaced background.

use crate::bounds;
use crate::error::Result;
use crate::segmentation::Segmentation;
use silhouette_imaging::frame::{Frame, Region};
use silhouette_imaging::mask::{Confidence, Mask};
use silhouette_imaging::picture::Picture;
use silhouette_imaging::refine::{Guide, refine};

/// The classes in the foreground of an effect.
///
/// ```
/// use silhouette::{Foreground, Model};
///
/// let model = Model::voc21()?;
/// let pets = Foreground::Classes(vec![model.class_index("cat")?, model.class_index("dog")?]);
/// # let _ = pets;
/// # Ok::<(), silhouette::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Foreground {
    /// Every class but the background (class 0).
    #[default]
    All,
    /// These classes.
    Classes(Vec<usize>),
}

/// Opacity of the colours of [`Segmentation::overlay`].
pub const OVERLAY_OPACITY: f32 = 0.55;

/// Standard deviation of [`Segmentation::blur`] as a share of the image's longer side.
pub const BLUR_RADIUS: f32 = 0.015;

/// The effects of [`Segmentation::render`].
///
/// ```
/// use silhouette::{Effect, Foreground, Frame, Model, Options, Segmenter};
///
/// let segmenter = Segmenter::new(&Model::people()?, &Options::new())?;
/// let pixels = vec![128; 64 * 48 * 3];
/// let frame = Frame::rgb(&pixels, 64, 48)?;
/// let segmentation = segmenter.segment(&frame)?;
/// let strong = segmentation.render(&frame, Effect::Blur { radius: 0.05 }, &Foreground::All)?;
/// let beach = Frame::rgb(&pixels, 48, 64)?;
/// let moved = segmentation.render(&frame, Effect::Replace { background: &beach }, &Foreground::All)?;
/// assert_eq!((moved.width, moved.height), (strong.width, strong.height));
/// # Ok::<(), silhouette::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Effect<'a> {
    /// The frame's region unchanged, upright.
    Picture,
    /// Each foreground class blended over it in its colour.
    Overlay {
        /// From 0 (the colours are invisible) to 1 (they are opaque), usually [`OVERLAY_OPACITY`].
        opacity: f32,
    },
    /// Only the foreground, the rest transparent.
    Cutout,
    /// The background blurred.
    Blur {
        /// Standard deviation as a share of the image's longer side, 0 to 0.5, usually [`BLUR_RADIUS`].
        radius: f32,
    },
    /// Another image behind the foreground, scaled and cropped to cover the frame.
    Replace {
        /// The new background.
        background: &'a Frame<'a>,
    },
}

impl Segmentation {
    /// The frame with an effect. `foreground` selects the classes of its foreground; effects without one ignore it.
    ///
    /// # Errors
    /// [`Error::InvalidFrame`](crate::Error::InvalidFrame) if `frame` cannot be the one that was segmented;
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a class that the model does not have, an opacity or a
    /// radius out of bounds, or if there is not enough memory for the image.
    pub fn render(&self, frame: &Frame<'_>, effect: Effect<'_>, foreground: &Foreground) -> Result<Picture> {
        match effect {
            Effect::Overlay { opacity } => bounds::opacity(opacity)?,
            Effect::Blur { radius } => bounds::blur_radius(radius)?,
            _ => {}
        }
        let mut picture = self.picture(frame)?;
        match effect {
            Effect::Picture => {}
            Effect::Overlay { opacity } => {
                picture.overlay_classes(self.mask(), self.palette(), opacity, &self.flags(foreground)?);
            }
            Effect::Cutout => picture.cut_out(&self.alpha_of(&picture, foreground)?)?,
            Effect::Blur { radius } => {
                let radius = radius * picture.width.max(picture.height) as f32;
                picture.blur_background(&self.alpha_of(&picture, foreground)?, radius)?;
            }
            Effect::Replace { background } => {
                picture.replace_background(&self.alpha_of(&picture, foreground)?, background)?;
            }
        }
        Ok(picture)
    }

    /// The frame's region unchanged, upright.
    ///
    /// # Errors
    /// [`Error::InvalidFrame`](crate::Error::InvalidFrame) if `frame` cannot be the one that was segmented;
    /// [`Error::Unsupported`](crate::Error::Unsupported) if there is not enough memory for the image.
    pub fn picture(&self, frame: &Frame<'_>) -> Result<Picture> {
        self.check_frame(frame)?;
        Ok(Picture::from_frame(frame)?)
    }

    /// The frame with each class of the foreground blended over it in its colour.
    ///
    /// # Errors
    /// The same as [`render`](Self::render).
    pub fn overlay(&self, frame: &Frame<'_>, foreground: &Foreground) -> Result<Picture> {
        self.render(frame, Effect::Overlay { opacity: OVERLAY_OPACITY }, foreground)
    }

    /// Only the foreground, the rest transparent; alpha is the network's confidence.
    ///
    /// # Errors
    /// The same as [`render`](Self::render).
    pub fn cutout(&self, frame: &Frame<'_>, foreground: &Foreground) -> Result<Picture> {
        self.render(frame, Effect::Cutout, foreground)
    }

    /// The frame with its background blurred.
    ///
    /// # Errors
    /// The same as [`render`](Self::render).
    pub fn blur(&self, frame: &Frame<'_>, foreground: &Foreground) -> Result<Picture> {
        self.render(frame, Effect::Blur { radius: BLUR_RADIUS }, foreground)
    }

    /// The foreground in front of another image, which is scaled and cropped to cover the frame.
    ///
    /// # Errors
    /// The same as [`render`](Self::render).
    pub fn replace(&self, frame: &Frame<'_>, foreground: &Foreground, background: &Frame<'_>) -> Result<Picture> {
        self.render(frame, Effect::Replace { background }, foreground)
    }

    /// How much each pixel of the frame belongs to the foreground, 0 to 255: the alpha of the effects. It is the
    /// confidence with a steeper curve (unlikely pixels become fully transparent, soft edges stay), at the mask's size;
    /// with [`Options::refine`](crate::Options::refine) its borders follow the image's, at the frame's size. A model
    /// that outputs an alpha ([`Task::Alpha`](crate::Task::Alpha)) knows how soft an edge is: its alpha is used
    /// unchanged, and made steeper only after refining.
    ///
    /// # Errors
    /// The same as [`cutout`](Self::cutout).
    pub fn alpha(&self, frame: &Frame<'_>, foreground: &Foreground) -> Result<Confidence> {
        self.alpha_of(&self.picture(frame)?, foreground)
    }

    /// The mask of the foreground only: every other pixel is class 0, the background.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a class that the model does not have, and if memory runs out.
    pub fn mask_of(&self, foreground: &Foreground) -> Result<Mask> {
        Ok(self.mask().only(&self.flags(foreground)?)?)
    }

    /// 1 for each pixel of the mask that is in the foreground, 0 for the others.
    ///
    /// # Errors
    /// As [`mask_of`](Self::mask_of).
    pub fn binary(&self, foreground: &Foreground) -> Result<Mask> {
        Ok(self.mask().binary(&self.flags(foreground)?)?)
    }

    /// The smallest rectangle of the mask that holds every pixel of the foreground; `None` if there are none.
    ///
    /// # Errors
    /// As [`mask_of`](Self::mask_of).
    pub fn bounds(&self, foreground: &Foreground) -> Result<Option<Region>> {
        Ok(self.binary(foreground)?.bounds())
    }

    /// A flag for each class: whether it belongs to the foreground.
    fn flags(&self, foreground: &Foreground) -> Result<[bool; 256]> {
        let mut flags = [false; 256];
        match foreground {
            Foreground::All => flags[1..].fill(true),
            Foreground::Classes(classes) => {
                for &class in classes {
                    flags[self.known(class)?] = true;
                }
            }
        }
        Ok(flags)
    }

    fn alpha_of(&self, picture: &Picture, foreground: &Foreground) -> Result<Confidence> {
        let all: Vec<usize>;
        let classes = match foreground {
            Foreground::Classes(classes) => classes,
            Foreground::All => {
                all = (1..self.labels().len()).collect();
                &all
            }
        };
        let (coarse, refined) = self.coarse(classes)?;
        if refined {
            // Half a cell of the network's map: its border may be that far from the image's.
            let radius = (self.stride() / 2).max(LEAST_RADIUS);
            return Ok(refine(&coarse, picture, Guide { radius, haze: HAZE, ..Guide::default() })?);
        }
        let mut alpha = self.confidence(classes)?;
        if !self.is_alpha() {
            let curve: [u8; 256] = std::array::from_fn(|value| soft_edge(value as f32 / 255.0));
            for value in &mut alpha.values {
                *value = curve[usize::from(*value)];
            }
        }
        Ok(alpha)
    }
}

/// Pixels below this probability become fully transparent, those above one minus it fully opaque.
const HAZE: f32 = 0.25;

/// Minimum radius of the refinement in pixels of the network's input.
const LEAST_RADIUS: usize = 2;

/// A smooth step from 0 at [`HAZE`] to 255 at one minus it.
fn soft_edge(probability: f32) -> u8 {
    let t = ((probability - HAZE) / (1.0 - 2.0 * HAZE)).clamp(0.0, 1.0);
    (255.0 * t * t * (3.0 - 2.0 * t) + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::soft_edge;

    #[test]
    #[cfg(feature = "fixture")]
    fn refinement_knows_the_networks_stride() {
        use crate::{Frame, InputShape, Model, Options, Segmenter};
        let bytes = [0; 60 * 40 * 3];
        for shape in [InputShape::Square, InputShape::Frame] {
            for stride in [8, 16] {
                let model = Model::fixture().unwrap().with_output_stride(stride).unwrap();
                let segmenter = Segmenter::new(&model, &Options::new().threads(1).input_shape(shape)).unwrap();
                for (width, height) in [(60, 40), (40, 60), (20, 40)] {
                    let frame = Frame::rgb(&bytes, width, height).unwrap();
                    assert_eq!(segmenter.segment(&frame).unwrap().stride(), stride, "{width}x{height}, {shape:?}");
                }
            }
        }
    }

    #[test]
    fn haze_goes_and_the_middle_stays() {
        assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(soft_edge), [0, 0, 128, 255, 255]);
        assert!((1..=100).all(|i| soft_edge(i as f32 / 100.0) >= soft_edge((i - 1) as f32 / 100.0)));
    }
}
