//! Reads state dicts from their containers: a `.pth` (a zip archive of a pickle and of raw storages) or a
//! `.safetensors` file, to tensors by name. All sizes are checked against the file before anything is allocated.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::ops::Range;

use safetensors::{Dtype, SafeTensors};
use silhouette_weights::MAX_HEADER;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Id, Item, Pickle};
use crate::budget::Budget;
use crate::error::ImportError;
use crate::tensor::{Number, Tensor};

/// Tensors by the file's names; `None`: integers, such as batch norm's counters.
pub(super) type StateDict<'a> = BTreeMap<String, Option<Tensor<'a>>>;

/// Keys under which training scripts store the state dict in their checkpoints, next to optimisers and counters.
const INNER: [&str; 6] = ["model_state", "state_dict", "model_state_dict", "model", "state_dict_ema", "model_ema"];

/// A network of a thousand tensors has just over a thousand entries.
const MAX_ENTRIES: usize = 1 << 14;

/// Of an entry's name, and of what else is next to it in the directory, which the archive's reader copies more than once.
const MAX_NAMES: usize = 1 << 22;

fn damaged(place: impl Into<String>, problem: impl Into<String>) -> ImportError {
    ImportError::Damaged { format: "PyTorch", place: place.into(), problem: problem.into() }
}

/// Checks that the tensors' names are those of a known network, before any values are created.
pub(super) type Known<'a> = &'a dyn Fn(&[&str]) -> Result<(), ImportError>;

/// Reads a `.safetensors` file.
pub(super) fn safetensors<'a>(bytes: &'a [u8], known: Known<'_>) -> Result<StateDict<'a>, ImportError> {
    let refuse = |problem: String| ImportError::Damaged { format: "safetensors", place: "the header".into(), problem };
    // The header's length is stored before it. Parsing one takes many times its size in memory.
    let header = bytes.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length));
    if header > MAX_HEADER {
        return Err(refuse(format!("it is {header} bytes long, more than {MAX_HEADER}")));
    }
    let file = SafeTensors::deserialize(bytes).map_err(|error| refuse(error.to_string()))?;
    known(&file.names())?;
    let mut state = StateDict::new();
    for (name, view) in file.iter() {
        let number = match view.dtype() {
            Dtype::F16 => Number::F16,
            Dtype::BF16 => Number::Bf16,
            Dtype::F32 => Number::F32,
            Dtype::F64 => Number::F64,
            Dtype::I64 | Dtype::U64 | Dtype::I32 | Dtype::U32 | Dtype::U8 | Dtype::I8 | Dtype::BOOL => {
                state.insert(name.to_owned(), None);
                continue;
            }
            other => {
                return Err(ImportError::Unsupported {
                    what: format!("tensor '{}' of type {other:?}", name.escape_debug()),
                    instead: "float32, float16, bfloat16 and float64 are".into(),
                });
            }
        };
        let tensor = Tensor::new(number, view.data(), view.shape().to_vec());
        let tensor = tensor.ok_or_else(|| refuse(format!("tensor '{}' has another length", name.escape_debug())))?;
        state.insert(name.to_owned(), Some(tensor));
    }
    Ok(state)
}

/// Reads a `.pth` file.
pub(super) fn pth<'a>(bytes: &'a [u8], known: Known<'_>) -> Result<StateDict<'a>, ImportError> {
    let entries = entries(bytes)?;
    let Some((folder, pickle)) =
        entries.iter().find_map(|(name, range)| Some((name.strip_suffix("data.pkl")?, range.clone())))
    else {
        return Err(damaged("the zip archive", "it has no data.pkl; is it a PyTorch file?"));
    };
    if let Some(order) = entries.get(&format!("{folder}byteorder")).map(|range| &bytes[range.clone()])
        && order != b"little"
    {
        return Err(ImportError::Unsupported {
            what: format!("a {}-endian PyTorch file", order.escape_ascii()),
            instead: "load it and save it again on a little-endian machine".into(),
        });
    }
    let pickle = Pickle::read(&bytes[pickle])?;
    let reader = Storages { bytes, entries: &entries, folder, pickle: &pickle };
    reader.state_dict(known)
}

