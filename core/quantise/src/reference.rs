//! Runs a model as its file says: a float one in f32, a quantised one in f32 that is rounded to the bytes of its edges
//! (what integers compute, but for the last bit of sums and multipliers). A resized map has the scale of the map that it is made from,
//! even if the file gives it another, as files of TensorFlow Lite may. Slow and readable, for scores and comparisons.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use silhouette_network::network::{Network, Size};
use silhouette_network::spec::Spec;
use silhouette_weights::ModelFile;

use crate::error::QuantiseError;
use crate::grid::Grid;
use crate::integers::{Rounder, spread};
use crate::layers::{Layer, Ready};
use crate::pictures::Picture;
use crate::program::Program;
use crate::report::ARITHMETIC;
use crate::run::{Unobserved, run};

/// A model that runs in the reference arithmetic.
#[derive(Debug)]
pub struct Reference {
    spec: Spec,
    layers: Vec<Ready>,
    /// Of each edge; `None` for a float model.
    grids: Option<Vec<Grid>>,
    programs: Mutex<HashMap<Size, Arc<Program>>>,
}

impl Reference {
    /// Prepares a model, float or quantised.
    ///
    /// # Errors
    /// [`QuantiseError::NoScale`] if some edges have a scale and others have none; [`QuantiseError::Unsupported`];
    /// [`QuantiseError::Model`].
    pub fn new(model: &ModelFile) -> Result<Self, QuantiseError> {
        let program = Program::new(&Network::native(model.spec())?)?;
        let weights = model.weights();
        let layers = Layer::all(&program.convs, weights)?;
        let layers =
            program.convs.iter().zip(&layers).map(|(conv, layer)| layer.ready(conv)).collect::<Result<_, _>>()?;
        let grid = |edge: usize| {
            let name = &program.edges[edge].name;
            let stored = weights.activation(name);
            stored.map(Grid::from).ok_or_else(|| QuantiseError::NoScale { edge: name.clone() })
        };
        let grids = if weights.activations().is_empty() { None } else { Some(spread(&program, grid)?) };
        Ok(Self { spec: model.spec().clone(), layers, grids, programs: Mutex::default() })
    }

    /// The arithmetic, for reports.
    pub fn arithmetic(&self) -> &'static str {
        if self.grids.is_some() { ARITHMETIC } else { "f32" }
    }

    /// The output for a picture: `[height][width][channels]`, its size and channels.
    ///
    /// # Errors
    /// [`QuantiseError::Pictures`] for a wrong number of values; as [`Network::new`].
    pub fn run(&self, picture: &Picture) -> Result<(Vec<f32>, Size, usize), QuantiseError> {
        if picture.size.pixels().saturating_mul(3) != picture.values.len() as u64 {
            let text = format!("{} values for {} pixels of 3", picture.values.len(), picture.size);
            return Err(QuantiseError::Pictures(text));
        }
        let program = self.program(picture.size)?;
        let output = match &self.grids {
            Some(grids) => run(&program, &self.layers, &picture.values, &mut Rounder { grids }),
            None => run(&program, &self.layers, &picture.values, &mut Unobserved),
        };
        let edge = &program.edges[program.output];
        Ok((output?, edge.size, edge.channels))
    }

    fn program(&self, size: Size) -> Result<Arc<Program>, QuantiseError> {
        let known = || self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = known().get(&size) {
            return Ok(Arc::clone(program));
        }
        let program = Arc::new(Program::new(&Network::new(&self.spec, size)?)?);
        known().insert(size, Arc::clone(&program));
        Ok(program)
    }
}
