//! How sure a mean average precision is: images drawn anew, with replacement, many times.

use std::collections::HashMap;

use serde::Serialize;

use super::matched::{ClassOutcomes, Outcomes};
use crate::error::Error;
use crate::parallel;

/// Where a figure lies in 95 of 100 drawings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Interval {
    /// 2.5 of 100 are below.
    pub low: f64,
    /// 2.5 of 100 are above.
    pub high: f64,
}

/// A figure with its interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The figure of the set itself.
    pub value: f64,
    /// Where it lies in 95 of 100 drawings.
    pub interval: Interval,
    /// Its standard deviation over the drawings.
    pub deviation: f64,
    /// The part of the drawings in which it is above 0.
    pub above_zero: f64,
}

/// All-point mean average precision, with images drawn anew `rounds` times. The same `seed` gives the same.
#[must_use]
pub fn interval(outcomes: &Outcomes, rounds: usize, seed: u64) -> Spread {
    let once = vec![1; outcomes.images.len()];
    let draws = draw(outcomes.images.len(), rounds, seed);
    let values = parallel::map(&draws, |weights| mean_ap(outcomes, weights));
    spread(mean_ap(outcomes, &once), values)
}

/// By how much the second run is better than the first, drawn in pairs: each drawing has the same images for
/// both.
///
/// # Errors
/// [`Error::Compare`] where the two are not over the same images or not at the same overlap.
pub fn difference(first: &Outcomes, second: &Outcomes, rounds: usize, seed: u64) -> Result<Spread, Error> {
    if first.iou != second.iou {
        let reason = format!("one was made at IoU {}, the other at {}", first.iou, second.iou);
        return Err(Error::Compare(reason));
    }
    if first.images.len() != second.images.len() {
        let (a, b) = (first.images.len(), second.images.len());
        return Err(Error::Compare(format!("one has {a} images, the other {b}")));
    }
    // The images of the second in the order of the first.
    let numbers: HashMap<&String, usize> = second.images.iter().zip(0..).collect();
    let order: Option<Vec<usize>> = first.images.iter().map(|image| numbers.get(image).copied()).collect();
    let Some(order) = order else {
        return Err(Error::Compare("they are not over the same images".into()));
    };
    let both = |weights: &Vec<u32>| {
        let mut other = vec![0; weights.len()];
        for (&to, &weight) in order.iter().zip(weights) {
            if let Some(slot) = other.get_mut(to) {
                *slot = weight;
            }
        }
        mean_ap(second, &other) - mean_ap(first, weights)
    };
    let draws = draw(first.images.len(), rounds, seed);
    let values = parallel::map(&draws, both);
    Ok(spread(both(&vec![1; first.images.len()]), values))
}

fn spread(value: f64, mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let last = values.len().saturating_sub(1);
        values.get((share * last as f64).round() as usize).copied().unwrap_or(value)
    };
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    Spread {
        value,
        interval: Interval { low: at(0.025), high: at(0.975) },
        deviation: (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt(),
        above_zero: values.iter().filter(|v| **v > 0.0).count() as f64 / count,
    }
}

/// How often each image is in a drawing, for each drawing.
fn draw(images: usize, rounds: usize, seed: u64) -> Vec<Vec<u32>> {
    // SplitMix64 (Steele, Lea, Flood 2014): small, good enough to draw with, and the same everywhere.
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut one = || {
        let mut weights = vec![0; images];
        for _ in 0..images {
            // The upper half of a product maps the whole range evenly.
            let at = ((u128::from(next()) * images as u128) >> 64) as usize;
            if let Some(weight) = weights.get_mut(at) {
                *weight += 1;
            }
        }
        weights
    };
    (0..rounds).map(|_| one()).collect()
}

/// Mean over classes of all-point average precision, with each image as often as its weight says.
fn mean_ap(outcomes: &Outcomes, weights: &[u32]) -> f64 {
    let aps: Vec<f64> = outcomes.classes.iter().filter_map(|class| class_ap(class, weights)).collect();
    if aps.is_empty() { 0.0 } else { aps.iter().sum::<f64>() / aps.len() as f64 }
}

fn class_ap(class: &ClassOutcomes, weights: &[u32]) -> Option<f64> {
    let weight = |image: usize| u64::from(weights.get(image).copied().unwrap_or(0));
    // Counts come out of files, too: they may be anything.
    let npos = class
        .objects
        .iter()
        .fold(0_u64, |npos, &(image, count)| npos.saturating_add(weight(image).saturating_mul(count as u64)));
    if npos == 0 {
        return None;
    }
    let (mut hits, mut all) = (0_u64, 0_u64);
    // Recall and precision after each hit; between hits nothing is added to the area.
    let mut points = Vec::new();
    for &(image, _, outcome) in &class.detections {
        let weight = weight(image);
        match outcome {
            1 if weight > 0 => {
                hits += weight;
                all += weight;
                points.push((weight as f64 / npos as f64, hits as f64 / all as f64));
            }
            0 => all += weight,
            _ => {}
        }
    }
    let mut largest = 0.0_f64;
    let area = points.iter().rev().fold(0.0, |area, &(step, precision)| {
        largest = largest.max(precision);
        area + step * largest
    });
    Some(area)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(outcomes: &[u8]) -> Outcomes {
        let images = (0..outcomes.len()).map(|n| n.to_string()).collect();
        let detections = outcomes.iter().enumerate().map(|(image, &o)| (image, 1.0 - image as f64 * 0.01, o));
        let objects = (0..outcomes.len()).map(|image| (image, 1)).collect();
        let class = ClassOutcomes { class: "cat".into(), objects, detections: detections.collect() };
        Outcomes { iou: 0.5, images, classes: vec![class] }
    }

    #[test]
    fn the_interval_holds_the_value_and_shrinks_with_more_images() {
        let few: Vec<u8> = (0..20).map(|n| u8::from(n % 3 != 0)).collect();
        let many: Vec<u8> = (0..600).map(|n| u8::from(n % 3 != 0)).collect();
        let (few, many) = (interval(&run(&few), 400, 1), interval(&run(&many), 400, 1));
        for spread in [few, many] {
            assert!(spread.interval.low < spread.value && spread.value < spread.interval.high, "{spread:?}");
        }
        assert!(many.deviation < few.deviation / 2.0);
        assert_eq!(interval(&run(&[1, 1, 1]), 50, 3).interval, Interval { low: 1.0, high: 1.0 });
    }

    #[test]
    fn differences_are_drawn_in_pairs() {
        let worse: Vec<u8> = (0..100).map(|n| u8::from(n % 2 == 0)).collect();
        let better: Vec<u8> = (0..100).map(|n| u8::from(n % 2 == 0 || n % 5 == 0)).collect();
        let spread = difference(&run(&worse), &run(&better), 300, 5).unwrap();
        assert!(spread.interval.low > 0.0 && spread.above_zero == 1.0, "{spread:?}");
        let same = difference(&run(&worse), &run(&worse), 100, 5).unwrap();
        assert_eq!((same.value, same.interval), (0.0, Interval::default()));
        assert!(difference(&run(&worse), &run(&[1]), 10, 5).is_err());
    }
}
