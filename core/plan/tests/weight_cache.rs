//! One folder of packed weights, opened concurrently by many threads and processes. Some remove files meanwhile.

use std::path::Path;
use std::process::Command;

use silhouette_network::network::{Network, Size};
use silhouette_network::spec::Spec;
use silhouette_plan::{Plan, PlanOptions};
use silhouette_testkit::{Folder, GreyRows, is_emulated};
use silhouette_weights::{Dtype, ModelFile, seeded};

/// Marks the test's own program as the second process, and names the folder.
const SECOND: &str = "SILHOUETTE_TEST_SECOND_PROCESS";

/// Sizes of the input; the threads of this test cycle through them.
const SIZES: [usize; 3] = [65, 81, 97];

fn plan(model: &ModelFile, size: usize, cache: Option<&Path>) -> Plan {
    let network = Network::new(model.spec(), Size::square(size)).unwrap();
    let options = PlanOptions { weight_cache: cache.map(Path::to_path_buf), ..PlanOptions::default() };
    Plan::compile(&network, model.weights(), &options).unwrap()
}

fn logits(plan: &Plan) -> Vec<f32> {
    let (size, classes) = plan.logits();
    let mut logits = vec![0.0; size.height * size.width * classes];
    plan.new_state()
        .unwrap()
        .run(&GreyRows { width: plan.input().width, height: plan.input().height }, &mut logits)
        .unwrap();
    logits
}

/// Ten threads that each open so many times; one of them removes a file now and then, as a program of an earlier
/// version, or a user, might.
fn open_many(folder: &Path, openings: usize) {
    let cache = folder.join("cache");
    let model = ModelFile::open(folder.join("model.safetensors")).unwrap();
    let expected = SIZES.map(|size| logits(&plan(&model, size, None)));
    std::thread::scope(|scope| {
        for thread in 0..10 {
            let cache = &cache;
            let model = &model;
            let expected = &expected;
            scope.spawn(move || {
                for number in 0..openings {
                    let which = (thread + number) % SIZES.len();
                    let plan = plan(model, SIZES[which], Some(cache));
                    if number % 4 == 0 {
                        assert!(logits(&plan) == expected[which], "opening {number} of thread {thread}");
                    }
                    if thread == 0 && number % 16 == 7 {
                        for entry in std::fs::read_dir(cache).into_iter().flatten().flatten() {
                            // Reset the daily budget too, or nothing would be written after some time.
                            let _ = std::fs::remove_file(entry.path());
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn threads_and_processes_share_a_folder() {
    let openings = match std::env::var_os("SILHOUETTE_LONG") {
        _ if is_emulated() => 3,
        Some(_) => 1000,
        None => 25,
    };
    if let Some(folder) = std::env::var_os(SECOND) {
        open_many(Path::new(&folder), openings);
        return;
    }
    let folder = Folder::new();
    let spec = Spec::preset("fixture").unwrap();
    let tensors = seeded(&Network::native(&spec).unwrap(), 1);
    ModelFile::new(spec, tensors).unwrap().save(folder.path("model.safetensors"), Dtype::F16).unwrap();
    // (An emulated program cannot start itself again: there are only threads then.)
    let second = (!is_emulated()).then(|| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "threads_and_processes_share_a_folder"])
            .env(SECOND, folder.root())
            .spawn()
            .unwrap()
    });
    open_many(folder.root(), openings);
    if let Some(mut second) = second {
        assert!(second.wait().unwrap().success(), "the second process");
    }
    // What is left is whole: it is used, and produces the same result.
    let model = ModelFile::open(folder.path("model.safetensors")).unwrap();
    for size in SIZES {
        assert!(logits(&plan(&model, size, Some(&folder.path("cache")))) == logits(&plan(&model, size, None)));
    }
    let left: Vec<_> = std::fs::read_dir(folder.path("cache")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".unfinished")), "{left:?}");
}
