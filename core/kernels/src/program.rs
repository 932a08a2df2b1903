//! A network compiled to steps over one arena, and the way they run.
//!
//! | step | what it fuses | when it is the one to take |
//! | --- | --- | --- |
//! | [chain](Builder::chain) | stem and inverted residual blocks, depth first: each output row pulls the input rows that it needs, every layer holds a ring of a few rows | early blocks: large maps, small weights |
//! | [sliced block](Builder::sliced) | one inverted residual block: a slice of expanded channels at a time over the whole map, the projection accumulating over slices (the paper's t-way split, section 5) | late blocks: small maps, large weights, so that each weight is read once an inference |
//! | [convolution](Builder::convolution) | bias, activation, concatenation of its inputs | heads |
//! | [average](Builder::average) | | image pooling, classifiers |
//!
//! In none of them does the expanded tensor exist whole. Several threads share a step by output rows; a row is computed
//! the same way whoever computes it, so that results are bit for bit the same for any number of threads.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::arena::{Arena, Live, Span, place};
use crate::caches::Caches;
use crate::depthwise::Row;
use crate::pack::{Buffer, Packed, PackedDepthwise};
use crate::pointwise::{Init, Job};
use crate::registry::Kernels;
use crate::rows::RowSource;
use crate::team::{Team, share};

/// Tells programs apart, so that an arena of one is not used with another.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What each thread of one inference does, called with the thread's index.
pub type Share<'a> = dyn Fn(usize) + Sync + 'a;

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

/// What follows a convolution, as bounds; `None`: linear.
pub type Clamp = Option<(f32, f32)>;

/// A convolution's weights in PyTorch's order (O, I / groups, K, K) and its bias (O).
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    /// Weights.
    pub weight: &'a [f32],
    /// Bias.
    pub bias: &'a [f32],
    /// Activation.
    pub clamp: Clamp,
}

/// Geometry of a 3x3 convolution from a map of `input` (height, width) to one of `output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width read.
    pub input: (usize, usize),
    /// Height and width written.
    pub output: (usize, usize),
    /// Stride.
    pub stride: usize,
    /// Atrous rate.
    pub rate: usize,
    /// Zeros above and to the left.
    pub pad: (usize, usize),
}

/// The 3x3 layer that reads the picture's rows.
#[derive(Clone, Copy, Debug)]
pub struct Stem<'a> {
    /// For messages and timings.
    pub name: &'a str,
    /// Its geometry.
    pub window: Window,
    /// Weights (O, 3, 3, 3).
    pub filter: Filter<'a>,
}

/// An inverted residual block; or a depthwise-separable one, where `expand` is absent.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// For messages and timings.
    pub name: &'a str,
    /// Channels read.
    pub c_in: usize,
    /// Geometry of the depthwise convolution.
    pub window: Window,
    /// 1x1 to the expanded channels.
    pub expand: Option<Filter<'a>>,
    /// 3x3, each channel by itself.
    pub depthwise: Filter<'a>,
    /// 1x1 to the output channels.
    pub project: Filter<'a>,
    /// Adds the input to the output.
    pub residual: bool,
    /// Adds the expanded tensor to the depthwise convolution's output.
    pub expansion_shortcut: bool,
}

/// A map (height, width, channels) that a step writes and later steps read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map(usize);

#[derive(Clone, Copy, Debug)]
struct MapInfo {
    height: usize,
    width: usize,
    channels: usize,
    buffer: usize,
}

/// Where rows of a map or of a ring of rows lie.
#[derive(Clone, Copy, Debug)]
struct Rows {
    buffer: usize,
    /// f32 from one thread's ring to the next; 0: one for all.
    per_thread: usize,
    /// Rows held; row `y` lies at `y % cap`.
    cap: usize,
    channels: usize,
    /// Columns with padding, columns of padding on the left, real columns.
    padded: usize,
    left: usize,
    width: usize,
}

impl Rows {
    fn row_len(&self) -> usize {
        self.padded * self.channels
    }
}

struct StemStage {
    window: Window,
    input: Rows,
    weights: Packed,
    clamp: Clamp,
    output: Rows,
}

struct BlockStage {
    window: Window,
    input: Rows,
    /// Expansion, and the ring that it fills; without one the input itself is the (padded) ring.
    expand: Option<(Packed, Clamp, Rows)>,
    depthwise: PackedDepthwise,
    depthwise_clamp: Clamp,
    expansion_shortcut: bool,
    /// One row of the depthwise convolution's output, per thread.
    wide_row: usize,
    wide_row_len: usize,
    project: Packed,
    clamp: Clamp,
    residual: bool,
    output: Rows,
}

#[allow(clippy::large_enum_variant, reason = "a chain has one stem")]
enum Stage {
    Stem(StemStage),
    Block(Box<BlockStage>),
}

struct Chain {
    stages: Vec<Stage>,
}

struct Slice {
    first: usize,
    channels: usize,
    expand: Option<Packed>,
    project: Packed,
}

struct Sliced {
    window: Window,
    input: Rows,
    slices: Vec<Slice>,
    expand_clamp: Clamp,
    depthwise: PackedDepthwise,
    depthwise_clamp: Clamp,
    expansion_shortcut: bool,
    /// Two buffers, used in turn, so that one meeting a slice is enough. `Rows::channels` is the widest slice's.
    wide: [Rows; 2],
    strip: usize,
    strip_len: usize,
    strip_rows: usize,
    clamp: Clamp,
    residual: bool,
    output: Rows,
}

struct Input {
    rows: Rows,
    /// One product (1x1) or nine (3x3, row by row).
    taps: Vec<Packed>,
}

