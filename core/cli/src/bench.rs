//! `silhouette bench`: time, memory and the machine's lower bound for one model, and what the engine chose.

use crate::args::Bench;
use crate::failure::Failure;
use crate::{load, memory, output};
use serde_json::{Map, Value, json};
use silhouette::files::Photo;
use silhouette::{Foreground, Frame, Model, Options, OutputSize, Segmentation, Segmenter, Size, Step};
use silhouette_kernels::isa::Isa;
use silhouette_kernels::peak;
use std::time::{Duration, Instant};

/// The default image: 1280x720, RGB.
const MADE: Size = Size { height: 720, width: 1280 };

/// Runs the command.
///
/// # Errors
/// Problems with the model or the photo.
pub(crate) fn bench(args: &Bench) -> Result<(), Vec<Failure>> {
    measure(args).map_err(|failure| vec![failure])
}

/// Runs whose steps are timed individually, unless `--stages` times all of them: a fixed number, independent of
/// `--runs`, so that instruction counts of more and of fewer runs differ only by the runs.
const PROFILES: usize = 3;

/// A generated image, or a photo.
enum Picture {
    Made(Vec<u8>),
    Photo(Photo),
}

impl Picture {
    fn frame(&self) -> Result<Frame<'_>, silhouette::FrameError> {
        match self {
            Self::Made(rgb) => Frame::rgb(rgb, MADE.width, MADE.height),
            Self::Photo(photo) => photo.frame(),
        }
    }
}

fn measure(args: &Bench) -> Result<(), Failure> {
    let process = Instant::now();
    let picture = match &args.photo {
        Some(path) => Picture::Photo(Photo::open(path).map_err(|e| Failure::new(path, e))?),
        None => Picture::Made((0..MADE.width * MADE.height * 3).map(|i| (i * 7 + i / 3840 * 13) as u8).collect()),
    };
    let frame = picture.frame().map_err(Failure::general)?;
    let about_model = |e: silhouette::Error| Failure::new(&args.model, e);
    memory::reset_peak();
    let before = memory::resident();

    let begun = Instant::now();
    let model = if args.mapped { Model::map(&args.model).map_err(about_model)? } else { load::model(&args.model)? };
    let side = args.size.unwrap_or(model.size());
    let threads = args.threads.unwrap_or(1);
    let mut options = Options::new()
        .threads(threads)
        .precision(args.precision)
        .size(side)
        .input_shape(args.input_shape)
        .concurrency(1)
        .output(OutputSize::Given { width: side, height: side });
    if let Some(folder) = &args.weight_cache {
        options = options.weight_cache(folder);
    }
    let segmenter = Segmenter::new(&model, &options).map_err(about_model)?;
    let open = begun.elapsed();
    let mut segmentation = Segmentation::default();
    let begun = Instant::now();
    segmenter.segment_into(&frame, &mut segmentation).map_err(about_model)?;
    let first = begun.elapsed();
    let process = process.elapsed();
    let growth = memory::peak().zip(before).map(|(peak, before)| peak.saturating_sub(before));

    let mut totals = Vec::with_capacity(args.runs);
    let mut inputs = Vec::new();
    let mut networks = Vec::new();
    let mut masks = Vec::new();
    for _ in 0..args.runs {
        let begun = Instant::now();
        segmenter.segment_into(&frame, &mut segmentation).map_err(about_model)?;
        totals.push(begun.elapsed());
        let timings = segmentation.timings();
        inputs.push(timings.input);
        networks.push(timings.network);
        masks.push(timings.mask);
    }
    let total = median(&mut totals);
    let spread = (totals[0], totals[totals.len() - 1]);
    let input = median(&mut inputs);
    let network = median(&mut networks);
    let mask = median(&mut masks);
    let effects = if args.effects {
        let time = |refine| alpha_time(&model, &frame, &options.clone().refine(refine)).map_err(about_model);
        let plain = time(false)?;
        Some((plain, time(true)?))
    } else {
        None
    };
    let profiles = if args.stages { args.runs } else { PROFILES };
    let profiles = (0..profiles).map(|_| segmenter.profile(&frame)).collect::<Result<Vec<_>, _>>();
    let steps = medians(&profiles.map_err(about_model)?);
    let peak = peak_gflops();
    let macs: u64 = steps.iter().map(|s| s.macs).sum();
    let floor = macs as f64 * 2.0 / (peak * threads as f64) / 1e6;

    let Size { height: rows, width: columns } = segmenter.input_size(&frame);
    if !args.json {
        output::say(&format!("{} at {columns}x{rows}, {}", model.name(), segmenter.description()));
        output::say(&format!(
            "photo to mask {:.2} ms (min {:.2}, max {:.2}, {} runs): input {:.2}, network {:.2}, mask {:.2}",
            ms(total),
            ms(spread.0),
            ms(spread.1),
            args.runs,
            ms(input),
            ms(network),
            ms(mask)
        ));
        output::say(&format!(
            "floor {floor:.2} ms: {:.1} M MACs at {peak:.1} GFLOP/s per core, {threads} threads",
            macs as f64 / 1e6
        ));
        let grown = growth.map_or_else(|| "not available on this system".to_owned(), |g| format!("{:.2} MiB", mib(g)));
        if let Some((plain, refined)) = effects {
            output::say(&format!(
                "and for effects, at the photo's size: alpha {:.2} ms, with --refine on {:.2} ms",
                ms(plain),
                ms(refined)
            ));
        }
        output::say(&format!("memory growth {grown}; open {:.2} ms, first mask {:.2} ms", ms(open), ms(first)));
    }
    let per_step: Vec<Value> = steps.iter().map(|s| step_json(s, peak * threads as f64)).collect();
    if args.stages || args.explain {
        table(&steps, peak * threads as f64, args);
    }
    let mut report = Map::new();
    for (key, value) in [
        ("model", json!(model.name())),
        ("size", json!(side)),
        ("input", json!([columns, rows])),
        ("threads", json!(threads)),
        ("runs", json!(args.runs)),
        ("median_ms", json!(ms(total))),
        ("min_ms", json!(ms(spread.0))),
        ("max_ms", json!(ms(spread.1))),
        ("network_ms", json!(ms(network))),
        (
            "stages",
            json!({ "input_ms": ms(input), "network_ms": ms(network), "mask_ms": ms(mask), "alpha_ms": effects.map(|e| ms(e.0)), "refined_alpha_ms": effects.map(|e| ms(e.1)), "network": per_step }),
        ),
        ("kernels", json!(Isa::best().name())),
        ("peak_gflops", json!(peak)),
        ("macs", json!(macs)),
        ("floor_ms", json!(floor)),
        ("growth_mib", json!(growth.map(mib))),
        ("open_ms", json!(ms(open))),
        ("first_ms", json!(ms(first))),
        ("process_ms", json!(ms(process))),
    ] {
        report.insert(key.to_owned(), value);
    }
    output::say(&Value::Object(report).to_string());
    Ok(())
}

