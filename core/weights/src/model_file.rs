//! Model files: a spec and its weights, in one `.safetensors` file with the spec in its metadata.
//!
//! A file is checked completely when it is opened: every tensor that the network needs exists in the right shape, none
//! is left over, and all errors are listed at once. Nothing needs to be checked later.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use safetensors::Dtype;
use silhouette_files::write_bytes;
use silhouette_kernels::memory::reserve;
use silhouette_network::network::Network;
use silhouette_network::spec::Spec;

use crate::ModelError;
use crate::container::{Stored, encode};
use crate::quantisation::{Activations, QuantisedTensors};
use crate::tensor::Tensors;
use crate::weights::{ACTIVATIONS_KEY, MAX_HEADER, QUANTISATION_KEY, Weights};

/// The metadata key that holds the spec as JSON.
pub const SPEC_KEY: &str = "silhouette.spec";

/// What the memory is for, in errors.
const WRITTEN: &str = "a tensor of a model file";

/// A model: a spec and its weights.
#[derive(Debug)]
pub struct ModelFile {
    spec: Spec,
    weights: Arc<Weights>,
}

impl ModelFile {
    /// Opens a model file; each tensor is read when a network is compiled from it. If the file is replaced by a rename
    /// meanwhile, the opened one is still read; if it is truncated or written to, reading fails and never yields
    /// another network.
    ///
    /// # Errors
    /// [`ModelError::Io`]; [`ModelError::BadFile`] for a file that is not one of our models, or is damaged;
    /// [`ModelError::UnknownFormat`], [`ModelError::Spec`], [`ModelError::TooLarge`] for its spec;
    /// [`ModelError::Tensors`] if tensors and spec do not match.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let (weights, metadata) = Weights::open(path, 0.0)?;
        Self::check(&path.display().to_string(), weights, &metadata)
    }

    /// Maps a model file into memory, for files private to this program: nothing is read before it is needed, and the
    /// system can reclaim the pages. While it is open the file must not be written to or truncated (replacing it by a
    /// rename, as [`save`] does, is fine): truncating it ends the process, and writing to it changes the network's
    /// results.
    ///
    /// # Errors
    /// As [`ModelFile::open`].
    pub fn map(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let (weights, metadata) = Weights::map(path, 0.0)?;
        Self::check(&path.display().to_string(), weights, &metadata)
    }

    /// Opens a model inside another file (an uncompressed asset of an app's package), like [`open`](Self::open): the
    /// bytes `part`.
    ///
    /// # Errors
    /// As [`ModelFile::open`]; [`ModelError::BadFile`] also if the part reaches past the file's end.
    pub fn open_part(path: impl AsRef<Path>, part: Range<u64>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let (weights, metadata) = Weights::open_part(path, Some(part), 0.0)?;
        Self::check(&path.display().to_string(), weights, &metadata)
    }

    /// Reads a model file from memory: a `Vec`, or a `&'static [u8]` built into the program (which is not copied).
    ///
    /// # Errors
    /// As [`ModelFile::open`].
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, ModelError> {
        let file = "model in memory";
        let (weights, metadata) = Weights::from_bytes(bytes, file, 0.0)?;
        Self::check(file, weights, &metadata)
    }

    /// Creates a model in memory (for an importer, or with [`seeded`](crate::seeded())).
    ///
    /// # Errors
    /// [`ModelError::Spec`] and [`ModelError::TooLarge`] for the spec, [`ModelError::Tensors`] if tensors and spec do
    /// not match.
    pub fn new(spec: Spec, tensors: Tensors) -> Result<Self, ModelError> {
        Self::quantised(spec, tensors, QuantisedTensors::new(), Activations::new())
    }

    /// The same including quantised tensors, and the known quantisation of the network's edges.
    ///
    /// # Errors
    /// As [`ModelFile::new`]; [`ModelError::Tensor`] for a quantisation that is impossible or does not match.
    pub fn quantised(
        spec: Spec,
        tensors: Tensors,
        quantised: QuantisedTensors,
        activations: Activations,
    ) -> Result<Self, ModelError> {
        let weights = Weights::from_quantised(tensors, quantised, activations, 0.0)?.with_epsilons(&spec);
        weights.check(&Network::native(&spec)?)?;
        Ok(Self { spec, weights: Arc::new(weights) })
    }

    fn check(file: &str, weights: Weights, metadata: &BTreeMap<String, String>) -> Result<Self, ModelError> {
        let json = metadata.get(SPEC_KEY).ok_or_else(|| {
            let what = format!("no {SPEC_KEY:?} in its metadata; import files of other programs first");
            ModelError::bad_file(file, what)
        })?;
        let spec = Spec::from_json(json)?;
        let weights = weights.with_epsilons(&spec);
        weights.check(&Network::native(&spec)?)?;
        Ok(Self { spec, weights: Arc::new(weights) })
    }

    /// The same weights, shared, in a network with another output stride.
    ///
    /// # Errors
    /// [`ModelError::Spec`] for a number other than 8, 16 or 32.
    pub fn with_output_stride(&self, output_stride: usize) -> Result<Self, ModelError> {
        let spec = self.spec.with_output_stride(output_stride);
        self.weights.check(&Network::native(&spec)?)?;
        Ok(Self { spec, weights: Arc::clone(&self.weights) })
    }

    /// The same weights, shared, in a network without these residual blocks (paper, section 3.4: a block with a
    /// shortcut is the identity plus something). [`Spec::droppable_blocks`] lists the possible ones.
    ///
    /// # Errors
    /// As [`Spec::without_blocks`].
    pub fn without_blocks(&self, blocks: &[usize]) -> Result<Self, ModelError> {
        let spec = self.spec.without_blocks(blocks)?;
        let network = Network::native(&spec)?;
        let weights = self.weights.only(&network);
        weights.check(&network)?;
        Ok(Self { spec, weights: Arc::new(weights) })
    }

    /// The type that its convolution weights are stored in.
    pub fn dtype(&self) -> Dtype {
        self.weights.dtype("stem.weight").unwrap_or(Dtype::F32)
    }

    /// The network as data.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Its tensors.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Writes the model as a file; see [`save`].
    ///
    /// # Errors
    /// As [`save`].
    pub fn save(&self, path: impl AsRef<Path>, dtype: Dtype) -> Result<(), ModelError> {
        save(path.as_ref(), &self.spec, &self.weights, dtype)
    }
}

