//! The public names of the library in Rust, Kotlin and Swift, read from the sources, and the table of docs/api.md: a name
//! that exists in one language must exist in the others, but for the languages' conventions and the listed exceptions.
//! The sources are formatted by each language's formatter, so a declaration's indentation shows what it belongs to.

use crate::source::code_only;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Number of languages.
const LANGUAGES: usize = 3;
const RUST: usize = 0;
const KOTLIN: usize = 1;
const SWIFT: usize = 2;

/// A public name: its type, itself, and whether it makes a value of the type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The type that it belongs to.
    pub owner: String,
    /// The name; empty for the type itself.
    pub member: String,
    /// A function that makes a value: Kotlin and Swift may have a constructor without a name instead.
    pub constructs: bool,
}

impl Name {
    fn new(owner: &str, member: &str, constructs: bool) -> Self {
        Self { owner: owner.to_owned(), member: member.to_owned(), constructs }
    }
}

/// Names that do not exist in every language, as `Type` or `Type.member` in the table's spelling, each group with its
/// reason.
pub const EXCEPTIONS: &[(&[&str], &str)] = &[
    (
        &[
            "Segmenter.segmentNow",
            "VideoSegmenter.segmentNow",
            "Segmenter.segments",
            "Segmentations",
            "Iterator",
            "TimedFrame",
        ],
        "asynchronous calls and sequences; Rust's API is blocking and has neither",
    ),
    (
        &["LiveListener", "LiveSegmenter.results", "LiveResult.error", "LiveResult.get"],
        "each language delivers results in its own form: a closure and a `Result` in Rust, a listener and a nullable result in Kotlin, a sequence in Swift",
    ),
    (
        &["LiveSegmenter.forget", "LiveResult.cancelled", "LiveResult.frame"],
        "Rust's listener borrows the frame and may cancel without waiting; Kotlin and Swift use these internally",
    ),
    (
        &["Frame.at", "Frame.timestamp", "Segmentation.timestamp"],
        "Android's images have a timestamp, so Kotlin's frames have one too",
    ),
    (&["Segmentation.close"], "Kotlin has no destructors"),
    (&["Segmentation.model"], "in Rust a segmentation may be empty, without a model"),
    (&["PictureLayout"], "Kotlin renders into bitmaps; Rust has `Picture::copy_into`"),
    (&["Mask", "Confidence"], "in Kotlin a mask is a direct `ByteBuffer`, which Android's APIs accept"),
    (&["Rotation"], "degrees in Kotlin, as in Android's `rotationDegrees`"),
    (&["PixelFormat"], "Kotlin has a function for each format"),
    (
        &["ClassColor", "Corner"],
        "in Kotlin a colour is an int, in Rust three bytes; in both a corner is two numbers in a ring",
    ),
    (&["Plane.data"], "in Swift either `Data` or memory with an owner"),
    (&["YuvColor.CAMERA"], "Android's cameras all use the same one; Apple's do not"),
    (
        &["ExifOrientation", "Frame.oriented"],
        "UIKit reports orientations; Rust's `Photo` and Android's decoders apply them",
    ),
    (&["Model.fromAsset"], "Android's assets"),
    (
        &["Error.description", "Error.errorDescription", "Error.recoverySuggestion", "Error.problem", "Problem"],
        "required by Swift's protocols; `Display` in Rust, `message` in Kotlin",
    ),
    (
        &["Silhouette"],
        "the object or type that contains the version; in Rust the version is a constant of the crate, and so are the bounds",
    ),
    (
        &["Backend.METAL", "Backend.Graph", "Backend.available", "Backend.check", "Reason"],
        "Metal exists only on Apple's systems; the candle graph is a reference for Rust programs",
    ),
    (&["Classifier", "Class"], "only the command needs classifiers"),
    (
        &["FrameBuffer", "FrameError", "PlaneName", "Palette", "ChannelOrder", "Step", "Task.ALL"],
        "parts for programs that build on the Rust crate, such as the command",
    ),
    (
        &["Frame.packed", "Frame.i420", "Frame.transform"],
        "shorthands for slices, and a transform for frames without a mask, for programs that build on the Rust crate",
    ),
    (
        &[
            "Picture.blur_background",
            "Picture.copy",
            "Picture.cropped",
            "Picture.cut_out",
            "Picture.overlay",
            "Picture.overlay_classes",
            "Picture.replace_background",
            "Model.file",
            "Model.palette",
            "Model.spec",
            "Model.map",
            "Model.without_blocks",
            "Segmentation.alpha",
            "Segmentation.binary",
            "Segmentation.bounds",
            "Segmentation.logits",
            "Segmentation.mask_of",
            "Segmentation.palette",
            "Segmenter.input_size",
            "Segmenter.profile",
        ],
        "parts of images, networks and masks, for programs that build on the Rust crate",
    ),
];

