//! Why a boot ended in the loader: the error of whichever module refused, with its code.

use core::fmt;

use elfloader::command_line::CommandLineError;
use elfloader::device_tree::TreeError;
use elfloader::kernel_elf::KernelElfError;
use elfloader::memory_map::MapError;
use elfloader::plan::PlanError;
use shared_abi::boot_info::WriteError;
use shared_abi::image::header::HeaderError;
use shared_abi::image::payload::PayloadError;
use shared_abi::page_table::TableError;

use crate::machine::self_check::CheckError;

/// What the loader itself has to say.
#[derive(Clone, Copy, Debug)]
pub enum EntryError {
    /// The image does not lie in memory that can be named, or the entry code ran twice.
    Place {
        /// Where it lies.
        phys: u64,
    },
    /// There is no device tree: not in x0, not at the hint, not in the image.
    NoTree {
        /// x0 as firmware passed it.
        x0: u64,
        /// The header page's hint.
        hint: u64,
    },
}

impl EntryError {
    const fn code(&self) -> u16 {
        match self {
            Self::Place { .. } => 801,
            Self::NoTree { .. } => 802,
        }
    }
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Place { phys } => write!(f, "the image cannot run at {phys:#018x}"),
            Self::NoTree { x0, hint } => {
                write!(f, "no device tree: x0 is {x0:#x}, the hint is {hint:#x}, and none is packed")
            }
        }
    }
}

macro_rules! errors {
    ($($variant:ident($error:ty),)*) => {
        /// Any of them.
        #[derive(Debug)]
        pub enum BootError {
            $(#[doc = concat!("See [`", stringify!($error), "`].")] $variant($error),)*
        }

        $(impl From<$error> for BootError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*

        impl BootError {
            /// The stable code.
            pub fn code(&self) -> u16 {
                match self {
                    $(Self::$variant(error) => error.code(),)*
                }
            }
        }

        impl fmt::Display for BootError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(error) => error.fmt(f),)*
                }
            }
        }
    };
}

errors! {
    Header(HeaderError),
    Payload(PayloadError),
    Tree(TreeError<'static>),
    CommandLine(CommandLineError),
    Map(MapError<'static>),
    Elf(KernelElfError),
    Plan(PlanError),
    Table(TableError),
    Write(WriteError),
    Entry(EntryError),
    Check(CheckError),
}
