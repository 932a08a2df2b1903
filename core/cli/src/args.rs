//! The command line, as types.

use crate::effect::{Effect, effect};
use clap::{Args, Parser, Subcommand, ValueEnum};
use silhouette::{Backend, InputShape, Precision};
use std::path::PathBuf;

/// On-device segmentation: photos to masks, cut-outs, blurred or replaced backgrounds.
#[derive(Debug, Parser)]
#[command(name = "silhouette", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Log to stderr: backend, kernels, memory; at the end its peak
    #[arg(short, long, global = true, display_order = 1000)]
    pub(crate) verbose: bool,
}

/// The subcommand.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Convert a model (.tflite; .onnx; TensorFlow's frozen graph, .pb; PyTorch state dict as .pth or .safetensors; Hugging Face
    /// folder) to a Silhouette model file.
    Import(Import),
    /// Quantise a float model to 8-bit integers, with photos to calibrate on.
    Quantize(Quantize),
    /// Show a network layer by layer: shapes, parameters, multiply-accumulates (MACs), activation sizes. Without
    /// arguments: list the presets.
    Info(Info),
    /// Segment photos and write masks or images.
    Segment(Segment),
    /// Segment a video frame by frame: Y4M, as ffmpeg pipes it, or a folder of frames.
    Video(Video),
    /// Classify photos.
    Classify(Classify),
    /// Score a model on images with ground truth: mIOU, IoU of each class, pixel accuracy and confusion matrix; or, for its
    /// alpha of people, IoU, border F, error and flicker.
    Eval(Eval),
    /// Measure a model: time of each stage, memory, and the machine's lower bound. The last line of the output is JSON.
    Bench(Bench),
    /// Run a model on a raw tensor (.npy in, .npy out), to compare it with other engines.
    Run(Run),
    /// Repeat an experiment of the `MobileNetV2` paper; prints numbers and draws a figure.
    #[command(subcommand)]
    Experiment(Experiment),
}

#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The model to convert: a file, or a Hugging Face folder.
    #[arg(value_name = "SRC")]
    pub(crate) source: PathBuf,
    /// The model file to write.
    #[arg(short, long, value_name = "MODEL.safetensors")]
    pub(crate) output: PathBuf,
    /// The network, if the file does not store it: a spec as JSON, or the name of a preset (`silhouette info` lists
    /// them).
    #[arg(long, value_name = "SPEC.json|PRESET")]
    pub(crate) spec: Option<String>,
    /// The labels of its classes: a file (one label per line, lines such as `3 cat`, or JSON with `id2label`), or one of
    /// the sets voc, ade20k, cityscapes, coco, person.
    #[arg(long, value_name = "FILE|SET")]
    pub(crate) labels: Option<PathBuf>,
    /// The input size in pixels that the weights were trained for.
    #[arg(long, value_name = "N")]
    pub(crate) size: Option<usize>,
    /// The input size divided by the feature map's size: 8, 16 or 32.
    #[arg(long, value_name = "N")]
    pub(crate) output_stride: Option<usize>,
    /// The mean to subtract from R, G, B (0 to 255): one number, or three separated by commas.
    #[arg(long, value_name = "R,G,B", value_parser = three, allow_hyphen_values = true)]
    pub(crate) mean: Option<[f32; 3]>,
    /// The standard deviation to divide R, G, B by afterwards: one number, or three separated by commas.
    #[arg(long, value_name = "R,G,B", value_parser = three)]
    pub(crate) std: Option<[f32; 3]>,
    /// Atrous rates of a PyTorch DeepLabV3, one per branch.
    #[arg(long, value_name = "R,R,R", value_delimiter = ',')]
    pub(crate) rates: Option<Vec<usize>>,
    /// How a PyTorch network pads. Default: as its implementation does.
    #[arg(long, value_name = "HOW")]
    pub(crate) padding: Option<Padding>,
    /// How the logits of a PyTorch network, or of a graph that ends before its resize, are resized to the image. Default: as
    /// PyTorch's implementation does.
    #[arg(long, value_name = "HOW")]
    pub(crate) resize: Option<Resize>,
    /// The network to import from a checkpoint with several: the keys that lead to it, such as `state_dict.model`.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Hugging Face's configuration, if it is not next to the file.
    #[arg(long, value_name = "config.json")]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = QUANTIZE)]
