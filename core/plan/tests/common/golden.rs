//! Golden logits, bit for bit: a hash for every instruction set and several threads. A change to one of them changes
//! masks.
//!
//! `tests/golden/logits.tsv` of a crate has one case per line and two hashes: of instruction sets that round a
//! multiply-add once (AVX-512, AVX2, NEON) and of those that round twice (SSE2, scalar). Within each group every sum
//! runs in one order, so all produce the same bits. `SILHOUETTE_BLESS=1 cargo test --test golden_logits` regenerates
//! them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use silhouette_kernels::isa::Isa;
use silhouette_kernels::rows::Planes;
use silhouette_network::network::Size;
use silhouette_plan::{Plan, PlanOptions};
use silhouette_weights::{ModelFile, fnv1a};

/// (3, H, W), smooth and rough parts; integers and one division, so that it is the same on every machine.
fn picture(size: Size) -> Vec<f32> {
    let n = 3 * size.height * size.width;
    (0..n).map(|i| ((i * 37) % 101) as f32 / 101.0 - ((i / 7 * 53) % 211) as f32 / 422.0).collect()
}

/// The hash of the logits' bits, the same for one and three threads.
fn hash(model: &ModelFile, size: Size, isa: Isa) -> u64 {
    let hashes = [1, 3].map(|threads| {
        let options = PlanOptions { threads, isa: Some(isa.name().to_owned()), ..PlanOptions::default() };
        let plan = Plan::of(model, size, &options).unwrap();
        let (map, channels) = plan.logits();
        let mut logits = vec![0.0f32; map.height * map.width * channels];
        let values = picture(size);
        let rows = Planes::new(&values, size.width, size.height);
        plan.new_state().unwrap().run(&rows, &mut logits).unwrap();
        fnv1a(&logits.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect::<Vec<u8>>())
    });
    assert_eq!(hashes[0], hashes[1], "threads change nothing");
    hashes[0]
}

/// Hashes by case: with multiply-adds rounded once, and twice.
type Table = BTreeMap<String, [Option<u64>; 2]>;

/// Which of the two applies to an instruction set.
fn column(isa: Isa) -> usize {
    usize::from(matches!(isa.name(), "scalar" | "sse2"))
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/logits.tsv")
}

fn read() -> Table {
    let text = std::fs::read_to_string(path()).unwrap_or_default();
    let line = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        (cells[0].to_owned(), [1, 2].map(|i| u64::from_str_radix(cells[i], 16).ok()))
    };
    text.lines().skip(1).map(line).collect()
}

/// Compares every instruction set's hash with the table, or (to bless) writes it there.
fn hold(case: &str, model: &ModelFile, size: Size, table: &mut Table) {
    let case = format!("{case} at {size}");
    for isa in Isa::all() {
        let found = hash(model, size, isa);
        let expected = &mut table.entry(case.clone()).or_default()[column(isa)];
        if blessing() {
            *expected = Some(found);
        }
        assert_eq!(*expected, Some(found), "{case}, {}: {found:016x}", isa.name());
    }
}

fn blessing() -> bool {
    std::env::var_os("SILHOUETTE_BLESS").is_some()
}

/// Writes a crate's table.
fn write(table: &Table) {
    let cell = |hash: &Option<u64>| hash.map_or_else(String::new, |hash| format!("{hash:016x}"));
    let line = |(case, [fused, separate]): (&String, &[Option<u64>; 2])| {
        format!("{case}\t{}\t{}\n", cell(fused), cell(separate))
    };
    let text: String = table.iter().map(line).collect();
    std::fs::write(path(), format!("case\tfused\tseparate\n{text}")).unwrap();
}

/// Compares every case that `each` names with the crate's table, or (to bless) rewrites the table: hashes of
/// instruction sets that this machine lacks stay.
pub(crate) fn hold_all(each: impl FnOnce(&mut dyn FnMut(&str, &ModelFile, Size))) {
    let mut table = read();
    each(&mut |case, model, size| hold(case, model, size, &mut table));
    if blessing() {
        write(&table);
    }
}
