//! Runs a program in f32 on one picture, map by map, and shows every value to an observer, who may change it: to gather
//! statistics, or to round as integers would.

use silhouette_kernels::memory::filled;
use silhouette_network::network::Conv;
use silhouette_network::spec::{Activation, Resize};

use crate::error::QuantiseError;
use crate::layers::Ready;
use crate::program::{Op, Program, Work};

/// Pixels whose patches are copied for one product.
const PATCHES: usize = 1 << 11;

/// Sees the values of a run. Maps are `[height][width][channels]`.
pub(crate) trait Observer {
    /// What a convolution reads, and its padding's value (empty: zeros).
    fn reads(&mut self, _conv: usize, _map: &[f32], _border: &[f32]) -> Result<(), QuantiseError> {
        Ok(())
    }

    /// A convolution's sums, before the activation.
    fn sums(&mut self, _conv: usize, _sums: &[f32]) {}

    /// The values of an edge, which it may change.
    ///
    /// # Errors
    /// Which end the run.
    fn edge(&mut self, _edge: usize, _values: &mut [f32]) -> Result<(), QuantiseError> {
        Ok(())
    }

    /// Padding with the values of an edge, which it may change.
    fn border(&self, _edge: usize, _values: &mut [f32]) {}
}

/// Sees nothing.
pub(crate) struct Unobserved;

impl Observer for Unobserved {}

/// The output for a picture.
///
/// # Errors
/// The observer's, and if there is no memory.
pub(crate) fn run(
    program: &Program,
    layers: &[Ready],
    picture: &[f32],
    observer: &mut impl Observer,
) -> Result<Vec<f32>, QuantiseError> {
    let mut maps: Vec<Option<Vec<f32>>> = vec![None; program.edges.len()];
    let mut input = filled(picture.len(), 0.0, "a picture")?;
    input.copy_from_slice(picture);
    observer.edge(0, &mut input)?;
    maps[0] = Some(input);
    for (at, op) in program.ops.iter().enumerate() {
        let from: Vec<&[f32]> = op.from.iter().filter_map(|&edge| maps[edge].as_deref()).collect();
        let mut made = step(program, op, layers, &from, observer)?;
        observer.edge(op.to, &mut made)?;
        maps[op.to] = Some(made);
        for &edge in &op.from {
            if program.edges[edge].last <= at {
                maps[edge] = None;
            }
        }
    }
    Ok(maps[program.output].take().unwrap_or_default())
}

/// The result of one operation on the maps that it reads.
///
/// # Errors
/// If there is no memory.
pub(crate) fn step(
    program: &Program,
    op: &Op,
    layers: &[Ready],
    from: &[&[f32]],
    observer: &mut impl Observer,
) -> Result<Vec<f32>, QuantiseError> {
    let edge = &program.edges[op.to];
    let pixels = edge.size.pixels() as usize;
    Ok(match op.work {
        Work::Conv { conv, .. } => {
            let border = padding(program, op, layers, observer);
            observer.reads(conv, from[0], &border)?;
            let mut sums = convolve(&program.convs[conv], &layers[conv], from[0], &border)?;
            observer.sums(conv, &sums);
            activate(&mut sums, program.convs[conv].activation);
            sums
        }
        Work::Sum => {
            let mut sum = from[0].to_vec();
            for more in &from[1..] {
                sum.iter_mut().zip(*more).for_each(|(sum, more)| *sum += more);
            }
            sum
        }
        Work::Average => {
            let mut sums = vec![0f64; edge.channels];
            let pixels = from[0].len() / edge.channels;
            for pixel in from[0].chunks_exact(edge.channels) {
                sums.iter_mut().zip(pixel).for_each(|(sum, &v)| *sum += f64::from(v));
            }
            sums.into_iter().map(|sum| (sum / pixels as f64) as f32).collect()
        }
        Work::Resize(rule) => {
            let before = program.edges[op.from[0]].size;
            let rows = axis(before.height, edge.size.height, rule);
            let columns = axis(before.width, edge.size.width, rule);
            let c = edge.channels;
            let mut map = filled(pixels * c, 0.0, "a map")?;
            let at = |y: usize, x: usize| &from[0][(y * before.width + x) * c..][..c];
            for (line, &(y, down)) in map.chunks_exact_mut(edge.size.width * c).zip(&rows) {
                for (pixel, &(x, right)) in line.chunks_exact_mut(c).zip(&columns) {
                    let (y1, x1) = ((y + 1).min(before.height - 1), (x + 1).min(before.width - 1));
                    let corners = [at(y, x), at(y, x1), at(y1, x), at(y1, x1)];
                    for (i, value) in pixel.iter_mut().enumerate() {
                        let [a, b, c, d] = corners.map(|corner| corner[i]);
                        let (top, bottom) = (a + (b - a) * right, c + (d - c) * right);
                        *value = top + (bottom - top) * down;
                    }
                }
            }
            map
        }
        Work::Concat => {
            let mut map = filled(pixels * edge.channels, 0.0, "a map")?;
            let mut first = 0;
            for (&part, &edge_of) in from.iter().zip(&op.from) {
                let channels = program.edges[edge_of].channels;
                for (pixel, part) in map.chunks_exact_mut(edge.channels).zip(part.chunks_exact(channels)) {
                    pixel[first..first + channels].copy_from_slice(part);
                }
                first += channels;
            }
            map
        }
    })
}