pub(crate) struct Quantize {
    /// The float model file.
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// A folder of photos (JPEG, PNG, WebP) like those that the model will see. They need no masks.
    #[arg(long, value_name = "DIR")]
    pub(crate) calibrate: PathBuf,
    /// The model file to write.
    #[arg(short, long, value_name = "MODEL.safetensors")]
    pub(crate) output: PathBuf,
    /// Most photos to use, 1 to 10000.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = photos)]
    pub(crate) limit: usize,
    /// Decides which photos are used if there are more, and which of them are held out to compare choices on.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Layers whose weights stay floats, by name or by the beginning of the name: `head.classifier`, `blocks.3`.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    pub(crate) keep: Vec<String>,
    /// Calibrate at this input size instead of the model's own.
    #[arg(long, value_name = "N")]
    pub(crate) size: Option<usize>,
    /// The shape of the network's input. Default: frame; square for a classifier.
    #[arg(long, value_enum)]
    pub(crate) input_shape: Option<InputShape>,
    /// Threads. Default: all. The result is the same for any number.
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Score the model before and after on a folder in PASCAL VOC's layout: mIOU. Classes that the model does not have
    /// count as background.
    #[arg(long, value_name = "DIR")]
    pub(crate) voc: Option<PathBuf>,
    /// Its images to score: a file of names, one per line.
    #[arg(long, value_name = "FILE", default_value = "val.txt", requires = "voc")]
    pub(crate) list: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Info {
    /// A model file.
    #[arg(value_name = "MODEL", conflicts_with = "spec")]
    pub(crate) model: Option<PathBuf>,
    /// A spec as JSON, or the name of a preset, instead of a model.
    #[arg(long, value_name = "SPEC.json|PRESET")]
    pub(crate) spec: Option<String>,
    /// Print a table of several networks instead: those of the MobileNetV2 paper, with our figures next to the published
    /// ones.
    #[arg(long, value_enum, conflicts_with_all = ["model", "spec", "size"])]
    pub(crate) table: Option<Table>,
    /// The input size for the counts, instead of the spec's.
    #[arg(long, value_name = "N")]
    pub(crate) size: Option<usize>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A table of several networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Table {
    /// Segmentation (table 7), memory (table 3) and block cost (section 3.1) of the paper.
    Paper,
}

#[derive(Args, Debug)]
#[command(after_help = SEGMENT)]
pub(crate) struct Segment {
    /// Photos (JPEG, PNG, WebP, GIF, BMP, TIFF), folders of them, or - for a pipe.
    #[arg(value_name = "PHOTO", required = true)]
    pub(crate) photos: Vec<PathBuf>,
    /// What to write, as below; can be repeated [default: overlay]
    #[arg(long = "effect", value_name = "EFFECT", value_parser = effect)]
    pub(crate) effects: Vec<Effect>,
    /// The foreground, for every effect [default: in cutout, blur
    /// and replace people if any; otherwise all but the background]
    #[arg(long, value_name = "LABEL,LABEL", value_delimiter = ',', verbatim_doc_comment)]
    pub(crate) classes: Vec<String>,
    /// Only the largest connected piece of the foreground
    #[arg(long)]
    pub(crate) largest: bool,
    /// Cut every output to the box around the foreground.
    #[arg(long, value_enum, value_name = "subject", hide_possible_values = true)]
    pub(crate) crop: Option<Crop>,
    /// Around that box: pixels, or % of its side [default: 5%]
    #[arg(long, value_name = "N|N%", value_parser = margin, requires = "crop")]
    pub(crate) margin: Option<Margin>,
    /// Soft borders follow the image's edges [default: on]
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true)]
    pub(crate) refine: Option<Switch>,
    /// A folder, for NAME.EFFECT.png; or a file; or - [default: .]
    #[arg(short, long, value_name = "PATH", default_value = ".", hide_default_value = true)]
    pub(crate) output: PathBuf,
    /// Of images, not of masks; webp is lossless [default: png]
    #[arg(long, value_enum, value_name = "png|jpg|webp", hide_possible_values = true)]
    pub(crate) format: Option<Format>,
    /// Of JPEGs, 1 to 100 [default: 90]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) quality: Option<u8>,
    /// Reduce larger PNGs and JPEGs as they are read, refuse other
    /// larger photos [default: refuse all over 128000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_PIXELS), verbatim_doc_comment)]
    pub(crate) max_pixels: Option<u64>,
    /// Take truncated JPEGs and PNGs, as far as they go
    #[arg(long)]
    pub(crate) lenient: bool,
    #[command(flatten)]
    pub(crate) engine: Engine,
    /// Print one JSON object per photo instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = VIDEO)]
pub(crate) struct Video {
    /// A Y4M video, a folder of frames, or - for a pipe.
    #[arg(value_name = "VIDEO")]
    pub(crate) source: PathBuf,
    /// What to make of each frame, as below
    #[arg(long, value_name = "EFFECT", value_parser = effect, default_value = "overlay")]
    pub(crate) effect: Effect,
    /// The foreground [default: people; in mask, binary and
    /// overlay all classes but the background]
    #[arg(long, value_name = "LABEL,LABEL", value_delimiter = ',', verbatim_doc_comment)]
    pub(crate) classes: Vec<String>,
    /// Half-life of smoothing in ms; 0: none
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=86_400_000))]
    pub(crate) smoothing: u64,
    /// Soft borders follow the image's edges [default: on]
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true)]
    pub(crate) refine: Option<Switch>,
    /// NAME.y4m, a folder for PNGs, or - for a pipe
    #[arg(short, long, value_name = "PATH", default_value = "-")]
    pub(crate) output: PathBuf,
    /// Frames a second of a folder [default: 30]; a Y4M has its own
    #[arg(long, value_name = "N|N:N", value_parser = rate)]
    pub(crate) rate: Option<(u32, u32)>,
    #[command(flatten)]
    pub(crate) engine: Engine,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Below the options of `video`.
