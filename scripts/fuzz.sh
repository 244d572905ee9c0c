#!/usr/bin/env bash
# Fuzzes one parser of outside bytes with libFuzzer, and keeps what it learns for the next time.
#
#   scripts/fuzz.sh TARGET [SECONDS] [LIBFUZZER OPTION…]
#
#   device_tree   any bytes as a device tree, beside dtoolkit's reading of them
#   plan          any ELF file, planned, carried out and audited
#   boot_info, image, note
#
# Without SECONDS (60) it is a short run. Brings a nightly compiler and cargo-fuzz where they are missing (by rustup and
# cargo). Real device trees to begin with are the committed ones and, where setup.sh has fetched them, those of Debian's
# arm64 boards. The corpus stays in target/fuzz/TARGET; an input that fails is printed and kept beside it.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
corpus=$root/target/fuzz/${1:-}
case ${1:-} in
    device_tree | plan) package=elfloader ;;
    boot_info | image | note) package=shared-abi ;;
    -h | --help)
        sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *)
        echo "fuzz.sh: give a target: device_tree, plan, boot_info, image or note" >&2
        exit 2
        ;;
esac
target=$1 seconds=${2:-60}
shift $(($# < 2 ? $# : 2))

command -v rustup >/dev/null || {
    echo "fuzz.sh: fuzzing needs rustup's nightly compiler: install rustup (https://rustup.rs)" >&2
    exit 2
}
rustup run nightly rustc --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz

mkdir -p "$corpus"
if [ "$target" = device_tree ] && [ ! -e "$corpus/.seeded" ]; then
    cp "$package"/tests/trees/*.dtb "$corpus/"
    scripts/setup.sh machines || true
    # shellcheck source=/dev/null
    . "${CARGO_TARGET_DIR:-target}/handoff-env.sh"
    find -L "$HANDOFF_TREES" -name '*.dtb' -exec cp -t "$corpus" {} + || true
    touch "$corpus/.seeded"
fi
cd "$package"
[ ! -e "fuzz/$target.dict" ] || set -- "-dict=fuzz/$target.dict" "$@"
# Safe Rust throughout: the address sanitizer would only halve the speed.
exec cargo +nightly fuzz run --sanitizer none --target-dir "$root/target/fuzz/build" "$target" "$corpus" -- \
    -artifact_prefix="$corpus-" -max_total_time="$seconds" -print_final_stats=1 "$@"
