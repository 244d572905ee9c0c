#!/usr/bin/env bash
# Sets the machine up and runs every check and every test: the scripts, the formatting, the code, the packages on the
# host, and the boots in QEMU (images/tests/boot.rs).
#
# The last line is the count: "N passed, N failed", with ", N skipped" where there are any. Exit status 1 on a failure.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
case ${1:-} in
    '') ;;
    -h | --help)
        sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *)
        echo "test.sh: takes no arguments; for one test: cargo test -p PACKAGE NAME" >&2
        exit 2
        ;;
esac
started=$SECONDS
scripts/setup.sh test
# shellcheck source=/dev/null
. "${CARGO_TARGET_DIR:-target}/handoff-env.sh"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

passed=0 failed=0 skipped=0

# check NAME COMMAND…: one check, shown by its output only if it fails.
check() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1 </dev/null); then
        echo "ok      $name"
        passed=$((passed + 1))
    else
        printf '%s\n' "$output"
        echo "FAILED  $name"
        failed=$((failed + 1))
    fi
}

# count_lines COMMAND…: a script that prints a line "ok …" or "FAILED …" per test.
count_lines() {
    local line
    while IFS= read -r line; do
        printf '%s\n' "$line"
        case $line in
            'ok '*) passed=$((passed + 1)) ;;
            'FAILED '*) failed=$((failed + 1)) ;;
            'skipped '*) skipped=$((skipped + 1)) ;;
        esac
    done < <("$@" 2>&1 </dev/null || echo "FAILED  $1 ended with status $?")
}

# The stages' cargo, into the stages' folder.
bare_cargo() {
    local verb=$1
    shift
    RUSTC=$HANDOFF_RUSTC CARGO_TARGET_DIR=$HANDOFF_TARGET_DIR \
        "$HANDOFF_CARGO" "$verb" --locked --release --target "$HANDOFF_TARGET" "$@"
}

# Lines of cargo and of its tests that say nothing new.
routine='^$|^running [0-9]+ tests|^test .*\.\.\. ok$|ok\. 0 passed; 0 failed|^ *(Compiling|Downloaded|Finished|Doc-tests|Running) |^cargo test: status 0'

# Every package's tests, QEMU's among them; adds cargo's own counts. A package that does not build is a failure.
cargo_tests() {
    local log=${CARGO_TARGET_DIR:-target}/test.log status counts p f s
    {
        status=0
        "$HANDOFF_HOST_CARGO" test --locked --workspace --no-fail-fast 2>&1 </dev/null || status=$?
        echo "cargo test: status $status"
    } | tee "$log" | grep --line-buffered -vE "$routine" || true
    status=$(sed -n 's/^cargo test: status //p' "$log")
    counts=$(sed -n 's/.*test result: [A-Za-z]*\. \([0-9]*\) passed; \([0-9]*\) failed; \([0-9]*\) ignored.*/\1 \2 \3/p' "$log" |
        awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }')
    read -r p f s <<<"$counts"
    # A run that ended badly without a failed test, or without any test, did not build or was killed.
    if [ "$f" = 0 ] && { [ "$status" != 0 ] || [ "$p" = 0 ]; }; then
        echo "FAILED  cargo test ended with status $status"
        f=1
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# The whole road with rustup hidden, where another Rust is here already to walk it with.
without_rustup() {
    local name="boots with rustup hidden from PATH" path
    if ! command -v rustup >/dev/null; then
        echo "ok      $name (there is none here: all of the above was it)"
        passed=$((passed + 1))
    else
        path=$(tr ':' '\n' <<<"$PATH" | while IFS= read -r folder; do
            [ -x "$folder/rustup" ] || printf '%s:' "$folder"
        done)
        if PATH=$path command -v cargo >/dev/null; then
            check "$name" env PATH="${path%:}" CARGO_TARGET_DIR=target/without-rustup scripts/run.sh --timeout 60
        else
            echo "skipped $name: no other Rust is installed"
            skipped=$((skipped + 1))
        fi
    fi
}

# Read as a whole before any of it runs, so that editing the file meanwhile does no harm.
main() {
    check "shellcheck" shellcheck scripts/*.sh scripts/handoff .ci/run
    count_lines scripts/test-setup.sh
    check "cargo fmt" "$HANDOFF_HOST_CARGO" fmt --all --check
    check "clippy, host" "$HANDOFF_HOST_CARGO" clippy --locked --workspace --all-targets -- -D warnings
    check "clippy, bare loader" bare_cargo clippy -p elfloader --lib --bins --example firmware -- -D warnings
    check "clippy, bare kernels" bare_cargo clippy -p kernel --lib --bins --examples -- -D warnings
    cargo_tests
    check "what the boot costs" scripts/bench.sh check
    without_rustup

    echo "took $((SECONDS - started)) s"
    counts="$passed passed, $failed failed"
    [ "$skipped" = 0 ] || counts="$counts, $skipped skipped"
    echo "$counts"
    [ "$failed" = 0 ]
}

main
