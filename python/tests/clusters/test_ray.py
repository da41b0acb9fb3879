"""Detection and scoring in a local cluster of Ray, with two workers."""

import gc
import logging
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

# Read where Ray is imported: these tests tell nobody about themselves.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
import ray.data

import sandglass
import sandglass.ray
from sandglass._tables import RESULT

# Workers cannot import this file.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

NAMES = ("astronaut", "cars", "chelsea", "motorcycle")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    # There need not be a GPU: Ray believes it.
    ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, object_store_memory=256 << 20, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


def array(path):
    return np.asarray(Image.open(path).convert("RGB"))


def dataset(pictures, blocks=4, **columns):
    rows = [{"id": number, "image": picture} for number, picture in enumerate(pictures)]
    for name, values in columns.items():
        rows = [{**row, name: value} for row, value in zip(rows, values)]
    return ray.data.from_items(rows, override_num_blocks=blocks)


def rows_of(found):
    return sorted(found.take_all(), key=lambda row: row["id"])


def agrees(row, expected):
    return (row["width"], row["height"], list(row["detections"]), row["error"]) == (
        expected.width,
        expected.height,
        expected.to_rows(),
        None,
    )


def failure(run):
    """What a run fails with, as text.

    Who keeps the exception keeps the run's actors with it, and their processors; so does pytest, which keeps what is logged.
    """
    logging.disable(logging.ERROR)
    try:
        run()
    except Exception as error:
        words = "".join(traceback.format_exception(error))
    else:
        pytest.fail("it did not fail")
    finally:
        logging.disable(logging.NOTSET)
    gc.collect()
    return words


@pytest.mark.parametrize("kind", [Path.read_bytes, array, str, Path], ids=["bytes", "arrays", "paths", "Path"])
def test_finds_what_the_detector_finds(demo, detector, kind):
    pictures = [kind(demo / f"{name}.jpg") for name in NAMES] * 3
    found = sandglass.ray.detect(dataset(pictures, name=NAMES * 3), batch_size=2, concurrency=2)
    rows = rows_of(found)
    assert [row["id"] for row in rows] == list(range(12)) and [row["name"] for row in rows] == [*NAMES * 3]
    expected = detector.detect_batch(pictures[:4])
    assert all(len(one) > 0 for one in expected)
    assert all(agrees(row, expected[row["id"] % 4]) and row["milliseconds"] > 0 for row in rows)
    assert list(rows[0]) == ["id", "name", "width", "height", "detections", "milliseconds", "error"]


def test_arrays_of_one_shape_and_settings(demo, detector):
    cat = array(demo / "chelsea.jpg")
    settings = {"score_threshold": 0.01, "max_detections": 7, "classes": ["cat", "dog"]}
    found = sandglass.ray.detect(dataset([cat, cat[::-1].copy()], 1, path=["a", "b"]), keep_image=True, **settings)
    rows = rows_of(found)
    other = sandglass.Detector(device="cpu", threads=1, **settings)
    assert [agrees(row, other.detect(row["image"])) for row in rows] == [True, True]
    assert np.array_equal(rows[0]["image"], cat) and len(rows[0]["detections"]) > len(detector.detect(cat))


def test_from_files_to_parquet_with_as_many_actors_as_there_is_room_for(demo, detector, tmp_path):
    files = ray.data.read_binary_files([str(demo / f"{name}.jpg") for name in NAMES], include_paths=True)
    sandglass.ray.detect(files, image="bytes").write_parquet(tmp_path / "found")
    table = pq.read_table(tmp_path / "found")
    assert table.schema.field("detections").type.value_type == RESULT.field("detections").type.value_type
    rows = {Path(row["path"]).stem: row for row in table.to_pylist()}
    assert sorted(rows) == list(NAMES) and table.num_rows == 4
    assert all(agrees(rows[name], detector.detect(demo / f"{name}.jpg")) for name in NAMES)


def test_bad_pictures_are_rows_and_all_blocks_have_one_schema(demo, detector):
    good = (demo / "cars.jpg").read_bytes()
    blank = np.zeros((64, 48, 3), np.uint8)
    cases = [(4, [good, b"no picture", None, good[:2000]]), (3, [str(demo / "cars.jpg"), "/not/there.jpg", None])]
    # Ray itself cannot join blocks of arrays and blocks of nulls: these are in one.
    cases += [(2, [None, None]), (2, [blank, blank]), (1, [blank, None, blank[..., 0], blank.astype(float), 3])]
    for blocks, pictures in cases:
        found = sandglass.ray.detect(dataset(pictures, blocks), batch_size=1, concurrency=1).materialize()
        for block in ray.get(found.to_arrow_refs()):
            assert block.schema.remove_metadata() == pa.schema([("id", pa.int64()), *RESULT])
        for row, expected in zip(rows_of(found), detector.detect_batch(pictures, errors="return"), strict=True):
            if isinstance(expected, Exception):
                null = pictures[row["id"]] is None
                assert row["error"] == ("the picture is null" if null else str(expected))
                assert row["width"] is row["height"] is row["detections"] is row["milliseconds"] is None
            else:
                assert agrees(row, expected)


