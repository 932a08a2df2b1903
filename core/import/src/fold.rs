//! Arithmetic on the constants of a graph: exporters compute sizes, scales and borders from shapes in operators of their own.
//!
//! Everything is small, or it is not done: `None` means that the operator stays in the graph, where nothing can use it.

use crate::tensor::{Number, Tensor};

/// More elements than any size, shape or vector of channels has.
pub(crate) const MAX_ELEMENTS: usize = 1 << 13;

/// More dimensions than any constant has.
const MAX_RANK: usize = 8;

/// An operator of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Least,
    Greatest,
    Equal,
    AtLeast,
    Above,
    Below,
}

/// An operator of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unary {
    Floor,
    Ceil,
    Negate,
    Root,
    InverseRoot,
    ToInteger,
    ToFloat,
}

/// The numbers of a constant.
#[derive(Clone, Debug, PartialEq)]
enum Numbers {
    Integers(Vec<i64>),
    Floats(Vec<f32>),
}

impl Numbers {
    fn of(tensor: &Tensor<'_>) -> Option<Self> {
        if tensor.len() > MAX_ELEMENTS {
            return None;
        }
        let integers = tensor.integers().map(Self::Integers);
        Some(integers.unwrap_or_else(|| Self::Floats(tensor.values().collect())))
    }

    fn into_tensor<'a>(self, shape: Vec<usize>) -> Option<Tensor<'a>> {
        match self {
            Self::Integers(values) => Tensor::of_integers(&values, shape),
            Self::Floats(values) => Tensor::of_floats(&values, shape),
        }
    }

    /// The elements at these places.
    fn picked(&self, places: &[usize]) -> Option<Self> {
        Some(match self {
            Self::Integers(values) => {
                Self::Integers(places.iter().map(|&place| values.get(place).copied()).collect::<Option<_>>()?)
            }
            Self::Floats(values) => {
                Self::Floats(places.iter().map(|&place| values.get(place).copied()).collect::<Option<_>>()?)
            }
        })
    }
}

/// The shape of the result of two shapes, each repeated along its dimensions of one.
pub(crate) fn broadcast(left: &[usize], right: &[usize]) -> Option<Vec<usize>> {
    let rank = left.len().max(right.len());
    let dimension = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|i| match (dimension(left, i), dimension(right, i)) {
            (a, b) if a == b || b == 1 => Some(a),
            (1, b) => Some(b),
            _ => None,
        })
        .collect()
}

/// Where in a tensor of `shape` each element of `whole` is, last dimension fastest.
fn places(shape: &[usize], whole: &[usize]) -> Option<Vec<usize>> {
    let count = whole.iter().try_fold(1usize, |product, &n| product.checked_mul(n))?;
    if count > MAX_ELEMENTS || whole.len() > MAX_RANK {
        return None;
    }
    let offset = whole.len() - shape.len();
    let place = |mut index: usize| {
        let (mut place, mut stride) = (0, 1);
        for (i, &n) in whole.iter().enumerate().rev() {
            let at = index % n;
            index /= n;
            if i >= offset {
                let own = shape[i - offset];
                place += if own == 1 { 0 } else { at * stride };
                stride *= own;
            }
        }
        place
    };
    Some((0..count).map(place).collect())
}

