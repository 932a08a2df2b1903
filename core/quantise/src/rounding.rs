//! Weights to signed bytes, with a scale per output: how far the largest are cut off, and which of the two nearest
//! integers each becomes, by what that does to the layer's output.

use serde::Serialize;
use silhouette_network::network::Conv;

use crate::layers::{Layer, reads};
use crate::moments::{Covariance, Moments, dot};

/// Largest byte; -128 is not used, so that kernels may add pairs of products in 16 bits.
const MOST: f64 = 127.0;

/// Factors of the largest weight that become the largest byte.
const CUTS: [f64; 11] = [1.0, 0.96, 0.92, 0.88, 0.84, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5];

/// Added to each variance, as a share of their mean, so that values that hardly vary do not take all errors.
const DAMPING: f64 = 0.01;

/// Biases must stay below this many steps, so that sums cannot overflow 32 bits.
const MAX_BIAS: f64 = (1u64 << 29) as f64;

/// Which steps are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// Cut off the largest weights where that costs less.
    pub(crate) cut: bool,
    /// Choose integers that make up for each other's errors.
    pub(crate) compensate: bool,
    /// Biases will be corrected: only what is left of errors without their mean counts.
    pub(crate) correct: bool,
}

/// A layer's weights as bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rounded {
    /// Output by output, in the order of [`Layer::weight`].
    pub(crate) bytes: Vec<i8>,
    /// Of each output.
    pub(crate) scale: Vec<f32>,
    pub(crate) how: How,
}

/// How the outputs of a layer were rounded: the number of outputs for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct How {
    /// Outputs in all.
    pub outputs: usize,
    /// Of these, with the largest weights cut off.
    pub cut: usize,
    /// Of these, with integers that make up for each other's errors, instead of the nearest ones.
    pub compensated: usize,
}

impl Rounded {
    /// Rounds a layer whose input is `step` apart.
    pub(crate) fn new(conv: &Conv, layer: &Layer, moments: &Moments, step: f32, steps: Steps) -> Self {
        let len = reads(conv);
        let noise = f64::from(step).powi(2) / 12.0;
        let mut rounded = Self {
            bytes: Vec::with_capacity(layer.weight.len()),
            scale: Vec::with_capacity(conv.c_out),
            how: How { outputs: conv.c_out, ..How::default() },
        };
        let mut shared = None;
        for (output, (row, &bias)) in layer.weight.chunks_exact(len).zip(&layer.bias).enumerate() {
            if conv.depthwise || shared.is_none() {
                let covariance = moments.covariance(conv, output, noise, steps.correct);
                let factors = if steps.compensate { Factors::of(&covariance) } else { None };
                shared = Some((covariance, factors));
            }
            let Some((covariance, factors)) = &shared else { continue };
            let (bytes, scale, cut, compensated) =
                rounded_row(row, covariance, factors.as_ref(), least_scale(bias, step), steps);
            rounded.bytes.extend(bytes);
            rounded.scale.push(scale);
            rounded.how.cut += usize::from(cut);
            rounded.how.compensated += usize::from(compensated);
        }
        rounded
    }

    /// The weights that the bytes represent.
    pub(crate) fn values(&self) -> Vec<f32> {
        let len = self.bytes.len() / self.scale.len().max(1);
        let rows = self.bytes.chunks_exact(len.max(1)).zip(&self.scale);
        rows.flat_map(|(row, &scale)| row.iter().map(move |&byte| f32::from(byte) * scale)).collect()
    }
}

/// The smallest scale with which the bias is not too many steps.
fn least_scale(bias: f32, step: f32) -> f64 {
    let least = f64::from(bias.abs()) / (f64::from(step) * MAX_BIAS);
    least.max(f64::from(f32::MIN_POSITIVE) * 1e6)
}

