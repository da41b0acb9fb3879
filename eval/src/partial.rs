//! Parts of a set that are evaluated apart and come together again to the last bit.
//!
//! A part holds the objects and the detections of every n-th image, each with its place in the whole. So
//! merged parts are the whole again, in its order, and everything computed from them is what one run gives.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::detections::Detections;
use crate::error::Error;
use crate::ground_truth::Dataset;
use crate::pixel_box::PixelBox;
use crate::voc::numbers_in_set;

/// What the first line of a file of this kind says.
const FORMAT: &str = "sandglass-eval part 1";

/// Which part of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 1 to `of`.
    pub number: usize,
    /// How many parts there are.
    pub of: usize,
}

impl Shard {
    /// Whether an image, by its number in the set from 0, belongs to this part.
    #[must_use]
    pub fn has(self, image: usize) -> bool {
        self.of > 0 && image % self.of + 1 == self.number
    }
}

impl std::str::FromStr for Shard {
    type Err = String;

    /// `2/8`.
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').map(|(number, of)| (number.parse(), of.parse()));
        match numbers {
            Some((Ok(number), Ok(of))) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err("expected the part and how many there are, such as 2/8".into()),
        }
    }
}

/// Where a detection stands in the whole: that decides between equal scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    /// Where it stands in the list of its class: every part was made from all detections.
    Listed,
    /// Behind those of the images before its own: every part has detections of its own images alone, as
    /// where the parts were detected apart.
    ByImage,
}

/// What parts come to: the set, its detections, and pictures that failed with the reason.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// The set.
    pub truth: Dataset,
    /// Its detections.
    pub found: Detections,
    /// Pictures that could not be used, with the reason.
    pub failed: Vec<(String, String)>,
}

/// An object: class, whether it is difficult, corners.
type ObjectRecord = (usize, bool, [f64; 4]);

/// A detection: class, place among those of its class in the whole, score, corners.
type DetectionRecord = (usize, u64, f64, [f64; 4]);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ImageRecord {
    number: usize,
    id: String,
    objects: Vec<ObjectRecord>,
    detections: Vec<DetectionRecord>,
}

/// A part of a set with its detections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    format: String,
    /// Which part it is.
    pub shard: Shard,
    /// Images in the whole set.
    pub images_in_all: usize,
    /// The classes of objects, then those of detections alone.
    classes: Vec<String>,
    detected_classes: Vec<String>,
    images: Vec<ImageRecord>,
    /// Pictures that could not be used, with the reason.
    pub failed: Vec<(String, String)>,
}

impl Partial {
    /// The part `shard` of a whole set, with the detections of this part or of all, as `places` says.
    ///
    /// # Errors
    /// [`Error::UnknownImage`] where a detection names an image that is not in the set.
    pub fn new(
        truth: &Dataset,
        found: &Detections,
        shard: Shard,
        places: Places,
        failed: Vec<(String, String)>,
    ) -> Result<Self, Error> {
        let mut classes: Vec<String> = truth.classes().to_vec();
        classes.extend(found.classes().iter().filter(|class| !truth.classes().contains(class)).cloned());
        let corners = |b: PixelBox| [b.xmin, b.ymin, b.xmax, b.ymax];
        let mut images: Vec<ImageRecord> = truth
            .images()
            .iter()
            .enumerate()
            .map(|(number, image)| ImageRecord {
                number,
                id: image.id.clone(),
                objects: image.objects.iter().map(|o| (o.class, o.difficult, corners(o.bounds))).collect(),
                detections: Vec::new(),
            })
            .collect();
        let numbers = numbers_in_set(truth, found)?;
        for (class, name) in classes.iter().enumerate() {
            for (place, d) in (0..).zip(found.of_class(name)) {
                let Some(&number) = numbers.get(d.image) else { continue };
                let place = match places {
                    Places::Listed => place,
                    Places::ByImage => ((number as u64) << 32) | (place & 0xffff_ffff),
                };
                if let Some(image) = images.get_mut(number) {
                    image.detections.push((class, place, d.score, corners(d.bounds)));
                }
            }
        }
        images.retain(|image| shard.has(image.number));
        Ok(Self {
            format: FORMAT.to_owned(),
            shard,
            images_in_all: truth.images().len(),
            classes,
            detected_classes: found.classes().to_vec(),
            images,
            failed,
        })
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let text = serde_json::to_string(self).map_err(|error| io(error.into()))?;
        fs::write(path, text).map_err(io)
    }