/// The word that a line at `indent` spaces declares after one of `keywords`, if `required` comes before it.
fn declared<'a>(line: &'a str, indent: usize, required: &[&str], keywords: &[&str]) -> Option<(&'a str, &'a str)> {
    let rest = line.strip_prefix(&" ".repeat(indent))?;
    if rest.starts_with(' ') || !required.iter().any(|word| rest.starts_with(word)) {
        return None;
    }
    let mut at = 0;
    for word in rest.split(' ') {
        if keywords.contains(&word) {
            let name = rest[at + word.len()..].trim_start().trim_start_matches('`');
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(name.len());
            return Some((word, &name[..end]));
        }
        at += word.len() + 1;
        if word.contains(['(', '=', ':']) && !word.starts_with("private(") {
            return None;
        }
    }
    None
}

/// The public names of a Rust source, of the types in `exported`.
pub fn rust_names(source: &str, exported: &BTreeSet<String>) -> Vec<Name> {
    let code = code_only(source);
    let mut names = Vec::new();
    let mut owner = String::new();
    let mut in_enum = false;
    let lines: Vec<&str> = code.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        if let Some((_, name)) = declared(line, 0, &["pub "], &["struct", "enum", "trait"]) {
            name.clone_into(&mut owner);
            in_enum = line.contains(" enum ");
            names.push(Name::new(name, "", false));
        } else if let Some((_, name)) = declared(line, 0, &["pub "], &["const"]) {
            names.push(Name::new("Silhouette", name, false));
        } else if line.starts_with("impl") {
            in_enum = false;
            let head = line.trim_start_matches("impl").trim_start_matches("<'a>").trim_start_matches("<'_>").trim();
            let end = head.find(|c: char| !c.is_alphanumeric()).unwrap_or(head.len());
            owner = if line.contains(" for ") { String::new() } else { head[..end].to_owned() };
        } else if let Some((_, name)) = declared(line, 4, &["pub fn", "pub const"], &["fn", "const"]) {
            let signature: String = lines[at..].iter().map_while(|line| (*line != "    }").then_some(*line)).collect();
            let arguments = signature.split('{').next().unwrap_or_default();
            let has_self = arguments.split(|c: char| !c.is_alphanumeric()).any(|word| word == "self");
            if name != "new" {
                names.push(Name::new(&owner, name, !has_self && arguments.contains("Self")));
            }
        } else if let Some(field) = line.strip_prefix("    pub ").filter(|field| field.contains(':')) {
            names.push(Name::new(&owner, field.split(':').next().unwrap_or_default(), false));
        } else if in_enum {
            let variant = line.strip_prefix("    ").filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
            if let Some(variant) = variant {
                let end = variant.find(|c: char| !c.is_alphanumeric()).unwrap_or(variant.len());
                names.push(Name::new(&owner, &variant[..end], false));
            }
        }
        if *line == "}" {
            owner.clear();
            in_enum = false;
        }
    }
    names.retain(|name| {
        exported.contains(&name.owner) || (name.owner == "Silhouette" && exported.contains(&name.member))
    });
    names
}

