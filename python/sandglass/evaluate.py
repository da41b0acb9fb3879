"""Mean average precision by the rules of Pascal VOC and of COCO, of arrays, files, or lists as torchmetrics has them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from . import _sandglass

PathLike = Union[str, "os.PathLike[str]"]
_Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
_Objects = tuple[
    NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]
]
#: One picture's objects or detections: ``boxes`` (n, 4), ``labels`` (n,) and, of detections, ``scores`` (n,).
Boxes = Mapping[str, Any]
#: Lists with one mapping a picture, or one mapping of all pictures with ``images`` (n,), the number or name of each row's picture.
Set = Union[Sequence[Boxes], Boxes]


def evaluate_voc(
    target: Set | PathLike,
    preds: Set | PathLike,
    *,
    iou: float = 0.5,
    split: str = "test",
    classes: Mapping[int, str] | Sequence[str] | None = None,
) -> dict[str, Any]:
    """Mean average precision as the VOC2007 devkit computes it.

    Args:
        target: what is to be found. A list with a mapping for each picture: ``boxes`` (left, top, right, bottom edge in
            pixels; over the whole of a picture 0, 0, width, height), ``labels`` (numbers) and where there are any
            ``difficult`` objects, which count for nothing. Or one such mapping for all pictures, with ``images``, the number
            or name of each row's picture. Or the folder of a VOC tree.
        preds: what was found, in the same form with ``scores``; for a VOC tree the folder of the devkit's detection files,
            or one file of lines of JSON, as ``sandglass-detect --json`` writes them.
        iou: the overlap that makes a hit, 0 to 1.
        split: the list of images of a VOC tree.
        classes: names by number, for the report.

    Returns:
        The report that ``sandglass-eval --json`` has: ``map_11_point``, ``map_all_point`` (0 to 1, or None), ``per_class``.

    Raises:
        ValueError: columns that do not fit together, numbers that are not finite, inverted boxes of objects.
        TypeError: arrays that are no numbers.
        FileNotFoundError, OSError: a file that cannot be read.
    """
    if isinstance(target, (str, os.PathLike)):
        if not isinstance(preds, (str, os.PathLike)):
            raise TypeError("a VOC tree is scored against files; for lists of detections read it with read_voc()")
        return _report(_sandglass.voc_files(target, split, preds, iou))
    if isinstance(preds, (str, os.PathLike)):
        raise TypeError("files of detections are scored against a VOC tree")
    return Partial.of(target, preds).voc(iou=iou, classes=classes)


def evaluate_coco(
    target: Set | PathLike,
    preds: Set | PathLike,
    *,
    classes: Mapping[int, str] | Sequence[str] | None = None,
) -> dict[str, Any]:
    """COCO's twelve numbers, as pycocotools computes them.

    Args:
        target: as for :func:`evaluate_voc`, with ``iscrowd`` in place of ``difficult`` and where it is known ``area``; or an
            ``instances_….json``.
        preds: as for :func:`evaluate_voc`; or COCO's results (``.json``).
        classes: names by number, for the report.

    Returns:
        ``ap``, ``ap_50``, ``ap_75``, ``ap_small`` … ``ar_large`` (0 to 1; None where pycocotools has -1), ``per_class``.

    Raises:
        As :func:`evaluate_voc`.
    """
    if isinstance(target, (str, os.PathLike)):
        if not isinstance(preds, (str, os.PathLike)):
            raise TypeError("COCO's files are scored against a file of results")
        return _report(_sandglass.coco_files(target, preds))
    if isinstance(preds, (str, os.PathLike)):
        raise TypeError("a file of results is scored against COCO's file of annotations")
    return Partial.of(target, preds).coco(classes=classes)


def read_voc(root: PathLike, split: str = "test", classes: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The images of a VOC tree, or of a folder of pictures with VOC annotations (``.xml``) beside them, as :func:`evaluate_voc` takes them.

    Args:
        classes: names by number, such as :attr:`Detector.classes`; without them classes are numbered as they come.

    Returns:
        For each image ``id``, ``path`` (None where there is no picture), ``boxes``, ``labels``, ``names``, ``difficult``.
    """
    images = _sandglass.read_voc(root, split)
    numbers = {name: number for number, name in enumerate(classes or ())}
    result = []
    for name, path, objects in images:
        for label, _, _ in objects:
            if label not in numbers:
                if classes is not None:
                    raise ValueError(f"image {name}: no class is called {label!r}; there are: {', '.join(classes)}")
                numbers[label] = len(numbers)
        result.append(
            {
                "id": name,
                "path": path,
                "boxes": np.array([box for _, _, box in objects], np.float64).reshape(-1, 4),
                "labels": np.array([numbers[label] for label, _, _ in objects], np.int64),
                "names": [label for label, _, _ in objects],
                "difficult": np.array([difficult for _, difficult, _ in objects], bool),
            }
        )
    return result


