"""Keeps optional libraries out of a process that imports what would take them along.

MONAI and transformers, which peft brings, import what they find of plotting, tables, tracking and classical learning,
for functions that no network here calls: on a machine that has all of them a quarter of the time in which a trainer
starts. In a container for centers most are not there anyway.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

OPTIONAL = ("matplotlib", "mlflow", "pandas", "sklearn")


@contextmanager
def without(names: tuple[str, ...] = OPTIONAL) -> Iterator[None]:
    """Let imports within the block find none of these libraries, as if they were not installed; later ones find them.

    What was imported before stays.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name) is None:
                sys.modules.pop(name, None)
