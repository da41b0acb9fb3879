#!/usr/bin/env python3
"""Records what the PyTorch reference gives, for tests that have no PyTorch at hand.

    record_golden.py PATH/reference.py CLASSIFIERS.json DETECTORS.json

Needs torch and numpy. `reference.py` is that of ../../assets/training: it has `classifier(name, classes)` and `SsdLite(name)` with the names of
the authors' code. Weights are those of `Weights::untrained` in ../src/weights/untrained.rs, made here from
the same formula, so no weights need to be kept. Pictures likewise (`picture` in parity.rs).
"""
import importlib.util
import json
import sys

import numpy as np
import torch

WIDTHS = {"mobilenext": ("1.4", "1.0", "0.75", "0.5", "0.35"), "mobilenet-v2": ("1.4", "1.0", "0.75", "0.5", "0.35"),
          "mobilenet-v1": ("1.0", "0.75", "0.5", "0.25"), "classic": ("1.4", "1.0", "0.75", "0.5", "0.35")}


def names():
    for family, widths in WIDTHS.items():
        for width in widths:
            yield f"{family}-{width}"
            if family in ("mobilenext", "classic"):
                yield from (f"{family}-{width}-id{n}" for n in (2, 3, 6))


def uniform(name, count):
    """FNV-1a of the name seeds SplitMix64; 24 bits of each value."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) / 2**24


def untrained(model):
    state = model.state_dict()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        if tensor.dim() > 1:
            high = (3 / tensor[0].numel()) ** 0.5
            low = -high
        elif name.endswith(("running_mean", "bias")):
            low, high = -0.25, 0.25
        else:
            low, high = 0.5, 1.5
        values = low + uniform(name, tensor.numel()) * (high - low)
        state[name] = torch.from_numpy(values.astype(np.float32)).reshape(tensor.shape)
    model.load_state_dict(state)
    return model.eval()


def picture(height, width):
    i = np.arange(height * width * 3, dtype=np.uint64)
    values = (i * np.uint64(2654435761) % np.uint64(2**32)).astype(np.float64) / 2**32 * 4 - 2
    return torch.from_numpy(values.astype(np.float32)).reshape(1, height, width, 3).permute(0, 3, 1, 2)


@torch.no_grad()
def main():
    path, classifiers, detectors = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("reference", path)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    found = {}
    for name in names():
        logits = untrained(reference.classifier(name, 10))(picture(97, 65))[0]
        found[name] = [float(f"{v:.7g}") for v in logits.tolist()]
    json.dump(found, open(classifiers, "w"), indent=0)
    found = {}
    for name in names():
        logits, offsets = untrained(reference.SsdLite(name))(picture(320, 320))
        # Values far apart: a prime step meets every level, box and class.
        found[name] = {key: [float(f"{v:.7g}") for v in values.flatten()[::step].tolist()]
                       for key, values, step in (("class_logits", logits, 1009), ("box_deltas", offsets, 197))}
    json.dump(found, open(detectors, "w"), indent=0)


if __name__ == "__main__":
    main()
