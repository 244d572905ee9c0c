//! The words of a command line that ask for a boot once more, from another folder: paths in full.

use std::path::Path;

use clap::ValueEnum;

use crate::cli::{On, Wanted, What};

/// A flag and its value.
fn flag(words: &mut Vec<String>, name: &str, value: Option<impl ToString>) {
    words.extend(value.iter().flat_map(|value| [format!("--{name}"), value.to_string()]));
}

fn name_of<V: ValueEnum>(value: Option<V>) -> Option<String> {
    value.and_then(|value| Some(value.to_possible_value()?.get_name().to_owned()))
}

fn full(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}

/// A recipe or a kernel: a file, or the name of what is known by it.
fn file_or_name(text: &str) -> String {
    if Path::new(text).is_file() { full(Path::new(text)) } else { text.to_owned() }
}

/// The words, without what goes to QEMU.
pub fn words(wanted: &Wanted) -> Vec<String> {
    let What { recipe, kernel, digest, log, seed, dtb, module } = &wanted.what;
    let On { machine, memory, cpu, cpus, initrd, append, firmware, form } = &wanted.on;
    let mut words: Vec<String> = recipe.as_deref().map(file_or_name).into_iter().collect();
    flag(&mut words, "kernel", kernel.as_deref().map(file_or_name));
    flag(&mut words, "digest", name_of(*digest));
    flag(&mut words, "log", name_of(*log));
    flag(&mut words, "seed", seed.as_ref());
    flag(&mut words, "dtb", dtb.as_deref().map(full));
    for module in module {
        flag(&mut words, "module", Some(format!("{}={}", module.name(), full(module.file()))));
    }
    flag(&mut words, "machine", machine.as_ref());
    flag(&mut words, "memory", memory.as_ref());
    flag(&mut words, "cpu", cpu.as_ref());
    flag(&mut words, "cpus", cpus.as_ref());
    flag(&mut words, "initrd", initrd.as_deref().map(full));
    // With a hyphen in front it would be taken for a flag.
    words.extend(append.iter().map(|line| format!("--append={line}")));
    flag(&mut words, "firmware", name_of(*firmware));
    flag(&mut words, "form", name_of(*form));
    words
}

/// What goes to QEMU, behind everything else.
pub fn qemu_words(wanted: &Wanted) -> impl Iterator<Item = String> {
    let mark = (!wanted.qemu.is_empty()).then(|| "--".to_owned());
    mark.into_iter().chain(wanted.qemu.clone())
}

/// A line for a person to type.
pub fn line(words: &[String]) -> String {
    let is_plain = |word: &str| {
        !word.is_empty()
            && word.chars().all(|letter| letter.is_alphanumeric() || "-_=./:,+@%".contains(letter))
    };
    let quoted = words.iter().map(|word| match is_plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Verb};

    fn wanted(words: impl IntoIterator<Item = String>) -> Wanted {
        let words = ["handoff", "run"].map(str::to_owned).into_iter().chain(words);
        match Cli::try_parse_from(words).unwrap().verb {
            Verb::Run(run) => run.wanted,
            verb => panic!("{verb:?}"),
        }
    }

    #[test]
    fn the_words_ask_for_the_same() {
        let every = "hello --kernel /k.elf --digest none --log verbose --seed 0123 --dtb /t.dtb --module one=/1 \
                     --module two=/2 --machine virt-el2 --memory 1G --cpu max --cpus 3 --initrd /i --append=-x \
                     --firmware u-boot --form elf -- -d int";
        for text in [every, "", "--append=a"] {
            let asked = wanted(text.split_whitespace().map(str::to_owned));
            let again = wanted(words(&asked).into_iter().chain(qemu_words(&asked)));
            assert_eq!(format!("{again:?}"), format!("{asked:?}"));
        }
    }

    #[test]
    fn files_are_named_in_full_and_names_stay() {
        assert_eq!(file_or_name("hello"), "hello");
        assert!(Path::new(&file_or_name("Cargo.toml")).is_absolute());
    }

    #[test]
    fn a_line_is_quoted_where_a_shell_needs_it() {
        let words = ["run", "a b", "it's", "", "--append=x=1"].map(str::to_owned);
        assert_eq!(line(&words), r"run 'a b' 'it'\''s' '' --append=x=1");
    }
}
