//! Plans in f16 against the same plans in f32: logits of every kind of network, the same bits for any number of threads
//! and from cached weights, in about half the memory.

#[path = "common/networks.rs"]
mod networks;

use std::path::Path;

use silhouette_kernels::element::DataType;
use silhouette_kernels::isa::Isa;
use silhouette_kernels::rows::Planes;
use silhouette_network::network::{Network, Size};
use silhouette_network::spec::Spec;
use silhouette_plan::{Plan, PlanOptions};
use silhouette_testkit::{Folder, is_emulated};
use silhouette_weights::{Dtype, ModelFile, seeded};

use networks::cases;

fn plan(model: &ModelFile, size: Size, isa: Isa, threads: usize, precision: DataType, cache: Option<&Path>) -> Plan {
    let weight_cache = cache.map(Path::to_path_buf);
    let isa = Some(isa.name().to_owned());
    Plan::of(model, size, &PlanOptions { threads, isa, precision, weight_cache, ..PlanOptions::default() }).unwrap()
}

/// The logits of waves of grey.
fn logits(plan: &Plan) -> Vec<f32> {
    let size = plan.input();
    let n = 3 * size.height * size.width;
    let values: Vec<f32> =
        (0..n).map(|i| ((i * 37) % 101) as f32 / 101.0 - ((i / 7 * 53) % 211) as f32 / 422.0).collect();
    let (map, channels) = plan.logits();
    let mut logits = vec![0.0f32; map.height * map.width * channels];
    plan.new_state().unwrap().run(&Planes::new(&values, size.width, size.height), &mut logits).unwrap();
    logits
}

#[test]
fn every_network_gives_nearly_the_logits_of_f32() {
    let size = Size { height: 40, width: 51 };
    for (name, spec) in cases() {
        let model = ModelFile::new(spec.clone(), seeded(&Network::new(&spec, size).unwrap(), 11)).unwrap();
        for isa in Isa::all() {
            let expected = logits(&plan(&model, size, isa, 1, DataType::F32, None));
            let one = logits(&plan(&model, size, isa, 1, DataType::F16, None));
            // Eleven bits for weights, maps and, on some CPUs, sums; random weights give logits of any magnitude, and dozens of
            // layers without training to keep errors small. A wrong channel or pixel is off by the logits' own size.
            let root = |squares: f32| (squares / expected.len() as f32).sqrt();
            let magnitude = root(expected.iter().map(|v| v * v).sum());
            let error = root(one.iter().zip(&expected).map(|(f, e)| (f - e) * (f - e)).sum());
            let what = format!("{name}, {}: error {error}, logits {magnitude}", isa.name());
            // Sums of hundreds of products lose more where they are f16 too.
            let share = if isa.multiplies_f16() { 0.12 } else { 0.05 };
            assert!(error <= share * magnitude, "{what}");
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            for threads in if is_emulated() { 2..=2 } else { 2..=3 } {
                let shared = logits(&plan(&model, size, isa, threads, DataType::F16, None));
                assert!(bits(&shared) == bits(&one), "{name}, {}: {threads} threads give other bits", isa.name());
            }
        }
    }
}

/// One folder for both precisions: each finds its own weights again.
#[test]
fn cached_weights_of_both_precisions_are_told_apart() {
    let folder = Folder::new();
    let path = folder.path("model.safetensors");
    let spec = Spec::preset("fixture").unwrap();
    let tensors = seeded(&Network::native(&spec).unwrap(), 5);
    ModelFile::new(spec, tensors).unwrap().save(&path, Dtype::F16).unwrap();
    let model = ModelFile::open(&path).unwrap();
    let cache = folder.path("cache");
    let size = Size::square(65);
    let both = [DataType::F32, DataType::F16];
    let run = |precision, cache| logits(&plan(&model, size, Isa::best(), 1, precision, cache));
    let packed = both.map(|precision| run(precision, None));
    let written = both.map(|precision| run(precision, Some(&cache)));
    let again = both.map(|precision| run(precision, Some(&cache)));
    assert!(packed == written && packed == again);
    assert_ne!(packed[0], packed[1]);
    let files = std::fs::read_dir(&cache).unwrap().flatten();
    let packed = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "packed"));
    assert_eq!(packed.count(), 2);
}

#[test]
fn weights_take_half_the_memory_and_arenas_less() {
    let spec = Spec::preset("deeplabv3_mnv2").unwrap();
    let size = Size::square(257);
    let model = ModelFile::new(spec.clone(), seeded(&Network::new(&spec, size).unwrap(), 1)).unwrap();
    let [wide, half] = [DataType::F32, DataType::F16].map(|p| plan(&model, size, Isa::best(), 1, p, None));
    assert_eq!([wide.precision(), half.precision()], [DataType::F32, DataType::F16]);
    // (Vectors may be longer, so that more lanes are padding. Slices and rings fill the same caches, with more channels and rows.)
    assert!(half.weight_bytes() * 100 < wide.weight_bytes() * 53, "{} of {}", half.weight_bytes(), wide.weight_bytes());
    assert!(half.arena_bytes() < wide.arena_bytes(), "{} of {}", half.arena_bytes(), wide.arena_bytes());
}

/// A weight beyond f16's range is an error that names f16; in f32 the same model runs.
#[test]
fn weights_beyond_f16_are_refused() {
    let spec = Spec::preset("fixture").unwrap();
    let size = Size::square(33);
    for name in ["stem.weight", "blocks.1.depthwise.weight"] {
        let mut tensors = seeded(&Network::new(&spec, size).unwrap(), 1);
        tensors.get_mut(name).unwrap().data[0] = 1e9;
        let model = ModelFile::new(spec.clone(), tensors).unwrap();
        let of = |precision| Plan::of(&model, size, &PlanOptions { precision, ..PlanOptions::default() });
        let error = of(DataType::F16).unwrap_err().to_string();
        assert!(error.contains("65504"), "{name}: {error}");
        assert!(of(DataType::F32).is_ok(), "{name}");
    }
}
