//! `silhouette eval --people`: the quality of the alpha of people, the one that effects use.

use super::labels::{self, Key};
use super::measures::{self, Measures};
use super::state::Finished;
use super::work::{self, Task, mean, median};
use super::{dataset, dataset::Item};
use crate::args;
use crate::failure::Failure;
use crate::load;
use crate::output;
use serde::{Deserialize, Serialize};
use serde_json::json;
use silhouette::eval::{AlphaTruth, Evaluator, Protocol, TruthValue, VOID};
use silhouette::{Foreground, Model, Palette, Segmentation, Task as ModelTask};
use std::path::Path;

/// The class that is scored.
const PERSON: &str = "person";

/// An image's result.
#[derive(Debug, Serialize, Deserialize)]
struct Scored {
    name: String,
    /// Time from the decoded image to the network's result, and from there to the alpha, plain and refined.
    ms: f64,
    alpha_ms: [f64; 2],
    macs: u64,
    plain: Measures,
    refined: Measures,
}

impl Finished for Scored {
    fn name(&self) -> &str {
        &self.name
    }
}

/// The meaning of the ground truth.
struct Truth {
    key: Key,
    values: [TruthValue; 256],
    /// Whether void pixels count for the border as the nearest label.
    fill_void: bool,
}

/// Scores the alpha of people.
///
/// # Errors
/// The error that stopped it, or that nothing could be scored.
pub(super) fn score(args: &args::Eval, protocol: &Protocol) -> Result<(), Failure> {
    let workers = work::workers(&args.engine);
    let list = args.voc.as_deref().map(|folder| dataset::list(folder, &args.list));
    work::refuse_inputs(args, list.iter().chain(&args.labels).chain(&args.engine.model))?;
    let model = load::named_or_people(&args.engine)?;
    let people = people(&model)?;
    let evaluator = Evaluator::new(&model, protocol, workers).map_err(|error| load::about(&args.engine, &error))?;
    let items = dataset::named(args)?;
    let (truth, labels) = truth(args, &model)?;
    if args.foreground.is_none() {
        labels::refuse_black_and_white(&items)?;
    }
    let mut protocol = work::protocol(args, &model, &evaluator, workers);
    protocol["people"] = true.into();
    protocol["foreground"] = json!(args.foreground);
    protocol["void"] = if truth.fill_void { "nearest label" } else { "not scored" }.into();
    let task = Task { args, model: &model, items: &items, labels: &labels, protocol: &protocol, workers };
    work::run(
        &task,
        |item, work| one(&evaluator, &people, &truth, item, work),
        |results, skipped| {
            let plain: Vec<_> = results.iter().map(|scored: &Scored| scored.plain.into()).collect();
            let refined: Vec<_> = results.iter().map(|scored| scored.refined.into()).collect();
            let people = measures::table(&plain, &refined);
            let ms = median(results.iter().map(|scored| scored.ms).collect());
            let alpha_ms = [0, 1].map(|which| median(results.iter().map(|scored| scored.alpha_ms[which]).collect()));
            output::say(&format!("{} images, {skipped} skipped", results.len()));
            Ok(json!({
                "people": people,
                "images": results.len(),
                "skipped": skipped,
                "macs": mean(results.iter().map(|scored| scored.macs)),
                "median_ms": ms,
                "alpha_ms": { "plain": alpha_ms[0], "refined": alpha_ms[1] },
                "scores": results,
                "protocol": protocol,
            }))
        },
    )
}

/// The foreground of a model of people, or its class of people.
///
/// # Errors
/// If the model has no class of people.
pub(super) fn people(model: &Model) -> Result<Foreground, Failure> {
    match model.task() {
        ModelTask::Alpha => Ok(Foreground::All),
        _ => Ok(Foreground::Classes(vec![model.class_index(PERSON).map_err(Failure::general)?])),
    }
}

/// The meaning of the masks, and the labels of their indices.
fn truth(args: &args::Eval, model: &Model) -> Result<(Truth, Vec<String>), Failure> {
    let fill_void = args.voc.is_some();
    if let Some(foreground) = args.foreground {
        if args.labels.is_some() {
            return Err(Failure::general("with --people, pass --labels or --foreground, not both"));
        }
        let share = |value: u8| (u32::from(value) * 255 + u32::from(foreground) / 2) / u32::from(foreground);
        let values = meaning(|value| if value <= foreground { Some(share(value) as u8) } else { None });
        return Ok((Truth { key: Key::alpha(foreground), values, fill_void }, Vec::new()));
    }
    let (labels, palette) = match &args.labels {
        Some(path) => (labels::listed(path)?, Palette::voc()),
        None if args.voc.is_some() => (labels::listed(Path::new("voc"))?, Palette::voc()),
        None => (model.labels().to_vec(), model.palette().clone()),
    };
    let Some(person) = labels.iter().position(|label| label.eq_ignore_ascii_case(PERSON)) else {
        return Err(Failure::general(format!(
            "the masks have no class '{PERSON}' but {}; define what their indices mean with --labels or --foreground",
            labels.join(", ")
        )));
    };
    let scored_as: Vec<u8> = (0..=u8::MAX).take(labels.len()).collect();
    let key = Key::new(labels.len(), None, &scored_as, &palette);
    let values = meaning(|value| {
        (usize::from(value) < labels.len()).then_some(if usize::from(value) == person { 255 } else { 0 })
    });
    Ok((Truth { key, values, fill_void }, labels))
}

/// The meaning of each value; those without an alpha are not scored.
fn meaning(alpha: impl Fn(u8) -> Option<u8>) -> [TruthValue; 256] {
    std::array::from_fn(|value| match (alpha(value as u8), value as u8) {
        (Some(alpha), _) => TruthValue::Alpha(alpha),
        (None, VOID) => TruthValue::Void,
        (None, _) => TruthValue::Unlabelled,
    })
}

/// Scores one image.
fn one(
    evaluator: &Evaluator,
    people: &Foreground,
    truth: &Truth,
    item: &Item,
    work: &mut Segmentation,
) -> Result<Scored, Failure> {
    let (photo, mask) = labels::with_photo(item, &truth.key)?;
    let of_image = |error: silhouette::Error| Failure::new(&item.image, error);
    let frame = photo.frame().map_err(|error| Failure::new(&item.image, error))?;
    evaluator.segment(&frame, work).map_err(of_image)?;
    let ms = work.timings().total().as_secs_f64() * 1e3;
    let alphas = evaluator.alphas(&frame, people, work).map_err(of_image)?;
    let mut true_alpha = AlphaTruth::new(frame.upright_size(), &mask.classes, &truth.values, truth.fill_void)
        .map_err(|error| Failure::new(&item.mask, error))?;
    let mut measures = |alpha: &[u8]| true_alpha.score(alpha).map(Measures::from).map_err(of_image);
    Ok(Scored {
        name: item.name.clone(),
        ms,
        alpha_ms: alphas.spent.map(|spent| spent.as_secs_f64() * 1e3),
        macs: evaluator.macs(&frame).map_err(of_image)?,
        plain: measures(&alphas.plain.values)?,
        refined: measures(&alphas.refined.values)?,
    })
}
