#!/usr/bin/env bash
# Tests what scripts/setup.sh decides, on machines made of stand-ins: a folder of small programs that answer as cargo,
# rustc, rustup, QEMU and apt-get would. Nothing is installed, and nothing outside a temporary folder is touched.
# Prints a line per test, beginning with "ok" or "FAILED".
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
target=aarch64-unknown-none-softfloat

# Everything that this machine has, except what the set-up looks for.
mkdir "$work/base"
for folder in /bin /usr/bin; do
    ln -sf "$folder"/* "$work/base/" 2>/dev/null || true
done
rm -f "$work/base/"{cargo,rustc,rustup,cc,gcc,sudo,shellcheck,zig,python3,apt-get,apt-cache,rust-lld,qemu-system-aarch64,ld.lld*}

fail() {
    echo "FAILED  setup: $name: $*"
    sed 's/^/        /' "$machine/said"
    broken=yes
}

# machine NAME: an empty machine, with a C compiler.
machine() {
    name=$*
    broken=
    machine=$(mktemp -d "$work/machine.XXXXXX")
    mkdir -p "$machine/bin" "$machine/home" "$machine/repository/scripts" "$machine/root"
    cp "$root/scripts/setup.sh" "$machine/repository/scripts/"
    : >"$machine/said"
    program cc true
}

# program NAME SCRIPT
program() {
    printf '#!/usr/bin/env bash\n%s\n' "$2" >"$machine/bin/$1"
    chmod +x "$machine/bin/$1"
}

# rust VERSION [FOLDER]: a compiler whose sysroot is FOLDER, and a cargo that "builds" the target's libraries.
rust() {
    local sysroot=$machine/${2:-toolchain}
    mkdir -p "$sysroot/lib/rustlib"
    program rustc "case \$1 in
        -vV) printf 'rustc $1\nrelease: $1\n' ;;
        --print) printf '%s\n' $sysroot $sysroot/lib/rustlib/$target/lib ;;
    esac"
    program cargo "[ \"\$1\" = build ] || exit 0
        echo \"\$PWD \$*\" >>$machine/builds
        [ ! -e $machine/cannot-build ] || { echo 'error: no crates today'; exit 101; }
        mkdir -p \"\$CARGO_TARGET_DIR/$target/release/deps\"
        touch \"\$CARGO_TARGET_DIR/$target/release/deps/\"lib{core,alloc,compiler_builtins}-1.rlib"
}

has_sources() {
    local library=$machine/toolchain/lib/rustlib/src/rust/library/core/src
    mkdir -p "$library"
    : >"$library/lib.rs"
}

has_target() {
    mkdir -p "$machine/toolchain/lib/rustlib/$target/lib"
    : >"$machine/toolchain/lib/rustlib/$target/lib/libcore-1.rlib"
}

linker() { program ld.lld-22 true; }
qemu() { program qemu-system-aarch64 "echo 'QEMU emulator version $1 (Debian)'"; }

# A Debian whose archive has VERSION of rustc-web; installing writes down the names and brings the programs.
debian() {
    program apt-cache "[ \"\$2\" = rustc ] || [ ! -e $machine/refreshed ] || echo '  Candidate: $1+dfsg1-1~deb12u2'"
    program apt-get "case \" \$* \" in
        *' update '*) touch $machine/refreshed ;;
        *' install '*) while [ \"\$1\" != --no-install-recommends ]; do shift; done
            echo \"\${*:2}\" >>$machine/installed
            [ -z \"\$(ls $machine/archive)\" ] || mv $machine/archive/* $machine/bin/ ;;
    esac"
    mkdir "$machine/archive"
}

# setup STATUS [GROUP]: runs it, and expects that exit status. Any file does for U-Boot.
setup() {
    local status=0
    (cd / && env -i HOME="$machine/home" PATH="$machine/bin:$work/base" HANDOFF_RUSTUP_SECONDS=1 \
        HANDOFF_U_BOOT="$machine/bin/cc" "$machine/repository/scripts/setup.sh" "${@:2}") >"$machine/said" 2>&1 </dev/null || status=$?
    [ "$status" = "$1" ] || fail "exit status $status, not $1"
}

says() { grep -qF -- "$1" "$machine/said" || fail "does not say '$1'"; }
silent() { [ ! -s "$machine/said" ] || fail "says something"; }
built() { [ "$(grep -c build "$machine/builds" 2>/dev/null || true)" = "$1" ] || fail "did not build core $1 times"; }
passed() { [ -n "$broken" ] || echo "ok      setup: $name"; }

# exports NAME VALUE: what a script that sources the findings gets.
exports() {
    local value
    # shellcheck disable=SC1091
    value=$(. "$machine/repository/target/handoff-env.sh" && echo "${!1:-}")
    [ "$value" = "$2" ] || fail "$1 is '$value', not '$2'"
}
readonly FLAGS=CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_RUSTFLAGS
readonly LINKER=CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_LINKER

machine "a Rust that has the target is taken as it is"
rust 1.90.0 && has_target && linker && qemu 7.2.22
setup 0
silent
exports HANDOFF_CARGO "$machine/bin/cargo"
exports HANDOFF_QEMU "$machine/bin/qemu-system-aarch64"
exports "$FLAGS" "-Clink-arg=-znotext"
exports "$LINKER" "$machine/bin/ld.lld-22"
passed

machine "rustup adds the target"
rust 1.90.0 && linker && qemu 8.0.0
program rustup "mkdir -p $machine/toolchain/lib/rustlib/$target/lib
    touch $machine/toolchain/lib/rustlib/$target/lib/libcore-1.rlib"
setup 0
says "adding the target"
exports "$FLAGS" "-Clink-arg=-znotext"
[ ! -e "$machine/builds" ] || fail "built core"
passed

machine "without the target, core is built once from the compiler's sources"
rust 1.88.0 && has_sources && linker && qemu 7.2.22
program rustup "echo 'error: could not download'; exit 1"
setup 0
built 1
sysroot=$(echo "$machine"/home/.cache/handoff/sysroot-1.88.0-*)
exports "$FLAGS" "--sysroot $sysroot -Clink-arg=-znotext"
[ -e "$sysroot/lib/rustlib/$target/lib/libcore-1.rlib" ] || fail "no libcore in $sysroot"
setup 0
silent
built 1
passed

machine "a new compiler gets a core of its own"
rust 1.88.0 && has_sources && linker && qemu 7.2.22
setup 0
rust 1.89.0
setup 0
built 2
exports "$FLAGS" "--sysroot $(echo "$machine"/home/.cache/handoff/sysroot-1.89.0-*) -Clink-arg=-znotext"
passed

machine "a rustup that hangs is ended"
rust 1.88.0 && has_sources && linker && qemu 7.2.22
program rustup "sleep 60"
begin=$SECONDS
setup 0
[ $((SECONDS - begin)) -lt 15 ] || fail "took $((SECONDS - begin)) s"
says "rustup could not add it"
passed

machine "a build of core that fails leaves nothing behind"
rust 1.88.0 && has_sources && linker && qemu 7.2.22
touch "$machine/cannot-build"
setup 2
says "error: no crates today"
says "core could not be built"
[ -z "$(ls "$machine/home/.cache/handoff")" ] || fail "left $(ls "$machine/home/.cache/handoff")"
rm "$machine/cannot-build"
setup 0
passed

machine "a Rust that is too old, and no packages"
rust 1.87.0 && has_target && linker && qemu 7.2.22
setup 2
says "https://rustup.rs"
says "rustup target add $target"
passed

machine "a bare Debian gets its packages"
debian 1.96.0
rust 1.96.0 && has_sources && linker && qemu 7.2.22
mv "$machine/bin/"{cargo,rustc,ld.lld-22,qemu-system-aarch64,cc} "$machine/archive/"
setup 0
says "qemu-system-arm: QEMU 7.2 or newer"
built 1
grep -qx 'rustc-web cargo-web rust-web-src lld-22 gcc libc6-dev qemu-system-arm.*' "$machine/installed" ||
    fail "installed $(cat "$machine/installed")"
exports HANDOFF_HOST_CARGO "$machine/bin/cargo"
setup 0
silent
passed

machine "a Debian whose Rust is too old"
debian 1.85.0
qemu 7.2.22
setup 2
says "https://rustup.rs"
[ ! -e "$machine/installed" ] || fail "installed $(cat "$machine/installed")"
passed

machine "lists that are older than the archive are refreshed before a package is missed"
debian 1.96.0
program apt-cache "case \$2 in
    rustc) echo '  Candidate: 1.63.0+dfsg1-2' ;;
    *) [ ! -e $machine/refreshed ] || echo '  Candidate: 1.96.0+dfsg1-1~deb12u2' ;;
esac"
rust 1.96.0 && has_sources && linker && qemu 7.2.22
mv "$machine/bin/"{cargo,rustc,ld.lld-22} "$machine/archive/"
setup 0
grep -q '^rustc-web cargo-web' "$machine/installed" || fail "installed $(cat "$machine/installed")"
passed

machine "lists that are older than the archive, and nobody who may refresh them"
debian 1.85.0
qemu 7.2.22
program id "echo 1000"
setup 2
says "as root: apt-get update"
[ ! -e "$machine/refreshed" ] || fail "refreshed the lists"
passed

machine "a QEMU that is too old by the lists, and new enough after a refresh"
debian 1.96.0
rust 1.90.0 && has_target && linker && qemu 7.2.22
mv "$machine/bin/qemu-system-aarch64" "$machine/newer"
qemu 5.2.0
program apt-cache "echo '  Candidate: 5.2'"
program apt-get "case \" \$* \" in
    *' update '*) touch $machine/refreshed ;;
    *' install '*) [ ! -e $machine/refreshed ] || cp $machine/newer $machine/bin/qemu-system-aarch64 ;;
esac"
setup 0
exports HANDOFF_QEMU "$machine/bin/qemu-system-aarch64"
passed

machine "without a home, by a symlink"
rust 1.88.0 && has_sources && linker && qemu 7.2.22
ln -s "$machine/repository/scripts/setup.sh" "$machine/set-up"
status=0
env -i PATH="$machine/bin:$work/base" "$machine/set-up" >"$machine/said" 2>&1 </dev/null || status=$?
[ "$status" = 0 ] || fail "exit status $status"
exports "$FLAGS" "--sysroot $(echo "$machine"/repository/target/cache/handoff/sysroot-1.88.0-*) -Clink-arg=-znotext"
passed

machine "a folder that cannot be written"
rust 1.90.0 && has_target && linker && qemu 7.2.22
: >"$machine/repository/target"
setup 2
says "cannot be written: set CARGO_TARGET_DIR"
passed

machine "neither root nor sudo: says what to install"
debian 1.96.0
touch "$machine/refreshed"
rust 1.96.0 && has_target && linker
program id "echo 1000"
setup 2
says "as root: apt-get update && apt-get install --no-install-recommends qemu-system-arm"
passed

machine "an ordinary user with sudo"
debian 1.96.0
touch "$machine/refreshed"
rust 1.96.0 && has_target && linker && qemu 7.2.22
mv "$machine/bin/qemu-system-aarch64" "$machine/archive/"
program id "echo 1000"
program sudo "touch $machine/sudo; exec \"\$@\""
setup 0
[ -e "$machine/sudo" ] || fail "did not use sudo"
passed

machine "a QEMU that is too old, and no packages"
rust 1.90.0 && has_target && linker && qemu 5.2.0
setup 2
says "QEMU 7.2 or newer"
passed

machine "a QEMU that is too old, and the archive's is no newer"
debian 1.96.0
touch "$machine/refreshed" "$machine/archive/nothing"
rust 1.90.0 && has_target && linker && qemu 5.2.0
setup 2
says "QEMU here is 5.2.0, at least 7.2 is needed"
passed

machine "a system without apt-get is told everything at once"
rust 1.90.0 && has_target && linker
rm "$machine/bin/cc"
setup 2
says "a C compiler"
says "QEMU 7.2"
passed

machine "the tests' tools come with the group test"
debian 1.96.0
touch "$machine/refreshed" "$machine/archive/nothing"
rust 1.90.0 && has_target && linker && qemu 7.2.22
setup 0
silent
setup 0 test
grep -q shellcheck "$machine/installed" || fail "installed $(cat "$machine/installed" 2>/dev/null)"
passed

# An archive whose arm64 kernel package is a stand-in with one tree; downloading is counted.
archive_of_trees() {
    program apt-get "case \" \$* \" in
        *' install '*) exit 0 ;;
        *' download linux-image-9-arm64 '*) [ ! -e $machine/unreachable ] || exit 100
            echo >>$machine/downloads; touch linux-image-9-arm64.deb ;;
    esac"
    program apt-cache "case \" \$* \" in
        *APT::Architecture=arm64*' depends linux-image-arm64 '*) echo '  Depends: linux-image-9-arm64' ;;
    esac"
    mkdir -p "$machine/kernel/usr/lib/linux-image-9-arm64/broadcom"
    touch "$machine/kernel/usr/lib/linux-image-9-arm64/broadcom/pi.dtb" "$machine/kernel/usr/lib/vmlinuz"
    program dpkg-deb "[ -e linux-image-9-arm64.deb ] && tar -c -C $machine/kernel ."
}

machine "the boards' trees are fetched once"
rust 1.90.0 && has_target && linker && qemu 7.2.22 && archive_of_trees
setup 0 machines
trees=$machine/home/.cache/handoff/trees
exports HANDOFF_TREES "$trees"
[ -e "$trees/broadcom/pi.dtb" ] || fail "no tree in $trees"
[ "$(ls "$machine/home/.cache/handoff")" = trees ] || fail "left $(ls "$machine/home/.cache/handoff")"
setup 0 machines
silent
[ "$(wc -l <"$machine/downloads")" = 1 ] || fail "downloaded again"
passed

machine "trees that cannot be fetched are said, and no more than skip tests"
rust 1.90.0 && has_target && linker && qemu 7.2.22 && archive_of_trees
touch "$machine/unreachable"
setup 2 machines
says "the boards stay without a device tree"
[ -z "$(ls "$machine/home/.cache/handoff")" ] || fail "left $(ls "$machine/home/.cache/handoff")"
setup 0 test
says "the boards stay without a device tree"
rm "$machine/bin/apt-get"
setup 2 machines
says "there is no apt-get"
passed

# An archive with a newer QEMU in its backports; downloading is counted.
archive_of_qemu() {
    archive_of_trees
    program apt-get "case \" \$* \" in
        *' indextargets '*) echo http://archive/debian bookworm-updates; echo http://archive/debian bookworm ;;
        *' download qemu-system-arm '*) [ ! -e $machine/unreachable ] || exit 100
            grep -q ' http://archive/debian bookworm-backports main' sources.list || exit 100
            echo >>$machine/downloads; touch qemu-system-arm.deb ;;
        *' download linux-image-9-arm64 '*) touch linux-image-9-arm64.deb ;;
    esac"
    mkdir -p "$machine/newer/usr/bin"
    printf '#!/bin/sh\necho QEMU emulator version %s\n' "$1" >"$machine/newer/usr/bin/qemu-system-aarch64"
    chmod +x "$machine/newer/usr/bin/qemu-system-aarch64"
    program dpkg-deb "case \$1 in -x) cp -r $machine/newer qemu ;; *) tar -c -C $machine/kernel . ;; esac"
}

machine "a newer QEMU is unpacked once, beside the one that is there"
rust 1.90.0 && has_target && linker && qemu 7.2.22 && archive_of_qemu 10.0.2
setup 0 newer-qemu
exports HANDOFF_QEMU "$machine/bin/qemu-system-aarch64"
exports HANDOFF_NEWER_QEMU "$machine/home/.cache/handoff/qemu/usr/bin/qemu-system-aarch64"
[ -x "$machine/home/.cache/handoff/qemu/usr/bin/qemu-system-aarch64" ] || fail "no newer QEMU"
setup 0 newer-qemu
silent
[ "$(wc -l <"$machine/downloads")" = 1 ] || fail "downloaded again"
passed

machine "where QEMU is new enough, it is the newer one"
rust 1.90.0 && has_target && linker && qemu 10.0.2 && archive_of_qemu 10.0.2
setup 0 test
exports HANDOFF_NEWER_QEMU "$machine/bin/qemu-system-aarch64"
[ ! -e "$machine/downloads" ] || fail "downloaded one"
passed

machine "a newer QEMU that cannot be had is said, and no more than skips tests"
rust 1.90.0 && has_target && linker && qemu 7.2.22 && archive_of_qemu 10.0.2
touch "$machine/unreachable"
setup 2 newer-qemu
says "what only a newer QEMU has is not tried"
setup 0 test
says "what only a newer QEMU has is not tried"
rm "$machine/unreachable"
archive_of_qemu 7.2.22
setup 2 newer-qemu
says "what only a newer QEMU has is not tried"
[ "$(ls "$machine/home/.cache/handoff")" = trees ] || fail "left $(ls "$machine/home/.cache/handoff")"
passed

machine "a compiler for Zig is fetched once, and one that is there is taken"
rust 1.90.0 && has_target && linker && qemu 10.0.2 && archive_of_trees
program python3 "case \" \$* \" in
    *' --version '*) ;;
    *' install '*) [ ! -e $machine/unreachable ] || exit 1
        for folder; do case \$folder in */zig) mkdir -p \$folder/ziglang; printf '#!/bin/sh\n' >\$folder/ziglang/zig
            chmod +x \$folder/ziglang/zig; echo >>$machine/compilers ;; esac; done ;;
esac"
touch "$machine/unreachable"
setup 0 test
says "the kernel in Zig is not tried"
rm "$machine/unreachable"
setup 0 test
exports HANDOFF_ZIG "$machine/home/.cache/handoff/zig/ziglang/zig"
setup 0 test
[ "$(wc -l <"$machine/compilers")" = 1 ] || fail "downloaded again"
program zig true
setup 0 test
exports HANDOFF_ZIG "$machine/bin/zig"
passed

machine "an unknown group"
setup 2 tset
says "unknown group 'tset'"
passed
