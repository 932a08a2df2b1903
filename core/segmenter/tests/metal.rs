//! On Apple's GPU, the fixture's mask equals the CPU's. With the feature `metal`; the test is ignored unless
//! `SILHOUETTE_METAL` promises a device, and then fails if the network did not run on it.
#![cfg(feature = "metal")]

mod common;

use common::model;
use silhouette::{Backend, Frame, Options, Segmenter};
use silhouette_testkit::waves;

fn the_mask_made_on_metal_is_the_cpus() {
    let bytes = waves(120, 90, 1);
    let frame = Frame::rgb(&bytes, 120, 90).unwrap();
    let on = |backend| Segmenter::new(&model(), &Options::new().backend(backend)).unwrap();
    let gpu = on(Backend::Metal);
    let cpu = on(Backend::Cpu);
    assert!(gpu.description().contains("Metal"), "{}", gpu.description());
    assert!(cpu.description().contains("CPU"), "{}", cpu.description());
    let found = gpu.segment(&frame).unwrap();
    let expected = cpu.segment(&frame).unwrap();
    let pairs = found.mask().classes.iter().zip(&expected.mask().classes);
    let other = pairs.filter(|(a, b)| a != b).count();
    // A different order of summation may decide a tie.
    assert!(
        expected.mask().classes.iter().any(|&class| class != expected.mask().classes[0]),
        "a mask of one class proves nothing"
    );
    assert!(
        other * 1000 <= expected.mask().classes.len(),
        "{other} of {} pixels differ",
        expected.mask().classes.len()
    );
}

silhouette_testkit::tests_with_metal!(the_mask_made_on_metal_is_the_cpus);
