//! The cases of lifecycle.tsv, which Kotlin's and Swift's tests run too: closing, cancelling, failing listeners, many
//! threads.

mod common;

use silhouette::{Error, Frame, LiveSegmenter, Options, Segmentation, Segmenter};
use silhouette_testkit::Noise;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const CASES: [(&str, fn()); 10] = [
    ("close_while_running", close_while_running),
    ("close_while_waiting", close_while_waiting),
    ("close_twice", close_twice),
    ("close_from_callback", close_from_callback),
    ("close_from_finalizer", close_from_finalizer),
    ("cancel_from_callback", cancel_from_callback),
    ("nothing_after_cancel", nothing_after_cancel),
    ("nothing_after_close", nothing_after_close),
    ("callback_fails", callback_fails),
    ("eight_threads", eight_threads),
];

#[test]
fn every_case_of_the_table_holds() {
    let table = include_str!("lifecycle.tsv");
    let listed: Vec<&str> = table
        .lines()
        .skip(1)
        .filter(|line| !line.contains("rust:"))
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    assert_eq!(listed, CASES.map(|(name, _)| name), "the table and the cases here");
    for (name, case) in CASES {
        println!("{name}");
        case();
    }
}

const WIDTH: usize = 40;
const HEIGHT: usize = 30;

fn picture(phase: usize) -> Vec<u8> {
    (0..WIDTH * HEIGHT * 3).map(|i| ((i * 7) ^ (i / (3 * WIDTH) * 5 + phase * 31)) as u8).collect()
}

fn frame(rgb: &[u8]) -> Frame<'_> {
    Frame::rgb(rgb, WIDTH, HEIGHT).unwrap()
}

fn segmenter(concurrency: usize) -> Segmenter {
    Segmenter::new(&common::model(), &Options::new().threads(1).concurrency(concurrency)).unwrap()
}

/// Maximum wait on a machine that does other things too.
const LONG: Duration = Duration::from_mins(1);

fn close_while_running() {
    let pixels = picture(1);
    for round in 0..20 {
        let segmenter = segmenter(1);
        let running = segmenter.segment(&frame(&pixels)).unwrap();
        std::thread::scope(|scope| {
            let call = scope.spawn(|| segmenter.segment(&frame(&pixels)));
            // Closed at a different moment of the call each time.
            std::thread::sleep(Duration::from_micros(100 * round));
            segmenter.close();
            match call.join().unwrap() {
                Ok(result) => assert_eq!(result.mask(), running.mask()),
                Err(error) => assert!(matches!(error, Error::Closed(_)), "{error}"),
            }
        });
        assert!(matches!(segmenter.segment(&frame(&pixels)), Err(Error::Closed(_))));
    }
}