const VIDEO: &str = "\
Effects:
  blur, replace=X    another background: blurred, an image, a colour such as #00ff00
  overlay            the classes in colour over the frame
  mask, binary       the classes in their colours; white where the foreground is
  confidence=CLASS   grey, 255 is certain
  cutout             the foreground alone: only to a folder, as Y4M has no transparency

Every frame is written as soon as it is read, so a camera's stream works too. Y4M of 8 bits is
read: 420, 422, 444 and mono. Pixels that an effect leaves alone keep their values.

Examples:
  ffmpeg -i a.mp4 -f yuv4mpegpipe - | silhouette video - --effect blur | ffmpeg -i - b.mp4
  silhouette video frames --effect replace=#00ff00 --rate 25 -o green.y4m";

/// The most pixels of a photo: those of the largest mask.
const MOST_PIXELS: u64 = silhouette::MAX_PIXELS as u64;

/// What outputs are cut to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Crop {
    /// The box around the foreground.
    Subject,
}

/// Space around a box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Margin {
    Pixels(usize),
    /// Of its longer side.
    Percent(f64),
}

/// An image format to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Png,
    #[value(alias = "jpeg")]
    Jpg,
    Webp,
}

impl Format {
    /// By the end of a file's name.
    pub(crate) fn of(path: &std::path::Path) -> Option<Self> {
        match path.extension()?.to_string_lossy().to_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpg),
            "webp" => Some(Self::Webp),
            _ => None,
        }
    }

    /// The usual end of a name.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpg => "jpg",
            Self::Webp => "webp",
        }
    }
}

/// Below the options of `segment`.
const SEGMENT: &str = "\
Effects:
  mask, binary       class ids as a palette PNG; white where the foreground is
  overlay            the classes in colour over the photo
  cutout, blur       the foreground alone; the background blurred
  replace=X          another background: an image, or a colour such as #00ff00
  confidence=CLASS   grey, 255 is certain
  geojson, coco      outlines of each piece, as JSON

Examples:
  silhouette segment photo.jpg --effect cutout --crop subject -o cutout.png
  silhouette segment photos --effect blur --format jpg -o out
  cat photo.jpg | silhouette segment - --effect replace=#ffffff -o - > white.png";

