//! `silhouette eval`: the quality of a model's masks, on images with ground truth.

mod dataset;
mod labels;
mod state;
mod worst;

use crate::args;
use crate::failure::Failure;
use crate::load;
use crate::output;
use clap::ValueEnum as _;
pub(crate) use dataset::{Item, list, voc};
use indicatif::{ProgressBar, ProgressStyle};
use labels::{Key, Kind};
use serde_json::{Value, json};
use silhouette::eval::{Back, Boundary, Confusion, Evaluator, Protocol};
use silhouette::files::Photo;
use silhouette::{Mask, Model, Picture, Segmentation, Size};
use silhouette_files::read_regular;
use state::{Border, Scored, State};
use std::collections::{HashMap, HashSet};
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use twox_hash::XxHash3_64;

/// The state of a run that all other steps use.
pub(crate) struct Run {
    model: Model,
    evaluator: Evaluator,
    items: Vec<Item>,
    /// The labels that are scored.
    labels: Vec<String>,
    /// For each class of the model, the scored one.
    scored_as: Vec<u8>,
    /// The meaning of the true masks' values.
    key: Key,
    /// Whether the foreground's border is scored too.
    boundary: bool,
}

impl Run {
    /// Scores all of the model's classes unchanged.
    pub(crate) fn new(model: Model, evaluator: Evaluator, items: Vec<Item>) -> Self {
        let labels = model.labels().to_vec();
        let scored_as: Vec<u8> = (0..=u8::MAX).take(labels.len()).collect();
        let key = Key::new(labels.len(), None, &scored_as, model.palette());
        Self { model, evaluator, items, labels, scored_as, key, boundary: false }
    }
}

/// Threads that score, each its own image.
pub(crate) fn workers(engine: &args::Engine) -> usize {
    engine.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
}

/// Scores every image of a run; returns the counts, and the median time of an image in milliseconds.
///
/// # Errors
/// If no image can be scored.
pub(crate) fn confusion(run: &Run, workers: usize) -> Result<(Confusion, f64), Failure> {
    let (results, _) = score(run, workers, Vec::new(), None)?;
    let time = median(results.iter().map(|scored| scored.ms).collect());
    let time = time.ok_or_else(|| nothing(run))?;
    Ok((total(run, &results)?, time))
}

/// Reports that there is no score, after every image's own error.
fn nothing(run: &Run) -> Failure {
    Failure::general(format!("none of the {} images could be scored", run.items.len()))
}

/// Runs the command.
///
/// # Errors
/// What stopped it, or that nothing could be scored. An image that cannot be scored stops nothing: it is named, and
/// counted as skipped.
pub(crate) fn eval(args: &args::Eval) -> Result<(), Vec<Failure>> {
    evaluate(args).map_err(|failure| vec![failure])
}

fn evaluate(args: &args::Eval) -> Result<(), Failure> {
    let protocol = Protocol {
        size: args.engine.size,
        input_shape: args.engine.input_shape.unwrap_or_default(),
        back: match args.back {
            args::Back::Mask => Back::Mask,
            args::Back::Logits => Back::Logits,
        },
        scales: args.scales.clone(),
        flip: args.flip,
        output_stride: args.output_stride,
    };
    let workers = workers(&args.engine);
    let partial = args.json.as_ref().map(|path| {
        let mut name = path.as_os_str().to_owned();
        name.push(".partial");
        PathBuf::from(name)
    });
    let list = args.voc.as_deref().map(|folder| dataset::list(folder, &args.list));
    let outputs = || args.json.iter().chain(&partial);
    output::refuse_inputs(outputs(), list.iter().chain(&args.labels).chain(&args.engine.model))?;
    let run = prepare(args, &protocol, workers)?;
    output::refuse_inputs(outputs(), run.items.iter().flat_map(|item| [&item.image, &item.mask]))?;
    let described = describe(&run, args, workers);
    let (mut state, done) = match &partial {
        Some(path) => {
            let (state, done) = State::open(path, &identity(&run, args, &described), run.items.len())?;
            (Some(state), done)
        }
        None => (None, Vec::new()),
    };
    let (results, skipped) = score(&run, workers, done, state.as_mut())?;
    if results.is_empty() {
        if let Some(state) = state {
            state.finish();
        }
        return Err(nothing(&run));
    }
    let report = report(&run, &results, skipped, described)?;
    if let Some(folder) = &args.errors {
        draw_worst(&run, &results, folder, args.worst)?;
    }
    if let Some(path) = &args.json {
        output::write(path, format!("{report:#}\n").as_bytes())?;
    }
    if let Some(state) = state {
        state.finish();
    }
    Ok(())
}

