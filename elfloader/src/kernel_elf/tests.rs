use super::*;
use crate::elf_builder::*;

#[test]
fn a_good_kernel_is_read() {
    let file = ElfBuilder::good().build();
    let elf = KernelElf::parse(&file).unwrap();
    assert_eq!(elf.segments().len(), 3);
    assert_eq!(elf.entry(), LINK);
    assert_eq!(elf.position(), Position::Fixed);
    assert_eq!(elf.image_pages(), (LINK >> 12, (LINK >> 12) + 6));
}
