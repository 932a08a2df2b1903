//! Shared code of the workspace's tests. Only a dev-dependency: nothing of it is part of a release.
#![forbid(unsafe_code)]

mod folder;
mod memory;
mod needs;
mod noise;
mod pictures;
mod pipe;

pub use folder::Folder;
pub use memory::peak_memory;
pub use needs::{is_emulated, shared_folder};
pub use noise::Noise;
pub use pictures::{GreyRows, waves};
pub use pipe::pipe;
