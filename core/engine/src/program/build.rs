//! The builder: checks each layer, chooses how it runs, packs its weights, and finally assigns every buffer its offset.

use std::fmt::Write as _;
use std::marker::PhantomData;
use std::sync::Arc;

use super::chain::{Chain, MAX_STAGES, Stage, Tap, copy_row};
use super::context::{Rows, Run, lay_out};
use super::describe::{
    Block, BuildError, Filter, Map, Stem, Window, check_filter, check_window, padded_columns, refuse,
};
use super::head::{Average, Convolution, Input, Unblock};
use super::packed_list::{NotPacked, PackedList};
use super::precision::Precision;
use super::row::{Pointwise, Separable};
use super::sliced::{Slice, Sliced};
use super::stages::{BlockStage, StemStage};
use super::{Program, Shape, Step};
use crate::arena::Live;
use crate::caches::Caches;
use silhouette_kernels::element::Element;
use silhouette_kernels::isa::Isa;
use silhouette_kernels::memory;
use silhouette_kernels::pack::{ALIGN, Matrix, Packed, PackedDepthwise, PackedReader};
use silhouette_kernels::pointwise::Kernel;
use silhouette_kernels::size::{MAX_OUTPUTS, Size};

#[derive(Clone, Copy, Debug)]
pub(super) struct MapInfo {
    pub(super) size: Size,
    pub(super) channels: usize,
    buffer: usize,
}

/// Compiles a network step by step, to programs that hold and compute in `E`.
pub struct Builder<E: Precision> {
    isa: Isa,
    threads: usize,
    caches: Caches,
    maps: Vec<MapInfo>,
    buffers: Vec<Live>,
    steps: Vec<Step>,
    input: Size,
    zero_len: usize,
    packed: PackedList,
    element: PhantomData<E>,
}

impl<E: Precision> Builder<E> {
    /// Elements in a cache line.
    pub(super) const LINE: usize = ALIGN / size_of::<E>();

    /// For `threads` threads (at least 1).
    pub fn new(isa: Isa, threads: usize, caches: Caches) -> Self {
        Self {
            isa,
            threads: threads.max(1),
            caches,
            maps: Vec::new(),
            // Buffer 0 is the row of zeros.
            buffers: vec![Live { len: 0, first: 0, last: usize::MAX }],
            steps: Vec::new(),
            input: Size::square(0),
            zero_len: 0,
            packed: PackedList::new(isa),
            element: PhantomData,
        }
    }

    /// Uses weights that were packed earlier for the same network and instruction set, as returned by
    /// [`Program::packed`]. Of the filters passed later only the number of biases matters; their weights may be empty.
    #[must_use]
    pub fn with_packed(mut self, reader: PackedReader) -> Self {
        self.packed = PackedList::from_packed(self.isa, reader);
        self
    }

    /// A buffer of `len` elements. (A length that overflows exceeds any limit.)
    fn buffer<T: Element>(&mut self, len: usize) -> usize {
        let step = self.steps.len();
        self.buffers.push(Live { len: len.saturating_mul(size_of::<T>()), first: step, last: step });
        self.buffers.len() - 1
    }

    pub(super) fn map(&mut self, step: &str, size: Size, channels: usize) -> Result<Map, BuildError> {
        let Size { height, width } = size;
        let blocked = channels.checked_next_multiple_of(E::lanes(self.isa));
        let Some(len) = height.checked_mul(width).and_then(|n| n.checked_mul(blocked?)) else {
            return refuse(step, format!("a map of {size}x{channels} is too large"));
        };
        if len == 0 {
            return refuse(step, format!("a map of {size}x{channels} is empty"));
        }
        let buffer = self.buffer::<E>(len);
        self.maps.push(MapInfo { size, channels, buffer });
        Ok(Map(self.maps.len() - 1))
    }

    /// Size and channels of a map.
    pub(super) fn info(&self, map: Map) -> MapInfo {
        self.maps[map.0]
    }

