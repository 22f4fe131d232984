"""Images without a network: a base that is a folder, libraries from a folder of wheels."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "artifacts"))
sys.path.insert(0, str(Path(__file__).parent))

from made_images import wheel_lock

from upcall.artifacts.cache import Cache
from upcall.image import ours


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "a cache")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels instead of a registry."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    return folder


@pytest.fixture
def libraries(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What our code imports is one small wheel."""
    locks = tmp_path / "locks"
    locks.mkdir()
    (locks / "libraries.json").write_bytes(wheel_lock(wheels, "environment"))
    monkeypatch.setattr(ours, "LOCKS", locks)
    return locks
