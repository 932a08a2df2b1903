//! One door to the ways through a network, for callers that do not care which one is taken.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
use silhouette_kernels::rows::RowSource;

use crate::error::ModelError;
#[cfg(feature = "graph")]
use crate::graph::Graph;
use crate::network::{Network, Size};
use crate::plan::{Plan, PlanOptions, PlanState};
use crate::weights::ModelFile;

/// Where a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backend {
    /// The best that this machine and build have: the CPU, for now.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// Apple's GPU, through candle; builds with the feature `metal` have it.
    Metal,
}

impl Backend {
    /// The candle device for this backend.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] with the reason where this build or machine does not have it.
    pub fn device(self) -> Result<Device, ModelError> {
        match self {
            Self::Auto | Self::Cpu => Ok(Device::Cpu),
            Self::Metal if cfg!(feature = "metal") => Device::new_metal(0).map_err(|e| no_metal(e.to_string())),
            Self::Metal => Err(no_metal("this build is without the feature `metal`".into())),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Metal => "metal",
        })
    }
}

impl FromStr for Backend {
    type Err = ModelError;

    fn from_str(name: &str) -> Result<Self, ModelError> {
        [Self::Auto, Self::Cpu, Self::Metal].into_iter().find(|b| b.to_string() == name).ok_or_else(|| {
            ModelError::Unsupported { what: format!("the backend {name:?}"), why: "there are auto, cpu, metal".into() }
        })
    }
}

/// A network that is ready to run at one input size. Shared by threads.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one per model")]
pub enum Engine {
    /// The compiled CPU plan.
    Plan(Plan),
    /// The candle graph, on the CPU or on Metal; builds with the feature `graph` have it.
    #[cfg(feature = "graph")]
    Graph(Graph),
}

/// What one inference at a time needs for itself.
#[derive(Debug)]
pub enum State {
    /// For [`Engine::Plan`].
    Plan(PlanState),
    /// For the graph, which allocates as it goes.
    #[cfg(feature = "graph")]
    Graph,
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
    pub time: std::time::Duration,
}

impl Engine {
    /// The CPU plan of `model` for a square input of `size`, shared by `threads` threads.
    ///
    /// # Errors
    /// As [`Network::new`] and [`Plan::compile`].
    pub fn new(model: &ModelFile, size: usize, threads: usize) -> Result<Self, ModelError> {
        Self::plan(model, Size::square(size), &PlanOptions { threads, ..PlanOptions::default() })
    }

    /// What `backend` runs `model` with, for an input of `size`: the plan on the CPU, the candle graph on Metal.
    ///
    /// # Errors
    /// As [`Engine::plan`] and `Engine::graph`.
    pub fn on(backend: Backend, model: &ModelFile, size: Size, options: &PlanOptions) -> Result<Self, ModelError> {
        match backend {
            Backend::Auto | Backend::Cpu => Self::plan(model, size, options),
            #[cfg(feature = "graph")]
            Backend::Metal => Self::graph(model, size, backend),
            #[cfg(not(feature = "graph"))]
            Backend::Metal => Err(no_metal("this build is without the feature `metal`".into())),
        }
    }

    /// The CPU plan of `model` for an input of `size`.
    ///
    /// # Errors
    /// As [`Network::new`] and [`Plan::compile`].
    pub fn plan(model: &ModelFile, size: Size, options: &PlanOptions) -> Result<Self, ModelError> {
        let network = Network::new(model.spec(), size)?;
        Ok(Self::Plan(Plan::compile(&network, model.weights(), options)?))
    }

    /// The candle graph of `model` for an input of `size`.
    ///
    /// # Errors
    /// As [`Backend::device`], [`Network::new`] and [`Graph::new`].
    #[cfg(feature = "graph")]
    pub fn graph(model: &ModelFile, size: Size, backend: Backend) -> Result<Self, ModelError> {
        let device = backend.device()?;
        let network = Network::new(model.spec(), size)?;
        Ok(Self::Graph(Graph::new(&network, model.weights(), &device)?))
    }

    /// Height and width of the input.
    pub fn input(&self) -> Size {
        match self {
            Self::Plan(plan) => plan.input(),
            #[cfg(feature = "graph")]
            Self::Graph(graph) => graph.input(),
        }
    }

    /// Height, width and classes of the logits, channels-last; 1, 1 and classes for a classifier.
    pub fn logits(&self) -> (usize, usize, usize) {
        let (size, classes) = match self {
            Self::Plan(plan) => plan.logits(),
            #[cfg(feature = "graph")]
            Self::Graph(graph) => graph.logits(),
        };
        (size.height, size.width, classes)
    }

    /// Memory and threads for one inference at a time.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] if the system starts no more threads.
    pub fn new_state(&self) -> Result<State, ModelError> {
        match self {
            Self::Plan(plan) => Ok(State::Plan(plan.new_state()?)),
            #[cfg(feature = "graph")]
            Self::Graph(_) => Ok(State::Graph),
        }
    }

