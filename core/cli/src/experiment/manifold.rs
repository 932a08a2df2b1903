//! `silhouette experiment manifold`: how much of a spiral ReLU preserves in n dimensions.

use super::figure;
use crate::args::Manifold;
use crate::failure::Failure;
use crate::output;
use serde_json::json;
use silhouette_experiments::manifold;

/// Runs the experiment.
///
/// # Errors
/// If the figure cannot be written.
pub(super) fn manifold(args: &Manifold) -> Result<(), Failure> {
    figure::check(&args.report, [])?;
    let embeddings: Vec<_> = args.dimensions.iter().map(|&n| manifold::embed(n, args.seed, args.matrices)).collect();
    if args.report.json {
        let report = json!({ "seed": args.seed, "matrices": args.matrices, "embeddings": embeddings });
        output::say(&report.to_string());
    } else {
        output::say(&format!(
            "A spiral of {} points through a random n x 2 matrix, ReLU and the pseudo-inverse (paper, figure 1)",
            manifold::POINTS
        ));
        output::say(&format!(
            "error: distance of the reconstruction from the spiral, as a share of its size; collapsed: points without an inverse; seed {}, means over {} matrices",
            args.seed, args.matrices
        ));
        output::say("");
        output::say(&format!(
            "{:>4} {:>7} {:>11} {:>11} {:>16} {:>14}",
            "n", "error", "collapsed", "mean error", "mean collapsed", "(n + 1) / 2^n"
        ));
        for e in &embeddings {
            output::say(&format!(
                "{:>4} {:>7.3} {:>9.1} % {:>11.3} {:>14.2} % {:>12.2} %",
                e.dimensions,
                e.error,
                e.collapsed * 100.0,
                e.mean_error,
                e.mean_collapsed * 100.0,
                e.expected_collapsed * 100.0
            ));
        }
    }
    figure::draw(&args.report, || manifold::figure(&embeddings))
}
