//! Ends the machine in the way that the command line asks for: `good`, `bad`, `panic`, `power-off` or `spin`.
//!
//! Only the first is success, and the host tool must tell them apart.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod bare;

use shared_abi::entry::Handoff;
use shared_abi::verdict::Verdict;

shared_abi::entry!(kmain);

fn kmain(info: Handoff) -> ! {
    bare::start(&info);
    match info.command_line() {
        "good" => bare::end(Verdict::Good),
        "bad" => bare::end(Verdict::Bad(7)),
        "panic" => panic!("as asked"),
        "power-off" => bare::power_off(),
        "spin" => loop {
            core::hint::spin_loop();
        },
        other => panic!("the command line \"{other}\" names no ending"),
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel verdict --append good boots it");
}