/// Opens the model and the data set.
fn prepare(args: &args::Eval, protocol: &Protocol, workers: usize) -> Result<Run, Failure> {
    let model = load::named_or_builtin(&args.engine)?;
    let evaluator = Evaluator::new(&model, protocol, workers).map_err(|error| load::about(&args.engine, &error))?;
    let items = match (&args.voc, &args.images, &args.masks) {
        (Some(folder), None, None) => dataset::voc(folder, &args.list)?,
        (None, Some(images), Some(masks)) => dataset::folders(images, masks)?,
        _ => return Err(Failure::general("pass --voc DIR, or --images DIR with --masks DIR")),
    };
    let listed = args.labels.as_deref().map(listed).transpose()?;
    let (labels, scored_as) = classes(model.labels(), listed, args.foreground.is_some()).map_err(|text| {
        args.labels.as_ref().map_or_else(|| Failure::general(&text), |path| Failure::new(path, &text))
    })?;
    let key = Key::new(labels.len(), args.foreground, &scored_as, model.palette());
    if args.foreground.is_none() {
        refuse_black_and_white(&items)?;
    }
    if args.boundary && evaluator.runs() > 1 {
        return Err(Failure::general("--boundary scores one run of the network; omit --scales"));
    }
    Ok(Run { model, evaluator, items, labels, scored_as, key, boundary: args.boundary })
}

/// The labels from a file or a set.
fn listed(path: &Path) -> Result<Vec<String>, Failure> {
    let labels: Vec<_> = crate::labels::read(path)?.names.into_iter().filter(|label| !label.is_empty()).collect();
    if !(1..=254).contains(&labels.len()) {
        return Err(Failure::new(path, format!("{} labels; 1 to 254 are possible", labels.len())));
    }
    Ok(labels)
}

/// The labels to score, and for each of the model's labels the one it counts as.
fn classes(model: &[String], listed: Option<Vec<String>>, foreground: bool) -> Result<(Vec<String>, Vec<u8>), String> {
    match listed {
        Some(labels) if foreground && labels.len() != 2 => {
            Err(format!("{} labels; --foreground needs two, the background and the foreground", labels.len()))
        }
        None if foreground && model.len() != 2 => {
            // Everything but the background.
            let scored_as = (0..model.len()).map(|class| u8::from(class > 0)).collect();
            Ok((vec!["background".into(), "foreground".into()], scored_as))
        }
        listed => {
            let labels = listed.unwrap_or_else(|| model.to_vec());
            let scored_as = scored_as(model, &labels)?;
            Ok((labels, scored_as))
        }
    }
}

/// Masks with only the values 0 and 255 have a white foreground; read as classes, 255 is not scored, and every score
/// would be of the background only. Reported before anything is computed; the first mask with a class in it (usually
/// the very first) shows that the masks are of another kind.
fn refuse_black_and_white(items: &[Item]) -> Result<(), Failure> {
    let mut white = None;
    for item in items {
        match labels::kind(&item.mask) {
            Some(Kind::Classes) => return Ok(()),
            Some(Kind::BlackAndWhite) => drop(white.get_or_insert(&item.mask)),
            Some(Kind::Empty) | None => {}
        }
    }
    white.map_or(Ok(()), |mask| {
        let text = "this mask and all others have only the values 0 and 255, and 255 is not scored; if it is the foreground, \
                    pass --foreground 255";
        Err(Failure::new(mask, text))
    })
}

