//! A network compiled to steps over one arena, and the way they run.
//!
//! | step | what it fuses | when it is the one to take |
//! | --- | --- | --- |
//! | [chain](Builder::chain) | stem and inverted residual blocks, depth first: each output row pulls the input rows that it needs, every layer holds a ring of a few rows | early blocks: large maps, small weights |
//! | [sliced block](Builder::sliced) | one inverted residual block: a slice of expanded channels at a time over the whole map, the projection accumulating over slices (the paper's t-way split, section 5) | late blocks: small maps, large weights, so that each weight is read once an inference |
//! | [convolution](Builder::convolution) | bias, activation, concatenation of its inputs | heads |
//! | [average](Builder::average) | | image pooling, classifiers |
//!
//! The last step writes the output, channels-last; maps between steps are blocked (`[row][channels / lanes][pixel][lane]`),
//! so that kernels walk along memory whatever the number of channels.
//!
//! In none of them does the expanded tensor exist whole. Several threads share a step by output rows; a row is computed
//! the same way whoever computes it, so that results are bit for bit the same for any number of threads.

mod build;
mod chain;
mod context;
mod describe;
mod head;
mod sliced;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::arena::{Arena, Span};
use crate::barrier::Barrier;
use silhouette_kernels::isa::Isa;
use silhouette_kernels::pack::{Buffer, Packed};
use silhouette_kernels::rows::RowSource;

pub use build::{Builder, Map};
pub use describe::{Block, Clamp, Filter, Stem, Window};

use chain::{Chain, Stage};
use context::Context;
use head::{Average, Convolution, Unblock};
use sliced::Sliced;

/// Why a network could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// The step, by the name that it was given.
    pub step: String,
    /// What is wrong.
    pub reason: String,
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "step {}: {}", self.step, self.reason)
    }
}

impl std::error::Error for BuildError {}

/// Why a run was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// The row source is not of the size that the program was compiled for (height, width).
    InputSize {
        /// What the program wants.
        wanted: (usize, usize),
        /// What the row source gives.
        found: (usize, usize),
    },
    /// The output slice has the wrong length (in f32).
    OutputLength {
        /// What the program writes.
        wanted: usize,
        /// What was given.
        found: usize,
    },
    /// The arena was made by another program.
    ForeignArena,
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InputSize { wanted, found } => {
                write!(f, "input is {}x{}, the program wants {}x{}", found.1, found.0, wanted.1, wanted.0)
            }
            Self::OutputLength { wanted, found } => {
                write!(f, "output holds {found} values, the program writes {wanted}")
            }
            Self::ForeignArena => f.write_str("the arena belongs to another program"),
        }
    }
}

impl std::error::Error for RunError {}

enum StepWork {
    Chain(Chain),
    Sliced(Box<Sliced>),
    Convolution(Convolution),
    Average(Average),
    Unblock(Unblock),
}

struct Step {
    name: String,
    explain: String,
    madds: u64,
    work: StepWork,
}

/// What a step is and why it is done that way.
#[derive(Clone, Copy, Debug)]
pub struct StepInfo<'a> {
    /// The layers in it.
    pub name: &'a str,
    /// How it is computed.
    pub explain: &'a str,
    /// Multiply-adds in one inference (one thread; rows computed twice at the border of two threads are not counted).
    pub madds: u64,
}

/// A compiled network. Shared by any number of threads and inferences; each inference needs an [`Arena`].
pub struct Program {
    isa: Isa,
    threads: usize,
    input: (usize, usize),
    output: (usize, usize, usize),
    steps: Vec<Step>,
    places: Vec<usize>,
    lens: Vec<usize>,
    arena_len: usize,
    zero: usize,
    weight_bytes: usize,
    id: u64,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Program({}, {} steps, {} threads)", self.isa.name(), self.steps.len(), self.threads)
    }
}

/// What every thread of a run does with its own index.
pub type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// Raw pieces of the arena that the threads share; each uses its own.
struct Shared<'a> {
    arena: Span,
    output: Span,
    scratch: *mut Vec<f32>,
    source: &'a dyn RowSource,
}

// SAFETY: spans are used by rows and steps such that no two threads touch one element without a meeting between them;
// `scratch` by index, each index by one thread (see `claims`).
unsafe impl Sync for Shared<'_> {}

impl Program {
    /// Height and width of the input.
    pub fn input(&self) -> (usize, usize) {
        self.input
    }

    /// Height, width and channels of the output.
    pub fn output(&self) -> (usize, usize, usize) {
        self.output
    }

