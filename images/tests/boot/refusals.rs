//! Damaged images and kernels that the ABI does not serve are refused with their code, before anything is entered.
//!
//! The tool would refuse most of these itself, so they are made with the library's packer, which judges nothing.

use images::kernel::KernelFile;
use images::loader::flatten;
use images::pack::{Contents, pack};
use images::recipe::{Digest, KernelSource};
use images::stage;
use images::workspace::Workspace;
use libtest_mimic::Failed;
use shared_abi::image::header::HEADER_PAGE;
use shared_abi::image::{BootFlags, LogLevel};

use crate::Behaviour;
use crate::handoff::{Scratch, handoff};

/// What is done to an image, and the code that the boot must answer with.
type Damage = (&'static str, &'static str, fn(&mut Image));

const DAMAGES: [Damage; 8] = [
    ("a_kernel_without_the_note", "E0301", |image| image.replace_in_kernel(b"Handoff\0", b"Another\0")),
    ("a_kernel_for_another_abi", "E0305", |image| image.change_note(0, 2)),
    ("a_file_that_is_no_elf", "E0201", |image| image.replace_in_kernel(b"\x7fELF", b"\x7fBLF")),
    ("a_kernel_for_another_machine", "E0208", |image| image.change_kernel(18, 62)),
    ("a_truncated_image", "E0128", |image| image.bytes.truncate(image.bytes.len() - 4096)),
    ("an_image_without_its_last_byte", "E0128", |image| image.bytes.truncate(image.bytes.len() - 1)),
    ("a_damaged_table", "E0126", |image| {
        let table = image.table;
        image.bytes[table + 40] ^= 1;
    }),
    ("a_damaged_kernel", "E0140", |image| {
        let last = image.kernel + image.kernel_length - 1;
        image.bytes[last] ^= 1;
    }),
];

/// An image, and where in it things are.
struct Image {
    bytes: Vec<u8>,
    table: usize,
    kernel: usize,
    kernel_length: usize,
    contents: Contents,
}

impl Image {
    fn of(kernel: &str) -> Result<Self, Failed> {
        let workspace = Workspace::here();
        let loader = std::fs::read(stage::loader(&workspace)?)?;
        let kernel_file = std::fs::read(stage::kernel(&workspace, &KernelSource::Example(kernel.into()))?)?;
        Self::pack(Contents {
            loader: flatten(&loader)?,
            kernel: KernelFile::new(kernel_file),
            kernel_name: kernel.into(),
            more: Vec::new(),
            digest: Digest::Crc32c,
            flags: BootFlags::SEMIHOSTING,
            log: LogLevel::Normal,
            tree_hint: 0,
        })
    }

    fn pack(contents: Contents) -> Result<Self, Failed> {
        let packed = pack(&contents)?;
        let part = |what: &str| packed.layout.parts.iter().find(|part| part.what == what);
        let (Some(table), Some(kernel)) = (part("payload table"), part("kernel")) else {
            return Err("the layout has no table or no kernel".into());
        };
        let (table, kernel, kernel_length) =
            (table.offset as usize, kernel.offset as usize, kernel.length as usize);
        Ok(Self { bytes: packed.bytes, table, kernel, kernel_length, contents })
    }

    /// Packs anew, so that the digest is right and only the kernel is wrong.
    fn repack(&mut self, kernel: Vec<u8>) {
        let contents = Contents { kernel: KernelFile::new(kernel), ..self.contents.clone() };
        *self = Self::pack(contents).unwrap_or_else(|failed| panic!("{failed:?}"));
    }

    fn replace_in_kernel(&mut self, from: &[u8], to: &[u8]) {
        let mut kernel = self.contents.kernel.bytes().to_vec();
        let at = kernel.windows(from.len()).position(|window| window == from).expect("it is there");
        kernel[at..at + to.len()].copy_from_slice(to);
        self.repack(kernel);
    }

    fn change_kernel(&mut self, at: usize, value: u8) {
        let mut kernel = self.contents.kernel.bytes().to_vec();
        kernel[at] = value;
        self.repack(kernel);
    }

    /// Changes a byte of the note's descriptor, which follows its name.
    fn change_note(&mut self, at: usize, value: u8) {
        let kernel = self.contents.kernel.bytes();
        let name = kernel.windows(8).position(|window| window == b"Handoff\0").expect("it has a note");
        self.change_kernel(name + 8 + at, value);
    }
}

pub fn all() -> Vec<Behaviour> {
    let mut list: Vec<_> = DAMAGES
        .iter()
        .map(|&(name, code, damage)| {
            Behaviour::new(format!("{name}_is_refused"), move || {
                let mut image = Image::of("hello")?;
                damage(&mut image);
                let file = Scratch::new(&format!("{name}.img"), &image.bytes)?;
                let ended =
                    handoff(&["run", "--image", file.path(), "--timeout", "60"])?.expect_status(101)?;
                let silent = !ended.console.contains("hello from");
                let ended = ended.expect(silent, "the kernel was entered")?;
                // What is wrong with the image itself is found before there is a console: QEMU's words have it.
                let said = format!("error {code}: ");
                let holds = ended.console.contains(&said) || ended.words.contains(&said);
                ended.expect(holds, &format!("nobody says \"{said}\"")).map(drop)
            })
        })
        .collect();
    list.push(Behaviour::new("an_undamaged_image_boots", || {
        // Else the refusals above could be for another reason.
        let file = Scratch::new("undamaged.img", &Image::of("hello")?.bytes)?;
        handoff(&["run", "--image", file.path(), "--timeout", "60"])?.expect_status(0).map(drop)
    }));
    list.push(Behaviour::new("the_loader_is_the_same_in_every_image", || {
        let (one, other) = (Image::of("hello")?, Image::of("verdict")?);
        let loader = HEADER_PAGE..HEADER_PAGE + one.contents.loader.len();
        if one.bytes[loader.clone()] != other.bytes[loader] {
            return Err("the loaders differ".into());
        }
        if one.bytes == other.bytes {
            return Err("the images do not differ: the kernels were not packed".into());
        }
        Ok(())
    }));
    list
}
