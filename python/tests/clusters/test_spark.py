"""Detection in a local Spark, with two workers."""

import os
import sys
from pathlib import Path

import pyarrow as pa
import pytest

# Spark would start the python3 of the PATH.
os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
from pyspark.sql import SparkSession

import sandglass
import sandglass.spark

NAMES = ("astronaut", "cars", "chelsea", "motorcycle")
RESULT = [
    ("width", "int"),
    ("height", "int"),
    ("detections", "array<struct<label:string,class_id:int,score:float,x1:float,y1:float,x2:float,y2:float>>"),
    ("milliseconds", "double"),
    ("error", "string"),
]


@pytest.fixture(scope="module")
def spark():
    builder = SparkSession.builder.master("local[2]").appName("sandglass").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    # Several batches in a partition.
    spark = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "5").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    yield spark
    spark.stop()


def rows_of(found):
    return sorted(found.collect(), key=lambda row: row["id"])


def agrees(row, expected):
    found = [item.asDict() for item in row["detections"]]
    size = (expected.width, expected.height, None)
    return (row["width"], row["height"], row["error"]) == size and found == expected.to_rows()


@pytest.mark.parametrize("kind", [Path.read_bytes, str], ids=["bytes", "paths"])
def test_finds_what_the_detector_finds(spark, demo, detector, kind):
    pictures = [kind(demo / f"{name}.jpg") for name in NAMES]
    rows = [(row, NAMES[row % 4], pictures[row % 4], [1.5, None]) for row in range(26)]
    table = spark.createDataFrame(rows, ["id", "name", "picture", "more"]).repartition(3)
    found = sandglass.spark.detect(table, image="picture", batch_size=2)
    assert found.dtypes == [("id", "bigint"), ("name", "string"), ("more", "array<double>"), *RESULT]
    rows = rows_of(found)
    assert [(row["id"], row["name"], row["more"]) for row in rows] == [(i, NAMES[i % 4], [1.5, None]) for i in range(26)]
    expected = detector.detect_batch(pictures)
    assert all(len(one) > 0 for one in expected)
    assert all(agrees(row, expected[row["id"] % 4]) and row["milliseconds"] > 0 for row in rows)


def test_binary_files_as_spark_reads_them(spark, demo, detector):
    files = spark.read.format("binaryFile").option("pathGlobFilter", "*.jpg").load(str(demo))
    found = sandglass.spark.detect(files, image="content", score_threshold=0.05, classes=["cat", "car"])
    assert found.columns == ["path", "modificationTime", "length", *(name for name, _ in RESULT)]
    rows = found.collect()
    times = {row["path"]: (row["modificationTime"], row["length"]) for row in files.drop("content").collect()}
    assert {row["path"]: (row["modificationTime"], row["length"]) for row in rows} == times
    other = sandglass.Detector(device="cpu", threads=1, score_threshold=0.05, classes=["cat", "car"])
    expected = {name: other.detect(demo / f"{name}.jpg") for name in NAMES}
    agreed = {name: agrees(row, expected[name]) for row in rows for name in [Path(row["path"]).stem]}
    assert agreed == dict.fromkeys(NAMES, True)


def test_bad_pictures_are_rows(spark, demo, detector):
    good = (demo / "cars.jpg").read_bytes()
    cases = [("binary", [good, b"no picture", None, good[:2000]]), ("binary", [None]), ("binary", [])]
    cases += [("string", ["/not/there.jpg", str(demo / "cars.jpg"), None])]
    for kind, pictures in cases:
        table = spark.createDataFrame(list(enumerate(pictures)), f"id int, image {kind}").coalesce(1)
        found = sandglass.spark.detect(table, keep_image=True)
        assert found.dtypes == [("id", "int"), ("image", kind), *RESULT]
        for row, expected in zip(rows_of(found), detector.detect_batch(pictures, errors="return"), strict=True):
            assert row["image"] == pictures[row["id"]]
            if isinstance(expected, Exception):
                null = pictures[row["id"]] is None
                assert row["error"] == ("the picture is null" if null else str(expected))
                assert row["width"] is row["height"] is row["detections"] is row["milliseconds"] is None
            else:
                assert agrees(row, expected)


def test_a_worker_keeps_one_warm_detector(spark, demo):
    table = spark.createDataFrame([(row, str(demo / "cars.jpg")) for row in range(8)], ["id", "image"]).repartition(4)

    def made(batches):
        for _ in batches:
            pass
        yield pa.RecordBatch.from_pydict({"pid": [os.getpid()], "made": [sandglass.spark._warm.cache_info().misses]})

    def workers():
        return {row["pid"]: row["made"] for row in table.mapInArrow(made, "pid bigint, made bigint").collect()}

    def run(**arguments):
        assert sandglass.spark.detect(table, **arguments).count() == 8

    run(iou_threshold=0.4)
    before = workers()
    run(iou_threshold=0.4)
    run(iou_threshold=0.4)
    after = workers()
    # No worker that had one made another; with other settings they do.
    both = set(before) & set(after)
    assert both and all(after[pid] - before[pid] <= (0 if before[pid] else 1) for pid in both)
    run(iou_threshold=0.5)
    assert sum(workers().values()) > sum(after.values())


def test_mistakes_are_told(spark):
    table = spark.createDataFrame([(1, "x", 2)], ["id", "image", "width"])
    with pytest.raises(ValueError, match="no column 'content' with pictures; there are: id, image, width"):
        sandglass.spark.detect(table, image="content")
    with pytest.raises(ValueError, match="width are there already"):
        sandglass.spark.detect(table)
    table = table.drop("width")
    with pytest.raises(TypeError, match="score_treshold"):
        sandglass.spark.detect(table, score_treshold=0.5)
    with pytest.raises(ValueError, match="batch_size is 0"):
        sandglass.spark.detect(table, batch_size=0)
    with pytest.raises(Exception, match="no-such-net"):
        sandglass.spark.detect(table, backbone="no-such-net").collect()
