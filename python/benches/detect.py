"""Detection from Python in a picture of 640×480 that is an array: ours, and ONNX Runtime on the model that we export, with the
usual pre- and post-processing in NumPy and Pillow. One picture of each in turn; medians.

    sandglass-detect export --backbone mobilenet-v2-1.0 --boxes --onnx ssdlite.onnx
    python benches/detect.py ssdlite.onnx [--threads 1] [--rounds 200]

Printed, too, is by how much Python is slower than the Rust pipeline inside the same calls, which takes its own time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

import sandglass

MEAN = np.array([123, 117, 104], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)


def suppressed(boxes: np.ndarray, scores: np.ndarray, iou: float) -> np.ndarray:
    """Greedy non-maximum suppression, as it is commonly written."""
    order, kept = scores.argsort()[::-1], []
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        low, high = np.maximum(boxes[best, :2], boxes[rest, :2]), np.minimum(boxes[best, 2:], boxes[rest, 2:])
        both = np.clip(high - low, 0, None).prod(1)
        order = rest[both / (areas[best] + areas[rest] - both) <= iou]
    return np.array(kept, int)


class Usual:
    """What a program around ONNX Runtime does."""

    def __init__(self, model: str, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        self.session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.outputs = [output.name for output in self.session.get_outputs()]

    def __call__(self, picture: np.ndarray) -> list[tuple[int, float, np.ndarray]]:
        height, width = picture.shape[:2]
        small = np.asarray(Image.fromarray(picture).resize((320, 320), Image.Resampling.BILINEAR), np.float32)
        tensor = np.ascontiguousarray(((small - MEAN) / STD).transpose(2, 0, 1)[None])
        outputs = dict(zip(self.outputs, self.session.run(None, {self.input: tensor})))
        boxes, scores = outputs["boxes"][0], outputs["scores"][0]
        boxes = boxes * np.array([width, height, width, height], np.float32)
        found = []
        for label in range(1, scores.shape[1]):
            likely = np.flatnonzero(scores[:, label] > 0.3)
            if likely.size:
                of_class = scores[likely, label]
                kept = suppressed(boxes[likely], of_class, 0.45)
                found += [(label, float(of_class[k]), boxes[likely[k]]) for k in kept]
        return sorted(found, key=lambda item: -item[1])[:100]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    photo = Path(__file__).parents[2] / "assets" / "demo" / "astronaut.jpg"
    picture = np.asarray(Image.open(photo).convert("RGB").resize((640, 480)))
    detector = sandglass.Detector(device="cpu", threads=arguments.threads)
    usual = Usual(arguments.model, arguments.threads)
    first, theirs = detector.detect(picture), usual(picture)
    # Pillow smooths where it makes smaller, so that the figures are near, not equal.
    assert detector.classes[theirs[0][0]] == first.labels[0], (theirs, first)
    ours, inside, others = [], [], []
    for _ in range(arguments.rounds):
        begin = time.perf_counter()
        found = detector.detect(picture)
        between = time.perf_counter()
        usual(picture)
        end = time.perf_counter()
        ours.append((between - begin) * 1e3)
        inside.append(found.milliseconds)
        others.append((end - between) * 1e3)
    mine, other = statistics.median(ours), statistics.median(others)
    extra = statistics.median(a / b for a, b in zip(ours, inside)) - 1
    print(f"{detector.backbone}, {detector.engine}, 640×480, medians of {arguments.rounds} rounds in turns")
    print(f"  sandglass              {mine:7.2f} ms, of which the Rust pipeline {statistics.median(inside):.2f} (Python {extra:+.1%})")
    print(f"  onnxruntime and NumPy  {other:7.2f} ms: {other / mine:.2f} times ours")


if __name__ == "__main__":
    main()
