#!/usr/bin/env bash
# Makes this machine able to build and boot Handoff, and installs only what is missing.
#
#   scripts/setup.sh            what building and booting needs
#   scripts/setup.sh machines   … and what some machines of the table need: U-Boot, device trees of other boards
#   scripts/setup.sh newer-qemu … and a QEMU newer than Debian's beside it, for machines and CPUs that it lacks
#   scripts/setup.sh test       … all of that, and what scripts/test.sh needs
#   scripts/setup.sh bench      … and what scripts/bench.sh needs
#
# Leaves its findings in target/handoff-env.sh (CARGO_TARGET_DIR is honoured), to be sourced:
#
#   HANDOFF_HOST_CARGO   builds the host tool and the tests
#   HANDOFF_CARGO        builds the stages, with HANDOFF_RUSTC as compiler (empty: cargo's own)
#   HANDOFF_TARGET       the stages' target triple
#   HANDOFF_TARGET_DIR   where the stages are built: two compilers in one folder would undo each other's work
#   HANDOFF_QEMU         the emulator; set it beforehand to choose another
#   HANDOFF_NEWER_QEMU   a newer emulator, if it could be had; set it beforehand to choose another
#   HANDOFF_ZIG          a compiler for Zig, if there is one; set it beforehand to choose another
#   HANDOFF_TREES        the folder of the boards' device trees; set it beforehand to choose another
#   CARGO_TARGET_…       what the target's linker is told, and sysroot and linker where the compiler does not bring them
#
# The target's `core` and `alloc` come from the first of these that can give them:
#   1. a compiler on this machine that has the target, or a sysroot built here earlier for that compiler;
#   2. `rustup target add`;
#   3. a compiler on this machine with its library's sources, from which a sysroot is built once and cached;
#   4. the same with Debian's packages, installed first.
# Everything is looked at anew on every call, which is a few hundred milliseconds at most: a finding never goes stale.
#
# Exit status: 0 ready, 2 this machine lacks something that the script cannot install (it says what).
set -euo pipefail

