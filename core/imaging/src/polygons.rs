//! Outlines of a class in a mask: polygons along the pixels' edges, with holes, optionally simplified.
//!
//! Corners are integers: (0, 0) is the top left corner of the first pixel, (width, height) the bottom right corner of
//! the last. Pixels that touch only at a corner belong to different polygons. Outer rings run clockwise as seen on a
//! screen (y downwards), holes counter-clockwise, and no corner is on a straight line between its neighbours. Filled by
//! the even-odd rule at pixel centres, unsimplified polygons reproduce the mask exactly.
//!
//! [`Frame::transform`](crate::frame::Frame::transform) maps these coordinates to the buffer's.

use silhouette_kernels::memory::{self, OutOfMemory};

use crate::mask::Mask;

/// What the memory is for, in errors.
const OUTLINES: &str = "outlines";

/// A closed line: corners (x, y), the last connected to the first.
pub type Ring = Vec<[u32; 2]>;

/// One connected component of a class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Polygon {
    /// The outline, clockwise.
    pub outer: Ring,
    /// The holes in it, counter-clockwise.
    pub holes: Vec<Ring>,
}

/// Minimum overlap of simplified polygons with the mask (intersection over union).
pub const LEAST_IOU: f64 = 0.99;

/// The outlines of `class`, from top to bottom. With a `tolerance` over 0 (in pixels) corners are omitted as long as no
/// outline moves by more than it (Douglas-Peucker), and the tolerance is halved until the refilled polygons overlap the
/// mask by at least [`LEAST_IOU`]. Components of fewer than `least_area` pixels are dropped first.
///
/// # Errors
/// [`OutOfMemory`].
pub fn outlines(mask: &Mask, class: u8, tolerance: f64, least_area: usize) -> Result<Vec<Polygon>, OutOfMemory> {
    let (exact, kept) = trace(mask, class, least_area)?;
    let mut tolerance = tolerance;
    // Below half a pixel, no corner of a pixel edge can be omitted.
    while tolerance >= 0.5 {
        let simple = simplify(&exact, tolerance)?;
        if overlap(&fill(&simple, mask.width, mask.height)?, &kept) >= LEAST_IOU {
            return Ok(simple);
        }
        tolerance /= 2.0;
    }
    Ok(exact)
}

impl Mask {
    /// The outlines of a class: see [`outlines`].
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn outlines(&self, class: u8, tolerance: f64, least_area: usize) -> Result<Vec<Polygon>, OutOfMemory> {
        outlines(self, class, tolerance, least_area)
    }
}

/// Fills polygons by the even-odd rule at pixel centres: `width * height` flags.
///
/// # Errors
/// [`OutOfMemory`].
pub fn fill(polygons: &[Polygon], width: usize, height: usize) -> Result<Vec<bool>, OutOfMemory> {
    let mut crossings: Vec<Vec<f64>> = memory::filled(height, Vec::new(), OUTLINES)?;
    for ring in polygons.iter().flat_map(|p| std::iter::once(&p.outer).chain(&p.holes)) {
        for (i, &[x0, y0]) in ring.iter().enumerate() {
            let [x1, y1] = ring[(i + 1) % ring.len()];
            let top = y0.min(y1) as usize;
            let bottom = y0.max(y1) as usize;
            let slope = (f64::from(x1) - f64::from(x0)) / (f64::from(y1) - f64::from(y0));
            for (y, row) in crossings.iter_mut().enumerate().take(bottom).skip(top) {
                memory::push(row, f64::from(x0) + (y as f64 + 0.5 - f64::from(y0)) * slope, OUTLINES)?;
            }
        }
    }
    let mut flags = memory::filled(width.saturating_mul(height), false, OUTLINES)?;
    for (row, xs) in flags.chunks_exact_mut(width.max(1)).zip(&mut crossings) {
        xs.sort_by(f64::total_cmp);
        for pair in xs.chunks_exact(2) {
            // Pixels whose centre is between the two.
            let column = |x: f64| ((x - 0.5).ceil().max(0.0) as usize).min(width);
            let start = column(pair[0]);
            let end = column(pair[1]);
            row[start..end.max(start)].fill(true);
        }
    }
    Ok(flags)
}

