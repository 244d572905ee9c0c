//! Ends the machine.

use core::ffi::CStr;

use handoff_bare::ending::Means;
use handoff_bare::semihosting;

/// How this machine can be ended, set as soon as it is known.
pub static MEANS: Means = Means::new();

/// Writes `text`, which ends with a zero byte, to a host that listens; without one, nothing happens.
pub fn say_to_host(text: &[u8]) {
    if MEANS.has_semihosting()
        && let Ok(text) = CStr::from_bytes_until_nul(text)
    {
        semihosting::write(text);
    }
}