def test_mistakes_are_told(demo):
    pictures = dataset([str(demo / "cars.jpg")], 1)
    with pytest.raises(TypeError, match="score_treshold"):
        sandglass.ray.detect(pictures, score_treshold=0.5)
    words = failure(lambda: sandglass.ray.detect(pictures, image="content").take_all())
    assert "no column 'content' with pictures; there are: id, image" in words
    words = failure(lambda: sandglass.ray.detect(dataset(["x"], 1, width=[1])).take_all())
    assert "width are there already" in words
    words = failure(lambda: sandglass.ray.detect(pictures, backbone="no-such-net").take_all())
    assert 'no backbone is called "no-such-net"' in words


def test_resources_and_the_detector_fit(monkeypatch):
    def asked(**arguments):
        with monkeypatch.context() as patch:
            patch.setattr(ray.data.Dataset, "map_batches", lambda self, actor, **asked: asked)
            asked = sandglass.ray.detect(ray.data.range(1), **arguments)
        made, *_ = asked["fn_constructor_args"]
        pool = asked["compute"]
        return asked["num_cpus"], asked["num_gpus"], made["threads"], made["device"], (pool.min_size, pool.max_size)

    most = ray.data.ActorPoolStrategy(min_size=1, max_size=None).max_size
    assert asked() == (1, 0, 1, "cpu", (1, most))
    assert asked(num_cpus=4, concurrency=3) == (4, 0, 4, "cpu", (3, 3))
    assert asked(num_cpus=0.5, num_gpus=0.25, concurrency=(2, 5)) == (0.5, 0.25, 1, "cuda", (2, 5))
    assert asked(num_gpus=1, threads=0, device="cuda:0")[1:4] == (1, 0, "cuda:0")


def test_a_gpu_that_is_asked_for_is_used_or_missed(demo):
    found = sandglass.ray.detect(dataset([str(demo / "cars.jpg")], 1), num_gpus=1, concurrency=1)
    try:
        sandglass.Detector(device="cuda")
    except sandglass.DeviceError:
        assert "DeviceError" in failure(found.take_all)
    else:
        assert len(found.take_all()[0]["detections"]) > 0


class Mortal(os.PathLike):
    """A path that notes down whose process opens it and, where it is fatal, kills that process the first time."""

    def __init__(self, path, notes, fatal):
        self.path, self.notes, self.fatal = path, notes, fatal

    def __fspath__(self):
        (self.notes / f"worker-{os.getpid()}").touch()
        if self.fatal is not None and not (killed := self.notes / f"killed-{self.fatal}").exists():
            killed.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return self.path


def test_killed_workers_lose_and_repeat_nothing(demo, detector, tmp_path):
    def workers():
        return {int(note.name.split("-")[1]) for note in tmp_path.glob("worker-*")}

    def dead():
        return {note.name: int(note.read_text()) for note in tmp_path.glob("killed-*")}

    count, fatal = 400, (57, 58, 203, 351)
    paths = [str(demo / f"{name}.jpg") for name in NAMES]
    pictures = [Mortal(paths[row % 4], tmp_path, row if row in fatal else None) for row in range(count)]
    found = sandglass.ray.detect(dataset(pictures, blocks=40), concurrency=2, batch_size=4)
    rows, shot = [], None
    for batch in found.iter_batches(batch_size=None, batch_format="pyarrow"):
        rows += batch.to_pylist()
        if shot is None:
            # One more from outside, whatever it is at; there are many rows to come.
            shot = min(workers() - set(dead().values()))
            os.kill(shot, signal.SIGKILL)
    assert set(dead()) == {f"killed-{row}" for row in fatal}
    assert len(workers() - {shot, *dead().values()}) >= 1 and len({shot, *dead().values()}) == 5
    assert sorted(row["id"] for row in rows) == list(range(count))
    expected = detector.detect_batch(paths)
    assert all(agrees(row, expected[row["id"] % 4]) for row in rows)


