//! The cache file of packed weights: weights that a plan packs once are mapped into memory the next time and used in
//! cache. Nothing is converted or packed again, and the pages are the file's own: the system can reclaim and share
//! them.
//!
//! ```text
//! offset  what
//! 0       "silhouette packed weights 3\n"
//! 28      the checksum of the arrays, a space, the hash of their packing, a line break: each in 16 hexadecimal digits
//! 62      the key: everything else that the packed weights depend on, as text
//! …       zeros up to a multiple of 64
//! …       the arrays of packed weights, each at a multiple of 64
//! ```
//!
//! A file with another key is not used. Nor is one that does not hold exactly what the plan requests, whose checksum is
//! wrong, that is a link, that another user owns or may write to, or that is in a world-writable folder. The packing
//! hash identifies how weights were sliced: input shapes that are sliced alike share a file. Anyone who can write to
//! the folder as this user can change the masks, and truncating a mapped file ends the process: the folder must be
//! private to this program.

use std::fmt::Write as _;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use silhouette_engine::program::{Precision, Program, layout_probe};
use silhouette_files::{OpenError, Regular, check_folder, open_own, own_folder, read_own, write_own};
use silhouette_kernels::isa::Isa;
use silhouette_kernels::pack::{ALIGN, PackedReader, WeightOwner as _};
use silhouette_network::ModelError;
use silhouette_network::network::Network;
use silhouette_weights::{Map, Tail, Weights};
use twox_hash::XxHash3_64;

const MAGIC: &str = "silhouette packed weights 3\n";
const PREFIX: &str = "silhouette-";
const SUFFIX: &str = ".packed";

/// Maximum number of files in a folder; beyond it the least recently used are removed. A model whose weights are sliced
/// in one way has one.
const MOST: usize = 4;

/// Maximum number of bytes written to a folder per day, unless a single file is larger: flash wears out, and a file
/// that is never used twice is not worth caching.
const DAILY: u64 = 64 << 20;

/// File with what was written today: the number of the day, a space, bytes.
const WRITTEN: &str = "silhouette-written";

/// A day.
const DAY: Duration = Duration::from_hours(24);

/// The location of a network's packed weights.
#[derive(Debug)]
pub(crate) struct WeightCache {
    folder: PathBuf,
    key: String,
}

impl WeightCache {
    /// In `folder`, for plans of `network` with `weights`; `None` if the weights' file is unknown.
    pub(crate) fn new<E: Precision>(folder: &Path, network: &Network, weights: &Weights, isa: Isa) -> Option<Self> {
        let mut key = format!(
            "{} layout {:016x}\n{} {}\n{}\nepsilons {} {}\n",
            env!("CARGO_PKG_VERSION"),
            layout_probe::<E>(isa)?,
            isa.name(),
            E::TYPE,
            weights.source()?,
            weights.epsilon("stem"),
            weights.epsilon("head.project"),
        );
        // Names, shapes and order of all weights.
        for c in network.convs() {
            let shape = (c.c_in, c.c_out, c.kernel, c.stride, c.rate);
            writeln!(key, "{} {shape:?}", c.name).expect("writing to a string cannot fail");
        }
        // The inputs of every node.
        for node in network.nodes().iter().filter(|node| !node.inputs.is_empty()) {
            let inputs: Vec<usize> = node.inputs.iter().map(|input| input.index()).collect();
            writeln!(key, "{} {} of {inputs:?}", node.name, node.channels).expect("writing to a string cannot fail");
        }
        for output in network.outputs() {
            writeln!(key, "output {}", output.node.index()).expect("writing to a string cannot fail");
        }
        key.push_str("weights\n");
        Some(Self { folder: folder.to_owned(), key })
    }

    /// The common beginning of all file names with this key.
    fn prefix(&self) -> String {
        format!("{PREFIX}{:016x}-", XxHash3_64::oneshot(self.key.as_bytes()))
    }

    fn path(&self, packing: u64) -> PathBuf {
        self.folder.join(format!("{}{packing:016x}{SUFFIX}", self.prefix()))
    }

