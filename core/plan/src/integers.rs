//! Plans of eight-bit integers: a network whose file holds quantised weights, and what the bytes of every map represent,
//! becomes the steps of an integer [`Program`].
//!
//! Supported are MobileNets with a classifier or with DeepLabV3's head whose branches are 1x1, image pooling or
//! depthwise-separable. Everything else is refused by name.

use std::sync::Arc;

use silhouette_engine::caches::Caches;
use silhouette_engine::program::{IntegerBlock, IntegerBuilder, IntegerLayer, IntegerStem, Map, Program};
use silhouette_kernels::element::Quantization;
use silhouette_kernels::isa::Isa;
use silhouette_network::ModelError;
use silhouette_network::network::{Block, Conv, Network, NodeId, Operation};
use silhouette_network::spec::Shortcut;
use silhouette_weights::{ActivationElement, Dtype, Weights};

use crate::describe::{clamp, unsupported, window};

/// A convolution's integers.
struct Layer {
    weight: Vec<i8>,
    weight_zero: i32,
    weight_scale: Vec<f32>,
    scale_as_f32: bool,
    bias: Vec<i32>,
    clamp: Option<(f32, f32)>,
    output: Quantization,
}

impl Layer {
    fn describe(&self) -> IntegerLayer<'_> {
        IntegerLayer {
            weight: &self.weight,
            weight_zero: self.weight_zero,
            weight_scale: &self.weight_scale,
            scale_as_f32: self.scale_as_f32,
            bias: &self.bias,
            clamp: self.clamp,
            output: self.output,
        }
    }
}

struct Compiler<'n> {
    network: &'n Network,
    weights: &'n Weights,
    caches: Caches,
    builder: IntegerBuilder,
    maps: Vec<Option<Map>>,
    readers: Vec<usize>,
}

/// Compiles a quantised network.
///
/// # Errors
/// [`ModelError::Unsupported`] if a tensor is not quantised, a map's quantisation is unknown, or the network has something that
/// has no integer step; any error of reading the weights.
pub(crate) fn compile(
    network: &Network,
    weights: &Weights,
    (isa, threads, caches): (Isa, usize, Caches),
    memory_limit: usize,
) -> Result<Arc<Program>, ModelError> {
    let mut compiler = Compiler {
        network,
        weights,
        caches,
        builder: IntegerBuilder::new(isa, threads, caches),
        maps: vec![None; network.nodes().len()],
        readers: network.readers(),
    };
    for id in 0..network.nodes().len() {
        compiler.node(id)?;
    }
    let outputs = network.outputs().iter().map(|output| compiler.map(output.node.index()));
    let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
    let program = compiler.builder.finish(&outputs, memory_limit).map_err(unsupported)?;
    weights.release_all();
    Ok(program)
}

/// Whether a model's file says everything that integers need: what the bytes of its input represent, and integer weights. The
/// network may still have something without an integer step.
pub fn is_quantised(weights: &Weights) -> bool {
    let integers = matches!(weights.dtype("stem.weight"), Some(Dtype::I8 | Dtype::U8));
    integers && weights.activation("input").is_some()
}

fn refuse<T>(what: &str, why: impl Into<String>) -> Result<T, ModelError> {
    Err(ModelError::Unsupported { what: format!("{what} in int8"), why: why.into() })
}

