//! What is scored: pictures with true labels, in PASCAL VOC's layout or as two plain folders.

use crate::failure::Failure;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A picture and its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// What it is called in the list and in reports.
    pub(crate) name: String,
    pub(crate) image: PathBuf,
    pub(crate) mask: PathBuf,
}

const PICTURES: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// `JPEGImages/NAME.jpg` and `SegmentationClass/NAME.png` for each name in a list (a path, or a file of VOC's folder).
///
/// # Errors
/// If the list cannot be read or names nothing.
pub(crate) fn voc(folder: &Path, list: &Path) -> Result<Vec<Item>, Failure> {
    let inside = [folder.join(list), folder.join("ImageSets/Segmentation").join(list)];
    let path = inside.iter().find(|path| path.is_file()).map_or(list, PathBuf::as_path);
    let text = std::fs::read_to_string(path).map_err(|error| Failure::new(path, error))?;
    let items: Vec<_> = text
        .split_whitespace()
        .map(|name| Item {
            name: name.to_owned(),
            image: folder.join("JPEGImages").join(format!("{name}.jpg")),
            mask: folder.join("SegmentationClass").join(format!("{name}.png")),
        })
        .collect();
    if items.is_empty() { Err(Failure::new(path, "the list names no picture")) } else { Ok(items) }
}

/// Every picture of a folder, in the order of their names; its labels are the PNG of the same name in `masks`.
///
/// # Errors
/// If the folder cannot be read or holds no picture.
pub(crate) fn folders(images: &Path, masks: &Path) -> Result<Vec<Item>, Failure> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(images).map_err(|error| Failure::new(images, error))? {
        let path = entry.map_err(|error| Failure::new(images, error))?.path();
        let kind = path.extension().map(|kind| kind.to_string_lossy().to_lowercase());
        let Some(stem) = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()) else { continue };
        if kind.is_some_and(|kind| PICTURES.contains(&kind.as_str()))
            && !(images == masks && path.extension().is_some_and(|kind| kind == "png"))
        {
            found.insert(stem, path);
        }
    }
    let items: Vec<_> =
        found.into_iter().map(|(name, image)| Item { mask: masks.join(format!("{name}.png")), name, image }).collect();
    if items.is_empty() { Err(Failure::new(images, "no JPEG, PNG or WebP in this folder")) } else { Ok(items) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("silhouette-dataset-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn vocs_layout() {
        let root = folder("voc");
        std::fs::write(root.join("val.txt"), "a\n b \n\n").unwrap();
        let items = voc(&root, Path::new("val.txt")).unwrap();
        assert_eq!(items.len(), 2);
        assert_eq!(items[1].image, root.join("JPEGImages/b.jpg"));
        assert_eq!(items[1].mask, root.join("SegmentationClass/b.png"));
        assert_eq!(voc(&root, &root.join("val.txt")).unwrap(), items, "a whole path to the list");
        std::fs::write(root.join("empty.txt"), "\n").unwrap();
        assert!(voc(&root, Path::new("empty.txt")).is_err());
        assert!(voc(&root, Path::new("missing.txt")).unwrap_err().to_string().contains("missing.txt"));
    }

    #[test]
    fn plain_folders_in_order_and_without_what_is_no_picture() {
        let (images, masks) = (folder("images"), folder("masks"));
        for name in ["b.JPG", "a.webp", "notes.txt", "c.png"] {
            std::fs::write(images.join(name), "").unwrap();
        }
        let names: Vec<_> = folders(&images, &masks).unwrap().into_iter().map(|item| item.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        // Pictures and masks side by side: the PNGs are masks.
        let names: Vec<_> = folders(&images, &images).unwrap().into_iter().map(|item| item.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(folders(&masks, &masks).unwrap_err().to_string().contains("no JPEG"));
    }
}
