//! The quantiser: from a float model and pictures to a model of 8-bit integers.

use std::sync::atomic::{AtomicUsize, Ordering};

use silhouette_network::spec::Spec;
use silhouette_weights::{ModelFile, SplitMix64};

use crate::compare;
use crate::correct::{correct, pictures_used};
use crate::equalise::equalise;
use crate::error::QuantiseError;
use crate::grid::Grid;
use crate::integers::{Network8, Part, spread};
use crate::layers::{Layer, Ready};
use crate::pictures::{Picture, Pictures};
use crate::program::Program;
use crate::ranges::{Choice, candidates, clipped, error};
use crate::report::{ARITHMETIC, LayerReport, OutputReport, Report, mark_worst};
use crate::rounding::{How, Rounded, Steps};
use crate::statistics::{Peaks, Statistics};
use crate::threads;

/// One of this many pictures is held out.
const HELD_OUT: usize = 5;

/// Held-out pictures that ranges are compared on.
const TRIED_ON: usize = 6;

/// Multiply-adds that comparing ranges may cost: a number, so that a faster machine chooses the same.
const TRIAL_MACS: u64 = 120_000_000_000;

/// A range replaces another if the output's divergence becomes this much smaller.
const BETTER: f64 = 0.99;

/// How to quantise.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a step that can be left out")]
pub struct Options {
    /// Threads; the result does not depend on it.
    pub threads: usize,
    /// Decides which pictures are held out, and which pixels are sampled.
    pub seed: u64,
    /// Layers whose weights stay floats: names, or the beginnings of names up to a point.
    pub keep: Vec<String>,
    /// Whether channels are equalised.
    pub equalise: bool,
    /// Whether the largest weights may be cut off.
    pub cut: bool,
    /// Whether rounded weights may make up for each other's errors.
    pub compensate: bool,
    /// Whether biases are corrected.
    pub correct: bool,
    /// How all ranges are chosen; `None`: each by what it does to the output.
    pub ranges: Option<Choice>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: 1,
            seed: 0,
            keep: Vec::new(),
            equalise: true,
            cut: true,
            compensate: true,
            correct: true,
            ranges: None,
        }
    }
}

/// How far the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: &'static str,
    /// Parts of the stage that are done.
    pub done: usize,
    /// All parts of the stage.
    pub all: usize,
}

/// A quantised model, and what quantising did.
#[derive(Debug)]
pub struct Quantised {
    /// The model.
    pub model: ModelFile,
    /// What quantising did.
    pub report: Report,
}

