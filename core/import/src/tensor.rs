//! The tensors of an imported file: where in the file their numbers are, how they are stored, and in which order they are read.
//! Nothing is copied or converted before the network is known and every shape is right, so a refused file costs little more than
//! itself.

use std::rc::Rc;

use half::{bf16, f16};
use silhouette_kernels::memory::{OutOfMemory, reserve};
use silhouette_weights::{Integers, Quantisation, QuantisedTensor, Tensor as Floats};

/// How a number is stored, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    F16,
    Bf16,
    F32,
    F64,
    U8,
    I8,
    I32,
    I64,
}

impl Number {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    /// The integer at the beginning of `bytes`, if it is one.
    fn integer(self, bytes: &[u8]) -> Option<i64> {
        Some(match self {
            Self::U8 => i64::from(bytes[0]),
            Self::I8 => i64::from(bytes[0].cast_signed()),
            Self::I32 => i64::from(i32::from_le_bytes(first(bytes))),
            Self::I64 => i64::from_le_bytes(first(bytes)),
            Self::F16 | Self::Bf16 | Self::F32 | Self::F64 => return None,
        })
    }

    /// The number at the beginning of `bytes`, which are long enough.
    fn read(self, bytes: &[u8]) -> f32 {
        match self {
            Self::F16 => f16::from_le_bytes(first(bytes)).to_f32(),
            Self::Bf16 => bf16::from_le_bytes(first(bytes)).to_f32(),
            Self::F32 => f32::from_le_bytes(first(bytes)),
            Self::F64 => f64::from_le_bytes(first(bytes)) as f32,
            Self::U8 => f32::from(bytes[0]),
            Self::I8 => f32::from(bytes[0].cast_signed()),
            Self::I32 => i32::from_le_bytes(first(bytes)) as f32,
            Self::I64 => i64::from_le_bytes(first(bytes)) as f32,
        }
    }
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| bytes[i])
}

/// Where a tensor's numbers are.
#[derive(Clone, Debug)]
enum Data<'a> {
    /// In the file.
    File(&'a [u8]),
    /// Made from what is in it: biases, and what a graph computes from its constants.
    Made(Rc<[u8]>),
}

impl Data<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::File(bytes) => bytes,
            Self::Made(bytes) => bytes,
        }
    }
}

/// A tensor as it lies in a file's bytes.
#[derive(Clone, Debug)]
pub(crate) struct Tensor<'a> {
    number: Number,
    data: Data<'a>,
    shape: Vec<usize>,
    /// The first number, counted in numbers.
    offset: usize,
    /// Numbers from one index of a dimension to the next.
    strides: Vec<usize>,
    /// Shared by the places that name the tensor.
    quantisation: Option<Rc<Quantisation>>,
    /// What the values are multiplied with, for each index of the first dimension: a batch norm folded into weights.
    factors: Option<Rc<[f32]>>,
}

/// A tensor as our model files hold it.
pub(crate) enum Made {
    Float(Floats),
    Quantised(QuantisedTensor),
}

impl<'a> Tensor<'a> {
    /// Numbers one after the other, last dimension fastest; `None` where their number is not the shape's.
    pub(crate) fn new(number: Number, data: &'a [u8], shape: Vec<usize>) -> Option<Self> {
        Self::in_rows(number, Data::File(data), shape)
    }

    /// The same of floats that are not in the file.
    pub(crate) fn of_floats(values: &[f32], shape: Vec<usize>) -> Option<Self> {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::in_rows(Number::F32, Data::Made(bytes), shape)
    }

    /// The same of integers that are not in the file.
    pub(crate) fn of_integers(values: &[i64], shape: Vec<usize>) -> Option<Self> {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::in_rows(Number::I64, Data::Made(bytes), shape)
    }

    /// The same of bytes that are not in the file.
    pub(crate) fn of_bytes(number: Number, bytes: Vec<u8>, shape: Vec<usize>) -> Option<Self> {
        Self::in_rows(number, Data::Made(bytes.into()), shape)
    }

