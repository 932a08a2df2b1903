//! Four-dimensional arrays as `.npy` files, `NumPy`'s own format: a header, checked against the file's length before
//! anything is read, then the values, little-endian, last dimension fastest.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use silhouette_files::{OpenError, Regular, open_regular, write_whole};
use silhouette_kernels::memory::{OutOfMemory, reserve};

use crate::ModelError;

const MAGIC: &[u8] = b"\x93NUMPY";

/// A header has one or two hundred bytes; a longer one cannot belong to such an array.
const LONGEST_HEADER: usize = 4096;

/// Bytes of values that are read at a time: a multiple of every element's size.
const CHUNK: usize = 1 << 16;

/// More dimensions than `NumPy` supports.
const MOST_SIDES: usize = 64;

/// More values than the largest input or map of a network at its largest size: half a gigabyte of f32.
const MOST_VALUES: usize = 1 << 27;

/// An f32 array of four dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// (N, C, H, W).
    pub shape: [usize; 4],
    /// Row-major.
    pub data: Vec<f32>,
}

/// Reads a four-dimensional array; f64, u8 and i32 are converted to f32.
///
/// # Errors
/// [`ModelError::Io`], or [`ModelError::BadFile`] for anything else, or a file shorter than its header states;
/// [`ModelError::OutOfMemory`].
pub fn read(path: &Path) -> Result<Array, ModelError> {
    open(path)?.read()
}

/// Opens an array and reads only its header, so that a caller can check the shape before the values cost memory.
///
/// # Errors
/// As [`read`].
pub fn open(path: &Path) -> Result<Opened, ModelError> {
    let Regular { mut file, about } = open_regular(path, u64::MAX).map_err(|error| match error {
        OpenError::Io(error) => ModelError::io(path)(error),
        error => wrong(path, error.to_string()),
    })?;
    let mut head = Vec::new();
    file.by_ref().take(LONGEST_HEADER as u64).read_to_end(&mut head).map_err(ModelError::io(path))?;
    let header = Header::read(&head, about.len()).map_err(|what| wrong(path, what))?;
    Ok(Opened { file, path: path.to_owned(), header })
}

/// An open `.npy` file.
#[derive(Debug)]
pub struct Opened {
    file: File,
    path: PathBuf,
    header: Header,
}

impl Opened {
    /// (N, C, H, W).
    pub fn shape(&self) -> [usize; 4] {
        self.header.shape
    }

    /// Reads the values.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(mut self) -> Result<Array, ModelError> {
        let header = &self.header;
        let mut data = header.room()?;
        let mut chunk = vec![0; CHUNK.min(header.bytes)];
        self.file.seek(SeekFrom::Start(header.start as u64)).map_err(ModelError::io(&self.path))?;
        let mut left = header.bytes;
        while left > 0 {
            let part = &mut chunk[..CHUNK.min(left)];
            self.file.read_exact(part).map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => wrong(&self.path, "it is shorter than its header states"),
                _ => ModelError::io(&self.path)(error),
            })?;
            header.element.append(part, &mut data);
            left -= part.len();
        }
        Ok(Array { shape: header.shape, data })
    }
}

/// The same from a file's bytes; `name` replaces the path in errors.
///
/// # Errors
/// As [`read`], except for [`ModelError::Io`].
pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Array, ModelError> {
    let path = Path::new(name);
    let head = &bytes[..bytes.len().min(LONGEST_HEADER)];
    let header = Header::read(head, bytes.len() as u64).map_err(|what| wrong(path, what))?;
    let values = bytes.get(header.start..header.start + header.bytes);
    let values = values.ok_or_else(|| wrong(path, "it is shorter than its header states"))?;
    let mut data = header.room()?;
    header.element.append(values, &mut data);
    Ok(Array { shape: header.shape, data })
}

