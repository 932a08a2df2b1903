//! The bounds of every number that a caller passes, checked here for all languages and for the command, before anything
//! uses it.

use crate::error::{Error, Result};
use crate::options::{Options, OutputSize};
use crate::smooth::Smoothing;
use silhouette_imaging::frame::{MAX_SIDE, Size};
use silhouette_plan::MAX_THREADS;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Maximum side of a network's input.
pub const MAX_SIZE: usize = 4097;

/// Maximum number of concurrent calls: each costs an arena, and more than there are cores only alternate.
pub const MAX_CONCURRENCY: usize = 256;

/// Maximum number of pixels of a mask.
pub const MAX_PIXELS: usize = 1 << 28;

/// Maximum of [`Smoothing::half_life`] and [`Smoothing::longest_pause`].
pub const MAX_PAUSE: Duration = Duration::from_hours(24);

/// Maximum deviation of a blur, as a share of the image's longer side.
pub const MAX_BLUR_RADIUS: f32 = 0.5;

/// Maximum tolerance of a polygon in pixels: the longest side of a mask.
pub const MAX_TOLERANCE: f64 = MAX_SIDE as f64;

/// Checks a segmenter's or classifier's options; `size` and `threads` are the defaults if the options do not set them.
///
/// # Errors
/// [`Error::Unsupported`] naming the number and the supported range.
pub(crate) fn options(options: &Options, size: usize, threads: usize) -> Result<()> {
    between(&size, 1..=MAX_SIZE, "an input size of", "")?;
    between(&threads, 1..=MAX_THREADS, "a call on", " threads")?;
    if let Some(calls) = options.concurrency {
        between(&calls, 1..=MAX_CONCURRENCY, "a concurrency of", " calls")?;
    }
    if options.weight_cache.as_ref().is_some_and(|folder| folder.as_os_str().is_empty()) {
        return Err(Error::unsupported("a weight cache without a folder", "name a folder, or omit it"));
    }
    match options.output {
        OutputSize::Given { width, height } => mask(Size { height, width }),
        OutputSize::Frame | OutputSize::Model => Ok(()),
    }
}

/// Checks the size of a mask.
///
/// # Errors
/// The same as [`options`].
pub(crate) fn mask(Size { height, width }: Size) -> Result<()> {
    let side = 1..=MAX_SIDE;
    let fits = width.checked_mul(height).is_some_and(|pixels| pixels <= MAX_PIXELS);
    if side.contains(&width) && side.contains(&height) && fits {
        return Ok(());
    }
    Err(Error::unsupported(
        format_args!("a mask of {width}x{height} pixels"),
        "at least 1x1 and at most 2^28 pixels are supported; use a smaller output size",
    ))
}

/// Checks the times of a smoothing.
///
/// # Errors
/// The same as [`options`].
pub(crate) fn smoothing(smoothing: &Smoothing) -> Result<()> {
    for (what, time) in [("half-life", smoothing.half_life), ("longest pause", smoothing.longest_pause)] {
        if time > MAX_PAUSE {
            let reason = format!("a smoothing whose {what} is {} s", time.as_secs());
            return Err(Error::unsupported(reason, "at most a day is supported"));
        }
    }
    Ok(())
}

/// Checks the opacity of an overlay.
///
/// # Errors
/// The same as [`options`].
pub(crate) fn opacity(opacity: f32) -> Result<()> {
    between(&opacity, 0.0..=1.0, "an opacity of", "")
}

/// Checks the deviation of a blur.
///
/// # Errors
/// The same as [`options`].
pub(crate) fn blur_radius(radius: f32) -> Result<()> {
    between(&radius, 0.0..=MAX_BLUR_RADIUS, "a blur of", " of the longer side")
}

/// Checks the tolerance of polygons.
///
/// # Errors
/// The same as [`options`].
pub(crate) fn tolerance(tolerance: f64) -> Result<()> {
    between(&tolerance, 0.0..=MAX_TOLERANCE, "a tolerance of", " pixels")
}

/// NaN is outside any range.
fn between<T: PartialOrd + Display>(value: &T, range: RangeInclusive<T>, before: &str, after: &str) -> Result<()> {
    if range.contains(value) {
        return Ok(());
    }
    let advice = format!("pass a value from {} to {}", range.start(), range.end());
    Err(Error::unsupported(format_args!("{before} {value}{after}"), &advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_inside_and_what_is_beyond_them_is_named() {
        let good = Options::new();
        let checked = |changed: Options| options(&changed, 513, 1).map_err(|error| error.reason().to_owned());
        assert_eq!(checked(good.clone()), Ok(()));
        assert_eq!(checked(good.clone().concurrency(1)), Ok(()));
        assert_eq!(checked(good.clone().concurrency(MAX_CONCURRENCY)), Ok(()));
        for calls in [0, MAX_CONCURRENCY + 1, i32::MAX as usize, u32::MAX as usize, usize::MAX] {
            assert_eq!(checked(good.clone().concurrency(calls)), Err(format!("a concurrency of {calls} calls")));
        }
        for (width, height) in [(0, 1), (1, 0), (1 << 20, 1 << 20), (usize::MAX, 2), (MAX_SIDE + 1, 1)] {
            let given = checked(good.clone().output(OutputSize::Given { width, height }));
            assert_eq!(given, Err(format!("a mask of {width}x{height} pixels")));
        }
        assert!(checked(good.clone().weight_cache("")).is_err());
        for (size, threads) in [(0, 1), (MAX_SIZE + 1, 1), (usize::MAX, 1), (1, 0), (1, MAX_THREADS + 1)] {
            assert!(matches!(options(&good, size, threads), Err(Error::Unsupported(_))), "{size} {threads}");
        }
        assert!(options(&good, MAX_SIZE, MAX_THREADS).is_ok());
    }

    #[test]
    fn floats_that_are_no_numbers_are_refused() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1e-6, 1.000_001, f32::MAX] {
            assert!(opacity(value).is_err() && blur_radius(value).is_err(), "{value}");
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e-9, f64::MAX] {
            assert!(tolerance(value).is_err(), "{value}");
        }
        for value in [0.0, 0.5] {
            assert!(opacity(value).is_ok() && blur_radius(value).is_ok() && tolerance(f64::from(value)).is_ok());
        }
        let mut times = Smoothing::default();
        assert!(smoothing(&times).is_ok());
        times.half_life = Duration::MAX;
        assert!(smoothing(&times).unwrap_err().reason().contains("half-life"));
        times.half_life = MAX_PAUSE;
        assert!(smoothing(&times).is_ok());
        times.longest_pause = Duration::from_nanos(u64::MAX);
        assert!(smoothing(&times).unwrap_err().reason().contains("longest pause"));
    }
}
