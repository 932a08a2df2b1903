//! The crate edges of ARCHITECTURE.md, applied to the real workspace.

use silhouette_rules::circles::circles;
use silhouette_rules::graph::Graph;
use silhouette_rules::source;

fn workspace() -> Graph {
    Graph::of_workspace().expect("cargo metadata answers")
}

/// Every violation on its own line; empty if there is none.
fn hold(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn dependencies_point_one_way() {
    let graph = workspace();
    assert!(graph.members().count() >= 6, "the workspace was not read");
    hold(&graph.edge_violations());
}

#[test]
fn no_files_of_a_crate_depend_on_each_other() {
    let graph = workspace();
    let mut violations = Vec::new();
    for package in graph.members() {
        let circles = circles(&package.folder.join("src"));
        violations.extend(circles.into_iter().map(|circle| format!("{}: {circle}", package.name)));
    }
    hold(&violations);
}

/// A phone build's dependencies are what its notices list and its owner must trust.
#[test]
fn phones_build_few_crates() {
    const MOST: usize = 50;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let tree = |features: &[&str]| {
        let mut command = std::process::Command::new(&cargo);
        command
            .args(["tree", "--locked", "-p", "silhouette", "-e", "normal", "--prefix", "none", "-f", "{p}"])
            .args(features);
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo tree runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("cargo tree writes text");
        text.lines()
            .filter_map(|line| Some(line.split(' ').next()?.to_owned()))
            .collect::<std::collections::BTreeSet<_>>()
    };
    let phones = tree(&["--no-default-features"]);
    assert!((5..=MOST).contains(&phones.len()), "{} crates: {phones:?}", phones.len());
    for features in [&["--no-default-features"][..], &[]] {
        let found = tree(features);
        let brought = ["candle-core", "candle-nn", "zip", "flatbuffers", "silhouette-graph", "silhouette-import"];
        assert!(!brought.iter().any(|name| found.contains(*name)), "{features:?}: {found:?}");
    }
    assert!(tree(&["--features", "graph"]).contains("candle-core"));
}

#[test]
fn unsafe_stands_only_where_it_may() {
    let graph = workspace();
    let mut violations = Vec::new();
    let mut files = 0;
    let name_of =
        |path: &std::path::Path| path.strip_prefix(&graph.root).unwrap_or(path).to_string_lossy().into_owned();
    for package in graph.members() {
        for path in source::rust_files(&package.folder) {
            let text = std::fs::read_to_string(&path).expect("a source file can be read");
            violations.extend(source::unsafe_violations(&name_of(&path), &text));
            if !path.ends_with("schema_generated.rs") {
                violations.extend(source::safety_violations(&name_of(&path), &text));
            }
            files += 1;
        }
        for root in &package.roots {
            let text = std::fs::read_to_string(root).expect("a crate's root can be read");
            violations.extend(source::root_violation(&name_of(root), &text));
        }
    }
    assert!(files >= 6, "only {files} files were looked at");
    hold(&violations);
}

#[test]
fn files_are_opened_and_written_in_one_crate() {
    let graph = workspace();
    let mut violations = Vec::new();
    for path in graph.members().flat_map(|package| source::rust_files(&package.folder)) {
        let text = std::fs::read_to_string(&path).expect("a source file can be read");
        let name = path.strip_prefix(&graph.root).unwrap_or(&path).to_string_lossy();
        violations.extend(source::file_violations(&name, &text));
    }
    hold(&violations);
}

#[test]
fn no_candle_type_in_the_public_api() {
    let graph = workspace();
    let mut violations = Vec::new();
    let above = graph.members().filter(|p| matches!(p.name.as_str(), "silhouette" | "silhouette-ffi"));
    for path in above.flat_map(|package| source::rust_files(&package.folder.join("src"))) {
        let text = std::fs::read_to_string(&path).expect("a source file can be read");
        violations.extend(source::candle_violations(&path.to_string_lossy(), &text));
    }
    hold(&violations);
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for package in workspace().members() {
        let manifest = std::fs::read_to_string(package.folder.join("Cargo.toml")).expect("a manifest can be read");
        let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(inherits, Some(true), "{}: [lints] workspace = true is missing", package.name);
    }
}
