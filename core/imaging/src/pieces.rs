//! Connected pieces of a mask or an alpha: only the largest is kept. Pixels are connected by their edges, as in [`crate::polygons`].

use silhouette_kernels::memory::{self, OutOfMemory};

use crate::mask::{Confidence, Mask};
use crate::polygons::{Runs, runs};

const WHAT: &str = "the pieces of a mask";

/// An alpha from here on belongs to a piece; what is below it is a piece's soft border.
const SOLID: u8 = 128;

impl Mask {
    /// The largest connected piece of all pixels that are not class 0; the others become class 0. Of equal ones, the first from the top.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn largest_piece(&self) -> Result<Self, OutOfMemory> {
        let mut largest = copied(&self.classes)?;
        let owners = owners(self.width, self.height, &self.classes, |class| class != 0)?;
        largest
            .iter_mut()
            .zip(&owners)
            .filter(|(_, owner)| **owner != Owner::Largest)
            .for_each(|(class, _)| *class = 0);
        Ok(Self { width: self.width, height: self.height, classes: largest })
    }
}

impl Confidence {
    /// The largest connected piece of what is at least half certain, with its soft border; the rest becomes 0.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn largest_piece(&self) -> Result<Self, OutOfMemory> {
        let mut largest = Self { width: self.width, height: self.height, values: copied(&self.values)? };
        let mut owners = owners(self.width, self.height, &self.values, |value| value >= SOLID)?;
        spread(&mut owners, &self.values, self.width)?;
        for (value, owner) in largest.values.iter_mut().zip(&owners) {
            if *owner != Owner::Largest {
                *value = 0;
            }
        }
        Ok(largest)
    }
}

fn copied(values: &[u8]) -> Result<Vec<u8>, OutOfMemory> {
    let mut copy = Vec::new();
    memory::reserve(&mut copy, values.len(), WHAT)?;
    copy.extend_from_slice(values);
    Ok(copy)
}

/// What a pixel belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nothing,
    Largest,
    Other,
}

fn owners(width: usize, height: usize, values: &[u8], inside: impl Fn(u8) -> bool) -> Result<Vec<Owner>, OutOfMemory> {
    let mut flags = Vec::new();
    memory::reserve(&mut flags, values.len(), WHAT)?;
    flags.extend(values.iter().map(|&value| u8::from(inside(value))));
    let Runs { all: runs, rows, pieces } = runs(&Mask { width, height, classes: flags }, 1)?;
    let mut areas = memory::filled(pieces.len(), 0usize, WHAT)?;
    for run in &runs {
        areas[pieces[run.piece]] += run.end - run.start;
    }
    let mut best = 0;
    for (piece, &area) in areas.iter().enumerate() {
        if area > areas[best] {
            best = piece;
        }
    }
    let mut owners = memory::filled(values.len(), Owner::Nothing, WHAT)?;
    for y in 0..rows.len() - 1 {
        for run in &runs[rows[y]..rows[y + 1]] {
            let owner = if pieces[run.piece] == best { Owner::Largest } else { Owner::Other };
            owners[y * width + run.start..y * width + run.end].fill(owner);
        }
    }
    Ok(owners)
}

/// Gives soft pixels to the piece that is nearest through soft pixels.
fn spread(owners: &mut [Owner], values: &[u8], width: usize) -> Result<(), OutOfMemory> {
    let free = |owners: &[Owner], at: usize| owners[at] == Owner::Nothing && values[at] > 0;
    let around = |at: usize| {
        let x = at % width;
        let left = (x > 0).then(|| at - 1);
        let right = (x + 1 < width).then(|| at + 1);
        let below = (at + width < values.len()).then(|| at + width);
        [left, right, at.checked_sub(width), below].into_iter().flatten()
    };
    let mut edge = Vec::new();
    for at in 0..values.len() {
        if owners[at] != Owner::Nothing && around(at).any(|other| free(owners, other)) {
            memory::push(&mut edge, at, WHAT)?;
        }
    }
    while !edge.is_empty() {
        let mut next = Vec::new();
        for &at in &edge {
            for other in around(at) {
                if free(owners, other) {
                    owners[other] = owners[at];
                    memory::push(&mut next, other, WHAT)?;
                }
            }
        }
        edge = next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(rows: &[&str]) -> (usize, usize, Vec<u8>) {
        (rows[0].len(), rows.len(), rows.concat().bytes().map(|digit| digit - b'0').collect())
    }

    #[test]
    fn the_largest_piece_of_a_mask_keeps_its_classes() {
        let (width, height, classes) = values(&["110022", "100222", "000000", "300330"]);
        let largest = Mask { width, height, classes }.largest_piece().unwrap();
        assert_eq!(largest.classes, values(&["000022", "000222", "000000", "000000"]).2);
        // Corners do not connect; of equal pieces the first.
        let (width, height, classes) = values(&["10", "02"]);
        assert_eq!(Mask { width, height, classes }.largest_piece().unwrap().classes, [1, 0, 0, 0]);
        assert_eq!(Mask::new(3, 2).largest_piece().unwrap(), Mask::new(3, 2));
        assert_eq!(Mask::default().largest_piece().unwrap(), Mask::default());
    }

    #[test]
    fn a_soft_border_goes_with_its_piece() {
        let (width, height, digits) = values(&["1992100193", "0291000011", "0000000000", "1000000000"]);
        let alpha = |digit: &u8| digit * 28;
        let values = digits.iter().map(alpha).collect();
        let kept = Confidence { width, height, values }.largest_piece().unwrap();
        let (.., expected) = self::values(&["1992100000", "0291000000", "0000000000", "0000000000"]);
        assert_eq!(kept.values, expected.iter().map(alpha).collect::<Vec<_>>());
        assert_eq!(Confidence::default().largest_piece().unwrap(), Confidence::default());
    }
}
