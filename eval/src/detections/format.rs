//! Which kind of detections a path holds, told by what is in it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Detections;
use crate::error::Error;
use crate::skipped::Skipped;

/// How detections are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A folder with one text file a class.
    DevkitFolder,
    /// The text file of one class.
    DevkitFile,
    /// Our own JSON lines.
    JsonLines,
    /// COCO results: a JSON array of objects with `image_id`.
    CocoResults,
}

impl Format {
    /// The kind of a path: a folder is the devkit's; of a file, the first character that is no space
    /// decides, `[` for COCO results, `{` for JSON lines, anything else for a devkit file. A file
    /// without any is told by its ending.
    ///
    /// # Errors
    /// [`Error::Io`] where the path cannot be read.
    pub fn of(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            return Ok(Self::DevkitFolder);
        }
        let mut head = Vec::new();
        let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut head));
        read.map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
        Ok(match text.first() {
            Some(b'[') => Self::CocoResults,
            Some(b'{') => Self::JsonLines,
            None if path.extension().is_some_and(|end| end == "jsonl") => Self::JsonLines,
            _ => Self::DevkitFile,
        })
    }
}

impl Detections {
    /// Reads a folder or file of detections of a split, told by [`Format::of`]. Odd ones are dealt
    /// with as `skipped` says.
    ///
    /// # Errors
    /// Those of [`Detections::read_devkit`] and [`Detections::read_jsonl`]; [`Error::Folder`] for COCO
    /// results, which need the ground truth's image numbers to be read.
    pub fn read(path: &Path, split: &str, skipped: &mut Skipped) -> Result<Self, Error> {
        match Format::of(path)? {
            Format::DevkitFolder => Self::read_devkit_with(path, split, skipped),
            Format::DevkitFile => Self::read_devkit_file(path, split, skipped),
            Format::JsonLines => Self::read_jsonl_with(path, skipped),
            Format::CocoResults => {
                let reason = "COCO results can be scored only against COCO ground truth".into();
                Err(Error::Folder { path: path.to_owned(), reason })
            }
        }
    }
}
