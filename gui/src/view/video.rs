//! The picture with what was found in it; two of them while two detectors are compared.

use std::sync::Arc;

use egui::{
    Align2, Color32, ColorImage, Context, CornerRadius, CursorIcon, FontId, Painter, Pos2, Rect, Response,
    Role, Sense, Stroke, TextureHandle, TextureOptions, Ui, Vec2, WidgetInfo, pos2, vec2,
};
use sandglass_detector::{Detection, Detections};

use super::boxes::{self, Place};
use super::millis;
use super::table::percent;
use crate::message::Shot;
use crate::state::{Action, ActiveModel, Comparison, Layout, State};

/// The one texture all frames go through.
#[derive(Default)]
pub struct Texture {
    handle: Option<TextureHandle>,
}

impl Texture {
    /// Puts a new frame into the texture.
    pub fn set(&mut self, ctx: &Context, image: Arc<ColorImage>) {
        match &mut self.handle {
            Some(handle) => handle.set(image, TextureOptions::LINEAR),
            None => self.handle = Some(ctx.load_texture("frame", image, TextureOptions::LINEAR)),
        }
    }
}

pub(super) fn show(ui: &mut Ui, state: &State, texture: &Texture, actions: &mut Vec<Action>) {
    let (area, response) = ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
    let painter = ui.painter_at(area);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, description(state)));
    match (&state.shot, &texture.handle) {
        (Some(shot), Some(handle)) => {
            let canvas = Canvas { painter: &painter, texture: handle, shot, state };
            match &state.comparison {
                None => canvas.one(area, &response, actions),
                Some(comparison) if comparison.layout == Layout::SideBySide => {
                    canvas.side_by_side(area, comparison);
                }
                Some(comparison) => canvas.wipe(area, comparison, &response, actions),
            }
        }
        _ => note(&painter, area, "Drop a video, a picture or a folder here", ui.visuals().text_color()),
    }
    if ui.input(|input| !input.raw.hovered_files.is_empty()) {
        painter.rect_filled(area, CornerRadius::ZERO, Color32::from_black_alpha(160));
        note(&painter, area, "Drop to open", Color32::WHITE);
    }
}

/// What a picture is drawn with.
struct Canvas<'a> {
    painter: &'a Painter,
    texture: &'a TextureHandle,
    shot: &'a Shot,
    state: &'a State,
}

