//! What a detector found in one frame.

use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A rectangle by its corners in pixels of the source frame, continuous coordinates: a box over the
/// whole of a frame is `0, 0, width, height`. Not clipped: it can reach outside the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BoxXyxy {
    /// Left edge.
    pub x1: f32,
    /// Upper edge.
    pub y1: f32,
    /// Right edge.
    pub x2: f32,
    /// Lower edge.
    pub y2: f32,
}

impl BoxXyxy {
    /// Width times height, 0 for an inverted box.
    #[must_use]
    pub fn area(self) -> f32 {
        (self.x2 - self.x1).max(0.0) * (self.y2 - self.y1).max(0.0)
    }

    /// Intersection over union with another box, 0 to 1; 0 where neither has an area.
    #[must_use]
    pub fn iou(self, other: Self) -> f32 {
        let w = (self.x2.min(other.x2) - self.x1.max(other.x1)).max(0.0);
        let h = (self.y2.min(other.y2) - self.y1.max(other.y1)).max(0.0);
        let both = w * h;
        let either = self.area() + other.area() - both;
        if either > 0.0 { both / either } else { 0.0 }
    }

    /// The part inside a frame of `width` × `height` pixels.
    #[must_use]
    pub fn clipped(self, width: u32, height: u32) -> Self {
        let (w, h) = (width as f32, height as f32);
        Self {
            x1: self.x1.clamp(0.0, w),
            y1: self.y1.clamp(0.0, h),
            x2: self.x2.clamp(0.0, w),
            y2: self.y2.clamp(0.0, h),
        }
    }
}

/// One object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detection {
    /// The class by name, such as `person`.
    #[serde(serialize_with = "shared_text")]
    pub label: Arc<str>,
    /// The class by number as the network counts: 0 is the background and never found, 1 the first class.
    pub class_id: usize,
    /// Softmax probability of the class, 0 to 1.
    pub score: f32,
    /// Where it is, as `[x1, y1, x2, y2]` in JSON.
    #[serde(rename = "box", serialize_with = "corners")]
    pub bounds: BoxXyxy,
}

fn shared_text<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

fn corners<S: Serializer>(b: &BoxXyxy, to: S) -> Result<S::Ok, S::Error> {
    [b.x1, b.y1, b.x2, b.y2].serialize(to)
}

/// How long the parts of one detection took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// Resizing and normalising.
    pub preprocess: Duration,
    /// The network.
    pub network: Duration,
    /// Softmax, decoding of boxes, non-maximum suppression.
    pub postprocess: Duration,
}

impl Timing {
    /// The three parts together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.preprocess + self.network + self.postprocess
    }
}

/// The objects of one frame, best score first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detections {
    /// The objects, best first.
    pub items: Vec<Detection>,
    /// Width of the frame in pixels.
    pub width: u32,
    /// Height of the frame in pixels.
    pub height: u32,
    /// How long it took.
    pub timing: Timing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap() {
        let a = BoxXyxy { x1: 0.0, y1: 0.0, x2: 2.0, y2: 2.0 };
        let b = BoxXyxy { x1: 1.0, y1: 0.0, x2: 3.0, y2: 2.0 };
        assert!((a.iou(b) - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(a.iou(BoxXyxy { x1: 5.0, y1: 5.0, x2: 4.0, y2: 4.0 }), 0.0);
        assert_eq!(BoxXyxy::default().iou(BoxXyxy::default()), 0.0);
        assert_eq!(BoxXyxy { x1: -1.0, y1: 1.0, x2: 9.0, y2: 3.0 }.clipped(4, 2).area(), 4.0);
    }

    #[test]
    fn json_names_are_the_documented_ones() {
        let found = Detection {
            label: "cat".into(),
            class_id: 8,
            score: 0.5,
            bounds: BoxXyxy { x1: 1.0, y1: 2.0, x2: 3.0, y2: 4.5 },
        };
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(text, r#"{"label":"cat","class_id":8,"score":0.5,"box":[1.0,2.0,3.0,4.5]}"#);
    }
}