/// The steps of several runs, each with its median time.
fn medians(runs: &[Vec<Step>]) -> Vec<Step> {
    let Some(first) = runs.first() else { return Vec::new() };
    let time = |i: usize| median(&mut runs.iter().map(|steps| steps[i].time).collect::<Vec<_>>());
    first.iter().enumerate().map(|(i, step)| Step { time: time(i), ..step.clone() }).collect()
}

/// The time to compute the alpha of the effects at the photo's own size: the median of a few runs.
fn alpha_time(model: &Model, frame: &Frame<'_>, options: &Options) -> silhouette::Result<Duration> {
    let segmenter = Segmenter::new(model, &options.clone().output(OutputSize::Frame))?;
    let segmentation = segmenter.segment(frame)?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        segmentation.alpha(frame, &Foreground::All)?;
        times.push(begun.elapsed());
    }
    Ok(median(&mut times))
}

/// Each step of the network: its time, and its share of the cores' peak.
fn table(steps: &[Step], peak: f64, args: &Bench) {
    for s in steps {
        let mut line = String::new();
        if args.stages {
            let rate = rate(s);
            line = format!("{:8.3} ms {rate:7.1} GFLOP/s {:4.0} %  ", ms(s.time), rate / peak * 100.0);
        }
        line += &s.name;
        if args.explain {
            line.push_str(": ");
            line.push_str(&s.explain);
        }
        output::say(&line);
    }
}

fn step_json(s: &Step, peak: f64) -> Value {
    json!({ "name": s.name, "explain": s.explain, "ms": ms(s.time), "macs": s.macs, "peak_share": rate(s) / peak })
}

/// GFLOP/s of a step.
fn rate(s: &Step) -> f64 {
    s.macs as f64 * 2.0 / s.time.as_secs_f64().max(1e-9) / 1e9
}

/// One core's peak, the best of several short runs, in GFLOP/s.
fn peak_gflops() -> f64 {
    let mut best = 0.0f64;
    for _ in 0..5 {
        let begun = Instant::now();
        let operations = peak::spin(Isa::best(), 400_000);
        best = best.max(operations as f64 / begun.elapsed().as_secs_f64() / 1e9);
    }
    best
}

/// The median; also sorts.
fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