#[allow(clippy::float_cmp, reason = "it is what the operator does")]
pub(crate) fn binary<'a>(operator: Binary, left: &Tensor<'_>, right: &Tensor<'_>) -> Option<Tensor<'a>> {
    let shape = broadcast(left.dims(), right.dims())?;
    let a = Numbers::of(left)?.picked(&places(left.dims(), &shape)?)?;
    let b = Numbers::of(right)?.picked(&places(right.dims(), &shape)?)?;
    let numbers = match (a, b) {
        (Numbers::Integers(a), Numbers::Integers(b)) => {
            let value = |(&a, &b): (&i64, &i64)| match operator {
                Binary::Add => a.checked_add(b),
                Binary::Subtract => a.checked_sub(b),
                Binary::Multiply => a.checked_mul(b),
                Binary::Divide => a.checked_div(b),
                Binary::Least => Some(a.min(b)),
                Binary::Greatest => Some(a.max(b)),
                Binary::Equal => Some(i64::from(a == b)),
                Binary::AtLeast => Some(i64::from(a >= b)),
                Binary::Above => Some(i64::from(a > b)),
                Binary::Below => Some(i64::from(a < b)),
            };
            Numbers::Integers(a.iter().zip(&b).map(value).collect::<Option<_>>()?)
        }
        (Numbers::Floats(a), Numbers::Floats(b)) => {
            let compares = matches!(operator, Binary::Equal | Binary::AtLeast | Binary::Above | Binary::Below);
            let value = |(&a, &b): (&f32, &f32)| match operator {
                Binary::Add => a + b,
                Binary::Subtract => a - b,
                Binary::Multiply => a * b,
                Binary::Divide => a / b,
                Binary::Least => a.min(b),
                Binary::Greatest => a.max(b),
                Binary::Equal => f32::from(a == b),
                Binary::AtLeast => f32::from(a >= b),
                Binary::Above => f32::from(a > b),
                Binary::Below => f32::from(a < b),
            };
            let values = a.iter().zip(&b).map(value);
            if compares {
                Numbers::Integers(values.map(|value| value as i64).collect())
            } else {
                Numbers::Floats(values.collect())
            }
        }
        _ => return None,
    };
    numbers.into_tensor(shape)
}

pub(crate) fn unary<'a>(operator: Unary, of: &Tensor<'_>) -> Option<Tensor<'a>> {
    let shape = of.dims().to_vec();
    let float = |values: Vec<f32>, f: fn(f32) -> f32| Numbers::Floats(values.into_iter().map(f).collect());
    let numbers = match (operator, Numbers::of(of)?) {
        (Unary::ToInteger, Numbers::Floats(values)) => {
            Numbers::Integers(values.into_iter().map(|value| value as i64).collect())
        }
        (Unary::ToFloat, Numbers::Integers(values)) => {
            Numbers::Floats(values.into_iter().map(|value| value as f32).collect())
        }
        (Unary::Negate, Numbers::Integers(values)) => {
            Numbers::Integers(values.into_iter().map(i64::checked_neg).collect::<Option<_>>()?)
        }
        (Unary::ToInteger | Unary::ToFloat, same) => same,
        (Unary::Floor, Numbers::Floats(values)) => float(values, f32::floor),
        (Unary::Ceil, Numbers::Floats(values)) => float(values, f32::ceil),
        (Unary::Negate, Numbers::Floats(values)) => float(values, |value| -value),
        (Unary::Root, Numbers::Floats(values)) => float(values, f32::sqrt),
        (Unary::InverseRoot, Numbers::Floats(values)) => float(values, |value| 1.0 / value.sqrt()),
        (_, Numbers::Integers(_)) => return None,
    };
    numbers.into_tensor(shape)
}

/// Of `left` where the condition is not 0, else of `right`.
pub(crate) fn choose<'a>(condition: &Tensor<'_>, left: &Tensor<'_>, right: &Tensor<'_>) -> Option<Tensor<'a>> {
    let shape = broadcast(&broadcast(condition.dims(), left.dims())?, right.dims())?;
    let Numbers::Integers(condition) = Numbers::of(condition)?.picked(&places(condition.dims(), &shape)?)? else {
        return None;
    };
    let a = Numbers::of(left)?.picked(&places(left.dims(), &shape)?)?;
    let b = Numbers::of(right)?.picked(&places(right.dims(), &shape)?)?;
    let numbers = match (a, b) {
        (Numbers::Integers(a), Numbers::Integers(b)) => {
            Numbers::Integers(condition.iter().enumerate().map(|(i, &c)| if c != 0 { a[i] } else { b[i] }).collect())
        }
        (Numbers::Floats(a), Numbers::Floats(b)) => {
            Numbers::Floats(condition.iter().enumerate().map(|(i, &c)| if c != 0 { a[i] } else { b[i] }).collect())
        }
        _ => return None,
    };
    numbers.into_tensor(shape)
}

