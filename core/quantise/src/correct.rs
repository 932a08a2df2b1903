//! Bias correction: what rounding adds to a layer's sums on average is subtracted from its bias. Layer by layer, so that
//! each is corrected for all that happens before it.

use crate::error::QuantiseError;
use crate::integers::{Network8, Part, Rounder};
use crate::layers::Ready;
use crate::pictures::Pictures;
use crate::program::{Op, Program, Work};
use crate::run::{Observer, step};
use crate::statistics::channel_means;
use crate::threads;

/// Most pictures: means need no more.
const PICTURES: usize = 32;

/// Most bytes of one map of all these pictures.
const MEMORY: u64 = 1 << 28;

/// Keeps the mean of each channel's sums, and rounds.
struct Means<'a> {
    rounder: Rounder<'a>,
    channels: usize,
    found: Vec<f64>,
}

impl Observer for Means<'_> {
    fn sums(&mut self, _: usize, sums: &[f32]) {
        self.found = channel_means(sums, self.channels);
    }

    fn border(&self, edge: usize, values: &mut [f32]) {
        self.rounder.border(edge, values);
    }
}

/// How many of the first pictures are used, of `count`.
pub(crate) fn pictures_used(pictures: &Pictures<'_>, count: usize) -> usize {
    let largest =
        |program: &Program| program.edges.iter().map(|e| e.size.pixels() * e.channels as u64).max().unwrap_or(1);
    let largest = (0..pictures.len()).map(|i| largest(pictures.get(i).0)).max().unwrap_or(1).max(1);
    count.min(PICTURES).min((MEMORY / largest).max(1) as usize)
}

/// Corrects every bias of `network` with the pictures `chosen`; `means` are the float network's, of each convolution for
/// each of these pictures.
///
/// # Errors
/// If there is no memory.
pub(crate) fn correct(
    pictures: &Pictures<'_>,
    chosen: &[usize],
    network: &mut Network8,
    means: &[Vec<Vec<f64>>],
    threads: usize,
    done: &(dyn Fn() + Sync),
) -> Result<(), QuantiseError> {
    let program = pictures.any();
    let mut layers = network.all_ready(program)?;
    let mut maps: Vec<Vec<Option<Vec<u8>>>> = vec![vec![None; program.edges.len()]; chosen.len()];
    for (maps, &picture) in maps.iter_mut().zip(chosen) {
        maps[0] = Some(network.grids[0].bytes(&pictures.get(picture).1.values));
    }
    for (at, op) in program.ops.iter().enumerate() {
        let grids = &network.grids;
        let made = |i: usize, layers: &[Ready]| {
            let program = pictures.get(chosen[i]).0;
            apply(program, &program.ops[at], layers, grids, &maps[i])
        };
        if let Work::Conv { conv, .. } = op.work
            && let Part::Bytes(..) = network.parts[conv]
        {
            let found = threads::map(threads, chosen.len(), |i| made(i, &layers).map(|(means, _)| means))?;
            let mut shift = vec![0.0; program.convs[conv].c_out];
            for (real, rounded) in means[conv].iter().zip(&found) {
                for ((shift, real), rounded) in shift.iter_mut().zip(real).zip(rounded) {
                    *shift += real - rounded;
                }
            }
            if let Part::Bytes(_, bias) = &mut network.parts[conv] {
                for (bias, shift) in bias.iter_mut().zip(shift) {
                    *bias += (shift / chosen.len().max(1) as f64) as f32;
                }
            }
            layers[conv] = network.ready(program, conv)?;
        }
        let grids = &network.grids;
        let bytes = threads::map(threads, chosen.len(), |i| {
            let program = pictures.get(chosen[i]).0;
            let (_, map) = apply(program, &program.ops[at], &layers, grids, &maps[i])?;
            Ok::<_, QuantiseError>(grids[op.to].bytes(&map))
        })?;
        for (maps, bytes) in maps.iter_mut().zip(bytes) {
            maps[op.to] = Some(bytes);
            for &from in &op.from {
                if program.edges[from].last <= at {
                    maps[from] = None;
                }
            }
        }
        done();
    }
    Ok(())
}

/// The means of an operation's sums, and its result.
fn apply(
    program: &Program,
    op: &Op,
    layers: &[Ready],
    grids: &[crate::grid::Grid],
    maps: &[Option<Vec<u8>>],
) -> Result<(Vec<f64>, Vec<f32>), QuantiseError> {
    let from: Vec<Vec<f32>> =
        op.from.iter().map(|&edge| grids[edge].values(maps[edge].as_deref().unwrap_or_default())).collect();
    let from: Vec<&[f32]> = from.iter().map(Vec::as_slice).collect();
    let channels = program.edges[op.to].channels;
    let mut watch = Means { rounder: Rounder { grids }, channels, found: Vec::new() };
    let map = step(program, op, layers, &from, &mut watch)?;
    Ok((watch.found, map))
}
