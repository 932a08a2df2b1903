//! `silhouette experiment drop-blocks`: the quality of a trained model without some of its residual blocks.

use super::figure;
use crate::args::{DropBlocks, Engine};
use crate::eval::{self, Run};
use crate::failure::Failure;
use crate::{load, output};
use serde_json::json;
use silhouette::eval::{Confusion, Evaluator, Protocol};
use silhouette::files::Photo;
use silhouette::{InputShape, Model, Segmentation};
use silhouette_experiments::blocks::{self, Dropped, Experiment, Score};
use std::path::PathBuf;

/// A failure that a library error can be converted to.
struct Stopped(Failure);

impl From<silhouette::Error> for Stopped {
    fn from(error: silhouette::Error) -> Self {
        Self(Failure::general(error))
    }
}

/// Runs the experiment, or saves a model without some blocks.
///
/// # Errors
/// If a model, photos or masks cannot be read, blocks cannot be left out, or a file cannot be written.
pub(super) fn drop_blocks(args: &DropBlocks) -> Result<(), Failure> {
    let list = args.voc.as_deref().map(|folder| eval::list(folder, &args.list));
    let inputs = || args.photos.iter().chain(&args.engine.model).chain(&list);
    figure::check(&args.report, inputs())?;
    output::refuse_inputs(&args.save, inputs())?;
    let model = load::named_or_builtin(&args.engine)?;
    if let Some(path) = &args.save {
        let less = model.without_blocks(&args.drop).map_err(Failure::general)?;
        less.file().save(path, less.file().dtype()).map_err(|error| Failure::new(path, error))?;
        output::say(&output::one_line(&format!("without blocks {:?} -> {}", args.drop, path.display())));
        return Ok(());
    }
    if model.spec().droppable_blocks().is_empty() {
        let text = format!("'{}' has no residual block that can be left out", model.name());
        return Err(args
            .engine
            .model
            .as_ref()
            .map_or_else(|| Failure::general(&text), |path| Failure::new(path, &text)));
    }
    let size = args.engine.size.unwrap_or(model.size());
    let workers = eval::workers(&args.engine);
    let input_shape = args.engine.input_shape.unwrap_or(InputShape::Square);
    let Engine { backend, precision, .. } = args.engine;
    let protocol = Protocol { size: args.engine.size, input_shape, backend, precision, ..Protocol::default() };
    let (experiment, against) = match &args.voc {
        Some(folder) => {
            let items = eval::voc(folder, &args.list)?;
            output::refuse_inputs(&args.report.output, items.iter().flat_map(|item| [&item.image, &item.mask]))?;
            let judge = |less: &Model, _: &[usize]| -> Result<Score, Stopped> {
                let evaluator = Evaluator::new(less, &protocol, workers)?;
                let run = Run::new(less.clone(), evaluator, items.clone());
                let (confusion, ms) = eval::confusion(&run, workers).map_err(Stopped)?;
                Ok(Score::of(&confusion, ms))
            };
            let done = blocks::experiment(&model, size, args.most, judge).map_err(|stopped| stopped.0)?;
            (done, format!("the ground truth of {} images", items.len()))
        }
        None => (agreement(args, &model, size, &protocol)?, "the whole network's masks".to_owned()),
    };
    if args.report.json {
        output::say(
            &json!({ "model": model.name(), "size": size, "against": against, "experiment": experiment }).to_string(),
        );
    } else {
        table(&experiment, &model, size, &against);
    }
    figure::draw(&args.report, || blocks::figure(&experiment, model.name(), &against))
}

/// Scores against the whole model's masks of some photos.
fn agreement(args: &DropBlocks, model: &Model, size: usize, protocol: &Protocol) -> Result<Experiment, Failure> {
    let opened = |path: &PathBuf| Photo::open(path).map_err(|error| Failure::new(path, error));
    let photos = args.photos.iter().map(opened).collect::<Result<Vec<_>, _>>()?;
    let mut whole: Vec<Vec<u8>> = Vec::new();
    let judge = |less: &Model, _: &[usize]| -> Result<Score, Stopped> {
        let evaluator = Evaluator::new(less, protocol, 1)?;
        let mut confusion = Confusion::new(less.labels().len().clamp(1, 254));
        let mut times = Vec::new();
        let mut work = Segmentation::default();
        for (i, photo) in photos.iter().enumerate() {
            let frame = photo.frame().map_err(silhouette::Error::from)?;
            // A warm-up first: the first image of a new engine does not count.
            evaluator.mask(&frame, &mut work)?;
            let (mask, spent) = evaluator.mask(&frame, &mut work)?;
            times.push(spent.as_secs_f64() * 1e3);
            // The whole model is scored first.
            if whole.len() == i {
                whole.push(mask.classes.clone());
            }
            let added = confusion.add(&whole[i], &mask.classes);
            added.map_err(|error| Stopped(Failure::new(&args.photos[i], error)))?;
        }
        Ok(Score::of(&confusion, eval::median(times).unwrap_or(0.0)))
    };
    blocks::experiment(model, size, args.most, judge).map_err(|stopped| stopped.0)
}

fn table(experiment: &Experiment, model: &Model, size: usize, against: &str) {
    output::say(&output::one_line(&format!("{} at {size}x{size}, against {against}", model.name())));
    output::say("");
    output::say(&format!(
        "{:32} {:>8} {:>9} {:>10} {:>9} {:>8}",
        "blocks left out", "mIOU", "pixels", "macs", "params", "ms"
    ));
    let line = |dropped: &Dropped| {
        let names: Vec<_> = dropped.blocks.iter().map(usize::to_string).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(" ") };
        let Score { miou, pixels, ms } = dropped.score;
        output::say(&format!(
            "{names:32} {miou:>8.2} {pixels:>7.2} % {:>8.1} M {:>7.3} M {ms:>8.1}",
            dropped.macs as f64 / 1e6,
            dropped.parameters as f64 / 1e6
        ));
    };
    line(&experiment.whole);
    experiment.single.iter().for_each(line);
    experiment.cumulative.iter().skip(1).for_each(line);
}
