//! Depthwise convolution as one candle operation: on the CPU with `silhouette-kernels`, elsewhere with candle's grouped
//! convolution, until that device has its own kernel here.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use silhouette_kernels::depthwise_ref::Plane;

use silhouette_network::network::Conv;

/// The depthwise convolution of one layer: `(N, C, H, W)` and `(C, 1, K, K)` to `(N, C, H', W')`, f32.
#[derive(Clone, Debug)]
pub struct Depthwise {
    plane: Plane,
    pad_after: (usize, usize),
}

impl Depthwise {
    /// Stride, rate, padding and sizes of `conv`.
    pub fn new(conv: &Conv) -> Self {
        let after = conv.pad_after();
        Self {
            plane: Plane {
                height: conv.input.height,
                width: conv.input.width,
                out_height: conv.output.height,
                out_width: conv.output.width,
                kernel: conv.kernel,
                stride: conv.stride,
                rate: conv.rate,
                pad_top: conv.pad.height,
                pad_left: conv.pad.width,
            },
            pad_after: (after.height, after.width),
        }
    }

    /// Convolves `x` (N, C, H, W) with `weight` (C, 1, K, K).
    ///
    /// # Errors
    /// candle's, for other shapes or types.
    pub fn forward(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        if x.device().is_cpu() { x.contiguous()?.apply_op2_no_bwd(weight, self) } else { self.grouped(x, weight) }
    }

    /// The same by candle's grouped convolution, one convolution per channel: slow, on every device.
    ///
    /// # Errors
    /// candle's, for other shapes or types.
    pub fn grouped(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let p = &self.plane;
        x.pad_with_zeros(2, p.pad_top, self.pad_after.0)?.pad_with_zeros(3, p.pad_left, self.pad_after.1)?.conv2d(
            weight,
            0,
            p.stride,
            p.rate,
            weight.dim(0)?,
        )
    }
}

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "silhouette-depthwise"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let p = &self.plane;
        let (n, c, h, width) = x_layout.shape().dims4()?;
        if (h, width) != (p.height, p.width) {
            bail!("{}: a map of {h}x{width} where {}x{} is expected", self.name(), p.height, p.width);
        }
        if w_layout.shape().dims4()? != (c, 1, p.kernel, p.kernel) {
            bail!("{}: weights {:?} for {c} channels", self.name(), w_layout.shape());
        }
        let x = contiguous(x, x_layout)?;
        let w = contiguous(w, w_layout)?;
        let mut out = vec![0.0; n * c * p.out_height * p.out_width];
        let mut scratch = vec![0.0; p.scratch_len()];
        let planes = x.chunks_exact(h * width).zip(out.chunks_exact_mut(p.out_height * p.out_width));
        for ((x, out), w) in planes.zip(w.chunks_exact(p.kernel * p.kernel).cycle()) {
            p.run(x, w, 0.0, &mut scratch, out);
        }
        Ok((CpuStorage::F32(out), (n, c, p.out_height, p.out_width).into()))
    }
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<f32>()?[from..to]),
        None => bail!("silhouette-depthwise: tensors must be contiguous"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use silhouette_network::network::{Network, Size};
    use silhouette_network::spec::{Activation, Padding, Spec};

    /// candle's grouped convolution is the independent reference, at small sizes.
    #[test]
    fn equals_candles_grouped_convolution() {
        let device = Device::Cpu;
        let mut cases = 0;
        for padding in [Padding::Same, Padding::Symmetric] {
            for (height, width) in [(1, 1), (4, 4), (5, 7), (8, 9), (13, 6)] {
                for stride in [1, 2] {
                    for rate in [1, 2, 4] {
                        for channels in [1, 3, 24] {
                            let conv = depthwise(padding, Size { height, width }, stride, rate, channels);
                            let x = Tensor::randn(0f32, 1.0, (2, channels, height, width), &device).unwrap();
                            let w = Tensor::randn(0f32, 1.0, (channels, 1, 3, 3), &device).unwrap();
                            let op = Depthwise::new(&conv);
                            let ours = op.forward(&x, &w).unwrap();
                            let theirs = op.grouped(&x, &w).unwrap();
                            assert_eq!(ours.dims(), theirs.dims());
                            assert_eq!(ours.dims(), [2, channels, conv.output.height, conv.output.width]);
                            let difference = (ours - theirs).unwrap().abs().unwrap().flatten_all().unwrap();
                            let largest = difference.max(0).unwrap().to_scalar::<f32>().unwrap();
                            assert!(largest < 1e-4, "{largest} for {conv:?}");
                            cases += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(cases, 2 * 5 * 2 * 3 * 3);
    }

    /// A depthwise layer with the padding from the network's own rules.
    fn depthwise(padding: Padding, input: Size, stride: usize, rate: usize, channels: usize) -> Conv {
        let spec = Spec { padding, ..Spec::preset("fixture").unwrap() };
        // A network whose stem has the requested stride has the padding of rate 1; the rule for other rates is the
        // same.
        let stem = Network::new(&spec, input).unwrap().conv("stem").unwrap().clone();
        let output = Size { height: input.height.div_ceil(stride), width: input.width.div_ceil(stride) };
        let before = |i: usize, o: usize| match padding {
            Padding::Same => ((o - 1) * stride + 2 * rate + 1).saturating_sub(i) / 2,
            Padding::Symmetric | Padding::BlockInput => rate,
        };
        let pad = Size { height: before(input.height, output.height), width: before(input.width, output.width) };
        if (stride, rate) == (2, 1) {
            assert_eq!((stem.output, stem.pad), (output, pad));
        }
        Conv {
            name: "depthwise".into(),
            depthwise: true,
            kernel: 3,
            stride,
            rate,
            c_in: channels,
            c_out: channels,
            activation: Activation::Linear,
            input,
            output,
            pad,
            batch_norm: true,
        }
    }

    #[test]
    fn other_shapes_and_types_are_errors() {
        let conv = depthwise(Padding::Same, Size { height: 5, width: 5 }, 1, 1, 2);
        let op = Depthwise::new(&conv);
        let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
        let x = zeros(&[1, 2, 5, 5], DType::F32);
        let w = zeros(&[2, 1, 3, 3], DType::F32);
        assert!(op.forward(&x, &w).is_ok());
        assert!(op.forward(&zeros(&[1, 2, 5, 6], DType::F32), &w).is_err());
        assert!(op.forward(&zeros(&[1, 3, 5, 5], DType::F32), &w).is_err());
        assert!(op.forward(&zeros(&[1, 2, 5, 5], DType::F64), &w).is_err());
        assert!(op.forward(&x, &zeros(&[2, 1, 1, 1], DType::F32)).is_err());
    }
}
