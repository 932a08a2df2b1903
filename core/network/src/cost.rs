//! The cost of a network: parameters, multiply-accumulates (MACs) and activation sizes, per layer and in total, as
//! executed and as the MobileNetV2 paper counts them; the paper's own figures for comparison; the largest map of every
//! resolution.
//!
//! How the paper counts: parameters are weights, biases and batch norm's gamma and beta. MACs are those of the
//! convolutions and the classifier at 513x513 (224x224 for the classifiers). An atrous convolution of ASPP is counted
//! on the map that TensorFlow creates for it, padded to a multiple of the rate. 'MF' sums over six scales, each with
//! its mirror image.

mod published;

use serde::Serialize;

pub use self::published::{MEMORY, MemoryRow, PAPER, PaperRow, RESNET, Resnet, ResnetRow};

use crate::error::ModelError;
use crate::network::{Conv, Network, Node, NodeId, Operation, Size};
use crate::spec::Spec;

/// The scales of the multi-scale evaluation (DeepLabV3, section 4).
pub const SCALES: [f64; 6] = [0.5, 0.75, 1.0, 1.25, 1.5, 1.75];

/// A map's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MapShape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl MapShape {
    fn new(size: Size, channels: usize) -> Self {
        Self { height: size.height, width: size.width, channels }
    }

    /// Values in the map.
    pub fn values(self) -> u64 {
        self.height as u64 * self.width as u64 * self.channels as u64
    }
}

/// The kind of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerKind {
    /// Every output channel reads every input channel, in a window of several pixels.
    Convolution,
    /// The same in a window of one pixel.
    Pointwise,
    /// A convolution of each channel separately.
    Depthwise,
}

/// One convolution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerCost {
    /// Its name in the network and the model file.
    pub name: String,
    /// Its kind.
    pub kind: LayerKind,
    /// Kernel side.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Atrous rate.
    pub rate: usize,
    /// The map read.
    pub input: MapShape,
    /// The map written.
    pub output: MapShape,
    /// Weights, and the bias of a layer without batch norm.
    pub weights: u64,
    /// The same plus batch norm's gamma and beta: the paper's parameters.
    pub parameters: u64,
    /// Multiply-adds executed.
    pub macs: u64,
    /// Multiply-adds as the paper counts them.
    pub macs_paper: u64,
    /// Values of the map written.
    pub activation: u64,
}

/// Sums over a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Sum of [`LayerCost::weights`].
    pub weights: u64,
    /// Sum of [`LayerCost::parameters`].
    pub parameters: u64,
    /// Sum of [`LayerCost::macs`]: MACs as executed.
    pub macs: u64,
    /// Sum of [`LayerCost::macs_paper`]: MACs as the paper counts them.
    pub macs_paper: u64,
    /// The layer that writes the largest map.
    pub largest_layer: String,
    /// Values of that map.
    pub largest_activation: u64,
}

/// The cost of a network at one input size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Height and width of the input.
    pub input: Size,
    /// Every convolution, in execution order.
    pub layers: Vec<LayerCost>,
    /// Every node without weights, in execution order.
    pub joins: Vec<JoinCost>,
    /// The sums.
    pub total: Totals,
}

impl Cost {
    /// Counts `network`.
    pub fn of(network: &Network) -> Self {
        // The atrous convolutions of ASPP; for a separable branch its depthwise half.
        let aspp = |conv: &Conv| conv.name.starts_with("head.aspp.") && conv.kernel == 3;
        let layers: Vec<_> = network.convs().map(|conv| LayerCost::of(conv, aspp(conv))).collect();
        let sum = |of: fn(&LayerCost) -> u64| layers.iter().map(of).sum();
        let largest = layers.iter().max_by_key(|l| l.activation);
        let total = Totals {
            weights: sum(|l| l.weights),
            parameters: sum(|l| l.parameters),
            macs: sum(|l| l.macs),
            macs_paper: sum(|l| l.macs_paper),
            largest_layer: largest.map_or_else(String::new, |l| l.name.clone()),
            largest_activation: largest.map_or(0, |l| l.activation),
        };
        let joins = network.nodes().iter().filter_map(JoinCost::of).collect();
        Self { input: network.input, layers, joins, total }
    }
}

