//! Calls to the firmware that implements PSCI (Arm DEN 0022), by the SMC calling convention (Arm DEN 0028).

use shared_abi::boot_info::Conduit;

/// SYSTEM_OFF and SYSTEM_RESET.
const SYSTEM_OFF: u32 = 0x8400_0008;
const SYSTEM_RESET: u32 = 0x8400_0009;

/// Calls `function` with its arguments and returns x0; `None` without a conduit. x4 to x17 may be changed by the call.
///
/// # Safety
///
/// Firmware listens at the conduit, and what it does when it is called so breaks no promise that others rely on:
/// CPU_ON, for one, lets another CPU run from any address.
pub unsafe fn call(conduit: Conduit, function: u32, arguments: [u64; 3]) -> Option<i64> {
    let [first, second, third] = arguments;
    let mut result = u64::from(function);
    // SAFETY: the caller vouches for the call; the convention's registers are given up.
    unsafe {
        match conduit {
            Conduit::HVC => instruction!("hvc #0", inout("x0") result, inout("x1") first => _,
                inout("x2") second => _, inout("x3") third => _, clobber_abi("C")),
            Conduit::SMC => instruction!("smc #0", inout("x0") result, inout("x1") first => _,
                inout("x2") second => _, inout("x3") third => _, clobber_abi("C")),
            _ => return None,
        }
    }
    Some(result as i64)
}

/// Switches the machine off. Comes back without a conduit, and if the firmware does not know the call.
pub fn system_off(conduit: Conduit) {
    // SAFETY: SYSTEM_OFF takes no argument and touches no memory; a conduit at which nobody listens takes an exception.
    let _ = unsafe { call(conduit, SYSTEM_OFF, [0; 3]) };
}

/// Resets the machine. Comes back as [`system_off`] does.
pub fn system_reset(conduit: Conduit) {
    // SAFETY: as SYSTEM_OFF.
    let _ = unsafe { call(conduit, SYSTEM_RESET, [0; 3]) };
}
