//! `libunwind.a` for libraries that are linked without an NDK (`scripts/build-android`): the crate `unwinding` under the names that Rust's
//! standard library asks for. Not part of anything that ships.
#![no_std]

extern crate unwinding;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