readonly RUST_LEAST=1.88 QEMU_LEAST=7.2
readonly TARGET=aarch64-unknown-none-softfloat
readonly ZIG_VERSION=0.17.1
QEMU_NEWER=10.0
readonly RUSTUP_SECONDS=${HANDOFF_RUSTUP_SECONDS:-120}

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
root=$PWD
target_dir=${CARGO_TARGET_DIR:-target}
[[ $target_dir == /* ]] || target_dir=$root/$target_dir
# Without a home, as some services are started, findings are kept beside what is built.
cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
cache=${cache:-$target_dir/cache}/handoff
log=$target_dir/setup.log
trees=${HANDOFF_TREES:-$cache/trees}
newer_qemu=${HANDOFF_NEWER_QEMU:-$cache/qemu/usr/bin/qemu-system-aarch64}
zig=${HANDOFF_ZIG:-$(command -v zig || echo "$cache/zig/ziglang/zig")}

# What follows must see the compilers as they are, not as the caller's shell bends them.
unset RUSTC RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET CARGO_BUILD_RUSTFLAGS

say() { printf 'setup: %s\n' "$*" >&2; }
refuse() {
    say "$@"
    exit 2
}

# at_least VERSION LEAST
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# ---- what is there ---------------------------------------------------------------------------------------------------

# Looks at one cargo and rustc: sets release, identity, sysroot and libdir; false if they do not work or are too old.
inspect_rust() {
    local cargo=$1 rustc=$2 version paths
    [ -x "$cargo" ] && [ -x "$rustc" ] || return 1
    version=$("$rustc" -vV 2>/dev/null) || return 1
    release=$(sed -n 's/^release: //p' <<<"$version")
    at_least "${release%%-*}" "$RUST_LEAST" || return 1
    paths=$("$rustc" --print sysroot --print target-libdir --target "$TARGET" 2>/dev/null) || return 1
    rust_sysroot=$(sed -n 1p <<<"$paths")
    rust_libdir=$(sed -n 2p <<<"$paths")
    # A distribution may rebuild the same release: the binary's size and date tell such builds apart.
    identity=$release-$({ echo "$version"; stat -Lc '%s %Y' "$rustc" 2>/dev/null || true; } | cksum | cut -d' ' -f1)
}

has_file() { compgen -G "$1" >/dev/null; }

# The linker for a compiler that does not bring its own; empty if there is none.
find_linker() {
    local name
    for name in ld.lld-22 ld.lld-21 ld.lld-20 ld.lld-19 ld.lld rust-lld; do
        command -v "$name" && return
    done
    true
}

# Sets the findings from every cargo in PATH, in order, with the rustc beside it: the first that works builds for the
# host, the first that has the target, or else the first with its library's sources, builds for the target.
# `target_from` is ready, sources (a sysroot can be built) or nothing.
find_rust() {
    local cargo rustc sysroot linker from
    host_cargo='' target_cargo='' target_rustc='' target_sysroot='' target_linker='' target_from=nothing
    while read -r cargo && [ "$target_from" != ready ]; do
        rustc=${cargo%cargo}rustc
        inspect_rust "$cargo" "$rustc" || continue
        : "${host_cargo:=$cargo}"
        linker=''
        if ! has_file "$rust_sysroot/lib/rustlib/*/bin/rust-lld"; then
            linker=$(find_linker)
            [ -n "$linker" ] || continue
        fi
        sysroot=$cache/sysroot-$identity
        if has_file "$rust_libdir/libcore-*.rlib"; then
            from=ready sysroot=''
        elif [ -e "$sysroot" ]; then
            from=ready
        elif [ "$target_from" = nothing ] && [ -e "$rust_sysroot/lib/rustlib/src/rust/library/core/src/lib.rs" ]; then
            from=sources
        else
            continue
        fi
        target_from=$from target_cargo=$cargo target_rustc=$rustc target_sysroot=$sysroot target_linker=$linker
    done < <(type -aP cargo || true)
}

# The version of a QEMU; empty if it does not run.
version_of() { "$1" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p' || true; }

find_qemu() {
    qemu=${HANDOFF_QEMU:-$(command -v qemu-system-aarch64 || true)}
    qemu_version=
    if [ -n "$qemu" ]; then
        qemu_version=$(version_of "$qemu")
        [ -n "$qemu_version" ] && at_least "$qemu_version" "$QEMU_LEAST" || qemu=
    fi
}

# ---- what is missing -------------------------------------------------------------------------------------------------

packages=()
need() { # PACKAGE… : WHY
    local line=$*
    while [ "$1" != : ]; do
        packages+=("$1")
        shift
    done
    reasons+=("${line/ : /: }")
}

# The newest version that apt could install, without epoch and revision; empty if none.
candidate() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9]*:\)\{0,1\}\([0-9][0-9.]*\).*/\2/p'; }

can_install() { [ -n "$(candidate "$1")" ]; }

# Debian's packages of one Rust new enough, as "SUFFIX"; empty if there is none.
debian_rust() {
    local suffix version
    for suffix in -web ''; do
        version=$(candidate "rustc$suffix")
        if [ -n "$version" ] && at_least "$version" "$RUST_LEAST"; then
            echo "rustc$suffix cargo$suffix rust${suffix}-src"
            return
        fi
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

may_install() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null
}

# Runs a long step with its output in the log; shows the end of it on failure.
logged() {
    mkdir -p "${log%/*}"
    "$@" >"$log" 2>&1 </dev/null || {
        tail -n 25 "$log" >&2
        return 1
    }
}

apt() {
    logged as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Use-Pty=0 "$@"
}

refreshed=
refresh_lists() {
    [ -z "$refreshed" ] && may_install || return 0
    refreshed=yes
    say "refreshing the package lists"
    apt update || say "the package lists could not be refreshed; going on with what is there"
}

