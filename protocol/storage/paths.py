"""Paths of a folder whose layout is fixed, named in its class: `bank = Below("bank")`."""

from pathlib import Path
from typing import Protocol


class Rooted(Protocol):
    """What has a folder of its own."""

    @property
    def root(self) -> Path:
        """The folder."""


class Below:
    """A path below its owner's root: the attribute `Below("link", "link.db")` is `root / "link" / "link.db"`."""

    def __init__(self, *parts: str) -> None:
        self._parts = parts

    def __get__(self, owner: Rooted, _kind: type) -> Path:
        return owner.root.joinpath(*self._parts)