/// Vectors (or single numbers) one after the other.
pub(crate) fn joined<'a>(parts: &[&Tensor<'_>]) -> Option<Tensor<'a>> {
    let mut all: Option<Numbers> = None;
    for part in parts {
        if part.dims().len() > 1 {
            return None;
        }
        all = Some(match (all, Numbers::of(part)?) {
            (None, numbers) => numbers,
            (Some(Numbers::Integers(mut all)), Numbers::Integers(more)) => {
                all.extend(more);
                Numbers::Integers(all)
            }
            (Some(Numbers::Floats(mut all)), Numbers::Floats(more)) => {
                all.extend(more);
                Numbers::Floats(all)
            }
            // Nothing, of another type, adds nothing.
            (Some(all), Numbers::Integers(more)) if more.is_empty() => all,
            (Some(all), Numbers::Floats(more)) if more.is_empty() => all,
            _ => return None,
        });
        let count = all.as_ref().map_or(0, |all| match all {
            Numbers::Integers(all) => all.len(),
            Numbers::Floats(all) => all.len(),
        });
        if count > MAX_ELEMENTS {
            return None;
        }
    }
    let all = all?;
    let count = match &all {
        Numbers::Integers(all) => all.len(),
        Numbers::Floats(all) => all.len(),
    };
    all.into_tensor(vec![count])
}

/// Tensors of the same shape under each other: TensorFlow's Pack along the first dimension.
pub(crate) fn stacked<'a>(parts: &[&Tensor<'_>]) -> Option<Tensor<'a>> {
    let shape = parts.first()?.dims().to_vec();
    if parts.iter().any(|part| part.dims() != shape) || shape.len() >= MAX_RANK {
        return None;
    }
    let flat = parts.iter().map(|part| Numbers::of(part)?.into_tensor(vec![part.len()])).collect::<Option<Vec<_>>>()?;
    let joined = joined(&flat.iter().collect::<Vec<_>>())?;
    joined.reshaped([vec![parts.len()], shape].concat())
}

/// Elements of a vector (or rows of a tensor) by their numbers, which may count from the end.
pub(crate) fn gathered<'a>(of: &Tensor<'_>, indices: &Tensor<'_>) -> Option<Tensor<'a>> {
    let (&count, rest) = of.dims().split_first()?;
    let inner = rest.iter().try_fold(1usize, |product, &n| product.checked_mul(n))?;
    let mut places = Vec::new();
    if indices.len().checked_mul(inner)? > MAX_ELEMENTS {
        return None;
    }
    for index in indices.integers()? {
        let index = if index < 0 { index.checked_add(i64::try_from(count).ok()?)? } else { index };
        let index = usize::try_from(index).ok().filter(|&index| index < count)?;
        places.extend(index * inner..(index + 1) * inner);
    }
    Numbers::of(of)?.picked(&places)?.into_tensor([indices.dims(), rest].concat())
}

/// What a slice of one dimension takes: the first index, how many, and the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) step: i64,
}

impl Span {
    /// `[from:to:step]` of a dimension of `length`, as ONNX and TensorFlow count: negative from the end, clamped.
    pub(crate) fn new(length: usize, from: Option<i64>, to: Option<i64>, step: i64) -> Option<Self> {
        let length = i64::try_from(length).ok()?;
        let at = |index: i64, low: i64, high: i64| {
            let index = if index < 0 { index.saturating_add(length) } else { index };
            index.clamp(low, high)
        };
        let (from, to) = match step {
            1.. => (from.map_or(0, |from| at(from, 0, length)), to.map_or(length, |to| at(to, 0, length))),
            0 => return None,
            _ => (from.map_or(length - 1, |from| at(from, -1, length - 1)), to.map_or(-1, |to| at(to, -1, length - 1))),
        };
        let distance = if step > 0 { to - from } else { from - to };
        let count = distance.max(0).cast_unsigned().div_ceil(step.unsigned_abs());
        Some(Self { first: usize::try_from(from.max(0)).ok()?, count: usize::try_from(count).ok()?, step })
    }