install_packages() {
    local name
    for name in "${packages[@]}"; do
        can_install "$name" || refresh_lists
    done
    say "installing"
    printf 'setup:   %s\n' "${reasons[@]}" >&2
    apt install --no-install-recommends "${packages[@]}" && return
    # The lists may be older than the archive.
    [ -z "$refreshed" ] && refresh_lists && apt install --no-install-recommends "${packages[@]}" && return
    refuse "apt-get could not install ${packages[*]}; its words are above and in $log"
}

# ---- the target's libraries ------------------------------------------------------------------------------------------

rustup_add_target() {
    local limit=()
    command -v rustup >/dev/null && [ -n "$host_cargo" ] || return 0
    ! command -v timeout >/dev/null || limit=(timeout -k 5 "$RUSTUP_SECONDS")
    say "adding the target $TARGET to rustup's toolchain"
    RUSTUP_MAX_RETRIES=1 logged "${limit[@]}" rustup target add "$TARGET" 2>/dev/null ||
        say "rustup could not add it; trying other ways"
}

# Builds core, alloc and compiler_builtins from the compiler's own sources. Complete or absent: built aside, then renamed.
build_sysroot() {
    local work lib
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/building.XXXXXX")
    # shellcheck disable=SC2064 # the folder's name is wanted as it is now
    trap "rm -rf '$work'" EXIT
    say "building core and alloc for $TARGET with $target_rustc, once (about a minute)"
    mkdir "$work/src"
    printf '#![no_std]\n' >"$work/src/lib.rs"
    cat >"$work/Cargo.toml" <<-'MANIFEST'
	[package]
	name = "sysroot"
	edition = "2021"
	[profile.release]
	opt-level = 3
	codegen-units = 1
	debug = "line-tables-only"
	[workspace]
	MANIFEST
    # The stages are linked with full LTO, which reads the libraries' bitcode. RUSTC_BOOTSTRAP is for this step alone.
    (cd "$work" && RUSTC_BOOTSTRAP=1 RUSTC=$target_rustc CARGO_TARGET_DIR=$work/target RUSTFLAGS='-C embed-bitcode=yes' \
        logged "$target_cargo" build --release --target "$TARGET" \
        -Z build-std=core,alloc,compiler_builtins -Z build-std-features=compiler-builtins-mem) ||
        refuse "core could not be built from $target_rustc's sources; cargo's words are above"
    lib=$work/root/lib/rustlib/$TARGET/lib
    mkdir -p "$lib"
    cp "$work/target/$TARGET/release/deps/"lib{core,alloc,compiler_builtins}-*.rlib "$lib/"
    mv -T "$work/root" "$target_sysroot" 2>/dev/null || [ -e "$target_sysroot" ] ||
        refuse "the built core could not be moved to $target_sysroot"
    rm -rf "$work"
    trap - EXIT
}

# ---- what is unpacked and not installed --------------------------------------------------------------------------------

# Makes a folder that apt can work in as any user, `work`, with nothing of the system's but its sources, and the options
# that it takes, `apt_options`. Whoever asked removes it.
open_apt_folder() {
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/fetching.XXXXXX")
    # shellcheck disable=SC2064 # the folder's name is wanted as it is now
    trap "rm -rf '$work'" EXIT
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    apt_options=(-q -oAPT::Sandbox::User= -oDir::State::lists="$work/lists" -oDir::State::status=/dev/null
        -oDir::Cache="$work" -oAcquire::Languages=none -oAcquire::Retries=1 -oAcquire::http::Timeout=20)
}

# ---- the boards' device trees ----------------------------------------------------------------------------------------

