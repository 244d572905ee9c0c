//! Hands the bare binaries their linker script.

fn main() {
    println!("cargo:rerun-if-changed=../linker/kernel.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        for argument in
            [&format!("-T{here}/../linker/kernel.ld"), "-pie", "--no-dynamic-linker", "-zmax-page-size=4096"]
        {
            println!("cargo:rustc-link-arg-bins={argument}");
            println!("cargo:rustc-link-arg-examples={argument}");
        }
    }
}
