//! Weights: our `.safetensors` files with the spec in their metadata, tensors viewed where they lie, batch norm folded
//! on demand, seeded random weights for tests.
//!
//! A file is checked whole when it is opened: every tensor that the network needs is there in its shape, none is left
//! over, and everything wrong is listed at once. Nothing later has to ask again.

pub(crate) mod map;
mod seeded;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use safetensors::Dtype;
use safetensors::SafeTensors;

use self::map::Map;
pub use self::seeded::seeded;
use crate::error::{ModelError, TensorProblems, WrongShape};
use crate::network::{Conv, Network, TensorShape};
use crate::spec::Spec;

#[cfg(target_endian = "big")]
compile_error!("tensors are viewed in the file's byte order, which is little-endian");

/// The metadata key that holds the spec as JSON.
pub const SPEC_KEY: &str = "silhouette.spec";

/// Largest header of a `.safetensors` file, in bytes: a few thousand tensors and the labels of many thousand classes. To
/// parse one takes up to fourteen times its size in memory.
pub const MAX_HEADER: u64 = 1 << 20;

/// Tensors of fewer bytes are not let go one by one: see [`Weights::release`].
const RELEASED: usize = 1 << 14;

/// A tensor in memory: its shape and its values, last dimension fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Lengths of the dimensions.
    pub shape: Vec<usize>,
    /// As many values as the product of `shape`.
    pub data: Vec<f32>,
}

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// A tensor where it lies.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Element type in the file.
    pub dtype: Dtype,
    /// Lengths of the dimensions.
    pub shape: &'a [usize],
    /// The elements, little-endian, last dimension fastest.
    pub bytes: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// The values without a copy: of an f32 tensor that lies on a border of four bytes.
    pub fn as_f32(&self) -> Option<&'a [f32]> {
        if self.dtype == Dtype::F32 { bytemuck::try_cast_slice(self.bytes).ok() } else { None }
    }

    /// The values without a copy: of an f16 tensor that lies on a border of two bytes.
    pub fn as_f16(&self) -> Option<&'a [half::f16]> {
        let bits: &[u16] =
            if self.dtype == Dtype::F16 { bytemuck::try_cast_slice(self.bytes).ok()? } else { return None };
        Some(half::slice::HalfBitsSliceExt::reinterpret_cast(bits))
    }

    /// The values as f32, copied only where they have to be; `None` for other types than f32, f16 and bf16.
    pub fn to_f32(&self) -> Option<Cow<'a, [f32]>> {
        if let Some(values) = self.as_f32() {
            return Some(Cow::Borrowed(values));
        }
        let (pairs, quads) = (self.bytes.as_chunks::<2>().0, self.bytes.as_chunks::<4>().0);
        Some(Cow::Owned(match self.dtype {
            Dtype::F32 => quads.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            // All at once where they lie well: that way the CPU's own conversion is taken.
            Dtype::F16 => match self.as_f16() {
                Some(values) => half::slice::HalfFloatSliceExt::to_f32_vec(values),
                None => pairs.iter().map(|&b| half::f16::from_le_bytes(b).to_f32()).collect(),
            },
            Dtype::BF16 => pairs.iter().map(|&b| half::bf16::from_le_bytes(b).to_f32()).collect(),
            _ => return None,
        }))
    }
}

/// A convolution's weight and bias with batch norm folded in.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded<'a> {
    /// (O, I / groups, K, K); the file's own values where there was nothing to fold.
    pub weight: Cow<'a, [f32]>,
    /// (O).
    pub bias: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    range: Range<usize>,
}

#[derive(Debug)]
enum Storage {
    Mapped(Map),
    Bytes(Cow<'static, [u8]>),
    Floats(Vec<f32>),
}

impl Storage {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map.bytes(),
            Self::Bytes(bytes) => bytes,
            Self::Floats(floats) => bytemuck::cast_slice(floats),
        }
    }
}

/// Tensors by name, in a mapped file, in a file's bytes in memory, or made here.
#[derive(Debug)]
pub struct Weights {
    storage: Arc<Storage>,
    entries: BTreeMap<String, Entry>,
    epsilon: f64,
}