fn overlap(a: &[bool], b: &[bool]) -> f64 {
    let both = a.iter().zip(b).filter(|(a, b)| **a && **b).count();
    let any = a.iter().zip(b).filter(|(a, b)| **a || **b).count();
    if any == 0 { 1.0 } else { both as f64 / any as f64 }
}

/// A run of a row that has the class.
pub(crate) struct Run {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) piece: usize,
}

/// The runs of a mask.
pub(crate) struct Runs {
    pub(crate) all: Vec<Run>,
    /// The index of each row's first.
    pub(crate) rows: Vec<usize>,
    /// For each component's number the complete component that it became part of.
    pub(crate) pieces: Vec<usize>,
}

/// Joins the runs of neighbouring rows to components.
pub(crate) fn runs(mask: &Mask, class: u8) -> Result<Runs, OutOfMemory> {
    fn root(parents: &mut [usize], mut piece: usize) -> usize {
        while parents[piece] != piece {
            parents[piece] = parents[parents[piece]];
            piece = parents[piece];
        }
        piece
    }
    let mut runs = Vec::<Run>::new();
    let mut rows = vec![0];
    let mut parents = Vec::new();
    let mut above = 0..0;
    for line in mask.classes.chunks_exact(mask.width.max(1)) {
        let first = runs.len();
        let mut x = 0;
        let mut over = above.start;
        while let Some(skip) = line[x..].iter().position(|&c| c == class) {
            let start = x + skip;
            let end = line[start..].iter().position(|&c| c != class).map_or(line.len(), |n| start + n);
            let piece = parents.len();
            memory::push(&mut parents, piece, OUTLINES)?;
            while over < above.end && runs[over].end <= start {
                over += 1;
            }
            let mut touching = over;
            while touching < above.end && runs[touching].start < end {
                let other = root(&mut parents, runs[touching].piece);
                let own = root(&mut parents, piece);
                // The lower number stays, so that components are numbered from top to bottom.
                parents[own.max(other)] = own.min(other);
                touching += 1;
            }
            memory::push(&mut runs, Run { start, end, piece }, OUTLINES)?;
            x = end;
        }
        above = first..runs.len();
        memory::push(&mut rows, runs.len(), OUTLINES)?;
    }
    for piece in 0..parents.len() {
        parents[piece] = root(&mut parents, piece);
    }
    Ok(Runs { all: runs, rows, pieces: parents })
}

/// Exact outlines of the components of at least `least_area` pixels, and the pixels that they contain.
fn trace(mask: &Mask, class: u8, least_area: usize) -> Result<(Vec<Polygon>, Vec<bool>), OutOfMemory> {
    let width = mask.width;
    let height = mask.height;
    let Runs { all: runs, rows, pieces: whole } = runs(mask, class)?;
    let mut areas = memory::filled(whole.len(), 0usize, OUTLINES)?;
    for run in &runs {
        areas[whole[run.piece]] += run.end - run.start;
    }
    let mut kept = memory::filled(width.saturating_mul(height), false, OUTLINES)?;
    for y in 0..rows.len() - 1 {
        for run in &runs[rows[y]..rows[y + 1]] {
            if areas[whole[run.piece]] >= least_area {
                kept[y * width + run.start..y * width + run.end].fill(true);
            }
        }
    }
    let inside = |x: i64, y: i64| {
        x >= 0 && y >= 0 && x < width as i64 && y < height as i64 && kept[y as usize * width + x as usize]
    };
    let mut polygons: Vec<Polygon> = Vec::new();
    let mut polygon_of = memory::filled(whole.len(), usize::MAX, OUTLINES)?;
    // Upper edges of pixels that a ring has passed. Every ring has one.
    let mut passed = memory::filled(width.saturating_mul(height), false, OUTLINES)?;
    for y in 0..rows.len() - 1 {
        for run in &runs[rows[y]..rows[y + 1]] {
            for x in run.start..run.end {
                let at = y * width + x;
                if passed[at] || !kept[at] || inside(x as i64, y as i64 - 1) {
                    continue;
                }
                let ring = follow(x, y, &inside, |x, y| passed[y * width + x] = true)?;
                let piece = whole[run.piece];
                if polygon_of[piece] == usize::MAX {
                    // The topmost edge of a component is on its outline.
                    polygon_of[piece] = polygons.len();
                    memory::push(&mut polygons, Polygon { outer: ring, holes: Vec::new() }, OUTLINES)?;
                } else {
                    memory::push(&mut polygons[polygon_of[piece]].holes, ring, OUTLINES)?;
                }
            }
        }
    }
    Ok((polygons, kept))
}

