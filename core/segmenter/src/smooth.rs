//! Temporal smoothing of a video's logits: stable where the image is static, immediate where it moves.
//!
//! Each cell of the low-resolution map keeps an exponential average of log-probabilities. A new frame weighs more the
//! longer ago the last one was, the more confident the network is, and, above all, the more the change looks like
//! motion. The camera's own shift is undone first ([`Smoother::follow`]), so it does not count as motion. Noise and motion differ in this: around a cell, noise changes neighbours in different directions, while a
//! moving edge changes the whole neighbourhood in the same direction. The measure is Trigg and Leach's tracking signal
//! (1967), the sum of signed changes over the sum of their magnitudes, over the 3x3 neighbourhood in this frame
//! and the last.

use crate::softmax::softmax;
use silhouette_imaging::frame::Size;
use silhouette_kernels::memory::{self, OutOfMemory};
use std::time::Duration;

/// How a video's frames are smoothed.
///
/// ```
/// use silhouette::Smoothing;
/// use std::time::Duration;
///
/// let slow = Smoothing::with_half_life(Duration::from_millis(300));
/// assert_eq!(slow.longest_pause, Smoothing::default().longest_pause);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Smoothing {
    /// In a static image, the weight of an observation halves in this time, at most [`MAX_PAUSE`](crate::MAX_PAUSE).
    /// Zero: no smoothing.
    pub half_life: Duration,
    /// After a longer pause between frames (at most [`MAX_PAUSE`](crate::MAX_PAUSE)) smoothing restarts, as it does if
    /// a timestamp runs backwards.
    pub longest_pause: Duration,
}

impl Default for Smoothing {
    fn default() -> Self {
        Self { half_life: Duration::from_millis(100), longest_pause: Duration::from_secs(1) }
    }
}

impl Smoothing {
    /// The default with another half-life.
    #[must_use]
    pub fn with_half_life(half_life: Duration) -> Self {
        Self { half_life, ..Self::default() }
    }
}

/// Below this share of agreement a neighbourhood's changes count as noise, above [`MOTION`] as motion. Nine independent
/// changes of random sign agree to about 0.33, eighteen to 0.24.
const NOISE: f32 = 0.45;
/// See [`NOISE`].
const MOTION: f32 = 0.85;
/// A mean change of the probability margin (0 to 2) below which agreement is meaningless.
const SMALL: f32 = 0.08;
/// A shift of the camera below this share of a cell is not worth interpolating.
const LEAST_SHIFT: f32 = 0.02;
/// Minimum of log-probabilities, so that later frames can undo one frame's certainty.
const FLOOR: f32 = -9.0;

/// The state of one video.
#[derive(Debug, Default)]
pub(crate) struct Smoother {
    /// The map's size and the classes.
    shape: (Size, usize),
    last: Option<Duration>,
    /// Averaged log-probabilities, in the layout of the logits `[h][w][classes]`.
    average: Vec<f32>,
    /// The same as probabilities, and this frame's and the last frame's.
    before: Vec<f32>,
    now: Vec<f32>,
    last_seen: Vec<f32>,
    /// The average that `last_seen` was compared with.
    last_before: Vec<f32>,
    /// This frame's log-probabilities.
    log_now: Vec<f32>,
    /// Room for one of them while it is moved.
    moved: Vec<f32>,
}

impl Smoother {
    /// Forgets the previous frames, and keeps the memory.
    pub(crate) fn reset(&mut self) {
        self.last = None;
    }