impl<'n> Compiler<'n> {
    fn operation(&self, id: usize) -> &'n Operation {
        &self.network.nodes()[id].operation
    }

    fn name(&self, id: usize) -> &'n str {
        &self.network.nodes()[id].name
    }

    fn input(&self, id: usize) -> usize {
        self.network.nodes()[id].inputs.first().map_or(0, |input| input.index())
    }

    fn map(&self, id: usize) -> Result<Map, ModelError> {
        self.maps[id].map_or_else(|| refuse(self.name(id), "only a 3x3 convolution can read the image"), Ok)
    }

    /// A depthwise convolution that only a 1x1 convolution reads: the reader computes both.
    fn is_fused(&self, id: usize) -> bool {
        let Operation::Convolution(conv) = self.operation(id) else { return false };
        let fits = |reader: usize| match self.operation(reader) {
            Operation::Convolution(next) => self.input(reader) == id && next.kernel == 1 && next.stride == 1,
            _ => false,
        };
        conv.depthwise && self.readers[id] == 1 && (id + 1..self.maps.len()).any(fits)
    }

    fn node(&mut self, id: usize) -> Result<(), ModelError> {
        if self.maps[id].is_some() {
            return Ok(());
        }
        let node = &self.network.nodes()[id];
        let map = match &node.operation {
            Operation::Input => return Ok(()),
            Operation::Convolution(conv) if self.input(id) == NodeId::INPUT.index() => return self.trunk(id, conv),
            Operation::Convolution(_) if self.is_fused(id) => return Ok(()),
            Operation::Convolution(conv) if conv.depthwise => {
                return refuse(
                    &conv.name,
                    "a depthwise convolution without a 1x1 convolution after it has no integer step",
                );
            }
            Operation::Convolution(conv) => self.convolution(id, conv)?,
            Operation::Block(block) => {
                let input = self.map(self.input(id))?;
                let layers = self.block(block)?;
                let described = layers.describe(block, &node.name);
                self.builder.chain(Some(input), None, &[described]).map_err(unsupported)?
            }
            Operation::Average => {
                let input = self.map(self.input(id))?;
                let signed = self.weights.activation("input").is_some_and(|q| q.element == ActivationElement::I8);
                self.builder.average(&node.name, input, signed).map_err(unsupported)?
            }
            Operation::Resize(_) => {
                let input = self.input(id);
                let from = &self.network.nodes()[input];
                let concat = |reader: usize| {
                    let reads = self.network.nodes()[reader].inputs.iter().any(|input| input.index() == id);
                    !reads || matches!(self.operation(reader), Operation::Concat)
                };
                let single = from.size.pixels() == 1 && (id + 1..self.maps.len()).all(concat);
                if from.size != node.size && !single {
                    return refuse(&node.name, "resizing a map has no integer step; use f16 or f32");
                }
                // A file of TensorFlow Lite gives the repeated bytes a scale of their own without converting them.
                match self.weights.activation(&format!("{}.output", node.name)) {
                    Some(_) => self.builder.reinterpret(self.map(input)?, self.edge(&node.name)?),
                    None => self.map(input)?,
                }
            }
            Operation::Concat => {
                let inputs: Result<Vec<_>, _> = node.inputs.iter().map(|input| self.map(input.index())).collect();
                let output = self.edge(&node.name)?;
                self.builder.concat(&node.name, &inputs?, output).map_err(unsupported)?
            }
            Operation::Sum(_) => return refuse(&node.name, "a sum of maps outside a block has no integer step"),
        };
        self.maps[id] = Some(map);
        Ok(())
    }

    /// What the bytes of a node's or convolution's output represent, as unsigned bytes.
    fn edge(&self, name: &str) -> Result<Quantization, ModelError> {
        self.activation(&format!("{name}.output"))
    }

    fn activation(&self, edge: &str) -> Result<Quantization, ModelError> {
        let Some(q) = self.weights.activation(edge) else {
            return refuse(edge, "the model's file does not store what its bytes represent; quantize the model first");
        };
        let offset = if q.element == ActivationElement::I8 { 128 } else { 0 };
        Ok(Quantization { scale: q.scale, zero_point: q.zero_point + offset })
    }

    fn layer(&self, conv: &Conv, input_scale: f32) -> Result<Layer, ModelError> {
        let name = format!("{}.weight", conv.name);
        let Some(view) = self.weights.tensor(&name)? else { return refuse(&name, "the tensor is missing") };
        let (Some(quantisation), Dtype::I8 | Dtype::U8) = (view.quantisation, view.dtype) else {
            let why = format!("it is stored as {:?}, not as eight-bit integers; quantize the model first", view.dtype);
            return refuse(&name, why);
        };
        let unsigned = view.dtype == Dtype::U8;
        let zeros = &quantisation.zero_point;
        let stored = zeros.first().copied().unwrap_or(0);
        if zeros.iter().any(|&zero| zero != stored) {
            return refuse(&name, "its channels have different zero points");
        }
        if quantisation.scale.len() > 1 && quantisation.axis != 0 {
            return refuse(
                &name,
                format!("its scales are along dimension {}, not along its outputs", quantisation.axis),
            );
        }
        let weight_zero = if unsigned { stored - 128 } else { stored };
        if !(-128..=127).contains(&weight_zero) {
            return refuse(&name, format!("its zero point {stored} is not one of its values"));
        }
        let flip = if unsigned { 0x80 } else { 0 };
        let weight = view.bytes.iter().map(|&byte| (byte ^ flip).cast_signed()).collect();
        let weight_scale = quantisation.scale.clone();
        let bias = self.bias(conv, &weight_scale, input_scale)?;
        let output = self.edge(&conv.name)?;
        Ok(Layer {
            weight,
            weight_zero,
            weight_scale,
            scale_as_f32: unsigned,
            bias,
            clamp: clamp(conv.activation),
            output,
        })
    }

    /// The bias in steps of the input's scale times the weights': as stored, or rounded to that.
    fn bias(&self, conv: &Conv, weight_scale: &[f32], input_scale: f32) -> Result<Vec<i32>, ModelError> {
        let tensor = conv.bias();
        let Some(view) = self.weights.tensor(&tensor.name)? else {
            return refuse(&tensor.name, "the tensor is missing: batch norm is not folded");
        };
        if view.dtype == Dtype::I32 {
            return Ok(view.bytes.as_chunks::<4>().0.iter().map(|&bytes| i32::from_le_bytes(bytes)).collect());
        }
        let values = self.weights.floats(&tensor)?;
        let scales = weight_scale.iter().cycle();
        let steps =
            values.iter().zip(scales).map(|(&b, &scale)| f64::from(b) / (f64::from(scale) * f64::from(input_scale)));
        // (A cast saturates; sums that are too large are refused.)
        Ok(steps.map(|steps| steps.round() as i32).collect())
    }

    /// The scale of the map that node `id` writes.
    fn scale_of(&self, id: usize) -> Result<f32, ModelError> {
        Ok(match self.operation(id) {
            Operation::Input => self.activation("input")?.scale,
            Operation::Block(block) if block.shortcut == Shortcut::None => self.edge(&block.project.name)?.scale,
            Operation::Average => self.scale_of(self.input(id))?,
            Operation::Resize(_) if self.edge(self.name(id)).is_err() => self.scale_of(self.input(id))?,
            _ => self.edge(self.name(id))?.scale,
        })
    }

    fn block(&self, block: &Block) -> Result<Layers, ModelError> {
        let name = format!("blocks.{}", block.index);
        if block.pads_input {
            return refuse(&name, "padding before the expansion has no integer step");
        }
        let id = self.network.nodes().iter().position(|node| node.name == name).unwrap_or(0);
        let input = self.scale_of(self.input(id))?;
        let expand = block.expand.as_ref().map(|conv| self.layer(conv, input)).transpose()?;
        let depthwise = self.layer(&block.depthwise, expand.as_ref().map_or(input, |layer| layer.output.scale))?;
        let project = self.layer(&block.project, depthwise.output.scale)?;
        let residual = match block.shortcut {
            Shortcut::None => None,
            Shortcut::Bottleneck => Some(self.edge(&name)?),
            Shortcut::Expansion => return refuse(&name, "a shortcut between expansions has no integer step"),
        };
        Ok(Layers { expand, depthwise, project, residual })
    }

    /// The convolution that reads the image, and the blocks after it that run depth-first with it: while the maps between
    /// blocks would not stay in the caches.
    fn trunk(&mut self, id: usize, stem: &Conv) -> Result<(), ModelError> {
        if stem.depthwise || stem.kernel != 3 {
            return refuse(&stem.name, "only a full 3x3 convolution can read the image");
        }
        let large = |b: &Block| {
            let conv = &b.depthwise;
            conv.input.height * conv.input.width * b.c_in() > self.caches.working_set() / 2
        };
        let mut ids = vec![id];
        let mut blocks = Vec::<&Block>::new();
        for next in id + 1..self.maps.len() {
            let before = ids[ids.len() - 1];
            if let Operation::Block(block) = self.operation(next)
                && self.input(next) == before
                && self.readers[before] == 1
                && blocks.len() < 8
                && (blocks.is_empty() || large(block))
            {
                ids.push(next);
                blocks.push(block);
            }
        }
        let sizes: Vec<_> = blocks.iter().map(|b| (window(&b.depthwise), b.depthwise.c_out, b.project.c_out)).collect();
        blocks.truncate(self.builder.chain_length(&sizes));
        let input = self.activation("input")?;
        let stem_layer = self.layer(stem, input.scale)?;
        let layers = blocks.iter().map(|block| self.block(block)).collect::<Result<Vec<_>, _>>()?;
        let described: Vec<_> =
            layers.iter().zip(&blocks).zip(&ids[1..]).map(|((l, b), &id)| l.describe(b, self.name(id))).collect();
        let first = IntegerStem { name: &stem.name, window: window(stem), input, layer: stem_layer.describe() };
        let map = self.builder.chain(None, Some(&first), &described).map_err(unsupported)?;
        // (Maps inside the chain exist nowhere, and nothing else reads them.)
        ids[..=blocks.len()].iter().for_each(|&id| self.maps[id] = Some(map));
        Ok(())
    }

    fn convolution(&mut self, id: usize, conv: &Conv) -> Result<Map, ModelError> {
        if conv.kernel != 1 || conv.stride != 1 {
            return refuse(
                &conv.name,
                "only 1x1 and depthwise convolutions have an integer step after the first layer",
            );
        }
        let before = self.input(id);
        if let Operation::Convolution(depthwise) = self.operation(before)
            && self.is_fused(before)
        {
            let input = self.map(self.input(before))?;
            let scale = self.scale_of(self.input(before))?;
            let first = self.layer(depthwise, scale)?;
            let second = self.layer(conv, first.output.scale)?;
            let block = IntegerBlock {
                name: &conv.name,
                window: window(depthwise),
                expand: None,
                depthwise: first.describe(),
                project: second.describe(),
                residual: None,
            };
            return self.builder.chain(Some(input), None, &[block]).map_err(unsupported);
        }
        let input = self.map(before)?;
        let layer = self.layer(conv, self.scale_of(before)?)?;
        self.builder.convolution(&conv.name, input, &layer.describe()).map_err(unsupported)
    }
}

/// A block's integers.
struct Layers {
    expand: Option<Layer>,
    depthwise: Layer,
    project: Layer,
    residual: Option<Quantization>,
}

impl Layers {
    fn describe<'a>(&'a self, block: &Block, name: &'a str) -> IntegerBlock<'a> {
        IntegerBlock {
            name,
            window: window(&block.depthwise),
            expand: self.expand.as_ref().map(Layer::describe),
            depthwise: self.depthwise.describe(),
            project: self.project.describe(),
            residual: self.residual,
        }
    }
}
