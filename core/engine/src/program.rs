//! A network compiled to steps over one arena, and how they run.
//!
//! | step | what it fuses | when to use it |
//! | --- | --- | --- |
//! | [chain](Builder::chain) | stem and inverted residual blocks, depth first: each output row pulls the input rows that it needs, every layer holds a ring of a few rows | early blocks: large maps, small weights |
//! | [sliced block](Builder::sliced) | one inverted residual block: a slice of expanded channels at a time over the whole map, the projection accumulating over slices (the paper's t-way split, section 5) | late blocks: small maps, large weights, so that each weight is read once an inference |
//! | [convolution](Builder::convolution) | bias, activation, concatenation of its inputs | heads |
//! | [depthwise](Builder::depthwise) | bias, activation | a depthwise convolution that no 1x1 follows |
//! | [average](Builder::average) | | image pooling, classifiers |
//! | [decoder](Builder::decoder) | resizes, skips' 1x1, concatenation, depthwise-separable 3x3, classifier; row by row | from coarse to fine maps
//! of a feature extractor |
//! | [resize](Builder::resize), [sum](Builder::sum), [concat](Builder::concat) | activation of a sum | joins of another shape; a concatenation only where no convolution can read its parts |
//!
//! A chain can be tapped: an intermediate map that later steps read as well (a decoder's skip) is also stored in full,
//! and the chain stays one step. The last steps write the outputs, channels-last; maps between steps are blocked
//! (`[row][channels / lanes][pixel][lane]`), so that kernels walk along memory whatever the number of channels.
//!
//! None of them ever holds the whole expanded tensor. Several threads share a step by output rows; a row is computed
//! the same way on any thread, so results are bit for bit the same for any number of threads.

mod build;
mod build_decoder;
mod build_joins;
mod chain;
mod context;
mod decoder;
mod depthwise;
mod describe;
mod head;
mod integers;
mod join;
mod packed_list;
mod precision;
mod row;
mod sliced;
mod stages;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::arena::{Arena, Span};
use crate::barrier::Barrier;
use silhouette_kernels::element::DataType;
use silhouette_kernels::isa::Isa;
use silhouette_kernels::memory::{self, OutOfMemory};
use silhouette_kernels::pack::Buffer;
use silhouette_kernels::rows::RowSource;
use silhouette_kernels::size::{MAX_OUTPUTS, Size};

pub use build::Builder;
pub use describe::{Block, BuildError, Clamp, DecoderStage, Filter, Map, Part, Stem, Window};
pub use integers::{IntegerBlock, IntegerBuilder, IntegerLayer, IntegerStem};
pub use packed_list::layout_probe;
pub use precision::Precision;

use context::{Context, Layout, Run};
pub use decoder::MAX_STAGES as MAX_DECODER_STAGES;
use packed_list::PackedList;

/// Why a run was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// The row source does not have the size that the program was compiled for.
    InputSize {
        /// What the program expects.
        expected: Size,
        /// What the row source provides.
        found: Size,
    },
    /// The number of output slices is not the number of outputs.
    Outputs {
        /// How many the program writes.
        expected: usize,
        /// How many were passed.
        found: usize,
    },
    /// An output slice has the wrong length (in f32).
    OutputLength {
        /// What the program writes.
        expected: usize,
        /// What was passed.
        found: usize,
    },
    /// The system has no memory for a row of the input.
    OutOfMemory(OutOfMemory),
}

impl From<OutOfMemory> for RunError {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InputSize { expected, found } => {
                write!(f, "input is {found}, the program expects {expected}")
            }
            Self::Outputs { expected, found } => {
                write!(f, "{found} outputs were passed, the program writes {expected}")
            }
            Self::OutputLength { expected, found } => {
                write!(f, "output holds {found} values, the program writes {expected}")
            }
            Self::OutOfMemory(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for RunError {}

struct Step {
    name: String,
    explain: String,
    macs: u64,
    work: Box<dyn Run>,
}

/// What a step is and why it is computed that way.
#[derive(Clone, Copy, Debug)]
pub struct StepInfo<'a> {
    /// Its layers.
    pub name: &'a str,
    /// How it is computed.
    pub explain: &'a str,
    /// Multiply-adds in one inference (one thread; rows computed twice at the border of two threads are not counted).
    pub macs: u64,
}

/// Size and channels of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows and columns.
    pub size: Size,
    /// Channels.
    pub channels: usize,
}

impl Shape {
    /// Number of values.
    pub fn values(self) -> usize {
        self.size.height * self.size.width * self.channels
    }
}

/// A compiled network. Shared by any number of threads and inferences; each inference at a time needs an [`Execution`].
pub struct Program {
    layout: Layout,
    /// What maps and weights hold.
    element: DataType,
    input: Size,
    outputs: Vec<Shape>,
    steps: Vec<Step>,
    arena_len: usize,
    packed: PackedList,
}

/// One inference at a time: a program and the arena that it runs over, used again for every frame.
#[derive(Debug)]
pub struct Execution {
    program: Arc<Program>,
    arena: Arena,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Program({}, {} steps, {} threads)", self.layout.isa.name(), self.steps.len(), self.layout.threads)
    }
}

/// What every thread of a run does with its own index.
pub type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// Raw parts of the arena that the threads share; each uses its own.
struct Shared<'a> {
    arena: Span,
    outputs: &'a [Span],
    scratch: *mut Vec<f32>,
    source: &'a dyn RowSource,
}

// SAFETY: rows and steps use spans such that no two threads access one element without a barrier between them;
// `scratch` is accessed by index, each index by one thread (see `claims`).
unsafe impl Sync for Shared<'_> {}

