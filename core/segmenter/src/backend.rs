//! The backends of this build and machine, and the engine of each.

use crate::error::{Error, Result};
use crate::options::Backend;
use silhouette_engine::engine::Engine;
use silhouette_kernels::element::DataType;
use silhouette_network::ModelError;
use silhouette_network::network::Size;
use silhouette_plan::{Plan, PlanOptions};
use silhouette_weights::ModelFile;
use std::fmt;
use std::sync::Arc;

/// Why a backend is unavailable here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The order of [`Backend::Auto`], best first: on every measured machine the compiled plan on the CPU is faster than
/// the candle graph on a GPU.
const PREFERRED: [Backend; 3] = [Backend::Cpu, Backend::Metal, Backend::Graph];

impl Backend {
    /// All backends; for each unavailable one the reason why this build or machine does not have it.
    ///
    /// ```
    /// use silhouette::Backend;
    /// for (backend, available) in Backend::available() {
    ///     match available {
    ///         Ok(()) => println!("{backend}"),
    ///         Err(reason) => println!("{backend}: no, {reason}"),
    ///     }
    /// }
    /// ```
    pub fn available() -> Vec<(Self, std::result::Result<(), Reason>)> {
        [Self::Auto, Self::Cpu, Self::Metal, Self::Graph].map(|backend| (backend, backend.check())).into()
    }

    /// Whether this build and machine have it.
    ///
    /// # Errors
    /// The reason if not.
    pub fn check(self) -> std::result::Result<(), Reason> {
        match self {
            Self::Auto | Self::Cpu => Ok(()),
            #[cfg(feature = "graph")]
            Self::Graph => Ok(()),
            #[cfg(feature = "graph")]
            Self::Metal => silhouette_graph::metal().map_err(Reason),
            #[cfg(not(feature = "graph"))]
            Self::Graph | Self::Metal => Err(Reason(format!("this build does not have the feature `{self}`"))),
        }
    }

    /// Opens the engine that runs a model.
    pub(crate) fn engine(self, model: &ModelFile, size: Size, options: &PlanOptions) -> Result<Arc<dyn Engine>> {
        if let Err(reason) = self.check() {
            return Err(Error::unsupported(format_args!("the backend {self} is not supported: {reason}"), ""));
        }
        match self {
            // The other backends compute in f32, whatever precision the caller requested.
            Self::Auto if options.precision != DataType::F32 => Ok(Arc::new(Plan::of(model, size, options)?)),
            Self::Auto => first(PREFERRED, |backend| match backend {
                Self::Cpu => Ok(Arc::new(Plan::of(model, size, options)?) as Arc<dyn Engine>),
                backend => Ok(backend.engine(model, size, options)?),
            }),
            Self::Cpu => Ok(Arc::new(Plan::of(model, size, options)?)),
            #[cfg(feature = "graph")]
            Self::Graph => Ok(Arc::new(silhouette_graph::Graph::of(model, size, options.memory_limit)?)),
            #[cfg(feature = "graph")]
            Self::Metal => Ok(Arc::new(silhouette_graph::Graph::on_metal(model, size, options.memory_limit)?)),
            #[cfg(not(feature = "graph"))]
            Self::Graph | Self::Metal => Err(Error::internal(format_args!("{self} is not in this build"))),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Metal => "metal",
            Self::Graph => "graph",
        })
    }
}

/// Why a backend has no engine.
enum Failure {
    /// Another one may.
    Here(Error),
    /// No other one will.
    Everywhere(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if matches!(error, Error::Unsupported(_)) { Self::Here(error) } else { Self::Everywhere(error) }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        // The plan needs the least memory, and the candle graph ends the process if it gets none.
        let memory = matches!(error, ModelError::OutOfMemory(_));
        if memory { Self::Everywhere(error.into()) } else { Error::from(error).into() }
    }
}

/// The first backend that succeeds; each failure is logged with its reason. If all fail, the best one's reason is
/// returned. Errors of other kinds (an unusable model, no memory) end the search: no other backend would help.
fn first<T>(backends: [Backend; 3], make: impl Fn(Backend) -> std::result::Result<T, Failure>) -> Result<T> {
    let mut best = None;
    for backend in backends {
        match make(backend) {
            Ok(made) => {
                if let Some(error) = &best {
                    log::warn!("running on the backend {backend} because the best one failed: {error}");
                }
                return Ok(made);
            }
            Err(Failure::Here(error)) => {
                log::debug!("not on the backend {backend}: {error}");
                best.get_or_insert(error);
            }
            Err(Failure::Everywhere(error)) => return Err(error),
        }
    }
    Err(best.unwrap_or_else(|| Error::internal("no backend was tried")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_kernels::memory::OutOfMemory;

    #[test]
    fn every_backend_is_listed_with_its_reason() {
        let all = Backend::available();
        let names: Vec<_> = all.iter().map(|(backend, _)| backend.to_string()).collect();
        assert_eq!(names, ["auto", "cpu", "metal", "graph"]);
        for (backend, available) in all {
            let built = match backend {
                Backend::Auto | Backend::Cpu => true,
                Backend::Graph => cfg!(feature = "graph"),
                // If it is built, the machine decides.
                Backend::Metal => cfg!(feature = "metal"),
            };
            match available {
                Ok(()) => assert!(built, "{backend}"),
                Err(reason) if built => assert!(backend == Backend::Metal && !reason.to_string().is_empty()),
                Err(reason) => assert!(reason.to_string().contains(&format!("`{backend}`")), "{backend}: {reason}"),
            }
        }
    }

    #[test]
    fn what_the_best_cannot_the_next_does() {
        let unsupported = |backend: Backend| Error::unsupported(format_args!("not on {backend}"), "");
        let found = first(PREFERRED, |backend| match backend {
            Backend::Cpu => Err(unsupported(backend).into()),
            backend => Ok(backend),
        });
        assert_eq!(found, Ok(Backend::Metal));
        let none = first::<()>(PREFERRED, |backend| Err(unsupported(backend).into()));
        assert_eq!(none, Err(unsupported(Backend::Cpu)));
        let damaged = first::<()>(PREFERRED, |_| Err(Error::model("cut off", "").into()));
        assert!(matches!(damaged, Err(Error::InvalidModel(_))));
        let memory = OutOfMemory { what: "a test", bytes: 9 };
        let none = first(PREFERRED, |backend| match backend {
            Backend::Cpu => Err(ModelError::OutOfMemory(memory).into()),
            backend => Ok(backend),
        });
        assert_eq!(none, Err(memory.into()));
    }
}