/// The identifiers that a crate's root exports with `pub use` and `pub const`.
pub fn rust_exports(root: &str) -> BTreeSet<String> {
    let code = code_only(root);
    let uses = code.split(';').filter(|item| item.contains("pub use") || item.contains("pub const"));
    let word = |c: char| !c.is_alphanumeric() && c != '_';
    uses.flat_map(|item| item.split(word)).filter(|w| w.starts_with(char::is_uppercase)).map(str::to_owned).collect()
}

/// The public names of a Kotlin source. Extensions of other libraries' types are left out.
pub fn kotlin_names(source: &str) -> Vec<Name> {
    const TYPES: [&str; 3] = ["class", "interface", "object"];
    const MEMBERS: [&str; 2] = ["fun", "val"];
    let mut names = Vec::new();
    let mut owner = String::new();
    let mut in_enum = false;
    let mut in_companion = false;
    for line in code_only(source).lines() {
        if let Some((_, name)) = declared(line, 0, &["public "], &TYPES) {
            name.clone_into(&mut owner);
            in_enum = line.contains(" enum ");
            names.push(Name::new(name, "", false));
        } else if let Some((_, name)) = declared(line, 0, &["public "], &MEMBERS) {
            if let Some(member) = name.strip_prefix("Model.Companion.") {
                names.push(Name::new("Model", member, true));
            }
        } else if line.starts_with("    public companion object") {
            in_companion = true;
        } else if let Some((_, name)) = declared(line, 4, &["public "], &TYPES) {
            names.push(Name::new(&owner, name, false));
        } else if let Some((_, name)) = declared(line, 4, &["public ", "override "], &MEMBERS) {
            names.push(Name::new(&owner, name, false));
        } else if let Some((_, name)) = declared(line, 8, &["public "], &MEMBERS).filter(|_| in_companion) {
            names.push(Name::new(&owner, name, line.contains(" fun ")));
        } else if in_enum {
            let entry = line.trim().trim_end_matches([',', ';']);
            if !entry.is_empty() && entry.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
                names.push(Name::new(&owner, entry, false));
            }
        }
        in_companion &= line != "    }";
        if line == "}" {
            owner.clear();
            in_enum = false;
        }
    }
    names.retain(|name| !name.owner.is_empty());
    names
}

/// The public names of a Swift source; a nested type is one of its own.
pub fn swift_names(source: &str) -> Vec<Name> {
    const TYPES: [&str; 4] = ["class", "struct", "enum", "protocol"];
    const MEMBERS: [&str; 3] = ["func", "var", "let"];
    let mut names = Vec::new();
    // The type at each level of nesting, and whether it is an enumeration.
    let mut owners: [Option<(String, bool)>; 2] = [None, None];
    for line in code_only(source).lines() {
        for (level, owner) in owners.iter_mut().enumerate() {
            let indent = 4 * level;
            if let Some((kind, name)) = declared(line, indent, &["public "], &TYPES) {
                *owner = Some((name.to_owned(), kind == "enum"));
                names.push(Name::new(name, "", false));
            } else if let Some((_, name)) = declared(line, indent, &["extension "], &["extension"]) {
                *owner = Some((name.to_owned(), false));
            } else if line == format!("{}}}", " ".repeat(indent)) {
                *owner = None;
            }
        }
        let level = usize::from(owners[1].is_some());
        let Some((owner, is_enum)) = &owners[level] else { continue };
        let indent = 4 * (level + 1);
        if let Some((_, name)) = declared(line, indent, &["public "], &MEMBERS) {
            names.push(Name::new(owner, name, line.contains("static func")));
        } else if let Some(cases) = line.strip_prefix(&format!("{}case ", " ".repeat(indent))).filter(|_| *is_enum) {
            let end = cases.find(|c: char| !c.is_alphanumeric() && c != '`').unwrap_or(cases.len());
            names.push(Name::new(owner, cases[..end].trim_matches('`'), false));
        }
    }
    names
}