/// Walks along the edge with the class to its right, from the upper edge of pixel (x, y) back to it. At a corner
/// where two pixels touch it turns right, staying at its pixel.
fn follow(
    x: usize,
    y: usize,
    inside: &impl Fn(i64, i64) -> bool,
    mut pass: impl FnMut(usize, usize),
) -> Result<Ring, OutOfMemory> {
    // Right, down, left, up; and the pixels ahead to the right and left, relative to the corner reached.
    const STEP: [(i64, i64); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];
    const AHEAD: [[(i64, i64); 2]; 4] =
        [[(0, 0), (0, -1)], [(-1, 0), (0, 0)], [(-1, -1), (-1, 0)], [(0, -1), (-1, -1)]];
    let start = (x as i64, y as i64);
    let mut at = start;
    let mut heading = 0;
    let mut ring = Vec::new();
    loop {
        if heading == 0 {
            pass(at.0 as usize, at.1 as usize);
        }
        at = (at.0 + STEP[heading].0, at.1 + STEP[heading].1);
        let [right, left] = AHEAD[heading].map(|(dx, dy)| inside(at.0 + dx, at.1 + dy));
        let turned = match (right, left) {
            (false, _) => (heading + 1) % 4,
            (true, false) => heading,
            (true, true) => (heading + 3) % 4,
        };
        if turned != heading {
            memory::push(&mut ring, [at.0 as u32, at.1 as u32], OUTLINES)?;
        }
        heading = turned;
        if at == start && heading == 0 {
            return Ok(ring);
        }
    }
}

fn simplify(polygons: &[Polygon], tolerance: f64) -> Result<Vec<Polygon>, OutOfMemory> {
    let mut simple = Vec::new();
    for p in polygons {
        let Some(outer) = simplify_ring(&p.outer, tolerance)? else { continue };
        let mut holes = Vec::new();
        for hole in &p.holes {
            if let Some(hole) = simplify_ring(hole, tolerance)? {
                memory::push(&mut holes, hole, OUTLINES)?;
            }
        }
        memory::push(&mut simple, Polygon { outer, holes }, OUTLINES)?;
    }
    Ok(simple)
}

