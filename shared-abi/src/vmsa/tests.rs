//! Literal descriptors from the Arm ARM's bit positions, the round trip, and what decoding refuses.

use super::*;
use crate::addr::{Frame, PageSize, PhysAddr};
use crate::rights::Rights;

const TEXT: PhysAddr = PhysAddr::from_field(0x4020_0000);

const fn page(attributes: Attributes) -> u64 {
    match Descriptor::leaf(TEXT, PageSize::Size4K, attributes) {
        Some(descriptor) => descriptor.bits(),
        None => 0,
    }
}

const fn every_leaf_round_trips() -> bool {
    let mut memory = 0;
    while memory < MemoryType::ALL.len() {
        let mut rights = 0;
        while rights < Rights::ALL.len() {
            let mut size = 0;
            while size < PageSize::ALL.len() {
                let mut user = 0;
                while user < 2 {
                    let privilege = if user == 1 { Privilege::User } else { Privilege::Kernel };
                    if let Some(attributes) =
                        Attributes::new(MemoryType::ALL[memory], Rights::ALL[rights], privilege)
                    {
                        let phys = PhysAddr::from_field(0xFFFF_C000_0000);
                        let Some(leaf) = Descriptor::leaf(phys, PageSize::ALL[size], attributes) else {
                            return false;
                        };
                        let Ok((back, back_size, read)) = leaf.decode_leaf(PageSize::ALL[size].level())
                        else {
                            return false;
                        };
                        if back.get() != phys.get()
                            || back_size.level() != PageSize::ALL[size].level()
                            || read.memory().index() != attributes.memory().index()
                            || read.rights().to_u32() != attributes.rights().to_u32()
                            || read.is_global() != attributes.is_global()
                        {
                            return false;
                        }
                    }
                    user += 1;
                }
                size += 1;
            }
            rights += 1;
        }
        memory += 1;
    }
    true
}

const _: () = assert!(every_leaf_round_trips());
const _: () = assert!(size_of::<Descriptor>() == 8);

#[test]
fn leaves_are_the_bits_of_the_architecture() {
    // Output address | UXN 54, PXN 53 | nG 11, AF 10, SH 9:8 = 11, AP 7:6, AttrIndx 4:2, type 1:0.
    assert_eq!(page(Attributes::kernel(Rights::ReadExecute)), 0x0040_0000_4020_0783);
    assert_eq!(page(Attributes::kernel(Rights::ReadOnly)), 0x0060_0000_4020_0783);
    assert_eq!(page(Attributes::kernel(Rights::ReadWrite)), 0x0060_0000_4020_0703);
    assert_eq!(page(Attributes::user(Rights::ReadExecute)), 0x0020_0000_4020_0FC3);
    assert_eq!(page(Attributes::user(Rights::ReadOnly)), 0x0060_0000_4020_0FC3);
    assert_eq!(page(Attributes::user(Rights::ReadWrite)), 0x0060_0000_4020_0F43);
    assert_eq!(page(Attributes::KERNEL_DEVICE), 0x0060_0000_4020_0707);
    let uncached = Attributes::new(MemoryType::NonCacheable, Rights::ReadWrite, Privilege::Kernel).unwrap();
    assert_eq!(page(uncached), 0x0060_0000_4020_070B);
    let strict = Attributes::new(MemoryType::DeviceNGnRnE, Rights::ReadOnly, Privilege::Kernel).unwrap();
    assert_eq!(page(strict), 0x0060_0000_4020_078F);
}

#[test]
fn blocks_have_bit_one_clear_and_tables_have_no_attributes() {
    let attributes = Attributes::kernel(Rights::ReadWrite);
    let block = Descriptor::leaf(TEXT, PageSize::Size2M, attributes).unwrap();
    assert_eq!(block.bits(), 0x0060_0000_4020_0701);
    let gigabyte = PhysAddr::new(0x80_4000_0000).unwrap();
    let block = Descriptor::leaf(gigabyte, PageSize::Size1G, attributes).unwrap();
    assert_eq!(block.bits(), 0x0060_0080_4000_0701);
    assert_eq!(Descriptor::leaf(TEXT, PageSize::Size1G, attributes), None);
    let table = Descriptor::table(Frame::new(0x4_0123).unwrap());
    assert_eq!(table.bits(), 0x4012_3003);
    assert_eq!(table.decode_table(0), Ok(Frame::new(0x4_0123).unwrap()));
    assert_eq!(table.decode_table(3), Err(DescriptorError::NotATable));
}