#[derive(Args, Debug)]
pub(crate) struct Classify {
    /// Photos (JPEG, PNG, WebP, GIF, BMP, TIFF), folders of them, or - for a pipe.
    #[arg(value_name = "PHOTO", required = true)]
    pub(crate) photos: Vec<PathBuf>,
    /// Number of classes to print.
    #[arg(long, value_name = "K", default_value_t = 5)]
    pub(crate) top: usize,
    /// Take truncated JPEGs and PNGs, as far as they go
    #[arg(long)]
    pub(crate) lenient: bool,
    #[command(flatten)]
    pub(crate) engine: Engine,
    /// Print one JSON object per photo instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = EVAL)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Eval {
    /// A folder in PASCAL VOC's layout: images in `JPEGImages`, labels in `SegmentationClass` (palette PNGs, 255 is not
    /// scored).
    #[arg(long, value_name = "DIR", conflicts_with_all = ["images", "masks"])]
    pub(crate) voc: Option<PathBuf>,
    /// The images of --voc to score: a file with one name per line.
    #[arg(long, value_name = "FILE", default_value = "val.txt")]
    pub(crate) list: PathBuf,
    /// A plain folder of images, instead of --voc.
    #[arg(long, value_name = "DIR")]
    pub(crate) images: Option<PathBuf>,
    /// The folder of the masks of --images: PNGs with the same names. Their pixels are class indices, or RGB in the colours
    /// of the model's classes.
    #[arg(long, value_name = "DIR", requires = "images")]
    pub(crate) masks: Option<PathBuf>,
    /// The labels of the masks' indices, in the formats of `import --labels`. Default: the model's labels. Labels of the
    /// model that are not among them count as the first.
    #[arg(long, value_name = "FILE|SET")]
    pub(crate) labels: Option<PathBuf>,
    /// The value of the foreground in the masks (255 if they are black and white); 0 is the background. The foreground is
    /// the second of two --labels, or all of the model's classes but the background. With --people, values in between are
    /// alphas.
    #[arg(long, value_name = "V", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) foreground: Option<u8>,
    /// How a mask is resized to the image: its classes by nearest neighbour, or the logits bilinearly.
    #[arg(long, value_enum, default_value_t = Back::Mask)]
    pub(crate) back: Back,
    /// Run the network at the size times each of these factors, and average the softmax.
    #[arg(long, value_name = "S,S", value_delimiter = ',', default_value = "1")]
    pub(crate) scales: Vec<f64>,
    /// Also run the network on each image's mirror image.
    #[arg(long)]
    pub(crate) flip: bool,
    /// Run the network at this output stride (8, 16 or 32) instead of the model's.
    #[arg(long, value_name = "N")]
    pub(crate) output_stride: Option<usize>,
    /// Also score the border of the foreground (every class but the background) in the alpha that effects use, plain and
    /// refined: boundary IoU and border F.
    #[arg(long, conflicts_with = "flip")]
    pub(crate) boundary: bool,
    /// Score the alpha of people, plain and refined, instead of masks: IoU, border F and alpha error, also by the size of the
    /// people. For models of people, or with a class 'person'. The masks have VOC's classes unless --labels or
    /// --foreground is passed.
    #[arg(long, conflicts_with_all = ["back", "scales", "flip", "boundary", "errors", "worst"])]
    pub(crate) people: bool,
    /// Measure how much the alpha of people changes from frame to frame where nothing moves, with and without temporal
    /// smoothing: in a sequence generated from each of --images, which need no masks, or in --sequence.
    #[arg(long, conflicts_with_all = [
        "people", "voc", "masks", "labels", "foreground", "back", "scales", "flip", "boundary", "errors", "worst",
    ])]
    pub(crate) flicker: bool,
    /// A folder with the frames of a video, for --flicker.
    #[arg(long, value_name = "DIR", requires = "flicker", conflicts_with = "images")]
    pub(crate) sequence: Option<PathBuf>,
    /// The number of frames in each sequence that --flicker generates from an image.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = frames)]
    pub(crate) frames: usize,
    /// Write the scores as JSON. FILE.partial stores the scores of finished images, so that an interrupted run can be
    /// resumed.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draw the worst images into this folder: photo, ground truth and mask side by side.
    #[arg(long, value_name = "DIR")]
    pub(crate) errors: Option<PathBuf>,
    /// The number of images that --errors draws.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) worst: usize,
    #[command(flatten)]
    pub(crate) engine: Engine,
}