impl LayerCost {
    /// `aspp`: an atrous convolution of ASPP, which the paper counts on a padded map.
    fn of(conv: &Conv, aspp: bool) -> Self {
        let weights = conv.weight_shape().iter().map(|&n| n as u64).product::<u64>();
        let channels = conv.c_out as u64;
        let bias = if conv.batch_norm { 0 } else { channels };
        let output = MapShape::new(conv.output, conv.c_out);
        let macs_paper = if aspp {
            let up = |n: usize| n.next_multiple_of(conv.rate) as u64;
            conv.macs() / conv.output.pixels() * up(conv.output.height) * up(conv.output.width)
        } else {
            conv.macs()
        };
        Self {
            name: conv.name.clone(),
            kind: match (conv.depthwise, conv.kernel) {
                (true, _) => LayerKind::Depthwise,
                (false, 1) => LayerKind::Pointwise,
                (false, _) => LayerKind::Convolution,
            },
            kernel: conv.kernel,
            stride: conv.stride,
            rate: conv.rate,
            input: MapShape::new(conv.input, conv.c_in),
            output,
            weights: weights + bias,
            parameters: weights + if conv.batch_norm { 2 * channels } else { channels },
            macs: conv.macs(),
            macs_paper,
            activation: output.values(),
        }
    }
}

/// The operation of a node without weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    /// The average over the map.
    Average,
    /// Bilinear resize.
    Resize,
    /// Concatenation of maps.
    Concat,
    /// Sum of maps.
    Sum,
}

/// A node without weights; the totals exclude its few additions, as the paper does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JoinCost {
    /// Its name in the network.
    pub name: String,
    /// Its operation.
    pub kind: JoinKind,
    /// How many maps it reads.
    pub inputs: usize,
    /// The map written.
    pub output: MapShape,
}

impl JoinCost {
    fn of(node: &Node) -> Option<Self> {
        let kind = match node.operation {
            Operation::Input | Operation::Convolution(_) | Operation::Block(_) => return None,
            Operation::Average => JoinKind::Average,
            Operation::Resize(_) => JoinKind::Resize,
            Operation::Concat => JoinKind::Concat,
            Operation::Sum(_) => JoinKind::Sum,
        };
        let name = node.name.clone();
        let inputs = node.inputs.len();
        Some(Self { name, kind, inputs, output: MapShape::new(node.size, node.channels) })
    }
}

/// Multiply-adds of one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Macs {
    /// As executed.
    pub executed: u64,
    /// As the paper counts them.
    pub paper: u64,
}

/// Multiply-adds of `spec` over the six [`SCALES`] of its input size (`(size - 1) * scale + 1`), each with its mirror
/// image.
///
/// # Errors
/// As [`Network::new`].
pub fn six_scales_and_flips(spec: &Spec) -> Result<Macs, ModelError> {
    let mut sum = Macs::default();
    for scale in SCALES {
        let side = (spec.input.size.saturating_sub(1) as f64 * scale) as usize + 1;
        let total = Cost::of(&Network::new(spec, Size::square(side))?).total;
        sum.executed += 2 * total.macs;
        sum.paper += 2 * total.macs_paper;
    }
    Ok(sum)
}

/// Multiply-adds of three designs of a block, by the formulas in the paper's section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BlockFormula {
    /// A k x k convolution: `h * w * c_in * c_out * k^2`.
    pub convolution: u64,
    /// Depthwise and pointwise: `h * w * c_in * (k^2 + c_out)`.
    pub separable: u64,
    /// An inverted residual of expansion t at stride 1: `h * w * t * c_in * (c_in + k^2 + c_out)`.
    pub inverted_residual: u64,
}

impl BlockFormula {
    /// The three counts for an h x w map, a kernel of k x k and expansion t. Sizes as in a [`Network`], which cannot
    /// overflow.
    pub fn of(map: Size, c_in: u64, c_out: u64, k: u64, t: u64) -> Self {
        let pixels = map.pixels();
        Self {
            convolution: pixels * c_in * c_out * k * k,
            separable: pixels * c_in * (k * k + c_out),
            inverted_residual: pixels * t * c_in * (c_in + k * k + c_out),
        }
    }

