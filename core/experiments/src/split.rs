//! The t-way split (paper, section 5.1): an inverted residual block is a sum over t slices of its expanded channels, so
//! only one slice of the expanded tensor needs to exist at a time. Memory and time of a whole network against t,
//! compared with the paper's formula, and with the engine's default (rows for large maps, slices for small ones).

use serde::Serialize;
use silhouette_kernels::rows::RowSource;
use silhouette_network::network::{Network, Size};
use silhouette_plan::{Plan, PlanOptions, PlanState};
use silhouette_weights::{ModelError, ModelFile, Weights};
use std::time::Instant;

use crate::chart::{Axis, Figure, Panel, Series, Style};

/// The splits shown by default; 1 is the whole expanded tensor.
pub const WAYS: [usize; 8] = [1, 2, 3, 4, 6, 9, 16, 32];

/// One way to run the network.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// t; `None`: the engine's default.
    pub ways: Option<usize>,
    /// Bytes of memory that one inference holds: all activations, in f32.
    pub bytes: usize,
    /// Bytes by the formula; see [`formula`].
    pub formula: Option<u64>,
    /// Median time of the network, in milliseconds.
    pub ms: f64,
    /// Shortest and longest time, in milliseconds.
    pub spread: (f64, f64),
    /// The largest difference of a logit from the engine's default: 0 if the kernels add in the same order.
    pub difference: f32,
}

/// Bytes of the largest block by the paper's formula: input and output of the block whole, and one slice of the
/// expanded tensor, `s^2 k + s'^2 k' + s^2 n / t`, in f32. Covers the blocks after the first, as in
/// [`Plan::compile_split`], and at least the input and output of the first, which runs row by row.
pub fn formula(network: &Network, ways: usize) -> u64 {
    let blocks = network.blocks().enumerate().map(|(index, block)| {
        let read = block.depthwise.input.pixels();
        let written = block.project.output.pixels();
        let output = written * block.project.c_out as u64;
        if index == 0 {
            return 4 * output;
        }
        let slice = read * block.depthwise.c_in as u64 / ways as u64;
        4 * (read * block.c_in() as u64 + output + slice)
    });
    blocks.max().unwrap_or(0)
}

/// Bytes when running layer by layer, nothing fused: the largest input and output of one layer together (the paper's
/// equation 2), f32.
pub fn layer_by_layer(network: &Network) -> u64 {
    let values = |size: Size, channels: usize| size.pixels() * channels as u64;
    network.convs().map(|conv| 4 * (values(conv.input, conv.c_in) + values(conv.output, conv.c_out))).max().unwrap_or(0)
}

