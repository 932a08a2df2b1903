//! Detects outputs that are also inputs, before anything is read or written.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use crate::whole::folder_of;

/// An output file that is also an input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("output {} and input {} are the same file; choose another output", output.display(), input.display())]
pub struct IsInput {
    /// The path that is written to.
    pub output: PathBuf,
    /// The path that is read.
    pub input: PathBuf,
}

/// Fails if one of `outputs` is the same file as one of `inputs`, through any links and names.
///
/// # Errors
/// [`IsInput`] with the first such pair.
pub fn refuse_inputs<O: AsRef<Path>, I: AsRef<Path>>(
    outputs: impl IntoIterator<Item = O>,
    inputs: impl IntoIterator<Item = I>,
) -> Result<(), IsInput> {
    let mut by_file: HashMap<Same, I> = HashMap::new();
    for input in inputs {
        if let Some(same) = Same::of(input.as_ref()) {
            by_file.entry(same).or_insert(input);
        }
    }
    for output in outputs {
        let output = output.as_ref();
        let Some(same) = Same::of(output) else { continue };
        if let Some(input) = by_file.get(&same) {
            return Err(IsInput { output: output.to_owned(), input: input.as_ref().to_owned() });
        }
    }
    Ok(())
}

/// Equal for two names of one file.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Same {
    /// An existing file.
    File(Id),
    /// A file that does not exist yet: its folder, and its name.
    New(Id, OsString),
}

impl Same {
    /// `None` if it is not a regular file (writing to it replaces nothing), or cannot be inspected.
    fn of(path: &Path) -> Option<Self> {
        if let Ok(about) = fs::metadata(path) {
            return about.is_file().then(|| Self::File(id(path, &about)));
        }
        // A dangling link: its target is what would be written.
        let mut path = path.to_owned();
        for _ in 0..40 {
            let Ok(to) = fs::read_link(&path) else { break };
            path = path.parent().unwrap_or(Path::new("")).join(to);
        }
        let folder = folder_of(&path);
        let about = fs::metadata(folder).ok()?;
        Some(Self::New(id(folder, &about), path.file_name()?.to_owned()))
    }
}

#[cfg(unix)]
pub(crate) type Id = (u64, u64);

#[cfg(unix)]
pub(crate) fn id(_: &Path, about: &Metadata) -> Id {
    use std::os::unix::fs::MetadataExt as _;
    (about.dev(), about.ino())
}

#[cfg(not(unix))]
pub(crate) type Id = Option<PathBuf>;

#[cfg(not(unix))]
pub(crate) fn id(path: &Path, _: &Metadata) -> Id {
    path.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;

    #[test]
    fn the_same_file_by_any_name() {
        let folder = Folder::new();
        let file = folder.write("file", "1");
        fs::create_dir(folder.path("inner")).unwrap();
        fs::hard_link(&file, folder.path("hard")).unwrap();
        let mut names = vec![file.clone(), folder.path("inner/../file"), folder.path("./file"), folder.path("hard")];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("file", folder.path("soft")).unwrap();
            std::os::unix::fs::symlink(".", folder.path("here")).unwrap();
            names.extend([folder.path("soft"), folder.path("here/file")]);
        }
        for name in names {
            let error = refuse_inputs([&name], [&folder.path("none"), &file]).unwrap_err();
            assert_eq!((&error.output, &error.input), (&name, &file));
        }
        let other = folder.write("other", "1");
        assert_eq!(refuse_inputs([&other, &folder.path("new")], [&file, folder.root(), &folder.path("none")]), Ok(()));
    }

    #[test]
    fn files_that_are_not_there_yet() {
        let folder = Folder::new();
        fs::create_dir(folder.path("inner")).unwrap();
        assert!(refuse_inputs([folder.path("new")], [folder.path("inner/../new")]).is_err());
        assert!(refuse_inputs([folder.path("new")], [folder.path("inner/new")]).is_ok());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("inner/new", folder.path("link")).unwrap();
            assert!(refuse_inputs([folder.path("link")], [folder.path("inner/new")]).is_err());
        }
    }
}
