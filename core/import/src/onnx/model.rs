//! The messages of an ONNX file: the model, its operators and their attributes, its tensors. Everything is borrowed from the
//! file, except numbers that it stores one by one.

use std::collections::HashMap;

use crate::error::ImportError;
use crate::flow::{MAX_OPERANDS, MAX_OPERATORS, MAX_RANK, label, printable};
use crate::tensor::{Number, Tensor};
use crate::wire::{Field, Malformed, Wire, fields, integers, listed};

/// More attributes than any operator has.
const MAX_ATTRIBUTES: usize = 64;

/// More integers than an attribute of any supported operator has.
const MAX_INTEGERS: usize = 1 << 13;

/// A model of one graph.
pub(super) struct Model<'a> {
    /// The file's length.
    pub(super) length: usize,
    /// The program that wrote it.
    pub(super) producer: &'a str,
    /// The version of the operators.
    pub(super) opset: i64,
    pub(super) nodes: Vec<Node<'a>>,
    /// Constants by name.
    pub(super) constants: HashMap<&'a str, Option<Tensor<'a>>>,
    pub(super) inputs: Vec<Input<'a>>,
    pub(super) outputs: Vec<&'a str>,
}

/// An input of the graph; constants may be among them.
pub(super) struct Input<'a> {
    pub(super) name: &'a str,
    /// `None` where a dimension is open.
    pub(super) dims: Vec<Option<usize>>,
    /// The type of its numbers.
    pub(super) kind: i64,
}

/// An operator.
pub(super) struct Node<'a> {
    pub(super) label: String,
    /// The empty domain is ONNX's own.
    pub(super) domain: &'a str,
    pub(super) operator: &'a str,
    /// The empty name is an input that is left out.
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    attributes: Vec<(&'a str, &'a [u8])>,
}

pub(super) fn damaged(place: impl Into<String>, problem: impl Into<String>) -> ImportError {
    ImportError::Damaged { format: "ONNX", place: place.into(), problem: problem.into() }
}

/// The error of a message.
fn at(place: &str) -> impl Fn(Malformed) -> ImportError + '_ {
    move |Malformed(problem)| damaged(place, problem)
}

fn many(what: &str, count: usize, most: usize) -> Result<(), ImportError> {
    if count < most { Ok(()) } else { Err(damaged("the graph", format!("it has more than {most} {what}"))) }
}

impl<'a> Model<'a> {
    /// Reads the messages of a file.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ImportError> {
        let broken = at("the model");
        let (mut producer, mut opset, mut graph) = ("", None, None);
        for field in fields(bytes) {
            let field = field.map_err(&broken)?;
            match field.number {
                2 => producer = field.value.text().map_err(&broken)?,
                7 if graph.is_some() => return Err(damaged("the model", "it has two graphs")),
                7 => graph = Some(field.value.bytes().map_err(&broken)?),
                8 => {
                    let (mut domain, mut version) = ("", 1);
                    for part in fields(field.value.bytes().map_err(&broken)?) {
                        let part = part.map_err(&broken)?;
                        match part.number {
                            1 => domain = part.value.text().map_err(&broken)?,
                            2 => version = part.value.integer().map_err(&broken)?,
                            _ => {}
                        }
                    }
                    if matches!(domain, "" | "ai.onnx") {
                        opset = Some(version);
                    }
                }
                _ => {}
            }
        }
        let graph = graph.ok_or_else(|| damaged("the model", "it has no graph"))?;
        let opset = opset.unwrap_or(1);
        if opset < 7 {
            return Err(ImportError::Unsupported {
                what: format!("ONNX with opset {opset}"),
                instead: "export the model again, with opset_version=17".into(),
            });
        }
        let mut model = Self {
            length: bytes.len(),
            producer,
            opset,
            nodes: Vec::new(),
            constants: HashMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        model.read_graph(graph)?;
        Ok(model)
    }

