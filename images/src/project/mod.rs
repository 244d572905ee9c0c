//! A kernel's own project, outside of this repository: what its files are.
//!
//! A language is a row: its name, its files, and the commands that build, boot and test. In the files `@NAME@` and
//! `@HANDOFF@` stand for the project's name and for this repository.

use clap::ValueEnum;

/// A language that a kernel can be begun in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Rust, by cargo.
    Rust,
    /// C11, by make and a cross compiler.
    C,
    /// C++20, by make and a cross compiler.
    #[value(name = "c++", alias = "cpp")]
    Cpp,
    /// The GNU assembler's, by make and a cross compiler.
    Asm,
    /// Zig, by its own build system.
    Zig,
}

/// A file of a project: its path there, and its text.
pub type File = (&'static str, String);

macro_rules! template {
    ($language:literal, $($path:literal: $file:literal),*) => {
        &[$(($path, include_str!(concat!($language, "/", $file, ".in")))),*]
    };
}

impl Language {
    const fn templates(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Rust => template!(
                "rust",
                "Cargo.toml": "Cargo.toml",
                ".cargo/config.toml": "config.toml",
                "rust-toolchain.toml": "rust-toolchain.toml",
                "build.rs": "build.rs",
                "src/main.rs": "main.rs",
                "tests/boot.rs": "boot.rs",
                ".gitignore": "gitignore"
            ),
            Self::C => {
                template!("c", "Makefile": "Makefile", "src/main.c": "main.c", ".gitignore": "gitignore")
            }
            Self::Cpp => {
                template!("cpp", "Makefile": "Makefile", "src/main.cpp": "main.cpp", ".gitignore": "gitignore")
            }
            Self::Asm => {
                template!("asm", "Makefile": "Makefile", "src/main.S": "main.S", ".gitignore": "gitignore")
            }
            Self::Zig => {
                template!("zig", "build.zig": "build.zig", "src/main.zig": "main.zig", ".gitignore": "gitignore")
            }
        }
    }

    /// The project's files. `root` is this repository, absolute.
    pub fn files(self, name: &str, root: &str) -> Vec<File> {
        let fill = |text: &str| text.replace("@NAME@", name).replace("@HANDOFF@", root);
        self.templates().iter().map(|&(path, text)| (path, fill(text))).collect()
    }

    /// What to type in the project's folder to boot it and to test it.
    pub const fn commands(self) -> [&'static str; 2] {
        match self {
            Self::Rust => ["cargo run", "cargo test"],
            Self::C | Self::Cpp | Self::Asm => ["make run", "make test"],
            Self::Zig => ["zig build run", "zig build test"],
        }
    }

    /// The program without which nothing is built, and how to come by it.
    pub const fn compiler(self) -> (&'static str, &'static str) {
        match self {
            Self::Rust => ("cargo", "https://rustup.rs"),
            Self::C | Self::Asm => {
                ("aarch64-linux-gnu-gcc", "Debian: apt install gcc-aarch64-linux-gnu make")
            }
            Self::Cpp => ("aarch64-linux-gnu-g++", "Debian: apt install g++-aarch64-linux-gnu make"),
            Self::Zig => ("zig", "https://ziglang.org, or pip install ziglang"),
        }
    }
}

/// Why a project cannot have this name; `None` if it can. It becomes a crate, a file and a word in a Makefile.
pub fn wrong_name(name: &str) -> Option<&'static str> {
    let is_word =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '_');
    match name.chars().next() {
        None => Some("it is empty"),
        Some(first) if !first.is_ascii_lowercase() => Some("it does not begin with a small letter"),
        Some(_) if !name.chars().all(is_word) => Some("it has other letters than a to z, 0 to 9, - and _"),
        // Names that cargo refuses: crates that the project uses, and its own folders.
        Some(_)
            if matches!(
                name,
                "kernel" | "shared-abi" | "core" | "std" | "alloc" | "test" | "build" | "deps" | "src"
            ) =>
        {
            Some("it is taken")
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_keeps_a_placeholder() {
        for &language in Language::value_variants() {
            for (path, text) in language.files("mine", "/handoff") {
                assert!(!text.contains("@NAME@") && !text.contains("@HANDOFF@"), "{path}");
            }
        }
    }

    #[test]
    fn a_name_is_a_crate_s_name() {
        for name in ["mine", "my-kernel", "k_2"] {
            assert_eq!(wrong_name(name), None, "{name}");
        }
        for name in ["", "2k", "Mine", "a b", "../x", "a/b", "kernel", "é"] {
            assert!(wrong_name(name).is_some(), "{name}");
        }
    }
}
