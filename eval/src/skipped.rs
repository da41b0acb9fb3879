//! What was left out or looked odd while reading: counted, with the first places of each kind.
//!
//! A score must never change unnoticed because a file is not what it should be. Most damage is an
//! [`Error`]. For the kinds listed in [`Oddity`] a [`Policy`] decides; whatever it lets pass is counted
//! and goes into the report.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::error::Error;

/// How many places of a kind are kept, the first ones.
const PLACES: usize = 5;

/// Something in the input that can be counted instead of refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Oddity {
    /// A detection whose score or corner is NaN or infinite. Left out: it has no place in the order.
    DetectionNotFinite,
    /// A detection whose last pixel comes before its first. The devkit scores it as a false alarm.
    DetectionInverted,
    /// Detections of a class that no object of the set has. They enter no mean.
    UnknownClass,
    /// An object with a corner that is NaN or infinite. Left out: nobody can find it.
    ObjectNotFinite,
    /// An object whose last pixel comes before its first. Left out, likewise.
    ObjectInverted,
    /// An object with a corner below 0. Scored as it stands.
    ObjectNegative,
    /// A picture without an annotation in a folder that has no list. Left out with its detections.
    PictureWithoutAnnotation,
    /// A picture that is missing or cannot be decoded. Scored as having no detections.
    PictureFailed,
}

impl Oddity {
    /// Its name in JSON.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::DetectionNotFinite => "detections_not_finite",
            Self::DetectionInverted => "detections_inverted",
            Self::UnknownClass => "unknown_classes",
            Self::ObjectNotFinite => "objects_not_finite",
            Self::ObjectInverted => "objects_inverted",
            Self::ObjectNegative => "objects_negative",
            Self::PictureWithoutAnnotation => "pictures_without_annotation",
            Self::PictureFailed => "pictures_failed",
        }
    }

    /// What it is and what became of it, for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::DetectionNotFinite => "detections with a number that is not finite, left out",
            Self::DetectionInverted => "detections with an inverted box, scored as false alarms",
            Self::UnknownClass => "classes with detections and no object in the set, in no mean",
            Self::ObjectNotFinite => "objects with a corner that is not finite, left out",
            Self::ObjectInverted => "objects with an inverted box, left out",
            Self::ObjectNegative => "objects with a negative corner, scored as they stand",
            Self::PictureWithoutAnnotation => {
                "pictures without an annotation, left out with their detections"
            }
            Self::PictureFailed => "pictures that could not be used, scored as having no detections",
        }
    }

    /// Whether the rules have an answer to it, so that nothing is left out.
    fn is_scored(self) -> bool {
        matches!(self, Self::DetectionInverted | Self::UnknownClass | Self::ObjectNegative)
    }
}

/// What happens to an [`Oddity`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Every kind is counted.
    Lenient,
    /// What would be left out is an error; what the devkit scores as it stands is counted.
    #[default]
    Complete,
    /// Every kind is an error.
    Strict,
}

/// One kind's count.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Tally {
    /// How many there were.
    pub count: usize,
    /// The first of them, each with its file and, in a text file, its line.
    pub first: Vec<String>,
}

/// Counts of what was odd.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Skipped {
    policy: Policy,
    kinds: BTreeMap<Oddity, Tally>,
}

impl Skipped {
    /// No counts yet, and the policy to follow.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, kinds: BTreeMap::new() }
    }

    /// The policy it was made with.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Counts one oddity; `error` says what and where.
    ///
    /// # Errors
    /// That error, where the policy refuses the kind.
    pub fn meet(&mut self, kind: Oddity, error: impl FnOnce() -> Error) -> Result<(), Error> {
        match self.policy {
            Policy::Strict => return Err(error()),
            Policy::Complete if !kind.is_scored() => return Err(error()),
            Policy::Complete | Policy::Lenient => {}
        }
        self.count(kind, || error().to_string());
        Ok(())
    }

    /// Counts one oddity that the caller has dealt with, whatever the policy.
    pub fn count(&mut self, kind: Oddity, place: impl FnOnce() -> String) {
        let tally = self.kinds.entry(kind).or_default();
        tally.count += 1;
        // A million bad lines must not become a million messages.
        if tally.first.len() < PLACES {
            tally.first.push(place());
        }
    }

    /// Adds the counts of another part of the input, which comes behind this one.
    pub fn append(&mut self, other: Self) {
        for (kind, Tally { count, first }) in other.kinds {
            let tally = self.kinds.entry(kind).or_default();
            tally.count += count;
            tally.first.extend(first.into_iter().take(PLACES.saturating_sub(tally.first.len())));
        }
    }

    /// The kinds that were met, in a fixed order.
    pub fn kinds(&self) -> impl Iterator<Item = (Oddity, &Tally)> {
        self.kinds.iter().map(|(kind, tally)| (*kind, tally))
    }

    /// Whether nothing was odd.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }
}

/// As `{"detections_not_finite": {"count": 2, "first": ["cat.txt: line 3: …"]}}`.
impl Serialize for Skipped {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.kinds.len()))?;
        for (kind, tally) in &self.kinds {
            map.serialize_entry(kind.key(), tally)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_differ_in_what_they_refuse() {
        for (policy, kind, refused) in [
            (Policy::Lenient, Oddity::DetectionNotFinite, false),
            (Policy::Complete, Oddity::DetectionNotFinite, true),
            (Policy::Complete, Oddity::DetectionInverted, false),
            (Policy::Strict, Oddity::DetectionInverted, true),
        ] {
            let met = Skipped::new(policy).meet(kind, || Error::Threshold(2.0));
            assert_eq!(met.is_err(), refused, "{policy:?} {kind:?}");
        }
    }

    #[test]
    fn counts_add_up_and_places_stay_few() {
        let mut all = Skipped::new(Policy::Lenient);
        for part in 0..3 {
            let mut skipped = Skipped::new(Policy::Lenient);
            for line in 0..4 {
                skipped.count(Oddity::ObjectInverted, || format!("{part}:{line}"));
            }
            all.append(skipped);
        }
        let tally = all.kinds().next().unwrap().1;
        assert_eq!(tally.count, 12);
        assert_eq!(tally.first, ["0:0", "0:1", "0:2", "0:3", "1:0"]);
        let json = serde_json::to_value(&all).unwrap();
        assert_eq!(json["objects_inverted"]["count"], 12);
    }
}
