//! Every file below a folder.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::inputs::{Id, id};

/// The most entries of folders that are looked at.
const MOST: usize = 1 << 20;

/// What is below a folder.
#[derive(Debug, Default)]
pub struct Walk {
    /// Regular files, relative to the folder, in the order of their names, folder by folder.
    pub files: Vec<PathBuf>,
    /// How many entries are neither files nor folders: pipes, devices, links to nothing.
    pub others: usize,
    /// Folders and entries that could not be read, relative to the folder.
    pub unread: Vec<(PathBuf, io::Error)>,
}

/// Lists the files below a folder. Links are followed; no folder is visited twice, so circles of links end. The folders `without` and what is
/// below them are left out.
///
/// # Errors
/// The system's, if the folder itself cannot be read, or has more than a million entries.
pub fn walk(root: &Path, without: &[&Path]) -> io::Result<Walk> {
    walk_up_to(root, without, MOST)
}

fn walk_up_to(root: &Path, without: &[&Path], most: usize) -> io::Result<Walk> {
    let identity = |path: &Path| fs::metadata(path).ok().map(|about| id(path, &about));
    let mut visited: HashSet<Id> = without.iter().filter_map(|path| identity(path)).collect();
    let mut found = Walk::default();
    let mut looked_at = 0;
    // Folders to visit, the next one last.
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let whole = root.join(&folder);
        let is_root = folder.as_os_str().is_empty();
        let entries = match list(&whole, &mut visited) {
            Ok(entries) => entries,
            Err(error) if is_root => return Err(error),
            Err(error) => {
                found.unread.push((folder, error));
                continue;
            }
        };
        looked_at += entries.len();
        if looked_at > most {
            return Err(io::Error::other(format!("there are more than {most} entries in it and the folders below")));
        }
        let mut below = Vec::new();
        for path in entries {
            let relative = folder.join(path.file_name().unwrap_or_default());
            match fs::metadata(&path) {
                Ok(about) if about.is_dir() => below.push(relative),
                Ok(about) if about.is_file() => found.files.push(relative),
                Ok(_) => found.others += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => found.others += 1,
                Err(error) => found.unread.push((relative, error)),
            }
        }
        folders.extend(below.into_iter().rev());
    }
    Ok(found)
}

/// The entries of a folder, by name; none if it was visited.
fn list(folder: &Path, visited: &mut HashSet<Id>) -> io::Result<Vec<PathBuf>> {
    let about = fs::metadata(folder)?;
    if !visited.insert(id(folder, &about)) {
        return Ok(Vec::new());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        entries.push(entry?.path());
    }
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;

    fn tree() -> Folder {
        let place = Folder::new();
        for folder in ["b/deep", "a", "out/old"] {
            fs::create_dir_all(place.path(folder)).unwrap();
        }
        for file in ["z.png", "a/1.png", "b/2.png", "b/deep/3.png", "out/made.png", "out/old/made.png"] {
            place.write(file, file);
        }
        place
    }

    fn names(walk: &Walk) -> Vec<String> {
        walk.files.iter().map(|path| path.to_string_lossy().replace('\\', "/")).collect()
    }

    #[test]
    fn files_come_folder_by_folder_without_those_left_out() {
        let place = tree();
        let all = walk(place.root(), &[]).unwrap();
        let expected = ["z.png", "a/1.png", "b/2.png", "b/deep/3.png", "out/made.png", "out/old/made.png"];
        assert_eq!((names(&all), all.others), (expected.map(str::to_owned).to_vec(), 0));
        let without = walk(place.root(), &[&place.path("b/../out"), &place.path("none")]).unwrap();
        assert_eq!(names(&without), expected[..4]);
        assert!(walk(&place.path("none"), &[]).is_err() && walk(&place.path("z.png"), &[]).is_err());
        let error = walk_up_to(place.root(), &[], 5).unwrap_err();
        assert!(error.to_string().contains("more than 5 entries"));
    }

    #[cfg(unix)]
    #[test]
    fn circles_of_links_end() {
        use std::os::unix::fs::symlink;
        let place = tree();
        symlink("..", place.path("b/deep/up")).unwrap();
        symlink(".", place.path("b/here")).unwrap();
        symlink("nothing", place.path("a/dangling")).unwrap();
        symlink("self", place.path("self")).unwrap();
        symlink("../z.png", place.path("a/link.png")).unwrap();
        silhouette_testkit::pipe(&place.path("a/pipe"));
        let found = walk(place.root(), &[]).unwrap();
        let expected =
            ["z.png", "a/1.png", "a/link.png", "b/2.png", "b/deep/3.png", "out/made.png", "out/old/made.png"];
        assert_eq!((names(&found), found.others), (expected.map(str::to_owned).to_vec(), 2));
        assert_eq!(found.unread.len(), 1, "{:?}", found.unread);
    }
}
