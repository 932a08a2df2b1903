//! Frames for Kotlin, bypassing JNA: the native methods of `dev.silhouette.Native`, and initialisation when the library
//! is loaded.
//!
//! Planes are direct `ByteBuffer`s and are not copied. A frame's numbers are passed as one array of longs ([`FRAME`]),
//! so a call costs one copy of a few hundred bytes and no object. Errors are thrown as
//! `dev.silhouette.SilhouetteException`. Every method also receives the Kotlin objects behind the addresses (`owner`,
//! `target`) as arguments, so that they cannot be collected during the call.

use crate::error::{Result, SilhouetteError};
use crate::frame::{RawEffect, RawFrame, RawPlane, bytes_mut};
use crate::live::{LiveSegmenter, nanoseconds};
use crate::raw::Raw;
use crate::segmentation::Segmentation;
use crate::segmenter::{Segmenter, VideoSegmenter};
use jni::errors::{Error as JavaError, ErrorPolicy, jni_error_code_to_result};
use jni::objects::{JByteBuffer, JClass, JIntArray, JLongArray, JObject, JThrowable};
use jni::refs::{Global, Reference};
use jni::strings::JNIStr;
use jni::sys::{JNI_VERSION_1_6, JavaVM as RawVm, JavaVMAttachArgs, jboolean, jfloat, jint, jlong};
use jni::vm::JavaVM;
use jni::{Env, EnvUnowned, JValue, jni_sig, jni_str};
use silhouette::{Frame, LiveResult};
use std::any::Any;
use std::cell::OnceCell;
use std::os::raw::c_void;
use std::ptr;

/// Number of longs that describe a frame: format, width, height, matrix, range, rotation, mirror, the region's x, y,
/// width, height; then for each of three planes offset, length, row stride and pixel stride, in bytes.
pub const FRAME: usize = 11 + 3 * 4;

/// Sets up logging on Android; on other systems a library must not do that.
#[unsafe(no_mangle)]
pub extern "system" fn JNI_OnLoad(_vm: *mut RawVm, _reserved: *mut c_void) -> jint {
    #[cfg(target_os = "android")]
    android_logger::init_once(
        android_logger::Config::default().with_max_level(log::LevelFilter::Info).with_tag("Silhouette"),
    );
    JNI_VERSION_1_6
}

/// Converts errors to exceptions of their kind.
struct Throw;

impl From<JavaError> for SilhouetteError {
    fn from(error: JavaError) -> Self {
        Self::internal(error.to_string())
    }
}

impl<T: Default> ErrorPolicy<T, SilhouetteError> for Throw {
    type Captures<'unowned: 'native, 'native> = ();

    fn on_error<'unowned: 'native, 'native>(
        env: &mut Env<'unowned>,
        (): &mut Self::Captures<'unowned, 'native>,
        error: SilhouetteError,
    ) -> jni::errors::Result<T> {
        // A pending Java exception is more precise than ours.
        if !env.exception_check() {
            throw(env, &error)?;
        }
        Ok(T::default())
    }

    fn on_panic<'unowned: 'native, 'native>(
        env: &mut Env<'unowned>,
        (): &mut Self::Captures<'unowned, 'native>,
        payload: Box<dyn Any + Send + 'static>,
    ) -> jni::errors::Result<T> {
        throw(env, &SilhouetteError::panic(&*payload))?;
        Ok(T::default())
    }
}

