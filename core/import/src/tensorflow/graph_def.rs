//! The messages of a frozen graph: nodes, their attributes, tensors. Everything is borrowed from the file, except numbers that
//! it stores one by one.

use std::collections::HashMap;

use crate::error::ImportError;
use crate::flow::{MAX_OPERANDS, MAX_OPERATORS, MAX_RANK, label, printable};
use crate::tensor::{Number, Tensor};
use crate::wire::{Malformed, Wire, fields, integers, listed};

/// More attributes than any operator has.
const MAX_ATTRIBUTES: usize = 64;

/// Of a list of an attribute: strides, shapes.
const MAX_LIST: usize = 256;

/// Elements of a tensor that is written with fewer numbers than it has, of which the last is repeated.
const MAX_REPEATED: usize = 1 << 7;

/// The nodes by name; their order in the file means nothing.
pub(super) struct Nodes<'a> {
    pub(super) all: Vec<Node<'a>>,
    pub(super) by_name: HashMap<&'a str, usize>,
}

/// An operator.
pub(super) struct Node<'a> {
    pub(super) label: String,
    pub(super) name: &'a str,
    pub(super) operator: &'a str,
    /// `name`, or `name:output`; control inputs, which carry no values, are left out.
    pub(super) inputs: Vec<&'a str>,
    attributes: Vec<(&'a str, &'a [u8])>,
}

pub(super) fn damaged(place: impl Into<String>, problem: impl Into<String>) -> ImportError {
    ImportError::Damaged { format: "TensorFlow", place: place.into(), problem: problem.into() }
}

fn at(place: &str) -> impl Fn(Malformed) -> ImportError + '_ {
    move |Malformed(problem)| damaged(place, problem)
}

/// The nodes of a file.
pub(super) fn nodes(bytes: &[u8]) -> Result<Nodes<'_>, ImportError> {
    let broken = at("the graph");
    let mut nodes = Nodes { all: Vec::new(), by_name: HashMap::new() };
    for field in fields(bytes) {
        let field = field.map_err(&broken)?;
        if field.number != 1 {
            continue;
        }
        if nodes.all.len() == MAX_OPERATORS {
            return Err(damaged("the graph", format!("it has more than {MAX_OPERATORS} operators")));
        }
        let node = Node::read(nodes.all.len(), field.value.bytes().map_err(&broken)?)?;
        if nodes.by_name.insert(node.name, nodes.all.len()).is_some() {
            return Err(damaged(&node.label, "there are two of this name"));
        }
        nodes.all.push(node);
    }
    Ok(nodes)
}

impl<'a> Node<'a> {
    fn read(index: usize, message: &'a [u8]) -> Result<Self, ImportError> {
        let place = format!("operator {index}");
        let broken = at(&place);
        let (mut name, mut operator) = ("", "");
        let (mut inputs, mut attributes) = (Vec::new(), Vec::new());
        for field in fields(message) {
            let field = field.map_err(&broken)?;
            if inputs.len() == MAX_OPERANDS || attributes.len() == MAX_ATTRIBUTES {
                return Err(damaged(&place, "it has too many inputs or attributes"));
            }
            match field.number {
                1 => name = field.value.text().map_err(&broken)?,
                2 => operator = field.value.text().map_err(&broken)?,
                3 => {
                    let input = field.value.text().map_err(&broken)?;
                    if !input.starts_with('^') {
                        inputs.push(input);
                    }
                }
                5 => {
                    let (mut key, mut value) = ("", &[][..]);
                    for part in fields(field.value.bytes().map_err(&broken)?) {
                        let part = part.map_err(&broken)?;
                        match part.number {
                            1 => key = part.value.text().map_err(&broken)?,
                            2 => value = part.value.bytes().map_err(&broken)?,
                            _ => {}
                        }
                    }
                    attributes.push((key, value));
                }
                _ => {}
            }
        }
        Ok(Self { label: label(index, operator, name), name, operator, inputs, attributes })
    }

    /// The last field of this number in an attribute.
    fn field(&self, name: &str, number: u64) -> Result<Option<Wire<'a>>, ImportError> {
        let message = self.attributes.iter().find(|(key, _)| *key == name).map_or(&[][..], |(_, message)| message);
        let mut found = None;
        for field in fields(message) {
            let field = field.map_err(at(&self.label))?;
            if field.number == number {
                found = Some(field.value);
            }
        }
        Ok(found)
    }

    /// A word, such as a padding.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, ImportError> {
        self.field(name, 2)?.map(|value| value.text().map_err(at(&self.label))).transpose()
    }

    /// An integer; 0 if there is none, as everywhere in these messages.
    pub(super) fn integer(&self, name: &str) -> Result<i64, ImportError> {
        Ok(self.field(name, 3)?.map(|value| value.integer().map_err(at(&self.label))).transpose()?.unwrap_or(0))
    }

    pub(super) fn float(&self, name: &str) -> Result<Option<f32>, ImportError> {
        self.field(name, 4)?.map(|value| value.float().map_err(at(&self.label))).transpose()
    }

    pub(super) fn truth(&self, name: &str) -> Result<bool, ImportError> {
        let value = self.field(name, 5)?.map(|value| value.integer().map_err(at(&self.label))).transpose()?;
        Ok(value.is_some_and(|value| value != 0))
    }

    /// The number of a type of numbers.
    pub(super) fn kind(&self, name: &str) -> Result<i64, ImportError> {
        Ok(self.field(name, 6)?.map(|value| value.integer().map_err(at(&self.label))).transpose()?.unwrap_or(0))
    }

    /// A list of integers.
    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>, ImportError> {
        let broken = at(&self.label);
        let mut all = Vec::new();
        if let Some(list) = self.field(name, 1)? {
            for field in fields(list.bytes().map_err(&broken)?) {
                let field = field.map_err(&broken)?;
                if field.number == 3 {
                    integers(field.value, &mut all).map_err(&broken)?;
                }
                if all.len() > MAX_LIST {
                    return Err(damaged(&self.label, format!("its '{}' is too long", printable(name))));
                }
            }
        }
        Ok(all)
    }

    /// A shape, `None` for what is open.
    pub(super) fn shape(&self, name: &str) -> Result<Option<Vec<Option<usize>>>, ImportError> {
        let Some(shape) = self.field(name, 7)? else { return Ok(None) };
        dimensions(shape.bytes().map_err(at(&self.label))?).map_err(at(&self.label))
    }

    /// The shape that the writer noted for the first output.
    pub(super) fn noted_shape(&self) -> Result<Option<Vec<Option<usize>>>, ImportError> {
        let broken = at(&self.label);
        let Some(list) = self.field("_output_shapes", 1)? else { return Ok(None) };
        for field in fields(list.bytes().map_err(&broken)?) {
            let field = field.map_err(&broken)?;
            if field.number == 7 {
                return dimensions(field.value.bytes().map_err(&broken)?).map_err(&broken);
            }
        }
        Ok(None)
    }

    /// The tensor of a constant; `None` if its type is none that a network here has.
    pub(super) fn tensor(&self, name: &str) -> Result<Option<Tensor<'a>>, ImportError> {
        match self.field(name, 8)? {
            None => Err(damaged(&self.label, "it has no value")),
            Some(message) => tensor(message.bytes().map_err(at(&self.label))?, &self.label),
        }
    }
}

