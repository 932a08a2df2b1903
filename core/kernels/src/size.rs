//! Height and width, by name: a bare pair does not show which of the two comes first. And how many maps a network may have as outputs.

/// A map's height and width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// The most outputs of a network: engines list them in arrays, so that a run allocates nothing.
pub const MAX_OUTPUTS: usize = 8;

impl Size {
    /// A square: rows and columns are equal.
    pub const fn square(side: usize) -> Self {
        Self { height: side, width: side }
    }

    /// Rows times columns.
    pub const fn pixels(self) -> u64 {
        self.height as u64 * self.width as u64
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}