impl Weights {
    /// Tensors made in memory; `epsilon` is what batch norm adds to the variance.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] where a shape and the number of values do not go together.
    pub fn from_tensors(tensors: Tensors, epsilon: f64) -> Result<Self, ModelError> {
        let mut floats = Vec::new();
        let mut entries = BTreeMap::new();
        for (name, tensor) in tensors {
            let wanted = tensor.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            if wanted != Some(tensor.data.len()) {
                let what = format!("{} values for the shape {:?}", tensor.data.len(), tensor.shape);
                return Err(ModelError::Tensor { name, what });
            }
            let start = floats.len() * 4;
            floats.extend_from_slice(&tensor.data);
            let range = start..floats.len() * 4;
            entries.insert(name, Entry { dtype: Dtype::F32, shape: tensor.shape, range });
        }
        Ok(Self { storage: Arc::new(Storage::Floats(floats)), entries, epsilon })
    }

    /// Maps any `.safetensors` file, ours or another's (a PyTorch state dict): its tensors and its metadata, of which
    /// nothing is checked but that they lie inside the file. `epsilon` is what batch norm adds to the variance.
    ///
    /// # Errors
    /// [`ModelError::Io`]; [`ModelError::BadFile`] for anything that is not a whole `.safetensors` file.
    pub fn open(path: &Path, epsilon: f64) -> Result<(Self, HashMap<String, String>), ModelError> {
        Self::read(Storage::Mapped(Map::open(path, None)?), &path.display().to_string(), epsilon)
    }

    /// The same with the file's bytes in memory; `file` names them in errors.
    ///
    /// # Errors
    /// As [`Weights::open`].
    pub fn from_bytes(
        bytes: impl Into<Cow<'static, [u8]>>,
        file: &str,
        epsilon: f64,
    ) -> Result<(Self, HashMap<String, String>), ModelError> {
        Self::read(Storage::Bytes(bytes.into()), file, epsilon)
    }

