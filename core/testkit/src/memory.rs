//! The most memory that a test's process had.

/// The most bytes that this process has had resident.
///
/// # Panics
/// Unknown: implemented for Linux only.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    let kib = line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
    kib.expect("a number of KiB") << 10
}
