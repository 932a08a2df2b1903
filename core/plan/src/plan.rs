//! The compiled CPU plan: a [`Network`] and its folded weights become the steps of a [`Program`], packed for the
//! kernels of this CPU. It computes the same result as the candle graph, without the expanded tensors, in a fraction of
//! the time and memory.
//!
//! Whether a block runs depth-first or in slices is decided here, once, from the shapes and the CPU's caches.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use silhouette_engine::caches::Caches;
use silhouette_engine::program::{
    self, Builder, Execution, Filter, Map, Precision, Program, RunError, Shape, StepInfo,
};
use silhouette_engine::thread_pool::ThreadPool;
use silhouette_kernels::element::{DataType, f16};
use silhouette_kernels::isa::Isa;
use silhouette_kernels::memory::{filled, reserve};
use silhouette_kernels::rows::RowSource;
use silhouette_network::ModelError;
use silhouette_network::network::{Block, Conv, Network, NodeId, Operation, Output, Size};
use silhouette_network::spec::Shortcut;
use silhouette_weights::{Folded, Spare, Weights};

use crate::decoders::{Decoder, Part, decoders};
use crate::describe::{clamp, unsupported, window};
use crate::integers;
use crate::weight_cache::WeightCache;

/// How a plan is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// Threads that share one inference, 1 to [`MAX_THREADS`].
    pub threads: usize,
    /// The instruction set by name (see [`Isa::all`]); `None`: the fastest of this CPU.
    pub isa: Option<String>,
    /// What maps and packed weights hold, and what the kernels compute in: [`DataType::F32`], [`DataType::F16`], or [`DataType::I8`]
    /// for quantised models (whose weights are then not cached: packing copies them).
    pub precision: DataType,
    /// Limit for the arena of one inference, in bytes; exceeding it is an error before anything is allocated.
    pub memory_limit: usize,
    /// A folder private to this program in which packed weights are cached: a later plan for the same model file and
    /// CPU maps them instead of packing again. Input sizes and threads share a file as long as they are sliced alike.
    /// `None`: no cache. Models that do not come from a file are not cached.
    ///
    /// Files have the size of the packed weights (4 bytes per parameter, 2 in f16); there are at most four, and the least
    /// recently used are removed. At most 64 MiB are written per day, or one larger file. A file is used only if its
    /// checksum is right, it belongs to this process's user and no other user may write to it, or to the folder. It
    /// must not be truncated or written to while it is mapped; a caller who cannot guarantee that must not use a cache.
    /// Cache failures are logged and have no other effect.
    pub weight_cache: Option<PathBuf>,
    /// The caches to choose slices and chains for; `None`: this machine's.
    pub caches: Option<Caches>,
}

/// Maximum number of threads of a plan.
pub const MAX_THREADS: usize = 64;

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            isa: None,
            precision: DataType::F32,
            memory_limit: 1 << 30,
            weight_cache: None,
            caches: None,
        }
    }
}

/// A network compiled for the CPU. Shared by threads; each concurrent inference needs its own [`PlanState`].
#[derive(Debug)]
pub struct Plan {
    program: Arc<Program>,
    input: Size,
    outputs: Vec<Output>,
}

/// The state of one inference at a time: the plan's program, its arena, and the threads that share the work.
#[derive(Debug)]
pub struct PlanState {
    execution: Execution,
    pool: ThreadPool,
}

impl PlanState {
    /// Nanoseconds that each step of the last run took, in the order of [`Plan::steps`].
    pub fn step_nanoseconds(&self) -> impl Iterator<Item = u64> + '_ {
        self.execution.step_nanoseconds()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.execution.bytes()
    }

    /// Runs a network of one output on `rows` and writes the logits, channels-last: `[height][width][classes]`.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] if `rows` or `logits` do not fit the plan, or it has more outputs;
    /// [`ModelError::OutOfMemory`].
    pub fn run(&mut self, rows: &dyn RowSource, logits: &mut [f32]) -> Result<(), ModelError> {
        self.run_all(rows, &mut [logits])
    }

    /// The same for any number of outputs, a slice for each in the order of [`Plan::outputs`].
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_all(&mut self, rows: &dyn RowSource, outputs: &mut [&mut [f32]]) -> Result<(), ModelError> {
        let Self { execution, pool } = self;
        let pool = std::cell::RefCell::new(pool);
        execution.run(rows, outputs, &|work| pool.borrow_mut().run(work)).map_err(not_run)
    }
}

