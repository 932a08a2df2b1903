//! A network's tensors by name: in an open or a mapped file, in a file's bytes in memory, or created in memory; batch
//! norm folded on demand.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use silhouette_kernels::memory::reserve;
use silhouette_network::error::{TensorProblems, WrongShape};
use silhouette_network::network::{Conv, Network, TensorShape};
use silhouette_network::spec::Spec;

use crate::ModelError;
use crate::map::Map;
use crate::on_demand::OnDemand;
use crate::quantisation::{ActivationQuantisation, Activations, Quantisation, QuantisedTensors};
use crate::spare::Spare;
use crate::tensor::{TensorView, Tensors, collect};

#[cfg(target_endian = "big")]
compile_error!("tensors are viewed in the file's byte order, which is little-endian");

/// The metadata key that holds the quantisation of tensors as JSON: name to [`Quantisation`].
pub const QUANTISATION_KEY: &str = "silhouette.quantisation";

/// The metadata key that holds the quantisation of the network's edges as JSON: name to [`ActivationQuantisation`].
pub const ACTIVATIONS_KEY: &str = "silhouette.activations";

/// Largest header of a `.safetensors` file, in bytes: a few thousand tensors and the labels of many thousand classes.
/// Parsing one takes up to fourteen times its size in memory.
pub const MAX_HEADER: u64 = 1 << 20;

/// Tensors with fewer bytes are not released individually: see [`Weights::release`].
const RELEASED: usize = 1 << 14;

/// A convolution's weight and bias with batch norm folded in.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded<'a> {
    /// (O, I / groups, K, K); the file's own values if there was nothing to fold.
    pub weight: Cow<'a, [f32]>,
    /// (O).
    pub bias: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    range: Range<usize>,
    quantisation: Option<Quantisation>,
}

#[derive(Debug)]
enum Storage {
    Mapped(Map),
    Bytes(Cow<'static, [u8]>),
    /// An open file, whose tensors are read when they are requested.
    File(OnDemand),
    /// Tensors created here, each aligned to four bytes.
    Words(Vec<u32>),
}

impl Storage {
    fn len(&self) -> u64 {
        match self {
            Self::Mapped(map) => map.bytes().len() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.len(),
            Self::Words(words) => size_of_val(&words[..]) as u64,
        }
    }

    /// The bytes of a range in it; if they must be read, into `bytes`.
    fn read(&self, range: Range<usize>, bytes: Vec<u8>) -> Result<Cow<'_, [u8]>, ModelError> {
        Ok(match self {
            Self::Mapped(map) => Cow::Borrowed(&map.bytes()[range]),
            Self::Bytes(all) => Cow::Borrowed(&all[range]),
            Self::File(file) => Cow::Owned(file.read(range.start as u64..range.end as u64, bytes)?),
            Self::Words(words) => Cow::Borrowed(&bytemuck::cast_slice(words)[range]),
        })
    }
}

/// Tensors by name, in an open or a mapped file, in a file's bytes in memory, or created here.
#[derive(Debug)]
pub struct Weights {
    storage: Arc<Storage>,
    entries: BTreeMap<String, Entry>,
    activations: Activations,
    epsilon: f64,
    /// In the head, whose convolutions' names begin with `head.`.
    head_epsilon: Option<f64>,
}

impl Weights {
    /// From tensors in memory; batch norm adds `epsilon` to the variance.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] if a shape and the number of values do not match; [`ModelError::OutOfMemory`].
    pub fn from_tensors(tensors: Tensors, epsilon: f64) -> Result<Self, ModelError> {
        Self::from_quantised(tensors, QuantisedTensors::new(), Activations::new(), epsilon)
    }

