//! Recipes that are right, and every mistake with the line it must name.

use super::*;

fn parse(text: &str) -> Outcome<Recipe> {
    Recipe::parse(Source { path: Path::new("images/mine.toml"), text, is_there: |_| true })
}

#[test]
fn an_empty_recipe_is_the_kernel_on_the_default_machine() {
    assert_eq!(parse("").unwrap(), Recipe::of(KernelSource::Bin("kernel".into())));
}

#[test]
fn every_key_is_read() {
    let recipe = parse(
        r#"
[kernel]
elf = "../mine.elf"
[modules]
"b" = "two"
"a" = "one"
[boot]
command-line = "nokaslr x=1"
device-tree = "board.dtb"
digest = "none"
log = "verbose"
seed = "0x102"
[machine]
name = "virt-el2"
cpu = "max"
memory = "1G"
cpus = 4
firmware = "u-boot"
initrd = "/srv/initrd"
timeout = 7
"#,
    )
    .unwrap();
    assert_eq!(
        recipe,
        Recipe {
            kernel: KernelSource::Elf("images/../mine.elf".into()),
            modules: vec![("a".into(), "images/one".into()), ("b".into(), "images/two".into())],
            command_line: Some("nokaslr x=1".into()),
            device_tree: Some("images/board.dtb".into()),
            digest: Some(Digest::None),
            log: Log::Verbose,
            seed: Some(Seed(vec![1, 2])),
            machine: Machine::find("virt-el2").unwrap(),
            cpu: Some("max".into()),
            memory: Some(Size::mib(1024)),
            cpus: Some(4),
            firmware: Some(Firmware::UBoot),
            initrd: Some("/srv/initrd".into()),
            timeout: 7,
        }
    );
}

#[test]
fn mistakes_name_file_line_and_what_would_be_right() {
    for (text, expected, help) in [
        ("[kernel]\nbin = 3\n", ":2: invalid type: integer `3`, expected a string", "docs/images.md"),
        ("[kernel]\nbinary = \"kernel\"\n", ":2: unknown field `binary`", "give one of: bin, example, elf"),
        ("[machine]\nnmae = \"virt\"\n", ":2: unknown field `nmae`", "did you mean name?"),
        ("[machnie]\n", ":1: unknown field `machnie`", "did you mean machine?"),
        (
            "\n[kernel]\nbin = \"a\"\nelf = \"b\"\n",
            ":2: [kernel] takes one of bin, example and elf",
            "give one of them",
        ),
        ("[kernel]\n", ":1: [kernel] takes one of bin, example and elf", "give one of them"),
        (
            "[machine]\n\nmemory = \"lots\"\n",
            ":3: \"lots\" is not a size",
            "write a number and K, M, G or T, as in 128M or 8G",
        ),
        (
            "[machine]\nname = \"raspi3b\"\nmemory = \"2G\"\n",
            ":3: raspi3b has 1G of RAM, not 2G",
            "leave --memory out",
        ),
        ("[machine]\ncpus = 99\n", ":2: virt takes 1 to 8 CPUs, not 99", "give --cpus 8"),
        ("[machine]\ncpus = -1\n", ":2: invalid value: integer `-1`, expected u32", "docs/images.md"),
        ("[machine]\ntimeout = 0\n", ":2: a timeout of 0 is over at once", "at least 1"),
        ("[boot]\ndigest = \"md5\"\n", ":2: unknown variant `md5`", "give one of: none, crc32c"),
        ("[boot]\nseed = \"xyz\"\n", ":2: \"xyz\" is not a seed", "write 1 to 32 bytes in hexadecimal"),
        (
            "[boot]\ncommand-line = \"a\\nb\"\n",
            ":2: a command line is one line without control characters",
            "separate its words by spaces",
        ),
        ("[boot]\nlog = \"normal\"\nlog = \"quiet\"\n", ":3: duplicate key", "docs/images.md"),
        (
            "[modules]\n\"a-name-that-has-far-too-many-letters\" = \"x\"\n",
            ":2: \"a-name-that-has-far-too-many-letters\" names no module",
            "1 to 31 bytes of text",
        ),
        ("[modules\n", ":1: ", "docs/images.md"),
        (
            "kernel = \"kernel\"\n",
            ":1: invalid type: string \"kernel\", expected struct Kernel",
            "docs/images.md",
        ),
        ("[machine]\nname = \"pc\"\n", ":2: no machine is named \"pc\"", "give one of: virt, "),
    ] {
        let failure = parse(text).unwrap_err();
        let (error, found) = (failure.words(), failure.help());
        assert!(error.starts_with(&format!("images/mine.toml{expected}")), "{text}\n got {error}");
        assert!(found.contains(help), "{text}\n got {found}");
        assert!(!error.contains('\n') && !found.contains('\n'), "{error}");
    }
    let long = parse(&format!("[boot]\ncommand-line = \"{}\"\n", "x".repeat(2048))).unwrap_err();
    assert!(long.words().ends_with(":2: a command line of 2048 bytes is too long"), "{long}");
}

#[test]
fn a_file_that_is_missing_is_named_with_the_recipe_s_line() {
    for (text, expected) in [
        ("[modules]\n\"a\" = \"one\"\n", ":2: there is no file images/one"),
        ("[kernel]\nelf = \"mine.elf\"\n", ":2: there is no file images/mine.elf"),
        ("[boot]\n\ndevice-tree = \"board.dtb\"\n", ":3: there is no file images/board.dtb"),
        ("[machine]\ninitrd = \"/srv/initrd\"\n", ":2: there is no file /srv/initrd"),
    ] {
        let source = Source { path: Path::new("images/mine.toml"), text, is_there: |_| false };
        let failure = Recipe::parse(source).unwrap_err();
        assert_eq!(failure.words(), format!("images/mine.toml{expected}"));
    }
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let path = std::env::temp_dir().join(format!("handoff-recipe-{}.toml", std::process::id()));
    std::fs::write(&path, [0xFF, 0xFE]).unwrap();
    let error = Recipe::read(&path).unwrap_err().words().to_owned();
    std::fs::remove_file(&path).unwrap();
    assert!(error.ends_with("a recipe is TOML, in UTF-8"), "{error}");
}

#[test]
fn shipped_recipes_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let recipes: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter(|path| !path.ends_with("Cargo.toml"))
        .collect();
    assert!(!recipes.is_empty());
    for path in recipes {
        Recipe::read(&path).unwrap();
    }
}
