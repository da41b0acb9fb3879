//! Reading a VOC tree: `ImageSets/Main/SPLIT.txt`, `Annotations/ID.xml`, `JPEGImages/ID.jpg`.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::{Dataset, annotation};
use crate::error::Error;
use crate::names::check_file_name;

/// The twenty classes of VOC2007 and VOC2012, in alphabetical order.
pub const VOC_CLASSES: [&str; 20] = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];

/// The largest annotation file that is read, in bytes; VOC's have a few thousand.
const MAX_ANNOTATION: u64 = 64 << 20;

impl Dataset {
    /// Reads the split `split` (`test`, `trainval` …) of the VOC tree at `root`, the folder that
    /// holds `ImageSets`, `Annotations` and `JPEGImages`.
    ///
    /// The list has one image a line; a second column of -1, 0 or 1, as in VOC's lists of one class,
    /// is skipped. Classes are whatever the annotations name. As in the devkit an object is a direct
    /// `<object>` child of `<annotation>`, and `difficult` where that element reads exactly `1`.
    /// Pictures are not opened, see [`Dataset::picture`].
    ///
    /// # Errors
    /// [`Error::Io`] where a file is absent or unreadable, [`Error::Line`] for a bad line of the list,
    /// [`Error::Annotation`] and [`Error::Object`] for an annotation file, [`Error::Name`] for a split
    /// that is no plain name.
    pub fn voc(root: &Path, split: &str) -> Result<Self, Error> {
        check_file_name("the split", split)?;
        let list = root.join("ImageSets").join("Main").join(format!("{split}.txt"));
        let ids = fs::read_to_string(&list).map_err(|source| Error::Io { path: list.clone(), source })?;
        let annotations = root.join("Annotations");
        let mut set = Self { picture_folder: Some(root.join("JPEGImages")), ..Self::default() };
        for (number, line) in ids.trim_start_matches('\u{feff}').lines().enumerate() {
            let wrong = |reason| Error::Line { path: list.clone(), line: number + 1, reason };
            let mut words = line.split_whitespace();
            let Some(id) = words.next() else { continue };
            if !matches!((words.next(), words.next()), (None | Some("-1" | "0" | "1"), None)) {
                return Err(wrong(format!("expected the name of one image, found {line:?}")));
            }
            check_file_name("image", id).map_err(|e| wrong(e.to_string()))?;
            if set.image_index(id).is_some() {
                return Err(wrong(format!("image {id:?} is listed a second time")));
            }
            set.add_annotated(id, &annotations.join(format!("{id}.xml")))?;
        }
        Ok(set)
    }

    fn add_annotated(&mut self, id: &str, path: &Path) -> Result<(), Error> {
        let text = read_annotation(path)?;
        let objects = annotation::parse(&text).map_err(|problem| match problem.object {
            None => Error::Annotation { path: path.to_owned(), reason: problem.reason },
            Some((object, class)) => {
                Error::Object { path: path.to_owned(), object, class, reason: problem.reason }
            }
        })?;
        self.add_image(id, objects.iter().map(|o| (o.class.as_str(), o.difficult, o.bounds)))
    }
}

/// The text of an annotation file. Bounded, so that a device file or a wrong path cannot fill the memory.
fn read_annotation(path: &Path) -> Result<String, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut text = String::new();
    File::open(path).map_err(io)?.take(MAX_ANNOTATION + 1).read_to_string(&mut text).map_err(io)?;
    if text.len() as u64 > MAX_ANNOTATION {
        let reason = format!("an annotation may have {} MiB at most", MAX_ANNOTATION >> 20);
        return Err(Error::Annotation { path: path.to_owned(), reason });
    }
    Ok(text)
}
