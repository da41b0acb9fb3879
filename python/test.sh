#!/usr/bin/env bash
# Tests the Python package: builds it as the other tests are built (with optimisation, not as a release), installs it into a
# virtual environment of its own under target/, and runs python/tests. What needs a cluster is in python/tests/clusters.
set -euo pipefail
cd "$(dirname "$0")"
. ../scripts/packages.sh
need_rust
need_packages "${build_packages[@]}" python3 python3-venv
target=$(realpath -m "${CARGO_TARGET_DIR:-../target}")
export CARGO_TARGET_DIR=$target
venv=$target/python-test
python=$venv/bin/python

[ -x "$python" ] || python3 -m venv "$venv"
"$python" -m pip install -q --disable-pip-version-check -r tests/requirements.txt || {
    # Without a package index there is nothing to test with.
    echo "skipped: the tests of the Python package (pip cannot install tests/requirements.txt)" >&2
    exit 0
}
rm -rf "$target/python-wheels"
"$venv/bin/maturin" build --quiet --profile dev --out "$target/python-wheels" --interpreter "$python"
"$python" -m pip install -q --disable-pip-version-check --no-deps --force-reinstall "$target"/python-wheels/*.whl
# Not from this folder, where `sandglass` is the sources without their native part.
cd "$target"
"$python" -m mypy --strict --ignore-missing-imports --exclude "/(ray|spark)\.py$" -p sandglass
"$python" -m pytest -q "$OLDPWD/tests" --ignore "$OLDPWD/tests/clusters" -p no:cacheprovider
