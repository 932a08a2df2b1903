//! Converts colours to sRGB, which networks are trained on, and which images without a profile are assumed to have. A
//! photo declares its colours by an ICC profile, or (PNG) by code points.

use std::sync::Arc;

use moxcms::{
    CicpProfile, ColorProfile, DataColorSpace, Layout, MatrixCoefficients, ParsingOptions, TransferCharacteristics,
    Transform8BitExecutor, Transform16BitExecutor, TransformOptions,
};

/// The largest profile that is used. Those of screens and cameras range from a few hundred bytes to a megabyte.
pub(super) const MOST_PROFILE: usize = 1 << 22;

/// Number of pixels converted at once.
const CHUNK: usize = 1 << 12;

/// Differences up to this are rounding, not different colours.
const SAME: u8 = 1;

/// The conversion from a photo's colours to sRGB.
pub(super) enum ToSrgb {
    Colours {
        eight: Arc<Transform8BitExecutor>,
        sixteen: Arc<Transform16BitExecutor>,
        channels: usize,
    },
    /// The result for each level.
    Grey {
        eight: Vec<u8>,
        sixteen: Vec<u16>,
    },
}

impl ToSrgb {
    /// From an ICC profile, for pixels with `grey` or three colours, with or without `alpha`. `None`: they are sRGB
    /// already, or the profile is unusable; a broken one is no reason to reject the image.
    pub(super) fn icc(profile: &[u8], grey: bool, alpha: bool) -> Option<Self> {
        let options = ParsingOptions { max_profile_size: MOST_PROFILE, ..ParsingOptions::default() };
        let profile = ColorProfile::new_from_slice_with_options(profile, options).ok()?;
        match profile.color_space {
            DataColorSpace::Gray if grey => Self::of_grey(&profile),
            DataColorSpace::Rgb if !grey => Self::of_colours(&profile, alpha),
            _ => None,
        }
    }

    /// From a JPEG's profile, if it has one, for pixels that are RGB even where the image is `grey`.
    pub(super) fn of_jpeg(profile: &[u8], grey: bool) -> Option<Self> {
        if profile.is_empty() { None } else { Self::icc(profile, grey, false) }
    }

    /// The same from PNG's code points (ITU-T H.273). Those for high dynamic range have no counterpart in sRGB.
    pub(super) fn code_points(primaries: u8, transfer: u8, alpha: bool) -> Option<Self> {
        let transfer_characteristics = TransferCharacteristics::try_from(transfer).ok()?;
        if matches!(transfer_characteristics, TransferCharacteristics::Smpte2084 | TransferCharacteristics::Hlg) {
            return None;
        }
        let profile = ColorProfile::new_from_cicp(CicpProfile {
            color_primaries: primaries.try_into().ok()?,
            transfer_characteristics,
            matrix_coefficients: MatrixCoefficients::Identity,
            full_range: true,
        });
        if profile.is_matrix_shaper() { Self::of_colours(&profile, alpha) } else { None }
    }

    fn of_colours(profile: &ColorProfile, alpha: bool) -> Option<Self> {
        let srgb = ColorProfile::new_srgb();
        let options = options();
        let (layout, channels) = if alpha { (Layout::Rgba, 4) } else { (Layout::Rgb, 3) };
        let eight = profile.create_transform_8bit(layout, &srgb, layout, options).ok()?;
        let sixteen = profile.create_transform_16bit(layout, &srgb, layout, options).ok()?;
        let this = Self::Colours { eight, sixteen, channels };
        // Many photos carry sRGB's own profile: their values do not change.
        let level = |step: usize| (step * 255 / 16) as u8;
        let grid = || (0..17 * 17 * 17).map(|i| [level(i % 17), level(i / 17 % 17), level(i / 289), 255]);
        let mut converted: Vec<u8> = grid().flat_map(|pixel| pixel.into_iter().take(channels)).collect();
        this.eight(&mut converted);
        let same = grid().zip(converted.chunks_exact(channels)).all(|(before, after)| near(&before[..3], &after[..3]));
        if same { None } else { Some(this) }
    }

    fn of_grey(profile: &ColorProfile) -> Option<Self> {
        let srgb = ColorProfile::new_srgb();
        let options = options();
        let levels: Vec<u16> = (0..=u16::MAX).collect();
        let mut colours = vec![0; levels.len() * 3];
        let transform = profile.create_transform_16bit(Layout::Gray, &srgb, Layout::Rgb, options).ok()?;
        transform.transform(&levels, &mut colours).ok()?;
        // Grey stays grey: its white is sRGB's.
        let sixteen: Vec<u16> = colours.chunks_exact(3).map(|colour| colour[1]).collect();
        let eight: Vec<u8> = (0..=255).map(|level: usize| to_eight(sixteen[level * 257])).collect();
        let levels: Vec<u8> = (0..=255).collect();
        if near(&levels, &eight) { None } else { Some(Self::Grey { eight, sixteen }) }
    }

