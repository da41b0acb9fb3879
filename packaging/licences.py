#!/usr/bin/env python3
"""Prints the licences of everything that is inside the packaged programs: every crate with its version and
licence, then every licence text that it ships, each text once.

    packaging/licences.py TARGET [NAME LICENCE FILE]...

Each further three arguments name a part that is no crate. Whether the licences are ones that we take is
deny.toml's business (scripts/audit.sh); this list fails where a crate says nothing of its licence at all.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

PROGRAMS = ["sandglass", "sandglass-detector", "sandglass-eval"]
# Names that licence texts go by; fonts and vendored C sources lie deeper in a crate's folder.
TEXT = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense|ofl|ufl|.*license\.txt)", re.I)
# Folders of a crate that no program contains.
OUTSIDE = {"tests", "test", "examples", "benches", "target", "docs"}


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(target):
    """(name, version) of the crates that are linked into the programs, ours left out."""
    chosen = [word for program in PROGRAMS for word in ("-p", program)]
    lines = cargo("tree", "--locked", "--target", target, "-e", "normal,no-proc-macro", "--prefix", "none", *chosen)
    found = set()
    for line in lines.splitlines():
        words = line.split()
        if len(words) >= 2 and not words[0].startswith("sandglass") and "(proc-macro)" not in words:
            found.add((words[0], words[1].removeprefix("v")))
    return sorted(found)


def texts(folder):
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        code = path.suffix in {".rs", ".c", ".cpp", ".h", ".py"}
        if path.is_file() and not code and TEXT.match(path.name) and not OUTSIDE & set(inside.parts) and len(inside.parts) < 6:
            yield path.read_text(encoding="utf-8", errors="replace").strip("\n").replace("\r\n", "\n")


def main():
    target, *others = sys.argv[1:]
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1"))
    packages = {(p["name"], p["version"]): p for p in metadata["packages"]}
    parts = []
    for name, version in linked(target):
        package = packages[name, version]
        licence = package["license"] or package["license_file"]
        if not licence:
            sys.exit(f"licences: {name} {version} states no licence")
        parts.append((f"{name} {version}", licence, list(texts(Path(package["manifest_path"]).parent)), package["authors"]))
    for name, licence, file in zip(others[::3], others[1::3], others[2::3]):
        parts.append((name, licence, [Path(file).read_text(encoding="utf-8").strip("\n")], []))

    print("What is inside the Sandglass programs beside Sandglass itself, and under which licences.\n")
    width = max(len(name) for name, *_ in parts)
    holders = {}
    for name, licence, found, authors in parts:
        nothing = "" if found else "  (ships no text; by " + (", ".join(authors) or "its contributors") + ")"
        print(f"{name:{width}}  {licence}{nothing}")
        for text in found:
            # The same words with other line breaks are the same text.
            holders.setdefault(" ".join(text.split()), (text, []))[1].append(name)
    for text, names in sorted(holders.values(), key=lambda entry: entry[1][0].lower()):
        print("\n" + "=" * 100)
        print(", ".join(dict.fromkeys(names)))
        print("-" * 100 + "\n")
        print(text)


main()