    /// Moves what is kept of the previous frames with the camera: the next frame's cell (x, y) shows what (x + `right`, y + `down`)
    /// showed in the last one. Cells that come into view repeat their neighbours.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(crate) fn follow(&mut self, shape: (Size, usize), down: f32, right: f32) -> Result<(), OutOfMemory> {
        if self.last.is_none() || self.shape != shape || right.hypot(down) < LEAST_SHIFT {
            return Ok(());
        }
        let (Size { height, width }, classes) = shape;
        // A place's cell, the next one, and the share of the next.
        let place = |i: usize, by: f32, n: usize| {
            let at = (i as f32 + by).clamp(0.0, (n - 1) as f32);
            let from = at as usize;
            (from, (from + 1).min(n - 1), at - from as f32)
        };
        memory::resize(&mut self.moved, height * width * classes, 0.0, "smoothing")?;
        for kept in [&mut self.average, &mut self.before, &mut self.last_seen, &mut self.last_before] {
            for y in 0..height {
                let (above, below, share) = place(y, down, height);
                for x in 0..width {
                    let (before, after, part) = place(x, right, width);
                    for c in 0..classes {
                        let row = |y: usize| {
                            let value = |x: usize| kept[(y * width + x) * classes + c];
                            value(before) + (value(after) - value(before)) * part
                        };
                        self.moved[(y * width + x) * classes + c] = row(above) + (row(below) - row(above)) * share;
                    }
                }
            }
            std::mem::swap(kept, &mut self.moved);
        }
        Ok(())
    }

    /// Adds a frame's logits `[h][w][classes]` (all finite) and replaces them by the smoothed ones (log-probabilities,
    /// which are logits too).
    ///
    /// # Errors
    /// [`OutOfMemory`]; smoothing then restarts at the next frame.
    pub(crate) fn smooth(
        &mut self,
        logits: &mut [f32],
        shape: (Size, usize),
        timestamp: Duration,
        smoothing: &Smoothing,
    ) -> Result<(), OutOfMemory> {
        let (Size { height, width }, classes) = shape;
        assert_eq!(logits.len(), height * width * classes, "logits and shape");
        let pause = self.last.and_then(|last| timestamp.checked_sub(last));
        let goes_on = self.shape == shape && pause.is_some_and(|pause| pause <= smoothing.longest_pause);
        self.reset();
        for buffer in [&mut self.log_now, &mut self.now] {
            memory::resize(buffer, logits.len(), 0.0, "smoothing")?;
        }
        for buffer in [&mut self.before, &mut self.last_seen, &mut self.last_before, &mut self.average, &mut self.moved]
        {
            memory::reserve(buffer, logits.len(), "smoothing")?;
        }
        self.last = Some(timestamp);
        self.shape = shape;
        for (cell, (log_p, p)) in logits
            .chunks_exact(classes)
            .zip(self.log_now.chunks_exact_mut(classes).zip(self.now.chunks_exact_mut(classes)))
        {
            log_softmax(cell, log_p, p);
        }
        let Some(pause) = pause.filter(|_| goes_on && !smoothing.half_life.is_zero()) else {
            for buffer in [&mut self.before, &mut self.last_seen, &mut self.last_before] {
                buffer.clear();
                buffer.extend_from_slice(&self.now);
            }
            self.average.clear();
            self.average.extend_from_slice(&self.log_now);
            return Ok(());
        };
        let calm = 1.0 - 0.5_f32.powf(pause.as_secs_f32() / smoothing.half_life.as_secs_f32());
        for y in 0..height {
            for x in 0..width {
                let at = (y * width + x) * classes;
                let motion = self.motion(x, y);
                let sure = margin(&self.now[at..at + classes]);
                // An uncertain cell moves the average half as much as a certain one.
                let weight = calm * (0.5 + 0.5 * sure);
                let weight = weight + (1.0 - weight) * motion;
                for (old, &new) in self.average[at..at + classes].iter_mut().zip(&self.log_now[at..at + classes]) {
                    *old += weight * (new - *old);
                }
            }
        }
        logits.copy_from_slice(&self.average);
        std::mem::swap(&mut self.last_before, &mut self.before);
        std::mem::swap(&mut self.last_seen, &mut self.now);
        for (cell, p) in self.average.chunks_exact(classes).zip(self.before.chunks_exact_mut(classes)) {
            softmax(cell, p);
        }
        Ok(())
    }

    /// How much the change around a cell looks like motion, 0 to 1.
    fn motion(&self, x: usize, y: usize) -> f32 {
        let (Size { height, width }, classes) = self.shape;
        let at = (y * width + x) * classes;
        let now = &self.now[at..at + classes];
        let before = &self.before[at..at + classes];
        let towards = best(now);
        let held = best(before);
        // If the label does not change, the question is whether it is changing to (or from) the runner-up.
        let from = if held == towards { runner_up(now, towards) } else { held };
        let mut signed = 0.0_f32;
        let mut sizes = 0.0_f32;
        let mut count = 0.0_f32;
        for row in y.saturating_sub(1)..(y + 2).min(height) {
            for column in x.saturating_sub(1)..(x + 2).min(width) {
                let at = (row * width + column) * classes;
                let change = |seen: &[f32], expected: &[f32]| {
                    (seen[at + towards] - seen[at + from]) - (expected[at + towards] - expected[at + from])
                };
                for change in [change(&self.now, &self.before), change(&self.last_seen, &self.last_before)] {
                    signed += change;
                    sizes += change.abs();
                }
                count += 2.0;
            }
        }
        if sizes <= 0.0 {
            return 0.0;
        }
        let agreement = ((signed.abs() / sizes - NOISE) / (MOTION - NOISE)).clamp(0.0, 1.0);
        agreement * (sizes / (count * SMALL)).min(1.0)
    }
}

