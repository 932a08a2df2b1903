//! A drawing as SVG.

use super::drawing::{Anchor, Drawing, Shape};
use super::figure::Color;
use std::fmt::Write as _;

pub(super) fn write(drawing: &Drawing) -> String {
    let Drawing { width, height, shapes } = drawing;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"11.5\" fill=\"#282828\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for shape in shapes {
        // Writing to a `String` cannot fail.
        let _ = match shape {
            Shape::Line { points, color, width, dashed } => {
                let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
                let dash = if *dashed { " stroke-dasharray=\"6 4\"" } else { "" };
                let path = path.join(" ");
                let color = hex(*color);
                writeln!(
                    svg,
                    "<polyline points=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\"{dash}/>"
                )
            }
            Shape::Dot { center: (x, y), radius, color } => {
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{}\"/>", hex(*color))
            }
            Shape::Rectangle { from, to, color } => writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>",
                from.0,
                from.1,
                to.0 - from.0,
                to.1 - from.1,
                hex(*color)
            ),
            Shape::Text { at: (x, y), anchor, bold, text } => {
                let anchor = match anchor {
                    Anchor::Start => "",
                    Anchor::Middle => " text-anchor=\"middle\"",
                    Anchor::End => " text-anchor=\"end\"",
                };
                let bold = if *bold { " font-weight=\"bold\"" } else { "" };
                writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\"{anchor}{bold}>{}</text>", escaped(text))
            }
        };
    }
    svg + "</svg>\n"
}

fn hex([r, g, b]: Color) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
