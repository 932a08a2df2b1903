//! The quantiser: from a float model and pictures to a model of 8-bit integers.

use std::sync::atomic::{AtomicUsize, Ordering};

use silhouette_network::spec::Spec;
use silhouette_weights::{ModelFile, SplitMix64};

use crate::compare::{self, Difference};
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
        equalise(program, &mut layers, &mut peaks)
    } else {
        crate::equalise::Equalised::default()
    };
    let ready = all_ready(program, &layers)?;

    // The values of its edges, and what its weights are multiplied with.
    let used = pictures_used(pictures, calibration.len());
    let done = stage("values", calibration.len());
    let statistics = Statistics::of(pictures, &calibration, &ready, (threads, options.seed, used), &done)?;

    let trial = Trial { pictures, held_out: &held_out, float: &float, ready: &ready, threads };
    let ranges = choose(spec, &statistics, &trial, options.ranges, &stage)?;

    // Weights to integers.
    let done = stage("weights", layers.len());
    let mut steps = vec![1.0; layers.len()];
    program.conv_ops().for_each(|(conv, op)| steps[conv] = ranges.grids[op.from[0]].scale);
    let taken = Steps { cut: options.cut, compensate: options.compensate };
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
    let mut network = Network8 { parts, grids: ranges.grids.clone() };
    if options.correct {
        let first = &calibration[..used];
        correct(pictures, first, &mut network, &statistics.means, threads, &stage("biases", program.ops.len()))?;
    }

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
            range: ranges.choices[edge],
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

/// Runs of the float network with rounded edges, on held-out pictures.
struct Trial<'a> {
    pictures: &'a Pictures<'a>,
    held_out: &'a [usize],
    float: &'a [Vec<f32>],
    ready: &'a [Ready],
    threads: usize,
}

impl Trial<'_> {
    /// How many runs the budget allows.
    fn affordable(&self) -> usize {
        let macs: u64 = self.chosen().iter().map(|&i| self.pictures.get(i).0.macs()).sum();
        (TRIAL_MACS / macs.max(1)).min(1000) as usize
    }

    fn chosen(&self) -> &[usize] {
        &self.held_out[..self.held_out.len().min(TRIED_ON)]
    }

    fn run(&self, grids: &[Grid]) -> Result<Difference, QuantiseError> {
        let chosen = self.chosen();
        compare::difference(self.pictures, chosen, &self.float[..chosen.len()], (self.ready, grids), self.threads)
    }
}

/// The range of each edge, and how it was chosen.
struct Ranges {
    grids: Vec<Grid>,
    choices: Vec<Choice>,
}

fn choose<D: Fn() + Sync>(
    spec: &Spec,
    statistics: &Statistics,
    trial: &Trial<'_>,
    fixed: Option<Choice>,
    stage: &impl Fn(&'static str, usize) -> D,
) -> Result<Ranges, QuantiseError> {
    let program = trial.pictures.any();
    let offered: Vec<[Grid; 3]> = threads::map(trial.threads, program.edges.len(), |edge| {
        Ok::<_, QuantiseError>(candidates(&statistics.histograms[edge]))
    })?;
    let pixels = pixel_range(spec);
    let grids = |choices: &[Choice]| {
        let grid = |edge: usize| Ok(if edge == 0 { pixels } else { offered[edge][choices[edge].number()] });
        spread::<QuantiseError>(program, grid)
    };
    let all = |choice: Choice| vec![choice; program.edges.len()];
    let finish = |mut choices: Vec<Choice>| {
        choices[0] = Choice::Pixels;
        Ok(Ranges { grids: grids(&choices)?, choices })
    };
    if let Some(choice) = fixed {
        return finish(all(choice));
    }
    // Edges whose candidates differ, from the one that loses most.
    let lost = |edge: usize| {
        let histogram = &statistics.histograms[edge];
        let power: f64 = histogram.bins().map(|(value, count)| count * f64::from(value).powi(2)).sum();
        let errors = offered[edge].map(|grid| error(histogram, grid));
        (errors.iter().copied().fold(0.0, f64::max) / power.max(1e-30), edge)
    };
    let mut order: Vec<(f64, usize)> = program
        .own()
        .filter(|&edge| edge > 0 && offered[edge].iter().any(|g| *g != offered[edge][0]))
        .map(lost)
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let runs = trial.affordable().max(Choice::ALL.len()).min(Choice::ALL.len() + 2 * order.len());
    let done = stage("ranges", runs);
    let mut best: Option<(f64, Vec<Choice>)> = None;
    for choice in Choice::ALL {
        let divergence = trial.run(&grids(&all(choice))?)?.divergence();
        done();
        if best.as_ref().is_none_or(|(least, _)| divergence < *least) {
            best = Some((divergence, all(choice)));
        }
    }
    let (mut least, mut choices) = best.unwrap_or_else(|| (f64::INFINITY, all(Choice::SquaredError)));
    let mut left = runs - Choice::ALL.len();
    for (_, edge) in order {
        let before = choices[edge];
        for choice in Choice::ALL.into_iter().filter(|&choice| choice != before) {
            let same = offered[edge][choice.number()] == offered[edge][choices[edge].number()];
            if left == 0 || same {
                continue;
            }
            left -= 1;
            let kept = std::mem::replace(&mut choices[edge], choice);
            let divergence = trial.run(&grids(&choices)?)?.divergence();
            done();
            if divergence < least * BETTER {
                least = divergence;
            } else {
                choices[edge] = kept;
            }
        }
    }
    finish(choices)
}

/// The values that the input's pixels can have.
fn pixel_range(spec: &Spec) -> Grid {
    let value = |pixel: f32| (0..3).map(move |c| (pixel - spec.input.mean[c]) / spec.input.std[c]);
    let ends = || value(0.0).chain(value(255.0));
    Grid::new(ends().fold(0.0, f32::min), ends().fold(0.0, f32::max))
}
