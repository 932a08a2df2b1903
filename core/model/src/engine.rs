//! One door to the ways through a network, for callers that do not care which one is taken.

use silhouette_kernels::rows::RowSource;

use crate::error::ModelError;
use crate::network::{Network, Size};
use crate::plan::{Plan, PlanOptions, PlanState};
use crate::weights::ModelFile;

/// A network that is ready to run at one input size. Shared by threads.
#[derive(Debug)]
pub enum Engine {
    /// The compiled CPU plan.
    Plan(Plan),
}

/// What one inference at a time needs for itself.
#[derive(Debug)]
pub enum State {
    /// For [`Engine::Plan`].
    Plan(PlanState),
}

impl Engine {
    /// The CPU plan of `model` for a square input of `size`, shared by `threads` threads.
    ///
    /// # Errors
    /// As [`Network::new`] and [`Plan::compile`].
    pub fn new(model: &ModelFile, size: usize, threads: usize) -> Result<Self, ModelError> {
        Self::plan(model, Size::square(size), &PlanOptions { threads, ..PlanOptions::default() })
    }

    /// The CPU plan of `model` for an input of `size`.
    ///
    /// # Errors
    /// As [`Network::new`] and [`Plan::compile`].
    pub fn plan(model: &ModelFile, size: Size, options: &PlanOptions) -> Result<Self, ModelError> {
        let network = Network::new(model.spec(), size)?;
        Ok(Self::Plan(Plan::compile(&network, model.weights(), options)?))
    }

    /// Height and width of the input.
    pub fn input(&self) -> Size {
        match self {
            Self::Plan(plan) => plan.input(),
        }
    }

    /// Height, width and classes of the logits, channels-last; 1, 1 and classes for a classifier.
    pub fn logits(&self) -> (usize, usize, usize) {
        match self {
            Self::Plan(plan) => {
                let (size, classes) = plan.logits();
                (size.height, size.width, classes)
            }
        }
    }

    /// Memory and threads for one inference at a time.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] if the system starts no more threads.
    pub fn new_state(&self) -> Result<State, ModelError> {
        match self {
            Self::Plan(plan) => Ok(State::Plan(plan.new_state()?)),
        }
    }

    /// Runs the network on `rows` and writes the logits, channels-last: `[height][width][classes]`. Nothing is allocated
    /// after the first run with rows of one kind.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] if `rows`, `state` or `logits` do not fit.
    pub fn run(&self, state: &mut State, rows: &dyn RowSource, logits: &mut [f32]) -> Result<(), ModelError> {
        match (self, state) {
            (Self::Plan(plan), State::Plan(state)) => plan.run(state, rows, logits),
        }
    }

    /// Backend, kernels, threads and memory in a few words, for the log.
    pub fn describe(&self) -> String {
        match self {
            Self::Plan(plan) => format!(
                "CPU, {} kernels, {} threads, arena {} KiB, weights {} KiB",
                plan.kernels(),
                plan.threads(),
                plan.arena_bytes() >> 10,
                plan.weight_bytes() >> 10
            ),
        }
    }
}
