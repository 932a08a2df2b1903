//! Averages several runs of a network over one image (scales, mirrored or not) into one mask: the softmax of each,
//! resized to the image, averaged, argmax. Row by row, so that no class has a full-size plane.

use crate::softmax::softmax;
use silhouette_imaging::frame::Size;
use silhouette_imaging::mask::Resize;
use silhouette_kernels::memory::{OutOfMemory, filled, reserve};

/// The logits of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogitMap<'a> {
    /// `[height][width][classes]`.
    pub(super) data: &'a [f32],
    /// Size of the map.
    pub(super) size: Size,
    /// Size of the network's input.
    pub(super) input: Size,
    /// Size of the part of the input, from the top left, that the image covers.
    pub(super) covered: Size,
    /// How input and map are aligned.
    pub(super) grid: Resize,
    /// Whether the image was mirrored for this run.
    pub(super) mirrored: bool,
}

/// The position of a pixel between two cells of the map.
#[derive(Clone, Copy)]
struct Between {
    low: usize,
    high: usize,
    /// Weight of `high`, 0 to 1.
    share: f32,
}

/// What the memory is for, in errors.
const AVERAGE: &str = "an average of several runs";

/// For each of `n` pixels of the image, its position on one axis of a map of `cells`.
fn places(
    n: usize,
    covered: usize,
    input: usize,
    cells: usize,
    grid: Resize,
    mirrored: bool,
) -> Result<Vec<Between>, OutOfMemory> {
    let mut places = Vec::new();
    reserve(&mut places, n, AVERAGE)?;
    places.extend((0..n).map(|i| {
        let mut at = (i as f64 + 0.5) * covered as f64 / n as f64 - 0.5;
        if mirrored {
            at = covered as f64 - 1.0 - at;
        }
        let at = match grid {
            Resize::AlignCorners => at * (cells - 1) as f64 / (input - 1).max(1) as f64,
            Resize::HalfPixel => (at + 0.5) * cells as f64 / input as f64 - 0.5,
        };
        let at = at.clamp(0.0, (cells - 1) as f64);
        let low = at as usize;
        Between { low, high: (low + 1).min(cells - 1), share: (at - low as f64) as f32 }
    }));
    Ok(places)
}