fn throw(env: &mut Env<'_>, error: &SilhouetteError) -> jni::errors::Result<()> {
    let class: &JNIStr = match error {
        SilhouetteError::InvalidFrame { .. } => jni_str!("dev/silhouette/SilhouetteException$InvalidFrame"),
        SilhouetteError::InvalidModel { .. } => jni_str!("dev/silhouette/SilhouetteException$InvalidModel"),
        SilhouetteError::Unsupported { .. } => jni_str!("dev/silhouette/SilhouetteException$Unsupported"),
        SilhouetteError::Closed { .. } => jni_str!("dev/silhouette/SilhouetteException$Closed"),
        SilhouetteError::Internal { .. } => jni_str!("dev/silhouette/SilhouetteException$Internal"),
    };
    let (reason, advice) = error.texts();
    let reason = env.new_string(reason)?;
    let advice = env.new_string(advice)?;
    let texts = [JValue::Object(&reason), JValue::Object(&advice)];
    let exception = env.new_object(class, jni_sig!((JString, JString) -> void), &texts)?;
    let exception = env.cast_local::<JThrowable>(exception)?;
    match env.throw(exception) {
        // This error means that the exception is pending.
        Ok(()) | Err(JavaError::JavaException) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Three planes and their numbers, as in Kotlin's `Frame`.
struct JavaFrame<'a, 'local> {
    buffers: [&'a JByteBuffer<'local>; 3],
    numbers: &'a JLongArray<'local>,
}

impl JavaFrame<'_, '_> {
    fn read(&self, env: &Env<'_>) -> Result<RawFrame> {
        let mut numbers = [0; FRAME];
        self.numbers.get_region(env, 0, &mut numbers)?;
        let small = |at: usize, what: &str| {
            let number = numbers[at];
            u32::try_from(number)
                .map_err(|_| SilhouetteError::frame(format!("{what} is {number}"), "pass 0 or a positive number"))
        };
        let mut planes = [RawPlane::ABSENT; 3];
        for (i, (plane, buffer)) in planes.iter_mut().zip(self.buffers).enumerate() {
            if !buffer.is_null() {
                let [offset, length, row_stride, pixel_stride] =
                    [0, 1, 2, 3].map(|number| numbers[11 + 4 * i + number]);
                let data = direct(env, buffer, offset, length)?;
                let stride = |number: jlong, what: &str| {
                    usize::try_from(number).map_err(|_| {
                        SilhouetteError::frame(
                            format!("the {what} stride of plane {i} is {number} bytes"),
                            "pass strides as the camera reports them",
                        )
                    })
                };
                *plane = RawPlane {
                    data,
                    length: length as usize,
                    row_stride: stride(row_stride, "row")?,
                    pixel_stride: stride(pixel_stride, "pixel")?,
                };
            }
        }
        Ok(RawFrame {
            planes,
            format: small(0, "the format")?,
            width: small(1, "the width")?,
            height: small(2, "the height")?,
            matrix: small(3, "the matrix")?,
            range: small(4, "the range")?,
            rotation: small(5, "the rotation")?,
            mirror: small(6, "the mirroring")?,
            region_x: small(7, "the region's x")?,
            region_y: small(8, "the region's y")?,
            region_width: small(9, "the region's width")?,
            region_height: small(10, "the region's height")?,
        })
    }

    /// Runs `work` with the frame.
    fn with<T>(&self, env: &Env<'_>, work: impl FnOnce(&Frame<'_>) -> Result<T>) -> Result<T> {
        let raw = self.read(env)?;
        // SAFETY: each plane is inside a direct buffer (`direct`), whose object is an argument of the native method and
        // so lives until it returns; the documentation of `Frame` requires that nothing writes to it meanwhile.
        let frame = unsafe { raw.frame() }?;
        work(&frame)
    }
}

/// The address of a direct buffer's bytes at `offset`, which must have `length` bytes from there.
fn direct(env: &Env<'_>, buffer: &JByteBuffer<'_>, offset: jlong, length: jlong) -> Result<*mut u8> {
    let (Ok(address), Ok(capacity)) = (env.get_direct_buffer_address(buffer), env.get_direct_buffer_capacity(buffer))
    else {
        return Err(SilhouetteError::frame(
            "a buffer is not direct",
            "copy it into one of ByteBuffer.allocateDirect; cameras' buffers are direct",
        ));
    };
    let inside = |(offset, length): (usize, usize)| offset.checked_add(length).is_some_and(|end| end <= capacity);
    match (usize::try_from(offset), usize::try_from(length)) {
        // Inside the buffer, by the check above.
        (Ok(offset), Ok(length)) if inside((offset, length)) => Ok(address.wrapping_add(offset)),
        _ => Err(SilhouetteError::frame(
            format!("bytes {offset} to {} of a buffer of {capacity}", offset.saturating_add(length)),
            "leave the buffer's position and limit inside its capacity",
        )),
    }
}

fn classes(env: &Env<'_>, array: &JIntArray<'_>) -> Result<Vec<u32>> {
    if array.is_null() {
        return Ok(Vec::new());
    }
    let length = array.len(env)?;
    if length > 1 << 16 {
        return Err(SilhouetteError::unsupported(format!("{length} classes"), "name each class once"));
    }
    let mut numbers = vec![0; length];
    array.get_region(env, 0, &mut numbers)?;
    let class = |number: i32| {
        u32::try_from(number)
            .map_err(|_| SilhouetteError::unsupported(format!("class {number}"), "classes are numbered from 0"))
    };
    numbers.into_iter().map(class).collect()
}

/// `Native.segment`; returns the mask's width (upper half) and height (lower half).
///
/// # Safety
/// Called only by Java; `segmenter` and `segmentation` are `raw()` of objects that `owner` and `target` keep alive.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_dev_silhouette_Native_segment<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    _owner: JObject<'local>,
    segmenter: jlong,
    first: JByteBuffer<'local>,
    second: JByteBuffer<'local>,
    third: JByteBuffer<'local>,
    numbers: JLongArray<'local>,
    _target: JObject<'local>,
    segmentation: jlong,
) -> jlong {
    env.with_env(|env| {
        // SAFETY: guaranteed by this function's caller.
        let (segmenter, target) = unsafe { (Segmenter::at(segmenter as u64)?, Segmentation::at(segmentation as u64)?) };
        let frame = JavaFrame { buffers: [&first, &second, &third], numbers: &numbers };
        frame.with(env, |frame| segmenter.segment(frame, target))?;
        Ok(packed(target))
    })
    .resolve::<Throw>()
}

