//! Hostile model files must not make the process grow: its peak memory is measured before and after. Linux only; in a
//! file of its own, so that no other test runs in the process.
#![cfg(target_os = "linux")]

use silhouette_weights::MAX_HEADER;
use silhouette_weights::ModelFile;

/// Peak resident memory, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A file with this header and this many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn hostile_files_do_not_make_the_process_grow() {
    let spec = |edit: &dyn Fn(&mut serde_json::Value)| {
        let mut json: serde_json::Value =
            serde_json::from_str(&silhouette_network::spec::Spec::preset("fixture").unwrap().to_json()).unwrap();
        edit(&mut json);
        serde_json::json!({"__metadata__": {"silhouette.spec": json.to_string()}}).to_string()
    };
    let huge = 1u64 << 40;
    let files = [
        file(&format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":[{huge}],\"data_offsets\":[0,{}]}}}}", huge * 4), 16),
        file("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,2],\"data_offsets\":[0,0]}}", 0),
        file(&format!("{{\"a\":{}", "[".repeat(100_000)), 0),
        file(
            &format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":[{}1],\"data_offsets\":[0,4]}}}}", "1,".repeat(100_000)),
            4,
        ),
        // Networks that would be enormous, and tensors that do not exist.
        file(&spec(&|j| j["extractor"]["bottlenecks"][3]["n"] = 500.into()), 0),
        file(&spec(&|j| j["extractor"]["bottlenecks"][3]["n"] = 4_000_000_000u64.into()), 0),
        file(&spec(&|j| j["extractor"]["width"] = 16.into()), 0),
        file(&spec(&|j| j["extractor"]["bottlenecks"][6]["c"] = 60_000.into()), 0),
        file(&spec(&|j| j["head"]["channels"] = 20_000.into()), 0),
        file(&spec(&|j| j["head"]["classes"] = 60_000.into()), 0),
        file(&spec(&|j| j["input"]["size"] = 16_384.into()), 0),
    ];
    let before = peak();
    for (i, file) in files.into_iter().enumerate() {
        assert!(ModelFile::from_bytes(file).is_err(), "file {i}");
    }
    let grown = peak() - before;
    assert!(grown < 8 << 10, "grew by {grown} KiB");
    // The largest header that is parsed at all: the parsing crate may use several times its size.
    let entry = "\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},";
    let many = format!("{{{}\"b\":0}}", entry.repeat(MAX_HEADER as usize / entry.len() - 1));
    assert!(ModelFile::from_bytes(file(&many, 0)).is_err());
    let grown = (peak() - before) << 10;
    assert!(grown < 16 * MAX_HEADER, "grew by {grown} bytes for a header of {}", many.len());
}
