//! What plans of floats and of integers share: a convolution's geometry and activation as the engine takes them, and its errors.

use silhouette_engine::program::{BuildError, Clamp, Window};
use silhouette_network::ModelError;
use silhouette_network::network::Conv;
use silhouette_network::spec::Activation;

pub(crate) fn unsupported(e: BuildError) -> ModelError {
    match e {
        BuildError::Refused { step, reason } => {
            ModelError::Unsupported { what: format!("{step} in the CPU plan"), why: reason }
        }
        BuildError::OutOfMemory(error) => error.into(),
    }
}

pub(crate) fn clamp(activation: Activation) -> Clamp {
    match activation {
        Activation::Linear => None,
        Activation::Relu => Some((0.0, f32::INFINITY)),
        Activation::Relu6 => Some((0.0, 6.0)),
    }
}

pub(crate) fn window(conv: &Conv) -> Window {
    Window { input: conv.input, output: conv.output, stride: conv.stride, rate: conv.rate, pad: conv.pad }
}
