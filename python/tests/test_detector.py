"""Detection from Python."""

import io
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sandglass


@pytest.fixture(scope="module")
def cat(demo):
    return np.asarray(Image.open(demo / "chelsea.jpg").convert("RGB"))


def test_all_kinds_of_pictures_give_the_same(demo, detector, cat):
    path = demo / "chelsea.jpg"
    png = io.BytesIO()
    Image.fromarray(cat).save(png, "png")
    expected = detector.detect(cat)
    assert expected.labels.tolist()[0] == "cat" and expected.scores[0] > 0.5
    assert (expected.width, expected.height) == (451, 300) and expected.milliseconds > 0
    assert expected.boxes.shape == (len(expected), 4) and expected.boxes.dtype == np.float32
    for picture in (Image.fromarray(cat), png.getvalue(), bytearray(png.getvalue()), memoryview(png.getvalue())):
        found = detector.detect(picture)
        assert np.array_equal(found.boxes, expected.boxes) and np.array_equal(found.scores, expected.scores)
    # Two decoders of JPEG round differently.
    for picture in (path, str(path), path.read_bytes()):
        assert np.abs(detector.detect(picture).boxes - expected.boxes).max() < 1


def test_arrays_are_looked_at_in_place(detector, cat):
    read_only = cat.copy()
    read_only.flags.writeable = False
    assert len(detector.detect(read_only)) > 0
    rows = np.ascontiguousarray(cat)[50:250]  # whole rows, one after the other
    assert detector.detect(rows).height == 200


def test_pictures_of_pil_are_seen_as_they_are_shown(detector, cat):
    upright = Image.fromarray(cat)
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = io.BytesIO()
    turned.save(encoded, "png", exif=exif)
    found = detector.detect(Image.open(encoded))
    assert (found.width, found.height) == (451, 300)
    assert np.array_equal(found.boxes, detector.detect(cat).boxes)
    clear = upright.convert("RGBA")
    clear.putalpha(0)
    white = detector.detect(Image.new("RGB", upright.size, "white"))
    assert np.array_equal(detector.detect(clear).scores, white.scores)
    assert len(detector.detect(upright.convert("L"))) > 0


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda a: a.astype(np.float32), TypeError, "uint8"),
        (lambda a: a.astype(np.int64), TypeError, "int64"),
        (lambda a: a[..., 0], ValueError, "(height, width, 3)"),
        (lambda a: a.transpose(2, 0, 1), ValueError, "(height, width, 3)"),
        (lambda a: np.concatenate([a, a[..., :1]], 2), ValueError, "alpha"),
        (lambda a: a[:, 10:90], ValueError, "ascontiguousarray"),
        (lambda a: a[::2], ValueError, "ascontiguousarray"),
        (lambda a: a[::-1], ValueError, "ascontiguousarray"),
        (lambda a: a[..., ::-1], ValueError, "ascontiguousarray"),
        (lambda a: a[:0], sandglass.ImageError, "at least one pixel"),
        (lambda a: np.zeros((1, 20_000, 3), np.uint8), sandglass.ImageError, "16384"),
        (lambda a: np.array([{}]), TypeError, "uint8"),
        (lambda a: a.tolist(), TypeError, "list"),
        (lambda a: None, TypeError, "NoneType"),
        (lambda a: b"", sandglass.ImageError, "empty"),
        (lambda a: b"no picture", sandglass.ImageError, "not a picture"),
        (lambda a: "missing.jpg", FileNotFoundError, "missing.jpg"),
        (lambda a: Path(__file__).parent, sandglass.ImageError, "folder"),
    ],
)
def test_bad_pictures_are_told(detector, cat, change, error, words):
    with pytest.raises(error) as told:
        detector.detect(change(cat))
    assert words in str(told.value)
    with pytest.raises(error):
        detector.detect_batch([cat, change(cat)])
    good, bad, again = detector.detect_batch([cat, change(cat), cat], errors="return")
    assert isinstance(bad, error) and np.array_equal(good.boxes, again.boxes)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"backbone": "resnet-50"}, ValueError),
        ({"weights": "missing.safetensors"}, FileNotFoundError),
        ({"weights": __file__}, sandglass.ModelError),
        ({"device": "tpu"}, ValueError),
        ({"device": "cuda:99"}, sandglass.DeviceError),
        ({"threads": -1}, ValueError),
        ({"score_threshold": 2.0}, ValueError),
        ({"classes": ["unicorn"]}, KeyError),
        ({"classes": "person"}, TypeError),
    ],
)
def test_bad_settings_are_told(arguments, error):
    with pytest.raises(error):
        sandglass.Detector(**arguments)