/// The spelling by which names of different languages are the same: without case, underscores, and the words that a
/// language's conventions add.
fn key(language: usize, name: &Name) -> (String, String) {
    let owner = match name.owner.as_str() {
        "SilhouetteException" | "SilhouetteError" => "Error",
        "SilhouetteLibrary" => "Silhouette",
        other => other,
    };
    let member = match language {
        RUST => name.member.strip_suffix("_into").unwrap_or(&name.member),
        KOTLIN => {
            let member = name.member.strip_suffix("Nanos").unwrap_or(&name.member);
            member.strip_prefix("to").filter(|rest| rest.starts_with(char::is_uppercase)).unwrap_or(member)
        }
        _ => &name.member,
    };
    // Rust's constants are the crate's, the other languages' belong to the type that uses them.
    let owner = if matches!(member, "BLUR_RADIUS" | "OVERLAY_OPACITY") { "Segmentation" } else { owner };
    let plain = |word: &str| word.to_lowercase().replace('_', "");
    (plain(owner), plain(member))
}

/// The names of each language, by type and member.
#[derive(Debug, Default)]
pub struct Table {
    rows: BTreeMap<(String, String), [Option<Name>; LANGUAGES]>,
}

impl Table {
    /// The table of the workspace at `root`.
    ///
    /// # Panics
    /// If a source cannot be read.
    pub fn of_workspace(root: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("a source can be read");
        let exported = rust_exports(&read("core/segmenter/src/lib.rs"));
        let mut table = Self::default();
        let listed = |folder: &str, extension: &str| {
            let entries = std::fs::read_dir(root.join(folder)).expect("a folder can be read").flatten();
            let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
            names.retain(|name| name.ends_with(extension));
            names.sort();
            names.into_iter().map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
        };
        let imaging = ["frame", "mask", "owned", "palette", "picture", "polygons"];
        let imaging = imaging.map(|file| format!("core/imaging/src/{file}.rs"));
        let below = ["core/engine/src/engine.rs", "core/kernels/src/size.rs"].map(str::to_owned);
        for path in listed("core/segmenter/src", ".rs").into_iter().chain(imaging).chain(below) {
            if !path.ends_with("fixture.rs") {
                table.add(RUST, rust_names(&read(&path), &exported));
            }
        }
        for path in listed("android/src/main/kotlin/dev/silhouette", ".kt") {
            table.add(KOTLIN, kotlin_names(&read(&path)));
        }
        // Extensions for Apple's frameworks are in the files with a plus sign.
        for path in listed("ios/Sources/Silhouette", ".swift").into_iter().filter(|path| !path.contains('+')) {
            table.add(SWIFT, swift_names(&read(&path)));
        }
        table
    }

    fn add(&mut self, language: usize, names: Vec<Name>) {
        for name in names {
            let row = self.rows.entry(key(language, &name)).or_default();
            // A variant that reuses memory is the same name.
            if row[language].as_ref().is_none_or(|known| known.member.len() > name.member.len()) {
                row[language] = Some(name);
            }
        }
    }

    /// The exception for a row, if any: of its member, or of its whole type.
    fn exception(key: &(String, String)) -> Option<usize> {
        let listed = |name: &str| {
            let (owner, member) = name.split_once('.').unwrap_or((name, ""));
            let plain = |word: &str| word.to_lowercase().replace('_', "");
            plain(owner) == key.0 && (member.is_empty() || plain(member) == key.1)
        };
        EXCEPTIONS.iter().position(|(names, _)| names.iter().any(|name| listed(name)))
    }