    /// The same including quantised tensors, and the known quantisation of the network's edges.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] if a shape, the number of values and the quantisation do not match, and for a name that
    /// is among both kinds of tensors; [`ModelError::OutOfMemory`].
    pub fn from_quantised(
        tensors: Tensors,
        quantised: QuantisedTensors,
        activations: Activations,
        epsilon: f64,
    ) -> Result<Self, ModelError> {
        let mut words: Vec<u32> = Vec::new();
        let floats = tensors.values().map(|tensor| tensor.data.len());
        let whole = quantised.values().map(|tensor| tensor.values.bytes().len().div_ceil(4));
        reserve(&mut words, floats.chain(whole).sum(), "a model's tensors")?;
        let mut entries = BTreeMap::new();
        for (name, tensor) in tensors {
            let expected = tensor.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            if expected != Some(tensor.data.len()) {
                let what = format!("{} values for the shape {:?}", tensor.data.len(), tensor.shape);
                return Err(ModelError::Tensor { name, what });
            }
            let start = words.len() * 4;
            words.extend(tensor.data.iter().map(|v| v.to_bits()));
            let range = start..words.len() * 4;
            entries.insert(name, Entry { dtype: Dtype::F32, shape: tensor.shape, range, quantisation: None });
        }
        for (name, tensor) in quantised {
            let checked = tensor.check().and_then(|()| {
                if entries.contains_key(&name) { Err("it exists as floats too".to_owned()) } else { Ok(()) }
            });
            checked.map_err(|what| ModelError::Tensor { name: name.clone(), what })?;
            let bytes = tensor.values.bytes();
            let start = words.len() * 4;
            let (quads, rest) = bytes.as_chunks::<4>();
            words.extend(quads.iter().map(|&b| u32::from_le_bytes(b)));
            if !rest.is_empty() {
                let mut last = [0; 4];
                last[..rest.len()].copy_from_slice(rest);
                words.push(u32::from_le_bytes(last));
            }
            let range = start..start + bytes.len();
            let quantisation = Some(tensor.quantisation);
            entries.insert(name, Entry { dtype: tensor.values.dtype(), shape: tensor.shape, range, quantisation });
        }
        check_activations(&activations).map_err(|(name, what)| ModelError::Tensor { name, what })?;
        Ok(Self { storage: Arc::new(Storage::Words(words)), entries, activations, epsilon, head_epsilon: None })
    }

    /// Opens any `.safetensors` file, ours or another's (a PyTorch state dict): its tensors and its metadata. The only
    /// checks are that the tensors are inside the file and that their quantisation is possible. Each tensor is read
    /// when it is requested, which fails if the file was written to since. Batch norm adds `epsilon` to the variance.
    ///
    /// # Errors
    /// [`ModelError::Io`]; [`ModelError::BadFile`] for anything but a complete `.safetensors` file.
    pub fn open(path: &Path, epsilon: f64) -> Result<(Self, BTreeMap<String, String>), ModelError> {
        Self::open_part(path, None, epsilon)
    }

    /// The same for the file at `part` of another one.
    pub(crate) fn open_part(
        path: &Path,
        part: Option<Range<u64>>,
        epsilon: f64,
    ) -> Result<(Self, BTreeMap<String, String>), ModelError> {
        Self::read(Storage::File(OnDemand::open(path, part)?), &path.display().to_string(), epsilon)
    }

    /// The same with the file's bytes in memory; `file` names them in errors.
    ///
    /// # Errors
    /// As [`Weights::open`].
    pub fn from_bytes(
        bytes: impl Into<Cow<'static, [u8]>>,
        file: &str,
        epsilon: f64,
    ) -> Result<(Self, BTreeMap<String, String>), ModelError> {
        Self::read(Storage::Bytes(bytes.into()), file, epsilon)
    }

    /// Maps a `.safetensors` file.
    pub(crate) fn map(path: &Path, epsilon: f64) -> Result<(Self, BTreeMap<String, String>), ModelError> {
        Self::read(Storage::Mapped(Map::open(path)?), &path.display().to_string(), epsilon)
    }

