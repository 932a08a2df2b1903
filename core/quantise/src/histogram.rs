//! Counts of an edge's values in bins of equal width. The width is a power of two that depends only on the largest value,
//! so counts of several pictures add up to the same in any order.

/// Bins on each side of zero.
const HALF: usize = 1 << 13;

/// Narrowest bin, as an exponent of two.
const NARROWEST: i32 = -40;

/// Counts of values.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u32>,
    /// Exponent of the bins' width.
    exponent: i32,
    pub(crate) least: f32,
    pub(crate) most: f32,
    /// All values.
    pub(crate) total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; 2 * HALF], exponent: NARROWEST, least: 0.0, most: 0.0, total: 0 }
    }
}

fn width(exponent: i32) -> f32 {
    2f32.powi(exponent)
}

impl Histogram {
    /// Counts finite values.
    pub(crate) fn add(&mut self, values: &[f32]) {
        let (least, most) = values.iter().fold((0f32, 0f32), |(l, m), &v| (l.min(v), m.max(v)));
        self.least = self.least.min(least);
        self.most = self.most.max(most);
        let mut exponent = self.exponent;
        while most.max(-least) >= width(exponent) * HALF as f32 && exponent < 127 {
            exponent += 1;
        }
        self.widen(exponent);
        let inverse = 1.0 / width(self.exponent);
        for &value in values {
            // Exact, as the width is a power of two, and rounded down.
            let scaled = value * inverse;
            let whole = scaled as i32;
            let bin = whole - i32::from(scaled < whole as f32) + HALF as i32;
            let count = &mut self.counts[bin.clamp(0, 2 * HALF as i32 - 1) as usize];
            *count = count.saturating_add(1);
        }
        self.total += values.len() as u64;
    }

    /// Adds the counts of another.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        self.total += other.total;
        let exponent = self.exponent.max(other.exponent);
        self.widen(exponent);
        other.widen(exponent);
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count = count.saturating_add(more));
    }

    /// Makes bins of this width of the narrower ones.
    fn widen(&mut self, exponent: i32) {
        let by = exponent - self.exponent;
        if by <= 0 {
            return;
        }
        self.exponent = exponent;
        let old = std::mem::replace(&mut self.counts, vec![0; 2 * HALF]);
        let shift = by.min(30) as u32;
        for (bin, count) in old.into_iter().enumerate().filter(|&(_, count)| count > 0) {
            let place = (bin as i64 - HALF as i64) >> shift;
            let to = &mut self.counts[(place + HALF as i64) as usize];
            *to = to.saturating_add(count);
        }
    }

    /// The middle of each bin with values, and their number.
    pub(crate) fn bins(&self) -> impl DoubleEndedIterator<Item = (f32, f64)> {
        let width = width(self.exponent);
        let filled = self.counts.iter().enumerate().filter(|&(_, &count)| count > 0);
        filled.map(move |(bin, &count)| ((bin as f32 - HALF as f32 + 0.5) * width, f64::from(count)))
    }

    /// The value below which a share of all values lies; `share` of 0 to 1.
    pub(crate) fn quantile(&self, share: f64) -> f32 {
        let wanted = share * self.bins().map(|(_, count)| count).sum::<f64>();
        let mut below = 0.0;
        for (value, count) in self.bins() {
            below += count;
            if below >= wanted {
                return value.clamp(self.least, self.most);
            }
        }
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Noise;

    #[test]
    fn the_order_of_pictures_does_not_matter() {
        let mut noise = Noise::new(1);
        let parts: Vec<Vec<f32>> = [0.001, 30.0, 1.0, 7.0].iter().map(|&scale| noise.floats(500, scale)).collect();
        let mut whole = Histogram::default();
        whole.add(&parts.concat());
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
            let mut merged = Histogram::default();
            for part in order {
                let mut one = Histogram::default();
                one.add(&parts[part]);
                merged.merge(one);
            }
            assert_eq!((merged.counts, merged.exponent, merged.total), (whole.counts.clone(), whole.exponent, 2000));
            assert_eq!((merged.least, merged.most), (whole.least, whole.most));
        }
        let middle = whole.quantile(0.5);
        assert!(middle.abs() < 0.1, "{middle}");
        assert!((whole.quantile(1.0) - whole.most).abs() < 0.01);
        assert!(Histogram::default().quantile(0.5).abs() < 1e-9);
        let mut huge = Histogram::default();
        huge.add(&[f32::MAX, -f32::MAX, 0.0]);
        assert_eq!((huge.total, huge.least), (3, -f32::MAX));
    }
}