    /// Whether it takes all of a dimension as it is.
    pub(crate) fn is_all(&self, length: usize) -> bool {
        (self.first, self.count, self.step) == (0, length, 1) || (length == 1 && self.count == 1)
    }
}

/// A part of a constant, all of it along dimensions without a span.
pub(crate) fn sliced<'a>(of: &Tensor<'_>, spans: &[Option<Span>]) -> Option<Tensor<'a>> {
    let dims = of.dims();
    if spans.len() > dims.len() || of.len() > MAX_ELEMENTS {
        return None;
    }
    let mut places = vec![0usize];
    let mut shape = Vec::new();
    for (i, &n) in dims.iter().enumerate() {
        let whole = Span { first: 0, count: n, step: 1 };
        let span = spans.get(i).copied().flatten().unwrap_or(whole);
        let at = |k: usize| {
            let offset = i64::try_from(k).ok()?.checked_mul(span.step)?;
            span.first.checked_add_signed(isize::try_from(offset).ok()?).filter(|&at| at < n)
        };
        let along = (0..span.count.min(n)).map(at).collect::<Option<Vec<_>>>()?;
        places = places.iter().flat_map(|place| along.iter().map(move |at| place * n + at)).collect();
        shape.push(span.count.min(n));
    }
    Numbers::of(of)?.picked(&places)?.into_tensor(shape)
}

/// The same numbers one after the other, in another shape.
pub(crate) fn copied<'a>(of: &Tensor<'_>, shape: Vec<usize>) -> Option<Tensor<'a>> {
    Numbers::of(of)?.into_tensor(shape)
}

/// One number everywhere.
pub(crate) fn repeated<'a>(value: &Tensor<'_>, shape: Vec<usize>) -> Option<Tensor<'a>> {
    let count = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n)).filter(|&n| n <= MAX_ELEMENTS)?;
    if value.len() != 1 {
        return None;
    }
    Numbers::of(value)?.picked(&vec![0; count])?.into_tensor(shape)
}