/// Quantises a float model with calibration pictures. `progress` is called as parts of the work are done, from several
/// threads.
///
/// # Errors
/// [`QuantiseError::AlreadyQuantised`]; [`QuantiseError::Unsupported`] for a network or a name to keep;
/// [`QuantiseError::Pictures`]; [`QuantiseError::NotFinite`] for values on the way through the float network.
pub fn quantise(
    model: &ModelFile,
    pictures: &[Picture],
    options: &Options,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Quantised, QuantiseError> {
    let weights = model.weights();
    for name in weights.names() {
        if weights.tensor(name)?.is_some_and(|tensor| tensor.quantisation.is_some()) {
            return Err(QuantiseError::AlreadyQuantised { tensor: name.to_owned() });
        }
    }
    let spec = model.spec();
    let pictures = &Pictures::new(spec, pictures)?;
    let program = pictures.any();
    let kept = kept(program, &options.keep)?;
    let original = Layer::all(&program.convs, weights)?;
    let (calibration, held_out) = split(pictures.len(), options.seed);
    let threads = options.threads;
    let stage = |stage: &'static str, all: usize| {
        let done = AtomicUsize::new(0);
        progress(Progress { stage, done: 0, all });
        move || progress(Progress { stage, done: done.fetch_add(1, Ordering::Relaxed) + 1, all })
    };

    // The float network: what it outputs, and how large its channels are.
    let ready = all_ready(program, &original)?;
    let float = compare::outputs(pictures, &held_out, &ready, threads)?;
    let mut peaks = Peaks::of(pictures, &calibration, &ready, threads, &stage("channels", calibration.len()))?;
    let mut layers = original;
    let equalised = if options.equalise {
        equalise(program, &mut layers, &mut peaks, calibration.len())
    } else {
        crate::equalise::Equalised::default()
    };
    let ready = all_ready(program, &layers)?;

    // The values of its edges, and what its weights are multiplied with.
    let used = pictures_used(pictures, calibration.len());
    let done = stage("values", calibration.len());
    let statistics = Statistics::of(pictures, &calibration, &ready, (threads, options.seed, used), &done)?;

    // Weights to integers. The ranges matter little here: they only say how coarse the inputs are.
    let offered: Vec<[Grid; 3]> = threads::map(threads, program.edges.len(), |edge| {
        Ok::<_, QuantiseError>(candidates(&statistics.histograms[edge]))
    })?;
    let offer = Offer { pixels: pixel_range(spec), offered };
    let first = offer.grids(program, &vec![Choice::Extremes; program.edges.len()])?;
    let mut steps = vec![1.0; layers.len()];
    program.conv_ops().for_each(|(conv, op)| steps[conv] = first[op.from[0]].scale);
    let taken = Steps { cut: options.cut, compensate: options.compensate, correct: options.correct };
    let done = stage("weights", layers.len());
    let parts = threads::map(threads, layers.len(), |conv| {
        let layer = &layers[conv];
        let part = if kept[conv] {
            Part::Floats(layer.clone())
        } else {
            let rounded = Rounded::new(&program.convs[conv], layer, &statistics.moments[conv], steps[conv], taken);
            Part::Bytes(rounded, layer.bias.clone())
        };
        done();
        Ok::<_, QuantiseError>(part)
    })?;

    let used = if options.correct { &calibration[..used] } else { &[] };
    let trial = Trial { pictures, held_out: &held_out, float: &float, means: &statistics.means, used, threads };
    let (network, choices) = match options.ranges {
        Some(choice) => {
            let choices = vec![choice; program.edges.len()];
            let made = trial.made(&parts, &offer, &choices, &stage("biases", program.ops.len()))?;
            (made.0, choices)
        }
        None => chosen(&trial, &parts, &offer, &statistics, &stage)?,
    };

    // What has become of it.
    let rounded = network.all_ready(program)?;
    let both = (&rounded[..], &network.grids[..]);
    let output = compare::difference(pictures, &held_out, &float, both, threads)?;
    let done = stage("comparison", held_out.len());
    let decibels = compare::edges(pictures, &held_out, &ready, both, threads, &done)?;
    let mut reports = Vec::new();
    for edge in program.own() {
        let name = &program.edges[edge].name;
        let conv = program.conv_ops().find(|(_, op)| op.to == edge).map(|(conv, _)| conv);
        let (low, high) = network.grids[edge].range();
        reports.push(LayerReport {
            name: name.strip_suffix(".output").unwrap_or(name).to_owned(),
            snr_db: decibels[edge],
            clipped: clipped(&statistics.histograms[edge], network.grids[edge]),
            low,
            high,
            range: if edge == 0 { Choice::Pixels } else { choices[edge] },
            weights: conv.and_then(|conv| how(&network.parts[conv])),
            kept: conv.is_some_and(|conv| kept[conv]),
            worst: false,
        });
    }
    mark_worst(&mut reports);
    let report = Report {
        pictures: calibration.len(),
        held_out: held_out.len(),
        equalised: [equalised.maps, equalised.of],
        bias_corrected: options.correct,
        arithmetic: ARITHMETIC,
        output: OutputReport {
            snr_db: output.decibels(),
            agreement: output.agreement(),
            divergence: output.divergence(),
        },
        layers: reports,
    };
    Ok(Quantised { model: network.model(spec, program)?, report })
}

fn how(part: &Part) -> Option<How> {
    match part {
        Part::Bytes(rounded, _) => Some(rounded.how),
        Part::Floats(_) => None,
    }
}

fn all_ready(program: &Program, layers: &[Layer]) -> Result<Vec<Ready>, QuantiseError> {
    program.convs.iter().zip(layers).map(|(conv, layer)| layer.ready(conv)).collect()
}