    /// Runs the network on `rows` and writes the logits, channels-last: `[height][width][classes]`. The plan allocates
    /// nothing after the first run with rows of one kind.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] if `rows`, `state` or `logits` do not fit; [`ModelError::Candle`] from the graph.
    pub fn run(&self, state: &mut State, rows: &dyn RowSource, logits: &mut [f32]) -> Result<(), ModelError> {
        match (self, state) {
            (Self::Plan(plan), State::Plan(state)) => plan.run(state, rows, logits),
            #[cfg(feature = "graph")]
            (Self::Graph(graph), State::Graph) => graph.run(rows, logits),
            #[cfg(feature = "graph")]
            (Self::Plan(_), State::Graph) => Err(other_state("plan", "graph")),
            #[cfg(feature = "graph")]
            (Self::Graph(_), State::Plan(_)) => Err(other_state("graph", "plan")),
        }
    }

    /// The steps of the network with the times of `state`'s last run; empty for the graph, which is not timed by steps.
    pub fn steps(&self, state: &State) -> Vec<Step> {
        #[cfg_attr(not(feature = "graph"), allow(irrefutable_let_patterns, reason = "then there is the plan alone"))]
        let (Self::Plan(plan), State::Plan(state)) = (self, state) else { return Vec::new() };
        let timed = |(s, ns): (silhouette_engine::program::StepInfo<'_>, u64)| Step {
            name: s.name.to_owned(),
            explain: s.explain.to_owned(),
            madds: s.madds,
            time: std::time::Duration::from_nanos(ns),
        };
        plan.steps().zip(state.step_nanoseconds()).map(timed).collect()
    }

    /// Backend, kernels, threads and memory in a few words, for the log.
    pub fn describe(&self) -> String {
        match self {
            Self::Plan(plan) => format!(
                "CPU, {} kernels, {} thread{}, arena {} KiB, weights {} KiB",
                plan.isa().name(),
                plan.threads(),
                if plan.threads() == 1 { "" } else { "s" },
                plan.arena_bytes() >> 10,
                plan.weight_bytes() >> 10
            ),
            #[cfg(feature = "graph")]
            Self::Graph(graph) => format!("candle graph on {:?}", graph.device().location()),
        }
    }
}

fn no_metal(why: String) -> ModelError {
    ModelError::Unsupported { what: "the backend metal".into(), why }
}

#[cfg(feature = "graph")]
fn other_state(wanted: &str, found: &str) -> ModelError {
    ModelError::Mismatch { what: "state", wanted: format!("one of the {wanted}"), found: format!("one of the {found}") }
}

#[cfg(all(test, feature = "graph"))]
mod tests {
    use super::*;
    use crate::made_rows::Grey;
    use crate::spec::Spec;
    use crate::weights::seeded;

    fn shared<T: Send + Sync>(_: &T) {}

    #[test]
    fn engines_agree_and_refuse_each_others_state() {
        let spec = Spec::preset("fixture").unwrap();
        let network = Network::native(&spec).unwrap();
        let model = ModelFile::new(spec, seeded(&network, 1)).unwrap();
        let size = Size { height: 33, width: 65 };
        let plan = Engine::on(Backend::Auto, &model, size, &PlanOptions::default()).unwrap();
        let graph = Engine::graph(&model, size, Backend::Cpu).unwrap();
        shared(&graph);
        assert_eq!((plan.logits(), graph.logits()), ((3, 5, 21), (3, 5, 21)));
        assert_eq!((plan.input(), graph.input()), (size, size));
        let mut logits = [vec![0.0; 3 * 5 * 21], vec![0.0; 3 * 5 * 21]];
        for (engine, logits) in [&plan, &graph].into_iter().zip(&mut logits) {
            engine.run(&mut engine.new_state().unwrap(), &Grey(size), logits).unwrap();
        }
        let largest = logits[0].iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!(largest > 0.1);
        for (a, b) in logits[0].iter().zip(&logits[1]) {
            assert!((a - b).abs() < 1e-4 * largest.max(1.0), "{a} {b}");
        }
        let result = graph.run(&mut plan.new_state().unwrap(), &Grey(size), &mut logits[0]);
        assert!(matches!(result, Err(ModelError::Mismatch { what: "state", .. })));
    }

    #[test]
    fn backends_by_name() {
        for backend in [Backend::Auto, Backend::Cpu, Backend::Metal] {
            assert_eq!(backend.to_string().parse::<Backend>().unwrap(), backend);
        }
        assert!("cuda".parse::<Backend>().unwrap_err().to_string().contains("metal"));
    }

    #[cfg(not(feature = "metal"))]
    #[test]
    fn an_absent_backend_says_why() {
        let text = Backend::Metal.device().unwrap_err().to_string();
        assert!(text.contains("feature `metal`"), "{text}");
    }
}