struct Convolution {
    height: usize,
    rate: usize,
    inputs: Vec<Input>,
    /// A bias computed by an earlier step.
    bias: Option<Rows>,
    clamp: Clamp,
    output: Rows,
}

struct Average {
    height: usize,
    input: Rows,
    /// Sums of each row.
    sums: usize,
    output: Rows,
}

enum Work {
    Chain(Chain),
    Sliced(Box<Sliced>),
    Convolution(Convolution),
    Average(Average),
}

struct Step {
    name: String,
    explain: String,
    madds: u64,
    work: Work,
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
    kernels: Kernels,
    threads: usize,
    input: (usize, usize),
    output: (usize, usize, usize),
    output_buffer: usize,
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
        write!(f, "Program({}, {} steps, {} threads)", self.kernels.name, self.steps.len(), self.threads)
    }
}

/// Compiles a network step by step.
pub struct Builder {
    kernels: Kernels,
    threads: usize,
    caches: Caches,
    maps: Vec<MapInfo>,
    buffers: Vec<Live>,
    steps: Vec<Step>,
    input: (usize, usize),
    zero_len: usize,
    weight_bytes: usize,
}

fn refuse<T>(step: &str, reason: impl Into<String>) -> Result<T, BuildError> {
    Err(BuildError { step: step.to_owned(), reason: reason.into() })
}

impl Builder {
    /// For `threads` threads (at least 1).
    pub fn new(kernels: Kernels, threads: usize, caches: Caches) -> Self {
        Self {
            kernels,
            threads: threads.max(1),
            caches,
            maps: Vec::new(),
            // Buffer 0 is the row of zeros.
            buffers: vec![Live { len: 0, first: 0, last: usize::MAX }],
            steps: Vec::new(),
            input: (0, 0),
            zero_len: 0,
            weight_bytes: 0,
        }
    }

    fn buffer(&mut self, len: usize) -> usize {
        let step = self.steps.len();
        self.buffers.push(Live { len, first: step, last: step });
        self.buffers.len() - 1
    }

    fn map(&mut self, step: &str, (height, width): (usize, usize), channels: usize) -> Result<Map, BuildError> {
        let Some(len) = height.checked_mul(width).and_then(|n| n.checked_mul(channels)) else {
            return refuse(step, format!("a map of {height} x {width} x {channels} is too large"));
        };
        if len == 0 {
            return refuse(step, format!("a map of {height} x {width} x {channels} is empty"));
        }
        let buffer = self.buffer(len);
        self.maps.push(MapInfo { height, width, channels, buffer });
        Ok(Map(self.maps.len() - 1))
    }

    /// The map's rows, alive until this step at least.
    fn read(&mut self, map: Map) -> Rows {
        let info = self.maps[map.0];
        self.buffers[info.buffer].last = self.steps.len();
        self.rows_of(map)
    }

    fn rows_of(&self, map: Map) -> Rows {
        let i = self.maps[map.0];
        Rows {
            buffer: i.buffer,
            per_thread: 0,
            cap: i.height,
            channels: i.channels,
            padded: i.width,
            left: 0,
            width: i.width,
        }
    }

    /// A ring of `cap` padded rows for each thread.
    fn ring(&mut self, cap: usize, channels: usize, window: &Window, padded: bool) -> Rows {
        let (width, left) = (window.input.1, if padded { window.pad.1 } else { 0 });
        let columns = if padded { padded_columns(window) } else { width };
        let len = cap * columns * channels;
        let per_thread = len.next_multiple_of(16);
        let buffer = self.buffer(per_thread * self.threads);
        if padded {
            self.zero_len = self.zero_len.max(columns * channels);
        }
        Rows { buffer, per_thread, cap, channels, padded: columns, left, width }
    }

    fn pack(&mut self, c_out: usize, k: usize, w: impl Fn(usize, usize) -> f32, b: impl Fn(usize) -> f32) -> Packed {
        let p = Packed::new(c_out, k, self.kernels.lanes, self.kernels.max_vectors, w, b);
        self.weight_bytes += p.bytes();
        p
    }

    fn pack_depthwise(&mut self, f: &Filter<'_>) -> PackedDepthwise {
        let p = PackedDepthwise::new(f.bias.len(), self.kernels.lanes, |c, t| f.weight[9 * c + t], |c| f.bias[c]);
        self.weight_bytes += p.bytes();
        p
    }

    fn check_block(b: &Block<'_>) -> Result<(), BuildError> {
        let wide = b.depthwise.bias.len();
        check_window(b.name, &b.window)?;
        if let Some(e) = &b.expand {
            check_filter(b.name, "expand", e, b.c_in, 1)?;
            if e.bias.len() != wide {
                return refuse(b.name, format!("expands to {} channels, depthwise has {wide}", e.bias.len()));
            }
        } else if wide != b.c_in {
            return refuse(b.name, format!("reads {} channels, depthwise has {wide}", b.c_in));
        }
        check_filter(b.name, "depthwise", &b.depthwise, 1, 9)?;
        check_filter(b.name, "project", &b.project, wide, 1)?;
        if b.residual && (b.window.input != b.window.output || b.c_in != b.project.bias.len()) {
            return refuse(b.name, "a shortcut needs input and output of one shape");
        }
        if b.expansion_shortcut && b.window.input != b.window.output {
            return refuse(b.name, "a shortcut between expansions needs stride 1");
        }
        Ok(())
    }

    /// Whether a chain that holds this block keeps within the caches; else it is better [`sliced`](Self::sliced).
    pub fn chains_well(&self, b: &Block<'_>) -> bool {
        let wide = b.depthwise.bias.len();
        let rows = 2 * b.window.rate + 1;
        let ring = rows * padded_columns(&b.window) * wide * size_of::<f32>();
        let weights = (b.c_in + 9 + b.project.bias.len()) * wide * size_of::<f32>();
        b.expand.is_some() && ring <= self.caches.l2 / 2 && weights <= self.caches.l2 / 8
    }