impl Plan {
    /// Compiles `network` with `weights`.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] with the step and the reason if the plan cannot express the network or its arena
    /// would exceed the memory limit; any error of reading the weights.
    pub fn compile(network: &Network, weights: &Weights, options: &PlanOptions) -> Result<Self, ModelError> {
        Self::compile_in(network, weights, options, None)
    }

    /// The same network as in the paper's section 5, for measurements: each inverted residual block after the first is
    /// a step, its expanded channels in `ways` slices over the whole map (1: all at once), the maps between blocks
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
        Self::compile_in(network, weights, options, Some(ways))
    }

    fn compile_in(
        network: &Network,
        weights: &Weights,
        options: &PlanOptions,
        ways: Option<usize>,
    ) -> Result<Self, ModelError> {
        match options.precision {
            DataType::F32 => Self::compile_as::<f32>(network, weights, options, ways),
            DataType::F16 => Self::compile_as::<f16>(network, weights, options, ways),
            DataType::I8 if ways.is_none() => {
                let caches = options.caches.unwrap_or_else(Caches::detect);
                let cpu = (pick(options.isa.as_deref())?, options.threads.clamp(1, MAX_THREADS), caches);
                let program = integers::compile(network, weights, cpu, options.memory_limit)?;
                Ok(Self { program, input: network.input, outputs: network.outputs().to_vec() })
            }
            other => Err(ModelError::Unsupported {
                what: format!("a plan in {other}"),
                why: "it computes in f32, f16 or int8".into(),
            }),
        }
    }

    fn compile_as<E: Precision>(
        network: &Network,
        weights: &Weights,
        options: &PlanOptions,
        ways: Option<usize>,
    ) -> Result<Self, ModelError> {
        let isa = pick(options.isa.as_deref())?;
        let caches = options.caches.unwrap_or_else(Caches::detect);
        let threads = options.threads.clamp(1, MAX_THREADS);
        let cache = match &options.weight_cache {
            Some(folder) if ways.is_none() => WeightCache::new::<E>(folder, network, weights, isa),
            _ => None,
        };
        let builder = || Builder::<E>::new(isa, threads, caches);
        let compile = |builder, packed| {
            let mut compiler = Compiler { ways, packed, ..Compiler::new(builder, network, weights, caches) };
            let outputs = compiler.outputs()?;
            compiler.builder.finish(&outputs, options.memory_limit).map_err(unsupported)
        };
        let input = network.input;
        let outputs = network.outputs().to_vec();
        for entry in cache.iter().flat_map(WeightCache::entries) {
            let Some(reader) = entry.reader() else { continue };
            // Weights cached for other slices do not match; if there is another error, packing below reports it.
            let Ok(program) = compile(builder().with_packed(reader), true) else { continue };
            if program.packing() == entry.packing() && entry.is_whole() {
                entry.used();
                weights.release_all();
                return Ok(Self { program, input, outputs });
            }
        }
        let program = compile(builder(), false)?;
        // Small tensors were not released individually, and reading them also loaded neighbouring pages again.
        weights.release_all();
        if let Some(Err(e)) = cache.map(|cache| cache.store(&program)) {
            log::warn!("packed weights are not cached: {e}");
        }
        Ok(Self { program, input, outputs })
    }

    /// Height and width of the input.
    pub fn input(&self) -> Size {
        self.input
    }

    /// Size and classes of the first output, the logits (H, W, C).
    pub fn logits(&self) -> (Size, usize) {
        let shape = self.program.outputs()[0];
        (shape.size, shape.channels)
    }

    /// The outputs, each with its shape, in the network's order.
    pub fn outputs(&self) -> impl Iterator<Item = (&Output, Shape)> {
        self.outputs.iter().zip(self.program.outputs().iter().copied())
    }

    /// The instruction set that it uses.
    pub fn isa(&self) -> Isa {
        self.program.isa()
    }

    /// What maps and packed weights hold.
    pub fn precision(&self) -> DataType {
        self.program.element()
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

    /// Description of each step and how it is computed.
    pub fn steps(&self) -> impl Iterator<Item = StepInfo<'_>> {
        self.program.steps()
    }

    /// Allocates memory and threads for one inference at a time.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] if the system refuses another thread; [`ModelError::OutOfMemory`].
    pub fn new_state(&self) -> Result<PlanState, ModelError> {
        let pool = ThreadPool::new(self.program.threads()).map_err(|e| ModelError::Unsupported {
            what: format!("an inference on {} threads", self.program.threads()),
            why: format!("{e}; use fewer threads"),
        })?;
        Ok(PlanState { execution: self.program.execution()?, pool })
    }
}