    /// The next step.
    pub(super) fn push(&mut self, name: &str, explain: String, macs: u64, work: Box<dyn Run>) {
        self.steps.push(Step { name: name.to_owned(), explain, macs, work });
    }

    /// The map's rows, live until at least this step.
    pub(super) fn read(&mut self, map: Map) -> Rows {
        let info = self.maps[map.0];
        self.buffers[info.buffer].last = self.steps.len();
        self.rows_of(map)
    }

    pub(super) fn rows_of(&self, map: Map) -> Rows {
        let i = self.maps[map.0];
        Rows {
            buffer: i.buffer,
            per_thread: 0,
            cap: i.size.height,
            groups: i.channels.div_ceil(E::lanes(self.isa)),
            lanes: E::lanes(self.isa),
            padded: i.size.width,
            left: 0,
            width: i.size.width,
            outside: None,
        }
    }

    /// A ring of `cap` padded rows for each thread.
    pub(super) fn ring(&mut self, cap: usize, channels: usize, window: &Window, padded: bool) -> Rows {
        let lanes = E::lanes(self.isa);
        self.ring_of(cap, (channels.div_ceil(lanes), lanes), window, padded)
    }

    /// The same for rows of `groups` groups of `lanes` values.
    fn ring_of(&mut self, cap: usize, groups: (usize, usize), window: &Window, padded: bool) -> Rows {
        let mut rows = ring_rows(Self::LINE, cap, groups, window, padded);
        rows.buffer = self.buffer::<E>(rows.per_thread * self.threads);
        if padded {
            self.zero_len = self.zero_len.max(rows.row_len());
        }
        rows
    }

    /// Channels of a group.
    pub(super) fn lanes(&self) -> usize {
        E::lanes(self.isa)
    }

    /// A buffer of `len` values for each thread, for this step only.
    pub(super) fn scratch(&mut self, len: usize) -> usize {
        self.buffer::<E>(len * self.threads)
    }

    /// Channels rounded up to whole vectors.
    fn blocked(&self, channels: usize) -> usize {
        channels.next_multiple_of(E::lanes(self.isa))
    }

    pub(super) fn pack(
        &mut self,
        step: &str,
        k: usize,
        matrix: &Matrix<'_>,
        bias: &[f32],
    ) -> Result<Arc<Packed<E, E>>, BuildError> {
        self.packed.product(k, matrix, bias).map_err(|error| not_packed(step, error))
    }

    pub(super) fn pack_depthwise(&mut self, step: &str, f: &Filter<'_>) -> Result<Arc<PackedDepthwise<E>>, BuildError> {
        let packed = self.packed.depthwise(f.bias.len(), |c, t| f.weight[9 * c + t], |c| f.bias[c]);
        packed.map_err(|error| not_packed(step, error))
    }

    pub(super) fn check_filter(
        &self,
        step: &str,
        what: &str,
        f: &Filter<'_>,
        k: usize,
        taps: usize,
    ) -> Result<(), BuildError> {
        check_filter(step, what, f, k, taps, self.packed.were_packed())
    }

    fn check_block(&self, b: &Block<'_>) -> Result<(), BuildError> {
        let wide = b.depthwise.bias.len();
        check_window(b.name, &b.window)?;
        if let Some(e) = &b.expand {
            self.check_filter(b.name, "expand", e, b.c_in, 1)?;
            if e.bias.len() != wide {
                return refuse(b.name, format!("expands to {} channels, depthwise has {wide}", e.bias.len()));
            }
        } else if wide != b.c_in {
            return refuse(b.name, format!("reads {} channels, depthwise has {wide}", b.c_in));
        }
        self.check_filter(b.name, "depthwise", &b.depthwise, 1, 9)?;
        self.check_filter(b.name, "project", &b.project, wide, 1)?;
        if b.residual && (b.window.input != b.window.output || b.c_in != b.project.bias.len()) {
            return refuse(b.name, "a shortcut needs input and output of one shape");
        }
        if b.expansion_shortcut && b.window.input != b.window.output {
            return refuse(b.name, "a shortcut between expansions needs stride 1");
        }
        Ok(())
    }

