//! What draws the viewer's window: only the viewer has an OpenGL context to ask, so that it leaves a note of it beside its
//! settings, for `sandglass-detect selftest` and bug reports.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The note's name in [`folder`](super::crash::folder).
const NAME: &str = "renderer.txt";
/// More than any driver says of itself.
const MOST_BYTES: u64 = 1000;

/// Leaves the note, such as `llvmpipe (LLVM 15.0.6, 256 bits), OpenGL 4.5 (Core Profile) Mesa 22.3.6`.
///
/// # Errors
/// Where the folder cannot be written to.
pub fn keep(folder: &Path, renderer: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(NAME), renderer)
}

/// What the viewer found when it opened its last window, in one line.
#[must_use]
pub fn last(folder: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(folder.join(NAME)).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next()?.replace(char::is_control, " ");
    (!line.trim().is_empty()).then(|| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("sandglass");
        assert_eq!(last(&inner), None);
        keep(&inner, "llvmpipe, OpenGL 4.5").unwrap();
        assert_eq!(last(&inner).as_deref(), Some("llvmpipe, OpenGL 4.5"));
        keep(&inner, &format!("a\u{1b}b{}\nmore", "x".repeat(5000))).unwrap();
        let line = last(&inner).unwrap();
        assert!(line.starts_with("a bx") && line.len() <= 1000);
        keep(&inner, " \n").unwrap();
        assert_eq!(last(&inner), None);
    }
}