#[test]
fn executable_device_memory_has_no_value() {
    for memory in [MemoryType::DeviceNGnRE, MemoryType::DeviceNGnRnE] {
        assert_eq!(Attributes::new(memory, Rights::ReadExecute, Privilege::Kernel), None);
    }
    let console = Descriptor::leaf(TEXT, PageSize::Size4K, Attributes::KERNEL_DEVICE).unwrap();
    assert_eq!(console.with_rights(Rights::ReadExecute), None);
    let read_only = console.with_rights(Rights::ReadOnly).unwrap();
    assert_eq!(read_only.bits(), 0x0060_0000_4020_0787);
}

#[test]
fn other_rights_change_nothing_else() {
    for privilege in [Privilege::Kernel, Privilege::User] {
        for from in Rights::ALL {
            for to in Rights::ALL {
                let attributes = Attributes::new(MemoryType::WriteBack, from, privilege).unwrap();
                let leaf = Descriptor::leaf(TEXT, PageSize::Size2M, attributes).unwrap();
                let (phys, size, after) = leaf.with_rights(to).unwrap().decode_leaf(2).unwrap();
                assert_eq!((phys, size), (TEXT, PageSize::Size2M));
                assert_eq!(Some(after), attributes.with_rights(to));
            }
        }
    }
}

#[test]
fn foreign_descriptors_are_refused_by_name() {
    use DescriptorError as E;
    let text = page(Attributes::kernel(Rights::ReadExecute));
    let data = page(Attributes::kernel(Rights::ReadWrite));
    let (read_write, read_only) = (AccessPermission::KernelReadWrite, AccessPermission::KernelReadOnly);
    let execute = |access, privileged_execute_never, user_execute_never| E::Execute {
        access,
        privileged_execute_never,
        user_execute_never,
    };
    let cases = [
        (data & !1, 3, E::Invalid),
        (data & !2, 3, E::NotALeaf { level: 3 }),
        (data & !2, 0, E::NotALeaf { level: 0 }),
        (data & !(1 << 10), 3, E::AccessFlagClear),
        (data & !(3 << 8), 3, E::Shareability(Shareability::Non)),
        (data & !(1 << 8), 3, E::Shareability(Shareability::Outer)),
        (data | 4 << 2, 3, E::AttributeIndex(4)),
        (data & !(1 << 53), 3, execute(read_write, false, true)),
        (text & !(1 << 54), 3, execute(read_only, false, false)),
        (data & !(1 << 54), 3, execute(read_write, true, false)),
        (text | 1 << 6, 3, execute(AccessPermission::ReadOnly, false, true)),
        (data | 1 << 11, 3, E::Global { not_global: true }),
        (data & !(1 << 11) | 1 << 6, 3, E::Global { not_global: false }),
        (text | 1 << 2, 3, E::ExecutableDevice(MemoryType::DeviceNGnRE)),
        (data & !2 | 0x1000, 2, E::Address(PhysAddr::from_field(0x4020_1000))),
        (data | 1 << 51, 3, E::UnknownBits(1 << 51)),
        (data | 1 << 52, 3, E::UnknownBits(1 << 52)),
        (data | 1 << 5, 3, E::UnknownBits(1 << 5)),
        (data | 3 << 48, 3, E::UnknownBits(3 << 48)),
        (data | 1 << 55, 3, E::UnknownBits(1 << 55)),
        (data | 1 << 63, 3, E::UnknownBits(1 << 63)),
    ];
    for (bits, level, error) in cases {
        let found = Descriptor::from_bits_retain(bits).decode_leaf(level);
        assert_eq!(found, Err(error), "{bits:#018x} at level {level}");
    }
    let limited = Descriptor::table(Frame::new(1).unwrap()).bits() | 1 << 59;
    assert_eq!(Descriptor::from_bits_retain(limited).decode_table(1), Err(E::UnknownBits(1 << 59)));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    /// Whatever decodes is exactly what the encoder writes.
    #[test]
    fn decoding_accepts_only_what_encoding_writes(noise: u64, flips in proptest::collection::vec(0u32..64, 0..3), level in 0u8..4, kind in 0usize..6) {
        let attributes = [
            Attributes::kernel(Rights::ReadExecute), Attributes::kernel(Rights::ReadWrite),
            Attributes::user(Rights::ReadExecute), Attributes::user(Rights::ReadOnly),
            Attributes::KERNEL_DEVICE, Attributes::kernel(Rights::ReadOnly),
        ][kind];
        let size = PageSize::ALL[3 - usize::from(level.max(1))];
        let phys = PhysAddr::from_field(noise & !(size.bytes() - 1));
        let mut bits = Descriptor::leaf(phys, size, attributes).unwrap().bits();
        for flip in flips {
            bits ^= 1 << flip;
        }
        for bits in [bits, noise] {
            if let Ok((phys, size, attributes)) = Descriptor::from_bits_retain(bits).decode_leaf(level) {
                assert_eq!(Descriptor::leaf(phys, size, attributes).unwrap().bits(), bits);
                assert_eq!(size.level(), level);
            }
        }
    }
}
