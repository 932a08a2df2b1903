//! Computes an image's mask for scoring, by a defined protocol.

use super::alpha::{AlphaScore, AlphaTruth, TruthValue};
use super::average::{LogitMap, average_argmax};
use super::{Boundary, VOID};
use crate::effects::Foreground;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::options::{Backend, InputShape, Options, OutputSize, Precision};
use crate::segmentation::Segmentation;
use crate::segmenter::Segmenter;
use crate::smooth::Smoothing;
use crate::video::VideoSegmenter;
use silhouette_imaging::frame::{Frame, Size};
use silhouette_imaging::mask::{Confidence, Mask, Resize};
use silhouette_kernels::memory;
use silhouette_network::network::{Conv, Network};
use std::time::Duration;

/// How masks are computed for scoring.
#[derive(Clone, Debug, PartialEq)]
pub struct Protocol {
    /// Side of the network's input; `None`: the model's own.
    pub size: Option<usize>,
    /// Whether the network sees a square or the image's own shape.
    pub input_shape: InputShape,
    /// The backend that runs the network.
    pub backend: Backend,
    /// The number format that the network computes in.
    pub precision: Precision,
    /// How a mask is resized to the image.
    pub back: Back,
    /// The network sees the image at each of these factors of the size, and the softmax of all is averaged at the
    /// image's size.
    pub scales: Vec<f64>,
    /// Whether to add a mirrored run for every scale.
    pub flip: bool,
    /// The output stride (8, 16 or 32) to run at; `None`: the model's own.
    pub output_stride: Option<usize>,
}

/// How a mask is resized to the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Back {
    /// The classes at the network's size, by nearest neighbour.
    #[default]
    Mask,
    /// The logits, bilinear, then the classes: as [`Segmenter`] does by default.
    Logits,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            size: None,
            input_shape: InputShape::default(),
            backend: Backend::default(),
            precision: Precision::default(),
            back: Back::Mask,
            scales: vec![1.0],
            flip: false,
            output_stride: None,
        }
    }
}

/// The quality of the border of an image's foreground (every class but the background), in the alpha of the effects.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Borders {
    /// As output by the network.
    pub plain: Border,
    /// With [`Options::refine`].
    pub refined: Border,
}

/// The quality of the border of an alpha.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Border {
    /// Boundary IoU.
    pub boundary: Boundary,
    /// Border F, and the other measures of an alpha. Void counts for the border as the nearest label.
    pub score: AlphaScore,
    /// Time to compute the alpha.
    pub spent: Duration,
}

/// The alpha of the effects for one image, at the image's own size.
#[derive(Clone, Debug, Default)]
pub struct Alphas {
    /// As output by the network.
    pub plain: Confidence,
    /// With [`Options::refine`].
    pub refined: Confidence,
    /// Time to compute the alpha without and with refinement.
    pub spent: [Duration; 2],
}

/// Maximum number of scales of a protocol.
const MAX_SCALES: usize = 32;

/// Computes masks by a [`Protocol`]. Calls may come from several threads.
///
/// ```
/// use silhouette::eval::{Confusion, Evaluator, Protocol};
/// use silhouette::{Frame, Model, Segmentation};
///
/// let evaluator = Evaluator::new(&Model::voc21()?, &Protocol { size: Some(129), ..Protocol::default() }, 1)?;
/// let pixels = vec![128; 64 * 48 * 3];
/// let (mask, _time) = evaluator.mask(&Frame::rgb(&pixels, 64, 48)?, &mut Segmentation::default())?;
/// let mut confusion = Confusion::new(21);
/// confusion.add(&mask.classes, &mask.classes).expect("both have the image's size");
/// assert_eq!(confusion.pixel_accuracy(), Some(1.0));
/// # Ok::<(), silhouette::Error>(())
/// ```
#[derive(Debug)]
pub struct Evaluator {
    /// One for each scale.
    segmenters: Vec<Segmenter>,
    back: Back,
    flip: bool,
    grid: Resize,
}

impl Evaluator {
    /// Creates an evaluator for `calls` concurrent calls, each running the network on its own thread.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an impossible protocol, otherwise as [`Segmenter::new`].
    pub fn new(model: &Model, protocol: &Protocol, calls: usize) -> Result<Self> {
        let usable = |scale: &f64| scale.is_finite() && *scale > 0.0;
        if !(1..=MAX_SCALES).contains(&protocol.scales.len()) || !protocol.scales.iter().all(usable) {
            return Err(Error::unsupported(
                format_args!("the scales {:?}", protocol.scales),
                "pass 1 to 32 factors above 0",
            ));
        }
        let model = match protocol.output_stride {
            Some(stride) => model.with_output_stride(stride)?,
            None => model.clone(),
        };
        let sizes = sizes(protocol, model.size());
        let segmenters = sizes
            .into_iter()
            .map(|size| {
                let output = match (protocol.back, protocol.averages()) {
                    (Back::Logits, false) => OutputSize::Frame,
                    _ => OutputSize::Model,
                };
                let options = Options::new().size(size).input_shape(protocol.input_shape);
                let options = options.backend(protocol.backend).precision(protocol.precision);
                Segmenter::new(&model, &options.threads(1).concurrency(calls).output(output))
            })
            .collect::<Result<Vec<_>>>()?;
        let grid = model.resize().unwrap_or(Resize::AlignCorners);
        let back = protocol.back;
        Ok(Self { segmenters, back, flip: protocol.flip, grid })
    }

