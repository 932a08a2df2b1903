//! A network as a list of operations on edges: the maps between layers, each with the name that its quantisation has in
//! a model file. Edges and operations have the same numbers at every input size.

use silhouette_network::ModelError;
use silhouette_network::network::{Conv, Network, Node, Operation, Size};
use silhouette_network::spec::{Activation, Resize, Shortcut};

use crate::error::QuantiseError;

/// Most values of one map: they are computed whole, in f32.
const MAX_VALUES: u64 = 1 << 26;

/// A map between layers.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// As in a model file.
    pub(crate) name: String,
    pub(crate) size: Size,
    pub(crate) channels: usize,
    /// The edge whose quantisation it has: itself, unless it is an average, a resize or the only part of a concatenation.
    pub(crate) of: usize,
    /// The last operation that reads it; outputs are read after all.
    pub(crate) last: usize,
}

/// What an operation computes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// The convolution with this number. Its padding is zeros, or what the convolution `border` makes of zeros.
    Conv {
        conv: usize,
        border: Option<usize>,
    },
    Sum,
    Average,
    Resize(Resize),
    Concat,
}

/// An operation: from edges to an edge.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) work: Work,
    pub(crate) from: Vec<usize>,
    pub(crate) to: usize,
}

/// A network at one input size.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) edges: Vec<Edge>,
    pub(crate) ops: Vec<Op>,
    pub(crate) convs: Vec<Conv>,
    /// The edge of the first output.
    pub(crate) output: usize,
}

impl Program {
    /// # Errors
    /// [`QuantiseError::Unsupported`] for a shortcut between expansions, or several outputs;
    /// [`ModelError::TooLarge`] for maps that are too large to be computed whole.
    pub(crate) fn new(network: &Network) -> Result<Self, QuantiseError> {
        let mut program = Self { edges: Vec::new(), ops: Vec::new(), convs: Vec::new(), output: 0 };
        // The edge of each node.
        let mut edges = Vec::with_capacity(network.nodes().len());
        for node in network.nodes() {
            let from: Vec<usize> = node.inputs.iter().map(|input| edges[input.index()]).collect();
            edges.push(program.node(node, from)?);
        }
        let [output] = network.outputs() else {
            let what = format!("quantising a network of {} outputs", network.outputs().len());
            return Err(QuantiseError::Unsupported { what, why: "it must have one".into() });
        };
        program.output = edges[output.node.index()];
        for (at, op) in program.ops.iter().enumerate() {
            for &from in &op.from {
                program.edges[from].last = at;
            }
        }
        program.edges[program.output].last = program.ops.len();
        Ok(program)
    }

    fn node(&mut self, node: &Node, from: Vec<usize>) -> Result<usize, QuantiseError> {
        let name = || format!("{}.output", node.name);
        match &node.operation {
            Operation::Input => self.edge("input".into(), node.size, node.channels, None),
            Operation::Convolution(conv) => self.conv(conv, from[0], None),
            Operation::Block(block) => {
                if block.shortcut == Shortcut::Expansion {
                    let what = format!("{}: quantising a shortcut between expansions", node.name);
                    let why = "only shortcuts between bottlenecks have integers of their own in a model file".into();
                    return Err(QuantiseError::Unsupported { what, why });
                }
                let mut map = from[0];
                let mut border = None;
                if let Some(expand) = &block.expand {
                    border = block.pads_input.then_some(self.convs.len());
                    map = self.conv(expand, map, None)?;
                }
                map = self.conv(&block.depthwise, map, border)?;
                map = self.conv(&block.project, map, None)?;
                if block.shortcut == Shortcut::Bottleneck {
                    map = self.op(Work::Sum, vec![map, from[0]], name(), node, None)?;
                }
                Ok(map)
            }
            Operation::Average => {
                let of = self.edges[from[0]].of;
                self.op(Work::Average, from, name(), node, Some(of))
            }
            Operation::Resize(rule) => {
                let of = self.edges[from[0]].of;
                self.op(Work::Resize(*rule), from, name(), node, Some(of))
            }
            Operation::Concat => {
                let of = if let [only] = from[..] { Some(self.edges[only].of) } else { None };
                self.op(Work::Concat, from, name(), node, of)
            }
            Operation::Sum(Activation::Linear | Activation::Relu | Activation::Relu6) => {
                let what = format!("{}: quantising a sum outside of blocks", node.name);
                Err(QuantiseError::Unsupported { what, why: "no spec has one".into() })
            }
        }
    }

    fn conv(&mut self, conv: &Conv, from: usize, border: Option<usize>) -> Result<usize, QuantiseError> {
        let to = self.edge(format!("{}.output", conv.name), conv.output, conv.c_out, None)?;
        self.ops.push(Op { work: Work::Conv { conv: self.convs.len(), border }, from: vec![from], to });
        self.convs.push(conv.clone());
        Ok(to)
    }

    fn op(
        &mut self,
        work: Work,
        from: Vec<usize>,
        name: String,
        node: &Node,
        of: Option<usize>,
    ) -> Result<usize, QuantiseError> {
        let to = self.edge(name, node.size, node.channels, of)?;
        self.ops.push(Op { work, from, to });
        Ok(to)
    }

    fn edge(&mut self, name: String, size: Size, channels: usize, of: Option<usize>) -> Result<usize, QuantiseError> {
        if size.pixels().saturating_mul(channels as u64) > MAX_VALUES {
            let why = format!("a map of {size}x{channels} has more than {MAX_VALUES} values; use a smaller input size");
            return Err(ModelError::TooLarge { what: name, why }.into());
        }
        let at = self.edges.len();
        self.edges.push(Edge { name, size, channels, of: of.unwrap_or(at), last: at });
        Ok(at)
    }

    /// The edges that have integers of their own.
    pub(crate) fn own(&self) -> impl Iterator<Item = usize> {
        (0..self.edges.len()).filter(|&edge| self.edges[edge].of == edge)
    }

    /// The operation of each convolution.
    pub(crate) fn conv_ops(&self) -> impl Iterator<Item = (usize, &Op)> {
        self.ops.iter().filter_map(|op| match op.work {
            Work::Conv { conv, .. } => Some((conv, op)),
            _ => None,
        })
    }

    /// Multiply-adds of one run.
    pub(crate) fn macs(&self) -> u64 {
        self.convs.iter().map(Conv::macs).sum()
    }
}
