//! Memory whose size depends on an image or a model: allocated fallibly, so that running out of memory is an error for
//! the caller and not the end of the process.

use std::fmt;

/// The system has too little memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// What the memory is for.
    pub what: &'static str,
    /// Number of bytes requested; `usize::MAX` if they exceed the address space.
    pub bytes: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the system has no {} bytes of memory for {}", self.bytes, self.what)
    }
}

impl std::error::Error for OutOfMemory {}

/// Room for `len` values in all.
///
/// # Errors
/// [`OutOfMemory`]; `values` is as it was.
pub fn reserve<T>(values: &mut Vec<T>, len: usize, what: &'static str) -> Result<(), OutOfMemory> {
    let more = len.saturating_sub(values.len());
    values.try_reserve_exact(more).map_err(|_| OutOfMemory { what, bytes: len.saturating_mul(size_of::<T>()) })
}

/// Makes `values` `len` long; new ones are `value`.
///
/// # Errors
/// As [`reserve`].
pub fn resize<T: Clone>(values: &mut Vec<T>, len: usize, value: T, what: &'static str) -> Result<(), OutOfMemory> {
    reserve(values, len, what)?;
    values.resize(len, value);
    Ok(())
}

/// Appends a value, with room for more.
///
/// # Errors
/// As [`reserve`].
pub fn push<T>(values: &mut Vec<T>, value: T, what: &'static str) -> Result<(), OutOfMemory> {
    let bytes = values.len().saturating_add(1).saturating_mul(size_of::<T>());
    values.try_reserve(1).map_err(|_| OutOfMemory { what, bytes })?;
    values.push(value);
    Ok(())
}

/// Checks that `bytes` can be allocated, for code that would abort if they could not.
///
/// # Errors
/// [`OutOfMemory`].
pub fn enough(bytes: u64, what: &'static str) -> Result<(), OutOfMemory> {
    reserve(&mut Vec::<u8>::new(), usize::try_from(bytes).unwrap_or(usize::MAX), what)
}

/// `len` times `value`.
///
/// # Errors
/// As [`reserve`].
pub fn filled<T: Clone>(len: usize, value: T, what: &'static str) -> Result<Vec<T>, OutOfMemory> {
    let mut values = Vec::new();
    resize(&mut values, len, value, what)?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_an_error() {
        let mut values = vec![1_u32, 2];
        for len in [usize::MAX, usize::MAX / 4, isize::MAX as usize / 4] {
            let error = resize(&mut values, len, 0, "a test").unwrap_err();
            assert_eq!(error, OutOfMemory { what: "a test", bytes: len.saturating_mul(4) });
            assert!(error.to_string().contains("a test"));
        }
        assert_eq!(values, [1, 2]);
        assert_eq!(filled(3, 7_u8, "a test"), Ok(vec![7; 3]));
        resize(&mut values, 1, 0, "a test").unwrap();
        assert_eq!(values, [1]);
        push(&mut values, 5, "a test").unwrap();
        assert_eq!(values, [1, 5]);
        assert!(enough(1, "a test").is_ok() && enough(u64::MAX, "a test").is_err());
    }
}
