//! Means and covariances of what a convolution's weights are multiplied with: they say what an error of a weight costs,
//! and which other weights can make up for it.

use silhouette_graph::matrix::gram;
use silhouette_network::network::Conv;
use silhouette_weights::SplitMix64;

use crate::error::QuantiseError;
use crate::layers::reads;
use crate::run::patch;

/// Longest patch whose covariances are computed: their number is its square.
const MAX_READS: usize = 1600;

/// Patches of all pictures together.
const SAMPLES: usize = 1 << 13;

/// Least and most patches of a picture.
const PER_PICTURE: (usize, usize) = (16, 1024);

/// Sums over patches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moments {
    count: f64,
    /// Of each value of a patch (depthwise: per channel, [`reads`] values).
    sum: Vec<f64>,
    /// Of the products of each two values; only of each value with itself if the patch is too long.
    products: Vec<f64>,
}

/// The covariance of the values of a patch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Covariance {
    /// All: row by row.
    Full(Vec<f64>),
    /// Only the variances.
    Diagonal(Vec<f64>),
}

impl Moments {
    /// Of a sample of the patches that a convolution reads of one picture; which ones depends on `seed` alone.
    ///
    /// # Errors
    /// If there is no memory.
    pub(crate) fn of(
        conv: &Conv,
        map: &[f32],
        border: &[f32],
        pictures: usize,
        seed: u64,
    ) -> Result<Self, QuantiseError> {
        let pixels = conv.output.pixels() as usize;
        let wanted = (SAMPLES / pictures.max(1)).clamp(PER_PICTURE.0, PER_PICTURE.1);
        let mut draw = SplitMix64::new(seed);
        let places: Vec<usize> = if pixels <= wanted {
            (0..pixels).collect()
        } else {
            (0..wanted).map(|_| (draw.draw() % pixels as u64) as usize).collect()
        };
        let len = conv.kernel * conv.kernel * conv.c_in;
        let mut patches = vec![0.0; places.len() * len];
        for (&at, to) in places.iter().zip(patches.chunks_exact_mut(len)) {
            patch(conv, map, border, at / conv.output.width, at % conv.output.width, to);
        }
        let count = places.len() as f64;
        if conv.depthwise {
            return Ok(Self { count, ..Self::by_channel(conv, &patches) });
        }
        let mut sum = vec![0.0; len];
        for patch in patches.chunks_exact(len) {
            sum.iter_mut().zip(patch).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        let products = if len <= MAX_READS {
            gram(&patches, len)?.into_iter().map(f64::from).collect()
        } else {
            let mut squares = vec![0.0; len];
            for patch in patches.chunks_exact(len) {
                squares.iter_mut().zip(patch).for_each(|(sum, &v)| *sum += f64::from(v) * f64::from(v));
            }
            squares
        };
        Ok(Self { count, sum, products })
    }

    /// Each channel has a patch of its own, of as many values as there are taps.
    fn by_channel(conv: &Conv, patches: &[f32]) -> Self {
        let (c, taps) = (conv.c_in, reads(conv));
        let mut sum = vec![0.0; c * taps];
        let mut products = vec![0.0; c * taps * taps];
        // Channels are innermost here, so that the loops are long.
        for patch in patches.chunks_exact(c * taps) {
            for (a, first) in patch.chunks_exact(c).enumerate() {
                sum[a * c..][..c].iter_mut().zip(first).for_each(|(sum, &v)| *sum += f64::from(v));
                for (b, second) in patch.chunks_exact(c).enumerate() {
                    let to = &mut products[(a * taps + b) * c..][..c];
                    for ((to, &x), &y) in to.iter_mut().zip(first).zip(second) {
                        *to += f64::from(x) * f64::from(y);
                    }
                }
            }
        }
        let turned = |values: &[f64], len: usize| -> Vec<f64> {
            (0..c)
                .flat_map(|channel| (0..len).map(move |at| (at, channel)))
                .map(|(at, channel)| values[at * c + channel])
                .collect()
        };
        Self { count: 0.0, sum: turned(&sum, taps), products: turned(&products, taps * taps) }
    }

    /// Adds another picture's.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.sum.is_empty() {
            *self = other.clone();
            return;
        }
        self.count += other.count;
        self.sum.iter_mut().zip(&other.sum).for_each(|(sum, more)| *sum += more);
        self.products.iter_mut().zip(&other.products).for_each(|(sum, more)| *sum += more);
    }

    /// The covariance of a patch, with the variance `noise` of rounding added to each value (of a depthwise convolution:
    /// of the patch of one `channel`). Not `centred`: the mean of the products themselves.
    pub(crate) fn covariance(&self, conv: &Conv, channel: usize, noise: f64, centred: bool) -> Covariance {
        let count = self.count.max(1.0);
        let len = reads(conv);
        let (first, square) = if conv.depthwise { (channel * len, channel * len * len) } else { (0, 0) };
        let mean: Vec<f64> =
            self.sum[first..first + len].iter().map(|sum| if centred { sum / count } else { 0.0 }).collect();
        if self.products.len() < square + len * len {
            let variance =
                self.products.iter().zip(&mean).map(|(sum, mean)| (sum / count - mean * mean).max(0.0) + noise);
            return Covariance::Diagonal(variance.collect());
        }
        let mut all: Vec<f64> = self.products[square..square + len * len].iter().map(|sum| sum / count).collect();
        for (i, row) in all.chunks_exact_mut(len).enumerate() {
            row.iter_mut().zip(&mean).for_each(|(value, other)| *value -= mean[i] * other);
            row[i] = row[i].max(0.0) + noise;
        }
        // Of few patches, values seem to depend on each other, or never to vary, by chance: an average over a map is one
        // patch per picture. The fewer there are, the more they are treated as independent and alike; a variance needs few.
        let doubt = len as f64 / (len as f64 + count);
        let alike = 2.0 / (2.0 + count);
        let mean = (0..len).map(|i| all[i * len + i]).sum::<f64>() / len as f64;
        for (i, row) in all.chunks_exact_mut(len).enumerate() {
            let own = row[i];
            for value in row.iter_mut() {
                *value *= 1.0 - doubt;
            }
            row[i] = own + (mean - own) * alike;
        }
        Covariance::Full(all)
    }
}

