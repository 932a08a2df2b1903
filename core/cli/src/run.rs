//! `silhouette run`: a raw tensor through a model, for comparing with anything.

use crate::args::{Run, Runner};
use crate::failure::Failure;
use crate::output;
use silhouette_kernels::rows::Planes;
use silhouette_model::engine::Engine;
use silhouette_model::graph::Graph;
use silhouette_model::network::Size;
use silhouette_model::npy::{self, Array};
use silhouette_model::plan::PlanOptions;
use silhouette_model::{ModelError, ModelFile};

/// Runs the command.
///
/// # Errors
/// What is wrong with the model, the input or the request, or that the result cannot be written.
pub(crate) fn run(args: &Run) -> Result<(), Vec<Failure>> {
    forward(args).map_err(|failure| vec![failure])
}

#[allow(clippy::result_large_err, reason = "once a run")]
fn forward(args: &Run) -> Result<(), Failure> {
    let input = npy::read(&args.input).map_err(|error| Failure::new(&args.input, error))?;
    let [1, 3, height, width] = input.shape else {
        let shape = input.shape;
        return Err(Failure::new(&args.input, format!("its shape is {shape:?}; the network wants (1, 3, H, W)")));
    };
    let model = ModelFile::open(&args.model).map_err(|error| Failure::new(&args.model, error))?;
    let size = Size { height, width };
    let result = match args.engine {
        Runner::Graph => Graph::of(&model, size).and_then(|graph| graph.forward_array(&input, args.tensor.as_deref())),
        Runner::Plan if args.tensor.is_some() => {
            return Err(Failure::general("--tensor: the plan holds no layer's output whole; give --engine graph"));
        }
        Runner::Plan => {
            Engine::plan(&model, size, &PlanOptions::default()).and_then(|engine| through(&engine, size, &input))
        }
    };
    let result = result.map_err(|error| Failure::new(&args.model, error))?;
    output::write_atomically(&args.output, |to| {
        npy::write(to, &result).map_err(|error| Failure::new(&args.output, error))
    })?;
    output::say(&output::one_line(&format!("{:?} -> {}", result.shape, args.output.display())));
    Ok(())
}

#[allow(clippy::result_large_err, reason = "once a run")]
fn through(engine: &Engine, size: Size, input: &Array) -> Result<Array, ModelError> {
    let (height, width, classes) = engine.logits();
    let mut logits = vec![0.0; height * width * classes];
    engine.run(&mut engine.new_state()?, &Planes::new(&input.data, size.width, size.height), &mut logits)?;
    // Channels-last to (N, C, H, W).
    let pixels = height * width;
    let data = (0..classes * pixels).map(|i| logits[i % pixels * classes + i / pixels]).collect();
    Ok(Array { shape: [1, classes, height, width], data })
}
