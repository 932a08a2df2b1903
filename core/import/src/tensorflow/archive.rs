//! The model zoo's `.tar.gz`: the frozen graph in it, without unpacking the rest.

use std::io::{BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use crate::error::ImportError;
use crate::flow::printable;
use crate::format::unsupported;

/// A tar archive's header and unit.
const BLOCK: usize = 512;

/// How much longer than the archive a frozen graph may be, plus a MiB: weights hardly compress.
const GROWTH: usize = 8;

/// The same for all that is passed on the way to it: it takes time, but no memory.
const PASSED: usize = 64;

fn damaged(problem: impl Into<String>) -> ImportError {
    ImportError::Damaged { format: "tar.gz", place: "the archive".into(), problem: problem.into() }
}

/// The frozen graph in an archive.
pub(crate) fn frozen_graph(bytes: &[u8]) -> Result<Vec<u8>, ImportError> {
    let most = |factor: usize| (bytes.len().saturating_mul(factor).saturating_add(1 << 20)) as u64;
    let mut reader = BufReader::new(GzDecoder::new(bytes)).take(most(PASSED));
    let broken = |error: std::io::Error| damaged(error.to_string());
    let mut names = Vec::new();
    loop {
        let mut header = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match reader.read(&mut header[filled..]).map_err(broken)? {
                0 => break,
                n => filled += n,
            }
        }
        if filled == 0 || header == [0; BLOCK] {
            return Err(nothing(&names));
        }
        let member = (filled == BLOCK).then(|| Member::read(&header)).flatten();
        let Some(member) = member else {
            return Err(match (reader.limit(), names.as_slice()) {
                (0, _) => damaged(format!("it unpacks to more than {PASSED} times its size")),
                (_, []) => {
                    unsupported("a gzip archive (.gz) other than a .tar.gz", "unpack it and import the model inside")
                }
                _ => damaged("one of its headers is broken"),
            });
        };
        if member.regular && member.is_frozen_graph() {
            if member.length > most(GROWTH) {
                return Err(damaged(format!("'{}' is more than {GROWTH} times its size", printable(&member.name))));
            }
            let mut graph = Vec::new();
            reader.by_ref().take(member.length).read_to_end(&mut graph).map_err(broken)?;
            if graph.len() as u64 != member.length {
                return Err(damaged(format!("it ends within '{}'", printable(&member.name))));
            }
            return Ok(graph);
        }
        if names.len() < 8 {
            names.push(member.name);
        }
        let length =
            member.length.checked_next_multiple_of(BLOCK as u64).ok_or_else(|| damaged("a member's length"))?;
        if std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).map_err(broken)? != length {
            return Err(match reader.limit() {
                0 => damaged(format!("it unpacks to more than {PASSED} times its size")),
                _ => damaged("it ends within a member"),
            });
        }
    }
}

/// The error for an archive without a frozen graph.
fn nothing(names: &[String]) -> ImportError {
    let listed: Vec<String> = names.iter().map(|name| printable(name)).collect();
    let what = format!("a .tar.gz without a frozen graph (.pb; it has {})", listed.join(", "));
    let instead = if names.iter().any(|name| name.contains(".ckpt")) {
        crate::format::CHECKPOINT
    } else {
        "unpack it and import the model inside"
    };
    unsupported(&what, instead)
}

/// What a header says.
struct Member {
    name: String,
    length: u64,
    regular: bool,
}

impl Member {
    /// `None` for what is no header.
    fn read(header: &[u8; BLOCK]) -> Option<Self> {
        let text = |from: usize, length: usize| {
            let field = &header[from..from + length];
            &field[..field.iter().position(|&byte| byte == 0).unwrap_or(length)]
        };
        let octal = |from: usize, length: usize| {
            let digits = std::str::from_utf8(text(from, length)).ok()?.trim();
            u64::from_str_radix(digits, 8).ok()
        };
        // The sum is of the header with spaces in its place.
        let sum: u64 =
            header.iter().enumerate().map(|(i, &byte)| if (148..156).contains(&i) { 32 } else { byte.into() }).sum();
        if octal(148, 8) != Some(sum) {
            return None;
        }
        let name = String::from_utf8_lossy(text(0, 100)).into_owned();
        Some(Self { name, length: octal(124, 12)?, regular: matches!(header[156], b'0' | 0) })
    }

    fn is_frozen_graph(&self) -> bool {
        let file = self.name.rsplit('/').next().unwrap_or_default();
        // (A Mac's archives have a "._NAME" beside each file.)
        Path::new(file).extension().is_some_and(|end| end == "pb") && file != "saved_model.pb" && !file.starts_with('.')
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A member as `tar` writes it.
    pub(crate) fn member(name: &str, content: &[u8]) -> Vec<u8> {
        let mut header = [0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[148..156].copy_from_slice(b"        ");
        header[156] = b'0';
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut bytes = [&header[..], content].concat();
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    pub(crate) fn zipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 7u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(|_| byte()).collect()
    }

    #[test]
    fn the_frozen_graph_is_found_among_the_rest() {
        let graph = noise(3000);
        let rest = member("model/model.ckpt-30000.data-00000-of-00001", &noise(5000));
        let saved = member("model/saved_model/saved_model.pb", b"not this");
        let archive = [rest.clone(), saved.clone(), member("model/frozen_inference_graph.pb", &graph), vec![0; 1024]];
        assert_eq!(frozen_graph(&zipped(&archive.concat())).unwrap(), graph);
        let without = zipped(&[rest, saved, vec![0; 1024]].concat());
        let error = frozen_graph(&without).unwrap_err().to_string();
        assert!(error.contains("without a frozen graph") && error.contains("saved_model.pb"), "{error}");
        let plain = frozen_graph(&zipped(b"a file that is no archive")).unwrap_err().to_string();
        assert!(plain.contains("other than a .tar.gz"), "{plain}");
    }

    #[test]
    fn bombs_and_cut_archives_are_refused() {
        let bomb = zipped(&[member("big.pb", &vec![0; 64 << 20])].concat());
        let error = frozen_graph(&bomb).unwrap_err().to_string();
        assert!(error.contains("more than 8 times"), "{error}");
        let mut zeros = member("a", &[]);
        zeros[124..135].copy_from_slice(b"00777777777");
        let sum: u32 =
            zeros.iter().enumerate().map(|(i, &b)| if (148..156).contains(&i) { 32 } else { u32::from(b) }).sum();
        zeros[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        zeros.resize(200 << 20, 0);
        let error = frozen_graph(&zipped(&zeros)).unwrap_err().to_string();
        assert!(error.contains("more than 64 times"), "{error}");
        let whole = zipped(&[member("a/frozen_inference_graph.pb", &noise(3000)), vec![0; 1024]].concat());
        for length in 0..whole.len() - 12 {
            if let Ok(graph) = frozen_graph(&whole[..length]) {
                assert_eq!(graph, noise(3000));
            }
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            let _ = frozen_graph(&flipped);
        }
    }
}
