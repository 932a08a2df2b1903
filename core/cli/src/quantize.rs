//! `silhouette quantize`: a float model to 8-bit integers, with photos to calibrate on.

mod pictures;
mod score;

use crate::args::Quantize;
use crate::failure::Failure;
use crate::{eval, load, output};
use indicatif::{ProgressBar, ProgressStyle};
use pictures::{Shapes, each, listed};
use serde_json::json;
use silhouette_quantise::{MAX_VALUES, Options, Progress, QuantiseError, Report, quantise as quantised};
use silhouette_weights::Dtype;
use std::time::Instant;

/// Runs the command.
///
/// # Errors
/// A problem with the model, an option, or all photos; or the result cannot be written. A photo that cannot be read
/// stops nothing: it is named, and counted as skipped.
pub(crate) fn quantize(args: &Quantize) -> Result<(), Vec<Failure>> {
    convert(args).map_err(|failure| vec![failure])
}

fn convert(args: &Quantize) -> Result<(), Failure> {
    let start = Instant::now();
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let photos = listed(&args.calibrate, args.limit, args.seed)?;
    let items = args.voc.as_deref().map(|folder| eval::voc(folder, &args.list)).transpose()?.unwrap_or_default();
    let scored = items.iter().flat_map(|item| [&item.image, &item.mask]);
    output::refuse_inputs([&args.output], photos.iter().chain([&args.model]).chain(scored))?;
    let model = load::model(&args.model)?;
    let shapes = Shapes::new(&model, args.size, args.input_shape).map_err(|error| Failure::new(&args.model, error))?;
    // Before they are decoded.
    let most = MAX_VALUES / shapes.values().max(1);
    if photos.len() > most {
        let text = format!("{} photos at this input size need too much memory; use --limit {most}", photos.len());
        return Err(Failure::general(if most == 0 {
            "the input size is too large to calibrate at".into()
        } else {
            text
        }));
    }

    let bar = bar();
    let show = |Progress { stage, done, all }: Progress| {
        bar.set_message(stage);
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let (read, skipped) =
        each("photos", &photos, threads, &bar, |photo| shapes.open(photo).map(|(_, picture)| picture));
    if read.is_empty() {
        bar.finish_and_clear();
        return Err(Failure::new(&args.calibrate, format!("none of the {} photos could be read", photos.len())));
    }
    let options = Options { threads, seed: args.seed, keep: args.keep.clone(), ..Options::default() };
    let done = quantised(model.file(), &read, &options, &show);
    let done = done.map_err(|error| match error {
        QuantiseError::Unsupported { .. } | QuantiseError::Pictures(_) => Failure::general(error),
        error => Failure::new(&args.model, error),
    });
    let done = done.inspect_err(|_| bar.finish_and_clear())?;
    drop(read);
    // Atomic: saving goes through a temporary file and a rename.
    let saved = done.model.save(&args.output, Dtype::F32).map_err(|error| Failure::new(&args.output, error));
    saved.inspect_err(|_| bar.finish_and_clear())?;
    let seconds = start.elapsed().as_secs_f64();
    let scores = if items.is_empty() {
        None
    } else {
        let scored = score::both(&shapes, model.file(), &done.model, &items, threads, &bar);
        Some(scored.inspect_err(|_| bar.finish_and_clear())?)
    };
    bar.finish_and_clear();
    if args.json {
        let mut printed = json!({
            "source": args.model.display().to_string(),
            "file": args.output.display().to_string(),
            "skipped": skipped,
            "seconds": seconds,
            "report": done.report,
        });
        if let Some(scores) = scores {
            printed["voc"] = scores.json();
        }
        output::say(&printed.to_string());
    } else {
        tell(&done.report);
        if let Some(scores) = scores {
            output::say(&scores.text());
        }
        output::say(&output::one_line(&format!(
            "{} -> {} in {seconds:.1} s, with {} photos, {skipped} skipped",
            args.model.display(),
            args.output.display(),
            done.report.pictures + done.report.held_out,
        )));
    }
    Ok(())
}

/// On stderr, plain (no colours); indicatif shows nothing if stderr is not a terminal.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:10} {bar:30} {pos}/{len} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

/// Prints the report.
fn tell(report: &Report) {
    let width = report.layers.iter().map(|layer| layer.name.len()).max().unwrap_or(0).max(5);
    output::say(&format!("{:width$}    SNR dB  clipped %  range", "layer"));
    for layer in &report.layers {
        let choice = serde_json::to_value(layer.range).unwrap_or_default();
        let weights = match (&layer.weights, layer.kept) {
            (_, true) => "  weights kept in floats".to_owned(),
            (Some(how), _) => {
                format!("  weights: {} of {} cut, {} compensated", how.cut, how.outputs, how.compensated)
            }
            (None, _) => String::new(),
        };
        output::say(&format!(
            "{:width$} {} {:8.2}  {:9.4}  {:.4} to {:.4} ({}){weights}",
            layer.name,
            if layer.worst { '*' } else { ' ' },
            layer.snr_db,
            100.0 * layer.clipped,
            layer.low,
            layer.high,
            choice.as_str().unwrap_or_default(),
        ));
    }
    output::say(&format!(
        "output: SNR {:.2} dB, the same class on {:.2} % of the pixels of {} held-out photos (arithmetic: {})",
        report.output.snr_db,
        100.0 * report.output.agreement,
        report.held_out,
        report.arithmetic,
    ));
}
