//! The builder of integer programs: checks each layer, packs its weights, and assigns every buffer its offset.

use std::sync::Arc;

use super::describe::{IntegerBlock, IntegerLayer, IntegerStem};
use super::rows::Product;
use super::stages::{BlockStage, Fill, StemStage};
use super::steps::{Average, Concat, Convolution, Dequantise, Part};
use crate::arena::Live;
use crate::caches::Caches;
use crate::program::chain::{Chain, MAX_STAGES, Stage};
use crate::program::context::{Rows, Run, lay_out};
use crate::program::describe::{BuildError, Map, Window, check_window, padded_columns, refuse};
use crate::program::packed_list::PackedList;
use crate::program::{Program, Shape, Step};
use silhouette_kernels::element::{DataType, Quantization};
use silhouette_kernels::int8::{
    AddScales, Bounds, Filter, GROUP, Inputs, Multiplier, PackedDepthwise, PackedPointwise, SLACK, TooLarge, signed,
};
use silhouette_kernels::isa::Isa;
use silhouette_kernels::pack::ALIGN;
use silhouette_kernels::size::{MAX_OUTPUTS, Size};

#[derive(Clone, Copy, Debug)]
struct MapInfo {
    size: Size,
    channels: usize,
    /// As unsigned bytes.
    quantization: Quantization,
    buffer: usize,
}

/// Compiles a quantised network step by step.
pub struct IntegerBuilder {
    isa: Isa,
    threads: usize,
    caches: Caches,
    maps: Vec<MapInfo>,
    buffers: Vec<Live>,
    steps: Vec<Step>,
    input: Size,
    packed: PackedList,
}

impl IntegerBuilder {
    /// For `threads` threads (at least 1).
    pub fn new(isa: Isa, threads: usize, caches: Caches) -> Self {
        Self {
            isa,
            threads: threads.max(1),
            caches,
            maps: Vec::new(),
            buffers: Vec::new(),
            steps: Vec::new(),
            input: Size::square(0),
            packed: PackedList::new(isa),
        }
    }

    /// A buffer of `len` bytes. (A length that overflows exceeds any limit.)
    fn buffer(&mut self, len: usize) -> usize {
        let step = self.steps.len();
        self.buffers.push(Live { len, first: step, last: step });
        self.buffers.len() - 1
    }

    fn map(&mut self, step: &str, size: Size, channels: usize, quantization: Quantization) -> Result<Map, BuildError> {
        let Size { height, width } = size;
        let blocked = channels.checked_next_multiple_of(GROUP);
        let Some(len) = height.checked_mul(width).and_then(|n| n.checked_mul(blocked?)) else {
            return refuse(step, format!("a map of {size}x{channels} is too large"));
        };
        if len == 0 {
            return refuse(step, format!("a map of {size}x{channels} is empty"));
        }
        let buffer = self.buffer(len);
        self.maps.push(MapInfo { size, channels, quantization, buffer });
        Ok(Map(self.maps.len() - 1))
    }

