//! The range of an edge's bytes: candidates from the histogram of its values.

use serde::Serialize;

use crate::grid::Grid;
use crate::histogram::Histogram;

/// How a range was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// From the lowest to the highest value of the input's pixels.
    Pixels,
    /// From the lowest to the highest value seen.
    Extremes,
    /// Without the outermost 1 in 10,000.
    Percentile,
    /// The least squared error of the values seen.
    SquaredError,
}

impl Choice {
    /// The ones to choose from.
    pub(crate) const ALL: [Self; 3] = [Self::SquaredError, Self::Percentile, Self::Extremes];

    /// Its number among the ones to choose from.
    pub(crate) fn number(self) -> usize {
        Self::ALL.iter().position(|&choice| choice == self).unwrap_or(0)
    }
}

/// Share of the values outside of the percentile's range.
const OUTSIDE: f64 = 1e-4;

/// Factors of an end of the range that are tried, from narrow to wide.
const STEPS: usize = 40;

/// How often both ends are improved, alternating.
const ROUNDS: usize = 3;

/// The candidates for one edge, in the order of [`Choice::ALL`].
pub(crate) fn candidates(histogram: &Histogram) -> [Grid; 3] {
    let (least, most) = (histogram.least, histogram.most);
    let percentile = if least < 0.0 {
        Grid::new(histogram.quantile(OUTSIDE / 2.0), histogram.quantile(1.0 - OUTSIDE / 2.0))
    } else {
        Grid::new(0.0, histogram.quantile(1.0 - OUTSIDE))
    };
    [least_error(histogram), percentile, Grid::new(least, most)]
}

/// The sum of squared errors of all values.
pub(crate) fn error(histogram: &Histogram, grid: Grid) -> f64 {
    // Within a bin values are spread, so a grid finer than the bins gains nothing.
    histogram.bins().map(|(value, count)| count * f64::from(value - grid.nearest(value)).powi(2)).sum()
}

/// The share of values that a range cuts off by more than half a step.
pub(crate) fn clipped(histogram: &Histogram, grid: Grid) -> f64 {
    let (low, high) = grid.range();
    let half = grid.scale / 2.0;
    let outside = histogram.bins().filter(|&(value, _)| value < low - half || value > high + half);
    outside.fold(0.0, |sum, (_, count)| sum + count) / (histogram.total as f64).max(1.0)
}

fn least_error(histogram: &Histogram) -> Grid {
    let (least, most) = (histogram.least, histogram.most);
    let (mut low, mut high) = (least, most);
    let mut best = error(histogram, Grid::new(low, high));
    for _ in 0..ROUNDS {
        let before = best;
        for step in 1..STEPS {
            let factor = step as f32 / STEPS as f32;
            for (l, h) in [(low, most * factor), (least * factor, high)] {
                if (l, h) == (least, most) || h <= 0.0 && l >= 0.0 {
                    continue;
                }
                let found = error(histogram, Grid::new(l, h));
                if found < best {
                    (best, low, high) = (found, l, h);
                }
            }
        }
        if best >= before {
            break;
        }
    }
    Grid::new(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Noise;

    /// Many small values, and one that is a hundred times as large.
    fn with_outlier() -> Histogram {
        let mut values = Noise::new(3).floats(100_000, 1.0);
        values.push(100.0);
        let mut histogram = Histogram::default();
        histogram.add(&values);
        histogram
    }

    #[test]
    fn an_outlier_is_cut_off_where_that_costs_less() {
        let histogram = with_outlier();
        let [squares, percentile, extremes] = candidates(&histogram).map(|grid| error(&histogram, grid));
        assert!(squares <= percentile && squares <= extremes, "{squares} {percentile} {extremes}");
        // 1001 steps of 0.4 lose more than the outlier is worth.
        assert!(squares < 0.5 * error(&histogram, Grid::new(-1.0, 1.0)).min(extremes * 10.0), "{squares} {extremes}");
        let grids = candidates(&histogram);
        assert!(clipped(&histogram, grids[1]) > 0.0 && clipped(&histogram, grids[1]) < 2.0 * OUTSIDE);
        assert!(clipped(&histogram, grids[2]) == 0.0);
        let positive = {
            let mut histogram = Histogram::default();
            histogram.add(&[0.0, 1.0, 5.0]);
            candidates(&histogram)
        };
        assert!(positive.iter().all(|grid| grid.zero == 0), "{positive:?}");
        assert_eq!(candidates(&Histogram::default())[2], Grid::new(0.0, 0.0));
    }
}