fn close_while_waiting() {
    let pixels = picture(2);
    let segmenter = segmenter(1);
    let started = AtomicU64::new(0);
    let results: Vec<_> = std::thread::scope(|scope| {
        let call = || {
            started.fetch_add(1, Ordering::SeqCst);
            let mut last = Ok(Segmentation::default());
            while last.is_ok() {
                last = segmenter.segment(&frame(&pixels));
            }
            last
        };
        // One runs, the others wait; all of them call repeatedly until they are rejected.
        let calls: Vec<_> = (0..6).map(|_| scope.spawn(call)).collect();
        while started.load(Ordering::SeqCst) < 6 {
            std::thread::yield_now();
        }
        segmenter.close();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(results.iter().all(|result| matches!(result, Err(Error::Closed(_)))));
}

fn close_twice() {
    let segmenter = segmenter(1);
    let live = LiveSegmenter::new(&segmenter, None, |_| {}).unwrap();
    for _ in 0..2 {
        live.close();
        segmenter.close();
    }
    assert!(matches!(live.submit(&frame(&picture(0)), Duration::ZERO), Err(Error::Closed(_))));
}

fn close_from_callback() {
    let place: Arc<OnceLock<LiveSegmenter>> = Arc::default();
    let stream = Arc::clone(&place);
    let (done, wait) = channel();
    let live = LiveSegmenter::new(&segmenter(1), None, move |_| {
        stream.wait().close();
        let _ = done.send(());
    })
    .unwrap();
    assert!(place.set(live).is_ok());
    let live = place.get().unwrap();
    live.submit(&frame(&picture(0)), Duration::ZERO).unwrap();
    wait.recv_timeout(LONG).unwrap();
    assert!(matches!(live.submit(&frame(&picture(0)), Duration::ZERO), Err(Error::Closed(_))));
    assert!(wait.recv_timeout(Duration::from_millis(20)).is_err());
}

fn close_from_finalizer() {
    let pixels = picture(3);
    for _ in 0..10 {
        let segmenter = segmenter(2);
        let live = LiveSegmenter::new(&segmenter, None, |_| {}).unwrap();
        live.submit(&frame(&pixels), Duration::ZERO).unwrap();
        let other = segmenter.clone();
        let call = std::thread::spawn({
            let pixels = pixels.clone();
            move || other.segment(&frame(&pixels)).unwrap().mask().classes.len()
        });
        std::thread::spawn(move || drop((live, segmenter))).join().unwrap();
        assert_eq!(call.join().unwrap(), WIDTH * HEIGHT);
    }
}

fn cancel_from_callback() {
    let place: Arc<OnceLock<LiveSegmenter>> = Arc::default();
    let stream = Arc::clone(&place);
    let (sender, results) = channel();
    let (begun, called) = channel::<()>();
    let (go, wait) = channel::<()>();
    let live = LiveSegmenter::new(&segmenter(1), None, move |result| {
        if result.timestamp == Duration::ZERO {
            // The test submits the next frame before this goes on.
            let _ = begun.send(());
            let _ = wait.recv_timeout(LONG);
            stream.wait().cancel();
        }
        let _ = sender.send(result.timestamp.as_secs());
    })
    .unwrap();
    assert!(place.set(live).is_ok());
    let live = place.get().unwrap();
    live.submit(&frame(&picture(0)), Duration::ZERO).unwrap();
    called.recv_timeout(LONG).unwrap();
    live.submit(&frame(&picture(1)), Duration::from_secs(1)).unwrap();
    go.send(()).unwrap();
    assert_eq!(results.recv_timeout(LONG), Ok(0));
    live.submit(&frame(&picture(2)), Duration::from_secs(2)).unwrap();
    assert_eq!(results.recv_timeout(LONG), Ok(2));
    live.close();
}

/// Submits until a result is being delivered, or about to be, and calls `end`; no delivery may follow it.
fn nothing_after(end: impl Fn(&LiveSegmenter) -> u64) {
    let pixels = picture(4);
    let segmenter = segmenter(1);
    for round in 0..200 {
        let ended = Arc::new(AtomicBool::new(false));
        let late = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let report = Arc::clone(&late);
        let live = LiveSegmenter::new(&segmenter, None, move |_| {
            // The first check is before the listener's work, the second after it: both must be before the end.
            for _ in 0..2 {
                if seen.load(Ordering::SeqCst) {
                    report.store(true, Ordering::SeqCst);
                }
                std::thread::sleep(Duration::from_micros(50));
            }
        })
        .unwrap();
        let start = Instant::now();
        let mut time = 0;
        while start.elapsed() < Duration::from_micros(50 * (round % 40)) {
            live.submit(&frame(&pixels), Duration::from_millis(time)).unwrap();
            time += 1;
        }
        end(&live);
        ended.store(true, Ordering::SeqCst);
        std::thread::sleep(Duration::from_micros(300));
        assert!(!late.load(Ordering::SeqCst), "delivered after the end, round {round}");
    }
}

fn nothing_after_cancel() {
    nothing_after(LiveSegmenter::cancel);
    // Frames submitted after it are delivered, with the number that cancel returned.
    let (sender, results) = channel();
    let live = LiveSegmenter::new(&segmenter(1), None, move |result| {
        let _ = sender.send(result.cancelled);
    })
    .unwrap();
    for number in 1..4 {
        assert_eq!(live.cancel(), number);
        live.submit(&frame(&picture(0)), Duration::ZERO).unwrap();
        assert_eq!(results.recv_timeout(LONG), Ok(number));
    }
}

fn nothing_after_close() {
    nothing_after(|live| {
        live.close();
        0
    });
}

fn callback_fails() {
    let live = LiveSegmenter::new(&segmenter(1), None, |_| panic!("on purpose")).unwrap();
    let start = Instant::now();
    while live.submit(&frame(&picture(0)), Duration::ZERO).is_ok() {
        assert!(start.elapsed() < LONG, "the stream of a listener that panicked still takes frames");
        std::thread::yield_now();
    }
    // No one waits for a delivery that will never end.
    live.cancel();
    live.close();
}

fn eight_threads() {
    let pixels: Vec<Vec<u8>> = (0..4).map(picture).collect();
    let seconds = if std::env::var_os("SILHOUETTE_LONG").is_some() { 10 } else { 1 };
    let expected: Vec<silhouette::Mask> =
        pixels.iter().map(|rgb| segmenter(1).segment(&frame(rgb)).unwrap().mask().clone()).collect();
    let until = Instant::now() + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let pixels = &pixels;
            let expected = &expected;
            scope.spawn(move || {
                // A different sequence of numbers on each thread.
                let mut noise = Noise::new(thread as u64 + 1);
                let mut next = move |below: u16| (noise.fraction() * f32::from(below)) as u64;
                while Instant::now() < until {
                    let shared = segmenter(2);
                    std::thread::scope(|inner| {
                        let live = LiveSegmenter::new(&shared, None, |_| {}).unwrap();
                        let closer = shared.clone();
                        let after = Duration::from_micros(next(3000));
                        inner.spawn(move || {
                            std::thread::sleep(after);
                            closer.close();
                        });
                        for round in 0..next(30) {
                            let which = next(4) as usize;
                            match next(4) {
                                0 => drop(live.submit(&frame(&pixels[which]), Duration::from_millis(round))),
                                1 => drop(live.cancel()),
                                _ => match shared.segment(&frame(&pixels[which])) {
                                    Ok(result) => assert_eq!(*result.mask(), expected[which]),
                                    Err(error) => assert!(matches!(error, Error::Closed(_)), "{error}"),
                                },
                            }
                        }
                    });
                }
            });
        }
    });
}
