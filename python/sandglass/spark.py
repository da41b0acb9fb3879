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

from ._tables import NUMBERS, RESULT, check_columns, with_detections
from .detector import Detector

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

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
    for name in NUMBERS:
        item.add(name, FloatType())
    types = (IntegerType(), IntegerType(), ArrayType(item), DoubleType(), StringType())
    fields = [field for field in dataframe.schema.fields if keep_image or field.name != image]
    fields += [StructField(name, kind) for name, kind in zip(RESULT.names, types)]
    return dataframe.mapInArrow(work, StructType(fields))


# Workers live long and see jobs of other arguments: only the latest detector stays in memory.
@functools.lru_cache(maxsize=1)
def _warm(pickled: bytes) -> Detector:
    return Detector(**pickle.loads(pickled))