    /// The cached files with this key, the most recently used first: usually one, more if sizes or threads are sliced
    /// differently.
    pub(crate) fn entries(&self) -> impl Iterator<Item = CacheEntry> + use<'_> {
        let prefix = self.prefix();
        let files = match check_folder(&self.folder) {
            Ok(()) => files(&self.folder),
            Err(OpenError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                log::warn!("packed weights: {}: {error}", self.folder.display());
                Vec::new()
            }
        };
        let ours = files.into_iter().rev().filter(move |(_, path)| name(path).starts_with(&prefix));
        ours.filter_map(|(_, path)| {
            let entry = CacheEntry::open(&path, &self.key);
            entry.map_err(|error| log::warn!("packed weights: {}: {error}", path.display())).ok()
        })
    }

    /// Writes the packed weights of a plan to the cache, atomically.
    pub(crate) fn store(&self, program: &Program) -> Result<(), ModelError> {
        let path = self.path(program.packing());
        // Another thread is already writing it.
        let Some(_writing) = Writing::begin(&path) else { return Ok(()) };
        let refused = |error: OpenError| match error {
            OpenError::Io(error) => ModelError::io(&self.folder)(error),
            error => ModelError::bad_file(self.folder.display().to_string(), error.to_string()),
        };
        own_folder(&self.folder).map_err(refused)?;
        // Another process was faster.
        if CacheEntry::open(&path, &self.key).is_ok_and(|entry| entry.packing == program.packing() && entry.is_whole())
        {
            return Ok(());
        }
        let parts: Vec<&[u8]> = program.packed().into_iter().flat_map(|part| [part, padding(part)]).collect();
        let mut hasher = XxHash3_64::new();
        for part in &parts {
            hasher.write(part);
        }
        let head = head(hasher.finish(), program.packing(), &self.key);
        let length = parts.iter().chain([&&head[..]]).map(|part| part.len() as u64).sum();
        if !self.spend(length) {
            log::info!("packed weights are not cached: {DAILY} bytes were written today");
            return Ok(());
        }
        let written = write_own(
            &path,
            |error| error,
            |to| [&head[..]].iter().chain(&parts).try_for_each(|part| to.write_all(part)),
        );
        written.map_err(ModelError::io(&path))?;
        self.tidy(&path);
        Ok(())
    }

    /// Whether so many bytes may still be written today; if so, they are counted. Concurrent writes by several processes
    /// may be counted as one.
    fn spend(&self, bytes: u64) -> bool {
        let path = self.folder.join(WRITTEN);
        let today =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / DAY.as_secs();
        let text = read_own(&path, 64).ok().and_then(|text| String::from_utf8(text).ok()).unwrap_or_default();
        let stored =
            text.trim().split_once(' ').and_then(|(day, spent)| Some((day.parse().ok()?, spent.parse().ok()?)));
        let spent: u64 = stored.filter(|&(day, _): &(u64, u64)| day == today).map_or(0, |(_, spent)| spent);
        let sum = spent.saturating_add(bytes);
        if sum > DAILY.max(bytes) {
            return false;
        }
        let written = write_own(&path, |error| error, |to| to.write_all(format!("{today} {sum}\n").as_bytes()));
        written.map_err(|error| log::warn!("packed weights: {}: {error}", path.display())).is_ok()
    }

    /// Removes the least recently used files of other plans. Files that cannot be removed stay.
    fn tidy(&self, written: &Path) {
        let files = files(&self.folder);
        let others = files.iter().rev().map(|(_, path)| path).filter(|path| *path != written);
        others.skip(MOST - 1).for_each(|path| drop(std::fs::remove_file(path)));
    }
}

/// A mapped file of packed weights.
#[derive(Debug)]
pub(crate) struct CacheEntry {
    opened: Regular,
    arrays: Arc<Tail>,
    checksum: u64,
    packing: u64,
}

impl CacheEntry {
    fn open(path: &Path, key: &str) -> Result<Self, String> {
        let opened = open_own(path, u64::MAX).map_err(|error| error.to_string())?;
        let map = Map::of(&opened, path).map_err(|error| error.to_string())?;
        let damaged = || "it is damaged or belongs to another plan".to_owned();
        let number = |from: usize| {
            let digits = std::str::from_utf8(map.bytes().get(from..from + 16)?).ok()?;
            u64::from_str_radix(digits, 16).ok()
        };
        let checksum = number(MAGIC.len()).ok_or_else(damaged)?;
        let packing = number(MAGIC.len() + 17).ok_or_else(damaged)?;
        let head = head(checksum, packing, key);
        // Every array ends with zeros up to the next multiple.
        if !map.bytes().starts_with(&head) || !map.bytes().len().is_multiple_of(ALIGN) {
            return Err(damaged());
        }
        let arrays = Arc::new(Tail::new(map, head.len()).ok_or_else(damaged)?);
        Ok(Self { opened, arrays, checksum, packing })
    }