/// The class with the largest mean softmax over all maps, for each pixel of an image, row by row.
/// Ties go to the lower class. Memory: one row of the image and one of each map, for all classes.
///
/// # Errors
/// [`OutOfMemory`].
///
/// # Panics
/// If there is no map, `classes` is 0 or more than 256, or a map's data do not match its size.
pub(super) fn average_argmax(maps: &[LogitMap], classes: usize, picture: Size) -> Result<Vec<u8>, OutOfMemory> {
    let Size { height, width } = picture;
    assert!(!maps.is_empty() && (1..=256).contains(&classes), "at least one map, 1 to 256 classes");
    let axes = maps
        .iter()
        .map(|map| {
            let LogitMap { size, input, covered, grid, mirrored, .. } = *map;
            assert_eq!(map.data.len(), size.height * size.width * classes, "logits of a map of {size:?}");
            let rows = places(height, covered.height, input.height, size.height, grid, false)?;
            Ok((rows, places(width, covered.width, input.width, size.width, grid, mirrored)?))
        })
        .collect::<Result<Vec<_>, OutOfMemory>>()?;
    let widest = maps.iter().map(|map| map.size.width).max().unwrap_or(0);
    let mut line = filled(widest.saturating_mul(classes), 0.0_f32, AVERAGE)?;
    let mut sums = filled(width.saturating_mul(classes), 0.0_f32, AVERAGE)?;
    let mut one = vec![0.0_f32; classes];
    let mut probabilities = one.clone();
    let mut mask = Vec::new();
    reserve(&mut mask, height.saturating_mul(width), AVERAGE)?;
    for y in 0..height {
        sums.fill(0.0);
        for (map, (rows, columns)) in maps.iter().zip(&axes) {
            let row = |i: usize| &map.data[i * map.size.width * classes..][..map.size.width * classes];
            let Between { low, high, share } = rows[y];
            for ((line, &a), &b) in line.iter_mut().zip(row(low)).zip(row(high)) {
                *line = a + (b - a) * share;
            }
            for (sums, &Between { low, high, share }) in sums.chunks_exact_mut(classes).zip(columns) {
                let a = &line[low * classes..][..classes];
                let b = &line[high * classes..][..classes];
                for ((one, &a), &b) in one.iter_mut().zip(a).zip(b) {
                    *one = a + (b - a) * share;
                }
                softmax(&one, &mut probabilities);
                for (sum, &p) in sums.iter_mut().zip(&probabilities) {
                    *sum += p;
                }
            }
        }
        mask.extend(sums.chunks_exact(classes).map(|pixel| {
            let mut best = 0;
            for (class, &sum) in pixel.iter().enumerate() {
                if sum > pixel[best] {
                    best = class;
                }
            }
            best as u8
        }));
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map of two classes; the second one is certain where `on` is true.
    fn map(rows: usize, columns: usize, on: impl Fn(usize, usize) -> bool) -> Vec<f32> {
        (0..rows * columns).flat_map(|i| [0.0, if on(i / columns, i % columns) { 4.0 } else { -4.0 }]).collect()
    }

    fn size(height: usize, width: usize) -> Size {
        Size { height, width }
    }

    fn run(data: &[f32], size: Size, input: usize, covered: Size) -> LogitMap<'_> {
        LogitMap { data, size, input: Size::square(input), covered, grid: Resize::AlignCorners, mirrored: false }
    }

    #[test]
    fn one_map_at_its_own_size_is_its_argmax() {
        let data = map(5, 5, |y, x| (x + 2 * y) % 3 == 0);
        let mask = average_argmax(&[run(&data, size(5, 5), 5, size(5, 5))], 2, size(5, 5)).unwrap();
        for (i, &class) in mask.iter().enumerate() {
            assert_eq!(class, u8::from((i % 5 + 2 * (i / 5)) % 3 == 0), "pixel {i}");
        }
    }

    #[test]
    fn a_picture_that_no_memory_holds_is_an_error() {
        let data = [0.0, 1.0];
        let map = run(&data, size(1, 1), 1, size(1, 1));
        for (height, width) in [(usize::MAX, 1), (1, usize::MAX), (1, usize::MAX / 64)] {
            assert!(average_argmax(&[map], 2, Size { height, width }).is_err());
        }
    }

    #[test]
    fn a_mirrored_run_is_turned_back() {
        let data = map(3, 9, |_, x| x < 3);
        let mirrored = LogitMap { mirrored: true, ..run(&data, size(3, 9), 9, size(3, 9)) };
        let mirrored = LogitMap { input: size(3, 9), ..mirrored };
        let mask = average_argmax(&[mirrored], 2, size(3, 9)).unwrap();
        assert_eq!(mask[..9], [0, 0, 0, 0, 0, 0, 1, 1, 1]);
    }

    #[test]
    fn padding_is_not_seen() {
        // The image covers the upper 9 of 17 rows: map rows 0 to 2 of 5. The map's values below have no effect.
        let data = map(5, 5, |y, _| y > 2);
        let mask = average_argmax(&[run(&data, size(5, 5), 17, size(9, 17))], 2, size(18, 34)).unwrap();
        assert!(mask.iter().all(|&class| class == 0));
    }

    #[test]
    fn the_mean_of_softmax_decides_and_not_the_mean_of_logits() {
        // Two runs slightly for class 0, one strongly for class 1: the mean softmax favours class 0.
        let weak = [1.0, 0.0];
        let strong = [0.0, 50.0];
        let at = |data| run(data, size(1, 1), 1, size(1, 1));
        let mask = average_argmax(&[at(&weak), at(&weak), at(&strong)], 2, size(1, 1)).unwrap();
        // 2 * 0.731 = 1.46 against 2 * 0.269 + 1 = 1.54.
        assert_eq!(mask, [1]);
        let surer = [2.0, 0.0];
        // 2 * 0.881 = 1.76 against 1.24; the mean of logits would still favour class 1.
        assert_eq!(average_argmax(&[at(&surer), at(&surer), at(&strong)], 2, size(1, 1)).unwrap(), [0]);
    }

    #[test]
    fn scales_agree_on_a_shape() {
        let small = map(9, 9, |y, x| y > 3 && x > 4);
        let large = map(17, 17, |y, x| y > 7 && x > 9);
        let maps = [run(&small, size(9, 9), 129, size(129, 129)), run(&large, size(17, 17), 257, size(257, 257))];
        let both = average_argmax(&maps, 2, size(100, 100)).unwrap();
        let one = average_argmax(&maps[..1], 2, size(100, 100)).unwrap();
        let differ = both.iter().zip(&one).filter(|(a, b)| a != b).count();
        assert!(differ < 400, "{differ} of 10000 pixels differ");
        assert!(both.contains(&1) && both.contains(&0));
    }
}
