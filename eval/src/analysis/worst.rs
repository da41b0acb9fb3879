//! The pictures a detector does worst on.

use serde::Serialize;

use super::matched::{Matched, MatchedClass};
use crate::matching::Outcome;

/// An image and what went wrong in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worst {
    /// The image, as an index into [`Matched::images`].
    pub number: usize,
    /// Its name.
    pub image: String,
    /// Objects that were not found.
    pub missed: usize,
    /// False alarms at or above the threshold of their class.
    pub false_alarms: usize,
}

/// The images with the most mistakes at the thresholds of their classes, the worst first, at most so many.
#[must_use]
pub fn worst(matched: &Matched, threshold: impl Fn(&MatchedClass) -> f64, most: usize) -> Vec<Worst> {
    let start = |(number, image): (usize, &String)| Worst {
        number,
        image: image.clone(),
        missed: 0,
        false_alarms: 0,
    };
    let mut images: Vec<Worst> = matched.images.iter().enumerate().map(start).collect();
    for class in &matched.classes {
        let cut = threshold(class);
        let mut found = vec![false; class.objects.len()];
        for d in class.detections.iter().filter(|d| d.score >= cut) {
            match (d.outcome, d.best, images.get_mut(d.image)) {
                (Outcome::FalsePositive, _, Some(image)) => image.false_alarms += 1,
                (Outcome::TruePositive, Some((at, _)), _) => {
                    if let Some(found) = found.get_mut(at) {
                        *found = true;
                    }
                }
                _ => {}
            }
        }
        for (object, found) in class.objects.iter().zip(found) {
            if let Some(image) = images.get_mut(object.image).filter(|_| !found && !object.difficult) {
                image.missed += 1;
            }
        }
    }
    images.retain(|image| image.missed + image.false_alarms > 0);
    images.sort_by_key(|image| std::cmp::Reverse(image.missed + image.false_alarms));
    images.truncate(most);
    images
}
