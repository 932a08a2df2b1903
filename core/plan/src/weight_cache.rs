//! Packed weights kept in a file: what a plan packs once is mapped into memory the next time and used where it lies. Nothing
//! is read, checked, converted or packed again, and its pages are the file's own: the system may take them back and share them.
//!
//! ```text
//! offset  what
//! 0       "silhouette packed weights\n"
//! 26      the key: everything that the packed weights depend on, as text
//! …       zeros up to a multiple of 64
//! …       the arrays of packed weights, each at a multiple of 64
//! ```
//!
//! A file whose key is another one is not used. Neither is one that does not hold exactly what the plan asks for. What the values
//! are is not checked: whoever may write to the folder may decide what the masks are, and nothing else.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use silhouette_engine::caches::Caches;
use silhouette_engine::program::{Program, layout_probe};
use silhouette_kernels::isa::Isa;
use silhouette_kernels::pack::{ALIGN, Shelf};
use silhouette_network::ModelError;
use silhouette_network::network::{Network, Size};
use silhouette_weights::{Map, Tail, UNFINISHED, Weights, fnv1a, write_whole};

const MAGIC: &[u8] = b"silhouette packed weights\n";
const PREFIX: &str = "silhouette-";
const SUFFIX: &str = ".packed";

/// Files in a folder, at most: beyond it the oldest go. A model at a size on so many threads is one.
const MOST: usize = 4;

/// Where the packed weights of one plan are kept.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    key: String,
}

impl Place {
    /// In `folder`, for a plan of `network` with `weights`; `None` where it cannot be told from which file these come.
    pub(crate) fn new(
        folder: &Path,
        network: &Network,
        weights: &Weights,
        isa: Isa,
        threads: usize,
        caches: Caches,
    ) -> Option<Self> {
        let mut key = format!(
            "{} layout {:016x}\n{} threads {threads} {caches:?}\n{}\nepsilon {}\n",
            env!("CARGO_PKG_VERSION"),
            layout_probe(isa),
            isa.name(),
            weights.source()?,
            weights.epsilon(),
        );
        // Names, shapes and order of all weights, and what slices are chosen from.
        for c in network.convs() {
            let Size { height, width } = c.input;
            let shape = (c.c_in, c.c_out, c.kernel, c.stride, c.rate, height, width);
            writeln!(key, "{} {shape:?}", c.name).expect("a string takes everything");
        }
        // What reads what.
        for node in network.nodes().iter().filter(|node| !node.inputs.is_empty()) {
            let inputs: Vec<usize> = node.inputs.iter().map(|input| input.index()).collect();
            writeln!(key, "{} {}x{} of {inputs:?}", node.name, node.size, node.channels)
                .expect("a string takes everything");
        }
        for output in network.outputs() {
            writeln!(key, "output {}", output.node.index()).expect("a string takes everything");
        }
        key.push_str("weights\n");
        let path = folder.join(format!("{PREFIX}{:016x}{SUFFIX}", fnv1a(key.as_bytes())));
        Some(Self { path, key })
    }

    /// What is kept there, if it is this plan's.
    pub(crate) fn shelf(&self) -> Option<Shelf> {
        if !self.path.exists() {
            return None;
        }
        let map = Map::open_ahead(&self.path).map_err(|e| log::warn!("packed weights: {e}")).ok()?;
        let head = self.head();
        // Every array ends with zeros up to the next multiple.
        if !map.bytes().starts_with(&head) || !map.bytes().len().is_multiple_of(ALIGN) {
            log::warn!("packed weights: {} is damaged, or another plan's", self.path.display());
            return None;
        }
        Shelf::new(Arc::new(Tail::new(map, head.len())?))
    }

