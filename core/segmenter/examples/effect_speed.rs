//! Milliseconds of what follows the mask at the image's own size: the image alone, refined alpha, cut-out, blurred and replaced background.
//! The median of many, one thread.
//!
//! `cargo run --release -p silhouette --example effect_speed -- MODEL PICTURE.rgb WIDTH HEIGHT [RUNS]`; the picture is `WIDTH * HEIGHT * 3` bytes.
#![forbid(unsafe_code)]

use silhouette::{Effect, Foreground, Frame, Model, Options, Segmenter};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    const USAGE: &str = "usage: effect_speed MODEL PICTURE.rgb WIDTH HEIGHT [RUNS]";
    let mut arguments = std::env::args().skip(1);
    let model = Model::open(arguments.next().ok_or(USAGE)?)?;
    let pixels = std::fs::read(arguments.next().ok_or(USAGE)?)?;
    let width: usize = arguments.next().ok_or(USAGE)?.parse()?;
    let height: usize = arguments.next().ok_or(USAGE)?.parse()?;
    let runs: usize = arguments.next().map_or(Ok(21), |runs| runs.parse())?;
    let frame = Frame::rgb(&pixels, width, height)?;
    let foreground = Foreground::All;
    let segmented = |refine: bool| {
        let segmenter = Segmenter::new(&model, &Options::new().threads(1).refine(refine))?;
        segmenter.segment(&frame)
    };
    let plain = segmented(false)?;
    let refined = segmented(true)?;
    let time = |name: &str, what: &dyn Fn() -> silhouette::Result<()>| -> Result<(), Box<dyn Error>> {
        let mut times = Vec::new();
        for _ in 0..runs {
            let start = Instant::now();
            what()?;
            times.push(start.elapsed());
        }
        times.sort();
        println!("{name} {:.3}", times[runs / 2].as_secs_f64() * 1e3);
        Ok(())
    };
    let effect = |effect: Effect<'_>| plain.render(&frame, effect, &foreground).map(drop);
    time("picture", &|| effect(Effect::Picture))?;
    time("alpha", &|| plain.alpha(&frame, &foreground).map(drop))?;
    time("refined", &|| refined.alpha(&frame, &foreground).map(drop))?;
    time("cutout", &|| effect(Effect::Cutout))?;
    time("blur", &|| effect(Effect::Blur { radius: f32::NAN }))?;
    time("replace", &|| effect(Effect::Replace { background: &frame }))?;
    time("refined-blur", &|| refined.render(&frame, Effect::Blur { radius: f32::NAN }, &foreground).map(drop))?;
    Ok(())
}