/// How a mask is resized to the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Back {
    /// The classes, by nearest neighbour.
    Mask,
    /// The logits, bilinearly, from which the classes follow.
    Logits,
}

#[derive(Args, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Bench {
    /// The model file.
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// The photo to segment. Default: a generated image of 1280x720.
    #[arg(long, value_name = "PHOTO")]
    pub(crate) photo: Option<PathBuf>,
    /// Run the network at this input size instead of the model's own; the mask has this size too.
    #[arg(long, value_name = "N")]
    pub(crate) size: Option<usize>,
    /// The shape of the network's input.
    #[arg(long, value_enum, default_value_t = InputShape::Square)]
    pub(crate) input_shape: InputShape,
    /// Number of threads [default: 1].
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Cache packed weights in this folder, so that the model opens faster next time.
    #[arg(long, value_name = "DIR")]
    pub(crate) weight_cache: Option<PathBuf>,
    /// The number format that the network computes in.
    #[arg(long, value_enum, default_value_t = Precision::Auto)]
    pub(crate) precision: Precision,
    /// Map the model file into memory instead of reading it, as an app does with a model in its own package.
    #[arg(long)]
    pub(crate) mapped: bool,
    /// The number of timed runs, after a warm-up.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = runs)]
    pub(crate) runs: usize,
    /// Show the network's steps with their times.
    #[arg(long)]
    pub(crate) stages: bool,
    /// Show how each step is computed, and why.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Also time the alpha that effects use, at the photo's size, plain and refined.
    #[arg(long)]
    pub(crate) effects: bool,
    /// Print only the JSON line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How to load and run a model; the same flags for every command that does.
#[derive(Args, Debug)]
pub(crate) struct Engine {
    /// From `silhouette import` [default: built in, for people and
    /// for the 21 classes of PASCAL VOC]
    #[arg(long, value_name = "MODEL", verbatim_doc_comment)]
    pub(crate) model: Option<PathBuf>,
    /// The network's input size [default: the model's own]
    #[arg(long, value_name = "N")]
    pub(crate) size: Option<usize>,
    /// The network's input: the image's shape, or a square padded
    /// with grey [default: frame; to classify square]
    #[arg(long, value_enum, value_name = "frame|square", hide_possible_values = true, verbatim_doc_comment)]
    pub(crate) input_shape: Option<InputShape>,
    /// [default: as many as are useful, at most 4]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Keep packed weights here, to open the model faster
    #[arg(long, value_name = "DIR")]
    pub(crate) weight_cache: Option<PathBuf>,
    /// Where to compute [default: auto]
    #[arg(long, value_enum, value_name = "auto|cpu|metal|graph", default_value_t = Backend::Auto, hide_possible_values = true, hide_default_value = true)]
    pub(crate) backend: Backend,
    /// What to compute in [default: auto, f16 where it is faster]
    #[arg(long, value_enum, value_name = "auto|f32|f16", default_value_t = Precision::Auto, hide_possible_values = true, hide_default_value = true)]
    pub(crate) precision: Precision,
}

/// An on/off flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Enabled.
    On,
    /// Disabled.
    Off,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// The model file.
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// The network's input: f32, (1, 3, H, W), normalised for the model.
    #[arg(long, value_name = "X.npy")]
    pub(crate) input: PathBuf,
    /// Where to write the result: f32, (1, C, H, W).
    #[arg(short, long, value_name = "Y.npy")]
    pub(crate) output: PathBuf,
    /// Write this tensor instead of the logits, such as `blocks.3` or `stem`. (The error for an unknown name lists all names.)
    #[arg(long, value_name = "NAME")]
    pub(crate) tensor: Option<String>,
    /// The engine that runs the network.
    #[arg(long, value_enum, default_value_t = Runner::Graph)]
    pub(crate) engine: Runner,
    /// The number format that the plan computes in; the graph always computes in f32.
    #[arg(long, value_enum, default_value_t = Element::F32)]
    pub(crate) precision: Element,
}

/// An element type of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Element {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 8-bit integers, for quantised models.
    Int8,
}

