//! Border F: how well the border of a region matches the border of the true one. A border pixel counts as matched if the
//! other border passes within a given distance of it; precision and recall of the borders give F.
//!
//! The same definition as in `scripts/train/person_score.py`, in time linear in the pixels at any distance.

use crate::error::Result;
use silhouette_kernels::memory::{filled, push, reserve};

/// The memory's purpose, in errors.
const BORDER: &str = "the borders of a mask";

/// Flags of a pixel: it belongs to the ground truth's region, or its region is unknown.
const TRUTH: u8 = 1;
const UNKNOWN: u8 = 1 << 1;
/// It belongs to the region that is scored.
const OURS: u8 = 1 << 2;
/// It is on the border of either.
const THEIR_BORDER: u8 = 1 << 3;
const OUR_BORDER: u8 = 1 << 4;
/// It is within the distance of either border, or within one pixel more of an unknown pixel.
const NEAR_THEIRS: u8 = 1 << 5;
const NEAR_OURS: u8 = 1 << 6;
const NEAR_UNKNOWN: u8 = 1 << 7;

/// What a pixel of the ground truth is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// In the region.
    Inside,
    /// Not in it.
    Outside,
    /// Not known: borders near it are not scored.
    Unknown,
}

/// The ground truth of one image, and memory to compare regions with it.
#[derive(Debug)]
pub(super) struct TrueBorder {
    width: usize,
    /// `[height][width]`.
    flags: Vec<u8>,
    any_unknown: bool,
    /// Distance to the nearest pixel of a set in the same column.
    distance: Vec<u16>,
    /// For each column of a row, how many more stretches cover it than the one before.
    cover: Vec<i32>,
}

impl TrueBorder {
    /// The ground truth of an image of this `width`, whose pixels have these labels.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) if memory runs out.
    pub(super) fn new(width: usize, labels: impl ExactSizeIterator<Item = Label>) -> Result<Self> {
        let mut flags = filled(labels.len(), 0, BORDER)?;
        let mut any_unknown = false;
        for (flags, label) in flags.iter_mut().zip(labels) {
            *flags = match label {
                Label::Inside => TRUTH,
                Label::Outside => 0,
                Label::Unknown => UNKNOWN,
            };
            any_unknown |= label == Label::Unknown;
        }
        let distance = filled(flags.len(), 0, BORDER)?;
        Ok(Self { width, flags, any_unknown, distance, cover: filled(width + 1, 0, BORDER)? })
    }

    /// F of the border of a region with a tolerance of `radius` pixels, 0 to 1; `None` if neither region has a border.
    ///
    /// # Panics
    /// If `ours` has another number of pixels.
    pub(super) fn f(&mut self, ours: impl ExactSizeIterator<Item = bool>, radius: f64) -> Option<f64> {
        assert_eq!(ours.len(), self.flags.len(), "a region of the image's size");
        for (flags, ours) in self.flags.iter_mut().zip(ours) {
            *flags = *flags & (TRUTH | UNKNOWN) | if ours { OURS } else { 0 };
        }
        self.border(TRUTH, THEIR_BORDER);
        self.border(OURS, OUR_BORDER);
        if self.any_unknown {
            self.grow(UNKNOWN, NEAR_UNKNOWN, radius + 1.0);
            for flags in &mut self.flags {
                if *flags & NEAR_UNKNOWN != 0 {
                    *flags &= !(THEIR_BORDER | OUR_BORDER);
                }
            }
        }
        self.grow(THEIR_BORDER, NEAR_THEIRS, radius);
        self.grow(OUR_BORDER, NEAR_OURS, radius);
        let count = |all: u8| self.flags.iter().filter(|&&flags| flags & all == all).count() as f64;
        let ours = count(OUR_BORDER);
        let theirs = count(THEIR_BORDER);
        if ours + theirs == 0.0 {
            return None;
        }
        let precision = count(OUR_BORDER | NEAR_THEIRS) / ours.max(1.0);
        let recall = count(THEIR_BORDER | NEAR_OURS) / theirs.max(1.0);
        Some(2.0 * precision * recall / (precision + recall).max(1e-9))
    }

