//! Reading a VOC tree: `ImageSets/Main/SPLIT.txt`, `Annotations/ID.xml`, `JPEGImages/ID.jpg`.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::annotation::{self, Annotated};
use super::{Dataset, unusable};
use crate::error::Error;
use crate::names::check_file_name;
use crate::parallel::try_map;
use crate::skipped::{Oddity, Policy, Skipped};

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
        Self::voc_with(root, split, &mut Skipped::new(Policy::Complete))
    }

    /// A VOC tree ([`Dataset::voc`]) or, where `root` has no `ImageSets`, a folder of one's own ([`Dataset::folder`]).
    ///
    /// # Errors
    /// As these.
    pub fn open(root: &Path, split: &str, skipped: &mut Skipped) -> Result<Self, Error> {
        match root.is_dir() && !root.join("ImageSets").exists() {
            true => Self::folder(root, skipped),
            false => Self::voc_with(root, split, skipped),
        }
    }

    /// As [`Dataset::voc`], with odd objects dealt with as `skipped` says.
    ///
    /// # Errors
    /// As there.
    pub fn voc_with(root: &Path, split: &str, skipped: &mut Skipped) -> Result<Self, Error> {
        check_file_name("the split", split)?;
        let ids = read_list(&root.join("ImageSets").join("Main").join(format!("{split}.txt")))?;
        let annotations = root.join("Annotations");
        let paths: Vec<_> = ids.iter().map(|id| annotations.join(format!("{id}.xml"))).collect();
        Self::annotated(&ids, &paths, root.join("JPEGImages"), skipped)
    }

    /// Reads a folder of annotations of one's own: every `.xml` of `root/Annotations` or, where there is no
    /// such folder, of `root`, by name. Pictures are looked for in `root/JPEGImages` or beside the
    /// annotations; one without an annotation is counted as `skipped` says.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder cannot be read, [`Error::Folder`] where it has no annotation, and as
    /// [`Dataset::voc`] for the files.
    pub fn folder(root: &Path, skipped: &mut Skipped) -> Result<Self, Error> {
        let or = |folder: &str| Some(root.join(folder)).filter(|path| path.is_dir());
        let annotations = or("Annotations").unwrap_or_else(|| root.to_owned());
        let pictures = or("JPEGImages").unwrap_or_else(|| annotations.clone());
        let mut ids = stems(&annotations, &["xml"])?;
        ids.sort();
        if ids.is_empty() {
            let reason = "there is no annotation (.xml) in it".into();
            return Err(Error::Folder { path: annotations, reason });
        }
        for id in stems(&pictures, &["jpg", "jpeg", "png"])? {
            if ids.binary_search(&id).is_err() {
                let path = annotations.join(format!("{id}.xml"));
                let reason = "there is a picture of this name, but no annotation".into();
                skipped.meet(Oddity::PictureWithoutAnnotation, || Error::Annotation { path, reason })?;
            }
        }
        let paths: Vec<_> = ids.iter().map(|id| annotations.join(format!("{id}.xml"))).collect();
        Self::annotated(&ids, &paths, pictures, skipped)
    }

    /// Images with an annotation file each, read on all processors.
    pub(super) fn annotated(
        ids: &[String],
        paths: &[PathBuf],
        picture_folder: PathBuf,
        skipped: &mut Skipped,
    ) -> Result<Self, Error> {
        let policy = skipped.policy();
        let parts = try_map(paths, |path| {
            let mut skipped = Skipped::new(policy);
            read_objects(path, &mut skipped).map(|objects| (objects, skipped))
        })?;
        let mut set = Self { picture_folder: Some(picture_folder), ..Self::default() };
        for (id, (objects, counts)) in ids.iter().zip(parts) {
            set.add_image(id, objects.iter().map(|o| (o.class.as_str(), o.difficult, o.bounds)))?;
            skipped.append(counts);
        }
        Ok(set)
    }
}

/// The names, without ending, of the files of a folder that have one of these endings.
fn stems(folder: &Path, endings: &[&str]) -> Result<Vec<String>, Error> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let mut stems = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        if ending.is_some_and(|ending| endings.contains(&ending.as_str()))
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
        {
            stems.push(stem.to_owned());
        }
    }
    Ok(stems)
}

/// The names in a list of images, each once.
fn read_list(path: &Path) -> Result<Vec<String>, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let mut ids = Vec::new();
    let mut seen = HashSet::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let wrong = |reason| Error::Line { path: path.to_owned(), line: number + 1, reason };
        let mut words = line.split_whitespace();
        let Some(id) = words.next() else { continue };
        if !matches!((words.next(), words.next()), (None | Some("-1" | "0" | "1"), None)) {
            return Err(wrong(format!("expected the name of one image, found {line:?}")));
        }
        check_file_name("image", id).map_err(|e| wrong(e.to_string()))?;
        if !seen.insert(id) {
            return Err(wrong(format!("image {id:?} is listed a second time")));
        }
        ids.push(id.to_owned());
    }
    Ok(ids)
}

/// The objects of an annotation file that can be scored.
fn read_objects(path: &Path, skipped: &mut Skipped) -> Result<Vec<Annotated>, Error> {
    let text = read_annotation(path)?;
    let objects = annotation::parse(&text).map_err(|problem| match problem.object {
        None => Error::Annotation { path: path.to_owned(), reason: problem.reason },
        Some((object, class)) => {
            Error::Object { path: path.to_owned(), object, class, reason: problem.reason }
        }
    })?;
    let mut usable = Vec::with_capacity(objects.len());
    for (object, number) in objects.into_iter().zip(1..) {
        let corners = object.bounds.corners();
        let wrong = |reason: &str| {
            let reason = format!("{reason} ({})", corners.map(|c| c.to_string()).join(", "));
            Error::Object { path: path.to_owned(), object: number, class: object.class.clone(), reason }
        };
        if let Some(reason) = unusable(object.bounds) {
            let finite = object.bounds.is_finite();
            let kind = if finite { Oddity::ObjectInverted } else { Oddity::ObjectNotFinite };
            skipped.meet(kind, || wrong(reason))?;
            continue;
        }
        if corners.iter().any(|&c| c < 0.0) {
            skipped.meet(Oddity::ObjectNegative, || wrong("a corner of its box is negative"))?;
        }
        usable.push(object);
    }
    Ok(usable)
}

/// The text of an annotation file. Bounded, so that a device file or a wrong path cannot fill the memory.
fn read_annotation(path: &Path) -> Result<String, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    // VOC's files fit, so that reading them is one call.
    let mut text = String::with_capacity(4096);
    File::open(path).map_err(io)?.take(MAX_ANNOTATION + 1).read_to_string(&mut text).map_err(io)?;
    if text.len() as u64 > MAX_ANNOTATION {
        let reason = format!("an annotation may have {} MiB at most", MAX_ANNOTATION >> 20);
        return Err(Error::Annotation { path: path.to_owned(), reason });
    }
    Ok(text)
}
