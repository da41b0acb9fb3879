"""Scoring of 4,952 pictures with 100 detections each, from arrays: ours from Python against the same from Rust, pycocotools,
faster-coco-eval and torchmetrics, one after the other in every round.

    cargo bench -p sandglass-eval --bench columns --no-run     # once
    python benches/evaluate.py [--rounds 3] [--skip torchmetrics]

Timed is all that a user waits for who has arrays: the others get them in the form that they ask for (dictionaries, tensors)
before the clock runs. Prints medians in seconds, ratios, and the AP of each.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

import sandglass

PICTURES, EACH, CLASSES = 4952, 100, 20


def make() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A set like VOC2007 test: two or three objects a picture, detections near some of them."""
    dice = np.random.default_rng(2007)
    objects = dice.integers(1, 5, PICTURES)
    images = np.repeat(np.arange(PICTURES), objects)
    corner, size = dice.uniform(0, 300, (len(images), 2)), dice.uniform(10, 190, (len(images), 2))
    target = {
        "images": images,
        "labels": np.where(dice.random(len(images)) < 0.35, 14, dice.integers(0, CLASSES, len(images))),
        "boxes": np.concatenate([corner, corner + size], 1),
        "difficult": dice.random(len(images)) < 0.12,
    }
    images = np.repeat(np.arange(PICTURES), EACH)
    first = np.cumsum(objects) - objects
    near = first[images] + dice.integers(0, 1 << 30, len(images)) % objects[images]
    boxes = target["boxes"][near] + dice.normal(0, 12, (len(images), 4))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 2)
    labels = np.where(dice.random(len(images)) < 0.7, target["labels"][near], dice.integers(0, CLASSES, len(images)))
    return target, {"images": images, "labels": labels, "boxes": boxes, "scores": np.round(dice.random(len(images)), 4)}


def rust(folder: Path, target: dict[str, np.ndarray], preds: dict[str, np.ndarray]) -> tuple[float, float]:
    """The medians of the Rust library on the same columns: VOC, COCO."""
    part = sandglass.Partial.of(target, preds)
    for name in ("object_images", "object_labels", "object_boxes", "object_ignored", "images", "labels", "boxes", "scores"):
        getattr(part, name).tofile(folder / name)
    command = ["cargo", "bench", "-q", "-p", "sandglass-eval", "--bench", "columns", "--", str(folder)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    voc, coco = output.stdout.split()[-2:]
    return float(voc), float(coco)


def coco_files(target: dict[str, np.ndarray], preds: dict[str, np.ndarray]) -> tuple[dict, list]:
    xywh = lambda boxes: np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1).tolist()  # noqa: E731
    rows = zip(target["images"].tolist(), target["labels"].tolist(), xywh(target["boxes"]), target["difficult"].tolist())
    annotations = [
        {"id": n + 1, "image_id": i, "category_id": c, "bbox": b, "area": b[2] * b[3], "iscrowd": int(d)}
        for n, (i, c, b, d) in enumerate(rows)
    ]
    truth = {
        "info": {},
        "images": [{"id": i, "width": 500, "height": 500, "file_name": ""} for i in range(PICTURES)],
        "annotations": annotations,
        "categories": [{"id": c, "name": str(c)} for c in range(CLASSES)],
    }
    rows = zip(preds["images"].tolist(), preds["labels"].tolist(), xywh(preds["boxes"]), preds["scores"].tolist())
    return truth, [{"image_id": i, "category_id": c, "bbox": b, "score": s} for i, c, b, s in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip", nargs="*", default=[], choices=["rust", "pycocotools", "faster-coco-eval", "torchmetrics"])
    arguments = parser.parse_args()
    target, preds = make()
    truth, results = coco_files(target, preds)
    contenders = {
        "sandglass, VOC": lambda: sandglass.evaluate_voc(target, preds)["map_all_point"],
        "sandglass, COCO": lambda: sandglass.evaluate_coco(target, preds)["ap"],
    }

    def of_coco(coco: type, evaluation: type) -> float:
        with contextlib.redirect_stdout(io.StringIO()), tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            # Both read the truth from a file; that is not what is measured here, and not timed.
            json.dump(truth, file)
            file.flush()
            loaded = coco(file.name)
            begin = time.perf_counter()
            run = evaluation(loaded, loaded.loadRes(results), "bbox")
            run.evaluate()
            run.accumulate()
            run.summarize()
            times[name].append(time.perf_counter() - begin)
        return float(run.stats[0])

    times: dict[str, list[float]] = {}
    skip = set(arguments.skip)
    if "pycocotools" not in skip:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        contenders["pycocotools"] = lambda: of_coco(COCO, COCOeval)
    if "faster-coco-eval" not in skip:
        from faster_coco_eval import COCO as FasterCOCO
        from faster_coco_eval import COCOeval_faster

        contenders["faster-coco-eval"] = lambda: of_coco(FasterCOCO, COCOeval_faster)
    if "torchmetrics" not in skip:
        import torch
        from torchmetrics.detection import MeanAveragePrecision

        def tensors(rows: dict[str, np.ndarray], names: dict[str, str]) -> list[dict[str, torch.Tensor]]:
            edges = np.searchsorted(rows["images"], np.arange(PICTURES + 1))
            columns = {to: torch.from_numpy(rows[of]) for of, to in names.items()}
            return [{k: v[a:b] for k, v in columns.items()} for a, b in zip(edges, edges[1:])]

        objects = tensors(target, {"boxes": "boxes", "labels": "labels", "difficult": "iscrowd"})
        found = tensors(preds, {"boxes": "boxes", "labels": "labels", "scores": "scores"})

        def torchmetrics() -> float:
            metric = MeanAveragePrecision()
            metric.update(found, objects)
            return float(metric.compute()["map"])

        contenders["torchmetrics"] = torchmetrics
    of_rust: list[tuple[float, float]] = []
    answers: dict[str, float] = {}
    for _ in range(arguments.rounds):
        for name, call in contenders.items():
            times.setdefault(name, [])
            before = len(times[name])
            begin = time.perf_counter()
            answers[name] = call()
            if len(times[name]) == before:
                times[name].append(time.perf_counter() - begin)
        if "rust" not in skip:
            with tempfile.TemporaryDirectory() as folder:
                of_rust.append(rust(Path(folder), target, preds))
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{PICTURES} pictures, {PICTURES * EACH} detections, medians of {arguments.rounds} rounds in turns")
    for name, seconds in medians.items():
        ours = medians["sandglass, COCO" if "VOC" not in name else "sandglass, VOC"]
        print(f"  {name:18} {seconds:8.3f} s  {seconds / ours:7.1f} of ours   AP {answers[name]:.6f}")
    for name, at in (("VOC", 0), ("COCO", 1)):
        if of_rust:
            seconds = statistics.median(pair[at] for pair in of_rust)
            ratio = medians[f"sandglass, {name}"] / seconds
            print(f"  from Rust, {name:7} {seconds:8.3f} s; from Python {ratio:.2f} times that")


if __name__ == "__main__":
    main()
