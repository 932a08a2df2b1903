//! What the system reports about this process's memory (Linux; elsewhere nothing).

/// Bytes resident now.
pub(crate) fn resident() -> Option<u64> {
    field("VmRSS:")
}

/// Most bytes resident since the process began, or since [`reset_peak`].
pub(crate) fn peak() -> Option<u64> {
    field("VmHWM:")
}

pub(crate) fn reset_peak() {
    // Where it is not allowed the peak holds what was before, too: growth is then over-, never understated.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn field(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
}
