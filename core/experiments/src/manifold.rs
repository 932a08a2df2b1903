//! The ReLU manifold (paper, figure 1): a spiral in the plane goes through a random matrix into n dimensions, through
//! ReLU, and back through the matrix's pseudo-inverse. With few dimensions parts of it collapse, with many none do.
//!
//! The loss, as numbers. A point has collapsed if fewer than two of its n values are positive: then no inverse exists
//! (lemma 2), whatever follows. Each row of a random matrix passes half of the directions of the plane, so the expected
//! share is (n + 1) / 2^n. The error is what the figure shows: the distance between the spiral and its reconstruction,
//! as a share of the spiral's size, at the best common scale (ReLU halves what it passes).

use serde::Serialize;

use crate::chart::{Axis, Figure, Panel, Series, Style, gradient};
use crate::random::Random;

/// The numbers of dimensions in the paper's figure.
pub const DIMENSIONS: [usize; 5] = [2, 3, 5, 15, 30];

/// Points of the spiral.
pub const POINTS: usize = 400;

/// A point of the plane.
pub type Point = (f64, f64);

/// The spiral through n dimensions and back.
#[derive(Clone, Debug, Serialize)]
pub struct Embedding {
    /// n.
    pub dimensions: usize,
    /// Root of the mean squared distance between a point and its reconstruction, relative to that of the points
    /// themselves; 0 to 1.
    pub error: f64,
    /// Share of the points with fewer than two positive values.
    pub collapsed: f64,
    /// The same two numbers averaged over many matrices: mean error and mean share of collapsed points.
    pub mean_error: f64,
    /// See [`mean_error`](Self::mean_error).
    pub mean_collapsed: f64,
    /// `(n + 1) / 2^n`.
    pub expected_collapsed: f64,
    /// The reconstruction, at the best common scale, in the order of [`spiral`].
    #[serde(skip)]
    pub points: Vec<Point>,
}

/// Two and a half turns of a spiral around the origin, of radius up to 1.
pub fn spiral() -> Vec<Point> {
    (0..POINTS)
        .map(|i| {
            let share = (i + 1) as f64 / POINTS as f64;
            let angle = share * 5.0 * std::f64::consts::PI;
            (share * angle.cos(), share * angle.sin())
        })
        .collect()
}

/// The spiral through `dimensions` and back, for a matrix from this seed and averaged over `matrices` of them.
pub fn embed(dimensions: usize, seed: u64, matrices: usize) -> Embedding {
    let input = spiral();
    // A separate stream for every n, so that a figure of other dimensions has the same panels.
    let mut random = Random::new(seed.wrapping_mul(1000).wrapping_add(dimensions as u64));
    let (points, error, collapsed) = through(&input, &matrix(dimensions, &mut random));
    let mut errors = error;
    let mut shares = collapsed;
    for _ in 1..matrices.max(1) {
        let (_, error, collapsed) = through(&input, &matrix(dimensions, &mut random));
        errors += error;
        shares += collapsed;
    }
    let count = matrices.max(1) as f64;
    Embedding {
        dimensions,
        error,
        collapsed,
        mean_error: errors / count,
        mean_collapsed: shares / count,
        expected_collapsed: (dimensions + 1) as f64 / 2f64.powi(dimensions as i32),
        points,
    }
}

/// n rows of two.
fn matrix(dimensions: usize, random: &mut Random) -> Vec<Point> {
    (0..dimensions).map(|_| (random.normal(), random.normal())).collect()
}

