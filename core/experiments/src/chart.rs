//! An experiment's figures: panels with axes, a legend and a few kinds of series, written as SVG or PNG. A figure is
//! laid out once as shapes, which both writers draw.

mod drawing;
mod figure;
mod layout;
mod png;
mod svg;

pub use figure::{Axis, COLORS, Color, Figure, Panel, Series, Style, gradient};

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
        for expected in
            ["A &amp; B", "measured &lt;MiB&gt;", "formula", ">MiB<", ">t<", "lines", "bars", "stroke-dasharray"]
        {
            assert!(svg.contains(expected), "{expected} is missing from\n{svg}");
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
