#!/usr/bin/env bash
# Runs the whole recipe once on next to nothing, in a minute or two on a CPU: packs the four demo pictures as a VOC tree,
# trains the teacher for some steps, a student from it, stops and resumes it, and lets sandglass-detect read the result.
# Shows that the recipe runs; what comes out detects nothing.
#   assets/training/smoke.sh [PYTHON]     a Python with requirements.txt; without it one is made in .smoke/venv
set -euo pipefail
cd "$(dirname "$0")"
work=$PWD/.smoke
mkdir -p "$work"
python=${1:-$work/venv/bin/python}
if ! "$python" -c 'import numpy, PIL, safetensors, torch' 2>/dev/null; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install -q -r requirements.txt
  python=$work/venv/bin/python
fi
tree=$work/VOC
rm -rf "$tree" "$work/run"
mkdir -p "$tree/JPEGImages" "$tree/Annotations" "$tree/ImageSets/Main"
while read -r name class x1 y1 x2 y2; do
  cp "../demo/$name.jpg" "$tree/JPEGImages/"
  echo "<annotation><object><name>$class</name><bndbox><xmin>$x1</xmin><ymin>$y1</ymin><xmax>$x2</xmax><ymax>$y2</ymax></bndbox></object></annotation>" \
    > "$tree/Annotations/$name.xml"
  echo "$name" >> "$tree/ImageSets/Main/trainval.txt"
done <<T
astronaut person 20 1 470 510
chelsea cat 110 1 400 300
motorcycle motorbike 60 30 600 400
cars car 100 100 250 200
T
"$python" pack.py "$tree" trainval "$work/tiny.tar"
train() { "$python" train.py --data "$work/tiny.tar" --batch 4 --report 5 --warm-up 5 "$@"; }
train --backbone mobilenet-v2-1.0 --total-minutes 0.2 --out "$work/run/mobilenet-v2-1.0"
student=(--backbone mobilenext-1.0 --teacher "$work/run/mobilenet-v2-1.0/detector.safetensors" --out "$work/run/mobilenext-1.0")
train "${student[@]}" --total-minutes 0.4 --piece-minutes 0.2
train "${student[@]}" --total-minutes 0.4
cd ../..
cargo run -q --release --locked -p sandglass-detector --bin sandglass-detect -- \
  assets/demo/chelsea.jpg --weights "$work/run/mobilenext-1.0/detector.safetensors"
echo "the recipe runs"
