//! The candle graph as an engine.

use std::sync::Arc;

use candle_core::DeviceLocation;
use silhouette_engine::engine::{DataType, Description, Engine, EngineError, Input, Output, Session, Step};
use silhouette_kernels::memory::filled;
use silhouette_kernels::rows::RowSource;
use silhouette_network::network::Size;

use crate::graph::Graph;

/// A graph, which allocates while it runs, and its output maps.
#[derive(Debug)]
struct GraphSession {
    graph: Arc<Graph>,
    outputs: Vec<Vec<f32>>,
}

impl Engine for Graph {
    fn input(&self) -> Input {
        let size = Graph::input(self);
        Input { height: size.height, width: size.width, element: DataType::F32 }
    }

    fn outputs(&self) -> Vec<Output> {
        let output = |(name, Size { height, width }, channels): (&str, Size, usize)| Output {
            name: name.to_owned(),
            height,
            width,
            channels,
            element: DataType::F32,
        };
        Graph::outputs(self).map(output).collect()
    }

    fn describe(&self) -> Description {
        let place = match self.device().location() {
            DeviceLocation::Cpu => "the CPU".to_owned(),
            DeviceLocation::Metal { gpu_id } => format!("Metal, GPU {gpu_id}"),
            DeviceLocation::Cuda { gpu_id } => format!("CUDA, GPU {gpu_id}"),
        };
        Description {
            backend: format!("candle graph on {place}"),
            kernels: None,
            precision: DataType::F32,
            threads: None,
            arena_bytes: None,
            weight_bytes: None,
        }
    }

    fn new_session(self: Arc<Self>) -> Result<Box<dyn Session>, EngineError> {
        let made = |output: &Output| filled(output.values(), 0.0, "the graph's outputs");
        let outputs =
            Engine::outputs(&*self).iter().map(made).collect::<Result<_, _>>().map_err(EngineError::OutOfMemory)?;
        Ok(Box::new(GraphSession { graph: self, outputs }))
    }
}

impl Session for GraphSession {
    fn engine(&self) -> &dyn Engine {
        &*self.graph
    }

    fn run(&mut self, rows: &dyn RowSource) -> Result<(), EngineError> {
        Ok(self.graph.run_all(rows, &mut self.outputs)?)
    }

    fn output(&self, index: usize) -> &[f32] {
        &self.outputs[index]
    }

    fn steps(&self) -> Vec<Step> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_kernels::rows::Planes;
    use silhouette_network::network::Network;
    use silhouette_network::spec::Spec;
    use silhouette_plan::{Plan, PlanOptions};
    use silhouette_weights::{ModelFile, seeded};

    #[test]
    fn plan_and_graph_are_engines_that_agree() {
        let spec = Spec::preset("fixture").unwrap();
        let model = ModelFile::new(spec.clone(), seeded(&Network::native(&spec).unwrap(), 1)).unwrap();
        let size = Size { height: 33, width: 65 };
        let network = Network::new(&spec, size).unwrap();
        let plan = Plan::compile(&network, model.weights(), &PlanOptions::default()).unwrap();
        let graph = Graph::of(&model, size, 1 << 20).unwrap();
        let refused = Graph::of(&model, size, 1000).unwrap_err().to_string();
        assert!(refused.contains("more than the limit of 1000"), "{refused}");
        let engines: [Arc<dyn Engine>; 2] = [Arc::new(plan), Arc::new(graph)];
        let picture: Vec<f32> = (0..3 * 33 * 65).map(|i| (i % 37) as f32 / 18.0 - 1.0).collect();
        let logits = engines.map(|engine| {
            assert_eq!(engine.input(), Input { height: 33, width: 65, element: DataType::F32 });
            let [output] = &engine.outputs()[..] else { panic!("one output") };
            assert_eq!((output.name.as_str(), output.height, output.width, output.channels), ("logits", 3, 5, 21));
            let text = engine.describe().to_string();
            assert!(text.contains("CPU") && text.contains("f32"), "{text}");
            let mut session = Arc::clone(&engine).new_session().unwrap();
            assert!(session.output(0).iter().all(|&v| v == 0.0));
            session.run(&Planes::new(&picture, 65, 33)).unwrap();
            let other = session.run(&Planes::new(&picture[..3 * 33 * 33], 33, 33));
            assert!(matches!(other, Err(EngineError::Mismatch { .. })), "{other:?}");
            // Only the session holds its engine.
            drop(engine);
            assert_eq!(session.engine().outputs().len(), 1);
            session.output(0).to_vec()
        });
        let largest = logits[0].iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!(largest > 0.1);
        for (a, b) in logits[0].iter().zip(&logits[1]) {
            assert!((a - b).abs() < 1e-4 * largest.max(1.0), "{a} {b}");
        }
    }
}