    /// The sides of the network's input, one for each scale; the longer ones of [`InputShape::Frame`].
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        self.segmenters.iter().map(Segmenter::size)
    }

    /// Multiply-adds per image, over all scales and mirrored runs.
    ///
    /// # Errors
    /// None for an image for which [`mask`](Self::mask) succeeded.
    pub fn macs(&self, frame: &Frame<'_>) -> Result<u64> {
        let mut sum = 0;
        for segmenter in &self.segmenters {
            let network = Network::new(segmenter.model().spec(), segmenter.input_size(frame))?;
            sum += network.convs().map(Conv::macs).sum::<u64>();
        }
        Ok(sum * if self.flip { 2 } else { 1 })
    }

    /// Number of runs of the network per image.
    pub fn runs(&self) -> usize {
        self.segmenters.len() * if self.flip { 2 } else { 1 }
    }

    /// The mask of an image at the image's own size, and the time in the network and around it.
    ///
    /// # Errors
    /// The same as [`Segmenter::segment`].
    pub fn mask(&self, frame: &Frame<'_>, work: &mut Segmentation) -> Result<(Mask, Duration)> {
        let picture = frame.region().size();
        if self.runs() == 1 {
            self.segmenters[0].segment_into(frame, work)?;
            let mask = match self.back {
                Back::Logits => work.mask().clone(),
                Back::Mask => nearest(work.mask(), picture)?,
            };
            return Ok((mask, work.timings().total()));
        }
        let mut spent = Duration::ZERO;
        let mut runs = Vec::with_capacity(self.runs());
        for segmenter in &self.segmenters {
            for mirrored in [false, true].into_iter().take(if self.flip { 2 } else { 1 }) {
                // Mirrored in addition to the frame's own mirroring.
                let seen = frame.mirrored(mirrored);
                segmenter.segment_into(&seen, work)?;
                spent += work.timings().total();
                let (logits, (map, _)) = work.logits();
                let input = segmenter.input_size(frame);
                let covered = Size { height: work.height(), width: work.width() };
                let mut kept = Vec::new();
                memory::reserve(&mut kept, logits.len(), "logits")?;
                kept.extend_from_slice(logits);
                runs.push((kept, map, input, covered, mirrored));
            }
        }
        let classes = work.labels().len();
        let start = std::time::Instant::now();
        let maps: Vec<_> = runs
            .iter()
            .map(|(data, size, input, covered, mirrored)| LogitMap {
                data,
                size: *size,
                input: *input,
                covered: *covered,
                grid: self.grid,
                mirrored: *mirrored,
            })
            .collect();
        let classes = average_argmax(&maps, classes, picture)?;
        let Size { height, width } = picture;
        Ok((Mask { width, height, classes }, spent + start.elapsed()))
    }

    /// Segments an image into `work`, for [`alphas`](Self::alphas).
    ///
    /// # Errors
    /// [`Error::Unsupported`] if several runs are averaged, otherwise as [`Segmenter::segment`].
    pub fn segment(&self, frame: &Frame<'_>, work: &mut Segmentation) -> Result<()> {
        self.single()?.segment_into(frame, work)
    }

    /// Segments the frames of a new video, with temporal smoothing, for [`alphas`](Self::alphas).
    ///
    /// # Errors
    /// [`Error::Unsupported`] if several runs are averaged.
    pub fn video(&self, smoothing: Smoothing) -> Result<VideoSegmenter> {
        Ok(VideoSegmenter::new(self.single()?, smoothing))
    }

    /// The alpha of the effects, plain and refined, of the image that was just segmented into `work`.
    ///
    /// # Errors
    /// The same as [`Segmentation::alpha`].
    pub fn alphas(&self, frame: &Frame<'_>, foreground: &Foreground, work: &mut Segmentation) -> Result<Alphas> {
        work.resize(OutputSize::Frame)?;
        let mut alphas = Alphas::default();
        for (refine, spent) in [false, true].into_iter().zip(&mut alphas.spent) {
            work.refine(refine);
            let start = std::time::Instant::now();
            let alpha = work.alpha(frame, foreground)?;
            *spent = start.elapsed();
            *(if refine { &mut alphas.refined } else { &mut alphas.plain }) = alpha;
        }
        Ok(alphas)
    }

    /// The quality of the foreground's border in the image for which [`mask`](Self::mask) just computed `work`; `truth`
    /// holds a label for each of its pixels.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if several runs are averaged; [`Error::InvalidFrame`] for another image.
    pub fn borders(&self, frame: &Frame<'_>, truth: &Mask, work: &mut Segmentation) -> Result<Borders> {
        self.single()?;
        let size = Size { height: truth.height, width: truth.width };
        let region = frame.region();
        if size != region.size() {
            return Err(Error::frame(
                format_args!(
                    "labels of {}x{} for {}x{} pixels",
                    truth.width, truth.height, region.width, region.height
                ),
                "pass labels of the image's size",
            ));
        }
        let classes = work.labels().len();
        let alphas = self.alphas(frame, &Foreground::All, work)?;
        let meaning = std::array::from_fn(|value| match value {
            0 => TruthValue::Alpha(0),
            _ if value < classes => TruthValue::Alpha(255),
            _ if value == usize::from(VOID) => TruthValue::Void,
            _ => TruthValue::Unlabelled,
        });
        let mut true_alpha = AlphaTruth::new(size, &truth.classes, &meaning, true)?;
        let mut border = |alpha: &Confidence, spent| {
            let boundary = Boundary::of(&truth.classes, &alpha.values, alpha.width, alpha.height, classes)?;
            Ok::<_, Error>(Border { boundary, score: true_alpha.score(&alpha.values)?, spent })
        };
        let [plain, refined] = alphas.spent;
        Ok(Borders { plain: border(&alphas.plain, plain)?, refined: border(&alphas.refined, refined)? })
    }

    /// The segmenter, if a mask is of one run.
    fn single(&self) -> Result<&Segmenter> {
        if self.runs() > 1 {
            return Err(Error::unsupported("alphas of averaged runs", "omit scales and mirroring"));
        }
        Ok(&self.segmenters[0])
    }
}

