//! The choice of a precision for a model on this machine.

use crate::error::{Error, Result};
use crate::options::{Backend, Precision};
use silhouette_kernels::element::DataType;
use silhouette_kernels::isa::Isa;
use silhouette_network::spec::{Activation, Extractor, Spec};
use std::fmt;

impl Precision {
    /// The element type for this model.
    pub(crate) fn choose(self, spec: &Spec, backend: Backend) -> Result<DataType> {
        let on_cpu = matches!(backend, Backend::Auto | Backend::Cpu);
        match self {
            Self::Auto if on_cpu => Ok(automatic(spec, Isa::best().multiplies_f16())),
            Self::Auto | Self::F32 => Ok(DataType::F32),
            Self::F16 if on_cpu => Ok(DataType::F16),
            Self::F16 => Err(Error::unsupported(
                format_args!("f16 on the backend {backend} is not supported"),
                "use the backend cpu, or the precision auto",
            )),
        }
    }
}

/// The rule of [`Precision::Auto`] on the CPU.
fn automatic(spec: &Spec, multiplies_f16: bool) -> DataType {
    let bounded = match &spec.extractor {
        Extractor::MobilenetV2(extractor) => extractor.bottleneck_activation != Activation::Relu,
        Extractor::MobilenetV1(_) => true,
    };
    if multiplies_f16 && bounded { DataType::F16 } else { DataType::F32 }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::F16 => "f16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_f16_only_where_it_is_fast_and_safe() {
        let mut spec = Spec::preset("fixture").unwrap();
        assert_eq!(automatic(&spec, true), DataType::F16);
        assert_eq!(automatic(&spec, false), DataType::F32);
        if let Extractor::MobilenetV2(extractor) = &mut spec.extractor {
            extractor.bottleneck_activation = Activation::Relu;
        }
        assert_eq!(automatic(&spec, true), DataType::F32);
    }

    #[test]
    fn f16_needs_the_cpu() {
        let spec = Spec::preset("fixture").unwrap();
        let auto = automatic(&spec, Isa::best().multiplies_f16());
        assert_eq!(Precision::Auto.choose(&spec, Backend::Cpu), Ok(auto));
        assert_eq!(Precision::F16.choose(&spec, Backend::Auto), Ok(DataType::F16));
        assert_eq!(Precision::Auto.choose(&spec, Backend::Graph), Ok(DataType::F32));
        let error = Precision::F16.choose(&spec, Backend::Graph).unwrap_err().to_string();
        assert!(error.contains("graph") && error.contains("cpu"), "{error}");
    }
}
