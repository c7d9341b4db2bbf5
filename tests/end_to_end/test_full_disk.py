"""A disk without room under each command that writes: a sentence, an exit code, and nothing half-written."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.convert.participants import write_participants
from client.data.volume import IDENTITY, Volume, write_volume
from client.home.center_home import CenterHome, CenterSettings, write_settings
from deploy.center.cli import app as center_app
from deploy.coordinator.cli import app as coordinator_app
from protocol.errors import ConciliumError, StorageError
from protocol.storage import atomic_files
from strategies.bank.bank import AdapterBank
from tests.support.messages import SETTINGS_SMALL
from tests.support.nifti_files import write_ct
from tests.support.small_study import write_study

ROOM_BYTES = 16 << 10


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on a disk without room: a small file system where one can be made, else writers that are refused."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0:
        (folder / "other").write_bytes(bytes(ROOM_BYTES))
        yield folder
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        return

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(atomic_files, "_write_through", refuse)
    monkeypatch.setattr("client.data.volume._reserve", refuse)
    yield folder


def left_in(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != "other"
    )


def run(app: object, *arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])  # type: ignore[arg-type]


def commands(tmp_path: Path, full: Path) -> dict[str, tuple[object, list[object]]]:
    study, source = write_study(tmp_path / "study.toml"), tmp_path / "source"
    write_ct(source / "one" / "ct.nii.gz")
    endpoint = ["--endpoint", "fl.example.org:443"]
    private = ["--private", full / "private", "--layout", "nifti"]
    return {
        "study init": (coordinator_app, ["study", "init", study, "--out", full / "root", *endpoint]),
        "simulate": (coordinator_app, ["simulate", "--study", study, "--synthetic", "--out", full / "run"]),
        "convert": (center_app, ["convert", source, full / "data", *private]),
    }


@pytest.mark.parametrize("command", ["study init", "simulate", "convert"])
def test_a_command_says_what_lacks_room_and_leaves_nothing_half_written(tmp_path: Path, full: Path, command: str):
    app, arguments = commands(tmp_path, full)[command]
    result = run(app, *arguments)
    told = result.stderr + str(result.exception or "")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit | ConciliumError)
    assert "free" in told
    assert "Traceback" not in told
    assert [name for name in left_in(full) if ".part" in name] == []


WRITERS: dict[str, Callable[[Path], object]] = {
    "a bank": lambda folder: AdapterBank.create(folder / "bank", SETTINGS_SMALL, {"r": 4}),
    "an image": lambda folder: write_volume(
        Volume(np.ones((40, 40, 40), np.int16), (1, 1, 1), (0, 0, 0), IDENTITY, "ct_hu"), folder / "ct.nii.gz"
    ),
    "whose cases": lambda folder: write_participants(folder, {f"case-{n}": "p" * 40 for n in range(400)}),
    "settings": lambda folder: write_settings(CenterHome(folder), CenterSettings(data=(Path("d" * 9000),))),
}


@pytest.mark.parametrize("what", WRITERS)
def test_a_writer_says_what_lacks_room_and_leaves_nothing(full: Path, what: str):
    with pytest.raises(StorageError, match="free"):
        WRITERS[what](full)
    assert [path for path in left_in(full) if ".part" in path] == []


def test_an_error_that_no_writer_guards_is_a_sentence_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr("deploy.study.study_init.init_study", refuse)
    study = write_study(tmp_path / "study.toml")
    result = run(coordinator_app, "study", "init", study, "--out", tmp_path / "root", "--endpoint", "a.example.org:443")
    assert result.exit_code == 1
    assert "error (storage): the disk is full" in result.stderr