/// Runs the model for a square input of `size` on one thread, `runs` times each: in `ways` slices, and with the
/// engine's default (the last of the result). The variants alternate, so that a busy moment of the machine does not
/// affect only one of them.
///
/// # Errors
/// As [`Network::new`] and [`Plan::compile`].
pub fn measure(model: &ModelFile, size: usize, ways: &[usize], runs: usize) -> Result<Vec<Run>, ModelError> {
    let network = Network::new(model.spec(), Size::square(size))?;
    let rows = Made(size);
    let options = PlanOptions::default();
    let chosen = ways.iter().map(|&t| Some(t)).chain([None]);
    let mut tries =
        chosen.map(|ways| Try::new(&network, model.weights(), &options, ways)).collect::<Result<Vec<_>, _>>()?;
    for round in 0..=runs.max(1) {
        for one in &mut tries {
            let begun = Instant::now();
            one.state.run(&rows, &mut one.logits)?;
            // The first round warms up caches and pages.
            if round > 0 {
                one.times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let engine = tries.last().map(|one| one.logits.clone()).unwrap_or_default();
    Ok(tries.into_iter().map(|one| one.result(&network, &engine)).collect())
}

/// A plan being measured.
struct Try {
    ways: Option<usize>,
    state: PlanState,
    logits: Vec<f32>,
    times: Vec<f64>,
}

impl Try {
    fn new(
        network: &Network,
        weights: &Weights,
        options: &PlanOptions,
        ways: Option<usize>,
    ) -> Result<Self, ModelError> {
        let plan = match ways {
            Some(t) => Plan::compile_split(network, weights, options, t)?,
            None => Plan::compile(network, weights, options)?,
        };
        let (size, classes) = plan.logits();
        let logits = vec![0.0; size.height * size.width * classes];
        Ok(Self { ways, state: plan.new_state()?, logits, times: Vec::new() })
    }

    fn result(mut self, network: &Network, engine: &[f32]) -> Run {
        self.times.sort_by(f64::total_cmp);
        let difference = self.logits.iter().zip(engine).fold(0.0f32, |most, (a, b)| {
            let apart = (a - b).abs();
            // Not `max`, which would lose a NaN.
            if apart <= most { most } else { apart }
        });
        Run {
            ways: self.ways,
            bytes: self.state.bytes(),
            formula: self.ways.map(|t| formula(network, t)),
            ms: self.times[self.times.len() / 2],
            spread: (self.times[0], self.times[self.times.len() - 1]),
            difference,
        }
    }
}

/// A generated image, normalised, of this side.
struct Made(usize);

impl RowSource for Made {
    fn width(&self) -> usize {
        self.0
    }
    fn height(&self) -> usize {
        self.0
    }
    fn scratch_len(&self) -> usize {
        0
    }
    fn row(&self, y: usize, _: &mut [f32], out: &mut [f32]) {
        for (i, value) in out.iter_mut().enumerate() {
            *value = ((i * 37 + y * 101) % 255) as f32 / 127.5 - 1.0;
        }
    }
}

/// Memory and time against t.
pub fn figure(runs: &[Run], name: &str, size: usize) -> Figure {
    let split: Vec<_> = runs.iter().filter_map(|run| Some((run.ways? as f64, run))).collect();
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let of = |value: &dyn Fn(&Run) -> f64| split.iter().map(|(t, run)| (*t, value(run))).collect::<Vec<_>>();
    let across = |value: f64| match (split.first(), split.last()) {
        (Some(first), Some(last)) => vec![(first.0, value), (last.0, value)],
        _ => Vec::new(),
    };
    let mut memory = vec![
        Series::new("measured", Style::Line, 0, of(&|run| mib(run.bytes as f64))),
        Series::new("formula", Style::Dashed, 1, of(&|run| mib(run.formula.unwrap_or(0) as f64))),
    ];
    // The shortest time: other programs' load is not a property of the split.
    let mut time = vec![Series::new("measured", Style::Line, 0, of(&|run| run.spread.0))];
    if let Some(engine) = runs.iter().find(|run| run.ways.is_none()) {
        memory.push(Series::new("fused engine", Style::Dashed, 2, across(mib(engine.bytes as f64))));
        time.push(Series::new("fused engine", Style::Dashed, 2, across(engine.spread.0)));
    }
    let panel = |title: &str, label: &str, series| Panel {
        title: title.to_owned(),
        x: Axis::log("t, slices of the expanded tensor", split.iter().map(|(t, _)| *t)),
        y: Axis::linear(label),
        square: false,
        series,
    };
    Figure {
        title: format!("The t-way split: {name} at {size}x{size}, one thread"),
        columns: 2,
        panels: vec![
            panel("Memory of all activations (f32)", "MiB", memory),
            panel("Time of the network, shortest of all runs", "ms", time),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_network::spec::Spec;
    use silhouette_weights::seeded;

    #[test]
    fn the_formula_by_hand() {
        let network = Network::native(&Spec::preset("deeplabv3_mnv2").unwrap()).unwrap();
        // Block 1: 257x257x16 in, 129x129x24 out, 96 expanded channels.
        let fixed = 257 * 257 * 16 + 129 * 129 * 24;
        assert_eq!(formula(&network, 1), 4 * (fixed + 257 * 257 * 96));
        assert_eq!(formula(&network, 6), 4 * (fixed + 257 * 257 * 16));
        // Layer by layer: its depthwise convolution reads 96 whole maps and writes 96 of a quarter of the size.
        assert_eq!(layer_by_layer(&network), 4 * 96 * (257 * 257 + 129 * 129));
    }

    #[test]
    fn more_ways_take_less_memory_and_give_the_same_logits() {
        let spec = Spec::preset("fixture").unwrap();
        let model = ModelFile::new(spec.clone(), seeded(&Network::native(&spec).unwrap(), 3)).unwrap();
        let runs = measure(&model, 129, &[1, 2, 3], 2).unwrap();
        assert_eq!(runs.iter().map(|run| run.ways).collect::<Vec<_>>(), [Some(1), Some(2), Some(3), None]);
        assert!(runs[0].bytes > runs[1].bytes && runs[1].bytes > runs[2].bytes, "{runs:?}");
        assert!(runs[3].bytes < runs[2].bytes, "the engine needs less: {runs:?}");
        for run in &runs {
            assert!(run.difference < 1e-2 && run.ms >= run.spread.0 && run.ms <= run.spread.1, "{run:?}");
            assert!(run.formula.is_none_or(|formula| run.bytes as u64 >= formula), "{run:?}");
        }
        assert_eq!(figure(&runs, "fixture", 129).panels.len(), 2);
    }
}