    fn read_graph(&mut self, graph: &'a [u8]) -> Result<(), ImportError> {
        let broken = at("the graph");
        for field in fields(graph) {
            let field = field.map_err(&broken)?;
            match field.number {
                1 => {
                    many("operators", self.nodes.len(), MAX_OPERATORS)?;
                    let node = Node::read(self.nodes.len(), field.value.bytes().map_err(&broken)?)?;
                    self.nodes.push(node);
                }
                5 => {
                    many("tensors", self.constants.len(), MAX_OPERATORS)?;
                    let (name, tensor) = tensor(field.value.bytes().map_err(&broken)?)?;
                    if self.constants.insert(name, tensor).is_some() {
                        return Err(damaged(format!("tensor '{}'", printable(name)), "there are two of this name"));
                    }
                }
                11 => {
                    many("inputs", self.inputs.len(), MAX_OPERATORS)?;
                    self.inputs.push(Input::read(field.value.bytes().map_err(&broken)?)?);
                }
                12 => {
                    many("outputs", self.outputs.len(), MAX_OPERANDS)?;
                    self.outputs.push(Input::read(field.value.bytes().map_err(&broken)?)?.name);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Input<'a> {
    fn read(message: &'a [u8]) -> Result<Self, ImportError> {
        let broken = at("an input or output");
        let mut input = Self { name: "", dims: Vec::new(), kind: 0 };
        for field in fields(message) {
            let field = field.map_err(&broken)?;
            match field.number {
                1 => input.name = field.value.text().map_err(&broken)?,
                2 => {
                    // Its type, of which a tensor is the first kind.
                    for kind in fields(field.value.bytes().map_err(&broken)?) {
                        let kind = kind.map_err(&broken)?;
                        if kind.number == 1 {
                            input.read_type(kind.value.bytes().map_err(&broken)?)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(input)
    }

    fn read_type(&mut self, message: &[u8]) -> Result<(), ImportError> {
        let broken = at("the type of an input or output");
        for field in fields(message) {
            let field = field.map_err(&broken)?;
            match field.number {
                1 => self.kind = field.value.integer().map_err(&broken)?,
                2 => {
                    for dimension in fields(field.value.bytes().map_err(&broken)?) {
                        let dimension = dimension.map_err(&broken)?.value.bytes().map_err(&broken)?;
                        let mut size = None;
                        for part in fields(dimension) {
                            let part = part.map_err(&broken)?;
                            if part.number == 1 {
                                size = usize::try_from(part.value.integer().map_err(&broken)?).ok();
                            }
                        }
                        if self.dims.len() == MAX_RANK {
                            return Err(damaged("an input or output", "it has too many dimensions"));
                        }
                        self.dims.push(size.filter(|&size| size > 0));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// An attribute's value, if it has the requested type.
macro_rules! attribute {
    ($(#[$doc:meta])* $name:ident, $number:literal, $read:ident, $type:ty) => {
        $(#[$doc])*
        pub(super) fn $name(&self, name: &str) -> Result<Option<$type>, ImportError> {
            let mut found = None;
            for field in fields(self.attribute(name)) {
                let field = field.map_err(at(&self.label))?;
                if field.number == $number {
                    found = Some(field.value.$read().map_err(at(&self.label))?);
                }
            }
            Ok(found)
        }
    };
}

impl<'a> Node<'a> {
    fn read(index: usize, message: &'a [u8]) -> Result<Self, ImportError> {
        let place = format!("operator {index}");
        let broken = at(&place);
        let (mut name, mut operator, mut domain) = ("", "", "");
        let (mut inputs, mut outputs, mut attributes) = (Vec::new(), Vec::new(), Vec::new());
        for field in fields(message) {
            let field = field.map_err(&broken)?;
            if [inputs.len(), outputs.len()].contains(&MAX_OPERANDS) || attributes.len() == MAX_ATTRIBUTES {
                return Err(damaged(&place, "it has too many inputs, outputs or attributes"));
            }
            match field.number {
                1 => inputs.push(field.value.text().map_err(&broken)?),
                2 => outputs.push(field.value.text().map_err(&broken)?),
                3 => name = field.value.text().map_err(&broken)?,
                4 => operator = field.value.text().map_err(&broken)?,
                5 => {
                    let attribute = field.value.bytes().map_err(&broken)?;
                    let mut key = "";
                    for part in fields(attribute) {
                        let part = part.map_err(&broken)?;
                        if part.number == 1 {
                            key = part.value.text().map_err(&broken)?;
                        }
                    }
                    attributes.push((key, attribute));
                }
                7 => domain = field.value.text().map_err(&broken)?,
                _ => {}
            }
        }
        let shown = if name.is_empty() { outputs.first().copied().unwrap_or("") } else { name };
        let label = label(index, operator, shown);
        let domain = if domain == "ai.onnx" { "" } else { domain };
        Ok(Self { label, domain, operator, inputs, outputs, attributes })
    }

    /// The message of an attribute, empty if there is none.
    fn attribute(&self, name: &str) -> &'a [u8] {
        self.attributes.iter().find(|(key, _)| *key == name).map_or(&[], |(_, message)| message)
    }

    attribute!(
        /// A float.
        float, 2, float, f32
    );
    attribute!(
        /// An integer.
        integer, 3, integer, i64
    );
    attribute!(
        /// A word.
        text, 4, text, &'a str
    );

    /// Integers; empty if there are none.
    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>, ImportError> {
        let mut all = Vec::new();
        for field in fields(self.attribute(name)) {
            let field = field.map_err(at(&self.label))?;
            if field.number == 8 {
                integers(field.value, &mut all).map_err(at(&self.label))?;
            }
            if all.len() > MAX_INTEGERS {
                return Err(damaged(&self.label, format!("its '{}' is too long", printable(name))));
            }
        }
        Ok(all)
    }

    /// Floats; empty if there are none.
    pub(super) fn floats(&self, name: &str) -> Result<Vec<f32>, ImportError> {
        let mut all = Vec::new();
        for field in fields(self.attribute(name)) {
            let field = field.map_err(at(&self.label))?;
            match (field.number, field.value) {
                (7, Wire::Bytes(bytes)) => all.extend(bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b))),
                (7, one) => all.push(one.float().map_err(at(&self.label))?),
                _ => {}
            }
            if all.len() > MAX_INTEGERS {
                return Err(damaged(&self.label, format!("its '{}' is too long", printable(name))));
            }
        }
        Ok(all)
    }

    /// A tensor; `None` if there is none, or its type is not supported.
    pub(super) fn tensor(&self, name: &str) -> Result<Option<Tensor<'a>>, ImportError> {
        for field in fields(self.attribute(name)) {
            let field = field.map_err(at(&self.label))?;
            if field.number == 5 {
                return Ok(tensor(field.value.bytes().map_err(at(&self.label))?)?.1);
            }
        }
        Ok(None)
    }
}

/// The kind of number of a tensor's type; logical values are bytes.
fn number(kind: i64) -> Option<Number> {
    Some(match kind {
        1 => Number::F32,
        2 | 9 => Number::U8,
        3 => Number::I8,
        6 => Number::I32,
        7 => Number::I64,
        10 => Number::F16,
        11 => Number::F64,
        16 => Number::Bf16,
        _ => return None,
    })
}

/// Whether a type counts as floats.
pub(super) fn is_float(kind: i64) -> bool {
    matches!(kind, 1 | 10 | 11 | 16)
}

/// The fields of numbers that are stored one by one: floats, small integers, 64-bit integers, doubles, unsigned integers.
const LISTS: [u64; 5] = [4, 5, 7, 10, 11];

/// A tensor and its name; `None` if its type is none that a network here has.
fn tensor(message: &[u8]) -> Result<(&str, Option<Tensor<'_>>), ImportError> {
    let mut name = "";
    for field in fields(message) {
        let field = field.map_err(at("a tensor"))?;
        if field.number == 8 {
            name = field.value.text().map_err(at("a tensor"))?;
        }
    }
    let place = format!("tensor '{}'", printable(name));
    let broken = at(&place);
    let (mut dims, mut kind, mut raw) = (Vec::new(), 0, None);
    let mut lists = (0, None);
    for field in fields(message) {
        let field = field.map_err(&broken)?;
        match field.number {
            1 => integers(field.value, &mut dims).map_err(&broken)?,
            2 => kind = field.value.integer().map_err(&broken)?,
            9 => raw = Some(field.value.bytes().map_err(&broken)?),
            13 => return Err(elsewhere(&place)),
            14 if field.value == Wire::Varint(1) => return Err(elsewhere(&place)),
            number if LISTS.contains(&number) => lists = (lists.0 + 1, Some(field)),
            _ => {}
        }
        if dims.len() > MAX_RANK {
            return Err(damaged(&place, "it has too many dimensions"));
        }
    }
    let shape: Option<Vec<usize>> = dims.iter().map(|&n| usize::try_from(n).ok()).collect();
    let shape = shape.ok_or_else(|| damaged(&place, format!("its shape is {dims:?}")))?;
    let Some(number) = number(kind) else { return Ok((name, None)) };
    let wrong = || damaged(&place, format!("its data does not fit its shape {dims:?}"));
    let tensor = match (raw, lists) {
        (Some(raw), _) => Tensor::new(number, raw, shape),
        // Floats in one piece lie in the file as they would in memory.
        (None, (1, Some(Field { number: 4, value: Wire::Bytes(floats) }))) if number == Number::F32 => {
            Tensor::new(number, floats, shape)
        }
        (None, _) => {
            let mut bytes = Vec::new();
            for field in fields(message) {
                let field = field.map_err(&broken)?;
                if LISTS.contains(&field.number) {
                    listed(number, field.value, message.len(), &mut bytes).map_err(&broken)?;
                }
            }
            Tensor::of_bytes(number, bytes, shape)
        }
    };
    Ok((name, Some(tensor.ok_or_else(wrong)?)))
}

fn elsewhere(place: &str) -> ImportError {
    ImportError::Unsupported {
        what: format!("an ONNX model with its weights in another file ({place})"),
        instead: "save it as one file: onnx.save(onnx.load(\"FILE\"), \"one.onnx\")".into(),
    }
}