/// Whether a type of number counts as an integer.
pub(crate) fn is_integer(number: Number) -> bool {
    matches!(number, Number::U8 | Number::I8 | Number::I32 | Number::I64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integers(values: &[i64], shape: &[usize]) -> Tensor<'static> {
        Tensor::of_integers(values, shape.to_vec()).unwrap()
    }

    fn floats(values: &[f32]) -> Tensor<'static> {
        Tensor::of_floats(values, vec![values.len()]).unwrap()
    }

    #[test]
    fn numbers_are_repeated_along_dimensions_of_one() {
        let sum = binary(Binary::Add, &integers(&[1, 2], &[2, 1]), &integers(&[10, 20, 30], &[3])).unwrap();
        assert_eq!((sum.dims(), sum.integers()), (&[2, 3][..], Some(vec![11, 21, 31, 12, 22, 32])));
        assert!(binary(Binary::Add, &integers(&[1, 2], &[2]), &integers(&[1, 2, 3], &[3])).is_none());
        assert!(binary(Binary::Divide, &integers(&[1], &[]), &integers(&[0], &[])).is_none());
        assert!(binary(Binary::Add, &integers(&[i64::MAX], &[]), &integers(&[1], &[])).is_none());
        assert!(binary(Binary::Add, &integers(&[1], &[1]), &floats(&[1.0])).is_none());
        let wide = |shape: &[usize]| Tensor::filled(Number::U8, &[1], shape.to_vec()).unwrap();
        assert!(binary(Binary::Add, &wide(&[1 << 10, 1]), &wide(&[1, 1 << 10])).is_none(), "too many");
        let size = binary(Binary::Multiply, &floats(&[65.0]), &floats(&[7.892_578])).unwrap();
        assert_eq!(unary(Unary::ToInteger, &unary(Unary::Floor, &size).unwrap()).unwrap().integers(), Some(vec![513]));
        let least = binary(Binary::AtLeast, &floats(&[1.0, 2.0]), &floats(&[2.0])).unwrap();
        assert_eq!(least.integers(), Some(vec![0, 1]));
        let chosen = choose(&least, &integers(&[7], &[1]), &integers(&[8, 9], &[2])).unwrap();
        assert_eq!(chosen.integers(), Some(vec![8, 7]));
    }

    #[test]
    fn parts_of_shapes() {
        let shape = integers(&[1, 3, 65, 33], &[4]);
        let height = gathered(&shape, &integers(&[2], &[])).unwrap();
        assert_eq!((height.dims(), height.integers()), (&[][..], Some(vec![65])));
        assert_eq!(gathered(&shape, &integers(&[-1, 0], &[2])).unwrap().integers(), Some(vec![33, 1]));
        assert!(gathered(&shape, &integers(&[4], &[])).is_none() && gathered(&shape, &integers(&[-5], &[])).is_none());
        let size = joined(&[&shape, &integers(&[5], &[])]).unwrap();
        assert_eq!(size.integers(), Some(vec![1, 3, 65, 33, 5]));
        let rows = stacked(&[&integers(&[1, 2], &[2]), &integers(&[3, 4], &[2])]).unwrap();
        assert_eq!((rows.dims(), rows.integers()), (&[2, 2][..], Some(vec![1, 2, 3, 4])));
        assert!(stacked(&[&shape, &height]).is_none());
        assert_eq!(repeated(&height, vec![2, 2]).unwrap().integers(), Some(vec![65; 4]));
        assert!(repeated(&height, vec![usize::MAX, 2]).is_none() && repeated(&height, vec![1 << 20]).is_none());
    }

    #[test]
    fn slices_are_those_of_the_formats() {
        let numbers = integers(&[0, 1, 2, 3, 4], &[5]);
        for (from, to, step, expected) in [
            (Some(1), Some(3), 1, &[1, 2][..]),
            (Some(-2), Some(i64::MAX), 1, &[3, 4]),
            (None, None, 2, &[0, 2, 4]),
            (None, None, -1, &[4, 3, 2, 1, 0]),
            (Some(3), Some(i64::MIN), -2, &[3, 1]),
            (Some(4), Some(1), 1, &[]),
            (Some(9), None, 1, &[]),
        ] {
            let span = Span::new(5, from, to, step).unwrap();
            let slice = sliced(&numbers, &[Some(span)]).unwrap();
            assert_eq!(slice.integers().unwrap(), expected, "{from:?} {to:?} {step}");
        }
        // PyTorch's borders, last dimension first, in ONNX's order.
        let pairs = integers(&[1, 2, 3, 4, 0, 0], &[3, 2]);
        let turned = sliced(&pairs, &[Span::new(3, Some(-1), Some(i64::MIN + 1), -1)]).unwrap();
        assert_eq!((turned.dims(), turned.integers().unwrap()), (&[3, 2][..], vec![0, 0, 3, 4, 1, 2]));
        let columns = turned.transposed(&[1, 0]).unwrap();
        assert_eq!(copied(&columns, vec![6]).unwrap().integers().unwrap(), [0, 3, 1, 0, 4, 2]);
        assert!(sliced(&numbers, &[None, None]).is_none());
        assert!(Span::new(5, None, None, 0).is_none());
        assert!(
            Span::new(5, Some(0), Some(99), 1).unwrap().is_all(5) && !Span::new(5, Some(1), None, 1).unwrap().is_all(5)
        );
        assert!(!Span::new(2, None, None, -1).unwrap().is_all(2));
    }
}
