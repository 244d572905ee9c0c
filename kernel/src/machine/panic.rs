//! A panic is a bad verdict with its words on the console.

use core::panic::PanicInfo;

use shared_abi::verdict::Verdict;

use super::ending;
use crate::println;

/// The code of a verdict that a panic gives.
pub const PANICKED: u32 = 255;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("{info}");
    ending::finish(Verdict::Bad(PANICKED))
}
