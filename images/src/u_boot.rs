//! A disk that U-Boot boots from: one bootable partition with a FAT volume, made without root.
//!
//! U-Boot's standard boot finds `extlinux/extlinux.conf` on the first virtio disk and starts the image by `booti`,
//! with the device tree that QEMU gave U-Boot.

use std::io::{Cursor, Write};

use fatfs::{Dir, FileSystem, FormatVolumeOptions, FsOptions};

use crate::failure::{Failure, Outcome};

/// Room for the FATs, the folder and the configuration.
const SLACK: usize = 1 << 20;

/// The smallest volume: below it FAT12 would be chosen, which gains nothing.
const LEAST: usize = 8 << 20;

/// Where the volume begins: what partitioning tools leave in front.
const VOLUME_START: usize = 1 << 20;

/// The unit of the partition table.
const SECTOR: usize = 512;

/// A disk with the image and what U-Boot is to hand over.
pub fn disk(image: &[u8], initrd: Option<&[u8]>, append: Option<&str>) -> Outcome<Vec<u8>> {
    let content = image.len() + initrd.map_or(0, <[u8]>::len);
    // A FAT entry for each cluster: one part in a hundred is ample.
    let size = (content + content / 100 + SLACK).max(LEAST).next_multiple_of(1 << 20);
    let mut disk = vec![0; VOLUME_START + size];
    let (front, volume) = disk.split_at_mut(VOLUME_START);
    partition_table(front, size);
    write(volume, image, initrd, append).map_err(|error| {
        Failure::new(
            format!("cannot make a disk of {size} bytes for U-Boot: {error}"),
            "pack less: U-Boot's disk holds image and initrd",
        )
    })?;
    Ok(disk)
}

/// A master boot record with one bootable FAT partition from [`VOLUME_START`] on.
fn partition_table(sector: &mut [u8], volume: usize) {
    let entry = &mut sector[446..462];
    entry[0] = 0x80; // bootable
    entry[4] = 0x0E; // FAT with LBA; the CHS fields say nothing
    entry[8..12].copy_from_slice(&((VOLUME_START / SECTOR) as u32).to_le_bytes());
    entry[12..16].copy_from_slice(&((volume / SECTOR) as u32).to_le_bytes());
    sector[510..512].copy_from_slice(&[0x55, 0xAA]);
}

fn write(
    volume: &mut [u8],
    image: &[u8],
    initrd: Option<&[u8]>,
    append: Option<&str>,
) -> std::io::Result<()> {
    fatfs::format_volume(
        Cursor::new(&mut *volume),
        FormatVolumeOptions::new().volume_id(0x4841_4E44).volume_label(*b"HANDOFF    "),
    )?;
    let system = FileSystem::new(Cursor::new(&mut *volume), FsOptions::new())?;
    let root = system.root_dir();
    file(&root, "image", image)?;
    if let Some(initrd) = initrd {
        file(&root, "initrd", initrd)?;
    }
    file(&root.create_dir("extlinux")?, "extlinux.conf", configuration(initrd.is_some(), append).as_bytes())?;
    drop(root);
    system.unmount()
}

fn file(folder: &Dir<'_, Cursor<&mut [u8]>>, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = folder.create_file(name)?;
    file.write_all(bytes)?;
    file.flush()
}

fn configuration(initrd: bool, append: Option<&str>) -> String {
    let mut text = String::from("default handoff\nlabel handoff\n  kernel /image\n");
    if initrd {
        text.push_str("  initrd /initrd\n");
    }
    if let Some(line) = append {
        text.push_str(&format!("  append {line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_volume_holds_what_was_given_and_is_reproducible() {
        let image = vec![0x5A; 9_000_001];
        let disk_bytes = disk(&image, Some(b"ramdisk"), Some("nokaslr")).unwrap();
        assert_eq!(disk_bytes, disk(&image, Some(b"ramdisk"), Some("nokaslr")).unwrap());
        let system =
            FileSystem::new(Cursor::new(disk_bytes[VOLUME_START..].to_vec()), FsOptions::new()).unwrap();
        let read = |name: &str| {
            let mut bytes = Vec::new();
            system.root_dir().open_file(name).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        };
        assert!(read("image") == image);
        assert_eq!(read("initrd"), b"ramdisk");
        assert_eq!(
            String::from_utf8(read("extlinux/extlinux.conf")).unwrap(),
            "default handoff\nlabel handoff\n  kernel /image\n  initrd /initrd\n  append nokaslr\n"
        );
    }
}
