"""MLflow's tables, made once: its 60 migrations take two CPU-seconds, and nearly every test of a study has a store."""

import shutil
from collections.abc import Callable
from pathlib import Path

from server.tracking.database import SQLITE, provide_database


class MadeOnce:
    """In the place of `provide_database`: the first database is made as ever, each one after it is a copy of that.

    Args:
        folder: keeps the database without a study that is copied.
    """

    def __init__(self, folder: Path) -> None:
        self._empty = folder / "mlflow.db"

    def __call__(self, uri: str, make: Callable[[str], object]) -> None:
        def copy(unfinished: str) -> None:
            provide_database(f"{SQLITE}{self._empty}", make)
            shutil.copyfile(self._empty, unfinished.removeprefix(SQLITE))

        provide_database(uri, copy)
