"""Faults that need a study, or hosts, of their own: each lays out what it needs, and takes it away."""

import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from client.data.synthetic import write_synthetic_cohort
from tests.rehearsal.consortium import BIN, COORDINATOR, Consortium
from tests.rehearsal.disturbances import hold_trainer
from tests.rehearsal.findings import Findings
from tests.rehearsal.incidents import MOMENT_S, SOON_S, run_log, wait_for_round, wait_quietly
from tests.rehearsal.network import Network
from tests.rehearsal.short_study import NAMES, STUDY, bring_in, set_up
from tests.support.study_text import NETWORK, NO_GATE, QUARTERS, centers_text, head_text, stage_text

NEW = "center-d"
RECONNECT_S, LONGEST_S, END_S = 60, 1500.0, 1800.0
SCORES_S = 4500.0
WITHOUT_DEADLINE = (
    head_text("unhurried", "No deadline is named", "seed = 5", "quorum = 2", f"reconnect_s = {RECONNECT_S}")
    + NETWORK
    + QUARTERS
    + NO_GATE
    + centers_text(NAMES)
    + stage_text("pretrain", NAMES, kind="pretrain", rounds=4, local_steps=20)
)
WITH_GATE = (
    head_text("small", "Eight cases a center", "seed = 6", "quorum = 2", "reconnect_s = 240")
    + NETWORK
    + centers_text(NAMES)
    + stage_text("pretrain", NAMES[:2], kind="pretrain", local_steps=20)
    + stage_text("adapt", NAMES, local_steps=20)
)
ADDITION = centers_text([NEW], {NEW: 'modalities = ["ct"]'}) + stage_text("arrives", [NEW], kind="arrive")


@contextmanager
def federation(*more: str) -> Iterator[Consortium]:
    """Hosts for a study, and for centers that come later."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, Network([COORDINATOR, *NAMES, *more]) as network:
        consortium = Consortium(network, Path(folder))
        try:
            yield consortium
        finally:
            consortium.stop()


def silent(found: Findings) -> None:
    """A center is connected and silent in the last round, and when it is asked for scores; no deadline is named."""
    _hold_trainer(found, "train", LONGEST_S)


def silent_at_scores(found: Findings) -> None:
    """The same from the scoring on, of which nothing tells how long it takes."""
    _hold_trainer(found, "evaluate", SCORES_S)


def _hold_trainer(found: Findings, asked: str, longest_s: float) -> None:
    """Hold a center's trainer from the last round on, once it is asked for that, until the study has ended."""
    center = NAMES[1]
    with federation() as consortium:
        set_up(consortium, WITHOUT_DEADLINE)
        consortium.coordinate("launch", consortium.directory.root)
        consortium.wait_until(lambda: _waits_in_last_round(consortium, asked), f"'{asked}' of it", within_s=END_S)
        begun = time.monotonic()
        with hold_trainer(consortium, center):
            consortium.wait_until(lambda: _at_end(consortium), "the end of the study", within_s=longest_s)
        took_s = time.monotonic() - begun
        found.note(f"trainer of {center} held from '{asked}' on, its node connected; complete {took_s:.0f} s later")
        result = consortium.result()
        missed = [row for row in result["rounds"] if row["error"]]
        named = (f"{row['center']} of round {row['server_round']} ({row['error']})" for row in missed)
        found.note(f"left out of rounds: {', '.join(named) or 'nobody'}; of scores: {', '.join(_unscored(result))}")
        if {row["center"] for row in missed} != ({center} if asked == "train" else set()):
            found.unseen.append("only that center left out of a round" if asked == "train" else "whole rounds")
        if _unscored(result) != [center]:
            found.unseen.append("only that center left out of the scores")


def _waits_in_last_round(consortium: Consortium, asked: str) -> bool:
    progress = consortium.progress()
    at_last = progress.get("stage_round") == progress.get("stage_rounds")
    return at_last and progress.get("waiting_kind") == asked and NAMES[1] in progress.get("waiting_for", ())


def _unscored(result: Mapping[str, Any]) -> list[str]:
    """The centers without scores after the last stage, for whatever reason."""
    return sorted(result["evaluations"][-1]["errors"])


