//! What every engine is: the traits [`Engine`] and [`Session`], and what they say about themselves.
//!
//! An engine is a network that is ready to run at one input size, shared by threads; a session is what one inference at a time
//! needs for itself (an arena, threads), and keeps its engine, so that it cannot be run with another's. The compiled CPU plan and
//! the candle graph are engines; another way to run a network is one more implementation of the two traits.
//!
//! # An engine on a GPU
//!
//! It fits here as it is: `new_session` makes its buffers and command queue, `run` pulls the rows into a buffer that the GPU sees,
//! and [`Session::output`] gives what was read back. That moves every frame and every map of logits over a bus. An engine that takes frames
//! and gives masks (which would crop, convert, upsample and take the argmax on the GPU, too) needs a second way in beside `run`: a
//! trait `FrameSession: Session` with a method for the frame's planes, its geometry, and the outputs wanted, and a method
//! `Session::frames(&mut self) -> Option<&mut dyn FrameSession>` whose default is `None`. A caller asks once, when it makes the
//! session, and takes the way by rows where there is no other; nothing that stands here changes.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

pub use silhouette_kernels::element::DataType;
use silhouette_kernels::memory::OutOfMemory;
use silhouette_kernels::rows::RowSource;

/// What an engine takes: rows of three channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// What the rows are made of.
    pub element: DataType,
}

/// A map that an engine gives, channels-last: `[height][width][channels]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What it is: `logits`, where there is only one.
    pub name: String,
    /// Rows; 1 for a classifier.
    pub height: usize,
    /// Columns; 1 for a classifier.
    pub width: usize,
    /// Channels: classes.
    pub channels: usize,
    /// What it was computed in. [`Session::output`] gives f32 whatever it is.
    pub element: DataType,
}

impl Output {
    /// How many values it has.
    pub fn values(&self) -> usize {
        self.height * self.width * self.channels
    }
}

/// What an engine is, in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Where it runs: `CPU`, `candle graph on …`.
    pub backend: String,
    /// The instruction set of its kernels, where it chooses one.
    pub kernels: Option<&'static str>,
    /// What it computes in.
    pub precision: DataType,
    /// Threads of one inference, where they are known.
    pub threads: Option<usize>,
    /// Bytes of one session, where they are known.
    pub arena_bytes: Option<usize>,
    /// Bytes of the weights, where they are known.
    pub weight_bytes: Option<usize>,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.backend)?;
        if let Some(kernels) = self.kernels {
            write!(f, ", {kernels} kernels")?;
        }
        write!(f, ", {}", self.precision)?;
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
    pub madds: u64,
    /// Time of the last run.
    pub time: Duration,
}

/// A network ready to run at one input size. Shared by threads.
pub trait Engine: Debug + Send + Sync {
    /// What it takes.
    fn input(&self) -> Input;

    /// What it gives: at least one map.
    fn outputs(&self) -> Vec<Output>;

    /// What it is.
    fn describe(&self) -> Description;

    /// What one inference at a time needs for itself.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] where the system has no more threads; [`EngineError::OutOfMemory`].
    fn new_session(self: Arc<Self>) -> Result<Box<dyn Session>, EngineError>;
}

/// An engine with all that one inference at a time needs.
pub trait Session: Debug + Send {
    /// The engine it is of.
    fn engine(&self) -> &dyn Engine;

    /// Runs the network on `rows`.
    ///
    /// # Errors
    /// [`EngineError::Mismatch`] where `rows` have another size than [`Engine::input`]; [`EngineError::Failed`].
    fn run(&mut self, rows: &dyn RowSource) -> Result<(), EngineError>;

    /// The map of [`Engine::outputs`] at `index` as the last run left it, zeros before the first.
    ///
    /// # Panics
    /// Where there are not so many outputs.
    fn output(&self, index: usize) -> &[f32];

    /// The network's steps with the times of the last run; none where the engine does not time them.
    fn steps(&self) -> Vec<Step>;
}

/// Why an engine does not run.
#[derive(Debug)]
#[non_exhaustive]
pub enum EngineError {
    /// Rows that do not fit the network.
    Mismatch {
        /// Which buffer.
        what: &'static str,
        /// What fits.
        wanted: String,
        /// What was given.
        found: String,
    },
    /// What this machine or system cannot do.
    Unsupported {
        /// What was asked for.
        what: String,
        /// Why it cannot be had, and what can.
        why: String,
    },
    /// The system has no memory for it.
    OutOfMemory(OutOfMemory),
    /// The engine itself failed.
    Failed {
        /// Which.
        engine: &'static str,
        /// How.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch { what, wanted, found } => write!(f, "{what}: the network wants {wanted}, got {found}"),
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
