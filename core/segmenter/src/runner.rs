//! A network ready to run: the engine, and an arena for each concurrent call.

use crate::bounds;
use crate::camera::Seen;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::options::{DEFAULT_CONCURRENCY, InputShape, Options, SHAPES};
use crate::pool::Pool;
use crate::segmentation::Timings;
use silhouette_engine::engine::{Engine, Output, Session, Step};
use silhouette_imaging::frame::{Frame, Size};
use silhouette_imaging::input::{FrameRows, InputSpec, Placement, Resampler};
use silhouette_kernels::rows::RowSource;
use silhouette_plan::PlanOptions;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Minimum shorter side of an input with a frame's shape: a frame may be as thin as a line.
const LEAST_SIDE: usize = 33;

/// One network at one size, ready for the most recent frame shapes.
#[derive(Debug)]
pub(crate) struct Runner {
    model: Model,
    options: Options,
    size: usize,
    threads: usize,
    owner: &'static str,
    description: String,
    /// Least recently used first; `None` once closed.
    shapes: Mutex<Option<Vec<Arc<Shape>>>>,
    /// Held while a shape is prepared.
    making: Mutex<()>,
}

/// The engine for one shape of the network's input, with a pool of arenas.
#[derive(Debug)]
struct Shape {
    engine: Arc<dyn Engine>,
    input: InputSpec,
    pool: Pool<Arena>,
    /// Whether a frame has used it; the one from `new` is a guess.
    used: AtomicBool,
}

/// The state of one call.
#[derive(Debug)]
struct Arena {
    session: Box<dyn Session>,
    /// The session's first output: the logits.
    logits: Output,
    resampler: Resampler,
}

/// The size of the logits' map, and the placement of the image in the network's input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) size: Size,
    pub(crate) placement: Placement,
}

impl Runner {
    /// Compiles a model for the options; `owner` names it in errors. The first arena is created here, so that
    /// everything is ready for a frame (with [`InputShape::Frame`]: an upright one of 3:4).
    pub(crate) fn new(model: &Model, options: &Options, owner: &'static str) -> Result<Self> {
        let size = options.size.unwrap_or(model.size());
        let threads = options.threads.unwrap_or_else(default_threads);
        bounds::options(options, size, threads)?;
        let model = model.clone();
        let options = options.clone();
        let shapes = Mutex::default();
        let making = Mutex::default();
        let description = String::new();
        let mut runner = Self { model, options, size, threads, owner, description, shapes, making };
        let first = runner.compile(runner.fitted(Size { height: 4, width: 3 }))?;
        runner.description = first.engine.describe().to_string();
        let Size { height, width } = first.input.size;
        log::info!("'{}' at {width}x{height}: {}", runner.model.name(), runner.description);
        let mut shapes = Vec::with_capacity(SHAPES);
        shapes.push(Arc::new(first));
        runner.shapes = Mutex::new(Some(shapes));
        Ok(runner)
    }

    /// Runs the network on a frame, once an arena is free; `take` receives the logits `[h][w][classes]` while the arena
    /// is still held.
    pub(crate) fn run<R>(&self, frame: &Frame<'_>, take: impl FnOnce(&[f32], Grid) -> R) -> Result<(R, Timings)> {
        self.run_seen(frame, None, take)
    }

    /// The same; `seen` receives the brightness of the network's input, if it was made for the input's size.
    pub(crate) fn run_seen<R>(
        &self,
        frame: &Frame<'_>,
        seen: Option<&Seen>,
        take: impl FnOnce(&[f32], Grid) -> R,
    ) -> Result<(R, Timings)> {
        let shape = self.shape(self.input_size(frame))?;
        let mut guard = shape.pool.acquire(|| arena(&shape.engine, shape.input))?;
        let start = Instant::now();
        let Arena { session, logits, resampler } = &mut *guard;
        let rows = resampler.rows(frame)?;
        let prepared = start.elapsed();
        let seen = seen.map(|seen| (seen, shape.input));
        let rows = Timed { rows: &rows, nanoseconds: AtomicU64::new(0), seen };
        session.run(&rows)?;
        let total = start.elapsed();
        let pulled = Duration::from_nanos(rows.nanoseconds.into_inner() / self.threads as u64);
        let input = (prepared + pulled).min(total);
        let size = Size { height: logits.height, width: logits.width };
        let grid = Grid { size, placement: rows.rows.placement() };
        let taken = take(session.output(0), grid);
        Ok((taken, Timings { input, network: total.saturating_sub(input), mask: Duration::ZERO }))
    }