    /// The map's rows, live until at least this step.
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
            cap: i.size.height,
            groups: i.channels.div_ceil(GROUP),
            lanes: GROUP,
            padded: i.size.width,
            left: 0,
            width: i.size.width,
            outside: None,
        }
    }

    /// A ring of `cap` rows for each thread; padded for a depthwise convolution, with a row that stands for those outside
    /// the map.
    fn ring(&mut self, cap: usize, (groups, lanes): (usize, usize), window: &Window, padded: bool) -> Rows {
        let width = window.input.width;
        let left = if padded { window.pad.width } else { 0 };
        // A kernel reads past an image's last pixel.
        let slack = if lanes == GROUP { 0 } else { SLACK.div_ceil(lanes) };
        let columns = if padded { padded_columns(window) + slack } else { width };
        let mut rows =
            Rows { buffer: 0, per_thread: 0, cap, groups, lanes, padded: columns, left, width, outside: None };
        rows.per_thread = (cap * rows.row_len()).next_multiple_of(ALIGN);
        rows.buffer = self.buffer(rows.per_thread * self.threads);
        if padded {
            let outside = rows.outside_len() * self.threads;
            rows.outside = Some(self.buffer(outside));
        }
        rows
    }

    /// As stored bytes.
    fn stored(&self, q: Quantization) -> Quantization {
        if signed(self.isa) { Quantization { zero_point: q.zero_point - 128, ..q } } else { q }
    }

    /// The stored byte of a zero point.
    fn zero(&self, q: Quantization) -> u8 {
        self.stored(q).zero_point as u8
    }

    /// The range of a layer's stored outputs, as TensorFlow Lite computes it, and whether it reaches below the zero point.
    fn bounds(&self, q: Quantization, clamp: Option<(f32, f32)>) -> (Bounds, bool) {
        // (A cast saturates.)
        let at = |v: f32| (v / q.scale).round() as i32;
        let (low, high) = clamp.map_or((0, 255), |(low, high)| {
            let bound = |v: f32| at(v).saturating_add(q.zero_point).clamp(0, 255);
            (bound(low), bound(high))
        });
        let offset = self.stored(q).zero_point - q.zero_point;
        let bounds = Bounds { zero: q.zero_point + offset, low: low + offset, high: high.max(low) + offset };
        (bounds, low < q.zero_point)
    }

    fn multipliers(name: &str, layer: &IntegerLayer<'_>, input: Quantization) -> Result<Vec<Multiplier>, BuildError> {
        let outputs = layer.bias.len();
        if layer.weight_scale.len() != 1 && layer.weight_scale.len() != outputs {
            return refuse(name, format!("{} scales for {outputs} outputs", layer.weight_scale.len()));
        }
        let one = |scale: f32| {
            let product = if layer.scale_as_f32 {
                f64::from(input.scale * scale)
            } else {
                f64::from(input.scale) * f64::from(scale)
            };
            Multiplier::new(product / f64::from(layer.output.scale)).ok_or(scale)
        };
        let scales = layer.weight_scale.iter().cycle().take(outputs);
        scales.map(|&scale| one(scale)).collect::<Result<_, _>>().or_else(|scale| {
            refuse(
                name,
                format!("scales of {} and {scale} do not fit an output scale of {}", input.scale, layer.output.scale),
            )
        })
    }

    fn filter<'a>(&self, layer: &IntegerLayer<'a>, multipliers: &'a [Multiplier], input: Quantization) -> Filter<'a> {
        Filter {
            weight: layer.weight,
            bias: layer.bias,
            multipliers,
            weight_zero: layer.weight_zero,
            input_zero: self.stored(input).zero_point,
        }
    }

    fn check(name: &str, what: &str, layer: &IntegerLayer<'_>, k: usize, taps: usize) -> Result<(), BuildError> {
        let expected = layer.bias.len().checked_mul(k * taps);
        if layer.bias.is_empty() || expected != Some(layer.weight.len()) {
            return refuse(
                name,
                format!("{what} has {} weights for {} outputs of {k} inputs", layer.weight.len(), layer.bias.len()),
            );
        }
        Ok(())
    }

    /// Packs a product; `width`: pixels of its longest row.
    fn product(
        &mut self,
        name: &str,
        inputs: Inputs,
        layer: &IntegerLayer<'_>,
        input: Quantization,
        width: usize,
    ) -> Result<Product, BuildError> {
        let multipliers = Self::multipliers(name, layer, input)?;
        let filter = self.filter(layer, &multipliers, input);
        let weights = PackedPointwise::new(self.isa, inputs, &filter).map_err(|e| not_packed(name, e))?;
        let (bounds, ties) = self.bounds(layer.output, layer.clamp);
        let sums_len = weights.sums_len(self.isa, inputs, width).max(1).next_multiple_of(ALIGN / 4);
        let sums = self.buffer(4 * sums_len * self.threads);
        Ok(Product { weights: self.packed.append(weights), bounds, ties, sums, sums_len })
    }

    fn depthwise(
        &mut self,
        name: &str,
        layer: &IntegerLayer<'_>,
        input: Quantization,
    ) -> Result<(Arc<PackedDepthwise>, Bounds, bool), BuildError> {
        let multipliers = Self::multipliers(name, layer, input)?;
        let filter = self.filter(layer, &multipliers, input);
        let weights = PackedDepthwise::new(&filter).map_err(|e| not_packed(name, e))?;
        let (bounds, ties) = self.bounds(layer.output, layer.clamp);
        Ok((self.packed.append(weights), bounds, ties))
    }

    /// How many of `blocks` a chain that begins with the image should hold: as many as keep rings and output map small.
    /// `sizes`: the expanded and output channels of each block.
    pub fn chain_length(&self, blocks: &[(Window, usize, usize)]) -> usize {
        let room = self.caches.working_set().max(1 << 20);
        let mut rings = 0;
        let mut length = 0;
        for (i, (window, wide, output)) in blocks.iter().enumerate() {
            rings += (2 * window.rate + 2) * padded_columns(window) * wide.next_multiple_of(GROUP) * self.threads;
            let map = window.output.height * window.output.width * output.next_multiple_of(GROUP);
            if rings + map <= room {
                length = i + 1;
            }
        }
        length.max(1).min(blocks.len())
    }

    /// The first layer and blocks, or blocks after `input`, depth first.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn chain(
        &mut self,
        input: Option<Map>,
        stem: Option<&IntegerStem<'_>>,
        blocks: &[IntegerBlock<'_>],
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
        let (mut size, mut channels, mut quantization) = match (stem, input) {
            (Some(s), None) => {
                check_window(s.name, &s.window)?;
                Self::check(s.name, "weight", &s.layer, 3, 9)?;
                if s.window.rate != 1 {
                    return refuse(s.name, "the stem's atrous rate is 1");
                }
                (s.window.output, s.layer.bias.len(), s.layer.output)
            }
            (None, Some(map)) => {
                let i = self.maps[map.0];
                (i.size, i.channels, i.quantization)
            }
            _ => return refuse(&name, "a chain begins with a stem or with a map"),
        };
        let mut inputs = Vec::with_capacity(blocks.len());
        for b in blocks {
            let wide = b.depthwise.bias.len();
            check_window(b.name, &b.window)?;
            match &b.expand {
                Some(e) => {
                    Self::check(b.name, "expand", e, channels, 1)?;
                    if e.bias.len() != wide {
                        return refuse(b.name, format!("expands to {} channels, depthwise has {wide}", e.bias.len()));
                    }
                }
                None if wide != channels => {
                    return refuse(b.name, format!("reads {channels} channels, depthwise has {wide}"));
                }
                None => {}
            }
            Self::check(b.name, "depthwise", &b.depthwise, 1, 9)?;
            Self::check(b.name, "project", &b.project, wide, 1)?;
            let c_out = b.project.bias.len();
            if b.window.input != size {
                return refuse(b.name, format!("reads {}, the layer before writes {size}", b.window.input));
            }
            if b.residual.is_some() && (b.window.input != b.window.output || channels != c_out) {
                return refuse(b.name, "a shortcut needs input and output of one shape");
            }
            inputs.push((channels, quantization));
            (size, channels, quantization) = (b.window.output, c_out, b.residual.unwrap_or(b.project.output));
        }
        let output = self.map(&name, size, channels, quantization)?;
        let to_rows = self.rows_of(output);
        let blocked = |channels: usize| channels.next_multiple_of(GROUP);
        let longest = blocks.iter().map(|b| b.window.output.width * blocked(b.depthwise.bias.len())).max().unwrap_or(0);
        let wide_row_len = longest.next_multiple_of(ALIGN);
        let wide_row = self.buffer(wide_row_len * self.threads);
        let mut stages: Vec<Box<dyn Stage>> = Vec::with_capacity(blocks.len() + 1);
        let mut macs = 0u64;
        let mut ring_bytes = 0;
        let mut from = input.map(|map| self.read(map));
        // Stage i writes its rows to the ring that stage i + 1 reads.
        let ring_for = |this: &mut Self, i: usize| match blocks.get(i) {
            None => to_rows,
            Some(b) => {
                let groups = (inputs[i].0.div_ceil(GROUP), GROUP);
                let (cap, padded) =
                    if b.expand.is_some() { (2 * b.window.rate + 2, false) } else { (2 * b.window.rate + 1, true) };
                // (A shortcut reads a row again after the window has passed it.)
                this.ring(cap + usize::from(padded), groups, &b.window, padded)
            }
        };
        if let Some(s) = stem {
            self.input = s.window.input;
            let input = self.ring(3, (1, 3), &s.window, true);
            let to = ring_for(self, 0);
            let c_out = s.layer.bias.len();
            // Inputs in the order of the three runs: row, column, channel.
            let order = |i: usize| s.layer.weight[i / 27 * 27 + 9 * (i % 3) + i % 27 / 3];
            let ordered: Vec<i8> = (0..s.layer.weight.len()).map(order).collect();
            let layer = IntegerLayer { weight: &ordered, ..s.layer };
            let product = self.product(s.name, Inputs::Image, &layer, s.input, s.window.output.width)?;
            macs += s.window.output.pixels() * (27 * c_out) as u64;
            let quantization = self.stored(s.input);
            stages.push(Box::new(StemStage { window: s.window, input, quantization, product, output: to }));
            from = Some(to);
        }
        for (i, b) in blocks.iter().enumerate() {
            let Some(rows) = from else { return refuse(&name, "nothing to read") };
            let (c_in, input_q) = inputs[i];
            let wide = b.depthwise.bias.len();
            let w = b.window;
            let groups = (wide.div_ceil(GROUP), GROUP);
            let (fill, ring, ring_q) = match &b.expand {
                Some(e) => {
                    let ring = self.ring(2 * w.rate + 1, groups, &w, true);
                    let product = self.product(b.name, Inputs::Channels(c_in), e, input_q, w.input.width)?;
                    (Fill::Expand(product), ring, e.output)
                }
                None if i == 0 && stem.is_none() => {
                    let ring = self.ring(2 * w.rate + 1, groups, &w, true);
                    (Fill::Copy, ring, input_q)
                }
                None => (Fill::InPlace, rows, input_q),
            };
            ring_bytes += ring.per_thread;
            let (depthwise, depthwise_bounds, depthwise_ties) = self.depthwise(b.name, &b.depthwise, ring_q)?;
            let c_out = b.project.bias.len();
            let project =
                self.product(b.name, Inputs::Channels(wide), &b.project, b.depthwise.output, w.output.width)?;
            let to = ring_for(self, i + 1);
            let residual = b.residual.map(|sum| self.sum(b, input_q, sum)).transpose()?;
            let expansion = if b.expand.is_some() { w.input.pixels() * (c_in * wide) as u64 } else { 0 };
            macs += expansion + w.output.pixels() * (wide * (9 + c_out)) as u64;
            stages.push(Box::new(BlockStage {
                window: w,
                input: rows,
                fill,
                ring,
                zero: self.zero(ring_q),
                depthwise,
                depthwise_bounds,
                depthwise_ties,
                wide_row,
                wide_row_len,
                project,
                residual,
                output: to,
            }));
            from = Some(to);
        }
        let taps = vec![None; stages.len()];
        let explain = format!("rows, depth first; rings of expanded rows {} KiB per thread", ring_bytes >> 10);
        self.push(&name, explain, macs, Box::new(Chain { stages, taps }));
        Ok(output)
    }

    fn sum(&self, b: &IntegerBlock<'_>, input: Quantization, sum: Quantization) -> Result<AddScales, BuildError> {
        let scales = [b.project.output.scale, input.scale];
        let zeros = [b.project.output, input].map(|q| self.stored(q).zero_point);
        let (bounds, _) = self.bounds(sum, None);
        AddScales::new(scales, zeros, sum.scale, bounds).map_or_else(
            || refuse(b.name, format!("maps with scales {scales:?} do not fit a sum with scale {}", sum.scale)),
            Ok,
        )
    }

    fn push(&mut self, name: &str, explain: String, macs: u64, work: Box<dyn Run>) {
        self.steps.push(Step { name: name.to_owned(), explain, macs, work });
    }

    /// A 1x1 convolution of a whole map.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn convolution(&mut self, name: &str, input: Map, layer: &IntegerLayer<'_>) -> Result<Map, BuildError> {
        let info = self.maps[input.0];
        Self::check(name, "weight", layer, info.channels, 1)?;
        let output = self.map(name, info.size, layer.bias.len(), layer.output)?;
        let rows = self.read(input);
        let product = self.product(name, Inputs::Channels(info.channels), layer, info.quantization, info.size.width)?;
        let macs = info.size.pixels() * (info.channels * layer.bias.len()) as u64;
        let output_rows = self.rows_of(output);
        let work = Convolution { height: info.size.height, input: rows, product, output: output_rows };
        self.push(name, "1x1, whole map".to_owned(), macs, Box::new(work));
        Ok(output)
    }

    /// The concatenation of maps of one size; those of one pixel are repeated over it. All are brought to one scale.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn concat(&mut self, name: &str, inputs: &[Map], output: Quantization) -> Result<Map, BuildError> {
        let infos: Vec<MapInfo> = inputs.iter().map(|m| self.maps[m.0]).collect();
        let one = Size::square(1);
        let Some(size) = infos.iter().map(|i| i.size).find(|&size| size != one).or(infos.first().map(|i| i.size))
        else {
            return refuse(name, "reads nothing");
        };
        if infos.iter().any(|i| i.size != size && i.size != one) {
            return refuse(name, "its inputs differ in size");
        }
        let channels = infos.iter().map(|i| i.channels).sum();
        let map = self.map(name, size, channels, output)?;
        let mut parts = Vec::with_capacity(infos.len());
        for (&input, info) in inputs.iter().zip(&infos) {
            let table = Box::new(self.table(name, info.quantization, output)?);
            let rows = self.read(input);
            let single = info.size == one && size != one;
            parts.push(Part { rows, channels: info.channels, single, same: info.quantization == output, table });
        }
        let rows = self.rows_of(map);
        let work = Concat { height: size.height, parts, output: rows };
        self.push(name, "whole map".to_owned(), 0, Box::new(work));
        Ok(map)
    }

    /// Stored bytes of one scale as those of another, as TensorFlow Lite's QUANTIZE converts them.
    fn table(&self, name: &str, from: Quantization, to: Quantization) -> Result<[u8; 256], BuildError> {
        let flip = if signed(self.isa) { 0x80 } else { 0 };
        let Some(multiplier) = Multiplier::new(f64::from(from.scale) / f64::from(to.scale)) else {
            return refuse(name, format!("a map with scale {} does not fit one with scale {}", from.scale, to.scale));
        };
        Ok(std::array::from_fn(|stored| {
            let byte = stored as u8 ^ flip;
            let scaled = multiplier.apply(i32::from(byte) - from.zero_point);
            let value = if from == to { byte } else { scaled.saturating_add(to.zero_point).clamp(0, 255) as u8 };
            value ^ flip
        }))
    }

    /// The same map, whose bytes represent something else. (A resize of one pixel to many repeats its bytes, whatever its output's
    /// scale is.)
    pub fn reinterpret(&mut self, map: Map, quantization: Quantization) -> Map {
        let info = self.maps[map.0];
        self.maps.push(MapInfo { quantization, ..info });
        Map(self.maps.len() - 1)
    }

    /// The average of the map: 1 x 1 x channels. `signed_file`: whether the model file's integers are signed.
    ///
    /// # Errors
    /// If the map is empty.
    pub fn average(&mut self, name: &str, input: Map, signed_file: bool) -> Result<Map, BuildError> {
        let info = self.maps[input.0];
        let output = self.map(name, Size::square(1), info.channels, info.quantization)?;
        let rows = self.read(input);
        let sums = self.buffer(4 * info.size.height * info.channels.next_multiple_of(GROUP));
        let work = Average {
            height: info.size.height,
            input: rows,
            sums,
            output: self.rows_of(output),
            signed: signed(self.isa),
            signed_file,
        };
        let macs = info.size.pixels() * info.channels as u64;
        self.push(name, "sums of rows, then of the map".to_owned(), macs, Box::new(work));
        Ok(output)
    }

    /// The compiled program; `outputs` (1 to [`MAX_OUTPUTS`]) are what it writes, as f32.
    ///
    /// # Errors
    /// If the arena would need more than `limit` bytes, or there are no or too many outputs.
    pub fn finish(mut self, outputs: &[Map], limit: usize) -> Result<Arc<Program>, BuildError> {
        if !(1..=MAX_OUTPUTS).contains(&outputs.len()) {
            return refuse("output", format!("{} outputs are not 1 to {MAX_OUTPUTS}", outputs.len()));
        }
        let infos: Vec<MapInfo> = outputs.iter().map(|map| self.maps[map.0]).collect();
        let shapes = infos.iter().map(|info| Shape { size: info.size, channels: info.channels }).collect();
        for (index, (&output, info)) in outputs.iter().zip(&infos).enumerate() {
            let input = self.read(output);
            let quantization = self.stored(info.quantization);
            let work =
                Dequantise { height: info.size.height, channels: info.channels, input, quantization, output: index };
            let name = if outputs.len() == 1 { "output".to_owned() } else { format!("output {index}") };
            self.push(&name, "f32, channels last".to_owned(), 0, Box::new(work));
        }
        let (layout, arena_len) = lay_out(self.isa, self.threads, &self.buffers, limit)?;
        Ok(Arc::new(Program {
            layout,
            element: DataType::I8,
            input: self.input,
            outputs: shapes,
            steps: self.steps,
            arena_len,
            packed: self.packed,
        }))
    }
}

fn not_packed(step: &str, error: TooLarge) -> BuildError {
    match error {
        TooLarge::Sum { channel } => BuildError::Refused {
            step: step.to_owned(),
            reason: format!("sums of output channel {channel} could exceed 32 bits; use f32"),
        },
        TooLarge::OutOfMemory(error) => BuildError::OutOfMemory(error),
    }
}