    /// Stem and blocks, or blocks after `input`, depth first.
    ///
    /// # Errors
    /// If the shapes do not fit together. Blocks without expansion cannot be first after a map: take
    /// [`sliced`](Self::sliced) for those.
    pub fn chain(
        &mut self,
        input: Option<Map>,
        stem: Option<&Stem<'_>>,
        blocks: &[Block<'_>],
    ) -> Result<Map, BuildError> {
        let name = match (stem, blocks) {
            (Some(s), []) => s.name.to_owned(),
            (Some(s), [.., last]) => format!("{}..{}", s.name, last.name),
            (None, [only]) => only.name.to_owned(),
            (None, [first, .., last]) => format!("{}..{}", first.name, last.name),
            (None, []) => return refuse("chain", "is empty"),
        };
        if blocks.len() + 1 > MAX_STAGES {
            return refuse(&name, format!("a chain of more than {MAX_STAGES} layers"));
        }
        if stem.is_some() == input.is_some() {
            return refuse(&name, "a chain begins with a stem or with a map");
        }
        let (mut size, mut channels) = match (stem, input) {
            (Some(s), _) => {
                check_window(s.name, &s.window)?;
                check_filter(s.name, "weight", &s.filter, 3, 9)?;
                if s.window.rate != 1 {
                    return refuse(s.name, "the stem's atrous rate is 1");
                }
                (s.window.output, s.filter.bias.len())
            }
            (None, Some(map)) => {
                let i = self.maps[map.0];
                if blocks[0].expand.is_none() {
                    return refuse(blocks[0].name, "a block without expansion cannot begin a chain");
                }
                ((i.height, i.width), i.channels)
            }
            (None, None) => return refuse(&name, "nothing to read"),
        };
        for b in blocks {
            Self::check_block(b)?;
            if b.window.input != size || b.c_in != channels {
                return refuse(
                    b.name,
                    format!("reads {:?} x {}, the layer before writes {size:?} x {channels}", b.window.input, b.c_in),
                );
            }
            (size, channels) = (b.window.output, b.project.bias.len());
        }
        let output = self.map(&name, size, channels)?;
        let (mut stages, mut madds) = (Vec::with_capacity(blocks.len() + 1), 0u64);
        let (mut from, mut ring_bytes) = (None, 0);
        let to_rows = self.rows_of(output);
        // The rows that stage i writes are the ring that stage i + 1 reads.
        let ring_for = |this: &mut Self, next: Option<&Block<'_>>| match next {
            None => to_rows,
            Some(b) if b.expand.is_some() => this.ring(2 * b.window.rate + 2, b.c_in, &b.window, false),
            Some(b) => this.ring(2 * b.window.rate + 1, b.c_in, &b.window, true),
        };
        if let Some(s) = stem {
            self.input = s.window.input;
            let input = self.ring(3, 3, &s.window, true);
            let to = ring_for(self, blocks.first());
            let c_out = s.filter.bias.len();
            // Inputs in the order of the three runs: row, column, channel.
            let weight = |o: usize, i: usize| s.filter.weight[27 * o + 9 * (i % 3) + i / 3];
            let weights = self.pack(c_out, 27, weight, |o| s.filter.bias[o]);
            madds += (27 * c_out * s.window.output.0 * s.window.output.1) as u64;
            stages.push(Stage::Stem(StemStage { window: s.window, input, weights, clamp: s.filter.clamp, output: to }));
            from = Some(to);
        }
        for (i, b) in blocks.iter().enumerate() {
            let input = match (from, input) {
                (Some(rows), _) => rows,
                (None, Some(map)) => self.read(map),
                (None, None) => return refuse(&name, "nothing to read"),
            };
            let wide = b.depthwise.bias.len();
            let expand = b.expand.as_ref().map(|e| {
                let ring = self.ring(2 * b.window.rate + 1, wide, &b.window, true);
                ring_bytes += ring.per_thread * size_of::<f32>();
                let packed = self.pack(wide, b.c_in, |o, i| e.weight[o * b.c_in + i], |o| e.bias[o]);
                (packed, e.clamp, ring)
            });
            let depthwise = self.pack_depthwise(&b.depthwise);
            let wide_row_len = (b.window.output.1 * wide).next_multiple_of(16);
            let wide_row = self.buffer(wide_row_len * self.threads);
            let c_out = b.project.bias.len();
            let project = self.pack(c_out, wide, |o, i| b.project.weight[o * wide + i], |o| b.project.bias[o]);
            let to = ring_for(self, blocks.get(i + 1));
            let (pixels_in, pixels_out) = (b.window.input.0 * b.window.input.1, b.window.output.0 * b.window.output.1);
            madds +=
                (if expand.is_some() { pixels_in * b.c_in * wide } else { 0 } + pixels_out * wide * (9 + c_out)) as u64;
            stages.push(Stage::Block(Box::new(BlockStage {
                window: b.window,
                input,
                expand,
                depthwise,
                depthwise_clamp: b.depthwise.clamp,
                expansion_shortcut: b.expansion_shortcut,
                wide_row,
                wide_row_len,
                project,
                clamp: b.project.clamp,
                residual: b.residual,
                output: to,
            })));
            from = Some(to);
        }
        let explain = format!("rows, depth first; rings of expanded rows {} KiB a thread", ring_bytes >> 10);
        self.steps.push(Step { name, explain, madds, work: Work::Chain(Chain { stages }) });
        Ok(output)
    }

