"""Packs a split of a Pascal VOC tree for training: a tar of images/ID.webp, the longest side 352 pixels at most, and
annotations.json with boxes as shares of the picture's size.

    python pack.py VOCdevkit/VOC2007 trainval voc2007-trainval.tar
"""
import argparse
import io
import json
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from PIL import Image

from dataset import CLASSES, SIDE

QUALITY = 60


def objects(path, width, height):
    """The objects of an annotation of VOC's form; pixels count from 1."""
    found = []
    for thing in ElementTree.parse(path).iterfind("object"):
        name = thing.findtext("name")
        if name not in CLASSES:
            sys.exit(f"{path}: {name!r} is none of VOC's classes")
        x1, y1, x2, y2 = (float(thing.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax"))
        box = [(x1 - 1) / width, (y1 - 1) / height, x2 / width, y2 / height]
        flag = lambda key: int(thing.findtext(key) or 0)
        found.append({"name": name, "box": [round(v, 5) for v in box],
                      "difficult": flag("difficult"), "truncated": flag("truncated")})
    return found


def add(tar, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, help="folder with JPEGImages, Annotations and ImageSets/Main")
    parser.add_argument("split", help="trainval, train or val; never the one that is measured on")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    listed = args.tree / "ImageSets" / "Main" / f"{args.split}.txt"
    if not listed.is_file():
        sys.exit(f"{listed} is missing")
    records = []
    with tarfile.open(args.out, "w") as tar:
        for number, name in enumerate(listed.read_text().split()):
            with Image.open(args.tree / "JPEGImages" / f"{name}.jpg") as picture:
                picture = picture.convert("RGB")
            records.append({"id": name, "width": picture.width, "height": picture.height,
                            "objects": objects(args.tree / "Annotations" / f"{name}.xml", *picture.size)})
            picture.thumbnail((SIDE, SIDE), Image.LANCZOS)
            data = io.BytesIO()
            picture.save(data, "WEBP", quality=QUALITY, method=4)
            add(tar, f"images/{name}.webp", data.getvalue())
            if number % 500 == 499:
                print(f"{number + 1} pictures", flush=True)
        add(tar, "annotations.json", json.dumps(records).encode())
    print(f"{args.out}: {len(records)} pictures, {sum(len(r['objects']) for r in records)} objects")


if __name__ == "__main__":
    main()
