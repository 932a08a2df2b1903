//! The one form into which the readers of graph formats with free layouts (ONNX, TensorFlow) put their operators: each call
//! takes what is known of an operator's inputs and says what is known of its output.
//!
//! Constants are computed at once. Of a map it is known which of its dimensions are rows, columns and channels, so transposes
//! and reshapes leave no trace in the [`Graph`]. What cannot be expressed becomes an operator that nothing recognises: an
//! error only if the network needs it.

use silhouette_network::spec::{Activation, Resize};
use silhouette_weights::{ActivationQuantisation, Quantisation};

use crate::budget::Budget;
use crate::error::ImportError;
use crate::fold::{self, Binary, Span, Unary};
use crate::graph::{Borders, Convolution, Graph, Node, Op, Pads, Value, Writer};
use crate::tensor::Tensor;

/// More operators than any supported network has, with all that exporters put around it.
pub(crate) const MAX_OPERATORS: usize = 1 << 14;

/// More inputs than any supported operator has.
pub(crate) const MAX_OPERANDS: usize = 64;

/// More rows, columns or channels than a map or kernel can have.
pub(crate) const MAX_DIMENSION: usize = 1 << 20;

/// More dimensions than any supported operator has.
pub(crate) const MAX_RANK: usize = 8;

/// Limit on weights used per byte of the file: one where weights are bytes, and as much again for shared ones.
const WEIGHTS_PER_BYTE: usize = 2;

/// What a dimension of a map counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    /// Pieces of a map that was cut for an atrous convolution; otherwise there is one picture.
    Batch,
    Row,
    Column,
    Channel,
}

/// The order of dimensions that an operator works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    ChannelsFirst,
    ChannelsLast,
}

impl Layout {
    fn axes(self) -> [Axis; 4] {
        match self {
            Self::ChannelsFirst => [Axis::Batch, Axis::Channel, Axis::Row, Axis::Column],
            Self::ChannelsLast => [Axis::Batch, Axis::Row, Axis::Column, Axis::Channel],
        }
    }

    fn place(self, axis: Axis) -> usize {
        self.axes().iter().position(|&other| other == axis).unwrap_or(0)
    }
}

/// A map as the file sees it.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    value: Value,
    dims: Vec<usize>,
    /// What each dimension counts; `None` for those of one.
    axes: Vec<Option<Axis>>,
}

impl Map {
    pub(crate) fn dims(&self) -> &[usize] {
        &self.dims
    }

    fn size(&self, axis: Axis) -> usize {
        let place = self.axes.iter().position(|&other| other == Some(axis));
        place.map_or(1, |place| self.dims[place])
    }

    /// Whether the dimensions can be those of the layout.
    fn is(&self, layout: Layout) -> bool {
        self.dims.len() == 4
            && self.axes.iter().zip(layout.axes()).all(|(&axis, other)| axis.is_none_or(|a| a == other))
    }

    /// The shape as the graph keeps it.
    fn shape(&self) -> Vec<usize> {
        [Axis::Batch, Axis::Row, Axis::Column, Axis::Channel].map(|axis| self.size(axis)).to_vec()
    }
}

/// What is known of a tensor of the file.
#[derive(Clone, Debug)]
pub(crate) enum Known<'a> {
    Constant(Tensor<'a>),
    Map(Map),
    /// The output of an operator that no network here has.
    Stranger(Value),
}

impl<'a> Known<'a> {
    pub(crate) fn constant(&self) -> Option<&Tensor<'a>> {
        match self {
            Self::Constant(tensor) => Some(tensor),
            _ => None,
        }
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::Constant(_) => None,
            Self::Map(map) => Some(map.value),
            Self::Stranger(value) => Some(*value),
        }
    }
}

/// A convolution's attributes and weights.
pub(crate) struct Filter<'a> {
    /// (O, I / groups, K, K).
    pub(crate) weight: Tensor<'a>,
    pub(crate) bias: Option<Tensor<'a>>,
    pub(crate) groups: usize,
    /// Vertical, horizontal.
    pub(crate) strides: [usize; 2],
    pub(crate) rates: [usize; 2],
    pub(crate) pads: Pads,
}

/// The graph so far.
pub(crate) struct Flow<'a> {
    format: &'static str,
    nodes: Vec<Node<'a>>,
    shapes: Vec<Vec<usize>>,
    quantised: Vec<Option<ActivationQuantisation>>,
    /// The operator that writes each value.
    writers: Vec<Option<usize>>,
    weights: Budget,
    numbers: Budget,
}

type Result<T> = std::result::Result<T, ImportError>;

impl<'a> Flow<'a> {
    /// For a file of `length` bytes of this format.
    pub(crate) fn new(format: &'static str, length: usize) -> Self {
        Self {
            format,
            nodes: Vec::new(),
            shapes: Vec::new(),
            quantised: Vec::new(),
            writers: Vec::new(),
            weights: Budget::new("weights (shared ones count again)", length.saturating_mul(WEIGHTS_PER_BYTE)),
            // A channel has over thirty bytes of weights and statistics, of which some four numbers are made.
            numbers: Budget::new("numbers for channels (shared ones count again)", (length / 8).max(1 << 16)),
        }
    }

