//! Writes the libraries' log to stderr: warnings always, the choices made at load with `--verbose`.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::Write as _;

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        // Other crates may log too; their messages below warnings are of no interest here.
        let ours = record.target().starts_with("silhouette");
        if self.enabled(record.metadata()) && (ours || record.level() <= Level::Warn) {
            let level = record.level().as_str().to_lowercase();
            // If stderr is gone, nothing can be reported.
            let _ = writeln!(std::io::stderr(), "{level}: {}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Starts the logger; once per process.
pub(crate) fn start(verbose: bool) {
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(if verbose { LevelFilter::Debug } else { LevelFilter::Warn });
    }
}