    fn in_rows(number: Number, data: Data<'a>, shape: Vec<usize>) -> Option<Self> {
        let count = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n))?;
        if count.checked_mul(number.bytes()) != Some(data.bytes().len()) {
            return None;
        }
        let strides = strides(&shape, 1)?;
        Self::placed(number, data, shape, 0, strides)
    }

    /// The one number of `bytes` for every element of the shape.
    pub(crate) fn filled(number: Number, bytes: &[u8], shape: Vec<usize>) -> Option<Self> {
        if bytes.len() != number.bytes() {
            return None;
        }
        let strides = vec![0; shape.len()];
        Self::placed(number, Data::Made(bytes.into()), shape, 0, strides)
    }

    /// Numbers at any place of `data`; `None` where one of them is beyond its end.
    pub(crate) fn strided(
        number: Number,
        data: &'a [u8],
        shape: Vec<usize>,
        offset: usize,
        strides: Vec<usize>,
    ) -> Option<Self> {
        Self::placed(number, Data::File(data), shape, offset, strides)
    }

    fn placed(
        number: Number,
        data: Data<'a>,
        shape: Vec<usize>,
        offset: usize,
        mut strides: Vec<usize>,
    ) -> Option<Self> {
        if shape.len() != strides.len() {
            return None;
        }
        shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n))?;
        for (stride, &n) in strides.iter_mut().zip(&shape) {
            // Nobody goes along it.
            if n <= 1 {
                *stride = 0;
            }
        }
        let last = shape
            .iter()
            .zip(&strides)
            .try_fold(offset, |last, (&n, &stride)| last.checked_add(n.saturating_sub(1).checked_mul(stride)?))?;
        let fits = shape.contains(&0) || last < data.bytes().len() / number.bytes();
        fits.then_some(Self { number, data, shape, offset, strides, quantisation: None, factors: None })
    }

    /// `count` zeros.
    pub(crate) fn zeros(count: usize) -> Self {
        let shape = vec![count];
        let strides = vec![0];
        let data = Data::File(&[0; 4]);
        Self { number: Number::F32, data, shape, offset: 0, strides, quantisation: None, factors: None }
    }

    /// The same integers with what they represent.
    pub(crate) fn quantised(self, quantisation: Quantisation) -> Self {
        Self { quantisation: Some(Rc::new(quantisation)), ..self }
    }

    /// The same values times a factor for each index of the first dimension; `None` where their number differs, or where the
    /// values have scales along another dimension.
    pub(crate) fn scaled(mut self, factors: &[f32]) -> Option<Self> {
        let along = self.quantisation.as_ref().is_none_or(|q| q.scale.len() == 1 || q.axis == 0);
        if self.shape.first() != Some(&factors.len()) || !along {
            return None;
        }
        let before = self.factors.take();
        let product = |(i, &factor): (usize, &f32)| before.as_ref().map_or(factor, |before| before[i] * factor);
        self.factors = Some(factors.iter().enumerate().map(product).collect());
        Some(self)
    }

    /// How its numbers are stored.
    pub(crate) fn number(&self) -> Number {
        self.number
    }

    /// Whether it has scales for its integers.
    pub(crate) fn is_quantised(&self) -> bool {
        self.quantisation.is_some()
    }

    /// The integers, if they are.
    pub(crate) fn integers(&self) -> Option<Vec<i64>> {
        if self.quantisation.is_some() {
            return None;
        }
        self.places(usize::MAX).map(|(place, _)| self.number.integer(self.at(place))).collect()
    }

    /// Lengths of the dimensions.
    pub(crate) fn dims(&self) -> &[usize] {
        &self.shape
    }

    /// How many numbers it has.
    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Where each number is, and its index along the dimension `axis`.
    fn places(&self, axis: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let mut index = vec![0; self.shape.len()];
        let mut place = self.offset;
        (0..self.len()).map(move |_| {
            let this = (place, index.get(axis).copied().unwrap_or(0));
            for ((i, &n), &stride) in index.iter_mut().zip(&self.shape).zip(&self.strides).rev() {
                *i += 1;
                place += stride;
                if *i < n {
                    break;
                }
                place -= n * stride;
                *i = 0;
            }
            this
        })
    }

    /// The bytes of a number and of those after it.
    fn at(&self, place: usize) -> &[u8] {
        &self.data.bytes()[place * self.number.bytes()..]
    }

    /// What the values are as floats, one after the other.
    pub(crate) fn values(&self) -> impl Iterator<Item = f32> + '_ {
        let quantisation = self.quantisation.as_deref();
        let several = quantisation.filter(|q| q.scale.len() > 1);
        let axis = several.map_or(if self.factors.is_some() { 0 } else { usize::MAX }, |q| q.axis);
        self.places(axis).map(move |(place, index)| {
            let mut value = self.number.read(self.at(place));
            if let Some(quantisation) = quantisation {
                let channel = if several.is_some() { index } else { 0 };
                let zero = quantisation.zero_point.get(channel).map_or(0.0, |&zero| zero as f32);
                value = (value - zero) * quantisation.scale[channel];
            }
            self.factors.as_ref().map_or(value, |factors| value * factors[index])
        })
    }

    /// The tensor as our files hold it.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(crate) fn made(&self) -> Result<Made, OutOfMemory> {
        let shape = self.shape.clone();
        let as_stored = self.quantisation.as_deref().filter(|_| self.factors.is_none());
        let Some(quantisation) = as_stored.cloned() else {
            return Ok(Made::Float(Floats { shape, data: self.collect(self.values())? }));
        };
        let bytes = self.places(0).map(|(place, _)| self.at(place));
        let values = match self.number {
            Number::U8 => Integers::U8(self.collect(bytes.map(|bytes| bytes[0]))?),
            Number::I8 => Integers::I8(self.collect(bytes.map(|bytes| bytes[0].cast_signed()))?),
            _ => Integers::I32(self.collect(bytes.map(|bytes| i32::from_le_bytes(first(bytes))))?),
        };
        Ok(Made::Quantised(QuantisedTensor { shape, values, quantisation }))
    }

    /// As many values as there are.
    fn collect<T>(&self, values: impl Iterator<Item = T>) -> Result<Vec<T>, OutOfMemory> {
        let mut all = Vec::new();
        reserve(&mut all, self.len(), "an imported tensor")?;
        all.extend(values);
        Ok(all)
    }

    /// The same with dimensions of one element after the others, `rank` in all.
    pub(crate) fn extended(mut self, rank: usize) -> Self {
        self.shape.resize(rank, 1);
        self.strides.resize(rank, 0);
        self
    }

    /// The same values as a vector; `None` where they do not lie one after the other, or have scales for a part of them.
    pub(crate) fn flattened(mut self) -> Option<Self> {
        let count = self.len();
        let long = || self.shape.iter().zip(&self.strides).filter(|&(&n, _)| n > 1);
        // From the last dimension that is longer than one: each must step over what is after it.
        let step = long().next_back().map_or(0, |(_, &stride)| stride);
        let mut expected = step;
        for (&n, &stride) in long().rev() {
            if stride != expected {
                return None;
            }
            expected = expected.checked_mul(n)?;
        }
        if let Some(quantisation) = &mut self.quantisation {
            if !matches!(quantisation.scale.len(), scales if scales == 1 || scales == count) {
                return None;
            }
            Rc::make_mut(quantisation).axis = 0;
        }
        if self.factors.is_some() && self.shape.first() != Some(&count) {
            return None;
        }
        (self.shape, self.strides) = (vec![count], vec![step]);
        Some(self)
    }

    /// The same numbers, one after the other, in another shape; `None` where it has another count, or where the numbers do not
    /// lie one after the other, or have scales.
    pub(crate) fn reshaped(mut self, shape: Vec<usize>) -> Option<Self> {
        let count = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n))?;
        if count != self.len() {
            return None;
        }
        let longer = |shape: &[usize]| shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        let scales = self.quantisation.as_ref().is_some_and(|q| q.scale.len() > 1) || self.factors.is_some();
        if longer(&shape) == longer(&self.shape) && !scales {
            let mut steps = self.shape.iter().zip(&self.strides).filter(|&(&n, _)| n != 1).map(|(_, &stride)| stride);
            self.strides = shape.iter().map(|&n| if n == 1 { 0 } else { steps.next().unwrap_or(0) }).collect();
            self.shape = shape;
            return Some(self);
        }
        let flat = self.flattened().filter(|_| !scales)?;
        let strides = strides(&shape, flat.strides[0])?;
        Some(Self { shape, strides, ..flat })
    }

    /// The same values with the dimensions in another order: the new dimension `i` is the old `order[i]`; `None` where it is not
    /// an order of these dimensions.
    pub(crate) fn transposed(mut self, order: &[usize]) -> Option<Self> {
        let rank = self.shape.len();
        let mut seen = order.to_vec();
        seen.sort_unstable();
        if !seen.into_iter().eq(0..rank) || self.factors.is_some() {
            return None;
        }
        self.shape = order.iter().map(|&dimension| self.shape[dimension]).collect();
        self.strides = order.iter().map(|&dimension| self.strides[dimension]).collect();
        if let Some(quantisation) = &mut self.quantisation {
            let axis = &mut Rc::make_mut(quantisation).axis;
            *axis = order.iter().position(|dimension| dimension == axis).unwrap_or(0);
        }
        Some(self)
    }

    /// The same for four dimensions; others stay as they are.
    pub(crate) fn permuted(self, order: [usize; 4]) -> Self {
        if self.shape.len() != order.len() {
            return self;
        }
        self.clone().transposed(&order).unwrap_or(self)
    }

    /// Of the two last dimensions every `step`th index alone.
    pub(crate) fn thinned(mut self, step: usize) -> Self {
        let rank = self.shape.len();
        for dimension in rank.saturating_sub(2)..rank {
            self.shape[dimension] = self.shape[dimension].div_ceil(step);
            self.strides[dimension] *= step;
            let scales = self.quantisation.as_mut().filter(|q| q.axis == dimension && q.scale.len() > 1);
            if let Some(quantisation) = scales {
                let Quantisation { scale, zero_point, .. } = Rc::make_mut(quantisation);
                *scale = scale.iter().step_by(step).copied().collect();
                *zero_point = zero_point.iter().step_by(step).copied().collect();
            }
        }
        self
    }
}

