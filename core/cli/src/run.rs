//! `silhouette run`: runs a model on a raw tensor, to compare with other engines.

use crate::args::{Element, Run, Runner};
use crate::failure::Failure;
use crate::output;
use silhouette_engine::engine::{Engine, EngineError, Output};
use silhouette_graph::Graph;
use silhouette_kernels::element::DataType;
use silhouette_kernels::memory::reserve;
use silhouette_kernels::rows::Planes;
use silhouette_network::network::Size;
use silhouette_plan::{Plan, PlanOptions};
use silhouette_weights::ModelFile;
use silhouette_weights::npy::{self, Array};
use std::sync::Arc;

/// Runs the command.
///
/// # Errors
/// A problem with the model, the input or the request, or the result cannot be written.
pub(crate) fn run(args: &Run) -> Result<(), Vec<Failure>> {
    forward(args).map_err(|failure| vec![failure])
}

fn forward(args: &Run) -> Result<(), Failure> {
    output::refuse_inputs([&args.output], [&args.input, &args.model])?;
    let input = npy::open(&args.input).map_err(|error| Failure::new(&args.input, error))?;
    let shape = input.shape();
    let [1, 3, height, width] = shape else {
        return Err(Failure::new(&args.input, format!("its shape is {shape:?}; the network expects (1, 3, H, W)")));
    };
    let input = input.read().map_err(|error| Failure::new(&args.input, error))?;
    let model = ModelFile::open(&args.model).map_err(|error| Failure::new(&args.model, error))?;
    let size = Size { height, width };
    let about = |error: &dyn std::fmt::Display| Failure::new(&args.model, error);
    let result = match args.engine {
        Runner::Graph if args.precision != Element::F32 => {
            return Err(Failure::general("--precision: the graph computes in f32; pass --engine plan"));
        }
        Runner::Graph => {
            let limit = PlanOptions::default().memory_limit;
            let graph = Graph::of(&model, size, limit).map_err(|error| about(&error))?;
            graph.forward_array(&input, args.tensor.as_deref()).map_err(|error| about(&error))?
        }
        Runner::Plan if args.tensor.is_some() => {
            return Err(Failure::general("--tensor: the plan does not store whole layer outputs; pass --engine graph"));
        }
        Runner::Plan => {
            let precision = match args.precision {
                Element::F32 => DataType::F32,
                Element::F16 => DataType::F16,
                Element::Int8 => DataType::I8,
            };
            let options = PlanOptions { precision, ..PlanOptions::default() };
            let plan = Plan::of(&model, size, &options).map_err(|error| about(&error))?;
            through(Arc::new(plan), &input).map_err(|error| about(&error))?
        }
    };
    npy::write(&args.output, &result).map_err(|error| Failure::new(&args.output, error))?;
    output::say(&output::one_line(&format!("{:?} -> {}", result.shape, args.output.display())));
    Ok(())
}

/// Runs an engine on a tensor of its input size.
fn through(engine: Arc<dyn Engine>, input: &Array) -> Result<Array, EngineError> {
    let size = engine.input();
    let outputs = engine.outputs();
    let mut session = engine.new_session()?;
    session.run(&Planes::new(&input.data, size.width, size.height))?;
    let logits = session.output(0);
    let Output { height, width, channels, .. } = &outputs[0];
    // Channels-last to (N, C, H, W).
    let pixels = height * width;
    let mut data = Vec::new();
    reserve(&mut data, channels * pixels, "an array").map_err(EngineError::OutOfMemory)?;
    data.extend((0..channels * pixels).map(|i| logits[i % pixels * channels + i / pixels]));
    Ok(Array { shape: [1, *channels, *height, *width], data })
}