    /// Runs the network on a frame and reports the time of each of its steps.
    pub(crate) fn profile(&self, frame: &Frame<'_>) -> Result<Vec<Step>> {
        let shape = self.shape(self.input_size(frame))?;
        let mut guard = shape.pool.acquire(|| arena(&shape.engine, shape.input))?;
        let Arena { session, resampler, .. } = &mut *guard;
        session.run(&resampler.rows(frame)?)?;
        Ok(session.steps())
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// A short description of backend, kernels, threads and memory.
    pub(crate) fn description(&self) -> &str {
        &self.description
    }

    /// The longer side of the network's input.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The size of the network's input for a frame.
    pub(crate) fn input_size(&self, frame: &Frame<'_>) -> Size {
        self.fitted(frame.region().size())
    }

    /// Rejects further calls; frees arenas and weights with the last running call.
    pub(crate) fn close(&self) {
        let shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner).take();
        for shape in shapes.into_iter().flatten() {
            shape.pool.close();
        }
    }

    /// Maximum bytes of an arena, and of an output: for a size that the caller chose, a limit far above any supported
    /// model; for the size in a model file, what the file explains.
    fn memory_limit(&self) -> usize {
        const MOST: usize = 1 << 30;
        const UNEXPLAINED: usize = 1 << 26;
        let weights = self.model.file().weights().bytes();
        if self.options.size.is_some() { MOST } else { UNEXPLAINED.saturating_add(weights.saturating_mul(2)).min(MOST) }
    }

    /// The size of the network's input for an upright image.
    fn fitted(&self, Size { height, width }: Size) -> Size {
        let long = self.size;
        match self.options.input_shape.unwrap_or_default() {
            InputShape::Square => Size::square(long),
            // 16 n + 1: strides then lead to a map whose corners are the input's corners.
            InputShape::Frame => {
                let least = width.min(height);
                let most = width.max(height).max(1);
                let exact = (long as f64 * least as f64 / most as f64).round() as usize;
                let short = (exact.saturating_sub(1).div_ceil(16) * 16 + 1).max(LEAST_SIDE).min(long);
                if width < height { Size { height: long, width: short } } else { Size { height: short, width: long } }
            }
        }
    }

    /// The shape for an input of this size; if it does not exist, it is prepared and replaces the
    /// least recently used one, whose running and waiting calls end normally.
    ///
    /// A shape is prepared outside the lock: calls with existing shapes continue. One is prepared at a time; a call
    /// that needs another one meanwhile, or the same, waits.
    fn shape(&self, size: Size) -> Result<Arc<Shape>> {
        if let Some(shape) = self.known(size)? {
            return Ok(shape);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = self.known(size)? {
            return Ok(shape);
        }
        // Before the new one allocates memory too.
        self.with_shapes(|shapes| {
            shapes.retain(|shape| shape.used.load(Ordering::Relaxed));
            if shapes.len() == SHAPES {
                shapes.remove(0);
            }
        })?;
        let made = Arc::new(self.compile(size)?);
        made.used.store(true, Ordering::Relaxed);
        // Closed meanwhile: it is dropped again, and the call is rejected.
        self.with_shapes(|shapes| shapes.push(Arc::clone(&made)))?;
        Ok(made)
    }

    /// The existing shape for an input of this size; it becomes the most recently used one.
    fn known(&self, size: Size) -> Result<Option<Arc<Shape>>> {
        self.with_shapes(|shapes| {
            let at = shapes.iter().position(|shape| shape.input.size == size)?;
            shapes[at..].rotate_left(1);
            let last = &shapes[shapes.len() - 1];
            last.used.store(true, Ordering::Relaxed);
            Some(Arc::clone(last))
        })
    }

    fn with_shapes<R>(&self, with: impl FnOnce(&mut Vec<Arc<Shape>>) -> R) -> Result<R> {
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        shapes.as_mut().map(with).ok_or_else(|| Error::closed(self.owner))
    }

    fn compile(&self, size: Size) -> Result<Shape> {
        let weight_cache = self.options.weight_cache.clone();
        let memory_limit = self.memory_limit();
        let precisions = self.options.precision.choose(self.model.file(), self.options.backend)?;
        let threads = self.threads;
        let mut plan = PlanOptions { threads, weight_cache, memory_limit, ..PlanOptions::default() };
        let mut engine = Err(Error::internal("no precision"));
        for precision in precisions {
            plan.precision = precision;
            engine = self.options.backend.engine(self.model.file(), size, &plan);
            // With the precision `auto`, a model that integers or f16 cannot express runs in the next one.
            if !matches!(engine, Err(Error::Unsupported(_))) {
                break;
            }
        }
        let engine = engine?;
        for output in engine.outputs() {
            let bytes = output.values().saturating_mul(size_of::<f32>());
            if bytes > memory_limit {
                let reason = format!("the output '{}' of {bytes} bytes at {}x{}", output.name, size.width, size.height);
                return Err(Error::unsupported(reason, "use a smaller input size"));
            }
        }
        let spec = self.model.spec();
        let input = InputSpec { size, mean: spec.input.mean, std: spec.input.std, fit: spec.input.fit };
        let concurrency = self.options.concurrency.unwrap_or(DEFAULT_CONCURRENCY);
        let pool = Pool::new(arena(&engine, input)?, concurrency, self.owner);
        Ok(Shape { engine, input, pool, used: AtomicBool::new(false) })
    }
}

fn arena(engine: &Arc<dyn Engine>, input: InputSpec) -> Result<Arena> {
    let logits = engine.outputs().into_iter().next().ok_or_else(|| Error::internal("the engine has no output"))?;
    let session = Arc::clone(engine).new_session()?;
    Ok(Arena { session, logits, resampler: Resampler::new(input) })
}

/// The number of hardware threads, at most 4: more rarely help, and an app has other work.
fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(4)
}