    /// One block, a slice of its expanded channels at a time.
    ///
    /// # Errors
    /// If the shapes do not fit together.
    pub fn sliced(&mut self, input: Map, b: &Block<'_>) -> Result<Map, BuildError> {
        Self::check_block(b)?;
        let info = self.maps[input.0];
        if (info.height, info.width) != b.window.input || info.channels != b.c_in {
            return refuse(b.name, "does not fit the map that it reads");
        }
        let (wide, c_out) = (b.depthwise.bias.len(), b.project.bias.len());
        let (w, lanes) = (b.window, self.kernels.lanes);
        let output = self.map(b.name, w.output, c_out)?;
        let rows = self.read(input);
        let padded = padded_columns(&w);
        // A slice is a whole number of panels; both wide buffers and the strip should stay in half the L2.
        let panel = lanes * self.kernels.max_vectors;
        let plane = w.input.0 * padded * size_of::<f32>();
        let fit = (self.caches.l2 / 2 / plane.max(1)) / panel * panel;
        let channels = fit.clamp(panel, panel * 8).min(wide);
        let count = wide.div_ceil(channels);
        let channels = wide.div_ceil(count).next_multiple_of(lanes).min(wide);
        let mut slices = Vec::with_capacity(count);
        let mut first = 0;
        while first < wide {
            let n = channels.min(wide - first);
            let expand = b
                .expand
                .as_ref()
                .map(|e| self.pack(n, b.c_in, |o, i| e.weight[(first + o) * b.c_in + i], |o| e.bias[first + o]));
            let project = self.pack(c_out, n, |o, i| b.project.weight[o * wide + first + i], |o| b.project.bias[o]);
            slices.push(Slice { first, channels: n, expand, project });
            first += n;
        }
        let plane_len = w.input.0 * padded * channels;
        self.zero_len = self.zero_len.max(padded * channels);
        let mut wide_rows = || {
            let buffer = self.buffer(plane_len);
            Rows { buffer, per_thread: 0, cap: w.input.0, channels, padded, left: w.pad.1, width: w.input.1 }
        };
        let wide_buffers = [wide_rows(), wide_rows()];
        let row_len = w.output.1 * channels;
        let strip_rows = (self.caches.l1 / size_of::<f32>() / row_len.max(1)).clamp(1, 16).min(w.output.0);
        let strip_len = (strip_rows * row_len).next_multiple_of(16);
        let strip = self.buffer(strip_len * self.threads);
        let explain = format!(
            "{} slices of {channels} of {wide} channels, {} KiB each; strips of {strip_rows} rows",
            slices.len(),
            (plane_len * size_of::<f32>()) >> 10
        );
        let madds = if b.expand.is_some() { w.input.0 * w.input.1 * b.c_in * wide } else { 0 }
            + w.output.0 * w.output.1 * wide * (9 + c_out);
        let depthwise = self.pack_depthwise(&b.depthwise);
        let work = Sliced {
            window: w,
            input: rows,
            slices,
            expand_clamp: b.expand.as_ref().and_then(|e| e.clamp),
            depthwise,
            depthwise_clamp: b.depthwise.clamp,
            expansion_shortcut: b.expansion_shortcut,
            wide: wide_buffers,
            strip,
            strip_len,
            strip_rows,
            clamp: b.project.clamp,
            residual: b.residual,
            output: self.rows_of(output),
        };
        self.steps.push(Step {
            name: b.name.to_owned(),
            explain,
            madds: madds as u64,
            work: Work::Sliced(Box::new(work)),
        });
        Ok(output)
    }

    /// A 1x1 or 3x3 convolution of stride 1 over the concatenation of `inputs` (all of one height and width), zeros around
    /// it. `filter.weight` is (O, sum of channels, K, K). `bias`: a 1x1 map that takes the place of `filter.bias`.
    ///
    /// # Errors
    /// If the shapes do not fit together.
    pub fn convolution(
        &mut self,
        name: &str,
        inputs: &[Map],
        kernel: usize,
        rate: usize,
        filter: &Filter<'_>,
        bias: Option<Map>,
    ) -> Result<Map, BuildError> {
        let Some(first) = inputs.first().map(|m| self.maps[m.0]) else { return refuse(name, "reads nothing") };
        if !matches!(kernel, 1 | 3) || rate == 0 {
            return refuse(name, "only 1x1 and 3x3 convolutions are made");
        }
        if inputs.iter().any(|m| (self.maps[m.0].height, self.maps[m.0].width) != (first.height, first.width)) {
            return refuse(name, "its inputs differ in size");
        }
        let total: usize = inputs.iter().map(|m| self.maps[m.0].channels).sum();
        let taps = kernel * kernel;
        check_filter(name, "weight", filter, total, taps)?;
        let c_out = filter.bias.len();
        if let Some(b) = bias.map(|m| self.maps[m.0])
            && (b.height, b.width, b.channels) != (1, 1, c_out)
        {
            return refuse(name, "its bias is not one value per output channel");
        }
        let output = self.map(name, (first.height, first.width), c_out)?;
        let bias = bias.map(|m| self.read(m));
        let (mut before, mut parts) = (0, Vec::with_capacity(inputs.len()));
        for &m in inputs {
            let (rows, k) = (self.read(m), self.maps[m.0].channels);
            let weight = |o: usize, i: usize, t: usize| filter.weight[(o * total + before + i) * taps + t];
            let taps = (0..taps).map(|t| self.pack(c_out, k, |o, i| weight(o, i, t), |o| filter.bias[o])).collect();
            parts.push(Input { rows, taps });
            before += k;
        }
        let work = Convolution {
            height: first.height,
            rate,
            inputs: parts,
            bias,
            clamp: filter.clamp,
            output: self.rows_of(output),
        };
        let madds = (first.height * first.width * total * taps * c_out) as u64;
        let explain = format!("{kernel}x{kernel}, whole map");
        self.steps.push(Step { name: name.to_owned(), explain, madds, work: Work::Convolution(work) });
        Ok(output)
    }