    /// Converts pixels of eight bits per channel, with the number of channels declared before.
    pub(super) fn eight(&self, pixels: &mut [u8]) {
        match self {
            Self::Colours { eight, channels, .. } => {
                in_place(pixels, *channels, |from, to| eight.transform(from, to).is_ok());
            }
            Self::Grey { eight, .. } => pixels.iter_mut().for_each(|level| *level = eight[usize::from(*level)]),
        }
    }

    /// Converts pixels of sixteen bits per channel.
    pub(super) fn sixteen(&self, pixels: &mut [u16]) {
        match self {
            Self::Colours { sixteen, channels, .. } => {
                in_place(pixels, *channels, |from, to| sixteen.transform(from, to).is_ok());
            }
            Self::Grey { sixteen, .. } => pixels.iter_mut().for_each(|level| *level = sixteen[usize::from(*level)]),
        }
    }
}

fn options() -> TransformOptions {
    TransformOptions { prefer_fixed_point: false, ..TransformOptions::default() }
}

fn near(before: &[u8], after: &[u8]) -> bool {
    before.iter().zip(after).all(|(before, after)| before.abs_diff(*after) <= SAME)
}

/// Sixteen bits to the nearest eight-bit value.
pub(super) fn to_eight(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

/// `convert` converts from one slice to another, and fails only for lengths that are not whole pixels.
fn in_place<T: Copy + Default>(pixels: &mut [T], channels: usize, convert: impl Fn(&[T], &mut [T]) -> bool) {
    let mut from = vec![T::default(); CHUNK * channels];
    for chunk in pixels.chunks_mut(CHUNK * channels) {
        let from = &mut from[..chunk.len()];
        from.copy_from_slice(chunk);
        let converted = convert(from, chunk);
        debug_assert!(converted, "{} values are not whole pixels", chunk.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_srgb_or_nonsense_is_left_alone() {
        let srgb = ColorProfile::new_srgb().encode().unwrap();
        assert!(ToSrgb::icc(&srgb, false, false).is_none() && ToSrgb::icc(&srgb, true, false).is_none());
        assert!(ToSrgb::icc(b"no profile", false, false).is_none());
        assert!(ToSrgb::code_points(1, 13, true).is_none(), "sRGB");
        assert!(ToSrgb::code_points(9, 16, false).is_none(), "high dynamic range");
        let p3 = ColorProfile::new_display_p3().encode().unwrap();
        for cut in 0..p3.len() {
            let _ = ToSrgb::icc(&p3[..cut], false, false);
        }
    }

    /// The definitions: sRGB's curve on both sides, and the matrix from Display P3's primaries to sRGB's (both D65).
    fn from_p3([r, g, b]: [f64; 3]) -> [f64; 3] {
        let linear = |v: f64| if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
        let [r, g, b] = [linear(r), linear(g), linear(b)];
        [
            1.224_940_2 * r - 0.224_940_2 * g,
            -0.042_056_9 * r + 1.042_056_9 * g,
            -0.019_637_6 * r - 0.078_636_1 * g + 1.098_273_6 * b,
        ]
        .map(|v| v.clamp(0.0, 1.0))
        .map(|v| if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 })
    }

    #[test]
    fn display_p3_becomes_srgb_as_defined() {
        let profile = ColorProfile::new_display_p3().encode().unwrap();
        let ways = [ToSrgb::icc(&profile, false, false), ToSrgb::code_points(12, 13, false)];
        for (way, to_srgb) in ways.into_iter().enumerate() {
            let to_srgb = to_srgb.unwrap();
            let mut eight: Vec<u8> = (0..3 * 5000).map(|i| (i * 89 % 256) as u8).collect();
            let mut sixteen: Vec<u16> = (0..3 * 5000).map(|i| (i * 12_289 % 65_536) as u16).collect();
            let expected = |values: Vec<f64>| -> Vec<f64> {
                values.chunks_exact(3).flat_map(|v| from_p3([v[0], v[1], v[2]])).collect()
            };
            let of_eight = expected(eight.iter().map(|&v| f64::from(v) / 255.0).collect());
            let of_sixteen = expected(sixteen.iter().map(|&v| f64::from(v) / 65_535.0).collect());
            to_srgb.eight(&mut eight);
            to_srgb.sixteen(&mut sixteen);
            for (found, expected) in eight.iter().zip(of_eight) {
                assert!((f64::from(*found) - 255.0 * expected).abs() < 1.5, "{way}: {found} and {}", 255.0 * expected);
            }
            for (found, expected) in sixteen.iter().zip(of_sixteen) {
                let scaled = 65_535.0 * expected;
                assert!((f64::from(*found) - scaled).abs() < 128.0, "{way}: {found} and {scaled}");
            }
        }
    }

    #[test]
    fn a_grey_of_another_gamma_becomes_srgbs() {
        let profile = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
        let to_srgb = ToSrgb::icc(&profile, true, false).unwrap();
        let mut grey = [0, 55, 127, 255];
        to_srgb.eight(&mut grey);
        // 1.055 v^(1 / 2.4) - 0.055.
        assert!(near(&grey, &[0, 128, 187, 255]), "{grey:?}");
        assert!(ToSrgb::icc(&profile, false, false).is_none(), "not a colour profile");
    }
}
