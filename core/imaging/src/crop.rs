//! Rectangles of masks: the box around their pixels, and what is inside one.

use silhouette_kernels::memory::{self, OutOfMemory};

use crate::frame::{FrameError, Region};
use crate::mask::{Confidence, Mask};

impl Mask {
    /// The smallest rectangle that holds every pixel that is not class 0; `None` if there are none.
    pub fn bounds(&self) -> Option<Region> {
        let rows = || self.classes.chunks_exact(self.width.max(1));
        let filled = |row: &[u8]| row.iter().any(|&class| class != 0);
        let y = rows().position(filled)?;
        let end = rows().rposition(filled)? + 1;
        let mut left = self.width;
        let mut right = 0;
        for row in rows().take(end).skip(y) {
            if let Some(first) = row.iter().position(|&class| class != 0) {
                left = left.min(first);
                right = right.max(row.iter().rposition(|&class| class != 0).map_or(0, |last| last + 1));
            }
        }
        Some(Region { x: left, y, width: right - left, height: end - y })
    }

    /// The part inside a region.
    ///
    /// # Errors
    /// [`FrameError::Region`] if it is empty or not inside the mask; [`FrameError::OutOfMemory`].
    pub fn cropped(&self, region: Region) -> Result<Self, FrameError> {
        let classes = part(&self.classes, 1, (self.width, self.height), region)?;
        Ok(Self { width: region.width, height: region.height, classes })
    }
}

impl Confidence {
    /// The part inside a region.
    ///
    /// # Errors
    /// As [`Mask::cropped`].
    pub fn cropped(&self, region: Region) -> Result<Self, FrameError> {
        let values = part(&self.values, 1, (self.width, self.height), region)?;
        Ok(Self { width: region.width, height: region.height, values })
    }
}

/// The part inside a region of an image of so many columns and rows, with so many bytes per pixel.
///
/// # Errors
/// As [`Mask::cropped`].
pub(crate) fn part(
    values: &[u8],
    bytes: usize,
    (width, height): (usize, usize),
    region: Region,
) -> Result<Vec<u8>, FrameError> {
    let within =
        |start: usize, length: usize, all: usize| length > 0 && start.checked_add(length).is_some_and(|end| end <= all);
    if !within(region.x, region.width, width) || !within(region.y, region.height, height) {
        return Err(FrameError::Region { region, width, height });
    }
    let mut part = Vec::new();
    let wanted = region.width.saturating_mul(region.height).saturating_mul(bytes);
    memory::reserve(&mut part, wanted, "a part of an image").map_err(|error: OutOfMemory| FrameError::from(error))?;
    for row in values.chunks_exact(width * bytes).skip(region.y).take(region.height) {
        part.extend_from_slice(&row[region.x * bytes..][..region.width * bytes]);
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_holds_every_pixel_and_no_more() {
        let mut mask = Mask::new(7, 5);
        assert_eq!((mask.bounds(), Mask::default().bounds()), (None, None));
        for at in [7 + 4, 14 + 2, 21 + 5] {
            mask.classes[at] = 3;
        }
        let found = mask.bounds().unwrap();
        assert_eq!(found, Region { x: 2, y: 1, width: 4, height: 3 });
        assert_eq!(mask.cropped(found).unwrap().classes, [0, 0, 3, 0, 3, 0, 0, 0, 0, 0, 0, 3]);
        let whole = Region { x: 0, y: 0, width: 7, height: 5 };
        assert_eq!(mask.cropped(whole).unwrap(), mask);
    }

    #[test]
    fn what_is_not_inside_is_refused() {
        let mask = Mask::new(4, 3);
        for (x, y, width, height) in [(0, 0, 5, 3), (1, 0, 4, 1), (0, 3, 1, 1), (0, 0, 0, 1), (usize::MAX, 0, 2, 1)] {
            let region = Region { x, y, width, height };
            assert!(matches!(mask.cropped(region), Err(FrameError::Region { .. })), "{region:?}");
        }
        let image: Vec<u8> = (0..16).collect();
        let right = part(&image, 4, (2, 2), Region { x: 1, y: 0, width: 1, height: 2 }).unwrap();
        assert_eq!(right, [4, 5, 6, 7, 12, 13, 14, 15]);
    }
}
