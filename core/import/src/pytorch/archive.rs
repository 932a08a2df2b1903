//! Reads state dicts from their containers: a `.pth` (a zip archive of a pickle and of raw storages; before PyTorch 1.6
//! pickles and storages one after the other) or a `.safetensors` file, to tensors by name. All sizes are checked against
//! the file before anything is allocated.

use std::collections::{BTreeMap, HashSet};
use std::io::Cursor;
use std::ops::Range;

use safetensors::{Dtype, SafeTensors};
use silhouette_weights::MAX_HEADER;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Id, Item, Pickle};
use super::zip_kinds;
use crate::budget::Budget;
use crate::error::ImportError;
use crate::tensor::{Number, Tensor};

/// Tensors by the file's names, without the network's prefix; `None`: integers, such as batch norm's counters.
pub(super) type StateDict<'a> = BTreeMap<String, Option<Tensor<'a>>>;

/// A network of a thousand tensors has just over a thousand entries.
const MAX_ENTRIES: usize = 1 << 14;

/// Of an entry's name, and of what else is next to it in the directory, which the archive's reader copies more than once;
/// and of the tensors' names with all keys above them.
const MAX_NAMES: usize = 1 << 22;

/// Of dictionaries and lists in each other.
const MAX_DEPTH: usize = 16;

/// Number of storages in a file of before PyTorch 1.6.
const MAX_STORAGES: usize = 1 << 14;

/// How a file of before PyTorch 1.6 begins: a pickle of a certain number.
pub(crate) const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

fn damaged(place: impl Into<String>, problem: impl Into<String>) -> ImportError {
    ImportError::Damaged { format: "PyTorch", place: place.into(), problem: problem.into() }
}

/// Chooses the network among the tensors' names, before any values are created; returns the prefix of its names.
pub(super) type Choose<'f> = &'f dyn Fn(&[&str]) -> Result<String, ImportError>;

/// Reads a `.safetensors` file.
pub(super) fn safetensors<'a>(bytes: &'a [u8], choose: Choose<'_>) -> Result<StateDict<'a>, ImportError> {
    let refuse = |problem: String| ImportError::Damaged { format: "safetensors", place: "the header".into(), problem };
    // The header's length is stored before it. Parsing one takes many times its size in memory.
    let header = bytes.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length));
    if header > MAX_HEADER {
        return Err(refuse(format!("it is {header} bytes long, more than {MAX_HEADER}")));
    }
    let file = SafeTensors::deserialize(bytes).map_err(|error| refuse(error.to_string()))?;
    let mut names = file.names();
    names.sort_unstable();
    let prefix = choose(&names)?;
    let mut state = StateDict::new();
    for (name, view) in file.iter() {
        let Some(inside) = name.strip_prefix(&prefix[..]) else { continue };
        let number = match view.dtype() {
            Dtype::F16 => Number::F16,
            Dtype::BF16 => Number::Bf16,
            Dtype::F32 => Number::F32,
            Dtype::F64 => Number::F64,
            Dtype::I64 | Dtype::U64 | Dtype::I32 | Dtype::U32 | Dtype::U8 | Dtype::I8 | Dtype::BOOL => {
                state.insert(inside.to_owned(), None);
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
        state.insert(inside.to_owned(), Some(tensor));
    }
    Ok(state)
}

/// Reads a `.pth` file.
pub(super) fn pth<'a>(bytes: &'a [u8], choose: Choose<'_>) -> Result<StateDict<'a>, ImportError> {
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
    let folder = format!("{folder}data/");
    let data = entries.iter().filter_map(|(name, range)| Some((name.strip_prefix(&folder[..])?, range.clone())));
    Storages { bytes, data: data.collect(), pickle: &pickle }.state_dict(choose)
}

/// Reads a file of before PyTorch 1.6: pickles of a magic number, a version, the machine, the object and its storages'
/// keys; then each storage, its length before it.
pub(super) fn legacy<'a>(bytes: &'a [u8], choose: Choose<'_>) -> Result<StateDict<'a>, ImportError> {
    let mut at = 0;
    let mut next = || {
        let pickle = Pickle::read(bytes.get(at..).unwrap_or_default())?;
        at += pickle.length;
        Ok::<_, ImportError>(pickle)
    };
    for _ in ["magic number", "version", "machine"] {
        next()?;
    }
    let pickle = next()?;
    let keys = next()?;
    let Item::List(listed) = keys.item(keys.root) else {
        return Err(damaged("the storages' keys", "they are not a list"));
    };
    if listed.len() > MAX_STORAGES {
        return Err(damaged("the storages' keys", format!("they are more than {MAX_STORAGES}")));
    }
    let reader = Storages { bytes, data: BTreeMap::new(), pickle: &pickle };
    let sizes = reader.sizes()?;
    let mut data = BTreeMap::new();
    for &key in listed {
        let Some(key) = keys.text(key) else {
            return Err(damaged("the storages' keys", "one is not a string"));
        };
        let place = || format!("storage '{}'", key.escape_debug());
        let count = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>).map(|count| u64::from_le_bytes(*count));
        let size = sizes.get(key).copied().ok_or_else(|| damaged(place(), "no tensor refers to it"))?;
        let range = count.and_then(|count| {
            let begin = at.checked_add(8)?;
            let end = begin.checked_add(usize::try_from(count).ok()?.checked_mul(size)?)?;
            (end <= bytes.len()).then_some(begin..end)
        });
        let range = range.ok_or_else(|| damaged(place(), "it reaches beyond the file"))?;
        at = range.end;
        if data.insert(key, range).is_some() {
            return Err(damaged(place(), "it is there twice"));
        }
    }
    Storages { data, ..reader }.state_dict(choose)
}

