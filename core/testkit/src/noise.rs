//! Pseudo-random numbers that are the same in every run.

/// Knuth's linear congruential generator; it returns the upper bits of its state.
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn step(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 40
    }

    /// -1 to 1, 1 excluded.
    pub fn signed(&mut self) -> f32 {
        self.step() as f32 / (1u32 << 23) as f32 - 1.0
    }

    /// 0 to 1, 1 excluded.
    pub fn fraction(&mut self) -> f32 {
        self.step() as f32 / (1u32 << 24) as f32
    }

    /// `n` numbers of -`scale` to `scale`.
    pub fn floats(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| self.signed() * scale).collect()
    }

    /// `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.step() >> 16) as u8).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_spread_and_repeats() {
        let bytes = Noise::new(1).bytes(10_000);
        assert_eq!(bytes, Noise::new(1).bytes(10_000));
        assert_ne!(bytes, Noise::new(2).bytes(10_000));
        let mut seen = [0; 256];
        for b in bytes {
            seen[usize::from(b)] += 1;
        }
        assert!(seen.iter().all(|&n| n > 10 && n < 80), "{seen:?}");
        let mean = Noise::new(3).floats(10_000, 2.0).iter().sum::<f32>() / 10_000.0;
        assert!(mean.abs() < 0.05, "{mean}");
        assert!((0..1000).all(|_| (0.0..1.0).contains(&Noise::new(4).fraction())));
    }
}
