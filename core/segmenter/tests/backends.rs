//! Runs one image through every available backend and compares the masks with the compiled plan's.

mod common;

use common::model;
use silhouette::{Backend, Error, Frame, Options, OutputSize, Segmenter};
use silhouette_testkit::waves;

#[test]
fn every_backend_that_there_is_gives_the_plans_mask() {
    let model = model();
    let bytes = waves(65, 65, 4);
    let frame = Frame::rgb(&bytes, 65, 65).unwrap();
    let options = |backend| Options::new().threads(1).backend(backend).output(OutputSize::Model);
    let plan = Segmenter::new(&model, &options(Backend::Cpu)).unwrap();
    let expected = plan.segment(&frame).unwrap();
    let (logits, grid) = expected.logits();
    let most = logits.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    for (backend, available) in Backend::available() {
        let segmenter = Segmenter::new(&model, &options(backend));
        let Ok(()) = available else {
            assert!(matches!(segmenter, Err(Error::Unsupported(_))), "{backend}");
            continue;
        };
        let segmenter = segmenter.unwrap();
        let found = segmenter.segment(&frame).unwrap();
        assert_eq!(found.logits().1, grid, "{backend}");
        for (found, expected) in found.logits().0.iter().zip(logits) {
            assert!((found - expected).abs() <= 1e-4 * most, "{backend}: {found} is not {expected}");
        }
        let steps = segmenter.profile(&frame).unwrap();
        assert_eq!(steps.is_empty(), !matches!(backend, Backend::Auto | Backend::Cpu), "{backend}");
        assert_eq!(segmenter.description().contains("candle"), steps.is_empty(), "{backend}");
    }
}
