#!/usr/bin/env bash
# Runs all tests; arguments go to cargo test. Tests of data that is not shipped say so and pass.
set -euo pipefail
cd "$(dirname "$0")"
. scripts/packages.sh
need_rust
need_packages "${build_packages[@]}" "${window_packages[@]}"
cargo test --workspace --locked "$@"
