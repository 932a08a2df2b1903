//! The compiled CPU plan: a [`Network`] and its folded weights become the steps of a
//! [`Program`], packed for the kernels of this CPU. It gives what the candle graph
//! gives, without the expanded tensors, in a fraction of the time and memory.
//!
//! Which blocks run depth-first and which in slices is decided here, once, from the shapes and the CPU's caches.

use std::borrow::Cow;
use std::path::PathBuf;

use silhouette_engine::arena::Arena;
use silhouette_engine::caches::Caches;
use silhouette_engine::program::{self, BuildError, Builder, Clamp, Filter, Map, Program, RunError, StepInfo, Window};
use silhouette_engine::thread_pool::ThreadPool;
use silhouette_kernels::isa::Isa;
use silhouette_kernels::rows::RowSource;

use crate::error::ModelError;
use crate::network::{Block, Conv, DeeplabLayers, HeadLayers, Network, Size};
use crate::spec::{Activation, Shortcut};
use crate::weight_cache::Place;
use crate::weights::{Folded, Weights};

/// How a plan is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// Threads that share one inference, 1 to [`MAX_THREADS`].
    pub threads: usize,
    /// The instruction set by its name (see [`Isa::all`]); `None`: the fastest that this CPU has.
    pub isa: Option<String>,
    /// Bytes that the arena of one inference may take; more is refused before anything is allocated.
    pub memory_limit: usize,
    /// A folder of this program's own in which packed weights are kept: a plan for the same model file, size, threads and CPU
    /// then maps them instead of packing again. `None`: nothing is kept. Models in memory are not kept.
    ///
    /// The files are of the size of the packed weights (f32, 4 bytes a parameter), at most four; the oldest go. What
    /// hinders keeping them is logged and hinders nothing else.
    pub weight_cache: Option<PathBuf>,
    /// The caches to choose slices and chains for; `None`: those of this machine.
    pub caches: Option<Caches>,
}

/// The most threads that a plan takes.
pub const MAX_THREADS: usize = 64;

impl Default for PlanOptions {
    fn default() -> Self {
        Self { threads: 1, isa: None, memory_limit: 1 << 30, weight_cache: None, caches: None }
    }
}

/// A network compiled for the CPU. Shared by threads; each inference at a time needs a [`PlanState`].
#[derive(Debug)]
pub struct Plan {
    program: Program,
    input: Size,
    logits: (Size, usize),
}

/// What one inference at a time needs: the arena, and the threads that share the work.
#[derive(Debug)]
pub struct PlanState {
    arena: Arena,
    pool: ThreadPool,
}

impl PlanState {
    /// Nanoseconds that each step of the last run took, in the order of [`Plan::steps`].
    pub fn step_nanoseconds(&self) -> impl Iterator<Item = u64> + '_ {
        self.arena.step_nanoseconds()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.arena.bytes()
    }
}

impl Plan {
    /// Compiles `network` with `weights`.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] with the step and the reason where the plan cannot express the network or its arena
    /// would pass the memory limit; whatever reading the weights gives.
    pub fn compile(network: &Network, weights: &Weights, options: &PlanOptions) -> Result<Self, ModelError> {
        Self::compile_as(network, weights, options, None)
    }

    /// All packed weights.
    #[cfg(test)]
    pub(crate) fn packed(&self) -> Vec<&[f32]> {
        self.program.packed()
    }

    /// The same network as the paper's section 5 describes it, for measuring: each inverted residual block after the first
    /// by itself, its expanded channels in `ways` slices over the whole map (1: all at once), the maps between blocks
    /// whole. The stem and the first block run as one, row by row ('the trick' for the first layer).
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn compile_split(
        network: &Network,
        weights: &Weights,
        options: &PlanOptions,
        ways: usize,
    ) -> Result<Self, ModelError> {
        Self::compile_as(network, weights, options, Some(ways))
    }