# Debian's arm64 kernel package has them. It is downloaded and unpacked, not installed: apt works in a folder of its own,
# as any user, and the system's architectures stay as they are. Complete or absent, like the sysroot.
fetch_trees() {
    local work package apt_options
    [ ! -d "$trees" ] || return 0
    if [ "$trees" != "$cache/trees" ]; then
        say "HANDOFF_TREES=$trees is no folder: unset or change it"
        return 1
    fi
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        say "no device trees for the boards: they come from Debian's kernel package, and there is no apt-get"
        return 1
    fi
    open_apt_folder
    apt_options+=(-oAPT::Architecture=arm64 -oAPT::Architectures=arm64)
    say "fetching the boards' device trees from Debian's arm64 kernel package, once (60 MB)"
    (cd "$work" && logged apt-get "${apt_options[@]}" update &&
        package=$(apt-cache "${apt_options[@]}" depends linux-image-arm64 |
            sed -n 's/^ *Depends: \(linux-image-[0-9][^:]*\).*/\1/p') &&
        logged apt-get "${apt_options[@]}" download "$package" &&
        mkdir kernel && dpkg-deb --fsys-tarfile linux-image-*.deb | tar -x -C kernel --wildcards '*.dtb' &&
        mv kernel/usr/lib/linux-image-* trees) ||
        say "they could not be fetched: the boards stay without a device tree"
    mv -T "$work/trees" "$trees" 2>/dev/null || [ -e "$trees" ] || return 1
    rm -rf "$work"
    trap - EXIT
}

# ---- a newer QEMU ----------------------------------------------------------------------------------------------------

# From Debian's backports, unpacked and not installed: what is tried on both must not replace the one that all have. Its
# libraries are those of the installed one. Complete or absent, like the trees.
fetch_newer_qemu() {
    local work uri codename apt_options key=/usr/share/keyrings/debian-archive-keyring.gpg
    [ ! -x "$newer_qemu" ] || return 0
    if at_least "$qemu_version" "$QEMU_NEWER"; then
        newer_qemu=$qemu
        return 0
    fi
    if [ "$newer_qemu" != "$cache/qemu/usr/bin/qemu-system-aarch64" ]; then
        say "HANDOFF_NEWER_QEMU=$newer_qemu is no program: unset or change it"
        return 1
    fi
    # The archive's own release, not its updates.
    # shellcheck disable=SC2016 # the names are apt's
    read -r uri codename < <(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Identifier: Packages' 2>/dev/null |
        grep -E ' [a-z]+$') || true
    if [ -z "${codename:-}" ] || ! command -v dpkg-deb >/dev/null; then
        say "no newer QEMU: it comes from Debian's backports, and apt-get knows of no Debian"
        return 1
    fi
    open_apt_folder
    echo "deb $([ ! -e "$key" ] || echo "[signed-by=$key] ")$uri $codename-backports main" >"$work/sources.list"
    apt_options+=(-oDir::Etc::sourcelist="$work/sources.list" -oDir::Etc::sourceparts=/dev/null)
    say "fetching QEMU $QEMU_NEWER or newer from Debian's backports, once (12 MB)"
    (cd "$work" && logged apt-get "${apt_options[@]}" update &&
        logged apt-get "${apt_options[@]}" download qemu-system-arm qemu-system-data &&
        for package in qemu-system-*.deb; do dpkg-deb -x "$package" qemu; done &&
        at_least "$(version_of qemu/usr/bin/qemu-system-aarch64)" "$QEMU_NEWER" &&
        mv -T qemu "$cache/qemu") ||
        say "it could not be had: what only a newer QEMU has is not tried"
    rm -rf "$work"
    trap - EXIT
    [ -x "$newer_qemu" ]
}

# ---- a compiler for Zig -----------------------------------------------------------------------------------------------

# One that is on PATH, else Python's registry has it as a package. Complete or absent, like the trees.
fetch_zig() {
    local work
    [ ! -x "$zig" ] || return 0
    if ! command -v python3 >/dev/null || ! python3 -m pip --version >/dev/null 2>&1; then
        say "no Zig here, and no pip that fetches it: the kernel in Zig is not tried"
        return 1
    fi
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/zig.XXXXXX")
    say "fetching Zig $ZIG_VERSION from Python's registry, once (100 MB)"
    if logged python3 -m pip install --quiet --no-deps --target "$work/zig" "ziglang==$ZIG_VERSION"; then
        mv -T "$work/zig" "$cache/zig" 2>/dev/null || true
    else
        say "it could not be had: the kernel in Zig is not tried"
    fi
    rm -rf "$work"
    [ -x "$zig" ]
}