@dataclass(frozen=True, eq=False)
class Partial:
    """Some pictures of a set with their detections: parts that are made anywhere, in any order, merge exactly.

    A part keeps numbers alone and is pickled as such. ``ids``, numbers or names, say which pictures they are. Pictures are in the
    order of their ids, the rows of a picture in the order in which they came; that decides between equal scores, so that merged
    parts score to the last bit as one part of all would.
    """

    ids: NDArray[Any]
    object_images: NDArray[np.int64]
    object_labels: NDArray[np.int64]
    object_boxes: NDArray[np.float64]
    object_ignored: NDArray[np.bool_]
    object_areas: NDArray[np.float64]
    images: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, target: Set, preds: Set, ids: Iterable[Any] | None = None) -> Partial:
        """A part of pictures as :func:`evaluate_voc` and :func:`evaluate_coco` take them.

        Args:
            ids: of lists, the number or name of each picture in the whole set; without, 0, 1, 2 and so on. Of mappings,
                whose ``images`` are the ids, those of all pictures, where some have no row.
        """
        known = None if ids is None else _ids(list(ids), "ids")
        if known is not None and len(np.unique(known)) != len(known):
            raise ValueError("ids: a picture is there twice")
        if isinstance(target, Mapping) and isinstance(preds, Mapping):
            objects, found = _one(target, "target", None), _one(preds, "preds", "scores")
            rows = [_images(target, "target", objects), _images(preds, "preds", found)]
            named = np.unique(np.concatenate([_distinct(row) for row in rows if len(row)] or [rows[0]]))
            numbers = named if known is None else np.unique(known)
            if not np.isin(named, numbers).all():
                raise ValueError("images: there are pictures that are not among the ids")
            # Mostly they are numbered from 0 without a gap.
            counted = numbers.dtype.kind != "U" and np.array_equal(numbers, np.arange(len(numbers)))
            places = rows if counted else [np.searchsorted(numbers, row) for row in rows]
        elif isinstance(target, Mapping) or isinstance(preds, Mapping):
            raise TypeError("target and preds are both lists, or both mappings of all pictures")
        else:
            objects, lengths = _listed(target, "target", None)
            found, others = _listed(preds, "preds", "scores")
            if len(lengths) != len(others):
                raise ValueError(f"there are {len(lengths)} pictures in target and {len(others)} in preds")
            numbers = np.arange(len(lengths)) if known is None else known
            if len(numbers) != len(lengths):
                raise ValueError(f"there are {len(numbers)} ids for {len(lengths)} pictures")
            places = [np.repeat(np.arange(len(lengths)), length) for length in (lengths, others)]
        part = cls(
            numbers,
            places[0],
            objects["labels"],
            objects["boxes"],
            objects["ignored"],
            objects["areas"],
            places[1],
            found["labels"],
            found["boxes"],
            found["scores"],
        )
        return part._sorted()

    @staticmethod
    def merge(parts: Iterable[Partial]) -> Partial:
        """One part of all pictures of some.

        Raises:
            ValueError: where a picture is in two of them.
            TypeError: where some have numbers as ids and some names.
        """
        parts = list(parts)
        if not parts:
            raise ValueError("there is no part to merge")
        # An empty part has no kind of ids.
        some = [part for part in parts if len(part.ids)] or parts[:1]
        if len({part.ids.dtype.kind for part in some}) > 1:
            raise TypeError("the ids of some parts are numbers and of others names")
        offsets = np.cumsum([0] + [len(part.ids) for part in some])
        shifted = {"object_images", "images"}

        def joined(name: str) -> NDArray[Any]:
            columns = [getattr(part, name) for part in some]
            if name in shifted:
                columns = [column + offset for column, offset in zip(columns, offsets)]
            return np.concatenate(columns)

        return Partial(*(joined(field.name) for field in fields(Partial)))._sorted()

    def voc(self, *, iou: float = 0.5, classes: Mapping[int, str] | Sequence[str] | None = None) -> dict[str, Any]:
        """As :func:`evaluate_voc`."""
        return _report(_sandglass.voc_columns(*self._native(classes), float(iou)))

    def coco(self, *, classes: Mapping[int, str] | Sequence[str] | None = None) -> dict[str, Any]:
        """As :func:`evaluate_coco`."""
        return _report(_sandglass.coco_columns(*self._native(classes)))

    def _sorted(self) -> Partial:
        rising = all(bool((column[1:] >= column[:-1]).all()) for column in (self.object_images, self.images))
        if rising and bool((self.ids[1:] > self.ids[:-1]).all()):
            return self
        order = np.argsort(self.ids, kind="stable")
        ids = self.ids[order]
        if len(twice := ids[1:][ids[1:] == ids[:-1]]):
            raise ValueError(f"picture {twice[0]} is there twice")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        objects, found = place[self.object_images], place[self.images]
        by_object, by_found = np.argsort(objects, kind="stable"), np.argsort(found, kind="stable")
        return Partial(
            ids,
            objects[by_object],
            self.object_labels[by_object],
            self.object_boxes[by_object],
            self.object_ignored[by_object],
            self.object_areas[by_object],
            found[by_found],
            self.labels[by_found],
            self.boxes[by_found],
            self.scores[by_found],
        )

    def _native(
        self, classes: Mapping[int, str] | Sequence[str] | None
    ) -> tuple[int, list[str], _Objects, _Columns]:
        least = min((int(column.min()) for column in (self.object_labels, self.labels) if len(column)), default=0)
        most = max((int(column.max()) for column in (self.object_labels, self.labels) if len(column)), default=-1)
        if least < 0 or most > MOST_LABELS:
            raise ValueError(f"labels are numbers from 0 to {MOST_LABELS}; there is {least if least < 0 else most}")
        known = dict(classes) if isinstance(classes, Mapping) else dict(enumerate(() if classes is None else classes))
        names = [str(known.get(number, number)) for number in range(most + 1)]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"classes: two numbers have the name {twice!r}")
        objects = (self.object_images, self.object_labels, self.object_boxes, self.object_ignored, self.object_areas)
        return len(self.ids), names, objects, (self.images, self.labels, self.boxes, self.scores)