/// The archive's entries and the positions of their bytes; PyTorch stores them uncompressed.
fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>, ImportError> {
    let refuse = |error: zip::result::ZipError| damaged("the zip archive", error.to_string());
    check_directory(bytes).map_err(|problem| damaged("the zip archive", problem))?;
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(refuse)?;
    // Others use zip archives too, and may compress them.
    let mut names = Vec::new();
    for index in 0..archive.len() {
        names.push(archive.by_index_raw(index).map_err(refuse)?.name().map_err(refuse)?.into_owned());
    }
    if let Some((what, instead)) = zip_kinds::other_than_a_state_dict(&names) {
        return Err(ImportError::Unsupported { what, instead });
    }
    let mut entries = BTreeMap::new();
    for (index, name) in names.into_iter().enumerate() {
        let file = archive.by_index_raw(index).map_err(refuse)?;
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

/// A pickle and the storages that it refers to, by their keys.
struct Storages<'s, 'a> {
    bytes: &'a [u8],
    data: BTreeMap<&'s str, Range<usize>>,
    pickle: &'s Pickle<'a>,
}

/// A tensor's description: the arguments of its call, and its name with all keys above it.
struct Described<'s> {
    name: String,
    arguments: &'s [Id],
}

impl<'s, 'a> Storages<'s, 'a> {
    fn state_dict(&self, choose: Choose<'_>) -> Result<StateDict<'a>, ImportError> {
        let described = self.described()?;
        if described.is_empty() {
            return Err(self.without_tensors());
        }
        let prefix = choose(&described.iter().map(|tensor| &tensor.name[..]).collect::<Vec<_>>())?;
        let mut state = StateDict::new();
        // Tensors may share a storage, but not so often that they exceed the file's size: its numbers have two bytes or
        // more.
        let mut budget = self.bytes.len() / 2;
        for Described { name, arguments } in described {
            let Some(inside) = name.strip_prefix(&prefix[..]) else { continue };
            let place = format!("tensor '{}'", name.escape_debug());
            let tensor = self.tensor(arguments, &place, &mut budget)?;
            if state.insert(inside.to_owned(), tensor).is_some() {
                return Err(damaged(place, "there are two with this name"));
            }
        }
        Ok(state)
    }

    /// Every tensor in the dictionaries and lists of the pickle, whatever they are in; each of them is visited once.
    fn described(&self) -> Result<Vec<Described<'s>>, ImportError> {
        let pickle = self.pickle;
        let mut names = Budget::new("bytes of names", MAX_NAMES);
        let mut described = Vec::new();
        let mut visited = HashSet::from([pickle.root]);
        let mut open = vec![(pickle.root, String::new(), 0)];
        while let Some((container, path, depth)) = open.pop() {
            let mut below = Vec::new();
            let mut visit = |key: &str, value: Id| -> Result<(), String> {
                let inner = matches!(pickle.item(value), Item::Dict(_) | Item::List(_) | Item::Tuple(_));
                let arguments = self.tensor_arguments(value);
                if arguments.is_none() && !(inner && visited.insert(value)) {
                    return Ok(());
                }
                names.spend(path.len() + key.len() + 1)?;
                match arguments {
                    Some(arguments) => described.push(Described { name: format!("{path}{key}"), arguments }),
                    None if depth == MAX_DEPTH => return Err(format!("it is nested in more than {MAX_DEPTH} others")),
                    None => below.push((value, format!("{path}{key}."), depth + 1)),
                }
                Ok(())
            };
            let place = || format!("'{}'", path.chars().take(100).collect::<String>().escape_debug());
            let all = match pickle.item(container) {
                Item::Dict(entries) => entries.iter().try_for_each(|&(key, value)| match pickle.item(key) {
                    Item::Text(key) => visit(key, value),
                    Item::Int(key) => visit(&key.to_string(), value),
                    _ => Ok(()),
                }),
                Item::List(elements) | Item::Tuple(elements) => {
                    elements.iter().enumerate().try_for_each(|(index, &value)| visit(&index.to_string(), value))
                }
                _ => Ok(()),
            };
            all.map_err(|problem| damaged(place(), problem))?;
            open.extend(below.into_iter().rev());
        }
        Ok(described)
    }

    /// Why a pickle has no tensors in dictionaries: it is a module, or holds one.
    fn without_tensors(&self) -> ImportError {
        let pickle = self.pickle;
        let module = |name: String, key: &str| ImportError::Unsupported {
            what: format!("a whole pickled module ({name})"),
            instead: format!(
                "save its tensors alone, where its class is installed: torch.save(torch.load(\"FILE\", \
                 weights_only=False){key}.state_dict(), \"weights.pth\")"
            ),
        };
        if let Some(class) = self.class(pickle.root) {
            return module(class, "");
        }
        let entries = pickle.dict(pickle.root).unwrap_or_default();
        let inside = entries.iter().find_map(|&(key, value)| Some((pickle.text(key)?, self.class(value)?)));
        if let Some((key, class)) = inside {
            return module(class, &format!("[\"{}\"]", key.escape_debug()));
        }
        let keys: Vec<&str> = entries.iter().take(10).filter_map(|&(key, _)| pickle.text(key)).collect();
        ImportError::UnknownNetwork {
            place: "the pickle".into(),
            problem: if keys.is_empty() {
                "it has no tensors".into()
            } else {
                format!("it has no tensors, only {keys:?}")
            },
        }
    }

    /// The class of an object that may be a module.
    fn class(&self, id: Id) -> Option<String> {
        let Item::Call { function, .. } = self.pickle.item(id) else { return None };
        let class = match self.pickle.item(*function) {
            // Before PyTorch 1.6 a module's class came with its source.
            Item::Persistent(parts) => self.pickle.tuple(*parts)?.get(1).copied()?,
            _ => *function,
        };
        let Item::Global(module, name) = self.pickle.item(class) else { return None };
        let plain = ["numpy", "datetime", "pathlib", "argparse", "builtins", "collections", "torch._utils"];
        let plain = plain.iter().any(|&other| module.split('.').next() == Some(other) || *module == other);
        (!plain).then(|| format!("{}.{}", module.escape_debug(), name.escape_debug()))
    }

    /// Bytes of a number in each storage that a tensor refers to.
    fn sizes(&self) -> Result<BTreeMap<&'a str, usize>, ImportError> {
        let pickle = self.pickle;
        let mut sizes = BTreeMap::new();
        for item in pickle.items() {
            let Item::Persistent(storage) = item else { continue };
            let Some([kind, class, key, ..]) = pickle.tuple(*storage) else { continue };
            let (Item::Global(_, class), Some(key)) = (pickle.item(*class), pickle.text(*key)) else { continue };
            if pickle.text(*kind) != Some("storage") {
                continue;
            }
            let size = match *class {
                "DoubleStorage" | "LongStorage" | "ComplexFloatStorage" => 8,
                "FloatStorage" | "IntStorage" => 4,
                "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
                "ByteStorage" | "CharStorage" | "BoolStorage" => 1,
                other => {
                    return Err(ImportError::Unsupported {
                        what: format!("storage '{}' of class {}", key.escape_debug(), other.escape_debug()),
                        instead: "float32, float16, bfloat16 and float64 are".into(),
                    });
                }
            };
            sizes.insert(key, size);
        }
        Ok(sizes)
    }

    /// The arguments of `torch._utils._rebuild_tensor_v2`, inside `_rebuild_parameter` or on its own.
    fn tensor_arguments(&self, id: Id) -> Option<&'s [Id]> {
        let (name, arguments) = self.call(id)?;
        let (name, arguments) = match (name, arguments) {
            ("_rebuild_parameter" | "_rebuild_parameter_with_state", [inner, ..]) => self.call(*inner)?,
            outer => outer,
        };
        matches!(name, "_rebuild_tensor_v2" | "_rebuild_tensor").then_some(arguments)
    }

    fn call(&self, id: Id) -> Option<(&'s str, &'s [Id])> {
        let Item::Call { function, arguments } = self.pickle.item(id) else { return None };
        let Item::Global("torch._utils", name) = self.pickle.item(*function) else { return None };
        Some((name, self.pickle.tuple(*arguments)?))
    }

    fn tensor(&self, arguments: &[Id], place: &str, budget: &mut usize) -> Result<Option<Tensor<'a>>, ImportError> {
        let pickle = self.pickle;
        let unreadable = || damaged(place, "its description is invalid");
        let &[storage, offset, shape, strides, ..] = arguments else { return Err(unreadable()) };
        let Item::Persistent(storage) = pickle.item(storage) else { return Err(unreadable()) };
        let Some(&[_, class, key, ref rest @ ..]) = pickle.tuple(*storage) else { return Err(unreadable()) };
        let (Item::Global(_, class), Some(key)) = (pickle.item(class), pickle.text(key)) else {
            return Err(unreadable());
        };
        // Before PyTorch 1.6: the part of another storage that this one is.
        if let [_, _, view, ..] = rest
            && pickle.tuple(*view).is_some()
        {
            return Err(ImportError::Unsupported {
                what: format!("{place}, whose storage is a part of another,"),
                instead: "load the file and save it again with PyTorch 1.6 or newer".into(),
            });
        }
        let number = match *class {
            "HalfStorage" => Some(Number::F16),
            "BFloat16Storage" => Some(Number::Bf16),
            "FloatStorage" => Some(Number::F32),
            "DoubleStorage" => Some(Number::F64),
            "LongStorage" | "IntStorage" | "ShortStorage" | "BoolStorage" | "ByteStorage" | "CharStorage" => None,
            other => {
                return Err(ImportError::Unsupported {
                    what: format!("{place} in a {}", other.escape_debug()),
                    instead: "float32, float16, bfloat16 and float64 are".into(),
                });
            }
        };
        let Some(data) = self.data.get(key) else {
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
