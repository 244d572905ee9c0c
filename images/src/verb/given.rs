//! An image that exists already, made ready for a machine: in the form that the way in wants, and with the tree's place.
//!
//! Loader and payload stay as they are. A damaged image is left alone: the boot says what is wrong with it.

use shared_abi::crc32c::crc32c;
use shared_abi::image::header::HEADER_PAGE;
use shared_abi::image::{self, BootFlags, Header, Kind};

use crate::elf_form::image_bytes;
use crate::failure::{Failure, Outcome, read};
use crate::machine::WayIn;
use crate::qemu::command::Boot;

/// The image in `file` as `boot` needs it, in the `Image` form; `None` if QEMU can read the file itself.
///
/// # Errors
/// A pause is asked for and the header cannot be read, or the machine would lose what it is to hand over.
pub fn for_boot(file: &[u8], boot: &Boot, flags: BootFlags) -> Outcome<Option<Vec<u8>>> {
    let (form, bytes) = image_bytes(file);
    let mut is_changed = match boot.way_in {
        WayIn::Elf => form != "elf",
        WayIn::Image | WayIn::Device { .. } => form != "image",
        WayIn::UBoot => true,
    };
    let mut copy = bytes.to_vec();
    match Header::decode(bytes, crc32c) {
        Ok(mut header) => {
            let as_packed = (header.boot_flags, header.phys_tree_hint);
            header.boot_flags |= flags & BootFlags::PAUSE;
            let has_tree =
                image::open(bytes, crc32c).is_ok_and(|(_, table)| table.find(Kind::DEVICE_TREE).is_some());
            if header.phys_tree_hint == 0 && !has_tree {
                header.phys_tree_hint = tree_hint(boot)?;
            }
            if as_packed != (header.boot_flags, header.phys_tree_hint) {
                copy[..HEADER_PAGE].copy_from_slice(&header.encode(crc32c));
                is_changed = true;
            }
        }
        Err(error) if flags.contains(BootFlags::PAUSE) => return Err(error.into()),
        Err(_) => {}
    }
    Ok(is_changed.then_some(copy))
}

/// Whether `path` holds an image that a witness can be called for.
pub fn is_whole(path: &std::path::Path) -> Outcome<bool> {
    Ok(image::open(image_bytes(&read(path)?).1, crc32c).is_ok())
}

/// Where the machine leaves its tree without a word; 0 where it says so itself.
///
/// # Errors
/// It leaves none.
pub fn tree_hint(boot: &Boot) -> Outcome<u64> {
    match (boot.way_in, boot.machine.elf.map(|place| place.tree)) {
        (WayIn::Image | WayIn::UBoot, _) => Ok(0),
        (WayIn::Elf | WayIn::Device { .. }, Some(tree)) if tree != 0 => Ok(tree),
        (WayIn::Elf | WayIn::Device { .. }, _) => Err(Failure::new(
            format!("{} leaves an image no device tree", boot.machine.name),
            "pack one with build --dtb FILE",
        )),
    }
}
