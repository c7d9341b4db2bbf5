"""A study under way as a coordinator's page shows it: made-up history, bank and progress, and a SuperLink in a file.

Started as a program with a directory, it serves the page of the study there until it is told to end.
"""

import json
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import typer

from protocol.messages.scores import Score
from protocol.modalities import ModalitySetting
from server.runs.state_files import WatchdogState, write_state
from server.study.checkpoint import Checkpoint, save
from server.study.directory import StudyDirectory
from server.study.file import read_study
from server.study.history import AggregationRecord, GateRecord, History, RoundRecord, StageRow
from server.superlink.link import RegisteredNode, Run
from server.tls.authority import utc_now
from strategies.bank.bank import SHARED, AdapterBank
from strategies.continual.gate import Verdict
from tests.support.coordinator_root import CENTERS, enroll, init_root, report, want
from tests.support.listed_link import ListedLink
from tests.support.study_text import centers_text, stage_text

STAGES = ("first", "second")
ROUNDS = 4


def study_text() -> str:
    """Two stages of four rounds with three centers."""
    return (
        'name = "roots"\ntitle = "Three centers, one model"\nformed_by = "nobody"\nquorum = 2\n'
        '\n[model]\nname = "pemma-unetr-tiny"\n'
        + centers_text(CENTERS)
        + "".join(stage_text(name, CENTERS, rounds=ROUNDS, local_steps=10) for name in STAGES)
    )


def make_shown_study(root: Path) -> StudyDirectory:
    """A coordinator whose study has done five of eight rounds; center-c failed one and is asked for the sixth."""
    directory = init_root(root)
    directory.study_file.write_text(study_text())
    enroll(directory, CENTERS)
    want(directory)
    save(directory.checkpoint, checkpoint())
    _fill_bank(directory)
    write_nodes(directory, dict.fromkeys(CENTERS, "online"))
    tell(directory)
    return directory


def tell(directory: StudyDirectory) -> None:
    """The run and the watchdog say that they are alive; the watchdog for longer than the slowest test takes."""
    now = utc_now()
    heard = {"server_round": 5, "loss": 0.41, "metric": "dice", "scores": {"ct": 0.61, "ct+pet": 0.7}, "at": now}
    report(
        directory,
        "running",
        run_id="1",
        stage="second",
        stage_round=2,
        stage_rounds=ROUNDS,
        server_round=5,
        rounds=2 * ROUNDS,
        waiting_for=["center-c"],
        waiting_kind="train",
        waiting_since=now,
        centers={"center-a": heard, "center-b": heard, "center-c": {**heard, "error": "case"}},
        updated_at=now,
    )
    write_state(directory.watchdog, WatchdogState(alive_at=now + timedelta(hours=1)))


def checkpoint() -> Checkpoint:
    """Five rounds, a row of the matrix and a decision of the gate."""
    rounds = tuple(_round(center, number) for number in range(1, 6) for center in CENTERS)
    verdict = Verdict(
        promoted=True, worst=("center-c", -0.01), mean=0.04, lower_bound=0.01, reason="serves 2 of 3 centers better"
    )
    history = History(
        rounds=rounds,
        rows=(StageRow("first", {center: _scores(0.5 + 0.1 * place) for place, center in enumerate(CENTERS)}),),
        aggregations=(AggregationRecord("first", 1, "fedavg", {"dropped": 0.1}),),
        gates=(GateRecord("first", verdict, kept=("center-c",)),),
    )
    return Checkpoint(
        1,
        5,
        "",
        {"w": np.zeros(1, np.float32)},
        history=history,
        elapsed_s=1500.0,
        agreed_cases=dict.fromkeys(CENTERS, 9),
    )


def _round(center: str, number: int) -> RoundRecord:
    place = CENTERS.index(center)
    failed = (center, number) == ("center-c", 5)
    return RoundRecord(
        stage=STAGES[(number - 1) // ROUNDS],
        server_round=number,
        center=center,
        error="case" if failed else "",
        loss=None if failed else 1 / number,
        seconds=60.0,
        bytes_down=2_000_000,
        bytes_up=0 if failed else 1_000_000 + place,
        validation={} if failed else _scores(0.3 + 0.06 * number + 0.05 * place),
        alarms=("unusual",) if (center, number) == ("center-b", 3) else (),
    )


def _scores(value: float) -> dict[ModalitySetting, Score]:
    settings: dict[ModalitySetting, float] = {"ct": value, "pet": value - 0.12, "ct+pet": value + 0.08}
    return {name: Score(cases=7, values={"dice": dice}, undefined={}) for name, dice in settings.items()}


def _fill_bank(directory: StudyDirectory) -> None:
    bank = AdapterBank.create(directory.bank, read_study(directory.study_file).settings, {"r": 2})
    backbone = bank.put_backbone({"b": np.zeros(1, np.float32)})
    parent = None
    for number, stage in enumerate(STAGES[:1], start=1):
        tensors = {f"m{number}#lora_a": np.full((1, 1), float(number), np.float32)}
        parent = bank.add(
            SHARED, tensors, center="", stage=stage, server_round=4, backbone=backbone, support={}, parent=parent
        ).reference


def nodes_file(directory: StudyDirectory) -> Path:
    """What the SuperLink of the file says."""
    return directory.root / "nodes.json"


def write_nodes(directory: StudyDirectory, standing: Mapping[str, str], seen: datetime | None = None) -> None:
    """Say which center is "online", "silent" or "offline", since a minute ago."""
    moment = (seen or utc_now() - timedelta(minutes=1)).isoformat()
    text = json.dumps({center: [status, moment] for center, status in standing.items()})
    nodes_file(directory).with_suffix(".new").write_text(text)
    nodes_file(directory).with_suffix(".new").replace(nodes_file(directory))


class LinkInAFile(ListedLink):
    """A SuperLink whose nodes stand in a file, and which has one run."""

    def __init__(self, directory: StudyDirectory) -> None:
        begun = utc_now() - timedelta(hours=1)
        super().__init__(Run("1", "running", "", "", begun, begun, None))
        told = json.loads(nodes_file(directory).read_text())
        self.registered = [
            _node(name, str(number), status, datetime.fromisoformat(moment))
            for number, (name, (status, moment)) in enumerate(told.items())
        ]


def _node(name: str, number: str, status: str, moment: datetime) -> RegisteredNode:
    last_call = moment if status == "silent" else utc_now()
    return RegisteredNode(name, number, "", status.replace("silent", "online"), moment, moment, last_call)


def main(root: Path) -> None:
    """Serve the page."""
    from server.dashboard import running

    running.connect_to = LinkInAFile  # type: ignore[attr-defined, assignment]
    running.run_by_token(StudyDirectory(root), 0, typer.echo, with_browser=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
