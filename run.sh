#!/usr/bin/env bash
# Builds Sandglass and opens the viewer; arguments go to it (try ./run.sh --help).
# Without a display the same pipeline runs over the demo clip and leaves demo-annotated.mp4.
set -euo pipefail
cd "$(dirname "$0")"
. scripts/packages.sh
need_rust
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    need_packages "${build_packages[@]}" "${window_packages[@]}"
    cargo build --release --locked -p sandglass
    exec "${CARGO_TARGET_DIR:-target}/release/sandglass" "$@"
fi
echo "no display (neither DISPLAY nor WAYLAND_DISPLAY is set): running the demo clip without a window" >&2
need_packages "${build_packages[@]}"
cargo build --release --locked -p sandglass-detector
detect=${CARGO_TARGET_DIR:-target}/release/sandglass-detect
if [ $# -gt 0 ]; then
    exec "$detect" "$@"
fi
"$detect" demo --record demo-annotated.mp4 --force