/// The dimensions of a shape; `None` if not even their number is known.
fn dimensions(shape: &[u8]) -> Result<Option<Vec<Option<usize>>>, Malformed> {
    let mut dims = Vec::new();
    for field in fields(shape) {
        let field = field?;
        match field.number {
            2 => {
                let mut size = 0;
                for part in fields(field.value.bytes()?) {
                    let part = part?;
                    if part.number == 1 {
                        size = part.value.integer()?;
                    }
                }
                if dims.len() == MAX_RANK {
                    return Err(Malformed("a shape has too many dimensions"));
                }
                dims.push(usize::try_from(size).ok());
            }
            3 if field.value != Wire::Varint(0) => return Ok(None),
            _ => {}
        }
    }
    Ok(Some(dims))
}

fn number(kind: i64) -> Option<Number> {
    Some(match kind {
        1 => Number::F32,
        2 => Number::F64,
        3 => Number::I32,
        4 | 10 => Number::U8,
        6 => Number::I8,
        9 => Number::I64,
        14 => Number::Bf16,
        19 => Number::F16,
        _ => return None,
    })
}

/// Whether a type counts as floats.
pub(super) fn is_float(kind: i64) -> bool {
    matches!(kind, 1 | 2 | 14 | 19)
}

/// The fields of numbers that are stored one by one: floats, doubles, integers, 64-bit integers, truth values, half floats.
const LISTS: [u64; 6] = [5, 6, 7, 10, 11, 13];

fn tensor<'a>(message: &'a [u8], place: &str) -> Result<Option<Tensor<'a>>, ImportError> {
    let broken = at(place);
    let (mut kind, mut shape, mut content) = (0, Some(Vec::new()), &[][..]);
    let mut lists = (0, None);
    for field in fields(message) {
        let field = field.map_err(&broken)?;
        match field.number {
            1 => kind = field.value.integer().map_err(&broken)?,
            2 => shape = dimensions(field.value.bytes().map_err(&broken)?).map_err(&broken)?,
            4 => content = field.value.bytes().map_err(&broken)?,
            number if LISTS.contains(&number) => lists = (lists.0 + 1, Some(field.value)),
            _ => {}
        }
    }
    let shape: Option<Vec<usize>> = shape.and_then(|shape| shape.into_iter().collect());
    let shape = shape.ok_or_else(|| damaged(place, "its shape is open"))?;
    let Some(number) = number(kind) else { return Ok(None) };
    let wrong = || damaged(place, format!("its data does not fit its shape {shape:?}"));
    let count = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n)).ok_or_else(wrong)?;
    if !content.is_empty() || count == 0 {
        return Ok(Some(Tensor::new(number, content, shape.clone()).ok_or_else(wrong)?));
    }
    // Numbers that lie in the file as they would in memory.
    if let (1, Some(Wire::Bytes(floats))) = lists
        && number == Number::F32
        && let Some(all) = Tensor::new(number, floats, shape.clone())
    {
        return Ok(Some(all));
    }
    let mut bytes = Vec::new();
    for field in fields(message) {
        let field = field.map_err(&broken)?;
        if LISTS.contains(&field.number) {
            listed(number, field.value, message.len(), &mut bytes).map_err(&broken)?;
        }
    }
    let width = number.bytes();
    // The last number stands for those that are left out; no number at all is zero.
    if bytes.is_empty() {
        bytes.resize(width, 0);
    }
    let length = count.checked_mul(width).ok_or_else(wrong)?;
    if bytes.len() < length {
        if let Some(all) = Tensor::filled(number, &bytes, shape.clone()) {
            return Ok(Some(all));
        }
        if count > MAX_REPEATED {
            return Err(wrong());
        }
        let last = bytes[bytes.len() - width..].to_vec();
        while bytes.len() < length {
            bytes.extend_from_slice(&last);
        }
    }
    Ok(Some(Tensor::of_bytes(number, bytes, shape.clone()).ok_or_else(wrong)?))
}
