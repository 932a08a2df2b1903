//! The symbols that the shared library exports: the entries of uniffi, JNI and C, and nothing else of Rust's or ours.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::Command;

/// Prefixes of names; those that end in `$` are complete.
const ALLOWED: &[&str] = &[
    "uniffi_silhouette_ffi_",
    "ffi_silhouette_ffi_",
    // Data that the generator reads.
    "UNIFFI_META_",
    "Java_dev_silhouette_Native_",
    "JNI_OnLoad$",
    "silhouette_segment$",
    "silhouette_segment_video$",
    "silhouette_submit$",
    "silhouette_mask$",
    "silhouette_confidence$",
    "silhouette_effect$",
];

/// Next to this test's executable: cargo has built it for this test.
fn library() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("libsilhouette_ffi.so")
}

fn is_allowed(name: &str) -> bool {
    ALLOWED.iter().any(|allowed| allowed.strip_suffix('$').map_or(name.starts_with(allowed), |whole| name == whole))
}

#[test]
fn only_the_entries_are_exported() {
    // Of binutils, which come with the linker.
    let output = Command::new("nm").args(["-D", "--defined-only", "--format=posix"]).arg(library()).output();
    let output = output.expect("nm runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    let others: Vec<&&str> = names.iter().filter(|name| !is_allowed(name)).collect();
    assert!(others.is_empty(), "exported too: {others:?}");
    for expected in ALLOWED {
        let expected = expected.trim_end_matches('$');
        assert!(names.iter().any(|name| name.starts_with(expected)), "{expected} is not exported");
    }
}
