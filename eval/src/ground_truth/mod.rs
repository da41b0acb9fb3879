//! What is to be found: images with their objects.

mod annotation;
mod voc;

use std::collections::HashSet;
use std::path::PathBuf;

use crate::error::Error;
use crate::names::Names;
use crate::pixel_box::PixelBox;

pub use voc::VOC_CLASSES;

/// An object somebody drew a box around.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Its class, an index into [`Dataset::classes`].
    pub class: usize,
    /// Where it is, in inclusive pixels.
    pub bounds: PixelBox,
    /// Whether it counts for nothing: neither finding nor missing it changes a score.
    pub difficult: bool,
}

/// An image of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Its name in lists and detection files, such as `000001`.
    pub id: String,
    /// Its objects, in the order of the annotation (which decides between equal overlaps).
    pub objects: Vec<Object>,
}

/// Images with their objects: the ground truth of a split.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    images: Vec<Image>,
    ids: Names,
    classes: Names,
    picture_folder: Option<PathBuf>,
    /// Pictures by image, where they are not told by its name.
    pictures: Vec<Option<PathBuf>>,
}

impl Dataset {
    /// Adds an image with its objects as (class, difficult, box), in annotation order.
    ///
    /// # Errors
    /// [`Error::RepeatedImage`] where the set has the image already, [`Error::Value`] where a corner
    /// is not finite or a box is inverted. The set is unchanged then.
    pub fn add_image<'a>(
        &mut self,
        id: &str,
        objects: impl IntoIterator<Item = (&'a str, bool, PixelBox)>,
    ) -> Result<(), Error> {
        if self.ids.find(id).is_some() {
            return Err(Error::RepeatedImage(id.to_owned()));
        }
        let objects: Vec<_> = objects.into_iter().collect();
        for (class, _, bounds) in &objects {
            if let Some(reason) = unusable(*bounds) {
                let what = format!("object of class {class:?}");
                return Err(Error::Value { what, image: id.to_owned(), reason });
            }
        }
        let objects = objects
            .into_iter()
            .map(|(class, difficult, bounds)| Object { class: self.classes.number(class), bounds, difficult })
            .collect();
        self.ids.number(id);
        self.images.push(Image { id: id.to_owned(), objects });
        Ok(())
    }

    /// The images, in the order of the split's list.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The names of the classes that have an object, in order of first appearance.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        self.classes.all()
    }

    /// The position of an image in [`Dataset::images`].
    #[must_use]
    pub fn image_index(&self, id: &str) -> Option<usize> {
        self.ids.find(id)
    }

    /// The picture of the image at `index`: `ROOT/JPEGImages/ID` with the ending `jpg`, `jpeg` or
    /// `png`, the first that exists. `None` where there is none: scoring needs no pictures.
    #[must_use]
    pub fn picture(&self, index: usize) -> Option<PathBuf> {
        if let Some(picture) = self.pictures.get(index) {
            return picture.clone().filter(|path| path.is_file());
        }
        let folder = self.picture_folder.as_ref()?;
        let id = &self.images.get(index)?.id;
        ["jpg", "jpeg", "png"]
            .iter()
            .map(|end| folder.join(format!("{id}.{end}")))
            .find(|path| path.is_file())
    }

    /// Says where the pictures are, one place an image in their order.
    pub fn set_pictures(&mut self, pictures: Vec<Option<PathBuf>>) {
        self.pictures = pictures;
    }

    /// Keeps the first `count` images only and returns the ids of the others. Classes keep their
    /// place even where no object is left.
    pub fn keep_first(&mut self, count: usize) -> HashSet<String> {
        self.ids.truncate(count);
        self.pictures.truncate(count);
        self.images.drain(count.min(self.images.len())..).map(|image| image.id).collect()
    }
}

/// Why a box cannot be an object's, if so.
fn unusable(bounds: PixelBox) -> Option<&'static str> {
    if !bounds.is_finite() {
        Some("a corner of its box is not a finite number")
    } else if bounds.is_inverted() {
        Some("its box is inverted: xmax is below xmin, or ymax below ymin")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: PixelBox = PixelBox { xmin: 1.0, ymin: 1.0, xmax: 2.0, ymax: 2.0 };

    #[test]
    fn refused_images_leave_no_trace() {
        let mut set = Dataset::default();
        set.add_image("1", [("cat", false, BOX)]).unwrap();
        assert!(matches!(set.add_image("1", []), Err(Error::RepeatedImage(_))));
        for bad in [PixelBox { xmax: f64::NAN, ..BOX }, PixelBox { ymax: 0.0, ..BOX }] {
            let refused = set.add_image("2", [("dog", false, BOX), ("cow", false, bad)]);
            assert!(matches!(refused, Err(Error::Value { .. })));
        }
        assert_eq!((set.images().len(), set.classes().len(), set.image_index("2")), (1, 1, None));
    }

    #[test]
    fn the_first_images_stay() {
        let mut set = Dataset::default();
        for id in ["1", "2", "3"] {
            set.add_image(id, []).unwrap();
        }
        assert!(set.keep_first(9).is_empty());
        assert_eq!(set.keep_first(1).len(), 2);
        assert_eq!((set.image_index("1"), set.image_index("3")), (Some(0), None));
        assert_eq!(set.picture(0), None);
    }
}