/// `Native.segmentVideo`; returns the same as `segment`.
///
/// # Safety
/// The same as [`Java_dev_silhouette_Native_segment`].
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_dev_silhouette_Native_segmentVideo<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    _owner: JObject<'local>,
    video: jlong,
    first: JByteBuffer<'local>,
    second: JByteBuffer<'local>,
    third: JByteBuffer<'local>,
    numbers: JLongArray<'local>,
    timestamp: jlong,
    _target: JObject<'local>,
    segmentation: jlong,
) -> jlong {
    env.with_env(|env| {
        // SAFETY: guaranteed by this function's caller.
        let (video, target) = unsafe { (VideoSegmenter::at(video as u64)?, Segmentation::at(segmentation as u64)?) };
        let frame = JavaFrame { buffers: [&first, &second, &third], numbers: &numbers };
        frame.with(env, |frame| video.segment(frame, time(timestamp)?, target))?;
        Ok(packed(target))
    })
    .resolve::<Throw>()
}

/// `Native.submit`.
///
/// # Safety
/// The same as [`Java_dev_silhouette_Native_segment`].
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_dev_silhouette_Native_submit<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    _owner: JObject<'local>,
    live: jlong,
    first: JByteBuffer<'local>,
    second: JByteBuffer<'local>,
    third: JByteBuffer<'local>,
    numbers: JLongArray<'local>,
    timestamp: jlong,
) -> jboolean {
    env.with_env(|env| {
        // SAFETY: guaranteed by this function's caller.
        let live = unsafe { LiveSegmenter::at(live as u64) }?;
        let frame = JavaFrame { buffers: [&first, &second, &third], numbers: &numbers };
        frame.with(env, |frame| live.submit(frame, time(timestamp)?))
    })
    .resolve::<Throw>()
}

/// `Native.mask`.
///
/// # Safety
/// The same as [`Java_dev_silhouette_Native_segment`]; `out` is writable and nothing else uses it during the call.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_dev_silhouette_Native_mask<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    _owner: JObject<'local>,
    segmentation: jlong,
    out: JByteBuffer<'local>,
    offset: jint,
    length: jint,
    row_stride: jint,
) {
    env.with_env(|env| {
        // SAFETY: guaranteed by this function's caller.
        let segmentation = unsafe { Segmentation::at(segmentation as u64) }?;
        let to = direct(env, &out, jlong::from(offset), jlong::from(length))?;
        // SAFETY: `length` bytes inside a direct buffer that the caller passes for writing.
        segmentation.copy_mask(unsafe { bytes_mut(to, length as usize) }?, stride(row_stride)?)
    })
    .resolve::<Throw>();
}

/// `Native.confidence`.
///
/// # Safety
/// The same as [`Java_dev_silhouette_Native_mask`].
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_dev_silhouette_Native_confidence<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    _owner: JObject<'local>,
    segmentation: jlong,
    class_indices: JIntArray<'local>,
    out: JByteBuffer<'local>,
    offset: jint,
    length: jint,
    row_stride: jint,
) {
    env.with_env(|env| {
        // SAFETY: guaranteed by this function's caller.
        let segmentation = unsafe { Segmentation::at(segmentation as u64) }?;
        let chosen: Vec<usize> = classes(env, &class_indices)?.into_iter().map(|class| class as usize).collect();
        let to = direct(env, &out, jlong::from(offset), jlong::from(length))?;
        // SAFETY: `length` bytes inside a direct buffer that the caller passes for writing.
        segmentation.copy_confidence(&chosen, unsafe { bytes_mut(to, length as usize) }?, stride(row_stride)?)
    })
    .resolve::<Throw>();
}

