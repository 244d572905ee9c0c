//! Damaged images and kernels that cannot be loaded are refused with their code, before anything is entered.
//!
//! The tool would refuse them itself, so they are made with the library's packer, which judges nothing. Every code of
//! `docs/errors.md` that an image alone can provoke in a running loader is here; those left out name what cannot be:
//! E0101 and E0120 are about files shorter than they say, and memory is never too short.

mod header;
mod kernels;
mod table;

use images::kernel::KernelFile;
use images::loader::flatten;
use images::pack::{Contents, Packed, Payload, pack};
use images::recipe::{Digest, KernelSource};
use images::stage;
use images::workspace::Workspace;
use libtest_mimic::Failed;
use shared_abi::image::header::HEADER_PAGE;
use shared_abi::image::{BootFlags, Kind, LogLevel};

use crate::Behaviour;
use crate::handoff::{Scratch, handoff};

pub fn all() -> Vec<Behaviour> {
    let mut list = header::all();
    list.extend(table::all());
    list.extend(kernels::all());
    list.push(Behaviour::new("an_undamaged_image_boots", || {
        // Else the refusals above could be for another reason.
        let file = Scratch::new("undamaged.img", &Image::of_example("hello")?.bytes)?;
        handoff(&["run", "--image", file.path(), "--timeout", "60"])?.expect_status(0).map(drop)
    }));
    list.push(Behaviour::new("the_loader_is_the_same_in_every_image", || {
        let (one, other) = (Image::of_example("hello")?, Image::of_example("verdict")?);
        if one.loader()? != other.loader()? {
            return Err("the loaders differ".into());
        }
        if one.bytes == other.bytes {
            return Err("the images do not differ: the kernels were not packed".into());
        }
        Ok(())
    }));
    list
}

/// An image, and where in it things are.
struct Image {
    bytes: Vec<u8>,
    table: usize,
    kernel: usize,
    kernel_length: usize,
}

impl Image {
    /// An image of one of our kernels.
    fn of_example(kernel: &str) -> Result<Self, Failed> {
        Self::of(std::fs::read(stage::kernel(&Workspace::here(), &KernelSource::Example(kernel.into()))?)?)
    }

    /// An image of any file as the kernel, with a module behind it.
    fn of(kernel: Vec<u8>) -> Result<Self, Failed> {
        let loader = std::fs::read(stage::loader(&Workspace::here())?)?;
        let Packed { bytes, layout } = pack(&Contents {
            loader: flatten(&loader)?,
            kernel: KernelFile::new(kernel),
            kernel_name: "kernel".into(),
            more: vec![Payload { kind: Kind::MODULE, name: "module".into(), bytes: vec![1; 100] }],
            digest: Digest::Crc32c,
            flags: BootFlags::SEMIHOSTING,
            log: LogLevel::Normal,
            tree_hint: 0,
        })?;
        let part = |what: &str| layout.parts.iter().find(|part| part.what == what);
        let (Some(table), Some(kernel)) = (part("payload table"), part("kernel")) else {
            return Err("the layout has no table or no kernel".into());
        };
        let (table, at, kernel_length) =
            (table.offset as usize, kernel.offset as usize, kernel.length as usize);
        Ok(Self { bytes, table, kernel: at, kernel_length })
    }

    /// The loader's bytes.
    fn loader(&self) -> Result<&[u8], Failed> {
        self.bytes.get(HEADER_PAGE..self.table).ok_or_else(|| "there is no loader".into())
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// Boots bytes as an image, with more arguments of `run`: one line with the code and one of help end it.
fn expect_refusal(name: &str, image: &[u8], code: u16, more: &[&str]) -> Result<(), Failed> {
    let file = Scratch::new(&format!("{name}.img"), image)?;
    let mut arguments = vec!["run", "--image", file.path(), "--timeout", "60"];
    arguments.extend(more);
    let ended = handoff(&arguments)?.expect_status(101)?;
    // Before there is a console, the tool hears it and passes it on, or reads the code of a parked machine.
    let errors = ended.console.lines().chain(ended.words.lines()).filter(|line| line.contains("error E"));
    let errors: Vec<_> = errors.map(str::to_owned).collect();
    let said = format!("error E{code:04}");
    let holds = matches!(&errors[..], [one] if one.contains(&said));
    let ended = ended.expect(holds, &format!("there is no single line \"{said}\""))?;
    let helps = ended.words.lines().filter(|line| line.starts_with("help: ")).count();
    ended.expect(helps == 1, "there is no single line of help").map(drop)
}

/// A sentence as the name of a test.
fn test_name(sentence: &str) -> String {
    sentence.to_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")
}
