//! `silhouette eval`: the quality of a model's masks and alphas on images with ground truth, and how stable they are.

mod dataset;
mod flicker;
mod jitter;
mod labels;
mod measures;
mod people;
mod state;
mod work;
mod worst;

use crate::args;
use crate::failure::Failure;
use crate::load;
use crate::output;
pub(crate) use dataset::{Item, list, voc};
pub(crate) use labels::{Key, with_photo};
use serde_json::{Value, json};
use silhouette::eval::{AlphaScore, AlphaSummary, Back, Boundary, Confusion, Evaluator, Protocol};
use silhouette::files::Photo;
use silhouette::{Mask, Model, Picture, Segmentation};
use state::{Border, Scored};
use std::collections::HashMap;
use std::path::Path;
use work::{mean, nothing};
pub(crate) use work::{median, workers};

/// The state of a run that all other steps use.
pub(crate) struct Run {
    model: Model,
    evaluator: Evaluator,
    items: Vec<Item>,
    /// The labels that are scored.
    labels: Vec<String>,
    /// For each class of the model, the scored one.
    scored_as: Vec<u8>,
    /// The meaning of the ground truth's values.
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

/// Scores every image of a run; returns the counts, and the median time of an image in milliseconds.
///
/// # Errors
/// If no image can be scored.
pub(crate) fn confusion(run: &Run, workers: usize) -> Result<(Confusion, f64), Failure> {
    let (results, _) = work::each(&run.items, workers, Vec::new(), None, |item, work| one(run, item, work))?;
    let time = median(results.iter().map(|scored| scored.ms).collect());
    let time = time.ok_or_else(|| nothing(&run.items))?;
    Ok((total(run, &results)?, time))
}

/// Runs the command.
///
/// # Errors
/// The error that stopped it, or that nothing could be scored. An image that cannot be scored does not stop the run: it is
/// named, and counted as skipped.
pub(crate) fn eval(args: &args::Eval) -> Result<(), Vec<Failure>> {
    let done = match (args.people, args.flicker) {
        (true, _) => people::score(args, &protocol(args)),
        (_, true) => flicker::measure(args, &protocol(args)),
        _ => evaluate(args),
    };
    done.map_err(|failure| vec![failure])
}

/// The protocol from the command line.
fn protocol(args: &args::Eval) -> Protocol {
    Protocol {
        size: args.engine.size,
        input_shape: args.engine.input_shape.unwrap_or_default(),
        backend: args.engine.backend,
        precision: args.engine.precision,
        back: match args.back {
            args::Back::Mask => Back::Mask,
            args::Back::Logits => Back::Logits,
        },
        scales: args.scales.clone(),
        flip: args.flip,
        output_stride: args.output_stride,
    }
}

fn evaluate(args: &args::Eval) -> Result<(), Failure> {
    let workers = workers(&args.engine);
    let list = args.voc.as_deref().map(|folder| dataset::list(folder, &args.list));
    work::refuse_inputs(args, list.iter().chain(&args.labels).chain(&args.engine.model))?;
    let run = prepare(args, &protocol(args), workers)?;
    let described = describe(&run, args, workers);
    let Run { model, items, labels, .. } = &run;
    let task = work::Task { args, model, items, labels, protocol: &described, workers };
    work::run(
        &task,
        |item, work| one(&run, item, work),
        |results, skipped| {
            let report = report(&run, results, skipped, &described)?;
            if let Some(folder) = &args.errors {
                draw_worst(&run, results, folder, args.worst)?;
            }
            Ok(report)
        },
    )
}

/// Opens the model and the data set.
fn prepare(args: &args::Eval, protocol: &Protocol, workers: usize) -> Result<Run, Failure> {
    let model = load::named_or_builtin(&args.engine)?;
    let evaluator = Evaluator::new(&model, protocol, workers).map_err(|error| load::about(&args.engine, &error))?;
    let items = dataset::named(args)?;
    let listed = args.labels.as_deref().map(labels::listed).transpose()?;
    let (labels, scored_as) = classes(model.labels(), listed, args.foreground.is_some()).map_err(|text| {
        args.labels.as_ref().map_or_else(|| Failure::general(&text), |path| Failure::new(path, &text))
    })?;
    let key = Key::new(labels.len(), args.foreground, &scored_as, model.palette());
    if args.foreground.is_none() {
        labels::refuse_black_and_white(&items)?;
    }
    if args.boundary && evaluator.runs() > 1 {
        return Err(Failure::general("--boundary scores one run of the network; omit --scales"));
    }
    Ok(Run { model, evaluator, items, labels, scored_as, key, boundary: args.boundary })
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
    let macs = run.evaluator.macs(&frame).map_err(|error| Failure::new(&item.image, error))?;
    Ok(Scored { name: item.name.clone(), ms, macs, pairs, borders })
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
    Ok([found.plain, found.refined].map(|border| Border {
        hit: border.boundary.hit,
        union: border.boundary.union,
        measures: border.score.into(),
        ms: border.spent.as_secs_f64() * 1e3,
    }))
}

/// An image with its ground truth and its mask, all of the same size, and the time for the mask.
fn segmented(run: &Run, item: &Item, work: &mut Segmentation) -> Result<(Photo, Mask, Mask, f64), Failure> {
    let (photo, truth) = with_photo(item, &run.key)?;
    let frame = photo.frame().map_err(|error| Failure::new(&item.image, error))?;
    let (mut mask, spent) = run.evaluator.mask(&frame, work).map_err(|error| Failure::new(&item.image, error))?;
    for class in &mut mask.classes {
        *class = run.scored_as.get(usize::from(*class)).copied().unwrap_or(0);
    }
    Ok((photo, truth, mask, spent.as_secs_f64() * 1e3))
}

/// What was scored and how, for the report.
fn describe(run: &Run, args: &args::Eval, workers: usize) -> Value {
    let mut described = work::protocol(args, &run.model, &run.evaluator, workers);
    described["back"] = match args.back {
        args::Back::Mask => "mask, nearest neighbour",
        args::Back::Logits => "logits, bilinear",
    }
    .into();
    described["scales"] = json!(args.scales);
    described["flip"] = args.flip.into();
    described["foreground"] = json!(args.foreground);
    described["boundary"] = args.boundary.into();
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
fn report(run: &Run, results: &[Scored], skipped: usize, protocol: &Value) -> Result<Value, Failure> {
    let confusion = total(run, results)?;
    let percent = |value: Option<f64>| value.map(|value| 100.0 * value);
    let written = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{:.2}", 100.0 * value));
    for (label, iou) in run.labels.iter().zip(confusion.iou()) {
        output::say(&format!("{label:<14} {:>6}", written(iou)));
    }
    output::say(&format!(
        "mIOU {}  pixel accuracy {}  {} images, {skipped} skipped",
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
        "macs": mean(results.iter().map(|scored| scored.macs)),
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
            let scores: Vec<AlphaScore> = all.iter().map(|border| border.measures.into()).collect();
            (sum.iou(), AlphaSummary::of(&scores), median(all.iter().map(|border| border.ms).collect()))
        });
        let time = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
        output::say(&format!(
            "boundary IoU of the foreground {}, refined {}  (alpha {}, refined {})",
            written(plain.0),
            written(refined.0),
            time(plain.2),
            time(refined.2),
        ));
        output::say(&format!(
            "border F of the foreground at 2 px {}, refined {}; at 0.75 % of the diagonal {}, refined {}",
            written(plain.1.border_f_2px),
            written(refined.1.border_f_2px),
            written(plain.1.border_f),
            written(refined.1.border_f),
        ));
        let both = |of: fn(&AlphaSummary) -> Option<f64>| json!({ "plain": percent(of(&plain.1)), "refined": percent(of(&refined.1)) });
        report["boundary_iou"] = json!({ "plain": percent(plain.0), "refined": percent(refined.0) });
        report["border_f_2px"] = both(|summary| summary.border_f_2px);
        report["border_f"] = both(|summary| summary.border_f);
        report["alpha_ms"] = json!({ "plain": plain.2, "refined": refined.2 });
    }
    Ok(report)
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
}