    /// The arrays.
    pub(crate) fn reader(&self) -> Option<PackedReader> {
        PackedReader::new(Arc::clone(&self.arrays) as Arc<_>)
    }

    /// The [`Program::packing`] of the plan that they were packed for.
    pub(crate) fn packing(&self) -> u64 {
        self.packing
    }

    /// Whether the arrays are unchanged, by the checksum.
    pub(crate) fn is_whole(&self) -> bool {
        let whole = XxHash3_64::oneshot(self.arrays.bytes()) == self.checksum;
        if !whole {
            log::warn!("packed weights: a file's checksum is wrong; they are packed again");
        }
        whole
    }

    /// Updates the file's time to mark it as used, at most once a day.
    pub(crate) fn used(&self) {
        let now = SystemTime::now();
        if self.opened.about.modified().is_ok_and(|last| now.duration_since(last).is_ok_and(|age| age > DAY)) {
            // If that fails, the file is removed earlier.
            let _ = self.opened.file.set_modified(now);
        }
    }
}

/// Everything before the arrays.
fn head(checksum: u64, packing: u64, key: &str) -> Vec<u8> {
    let mut head = format!("{MAGIC}{checksum:016x} {packing:016x}\n{key}").into_bytes();
    head.resize(head.len().next_multiple_of(ALIGN), 0);
    head
}

/// Zeros between the end of an array and the next one.
fn padding(part: &[u8]) -> &'static [u8] {
    &[0; ALIGN][..part.len().next_multiple_of(ALIGN) - part.len()]
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// All files of packed weights in a folder, with the time of their last use, the most recently used last.
fn files(folder: &Path) -> Vec<(SystemTime, PathBuf)> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|n| n.starts_with(PREFIX) && n.ends_with(SUFFIX)))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    found.sort();
    found
}

/// Marks a file as being written by this process, so that no other thread writes the same one.
struct Writing(PathBuf);

static WRITTEN_NOW: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

impl Writing {
    fn begin(path: &Path) -> Option<Self> {
        let mut now = WRITTEN_NOW.lock().unwrap_or_else(PoisonError::into_inner);
        if now.iter().any(|other| other == path) {
            return None;
        }
        now.push(path.to_owned());
        Some(Self(path.to_owned()))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITTEN_NOW.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_rows::Grey;
    use crate::plan::{Plan, PlanOptions};
    use silhouette_engine::caches::Caches;
    use silhouette_network::network::Size;
    use silhouette_network::spec::Spec;
    use silhouette_weights::{Dtype, ModelFile, seeded};

    /// A folder that is removed with the test.
    struct Folder(silhouette_testkit::Folder);

    impl Folder {
        fn new() -> Self {
            Self(silhouette_testkit::Folder::new())
        }

        /// The fixture's spec with weights from this seed, as a file.
        fn model(&self, seed: u64) -> ModelFile {
            let path = self.0.path("model.safetensors");
            let spec = Spec::preset("fixture").unwrap();
            let tensors = seeded(&Network::native(&spec).unwrap(), seed);
            ModelFile::new(spec, tensors).unwrap().save(&path, Dtype::F16).unwrap();
            ModelFile::open(path).unwrap()
        }

        fn cache(&self) -> PathBuf {
            self.0.path("cache")
        }

        fn entries(&self) -> Vec<PathBuf> {
            files(&self.cache()).into_iter().map(|(_, path)| path).collect()
        }
    }

    /// Marks a file as last used this many days ago.
    fn age(path: &Path, days: u32) {
        let file = std::fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - days * DAY).unwrap();
    }

    fn logits(model: &ModelFile, size: usize, threads: usize, cache: Option<&Path>) -> Vec<f32> {
        with(model, size, threads, None, cache)
    }