    /// The average of the map: 1 x 1 x channels.
    ///
    /// # Errors
    /// If the map is empty.
    pub fn average(&mut self, name: &str, input: Map) -> Result<Map, BuildError> {
        let info = self.maps[input.0];
        let output = self.map(name, (1, 1), info.channels)?;
        let rows = self.read(input);
        let sums = self.buffer(info.height * info.channels);
        let work = Average { height: info.height, input: rows, sums, output: self.rows_of(output) };
        self.steps.push(Step {
            name: name.to_owned(),
            explain: "sums of rows, then of the map".to_owned(),
            madds: (info.height * info.width * info.channels) as u64,
            work: Work::Average(work),
        });
        Ok(output)
    }

    /// The compiled program; `output` is what it writes.
    ///
    /// # Errors
    /// If the arena would need more than `limit` bytes.
    pub fn finish(mut self, output: Map, limit: usize) -> Result<Program, BuildError> {
        let info = self.maps[output.0];
        // The output is the caller's slice: it takes no place in the arena.
        let out_len = std::mem::take(&mut self.buffers[info.buffer].len);
        self.buffers[0].len = self.zero_len;
        let placed =
            place(&self.buffers).filter(|(_, len)| len.checked_mul(size_of::<f32>()).is_some_and(|b| b <= limit));
        let Some((places, arena_len)) = placed else {
            let bytes: u128 = self.buffers.iter().map(|b| b.len as u128 * 4).sum();
            return refuse(
                "arena",
                format!("needs more than the limit of {limit} bytes (its buffers hold {bytes} in all)"),
            );
        };
        let mut lens: Vec<usize> = self.buffers.iter().map(|b| b.len.next_multiple_of(16)).collect();
        lens[info.buffer] = out_len;
        Ok(Program {
            kernels: self.kernels,
            threads: self.threads,
            input: self.input,
            output: (info.height, info.width, info.channels),
            output_buffer: info.buffer,
            steps: self.steps,
            places,
            lens,
            arena_len,
            zero: 0,
            weight_bytes: self.weight_bytes,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
        })
    }
}

/// Columns of a padded row: all that the kernel's windows reach, and all of the input.
fn padded_columns(w: &Window) -> usize {
    ((w.output.1 - 1) * w.stride + 2 * w.rate + 1).max(w.pad.1 + w.input.1)
}

fn check_window(step: &str, w: &Window) -> Result<(), BuildError> {
    let Window { input, output, stride, rate, pad } = *w;
    if [input.0, input.1, output.0, output.1, stride, rate].contains(&0) {
        return refuse(step, "sizes, stride and rate are at least 1");
    }
    if [input.0, input.1, rate].iter().any(|&n| n > 1 << 20) {
        return refuse(step, "a map side or rate above 2^20");
    }
    // The first window begins inside the padding; padding is at most what one side of the kernel reaches over.
    if pad.0 > 2 * rate || pad.1 > 2 * rate {
        return refuse(step, format!("padding of {pad:?} is more than a kernel of rate {rate} reaches"));
    }
    for (i, o, p) in [(input.0, output.0, pad.0), (input.1, output.1, pad.1)] {
        let last = (o - 1).checked_mul(stride);
        if last.is_none_or(|first| first >= i + p) {
            return refuse(step, format!("{o} outputs of stride {stride} do not fit {i} inputs"));
        }
    }
    Ok(())
}

fn check_filter(step: &str, what: &str, f: &Filter<'_>, k: usize, taps: usize) -> Result<(), BuildError> {
    let wanted = f.bias.len().checked_mul(k).and_then(|n| n.checked_mul(taps));
    if f.bias.is_empty() || wanted != Some(f.weight.len()) {
        return refuse(
            step,
            format!("{what}: {} weights for {} outputs of {k} x {taps}", f.weight.len(), f.bias.len()),
        );
    }
    Ok(())
}

/// What a thread knows while it runs.
struct Context<'a> {
    program: &'a Program,
    arena: Span,
    output: Span,
    team: &'a Team,
    index: usize,
}

impl Context<'_> {
    /// A buffer, or this thread's part of it.
    fn buffer(&self, buffer: usize, per_thread: usize) -> Span {
        let p = self.program;
        let whole =
            if buffer == p.output_buffer { self.output } else { self.arena.part(p.places[buffer], p.lens[buffer]) };
        if per_thread == 0 { whole } else { whole.part(self.index * per_thread, per_thread) }
    }

    /// The first real pixel of row `y`.
    fn pixel(&self, rows: &Rows, y: usize) -> *mut f32 {
        let at = (y % rows.cap) * rows.row_len() + rows.left * rows.channels;
        self.buffer(rows.buffer, rows.per_thread).at(at, rows.width * rows.channels)
    }

    /// The first padded column of row `y`, or of the row of zeros where `y` is outside `0..height`.
    fn padded(&self, rows: &Rows, y: Option<usize>, height: usize) -> *const f32 {
        match y {
            Some(y) if y < height => {
                self.buffer(rows.buffer, rows.per_thread).at((y % rows.cap) * rows.row_len(), rows.row_len())
            }
            _ => self.buffer(self.program.zero, 0).at(0, rows.row_len()),
        }
    }

    /// Zeros the padding of the held rows `which`.
    fn clear_padding(&self, rows: &Rows, which: Range<usize>) {
        let (c, right) = (rows.channels, rows.left + rows.width);
        let span = self.buffer(rows.buffer, rows.per_thread);
        for y in which {
            let begin = span.at(y * rows.row_len(), rows.row_len());
            // SAFETY: inside the row, as checked; this thread alone writes its rows.
            unsafe {
                begin.write_bytes(0, rows.left * c);
                begin.add(right * c).write_bytes(0, (rows.padded - right) * c);
            }
        }
    }

    fn share(&self, n: usize) -> Range<usize> {
        share(n, self.index, self.program.threads)
    }
}

