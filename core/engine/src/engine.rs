//! The interface of every engine: the traits [`Engine`] and [`Session`], and their descriptions.
//!
//! An engine is a network that is ready to run at one input size, shared by threads; a session is the state of one
//! inference at a time (an arena, threads), and holds its engine, so it cannot run with another's. The compiled CPU
//! plan and the candle graph are engines; another engine is one more implementation of the two traits.
//!
//! # An engine on a GPU
//!
//! The traits fit without changes: `new_session` creates its buffers and command queue, `run` pulls the rows into a
//! buffer that the GPU can access, and [`Session::output`] returns what was read back. That moves every frame and every
//! map of logits over a bus. An engine that maps frames to masks (and also crops, converts, upsamples and takes the
//! argmax on the GPU) needs a second entry point beside `run`: a trait `FrameSession: Session` with a method for the
//! frame's planes, its geometry, and the requested outputs, and a method `Session::frames(&mut self) -> Option<&mut dyn
//! FrameSession>` whose default is `None`. A caller checks it once, when it creates the session, and falls back to
//! rows; nothing here changes.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

pub use silhouette_kernels::element::DataType;
use silhouette_kernels::memory::OutOfMemory;
use silhouette_kernels::rows::RowSource;

/// The input of an engine: rows of three channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The element type of the rows.
    pub element: DataType,
}

/// An output map of an engine, channels-last: `[height][width][channels]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name: `logits` if it is the only one.
    pub name: String,
    /// Rows; 1 for a classifier.
    pub height: usize,
    /// Columns; 1 for a classifier.
    pub width: usize,
    /// Channels: classes.
    pub channels: usize,
    /// The type it was computed in. [`Session::output`] always returns f32.
    pub element: DataType,
}

impl Output {
    /// Number of values.
    pub fn values(&self) -> usize {
        self.height * self.width * self.channels
    }
}

/// A short description of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Where it runs: `CPU`, `candle graph on …`.
    pub backend: String,
    /// The instruction set of its kernels, if it chooses one.
    pub kernels: Option<&'static str>,
    /// The type it computes in.
    pub precision: DataType,
    /// Threads of one inference, if known.
    pub threads: Option<usize>,
    /// Bytes of one session, if known.
    pub arena_bytes: Option<usize>,
    /// Bytes of the weights, if known.
    pub weight_bytes: Option<usize>,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.backend)?;
        if let Some(kernels) = self.kernels {
            write!(f, ", {kernels} kernels")?;
        }
        match self.precision {
            DataType::I8 => f.write_str(", int8")?,
            other => write!(f, ", {other}")?,
        }
        if let Some(threads) = self.threads {
            write!(f, ", {threads} thread{}", if threads == 1 { "" } else { "s" })?;
        }
        if let Some(bytes) = self.arena_bytes {
            write!(f, ", arena {} KiB", bytes >> 10)?;
        }
        if let Some(bytes) = self.weight_bytes {
            write!(f, ", weights {} KiB", bytes >> 10)?;
        }
        Ok(())
    }
}

/// A step of the network: one or several layers that run together.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its layers.
    pub name: String,
    /// How it is computed.
    pub explain: String,
    /// Multiply-adds of one inference.
    pub macs: u64,
    /// Time of the last run.
    pub time: Duration,
}

/// A network ready to run at one input size. Shared by threads.
pub trait Engine: Debug + Send + Sync {
    /// Its input.
    fn input(&self) -> Input;

    /// Its outputs: at least one map.
    fn outputs(&self) -> Vec<Output>;

    /// Its description.
    fn describe(&self) -> Description;

    /// Creates the state of one inference at a time.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] if the system has no more threads; [`EngineError::OutOfMemory`].
    fn new_session(self: Arc<Self>) -> Result<Box<dyn Session>, EngineError>;
}

/// An engine with the state of one inference at a time.
pub trait Session: Debug + Send {
    /// Its engine.
    fn engine(&self) -> &dyn Engine;

    /// Runs the network on `rows`.
    ///
    /// # Errors
    /// [`EngineError::Mismatch`] if the size of `rows` is not [`Engine::input`]; [`EngineError::Failed`].
    fn run(&mut self, rows: &dyn RowSource) -> Result<(), EngineError>;

    /// Output `index` of [`Engine::outputs`] after the last run; zeros before the first.
    ///
    /// # Panics
    /// If there are fewer outputs.
    fn output(&self, index: usize) -> &[f32];

    /// The network's steps with their times in the last run; empty if the engine does not time them.
    fn steps(&self) -> Vec<Step>;
}

/// Why an engine does not run.
#[derive(Debug)]
#[non_exhaustive]
pub enum EngineError {
    /// Rows of the wrong size for the network.
    Mismatch {
        /// Which buffer.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was passed.
        found: String,
    },
    /// What this machine or system cannot do.
    Unsupported {
        /// What was requested.
        what: String,
        /// Why it is unavailable, and what is available.
        why: String,
    },
    /// The system has no memory for it.
    OutOfMemory(OutOfMemory),
    /// The engine itself failed.
    Failed {
        /// The engine.
        engine: &'static str,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch { what, expected, found } => {
                write!(f, "{what}: the network expects {expected}, got {found}")
            }
            Self::Unsupported { what, why } => write!(f, "{what} is not supported: {why}"),
            Self::OutOfMemory(error) => write!(f, "{error}"),
            Self::Failed { engine, source } => write!(f, "{engine}: {source}"),
        }
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}
