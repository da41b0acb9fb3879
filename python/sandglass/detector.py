"""The detector."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Union

import numpy as np
from numpy.typing import NDArray

from . import _sandglass
from ._sandglass import ImageError
from .detections import Detections

if TYPE_CHECKING:
    import PIL.Image

    #: A picture: RGB pixels ``(height, width, 3)`` uint8, a PIL picture, the content of a picture file, or its path.
    Picture = Union[NDArray[np.uint8], PIL.Image.Image, bytes, bytearray, str, os.PathLike[str]]


class Detector:
    """Finds objects in pictures.

    One detector may be shared between threads, which then take turns; other threads of Python run while it works. It can be
    pickled: what arrives elsewhere is made anew from the same arguments, as in a process that was forked.

    Args:
        backbone: a network by name, such as ``mobilenet-v2-1.0``; ``sandglass-detect models`` lists them. Not needed where
            the weights say it.
        weights: a safetensors file, in place of the weights that come with the package.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        threads: how many work on one picture, and how many pictures of a batch are worked on at once; 0 for one each
            processor that this process may use. With 1 no other thread is started.
        score_threshold: what has this score or less is left out, 0 to 1.
        iou_threshold: of two boxes of a class that overlap by more than this the better stays, 0 to 1.
        max_detections: the most of one picture.
        classes: names of the classes that are looked for, where not all are.

    Raises:
        ValueError: a backbone that is not known, or a setting out of range.
        KeyError: a class that the network does not know.
        FileNotFoundError, ModelError: weights that are not there, or do not fit.
        DeviceError: a device that is not there.
    """

    def __init__(
        self,
        backbone: str | None = None,
        weights: str | os.PathLike[str] | None = None,
        device: str = "auto",
        threads: int = 0,
        *,
        score_threshold: float = 0.3,
        iou_threshold: float = 0.45,
        max_detections: int = 100,
        classes: Sequence[str] | None = None,
    ) -> None:
        if isinstance(classes, str):
            raise TypeError("classes is a list of names, such as ['person', 'dog']")
        if threads < 0:
            raise ValueError(f"threads is {threads}, it must be 0 or more")
        self._arguments = (backbone, weights, device, threads)
        self._settings: dict[str, Any] = {
            "score_threshold": score_threshold,
            "iou_threshold": iou_threshold,
            "max_detections": max_detections,
            "classes": None if classes is None else list(classes),
        }
        self._inner = _sandglass.Detector(*self._arguments, **self._settings)
        self._process = os.getpid()
        self._of_parents: list[_sandglass.Detector] = []
        self._names = np.array(self._inner.classes)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._arguments, self._settings)

    def __repr__(self) -> str:
        return f"<Detector {self.backbone} on {self.engine}>"

    def detect(self, image: Picture) -> Detections:
        """Finds the objects of one picture.

        Large JPEG pictures given as bytes or by path are decoded to a half, a quarter or an eighth; boxes are in pixels of
        the whole. Arrays are looked at in place, without a copy.

        Raises:
            ImageError: what is no picture, damaged, or too large.
            TypeError, ValueError: an array of another type or shape, or whose pixels do not lie one after the other.
            FileNotFoundError, OSError: a file that cannot be read.
        """
        return Detections(*self._native()._detect(_plain(image)), self._names)

    def detect_batch(
        self, images: Iterable[Picture], *, errors: Literal["raise", "return"] = "raise"
    ) -> list[Any]:
        """Finds the objects of several pictures, in their order; each thread works on pictures of its own.

        Args:
            images: all of them are held at once.
            errors: ``raise`` the first exception, or ``return`` each in its picture's place.
        """
        if errors not in ("raise", "return"):
            raise ValueError(f"errors is {errors!r}, it must be 'raise' or 'return'")
        plain, refused = [], {}
        for number, image in enumerate(images):
            try:
                plain.append(_plain(image))
            except ImageError as error:
                refused[number] = error
                plain.append(None)
        results: list[Any] = []
        for number, found in enumerate(self._native()._detect_batch(plain)):
            found = refused.get(number, found)
            if not isinstance(found, BaseException):
                results.append(Detections(*found, self._names))
            elif errors == "raise":
                raise found
            else:
                results.append(found)
        return results

    def _native(self) -> _sandglass.Detector:
        """The detector of this process: threads do not survive a fork, so that a child makes its own."""
        if os.getpid() != self._process:
            # The parent's is kept, for it would wait for its threads.
            self._of_parents.append(self._inner)
            self._inner = _sandglass.Detector(*self._arguments, **self._settings)
            self._process = os.getpid()
        return self._inner

    @property
    def backbone(self) -> str:
        """The network's name."""
        return self._inner.backbone

    @property
    def classes(self) -> list[str]:
        """All class names by number; 0 is the background."""
        return self._inner.classes

    @property
    def engine(self) -> str:
        """What the network runs on, in words: ``CPU, AVX2, 2 threads``."""
        return self._inner.engine

    @property
    def fallback(self) -> str | None:
        """Why it is not a GPU that it runs on, where any device would do."""
        return self._inner.fallback

    @property
    def trained(self) -> bool:
        """Whether the weights were ever trained: without that, detections mean nothing."""
        return self._inner.trained


def _again(arguments: tuple[Any, ...], settings: dict[str, Any]) -> Detector:
    return Detector(*arguments, **settings)


def _plain(image: Any) -> Any:
    """PIL's pictures as arrays, upright and over white as they are shown; all else as it is."""
    # Where nobody loaded PIL, it cannot be one of its pictures.
    pil = sys.modules.get("PIL.Image")
    if isinstance(image, (bytearray, memoryview)):
        return bytes(image)
    if pil is None or not isinstance(image, pil.Image):
        return image
    from PIL import ImageOps

    try:
        image = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError) as error:
        raise ImageError(f"the picture: {error}") from error
    if image.mode.startswith("I;16"):
        # Pillow would cut off what does not fit a byte.
        grey = np.asarray(image).astype(np.uint16) >> 8
        return np.repeat(grey.astype(np.uint8)[..., None], 3, 2)
    if image.mode in ("I", "F"):
        raise ImageError(f"a picture of Pillow's mode {image.mode} says nothing of its range; make it one of bytes first")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = pil.new("RGBA", image.size, (255, 255, 255, 255))
        image = pil.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))
