//! Writes the `.safetensors` container, with metadata in the order of its keys, so that the same model produces the
//! same bytes (the crate that reads them keeps metadata in a hash map).

use std::borrow::Cow;
use std::collections::BTreeMap;

use safetensors::Dtype;
use serde::{Serialize, Serializer};
use silhouette_kernels::memory::reserve;

use crate::ModelError;

/// A tensor to be written.
pub(crate) struct Stored<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) shape: &'a [usize],
    /// Little-endian, last dimension fastest.
    pub(crate) bytes: Cow<'a, [u8]>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    About(&'a BTreeMap<&'a str, String>),
    Tensor { dtype: Dtype, shape: &'a [usize], data_offsets: (usize, usize) },
}

/// The file's bytes, and the length of its header.
///
/// # Errors
/// [`ModelError::OutOfMemory`].
pub(crate) fn encode(
    mut tensors: Vec<(&str, Stored<'_>)>,
    metadata: &BTreeMap<&str, String>,
) -> Result<(Vec<u8>, u64), ModelError> {
    // The widest first, so that every tensor is aligned to its elements.
    tensors.sort_by(|(a_name, a), (b_name, b)| b.dtype.cmp(&a.dtype).then(a_name.cmp(b_name)));
    let mut at = 0;
    let entries = tensors.iter().map(|(name, tensor)| {
        let start = at;
        at += tensor.bytes.len();
        (*name, Entry::Tensor { dtype: tensor.dtype, shape: tensor.shape, data_offsets: (start, at) })
    });
    let about = (!metadata.is_empty()).then_some(("__metadata__", Entry::About(metadata)));
    let mut header = Vec::new();
    let written = serde_json::Serializer::new(&mut header).collect_map(about.into_iter().chain(entries));
    written.map_err(|error| ModelError::bad_file("model", error.to_string()))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = header.len() as u64;
    let mut bytes = Vec::new();
    reserve(&mut bytes, 8 + header.len() + at, "a model file")?;
    bytes.extend(length.to_le_bytes());
    bytes.extend(header);
    for (_, tensor) in &tensors {
        bytes.extend_from_slice(&tensor.bytes);
    }
    Ok((bytes, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readers_own_writer_gives_the_same_bytes() {
        let wide = [1u8; 24];
        let narrow = [2u8; 6];
        let stored = |dtype, shape, bytes: &'static [u8]| Stored { dtype, shape, bytes: Cow::Borrowed(bytes) };
        let ours = vec![
            ("b", stored(Dtype::U8, &[2, 3], &[2; 6])),
            ("z", stored(Dtype::F32, &[6], &[1; 24])),
            ("a", stored(Dtype::I8, &[6], &[2; 6])),
        ];
        let view = |dtype, shape, bytes| safetensors::tensor::TensorView::new(dtype, shape, bytes).unwrap();
        let theirs = [
            ("z", view(Dtype::F32, vec![6], &wide[..])),
            ("a", view(Dtype::I8, vec![6], &narrow[..])),
            ("b", view(Dtype::U8, vec![2, 3], &narrow[..])),
        ];
        let about = [("key".to_owned(), "value \"quoted\"".to_owned())].into_iter().collect();
        let expected = safetensors::serialize(theirs, Some(about)).unwrap();
        let about = BTreeMap::from([("key", "value \"quoted\"".to_owned())]);
        let (bytes, header) = encode(ours, &about).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&expected));
        assert_eq!(header % 8, 0);
    }
}