fn log_softmax(logits: &[f32], log_p: &mut [f32], p: &mut [f32]) {
    softmax(logits, p);
    for (log_p, p) in log_p.iter_mut().zip(p) {
        *log_p = p.ln().max(FLOOR);
    }
}

fn best(values: &[f32]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

fn runner_up(values: &[f32], first: usize) -> usize {
    let start = usize::from(first == 0).min(values.len() - 1);
    (0..values.len()).filter(|&i| i != first).fold(start, |best, i| if values[i] > values[best] { i } else { best })
}

/// The best probability minus the second best.
fn margin(p: &[f32]) -> f32 {
    let first = best(p);
    p[first] - if p.len() > 1 { p[runner_up(p, first)] } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 33;
    const CLASSES: usize = 3;
    const FRAME: Duration = Duration::from_millis(33);

    /// A deterministic stream of standard normal numbers.
    struct Noise(silhouette_testkit::Noise);

    impl Noise {
        fn new(seed: u64) -> Self {
            Self(silhouette_testkit::Noise::new(seed))
        }

        fn normal(&mut self) -> f32 {
            (0..12).map(|_| self.0.fraction()).sum::<f32>() - 6.0
        }

        /// Independent noise, or noise shared by neighbours (a 3x3 mean, at the same strength), like a network's.
        fn map(&mut self, shared: bool) -> Vec<f32> {
            let plain: Vec<f32> = (0..(SIDE + 2) * (SIDE + 2)).map(|_| self.normal()).collect();
            let mut map = Vec::new();
            for y in 1..=SIDE {
                for x in 1..=SIDE {
                    let at = |dx: usize, dy: usize| plain[(y + dy - 1) * (SIDE + 2) + x + dx - 1];
                    let mean = (0..9).map(|i| at(i % 3, i / 3)).sum::<f32>() / 3.0;
                    map.push(if shared { mean } else { at(1, 1) });
                }
            }
            map
        }
    }

    /// A disc of class 1 at `(cx, cy)` on background, logits falling off over its edge like a network's, plus noise.
    fn disc(cx: f32, cy: f32, noise: &mut Noise, strength: f32, shared: bool) -> (Vec<f32>, Vec<u8>) {
        let mut logits = Vec::new();
        let mut truth = Vec::new();
        let extra: Vec<Vec<f32>> = (0..CLASSES).map(|_| noise.map(shared)).collect();
        for y in 0..SIDE {
            for x in 0..SIDE {
                let inside = 8.0 - (x as f32 - cx).hypot(y as f32 - cy);
                truth.push(u8::from(inside > 0.0));
                let pull = (1.5 * inside).clamp(-5.0, 5.0);
                let clean = [-pull / 2.0, pull / 2.0, -4.0];
                logits.extend((0..CLASSES).map(|c| clean[c] + strength * extra[c][y * SIDE + x]));
            }
        }
        (logits, truth)
    }

    fn labels(logits: &[f32]) -> Vec<u8> {
        logits.chunks_exact(CLASSES).map(|cell| best(cell) as u8).collect()
    }

    fn flips(frames: &[Vec<u8>]) -> usize {
        frames.windows(2).map(|two| two[0].iter().zip(&two[1]).filter(|(a, b)| a != b).count()).sum()
    }

    fn miou(masks: &[Vec<u8>], truths: &[Vec<u8>]) -> f64 {
        let mut sum = 0.0;
        for class in [0, 1] {
            let mut both = 0;
            let mut any = 0;
            for (mask, truth) in masks.iter().zip(truths) {
                for (&m, &t) in mask.iter().zip(truth) {
                    both += usize::from(m == class && t == class);
                    any += usize::from(m == class || t == class);
                }
            }
            sum += both as f64 / any as f64;
        }
        sum / 2.0
    }

    /// The raw labels, the smoothed ones, and the expected ones.
    fn run(
        frames: usize,
        seed: u64,
        strength: f32,
        shared: bool,
        path: impl Fn(usize) -> (f32, f32),
    ) -> [Vec<Vec<u8>>; 3] {
        let mut noise = Noise::new(seed);
        let mut smoother = Smoother::default();
        let mut raw = Vec::new();
        let mut smooth = Vec::new();
        let mut truths = Vec::new();
        for i in 0..frames {
            let (cx, cy) = path(i);
            let (mut logits, truth) = disc(cx, cy, &mut noise, strength, shared);
            raw.push(labels(&logits));
            let time = FRAME * i as u32;
            smoother.smooth(&mut logits, (Size::square(SIDE), CLASSES), time, &Smoothing::default()).unwrap();
            smooth.push(labels(&logits));
            truths.push(truth);
        }
        [raw, smooth, truths]
    }

    #[test]
    fn noise_flips_are_halved_at_least() {
        for shared in [false, true] {
            for seed in 1..6 {
                let [raw, smooth, truths] = run(60, seed, 1.0, shared, |_| (16.3, 15.8));
                let before = flips(&raw);
                let after = flips(&smooth);
                println!(
                    "shared {shared} seed {seed}: {before} -> {after}, mIOU {:.4} -> {:.4}",
                    miou(&raw, &truths),
                    miou(&smooth, &truths)
                );
                assert!(before > 500, "the sequence is noisy: {before}");
                assert!(after * 2 <= before, "shared {shared}, seed {seed}: {before} -> {after}");
            }
        }
    }

    #[test]
    fn a_moving_shape_keeps_its_place() {
        // Cells per frame: at 33 cells across, 1.0 crosses the image in about a second.
        for speed in [0.1, 0.3, 0.5, 1.0] {
            for strength in [0.0, 0.3, 1.0] {
                let path = |i: usize| {
                    let t = i as f32 * speed % 32.0;
                    (if t < 16.0 { 8.0 + t } else { 40.0 - t }, 16.0)
                };
                let [raw, smooth, truths] = run(64, 3, strength, true, path);
                let plain = miou(&raw, &truths);
                let ours = miou(&smooth, &truths);
                // The lag of the smoothed masks: which earlier truth they match best.
                let lag = (0..5)
                    .max_by(|&a, &b| {
                        miou(&smooth[4..], &truths[4 - a..64 - a])
                            .total_cmp(&miou(&smooth[4..], &truths[4 - b..64 - b]))
                    })
                    .unwrap();
                println!("speed {speed} noise {strength}: mIOU {plain:.4} -> {ours:.4}, lag {lag}");
                assert!(ours >= plain - 0.01, "speed {speed}, noise {strength}: {plain} -> {ours}");
                assert!(lag <= 1, "speed {speed}, noise {strength}: lag {lag}");
            }
        }
    }

    #[test]
    fn what_the_camera_shifts_is_no_motion_and_leaves_no_trail() {
        // A still scene in a shaking hand: without following, the average lags behind.
        let shake = |i: usize| ((i * 7 % 5) as f32 * 0.2 - 0.4, (i * 3 % 4) as f32 * 0.2 - 0.3);
        let run = |follows: bool| {
            let mut noise = Noise::new(2);
            let mut smoother = Smoother::default();
            let mut error = 0.0_f32;
            for i in 0..40 {
                let (x, y) = shake(i);
                let (mut logits, _) = disc(16.0 - x, 16.0 - y, &mut noise, 1.0, true);
                let (clean, _) = disc(16.0 - x, 16.0 - y, &mut noise, 0.0, true);
                let shape = (Size::square(SIDE), CLASSES);
                if follows && i > 0 {
                    let (before_x, before_y) = shake(i - 1);
                    smoother.follow(shape, y - before_y, x - before_x).unwrap();
                }
                smoother.smooth(&mut logits, shape, FRAME * i as u32, &Smoothing::default()).unwrap();
                let mut p = [0.0; CLASSES];
                let mut q = [0.0; CLASSES];
                for (cell, clean) in logits.chunks_exact(CLASSES).zip(clean.chunks_exact(CLASSES)).filter(|_| i > 5) {
                    softmax(cell, &mut p);
                    softmax(clean, &mut q);
                    error += (p[1] - q[1]).abs();
                }
            }
            error
        };
        let followed = run(true);
        let left = run(false);
        println!("error: followed {followed}, not {left}");
        assert!(followed < 0.9 * left, "{followed}, {left}");
    }

    #[test]
    fn a_cut_is_followed_at_once() {
        let mut noise = Noise::new(1);
        let mut smoother = Smoother::default();
        let shape = (Size::square(SIDE), CLASSES);
        for i in 0..10 {
            let (mut logits, _) = disc(8.0, 8.0, &mut noise, 0.2, false);
            smoother.smooth(&mut logits, shape, FRAME * i, &Smoothing::default()).unwrap();
        }
        let (mut logits, truth) = disc(24.0, 24.0, &mut noise, 0.0, false);
        smoother.smooth(&mut logits, shape, FRAME * 10, &Smoothing::default()).unwrap();
        assert!(miou(&[labels(&logits)], &[truth]) > 0.97);
    }

    #[test]
    fn pauses_backward_time_and_other_shapes_start_afresh() {
        let shape = (Size::square(1), 2);
        let start = |smoother: &mut Smoother| {
            smoother.smooth(&mut [3.0, 0.0], shape, Duration::from_secs(5), &Smoothing::default()).unwrap();
        };
        let fresh = |shape, time: f32, logits: &[f32]| {
            let mut smoother = Smoother::default();
            start(&mut smoother);
            let mut out = logits.to_vec();
            smoother.smooth(&mut out, shape, Duration::from_secs_f32(time), &Smoothing::default()).unwrap();
            out == logits
        };
        assert!(!fresh(shape, 5.1, &[0.5, 0.0]), "goes on");
        assert!(fresh(shape, 6.5, &[0.5, 0.0]), "after a pause");
        assert!(fresh(shape, 4.0, &[0.5, 0.0]), "backwards");
        assert!(fresh((Size { height: 1, width: 2 }, 2), 5.1, &[0.5, 0.0, 0.5, 0.0]), "another shape");
    }
}
