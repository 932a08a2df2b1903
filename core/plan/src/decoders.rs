//! Finds the nodes of a network that form a decoder, to be compiled as one step: a concatenation of a resized map and
//! of 1x1 convolutions, a depthwise convolution over it and a 1x1 convolution after that; another such stage if only
//! its resize reads the previous one; and the 1x1 convolution (a classifier) that is the last stage's only reader.
//! Nothing else may read an intermediate node.

use silhouette_network::network::{Conv, Network, Node, NodeId, Operation};
use silhouette_network::spec::Resize;

/// A part of a stage's concatenation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The lower map, resized.
    Below(Resize),
    /// This node, a 1x1 convolution.
    Pointwise(usize),
}

/// A stage: its parts, and the nodes of its two convolutions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) parts: Vec<Part>,
    pub(crate) depthwise: usize,
    pub(crate) pointwise: usize,
}

/// A decoder of a network, by its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decoder {
    /// The map that the first stage resizes.
    pub(crate) below: usize,
    pub(crate) stages: Vec<Stage>,
    /// The 1x1 convolution at the end.
    pub(crate) tail: Option<usize>,
    /// All nodes in it.
    nodes: Vec<usize>,
}

impl Decoder {
    /// The node whose map it writes.
    pub(crate) fn last(&self) -> usize {
        self.tail.unwrap_or_else(|| self.stages[self.stages.len() - 1].pointwise)
    }

    /// The nodes of its convolutions, in order.
    pub(crate) fn convs(&self) -> Vec<usize> {
        let mut all = Vec::new();
        for stage in &self.stages {
            all.extend(stage.parts.iter().filter_map(|part| match part {
                Part::Pointwise(id) => Some(*id),
                Part::Below(_) => None,
            }));
            all.extend([stage.depthwise, stage.pointwise]);
        }
        all.extend(self.tail);
        all
    }

    /// Whether the node is computed inside it.
    pub(crate) fn has(&self, node: usize) -> bool {
        self.nodes.contains(&node)
    }
}

/// The decoders of `network`, in node order; at most `longest` stages each.
pub(crate) fn decoders(network: &Network, longest: usize) -> Vec<Decoder> {
    let finder = Finder { network, readers: network.readers() };
    let mut found: Vec<Decoder> = Vec::new();
    for at in 0..network.nodes().len() {
        let Some((below, stage, nodes)) = finder.stage(at) else { continue };
        // A decoder that only this stage reads continues.
        let before = found.iter_mut().find(|decoder| {
            let last = &decoder.stages[decoder.stages.len() - 1];
            last.pointwise == below && finder.readers[below] == 1 && decoder.stages.len() < longest
        });
        match before {
            Some(decoder) => {
                decoder.stages.push(stage);
                decoder.nodes.extend(nodes);
            }
            None => found.push(Decoder { below, stages: vec![stage], tail: None, nodes }),
        }
    }
    for at in 0..found.len() {
        // A node that is part of another decoder is computed there.
        let free = |reader: &usize| !found.iter().any(|other| other.has(*reader));
        let reader = finder.only_reader(found[at].last());
        let tail = reader.filter(|&reader| finder.pointwise(reader).is_some()).filter(free);
        found[at].tail = tail;
        found[at].nodes.extend(tail);
    }
    found
}

struct Finder<'n> {
    network: &'n Network,
    readers: Vec<usize>,
}

impl<'n> Finder<'n> {
    fn node(&self, id: usize) -> &'n Node {
        &self.network.nodes()[id]
    }

    /// The node's only reader.
    fn only_reader(&self, id: usize) -> Option<usize> {
        let reads = |node: &&Node| node.inputs.iter().any(|input| input.index() == id);
        let reader = self.network.nodes().iter().position(|node| reads(&node))?;
        (self.readers[id] == 1).then_some(reader)
    }

    fn input(&self, id: usize) -> usize {
        self.node(id).inputs[0].index()
    }

    /// A 1x1 convolution of a map.
    fn pointwise(&self, id: usize) -> Option<&'n Conv> {
        match &self.node(id).operation {
            Operation::Convolution(conv) if !conv.depthwise && conv.kernel == 1 && conv.stride == 1 => Some(conv),
            _ => None,
        }
    }

    /// The stage whose concatenation is the node `at`: the node that it resizes, the stage, and all its nodes.
    fn stage(&self, at: usize) -> Option<(usize, Stage, Vec<usize>)> {
        let Operation::Concat = self.node(at).operation else { return None };
        let size = self.node(at).size;
        let mut parts = Vec::new();
        let mut nodes = vec![at];
        let mut below = None;
        for part in self.node(at).inputs.iter().map(|input| input.index()) {
            // (A part that appears twice has two readers.)
            if self.readers[part] != 1 || part == NodeId::INPUT.index() {
                return None;
            }
            let from = self.input(part);
            match &self.node(part).operation {
                // One pixel broadcast over a map is not a map.
                Operation::Resize(rule)
                    if below.is_none() && !matches!(self.node(from).operation, Operation::Input) =>
                {
                    below = Some(from);
                    parts.push(Part::Below(*rule));
                }
                Operation::Convolution(_) if self.pointwise(part).is_some() && from != NodeId::INPUT.index() => {
                    parts.push(Part::Pointwise(part));
                }
                _ => return None,
            }
            nodes.push(part);
        }
        let depthwise = self.only_reader(at)?;
        match &self.node(depthwise).operation {
            Operation::Convolution(conv) if conv.depthwise && conv.input == size => {}
            _ => return None,
        }
        let pointwise = self.only_reader(depthwise)?;
        self.pointwise(pointwise)?;
        nodes.extend([depthwise, pointwise]);
        Some((below?, Stage { parts, depthwise, pointwise }, nodes))
    }
}
