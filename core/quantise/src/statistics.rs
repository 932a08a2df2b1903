//! What the float network's values are like on the calibration pictures: passes over all of them.

use crate::error::QuantiseError;
use crate::histogram::Histogram;
use crate::layers::Ready;
use crate::moments::Moments;
use crate::pictures::Pictures;
use crate::run::{Observer, run};
use crate::threads;

/// The size of each channel's values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peaks {
    /// Of each edge, for each channel: the largest absolute value.
    pub(crate) most: Vec<Vec<f32>>,
    /// And the mean square.
    pub(crate) power: Vec<Vec<f64>>,
    counts: Vec<f64>,
}

/// The values of edges and convolutions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics {
    /// Of each edge that has integers of its own.
    pub(crate) histograms: Vec<Histogram>,
    /// Of each convolution, for each output: the mean of its sums on each of the first pictures.
    pub(crate) means: Vec<Vec<Vec<f64>>>,
    /// What each convolution reads.
    pub(crate) moments: Vec<Moments>,
}

/// Fails on values that are not finite.
fn finite(edge: &str, picture: usize, values: &[f32]) -> Result<(), QuantiseError> {
    if values.iter().fold(true, |all, v| all & v.is_finite()) {
        return Ok(());
    }
    let value = values.iter().copied().find(|v| !v.is_finite()).unwrap_or(f32::NAN);
    Err(QuantiseError::NotFinite { edge: edge.to_owned(), value, picture })
}

/// The mean of each channel.
pub(crate) fn channel_means(values: &[f32], channels: usize) -> Vec<f64> {
    let mut sums = vec![0.0; channels];
    for pixel in values.chunks_exact(channels) {
        sums.iter_mut().zip(pixel).for_each(|(sum, &v)| *sum += f64::from(v));
    }
    let pixels = (values.len() / channels.max(1)).max(1) as f64;
    for sum in &mut sums {
        *sum /= pixels;
    }
    sums
}

struct PeakWatch<'a> {
    pictures: &'a Pictures<'a>,
    picture: usize,
    peaks: Peaks,
}

impl Observer for PeakWatch<'_> {
    fn edge(&mut self, edge: usize, values: &mut [f32]) -> Result<(), QuantiseError> {
        let about = &self.pictures.any().edges[edge];
        finite(&about.name, self.picture, values)?;
        let (most, power) = (&mut self.peaks.most[edge], &mut self.peaks.power[edge]);
        for pixel in values.chunks_exact(about.channels) {
            for ((most, power), value) in most.iter_mut().zip(power.iter_mut()).zip(pixel) {
                *most = most.max(value.abs());
                *power += f64::from(value * value);
            }
        }
        self.peaks.counts[edge] += (values.len() / about.channels) as f64;
        Ok(())
    }
}

impl Peaks {
    fn empty(pictures: &Pictures<'_>) -> Self {
        let edges = &pictures.any().edges;
        Self {
            most: edges.iter().map(|edge| vec![0.0; edge.channels]).collect(),
            power: edges.iter().map(|edge| vec![0.0; edge.channels]).collect(),
            counts: vec![0.0; edges.len()],
        }
    }

    /// One pass over the pictures with these numbers.
    ///
    /// # Errors
    /// [`QuantiseError::NotFinite`].
    pub(crate) fn of(
        pictures: &Pictures<'_>,
        chosen: &[usize],
        layers: &[Ready],
        threads: usize,
        done: &(dyn Fn() + Sync),
    ) -> Result<Self, QuantiseError> {
        let mut all = Self::empty(pictures);
        let work = |i: usize| {
            let (program, picture) = pictures.get(chosen[i]);
            let mut watch = PeakWatch { pictures, picture: chosen[i], peaks: Self::empty(pictures) };
            run(program, layers, &picture.values, &mut watch)?;
            done();
            Ok::<_, QuantiseError>(watch.peaks)
        };
        threads::fold(threads, chosen.len(), work, |one| all.merge(&one))?;
        for (power, count) in all.power.iter_mut().zip(&all.counts) {
            for power in power {
                *power /= count.max(1.0);
            }
        }
        Ok(all)
    }

    fn merge(&mut self, other: &Self) {
        for (all, one) in self.most.iter_mut().zip(&other.most) {
            all.iter_mut().zip(one).for_each(|(all, one)| *all = all.max(*one));
        }
        for (all, one) in self.power.iter_mut().zip(&other.power) {
            all.iter_mut().zip(one).for_each(|(all, one)| *all += one);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(all, one)| *all += one);
    }
}

struct Watch<'a> {
    pictures: &'a Pictures<'a>,
    picture: usize,
    /// Pictures that moments are gathered of in all.
    count: usize,
    seed: u64,
    /// Whether the means of sums are kept.
    means: bool,
    found: Statistics,
}

impl Observer for Watch<'_> {
    fn reads(&mut self, conv: usize, map: &[f32], border: &[f32]) -> Result<(), QuantiseError> {
        let (program, _) = self.pictures.get(self.picture);
        let seed = self.seed ^ (((self.picture as u64) << 32) | conv as u64);
        self.found.moments[conv] = Moments::of(&program.convs[conv], map, border, self.count, seed)?;
        Ok(())
    }

    fn sums(&mut self, conv: usize, sums: &[f32]) {
        if self.means {
            let channels = self.pictures.any().convs[conv].c_out;
            self.found.means[conv].push(channel_means(sums, channels));
        }
    }

    fn edge(&mut self, edge: usize, values: &mut [f32]) -> Result<(), QuantiseError> {
        let about = &self.pictures.any().edges[edge];
        finite(&about.name, self.picture, values)?;
        if about.of == edge {
            self.found.histograms[edge].add(values);
        }
        Ok(())
    }
}

impl Statistics {
    fn empty(pictures: &Pictures<'_>) -> Self {
        let program = pictures.any();
        Self {
            histograms: vec![Histogram::default(); program.edges.len()],
            means: vec![Vec::new(); program.convs.len()],
            moments: vec![Moments::default(); program.convs.len()],
        }
    }

    /// One pass over the pictures with these numbers; means are kept of the first `means`.
    ///
    /// # Errors
    /// [`QuantiseError::NotFinite`].
    pub(crate) fn of(
        pictures: &Pictures<'_>,
        chosen: &[usize],
        layers: &[Ready],
        (threads, seed, means): (usize, u64, usize),
        done: &(dyn Fn() + Sync),
    ) -> Result<Self, QuantiseError> {
        let mut all = Self::empty(pictures);
        let work = |i: usize| {
            let (program, picture) = pictures.get(chosen[i]);
            let found = Self::empty(pictures);
            let count = chosen.len();
            let mut watch = Watch { pictures, picture: chosen[i], count, seed, means: i < means, found };
            run(program, layers, &picture.values, &mut watch)?;
            done();
            Ok::<_, QuantiseError>(watch.found)
        };
        threads::fold(threads, chosen.len(), work, |one| all.merge(one))?;
        Ok(all)
    }

    fn merge(&mut self, other: Self) {
        self.histograms.iter_mut().zip(other.histograms).for_each(|(all, one)| all.merge(one));
        self.means.iter_mut().zip(other.means).for_each(|(all, one)| all.extend(one));
        self.moments.iter_mut().zip(&other.moments).for_each(|(all, one)| all.merge(one));
    }
}
