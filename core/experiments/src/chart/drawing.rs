//! A laid-out figure, independent of the format.

use super::figure::Color;

/// A figure as shapes, in pixels from the top left.
#[derive(Debug)]
pub(super) struct Drawing {
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) shapes: Vec<Shape>,
}

#[derive(Debug)]
pub(super) enum Shape {
    Line { points: Vec<(f32, f32)>, color: Color, width: f32, dashed: bool },
    Dot { center: (f32, f32), radius: f32, color: Color },
    Rectangle { from: (f32, f32), to: (f32, f32), color: Color },
    Text { at: (f32, f32), anchor: Anchor, bold: bool, text: String },
}

/// The anchor of a text; vertically it is the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Width of a character and height of a line, in pixels: exact for the PNG's font, approximate for the SVG's.
pub(super) const CHARACTER: f32 = 7.0;
pub(super) const LINE: f32 = 17.0;