/// Rows that measure the time to compute them.
struct Timed<'r, 'f> {
    rows: &'r FrameRows<'f>,
    nanoseconds: AtomicU64,
    seen: Option<(&'r Seen, InputSpec)>,
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
        if let Some((seen, spec)) = &self.seen {
            seen.take(y, out, spec);
        }
        let spent = start.elapsed().as_nanos() as u64;
        self.nanoseconds.fetch_add(spent, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_network::network::Network;
    use silhouette_network::spec::Spec;
    use silhouette_weights::{ModelFile, seeded};

    /// Of the fixture's network, with the frame's shape.
    fn of_frames() -> Runner {
        let spec = Spec::preset("fixture").unwrap();
        let weights = seeded(&Network::native(&spec).unwrap(), 7);
        let model = Model::from_file(ModelFile::new(spec, weights).unwrap()).unwrap();
        let options = Options::new().threads(1).input_shape(InputShape::Frame);
        Runner::new(&model, &options, "segmenter").unwrap()
    }

    #[test]
    fn the_last_shapes_are_kept_and_a_guess_that_no_frame_had_is_not() {
        let runner = of_frames();
        let kept = || {
            let shapes = runner.shapes.lock().unwrap();
            shapes.iter().flatten().map(|shape| shape.input.size).collect::<Vec<_>>()
        };
        let bytes = [0; 64 * 64 * 3];
        let seen = |width, height| {
            runner.run(&Frame::rgb(&bytes, width, height).unwrap(), |_, _| ()).unwrap();
            kept()
        };
        let wide = Size { height: 49, width: 65 };
        let tall = Size { height: 65, width: 49 };
        assert_eq!(kept(), [tall], "prepared for 3:4");
        assert_eq!(seen(64, 48), [wide]);
        assert_eq!(seen(64, 48), [wide]);
        assert_eq!(seen(48, 64), [wide, tall]);
        assert_eq!(seen(64, 48), [tall, wide]);
        assert_eq!(seen(30, 30), [wide, Size::square(65)]);
    }

    #[test]
    fn a_shape_that_is_made_keeps_no_other_waiting() {
        let runner = of_frames();
        let bytes = [0; 64 * 64 * 3];
        let see = |width, height| runner.run(&Frame::rgb(&bytes, width, height).unwrap(), |_, _| ());
        see(48, 64).unwrap();
        std::thread::scope(|scope| {
            // A thread is preparing a shape, and does not finish.
            let making = runner.making.lock().unwrap();
            see(48, 64).unwrap();
            let other = scope.spawn(|| see(64, 48));
            see(48, 64).unwrap();
            runner.close();
            drop(making);
            assert!(matches!(other.join().unwrap(), Err(Error::Closed(_))), "closed while it waited");
        });
    }

    #[test]
    fn closing_frees_the_engine_with_the_last_running_call() {
        let spec = Spec::preset("fixture").unwrap();
        let weights = seeded(&Network::native(&spec).unwrap(), 7);
        let model = Model::from_file(ModelFile::new(spec, weights).unwrap()).unwrap();
        let runner =
            Runner::new(&model, &Options::new().threads(1).input_shape(InputShape::Square), "segmenter").unwrap();
        let engine = Arc::downgrade(&runner.shapes.lock().unwrap().as_ref().unwrap()[0].engine);
        let bytes = [0; 12];
        let frame = Frame::rgb(&bytes, 2, 2).unwrap();
        let (while_running, _) = runner
            .run(&frame, |_, _| {
                runner.close();
                engine.upgrade().is_some()
            })
            .unwrap();
        assert!(while_running, "a running call keeps it");
        assert!(engine.upgrade().is_none(), "nothing else does");
        assert!(matches!(runner.run(&frame, |_, _| ()), Err(Error::Closed(_))));
        assert!(!runner.description().is_empty());
    }
}