    fn compile_as(
        network: &Network,
        weights: &Weights,
        options: &PlanOptions,
        ways: Option<usize>,
    ) -> Result<Self, ModelError> {
        let isa = pick(options.isa.as_deref())?;
        let caches = options.caches.unwrap_or_else(Caches::detect);
        let threads = options.threads.clamp(1, MAX_THREADS);
        let place = match &options.weight_cache {
            Some(folder) if ways.is_none() => Place::new(folder, network, weights, isa, threads, caches),
            _ => None,
        };
        let builder = || Builder::new(isa, threads, caches);
        let compile = |builder, packed| {
            let mut compiler = Compiler { builder, weights, caches, ways, packed };
            let output = compiler.network(network)?;
            compiler.builder.finish(output, options.memory_limit).map_err(unsupported)
        };
        let (input, logits) = (network.input, network.logits());
        if let Some(shelf) = place.as_ref().and_then(Place::shelf) {
            match compile(builder().with_packed(shelf), true) {
                Ok(program) => {
                    weights.release_all();
                    return Ok(Self { program, input, logits });
                }
                // Where the file is to blame, packing helps; where it is not, the next error is the one to tell.
                Err(e) => log::warn!("packed weights that were kept are packed again: {e}"),
            }
        }
        let program = compile(builder(), false)?;
        // Small tensors were not let go one by one, and reading them fetched their large neighbours again.
        weights.release_all();
        if let Some(Err(e)) = place.map(|place| place.keep(&program)) {
            log::warn!("packed weights are not kept: {e}");
        }
        Ok(Self { program, input, logits })
    }

    /// Height and width of the input.
    pub fn input(&self) -> Size {
        self.input
    }

    /// Size and classes of the logits (H, W, C).
    pub fn logits(&self) -> (Size, usize) {
        self.logits
    }

    /// The instruction set that it runs on.
    pub fn isa(&self) -> Isa {
        self.program.isa()
    }

    /// Threads that share one inference.
    pub fn threads(&self) -> usize {
        self.program.threads()
    }

    /// Bytes of the arena of one inference.
    pub fn arena_bytes(&self) -> usize {
        self.program.arena_bytes()
    }

    /// Bytes of packed weights.
    pub fn weight_bytes(&self) -> usize {
        self.program.weight_bytes()
    }

    /// What each step is, and how it is computed.
    pub fn steps(&self) -> impl Iterator<Item = StepInfo<'_>> {
        self.program.steps()
    }

    /// Memory and threads for one inference at a time.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] if the system starts no more threads.
    pub fn new_state(&self) -> Result<PlanState, ModelError> {
        let pool = ThreadPool::new(self.program.threads()).map_err(|e| ModelError::Unsupported {
            what: format!("an inference on {} threads", self.program.threads()),
            why: format!("{e}; ask for fewer threads"),
        })?;
        Ok(PlanState { arena: self.program.arena(), pool })
    }

    /// Runs the network on `rows` and writes the logits, channels-last: `[height][width][classes]`.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] if `rows`, `logits` or `state` do not fit this plan.
    pub fn run(&self, state: &mut PlanState, rows: &dyn RowSource, logits: &mut [f32]) -> Result<(), ModelError> {
        let PlanState { arena, pool } = state;
        let pool = std::cell::RefCell::new(pool);
        self.program.run(arena, rows, logits, &|work| pool.borrow_mut().run(work)).map_err(mismatch)
    }
}

fn mismatch(e: RunError) -> ModelError {
    let (what, wanted, found) = match e {
        RunError::InputSize { wanted, found } => {
            ("input", format!("{}x{}", wanted.1, wanted.0), format!("{}x{}", found.1, found.0))
        }
        RunError::OutputLength { wanted, found } => ("logits", format!("{wanted} values"), format!("{found}")),
        RunError::ForeignArena => ("state", "its own".to_owned(), "that of another plan".to_owned()),
    };
    ModelError::Mismatch { what, wanted, found }
}

