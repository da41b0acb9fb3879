"""Object detection on ordinary machines: the Sandglass detector and scorer.

    import sandglass

    detector = sandglass.Detector()
    found = detector.detect("photo.jpg")
    for box, score, label in zip(found.boxes, found.scores, found.labels):
        print(label, score, box)
"""

from ._sandglass import DEFAULT_BACKBONE, DeviceError, ImageError, ModelError, __version__
from .detections import Detections
from .detector import Detector
from .evaluate import Partial, evaluate_coco, evaluate_voc, read_voc

__all__ = [
    "DEFAULT_BACKBONE",
    "Detections",
    "Detector",
    "DeviceError",
    "ImageError",
    "ModelError",
    "Partial",
    "__version__",
    "evaluate_coco",
    "evaluate_voc",
    "read_voc",
]