    fn read(storage: Storage, file: &str, epsilon: f64) -> Result<(Self, BTreeMap<String, String>), ModelError> {
        let bad = |what: String| ModelError::bad_file(file, what);
        let length = storage.len();
        if usize::try_from(length).is_err() {
            return Err(bad("it is larger than the address space".into()));
        }
        let header = header_length(&storage.read(0..length.min(8) as usize, Vec::new())?, length).map_err(bad)?;
        let start = 8 + header as usize;
        let metadata = read_header(&storage.read(8..start, Vec::new())?, length - start as u64).map_err(bad)?;
        let mut entries: BTreeMap<String, Entry> = metadata
            .tensors()
            .into_iter()
            .map(|(name, info)| {
                let range = start + info.data_offsets.0..start + info.data_offsets.1;
                (name, Entry { dtype: info.dtype, shape: info.shape.clone(), range, quantisation: None })
            })
            .collect();
        let about: BTreeMap<_, _> = metadata.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        if let Some(json) = about.get(QUANTISATION_KEY) {
            let bad = |what: String| ModelError::bad_file(file, format!("{QUANTISATION_KEY}: {what}"));
            let quantised: BTreeMap<String, Quantisation> =
                serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
            for (name, quantisation) in quantised {
                let entry = entries.get_mut(&name).ok_or_else(|| bad(format!("it has no tensor {name}")))?;
                if !matches!(entry.dtype, Dtype::I8 | Dtype::U8 | Dtype::I32) {
                    return Err(bad(format!("tensor {name} is {}", entry.dtype)));
                }
                quantisation.check(&entry.shape).map_err(|what| bad(format!("tensor {name}: {what}")))?;
                entry.quantisation = Some(quantisation);
            }
        }
        let mut activations = Activations::new();
        if let Some(json) = about.get(ACTIVATIONS_KEY) {
            let bad = |what: String| ModelError::bad_file(file, format!("{ACTIVATIONS_KEY}: {what}"));
            activations = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
            check_activations(&activations).map_err(|(name, what)| bad(format!("{name}: {what}")))?;
        }
        Ok((Self { storage: Arc::new(storage), entries, activations, epsilon, head_epsilon: None }, about))
    }

    /// Only the tensors of `network`, shared with these.
    pub(crate) fn only(&self, network: &Network) -> Self {
        let known: HashSet<String> = network.convs().flat_map(|conv| self.of(conv)).map(|tensor| tensor.name).collect();
        let entries = self.entries.iter().filter(|(name, _)| known.contains(*name));
        let edges = edges(network);
        let activations = self.activations.iter().filter(|(name, _)| edges.contains(*name));
        Self {
            storage: Arc::clone(&self.storage),
            entries: entries.map(|(name, entry)| (name.clone(), entry.clone())).collect(),
            activations: activations.map(|(name, edge)| (name.clone(), *edge)).collect(),
            epsilon: self.epsilon,
            head_epsilon: self.head_epsilon,
        }
    }

