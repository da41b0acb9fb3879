//! Names for new files.

use std::path::{Path, PathBuf};

/// A name that is free, such as `sandglass-2026-01-31-235959.mp4`, in a folder that is made where it is
/// missing.
pub(super) fn new_name(folder: &Path, extension: &str) -> Result<PathBuf, String> {
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("{} could not be made: {error}", folder.display()))?;
    let now = jiff::ZonedDateTime::now().strftime("%Y-%m-%d-%H%M%S").to_string();
    // Two in a second are told apart by a number.
    let names = std::iter::once(String::new()).chain((2..100).map(|n| format!("-{n}")));
    let mut paths = names.map(|suffix| folder.join(format!("sandglass-{now}{suffix}.{extension}")));
    paths.find(|path| !path.exists()).ok_or_else(|| format!("{}: no free name", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_new_and_folders_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        let first = new_name(&inner, "png").unwrap();
        std::fs::write(&first, "x").unwrap();
        assert_ne!(new_name(&inner, "png").unwrap(), first);
        // A file in place of the folder.
        assert!(new_name(&first, "png").unwrap_err().contains("could not be made"));
    }
}