/// Writes an array atomically.
///
/// # Errors
/// [`ModelError::BadFile`] if the number of values does not match the shape; [`ModelError::Io`].
pub fn write(path: &Path, array: &Array) -> Result<(), ModelError> {
    let count = array.shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
    if count != Some(array.data.len()) {
        return Err(wrong(path, format!("{} values for the shape {:?}", array.data.len(), array.shape)));
    }
    let [n, c, h, w] = array.shape;
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {c}, {h}, {w}), }}");
    // The values begin at a multiple of 64, after a line break.
    let fixed = MAGIC.len() + 4;
    let padded = (fixed + header.len() + 1).next_multiple_of(64) - fixed;
    header.extend(std::iter::repeat_n(' ', padded - 1 - header.len()));
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    let head = [MAGIC, &[1, 0], &length, header.as_bytes()].concat();
    let write = |to: &mut dyn std::io::Write| {
        to.write_all(&head)?;
        to.write_all(bytemuck::cast_slice(&array.data))
    };
    write_whole(path, |error| error, write).map_err(ModelError::io(path))
}

fn wrong(path: &Path, what: impl Into<String>) -> ModelError {
    ModelError::BadFile { file: path.display().to_string(), what: format!("as a .npy tensor: {}", what.into()) }
}

/// Element types that can be read.
#[derive(Clone, Copy, Debug)]
enum Element {
    F32,
    F64,
    U8,
    I32,
}

impl Element {
    /// By `NumPy`'s name for it.
    fn named(name: &str) -> Option<Self> {
        match name {
            "<f4" => Some(Self::F32),
            "<f8" => Some(Self::F64),
            "|u1" | "<u1" => Some(Self::U8),
            "<i4" => Some(Self::I32),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F32 | Self::I32 => 4,
            Self::F64 => 8,
        }
    }

    /// Appends the values of these bytes.
    fn append(self, bytes: &[u8], to: &mut Vec<f32>) {
        let quads = bytes.as_chunks::<4>().0;
        match self {
            Self::U8 => to.extend(bytes.iter().map(|&value| f32::from(value))),
            Self::F32 => to.extend(quads.iter().map(|&value| f32::from_le_bytes(value))),
            Self::I32 => to.extend(quads.iter().map(|&value| i32::from_le_bytes(value) as f32)),
            Self::F64 => to.extend(bytes.as_chunks::<8>().0.iter().map(|&value| f64::from_le_bytes(value) as f32)),
        }
    }
}

/// The contents of a file's header, validated.
#[derive(Debug)]
struct Header {
    element: Element,
    shape: [usize; 4],
    /// Offset of the values.
    start: usize,
    /// How long they are; they are in the file.
    bytes: usize,
}

impl Header {
    /// Parses the first bytes of a file of `length` bytes: the header must account for the file's length.
    fn read(head: &[u8], length: u64) -> Result<Self, String> {
        if !head.starts_with(MAGIC) {
            return Err("it does not begin with the .npy signature".into());
        }
        let damaged = || "its header is damaged".to_owned();
        // The header's length is stored before it: in 2 bytes in version 1, in 4 in version 2.
        let (before, stated) = match *head.get(MAGIC.len()..).unwrap_or_default() {
            [1, _, a, b, ..] => (MAGIC.len() + 4, usize::from(u16::from_le_bytes([a, b]))),
            [2, _, a, b, c, d, ..] => (MAGIC.len() + 6, u32::from_le_bytes([a, b, c, d]) as usize),
            _ => return Err(damaged()),
        };
        if stated > LONGEST_HEADER - before {
            return Err(format!("its header is {stated} bytes long"));
        }
        let start = before + stated;
        let text = head.get(before..start).and_then(|text| std::str::from_utf8(text).ok()).ok_or_else(damaged)?;
        let Stated { descr, fortran_order, shape } = Stated::read(text)?;
        let element = Element::named(descr).ok_or_else(|| {
            format!("its type is {}; <f4, <f8, |u1 and <i4 are supported", shortened(descr).escape_debug())
        })?;
        if fortran_order {
            return Err("its first dimension is the fastest (Fortran order)".into());
        }
        let shape: [usize; 4] = shape
            .try_into()
            .map_err(|shape| format!("its shape is {shape:?}, four dimensions (N, C, H, W) are expected"))?;
        let count = shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
        let bytes = count.and_then(|n| n.checked_mul(element.bytes())).ok_or("its shape overflows")?;
        if count.is_some_and(|count| count > MOST_VALUES) {
            return Err(format!("its shape is {shape:?}, more than the limit of {MOST_VALUES} values"));
        }
        if bytes as u64 > length.saturating_sub(start as u64) {
            return Err("it is shorter than its header states".into());
        }
        Ok(Self { element, shape, start, bytes })
    }

