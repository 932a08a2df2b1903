//! The only access to files: opened only if they are regular files of acceptable size ([`open_regular`],
//! [`read_regular`]), found below folders ([`walk()`]), written atomically ([`write_whole`]), and never written if the same call reads them
//! ([`refuse_inputs`]).
#![forbid(unsafe_code)]

mod folder;
mod inputs;
mod journal;
mod lock;
mod open;
mod unfinished;
mod walk;
mod whole;

pub use folder::{check_folder, own_folder};
pub use inputs::{IsInput, refuse_inputs};
pub use journal::{Journal, JournalError};
pub use open::{OpenError, Regular, open_own, open_regular, read_own, read_regular, read_start, read_text};
pub use unfinished::remove_unfinished;
pub use walk::{Walk, walk};
pub use whole::{write_bytes, write_own, write_whole};
