//! Input rows, masks and confidences, bit for bit: a hash for every instruction set.
//!
//! `tests/golden/pixels.tsv` has a case a line and three hashes: of instruction sets that round a multiply-add once (AVX-512, AVX2), of
//! NEON, which does too and takes colours through 16-bit parts, and of those that round twice (SSE2, scalar). What this CPU has not is
//! listed in the test's output as not checked. `SILHOUETTE_BLESS=1 cargo test -p silhouette-imaging --test golden` writes the hashes anew
//! that this CPU gives.

#[path = "common/frames.rs"]
mod frames;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::Hasher as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use frames::{COLORS, FORMATS, Owned};
use silhouette_imaging::frame::{Frame, Region, Rotation, Size, Transparency, YuvColor};
use silhouette_imaging::input::{Fit, InputSpec, Placement, Resampler};
use silhouette_imaging::mask::{Confidence, Logits, Mask, MaskSpec, Resize, Upsampler};
use silhouette_kernels::isa::Isa;
use silhouette_kernels::rows::RowSource as _;
use silhouette_testkit::Noise;
use twox_hash::XxHash3_64;

/// Every instruction set that there is, and the column of its hashes.
const SETS: [(&str, usize); 5] = [("avx512", 0), ("avx2", 0), ("neon", 1), ("sse2", 2), ("scalar", 2)];

/// The columns' names.
const COLUMNS: [&str; 3] = ["fused", "neon", "separate"];

/// Hashes by case, one for each column.
type Table = BTreeMap<String, [Option<u64>; COLUMNS.len()]>;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pixels.tsv")
}

fn read() -> Table {
    let text = std::fs::read_to_string(path()).unwrap_or_default();
    let line = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        (cells[0].to_owned(), [1, 2, 3].map(|i| u64::from_str_radix(cells[i], 16).ok()))
    };
    text.lines().skip(1).map(line).collect()
}

fn write(table: &Table) {
    let cell = |hash: &Option<u64>| hash.map_or_else(String::new, |hash| format!("{hash:016x}"));
    let mut text = format!("case\t{}\n", COLUMNS.join("\t"));
    for (case, hashes) in table {
        writeln!(text, "{case}\t{}", hashes.each_ref().map(cell).join("\t")).unwrap();
    }
    std::fs::write(path(), text).unwrap();
}

/// The input rows of a frame in all eight orientations, whole and cut, made smaller and larger.
fn rows(owned: &Owned, transparency: Transparency, fit: Fit, isa: Isa) -> u64 {
    let mut hasher = XxHash3_64::new();
    let whole = owned.frame().unwrap().transparent(transparency);
    for size in [Size { height: 23, width: 19 }, Size { height: 41, width: 57 }] {
        let mut resampler =
            Resampler::with_isa(InputSpec { size, mean: [127.5, 100.0, 0.0], std: [127.5, 50.0, 1.0], fit }, isa);
        for degrees in [0, 90, 180, 270] {
            for mirror in [false, true] {
                let frame = whole.rotated(Rotation::from_degrees(degrees).unwrap()).mirrored(mirror);
                let Size { height, width } = frame.upright_size();
                let part = Region { x: 3, y: 1, width: width - 5, height: height - 4 };
                for frame in [frame, frame.cropped(part).unwrap()] {
                    add_rows(&mut resampler, &frame, &mut hasher);
                }
            }
        }
    }
    hasher.finish()
}

fn add_rows(resampler: &mut Resampler, frame: &Frame<'_>, hasher: &mut XxHash3_64) {
    let rows = resampler.rows(frame).unwrap();
    let mut scratch = vec![f32::NAN; rows.scratch_len()];
    let mut row = vec![f32::NAN; rows.width() * 3];
    for y in 0..rows.height() {
        rows.row(y, &mut scratch, &mut row);
        for value in &row {
            hasher.write(&value.to_le_bytes());
        }
    }
}

