//! The picture with boxes and labels over it.

use std::sync::Arc;

use egui::{
    Align2, Color32, ColorImage, Context, CornerRadius, FontId, Painter, Pos2, Rect, Role, Sense, Stroke,
    StrokeKind, TextureHandle, TextureOptions, Ui, Vec2, WidgetInfo, vec2,
};
use sandglass_detector::record::class_color;
use sandglass_detector::{Detection, Detections};

use super::table::percent;
use crate::state::State;

/// The one texture all frames go through.
#[derive(Default)]
pub struct Picture {
    texture: Option<TextureHandle>,
}

impl Picture {
    /// Puts a new frame into the texture.
    pub fn set(&mut self, ctx: &Context, image: Arc<ColorImage>) {
        match &mut self.texture {
            Some(texture) => texture.set(image, TextureOptions::LINEAR),
            None => self.texture = Some(ctx.load_texture("frame", image, TextureOptions::LINEAR)),
        }
    }
}

pub(super) fn show(ui: &mut Ui, state: &State, picture: &Picture) {
    let (area, response) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
    let painter = ui.painter_at(area);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, description(state)));
    match (&state.shown, &picture.texture) {
        (Some(shown), Some(texture)) => {
            let place = fit(vec2(shown.size[0] as f32, shown.size[1] as f32), area.shrink(8.0));
            let whole = Rect::from_min_max(Pos2::ZERO, Pos2::new(1.0, 1.0));
            painter.image(texture.id(), place, whole, Color32::WHITE);
            if let Some(found) = shown.detections.as_ref().filter(|_| state.settings.boxes) {
                boxes(&painter.with_clip_rect(place), place, found);
            }
        }
        _ => note(&painter, area, "Drop a video, a picture or a folder here", ui.visuals().text_color()),
    }
    if ui.input(|input| !input.raw.hovered_files.is_empty()) {
        painter.rect_filled(area, CornerRadius::ZERO, Color32::from_black_alpha(160));
        note(&painter, area, "Drop to open", Color32::WHITE);
    }
}

fn note(painter: &Painter, area: Rect, text: &str, colour: Color32) {
    painter.text(area.center(), Align2::CENTER_CENTER, text, FontId::proportional(18.0), colour);
}

/// What the picture shows, for those who cannot see it.
fn description(state: &State) -> String {
    let found = state.shown.as_ref().and_then(|shown| shown.detections.as_ref());
    let items = found.map_or(&[][..], |found| &found.items);
    let names: Vec<String> =
        items.iter().take(8).map(|d| format!("{} {}", d.label, percent(d.score))).collect();
    match names.is_empty() {
        true => format!("Video: {}", state.objects()),
        false => format!("Video: {}: {}", state.objects(), names.join(", ")),
    }
}

/// The largest place of the picture's shape in the middle of an area.
fn fit(size: Vec2, area: Rect) -> Rect {
    let scale = (area.width() / size.x).min(area.height() / size.y).max(0.0);
    Rect::from_center_size(area.center(), size * scale)
}

/// Boxes, then labels over all of them; the best object last, so that it is on top.
fn boxes(painter: &Painter, place: Rect, found: &Detections) {
    let scale = vec2(place.width() / found.width.max(1) as f32, place.height() / found.height.max(1) as f32);
    let rect = |item: &Detection| {
        let b = item.bounds;
        let corner = |x: f32, y: f32| place.min + vec2(x, y) * scale;
        Rect::from_min_max(corner(b.x1, b.y1), corner(b.x2, b.y2)).intersect(place)
    };
    for item in found.items.iter().rev() {
        let stroke = Stroke::new(2.5, colour(item.class_id));
        painter.rect_stroke(rect(item), CornerRadius::same(3), stroke, StrokeKind::Inside);
    }
    for item in found.items.iter().rev() {
        label(painter, place, rect(item), item);
    }
}

fn label(painter: &Painter, place: Rect, of: Rect, item: &Detection) {
    let fill = colour(item.class_id);
    let text = format!("{} {}", item.label, percent(item.score));
    let galley = painter.layout_no_wrap(text, FontId::proportional(14.0), ink(fill));
    let size = galley.size() + vec2(10.0, 4.0);
    // Above the box where there is room, else inside its upper edge; never beyond the picture's sides.
    let y = if of.top() - size.y >= place.top() { of.top() - size.y } else { of.top() };
    let x = of.left().min(place.right() - size.x).max(place.left());
    let tag = Rect::from_min_size(Pos2::new(x, y), size);
    painter.rect_filled(tag, CornerRadius::same(3), fill);
    painter.galley(tag.min + vec2(5.0, 2.0), galley, ink(fill));
}

/// The colour of a class.
pub(super) fn colour(class_id: usize) -> Color32 {
    let [r, g, b] = class_color(class_id);
    Color32::from_rgb(r, g, b)
}

/// Black or white, whichever can be read on a colour.
fn ink(on: Color32) -> Color32 {
    let luma = 0.299 * f32::from(on.r()) + 0.587 * f32::from(on.g()) + 0.114 * f32::from(on.b());
    if luma > 140.0 { Color32::BLACK } else { Color32::WHITE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_keep_their_shape() {
        let area = Rect::from_min_size(Pos2::new(10.0, 10.0), vec2(200.0, 100.0));
        let place = fit(vec2(100.0, 100.0), area);
        assert_eq!(place, Rect::from_min_size(Pos2::new(60.0, 10.0), vec2(100.0, 100.0)));
        assert_eq!(fit(vec2(400.0, 100.0), area).size(), vec2(200.0, 50.0));
    }

    #[test]
    fn labels_can_be_read() {
        assert_eq!(ink(Color32::YELLOW), Color32::BLACK);
        assert_eq!(ink(Color32::DARK_BLUE), Color32::WHITE);
    }
}
