//! The loader's exception vectors: they serve the loader, then the kernel until it installs its own.
//!
//! Every exception ends the machine, so the interrupted stack is neither needed nor trusted: the reporter has a stack of
//! its own, a page below which nothing can be written.

unsafe extern "C" {
    static fault_stack: u8;
}

const FAULT_STACK: u64 = 0x1000;

handoff_bare::exception_vectors! {
    table: "fault_vectors",
    stack: fault_stack,
    size: FAULT_STACK,
    nested: FAULT_STACK,
    report: super::report::report_fault,
}
