"""Packed VOC archives in memory: pictures as one uint8 tensor, boxes padded to a rectangle.

An archive is a tar of images/ID.webp and annotations.json (`pack.py` makes it). Pictures are warped
to SIDE x SIDE, as SSD does; boxes are relative, so the warp leaves them unchanged.
"""
import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor"
).split()
SIDE = 352
MAX_OBJECTS = 48


@dataclass
class Pictures:
    """pixels: uint8 (N, 3, SIDE, SIDE); boxes: f32 (N, M, 4) relative x1 y1 x2 y2;
    labels: i64 (N, M), 0 = padding, 1..20 = CLASSES; difficult: bool (N, M);
    epoch: i64 (E,), the pictures of one epoch, some more than once where an archive is to count more."""

    pixels: torch.Tensor
    boxes: torch.Tensor
    labels: torch.Tensor
    difficult: torch.Tensor
    epoch: torch.Tensor

    def __len__(self):
        return len(self.pixels)

    def to(self, device):
        return Pictures(*(t.to(device) for t in (self.pixels, self.boxes, self.labels, self.difficult, self.epoch)))


def _decode(data: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(data)).convert("RGB").resize((SIDE, SIDE), Image.BILINEAR)
    return np.array(picture).transpose(2, 0, 1)


def load(archives, limit=None, workers=None) -> Pictures:
    """Reads archives (paths to tars, PATH:3 to count three times) whole into memory; `limit` keeps the first so many."""
    encoded, objects, times = [], [], []
    for archive in archives:
        archive, _, count = str(archive).partition(":")
        with tarfile.open(archive) as tar:
            files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
        for record in json.loads(files["annotations.json"]):
            encoded.append(files[f"images/{record['id']}.webp"])
            objects.append(record["objects"])
            times.append(int(count or 1))
    encoded, objects = encoded[:limit], objects[:limit]
    pixels = torch.empty((len(encoded), 3, SIDE, SIDE), dtype=torch.uint8)
    with ThreadPoolExecutor(workers) as pool:
        for i, picture in enumerate(pool.map(_decode, encoded, chunksize=32)):
            pixels[i] = torch.from_numpy(picture)
    boxes = torch.zeros(len(encoded), MAX_OBJECTS, 4)
    labels = torch.zeros(len(encoded), MAX_OBJECTS, dtype=torch.long)
    difficult = torch.zeros(len(encoded), MAX_OBJECTS, dtype=torch.bool)
    for i, picture_objects in enumerate(objects):
        for j, thing in enumerate(picture_objects[:MAX_OBJECTS]):
            boxes[i, j] = torch.tensor(thing["box"])
            labels[i, j] = CLASSES.index(thing["name"]) + 1
            difficult[i, j] = bool(thing.get("difficult", 0))
    epoch = torch.arange(len(encoded)).repeat_interleave(torch.tensor(times[:limit]))
    return Pictures(pixels, boxes, labels, difficult, epoch)
