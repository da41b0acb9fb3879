//! Boxes with labels over a picture.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont};
use image::{Rgb, RgbImage};
use imageproc::drawing::{draw_filled_rect_mut, draw_text_mut, text_size};
use imageproc::rect::Rect;

use crate::detections::{Detection, Detections};
use crate::frame::Frame;

/// DejaVu Sans Bold, Latin letters only; see `assets/PROVENANCE.md`.
const FONT: &[u8] = include_bytes!("../../../assets/font/DejaVuSans-Bold-Latin.ttf");

/// The line around boxes.
const EDGE: Rgb<u8> = Rgb([24; 3]);

/// What is drawn beside the boxes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    /// A line at the bottom with the frame's time, the backbone and how long detection took.
    pub banner: bool,
}

/// As [`draw`], with what `overlay` asks for.
#[must_use]
pub fn draw_with(frame: &Frame, found: &Detections, backbone: &str, overlay: &Overlay) -> Frame {
    let Some(mut picture) = RgbImage::from_raw(frame.width(), frame.height(), frame.packed()) else {
        return frame.clone();
    };
    draw_on(&mut picture, &found.items);
    if overlay.banner {
        let seconds = frame.captured().as_secs_f64();
        let (minutes, seconds) = ((seconds / 60.0).floor(), seconds % 60.0);
        let took = found.timing.total().as_secs_f64() * 1000.0;
        banner(&mut picture, &format!("{minutes:02.0}:{seconds:06.3}  {backbone}  {took:.1} ms"));
    }
    match Frame::rgb8(frame.width(), frame.height(), picture.into_raw()) {
        Ok(drawn) => drawn.at(frame.captured()),
        Err(_) => frame.clone(),
    }
}

/// A line of white letters on black at the lower left.
fn banner(picture: &mut RgbImage, text: &str) {
    let Ok(font) = FontRef::try_from_slice(FONT) else { return };
    let letters = letters(picture);
    let (width, height) = text_size(letters, &font, text);
    let (pad, bottom) = (height as i32 / 3, picture.height() as i32);
    let top = bottom - height as i32 - 2 * pad;
    fill(picture, (0, top), (width as i32 + 2 * pad, bottom - top), Rgb([0; 3]));
    draw_text_mut(picture, Rgb([255; 3]), pad, top + pad, letters, &font, text);
}

/// Letters that grow with the picture: 26 pixels for every 1000 of the mean side.
fn letters(picture: &RgbImage) -> PxScale {
    PxScale::from((26.0 * scale(picture)).round().max(13.0))
}

/// The mean side of a picture in thousands of pixels.
fn scale(picture: &RgbImage) -> f32 {
    (picture.width() + picture.height()) as f32 / 2000.0
}

/// A copy of a frame with a box and a label such as `person 0.96` for each detection, the best on top.
///
/// Lines and letters grow with the picture. Boxes are cut to the picture and labels kept inside it; a box
/// without any part inside is left out. The time of the frame stays.
#[must_use]
pub fn draw(frame: &Frame, items: &[Detection]) -> Frame {
    let Some(mut picture) = RgbImage::from_raw(frame.width(), frame.height(), frame.packed()) else {
        return frame.clone();
    };
    draw_on(&mut picture, items);
    match Frame::rgb8(frame.width(), frame.height(), picture.into_raw()) {
        Ok(drawn) => drawn.at(frame.captured()),
        Err(_) => frame.clone(),
    }
}

/// As [`draw`], onto a picture of the size the detections are for.
pub fn draw_on(picture: &mut RgbImage, items: &[Detection]) {
    let (width, height) = picture.dimensions();
    // Four pixels for every 1000 of the mean side.
    let line = (4.0 * scale(picture)).round().max(1.0) as i32;
    let letters = letters(picture);
    let font = FontRef::try_from_slice(FONT).ok();
    for item in items.iter().rev() {
        let b = item.bounds.clipped(width, height);
        let inside = b.area() > 0.0 && [b.x1, b.y1, b.x2, b.y2].iter().all(|v| v.is_finite());
        if !inside {
            continue;
        }
        let color = Rgb(class_color(item.class_id));
        let (left, top) = (b.x1.round() as i32, b.y1.round() as i32);
        let (right, bottom) = (b.x2.round() as i32, b.y2.round() as i32);
        outline(picture, [left, top, right, bottom], line, color);
        if let Some(font) = &font {
            let text = format!("{} {:.2}", item.label, item.score);
            label(picture, (left, top), &text, font, letters, color);
        }
    }
}

/// Four bars just inside a rectangle, as thick as fits, with a dark line around them: seen on any
/// background, and a change of brightness, without which a video encoder leaves shadows of boxes that moved.
fn outline(picture: &mut RgbImage, [left, top, right, bottom]: [i32; 4], line: i32, color: Rgb<u8>) {
    let (w, h) = ((right - left).max(1), (bottom - top).max(1));
    let line = line.min(w).min(h);
    bars(picture, [left - 1, top - 1, w + 2, h + 2], 1, EDGE);
    bars(picture, [left, top, w, h], line, color);
}

/// Four bars just inside a rectangle.
fn bars(picture: &mut RgbImage, [left, top, w, h]: [i32; 4], line: i32, color: Rgb<u8>) {
    fill(picture, (left, top), (w, line), color);
    fill(picture, (left, top + h - line), (w, line), color);
    fill(picture, (left, top), (line, h), color);
    fill(picture, (left + w - line, top), (line, h), color);
}