def random_set(random, crowd):
    """Pictures in the order of their ids, with many equal scores, some without objects, some without detections."""
    rows = []
    for number in range(90):
        corners = random.integers(0, 300, (random.integers(0, 5), 2))
        boxes = np.concatenate([corners, corners + random.integers(20, 120, corners.shape)], 1).astype(float)
        labels = random.integers(1, 4, len(boxes))
        near = np.repeat(boxes, 2, 0) + random.integers(-12, 12, (2 * len(boxes), 4))
        near = np.concatenate([near, [[10, 10, 90, 80.5]]])
        seen = np.concatenate([np.repeat(labels, 2), [2]])
        scores = random.integers(1, 6, len(near)) / 7
        columns = ("class_id", "score", "x1", "y1", "x2", "y2")
        preds = [dict(zip(columns, row)) for row in zip(seen.tolist(), scores.tolist(), *near.T.tolist())]
        row = {"id": 7 * number - 50, "boxes": boxes, "labels": labels, "detections": preds if number % 11 else None}
        row["iscrowd" if crowd else "difficult"] = random.random(len(boxes)) < 0.2
        if crowd:
            row["area"] = random.uniform(100, 20000, len(boxes))
        rows.append(row)
    return rows


def one_run(rows, evaluate, **arguments):
    names = ("boxes", "labels", "difficult", "iscrowd", "area")
    preds = [
        {
            "boxes": [[item[edge] for edge in ("x1", "y1", "x2", "y2")] for item in row["detections"] or ()],
            "labels": [item["class_id"] for item in row["detections"] or ()],
            "scores": [item["score"] for item in row["detections"] or ()],
        }
        for row in rows
    ]
    return evaluate([{name: row[name] for name in names if name in row} for row in rows], preds, **arguments)


@pytest.mark.parametrize("blocks", [1, 7, 90])
@pytest.mark.parametrize("lists", [False, True], ids=["arrays", "lists"])
@pytest.mark.parametrize("crowd", [False, True], ids=["voc", "coco"])
def test_many_parts_score_as_one_run(blocks, lists, crowd):
    random = np.random.default_rng(17 + blocks)
    rows = random_set(random, crowd)
    arguments = {"classes": {1: "one", 3: "three"}, **({} if crowd else {"iou": 0.6})}
    name = "evaluate_coco" if crowd else "evaluate_voc"
    evaluate, spread = getattr(sandglass, name), getattr(sandglass.ray, name)
    expected = one_run(rows, evaluate, **arguments)
    assert 0.05 < expected["ap" if crowd else "map_11_point"] < 0.95
    # Which of equal scores is first matters, else the order of the parts would not be tested.
    assert one_run(rows[::-1], evaluate, **arguments) != expected
    mixed = [rows[number] for number in random.permutation(len(rows))]
    if lists:
        plain = ("boxes", "labels", "difficult", "iscrowd", "area")
        mixed = [{name: value.tolist() if name in plain else value for name, value in row.items()} for row in mixed]
    assert spread(ray.data.from_items(mixed, override_num_blocks=blocks), **arguments) == expected


def test_what_was_detected_is_scored(demo, detector):
    pictures = [str(demo / f"{name}.jpg") for name in NAMES]
    found = detector.detect_batch(pictures)
    target = [{"boxes": one.boxes[:2] + 3, "labels": one.class_ids[:2]} for one in found]
    rows = [{"number": 3 - number, "path": path, **one} for number, (path, one) in enumerate(zip(pictures, target))]
    spread = sandglass.ray.detect(ray.data.from_items(rows, override_num_blocks=3), image="path")
    expected = sandglass.evaluate_voc(target[::-1], [one.to_dict() for one in found[::-1]], classes=detector.classes)
    assert expected["map_11_point"] > 0.5
    assert sandglass.ray.evaluate_voc(spread, ids="number", classes=detector.classes) == expected


def test_parts_that_do_not_fit(demo):
    row = {"id": 1, "boxes": [[0.0, 0, 9, 9]], "labels": [1], "detections": None}
    with pytest.raises(ValueError, match="picture 1 is there twice"):
        sandglass.ray.evaluate_voc(ray.data.from_items([row, row], override_num_blocks=2))
    one = ray.data.from_items([row])
    assert "nowhere" in failure(lambda: sandglass.ray.evaluate_voc(one, preds="nowhere"))
    assert "has no 'labels'" in failure(lambda: sandglass.ray.evaluate_coco(one.drop_columns(["labels"])))
    none = ray.data.from_items([row]).filter(lambda row: False)
    assert sandglass.ray.evaluate_voc(none) == sandglass.evaluate_voc([], [])


def test_nobody_is_made_to_have_ray():
    code = "import sys, sandglass; assert not {'ray', 'pyspark', 'pyarrow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys; sys.modules['ray'] = None; import sandglass.ray"
    ended = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1 and "ModuleNotFoundError: No module named 'ray.data'" in ended.stderr
    assert sandglass.ray.Dataset is ray.data.Dataset