    fn with(model: &ModelFile, size: usize, threads: usize, caches: Option<Caches>, cache: Option<&Path>) -> Vec<f32> {
        let network = Network::new(model.spec(), Size::square(size)).unwrap();
        let weight_cache = cache.map(Path::to_path_buf);
        let options = PlanOptions { threads, weight_cache, caches, ..PlanOptions::default() };
        let plan = Plan::compile(&network, model.weights(), &options).unwrap();
        let (size, classes) = plan.logits();
        let mut logits = vec![0.0; size.height * size.width * classes];
        plan.new_state().unwrap().run(&Grey(plan.input()), &mut logits).unwrap();
        logits
    }

    #[test]
    fn what_was_kept_gives_the_same_bits_for_all_sizes_and_threads_that_are_sliced_alike() {
        let folder = Folder::new();
        let model = folder.model(1);
        let cache = folder.cache();
        for (size, threads) in [(65, 1), (65, 2), (97, 1)] {
            let expected = logits(&model, size, threads, None);
            for _ in 0..3 {
                assert!(logits(&model, size, threads, Some(&cache)) == expected, "{size}, {threads} threads");
            }
        }
        let [entry] = &folder.entries()[..] else { panic!("one file: {:?}", folder.entries()) };
        // That file really is used: with other values in it, and their checksum, the logits change.
        let mut bytes = std::fs::read(entry).unwrap();
        let start = bytes.len() / 2 / 4 * 4;
        bytes[start..].chunks_exact_mut(4).for_each(|v| v.copy_from_slice(&0.01f32.to_le_bytes()));
        let key =
            WeightCache::new::<f32>(&cache, &Network::native(model.spec()).unwrap(), model.weights(), Isa::best())
                .unwrap()
                .key;
        let arrays = head(0, 0, &key).len();
        let sum = format!("{:016x}", XxHash3_64::oneshot(&bytes[arrays..]));
        bytes[MAGIC.len()..][..16].copy_from_slice(sum.as_bytes());
        write_own(entry, |e| e, |to| to.write_all(&bytes)).unwrap();
        assert!(logits(&model, 65, 1, Some(&cache)) != logits(&model, 65, 1, None));
    }

    #[test]
    fn other_slices_are_another_file() {
        let folder = Folder::new();
        let model = folder.model(1);
        let cache = folder.cache();
        let small = Caches { l1: 8 << 10, l2: 16 << 10 };
        for caches in [None, Some(small), None, Some(small)] {
            let expected = with(&model, 97, 1, caches, None);
            assert!(with(&model, 97, 1, caches, Some(&cache)) == expected, "{caches:?}");
        }
        assert_eq!(folder.entries().len(), 2);
    }

    #[test]
    fn damaged_files_and_other_models_are_packed_anew() {
        let folder = Folder::new();
        let model = folder.model(1);
        let cache = folder.cache();
        let expected = logits(&model, 65, 1, Some(&cache));
        let [path] = &folder.entries()[..] else { panic!("one file") };
        let whole = std::fs::read(path).unwrap();
        let mut other_key = whole.clone();
        other_key[80] ^= 1;
        // Values overwritten in place: the file looks whole.
        let mut other_value = whole.clone();
        let last = other_value.len() - 200;
        other_value[last] ^= 0x40;
        let longer: Vec<u8> = whole.iter().copied().chain([0; 64]).collect();
        for bytes in [
            &[][..],
            &whole[..10],
            &whole[..whole.len() / 2],
            &whole[..whole.len() / 2 / 64 * 64],
            &whole[..whole.len() - 3],
            &other_key,
            &other_value,
            &longer,
        ] {
            std::fs::remove_file(cache.join(WRITTEN)).unwrap();
            write_own(path, |e| e, |to| to.write_all(bytes)).unwrap();
            assert!(logits(&model, 65, 1, Some(&cache)) == expected, "{} bytes", bytes.len());
            assert!(std::fs::read(path).unwrap() == whole, "{} bytes stay", bytes.len());
        }
        // A file instead of the folder: nothing is cached, and nothing else happens.
        let no_folder = folder.0.path("model.safetensors").join("cache");
        assert!(logits(&model, 65, 1, Some(&no_folder)) == expected);
        // The same path, another file.
        let other = folder.model(2);
        let fresh = logits(&other, 65, 1, None);
        assert!(fresh != expected && logits(&other, 65, 1, Some(&cache)) == fresh);
    }

