//! Rules on source text: where `unsafe` is allowed, and which words a public API must not use. The text is examined
//! without its comments and strings.

use std::path::{Path, PathBuf};

/// Files and folders in which `unsafe` is allowed, each with its reason.
pub const UNSAFE_PLACES: &[(&str, &str)] = &[
    ("core/kernels/", "SIMD"),
    ("core/engine/", "one arena shared by threads"),
    ("core/weights/src/map.rs", "memory mapping"),
    ("core/import/src/tflite/schema_generated.rs", "generated flatbuffers reader, used behind its verifier"),
    ("bindings/src/", "the FFI edge"),
    ("bindings/tests/", "calls over the FFI edge"),
];

/// The one crate that opens and writes files, and files and folders outside it that may, each with its reason.
pub const FILE_PLACES: &[(&str, &str)] = &[
    ("core/files/", "used by everything else"),
    ("core/engine/src/caches.rs", "sizes of caches, from /sys"),
    ("core/cli/src/memory.rs", "resident memory, from /proc"),
    ("core/testkit/", "tests only"),
    ("bindings/bindgen/", "a tool that writes our own sources"),
    ("scripts/rules/", "reads our own sources"),
];

/// Calls that only these places may make: they block on pipes, follow links, read without a limit, or leave half a
/// file.
const FILE_CALLS: &[&str] = &[
    "File::create",
    "File::create_new",
    "File::open",
    "File::options",
    "fs::copy",
    "fs::read",
    "fs::read_to_string",
    "fs::rename",
    "fs::write",
    "OpenOptions",
];

/// Rust source with comments, strings and character literals blanked, line breaks kept.
pub fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &source[at..];
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest).filter(|_| !ends_in_word(&out)) {
            length
        } else if rest.starts_with('"') {
            quoted(rest)
        } else {
            char_literal(rest)
        };
        if skipped == 0 {
            let c = rest.chars().next().unwrap_or(' ');
            out.push(c);
            at += c.len_utf8();
        } else {
            out.push(' ');
            out.extend(rest[..skipped].matches('\n'));
            at += skipped;
        }
    }
    out
}

fn ends_in_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Length of the (nested) block comment that `text` starts with.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of the raw string (`r"…"`, `br#"…"#`) that `text` starts with.
fn raw_string(text: &str) -> Option<usize> {
    let start = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let hashes = start.len() - start.trim_start_matches('#').len();
    let body = start[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close).map_or(body.len(), |at| at + close.len());
    Some(text.len() - body.len() + end)
}

/// Length of the string that `text` starts with.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of the character literal that `text` starts with, 0 if it is a lifetime or something else.
fn char_literal(text: &str) -> usize {
    let Some(body) = text.strip_prefix('\'') else { return 0 };
    if body.starts_with('\\') {
        return body[2.min(body.len())..].find('\'').map_or(0, |at| at + 4);
    }
    let mut chars = body.chars();
    let first = chars.next().map_or(0, char::len_utf8);
    if chars.next() == Some('\'') { first + 2 } else { 0 }
}

/// Line numbers (from 1) with a word of `code` that `is_listed` accepts.
fn lines_with(code: &str, is_listed: impl Fn(&str) -> bool) -> Vec<usize> {
    let has = |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(&is_listed);
    code.lines().enumerate().filter(|(_, line)| has(line)).map(|(at, _)| at + 1).collect()
}

/// Code without its `#[cfg(test)]` modules, line breaks kept. `code` has no comments or strings.
fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let end = from.find(']').map_or(from.len(), |end| end + 1);
        let is_test = from[..end].split(|c: char| !c.is_alphanumeric()).any(|word| word == "test");
        let is_module = from[end..].trim_start().starts_with("mod ");
        let length = if is_test && is_module { end + block(&from[end..]) } else { end };
        out.extend(from[..length].matches('\n'));
        rest = &from[length..];
    }
    out.push_str(rest);
    out
}