/// The engine that runs the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runner {
    /// The candle graph, the readable reference.
    Graph,
    /// The compiled CPU plan.
    Plan,
}

/// An experiment of the paper.
#[derive(Debug, Subcommand)]
pub(crate) enum Experiment {
    /// What ReLU preserves of a spiral after a random projection into n dimensions (figure 1).
    Manifold(Manifold),
    /// What residual blocks contribute: remove them from a trained model, without retraining (section 3.4).
    DropBlocks(DropBlocks),
    /// Memory and time when the expanded tensor is computed in t slices (section 5.1), compared with the fused engine.
    Split(Split),
}

#[derive(Args, Debug)]
pub(crate) struct Manifold {
    /// Numbers of dimensions, 2 to 1000.
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "2,3,5,15,30", value_parser = dimensions)]
    pub(crate) dimensions: Vec<usize>,
    /// Seed of the random matrices.
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub(crate) seed: u64,
    /// Number of matrices to average over, 1 to 100000.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = matrices)]
    pub(crate) matrices: usize,
    #[command(flatten)]
    pub(crate) report: Report,
}

#[derive(Args, Debug)]
pub(crate) struct DropBlocks {
    /// Photos without ground truth; the reference is the full model's masks.
    #[arg(value_name = "PHOTO", conflicts_with = "voc", required_unless_present_any = ["voc", "drop"])]
    pub(crate) photos: Vec<PathBuf>,
    /// A folder in PASCAL VOC's layout; the reference is its ground truth.
    #[arg(long, value_name = "DIR")]
    pub(crate) voc: Option<PathBuf>,
    /// The images of --voc to use: a file with one name per line.
    #[arg(long, value_name = "FILE", default_value = "val.txt")]
    pub(crate) list: PathBuf,
    /// The largest number of blocks to remove at once.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) most: usize,
    /// Instead of running the experiment, write the model without these blocks (their numbers, separated by commas).
    #[arg(long, value_name = "N,N", value_delimiter = ',', requires = "save", conflicts_with_all = ["photos", "voc"])]
    pub(crate) drop: Vec<usize>,
    /// The model file that --drop writes.
    #[arg(long, value_name = "MODEL.safetensors", requires = "drop")]
    pub(crate) save: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: Engine,
    #[command(flatten)]
    pub(crate) report: Report,
}

#[derive(Args, Debug)]
pub(crate) struct Split {
    /// The model file. Default: the built-in model.
    #[arg(long, value_name = "MODEL.safetensors")]
    pub(crate) model: Option<PathBuf>,
    /// Run the network at this input size.
    #[arg(long, value_name = "N", default_value_t = 513)]
    pub(crate) size: usize,
    /// Numbers of slices, 1 to 4096.
    #[arg(long, value_name = "T,T", value_delimiter = ',', default_value = "1,2,3,4,6,9,16,32", value_parser = ways)]
    pub(crate) ways: Vec<usize>,
    /// The number of timed runs of each, after a warm-up.
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = runs)]
    pub(crate) runs: usize,
    #[command(flatten)]
    pub(crate) report: Report,
}