/// The scored class for each of the model's labels: the one with the same name; labels that are not in the list count
/// as the list's first, its background.
fn scored_as(model: &[String], listed: &[String]) -> Result<Vec<u8>, String> {
    if let Some(unknown) = listed.iter().find(|label| !model.iter().any(|known| known.eq_ignore_ascii_case(label))) {
        return Err(format!("the model has no class '{unknown}'; it has {}", model.join(", ")));
    }
    if model.len() > 254 {
        return Err(format!("{} classes; at most 254 can be scored", model.len()));
    }
    Ok(model
        .iter()
        .map(|label| listed.iter().position(|known| known.eq_ignore_ascii_case(label)).unwrap_or(0) as u8)
        .collect())
}

/// Scores the remaining images on `workers` threads: each decodes, segments and counts its own image, so that decoding
/// one image overlaps with the network of another, and at most one image per thread is in memory.
fn score(
    run: &Run,
    workers: usize,
    done: Vec<Scored>,
    mut state: Option<&mut State>,
) -> Result<(Vec<Scored>, usize), Failure> {
    let known: HashSet<&str> = run.items.iter().map(|item| item.name.as_str()).collect();
    let mut results: Vec<Scored> = done.into_iter().filter(|scored| known.contains(scored.name.as_str())).collect();
    let finished: HashSet<&str> = results.iter().map(|scored| scored.name.as_str()).collect();
    let waiting: Vec<&Item> = run.items.iter().filter(|item| !finished.contains(item.name.as_str())).collect();
    let bar = progress(run.items.len(), results.len());
    let (next, stop, mut skipped, mut broken) = (AtomicUsize::new(0), AtomicBool::new(false), 0, None);
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (send, waiting, next, stop) = (send.clone(), &waiting, &next, &stop);
            scope.spawn(move || {
                let mut work = Segmentation::default();
                while !stop.load(Ordering::Relaxed) {
                    let Some(item) = waiting.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                    if send.send(one(run, item, &mut work)).is_err() {
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
    // Threads finish in any order; results are in the list's order.
    let order: HashMap<&str, usize> = run.items.iter().enumerate().map(|(i, item)| (item.name.as_str(), i)).collect();
    results.sort_by_key(|scored| order.get(scored.name.as_str()).copied());
    Ok((results, skipped))
}

/// Scores one image.
fn one(run: &Run, item: &Item, work: &mut Segmentation) -> Result<Scored, Failure> {
    let (photo, truth, mask, ms) = segmented(run, item, work)?;
    let mut confusion = Confusion::new(run.labels.len());
    confusion.add(&truth.classes, &mask.classes).map_err(|error| Failure::new(&item.mask, error))?;
    let classes = run.labels.len();
    let pairs = confusion
        .counts()
        .iter()
        .enumerate()
        .filter(|&(_, &pixels)| pixels > 0)
        .map(|(cell, &pixels)| ((cell / classes) as u8, (cell % classes) as u8, pixels))
        .collect();
    let borders = if run.boundary { Some(borders(run, item, &photo, &truth, work)?) } else { None };
    let frame = photo.frame().map_err(|error| Failure::new(&item.image, error))?;
    let madds = run.evaluator.madds(&frame).map_err(|error| Failure::new(&item.image, error))?;
    Ok(Scored { name: item.name.clone(), ms, madds, pairs, borders })
}

/// The border of an image's foreground, plain and refined.
fn borders(
    run: &Run,
    item: &Item,
    photo: &Photo,
    truth: &Mask,
    work: &mut Segmentation,
) -> Result<[Border; 2], Failure> {
    let frame = photo.frame().map_err(|error| Failure::new(&item.image, error))?;
    let found = run.evaluator.borders(&frame, truth, work).map_err(|error| Failure::new(&item.image, error))?;
    let written = |boundary: Boundary, number: usize| Border {
        hit: boundary.hit,
        union: boundary.union,
        ms: found.spent[number].as_secs_f64() * 1e3,
    };
    Ok([written(found.plain, 0), written(found.refined, 1)])
}

/// An image with its ground truth and its mask, all of the same size, and the time for the mask.
fn segmented(run: &Run, item: &Item, work: &mut Segmentation) -> Result<(Photo, Mask, Mask, f64), Failure> {
    // The labels first: they are quick to read, and necessary for scoring.
    let truth = labels::read(&item.mask, &run.key)?;
    let photo = Photo::open(&item.image).map_err(|error| Failure::new(&item.image, error))?;
    let frame = photo.frame().map_err(|error| Failure::new(&item.image, error))?;
    let Size { height, width } = frame.upright_size();
    if (truth.width, truth.height) != (width, height) {
        let text = format!("a mask of {}x{} for an image of {width}x{height}", truth.width, truth.height);
        return Err(Failure::new(&item.mask, text));
    }
    let (mut mask, spent) = run.evaluator.mask(&frame, work).map_err(|error| Failure::new(&item.image, error))?;
    for class in &mut mask.classes {
        *class = run.scored_as.get(usize::from(*class)).copied().unwrap_or(0);
    }
    let truth = Mask { width, height, classes: truth.classes };
    Ok((photo, truth, mask, spent.as_secs_f64() * 1e3))
}

fn progress(all: usize, done: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(all as u64).with_position(done as u64).with_style(style)
}

/// What was scored and how, for the report.
fn describe(run: &Run, args: &args::Eval, workers: usize) -> Value {
    json!({
        "model": run.model.name(),
        "size": args.engine.size.unwrap_or(run.model.size()),
        "sizes": run.evaluator.sizes().collect::<Vec<_>>(),
        "input_shape": args.engine.input_shape.unwrap_or_default().to_possible_value().map(|shape| shape.get_name().to_owned()),
        "fit": serde_json::to_value(run.model.spec().input.fit).unwrap_or_default(),
        "back": match args.back { args::Back::Mask => "mask, nearest neighbour", args::Back::Logits => "logits, bilinear" },
        "scales": args.scales,
        "flip": args.flip,
        "output_stride": args.output_stride,
        "foreground": args.foreground,
        "boundary": args.boundary,
        "threads": workers,
    })
}

/// What must be the same to resume an interrupted run: weights, images, protocol. Not the number of threads.
fn identity(run: &Run, args: &args::Eval, described: &Value) -> Value {
    let mut hasher = XxHash3_64::new();
    // Each with its length, so that no two lists run into the same bytes.
    let mut take = |bytes: &[u8]| {
        hasher.write(&(bytes.len() as u64).to_le_bytes());
        hasher.write(bytes);
    };
    if let Some(path) = &args.engine.model {
        // If it is unreadable now, it is not the file that was opened before, and the state belongs to another one.
        take(&read_regular(path, u64::MAX).unwrap_or_default());
    }
    for item in &run.items {
        take(item.name.as_bytes());
        take(item.image.as_os_str().as_encoded_bytes());
        take(item.mask.as_os_str().as_encoded_bytes());
    }
    for label in &run.labels {
        take(label.as_bytes());
    }
    let mut described = described.clone();
    if let Value::Object(fields) = &mut described {
        fields.remove("threads");
        fields.insert("xxhash3".into(), hasher.finish().into());
        fields.insert("provenance".into(), run.model.provenance().into());
    }
    described
}

/// The sum of all counts.
fn total(run: &Run, results: &[Scored]) -> Result<Confusion, Failure> {
    let mut confusion = Confusion::new(run.labels.len());
    for scored in results {
        for &(truth, mask, pixels) in &scored.pairs {
            if !confusion.count(truth.into(), mask.into(), pixels) {
                return Err(Failure::general(format!(
                    "the stored state of '{}' holds class {}",
                    scored.name,
                    truth.max(mask)
                )));
            }
        }
    }
    Ok(confusion)
}

/// Prints the scores and returns them as JSON.
fn report(run: &Run, results: &[Scored], skipped: usize, protocol: Value) -> Result<Value, Failure> {
    let confusion = total(run, results)?;
    let percent = |value: Option<f64>| value.map(|value| 100.0 * value);
    let written = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{:.2}", 100.0 * value));
    for (label, iou) in run.labels.iter().zip(confusion.iou()) {
        output::say(&format!("{label:<14} {:>6}", written(iou)));
    }
    output::say(&format!(
        "mIOU {}  pixel accuracy {}  {} pictures, {skipped} skipped",
        written(confusion.miou()),
        written(confusion.pixel_accuracy()),
        results.len(),
    ));
    let iou: serde_json::Map<_, _> =
        run.labels.iter().cloned().zip(confusion.iou().into_iter().map(|iou| json!(percent(iou)))).collect();
    let rows: Vec<_> = confusion.counts().chunks(run.labels.len()).map(<[u64]>::to_vec).collect();
    let mut report = json!({
        "miou": percent(confusion.miou()),
        "pixel_accuracy": percent(confusion.pixel_accuracy()),
        "iou": iou,
        "confusion": rows,
        "images": results.len(),
        "skipped": skipped,
        "madds": mean(results.iter().map(|scored| scored.madds)),
        "median_ms": median(results.iter().map(|scored| scored.ms).collect()),
        "min_ms": results.iter().map(|scored| scored.ms).reduce(f64::min),
        "protocol": protocol,
    });
    if run.boundary {
        let [plain, refined] = [0, 1].map(|number| {
            let all: Vec<Border> = results.iter().filter_map(|scored| Some(scored.borders?[number])).collect();
            let mut sum = Boundary::default();
            for border in &all {
                sum.add(Boundary { hit: border.hit, union: border.union });
            }
            (sum.iou(), median(all.iter().map(|border| border.ms).collect()))
        });
        let time = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
        output::say(&format!(
            "boundary IoU of the foreground {}, refined {}  (alpha {}, refined {})",
            written(plain.0),
            written(refined.0),
            time(plain.1),
            time(refined.1),
        ));
        report["boundary_iou"] = json!({ "plain": percent(plain.0), "refined": percent(refined.0) });
        report["alpha_ms"] = json!({ "plain": plain.1, "refined": refined.1 });
    }
    Ok(report)
}

/// The mean of integers, rounded; 0 if there are none.
fn mean(values: impl ExactSizeIterator<Item = u64>) -> u64 {
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

/// Draws the images with the lowest mIOU of their own into a folder, sorted by name from the worst.
fn draw_worst(run: &Run, results: &[Scored], folder: &Path, count: usize) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| Failure::new(folder, error))?;
    let mut ranked = Vec::with_capacity(results.len());
    for scored in results {
        ranked.push((total(run, std::slice::from_ref(scored))?.miou().unwrap_or(1.0), scored));
    }
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let items: HashMap<&str, &Item> = run.items.iter().map(|item| (item.name.as_str(), item)).collect();
    let mut work = Segmentation::default();
    for (rank, (miou, scored)) in ranked.into_iter().take(count).enumerate() {
        let Some(item) = items.get(scored.name.as_str()) else { continue };
        let (photo, truth, mask, _) = segmented(run, item, &mut work)?;
        let frame = photo.frame().map_err(|error| Failure::new(&item.image, error))?;
        let photo = Picture::from_frame(&frame).map_err(|error| Failure::new(&item.image, error))?;
        // Names come from a list: they must not escape the folder.
        let name: String =
            item.name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        let file = folder.join(format!("{:03}-{:02.0}-{name}.png", rank + 1, 100.0 * miou));
        output::refuse_inputs([&file], run.items.iter().flat_map(|item| [&item.image, &item.mask]))?;
        worst::draw(&file, &photo, &truth, &mask, run.model.palette())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn classes_are_matched_by_name() {
        let model = names(&["background", "cat", "dog", "person"]);
        assert_eq!(scored_as(&model, &model).unwrap(), [0, 1, 2, 3]);
        assert_eq!(scored_as(&model, &names(&["background", "Person", "cat"])).unwrap(), [0, 2, 0, 1]);
        assert!(scored_as(&model, &names(&["background", "zebra"])).unwrap_err().contains("zebra"));
    }

    #[test]
    fn a_foreground_is_two_classes() {
        let model = names(&["background", "cat", "person"]);
        let two = names(&["background", "person"]);
        let all = (names(&["background", "foreground"]), vec![0, 1, 1]);
        assert_eq!(classes(&model, None, true).unwrap(), all);
        assert_eq!(classes(&model, Some(two.clone()), true).unwrap(), (two.clone(), vec![0, 0, 1]));
        assert_eq!(classes(&two, None, true).unwrap(), (two, vec![0, 1]));
        assert!(classes(&model, Some(model.clone()), true).unwrap_err().contains("--foreground"));
    }

    #[test]
    fn the_middle_of_the_times() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