/// A row's bytes, its scale, whether the largest are cut off, and whether errors are compensated.
fn rounded_row(
    row: &[f32],
    covariance: &Covariance,
    factors: Option<&Factors>,
    least: f64,
    steps: Steps,
) -> (Vec<i8>, f32, bool, bool) {
    let most = row.iter().map(|weight| f64::from(weight.abs())).fold(0.0, f64::max);
    if most == 0.0 {
        // Only the bias counts: fine enough for it.
        let scale = (least * 1024.0).max(1e-6) as f32;
        return (vec![0; row.len()], scale, false, false);
    }
    let row: Vec<f64> = row.iter().map(|&weight| f64::from(weight)).collect();
    let widest = (most / MOST).max(least) as f32;
    let variances = covariance.variances();
    let cheap = |scale: f32| {
        let error =
            |(weight, variance): (&f64, &f64)| variance * (weight - f64::from(scale) * nearest(*weight, scale)).powi(2);
        row.iter().zip(&variances).map(error).sum::<f64>()
    };
    let mut narrowest = widest;
    if steps.cut {
        let mut best = cheap(widest);
        for factor in &CUTS[1..] {
            let scale = (most * factor / MOST).max(least) as f32;
            let error = cheap(scale);
            if error < best {
                (best, narrowest) = (error, scale);
            }
        }
    }
    let mut found: Option<(f64, Vec<f64>, f32, bool)> = None;
    let mut offer = |bytes: Vec<f64>, scale: f32, compensated: bool| {
        let errors: Vec<f64> = row.iter().zip(&bytes).map(|(weight, byte)| byte * f64::from(scale) - weight).collect();
        let cost = covariance.cost(&errors);
        if found.as_ref().is_none_or(|(best, ..)| cost < *best) {
            found = Some((cost, bytes, scale, compensated));
        }
    };
    let scales = if narrowest < widest { &[widest, narrowest][..] } else { &[widest] };
    for &scale in scales {
        offer(row.iter().map(|&weight| nearest(weight, scale)).collect(), scale, false);
        if let Some(factors) = factors {
            offer(factors.compensated(&row, scale), scale, true);
        }
    }
    let (_, bytes, scale, compensated) = found.unwrap_or_default();
    (bytes.into_iter().map(|byte| byte as i8).collect(), scale, scale < widest, compensated)
}

fn nearest(weight: f64, scale: f32) -> f64 {
    (weight / f64::from(scale)).round().clamp(-MOST, MOST)
}

/// A covariance as U D U', U upper triangular with ones on its diagonal, in the order of falling variances: if weights are
/// rounded in this order, each should aim at its value plus the errors of the ones before it times U's column.
struct Factors {
    order: Vec<usize>,
    /// U transposed: the column of each weight is a row, of the weights before it.
    columns: Vec<Vec<f64>>,
}

impl Factors {
    /// `None` if only variances are known, or they are all 0.
    fn of(covariance: &Covariance) -> Option<Self> {
        let Covariance::Full(all) = covariance else { return None };
        let variances = covariance.variances();
        let n = variances.len();
        let damping = DAMPING * variances.iter().sum::<f64>() / n.max(1) as f64;
        if damping <= 0.0 || !damping.is_finite() {
            return None;
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| variances[b].total_cmp(&variances[a]).then(a.cmp(&b)));
        // Reversed, it is the usual L D L' from the first row on.
        let place = |i: usize| order[n - 1 - i];
        let mut lower: Vec<Vec<f64>> = Vec::with_capacity(n);
        let mut diagonal: Vec<f64> = Vec::with_capacity(n);
        let mut scaled = vec![0.0; n];
        for i in 0..n {
            let mut row = vec![0.0; i];
            for j in 0..i {
                // Times the diagonal already.
                scaled[j] = all[place(i) * n + place(j)] - dot(&scaled[..j], &lower[j]);
                row[j] = scaled[j] / diagonal[j];
            }
            let rest = all[place(i) * n + place(i)] + damping - dot(&row, &scaled);
            diagonal.push(rest.max(damping * 1e-3));
            lower.push(row);
        }
        // The weight at n - 1 - j in the order is row j; the ones before it are rows above j.
        let columns = (0..n).map(|k| {
            let j = n - 1 - k;
            (0..k).map(|before| lower[n - 1 - before][j]).collect()
        });
        Some(Self { columns: columns.collect(), order })
    }

