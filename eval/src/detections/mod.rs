//! What a detector claims to have found, by class.

mod devkit;
mod jsonl;

use std::collections::HashSet;

use crate::error::Error;
use crate::names::Names;
use crate::pixel_box::PixelBox;

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
        let image = self.images.number(image);
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
