//! Cycles between the files of a crate. A file depends on another if its code names a path into it (`crate::…`,
//! `super::…`, `self::…`, or a child module by its name); a name re-exported with `pub use` counts for the file that
//! defines it, and a re-export is itself no dependency: a crate's root may re-export from all its files. `mod` lines,
//! comments, strings and `#[cfg(test)]` modules are ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::source::{code_only, rust_files};

/// The path of a module from the crate's root.
type Module = Vec<String>;

/// A path named in a file: where it starts, and its segments.
#[derive(Debug)]
struct Named {
    path: Module,
    /// `pub use`.
    passed_on: bool,
    /// The name that a `use` gives it here: its last segment, or the one after `as`.
    name: String,
}

/// Files that depend on each other, one line per cycle: every file is in at most one line. `source` is the folder of a
/// crate's sources.
pub fn circles(source: &Path) -> Vec<String> {
    let mut files = BTreeMap::new();
    for path in rust_files(source) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let inside = path.strip_prefix(source).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        files.insert(inside, text);
    }
    circles_of(&files)
}

/// The same for files in memory: path inside the folder of sources, and text.
fn circles_of(files: &BTreeMap<String, String>) -> Vec<String> {
    let modules: BTreeMap<Module, &str> = files.keys().map(|path| (module_of(path), path.as_str())).collect();
    let named: BTreeMap<&Module, Vec<Named>> = modules
        .iter()
        .map(|(module, path)| (module, names(&tokens(&code_only(&files[*path])), module, &modules)))
        .collect();
    let edges: BTreeMap<&Module, BTreeSet<Module>> = named
        .iter()
        .map(|(module, all)| {
            let used = all.iter().filter(|name| !name.passed_on || !name.path.starts_with(module));
            (*module, used.filter_map(|name| resolve(&name.path, &named, 0)).filter(|to| to != *module).collect())
        })
        .collect();
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = edges.keys().map(|from| (*from, reach(from, &edges))).collect();
    let mut seen: BTreeSet<&Module> = BTreeSet::new();
    let mut found = Vec::new();
    for (module, to) in &reached {
        if !to.contains(module) || seen.contains(module) {
            continue;
        }
        let circle: Vec<&Module> = to.iter().copied().filter(|other| reached[other].contains(module)).collect();
        seen.extend(&circle);
        let path = |module: &Module| modules[module];
        let part = circle.iter().map(|from| {
            let within: Vec<_> = edges[from].iter().filter(|to| circle.contains(to)).map(path).collect();
            format!("{} names {}", path(from), within.join(" and "))
        });
        found.push(part.collect::<Vec<_>>().join("; "));
    }
    found
}

/// `a/b.rs` and `a/b/mod.rs` are `a::b`; `lib.rs` and `main.rs` the root.
fn module_of(path: &str) -> Module {
    let path = path.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if matches!(path, "lib" | "main") { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// Everything reachable over one edge or more.
fn reach<'a>(from: &Module, edges: &'a BTreeMap<&Module, BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&Module> = edges[from].iter().collect();
    while let Some(module) = open.pop() {
        if seen.insert(module) {
            open.extend(edges.get(module).into_iter().flatten());
        }
    }
    seen
}

/// The file that a path leads into: the deepest module on it, or the one that the next name is re-exported from. `None`
/// if it leads out of the crate.
fn resolve(path: &[String], named: &BTreeMap<&Module, Vec<Named>>, depth: usize) -> Option<Module> {
    let known = |length: &usize| named.contains_key(&path[..*length].to_vec());
    let length = (0..=path.len()).rev().find(known)?;
    let module = path[..length].to_vec();
    let Some(next) = path.get(length).filter(|_| depth < 8) else { return Some(module) };
    match named[&module].iter().find(|name| name.passed_on && name.name == *next) {
        Some(origin) => resolve(&origin.path, named, depth + 1),
        None => Some(module),
    }
}

/// Identifiers, `::` and single characters, without white space.
fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}