    /// The error of a damaged file.
    pub(crate) fn damaged(&self, place: &str, problem: impl Into<String>) -> ImportError {
        ImportError::Damaged { format: self.format, place: place.to_owned(), problem: problem.into() }
    }

    fn new_value(&mut self, shape: Vec<usize>) -> Value {
        self.shapes.push(shape);
        self.quantised.push(None);
        self.writers.push(None);
        self.shapes.len() - 1
    }

    /// The image, in either layout, of three channels; `None` if the dimensions are not those of one.
    pub(crate) fn input(&mut self, dims: Vec<usize>) -> Option<Known<'a>> {
        let axes = match dims.as_slice() {
            [1, 3, _, _] => [None, Some(Axis::Channel), Some(Axis::Row), Some(Axis::Column)],
            [1, _, _, 3] => [None, Some(Axis::Row), Some(Axis::Column), Some(Axis::Channel)],
            _ => return None,
        };
        let axes = axes.iter().zip(&dims).map(|(&axis, &n)| axis.filter(|_| n != 1)).collect();
        let mut map = Map { value: 0, dims, axes };
        map.value = self.new_value(map.shape());
        Some(Known::Map(map))
    }

    fn push(
        &mut self,
        label: &str,
        op: Op<'a>,
        inputs: Vec<Value>,
        dims: Vec<usize>,
        axes: Vec<Option<Axis>>,
    ) -> Known<'a> {
        let mut map = Map { value: 0, dims, axes };
        for (axis, &n) in map.axes.iter_mut().zip(&map.dims) {
            *axis = axis.filter(|_| n != 1);
        }
        map.value = self.new_value(map.shape());
        self.writers[map.value] = Some(self.nodes.len());
        self.nodes.push(Node { label: label.to_owned(), op, inputs, output: map.value });
        Known::Map(map)
    }

    /// An operator that changes no shape.
    fn push_same(&mut self, label: &str, op: Op<'a>, map: &Map) -> Known<'a> {
        self.push(label, op, vec![map.value], map.dims.clone(), map.axes.clone())
    }

    /// An operator that no network here has, and why.
    pub(crate) fn stranger(&mut self, label: &str, inputs: &[&Known<'a>], why: impl Into<String>) -> Known<'a> {
        // What follows a stranger is known by it.
        let inputs = inputs.iter().take(MAX_OPERANDS).filter_map(|known| known.value()).collect();
        let output = self.new_value(Vec::new());
        self.writers[output] = Some(self.nodes.len());
        self.nodes.push(Node { label: label.to_owned(), op: Op::Other(why.into()), inputs, output });
        Known::Stranger(output)
    }

    /// A constant, or a stranger if it could not be computed.
    pub(crate) fn computed(&mut self, label: &str, tensor: Option<Tensor<'a>>) -> Result<Known<'a>> {
        let Some(tensor) = tensor else {
            return Ok(self.stranger(label, &[], "it computes a constant in an unknown way"));
        };
        self.numbers.spend(tensor.len()).map_err(|problem| self.damaged(label, problem))?;
        Ok(Known::Constant(tensor))
    }

    pub(crate) fn convolution(
        &mut self,
        label: &str,
        input: &Known<'a>,
        layout: Layout,
        filter: Filter<'a>,
    ) -> Result<Known<'a>> {
        let Known::Map(map) = input else {
            return Ok(self.stranger(label, &[input], "its input is no map of a network here"));
        };
        if !map.is(layout) {
            return Ok(self.stranger(
                label,
                &[input],
                format!("its input is a map of {:?} in another order", map.dims),
            ));
        }
        let c_in = map.size(Axis::Channel);
        let &[c_out, per_group, kernel, across] = filter.weight.dims() else {
            let problem = format!("its weights have the shape {:?}", filter.weight.dims());
            return Ok(self.stranger(label, &[input], problem));
        };
        let depthwise = filter.groups == c_in && c_out == c_in && per_group == 1 && c_in > 1;
        let [stride, rate] = [filter.strides, filter.rates].map(|[down, across]| if down == across { down } else { 0 });
        let possible = |n: usize| (1..=1024).contains(&n);
        if kernel != across || !possible(kernel) || !possible(stride) || !possible(rate) {
            let (strides, rates) = (filter.strides, filter.rates);
            let problem = format!("its kernel is {kernel}x{across}, its strides {strides:?} and its rates {rates:?}");
            return Ok(self.stranger(label, &[input], problem));
        }
        if !depthwise && (filter.groups != 1 || per_group != c_in) || c_out == 0 {
            let (dims, groups) = (filter.weight.dims(), filter.groups);
            let problem = format!("its weights {dims:?} in {groups} groups do not match a map of {c_in} channels");
            return Ok(self.stranger(label, &[input], problem));
        }
        let reach = (kernel - 1) * rate;
        let output = |n: usize, before: usize, after: usize| match filter.pads {
            Pads::Same => Some(n.div_ceil(stride)),
            Pads::Explicit(_) => Some(n.checked_add(before + after)?.checked_sub(reach + 1)? / stride + 1),
        };
        let sides = match filter.pads {
            Pads::Same => Borders::default(),
            Pads::Explicit(borders) => borders,
        };
        let rows = output(map.size(Axis::Row), sides.top, sides.bottom);
        let columns = output(map.size(Axis::Column), sides.left, sides.right);
        let (Some(rows), Some(columns)) = (rows, columns) else {
            return Ok(self.stranger(label, &[input], format!("its kernel is larger than its map of {:?}", map.dims)));
        };
        self.weights.spend(filter.weight.len()).map_err(|problem| self.damaged(label, problem))?;
        self.numbers.spend(c_out).map_err(|problem| self.damaged(label, problem))?;
        let bias = match filter.bias {
            None => Tensor::zeros(c_out),
            Some(bias) => match bias.flattened().filter(|bias| bias.len() == c_out) {
                Some(bias) => bias,
                None => return Ok(self.stranger(label, &[input], format!("its bias is not of {c_out} channels"))),
            },
        };
        let axes = layout.axes();
        let dims = axes.map(|axis| match axis {
            Axis::Batch => map.size(Axis::Batch),
            Axis::Row => rows,
            Axis::Column => columns,
            Axis::Channel => c_out,
        });
        let op = Op::Convolution(Convolution {
            depthwise,
            stride,
            rate,
            pads: filter.pads,
            activation: Activation::Linear,
            clamped: false,
            weight: filter.weight,
            bias,
        });
        Ok(self.push(label, op, vec![map.value], dims.to_vec(), axes.map(Some).to_vec()))
    }

    /// The last dimension, which is the channels, times a matrix (O, I): a 1x1 convolution.
    pub(crate) fn product(
        &mut self,
        label: &str,
        input: &Known<'a>,
        matrix: Tensor<'a>,
        bias: Option<Tensor<'a>>,
    ) -> Result<Known<'a>> {
        let Known::Map(map) = input else {
            return Ok(self.stranger(label, &[input], "its input is no map of a network here"));
        };
        let last = map.axes.last().copied();
        let channels_last = last.is_some_and(|axis| axis.is_none_or(|axis| axis == Axis::Channel));
        let [c_out, c_in] = matrix.dims() else {
            return Ok(self.stranger(label, &[input], format!("its matrix has the shape {:?}", matrix.dims())));
        };
        if !channels_last || *c_in != map.size(Axis::Channel) || map.dims.last() != Some(c_in) {
            let problem = format!("its matrix {:?} does not match a map of {:?}", matrix.dims(), map.dims);
            return Ok(self.stranger(label, &[input], problem));
        }
        let c_out = *c_out;
        self.weights.spend(matrix.len()).map_err(|problem| self.damaged(label, problem))?;
        self.numbers.spend(c_out).map_err(|problem| self.damaged(label, problem))?;
        let bias = match bias.map(Tensor::flattened) {
            None => Tensor::zeros(c_out),
            Some(Some(bias)) if bias.len() == c_out => bias,
            Some(_) => return Ok(self.stranger(label, &[input], format!("its bias is not of {c_out} channels"))),
        };
        let (mut dims, mut axes) = (map.dims.clone(), map.axes.clone());
        if let (Some(n), Some(axis)) = (dims.last_mut(), axes.last_mut()) {
            (*n, *axis) = (c_out, Some(Axis::Channel));
        }
        let op = Op::Convolution(Convolution {
            depthwise: false,
            stride: 1,
            rate: 1,
            pads: Pads::Explicit(Borders::default()),
            activation: Activation::Linear,
            clamped: false,
            weight: matrix.extended(4),
            bias,
        });
        Ok(self.push(label, op, vec![map.value], dims, axes))
    }

    /// `value * scale + offset`, channel by channel.
    fn affine(&mut self, label: &str, map: &Map, scale: Vec<f64>, offset: Vec<f64>) -> Known<'a> {
        self.push_same(label, Op::Affine { scale, offset }, map)
    }

    /// Batch norm with constants; (variance, epsilon) and the other three have a number for each channel.
    pub(crate) fn batch_norm(
        &mut self,
        label: &str,
        input: &Known<'a>,
        layout: Layout,
        [gamma, beta, mean, variance]: [&Tensor<'a>; 4],
        epsilon: f32,
    ) -> Result<Known<'a>> {
        let Known::Map(map) = input else {
            return Ok(self.stranger(label, &[input], "its input is no map of a network here"));
        };
        let channels = map.size(Axis::Channel);
        let along = map.is(layout) || map.dims.len() == 2;
        if !along || [gamma, beta, mean, variance].iter().any(|tensor| tensor.len() != channels) {
            let problem = format!("its constants do not match a map of {:?}", map.dims);
            return Ok(self.stranger(label, &[input], problem));
        }
        self.numbers.spend(2 * channels).map_err(|problem| self.damaged(label, problem))?;
        let scale: Vec<f64> = gamma
            .values()
            .zip(variance.values())
            .map(|(gamma, variance)| f64::from(gamma) / (f64::from(variance) + f64::from(epsilon)).sqrt())
            .collect();
        let shift = beta.values().zip(mean.values()).zip(&scale);
        let offset = shift.map(|((beta, mean), scale)| f64::from(beta) - f64::from(mean) * scale).collect();
        let map = map.clone();
        Ok(self.affine(label, &map, scale, offset))
    }

    /// An operator of two tensors, element by element.
    #[allow(clippy::float_cmp, reason = "bounds that are exactly those of an activation")]
    pub(crate) fn binary(
        &mut self,
        label: &str,
        operator: Binary,
        left: &Known<'a>,
        right: &Known<'a>,
    ) -> Result<Known<'a>> {
        let (map, constant, swapped) = match (left, right) {
            (Known::Constant(left), Known::Constant(right)) => {
                return self.computed(label, fold::binary(operator, left, right));
            }
            (Known::Map(left), Known::Map(right)) => {
                if operator == Binary::Add && left.dims == right.dims && left.axes == right.axes {
                    let inputs = vec![left.value, right.value];
                    return Ok(self.push(label, Op::Add, inputs, left.dims.clone(), left.axes.clone()));
                }
                (None, None, false)
            }
            (Known::Map(map), Known::Constant(constant)) => (Some(map), Some(constant), false),
            (Known::Constant(constant), Known::Map(map)) => (Some(map), Some(constant), true),
            _ => (None, None, false),
        };
        let (Some(map), Some(constant)) = (map, constant) else {
            let problem = "MobileNets and DeepLabV3 have no such operator of two maps";
            return Ok(self.stranger(label, &[left, right], problem));
        };
        let Some(numbers) = self.for_channels(label, map, constant)? else {
            let problem = format!("its constant {:?} is not one number for each channel", constant.dims());
            return Ok(self.stranger(label, &[left, right], problem));
        };
        let map = map.clone();
        let count = numbers.len();
        let (ones, zeros) = (vec![1.0; count], vec![0.0; count]);
        Ok(match (operator, swapped) {
            (Binary::Add, _) => self.affine(label, &map, ones, numbers),
            (Binary::Subtract, false) => self.affine(label, &map, ones, numbers.iter().map(|n| -n).collect()),
            (Binary::Subtract, true) => self.affine(label, &map, vec![-1.0; count], numbers),
            (Binary::Multiply, _) => self.affine(label, &map, numbers, zeros),
            (Binary::Divide, false) => self.affine(label, &map, numbers.iter().map(|n| 1.0 / n).collect(), zeros),
            (Binary::Greatest, _) if numbers.iter().all(|&n| n == 0.0) => {
                self.bounded(label, &Known::Map(map), Some(0.0), None)
            }
            (Binary::Least, _) if numbers.iter().all(|&n| n == numbers[0]) => {
                self.bounded(label, &Known::Map(map), None, Some(numbers[0] as f32))
            }
            _ => self.stranger(label, &[left, right], "MobileNets and DeepLabV3 have no such operator"),
        })
    }

    /// The numbers of a constant for each channel of a map, if that is what it has.
    fn for_channels(&mut self, label: &str, map: &Map, constant: &Tensor<'a>) -> Result<Option<Vec<f64>>> {
        let channels = map.size(Axis::Channel);
        let dims = constant.dims();
        let Some(before) = map.dims.len().checked_sub(dims.len()) else { return Ok(None) };
        let along = |(i, &n): (usize, &usize)| {
            n == 1 || (map.axes[before + i] == Some(Axis::Channel) && n == map.dims[before + i])
        };
        let one = constant.len() == 1;
        if channels == 0 || !(dims.iter().enumerate().all(along) && (one || constant.len() == channels)) {
            return Ok(None);
        }
        self.numbers.spend(2 * channels).map_err(|problem| self.damaged(label, problem))?;
        let numbers: Vec<f64> = constant.values().map(f64::from).collect();
        Ok(Some(if one { vec![numbers[0]; channels] } else { numbers }))
    }

    /// Values kept within bounds: the activations.
    pub(crate) fn bounded(
        &mut self,
        label: &str,
        input: &Known<'a>,
        least: Option<f32>,
        most: Option<f32>,
    ) -> Known<'a> {
        let Known::Map(map) = input else {
            return self.stranger(label, &[input], "its input is no map of a network here");
        };
        let map = map.clone();
        // The two bounds may come one after the other.
        let before = self.writers[map.value].map(|writer| &self.nodes[writer]);
        let after_relu = match before {
            Some(Node { op: Op::Activation(Activation::Relu), inputs, .. }) => inputs.first().copied(),
            _ => None,
        };
        let least = least.filter(|&least| least > f32::MIN);
        let most = most.filter(|&most| most < f32::MAX);
        match (least, most, after_relu) {
            (Some(0.0), Some(6.0), _) => self.push_same(label, Op::Activation(Activation::Relu6), &map),
            (Some(0.0), None, _) => self.push_same(label, Op::Activation(Activation::Relu), &map),
            (None, Some(6.0), Some(value)) => {
                self.push(label, Op::Activation(Activation::Relu6), vec![value], map.dims, map.axes)
            }
            (None, None, _) => Known::Map(map),
            _ => {
                let number = |bound: Option<f32>| bound.map_or("nothing".to_owned(), |bound| bound.to_string());
                let problem = format!("it keeps values between {} and {}", number(least), number(most));
                self.stranger(label, &[input], problem)
            }
        }
    }

    /// Softmax, the sigmoid: of the same shape. `channels`: the dimension must be the channels'.
    pub(crate) fn ending(&mut self, label: &str, input: &Known<'a>, op: Op<'a>, dimension: Option<i64>) -> Known<'a> {
        let Known::Map(map) = input else {
            return self.stranger(label, &[input], "its input is no map of a network here");
        };
        let place = dimension.map(|dimension| place(dimension, map.dims.len()));
        if let Some(place) = place
            && !place.is_some_and(|place| map.axes[place].is_none_or(|axis| axis == Axis::Channel))
        {
            return self.stranger(label, &[input], "it does not work along the channels");
        }
        let map = map.clone();
        self.push_same(label, op, &map)
    }

    pub(crate) fn best(&mut self, label: &str, input: &Known<'a>, dimension: i64, keep: bool) -> Known<'a> {
        let Known::Map(map) = input else {
            return self.stranger(label, &[input], "its input is no map of a network here");
        };
        let place = place(dimension, map.dims.len());
        let Some(place) = place.filter(|&place| map.axes[place] == Some(Axis::Channel) || map.size(Axis::Channel) == 1)
        else {
            return self.stranger(label, &[input], "it does not work along the channels");
        };
        let (mut dims, mut axes) = (map.dims.clone(), map.axes.clone());
        if keep {
            (dims[place], axes[place]) = (1, None);
        } else {
            dims.remove(place);
            axes.remove(place);
        }
        let value = map.value;
        self.push(label, Op::ArgMax, vec![value], dims, axes)
    }

    /// The average over dimensions.
    pub(crate) fn mean(&mut self, label: &str, input: &Known<'a>, dimensions: &[i64], keep: bool) -> Known<'a> {
        let Known::Map(map) = input else {
            return self.stranger(label, &[input], "its input is no map of a network here");
        };
        let rank = map.dims.len();
        let over: Vec<usize> = dimensions.iter().filter_map(|&dimension| place(dimension, rank)).collect();
        let taken = |i: usize| over.contains(&i);
        let whole = (0..rank).all(|i| match map.axes[i] {
            Some(Axis::Row | Axis::Column) => taken(i),
            Some(Axis::Batch | Axis::Channel) => !taken(i),
            None => true,
        });
        if !whole || over.len() != dimensions.len() {
            return self.stranger(label, &[input], "it does not average over all of rows and columns, and them alone");
        }
        let (mut dims, mut axes) = (Vec::new(), Vec::new());
        for i in 0..rank {
            if !taken(i) {
                dims.push(map.dims[i]);
                axes.push(map.axes[i]);
            } else if keep {
                dims.push(1);
                axes.push(None);
            }
        }
        let value = map.value;
        self.push(label, Op::GlobalPool, vec![value], dims, axes)
    }

    /// The average over windows: of the whole map, or nothing here has it.
    pub(crate) fn average(
        &mut self,
        label: &str,
        input: &Known<'a>,
        layout: Layout,
        window: [usize; 2],
        padded: bool,
    ) -> Known<'a> {
        if let Known::Map(map) = input
            && map.is(layout)
            && window == [map.size(Axis::Row), map.size(Axis::Column)]
            && !padded
        {
            let over = [Axis::Row, Axis::Column].map(|axis| layout.place(axis) as i64);
            return self.mean(label, input, &over, true);
        }
        let problem = match input {
            Known::Map(map) => format!("it averages {window:?} of a map {:?}, not all of it", map.dims),
            _ => "its input is no map of a network here".to_owned(),
        };
        self.stranger(label, &[input], problem)
    }

    /// A resize to these dimensions.
    pub(crate) fn resize(&mut self, label: &str, input: &Known<'a>, dims: &[usize], rule: Option<Resize>) -> Known<'a> {
        let Known::Map(map) = input else {
            return self.stranger(label, &[input], "its input is no map of a network here");
        };
        if map.dims == dims {
            return input.clone();
        }
        let mut axes = map.axes.clone();
        let mut free = [Axis::Row, Axis::Column].into_iter().filter(|&axis| !map.axes.contains(&Some(axis)));
        let same_rank = dims.len() == map.dims.len() && dims.iter().all(|n| (1..=MAX_DIMENSION).contains(n));
        let mut possible = same_rank;
        for (axis, (&from, &to)) in axes.iter_mut().zip(map.dims.iter().zip(dims)) {
            if from == to {
                continue;
            }
            match axis {
                Some(Axis::Row | Axis::Column) => {}
                None => match free.next() {
                    Some(spatial) => *axis = Some(spatial),
                    None => possible = false,
                },
                Some(_) => possible = false,
            }
        }
        if !possible {
            let problem = format!("it resizes {:?} to {dims:?}, not rows and columns", map.dims);
            return self.stranger(label, &[input], problem);
        }
        let value = map.value;
        self.push(label, Op::Resize { rule }, vec![value], dims.to_vec(), axes)
    }

    pub(crate) fn concatenation(&mut self, label: &str, inputs: &[&Known<'a>], dimension: i64) -> Result<Known<'a>> {
        let constants: Option<Vec<&Tensor<'a>>> = inputs.iter().map(|known| known.constant()).collect();
        if let Some(constants) = constants {
            return self.computed(label, fold::joined(&constants));
        }
        let maps: Option<Vec<&Map>> = inputs
            .iter()
            .map(|known| match known {
                Known::Map(map) => Some(map),
                _ => None,
            })
            .collect();
        let Some((first, maps)) = maps.as_ref().and_then(|maps| Some((*maps.first()?, maps))) else {
            return Ok(self.stranger(label, inputs, "one of its inputs is no map of a network here"));
        };
        let rank = first.dims.len();
        let axis = place(dimension, rank);
        let fits = |map: &&Map, place: usize| {
            map.dims.len() == rank
                && (0..rank).all(|i| i == place || (map.dims[i] == first.dims[i] && map.axes[i] == first.axes[i]))
                && map.axes[place].is_none_or(|axis| axis == Axis::Channel)
                && (map.dims[place] > 1 || map.size(Axis::Channel) == 1)
        };
        let Some(place) = axis.filter(|&place| maps.iter().all(|map| fits(map, place))) else {
            return Ok(self.stranger(label, inputs, "it does not join maps of one size along their channels"));
        };
        let (mut dims, mut axes) = (first.dims.clone(), first.axes.clone());
        dims[place] = maps.iter().map(|map| map.dims[place]).sum();
        axes[place] = Some(Axis::Channel);
        let values = maps.iter().map(|map| map.value).collect();
        Ok(self.push(label, Op::Concatenate, values, dims, axes))
    }

    /// The same numbers in another shape: for a map, dimensions of one that come or go.
    pub(crate) fn reshape(&mut self, label: &str, input: &Known<'a>, dims: Vec<usize>) -> Result<Known<'a>> {
        let map = match input {
            Known::Constant(tensor) => {
                return match tensor.clone().reshaped(dims.clone()) {
                    Some(tensor) => Ok(Known::Constant(tensor)),
                    // Turned before: its numbers do not lie one after the other.
                    None => self.computed(label, fold::copied(tensor, dims)),
                };
            }
            Known::Stranger(_) => return Ok(self.stranger(label, &[input], "its input is no map of a network here")),
            Known::Map(map) => map,
        };
        let longer = |dims: &[usize]| dims.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        if longer(&dims) != longer(&map.dims) {
            let problem = format!("it turns {:?} into {dims:?}", map.dims);
            return Ok(self.stranger(label, &[input], problem));
        }
        let mut rest = map.axes.iter().filter(|axis| axis.is_some());
        let axes = dims.iter().map(|&n| if n == 1 { None } else { rest.next().copied().flatten() }).collect();
        Ok(Known::Map(Map { value: map.value, dims, axes }))
    }

    /// A constant that is only seen in another way: no new numbers.
    fn computed_again(&mut self, label: &str, tensor: Option<Tensor<'a>>) -> Known<'a> {
        match tensor {
            Some(tensor) => Known::Constant(tensor),
            None => self.stranger(label, &[], "it turns a constant in an unknown way"),
        }
    }

    pub(crate) fn transpose(&mut self, label: &str, input: &Known<'a>, order: &[i64]) -> Result<Known<'a>> {
        let rank = match input {
            Known::Constant(tensor) => tensor.dims().len(),
            Known::Map(map) => map.dims.len(),
            Known::Stranger(_) => return Ok(self.stranger(label, &[input], "its input is no map of a network here")),
        };
        let order: Vec<usize> = order.iter().filter_map(|&dimension| place(dimension, rank)).collect();
        let mut seen = order.clone();
        seen.sort_unstable();
        if !seen.into_iter().eq(0..rank) {
            return Err(self.damaged(label, format!("its order {order:?} is none of {rank} dimensions")));
        }
        match input {
            Known::Constant(tensor) => {
                let turned = tensor.clone().transposed(&order);
                Ok(self.computed_again(label, turned))
            }
            Known::Map(map) => Ok(Known::Map(Map {
                value: map.value,
                dims: order.iter().map(|&i| map.dims[i]).collect(),
                axes: order.iter().map(|&i| map.axes[i]).collect(),
            })),
            Known::Stranger(_) => Ok(input.clone()),
        }
    }

    /// Dimensions of one, by their places in the result.
    pub(crate) fn with_ones(&mut self, label: &str, input: &Known<'a>, places: &[i64]) -> Result<Known<'a>> {
        let dims = match input {
            Known::Constant(tensor) => tensor.dims(),
            Known::Map(map) => map.dims(),
            Known::Stranger(_) => return Ok(self.stranger(label, &[input], "its input is no map of a network here")),
        };
        let rank = dims.len() + places.len();
        let new: Vec<usize> = places.iter().filter_map(|&at| place(at, rank)).collect();
        if rank > MAX_RANK || new.len() != places.len() {
            return Err(self.damaged(label, format!("it adds the dimensions {places:?} to {dims:?}")));
        }
        let mut old = dims.iter();
        let dims = (0..rank).map(|i| if new.contains(&i) { 1 } else { old.next().copied().unwrap_or(1) }).collect();
        self.reshape(label, input, dims)
    }

    /// Without some dimensions of one, or without all.
    pub(crate) fn without_ones(&mut self, label: &str, input: &Known<'a>, places: &[i64]) -> Result<Known<'a>> {
        let dims = match input {
            Known::Constant(tensor) => tensor.dims(),
            Known::Map(map) => map.dims(),
            Known::Stranger(_) => return Ok(self.stranger(label, &[input], "its input is no map of a network here")),
        };
        let gone: Vec<usize> = places.iter().filter_map(|&at| place(at, dims.len())).collect();
        let goes = |i: usize, n: usize| if places.is_empty() { n == 1 } else { gone.contains(&i) };
        let dims = dims.iter().enumerate().filter(|&(i, &n)| !goes(i, n)).map(|(_, &n)| n).collect();
        self.reshape(label, input, dims)
    }

    /// Zeros around a map, for each dimension before and after.
    pub(crate) fn pad(&mut self, label: &str, input: &Known<'a>, pads: &[[i64; 2]]) -> Known<'a> {
        let Known::Map(map) = input else {
            return self.stranger(label, &[input], "its input is no map of a network here");
        };
        if pads.len() == map.dims.len() && pads.iter().all(|pads| *pads == [0, 0]) {
            return input.clone();
        }
        let mut borders = Borders::default();
        let mut dims = map.dims.clone();
        let mut possible = pads.len() == map.dims.len();
        for (i, &[before, after]) in pads.iter().enumerate().filter(|(_, pads)| **pads != [0, 0]) {
            let side = |n: i64| usize::try_from(n).ok().filter(|&n| n <= 4096);
            match (map.axes.get(i), side(before), side(after)) {
                (Some(Some(Axis::Row)), Some(before), Some(after)) => (borders.top, borders.bottom) = (before, after),
                (Some(Some(Axis::Column)), Some(before), Some(after)) => {
                    (borders.left, borders.right) = (before, after);
                }
                _ => possible = false,
            }
            if possible {
                dims[i] += (before + after) as usize;
            }
        }
        if !possible {
            return self.stranger(label, &[input], format!("it pads {pads:?}, not rows and columns"));
        }
        let (value, axes) = (map.value, map.axes.clone());
        self.push(label, Op::Pad(borders), vec![value], dims, axes)
    }

    /// A part of a tensor, `None` along dimensions that are kept: of a constant, or all of a map.
    pub(crate) fn slice(&mut self, label: &str, input: &Known<'a>, spans: &[Option<Span>]) -> Result<Known<'a>> {
        match input {
            Known::Constant(tensor) => {
                let part = fold::sliced(tensor, spans);
                self.computed(label, part)
            }
            Known::Map(map) => {
                let all = spans.iter().zip(&map.dims).all(|(span, &n)| span.is_none_or(|span| span.is_all(n)));
                if all && spans.len() <= map.dims.len() {
                    return Ok(input.clone());
                }
                Ok(self.stranger(label, &[input], "it takes a part of a map"))
            }
            Known::Stranger(_) => Ok(self.stranger(label, &[input], "its input is no map of a network here")),
        }
    }

    /// TensorFlow's parts of an atrous convolution: the map cut into `block` x `block` maps, and joined again.
    pub(crate) fn cut(
        &mut self,
        label: &str,
        input: &Known<'a>,
        block: usize,
        borders: Borders,
        cuts: bool,
    ) -> Known<'a> {
        let Known::Map(map) = input else {
            return self.stranger(label, &[input], "its input is no map of a network here");
        };
        let [batch, rows, columns, channels] =
            [Axis::Batch, Axis::Row, Axis::Column, Axis::Channel].map(|axis| map.size(axis));
        let high = rows.saturating_add(borders.top + borders.bottom);
        let wide = columns.saturating_add(borders.left + borders.right);
        let dims = if cuts && high.is_multiple_of(block) && wide.is_multiple_of(block) && batch == 1 {
            Some([block * block, high / block, wide / block, channels])
        } else if !cuts && batch == block * block {
            let rows = (rows * block).checked_sub(borders.top + borders.bottom);
            let columns = (columns * block).checked_sub(borders.left + borders.right);
            rows.zip(columns).map(|(rows, columns)| [1, rows, columns, channels])
        } else {
            None
        };
        let Some(dims) = dims.filter(|_| map.is(Layout::ChannelsLast)) else {
            let problem = format!("a map of {:?} does not match its block of {block} and {borders:?}", map.dims);
            return self.stranger(label, &[input], problem);
        };
        let op = if cuts { Op::SpaceToBatch { block, borders } } else { Op::BatchToSpace { block, borders } };
        let value = map.value;
        self.push(label, op, vec![value], dims.to_vec(), Layout::ChannelsLast.axes().map(Some).to_vec())
    }

    /// Another type of number: of a constant, or of a map where nothing is lost by it.
    pub(crate) fn cast(&mut self, label: &str, input: &Known<'a>, floats: bool) -> Result<Known<'a>> {
        match input {
            Known::Constant(tensor) => {
                let operator = if floats { Unary::ToFloat } else { Unary::ToInteger };
                if floats != fold::is_integer(tensor.number()) {
                    return Ok(input.clone());
                }
                self.computed(label, fold::unary(operator, tensor))
            }
            Known::Map(map) => {
                let writer = self.writers[map.value].map(|writer| &self.nodes[writer].op);
                if floats || matches!(writer, Some(Op::ArgMax) | None) {
                    return Ok(input.clone());
                }
                Ok(self.stranger(label, &[input], "it cuts off the fractions of a map"))
            }
            Known::Stranger(_) => Ok(self.stranger(label, &[input], "its input is no map of a network here")),
        }
    }

    /// Weights that were made from those of the file.
    pub(crate) fn weights(&mut self, label: &str, tensor: Option<Tensor<'a>>) -> Result<Known<'a>> {
        let count = tensor.as_ref().map_or(0, Tensor::len);
        self.weights.spend(count).map_err(|problem| self.damaged(label, problem))?;
        Ok(self.computed_again(label, tensor))
    }

    /// What a map's bytes represent; the map itself is not changed.
    pub(crate) fn quantise(
        &mut self,
        label: &str,
        input: &Known<'a>,
        edge: ActivationQuantisation,
    ) -> Result<Known<'a>> {
        edge.check().map_err(|problem| self.damaged(label, problem))?;
        Ok(match input {
            Known::Map(map) => {
                self.quantised[map.value].get_or_insert(edge);
                input.clone()
            }
            _ => self.stranger(label, &[input], "it quantises no map of a network here"),
        })
    }

    /// A constant of integers with what they represent; scales cost what the file has of them.
    pub(crate) fn dequantise(
        &mut self,
        label: &str,
        tensor: &Tensor<'a>,
        quantisation: Quantisation,
    ) -> Result<Known<'a>> {
        self.numbers.spend(2 * quantisation.scale.len()).map_err(|problem| self.damaged(label, problem))?;
        quantisation.check(tensor.dims()).map_err(|problem| self.damaged(label, problem))?;
        Ok(Known::Constant(tensor.clone().quantised(quantisation)))
    }

    /// The graph with what leads to the outputs.
    pub(crate) fn finish(self, input: &Known<'a>, outputs: &[&Known<'a>], writer: Writer) -> Result<Graph<'a>> {
        let unknown = |problem: &str| ImportError::UnknownNetwork { place: "the file".into(), problem: problem.into() };
        let input = input.value().ok_or_else(|| unknown("its input is a constant"))?;
        let outputs: Vec<Value> = outputs.iter().filter_map(|known| known.value()).collect();
        if outputs.is_empty() {
            return Err(unknown("it has no output that depends on the image"));
        }
        let mut needed = vec![false; self.shapes.len()];
        for &value in &outputs {
            needed[value] = true;
        }
        let mut nodes = self.nodes;
        for node in nodes.iter().rev() {
            if needed[node.output] {
                node.inputs.iter().for_each(|&value| needed[value] = true);
            }
        }
        nodes.retain(|node| needed[node.output]);
        Ok(Graph { nodes, shapes: self.shapes, quantised: self.quantised, input, outputs, pixel: None, writer })
    }
}

/// The place of a dimension, which may count from the end.
pub(crate) fn place(dimension: i64, rank: usize) -> Option<usize> {
    let from_end = i64::try_from(rank).ok()?;
    let place = if dimension < 0 { dimension.checked_add(from_end)? } else { dimension };
    usize::try_from(place).ok().filter(|&place| place < rank)
}

/// The name of an operator in messages.
pub(crate) fn label(index: usize, operator: &str, name: &str) -> String {
    format!("operator {index} ({}, '{}')", printable(operator), printable(name))
}

/// A name from a file, short and printable.
pub(crate) fn printable(name: &str) -> String {
    let short: String = name.chars().take(60).collect();
    short.escape_debug().to_string()
}
