//! The data set to score: images with ground truth, in PASCAL VOC's layout or as two plain folders.

use crate::args;
use crate::failure::Failure;
use crate::names::with_numbers;
use silhouette_files::read_text;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization as _;

/// An image and its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its name in the list and in reports.
    pub(crate) name: String,
    pub(crate) image: PathBuf,
    pub(crate) mask: PathBuf,
}

/// Maximum length of a list of names.
const LONGEST_LIST: u64 = 1 << 24;

/// More images than any list of one folder has.
const MOST_PICTURES: usize = 1 << 18;

const PICTURES: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// The images and masks that the command line names.
///
/// # Errors
/// As [`voc`] and [`folders`].
pub(super) fn named(args: &args::Eval) -> Result<Vec<Item>, Failure> {
    match (&args.voc, &args.images, &args.masks) {
        (Some(folder), None, None) => voc(folder, &args.list),
        (None, Some(images), Some(masks)) => folders(images, masks),
        _ => Err(Failure::general("pass --voc DIR, or --images DIR with --masks DIR")),
    }
}

/// The path of a list of names: as passed, or inside VOC's folder.
pub(crate) fn list(folder: &Path, list: &Path) -> PathBuf {
    let inside = [folder.join(list), folder.join("ImageSets/Segmentation").join(list)];
    inside.into_iter().find(|path| path.exists()).unwrap_or_else(|| list.to_owned())
}

/// `JPEGImages/NAME.jpg` and `SegmentationClass/NAME.png` for each name in a list, found by [`list`].
///
/// # Errors
/// If the list cannot be read, is empty, or has a name twice, or one of the two folders is missing.
pub(crate) fn voc(folder: &Path, names: &Path) -> Result<Vec<Item>, Failure> {
    let path = &list(folder, names);
    let text = read_text(path, LONGEST_LIST).map_err(|error| Failure::new(path, error))?;
    if text.split_whitespace().nth(MOST_PICTURES).is_some() {
        return Err(Failure::new(path, format!("the list names more than {MOST_PICTURES} images")));
    }
    let mut seen = HashSet::new();
    if let Some(twice) = text.split_whitespace().find(|name| !seen.insert(*name)) {
        return Err(Failure::new(path, format!("the list names '{twice}' twice")));
    }
    for inside in ["JPEGImages", "SegmentationClass"] {
        folder_is_there(&folder.join(inside))?;
    }
    let items: Vec<_> = text
        .split_whitespace()
        .map(|name| Item {
            name: name.to_owned(),
            image: folder.join("JPEGImages").join(format!("{name}.jpg")),
            mask: folder.join("SegmentationClass").join(format!("{name}.png")),
        })
        .collect();
    if items.is_empty() { Err(Failure::new(path, "the list is empty")) } else { Ok(items) }
}

/// Otherwise every image would be skipped individually.
fn folder_is_there(folder: &Path) -> Result<(), Failure> {
    if folder.is_dir() { Ok(()) } else { Err(Failure::new(folder, "there is no such folder")) }
}

/// The images in a folder by name: the name as its file system writes it, and the file. With `masks_too`, its PNGs are masks.
///
/// # Errors
/// If the folder cannot be read, has no images, or two with one name.
fn pictures(images: &Path, masks_too: bool) -> Result<BTreeMap<String, (String, PathBuf)>, Failure> {
    let mut found: BTreeMap<String, (String, PathBuf)> = BTreeMap::new();
    for entry in std::fs::read_dir(images).map_err(|error| Failure::new(images, error))? {
        let path = entry.map_err(|error| Failure::new(images, error))?.path();
        let kind = path.extension().map(|kind| kind.to_string_lossy().to_lowercase());
        let Some(stem) = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()) else { continue };
        if kind.is_some_and(|kind| PICTURES.contains(&kind.as_str()))
            && !(masks_too && path.extension().is_some_and(|kind| kind == "png"))
        {
            if found.len() == MOST_PICTURES {
                return Err(Failure::new(images, format!("there are more than {MOST_PICTURES} images")));
            }
            // By a name that does not depend on the encoding of accents: masks may come from another system.
            let name: String = stem.nfc().collect();
            if let Some((_, other)) = found.insert(name, (stem, path.clone())) {
                let text =
                    format!("{} and {} have the same name, and so the same mask", other.display(), path.display());
                return Err(Failure::new(images, text));
            }
        }
    }
    if found.is_empty() { Err(Failure::new(images, "no JPEG, PNG or WebP in this folder")) } else { Ok(found) }
}

