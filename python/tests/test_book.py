"""The pieces of Python in the book run as they stand there."""

import re
import shutil
import subprocess
import sys

import pytest

from conftest import REPOSITORY


def pieces(page):
    return re.findall(r"```python\n(.*?)```", (REPOSITORY / "book/src" / page).read_text(), re.DOTALL)


def test_the_page_for_python(tmp_path, monkeypatch, demo):
    shutil.copy(demo / "chelsea.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    found = pieces("python.md")
    assert len(found) > 2
    names = {}
    for piece in found:
        exec(compile(piece, "python.md", "exec"), names)
    assert "cat" in names["found"].labels


def test_the_example(tmp_path, demo):
    pytest.importorskip("matplotlib")
    from test_evaluate import voc_tree

    tree = voc_tree(tmp_path / "tree", demo)
    script = REPOSITORY / "python/examples/score_a_folder.py"
    subprocess.run([sys.executable, script, tree, "--out", tmp_path / "result.png"], check=True)
    assert (tmp_path / "result.png").stat().st_size > 10_000