/// The archive's entries and the positions of their bytes; PyTorch stores them uncompressed.
fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>, ImportError> {
    let refuse = |error: zip::result::ZipError| damaged("the zip archive", error.to_string());
    check_directory(bytes).map_err(|problem| damaged("the zip archive", problem))?;
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(refuse)?;
    let mut entries = BTreeMap::new();
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index).map_err(refuse)?;
        let name = file.name().map_err(refuse)?.into_owned();
        let place = || format!("the zip archive's entry '{}'", name.escape_debug());
        if file.encrypted() || file.compression() != CompressionMethod::Stored {
            return Err(ImportError::Unsupported {
                what: place() + ", which is compressed or encrypted,",
                instead: "save it as PyTorch does".into(),
            });
        }
        let range = file.data_start().and_then(|start| {
            let end = start.checked_add(file.compressed_size())?;
            let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
            (range.end <= bytes.len() && file.size() == file.compressed_size()).then_some(range)
        });
        let range = range.ok_or_else(|| damaged(place(), "it reaches beyond the file"))?;
        drop(file);
        entries.insert(name, range);
    }
    Ok(entries)
}

/// Checks that the archive's directory, wherever it is, has no more entries than allowed: its reader allocates several
/// times an entry's size for each, and space for all claimed entries at once.
fn check_directory(bytes: &[u8]) -> Result<(), String> {
    let mut budget = Budget::new("entries", MAX_ENTRIES);
    let mut names = Budget::new("bytes of names", MAX_NAMES);
    // Signatures of file entries, and of the directory's end where it can claim more than two bytes hold. (The length
    // check excludes other data that begins with the same signature.)
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == b'P') {
        rest = &rest[at..];
        let number = |from: usize, length: usize| {
            let digits = rest.get(from..from + length).unwrap_or_default();
            digits.iter().rev().fold(0u64, |number, &digit| number << 8 | u64::from(digit))
        };
        let claimed = match rest.get(1..4) {
            Some(b"K\x01\x02") => {
                budget.spend(1)?;
                names.spend([28, 30, 32].map(|length| number(length, 2) as usize).iter().sum())?;
                0
            }
            Some(b"K\x06\x06") if (44..1 << 16).contains(&number(4, 8)) => number(32, 8),
            _ => 0,
        };
        if claimed > MAX_ENTRIES as u64 {
            return Err(format!("it claims {claimed} entries; the limit is {MAX_ENTRIES}"));
        }
        rest = &rest[1..];
    }
    Ok(())
}

struct Storages<'s, 'a> {
    bytes: &'a [u8],
    entries: &'s BTreeMap<String, Range<usize>>,
    folder: &'s str,
    pickle: &'s Pickle<'a>,
}