    /// Keeps the packed weights of a plan there: whole or not at all.
    pub(crate) fn keep(&self, program: &Program) -> Result<(), ModelError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(ModelError::io(folder))?;
        let write = |to: &Path| {
            let mut file = std::io::BufWriter::new(std::fs::File::create(to)?);
            file.write_all(&self.head())?;
            for part in program.packed() {
                file.write_all(part)?;
                file.write_all(&[0; ALIGN][..part.len().next_multiple_of(ALIGN) - part.len()])?;
            }
            file.flush()
        };
        write_whole(&self.path, ModelError::io(&self.path), |to| write(to).map_err(ModelError::io(&self.path)))?;
        self.tidy(folder);
        Ok(())
    }

    /// All before the weights.
    fn head(&self) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        head.extend(self.key.as_bytes());
        head.resize(head.len().next_multiple_of(ALIGN), 0);
        head
    }

    /// Removes the oldest files of other plans, and what was left of writing one that never ended. What cannot be removed stays.
    fn tidy(&self, folder: &Path) {
        let ours = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let whole = name.starts_with(PREFIX) && name.ends_with(SUFFIX);
            (whole || name.starts_with(UNFINISHED) && name.contains(PREFIX)) && path != self.path
        };
        let mut others: Vec<_> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some((entry.as_ref().ok()?.metadata().ok()?.modified().ok()?, entry.ok()?.path())))
            .filter(|(_, path)| ours(path))
            .collect();
        others.sort();
        others.iter().rev().skip(MOST - 1).for_each(|(_, path)| drop(std::fs::remove_file(path)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_rows::Grey;
    use crate::plan::{Plan, PlanOptions};
    use silhouette_network::spec::Spec;
    use silhouette_weights::{Dtype, ModelFile, seeded};

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("silhouette-cache-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        /// The fixture's spec with weights of this seed, as a file.
        fn model(&self, seed: u64) -> ModelFile {
            let path = self.0.join("model.safetensors");
            let spec = Spec::preset("fixture").unwrap();
            let tensors = seeded(&Network::native(&spec).unwrap(), seed);
            ModelFile::new(spec, tensors).unwrap().save(&path, Dtype::F16).unwrap();
            ModelFile::open(path).unwrap()
        }

        fn kept(&self) -> Vec<PathBuf> {
            let files = std::fs::read_dir(self.0.join("cache")).into_iter().flatten();
            files.map(|entry| entry.unwrap().path()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn logits(model: &ModelFile, size: usize, threads: usize, cache: Option<&Path>) -> Vec<f32> {
        let network = Network::new(model.spec(), Size::square(size)).unwrap();
        let options = PlanOptions { threads, weight_cache: cache.map(Path::to_path_buf), ..PlanOptions::default() };
        let plan = Plan::compile(&network, model.weights(), &options).unwrap();
        let (size, classes) = plan.logits();
        let mut logits = vec![0.0; size.height * size.width * classes];
        plan.run(&mut plan.new_state().unwrap(), &Grey(plan.input()), &mut logits).unwrap();
        logits
    }

    #[test]
    fn what_was_kept_gives_the_same_bits() {
        let folder = Folder::new("same");
        let (model, cache) = (folder.model(1), folder.0.join("cache"));
        for (size, threads) in [(65, 1), (65, 2), (97, 1)] {
            let wanted = logits(&model, size, threads, None);
            for _ in 0..3 {
                assert!(logits(&model, size, threads, Some(&cache)) == wanted, "{size}, {threads} threads");
            }
        }
        let kept = folder.kept();
        assert_eq!(kept.len(), 3, "{kept:?}");
        // It is those files that are used: with other values in them the logits are others.
        for path in kept {
            let mut bytes = std::fs::read(&path).unwrap();
            let start = bytes.len() / 2 / 4 * 4;
            bytes[start..].chunks_exact_mut(4).for_each(|v| v.copy_from_slice(&0.01f32.to_le_bytes()));
            // A new file in its place, as long as the old one may be mapped.
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
        assert!(logits(&model, 65, 1, Some(&cache)) != logits(&model, 65, 1, None));
    }

    #[test]
    fn damaged_files_and_other_models_are_packed_anew() {
        let folder = Folder::new("damaged");
        let (model, cache) = (folder.model(1), folder.0.join("cache"));
        let wanted = logits(&model, 65, 1, Some(&cache));
        let [path] = &folder.kept()[..] else { panic!("one file") };
        let whole = std::fs::read(path).unwrap();
        let mut other_key = whole.clone();
        other_key[30] ^= 1;
        let longer: Vec<u8> = whole.iter().copied().chain([0; 64]).collect();
        for bytes in [&[][..], &whole[..10], &whole[..whole.len() / 2], &whole[..whole.len() - 3], &other_key, &longer]
        {
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, bytes).unwrap();
            assert!(logits(&model, 65, 1, Some(&cache)) == wanted, "{} bytes", bytes.len());
            assert!(std::fs::read(path).unwrap() == whole, "{} bytes stay", bytes.len());
        }
        // A file in the folder's place: nothing is kept, and nothing else happens.
        let no_folder = folder.0.join("model.safetensors").join("cache");
        assert!(logits(&model, 65, 1, Some(&no_folder)) == wanted);
        // The same path, another file.
        let other = folder.model(2);
        let fresh = logits(&other, 65, 1, None);
        assert!(fresh != wanted && logits(&other, 65, 1, Some(&cache)) == fresh);
    }

    #[test]
    fn the_oldest_go() {
        let folder = Folder::new("oldest");
        let (model, cache) = (folder.model(1), folder.0.join("cache"));
        std::fs::create_dir_all(&cache).unwrap();
        std::fs::write(cache.join("theirs.packed"), "no file of ours").unwrap();
        // Of a program that ended while it wrote.
        let broken_off = cache.join(".unfinished-77-0-silhouette-0123456789abcdef.packed");
        std::fs::write(&broken_off, "silhouette packed").unwrap();
        for size in [65, 66, 67, 68, 69, 70] {
            logits(&model, size, 1, Some(&cache));
        }
        assert_eq!(folder.kept().len(), MOST + 1);
        assert!(cache.join("theirs.packed").exists() && !broken_off.exists());
    }
}
