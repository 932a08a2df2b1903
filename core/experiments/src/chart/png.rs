//! A drawing as PNG: shapes by tiny-skia, letters from an embedded bitmap font, so that no font must be installed.

use super::drawing::{Anchor, CHARACTER, Drawing, Shape};
use super::figure::Color;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::{FONT_7X13, FONT_7X13_BOLD};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::{DrawTarget, Drawable as _, OriginDimensions, Pixel, Point, Size};
use embedded_graphics::text::Text;
use std::convert::Infallible;
use tiny_skia::{FillRule, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform};

const INK: Color = [40, 40, 40];

pub(super) fn write(drawing: &Drawing) -> Vec<u8> {
    let width = drawing.width.ceil() as u32;
    let height = drawing.height.ceil() as u32;
    // A layout is at least as large as its title's line and at most a few thousand pixels.
    let mut pixels = Pixmap::new(width.clamp(1, 1 << 14), height.clamp(1, 1 << 14)).expect("a size in bounds");
    pixels.fill(tiny_skia::Color::WHITE);
    for shape in &drawing.shapes {
        draw(shape, &mut pixels);
    }
    let rgb: Vec<u8> = pixels.data().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, pixels.width(), pixels.height());
    encoder.set_color(::png::ColorType::Rgb);
    // Writing to a vector cannot fail.
    let mut writer = encoder.write_header().expect("a header in memory");
    writer.write_image_data(&rgb).expect("as many bytes as the header states");
    writer.finish().expect("an end in memory");
    bytes
}

fn draw(shape: &Shape, pixels: &mut Pixmap) {
    match shape {
        Shape::Line { points, color, width, dashed } => {
            let mut builder = PathBuilder::new();
            for (i, &(x, y)) in points.iter().enumerate() {
                if i == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
            }
            let dash = if *dashed { StrokeDash::new(vec![6.0, 4.0], 0.0) } else { None };
            let stroke = Stroke { width: *width, dash, ..Stroke::default() };
            if let Some(path) = builder.finish() {
                pixels.stroke_path(&path, &paint(*color), &stroke, Transform::identity(), None);
            }
        }
        Shape::Dot { center: (x, y), radius, color } => fill(PathBuilder::from_circle(*x, *y, *radius), *color, pixels),
        Shape::Rectangle { from, to, color } => {
            let rectangle = Rect::from_ltrb(from.0, from.1, to.0, to.1);
            fill(rectangle.map(PathBuilder::from_rect), *color, pixels);
        }
        Shape::Text { at, anchor, bold, text } => {
            let width = CHARACTER * text.chars().count() as f32;
            let left = match anchor {
                Anchor::Start => at.0,
                Anchor::Middle => at.0 - width / 2.0,
                Anchor::End => at.0 - width,
            };
            let font = if *bold { &FONT_7X13_BOLD } else { &FONT_7X13 };
            let style = MonoTextStyle::new(font, BinaryColor::On);
            // The target cannot fail.
            let _ = Text::new(text, Point::new(left.round() as i32, at.1.round() as i32), style).draw(&mut Ink(pixels));
        }
    }
}

fn fill(path: Option<Path>, color: Color, pixels: &mut Pixmap) {
    if let Some(path) = path {
        pixels.fill_path(&path, &paint(color), FillRule::Winding, Transform::identity(), None);
    }
}

fn paint([r, g, b]: Color) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(r, g, b, 255);
    paint
}

/// The position of letters.
struct Ink<'a>(&'a mut Pixmap);

impl OriginDimensions for Ink<'_> {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Ink<'_> {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(&mut self, letters: I) -> Result<(), Infallible> {
        let width = self.0.width() as i32;
        let height = self.0.height() as i32;
        for Pixel(Point { x, y }, color) in letters {
            if color == BinaryColor::On && (0..width).contains(&x) && (0..height).contains(&y) {
                let at = (y * width + x) as usize * 4;
                self.0.data_mut()[at..at + 3].copy_from_slice(&INK);
            }
        }
        Ok(())
    }
}
