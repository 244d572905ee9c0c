//! From a recipe to a packed image that the boot would not refuse.

use std::path::{Path, PathBuf};

use elfloader::kernel_elf::KernelElf;
use shared_abi::image::{BootFlags, Kind, LogLevel};

use crate::check;
use crate::debug::Place;
use crate::failure::{Outcome, read};
use crate::foreign;
use crate::inspect::capture;
use crate::kernel::KernelFile;
use crate::loader;
use crate::pack::{Contents, Packed, Payload, pack};
use crate::plan;
use crate::recipe::{Digest, KernelSource, Log, Recipe};
use crate::stage;
use crate::workspace::Workspace;

/// What an image is packed for besides its recipe.
#[derive(Clone, Copy, Debug, Default)]
pub struct Purpose {
    /// What the boot may and must do.
    pub flags: BootFlags,
    /// Physical address of a device tree where firmware passes none; 0 for no hint.
    pub tree_hint: u64,
    /// The digest that a recipe is given which asks for none in particular.
    pub digest: Digest,
}

/// A packed image and the files that it was made of.
pub struct Prepared {
    /// The image.
    pub packed: Packed,
    /// The loader's ELF file.
    pub loader: PathBuf,
    /// The kernel's ELF file.
    pub kernel: PathBuf,
}

/// Where the kernel of any image is told: by the loader, as it leaves.
pub fn place(image: &[u8]) -> Outcome<Place> {
    let checked = check::image(image)?;
    let leave = capture::pause_address(image, &checked.header)? + 4;
    Ok(Place::Told { entry: checked.kernel.entry, leave })
}

/// Builds the stages where needed, packs them, and checks the result.
pub fn prepare(workspace: &Workspace, recipe: &Recipe, purpose: Purpose) -> Outcome<Prepared> {
    // Mistakes in what was given are said before anything is built for it.
    let mut more = given(recipe)?;
    let kernel_path = stage::kernel(workspace, &recipe.kernel)?;
    let kernel_file = read(&kernel_path)?;
    KernelElf::parse(&kernel_file)
        .map_err(|error| foreign::no_kernel(&kernel_file, error).within(kernel_path.display()))?;
    let loader_path = stage::loader(workspace)?;
    let loader_file = read(&loader_path)?;
    let loader = loader::flatten(&loader_file)?;
    for (kind, file) in [(Kind::LOADER_SYMBOLS, &loader_file), (Kind::SYMBOLS, &kernel_file)] {
        add(&mut more, kind, "", crate::symbols::table(file).unwrap_or_default());
    }
    let packed = pack(&Contents {
        loader,
        kernel: KernelFile::new(kernel_file),
        kernel_name: kernel_name(&recipe.kernel, &kernel_path),
        more,
        digest: recipe.digest.unwrap_or(purpose.digest),
        flags: purpose.flags,
        log: match recipe.log {
            Log::Quiet => LogLevel::Quiet,
            Log::Normal => LogLevel::Normal,
            Log::Verbose => LogLevel::Verbose,
        },
        tree_hint: purpose.tree_hint,
    })?;
    check::image(&packed.bytes).map_err(|failure| failure.within(kernel_path.display()))?;
    Ok(Prepared { packed, loader: loader_path, kernel: kernel_path })
}

/// Adds an entry: an empty one says no more than none.
fn add(list: &mut Vec<Payload>, kind: Kind, name: &str, bytes: Vec<u8>) {
    if !bytes.is_empty() {
        list.push(Payload { kind, name: name.to_owned(), bytes });
    }
}

/// What the recipe gives besides the kernel.
fn given(recipe: &Recipe) -> Outcome<Vec<Payload>> {
    let mut list = Vec::new();
    if let Some(line) = &recipe.command_line {
        add(&mut list, Kind::COMMAND_LINE, "", line.clone().into_bytes());
    }
    if let Some(seed) = &recipe.seed {
        add(&mut list, Kind::ENTROPY_SEED, "", seed.bytes().to_vec());
    }
    if let Some(tree) = &recipe.device_tree {
        let bytes = read(tree)?;
        plan::prune(&bytes).map_err(|failure| foreign::no_tree(failure, &bytes).within(tree.display()))?;
        add(&mut list, Kind::DEVICE_TREE, "", bytes);
    }
    for (name, file) in &recipe.modules {
        add(&mut list, Kind::MODULE, name, read(file)?);
    }
    Ok(list)
}

/// A kernel's name in the image: its own, cut to what an entry has room for.
fn kernel_name(source: &KernelSource, path: &Path) -> String {
    let name = match source {
        KernelSource::Bin(name) | KernelSource::Example(name) => name.clone(),
        KernelSource::Elf(_) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let mut end = name.len().min(31);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_s_name_fits_its_entry() {
        let named = |name: &str| kernel_name(&KernelSource::Elf("x".into()), Path::new(name));
        assert_eq!(named("/boot/mine.elf"), "mine.elf");
        assert_eq!(named("ä".repeat(20).as_str()), "ä".repeat(15));
        assert_eq!(named("a\nb"), "a?b");
    }
}
