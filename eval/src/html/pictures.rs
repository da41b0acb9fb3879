//! Pictures with the mistakes made in them.

use std::io::Cursor;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use maud::{Markup, html};
use sandglass_detector::source::load_image;
use sandglass_eval::analysis::{Matched, Worst};
use sandglass_eval::matching::Outcome;
use sandglass_eval::{Dataset, PixelBox};

use crate::result::{picture, threshold};

/// The longest side of a picture in the report, in pixels, and the quality of its JPEG.
const SIDE: u32 = 320;
const QUALITY: u8 = 72;

/// Boxes that are named in the picture, at most.
const NAMED: usize = 10;

/// A picture small enough for a page.
struct Small {
    size: (u32, u32),
    /// As a `data:` address.
    data: String,
}

/// The figure of a picture: boxes over it where it can be read, and what went wrong in words.
pub(super) fn figure(worst: &Worst, matched: &Matched, truth: &Dataset) -> Markup {
    let small = picture(truth, &worst.image).and_then(|path| small(&path));
    let boxes = boxes(worst.number, matched);
    html! {
        figure {
            @if let Some(Small { size: (w, h), data }) = small {
                @let unit = f64::from(w.max(h)) / 130.0;
                svg viewBox=(format!("0 0 {w} {h}")) role="img" {
                    image href=(data) width=(w) height=(h) {}
                    @for (b, kind, name) in &boxes {
                        rect x=(b.xmin - 1.0) y=(b.ymin - 1.0) width=((b.xmax - b.xmin + 1.0).max(0.0))
                            height=((b.ymax - b.ymin + 1.0).max(0.0)) fill="transparent" class=(kind)
                            stroke="currentColor" stroke-width=(unit) { title { (name) } }
                        // In a crowd names would only hide the picture; pointing at a box shows its own.
                        @if boxes.len() <= NAMED {
                            text x=(b.xmin + 2.0 * unit) y=(b.ymin + 5.0 * unit) fill="white" stroke="black"
                                stroke-width=(unit) paint-order="stroke" font-size=(4.5 * unit)
                                font-family="sans-serif" { (name) }
                        }
                    }
                }
            }
            figcaption { (worst.image) ": missed " (worst.missed) ", false alarms " (worst.false_alarms) }
        }
    }
}

/// The boxes of an image: false alarms, hits, and objects that were not found.
fn boxes(image: usize, matched: &Matched) -> Vec<(PixelBox, &'static str, String)> {
    let mut boxes = Vec::new();
    for class in &matched.classes {
        let cut = threshold(class);
        let mut found = Vec::new();
        for d in class.detections.iter().filter(|d| d.image == image && d.score >= cut) {
            let kind = match d.outcome {
                Outcome::TruePositive => "hit",
                Outcome::FalsePositive => "alarm",
                Outcome::Ignored => continue,
            };
            if d.outcome == Outcome::TruePositive {
                found.extend(d.best.map(|(at, _)| at));
            }
            boxes.push((d.bounds, kind, format!("{} {:.2}", class.name, d.score)));
        }
        for (at, object) in class.objects.iter().enumerate() {
            if object.image == image && !object.difficult && !found.contains(&at) {
                boxes.push((object.bounds, "missed", class.name.clone()));
            }
        }
    }
    boxes
}

/// The picture as a small JPEG; its size is that of the file, so that boxes fit. `None` where it cannot be
/// read: the words are still worth having.
fn small(path: &Path) -> Option<Small> {
    let frame = load_image(path).ok()?;
    let size = (frame.width(), frame.height());
    let picture = image::RgbImage::from_raw(size.0, size.1, frame.packed())?;
    let shrink = f64::from(SIDE) / f64::from(size.0.max(size.1));
    let picture = if shrink < 1.0 {
        let side = |side: u32| ((f64::from(side) * shrink).round() as u32).max(1);
        image::imageops::thumbnail(&picture, side(size.0), side(size.1))
    } else {
        picture
    };
    let mut bytes = Cursor::new(Vec::new());
    let kind = image::ExtendedColorType::Rgb8;
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode(&picture, picture.width(), picture.height(), kind)
        .ok()?;
    Some(Small { size, data: format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes.into_inner())) })
}
