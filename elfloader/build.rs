//! Hands the bare binary its linker script.

fn main() {
    println!("cargo:rerun-if-changed=../linker/elfloader.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        println!("cargo:rustc-link-arg-bins=-T{here}/../linker/elfloader.ld");
        println!("cargo:rustc-link-arg-bins=--no-dynamic-linker");
        println!("cargo:rustc-link-arg-bins=-zmax-page-size=4096");
        // Position-independent code without a start: a test takes its bytes.
        for argument in ["--image-base=0", "--section-start=.text=0x1000", "-efirmware", "--no-gc-sections"] {
            println!("cargo:rustc-link-arg-examples={argument}");
        }
    }
}
