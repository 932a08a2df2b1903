//! A network in integers: its weights and biases, and the ranges of its edges; and what it computes, in f32 that is
//! rounded to the edges' bytes.

use std::collections::BTreeMap;

use silhouette_network::spec::Spec;
use silhouette_weights::{Integers, ModelFile, Quantisation, QuantisedTensor, QuantisedTensors, Tensor, Tensors};

use crate::error::QuantiseError;
use crate::grid::Grid;
use crate::layers::{Layer, Ready, stored};
use crate::program::{Program, Work};
use crate::rounding::Rounded;
use crate::run::Observer;

/// A convolution's weights.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// As bytes; the bias in f32, which is rounded when it is used.
    Bytes(Rounded, Vec<f32>),
    /// Kept as they are.
    Floats(Layer),
}

/// A network in integers.
#[derive(Clone, Debug)]
pub(crate) struct Network8 {
    /// Of each convolution.
    pub(crate) parts: Vec<Part>,
    /// Of each edge.
    pub(crate) grids: Vec<Grid>,
}

/// Rounds the values of edges to those that bytes represent.
pub(crate) struct Rounder<'a> {
    pub(crate) grids: &'a [Grid],
}

impl Observer for Rounder<'_> {
    fn edge(&mut self, edge: usize, values: &mut [f32]) -> Result<(), QuantiseError> {
        self.grids[edge].round(values);
        Ok(())
    }

    fn border(&self, edge: usize, values: &mut [f32]) {
        self.grids[edge].round(values);
    }
}

/// A bias in steps of the sums.
fn steps(bias: f32, step: f64) -> i32 {
    (f64::from(bias) / step).round().clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i32
}

/// The step of an output's sums: of its input times its weights, as an f32, in which a model file holds it.
fn step(input: f32, weight: f32) -> f32 {
    (input * weight).max(f32::MIN_POSITIVE)
}

impl Network8 {
    /// The step of what each convolution reads.
    fn input_steps(&self, program: &Program) -> Vec<f32> {
        let mut steps = vec![1.0; program.convs.len()];
        program.conv_ops().for_each(|(conv, op)| steps[conv] = self.grids[op.from[0]].scale);
        steps
    }

    /// One layer, with the values that its integers represent.
    ///
    /// # Errors
    /// If there is no memory.
    pub(crate) fn ready(&self, program: &Program, conv: usize) -> Result<Ready, QuantiseError> {
        let input = self.input_steps(program)[conv];
        match &self.parts[conv] {
            Part::Floats(layer) => layer.ready(&program.convs[conv]),
            Part::Bytes(rounded, bias) => {
                let whole = |(&bias, &weight): (&f32, &f32)| {
                    let step = f64::from(step(input, weight));
                    (f64::from(steps(bias, step)) * step) as f32
                };
                let bias = bias.iter().zip(&rounded.scale).map(whole).collect();
                Layer { weight: rounded.values(), bias }.ready(&program.convs[conv])
            }
        }
    }

    /// All layers.
    ///
    /// # Errors
    /// As [`ready`](Self::ready).
    pub(crate) fn all_ready(&self, program: &Program) -> Result<Vec<Ready>, QuantiseError> {
        (0..self.parts.len()).map(|conv| self.ready(program, conv)).collect()
    }

    /// The model.
    ///
    /// # Errors
    /// As [`ModelFile::quantised`].
    pub(crate) fn model(&self, spec: &Spec, program: &Program) -> Result<ModelFile, QuantiseError> {
        let (mut floats, mut integers) = (Tensors::new(), QuantisedTensors::new());
        let inputs = self.input_steps(program);
        for ((conv, part), input) in program.convs.iter().zip(&self.parts).zip(inputs) {
            let (weight, bias) = (conv.weight(), conv.bias());
            match part {
                Part::Floats(layer) => {
                    floats.insert(weight.name, Tensor { shape: weight.shape, data: stored(conv, &layer.weight) });
                    floats.insert(bias.name, Tensor { shape: bias.shape, data: layer.bias.clone() });
                }
                Part::Bytes(rounded, real) => {
                    let scales: Vec<f32> = rounded.scale.iter().map(|&weight| step(input, weight)).collect();
                    let whole = real.iter().zip(&scales).map(|(&bias, &step)| steps(bias, f64::from(step))).collect();
                    let quantisation = |scale| Quantisation { scale, zero_point: Vec::new(), axis: 0 };
                    let tensor =
                        |shape, values, scale| QuantisedTensor { shape, values, quantisation: quantisation(scale) };
                    let bytes = Integers::I8(stored(conv, &rounded.bytes));
                    integers.insert(weight.name, tensor(weight.shape, bytes, rounded.scale.clone()));
                    integers.insert(bias.name, tensor(bias.shape, Integers::I32(whole), scales));
                }
            }
        }
        // A concatenation has its own, even of a single map.
        let concats = program.ops.iter().filter(|op| matches!(op.work, Work::Concat)).map(|op| op.to);
        let own = program.own().chain(concats);
        let own = own.map(|edge| (program.edges[edge].name.clone(), self.grids[edge].stored()));
        Ok(ModelFile::quantised(spec.clone(), floats, integers, own.collect::<BTreeMap<_, _>>())?)
    }
}

/// The grid of every edge, from those of the edges that have their own.
///
/// # Errors
/// As `of`.
pub(crate) fn spread<E>(program: &Program, of: impl Fn(usize) -> Result<Grid, E>) -> Result<Vec<Grid>, E> {
    program.edges.iter().map(|edge| of(edge.of)).collect()
}