fn not_run(e: RunError) -> ModelError {
    let (what, expected, found) = match e {
        RunError::InputSize { expected, found } => ("input", expected.to_string(), found.to_string()),
        RunError::Outputs { expected, found } => ("outputs", format!("{expected} slices"), format!("{found}")),
        RunError::OutputLength { expected, found } => ("logits", format!("{expected} values"), format!("{found}")),
        RunError::OutOfMemory(error) => return error.into(),
    };
    ModelError::Mismatch { what, expected, found }
}

fn pick(name: Option<&str>) -> Result<Isa, ModelError> {
    let Some(name) = name else { return Ok(Isa::best()) };
    let all = Isa::all();
    all.iter().find(|isa| isa.name() == name).copied().ok_or_else(|| ModelError::Unsupported {
        what: format!("the instruction set {name:?}"),
        why: format!("this CPU has {}", all.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ")),
    })
}

fn filter<'a>(conv: &Conv, folded: &'a Folded<'_>) -> Filter<'a> {
    Filter { weight: &folded.weight, bias: &folded.bias, clamp: clamp(conv.activation) }
}

/// A block's folded weights.
struct FoldedBlock<'w> {
    expand: Option<Folded<'w>>,
    depthwise: Folded<'w>,
    project: Folded<'w>,
}

impl<'w> FoldedBlock<'w> {
    fn all(self) -> impl Iterator<Item = Folded<'w>> {
        self.expand.into_iter().chain([self.depthwise, self.project])
    }

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
            pads_input: block.pads_input,
        }
    }
}

/// The compiler's result for a node.
#[derive(Clone, Debug)]
enum Value {
    /// None yet: it is compiled later, is deferred ([`Compiler::waits`]), or is fused with its reader
    /// ([`Compiler::is_fused`]).
    None,
    /// A map inside a chain, which nothing else reads.
    Inside,
    Map(Map),
    /// A concatenation that convolutions read directly: these nodes.
    Parts(Vec<usize>),
}

struct Compiler<'n, 'w, E: Precision> {
    builder: Builder<E>,
    network: &'n Network,
    weights: &'w Weights,
    caches: Caches,
    /// Number of slices of every block after the first, unless the caches decide.
    ways: Option<usize>,
    /// The builder has prepacked weights and does not read the file's.
    packed: bool,
    readers: Vec<usize>,
    decoders: Vec<Decoder>,
    values: Vec<Value>,
    spare: Spare,
}

impl<'n, 'w, E: Precision> Compiler<'n, 'w, E> {
    fn new(builder: Builder<E>, network: &'n Network, weights: &'w Weights, caches: Caches) -> Self {
        let readers = network.readers();
        let values = vec![Value::None; network.nodes().len()];
        let decoders = decoders(network, program::MAX_DECODER_STAGES);
        let ways = None;
        let packed = false;
        let spare = Spare::default();
        Self { builder, network, weights, caches, ways, packed, readers, decoders, values, spare }
    }

