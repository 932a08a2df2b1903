//! The depthwise convolution as in the formula, on one plane (channels-first), in safe Rust: the candle graph runs it,
//! and the channels-last kernels are compared with it.
//!
//! The plane is first spread into `stride x stride` phases including the padding; then every tap of every output row is
//! a contiguous run of values, whatever the stride and the rate, and the compiler vectorises it.

/// Sizes of a depthwise convolution on a plane: `out[y][x] = bias + sum over ky, kx of
/// w[ky][kx] * in[y * stride + ky * rate - pad_top][x * stride + kx * rate - pad_left]`, zero outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Rows read.
    pub height: usize,
    /// Columns read.
    pub width: usize,
    /// Rows written.
    pub out_height: usize,
    /// Columns written.
    pub out_width: usize,
    /// Kernel side.
    pub kernel: usize,
    /// Stride in both directions, at least 1.
    pub stride: usize,
    /// Atrous rate in both directions, at least 1.
    pub rate: usize,
    /// Rows of zeros above the first.
    pub pad_top: usize,
    /// Columns of zeros before the first.
    pub pad_left: usize,
}

impl Plane {
    /// Columns of one phase: the taps reach `((kernel - 1) * rate) / stride` columns past the last output.
    fn phase_width(&self) -> usize {
        self.out_width + (self.kernel - 1) * self.rate / self.stride
    }

    /// f32 of scratch for a plane: a row of every phase for each of the `kernel` input rows that an output row reads.
    pub fn scratch_len(&self) -> usize {
        self.kernel * self.stride * self.phase_width()
    }

    /// Copies input row `y` of the padded plane into its phases: `phases[p][i] = padded[i * stride + p]`.
    fn spread(&self, input: &[f32], y: usize, phases: &mut [f32]) {
        phases.fill(0.0);
        let Some(y) = y.checked_sub(self.pad_top).filter(|&y| y < self.height) else { return };
        let row = &input[y * self.width..][..self.width];
        for (p, phase) in phases.chunks_exact_mut(self.phase_width()).enumerate() {
            // The first element of this phase that lies inside the row.
            let first = self.pad_left.saturating_sub(p).div_ceil(self.stride);
            let from = first * self.stride + p - self.pad_left;
            let inside = row.get(from..).unwrap_or_default().iter().step_by(self.stride);
            for (to, value) in phase.iter_mut().skip(first).zip(inside) {
                *to = *value;
            }
        }
    }

    /// Convolves one plane.
    ///
    /// # Panics
    /// If `input` is not `height * width` long, `weights` not `kernel * kernel`, `out` not `out_height * out_width`,
    /// `scratch` shorter than [`scratch_len`](Self::scratch_len), or a size, stride, rate or kernel is 0.
    pub fn run(&self, input: &[f32], weights: &[f32], bias: f32, scratch: &mut [f32], out: &mut [f32]) {
        let k = self.kernel;
        assert!(k > 0 && self.stride > 0 && self.rate > 0 && self.width > 0 && self.out_width > 0);
        assert_eq!(input.len(), self.height * self.width);
        assert_eq!(weights.len(), k * k);
        assert_eq!(out.len(), self.out_height * self.out_width);
        let row_len = self.stride * self.phase_width();
        let scratch = &mut scratch[..k * row_len];
        for (y, out) in out.chunks_exact_mut(self.out_width).enumerate() {
            for (ky, phases) in scratch.chunks_exact_mut(row_len).enumerate() {
                self.spread(input, y * self.stride + ky * self.rate, phases);
            }
            out.fill(bias);
            for (ky, phases) in scratch.chunks_exact(row_len).enumerate() {
                let tap = |kx: usize| {
                    let phase = kx * self.rate % self.stride;
                    let first = kx * self.rate / self.stride;
                    (&phases[phase * self.phase_width() + first..][..self.out_width], weights[ky * k + kx])
                };
                if k == 3 {
                    let ((a, wa), (b, wb), (c, wc)) = (tap(0), tap(1), tap(2));
                    for (((o, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
                        *o += a * wa + b * wb + c * wc;
                    }
                } else {
                    for (a, w) in (0..k).map(tap) {
                        for (o, a) in out.iter_mut().zip(a) {
                            *o += a * w;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula, index by index.
    fn naive(p: &Plane, input: &[f32], weights: &[f32], bias: f32) -> Vec<f32> {
        let at = |y: usize, x: usize| {
            let inside =
                (p.pad_top..p.pad_top + p.height).contains(&y) && (p.pad_left..p.pad_left + p.width).contains(&x);
            if inside { input[(y - p.pad_top) * p.width + x - p.pad_left] } else { 0.0 }
        };
        let mut out = Vec::new();
        for y in 0..p.out_height {
            for x in 0..p.out_width {
                let mut sum = bias;
                for ky in 0..p.kernel {
                    for kx in 0..p.kernel {
                        sum += weights[ky * p.kernel + kx] * at(y * p.stride + ky * p.rate, x * p.stride + kx * p.rate);
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    #[test]
    fn equals_the_formula() {
        let mut cases = 0;
        for (height, width) in [(1usize, 1usize), (1, 6), (5, 1), (7, 10), (16, 17), (33, 31)] {
            for kernel in [1, 3, 5] {
                for stride in [1, 2, 3] {
                    for rate in [1, 2, 4, 9] {
                        for pad in [0, 1, rate * (kernel - 1) / 2, 11] {
                            let out_height = height.div_ceil(stride);
                            let out_width = width.div_ceil(stride);
                            let pad_top = pad;
                            let pad_left = pad / 2;
                            let p =
                                Plane { height, width, out_height, out_width, kernel, stride, rate, pad_top, pad_left };
                            let input: Vec<f32> =
                                (0..height * width).map(|i| ((i * 7 + 3) % 13) as f32 - 6.0).collect();
                            let weights: Vec<f32> = (0..kernel * kernel).map(|i| ((i * 5) % 11) as f32 - 5.0).collect();
                            let mut scratch = vec![9.0; p.scratch_len()];
                            let mut out = vec![9.0; out_height * out_width];
                            p.run(&input, &weights, 0.5, &mut scratch, &mut out);
                            // Small integers: every order of summation has the same result.
                            assert_eq!(out, naive(&p, &input, &weights, 0.5), "{p:?}");
                            cases += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(cases, 6 * 3 * 3 * 4 * 4);
    }
}