    /// Whether a chain with this block stays within the caches, or at least uses less of them than the smallest slice
    /// would; otherwise it is better [`sliced`](Self::sliced).
    pub fn chains_well(&self, b: &Block<'_>) -> bool {
        let wide = b.depthwise.bias.len();
        let rows = 2 * b.window.rate + 1;
        let columns = padded_columns(&b.window);
        let ring = rows * columns * wide * size_of::<E>();
        let weights = (b.c_in + 9 + b.project.bias.len()) * wide * size_of::<E>();
        let widest = E::lanes(self.isa) * <E as Kernel<E, E>>::panels(self.isa).most;
        let slice = b.window.input.height * columns * widest * size_of::<E>();
        let l2 = self.caches.working_set();
        let fits = ring <= l2 / 2 && weights <= l2 / 8;
        b.expand.is_some() && (fits || slice > l2 / 2 && ring + weights <= slice)
    }

    /// How many of `blocks` a chain that begins with `stem` should hold: all, or as many as keep the rings of all
    /// threads and the chain's output map within 2.75 MiB (`CHAIN_ROOM`); if none does, the number that uses the least.
    pub fn chain_length(&self, stem: &Stem<'_>, blocks: &[Block<'_>]) -> usize {
        let lanes = E::lanes(self.isa);
        let ring = |cap, channels: usize, window: &Window, padded| {
            ring_rows(Self::LINE, cap, (channels.div_ceil(lanes), lanes), window, padded).per_thread
        };
        let rings_of = |b: &Block<'_>| match (b.window.rate, b.depthwise.bias.len()) {
            (rate, wide) if b.expand.is_some() => {
                ring(2 * rate + 2, b.c_in, &b.window, false) + ring(2 * rate + 1, wide, &b.window, true)
            }
            (rate, _) => ring(2 * rate + 1, b.c_in, &b.window, true),
        };
        let mut rings = ring_rows(Self::LINE, 3, (1, 3), &stem.window, true).per_thread;
        let mut longest = 0;
        let bytes = blocks.iter().enumerate().map(|(i, b)| {
            rings += rings_of(b);
            longest = longest.max(b.window.output.width * self.blocked(b.depthwise.bias.len()));
            let map = b.window.output.height * b.window.output.width * self.blocked(b.project.bias.len());
            // The next step holds that map, usually another of its size, and its own rings.
            let after = 2 * map + blocks.get(i + 1).map_or(0, rings_of) * self.threads;
            ((rings + longest) * self.threads + map).max(after) * size_of::<E>()
        });
        let bytes: Vec<usize> = bytes.collect();
        let fits = bytes.iter().rposition(|&bytes| bytes <= CHAIN_ROOM);
        let least = || (0..bytes.len()).min_by_key(|&i| bytes[i]);
        fits.or_else(least).map_or(0, |last| last + 1)
    }

    /// Stem and blocks, or blocks after `input`, depth first.
    ///
    /// # Errors
    /// If the shapes do not match. A block without expansion cannot be first after a map: use [`sliced`](Self::sliced)
    /// for it.
    pub fn chain(
        &mut self,
        input: Option<Map>,
        stem: Option<&Stem<'_>>,
        blocks: &[Block<'_>],
    ) -> Result<Map, BuildError> {
        Ok(self.tapped_chain(input, stem, blocks, &[])?.0)
    }

    /// The same, and also the maps of these stages (0 is the first: the stem, if there is one), which later steps read
    /// too: the chain runs as it does without, and additionally stores each of their rows into a whole map.
    ///
    /// # Errors
    /// As [`chain`](Self::chain); also for a stage that does not exist, the last one (its map is the chain's), or one
    /// named twice.
    pub fn tapped_chain(
        &mut self,
        input: Option<Map>,
        stem: Option<&Stem<'_>>,
        blocks: &[Block<'_>],
        taps: &[usize],
    ) -> Result<(Map, Vec<Map>), BuildError> {
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
                self.check_filter(s.name, "weight", &s.filter, 3, 9)?;
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
                (i.size, i.channels)
            }
            (None, None) => return refuse(&name, "nothing to read"),
        };
        for b in blocks {
            self.check_block(b)?;
            if b.window.input != size || b.c_in != channels {
                return refuse(
                    b.name,
                    format!("reads {}x{}, the layer before writes {size}x{channels}", b.window.input, b.c_in),
                );
            }
            (size, channels) = (b.window.output, b.project.bias.len());
        }
        let output = self.map(&name, size, channels)?;
        // Rows are convolved one at a time: all stages share the buffer.
        let longest =
            blocks.iter().map(|b| b.window.output.width * self.blocked(b.depthwise.bias.len())).max().unwrap_or(0);
        let wide_row_len = longest.next_multiple_of(Self::LINE);
        let wide_row = self.buffer::<E>(wide_row_len * self.threads);
        let mut stages: Vec<Box<dyn Stage>> = Vec::with_capacity(blocks.len() + 1);
        let mut outputs = Vec::with_capacity(blocks.len() + 1);
        let mut macs = 0u64;
        let mut from = None;
        let mut ring_bytes = 0;
        let to_rows = self.rows_of(output);
        // Stage i writes its rows to the ring that stage i + 1 reads.
        let ring_for = |this: &mut Self, next: Option<&Block<'_>>| match next {
            None => to_rows,
            Some(b) if b.expand.is_some() => this.ring(2 * b.window.rate + 2, b.c_in, &b.window, false),
            Some(b) => this.ring(2 * b.window.rate + 1, b.c_in, &b.window, true),
        };
        if let Some(s) = stem {
            self.input = s.window.input;
            let input = self.ring_of(3, (1, 3), &s.window, true);
            let to = ring_for(self, blocks.first());
            let c_out = s.filter.bias.len();
            // Inputs in the order of the three runs: row, column, channel.
            let order = |i: usize| s.filter.weight[i / 27 * 27 + 9 * (i % 3) + i % 27 / 3];
            let mut ordered = Vec::new();
            memory::reserve(&mut ordered, s.filter.weight.len(), "the stem's weights")?;
            ordered.extend((0..s.filter.weight.len()).map(order));
            let weights = self.pack(s.name, 27, &rows_of_matrix(&ordered, 27, 0), s.filter.bias)?;
            macs += (27 * c_out * s.window.output.height * s.window.output.width) as u64;
            stages.push(Box::new(StemStage { window: s.window, input, weights, clamp: s.filter.clamp, output: to }));
            outputs.push((to, s.window.output));
            from = Some(to);
        }
        for (i, b) in blocks.iter().enumerate() {
            let input = match (from, input) {
                (Some(rows), _) => rows,
                (None, Some(map)) => self.read(map),
                (None, None) => return refuse(&name, "nothing to read"),
            };
            let wide = b.depthwise.bias.len();
            let mut expand = None;
            if let Some(e) = &b.expand {
                let mut ring = self.ring(2 * b.window.rate + 1, wide, &b.window, true);
                ring.outside = b.pads_input.then(|| self.scratch(ring.outside_len()));
                ring_bytes += ring.per_thread * size_of::<E>();
                let packed = self.pack(b.name, b.c_in, &rows_of_matrix(e.weight, b.c_in, 0), e.bias)?;
                expand = Some((Pointwise { weights: packed, clamp: e.clamp }, ring));
            }
            let depthwise = self.pack_depthwise(b.name, &b.depthwise)?;
            let c_out = b.project.bias.len();
            let weights = self.pack(b.name, wide, &rows_of_matrix(b.project.weight, wide, 0), b.project.bias)?;
            let to = ring_for(self, blocks.get(i + 1));
            let pixels_in = b.window.input.height * b.window.input.width;
            let pixels_out = b.window.output.height * b.window.output.width;
            macs +=
                (if expand.is_some() { pixels_in * b.c_in * wide } else { 0 } + pixels_out * wide * (9 + c_out)) as u64;
            stages.push(Box::new(BlockStage {
                input,
                expand,
                separable: Separable {
                    window: b.window,
                    depthwise,
                    depthwise_clamp: b.depthwise.clamp,
                    wide_row,
                    wide_row_len,
                    pointwise: Pointwise { weights, clamp: b.project.clamp },
                    output: to,
                },
                expansion_shortcut: b.expansion_shortcut,
                residual: b.residual,
            }));
            outputs.push((to, b.window.output));
            from = Some(to);
        }
        let mut tapped = vec![None; stages.len()];
        let mut maps = Vec::with_capacity(taps.len());
        for &tap in taps {
            if tap + 1 >= stages.len() || tapped[tap].is_some() {
                return refuse(&name, format!("stage {tap} of {} cannot be tapped, or is already", stages.len()));
            }
            let (from, size) = outputs[tap];
            let mut written =
                stem.map(|s| s.filter.bias.len()).into_iter().chain(blocks.iter().map(|b| b.project.bias.len()));
            let channels = written.nth(tap).unwrap_or(0);
            let map = self.map(&name, size, channels)?;
            tapped[tap] = Some(Tap { from, to: self.rows_of(map), copy: copy_row::<E> });
            maps.push(map);
        }
        let mut explain = format!("rows, depth first; rings of expanded rows {} KiB per thread", ring_bytes >> 10);
        if !taps.is_empty() {
            let _ = write!(explain, "; {} intermediate maps are stored", taps.len());
        }
        self.steps.push(Step { name, explain, macs, work: Box::new(Chain { stages, taps: tapped }) });
        Ok((output, maps))
    }

    /// One block, a slice of its expanded channels at a time; the caches determine the number of slices.
    ///
    /// # Errors
    /// If the shapes do not match.
    pub fn sliced(&mut self, input: Map, b: &Block<'_>) -> Result<Map, BuildError> {
        self.in_slices(input, b, None)
    }

    /// The same in `ways` slices, whatever the caches: the paper's t-way split (section 5), for measurements. A slice
    /// consists of complete vectors, so there may be fewer slices.
    ///
    /// # Errors
    /// As [`sliced`](Self::sliced).
    pub fn split(&mut self, input: Map, b: &Block<'_>, ways: usize) -> Result<Map, BuildError> {
        self.in_slices(input, b, Some(ways.max(1)))
    }

    fn in_slices(&mut self, input: Map, b: &Block<'_>, ways: Option<usize>) -> Result<Map, BuildError> {
        self.check_block(b)?;
        let info = self.maps[input.0];
        if info.size != b.window.input || info.channels != b.c_in {
            return refuse(b.name, "does not match the map that it reads");
        }
        let wide = b.depthwise.bias.len();
        let c_out = b.project.bias.len();
        let w = b.window;
        let lanes = E::lanes(self.isa);
        let output = self.map(b.name, w.output, c_out)?;
        let rows = self.read(input);
        let padded = padded_columns(&w);
        // A slice consists of complete panels; both wide buffers and the strip should fit in half the L2.
        let panel = lanes * <E as Kernel<E, E>>::panels(self.isa).most;
        let plane = w.input.height * padded * size_of::<E>();
        let fit = (self.caches.working_set() / 2 / plane.max(1)) / panel * panel;
        let channels = fit.clamp(panel, panel * 8).min(wide);
        let count = ways.unwrap_or_else(|| wide.div_ceil(channels)).min(wide);
        let channels = wide.div_ceil(count).next_multiple_of(lanes).min(wide);
        let mut slices = Vec::with_capacity(count);
        let mut first = 0;
        while first < wide {
            let n = channels.min(wide - first);
            let mut expand = None;
            if let Some(e) = &b.expand {
                let matrix = rows_of_matrix(e.weight, b.c_in, first * b.c_in);
                expand = Some(self.pack(b.name, b.c_in, &matrix, &e.bias[first..first + n])?);
            }
            let project = self.pack(b.name, n, &rows_of_matrix(b.project.weight, wide, first), b.project.bias)?;
            slices.push(Slice { first, channels: n, expand, project });
            first += n;
        }
        let blocked = self.blocked(channels);
        let plane_len = w.input.height * padded * blocked;
        self.zero_len = self.zero_len.max(padded * blocked);
        let wide_rows = |this: &mut Self| {
            let buffer = this.buffer::<E>(plane_len);
            let groups = blocked / lanes;
            Rows {
                buffer,
                per_thread: 0,
                cap: w.input.height,
                groups,
                lanes,
                padded,
                left: w.pad.width,
                width: w.input.width,
                outside: None,
            }
        };
        let mut first_wide = wide_rows(self);
        if b.pads_input && b.expand.is_some() {
            first_wide.outside = Some(self.scratch(first_wide.outside_len()));
        }
        let wide_buffers = [
            first_wide,
            if self.threads == 1 { first_wide } else { Rows { outside: first_wide.outside, ..wide_rows(self) } },
        ];
        let row_len = w.output.width * blocked;
        let strip_rows = (self.caches.l1 / size_of::<E>() / row_len.max(1)).clamp(1, 16).min(w.output.height);
        let strip_len = (strip_rows * row_len).next_multiple_of(Self::LINE);
        let strip = self.buffer::<E>(strip_len * self.threads);
        let explain = format!(
            "{} slices of {channels} of {wide} channels, {} KiB each; strips of {strip_rows} rows",
            slices.len(),
            (plane_len * size_of::<E>()) >> 10
        );
        let macs = if b.expand.is_some() { w.input.height * w.input.width * b.c_in * wide } else { 0 }
            + w.output.height * w.output.width * wide * (9 + c_out);
        let depthwise = self.pack_depthwise(b.name, &b.depthwise)?;
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
        self.steps.push(Step { name: b.name.to_owned(), explain, macs: macs as u64, work: Box::new(work) });
        Ok(output)
    }

    /// A 1x1 or 3x3 convolution of stride 1 over the concatenation of `inputs` (all of one height and width), with zero
    /// padding. `filter.weight` is (O, sum of channels, K, K). `bias`: a 1x1 map that replaces `filter.bias`.
    ///
    /// # Errors
    /// If the shapes do not match.
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
            return refuse(name, "only 1x1 and 3x3 convolutions are supported");
        }
        if inputs.iter().any(|m| self.maps[m.0].size != first.size) {
            return refuse(name, "its inputs differ in size");
        }
        let total: usize = inputs.iter().map(|m| self.maps[m.0].channels).sum();
        let taps = kernel * kernel;
        self.check_filter(name, "weight", filter, total, taps)?;
        let c_out = filter.bias.len();
        if let Some(b) = bias.map(|m| self.maps[m.0])
            && (b.size, b.channels) != (Size::square(1), c_out)
        {
            return refuse(name, "its bias is not one value per output channel");
        }
        let output = self.map(name, first.size, c_out)?;
        let bias = bias.map(|m| self.read(m));
        let mut before = 0;
        let mut parts = Vec::with_capacity(inputs.len());
        for &m in inputs {
            let rows = self.read(m);
            let k = self.maps[m.0].channels;
            let tap = |t: usize| Matrix {
                weights: filter.weight,
                output: total * taps,
                first: before * taps + t,
                input: taps,
            };
            let taps = (0..taps).map(|t| self.pack(name, k, &tap(t), filter.bias)).collect::<Result<_, _>>()?;
            parts.push(Input { rows, taps });
            before += k;
        }
        let work = Convolution {
            height: first.size.height,
            rate,
            inputs: parts,
            bias,
            clamp: filter.clamp,
            output: self.rows_of(output),
        };
        let macs = first.size.pixels() * (total * taps * c_out) as u64;
        let explain = format!("{kernel}x{kernel}, whole map");
        self.steps.push(Step { name: name.to_owned(), explain, macs, work: Box::new(work) });
        Ok(output)
    }

    /// The average of the map: 1 x 1 x channels.
    ///
    /// # Errors
    /// If the map is empty.
    pub fn average(&mut self, name: &str, input: Map) -> Result<Map, BuildError> {
        let info = self.maps[input.0];
        let output = self.map(name, Size::square(1), info.channels)?;
        let rows = self.read(input);
        let sums = self.buffer::<f32>(info.size.height * self.blocked(info.channels));
        let work = Average::<E> {
            height: info.size.height,
            input: rows,
            sums,
            output: self.rows_of(output),
            element: PhantomData,
        };
        self.steps.push(Step {
            name: name.to_owned(),
            explain: "sums of rows, then of the map".to_owned(),
            macs: info.size.pixels() * info.channels as u64,
            work: Box::new(work),
        });
        Ok(output)
    }

    /// The compiled program; `outputs` (1 to [`MAX_OUTPUTS`]) are what it writes.
    ///
    /// # Errors
    /// If the arena would need more than `limit` bytes, prepacked weights are left over, or there are no or too many
    /// outputs.
    pub fn finish(mut self, outputs: &[Map], limit: usize) -> Result<Arc<Program>, BuildError> {
        if self.packed.has_more() {
            return refuse("weights", "more were packed earlier than the network has");
        }
        if !(1..=MAX_OUTPUTS).contains(&outputs.len()) {
            return refuse("output", format!("{} outputs are not 1 to {MAX_OUTPUTS}", outputs.len()));
        }
        let shapes: Vec<Shape> = outputs
            .iter()
            .map(|map| self.info(*map))
            .map(|info| Shape { size: info.size, channels: info.channels })
            .collect();
        for (index, (&output, shape)) in outputs.iter().zip(&shapes).enumerate() {
            let input = self.read(output);
            let work = Unblock::<E> {
                height: shape.size.height,
                channels: shape.channels,
                input,
                output: index,
                element: PhantomData,
            };
            let name = if outputs.len() == 1 { "output".to_owned() } else { format!("output {index}") };
            self.push(&name, "channels last".to_owned(), 0, Box::new(work));
        }
        self.buffers[0].len = self.zero_len * size_of::<E>();
        let (layout, arena_len) = lay_out(self.isa, self.threads, &self.buffers, limit)?;
        Ok(Arc::new(Program {
            layout,
            element: E::TYPE,
            input: self.input,
            outputs: shapes,
            steps: self.steps,
            arena_len,
            packed: self.packed,
        }))
    }
}