    /// Every tensor's name, in alphabetical order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> usize {
        self.entries.values().map(|entry| entry.range.len()).sum()
    }

    /// The tensor with this name, if there is one.
    ///
    /// # Errors
    /// [`ModelError::BadFile`] if the file was written to since it was opened; [`ModelError::Io`].
    pub fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>, ModelError> {
        self.tensor_in(name, Vec::new())
    }

    /// The same; if it must be read, into `bytes`.
    fn tensor_in(&self, name: &str, bytes: Vec<u8>) -> Result<Option<TensorView<'_>>, ModelError> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        let shape = &entry.shape;
        let quantisation = entry.quantisation.as_ref();
        let bytes = self.storage.read(entry.range.clone(), bytes)?;
        Ok(Some(TensorView { dtype: entry.dtype, shape, bytes, quantisation }))
    }

    /// The element type of the tensor with this name.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.entries.get(name).map(|entry| entry.dtype)
    }

    /// The known quantisation of the network's edges.
    pub fn activations(&self) -> &Activations {
        &self.activations
    }

    /// What the bytes of an edge represent in a quantised model: of `input`, or of `{name}.output` for the convolution
    /// or block with that name.
    pub fn activation(&self, edge: &str) -> Option<ActivationQuantisation> {
        self.activations.get(edge).copied()
    }

    /// What batch norm adds to the variance in the convolution (or tensor) with this name.
    pub fn epsilon(&self, name: &str) -> f64 {
        if name.starts_with("head.") { self.head_epsilon.unwrap_or(self.epsilon) } else { self.epsilon }
    }

    /// The same tensors with the epsilons of a spec.
    pub(crate) fn with_epsilons(self, spec: &Spec) -> Self {
        Self { epsilon: spec.batch_norm_epsilon, head_epsilon: spec.head_batch_norm_epsilon, ..self }
    }

    /// Identifies the file of these weights and its state; `None` for weights in memory.
    pub fn source(&self) -> Option<&str> {
        match &*self.storage {
            Storage::Mapped(map) => Some(map.source()),
            Storage::File(file) => Some(file.source()),
            Storage::Bytes(_) | Storage::Words(_) => None,
        }
    }

    /// Whether this convolution's batch norm is not yet folded.
    pub fn has_batch_norm(&self, conv: &Conv) -> bool {
        conv.batch_norm && self.entries.contains_key(&conv.bn()[0].name)
    }

    /// The tensors of `conv` here: weight and bias, or weight and batch norm's four.
    pub fn of(&self, conv: &Conv) -> Vec<TensorShape> {
        let mut tensors = vec![conv.weight()];
        // If a folded bias exists, it is used; batch norm beside it is then left over.
        if conv.batch_norm && !self.entries.contains_key(&conv.bias().name) {
            tensors.extend(conv.bn());
        } else {
            tensors.push(conv.bias());
        }
        tensors
    }

    /// Checks that these are exactly the tensors of `network`, in its shapes, of a readable type, and that the
    /// quantised edges are its own.
    ///
    /// # Errors
    /// [`ModelError::Tensors`] listing everything that is missing, left over or wrong; [`ModelError::Tensor`] for an
    /// edge that the network does not have.
    pub fn check(&self, network: &Network) -> Result<(), ModelError> {
        let mut problems = TensorProblems::default();
        let mut known = HashSet::new();
        for conv in network.convs() {
            for TensorShape { name, shape } in self.of(conv) {
                match self.entries.get(&name) {
                    None => problems.missing.push(name.clone()),
                    Some(entry) if entry.shape != shape => {
                        let found = entry.shape.clone();
                        problems.wrong_shape.push(WrongShape { name: name.clone(), expected: shape, found });
                    }
                    Some(entry)
                        if entry.quantisation.is_none()
                            && !matches!(entry.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) =>
                    {
                        problems.wrong_type.push((name.clone(), entry.dtype.to_string()));
                    }
                    Some(_) => {}
                }
                known.insert(name);
            }
        }
        problems.left_over = self.entries.keys().filter(|name| !known.contains(*name)).cloned().collect();
        problems.into_result()?;
        let edges = edges(network);
        match self.activations.keys().find(|edge| !edges.contains(*edge)) {
            Some(edge) => Err(ModelError::Tensor { name: edge.clone(), what: "the network has no such edge".into() }),
            None => Ok(()),
        }
    }

    /// The tensor with this name and shape as f32.
    ///
    /// # Errors
    /// [`ModelError::Tensors`] if it is missing or has another shape or type; as [`tensor`](Self::tensor).
    pub fn floats(&self, expected: &TensorShape) -> Result<Cow<'_, [f32]>, ModelError> {
        self.floats_in(expected, &mut Spare::default())
    }

    /// The same in memory from `spare`.
    fn floats_in(&self, expected: &TensorShape, spare: &mut Spare) -> Result<Cow<'_, [f32]>, ModelError> {
        let name = &expected.name;
        let mut problems = TensorProblems::default();
        match self.tensor_in(name, std::mem::take(&mut spare.bytes))? {
            None => problems.missing.push(name.clone()),
            Some(view) if view.shape != expected.shape => {
                let expected = expected.shape.clone();
                let found = view.shape.to_vec();
                problems.wrong_shape.push(WrongShape { name: name.clone(), expected, found });
            }
            Some(view) => {
                let dtype = view.dtype;
                match view.into_f32_in(spare)? {
                    Some(values) => return Ok(values),
                    None => problems.wrong_type.push((name.clone(), dtype.to_string())),
                }
            }
        }
        Err(ModelError::Tensors(problems))
    }

    /// Weight and bias of `conv` with batch norm folded in: `weight * gamma / sqrt(var + eps)` and
    /// `beta - mean * gamma / sqrt(var + eps)`, computed in f64.
    ///
    /// # Errors
    /// [`ModelError::Tensors`] as [`Weights::check`]; [`ModelError::Tensor`] for a negative variance and for values
    /// that are not finite; [`ModelError::OutOfMemory`].
    pub fn folded(&self, conv: &Conv) -> Result<Folded<'_>, ModelError> {
        self.folded_in(conv, &mut Spare::default())
    }

    /// The same in memory from `spare`, to which the caller may return it ([`Spare::put`]): for many convolutions, one
    /// after the other.
    ///
    /// # Errors
    /// As [`folded`](Self::folded).
    pub fn folded_in(&self, conv: &Conv, spare: &mut Spare) -> Result<Folded<'_>, ModelError> {
        let mut weight = self.floats_in(&conv.weight(), spare)?;
        if self.has_batch_norm(conv)
            && let Cow::Borrowed(values) = weight
        {
            weight = Cow::Owned(spare.collect(values.iter().copied())?);
        }
        let bias = if self.has_batch_norm(conv) {
            let [gamma, beta, mean, var] = conv.bn();
            let beta = self.floats(&beta)?;
            let mean = self.floats(&mean)?;
            let scale = self.scale(&gamma, &var)?;
            let filter_len = conv.weight_shape()[1..].iter().product();
            for (filter, scale) in weight.to_mut().chunks_exact_mut(filter_len).zip(&scale) {
                for w in filter {
                    *w = (f64::from(*w) * scale) as f32;
                }
            }
            let shifted = beta.iter().zip(mean.iter()).zip(&scale);
            collect(shifted.map(|((&b, &m), s)| (f64::from(b) - f64::from(m) * s) as f32))?
        } else {
            match self.floats(&conv.bias())? {
                Cow::Owned(bias) => bias,
                Cow::Borrowed(bias) => collect(bias.iter().copied())?,
            }
        };
        for (name, values) in [(conv.weight().name, &weight[..]), (conv.bias().name, &bias[..])] {
            // No early exit, so that it is vectorised: every load goes through here.
            let all_finite = values.iter().fold(true, |all, v| all & v.is_finite());
            if !all_finite && let Some(bad) = values.iter().position(|v| !v.is_finite()) {
                return Err(ModelError::Tensor { name, what: format!("value {bad} is {}", values[bad]) });
            }
        }
        Ok(Folded { weight, bias })
    }

    /// gamma / sqrt(var + eps) of each channel.
    fn scale(&self, gamma: &TensorShape, var: &TensorShape) -> Result<Vec<f64>, ModelError> {
        let gamma = self.floats(gamma)?;
        let variance = self.floats(var)?;
        let epsilon = self.epsilon(&var.name);
        let scale = |(i, (&g, &v)): (usize, (&f32, &f32))| {
            let variance = f64::from(v) + epsilon;
            if variance > 0.0 {
                Ok(f64::from(g) / variance.sqrt())
            } else {
                Err(ModelError::Tensor { name: var.name.clone(), what: format!("value {i} is {v}, below 0") })
            }
        };
        gamma.iter().zip(variance.iter()).enumerate().map(scale).collect()
    }

    /// Releases the memory pages of `conv`'s tensors if they come from a mapped file: they have been packed elsewhere.
    /// When touched, they are read again.
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

    /// Releases the memory pages of the whole file, including its header.
    pub fn release_all(&self) {
        if let Storage::Mapped(map) = &*self.storage {
            map.release(0..map.bytes().len());
        }
    }
}

