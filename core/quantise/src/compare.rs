//! How far a network in integers is from the float one: at each edge, and at the output.

use crate::error::QuantiseError;
use crate::grid::Grid;
use crate::integers::Rounder;
use crate::layers::Ready;
use crate::pictures::Pictures;
use crate::program::Program;
use crate::run::{Observer, Unobserved, run, step};
use crate::threads;

/// The difference of outputs, summed over pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Difference {
    /// Squares of the float output.
    signal: f64,
    /// Squares of the differences.
    noise: f64,
    /// Kullback-Leibler divergence from the float network's probabilities, summed over pixels.
    divergence: f64,
    /// Pixels with the same likeliest class.
    same: f64,
    pixels: f64,
}

impl Difference {
    /// Of one output, with `classes` values per pixel.
    pub(crate) fn of(float: &[f32], other: &[f32], classes: usize) -> Self {
        let mut found = Self::default();
        for (a, b) in float.iter().zip(other) {
            found.signal += f64::from(*a).powi(2);
            found.noise += f64::from(a - b).powi(2);
        }
        for (a, b) in float.chunks_exact(classes).zip(other.chunks_exact(classes)) {
            found.pixels += 1.0;
            found.same += f64::from(u8::from(likeliest(a) == likeliest(b)));
            let (p, q) = (log_probabilities(a), log_probabilities(b));
            found.divergence += p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
        }
        found
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.signal += other.signal;
        self.noise += other.noise;
        self.divergence += other.divergence;
        self.same += other.same;
        self.pixels += other.pixels;
    }

    /// Signal to noise, in decibels.
    pub(crate) fn decibels(&self) -> f64 {
        decibels(self.signal, self.noise)
    }

    /// The share of pixels with the same likeliest class.
    pub(crate) fn agreement(&self) -> f64 {
        self.same / self.pixels.max(1.0)
    }

    /// The mean divergence of a pixel.
    pub(crate) fn divergence(&self) -> f64 {
        self.divergence / self.pixels.max(1.0)
    }
}

/// Signal to noise, in decibels; at most 200.
pub(crate) fn decibels(signal: f64, noise: f64) -> f64 {
    const MOST: f64 = 200.0;
    if noise <= 0.0 { MOST } else { (10.0 * (signal.max(1e-30) / noise).log10()).clamp(-MOST, MOST) }
}

/// The number of the largest value; of a single logit, whether it is above 0.
fn likeliest(logits: &[f32]) -> usize {
    if let [logit] = logits {
        return usize::from(*logit >= 0.0);
    }
    logits.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (i, &v)| if v > best.1 { (i, v) } else { best }).0
}

/// The logarithms of the softmax; of a single logit, of its sigmoid and the rest.
fn log_probabilities(logits: &[f32]) -> Vec<f64> {
    let logits: Vec<f64> = match logits {
        [logit] => vec![0.0, f64::from(*logit)],
        _ => logits.iter().map(|&v| f64::from(v)).collect(),
    };
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum = logits.iter().map(|v| (v - most).exp()).sum::<f64>().ln() + most;
    logits.into_iter().map(|v| v - sum).collect()
}

/// The float network's output for the pictures `chosen`.
///
/// # Errors
/// If there is no memory.
pub(crate) fn outputs(
    pictures: &Pictures<'_>,
    chosen: &[usize],
    layers: &[Ready],
    threads: usize,
) -> Result<Vec<Vec<f32>>, QuantiseError> {
    threads::map(threads, chosen.len(), |i| {
        let (program, picture) = pictures.get(chosen[i]);
        run(program, layers, &picture.values, &mut Unobserved)
    })
}

/// The difference of the output, for the pictures `chosen`, of which `float` are the float network's outputs.
///
/// # Errors
/// If there is no memory.
pub(crate) fn difference(
    pictures: &Pictures<'_>,
    chosen: &[usize],
    float: &[Vec<f32>],
    (layers, grids): (&[Ready], &[Grid]),
    threads: usize,
) -> Result<Difference, QuantiseError> {
    let classes = classes(pictures.any());
    let found = threads::map(threads, chosen.len(), |i| {
        let (program, picture) = pictures.get(chosen[i]);
        let output = run(program, layers, &picture.values, &mut Rounder { grids })?;
        Ok::<_, QuantiseError>(Difference::of(&float[i], &output, classes))
    })?;
    let mut all = Difference::default();
    for one in found {
        all.add(one);
    }
    Ok(all)
}

/// Values of a pixel of the output.
pub(crate) fn classes(program: &Program) -> usize {
    program.edges[program.output].channels
}

/// Signal and noise of every edge for the pictures `chosen`: of the float network with `layers`, and of the one in integers.
///
/// # Errors
/// If there is no memory.
pub(crate) fn edges(
    pictures: &Pictures<'_>,
    chosen: &[usize],
    layers: &[Ready],
    (rounded, grids): (&[Ready], &[Grid]),
    threads: usize,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<f64>, QuantiseError> {
    let mut sums = vec![(0.0, 0.0); pictures.any().edges.len()];
    let work = |i: usize| {
        let (program, picture) = pictures.get(chosen[i]);
        let found = in_step(program, &picture.values, layers, (rounded, grids))?;
        done();
        Ok::<_, QuantiseError>(found)
    };
    threads::fold(threads, chosen.len(), work, |found| {
        for (sum, found) in sums.iter_mut().zip(found) {
            sum.0 += found.0;
            sum.1 += found.1;
        }
    })?;
    Ok(sums.into_iter().map(|(signal, noise)| decibels(signal, noise)).collect())
}

/// Both networks at once, so that only the maps of two layers exist.
fn in_step(
    program: &Program,
    picture: &[f32],
    layers: &[Ready],
    (rounded, grids): (&[Ready], &[Grid]),
) -> Result<Vec<(f64, f64)>, QuantiseError> {
    let mut rounder = Rounder { grids };
    let mut sums = vec![(0.0, 0.0); program.edges.len()];
    let mut maps: Vec<Option<[Vec<f32>; 2]>> = vec![None; program.edges.len()];
    let mut keep = |maps: &mut Vec<Option<[Vec<f32>; 2]>>, edge: usize, mut both: [Vec<f32>; 2]| {
        rounder.edge(edge, &mut both[1])?;
        let (mut signal, mut noise) = (0.0, 0.0);
        for (a, b) in both[0].iter().zip(&both[1]) {
            signal += f64::from(a * a);
            noise += f64::from((a - b) * (a - b));
        }
        sums[edge] = (signal, noise);
        maps[edge] = Some(both);
        Ok::<_, QuantiseError>(())
    };
    keep(&mut maps, 0, [picture.to_vec(), picture.to_vec()])?;
    for (at, op) in program.ops.iter().enumerate() {
        let from = |which: usize| -> Vec<&[f32]> {
            op.from.iter().filter_map(|&edge| Some(maps[edge].as_ref()?[which].as_slice())).collect()
        };
        let float = step(program, op, layers, &from(0), &mut Unobserved)?;
        let other = step(program, op, rounded, &from(1), &mut Rounder { grids })?;
        keep(&mut maps, op.to, [float, other])?;
        for &edge in &op.from {
            if program.edges[edge].last <= at {
                maps[edge] = None;
            }
        }
    }
    Ok(sums)
}
