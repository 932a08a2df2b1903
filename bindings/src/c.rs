//! Frames by address, for Apple's `CVPixelBuffer`s: the functions of `include/silhouette_frame.h`.
//!
//! Each returns 0, or the kind of error (1 to 5, in [`SilhouetteError`]'s order) and writes its texts to `failure`.

use crate::error::{Result, SilhouetteError, guard};
use crate::frame::{RawEffect, RawFrame, bytes_mut, numbers};
use crate::live::LiveSegmenter;
use crate::raw::Raw;
use crate::segmentation::Segmentation;
use crate::segmenter::{Segmenter, VideoSegmenter};
use std::os::raw::c_char;

/// `SilhouetteFailure`: an error's kind and its texts, UTF-8, truncated at a character if too long, ending in 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// 0: none; 1 to 5: the functions' return values.
    pub kind: i32,
    /// What was wrong, and where.
    pub reason: [c_char; 512],
    /// What the caller can do.
    pub advice: [c_char; 256],
}

impl Failure {
    fn of(error: &SilhouetteError) -> Self {
        let (reason, advice) = error.texts();
        Self { kind: error.kind(), reason: c_text(reason), advice: c_text(advice) }
    }
}

/// As much of the text as fits before a final 0.
fn c_text<const N: usize>(text: &str) -> [c_char; N] {
    let mut out = [0; N];
    let end = text.floor_char_boundary(N - 1);
    for (to, &byte) in out.iter_mut().zip(&text.as_bytes()[..end]) {
        *to = byte as c_char;
    }
    out
}

/// # Safety
/// `failure` is null or can be written to.
unsafe fn answer(failure: *mut Failure, work: impl FnOnce() -> Result<()>) -> i32 {
    let Err(error) = guard(work) else { return 0 };
    if !failure.is_null() {
        // SAFETY: not null, and the caller guarantees that it can be written to.
        unsafe { failure.write(Failure::of(&error)) };
    }
    error.kind()
}

/// # Safety
/// `frame` is null or points to a frame as required by [`RawFrame::frame`], during `'a`.
unsafe fn frame_at<'a>(frame: *const RawFrame) -> Result<silhouette::Frame<'a>> {
    // SAFETY: null is handled; otherwise guaranteed by the caller.
    let raw = unsafe { frame.as_ref() };
    let raw = raw.ok_or_else(|| SilhouetteError::frame("no frame", "pass a frame"))?;
    // SAFETY: guaranteed by the caller.
    unsafe { raw.frame() }
}

/// Segments a frame into a segmentation.
///
/// # Safety
/// `segmenter` and `segmentation` are `raw()` of objects of these types that live during the call (or 0); `frame`
/// points to a frame whose planes can be read during the call; `failure` can be written to, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn silhouette_segment(
    segmenter: u64,
    frame: *const RawFrame,
    segmentation: u64,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: this function's caller guarantees all pointers and objects.
    unsafe { answer(failure, || Segmenter::at(segmenter)?.segment(&frame_at(frame)?, Segmentation::at(segmentation)?)) }
}

/// Segments the next frame of a video; `timestamp` is in nanoseconds from an arbitrary origin.
///
/// # Safety
/// The same as [`silhouette_segment`], with a video segmenter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn silhouette_segment_video(
    video: u64,
    frame: *const RawFrame,
    timestamp: u64,
    segmentation: u64,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: this function's caller guarantees all pointers and objects.
    unsafe {
        answer(failure, || {
            VideoSegmenter::at(video)?.segment(&frame_at(frame)?, timestamp, Segmentation::at(segmentation)?)
        })
    }
}

/// Submits a frame to a live stream, which copies it. `replaced`, if not null, receives whether it replaced a waiting
/// frame.
///
/// # Safety
/// The same as [`silhouette_segment`], with a live segmenter; `replaced` can be written to, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn silhouette_submit(
    live: u64,
    frame: *const RawFrame,
    timestamp: u64,
    replaced: *mut bool,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: this function's caller guarantees all pointers and objects.
    unsafe {
        answer(failure, || {
            let took_place = LiveSegmenter::at(live)?.submit(&frame_at(frame)?, timestamp)?;
            if !replaced.is_null() {
                replaced.write(took_place);
            }
            Ok(())
        })
    }
}

/// Copies the mask: one byte per pixel, `row_stride` bytes from row to row.
///
/// # Safety
/// `segmentation` is `raw()` of one that lives during the call (or 0); the `length` bytes at `out` belong to the caller
/// alone, or `out` is null; `failure` can be written to, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn silhouette_mask(
    segmentation: u64,
    out: *mut u8,
    length: usize,
    row_stride: usize,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: this function's caller guarantees all pointers and objects.
    unsafe { answer(failure, || Segmentation::at(segmentation)?.copy_mask(bytes_mut(out, length)?, row_stride)) }
}

/// Copies the confidence that each pixel belongs to one of `classes`, 0 to 255, at the mask's size.
///
/// # Safety
/// The same as [`silhouette_mask`]; `classes` points to `class_count` numbers, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn silhouette_confidence(
    segmentation: u64,
    classes: *const u32,
    class_count: usize,
    out: *mut u8,
    length: usize,
    row_stride: usize,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: this function's caller guarantees all pointers and objects.
    unsafe {
        answer(failure, || {
            let classes: Vec<usize> = numbers(classes, class_count)?.iter().map(|&class| class as usize).collect();
            Segmentation::at(segmentation)?.copy_confidence(&classes, bytes_mut(out, length)?, row_stride)
        })
    }
}

/// Writes a frame with an effect: rows of four bytes per pixel, at the size of the frame's region, upright. If `frame`
/// is null, uses the frame that a live result keeps.
///
/// # Safety
/// The same as [`silhouette_mask`]; `frame` is null or as for [`silhouette_segment`]; `effect` is as required by
/// [`RawEffect::with`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn silhouette_effect(
    segmentation: u64,
    frame: *const RawFrame,
    effect: *const RawEffect,
    out: *mut u8,
    length: usize,
    row_stride: usize,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: this function's caller guarantees all pointers and objects.
    unsafe {
        answer(failure, || {
            let frame = if frame.is_null() { None } else { Some(frame_at(frame)?) };
            let raw = effect.as_ref().ok_or_else(|| SilhouetteError::unsupported("no effect", "pass an effect"))?;
            let segmentation = Segmentation::at(segmentation)?;
            let picture = raw.with(|effect, foreground| segmentation.render(frame.as_ref(), effect, foreground))?;
            Ok(picture.copy_into(bytes_mut(out, length)?, row_stride, raw.order(), raw.premultiplied != 0)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_in_zero_and_are_cut_at_a_character() {
        assert_eq!(c_text::<4>("ab"), [b'a' as c_char, b'b' as c_char, 0, 0]);
        assert_eq!(c_text::<4>("abcd")[3], 0);
        // "é" takes two bytes, only one of which would fit.
        assert_eq!(c_text::<4>("abé"), [b'a' as c_char, b'b' as c_char, 0, 0]);
    }
}