/// Length of the header of a file of `length` bytes that begins with `bytes`.
fn header_length(bytes: &[u8], length: u64) -> Result<u64, String> {
    let header = bytes.first_chunk::<8>().map(|n| u64::from_le_bytes(*n));
    let header = header.ok_or("it is shorter than a safetensors header")?;
    if length.checked_sub(8).is_none_or(|rest| header > rest) {
        return Err(format!("its header claims {header} bytes, the file has {length}"));
    }
    if header > MAX_HEADER {
        return Err(format!("its header has {header} bytes, more than {MAX_HEADER}"));
    }
    Ok(header)
}

/// Parses the JSON of a header of a file with `data` bytes after it: tensors are consecutive, their lengths match type
/// and shape, and the last ends where the file ends. (The checks of `SafeTensors::read_metadata`, which needs the whole
/// file in memory.)
fn read_header(json: &[u8], data: u64) -> Result<Metadata, String> {
    let metadata: Metadata = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let mut end = 0;
    // In the order of their offsets.
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let (begins, ends) = info.data_offsets;
        let values = info.shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
        let bits = values.and_then(|n| n.checked_mul(info.dtype.bitsize()));
        let Some(bits) = bits.filter(|bits| bits % 8 == 0) else {
            return Err(format!("tensor {name}: {} {:?} is impossible", info.dtype, info.shape));
        };
        if begins != end || ends.checked_sub(begins) != Some(bits / 8) {
            let found = format!("bytes {begins} to {ends}");
            return Err(format!("tensor {name}: {found}, not {end} to {}", end.saturating_add(bits / 8)));
        }
        end = ends;
    }
    if end as u64 != data {
        return Err(format!("its header describes {end} bytes of tensors, it has {data}"));
    }
    Ok(metadata)
}