/// Whether each convolution's weights stay floats.
fn kept(program: &Program, keep: &[String]) -> Result<Vec<bool>, QuantiseError> {
    let named =
        |name: &str, keep: &str| name == keep || name.strip_prefix(keep).is_some_and(|rest| rest.starts_with('.'));
    if let Some(unknown) = keep.iter().find(|keep| !program.convs.iter().any(|conv| named(&conv.name, keep))) {
        let names: Vec<&str> = program.convs.iter().map(|conv| conv.name.as_str()).collect();
        let why = format!("the network has no layer of this name; it has {}", names.join(", "));
        return Err(QuantiseError::Unsupported { what: format!("keeping '{unknown}'"), why });
    }
    Ok(program.convs.iter().map(|conv| keep.iter().any(|keep| named(&conv.name, keep))).collect())
}

/// The pictures to calibrate with, and those held out; a single one is both.
fn split(count: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..count).collect();
    let mut draw = SplitMix64::new(seed);
    for i in (1..count).rev() {
        order.swap(i, (draw.draw() % (i as u64 + 1)) as usize);
    }
    if count < 2 {
        return (order.clone(), order);
    }
    let rest = order.split_off((count / HELD_OUT).max(1));
    (rest, order)
}

/// The candidates for each edge's range.
struct Offer {
    pixels: Grid,
    offered: Vec<[Grid; 3]>,
}

impl Offer {
    fn grids(&self, program: &Program, choices: &[Choice]) -> Result<Vec<Grid>, QuantiseError> {
        spread(program, |edge| Ok(if edge == 0 { self.pixels } else { self.offered[edge][choices[edge].number()] }))
    }
}

/// Runs of networks in integers, on held-out pictures.
struct Trial<'a> {
    pictures: &'a Pictures<'a>,
    held_out: &'a [usize],
    float: &'a [Vec<f32>],
    means: &'a [Vec<Vec<f64>>],
    /// The pictures that biases are corrected with; none: they are not.
    used: &'a [usize],
    threads: usize,
}

impl Trial<'_> {
    /// How many runs on the first few pictures the budget allows.
    fn affordable(&self) -> usize {
        let macs: u64 = self.few().iter().map(|&i| self.pictures.get(i).0.macs()).sum();
        (TRIAL_MACS / macs.max(1)).min(1000) as usize
    }

    fn few(&self) -> &[usize] {
        &self.held_out[..self.held_out.len().min(TRIED_ON)]
    }

    fn difference(&self, network: &Network8, on: &[usize]) -> Result<f64, QuantiseError> {
        let rounded = network.all_ready(self.pictures.any())?;
        let both = (&rounded[..], &network.grids[..]);
        Ok(compare::difference(self.pictures, on, &self.float[..on.len()], both, self.threads)?.divergence())
    }

    /// The network with these ranges, its biases corrected, and its divergence.
    fn made(
        &self,
        parts: &[Part],
        offer: &Offer,
        choices: &[Choice],
        done: &(dyn Fn() + Sync),
    ) -> Result<(Network8, f64), QuantiseError> {
        let grids = offer.grids(self.pictures.any(), choices)?;
        let mut network = Network8 { parts: parts.to_vec(), grids };
        if !self.used.is_empty() {
            correct(self.pictures, self.used, &mut network, self.means, self.threads, done)?;
        }
        let divergence = self.difference(&network, self.held_out)?;
        Ok((network, divergence))
    }
}