    fn read(storage: Storage, file: &str, epsilon: f64) -> Result<(Self, HashMap<String, String>), ModelError> {
        let bytes = storage.bytes();
        let header = bytes.first_chunk::<8>().map(|n| u64::from_le_bytes(*n));
        let header = header.ok_or_else(|| ModelError::bad_file(file, "shorter than a safetensors header"))?;
        if header > bytes.len() as u64 - 8 {
            let what = format!("the header says it is {header} bytes long, the file has {}", bytes.len());
            return Err(ModelError::bad_file(file, what));
        }
        if header > MAX_HEADER {
            let what = format!("the header is {header} bytes long, more than {MAX_HEADER}");
            return Err(ModelError::bad_file(file, what));
        }
        // The crate checks that offsets follow one another, go with shape and type, and end where the file ends.
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| ModelError::bad_file(file, e.to_string()))?;
        let start = 8 + header as usize;
        let entries = metadata
            .tensors()
            .into_iter()
            .map(|(name, info)| {
                let range = start + info.data_offsets.0..start + info.data_offsets.1;
                (name, Entry { dtype: info.dtype, shape: info.shape.clone(), range })
            })
            .collect();
        let about = metadata.metadata().clone().unwrap_or_default();
        Ok((Self { storage: Arc::new(storage), entries, epsilon }, about))
    }

    /// The tensors of `network` alone, shared with these.
    fn only(&self, network: &Network) -> Self {
        let known: HashSet<String> = network.convs().flat_map(|conv| self.of(conv)).map(|tensor| tensor.name).collect();
        let entries = self.entries.iter().filter(|(name, _)| known.contains(*name));
        Self {
            storage: Arc::clone(&self.storage),
            entries: entries.map(|(name, entry)| (name.clone(), entry.clone())).collect(),
            epsilon: self.epsilon,
        }
    }

    /// Every tensor's name, in alphabetical order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let entry = self.entries.get(name)?;
        let bytes = &self.storage.bytes()[entry.range.clone()];
        Some(TensorView { dtype: entry.dtype, shape: &entry.shape, bytes })
    }

    /// What batch norm adds to the variance.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// Which file these come from and in which state it is; `None` for weights in memory.
    pub(crate) fn source(&self) -> Option<&str> {
        if let Storage::Mapped(map) = &*self.storage { Some(map.source()) } else { None }
    }

    /// Whether this convolution's batch norm is still separate.
    pub fn has_batch_norm(&self, conv: &Conv) -> bool {
        conv.batch_norm && self.entries.contains_key(&conv.bn()[0].name)
    }

    /// The tensors that `conv` is made of here: weight and bias, or weight and batch norm's four.
    pub fn of(&self, conv: &Conv) -> Vec<TensorShape> {
        let mut tensors = vec![conv.weight()];
        // Where a folded bias is present it is what counts; batch norm beside it is then left over.
        if conv.batch_norm && !self.entries.contains_key(&conv.bias().name) {
            tensors.extend(conv.bn());
        } else {
            tensors.push(conv.bias());
        }
        tensors
    }

    /// Whether these are exactly the tensors of `network`, in its shapes, of a type that can be read.
    ///
    /// # Errors
    /// [`ModelError::Tensors`] with everything that is missing, left over or wrong.
    pub fn check(&self, network: &Network) -> Result<(), ModelError> {
        let mut problems = TensorProblems::default();
        let mut known = HashSet::new();
        for conv in network.convs() {
            for TensorShape { name, shape } in self.of(conv) {
                match self.entries.get(&name) {
                    None => problems.missing.push(name.clone()),
                    Some(entry) if entry.shape != shape => {
                        let found = entry.shape.clone();
                        problems.wrong_shape.push(WrongShape { name: name.clone(), wanted: shape, found });
                    }
                    Some(entry) if !matches!(entry.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) => {
                        problems.wrong_type.push((name.clone(), entry.dtype.to_string()));
                    }
                    Some(_) => {}
                }
                known.insert(name);
            }
        }
        problems.left_over = self.entries.keys().filter(|name| !known.contains(*name)).cloned().collect();
        problems.into_result()
    }

    /// The tensor of this name and shape as f32.
    ///
    /// # Errors
    /// [`ModelError::Tensors`] where it is missing or of another shape or type.
    pub fn floats(&self, wanted: &TensorShape) -> Result<Cow<'_, [f32]>, ModelError> {
        let name = &wanted.name;
        let mut problems = TensorProblems::default();
        match self.tensor(name) {
            None => problems.missing.push(name.clone()),
            Some(view) if view.shape != wanted.shape => {
                let (wanted, found) = (wanted.shape.clone(), view.shape.to_vec());
                problems.wrong_shape.push(WrongShape { name: name.clone(), wanted, found });
            }
            Some(view) => match view.to_f32() {
                Some(values) => return Ok(values),
                None => problems.wrong_type.push((name.clone(), view.dtype.to_string())),
            },
        }
        Err(ModelError::Tensors(problems))
    }

    /// Weight and bias of `conv` with batch norm folded in: `weight * gamma / sqrt(var + eps)` and
    /// `beta - mean * gamma / sqrt(var + eps)`, computed in f64.
    ///
    /// # Errors
    /// [`ModelError::Tensors`] as [`Weights::check`]; [`ModelError::Tensor`] for a variance that has no root and for
    /// values that are not finite.
    pub fn folded(&self, conv: &Conv) -> Result<Folded<'_>, ModelError> {
        let mut weight = self.floats(&conv.weight())?;
        let bias = if self.has_batch_norm(conv) {
            let [gamma, beta, mean, var] = conv.bn();
            let (beta, mean) = (self.floats(&beta)?, self.floats(&mean)?);
            let scale = self.scale(&gamma, &var)?;
            let filter_len = conv.weight_shape()[1..].iter().product();
            for (filter, scale) in weight.to_mut().chunks_exact_mut(filter_len).zip(&scale) {
                for w in filter {
                    *w = (f64::from(*w) * scale) as f32;
                }
            }
            let shifted = beta.iter().zip(mean.iter()).zip(&scale);
            shifted.map(|((&b, &m), s)| (f64::from(b) - f64::from(m) * s) as f32).collect()
        } else {
            self.floats(&conv.bias())?.into_owned()
        };
        for (name, values) in [(conv.weight().name, &weight[..]), (conv.bias().name, &bias[..])] {
            // No early exit, so that it is done in vectors: every load goes through here.
            let all_finite = values.iter().fold(true, |all, v| all & v.is_finite());
            if !all_finite && let Some(bad) = values.iter().position(|v| !v.is_finite()) {
                return Err(ModelError::Tensor { name, what: format!("value {bad} is {}", values[bad]) });
            }
        }
        Ok(Folded { weight, bias })
    }

    /// gamma / sqrt(var + eps) of each channel.
    fn scale(&self, gamma: &TensorShape, var: &TensorShape) -> Result<Vec<f64>, ModelError> {
        let (gamma, variance) = (self.floats(gamma)?, self.floats(var)?);
        let scale = |(i, (&g, &v)): (usize, (&f32, &f32))| {
            let variance = f64::from(v) + self.epsilon;
            if variance > 0.0 {
                Ok(f64::from(g) / variance.sqrt())
            } else {
                Err(ModelError::Tensor { name: var.name.clone(), what: format!("value {i} is {v}, below 0") })
            }
        };
        gamma.iter().zip(variance.iter()).enumerate().map(scale).collect()
    }

    /// Lets the memory pages of `conv`'s tensors go, where they come from a mapped file: they have been packed
    /// elsewhere. Touched again, they are read again.
    pub fn release(&self, conv: &Conv) {
        if let Storage::Mapped(map) = &*self.storage {
            for tensor in self.of(conv) {
                // A call, and the page faults of its neighbours, cost more than a few pages are worth.
                if let Some(entry) = self.entries.get(&tensor.name).filter(|e| e.range.len() >= RELEASED) {
                    map.release(entry.range.clone());
                }
            }
        }
    }

    /// Lets the memory pages of the whole file go, its header included.
    pub fn release_all(&self) {
        if let Storage::Mapped(map) = &*self.storage {
            map.release(0..map.bytes().len());
        }
    }
}