    /// Room for the values as floats.
    fn room(&self) -> Result<Vec<f32>, OutOfMemory> {
        let mut data = Vec::new();
        reserve(&mut data, self.bytes / self.element.bytes(), "an array")?;
        Ok(data)
    }
}

/// Parses the dictionary in a header: its three keys, each once, nothing else.
struct Stated<'a> {
    descr: &'a str,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl<'a> Stated<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let mut descr = None;
        let mut fortran_order = None;
        let mut shape = None;
        let mut words = Words(text);
        words.take("{")?;
        while !words.takes("}") {
            let key = words.text()?;
            words.take(":")?;
            let before = match key {
                "descr" => descr.replace(words.text()?).is_some(),
                "fortran_order" => fortran_order.replace(words.truth()?).is_some(),
                "shape" => shape.replace(words.sides()?).is_some(),
                other => return Err(format!("its header has the unknown key {:?}", shortened(other))),
            };
            if before {
                return Err(format!("its header has the key {key:?} twice"));
            }
            if !words.takes(",") {
                words.take("}")?;
                break;
            }
        }
        words.end()?;
        let missing = |key: &str| format!("its header has no key {key}");
        Ok(Self {
            descr: descr.ok_or_else(|| missing("descr"))?,
            fortran_order: fortran_order.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
        })
    }
}

