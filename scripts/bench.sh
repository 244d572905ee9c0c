#!/usr/bin/env bash
# Counts what the boot and the kernel's parts cost, in instructions: these, unlike times, are the same on every run, but
# where other CPUs poll.
#
#   scripts/bench.sh           all of it
#   scripts/bench.sh boot      the loader's budgets: its size, what it does with the MMU off, and instructions from its
#                              first to the kernel's first, by stage, kernel, RAM, CPUs and machine
#   scripts/bench.sh kernel    frame allocator, heap and page tables beside their peers (kernel/bench, by callgrind), and what
#                              a kernel feels: a page mapped, a fault resolved, EL0 and back, another space
#   scripts/bench.sh plot      the boot, written to docs/boot-cost.json and docs/boot-cost.svg as well
#   scripts/bench.sh check     what of that is held, in seconds: exit status 1 if anything is over
#
# The boot is counted on QEMU's virt machine with `-icount shift=0`: one instruction is one nanosecond of the machine's
# counter, which QEMU's 62.5 MHz resolve to 16 instructions. Nothing is printed by the loader meanwhile (--log quiet), and
# nothing is moved (nokaslr). What runs with the MMU off is traced one by one.
#
# A target is where the project wants to be, a held figure what it has reached: a change that loses it fails the tests.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
what=${1:-all}
case $what in
    all | boot | check | kernel | plot) ;;
    -h | --help)
        sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *)
        echo "bench.sh: no part is named '$what': use boot, check, kernel or plot" >&2
        exit 2
        ;;
esac
target=${CARGO_TARGET_DIR:-target}
points=$target/bench.points

# What is held; code and constants with some room, since another compiler makes them a little larger.
declare -Ar held=(
    [boot 64 KiB]=85700
    [boot 16 MiB]=92500
    [boot 4 CPUs]=96500
    [boot 8 CPUs]=109000
    [boot raspi3b]=145000
    [MMU off]=1000
    [code]=126976
    [read-only data]=24576
    [data]=24576
    [scratch memory]=57344
    [stacks]=36864
    [tables]=114688
    [page of a user space: taken, zeroed and mapped]=590
    [page of a user space: mapped]=270
    [page of a user space: unmapped everywhere and freed]=1290
    [fault of the kernel, stepped over by a hook]=295
    [fault of the kernel, a zeroed page mapped by a hook]=920
    [EL0 and back by a call]=880
    [another space]=70
    [another space, EL0 and back by a call]=955
)
status=0

# boot BYTES DIGEST [ARGUMENT…]: the timeline of a kernel that is larger by as many bytes.
boot() {
    local bytes=$1 digest=$2 said
    shift 2
    said=$(HANDOFF_PADDING=$bytes scripts/handoff run --kernel timeline --digest "$digest" --log quiet \
        --append nokaslr "$@" -- -icount shift=0 | tr -d '\r')
    awk '$1 == "known" { exit !($2 > 1990000 && $2 < 2010000) }' <<<"$said" || {
        echo "bench.sh: the counter does not count instructions: $(grep known <<<"$said")" >&2
        exit 1
    }
    echo "$said"
}

total() { awk '$1 == "total" { print $2 }'; }

# least MOST BYTES DIGEST [ARGUMENT…]: the total of a boot whose other CPUs poll: while the host is busy they have turns, which
# the counter counts as well. That only ever adds, so the least of some boots is it, or the first that is at most MOST.
least() {
    local most=$1 found=$((1 << 62)) once
    shift
    for _ in {1..12}; do
        once=$(boot "$@" | total)
        [ "$once" -ge "$found" ] || found=$once
        [ "$found" -gt "$most" ] || break
    done
    echo "$found"
}

# row WHAT VALUE [TARGET [HELD]]: a line of the table, with the verdict if there is a target or a figure that is held.
row() {
    local verdict=
    [ -z "${3:-}" ] || verdict=$(awk -v value="$2" -v most="$3" 'BEGIN { print value <= most ? "met" : "missed" }')
    if [ -n "${4:-}" ] && ! [ "$2" -le "$4" ]; then
        verdict="${verdict:+$verdict, }lost: $4 is held"
        status=1
    fi
    printf '%-56s %12s %10s  %s\n' "$1" "$2" "${3:-}" "$verdict"
}