/// Every path of a file's code that begins in its crate, as a path from the crate's root.
fn names(tokens: &[&str], file: &Module, modules: &BTreeMap<Module, &str>) -> Vec<Named> {
    let mut found = Vec::new();
    // Modules in braces, each with the depth of braces inside it.
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    let mut in_use = false;
    let mut public = false;
    while at < tokens.len() {
        let here =
            |inline: &[(String, usize)]| [file.clone(), inline.iter().map(|(name, _)| name.clone()).collect()].concat();
        match tokens[at..] {
            ["#", "[", "cfg", "(", "test", ")", "]", "mod", _, "{", ..] => {
                at = closing(tokens, at + 9);
            }
            ["mod", name, "{", ..] => {
                depth += 1;
                inline.push((name.to_owned(), depth));
                at += 2;
            }
            ["{", ..] => depth += 1,
            ["}", ..] => {
                inline.retain(|(_, inside)| *inside != depth);
                depth = depth.saturating_sub(1);
            }
            ["pub", "use", ..] => public = true,
            ["pub", "(", ..] if tokens.get(at + 4) == Some(&"use") => public = true,
            ["use", ..] => in_use = true,
            [";", ..] => (in_use, public) = (false, false),
            [first, "::", ..] if at == 0 || tokens[at - 1] != "::" => {
                let module = here(&inline);
                let child = [&module[..], &[first.to_owned()]].concat();
                let starts = matches!(first, "crate" | "super" | "self") || modules.contains_key(&child);
                if starts {
                    let mut paths = Vec::new();
                    at = path(tokens, at, &mut Vec::new(), &mut paths);
                    for (segments, name) in paths {
                        if let Some(path) = absolute(&segments, &module) {
                            found.push(Named { path, passed_on: public && in_use, name });
                        }
                    }
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The index of the brace that closes the one at `open`.
fn closing(tokens: &[&str], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match *token {
            "{" => depth += 1,
            "}" if depth == 1 => return at,
            "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Reads a path, or a tree of a `use`, starting at `at`; adds each path with its name, and returns the index after it.
fn path(tokens: &[&str], mut at: usize, before: &mut Module, found: &mut Vec<(Module, String)>) -> usize {
    let length = before.len();
    loop {
        match tokens.get(at..).unwrap_or_default() {
            ["{", ..] => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    at = path(tokens, at, before, found);
                    if tokens.get(at) == Some(&",") {
                        at += 1;
                    } else if tokens.get(at) != Some(&"}") {
                        // Not a tree of a `use`: a block after a path.
                        break;
                    }
                }
                at += 1;
                break;
            }
            [name, "::", ..] if is_name(name) => {
                before.push((*name).to_owned());
                at += 2;
            }
            [name, "as", other, ..] if is_name(name) => {
                before.push((*name).to_owned());
                found.push((before.clone(), (*other).to_owned()));
                at += 3;
                break;
            }
            [name, ..] if is_name(name) => {
                before.push((*name).to_owned());
                found.push((before.clone(), (*name).to_owned()));
                at += 1;
                break;
            }
            // `::*`, `::<T>`, or the end.
            _ => {
                found.push((before.clone(), "*".to_owned()));
                at += 1;
                break;
            }
        }
    }
    before.truncate(length);
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// A path that begins with `crate`, `super`, `self` or a child of `module`, from the crate's root.
fn absolute(segments: &[String], module: &Module) -> Option<Module> {
    let mut base = module.clone();
    let mut rest = segments;
    match segments.first()?.as_str() {
        "crate" => (base, rest) = (Vec::new(), &segments[1..]),
        "self" => rest = &segments[1..],
        _ => {}
    }
    while rest.first().is_some_and(|segment| segment == "super") {
        base.pop()?;
        rest = &rest[1..];
    }
    Some([base, rest.to_vec()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Vec<String> {
        circles_of(&files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn two_files_that_use_each_other() {
        let found = of(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::B; struct A;"),
            ("b.rs", "use crate::{a::{A, Z as Y}, c};"),
            ("c.rs", "struct C;"),
        ]);
        assert_eq!(found, ["a.rs names b.rs; b.rs names a.rs"]);
    }

    #[test]
    fn a_parent_that_uses_its_child_and_a_child_that_uses_its_parent() {
        let parent = "mod child; pub use child::Child; fn f() { child::g() }";
        let found = of(&[("lib.rs", "mod p;"), ("p.rs", parent), ("p/child.rs", "use super::P;")]);
        assert_eq!(found, ["p.rs names p/child.rs; p/child.rs names p.rs"]);
        // A re-export is not a use.
        let parent = "mod child; pub use child::Child;";
        assert!(of(&[("lib.rs", "mod p;"), ("p.rs", parent), ("p/child.rs", "use super::P;")]).is_empty());
    }

    #[test]
    fn three_files_and_expressions() {
        let found = of(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "fn f() -> crate::b::B { 1 }"),
            ("b.rs", "fn f() { super::c::g::<u8>() }"),
            ("c/mod.rs", "macro_rules! m { () => { $crate::a::f() } }"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("c/mod.rs names a.rs"), "{found:?}");
    }

    #[test]
    fn names_that_the_root_passes_on_count_for_their_file() {
        let files = |root: &'static str| {
            [("lib.rs", root), ("a.rs", "use crate::B;"), ("b.rs", "use other::A; use crate::c;"), ("c.rs", "")]
        };
        assert!(of(&files("mod a; mod b; pub use a::A; pub use b::B;")).is_empty());
        let mut circle = files("mod a; mod b; pub use a::A; pub(crate) use b::{B, D};");
        circle[2].1 = "use crate::A;";
        assert_eq!(of(&circle), ["a.rs names b.rs; b.rs names a.rs"]);
    }

    #[test]
    fn comments_strings_tests_and_inner_modules_are_no_edges() {
        let a = "use crate::b::B; mod inner { use super::f; use super::super::b; }";
        let b = "// crate::a\n/// [`crate::a::A`]\nconst S: &str = \"crate::a\"; #[cfg(test)] mod tests { use crate::a::A; }";
        assert!(of(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", b)]).is_empty());
    }
}
