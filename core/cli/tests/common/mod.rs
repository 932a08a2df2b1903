//! What the command-line tests share: the built program, a folder, made pictures and models.
#![allow(dead_code, reason = "each test file uses its part")]

use silhouette_model::network::Network;
use silhouette_model::spec::Spec;
use silhouette_model::weights::{self, ModelFile};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder that goes away with the test.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A picture with soft shapes in it, so that a mask of it has more than one class.
    pub(crate) fn photo(&self, name: &str, width: u32, height: u32) -> PathBuf {
        let path = self.path(name);
        let picture = image::RgbImage::from_fn(width, height, |x, y| {
            let wave = |k: f32| (127.0 + 120.0 * ((x as f32 / k).sin() * (y as f32 / k).cos())) as u8;
            image::Rgb([wave(17.0), wave(29.0), wave(41.0)])
        });
        picture.save(&path).unwrap();
        path
    }

    /// The files of the folder, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// The seeded fixture: a whole small network with random weights, always the same.
pub(crate) fn fixture(place: &Place, name: &str) -> PathBuf {
    seeded(place, name, "fixture")
}

/// A preset with random weights, always the same.
pub(crate) fn seeded(place: &Place, name: &str, preset: &str) -> PathBuf {
    let spec = Spec::preset(preset).unwrap();
    let weights = weights::seeded(&Network::native(&spec).unwrap(), 7);
    let path = place.path(name);
    ModelFile::new(spec, weights).unwrap().save(&path, weights::Dtype::F32).unwrap();
    path
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        let ran = Self {
            // No code: ended by a signal.
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        assert!(!ran.err.contains("panicked") && ran.code != 101 && ran.code >= 0, "a crash: {ran:?}");
        ran
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!(self.code == 0, "{self:?}");
        self
    }

    /// One line on stderr that begins with `error: ` and has each of `words` in it, and exit code 1.
    #[track_caller]
    pub(crate) fn fails(self, words: &[&str]) -> Self {
        assert_eq!(self.code, 1, "{self:?}");
        let errors: Vec<_> = self.err.lines().collect();
        assert!(errors.len() == 1 && errors[0].starts_with("error: "), "one error line: {self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {self:?}");
        }
        self
    }

    /// The one line of JSON on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) fn silhouette<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    Ran::of(Command::new(env!("CARGO_BIN_EXE_silhouette")).args(args).output().unwrap())
}

/// The same with the address space limited, so that an allocation that the input does not explain ends in an abort.
pub(crate) fn silhouette_within<S: AsRef<std::ffi::OsStr>>(mib: u32, args: impl IntoIterator<Item = S>) -> Ran {
    let script = format!("ulimit -v {}; exec \"$0\" \"$@\"", mib * 1024);
    Ran::of(Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_silhouette")]).args(args).output().unwrap())
}

/// Arguments of mixed types.
#[macro_export]
macro_rules! args {
    ($($arg:expr),* $(,)?) => { [$(std::ffi::OsString::from(&$arg)),*] };
}

/// The reference models and photos, where they are; else says that the test is skipped.
pub(crate) fn shared() -> Option<PathBuf> {
    let path = std::env::var_os("SILHOUETTE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let there = path.join("models").is_dir();
    if !there {
        println!("skipped: no reference models at {}", path.display());
    }
    there.then_some(path)
}
