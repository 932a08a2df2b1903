//! Weights: our `.safetensors` model files with the spec in their metadata ([`ModelFile`]), tensors viewed in place,
//! float or quantised, batch norm folded on demand ([`Weights`]), seeded random weights for tests ([`seeded()`]), raw
//! tensors as `.npy` files ([`npy`]).
#![deny(unsafe_code)] // but for mapping a file

mod container;
mod map;
mod model_file;
pub mod npy;
mod on_demand;
mod quantisation;
mod seeded;
mod spare;
mod tensor;
mod weights;

pub use map::{Map, Tail};
pub use model_file::{ModelFile, SPEC_KEY, save, to_bytes};
pub use quantisation::{
    ActivationElement, ActivationQuantisation, Activations, Integers, Quantisation, QuantisedTensor, QuantisedTensors,
};
pub use safetensors::Dtype;
pub use seeded::{SplitMix64, fnv1a, seeded};
pub use silhouette_network::ModelError;
pub use spare::Spare;
pub use tensor::{Tensor, TensorView, Tensors};
pub use weights::{ACTIVATIONS_KEY, Folded, MAX_HEADER, QUANTISATION_KEY, Weights};
