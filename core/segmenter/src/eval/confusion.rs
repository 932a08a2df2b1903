//! Scores masks against the ground truth: the confusion matrix and its metrics.

/// Labels that are not scored: VOC's void border, and everything else past the last class.
pub const VOID: u8 = 255;

/// How often each true class was predicted as each class, in pixels.
///
/// ```
/// use silhouette::eval::Confusion;
///
/// let mut confusion = Confusion::new(2);
/// confusion.add(&[0, 1, 1, 255], &[0, 1, 0, 1])?; // 255 is not scored.
/// assert_eq!(confusion.iou(), [Some(0.5), Some(0.5)]);
/// # Ok::<(), silhouette::eval::Mismatch>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// `[truth][mask]`.
    counts: Vec<u64>,
}

/// Why two label images cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// They have different numbers of pixels.
    #[error("the ground truth has {truth} pixels and the mask has {mask}; both must have the image's size")]
    Size {
        /// Pixels of the ground truth.
        truth: usize,
        /// Pixels of the mask.
        mask: usize,
    },
    /// The mask has a class that the matrix does not cover.
    #[error("the mask holds class {class}, but only {classes} classes are scored")]
    Class {
        /// The class found.
        class: u8,
        /// Number of classes.
        classes: usize,
    },
}

impl Confusion {
    /// An empty matrix for `classes` (1 to 254) classes.
    ///
    /// # Panics
    /// For 0 or more than 254 classes: labels are bytes and 255 is void.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        assert!((1..=254).contains(&classes), "1 to 254 classes, not {classes}");
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// The number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The counts, `[truth][mask]` row by row.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Adds an image: one byte per pixel in both. Pixels whose ground truth is not a class (255, or 254: not labelled)
    /// do not count.
    ///
    /// # Errors
    /// [`Mismatch`]; nothing is added then.
    pub fn add(&mut self, truth: &[u8], mask: &[u8]) -> Result<(), Mismatch> {
        if truth.len() != mask.len() {
            return Err(Mismatch::Size { truth: truth.len(), mask: mask.len() });
        }
        if let Some(&class) = mask.iter().find(|&&class| usize::from(class) >= self.classes) {
            return Err(Mismatch::Class { class, classes: self.classes });
        }
        for (&truth, &mask) in truth.iter().zip(mask) {
            if usize::from(truth) < self.classes {
                self.counts[usize::from(truth) * self.classes + usize::from(mask)] += 1;
            }
        }
        Ok(())
    }

    /// Adds the counts of another matrix with the same number of classes.
    ///
    /// # Panics
    /// If the numbers of classes differ.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.classes, other.classes, "matrices of the same classes");
        for (sum, &count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }

    /// Adds to one cell, to restore a stored matrix; `false` if there is no such cell.
    pub fn count(&mut self, truth: usize, mask: usize, pixels: u64) -> bool {
        if truth >= self.classes || mask >= self.classes {
            return false;
        }
        let cell = &mut self.counts[truth * self.classes + mask];
        *cell = cell.saturating_add(pixels);
        true
    }

    /// Intersection over union of each class, 0 to 1; `None` for a class that is neither in the labels nor in the masks.
    #[must_use]
    pub fn iou(&self) -> Vec<Option<f64>> {
        (0..self.classes)
            .map(|class| {
                let hit = self.counts[class * self.classes + class];
                let truth: u64 = self.counts[class * self.classes..][..self.classes].iter().sum();
                let mask: u64 = self.counts.iter().skip(class).step_by(self.classes).sum();
                let union = truth + mask - hit;
                (union > 0).then(|| hit as f64 / union as f64)
            })
            .collect()
    }

    /// The mean of [`iou`](Self::iou) over the classes that occur, 0 to 1; `None` if none does.
    #[must_use]
    pub fn miou(&self) -> Option<f64> {
        let known: Vec<f64> = self.iou().into_iter().flatten().collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    /// The share of labelled pixels with the right class, 0 to 1; `None` if no pixel is labelled.
    #[must_use]
    pub fn pixel_accuracy(&self) -> Option<f64> {
        let all: u64 = self.counts.iter().sum();
        let right: u64 = self.counts.iter().step_by(self.classes + 1).sum();
        (all > 0).then(|| right as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_by_hand() {
        let mut confusion = Confusion::new(3);
        confusion.add(&[0, 0, 1, 1, 255, 254], &[0, 1, 1, 1, 2, 0]).unwrap();
        assert_eq!(confusion.counts(), [1, 1, 0, 0, 2, 0, 0, 0, 0]);
        // Class 0: hit 1 of {0, 0} and {0}; class 1: hit 2 of {1, 1} and {1, 1, 1}; class 2: only in void pixels.
        assert_eq!(confusion.iou(), [Some(0.5), Some(2.0 / 3.0), None]);
        assert_eq!(confusion.miou(), Some(f64::midpoint(0.5, 2.0 / 3.0)));
        assert_eq!(confusion.pixel_accuracy(), Some(0.75));
    }

    #[test]
    fn a_class_only_in_masks_scores_nothing_and_counts() {
        let mut confusion = Confusion::new(3);
        confusion.add(&[0, 0], &[0, 2]).unwrap();
        assert_eq!(confusion.iou(), [Some(0.5), None, Some(0.0)]);
        assert_eq!(confusion.miou(), Some(0.25));
    }

    #[test]
    fn merging_is_adding_and_order_does_not_matter() {
        let mut a = Confusion::new(2);
        let mut b = Confusion::new(2);
        let mut both = Confusion::new(2);
        a.add(&[0, 1], &[1, 1]).unwrap();
        b.add(&[1, 0], &[0, 0]).unwrap();
        both.add(&[1, 0, 0, 1], &[0, 0, 1, 1]).unwrap();
        a.merge(&b);
        assert_eq!(a, both);
        let mut stored = Confusion::new(2);
        assert!(stored.count(0, 1, 1) && stored.count(1, 1, 1) && stored.count(1, 0, 1) && stored.count(0, 0, 1));
        assert_eq!(stored, both);
        assert!(!stored.count(2, 0, 1));
    }

    #[test]
    fn what_does_not_fit_adds_nothing() {
        let mut confusion = Confusion::new(2);
        assert_eq!(confusion.add(&[0, 0], &[0]), Err(Mismatch::Size { truth: 2, mask: 1 }));
        assert_eq!(confusion.add(&[0, 0], &[0, 2]), Err(Mismatch::Class { class: 2, classes: 2 }));
        assert_eq!(confusion, Confusion::new(2));
        assert_eq!((confusion.miou(), confusion.pixel_accuracy()), (None, None));
    }
}
