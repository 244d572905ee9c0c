//! Calls to the host of a debugger or an emulator (Arm semihosting, AArch64 form). Where nobody listens, the
//! instruction is an exception: a caller knows from the header page or from `BootInfo` that somebody does.

use core::ffi::CStr;

use shared_abi::verdict::{SEMIHOSTING_APPLICATION_EXIT, SEMIHOSTING_EXIT, SEMIHOSTING_WRITE0};

/// Calls `operation` with one parameter, an address in most.
///
/// # Safety
///
/// The host reads and writes what the operation says of `parameter`.
unsafe fn call(operation: u64, parameter: *const u8) {
    // SAFETY: the caller vouches for the parameter.
    unsafe {
        instruction!("hlt #0xF000", inout("x0") operation => _, in("x1") parameter, options(nostack));
    }
}

/// Writes text to the host's console (SYS_WRITE0).
pub fn write(text: &CStr) {
    // SAFETY: SYS_WRITE0 reads the bytes up to the zero.
    unsafe { call(SEMIHOSTING_WRITE0, text.as_ptr().cast()) };
}

/// Ends the program with a status (SYS_EXIT). Comes back if the host lets it.
pub fn exit(subcode: u64) {
    let block = [SEMIHOSTING_APPLICATION_EXIT, subcode];
    // SAFETY: SYS_EXIT reads the two words.
    unsafe { call(SEMIHOSTING_EXIT, block.as_ptr().cast()) };
}
