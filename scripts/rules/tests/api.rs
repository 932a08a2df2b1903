//! The public names of the three languages, and their table in docs/api.md.

use silhouette_rules::api::Table;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn a_public_name_is_in_every_language() {
    let violations = Table::of_workspace(root()).violations();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn the_table_is_up_to_date() {
    let path = root().join("docs/api.md");
    let text = Table::of_workspace(root()).markdown();
    if std::env::var_os("SILHOUETTE_WRITE").is_some() {
        std::fs::write(&path, &text).expect("docs/api.md can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "docs/api.md is out of date: run this test with SILHOUETTE_WRITE=1");
}