impl<'a> Storages<'_, 'a> {
    fn state_dict(&self, known: Known<'_>) -> Result<StateDict<'a>, ImportError> {
        let pickle = self.pickle;
        let Some(root) = pickle.dict(pickle.root) else {
            return Err(ImportError::Unsupported {
                what: "a pickled object that is not a dict (a whole module, a script)".into(),
                instead: "save the module's state_dict()".into(),
            });
        };
        let has_tensors =
            |entries: &[(Id, Id)]| entries.iter().any(|&(_, value)| self.tensor_arguments(value).is_some());
        let inner = |key: &&str| {
            let (_, value) = root.iter().find(|(k, _)| pickle.text(*k) == Some(key))?;
            pickle.dict(*value).filter(|entries| has_tensors(entries))
        };
        let entries = if has_tensors(root) { Some(root) } else { INNER.iter().find_map(inner) };
        let Some(entries) = entries else {
            let keys: Vec<&str> = root.iter().take(10).filter_map(|(key, _)| pickle.text(*key)).collect();
            return Err(ImportError::UnknownNetwork {
                place: "data.pkl".into(),
                problem: format!(
                    "it has no tensors, neither at the top level nor under {}; it has {keys:?}",
                    INNER.join(", ")
                ),
            });
        };
        known(&entries.iter().filter_map(|&(key, _)| pickle.text(key)).collect::<Vec<_>>())?;
        let mut state = StateDict::new();
        // Tensors may share a storage, but not so often that they exceed the file's size: its numbers have two bytes or
        // more.
        let mut budget = self.bytes.len() / 2;
        for &(key, value) in entries {
            let Some(name) = pickle.text(key) else {
                return Err(damaged("data.pkl", "a name in the state dict is not a string"));
            };
            let place = || format!("tensor '{}'", name.escape_debug());
            let tensor = match self.tensor_arguments(value) {
                Some(arguments) => self.tensor(arguments, &place(), &mut budget)?,
                None => return Err(damaged(place(), "it is not a tensor")),
            };
            state.insert(name.to_owned(), tensor);
        }
        Ok(state)
    }

    /// The arguments of `torch._utils._rebuild_tensor_v2`, inside `_rebuild_parameter` or on its own.
    fn tensor_arguments(&self, id: Id) -> Option<&[Id]> {
        let (name, arguments) = self.call(id)?;
        let (name, arguments) = match (name, arguments) {
            ("_rebuild_parameter", [inner, ..]) => self.call(*inner)?,
            outer => outer,
        };
        (name == "_rebuild_tensor_v2").then_some(arguments)
    }

    fn call(&self, id: Id) -> Option<(&str, &[Id])> {
        let Item::Call { function, arguments } = self.pickle.item(id) else { return None };
        let Item::Global("torch._utils", name) = self.pickle.item(*function) else { return None };
        Some((name, self.pickle.tuple(*arguments)?))
    }

    fn tensor(&self, arguments: &[Id], place: &str, budget: &mut usize) -> Result<Option<Tensor<'a>>, ImportError> {
        let pickle = self.pickle;
        let unreadable = || damaged(place, "its description is invalid");
        let &[storage, offset, shape, strides, ..] = arguments else { return Err(unreadable()) };
        let Item::Persistent(storage) = pickle.item(storage) else { return Err(unreadable()) };
        let Some(&[_, class, key, ..]) = pickle.tuple(*storage) else { return Err(unreadable()) };
        let (Item::Global(_, class), Some(key)) = (pickle.item(class), pickle.text(key)) else {
            return Err(unreadable());
        };
        let number = match *class {
            "HalfStorage" => Some(Number::F16),
            "BFloat16Storage" => Some(Number::Bf16),
            "FloatStorage" => Some(Number::F32),
            "DoubleStorage" => Some(Number::F64),
            "LongStorage" | "IntStorage" | "BoolStorage" | "ByteStorage" | "CharStorage" => None,
            other => {
                return Err(ImportError::Unsupported {
                    what: format!("{place} in a {}", other.escape_debug()),
                    instead: "float32, float16, bfloat16 and float64 are".into(),
                });
            }
        };
        let Some(data) = self.entries.get(&format!("{}data/{key}", self.folder)) else {
            return Err(damaged(place, format!("its data '{}' is not in the file", key.escape_debug())));
        };
        let data = &self.bytes[data.clone()];
        let Some(number) = number else { return Ok(None) };
        let sizes = |id: Id| -> Option<Vec<usize>> {
            pickle.tuple(id).filter(|t| t.len() <= 8)?.iter().map(|&n| pickle.size(n)).collect()
        };
        let (Some(offset), Some(shape), Some(strides)) = (pickle.size(offset), sizes(shape), sizes(strides)) else {
            return Err(unreadable());
        };
        if shape.len() != strides.len() {
            return Err(unreadable());
        }
        let stored = data.len() / number.bytes();
        let tensor = Tensor::strided(number, data, shape.clone(), offset, strides.clone());
        let tensor = tensor.filter(|tensor| tensor.len() <= stored).ok_or_else(|| {
            damaged(
                place,
                format!("shape {shape:?}, strides {strides:?} and offset {offset} reach beyond its {stored} numbers"),
            )
        })?;
        *budget = budget
            .checked_sub(tensor.len())
            .ok_or_else(|| damaged(place, "the tensors together are larger than the file"))?;
        Ok(Some(tensor))
    }
}