/// The part of a file's text that an error shows.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The remaining header, parsed from its beginning: Python literals, as far as `NumPy` writes them.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn takes(&mut self, word: &str) -> bool {
        self.0 = self.0.trim_start_matches([' ', '\n', '\t', '\r']);
        let rest = self.0.strip_prefix(word);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn take(&mut self, word: &str) -> Result<(), String> {
        if self.takes(word) { Ok(()) } else { Err(self.damaged(&format!("'{word}'"))) }
    }

    fn damaged(&self, expected: &str) -> String {
        format!("its header is damaged: {:?} where {expected} should be", shortened(self.0))
    }

    fn text(&mut self) -> Result<&'a str, String> {
        for quote in ["'", "\""] {
            if self.takes(quote) {
                let (text, rest) = self.0.split_once(quote).ok_or_else(|| self.damaged("a closed text"))?;
                self.0 = rest;
                return Ok(text);
            }
        }
        Err(self.damaged("a text"))
    }

    fn truth(&mut self) -> Result<bool, String> {
        if self.takes("True") {
            return Ok(true);
        }
        if self.takes("False") { Ok(false) } else { Err(self.damaged("True or False")) }
    }

    /// A tuple of integers: `()`, `(1,)`, `(1, 2)`.
    fn sides(&mut self) -> Result<Vec<usize>, String> {
        self.take("(")?;
        let mut sides = Vec::new();
        while !self.takes(")") {
            // (Spaces before it are already skipped.)
            let digits = self.0.len() - self.0.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = self.0.split_at(digits);
            let number = number.parse().map_err(|_| self.damaged("a size in the shape"))?;
            self.0 = rest;
            sides.push(number);
            if sides.len() > MOST_SIDES {
                return Err(format!("its shape has more than {MOST_SIDES} dimensions"));
            }
            if !self.takes(",") {
                if sides.len() == 1 {
                    return Err(self.damaged("a comma after the only size"));
                }
                self.take(")")?;
                break;
            }
        }
        Ok(sides)
    }

    fn end(&mut self) -> Result<(), String> {
        if self.0.trim().is_empty() { Ok(()) } else { Err(self.damaged("the end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = Folder::new();
        let path = folder.path("x.npy");
        let array = Array { shape: [1, 2, 3, 2], data: (0..12).map(|i| i as f32 / 7.0).collect() };
        write(&path, &array).unwrap();
        assert_eq!(read(&path).unwrap(), array);
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "small whole numbers")]
    fn other_element_types_become_f32() {
        let folder = Folder::new();
        let path = folder.path("x.npy");
        let values: [(&str, Vec<u8>); 3] = [
            ("<f8", [1.0f64, -2.0, 3.5].iter().flat_map(|v| v.to_le_bytes()).collect()),
            ("|u1", vec![1, 2, 255]),
            ("<i4", [1i32, -2, 1 << 20].iter().flat_map(|v| v.to_le_bytes()).collect()),
        ];
        let expected = [[1.0, -2.0, 3.5], [1.0, 2.0, 255.0], [1.0, -2.0, 1_048_576.0]];
        for ((name, data), expected) in values.into_iter().zip(expected) {
            let header = format!("{{'shape': (1, 1, 1, 3), 'fortran_order': False, 'descr': '{name}'}}\n");
            let mut bytes = b"\x93NUMPY\x01\0".to_vec();
            bytes.extend((header.len() as u16).to_le_bytes());
            bytes.extend(header.as_bytes());
            bytes.extend(data);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path).unwrap().data, expected, "{name}");
        }
    }

    #[test]
    fn hostile_headers_are_errors() {
        let folder = Folder::new();
        let path = folder.path("x.npy");
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
        assert_eq!(from_bytes(&std::fs::read(&path).unwrap(), "x").unwrap(), read(&path).unwrap());
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
            file(1, &header("1,3,2,2").replace("<f4", ">f4"), 48),
            file(1, &header("1,3,2,2").replace("False", "True"), 48),
            file(1, &header("1,3,2,2,1"), 48),
            file(1, &header("1,3,2,2").replace("'shape'", "'form'"), 48),
            file(1, &header("1,3,2,2").replace('}', ""), 48),
            // Two keys with one name: whichever counts, the other is wrong.
            file(1, &header("1,1,1,1), 'shape': (1,3,100000,1000000"), 48),
            file(1, &header("1,1,1,1), 'shape': (4294967296,4294967296,1,1"), 48),
            file(1, &header("1,1,1,1), 'shape': (1,1,1,1"), 48),
            file(1, &header("1,3,2,2").replace("'descr'", "'descr': '|u1', 'descr'"), 48),
            file(1, &header("1,3,2,2").replace("'descr'", "'other': 1, 'descr'"), 48),
            file(1, &header("1,3,2,2").replace("'descr'", "'x': \"'shape': (1,1,1,1)\", 'descr'"), 48),
            file(1, &(header("1,3,2,2") + "{}"), 48),
            file(1, &header("1,3,2,2").replace("'shape': ", "'shape' "), 48),
            file(1, &header("1,,3,2,2"), 48),
            file(1, &header("1 3,2,2"), 48),
            file(1, &header(""), 48),
            file(1, &header(&"1,".repeat(1000)), 48),
        ] {
            std::fs::write(&path, &bytes).unwrap();
            let failure = read(&path).unwrap_err().to_string();
            assert!(failure.contains("x.npy") && failure.contains("as a .npy tensor: "), "{failure}");
            assert_eq!(
                from_bytes(&bytes, "x.npy").unwrap_err().to_string(),
                failure.replace(path.to_str().unwrap(), "x.npy")
            );
        }
    }
}