/// Writes a model file atomically, through a temporary file next to it and a rename. `dtype`, F32 or F16, is the type
/// of stored convolution weights; biases and batch norm are small and stay F32, quantised tensors are unchanged. The
/// same model produces the same bytes.
///
/// # Errors
/// [`ModelError::Tensors`] if weights and spec do not match; [`ModelError::Tensor`] for a value that F16 cannot hold;
/// [`ModelError::Unsupported`] for another type; [`ModelError::TooLarge`] if names, labels and scales exceed the limit
/// of a header; [`ModelError::Io`].
pub fn save(path: &Path, spec: &Spec, weights: &Weights, dtype: Dtype) -> Result<(), ModelError> {
    let bytes = to_bytes(spec, weights, dtype)?;
    write_bytes(path, &bytes).map_err(ModelError::io(path))
}

/// The bytes that [`save`] writes.
///
/// # Errors
/// As [`save`], except for [`ModelError::Io`].
#[allow(clippy::missing_panics_doc, reason = "the names are the weights' own")]
pub fn to_bytes(spec: &Spec, weights: &Weights, dtype: Dtype) -> Result<Vec<u8>, ModelError> {
    weights.check(&Network::native(spec)?)?;
    let mut tensors = Vec::new();
    let mut quantised = BTreeMap::new();
    for name in weights.names() {
        let view = weights.tensor(name)?.expect("a name of these weights");
        if let Some(quantisation) = view.quantisation {
            quantised.insert(name, quantisation);
            tensors.push((name, Stored { dtype: view.dtype, shape: view.shape, bytes: view.bytes }));
            continue;
        }
        let shape = view.shape;
        let dtype = if shape.len() == 4 { dtype } else { Dtype::F32 };
        if view.dtype == dtype && dtype == Dtype::F32 {
            // As they are: no second copy.
            tensors.push((name, Stored { dtype, shape, bytes: view.bytes }));
            continue;
        }
        let values = view.into_f32()?.expect("checked to be a float type");
        let bytes = match dtype {
            Dtype::F32 => {
                let mut bytes = Vec::new();
                reserve(&mut bytes, values.len() * 4, WRITTEN)?;
                bytes.extend_from_slice(bytemuck::cast_slice(&values));
                bytes
            }
            Dtype::F16 => to_f16(name, &values)?,
            other => {
                let why = "model files hold F32 or F16".to_owned();
                return Err(ModelError::Unsupported { what: format!("storing weights as {other}"), why });
            }
        };
        tensors.push((name, Stored { dtype, shape, bytes: Cow::Owned(bytes) }));
    }
    let mut metadata = BTreeMap::from([(SPEC_KEY, spec.to_json())]);
    let bad = |e: serde_json::Error| ModelError::bad_file("model", e.to_string());
    if !quantised.is_empty() {
        metadata.insert(QUANTISATION_KEY, serde_json::to_string(&quantised).map_err(bad)?);
    }
    if !weights.activations().is_empty() {
        metadata.insert(ACTIVATIONS_KEY, serde_json::to_string(weights.activations()).map_err(bad)?);
    }
    let (bytes, header) = encode(tensors, &metadata)?;
    if header > MAX_HEADER {
        let why = format!("{header} bytes of names, labels and scales exceed the limit of {MAX_HEADER}");
        return Err(ModelError::TooLarge { what: "the model file's header".into(), why });
    }
    Ok(bytes)
}

