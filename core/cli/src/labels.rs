//! Labels of classes: a file in one of the common formats, or the name of a well-known set.

mod sets;

use crate::failure::Failure;
use serde_json::Value;
use silhouette_files::{OpenError, read_text};
use std::collections::BTreeMap;
use std::path::Path;

/// Maximum length of a label file: ten thousand classes with long names.
const LONGEST: u64 = 1 << 20;

/// One label per class.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) names: Vec<String>,
    /// Whether this is a set whose networks may have a background class in front.
    pub(crate) optional_background: bool,
}

/// Reads a file, or finds the set with this name if there is no such file.
///
/// # Errors
/// If a file cannot be read or has another format, or the name is neither a file nor a set.
pub(crate) fn read(path: &Path) -> Result<Labels, Failure> {
    let set = path.to_str().and_then(sets::named);
    if let Some(names) = set.filter(|_| !path.exists()) {
        let optional_background = names[0] != "background";
        return Ok(Labels { names: names.iter().map(|&name| name.to_owned()).collect(), optional_background });
    }
    let text = read_text(path, LONGEST).map_err(|error| match error {
        OpenError::TooLarge { .. } => Failure::new(path, "too long for a label file: over 1 MiB"),
        OpenError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => Failure::new(
            path,
            format!(
                "there is no such file, and no set of labels with this name; the sets are {}",
                sets::NAMES.join(", ")
            ),
        ),
        error => Failure::new(path, format!("cannot be read: {error}")),
    })?;
    let names = parse(&text).map_err(|text| Failure::new(path, text))?;
    Ok(Labels { names, optional_background: false })
}

/// Parses the labels of a text: one per line; a number and a label per line; JSON, as a list, as an object of numbers,
/// or as one with such an object called `id2label`. Byte order marks and line endings of any system are not part of a
/// label.
fn parse(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim_start_matches('\u{feff}').trim_end();
    if text.starts_with(['{', '[']) {
        let value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        return json(value);
    }
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    // If every line begins with a number, the number is the class.
    let numbered: Option<Vec<_>> =
        lines.iter().filter(|line| !line.is_empty()).map(|line| number_and_label(line)).collect();
    match numbered {
        Some(numbered) if !numbered.is_empty() => in_order(numbered),
        _ => Ok(lines.into_iter().map(str::to_owned).collect()),
    }
}

/// `3 cat`, `3: cat`, `3,cat`, `3<tab>cat`.
fn number_and_label(line: &str) -> Option<(usize, String)> {
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = line.split_at(digits);
    let label = rest.trim_start_matches([' ', '\t', ':', ',', ';', '=']);
    if label.is_empty() || label.len() == rest.len() {
        return None;
    }
    Some((number.parse().ok()?, label.trim_matches('"').to_owned()))
}

fn json(value: Value) -> Result<Vec<String>, String> {
    let text = |value: Value, of: &dyn std::fmt::Display| match value {
        Value::String(text) => Ok(text),
        _ => Err(format!("the label of class {of} is not a string")),
    };
    match value {
        Value::Array(labels) => labels.into_iter().enumerate().map(|(class, label)| text(label, &class)).collect(),
        Value::Object(mut object) => {
            if let Some(labels) = object.remove("id2label") {
                return json(labels);
            }
            let numbered = object.into_iter().map(|(class, label)| match class.parse() {
                Ok(number) => Ok((number, text(label, &class)?)),
                Err(_) => Err(format!("'{class}' is not a class number, and there is no \"id2label\"")),
            });
            in_order(numbered.collect::<Result<_, _>>()?)
        }
        _ => Err("neither a list of labels nor an object of numbers and labels".into()),
    }
}

/// The labels in the order of their classes, none of which is missing.
fn in_order(numbered: Vec<(usize, String)>) -> Result<Vec<String>, String> {
    let mut classes = BTreeMap::new();
    for (class, label) in numbered {
        if let Some(other) = classes.insert(class, label) {
            return Err(format!("class {class} has two labels, '{other}' and '{}'", classes[&class]));
        }
    }
    if let Some((expected, (class, label))) =
        classes.iter().enumerate().find(|(expected, (class, _))| expected != *class)
    {
        return Err(format!(
            "class {expected} has no label (the next is {class}, '{label}'); classes are numbered from 0"
        ));
    }
    Ok(classes.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_shape_says_the_same() {
        let expected = ["background", "traffic light", "cat"].map(String::from);
        for text in [
            "background\ntraffic light\ncat\n",
            "\u{feff}background\r\ntraffic light\r\ncat\r\n\r\n",
            "0 background\n1 traffic light\n2 cat",
            "0: background\n2: cat\n1: traffic light\n",
            "0,background\n1,traffic light\n\n2,cat\n",
            "0\tbackground\n1\ttraffic light\n2\tcat\n",
            r#"["background", "traffic light", "cat"]"#,
            r#"{"1": "traffic light", "0": "background", "2": "cat"}"#,
            r#"{"model_type": "x", "id2label": {"0": "background", "1": "traffic light", "2": "cat"}}"#,
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        // Labels that begin with a digit, next to one that does not.
        assert_eq!(parse("background\n3 wheeler\n").unwrap(), ["background", "3 wheeler"]);
        assert_eq!(
            parse("0 background\n10 x\n1 y\n2 z").unwrap_err(),
            "class 3 has no label (the next is 10, 'x'); classes are numbered from 0"
        );
    }

    #[test]
    fn what_is_missing_or_said_twice_is_named() {
        for (text, part) in [
            ("1 aeroplane\n2 bicycle", "class 0 has no label"),
            ("0 a\n0 b", "class 0 has two labels, 'a' and 'b'"),
            (r#"{"0": "a", "x": "b"}"#, "'x' is not a class number"),
            (r#"{"0": 1}"#, "class 0 is not a string"),
            (r#"["a", 1]"#, "class 1 is not a string"),
            (r#"{"id2label": 3}"#, "neither a list"),
            ("[1", "not JSON"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn sets_by_name_and_files_before_them() {
        for (name, labels, first) in [
            ("voc", 21, "background"),
            ("ade20k", 150, "wall"),
            ("cityscapes", 19, "road"),
            ("coco", 80, "person"),
            ("person", 2, "background"),
        ] {
            let set = read(Path::new(name)).unwrap();
            assert_eq!((set.names.len(), set.names[0].as_str()), (labels, first), "{name}");
            assert_eq!(set.optional_background, first != "background", "{name}");
            let different: std::collections::HashSet<_> = set.names.iter().collect();
            assert_eq!(different.len(), labels, "{name}");
        }
        assert_eq!(sets::NAMES.len(), 5);
        let error = read(Path::new("vok")).unwrap_err().to_string();
        assert!(error.contains("vok") && error.contains("voc, ade20k"), "{error}");
        let folder = silhouette_testkit::Folder::new();
        let file = folder.write("voc", "one\ntwo\n");
        assert_eq!(read(&file).unwrap().names, ["one", "two"]);
    }
}
