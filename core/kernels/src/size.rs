//! Height and width, by name (a pair of numbers does not say which of the two comes first), and how many maps a network gives.

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
    /// Rows and columns alike.
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
