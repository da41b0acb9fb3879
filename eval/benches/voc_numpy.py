"""Pascal VOC average precision in NumPy, written plainly: what the benchmark "scoring" compares with.

    python3 voc_numpy.py ROOT

ROOT has ImageSets/Main/test.txt, Annotations/*.xml and det/comp4_det_test_CLASS.txt. Prints the seconds that
all of it took and the 11-point mean.
"""

import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np


def read_objects(root, images):
    """By class and image: boxes and whether they are difficult."""
    objects = {}
    for image in images:
        for node in ElementTree.parse(root / "Annotations" / f"{image}.xml").iter("object"):
            box = node.find("bndbox")
            corners = [float(box.find(name).text) for name in ("xmin", "ymin", "xmax", "ymax")]
            difficult = node.findtext("difficult", "0").strip() == "1"
            of_image = objects.setdefault(node.findtext("name"), {}).setdefault(image, ([], []))
            of_image[0].append(corners)
            of_image[1].append(difficult)
    return {
        name: {image: (np.array(boxes), np.array(difficult)) for image, (boxes, difficult) in by_image.items()}
        for name, by_image in objects.items()
    }


def overlaps(box, boxes):
    """IoU of a box with others, in inclusive pixels."""
    width = np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0]) + 1
    height = np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1]) + 1
    both = np.maximum(width, 0) * np.maximum(height, 0)
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    return both / ((box[2] - box[0] + 1) * (box[3] - box[1] + 1) + areas - both)


def score_class(by_image, path, threshold=0.5):
    """11-point average precision of a class."""
    lines = [line.split() for line in path.read_text().splitlines()]
    scores = np.array([float(line[1]) for line in lines])
    boxes = np.array([[float(number) for number in line[2:]] for line in lines])
    order = np.argsort(-scores, kind="stable")
    npos = sum(int((~difficult).sum()) for _, difficult in by_image.values())
    taken = {image: np.zeros(len(difficult), bool) for image, (_, difficult) in by_image.items()}
    hits, alarms = np.zeros(len(order)), np.zeros(len(order))
    for rank, at in enumerate(order):
        image = lines[at][0]
        if image not in by_image:
            alarms[rank] = 1
            continue
        truth, difficult = by_image[image]
        overlap = overlaps(boxes[at], truth)
        best = int(overlap.argmax())
        if overlap[best] < threshold:
            alarms[rank] = 1
        elif not difficult[best]:
            (alarms if taken[image][best] else hits)[rank] = 1
            taken[image][best] = True
    hits, alarms = np.cumsum(hits), np.cumsum(alarms)
    recall, precision = hits / npos, hits / np.maximum(hits + alarms, 1)
    levels = [precision[recall >= level].max(initial=0) for level in np.arange(11) * 0.1]
    return sum(levels) / 11


def main():
    root = Path(sys.argv[1])
    start = time.perf_counter()
    images = (root / "ImageSets" / "Main" / "test.txt").read_text().split()
    objects = read_objects(root, images)
    scores = [
        score_class(by_image, root / "det" / f"comp4_det_test_{name}.txt")
        for name, by_image in sorted(objects.items())
    ]
    print(f"{time.perf_counter() - start:.3f} s (mAP {np.mean(scores):.6f})")


main()