# ---- the groups ------------------------------------------------------------------------------------------------------

# Lists the packages for what the findings lack.
list_missing() {
    local rust
    packages=() reasons=()
    if [ "$target_from" = nothing ] || [ -z "$host_cargo" ]; then
        rust=$(debian_rust)
        if [ -z "$rust" ]; then
            # The lists may be older than the archive.
            refresh_lists
            rust=$(debian_rust)
        fi
        [ -n "$rust" ] || refuse "no Rust here is $RUST_LEAST or newer with the target $TARGET, and no package offers one:" \
            "$(may_install || ! command -v apt-get >/dev/null || echo "as root: apt-get update, then this again; or ")install" \
            "rustup (https://rustup.rs), then: rustup target add $TARGET"
        # shellcheck disable=SC2086 # a list of names
        need $rust : "Rust $RUST_LEAST or newer with its library's sources, to build $TARGET"
        if can_install lld-22; then need lld-22 : "the linker"; else need lld : "the linker"; fi
    fi
    command -v cc >/dev/null || need gcc libc6-dev : "links the host tool"
    [ -n "$qemu" ] || need qemu-system-arm : "QEMU $QEMU_LEAST or newer, the machine that is booted"
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ ! -e /etc/debian_version ] ||
        need ca-certificates : "cargo fetches crates over https"
    case $group in
        machines | newer-qemu | test)
            [ -e "${HANDOFF_U_BOOT:-/usr/lib/u-boot/qemu_arm64/u-boot.bin}" ] || [ ! -e /etc/debian_version ] ||
                need u-boot-qemu : "the firmware of virt-u-boot"
            ;;&
        test) list_missing_for_test ;;
        bench) command -v valgrind >/dev/null || need valgrind : "counts instructions on the host" ;;
    esac
}

list_missing_for_test() {
    local cargo last='' fmt=rustfmt-web clippy=rust-web-clippy
    command -v shellcheck >/dev/null || need shellcheck : "checks the scripts"
    command -v dtc >/dev/null || need device-tree-compiler : "prints what is left of a device tree"
    command -v aarch64-linux-gnu-g++ >/dev/null || need gcc-aarch64-linux-gnu g++-aarch64-linux-gnu : "builds the kernels in C, C++ and assembly"
    command -v gdb-multiarch >/dev/null || ! can_install gdb-multiarch || need gdb-multiarch : "debugs a boot as a person does"
    command -v chromium >/dev/null || ! can_install chromium || need chromium : "renders the page of inspect --html"
    for cargo in "$host_cargo" "$target_cargo"; do
        # None yet: it will come from the packages.
        [ -n "$cargo" ] || cargo=/usr/bin/cargo
        if [ "$cargo" = "$last" ] || is_rustup "$cargo"; then continue; fi
        last=$cargo
        can_install "$clippy" || fmt=rustfmt clippy=rust-clippy
        "$cargo" fmt --version >/dev/null 2>&1 || need "$fmt" : "checks the formatting"
        "$cargo" clippy --version >/dev/null 2>&1 || need "$clippy" : "checks the code"
    done
}

is_rustup() { [[ $("${1%cargo}rustc" --print sysroot 2>/dev/null) == *rustup* ]]; }

add_rustup_components() {
    is_rustup "$host_cargo" || return 0
    "$host_cargo" fmt --version >/dev/null 2>&1 && "$host_cargo" clippy --version >/dev/null 2>&1 && return
    say "adding rustfmt and clippy to rustup's toolchain"
    logged rustup component add rustfmt clippy || refuse "rustup could not add rustfmt and clippy"
}

explain() {
    say "this machine lacks"
    printf 'setup:   %s\n' "${reasons[@]}" >&2
    if command -v apt-get >/dev/null; then
        refuse "as root: apt-get update && apt-get install --no-install-recommends ${packages[*]}"
    fi
    refuse "without apt-get, this script only checks. Install rustup (https://rustup.rs) and 'rustup target add $TARGET'," \
        "a C compiler, and QEMU $QEMU_LEAST or newer with qemu-system-aarch64"
}

