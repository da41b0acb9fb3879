//! Which classes are taken for which.

use std::collections::HashMap;

use serde::Serialize;

use super::matched::{Matched, MatchedClass};
use crate::pixel_box::{PixelBox, iou_inclusive};

/// Counts of objects by their class and the class they were detected as.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Confusion {
    /// The classes.
    pub classes: Vec<String>,
    /// A row for each class of object, and a last one for background; a column for each class of detection,
    /// and a last one for objects that were not detected.
    pub counts: Vec<Vec<usize>>,
}

impl Confusion {
    /// Pairs the detections of each image at or above the thresholds of their classes with the objects, the
    /// surest first, each with the free object of any class that it overlaps most, by the set's threshold of
    /// overlap or more. Difficult objects and what finds them are left out.
    #[must_use]
    pub fn new(matched: &Matched, threshold: impl Fn(&MatchedClass) -> f64) -> Self {
        let background = matched.classes.len();
        let mut counts = vec![vec![0; background + 1]; background + 1];
        let mut images: HashMap<usize, (Vec<Object>, Vec<Found>)> = HashMap::new();
        for (number, class) in matched.classes.iter().enumerate() {
            let cut = threshold(class);
            for o in &class.objects {
                let object = Object { class: number, bounds: o.bounds, difficult: o.difficult, free: true };
                images.entry(o.image).or_default().0.push(object);
            }
            for d in class.detections.iter().filter(|d| d.score >= cut) {
                let found = Found { class: number, score: d.score, bounds: d.bounds };
                images.entry(d.image).or_default().1.push(found);
            }
        }
        let mut count = |row: usize, column: usize| {
            if let Some(cell) = counts.get_mut(row).and_then(|row: &mut Vec<usize>| row.get_mut(column)) {
                *cell += 1;
            }
        };
        for (mut objects, mut found) in images.into_values() {
            found.sort_by(|a, b| b.score.total_cmp(&a.score));
            for d in found {
                let overlap = |o: &Object| iou_inclusive(o.bounds, d.bounds).unwrap_or(0.0);
                let free =
                    objects.iter_mut().filter(|o| o.free && overlap(o) >= matched.iou && overlap(o) > 0.0);
                // Its own class comes first where two are on the same spot.
                let rank = |o: &Object| (overlap(o), o.class == d.class);
                let best = free.max_by(|a, b| {
                    let ((a, own_a), (b, own_b)) = (rank(a), rank(b));
                    a.total_cmp(&b).then(own_a.cmp(&own_b))
                });
                match best {
                    Some(object) if object.difficult => {}
                    Some(object) => {
                        object.free = false;
                        count(object.class, d.class);
                    }
                    None => count(background, d.class),
                }
            }
            for object in objects.iter().filter(|o| o.free && !o.difficult) {
                count(object.class, background);
            }
        }
        Self { classes: matched.classes.iter().map(|class| class.name.clone()).collect(), counts }
    }
}

struct Object {
    class: usize,
    bounds: PixelBox,
    difficult: bool,
    free: bool,
}

struct Found {
    class: usize,
    score: f64,
    bounds: PixelBox,
}
