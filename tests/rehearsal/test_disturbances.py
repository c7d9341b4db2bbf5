import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.rehearsal import disturbances
from tests.rehearsal.consortium import COORDINATOR
from tests.rehearsal.disturbances import AT_CENTER, AT_COORDINATOR, CUTS, disturb, find_trainer
from tests.rehearsal.network import RehearsalError


def test_no_trainer_is_found_where_none_runs(tmp_path: Path) -> None:
    class Homes:
        def home(self, center: str) -> Path:
            return tmp_path / center

    assert find_trainer(Homes(), "center-a") is None  # type: ignore[arg-type]


@pytest.fixture
def done() -> list[Any]:
    return []


@pytest.fixture
def consortium(done: list[Any]) -> Any:
    """Writes down what is done to it; one process runs at every host."""
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    network = SimpleNamespace(
        cut=lambda center: done.append(("cut", center)), mend=lambda center: done.append(("mend", center))
    )

    def processes(host: str, *words: str) -> list[int]:
        done.append((host, words))
        return [program.pid]

    yield SimpleNamespace(
        network=network,
        processes=processes,
        end=lambda name: done.append(("end", name)),
        serve=lambda: done.append("serve"),
        join=lambda center, kit: done.append(("join", center, kit)),
        victim=program,
    )
    program.kill()
    program.wait()


def test_a_cable_is_put_back(consortium: Any, done: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", done.append)
    assert disturb(consortium, "cut-20s", "center-a", {}) == "link of center-a cut for 20 s"
    assert done == [("cut", "center-a"), CUTS["cut-20s"], ("mend", "center-a")]


def test_what_no_supervisor_watches_is_started_again(consortium: Any, done: list[Any]) -> None:
    said = disturb(consortium, "kill-serve", "center-a", {})
    assert said == f"killed process {consortium.victim.pid}"
    assert consortium.victim.wait(timeout=10) == -9
    assert done == [(COORDINATOR, AT_COORDINATOR["kill-serve"]), ("end", "serve"), "serve"]


def test_a_center_whose_join_was_killed_joins_again_with_its_kit(consortium: Any, done: list[Any]) -> None:
    assert disturb(consortium, "kill-join", "center-b", {"center-b": Path("b.kit")}).endswith("of center-b")
    assert done[1:] == [("end", "join-center-b"), ("join", "center-b", Path("b.kit"))]
    assert done[0] == ("center-b", AT_CENTER["kill-join"])


def test_what_does_not_appear_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disturbances, "APPEARS_S", 0.01)
    with pytest.raises(RehearsalError, match="kill-nginx: nothing of that kind ran at coordinator"):
        disturb(SimpleNamespace(processes=lambda *_: []), "kill-nginx", "center-a", {})  # type: ignore[arg-type]
