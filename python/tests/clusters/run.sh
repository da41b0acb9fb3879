#!/usr/bin/env bash
# Tests the Python package in real clusters of Ray and of Spark, on this machine alone: python/tests/clusters/run.sh [WHEEL]
# The wheel is what is tested; without one the package is built. Needs Java 17 or newer, a package index and some minutes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../../.." && pwd)
what=$(realpath "${1:-$repository/python}")
target=$(realpath -m "${CARGO_TARGET_DIR:-$repository/target}")
venv=$target/cluster-venv
python=$venv/bin/python

command -v java > /dev/null || { echo "Spark needs Java 17 or newer (java is not on the PATH)" >&2; exit 1; }
[ -x "$python" ] || python3 -m venv "$venv"
"$python" -m pip install -q --disable-pip-version-check -r "$here/requirements.txt"
"$python" -m pip install -q --disable-pip-version-check --no-deps --force-reinstall "$what"
# Not from the package's folder: workers would find its sources, which are without their native part.
cd "$target"
"$python" -m pytest -q -p no:cacheprovider "$here"
