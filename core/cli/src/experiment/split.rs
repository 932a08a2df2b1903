//! `silhouette experiment split`: memory and time of the t-way split, and of the fused engine.

use super::figure;
use crate::args::Split;
use crate::failure::Failure;
use crate::{load, output};
use serde_json::json;
use silhouette::Model;
use silhouette_experiments::split;
use silhouette_network::network::{Network, Size};

/// Runs the experiment.
///
/// # Errors
/// If a model cannot be read or run, or a figure cannot be written.
pub(super) fn split(args: &Split) -> Result<(), Failure> {
    figure::check(&args.report, &args.model)?;
    let model = match &args.model {
        Some(path) => load::model(path)?,
        None => Model::voc21().map_err(Failure::general)?,
    };
    let about = |error: silhouette_network::ModelError| match &args.model {
        Some(path) => Failure::new(path, error),
        None => Failure::general(error),
    };
    let network = Network::new(model.spec(), Size::square(args.size)).map_err(about)?;
    let unfused = split::layer_by_layer(&network);
    let runs = split::measure(model.file(), args.size, &args.ways, args.runs).map_err(about)?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    if args.report.json {
        let report = json!({ "model": model.name(), "size": args.size, "layer_by_layer": unfused, "runs": runs });
        output::say(&report.to_string());
    } else {
        output::say(&output::one_line(&format!(
            "{} at {}x{}, one thread: memory of all activations of an inference, and its time, when the expanded tensor of each",
            model.name(),
            args.size,
            args.size
        )));
        output::say(
            "block is computed in t slices (paper, section 5.1); formula: the largest s^2 k + s'^2 k' + s^2 n / t",
        );
        output::say("");
        output::say(&format!(
            "{:>12} {:>13} {:>12} {:>10} {:>10} {:>18}",
            "t", "measured MiB", "formula MiB", "ms, best", "ms, median", "largest difference"
        ));
        output::say(&format!("{:>12} {:>13} {:>12.2}", "by layer", "", mib(unfused)));
        for run in &runs {
            output::say(&format!(
                "{:>12} {:>13.2} {:>12} {:>10.1} {:>10.1} {:>18.1e}",
                run.ways.map_or_else(|| "fused engine".to_owned(), |t| t.to_string()),
                mib(run.bytes as u64),
                run.formula.map_or_else(String::new, |bytes| format!("{:.2}", mib(bytes))),
                run.spread.0,
                run.ms,
                run.difference
            ));
        }
    }
    figure::draw(&args.report, || split::figure(&runs, model.name(), args.size))
}
