//! Cross-layer equalisation: scales the channels of a map so that they use its bytes alike, and the weights that read
//! them the other way round. What the network computes stays the same: exactly where nothing, or a ReLU, follows the
//! sums, and after a ReLU6 as far as the channel's values reach on the calibration pictures, because a channel is only
//! scaled up, and at most until its largest value reaches the bound.

use silhouette_network::spec::Activation;

use crate::layers::{Layer, reads};
use crate::program::{Program, Work};
use crate::statistics::Peaks;

/// Room above the largest value seen, so that a larger one of another picture is not cut off by the bound: 1.22 with 80
/// pictures, more with fewer, which have seen less.
fn room(pictures: usize) -> f32 {
    1.0 + 2.0 / (pictures.max(1) as f32).sqrt()
}

/// Most that a channel is scaled by: one that hardly ever has a value must not become a loud one.
const MOST: f32 = 16.0;

/// Exponents to choose from: 0 leaves channels as they are, 1 makes their largest values equal.
const EXPONENTS: [f32; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// What is left of the noise of rounded weights once they make up for each other's errors.
const WEIGHTS: f64 = 0.25;

/// Edges that must be scaled alike, because one is the sum, average or resize of others.
#[derive(Debug)]
struct Group {
    edges: Vec<usize>,
    /// Convolutions that write to them.
    writers: Vec<usize>,
    /// Convolutions that read them.
    readers: Vec<usize>,
}

/// Whether, and how far, each map was equalised: the number of maps with another exponent than 0, and of all that could.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Equalised {
    pub(crate) maps: usize,
    pub(crate) of: usize,
}

fn groups(program: &Program) -> Vec<Group> {
    let mut root: Vec<usize> = (0..program.edges.len()).collect();
    let mut fixed = vec![false; root.len()];
    fixed[0] = true;
    fixed[program.output] = true;
    for op in &program.ops {
        match op.work {
            Work::Conv { .. } => {}
            Work::Concat => op.from.iter().chain([&op.to]).for_each(|&edge| fixed[edge] = true),
            Work::Sum | Work::Average | Work::Resize(_) => {
                for &from in &op.from {
                    let (one, other) = (root[from], root[op.to]);
                    root.iter_mut().filter(|root| **root == other).for_each(|root| *root = one);
                }
            }
        }
    }
    let mut groups = Vec::new();
    for first in 0..root.len() {
        let edges: Vec<usize> = (0..root.len()).filter(|&edge| root[edge] == root[first]).collect();
        if edges[0] != first || edges.iter().any(|&edge| fixed[edge]) {
            continue;
        }
        let convs = |end: fn(&crate::program::Op) -> usize| {
            program.conv_ops().filter(|(_, op)| edges.contains(&end(op))).map(|(conv, _)| conv).collect::<Vec<_>>()
        };
        let (writers, readers) = (convs(|op| op.to), convs(|op| op.from[0]));
        if !writers.is_empty() && !readers.is_empty() {
            groups.push(Group { edges, writers, readers });
        }
    }
    groups
}

/// The noise that integers add to what the readers of a group compute, relative to their outputs, if its channels are
/// scaled by `scales`.
fn noise(program: &Program, layers: &[Layer], peaks: &Peaks, group: &Group, scales: &[f32], range: f64) -> f64 {
    let edge = group.edges[0];
    let step = range / 255.0;
    let mut sum = 0.0;
    for (conv, op) in program.conv_ops().filter(|(conv, _)| group.readers.contains(conv)) {
        let about = &program.convs[conv];
        let len = reads(about);
        let (mut noise, output) = (0.0, peaks.power[op.to].iter().sum::<f64>().max(1e-12));
        for (o, row) in layers[conv].weight.chunks_exact(len).enumerate() {
            let channel = |at: usize| if about.depthwise { o } else { at % about.c_in };
            let scaled = |at: usize| f64::from(row[at]) / f64::from(scales[channel(at)]);
            let most = (0..len).map(|at| scaled(at).abs()).fold(0.0, f64::max);
            let weights = WEIGHTS * (most / 127.0).powi(2) / 12.0;
            for at in 0..len {
                let power = peaks.power[edge][channel(at)] * f64::from(scales[channel(at)]).powi(2);
                noise += weights * power + scaled(at).powi(2) * step * step / 12.0;
            }
        }
        sum += noise / output;
    }
    sum
}

/// Equalises the maps of a network in place; the peaks are of this many pictures.
pub(crate) fn equalise(program: &Program, layers: &mut [Layer], peaks: &mut Peaks, pictures: usize) -> Equalised {
    let mut done = Equalised::default();
    for group in groups(program) {
        done.of += 1;
        let channels = program.edges[group.edges[0]].channels;
        let most: Vec<f32> =
            (0..channels).map(|c| group.edges.iter().map(|&edge| peaks.most[edge][c]).fold(0.0, f32::max)).collect();
        let bounded = group.writers.iter().any(|&conv| program.convs[conv].activation == Activation::Relu6);
        // The largest value that a channel may have, with room: not above the bound.
        let reach: Vec<f32> = most.iter().map(|&m| if bounded { (m * room(pictures)).min(6.0) } else { m }).collect();
        let top = reach.iter().copied().fold(0.0, f32::max);
        if top <= 0.0 {
            continue;
        }
        let scales = |exponent: f32| -> Vec<f32> {
            let scale = |&reach: &f32| if reach > 0.0 { (top / reach).powf(exponent).clamp(1.0, MOST) } else { 1.0 };
            reach.iter().map(scale).collect()
        };
        let cost = |exponent: f32| {
            let scales = scales(exponent);
            let range = most.iter().zip(&scales).map(|(m, s)| f64::from(m * s)).fold(0.0, f64::max);
            noise(program, layers, peaks, &group, &scales, range)
        };
        let costs = EXPONENTS.map(cost);
        let best = (0..EXPONENTS.len()).min_by(|&a, &b| costs[a].total_cmp(&costs[b])).unwrap_or(0);
        if best == 0 {
            continue;
        }
        done.maps += 1;
        apply(program, layers, peaks, &group, &scales(EXPONENTS[best]));
    }
    done
}

fn apply(program: &Program, layers: &mut [Layer], peaks: &mut Peaks, group: &Group, scales: &[f32]) {
    for &conv in &group.writers {
        let len = reads(&program.convs[conv]);
        let layer = &mut layers[conv];
        for ((row, bias), scale) in layer.weight.chunks_exact_mut(len).zip(&mut layer.bias).zip(scales) {
            for weight in row {
                *weight *= scale;
            }
            *bias *= scale;
        }
    }
    for &conv in &group.readers {
        let about = &program.convs[conv];
        let len = reads(about);
        for (o, row) in layers[conv].weight.chunks_exact_mut(len).enumerate() {
            for (at, weight) in row.iter_mut().enumerate() {
                *weight /= scales[if about.depthwise { o } else { at % about.c_in }];
            }
        }
    }
    for &edge in &group.edges {
        peaks.most[edge].iter_mut().zip(scales).for_each(|(most, scale)| *most *= scale);
        peaks.power[edge].iter_mut().zip(scales).for_each(|(power, scale)| *power *= f64::from(scale * scale));
    }
}