/// `Native.effect`; `numbers` null: uses the frame that a live result keeps; `background_numbers` null: no background.
///
/// # Safety
/// The same as [`Java_dev_silhouette_Native_mask`].
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_dev_silhouette_Native_effect<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    _owner: JObject<'local>,
    segmentation: jlong,
    first: JByteBuffer<'local>,
    second: JByteBuffer<'local>,
    third: JByteBuffer<'local>,
    numbers: JLongArray<'local>,
    kind: jint,
    all_classes: jboolean,
    class_indices: JIntArray<'local>,
    background_first: JByteBuffer<'local>,
    background_second: JByteBuffer<'local>,
    background_third: JByteBuffer<'local>,
    background_numbers: JLongArray<'local>,
    strength: jfloat,
    bgra: jboolean,
    premultiplied: jboolean,
    out: JByteBuffer<'local>,
    offset: jint,
    length: jint,
    row_stride: jint,
) {
    env.with_env(|env| {
        // SAFETY: guaranteed by this function's caller.
        let segmentation = unsafe { Segmentation::at(segmentation as u64) }?;
        let chosen = classes(env, &class_indices)?;
        let background = if background_numbers.is_null() {
            None
        } else {
            let buffers = [&background_first, &background_second, &background_third];
            Some(JavaFrame { buffers, numbers: &background_numbers }.read(env)?)
        };
        let effect = RawEffect {
            kind: kind as u32,
            all_classes: u32::from(all_classes),
            classes: chosen.as_ptr(),
            class_count: chosen.len(),
            background: background.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
            strength,
            bgra: u32::from(bgra),
            premultiplied: u32::from(premultiplied),
        };
        let render = |frame: Option<&Frame<'_>>| {
            // SAFETY: classes and background are on this stack; the background's planes are as in `JavaFrame::with`.
            unsafe { effect.with(|effect, foreground| segmentation.render(frame, effect, foreground)) }
        };
        let picture = if numbers.is_null() {
            render(None)?
        } else {
            let frame = JavaFrame { buffers: [&first, &second, &third], numbers: &numbers };
            frame.with(env, |frame| render(Some(frame)))?
        };
        let to = direct(env, &out, jlong::from(offset), jlong::from(length))?;
        // SAFETY: `length` bytes inside a direct buffer that the caller passes for writing; the frames are no longer
        // used.
        let to = unsafe { bytes_mut(to, length as usize) }?;
        Ok(picture.copy_into(to, stride(row_stride)?, effect.order(), premultiplied)?)
    })
    .resolve::<Throw>();
}

/// `Native.start`: sets a stream's listener, the method `deliver` of `listener`, a `dev.silhouette.LiveSegmenter`.
///
/// # Safety
/// The same as [`Java_dev_silhouette_Native_segment`].
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_dev_silhouette_Native_start<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    live: jlong,
    listener: JObject<'local>,
) {
    env.with_env(|env| {
        // SAFETY: guaranteed by this function's caller; `listener` keeps it alive.
        let live = unsafe { LiveSegmenter::at(live as u64) }?;
        let vm = env.get_java_vm()?;
        let listener = env.new_global_ref(&listener)?;
        live.start(move |mut result| {
            if let Err(error) = deliver(&vm, &listener, &mut result) {
                log::error!("a result was not delivered: {error}");
            }
        })
    })
    .resolve::<Throw>();
}

/// A stream's thread, attached to the virtual machine as a daemon until it ends: the machine waits for other threads
/// before it exits, so a stream that was never closed would block it. (The crate `jni` attaches only non-daemon
/// threads, but uses this one as it finds it.)
struct Daemon(JavaVM);

thread_local! {
    static DAEMON: OnceCell<Daemon> = const { OnceCell::new() };
}

