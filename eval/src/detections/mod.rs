//! What a detector claims to have found, by class.

mod devkit;
mod format;
mod jsonl;
mod lines;

use std::collections::HashSet;
use std::path::PathBuf;

use crate::error::{Error, Place};
use crate::names::Names;
use crate::pixel_box::PixelBox;
use crate::skipped::{Oddity, Skipped};

pub use format::Format;

/// A claim: an object of a class in an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// The image, an index into [`Detections::images`].
    pub image: usize,
    /// How sure the detector is; larger is surer, the scale is free. Kept in f64: scores that differ
    /// past the precision of f32 are no tie.
    pub score: f64,
    /// Where it is, in inclusive pixels. May lie outside the picture.
    pub bounds: PixelBox,
}

/// Detections by class, in the order in which they were added or stand in their file: that order
/// decides between equal scores.
#[derive(Clone, Debug, Default)]
pub struct Detections {
    classes: Names,
    images: Names,
    by_class: Vec<Vec<Detection>>,
    /// The files read.
    files: Vec<PathBuf>,
    /// By image, the line that names it first, as an index into `files` and a number from 1. A place
    /// for every image rather than for every detection, of which there can be millions.
    origins: Vec<Option<(usize, usize)>>,
}

impl Detections {
    /// Adds a class, if it is new, and returns its index. A class without detections still counts:
    /// its average precision is 0 where objects of it exist.
    pub fn add_class(&mut self, name: &str) -> usize {
        let index = self.classes.number(name);
        if index == self.by_class.len() {
            self.by_class.push(Vec::new());
        }
        index
    }

    /// Adds a detection behind those of its class.
    ///
    /// A box may be inverted, as in the devkit: it overlaps nothing.
    ///
    /// # Errors
    /// [`Error::Value`] where the score or a corner is not finite.
    pub fn push(&mut self, class: &str, image: &str, score: f64, bounds: PixelBox) -> Result<(), Error> {
        if let Some(reason) = unusable(score, bounds) {
            let what = format!("detection of class {class:?}");
            return Err(Error::Value { what, image: image.to_owned(), reason });
        }
        let image = self.image_number(image, None);
        let class = self.add_class(class);
        if let Some(list) = self.by_class.get_mut(class) {
            list.push(Detection { image, score, bounds });
        }
        Ok(())
    }

    /// The names of the classes, in the order of their index.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        self.classes.all()
    }

    /// The names of the images, in the order of [`Detection::image`].
    #[must_use]
    pub fn images(&self) -> &[String] {
        self.images.all()
    }

    /// The detections of a class, in file order; none for a class that was not added.
    #[must_use]
    pub fn of_class(&self, name: &str) -> &[Detection] {
        self.classes.find(name).and_then(|class| self.by_class.get(class)).map_or(&[], Vec::as_slice)
    }

    /// The file and line that name an image first, as an index into [`Detections::images`]; `None`
    /// where it was not read from a file of lines.
    #[must_use]
    pub fn origin(&self, image: usize) -> Option<Place> {
        let (file, line) = (*self.origins.get(image)?)?;
        Some(Place { path: self.files.get(file)?.clone(), line })
    }

    /// How many detections there are, over all classes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_class.iter().map(Vec::len).sum()
    }

    /// Whether there is no detection at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops the detections in the images named.
    pub fn remove_images(&mut self, ids: &HashSet<String>) {
        let dropped: Vec<bool> = self.images.all().iter().map(|id| ids.contains(id)).collect();
        for list in &mut self.by_class {
            list.retain(|d| !dropped.get(d.image).copied().unwrap_or(false));
        }
    }

    /// The number of an image that is named in a line of a file.
    fn image_from(&mut self, name: &str, (file, line): (usize, usize)) -> usize {
        self.image_number(name, Some((file, line)))
    }

    fn image_number(&mut self, name: &str, origin: Option<(usize, usize)>) -> usize {
        let number = self.images.number(name);
        if number == self.origins.len() {
            self.origins.push(origin);
        }
        number
    }

    /// Adds another set behind this one. Its files are numbered from `files_before` on here.
    fn append(&mut self, part: Self, files_before: usize) {
        let classes: Vec<usize> = part.classes.all().iter().map(|name| self.add_class(name)).collect();
        let mut images = Vec::with_capacity(part.origins.len());
        for (name, origin) in part.images.all().iter().zip(&part.origins) {
            let origin = origin.map(|(file, line)| (file + files_before, line));
            images.push(self.image_number(name, origin));
        }
        for (class, list) in classes.into_iter().zip(part.by_class) {
            let Some(own) = self.by_class.get_mut(class) else { continue };
            let renumbered = |d: Detection| Some(Detection { image: *images.get(d.image)?, ..d });
            own.extend(list.into_iter().filter_map(renumbered));
        }
    }

    /// The first image of `part` that this set names, too: the place in `part`, and its name.
    fn first_in_both(&self, part: &Self, files_before: usize) -> Option<(PathBuf, usize, String)> {
        let (name, origin) =
            part.images.all().iter().zip(&part.origins).find(|(name, _)| self.images.find(name).is_some())?;
        let (file, line) = (*origin)?;
        Some((self.files.get(file + files_before)?.clone(), line, name.clone()))
    }
}

/// Whether a detection out of a file is scored. One that is odd is counted or refused as `skipped`
/// says, with the error that `wrong` makes of the reason.
fn check(
    score: f64,
    bounds: PixelBox,
    skipped: &mut Skipped,
    wrong: impl FnOnce(&'static str) -> Error,
) -> Result<bool, Error> {
    if let Some(reason) = unusable(score, bounds) {
        skipped.meet(Oddity::DetectionNotFinite, || wrong(reason))?;
        return Ok(false);
    }
    if bounds.is_inverted() {
        let reason = "its box is inverted: xmax is below xmin, or ymax below ymin";
        skipped.meet(Oddity::DetectionInverted, || wrong(reason))?;
    }
    Ok(true)
}

/// Why a detection cannot be scored, if so.
fn unusable(score: f64, bounds: PixelBox) -> Option<&'static str> {
    if !score.is_finite() {
        Some("its score is not a finite number")
    } else if !bounds.is_finite() {
        Some("a corner of its box is not a finite number")
    } else {
        None
    }
}
