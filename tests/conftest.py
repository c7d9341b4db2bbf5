"""What every test shares: one thread, no call home, no file in the user's home, and where real data lies.

The environment is set before a test module imports torch or ITK, which read it once.
"""

import os
import sqlite3
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from jinja2 import Environment

from deploy.supervision.telemetry import SWITCHED_OFF

if TYPE_CHECKING:
    from server.study.directory import StudyDirectory

REPOSITORY = Path(__file__).resolve().parent.parent
ENVIRONMENT = {
    # One thread sums in one order: numbers repeat on every machine.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    "MPLBACKEND": "Agg",
    **SWITCHED_OFF,
}
os.environ.update(ENVIRONMENT)
# Where no bytecode is kept, each program that a test starts compiles torch, monai and peft again: 20 CPU-seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile("repeatable", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: at the end no worker is left alone with one of them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _home_untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point Flower's home and matplotlib's cache into the session's own folder, also for subprocesses."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("FLWR_HOME", "MPLCONFIGDIR"):
            patch.setenv(variable, str(tmp_path_factory.mktemp(variable.lower())))
        yield


@pytest.fixture(scope="session", autouse=True)
def _tables_made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the stores of studies in this process copies of one empty database of MLflow."""
    from tests.support.tracking_tables import MadeOnce

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("server.tracking.database.provide_database", MadeOnce(tmp_path_factory.mktemp("tables")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _disk_not_awaited() -> Iterator[None]:
    """Let this process write without waiting for the disk: no test cuts the power, and a study waits 700 times."""
    from sqlalchemy import Engine, event

    def hasten(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", hasten)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield
    event.remove(Engine, "connect", hasten)


@pytest.fixture(scope="session", autouse=True)
def _templates_compiled_once() -> Iterator[None]:
    """Keep the compiled templates of pages in this process: compiling is half the cost of a small page."""
    from tests.support.compiled_templates import CompiledOnce

    kept = CompiledOnce()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reporting.pages.Environment", partial(Environment, bytecode_cache=kept))
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data: CONCILIUM_DATA, or ../shared/data beside the checkout; skips where absent."""
    folder = Path(os.environ.get("CONCILIUM_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real data: no folder {folder}; set CONCILIUM_DATA to the folder that holds sts/")
    return folder


@pytest.fixture(scope="session")
def sts_root(data_root: Path) -> Path:
    """Soft-tissue sarcoma PET/CT, one folder a center (center-a .. center-d); skips where absent."""
    folder = data_root / "sts"
    if not folder.is_dir():
        pytest.skip(f"real data: {data_root} holds no sts/ folder")
    return folder


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic cases of the small study."""
    from tests.support.small_study import write_cohort

    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="session")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small study's file."""
    from tests.support.small_study import write_study

    return write_study(tmp_path_factory.mktemp("study") / "study.toml")


@pytest.fixture(scope="session")
def finished(cohort: Path, study_file: Path, tmp_path_factory: pytest.TempPathFactory) -> "StudyDirectory":
    """The uninterrupted run of the small study that many tests look at."""
    from tests.support.small_study import run

    return run(study_file, cohort, tmp_path_factory.mktemp("run") / "out")


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """For studies whose pages nobody looks at: drawing a report is a fifth of a study as small as a test's."""
    monkeypatch.setattr("server.rounds.outputs.report_html", lambda _: "")
    monkeypatch.setattr("deploy.simulation.local._write_center_reports", lambda *_: None)
