//! Unusual files: pipes in place of files, outputs that are inputs, two runs with one output, and a command that is
//! killed at any moment.
#![cfg(unix)]

mod common;

use common::{fixture, photo};
use silhouette_testkit::{Folder, pipe, shared_folder};
use silhouette_weights::npy::{self, Array};
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longer than any run here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

fn start(args: &[OsString]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silhouette"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs to the end, within the limit.
fn run(args: &[OsString]) -> Output {
    let mut child = start(args);
    // Read while it runs: a full pipe would block it.
    let read = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).unwrap();
            bytes
        })
    };
    let out = read(Box::new(child.stdout.take().unwrap()));
    let err = read(Box::new(child.stderr.take().unwrap()));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{args:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}

#[track_caller]
fn fails(args: &[OsString], word: &str) {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
    assert!(text.contains(word), "{args:?}: {word:?} is not in {text}");
}

#[track_caller]
fn works(args: &[OsString]) -> Output {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A model, a photo, a tensor for the model, and a file that `import` accepts.
struct Things {
    place: Folder,
    model: PathBuf,
    photo: PathBuf,
    tensor: PathBuf,
    source: PathBuf,
    labels: PathBuf,
    spec: PathBuf,
}

impl Things {
    fn new() -> Self {
        let place = Folder::new();
        let model = fixture(&place, "model.safetensors");
        let photo = photo(&place, "photo.png", 40, 30);
        let tensor = place.path("x.npy");
        npy::write(&tensor, &Array { shape: [1, 3, 65, 65], data: vec![0.25; 3 * 65 * 65] }).unwrap();
        let spec = silhouette_network::spec::Spec::preset("fixture").unwrap();
        let labels = place.write("labels.txt", spec.labels.join("\n"));
        let source = place.write("source.safetensors", std::fs::read(&model).unwrap());
        let spec = place.write("spec.json", spec.to_json());
        Self { place, model, photo, tensor, source, labels, spec }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// Two images with their masks, as folders.
    fn data_set(&self) -> (PathBuf, PathBuf) {
        let images = self.path("images");
        let masks = self.path("masks");
        std::fs::create_dir_all(&images).unwrap();
        for number in 0..6 {
            let name = format!("images/p{number}.png");
            let picture = photo(&self.place, &name, 50 + 9 * number, 60);
            works(&args!["segment", picture, "--model", self.model, "--effect", "mask", "-o", masks, "--threads", "1"]);
            std::fs::rename(masks.join(format!("p{number}.mask.png")), masks.join(format!("p{number}.png"))).unwrap();
        }
        (images, masks)
    }
}

#[test]
fn pipes_in_the_place_of_inputs_are_refused_at_once() {
    let things = Things::new();
    let Things { model, photo, tensor, source, labels, .. } = &things;
    let dead = things.path("pipe");
    let json = things.path("pipe.json");
    pipe(&dead);
    pipe(&json);
    let (images, masks) = things.data_set();
    let out = things.path("out");
    let replace = OsString::from(format!("replace={}", dead.display()));
    for args in [
        &args!["segment", dead, "--model", model, "-o", out][..],
        &args!["segment", photo, "--model", dead, "-o", out],
        &args!["segment", photo, "--model", model, "--effect", replace, "-o", out],
        &args!["classify", photo, "--model", dead],
        &args!["info", dead],
        &args!["info", "--spec", json],
        &args!["bench", model, "--photo", dead],
        &args!["import", dead, "-o", out],
        &args!["import", source, "--labels", dead, "-o", out],
        &args!["import", source, "--labels", labels, "--spec", json, "-o", out],
        &args!["run", model, "--input", dead, "-o", out],
        &args!["run", dead, "--input", tensor, "-o", out],
        &args!["eval", "--voc", things.place.root(), "--list", dead, "--model", model],
        &args!["eval", "--images", images, "--masks", masks, "--labels", dead, "--model", model],
        &args!["experiment", "split", "--model", dead],
    ] {
        fails(args, "it is a pipe, not a regular file");
    }
    assert!(!out.exists());
    // A mask and a photo of a data set: those images are skipped and reported.
    std::fs::remove_file(masks.join("p0.png")).unwrap();
    pipe(&masks.join("p0.png"));
    std::fs::remove_file(images.join("p1.png")).unwrap();
    pipe(&images.join("p1.png"));
    let output = works(&args!["eval", "--images", images, "--masks", masks, "--model", model]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.matches("it is a pipe").count(), 2, "{text}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("4 images, 2 skipped"));
}

/// The name of a file, and the command that writes it to a path.
type Writer<'t> = (&'static str, Box<dyn Fn(&Path) -> Vec<OsString> + 't>);

/// Every command that writes a file, except `import`.
fn writers(things: &Things) -> Vec<Writer<'_>> {
    let Things { model, tensor, .. } = things;
    vec![
        ("y.npy", Box::new(move |to| args!["run", model, "--input", tensor, "-o", to].to_vec())),
        ("f.svg", Box::new(|to| args!["experiment", "manifold", "--matrices", "2", "-o", to].to_vec())),
        ("f.png", Box::new(|to| args!["experiment", "manifold", "--matrices", "2", "-o", to].to_vec())),
        (
            "less.safetensors",
            Box::new(move |to| {
                args!["experiment", "drop-blocks", "--model", model, "--drop", "2", "--save", to].to_vec()
            }),
        ),
        (
            "photo.mask.png",
            Box::new(move |to| {
                let folder = to.parent().unwrap();
                args!["segment", things.photo, "--model", model, "--effect", "mask", "--threads", "1", "-o", folder]
                    .to_vec()
            }),
        ),
    ]
}

/// `import` needs a model of another program.
fn import_writer() -> Writer<'static> {
    let models = shared_folder().join("models");
    let source = models.join("deeplabv3_257_mv_gpu.tflite");
    let labels = models.join("pascal_voc_labels.txt");
    (
        "m.safetensors",
        Box::new(move |to| {
            args!["import", source, "--labels", labels, "--mean", "127.5", "--std", "127.5", "-o", to].to_vec()
        }),
    )
}

#[test]
fn what_is_no_file_is_written_through() {
    let things = Things::new();
    written_through(&things, writers(&things));
}

fn imports_are_written_through_and_never_half() {
    let things = Things::new();
    written_through(&things, vec![import_writer()]);
    killed(&things, vec![import_writer()]);
}

silhouette_testkit::tests_with_shared!(imports_are_written_through_and_never_half);

fn written_through(things: &Things, writers: Vec<Writer<'_>>) {
    let plain = things.path("plain");
    let special = things.path("special");
    std::fs::create_dir(&plain).unwrap();
    std::fs::create_dir(&special).unwrap();
    for (name, command) in writers {
        works(&command(&plain.join(name)));
        let expected = std::fs::read(plain.join(name)).unwrap();
        let to = special.join(name);
        pipe(&to);
        let reader = std::thread::spawn({
            let to = to.clone();
            move || std::fs::read(to).unwrap()
        });
        works(&command(&to));
        assert!(std::fs::symlink_metadata(&to).unwrap().file_type().is_fifo(), "{name} is no pipe any more");
        assert!(reader.join().unwrap() == expected, "{name} through a pipe");
        std::fs::remove_file(&to).unwrap();
        // The standard output by a name of its own: the whole file, before the command's own output.
        if cfg!(target_os = "linux") {
            symlink("/proc/self/fd/1", &to).unwrap();
            let output = works(&command(&to));
            assert!(std::fs::symlink_metadata(&to).unwrap().is_symlink(), "{name} is no link any more");
            let at = output.stdout.windows(expected.len()).position(|part| part == expected);
            assert!(at.is_some(), "{name} to the standard output");
            std::fs::remove_file(&to).unwrap();
        }
        // A link to a file: the file is written, the link stays.
        symlink(things.path("elsewhere"), &to).unwrap();
        works(&command(&to));
        assert!(std::fs::symlink_metadata(&to).unwrap().is_symlink());
        assert!(std::fs::read(things.path("elsewhere")).unwrap() == expected, "{name} over a link");
        std::fs::remove_file(&to).unwrap();
        assert_eq!(std::fs::read_dir(&special).unwrap().count(), 0);
    }
}

#[test]
fn inputs_are_never_outputs() {
    let things = Things::new();
    let Things { model, photo, tensor, source, labels, spec, .. } = &things;
    let root = things.place.root();
    let (images, masks) = things.data_set();
    let background = common::photo(&things.place, "photo.replace.png", 20, 20);
    let replace = OsString::from(format!("replace={}", background.display()));
    let masked = common::photo(&things.place, "photo.mask.png", 20, 20);
    let own_mask = images.join("p0.png");
    let link = things.path("link");
    symlink(source, &link).unwrap();
    let figure = things.path("figure.png");
    std::fs::copy(photo, &figure).unwrap();
    let partial = things.path("list.partial");
    std::fs::write(&partial, "p0\np1\n").unwrap();
    let list = things.path("list");
    let folder = things.path("hugging_face");
    std::fs::create_dir(&folder).unwrap();
    let [weights, config] = ["model.safetensors", "config.json"].map(|name| folder.join(name));
    std::fs::copy(source, &weights).unwrap();
    std::fs::write(&config, "{}").unwrap();
    let kept = || -> Vec<_> {
        let inputs = [
            model,
            photo,
            tensor,
            source,
            labels,
            spec,
            &background,
            &masked,
            &own_mask,
            &figure,
            &partial,
            &weights,
            &config,
        ];
        inputs.map(|path| std::fs::read(path).unwrap()).to_vec()
    };
    let before = kept();
    for args in [
        &args!["segment", photo, "--model", model, "--effect", replace, "-o", root][..],
        &args!["segment", photo, masked, "--model", model, "--effect", "mask", "-o", root],
        &args!["import", source, "--labels", labels, "-o", source],
        &args!["import", source, "--labels", labels, "-o", link],
        &args!["import", source, "--labels", labels, "-o", labels],
        &args!["import", source, "--labels", labels, "--spec", spec, "-o", spec],
        &args!["import", folder, "-o", weights],
        &args!["import", folder, "-o", config],
        &args!["import", weights, "-o", config],
        &args!["import", source, "--config", config, "-o", config],
        &args!["run", model, "--input", tensor, "-o", tensor],
        &args!["run", model, "--input", tensor, "-o", model],
        &args!["eval", "--images", images, "--masks", masks, "--model", model, "--json", own_mask],
        &args!["eval", "--images", images, "--masks", masks, "--model", model, "--json", model],
        &args!["eval", "--images", images, "--masks", masks, "--model", model, "--labels", labels, "--json", labels],
        &args!["eval", "--voc", root, "--list", partial, "--model", model, "--json", list],
        &args!["experiment", "split", "--model", model, "-o", model],
        &args!["experiment", "drop-blocks", "--model", model, "--drop", "2", "--save", model],
        &args!["experiment", "drop-blocks", figure, "--model", model, "-o", figure],
    ] {
        fails(args, "the same file");
        assert!(kept() == before, "{args:?} changed an input");
    }
}

#[test]
fn two_evals_with_one_output_do_not_mix() {
    let things = Things::new();
    let (images, masks) = things.data_set();
    let command = |out: &Path| {
        args!["eval", "--images", images, "--masks", masks, "--model", things.model, "--threads", "1", "--json", out]
            .to_vec()
    };
    let scores = |path: &Path| {
        let mut report: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let fields = report.as_object_mut().unwrap();
        fields.retain(|name, _| !name.ends_with("_ms") && name != "threads");
        report
    };
    let whole = things.path("whole.json");
    let out = things.path("out.json");
    works(&command(&whole));
    let expected = scores(&whole);
    // One has it open.
    let partial = things.path("out.json.partial");
    let journal = silhouette_files::Journal::open(&partial, 1 << 20).unwrap();
    fails(&command(&out), "another run is writing to it");
    drop(journal);
    std::fs::remove_file(&partial).unwrap();
    // Killed again and again, with a second run at the same time: each ends with the figures of one run, or reports why
    // not.
    for lines in [1, 2, 4] {
        let mut child = start(&command(&out));
        let begun = Instant::now();
        while std::fs::read_to_string(&partial).unwrap_or_default().lines().count() <= lines {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            assert!(begun.elapsed() < PATIENCE);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // As if it had died within a line.
        if let Ok(mut text) = std::fs::read(&partial) {
            text.extend(b"{\"name\":\"p5\",\"ms");
            std::fs::write(&partial, text).unwrap();
        }
    }
    let pair = [start(&command(&out)), start(&command(&out))].map(|child| child.wait_with_output().unwrap());
    let mut done = 0;
    for output in pair {
        if output.status.success() {
            done += 1;
        } else {
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(text.contains("another run is writing to it"), "{text}");
        }
    }
    assert!(done > 0);
    assert_eq!(scores(&out), expected);
    assert!(!partial.exists());
}

/// Kills each command that writes, at moments spread over its run. Afterwards the file is either the old one or the
/// complete new one; and after a run that ends nothing else is left.
#[test]
fn what_is_killed_leaves_no_half_file() {
    let things = Things::new();
    killed(&things, writers(&things));
}

/// How often each command is killed.
fn kills() -> u32 {
    if std::env::var_os("SILHOUETTE_LONG").is_some() { 200 } else { 6 }
}

/// The same for a weight cache: what it has is whole, and gives the same mask.
#[test]
fn a_killed_writer_of_packed_weights_leaves_no_half_file() {
    let things = Things::new();
    let cache = things.path("cache");
    let masks = things.path("masks");
    let command = args![
        "segment",
        things.photo,
        "--model",
        things.model,
        "--effect",
        "mask",
        "--threads",
        "1",
        "--weight-cache",
        cache,
        "-o",
        masks
    ];
    let names = || -> Vec<String> {
        let files = std::fs::read_dir(&cache).into_iter().flatten().flatten();
        let mut names: Vec<_> = files.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let packed = || -> Vec<Vec<u8>> {
        let packed = names().into_iter().filter(|name| !name.starts_with('.') && name.ends_with(".packed"));
        packed.map(|name| std::fs::read(cache.join(name)).unwrap()).collect()
    };
    let begun = Instant::now();
    works(&command);
    let time = begun.elapsed();
    let whole = packed();
    let after_one = names();
    let mask = std::fs::read(masks.join("photo.mask.png")).unwrap();
    assert_eq!((whole.len(), after_one.len()), (1, 2), "weights, and what was written today: {after_one:?}");
    for number in 0..kills() {
        // The day's budget with it.
        std::fs::remove_dir_all(&cache).unwrap();
        let mut child = start(&command);
        std::thread::sleep(time.mul_f64(f64::from(number) / f64::from(kills())));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = packed();
        assert!(found.is_empty() || found == whole, "half a file after kill {number}");
        std::fs::create_dir_all(&cache).unwrap();
    }
    // As if the last one had been killed while it wrote.
    std::fs::remove_dir_all(&cache).unwrap();
    std::fs::create_dir(&cache).unwrap();
    std::fs::write(cache.join(".unfinished-0123456789abcdef.silhouette"), "half").unwrap();
    std::fs::remove_file(masks.join("photo.mask.png")).unwrap();
    works(&command);
    assert_eq!(names(), after_one);
    assert!(packed() == whole && std::fs::read(masks.join("photo.mask.png")).unwrap() == mask);
}

fn killed(things: &Things, writers: Vec<Writer<'_>>) {
    let kills = kills();
    let folder = things.path("out");
    std::fs::create_dir(&folder).unwrap();
    for (name, command) in writers {
        let to = folder.join(name);
        let command = command(&to);
        let begun = Instant::now();
        works(&command);
        let time = begun.elapsed();
        let new = std::fs::read(&to).unwrap();
        for number in 0..kills {
            // Every second time over an existing file.
            let old = (number % 2 == 0).then_some(&b"the user's"[..]);
            match old {
                Some(bytes) => std::fs::write(&to, bytes).unwrap(),
                None => drop(std::fs::remove_file(&to)),
            }
            let mut child = start(&command);
            // Mostly in the last third, where files are written.
            let share = if number % 3 == 0 {
                f64::from(number) / f64::from(kills)
            } else {
                0.7 + 0.5 * f64::from(number) / f64::from(kills)
            };
            std::thread::sleep(time.mul_f64(share));
            child.kill().unwrap();
            child.wait().unwrap();
            let found = std::fs::read(&to).ok();
            assert!(found.as_deref() == old || found.as_ref() == Some(&new), "{name}: half a file after kill {number}");
        }
        // A killed run's leftovers, created for certain.
        std::fs::write(folder.join(".unfinished-0123456789abcdef.silhouette"), "half").unwrap();
        works(&command);
        let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [OsString::from(name)]);
        assert!(std::fs::read(&to).unwrap() == new);
        std::fs::remove_file(&to).unwrap();
    }
}