/// The network with the ranges that are best for its output: first one choice for all edges, then edge by edge.
fn chosen<D: Fn() + Sync>(
    trial: &Trial<'_>,
    parts: &[Part],
    offer: &Offer,
    statistics: &Statistics,
    stage: &impl Fn(&'static str, usize) -> D,
) -> Result<(Network8, Vec<Choice>), QuantiseError> {
    let program = trial.pictures.any();
    let mut best: Option<(f64, Network8, Vec<Choice>)> = None;
    let mut keep = |choices: Vec<Choice>| {
        let (network, divergence) = trial.made(parts, offer, &choices, &stage("biases", program.ops.len()))?;
        if best.as_ref().is_none_or(|(least, ..)| divergence < *least) {
            best = Some((divergence, network, choices));
        }
        Ok::<_, QuantiseError>(best.clone())
    };
    let mut found = None;
    for choice in Choice::ALL {
        found = keep(vec![choice; program.edges.len()])?;
    }
    let Some((_, network, choices)) = found else {
        return Err(QuantiseError::Pictures("no pictures to compare on".into()));
    };
    let better = edge_by_edge(trial, &network, &choices, offer, statistics, stage)?;
    if better == choices {
        return Ok((network, choices));
    }
    let (_, network, choices) = keep(better)?.unwrap_or((0.0, network, choices));
    Ok((network, choices))
}

/// Other choices for single edges, where they make the output's divergence smaller.
fn edge_by_edge<D: Fn() + Sync>(
    trial: &Trial<'_>,
    network: &Network8,
    choices: &[Choice],
    offer: &Offer,
    statistics: &Statistics,
    stage: &impl Fn(&'static str, usize) -> D,
) -> Result<Vec<Choice>, QuantiseError> {
    let program = trial.pictures.any();
    let mut network = network.clone();
    let mut choices = choices.to_vec();
    let offered = &offer.offered;
    // Edges whose candidates differ, from the one that may lose most.
    let lost = |edge: usize| {
        let histogram = &statistics.histograms[edge];
        let power = histogram.bins().fold(0.0, |sum, (value, count)| sum + count * f64::from(value).powi(2));
        let errors = offered[edge].map(|grid| error(histogram, grid));
        (errors.iter().copied().fold(0.0, f64::max) / f64::max(power, 1e-30), edge)
    };
    let differ = |&edge: &usize| edge > 0 && offered[edge].iter().any(|grid| *grid != offered[edge][0]);
    let mut order: Vec<(f64, usize)> = program.own().filter(differ).map(lost).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut left = trial.affordable().min(2 * order.len());
    let done = stage("ranges", left);
    let mut least = trial.difference(&network, trial.few())?;
    for (_, edge) in order {
        let before = choices[edge];
        for choice in Choice::ALL.into_iter().filter(|&choice| choice != before) {
            let same = offered[edge][choice.number()] == offered[edge][choices[edge].number()];
            if left == 0 || same {
                continue;
            }
            left -= 1;
            let kept = std::mem::replace(&mut choices[edge], choice);
            network.grids = offer.grids(program, &choices)?;
            let divergence = trial.difference(&network, trial.few())?;
            done();
            if divergence < least * BETTER {
                least = divergence;
            } else {
                choices[edge] = kept;
            }
        }
    }
    Ok(choices)
}

/// The values that the input's pixels can have.
fn pixel_range(spec: &Spec) -> Grid {
    let value = |pixel: f32| (0..3).map(move |c| (pixel - spec.input.mean[c]) / spec.input.std[c]);
    let ends = || value(0.0).chain(value(255.0));
    let (low, high) = (ends().fold(0.0, f32::min), ends().fold(0.0, f32::max));
    let grid = Grid::new(low, high);
    let zero = -low / grid.scale;
    if (zero - zero.round()).abs() < 0.05 {
        return grid;
    }
    // Pixels would be half-way between two bytes, all of them if they are centred on 127.5: one step less moves them.
    let scale = (high - low) / 254.0;
    Grid { scale, zero: (-low / scale).round().clamp(0.0, 255.0) as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_not_half_way_between_bytes() {
        let mut spec = Spec::preset("fixture").expect("a preset");
        for (mean, std) in
            [([127.5; 3], [127.5; 3]), ([0.0; 3], [255.0; 3]), ([123.7, 116.3, 103.5], [58.4, 57.1, 57.4])]
        {
            (spec.input.mean, spec.input.std) = (mean, std);
            let grid = pixel_range(&spec);
            let (least, most) = grid.range();
            let mut squares = 0.0;
            for pixel in 0..=255u8 {
                for (mean, std) in mean.iter().zip(&std) {
                    let value = (f32::from(pixel) - mean) / std;
                    assert!(
                        value >= least - 0.51 * grid.scale && value <= most + 0.51 * grid.scale,
                        "{value} {grid:?}"
                    );
                    squares += ((grid.nearest(value) - value) / grid.scale).powi(2) / 768.0;
                }
            }
            assert!(squares.sqrt() < 0.31, "{} of a step for {mean:?}", squares.sqrt());
        }
    }

    #[test]
    fn some_pictures_are_held_out() {
        assert_eq!(split(1, 5), (vec![0], vec![0]));
        for count in [2, 7, 100] {
            let (used, held_out) = split(count, 5);
            assert_eq!(held_out.len(), (count / HELD_OUT).max(1));
            let mut all = [used.clone(), held_out].concat();
            all.sort_unstable();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
            assert_eq!(split(count, 5).0, used);
        }
        assert_ne!(split(100, 5), split(100, 6));
    }
}