/// The rows that output row `o` reads, as indices that may lie outside the map.
fn window_row(w: &Window, o: usize, r: usize) -> Option<usize> {
    (o * w.stride + r * w.rate).checked_sub(w.pad.0)
}

/// First and last input row (inside the map) of output row `o`.
fn first_row(w: &Window, o: usize) -> usize {
    (o * w.stride).saturating_sub(w.pad.0).min(w.input.0 - 1)
}
fn last_row(w: &Window, o: usize) -> usize {
    (o * w.stride + 2 * w.rate).saturating_sub(w.pad.0).min(w.input.0 - 1)
}

/// How far a stage of a chain is: the next output row, and the next input row to take in.
#[derive(Clone, Copy, Default)]
struct Progress {
    made: usize,
    read: usize,
}

/// A chain's longest possible length.
const MAX_STAGES: usize = 16;

impl Chain {
    fn run(&self, cx: &Context<'_>, source: &dyn RowSource, scratch: &mut [f32]) {
        let last = self.stages.len() - 1;
        let rows = cx.share(self.window(last).output.0);
        if rows.is_empty() {
            return;
        }
        let mut progress = [Progress::default(); MAX_STAGES];
        let mut made = rows.start;
        for i in (0..=last).rev() {
            let read = first_row(self.window(i), made);
            progress[i] = Progress { made, read };
            made = read;
        }
        for stage in &self.stages {
            match stage {
                Stage::Stem(s) => cx.clear_padding(&s.input, 0..s.input.cap),
                Stage::Block(b) => {
                    let ring = b.expand.as_ref().map_or(&b.input, |(_, _, ring)| ring);
                    cx.clear_padding(ring, 0..ring.cap);
                }
            }
        }
        self.advance(cx, source, scratch, &mut progress, last, rows.end - 1);
    }

    fn window(&self, i: usize) -> &Window {
        match &self.stages[i] {
            Stage::Stem(s) => &s.window,
            Stage::Block(b) => &b.window,
        }
    }

    /// Makes the rows of stage `i` up to `y`.
    fn advance(
        &self,
        cx: &Context<'_>,
        source: &dyn RowSource,
        scratch: &mut [f32],
        progress: &mut [Progress; MAX_STAGES],
        i: usize,
        y: usize,
    ) {
        while progress[i].made <= y {
            let o = progress[i].made;
            let last = last_row(self.window(i), o);
            match &self.stages[i] {
                Stage::Stem(s) => {
                    while progress[i].read <= last {
                        let r = progress[i].read;
                        // SAFETY: the ring is this thread's own; the row is `width * 3` values inside it.
                        let row = unsafe { std::slice::from_raw_parts_mut(cx.pixel(&s.input, r), s.input.width * 3) };
                        source.row(r, scratch, row);
                        progress[i].read += 1;
                    }
                    s.row(cx, o);
                }
                Stage::Block(b) => {
                    while progress[i].read <= last {
                        let r = progress[i].read;
                        if i > 0 {
                            self.advance(cx, source, scratch, progress, i - 1, r);
                        }
                        b.expand_row(cx, r);
                        progress[i].read += 1;
                    }
                    b.row(cx, o);
                }
            }
            progress[i].made += 1;
        }
    }
}

impl StemStage {
    fn row(&self, cx: &Context<'_>, o: usize) {
        let w = &self.window;
        let segments = [0, 1, 2].map(|r| cx.padded(&self.input, window_row(w, o, r), w.input.0));
        let job = Job {
            segments: &segments,
            run: 9,
            a_pixel: 3 * w.stride,
            a_row: 0,
            weights: &self.weights,
            bias: self.weights.bias.as_ptr(),
            c: cx.pixel(&self.output, o),
            c_pixel: self.output.channels,
            c_row: 0,
            residual: std::ptr::null(),
            r_pixel: 0,
            r_row: 0,
            width: w.output.1,
            rows: 1,
            init: Init::Bias,
            clamp: self.clamp,
        };
        // SAFETY: each segment is a padded row, long enough for the last window; the output row is this thread's.
        unsafe { cx.program.kernels.pointwise(&job) }
    }
}

impl BlockStage {
    fn expand_row(&self, cx: &Context<'_>, y: usize) {
        let Some((weights, clamp, ring)) = &self.expand else { return };
        let segments = [cx.pixel(&self.input, y).cast_const()];
        let job = Job {
            segments: &segments,
            run: weights.k,
            a_pixel: self.input.channels,
            a_row: 0,
            weights,
            bias: weights.bias.as_ptr(),
            c: cx.pixel(ring, y),
            c_pixel: ring.channels,
            c_row: 0,
            residual: std::ptr::null(),
            r_pixel: 0,
            r_row: 0,
            width: self.input.width,
            rows: 1,
            init: Init::Bias,
            clamp: *clamp,
        };
        // SAFETY: both rows are `width` pixels inside their buffers, and different buffers.
        unsafe { cx.program.kernels.pointwise(&job) }
    }

