"""The same two apps over Flower's simulation engine: centers in Ray's processes, each trainer built once and kept."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.supercore import telemetry

from client.service.failure import Perform
from deploy.simulation import ray_engine
from deploy.simulation.in_process import assume_task_identity
from deploy.simulation.ray_engine import EngineError, run_with_ray
from protocol.flower_codec import read_reply, to_message_content
from protocol.messages.instruction import Instruction
from protocol.messages.settings import Model, StudySettings
from tests.support.echo_trainer import EchoTrainer

# Ray runs in a process of its own: it leaves sockets and children to the end of its process, which is the test's end.
STUDY = """
import json, sys
from functools import partial
from pathlib import Path
import numpy as np
from deploy.simulation.ray_engine import run_with_ray
from server.grid.center_grid import CenterGrid
from protocol.errors import StudyError
from protocol.messages.instruction import Instruction
from protocol.messages.settings import Model, StudySettings
from protocol.flower_codec import read_reply, to_message_content
from tests.support.echo_trainer import echo

SETTINGS = StudySettings(study="demo", seed=0, model=Model(name="none"))
CENTERS = ("a", "b", "c")
rounds = []

def study(grid):
    center_grid = CenterGrid(grid, poll_s=0.1)
    list(center_grid.register(Instruction(kind="register", settings=SETTINGS), deadline_s=240, expected=CENTERS))
    for number in (1, 2):
        train = Instruction(kind="train", settings=SETTINGS, tensors={"w": np.array([number], np.float32)})
        answers = list(center_grid.ask(dict.fromkeys(CENTERS, train), deadline_s=60))
        rounds.append({answer.center: answer.reply.payload.tensors["w"].tolist() for answer in answers})
    raise StudyError("the end")

try:
    run_with_ray(study, partial(echo, Path(sys.argv[1])), CENTERS)
except StudyError as error:
    print("RESULT " + json.dumps([rounds, str(error)]))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed; it comes with the extra concilium[ray]"
)
def test_two_rounds_at_three_centers(tmp_path: Path, repository: Path) -> None:
    """Training adds 1 at each center in each round; no worker builds a trainer twice; the study's error arrives."""
    command = [sys.executable, "-c", STUDY, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    result = subprocess.run(
        command, env=environment, cwd=repository, capture_output=True, text=True, timeout=360, check=False
    )
    lines = [line for line in result.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, result.stdout + result.stderr
    expected = [{"a": [2.0], "b": [2.0], "c": [2.0]}, {"a": [3.0], "b": [3.0], "c": [3.0]}]
    assert json.loads(lines[0].removeprefix("RESULT ")) == [expected, "the end"]
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"a", "b", "c"}


def test_absent_ray_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"concilium\[ray\]"):
        run_with_ray(lambda _grid: None, lambda _center: EchoTrainer("a").perform, ["a"])


def test_usage_reports_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails after an upgrade of Flower: see where it keeps the switch of its usage reports now."""
    monkeypatch.setattr(telemetry, "FLWR_TELEMETRY_ENABLED", "1")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    ray_engine._keep_to_ourselves()
    assert (telemetry.FLWR_TELEMETRY_ENABLED, os.environ["RAY_USAGE_STATS_ENABLED"]) == ("0", "0")


def test_trainer_is_built_once_a_process() -> None:
    built: list[str] = []

    def perform_for(center: str) -> Perform:
        built.append(center)
        return EchoTrainer(center).perform

    register = Instruction(kind="register", settings=StudySettings(study="demo", seed=0, model=Model(name="none")))
    for _ in range(3):
        assert ray_engine._warm(perform_for, "only-here")(register).center == "only-here"
    assert built == ["only-here"]


def test_partition_number_says_which_center_a_node_is() -> None:
    assume_task_identity()
    app = ray_engine._client_app(lambda center: EchoTrainer(center).perform, ("first", "second"))
    register = Instruction(kind="register", settings=StudySettings(study="demo", seed=0, model=Model(name="none")))
    context = Context(run_id=1, node_id=9, node_config={"partition-id": 1}, state=RecordDict(), run_config={})
    reply = app(Message(to_message_content(register), 9, "query"), context)
    assert read_reply(reply.content).center == "second"
