//! The builder's steps besides chains, sliced blocks and heads: a standalone depthwise convolution, and steps that join
//! maps or change their size.

use std::marker::PhantomData;

use super::build::Builder;
use super::context::Rows;
use super::depthwise::Depthwise;
use super::describe::{BuildError, Clamp, Filter, Map, Window, check_window, refuse};
use super::join::{Concat, Resize, Sum};
use super::precision::Precision;
use silhouette_kernels::bilinear;
use silhouette_kernels::size::Size;
use silhouette_kernels::upsample;

impl<E: Precision> Builder<E> {
    /// A standalone 3x3 depthwise convolution; `filter.weight` is (C, 1, 3, 3).
    ///
    /// # Errors
    /// If the shapes do not match.
    pub fn depthwise(
        &mut self,
        name: &str,
        input: Map,
        window: Window,
        filter: &Filter<'_>,
    ) -> Result<Map, BuildError> {
        let info = self.info(input);
        check_window(name, &window)?;
        self.check_filter(name, "weight", filter, 1, 9)?;
        if info.size != window.input || info.channels != filter.bias.len() {
            return refuse(name, "does not match the map that it reads");
        }
        let output = self.map(name, window.output, info.channels)?;
        let ring = self.ring(2 * window.rate + 1, info.channels, &window, true);
        let work = Depthwise::<E> {
            window,
            input: self.read(input),
            ring,
            weights: self.pack_depthwise(name, filter)?,
            clamp: filter.clamp,
            output: self.rows_of(output),
        };
        let macs = window.output.pixels() * 9 * info.channels as u64;
        self.push(name, "by rows, from a ring of padded rows".to_owned(), macs, Box::new(work));
        Ok(output)
    }

    /// The map resized bilinearly to `size`, any number of channels, larger or smaller; a map of one pixel is
    /// broadcast.
    ///
    /// # Errors
    /// If `size` is empty or too large, or if memory runs out.
    pub fn resize(&mut self, name: &str, input: Map, size: Size, rule: upsample::Resize) -> Result<Map, BuildError> {
        let info = self.info(input);
        let output = self.map(name, size, info.channels)?;
        let rows = bilinear::axis(info.size.height, size.height, rule)?;
        let columns = bilinear::axis(info.size.width, size.width, rule)?;
        let work =
            Resize::<E> { input: self.read(input), output: self.rows_of(output), rows, columns, element: PhantomData };
        // Three interpolations per value, each a multiply-add.
        let macs = 3 * size.pixels() * info.channels as u64;
        self.push(name, format!("{} to {size}, whole map", info.size), macs, Box::new(work));
        Ok(output)
    }

    /// The sum of `inputs`, all of one shape, followed by an activation; of a single input, just its activation.
    ///
    /// # Errors
    /// If there are none, or their shapes differ.
    pub fn sum(&mut self, name: &str, inputs: &[Map], clamp: Clamp) -> Result<Map, BuildError> {
        let Some(first) = inputs.first().map(|&map| self.info(map)) else { return refuse(name, "reads nothing") };
        let differs = |info: super::build::MapInfo| (info.size, info.channels) != (first.size, first.channels);
        if inputs.iter().any(|&map| differs(self.info(map))) {
            return refuse(name, "its inputs differ in shape");
        }
        let output = self.map(name, first.size, first.channels)?;
        let inputs: Vec<Rows> = inputs.iter().map(|&map| self.read(map)).collect();
        let explain = format!("sum of {}, whole map", inputs.len());
        let work =
            Sum::<E> { height: first.size.height, inputs, clamp, output: self.rows_of(output), element: PhantomData };
        self.push(name, explain, 0, Box::new(work));
        Ok(output)
    }

    /// The concatenated channels of `inputs`, as a map of its own. [`convolution`](Self::convolution) reads the parts
    /// of a concatenation directly, so only other readers need this.
    ///
    /// # Errors
    /// If there are none, or they differ in size.
    pub fn concat(&mut self, name: &str, inputs: &[Map]) -> Result<Map, BuildError> {
        let Some(first) = inputs.first().map(|&map| self.info(map)) else { return refuse(name, "reads nothing") };
        if inputs.iter().any(|&map| self.info(map).size != first.size) {
            return refuse(name, "its inputs differ in size");
        }
        let channels = inputs.iter().map(|&map| self.info(map).channels).sum();
        let output = self.map(name, first.size, channels)?;
        let inputs: Vec<_> = inputs.iter().map(|&map| (self.read(map), self.info(map).channels)).collect();
        let explain = format!("{} maps concatenated, whole map", inputs.len());
        let work =
            Concat::<E> { height: first.size.height, inputs, output: self.rows_of(output), element: PhantomData };
        self.push(name, explain, 0, Box::new(work));
        Ok(output)
    }
}
