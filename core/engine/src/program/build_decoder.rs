//! The builder's decoder: checks its stages, packs their weights around unused lanes, and lays out its rings.

use std::sync::Arc;

use super::build::{Builder, rows_of_matrix};
use super::context::Rows;
use super::decoder::{Decoder, MAX_STAGES, Reduced, Stage};
use super::describe::{BuildError, DecoderStage, Filter, Map, Part, Window, check_window, refuse};
use super::precision::Precision;
use super::row::{Pointwise, Separable};
use silhouette_kernels::bilinear;
use silhouette_kernels::memory;
use silhouette_kernels::pack::{Packed, PackedDepthwise};
use silhouette_kernels::size::Size;

/// A depthwise convolution's packed weights, and those of the pointwise one after it.
type PackedPair<E> = (Arc<PackedDepthwise<E>>, Arc<Packed<E, E>>);

impl<E: Precision> Builder<E> {
    /// A decoder's stages, row by row: the first resizes the map `below`, each later one the output of the stage
    /// before. `tail`: a 1x1 convolution of the last stage's map, which then exists only one row at a time.
    ///
    /// # Errors
    /// If the shapes do not match, there are no or too many stages, or a stage does not resize its lower input exactly
    /// once.
    pub fn decoder(
        &mut self,
        name: &str,
        below: Map,
        stages: &[DecoderStage<'_>],
        tail: Option<&Filter<'_>>,
    ) -> Result<Map, BuildError> {
        let Some(last) = stages.last().filter(|_| stages.len() <= MAX_STAGES) else {
            return refuse(name, format!("{} stages are not 1 to {MAX_STAGES}", stages.len()));
        };
        let mut channels = self.info(below).channels;
        for stage in stages {
            self.check_stage(stage, channels)?;
            channels = stage.pointwise.bias.len();
        }
        if let Some(tail) = tail {
            self.check_filter(name, "tail", tail, channels, 1)?;
        }
        let written = tail.map_or(channels, |tail| tail.bias.len());
        let size = last.window.output;
        let output = self.map(name, size, written)?;
        let map_rows = self.rows_of(output);

        let lanes = self.lanes();
        let groups_of = |stage: &DecoderStage<'_>, below: usize| -> usize {
            stage.parts.iter().map(|part| Self::channels_of(part, below).div_ceil(lanes)).sum()
        };
        let mut below_channels = self.info(below).channels;
        let mut longest = 0;
        for stage in stages {
            longest = longest.max(stage.window.output.width * groups_of(stage, below_channels) * lanes);
            below_channels = stage.pointwise.bias.len();
        }
        // Rows are convolved one at a time: all stages share the buffer.
        let wide_row_len = longest.next_multiple_of(Self::LINE);
        let wide_row = self.scratch(wide_row_len);

        let mut from = (self.read(below), self.info(below).size, self.info(below).channels);
        let mut made = Vec::with_capacity(stages.len());
        let mut macs = 0u64;
        let mut ring_bytes = 0;
        for (i, stage) in stages.iter().enumerate() {
            let (below, below_size, below_channels) = from;
            let w = stage.window;
            let ring = self.ring(2 * w.rate + 1, groups_of(stage, below_channels) * lanes, &w, true);
            ring_bytes += ring.per_thread * size_of::<E>();
            let mut group = 0;
            let mut own_group = 0;
            let mut reduced = Vec::new();
            let mut rule = None;
            for part in &stage.parts {
                match part {
                    Part::Below(resize) => (own_group, rule) = (group, Some(*resize)),
                    Part::Pointwise(map, filter) => {
                        let k = self.info(*map).channels;
                        let weights = self.pack(stage.name, k, &rows_of_matrix(filter.weight, k, 0), filter.bias)?;
                        let input = self.read(*map);
                        let pointwise = Pointwise { weights, clamp: filter.clamp };
                        reduced.push(Reduced { input, pointwise, group });
                        macs += w.input.pixels() * (k * filter.bias.len()) as u64;
                    }
                }
                group += Self::channels_of(part, below_channels).div_ceil(lanes);
            }
            let Some(rule) = rule else { return refuse(stage.name, "resizes nothing") };
            let (depthwise, weights) = self.pack_between(stage, below_channels)?;
            let c_out = stage.pointwise.bias.len();
            let output = match (i + 1 == stages.len(), tail) {
                (true, None) => map_rows,
                (true, Some(_)) => self.plain_ring(1, c_out, w.output),
                // The two rows that a resize interpolates.
                (false, _) => self.plain_ring(2, c_out, w.output),
            };
            let own: usize = stage.parts.iter().map(|part| Self::channels_of(part, below_channels)).sum();
            macs += w.output.pixels() * (own * (9 + c_out)) as u64 + 3 * w.input.pixels() * below_channels as u64;
            made.push(Stage {
                below,
                rows: bilinear::axis(below_size.height, w.input.height, rule)?,
                columns: bilinear::axis(below_size.width, w.input.width, rule)?,
                group: own_group,
                reduced,
                ring,
                separable: Separable {
                    window: w,
                    depthwise,
                    depthwise_clamp: stage.depthwise.clamp,
                    wide_row,
                    wide_row_len,
                    pointwise: Pointwise { weights, clamp: stage.pointwise.clamp },
                    output,
                },
            });
            from = (output, w.output, c_out);
        }
        let mut explain = format!("{} stages by rows; rings {} KiB per thread", stages.len(), ring_bytes >> 10);
        let tail = match tail {
            Some(filter) => {
                let weights = self.pack(name, channels, &rows_of_matrix(filter.weight, channels, 0), filter.bias)?;
                macs += size.pixels() * (channels * filter.bias.len()) as u64;
                explain.push_str("; 1x1 of each row");
                Some((Pointwise { weights, clamp: filter.clamp }, map_rows))
            }
            None => None,
        };
        self.push(name, explain, macs, Box::new(Decoder { stages: made, tail }));
        Ok(output)
    }