# point GROUP NAME VALUE: what the picture shows.
point() { printf '%s\t%s\t%s\n' "$@" >>"$points"; }

# The loader's parts in memory, by the linker script's marks.
bench_size() {
    local elf mark part least=0
    elf=$HANDOFF_TARGET_DIR/$HANDOFF_TARGET/release/elfloader
    local -A at
    while read -r address _ mark; do
        at[$mark]=$((0x$address))
    done < <(nm "$elf" | grep -E ' (text_start|text_end|rodata_end|tables_start|tables_end|fault_stack_top|stack_bottom|stack_top|scratch_start|loader_end)$')
    for part in "code:text_start text_end" "read-only data:text_end rodata_end" "data:fault_stack_top tables_start" \
        "scratch memory:scratch_start loader_end"; do
        read -r from to <<<"${part#*:}"
        row "loader, bytes of ${part%%:*}" $((at[$to] - at[$from])) '' "${held[${part%%:*}]}"
        least=$((least + at[$to] - at[$from]))
    done
    row 'loader, bytes of these together' "$least" 65536
    row 'loader, bytes of its stacks (not in the target)' \
        $((at[fault_stack_top] - at[rodata_end] + at[stack_top] - at[stack_bottom])) '' "${held[stacks]}"
    row 'loader, bytes of tables (not in the target)' \
        $((at[tables_end] - at[tables_start] + at[scratch_start] - at[stack_top])) '' "${held[tables]}"
}

