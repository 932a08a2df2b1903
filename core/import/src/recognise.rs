//! From a graph to a specification: walks the operators from the input image to the logits and checks at each step
//! which part of a MobileNet or of DeepLabV3 it can be. Tensor names play no role.
//!
//! Anything else is rejected with the operator where the structures differ; no operator is skipped.

use std::collections::HashMap;

use log::warn;
use silhouette_network::network::{Conv, Network};
use silhouette_network::spec::{
    Activation, Aspp, Classifier, DeeplabV3, Extractor, Feature, Head, MobilenetV1, MobilenetV2, Padding, Resize,
    SeparableBlock, Shortcut,
};
use silhouette_weights::Activations;

use crate::derived::{Derived, FoundConv};
use crate::error::{ImportError, Missing};
use crate::graph::{Borders, Convolution, Graph, Op, Pads, Value};
use crate::tables::{self, FoundBlock};

/// Finds the network in a simplified graph; `resize` is the rule that the caller says, for files that do not.
///
/// # Errors
/// [`ImportError::UnknownNetwork`] naming the operator that does not match, and what was recognised before it.
pub(crate) fn recognise<'a>(graph: &Graph<'a>, resize: Option<Resize>) -> Result<Derived<'a>, ImportError> {
    let (height, width, channels) = graph
        .map(graph.input)
        .ok_or_else(|| unknown("the input", format!("its shape is {:?}", graph.shapes.get(graph.input))))?;
    if height != width || channels != 3 {
        return Err(unknown(
            "the input",
            format!("it is {height}x{width} with {channels} channels, not a square of 3"),
        ));
    }
    let mut walk = Walk {
        graph,
        consumers: graph.consumers(),
        visited: vec![false; graph.nodes.len()],
        convs: Vec::new(),
        activations: Activations::new(),
        resize,
        missing: Vec::new(),
    };
    walk.edge("input".into(), graph.input);
    match walk.network() {
        Ok((extractor, head, padding)) => walk.derived(extractor, head, padding, height),
        Err(ImportError::UnknownNetwork { place, problem }) => {
            let problem = format!("{problem}; {}", walk.recognised());
            Err(ImportError::UnknownNetwork { place, problem })
        }
        Err(error) => Err(error),
    }
}

