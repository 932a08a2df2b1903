//! A folder that only this process's user can write to.

use std::fs::{self, DirBuilder};
use std::path::Path;

use crate::open::OpenError;

/// Creates the folder if necessary, for this process's user only. Rejects one that another user owns (except the
/// system), or that is world-writable: its contents could be replaced at any time. Systems without such owners reject
/// nothing.
///
/// # Errors
/// [`OpenError`].
pub fn own_folder(path: &Path) -> Result<(), OpenError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)?;
    check_folder(path)
}

/// The checks of [`own_folder`] on an existing folder.
///
/// # Errors
/// [`OpenError`].
#[cfg(unix)]
pub fn check_folder(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::MetadataExt as _;
    let about = fs::metadata(path)?;
    if about.uid() != 0 && about.uid() != rustix::process::geteuid().as_raw() {
        return Err(OpenError::NotOurs("another user owns the folder"));
    }
    if about.mode() & 0o002 != 0 {
        return Err(OpenError::NotOurs("every user may write to the folder"));
    }
    Ok(())
}

/// The checks of [`own_folder`] on an existing folder.
///
/// # Errors
/// [`OpenError`].
#[cfg(not(unix))]
pub fn check_folder(path: &Path) -> Result<(), OpenError> {
    Ok(fs::metadata(path).map(drop)?)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_new_folder_is_ours_alone_and_one_for_all_is_refused() {
        let folder = Folder::new();
        let path = folder.path("a").join("b");
        own_folder(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(own_folder(&path).unwrap_err().to_string().contains("every user"));
        assert!(check_folder(&folder.path("none")).is_err());
        assert!(own_folder(&folder.write("file", "")).is_err());
    }
}
