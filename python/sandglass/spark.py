"""Detection in Spark's data frames; needs ``pyspark`` 3.5 or newer with ``pyarrow``.

    import sandglass.spark

    pictures = spark.read.format("binaryFile").load("photos/*.jpg").select("path", "content")
    sandglass.spark.detect(pictures, image="content").write.parquet("found")
"""

from __future__ import annotations

import functools
import inspect
import pickle
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from .detector import Detector

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_NUMBERS = ("score", "x1", "y1", "x2", "y2")
_ITEM = pa.struct([("label", pa.utf8()), ("class_id", pa.int32()), *((name, pa.float32()) for name in _NUMBERS)])

#: The columns that are added to each row, of the same types as in the tables that ``sandglass-detect`` writes.
RESULT = pa.schema(
    [
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("detections", pa.list_(_ITEM)),
        ("milliseconds", pa.float64()),
        ("error", pa.utf8()),
    ]
)


def detect(
    dataframe: DataFrame, *, image: str = "image", batch_size: int = 32, keep_image: bool = False, **detector_arguments: Any
) -> DataFrame:
    """Finds the objects of the pictures of a data frame, one row each.

    Each of Spark's Python workers keeps one warm :class:`sandglass.Detector`, from task to task.

    Args:
        dataframe: all columns but the picture are handed on.
        image: the column with the pictures: binary, the contents of picture files; or text, paths that the workers can open.
        batch_size: how many rows are worked on at once. How many Spark sends at once is another matter: up to
            ``spark.sql.execution.arrow.maxRecordsPerBatch``, 10,000 unless set. Set it lower where pictures are large.
        keep_image: hand on the picture, too.
        detector_arguments: of :class:`sandglass.Detector`. Unless given ``threads`` is 1, since Spark gives one processor to
            a task; with ``spark.task.cpus`` at more, give the same here.

    Returns:
        The rows with ``width`` and ``height`` (int, pixels), ``detections`` (an array of structs ``label``, ``class_id``,
        ``score``, ``x1``, ``y1``, ``x2``, ``y2``, best first; empty where nothing was found), ``milliseconds`` (double) and
        ``error`` (string). A picture that cannot be used, or null, is a row with its error, the others being null.

    Raises:
        ValueError: a column that is not there, or has the name of one that is added; a batch size under 1.
        TypeError: arguments that the detector does not have.
    """
    from pyspark.sql.types import ArrayType, DoubleType, FloatType, IntegerType, StringType, StructField, StructType

    check_columns(dataframe.columns, image, keep_image)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, it must be 1 or more")
    arguments = {"threads": 1, **detector_arguments}
    inspect.signature(Detector).bind(**arguments)
    pickled = pickle.dumps(arguments)

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        detector = _warm(pickled)
        for batch in batches:
            for start in range(0, batch.num_rows, batch_size):
                rows = pa.Table.from_batches([batch.slice(start, batch_size)])
                yield from with_detections(detector, rows, image, keep_image).to_batches()

    item = StructType([StructField("label", StringType()), StructField("class_id", IntegerType())])
    for name in _NUMBERS:
        item.add(name, FloatType())
    types = (IntegerType(), IntegerType(), ArrayType(item), DoubleType(), StringType())
    fields = [field for field in dataframe.schema.fields if keep_image or field.name != image]
    fields += [StructField(name, kind) for name, kind in zip(RESULT.names, types)]
    return dataframe.mapInArrow(work, StructType(fields))


# Workers live long and see jobs of other arguments: only the latest detector stays in memory.
@functools.lru_cache(maxsize=1)
def _warm(pickled: bytes) -> Detector:
    return Detector(**pickle.loads(pickled))


def check_columns(names: list[str], image: str, keep_image: bool) -> None:
    """Raises ValueError where a table has no such column, or already has one of those that are added."""
    if image not in names:
        raise ValueError(f"there is no column {image!r} with pictures; there are: {', '.join(names)}")
    if taken := [name for name in names if name in RESULT.names and (keep_image or name != image)]:
        raise ValueError(f"the columns {', '.join(taken)} are there already; drop or rename them")


def with_detections(detector: Detector, rows: pa.Table, image: str, keep_image: bool) -> pa.Table:
    """A table with the columns of ``RESULT`` after its own."""
    check_columns(rows.column_names, image, keep_image)
    pictures = rows.column(image).to_pylist()
    results = []
    for picture, found in zip(pictures, detector.detect_batch(pictures, errors="return")):
        if isinstance(found, BaseException):
            results.append({"error": "the picture is null" if picture is None else str(found)})
            continue
        size = {"width": found.width, "height": found.height}
        results.append({**size, "detections": found.to_rows(), "milliseconds": found.milliseconds})
    # With the schema, columns have their types in batches where nothing was found or all went well, too.
    added = pa.Table.from_pylist(results, schema=RESULT)
    for field, column in zip(RESULT, added.columns):
        rows = rows.append_column(field, column)
    return rows if keep_image else rows.drop_columns([image])
