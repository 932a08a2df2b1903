//! A network ready to run: the engine, and an arena for each call at once.

use crate::error::{Error, Result};
use crate::model::Model;
use crate::options::{Backend, DEFAULT_CONCURRENCY, MAX_SIZE, Options, Precision};
use crate::pool::Pool;
use crate::segmentation::Timings;
use silhouette_imaging::frame::Frame;
use silhouette_imaging::input::{Fit, FrameRows, InputSpec, Placement, Resampler};
use silhouette_kernels::rows::RowSource;
use silhouette_model::engine::{self, Engine, State, Step};
use silhouette_model::network::Size;
use silhouette_model::plan::PlanOptions;
use silhouette_model::spec;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most threads of one call.
const MAX_THREADS: usize = 64;

/// The engine of one network at one size, with a pool of arenas.
#[derive(Debug)]
pub(crate) struct Runner {
    /// What further arenas are made of; none once closed. Each arena has it too, so that it goes with the last running
    /// call.
    engine: Mutex<Option<Arc<Engine>>>,
    description: String,
    input: InputSpec,
    grid: (usize, usize, usize),
    threads: usize,
    owner: &'static str,
    pool: Pool<Arena>,
}

/// What one call needs for itself.
#[derive(Debug)]
struct Arena {
    engine: Arc<Engine>,
    state: State,
    resampler: Resampler,
    logits: Vec<f32>,
}

/// Shape of the logits, and where the picture lies in the network's input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) classes: usize,
    pub(crate) placement: Placement,
}

impl Runner {
    /// Compiles a model for the options; `owner` names it in errors. The first arena is made here, so that a frame finds
    /// everything ready.
    pub(crate) fn new(model: &Model, options: &Options, owner: &'static str) -> Result<Self> {
        let Precision::F32 = options.precision;
        let size = options.size.unwrap_or(model.size());
        if !(1..=MAX_SIZE).contains(&size) {
            let advice = format!("1 to {MAX_SIZE} are possible; '{}' was made for {}", model.name(), model.size());
            return Err(Error::unsupported(format_args!("an input size of {size}"), &advice));
        }
        let threads = options.threads.unwrap_or_else(default_threads);
        if !(1..=MAX_THREADS).contains(&threads) {
            let advice = format!("1 to {MAX_THREADS} are possible");
            return Err(Error::unsupported(format_args!("{threads} threads"), &advice));
        }
        let concurrency = options.concurrency.unwrap_or(DEFAULT_CONCURRENCY);
        if concurrency == 0 {
            return Err(Error::unsupported("a concurrency of 0 calls", "at least 1 is needed"));
        }
        let engine = engine(model, options, size, threads)?;
        let spec = model.spec();
        let fit = match spec.input.fit {
            spec::Fit::Stretch => Fit::Stretch,
            spec::Fit::Letterbox { fill } => Fit::Letterbox { fill },
        };
        let input = InputSpec { width: size, height: size, mean: spec.input.mean, std: spec.input.std, fit };
        let (grid, description) = (engine.logits(), engine.describe());
        log::info!("'{}' at {size}x{size}: {description}", model.name());
        let engine = Arc::new(engine);
        let pool = Pool::new(arena(&engine, input)?, concurrency, owner);
        Ok(Self { engine: Mutex::new(Some(engine)), description, input, grid, threads, owner, pool })
    }

    /// Runs the network on a frame, once an arena is free; `take` gets the logits `[h][w][classes]` while the arena is
    /// still held.
    pub(crate) fn run<R>(&self, frame: &Frame<'_>, take: impl FnOnce(&[f32], Grid) -> R) -> Result<(R, Timings)> {
        let mut lent = self.pool.lend(|| self.arena())?;
        let start = Instant::now();
        let Arena { engine, state, resampler, logits } = &mut *lent;
        let rows = resampler.rows(frame);
        let prepared = start.elapsed();
        let rows = Timed { rows: &rows, nanoseconds: AtomicU64::new(0) };
        engine.run(state, &rows, logits)?;
        let total = start.elapsed();
        let pulled = Duration::from_nanos(rows.nanoseconds.into_inner() / self.threads as u64);
        let input = (prepared + pulled).min(total);
        let (height, width, classes) = self.grid;
        let grid = Grid { height, width, classes, placement: rows.rows.placement() };
        let taken = take(logits, grid);
        Ok((taken, Timings { input, network: total.saturating_sub(input), mask: Duration::ZERO }))
    }