/// Douglas-Peucker on a closed line; `None` if fewer than three corners are left.
fn simplify_ring(ring: &Ring, tolerance: f64) -> Result<Option<Ring>, OutOfMemory> {
    let distance = |a: [u32; 2], b: [u32; 2], p: [u32; 2]| {
        let [ax, ay, bx, by, px, py] = [a[0], a[1], b[0], b[1], p[0], p[1]].map(f64::from);
        let dx = bx - ax;
        let dy = by - ay;
        let length = dx * dx + dy * dy;
        let t = if length == 0.0 { 0.0 } else { (((px - ax) * dx + (py - ay) * dy) / length).clamp(0.0, 1.0) };
        (px - ax - t * dx).hypot(py - ay - t * dy)
    };
    let n = ring.len();
    let farther =
        |i: &usize, j: &usize| distance(ring[0], ring[0], ring[*i]).total_cmp(&distance(ring[0], ring[0], ring[*j]));
    let Some(far) = (1..n).max_by(farther) else { return Ok(None) };
    let mut keep = memory::filled(n, false, OUTLINES)?;
    (keep[0], keep[far]) = (true, true);
    // Chains from one kept corner to the next, the last one wrapping around.
    let mut chains = vec![(0, far), (far, n)];
    while let Some((start, end)) = chains.pop() {
        let worst = (start + 1..end)
            .map(|i| (i, distance(ring[start], ring[end % n], ring[i])))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((i, d)) = worst
            && d > tolerance
        {
            keep[i] = true;
            memory::push(&mut chains, (start, i), OUTLINES)?;
            memory::push(&mut chains, (i, end), OUTLINES)?;
        }
    }
    let mut simple = Ring::new();
    memory::reserve(&mut simple, keep.iter().filter(|keep| **keep).count(), OUTLINES)?;
    simple.extend(ring.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(&p, _)| p));
    Ok((simple.len() >= 3).then_some(simple))
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Noise;

    fn mask(rows: &[&str]) -> Mask {
        let classes = rows.iter().flat_map(|r| r.bytes().map(|b| u8::from(b == b'#'))).collect();
        Mask { width: rows[0].len(), height: rows.len(), classes }
    }

    fn area(ring: &Ring) -> i64 {
        let twice: i64 = (0..ring.len())
            .map(|i| {
                let [x0, y0] = ring[i];
                let [x1, y1] = ring[(i + 1) % ring.len()];
                i64::from(x0) * i64::from(y1) - i64::from(x1) * i64::from(y0)
            })
            .sum();
        twice / 2
    }

    #[test]
    fn a_pixel_is_a_square() {
        let p = outlines(&mask(&["...", ".#.", "..."]), 1, 0.0, 0).unwrap();
        assert_eq!(p, [Polygon { outer: vec![[2, 1], [2, 2], [1, 2], [1, 1]], holes: vec![] }]);
        assert_eq!(area(&p[0].outer), 1);
    }

    #[test]
    fn holes_belong_to_the_piece_around_them() {
        // An island in a lake in an island, and a component that touches only at a corner.
        let m = mask(&[
            "#######..", //
            "#.....#..",
            "#.###.#..",
            "#.#.#.#..",
            "#.###.#..",
            "#.....#..",
            "#######..",
            ".......#.",
        ]);
        let p = outlines(&m, 1, 0.0, 0).unwrap();
        assert_eq!(p.len(), 3);
        assert_eq!(p.iter().map(|p| p.holes.len()).collect::<Vec<_>>(), [1, 1, 0]);
        assert_eq!(p.iter().map(|p| area(&p.outer)).collect::<Vec<_>>(), [49, 9, 1]);
        assert_eq!((area(&p[0].holes[0]), area(&p[1].holes[0])), (-25, -1));
        let p = outlines(&m, 1, 0.0, 5).unwrap();
        assert_eq!(p.len(), 2);
    }

    #[test]
    fn drawn_again_they_are_the_mask() {
        let mut noise = Noise::new(3);
        for (width, height) in [(1, 1), (1, 9), (17, 13), (40, 40), (64, 3)] {
            for density in [0.1, 0.5, 0.9, 1.0] {
                let classes = (0..width * height).map(|_| u8::from(noise.fraction() < density) * 5).collect();
                let m = Mask { width, height, classes };
                let polygons = outlines(&m, 5, 0.0, 0).unwrap();
                let flags = fill(&polygons, width, height).unwrap();
                assert!(m.classes.iter().zip(&flags).all(|(&c, &f)| (c == 5) == f), "{width}x{height} {density}");
                for p in &polygons {
                    assert!(area(&p.outer) > 0 && p.holes.iter().all(|h| area(h) < 0));
                }
                let simple = fill(&outlines(&m, 5, 3.0, 0).unwrap(), width, height).unwrap();
                let truth: Vec<bool> = m.classes.iter().map(|&c| c == 5).collect();
                assert!(overlap(&simple, &truth) >= LEAST_IOU);
            }
        }
    }

    #[test]
    fn simplified_discs_have_few_corners() {
        let w = 200usize;
        let h = 200usize;
        let classes = (0..w * h)
            .map(|i| {
                let x = (i % w) as f64 - 99.5;
                let y = (i / w) as f64 - 99.5;
                let d = x.hypot(y);
                u8::from(d < 90.0 && d > 30.0)
            })
            .collect();
        let m = Mask { width: w, height: h, classes };
        let exact = outlines(&m, 1, 0.0, 0).unwrap();
        let simple = outlines(&m, 1, 1.0, 0).unwrap();
        assert_eq!((simple.len(), simple[0].holes.len()), (1, 1));
        assert!(simple[0].outer.len() * 5 < exact[0].outer.len(), "{}", simple[0].outer.len());
        let truth: Vec<bool> = m.classes.iter().map(|&c| c == 1).collect();
        assert!(overlap(&fill(&simple, w, h).unwrap(), &truth) >= LEAST_IOU);
    }

    #[test]
    fn empty_masks_have_no_outlines() {
        assert!(outlines(&Mask::default(), 0, 1.0, 0).unwrap().is_empty());
        assert!(outlines(&Mask::new(4, 4), 7, 1.0, 0).unwrap().is_empty());
        assert!(fill(&[], 0, 0).unwrap().is_empty());
        assert!(fill(&[], usize::MAX, 2).is_err() && fill(&[], 2, usize::MAX).is_err());
    }
}