/// The strides of numbers one after the other in this shape, `step` from one to the next.
fn strides(shape: &[usize], step: usize) -> Option<Vec<usize>> {
    let mut strides = vec![step; shape.len()];
    for dimension in (1..shape.len()).rev() {
        strides[dimension - 1] = strides[dimension].checked_mul(shape[dimension])?;
    }
    Some(strides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: &Tensor<'_>) -> Vec<f32> {
        tensor.values().collect()
    }

    #[test]
    fn dimensions_in_another_order_take_their_scales_along() {
        let bytes: Vec<u8> = (0..24).collect();
        let tensor = |shape: [usize; 4]| Tensor::new(Number::U8, &bytes, shape.to_vec()).unwrap();
        // (2, 3, 4, 1) to (1, 2, 3, 4), the order of depthwise weights.
        let plain = tensor([2, 3, 4, 1]).permuted([3, 0, 1, 2]);
        assert_eq!((plain.dims(), values(&plain)), (&[1, 2, 3, 4][..], (0..24).map(|i| i as f32).collect()));
        let turned = tensor([1, 2, 3, 4]).permuted([0, 3, 1, 2]);
        assert_eq!(turned.dims(), [1, 4, 2, 3]);
        assert_eq!(values(&turned)[..7], [0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 1.0]);
        let quantisation = Quantisation { scale: vec![1.0, 0.5, 2.0, 4.0], zero_point: vec![0, 1, 2, 3], axis: 3 };
        let before = tensor([1, 2, 3, 4]).quantised(quantisation);
        let floats: Vec<u8> = values(&before).into_iter().flat_map(f32::to_le_bytes).collect();
        let floats = Tensor::new(Number::F32, &floats, vec![1, 2, 3, 4]).unwrap().permuted([3, 0, 1, 2]);
        let after = before.permuted([3, 0, 1, 2]);
        assert_eq!(values(&after), values(&floats));
        let Ok(Made::Quantised(made)) = after.made() else { panic!("it stays quantised") };
        assert_eq!((made.quantisation.axis, &made.shape[..]), (0, &[4, 1, 2, 3][..]));
        assert_eq!(made.dequantise().unwrap(), values(&floats));
    }

    #[test]
    fn what_is_left_out_takes_its_scales_along() {
        let bytes: Vec<u8> = (0..25).collect();
        let scale = vec![1.0, 2.0, 3.0, 4.0, 5.0];
        let quantisation = Quantisation { scale, zero_point: Vec::new(), axis: 3 };
        let tensor = Tensor::new(Number::I8, &bytes, vec![1, 1, 5, 5]).unwrap().quantised(quantisation).thinned(2);
        assert_eq!(tensor.dims(), [1, 1, 3, 3]);
        assert_eq!(values(&tensor), [0.0, 6.0, 20.0, 10.0, 36.0, 70.0, 20.0, 66.0, 120.0]);
        let Ok(Made::Quantised(made)) = tensor.made() else { panic!("it stays quantised") };
        assert_eq!(made.dequantise().unwrap(), values(&tensor));
    }

    #[test]
    fn factors_multiply_the_values_and_nothing_else() {
        let bytes: Vec<u8> = (0..6).collect();
        let tensor = |scale: &[f32], axis| {
            let quantisation = Quantisation { scale: scale.to_vec(), zero_point: Vec::new(), axis };
            Tensor::new(Number::U8, &bytes, vec![2, 3]).unwrap().quantised(quantisation)
        };
        let plain = Tensor::new(Number::U8, &bytes, vec![2, 3]).unwrap().scaled(&[10.0, 100.0]).unwrap();
        assert_eq!(values(&plain), [0.0, 10.0, 20.0, 300.0, 400.0, 500.0]);
        assert_eq!(values(&plain.scaled(&[2.0, 0.5]).unwrap()), [0.0, 20.0, 40.0, 150.0, 200.0, 250.0]);
        let one = tensor(&[0.5], 0).scaled(&[10.0, 100.0]).unwrap();
        assert_eq!(values(&one), [0.0, 5.0, 10.0, 150.0, 200.0, 250.0]);
        let two = tensor(&[0.5, 2.0], 0).scaled(&[10.0, 100.0]).unwrap();
        assert_eq!(values(&two), [0.0, 5.0, 10.0, 600.0, 800.0, 1000.0]);
        assert!(matches!(two.made(), Ok(Made::Float(_))), "the integers have no such scales");
        assert!(tensor(&[0.5, 1.0, 2.0], 1).scaled(&[1.0, 2.0]).is_none());
        assert!(tensor(&[0.5], 0).scaled(&[1.0; 3]).is_none());
    }

    #[test]
    fn other_shapes_of_the_same_numbers() {
        let bytes: Vec<u8> = (0..24).collect();
        let tensor = |shape: &[usize]| Tensor::new(Number::U8, &bytes, shape.to_vec()).unwrap();
        for (from, to) in
            [(&[2, 12][..], &[24][..]), (&[24], &[2, 3, 4]), (&[4, 6], &[1, 4, 1, 6]), (&[2, 12], &[8, 3])]
        {
            let other = tensor(from).reshaped(to.to_vec()).unwrap();
            assert_eq!((other.dims(), other.integers().unwrap()), (to, (0..24).collect()));
        }
        assert!(tensor(&[24]).reshaped(vec![5, 5]).is_none() && tensor(&[24]).reshaped(vec![usize::MAX, 2]).is_none());
        let turned = tensor(&[4, 6]).transposed(&[1, 0]).unwrap();
        assert_eq!(turned.integers().unwrap()[..5], [0, 6, 12, 18, 1]);
        assert!(turned.clone().reshaped(vec![24]).is_none(), "they do not lie so");
        assert_eq!(turned.reshaped(vec![6, 1, 4, 1]).unwrap().integers().unwrap()[..5], [0, 6, 12, 18, 1]);
        assert!(tensor(&[4, 6]).transposed(&[0, 0]).is_none() && tensor(&[4, 6]).transposed(&[0]).is_none());
        let filled = Tensor::filled(Number::U8, &[7], vec![2, 3]).unwrap();
        assert_eq!((filled.integers(), values(&filled)), (Some(vec![7; 6]), vec![7.0; 6]));
        assert_eq!(values(&Tensor::of_floats(&[1.5, 2.5], vec![2]).unwrap()), [1.5, 2.5]);
        assert_eq!(Tensor::of_integers(&[-1, 1 << 40], vec![2]).unwrap().integers(), Some(vec![-1, 1 << 40]));
        assert_eq!(Tensor::of_floats(&[1.5], vec![1]).unwrap().integers(), None);
    }

    #[test]
    fn numbers_beyond_the_end_are_none() {
        let bytes = [0u8; 12];
        let tensor = |shape: &[usize], offset, strides: &[usize]| {
            Tensor::strided(Number::F16, &bytes, shape.to_vec(), offset, strides.to_vec())
        };
        assert!(tensor(&[2, 3], 0, &[3, 1]).is_some() && tensor(&[2, 3], 0, &[1, 2]).is_some());
        assert!(tensor(&[1, 6], 0, &[usize::MAX, 1]).is_some(), "nobody goes along a dimension of one");
        assert!(tensor(&[0, 7], 9, &[9, 1]).is_some_and(|empty| empty.len() == 0));
        for (shape, offset, strides) in [
            (&[2, 3][..], 1, &[3, 1][..]),
            (&[2, 3], 0, &[4, 1]),
            (&[6], usize::MAX, &[1]),
            (&[6], 0, &[usize::MAX]),
            (&[1 << 40, 1 << 40], 0, &[0, 0]),
            (&[6], 0, &[1, 1]),
        ] {
            assert!(tensor(shape, offset, strides).is_none(), "{shape:?} {offset} {strides:?}");
        }
        assert!(Tensor::new(Number::F32, &bytes, vec![3]).is_some());
        assert!(Tensor::new(Number::F32, &bytes, vec![2]).is_none());
        assert!(Tensor::new(Number::F32, &bytes, vec![1 << 62, 4]).is_none());
    }

    #[test]
    fn vectors_are_what_lies_in_a_row() {
        let bytes: Vec<u8> = (0..24).collect();
        let tensor = |shape: &[usize]| Tensor::new(Number::U8, &bytes, shape.to_vec()).unwrap();
        for shape in [&[24][..], &[1, 1, 1, 24], &[2, 12], &[2, 1, 3, 4]] {
            let flat = tensor(shape).flattened().unwrap();
            assert_eq!((flat.dims(), values(&flat)), (&[24][..], values(&tensor(shape))));
        }
        assert!(tensor(&[1, 2, 3, 4]).permuted([0, 3, 1, 2]).flattened().is_none());
        let halves = Quantisation { scale: vec![1.0, 2.0], zero_point: Vec::new(), axis: 0 };
        assert!(tensor(&[2, 12]).quantised(halves).flattened().is_none());
        assert_eq!(values(&Tensor::zeros(3).flattened().unwrap()), [0.0; 3]);
    }
}
