#!/usr/bin/env bash
# Runs all tests, those of the Python package at last; arguments go to cargo test, which then is all. Tests of data that is not
# shipped say so and pass.
set -euo pipefail
cd "$(dirname "$0")"
. scripts/packages.sh
need_rust
need_packages "${build_packages[@]}" "${window_packages[@]}"
cargo test --workspace --locked "$@"
[ $# -gt 0 ] || python/test.sh
