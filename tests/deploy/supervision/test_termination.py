"""SIGTERM is an interrupt within the block, and what it was outside."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from deploy.coordinator.cli import app
from deploy.supervision.termination import interrupt_on_sigterm


def terminate(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def noting(tidied: list[str]) -> Iterator[None]:
    """What tidies up after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        tidied.append("outputs")
        raise


def test_sigterm_runs_what_an_interrupt_runs_and_ends_with_143() -> None:
    before, tidied = signal.getsignal(signal.SIGTERM), list[str]()
    with pytest.raises(SystemExit) as ended, interrupt_on_sigterm(), noting(tidied):
        terminate()
    assert (ended.value.code, tidied) == (143, ["outputs"])
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_interrupt_of_the_keyboard_stays_one() -> None:
    with pytest.raises(KeyboardInterrupt), interrupt_on_sigterm():
        raise KeyboardInterrupt


def test_a_thread_takes_no_signals() -> None:
    seen: list[object] = []

    def look() -> None:
        with interrupt_on_sigterm():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


@pytest.fixture
def killed() -> Iterator[list[str]]:
    """SIGINT as `nohup` and services leave it, and a SIGTERM that is noticed here without killing the tests."""
    told: list[str] = []
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: told.append("killed"))
    yield told
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "--study", "s.toml", "--data", "d", "--out"],
        ["benchmark", "b.toml", "--data", "d", "--out"],
    ],
)
def test_each_long_command_takes_sigterm_for_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: list[str], arguments: list[str]
) -> None:
    """What they load is left out: torch takes many seconds."""
    work = {
        "client.service.thread_count": SimpleNamespace(keep_thread_count=lambda _out: None),
        "deploy.simulation.local": SimpleNamespace(simulate=terminate),
        "deploy.simulation.summary": SimpleNamespace(print_summary=None),
        "deploy.comparison.command": SimpleNamespace(benchmark=terminate),
    }
    for name, module in work.items():
        monkeypatch.setitem(sys.modules, name, module)
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "out")])
    assert (result.exit_code, killed) == (143, [])