    /// All nodes; the maps of the outputs.
    fn outputs(&mut self) -> Result<Vec<Map>, ModelError> {
        for id in 0..self.network.nodes().len() {
            let known = !matches!(self.values[id], Value::None);
            if !known && !self.waits(id) && !self.is_fused(id) && !self.is_decoded(id) {
                self.node(id)?;
            }
        }
        self.network.outputs().iter().map(|output| self.map(output.node.index())).collect()
    }

    fn inputs(&self, id: usize) -> impl Iterator<Item = usize> + 'n {
        self.network.nodes()[id].inputs.iter().map(|input| input.index())
    }

    /// The only input of most nodes.
    fn input(&self, id: usize) -> usize {
        self.inputs(id).next().unwrap_or(0)
    }

    fn operation(&self, id: usize) -> &'n Operation {
        &self.network.nodes()[id].operation
    }

    /// Image pooling is deferred until its reader: an average, a 1x1 convolution of one, and either of them broadcast
    /// over a map. A projection that reads it needs it only as a bias, just before its own step, and never broadcast.
    fn waits(&self, id: usize) -> bool {
        match self.operation(id) {
            Operation::Average => true,
            Operation::Convolution(conv) => {
                !conv.depthwise && matches!(self.operation(self.input(id)), Operation::Average)
            }
            Operation::Resize(_) => self.is_vector(self.input(id)),
            _ => false,
        }
    }

    /// An average, or a convolution of one.
    fn is_vector(&self, id: usize) -> bool {
        matches!(self.operation(id), Operation::Average | Operation::Convolution(_)) && self.waits(id)
    }

    /// A depthwise convolution that only a 1x1 convolution reads: together they are a block that does not expand.
    fn is_fused(&self, id: usize) -> bool {
        let Operation::Convolution(conv) = self.operation(id) else { return false };
        let fits = |reader: usize| match self.operation(reader) {
            Operation::Convolution(next) => self.input(reader) == id && next.kernel == 1 && next.stride == 1,
            _ => false,
        };
        conv.depthwise && self.readers[id] == 1 && (id + 1..self.values.len()).any(fits)
    }

    /// A node inside a decoder other than its last, which represents all of them.
    fn is_decoded(&self, id: usize) -> bool {
        self.decoders.iter().any(|decoder| decoder.has(id) && decoder.last() != id)
    }

    /// The map of a node, compiling deferred nodes if necessary.
    fn map(&mut self, id: usize) -> Result<Map, ModelError> {
        match self.values[id].clone() {
            Value::Map(map) => return Ok(map),
            Value::Parts(parts) => {
                let parts = parts.into_iter().map(|part| self.map(part)).collect::<Result<Vec<_>, _>>()?;
                let map = match parts[..] {
                    [only] => only,
                    _ => self.builder.concat(&self.network.nodes()[id].name, &parts).map_err(unsupported)?,
                };
                self.values[id] = Value::Map(map);
            }
            Value::None => self.node(id)?,
            Value::Inside => {}
        }
        match self.values[id] {
            Value::Map(map) => Ok(map),
            _ => Err(ModelError::Unsupported {
                what: format!("{} in the CPU plan", self.network.nodes()[id].name),
                why: "only a 3x3 convolution can read the image".into(),
            }),
        }
    }

    /// The maps of a node's inputs.
    fn maps(&mut self, id: usize) -> Result<Vec<Map>, ModelError> {
        self.inputs(id).map(|input| self.map(input)).collect()
    }

    /// Compiles a node.
    fn node(&mut self, id: usize) -> Result<(), ModelError> {
        let node = &self.network.nodes()[id];
        if let Some(at) = self.decoders.iter().position(|decoder| decoder.last() == id) {
            let decoder = self.decoders[at].clone();
            self.values[id] = Value::Map(self.decoder(&decoder)?);
            return Ok(());
        }
        let map = match &node.operation {
            Operation::Input => return Ok(()),
            Operation::Concat => {
                let mut parts = Vec::new();
                for input in self.inputs(id) {
                    match &self.values[input] {
                        Value::Parts(more) => parts.extend(more),
                        _ => parts.push(input),
                    }
                }
                self.values[id] = Value::Parts(parts);
                return Ok(());
            }
            Operation::Convolution(conv) if self.input(id) == NodeId::INPUT.index() => return self.trunk(id, conv),
            Operation::Convolution(conv) if conv.depthwise => {
                let input = self.map(self.input(id))?;
                let folded = self.fold(conv)?;
                let map = self.builder.depthwise(&conv.name, input, window(conv), &filter(conv, &folded));
                self.release([conv], [folded]);
                map.map_err(unsupported)?
            }
            Operation::Convolution(conv) => match self.operation(self.input(id)) {
                Operation::Convolution(depthwise) if self.is_fused(self.input(id)) => {
                    let input = self.map(self.input(self.input(id)))?;
                    self.separable(input, depthwise, conv)?
                }
                _ => self.convolution(id, conv)?,
            },
            Operation::Block(block) => {
                let input = self.map(self.input(id))?;
                self.block(input, block)?
            }
            Operation::Average => {
                let input = self.map(self.input(id))?;
                self.builder.average(&node.name, input).map_err(unsupported)?
            }
            Operation::Resize(rule) => {
                let input = self.map(self.input(id))?;
                if self.network.nodes()[self.input(id)].size == node.size {
                    input
                } else {
                    self.builder.resize(&node.name, input, node.size, *rule).map_err(unsupported)?
                }
            }
            Operation::Sum(activation) => {
                let inputs = self.maps(id)?;
                self.builder.sum(&node.name, &inputs, clamp(*activation)).map_err(unsupported)?
            }
        };
        self.values[id] = Value::Map(map);
        Ok(())
    }

    fn fold(&mut self, conv: &Conv) -> Result<Folded<'w>, ModelError> {
        if self.packed {
            return Ok(Folded { weight: Cow::Borrowed(&[]), bias: filled(conv.c_out, 0.0, "a bias")? });
        }
        self.weights.folded_in(conv, &mut self.spare)
    }

    /// Releases the file's pages once the packed copy exists, which is what runs; the folded weights' memory is for the
    /// next ones.
    fn release<'c>(&mut self, convs: impl IntoIterator<Item = &'c Conv>, folded: impl IntoIterator<Item = Folded<'w>>) {
        for conv in convs.into_iter().filter(|_| !self.packed) {
            self.weights.release(conv);
        }
        folded.into_iter().for_each(|folded| self.spare.put(folded.weight));
    }

    fn fold_block(&mut self, block: &Block) -> Result<FoldedBlock<'w>, ModelError> {
        Ok(FoldedBlock {
            expand: block.expand.as_ref().map(|c| self.fold(c)).transpose()?,
            depthwise: self.fold(&block.depthwise)?,
            project: self.fold(&block.project)?,
        })
    }

    /// The convolution that reads the image, and the blocks after it that run depth-first with it. Intermediate maps
    /// with other readers are tapped: the chain stays one step.
    fn trunk(&mut self, id: usize, stem: &Conv) -> Result<(), ModelError> {
        if stem.depthwise || stem.kernel != 3 {
            return Err(ModelError::Unsupported {
                what: format!("{} in the CPU plan", stem.name),
                why: "only a full 3x3 convolution can read the image".into(),
            });
        }
        // The first chain continues while the maps between blocks would not stay in the L2.
        let large = |b: &Block| {
            let conv = &b.depthwise;
            conv.input.height * conv.input.width * b.c_in() * size_of::<E>() > self.caches.working_set()
        };
        let most = if self.ways.is_some() { 1 } else { 8 };
        let mut ids = vec![id];
        let mut blocks = Vec::<&Block>::new();
        for next in id + 1..self.values.len() {
            let before = ids[ids.len() - 1];
            if let Operation::Block(block) = self.operation(next)
                && self.input(next) == before
                && blocks.len() < most
                && (blocks.is_empty() || large(block))
            {
                ids.push(next);
                blocks.push(block);
            }
        }
        let folded_stem = self.fold(stem)?;
        let folded = blocks.iter().map(|b| self.fold_block(b)).collect::<Result<Vec<_>, _>>()?;
        let names: Vec<&str> = ids[1..].iter().map(|&id| self.network.nodes()[id].name.as_str()).collect();
        let mut chain: Vec<_> =
            folded.iter().zip(&blocks).zip(&names).map(|((f, b), name)| f.describe(b, name)).collect();
        let described = program::Stem { name: &stem.name, window: window(stem), filter: filter(stem, &folded_stem) };
        chain.truncate(self.builder.chain_length(&described, &chain));
        let length = chain.len();
        let taps: Vec<usize> = (0..length).filter(|&stage| self.readers[ids[stage]] > 1).collect();
        let (map, tapped) = self.builder.tapped_chain(None, Some(&described), &chain, &taps).map_err(unsupported)?;
        drop(chain);
        let convs = [stem].into_iter().chain(blocks[..length].iter().flat_map(|block| block.convs()));
        self.release(convs, [folded_stem].into_iter().chain(folded.into_iter().flat_map(FoldedBlock::all)));
        ids[..length].iter().for_each(|&id| self.values[id] = Value::Inside);
        for (&stage, map) in taps.iter().zip(tapped) {
            self.values[ids[stage]] = Value::Map(map);
        }
        self.values[ids[length]] = Value::Map(map);
        Ok(())
    }

    /// A standalone block.
    fn block(&mut self, input: Map, block: &Block) -> Result<Map, ModelError> {
        let folded = self.fold_block(block)?;
        let name = format!("blocks.{}", block.index);
        let described = folded.describe(block, &name);
        let map = match self.ways {
            Some(ways) => self.builder.split(input, &described, ways),
            None if self.builder.chains_well(&described) => self.builder.chain(Some(input), None, &[described]),
            None => self.builder.sliced(input, &described),
        };
        self.release(block.convs(), folded.all());
        map.map_err(unsupported)
    }

    fn conv(&self, id: usize) -> Result<&'n Conv, ModelError> {
        match self.operation(id) {
            Operation::Convolution(conv) => Ok(conv),
            _ => Err(ModelError::Unsupported {
                what: format!("{} in the CPU plan", self.network.nodes()[id].name),
                why: "a convolution is expected here".into(),
            }),
        }
    }

    /// A decoder, as one step.
    fn decoder(&mut self, decoder: &Decoder) -> Result<Map, ModelError> {
        let below = self.map(decoder.below)?;
        let mut folded = BTreeMap::new();
        for id in decoder.convs() {
            let conv = self.conv(id)?;
            folded.insert(id, (conv, self.fold(conv)?));
        }
        let filter = |id: usize| {
            let (conv, folded) = &folded[&id];
            filter(conv, folded)
        };
        let mut stages = Vec::with_capacity(decoder.stages.len());
        for stage in &decoder.stages {
            let mut parts = Vec::with_capacity(stage.parts.len());
            for part in &stage.parts {
                parts.push(match *part {
                    Part::Below(rule) => program::Part::Below(rule),
                    Part::Pointwise(id) => program::Part::Pointwise(self.map(self.input(id))?, filter(id)),
                });
            }
            let depthwise = filter(stage.depthwise);
            let pointwise = filter(stage.pointwise);
            let deep = self.conv(stage.depthwise)?;
            let last = self.conv(stage.pointwise)?;
            stages.push(program::DecoderStage { name: &last.name, window: window(deep), parts, depthwise, pointwise });
        }
        let name = &self.network.nodes()[decoder.last()].name;
        let map = self.builder.decoder(name, below, &stages, decoder.tail.map(filter).as_ref());
        let (convs, folded): (Vec<_>, Vec<_>) = folded.into_values().unzip();
        self.release(convs, folded);
        map.map_err(unsupported)
    }

    /// A depthwise convolution and the 1x1 after it: a block without expansion.
    fn separable(&mut self, input: Map, depthwise: &Conv, conv: &Conv) -> Result<Map, ModelError> {
        let folded = FoldedBlock { expand: None, depthwise: self.fold(depthwise)?, project: self.fold(conv)? };
        let block = program::Block {
            name: &conv.name,
            c_in: depthwise.c_in,
            window: window(depthwise),
            expand: None,
            depthwise: filter(depthwise, &folded.depthwise),
            project: filter(conv, &folded.project),
            residual: false,
            expansion_shortcut: false,
            pads_input: false,
        };
        let map = self.builder.sliced(input, &block).map_err(unsupported)?;
        self.release([depthwise, conv], folded.all());
        Ok(map)
    }

    /// A 1x1 or full 3x3 convolution, over the parts of a concatenation if it reads one.
    fn convolution(&mut self, id: usize, conv: &Conv) -> Result<Map, ModelError> {
        if conv.stride != 1 {
            return Err(ModelError::Unsupported {
                what: format!("{} in the CPU plan", conv.name),
                why: "only a convolution that reads the image, or a depthwise one, can have a stride".into(),
            });
        }
        let parts = match &self.values[self.input(id)] {
            Value::Parts(parts) => parts.clone(),
            _ => vec![self.input(id)],
        };
        let spread = |part: usize| matches!(self.operation(part), Operation::Resize(_)) && self.waits(part);
        let constant = parts.iter().filter(|&&part| spread(part)).count();
        if conv.kernel == 1 && (1..parts.len()).contains(&constant) {
            let parts: Vec<_> = parts.iter().map(|&part| (part, spread(part))).collect();
            return self.convolution_with_pooling(conv, &parts);
        }
        let inputs = parts.into_iter().map(|part| self.map(part)).collect::<Result<Vec<_>, _>>()?;
        let folded = self.fold(conv)?;
        let filter = filter(conv, &folded);
        let map = self.builder.convolution(&conv.name, &inputs, conv.kernel, conv.rate, &filter, None);
        self.release([conv], [folded]);
        map.map_err(unsupported)
    }

    /// Image pooling yields the same vector for every pixel: its part of the projection is computed once and becomes
    /// the bias of the rest. `parts`: nodes, and whether they are such a broadcast vector.
    fn convolution_with_pooling(&mut self, conv: &Conv, parts: &[(usize, bool)]) -> Result<Map, ModelError> {
        let mut vectors = Vec::new();
        let mut maps = Vec::new();
        for &(part, _) in parts.iter().filter(|(_, spread)| !spread) {
            maps.push(self.map(part)?);
        }
        for &(part, _) in parts.iter().filter(|(_, spread)| *spread) {
            vectors.push(self.map(self.input(part))?);
        }
        let folded = self.fold(conv)?;
        let channels: Vec<_> =
            parts.iter().map(|&(part, spread)| (self.network.nodes()[part].channels, spread)).collect();
        let of_vectors: usize = channels.iter().filter(|(_, spread)| *spread).map(|(channels, _)| channels).sum();
        let of_vectors = folded.weight.len() / conv.c_in * of_vectors;
        let mut constant = Vec::new();
        let mut rest = Vec::new();
        reserve(&mut constant, of_vectors, "weights of image pooling")?;
        reserve(&mut rest, folded.weight.len() - of_vectors, "weights beside image pooling")?;
        for mut row in folded.weight.chunks_exact(conv.c_in) {
            for &(channels, spread) in &channels {
                let (part, after) = row.split_at(channels);
                let to = if spread { &mut constant } else { &mut rest };
                to.extend_from_slice(part);
                row = after;
            }
        }
        let constant = Filter { weight: &constant, bias: &folded.bias, clamp: None };
        let bias = self.builder.convolution(&format!("{}.bias", conv.name), &vectors, 1, 1, &constant, None);
        let bias = bias.map_err(unsupported)?;
        let rest = Filter { weight: &rest, bias: &folded.bias, clamp: clamp(conv.activation) };
        let map = self.builder.convolution(&conv.name, &maps, 1, 1, &rest, Some(bias)).map_err(unsupported);
        self.release([conv], [folded]);
        map
    }
}
