//! The crate graph from `cargo metadata`, and the rules on its edges.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// The targets that we build for. Dependencies of other platforms do not matter.
pub const TARGETS: &[&str] = &[
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "aarch64-linux-android",
    "armv7-linux-androideabi",
    "x86_64-linux-android",
    "aarch64-apple-ios",
    "aarch64-apple-ios-sim",
    "x86_64-apple-ios",
    "aarch64-apple-darwin",
    "x86_64-apple-darwin",
];

/// Shared test code: every crate may name it, but only as a dev-dependency.
const TESTKIT: &str = "silhouette-testkit";

/// The workspace crates that each workspace crate may name, including dev-dependencies.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("silhouette-kernels", &[]),
    ("silhouette-files", &[]),
    ("silhouette-engine", &["silhouette-kernels"]),
    ("silhouette-network", &["silhouette-kernels"]),
    ("silhouette-weights", &["silhouette-kernels", "silhouette-files", "silhouette-network"]),
    (
        "silhouette-plan",
        &["silhouette-kernels", "silhouette-files", "silhouette-engine", "silhouette-network", "silhouette-weights"],
    ),
    (
        "silhouette-graph",
        &["silhouette-kernels", "silhouette-engine", "silhouette-network", "silhouette-weights", "silhouette-plan"],
    ),
    // The importers themselves need only the network and its weights; their tests run what they have imported.
    (
        "silhouette-import",
        &[
            "silhouette-kernels",
            "silhouette-files",
            "silhouette-engine",
            "silhouette-network",
            "silhouette-weights",
            "silhouette-plan",
            "silhouette-graph",
        ],
    ),
    (
        "silhouette-quantise",
        &[
            "silhouette-kernels",
            "silhouette-engine",
            "silhouette-network",
            "silhouette-weights",
            "silhouette-plan",
            "silhouette-graph",
        ],
    ),
    ("silhouette-imaging", &["silhouette-kernels", "silhouette-files"]),
    (
        "silhouette",
        &[
            "silhouette-kernels",
            "silhouette-files",
            "silhouette-engine",
            "silhouette-network",
            "silhouette-weights",
            "silhouette-plan",
            "silhouette-graph",
            "silhouette-imaging",
        ],
    ),
    (
        "silhouette-experiments",
        &["silhouette-kernels", "silhouette-network", "silhouette-weights", "silhouette-plan", "silhouette"],
    ),
    (
        "silhouette-cli",
        &[
            "silhouette-kernels",
            "silhouette-files",
            "silhouette-engine",
            "silhouette-network",
            "silhouette-weights",
            "silhouette-plan",
            "silhouette-graph",
            "silhouette-import",
            "silhouette-imaging",
            "silhouette",
            "silhouette-experiments",
            "silhouette-quantise",
        ],
    ),
    ("silhouette-ffi", &["silhouette"]),
    ("silhouette-bindgen", &["silhouette-ffi"]),
    ("silhouette-rules", &[]),
    (TESTKIT, &["silhouette-kernels"]),
];

/// Foreign crates (by the start of their name) that only the listed workspace crates may name.
const ONLY_NAMED_BY: &[(&str, &[&str])] = &[
    ("candle", &["silhouette-graph"]),
    ("flatbuffers", &["silhouette-import"]),
    ("flate2", &["silhouette-import"]),
    ("zip", &["silhouette-import"]),
    ("uniffi", &["silhouette-ffi", "silhouette-bindgen"]),
    ("jni", &["silhouette-ffi"]),
];

/// Crates (by the start of their name) that must not be reachable.
const NEVER_REACHED: &[(&str, &[&str])] = &[
    ("silhouette-kernels", &["candle", "uniffi", "jni"]),
    ("silhouette-engine", &["candle", "uniffi", "jni", "silhouette-imaging", "silhouette-network"]),
    ("silhouette-network", &["candle", "uniffi", "jni", "silhouette-imaging"]),
    ("silhouette-weights", &["candle", "uniffi", "jni", "silhouette-imaging", "silhouette-engine"]),
    ("silhouette-plan", &["candle", "uniffi", "jni", "silhouette-imaging"]),
    ("silhouette-graph", &["uniffi", "jni", "silhouette-imaging"]),
    ("silhouette-import", &["uniffi", "jni", "silhouette-imaging"]),
    ("silhouette-quantise", &["uniffi", "jni", "silhouette-imaging"]),
    ("silhouette-imaging", &["candle", "uniffi", "jni", "silhouette-network"]),
    ("silhouette", &["uniffi", "jni"]),
    ("silhouette-experiments", &["uniffi", "jni"]),
    ("silhouette-cli", &["uniffi", "jni"]),
];

/// Crates that the listed workspace crates must not pull in: their tests may reach them.
const NEVER_BROUGHT: &[(&str, &[&str])] = &[("silhouette-import", &["candle", "silhouette-engine", "silhouette-plan"])];

