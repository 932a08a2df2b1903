//! Figures of an experiment: panels with axes, a legend and a few kinds of series, written as SVG or PNG. A figure is laid
//! out once as shapes, which both writers draw.

mod layout;
mod png;
mod svg;

/// Red, green, blue.
pub type Color = [u8; 3];

/// Colours that people of every kind of colour vision tell apart (Okabe and Ito), for series.
pub const COLORS: [Color; 6] =
    [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [120, 120, 120]];

/// Panels in rows.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Above all panels.
    pub title: String,
    /// Panels in a row.
    pub columns: usize,
    /// In reading order.
    pub panels: Vec<Panel>,
}

/// One pair of axes.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Above the axes.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// As high as wide.
    pub square: bool,
    /// What is drawn; names that are not empty make the legend.
    pub series: Vec<Series>,
}

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it measures, with the unit.
    pub label: String,
    /// Distances are of logarithms.
    pub log: bool,
    /// First and last value; `None`: what the series need, and 0 of a linear vertical axis.
    pub range: Option<(f64, f64)>,
    /// Values that are marked, with their names; empty: round numbers.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Distances are of values.
    pub fn linear(label: &str) -> Self {
        Self { label: label.to_owned(), log: false, range: None, ticks: Vec::new() }
    }

    /// Distances are of logarithms; these values, above 0, are marked.
    pub fn log(label: &str, ticks: impl IntoIterator<Item = f64>) -> Self {
        let ticks = ticks.into_iter().map(|value| (value, value.to_string())).collect();
        Self { label: label.to_owned(), log: true, range: None, ticks }
    }

    /// Places 0, 1, 2… with names.
    pub fn names(label: &str, names: impl IntoIterator<Item = String>) -> Self {
        let ticks: Vec<_> = names.into_iter().enumerate().map(|(i, name)| (i as f64, name)).collect();
        let range = Some((-0.6, ticks.len() as f64 - 0.4));
        Self { label: label.to_owned(), log: false, range, ticks }
    }
}

/// Points that belong together.
#[derive(Clone, Debug)]
pub struct Series {
    /// In the legend; empty: not in it.
    pub name: String,
    /// x and y in the axes' units.
    pub points: Vec<(f64, f64)>,
    /// How they are drawn.
    pub style: Style,
    /// One for all points, or one for each.
    pub colors: Vec<Color>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line through the points, each with a dot.
    Line,
    /// A dashed line without dots.
    Dashed,
    /// Dots.
    Points,
    /// A bar from the axis to each point.
    Bars,
}

impl Series {
    /// A series of one colour, the `number`th of [`COLORS`].
    pub fn new(name: &str, style: Style, number: usize, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), points, style, colors: vec![COLORS[number % COLORS.len()]] }
    }

    fn color(&self, point: usize) -> Color {
        self.colors.get(point).or(self.colors.first()).copied().unwrap_or(COLORS[0])
    }
}

/// A colour on the way from blue over red to yellow, for `share` from 0 to 1.
pub fn gradient(share: f64) -> Color {
    const STOPS: [[f64; 3]; 4] = [[13.0, 8.0, 135.0], [156.0, 23.0, 158.0], [237.0, 121.0, 83.0], [240.0, 200.0, 40.0]];
    let at = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let low = (at as usize).min(STOPS.len() - 2);
    let part = at - low as f64;
    [0, 1, 2].map(|c| (STOPS[low][c] + (STOPS[low + 1][c] - STOPS[low][c]) * part).round() as u8)
}

impl Figure {
    /// The figure as SVG.
    pub fn svg(&self) -> String {
        svg::write(&layout::lay_out(self))
    }

    /// The figure as PNG.
    pub fn png(&self) -> Vec<u8> {
        png::write(&layout::lay_out(self))
    }
}

/// A figure as shapes, in pixels from the top left.
#[derive(Debug)]
struct Drawing {
    width: f32,
    height: f32,
    shapes: Vec<Shape>,
}

#[derive(Debug)]
enum Shape {
    Line { points: Vec<(f32, f32)>, color: Color, width: f32, dashed: bool },
    Dot { center: (f32, f32), radius: f32, color: Color },
    Rectangle { from: (f32, f32), to: (f32, f32), color: Color },
    Text { at: (f32, f32), anchor: Anchor, bold: bool, text: String },
}

/// Which point of a text stands at its place; vertically the base line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// Width of a character and height of a line, in pixels: what the PNG's font has, and what the SVG's comes near.
const CHARACTER: f32 = 7.0;
const LINE: f32 = 17.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn figure() -> Figure {
        let line = Series::new("measured <MiB>", Style::Line, 0, vec![(1.0, 30.0), (2.0, 15.0), (4.0, 9.0)]);
        let dashed = Series::new("formula", Style::Dashed, 1, vec![(1.0, 29.0), (4.0, 8.0)]);
        let bars = Series::new("", Style::Bars, 2, vec![(0.0, 2.0), (1.0, -1.0)]);
        let panel =
            |title: &str, x, series| Panel { title: title.into(), x, y: Axis::linear("MiB"), square: false, series };
        Figure {
            title: "A & B".into(),
            columns: 2,
            panels: vec![
                panel("lines", Axis::log("t", [1.0, 2.0, 4.0]), vec![line, dashed]),
                panel("bars", Axis::names("block", ["2".into(), "4".into()]), vec![bars]),
            ],
        }
    }

    #[test]
    fn svg_says_everything_and_is_well_formed() {
        let svg = figure().svg();
        for wanted in
            ["A &amp; B", "measured &lt;MiB&gt;", "formula", ">MiB<", ">t<", "lines", "bars", "stroke-dasharray"]
        {
            assert!(svg.contains(wanted), "{wanted} is not in\n{svg}");
        }
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn png_shows_what_is_drawn() {
        let bytes = figure().png();
        let mut reader = ::png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.color_type, ::png::ColorType::Rgb);
        let share = |color: Color| {
            let hits = pixels.chunks_exact(3).filter(|p| p.iter().zip(color).all(|(a, b)| a.abs_diff(b) < 12)).count();
            hits as f64 / (info.width * info.height) as f64
        };
        for (number, least) in [(0, 1e-4), (1, 1e-4), (2, 1e-2)] {
            assert!(share(COLORS[number]) > least, "colour {number}: {}", share(COLORS[number]));
        }
        assert!(share([255; 3]) > 0.7);
        assert!(share([40; 3]) > 1e-3, "no text: {}", share([40; 3]));
    }

    #[test]
    fn empty_and_flat_series_are_drawn_too() {
        let mut figure = figure();
        figure.panels[0].series = vec![Series::new("one", Style::Line, 0, vec![(3.0, 0.0)])];
        figure.panels[1].series = Vec::new();
        let svg = figure.svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(!figure.png().is_empty());
    }

    #[test]
    fn the_gradient_goes_from_end_to_end() {
        assert_eq!(gradient(0.0), [13, 8, 135]);
        assert_eq!(gradient(1.0), [240, 200, 40]);
        assert_eq!(gradient(7.0), gradient(1.0));
    }
}
