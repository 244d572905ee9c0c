//! Recipes that are right, and every mistake with the line it must name.

use super::*;

fn parse(text: &str) -> Outcome<Recipe> {
    Recipe::parse(Path::new("images/mine.toml"), text)
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
            digest: Digest::None,
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
    for (text, expected) in [
        ("[kernel]\nbin = 3\n", ":2: invalid type: integer `3`, expected a string"),
        (
            "[kernel]\nbinary = \"kernel\"\n",
            ":2: unknown field `binary`, expected one of `bin`, `example`, `elf`",
        ),
        ("\n[kernel]\nbin = \"a\"\nelf = \"b\"\n", ":2: [kernel] takes one of bin, example and elf"),
        ("[kernel]\n", ":1: [kernel] takes one of bin, example and elf"),
        (
            "[machine]\n\nmemory = \"lots\"\n",
            ":3: \"lots\" is not a size: write a number and K, M, G or T, as in 128M or 8G",
        ),
        ("[machine]\nname = \"raspi3b\"\nmemory = \"2G\"\n", ":3: raspi3b has 1G of RAM, not 2G"),
        ("[machine]\ncpus = 99\n", ":2: virt takes 1 to 8 CPUs, not 99"),
        ("[machine]\ncpus = -1\n", ":2: invalid value: integer `-1`, expected u32"),
        ("[machine]\ntimeout = 0\n", ":2: timeout is in seconds, at least 1"),
        ("[boot]\ndigest = \"md5\"\n", ":2: unknown variant `md5`, expected `none` or `crc32c`"),
        (
            "[boot]\nseed = \"xyz\"\n",
            ":2: \"xyz\" is not a seed: write 1 to 32 bytes in hexadecimal, as in 0123abcd",
        ),
        ("[boot]\ncommand-line = \"a\\nb\"\n", ":2: a command line is one line without control characters"),
        ("[boot]\nlog = \"normal\"\nlog = \"quiet\"\n", ":3: duplicate key"),
        (
            "[modules]\n\"a-name-that-has-far-too-many-letters\" = \"x\"\n",
            ":2: \"a-name-that-has-far-too-many-letters\" names no module: write 1 to 31 bytes of text",
        ),
        ("[modules\n", ":1: "),
        ("kernel = \"kernel\"\n", ":1: invalid type: string \"kernel\", expected struct Kernel"),
    ] {
        let error = parse(text).unwrap_err().words().to_owned();
        assert!(error.starts_with(&format!("images/mine.toml{expected}")), "{text}\n got {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let name = parse("[machine]\nname = \"pc\"\n").unwrap_err().words().to_owned();
    assert!(name.starts_with("images/mine.toml:2: no machine is named \"pc\"; there are: virt, "), "{name}");
    let long =
        parse(&format!("[boot]\ncommand-line = \"{}\"\n", "x".repeat(2048))).unwrap_err().words().to_owned();
    assert!(long.ends_with(":2: a command line of 2048 bytes: at most 2047 fit"), "{long}");
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
