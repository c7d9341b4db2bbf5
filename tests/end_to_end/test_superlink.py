"""The real thing on loopback: SuperLink with TLS, two authenticated SuperNodes, a trainer beside each, one study."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from client.data.synthetic import CENTERS, write_synthetic_cohort
from deploy.study.prepare import prepare
from tests.support.loopback import CONNECTION, Loopback, wait_until
from tests.support.study_text import NETWORK, QUARTERS, centers_text, head_text, stage_text

NAMES = ("center-a", "center-b")
PATIENTS = 4
STUDY = (
    head_text("loopback", "One adapter round over a network", "seed = 3", "quorum = 2", "deadline_s = 240")
    + NETWORK.replace("10.0", "8.0")
    + QUARTERS
    + centers_text(NAMES)
    + stage_text("adapt", NAMES)
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared study's directory, with two centers' cases in `data` beside it."""
    folder = tmp_path_factory.mktemp("study")
    few = [replace(center, patients=PATIENTS) for center in CENTERS if center.name in NAMES]
    write_synthetic_cohort(folder / "data", centers=few, seed=0)
    (folder / "study.toml").write_text(STUDY)
    prepare(folder / "study.toml", folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def finished(study: Path, tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[tuple[Loopback, str]]:
    """The deployment after `flwr run` has come back, and what it printed; everything is stopped at the end."""
    folder = tmp_path_factory.mktemp("l")
    loopback = Loopback(folder, repository)
    try:
        for center in NAMES:
            _start_trainer(loopback, center, study.parent / "data" / center)
        loopback.start_superlink()
        for center in NAMES:
            loopback.enroll(center)
            loopback.start_supernode(center, folder / f"{center}.sock")
        for center in NAMES:
            wait_until((folder / f"{center}.sock").exists, f"trainer of {center}", within_s=180)
        options = f'study-directory="{study}"'
        printed = loopback.flwr(
            "run", repository / "server" / "flower-app", CONNECTION, "--stream", "-c", options, within_s=400
        )
        yield loopback, printed
    finally:
        loopback.stop()


def _start_trainer(loopback: Loopback, center: str, data: Path) -> None:
    """A trainer that draws its cases as `simulate` does, so that the banks can be compared."""
    (loopback.folder / f"home-{center}").mkdir()
    (loopback.folder / f"home-{center}" / "draws.key").write_text("public\n")
    command = [sys.executable, "-m", "deploy.center", "trainer", "--center", center]
    command += ["--data", str(data), "--home", str(loopback.folder / f"home-{center}")]
    command += ["--socket", str(loopback.folder / f"{center}.sock"), "--minimum-cases", "1"]
    loopback.start(f"trainer-{center}", command)


@pytest.mark.slow
@pytest.mark.network
def test_study_finishes(finished: tuple[Loopback, str], study: Path) -> None:
    """Flower calls the run completed, and so does the study's own result."""
    loopback, printed = finished
    assert [run["status"] for run in loopback.runs()] == ["finished:completed"], printed + loopback.logs()
    assert json.loads((study / "result.json").read_text())["status"] == "complete"


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.usefixtures("finished")
def test_result_is_that_of_one_machine(study: Path, tmp_path: Path) -> None:
    """The same apps in one process end with the same bank, hash by hash: the network changes nothing."""
    from rich.console import Console

    from deploy.simulation.local import simulate

    with Path(os.devnull).open("w") as nowhere:
        simulate(
            study.parent / "study.toml",
            study.parent / "data",
            tmp_path / "out",
            engine="in-process",
            device="cpu",
            resume=False,
            console=Console(file=nowhere),
        )
    over_network, here = (json.loads((root / "result.json").read_text())["bank"] for root in (study, tmp_path / "out"))
    assert over_network == here


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("center", NAMES)
def test_each_trainer_logged_what_left(finished: tuple[Loopback, str], center: str) -> None:
    """Register, backbone missing, initial scores, one payload, the gate's question, final scores; all of it left."""
    folder = finished[0].folder
    lines = [json.loads(line) for line in (folder / f"home-{center}" / "outgoing.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["register", "evaluate", "evaluate", "train", "compare", "evaluate"]
    assert [line["held_back"] for line in lines] == [[]] * 6
    assert [line["error"] for line in lines] == ["", "backbone-missing", "", "", "", ""]
    sent = lines[3]
    assert (sent["stage"], sent["server_round"], sent["error"]) == ("adapt", 1, "")
    assert sent["bytes"] > 0


@pytest.mark.slow
@pytest.mark.network
def test_no_case_name_reached_the_coordinator(finished: tuple[Loopback, str]) -> None:
    """Case names stand in the centers' manifests, and neither in Flower's database nor in the run's log."""
    loopback, printed = finished
    database = b"".join(path.read_bytes() for path in loopback.folder.glob("link.db*"))
    for center in NAMES:
        case = f"synthetic-{center}-01"
        assert case in (loopback.folder / f"home-{center}" / "manifest.json").read_text()
        assert case not in printed
        assert case.encode() not in database