install_missing() {
    list_missing
    [ "${#packages[@]}" -gt 0 ] || return 0
    may_install || explain
    install_packages
    hash -r
    find_rust
    find_qemu
}

write_environment() {
    local file=$target_dir/handoff-env.sh new flags=${TARGET//-/_}
    flags=CARGO_TARGET_$(tr '[:lower:]' '[:upper:]' <<<"$flags")
    if ! { mkdir -p "$target_dir" && new=$(mktemp "$file.XXXXXX"); } 2>/dev/null; then
        refuse "$target_dir cannot be written: set CARGO_TARGET_DIR to a folder that can"
    fi
    {
        echo "# Written by scripts/setup.sh."
        echo "unset RUSTC RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET CARGO_BUILD_RUSTFLAGS"
        printf 'export HANDOFF_HOST_CARGO=%q\n' "$host_cargo"
        printf 'export HANDOFF_CARGO=%q\n' "$target_cargo"
        printf 'export HANDOFF_RUSTC=%q\n' "$target_rustc"
        printf 'export HANDOFF_TARGET=%q\n' "$TARGET"
        printf 'export HANDOFF_TARGET_DIR=%q\n' "$target_dir/bare"
        printf 'export HANDOFF_QEMU=%q\n' "$qemu"
        printf 'export HANDOFF_NEWER_QEMU=%q\n' "$newer_qemu"
        printf 'export HANDOFF_TREES=%q\n' "$trees"
        [ ! -x "$zig" ] || printf 'export HANDOFF_ZIG=%q\n' "$zig"
        # `core` as compilers bring it is not position-independent: the linker must relocate constants that hold addresses.
        printf 'export %s_RUSTFLAGS=%q\n' "$flags" "${target_sysroot:+--sysroot $target_sysroot }-Clink-arg=-znotext"
        if [ -n "$target_linker" ]; then
            printf 'export %s_LINKER=%q\n' "$flags" "$target_linker"
        else
            printf 'unset %s_LINKER\n' "$flags"
        fi
    } >"$new"
    mv "$new" "$file"
}

group=${1:-run}
case $group in
    run | machines | newer-qemu | test | bench) ;;
    -h | --help)
        sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *) refuse "unknown group '$group': use run, machines, newer-qemu, test or bench" ;;
esac

find_rust
find_qemu
if [ "$target_from" != ready ]; then
    rustup_add_target
    find_rust
fi
if [ -n "${HANDOFF_QEMU:-}" ] && [ -z "$qemu" ]; then
    refuse "HANDOFF_QEMU=$HANDOFF_QEMU is not QEMU $QEMU_LEAST or newer (${qemu_version:-it does not run}): unset or change it"
fi
install_missing
if [ -z "$qemu" ] || [ "$target_from" = nothing ]; then
    # What came is too old: so may the lists be.
    [ -n "$refreshed" ] || { refresh_lists && install_missing; }
fi
[ -n "$qemu" ] || refuse "QEMU here is ${qemu_version:-absent}, at least $QEMU_LEAST is needed:" \
    "install a newer qemu-system-arm, or set HANDOFF_QEMU to one"
[ "$target_from" != nothing ] || refuse "no compiler here can build for $TARGET: install rustup (https://rustup.rs)," \
    "then: rustup target add $TARGET"
[ "$target_from" = ready ] || build_sysroot
[ "$group" != test ] || add_rustup_components
status=0
case $group in
    machines) fetch_trees || status=2 ;;
    newer-qemu)
        fetch_trees || status=2
        fetch_newer_qemu || status=2
        ;;
    # What needs them is skipped without them.
    test)
        fetch_trees || true
        fetch_newer_qemu || true
        fetch_zig || true
        ;;
esac
write_environment
[ "$status" = 0 ] || exit "$status"
