//! The choice of a precision for a model on this machine.

use crate::error::{Error, Result};
use crate::options::{Backend, Precision};
use silhouette_kernels::element::DataType;
use silhouette_kernels::int8;
use silhouette_kernels::isa::Isa;
use silhouette_network::spec::{Activation, Extractor, Spec};
use silhouette_plan::is_quantised;
use silhouette_weights::ModelFile;
use std::fmt;

impl Precision {
    /// The element types for this model, best first: another than the first is for a model that the first cannot run.
    pub(crate) fn choose(self, model: &ModelFile, backend: Backend) -> Result<Vec<DataType>> {
        let isa = Isa::best();
        let on_cpu = matches!(backend, Backend::Auto | Backend::Cpu);
        match self {
            Self::Auto if on_cpu => {
                let integers = is_quantised(model.weights()) && int8::multiplies(isa);
                Ok(automatic(model.spec(), integers, isa.multiplies_f16()))
            }
            Self::Auto | Self::F32 => Ok(vec![DataType::F32]),
            Self::F16 if on_cpu => Ok(vec![DataType::F16]),
            Self::Int8 if on_cpu => Ok(vec![DataType::I8]),
            Self::F16 | Self::Int8 => Err(Error::unsupported(
                format_args!("{self} on the backend {backend} is not supported"),
                "use the backend cpu, or the precision auto",
            )),
        }
    }
}

/// The rule of [`Precision::Auto`] on the CPU. `integers`: the model is quantised and the CPU is fast at integers.
fn automatic(spec: &Spec, integers: bool, multiplies_f16: bool) -> Vec<DataType> {
    let bounded = match &spec.extractor {
        Extractor::MobilenetV2(extractor) => extractor.bottleneck_activation != Activation::Relu,
        Extractor::MobilenetV1(_) => true,
    };
    let candidates = [(DataType::I8, integers), (DataType::F16, multiplies_f16 && bounded), (DataType::F32, true)];
    candidates.into_iter().filter(|(_, fits)| *fits).map(|(element, _)| element).collect()
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_network::network::Network;
    use silhouette_weights::seeded;

    #[test]
    fn auto_is_f16_only_where_it_is_fast_and_safe() {
        let mut spec = Spec::preset("fixture").unwrap();
        assert_eq!(automatic(&spec, false, true), [DataType::F16, DataType::F32]);
        assert_eq!(automatic(&spec, false, false), [DataType::F32]);
        assert_eq!(automatic(&spec, true, true), [DataType::I8, DataType::F16, DataType::F32]);
        assert_eq!(automatic(&spec, true, false), [DataType::I8, DataType::F32]);
        if let Extractor::MobilenetV2(extractor) = &mut spec.extractor {
            extractor.bottleneck_activation = Activation::Relu;
        }
        assert_eq!(automatic(&spec, false, true), [DataType::F32]);
    }

    #[test]
    fn f16_and_int8_need_the_cpu() {
        let spec = Spec::preset("fixture").unwrap();
        let tensors = seeded(&Network::native(&spec).unwrap(), 1);
        let model = ModelFile::new(spec, tensors).unwrap();
        let auto = automatic(model.spec(), false, Isa::best().multiplies_f16());
        assert_eq!(Precision::Auto.choose(&model, Backend::Cpu), Ok(auto));
        assert_eq!(Precision::F16.choose(&model, Backend::Auto), Ok(vec![DataType::F16]));
        assert_eq!(Precision::Int8.choose(&model, Backend::Cpu), Ok(vec![DataType::I8]));
        assert_eq!(Precision::Auto.choose(&model, Backend::Graph), Ok(vec![DataType::F32]));
        for precision in [Precision::F16, Precision::Int8] {
            let error = precision.choose(&model, Backend::Graph).unwrap_err().to_string();
            assert!(error.contains(&precision.to_string()) && error.contains("cpu"), "{error}");
        }
    }
}
