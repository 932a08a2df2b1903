//! Calibration pictures: the network's input for each, and the network at their sizes.

use std::collections::BTreeMap;

use silhouette_network::network::{Network, Size};
use silhouette_network::spec::Spec;

use crate::error::QuantiseError;
use crate::program::Program;

/// Most values of all pictures together: a gibibyte.
pub const MAX_VALUES: usize = 1 << 28;

/// The network's input for a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Rows and columns.
    pub size: Size,
    /// `[height][width][3]`, normalised for the network.
    pub values: Vec<f32>,
}

/// The pictures, and the network at each of their sizes.
#[derive(Debug)]
pub(crate) struct Pictures<'a> {
    all: &'a [Picture],
    programs: BTreeMap<(usize, usize), Program>,
}

impl<'a> Pictures<'a> {
    /// # Errors
    /// [`QuantiseError::Pictures`] without pictures, with too many, or with a wrong number of values; as [`Program::new`].
    pub(crate) fn new(spec: &Spec, all: &'a [Picture]) -> Result<Self, QuantiseError> {
        let mut programs = BTreeMap::new();
        if all.is_empty() {
            return Err(QuantiseError::Pictures("no pictures to calibrate with".into()));
        }
        let values = all.iter().map(|picture| picture.values.len()).fold(0, usize::saturating_add);
        if values > MAX_VALUES {
            let text = format!(
                "{} pictures have {values} values, more than {MAX_VALUES}; use fewer, or a smaller input",
                all.len()
            );
            return Err(QuantiseError::Pictures(text));
        }
        for (i, Picture { size, values }) in all.iter().enumerate() {
            if size.pixels().saturating_mul(3) != values.len() as u64 {
                let text = format!("picture {i} has {} values for {size} pixels of 3", values.len());
                return Err(QuantiseError::Pictures(text));
            }
            if let std::collections::btree_map::Entry::Vacant(entry) = programs.entry((size.height, size.width)) {
                entry.insert(Program::new(&Network::new(spec, *size)?)?);
            }
        }
        Ok(Self { all, programs })
    }

    /// The pictures with these numbers.
    pub(crate) fn get(&self, i: usize) -> (&Program, &Picture) {
        let picture = &self.all[i];
        (&self.programs[&(picture.size.height, picture.size.width)], picture)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The network at one of the sizes: names and channels are the same at all.
    pub(crate) fn any(&self) -> &Program {
        self.get(0).0
    }
}