/// A model: a spec and the weights that belong to it.
#[derive(Debug)]
pub struct ModelFile {
    spec: Spec,
    weights: Arc<Weights>,
}

impl ModelFile {
    /// Maps a model file into memory. The file must not be written to or cut while it is open (replacing it by a
    /// rename, as [`save`] does, is fine).
    ///
    /// # Errors
    /// [`ModelError::Io`]; [`ModelError::BadFile`] for a file that is no model of ours, or damaged;
    /// [`ModelError::UnknownFormat`], [`ModelError::Spec`], [`ModelError::TooLarge`] for its spec;
    /// [`ModelError::Tensors`] where tensors and spec do not agree.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let (weights, metadata) = Weights::open(path, 0.0)?;
        Self::check(&path.display().to_string(), weights, &metadata)
    }

    /// Maps a model that is a part of another file (an uncompressed asset of an app's package): the bytes `part`.
    ///
    /// # Errors
    /// As [`ModelFile::open`]; [`ModelError::BadFile`] also for a part that reaches past the file's end.
    pub fn open_part(path: impl AsRef<Path>, part: Range<u64>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let (weights, metadata) = Weights::read(Storage::Mapped(Map::open(path, Some(part))?), &name, 0.0)?;
        Self::check(&name, weights, &metadata)
    }

    /// A model file's bytes: a `Vec`, or a `&'static [u8]` built into the program (which is not copied).
    ///
    /// # Errors
    /// As [`ModelFile::open`].
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, ModelError> {
        let file = "model in memory";
        let (weights, metadata) = Weights::from_bytes(bytes, file, 0.0)?;
        Self::check(file, weights, &metadata)
    }

    /// A model made in memory (by an importer, or [`seeded()`]).
    ///
    /// # Errors
    /// [`ModelError::Spec`] and [`ModelError::TooLarge`] for the spec, [`ModelError::Tensors`] where tensors and spec do
    /// not agree.
    pub fn new(spec: Spec, tensors: Tensors) -> Result<Self, ModelError> {
        let weights = Weights::from_tensors(tensors, spec.batch_norm_epsilon)?;
        weights.check(&Network::native(&spec)?)?;
        Ok(Self { spec, weights: Arc::new(weights) })
    }

    fn check(file: &str, mut weights: Weights, metadata: &HashMap<String, String>) -> Result<Self, ModelError> {
        let json = metadata.get(SPEC_KEY).ok_or_else(|| {
            let what = format!("no {SPEC_KEY:?} in its metadata; a file of another program has to be imported first");
            ModelError::bad_file(file, what)
        })?;
        let spec = Spec::from_json(json)?;
        weights.epsilon = spec.batch_norm_epsilon;
        weights.check(&Network::native(&spec)?)?;
        Ok(Self { spec, weights: Arc::new(weights) })
    }

    /// The same weights, shared, in a network of another output stride.
    ///
    /// # Errors
    /// [`ModelError::Spec`] for another number than 8, 16 or 32.
    pub fn with_output_stride(&self, output_stride: usize) -> Result<Self, ModelError> {
        let spec = self.spec.with_output_stride(output_stride);
        self.weights.check(&Network::native(&spec)?)?;
        Ok(Self { spec, weights: Arc::clone(&self.weights) })
    }

    /// The same weights, shared, in a network without these residual blocks (paper, section 3.4: with its shortcut a block
    /// is the identity and something added to it). [`Spec::droppable_blocks`] are possible.
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
        self.weights.tensor("stem.weight").map_or(Dtype::F32, |view| view.dtype)
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