    /// Reads what [`Partial::write`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, [`Error::Annotation`] where it is no such file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let wrong = |reason: String| Error::Annotation { path: path.to_owned(), reason };
        let part: Self = serde_json::from_slice(&text)
            .map_err(|error| wrong(format!("no part of an evaluation (--shard writes them): {error}")))?;
        if part.format != FORMAT {
            return Err(wrong(format!("its format is {:?}, this program reads {FORMAT:?}", part.format)));
        }
        Ok(part)
    }

    /// Puts parts together: the set, its detections, and the pictures that failed. The order of the parts
    /// does not matter.
    ///
    /// # Errors
    /// [`Error::Merge`] where a part is missing, there twice, or of another whole; [`Error::Value`] where
    /// one was tampered with.
    pub fn merge(parts: Vec<Self>) -> Result<Merged, Error> {
        let wrong = |reason: String| Err(Error::Merge(reason));
        let Some(first) = parts.first() else { return wrong("there is none".into()) };
        let (of, in_all) = (first.shard.of, first.images_in_all);
        let mut there = vec![false; of.min(parts.len())];
        for part in &parts {
            let Shard { number, of: other } = part.shard;
            if other != of || part.images_in_all != in_all {
                let (a, b) = (in_all, part.images_in_all);
                return wrong(format!("one is of {of} parts over {a} images, another of {other} over {b}"));
            }
            match there.get_mut(number.wrapping_sub(1)) {
                Some(there) if !*there => *there = true,
                Some(_) => return wrong(format!("part {number}/{of} is there twice")),
                None => return wrong(format!("there are {} of {of} parts", parts.len())),
            }
        }
        if parts.len() != of {
            return wrong(format!("there are {} of {of} parts", parts.len()));
        }
        let mut failed = Vec::new();
        let mut images: Vec<(usize, ImageRecord)> = Vec::new();
        let classes: Vec<Vec<String>> = parts.iter().map(|part| part.classes.clone()).collect();
        let mut found = Detections::default();
        for (number, part) in parts.into_iter().enumerate() {
            for class in &part.detected_classes {
                found.add_class(class);
            }
            images.extend(part.images.into_iter().map(|image| (number, image)));
            failed.extend(part.failed);
        }
        images.sort_by_key(|(_, image)| image.number);
        if images.len() != in_all || !images.iter().zip(0..).all(|((_, image), n)| image.number == n) {
            return wrong(format!("they hold {} of {in_all} images", images.len()));
        }
        let place = |id: &String| images.iter().position(|(_, image)| image.id == *id);
        failed.sort_by_key(|(id, _)| place(id));
        let pixel_box = |[xmin, ymin, xmax, ymax]: [f64; 4]| PixelBox { xmin, ymin, xmax, ymax };
        let name = |part: usize, class: usize| {
            let name = classes.get(part).and_then(|classes| classes.get(class));
            name.map(String::as_str).ok_or_else(|| Error::Merge(format!("a part has no class {class}")))
        };
        let mut truth = Dataset::default();
        let mut all: Vec<(&str, u64, usize, f64, PixelBox)> = Vec::new();
        for (at, (part, image)) in images.iter().enumerate() {
            let mut objects = Vec::with_capacity(image.objects.len());
            for &(class, difficult, corners) in &image.objects {
                objects.push((name(*part, class)?, difficult, pixel_box(corners)));
            }
            truth.add_image(&image.id, objects)?;
            for &(class, place, score, corners) in &image.detections {
                all.push((name(*part, class)?, place, at, score, pixel_box(corners)));
            }
        }
        // As they stood in their files.
        all.sort_by_key(|&(class, place, ..)| (class, place));
        for (class, _, at, score, bounds) in all {
            if let Some((_, image)) = images.get(at) {
                found.push(class, &image.id, score, bounds)?;
            }
        }
        Ok(Merged { truth, found, failed })
    }
}
