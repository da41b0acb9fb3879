"""Detection in Arrow tables, for the engines that hand them over: Ray and Spark. The columns are those of ``sandglass-detect``."""

from __future__ import annotations

import pyarrow as pa

from .detector import Detector

#: The fields of a detection that are numbers: its probability, 0 to 1, and its edges in pixels.
NUMBERS = ("score", "x1", "y1", "x2", "y2")
_ITEM = pa.struct([("label", pa.utf8()), ("class_id", pa.int32()), *((name, pa.float32()) for name in NUMBERS)])

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
