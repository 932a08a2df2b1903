//! The compiled plan as an engine.

use std::sync::Arc;
use std::time::Duration;

use silhouette_engine::engine::{Description, Engine, EngineError, Input, Output, Session, Step};
use silhouette_engine::program::{Shape, StepInfo};
use silhouette_kernels::memory::filled;
use silhouette_kernels::rows::RowSource;
use silhouette_kernels::size::MAX_OUTPUTS;
use silhouette_network::ModelError;
use silhouette_network::network::{self, Network, Size};
use silhouette_weights::ModelFile;

use crate::plan::{Plan, PlanOptions, PlanState};

/// A plan, its arena and threads, and its output maps.
#[derive(Debug)]
struct PlanSession {
    plan: Arc<Plan>,
    state: PlanState,
    outputs: Vec<Vec<f32>>,
}

impl Plan {
    /// The plan of `model` for an input of `size`.
    ///
    /// # Errors
    /// As [`Network::new`] and [`Plan::compile`].
    pub fn of(model: &ModelFile, size: Size, options: &PlanOptions) -> Result<Self, ModelError> {
        Self::compile(&Network::new(model.spec(), size)?, model.weights(), options)
    }
}

impl Engine for Plan {
    fn input(&self) -> Input {
        let size = Plan::input(self);
        Input { height: size.height, width: size.width, element: self.precision() }
    }

    fn outputs(&self) -> Vec<Output> {
        let element = self.precision();
        let output = |(output, shape): (&network::Output, Shape)| {
            let Shape { size: Size { height, width }, channels } = shape;
            Output { name: output.name.clone(), height, width, channels, element }
        };
        Plan::outputs(self).map(output).collect()
    }

    fn describe(&self) -> Description {
        Description {
            backend: "CPU".into(),
            kernels: Some(self.isa().name()),
            precision: self.precision(),
            threads: Some(self.threads()),
            arena_bytes: Some(self.arena_bytes()),
            weight_bytes: Some(self.weight_bytes()),
        }
    }

    fn new_session(self: Arc<Self>) -> Result<Box<dyn Session>, EngineError> {
        let state = self.new_state().map_err(failed)?;
        let outputs = Plan::outputs(&self).map(|(_, shape)| filled(shape.values(), 0.0, "an output of the network"));
        let outputs = outputs.collect::<Result<_, _>>().map_err(EngineError::OutOfMemory)?;
        Ok(Box::new(PlanSession { plan: self, state, outputs }))
    }
}

impl Session for PlanSession {
    fn engine(&self) -> &dyn Engine {
        &*self.plan
    }

    fn run(&mut self, rows: &dyn RowSource) -> Result<(), EngineError> {
        // Slices of all outputs, in an array, so that nothing is allocated here.
        let mut slices: [&mut [f32]; MAX_OUTPUTS] = std::array::from_fn(|_| &mut [][..]);
        let count = self.outputs.len();
        for (slice, output) in slices.iter_mut().zip(&mut self.outputs) {
            *slice = output;
        }
        self.state.run_all(rows, &mut slices[..count]).map_err(failed)
    }

    fn output(&self, index: usize) -> &[f32] {
        &self.outputs[index]
    }

    fn steps(&self) -> Vec<Step> {
        let timed = |(s, ns): (StepInfo<'_>, u64)| Step {
            name: s.name.to_owned(),
            explain: s.explain.to_owned(),
            macs: s.macs,
            time: Duration::from_nanos(ns),
        };
        self.plan.steps().zip(self.state.step_nanoseconds()).map(timed).collect()
    }
}

fn failed(error: ModelError) -> EngineError {
    match error {
        ModelError::Mismatch { what, expected, found } => EngineError::Mismatch { what, expected, found },
        ModelError::Unsupported { what, why } => EngineError::Unsupported { what, why },
        ModelError::OutOfMemory(error) => EngineError::OutOfMemory(error),
        other => EngineError::Failed { engine: "the compiled plan", source: Box::new(other) },
    }
}