def withheld(found: Findings) -> None:
    """All centers of a stage withhold what the gate asks for."""
    with federation() as consortium:
        consortium.minimum_cases = 5
        kits = set_up(consortium, WITH_GATE, patients=8)
        said = consortium.run(NAMES[0], consortium.join_command(NAMES[0], kits[NAMES[0]], "--dry-run")).stdout
        if "comparison that the no-harm gate asks for" not in " ".join(said.split()):
            found.unseen.append("a preflight that says what is withheld")
        consortium.coordinate("launch", consortium.directory.root)
        ended = consortium.wait_state("failed", "complete", within_s=END_S)
        found.note(f"preflight says so; {ended['state']} after round {ended.get('server_round')}: {ended.get('code')}")
        if ended.get("code") != "no-voice" or "withh" not in str(ended.get("reason")):
            found.unseen.append("a gate that names withholding")
        time.sleep(20)
        if json.loads(consortium.directory.launch.read_text())["starts"] != 1:
            found.unseen.append("no further start")


def extended(found: Findings) -> None:
    """A center that nobody foresaw comes while the study is under way."""
    with federation(NEW) as consortium:
        set_up(consortium)
        root = consortium.directory.root
        consortium.coordinate("launch", root)
        wait_for_round(consortium, 2)
        addition = consortium.folder / "addition.toml"
        addition.write_text(ADDITION)
        consortium.coordinate("extend", addition, "--study", root)
        found.note("extended in round 2 by a center with CT alone and a stage")
        bring_in(consortium, NEW, consortium.invite(NEW))
        consortium.wait_until(lambda: _at_end(consortium), "the end of the study", within_s=END_S)
        rows = {(row["stage"], row["center"]): row["error"] for row in consortium.result()["rounds"]}
        starts = json.loads(consortium.directory.launch.read_text())["starts"]
        found.note(f"complete with its stage, in {starts} run(s)")
        if rows.get(("arrives", NEW), "absent"):
            found.unseen.append(f"an update of {NEW}")
        if "the study was extended" not in " ".join(run_log(consortium).split()):
            found.unseen.append("a log that tells of the extension")


def term(found: Findings) -> None:
    """`simulate` with SIGINT ignored is told to end, and goes on to the same bank."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        write_synthetic_cohort(folder / "data", seed=0)
        (folder / "study.toml").write_text(STUDY)
        whole = _simulate(folder, "whole")
        if whole.wait(END_S):
            found.unseen.append("an undisturbed run")
        process = _simulate(folder, "ended")
        wait_quietly((folder / "ended" / "checkpoint.safetensors").exists, MOMENT_S)
        process.send_signal(signal.SIGTERM)
        code = process.wait(SOON_S)
        left = sorted(path.name for path in (folder / "ended").iterdir())
        found.note(f"TERM after the first round: code {code}, with result.json and report.html")
        if not {"result.json", "report.html"} <= set(left):
            found.unseen.append(f"outputs (there are {left})")
        if _simulate(folder, "ended", "--resume").wait(END_S):
            found.unseen.append("a run that goes on")
        banks = [json.loads((folder / out / "result.json").read_text())["bank"] for out in ("whole", "ended")]
        found.note("resumed to the same bank" if banks[0] == banks[1] else "resumed to ANOTHER bank")
        if banks[0] != banks[1]:
            found.unseen.append("the same bank")


def _at_end(consortium: Consortium) -> bool:
    return consortium.progress().get("state") == "complete"


def _simulate(folder: Path, out: str, *words: str) -> "subprocess.Popen[bytes]":
    """As under nohup: SIGINT is ignored."""
    command: list[str | Path] = [
        "sh",
        "-c",
        'trap "" INT; exec "$@"',
        "sh",
        BIN / "concilium",
        "simulate",
        "--device",
        "cpu",
    ]
    command += ["--study", folder / "study.toml", "--data", folder / "data", "--out", folder / out, *words]
    with (folder / f"{out}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


OWN: Mapping[str, Callable[[Findings], None]] = {
    "silent": silent,
    "silent-at-scores": silent_at_scores,
    "withheld": withheld,
    "extended": extended,
    "term": term,
}