impl Canvas<'_> {
    fn place(&self, area: Rect) -> Place {
        let size = vec2(self.shot.size[0] as f32, self.shot.size[1] as f32);
        Place { rect: fit(size, area.shrink(8.0)), size, mirror: self.state.settings.overlay.mirror }
    }

    fn picture(&self, place: Place) {
        let (left, right) = if place.mirror { (1.0, 0.0) } else { (0.0, 1.0) };
        let whole = Rect { min: pos2(left, 0.0), max: pos2(right, 1.0) };
        self.painter.image(self.texture.id(), place.rect, whole, Color32::WHITE);
    }

    fn boxes(&self, place: Place, clip: Rect, items: &[Detection]) {
        if self.state.settings.overlay.boxes {
            let painter = self.painter.with_clip_rect(clip.intersect(self.painter.clip_rect()));
            let (overlay, highlight) = (&self.state.settings.overlay, self.state.highlight.as_ref());
            boxes::draw(&painter, place, items, overlay, highlight);
        }
    }

    /// One picture, whose objects can be pointed at.
    fn one(&self, area: Rect, response: &Response, actions: &mut Vec<Action>) {
        let place = self.place(area);
        self.picture(place);
        self.boxes(place, place.rect, &self.state.drawn);
        if self.state.settings.overlay.smooth {
            self.caption(place.rect.left_bottom(), Align2::LEFT_BOTTOM, "steadied boxes");
        }
        let items = self.state.items();
        let here = response.hover_pos().and_then(|point| place.at(items, point));
        if response.clicked() {
            let chosen = here.filter(|item| self.state.highlight.as_ref() != Some(item));
            actions.push(Action::Highlight(chosen.cloned()));
        }
        if let Some(item) = here {
            response.clone().on_hover_ui_at_pointer(|ui| details(ui, item));
        }
    }

    /// A picture for each detector.
    fn side_by_side(&self, area: Rect, comparison: &Comparison) {
        let (left, right) = area.split_left_right_at_fraction(0.5);
        let rival = self.state.rival_found();
        let lists = [self.state.items(), rival.as_ref().map_or(&[][..], |found| &found.items)];
        let captions = self.captions(comparison, rival.as_ref());
        for ((area, items), caption) in [left, right].into_iter().zip(lists).zip(captions) {
            let place = self.place(area);
            self.picture(place);
            self.boxes(place, place.rect, items);
            self.caption(place.rect.left_bottom(), Align2::LEFT_BOTTOM, &caption);
        }
    }

    /// One picture: left of an edge the first detector's objects, right of it the second's.
    fn wipe(&self, area: Rect, comparison: &Comparison, response: &Response, actions: &mut Vec<Action>) {
        let place = self.place(area);
        let rect = place.rect;
        self.picture(place);
        let rival = self.state.rival_found();
        let edge = rect.left() + rect.width() * comparison.edge;
        let (left, right) = rect.split_left_right_at_x(edge);
        self.boxes(place, left, self.state.items());
        self.boxes(place, right, rival.as_ref().map_or(&[], |found| &found.items));
        self.painter.vline(edge, rect.y_range(), Stroke::new(4.0, Color32::from_black_alpha(160)));
        self.painter.vline(edge, rect.y_range(), Stroke::new(2.0, Color32::WHITE));
        let [first, second] = self.captions(comparison, rival.as_ref());
        self.caption(rect.left_bottom(), Align2::LEFT_BOTTOM, &first);
        self.caption(rect.right_bottom(), Align2::RIGHT_BOTTOM, &second);
        let held = response.interact_pointer_pos().filter(|_| response.dragged() || response.clicked());
        if let Some(point) = held.filter(|_| rect.width() > 0.0) {
            let edge = ((point.x - rect.left()) / rect.width()).clamp(0.0, 1.0);
            if edge != comparison.edge {
                actions.push(Action::Edge(edge));
            }
        }
        response.clone().on_hover_cursor(CursorIcon::ResizeHorizontal);
    }

    /// Name, time and number of objects of both detectors.
    fn captions(&self, comparison: &Comparison, rival: Option<&Detections>) -> [String; 2] {
        let caption = |name: &str, found: Option<&Detections>| match found {
            Some(found) => {
                let time = millis(found.timing.total().as_secs_f32() * 1000.0);
                format!("{name}  ·  {time}  ·  {}", crate::status::objects(found.items.len()))
            }
            None => format!("{name}  ·  loading…"),
        };
        let name = |active: Option<&ActiveModel>, otherwise: &str| match active {
            Some(active) if active.trained => active.backbone.clone(),
            Some(active) => format!("{} (untrained)", active.backbone),
            None => otherwise.to_owned(),
        };
        let main = name(self.state.active.as_ref(), "");
        let second = name(comparison.active.as_ref(), &comparison.backbone);
        [caption(&main, self.state.kept.as_ref()), caption(&second, rival)]
    }

    /// Words on a dark ground in a corner of a picture.
    fn caption(&self, corner: Pos2, align: Align2, text: &str) {
        let font = FontId::proportional(13.0);
        let galley = self.painter.layout_no_wrap(text.to_owned(), font, Color32::WHITE);
        let rect = align.anchor_size(corner, galley.size() + vec2(14.0, 8.0));
        self.painter.rect_filled(rect, CornerRadius::same(3), Color32::from_black_alpha(170));
        self.painter.galley(rect.min + vec2(7.0, 4.0), galley, Color32::WHITE);
    }
}

/// What there is to know about an object.
fn details(ui: &mut Ui, item: &Detection) {
    let b = item.bounds;
    ui.strong(format!("{} {}", item.label, percent(item.score)));
    ui.label(format!("score {:.4}, class {}", item.score, item.class_id));
    ui.monospace(format!("x {:.1} to {:.1}", b.x1, b.x2));
    ui.monospace(format!("y {:.1} to {:.1}", b.y1, b.y2));
    ui.monospace(format!("{:.1} × {:.1} pixels", b.x2 - b.x1, b.y2 - b.y1));
}

fn note(painter: &Painter, area: Rect, text: &str, colour: Color32) {
    painter.text(area.center(), Align2::CENTER_CENTER, text, FontId::proportional(18.0), colour);
}

/// What the picture shows, for those who cannot see it.
fn description(state: &State) -> String {
    let names: Vec<String> =
        state.items().iter().take(8).map(|d| format!("{} {}", d.label, percent(d.score))).collect();
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
}