fn pick(name: Option<&str>) -> Result<Isa, ModelError> {
    let Some(name) = name else { return Ok(Isa::best()) };
    let all = Isa::all();
    all.iter().find(|isa| isa.name() == name).copied().ok_or_else(|| ModelError::Unsupported {
        what: format!("the instruction set {name:?}"),
        why: format!("this CPU has {}", all.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ")),
    })
}

fn unsupported(e: BuildError) -> ModelError {
    ModelError::Unsupported { what: format!("{} in the CPU plan", e.step), why: e.reason }
}

fn clamp(activation: Activation) -> Clamp {
    match activation {
        Activation::Linear => None,
        Activation::Relu => Some((0.0, f32::INFINITY)),
        Activation::Relu6 => Some((0.0, 6.0)),
    }
}

fn filter<'a>(conv: &Conv, folded: &'a Folded<'_>) -> Filter<'a> {
    Filter { weight: &folded.weight, bias: &folded.bias, clamp: clamp(conv.activation) }
}

fn window(conv: &Conv) -> Window {
    Window {
        input: (conv.input.height, conv.input.width),
        output: (conv.output.height, conv.output.width),
        stride: conv.stride,
        rate: conv.rate,
        pad: (conv.pad.height, conv.pad.width),
    }
}

/// A block's folded weights.
struct FoldedBlock<'w> {
    expand: Option<Folded<'w>>,
    depthwise: Folded<'w>,
    project: Folded<'w>,
}

impl FoldedBlock<'_> {
    fn describe<'a>(&'a self, block: &'a Block, name: &'a str) -> program::Block<'a> {
        program::Block {
            name,
            c_in: block.c_in(),
            window: window(&block.depthwise),
            expand: block.expand.as_ref().zip(self.expand.as_ref()).map(|(c, f)| filter(c, f)),
            depthwise: filter(&block.depthwise, &self.depthwise),
            project: filter(&block.project, &self.project),
            residual: block.shortcut == Shortcut::Bottleneck,
            expansion_shortcut: block.shortcut == Shortcut::Expansion,
        }
    }
}

struct Compiler<'w> {
    builder: Builder,
    weights: &'w Weights,
    caches: Caches,
    /// Slices of every block after the first, where they are not for the caches to decide.
    ways: Option<usize>,
    /// The builder has packed weights: those of the file are not looked at.
    packed: bool,
}

impl<'w> Compiler<'w> {
    /// All layers; the map of the logits.
    fn network(&mut self, network: &Network) -> Result<Map, ModelError> {
        let feature = self.extractor(network)?;
        match &network.head {
            HeadLayers::Classifier { linear } => {
                let mean = self.builder.average("average", feature).map_err(unsupported)?;
                self.conv(linear, &[mean])
            }
            HeadLayers::Deeplab(layers) => self.deeplab(layers, feature),
        }
    }

