//! Where things are: the repository that this tool was built from, and what it may write to.

use std::path::{Path, PathBuf};

/// The repository's root. Holding one does not prove that the folder still exists.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The repository that the tool was built from, shown relative to the current folder where that is shorter.
    pub fn here() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        let short = std::env::current_dir().ok().filter(|current| current == root).map(|_| PathBuf::new());
        Self { root: short.unwrap_or_else(|| root.to_path_buf()) }
    }

    /// The repository at `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root, as a path that commands can be started in.
    pub fn root(&self) -> &Path {
        if self.root.as_os_str().is_empty() { Path::new(".") } else { &self.root }
    }

    /// The file of a recipe by its name.
    pub fn recipe(&self, name: &str) -> PathBuf {
        self.root.join("images").join(format!("{name}.toml"))
    }

    /// The source of an example kernel by its name: a file, or a folder with one.
    pub fn example(&self, name: &str) -> PathBuf {
        let folder = self.root.join("kernel/examples");
        let file = folder.join(format!("{name}.rs"));
        if file.is_file() { file } else { folder.join(name).join("main.rs") }
    }

    /// Names of all recipes and example kernels, sorted.
    pub fn recipe_names(&self) -> Vec<String> {
        let names = |folder: &str, extension: &str| -> Vec<String> {
            let files = std::fs::read_dir(self.root().join(folder)).into_iter().flatten().flatten();
            let stem = |path: PathBuf| match path.extension() {
                Some(found) if found == extension => path.file_stem()?.to_str().map(str::to_owned),
                None if extension == "rs" && path.join("main.rs").is_file() => {
                    path.file_name()?.to_str().map(str::to_owned)
                }
                _ => None,
            };
            files.filter_map(|entry| stem(entry.path())).filter(|name| name != "Cargo").collect()
        };
        let mut all = names("images", "toml");
        all.extend(names("kernel/examples", "rs"));
        all.sort();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_recipes_and_examples_only() {
        let names = Workspace::here().recipe_names();
        assert!(names.iter().any(|name| name == "default"), "{names:?}");
        assert!(!names.iter().any(|name| ["src", "Cargo", "tests"].contains(&name.as_str())), "{names:?}");
    }
}
