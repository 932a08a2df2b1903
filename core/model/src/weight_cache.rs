//! Packed weights kept in a file: what a plan packs once is mapped into memory the next time and used where it lies. Nothing
//! is read, checked, converted or packed again, and its pages are the file's own: the system may take them back and share them.
//!
//! ```text
//! offset  what
//! 0       "silhouette packed weights\n"
//! 26      the key: everything that the packed weights depend on, as text
//! …       zeros up to a multiple of 64
//! …       f32, little-endian, each array at a multiple of 64
//! ```
//!
//! A file whose key is another one is not used. Neither is one that does not hold exactly what the plan asks for. What the values
//! are is not checked: whoever may write to the folder may decide what the masks are, and nothing else.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use silhouette_engine::caches::Caches;
use silhouette_engine::program::Program;
use silhouette_kernels::isa::Isa;
use silhouette_kernels::pack::{ALIGN, Shelf};

use crate::error::ModelError;
use crate::network::{HeadLayers, Network, Size};
use crate::weights::map::{Floats, Map};
use crate::weights::{Weights, write_with};

/// To be raised with every change of how weights are packed: see the test of the same name.
const LAYOUT: u32 = 2;

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
            "{} layout {LAYOUT}\n{} {} {} threads {threads} {caches:?}\n{}\nepsilon {}\n",
            env!("CARGO_PKG_VERSION"),
            isa.name(),
            isa.lanes(),
            isa.vectors(),
            weights.source()?,
            weights.epsilon(),
        );
        // Names, shapes and order of all weights, and what slices are chosen from.
        for c in network.convs() {
            let Size { height, width } = c.input;
            let shape = (c.c_in, c.c_out, c.kernel, c.stride, c.rate, height, width);
            writeln!(key, "{} {shape:?}", c.name).expect("a string takes everything");
        }
        if let HeadLayers::Deeplab(layers) = &network.head {
            writeln!(key, "pooling last {}", layers.pooling_last).expect("a string takes everything");
        }
        key.push_str("weights\n");
        let path = folder.join(format!("{PREFIX}{:016x}{SUFFIX}", fnv(key.as_bytes())));
        Some(Self { path, key })
    }

    /// What is kept there, if it is this plan's.
    pub(crate) fn shelf(&self) -> Option<Shelf> {
        if !self.path.exists() {
            return None;
        }
        let map = Map::open_ahead(&self.path).map_err(|e| log::warn!("packed weights: {e}")).ok()?;
        let head = self.head();
        if !map.bytes().starts_with(&head) {
            log::warn!("packed weights: {} is damaged, or another plan's", self.path.display());
            return None;
        }
        Shelf::new(Arc::new(Floats::new(map, head.len())?))
    }

    /// Keeps the packed weights of a plan there: whole or not at all.
    pub(crate) fn keep(&self, program: &Program) -> Result<(), ModelError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(ModelError::io(folder))?;
        write_with(&self.path, |file| {
            let mut file = std::io::BufWriter::new(file);
            file.write_all(&self.head())?;
            for part in program.packed() {
                let bytes: &[u8] = bytemuck::cast_slice(part);
                file.write_all(bytes)?;
                file.write_all(&[0; ALIGN][..bytes.len().next_multiple_of(ALIGN) - bytes.len()])?;
            }
            file.flush()
        })?;
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
            // A file that is being written has a point before its name: see `write_with`.
            let whole = name.starts_with(PREFIX) && name.ends_with(SUFFIX);
            (whole || name.strip_prefix('.').is_some_and(|name| name.starts_with(PREFIX))) && path != self.path
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

/// Fowler, Noll and Vo's hash, variant 1a: a name for a file, no more.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_rows::Grey;
    use crate::plan::{Plan, PlanOptions};
    use crate::spec::Spec;
    use crate::weights::{Dtype, ModelFile, seeded};

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
        let broken_off = cache.join(".silhouette-0123456789abcdef.packed.77.tmp");
        std::fs::write(&broken_off, "silhouette packed").unwrap();
        for size in [65, 66, 67, 68, 69, 70] {
            logits(&model, size, 1, Some(&cache));
        }
        assert_eq!(folder.kept().len(), MOST + 1);
        assert!(cache.join("theirs.packed").exists() && !broken_off.exists());
    }

    /// If this fails, weights are packed in another way: raise [`LAYOUT`], so that no file of before is taken, and put the new
    /// number here.
    #[test]
    fn the_layout_is_what_its_number_says() {
        let spec = Spec::preset("fixture").unwrap();
        let network = Network::native(&spec).unwrap();
        let model = ModelFile::new(spec, seeded(&network, 1)).unwrap();
        let options = PlanOptions { isa: Some("scalar".into()), caches: Some(Caches::SMALL), ..PlanOptions::default() };
        let plan = Plan::compile(&network, model.weights(), &options).unwrap();
        let bytes: Vec<u8> =
            plan.packed().iter().flat_map(|part| bytemuck::cast_slice::<f32, u8>(part)).copied().collect();
        assert_eq!((LAYOUT, fnv(&bytes)), (2, 0x4a99_3187_eeaf_8a5c), "{:#x}", fnv(&bytes));
    }
}