#: The largest number of a class.
MOST_LABELS = 99_999


def _report(text: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(text)
    return report


def _numbers(values: Any, dtype: Any, what: str) -> NDArray[Any]:
    """A copy as an array of one dtype; tensors of torch on the CPU will do, too."""
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(dtype)
    kinds = {np.int64: "iu", np.float64: "iuf", np.bool_: "biu"}[dtype]
    if array.dtype.kind not in kinds:
        raise TypeError(f"{what} has dtype {array.dtype}; numbers were expected ({np.dtype(dtype)})")
    # A part is not to change with the arrays that it was made of.
    return np.array(array, dtype, order="C")


def _ids(values: Any, what: str) -> NDArray[Any]:
    """Ids as an array of numbers or of names."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{what} of shape {array.shape}; (n,) was expected")
    if array.dtype.kind == "U":
        return array
    return _numbers(array, np.int64, what)


def _distinct(ids: NDArray[Any]) -> NDArray[Any]:
    """Each of them once, with the least work where the same stand together."""
    first: NDArray[np.bool_] = np.ones(len(ids), bool)
    first[1:] = ids[1:] != ids[:-1]
    return ids[first]


def _images(rows: Boxes, what: str, columns: dict[str, NDArray[Any]]) -> NDArray[Any]:
    if "images" not in rows:
        raise ValueError(f"{what}: a mapping for all pictures needs 'images', the picture of each row")
    images = _ids(rows["images"], f"{what}['images']")
    if len(images) != len(columns["labels"]):
        raise ValueError(f"{what}: {len(images)} images for {len(columns['labels'])} labels")
    return images


def _listed(rows: Sequence[Boxes], what: str, scores: str | None) -> tuple[dict[str, NDArray[Any]], list[int]]:
    """The rows of all pictures, one after the other, and how many each has."""
    pictures = [_one(picture, f"{what}[{number}]", scores) for number, picture in enumerate(rows)]
    lengths = [len(picture["labels"]) for picture in pictures]
    if not pictures:
        pictures = [_one({"boxes": [], "labels": [], "scores": []}, what, scores)]
    return {name: np.concatenate([picture[name] for picture in pictures]) for name in pictures[0]}, lengths


def _one(rows: Boxes, what: str, scores: str | None) -> dict[str, NDArray[Any]]:
    for name in ("boxes", "labels", *([scores] if scores else [])):
        if name not in rows:
            raise ValueError(f"{what} has no {name!r}; it has: {', '.join(map(str, rows))}")
    labels = _numbers(rows["labels"], np.int64, f"{what}['labels']")
    boxes = _numbers(rows["boxes"], np.float64, f"{what}['boxes']")
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if labels.ndim != 1 or boxes.shape != (len(labels), 4):
        raise ValueError(f"{what}: boxes of shape {boxes.shape} for labels of shape {labels.shape}; (n, 4) and (n,) fit")
    columns = {"labels": labels, "boxes": boxes}
    if scores:
        columns["scores"] = _numbers(rows[scores], np.float64, f"{what}['{scores}']")
    else:
        if "difficult" in rows and "iscrowd" in rows:
            raise ValueError(f"{what} has both 'difficult' and 'iscrowd'; give the one that counts")
        ignored = rows.get("difficult", rows.get("iscrowd"))
        columns["ignored"] = (
            np.zeros(len(labels), bool) if ignored is None else _numbers(ignored, np.bool_, f"{what}['difficult']")
        )
        # Where nobody says, it is that of the box.
        areas = rows.get("area")
        sides = boxes[:, 2:] - boxes[:, :2]
        columns["areas"] = sides[:, 0] * sides[:, 1] if areas is None else _numbers(areas, np.float64, f"{what}['area']")
    for name, column in columns.items():
        if name != "boxes" and column.shape != labels.shape:
            raise ValueError(f"{what}: {name} of shape {column.shape} for labels of shape {labels.shape}")
    return columns