    /// Threads that share one run.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The instruction set that it runs on.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Bytes of packed weights.
    pub fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }

    /// All packed weights in the order in which they were packed: what [`Builder::with_packed`] takes back, each at a place
    /// aligned to [`ALIGN`](silhouette_kernels::pack::ALIGN) after the one before.
    pub fn packed(&self) -> Vec<&[f32]> {
        let mut all = Vec::new();
        for step in &self.steps {
            match &step.work {
                StepWork::Chain(chain) => {
                    for stage in &chain.stages {
                        match stage {
                            Stage::Stem(stem) => all.extend(stem.weights.values()),
                            Stage::Block(block) => {
                                all.extend(block.expand.iter().flat_map(|(packed, ..)| packed.values()));
                                all.push(block.depthwise.values());
                                all.extend(block.project.values());
                            }
                        }
                    }
                }
                StepWork::Sliced(block) => {
                    for slice in &block.slices {
                        all.extend(slice.expand.iter().chain([&slice.project]).flat_map(Packed::values));
                    }
                    all.push(block.depthwise.values());
                }
                StepWork::Convolution(convolution) => {
                    all.extend(convolution.inputs.iter().flat_map(|input| &input.taps).flat_map(Packed::values));
                }
                StepWork::Average(_) | StepWork::Unblock(_) => {}
            }
        }
        all
    }

    /// Bytes of the arena of one inference.
    pub fn arena_bytes(&self) -> usize {
        self.arena_len * size_of::<f32>()
    }

    /// What each step is.
    pub fn steps(&self) -> impl Iterator<Item = StepInfo<'_>> {
        self.steps.iter().map(|s| StepInfo { name: &s.name, explain: &s.explain, madds: s.madds })
    }

    /// Memory for one inference at a time.
    pub fn arena(&self) -> Arena {
        Arena {
            buffer: Buffer::zeroed(self.arena_len),
            rows: vec![Vec::new(); self.threads],
            claims: (0..self.threads).map(|_| AtomicBool::new(false)).collect(),
            times: self.steps.iter().map(|_| AtomicU64::new(0)).collect(),
            program: self.id,
        }
    }

    /// Runs the network on the rows of `source` and writes `output` (channels-last).
    ///
    /// `spread` runs the work that it is given once for every index `0..threads()`, all at the same time (they wait for
    /// each other), and returns when all are done; for one thread, `&|work| work(0)`.
    ///
    /// # Errors
    /// If `source`, `output` or `arena` do not fit the program.
    ///
    /// # Panics
    /// If `source` panics, or `spread` runs an index twice or one that there is not.
    pub fn run(
        &self,
        arena: &mut Arena,
        source: &dyn RowSource,
        output: &mut [f32],
        spread: &dyn Fn(&Work<'_>),
    ) -> Result<(), RunError> {
        let (h, w, c) = self.output;
        if arena.program != self.id {
            return Err(RunError::ForeignArena);
        }
        if self.input != (0, 0) && (source.height(), source.width()) != self.input {
            return Err(RunError::InputSize { wanted: self.input, found: (source.height(), source.width()) });
        }
        if output.len() != h * w * c {
            return Err(RunError::OutputLength { wanted: h * w * c, found: output.len() });
        }
        for scratch in &mut arena.rows {
            if scratch.len() < source.scratch_len() {
                scratch.resize(source.scratch_len(), 0.0);
            }
        }
        let barrier = Barrier::new(self.threads);
        let (claims, times) = (&arena.claims, &arena.times);
        for claim in claims {
            claim.store(false, Ordering::Relaxed);
        }
        let shared = Shared {
            arena: Span::new(&mut arena.buffer),
            output: Span::new(output),
            scratch: arena.rows.as_mut_ptr(),
            source,
        };
        let shared = &shared;
        spread(&|index| {
            assert!(!claims[index].swap(true, Ordering::AcqRel), "thread {index} of an inference was started twice");
            let _member = barrier.member();
            let cx = Context { program: self, arena: shared.arena, output: shared.output, barrier: &barrier, index };
            // SAFETY: `index` is below the number of scratch buffers (as `claims`), and was claimed by this thread.
            let scratch = unsafe { &mut *shared.scratch.add(index) };
            for (step, time) in self.steps.iter().zip(times) {
                let begun = (index == 0).then(std::time::Instant::now);
                match &step.work {
                    StepWork::Chain(s) => s.run(&cx, shared.source, scratch),
                    StepWork::Sliced(s) => s.run(&cx),
                    StepWork::Convolution(s) => s.run(&cx),
                    StepWork::Average(s) => s.run(&cx),
                    StepWork::Unblock(s) => s.run(&cx),
                }
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