/// Length of `text` up to the end of the first block in braces, or of the statement without one.
fn block(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// Where a source file, except its tests, opens or writes files without `silhouette-files`.
pub fn file_violations(path: &str, source: &str) -> Vec<String> {
    let outside = ["tests/", "examples/", "benches/"].iter().any(|folder| path.contains(&format!("/{folder}")));
    if outside || FILE_PLACES.iter().any(|(place, _)| path.starts_with(place)) {
        return Vec::new();
    }
    let code = without_tests(&code_only(source));
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let calls = |line: &str, call: &str| {
        line.match_indices(call).any(|(at, _)| {
            let after = &line[at + call.len()..];
            !line[..at].ends_with(word) && !after.starts_with(word)
        })
    };
    let lines = code.lines().enumerate();
    let found = lines.filter_map(|(at, line)| Some((at + 1, FILE_CALLS.iter().find(|call| calls(line, call))?)));
    found.map(|(line, call)| format!("{path}:{line}: {call} outside core/files: call silhouette-files")).collect()
}

/// Where the file `path` (from the workspace's root) has `unsafe` although it must not.
pub fn unsafe_violations(path: &str, source: &str) -> Vec<String> {
    if UNSAFE_PLACES.iter().any(|(place, _)| path.starts_with(place)) {
        return Vec::new();
    }
    let lines = lines_with(&code_only(source), |word| word == "unsafe");
    lines.iter().map(|line| format!("{path}:{line}: unsafe outside the places of UNSAFE_PLACES")).collect()
}

/// Where the file has an unsafe function without a `# Safety` section. Methods of an unsafe trait, and of any trait's
/// implementations, are covered by the trait's section.
pub fn safety_violations(path: &str, source: &str) -> Vec<String> {
    let code = code_only(source);
    let texts: Vec<&str> = source.lines().collect();
    let mut violations = Vec::new();
    // The indentation of the trait, implementation or macro that a line is in.
    let mut covering: Option<&str> = None;
    for (at, line) in code.lines().enumerate() {
        let text = line.trim_start();
        let indent = &line[..line.len() - text.len()];
        let is_trait = text.contains("unsafe trait ") || (text.contains("impl") && text.contains(" for "));
        if covering.is_none() && text.ends_with('{') && (is_trait || text.starts_with("macro_rules!")) {
            covering = Some(indent);
        } else if covering == Some(indent) && text.starts_with('}') {
            covering = None;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let declares = words.iter().position(|word| *word == "unsafe").is_some_and(|at| {
            let rest = words[at + 1..].iter().filter(|word| !matches!(**word, "extern" | ""));
            rest.take(1).any(|word| *word == "fn")
        });
        let documented = texts[..at].iter().rev().map(|line| line.trim());
        let documented = documented.take_while(|line| line.starts_with("//") || line.starts_with("#["));
        if declares && covering.is_none() && !documented.into_iter().any(|line| line.contains("# Safety")) {
            violations.push(format!("{path}:{}: an unsafe function without `# Safety`", at + 1));
        }
    }
    violations
}

/// What the root file of a crate at `path` lacks: `#![forbid(unsafe_code)]`, or `#![deny(unsafe_code)]` if a file of
/// the crate is listed. A crate listed as a whole needs neither.
pub fn root_violation(path: &str, source: &str) -> Option<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    if UNSAFE_PLACES.iter().any(|(place, _)| path.starts_with(place)) {
        return None;
    }
    let code: String = code_only(source).split_whitespace().collect();
    let has = |level: &str| code.contains(&format!("#![{level}(unsafe_code)]"));
    if has("forbid") || (has("deny") && UNSAFE_PLACES.iter().any(|(place, _)| place.starts_with(folder))) {
        return None;
    }
    Some(format!("{path}: lacks #![forbid(unsafe_code)]"))
}

/// Where the file mentions `candle` or names a tensor: a user of the public API must not need to know either.
pub fn candle_violations(path: &str, source: &str) -> Vec<String> {
    let is_candle = |word: &str| word.starts_with("candle") || matches!(word, "Tensor" | "DType" | "VarBuilder");
    let lines = lines_with(&code_only(source), is_candle);
    lines.iter().map(|line| format!("{path}:{line}: names candle or a type of it")).collect()
}

/// All `.rs` files below `folder`, sorted; build outputs and hidden folders are skipped.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() && !name.starts_with('.') && name != "target" {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_lines_stay() {
        let source =
            "a // unsafe\n/* unsafe /* x */\nunsafe */ b \"unsafe \\\" \" c r#\"unsafe \" \"# 'u' '\\'' d<'a> br\"x\"";
        let code = code_only(source);
        assert_eq!(code.lines().count(), 3);
        assert!(!code.contains("unsafe"), "{code}");
        assert!(code.contains("d<'a>"), "{code}");
    }

    #[test]
    fn unsafe_is_found_with_its_line() {
        let source = "fn a() {}\n// unsafe\nfn b() { unsafe { c() } }\n";
        assert_eq!(unsafe_violations("core/imaging/src/x.rs", source).len(), 1);
        assert!(unsafe_violations("core/imaging/src/x.rs", source)[0].starts_with("core/imaging/src/x.rs:3:"));
        assert!(unsafe_violations("core/kernels/src/x.rs", source).is_empty());
        assert!(unsafe_violations("a.rs", "#![forbid(unsafe_code)] #![warn(unsafe_op_in_unsafe_fn)]").is_empty());
    }

    #[test]
    fn files_are_opened_in_one_place() {
        let source = "use std::fs::File;\nfn f() { File::open(p); }\n// fs::write\nfn g() { std::fs::read(p); my_fs::read(p); fs::read_dir(p) }\n\
            #[cfg(unix)]\nmod m { fn h() { fs::rename(a, b) } }\n#[cfg(all(test, unix))]\nmod tests {\n fn t() { { File::create(p) } }\n}\nfn i() { File::create(p) }\n";
        let lines: Vec<_> = file_violations("core/cli/src/x.rs", source);
        let lines: Vec<_> = lines.iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "core/cli/src/x.rs:2: File::open",
                "core/cli/src/x.rs:4: fs::read",
                "core/cli/src/x.rs:6: fs::rename",
                "core/cli/src/x.rs:11: File::create"
            ]
        );
        for path in ["core/files/src/x.rs", "core/cli/tests/x.rs", "core/cli/src/memory.rs"] {
            assert!(file_violations(path, source).is_empty(), "{path}");
        }
    }

    #[test]
    fn an_unsafe_function_documents_its_contract() {
        let source = "/// # Safety\n/// None.\n#[inline]\nunsafe fn a() {}\nunsafe fn b() {}\nunsafe trait T {\n    unsafe fn c();\n}\nimpl X {\n    \
            /// A comment.\n    pub unsafe extern \"C\" fn d() {}\n}\nimpl T for X {\n    unsafe fn e() {}\n}\nfn f() { unsafe { g() } }\n";
        let lines: Vec<_> = safety_violations("x.rs", source).iter().map(|line| line[..7].to_owned()).collect();
        assert_eq!(lines, ["x.rs:5:", "x.rs:11"]);
    }

    #[test]
    fn a_root_must_forbid() {
        assert!(root_violation("core/cli/src/main.rs", "// #![forbid(unsafe_code)]").is_some());
        assert!(root_violation("core/cli/src/main.rs", "//! Docs.\n#![forbid( unsafe_code )]").is_none());
        assert!(root_violation("core/cli/src/main.rs", "#![deny(unsafe_code)]").is_some());
        assert!(root_violation("core/weights/src/lib.rs", "#![deny(unsafe_code)]").is_none());
    }

    #[test]
    fn candle_in_a_signature_is_found() {
        let source = "/// Not candle's.\npub fn run(x: &silhouette_weights::Tensor) {}\nuse candle_core::Device;";
        assert_eq!(candle_violations("core/segmenter/src/lib.rs", source).len(), 2);
    }
}