    fn fold(&self, conv: &Conv) -> Result<Folded<'w>, ModelError> {
        if self.packed {
            return Ok(Folded { weight: Cow::Borrowed(&[]), bias: vec![0.0; conv.c_out] });
        }
        self.weights.folded(conv)
    }

    /// Lets the file's pages go, once the packed copy is there: that is what runs.
    fn release<'c>(&self, convs: impl IntoIterator<Item = &'c Conv>) {
        for conv in convs.into_iter().filter(|_| !self.packed) {
            self.weights.release(conv);
        }
    }

    fn fold_block(&self, block: &Block) -> Result<FoldedBlock<'w>, ModelError> {
        Ok(FoldedBlock {
            expand: block.expand.as_ref().map(|c| self.fold(c)).transpose()?,
            depthwise: self.fold(&block.depthwise)?,
            project: self.fold(&block.project)?,
        })
    }

    /// Stem, blocks and the last 1x1 layer.
    fn extractor(&mut self, network: &Network) -> Result<Map, ModelError> {
        // The first chain goes on while the maps between blocks would not stay in the L2.
        let large = |b: &Block| {
            let conv = &b.depthwise;
            conv.input.height * conv.input.width * b.c_in() * size_of::<f32>() > self.caches.working_set()
        };
        let most = if self.ways.is_some() { 1 } else { 8 };
        let mut first = 0;
        while first < network.blocks.len().min(most) && (first == 0 || large(&network.blocks[first])) {
            first += 1;
        }
        let stem = self.fold(&network.stem)?;
        let folded = network.blocks[..first].iter().map(|b| self.fold_block(b)).collect::<Result<Vec<_>, _>>()?;
        let names: Vec<String> = network.blocks.iter().map(|b| format!("blocks.{}", b.index)).collect();
        let chain: Vec<_> =
            folded.iter().zip(&network.blocks).zip(&names).map(|((f, b), name)| f.describe(b, name)).collect();
        let stem = program::Stem {
            name: &network.stem.name,
            window: window(&network.stem),
            filter: filter(&network.stem, &stem),
        };
        let first = self.builder.chain_length(&stem, &chain);
        let mut map = self.builder.chain(None, Some(&stem), &chain[..first]).map_err(unsupported)?;
        drop(chain);
        drop(folded);
        self.release([&network.stem].into_iter().chain(network.blocks[..first].iter().flat_map(Block::convs)));
        for (block, name) in network.blocks.iter().zip(&names).skip(first) {
            let folded = self.fold_block(block)?;
            let described = folded.describe(block, name);
            map = match self.ways {
                Some(ways) => self.builder.split(map, &described, ways),
                None if self.builder.chains_well(&described) => self.builder.chain(Some(map), None, &[described]),
                None => self.builder.sliced(map, &described),
            }
            .map_err(unsupported)?;
            self.release(block.convs());
        }
        match &network.last {
            Some(last) => self.conv(last, &[map]),
            None => Ok(map),
        }
    }

    /// A 1x1 or full 3x3 convolution over the concatenation of `inputs`.
    fn conv(&mut self, conv: &Conv, inputs: &[Map]) -> Result<Map, ModelError> {
        let folded = self.fold(conv)?;
        let filter = filter(conv, &folded);
        let map = self.builder.convolution(&conv.name, inputs, conv.kernel, conv.rate, &filter, None);
        self.release([conv]);
        map.map_err(unsupported)
    }

    fn deeplab(&mut self, layers: &DeeplabLayers, feature: Map) -> Result<Map, ModelError> {
        let mut branches = vec![self.conv(&layers.branch, &[feature])?];
        for branch in &layers.aspp {
            branches.push(match &branch.depthwise {
                None => self.conv(&branch.conv, &[feature])?,
                Some(depthwise) => {
                    // A depthwise-separable branch is a block that does not expand.
                    let folded = FoldedBlock {
                        expand: None,
                        depthwise: self.fold(depthwise)?,
                        project: self.fold(&branch.conv)?,
                    };
                    let block = program::Block {
                        name: &branch.conv.name,
                        c_in: depthwise.c_in,
                        window: window(depthwise),
                        expand: None,
                        depthwise: filter(depthwise, &folded.depthwise),
                        project: filter(&branch.conv, &folded.project),
                        residual: false,
                        expansion_shortcut: false,
                    };
                    let map = self.builder.sliced(feature, &block).map_err(unsupported)?;
                    self.release([depthwise, &branch.conv]);
                    map
                }
            });
        }
        let map = match &layers.pool {
            None => self.conv(&layers.project, &branches)?,
            Some(pool) => self.project_with_pooling(layers, pool, feature, &branches)?,
        };
        let map = match &layers.refine {
            Some(refine) => self.conv(refine, &[map])?,
            None => map,
        };
        self.conv(&layers.classifier, &[map])
    }

    /// Image pooling gives the same vector for every pixel: its part of the projection is computed once and becomes the
    /// bias of the rest.
    fn project_with_pooling(
        &mut self,
        layers: &DeeplabLayers,
        pool: &Conv,
        feature: Map,
        branches: &[Map],
    ) -> Result<Map, ModelError> {
        let conv = &layers.project;
        let mean = self.builder.average("head.average", feature).map_err(unsupported)?;
        let pooled = self.conv(pool, &[mean])?;
        let folded = self.fold(conv)?;
        let (k, p) = (conv.c_in, pool.c_out);
        let at = if layers.pooling_last { k - p } else { 0 };
        let outputs = conv.c_out;
        let (mut constant, mut rest) = (Vec::with_capacity(outputs * p), Vec::with_capacity(outputs * (k - p)));
        for row in folded.weight.chunks_exact(k) {
            constant.extend_from_slice(&row[at..at + p]);
            rest.extend_from_slice(&row[..at]);
            rest.extend_from_slice(&row[at + p..]);
        }
        let constant = Filter { weight: &constant, bias: &folded.bias, clamp: None };
        let bias = self.builder.convolution("head.project.bias", &[pooled], 1, 1, &constant, None);
        let bias = bias.map_err(unsupported)?;
        let rest = Filter { weight: &rest, bias: &folded.bias, clamp: clamp(conv.activation) };
        let map = self.builder.convolution(&conv.name, branches, 1, 1, &rest, Some(bias)).map_err(unsupported);
        self.release([conv]);
        map
    }
}