    /// The bytes of a row.
    fn compensated(&self, row: &[f64], scale: f32) -> Vec<f64> {
        let mut bytes = vec![0.0; row.len()];
        // What the ones before should have been, less what they are.
        let mut errors: Vec<f64> = Vec::with_capacity(row.len());
        for (&at, column) in self.order.iter().zip(&self.columns) {
            bytes[at] = nearest(row[at] + dot(column, &errors), scale);
            errors.push(row[at] - bytes[at] * f64::from(scale));
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_network::network::Size;
    use silhouette_network::spec::Activation;
    use silhouette_testkit::Noise;

    const STEP: f32 = 1e-3;

    fn conv(depthwise: bool, c_in: usize, c_out: usize) -> Conv {
        Conv {
            name: "layer".into(),
            depthwise,
            kernel: if depthwise { 3 } else { 1 },
            stride: 1,
            rate: 1,
            c_in,
            c_out,
            activation: Activation::Linear,
            input: Size { height: 16, width: 16 },
            output: Size { height: 16, width: 16 },
            pad: Size::square(usize::from(depthwise)),
            batch_norm: false,
        }
    }

    /// A map whose channels share most of their values; the first varies little.
    fn map(channels: usize) -> Vec<f32> {
        let mut noise = Noise::new(4);
        let pixel = |noise: &mut Noise| {
            let shared = noise.signed();
            let value = |c: usize, own: f32| if c == 0 { 1e-4 * own } else { shared + 0.3 * own };
            (0..channels).map(|c| value(c, noise.signed())).collect::<Vec<_>>()
        };
        (0..256).flat_map(|_| pixel(&mut noise)).collect()
    }

    fn cost(conv: &Conv, layer: &Layer, moments: &Moments, steps: Steps) -> (f64, Rounded) {
        let rounded = Rounded::new(conv, layer, moments, STEP, steps);
        let len = reads(conv);
        let values = rounded.values();
        let mut sum = 0.0;
        for (o, (row, other)) in layer.weight.chunks(len).zip(values.chunks(len)).enumerate() {
            let errors: Vec<f64> = row.iter().zip(other).map(|(a, b)| f64::from(b - a)).collect();
            sum += moments.covariance(conv, o, f64::from(STEP).powi(2) / 12.0, true).cost(&errors);
        }
        (sum, rounded)
    }

    const NEAREST: Steps = Steps { cut: false, compensate: false, correct: true };

    #[test]
    fn an_outlier_on_a_quiet_channel_is_cut_off() {
        let conv = conv(false, 12, 3);
        // Many pictures: of few, a quiet channel may just not have been heard.
        let mut moments = Moments::of(&conv, &map(12), &[], 1, 1).unwrap();
        for _ in 0..400 {
            moments.merge(&Moments::of(&conv, &map(12), &[], 1, 1).unwrap());
        }
        let mut weight = Noise::new(9).floats(36, 0.1);
        weight[12] = 1.0;
        let layer = Layer { weight, bias: vec![0.0; 3] };
        let (plain, _) = cost(&conv, &layer, &moments, NEAREST);
        let (cut, rounded) = cost(&conv, &layer, &moments, Steps { cut: true, ..NEAREST });
        assert!(cut < plain * 0.8, "{cut} {plain}");
        assert!(rounded.how.cut >= 1 && rounded.how.compensated == 0, "{:?}", rounded.how);
        assert_eq!(rounded.bytes[12], 127);
    }

    #[test]
    fn errors_of_weights_make_up_for_each_other() {
        for depthwise in [false, true] {
            let conv = conv(depthwise, 12, if depthwise { 12 } else { 5 });
            let moments = Moments::of(&conv, &map(12), &[], 1, 1).unwrap();
            let len = reads(&conv) * conv.c_out;
            let layer = Layer { weight: Noise::new(2).floats(len, 0.5), bias: vec![0.1; conv.c_out] };
            let (plain, nearest) = cost(&conv, &layer, &moments, NEAREST);
            let (found, rounded) = cost(&conv, &layer, &moments, Steps { compensate: true, ..NEAREST });
            assert!(found < plain * if depthwise { 1.0 } else { 0.6 }, "{found} {plain}");
            assert!(rounded.how.compensated > 0 && rounded.bytes != nearest.bytes);
            assert_eq!(rounded.scale, nearest.scale);
        }
    }

    #[test]
    fn the_factors_are_those_of_the_covariance() {
        let conv = conv(false, 7, 1);
        let covariance = Moments::of(&conv, &map(7), &[], 1, 1).unwrap().covariance(&conv, 0, 0.1, true);
        let factors = Factors::of(&covariance).unwrap();
        let Covariance::Full(all) = &covariance else { panic!("a short patch") };
        let variances = covariance.variances();
        assert!(factors.order.windows(2).all(|pair| variances[pair[0]] >= variances[pair[1]]));
        // U' H^-1 U is diagonal if H = U D U': checked as H e = U D U' e for the last unit vector, whose column of U is
        // the covariance with the last, divided by its variance.
        let (last, n) = (factors.order[6], 7);
        let damping = DAMPING * variances.iter().sum::<f64>() / 7.0;
        for (&at, u) in factors.order.iter().zip(&factors.columns[6]) {
            let expected = all[at * n + last] / (all[last * n + last] + damping);
            assert!((u - expected).abs() < 1e-12, "{u} {expected}");
        }
    }

    #[test]
    fn odd_rows_have_usable_scales() {
        let conv = conv(false, 4, 4);
        let moments = Moments::of(&conv, &[0.0; 4 * 256], &[], 1, 1).unwrap();
        let weight = [[0.0; 4], [1e-30; 4], [1e30; 4], [0.5, -0.5, 0.25, 0.0]].concat();
        let layer = Layer { weight, bias: vec![3.0, 3.0, -1e5, 1e9] };
        let steps = Steps { cut: true, compensate: true, correct: true };
        let rounded = Rounded::new(&conv, &layer, &moments, STEP, steps);
        assert_eq!(&rounded.bytes[..4], [0; 4]);
        for (scale, bias) in rounded.scale.iter().zip(&layer.bias) {
            assert!(scale.is_normal() && *scale > 0.0, "{scale}");
            assert!(f64::from(bias.abs()) / f64::from(scale * STEP) < f64::from(1u32 << 30), "{bias} {scale}");
        }
        assert_eq!(rounded.bytes[8..12], [127; 4]);
    }
}
