//! Draws egui's triangles with the processor: the same picture on every machine, with or without a display.

use std::collections::HashMap;

use egui::epaint::{ImageDelta, Primitive, Vertex};
use egui::{Color32, Context, FullOutput, ImageData, Pos2, Rect, TextureId, TexturesDelta};
use egui_kittest::TestRenderer;
use image::RgbaImage;

/// A texture in sRGB with premultiplied alpha, as egui hands it over.
#[derive(Default)]
struct Texture {
    size: [usize; 2],
    pixels: Vec<Color32>,
}

impl Texture {
    fn update(&mut self, delta: &ImageDelta) {
        let ImageData::Color(image) = &delta.image;
        match delta.pos {
            None => (self.size, self.pixels) = (image.size, image.pixels.clone()),
            Some([x, y]) => {
                for (row, line) in image.pixels.chunks(image.size[0]).enumerate() {
                    let start = (y + row) * self.size[0] + x;
                    self.pixels[start..start + line.len()].copy_from_slice(line);
                }
            }
        }
    }

    /// The colour at a place from 0 to 1, mixed from the four nearest pixels.
    fn at(&self, at: Pos2) -> [f32; 4] {
        let [w, h] = self.size;
        let x = (at.x * w as f32 - 0.5).clamp(0.0, (w - 1) as f32);
        let y = (at.y * h as f32 - 0.5).clamp(0.0, (h - 1) as f32);
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(w - 1), (top + 1).min(h - 1));
        let pixel = |x: usize, y: usize| self.pixels[y * w + x].to_array().map(f32::from);
        let mix = |a: [f32; 4], b: [f32; 4], t: f32| -> [f32; 4] {
            std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
        };
        let (tx, ty) = (x.fract(), y.fract());
        let above = mix(pixel(left, top), pixel(right, top), tx);
        mix(above, mix(pixel(left, bottom), pixel(right, bottom), tx), ty)
    }
}

/// A renderer for tests.
#[derive(Default)]
pub(crate) struct Raster {
    textures: HashMap<TextureId, Texture>,
}

impl TestRenderer for Raster {
    fn handle_delta(&mut self, delta: &mut TexturesDelta) {
        for (id, changes) in std::mem::take(&mut delta.set) {
            let texture = self.textures.entry(id).or_default();
            changes.iter().for_each(|change| texture.update(change));
        }
        for id in std::mem::take(&mut delta.free) {
            self.textures.remove(&id);
        }
    }

    fn render(&mut self, ctx: &Context, output: &FullOutput) -> Result<RgbaImage, String> {
        let scale = ctx.pixels_per_point();
        let size = ctx.content_rect().size() * scale;
        let mut canvas = RgbaImage::from_pixel(size.x as u32, size.y as u32, image::Rgba([0, 0, 0, 255]));
        for clipped in ctx.tessellate(output.shapes.clone(), scale) {
            let Primitive::Mesh(mesh) = clipped.primitive else { continue };
            let Some(texture) = self.textures.get(&mesh.texture_id) else {
                return Err("a texture is missing".into());
            };
            let clip = clipped.clip_rect * scale;
            for corners in mesh.indices.chunks_exact(3) {
                let corner = |at: usize| mesh.vertices[corners[at] as usize];
                triangle(&mut canvas, texture, clip, [corner(0), corner(1), corner(2)], scale);
            }
        }
        Ok(canvas)
    }
}

/// Twice the area of a triangle, negative where it turns the other way.
fn area(a: Pos2, b: Pos2, c: Pos2) -> f32 {
    (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)
}

/// Whether an edge belongs to the triangle at its left and not to the one at its right: pixels on the edge
/// of two are drawn once.
fn owns(a: Pos2, b: Pos2) -> bool {
    a.y > b.y || (a.y == b.y && a.x < b.x)
}

fn triangle(canvas: &mut RgbaImage, texture: &Texture, clip: Rect, mut corners: [Vertex; 3], scale: f32) {
    for corner in &mut corners {
        corner.pos = (corner.pos.to_vec2() * scale).to_pos2();
    }
    if area(corners[0].pos, corners[1].pos, corners[2].pos) < 0.0 {
        corners.swap(1, 2);
    }
    let [a, b, c] = corners;
    let whole = area(a.pos, b.pos, c.pos);
    if whole <= 0.0 {
        return;
    }
    let bounds = Rect::from_points(&[a.pos, b.pos, c.pos]).intersect(clip);
    let last = |most: f32, side: u32| (most.ceil().max(0.0) as u32).min(side);
    for y in bounds.min.y.floor().max(0.0) as u32..last(bounds.max.y, canvas.height()) {
        for x in bounds.min.x.floor().max(0.0) as u32..last(bounds.max.x, canvas.width()) {
            let point = Pos2::new(x as f32 + 0.5, y as f32 + 0.5);
            if !clip.contains(point) {
                continue;
            }
            let weights = [
                (area(b.pos, c.pos, point), owns(b.pos, c.pos)),
                (area(c.pos, a.pos, point), owns(c.pos, a.pos)),
                (area(a.pos, b.pos, point), owns(a.pos, b.pos)),
            ];
            if weights.iter().any(|(w, owned)| *w < 0.0 || (*w == 0.0 && !owned)) {
                continue;
            }
            let [wa, wb, wc] = weights.map(|(w, _)| w / whole);
            let uv = (a.uv.to_vec2() * wa + b.uv.to_vec2() * wb + c.uv.to_vec2() * wc).to_pos2();
            let texel = texture.at(uv);
            let [ca, cb, cc] = [a, b, c].map(|corner| corner.color.to_array().map(f32::from));
            let source: [f32; 4] =
                std::array::from_fn(|i| (ca[i] * wa + cb[i] * wb + cc[i] * wc) * texel[i] / 255.0);
            let pixel = canvas.get_pixel_mut(x, y);
            for (channel, value) in pixel.0.iter_mut().zip(source) {
                *channel = (value + f32::from(*channel) * (1.0 - source[3] / 255.0)).round() as u8;
            }
        }
    }
}