    /// Flags the pixels of a region that are next to one outside (above, below, left or right); the image's edge is not a
    /// border.
    fn border(&mut self, region: u8, border: u8) {
        let width = self.width;
        for i in 0..self.flags.len() {
            if self.flags[i] & region == 0 {
                continue;
            }
            let x = i % width;
            let out = |there: bool, at: usize| there && self.flags.get(at).is_some_and(|flags| flags & region == 0);
            let edge = out(x > 0, i.wrapping_sub(1))
                || out(x + 1 < width, i + 1)
                || out(i >= width, i.wrapping_sub(width))
                || out(true, i + width);
            if edge {
                self.flags[i] |= border;
            }
        }
    }

    /// Flags every pixel within `radius` of one that has the flag `from`.
    ///
    /// A disc is a stack of horizontal stretches: a pixel with a set one `d` rows above or below it is inside a stretch of
    /// `sqrt(radius² - d²)` to either side.
    fn grow(&mut self, from: u8, to: u8, radius: f64) {
        let width = self.width;
        if width == 0 {
            return;
        }
        let square = radius * radius;
        let within = |down: usize, right: usize| (down * down + right * right) as f64 <= square;
        // Half a stretch for each distance.
        let mut half = Vec::new();
        while within(half.len(), 0) && half.len() < usize::from(u16::MAX) {
            let last = half.last().copied().unwrap_or(radius as usize);
            half.push((0..=last).rev().find(|&right| within(half.len(), right)).unwrap_or(0));
        }
        let far = half.len() as u16;
        for (i, &flags) in self.flags.iter().enumerate() {
            let above = if i < width { far } else { self.distance[i - width].saturating_add(1) };
            self.distance[i] = if flags & from == 0 { above.min(far) } else { 0 };
        }
        for i in (0..self.flags.len().saturating_sub(width)).rev() {
            self.distance[i] = self.distance[i].min(self.distance[i + width] + 1);
        }
        for (flags, distance) in self.flags.chunks_exact_mut(width).zip(self.distance.chunks_exact(width)) {
            self.cover.fill(0);
            for (x, &distance) in distance.iter().enumerate() {
                if let Some(half) = half.get(usize::from(distance)) {
                    self.cover[x.saturating_sub(*half)] += 1;
                    self.cover[(x + half + 1).min(width)] -= 1;
                }
            }
            let mut covering = 0;
            for (flags, change) in flags.iter_mut().zip(&self.cover) {
                covering += change;
                if covering > 0 {
                    *flags |= to;
                }
            }
        }
    }
}

/// Labels for the unknown pixels marked by `fill`: those of the nearest known pixels, ring by ring of one pixel
/// (diagonals too); where both are equally near, the region's. At most 2^32 pixels.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) if memory runs out.
pub(super) fn fill(labels: &mut [Label], width: usize, fill: impl Fn(usize) -> bool) -> Result<()> {
    /// The memory's purpose, in errors.
    const RING: &str = "the unlabelled pixels of a mask";
    if width == 0 {
        return Ok(());
    }
    let height = labels.len() / width;
    let around = |i: usize| {
        let x = i % width;
        let y = i / width;
        let columns = x.saturating_sub(1)..(x + 2).min(width);
        (y.saturating_sub(1)..(y + 2).min(height)).flat_map(move |y| columns.clone().map(move |x| y * width + x))
    };
    // The pixels of the next ring, each with its label.
    let mut ring: Vec<(u32, Label)> = Vec::new();
    let mut next = Vec::new();
    let label_of = |labels: &[Label], i: usize| {
        let mut outside = false;
        for near in around(i) {
            match labels[near] {
                Label::Inside => return Some(Label::Inside),
                Label::Outside => outside = true,
                Label::Unknown => {}
            }
        }
        outside.then_some(Label::Outside)
    };
    for i in 0..labels.len() {
        if labels[i] == Label::Unknown
            && fill(i)
            && let Some(label) = label_of(labels, i)
        {
            push(&mut ring, (i as u32, label), RING)?;
        }
    }
    let mut queued = filled(labels.len(), false, RING)?;
    while !ring.is_empty() {
        for &(i, label) in &ring {
            labels[i as usize] = label;
        }
        next.clear();
        for &(i, _) in &ring {
            for near in around(i as usize) {
                if labels[near] == Label::Unknown && !queued[near] && fill(near) {
                    queued[near] = true;
                    push(&mut next, near as u32, RING)?;
                }
            }
        }
        ring.clear();
        reserve(&mut ring, next.len(), RING)?;
        // Each touches a pixel of the last ring, so it has a label.
        ring.extend(next.iter().filter_map(|&i| Some((i, label_of(labels, i as usize)?))));
    }
    Ok(())
}