/// Maps the points through `T`, ReLU and the pseudo-inverse of `T`, at the best common scale; returns error and share
/// of collapsed points.
fn through(input: &[Point], t: &[Point]) -> (Vec<Point>, f64, f64) {
    // The pseudo-inverse of an n x 2 matrix of full rank is (T'T)^-1 T'.
    let mut a = 0.0;
    let mut b = 0.0;
    let mut d = 0.0;
    for &(x, y) in t {
        a += x * x;
        b += x * y;
        d += y * y;
    }
    let determinant = a * d - b * b;
    let mut collapsed = 0;
    let back: Vec<Point> = input
        .iter()
        .map(|&(x, y)| {
            let mut u = 0.0;
            let mut v = 0.0;
            let mut positive = 0;
            for &(tx, ty) in t {
                let value = (tx * x + ty * y).max(0.0);
                positive += usize::from(value > 0.0);
                u += tx * value;
                v += ty * value;
            }
            collapsed += usize::from(positive < 2);
            ((d * u - b * v) / determinant, (a * v - b * u) / determinant)
        })
        .collect();
    let dot = |p: &[Point], q: &[Point]| p.iter().zip(q).map(|(p, q)| p.0 * q.0 + p.1 * q.1).sum::<f64>();
    let norm = dot(&back, &back);
    let scale = if norm > 0.0 { dot(input, &back) / norm } else { 0.0 };
    let back: Vec<Point> = back.into_iter().map(|(x, y)| (x * scale, y * scale)).collect();
    let apart: f64 = input.iter().zip(&back).map(|(p, q)| (p.0 - q.0).powi(2) + (p.1 - q.1).powi(2)).sum();
    (back, (apart / dot(input, input)).sqrt(), collapsed as f64 / input.len() as f64)
}

/// The paper's figure: the spiral, and the reconstruction from each embedding, coloured along the spiral.
pub fn figure(embeddings: &[Embedding]) -> Figure {
    let side = |label: &str| Axis { range: Some((-1.25, 1.25)), ..Axis::linear(label) };
    let panel = |title: String, points: Vec<Point>| Panel {
        title,
        x: side("x"),
        y: side("y"),
        square: true,
        series: vec![Series {
            name: String::new(),
            colors: (0..points.len()).map(|i| gradient(i as f64 / points.len() as f64)).collect(),
            points,
            style: Style::Points,
        }],
    };
    let mut panels = vec![panel("input".into(), spiral())];
    panels.extend(embeddings.iter().map(|e| {
        let title = format!("n = {}: error {:.2}, {:.0} % collapsed", e.dimensions, e.error, e.collapsed * 100.0);
        panel(title, e.points.clone())
    }));
    Figure {
        title: "A spiral through a random n x 2 matrix, ReLU and the pseudo-inverse (colour: position on the spiral)"
            .into(),
        columns: 3,
        panels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_collapsed_points_is_the_expected_one() {
        for dimensions in [2, 3, 5, 8, 15] {
            let e = embed(dimensions, 7, 2000);
            assert!((e.mean_collapsed - e.expected_collapsed).abs() < 0.02, "{e:?}");
        }
    }

    #[test]
    fn more_dimensions_lose_less() {
        let all = DIMENSIONS.map(|n| embed(n, 1, 300));
        for pair in all.windows(2) {
            assert!(pair[1].mean_error < pair[0].mean_error, "{pair:?}");
            assert!(pair[1].mean_collapsed <= pair[0].mean_collapsed);
        }
        assert!(all[0].mean_error > 0.7 && all[4].mean_error < 0.35);
    }

    #[test]
    fn collapsed_points_meet_others_and_the_rest_come_back_exactly() {
        // Two rows at a right angle: one quarter of the plane passes, the rest collapses to two rays and the origin.
        let t = [(1.0, 0.0), (0.0, 1.0)];
        let input = [(0.3, 0.4), (0.5, -0.2), (0.5, -0.7), (-0.1, -0.2), (-0.6, -0.5)];
        let (back, _, collapsed) = through(&input, &t);
        assert!((collapsed - 0.8).abs() < 1e-12);
        assert_eq!(back[1], back[2]);
        assert_eq!(back[3], back[4]);
        let scale = back[0].0 / input[0].0;
        assert!((back[0].1 / input[0].1 - scale).abs() < 1e-12);
        // Rows in opposite pairs let everything pass: ReLU loses nothing, and the inverse is exact up to the scale.
        let both = [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)];
        let (_, error, collapsed) = through(&spiral(), &both);
        assert!(error < 1e-12 && collapsed.abs() < 0.01, "{error} {collapsed}");
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_another() {
        let a = embed(5, 1, 1);
        let b = embed(5, 1, 1);
        let c = embed(5, 2, 1);
        assert_eq!(a.points, b.points);
        assert_ne!(a.points, c.points);
    }
}