    fn row(&self, cx: &Context<'_>, o: usize) {
        let w = &self.window;
        let ring = self.expand.as_ref().map_or(&self.input, |(_, _, ring)| ring);
        let wide = cx.buffer(self.wide_row, self.wide_row_len).at(0, w.output.1 * ring.channels);
        let row = Row {
            rows: [0, 1, 2].map(|r| cx.padded(ring, window_row(w, o, r), w.input.0)),
            e_pixel: ring.channels,
            weights: &self.depthwise,
            first: 0,
            channels: ring.channels,
            d: wide,
            d_pixel: ring.channels,
            width: w.output.1,
            stride: w.stride,
            rate: w.rate,
            clamp: self.depthwise_clamp,
            add_input: self.expansion_shortcut,
        };
        let segments = [wide.cast_const()];
        let c = self.output.channels;
        let job = Job {
            segments: &segments,
            run: self.project.k,
            a_pixel: ring.channels,
            a_row: 0,
            weights: &self.project,
            bias: self.project.bias.as_ptr(),
            c: cx.pixel(&self.output, o),
            c_pixel: c,
            c_row: 0,
            residual: if self.residual { cx.pixel(&self.input, o) } else { std::ptr::null() },
            r_pixel: c,
            r_row: 0,
            width: w.output.1,
            rows: 1,
            init: if self.residual { Init::Residual } else { Init::Bias },
            clamp: self.clamp,
        };
        // SAFETY: padded rows reach as far as the last window; wide row and output row are this thread's.
        unsafe {
            cx.program.kernels.depthwise(&row);
            cx.program.kernels.pointwise(&job);
        }
    }
}

impl Sliced {
    fn run(&self, cx: &Context<'_>) {
        let (w, k) = (&self.window, &cx.program.kernels);
        let (rows_in, rows_out) = (cx.share(w.input.0), cx.share(w.output.0));
        for wide in &self.wide {
            cx.clear_padding(wide, rows_in.clone());
        }
        let strip = cx.buffer(self.strip, self.strip_len);
        for (s, slice) in self.slices.iter().enumerate() {
            let wide = &self.wide[s % 2];
            self.fill(cx, slice, wide, rows_in.clone());
            // All rows of the slice are there; and nobody reads the other buffer any more, which is filled next.
            cx.team.meet();
            let mut o = rows_out.start;
            while o < rows_out.end {
                let n = self.strip_rows.min(rows_out.end - o);
                let row_len = w.output.1 * slice.channels;
                for r in 0..n {
                    let row = Row {
                        rows: [0, 1, 2].map(|t| cx.padded(wide, window_row(w, o + r, t), w.input.0)),
                        e_pixel: wide.channels,
                        weights: &self.depthwise,
                        first: slice.first,
                        channels: slice.channels,
                        d: strip.at(r * row_len, row_len),
                        d_pixel: slice.channels,
                        width: w.output.1,
                        stride: w.stride,
                        rate: w.rate,
                        clamp: self.depthwise_clamp,
                        add_input: self.expansion_shortcut,
                    };
                    // SAFETY: padded rows reach as far as the last window; the strip is this thread's.
                    unsafe { k.depthwise(&row) }
                }
                let segments = [strip.at(0, n * row_len).cast_const()];
                let c = self.output.channels;
                let job = Job {
                    segments: &segments,
                    run: slice.channels,
                    a_pixel: slice.channels,
                    a_row: row_len,
                    weights: &slice.project,
                    bias: slice.project.bias.as_ptr(),
                    c: cx.pixel(&self.output, o),
                    c_pixel: c,
                    c_row: self.output.row_len(),
                    residual: if self.residual { cx.pixel(&self.input, o) } else { std::ptr::null() },
                    r_pixel: c,
                    r_row: self.input.row_len(),
                    width: w.output.1,
                    rows: n,
                    init: match (s, self.residual) {
                        (0, true) => Init::Residual,
                        (0, false) => Init::Bias,
                        _ => Init::Accumulate,
                    },
                    clamp: if s + 1 == self.slices.len() { self.clamp } else { None },
                };
                // SAFETY: `n` rows of this thread's strip, and of its share of the output.
                unsafe { k.pointwise(&job) }
                o += n;
            }
        }
    }

    /// Fills rows `rows` of the slice: expanded, or copied where the block does not expand.
    fn fill(&self, cx: &Context<'_>, slice: &Slice, wide: &Rows, rows: Range<usize>) {
        if rows.is_empty() {
            return;
        }
        let Some(weights) = &slice.expand else {
            for y in rows {
                let (from, to) = (cx.pixel(&self.input, y), cx.pixel(wide, y));
                for x in 0..self.input.width {
                    // SAFETY: one pixel of each row, in different buffers.
                    unsafe {
                        let from = from.add(x * self.input.channels + slice.first);
                        std::ptr::copy_nonoverlapping(from, to.add(x * wide.channels), slice.channels);
                    }
                }
            }
            return;
        };
        let segments = [cx.pixel(&self.input, rows.start).cast_const()];
        let job = Job {
            segments: &segments,
            run: weights.k,
            a_pixel: self.input.channels,
            a_row: self.input.row_len(),
            weights,
            bias: weights.bias.as_ptr(),
            c: cx.pixel(wide, rows.start),
            c_pixel: wide.channels,
            c_row: wide.row_len(),
            residual: std::ptr::null(),
            r_pixel: 0,
            r_row: 0,
            width: self.input.width,
            rows: rows.len(),
            init: Init::Bias,
            clamp: self.expand_clamp,
        };
        // SAFETY: this thread's share of the rows of two different buffers.
        unsafe { cx.program.kernels.pointwise(&job) }
    }
}

