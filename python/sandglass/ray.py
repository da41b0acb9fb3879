"""Detection and scoring of datasets of Ray Data, on any number of workers; needs ``ray[data]``.

    import sandglass.ray

    sandglass.ray.detect(ray.data.read_binary_files("photos", include_paths=True), image="bytes").write_parquet("found")
"""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Mapping, Sequence
from typing import Any, Union

import numpy as np
import pyarrow as pa
from ray.data import ActorPoolStrategy, Dataset

from ._tables import with_detections
from .detector import Detector
from .evaluate import Partial

Classes = Union[Mapping[int, str], Sequence[str], None]


def detect(
    dataset: Dataset,
    *,
    image: str = "image",
    concurrency: int | tuple[int, int] | None = None,
    num_cpus: float = 1,
    num_gpus: float = 0,
    batch_size: int = 32,
    keep_image: bool = False,
    **detector_arguments: Any,
) -> Dataset:
    """Finds the objects of the pictures of a dataset; each actor keeps one warm :class:`sandglass.Detector`.

    Actors that die are started anew, and what they were at is repeated: each row is in the result once.

    Args:
        dataset: all columns but the picture are handed on; with ``keep_image`` that, too.
        image: the column with the pictures: arrays of RGB ``(height, width, 3)`` uint8, the contents of picture files, or
            paths that the workers can open.
        concurrency: how many actors there are, or the fewest and the most; without, as many as the cluster has room for.
        num_cpus, num_gpus: what Ray keeps free for each actor.
        batch_size: how many pictures an actor is handed at once.
        detector_arguments: of :class:`sandglass.Detector`. Unless given, ``threads`` is ``num_cpus`` and ``device`` is
            ``cuda`` with ``num_gpus``, ``cpu`` without.

    Returns:
        The rows, in no certain order, with the columns that :func:`sandglass.spark.detect` adds: ``width``, ``height``,
        ``detections``, ``milliseconds``, ``error``.

    Raises:
        TypeError: arguments that the detector does not have.
        ValueError, DeviceError: on the workers: a column that is not there, or that would be added; a GPU that fails.
    """
    arguments = {"threads": max(1, int(num_cpus)), "device": "cuda" if num_gpus else "cpu", **detector_arguments}
    inspect.signature(Detector).bind(**arguments)
    fewest, most = (concurrency or 1, concurrency) if not isinstance(concurrency, tuple) else concurrency
    return dataset.map_batches(
        _DetectorActor,
        fn_constructor_args=(arguments, image, keep_image),
        # Ray's own defaults for actors are kept: started anew and tried again without end.
        compute=ActorPoolStrategy(min_size=fewest, max_size=most),
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        batch_size=batch_size,
        batch_format="pyarrow",
    )


def evaluate_voc(
    dataset: Dataset, *, ids: str = "id", preds: str = "detections", iou: float = 0.5, classes: Classes = None
) -> dict[str, Any]:
    """As :func:`sandglass.evaluate_voc` of all rows at once, to the last bit; the workers gather the numbers of each block.

    Args:
        dataset: a row for each picture with ``boxes`` ``(n, 4)``, ``labels`` ``(n,)`` and where there are any ``difficult``
            objects, as :func:`sandglass.read_voc` has them; arrays or lists.
        ids: the column with each picture's number, an integer of its own; their order decides between equal scores.
        preds: the column with what was found, as :func:`detect` adds it: a list of structs with ``class_id``, ``score``,
            ``x1``, ``y1``, ``x2``, ``y2``. Null is nothing found.
        iou, classes: as for :func:`sandglass.evaluate_voc`.
    """
    return _merged(dataset, ids, preds).voc(iou=iou, classes=classes)


def evaluate_coco(
    dataset: Dataset, *, ids: str = "id", preds: str = "detections", classes: Classes = None
) -> dict[str, Any]:
    """As :func:`sandglass.evaluate_coco`; columns as for :func:`evaluate_voc`, with ``iscrowd`` and ``area`` where known."""
    return _merged(dataset, ids, preds).coco(classes=classes)


class _DetectorActor:
    def __init__(self, arguments: dict[str, Any], image: str, keep_image: bool) -> None:
        self._detector, self._columns = Detector(**arguments), (image, keep_image)

    def __call__(self, rows: pa.Table) -> pa.Table:
        return with_detections(self._detector, rows, *self._columns)


def _merged(dataset: Dataset, ids: str, preds: str) -> Partial:
    parts = dataset.map_batches(_part, fn_args=(ids, preds), batch_size=None, batch_format="pyarrow")
    # With an empty part a dataset without rows scores as an empty list does.
    return Partial.merge([Partial.of([], [], ids=[]), *(pickle.loads(row["part"]) for row in parts.iter_rows())])


def _part(rows: pa.Table, ids: str, preds: str) -> pa.Table:
    objects = rows.select([n for n in rows.column_names if n in ("boxes", "labels", "difficult", "iscrowd", "area")])
    target = [{name: value for name, value in row.items() if value is not None} for row in objects.to_pylist()]
    found = []
    for items in rows.column(preds).to_pylist():
        labels, scores, *edges = ([item[n] for item in items or ()] for n in ("class_id", "score", "x1", "y1", "x2", "y2"))
        found.append({"labels": labels, "scores": scores, "boxes": np.transpose(edges)})
    return pa.table({"part": [pickle.dumps(Partial.of(target, found, ids=rows.column(ids).to_pylist()))]})
