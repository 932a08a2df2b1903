//! The description of a figure: panels with axes and series.

/// Red, green, blue.
pub type Color = [u8; 3];

/// Colours that remain distinguishable with any colour vision (Okabe and Ito), for series.
pub const COLORS: [Color; 6] =
    [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [120, 120, 120]];

/// Panels in rows.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The title above all panels.
    pub title: String,
    /// Panels per row.
    pub columns: usize,
    /// In reading order.
    pub panels: Vec<Panel>,
}

/// One pair of axes.
#[derive(Clone, Debug)]
pub struct Panel {
    /// The title above the axes.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// As high as wide.
    pub square: bool,
    /// The series; non-empty names form the legend.
    pub series: Vec<Series>,
}

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// The quantity, with its unit.
    pub label: String,
    /// Whether the scale is logarithmic.
    pub log: bool,
    /// First and last value; `None`: derived from the series, including 0 on a linear vertical axis.
    pub range: Option<(f64, f64)>,
    /// Marked values, with their labels; empty: round numbers.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// A linear axis.
    pub fn linear(label: &str) -> Self {
        Self { label: label.to_owned(), log: false, range: None, ticks: Vec::new() }
    }

    /// A logarithmic axis; these values, above 0, are marked.
    pub fn log(label: &str, ticks: impl IntoIterator<Item = f64>) -> Self {
        let ticks = ticks.into_iter().map(|value| (value, value.to_string())).collect();
        Self { label: label.to_owned(), log: true, range: None, ticks }
    }

    /// Positions 0, 1, 2… with names.
    pub fn names(label: &str, names: impl IntoIterator<Item = String>) -> Self {
        let ticks: Vec<_> = names.into_iter().enumerate().map(|(i, name)| (i as f64, name)).collect();
        let range = Some((-0.6, ticks.len() as f64 - 0.4));
        Self { label: label.to_owned(), log: false, range, ticks }
    }
}

/// A series of points.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend; empty: none.
    pub name: String,
    /// x and y in the axes' units.
    pub points: Vec<(f64, f64)>,
    /// The style.
    pub style: Style,
    /// One for all points, or one for each.
    pub colors: Vec<Color>,
}

/// The style of a series.
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

    pub(super) fn color(&self, point: usize) -> Color {
        self.colors.get(point).or(self.colors.first()).copied().unwrap_or(COLORS[0])
    }
}

/// A colour between blue, red and yellow, for `share` from 0 to 1.
pub fn gradient(share: f64) -> Color {
    const STOPS: [[f64; 3]; 4] = [[13.0, 8.0, 135.0], [156.0, 23.0, 158.0], [237.0, 121.0, 83.0], [240.0, 200.0, 40.0]];
    let at = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let low = (at as usize).min(STOPS.len() - 2);
    let part = at - low as f64;
    [0, 1, 2].map(|c| (STOPS[low][c] + (STOPS[low + 1][c] - STOPS[low][c]) * part).round() as u8)
}
