//! `silhouette experiment`: the paper's experiments, as tables and figures.

mod drop_blocks;
mod figure;
mod manifold;
mod split;

use crate::args::Experiment;
use crate::failure::Failure;

/// Runs the command.
///
/// # Errors
/// The error that stopped it.
pub(crate) fn experiment(args: &Experiment) -> Result<(), Vec<Failure>> {
    let done = match args {
        Experiment::Manifold(args) => manifold::manifold(args),
        Experiment::DropBlocks(args) => drop_blocks::drop_blocks(args),
        Experiment::Split(args) => split::split(args),
    };
    done.map_err(|failure| vec![failure])
}