impl Covariance {
    /// The variance of each value.
    pub(crate) fn variances(&self) -> Vec<f64> {
        match self {
            Self::Diagonal(variances) => variances.clone(),
            Self::Full(all) => {
                let len = all.len().isqrt();
                (0..len).map(|i| all[i * len + i]).collect()
            }
        }
    }

    /// The variance of the sum of a patch's values multiplied by these errors.
    pub(crate) fn cost(&self, errors: &[f64]) -> f64 {
        match self {
            Self::Diagonal(variances) => variances.iter().zip(errors).map(|(v, e)| v * e * e).sum(),
            Self::Full(all) => {
                let rows = all.chunks_exact(errors.len().max(1)).zip(errors).filter(|(_, error)| **error != 0.0);
                rows.map(|(row, error)| error * dot(row, errors)).sum()
            }
        }
    }
}

/// The sum of products, in an order that vectorises and is always the same.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let len = a.len().min(b.len());
    let (a, b) = (a[..len].as_chunks::<8>(), b[..len].as_chunks::<8>());
    for (a, b) in a.0.iter().zip(b.0) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + a.1.iter().zip(b.1).map(|(a, b)| a * b).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_network::network::Size;
    use silhouette_network::spec::Activation;
    use silhouette_testkit::Noise;

    /// A 1x1 convolution on a map of this many pixels in a row.
    fn conv(c_in: usize, width: usize) -> Conv {
        let size = Size { height: 1, width };
        Conv {
            name: "layer".into(),
            depthwise: false,
            kernel: 1,
            stride: 1,
            rate: 1,
            c_in,
            c_out: 1,
            activation: Activation::Linear,
            input: size,
            output: size,
            pad: Size::square(0),
            batch_norm: false,
        }
    }

    #[test]
    fn many_patches_are_believed_and_one_is_not() {
        let mut noise = Noise::new(2);
        let map: Vec<f32> =
            (0..1000).flat_map(|_| [noise.signed(), 0.5 * noise.signed()]).flat_map(|v| [v; 2]).collect();
        let many = conv(4, 1000);
        let covariance = Moments::of(&many, &map, &[], 1, 1).unwrap().covariance(&many, 0, 0.0, true);
        let Covariance::Full(all) = &covariance else { panic!("short patches") };
        assert!((all[0] - 1.0 / 3.0).abs() < 0.03 && (all[15] - 1.0 / 12.0).abs() < 0.01, "{all:?}");
        assert!((all[1] / all[0] - 1.0).abs() < 0.02, "the first two are the same: {all:?}");
        assert!(all[2].abs() < 0.02, "the others are independent of them: {all:?}");
        // The same error in both of the first costs four times that in one; opposite ones cost nothing.
        let one = covariance.cost(&[1.0, 0.0, 0.0, 0.0]);
        assert!((covariance.cost(&[1.0, 1.0, 0.0, 0.0]) / one - 4.0).abs() < 0.05);
        assert!(covariance.cost(&[1.0, -1.0, 0.0, 0.0]) < 0.02 * one);
        // Of a single patch nothing is known: only rounding's own noise is left, alike for all.
        let single = conv(4, 1);
        let moments = Moments::of(&single, &map[..4], &[], 1, 1).unwrap();
        let Covariance::Full(all) = moments.covariance(&single, 0, 0.5, true) else { panic!("short patches") };
        assert!((0..16).all(|i| (all[i] - if i % 5 == 0 { 0.5 } else { 0.0 }).abs() < 1e-6), "{all:?}");
    }
}