impl Program {
    /// Height and width of the input.
    pub fn input(&self) -> Size {
        self.input
    }

    /// The shape of each output.
    pub fn outputs(&self) -> &[Shape] {
        &self.outputs
    }

    /// Threads that share one run.
    pub fn threads(&self) -> usize {
        self.layout.threads
    }

    /// The instruction set that it uses.
    pub fn isa(&self) -> Isa {
        self.layout.isa
    }

    /// The element type of maps and weights.
    pub fn element(&self) -> DataType {
        self.element
    }

    /// Bytes of packed weights.
    pub fn weight_bytes(&self) -> usize {
        self.packed.bytes()
    }

    /// All packed weights in the order in which they were packed: the input of [`Builder::with_packed`], each aligned
    /// to [`ALIGN`](silhouette_kernels::pack::ALIGN) after the one before.
    pub fn packed(&self) -> Vec<&[u8]> {
        self.packed.parts()
    }

    /// A hash of how the weights were split into packed pieces, and in which order. Programs of the same network and
    /// instruction set with the same hash have the same [`packed`](Self::packed): packing depends on the input's size,
    /// threads and caches only through the slices that are chosen for them.
    pub fn packing(&self) -> u64 {
        self.packed.packing()
    }

    /// Bytes of the arena of one inference.
    pub fn arena_bytes(&self) -> usize {
        self.arena_len
    }

    /// What each step is.
    pub fn steps(&self) -> impl Iterator<Item = StepInfo<'_>> {
        self.steps.iter().map(|s| StepInfo { name: &s.name, explain: &s.explain, macs: s.macs })
    }

    /// Allocates what one inference at a time needs.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn execution(self: &Arc<Self>) -> Result<Execution, OutOfMemory> {
        Ok(Execution { program: Arc::clone(self), arena: self.arena()? })
    }

    fn arena(&self) -> Result<Arena, OutOfMemory> {
        Ok(Arena {
            buffer: Buffer::try_zeroed(self.arena_len, "the arena of an inference")?,
            rows: vec![Vec::new(); self.layout.threads],
            claims: (0..self.layout.threads).map(|_| AtomicBool::new(false)).collect(),
            times: self.steps.iter().map(|_| AtomicU64::new(0)).collect(),
        })
    }
}

impl Execution {
    /// Nanoseconds that each step of the last run took, in the order of the program's steps.
    pub fn step_nanoseconds(&self) -> impl Iterator<Item = u64> + '_ {
        self.arena.step_nanoseconds()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.arena.bytes()
    }

    /// Runs the network on the rows of `source` and writes `outputs`, one slice each, channels-last.
    ///
    /// `spread` calls its argument once for every index `0..threads()`, all concurrently (they wait for each other),
    /// and returns when all are done; for one thread, `&|work| work(0)`.
    ///
    /// # Errors
    /// If `source` or `outputs` do not fit the program.
    ///
    /// # Panics
    /// If `source` panics, or `spread` runs an index twice or one out of range.
    pub fn run(
        &mut self,
        source: &dyn RowSource,
        outputs: &mut [&mut [f32]],
        spread: &dyn Fn(&Work<'_>),
    ) -> Result<(), RunError> {
        let Self { program, arena } = self;
        let found = Size { height: source.height(), width: source.width() };
        if program.input != Size::square(0) && found != program.input {
            return Err(RunError::InputSize { expected: program.input, found });
        }
        if outputs.len() != program.outputs.len() {
            return Err(RunError::Outputs { expected: program.outputs.len(), found: outputs.len() });
        }
        for (shape, output) in program.outputs.iter().zip(&*outputs) {
            if output.len() != shape.values() {
                return Err(RunError::OutputLength { expected: shape.values(), found: output.len() });
            }
        }
        let mut spans = [Span::new::<f32>(&mut []); MAX_OUTPUTS];
        for (span, output) in spans.iter_mut().zip(outputs) {
            *span = Span::new(output);
        }
        for scratch in &mut arena.rows {
            let len = source.scratch_len_as(program.element);
            if scratch.len() < len {
                memory::resize(scratch, len, 0.0, "a row of the image")?;
            }
        }
        let barrier = Barrier::new(program.layout.threads);
        let claims = &arena.claims;
        let times = &arena.times;
        for claim in claims {
            claim.store(false, Ordering::Relaxed);
        }
        let shared = Shared {
            arena: Span::new(&mut arena.buffer[..]),
            outputs: &spans[..program.outputs.len()],
            scratch: arena.rows.as_mut_ptr(),
            source,
        };
        let shared = &shared;
        spread(&|index| {
            assert!(!claims[index].swap(true, Ordering::AcqRel), "thread {index} of an inference was started twice");
            let _member = barrier.member();
            let cx = Context {
                program: &program.layout,
                arena: shared.arena,
                outputs: shared.outputs,
                barrier: &barrier,
                index,
            };
            // SAFETY: `index` is below the number of scratch buffers (the length of `claims`), and was claimed by this thread.
            let scratch = unsafe { &mut *shared.scratch.add(index) };
            for (step, time) in program.steps.iter().zip(times) {
                let begun = (index == 0).then(std::time::Instant::now);
                step.work.run(&cx, shared.source, scratch);
                barrier.meet();
                if let Some(begun) = begun {
                    time.store(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
                }
            }
        });
        assert!(claims.iter().all(|c| c.load(Ordering::Acquire)), "not every thread of the inference was started");
        Ok(())
    }
}