impl Convolution {
    fn run(&self, cx: &Context<'_>) {
        let rows = cx.share(self.height);
        if rows.is_empty() {
            return;
        }
        let products = self.inputs.iter().map(|i| i.taps.len()).sum::<usize>();
        let mut done = 0;
        // 3x3: the middle tap first, since it reaches every pixel and so starts every sum.
        for input in &self.inputs {
            let middle = input.taps.len() / 2;
            let order = std::iter::once(middle).chain((0..input.taps.len()).filter(|&t| t != middle));
            for t in order {
                done += 1;
                let init = if done == 1 { Init::Bias } else { Init::Accumulate };
                // Every pixel must be clamped at the end, also where the last tap reads only padding.
                self.product(cx, input, t, rows.clone(), init, if products == 1 { self.clamp } else { None });
            }
        }
        if products > 1
            && let Some((lo, hi)) = self.clamp
        {
            for y in rows {
                let row = cx.pixel(&self.output, y);
                // SAFETY: this thread's row of the output.
                let row = unsafe { std::slice::from_raw_parts_mut(row, self.output.row_len()) };
                for v in row {
                    *v = v.max(lo).min(hi);
                }
            }
        }
    }

    /// Tap `t` over the pixels for which it reads inside the map.
    fn product(&self, cx: &Context<'_>, input: &Input, t: usize, rows: Range<usize>, init: Init, clamp: Clamp) {
        let (height, width, rate) = (self.height, input.rows.width, self.rate);
        let weights = &input.taps[t];
        // Output x reads column x + column - back.
        let (row, column, back) = if input.taps.len() == 9 { (t / 3 * rate, t % 3 * rate, rate) } else { (0, 0, 0) };
        let first_x = back.saturating_sub(column);
        let end_x = (width + back).saturating_sub(column).min(width);
        let first_y = back.saturating_sub(row).max(rows.start);
        let end_y = (height + back).saturating_sub(row).min(rows.end);
        if first_x >= end_x || first_y >= end_y {
            return;
        }
        let (c_in, c) = (input.rows.channels, self.output.channels);
        let read_x = first_x + column - back;
        let from = cx.buffer(input.rows.buffer, 0).at(
            (first_y + row - back) * input.rows.row_len() + read_x * c_in,
            (end_y - first_y - 1) * input.rows.row_len() + (end_x - first_x) * c_in,
        );
        let segments = [from.cast_const()];
        let to = cx.buffer(self.output.buffer, 0).at(
            first_y * self.output.row_len() + first_x * c,
            (end_y - first_y - 1) * self.output.row_len() + (end_x - first_x) * c,
        );
        let bias = self.bias.as_ref().map_or(weights.bias.as_ptr(), |b| cx.pixel(b, 0).cast_const());
        let job = Job {
            segments: &segments,
            run: weights.k,
            a_pixel: c_in,
            a_row: input.rows.row_len(),
            weights,
            bias,
            c: to,
            c_pixel: c,
            c_row: self.output.row_len(),
            residual: std::ptr::null(),
            r_pixel: 0,
            r_row: 0,
            width: end_x - first_x,
            rows: end_y - first_y,
            init,
            clamp,
        };
        // SAFETY: pixels inside both maps, as computed above; the output's rows are this thread's share.
        unsafe { cx.program.kernels.pointwise(&job) }
    }
}

impl Average {
    fn run(&self, cx: &Context<'_>) {
        let (c, width) = (self.input.channels, self.input.width);
        let sums = cx.buffer(self.sums, 0);
        for y in cx.share(self.height) {
            // SAFETY: a row of the input, which nobody writes now, and this thread's row of the sums.
            let (row, sum) = unsafe {
                (
                    std::slice::from_raw_parts(cx.pixel(&self.input, y), width * c),
                    std::slice::from_raw_parts_mut(sums.at(y * c, c), c),
                )
            };
            sum.fill(0.0);
            for pixel in row.chunks_exact(c) {
                for (s, p) in sum.iter_mut().zip(pixel) {
                    *s += p;
                }
            }
        }
        cx.team.meet();
        if cx.index == 0 {
            // SAFETY: all sums are there, nobody writes them now; the output is written by this thread alone.
            let (sums, out) = unsafe {
                (
                    std::slice::from_raw_parts(sums.at(0, self.height * c), self.height * c),
                    std::slice::from_raw_parts_mut(cx.pixel(&self.output, 0), c),
                )
            };
            out.fill(0.0);
            for row in sums.chunks_exact(c) {
                for (o, s) in out.iter_mut().zip(row) {
                    *o += s;
                }
            }
            let scale = 1.0 / (self.height * width) as f32;
            for o in out {
                *o *= scale;
            }
        }
    }
}

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

    /// The kernels that it runs on.
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Bytes of packed weights.
    pub fn weight_bytes(&self) -> usize {
        self.weight_bytes
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
            claims: (0..self.threads).map(|_| std::sync::atomic::AtomicBool::new(false)).collect(),
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
        spread: &dyn Fn(&Share),
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
        let team = Team::new(self.threads);
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
            let _member = team.member();
            let cx = Context { program: self, arena: shared.arena, output: shared.output, team: &team, index };
            // SAFETY: `index` is below the number of scratch buffers (as `claims`), and was claimed by this thread.
            let scratch = unsafe { &mut *shared.scratch.add(index) };
            for (step, time) in self.steps.iter().zip(times) {
                let begun = (index == 0).then(std::time::Instant::now);
                match &step.work {
                    Work::Chain(s) => s.run(&cx, shared.source, scratch),
                    Work::Sliced(s) => s.run(&cx),
                    Work::Convolution(s) => s.run(&cx),
                    Work::Average(s) => s.run(&cx),
                }
                team.meet();
                if let Some(begun) = begun {
                    time.store(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
                }
            }
        });
        assert!(claims.iter().all(|c| c.load(Ordering::Acquire)), "not every thread of the inference was started");
        Ok(())
    }
}