/// Compares the unrolled specification with what was found in the graph, convolution by convolution.
///
/// # Errors
/// [`ImportError::UnknownNetwork`] naming the first difference.
pub(crate) fn verify(network: &Network, found: &[FoundConv<'_>]) -> Result<(), ImportError> {
    let expected: Vec<&Conv> = network.convs().collect();
    for conv in found {
        let Some(other) = expected.iter().find(|w| w.name == conv.name) else {
            return Err(unknown(&conv.label, format!("it would be '{}', which the network does not have", conv.name)));
        };
        let differs = |what: &str, here: String, there: String| {
            unknown(&conv.label, format!("as '{}' it should have {what} {there}, but has {here}", conv.name))
        };
        if conv.kernel != other.kernel || conv.depthwise != other.depthwise {
            let text = |k: usize, depthwise: bool| format!("{}{k}x{k}", if depthwise { "depthwise " } else { "" });
            return Err(differs("the kernel", text(conv.kernel, conv.depthwise), text(other.kernel, other.depthwise)));
        }
        if conv.stride != other.stride {
            return Err(differs("stride", conv.stride.to_string(), other.stride.to_string()));
        }
        // A 1x1 kernel has no rate, and on a map of one pixel the rate has no effect.
        if conv.rate != other.rate && conv.kernel > 1 {
            return Err(differs("atrous rate", conv.rate.to_string(), other.rate.to_string()));
        }
        if (conv.c_in, conv.c_out) != (other.c_in, other.c_out) {
            return Err(differs(
                "channels",
                format!("{} -> {}", conv.c_in, conv.c_out),
                format!("{} -> {}", other.c_in, other.c_out),
            ));
        }
        let implied = conv.clamped && other.activation != Activation::Linear;
        if conv.activation != other.activation && !implied {
            return Err(differs("the activation", format!("{:?}", conv.activation), format!("{:?}", other.activation)));
        }
    }
    if let Some(absent) = expected.iter().find(|w| !found.iter().any(|c| c.name == w.name)) {
        return Err(unknown("the graph", format!("nothing in it can be '{}'", absent.name)));
    }
    Ok(())
}

struct Walk<'g, 'a> {
    graph: &'g Graph<'a>,
    consumers: Vec<Vec<usize>>,
    visited: Vec<bool>,
    convs: Vec<FoundConv<'a>>,
    activations: Activations,
    /// The rule of the resize, where the file does not store it.
    resize: Option<Resize>,
    /// What the file does not store and no option supplies.
    missing: Vec<Missing>,
}

/// The values at the end of a block.
struct BlockEnd {
    output: Value,
    shortcut: Shortcut,
    activation: Activation,
}

fn unknown(place: &str, problem: String) -> ImportError {
    ImportError::UnknownNetwork { place: place.to_owned(), problem }
}

impl<'g, 'a> Walk<'g, 'a> {
    /// The whole network, every operator of which has been visited.
    fn network(&mut self) -> Result<(Extractor, Head, Padding), ImportError> {
        let (mut extractor, feature) = self.extractor()?;
        let (head, last) = self.head(feature)?;
        if let Extractor::MobilenetV2(v2) = &mut extractor {
            self.fit_width(v2, last)?;
        } else if let (Extractor::MobilenetV1(_), Some(_)) = (&extractor, last) {
            return Err(unknown(
                "the extractor",
                "a 1x1 layer follows MobileNetV1's last block; only MobileNetV2 has one".into(),
            ));
        }
        if let Some(missed) = self.visited.iter().position(|visited| !visited) {
            let label = &self.graph.nodes[missed].label;
            return Err(unknown(label, "it is on no path from the image to the logits".into()));
        }
        Ok((extractor, head, self.padding()?))
    }

    /// What has been recognised so far, in words, and what the graph looks like otherwise.
    fn recognised(&self) -> String {
        let blocks =
            self.convs.iter().filter(|c| c.name.starts_with("blocks.") && c.name.ends_with(".project")).count();
        let stem = self.convs.iter().any(|conv| conv.name == "stem");
        let plural = if blocks == 1 { "a block".to_owned() } else { format!("{blocks} blocks") };
        let seen = match (stem, blocks, self.convs.last()) {
            (_, 1.., Some(last)) if last.name.starts_with("head.") => {
                format!("before it, a stem, {plural} and a part of DeepLabV3's head were recognised")
            }
            (_, 1.., _) => format!("before it, a stem and {plural} of a MobileNet were recognised"),
            (true, ..) => "before it, only a stem was recognised".to_owned(),
            _ => "nothing before it was recognised".to_owned(),
        };
        match self.graph.resembles() {
            Some(family) => format!("{seen} (it looks like {family})"),
            None => seen,
        }
    }

    fn label(&self, node: usize) -> &'g str {
        &self.graph.nodes[node].label
    }

    fn conv(&self, node: usize) -> Option<&'g Convolution<'a>> {
        match &self.graph.nodes[node].op {
            Op::Convolution(convolution) => Some(convolution),
            _ => None,
        }
    }

    fn is_pointwise(&self, node: usize) -> bool {
        self.conv(node).is_some_and(|c| !c.depthwise && c.kernel() == 1 && c.stride == 1)
    }

    fn is_depthwise(&self, node: usize) -> bool {
        self.conv(node).is_some_and(|c| c.depthwise)
    }

    /// The readers of `value`, without additions.
    fn readers(&self, value: Value) -> Vec<usize> {
        let add = |&&node: &&usize| !matches!(self.graph.nodes[node].op, Op::Add);
        self.consumers[value].iter().filter(add).copied().collect()
    }

    fn only_reader(&self, value: Value, after: &str) -> Result<usize, ImportError> {
        match self.consumers[value].as_slice() {
            [node] => Ok(*node),
            nodes => Err(unknown(after, format!("its output is read by {} operators, not by one", nodes.len()))),
        }
    }

    /// Records what the bytes of a value represent, if it is quantised.
    fn edge(&mut self, name: String, value: Value) {
        if let Some(Some(quantised)) = self.graph.quantised.get(value) {
            self.activations.insert(name, *quantised);
        }
    }

    /// The error of an operator that is not what is expected in its place.
    fn misfit(&self, node: usize, expected: &str) -> ImportError {
        match &self.graph.nodes[node].op {
            Op::Other(why) => unknown(self.label(node), why.clone()),
            _ => unknown(self.label(node), expected.to_owned()),
        }
    }

    /// Registers a convolution under a name and returns its output.
    fn take(&mut self, node: usize, name: String) -> Result<Value, ImportError> {
        let label = self.label(node);
        let Some(convolution) = self.conv(node) else {
            return Err(self.misfit(node, &format!("a convolution is expected here, as '{name}'")));
        };
        if std::mem::replace(&mut self.visited[node], true) {
            return Err(unknown(label, "it is read twice".into()));
        }
        let node = &self.graph.nodes[node];
        let input = node.inputs.first().and_then(|&value| self.graph.map(value));
        let (Some((height, width, c_in)), Some((.., c_out))) = (input, self.graph.map(node.output)) else {
            return Err(unknown(label, "it does not work on a map of one image".into()));
        };
        let groups = if convolution.depthwise { c_in } else { 1 };
        let dims = convolution.weight.dims();
        let fits = c_out == convolution.c_out()
            && dims[1] * groups == c_in
            && dims[2] == dims[3]
            && convolution.bias.dims() == [c_out];
        if !fits || (convolution.depthwise && c_in != c_out) {
            return Err(unknown(
                label,
                format!("its weights {dims:?} do not match maps of {c_in} and {c_out} channels"),
            ));
        }
        self.edge(format!("{name}.output"), node.output);
        self.convs.push(FoundConv {
            name,
            label: label.to_owned(),
            depthwise: convolution.depthwise,
            kernel: convolution.kernel(),
            stride: convolution.stride,
            rate: convolution.rate,
            c_in,
            c_out,
            activation: convolution.activation,
            clamped: convolution.clamped,
            paddings: paddings(convolution, height, width),
            weight: convolution.weight.clone(),
            bias: convolution.bias.clone(),
        });
        Ok(node.output)
    }

    fn channels(&self, value: Value) -> usize {
        self.graph.map(value).map_or(0, |(.., c)| c)
    }

    fn extractor(&mut self) -> Result<(Extractor, Value), ImportError> {
        let stem = self.only_reader(self.graph.input, "the input")?;
        if !self.conv(stem).is_some_and(|c| !c.depthwise && c.kernel() == 3 && c.stride == 2) {
            return Err(self.misfit(stem, "a 3x3 convolution of stride 2 is expected first"));
        }
        let mut value = self.take(stem, "stem".into())?;
        let unpadded = self.conv(stem).is_some_and(|c| c.pads == Pads::Explicit(Borders::default()));
        if let Some(stem) = self.convs.last_mut() {
            stem.paddings[2] = unpadded;
        }
        let stem_channels = self.channels(value);
        let mut blocks = Vec::new();
        let mut ends = Vec::new();
        let mut stride = 2;
        while let Some((block, end)) = self.block(value, blocks.len())? {
            stride *= block.stride;
            value = end.output;
            blocks.push(block);
            ends.push(end);
        }
        let Some(first) = ends.first() else {
            let problem = "no inverted residual or depthwise-separable block follows the stem";
            return Err(match self.consumers[value].as_slice() {
                [] => unknown("the graph", problem.into()),
                [next, ..] => self.misfit(*next, problem),
            });
        };
        let activation = first.activation;
        if ends.iter().any(|end| end.activation != activation) {
            return Err(unknown("the blocks", "some end linearly and some do not".into()));
        }
        let without_expansion = blocks.iter().all(|block| block.t == 1);
        let shortcut = ends.iter().map(|end| end.shortcut).find(|&s| s != Shortcut::None).unwrap_or(Shortcut::None);
        let extractor = if without_expansion && activation == Activation::Relu6 && shortcut == Shortcut::None {
            let (width, stem_channels, blocks) = tables::fit_v1(stem_channels, &blocks)
                .ok_or_else(|| unknown("the blocks", "their channels do not match MobileNetV1 at any width".into()))?;
            let blocks = blocks.into_iter().map(|(c, s)| SeparableBlock { c, s }).collect();
            Extractor::MobilenetV1(MobilenetV1 { width, output_stride: stride, stem_channels, blocks })
        } else {
            // Width, table and last layer are set in `fit_width`, once the last layer is known.
            Extractor::MobilenetV2(MobilenetV2 {
                width: 1.0,
                divisor: 1,
                output_stride: stride,
                stem_channels,
                bottlenecks: tables::rows(&blocks),
                feature: Feature::LastBottleneck,
                last_channels: 1280,
                bottleneck_activation: activation,
                shortcut,
                dilate_first: false,
                dropped_blocks: Vec::new(),
            })
        };
        Ok((extractor, value))
    }

    /// The block that begins at `value`, if there is one.
    fn block(&mut self, value: Value, index: usize) -> Result<Option<(FoundBlock, BlockEnd)>, ImportError> {
        let &[first] = self.readers(value).as_slice() else { return Ok(None) };
        let c_in = self.channels(value);
        let name = |part: &str| format!("blocks.{index}.{part}");
        let mut shortcut = Shortcut::None;
        let (expand, depthwise) = if self.is_depthwise(first) {
            (None, first)
        } else {
            let next = self.readers(self.graph.nodes[first].output);
            match next.as_slice() {
                [next] if self.is_pointwise(first) && self.is_depthwise(*next) => (Some(first), *next),
                _ => return Ok(None),
            }
        };
        let wide = match expand {
            Some(node) => {
                let wide = self.take(node, name("expand"))?;
                self.expect_activation(node, Activation::Relu6)?;
                wide
            }
            None => value,
        };
        let mut filtered = self.take(depthwise, name("depthwise"))?;
        self.expect_activation(depthwise, Activation::Relu6)?;
        if let (Some(expand), Some(filter)) = (expand.and_then(|node| self.conv(node)), self.conv(depthwise)) {
            let side = (filter.kernel() - 1) * filter.rate / 2;
            let before = expand.pads == Pads::Explicit(Borders::even(side));
            let unpadded = filter.pads == Pads::Explicit(Borders::default());
            if let [.., expand, filter] = self.convs.as_mut_slice() {
                (expand.paddings[2], filter.paddings[2]) = (before, unpadded);
            }
        }
        if let Some(sum) = self.sum(filtered, wide) {
            (filtered, shortcut) = (sum, Shortcut::Expansion);
        }
        let project = self.only_reader(filtered, self.label(depthwise))?;
        if !self.is_pointwise(project) {
            return Err(self.misfit(project, "a 1x1 convolution is expected after the depthwise one"));
        }
        let mut output = self.take(project, name("project"))?;
        if let Some(sum) = self.sum(output, value) {
            (output, shortcut) = (sum, Shortcut::Bottleneck);
            self.edge(format!("blocks.{index}.output"), sum);
        }
        let c_wide = self.channels(wide);
        let c_out = self.channels(output);
        if c_in == 0 || !c_wide.is_multiple_of(c_in) {
            return Err(unknown(
                self.label(expand.unwrap_or(depthwise)),
                format!("{c_wide} channels are not a multiple of the block's {c_in}"),
            ));
        }
        let Some(&Convolution { stride, rate, .. }) = self.conv(depthwise) else { return Ok(None) };
        let activation = self.conv(project).map_or(Activation::Linear, |c| c.activation);
        let t = if expand.is_some() { c_wide / c_in } else { 1 };
        Ok(Some((FoundBlock { t, c_out, stride, rate }, BlockEnd { output, shortcut, activation })))
    }

    /// The sum of two values, if nothing else reads the first.
    fn sum(&mut self, value: Value, other: Value) -> Option<Value> {
        let &[node] = self.consumers[value].as_slice() else { return None };
        let add = &self.graph.nodes[node];
        let both = add.inputs == [value, other] || add.inputs == [other, value];
        if matches!(add.op, Op::Add) && both {
            self.visited[node] = true;
            return Some(add.output);
        }
        None
    }

    fn expect_activation(&self, node: usize, expected: Activation) -> Result<(), ImportError> {
        match self.conv(node) {
            Some(c) if c.activation == expected => Ok(()),
            // The class scores of a file that leaves activations out may all be positive.
            Some(c) if c.clamped => Ok(()),
            Some(c) => Err(unknown(self.label(node), format!("{expected:?} should follow it, not {:?}", c.activation))),
            None => Ok(()),
        }
    }

    /// Everything after the blocks: the head, and the channels of the last 1x1 layer, if there is one.
    fn head(&mut self, feature: Value) -> Result<(Head, Option<usize>), ImportError> {
        if let &[node] = self.readers(feature).as_slice()
            && self.is_pointwise(node)
            && self.last_layer_is(node)
        {
            let output = self.take(node, "last".into())?;
            self.expect_activation(node, Activation::Relu6)?;
            let head = self.head_at(output)?;
            return Ok((head, Some(self.channels(output))));
        }
        Ok((self.head_at(feature)?, None))
    }

    /// Whether a 1x1 convolution after the blocks belongs to the extractor, or is already DeepLabV3's only branch: a
    /// branch is followed by a projection (1x1), optionally a 3x3 convolution, and the classifier.
    fn last_layer_is(&self, node: usize) -> bool {
        let mut value = self.graph.nodes[node].output;
        let mut kernels = Vec::new();
        while let &[next] = self.consumers[value].as_slice() {
            match self.conv(next) {
                Some(conv) => kernels.push(conv.kernel()),
                None if matches!(self.graph.nodes[next].op, Op::Concatenate) => {}
                None => break,
            }
            value = self.graph.nodes[next].output;
        }
        !matches!(kernels.as_slice(), [1, 1] | [1, 3, 1])
    }

    fn head_at(&mut self, feature: Value) -> Result<Head, ImportError> {
        let readers = self.readers(feature);
        if let [node] = readers.as_slice()
            && matches!(self.graph.nodes[*node].op, Op::GlobalPool)
        {
            return self.classifier(*node);
        }
        self.deeplab(&readers)
    }

    fn classifier(&mut self, pool: usize) -> Result<Head, ImportError> {
        self.visited[pool] = true;
        let node = self.only_reader(self.graph.nodes[pool].output, self.label(pool))?;
        let output = self.take(node, "classifier".into())?;
        self.expect_activation(node, Activation::Linear)?;
        self.tail(output)?;
        Ok(Head::Classifier(Classifier { classes: self.channels(output) }))
    }

    fn deeplab(&mut self, readers: &[usize]) -> Result<Head, ImportError> {
        // Each branch: its first reader and its last value.
        let mut pool = None;
        let mut branch = None;
        let mut plain = Vec::new();
        let mut separable = Vec::new();
        for &node in readers {
            match &self.graph.nodes[node].op {
                Op::GlobalPool if pool.is_none() => pool = Some(node),
                Op::Convolution(c) if c.depthwise => separable.push(node),
                Op::Convolution(c) if c.kernel() == 3 => plain.push(node),
                Op::Convolution(_) if branch.is_none() && self.is_pointwise(node) => branch = Some(node),
                _ => return Err(self.misfit(node, "DeepLabV3's head has no branch like this")),
            }
        }
        let Some(branch) = branch else {
            return Err(unknown("the head", "a 1x1 branch is expected on the extractor's features".into()));
        };
        if !plain.is_empty() && !separable.is_empty() {
            return Err(unknown("the head", "some atrous branches are separable and some are not".into()));
        }
        let branch_end = self.take(branch, "head.branch".into())?;
        let channels = self.channels(branch_end);
        let pool_end = pool.map(|node| self.pooling(node)).transpose()?;
        let depthwise = !separable.is_empty();
        let mut atrous = if depthwise { separable } else { plain };

        // The concatenation determines the branches' order.
        let after = self.only_reader(branch_end, self.label(branch))?;
        let mut pooling_last = false;
        let joined = if matches!(self.graph.nodes[after].op, Op::Concatenate) {
            self.visited[after] = true;
            let join = &self.graph.nodes[after];
            self.edge("head.concat.output".into(), join.output);
            atrous.sort_by_key(|&node| {
                let end = self.branch_end(node);
                join.inputs.iter().position(|&value| Some(value) == end)
            });
            let mut ends = vec![branch_end];
            for (i, &node) in atrous.iter().enumerate() {
                ends.push(self.atrous(node, i, depthwise)?);
            }
            if let Some(end) = pool_end {
                pooling_last = join.inputs.first() != Some(&end);
                ends.insert(if pooling_last { ends.len() } else { 0 }, end);
            }
            if ends != join.inputs {
                return Err(unknown(
                    &join.label,
                    "its inputs are not image pooling, the 1x1 branch and the atrous branches in this order (pooling \
                     may stand last)"
                        .into(),
                ));
            }
            join.output
        } else if pool_end.is_none() && atrous.is_empty() {
            branch_end
        } else {
            return Err(self.misfit(after, "the branches' concatenation is expected here"));
        };

        let project = self.only_reader(joined, "the concatenation")?;
        let mut value = self.take(project, "head.project".into())?;
        let mut node = self.only_reader(value, self.label(project))?;
        let refine = self.conv(node).is_some_and(|c| c.kernel() == 3 && !c.depthwise);
        if refine {
            value = self.take(node, "head.refine".into())?;
            node = self.only_reader(value, self.label(node))?;
        }
        let logits = self.take(node, "head.classifier".into())?;
        self.expect_activation(node, Activation::Linear)?;
        let resize = self.tail(logits)?.or(self.resize).unwrap_or_else(|| {
            self.missing.push(Missing {
                what: "how its logits are resized to the image (it ends without a resize)".into(),
                flag: "--resize",
                value: "align_corners|half_pixel",
            });
            Resize::AlignCorners
        });
        let rates: Vec<usize> = self
            .convs
            .iter()
            .filter(|c| c.name.starts_with("head.aspp.") && c.depthwise == depthwise)
            .map(|c| c.rate)
            .collect();
        let aspp = match (rates.is_empty(), depthwise) {
            (true, _) => Aspp::None,
            (false, true) => Aspp::Separable { rates },
            (false, false) => Aspp::Plain { rates },
        };
        Ok(Head::DeeplabV3(DeeplabV3 {
            classes: self.channels(logits),
            channels,
            image_pooling: pool.is_some(),
            aspp,
            pooling_last,
            refine,
            decoder: None,
            resize,
        }))
    }

    /// Average, 1x1, broadcast over the map again (by a resize from 1x1, whatever its rule).
    fn pooling(&mut self, pool: usize) -> Result<Value, ImportError> {
        self.visited[pool] = true;
        let node = self.only_reader(self.graph.nodes[pool].output, self.label(pool))?;
        let value = self.take(node, "head.pool".into())?;
        let spread = self.only_reader(value, self.label(node))?;
        if !matches!(self.graph.nodes[spread].op, Op::Resize { .. }) {
            return Err(self.misfit(spread, "the pooled features should be broadcast over the map here"));
        }
        self.visited[spread] = true;
        let output = self.graph.nodes[spread].output;
        self.edge("head.spread.output".into(), output);
        Ok(output)
    }

    /// The last value of an atrous branch that begins at `node`.
    fn branch_end(&self, node: usize) -> Option<Value> {
        let output = self.graph.nodes[node].output;
        if !self.is_depthwise(node) {
            return Some(output);
        }
        match self.consumers[output].as_slice() {
            [next] => Some(self.graph.nodes[*next].output),
            _ => None,
        }
    }

    fn atrous(&mut self, node: usize, index: usize, depthwise: bool) -> Result<Value, ImportError> {
        if !depthwise {
            return self.take(node, format!("head.aspp.{index}"));
        }
        let value = self.take(node, format!("head.aspp.{index}.depthwise"))?;
        let next = self.only_reader(value, self.label(node))?;
        self.take(next, format!("head.aspp.{index}.pointwise"))
    }

    /// After the logits: resizes, softmax, the argmax, in any number; for a single logit its sigmoid. Returns the rule
    /// of the resize that changes the size.
    fn tail(&mut self, logits: Value) -> Result<Option<Resize>, ImportError> {
        let mut ends = false;
        let mut found = None;
        let mut waiting = vec![(logits, None, false)];
        let single = self.channels(logits) == 1;
        while let Some((value, resized, sigmoid)) = waiting.pop() {
            ends |= self.graph.outputs.contains(&value);
            if self.consumers[value].is_empty() {
                // Several ends, such as classes and their probabilities, must agree.
                if *found.get_or_insert(resized) != resized {
                    return Err(unknown("the outputs", "one is resized and another is not".into()));
                }
            }
            for next in self.consumers[value].clone() {
                let node = &self.graph.nodes[next];
                if std::mem::replace(&mut self.visited[next], true) {
                    return Err(unknown(&node.label, "it is read twice".into()));
                }
                let (resized, sigmoid) = self.tail_step(next, value, single, resized, sigmoid)?;
                waiting.push((node.output, resized, sigmoid));
            }
        }
        if !ends {
            return Err(unknown("the outputs", "the logits do not lead to them".into()));
        }
        Ok(found.flatten())
    }

    /// One operator after the logits; how they were resized, and whether their sigmoid was taken, before it and after it.
    fn tail_step(
        &self,
        next: usize,
        value: Value,
        single: bool,
        mut resized: Option<Resize>,
        mut sigmoid: bool,
    ) -> Result<(Option<Resize>, bool), ImportError> {
        let node = &self.graph.nodes[next];
        match node.op {
            Op::Resize { rule } => {
                let sizes = (self.graph.map(value), self.graph.map(node.output));
                if sizes.0 != sizes.1 {
                    let rule = rule.or(self.resize).ok_or_else(|| ImportError::Unsupported {
                        what: format!("the resize of {} (neither align-corners nor half-pixel)", node.label),
                        instead: "convert the model with one of those two".into(),
                    })?;
                    if resized.replace(rule).is_some() {
                        return Err(unknown(&node.label, "the logits are resized a second time".into()));
                    }
                    if sigmoid {
                        warn!(
                            "{}: the sigmoid is before the resize; here the logit is resized, so an alpha between two \
                             of the map's pixels will differ slightly",
                            node.label
                        );
                    }
                }
            }
            Op::Logistic if single && !sigmoid => sigmoid = true,
            Op::Logistic if single => return Err(unknown(&node.label, "it is the sigmoid of a sigmoid".into())),
            Op::Logistic => {
                let problem = "with a sigmoid of each of several logits a pixel may belong to many classes at once; only \
                               one class per pixel (softmax, or nothing, after the logits) or a single logit is supported";
                return Err(unknown(&node.label, problem.into()));
            }
            Op::Softmax | Op::ArgMax if single => {
                return Err(unknown(&node.label, "for a single logit its result is the same for every pixel".into()));
            }
            Op::Softmax | Op::ArgMax => {}
            _ => return Err(self.misfit(next, "it cannot follow the logits")),
        }
        Ok((resized, sigmoid))
    }

    /// The width multiplier at which the paper's table has these channels; otherwise the channels themselves become the
    /// table.
    fn fit_width(&self, v2: &mut MobilenetV2, last: Option<usize>) -> Result<(), ImportError> {
        let blocks: Vec<FoundBlock> = self.blocks();
        let rows = tables::rows(&blocks);
        if rows.iter().any(|row| row.c == 0 || row.t == 0) {
            return Err(unknown("the blocks", "one has no channels".into()));
        }
        tables::fit_v2(v2, &rows, last);
        Ok(())
    }

    /// The blocks, from the convolutions that were registered.
    fn blocks(&self) -> Vec<FoundBlock> {
        let mut blocks = Vec::new();
        let mut t = 1;
        for conv in &self.convs {
            if conv.name.ends_with(".expand") {
                t = conv.c_out / conv.c_in.max(1);
            } else if conv.name.starts_with("blocks.") && conv.name.ends_with(".depthwise") {
                blocks.push(FoundBlock { t, c_out: 0, stride: conv.stride, rate: conv.rate });
            } else if let (true, Some(block)) = (conv.name.ends_with(".project"), blocks.last_mut())
                && conv.name.starts_with("blocks.")
            {
                block.c_out = conv.c_out;
                t = 1;
            }
        }
        blocks
    }

    /// The one padding rule that explains the zeros of every convolution.
    fn padding(&self) -> Result<Padding, ImportError> {
        let mut fits = [true; 3];
        for conv in &self.convs {
            for (fits, this) in fits.iter_mut().zip(conv.paddings) {
                *fits &= this;
            }
            if fits == [false; 3] {
                return Err(unknown(
                    &conv.label,
                    "its zeros fit neither TensorFlow's SAME nor symmetric padding, or another rule than the \
                     convolutions before it"
                        .into(),
                ));
            }
        }
        // If the sizes allow both, explicit zeros suggest a network trained with symmetric padding, unless it is known better.
        Ok(match fits {
            [true, ..] if self.graph.writer.tensorflow => Padding::Same,
            [_, true, _] => Padding::Symmetric,
            [true, ..] => Padding::Same,
            _ => Padding::BlockInput,
        })
    }

    fn derived(
        self,
        extractor: Extractor,
        head: Head,
        padding: Padding,
        size: usize,
    ) -> Result<Derived<'a>, ImportError> {
        let normalisation = self.graph.pixel.map(|pixel| {
            let problem = || format!("a pixel is multiplied by {:?} and {:?} is added", pixel.scale, pixel.offset);
            pixel.normalisation().ok_or_else(|| unknown("the normalisation", problem()))
        });
        let mut tensors = HashMap::new();
        for conv in &self.convs {
            tensors.insert(format!("{}.weight", conv.name), conv.weight.clone());
            tensors.insert(format!("{}.bias", conv.name), conv.bias.clone());
        }
        Ok(Derived {
            extractor,
            head,
            padding,
            size: (!self.graph.writer.any_size).then_some(size),
            normalisation: normalisation.transpose()?,
            labels: None,
            tensors,
            activations: self.activations,
            convs: Some(self.convs),
            // Already folded into the weights; the value of TensorFlow's MobileNets.
            batch_norm_epsilon: 1e-3,
            head_batch_norm_epsilon: None,
            missing: self.missing,
        })
    }
}

/// Whether SAME, whether symmetric padding, and whether that of a block's input, produces the convolution's zeros on a map
/// of this size.
fn paddings(convolution: &Convolution<'_>, height: usize, width: usize) -> [bool; 3] {
    let kernel = convolution.kernel();
    let stride = convolution.stride;
    let rate = convolution.rate;
    let reach = (kernel - 1) * rate;
    match convolution.pads {
        // At stride 1 SAME is symmetric, whatever the size.
        Pads::Same => [true, stride == 1 || kernel == 1, false],
        Pads::Explicit(borders) => {
            let same = |n: usize| {
                let total = (n.div_ceil(stride).saturating_sub(1) * stride + reach + 1).saturating_sub(n);
                (total / 2, total - total / 2)
            };
            let (top, bottom) = same(height);
            let (left, right) = same(width);
            let even = borders == Borders::even(reach / 2);
            [borders == Borders { top, bottom, left, right }, even, even]
        }
    }
}
