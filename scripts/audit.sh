#!/usr/bin/env bash
# Looks over the dependencies:
#   - their licences, sources and versions, against deny.toml (cargo deny);
#   - known weaknesses, where the database of them (a git repository on GitHub) can be fetched, and it says so where not;
#   - dependencies that nothing uses (cargo machete);
#   - the minimum supported Rust version: no dependency asks for a newer one than Cargo.toml's rust-version, and
#     this compiler is at least that one. Only the compiler that runs here is tested; where it is newer, clippy's
#     incompatible_msrv (on by default, and .ci/run makes an error of it) is what holds the code to rust-version.
# Tools that are missing are installed into target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
need_rust
need_packages g++ python3

need_tool cargo-deny 0.20.2
need_tool cargo-machete 0.9.2

cargo-deny --locked check bans licenses sources
# Without the database this is no verdict at all, neither good nor bad.
if cargo-deny --locked fetch db > /dev/null 2>&1; then
    cargo-deny --locked check --disable-fetch advisories
else
    echo "audit: ADVISORIES WERE NOT CHECKED: their database cannot be fetched here" >&2
fi

# Only what git knows: target folders hold other people's crates.
cargo-machete --skip-target-dir .

minimum=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
have=$(rustc --version | cut -d' ' -f2)
[ "$(printf '%s\n' "$minimum" "$have" | sort -V | head -1)" = "$minimum" ] || {
    echo "audit: this is Rust $have, Cargo.toml asks for $minimum" >&2
    exit 1
}
cargo metadata --locked --format-version 1 | python3 -c '
import json, sys
number = lambda version: tuple(int(part) for part in version.split("."))
minimum = sys.argv[1]
newer = [" ".join([p["name"], p["version"], "needs Rust", p["rust_version"]])
         for p in json.load(sys.stdin)["packages"] if p["rust_version"] and number(p["rust_version"])[:2] > number(minimum)[:2]]
sys.exit("audit: newer than rust-version " + minimum + ": " + ", ".join(newer) if newer else 0)
' "$minimum"
echo "audit: rust-version $minimum, tested with $have; no dependency needs a newer one"
