//! Lays out a figure: panels, axes, ticks, legends and series become shapes in pixels.

use super::drawing::{Anchor, CHARACTER, Drawing, LINE, Shape};
use super::figure::{Axis, Color, Figure, Panel, Series, Style};

const PLOT: (f32, f32) = (380.0, 240.0);
const SQUARE: f32 = 260.0;
const LEFT: f32 = 70.0;
const RIGHT: f32 = 24.0;
const BELOW: f32 = 52.0;
const INK: Color = [40, 40, 40];
const GRID: Color = [225, 225, 225];

pub(super) fn lay_out(figure: &Figure) -> Drawing {
    let mut shapes = Vec::new();
    let text_width = |text: &str| CHARACTER * text.chars().count() as f32;
    let columns = figure.columns.clamp(1, figure.panels.len().max(1));
    let mut top = 2.0 * LINE;
    let mut width = 2.0 * LEFT + text_width(&figure.title);
    for row in figure.panels.chunks(columns) {
        let legend = row.iter().map(|panel| legend_lines(panel).len()).max().unwrap_or(0);
        let plot_top = top + LINE * (3.0 + legend as f32);
        let mut left = 0.0;
        let mut lowest = plot_top;
        for panel in row {
            let (w, h) = if panel.square { (SQUARE, SQUARE) } else { PLOT };
            let frame = Frame { left: left + LEFT, top: plot_top, width: w, height: h };
            draw_panel(panel, &frame, &mut shapes);
            left += LEFT + w + RIGHT;
            lowest = f32::max(lowest, plot_top + h);
        }
        width = width.max(left);
        top = lowest + BELOW;
    }
    let title = Shape::Text { at: (LEFT, 1.4 * LINE), anchor: Anchor::Start, bold: true, text: figure.title.clone() };
    shapes.insert(0, title);
    Drawing { width, height: top, shapes }
}

/// The rectangle between the axes.
struct Frame {
    left: f32,
    top: f32,
    width: f32,
    height: f32,
}

/// Maps values to a share of the axis.
struct Range {
    from: f64,
    to: f64,
    log: bool,
}

impl Range {
    fn of(axis: &Axis, values: impl Iterator<Item = f64> + Clone, zero: bool) -> Self {
        let (from, to) = axis.range.unwrap_or_else(|| {
            let values = values.filter(|v| v.is_finite() && (!axis.log || *v > 0.0));
            let (mut low, mut high) =
                values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
            if low > high {
                (low, high) = (1.0, 2.0);
            }
            if zero && !axis.log {
                (low, high) = (low.min(0.0), high.max(0.0));
            }
            if axis.log {
                (low / 1.15, high * 1.15)
            } else {
                let room = if high > low { (high - low) * 0.06 } else { 0.5 };
                (if zero && low >= 0.0 { low } else { low - room }, high + room)
            }
        });
        Self { from, to, log: axis.log }
    }

    fn share(&self, value: f64) -> f32 {
        let place = |v: f64| if self.log { v.max(f64::MIN_POSITIVE).ln() } else { v };
        ((place(value) - place(self.from)) / (place(self.to) - place(self.from))) as f32
    }

    /// Round numbers inside.
    fn ticks(&self) -> Vec<(f64, String)> {
        let rough = (self.to - self.from) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough).unwrap_or(rough);
        let digits = (-step.log10().floor()).max(0.0) as usize;
        let mut ticks = Vec::new();
        let mut number = (self.from / step - 1e-9).ceil();
        while number * step <= self.to + step * 1e-9 {
            // No -0.
            let value = number * step + 0.0;
            ticks.push((value, format!("{value:.digits$}")));
            number += 1.0;
        }
        ticks
    }
}

