//! Photos as the network's input, at the size that the library would run each at; and work on many of them.

use crate::failure::Failure;
use indicatif::ProgressBar;
use silhouette::files::Photo;
use silhouette::{InputShape, Model, Options, Precision, Segmenter, Size, Task};
use silhouette_imaging::input::{InputSpec, Placement, Resampler};
use silhouette_kernels::memory::{OutOfMemory, filled};
use silhouette_kernels::rows::RowSource as _;
use silhouette_quantise::Picture;
use silhouette_weights::SplitMix64;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const KINDS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// More photos than any folder of them has.
const MOST: usize = 1 << 20;

/// Makes the network's input of photos.
pub(super) struct Shapes {
    model: Model,
    /// Knows the size for each photo; a classifier has one size.
    segmenter: Option<Segmenter>,
    size: usize,
}

impl Shapes {
    /// For a model, at a size and shape like those of other commands.
    pub(super) fn new(model: &Model, size: Option<usize>, shape: Option<InputShape>) -> silhouette::Result<Self> {
        let mut options = Options::new().threads(1).concurrency(1).precision(Precision::F32);
        if let Some(size) = size {
            options = options.size(size);
        }
        if let Some(shape) = shape {
            options = options.input_shape(shape);
        }
        let segmenter = match model.task() {
            Task::Classification => None,
            _ => Some(Segmenter::new(model, &options)?),
        };
        Ok(Self { model: model.clone(), segmenter, size: size.unwrap_or(model.size()) })
    }

    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// The most values that an input has.
    pub(super) fn values(&self) -> usize {
        self.size.saturating_mul(self.size).saturating_mul(3)
    }

    /// A photo's input.
    pub(super) fn open(&self, path: &Path) -> Result<(Placement, Picture), Failure> {
        let photo = Photo::open(path).map_err(|error| Failure::new(path, error))?;
        self.picture(&photo).map_err(|text| Failure::new(path, text))
    }

    /// The same of an open photo.
    pub(super) fn picture(&self, photo: &Photo) -> Result<(Placement, Picture), String> {
        let frame = photo.frame().map_err(|error| error.to_string())?;
        let size = self.segmenter.as_ref().map_or(Size::square(self.size), |segmenter| segmenter.input_size(&frame));
        let input = &self.model.spec().input;
        let mut resampler = Resampler::new(InputSpec { size, mean: input.mean, std: input.std, fit: input.fit });
        let out_of_memory = |error: OutOfMemory| error.to_string();
        let rows = resampler.rows(&frame).map_err(out_of_memory)?;
        let mut values = filled(size.height * size.width * 3, 0.0, "the network's input").map_err(out_of_memory)?;
        let mut scratch = filled(rows.scratch_len(), 0.0, "a row of the network's input").map_err(out_of_memory)?;
        for (y, row) in values.chunks_exact_mut(size.width * 3).enumerate() {
            rows.row(y, &mut scratch, row);
        }
        let placement = rows.placement();
        Ok((placement, Picture { size, values }))
    }
}

/// The photos of a folder, at most `limit` of them: which ones depends on the seed and on their names.
///
/// # Errors
/// If the folder cannot be read, or has none.
pub(super) fn listed(folder: &Path, limit: usize, seed: u64) -> Result<Vec<PathBuf>, Failure> {
    let mut photos = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| Failure::new(folder, error))? {
        let path = entry.map_err(|error| Failure::new(folder, error))?.path();
        let kind = path.extension().map(|kind| kind.to_string_lossy().to_lowercase());
        if kind.is_some_and(|kind| KINDS.contains(&kind.as_str())) {
            if photos.len() == MOST {
                return Err(Failure::new(folder, format!("there are more than {MOST} photos")));
            }
            photos.push(path);
        }
    }
    if photos.is_empty() {
        return Err(Failure::new(folder, "no JPEG, PNG or WebP in this folder"));
    }
    photos.sort();
    let mut draw = SplitMix64::new(seed);
    for i in (1..photos.len()).rev() {
        photos.swap(i, (draw.draw() % (i as u64 + 1)) as usize);
    }
    photos.truncate(limit);
    photos.sort();
    Ok(photos)
}

/// The results for items, in their order, on several threads; and the number of those that failed, which are reported.
pub(super) fn each<I: Sync, T: Send>(
    stage: &'static str,
    items: &[I],
    threads: usize,
    bar: &ProgressBar,
    work: impl Fn(&I) -> Result<T, Failure> + Sync,
) -> (Vec<T>, usize) {
    bar.set_message(stage);
    bar.set_length(items.len() as u64);
    bar.set_position(0);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(i) else { break };
                    let result = work(item);
                    bar.inc(1);
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((i, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|&(i, _)| i);
    let mut failed = 0;
    let mut done = Vec::with_capacity(results.len());
    for (_, result) in results {
        match result {
            Ok(result) => done.push(result),
            Err(failure) => {
                failed += 1;
                bar.suspend(|| failure.print());
            }
        }
    }
    (done, failed)
}