fn to_f16(name: &str, values: &[f32]) -> Result<Vec<u8>, ModelError> {
    let mut bytes = Vec::new();
    reserve(&mut bytes, values.len() * 2, WRITTEN)?;
    for (i, &v) in values.iter().enumerate() {
        let narrow = half::f16::from_f32(v);
        if v.is_finite() && !narrow.is_finite() {
            let what = format!("value {i} is {v}, more than F16 can hold: store it as F32");
            return Err(ModelError::Tensor { name: name.to_owned(), what });
        }
        bytes.extend(narrow.to_le_bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantisation::{ActivationElement, ActivationQuantisation, Integers, Quantisation, QuantisedTensor};
    use crate::{Spare, Tensor, seeded};
    use silhouette_testkit::Folder;

    fn fixture() -> (Spec, Network) {
        let spec = Spec::preset("fixture").unwrap();
        let network = Network::native(&spec).unwrap();
        (spec, network)
    }

    fn bytes(dtype: Dtype) -> Vec<u8> {
        let (spec, network) = fixture();
        let weights = Weights::from_tensors(seeded(&network, 1), spec.batch_norm_epsilon).unwrap();
        to_bytes(&spec, &weights, dtype).unwrap()
    }

    #[test]
    fn a_saved_model_comes_back() {
        let (spec, network) = fixture();
        let model = ModelFile::new(spec.clone(), seeded(&network, 1)).unwrap();
        let folder = Folder::new();
        let path = folder.path("fixture.safetensors");
        model.save(&path, Dtype::F32).unwrap();
        let back = ModelFile::map(&path).unwrap();
        assert_eq!(back.spec(), &spec);
        for conv in network.convs() {
            let folded = back.weights().folded(conv).unwrap();
            assert_eq!(folded, model.weights().folded(conv).unwrap());
            // Released pages come back with the same values.
            back.weights().release(conv);
            assert_eq!(folded, back.weights().folded(conv).unwrap());
        }
        back.weights().release_all();
        let view = back.weights().tensor("stem.weight").unwrap().unwrap();
        assert_eq!(
            view.as_f32().unwrap(),
            &model.weights().floats(&network.conv("stem").unwrap().weight()).unwrap()[..]
        );
        // Saving over an open model leaves the open one unchanged, and no temporary file behind.
        let before = back.weights().folded(network.conv("stem").unwrap()).unwrap();
        ModelFile::new(spec, seeded(&network, 2)).unwrap().save(&path, Dtype::F16).unwrap();
        assert_eq!(back.weights().folded(network.conv("stem").unwrap()).unwrap(), before);
        assert_eq!(folder.files(), ["fixture.safetensors"]);
    }

    #[test]
    fn a_model_whose_file_changes_is_the_same_or_an_error() {
        let (spec, network) = fixture();
        let folder = silhouette_testkit::Folder::new();
        let path = folder.path("model.safetensors");
        let save = |seed| {
            ModelFile::new(spec.clone(), seeded(&network, seed)).unwrap().save(&path, Dtype::F32).unwrap();
        };
        let values = |model: &ModelFile| -> Result<Vec<_>, ModelError> {
            network.convs().map(|conv| Ok(model.weights().folded(conv)?.weight.into_owned())).collect()
        };
        save(1);
        let model = ModelFile::open(&path).unwrap();
        let mapped = ModelFile::map(&path).unwrap();
        assert_eq!(mapped.weights().source(), model.weights().source(), "one file, either way");
        let before = values(&model).unwrap();
        assert_eq!(values(&mapped).unwrap(), before);
        drop(mapped);
        // Inside another file.
        let inside = [b"something before".to_vec(), std::fs::read(&path).unwrap(), b"and after".to_vec()];
        let part = inside[0].len() as u64..(inside[0].len() + inside[1].len()) as u64;
        let package = folder.write("package", inside.concat());
        assert_eq!(values(&ModelFile::open_part(&package, part).unwrap()).unwrap(), before);
        // Replaced by a rename, as by saving, and deleted.
        save(2);
        assert_eq!(values(&model).unwrap(), before);
        let second = ModelFile::open(&path).unwrap();
        assert_ne!(values(&second).unwrap(), before);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(values(&model).unwrap(), before);
        assert!(values(&second).is_ok());
        // Truncated in place: with a mapping this would end the process.
        save(1);
        let model = ModelFile::open(&path).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
        let error = values(&model).unwrap_err();
        assert!(matches!(error, ModelError::BadFile { .. }) && error.to_string().contains("was written to"), "{error}");
        // A file that is longer than its header states is not read at all.
        let mut long = bytes(Dtype::F32);
        long.push(0);
        let long = folder.write("long.safetensors", long);
        assert!(ModelFile::open(long).unwrap_err().to_string().contains("its header describes"));
    }

    #[test]
    fn blocks_left_out_take_their_tensors_along() {
        let (spec, network) = fixture();
        let model = ModelFile::new(spec, seeded(&network, 1)).unwrap();
        let less = model.without_blocks(&[2, 8]).unwrap();
        let left: Vec<_> = model.weights().names().filter(|name| !less.weights().names().any(|n| n == *name)).collect();
        assert_eq!(left.len(), 2 * 3 * 5);
        assert!(left.iter().all(|name| name.starts_with("blocks.2.") || name.starts_with("blocks.8.")));
        // What is left can be saved, and is read back as the same network.
        let bytes = to_bytes(less.spec(), less.weights(), Dtype::F16).unwrap();
        let back = ModelFile::from_bytes(bytes).unwrap();
        assert_eq!((back.spec(), back.dtype()), (less.spec(), Dtype::F16));
        assert_eq!(back.spec().droppable_blocks().len(), model.spec().droppable_blocks().len() - 2);
        assert!(matches!(model.without_blocks(&[1]), Err(ModelError::Spec { .. })));
    }

    #[test]
    fn saving_where_nothing_can_be_written_is_an_error() {
        let (spec, network) = fixture();
        let model = ModelFile::new(spec, seeded(&network, 1)).unwrap();
        let result = model.save("/nonexistent-folder/model.safetensors", Dtype::F32);
        assert!(matches!(result, Err(ModelError::Io { .. })));
    }

    #[test]
    fn f16_weights_are_read_where_they_lie_and_are_near() {
        let (_, network) = fixture();
        let wide = bytes(Dtype::F32);
        let narrow = bytes(Dtype::F16);
        assert!(narrow.len() < wide.len() * 6 / 10);
        let wide = ModelFile::from_bytes(wide).unwrap();
        let narrow = ModelFile::from_bytes(narrow).unwrap();
        let view = narrow.weights().tensor("stem.weight").unwrap().unwrap();
        assert_eq!(
            view.as_f16().unwrap().len(),
            network.conv("stem").unwrap().weight_shape().iter().product::<usize>()
        );
        for conv in network.convs() {
            let a = wide.weights().folded(conv).unwrap();
            let b = narrow.weights().folded(conv).unwrap();
            for (x, y) in a.weight.iter().zip(b.weight.iter()) {
                assert!((x - y).abs() <= x.abs() / 1024.0 + 1e-6, "{x} {y}");
            }
            assert_eq!(a.bias, b.bias);
        }
    }

    #[test]
    fn values_beyond_f16_are_refused() {
        let (spec, network) = fixture();
        let mut tensors = seeded(&network, 1);
        tensors.get_mut("stem.weight").unwrap().data[3] = 1e6;
        let model = ModelFile::new(spec.clone(), tensors).unwrap();
        let text = to_bytes(&spec, model.weights(), Dtype::F16).unwrap_err().to_string();
        assert!(text.contains("stem.weight") && text.contains("value 3"), "{text}");
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "these products are exact")]
    fn batch_norm_folds_as_the_formula_says() {
        let (_, network) = fixture();
        let stem = network.conv("stem").unwrap();
        let mut tensors = seeded(&network, 1);
        let mut set = |name: &str, value: f32| tensors.get_mut(name).unwrap().data[0] = value;
        set("stem.bn.weight", 3.0);
        set("stem.bn.bias", 0.5);
        set("stem.bn.running_mean", 2.0);
        set("stem.bn.running_var", 3.75);
        let first = tensors["stem.weight"].data[0];
        let weights = Weights::from_tensors(tensors, 0.25).unwrap();
        let folded = weights.folded(stem).unwrap();
        // gamma / sqrt(3.75 + 0.25) = 1.5; 0.5 - 2 * 1.5 = -2.5
        assert_eq!(folded.weight[0], first * 1.5);
        assert_eq!(folded.bias[0], -2.5);
    }

    #[test]
    fn useless_values_are_refused() {
        let (_, network) = fixture();
        for (name, value) in [("stem.bn.running_var", -1.0), ("stem.weight", f32::NAN), ("stem.bn.bias", f32::INFINITY)]
        {
            let mut tensors = seeded(&network, 1);
            tensors.get_mut(name).unwrap().data[1] = value;
            let weights = Weights::from_tensors(tensors, 1e-3).unwrap();
            assert!(matches!(weights.folded(network.conv("stem").unwrap()), Err(ModelError::Tensor { .. })), "{name}");
        }
    }

    #[test]
    fn every_difference_between_tensors_and_network_is_listed() {
        let (spec, network) = fixture();
        let mut tensors = seeded(&network, 1);
        tensors.remove("stem.weight");
        tensors.remove("blocks.3.project.bn.bias");
        tensors.insert("extra".into(), Tensor { shape: vec![1], data: vec![0.0] });
        tensors.get_mut("head.classifier.bias").unwrap().shape = vec![21, 1];
        let Err(ModelError::Tensors(problems)) = ModelFile::new(spec, tensors) else { panic!() };
        assert_eq!(problems.missing, ["stem.weight", "blocks.3.project.bn.bias"]);
        assert_eq!(problems.left_over, ["extra"]);
        assert_eq!(problems.wrong_shape.len(), 1);
        assert_eq!(problems.wrong_shape[0].expected, [21]);
    }

    #[test]
    fn a_bias_beside_batch_norm_leaves_the_batch_norm_over() {
        let (spec, network) = fixture();
        let mut tensors = seeded(&network, 1);
        tensors.insert("stem.bias".into(), Tensor { shape: vec![16], data: vec![0.0; 16] });
        let Err(ModelError::Tensors(problems)) = ModelFile::new(spec, tensors) else { panic!() };
        assert_eq!(problems.left_over.len(), 4);
        assert!(problems.left_over.iter().all(|name| name.starts_with("stem.bn.")));
    }

    #[test]
    fn files_that_are_no_models() {
        let good = bytes(Dtype::F32);
        let message = |bytes: Vec<u8>| ModelFile::from_bytes(bytes).unwrap_err().to_string();
        assert!(message(vec![]).contains("shorter"));
        assert!(message(b"a text file, not a model".to_vec()).contains("its header claims"));
        assert!(message(good[..good.len() - 1].to_vec()).contains("not a usable model"));
        let (empty, _) = encode(vec![], &BTreeMap::new()).unwrap();
        assert!(message(empty).contains("import files of other programs"));
        // A header of the file's size, which the limit rejects before anything is parsed.
        let mut header = vec![b' '; (MAX_HEADER + 17) as usize];
        header[..8].copy_from_slice(&(MAX_HEADER + 9).to_le_bytes());
        assert!(message(header).contains("more than"));
        assert!(matches!(ModelFile::open("/nonexistent"), Err(ModelError::Io { .. })));
        assert!(ModelFile::open(Folder::new().root()).unwrap_err().to_string().contains("regular file"));
    }

    #[test]
    fn static_bytes_on_any_border_are_read() {
        for dtype in [Dtype::F32, Dtype::F16] {
            let good = bytes(dtype);
            let mut shifted = vec![0u8; 1];
            shifted.extend_from_slice(&good);
            let leaked: &'static [u8] = Box::leak(shifted.into_boxed_slice());
            let odd = ModelFile::from_bytes(&leaked[1..]).unwrap();
            let even = ModelFile::from_bytes(good).unwrap();
            let mut spare = Spare::default();
            for conv in Network::native(odd.spec()).unwrap().convs() {
                let folded = odd.weights().folded_in(conv, &mut spare).unwrap();
                assert_eq!(folded, even.weights().folded(conv).unwrap());
                spare.put(folded.weight);
            }
        }
    }

    /// The fixture with its stem's weight quantised per channel, its bias as integers, and two known edges.
    fn quantised() -> ModelFile {
        let (spec, network) = fixture();
        let mut tensors = seeded(&network, 1);
        let mut quantised = QuantisedTensors::new();
        let stem = network.conv("stem").unwrap();
        for norm in stem.bn() {
            tensors.remove(&norm.name);
        }
        let shape = stem.weight().shape;
        let values = Integers::I8((0..shape.iter().product::<usize>()).map(|i| (i * 37 % 251) as i8).collect());
        let scale = (1..=shape[0]).map(|i| 0.1 / i as f32).collect();
        let zero_point = (0..shape[0] as i32).collect();
        let weight = QuantisedTensor { shape, values, quantisation: Quantisation { scale, zero_point, axis: 0 } };
        tensors.remove(&stem.weight().name);
        quantised.insert(stem.weight().name, weight);
        let values = Integers::I32((0..stem.c_out as i32).map(|i| i * 1000 - 3).collect());
        let quantisation = Quantisation { scale: vec![1e-4], zero_point: vec![], axis: 0 };
        quantised.insert(stem.bias().name, QuantisedTensor { shape: vec![stem.c_out], values, quantisation });
        let edge = ActivationQuantisation { element: ActivationElement::I8, scale: 0.05, zero_point: -128 };
        let activations = [("input".to_owned(), edge), ("stem.output".to_owned(), edge)].into();
        ModelFile::quantised(spec, tensors, quantised, activations).unwrap()
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "the same operations")]
    fn quantised_tensors_come_back() {
        let model = quantised();
        let bytes = to_bytes(model.spec(), model.weights(), Dtype::F16).unwrap();
        assert_eq!(bytes, to_bytes(model.spec(), model.weights(), Dtype::F16).unwrap());
        let back = ModelFile::from_bytes(bytes).unwrap();
        assert_eq!((back.dtype(), back.weights().activations()), (Dtype::I8, model.weights().activations()));
        let stem = Network::native(back.spec()).unwrap().conv("stem").unwrap().clone();
        let folded = back.weights().folded(&stem).unwrap();
        assert_eq!(folded, model.weights().folded(&stem).unwrap());
        assert_eq!(folded.weight[30], (f32::from((30 * 37 % 251) as u8 as i8) - 1.0) * (0.1 / 2.0));
        assert_eq!(folded.bias[2], 1997.0 * 1e-4);
        let view = back.weights().tensor("stem.weight").unwrap().unwrap();
        assert_eq!((view.bytes.len(), view.quantisation.unwrap().scale.len()), (16 * 27, 16));
        assert_eq!(back.weights().activation("stem.output").unwrap().zero_point, -128);
        assert!(back.weights().activation("blocks.1.output").is_none());
        // Blocks that are left out lose their edges too.
        assert_eq!(back.without_blocks(&[2]).unwrap().weights().activations().len(), 2);
    }

    /// The quantised fixture with one string of its header replaced by another of the same length.
    fn damaged(from: &str, to: &str) -> Result<ModelFile, ModelError> {
        let model = quantised();
        let mut bytes = to_bytes(model.spec(), model.weights(), Dtype::F32).unwrap();
        let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).expect(from);
        bytes[at..at + from.len()].copy_from_slice(format!("{to:<width$}", width = from.len()).as_bytes());
        ModelFile::from_bytes(bytes)
    }

    #[test]
    fn hostile_quantisations_are_refused() {
        for (from, to, why) in [
            (r#"\"scale\":[0.0001]"#, r#"\"scale\":[0.0]"#, "a scale is 0"),
            (r#"\"scale\":[0.0001]"#, r#"\"scale\":[-1]"#, "a scale is -1"),
            (r#"\"scale\":[0.0001]"#, r#"\"scale\":[9e99]"#, "a scale is inf"),
            (r#"\"scale\":[0.0001]"#, r#"\"scale\":[1,1]"#, "2 scales along dimension 0 of [16]"),
            (r#"\"scale\":[0.0001]"#, r#"\"scale\":[]"#, "0 scales"),
            (r#"\"scale\":[0.0001]"#, r#"\"scale\":1"#, "silhouette.quantisation"),
            (
                r#"[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15],\"axis\":0"#,
                r#"[0,1],\"axis\":0"#,
                "16 scales and 2 zero points",
            ),
            (r#"13,14,15],\"axis\":0"#, r#"13,14,15],\"axis\":4"#, "16 scales along dimension 4"),
            (r#"13,14,15],\"axis\":0"#, r#"13,14,15],\"axis\":1"#, "16 scales along dimension 1"),
            (r#"\"stem.bias\":{"#, r#"\"stem.mass\":{"#, "no tensor stem.mass"),
            (r#"\"input\":{"#, r#"\"inner\":{"#, "no such edge"),
            (r#"\"zero_point\":-128"#, r#"\"zero_point\":-129"#, "not in -128..=127"),
            (r#"\"scale\":0.05"#, r#"\"scale\":-1"#, "its scale is -1"),
            (r#"\"element\":\"i8\""#, r#"\"element\":\"f8\""#, "silhouette.activations"),
        ] {
            let text = damaged(from, to).unwrap_err().to_string();
            assert!(text.contains(why), "{to}: {text}");
        }
        // Integers without quantisation.
        assert!(damaged("silhouette.quantisation", "silhouette.nothing").unwrap_err().to_string().contains("I8"));
    }
}
