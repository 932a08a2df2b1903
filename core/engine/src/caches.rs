//! Cache sizes of the core, if the system reports them.

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caches {
    /// First-level data cache of one core.
    pub l1: usize,
    /// Second-level cache of one core.
    pub l2: usize,
}

impl Caches {
    /// Typical of small phone cores: assumed if the system does not report its own.
    pub const SMALL: Self = Self { l1: 32 << 10, l2: 256 << 10 };

    /// Bytes of L2 that one thread's working set is planned for. More than 1 MiB improves speed little, and slices and
    /// maps that filled it would dominate the memory of an inference.
    pub fn working_set(&self) -> usize {
        self.l2.min(1 << 20)
    }

    /// Reads `/sys` (Linux, Android); elsewhere, or if it is hidden, [`Caches::SMALL`] with twice the L2 on a desktop.
    pub fn detect() -> Self {
        let read = |index: usize, what: &str| {
            std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{what}")).ok()
        };
        let mut found = if cfg!(target_arch = "x86_64") { Self { l2: 512 << 10, ..Self::SMALL } } else { Self::SMALL };
        let mut missing = [true; 2];
        // No file more than necessary: each costs several system calls whenever a model is opened.
        for index in 0..8 {
            let (Some(level), Some(kind)) = (read(index, "level"), read(index, "type")) else { break };
            let (which, to) = match (level.trim(), kind.trim()) {
                ("1", "Data" | "Unified") => (0, &mut found.l1),
                ("2", _) => (1, &mut found.l2),
                _ => continue,
            };
            let size = read(index, "size");
            if let Some(size) = size.and_then(|text| text.trim().strip_suffix('K')?.parse::<usize>().ok()) {
                *to = size << 10;
                missing[which] = false;
            }
            if missing == [false; 2] {
                break;
            }
        }
        found
    }
}