/// Build helpers that compile or search for C and C++.
const C_BUILDERS: &[&str] = &["cc", "cmake", "bindgen", "pkg-config", "nasm-rs"];

/// One package of the graph.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The licence expression, if it declares one.
    pub licence: Option<String>,
    /// Whether it is a workspace member.
    pub member: bool,
    /// The folder of its manifest.
    pub folder: PathBuf,
    /// Source files of its library and binaries.
    pub roots: Vec<PathBuf>,
    /// Ids of its direct dependencies: normal, build and dev-dependencies.
    pub names: BTreeSet<String>,
    /// Ids of the dependencies that its users get: normal and build dependencies.
    pub brings: BTreeSet<String>,
}

/// All packages by id.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The packages by cargo's package id.
    pub packages: BTreeMap<String, Package>,
    /// The workspace's folder.
    pub root: PathBuf,
}

impl Graph {
    /// Runs cargo for the graph of this workspace with all features, for all [`TARGETS`].
    ///
    /// # Errors
    /// cargo's message if it failed, or what its output lacks.
    pub fn of_workspace() -> Result<Self, String> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["metadata", "--format-version=1", "--all-features", "--locked"]);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        for target in TARGETS {
            command.args(["--filter-platform", target]);
        }
        let output = command.output().map_err(|e| format!("cargo metadata: {e}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let metadata = serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
        Self::from_metadata(&metadata).ok_or_else(|| "cargo metadata: an expected field is missing".into())
    }

    fn from_metadata(metadata: &Value) -> Option<Self> {
        let members: BTreeSet<&str> =
            metadata["workspace_members"].as_array()?.iter().filter_map(Value::as_str).collect();
        let mut packages = BTreeMap::new();
        for package in metadata["packages"].as_array()? {
            let id = package["id"].as_str()?;
            let targets = package["targets"].as_array()?;
            let is_root = |target: &&Value| {
                let kinds = target["kind"].as_array().map_or(&[][..], Vec::as_slice);
                kinds.iter().any(|kind| matches!(kind.as_str(), Some("lib" | "bin" | "cdylib" | "staticlib")))
            };
            let roots = targets.iter().filter(is_root).filter_map(|t| t["src_path"].as_str()).map(PathBuf::from);
            let entry = Package {
                name: package["name"].as_str()?.into(),
                version: package["version"].as_str()?.into(),
                licence: package["license"].as_str().map(Into::into),
                member: members.contains(id),
                folder: PathBuf::from(package["manifest_path"].as_str()?).parent()?.into(),
                roots: roots.collect(),
                ..Package::default()
            };
            packages.insert(id.to_owned(), entry);
        }
        for node in metadata["resolve"]["nodes"].as_array()? {
            let package = packages.get_mut(node["id"].as_str()?)?;
            for dependency in node["deps"].as_array()? {
                let id = dependency["pkg"].as_str()?.to_owned();
                let kinds = dependency["dep_kinds"].as_array()?;
                if kinds.iter().any(|kind| kind["kind"].as_str() != Some("dev")) {
                    package.brings.insert(id.clone());
                }
                package.names.insert(id);
            }
        }
        Some(Self { packages, root: metadata["workspace_root"].as_str()?.into() })
    }

    /// The workspace's packages.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().filter(|package| package.member)
    }

    /// Names of everything reachable from the packages with these ids.
    fn reach(&self, from: &BTreeSet<String>) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&String> = from.iter().collect();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.packages.get(id).into_iter().flat_map(|p| &p.brings));
            }
        }
        seen.into_iter().filter_map(|id| self.packages.get(id)).map(|p| p.name.as_str()).collect()
    }

    /// Every edge that violates the design, one line each.
    pub fn edge_violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        for package in self.members() {
            let name = package.name.as_str();
            let Some((_, may_name)) = MAY_NAME.iter().find(|(of, _)| *of == name) else {
                found.push(format!(
                    "{name} is not in MAY_NAME of scripts/rules/src/graph.rs: declare what it may depend on"
                ));
                continue;
            };
            for named in package.names.iter().filter_map(|id| self.packages.get(id)) {
                if named.name == TESTKIT {
                    continue;
                }
                if named.member && !may_name.contains(&named.name.as_str()) {
                    found.push(format!("{name} must not depend on {}", named.name));
                }
                for (foreign, only) in ONLY_NAMED_BY {
                    if is_of(&named.name, foreign) && !named.member && !only.contains(&name) {
                        found.push(format!("{name} must not depend on {}: only {only:?} may", named.name));
                    }
                }
            }
            if package.brings.iter().filter_map(|id| self.packages.get(id)).any(|brought| brought.name == TESTKIT) {
                found.push(format!("{name} may have {TESTKIT} as a dev-dependency only"));
            }
            for never in NEVER_REACHED.iter().filter(|(of, _)| *of == name).flat_map(|(_, never)| *never) {
                for reached in self.reach(&package.names).into_iter().filter(|reached| is_of(reached, never)) {
                    found.push(format!("{name} must not reach {reached}, through any crate"));
                }
            }
            for never in NEVER_BROUGHT.iter().filter(|(of, _)| *of == name).flat_map(|(_, never)| *never) {
                for reached in self.reach(&package.brings).into_iter().filter(|reached| is_of(reached, never)) {
                    found.push(format!("{name} must not pull in {reached}, through any crate"));
                }
            }
        }
        found
    }

    /// Every package that builds or binds C, one line each.
    pub fn c_violations(&self) -> Vec<String> {
        let is_c = |name: &str| C_BUILDERS.contains(&name);
        let mut found = Vec::new();
        for package in self.packages.values() {
            for named in package.brings.iter().chain(&package.names).filter_map(|id| self.packages.get(id)) {
                if is_c(&named.name) {
                    found.push(format!(
                        "{} {} depends on {}: no C in the graph",
                        package.name, package.version, named.name
                    ));
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }
}

/// `candle-core` belongs to `candle`, `candles` does not.
fn is_of(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A graph of (name, ours, names with dev, brings).
    fn graph(packages: &[(&str, bool, &[&str], &[&str])]) -> Graph {
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        let packages = packages.iter().map(|(name, member, names, brings)| {
            let mut names = set(names);
            names.extend(set(brings));
            let package =
                Package { name: (*name).into(), member: *member, names, brings: set(brings), ..Package::default() };
            ((*name).to_owned(), package)
        });
        Graph { packages: packages.collect(), root: PathBuf::new() }
    }

    #[test]
    fn the_designed_edges_pass() {
        let graph = graph(&[
            ("silhouette-kernels", true, &["proptest"], &[]),
            ("silhouette-network", true, &[], &[]),
            ("silhouette-graph", true, &[], &["silhouette-network", "silhouette-kernels", "candle-core"]),
            ("silhouette-import", true, &["silhouette-graph"], &["silhouette-network"]),
            ("silhouette", true, &[], &["silhouette-graph"]),
            ("candle-core", false, &[], &[]),
            ("proptest", false, &[], &[]),
        ]);
        assert_eq!(graph.edge_violations(), Vec::<String>::new());
    }

    #[test]
    fn candle_is_seen_through_another_crate_and_in_tests() {
        let graph = graph(&[
            ("silhouette-imaging", true, &["helper"], &[]),
            ("helper", false, &[], &["candle-core"]),
            ("candle-core", false, &[], &[]),
        ]);
        assert_eq!(graph.edge_violations(), ["silhouette-imaging must not reach candle-core, through any crate"]);
    }

    #[test]
    fn a_segmenter_on_candle_and_weights_on_imaging_are_refused() {
        let graph = graph(&[
            ("silhouette", true, &[], &["candle-nn"]),
            ("silhouette-weights", true, &["silhouette-imaging"], &[]),
            ("silhouette-import", true, &[], &["silhouette-graph"]),
            ("silhouette-graph", true, &[], &["candle-nn"]),
            ("silhouette-imaging", true, &[], &[]),
            ("candle-nn", false, &[], &[]),
        ]);
        assert_eq!(
            graph.edge_violations(),
            [
                r#"silhouette must not depend on candle-nn: only ["silhouette-graph"] may"#,
                "silhouette-import must not pull in candle-nn, through any crate",
                "silhouette-weights must not depend on silhouette-imaging",
                "silhouette-weights must not reach silhouette-imaging, through any crate",
            ]
        );
    }

    #[test]
    fn uniffi_belongs_to_bindings_and_unknown_members_are_named() {
        let graph = graph(&[
            ("silhouette-cli", true, &[], &["uniffi"]),
            ("silhouette-new", true, &[], &[]),
            ("uniffi", false, &[], &[]),
        ]);
        let found = graph.edge_violations();
        assert!(found[0].starts_with("silhouette-cli must not depend on uniffi"), "{found:?}");
        assert!(found.last().is_some_and(|line| line.starts_with("silhouette-new is not in MAY_NAME")), "{found:?}");
    }

    #[test]
    fn what_tests_share_stays_in_tests() {
        let graph = graph(&[
            ("silhouette", true, &["silhouette-testkit"], &[]),
            ("silhouette-cli", true, &[], &["silhouette-testkit"]),
            ("silhouette-testkit", true, &[], &["silhouette-kernels"]),
            ("silhouette-kernels", true, &[], &[]),
        ]);
        assert_eq!(graph.edge_violations(), ["silhouette-cli may have silhouette-testkit as a dev-dependency only"]);
    }

    #[test]
    fn c_is_found_wherever_it_is() {
        let graph = graph(&[("alloca", false, &[], &["cc"]), ("cc", false, &[], &[])]);
        assert_eq!(graph.c_violations(), ["alloca  depends on cc: no C in the graph"]);
    }
}
