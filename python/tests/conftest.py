"""What the tests share."""

from pathlib import Path

import pytest

import sandglass

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def demo() -> Path:
    """The demo pictures."""
    return REPOSITORY / "assets" / "demo"


@pytest.fixture(scope="session")
def detector() -> sandglass.Detector:
    return sandglass.Detector(device="cpu", threads=1)


@pytest.fixture(scope="session")
def known_answers() -> Path:
    """Sets with the figures of other programs, which developers have beside the repository."""
    folder = REPOSITORY.parent / "shared" / "known-answers"
    if not folder.is_dir():
        pytest.skip("the known answers are not there")
    return folder
