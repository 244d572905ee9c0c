#!/usr/bin/env bash
# The checks that take longer than a test may, or need tools of their own.
#
#   scripts/deep.sh [miri] [loom] [deny] [matrix]      all four without a name
#
#   miri   interprets the tests of the code that is unsafe and runs on a host: heap, lock, direct map, address spaces, MMIO.
#          It finds undefined behaviour that happens to work. Needs rustup's nightly
#   loom   tries every interleaving of the lock and of the magazine (kernel/tests/loom.rs)
#   deny   licences and sources of all dependencies, by deny.toml. Needs cargo-deny (cargo install --locked cargo-deny)
#   matrix every machine, state of entry and CPU model, with both QEMUs: the contract is checked in each boot
#
# A line "ok", "FAILED" or "skipped" each; exit status 1 on a failure.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
for name in "$@"; do
    case $name in
        miri | loom | deny | matrix) ;;
        -h | --help)
            sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *)
            echo "deep.sh: give miri, loom, deny or matrix, not $name" >&2
            exit 2
            ;;
    esac
done
[ $# -gt 0 ] || set -- miri loom deny matrix
target=$PWD/${CARGO_TARGET_DIR:-target}
status=0

# check NAME COMMAND…
check() {
    local name=$1
    shift
    if "$@"; then
        echo "ok      $name"
    else
        echo "FAILED  $name"
        status=1
    fi
}

# Tests that are ignored there say why where they are. Some exposed addresses become pointers again, as on the machine;
# the property tests ask for their folder and for how many cases to try, the tables of the spaces' tests live to the end.
miri() {
    if ! command -v rustup >/dev/null; then
        echo "skipped miri: it needs rustup's nightly compiler (https://rustup.rs)"
        return
    fi
    rustup toolchain install nightly --profile minimal --component miri --component rust-src >/dev/null
    local flags="-Zmiri-permissive-provenance -Zmiri-disable-isolation" miri=(cargo +nightly miri test --locked --target-dir "$target/miri" --lib)
    local run=(env MIRIFLAGS="$flags" PROPTEST_CASES=32 "${miri[@]}")
    check "miri: heap, lock, direct map" "${run[@]}" -p kernel -- heap:: lock:: frames::direct_map
    check "miri: address spaces" env MIRIFLAGS="$flags -Zmiri-ignore-leaks" "${miri[@]}" -p kernel -- address_space::tests::a_block
    check "miri: MMIO, caches, translation" "${run[@]}" -p handoff-bare
    check "miri: notes, symbols" "${run[@]}" -p shared-abi -- note::tests::a_ symbols::
}

# Three preemptions show every known bug of such code; more multiply the time.
loom() {
    check "loom: lock, magazine" env RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 \
        cargo test --locked --target-dir "$target/loom" -p kernel --test loom
}

deny() {
    if ! command -v cargo-deny >/dev/null; then
        echo "skipped deny: there is no cargo-deny (cargo install --locked cargo-deny)"
        return
    fi
    check "deny: licences, bans, sources" cargo deny --locked check licenses bans sources
}

# A subshell keeps the set-up's variables from the others.
matrix() (
    scripts/setup.sh test
    # shellcheck source=/dev/null
    . "$target/handoff-env.sh"
    check "matrix: machines, states of entry, CPUs, QEMUs" \
        env HANDOFF_MATRIX=1 cargo test --locked -p images --test boot matrix_
    exit "$status"
)

for name in "$@"; do
    case $name in
        miri) miri ;;
        loom) loom ;;
        deny) deny ;;
        matrix) matrix || status=1 ;;
    esac
done
exit "$status"
