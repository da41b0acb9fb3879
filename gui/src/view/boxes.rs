//! Boxes and labels over a picture.

use egui::{Color32, CornerRadius, FontId, Painter, Pos2, Rect, Stroke, StrokeKind, Vec2, vec2};
use sandglass_detector::Detection;
use sandglass_detector::record::class_color;

use super::table::percent;
use crate::settings::{Colours, Overlay};

/// Where a picture is drawn, and how its pixels get there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// On the screen, in points.
    pub(super) rect: Rect,
    /// Width and height of the picture in pixels.
    pub(super) size: Vec2,
    /// Whether left and right are exchanged.
    pub(super) mirror: bool,
}

impl Place {
    /// A box of the picture on the screen, cut to the picture.
    pub(super) fn on_screen(&self, item: &Detection) -> Rect {
        let b = item.bounds;
        let (x1, x2) = if self.mirror { (self.size.x - b.x2, self.size.x - b.x1) } else { (b.x1, b.x2) };
        let scale = self.rect.size() / self.size.max(Vec2::splat(1.0));
        let corner = |x: f32, y: f32| self.rect.min + vec2(x, y) * scale;
        Rect::from_min_max(corner(x1, b.y1), corner(x2, b.y2)).intersect(self.rect)
    }

    /// The smallest object at a point of the screen.
    pub(super) fn at<'a>(&self, items: &'a [Detection], point: Pos2) -> Option<&'a Detection> {
        let here = items.iter().filter(|item| self.on_screen(item).contains(point));
        here.min_by(|a, b| a.bounds.area().total_cmp(&b.bounds.area()))
    }
}

/// Boxes, then labels over all of them; the best object last, so that it is on top.
pub(super) fn draw(
    painter: &Painter,
    place: Place,
    items: &[Detection],
    overlay: &Overlay,
    highlight: Option<&Detection>,
) {
    let pointed_out = |item: &Detection| {
        highlight.is_some_and(|other| other.label == item.label && other.bounds.iou(item.bounds) > 0.5)
    };
    for item in items.iter().rev() {
        let rect = place.on_screen(item);
        let width = overlay.line_width;
        if pointed_out(item) {
            let halo = Stroke::new(width + 4.0, Color32::WHITE);
            painter.rect_stroke(rect, CornerRadius::same(3), halo, StrokeKind::Middle);
        }
        let stroke = Stroke::new(width, colour(item, overlay.colours));
        painter.rect_stroke(rect, CornerRadius::same(3), stroke, StrokeKind::Inside);
    }
    for item in items.iter().rev() {
        if let Some(text) = label_text(item, overlay) {
            label(painter, place.rect, place.on_screen(item), &text, colour(item, overlay.colours));
        }
    }
}

/// What is written at a box.
fn label_text(item: &Detection, overlay: &Overlay) -> Option<String> {
    match (overlay.labels, overlay.scores) {
        (true, true) => Some(format!("{} {}", item.label, percent(item.score))),
        (true, false) => Some(item.label.to_string()),
        (false, true) => Some(percent(item.score)),
        (false, false) => None,
    }
}

fn label(painter: &Painter, place: Rect, of: Rect, text: &str, fill: Color32) {
    let galley = painter.layout_no_wrap(text.to_owned(), FontId::proportional(14.0), ink(fill));
    let size = galley.size() + vec2(10.0, 4.0);
    // Above the box where there is room, else inside its upper edge; never beyond the picture's sides.
    let y = if of.top() - size.y >= place.top() { of.top() - size.y } else { of.top() };
    let x = of.left().min(place.right() - size.x).max(place.left());
    let tag = Rect::from_min_size(Pos2::new(x, y), size);
    painter.rect_filled(tag, CornerRadius::same(3), fill);
    painter.galley(tag.min + vec2(5.0, 2.0), galley, ink(fill));
}

/// The colour of an object.
pub(super) fn colour(item: &Detection, colours: Colours) -> Color32 {
    match colours {
        Colours::Class => {
            let [r, g, b] = class_color(item.class_id);
            Color32::from_rgb(r, g, b)
        }
        Colours::Score => {
            let score = item.score.clamp(0.0, 1.0);
            let channel = |share: f32| (share.clamp(0.0, 1.0) * 235.0) as u8;
            Color32::from_rgb(channel(2.0 - 2.0 * score), channel(2.0 * score), 40)
        }
    }
}

/// Black or white, whichever can be read on a colour.
fn ink(on: Color32) -> Color32 {
    let luma = 0.299 * f32::from(on.r()) + 0.587 * f32::from(on.g()) + 0.114 * f32::from(on.b());
    if luma > 140.0 { Color32::BLACK } else { Color32::WHITE }
}

#[cfg(test)]
mod tests {
    use sandglass_detector::BoxXyxy;

    use super::*;

    fn item(x1: f32, x2: f32) -> Detection {
        let bounds = BoxXyxy { x1, y1: 0.0, x2, y2: 50.0 };
        Detection { label: "cat".into(), class_id: 8, score: 0.5, bounds }
    }

    #[test]
    fn labels_can_be_read() {
        assert_eq!(ink(Color32::YELLOW), Color32::BLACK);
        assert_eq!(ink(Color32::DARK_BLUE), Color32::WHITE);
    }

    #[test]
    fn boxes_are_mirrored_with_the_picture_and_found_by_the_pointer() {
        let rect = Rect::from_min_size(Pos2::new(10.0, 0.0), vec2(200.0, 100.0));
        let place = Place { rect, size: vec2(100.0, 50.0), mirror: false };
        let (small, large) = (item(0.0, 20.0), item(0.0, 60.0));
        assert_eq!(place.on_screen(&small), Rect::from_min_max(Pos2::new(10.0, 0.0), Pos2::new(50.0, 100.0)));
        let items = [large.clone(), small.clone()];
        assert_eq!(place.at(&items, Pos2::new(20.0, 50.0)), Some(&small));
        assert_eq!(place.at(&items, Pos2::new(100.0, 50.0)), Some(&large));
        assert_eq!(place.at(&items, Pos2::new(200.0, 50.0)), None);
        let mirrored = Place { mirror: true, ..place };
        assert_eq!(mirrored.on_screen(&small).min.x, 170.0);
    }

    #[test]
    fn scores_have_colours_from_red_to_green() {
        let with = |score| colour(&Detection { score, ..item(0.0, 1.0) }, Colours::Score);
        assert!(with(0.1).r() > with(0.1).g() && with(0.9).g() > with(0.9).r());
        assert_ne!(with(f32::NAN), Color32::TRANSPARENT);
    }
}