    /// Runs the network on a frame and tells the time of each of its steps.
    pub(crate) fn profile(&self, frame: &Frame<'_>) -> Result<Vec<Step>> {
        let mut lent = self.pool.lend(|| self.arena())?;
        let Arena { engine, state, resampler, logits } = &mut *lent;
        engine.run(state, &resampler.rows(frame), logits)?;
        Ok(engine.steps(state))
    }

    /// Backend, kernels, threads and memory in a few words.
    pub(crate) fn describe(&self) -> String {
        self.description.clone()
    }

    /// Side of the network's input.
    pub(crate) fn size(&self) -> usize {
        self.input.width
    }

    /// Refuses calls from now on; frees arenas and weights, with the last running call.
    pub(crate) fn close(&self) {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.pool.close();
    }

    fn arena(&self) -> Result<Arena> {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner).clone();
        arena(&engine.ok_or_else(|| Error::closed(self.owner))?, self.input)
    }
}

fn arena(engine: &Arc<Engine>, input: InputSpec) -> Result<Arena> {
    let (height, width, classes) = engine.logits();
    let logits = vec![0.0; height * width * classes];
    Ok(Arena { engine: Arc::clone(engine), state: engine.new_state()?, resampler: Resampler::new(input), logits })
}

/// As many as the machine runs at once, at most 4: more rarely pays, and an app has other work.
fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(4)
}

/// Rows that count the time it takes to make them.
struct Timed<'r, 'f> {
    rows: &'r FrameRows<'f>,
    nanoseconds: AtomicU64,
}

impl RowSource for Timed<'_, '_> {
    fn width(&self) -> usize {
        self.rows.width()
    }

    fn height(&self) -> usize {
        self.rows.height()
    }

    fn scratch_len(&self) -> usize {
        self.rows.scratch_len()
    }

    fn row(&self, y: usize, scratch: &mut [f32], out: &mut [f32]) {
        let start = Instant::now();
        self.rows.row(y, scratch, out);
        let spent = start.elapsed().as_nanos() as u64;
        self.nanoseconds.fetch_add(spent, Ordering::Relaxed);
    }
}

/// Compiles the model for the backend.
fn engine(model: &Model, options: &Options, size: usize, threads: usize) -> Result<Engine> {
    let backend = match options.backend {
        Backend::Auto => engine::Backend::Auto,
        Backend::Cpu => engine::Backend::Cpu,
        Backend::Metal => engine::Backend::Metal,
    };
    let weight_cache = options.weight_cache.clone();
    let options = PlanOptions { threads, weight_cache, ..PlanOptions::default() };
    Ok(Engine::on(backend, model.file(), Size::square(size), &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_model::ModelFile;
    use silhouette_model::network::Network;
    use silhouette_model::spec::Spec;
    use silhouette_model::weights::seeded;

    #[test]
    fn closing_frees_the_engine_with_the_last_running_call() {
        let spec = Spec::preset("fixture").unwrap();
        let weights = seeded(&Network::native(&spec).unwrap(), 7);
        let model = Model::from_file(ModelFile::new(spec, weights).unwrap()).unwrap();
        let runner = Runner::new(&model, &Options::new().threads(1), "segmenter").unwrap();
        let engine = Arc::downgrade(runner.engine.lock().unwrap().as_ref().unwrap());
        let bytes = [0; 12];
        let frame = Frame::rgb8(&bytes, 2, 2).unwrap();
        let (while_running, _) = runner
            .run(&frame, |_, _| {
                runner.close();
                engine.upgrade().is_some()
            })
            .unwrap();
        assert!(while_running, "a running call keeps it");
        assert!(engine.upgrade().is_none(), "nobody else does");
        assert!(matches!(runner.run(&frame, |_, _| ()), Err(Error::Closed(_))));
        assert!(!runner.describe().is_empty());
    }
}