# Instructions and accesses to RAM until SCTLR_EL1.M is set: each is traced, and the opcode looked up in the image.
bench_before_mmu() {
    local image=$target/bench.img trace=$target/bench.trace single=-singlestep instructions accesses
    ! "$HANDOFF_QEMU" -help | grep -q one-insn-per-tb || single='-accel tcg,one-insn-per-tb=on'
    HANDOFF_PADDING=65536 scripts/handoff build --kernel timeline -o "$image" >/dev/null
    # shellcheck disable=SC2086 # two words or one
    timeout 60 "$HANDOFF_QEMU" -machine virt -cpu cortex-a53 -m 128M -display none -nic none -monitor none -serial null \
        -kernel "$image" $single -d exec,nochain -dfilter 0x40201000+0x1000 -D "$trace"
    read -r instructions accesses < <(od -An -v -tx4 -w4 -j 4096 -N 4096 "$image" | awk '
        NR == FNR { opcode[sprintf("%03x", 4 * (NR - 1))] = $1; next }
        /^Trace/ {
            split($0, part, "/")
            found = opcode[substr(part[2], length(part[2]) - 2)]
            instructions++
            # Bits 27 and 25: loads and stores (Arm ARM C4.1).
            accesses += substr(found, 2, 1) ~ /[89cd]/
            # MSR SCTLR_EL1: the last one sets M.
            if (found ~ /^d51810[01]/) { all = instructions; memory = accesses }
        }
        END { print all, memory }' - "$trace")
    [ "${accesses:-0}" -gt 0 ] || {
        echo "bench.sh: the trace of the entry code is empty" >&2
        exit 1
    }
    row 'MMU off: instructions' "$instructions"
    row 'MMU off: accesses to RAM' "$accesses" 1000 "${held[MMU off]}"
    rm -f "$image" "$trace"
}

# boots: what is held of the boot, each figure beside its target; no digest.
bench_boots() {
    local kernel='boot of a 64 KiB kernel'
    row "$kernel: instructions" "$(boot 65536 none --cpu cortex-a53 | total)" 62000 "${held[boot 64 KiB]}"
    row 'boot of a 16384 KiB kernel' "$(boot 16777216 none --cpu cortex-a53 | total)" 66000 "${held[boot 16 MiB]}"
    row "$kernel, 4 CPUs" "$(boot 65536 none --cpu cortex-a53 --cpus 4 | total)" 75000 "${held[boot 4 CPUs]}"
    row "$kernel, virt-gic3 with 8 CPUs" "$(boot 65536 none --machine virt-gic3 --cpus 8 | total)" 75000 \
        "${held[boot 8 CPUs]}"
    row "$kernel, raspi3b" "$(least "${held[boot raspi3b]}" 65536 none --machine raspi3b)" 100000 "${held[boot raspi3b]}"
}

# What a kernel feels of its memory: the mean of many, counted by itself.
bench_costs() {
    local said name value
    said=$(scripts/handoff run --kernel costs --log quiet --append nokaslr --cpu cortex-a53 -- -icount shift=0 | tr -d '\r')
    while read -r _ value name; do
        row "$name" "$value" '' "${held[$name]}"
    done < <(grep '^cost ' <<<"$said")
}

# What is held, and nothing else.
bench_check() {
    printf '%-56s %12s %10s\n' '' 'measured' 'target'
    bench_boots
    bench_before_mmu
    bench_size
    bench_costs
}

bench_boot() {
    local bytes digest machine cpus memory count small=
    : >"$points"
    printf '%-56s %12s %10s\n' '' 'measured' 'target'
    bench_boots
    echo 'boot of a 64 KiB kernel by stage'
    while read -r _ count name; do
        printf '    %-52s %12s\n' "$name" "$count"
        point stage "$name" "$count"
    done < <(boot 65536 none --cpu cortex-a53 | grep '^stage ')
    for digest in none crc32c; do
        for bytes in 65536 1048576 16777216; do
            count=$(boot "$bytes" "$digest" --cpu cortex-a53 | total)
            row "boot of a $((bytes >> 10)) KiB kernel, digest $digest" "$count"
            point "$digest" $((bytes >> 10)) "$count"
        done
    done
    # xlnx-zcu102 has CPUs that poll all along: it shows no figure of the loader's own.
    for machine in virt virt-el2 virt-numa xlnx-versal-virt raspi3b; do
        case $machine in
            raspi3b) count=$(least "${held[boot raspi3b]}" 65536 none --machine "$machine") ;;
            *) count=$(boot 65536 none --machine "$machine" | total) ;;
        esac
        row "boot of a 64 KiB kernel on $machine" "$count"
        point machine "$machine" "$count"
    done
    for cpus in 1 2 4 8; do
        count=$(boot 65536 none --machine virt-gic3 --cpus "$cpus" | total)
        row "boot of a 64 KiB kernel on virt-gic3, CPUs: $cpus" "$count"
        point CPUs "$cpus" "$count"
    done
    for memory in 128 1024 65536 1048576; do
        count=$(boot 65536 none --cpu cortex-a72 --memory "${memory}M" | total)
        row "boot with $memory MiB of RAM (cortex-a72)" "$count"
        point RAM "$memory" "$count"
        small=${small:-$count}
    done
    row '  ratio' "$(awk -v small="$small" -v large="$count" 'BEGIN { printf "%.3f", large / small }')" 1.05
    bench_before_mmu
    bench_size
}

# bench PROGRAM [ARGUMENT…]: a program of kernel/bench.
bench() {
    local program=$1
    shift
    "$HANDOFF_HOST_CARGO" run --locked --quiet --release --manifest-path kernel/bench/Cargo.toml \
        --target-dir "$target/bench" --bin "$program" -- "$@"
}

bench_kernel() {
    local part
    echo '== what a kernel feels, instructions on the machine'
    bench_costs
    for part in frames heap page_tables; do
        echo "== $part"
        bench "$part"
    done
}

if [ "$what" = check ]; then scripts/setup.sh run; else scripts/setup.sh bench; fi
# shellcheck source=/dev/null
. "$target/handoff-env.sh"
case $what in
    all)
        bench_boot
        bench_kernel
        ;;
    boot) bench_boot ;;
    check) bench_check ;;
    kernel) bench_kernel ;;
    plot)
        bench_boot
        bench plot "$points" docs/boot-cost.json docs/boot-cost.svg
        ;;
esac
exit "$status"
