//! Rules on dependencies: no C, and only the licences that deny.toml allows. `cargo deny` checks more where it is
//! installed; this needs only cargo.

use silhouette_rules::graph::Graph;
use spdx::{Expression, ParseMode};

#[test]
fn no_c_in_the_graph() {
    let graph = Graph::of_workspace().expect("cargo metadata answers");
    assert!(graph.packages.len() > 50, "the graph was not read");
    let violations = graph.c_violations();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn no_c_in_the_lock_file() {
    // The lock file lists the packages of every platform and feature: anything not in it cannot be built.
    let graph = Graph::of_workspace().expect("cargo metadata answers");
    let lock = std::fs::read_to_string(graph.root.join("Cargo.lock")).expect("Cargo.lock can be read");
    let lock: toml::Table = lock.parse().expect("Cargo.lock is TOML");
    let packages = lock["package"].as_array().expect("Cargo.lock lists packages");
    assert!(packages.len() > 50, "the lock file was not read");
    assert!(!packages.iter().any(|package| package["name"].as_str() == Some("cc")), "cc is in Cargo.lock");
}

#[test]
fn licences_are_those_of_deny_toml() {
    let graph = Graph::of_workspace().expect("cargo metadata answers");
    let deny = std::fs::read_to_string(graph.root.join("deny.toml")).expect("deny.toml can be read");
    let deny: toml::Table = deny.parse().expect("deny.toml is TOML");
    let strings = |list: Option<&toml::Value>| -> Vec<String> {
        let list = list.and_then(toml::Value::as_array).map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect()
    };
    let licences = &deny["licenses"];
    let allowed = strings(licences.get("allow"));
    let exceptions = licences.get("exceptions").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let mut violations = Vec::new();
    for package in graph.packages.values() {
        let is_exception = |e: &&toml::Value| e.get("crate").and_then(toml::Value::as_str) == Some(&package.name);
        let more = strings(exceptions.iter().find(is_exception).and_then(|e| e.get("allow")));
        let Some(text) = &package.licence else {
            violations.push(format!("{} {}: states no licence", package.name, package.version));
            continue;
        };
        let expression = match Expression::parse_mode(text, ParseMode::LAX) {
            Ok(expression) => expression,
            Err(e) => {
                violations.push(format!("{} {}: licence {text:?}: {}", package.name, package.version, e.reason));
                continue;
            }
        };
        if !expression
            .evaluate(|requirement| allowed.iter().chain(&more).any(|licence| *licence == requirement.to_string()))
        {
            violations.push(format!("{} {}: {text} is not allowed by deny.toml", package.name, package.version));
        }
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