fn draw_panel(panel: &Panel, frame: &Frame, shapes: &mut Vec<Shape>) {
    let points = || panel.series.iter().flat_map(|series| series.points.iter().copied());
    let x = Range::of(&panel.x, points().map(|p| p.0), false);
    let y = Range::of(&panel.y, points().map(|p| p.1), true);
    let place =
        |p: (f64, f64)| (frame.left + frame.width * x.share(p.0), frame.top + frame.height * (1.0 - y.share(p.1)));
    let right = frame.left + frame.width;
    let bottom = frame.top + frame.height;
    let text = |at, anchor, bold, text: &str| Shape::Text { at, anchor, bold, text: text.to_owned() };
    let line = |from, to, color| Shape::Line { points: vec![from, to], color, width: 1.0, dashed: false };

    let legend = legend_lines(panel);
    shapes.push(text((frame.left, frame.top - LINE * (1.8 + legend.len() as f32)), Anchor::Start, true, &panel.title));
    for (number, names) in legend.iter().enumerate() {
        let base = frame.top - LINE * (0.6 + (legend.len() - number) as f32);
        let mut left = frame.left;
        for series in names {
            let from = (left, base - 4.0);
            let to = (left + 22.0, base - 4.0);
            let color = series.color(0);
            match series.style {
                Style::Bars => shapes.push(Shape::Rectangle {
                    from: (left + 6.0, base - 9.0),
                    to: (left + 16.0, base + 1.0),
                    color,
                }),
                Style::Points => shapes.push(Shape::Dot { center: (left + 11.0, base - 4.0), radius: 3.0, color }),
                style => shapes.push(Shape::Line {
                    points: vec![from, to],
                    color,
                    width: 2.0,
                    dashed: style == Style::Dashed,
                }),
            }
            shapes.push(text((left + 28.0, base), Anchor::Start, false, &series.name));
            left += legend_width(series);
        }
    }

    // The label of the vertical axis is above it, so that it can be horizontal.
    shapes.push(text((frame.left - 8.0, frame.top - 8.0), Anchor::End, false, &panel.y.label));
    shapes.push(text((frame.left + frame.width / 2.0, bottom + 2.4 * LINE), Anchor::Middle, false, &panel.x.label));
    let ticks = |axis: &Axis, range: &Range| if axis.ticks.is_empty() { range.ticks() } else { axis.ticks.clone() };
    for (value, name) in ticks(&panel.x, &x) {
        let share = x.share(value);
        if (-0.001..=1.001).contains(&share) {
            let at = frame.left + frame.width * share;
            shapes.push(line((at, frame.top), (at, bottom), GRID));
            shapes.push(text((at, bottom + LINE), Anchor::Middle, false, &name));
        }
    }
    for (value, name) in ticks(&panel.y, &y) {
        let share = y.share(value);
        if (-0.001..=1.001).contains(&share) {
            let at = bottom - frame.height * share;
            shapes.push(line((frame.left, at), (right, at), GRID));
            shapes.push(text((frame.left - 8.0, at + 4.0), Anchor::End, false, &name));
        }
    }
    let corners = [(frame.left, frame.top), (right, frame.top), (right, bottom), (frame.left, bottom)];
    for i in 0..4 {
        shapes.push(line(corners[i], corners[(i + 1) % 4], INK));
    }

    let bars = panel.series.iter().filter(|series| series.style == Style::Bars).count();
    let mut bar = 0;
    for series in &panel.series {
        let placed: Vec<_> = series.points.iter().map(|&p| place(p)).collect();
        match series.style {
            Style::Bars => {
                let slot = frame.width * (x.share(1.0) - x.share(0.0)) * 0.8;
                let width = slot / bars as f32;
                let first = bar as f32 * slot / bars as f32 - slot / 2.0;
                let base = bottom - frame.height * y.share(0.0).clamp(0.0, 1.0);
                for (i, &(at, top)) in placed.iter().enumerate() {
                    let from = (at + first, top.min(base));
                    let to = (at + first + width, top.max(base));
                    shapes.push(Shape::Rectangle { from, to, color: series.color(i) });
                }
                bar += 1;
            }
            style => {
                if style != Style::Points && placed.len() > 1 {
                    let dashed = style == Style::Dashed;
                    shapes.push(Shape::Line { points: placed.clone(), color: series.color(0), width: 2.0, dashed });
                }
                if style != Style::Dashed {
                    let radius = if style == Style::Line { 3.5 } else { 1.6 };
                    let dots = placed.iter().enumerate();
                    shapes.extend(dots.map(|(i, &center)| Shape::Dot { center, radius, color: series.color(i) }));
                }
            }
        }
    }
}

fn legend_width(series: &Series) -> f32 {
    28.0 + CHARACTER * (series.name.chars().count() as f32 + 2.5)
}

/// The named series, as many per line as fit.
fn legend_lines(panel: &Panel) -> Vec<Vec<&Series>> {
    let room = if panel.square { SQUARE } else { PLOT.0 };
    let mut lines: Vec<(f32, Vec<&Series>)> = Vec::new();
    for series in panel.series.iter().filter(|series| !series.name.is_empty()) {
        let width = legend_width(series);
        match lines.last_mut() {
            Some((taken, names)) if *taken + width <= room => {
                *taken += width;
                names.push(series);
            }
            _ => lines.push((width, vec![series])),
        }
    }
    lines.into_iter().map(|(_, names)| names).collect()
}
