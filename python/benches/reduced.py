"""Large JPEG pictures at reduced scale: what it saves, and what it does to mAP.

    python benches/reduced.py VOCdevkit/VOC2007 [--pictures 200] [--megapixels 16] [--quality 90]

Pictures of VOC2007 test are enlarged (bicubic) and saved as JPEG. Each is then decoded and detected in twice: whole, by Pillow's
libjpeg-turbo, as an array; and by path, as the detector decodes it. Printed are mAP of the pictures as they are, whole, and
reduced, and for the time of both ways: decoding with detection, in turns, on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import sandglass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--megapixels", type=float, default=16)
    parser.add_argument("--quality", type=int, default=90)
    arguments = parser.parse_args()
    # As sandglass-eval measures: nearly everything counts.
    detector = sandglass.Detector(device="cpu", threads=1, score_threshold=0.01, max_detections=10_000)
    images = sandglass.read_voc(arguments.root, "test", classes=detector.classes)[: arguments.pictures]
    found: dict[str, list[dict]] = {"as they are": [], "whole": [], "reduced": []}
    targets: dict[str, list[dict]] = {name: [] for name in found}
    times: dict[str, list[float]] = {"whole": [], "reduced": []}
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.jpg"
        for image in images:
            with Image.open(image["path"]) as small:
                factor = (arguments.megapixels * 1e6 / (small.width * small.height)) ** 0.5
                size = (round(small.width * factor), round(small.height * factor))
                scale = np.array([size[0] / small.width, size[1] / small.height] * 2)
                small.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(large, "jpeg", quality=arguments.quality)
            found["as they are"].append(detector.detect(image["path"]).to_dict())
            targets["as they are"].append(image)
            for name in ("whole", "reduced"):
                begin = time.perf_counter()
                picture = np.asarray(Image.open(large)) if name == "whole" else large
                result = detector.detect(picture)
                times[name].append(time.perf_counter() - begin)
                found[name].append(result.to_dict())
                targets[name].append({**image, "boxes": image["boxes"] * scale})
    print(f"{len(images)} pictures of VOC2007 test at {arguments.megapixels:g} megapixels, quality {arguments.quality}, {detector.engine}")
    for name, preds in found.items():
        report = sandglass.evaluate_voc(targets[name], preds)
        time_of = f"{statistics.median(times[name]) * 1e3:7.1f} ms a picture" if name in times else ""
        print(f"  {name:12} mAP {report['map_11_point'] * 100:.2f} (11-point) {report['map_all_point'] * 100:.2f} (all-point) {time_of}")
    ratio = statistics.median(a / b for a, b in zip(times["whole"], times["reduced"]))
    print(f"  decoding and detection together: {ratio:.2f} times the throughput")


if __name__ == "__main__":
    main()
