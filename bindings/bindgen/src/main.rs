//! Generates the Kotlin and Swift halves of `silhouette-ffi` from its built library.
//!
//! `silhouette-bindgen LIBRARY CONFIG OUT` writes `OUT/kotlin` and `OUT/swift`. The Kotlin is made internal to its
//! module: apps see only the hand-written API, which the compiler enforces.
#![forbid(unsafe_code)]

use camino::{Utf8Path, Utf8PathBuf};
use std::error::Error;
use uniffi::{GenerateOptions, TargetLanguage, generate};

/// Beginnings of lines that declare something at a Kotlin file's top level.
const DECLARATIONS: &[&str] = &[
    "abstract class ",
    "class ",
    "const val ",
    "data class ",
    "enum class ",
    "fun ",
    "fun interface ",
    "inline fun ",
    "interface ",
    "object ",
    "open class ",
    "sealed class ",
    "suspend fun ",
    "typealias ",
    "val ",
    "var ",
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<Utf8PathBuf> = std::env::args().skip(1).map(Utf8PathBuf::from).collect();
    let [library, config, out] = &arguments[..] else {
        return Err("usage: silhouette-bindgen LIBRARY CONFIG OUT".into());
    };
    for (language, folder) in [(TargetLanguage::Kotlin, "kotlin"), (TargetLanguage::Swift, "swift")] {
        generate(GenerateOptions {
            languages: vec![language],
            source: library.clone(),
            out_dir: out.join(folder),
            config_override: Some(config.clone()),
            format: false,
            crate_filter: None,
            metadata_no_deps: true,
        })?;
    }
    for file in files(&out.join("kotlin"))? {
        let text = std::fs::read_to_string(&file)?;
        std::fs::write(&file, internal(&text))?;
    }
    for file in files(out)? {
        let text = std::fs::read_to_string(&file)?;
        std::fs::write(&file, tidy(&text))?;
    }
    Ok(())
}

/// All files in a folder, recursively.
fn files(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(entry.path())?);
        } else {
            found.push(entry.path().to_owned());
        }
    }
    Ok(found)
}

/// Makes the declarations of a generated Kotlin file internal.
fn internal(source: &str) -> String {
    let line = |line: &str| {
        let declared = line.strip_prefix("public ").unwrap_or(line);
        let declares = DECLARATIONS.iter().any(|start| declared.starts_with(start));
        if declares { format!("internal {declared}\n") } else { format!("{line}\n") }
    };
    // A documented top-level function follows its comment on the same line; nothing else does.
    source.lines().map(line).collect::<String>().replace("         */ fun `", "         */ internal fun `")
}

/// Removes trailing blanks, and leaves one line break at the end.
fn tidy(source: &str) -> String {
    let text: Vec<&str> = source.lines().map(str::trim_end).collect();
    format!("{}\n", text.join("\n").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_at_the_top_level_becomes_internal() {
        let source = "public interface A {\n    fun f()\n}\nopen class B: A\nprivate fun c() {}\ninternal val d = 1\n         */ fun `e`()\n";
        let expected = "internal interface A {\n    fun f()\n}\ninternal open class B: A\nprivate fun c() {}\ninternal val d = 1\n         */ internal fun `e`()\n";
        assert_eq!(internal(source), expected);
    }

    #[test]
    fn lines_end_without_blanks() {
        assert_eq!(tidy("a  \n\n\tb\t\n\n\n"), "a\n\n\tb\n");
    }
}