def test_batches_are_in_order_whatever_the_threads(demo, detector, cat):
    pictures = [cat, demo / "astronaut.jpg", Image.fromarray(cat), (demo / "cars.jpg").read_bytes()]
    one = [detector.detect(picture) for picture in pictures]
    for threads in (1, 3):
        batch = sandglass.Detector(device="cpu", threads=threads).detect_batch(iter(pictures))
        assert [found.to_rows() for found in batch] == [found.to_rows() for found in one]
    assert detector.detect_batch([]) == []
    with pytest.raises(ValueError):
        detector.detect_batch([], errors="ignore")


def test_settings_are_kept_through_pickling(cat):
    detector = sandglass.Detector(device="cpu", threads=1, score_threshold=0.0, max_detections=7, classes=["cat"])
    again = pickle.loads(pickle.dumps(detector))
    found = again.detect(cat)
    assert len(found) == 7 and set(found.labels) == {"cat"} and set(found.class_ids) == {8}
    assert found.to_rows() == detector.detect(cat).to_rows()
    assert again.backbone == sandglass.DEFAULT_BACKBONE and again.trained and again.classes[8] == "cat"
    assert "CPU" in again.engine and again.fallback is None


def test_other_threads_run_meanwhile(demo, detector):
    picture = demo / "astronaut.jpg"
    counted, stop = 0, threading.Event()

    def detect():
        for _ in range(30):
            detector.detect(picture)
        stop.set()

    worker = threading.Thread(target=detect)
    worker.start()
    while not stop.is_set():
        counted += 1
        time.sleep(0.001)
    worker.join()
    # With the lock held for a picture at a time there would be one look a picture.
    assert counted > 60


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the threads")
def test_one_thread_means_one():
    script = (
        "import sandglass, numpy as np, os\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "detector = sandglass.Detector(device='cpu', threads=1)\n"
        "image = np.zeros((48, 64, 3), np.uint8)\n"
        "detector.detect(image); detector.detect_batch([image] * 4)\n"
        "print(len(os.listdir('/proc/self/task')) - before)"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_makes_its_own(cat):
    script = (
        "import sandglass, numpy as np, os, sys\n"
        "detector = sandglass.Detector(device='cpu', threads=2)\n"
        "image = np.zeros((48, 64, 3), np.uint8)\n"
        "detector.detect(image)\n"
        "child = os.fork()\n"
        "detector.detect(image)\n"
        "if child == 0: os._exit(7)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) - 7)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=60)


def test_other_modes_of_pil(detector, cat):
    grey = np.asarray(Image.fromarray(cat).convert("L")).astype(np.uint16) * 257
    deep, plain = detector.detect(Image.fromarray(grey)), detector.detect(Image.fromarray(cat).convert("L"))
    assert deep.to_rows() == plain.to_rows() and len(deep) > 0
    with pytest.raises(sandglass.ImageError, match="mode F"):
        detector.detect(Image.new("F", (9, 9)))
    encoded = io.BytesIO()
    Image.fromarray(cat).save(encoded, "jpeg")
    cut = Image.open(io.BytesIO(encoded.getvalue()[:3000]))
    good, bad = detector.detect_batch([cat, cut], errors="return")
    assert len(good) and isinstance(bad, sandglass.ImageError)


def test_large_jpegs_stand_for_the_whole(demo, detector, cat):
    encoded = io.BytesIO()
    Image.fromarray(cat).resize((3608, 2400), Image.Resampling.BICUBIC).save(encoded, "jpeg", quality=90)
    found, small = detector.detect(encoded.getvalue()), detector.detect(cat)
    assert (found.width, found.height) == (3608, 2400)
    assert found.labels[0] == "cat" and np.abs(found.boxes[0] / 8 - small.boxes[0]).max() < 15


def test_supervision(detector, cat):
    pytest.importorskip("supervision")
    found = detector.detect(cat)
    theirs = found.to_supervision()
    assert np.array_equal(theirs.xyxy, found.boxes) and theirs.data["class_name"][0] == "cat"
    assert len(detector.detect(np.zeros((9, 9, 3), np.uint8)).to_supervision()) == 0