/// Output of an experiment.
#[derive(Args, Debug)]
pub(crate) struct Report {
    /// Draw the figure into this file.
    #[arg(short, long, value_name = "FIGURE.svg|png")]
    pub(crate) output: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Below the options of `eval`.
const EVAL: &str = "\
--people prints, in percent and at the image's own size: the IoU of all images' pixels together
(pooled) and the mean IoU over images; the F score of the border, matched within 2 pixels and within
0.75 % of the diagonal; the mean absolute error of the alpha; the share of images with an IoU under
0.5. A pixel is a person if its alpha is at least one half. The pooled IoU and the error cover all
images, the other figures only those with people. VOC's void pixels get the nearest label when
borders are scored (with folders, borders near them are not scored), and are not scored otherwise.

--flicker prints the mean absolute change of the alpha from one frame to the next, in percent, at the
same place of the scene. A sequence generated from an image (reduced to 1280 pixels) simulates a
hand-held camera on a still scene at 30 frames per second. Each frame is a window of the image,
shifted by up to 0.25 % of the longer side (3 pixels of 1280) in both directions, made up to 5 %
lighter or darker, with noise of standard deviation 2 (of 255); the frames are the same in every run.
In a recorded sequence the camera's shift is estimated, and blocks of 16x16 pixels in which something
moved are excluded, with the blocks next to them.";

/// Below the options of `quantize`.
const QUANTIZE: &str = "\
One line per layer: signal to noise of its output with everything before it quantised too; the share
of values outside of the range of its bytes; this range, and how it was chosen (pixels: what the
input can be; extremes: all values seen; percentile: without the outermost 1 in 10,000;
squared_error: least squared error); weights: outputs whose largest weights were cut off, and
outputs whose weights make up for each other's rounding. The worst tenth is marked with *. All is
measured on photos that were held out (one in five).";

fn photos(text: &str) -> Result<usize, String> {
    between(text, 1, 10_000)
}

fn margin(text: &str) -> Result<Margin, String> {
    let wrong = || "expected pixels, such as 20, or percent of the box's longer side up to 100, such as 5%".to_owned();
    match text.strip_suffix('%') {
        Some(percent) => percent
            .parse()
            .ok()
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(Margin::Percent)
            .ok_or_else(wrong),
        None => text.parse().ok().map(Margin::Pixels).ok_or_else(wrong),
    }
}

fn rate(text: &str) -> Result<(u32, u32), String> {
    let (number, of) = text.split_once(':').unwrap_or((text, "1"));
    let part = |text: &str| text.parse().ok().filter(|number| (1..=1_000_000).contains(number));
    match (part(number), part(of)) {
        (Some(number), Some(of)) => Ok((number, of)),
        _ => Err("expected frames a second, such as 25 or 30000:1001".into()),
    }
}

fn frames(text: &str) -> Result<usize, String> {
    between(text, 2, 1000)
}

fn runs(text: &str) -> Result<usize, String> {
    between(text, 1, 1_000_000)
}

fn dimensions(text: &str) -> Result<usize, String> {
    between(text, 2, 1000)
}

fn matrices(text: &str) -> Result<usize, String> {
    between(text, 1, 100_000)
}

fn ways(text: &str) -> Result<usize, String> {
    between(text, 1, 4096)
}

fn between(text: &str, least: usize, most: usize) -> Result<usize, String> {
    text.trim().parse().ok().filter(|n| (least..=most).contains(n)).ok_or_else(|| format!("{least} to {most}"))
}

/// How convolutions pad.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Padding {
    /// TensorFlow's SAME.
    Same,
    /// The same number of zeros on each side.
    Symmetric,
    /// Around a block's input, and not before the stem (VainF's).
    BlockInput,
}

/// How logits are resized.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Resize {
    /// Corner pixels' centres coincide.
    AlignCorners,
    /// Pixel areas coincide.
    HalfPixel,
}

fn three(text: &str) -> Result<[f32; 3], String> {
    let wrong = || "expected one number, or three separated by commas".to_owned();
    let parts: Vec<f32> =
        text.split(',').map(|part| part.trim().parse::<f32>().map_err(|_| wrong())).collect::<Result<_, _>>()?;
    if parts.iter().any(|value| !value.is_finite()) {
        return Err("expected finite numbers".into());
    }
    match parts[..] {
        [all] => Ok([all; 3]),
        [r, g, b] => Ok([r, g, b]),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_a_screen() {
        let mut command = Cli::command();
        command.build();
        for name in ["segment", "video"] {
            let help = command.find_subcommand_mut(name).unwrap().render_help().to_string();
            assert!(help.lines().count() <= 50, "{} lines: {help}", help.lines().count());
            for line in help.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
    }

    #[test]
    fn margins_are_pixels_or_percent() {
        assert_eq!(margin("12"), Ok(Margin::Pixels(12)));
        assert_eq!(margin("2.5%"), Ok(Margin::Percent(2.5)));
        for wrong in ["", "%", "-1", "1e9%", "101%", "nan%", "x"] {
            assert!(margin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn three_numbers_or_one() {
        assert_eq!(three("127.5"), Ok([127.5; 3]));
        assert_eq!(three("1, -2,3"), Ok([1.0, -2.0, 3.0]));
        for wrong in ["", "1,2", "1,2,3,4", "a", "inf", "nan"] {
            assert!(three(wrong).is_err(), "{wrong}");
        }
    }
}
