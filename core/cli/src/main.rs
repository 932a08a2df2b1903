//! The `silhouette` command: a thin layer over the libraries. It reads files, calls, writes files and reports the
//! results; anything useful to a Rust user is in `silhouette` and the crates below it.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod classify;
mod effect;
mod eval;
mod experiment;
mod failure;
mod import;
mod info;
mod inputs;
mod labels;
mod load;
mod logger;
mod memory;
mod names;
mod output;
mod photos;
mod quantize;
mod render;
mod run;
mod segment;
mod shapes;
mod video;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come here too; a closed pipe is no reason to panic.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    logger::start(cli.verbose);
    let done = match &cli.command {
        Command::Import(args) => import::import(args),
        Command::Quantize(args) => quantize::quantize(args),
        Command::Info(args) => info::info(args),
        Command::Segment(args) => segment::segment(args),
        Command::Video(args) => video::video(args),
        Command::Classify(args) => classify::classify(args),
        Command::Eval(args) => eval::eval(args),
        Command::Bench(args) => bench::bench(args),
        Command::Run(args) => run::run(args),
        Command::Experiment(args) => experiment::experiment(args),
    };
    if let Some(peak) = memory::peak() {
        log::debug!("peak memory: {} KiB", peak >> 10);
    }
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failures) => {
            for failure in failures {
                failure.print();
            }
            ExitCode::FAILURE
        }
    }
}
