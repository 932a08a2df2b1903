//! Weights of bytes, packed in the order in which the kernels read them, with their biases and scales.

use crate::element::bytes_of;
use crate::isa::Isa;
use crate::memory::OutOfMemory;
use crate::pack::{Buffer, PackedBytes};

use super::dispatch::with_integers;
use super::scales::{GROUP, Multiplier, Scales};
use super::vector::{Integers, Order};

/// Why weights cannot be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLarge {
    /// Sums of this output could exceed 32 bits.
    Sum {
        /// The output channel.
        channel: usize,
    },
    /// The system has no memory for them.
    OutOfMemory(OutOfMemory),
}

impl From<OutOfMemory> for TooLarge {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}

/// Sums stay below this, so that rounding does not overflow either.
const MOST: i64 = 1 << 30;

/// Weights of a pointwise product (`k` inputs, `c_out` outputs).
#[derive(Debug)]
pub struct PackedPointwise {
    pub(super) weights: Buffer<i8>,
    pub(super) bias: Buffer<i32>,
    pub(super) scales: Scales,
    pub(super) panels: Vec<Panel>,
    /// Inputs.
    pub(super) k: usize,
    /// The weights' zero point, as a signed byte's.
    pub(super) zero: i32,
}

/// A few groups of output channels that one tile computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Panel {
    pub(super) first: usize,
    pub(super) groups: usize,
    /// Of its weights.
    pub(super) offset: usize,
}

/// What a convolution multiplies: signed bytes, a bias of the sums' scale, and the zero points.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    /// (O, I / groups, K, K), signed.
    pub weight: &'a [i8],
    /// One per output.
    pub bias: &'a [i32],
    /// From a sum to the output's scale, one per output.
    pub multipliers: &'a [Multiplier],
    /// The weights' zero point, as a signed byte's.
    pub weight_zero: i32,
    /// The inputs' zero point, as a stored byte's.
    pub input_zero: i32,
}

/// Where a product's inputs come from, as far as packing depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// Blocked rows of this many channels.
    Channels(usize),
    /// Runs of nine values each: three rows of an image, three pixels of three channels.
    Image,
}

impl PackedPointwise {
    /// Packs the weights of a 1x1 convolution (O, I), or of one that reads an image (O, 27: row, column, channel).
    ///
    /// # Errors
    /// [`TooLarge`].
    ///
    /// # Panics
    /// If the numbers of weights, biases and multipliers do not match.
    pub fn new(isa: Isa, inputs: Inputs, filter: &Filter<'_>) -> Result<Self, TooLarge> {
        fn layout<S: Integers>(_: S) -> (usize, Order, bool) {
            (S::GROUPS, S::ORDER, S::MICRO_KERNEL)
        }
        let (widest, order, gathered) = with_integers!(isa, token => layout(token));
        // Where tiles are in assembly, a pixel's three runs are gathered to whole blocks first.
        let inputs = if gathered && inputs == Inputs::Image { Inputs::Channels(27) } else { inputs };
        let k = match inputs {
            Inputs::Channels(k) => k,
            Inputs::Image => 27,
        };
        let c_out = filter.bias.len();
        assert_eq!(filter.weight.len(), k * c_out, "weights");
        assert_eq!(filter.multipliers.len(), c_out, "multipliers");
        // Inputs as the kernel counts them: each run padded to twelve.
        let (padded, source): (usize, fn(usize) -> Option<usize>) = match inputs {
            Inputs::Channels(k) => (k, Some),
            Inputs::Image => (36, |i| (i % 12 < 9).then_some(i / 12 * 9 + i % 12)),
        };
        let step = if order == Order::Eights { 8 } else { 4 };
        let steps = padded.div_ceil(step);
        let groups = c_out.div_ceil(GROUP);
        let count = groups.div_ceil(widest);
        let mut panels = Vec::with_capacity(count);
        let mut first = 0;
        for panel in 0..count {
            let wide = (groups - first).div_ceil(count - panel);
            panels.push(Panel { first, groups: wide, offset: first * steps * step * GROUP });
            first += wide;
        }
        let mut weights = Buffer::<i8>::try_zeroed(groups * steps * step * GROUP, PACKED)?;
        for panel in &panels {
            let outputs = panel.first * GROUP..((panel.first + panel.groups) * GROUP).min(c_out);
            for o in outputs {
                let row = &filter.weight[o * k..][..k];
                let within = o - panel.first * GROUP;
                let (v, o) = (within / GROUP, within % GROUP);
                for i in 0..padded {
                    let Some(from) = source(i).filter(|&from| from < k) else { continue };
                    let place = match order {
                        Order::Fours => 4 * o + i % 4,
                        Order::Pairs => o / 8 * 32 + i % 4 / 2 * 16 + o % 8 * 2 + i % 2,
                        Order::Eights => 8 * o + i % 8,
                    };
                    let block = (i / step * panel.groups + v) * step * GROUP;
                    weights[panel.offset + block + place] = row[from];
                }
            }
        }
        let bias = biases(filter, k)?;
        let scales = Scales::new(filter.multipliers)?;
        Ok(Self { weights, bias, scales, panels, k, zero: filter.weight_zero })
    }

