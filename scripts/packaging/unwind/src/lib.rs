//! `libunwind.a` for libraries linked without an NDK (`scripts/build-android`): the crate `unwinding` with the names
//! that Rust's standard library needs. Not part of anything that ships.
#![no_std]

extern crate unwinding;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