/// Writes a model file: whole or not at all, through a file beside it and a rename. `dtype`, F32 or F16, is what
/// convolution weights are stored in; biases and batch norm are few and stay F32. The same model gives the same bytes.
///
/// # Errors
/// [`ModelError::Tensors`] where weights and spec do not agree; [`ModelError::Tensor`] for a value that F16 cannot hold;
/// [`ModelError::Unsupported`] for another type; [`ModelError::Io`].
pub fn save(path: &Path, spec: &Spec, weights: &Weights, dtype: Dtype) -> Result<(), ModelError> {
    write_whole(path, &to_bytes(spec, weights, dtype)?)
}

/// The bytes that [`save`] writes.
///
/// # Errors
/// As [`save`], but for [`ModelError::Io`].
#[allow(clippy::missing_panics_doc, reason = "the names are the weights' own")]
pub fn to_bytes(spec: &Spec, weights: &Weights, dtype: Dtype) -> Result<Vec<u8>, ModelError> {
    weights.check(&Network::native(spec)?)?;
    let mut tensors = Vec::new();
    for name in weights.names() {
        let view = weights.tensor(name).expect("a name of these weights");
        let values = view.to_f32().expect("checked to be a float type");
        let dtype = if view.shape.len() == 4 { dtype } else { Dtype::F32 };
        let bytes = match dtype {
            Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Dtype::F16 => to_f16(name, &values)?,
            other => {
                let why = "model files hold F32 or F16".to_owned();
                return Err(ModelError::Unsupported { what: format!("storing weights as {other}"), why });
            }
        };
        tensors.push((name, Stored { dtype, shape: view.shape, bytes }));
    }
    let metadata = HashMap::from([(SPEC_KEY.to_owned(), spec.to_json())]);
    safetensors::serialize(tensors, Some(metadata)).map_err(|e| ModelError::bad_file("model", e.to_string()))
}

fn to_f16(name: &str, values: &[f32]) -> Result<Vec<u8>, ModelError> {
    let mut bytes = Vec::with_capacity(values.len() * 2);
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

struct Stored<'a> {
    dtype: Dtype,
    shape: &'a [usize],
    bytes: Vec<u8>,
}

impl safetensors::View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes beside `path`, then renames: who reads `path` meanwhile, or has it mapped, sees the old file or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    write_with(path, |file| file.write_all(bytes))
}

