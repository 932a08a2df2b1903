//! The work on many images: on several threads, resumable, and one that fails does not stop the rest.

use super::dataset::Item;
use super::state::{self, Finished, State};
use crate::args;
use crate::failure::Failure;
use crate::output;
use clap::ValueEnum as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use silhouette::eval::Evaluator;
use silhouette::{Model, Segmentation};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

/// Threads that score, each its own image.
pub(crate) fn workers(engine: &args::Engine) -> usize {
    engine.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
}

/// Reports that there is no score, after every image's own error.
pub(super) fn nothing(items: &[Item]) -> Failure {
    Failure::general(format!("none of the {} images could be scored", items.len()))
}

/// What is scored, and how.
pub(super) struct Task<'a> {
    pub(super) args: &'a args::Eval,
    pub(super) model: &'a Model,
    pub(super) items: &'a [Item],
    /// What else must be the same to resume.
    pub(super) labels: &'a [String],
    pub(super) protocol: &'a Value,
    pub(super) workers: usize,
}

/// How the network is run, for the report.
pub(super) fn protocol(args: &args::Eval, model: &Model, evaluator: &Evaluator, workers: usize) -> Value {
    json!({
        "model": model.name(),
        "size": args.engine.size.unwrap_or(model.size()),
        "sizes": evaluator.sizes().collect::<Vec<_>>(),
        "input_shape": args.engine.input_shape.unwrap_or_default().to_possible_value().map(|shape| shape.get_name().to_owned()),
        "backend": args.engine.backend.to_string(),
        "precision": args.engine.precision.to_string(),
        "fit": serde_json::to_value(model.spec().input.fit).unwrap_or_default(),
        "output_stride": args.output_stride,
        "threads": workers,
    })
}

/// Rejects, before anything is computed, a report or a state that would overwrite an input.
///
/// # Errors
/// With the name of the file.
pub(super) fn refuse_inputs<'a>(
    args: &'a args::Eval,
    inputs: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<(), Failure> {
    let partial = state::partial(args.json.as_ref());
    let inputs: Vec<&PathBuf> = inputs.into_iter().collect();
    output::refuse_inputs(args.json.iter().chain(&partial), inputs)
}

/// Scores every image, starting where an interrupted run ended, and writes the `report` of the results and the number of
/// images that failed.
///
/// # Errors
/// If no image could be scored, or a file cannot be written.
pub(super) fn run<T: Finished + Serialize + DeserializeOwned + Send>(
    task: &Task<'_>,
    one: impl Fn(&Item, &mut Segmentation) -> Result<T, Failure> + Sync,
    report: impl FnOnce(&[T], usize) -> Result<Value, Failure>,
) -> Result<(), Failure> {
    let Task { args, model, items, .. } = *task;
    refuse_inputs(args, items.iter().flat_map(|item| [&item.image, &item.mask]))?;
    let (mut state, done) = match state::partial(args.json.as_ref()) {
        Some(path) => {
            let identity = state::identity(model, &args.engine, items, task.labels, task.protocol);
            let (state, done) = State::open(&path, &identity, items.len())?;
            (Some(state), done)
        }
        None => (None, Vec::new()),
    };
    let (results, skipped) = each(items, task.workers, done, state.as_mut(), one)?;
    if results.is_empty() {
        if let Some(state) = state {
            state.finish();
        }
        return Err(nothing(items));
    }
    let report = report(&results, skipped)?;
    if let Some(path) = &args.json {
        output::write(path, format!("{report:#}\n").as_bytes())?;
    }
    if let Some(state) = state {
        state.finish();
    }
    Ok(())
}

/// Scores the images that are not `done` on `workers` threads: each decodes, segments and counts its own image, so that decoding
/// one image overlaps with the network of another, and at most one image per thread is in memory. Returns the results in the list's
/// order, and the number of images that failed.
///
/// # Errors
/// If the state cannot be written.
pub(super) fn each<T: Finished + Serialize + Send>(
    items: &[Item],
    workers: usize,
    done: Vec<T>,
    mut state: Option<&mut State>,
    one: impl Fn(&Item, &mut Segmentation) -> Result<T, Failure> + Sync,
) -> Result<(Vec<T>, usize), Failure> {
    let order: HashMap<&str, usize> = items.iter().enumerate().map(|(i, item)| (item.name.as_str(), i)).collect();
    let mut results: Vec<T> = done.into_iter().filter(|done| order.contains_key(done.name())).collect();
    let finished: HashSet<&str> = results.iter().map(Finished::name).collect();
    let waiting: Vec<&Item> = items.iter().filter(|item| !finished.contains(item.name.as_str())).collect();
    let bar = progress(items.len(), results.len());
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let mut skipped = 0;
    let mut broken = None;
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let send = send.clone();
            let waiting = &waiting;
            let next = &next;
            let stop = &stop;
            let one = &one;
            scope.spawn(move || {
                let mut work = Segmentation::default();
                while !stop.load(Ordering::Relaxed) {
                    let Some(item) = waiting.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                    if send.send(one(item, &mut work)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        for outcome in receive {
            bar.inc(1);
            match outcome {
                Ok(scored) => {
                    if let Some(Err(failure)) = state.as_mut().map(|state| state.add(&scored)) {
                        broken.get_or_insert(failure);
                        stop.store(true, Ordering::Relaxed);
                    }
                    results.push(scored);
                }
                Err(failure) => {
                    skipped += 1;
                    bar.suspend(|| failure.print());
                }
            }
        }
    });
    bar.finish_and_clear();
    if let Some(failure) = broken {
        return Err(failure);
    }
    // Threads finish in any order.
    results.sort_by_key(|scored| order.get(scored.name()).copied());
    Ok((results, skipped))
}

fn progress(all: usize, done: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(all as u64).with_position(done as u64).with_style(style)
}

/// The mean of integers, rounded; 0 if there are none.
pub(super) fn mean(values: impl ExactSizeIterator<Item = u64>) -> u64 {
    let count = values.len().max(1) as u64;
    (values.sum::<u64>() + count / 2) / count
}

/// The median of some times.
pub(crate) fn median(mut times: Vec<f64>) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    let middle = times.len() / 2;
    match times.len() {
        0 => None,
        n if n % 2 == 1 => Some(times[middle]),
        _ => Some(f64::midpoint(times[middle - 1], times[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_times() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