    /// Ratio of separable to full: `1 / c_out + 1 / k^2`.
    pub fn separable_ratio(&self) -> f64 {
        self.separable as f64 / self.convolution as f64
    }
}

/// The largest map of one resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Resolution {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Most channels of a map between blocks: all that must be materialised when blocks run fused.
    pub between_blocks: usize,
    /// Most channels of any layer's output: what must be materialised when running layer by layer.
    pub any_layer: usize,
}

impl Resolution {
    /// Bytes of the largest map between blocks with values of `width` bytes (the paper's table 3: 2).
    pub fn bytes_between_blocks(&self, width: u64) -> u64 {
        self.height as u64 * self.width as u64 * self.between_blocks as u64 * width
    }

    /// Bytes of the largest layer output with values of `width` bytes.
    pub fn bytes_any_layer(&self, width: u64) -> u64 {
        self.height as u64 * self.width as u64 * self.any_layer as u64 * width
    }
}

/// The memory table (the paper's table 3): the largest maps of every resolution, from the input's side down, each
/// counted where it is written. The stem is fused with the first block and the last 1x1 layer with the classifier's
/// average, so they leave no map between blocks. (The paper's own column for MobileNetV2 lists, at its three middle
/// resolutions, the channels that the following stage writes; the largest row, which decides, is the same.)
pub fn resolutions(network: &Network) -> Vec<Resolution> {
    let mut rows: Vec<Resolution> = Vec::new();
    let mut add = |size: Size, channels: usize, between: bool| {
        let Size { height, width } = size;
        let at = rows.iter().position(|r| (r.height, r.width) == (height, width)).unwrap_or_else(|| {
            rows.push(Resolution { height, width, between_blocks: 0, any_layer: 0 });
            rows.len() - 1
        });
        rows[at].any_layer = rows[at].any_layer.max(channels);
        if between {
            rows[at].between_blocks = rows[at].between_blocks.max(channels);
        }
    };
    let nodes = network.nodes();
    for (at, node) in nodes.iter().enumerate() {
        // Whether the node has readers, and all of them are of this kind.
        let only = |kind: fn(&Operation) -> bool| {
            let mut readers =
                nodes.iter().filter(|reader| reader.inputs.iter().any(|input| input.index() == at)).peekable();
            readers.peek().is_some() && readers.all(|reader| kind(&reader.operation))
        };
        match &node.operation {
            // Readers of a concatenation read its parts.
            Operation::Input | Operation::Concat => {}
            Operation::Block(block) => {
                block.convs().for_each(|conv| add(conv.output, conv.c_out, conv.name == block.project.name));
            }
            Operation::Convolution(conv) => {
                let fused = if node.inputs[0] == NodeId::INPUT {
                    only(|reader| matches!(reader, Operation::Block(_)))
                } else {
                    only(|reader| matches!(reader, Operation::Average))
                };
                add(conv.output, conv.c_out, !fused);
            }
            // One pixel broadcast over a map is a bias.
            Operation::Resize(_) if nodes[node.inputs[0].index()].size == Size::square(1) => {}
            Operation::Average | Operation::Resize(_) | Operation::Sum(_) => add(node.size, node.channels, true),
        }
    }
    rows.sort_by_key(|r| std::cmp::Reverse(r.height * r.width));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Layer, NetworkBuilder};
    use crate::spec::{Activation, Classifier, Extractor, Head, MobilenetV1, Padding, Resize, Task};

    fn network(preset: &str) -> Network {
        Network::native(&Spec::preset(preset).unwrap()).unwrap()
    }

    fn near(ours: f64, paper: f64) -> bool {
        (ours / paper - 1.0).abs() <= 0.01
    }

    /// Every figure of the paper within 1 %; a listed exception really is one.
    #[test]
    fn the_papers_figures() {
        for row in PAPER {
            let spec = Spec::preset(row.preset).unwrap();
            let total = Cost::of(&Network::native(&spec).unwrap()).total;
            let macs =
                if row.six_scales_and_flips { six_scales_and_flips(&spec).unwrap().paper } else { total.macs_paper };
            let parameters = total.parameters as f64 / 1e6;
            let macs = macs as f64 / 1e6;
            let good = near(parameters, row.parameters_m) && near(macs, row.macs_m);
            assert_eq!(good, row.exception.is_none(), "{}: {parameters} M, {macs} M", row.name);
        }
    }

    #[test]
    fn what_the_exceptions_say() {
        let one = Cost::of(&network("mobilenet_v2")).total;
        let wide = Cost::of(&network("mobilenet_v2_1.4")).total;
        assert_eq!((one.parameters, one.weights), (3_504_872, 3_470_760));
        assert_eq!((wide.parameters, wide.weights), (6_108_776, 6_060_840));
        assert!(near(one.macs as f64, 300e6) && near(wide.macs as f64, 585e6));
        let v1 = six_scales_and_flips(&Spec::preset("deeplabv3_mnv1_aspp_os8").unwrap()).unwrap();
        assert_eq!((v1.paper / 100_000_000, v1.executed / 100_000_000), (9906, 8007));
    }

    #[test]
    fn executed_and_as_the_paper_counts() {
        let aspp = Cost::of(&network("deeplabv3_mnv2_aspp")).total;
        assert_eq!((aspp.macs / 10_000_000, aspp.macs_paper / 10_000_000), (536, 582));
        let plain = Cost::of(&network("deeplabv3_mnv2"));
        assert_eq!((plain.total.macs, plain.total.macs_paper), (2_740_709_056, 2_740_709_056));
        assert_eq!((plain.total.parameters, plain.total.weights), (2_113_557, 2_080_469));
        assert_eq!(plain.total.largest_layer, "blocks.1.expand");
        assert_eq!(plain.total.largest_activation, 257 * 257 * 96);
        let spec = Spec::preset("deeplabv3_mnv2_aspp_os8").unwrap();
        let six = six_scales_and_flips(&spec).unwrap();
        assert_eq!((six.executed / 100_000_000, six.paper / 100_000_000), (3279, 3872));
    }

    #[test]
    fn a_layer_by_hand() {
        let cost = Cost::of(&network("mobilenet_v2"));
        let find = |name: &str| cost.layers.iter().find(|l| l.name == name).unwrap();
        let stem = find("stem");
        assert_eq!((stem.kind, stem.macs), (LayerKind::Convolution, 112 * 112 * 32 * 27));
        let depthwise = find("blocks.1.depthwise");
        assert_eq!((depthwise.kind, depthwise.weights, depthwise.parameters), (LayerKind::Depthwise, 864, 864 + 192));
        assert_eq!(depthwise.macs, 56 * 56 * 96 * 9);
        let linear = find("classifier");
        assert_eq!((linear.weights, linear.parameters), (1_281_000, 1_281_000));
        assert_eq!(linear.kind, LayerKind::Pointwise);
    }

    #[test]
    fn block_formulas() {
        // Section 3.3: an inverted residual at stride 1, compared with the network's actual layers.
        let net = network("mobilenet_v2");
        let block = net.blocks().nth(2).unwrap();
        let formula = BlockFormula::of(block.project.output, 24, 24, 3, 6);
        assert_eq!(formula.inverted_residual, block.convs().map(Conv::macs).sum::<u64>());
        // Section 3.1: 'almost a factor of k^2'.
        let wide = BlockFormula::of(Size::square(7), 512, 512, 3, 1);
        assert!((wide.separable_ratio() - (1.0 / 512.0 + 1.0 / 9.0)).abs() < 1e-12);
    }

    #[test]
    fn the_memory_table() {
        let of =
            |network: &Network| resolutions(network).iter().map(|r| (r.height, r.between_blocks)).collect::<Vec<_>>();
        let v2 = network("mobilenet_v2");
        assert_eq!(of(&v2), [(112, 16), (56, 24), (28, 32), (14, 96), (7, 320), (1, 1280)]);
        assert_eq!(resolutions(&v2)[0].bytes_between_blocks(2) / 1000, 401);
        assert_eq!(resolutions(&v2)[0].any_layer, 96);
        let mut spec = Spec::preset("mobilenet_v2").unwrap();
        spec.extractor = Extractor::MobilenetV1(MobilenetV1::paper(1.0, 32));
        spec.head = Head::Classifier(Classifier { classes: 1000 });
        let v1 = Network::native(&spec).unwrap();
        // The paper's table 3: 64, 128, 256, 512, 1024, 1024; at most 1600 K.
        assert_eq!(of(&v1), [(112, 64), (56, 128), (28, 256), (14, 512), (7, 1024), (1, 1024)]);
        assert_eq!(resolutions(&v1)[0].bytes_any_layer(2) / 1000, 1605);
    }

    #[test]
    fn a_graph_by_hand_is_counted_too() {
        let mut b = NetworkBuilder::new(Size::square(9), Padding::Same).unwrap();
        let stem = Layer { stride: 2, ..Layer::new("stem", 3, 8, Activation::Relu) };
        let stem = b.convolution(NodeId::INPUT, stem).unwrap();
        let up = b.resize("up", stem, Size::square(9), Resize::HalfPixel).unwrap();
        let both = b.concat("both", &[up, up]).unwrap();
        let logits = b.convolution(both, Layer::linear("logits", 2)).unwrap();
        b.output("logits", logits, Task::Categories).unwrap();
        let network = b.finish().unwrap();
        let cost = Cost::of(&network);
        assert_eq!(cost.total.macs, 25 * 8 * 27 + 81 * 16 * 2);
        let joins: Vec<_> = cost.joins.iter().map(|j| (j.name.as_str(), j.kind, j.inputs, j.output.values())).collect();
        assert_eq!(joins, [("up", JoinKind::Resize, 1, 81 * 8), ("both", JoinKind::Concat, 2, 81 * 16)]);
        let rows = resolutions(&network);
        assert_eq!(rows.iter().map(|r| (r.height, r.between_blocks)).collect::<Vec<_>>(), [(9, 8), (5, 8)]);
    }

    /// Computed by hand at 33x65: maps of 17x33, 9x17, 5x9 and 3x5.
    #[test]
    fn a_decoder_is_counted() {
        let spec = Spec::preset("person").unwrap();
        let cost = Cost::of(&Network::new(&spec, Size { height: 33, width: 65 }).unwrap());
        let of = |name: &str| cost.layers.iter().find(|layer| layer.name == name).unwrap();
        let stages = [(5 * 9, 16, 16, 64, 32), (9 * 17, 12, 12, 32, 24), (17 * 33, 8, 8, 24, 16)];
        for (i, (pixels, read, reduced, below, written)) in stages.into_iter().enumerate() {
            let part = |part: &str| of(&format!("head.decoder.{i}.{part}"));
            assert_eq!(part("skip").macs, pixels * read * reduced);
            assert_eq!(part("depthwise").macs, pixels * (below + reduced) * 9);
            assert_eq!(part("pointwise").macs, pixels * (below + reduced) * written);
        }
        assert_eq!(of("head.classifier").macs, 17 * 33 * 16);
        let joins: Vec<_> = cost.joins.iter().filter(|join| join.name.starts_with("head.decoder.2")).collect();
        assert_eq!(joins.iter().map(|join| join.kind).collect::<Vec<_>>(), [JoinKind::Resize, JoinKind::Concat]);
        assert_eq!(joins[1].output, MapShape { height: 17, width: 33, channels: 32 });
        let real = Cost::of(&Network::new(&spec, Size { height: 193, width: 257 }).unwrap()).total;
        // As `scripts/train/network.py` counts them.
        assert_eq!((real.parameters, real.macs), (380_685, 130_229_404));
    }

    #[test]
    fn json_for_machines() {
        let json = serde_json::to_value(Cost::of(&network("fixture"))).unwrap();
        assert_eq!(json["layers"][0]["name"], "stem");
        assert_eq!(json["layers"][1]["kind"], "depthwise");
        assert!(json["total"]["macs"].as_u64().unwrap() > 0);
    }
}