    /// Inputs of the product.
    pub fn k(&self) -> usize {
        self.k
    }

    /// How much memory ([`Job::sums`](super::Job::sums)) it needs for rows of `width` pixels: for the sum of each pixel's inputs, and for
    /// the gathered inputs of one that reads an image.
    pub fn sums_len(&self, isa: Isa, inputs: Inputs, width: usize) -> usize {
        fn gathers<S: Integers>(_: S) -> bool {
            S::MICRO_KERNEL
        }
        let gathered = inputs == Inputs::Image && with_integers!(isa, token => gathers(token));
        // (Thirty-two bytes are eight integers.)
        let sums = if self.zero == 0 && !gathered { 0 } else { width };
        sums + if gathered { 8 * width } else { 0 }
    }
}

/// Name of packed weights in an out-of-memory error.
const PACKED: &str = "packed weights";

/// The initial sums: the bias, and what both zero points contribute whatever the inputs are.
fn biases(filter: &Filter<'_>, k: usize) -> Result<Buffer<i32>, TooLarge> {
    let mut bias = Buffer::<i32>::try_zeroed(filter.bias.len().next_multiple_of(GROUP), PACKED)?;
    let (input, weight) = (i64::from(filter.input_zero), i64::from(filter.weight_zero));
    for (channel, &b) in filter.bias.iter().enumerate() {
        let row = &filter.weight[channel * k..][..k];
        let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
        let value = i64::from(b) - input * sum + k as i64 * input * weight;
        // A stored byte is at most 255 from 0.
        let products: i64 = row.iter().map(|&w| 255 * i64::from(w).abs()).sum::<i64>() + k as i64 * 255 * weight.abs();
        if value.abs() + products >= MOST {
            return Err(TooLarge::Sum { channel });
        }
        bias[channel] = value as i32;
    }
    Ok(bias)
}

/// Weights of a 3x3 depthwise convolution, without their zero point. A group: column by column, `[column][channel][row]` padded to
/// four rows. What exceeds a signed byte is in a second such part, which only groups with such a weight have; two bytes hold all but
/// 255, and a group with that keeps its weights as they are.
#[derive(Debug)]
pub struct PackedDepthwise {
    pub(super) weights: Buffer<i8>,
    pub(super) bias: Buffer<i32>,
    pub(super) scales: Scales,
    pub(super) channels: usize,
    /// For each group: where its second part begins.
    pub(super) second: Vec<Option<usize>>,
    /// For each group: the zero point that its weights still have.
    pub(super) zeros: Vec<i32>,
}

/// Bytes of a group's part.
pub(super) const PART: usize = 3 * 4 * GROUP;

impl PackedDepthwise {
    /// Packs the weights (C, 1, 3, 3).
    ///
    /// # Errors
    /// [`TooLarge`].
    ///
    /// # Panics
    /// If the numbers of weights, biases and multipliers do not match.
    pub fn new(filter: &Filter<'_>) -> Result<Self, TooLarge> {
        let channels = filter.bias.len();
        assert_eq!(filter.weight.len(), 9 * channels, "weights");
        assert_eq!(filter.multipliers.len(), channels, "multipliers");
        let groups = channels.div_ceil(GROUP);
        let value = |w: i8| i32::from(w) - filter.weight_zero;
        let first = |w: i8| value(w).clamp(-128, 127);
        let mut second = Vec::with_capacity(groups);
        let mut zeros = Vec::with_capacity(groups);
        let mut len = groups * PART;
        for channels in filter.weight.chunks(9 * GROUP) {
            let split = channels.iter().all(|&w| i8::try_from(value(w) - first(w)).is_ok());
            let fit = channels.iter().all(|&w| first(w) == value(w));
            second.push((split && !fit).then_some(len));
            zeros.push(if split { 0 } else { filter.weight_zero });
            len += if split && !fit { PART } else { 0 };
        }
        let mut weights = Buffer::<i8>::try_zeroed(len, PACKED)?;
        for (group, channels) in filter.weight.chunks(9 * GROUP).enumerate() {
            for (c, nine) in channels.chunks_exact(9).enumerate() {
                for (t, &w) in nine.iter().enumerate() {
                    let at = t % 3 * 4 * GROUP + c * 4 + t / 3;
                    weights[group * PART + at] = if zeros[group] == 0 { first(w) as i8 } else { w };
                    if let Some(second) = second[group] {
                        weights[second + at] = (value(w) - first(w)) as i8;
                    }
                }
            }
        }
        let bias = biases(filter, 9)?;
        let scales = Scales::new(filter.multipliers)?;
        Ok(Self { weights, bias, scales, channels, second, zeros })
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.channels
    }
}

impl PackedBytes for PackedPointwise {
    fn parts(&self) -> Vec<&[u8]> {
        vec![bytes_of(&self.weights[..]), bytes_of(&self.bias[..]), bytes_of(self.scales.values())]
    }
}

impl PackedBytes for PackedDepthwise {
    fn parts(&self) -> Vec<&[u8]> {
        vec![bytes_of(&self.weights[..]), bytes_of(&self.bias[..]), bytes_of(self.scales.values())]
    }
}
