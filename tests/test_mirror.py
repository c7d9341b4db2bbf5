"""The test of `a/b.py` is `tests/a/test_b.py`: a newcomer finds it without a search."""

from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("fusion_models", "protocol", "strategies", "reporting", "server", "client", "deploy")
SHARE = 0.8
WITHOUT: dict[str, str] = {}
"""Modules without a test of their own, each with the reason; a module of this list that has one is an error too."""


def missing(root: Path) -> Iterator[str]:
    """The modules under `root` whose mirrored test does not exist or tests nothing."""
    for package in PACKAGES:
        for module in sorted((root / package).rglob("*.py")):
            place = module.relative_to(root)
            mirrored = root / "tests" / place.with_name(f"test_{module.name}")
            if module.name != "__init__.py" and not (mirrored.exists() and "def test_" in mirrored.read_text()):
                yield str(place)


def test_every_module_has_a_test_of_its_name(repository: Path) -> None:
    assert set(missing(repository)) == set(WITHOUT)


def test_the_list_of_exceptions_stays_short(repository: Path) -> None:
    """At least 80 % of the modules have a test of their name."""
    modules = [path for package in PACKAGES for path in (repository / package).rglob("*.py")]
    assert len(WITHOUT) <= (1 - SHARE) * sum(path.name != "__init__.py" for path in modules)
    assert all(reason.strip() for reason in WITHOUT.values())


@pytest.mark.parametrize("place", ["server/study/intruder.py", "protocol/storage/intruder.py"])
def test_a_module_without_a_test_is_found(tmp_path: Path, place: str) -> None:
    """A test elsewhere, or of another name, does not count, and neither does a file without a test."""
    for path in (tmp_path / place, tmp_path / "tests" / "test_intruder.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert list(missing(tmp_path)) == [place]
    mirrored = tmp_path / "tests" / Path(place).with_name("test_intruder.py")
    mirrored.parent.mkdir(parents=True, exist_ok=True)
    mirrored.touch()
    assert list(missing(tmp_path)) == [place]
    mirrored.write_text("def test_it() -> None: ...\n")
    assert list(missing(tmp_path)) == []