/// The same with what `content` writes.
pub(crate) fn write_with(
    path: &Path,
    content: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>,
) -> Result<(), ModelError> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary: PathBuf = path.with_file_name(name);
    let write = || {
        let mut file = std::fs::File::create(&temporary)?;
        content(&mut file)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        // Best effort: the error that counts is the first.
        let _ = std::fs::remove_file(&temporary);
        ModelError::io(path)(e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let folder = std::env::temp_dir().join(format!("silhouette-weights-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("fixture.safetensors");
        model.save(&path, Dtype::F32).unwrap();
        let back = ModelFile::open(&path).unwrap();
        assert_eq!(back.spec(), &spec);
        for conv in network.convs() {
            let folded = back.weights().folded(conv).unwrap();
            assert_eq!(folded, model.weights().folded(conv).unwrap());
            // Released pages come back with the same values.
            back.weights().release(conv);
            assert_eq!(folded, back.weights().folded(conv).unwrap());
        }
        back.weights().release_all();
        let view = back.weights().tensor("stem.weight").unwrap();
        assert_eq!(view.as_f32().unwrap(), &model.weights().floats(&network.stem.weight()).unwrap()[..]);
        // Saving over an open model leaves the open one as it was, and no temporary file behind.
        let before = back.weights().folded(&network.stem).unwrap();
        ModelFile::new(spec, seeded(&network, 2)).unwrap().save(&path, Dtype::F16).unwrap();
        assert_eq!(back.weights().folded(&network.stem).unwrap(), before);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn blocks_left_out_take_their_tensors_along() {
        let (spec, network) = fixture();
        let model = ModelFile::new(spec, seeded(&network, 1)).unwrap();
        let less = model.without_blocks(&[2, 8]).unwrap();
        let left: Vec<_> = model.weights().names().filter(|name| !less.weights().names().any(|n| n == *name)).collect();
        assert_eq!(left.len(), 2 * 3 * 5);
        assert!(left.iter().all(|name| name.starts_with("blocks.2.") || name.starts_with("blocks.8.")));
        // What is left is saved, and comes back as the same network.
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
        let (wide, narrow) = (bytes(Dtype::F32), bytes(Dtype::F16));
        assert!(narrow.len() < wide.len() * 6 / 10);
        let (wide, narrow) = (ModelFile::from_bytes(wide).unwrap(), ModelFile::from_bytes(narrow).unwrap());
        let view = narrow.weights().tensor("stem.weight").unwrap();
        assert_eq!(view.as_f16().unwrap().len(), network.stem.weight_shape().iter().product::<usize>());
        for conv in network.convs() {
            let (a, b) = (wide.weights().folded(conv).unwrap(), narrow.weights().folded(conv).unwrap());
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
        let stem = &network.stem;
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
            assert!(matches!(weights.folded(&network.stem), Err(ModelError::Tensor { .. })), "{name}");
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
        assert_eq!(problems.wrong_shape[0].wanted, [21]);
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
        assert!(message(b"a text file, not a model".to_vec()).contains("the header says"));
        assert!(message(good[..good.len() - 1].to_vec()).contains("not a usable model"));
        let empty = safetensors::serialize(Vec::<(&str, Stored)>::new(), None).unwrap();
        assert!(message(empty).contains("imported first"));
        // A header of the file's size that the limit refuses before anything is parsed.
        let mut header = vec![b' '; (MAX_HEADER + 17) as usize];
        header[..8].copy_from_slice(&(MAX_HEADER + 9).to_le_bytes());
        assert!(message(header).contains("more than"));
        assert!(matches!(ModelFile::open("/nonexistent"), Err(ModelError::Io { .. })));
        assert!(ModelFile::open(std::env::temp_dir()).unwrap_err().to_string().contains("regular file"));
    }

    #[test]
    fn static_bytes_on_any_border_are_read() {
        let good = bytes(Dtype::F32);
        let mut shifted = vec![0u8; 1];
        shifted.extend_from_slice(&good);
        let leaked: &'static [u8] = Box::leak(shifted.into_boxed_slice());
        let (odd, even) = (ModelFile::from_bytes(&leaked[1..]).unwrap(), ModelFile::from_bytes(good).unwrap());
        let stem = Network::native(odd.spec()).unwrap().stem;
        assert_eq!(odd.weights().folded(&stem).unwrap(), even.weights().folded(&stem).unwrap());
    }
}
