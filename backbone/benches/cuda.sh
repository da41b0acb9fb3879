#!/usr/bin/env bash
# The CUDA engine on a machine with an NVIDIA GPU: parity, sanitizer, leaks, speed beside PyTorch.
#
#     backbone/benches/cuda.sh [--json OUT.json]     builds, packs and runs
#     backbone/benches/cuda.sh pack FOLDER           builds and packs only; then, on the other machine,
#                                                    python3 FOLDER/cuda.py (no compiler and no network needed there)
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${CARGO_TARGET_DIR:-target}/cuda-check
if [ "${1:-}" = pack ]; then
    folder=${2:?"usage: cuda.sh pack FOLDER"}
fi
program=$(cargo bench --locked --no-run --workspace --bench cuda --message-format=json \
    | sed -n 's/.*"executable":"\([^"]*\/cuda-[0-9a-f]*\)".*/\1/p' | tail -1)
mkdir -p "$folder/training" "$folder/assets/demo"
install -m 755 "$program" "$folder/cuda"
strip "$folder/cuda" 2>/dev/null || true
cp backbone/benches/cuda.py "$folder/"
cp assets/training/reference.py "$folder/training/"
cp assets/demo/*.jpg "$folder/assets/demo/"
cp assets/weights/ssdlite-mobilenet-v2-1.0.safetensors "$folder/mobilenet-v2-1.0.safetensors"
echo "packed into $folder ($(du -sh "$folder" | cut -f1))" >&2
if [ "${1:-}" != pack ]; then
    cd "$folder"
    exec python3 cuda.py "$@"
fi
