"""What was found in a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import supervision


class Detections:
    """The objects of one picture, best score first.

    Attributes:
        boxes: left, top, right and bottom edge in pixels of the picture, ``(n, 4)`` float32; a box over the whole of a
            picture is 0, 0, width, height. Not clipped: boxes can reach outside.
        scores: probability of the class, 0 to 1, ``(n,)`` float32.
        class_ids: number of the class as the network counts, ``(n,)`` int64; 1 is the first, 0 the background.
        width, height: size of the picture in pixels.
        milliseconds: how long detection took, without decoding.
    """

    __slots__ = ("boxes", "scores", "class_ids", "width", "height", "milliseconds", "_classes")

    def __init__(
        self,
        boxes: NDArray[np.float32],
        scores: NDArray[np.float32],
        class_ids: NDArray[np.int64],
        width: int,
        height: int,
        milliseconds: float,
        classes: NDArray[np.str_],
    ) -> None:
        self.boxes = boxes
        self.scores = scores
        self.class_ids = class_ids
        self.width = width
        self.height = height
        self.milliseconds = milliseconds
        self._classes = classes

    @property
    def labels(self) -> NDArray[np.str_]:
        """The class of each object by name, ``(n,)``."""
        return self._classes[self.class_ids]

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        objects = ", ".join(f"{label} {score:.2f}" for label, score in zip(self.labels, self.scores))
        return f"<Detections in {self.width}×{self.height} pixels: {objects or 'nothing'}>"

    def to_dict(self) -> dict[str, Any]:
        """As torchmetrics and :func:`sandglass.evaluate_voc` have it: ``boxes``, ``scores``, ``labels`` (numbers)."""
        return {"boxes": self.boxes, "scores": self.scores, "labels": self.class_ids}

    def to_rows(self) -> list[dict[str, Any]]:
        """As the rows of Arrow, Parquet and Spark have it: a list of ``label``, ``class_id``, ``score``, ``x1`` … ``y2``."""
        names = ("label", "class_id", "score", "x1", "y1", "x2", "y2")
        columns = (self.labels.tolist(), self.class_ids.tolist(), self.scores.tolist(), *self.boxes.T.tolist())
        return [dict(zip(names, row)) for row in zip(*columns)]

    def to_supervision(self) -> supervision.Detections:
        """For the package ``supervision``, where it is installed.

        Raises:
            ImportError: where it is not.
        """
        import supervision

        return supervision.Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=self.class_ids.astype(int),
            data={"class_name": self.labels},
        )
