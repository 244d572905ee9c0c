#!/usr/bin/env bash
# Builds, packs and boots in QEMU: scripts/run.sh [RECIPE] [OPTIONS] (-h lists them).
exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/handoff" run "$@"
