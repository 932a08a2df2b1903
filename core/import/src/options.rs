//! Options that supply what a file does not store, or replace what it does.

use silhouette_network::spec::{Fit, Padding, Resize, Spec};

/// Supplies what a file does not store, and overrides what it does. The field names are the command line's flags.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The whole specification: for files with names but no graph (PyTorch), or to supply everything that a graph does
    /// not store (labels, normalisation). A graph file must match its structure.
    pub spec: Option<Spec>,
    /// One label per class, in the order of the logits; for a head with a single logit, the foreground's, or the
    /// background's and the foreground's.
    pub labels: Option<Vec<String>>,
    /// Whether to add a background before the labels if the file has one class more than there are labels.
    pub optional_background: bool,
    /// Height and width of the input.
    pub size: Option<usize>,
    /// 8, 16 or 32, to change the file's (or the specification's).
    pub output_stride: Option<usize>,
    /// Subtracted from R, G and B (0 to 255).
    pub mean: Option<[f32; 3]>,
    /// Each channel is then divided by it.
    pub std: Option<[f32; 3]>,
    /// How images are fitted into the square. By default letterboxed with the mean's grey for segmentation, as DeepLab
    /// is trained and evaluated, and stretched for classifiers.
    pub fit: Option<Fit>,
    /// The keys above the network in a state dict, joined by dots, if it holds several networks.
    pub key: Option<String>,
    /// The atrous rates of a state dict's DeepLabV3, one per branch.
    pub rates: Option<Vec<usize>>,
    /// How a state dict's network pads; by default as its implementation does.
    pub padding: Option<Padding>,
    /// How the logits of a state dict are resized, by default as its implementation does; and of a graph that ends before that.
    pub resize: Option<Resize>,
    /// The text of Hugging Face's `config.json`; [`import`](crate::import) finds the one beside the file.
    pub config: Option<String>,
    /// The text of Hugging Face's `preprocessor_config.json`, likewise.
    pub preprocessor: Option<String>,
    /// A short name; by default the file's own.
    pub name: Option<String>,
    /// Licence of the weights.
    pub licence: Option<String>,
    /// Origin of the weights; by default the file's name and format.
    pub provenance: Option<String>,
}
