"""Copies a weights file and adds to its metadata what became known of it, its tensors unchanged:

    python describe.py run/mobilenext-1.0/detector.safetensors ../weights/ssdlite-mobilenext-1.0.safetensors \
        map_11_point=0.4290 map_all_point=0.4190 map_measured_by="sandglass-eval --voc VOC2007 --split test"

Without the second file it prints what the first says of itself. An empty value removes the key.
"""
import argparse
import json
import struct
from pathlib import Path


def split(data):
    """The header of a safetensors file as JSON, and the bytes behind it."""
    length, = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + length]), data[8 + length:]


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("weights", type=Path)
    a.add_argument("out", type=Path, nargs="?")
    a.add_argument("facts", nargs="*", metavar="KEY=VALUE")
    args = a.parse_args()
    if args.out is not None and "=" in args.out.name:
        a.error(f"{args.out}: where to write is needed before KEY=VALUE")
    header, tensors = split(args.weights.read_bytes())
    facts = header.get("__metadata__", {})
    if args.out is None:
        for name, value in sorted(facts.items()):
            print(f"{name}: {value}")
        return
    for fact in args.facts:
        name, equals, value = fact.partition("=")
        if not equals:
            a.error(f"{fact}: KEY=VALUE is needed")
        facts[name] = value
    header["__metadata__"] = {name: value for name, value in facts.items() if value}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    args.out.write_bytes(struct.pack("<Q", len(text)) + text + tensors)


if __name__ == "__main__":
    main()