/// The label on top of the box, or in its upper corner where there is no room above.
fn label(
    picture: &mut RgbImage,
    (left, top): (i32, i32),
    text: &str,
    font: &FontRef<'_>,
    letters: PxScale,
    color: Rgb<u8>,
) {
    let scaled = font.as_scaled(letters);
    let margin = (letters.y / 5.0).round() as i32;
    let text_width = i32::try_from(text_size(letters, font, text).0).unwrap_or(i32::MAX / 2);
    let (width, height) = (text_width + 2 * margin, scaled.height().ceil() as i32 + margin);
    let (picture_width, picture_height) = (picture.width() as i32, picture.height() as i32);
    let x = left.min(picture_width - width).max(0);
    let y = if top >= height { top - height } else { top.min(picture_height - height).max(0) };
    fill(picture, (x, y), (width, height), color);
    draw_text_mut(picture, on_top_of(color), x + margin, y + margin / 2, letters, font, text);
}

/// A filled rectangle of at least one pixel; what is outside the picture is not drawn.
fn fill(picture: &mut RgbImage, (x, y): (i32, i32), (width, height): (i32, i32), color: Rgb<u8>) {
    let rect = Rect::at(x, y).of_size(width.max(1) as u32, height.max(1) as u32);
    draw_filled_rect_mut(picture, rect, color);
}

/// The colour of a class as red, green, blue: the same in every frame and run, and far from those of the
/// classes before and after it.
#[must_use]
pub fn class_color(class_id: usize) -> [u8; 3] {
    // Steps of the golden angle never come back to a hue; three strengths tell near hues apart.
    let hue = (class_id % 1000) as f32 * 137.508 % 360.0 / 60.0;
    let (saturation, value) = [(0.85, 1.0), (0.55, 1.0), (0.9, 0.75)][class_id % 3];
    [5.0_f32, 3.0, 1.0].map(|offset| {
        let k = (offset + hue) % 6.0;
        let channel = value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0);
        (channel * 255.0).round() as u8
    })
}

/// Black or white, whichever is easier to read on a colour.
fn on_top_of(Rgb([r, g, b]): Rgb<u8>) -> Rgb<u8> {
    let linear = |c: u8| (f32::from(c) / 255.0).powf(2.2);
    let luminance = 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    // Where the contrast to black, (L + 0.05) / 0.05, equals the one to white, 1.05 / (L + 0.05).
    if luminance > 0.179 { Rgb([0; 3]) } else { Rgb([255; 3]) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;
    use crate::detections::BoxXyxy;

    fn found(class_id: usize, [x1, y1, x2, y2]: [f32; 4]) -> Detection {
        let bounds = BoxXyxy { x1, y1, x2, y2 };
        Detection { label: "person".into(), class_id, score: 0.964, bounds }
    }

    fn grey(width: u32, height: u32) -> Frame {
        Frame::rgb8(width, height, vec![90; (width * height * 3) as usize]).unwrap()
    }

    fn pixel(frame: &Frame, x: usize, y: u32) -> [u8; 3] {
        frame.row(y)[x * 3..x * 3 + 3].try_into().unwrap()
    }

    #[test]
    fn a_box_is_drawn_where_it_is() {
        let frame = grey(200, 100).at(Duration::from_secs(3));
        let drawn = draw(&frame, &[found(1, [20.0, 40.0, 120.0, 90.0])]);
        assert_eq!(drawn.captured(), Duration::from_secs(3));
        assert_eq!(pixel(&drawn, 20, 60), class_color(1));
        assert_eq!(pixel(&drawn, 119, 60), class_color(1));
        assert_eq!(pixel(&drawn, 70, 89), class_color(1));
        assert_eq!(pixel(&drawn, 70, 60), [90; 3]);
        assert_eq!(pixel(&drawn, 120, 60), EDGE.0);
        assert_eq!(pixel(&drawn, 121, 60), [90; 3]);
        // The label stands above the box: its background, and letters of another colour.
        assert_eq!(pixel(&drawn, 21, 38), class_color(1));
        let letters = (20..80).any(|x| (25..40).any(|y| pixel(&drawn, x, y) == [0; 3]));
        assert!(letters);
    }

    #[test]
    fn nothing_leaves_the_picture_or_breaks_it() {
        let boxes = [
            [-50.0, -50.0, 500.0, 500.0],
            [195.0, 0.0, 260.0, 30.0],
            [0.0, 95.0, 40.0, 100.0],
            [300.0, 300.0, 400.0, 400.0],
            [50.0, 50.0, 40.0, 40.0],
            [f32::NAN, 0.0, 40.0, 40.0],
            [f32::NEG_INFINITY, f32::NEG_INFINITY, f32::INFINITY, f32::INFINITY],
            [10.0, 10.0, 10.1, 10.1],
        ];
        for (width, height) in [(200, 100), (1, 1), (3, 700), (16, 2)] {
            for bounds in boxes {
                let drawn = draw(&grey(width, height), &[found(7, bounds)]);
                assert_eq!((drawn.width(), drawn.height()), (width, height));
            }
        }
        let outside = draw(&grey(200, 100), &[found(7, boxes[3])]);
        assert_eq!(outside.pixels(), grey(200, 100).pixels());
    }

    #[test]
    fn colours_are_distinct_and_readable() {
        let colors: HashSet<_> = (0..91).map(class_color).collect();
        assert_eq!(colors.len(), 91);
        assert_eq!(on_top_of(Rgb([255, 255, 0])), Rgb([0; 3]));
        assert_eq!(on_top_of(Rgb([40, 20, 160])), Rgb([255; 3]));
        assert_ne!(class_color(usize::MAX), class_color(usize::MAX - 1));
    }
}
