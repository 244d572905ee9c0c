//! QEMU: the machine that a boot runs on.
//!
//! [`command`] decides the arguments, [`supply`] finds what a machine needs beside QEMU, [`child`] runs the process and
//! ends it, [`console`] reads what it says, [`parked`] sees when it will say no more, [`version`] says what to do when
//! QEMU is missing or too old.

pub mod child;
pub mod command;
pub mod console;
pub mod parked;
pub mod supply;
pub mod version;
