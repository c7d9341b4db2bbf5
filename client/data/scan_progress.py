"""Who is told how far the reading of a center's cases is."""

from collections.abc import Callable

ScanProgress = Callable[[int, int], None]
"""Takes how many cases were read, and of how many."""


def tell_nobody(_read: int, _cases: int) -> None:
    """Nothing."""
