"""How work that nobody waits for any more is cancelled: a callable that the work asks between two of its steps."""

from collections.abc import Callable

Check = Callable[[], None]
"""Returns nothing while the work is still wanted; raises `CancelledError` when it is not."""


def never_cancelled() -> None:
    """The check of work that nobody can cancel."""