/// The value around the map that a convolution reads, per channel; empty: zeros.
fn padding(program: &Program, op: &Op, layers: &[Ready], observer: &impl Observer) -> Vec<f32> {
    let Work::Conv { border: Some(border), .. } = op.work else { return Vec::new() };
    let (Ready::Product(_, bias) | Ready::Depthwise(_, bias)) = &layers[border];
    let mut values = bias.clone();
    activate(&mut values, program.convs[border].activation);
    observer.border(op.from[0], &mut values);
    values
}

fn activate(values: &mut [f32], activation: Activation) {
    match activation {
        Activation::Linear => {}
        // `max` would turn what is not a number into a zero.
        Activation::Relu => values.iter_mut().for_each(|v| *v = if *v < 0.0 { 0.0 } else { *v }),
        Activation::Relu6 => values.iter_mut().for_each(|v| *v = v.clamp(0.0, 6.0)),
    }
}

/// The position of each of `out` values among `len`: the lower neighbour, and the share of the upper one.
fn axis(len: usize, out: usize, rule: Resize) -> Vec<(usize, f32)> {
    let place = |o: usize| {
        let place = match rule {
            Resize::AlignCorners => o as f64 * (len - 1) as f64 / (out.max(2) - 1) as f64,
            Resize::HalfPixel => (o as f64 + 0.5) * len as f64 / out as f64 - 0.5,
        };
        let place = place.clamp(0.0, (len - 1) as f64);
        (place as usize, place.fract() as f32)
    };
    (0..out).map(place).collect()
}

/// The row or column of the input under a kernel's tap, if it is in the map.
fn under(out: usize, tap: usize, stride: usize, rate: usize, pad: usize, len: usize) -> Option<usize> {
    (out * stride + tap * rate).checked_sub(pad).filter(|&at| at < len)
}

/// Copies what a kernel sees for one output: row by row, column by column, all channels.
pub(crate) fn patch(conv: &Conv, map: &[f32], border: &[f32], y: usize, x: usize, patch: &mut [f32]) {
    let c = conv.c_in;
    for (tap, to) in patch.chunks_exact_mut(c).enumerate() {
        let row = under(y, tap / conv.kernel, conv.stride, conv.rate, conv.pad.height, conv.input.height);
        let column = under(x, tap % conv.kernel, conv.stride, conv.rate, conv.pad.width, conv.input.width);
        match (row, column) {
            (Some(row), Some(column)) => to.copy_from_slice(&map[(row * conv.input.width + column) * c..][..c]),
            _ if border.is_empty() => to.fill(0.0),
            _ => to.copy_from_slice(border),
        }
    }
}

fn convolve(conv: &Conv, layer: &Ready, map: &[f32], border: &[f32]) -> Result<Vec<f32>, QuantiseError> {
    match layer {
        Ready::Depthwise(taps, bias) => depthwise(conv, taps, bias, map, border),
        Ready::Product(matrix, bias) => {
            let mut sums = if conv.kernel == 1 && conv.stride == 1 {
                matrix.product(map)?
            } else {
                let mut sums = Vec::new();
                let reads = conv.kernel * conv.kernel * conv.c_in;
                let width = conv.output.width;
                let pixels = conv.output.height * width;
                let mut patches = filled(PATCHES.min(pixels) * reads, 0.0, "patches of a map")?;
                for first in (0..pixels).step_by(PATCHES) {
                    let count = PATCHES.min(pixels - first);
                    for (at, to) in (first..first + count).zip(patches.chunks_exact_mut(reads)) {
                        patch(conv, map, border, at / width, at % width, to);
                    }
                    sums.extend(matrix.product(&patches[..count * reads])?);
                }
                sums
            };
            for pixel in sums.chunks_exact_mut(bias.len()) {
                pixel.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
            }
            Ok(sums)
        }
    }
}

fn depthwise(
    conv: &Conv,
    taps: &[Vec<f32>],
    bias: &[f32],
    map: &[f32],
    border: &[f32],
) -> Result<Vec<f32>, QuantiseError> {
    let c = conv.c_in;
    let width = conv.output.width;
    let mut sums = filled(conv.output.height * width * c, 0.0, "a map")?;
    for (at, pixel) in sums.chunks_exact_mut(c).enumerate() {
        pixel.copy_from_slice(bias);
        for (tap, weights) in taps.iter().enumerate() {
            let row = under(at / width, tap / conv.kernel, conv.stride, conv.rate, conv.pad.height, conv.input.height);
            let column = under(at % width, tap % conv.kernel, conv.stride, conv.rate, conv.pad.width, conv.input.width);
            let values = match (row, column) {
                (Some(row), Some(column)) => &map[(row * conv.input.width + column) * c..][..c],
                _ if border.is_empty() => continue,
                _ => border,
            };
            for ((sum, weight), value) in pixel.iter_mut().zip(weights).zip(values) {
                *sum += weight * value;
            }
        }
    }
    Ok(sums)
}
