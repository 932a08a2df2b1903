//! Shared code of the command-line tests: the built program, generated images and models.
#![allow(dead_code, reason = "each test file uses its part")]

use silhouette_network::network::Network;
use silhouette_network::spec::Spec;
use silhouette_testkit::{Folder, waves};
use silhouette_weights::{self as weights, ModelFile};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An image in `place` with soft shapes, so that a mask of it has more than one class.
pub(crate) fn photo(place: &Folder, name: &str, width: u32, height: u32) -> PathBuf {
    let path = place.path(name);
    let pixels = waves(width as usize, height as usize, 0);
    image::save_buffer(&path, &pixels, width, height, image::ColorType::Rgb8).unwrap();
    path
}

/// The seeded fixture: a complete small network with fixed random weights.
pub(crate) fn fixture(place: &Folder, name: &str) -> PathBuf {
    seeded(place, name, "fixture")
}

/// A preset with fixed random weights.
pub(crate) fn seeded(place: &Folder, name: &str, preset: &str) -> PathBuf {
    let spec = Spec::preset(preset).unwrap();
    let weights = weights::seeded(&Network::native(&spec).unwrap(), 7);
    let path = place.path(name);
    ModelFile::new(spec, weights).unwrap().save(&path, weights::Dtype::F32).unwrap();
    path
}

/// Columns, rows and class indices of a mask as stored.
pub(crate) fn indices(path: &Path) -> (u32, u32, Vec<u8>) {
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    assert_eq!(reader.output_color_type(), (png::ColorType::Indexed, png::BitDepth::Eight));
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut bytes).unwrap();
    (frame.width, frame.height, bytes)
}

/// The result of a run.
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

    /// Checks for one line on stderr that begins with `error: ` and contains each of `words`, and exit code 1.
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

/// The same with limited address space, so that an allocation that the input does not explain ends in an abort.
pub(crate) fn silhouette_within<S: AsRef<std::ffi::OsStr>>(mib: u32, args: impl IntoIterator<Item = S>) -> Ran {
    Ran::of(within(u64::from(mib) << 10, args))
}

/// Runs the command within so many KiB of address space, however it ends.
pub(crate) fn within<S: AsRef<std::ffi::OsStr>>(kib: u64, args: impl IntoIterator<Item = S>) -> Output {
    let script = format!("ulimit -v {kib}; exec \"$0\" \"$@\"");
    Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_silhouette")]).args(args).output().unwrap()
}

/// Arguments of mixed types.
#[macro_export]
macro_rules! args {
    ($($arg:expr),* $(,)?) => { [$(std::ffi::OsString::from(&$arg)),*] };
}