/// Limit for the rings of all threads and the map that they lead to, in bytes: about what the heads of networks need
/// anyway.
const CHAIN_ROOM: usize = 11 << 18;

fn not_packed(step: &str, error: NotPacked) -> BuildError {
    match error {
        NotPacked::TooFew => BuildError::Refused {
            step: step.to_owned(),
            reason: "fewer weights were packed earlier than the network has".into(),
        },
        NotPacked::Overflow => BuildError::Refused {
            step: step.to_owned(),
            reason: "a weight or bias is beyond the range of f16 (65504); use f32".into(),
        },
        NotPacked::OutOfMemory(error) => BuildError::OutOfMemory(error),
    }
}

/// Rows of a ring, in whole cache lines of `line` elements, of `cap` rows of `groups` groups of `lanes` values, which has no buffer yet.
fn ring_rows(line: usize, cap: usize, (groups, lanes): (usize, usize), window: &Window, padded: bool) -> Rows {
    let width = window.input.width;
    let left = if padded { window.pad.width } else { 0 };
    let columns = if padded { padded_columns(window) } else { width };
    let mut rows = Rows { buffer: 0, per_thread: 0, cap, groups, lanes, padded: columns, left, width, outside: None };
    rows.per_thread = (cap * rows.row_len()).next_multiple_of(line);
    rows
}

/// A matrix with `k` inputs per row, starting at input `first`.
pub(super) fn rows_of_matrix(weights: &[f32], k: usize, first: usize) -> Matrix<'_> {
    Matrix { weights, output: k, first, input: 1 }
}