    fn channels_of(part: &Part<'_>, below: usize) -> usize {
        match part {
            Part::Below(_) => below,
            Part::Pointwise(_, filter) => filter.bias.len(),
        }
    }

    fn check_stage(&self, stage: &DecoderStage<'_>, below: usize) -> Result<(), BuildError> {
        check_window(stage.name, &stage.window)?;
        let resized = stage.parts.iter().filter(|part| matches!(part, Part::Below(_))).count();
        if resized != 1 {
            return refuse(stage.name, format!("resizes its lower input {resized} times, not once"));
        }
        for part in &stage.parts {
            let Part::Pointwise(map, filter) = part else { continue };
            let info = self.info(*map);
            if info.size != stage.window.input {
                return refuse(stage.name, format!("reads a map of {}, its window {}", info.size, stage.window.input));
            }
            self.check_filter(stage.name, "skip", filter, info.channels, 1)?;
        }
        let channels: usize = stage.parts.iter().map(|part| Self::channels_of(part, below)).sum();
        if stage.depthwise.bias.len() != channels {
            let reason = format!("reads {channels} channels, depthwise has {}", stage.depthwise.bias.len());
            return refuse(stage.name, reason);
        }
        self.check_filter(stage.name, "depthwise", &stage.depthwise, 1, 9)?;
        self.check_filter(stage.name, "pointwise", &stage.pointwise, channels, 1)
    }

    /// Depthwise and pointwise weights for parts that each begin with a new group of channels; zeros for the lanes
    /// between.
    fn pack_between(&mut self, stage: &DecoderStage<'_>, below: usize) -> Result<PackedPair<E>, BuildError> {
        let lanes = self.lanes();
        // The channel in each lane of the ring.
        let mut places = Vec::new();
        let mut channel = 0;
        for part in &stage.parts {
            let count = Self::channels_of(part, below);
            places.resize(places.len().next_multiple_of(lanes), None);
            places.extend((channel..channel + count).map(Some));
            channel += count;
        }
        let Filter { weight, bias, clamp } = stage.depthwise;
        // (Prepacked weights are not read here, and the filters' are empty.)
        let spread = |values: &[f32], each: usize, to: &mut Vec<f32>| {
            let of = |place: &Option<usize>, t: usize| place.and_then(|c| values.get(each * c + t)).copied();
            to.extend(places.iter().flat_map(|place| (0..each).map(move |t| of(place, t).unwrap_or(0.0))));
        };
        let mut weights = Vec::new();
        let mut biases = Vec::new();
        let mut rows = Vec::new();
        memory::reserve(&mut weights, places.len().saturating_mul(9), "a decoder's weights")?;
        memory::reserve(&mut biases, places.len(), "a decoder's biases")?;
        spread(weight, 9, &mut weights);
        spread(bias, 1, &mut biases);
        let depthwise = Filter { weight: &weights, bias: &biases, clamp };
        let depthwise = self.pack_depthwise(stage.name, &depthwise)?;
        let k = places.len();
        let weight = stage.pointwise.weight;
        memory::reserve(&mut rows, (weight.len() / channel).saturating_mul(k), "a decoder's weights")?;
        weight.chunks_exact(channel).for_each(|row| spread(row, 1, &mut rows));
        let pointwise = self.pack(stage.name, k, &rows_of_matrix(&rows, k, 0), stage.pointwise.bias)?;
        Ok((depthwise, pointwise))
    }

    /// A ring of `cap` rows of a map of `size`, without padding, for each thread.
    fn plain_ring(&mut self, cap: usize, channels: usize, size: Size) -> Rows {
        let window = Window { input: size, output: size, stride: 1, rate: 1, pad: Size::square(0) };
        self.ring(cap, channels, &window, false)
    }
}