    /// Names that a language lacks without an exception, and exceptions that no name needs.
    pub fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut needed = BTreeSet::new();
        for (key, row) in &self.rows {
            let constructs = row.iter().flatten().any(|name| name.constructs);
            let missing: Vec<&str> = (0..LANGUAGES)
                .filter(|&language| row[language].is_none() && !(constructs && language != RUST))
                .map(|language| ["Rust", "Kotlin", "Swift"][language])
                .collect();
            if missing.is_empty() {
                continue;
            }
            if let Some(exception) = Self::exception(key) {
                needed.insert(exception);
            } else {
                let name =
                    row.iter().flatten().map(|n| format!("{}.{}", n.owner, n.member)).collect::<Vec<_>>().join(", ");
                found.push(format!("{} is not in {}", name.trim_end_matches('.'), missing.join(" and ")));
            }
        }
        for (at, (names, _)) in EXCEPTIONS.iter().enumerate() {
            if !needed.contains(&at) {
                found.push(format!("the exception of {} is not needed any more", names.join(", ")));
            }
        }
        found
    }

    /// The text of docs/api.md.
    pub fn markdown(&self) -> String {
        let mut text = String::from(HEAD);
        let owners: BTreeSet<&String> = self.rows.keys().map(|(owner, _)| owner).collect();
        for owner in owners {
            let rows = self.rows.range((owner.clone(), String::new())..).take_while(|((of, _), _)| of == owner);
            let mut lines = String::new();
            let mut title = [const { String::new() }; LANGUAGES];
            for (_, row) in rows {
                for (title, name) in title.iter_mut().zip(row) {
                    if let Some(name) = name {
                        name.owner.clone_into(title);
                    }
                }
                let cell =
                    |name: &Option<Name>| name.as_ref().map_or_else(String::new, |name| format!("`{}`", name.member));
                if row.iter().flatten().any(|name| !name.member.is_empty()) {
                    let _ =
                        writeln!(lines, "| {} | {} | {} |", cell(&row[RUST]), cell(&row[KOTLIN]), cell(&row[SWIFT]));
                }
            }
            if title.iter().filter(|title| !title.is_empty()).count() < 2 {
                continue; // An exception as a whole.
            }
            let name = |language: usize| {
                let title = &title[language];
                if title.is_empty() { "-".to_owned() } else { format!("`{title}`") }
            };
            let _ =
                write!(text, "\n| {} | {} | {} |\n| --- | --- | --- |\n{lines}", name(RUST), name(KOTLIN), name(SWIFT));
        }
        text.push_str("\n## Exceptions\n\n| name | why it is not in every language |\n| --- | --- |\n");
        for (names, reason) in EXCEPTIONS {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let _ = writeln!(text, "| {} | {reason} |", names.join(", "));
        }
        text
    }
}

/// The text before the tables.
const HEAD: &str = "# The same names in Rust, Kotlin and Swift

The public names of the three APIs, generated from the sources. `cargo test -p silhouette-rules --test api` fails if a name exists in one language but not in
the others, or if this page is out of date; with `SILHOUETTE_WRITE=1` it writes the page. What the names do is checked by one table of cases,
`core/segmenter/tests/api.tsv`, which the tests of each language run.

Conventions:

- Names follow the case conventions of each language: `frame_size`, `frameSize`; `Frame`, `FRAME`, `.frame`. Swift capitalises the acronym YUV.
- Errors are `Error` in Rust, `SilhouetteException` in Kotlin, `SilhouetteError` in Swift.
- A function that creates a value may be an unnamed constructor in Kotlin and Swift: `Model::open(path)` is `Model(contentsOf: url)` in Swift.
- Rust's functions that end in `_into` (they write into existing memory) are functions with an argument `into` in Kotlin and Swift.
- `segment` blocks in Rust. In Kotlin it suspends and in Swift it is `async`; there `segmentNow` blocks.
- Times are `Duration`s in Rust and Kotlin, and seconds in Swift. Timestamps in Kotlin are numbers of nanoseconds, and their names say so.
- Kotlin's conversions begin with `to`: `picture.toFrame()`.
- Functions that accept or return Android's or Apple's types (`Bitmap`, `Image`, `CVPixelBuffer`, `CGImage`) are not listed here; see the [Android](android.md) and [iOS](ios.md) guides.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(names: &[Name]) -> Vec<String> {
        names
            .iter()
            .map(|name| format!("{}.{}{}", name.owner, name.member, if name.constructs { "!" } else { "" }))
            .collect()
    }

    #[test]
    fn rust_is_read() {
        let source = "/// pub fn no\npub struct A {\n    pub x: u8,\n    y: u8,\n}\npub const MOST: u8 = 1;\npub enum B {\n    #[default]\n    One,\n    Two {\n        \
            a: u8,\n    },\n}\nimpl<'a> A {\n    pub fn new() -> Self {\n    }\n    pub fn of(\n        x: u8,\n    ) -> Result<Self> {\n    }\n    pub fn x(&self) -> u8 {\n    }\n    \
            fn y() {}\n}\nimpl Debug for A {\n    pub fn z() {}\n}\nstruct C;\n";
        let exported = rust_exports("pub use a::{A, B};\nuse c::C;\npub const MOST: u8 = 1;");
        let expected = ["A.", "A.x", "Silhouette.MOST", "B.", "B.One", "B.Two", "A.of!", "A.x"];
        assert_eq!(plain(&rust_names(source, &exported)), expected);
    }

    #[test]
    fn kotlin_is_read() {
        let source = "public data class A(\n    public val x: Int,\n) : B() {\n    /** public fun no() */\n    public fun y(a: Int): Int = 1\n    override fun close() {\n    }\n    \
            private val z = 1\n    internal fun w() = 1\n    public data class Inner(\n        public val deep: Int,\n    )\n    public companion object {\n        public const val ONE: Int = 1\n        \
            public fun make(): A = A(1)\n    }\n}\npublic enum class E {\n    /** One. */\n    FIRST,\n    SECOND_ONE,\n}\npublic fun Bitmap.toFrame(): Frame = 1\n\
            public fun Model.Companion.people(): Model = 1\ninternal class C {\n    public fun no() = 1\n}\n";
        let expected = [
            "A.",
            "A.x",
            "A.y",
            "A.close",
            "A.Inner",
            "A.ONE",
            "A.make!",
            "E.",
            "E.FIRST",
            "E.SECOND_ONE",
            "Model.people!",
        ];
        assert_eq!(plain(&kotlin_names(source)), expected);
    }

    #[test]
    fn swift_is_read() {
        let source = "public final class A: Sendable {\n    public enum Inner {\n        /// One.\n        case one\n        case two(Int)\n    }\n    public private(set) var x: Int\n    \
            let y: Int\n    public init(x: Int) {\n        let a = 1\n    }\n    public static func make() -> A {\n        switch x {\n        case .one: 1\n        }\n    }\n}\n\
            extension A {\n    public func z(to x: Int) {}\n    func w() {}\n}\npublic enum E {\n    case `internal`(Int)\n}\nstruct C {\n    public var no: Int\n}\n";
        let expected = ["A.", "Inner.", "Inner.one", "Inner.two", "A.x", "A.make!", "A.z", "E.", "E.internal"];
        assert_eq!(plain(&swift_names(source)), expected);
    }

    #[test]
    fn a_name_of_one_language_is_a_violation() {
        let mut table = Table::default();
        table.add(
            RUST,
            vec![Name::new("A", "frame_size", false), Name::new("A", "of", true), Name::new("A", "mask_into", false)],
        );
        table.add(
            KOTLIN,
            vec![Name::new("A", "frameSize", false), Name::new("A", "mask", false), Name::new("A", "atNanos", false)],
        );
        table.add(
            SWIFT,
            vec![Name::new("A", "frameSize", false), Name::new("A", "mask", false), Name::new("A", "at", false)],
        );
        assert_eq!(table.violations()[..1], ["A.atNanos, A.at is not in Rust"]);
    }
}