    #[test]
    fn those_that_were_not_used_for_the_longest_go() {
        let folder = Folder::new();
        let cache = folder.cache();
        own_folder(&cache).unwrap();
        folder.0.write("cache/theirs.packed", "no file of ours");
        // From a program that ended while it wrote, and from one that is still writing.
        let broken_off =
            folder.0.write("cache/.unfinished-77-0-silhouette-0123456789abcdef.packed", "silhouette packed");
        let mut entry_path = PathBuf::new();
        for seed in 0..6 {
            let model = folder.model(seed);
            logits(&model, 65, 1, Some(&cache));
            if seed == 0 {
                entry_path = folder.entries()[0].clone();
            }
            // The first model is used repeatedly, like an app's own; the file is that of this seed.
            let newest = folder.entries().pop().unwrap();
            age(&newest, 20 - seed as u32);
            age(&entry_path, 2);
        }
        assert_eq!(folder.entries().len(), MOST);
        assert!(entry_path.exists(), "used last");
        assert!(cache.join("theirs.packed").exists() && !broken_off.exists());
    }

    #[test]
    fn use_is_said_once_a_day() {
        let folder = Folder::new();
        let model = folder.model(1);
        let cache = folder.cache();
        logits(&model, 65, 1, Some(&cache));
        let path = folder.entries().pop().unwrap();
        let days = || {
            let last = std::fs::metadata(&path).unwrap().modified().unwrap();
            SystemTime::now().duration_since(last).unwrap_or_default().as_secs() / DAY.as_secs()
        };
        age(&path, 5);
        logits(&model, 65, 1, Some(&cache));
        assert_eq!(days(), 0);
        let before = std::fs::metadata(&path).unwrap().modified().unwrap();
        logits(&model, 65, 1, Some(&cache));
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn a_day_has_a_budget() {
        let folder = Folder::new();
        let model = folder.model(1);
        let cache = folder.cache();
        own_folder(&cache).unwrap();
        let weight_cache =
            WeightCache::new::<f32>(&cache, &Network::native(model.spec()).unwrap(), model.weights(), Isa::best())
                .unwrap();
        assert!(weight_cache.spend(DAILY + 7), "a single larger file");
        assert!(!weight_cache.spend(1));
        logits(&model, 65, 1, Some(&cache));
        assert!(folder.entries().is_empty());
        // Yesterday's bytes do not count.
        write_own(&cache.join(WRITTEN), |e| e, |to| to.write_all(b"1 99999999999\n")).unwrap();
        assert!(weight_cache.spend(DAILY - 5) && weight_cache.spend(5) && !weight_cache.spend(1));
        std::fs::remove_file(cache.join(WRITTEN)).unwrap();
        logits(&model, 65, 1, Some(&cache));
        assert_eq!(folder.entries().len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed_and_what_others_may_write_is_not_used() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = Folder::new();
        let model = folder.model(1);
        let cache = folder.cache();
        let expected = logits(&model, 65, 1, Some(&cache));
        let path = folder.entries().pop().unwrap();
        let good = std::fs::read(&path).unwrap();
        // Links in place of everything that we write: their targets stay unchanged.
        let theirs = folder.0.write("theirs", "not ours");
        for name in [path.clone(), cache.join(WRITTEN)] {
            std::fs::remove_file(&name).unwrap();
            symlink(&theirs, &name).unwrap();
        }
        assert!(logits(&model, 65, 1, Some(&cache)) == expected);
        assert_eq!(std::fs::read(&theirs).unwrap(), b"not ours");
        assert!(std::fs::symlink_metadata(&path).unwrap().is_file() && std::fs::read(&path).unwrap() == good);
        // A good file behind a link is not used either: with other values in it nothing changes.
        let elsewhere = folder.0.write("elsewhere", &good);
        std::fs::remove_file(&path).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert!(CacheEntry::open(&path, "").unwrap_err().contains("link"));
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(&elsewhere, 0o666);
        assert!(CacheEntry::open(&elsewhere, "").unwrap_err().contains("other users"));
        mode(&cache, 0o777);
        let key =
            WeightCache::new::<f32>(&cache, &Network::native(model.spec()).unwrap(), model.weights(), Isa::best())
                .unwrap();
        assert_eq!(key.entries().count(), 0);
        assert!(logits(&model, 65, 1, Some(&cache)) == expected);
        assert!(std::fs::symlink_metadata(&path).unwrap().is_symlink(), "nothing was written there");
    }
}