impl Daemon {
    /// Attaches this thread on the first call.
    fn attach_current_thread(vm: &JavaVM) -> jni::errors::Result<()> {
        DAEMON.with(|daemon| {
            if daemon.get().is_some() {
                return Ok(());
            }
            let raw = vm.get_raw();
            // (The machine only reads the name.)
            let name = jni_str!("silhouette-live").as_ptr().cast_mut();
            let mut arguments = JavaVMAttachArgs { version: JNI_VERSION_1_6, name, group: ptr::null_mut() };
            let mut env = ptr::null_mut();
            // SAFETY: `raw` is the machine that this library was loaded into, which outlives the library and supports
            // version 1.4; both pointers are to this stack, the name is static and ends with a zero.
            let code = unsafe {
                ((**raw).v1_4.AttachCurrentThreadAsDaemon)(raw, &raw mut env, (&raw mut arguments).cast::<c_void>())
            };
            jni_error_code_to_result(code)?;
            let _ = daemon.set(Self(vm.clone()));
            Ok(())
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let raw = self.0.get_raw();
        // SAFETY: as above. The thread ends: no Java frame is on its stack any more. No one could handle an error.
        unsafe { ((**raw).v1_1.DetachCurrentThread)(raw) };
    }
}

/// Calls `deliver(result, timestamp, dropped, kind, reason, advice)`; `result` identifies the result for [`take`]
/// during the call.
///
/// [`take`]: Java_dev_silhouette_Native_take
fn deliver(vm: &JavaVM, listener: &Global<JObject<'static>>, result: &mut LiveResult<'_>) -> jni::errors::Result<()> {
    Daemon::attach_current_thread(vm)?;
    vm.attach_current_thread(|env| {
        let timestamp = nanoseconds(result.timestamp) as jlong;
        let dropped = result.dropped as jlong;
        let error = result.segmentation.as_ref().err().map(|error| SilhouetteError::from(error.clone()));
        let (kind, (reason, advice)) = error.as_ref().map_or((0, ("", "")), |error| (error.kind(), error.texts()));
        // Strings only if they are not empty, to avoid garbage.
        let text = |env: &mut Env<'_>, text: &str| {
            if kind == 0 { Ok(None) } else { env.new_string(text).and_then(|text| env.new_global_ref(text)).map(Some) }
        };
        let reason = text(env, reason)?;
        let advice = text(env, advice)?;
        let none = JObject::null();
        let reason = reason.as_ref().map(AsRef::as_ref);
        let advice = advice.as_ref().map(AsRef::as_ref);
        let name = std::ptr::from_mut(result).expose_provenance() as jlong;
        let arguments = [
            JValue::Long(name),
            JValue::Long(timestamp),
            JValue::Long(dropped),
            JValue::Int(kind),
            JValue::Object(reason.unwrap_or(&none)),
            JValue::Object(advice.unwrap_or(&none)),
        ];
        let signature = jni_sig!((jlong, jlong, jlong, jint, JString, JString) -> void);
        let called = env.call_method(listener, jni_str!("deliver"), signature, &arguments);
        // `deliver` catches what the listener throws; other exceptions (no memory for the result, stack overflow) have
        // no handler on this thread, and must not be pending when the next result calls into Java.
        if env.exception_check() {
            env.exception_describe();
            env.exception_clear();
        }
        called.map(|_| ())
    })
}

/// `Native.take`: moves a stream's result and its frame into a segmentation, whose memory the stream reuses; returns
/// the same as `segment`.
///
/// # Safety
/// `result` is the argument of `deliver`, during that call and on its thread; `segmentation` is `raw()` of an object
/// that `target` keeps alive.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_dev_silhouette_Native_take<'local>(
    mut env: EnvUnowned<'local>,
    _class: JClass<'local>,
    result: jlong,
    _target: JObject<'local>,
    segmentation: jlong,
) -> jlong {
    env.with_env(|_| {
        // SAFETY: guaranteed by this function's caller.
        let target = unsafe { Segmentation::at(segmentation as u64) }?;
        let result = std::ptr::with_exposed_provenance_mut::<LiveResult<'_>>(result as usize);
        // SAFETY: the result is on the stack of `deliver`, which does not access it during the call.
        let result = unsafe { &mut *result };
        match &mut result.segmentation {
            Ok(segmentation) => target.swap(segmentation, result.frame)?,
            Err(error) => return Err(error.clone().into()),
        }
        Ok(packed(target))
    })
    .resolve::<Throw>()
}

/// The mask's width and height in one number, so that reading them costs no further call.
fn packed(segmentation: &Segmentation) -> jlong {
    let size = segmentation.size();
    (u64::from(size.width) << 32 | u64::from(size.height)) as jlong
}

fn stride(row_stride: jint) -> Result<usize> {
    usize::try_from(row_stride).map_err(|_| {
        SilhouetteError::frame(format!("a row stride of {row_stride} bytes"), "pass the bytes from row to row")
    })
}

fn time(nanoseconds: jlong) -> Result<u64> {
    u64::try_from(nanoseconds).map_err(|_| {
        SilhouetteError::frame(format!("a timestamp of {nanoseconds} ns"), "count from a moment before the first frame")
    })
}