/// The classes of every pixel, or how sure the network is of every third class, at several odd sizes.
fn masks(classes: usize, resize: Resize, letterboxed: bool, sure: bool, isa: Isa) -> u64 {
    let mut hasher = XxHash3_64::new();
    let mut upsampler = Upsampler::with_isa(isa);
    let chosen: Vec<bool> = (0..classes).map(|class| class % 3 == 1).collect();
    for (seed, (map, input)) in
        [(Size { height: 9, width: 7 }, Size { height: 129, width: 97 }), (Size::square(17), Size::square(65))]
            .into_iter()
            .enumerate()
    {
        let mut values = Noise::new(seed as u64).floats(map.height * map.width * classes, 8.0);
        // Ties in the lower half.
        let half = values.len() / 2;
        values[half..].iter_mut().for_each(|value| *value = (*value / 4.0).round());
        let logits = Logits { values: &values, size: map, classes };
        let valid = if letterboxed { Size { height: input.height * 3 / 4, width: input.width } } else { input };
        for size in [valid, Size { height: 53, width: 131 }, Size { height: 1, width: 3 }] {
            let spec = MaskSpec { resize, placement: Placement { input, valid }, size };
            if sure {
                let mut out = Confidence::default();
                upsampler.confidence(&logits, &chosen, &spec, &mut out).unwrap();
                hasher.write(&out.values);
            } else {
                let mut out = Mask::default();
                upsampler.categories(&logits, &spec, &mut out).unwrap();
                hasher.write(&out.classes);
            }
        }
    }
    hasher.finish()
}

/// Calls `hold(name, hash)` for every case.
fn cases(mut hold: impl FnMut(String, &dyn Fn(Isa) -> u64)) {
    let fits = [("stretched", Fit::Stretch), ("letterboxed", Fit::Letterbox { fill: 127 })];
    for (fitted, fit) in fits {
        for (f, format) in FORMATS.into_iter().enumerate() {
            let packed = f < 4;
            for color in COLORS.into_iter().take(if packed { 1 } else { 4 }) {
                let owned = Owned::new(format, 37, 21, 3, color, 20 + f as u64);
                let YuvColor { matrix, range } = color;
                let what = if packed { format.to_owned() } else { format!("{format} {matrix:?} {range:?}") };
                let name = format!("rows of {what}, {fitted}");
                hold(name, &|isa| rows(&owned, Transparency::Ignored, fit, isa));
            }
        }
        for (format, transparency) in [("rgba", Transparency::Straight), ("bgra", Transparency::Premultiplied)] {
            let owned = Owned::new(format, 37, 21, 3, COLORS[0], 30);
            let name = format!("rows of {format} {transparency:?}, {fitted}");
            hold(name, &|isa| rows(&owned, transparency, fit, isa));
        }
    }
    for classes in [1, 2, 21, 151] {
        for resize in [Resize::AlignCorners, Resize::HalfPixel] {
            for (letterboxed, fitted) in [(false, "whole"), (true, "letterboxed")] {
                for (sure, what) in [(false, "mask"), (true, "confidence")] {
                    let name = format!("{what} of {classes} classes, {resize:?}, {fitted}");
                    hold(name, &|isa| masks(classes, resize, letterboxed, sure, isa));
                }
            }
        }
    }
}

#[test]
fn rows_and_masks_have_the_bits_they_had() {
    let blessing = std::env::var_os("SILHOUETTE_BLESS").is_some();
    let stored = read();
    let mut found = Table::new();
    let isas = Isa::all();
    let mut wrong = Vec::new();
    cases(|name, hash| {
        let mut columns = stored.get(&name).copied().unwrap_or_default();
        for &isa in &isas {
            let &(_, column) =
                SETS.iter().find(|(set, _)| *set == isa.name()).expect("every instruction set has a column");
            let hash = hash(isa);
            if blessing {
                columns[column] = Some(hash);
            }
            if columns[column] != Some(hash) {
                wrong.push(format!("{name}, {}: {hash:016x}", isa.name()));
            }
        }
        found.insert(name, columns);
    });
    assert!(wrong.is_empty(), "other bits:\n{}", wrong.join("\n"));
    let has = |set: &str| isas.iter().any(|isa| isa.name() == set);
    let absent: Vec<&str> = SETS.iter().map(|(set, _)| *set).filter(|set| !has(set)).collect();
    // Past the harness, which hides what a passing test prints.
    writeln!(std::io::stderr(), "golden pixels, not checked on this CPU: {}", absent.join(", ")).unwrap();
    if blessing {
        write(&found);
    }
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        read().keys().collect::<Vec<_>>(),
        "every case of the table is checked"
    );
}
