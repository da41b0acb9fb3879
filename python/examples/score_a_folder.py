"""From a folder of pictures to a scored, plotted result.

    pip install ./python matplotlib pillow
    python python/examples/score_a_folder.py VOCdevkit/VOC2007 --limit 200 --out result.png

The folder is a VOC tree, or one's own: pictures with VOC annotations (.xml) beside them. What can be run by itself stands
between the lines that begin with `# %%`, which notebooks and editors take for cells.
"""

# %% What is there
from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # a file, not a window
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import sandglass

parser = argparse.ArgumentParser(description="Detect in a folder of pictures, score, and plot.")
parser.add_argument("folder", type=Path)
parser.add_argument("--split", default="test")
parser.add_argument("--limit", type=int, help="only the first pictures")
parser.add_argument("--backbone")
parser.add_argument("--out", type=Path, default=Path("result.png"))
arguments = parser.parse_args()

# %% A detector that keeps nearly everything: average precision needs the tail of low scores
detector = sandglass.Detector(arguments.backbone, score_threshold=0.01, max_detections=1000)
print(detector)

# %% The pictures, and what is in them
images = sandglass.read_voc(arguments.folder, arguments.split, classes=detector.classes)[: arguments.limit]
images = [image for image in images if image["path"]]
if not images:
    raise SystemExit(f"{arguments.folder}: there are no pictures")

# %% Detect, some at a time, so that a large folder needs no more memory than a small one
found: list[sandglass.Detections] = []
for start in range(0, len(images), 64):
    paths = [image["path"] for image in images[start : start + 64]]
    found += detector.detect_batch(paths)
    print(f"\r{len(found)} of {len(images)}", end="", flush=True)
print()

# %% Score
report = sandglass.evaluate_voc(images, [one.to_dict() for one in found], classes=detector.classes)
coco = sandglass.evaluate_coco(images, [one.to_dict() for one in found], classes=detector.classes)
print(f"VOC mAP {report['map_11_point']:.3f} (11-point), {report['map_all_point']:.3f} (all-point); COCO AP {coco['ap']:.3f}")

# %% Plot: average precision by class, scores of hits and misses, and the picture in which most was found
classes = {name: entry for name, entry in report["per_class"].items() if entry["npos"]}
names = sorted(classes, key=lambda name: classes[name]["ap_all_point"])
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 1.5 + 0.25 * max(len(names), 12)), layout="constrained")
left.barh(names, [classes[name]["ap_all_point"] for name in names], color="#4878a8")
left.set(xlim=(0, 1), xlabel="average precision (all-point)", title=f"mAP {report['map_all_point']:.3f}")
for name in names:
    left.text(0.01, name, f"{classes[name]['npos']} objects", va="center", fontsize=7, color="white")

scores = np.concatenate([one.scores for one in found])
middle.hist(scores, bins=np.linspace(0, 1, 41), color="#a8a8a8", log=True)
middle.set(xlabel="score", ylabel="detections", title=f"{len(scores)} detections in {len(found)} pictures")

most = max(range(len(images)), key=lambda number: int((found[number].scores > 0.3).sum()))
right.imshow(Image.open(images[most]["path"]))
for x1, y1, x2, y2 in images[most]["boxes"]:
    right.add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor="white", linestyle=":"))
one = found[most]
for (x1, y1, x2, y2), score, label in zip(one.boxes, one.scores, one.labels):
    if score > 0.3:
        right.add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor="orange", linewidth=1.5))
        right.text(x1, y1, f"{label} {score:.2f}", fontsize=7, backgroundcolor="orange", va="bottom")
right.set(title=f"{images[most]['id']}: found, and dotted what was to be", xticks=[], yticks=[])
figure.savefig(arguments.out, dpi=110)
print(arguments.out)
