"""The database file of a local store: made whole or not at all.

MLflow makes its tables one after another; a process killed meanwhile leaves a file that MLflow refuses for ever. So the
file is made under another name and renamed when it is whole.
"""

import os
from collections.abc import Callable
from pathlib import Path

SQLITE = "sqlite:///"


def provide_database(uri: str, make: Callable[[str], object]) -> None:
    """Make the database of a local store where there is none yet.

    Args:
        uri: sqlite:/// of a file; another store is left alone.
        make: makes the tables of the store at a given uri.
    """
    path = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    unfinished.unlink(missing_ok=True)
    make(f"{SQLITE}{unfinished}")
    unfinished.rename(path)