impl Protocol {
    /// Whether several runs are averaged.
    fn averages(&self) -> bool {
        self.flip || self.scales.len() > 1
    }
}

/// Inputs of `16 k + 1`, so that corners stay on the feature map's corners; a scale of 1 does not change the size.
fn sizes(protocol: &Protocol, own: usize) -> Vec<usize> {
    let size = protocol.size.unwrap_or(own);
    protocol
        .scales
        .iter()
        .map(|&scale| {
            if (scale - 1.0).abs() < 1e-9 {
                return size;
            }
            let steps = (size.saturating_sub(1) as f64 * scale / 16.0).round().max(1.0);
            (steps as usize).saturating_mul(16).saturating_add(1)
        })
        .collect()
}

/// A mask at another size: each pixel has the class of the pixel that contains its centre.
fn nearest(mask: &Mask, Size { height, width }: Size) -> Result<Mask> {
    let place = |i: usize, to: usize, from: usize| (2 * i + 1) * from / (2 * to);
    let columns: Vec<_> = (0..width).map(|x| place(x, width, mask.width)).collect();
    let mut classes = Vec::new();
    memory::reserve(&mut classes, width * height, "a mask")?;
    for y in 0..height {
        let row = &mask.classes[place(y, height, mask.height) * mask.width..][..mask.width];
        classes.extend(columns.iter().map(|&x| row[x]));
    }
    Ok(Mask { width, height, classes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_network::spec::Spec;
    use silhouette_weights::{ModelFile, seeded};

    #[test]
    fn the_nearest_pixel_is_the_one_under_the_centre() {
        let wide = |width, height| Size { height, width };
        let mask = Mask { width: 2, height: 1, classes: vec![3, 7] };
        assert_eq!(nearest(&mask, wide(5, 1)).unwrap().classes, [3, 3, 7, 7, 7]);
        assert_eq!(nearest(&mask, wide(4, 2)).unwrap().classes, [3, 3, 7, 7, 3, 3, 7, 7]);
        let five = Mask { width: 5, height: 1, classes: vec![0, 1, 2, 3, 4] };
        assert_eq!(nearest(&five, wide(2, 1)).unwrap().classes, [1, 3]);
        assert_eq!(nearest(&five, wide(1, 1)).unwrap().classes, [2]);
    }

    #[test]
    fn sizes_keep_corners_on_corners() {
        let protocol =
            Protocol { size: Some(513), scales: vec![0.5, 0.75, 1.0, 1.25, 1.5, 1.75], ..Protocol::default() };
        assert_eq!(sizes(&protocol, 257), [257, 385, 513, 641, 769, 897]);
        let odd = Protocol { size: None, scales: vec![1.0, 0.01], ..Protocol::default() };
        assert_eq!(sizes(&odd, 300), [300, 17]);
    }
    #[test]
    fn every_option_of_the_protocol_reaches_the_engine() {
        let spec = Spec::preset("fixture").unwrap();
        let weights = seeded(&Network::native(&spec).unwrap(), 7);
        let model = Model::from_file(ModelFile::new(spec, weights).unwrap()).unwrap();
        for (precision, name) in [(Precision::F32, ", f32,"), (Precision::F16, ", f16,")] {
            let protocol = Protocol { precision, scales: vec![1.0, 1.5], ..Protocol::default() };
            let evaluator = Evaluator::new(&model, &protocol, 1).unwrap();
            assert!(evaluator.segmenters.iter().all(|segmenter| segmenter.description().contains(name)), "{name}");
        }
        let other = Protocol { precision: Precision::F16, backend: Backend::Graph, ..Protocol::default() };
        assert!(Evaluator::new(&model, &other, 1).is_err(), "f16 is the CPU's");
    }
}