/// The edges of a network that can be quantised: its input, and the output of each node and of each convolution in it.
fn edges(network: &Network) -> HashSet<String> {
    let nodes = network.nodes().iter().skip(1).map(|node| node.name.as_str());
    let names = nodes.chain(network.convs().map(|conv| conv.name.as_str()));
    names.map(|name| format!("{name}.output")).chain(["input".to_owned()]).collect()
}

/// The first edge whose quantisation is impossible, and why.
fn check_activations(activations: &Activations) -> Result<(), (String, String)> {
    activations.iter().try_for_each(|(name, edge)| edge.check().map_err(|what| (name.clone(), what)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers of files with eight bytes of tensors, good and bad, compared with the crate's verdict on the whole file.
    #[test]
    fn headers_are_read_as_by_the_crate() {
        let tensor = |dtype: &str, shape: &str, from: u64, to: u64| {
            format!("{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}")
        };
        let huge = "[4294967296,4294967296,2]";
        let headers = [
            format!("{{\"a\":{},\"b\":{}}}", tensor("F32", "[1]", 4, 8), tensor("F16", "[1,2]", 0, 4)),
            format!("{{\"a\":{},\"b\":{}}}", tensor("F32", "[2]", 0, 8), tensor("U8", "[0]", 8, 8)),
            format!("{{\"__metadata__\":{{\"x\":\"y\"}},\"a\":{}}}", tensor("F64", "[]", 0, 8)),
            format!("{{\"a\":{}}}", tensor("F32", "[1]", 0, 4)),
            format!("{{\"a\":{}}}", tensor("F32", "[3]", 0, 8)),
            format!("{{\"a\":{}}}", tensor("F32", "[2]", 8, 0)),
            format!("{{\"a\":{},\"b\":{}}}", tensor("F32", "[1]", 0, 4), tensor("F32", "[1]", 0, 4)),
            format!("{{\"a\":{},\"b\":{}}}", tensor("U8", "[3]", 0, 3), tensor("U8", "[4]", 4, 8)),
            format!("{{\"a\":{}}}", tensor("F32", huge, 0, 8)),
            format!("{{\"a\":{}}}", tensor("F32", huge, 0, u64::MAX)),
            format!("{{\"a\":{}}}", tensor("F4", "[16]", 0, 8)),
            format!("{{\"a\":{}}}", tensor("F4", "[15]", 0, 8)),
            format!("{{\"a\":{}}}", tensor("F99", "[2]", 0, 8)),
            "{}".to_owned(),
            "[]".to_owned(),
            "{\"a\":".to_owned(),
        ];
        let mut good = 0;
        for header in headers {
            let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat();
            let theirs = safetensors::SafeTensors::read_metadata(&file);
            let ours = read_header(header.as_bytes(), 8);
            assert_eq!(ours.is_ok(), theirs.is_ok(), "{header}: {ours:?}, {theirs:?}");
            let of = |metadata: &Metadata| {
                let mut all: Vec<_> = metadata.tensors().iter().map(|(n, i)| (n.clone(), i.data_offsets)).collect();
                all.sort();
                all
            };
            if let (Ok(ours), Ok((_, theirs))) = (ours, theirs) {
                assert_eq!(of(&ours), of(&theirs));
                good += 1;
            }
        }
        assert_eq!(good, 4);
    }
}
