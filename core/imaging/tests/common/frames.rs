//! Frames of every format, of bytes that look random.

use silhouette_imaging::frame::{Frame, FrameError, PixelFormat, Plane, YuvColor, YuvMatrix, YuvRange};
use silhouette_testkit::Noise;

pub(crate) const FORMATS: [&str; 8] = ["rgb", "rgba", "bgra", "gray", "i420", "nv12", "nv21", "yuv_420_888"];
pub(crate) const COLORS: [YuvColor; 4] = [
    YuvColor { matrix: YuvMatrix::Bt601, range: YuvRange::Full },
    YuvColor { matrix: YuvMatrix::Bt601, range: YuvRange::Video },
    YuvColor { matrix: YuvMatrix::Bt709, range: YuvRange::Full },
    YuvColor { matrix: YuvMatrix::Bt709, range: YuvRange::Video },
];

/// Planes that own their bytes, exactly as long as they must be.
pub(crate) struct Owned {
    pub(crate) format: &'static str,
    pub(crate) planes: Vec<Vec<u8>>,
    pub(crate) row_strides: Vec<usize>,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) color: YuvColor,
}

impl Owned {
    pub(crate) fn new(
        format: &'static str,
        width: usize,
        height: usize,
        padding: usize,
        color: YuvColor,
        seed: u64,
    ) -> Self {
        let cw = width.div_ceil(2);
        let ch = height.div_ceil(2);
        // Bytes of a row's samples and rows, plane by plane.
        let sizes = match format {
            "rgb" => vec![(width * 3, height)],
            "rgba" | "bgra" => vec![(width * 4, height)],
            "gray" => vec![(width, height)],
            "i420" => vec![(width, height), (cw, ch), (cw, ch)],
            "nv12" | "nv21" => vec![(width, height), (cw * 2, ch)],
            _ => vec![(width, height), (cw * 2 - 1, ch), (cw * 2 - 1, ch)],
        };
        let row_strides: Vec<usize> = sizes.iter().map(|(row, _)| row + padding).collect();
        let planes = sizes
            .iter()
            .zip(&row_strides)
            .enumerate()
            .map(|(i, (&(row, rows), stride))| Noise::new(seed + i as u64).bytes((rows - 1) * stride + row))
            .collect();
        Self { format, planes, row_strides, width, height, color }
    }

    pub(crate) fn frame(&self) -> Result<Frame<'_>, FrameError> {
        let p = &self.planes;
        let s = &self.row_strides;
        let w = self.width;
        let h = self.height;
        match self.format {
            "rgb" => Frame::packed(PixelFormat::Rgb, &p[0], w, h, s[0]),
            "rgba" => Frame::packed(PixelFormat::Rgba, &p[0], w, h, s[0]),
            "bgra" => Frame::packed(PixelFormat::Bgra, &p[0], w, h, s[0]),
            "gray" => Frame::packed(PixelFormat::Gray, &p[0], w, h, s[0]),
            "i420" => Frame::i420([&p[0], &p[1], &p[2]], [s[0], s[1], s[2]], w, h, self.color),
            "nv12" => Frame::nv12([&p[0], &p[1]], [s[0], s[1]], w, h, self.color),
            "nv21" => Frame::nv21([&p[0], &p[1]], [s[0], s[1]], w, h, self.color),
            _ => {
                let chroma = |i: usize| Plane { data: &p[i], row_stride: s[i], pixel_stride: 2 };
                let luma = Plane { data: &p[0], row_stride: s[0], pixel_stride: 1 };
                Frame::yuv420(luma, chroma(1), chroma(2), w, h, self.color)
            }
        }
    }
}
