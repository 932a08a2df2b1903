//! Raw tensors as `.npy` files, through candle, behind a check that a file's header is worth believing.

use crate::error::ModelError;
use crate::graph::Graph;
use crate::network::{Network, Size};
use crate::weights::ModelFile;
use candle_core::{DType, Device, Tensor};
use std::io::Read as _;
use std::path::Path;

/// A header is a hundred bytes or two; what claims more is no `.npy` of a tensor.
const LONGEST_HEADER: usize = 4096;

/// An f32 tensor of four dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// (N, C, H, W).
    pub shape: [usize; 4],
    /// Row-major.
    pub data: Vec<f32>,
}

impl Array {
    fn of(tensor: &Tensor) -> Result<Self, ModelError> {
        let mut shape = [1; 4];
        // A vector of classes (N, C) is a map of one pixel.
        shape[..tensor.rank().min(4)].copy_from_slice(&tensor.dims()[..tensor.rank().min(4)]);
        Ok(Self { shape, data: tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()? })
    }
}

impl Graph {
    /// The graph of `model` for an input of `size`, on the CPU.
    ///
    /// # Errors
    /// As [`Network::new`] and [`Graph::new`].
    pub fn of(model: &ModelFile, size: Size) -> Result<Self, ModelError> {
        Self::new(&Network::new(model.spec(), size)?, model.weights(), &Device::Cpu)
    }

    /// Runs the graph on `input` (N, 3, H, W): to the logits before the resize, or to the tensor called `name` (see
    /// [`Graph::forward_observed`]).
    ///
    /// # Errors
    /// As [`Graph::tensor`].
    pub fn forward_array(&self, input: &Array, name: Option<&str>) -> Result<Array, ModelError> {
        let x = Tensor::from_slice(&input.data, &input.shape, self.device())?;
        Array::of(&match name {
            Some(name) => self.tensor(&x, name)?,
            None => self.forward(&x)?,
        })
    }
}

/// Reads an array of four dimensions; other float and integer types become f32.
///
/// # Errors
/// [`ModelError::Io`], or [`ModelError::BadFile`] for what is no such array, or shorter than its header says.
pub fn read(path: &Path) -> Result<Array, ModelError> {
    check(path)?;
    let tensor = Tensor::read_npy(path).map_err(|error| wrong(path, first_line(&error)))?;
    let &[n, c, h, w] = tensor.dims() else {
        let shape = tensor.dims();
        return Err(wrong(path, format!("its shape is {shape:?}, four dimensions (N, C, H, W) are wanted")));
    };
    let data = tensor
        .to_dtype(DType::F32)
        .and_then(|tensor| tensor.flatten_all()?.to_vec1::<f32>())
        .map_err(|error| wrong(path, first_line(&error)))?;
    Ok(Array { shape: [n, c, h, w], data })
}

/// Writes an array.
///
/// # Errors
/// [`ModelError::BadFile`] where the data are not as many as the shape says, or the file cannot be written.
pub fn write(path: &Path, array: &Array) -> Result<(), ModelError> {
    Tensor::from_slice(&array.data, &array.shape, &Device::Cpu)
        .and_then(|tensor| tensor.write_npy(path))
        .map_err(|error| wrong(path, first_line(&error)))
}

fn wrong(path: &Path, what: impl Into<String>) -> ModelError {
    ModelError::BadFile { file: path.display().to_string(), what: format!("as a .npy tensor: {}", what.into()) }
}

/// candle's errors may carry a backtrace after their first line.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The shape that the header states must explain the file's length: candle allocates by the header alone.
fn check(path: &Path) -> Result<(), ModelError> {
    let wrong = |what: &str| wrong(path, what);
    let cannot = |source: std::io::Error| ModelError::Io { path: path.to_path_buf(), source };
    let mut file = std::fs::File::open(path).map_err(cannot)?;
    let length = file.metadata().map_err(cannot)?.len();
    let mut head = Vec::new();
    file.by_ref().take(LONGEST_HEADER as u64).read_to_end(&mut head).map_err(cannot)?;
    if !head.starts_with(b"\x93NUMPY") {
        return Err(wrong("it does not begin as one"));
    }
    let text = head.iter().position(|&byte| byte == b'{').zip(head.iter().position(|&byte| byte == b'}'));
    let (start, end) = text.filter(|(start, end)| start < end).ok_or_else(|| wrong("its header is damaged"))?;
    // The header's length is in the bytes before it: 2 of them in version 1, 4 in version 2.
    let stated = match (head[6], start) {
        (1, 10) => usize::from(u16::from_le_bytes([head[8], head[9]])),
        (2, 12) => u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize,
        _ => return Err(wrong("its header is damaged")),
    };
    let header = std::str::from_utf8(&head[start..=end]).map_err(|_| wrong("its header is damaged"))?;
    let shape = header
        .split_once("'shape'")
        .and_then(|(_, rest)| rest.split_once('('))
        .and_then(|(_, rest)| rest.split_once(')'));
    let (shape, _) = shape.ok_or_else(|| wrong("its header states no shape"))?;
    let mut count = 1_u64;
    for side in shape.split(',').map(str::trim).filter(|side| !side.is_empty()) {
        let side: u64 = side.parse().map_err(|_| wrong("its shape is damaged"))?;
        count = count.checked_mul(side).ok_or_else(|| wrong("its shape overflows"))?;
    }
    let data = length.saturating_sub((start + stated) as u64);
    // The smallest element that candle reads has one byte.
    if stated > LONGEST_HEADER || count > data {
        return Err(wrong("it is shorter than its header says"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let array = Array { shape: [1, 2, 3, 2], data: (0..12).map(|i| i as f32 / 7.0).collect() };
        write(&path, &array).unwrap();
        assert_eq!(read(&path).unwrap(), array);
    }

    #[test]
    fn hostile_headers_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let file = |version: u8, header: &str, data: usize| {
            let mut bytes = b"\x93NUMPY".to_vec();
            bytes.extend([version, 0]);
            if version == 1 {
                bytes.extend((header.len() as u16).to_le_bytes());
            } else {
                bytes.extend((header.len() as u32).to_le_bytes());
            }
            bytes.extend(header.as_bytes());
            bytes.resize(bytes.len() + data, 0);
            bytes
        };
        let header = |shape: &str| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
        std::fs::write(&path, file(1, &header("1,3,2,2"), 48)).unwrap();
        assert_eq!(read(&path).unwrap().shape, [1, 3, 2, 2]);
        let mut huge = file(2, "{'descr'", 0);
        huge[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        for bytes in [
            vec![],
            b"\x93NUMPY".to_vec(),
            b"\x93NUMPY\x01\0".to_vec(),
            b"no array at all".to_vec(),
            huge,
            file(3, &header("1,3,2,2"), 48),
            file(1, &header("1,3,2,2"), 10),
            file(1, &header("1,3,2,2"), 40),
            file(1, &header("4294967296,4294967296,1,1"), 48),
            file(1, &header("99999999999,3,2,2"), 48),
            file(1, &header("-1,3,2,2"), 48),
            file(1, &header("12,"), 48),
            file(1, &header("1,3,2,2").replace("<f4", "<c8"), 48),
            file(1, &header("1,3,2,2").replace('}', ""), 48),
        ] {
            std::fs::write(&path, &bytes).unwrap();
            let failure = read(&path).unwrap_err().to_string();
            assert!(failure.contains("x.npy") && failure.contains("as a .npy tensor: "), "{failure}");
        }
    }
}
