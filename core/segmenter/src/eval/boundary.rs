//! Quality of a foreground's border: boundary IoU (Cheng, Girshick, Dollar, Berg, Kirillov: "Boundary IoU", arXiv
//! 2103.16562, section 4), which considers only the pixels of both masks near their own contours.

use super::VOID;
use crate::error::Result;
use silhouette_kernels::memory::{filled, reserve};

/// What memory is requested for.
const RIM: &str = "the rim of a mask";

/// Distance to a contour: this share of the image's diagonal (the paper's 2 %).
const NEAR: f64 = 0.02;

/// Pixels near their contours: those in both, and those in either. Summed over several images.
///
/// ```
/// use silhouette::eval::Boundary;
///
/// let truth = [0, 0, 1, 1];
/// let boundary = Boundary::of(&truth, &[0, 0, 255, 200], 4, 1, 2)?;
/// assert_eq!(boundary.iou(), Some(1.0));
/// # Ok::<(), silhouette::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boundary {
    /// In both.
    pub hit: u64,
    /// In either.
    pub union: u64,
}

impl Boundary {
    /// Compares the foreground of the ground truth (every class but 0 below `classes`) with an alpha (foreground from
    /// 128 on); both `[height][width]`. Pixels without a label (VOC's void border) are background in both.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) if memory runs out.
    ///
    /// # Panics
    /// If the slices do not have `width * height` values.
    pub fn of(truth: &[u8], alpha: &[u8], width: usize, height: usize, classes: usize) -> Result<Self> {
        assert!(truth.len() == width * height && alpha.len() == truth.len(), "two planes of {width}x{height}");
        let known = |&label: &u8| label != VOID && usize::from(label) < classes;
        let mut expected = Vec::new();
        let mut given = Vec::new();
        reserve(&mut expected, truth.len(), RIM)?;
        expected.extend(truth.iter().map(|label| known(label) && *label > 0));
        reserve(&mut given, truth.len(), RIM)?;
        given.extend(truth.iter().zip(alpha).map(|(label, &alpha)| known(label) && alpha >= 128));
        let near = ((NEAR * (width as f64).hypot(height as f64)).round() as usize).max(1);
        let expected = rim(&expected, width, near)?;
        let given = rim(&given, width, near)?;
        let mut sum = Self::default();
        for (expected, given) in expected.into_iter().zip(given) {
            sum.hit += u64::from(expected && given);
            sum.union += u64::from(expected || given);
        }
        Ok(sum)
    }

    /// 0 to 1; `None` if neither mask has a foreground.
    #[must_use]
    pub fn iou(self) -> Option<f64> {
        (self.union > 0).then(|| self.hit as f64 / self.union as f64)
    }

    /// Adds the pixels of another image.
    pub fn add(&mut self, other: Self) {
        self.hit += other.hit;
        self.union += other.union;
    }
}

/// The mask's pixels with a pixel outside the mask (or the image's edge) within `near` rows and columns: the mask without its
/// erosion by a square, as in the paper's code.
fn rim(mask: &[bool], width: usize, near: usize) -> Result<Vec<bool>> {
    if width == 0 {
        return Ok(Vec::new());
    }
    let height = mask.len() / width;
    // Erosion by a square is erosion by a row, then by a column; a counter of consecutive set pixels does each in one pass.
    let mut inner = filled(mask.len(), false, RIM)?;
    for (row, out) in mask.chunks_exact(width).zip(inner.chunks_exact_mut(width)) {
        runs(width, near, |x| row[x], |x| out[x] = true);
    }
    let mut rim = Vec::new();
    reserve(&mut rim, mask.len(), RIM)?;
    rim.extend_from_slice(mask);
    for x in 0..width {
        runs(height, near, |y| inner[y * width + x], |y| rim[y * width + x] = false);
    }
    Ok(rim)
}

/// Calls `found` for every position of a line with `near` set positions on both sides.
fn runs(length: usize, near: usize, set: impl Fn(usize) -> bool, mut found: impl FnMut(usize)) {
    let mut run = 0;
    for i in 0..length {
        run = if set(i) { run + 1 } else { 0 };
        if run > 2 * near {
            found(i - near);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square of `side` at (left, top) in an image of 100x75, whose rim is 3 pixels wide (2 % of 125 is 2.5).
    fn square(left: usize, top: usize, side: usize, value: u8) -> Vec<u8> {
        (0..100 * 75)
            .map(|i| {
                let x = i % 100;
                let y = i / 100;
                if (left..left + side).contains(&x) && (top..top + side).contains(&y) { value } else { 0 }
            })
            .collect()
    }

    #[test]
    fn counted_by_hand() {
        let truth = square(20, 20, 30, 5);
        let same = Boundary::of(&truth, &square(20, 20, 30, 255), 100, 75, 21).unwrap();
        assert_eq!((same.hit, same.union), (30 * 30 - 24 * 24, 30 * 30 - 24 * 24));
        // A square inside, as large as the inner part without the rim: no pixel in common.
        let inside = Boundary::of(&truth, &square(23, 23, 24, 255), 100, 75, 21).unwrap();
        assert_eq!((inside.hit, inside.union), (0, 30 * 30 - 24 * 24 + 24 * 24 - 18 * 18));
        assert!(Boundary::of(&truth, &square(20, 20, 30, 127), 100, 75, 21).unwrap().iou() == Some(0.0));
        assert_eq!(Boundary::of(&[0; 7500], &[0; 7500], 100, 75, 21).unwrap().iou(), None);
        let mut sum = same;
        sum.add(inside);
        assert_eq!(sum.iou(), Some(324.0 / (324.0 + 324.0 + 252.0)));
    }

    #[test]
    fn what_has_no_label_is_background_in_both() {
        let mut truth = square(20, 20, 30, 5);
        for (i, label) in truth.iter_mut().enumerate() {
            if i % 100 >= 50 {
                *label = 255;
            }
        }
        let wider = Boundary::of(&truth, &square(20, 20, 40, 255), 100, 75, 21).unwrap();
        let exact = Boundary::of(&truth, &square(20, 20, 30, 255), 100, 75, 21).unwrap();
        assert_eq!(exact.iou(), Some(1.0));
        // Ten extra rows below, 30 columns of them labelled: the rims share 3 rows above and 3 columns on each side.
        assert_eq!((wider.hit, wider.union), (3 * 30 + 2 * 3 * 27, 252 + 3 * 30 + 2 * 3 * 7 + 3 * 24));
    }

    #[test]
    fn the_pictures_edge_is_a_contour() {
        let all = Boundary::of(&[1; 7500], &[255; 7500], 100, 75, 21).unwrap();
        assert_eq!((all.hit, all.union), (7500 - 94 * 69, 7500 - 94 * 69));
    }
}
