#!/usr/bin/env bash
# Counts what the boot and the kernel's parts cost, in instructions: these, unlike times, are the same on every run.
#
#   scripts/bench.sh           all of it
#   scripts/bench.sh boot      loader: its size, and instructions from its first to the kernel's first
#   scripts/bench.sh kernel    frame allocator, heap and page tables beside their peers (kernel/bench, by callgrind)
#
# The boot is counted on QEMU's virt machine with `-icount shift=0`: one instruction is one nanosecond of the machine's
# counter, which QEMU's 62.5 MHz resolve to 16 instructions. Nothing is printed by the loader meanwhile (--log quiet).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
what=${1:-all}
case $what in
    all | boot | kernel) ;;
    -h | --help)
        sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *)
        echo "bench.sh: no part is named '$what': use boot or kernel" >&2
        exit 2
        ;;
esac

# boot BYTES DIGEST: the timeline of a kernel that is larger by as many bytes.
boot() {
    HANDOFF_PADDING=$1 scripts/handoff run --kernel timeline --cpu cortex-a53 --digest "$2" --log quiet --seed 00 \
        -- -icount shift=0 | tr -d '\r'
}

bench_boot() {
    local bytes digest said
    printf 'loader: '
    scripts/handoff build --kernel timeline -o "${CARGO_TARGET_DIR:-target}/bench.img" | awk '/ loader$/ { print $2, $3 }'
    printf '%-12s %-8s %12s\n' 'kernel' 'digest' 'instructions'
    for bytes in 65536 1048576 16777216; do
        for digest in none crc32c; do
            said=$(boot "$bytes" "$digest")
            awk '$1 == "known" { exit !($2 > 1990000 && $2 < 2010000) }' <<<"$said" || {
                echo "bench.sh: the counter does not count instructions: $(grep known <<<"$said")" >&2
                exit 1
            }
            printf '%-12s %-8s %12s\n' "$((bytes >> 10)) KiB" "$digest" "$(awk '$1 == "total" { print $2 }' <<<"$said")"
            # By stage once: only the digest depends on the size.
            [ "$bytes$digest" != 65536none ] || awk '$1 == "stage" { printf "  %10s ", $2; $1 = $2 = ""; print }' <<<"$said"
        done
    done
}

bench_kernel() {
    local part
    # shellcheck source=/dev/null
    . "${CARGO_TARGET_DIR:-target}/handoff-env.sh"
    for part in frames heap page_tables; do
        echo "== $part"
        "$HANDOFF_HOST_CARGO" run --locked --quiet --release --manifest-path kernel/bench/Cargo.toml \
            --target-dir "${CARGO_TARGET_DIR:-target}/bench" --bin "$part"
    done
}

scripts/setup.sh bench
[ "$what" = kernel ] || bench_boot
[ "$what" = boot ] || bench_kernel