/// Every image in a folder, without masks, in the order of their names; numbers in names count as numbers.
///
/// # Errors
/// As [`folders`].
pub(super) fn unlabelled(images: &Path) -> Result<Vec<Item>, Failure> {
    let found = pictures(images, false)?;
    let mut items: Vec<_> =
        found.into_iter().map(|(name, (_, image))| Item { name, mask: image.clone(), image }).collect();
    items.sort_by_cached_key(|item| with_numbers(&item.name));
    Ok(items)
}

/// Every image in a folder, sorted by name; its labels are the PNG with the same name in `masks`.
///
/// # Errors
/// If a folder cannot be read or does not exist, has no images, or two with one name.
pub(crate) fn folders(images: &Path, masks: &Path) -> Result<Vec<Item>, Failure> {
    folder_is_there(masks)?;
    let found = pictures(images, images == masks)?;
    Ok(found
        .into_iter()
        .map(|(name, (stem, image))| {
            let plain = masks.join(format!("{stem}.png"));
            let others = || [name.clone(), stem.nfd().collect()].map(|name| masks.join(format!("{name}.png")));
            let mask = if plain.exists() { None } else { others().into_iter().find(|mask| mask.exists()) };
            Item { name, image, mask: mask.unwrap_or(plain) }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;

    #[test]
    fn vocs_layout() {
        let folder = Folder::new();
        let root = folder.root();
        folder.write("val.txt", "a\n b \n\n");
        std::fs::create_dir(root.join("JPEGImages")).unwrap();
        assert!(voc(root, Path::new("val.txt")).unwrap_err().to_string().contains("SegmentationClass"));
        std::fs::create_dir(root.join("SegmentationClass")).unwrap();
        let items = voc(root, Path::new("val.txt")).unwrap();
        assert_eq!(items.len(), 2);
        assert_eq!(items[1].image, root.join("JPEGImages/b.jpg"));
        assert_eq!(items[1].mask, root.join("SegmentationClass/b.png"));
        assert_eq!(voc(root, &root.join("val.txt")).unwrap(), items, "a whole path to the list");
        folder.write("empty.txt", "\n");
        assert!(voc(root, Path::new("empty.txt")).is_err());
        assert!(voc(root, Path::new("missing.txt")).unwrap_err().to_string().contains("missing.txt"));
    }

    #[test]
    fn plain_folders_in_order_and_without_what_is_no_picture() {
        let images = Folder::new();
        let masks = Folder::new();
        for name in ["b.JPG", "a.webp", "notes.txt", "c.png"] {
            images.write(name, "");
        }
        let names: Vec<_> = folders(images.root(), masks.root()).unwrap().into_iter().map(|item| item.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        // Images and masks side by side: the PNGs are masks.
        let names: Vec<_> = folders(images.root(), images.root()).unwrap().into_iter().map(|item| item.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(folders(masks.root(), masks.root()).unwrap_err().to_string().contains("no JPEG"));
        let absent = masks.path("absent");
        assert!(folders(images.root(), &absent).unwrap_err().to_string().contains("no such folder"));
    }

    #[test]
    fn frames_come_in_the_order_of_their_numbers() {
        let folder = Folder::new();
        for name in ["f10.png", "f2.jpg", "f1.png", "f02b.png", "end.png"] {
            folder.write(name, "");
        }
        let names: Vec<_> = unlabelled(folder.root()).unwrap().into_iter().map(|item| item.name).collect();
        assert_eq!(names, ["end", "f1", "f2", "f02b", "f10"]);
    }

    #[test]
    fn names_are_the_same_whichever_way_their_accents_are_written() {
        let folder = Folder::new();
        let images = folder.path("images");
        let masks = folder.path("masks");
        for path in [&images, &masks] {
            std::fs::create_dir(path).unwrap();
        }
        folder.write("images/cafe\u{301}.jpg", "");
        folder.write("masks/caf\u{e9}.png", "");
        folder.write("images/e\u{301}te\u{301}.jpg", "");
        folder.write("masks/e\u{301}te\u{301}.png", "");
        let items = folders(&images, &masks).unwrap();
        assert!(items.iter().all(|item| item.mask.exists()), "{items:?}");
        // Two images with one name have one mask.
        folder.write("images/caf\u{e9}.png", "");
        assert!(folders(&images, &masks).unwrap_err().to_string().contains("the same name"));
    }

    #[test]
    fn a_list_names_a_picture_once() {
        let folder = Folder::new();
        folder.write("val.txt", "a\nb\na\n");
        assert!(voc(folder.root(), Path::new("val.txt")).unwrap_err().to_string().contains("'a' twice"));
        // Counted before anything is made of them.
        folder.write("long.txt", "a ".repeat(MOST_PICTURES + 1));
        let error = voc(folder.root(), Path::new("long.txt")).unwrap_err().to_string();
        assert!(error.contains("more than 262144 images"), "{error}");
    }
}
